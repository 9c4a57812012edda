# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: a router's namespace, a bridge a zone, a veth pair a node, and the way out.

Nodes are ports of their zone's bridge, the router routes between the zones, and the machine masquerades what the
allow-list lets out: the resolver and the package mirrors. Everything else that leaves the lab's supernet is refused,
and what the lab does not have of its own supernet ends in a blackhole.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Dict, List, Optional, Set

from ansible_collections.banking.platform.plugins.module_utils.lab.layout import Lab, Node, Zone
from ansible_collections.banking.platform.plugins.module_utils.lab.shell import run

MTU = 1400
NETNS_DIR = "/run/netns"


@dataclass(frozen=True)
class Target:
    """An address outside that nodes may talk to."""

    address: IPv4Address
    protocol: str
    port: int


def netns_names() -> Set[str]:
    """The network namespaces of this machine that have a name."""
    return set(os.listdir(NETNS_DIR)) if os.path.isdir(NETNS_DIR) else set()


def links(netns: str) -> Dict[str, Dict[str, Any]]:
    """The interfaces of a namespace, by name, with their addresses."""
    return {link["ifname"]: link for link in json.loads(run(["ip", "-n", netns, "-j", "addr", "show"]))}


def is_up(link: Dict[str, Any]) -> bool:
    """Whether an interface is set up (its carrier may still be missing)."""
    return "UP" in link["flags"]


def has_address(link: Dict[str, Any], address: IPv4Address) -> bool:
    """Whether an interface has an IPv4 address."""
    return any(known.get("local") == str(address) for known in link["addr_info"])


class Network:
    """Reads and makes the network of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    # The machine and the router

    def router_is_there(self) -> bool:
        """Whether the router is there, with its uplink and the machine's end of it."""
        lab = self.lab
        if lab.router_netns not in netns_names() or not os.path.isdir(f"/sys/class/net/{lab.machine_link}"):
            return False
        uplink = links(lab.router_netns).get("uplink")
        return bool(uplink and is_up(uplink) and has_address(uplink, lab.router_address))

    def make_router(self) -> None:
        """Make the router anew: its namespace, the uplink, routes, and the table for cutting off zones."""
        lab, router = self.lab, self.lab.router_netns
        run(["ip", "link", "delete", lab.machine_link], check=False)
        if router not in netns_names():
            run(["ip", "netns", "add", router])
        prefix = lab.uplink.prefixlen
        _batch(
            None,
            f"link add name {lab.machine_link} mtu {MTU} type veth peer name uplink mtu {MTU} netns {router}",
            f"address add {lab.machine_address}/{prefix} dev {lab.machine_link}",
            f"link set dev {lab.machine_link} up",
            # Should the router be gone, packets for the lab must not wander to the machine's default gateway.
            f"route replace blackhole {lab.supernet} metric 4096",
        )
        _batch(
            router,
            "link set lo up",
            f"address add {lab.router_address}/{prefix} dev uplink",
            "link set uplink up",
            f"route replace default via {lab.machine_address}",
            f"route replace blackhole {lab.supernet}",
        )
        run(["ip", "route", "replace", str(lab.supernet), "via", str(lab.router_address)])
        with open(f"/proc/sys/net/ipv4/conf/{lab.machine_link}/forwarding", "w", encoding="utf-8") as file:
            file.write("1")
        _sysctl(router, "net.ipv4.ip_forward", "1")
        _sysctl(router, "net.ipv4.conf.all.send_redirects", "0")
        # Where the kernel filters bridged packets too, a zone that is cut off would also lose its inner traffic.
        _sysctl(router, "net.bridge.bridge-nf-call-iptables", "0")
        _nft(
            """
            table inet lab
            delete table inet lab
            table inet lab {
                set cut { type ifname; }
                chain input { type filter hook input priority 0; iifname @cut drop; }
                chain forward { type filter hook forward priority 0; iifname @cut drop; oifname @cut drop; }
                chain output { type filter hook output priority 0; oifname @cut drop; }
            }
            """,
            router,
        )

    # Zones

    def zone_fault(self, zone: Zone, router_links: Dict[str, Dict[str, Any]]) -> str:
        """What is wrong with a zone: "missing", "switch", "partition", or "" when nothing is."""
        bridge = router_links.get(zone.name)
        if bridge is None or not has_address(bridge, zone.gateway):
            return "missing"
        if not is_up(bridge):
            return "switch"
        return "partition" if zone.name in self.cut_zones() else ""

    def make_zone(self, zone: Zone) -> None:
        """Make a zone's bridge, set it up, and heal what is cut off."""
        router = self.lab.router_netns
        if zone.name not in links(router):
            _batch(router, f"link add name {zone.name} mtu {MTU} type bridge forward_delay 0 mcast_snooping 0")
        _batch(
            router,
            f"address replace {zone.gateway}/{zone.network.prefixlen} dev {zone.name}",
            f"link set dev {zone.name} up",
        )
        # A bridge that was down has lost the routes that lead over it.
        for node in self.lab.nodes:
            if node.zone == zone.name:
                self._route(node)
        if zone.name in self.cut_zones():
            self.partition_zone(zone, False)

    def cut_zones(self) -> Set[str]:
        """Zones whose bridge the router's table drops packets of."""
        listed = json.loads(
            run(["ip", "netns", "exec", self.lab.router_netns, "nft", "-j", "list", "set", "inet", "lab", "cut"])
        )
        return {name for item in listed["nftables"] for name in item.get("set", {}).get("elem", [])}

    def partition_zone(self, zone: Zone, cut: bool) -> None:
        """Cut a zone off from everything that is not in it, both ways; or join it again."""
        _nft(f"{'add' if cut else 'delete'} element inet lab cut {{ {zone.name} }}", self.lab.router_netns)

    def switch_zone(self, zone: Zone, up: bool) -> None:
        """Set a zone's bridge up or down: down, its nodes don't see each other either."""
        run(["ip", "-n", self.lab.router_netns, "link", "set", "dev", zone.name, "up" if up else "down"])

    # Nodes

    def node_fault(self, node: Node, router_links: Dict[str, Dict[str, Any]]) -> str:
        """What is wrong with a node's network: "missing", "switch", "partition", or "" when nothing is."""
        port = router_links.get(node.name)
        if port is None or self.lab.netns(node.name) not in netns_names():
            return "missing"
        eth0 = links(self.lab.netns(node.name)).get("eth0")
        if eth0 is None or not has_address(eth0, node.address) or not self._routed(node):
            return "missing"
        if not is_up(port) or not is_up(eth0):
            return "switch"
        return "" if port.get("master") == node.zone else "partition"

    def make_node(self, node: Node) -> None:
        """Make a node's namespace, plug it into its zone, and heal what is cut off."""
        netns, router = self.lab.netns(node.name), self.lab.router_netns
        if netns not in netns_names():
            run(["ip", "netns", "add", netns])
        if node.name not in links(router):
            _batch(router, f"link add name {node.name} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {netns}")
        zone = self.lab.zone(node.zone)
        _batch(router, f"link set dev {node.name} master {zone.name}", f"link set dev {node.name} up")
        _batch(
            netns,
            "link set lo up",
            f"address replace {node.address}/{zone.network.prefixlen} dev eth0",
            "link set eth0 up",
            f"route replace default via {zone.gateway}",
        )
        self._route(node)

    def _route(self, node: Node) -> None:
        for behind in node.networks:
            run(["ip", "-n", self.lab.router_netns, "route", "replace", str(behind), "via", str(node.address)])

    def _routed(self, node: Node) -> bool:
        """Whether the router knows the networks behind a node. While the zone's bridge is down it knows none."""
        known = {
            (route["dst"], route.get("gateway"))
            for route in json.loads(run(["ip", "-n", self.lab.router_netns, "-j", "route", "show"]))
        }
        wanted = {(str(behind), str(node.address)) for behind in node.networks}
        return wanted <= known or not is_up(links(self.lab.router_netns)[node.zone])

    def partition_node(self, node: Node) -> None:
        """Cut a node off while its cable stays plugged in: its port leaves the bridge."""
        run(["ip", "-n", self.lab.router_netns, "link", "set", "dev", node.name, "nomaster"])

    def unplug_node(self, node: Node) -> None:
        """Take a node's port down: it loses its carrier."""
        run(["ip", "-n", self.lab.router_netns, "link", "set", "dev", node.name, "down"])

    def silence_node(self, node: Node) -> None:
        """Take away a node's addresses: without a container its namespace would go on answering for them."""
        run(["ip", "-n", self.lab.netns(node.name), "address", "flush", "dev", "eth0"])

    # The way out

    @property
    def table(self) -> str:
        """The name of the machine's nftables table of this lab."""
        return "lab_" + self.lab.name.replace("-", "_")

    def egress_rules(self, targets: List[Target]) -> str:
        """The machine's nftables table: what may leave the lab, and what may come in to it."""
        lab, link = self.lab, self.lab.machine_link
        allowed = ", ".join(sorted(f"{t.address} . {t.protocol} . {t.port}" for t in targets))
        elements = f"elements = {{ {allowed} }};" if allowed else ""
        return f"""
        table ip {self.table}
        delete table ip {self.table}
        table ip {self.table} {{
            set egress {{ type ipv4_addr . inet_proto . inet_service; {elements} }}
            chain forward {{
                type filter hook forward priority 0;
                iifname {link} ip daddr . meta l4proto . th dport @egress accept
                iifname {link} ct state established,related accept
                iifname {link} reject with icmp type admin-prohibited
                oifname {link} ct state established,related accept
                oifname {link} drop
            }}
            chain postrouting {{
                type nat hook postrouting priority 100;
                ip saddr {lab.supernet} oifname != {link} masquerade
            }}
        }}
        """

    def open_egress(self, targets: List[Target]) -> None:
        """Put the machine's table in place."""
        _nft(self.egress_rules(targets))

    def egress_is_there(self) -> bool:
        """Whether the machine has a table of this lab."""
        return f"table ip {self.table}" in run(["nft", "list", "tables"]).splitlines()


def remove(lab_name: str, supernet: Optional[str]) -> None:
    """Remove all that a lab of this name has put into the machine's network. Its namespaces must be unused."""
    for netns in sorted(netns_of(lab_name)):
        run(["ip", "netns", "delete", netns])
    run(["ip", "link", "delete", f"{lab_name}-up"], check=False)
    if supernet:
        run(["ip", "route", "delete", "blackhole", supernet, "metric", "4096"], check=False)
    run(["nft", "delete", "table", "ip", "lab_" + lab_name.replace("-", "_")], check=False)


def netns_of(lab_name: str) -> Set[str]:
    """The namespaces of a lab."""
    return {name for name in netns_names() if name.startswith(f"{lab_name}.")}


def uplink_device(towards: IPv4Address) -> str:
    """The machine's interface towards an address outside."""
    return json.loads(run(["ip", "-j", "route", "get", str(towards)]))[0]["dev"]


def _batch(netns: Optional[str], *commands: str) -> None:
    """Run commands of ip(8) in one process, in a namespace or on the machine."""
    where = ["-n", netns] if netns else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _nft(rules: str, netns: Optional[str] = None) -> None:
    where = ["ip", "netns", "exec", netns] if netns else []
    run([*where, "nft", "-f", "-"], stdin=rules)


def _sysctl(netns: str, name: str, value: str) -> None:
    """Set a sysctl of a namespace, where its kernel has it."""
    path = "/proc/sys/" + name.replace(".", "/")
    run(["ip", "netns", "exec", netns, "sh", "-c", f"[ ! -e {path} ] || echo {value} > {path}"])
