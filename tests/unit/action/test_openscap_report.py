# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenSCAP found on hosts, in one report. openscap.xml has nine rules of a scan of a node of the lab."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import make_action

SCAN = (Path(__file__).parent / "openscap.xml").read_text(encoding="utf-8")
NODES = ["cp-a1", "worker-b1"]


def put(folder: Path, node: str, text: str = SCAN) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"openscap-{node}.xml.gz").write_bytes(gzip.compress(text.encode()))


def report(folder: Path, *skipped: tuple[str, str], check_mode: bool = False, nodes: Any = None) -> Any:
    arguments = {
        "scanner": "openscap",
        "nodes": NODES if nodes is None else nodes,
        "dest": str(folder),
        "skipped": [{"id": name, "reason": reason} for name, reason in skipped],
    }
    action = make_action("cis_report", arguments)
    action._task.check_mode = check_mode
    return action.run(task_vars={})


def test_a_rule_is_one_finding_with_all_its_hosts(tmp_path: Path) -> None:
    put(tmp_path, "worker-b1")
    put(tmp_path, "cp-a1")
    found = report(tmp_path)
    assert [(item["severity"], item["subject"], item["rule"]) for item in found["findings"]] == [
        ("error", "cp-a1, worker-b1", "package_aide_installed"),
        ("error", "cp-a1, worker-b1", "package_audit_installed"),
        ("error", "cp-a1, worker-b1", "package_timesyncd_installed"),
        ("error", "cp-a1, worker-b1", "sysctl_net_ipv4_ip_forward"),
        ("warning", "cp-a1, worker-b1", "kernel_module_overlayfs_disabled"),
        ("info", "cp-a1, worker-b1", "nftables_rules_permanent"),
    ]
    assert found["findings"][0] == {
        "severity": "error",
        "subject": "cp-a1, worker-b1",
        "variable": "Verify Integrity with AIDE",
        "cause": "Install AIDE (medium): fail",
        "next_step": "look at CIS 6.3.1 in docs/hardening.md; a failure that is accepted goes into "
        "compliance_host_skipped, with its reason",
        "rule": "package_aide_installed",
    }
    written = json.loads((tmp_path / "hosts.json").read_text())
    assert written["findings"] == found["findings"]
    # One rule of the nine is not in the profile.
    assert written["totals"] == {"pass": 2, "fail": 10, "accepted": 0, "unchecked": 2, "notapplicable": 2}
    assert set(written["scanned"]) == {"cp-a1", "worker-b1"}
    assert not report(tmp_path)["changed"]


def test_hosts_that_differ_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "cp-a1")
    result = '_rule_package_aide_installed" severity="medium">\n      <result>'
    assert f"{result}fail" in SCAN
    put(tmp_path, "worker-b1", SCAN.replace(f"{result}fail", f"{result}pass"))
    found = {item["rule"]: item["subject"] for item in report(tmp_path)["findings"]}
    assert found["package_aide_installed"] == "cp-a1"
    assert found["package_audit_installed"] == "cp-a1, worker-b1"


def test_a_failure_that_is_accepted_is_told_with_its_reason_and_counts_no_more(tmp_path: Path) -> None:
    put(tmp_path, "cp-a1")
    accepted = ("sysctl_net_ipv4_ip_forward", "a node forwards what its pods send")
    found = report(tmp_path, accepted, ("prefer_32bit_os", "a slip of the pen"), nodes=["cp-a1"])
    (finding,) = [item for item in found["findings"] if item["rule"] == accepted[0]]
    assert finding["severity"] == "info"
    assert finding["cause"].endswith("fail, accepted: a node forwards what its pods send")
    assert found["measurements"][0] == {"name": "rules for hosts that fail", "value": 4, "unit": "checks", "goal": 0}
    (unknown,) = [item for item in found["findings"] if item["variable"] == "compliance_host_skipped"]
    assert (unknown["severity"], unknown["cause"]) == (
        "warning",
        "prefer_32bit_os: no rule of the content has this name",
    )


def test_a_host_that_was_never_scanned_is_named(tmp_path: Path) -> None:
    put(tmp_path, "cp-a1")
    found = report(tmp_path)
    (missing,) = [item for item in found["findings"] if item["rule"] == "cis-scan"]
    assert (missing["severity"], missing["subject"]) == ("warning", "worker-b1")
    assert "--limit worker-b1,localhost" in missing["next_step"]
    figures = {item["name"]: item for item in found["measurements"]}
    assert figures["hosts scanned by OpenSCAP"]["value"] == 1
    assert figures["hosts scanned by OpenSCAP"]["goal"] == ">= 2"


def test_check_mode_writes_nothing(tmp_path: Path) -> None:
    put(tmp_path, "cp-a1")
    assert report(tmp_path, check_mode=True)["changed"]
    assert not (tmp_path / "hosts.json").exists()


@pytest.mark.parametrize("text", ["", "no XML", SCAN[:-30], "<Benchmark/>"])
def test_what_cannot_be_read_is_said(tmp_path: Path, text: str) -> None:
    put(tmp_path, "cp-a1", text)
    found = report(tmp_path)
    assert found["failed"]
    assert "what OpenSCAP found on cp-a1 cannot be read" in found["msg"]
    assert "next: scan it again" in found["msg"]


def test_a_file_that_is_not_compressed_is_said(tmp_path: Path) -> None:
    (tmp_path / "openscap-cp-a1.xml.gz").write_text(SCAN)
    assert "BadGzipFile" in report(tmp_path)["msg"]
