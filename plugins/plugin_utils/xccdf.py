# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OpenSCAP found on hosts, as findings.

The shape of its results: XCCDF 1.2 (NIST IR 7275 revision 4, section 6.6: test results), alone or in an ARF collection.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, in_order
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.cis import RULE, Report

_XCCDF = "{http://checklists.nist.gov/xccdf/1.2}"
_RULE_PREFIX = "content_rule_"
_BENCHMARK = "cisecurity.org/benchmark"  # of a reference to a number of the benchmark; other references are of CIS too
_LEFT_OUT = ("notselected", "informational")
_PASSED = ("pass", "fixed")


@dataclass
class _Rule:
    title: str = ""
    group: str = ""
    severity: str = "unknown"
    numbers: list[str] = field(default_factory=list)


@dataclass
class _Scan:
    """One host's results: a word of XCCDF for each rule."""

    time: str = ""
    results: dict[str, str] = field(default_factory=dict)
    rules: dict[str, _Rule] = field(default_factory=dict)


def report(scans: Mapping[str, Path], nodes: Sequence[str], skipped: Sequence[Mapping[str, Any]] = ()) -> Report:
    """Put together what scans of hosts have found.

    Args:
        scans: the file of each host that has one, compressed by gzip.
        nodes: the hosts that there are.
        skipped: rules whose failure is accepted, each `id` and `reason`.

    Returns:
        The report. A rule that fails is an `error` where its severity is high or medium, else a `warning`; one that
        could not be checked, and one whose failure is accepted, is an `info`.

    Raises:
        Failure: a file cannot be read.
    """
    found = Report(totals=dict.fromkeys(("pass", "fail", "accepted", "unchecked", "notapplicable"), 0))
    reasons = {str(item["id"]): str(item["reason"]) for item in skipped}
    about: dict[tuple[str, str], tuple[_Rule, list[str]]] = {}
    known: set[str] = set()
    for node in sorted(set(nodes) & set(scans)):
        scan = _read(node, scans[node])
        found.scanned[node] = scan.time
        known.update(scan.rules)
        for rule, result in scan.results.items():
            what = _what(rule, result, reasons)
            found.totals[what] += 1
            if what not in ("pass", "notapplicable"):
                about.setdefault((rule, result), (scan.rules.get(rule, _Rule()), []))[1].append(node)
    found.findings = in_order(
        [
            *(_finding(rule, result, *entry, reasons) for (rule, result), entry in sorted(about.items())),
            *(_never(node) for node in nodes if node not in found.scanned),
            *(_nothing(rule) for rule in reasons if found.scanned and rule not in known),
        ]
    )
    return found


def _what(rule: str, result: str, reasons: Mapping[str, str]) -> str:
    if result in _PASSED:
        return "pass"
    if result == "notapplicable":
        return result
    if rule in reasons:
        return "accepted"
    return "fail" if result == "fail" else "unchecked"


def _read(node: str, path: Path) -> _Scan:
    """Read a file without keeping its tree, which would take ten times the room of the text."""
    scan, groups, opened, tested = _Scan(), [""], [""], False
    try:
        with gzip.open(path) as file:
            # A scanner of our own wrote it, and the parser limits what entities may expand to.
            for event, element in ElementTree.iterparse(file, ("start", "end")):  # noqa: S314
                tag = element.tag.removeprefix(_XCCDF)
                if event == "start":
                    opened.append(tag)
                    if tag == "Group":
                        groups.append("")
                    continue
                opened.pop()
                if tag == "title" and opened[-1] == "Group":
                    groups[-1] = _words(element.text)
                elif tag == "Group":
                    groups.pop()
                elif tag == "Rule":
                    scan.rules[_short(element.get("id", ""))] = _rule(element, groups[-1])
                elif tag == "rule-result":
                    result = element.findtext(f"{_XCCDF}result", "")
                    if result not in _LEFT_OUT:
                        scan.results[_short(element.get("idref", ""))] = result
                elif tag == "TestResult":
                    scan.time, tested = element.get("end-time", ""), True
                if not {"Rule", "rule-result"}.intersection(opened):
                    element.clear()
    except (ElementTree.ParseError, OSError, EOFError, zlib.error) as error:
        raise _unreadable(node, f"{type(error).__name__}: {error}") from error
    if not tested:
        raise _unreadable(node, "there is no result of a test in it")
    return scan


def _rule(element: ElementTree.Element, group: str) -> _Rule:
    return _Rule(
        title=_words(element.findtext(f"{_XCCDF}title")),
        group=group,
        severity=element.get("severity", "unknown"),
        numbers=[
            _words(reference.text)
            for reference in element.findall(f"{_XCCDF}reference")
            if _BENCHMARK in reference.get("href", "")
        ],
    )


def _short(identifier: str) -> str:
    """The name of a rule, without the part that is the same for all rules of a content."""
    return identifier.rpartition(_RULE_PREFIX)[2]


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _finding(name: str, result: str, rule: _Rule, nodes: Sequence[str], reasons: Mapping[str, str]) -> Finding:
    cause = f"{rule.title or name} ({rule.severity}): {result}"
    number = f"CIS {', '.join(rule.numbers)} in docs/hardening.md" if rule.numbers else "the rule"
    step = f"look at {number}; a failure that is accepted goes into compliance_host_skipped, with its reason"
    severity = "info"
    if name in reasons:
        cause, step = f"{cause}, accepted: {reasons[name]}", "see from time to time whether the reason still holds"
    elif result == "fail":
        severity = "error" if rule.severity in ("high", "medium") else "warning"
    return Finding(severity, ", ".join(nodes), rule.group or "OpenSCAP", cause, step, name)


def _never(node: str) -> Finding:
    step = f"ansible-playbook playbooks/compliance.yml --limit {node},localhost; there is content for Debian 12 and 13"
    return Finding("warning", node, "OpenSCAP", "it has not been scanned", step, RULE)


def _nothing(rule: str) -> Finding:
    cause = f"{rule}: no rule of the content has this name"
    return Finding("warning", "compliance", "compliance_host_skipped", cause, "correct it, or take it out", RULE)


def _unreadable(node: str, why: str) -> Failure:
    return Failure(
        f"what OpenSCAP found on {node} cannot be read: {why}",
        f"scan it again: ansible-playbook playbooks/compliance.yml --limit {node},localhost",
    )
