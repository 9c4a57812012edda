# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both kinds of policies say the same: NetworkPolicies by addresses, AuthorizationPolicies by identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.authorization_policies import (
    GATEWAYS,
    UNCAPTURED,
    authorization_policies,
)
from ansible_collections.banking.platform.plugins.module_utils.network_policies import (
    Edge,
    Networks,
    Pods,
    PolicyError,
    every_pod,
    policies,
    port_of,
)
from ansible_collections.banking.platform.tests.unit.roles.tenancy.conftest import ENVIRONMENTS
from ansible_collections.banking.platform.tests.unit.roles.tenancy.mesh import Sidecars
from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Host, Pod
from ansible_collections.banking.platform.tests.unit.roles.tenancy.test_edges import Inhabitant, World, world

Connection = tuple[str, str, int]
Ports = list[tuple[str, int]]
LABEL = '{"matchLabels": {"app": "%s"}}'
APP, JOB = (Pods(name, "bank", LABEL % name, name) for name in ("app", "job"))


def identity(item: Inhabitant, mesh: Sequence[str]) -> str | None:
    """What a sidecar reads from the certificate of a pod; None for who has none."""
    thing = item.thing
    account = item.pods.account if item.pods else "default"
    if isinstance(thing, Host) or thing.namespace not in (*mesh, *([GATEWAYS] if account != "default" else [])):
        return None
    return f"cluster.local/ns/{thing.namespace}/sa/{account}" if account else None


def by_network(
    platform: World, made: list[dict[str, Any]] | None = None, ports: Ports | None = None
) -> set[Connection]:
    """Who reaches which port, of pods in the mesh, as far as NetworkPolicies go."""
    simulator = platform.simulator(made)
    return {
        (source.title, target.title, port)
        for source, target in pairs(platform)
        for _protocol, port in simulator.passing(source.thing, target.thing, ports or captured(platform))
    }


def by_identity(
    platform: World, made: list[dict[str, Any]] | None = None, ports: Ports | None = None
) -> set[Connection]:
    """The same as far as AuthorizationPolicies go."""
    sidecars = Sidecars(platform.authorizations if made is None else made)
    numbers = [port for _protocol, port in ports or captured(platform)]
    return {
        (source.title, target.title, port)
        for source, target in pairs(platform)
        if isinstance(target.thing, Pod)
        for port in sidecars.passing(identity(source, platform.mesh), target.thing, numbers)
    }


def captured(platform: World) -> Ports:
    return [(protocol, port) for protocol, port in platform.ports if protocol == "TCP" and port not in UNCAPTURED]


def pairs(platform: World) -> list[tuple[Inhabitant, Inhabitant]]:
    everybody = platform.inhabitants.values()
    inside = [item for item in everybody if isinstance(item.thing, Pod) and item.thing.namespace in platform.mesh]
    return [(source, target) for target in inside for source in everybody if source != target]


@pytest.mark.parametrize(("environment", "release"), [*((name, "") for name in ENVIRONMENTS), ("prod", "2026.2")])
def test_both_kinds_let_the_same_pass(environment: str, release: str) -> None:
    platform = world(environment, release)
    found = by_identity(platform)
    assert found == by_network(platform)
    assert ("istio/gateway", "banking_apps/banking-app", 8080) in found
    assert not any(source.endswith("stranger") for source, _target, _port in found)


@pytest.mark.parametrize(
    ("line", "opened"),
    [
        (
            {"from": "banking_apps/core-banking-accounts", "to": "banking_apps/banking-app", "port": 8080},
            {("banking_apps/core-banking-accounts", "banking_apps/banking-app", 8080)},
        ),
        (
            {"from": "istio/gateway", "to": "banking_apps/banking-app", "port": 9443},
            {("istio/gateway", "banking_apps/banking-app", 9443)},
        ),
    ],
)
def test_one_line_more_opens_exactly_that_edge_in_both_kinds(line: Mapping[str, Any], opened: set[Connection]) -> None:
    """And one line less closes it: the platform without the line is the one with it taken out."""
    target = {"namespace": "banking-system", "labels": {"app": "banking-app"}, "service_account": "banking-app"}
    wish = {**line, "to": target if line["port"] == 9443 else line["to"], "why": "a test"}
    before, after = world("prod"), World("prod", "", [wish])
    for passing in (by_network, by_identity):
        differing = passing(after) ^ passing(before, ports=captured(after))
        assert {tuple(str(part).removesuffix("#2") for part in item) for item in differing} == {
            tuple(map(str, item)) for item in opened
        }
        assert differing <= passing(after)


def test_an_edge_that_only_one_kind_knows_is_seen() -> None:
    """The comparison can fail."""
    platform = world("prod")
    edge = next(edge for edge in platform.edges if isinstance(edge.target, Pods) and edge.target.account)
    rest = [other for other in platform.edges if other != edge]
    whole = by_network(platform)
    assert by_identity(platform, authorization_policies(rest, platform.mesh)) < whole
    assert by_network(platform, policies(rest, platform.guarded)) < whole


def made(*edges: Edge) -> dict[str, Any]:
    return {
        item["metadata"]["name"]: item.get("spec")
        for item in authorization_policies([*edges, *reversed(edges)], ["bank"])
    }


def test_a_namespace_of_the_mesh_allows_nothing_at_first() -> None:
    assert made() == {"default-deny": {}}


def test_sources_with_the_same_ports_share_a_rule() -> None:
    gateway = Pods("gateway", GATEWAYS, LABEL % "gateway", "ingress")
    found = made(
        Edge(JOB, APP, port_of(8080)), Edge(gateway, APP, port_of(8080)), Edge(every_pod("bank"), APP, port_of("80-82"))
    )
    assert found["app"] == {
        "selector": {"matchLabels": {"app": "app"}},
        "action": "ALLOW",
        "rules": [
            {
                "from": [{"source": {"namespaces": ["bank"]}}],
                "to": [{"operation": {"ports": ["80", "81", "82"]}}],
            },
            {
                "from": [
                    {
                        "source": {
                            "principals": ["cluster.local/ns/bank/sa/job", "cluster.local/ns/istio-system/sa/ingress"]
                        }
                    }
                ],
                "to": [{"operation": {"ports": ["8080"]}}],
            },
        ],
    }


def test_what_a_sidecar_does_not_carry_is_left_to_the_network() -> None:
    outside = Pods("prometheus", "monitoring", LABEL % "prometheus")
    assert list(made(Edge(outside, APP, port_of(15020)), Edge(outside, APP, port_of(53, "udp")))) == ["default-deny"]
    assert list(made(Edge(APP, outside, port_of(9090)))) == ["default-deny"]


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        (
            Edge(Pods("web", "shop", LABEL % "web", "web"), APP, port_of(8080)),
            "takes no connection without a sidecar's certificate; shop has none: give that namespace sidecars",
        ),
        (Edge(Networks(("10.0.0.0/8",)), APP, port_of(8080)), "10.0.0.0/8 to bank/app, port 8080: its target is in"),
        (Edge(JOB._replace(account=""), APP, port_of(8080)), "job has no service_account"),
        (Edge(JOB, APP, port_of("1-200")), "200 ports are too many for the mesh"),
        (
            Edge(JOB, APP._replace(selector='{"matchExpressions": [{"key": "a", "operator": "Exists"}]}'), port_of(1)),
            "bank/app: the mesh finds pods by matchLabels only",
        ),
    ],
)
def test_what_a_sidecar_cannot_be_told_is_an_error(edge: Edge, message: str) -> None:
    with pytest.raises(PolicyError, match=message.replace("(", r"\(")):
        made(edge)


def test_an_account_of_two_kinds_of_pods_is_refused() -> None:
    other = JOB._replace(name="other", selector=LABEL % "other")
    with pytest.raises(PolicyError, match="bank: the service account 'job' is of two kinds of pods"):
        made(Edge(JOB, APP, port_of(8080)), Edge(other, APP, port_of(8080)))
