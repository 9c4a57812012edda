# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts of the catalog on a node: binaries and archives, known by their SHA-256.

An artifact lies unpacked in `<artifact_dir>/<name>/<first digits of its digest>/`, and the link `current` beside it
says which one is in use. A new one is downloaded, checked, unpacked beside and switched over by renaming that link; the
one before it is kept, so that a unit that does not start with the new one can go back.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional

from ansible_collections.banking.platform.plugins.module_utils.download import download_from
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of, remove, replace_link
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

_PARALLEL = 4


@dataclass
class WantedArtifact:
    """An artifact as it should be installed.

    Attributes:
        name: its name in the catalog.
        version: for people; what counts is `sha256`.
        urls: where it can be had, tried in order.
        sha256: of the downloaded file, in hexadecimal.
        unpack: `tar.gz` (or another compression that Python knows), `zip`, `deb` for the files of a Debian package,
            which is not installed, or `none` for a single program, which gets `name`.
        strip: leading folders that are dropped from the names in an archive.
        links: paths on the node, each with the member that it is to show.
        file: on this node already, brought by Ansible (bundle); empty otherwise.
        bundled: a file on the controller is there to be brought.
    """

    name: str
    version: str
    urls: List[str]
    sha256: str
    unpack: str = "none"
    strip: int = 0
    links: Dict[str, str] = field(default_factory=dict)
    file: str = ""
    bundled: bool = False


class Artifacts:
    """Plans the artifacts of one run."""

    def __init__(self, system: System, artifacts: Mapping[str, WantedArtifact]) -> None:
        self.system = system
        self.artifacts = dict(artifacts)
        self.steps: Dict[str, Step] = {}
        self._to_fetch: List[WantedArtifact] = []

    def links(self) -> Dict[str, str]:
        """The links into the artifacts, for the planner of files: path to target."""
        return {
            path: os.path.join(self._folder(artifact), "current", member)
            for artifact in self.artifacts.values()
            for path, member in artifact.links.items()
        }

    def missing_files(self) -> List[str]:
        """Names of artifacts that have to be brought from the controller before the plan can be applied."""
        return [artifact.name for artifact in self._to_fetch if artifact.bundled and not artifact.file]

    def plan(self, plan: Plan) -> None:
        """Compare with what is unpacked and in use, and add a step for each artifact."""
        for artifact in self.artifacts.values():
            step = plan.add(self._step(artifact))
            self.steps[artifact.name] = step
            if step.changes and not os.path.isdir(self._place(artifact)):
                self._to_fetch.append(artifact)

    def _step(self, artifact: WantedArtifact) -> Step:
        step = Step("artifact", artifact.name)
        now = self._current(artifact)
        if now == os.path.basename(self._place(artifact)) and os.path.isdir(self._place(artifact)):
            return step
        step.action = "update" if now else "create"
        step.before = {"digest": now} if now else {"kind": "absent"}
        step.after = {"version": artifact.version, "digest": artifact.sha256[:16]}
        step.diff = {
            "before_header": artifact.name,
            "after_header": artifact.name,
            "before": f"{now}\n" if now else "",
            "after": f"{artifact.sha256[:16]} ({artifact.version})\n",
        }
        step.apply = lambda: self._switch(artifact)
        step.undo = lambda: self._back(artifact, now)
        step.finish = lambda: self._forget(artifact, now)
        return step

    def _folder(self, artifact: WantedArtifact) -> str:
        return os.path.join(self.system.artifact_dir, artifact.name)

    def _place(self, artifact: WantedArtifact) -> str:
        return os.path.join(self._folder(artifact), artifact.sha256[:16])

    def _current(self, artifact: WantedArtifact) -> Optional[str]:
        try:
            return os.readlink(os.path.join(self._folder(artifact), "current"))
        except OSError:
            return None

    def _switch(self, artifact: WantedArtifact) -> None:
        self._fetch_all()
        for member in artifact.links.values():
            if not os.path.exists(os.path.join(self._place(artifact), member)):
                raise Failure(
                    f"artifact {artifact.name} {artifact.version}: holds no {member!r}; it holds "
                    + ", ".join(_listing(self._place(artifact))),
                    "name one of these in the artifact's links",
                )
        replace_link(os.path.join(self._folder(artifact), "current"), os.path.basename(self._place(artifact)))

    def _back(self, artifact: WantedArtifact, before: Optional[str]) -> None:
        current = os.path.join(self._folder(artifact), "current")
        if before:
            replace_link(current, before)
        elif os.path.islink(current):
            os.unlink(current)

    def _forget(self, artifact: WantedArtifact, before: Optional[str]) -> None:
        """Keep what is in use and what was in use before it; older ones go."""
        kept = {"current", os.path.basename(self._place(artifact)), before}
        for name in os.listdir(self._folder(artifact)):
            if name not in kept:
                remove(os.path.join(self._folder(artifact), name))

    def _fetch_all(self) -> None:
        """Fetch and unpack, side by side, everything that is not there yet; once a run."""
        if not self._to_fetch:
            return
        os.makedirs(self.system.cache_dir, mode=0o700, exist_ok=True)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for done in [pool.submit(self._fetch, artifact) for artifact in self._to_fetch]:
                done.result()
        self._to_fetch = []

    def _fetch(self, artifact: WantedArtifact) -> None:
        if artifact.file:
            if digest_of(artifact.file) != artifact.sha256:
                raise Failure(
                    f"artifact {artifact.name} {artifact.version}: its file in the bundle has another SHA-256",
                    "make the bundle again",
                )
            self._unpack(artifact, artifact.file)
            return
        path = os.path.join(self.system.cache_dir, artifact.sha256)
        try:
            download_from(artifact.urls, path, artifact.sha256)
        except Failure as failure:
            raise Failure(
                f"artifact {artifact.name} {artifact.version} cannot be had: {failure.cause}",
                "look at artifacts_source, the mirror, and the way there from this node",
            ) from failure
        self._unpack(artifact, path)
        os.unlink(path)

    def _unpack(self, artifact: WantedArtifact, path: str) -> None:
        place = self._place(artifact)
        beside = f"{place}.unpacking"
        shutil.rmtree(beside, ignore_errors=True)
        os.makedirs(beside, mode=0o755)
        try:
            if artifact.unpack == "none":
                shutil.copyfile(path, os.path.join(beside, artifact.name))
                os.chmod(os.path.join(beside, artifact.name), 0o755)
            elif artifact.unpack == "zip":
                _unpack_zip(path, beside, artifact)
            else:
                _unpack_tar(path, beside, artifact)
            # Programs may run as users of their own, whatever the umask of this process is.
            for folder in [self.system.artifact_dir, os.path.dirname(place), *_folders(beside)]:
                os.chmod(folder, 0o755)
            os.sync()
            os.rename(beside, place)
        except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
            raise Failure(
                f"artifact {artifact.name} {artifact.version}: cannot be unpacked as {artifact.unpack}: {error}",
                f"make room in {self.system.artifact_dir}, or correct `unpack` in the catalog",
            ) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _folders(top: str) -> List[str]:
    return [base for base, _below, _names in os.walk(top)]


def _unpack_tar(path: str, folder: str, artifact: WantedArtifact) -> None:
    with tarfile.open(fileobj=_files_of_package(path)) if artifact.unpack == "deb" else tarfile.open(path) as archive:
        members = []
        for member in archive.getmembers():
            member.name = _stripped(member.name, artifact.strip)
            if not member.name:
                continue
            if member.islnk():
                member.linkname = _stripped(member.linkname, artifact.strip)
            elif not (member.isfile() or member.isdir() or member.issym()):
                raise _evil(artifact, f"{member.name} is neither file, directory nor link")
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            member.mode = (member.mode & 0o755) | 0o600
            members.append(member)
        # The filters of extractall do not exist in the Python of older nodes. What they are for: no path leads outside,
        # nothing is written through a link, and no link leads outside.
        links = {member.name for member in members if member.issym()}
        for member in members:
            _must_stay_inside(member.name, links - {member.name} if member.issym() else links, artifact)
            if member.islnk():
                _must_stay_inside(member.linkname, links, artifact)
        archive.extraction_filter = lambda member, _path: member
        archive.extractall(folder, members)  # noqa: S202
    inside = os.path.realpath(folder)
    for name in links:
        if not f"{os.path.realpath(os.path.join(folder, name))}/".startswith(f"{inside}/"):
            raise _evil(artifact, f"the link {name} leads outside")


def _files_of_package(path: str) -> io.BytesIO:
    """The member data.tar of a Debian package, an archive of ar (deb(5)): a header of 60 bytes before each member."""
    with open(path, "rb") as file:
        magic, header = file.read(8), file.read(60)
        while magic == b"!<arch>\n" and header[58:] == b"`\n" and header[48:58].strip().isdigit():
            content = file.read(int(header[48:58]))
            if header.startswith(b"data.tar"):
                return io.BytesIO(content)
            header = file.read(60 + len(content) % 2)[len(content) % 2 :]
    raise tarfile.ReadError("it is no Debian package")


def _unpack_zip(path: str, folder: str, artifact: WantedArtifact) -> None:
    """Unpack the files of a zip archive. Links, which few of them have, come as files with the target in them."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = _stripped(member.filename, artifact.strip)
            if not name or member.is_dir():
                continue
            _must_stay_inside(name, set(), artifact)
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
            os.chmod(target, ((member.external_attr >> 16) & 0o755) | 0o600)


def _stripped(name: str, strip: int) -> str:
    return "/".join(os.path.normpath(name).split("/")[strip:])


def _must_stay_inside(name: str, links: "set[str]", artifact: WantedArtifact) -> None:
    parts = name.split("/")
    if parts[0] in ("", ".."):
        raise _evil(artifact, f"{name} lies outside")
    if links.intersection("/".join(parts[: end + 1]) for end in range(len(parts))):
        raise _evil(artifact, f"{name} leads through a link")


def _evil(artifact: WantedArtifact, what: str) -> Failure:
    return Failure(f"artifact {artifact.name} {artifact.version}: in its archive, {what}", "do not use this archive")


def _listing(folder: str, most: int = 12) -> List[str]:
    found = [
        os.path.relpath(os.path.join(base, name), folder) for base, _folders, names in os.walk(folder) for name in names
    ]
    return sorted(found)[:most] + ([f"{len(found) - most} more"] if len(found) > most else [])
