#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time the proofs of quorum and capacity for a platform of many nodes and components.

Run it with the clone's Python; `--nodes` and `--components` change the size. Nothing is connected to or written. Each
component has quorums of two kinds, of which a part fails, so that the search for the smallest change is timed as well.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils import capacity, quorum
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Resources, parse
from ansible_collections.banking.platform.plugins.module_utils.topology import Node

RUNS = 5
_REQUESTS = {"requests": {"cpu": "250m", "memory": "512Mi", "storage": "10Gi"}}
_SPREAD = {"spread": ["zone", "node"]}


def servers(count: int, zones: list[str]) -> tuple[list[Node], dict[str, list[str]]]:
    """Servers spread over zones, of which the first of each zone is a control-plane node."""
    size = Resources(cpu=16000, memory=64 * 1024**3, disk=1024**4, pods=110)
    nodes = [
        Node(f"node-{number:04}", zones[number % len(zones)], f"10.0.{number // 250}.{number % 250 + 1}", size=size)
        for number in range(count)
    ]
    names = [node.name for node in nodes]
    cp, workers = names[: len(zones)], names[len(zones) :]
    return nodes, {"node": names, "control_plane": cp, "etcd": cp, "vault": cp, "worker": workers}


def components(count: int) -> list[Declaration]:
    """Components of six shapes, one for each kind of quorum; every tenth has members that are not spread."""
    shapes: list[tuple[str, dict[str, Any]]] = [
        ("majority", {"members": ["a"]}),
        ("in_sync_replicas", {"members": ["a"], "copies": 3, "minimum": 2, "spread": "zone"}),
        ("pool_min_size", {"members": ["a"], "copies": 3, "minimum": 2, "spread": "zone"}),
        ("synchronous_standby", {"members": ["a"], "synchronous": 1}),
        ("sharded_primaries", {"primaries": "a", "replicas": "b", "apart": "zone"}),
        ("at_least_one", {"members": ["b"]}),
    ]
    declared = []
    for number in range(count):
        kind, values = shapes[number % len(shapes)]
        spread = {} if number % 10 == 9 else _SPREAD
        data = {
            "workloads": {name: {**_REQUESTS, **spread, "replicas": 3} for name in ("a", "b")},
            "quorum": [
                {"name": "data", "kind": kind, **values},
                {"name": "web", "kind": "at_least_one", "members": ["b"]},
            ],
        }
        declaration = parse(f"component{number}", data)
        if declaration:
            declared.append(declaration)
    return declared


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Print the middle of several times."""
    times, result = [], None
    for _run in range(RUNS):
        begun = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - begun)
    print(f"{what:<28} {statistics.median(times):.3f} s")
    return result


def main() -> None:
    """Time it and print a line a proof."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    options.add_argument("--nodes", type=int, default=1000)
    options.add_argument("--components", type=int, default=200)
    given = options.parse_args()
    zones = ["zone-a", "zone-b", "zone-c"]
    nodes, groups = servers(given.nodes, zones)
    declared = components(given.components)
    print(f"{len(nodes)} nodes, {len(declared)} components, {sum(len(item.quorum) for item in declared)} quorums")
    proofs = timed("quorum: proofs", lambda: quorum.prove(declared, nodes, zones, groups))
    found = timed("quorum: findings", lambda: quorum.findings(proofs, declared, zones, "bench"))
    timed("quorum: rows", lambda: [proof.as_dict() for proof in proofs])
    timed("capacity", lambda: capacity.prove(declared, nodes, zones, groups, {}))
    print(f"{sum(not proof.survives for proof in proofs)} quorums do not survive, {len(found)} findings")


if __name__ == "__main__":
    main()
