# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight proves of room, held against a real kube-scheduler: production whole, without a zone, and again.

Nodes are objects with the sizes of the inventory, pods those that the declarations count, placed as roles place them.
Nothing runs on them: only where the scheduler puts them counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils import capacity
from ansible_collections.banking.platform.plugins.module_utils.declarations import (
    Declaration,
    Resources,
    Workload,
    parse,
    resources,
)
from ansible_collections.banking.platform.plugins.module_utils.topology import (
    NODE_LABEL,
    ZONE_LABEL,
    Node,
    anti_affinity,
    spread_constraints,
)
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE, kubernetes_programs

READ = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.copy": {
                    "dest": "{{ written }}",
                    "content": "{{ {'declared': lookup('banking.platform.declarations'), 'zones': platform_zones,"
                    " 'groups': members, 'nodes': nodes} | to_json }}",
                },
                "vars": {
                    "members": "{{ dict(platform_groups | zip(platform_groups.values() | map('extract', groups))) }}",
                    "nodes": "{{ dict(groups.node | zip(groups.node | map('extract', hostvars))) }}",
                },
            }
        ],
    }
]
LOST = "zone-a"
UNREACHABLE = [{"key": "node.kubernetes.io/unreachable", "effect": effect} for effect in ("NoSchedule", "NoExecute")]
# Stores whose members' places are the whole point: each keeps its quorum only where no two share a zone.
STORES = [
    ("postgresql", "instance"),
    ("redis", "sessions-leader"),
    ("redis", "sessions-follower"),
    ("redis", "cache-leader"),
    ("redis", "cache-follower"),
    ("kafka", "broker"),
    ("kafka", "controller"),
    ("storage", "mon"),
    ("elk", "master"),
]


def _member(workload: Workload) -> str:
    """What the names of its pods begin with."""
    return f"{workload.component}-{workload.name}".replace("_", "-")


@dataclass(frozen=True)
class Inventory:
    """What the inventory of production says."""

    declarations: tuple[Declaration, ...]
    nodes: tuple[Node, ...]
    zones: tuple[str, ...]
    groups: Mapping[str, list[str]]

    @property
    def workloads(self) -> Iterator[Workload]:
        """What runs in pods: those of nodes are not the scheduler's to place anew."""
        for declaration in self.declarations:
            yield from (workload for workload in declaration.workloads if workload.runs != "server")

    def reserved(self, node: str) -> Resources:
        """What servers take of a node before any pod comes."""
        held = {role for role, names in self.groups.items() if node in names}
        asked = [
            workload.requests
            for declaration in self.declarations
            for workload in declaration.workloads
            if workload.runs == "server" and workload.nodes in held
        ]
        return Resources(*(sum(getattr(item, name) for item in asked) for name in ("cpu", "memory", "disk")))


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """Production, read by Ansible."""
    folder = tmp_path_factory.mktemp("inventory")
    (folder / "read.yml").write_text(yaml.safe_dump(READ))
    written = folder / "read.json"
    inventory = str(CLONE / "inventories/prod")
    done = subprocess.run(
        ["ansible-playbook", str(folder / "read.yml"), "-i", inventory, "-e", f"written={written}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(written.read_text())
    declared = (parse(role, data) for role, data in found["declared"].items() if data)
    return Inventory(
        declarations=tuple(item for item in declared if item),
        nodes=tuple(
            Node(name, values["platform_zone"], None, size=resources(name, values["platform_node_size"]))
            for name, values in found["nodes"].items()
        ),
        zones=tuple(found["zones"]),
        groups=found["groups"],
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of its own, with a scheduler."""
    if not (kubernetes_programs() / "kube-scheduler").exists():
        pytest.skip(f"{kubernetes_programs()} holds no kube-scheduler")
    # No kubelet says that it is there: nothing may put its taints on nodes but the test.
    with Cluster(tmp_path_factory.mktemp("scheduler"), controllers=False) as running:
        running.start_scheduler()
        yield running


class Placing:
    """The pods of the inventory on its nodes, by the scheduler.

    Args:
        cluster: with a scheduler.
        inventory: whose nodes are made.
    """

    def __init__(self, cluster: Cluster, inventory: Inventory) -> None:
        self.cluster, self.inventory = cluster, inventory
        self.zone = {node.name: node.zone for node in inventory.nodes}
        for node in inventory.nodes:
            self._make_node(node)
        cluster.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})

    def _make_node(self, node: Node) -> None:
        assert node.size
        held = sorted(role for role, names in self.inventory.groups.items() if node.name in names)
        cpu, memory, disk, pods = capacity.allocatable(node.size)
        reserved = self.inventory.reserved(node.name)
        amounts = {
            "cpu": f"{cpu - reserved.cpu}m",
            "memory": str(memory - reserved.memory),
            "ephemeral-storage": str(disk - reserved.disk),
            "pods": str(pods),
        }
        roles = {f"node-role.kubernetes.io/{role}": "" for role in held}
        labels = {ZONE_LABEL: str(node.zone), NODE_LABEL: node.name, "kubernetes.io/os": "linux", **roles}
        self.cluster.post("/api/v1/nodes", {"metadata": {"name": node.name, "labels": labels}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "of a test"}
        status = {"status": {"capacity": amounts, "allocatable": amounts, "conditions": [ready]}}
        self.cluster.patch(f"/api/v1/nodes/{node.name}/status", status)
        self.cluster.patch(f"/api/v1/nodes/{node.name}", {"spec": {"taints": None}})

    def start(self, workload: Workload, number: int | str) -> None:
        """One member, as its role places it: a daemon's on its node, the others where the scheduler wants."""
        labels = {"member-of": _member(workload)}
        asked, tolerated = workload.requests, []
        affinity = anti_affinity(labels, workload.spread)
        if workload.runs == "daemon":
            fields = [{"key": "metadata.name", "operator": "In", "values": [number]}]
            terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
            affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
            tolerated = [{"operator": "Exists"}]
        requests = {
            "cpu": f"{asked.cpu}m",
            "memory": str(asked.memory),
            **({"ephemeral-storage": str(asked.disk)} if asked.disk else {}),
        }
        container = {"name": "app", "image": "registry.invalid/app:1", "resources": {"requests": requests}}
        spec = {
            "nodeSelector": {f"node-role.kubernetes.io/{workload.nodes}": ""},
            "affinity": affinity,
            "topologySpreadConstraints": []
            if workload.runs == "daemon"
            else spread_constraints(labels, workload.spread),
            "tolerations": tolerated,
            "containers": [container],
        }
        metadata = {"name": f"{labels['member-of']}-{number}", "labels": labels}
        self.cluster.post("/api/v1/namespaces/default/pods", {"metadata": metadata, "spec": spec})

    def start_all(self) -> None:
        """Everything, by name of its role; what asks for storage only runs nowhere."""
        for workload in self.inventory.workloads:
            if not workload.requests.cpu and not workload.requests.memory:
                continue
            if workload.runs == "daemon":
                for node in self.inventory.groups[workload.nodes]:
                    self.start(workload, node)
            else:
                for number in range(int(workload.hpa.get("min", workload.replicas or 0))):
                    self.start(workload, number)

    def lose(self, zone: str) -> None:
        """Make its nodes unreachable. What ran there is made again, but for daemons, which stay with their nodes."""
        gone = {node for node, where in self.zone.items() if where == zone}
        for node in gone:
            self.cluster.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": UNREACHABLE}})
        daemons = {_member(item) for item in self.inventory.workloads if item.runs == "daemon"}
        known = {_member(item): item for item in self.inventory.workloads}
        for pod in self.pods():
            member = pod["metadata"]["labels"]["member-of"]
            if pod["spec"].get("nodeName") in gone and member not in daemons:
                name = pod["metadata"]["name"]
                self.cluster.request("DELETE", f"/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0")
                self.start(known[member], name.removeprefix(f"{member}-"))

    def bring_back(self, zone: str) -> None:
        """Make its nodes reachable again."""
        for node, where in self.zone.items():
            if where == zone:
                self.cluster.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": None}})

    def pods(self) -> list[dict[str, Any]]:
        """All pods."""
        found: list[dict[str, Any]] = self.cluster.get("/api/v1/namespaces/default/pods")["items"]
        return found

    def settle(self) -> dict[str, Counter[str]]:
        """Wait for the scheduler's word on every pod: members by zone, `waits` for those without a node."""
        deadline = time.monotonic() + 120
        while True:
            pods = self.pods()
            # A pod that fits nowhere says so in a condition of its own.
            silent = [pod for pod in pods if not pod["spec"].get("nodeName") and not pod["status"].get("conditions")]
            if not silent or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        assert not silent, [pod["metadata"]["name"] for pod in silent]
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for pod in pods:
            where = self.zone[pod["spec"]["nodeName"]] if pod["spec"].get("nodeName") else "waits"
            found[pod["metadata"]["labels"]["member-of"]][str(where)] += 1
        return found

    def why(self, member: str) -> list[str]:
        """What the scheduler says about the pods of a workload."""
        return [
            condition["message"]
            for pod in self.pods()
            if pod["metadata"]["labels"]["member-of"] == member
            for condition in pod["status"].get("conditions", [])
            if condition.get("message")
        ]


@pytest.fixture(scope="module")
def placing(cluster: Cluster, inventory: Inventory) -> Placing:
    return Placing(cluster, inventory)


@pytest.fixture(scope="module")
def states(placing: Placing) -> dict[str, dict[str, Counter[str]]]:
    """Members by workload and zone: whole, without a zone, and with it again."""
    found = {}
    placing.start_all()
    found["whole"] = placing.settle()
    placing.lose(LOST)
    found["lost"] = placing.settle()
    placing.bring_back(LOST)
    deadline = time.monotonic() + 60
    while True:
        found["again"] = placing.settle()
        if not any(zones["waits"] for zones in found["again"].values()) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_all_of_production_finds_room(states: dict[str, dict[str, Counter[str]]], placing: Placing) -> None:
    waiting = {member: placing.why(member) for member, zones in states["whole"].items() if zones["waits"]}
    assert not waiting
    assert sum(sum(zones.values()) for zones in states["whole"].values()) > 100


@pytest.mark.parametrize(("component", "name"), STORES)
def test_a_store_has_one_member_a_zone(
    states: dict[str, dict[str, Counter[str]]], inventory: Inventory, component: str, name: str
) -> None:
    whole, lost, again = (states[state][f"{component}-{name}"] for state in ("whole", "lost", "again"))
    assert +whole == Counter(inventory.zones)
    # What was in the lost zone waits for it, so that two zones more never hold one quorum.
    assert +lost == Counter(["waits", *(zone for zone in inventory.zones if zone != LOST)])
    assert +again == +whole


def test_a_lost_zone_leaves_what_preflight_says(
    states: dict[str, dict[str, Counter[str]]], inventory: Inventory, placing: Placing
) -> None:
    proved = capacity.prove(inventory.declarations, inventory.nodes, inventory.zones, inventory.groups, {})
    assert all(case.fits for case in proved.cases)
    case = next(case for case in proved.cases if case.lost == LOST)
    pods = [item for item in inventory.workloads if item.runs == "pods" and _member(item) in states["lost"]]
    assert len(pods) > 50
    running = {
        item.title: sum(count for zone, count in states["lost"][_member(item)].items() if zone != "waits")
        for item in pods
    }
    assert running == {item.title: sum(case.placed[item.title].values()) for item in pods}


def test_a_zone_that_is_back_has_its_share_again(
    states: dict[str, dict[str, Counter[str]]], inventory: Inventory
) -> None:
    for item in inventory.workloads:
        zones = states["again"].get(_member(item), Counter())
        assert not zones["waits"], item.title
        if "zone" in item.spread and item.runs == "pods" and zones:
            assert max(zones[zone] for zone in inventory.zones) - min(zones[zone] for zone in inventory.zones) <= 1, (
                item.title
            )
