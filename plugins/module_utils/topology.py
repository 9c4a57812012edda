# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones and the nodes in them. No role counts hosts by itself; filters on this module do."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

# What the roles of nodes are called in `platform_groups`; each of them must have members.
ZONE_GROUP = "zone_"
ROLES_OF_NODES = ("node", "control_plane", "worker", "etcd", "vault")


@dataclass(frozen=True)
class Node:
    """A server as the inventory describes it; what the inventory leaves out is None.

    `zone_group` is the inventory group that stands for its zone, empty when it is in none.
    """

    name: str
    zone: Optional[str]
    address: Optional[str]
    zone_group: str = ""


@dataclass(frozen=True)
class Finding:
    """Something about the settings that the user has to know of.

    Attributes:
        severity: `error` stops the run, `warning` does not.
        subject: the host or the inventory that it is about.
        variable: where it is set.
        cause: what is wrong.
        next_step: what to change.
    """

    severity: str
    subject: str
    variable: str
    cause: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.variable}: {self.cause} - next: {self.next_step}"


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
        if groups.get("node") and host not in groups["node"]
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
