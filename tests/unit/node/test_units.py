# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units: when they are restarted, what is put back when one does not come up, what a killed run leaves to the next."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.node.units import Inputs
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Step

from .conftest import Clock, FakeUnit, Faults, Node, in_child, kill, no_space


def step_of(result: dict[str, Any], target: str) -> dict[str, Any]:
    return next(step for step in result["plan"] if step["target"] == target)


class Service:
    """A service "x.service" that reads /etc/x.conf, on a node that has converged with the content "old"."""

    def __init__(self, node: Node, **properties: Any) -> None:
        self.node = node
        self.path = node.path("etc/x.conf")
        self.options: dict[str, Any] = {"state": "started", "enabled": True, "restart_on": [self.path]}
        self.unit = node.unit("x.service", reads=(Path(self.path),), **properties)
        self.run("old")
        node.systemd.calls.clear()

    def wish(self, content: str, **options: Any) -> dict[str, Any]:
        return {"tree": {self.path: content}, "units": {"x.service": {**self.options, **options}}}

    def run(self, content: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return self.node.run(check, **self.wish(content, **options))

    def fail(self, content: str, **options: Any) -> tuple[Failure, dict[str, str]]:
        return self.node.fail(**self.wish(content, **options))

    def bad_content_fails(self) -> None:
        self.unit.fails = lambda: self.node.read("etc/x.conf") == "bad"


@pytest.fixture
def service(node: Node) -> Service:
    return Service(node)


class TestState:
    def test_a_unit_is_started_and_enabled_once(self, node: Node) -> None:
        unit = node.unit("x.service")
        result = node.run(units={"x.service": {"state": "started", "enabled": True}})
        assert node.systemd.calls == ["enable x.service", "start x.service"]
        assert (unit.active, unit.file_state) == ("active", "enabled")
        step = step_of(result, "x.service")
        assert step["before"] == {"enabled": "disabled", "state": "inactive"}
        assert step["after"] == {"enabled": "enabled", "state": "active"}
        assert result["restarted"] == []
        assert not node.run(units={"x.service": {"state": "started", "enabled": True}})["changed"]

    def test_a_unit_is_stopped_and_disabled(self, node: Node) -> None:
        unit = node.unit("x.service", active="active", sub="running", file_state="enabled")
        node.run(units={"x.service": {"state": "stopped", "enabled": False}})
        assert node.systemd.calls == ["disable x.service", "stop x.service"]
        assert (unit.active, unit.file_state) == ("inactive", "disabled")
        assert not node.run(units={"x.service": {"state": "stopped", "enabled": False}})["changed"]

    def test_a_unit_of_which_nothing_is_said_is_left_alone(self, node: Node) -> None:
        node.unit("x.service", active="failed")
        assert not node.run(units={"x.service": {}})["changed"]
        assert node.systemd.calls == []

    def test_a_failed_unit_is_started(self, node: Node) -> None:
        node.unit("x.service", active="failed", sub="failed", result="exit-code")
        node.run(units={"x.service": {"state": "started"}})
        assert node.systemd.calls == ["start x.service"]

    @pytest.mark.parametrize("file_state", ["static", "indirect", "generated", "alias", "transient"])
    @pytest.mark.parametrize("enabled", [True, False])
    def test_a_unit_that_cannot_be_enabled_counts_as_wanted(self, node: Node, file_state: str, enabled: bool) -> None:
        node.unit("x.service", file_state=file_state)
        assert not node.run(units={"x.service": {"enabled": enabled}})["changed"]

    @pytest.mark.parametrize(("name", "properties"), [("x.timer", {}), ("srv-data.mount", {}), ("x.socket", {})])
    def test_units_of_other_types_have_no_properties_of_services(self, node: Node, name: str, properties: dict) -> None:
        node.unit(name)
        node.run(units={name: {"state": "started", "enabled": True}})
        assert not node.run(units={name: {"state": "started", "enabled": True}})["changed"]

    def test_all_units_are_asked_for_in_one_call(self, node: Node) -> None:
        for name in ("a.service", "b.service", "c.timer"):
            node.unit(name)
        node.plan(units={name: {"enabled": False} for name in ("a.service", "b.service", "c.timer")})
        shown = [line for line in node.system.ran if line.startswith("systemctl show")]
        assert len(shown) == 1
        assert shown[0].endswith("-- a.service b.service c.timer")

    def test_without_systemd_the_error_says_so(self, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        said = "System has not been booted with systemd as init system (PID 1). Can't operate."
        monkeypatch.setattr(node.system, "systemd", lambda _program, _arguments: Completed(1, "", said))
        failure, _states = node.fail(units={"x.service": {"state": "started"}})
        assert failure.cause == f"systemd does not answer: {said}"


class TestMasks:
    def test_a_unit_is_masked_and_stopped(self, node: Node) -> None:
        unit = node.unit("x.service", active="active", sub="running", file_state="enabled")
        result = node.run(units={"x.service": {"masked": True}})
        assert node.systemd.calls == ["mask x.service", "stop x.service"]
        assert step_of(result, "x.service")["after"] == {"masked": "true", "state": "inactive"}
        assert unit.load == "masked"
        assert not node.run(units={"x.service": {"masked": True}})["changed"]

    @pytest.mark.parametrize("check", [True, False])
    def test_a_unit_that_is_not_installed_can_be_masked(self, node: Node, check: bool) -> None:
        result = node.run(check, units={"autofs.service": {"masked": True}})
        assert step_of(result, "autofs.service")["after"] == {"masked": "true"}
        assert result["deferred"] == []
        assert node.systemd.calls == ([] if check else ["mask autofs.service"])

    def test_a_unit_is_unmasked_enabled_and_started(self, node: Node) -> None:
        node.unit("x.service", load="masked", file_state="masked")
        wanted = {"x.service": {"masked": False, "enabled": True, "state": "started"}}
        node.run(units=wanted)
        assert node.systemd.calls == ["unmask x.service", "enable x.service", "start x.service"]
        assert not node.run(units=wanted)["changed"]

    @pytest.mark.parametrize("check", [True, False])
    def test_a_masked_unit_that_shall_run_is_an_error(self, node: Node, check: bool) -> None:
        node.unit("x.service", load="masked", file_state="masked")
        failure, _states = node.fail(check, units={"x.service": {"state": "started"}})
        assert (failure.cause, failure.next_step) == ("unit x.service is masked", "say `masked: false` if it shall run")
        assert node.systemd.calls == []


class TestAMissingUnit:
    def test_is_an_error_before_anything_is_changed(self, node: Node) -> None:
        before = node.listing()
        failure, _states = node.fail(
            tree={node.path("etc/x.conf"): "x"}, units={"no-such.service": {"state": "started"}}
        )
        assert failure.cause == "unit no-such.service does not exist on this node"
        assert "correct its name" in failure.next_step
        assert node.listing() == before

    def test_is_deferred_in_check_mode(self, node: Node) -> None:
        result = node.run(True, units={"haproxy.service": {"state": "started", "enabled": True}})
        assert result["deferred"] == ["unit haproxy.service: the unit does not exist yet"]
        assert step_of(result, "haproxy.service")["after"] == {"enabled": "enabled", "state": "active"}

    @pytest.mark.parametrize(
        "wanted", [{}, {"state": "stopped"}, {"enabled": False}, {"state": "stopped", "masked": False}]
    )
    def test_does_not_run_and_need_not_be_stopped(self, node: Node, wanted: dict[str, Any]) -> None:
        assert not node.run(units={"rpcbind.service": wanted})["changed"]

    def test_may_be_made_by_this_run(self, node: Node) -> None:
        path = node.path("etc/systemd/system/own.service")
        wanted: dict[str, Any] = {"tree": {path: "[Service]\n"}, "units": {"own.service": {"state": "started"}}}
        assert node.run(True, **wanted)["deferred"] == []
        real = node.systemd._do

        def loaded_by_then(verb: str, name: str) -> Completed:
            assert node.systemd.calls[0] == "daemon-reload"
            return real(verb, name)

        node.systemd._do = loaded_by_then  # type: ignore[method-assign]
        node.systemd.units.pop("own.service", None)

        class Appears(dict):  # systemd finds the unit once its file is there
            def get(self, name: str, default: Any = None) -> Any:
                if name == "own.service" and os.path.exists(path):
                    return self.setdefault(name, FakeUnit())
                return super().get(name, default)

        node.systemd.units = Appears(node.systemd.units)
        node.run(**wanted)
        assert node.systemd.units["own.service"].active == "active"
        assert not node.run(**wanted)["changed"]

    def test_may_be_an_instance_of_a_template_made_by_this_run(self, node: Node) -> None:
        path = node.path("etc/systemd/system/backup@.service")
        result = node.run(True, tree={path: "[Service]\n"}, units={"backup@etcd.service": {"state": "started"}})
        assert result["deferred"] == []

    def test_that_systemd_cannot_load_is_an_error(self, node: Node) -> None:
        node.unit("x.service", load="bad-setting")
        failure, _states = node.fail(units={"x.service": {"state": "started"}})
        assert failure.cause == "unit x.service: systemd cannot load it (bad-setting)"


class TestRestart:
    def test_new_content_means_a_restart(self, service: Service) -> None:
        result = service.run("new")
        assert service.node.systemd.calls == ["restart x.service"]
        assert service.unit.runs_with == ("new",)
        assert result["restarted"] == ["x.service"]
        step = step_of(result, "x.service")
        assert (step["action"], step["note"]) == ("restart", f"restart: {service.path} changes")
        assert not service.run("new")["changed"]

    def test_nothing_new_means_no_call(self, service: Service) -> None:
        assert not service.run("old")["changed"]
        assert service.node.systemd.calls == []

    def test_a_node_that_is_taken_over_restarts_once(self, node: Node) -> None:
        path = node.put("etc/x.conf", "same")
        node.unit("x.service", active="active", sub="running")
        wanted: dict[str, Any] = {"tree": {str(path): "same"}, "units": {"x.service": {"restart_on": [str(path)]}}}
        result = node.run(**wanted)
        assert step_of(result, "x.service")["note"] == "restart: what it runs with is not known"
        assert not node.run(**wanted)["changed"]

    def test_a_running_unit_without_inputs_is_not_restarted(self, node: Node) -> None:
        node.unit("cron.service", active="active", sub="running", file_state="enabled")
        assert not node.run(units={"cron.service": {"state": "started", "enabled": True}})["changed"]

    def test_a_file_changed_by_hand_is_put_right_and_the_unit_restarted_with_it(self, service: Service) -> None:
        """Whoever changed it may have restarted the unit too: the record does not know."""
        Path(service.path).write_text("changed by hand")
        service.node.systemd._start("x.service", service.unit)
        result = service.run("old")
        assert service.unit.runs_with == ("old",)
        assert result["restarted"] == ["x.service"]
        assert not service.run("old")["changed"]

    def test_another_mode_of_an_input_is_a_change_once_and_not_in_the_next_run_too(self, service: Service) -> None:
        os.chmod(service.path, 0o600)
        service.run("old")
        service.node.systemd.calls.clear()
        assert not service.run("old")["changed"]
        assert service.node.systemd.calls == []

    def test_an_input_that_nobody_manages_counts_too(self, node: Node) -> None:
        other = node.put("etc/ssl/key.pem", "1")
        node.unit("x.service")
        wanted: dict[str, Any] = {"units": {"x.service": {"state": "started", "restart_on": [str(other)]}}}
        node.run(**wanted)
        other.write_text("2")
        result = node.run(**wanted)
        assert result["restarted"] == ["x.service"]
        assert step_of(result, "x.service")["note"] == "restart: its inputs have changed since it started"

    @pytest.mark.parametrize("change", ["new file", "changed", "removed", "deep"])
    def test_everything_below_a_folder_counts(self, node: Node, change: str) -> None:
        node.put("etc/x/a", "1")
        node.put("etc/x/deep/b", "1")
        node.unit("x.service")
        wanted: dict[str, Any] = {"units": {"x.service": {"state": "started", "restart_on": [node.path("etc/x/")]}}}
        node.run(**wanted)
        if change == "removed":
            os.unlink(node.path("etc/x/a"))
        else:
            node.put({"new file": "etc/x/c", "changed": "etc/x/a", "deep": "etc/x/deep/b"}[change], "2")
        assert node.run(**wanted)["restarted"] == ["x.service"]
        assert not node.run(**wanted)["changed"]

    def test_a_path_with_the_same_beginning_does_not_count(self, node: Node) -> None:
        node.put("etc/x-other", "1")
        node.unit("x.service")
        wanted: dict[str, Any] = {
            "units": {"x.service": {"state": "started", "restart_on": [node.path("etc/x/"), node.path("etc/x")]}}
        }
        node.run(**wanted)
        node.put("etc/x-other", "2")
        assert not node.run(**wanted)["changed"]

    @pytest.mark.parametrize("how", ["purge", "absent"])
    def test_an_input_that_this_run_removes_means_a_restart_now_and_not_in_the_next_run(
        self, node: Node, how: str
    ) -> None:
        node.put("etc/x/old/drop-in", "1")
        node.unit("x.service", reads=(Path(node.path("etc/x/old/drop-in")),))
        units = {"x.service": {"state": "started", "restart_on": [node.path("etc/x/")]}}
        node.run(units=units)
        removal: dict[str, Any] = (
            {"directories": {node.path("etc/x"): {"purge": True}}}
            if how == "purge"
            else {"absent": [node.path("etc/x/old")]}
        )
        assert node.run(units=units, **removal)["restarted"] == ["x.service"]
        assert node.systemd.units["x.service"].runs_with == (None,)
        assert not node.run(units=units, **removal)["changed"]

    def test_the_units_own_file_and_drop_ins_count(self, node: Node) -> None:
        drop_in = node.path("etc/systemd/system/x.service.d/10-limits.conf")
        node.unit("x.service")
        units = {"x.service": {"state": "started"}}
        node.run(tree={drop_in: "1"}, units=units)
        node.systemd.calls.clear()
        assert node.run(tree={drop_in: "2"}, units=units)["restarted"] == ["x.service"]
        assert node.systemd.calls == ["daemon-reload", "restart x.service"]
        assert node.run(absent=[drop_in], units=units)["restarted"] == ["x.service"]

    def test_a_unit_that_was_stopped_by_hand_starts_with_the_new_files(self, service: Service) -> None:
        service.unit.active, service.unit.sub = "inactive", "dead"
        service.run("new")
        assert service.node.systemd.calls == ["start x.service"]
        assert service.unit.runs_with == ("new",)

    def test_a_unit_that_is_left_alone_and_does_not_run_is_not_started_by_new_files(self, node: Node) -> None:
        path = node.path("etc/x.conf")
        node.unit("x.service")
        node.run(tree={path: "x"}, units={"x.service": {"restart_on": [path]}})
        assert node.systemd.calls == []

    def test_a_broken_record_means_a_restart(self, service: Service) -> None:
        Path(service.node.system.state_dir, "x.service.json").write_text("{tor")
        assert service.run("old")["restarted"] == ["x.service"]


class TestReload:
    @pytest.fixture
    def reloaded(self, node: Node) -> Service:
        made = Service(node)
        made.options = {"state": "started", "restart_on": [], "reload_on": [made.path]}
        made.run("old")
        node.systemd.calls.clear()
        return made

    def test_new_content_means_a_reload(self, reloaded: Service) -> None:
        result = reloaded.run("new")
        assert reloaded.node.systemd.calls == ["reload-or-restart x.service"]
        assert step_of(result, "x.service")["note"] == f"reload: {reloaded.path} changes"
        assert reloaded.unit.runs_with == ("new",)
        assert not reloaded.run("new")["changed"]

    def test_a_file_changed_by_hand_is_put_right_and_reloaded(self, reloaded: Service) -> None:
        Path(reloaded.path).write_text("by hand")
        reloaded.run("old")
        assert reloaded.node.systemd.calls == ["reload-or-restart x.service"]
        assert not reloaded.run("old")["changed"]

    def test_a_unit_that_cannot_reload_is_restarted(self, reloaded: Service) -> None:
        reloaded.unit.can_reload = False
        reloaded.run("new")
        assert reloaded.unit.runs_with == ("new",)

    def test_a_restart_wins_over_a_reload_and_covers_it(self, node: Node) -> None:
        one, two = node.path("etc/x.conf"), node.path("etc/x.map")
        node.unit("x.service")
        units = {"x.service": {"state": "started", "restart_on": [one], "reload_on": [two]}}
        node.run(tree={one: "1", two: "1"}, units=units)
        node.systemd.calls.clear()
        node.run(tree={one: "2", two: "2"}, units=units)
        assert node.systemd.calls == ["restart x.service"]
        assert not node.run(tree={one: "2", two: "2"}, units=units)["changed"]

    def test_the_check_comes_before_a_reload_too(self, reloaded: Service) -> None:
        reloaded.node.system.programs["checker"] = lambda _arguments: Completed(1, "", "line 1: bad word")
        failure, _states = reloaded.fail("new", check="checker")
        assert failure.cause.startswith("unit x.service: 'checker' rejects the new files: line 1: bad word")
        assert reloaded.node.read("etc/x.conf") == "old"
        assert reloaded.node.systemd.starts() == []

    def test_a_simple_service_that_systemd_had_restarted_weeks_ago_can_be_reloaded(self, reloaded: Service) -> None:
        reloaded.unit.type, reloaded.unit.restarts = "simple", 3
        assert reloaded.run("new")["restarted"] == ["x.service"]

    def test_a_mount_whose_own_file_is_in_reload_on_is_never_restarted(self, node: Node) -> None:
        path = node.path("etc/systemd/system/srv-data.mount")
        node.unit("srv-data.mount")
        units = {"srv-data.mount": {"state": "started", "reload_on": [path]}}
        node.run(tree={path: "Options=nodev\n"}, units=units)
        node.systemd.calls.clear()
        node.run(tree={path: "Options=nodev,noexec\n"}, units=units)
        assert node.systemd.calls == ["daemon-reload", "reload-or-restart srv-data.mount"]


class TestDaemonReload:
    def test_happens_once_for_many_units(self, node: Node) -> None:
        tree = {node.path(f"etc/systemd/system/{name}.service.d/x.conf"): "x" for name in "abc"}
        for name in "abc":
            node.unit(f"{name}.service", active="active", sub="running")
        node.run(tree=tree, units={f"{name}.service": {"state": "started"} for name in "abc"})
        assert node.systemd.calls.count("daemon-reload") == 1
        assert node.systemd.calls[0] == "daemon-reload"

    def test_happens_for_the_file_of_a_unit_that_is_not_listed(self, node: Node) -> None:
        node.run(tree={node.path("etc/systemd/system/other.service.d/x.conf"): "x"})
        assert node.systemd.calls == ["daemon-reload"]

    def test_happens_for_units_that_have_nothing_else_to_do_and_not_again(self, node: Node) -> None:
        path = node.path("etc/systemd/system/x.service")
        unit = node.unit("x.service")
        real = os.rename

        def rename(source: str, target: str) -> None:
            real(source, target)
            unit.need_reload = unit.need_reload or target == path

        wanted: dict[str, Any] = {"tree": {path: "[Service]\n"}, "units": {"x.service": {"state": "stopped"}}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "rename", rename)
            node.run(**wanted)
        assert not node.run(**wanted)["changed"]

    def test_is_made_up_for_when_systemd_asks_for_it(self, node: Node) -> None:
        node.unit("x.service", active="active", sub="running", need_reload=True)
        result = node.run(units={"x.service": {"state": "started"}})
        assert node.systemd.calls == ["daemon-reload"]
        assert step_of(result, "x.service")["note"].startswith("daemon-reload: its unit file on disk is newer")
        assert not node.run(units={"x.service": {"state": "started"}})["changed"]

    def test_does_not_happen_for_files_that_are_no_units(self, service: Service) -> None:
        service.run("new")
        assert "daemon-reload" not in service.node.systemd.calls

    def test_that_fails_puts_the_unit_files_back(self, node: Node) -> None:
        path = node.put("etc/systemd/system/x.service.d/x.conf", "old")
        node.unit("x.service", active="active", sub="running")
        node.systemd.fail_reload = True
        failure, _states = node.fail(tree={str(path): "new"}, units={"x.service": {"state": "started"}})
        assert failure.cause.startswith("systemd cannot read its units again: Failed to reload daemon")
        assert path.read_text() == "old"


class TestAUnitThatDoesNotComeUp:
    def test_gets_its_old_files_back_and_runs_with_them(self, service: Service) -> None:
        service.bad_content_fails()
        failure, states = service.fail("bad")
        assert service.node.read("etc/x.conf") == "old"
        assert (service.unit.active, service.unit.runs_with) == ("active", ("old",))
        assert states == {service.path: "put back", "x.service": "failed"}
        assert failure.cause.startswith("unit x.service did not restart: Job for x.service failed")
        assert "its last journal lines:\nNov 23 07:00:00 node prog[1]: configuration: line 3: bad word" in failure.cause
        assert failure.cause.endswith(f"put back: {service.path}")
        assert service.node.systemd.calls == [
            "restart x.service",
            "daemon-reload",
            "reset-failed x.service",
            "restart x.service",
        ]

    def test_is_tried_again_by_the_next_run(self, service: Service) -> None:
        service.bad_content_fails()
        service.fail("bad")
        service.fail("bad")
        service.run("good")
        assert service.unit.runs_with == ("good",)

    def test_and_is_given_up_runs_with_what_it_ran_with_before(self, service: Service) -> None:
        service.bad_content_fails()
        service.fail("bad")
        assert not service.run("old")["changed"]
        assert service.unit.runs_with == ("old",)

    def test_takes_back_files_that_a_unit_before_it_runs_with_already_which_the_next_run_mends(
        self, service: Service
    ) -> None:
        first = service.node.unit("first.service", reads=(Path(service.path),))
        wanted = {name: service.wish(name) for name in ("old", "bad")}
        for wish in wanted.values():
            wish["units"] = {"first.service": {"state": "started", "restart_on": [service.path]}, **wish["units"]}
        service.node.run(**wanted["old"])
        service.bad_content_fails()
        service.node.fail(**wanted["bad"])
        assert first.runs_with == ("bad",)
        assert service.node.run(**wanted["old"])["restarted"] == ["first.service"]
        assert first.runs_with == ("old",)
        assert not service.node.run(**wanted["old"])["changed"]

    def test_on_the_first_install_leaves_no_file_and_is_stopped_and_disabled(self, node: Node) -> None:
        path = node.path("etc/x.conf")
        unit = node.unit("x.service", fails=lambda: True)
        _failure, states = node.fail(
            tree={path: "bad"}, units={"x.service": {"state": "started", "enabled": True, "restart_on": [path]}}
        )
        assert not os.path.exists(path)
        assert (unit.active, unit.file_state) == ("inactive", "disabled")
        assert states[path] == "put back"
        assert node.record("x.service") is None

    def test_with_the_old_files_either_is_said(self, service: Service) -> None:
        service.unit.fails = lambda: True
        failure, states = service.fail("new")
        assert "unit x.service could not be put back: it does not come up with the old files either" in failure.cause
        assert service.node.read("etc/x.conf") == "old"
        assert states == {service.path: "put back", "x.service": "not put back"}

    def test_leaves_units_after_it_untouched(self, service: Service) -> None:
        service.bad_content_fails()
        service.node.unit("later.service")
        wanted = service.wish("bad")
        wanted["units"]["later.service"] = {"state": "started"}
        _failure, states = service.node.fail(**wanted)
        assert states["later.service"] == "not done"
        assert not [call for call in service.node.systemd.calls if "later" in call]

    def test_keeps_files_of_others_in_place(self, service: Service) -> None:
        service.bad_content_fails()
        wanted = service.wish("bad")
        wanted["tree"][service.node.path("etc/other")] = "new"
        _failure, states = service.node.fail(**wanted)
        assert states[service.node.path("etc/other")] == "done"
        assert service.node.read("etc/other") == "new"

    def test_a_unit_that_came_up_before_it_is_not_restarted_again(self, service: Service) -> None:
        first = service.node.path("etc/first.conf")
        service.node.unit("first.service")
        service.bad_content_fails()
        wanted: dict[str, Any] = {
            "tree": {first: "1", service.path: "bad"},
            "units": {
                "first.service": {"state": "started", "restart_on": [first]},
                "x.service": service.options,
            },
        }
        service.node.fail(**wanted)
        wanted["tree"][service.path] = "good"
        service.node.systemd.calls.clear()
        service.node.run(**wanted)
        assert service.node.systemd.calls == ["restart x.service"]

    def test_a_removed_drop_in_comes_back(self, node: Node) -> None:
        path = node.put("etc/systemd/system/x.service.d/x.conf", "old")
        unit = node.unit("x.service", active="active", sub="running")
        unit.fails = lambda: not path.exists()
        node.fail(absent=[str(path)], units={"x.service": {"state": "started"}})
        assert path.read_text() == "old"
        assert unit.active == "active"
        assert node.leftovers() == []


class TestFlapping:
    @pytest.mark.parametrize("kind", ["simple", "exec", "notify"])
    def test_a_unit_that_dies_right_after_its_start_is_put_back(self, service: Service, kind: str) -> None:
        service.unit.type = kind
        service.unit.flaps = lambda: service.node.read("etc/x.conf") == "bad"
        failure, _states = service.fail("bad")
        assert "did not come up: it is activating (exit-code)" in failure.cause
        assert service.unit.runs_with == ("old",)

    def test_a_simple_unit_that_dies_within_the_settling_time_is_put_back(self, service: Service, clock: Clock) -> None:
        service.unit.type = "simple"
        real = clock.sleep

        def sleep(seconds: float) -> None:
            real(seconds)
            if service.node.read("etc/x.conf") == "bad":
                service.unit.active, service.unit.sub, service.unit.result = "failed", "failed", "signal"

        clock.sleep = sleep  # type: ignore[method-assign]
        failure, states = service.fail("bad")
        assert "unit x.service did not come up: it is failed (signal)" in failure.cause
        assert states[service.path] == "put back"
        assert not service.run("old")["changed"]

    def test_a_simple_unit_that_systemd_restarts_within_the_settling_time_is_put_back(
        self, service: Service, clock: Clock
    ) -> None:
        service.unit.type = "simple"

        def sleep(seconds: float) -> None:
            service.unit.restarts += 1

        clock.sleep = sleep  # type: ignore[method-assign]
        failure, _states = service.fail("bad")
        assert "unit x.service did not stay up" in failure.cause

    def test_a_flapping_unit_that_this_run_mends_counts_from_then_on(self, service: Service) -> None:
        """systemd keeps the count of restarts when it is told to restart a unit that was about to be restarted."""
        service.unit.type = "simple"
        service.unit.active, service.unit.sub = "activating", "auto-restart"
        real = service.node.systemd._start

        def start(name: str, unit: Any) -> Completed:
            done = real(name, unit)
            unit.restarts = 7
            return done

        service.node.systemd._start = start  # type: ignore[method-assign]
        assert service.run("mended")["restarted"] == ["x.service"]

    def test_many_simple_units_settle_at_the_same_time(self, node: Node, clock: Clock) -> None:
        for number in range(10):
            node.unit(f"u{number}.service", type="simple")
        before = clock.now
        node.run(units={f"u{number}.service": {"state": "started"} for number in range(10)})
        assert clock.now - before < 1.5


class TestCheck:
    @pytest.fixture
    def checked(self, service: Service) -> Service:
        def checker(_arguments: list[str]) -> Completed:
            good = service.node.read("etc/x.conf") != "bad"
            return Completed(0, "ok\n", "") if good else Completed(1, "", "line 3: bad word")

        service.node.system.programs["checker"] = checker
        service.options["check"] = "checker -f x"
        return service

    def test_that_fails_puts_the_files_back_and_does_not_touch_the_unit(self, checked: Service) -> None:
        failure, states = checked.fail("bad")
        assert "unit x.service: 'checker -f x' rejects the new files: line 3: bad word" in failure.cause
        assert checked.node.read("etc/x.conf") == "old"
        assert checked.node.systemd.starts() == []
        assert not [call for call in checked.node.systemd.calls if not call.startswith("daemon-reload")]
        assert states == {checked.path: "put back", "x.service": "failed"}
        assert checked.unit.active == "active"

    def test_that_passes_comes_before_the_restart(self, checked: Service) -> None:
        checked.run("new")
        ran = checked.node.system.ran
        assert ran.index("checker -f x") < ran.index("systemctl restart -- x.service")

    def test_is_not_run_when_nothing_changes(self, checked: Service) -> None:
        checked.node.system.ran.clear()
        checked.run("old")
        assert "checker -f x" not in checked.node.system.ran

    def test_whose_program_is_missing_names_the_unit(self, checked: Service) -> None:
        failure, _states = checked.fail("new", check="no-such-program -c")
        assert "unit x.service" in failure.cause
        assert "'no-such-program' is not installed" in failure.cause
        assert checked.node.read("etc/x.conf") == "old"


class TestReady:
    @pytest.fixture
    def answers(self, service: Service) -> list[bool]:
        answers: list[bool] = []

        def probe(_arguments: list[str]) -> Completed:
            good = answers.pop(0) if answers else service.node.read("etc/x.conf") != "bad"
            return Completed(0, "", "") if good else Completed(22, "", "curl: (22) 503")

        service.node.system.programs["probe"] = probe
        service.options["ready"] = {"command": "probe -x", "timeout": 5}
        return answers

    def test_is_asked_until_it_says_yes(self, service: Service, answers: list[bool], clock: Clock) -> None:
        answers += [False, False, True]
        before = clock.now
        service.run("new")
        assert answers == []
        assert 0.3 < clock.now - before < 1
        assert not service.run("new")["changed"]

    def test_that_never_says_yes_puts_back_after_the_timeout(
        self, service: Service, answers: list[bool], clock: Clock
    ) -> None:
        before = clock.now
        failure, states = service.fail("bad")
        assert 5 <= clock.now - before < 6
        assert "did not get ready within 5 s: 'probe -x' says: curl: (22) 503" in failure.cause
        assert "last journal lines" in failure.cause
        assert service.unit.runs_with == ("old",)
        assert states[service.path] == "put back"

    def test_of_a_unit_that_ends_meanwhile_is_not_waited_for(
        self, service: Service, answers: list[bool], clock: Clock
    ) -> None:
        def probe(_arguments: list[str]) -> Completed:
            if service.node.read("etc/x.conf") == "bad":
                service.unit.active = service.unit.sub = "failed"
                return Completed(7, "", "curl: (7) refused")
            return Completed(0, "", "")

        service.node.system.programs["probe"] = probe
        before = clock.now
        failure, _states = service.fail("bad")
        assert "did not come up: it is failed" in failure.cause
        assert clock.now - before < 1

    def test_whose_program_is_missing_names_the_unit(self, service: Service) -> None:
        failure, _states = service.fail("new", ready={"command": "no-such-probe"})
        assert "unit x.service" in failure.cause
        assert "'no-such-probe' is not installed" in failure.cause


class TestJobs:
    """Services of type oneshot that do their work and end."""

    @pytest.fixture
    def job(self, node: Node) -> Service:
        made = Service(node, type="oneshot")
        assert made.unit.active == "inactive"
        return made

    def test_run_once_for_the_same_inputs(self, job: Service) -> None:
        assert not job.run("old")["changed"]
        assert job.node.systemd.calls == []

    def test_run_again_for_new_inputs(self, job: Service) -> None:
        job.run("new")
        assert job.node.systemd.calls == ["start x.service"]
        assert job.unit.runs_with == ("new",)
        assert not job.run("new")["changed"]

    def test_that_failed_the_last_time_run_again(self, job: Service) -> None:
        job.unit.active, job.unit.result = "failed", "exit-code"
        job.run("old")
        assert job.node.systemd.calls == ["start x.service"]

    def test_that_fail_put_their_files_back_and_are_not_run_with_the_old_ones(self, job: Service) -> None:
        job.bad_content_fails()
        failure, _states = job.fail("bad")
        assert "unit x.service did not start" in failure.cause
        assert job.node.read("etc/x.conf") == "old"
        assert job.node.systemd.starts() == ["start x.service"]

    def test_are_not_run_when_nothing_is_said_of_their_state(self, node: Node) -> None:
        node.unit("job.service", type="oneshot")
        assert not node.run(units={"job.service": {"enabled": False}})["changed"]

    def test_that_remain_after_they_end_are_restarted_for_new_inputs(self, node: Node) -> None:
        service = Service(node, type="oneshot", remain=True)
        assert (service.unit.active, service.unit.sub) == ("active", "exited")
        assert service.run("new")["restarted"] == ["x.service"]
        assert not service.run("new")["changed"]


class TestARecordOfWhatRuns:
    def test_is_thrown_away_before_the_first_input_changes(self, service: Service, faults: Faults) -> None:
        with faults.watch(service.node.root) as calls:
            service.run("new")
        record = next(index for index, call in enumerate(calls) if "x.service.json" in call)
        first = next(index for index, call in enumerate(calls) if "x.conf" in call)
        assert record < first

    def test_of_other_units_stays(self, service: Service) -> None:
        service.node.unit("other.service")
        other = {"other.service": {"state": "started", "restart_on": [service.node.path("etc/other")]}}
        service.node.run(units=other)
        before = service.node.record("other.service")
        service.run("new")
        assert service.node.record("other.service") == before

    def test_lies_where_only_root_can_read_it(self, service: Service) -> None:
        folder = Path(service.node.system.state_dir)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "x.service.json").stat().st_mode & 0o777 == 0o600

    def test_holds_digests_only(self, node: Node) -> None:
        path = node.path("etc/key")
        node.unit("x.service")
        node.run(tree={path: "s3cret-content"}, units={"x.service": {"state": "started", "restart_on": [path]}})
        assert "s3cret" not in json.dumps(node.record("x.service"))

    def test_on_a_disk_that_is_full_stops_the_run_before_anything_changes(
        self, service: Service, faults: Faults
    ) -> None:
        run = service.node.plan(**service.wish("new"))
        # The first call looks whether the folder is there.
        with (
            faults.watch(Path(service.node.system.state_dir), at=2, act=no_space),
            pytest.raises(Failure, match=r"unit x\.service: what it runs with cannot be noted .* No space left"),
        ):
            run.apply()
        assert not run.plan.begun
        assert service.node.read("etc/x.conf") == "old"
        assert service.node.leftovers() == []


class TestAKilledRun:
    def test_at_any_point_is_made_up_for_and_no_restart_is_lost(
        self, tmp_path: Path, node: Node, faults: Faults
    ) -> None:
        """A run is killed at every change of the file system; afterwards the unit runs with the new file."""
        at = 0
        while True:
            at += 1
            (tmp_path / str(at)).mkdir()
            other = Node(tmp_path / str(at))
            service = Service(other)

            def half(service: Service = service, other: Node = other, at: int = at) -> None:
                run = other.plan(**service.wish("new"))
                with faults.watch(other.root, at=at, act=kill):
                    run.apply()

            # The child's systemd is a copy: here the unit goes on running with "old", as if it had not been restarted.
            if in_child(half) != "killed":
                break
            assert other.read("etc/x.conf") in ("old", "new")
            other.run(**service.wish("new"))
            assert other.read("etc/x.conf") == "new"
            assert service.unit.runs_with == ("new",), f"killed before change {at}"
            assert other.leftovers() == []
            assert not other.run(**service.wish("new"))["changed"]
        assert at > 6

    def test_while_a_failed_unit_is_put_back_leaves_old_or_new_and_the_next_run_mends(
        self, tmp_path: Path, node: Node, faults: Faults
    ) -> None:
        at = 0
        while True:
            at += 1
            (tmp_path / str(at)).mkdir()
            other = Node(tmp_path / str(at))
            service = Service(other)
            service.bad_content_fails()

            def half(service: Service = service, other: Node = other, at: int = at) -> None:
                run = other.plan(**service.wish("bad"))
                with faults.watch(other.root, at=at, act=kill), pytest.raises(Failure):
                    run.apply()

            if in_child(half) != "killed":
                break
            assert other.read("etc/x.conf") in ("old", "bad")
            other.run(**service.wish("old"))
            assert (other.read("etc/x.conf"), service.unit.active) == ("old", "active")
            assert other.leftovers() == []
            assert not other.run(**service.wish("old"))["changed"]
        assert at > 6


class TestInputs:
    def test_the_digest_is_of_what_will_be_and_not_of_what_is(self, tmp_path: Path) -> None:
        path = str(tmp_path / "x")
        Path(path).write_text("now")
        wanted = Inputs({path: "mark"}, [], {})
        before = wanted.digest([path])
        Path(path).write_text("other")
        assert wanted.digest([path]) == before
        assert wanted.digest([path]) != Inputs({path: "other mark"}, [], {}).digest([path])

    def test_a_temporary_file_of_ours_does_not_count(self, tmp_path: Path) -> None:
        before = Inputs({}, [], {}).digest([f"{tmp_path}/"])
        (tmp_path / ".converge-0a1b2c3d.x").write_text("half")
        assert Inputs({}, [], {}).digest([f"{tmp_path}/"]) == before

    def test_a_step_stands_once_among_what_changes(self) -> None:
        step = Step("artifact", "a", "update")
        inputs = Inputs({}, [], {"/bin/a": [step], "/bin/b": [step]})
        assert inputs.changing(["/bin/"]) == [step]


class TestTheRealSystem:
    def test_a_program_that_hangs_is_killed_and_counts_as_failed(self) -> None:
        done = System().run("sleep 30", timeout=0.1)
        assert (done.status, done.ok, done.err) == (124, False, "sleep was still running after 0.1 s")

    def test_a_program_that_is_not_there_is_a_failure_with_a_next_step(self) -> None:
        with pytest.raises(Failure, match="program 'no-such-program' is not installed") as caught:
            System().run("no-such-program -x")
        assert caught.value.next_step

    def test_programs_speak_english_and_have_no_input(self) -> None:
        assert System().run("sh -c 'echo $LC_ALL; cat'").out == "C\n"

    def test_output_that_is_not_utf8_does_no_harm(self) -> None:
        assert System().run(["printf", r"\377ok"]).out.endswith("ok")

    def test_the_last_lines_come_from_standard_error_first(self) -> None:
        assert Completed(1, "out", "1\n2\n3\n4\n5\n6\n").last_lines(2) == "5\n6"
        assert Completed(1, "out\n", "").last_lines() == "out"
        assert Completed(3, "", "").last_lines() == "exit status 3"
