# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run as one HTML page that needs nothing else: report.html.j2 and report.css beside this file.

What is in a record: `fold` in record.py. A part that a record does not have leaves its section out.
"""

from __future__ import annotations

import base64
import difflib
import functools
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.findings import SEVERITIES
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import record as records
from ansible_collections.banking.platform.plugins.plugin_utils.progress import clock, count, some, span

# What one page shows at most; the rest is counted on it, and is in run.json.
MOST_FAILURES = 100
MOST_FINDINGS = 500
MOST_FIGURES = 500
MOST_NODES = 60  # of a zone
MOST_ROWS = 200  # of the timeline, for roles and for hosts
MOST_BARS = 120  # of a row
MOST_STEPS = 3000
MOST_DIFFS = 500_000  # characters of all differences
MOST_PAIRS = 1_000_000  # lines times lines that are compared; above that, all are shown as replaced
SLOWEST = 15
SOON = 180  # days before the end of life from which it is said

_RUN = ("playbook", "inventory", "user", "controller", "ansible", "revision", "dirty", "check", "limit", "tags",
        "skip_tags", "extra_vars", "cut")  # fmt: skip
_ORDER = {"failed": 0, "unreachable": 0, "changed": 1, "ok": 2, "skipped": 3}
_COMPARISONS = {"<=": "≤", ">=": "≥"}
_SIGNS = {"create": "+", "update": "~", "delete": "-", "restart": "↻"}
_RESOURCES = {"cpu": "CPU", "memory": "Memory", "disk": "Disk", "pods": "Pods", "storage": "Storage"}
_KINDS = {
    "majority": "a majority of the members",
    "at_least_one": "at least one member",
    "in_sync_replicas": "replicas in sync",
    "pool_min_size": "copies of each object",
    "synchronous_standby": "synchronous standbys",
    "sharded_primaries": "a primary for each shard, and their majority",
}
# Control characters, halves of surrogate pairs, and what turns the direction of text round.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_COLOURS = re.compile("\x1b\\[[0-9;:]*m")


# Reading


def load(path: Path) -> dict[str, Any]:
    """The record in a run's folder; of a run that never came to its end, what its events tell.

    Raises:
        Failure: when there is none, or it cannot be read.
    """
    folder = path.parent if path.name in records.FILES else path
    events, whole = folder / records.FILES[0], folder / records.FILES[1]
    try:
        if whole.is_file():
            run = json.loads(whole.read_text(encoding="utf-8"))
        elif events.is_file():
            run = records.fold(records.read_events(events))
        else:
            raise Failure(
                f"{folder} holds no record of a run",
                "name the folder of a run, such as build/<inventory>/runs/<time>, or run a playbook with the callback "
                "banking.platform.record",
            )
    except (OSError, ValueError, KeyError) as error:
        raise Failure(
            f"the record in {folder} cannot be read: {error}", "put it back from the store, or take another run"
        ) from error
    if not isinstance(run, dict) or run.get("schema") != records.SCHEMA:
        raise Failure(
            f"the record in {folder} is not of schema {records.SCHEMA}",
            "render it with the version of the collection that wrote it",
        )
    return run


def last(runs: Path, without: str = "") -> Path:
    """The folder of the last run in `runs`, leaving out the runs of the playbook `without`.

    Raises:
        Failure: when there is none.
    """
    found = sorted(runs.iterdir(), key=_run_order, reverse=True) if runs.is_dir() else []
    for folder in found:
        if folder.is_dir() and not folder.is_symlink():
            try:
                run = load(folder)
            except Failure:
                continue
            if run.get("playbook") != without:
                return folder
    raise Failure(
        f"there is no record of a run in {runs}",
        "run a playbook with the callback banking.platform.record (ANSIBLE_CALLBACKS_ENABLED), or name a run's folder",
    )


def _run_order(folder: Path) -> tuple[str, int]:
    stamp, _separator, number = folder.name.partition("-")
    return stamp, int(number) if number.isdigit() else 1


# The page


def render(record: Mapping[str, Any]) -> str:
    """The page for a record. Nothing but the record decides what is on it; nothing in a record becomes markup."""
    template, css, digest = _template()
    sections = {
        "failures": _failures(record.get("failures") or []),
        "topology": _topology(record.get("topology") or {}, record.get("hosts") or {}, record.get("quorum") or []),
        "quorum": _quorum(record.get("quorum") or [], (record.get("topology") or {}).get("zones") or []),
        "capacity": _capacity(record.get("capacity") or {}),
        "timeline": _timeline(record),
        "plan": _plan(record.get("tasks") or []),
        "measurements": _measurements(record.get("measurements") or []),
        "findings": _findings(record.get("findings") or []),
        "versions": _versions(record.get("versions") or [], record.get("started") or 0),
        "hosts": record.get("hosts") or {},
    }
    head = _head(record, sections)
    run = {**dict.fromkeys(_RUN), **record}
    limits = {"failures": MOST_FAILURES, "findings": MOST_FINDINGS, "measurements": MOST_FIGURES, "nodes": MOST_NODES}
    return template.render(css=css, digest=digest, run=run, head=head, limits=limits, **sections)


@functools.cache
def _template() -> tuple[Template, Markup, str]:
    """The template, the style sheet and its digest, which is all that the page's policy lets in."""
    folder = Path(__file__).parent
    css = (folder / "report.css").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"count": count, "some": some, "span": span}
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return environment.get_template("report.html.j2"), Markup(css), digest  # noqa: S704 - our own file


def _shown(value: Any) -> Any:
    """A value as the page shows it: without what a reader cannot see or a browser may not read."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNSEEN.sub("\ufffd", _COLOURS.sub("", value.replace("\r\n", "\n")))
    return value


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _head(record: Mapping[str, Any], sections: Mapping[str, Any]) -> dict[str, Any]:
    topology = record.get("topology") or {}
    started, ended = record.get("started") or 0, record.get("ended") or 0
    hosts: Mapping[str, Mapping[str, int]] = sections["hosts"]
    changed = sum(counts.get("changed", 0) for counts in hosts.values())
    outcomes = {"ok": "Succeeded", "failed": "Failed", "interrupted": "Interrupted: its end was not recorded"}
    outcome = str(record.get("outcome") or "interrupted")
    facts: list[tuple[str, str, str]] = [
        ("Hosts", str(len(hosts)), "hosts"),
        ("Would be changed" if record.get("check") else "Changed", count(changed, "task"), "plan"),
    ]
    if sections["quorum"]:
        rows = sections["quorum"]["rows"]
        facts.append(("Quorums that survive", f"{sum(row['survives'] for row in rows)} of {len(rows)}", "quorum"))
    if sections["capacity"]:
        bad = [case["name"] for case in sections["capacity"]["cases"] if not case["fits"]]
        facts.append(("Capacity", f"does not fit {', '.join(bad)}" if bad else "fits", "capacity"))
    if sections["measurements"]:
        compared = [row["reached"] for row in sections["measurements"] if row["reached"] is not None]
        text = f"{sum(compared)} of {len(compared)}" if compared else "no goals"
        facts.append(("Goals reached", text, "measurements"))
    for severity, entries in (sections["findings"] or {}).items():
        facts.append((f"Findings: {severity}", str(len(entries)), "findings"))
    if sections["versions"]:
        facts.append(("Versions past their end", str(sum(row["ended"] for row in sections["versions"])), "versions"))
    return {
        "environment": topology.get("environment") or record.get("inventory") or "unknown",
        "release": topology.get("release") or "",
        "kubernetes": topology.get("kubernetes") or "",
        "outcome": outcome if outcome in outcomes else "interrupted",
        "said": outcomes.get(outcome, outcomes["interrupted"]),
        "started": _moment(started),
        "ended": _moment(ended),
        "took": span(max(ended - started, 0)),
        # A link leads only to a section that is there.
        "facts": [(label, text, target if sections[target] else "") for label, text, target in facts],
        "extra_vars": json.dumps(record.get("extra_vars") or {}, indent=1, ensure_ascii=False),
    }


def _failures(failures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What failed, the same failure of several hosts once; what was ignored last."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for failure in failures:
        entry = {key: str(failure.get(key) or "") for key in ("status", "role", "task", "path", "cause", "next_step")}
        entry["forgiven"] = str(failure.get("forgiven") or "")
        same = found.setdefault(tuple(entry.values()), {**entry, "hosts": []})
        same["hosts"].append(str(failure.get("host")))
    return sorted(found.values(), key=lambda entry: bool(entry["forgiven"]))


def _topology(
    topology: Mapping[str, Any], hosts: Mapping[str, Mapping[str, int]], proofs: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The zones with their nodes, nodes without a declared zone last; and what the proofs place in a zone."""
    zones: dict[str, list[dict[str, Any]]] = {str(zone): [] for zone in topology.get("zones") or ()}
    for node in topology.get("nodes") or ():
        size = node.get("size") or {}
        components: dict[str, list[str]] = {}
        for title in node.get("workloads") or ():
            component, _separator, workload = str(title).partition("/")
            components.setdefault(component, []).append(workload or component)
        counts = hosts.get(str(node.get("name"))) or {}
        shown = {
            "name": node.get("name"),
            "roles": [str(role).replace("_", " ") for role in node.get("roles") or () if role != "node"],
            "size": [
                f"{_amount(name, size[name])} {label if label == 'CPU' else label.lower()}"
                for name, label in _RESOURCES.items()
                if size.get(name)
            ],
            "components": {name: list(dict.fromkeys(workloads)) for name, workloads in components.items()},
            "status": min(counts, key=lambda status: _ORDER.get(status, 4), default="") if counts else "",
            "control": "control_plane" in (node.get("roles") or ()),
        }
        zones.setdefault(str(node.get("zone") or "no zone"), []).append(shown)
    found = []
    for zone, nodes in zones.items():
        known = {name for node in nodes for name in node["components"]}
        placed = {str(proof.get("component")) for proof in proofs if (proof.get("members") or {}).get(zone)}
        found.append({"name": zone, "nodes": nodes, "anywhere": sorted(placed - known)})
    return found


def _amount(resource: str, amount: int) -> str:
    if resource == "cpu":
        return quantities.show_cpu(amount)
    return str(amount) if resource == "pods" else quantities.show_size(amount)


def _quorum(proofs: Sequence[Mapping[str, Any]], zones: Iterable[str]) -> dict[str, Any]:
    """The proofs as a table: a row a quorum, a column a zone, and one for the loss of any node."""
    if not proofs:
        return {}
    columns = list(dict.fromkeys([*zones, *(zone for proof in proofs for zone in proof.get("members") or {})]))
    rows = []
    for proof in proofs:
        losses = proof.get("losses") or []
        cells = {loss.get("lost"): loss for loss in losses if loss.get("scope") == "zone"}
        nodes = [loss for loss in losses if loss.get("scope") == "node"]
        worst = next((loss for loss in nodes if not loss.get("survives")), nodes[0] if nodes else None)
        rows.append(
            {
                "component": proof.get("component"),
                "name": proof.get("name"),
                "kind": _KINDS.get(str(proof.get("kind")), proof.get("kind")),
                "survives": bool(proof.get("survives")),
                "claimed": bool(proof.get("claimed")),
                "zones": [((proof.get("members") or {}).get(zone, 0), cells.get(zone)) for zone in columns],
                "node": worst,
                "losses": losses,
            }
        )
    rows.sort(key=lambda row: (row["survives"], not row["claimed"]))
    return {"zones": columns, "rows": rows}


def _bar(resource: str, pair: Mapping[str, int]) -> dict[str, Any]:
    available, requested = pair.get("available") or 0, pair.get("requested") or 0
    percent = 100 * requested / available if available else (100.0 if requested else 0.0)
    return {
        "percent": round(min(percent, 100), 1),
        "share": f"{percent:.0f} %" if available or not requested else "there is none",
        "text": f"{_amount(resource, requested)} of {_amount(resource, available)}",
        "over": requested > available,
    }


def _capacity(capacity: Mapping[str, Any]) -> dict[str, Any]:
    """Bars by zone and resource, a column a case; storage and budget for themselves."""
    if not capacity.get("cases"):
        return {}
    cases = [
        {
            "name": f"without {case.get('lost')}" if case.get("lost") else "whole",
            "lost": case.get("lost"),
            "fits": bool(case.get("fits")),
            "zones": case.get("zones") or {},
            "unplaced": case.get("unplaced") or [],
        }
        for case in capacity["cases"]
    ]
    names = list(dict.fromkeys(zone for case in cases for zone in case["zones"]))
    zones = []
    for zone in names:
        resources = dict.fromkeys(name for case in cases for name in case["zones"].get(zone) or ())
        rows = []
        for name in resources:
            pairs = [(case["zones"].get(zone) or {}).get(name) for case in cases]
            bars = [
                _bar(name, pair) if pair and case["lost"] != zone else None
                for case, pair in zip(cases, pairs, strict=True)
            ]
            rows.append((_RESOURCES.get(name, name), bars))
        zones.append((zone, rows))
    budget = [(_RESOURCES.get(name, name), _bar(name, pair)) for name, pair in (capacity.get("budget") or {}).items()]
    storage = capacity.get("storage") or {}
    recommended = capacity.get("recommended") or {}
    return {
        "cases": cases,
        "zones": zones,
        "budget": budget,
        "storage": _bar("storage", storage) if storage.get("available") or storage.get("requested") else None,
        "recommended": [
            f"{_amount(name, amount)} {_RESOURCES.get(name, name)}" for name, amount in recommended.items()
        ],
    }


# Timeline


@dataclass
class _Bar:
    """A stretch of time in seconds since the start, with what it is about and the worst that happened in it."""

    start: float
    end: float
    label: str
    status: str = "ok"
    x: str = ""
    width: str = ""
    wide: bool = False
    took: str = ""


@dataclass
class _Row:
    """A line of the timeline."""

    name: str
    bars: list[_Bar] = field(default_factory=list)
    took: str = ""

    def add(self, piece: _Bar, join: bool) -> None:
        """Append a piece; with `join`, one that goes on with the same thing makes the one before it longer."""
        if join and self.bars and self.bars[-1].label == piece.label:
            before = self.bars[-1]
            before.end = max(before.end, piece.end)
            before.status = min(before.status, piece.status, key=lambda status: _ORDER.get(status, 4))
        else:
            self.bars.append(piece)

    def lay(self, total: float) -> None:
        """Measure the bars; of too many, neighbours become one."""
        self.bars.sort(key=lambda piece: piece.start)
        gap = total / 1000
        self.took = span(sum(piece.end - piece.start for piece in self.bars))
        while len(self.bars) > MOST_BARS:
            kept = [self.bars[0]]
            for piece in self.bars[1:]:
                if piece.start - kept[-1].start < gap:
                    kept[-1].label = kept[-1].label if kept[-1].label == piece.label else "several"
                    kept[-1].end = max(kept[-1].end, piece.end)
                    kept[-1].status = min(kept[-1].status, piece.status, key=lambda status: _ORDER.get(status, 4))
                else:
                    kept.append(piece)
            self.bars, gap = kept, gap * 2
        for piece in self.bars:
            share = 100 * max(piece.end - piece.start, 0) / total
            piece.x, piece.width = f"{100 * piece.start / total:.2f}", f"{max(share, 0.2):.2f}"
            piece.wide, piece.took = share > 3, span(max(piece.end - piece.start, 0))


def _timeline(record: Mapping[str, Any]) -> dict[str, Any]:
    """The run by play, by role and by host on one scale, and its slowest tasks."""
    tasks = [task for task in record.get("tasks") or () if task.get("results")]
    if not tasks:
        return {}
    zero = record.get("started") or tasks[0]["started"]
    total = max([record.get("ended") or 0, *(task["ended"] for task in tasks)]) - zero
    total = max(total, 0.001)
    plays: dict[str, _Row] = {}
    roles: dict[str, _Row] = {}
    hosts: dict[str, _Row] = {}
    for play in record.get("plays") or ():
        name = str(play.get("name") or "play")
        piece = _Bar(play["started"] - zero, play["ended"] - zero, name, "play")
        plays.setdefault(name, _Row(name)).add(piece, False)
    before = None
    for task in tasks:
        role = str(task.get("role") or "") or "no role"
        results = [result for result in task["results"] if result.get("status") != "skipped"]
        if results:
            worst = min((result["status"] for result in results), key=lambda status: _ORDER.get(status, 4))
            piece = _Bar(task["started"] - zero, task["ended"] - zero, role, worst)
            roles.setdefault(role, _Row(role)).add(piece, before == (role, task.get("play")))
            before = (role, task.get("play"))
        for result in results:
            piece = _Bar(result["started"] - zero, result["ended"] - zero, role, result["status"])
            hosts.setdefault(result["host"], _Row(result["host"])).add(piece, True)
    groups = []
    for title, rows in (("Plays", plays), ("Roles", roles), ("Hosts", hosts)):
        shown = list(rows.values())[:MOST_ROWS]
        for row in shown:
            row.lay(total)
        if shown:
            groups.append({"title": title, "rows": shown, "more": len(rows) - len(shown)})
    slowest = sorted(tasks, key=lambda task: task["started"] - task["ended"])[:SLOWEST]
    return {"groups": groups, "ticks": _ticks(total), "slowest": [_slow(task) for task in slowest], "tasks": len(tasks)}


def _ticks(total: float) -> list[tuple[str, str]]:
    """Up to six round moments of the scale, each with its place in per cent."""
    steps = [base * 10**power for power in range(-4, 0) for base in (1, 2, 5)]
    steps += [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400]
    step: float = next((step for step in steps if total / step <= 6), total / 5)
    moments = [number * step for number in range(int(total / step) + 1)]
    moments = [at for at in moments if at < 0.97 * total or not at]  # its text needs room
    return [(f"{100 * at / total:.2f}", clock(at) if step >= 1 else f"{at:g}s") for at in moments]


def _slow(task: Mapping[str, Any]) -> dict[str, Any]:
    slowest = max(task["results"], key=lambda result: result["ended"] - result["started"])
    return {
        "name": task.get("name"),
        "role": task.get("role"),
        "took": span(max(task["ended"] - task["started"], 0)),
        "hosts": len(task["results"]),
        "slowest": slowest["host"],
        "slowest_took": span(max(slowest["ended"] - slowest["started"], 0)),
    }


# Plan


def _plan(tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The steps by role and by the hosts that share them, in the order in which they come; each step once."""
    steps: dict[str, tuple[str, Mapping[str, Any], Any, list[str]]] = {}
    for task in tasks:
        role = str(task.get("role") or task.get("name") or "")
        for result in task.get("results") or ():
            diffs = _by_target(result.get("diff") or ())
            for step in result.get("plan") or ():
                diff = diffs.get(str(step.get("target")))
                key = json.dumps([role, step, diff], sort_keys=True, default=str)
                hosts = steps.setdefault(key, (role, step, diff, []))[3]
                if result["host"] not in hosts[-1:]:
                    hosts.append(result["host"])
    if not steps:
        return {}
    left = MOST_DIFFS
    roles: dict[str, dict[tuple[str, ...], list[dict[str, Any]]]] = {}
    counts: dict[str, Counter[str]] = {}
    for number, (role, step, diff, hosts) in enumerate(steps.values()):
        action = str(step.get("action"))
        counts.setdefault(role, Counter())[action] += len(set(hosts))
        if number >= MOST_STEPS:
            continue
        lines, size = _difference(step, diff) if left > 0 else ([], 0)
        left -= size
        shown = {
            "action": action,
            "sign": _SIGNS.get(action, "·"),
            "kind": step.get("kind"),
            "target": step.get("target"),
            "notes": [str(step[key]) for key in ("note", "state") if step.get(key)],
            "deferred": step.get("deferred"),
            "lines": lines,
            "cut": left <= 0 and not lines,
        }
        roles.setdefault(role, {}).setdefault(tuple(dict.fromkeys(hosts)), []).append(shown)
    totals = {role: ", ".join(f"{number} {action}" for action, number in counts[role].items()) for role in roles}
    return {"roles": roles, "totals": totals, "more": max(len(steps) - MOST_STEPS, 0)}


def _by_target(diffs: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {
        str(diff.get("after_header") or diff.get("before_header")): diff for diff in diffs if isinstance(diff, Mapping)
    }


def _difference(step: Mapping[str, Any], diff: Mapping[str, Any] | None) -> tuple[list[tuple[str, str]], int]:
    """The difference in runs of lines, each `del`, `ins`, `same` or `gap`; and how many characters it has.

    Contents where the step has them; else its properties before and after.
    """
    source = diff if diff and ("before" in diff or "after" in diff) else step
    before, after = _lines(source.get("before")), _lines(source.get("after"))
    if before == after:
        return [], 0
    runs: list[tuple[str, list[str]]] = []
    for kind, line in _compare(before, after):
        if not runs or runs[-1][0] != kind:
            runs.append((kind, []))
        runs[-1][1].append(line)
    found = [(kind, "\n".join(lines)) for kind, lines in runs]
    return found, sum(len(text) for kind, text in found)


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return text.splitlines()


def _compare(before: list[str], after: list[str]) -> Iterable[tuple[str, str]]:
    if len(before) * len(after) > MOST_PAIRS:
        yield from (("del", f"- {line}") for line in before)
        yield from (("ins", f"+ {line}") for line in after)
        return
    for line in list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]:
        kind = {"-": "del", "+": "ins", "@": "gap"}.get(line[0], "same")
        yield kind, line if kind == "gap" else f"{line[0]} {line[1:]}"


# Measurements, findings and versions


def _measurements(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The figures that were measured, those that missed their goal first."""
    rows = []
    for figure in figures:
        wanted = records.goal(figure.get("goal"))
        unit = str(figure.get("unit") or "")
        sign = _COMPARISONS.get(wanted[0], wanted[0]) if wanted else ""
        rows.append(
            {
                "name": figure.get("name"),
                "value": f"{_figure(figure.get('value'))} {unit}".strip(),
                "goal": f"{sign} {wanted[1]:.12g} {unit}".strip() if wanted else _figure(figure.get("goal")),
                "reached": figure.get("reached"),
                "host": figure.get("host"),
                "role": figure.get("role"),
            }
        )
    return sorted(rows, key=lambda row: row["reached"] is not False)


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)


def _findings(findings: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {severity: [] for severity in SEVERITIES}
    for finding in findings:
        shown = {key: finding.get(key) for key in ("subject", "variable", "cause", "next_step", "rule")}
        groups.setdefault(str(finding.get("severity")), []).append(shown)
    return {severity: entries for severity, entries in groups.items() if entries}


def _versions(versions: Sequence[Mapping[str, Any]], at: float) -> list[dict[str, Any]]:
    """The versions, those past their end of life first; an end is compared with the day of the run."""
    today, soon = _day(at), _day(at + SOON * 86400)
    rows = []
    for entry in versions:
        eol = str(entry.get("eol") or "")
        day = (eol + "-31")[:10] if eol else ""  # a month ends with its last day
        ended = entry.get("state") == "eol" or bool(day and day < today)
        rows.append(
            {
                "component": entry.get("component"),
                "version": entry.get("version"),
                "eol": eol,
                "ended": ended,
                "soon": bool(day) and not ended and day <= soon,
                "licence": entry.get("licence"),
                "roles": [str(role) for role in entry.get("roles") or ()],
            }
        )
    return sorted(rows, key=lambda row: (not row["ended"], not row["soon"], str(row["component"])))
