# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kube-bench found on nodes, as findings.

The shape of its results: OverallControls in check/controls.go of aquasecurity/kube-bench at v0.9.4 and v0.15.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, in_order
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_MOST = 500  # characters of a cause or a next step
RULE = "cis-scan"


@dataclass
class Report:
    """What all nodes' scans say together.

    Attributes:
        scanned: when each node was scanned, by its name.
        totals: how many checks of all nodes passed, failed, are to be looked at, or only tell.
        findings: one a check, with all nodes that it is about.
    """

    scanned: dict[str, str] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("pass", "fail", "warn", "info"), 0))
    findings: list[Finding] = field(default_factory=list)

    def text(self) -> str:
        """As JSON; the same scans always make the same."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def report(results: Sequence[Mapping[str, Any]], nodes: Sequence[str]) -> Report:
    """Put together what scans have found.

    Args:
        results: a scan each: `node`, `time`, and `result`, which is kube-bench's JSON; empty before the first one.
        nodes: those that there are.

    Returns:
        The report. A check that fails is an `error` where the benchmark scores it, else a `warning`; one that
        somebody has to look at is an `info`.

    Raises:
        Failure: a result cannot be read.
    """
    found = Report()
    about: dict[tuple[str, str], tuple[Mapping[str, Any], str, str, list[str]]] = {}
    for result in sorted(results, key=lambda item: str(item.get("node", ""))):
        if result.get("node") not in nodes:
            continue
        node = str(result["node"])
        found.scanned[node] = str(result.get("time", ""))
        for benchmark, section, check in _checks(node, str(result.get("result", ""))):
            status = str(check["status"]).lower()
            found.totals[status] = found.totals.get(status, 0) + 1
            severity = _severity(status, bool(check.get("scored", True)))
            if severity:
                key = f"{benchmark}-{check['test_number']}", severity
                about.setdefault(key, (check, severity, section, []))[3].append(node)
    found.findings = in_order(
        [
            *(_finding(rule, *entry) for (rule, _severity_), entry in about.items()),
            *(_never(node) for node in nodes if node not in found.scanned),
        ]
    )
    return found


def _checks(node: str, text: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    try:
        for controls in json.loads(text)["Controls"]:
            for group in controls["tests"]:
                for check in group["results"]:
                    yield str(controls["version"]), str(group["desc"]), check
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(
            f"what kube-bench found on {node} cannot be read: {type(error).__name__}: {error}",
            f"see the last job kube-bench-{node} in banking-security, and have it run again",
        ) from error


def _severity(status: str, scored: bool) -> str:
    if status == "fail":
        return "error" if scored else "warning"
    return "info" if status == "warn" else ""


def _finding(rule: str, check: Mapping[str, Any], severity: str, section: str, nodes: Sequence[str]) -> Finding:
    actual = " ".join(str(check.get("actual_value") or check.get("reason") or "").split())
    cause = f"{check['test_number']} {check['test_desc']}" + (f": found {actual}" if actual else "")
    step = " ".join(str(check.get("remediation") or "see the benchmark").split())
    return Finding(severity, ", ".join(nodes), section, cause[:_MOST], step[:_MOST], rule)


def _never(node: str) -> Finding:
    step = f"kubectl -n banking-security create job --from=cronjob/kube-bench-{node} kube-bench-{node}-now"
    return Finding("warning", node, "kube-bench", "it has not been scanned", step, RULE)
