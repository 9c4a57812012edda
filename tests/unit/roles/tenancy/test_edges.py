# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole platform in the simulator: what must pass passes, and nothing else does."""

from __future__ import annotations

import functools
import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.declarations import Workload
from ansible_collections.banking.platform.plugins.module_utils.network_policies import (
    Edge,
    Networks,
    Pods,
    Surroundings,
    edges_of,
    pods_of,
    policies,
    port_of,
)
from ansible_collections.banking.platform.tests.unit.roles.tenancy.conftest import ENVIRONMENTS, Rendered, rendered
from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Host, Pod, Simulator, selects

RELEASES = catalog.releases()
WORLD, TUNNEL = Host("198.51.100.7"), Host("10.245.0.9")
# Named on purpose: edges that the source documents' policies forget, or aim at pods that are not there (res-B11), those
# that they ask for, and what a component cannot live without. Source, target, port.
MUST_PASS = [
    ("istio/gateway", "banking_apps/banking-app", 8080),
    ("istio/gateway", "banking_apps/core-banking-accounts", 8080),
    ("istio/gateway", "keycloak/keycloak", 8443),
    ("istio/gateway", "prometheus/grafana", 3000),
    ("banking_apps/banking-app", "banking_apps/core-banking-accounts", 8080),
    ("banking_apps/banking-app", "postgresql/pooler", 5432),
    ("banking_apps/core-banking-accounts", "postgresql/pooler", 5432),
    ("banking_apps/banking-app", "keycloak/keycloak", 8443),
    ("banking_apps/banking-app", "redis/sessions-leader", 6379),
    ("banking_apps/banking-app", "kafka/broker", 9093),
    ("banking_apps/banking-app", "kubernetes/coredns", 53),
    ("banking_apps/banking-app", "istio/istiod", 15012),
    ("banking_apps/banking-app", "tracing/agent", 4317),
    ("prometheus/prometheus", "banking_apps/banking-app", 15020),
    ("prometheus/prometheus", "postgresql/instance", 9187),
    ("prometheus/prometheus", "cert_manager/controller", 9402),
    ("postgresql/pooler", "postgresql/instance", 5432),
    ("postgresql/operator", "postgresql/instance", 8000),
    ("keycloak/keycloak", "postgresql/instance", 5432),
    ("keycloak/keycloak", "keycloak/keycloak", 7800),
    ("kafka/broker", "kafka/controller", 9090),
    ("kafka/connect", "postgresql/instance", 5432),
    ("redis/sessions-follower", "redis/sessions-leader", 16379),
    ("elk/filebeat", "elk/logstash", 5044),
    ("elk/logstash", "elk/data", 9200),
    ("tracing/agent", "tracing/gateway", 4317),
    ("tracing/gateway", "tracing/jaeger-collector", 4317),
    ("falco/sidekick", "prometheus/alertmanager", 9093),
    ("harbor/core", "postgresql/instance", 5432),
    ("postgresql/instance", "storage/object-gateway", 443),
    ("postgresql/operator", "control_plane", 6443),
    ("control_plane", "postgresql/operator", 9443),
    ("tunnel", "postgresql/operator", 9443),
    ("vault", "postgresql/instance", 5432),
    ("secrets/external-secrets", "vault", 8200),
    ("prometheus/prometheus", "worker", 10250),
    ("prometheus/prometheus", "worker", 9100),
    ("trivy/server", "world", 443),
    ("prometheus/alertmanager", "world", 443),
]
MUST_NOT_PASS = [
    ("banking_apps/banking-app", "postgresql/instance", 5432),  # only by the pooler
    ("banking_apps/core-banking-accounts", "banking_apps/banking-app", 8080),
    ("banking_apps/banking-app", "control_plane", 6443),
    ("banking_apps/banking-app", "vault", 8200),
    ("banking_apps/banking-app", "world", 443),
    ("banking_apps/banking-app", "worker", 10250),
    ("istio/gateway", "postgresql/pooler", 5432),
    ("redis/cache-leader", "redis/sessions-leader", 6379),
    ("world", "banking_apps/banking-app", 8080),
    ("worker", "banking_apps/banking-app", 8080),
    ("worker", "postgresql/instance", 8000),
    ("postgresql/instance", "world", 443),
    ("argocd/server", "banking_apps/banking-app", 8080),
    ("prometheus/grafana", "banking_apps/banking-app", 8080),
    ("prometheus/prometheus", "banking_apps/banking-app", 8080),  # with STRICT mutual TLS, by the sidecar only
]


class Inhabitant(NamedTuple):
    """A pod or host of the simulated platform, and the workload that it is of."""

    title: str
    thing: Pod | Host
    pods: Pods | None = None


def sample(selector: Mapping[str, Any]) -> dict[str, str]:
    """Labels that a selector finds."""
    labels = dict(selector["matchLabels"])
    for expression in selector["matchExpressions"]:
        if expression["operator"] in ("In", "Exists"):
            labels[expression["key"]] = expression.get("values", ["any"])[0]
    assert selects(selector, labels)
    return labels


class World:
    """The platform of an inventory.

    Args:
        environment: the inventory.
        release: of the platform.
        edges: `tenancy_edges` beside those of the role's defaults.
    """

    def __init__(self, environment: str, release: str, edges: Sequence[Mapping[str, Any]] = ()) -> None:
        role = rendered(environment, release)
        if edges:
            role = Rendered(environment, {"tenancy_edges": [*role.value("{{ tenancy_edges }}"), *edges]})
        self.guarded = sorted(role.variables["tenancy_namespaces"])
        self.mesh = role.value("{{ __tenancy_mesh }}")
        self.addresses = role.value("{{ __tenancy_addresses }}")
        self.policies = [item for item in role.objects("enforce") if item["kind"] == "NetworkPolicy"]
        self.authorizations = [item for item in role.objects("enforce") if item["kind"] == "AuthorizationPolicy"]
        around = Surroundings(self.addresses, role.value("{{ tenancy_places }}"), mesh=self.mesh)
        self.edges = edges_of(role.declared, self.guarded, around, role.value("{{ tenancy_edges }}"))
        self.workloads = [workload for item in role.declared.values() if item for workload in item.workloads]
        self.inhabitants = {item.title: item for item in self._inhabitants()}

    def _inhabitants(self) -> list[Inhabitant]:
        found = [Inhabitant("world", WORLD), Inhabitant("tunnel", TUNNEL)]
        found += [Inhabitant(role, Host(hosts[-1])) for role, hosts in self.addresses.items()]
        running = [item for item in self.workloads if has_pods(item)]
        for number, workload in enumerate(running):
            pods = pods_of(workload)
            # Twice, so that members of a workload are seen to reach one another or not.
            for copy in (1, 2):
                address = str(ipaddress.ip_address("10.244.0.0") + number * 8 + copy)
                thing = Pod(pods.namespace, sample(workload.selector), address, "10.99.0.1")
                title = f"{workload.component}/{workload.name}"
                found.append(Inhabitant(title if copy == 1 else f"{title}#2", thing, pods))
        for number, namespace in enumerate(sorted({workload.namespace for workload in running} | {"default"})):
            stranger = Pod(namespace, {"app": "stranger"}, f"10.244.200.{number + 1}", "10.99.0.1")
            found.append(Inhabitant(f"{namespace}: stranger", stranger))
        return found

    def simulator(self, made: list[dict[str, Any]] | None = None) -> Simulator:
        names = {item.thing.namespace for item in self.inhabitants.values() if isinstance(item.thing, Pod)}
        namespaces = {name: {"kubernetes.io/metadata.name": name} for name in {*names, *self.guarded}}
        return Simulator(self.policies if made is None else made, namespaces)

    @functools.cached_property
    def ports(self) -> list[tuple[str, int]]:
        """Every port that anybody listens on, its neighbours, and one that nobody does."""
        known = {(edge.port.protocol, number) for edge in self.edges for number in (edge.port.first, edge.port.last)}
        return sorted({*known, *((protocol, number + 1) for protocol, number in known), ("TCP", 31337)})

    def differences(self, made: list[dict[str, Any]] | None = None) -> list[str]:
        """Connections that pass and are no edge, or are an edge and do not pass."""
        simulator = self.simulator(made)
        everybody = list(self.inhabitants.values())
        begins, ends = (
            {
                item.title: {number for number, edge in enumerate(self.edges) if is_end(getattr(edge, side), item)}
                for item in everybody
            }
            for side in ("source", "target")
        )
        found = []
        for source, target in itertools.permutations(everybody, 2):
            if not self._guards(source, target) or source.title.endswith("#2"):
                continue
            edges = [self.edges[number] for number in begins[source.title] & ends[target.title]]
            wanted = {
                (protocol, number)
                for protocol, number in (self.ports if edges else ())
                if any(edge.port.protocol == protocol and edge.port.first <= number <= edge.port.last for edge in edges)
            }
            passing = simulator.passing(source.thing, target.thing, self.ports)
            for ports, says in ((wanted - passing, "is cut off"), (passing - wanted, "passes")):
                found += [
                    f"{source.title} -> {target.title} {'/'.join(map(str, port))} {says}" for port in sorted(ports)
                ]
        return found

    def _guards(self, *both: Inhabitant) -> bool:
        return any(isinstance(item.thing, Pod) and item.thing.namespace in self.guarded for item in both)


def has_pods(workload: Workload) -> bool:
    return not (
        workload.runs == "server" or workload.host_network or workload.replicas == 0 or not workload.requests.pods
    )


def is_end(end: Pods | Networks, item: Inhabitant) -> bool:
    """Whether an inhabitant is what an edge names: by its workload, not by its labels."""
    if isinstance(end, Pods):
        if not isinstance(item.thing, Pod) or item.thing.namespace != end.namespace:
            return False
        return end.selector == "{}" or (item.pods is not None and item.pods.selector == end.selector)
    if isinstance(item.thing, Pod):
        return False
    address = ipaddress.ip_address(item.thing.ip)
    return any(address in ipaddress.ip_network(net) for net in end.cidrs) and not any(
        address in ipaddress.ip_network(net) for net in end.excepts
    )


@functools.cache
def world(environment: str, release: str = "") -> World:
    return World(environment, release)


# Each environment with its own release, and the largest with both.
@pytest.mark.parametrize(("environment", "release"), [*((name, "") for name in ENVIRONMENTS), ("prod", "2026.2")])
def test_exactly_the_declared_edges_pass(environment, release):
    found = world(environment, release).differences()
    assert not found, f"{len(found)} connections: {found[:20]}"


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("source", "target", "port"), MUST_PASS)
def test_what_must_pass_passes(source, target, port, release):
    platform = world("prod", release)
    begin, end = platform.inhabitants[source], platform.inhabitants[f"{target}#2" if source == target else target]
    assert platform.simulator().passes(begin.thing, end.thing, port)


@pytest.mark.parametrize(("release", "passes"), [("2024.1", True), ("2026.2", False)])
def test_zookeeper_is_asked_where_there_is_one(release, passes):
    platform = world("prod", release)
    broker, controller = (platform.inhabitants[f"kafka/{name}"].thing for name in ("broker", "controller"))
    assert platform.simulator().passes(broker, controller, 2181) is passes


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("source", "target", "port"), MUST_NOT_PASS)
def test_what_must_not_pass_does_not(source, target, port, release):
    platform = world("prod", release)
    assert not platform.simulator().passes(platform.inhabitants[source].thing, platform.inhabitants[target].thing, port)


def test_a_forgotten_or_an_added_edge_is_seen():
    """The comparison above can fail. Some edges are two at once: what one role asks is what the other offers."""
    platform = world("development")
    for edge in platform.edges[:: len(platform.edges) // 8]:
        rest = [other for other in platform.edges if other != edge]
        cut = platform.differences(policies(rest, platform.guarded))
        assert cut
        assert all(item.endswith("is cut off") for item in cut)
    stranger = Pods("stranger", "banking-data", '{"matchLabels": {"app": "stranger"}}')
    pooler = next(edge.target for edge in platform.edges if edge.target[0] == "postgresql-pooler")
    found = platform.differences(policies([*platform.edges, Edge(stranger, pooler, port_of(5432))], platform.guarded))
    assert found == [f"banking-data: stranger -> postgresql/pooler{copy} TCP/5432 passes" for copy in ("", "#2")]
