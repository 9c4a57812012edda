# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered platform in a Git repository: commits made of objects alone, pushed on top of whatever is there.

There is no checkout. A commit is built from the remote branch's tree with Git's own plumbing and pushed at once; when
somebody else was faster, it is built again on his. So two runs never lose each other's work, and a run that is killed
leaves nothing behind that the next one would have to clean up.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

_MOVED = re.compile(r"fetch first|non-fast-forward|stale info|cannot lock ref|failed to update ref")
_TIMEOUT = 120  # seconds that one call of git may take
_TRIES = 8
_REMOTE = "refs/remotes/origin/"
_RUN = "Platform-Run"
_ASKPASS = """#!/bin/sh
case $1 in
Username*) printf '%s\\n' "$PLATFORM_GIT_USERNAME" ;;
*) printf '%s\\n' "$PLATFORM_GIT_PASSWORD" ;;
esac
"""
# What git says, and what to do about it.
_CAUSES = (
    (
        r"Authentication failed|could not read Username|Permission denied|HTTP 40[13]",
        "check platform_git's credentials",
    ),
    (r"hook declined|protected branch|GH006|pre-receive", "ask whoever guards the branch, or name another one"),
    (r"No space left", "make room on the controller or the server"),
    (r"not found|does not appear to be a git repository|does not exist", "correct platform_git.url"),
    (r"resolve host|unable to access|Connection|timed out|Could not read", "make the repository reachable"),
)


@dataclass(frozen=True)
class Repository:
    """Where the tree is kept.

    Attributes:
        url: of the repository.
        branch: that ArgoCD follows.
        path: folder of the tree in the repository; empty for its root.
        username, password: for HTTP; the password is often a token.
        ssh_key: path of a private key.
        signing_key: what git signs commits with (`user.signingkey`), in the format `signing_format`.
        author: of commits, `name <address>`.
    """

    url: str
    branch: str = "main"
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ssh_key: str = ""
    signing_key: str = ""
    signing_format: str = "openpgp"
    author: str = "banking.platform <platform@localhost>"


class GitTree:
    """One branch of a repository, read and written without a checkout.

    Args:
        repository: where it is.
        folder: on the controller, for the objects that were fetched; made when it is not there.
        run: the run's identifier, for messages of commits.
        sleep: for tests.
    """

    def __init__(
        self, repository: Repository, folder: str, run: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._repository, self._folder, self._run, self._sleep = repository, Path(folder), run, sleep
        self._fetched = False

    # What is there

    @property
    def head(self) -> str:
        """The commit of the branch; empty when there is none yet.

        Raises:
            Failure: the repository cannot be reached.
        """
        if not self._fetched:
            self._fetch()
        return self._commit_of(f"{_REMOTE}{self._repository.branch}")

    def files(self, commit: str, folders: Sequence[str] = ("",)) -> dict[str, tuple[str, str]]:
        """Mode and object of each file of a commit below some folders of the tree, by path in the tree.

        Raises:
            Failure: there is no such commit.
        """
        if not commit:
            return {}
        wanted = [self._in_repository(folder) for folder in folders]
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", commit, "--", *(path or "." for path in wanted))
        found = {}
        for line in filter(None, listed.split("\0")):
            about, _tab, path = line.partition("\t")
            mode, _kind, name = about.split()
            found[self._in_tree(path)] = (mode, name)
        return found

    # Changing it

    def plan(self, folders: Sequence[str], files: Mapping[str, bytes]) -> Plan:
        """The steps from what the branch has below some folders to what is wanted there. Changes nothing.

        Args:
            folders: of the tree, or single files; all that is below them belongs to whom is asking.
            files: by path in the tree.
        """
        there = self.files(self.head, folders)
        steps = Plan()
        wanted = {path: _blob(content) for path, content in files.items()}
        for path in sorted({*there, *files}):
            step = steps.add(Step("file", path))
            now = there.get(path, ("", ""))[1]
            if now == wanted.get(path, ""):
                continue
            step.action = "delete" if path not in wanted else "update" if now else "create"
            before = self._git("cat-file", "blob", now) if now else ""
            after = files.get(path, b"").decode(errors="replace")
            step.diff = {"before": before, "after": after, "before_header": path, "after_header": path}
        return steps

    def write(self, folders: Sequence[str], files: Mapping[str, bytes], message: str) -> str:
        """Make what is below some folders what is wanted, in one commit on top of the branch, and push it.

        Args:
            folders, files: as of `plan`.
            message: of the commit, its first line.

        Returns:
            The commit that has it: the branch's own when nothing differed.

        Raises:
            Failure: it cannot be pushed.
        """

        names = {path: _blob(content) for path, content in files.items()}
        written: set[str] = set()  # once, however often the branch moves: it would move on meanwhile

        def change(head: str) -> str:
            there = self.files(head, folders)
            gone = [path for path in there if path not in files]
            new = {path: names[path] for path in sorted(files) if there.get(path) != ("100644", names[path])}
            for path, name in new.items():
                if name not in written:
                    self._git("hash-object", "-w", "--stdin", given=files[path])
                    written.add(name)
            return self._tree(head, gone, new)

        return self._push(change, message)

    def _push(self, change: Callable[[str], str], message: str) -> str:
        for attempt in range(_TRIES):
            head = self.head
            tree = change(head)
            if head and tree == self._git("rev-parse", f"{head}^{{tree}}").strip():
                return head
            commit = self._commit(tree, head, message)
            pushed = self._call("push", "--porcelain", "origin", f"{commit}:refs/heads/{self._repository.branch}")
            if pushed.returncode == 0:
                self._git("update-ref", f"{_REMOTE}{self._repository.branch}", commit)
                return commit
            # Somebody else was faster: the same change once more, on top of his.
            if not _MOVED.search(_output(pushed)):
                raise self._failure("push", _output(pushed))
            self._sleep(min(5.0, 0.1 * 2**attempt) * (0.5 + random.SystemRandom().random()))
            self._fetch()
        raise Failure(
            f"{self._shown}: branch {self._repository.branch} moved {_TRIES} times while we pushed", "run again"
        )

    def _tree(self, head: str, gone: Sequence[str], new: Mapping[str, str]) -> str:
        """A tree like that of a commit, without some files and with others."""
        with self._index() as env:
            self._git("read-tree", *([head] if head else ["--empty"]), env=env)
            none = "0" * 40
            lines = [f"0 {none}\t{self._in_repository(path)}" for path in gone]
            lines += [f"100644 {name}\t{self._in_repository(path)}" for path, name in new.items()]
            self._git("update-index", "-z", "--index-info", given="".join(f"{line}\0" for line in lines), env=env)
            return self._git("write-tree", env=env).strip()

    def _commit(self, tree: str, head: str, message: str) -> str:
        name, _bracket, address = self._repository.author.rstrip(">").partition(" <")
        env = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", address))
        }
        text = f"{message}\n" + (f"\n{_RUN}: {self._run}\n" if self._run else "")
        options = ["-p", head] if head else []
        if self._repository.signing_key:
            options.append(f"-S{self._repository.signing_key}")
        return self._git("commit-tree", tree, *options, "-F", "-", given=text, env=env).strip()

    # Going back

    def revision(self, name: str) -> str:
        """The commit that a revision names: a commit, a tag, or the identifier of a run (its last commit).

        Raises:
            Failure: nothing of that name is in the branch's history.
        """
        head = self.head
        found = self._commit_of(name)
        if not found and head:
            run = f"--grep=^{_RUN}: {re.escape(name)}$"
            found = self._git("log", "-1", "--format=%H", "--extended-regexp", run, head).strip()
        if found and self._call("merge-base", "--is-ancestor", found, head).returncode == 0:
            return found
        raise Failure(
            f"{self._shown}: {name!r} names no commit and no run in the history of {self._repository.branch}",
            "take one of `git log`",
        )

    def files_at(self, commit: str, folders: Sequence[str] = ("",)) -> dict[str, bytes]:
        """The content of all files of a commit below some folders of the tree."""
        return {
            path: self._git("cat-file", "blob", name).encode("utf-8", "surrogateescape")
            for path, (_mode, name) in self.files(commit, folders).items()
        }

    # Git

    def _commit_of(self, name: str) -> str:
        wanted = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self._call("rev-parse", *wanted).stdout.decode().strip()

    @property
    def _shown(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self._repository.url)

    def _in_repository(self, path: str) -> str:
        return "/".join(part for part in (self._repository.path.strip("/"), path.strip("/")) if part)

    def _in_tree(self, path: str) -> str:
        prefix = self._repository.path.strip("/")
        return path[len(prefix) + 1 :] if prefix else path

    def _fetch(self) -> None:
        if not (self._folder / "HEAD").exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._git("init", "--quiet", "--bare", ".")
            askpass = self._folder / "askpass"
            askpass.write_text(_ASKPASS)
            askpass.chmod(0o700)
        self._git("config", "remote.origin.url", self._repository.url)
        # Branches only: one that is gone at the remote is gone here too.
        self._git("fetch", "--quiet", "--prune", "origin", f"+refs/heads/*:{_REMOTE}*")
        self._fetched = True

    @contextmanager
    def _index(self) -> Iterator[dict[str, str]]:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix="index-") as folder:
            yield {"GIT_INDEX_FILE": os.path.join(folder, "index")}

    def _git(self, *arguments: str, given: str | bytes = b"", env: Mapping[str, str] | None = None) -> str:
        done = self._call(*arguments, given=given, env=env)
        if done.returncode != 0:
            raise self._failure(arguments[0], _output(done))
        return done.stdout.decode(errors="surrogateescape")

    def _call(
        self, *arguments: str, given: str | bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        repository = self._repository
        # Neither the user's nor the repository's hooks and settings: what is committed depends on the tree alone.
        settings = ["core.hooksPath=/dev/null", "gc.auto=0", f"gpg.format={repository.signing_format}"]
        settings += ["protocol.ext.allow=never", "credential.helper="]
        command = ["git", *(word for setting in settings for word in ("-c", setting)), *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        environment |= {
            "GIT_DIR": str(self._folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            **(env or {}),
        }
        if repository.password:
            environment |= {
                "GIT_ASKPASS": str(self._folder / "askpass"),
                "PLATFORM_GIT_USERNAME": repository.username or "git",
                "PLATFORM_GIT_PASSWORD": repository.password,
            }
        identity = ["-oIdentitiesOnly=yes", f"-oIdentityFile={repository.ssh_key}"] if repository.ssh_key else []
        environment["GIT_SSH_COMMAND"] = shlex.join(["ssh", "-oBatchMode=yes", *identity])
        try:
            return subprocess.run(
                command,
                input=given.encode() if isinstance(given, str) else given,
                capture_output=True,
                env=environment,
                cwd=self._folder,
                timeout=_TIMEOUT,
                check=False,
            )
        except FileNotFoundError as error:
            raise Failure("git is missing on the controller", "install it") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self._shown}: git {arguments[0]} was not done after {_TIMEOUT} s", "try again") from error

    def _failure(self, what: str, said: str) -> Failure:
        if self._repository.password:
            said = said.replace(self._repository.password, "********")
        lines = [
            line.strip() for line in said.splitlines() if line.strip() and not line.startswith(("To ", "Done", "hint:"))
        ]
        next_step = next((step for pattern, step in _CAUSES if re.search(pattern, said)), "")
        return Failure(f"{self._shown}: git {what}: {'; '.join(lines[:6]) or 'no reason given'}", next_step)


def _blob(content: bytes) -> str:
    """The name that Git gives a content (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects)."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def _output(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode(errors="replace")


def repository_from(settings: Mapping[str, Any]) -> Repository:
    """A repository from the variable `platform_git`.

    Raises:
        Failure: naming what is missing or not known.
    """
    known = sorted(each.name for each in fields(Repository))
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise Failure(f"platform_git: {', '.join(unknown)} is not known", f"it takes {', '.join(known)}")
    if not settings.get("url"):
        raise Failure("platform_git: url is missing", "name the repository that ArgoCD follows")
    return Repository(**{key: str(value) for key, value in settings.items() if value})
