# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-bench found, in one report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import make_action


def check(number: str, status: str, scored: bool = True, **more: Any) -> dict[str, Any]:
    return {"test_number": number, "test_desc": f"Ensure {number}", "status": status, "scored": scored, **more}


def scan(node: str, *checks: dict[str, Any]) -> dict[str, Any]:
    controls = [
        {"id": "1", "version": "cis-1.9", "tests": [{"section": "1.2", "desc": "API Server", "results": checks}]}
    ]
    return {"node": node, "time": "2026-11-01T03:00:00Z", "result": json.dumps({"Controls": controls, "Totals": {}})}


FIRST = scan(
    "cp-a1",
    check("1.2.1", "FAIL", actual_value="true", remediation="Set\n it"),
    check("1.2.2", "PASS"),
    check("1.2.3", "FAIL", scored=False, reason="no file"),
    check("1.2.4", "WARN"),
    check("1.2.5", "INFO"),
)
SECOND = scan("cp-b1", check("1.2.1", "FAIL", actual_value="true"), check("1.2.2", "PASS"))


def report(
    dest: Path, *results: dict[str, Any], check_mode: bool = False, nodes: tuple[str, ...] = ("cp-a1", "cp-b1")
) -> Any:
    action = make_action("cis_report", {"results": list(results), "nodes": list(nodes), "dest": str(dest)})
    action._task.check_mode = check_mode
    return action.run(task_vars={})


def test_a_check_is_one_finding_with_all_its_nodes(tmp_path: Path) -> None:
    found = report(tmp_path / "report", SECOND, FIRST)
    assert [(item["severity"], item["subject"], item["rule"]) for item in found["findings"]] == [
        ("error", "cp-a1, cp-b1", "cis-1.9-1.2.1"),
        ("warning", "cp-a1", "cis-1.9-1.2.3"),
        ("info", "cp-a1", "cis-1.9-1.2.4"),
    ]
    assert found["findings"][0] == {
        "severity": "error",
        "subject": "cp-a1, cp-b1",
        "variable": "API Server",
        "cause": "1.2.1 Ensure 1.2.1: found true",
        "next_step": "Set it",
        "rule": "cis-1.9-1.2.1",
    }
    written = json.loads((tmp_path / "report/cis.json").read_text())
    assert written["findings"] == found["findings"]
    assert written["totals"] == {"pass": 2, "fail": 3, "warn": 1, "info": 1}
    assert written["scanned"] == {"cp-a1": "2026-11-01T03:00:00Z", "cp-b1": "2026-11-01T03:00:00Z"}


def test_figures_are_for_the_record(tmp_path: Path) -> None:
    figures = {item["name"]: item for item in report(tmp_path, FIRST)["measurements"]}
    assert figures["CIS checks that fail"] == {"name": "CIS checks that fail", "value": 2, "unit": "checks", "goal": 0}
    assert figures["nodes held against CIS"]["value"] == 1
    assert figures["nodes held against CIS"]["goal"] == ">= 2"


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert report(tmp_path / "report", FIRST, SECOND)["changed"]
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "cis.json",
        "kube-bench-cp-a1.json",
        "kube-bench-cp-b1.json",
    ]
    assert not report(tmp_path / "report", SECOND, FIRST)["changed"]
    assert report(tmp_path / "report", FIRST)["changed"]


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    assert report(tmp_path / "report", FIRST, check_mode=True)["changed"]
    assert not (tmp_path / "report").exists()


def test_a_node_that_was_never_scanned_is_named(tmp_path: Path) -> None:
    found = report(tmp_path, {}, FIRST)["findings"]
    (missing,) = [item for item in found if item["rule"] == "cis-scan"]
    assert (missing["severity"], missing["subject"]) == ("warning", "cp-b1")
    assert "cronjob/kube-bench-cp-b1" in missing["next_step"]


def test_a_node_that_is_gone_is_left_out(tmp_path: Path) -> None:
    found = report(tmp_path, FIRST, SECOND, nodes=("cp-a1",))
    assert found["findings"][0]["subject"] == "cp-a1"
    assert not (tmp_path / "kube-bench-cp-b1.json").exists()


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"Controls": [{"version": "x", "tests": [{}]}]}'])
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    found = report(tmp_path, {"node": "cp-a1", "time": "", "result": text})
    assert found["failed"]
    assert "kube-bench found on cp-a1" in found["msg"]
    assert "next: see the last job kube-bench-cp-a1" in found["msg"]
