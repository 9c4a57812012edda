# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree in a real repository: two writers at once, a branch that moves, a server that refuses, and going back."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree, Repository, repository_from

ONE, TWO = "components/03-one", "components/04-two"


def git(folder: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, env=env)
    return done.stdout.strip()


class Remote:
    """A bare repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "remote.git"
        self.beside = folder
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.folder)], check=True)

    def tree(self, name: str = "a", **settings: Any) -> GitTree:
        """A writer with a folder of its own."""
        repository = Repository(**{"url": str(self.folder), **settings})
        return GitTree(repository, str(self.beside / name), run=f"run-{name}", sleep=lambda seconds: None)

    def files(self, revision: str = "main") -> dict[str, str]:
        names = git(self.folder, "ls-tree", "-r", "--name-only", revision).splitlines()
        return {name: git(self.folder, "show", f"{revision}:{name}") for name in names}

    def commits(self) -> list[str]:
        return git(self.folder, "log", "--format=%s", "main").splitlines()

    def hook(self, text: str) -> None:
        path = self.folder / "hooks" / "pre-receive"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def actions(tree: GitTree, folder: str, files: dict[str, bytes]) -> dict[str, str]:
    return {step.target: step.action for step in tree.plan([folder], files).steps}


def test_the_first_commit_of_an_empty_repository(remote: Remote) -> None:
    tree, files = remote.tree(), {f"{ONE}/a.yaml": b"a\n"}
    assert actions(tree, ONE, files) == {f"{ONE}/a.yaml": "create"}
    tree.write([ONE], files, "one: 1 created")
    assert remote.files() == {f"{ONE}/a.yaml": "a"}
    assert git(remote.folder, "log", "-1", "--format=%an <%ae>%n%B") == (
        "banking.platform <platform@localhost>\none: 1 created\n\nPlatform-Run: run-a"
    )


def test_nothing_different_makes_no_commit(remote: Remote) -> None:
    files = {f"{ONE}/a.yaml": b"a\n"}
    first = remote.tree().write([ONE], files, "one")
    again = remote.tree("b")
    assert actions(again, ONE, files) == {f"{ONE}/a.yaml": "none"}
    assert again.write([ONE], files, "one again") == first
    assert remote.commits() == ["one"]


def test_only_the_components_own_folder_is_touched(remote: Remote) -> None:
    remote.tree().write([ONE, TWO], {f"{ONE}/a.yaml": b"a", f"{ONE}/b.yaml": b"b", f"{TWO}/c.yaml": b"c"}, "both")
    tree, files = remote.tree("b"), {f"{ONE}/b.yaml": b"B", f"{ONE}/d.yaml": b"d"}
    assert actions(tree, ONE, files) == {
        f"{ONE}/a.yaml": "delete",
        f"{ONE}/b.yaml": "update",
        f"{ONE}/d.yaml": "create",
    }
    tree.write([ONE], files, "one")
    assert remote.files() == {f"{ONE}/b.yaml": "B", f"{ONE}/d.yaml": "d", f"{TWO}/c.yaml": "c"}


def test_a_folder_in_the_repository(remote: Remote) -> None:
    remote.tree("other").write([""], {"readme": b"theirs", f"{ONE}/x.yaml": b"theirs"}, "theirs")
    tree = remote.tree(path="clusters/prod")
    assert actions(tree, ONE, {}) == {}
    tree.write([ONE], {f"{ONE}/a.yaml": b"a"}, "ours")
    assert remote.files() == {"readme": "theirs", f"{ONE}/x.yaml": "theirs", f"clusters/prod/{ONE}/a.yaml": "a"}
    again = remote.tree("again", path="clusters/prod")
    assert set(again.files(again.head)) == {f"{ONE}/a.yaml"}


def test_two_writers_at_once_lose_nothing(remote: Remote) -> None:
    def write(name: str) -> None:
        tree = GitTree(Repository(str(remote.folder)), str(remote.beside / name))
        for number in range(10):
            tree.write(
                [f"components/{name}"],
                {f"components/{name}/{n}.yaml": b"x" for n in range(number + 1)},
                f"{name}{number}",
            )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, ("first", "second")))
    assert sorted(remote.commits()) == sorted(f"{name}{number}" for name in ("first", "second") for number in range(10))
    assert len(remote.files()) == 20


def test_a_branch_that_moved_meanwhile_is_built_upon(remote: Remote) -> None:
    tree = remote.tree()
    tree.write([ONE], {f"{ONE}/a.yaml": b"a"}, "one")
    remote.tree("other").write([TWO], {f"{TWO}/b.yaml": b"b"}, "other")
    tree.write([ONE], {f"{ONE}/a.yaml": b"A"}, "one again")
    assert remote.files() == {f"{ONE}/a.yaml": "A", f"{TWO}/b.yaml": "b"}
    assert remote.commits() == ["one again", "other", "one"]


def test_a_branch_that_never_stands_still_ends_in_an_error(remote: Remote) -> None:
    remote.tree().write([ONE], {f"{ONE}/a.yaml": b"a"}, "one")
    other = remote.tree("other")

    def disturb(_seconds: float = 0) -> None:
        other.write([TWO], {f"{TWO}/b.yaml": os.urandom(8).hex().encode()}, "other")

    tree = GitTree(Repository(str(remote.folder)), str(remote.beside / "slow"), sleep=disturb)
    assert tree.head
    disturb()
    fetch = tree._fetch
    tree._fetch = lambda: (fetch(), disturb())[0]  # type: ignore[method-assign]
    with pytest.raises(Failure, match="branch main moved 8 times while we pushed"):
        tree.write([ONE], {f"{ONE}/a.yaml": b"A"}, "one again")


def test_a_push_that_is_refused_says_why(remote: Remote) -> None:
    remote.hook("echo 'only by merge request' >&2; exit 1")
    with pytest.raises(Failure) as failure:
        remote.tree().write([ONE], {f"{ONE}/a.yaml": b"a"}, "one")
    assert "only by merge request" in failure.value.cause
    assert "guards the branch" in failure.value.next_step
    # What was made for it here does not count as there.
    remote.hook("exit 0")
    assert actions(remote.tree(), ONE, {f"{ONE}/a.yaml": b"a"}) == {f"{ONE}/a.yaml": "create"}


def test_a_repository_that_is_not_there_is_named(remote: Remote) -> None:
    with pytest.raises(Failure, match=r"/nowhere\.git: git fetch: ") as failure:
        assert remote.tree(url="/nowhere.git").head
    assert "platform_git.url" in failure.value.next_step


def test_hooks_and_settings_of_the_user_do_not_matter(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    config = remote.beside / "config"
    config.write_text(
        "[user]\nname = Somebody\n[commit]\ngpgSign = true\n[core]\nautocrlf = true\n[push]\ndefault = nothing\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    remote.tree().write([ONE], {f"{ONE}/a.yaml": b"a\r\n"}, "one")
    monkeypatch.undo()
    assert git(remote.folder, "log", "-1", "--format=%an %cn") == "banking.platform banking.platform"
    blob = subprocess.run(
        ["git", "-C", str(remote.folder), "cat-file", "blob", f"main:{ONE}/a.yaml"], capture_output=True, check=True
    )
    assert blob.stdout == b"a\r\n"


def test_revisions_are_found_by_commit_tag_and_run(remote: Remote) -> None:
    first = remote.tree("first").write([ONE], {f"{ONE}/a.yaml": b"1"}, "one")
    remote.tree("second").write([ONE], {f"{ONE}/a.yaml": b"2"}, "two")
    last = remote.tree("second").write([ONE], {f"{ONE}/a.yaml": b"3"}, "three")
    tree = remote.tree()
    assert [tree.revision(name) for name in (first, first[:10], "run-first", "run-second")] == [
        first,
        first,
        first,
        last,
    ]
    assert tree.files_at(first) == {f"{ONE}/a.yaml": b"1"}
    for name in ("run-sec", "nothing", "--all", ""):
        with pytest.raises(Failure, match="names no commit and no run"):
            tree.revision(name)


def test_a_commit_of_another_branch_is_no_revision(remote: Remote) -> None:
    remote.tree().write([ONE], {f"{ONE}/a.yaml": b"1"}, "one")
    other = remote.tree("other", branch="other").write([ONE], {f"{ONE}/a.yaml": b"2"}, "two")
    with pytest.raises(Failure, match="names no commit and no run"):
        remote.tree("third").revision(other)


class _Guarded(http.server.SimpleHTTPRequestHandler):
    """git's "dumb" protocol behind a password: enough to see what is sent."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"robot:s3cret-token").decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def guarded(remote: Remote) -> Iterator[tuple[str, list[str]]]:
    remote.tree().write([ONE], {f"{ONE}/a.yaml": b"1"}, "one")
    git(remote.folder, "update-server-info")
    seen: list[str] = []
    handler = type("Handler", (_Guarded,), {"seen": seen})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(remote.beside)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/remote.git", seen
    server.shutdown()


def test_a_password_reaches_the_server_and_nothing_else(remote: Remote, guarded: tuple[str, list[str]]) -> None:
    url, seen = guarded
    tree = remote.tree("http", url=url, username="robot", password="s3cret-token")
    assert tree.files(tree.head)
    assert any(seen)
    kept = [path for path in (remote.beside / "http").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret-token" in path.read_bytes()]
    wrong = remote.tree("wrong", url=url, username="robot", password="another-token")
    with pytest.raises(Failure, match="git fetch") as failure:
        assert wrong.head
    assert "another-token" not in failure.value.cause
    assert "credentials" in failure.value.next_step


def test_the_setting_is_checked() -> None:
    assert repository_from({"url": "u", "branch": "live", "author": "P <p@bank>"}).author == "P <p@bank>"
    with pytest.raises(Failure, match="url is missing"):
        repository_from({"branch": "main"})
    with pytest.raises(Failure, match="brunch is not known"):
        repository_from({"url": "u", "brunch": "main"})
    assert "s3cret" not in repr(repository_from({"url": "u", "password": "s3cret"}))
