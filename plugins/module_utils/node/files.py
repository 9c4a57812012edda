# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, directories and links of a node.

A new file is written beside the old one, with its owner and mode set before its content, checked by its own program and
then renamed over it: whoever looks sees the old file or the new one, never a torn one. All new files of a run are
written and checked before the first of them takes its place.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import shlex
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

# A difference longer than this (characters a side) is told by its size: it would only fill logs.
MAX_DIFF = 64 * 1024
# What is written beside a target until it takes its place; the target's name comes last, so that programs that look at
# the suffix (systemd-analyze) can check it.
_TEMPORARY = re.compile(r"\.converge-[0-9a-f]{8}\.")


@dataclass
class WantedFile:
    """A regular file as it should be.

    Attributes:
        content: None when only owner, group and mode are looked after, and only where the file is there.
        mode: in octal digits.
        validate: command line with %s for the file; it must exit with 0.
        sensitive: whether the content is kept out of differences.
    """

    path: str
    content: Optional[bytes] = None
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    validate: str = ""
    sensitive: bool = False


@dataclass
class WantedDirectory:
    """A directory as it should be. With `purge`, what lies below it and is not wanted is removed."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    purge: bool = False


@dataclass
class _Actual:
    """What lies at a path now; `kind` is absent, file, link, directory or other."""

    kind: str
    status: Optional[os.stat_result] = None
    target: str = ""

    @property
    def what(self) -> str:
        """The kind, for a sentence."""
        return "something that is neither file, directory nor link" if self.kind == "other" else f"a {self.kind}"

    @property
    def attributes(self) -> Dict[str, str]:
        """Owner, group and mode by name, as far as the names are known; nothing of what is absent."""
        if self.status is None:
            return {}
        return {
            "owner": _name(pwd.getpwuid, self.status.st_uid, "pw_name"),
            "group": _name(grp.getgrgid, self.status.st_gid, "gr_name"),
            "mode": f"{stat.S_IMODE(self.status.st_mode):04o}",
        }


class Files:
    """Plans the files, directories and links of one run.

    Args:
        system: the node.
        files, directories, links: the wanted things by path (links: path to target).
        absent: paths that must not be there.
        check: in check mode nothing is written beside a target, and a missing user is deferred.
    """

    def __init__(
        self,
        system: System,
        files: Mapping[str, WantedFile],
        directories: Mapping[str, WantedDirectory],
        links: Mapping[str, str],
        absent: Iterable[str],
        check: bool,
    ) -> None:
        self.system = system
        self.files = dict(files)
        self.directories = dict(directories)
        self.links = dict(links)
        self.absent = list(absent)
        self.check = check
        self.steps: Dict[str, Step] = {}
        self._to_write: List[WantedFile] = []
        self._staged: Dict[str, str] = {}

    def plan(self, plan: Plan) -> None:
        """Compare with the node and add a step for each path, and for each parent that has to be made."""
        left_behind = self._left_behind()
        for path in left_behind:
            plan.add(self._left_behind_step(path))
        for path in sorted({*self._missing_parents(), *self.directories}):
            self._add(plan, self._directory_step(self.directories.get(path, WantedDirectory(path))))
        # What lies in a folder goes before the folder.
        for path in sorted(self.absent, reverse=True):
            self._add(plan, self._absent_step(path))
        for path in sorted({*self._unwanted()}.difference(left_behind)):
            self._add(plan, self._absent_step(path, "not wanted in a directory that is purged"))
        for path in sorted(self.files):
            self._add(plan, self._file_step(self.files[path]))
        for path in sorted(self.links):
            self._add(plan, self._link_step(path, self.links[path]))

    def validate_in_check_mode(self) -> None:
        """Run the validators of what would be written, on copies in the module's temporary folder.

        Raises:
            Failure: naming the file and what its validator says.
        """
        for wanted in self._to_write:
            step = self.steps[wanted.path]
            if not wanted.validate or step.deferred:
                continue
            if not self.system.has_program(wanted.validate):
                step.deferred = f"validator {shlex.split(wanted.validate)[0]} is not installed yet"
                continue
            folder = tempfile.mkdtemp(prefix="converge-", dir=self.system.tmp_dir)
            try:
                copy = os.path.join(folder, os.path.basename(wanted.path))
                _write(copy, wanted.content, os.geteuid(), os.getegid(), 0o600)
                self._validate(wanted, copy)
            finally:
                shutil.rmtree(folder)

    # What is, and what is to become of it

    def _add(self, plan: Plan, step: Step) -> None:
        self.steps[step.target] = step
        # When one path cannot be changed, none of those before it stays changed: half a configuration helps nobody.
        step.along = [earlier for earlier in self.steps.values() if earlier is not step and earlier.changes]
        plan.add(step)

    def _missing_parents(self) -> List[str]:
        wanted = set()
        made_here = [path for path, file in self.files.items() if file.content is not None]
        for path in [*made_here, *self.links, *self.directories]:
            parent = os.path.dirname(path)
            while parent not in self.directories and not os.path.isdir(parent):
                if os.path.lexists(parent):
                    raise Failure(
                        f"{path}: its parent {parent} is not a directory", f"remove {parent}, or move what it holds"
                    )
                wanted.add(parent)
                parent = os.path.dirname(parent)
        return sorted(wanted)

    def _left_behind(self) -> List[str]:
        """What killed runs left in the folders that this run looks after."""
        paths = [*self.files, *self.links, *self.directories, *self.absent]
        folders = {self.system.state_dir, *(os.path.dirname(path) for path in paths)}
        return sorted(entry.path for folder in folders for entry in _entries(folder) if is_temporary(entry.path))

    @staticmethod
    def _left_behind_step(path: str) -> Step:
        step = Step("file", path, "delete", after={"kind": "absent"}, note="left by a run that was killed")
        step.apply = lambda: remove(path)
        return step

    def _unwanted(self) -> Iterator[str]:
        kept = {*self.files, *self.links, *self.directories}
        for path in list(kept):
            while path != "/":
                path = os.path.dirname(path)
                kept.add(path)
        for directory in self.directories.values():
            if directory.purge:
                yield from self._unwanted_below(directory.path, kept)

    def _unwanted_below(self, directory: str, kept: "set[str]") -> Iterator[str]:
        for entry in _entries(directory):
            if entry.path not in kept and entry.path not in self.absent:
                yield entry.path
            elif entry.is_dir(follow_symlinks=False):
                yield from self._unwanted_below(entry.path, kept)

    def _directory_step(self, wanted: WantedDirectory) -> Step:
        actual = _actual(wanted.path)
        if actual.kind == "link" and os.path.isdir(wanted.path):
            # /lib and the like: a link to a directory is as good as the directory.
            actual = _Actual("directory", os.stat(wanted.path))
        step = Step("directory", wanted.path)
        after = _wanted_attributes(wanted.owner, wanted.group, wanted.mode)
        if actual.kind == "absent":
            step.action, step.before, step.after = "create", {"kind": "absent"}, after
        elif actual.kind != "directory":
            raise Failure(f"directory {wanted.path}: {actual.what} is in the way", f"move {wanted.path} away")
        elif wanted.path in self.directories:
            _compare(step, actual.attributes, after)
        if step.changes:
            self._explain(step, None, None)
            self._owners(step, wanted.owner, wanted.group)
            step.apply = lambda: self._make_directory(wanted, actual)
            step.undo = lambda: self._unmake_directory(wanted, actual)
        return step

    def _absent_step(self, path: str, note: str = "") -> Step:
        actual = _actual(path)
        step = Step("file" if actual.kind == "absent" else actual.kind, path)
        if actual.kind == "absent":
            return step
        step.action, step.before, step.after, step.note = "delete", actual.attributes, {"kind": "absent"}, note
        aside = _beside(path)
        step.apply = lambda: os.rename(path, aside)
        step.undo = lambda: os.rename(aside, path) if os.path.lexists(aside) else None
        step.finish = lambda: remove(aside)
        self._explain(step, None, None)
        return step

    def _file_step(self, wanted: WantedFile) -> Step:
        actual = _actual(wanted.path)
        step = Step("file", wanted.path)
        after = _wanted_attributes(wanted.owner, wanted.group, wanted.mode)
        old: Optional[bytes] = None
        if actual.kind in ("directory", "other"):
            raise Failure(f"file {wanted.path}: {actual.what} is in the way", f"move {wanted.path} away")
        if wanted.content is None:
            return self._attributes_step(step, wanted, actual, after)
        if actual.kind == "absent":
            step.action, step.before, step.after = "create", {"kind": "absent"}, after
        elif actual.kind == "link":
            # The link is replaced; what it points to is left as it is.
            step.action, step.before, step.after = "update", {"link": actual.target}, after
        else:
            old = _read(wanted.path)
            _compare(step, actual.attributes, after)
            if old != wanted.content:
                step.action = "update"
                if not wanted.sensitive:
                    step.before = dict(step.before or {}, content=_digest(old))
        if step.changes:
            if not wanted.sensitive:
                step.after = dict(step.after or {}, content=_digest(wanted.content))
            self._explain(step, None if wanted.sensitive else old, None if wanted.sensitive else wanted.content)
            if wanted.sensitive and old != wanted.content:
                step.note = "content differs; not shown"
            self._owners(step, wanted.owner, wanted.group)
            self._to_write.append(wanted)
            kept = _Kept(wanted.path)
            step.apply = lambda: self._switch_file(wanted, kept)
            step.undo = kept.put_back
        return step

    def _attributes_step(self, step: Step, wanted: WantedFile, actual: _Actual, after: Dict[str, str]) -> Step:
        """Only owner, group and mode, of a file that something else brings."""
        if actual.kind != "file" or actual.status is None:
            step.note = "not there" if actual.kind == "absent" else "a link; left alone"
            return step
        status = actual.status
        _compare(step, actual.attributes, after)
        if step.changes:
            self._explain(step, None, None)
            self._owners(step, wanted.owner, wanted.group)
            step.apply = lambda: _set_attributes(wanted.path, *_ids(wanted.owner, wanted.group), int(wanted.mode, 8))
            step.undo = lambda: _set_attributes(wanted.path, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        return step

    def _link_step(self, path: str, target: str) -> Step:
        actual = _actual(path)
        step = Step("link", path)
        if actual.kind == "link" and actual.target == target:
            return step
        if actual.kind in ("directory", "other"):
            raise Failure(f"link {path}: {actual.what} is in the way", f"move {path} away")
        step.action = "create" if actual.kind == "absent" else "update"
        step.before = {"link": actual.target} if actual.kind == "link" else {"kind": actual.kind}
        step.after = {"link": target}
        kept = _Kept(path)
        step.apply = lambda: self._switch_link(path, target, kept)
        step.undo = kept.put_back
        self._explain(step, None, None)
        return step

    def _owners(self, step: Step, owner: str, group: str) -> None:
        try:
            _ids(owner, group)
        except Failure as failure:
            if not self.check:
                raise Failure(f"{step.kind} {step.target}: {failure.cause}", failure.next_step) from failure
            step.deferred = failure.cause

    @staticmethod
    def _explain(step: Step, old: Optional[bytes], new: Optional[bytes]) -> None:
        """Give the step a difference as Ansible shows it: of the text, or of the attributes when there is none."""
        if old is None and new is None:
            before, after = _attribute_lines(step.before), _attribute_lines(step.after)
        else:
            before, after = _text(old), _text(new)
            if before == after:
                before, after = _attribute_lines(step.before), _attribute_lines(step.after)
        step.diff = {"before_header": step.target, "after_header": step.target, "before": before, "after": after}

    # Making it so

    def _make_directory(self, wanted: WantedDirectory, actual: _Actual) -> None:
        uid, gid = _ids(wanted.owner, wanted.group)
        # It may have come since: the reconciler makes folders of its own, and so do units and packages.
        if actual.kind == "absent" and not os.path.isdir(wanted.path):
            # Only in its place when it has its mode: a parent that a killed run left closed would stay so.
            beside = _beside(wanted.path)
            os.mkdir(beside, 0o700)
            try:
                _set_attributes(beside, uid, gid, int(wanted.mode, 8))
                os.rename(beside, wanted.path)
            except OSError:
                os.rmdir(beside)
                raise
        else:
            _set_attributes(wanted.path, uid, gid, int(wanted.mode, 8))

    @staticmethod
    def _unmake_directory(wanted: WantedDirectory, actual: _Actual) -> None:
        if actual.kind == "absent":
            if os.path.isdir(wanted.path):
                os.rmdir(wanted.path)
        elif actual.status is not None:
            status = actual.status
            _set_attributes(wanted.path, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))

    def _switch_file(self, wanted: WantedFile, kept: "_Kept") -> None:
        self._stage()
        try:
            kept.keep()
            os.rename(self._staged[wanted.path], wanted.path)
            del self._staged[wanted.path]
            _sync_directory(os.path.dirname(wanted.path))
        except OSError:
            self._unstage()
            raise

    def _stage(self) -> None:
        """Write all new files beside their targets and let their programs check them, before the first is switched."""
        if not self._to_write:
            return
        try:
            for wanted in self._to_write:
                beside = _beside(wanted.path)
                self._staged[wanted.path] = beside
                uid, gid = _ids(wanted.owner, wanted.group)
                try:
                    _write(beside, wanted.content, uid, gid, int(wanted.mode, 8))
                except OSError as error:
                    raise Failure(
                        f"file {wanted.path}: cannot be written: {error.strerror}",
                        "make room, or make the file system writable; no file was replaced",
                    ) from error
                if wanted.validate:
                    self._validate(wanted, beside)
        except (Failure, OSError):
            self._unstage()
            raise
        self._to_write = []

    def _unstage(self) -> None:
        while self._staged:
            remove(self._staged.popitem()[1])

    def _validate(self, wanted: WantedFile, path: str) -> None:
        command = [part.replace("%s", path) for part in shlex.split(wanted.validate)]
        try:
            done = self.system.run(command)
        except Failure as failure:
            raise Failure(f"file {wanted.path}: {failure.cause}", failure.next_step) from failure
        if not done.ok:
            said = done.last_lines().replace(path, wanted.path)
            if wanted.sensitive:
                said = "what it says is not shown, since the file is sensitive"
            raise Failure(
                f"file {wanted.path}: rejected by {wanted.validate.replace('%s', wanted.path)!r}: {said}",
                "mend the template or the variables that it takes; no file was replaced",
            )

    @staticmethod
    def _switch_link(path: str, target: str, kept: "_Kept") -> None:
        kept.keep()
        replace_link(path, target)


class _Kept:
    """What lay at a path before it was replaced, in memory: configuration files are small."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.actual: Optional[_Actual] = None
        self.content = b""

    def keep(self) -> None:
        actual = _actual(self.path)
        if actual.kind == "file":
            self.content = _read(self.path)
        self.actual = actual

    def put_back(self) -> None:
        if self.actual is None:
            return
        status = self.actual.status
        if self.actual.kind == "absent":
            remove(self.path)
        elif self.actual.kind == "link":
            replace_link(self.path, self.actual.target)
        elif status is not None:
            beside = _beside(self.path)
            _write(beside, self.content, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
            _into_place(beside, self.path)
        self.actual = None


def replace_link(path: str, target: str) -> None:
    """Put a symbolic link at a path in one step, whatever file or link was there."""
    beside = _beside(path)
    os.symlink(target, beside)
    _into_place(beside, path)


def write_atomically(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write a file of the reconciler's own so that a killed run leaves the old one or the new one."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    beside = _beside(path)
    _write(beside, content, os.geteuid(), os.getegid(), mode)
    _into_place(beside, path)


def is_temporary(path: str) -> bool:
    """Whether a path is one that a killed run may have left beside a target."""
    return bool(_TEMPORARY.match(os.path.basename(path)))


def digest_of(path: str) -> str:
    """SHA-256 of a file's content as hexadecimal digits, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def _actual(path: str) -> _Actual:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return _Actual("absent")
    if stat.S_ISREG(status.st_mode):
        return _Actual("file", status)
    if stat.S_ISLNK(status.st_mode):
        return _Actual("link", status, os.readlink(path))
    return _Actual("directory" if stat.S_ISDIR(status.st_mode) else "other", status)


def _compare(step: Step, now: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Make the step an update of the attributes that differ, if any do."""
    differ = [key for key in wanted if now[key] != wanted[key]]
    if differ:
        step.action = "update"
        step.before = {key: now[key] for key in differ}
        step.after = {key: wanted[key] for key in differ}


def _ids(owner: str, group: str) -> Tuple[int, int]:
    """The numbers of an owner and a group, given by name or number."""
    try:
        uid = int(owner) if owner.isdigit() else pwd.getpwnam(owner).pw_uid
    except KeyError as error:
        raise Failure(f"user {owner!r} does not exist", "add the package or the user that brings it") from error
    try:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise Failure(f"group {group!r} does not exist", "add the package or the group that brings it") from error
    return uid, gid


def _wanted_attributes(owner: str, group: str, mode: str) -> Dict[str, str]:
    """Owner and group by name where they were given by number, so that they compare with what is there."""
    return {
        "owner": _name(pwd.getpwuid, int(owner), "pw_name") if owner.isdigit() else owner,
        "group": _name(grp.getgrgid, int(group), "gr_name") if group.isdigit() else group,
        "mode": mode,
    }


def _name(look_up: Callable[[int], object], number: int, field: str) -> str:
    try:
        return getattr(look_up(number), field)
    except KeyError:
        return str(number)


def _set_attributes(path: str, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def _entries(directory: str) -> List[os.DirEntry]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, content: Optional[bytes], uid: int, gid: int, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            file.write(content or b"")
            file.flush()
            os.fsync(descriptor)
    except OSError:
        os.unlink(path)
        raise


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".converge-{os.urandom(4).hex()}.{name}")


def _into_place(beside: str, path: str) -> None:
    """Rename a new file or link over what is at its path; nothing of it stays when that fails."""
    try:
        os.rename(beside, path)
    except OSError:
        os.unlink(beside)
        raise


def remove(path: str) -> None:
    """Remove a file, a link, or a directory with all that it holds; nothing when there is none."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _text(content: Optional[bytes]) -> str:
    if content is None:
        return ""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if "\0" in text or (content and not text):
        return f"(binary, {len(content)} bytes, {_digest(content)})\n"
    return text if len(text) <= MAX_DIFF else f"({len(content)} bytes, {_digest(content)})\n"


def _attribute_lines(attributes: Optional[Mapping[str, str]]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in sorted((attributes or {}).items()) if key != "content")
