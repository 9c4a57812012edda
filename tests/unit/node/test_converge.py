# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole of a run on a node: the packed tree, the order of steps, and what the module answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.node.converge import (
    Converge,
    pack_tree,
    system_of,
    unpack_tree,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.modules import converge as module

from .conftest import Faults, Node, no_space, wish

SECRET = "s3cr3t-In-A-Tree"


class TestThePackedTree:
    @settings(max_examples=50, deadline=None)
    @given(st.dictionaries(st.text(min_size=1).map(lambda name: f"/{name}"), st.binary(max_size=200), max_size=8))
    def test_comes_out_as_it_went_in(self, tree: dict[str, bytes]) -> None:
        assert unpack_tree(pack_tree(tree)) == tree

    def test_is_one_line_of_ascii_that_shows_nothing(self) -> None:
        packed = pack_tree({"/etc/x": SECRET.encode() * 100, "/etc/ü": b"\x00\xff"})
        assert packed.isascii()
        assert len(packed.split()) == 1
        assert SECRET not in packed

    def test_of_a_megabyte_is_small_when_it_repeats(self) -> None:
        assert len(pack_tree({"/x": b"line\n" * 200_000})) < 100_000


def everything(node: Node) -> dict[str, Any]:
    """A wish with one of each kind, on a node where nothing is there yet but the unit."""
    node.put("proc/sys/net/ipv4/ip_forward", "0")
    node.put("sys/module/overlay/x")
    node.put("srv/tool", "binary")
    conf = node.path("etc/x/x.conf")
    node.unit("x.service", reads=(Path(conf),))
    return {
        "tree": {conf: "x\n", node.path("etc/systemd/system/x.service.d/10.conf"): "[Service]\n"},
        "directories": {node.path("var/lib/x"): {"mode": "0700"}},
        "links": {node.path("etc/y"): "x/x.conf"},
        "artifacts": {
            "tool": {
                "version": "1",
                "urls": [f"file://{node.path('srv/tool')}"],
                "sha256": "9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd",
                "links": {node.path("usr/bin/tool"): "tool"},
            }
        },
        "modules": ["overlay"],
        "sysctl": {"net.ipv4.ip_forward": 1},
        "units": {"x.service": {"state": "started", "enabled": True, "restart_on": [node.path("etc/x/")]}},
    }


class TestAWholeRun:
    def test_in_check_mode_on_a_virgin_node_promises_what_the_run_then_does(self, node: Node) -> None:
        wanted = everything(node)
        before = node.listing()
        planned = node.run(True, **wanted)
        assert node.listing() == before
        applied = node.run(**wanted)
        assert applied["plan"] == planned["plan"]
        assert applied["paths"] == planned["paths"]
        assert {step["kind"] for step in applied["plan"]} == {
            "artifact", "directory", "file", "link", "module", "sysctl", "unit",
        }  # fmt: skip

    def test_a_second_time_changes_nothing_writes_nothing_and_calls_only_show(self, node: Node, faults: Faults) -> None:
        wanted = everything(node)
        node.run(**wanted)
        before = node.listing()
        node.system.ran.clear()
        with faults.watch(node.root) as calls:
            result = node.run(**wanted)
        assert calls == []
        assert node.listing() == before
        assert (result["changed"], result["paths"], result["restarted"], result["diff"]) == (False, [], [], [])
        assert [line.split()[:2] for line in node.system.ran] == [["systemctl", "show"]]

    def test_takes_artifacts_and_files_first_then_the_kernel_then_units(self, node: Node) -> None:
        kinds = [step["kind"] for step in node.run(True, **everything(node))["plan"]]
        order = ["artifact", "directory", "file", "link", "module", "sysctl", "unit"]
        assert [kind for kind in order if kind in kinds] == list(dict.fromkeys(kinds))

    def test_gives_the_same_plan_every_time(self, node: Node) -> None:
        wanted = everything(node)
        assert node.run(True, **wanted)["plan"] == node.run(True, **wanted)["plan"]

    def test_that_fails_at_any_call_leaves_each_path_old_or_new_and_the_next_run_completes(
        self, tmp_path: Path, node: Node, faults: Faults
    ) -> None:
        (tmp_path / "good").mkdir()
        good = Node(tmp_path / "good")
        wanted = everything(good)
        good.run(**wanted)
        new = {name: line[-1] for name, line in good.listing().items() if isinstance(line[-1], bytes)}
        new.pop("var/lib/converge/x.service.json")
        at = 0
        while True:
            at += 1
            (tmp_path / str(at)).mkdir()
            other = Node(tmp_path / str(at))
            wanted = everything(other)
            old = {name: line[-1] for name, line in other.listing().items() if isinstance(line[-1], bytes)}
            run = other.plan(**wanted)
            with faults.watch(other.root, at=at, act=no_space) as calls:
                try:
                    run.apply()
                except (Failure, OSError):
                    pass
            if len(calls) < at:
                break
            found = {name: line[-1] for name, line in other.listing().items() if isinstance(line[-1], bytes)}
            for name, content in found.items():
                if not name.startswith(("var/lib/converge", "opt/", "var/cache")) and ".converge-" not in name:
                    assert content in (old.get(name), new.get(name)), f"{name} after {calls[at - 1]}"
            other.run(**wanted)
            assert other.leftovers() == []
            assert other.systemd.units["x.service"].runs_with == ("x\n",)
            assert not other.run(**wanted)["changed"], f"after {calls[at - 1]}"
        assert at > 20

    def test_with_files_for_what_is_unavailable_only_has_none(self, node: Node) -> None:
        node.run(
            sysctl={"kernel.no_such": 1},
            modules=["no_such"],
            unavailable={"sysctl": ["kernel.no_such"], "modules": ["no_such"]},
        )
        assert node.read("etc/sysctl.d/60-test.conf") == ""
        assert node.read("etc/modules-load.d/test.conf") == ""


class TestSecrets:
    def test_stand_nowhere_in_the_result_of_any_run(self, node: Node) -> None:
        path = node.path("etc/x/key")
        node.unit("x.service", reads=(Path(path),))
        wanted: dict[str, Any] = {
            "tree": {path: SECRET},
            "files": {path: {"sensitive": True, "mode": "0600"}},
            "units": {"x.service": {"state": "started", "restart_on": [path]}},
        }
        for check in (True, False, False):
            assert SECRET not in json.dumps(node.run(check, **wanted))
        wanted["tree"] = {path: "other" + SECRET}
        node.systemd.units["x.service"].fails = lambda: "other" in (node.read("etc/x/key") or "")
        run = Converge(wish(**wanted), node.system, False)
        run.make_plan()
        with pytest.raises(Failure) as caught:
            run.apply()
        assert SECRET not in json.dumps(run.result(True)) + str(caught.value)
        assert SECRET not in "".join(
            content for line in node.listing().values() if isinstance(content := line[-1], str)
        )


@pytest.fixture
def call(node: Node, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The module itself, with parameters as Ansible hands them over; returns what it prints."""
    monkeypatch.setattr(module, "system_of", lambda _tmp_dir: node.system)

    def run(_ansible_check_mode: bool = False, _ansible_diff: bool = True, **parameters: Any) -> dict[str, Any]:
        arguments = {**wish(**parameters), "_ansible_check_mode": _ansible_check_mode, "_ansible_diff": _ansible_diff}
        printed = io.StringIO()
        with patch_module_args(arguments), redirect_stdout(printed), pytest.raises(SystemExit):
            module.main()
        return json.loads(printed.getvalue())

    return run


class TestTheModule:
    def test_answers_with_plan_paths_units_and_differences(
        self, node: Node, call: Callable[..., dict[str, Any]]
    ) -> None:
        path = node.path("etc/x.conf")
        answer = call(tree={path: "x\n"})
        assert answer["changed"] is True
        assert answer["paths"] == [node.path("etc"), path]
        assert (answer["restarted"], answer["deferred"]) == ([], [])
        assert [step["target"] for step in answer["plan"]] == [node.path("etc"), path]
        assert answer["diff"][-1]["after"] == "x\n"
        assert "diff" not in call(tree={path: "y\n"}, _ansible_diff=False)

    def test_masks_the_tree(self, node: Node, call: Callable[..., dict[str, Any]]) -> None:
        tree = {node.path("etc/x.conf"): "x\n"}
        answer = call(tree=tree)
        assert answer["invocation"]["module_args"]["tree"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
        assert pack_tree({path: text.encode() for path, text in tree.items()}) not in json.dumps(answer)

    def test_does_nothing_in_check_mode(self, node: Node, call: Callable[..., dict[str, Any]]) -> None:
        before = node.listing()
        assert call(tree={node.path("etc/x.conf"): "x\n"}, _ansible_check_mode=True)["changed"] is True
        assert node.listing() == before

    def test_says_what_was_done_and_what_was_not_when_it_fails(
        self, node: Node, call: Callable[..., dict[str, Any]]
    ) -> None:
        path = str(node.put("etc/x.conf", "old"))
        node.system.programs["checker"] = lambda _arguments: Completed(1, "", "line 1: bad")
        node.unit("x.service")
        answer = call(
            tree={path: "bad"},
            files={path: {"validate": "checker %s"}},
            units={"x.service": {"state": "started"}},
        )
        assert answer["failed"] is True
        assert answer["changed"] is False
        assert answer["msg"] == f"file {path}: rejected by 'checker {path}': line 1: bad"
        assert "no file was replaced" in answer["next_step"]
        assert {step["target"]: step["state"] for step in answer["plan"]} == {path: "failed", "x.service": "not done"}

    def test_that_cannot_plan_has_changed_nothing(self, node: Node, call: Callable[..., dict[str, Any]]) -> None:
        answer = call(tree={node.path("etc/x.conf"): "x"}, units={"no-such.service": {"state": "started"}})
        assert (answer["failed"], answer["changed"]) == (True, False)
        assert answer["msg"] == "unit no-such.service does not exist on this node"

    def test_that_left_something_changed_says_so(self, node: Node, call: Callable[..., dict[str, Any]]) -> None:
        node.unit("x.service", fails=lambda: True)
        answer = call(tree={node.path("etc/other"): "x"}, units={"x.service": {"state": "started"}})
        assert (answer["failed"], answer["changed"]) == (True, True)

    def test_asks_the_controller_for_what_a_bundle_holds_and_changes_nothing_yet(
        self, node: Node, call: Callable[..., dict[str, Any]]
    ) -> None:
        entry = {"version": "1", "urls": [], "sha256": "0" * 64, "bundled": True}
        before = node.listing()
        answer = call(tree={node.path("etc/x"): "x"}, artifacts={"tool": entry})
        assert (answer["missing_artifacts"], answer["changed"]) == (["tool"], False)
        assert node.listing() == before
        planned = call(artifacts={"tool": entry}, _ansible_check_mode=True)
        assert "missing_artifacts" not in planned
        assert planned["changed"] is True

    def test_repeats_the_check_of_its_parameters(self, node: Node, call: Callable[..., dict[str, Any]]) -> None:
        arguments = {"name": "x", "tree": pack_tree({}), "files": {"etc/x": {}}}
        printed = io.StringIO()
        with patch_module_args(arguments), redirect_stdout(printed), pytest.raises(SystemExit):
            module.main()
        assert "'etc/x' is not an absolute path" in json.loads(printed.getvalue())["msg"]


def test_only_root_converges_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Failure, match="a node is converged by root") as caught:
        system_of("/tmp")
    assert "become" in caught.value.next_step
