# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is proved before a change, as one result and as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils import capacity, quantities, quorum
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, in_order, nearest
from ansible_collections.banking.platform.plugins.module_utils.quantities import show_cpu, show_size

# Importing the rules registers them.
from ansible_collections.banking.platform.plugins.module_utils.rules import data as _data
from ansible_collections.banking.platform.plugins.module_utils.rules import servers as _servers
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import Platform, check_settings

__all__ = ("RULES_OF", "prove", "report", "survives_by_default", "table")

RULES_OF = (_data, _servers)

# How the amounts of `platform_budget` are read; the network's is for the reader only.
BUDGET: Mapping[str, Callable[[Any], Any]] = {
    "cpu": quantities.cpu,
    "memory": quantities.size,
    "storage": quantities.size,
    "network": str,
}


def survives_by_default(zones: Sequence[str]) -> str:
    """What `platform_survives` is where nobody says: with one zone nothing is promised."""
    return "zone" if len(zones) > 1 else "nothing"


def prove(platform: Platform, found: Sequence[Finding], survives: str, budget: Mapping[str, Any]) -> dict[str, Any]:
    """All proofs of a platform in JSON types: findings, topology, quorum, capacity and versions.

    Args:
        platform: what is known of it.
        found: findings so far.
        survives: `zone`, `node` or `nothing`: what the platform promises to survive.
        budget: `platform_budget`.
    """
    declared, nodes, zones, groups = platform.declarations, platform.nodes, platform.zones, platform.groups
    proofs = quorum.prove(declared, nodes, zones, groups)
    budget, unreadable = _readable(budget, platform.environment)
    room = capacity.prove(declared, nodes, zones, groups, budget)
    # A size that cannot be read is an error already: that the host has none would be a second one.
    said = {(finding.subject, finding.variable) for finding in found}
    crowded = capacity.findings(room, survives, platform.environment)
    findings = in_order(
        [
            *found,
            *unreadable,
            *quorum.findings(proofs, declared, zones, platform.environment, survives),
            *(finding for finding in crowded if (finding.subject, finding.variable) not in said),
            *check_settings(platform),
        ]
    )
    return {
        "findings": [vars(finding) for finding in findings],
        "topology": _topology(platform),
        "quorum": [proof.as_dict(survives) for proof in proofs],
        "capacity": room.as_dict(),
        "versions": _versions(platform),
    }


def _readable(budget: Mapping[str, Any], environment: str) -> tuple[dict[str, Any], list[Finding]]:
    """The amounts of a budget that can be read, and findings about the others."""
    readable, findings = {}, []
    for name, amount in budget.items():
        try:
            if name not in BUDGET:
                raise ValueError(f"unknown key: {nearest(name, BUDGET)}")
            BUDGET[name](amount)
            readable[name] = amount
        except ValueError as error:
            findings.append(
                Finding(
                    "error",
                    environment,
                    f"platform_budget.{name}",
                    str(error),
                    "write it such as {cpu: 96, memory: 384GB, storage: 20TB, network: 25Gbps}",
                    rule="capacity",
                )
            )
    return readable, findings


def _topology(platform: Platform) -> dict[str, Any]:
    return {
        "environment": platform.environment,
        "release": platform.catalog.release,
        "kubernetes": platform.catalog.kubernetes,
        "zones": list(platform.zones),
        "nodes": [
            {
                "name": node.name,
                "zone": node.zone,
                "roles": [role for role, hosts in platform.groups.items() if node.name in hosts],
                "size": vars(node.size) if node.size else None,
                "workloads": [
                    workload.title
                    for workload in platform.workloads()
                    if workload.runs == "server" and node.name in platform.groups.get(workload.nodes, ())
                ],
            }
            for node in platform.nodes
        ],
    }


def _versions(platform: Platform) -> list[dict[str, Any]]:
    users: dict[str, list[str]] = {}
    for declaration in platform.declarations:
        for name in declaration.catalog:
            users.setdefault(name, []).append(declaration.component)
    known = {name for name in users if name in platform.catalog.components}
    return [
        {**entry, "roles": users[entry["component"]]}
        for entry in platform.catalog.versions(known, platform.today.isoformat())
    ]


# -- text


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with columns of equal width; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def report(proofs: Mapping[str, Any]) -> list[str]:
    """The proofs for a reader: quorum by zone, capacity by zone lost, findings by severity."""
    topology = proofs["topology"]
    title = f"{topology['environment']}, release {topology['release']} with Kubernetes {topology['kubernetes']}"
    return [
        title,
        "",
        *_quorum_lines(proofs),
        "",
        *_capacity_lines(proofs["capacity"]),
        "",
        *_finding_lines(proofs["findings"]),
    ]


def _quorum_lines(proofs: Mapping[str, Any]) -> list[str]:
    zones = proofs["topology"]["zones"]
    rows = [["Quorum", "kind", *(f"without {zone}" for zone in zones), "without any node"]]
    for row in proofs["quorum"]:
        lost = {loss["lost"]: loss["survives"] for loss in row["losses"] if loss["scope"] == "zone"}
        nodes = [loss["survives"] for loss in row["losses"] if loss["scope"] == "node"]
        marks = [_mark(lost.get(zone, True), row["claimed"]) for zone in zones]
        rows.append([_title(row), row["kind"].replace("_", " "), *marks, _mark(all(nodes), row["claimed"])])
    return table(rows) if len(rows) > 1 else ["Quorum: no component declares one"]


def _title(row: Mapping[str, Any]) -> str:
    return row["component"] if row["name"] == row["component"] else f"{row['component']}/{row['name']}"


def _mark(survives: bool, claimed: bool) -> str:
    return "survives" if survives else "FAILS" if claimed else "not promised"


def _capacity_lines(capacity_: Mapping[str, Any]) -> list[str]:
    rows = [["Capacity", "CPU asked / there", "memory asked / there", "disk asked / there", "pods", "fits"]]
    for case in capacity_["cases"]:
        sums = {
            name: [sum(zone[name][part] for zone in case["zones"].values()) for part in ("requested", "available")]
            for name in ("cpu", "memory", "disk", "pods")
        }
        rows.append(
            [
                f"without {case['lost']}" if case["lost"] else "whole",
                " / ".join(map(show_cpu, sums["cpu"])),
                " / ".join(map(show_size, sums["memory"])),
                " / ".join(map(show_size, sums["disk"])),
                " / ".join(map(str, sums["pods"])),
                "yes" if case["fits"] else "NO",
            ]
        )
    return table(rows)


def _finding_lines(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    if not findings:
        return ["Findings: none"]
    lines = []
    for finding in findings:
        what = f"{finding['subject']}: {finding['variable']}: {finding['cause']}"
        lines.append(f"{finding['severity'].upper():8}{what}")
        lines.append(f"        next: {finding['next_step']}  [{finding['rule']}]")
    return lines
