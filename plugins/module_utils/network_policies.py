# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkPolicies of allowed edges: who talks to whom, on which port. Two steps, both pure.

`edges_of` reads the declarations of all roles and gives each edge with the pods or networks at its ends. `policies`
makes of edges a default deny for each namespace, and rules at both ends of each edge: a connection passes when its
source may send and its target may receive (https://kubernetes.io/docs/concepts/services-networking/network-policies/).
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ansible_collections.banking.platform.plugins.module_utils import declarations
from ansible_collections.banking.platform.plugins.module_utils.declarations import NETWORKS, Declaration, Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.topology import ROLES_OF_NODES

# Every namespace carries its own name under this label:
# https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
DEFAULT_DENY = "default-deny"
# Whom each pod may ask for names.
DNS = ("kubernetes/coredns", 53)
# Where a sidecar gets its certificates and configuration, and where it gives its pod's metrics and its own in one:
# https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio
# https://istio.io/latest/docs/ops/integrations/prometheus/#option-1-metrics-merging
MESH = ("istio/istiod", 15012)
MERGED_METRICS = 15020
# Everything but the cluster: its nodes, and the networks that components declare.
OUTSIDE = "outside"
PROMETHEUS = "prometheus/prometheus"
# What `from` of a port says where the other side has to name the edge, or where no pod is concerned.
_NAMED_BY_THE_OTHER = ("pods", "anywhere", "localhost")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_NAME = re.compile(r"[^a-z0-9]+")


class PolicyError(ValueError):
    """An edge that no policy can be made of: names it, and what to write."""


class Pods(NamedTuple):
    """Pods of a namespace.

    Attributes:
        name: what policies about them are called.
        namespace: where they are.
        selector: a LabelSelector in canonical JSON, so that equal ones are the same; `{}` for all pods.
        account: the service account that they run under, where it is told: their identity in the mesh.
    """

    name: str
    namespace: str
    selector: str
    account: str = ""

    @property
    def label_selector(self) -> Dict[str, Any]:
        """The selector as objects have it."""
        selector: Dict[str, Any] = json.loads(self.selector)
        return selector


class Networks(NamedTuple):
    """Addresses: of nodes, or of what is outside of the cluster.

    Attributes:
        cidrs: networks.
        excepts: networks inside of them that do not belong to it.
        nodes: whether they are addresses of the cluster's nodes.
    """

    cidrs: Tuple[str, ...]
    excepts: Tuple[str, ...] = ()
    nodes: bool = False


End = Union[Pods, Networks]


class Port(NamedTuple):
    """A port, or all from `first` to `last`."""

    protocol: str
    first: int
    last: int


class Edge(NamedTuple):
    """A connection that is allowed."""

    source: End
    target: End
    port: Port


@dataclass(frozen=True)
class Surroundings:
    """What declarations do not say.

    Attributes:
        addresses: of the hosts by role of node (`control_plane`, ...).
        places: what a name stands for, by name: for what is outside of the platform, and instead of `addresses` or a
            component. One or more of: OUTSIDE, a component, a workload, a network, `{networks, except}`.
        dns: addresses of resolvers on the nodes themselves (NodeLocal DNSCache), beside CoreDNS.
        mesh: namespaces whose pods have a sidecar.
    """

    addresses: Mapping[str, Sequence[str]]
    places: Mapping[str, Any]
    dns: Sequence[str] = ()
    mesh: Sequence[str] = ()


def edges_of(
    declared: Mapping[str, Optional[Declaration]],
    namespaces: Iterable[str],
    surroundings: Surroundings,
    more: Sequence[Mapping[str, Any]] = (),
) -> List[Edge]:
    """Every allowed edge that pods of the given namespaces have a part in, in a stable order.

    Args:
        declared: declarations by role; None for a component that is not enabled. What it would say is left out, and
            so is what others say about it.
        namespaces: those that policies will guard.
        surroundings: addresses, networks, mesh.
        more: edges that no declaration names: `{from, to, port, protocol, why}`. `from` and `to` name a component, one
            of its workloads or a place, or are `{namespace, labels, service_account}`.

    Raises:
        PolicyError: naming the edge, and what to write.
    """
    return _Resolver(declared, set(namespaces), surroundings).edges(more)


class _Resolver:
    def __init__(
        self, declared: Mapping[str, Optional[Declaration]], guarded: Set[str], surroundings: Surroundings
    ) -> None:
        self._declared = declared
        self._enabled = [declaration for declaration in declared.values() if declaration]
        self._guarded = guarded
        self._around = surroundings
        # With an overlay, a node's own connections to pods of other nodes come from its address in the tunnel:
        # https://github.com/tigera/operator/pull/4739
        self._tunnels = self._networks("tunnels")

    def edges(self, more: Sequence[Mapping[str, Any]]) -> List[Edge]:
        parts = (self._asked(), self._listening(), self._scraped(), self._shared(), self._more(more))
        found = {edge for part in parts for edge in part if self._concerned([edge.source, edge.target])}
        return sorted(found, key=_order)

    # What is declared

    def _asked(self) -> Iterator[Edge]:
        """What a role asks others for (`edges`)."""
        for declaration in self._enabled:
            for entry in declaration.edges:
                where = f"{declaration.component}: edge to {entry['to']}"
                sources = self._ends(self._members(where, declaration, entry.get("from")))
                yield from self._joined(where, sources, entry)

    def _listening(self) -> Iterator[Edge]:
        """Who may come to a port, where the port says it (`ports`)."""
        for declaration in self._enabled:
            for entry in declaration.ports:
                # One or more of: a component, a workload, a role of node, a network.
                sources = entry["from"] if isinstance(entry["from"], list) else [entry["from"]]
                where = f"{declaration.component}: port {entry['name']}"
                targets = self._ends(self._members(where, declaration, entry.get("workloads")))
                for source in sources:
                    if source in _NAMED_BY_THE_OTHER:
                        continue
                    if self._concerned(targets) or self._component(source):
                        ends = self._named(where, [source] if _is_network(source) else source)
                        ports = [port_of(number, entry["protocol"], where) for number in entry["ports"]]
                        yield from self._product(ends, targets, ports)

    def _scraped(self) -> Iterator[Edge]:
        """What Prometheus reads (`metrics`); of a pod with a sidecar, where that gives everything."""
        sources = self._named("metrics", PROMETHEUS) if self._component(PROMETHEUS) else []
        for declaration in self._enabled:
            names = [workload.name for workload in declaration.workloads]
            for entry in declaration.metrics:
                wanted = entry.get("workloads") or ([entry["name"]] if entry["name"] in names else None)
                for workload in self._members(f"{declaration.component}: metrics {entry['name']}", declaration, wanted):
                    merged = workload.namespace in self._around.mesh
                    port = port_of(MERGED_METRICS if merged else entry["port"])
                    yield from self._product(sources, self._ends([workload]), [port])

    def _shared(self) -> Iterator[Edge]:
        """What each pod needs: names, and its sidecar's certificates."""
        resolvers = self._named("DNS", DNS[0]) if self._component(DNS[0]) else []
        local = [Networks(_cidrs("dns", self._around.dns))] if self._around.dns else []
        mesh = self._named("mesh", MESH[0]) if self._component(MESH[0]) else []
        for namespace in sorted(self._guarded):
            source = [every_pod(namespace)]
            yield from self._product(source, [*resolvers, *local], [port_of(DNS[1], "udp"), port_of(DNS[1], "tcp")])
            if namespace in self._around.mesh:
                yield from self._product(source, mesh, [port_of(MESH[1])])

    def _more(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[Edge]:
        for index, entry in enumerate(entries):
            where = f"edges[{index}]"
            unknown = sorted(set(entry) - {"from", "to", "port", "protocol", "why"})
            missing = sorted({"from", "to", "port", "why"} - set(entry))
            if unknown or missing:
                what = f"unknown key {unknown[0]!r}" if unknown else f"{missing[0]} is missing"
                raise PolicyError(f"{where}: {what}: write {{from, to, port, why}}, and protocol where it is not tcp")
            yield from self._joined(where, self._named(where, entry["from"]), entry)

    # Names to ends

    def _joined(self, where: str, sources: List[End], entry: Mapping[str, Any]) -> Iterator[Edge]:
        target, port = entry["to"], port_of(entry["port"], entry.get("protocol", "tcp"), where)
        component = self._component(target)
        if component:
            name = target.partition("/")[2]
            targets = self._ends(self._listeners(where, component, name, port))
        elif isinstance(target, Mapping) or self._concerned(sources):
            targets = self._named(where, target)
        else:
            return  # between servers and the world: firewalls' matter
        yield from self._product(sources, targets, [port])

    def _listeners(self, where: str, declaration: Declaration, name: str, port: Port) -> List[Workload]:
        """The workloads that declare the port."""
        found: Dict[str, Workload] = {}
        for entry in declaration.ports:
            ports = [port_of(number, entry["protocol"], where) for number in entry["ports"]]
            if any(_holds(item, port) for item in ports):
                for workload in self._members(where, declaration, entry.get("workloads")):
                    if name in ("", workload.name):
                        found[workload.name] = workload
        if not found:
            raise PolicyError(
                f"{where}: {declaration.component}{'/' + name if name else ''} listens on no port {port.first}"
                f" ({port.protocol.lower()}): declare it in roles/{declaration.component}/meta/platform.yml"
            )
        return list(found.values())

    def _component(self, name: Any) -> Optional[Declaration]:
        """The declaration of an enabled component that is named, or of one of its workloads."""
        if not isinstance(name, str) or name in self._around.places:
            return None
        return self._declared.get(name.partition("/")[0])

    def _named(self, where: str, name: Any) -> List[End]:
        """The ends of a name: a component, a workload, a role of node, a place, `{namespace, labels}`, or networks."""
        if isinstance(name, Mapping):
            return [_inline(where, name)]
        if not isinstance(name, str):
            return [Networks(_cidrs(where, name))]
        if name in self._around.places:
            return self._place(f"{where}: {name}", self._around.places[name], nodes=name in ROLES_OF_NODES)
        component, _slash, workload = name.partition("/")
        if component in self._declared:
            declaration, names = self._declared[component], [workload] if workload else None
            return self._ends(self._members(where, declaration, names)) if declaration else []
        if name in self._around.addresses:
            hosts = self._around.addresses[name]
            return [Networks(_cidrs(f"{where}: {name}", hosts), nodes=True)] if hosts else []
        known = [*self._declared, *self._around.addresses, *self._around.places]
        raise PolicyError(
            f"{where}: {name!r} is neither a component nor a place: {nearest(name, known)}"
            " What is outside of the platform gets its networks in tenancy_places"
        )

    def _members(self, where: str, declaration: Declaration, names: Optional[Sequence[str]]) -> List[Workload]:
        """Workloads of a component, all of them without names."""
        known = {workload.name: workload for workload in declaration.workloads}
        for name in names or ():
            if name not in known:
                raise PolicyError(f"{where}: {declaration.component} has no workload {name!r}: {nearest(name, known)}")
        return [workload for workload in declaration.workloads if names is None or workload.name in names]

    def _ends(self, workloads: Iterable[Workload]) -> List[End]:
        """The pods of workloads, and the nodes of those that have their node's address. None of what has no members."""
        found: List[End] = []
        for workload in workloads:
            if workload.runs == "server" or workload.host_network:
                found += self._nodes(workload)
            elif workload.replicas == 0 or not workload.requests.pods:
                continue
            else:
                found.append(pods_of(workload))
        return found

    def _nodes(self, workload: Workload) -> List[End]:
        where, name = f"{workload.title}: {workload.nodes}", workload.nodes
        if name in self._around.places:
            return self._place(where, self._around.places[name], nodes=True)
        hosts = self._around.addresses.get(name, ())
        return [Networks(_cidrs(where, hosts), nodes=True)] if hosts else []

    def _place(self, where: str, entries: Any, nodes: bool) -> List[End]:
        """What a place stands for. Names in it are not looked up among the places again."""
        found: List[End] = []
        networks = []
        for entry in entries if isinstance(entries, list) else [entries]:
            if entry == OUTSIDE:
                found += self._outside()
            elif isinstance(entry, Mapping):
                inner = _cidrs(f"{where}: except", entry.get("except") or [])
                found.append(Networks(_cidrs(f"{where}: networks", entry.get("networks")), inner, nodes))
            elif _is_network(entry):
                networks.append(entry)
            elif str(entry).partition("/")[0] in self._declared:
                component, _slash, workload = str(entry).partition("/")
                declaration = self._declared[component]
                names = [workload] if workload else None
                found += self._ends(self._members(where, declaration, names)) if declaration else []
            else:
                raise PolicyError(
                    f"{where}: {entry!r} is neither {OUTSIDE!r} nor a component nor a network: write some of these"
                )
        return [*found, *([Networks(_cidrs(where, networks), nodes=nodes)] if networks else [])]

    def _outside(self) -> List[End]:
        inside = _merged(
            [*itertools.chain(*map(self._networks, NETWORKS)), *itertools.chain(*self._around.addresses.values())]
        )
        versions = {ipaddress.ip_network(network).version for network in inside} or {4}
        every = [network for network, version in (("0.0.0.0/0", 4), ("::/0", 6)) if version in versions]
        return [Networks(tuple(every), inside)]

    def _networks(self, kind: str) -> List[str]:
        return [
            network
            for declaration in self._enabled
            for network in _cidrs(f"{declaration.component}: networks.{kind}", declaration.networks.get(kind, ()))
        ]

    def _concerned(self, ends: Iterable[End]) -> bool:
        """Whether there are pods of a guarded namespace among them."""
        return any(isinstance(end, Pods) and end.namespace in self._guarded for end in ends)

    def _product(self, sources: Iterable[End], targets: Iterable[End], ports: Iterable[Port]) -> Iterator[Edge]:
        for source, target, port in itertools.product(sources, targets, ports):
            if isinstance(source, Networks) and source.nodes:
                source = Networks(_merged((*source.cidrs, *self._tunnels)), source.excepts)
            if isinstance(target, Networks):
                target = target._replace(nodes=False)
            yield Edge(source, target, port)


# Objects


def policies(edges: Iterable[Edge], namespaces: Iterable[str]) -> List[Dict[str, Any]]:
    """NetworkPolicies that let exactly these edges pass, as far as they have an end in one of the namespaces.

    Args:
        edges: all that is allowed.
        namespaces: those that are guarded. Each gets a policy that denies everything both ways, and one for each
            selector of pods that an edge names there.

    Returns:
        Objects in a stable order: the same edges give the same bytes, in whatever order they come.

    Raises:
        PolicyError: when two kinds of pods of a namespace have one name.
    """
    guarded = set(namespaces)
    rules: Dict[Pods, Dict[str, Dict[End, Set[Port]]]] = {}
    for edge in edges:
        for pods, direction, peer in ((edge.target, "ingress", edge.source), (edge.source, "egress", edge.target)):
            # No network is nobody; as an empty list of peers it would be everybody.
            if isinstance(pods, Pods) and pods.namespace in guarded and peer != Networks(()):
                both = rules.setdefault(pods, {"ingress": {}, "egress": {}})
                both[direction].setdefault(_nameless(peer), set()).add(edge.port)
    made = {(namespace, DEFAULT_DENY): _policy(namespace, DEFAULT_DENY, {}, {}) for namespace in guarded}
    for pods, both in rules.items():
        key = (pods.namespace, pods.name)
        if key in made:
            raise PolicyError(f"{pods.namespace}: two kinds of pods are called {pods.name!r}: rename one of them")
        allowed = {direction: _rules(direction, peers) for direction, peers in both.items() if peers}
        made[key] = _policy(*key, pods.label_selector, allowed)
    return [made[key] for key in sorted(made, key=lambda key: (key[0], key[1] != DEFAULT_DENY, key[1]))]


def _policy(namespace: str, name: str, selector: Mapping[str, Any], rules: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        # Both always: a policy without a type leaves that direction to others, and default-deny is one of them.
        "spec": {"podSelector": dict(selector), "policyTypes": ["Ingress", "Egress"], **rules},
    }


def _rules(direction: str, peers: Mapping[End, Set[Port]]) -> List[Dict[str, Any]]:
    """One rule for all peers with the same ports: a rule allows each of its peers each of its ports."""
    by_ports: Dict[Tuple[Port, ...], List[End]] = {}
    for peer, ports in peers.items():
        by_ports.setdefault(tuple(sorted(ports)), []).append(peer)
    return [
        {
            "from" if direction == "ingress" else "to": [
                entry for peer in sorted(by_ports[ports], key=_canonical_end) for entry in _peers(peer)
            ],
            "ports": [_port(port) for port in ports],
        }
        for ports in sorted(by_ports)
    ]


def _peers(end: End) -> List[Dict[str, Any]]:
    if isinstance(end, Networks):
        return [
            {"ipBlock": {"cidr": cidr, **({"except": inner} if inner else {})}}
            for cidr in end.cidrs
            for inner in [[item for item in end.excepts if _inside(item, cidr)]]
        ]
    peer: Dict[str, Any] = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: end.namespace}}}
    # Without a podSelector: all pods of the namespace.
    return [{**peer, **({"podSelector": end.label_selector} if end.selector != "{}" else {})}]


def _port(port: Port) -> Dict[str, Any]:
    whole: Dict[str, Any] = {"protocol": port.protocol, "port": port.first}
    return {**whole, "endPort": port.last} if port.last != port.first else whole


def _nameless(end: End) -> End:
    """A peer as rules have it: what its own policy is called does not matter."""
    return end._replace(name="", account="") if isinstance(end, Pods) else end


# Small things


def pods_of(workload: Workload) -> Pods:
    """The pods of a workload.

    Raises:
        PolicyError: when its role does not say in which namespace they are.
    """
    if not workload.namespace:
        raise PolicyError(
            f"{workload.title}: its namespace is not declared: name it in roles/{workload.component}/meta/platform.yml"
        )
    return Pods(_name(workload.title), workload.namespace, _canonical(workload.selector), workload.service_account)


def every_pod(namespace: str) -> Pods:
    """All pods of a namespace."""
    return Pods("all", namespace, "{}")


def port_of(number: Any, protocol: str = "tcp", where: str = "") -> Port:
    """A port as declarations write it: `5432`, or `"6800-7568"` for several.

    Raises:
        PolicyError: when it is none.
    """
    first, dash, last = str(number).partition("-")
    upper = str(protocol).upper()
    if upper in _PROTOCOLS and first.isdecimal() and (last.isdecimal() if dash else True):
        port = Port(upper, int(first), int(last if dash else first))
        if 1 <= port.first <= port.last <= 65535:
            return port
    place = f"{where}: " if where else ""
    raise PolicyError(
        f'{place}{number} ({protocol}) is no port: write such as 5432 or "6800-7568", of tcp, udp or sctp'
    )


def _inline(where: str, data: Mapping[str, Any]) -> Pods:
    if set(data) - {"namespace", "labels", "service_account"} or not data.get("namespace"):
        raise PolicyError(f"{where}: pods that no role declares are written {{namespace, labels, service_account}}")
    labels = data.get("labels") or {}
    if not labels:
        return every_pod(str(data["namespace"]))
    try:
        selector = declarations.selector(f"{where}: labels", {"matchLabels": labels})
    except declarations.DeclarationError as error:
        raise PolicyError(str(error)) from error
    name = _name(" ".join(str(labels[key]) for key in sorted(labels)))
    return Pods(name, str(data["namespace"]), _canonical(selector), str(data.get("service_account") or ""))


def _cidrs(where: str, networks: Any) -> Tuple[str, ...]:
    if isinstance(networks, (str, Mapping)) or not isinstance(networks, Sequence):
        raise PolicyError(f"{where}: a list of networks is wanted, not {networks!r}")
    try:
        return _merged(networks)
    except ValueError as error:
        raise PolicyError(f"{where}: {error}: write networks such as 10.20.1.0/24") from error


def _merged(networks: Iterable[Any]) -> Tuple[str, ...]:
    """Networks without those inside of others, and neighbours joined; IPv4 first."""
    parsed = [ipaddress.ip_network(str(network)) for network in networks]
    fours = [network for network in parsed if isinstance(network, ipaddress.IPv4Network)]
    sixes = [network for network in parsed if isinstance(network, ipaddress.IPv6Network)]
    return tuple(map(str, [*ipaddress.collapse_addresses(fours), *ipaddress.collapse_addresses(sixes)]))


def _is_network(name: Any) -> bool:
    try:
        ipaddress.ip_network(str(name))
    except ValueError:
        return False
    return True


def _inside(inner: str, outer: str) -> bool:
    one, other = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return one.version == other.version and one != other and one.subnet_of(other)  # type: ignore[arg-type]


def _holds(ports: Port, port: Port) -> bool:
    return ports.protocol == port.protocol and ports.first <= port.first <= port.last <= ports.last


def _canonical(selector: Mapping[str, Any]) -> str:
    return json.dumps({key: selector[key] for key in sorted(selector) if selector[key]}, sort_keys=True)


def _canonical_end(end: End) -> str:
    return json.dumps([type(end).__name__, *end])


def _order(edge: Edge) -> str:
    return json.dumps([_canonical_end(edge.source), _canonical_end(edge.target), *edge.port])


def _name(text: str) -> str:
    return _NAME.sub("-", text.lower()).strip("-")
