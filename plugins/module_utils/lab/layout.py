# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab consists of, read from the inventory and checked before anything is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Dict, List

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# An interface's name has at most 15 characters; nodes and zones give their names to the router's interfaces.
LONGEST_NAME = 15
LONGEST_LAB_NAME = LONGEST_NAME - len("-up")
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True)
class Disk:
    """A data disk: a sparse file behind a loop device. The node sees it as /dev/disk/by-id/<name>."""

    name: str
    size_mb: int


@dataclass(frozen=True)
class Node:
    """A node: a container with systemd in a network namespace of its own."""

    name: str
    zone: str
    address: IPv4Address
    disks: List[Disk] = field(default_factory=list)
    # Networks that lie behind it, such as that of its pods: the router sends them to the node.
    networks: List[IPv4Network] = field(default_factory=list)


@dataclass(frozen=True)
class Zone:
    """A zone: a bridge in the router's namespace; the router is its gateway."""

    name: str
    network: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """The router's address in this zone."""
        return self.network[1]


@dataclass(frozen=True)
class Lab:
    """A lab: zones with nodes, a router between them, and a link from the router to the machine."""

    name: str
    supernet: IPv4Network
    zones: List[Zone]
    nodes: List[Node]

    @property
    def uplink(self) -> IPv4Network:
        """The link between the machine (first address) and the router (second address)."""
        return next(self.supernet.subnets(new_prefix=30))

    @property
    def machine_address(self) -> IPv4Address:
        """Where the nodes see the controller come from."""
        return self.uplink[1]

    @property
    def router_address(self) -> IPv4Address:
        """The router's address on the uplink."""
        return self.uplink[2]

    @property
    def machine_link(self) -> str:
        """The machine's interface of the uplink."""
        return f"{self.name}-up"

    @property
    def router_netns(self) -> str:
        """The router's network namespace, and its container's name."""
        return f"{self.name}.router"

    def netns(self, node: str) -> str:
        """A node's network namespace, and its container's name."""
        return f"{self.name}.{node}"

    def zone(self, name: str) -> Zone:
        """The zone of that name."""
        return next(zone for zone in self.zones if zone.name == name)

    def as_dict(self) -> Dict[str, Any]:
        """The arguments from which `parse` makes this lab again."""
        return {
            "name": self.name,
            "supernet": str(self.supernet),
            "nodes": {
                node.name: {
                    "zone": node.zone,
                    "address": str(node.address),
                    "disks": [{"name": disk.name, "size_mb": disk.size_mb} for disk in node.disks],
                    "networks": [str(network) for network in node.networks],
                }
                for node in self.nodes
            },
        }


def parse(name: str, supernet: str, nodes: Dict[str, Dict[str, Any]]) -> Lab:
    """Make a lab of the inventory's words.

    Args:
        name: the prefix of everything that the lab makes on the machine.
        supernet: an IPv4 network; each zone has a /24 of it, the first /24 is the lab's own.
        nodes: by name: zone, address, disks (name and size_mb each), and networks behind it.

    Raises:
        Failure: naming everything that is wrong at once.
    """
    wrong: List[str] = []
    if not _NAME.fullmatch(name) or len(name) > LONGEST_LAB_NAME:
        wrong.append(
            f"lab_name {name!r}: up to {LONGEST_LAB_NAME} lower-case letters, digits and dashes, a letter first"
        )
    try:
        net = IPv4Network(supernet)
        if not 8 <= net.prefixlen <= 22 or not net.is_private:
            raise ValueError("neither private nor between /8 and /22")
    except ValueError as error:
        raise Failure(f"lab_supernet {supernet!r}: {error}", "give a private network such as 10.77.0.0/16") from None
    own = next(net.subnets(new_prefix=24))
    zones: Dict[str, Zone] = {}
    parsed: Dict[str, Node] = {}
    for host, given in nodes.items():
        zone_name = str(given.get("zone") or "")
        if not _NAME.fullmatch(host) or len(host) > LONGEST_NAME:
            wrong.append(f"{host}: a node's name has up to {LONGEST_NAME} lower-case letters, digits and dashes")
        if not zone_name:
            wrong.append(f"{host}: platform_zone is not set")
            continue
        if not _NAME.fullmatch(zone_name) or len(zone_name) > LONGEST_NAME or zone_name in ("lo", "uplink"):
            wrong.append(
                f"{host}: platform_zone {zone_name!r}: up to {LONGEST_NAME} lower-case letters, digits and dashes"
            )
            continue
        try:
            address = IPv4Address(str(given.get("address") or ""))
        except ValueError:
            wrong.append(f"{host}: platform_address {given.get('address')!r} is not an IPv4 address")
            continue
        network = IPv4Network(f"{address}/24", strict=False)
        if address not in net or network == own:
            wrong.append(f"{host}: {address} is not in lab_supernet {net} or in its first /24, which is the lab's own")
            continue
        zone = zones.setdefault(zone_name, Zone(zone_name, network))
        if zone.network != network:
            wrong.append(f"{host}: {address} is not in {zone.network}, the network of {zone_name}")
        if address in (network[0], zone.gateway, network[-1]):
            wrong.append(f"{host}: {address} is the gateway's address or no host's")
        twin = next((other.name for other in parsed.values() if other.address == address), None)
        if twin:
            wrong.append(f"{host}: {address} is also the address of {twin}")
        disks = []
        for disk in given.get("disks") or []:
            disk_name, size = str(disk.get("name", "")), disk.get("size_mb")
            if not re.fullmatch(r"[A-Za-z0-9_.-]+", disk_name) or not isinstance(size, int) or size < 1:
                wrong.append(
                    f"{host}: lab_disks needs name (letters, digits, '._-') and size_mb (a number), not {disk!r}"
                )
                continue
            disks.append(Disk(disk_name, size))
        networks: List[IPv4Network] = []
        for text in given.get("networks") or []:
            try:
                behind = IPv4Network(str(text))
            except ValueError as error:
                wrong.append(f"{host}: networks: {error}")
                continue
            taken = [net, *(other for known in parsed.values() for other in known.networks), *networks]
            if meets := [str(other) for other in taken if other.overlaps(behind)]:
                wrong.append(f"{host}: networks: {behind} meets {', '.join(meets)}, which the lab has already")
            networks.append(behind)
        parsed[host] = Node(host, zone_name, address, disks, networks)
    for zone in zones.values():
        same = sorted(
            other.name for other in zones.values() if other.network == zone.network and other.name < zone.name
        )
        if same:
            wrong.append(f"{zone.name}: {zone.network} is also the network of {', '.join(same)}")
    if not nodes:
        wrong.append("no nodes: the inventory's group 'node' is empty")
    if wrong:
        raise Failure("; ".join(wrong), "correct the lab's inventory")
    return Lab(name, net, list(zones.values()), list(parsed.values()))
