# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as a run leaves it: its events folded by record.py, its proofs by quorum.py, capacity.py and the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from ansible_collections.banking.platform.plugins.module_utils import capacity, catalog, declarations, quorum
from ansible_collections.banking.platform.plugins.module_utils.findings import in_order
from ansible_collections.banking.platform.plugins.module_utils.topology import Node
from ansible_collections.banking.platform.plugins.plugin_utils import record

START = 1795432800.0  # 2026-11-23 11:20:00 UTC
COMPONENTS = """
etcd:
  group: etcd
  workloads: {etcd: {requests: {cpu: 400m, memory: 1Gi, disk: 20Gi}}}
  quorum: [{name: members, kind: majority, members: [etcd]}]
vault:
  group: vault
  workloads: {server: {requests: {cpu: 250m, memory: 512Mi, disk: 10Gi}}}
  quorum: [{name: raft, kind: majority, members: [server]}]
kafka:
  workloads:
    broker: {replicas: 3, spread: [zone, node], requests: {cpu: "1", memory: 4Gi, storage: 200Gi}}
    connect: {replicas: 2, spread: [zone], requests: {cpu: 250m, memory: 1Gi}}
  quorum:
    - {name: topics, kind: in_sync_replicas, members: [broker], copies: 3, minimum: 2, spread: zone}
    - {name: connect, kind: at_least_one, members: [connect]}
postgresql:
  workloads: {instance: {replicas: 3, spread: [zone, node], requests: {cpu: "2", memory: 8Gi, storage: 200Gi}}}
  quorum: [{name: commits, kind: synchronous_standby, members: [instance], synchronous: 1}]
redis:
  workloads:
    leader: {replicas: 3, spread: [zone, node], requests: {cpu: 100m, memory: 1Gi}}
    follower: {replicas: 3, spread: [zone, node], requests: {cpu: 100m, memory: 1Gi}}
  quorum: [{name: sessions, kind: sharded_primaries, primaries: leader, replicas: follower, apart: zone}]
storage:
  workloads:
    osd: {runs: daemon, nodes: worker, requests: {cpu: 500m, memory: 4Gi, disk: 700Gi}}
    mon: {replicas: 3, spread: [zone, node], requests: {cpu: 150m, memory: 768Mi, disk: 10Gi}}
  quorum:
    - {name: pools, kind: pool_min_size, members: [osd], copies: 3, minimum: 2, spread: zone}
    - {name: mons, kind: majority, members: [mon]}
  provides: {storage: 1200Gi}
harbor:
  workloads: {core: {replicas: 1, requests: {cpu: 500m, memory: 2Gi}}}
  quorum: [{name: registry, kind: at_least_one, members: [core]}]
"""
ROLES = ("node", "data_volumes", "containerd", "etcd", "kubernetes", "vault")


def inventory(zones: int = 3, workers: int = 2) -> tuple[list[Node], dict[str, list[str]], list[str]]:
    """One control-plane node and some workers a zone; with the groups of roles and the names of the zones."""
    names = [f"zone-{chr(97 + number)}" for number in range(zones)]
    nodes, groups = [], {role: [] for role in ("node", "control_plane", "worker", "etcd", "vault")}  # type: ignore[var-annotated]
    small = declarations.resources("size", {"cpu": 4, "memory": "8Gi", "disk": "200Gi"}, pods=110)
    large = declarations.resources("size", {"cpu": 8, "memory": "32Gi", "disk": "1Ti"}, pods=110)
    for zone in names:
        letter = zone[-1]
        nodes.append(Node(f"cp-{letter}1", zone, None, f"zone_{letter}", small))
        for role in ("node", "control_plane", "etcd", "vault"):
            groups[role].append(nodes[-1].name)
        for number in range(workers):
            nodes.append(Node(f"worker-{letter}{number + 1}", zone, None, f"zone_{letter}", large))
            groups["node"].append(nodes[-1].name)
            groups["worker"].append(nodes[-1].name)
    return nodes, groups, names


def proof(zones: int = 3, workers: int = 2) -> dict[str, Any]:
    """What the task of preflight returns."""
    nodes, groups, names = inventory(zones, workers)
    parsed = [declarations.parse(name, data) for name, data in yaml.safe_load(COMPONENTS).items()]
    declared = [item for item in parsed if item]
    proofs = quorum.prove(declared, nodes, names, groups)
    room = capacity.prove(declared, nodes, names, groups, {"cpu": 96, "memory": "384GB", "storage": "20TB"})
    found = quorum.findings(proofs, declared, names, "prod") + capacity.findings(room, "zone", "prod")
    release = catalog.load("2024.1")
    runs: dict[str, list[str]] = {node.name: [] for node in nodes}
    for title, placed in room.cases[0].placed.items():
        for host in placed:
            runs[host].append(title)
    return {
        "findings": [vars(finding) for finding in in_order(found)],
        "topology": {
            "environment": "prod",
            "release": "2024.1",
            "kubernetes": "1.28.15",
            "zones": names,
            "nodes": [
                {
                    "name": node.name,
                    "zone": node.zone,
                    "roles": [role for role, members in groups.items() if node.name in members],
                    "size": vars(node.size),
                    "workloads": runs[node.name],
                }
                for node in nodes
            ],
        },
        "quorum": [proof.as_dict() for proof in proofs],
        "capacity": room.as_dict(),
        "versions": release.versions(["containerd", "etcd", "crictl", "cni-plugins"], "2026-11-23"),
    }


def step(host: str, role: str, number: int) -> dict[str, Any]:
    """A step of a plan; every fifth differs from host to host."""
    path = f"/etc/{role}/{number:02}.conf" + (f".{host}" if number % 5 == 4 else "")
    action = ("create", "update", "restart", "delete")[number % 4]
    found: dict[str, Any] = {"kind": "unit" if action == "restart" else "file", "target": path, "action": action}
    if action == "update":
        found |= {"before": {"mode": "0644"}, "after": {"mode": "0600"}, "note": "mode"}
    return found


def events(hosts: Sequence[str], tasks: int = 5, failed: bool = False, **start: Any) -> list[dict[str, Any]]:
    """The events of a run: a few tasks for each role on all hosts; with `failed`, two hosts fail at the end."""
    told: dict[str, Any] = {
        "playbook": "site.yml",
        "inventory": "prod",
        "revision": "9a1178f9c0485301efab19fce4d56a4bd858dc3f",
    }
    told |= {"dirty": False, "user": "operator", "controller": "bastion", "ansible": "2.19.14", "check": False}
    found: list[dict[str, Any]] = [{"event": "start", "at": START} | told | start]
    found.append(
        {"event": "facts", "at": START, "extra_vars": {"platform_release": "2024.1", "vault_token": record.MASK}}
    )
    at = START
    for role in ROLES:
        found.append({"event": "play", "at": at, "name": f"Stage of {role}", "hosts": list(hosts)})
        for number in range(tasks):
            name, uuid = f"Set up {role}, part {number + 1}", f"{role}-{number}"
            found.append(
                {"event": "task", "at": at, "id": uuid, "name": name, "role": role, "path": f"{role}/main.yml:{number}"}
            )
            for index, host in enumerate(hosts):
                result: dict[str, Any] = {"event": "result", "task": uuid, "host": host, "started": at}
                result |= {"at": at + 1 + (index * 7 + number * 3) % 11, "status": "changed" if number == 1 else "ok"}
                if number == 1:
                    text = "".join(f"key{line} = {line}\n" for line in range(30))
                    steps = [step(host, role, each) for each in range(6)]
                    result["plan"] = steps
                    result["diff"] = [
                        {"before_header": steps[0]["target"], "after_header": steps[0]["target"],
                         "before": "", "after": text},
                    ]  # fmt: skip
                if index == 0 and number == tasks - 1:
                    result["measurements"] = [
                        record.measured({"name": f"{role} answers again", "value": 4.25, "unit": "s", "goal": "<= 30"})
                    ]
                if failed and role == ROLES[-1] and number == tasks - 1 and index < 2:
                    result |= {
                        "status": "failed",
                        "cause": f"{role}: the unit did not start: exit code 1\npermission denied",
                    }
                    result["next_step"] = "see `journalctl -u vault` on the host, and run again"
                found.append(result)
            at += 12
    found.append({"event": "end", "at": at, "outcome": "failed" if failed else "ok"})
    return found


def made(zones: int = 3, workers: int = 2, **options: Any) -> dict[str, Any]:
    """The record of a run on so many nodes."""
    hosts = [node.name for node in inventory(zones, workers)[0]]
    told = events(hosts, **options)
    told.insert(1, {"event": "proof", "at": START} | proof(zones, workers))
    return record.fold(told)
