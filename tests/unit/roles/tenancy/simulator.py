# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NetworkPolicies let pass, by the words of the API and of nothing else.

Sources: https://kubernetes.io/docs/concepts/services-networking/network-policies/ and
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Host:
    """An address that is no pod's: of a node, or outside of the cluster."""

    ip: str


@dataclass(frozen=True)
class Pod:
    """A pod with an address of its own.

    Attributes:
        namespace: where it is.
        labels: its own.
        ip: its own.
        node: the address of its node.
        ports: protocol and number by name, for policies that name a port.
    """

    namespace: str
    labels: Mapping[str, str] = field(hash=False, default_factory=dict)
    ip: str = "10.244.0.1"
    node: str = ""
    ports: Mapping[str, tuple[str, int]] = field(hash=False, default_factory=dict)


class Simulator:
    """A cluster's policies, asked about one connection at a time.

    Args:
        policies: objects of the kind NetworkPolicy.
        namespaces: labels by namespace.
    """

    def __init__(self, policies: Iterable[Mapping[str, Any]], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._policies: dict[str, list[Mapping[str, Any]]] = {}
        for policy in policies:
            self._policies.setdefault(policy["metadata"]["namespace"], []).append(policy)
        self._namespaces = namespaces
        self._holding = functools.cache(self._held)

    def passes(self, source: Pod | Host, target: Pod | Host, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is let pass: the source must be allowed to send and the target to receive."""
        return bool(self.passing(source, target, [(protocol, port)]))

    def passing(
        self, source: Pod | Host, target: Pod | Host, ports: Collection[tuple[str, int]]
    ) -> set[tuple[str, int]]:
        """Which of some ports a source reaches at a target."""
        if source == target:
            return set(ports)  # a pod cannot block itself
        found = set(ports)
        for direction, own, other in (("Egress", source, target), ("Ingress", target, source)):
            rules = self._holding(direction, own) if found else None
            if rules is None or other.ip == getattr(own, "node", None):
                continue  # no policy holds; or it is the pod's own node, which is always let pass
            listed = [rule.get("ports") for rule, peers in rules if self._has_peer(peers, own, other)]
            found = {port for port in found if listed and _any_has(listed, target, port[1], port[0])}
        return found

    def _held(self, direction: str, own: Pod | Host) -> list[tuple[Any, Any]] | None:
        """The rules of all policies that select a pod, with their peers; None where it is not isolated, like a host."""
        if isinstance(own, Host):
            return None
        specs = [
            policy["spec"]
            for policy in self._policies.get(own.namespace, [])
            if direction in _types(policy["spec"]) and selects(policy["spec"].get("podSelector", {}), own.labels)
        ]
        peers, rules = ("from", "ingress") if direction == "Ingress" else ("to", "egress")
        return [(rule, rule.get(peers)) for spec in specs for rule in spec.get(rules) or ()] if specs else None

    def _has_peer(self, peers: list[Mapping[str, Any]] | None, own: Pod | Host, other: Pod | Host) -> bool:
        return not peers or any(self._is_peer(peer, own, other) for peer in peers)

    def _is_peer(self, peer: Mapping[str, Any], own: Pod | Host, other: Pod | Host) -> bool:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            return _within(other.ip, block["cidr"]) and not any(
                _within(other.ip, net) for net in block.get("except", ())
            )
        if isinstance(other, Host) or isinstance(own, Host):
            return False
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], self._namespaces.get(other.namespace, {})):
                return False
        elif other.namespace != own.namespace:
            return False
        return selects(peer.get("podSelector", {}), other.labels)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects what has these labels; an empty one selects everything."""
    tests = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _values: key in labels,
        "DoesNotExist": lambda key, _values: key not in labels,
    }
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        tests[item["operator"]](item["key"], item.get("values") or ())
        for item in selector.get("matchExpressions") or ()
    )


def _types(spec: Mapping[str, Any]) -> list[str]:
    """Ingress unless said otherwise, and Egress where there are rules for it."""
    default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return list(spec.get("policyTypes") or default)


def _any_has(listed: list[Any], target: Pod | Host, number: int, protocol: str) -> bool:
    return any(_has_port(ports, target, number, protocol) for ports in listed)


def _has_port(ports: list[Mapping[str, Any]] | None, target: Pod | Host, number: int, protocol: str) -> bool:
    return not ports or any(_is_port(port, target, number, protocol) for port in ports)


def _is_port(port: Mapping[str, Any], target: Pod | Host, number: int, protocol: str) -> bool:
    if port.get("protocol", "TCP") != protocol:
        return False
    wanted = port.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return isinstance(target, Pod) and target.ports.get(wanted) == (protocol, number)
    return bool(wanted <= number <= port.get("endPort", wanted))


@functools.cache
def _within(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)
