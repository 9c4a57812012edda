# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones, the nodes in them, and where members may run. No role counts hosts by itself; filters on this module do."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils.declarations import SPREADS, Resources, Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, nearest
from ansible_collections.banking.platform.plugins.module_utils.quantities import show_size

# What the roles of nodes are called in `platform_groups`; each of them must have members.
ZONE_GROUP = "zone_"
ROLES_OF_NODES = ("node", "control_plane", "worker", "etcd", "vault")

# Labels of nodes. Source: https://kubernetes.io/docs/reference/labels-annotations-taints/
ZONE_LABEL = "topology.kubernetes.io/zone"
NODE_LABEL = "kubernetes.io/hostname"

# A zone of more than this many times another's size is worth a warning.
_UNEVEN = 2


class TopologyError(ValueError):
    """A question that the topology cannot answer: names the host or the zones, and what to change."""


@dataclass(frozen=True)
class Node:
    """A server as the inventory describes it; what the inventory leaves out is None.

    `zone_group` is the inventory group that stands for its zone, empty when it is in none. `size` is what
    `platform_node_size` says that the server has; None where it says nothing.
    """

    name: str
    zone: Optional[str]
    address: Optional[str]
    zone_group: str = ""
    size: Optional[Resources] = None


def zone_of(host: str, groups: Mapping[str, Sequence[str]]) -> str:
    """The group (`zone_...`) of the zone that a host is in; empty when it is in none, all of them if there are more."""
    return ", ".join(name for name, hosts in groups.items() if name.startswith(ZONE_GROUP) and host in hosts)


def zone_batches(hosts: Iterable[str], groups: Mapping[str, Sequence[str]]) -> List[int]:
    """How many hosts to take at a time so that work goes zone by zone.

    Args:
        hosts: names in the order in which Ansible takes them.
        groups: members by inventory group. (When Ansible asks for a play's
            batches, it does not know the hosts' variables yet.)

    Returns:
        The length of each run of hosts in the same zone, as `serial` of a play takes it.
    """
    return [len(list(run)) for _zone, run in groupby(hosts, key=lambda host: zone_of(host, groups))]


def check_topology(
    nodes: Sequence[Node], zones: Sequence[str], groups: Mapping[str, Sequence[str]], environment: str
) -> List[Finding]:
    """Everything that is wrong with zones, addresses and groups of an inventory.

    Args:
        nodes: all servers.
        zones: the declared names of the zones.
        groups: members by role of node (`control_plane`, ...).
        environment: what to call the inventory in findings.
    """
    return [
        *_check_zones(nodes, zones, environment),
        *_check_addresses(nodes),
        *_check_groups(groups, environment),
        *_check_sizes(nodes, environment),
    ]


def _check_zones(nodes: Sequence[Node], zones: Sequence[str], environment: str) -> List[Finding]:
    if not zones:
        return [
            Finding(
                "error", environment, "platform_zones", "no zone is declared", "list the zones' names in group_vars"
            )
        ]
    findings = []
    for node in nodes:
        if not node.zone:
            findings.append(
                Finding(
                    "error", node.name, "platform_zone", "the host has no zone", f"set it to one of {', '.join(zones)}"
                )
            )
        elif node.zone not in zones:
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_zone",
                    f"{node.zone!r} is not among platform_zones",
                    f"set it to one of {', '.join(zones)}, or add it there",
                )
            )
        elif node.zone_group != _group_of(node.zone):
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_zone",
                    f"it is {node.zone!r}, but the host is in {node.zone_group or 'no group of a zone'}",
                    f"put it into the group {_group_of(node.zone)}: work goes zone by zone along these groups",
                )
            )
    used = {node.zone for node in nodes}
    findings += [
        Finding("error", environment, "platform_zones", f"{zone} has no node", "add a node there, or take the zone out")
        for zone in zones
        if zone not in used
    ]
    return findings


def _group_of(zone: str) -> str:
    """The inventory group of a zone: `zone_a` for `zone-a`."""
    return zone.replace("-", "_") if zone.startswith("zone") else ZONE_GROUP + zone.replace("-", "_")


def _check_addresses(nodes: Sequence[Node]) -> List[Finding]:
    findings = []
    seen: Dict[str, str] = {}
    for node in nodes:
        if not node.address:
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_address",
                    "the host has no address",
                    "set ansible_host or platform_address",
                )
            )
            continue
        try:
            address = str(ipaddress.ip_address(node.address))
        except ValueError:
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_address",
                    f"{node.address!r} is not an IP address",
                    "give the node's own address; names are resolved before the platform's DNS exists",
                )
            )
            continue
        if address in seen:
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_address",
                    f"{address} is also the address of {seen[address]}",
                    "give one of them its own address",
                )
            )
        seen.setdefault(address, node.name)
    return findings


def _check_groups(groups: Mapping[str, Sequence[str]], environment: str) -> List[Finding]:
    prepared = set(groups.get("node", ()))
    outside = [
        Finding(
            "error",
            host,
            f"platform_groups.{role}",
            "the host is not among the nodes, so nothing would prepare it",
            "put it into the group that platform_groups.node names",
        )
        for role in ROLES_OF_NODES
        for host in groups.get(role, [])
        if prepared and host not in prepared
    ]
    return outside + [
        Finding(
            "error",
            environment,
            f"platform_groups.{role}",
            "the inventory has no such nodes",
            f"put hosts into the group that platform_groups.{role} names",
        )
        for role in ROLES_OF_NODES
        if not groups.get(role)
    ]


def _check_sizes(nodes: Sequence[Node], environment: str) -> List[Finding]:
    """Zones so different that the loss of the largest leaves little, measured by memory where every node says it."""
    by_memory = all(node.size and node.size.memory for node in nodes)
    sizes: Dict[str, int] = {}
    for node in nodes:
        if node.zone:
            sizes[node.zone] = sizes.get(node.zone, 0) + (node.size.memory if by_memory and node.size else 1)
    if not sizes:
        return []
    largest, smallest = max(sizes, key=lambda zone: sizes[zone]), min(sizes, key=lambda zone: sizes[zone])
    if sizes[largest] <= _UNEVEN * sizes[smallest]:
        return []
    shown = [
        f"{show_size(sizes[zone])} of memory" if by_memory else f"{sizes[zone]} node(s)" for zone in (largest, smallest)
    ]
    return [
        Finding(
            "warning",
            environment,
            "platform_zones",
            f"{largest} has {shown[0]}, {smallest} has {shown[1]}: pods that are spread evenly fill the small zone"
            " first, and the loss of the large one takes most of the capacity",
            f"move servers from {largest} to {smallest}, or add some there",
        )
    ]


def read_inventory(
    hostvars: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]], names: Mapping[str, str]
) -> Tuple[List[Node], Dict[str, Sequence[str]]]:
    """Servers and groups of an Ansible inventory.

    Args:
        hostvars: variables by host.
        groups: members by inventory group.
        names: `platform_groups`: the inventory group of each role of node.
    """
    members = {role: groups.get(names.get(role, role), []) for role in ROLES_OF_NODES}
    every = dict.fromkeys(host for hosts in members.values() for host in hosts)
    nodes = [
        Node(name, hostvars[name].get("platform_zone"), hostvars[name].get("platform_address"), zone_of(name, groups))
        for name in every
    ]
    return nodes, members


# What roles ask of the topology. `hostvars` are the variables by host: `platform_zone` and `platform_address` are read.


def zone_of_host(host: str, hostvars: Mapping[str, Mapping[str, Any]]) -> str:
    """A host's zone, which is also its rack for software that knows racks (`broker.rack` of Kafka).

    Raises:
        TopologyError: when the inventory does not have the host, or the host has no zone.
    """
    if host not in hostvars:
        raise TopologyError(f"{host} is not in the inventory: {nearest(host, hostvars)}")
    zone = hostvars[host].get("platform_zone")
    if not zone:
        raise TopologyError(f"{host} has no zone: set platform_zone of it")
    return str(zone)


def node_addresses(
    names: Mapping[str, str], groups: Mapping[str, Sequence[str]], hostvars: Mapping[str, Mapping[str, Any]]
) -> Dict[str, List[str]]:
    """Addresses of the hosts of each role of node.

    Args:
        names: `platform_groups`: the inventory group of each role of node.
        groups: members by inventory group.
        hostvars: variables by host, of which `platform_address` is read.

    Raises:
        TopologyError: when a host has no address.
    """
    found: Dict[str, List[str]] = {}
    for role, group in names.items():
        found[role] = []
        for host in groups.get(group, []):
            address = hostvars[host].get("platform_address")
            if not address:
                raise TopologyError(f"{host} has no address: set platform_address of it")
            found[role].append(str(address))
    return found


def zone_members(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], zones: Sequence[str] = ()
) -> Dict[str, List[str]]:
    """Hosts by zone.

    Args:
        hosts: names, such as the members of a group. Within a zone they keep their order.
        hostvars: variables by host.
        zones: the zones in the order that is wanted (`platform_zones`), also those without a host; else zones come in
            the order of their names, and only those with a host.

    Raises:
        TopologyError: when a host has no zone, or one that is not among `zones`.
    """
    members: Dict[str, List[str]] = {zone: [] for zone in zones}
    for host in hosts:
        zone = zone_of_host(host, hostvars)
        if zones and zone not in members:
            raise TopologyError(f"{host} is in {zone!r}, which is not among platform_zones: {nearest(zone, zones)}")
        members.setdefault(zone, []).append(host)
    return members if zones else dict(sorted(members.items()))


def zone_order(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], zones: Sequence[str] = ()) -> List[str]:
    """Hosts zone by zone, for rolling work; arguments and errors as of `zone_members`."""
    return [host for members in zone_members(hosts, hostvars, zones).values() for host in members]


def one_per_zone(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], zones: Sequence[str] = ()
) -> List[str]:
    """The first host of each zone that has one, always the same whatever the order of `hosts`."""
    return [members[0] for members in zone_members(sorted(hosts), hostvars, zones).values() if members]


def quorum_size(zones: Sequence[str], at_least: int = 1) -> int:
    """How many members a majority quorum is to have: odd, and at least one a zone where that can be.

    One zone gives 1, three give 3, four give 3 (a fourth member would tolerate no more losses), five give 5.

    Args:
        zones: names of the zones.
        at_least: the result is no smaller, and still odd.

    Raises:
        TopologyError: with two zones, of which one always holds the majority.
    """
    count = len(set(zones))
    if count == 0:
        raise TopologyError("no zone is declared: list the zones' names in platform_zones")
    if count == 2:
        raise TopologyError(
            f"no quorum survives in two zones ({', '.join(zones)}): whichever holds the majority takes it down with it;"
            " use one zone, or add a third (a small one is enough)"
        )
    wanted = max(count if count % 2 else count - 1, at_least)
    return wanted if wanted % 2 else wanted + 1


def survives_zone_loss(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a majority of the hosts is left when any one zone is lost."""
    sizes = [len(members) for members in zone_members(hosts, hostvars).values()]
    return bool(sizes) and sum(sizes) - max(sizes) >= sum(sizes) // 2 + 1


def spread_constraints(labels: Mapping[str, str], spread: Sequence[str] = ("zone",)) -> List[Dict[str, Any]]:
    """`topologySpreadConstraints` of pods that are spread over zones; empty when `spread` does not name them.

    A zone that is lost goes on to count as an empty one (`nodeTaintsPolicy` is left at `Ignore`): its pods wait for it,
    so that they are even again when it is back, as the proofs of quorum and capacity take for granted. A zone in which
    the pods can never run must not count: they have to select the nodes of their role (`nodeSelector`).
    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/

    Args:
        labels: those that select the pods.
        spread: of a workload's declaration: `zone`, `node`.
    """
    _known_spread(spread)
    if "zone" not in spread:
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": ZONE_LABEL,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": dict(labels)},
        }
    ]


def anti_affinity(labels: Mapping[str, str], spread: Sequence[str] = ("node",)) -> Dict[str, Any]:
    """`affinity` of pods of which no two share a node; empty when `spread` does not name nodes. Arguments as above."""
    _known_spread(spread)
    if "node" not in spread:
        return {}
    term = {"topologyKey": NODE_LABEL, "labelSelector": {"matchLabels": dict(labels)}}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _known_spread(spread: Sequence[str]) -> None:
    for item in spread:
        if item not in SPREADS:
            raise TopologyError(f"pods cannot be spread over {item!r}: {nearest(item, SPREADS)}")


# Where the members of a workload may run.


@dataclass(frozen=True)
class NodeClass:
    """Nodes that are alike for placing members: in one zone, with the same roles."""

    zone: str
    roles: FrozenSet[str]
    names: Tuple[str, ...]


def node_classes(nodes: Sequence[Node], groups: Mapping[str, Sequence[str]]) -> Tuple[NodeClass, ...]:
    """All nodes, grouped once, so that placing a workload does not depend on their number.

    A node without a zone, which `check_topology` refuses, is left out.

    Args:
        nodes: all servers.
        groups: members by role of node.
    """
    roles: Dict[str, List[str]] = {}
    for role, hosts in groups.items():
        for host in hosts:
            roles.setdefault(host, []).append(role)
    names: Dict[Tuple[str, FrozenSet[str]], List[str]] = {}
    for node in nodes:
        if node.zone:
            names.setdefault((node.zone, frozenset(roles.get(node.name, ()))), []).append(node.name)
    return tuple(NodeClass(zone, held, tuple(hosts)) for (zone, held), hosts in names.items())


@dataclass(frozen=True)
class Placement:
    """Every way in which the members of a workload may be placed: any numbers from `least` to `most` that add up.

    The worst case depends on what is lost: a zone may have its `most` in one placement, another zone in another.

    Attributes:
        workload: whose members.
        wanted: members that are declared.
        placed: members that find a place at once; fewer than `wanted` when the rules of spreading leave no room.
        hosts: how many nodes there are to run on, by zone.
        least, most: members in a zone.
        most_on_node: members on one node of a zone.
    """

    workload: Workload
    wanted: int
    placed: int
    hosts: Mapping[str, int]
    least: Mapping[str, int]
    most: Mapping[str, int]
    most_on_node: Mapping[str, int]

    @property
    def worst(self) -> Dict[str, int]:
        """One allowed placement, with as many members as possible in as few zones as possible."""
        counts, rest = dict(self.least), self.placed - sum(self.least.values())
        for zone in sorted(counts, key=lambda name: -self.most[name]):
            more = min(self.most[zone] - counts[zone], rest)
            counts[zone] += more
            rest -= more
        return counts

    def fewest_zones(self, zone: str = "") -> int:
        """In how many zones there are members at least: at all, or while `zone` has as many as possible."""
        rest = self.placed - self.most.get(zone, 0)
        used = 1 if self.most.get(zone, 0) else 0
        others = [name for name in self.most if name != zone]
        fixed = [name for name in others if self.least[name]]
        rest -= sum(self.most[name] for name in fixed)
        used += len(fixed)
        for count in sorted((self.most[name] for name in others if not self.least[name]), reverse=True):
            if rest <= 0:
                break
            rest -= count
            used += 1
        return used

    def most_hosts(self, zone: str) -> int:
        """On how many nodes of a zone there may be members."""
        return min(self.most.get(zone, 0), self.hosts.get(zone, 0))

    @property
    def fewest_hosts(self) -> int:
        """On how many nodes there are members at least."""
        if self.workload.runs != "pods" or "node" in self.workload.spread:
            return self.placed
        return min(self.placed, len(self.hosts)) if "zone" in self.workload.spread else min(self.placed, 1)


def place(workload: Workload, classes: Sequence[NodeClass]) -> Placement:
    """Where the members of a workload may run.

    A server's process and a daemon run once on each node of their role. Pods run where the rules of `spread` let them:
    `zone` allows the zones to differ by one member (only zones with a node of the role count), `node` allows one member
    a node, and without either all members may end up on one node.

    Args:
        workload: what is placed.
        classes: all nodes, from `node_classes`.
    """
    hosts: Dict[str, int] = {}
    for item in classes:
        if workload.nodes in item.roles and item.names:
            hosts[item.zone] = hosts.get(item.zone, 0) + len(item.names)
    if workload.runs != "pods":
        total = sum(hosts.values())
        return Placement(workload, total, total, hosts, hosts, hosts, dict.fromkeys(hosts, 1))
    wanted = workload.replicas or 0
    if not hosts or not wanted:
        nothing = dict.fromkeys(hosts, 0)
        return Placement(workload, wanted, 0, hosts, nothing, nothing, nothing)
    by_zone, by_node = "zone" in workload.spread, "node" in workload.spread
    room = {zone: count if by_node else wanted for zone, count in hosts.items()}
    if by_zone:  # no zone may get two more than the smallest has room for
        room = {zone: min(count, min(room.values()) + 1) for zone, count in room.items()}
    placed = min(wanted, sum(room.values()))
    if by_zone:
        share, extra = divmod(placed, len(hosts))
        able = [zone for zone in hosts if room[zone] > share]
        most = {zone: share + (1 if extra and zone in able else 0) for zone in hosts}
        least = {zone: most[zone] if extra == len(able) else share for zone in hosts}
    else:
        most = {zone: min(placed, room[zone]) for zone in hosts}
        least = {zone: max(0, placed - (sum(most.values()) - most[zone])) for zone in hosts}
    on_node = {zone: min(1, count) if by_node else count for zone, count in most.items()}
    return Placement(workload, wanted, placed, hosts, least, most, on_node)
