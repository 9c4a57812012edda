# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which records may be applied as a plan, and which of their steps are for whom."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved

HOUR = 3600.0
STEP = {"kind": "file", "target": "/etc/x", "action": "create"}


def _record(**other: Any) -> dict[str, Any]:
    results = [{"host": "cp-a1", "status": "changed", "plan": [STEP]}, {"host": "cp-b1", "status": "ok"}]
    task = {"role": "node", "name": "Converge", "results": results}
    return {
        "schema": 1, "check": True, "outcome": "ok", "cut": False, "ended": 100 * HOUR, "inventory": "prod",
        "tasks": [task],
    } | other  # fmt: skip


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(approved.context, "CLIARGS", {"inventory": ["inventories/prod"]})

    def write(record: Any) -> str:
        (tmp_path / "run.json").write_text(record if isinstance(record, str) else json.dumps(record))
        return str(tmp_path)

    return write


def test_a_fresh_record_of_a_check_is_a_plan(write: Any) -> None:
    assert approved.load(write(_record()), now=123 * HOUR)["tasks"][0][:2] == ("node", "Converge")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"check": False}, "changed things"),
        ({"outcome": "failed"}, "a run that failed"),
        ({"outcome": "interrupted"}, "a run that interrupted"),
        ({"cut": True}, "not whole"),
        ({"inventory": "staging"}, "made for the inventory staging"),
        ({"ended": 98 * HOUR}, "25.0 hours old, and plans hold 24 hours"),
        ({"ended": 124 * HOUR}, "-1.0 hours old"),
        ({"schema": 2}, "has schema 2"),
    ],
)
def test_any_other_is_not(write: Any, other: dict[str, Any], why: str) -> None:
    with pytest.raises(Failure, match=why):
        approved.load(write(_record(**other)), now=123 * HOUR)


@pytest.mark.parametrize("text", ["", "{}", "[]", "{'", '{"schema": 1}'])
def test_a_file_that_is_no_record_is_said_to_be_none(write: Any, text: str) -> None:
    with pytest.raises(Failure, match="is no record of a run"):
        approved.load(write(text))


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read: No such file"):
        approved.load(str(tmp_path / "none.json"))


def _action(role: str, name: str, check: bool = False) -> Any:
    its_role = SimpleNamespace(get_name=lambda fqcn=True: f"banking.platform.{role}" if fqcn else role)
    task = SimpleNamespace(check_mode=check, _role=its_role, get_name=lambda: f"banking.platform.{role} : {name}")
    return SimpleNamespace(_task=task, _templar=SimpleNamespace(template=lambda value: value))


class TestSteps:
    def variables(self, path: str, host: str) -> dict[str, Any]:
        return {"platform_plan": path, "platform_plan_max_age": 1e9, "inventory_hostname": host}

    def test_are_those_of_the_task_and_host(self, write: Any) -> None:
        path = write(_record())
        of = {
            host: approved.steps(_action("node", "Converge"), self.variables(path, host)) for host in ("cp-a1", "cp-b1")
        }
        assert of == {"cp-a1": {"steps": [STEP], "waiting": False}, "cp-b1": {"steps": [], "waiting": False}}

    def test_wait_for_what_an_earlier_task_brings_or_what_is_deferred(self, write: Any) -> None:
        def task(name: str, **result: Any) -> dict[str, Any]:
            return {"role": "node", "name": name, "results": [{"host": "cp-a1", "status": "changed", **result}]}

        tasks = [task("One", plan=[STEP]), task("Packages"), task("Two", plan=[STEP]), task("Three", plan=[])]
        tasks[0]["results"][0]["plan"] = [STEP | {"deferred": "no unit"}]
        path = write(_record(tasks=tasks[::2] + tasks[1:2] + tasks[3:]))
        waiting = {
            name: (approved.steps(_action("node", name), self.variables(path, "cp-a1")) or {})["waiting"]
            for name in ("One", "Two", "Three")
        }
        assert waiting == {"One": True, "Two": False, "Three": True}

    @pytest.mark.parametrize(
        ("role", "name", "host"),
        [("node", "Converge", "cp-c1"), ("node", "Other", "cp-a1"), ("etcd", "Converge", "cp-a1")],
    )
    def test_of_what_was_not_planned_are_refused(self, write: Any, role: str, name: str, host: str) -> None:
        with pytest.raises(Failure, match="does not have this task for this host"):
            approved.steps(_action(role, name), self.variables(write(_record()), host))

    def test_are_not_asked_for_in_check_mode_or_without_a_plan(self, write: Any) -> None:
        assert approved.steps(_action("node", "Other", check=True), self.variables(write(_record()), "cp-a1")) is None
        assert approved.steps(_action("node", "Other"), {"inventory_hostname": "cp-a1"}) is None
