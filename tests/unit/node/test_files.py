# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, directories and links: what is compared, what is written, and what is left behind when it goes wrong."""

from __future__ import annotations

import grp
import json
import os
import pwd
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.node.files import MAX_DIFF
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

from .conftest import Faults, Node, in_child, kill, mount, no_space


def mode_of(path: str | Path) -> str:
    return f"{stat.S_IMODE(os.lstat(path).st_mode):04o}"


def step_of(result: dict[str, Any], target: str) -> dict[str, Any]:
    return next(step for step in result["plan"] if step["target"] == target)


@pytest.fixture
def check_program(node: Node) -> None:
    """A validator `checker FILE` that wants the word "good" in a file."""

    def checker(arguments: list[str]) -> Completed:
        text = Path(arguments[-1]).read_text()
        return Completed(0, "", "") if "good" in text else Completed(1, "", f"{arguments[-1]}:1: no good: {text}")

    node.system.programs["checker"] = checker


class TestAFile:
    def test_is_made_with_owner_and_mode_and_its_parents(self, node: Node) -> None:
        path = node.path("etc/a/b/new.conf")
        result = node.run(tree={path: "x\n"}, files={path: {"mode": "0640", "group": "adm"}})
        assert node.read("etc/a/b/new.conf") == "x\n"
        assert mode_of(path) == "0640"
        assert os.stat(path).st_gid == grp.getgrnam("adm").gr_gid
        assert mode_of(node.path("etc/a")) == mode_of(node.path("etc/a/b")) == "0755"
        assert result["changed"]
        assert result["paths"] == [node.path("etc"), node.path("etc/a"), node.path("etc/a/b"), path]
        assert step_of(result, path)["action"] == "create"

    def test_that_is_right_stays_and_nothing_is_written(self, node: Node, faults: Faults) -> None:
        path = node.path("etc/x.conf")
        node.run(tree={path: "x\n"})
        before = node.listing()
        with faults.watch(node.root) as calls:
            result = node.run(tree={path: "x\n"})
        assert calls == []
        assert node.listing() == before
        assert result["changed"] is False
        assert result["paths"] == []
        assert step_of(result, path) == {"kind": "file", "target": path, "action": "none"}

    def test_with_other_content_is_replaced_and_the_difference_shown(self, node: Node) -> None:
        path = str(node.put("etc/x.conf", "old\n"))
        result = node.run(tree={path: "new\n"})
        assert node.read("etc/x.conf") == "new\n"
        assert result["diff"] == [{"before_header": path, "after_header": path, "before": "old\n", "after": "new\n"}]
        assert step_of(result, path)["before"]["content"].startswith("sha256:")

    def test_with_another_mode_only_says_so(self, node: Node) -> None:
        path = str(node.put("etc/x.conf", "same\n", mode=0o600))
        result = node.run(tree={path: "same\n"})
        assert mode_of(path) == "0644"
        step = step_of(result, path)
        assert step["before"] == {"mode": "0600"}
        assert (result["diff"][0]["before"], result["diff"][0]["after"]) == ("mode: 0600\n", "mode: 0644\n")

    def test_is_replaced_and_not_rewritten_so_that_readers_see_one_or_the_other(self, node: Node) -> None:
        path = node.put("etc/x.conf", "old\n")
        with open(path) as reader:
            node.run(tree={str(path): "new\n"})
            assert reader.read() == "old\n"

    def test_that_is_empty_is_a_file_too(self, node: Node) -> None:
        path = node.path("etc/empty")
        assert node.run(tree={path: ""})["changed"]
        assert node.read("etc/empty") == ""
        assert not node.run(tree={path: ""})["changed"]

    def test_of_numeric_owners_needs_no_such_user(self, node: Node) -> None:
        path = node.path("etc/x")
        wanted: dict[str, Any] = {"tree": {path: "x"}, "files": {path: {"owner": 64123, "group": "64124"}}}
        node.run(**wanted)
        status = os.stat(path)
        assert (status.st_uid, status.st_gid) == (64123, 64124)
        assert not node.run(**wanted)["changed"]

    def test_of_a_number_that_has_a_name_is_the_same_as_by_name(self, node: Node) -> None:
        path = node.path("etc/x")
        number = pwd.getpwnam("daemon").pw_uid
        node.run(tree={path: "x"}, files={path: {"owner": number}})
        assert not node.run(tree={path: "x"}, files={path: {"owner": "daemon"}})["changed"]

    def test_of_an_unknown_user_fails_before_anything_is_changed(self, node: Node) -> None:
        first, second = node.path("etc/a"), node.path("etc/b")
        before = node.listing()
        failure, _states = node.fail(tree={first: "x", second: "x"}, files={second: {"owner": "nobody-here"}})
        assert f"file {second}: user 'nobody-here' does not exist" in failure.cause
        assert node.listing() == before

    def test_of_an_unknown_group_is_deferred_in_check_mode(self, node: Node) -> None:
        path = node.path("etc/a")
        result = node.run(check=True, tree={path: "x"}, files={path: {"group": "group-of-a-package"}})
        assert result["deferred"] == [f"file {path}: group 'group-of-a-package' does not exist"]

    def test_with_special_mode_bits_keeps_them_through_the_change_of_owner(self, node: Node) -> None:
        path = node.path("usr/bin/tool")
        node.run(tree={path: "x"}, files={path: {"mode": "2755", "group": "adm"}})
        assert mode_of(path) == "2755"

    def test_is_never_readable_to_others_while_it_is_written(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        path = node.path("etc/secret")
        seen: list[str] = []
        node.put("etc/other")
        real = os.fsync

        def fsync(descriptor: int) -> None:
            seen.extend(mode_of(entry.path) for entry in os.scandir(node.path("etc")) if "secret" in entry.name)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        node.run(tree={path: "x"}, files={path: {"mode": "0600"}})
        assert set(seen) == {"0600"}

    @pytest.mark.parametrize("name", ["spähtrupp-ключ-鍵.conf", "with space", "quote'\"$(x)", "-dash", "tab\tx"])
    def test_may_have_any_name(self, node: Node, name: str, check_program: None) -> None:
        path = node.path(f"etc/{name}")
        wanted: dict[str, Any] = {
            "tree": {path: "good: Straße 東京 🏦\n"},
            "files": {path: {"validate": "checker %s"}},
        }
        result = node.run(**wanted)
        assert Path(path).read_bytes() == "good: Straße 東京 🏦\n".encode()
        assert result["diff"][-1]["after"] == "good: Straße 東京 🏦\n"
        json.dumps(result)
        assert not node.run(**wanted)["changed"]

    def test_of_a_megabyte_is_written_and_its_difference_told_by_size(self, node: Node) -> None:
        path = str(node.put("etc/big", "x" * (1 << 20)))
        result = node.run(tree={path: "y" * (1 << 20)})
        assert os.path.getsize(path) == 1 << 20
        assert Path(path).read_bytes() == b"y" * (1 << 20)
        assert len(json.dumps(result)) < 2000
        assert result["diff"][0]["after"].startswith("(1048576 bytes, sha256:")

    @pytest.mark.parametrize(("size", "shown"), [(MAX_DIFF, True), (MAX_DIFF + 1, False)])
    def test_is_shown_up_to_a_limit(self, node: Node, size: int, shown: bool) -> None:
        result = node.run(tree={node.path("etc/x"): "z" * size})
        assert (result["diff"][-1]["after"] == "z" * size) is shown

    @pytest.mark.parametrize("content", [b"\x7fELF\x00\x01", b"\xff\xfe\xfd", bytes(range(256))])
    def test_that_is_binary_is_written_and_its_difference_told_by_digest(self, node: Node, content: bytes) -> None:
        path = node.path("usr/bin/tool")
        result = node.run(tree={path: content})
        assert Path(path).read_bytes() == content
        assert result["diff"][-1]["after"].startswith(f"(binary, {len(content)} bytes, sha256:")
        json.dumps(result)
        assert not node.run(tree={path: content})["changed"]


class TestInTheWay:
    def test_a_link_is_replaced_and_its_target_untouched(self, node: Node) -> None:
        target = node.put("etc/shadow", "root:x\n", mode=0o600)
        link = Path(node.path("etc/x.conf"))
        link.symlink_to(target)
        before = os.stat(target)
        result = node.run(tree={str(link): "new\n"}, files={str(link): {"mode": "0666"}})
        assert not link.is_symlink()
        assert link.read_text() == "new\n"
        assert target.read_text() == "root:x\n"
        assert os.stat(target) == before
        assert step_of(result, str(link))["before"] == {"link": str(target)}

    def test_a_dangling_link_is_replaced(self, node: Node) -> None:
        link = Path(node.path("etc/x.conf"))
        node.put("etc/y")
        link.symlink_to("/nonexistent/place")
        node.run(tree={str(link): "new\n"})
        assert link.read_text() == "new\n"
        assert not link.is_symlink()

    def test_a_directory_is_an_error_before_anything_is_changed(self, node: Node) -> None:
        node.put("etc/b.conf/inside")
        before = node.listing()
        failure, _states = node.fail(tree={node.path("etc/a.conf"): "x", node.path("etc/b.conf"): "x"})
        assert failure.cause == f"file {node.path('etc/b.conf')}: a directory is in the way"
        assert failure.next_step == f"move {node.path('etc/b.conf')} away"
        assert node.listing() == before

    def test_a_pipe_is_an_error(self, node: Node) -> None:
        node.put("etc/x")
        os.mkfifo(node.path("etc/p"))
        failure, _states = node.fail(tree={node.path("etc/p"): "x"})
        assert "a other is in the way" not in failure.cause
        assert (
            f"file {node.path('etc/p')}: something that is neither file, directory nor link is in the way"
            in failure.cause
        )

    @pytest.mark.parametrize("kind", ["file", "dangling"])
    def test_a_parent_that_is_no_directory_is_an_error(self, node: Node, kind: str) -> None:
        parent = Path(node.path("etc/conf.d"))
        node.put("etc/x")
        if kind == "file":
            parent.write_text("")
        else:
            parent.symlink_to("/nonexistent")
        failure, _states = node.fail(tree={f"{parent}/a.conf": "x"})
        assert f"{parent} is not a directory" in failure.cause

    def test_a_parent_that_is_a_link_to_a_directory_is_fine(self, node: Node) -> None:
        node.put("usr/lib/x")
        Path(node.path("lib")).symlink_to("usr/lib")
        node.run(tree={node.path("lib/y"): "y"}, directories={node.path("lib"): {}})
        assert node.read("usr/lib/y") == "y"
        assert Path(node.path("lib")).is_symlink()

    def test_a_file_where_a_directory_is_wanted_is_an_error(self, node: Node) -> None:
        path = str(node.put("var/lib/x"))
        failure, _states = node.fail(directories={path: {}})
        assert failure.cause == f"directory {path}: a file is in the way"

    def test_a_directory_where_a_link_is_wanted_is_an_error(self, node: Node) -> None:
        node.put("etc/localtime/x")
        failure, _states = node.fail(links={node.path("etc/localtime"): "/usr/share/zoneinfo/UTC"})
        assert "a directory is in the way" in failure.cause


class TestAttributesOnly:
    def test_are_kept_of_a_file_that_something_else_brings(self, node: Node) -> None:
        path = node.put("etc/shadow", "root:x\n", mode=0o644)
        result = node.run(files={str(path): {"mode": "0640", "group": "shadow"}})
        assert mode_of(path) == "0640"
        assert path.read_text() == "root:x\n"
        assert "root:x" not in json.dumps(result)
        assert not node.run(files={str(path): {"mode": "0640", "group": "shadow"}})["changed"]

    def test_of_a_file_that_is_not_there_are_no_step(self, node: Node) -> None:
        path = node.path("etc/opasswd")
        result = node.run(files={path: {"mode": "0600"}})
        assert not result["changed"]
        assert step_of(result, path)["note"] == "not there"
        assert not os.path.lexists(path)

    def test_leave_a_link_and_its_target_alone(self, node: Node) -> None:
        target = node.put("etc/real", mode=0o644)
        Path(node.path("etc/link")).symlink_to(target)
        assert not node.run(files={node.path("etc/link"): {"mode": "0600"}})["changed"]
        assert mode_of(target) == "0644"

    def test_are_put_back_when_a_later_path_fails(self, node: Node, faults: Faults) -> None:
        path = node.put("etc/a", mode=0o644)
        wanted: dict[str, Any] = {"files": {str(path): {"mode": "0600"}}, "links": {node.path("etc/z"): "/x"}}
        with faults.watch(node.root, at=2, act=no_space):
            node.fail(**wanted)
        assert mode_of(path) == "0644"


class TestADirectory:
    def test_is_made_and_kept(self, node: Node) -> None:
        path = node.path("var/lib/vault")
        wanted: dict[str, Any] = {"directories": {path: {"mode": "0700", "owner": "daemon"}}}
        node.run(**wanted)
        assert mode_of(path) == "0700"
        os.chmod(path, 0o755)
        result = node.run(**wanted)
        assert step_of(result, path)["before"] == {"mode": "0755"}
        assert mode_of(path) == "0700"
        assert not node.run(**wanted)["changed"]

    def test_that_is_wanted_below_one_that_is_missing_is_made_after_it(self, node: Node) -> None:
        top, file = node.path("var/lib/x"), node.path("var/lib/x/sub/file")
        node.run(directories={top: {"mode": "0700"}}, tree={file: "x"})
        assert mode_of(top) == "0700"
        assert mode_of(node.path("var/lib/x/sub")) == "0755"

    def test_that_is_only_a_parent_keeps_the_mode_that_it_has(self, node: Node) -> None:
        node.put("etc/private/x")
        os.chmod(node.path("etc/private"), 0o700)
        node.run(tree={node.path("etc/private/y"): "y"})
        assert mode_of(node.path("etc/private")) == "0700"

    def test_has_its_mode_from_the_moment_that_it_appears(self, node: Node, faults: Faults) -> None:
        """A kill between making a parent and giving it its mode would else leave it closed for good."""
        path = node.path("etc/a/x")
        with faults.watch(node.root) as calls:
            node.run(tree={path: "x"})
        for at in range(1, len(calls) + 1):
            fresh = node.path(f"run{at}")
            wanted = {"tree": {f"{fresh}/a/x": "x"}}
            assert in_child(partial(_run_and_kill, node, faults, at, **wanted)) == "killed"
            for folder in (fresh, f"{fresh}/a"):
                assert not os.path.isdir(folder) or mode_of(folder) == "0755"


class TestPurge:
    def test_removes_what_is_not_wanted_at_any_depth(self, node: Node) -> None:
        keep, made = node.put("etc/d/sub/keep", "k"), node.path("etc/d/new")
        for name in ("etc/d/a", "etc/d/sub/b", "etc/d/other/deep/c", "etc/d/.hidden"):
            node.put(name)
        Path(node.path("etc/d/link")).symlink_to("/etc/passwd")
        wanted: dict[str, Any] = {
            "directories": {node.path("etc/d"): {"purge": True}},
            "tree": {str(keep): "k", made: "n"},
        }
        result = node.run(**wanted)
        found = sorted(str(path.relative_to(node.root)) for path in Path(node.path("etc/d")).rglob("*"))
        assert found == ["etc/d/new", "etc/d/sub", "etc/d/sub/keep"]
        assert {step["note"] for step in result["plan"] if step["action"] == "delete"} == {
            "not wanted in a directory that is purged"
        }
        assert os.path.exists("/etc/passwd")
        assert not node.run(**wanted)["changed"]

    def test_of_nested_directories_removes_each_path_once(self, node: Node) -> None:
        node.put("etc/d/e/old")
        wanted: dict[str, Any] = {
            "directories": {node.path("etc/d"): {"purge": True}, node.path("etc/d/e"): {"purge": True}}
        }
        node.run(**wanted)
        assert os.listdir(node.path("etc/d/e")) == []

    def test_in_check_mode_only_says_what_would_go(self, node: Node) -> None:
        node.put("etc/d/old")
        before = node.listing()
        result = node.run(check=True, directories={node.path("etc/d"): {"purge": True}})
        assert result["paths"] == [node.path("etc/d/old")]
        assert node.listing() == before

    def test_puts_everything_back_when_a_file_fails(self, node: Node, check_program: None) -> None:
        node.put("etc/d/old/deep", "content")
        before = {name: content[-1] for name, content in node.listing().items()}
        path = node.path("etc/d/new")
        _failure, states = node.fail(
            directories={node.path("etc/d"): {"purge": True}},
            tree={path: "bad"},
            files={path: {"validate": "checker %s"}},
        )
        assert states[node.path("etc/d/old")] == "put back"
        assert {name: content[-1] for name, content in node.listing().items()} == before

    def test_takes_away_what_a_killed_run_left(self, node: Node) -> None:
        node.put("etc/d/.converge-0a1b2c3d.x", "half")
        node.run(directories={node.path("etc/d"): {"purge": True}})
        assert os.listdir(node.path("etc/d")) == []


class TestAbsent:
    def test_files_directories_and_links_go(self, node: Node) -> None:
        node.put("etc/f")
        node.put("etc/d/deep/x")
        target = node.put("etc/target")
        Path(node.path("etc/l")).symlink_to(target)
        paths = [node.path(f"etc/{name}") for name in ("f", "d", "l", "never-there")]
        result = node.run(absent=paths)
        assert os.listdir(node.path("etc")) == ["target"]
        assert result["paths"] == sorted(paths[:3])
        assert not node.run(absent=paths)["changed"]

    def test_a_path_and_one_below_it_may_both_be_named(self, node: Node) -> None:
        node.put("etc/d/x")
        node.put("etc/d/y")
        node.run(absent=[node.path("etc/d"), node.path("etc/d/x")])
        assert not os.path.exists(node.path("etc/d"))

    def test_below_something_that_is_no_directory_is_absent_already(self, node: Node) -> None:
        node.put("etc/f")
        assert not node.run(absent=[node.path("etc/f/x")])["changed"]

    def test_a_directory_comes_back_whole_when_a_later_step_fails(self, node: Node, check_program: None) -> None:
        node.put("etc/d/one", "1", mode=0o600)
        node.put("etc/d/deep/two", "2")
        os.chown(node.path("etc/d/one"), 64123, 64124)
        before = node.listing()
        path = node.path("etc/z")
        _failure, states = node.fail(
            absent=[node.path("etc/d")], tree={path: "bad"}, files={path: {"validate": "checker %s"}}
        )
        assert states == {node.path("etc/d"): "put back", path: "failed"}
        after = node.listing()
        # The folder itself was renamed twice, and its parent with it; what lies in it is as it was.
        assert {name: line[:3] for name, line in after.items()} == {name: line[:3] for name, line in before.items()}
        assert after["etc/d/one"] == before["etc/d/one"]
        assert node.leftovers() == []

    def test_what_a_killed_run_had_set_aside_goes_with_the_next_run(self, node: Node, faults: Faults) -> None:
        node.put("etc/d/deep/x")
        wanted: dict[str, Any] = {"absent": [node.path("etc/d")]}
        assert in_child(partial(_run_and_kill, node, faults, 2, **wanted)) == "killed"
        assert not os.path.exists(node.path("etc/d"))
        assert node.leftovers() != []
        node.run(**wanted)
        assert node.leftovers() == []
        assert not node.run(**wanted)["changed"]


class TestLinks:
    def test_are_made_and_kept(self, node: Node) -> None:
        path = node.path("etc/localtime")
        node.run(links={path: "/usr/share/zoneinfo/UTC"})
        assert os.readlink(path) == "/usr/share/zoneinfo/UTC"
        assert not node.run(links={path: "/usr/share/zoneinfo/UTC"})["changed"]

    def test_a_link_to_elsewhere_is_switched_without_a_moment_of_absence(self, node: Node, faults: Faults) -> None:
        path = node.path("etc/x")
        node.put("etc/y")
        os.symlink("/old", path)
        with faults.watch(node.root) as calls:
            result = node.run(links={path: "/new"})
        assert os.readlink(path) == "/new"
        assert not [call for call in calls if call.startswith("os.remove")]
        assert step_of(result, path)["before"] == {"link": "/old"}

    def test_a_file_in_the_way_comes_back_when_a_later_link_fails(self, node: Node, faults: Faults) -> None:
        node.put("etc/a", "a file", mode=0o640)
        wanted: dict[str, Any] = {"links": {node.path("etc/a"): "/x", node.path("etc/b"): "/y"}}
        with faults.watch(node.root, at=3, act=no_space):
            node.fail(**wanted)
        assert (node.read("etc/a"), mode_of(node.path("etc/a"))) == ("a file", "0640")
        assert node.leftovers() == []


class TestValidators:
    def test_a_file_that_its_program_rejects_stays_as_it_was(self, node: Node, check_program: None) -> None:
        path = str(node.put("etc/x.conf", "old"))
        failure, states = node.fail(tree={path: "evil"}, files={path: {"validate": "checker -c %s"}})
        assert failure.cause == f"file {path}: rejected by 'checker -c {path}': {path}:1: no good: evil"
        assert "no file was replaced" in failure.next_step
        assert (node.read("etc/x.conf"), node.leftovers()) == ("old", [])
        assert states == {path: "failed"}

    def test_two_files_of_which_the_second_is_bad_leave_the_first_untouched(
        self, node: Node, check_program: None
    ) -> None:
        first, second = str(node.put("etc/a.conf", "old")), str(node.put("etc/b.conf", "old"))
        before = node.listing()
        rule = {"validate": "checker %s"}
        _failure, states = node.fail(tree={first: "good", second: "bad"}, files={first: rule, second: rule})
        after = node.listing()
        assert (after["etc/a.conf"], after["etc/b.conf"]) == (before["etc/a.conf"], before["etc/b.conf"])
        assert node.leftovers() == []
        assert states == {first: "failed", second: "not done"}

    def test_a_file_is_checked_with_its_own_suffix_and_mode(self, node: Node) -> None:
        seen: list[tuple[str, str]] = []
        node.put("etc/old")

        def checker(arguments: list[str]) -> Completed:
            seen.append((Path(arguments[0]).suffix, mode_of(arguments[0])))
            return Completed(0, "", "")

        node.system.programs["checker"] = checker
        path = node.path("etc/x.service")
        node.run(tree={path: "x"}, files={path: {"validate": "checker %s", "mode": "0600"}})
        assert seen == [(".service", "0600")]

    def test_a_validator_that_is_missing_is_an_error_and_nothing_is_replaced(self, node: Node) -> None:
        path = str(node.put("etc/x.conf", "old"))
        failure, _states = node.fail(tree={path: "new"}, files={path: {"validate": "no-such-checker %s"}})
        assert failure.cause == f"file {path}: program 'no-such-checker' is not installed"
        assert (node.read("etc/x.conf"), node.leftovers()) == ("old", [])

    def test_a_validator_that_cannot_be_started_is_an_error_and_nothing_is_left(self, node: Node) -> None:
        path = str(node.put("etc/x.conf", "old"))
        script = node.put("bin/checker", "not a program", mode=0o644)
        failure, _states = node.fail(tree={path: "new"}, files={path: {"validate": f"{script} %s"}})
        assert failure.cause == f"file {path}: program '{script}' cannot be started: Permission denied"
        assert (node.read("etc/x.conf"), node.leftovers()) == ("old", [])

    def test_a_validator_that_is_missing_is_deferred_in_check_mode(self, node: Node) -> None:
        path = node.path("etc/x.conf")
        result = node.run(check=True, tree={path: "new"}, files={path: {"validate": "no-such-checker %s"}})
        assert result["deferred"] == [f"file {path}: validator no-such-checker is not installed yet"]

    def test_check_mode_runs_the_validator_on_a_copy_elsewhere(
        self, node: Node, check_program: None, tmp_path: Path
    ) -> None:
        path = str(node.put("etc/x.conf", "old"))
        rule = {path: {"validate": "checker %s"}}
        before = node.listing()
        assert node.run(check=True, tree={path: "good"}, files=rule)["changed"]
        failure, _states = node.fail(check=True, tree={path: "bad"}, files=rule)
        assert f"file {path}: rejected by" in failure.cause
        assert node.listing() == before
        assert os.listdir(tmp_path) == ["node"]

    def test_a_validator_runs_without_a_shell(self, node: Node) -> None:
        path = node.path("etc/x.conf")
        node.put("etc/y")
        node.run(tree={path: "x"}, files={path: {"validate": f"true %s ; touch {node.path('etc/owned')}"}})
        assert not os.path.exists(node.path("etc/owned"))


SECRET = "tr0ub4dor&3-Ünsafe"


class TestSensitive:
    @pytest.mark.parametrize("check", [True, False])
    def test_content_old_and_new_never_shows(self, node: Node, check: bool) -> None:
        path = str(node.put("etc/key", "old-" + SECRET))
        result = node.run(check=check, tree={path: "new-" + SECRET}, files={path: {"sensitive": True, "mode": "0600"}})
        shown = json.dumps(result, ensure_ascii=False)
        assert SECRET not in shown
        assert "sha256" not in shown
        assert step_of(result, path)["note"] == "content differs; not shown"

    def test_what_a_validator_says_of_it_never_shows(self, node: Node, check_program: None) -> None:
        path = node.path("etc/key")
        rule = {path: {"sensitive": True, "validate": "checker %s"}}
        for check in (True, False):
            failure, _states = node.fail(check=check, tree={path: SECRET}, files=rule)
            assert SECRET not in failure.cause + failure.next_step
            assert f"file {path}: rejected by 'checker {path}'" in failure.cause
            assert "not shown" in failure.cause

    def test_a_change_of_the_mode_alone_is_not_called_one_of_content(self, node: Node) -> None:
        path = str(node.put("etc/key", SECRET, mode=0o644))
        result = node.run(tree={path: SECRET}, files={path: {"sensitive": True, "mode": "0600"}})
        assert step_of(result, path)["before"] == {"mode": "0644"}
        assert "note" not in step_of(result, path)


class TestAFullDisk:
    def test_leaves_every_file_as_it_was_and_no_temporary(
        self, node: Node, private_mounts: Callable[[Callable[[], Any]], Any]
    ) -> None:
        small = Path(node.path("small"))
        small.mkdir()

        def run() -> tuple[str, str, dict[str, str], list[str], bytes, int]:
            mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small))
            (small / "a").write_bytes(b"old" * 1000)
            free = os.statvfs(small).f_bavail
            failure, states = node.fail(tree={f"{small}/a": b"new" * 1000, f"{small}/b": b"x" * 300_000})
            return (
                failure.cause, failure.next_step, states, node.leftovers(), (small / "a").read_bytes(),
                free - os.statvfs(small).f_bavail,
            )  # fmt: skip

        cause, next_step, states, leftovers, content, used = private_mounts(run)
        assert cause == f"file {small}/b: cannot be written: No space left on device"
        assert "make room" in next_step
        assert leftovers == []
        assert content == b"old" * 1000
        assert used == 0
        assert states == {f"{small}/a": "failed", f"{small}/b": "not done"}
        assert os.listdir(small) == []  # unmounted again

    def test_is_converged_once_there_is_room(
        self, node: Node, private_mounts: Callable[[Callable[[], Any]], Any]
    ) -> None:
        small = Path(node.path("small"))
        small.mkdir()

        def run() -> bool:
            mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small))
            node.fail(tree={f"{small}/b": b"x" * 300_000})
            mount("-o", "remount,size=1m", str(small))
            node.run(tree={f"{small}/b": b"x" * 300_000})
            return node.run(tree={f"{small}/b": b"x" * 300_000})["changed"]

        assert private_mounts(run) is False


class TestAReadOnlyFileSystem:
    def test_is_said_and_nothing_is_changed(
        self, node: Node, private_mounts: Callable[[Callable[[], Any]], Any]
    ) -> None:
        place = Path(node.path("ro"))
        place.mkdir()
        other = node.put("etc/a", "old")

        def run() -> tuple[str, str, list[str], str | None]:
            mount("-t", "tmpfs", "tmpfs", str(place))
            (place / "b").write_text("old")
            mount("-o", "remount,ro", str(place))
            failure, _states = node.fail(tree={str(other): "new", f"{place}/b": "new"})
            return failure.cause, failure.next_step, node.leftovers(), node.read("etc/a")

        cause, next_step, leftovers, content = private_mounts(run)
        assert cause == f"file {place}/b: cannot be written: Read-only file system"
        assert "make the file system writable" in next_step
        assert (leftovers, content) == ([], "old")

    def test_a_converged_run_needs_no_write(
        self, node: Node, private_mounts: Callable[[Callable[[], Any]], Any]
    ) -> None:
        path = node.path("etc/a")
        unit = {"x.service": {"state": "started", "restart_on": [path]}}
        node.unit("x.service")

        def run() -> bool:
            node.run(tree={path: "x"}, units=unit)
            mount("--bind", str(node.root), str(node.root))
            mount("-o", "remount,bind,ro", str(node.root))
            return node.run(tree={path: "x"}, units=unit)["changed"]

        assert private_mounts(run) is False


# Whatever happens in between, each path is at its old or its new state


def _run_and_kill(node: Node, faults: Faults, at: int, **wanted: Any) -> None:
    run = node.plan(**wanted)
    with faults.watch(node.root, at=at, act=kill):
        run.apply()


def contents(node: Node) -> dict[str, Any]:
    """Kind, mode and content by path, without folders that only hold."""
    return {
        name: (line[0], line[-1])
        for name, line in node.listing().items()
        if not name.endswith(".") and not name.startswith("var/lib/converge")
    }


def change(node: Node) -> dict[str, Any]:
    """A wish that makes, changes, links, removes and purges."""
    node.put("etc/a.conf", "old a")
    node.put("etc/b.conf", "old b", mode=0o600)
    node.put("etc/gone/deep/file", "old gone")
    node.put("etc/d/unwanted", "old unwanted")
    node.put("etc/linked", "old file")
    return {
        "tree": {node.path(f"etc/{name}"): f"new {name}" for name in ("a.conf", "b.conf", "made/c.conf", "d/wanted")},
        "directories": {node.path("etc/d"): {"purge": True, "mode": "0750"}, node.path("etc/empty"): {}},
        "links": {node.path("etc/linked"): "a.conf"},
        "absent": [node.path("etc/gone")],
    }


def converged_copy(node: Node, tmp_path: Path) -> dict[str, Any]:
    """What a run without trouble makes of the wish of `change`."""
    other = Node(tmp_path / "other")
    other.run(**change(other))
    return contents(other)


class TestAKilledRun:
    def test_leaves_old_or_new_files_and_the_next_run_completes(
        self, node: Node, faults: Faults, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        new = converged_copy(node, tmp_path)
        (tmp_path / "count").mkdir()
        counted = Node(tmp_path / "count")
        wanted = change(counted)
        with faults.watch(counted.root) as calls:
            counted.run(**wanted)
        assert len(calls) > 20
        for at in range(1, len(calls) + 1):
            (tmp_path / f"{at}").mkdir()
            torn = Node(tmp_path / f"{at}")
            wanted = change(torn)
            old = contents(torn)
            assert in_child(partial(_run_and_kill, torn, faults, at, **wanted)) == "killed"
            for name, state in contents(torn).items():
                if ".converge-" not in name:
                    assert state in (old.get(name), new.get(name)), f"{name} after call {at}: {calls[at - 1]}"
            torn.run(**wanted)
            assert contents(torn) == new, f"after call {at}: {calls[at - 1]}"
            assert torn.leftovers() == []
            assert not torn.run(**wanted)["changed"]


class TestAFailedRun:
    def test_puts_everything_back_whichever_call_fails(self, node: Node, faults: Faults, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        new = converged_copy(node, tmp_path)
        at, kept = 0, 0
        while True:
            at += 1
            (tmp_path / f"{at}").mkdir()
            torn = Node(tmp_path / f"{at}")
            wanted = change(torn)
            old = contents(torn)
            run = torn.plan(**wanted)
            with faults.watch(torn.root, at=at, act=no_space) as calls:
                try:
                    run.apply()
                    failed = False
                except (Failure, OSError):
                    failed = True
            if len(calls) < at:
                break  # more calls than a run makes
            found = {name: state for name, state in contents(torn).items() if ".converge-" not in name}
            if failed and found != new:
                assert found == old, f"call {at}: {calls[at - 1]}"
                assert torn.leftovers() == [], f"call {at}: {calls[at - 1]}"
                kept += 1
            torn.run(**wanted)
            assert contents(torn) == new
            assert torn.leftovers() == []
        assert kept > 15


NAMES = st.sampled_from(["a", "b", "c/a", "c/b", "c/d/a", "ü/a"])
TREES = st.dictionaries(NAMES, st.binary(max_size=20), max_size=5)


class TestAnySequence:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(trees=st.lists(TREES, min_size=1, max_size=4))
    @example(trees=[{"c/a": b""}, {}, {"c/d/a": b"\xff"}])
    def test_of_wanted_trees_converges_and_its_second_run_is_empty(
        self, trees: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        node = Node(tmp_path_factory.mktemp("node"))
        for tree in trees:
            wanted: dict[str, Any] = {
                "tree": {node.path(f"etc/{name}"): content for name, content in tree.items()},
                "directories": {node.path("etc"): {"purge": True}},
            }
            planned = node.run(check=True, **wanted)
            applied = node.run(**wanted)
            assert applied["plan"] == planned["plan"]
            found = {
                str(path.relative_to(node.path("etc"))): path.read_bytes()
                for path in Path(node.path("etc")).rglob("*")
                if path.is_file()
            }
            assert found == tree
            before = node.listing()
            assert node.run(**wanted)["changed"] is False
            assert node.listing() == before


def test_check_mode_writes_nothing_and_promises_what_the_run_does(node: Node, tmp_path: Path, faults: Faults) -> None:
    wanted = change(node)
    before = node.listing()
    with faults.watch(tmp_path) as calls:
        planned = node.run(check=True, **wanted)
    assert calls == []
    assert node.listing() == before
    assert node.run(**wanted)["plan"] == planned["plan"]


def test_a_second_run_changes_nothing_and_writes_nothing(node: Node, faults: Faults) -> None:
    wanted = change(node)
    node.run(**wanted)
    before = node.listing()
    with faults.watch(node.root) as calls:
        result = node.run(**wanted)
    assert calls == []
    assert result["changed"] is False
    assert node.listing() == before
