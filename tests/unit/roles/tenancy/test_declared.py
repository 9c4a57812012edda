# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What declarations become: edges, and errors that say what to write."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleError

from ansible_collections.banking.platform.plugins.filter.network_policies import network_policies
from ansible_collections.banking.platform.plugins.module_utils import declarations
from ansible_collections.banking.platform.plugins.module_utils.network_policies import (
    Edge,
    Networks,
    Pods,
    PolicyError,
    Surroundings,
    edges_of,
    pods_of,
    port_of,
)
from ansible_collections.banking.platform.tests.unit.roles.tenancy.conftest import rendered

SMALL = {"requests": {"cpu": "10m"}, "replicas": 1}
ADDRESSES = {
    "control_plane": ["10.20.1.11", "10.20.2.11"],
    "worker": ["10.20.1.21"],
    "node": ["10.20.1.11", "10.20.1.21"],
}
NODES = ("10.20.1.11/32", "10.20.2.11/32")


def shop(**changes: Any) -> dict[str, Any]:
    """A component with two workloads, of which one listens."""
    return {"namespace": "shop", "workloads": {"web": SMALL, "db": SMALL}, **changes}


BANK = {
    "namespace": "bank",
    "workloads": {"app": SMALL, "job": SMALL},
    "ports": [{"name": "http", "protocol": "tcp", "ports": [8080], "from": "pods", "workloads": ["app"]}],
}


def edges(more: Any = (), places: Any = None, mesh: Any = (), dns: Any = (), **components: Any) -> Any:
    """The edges of some components; what is None is not enabled."""
    declared = {name: data and declarations.parse(name, data) for name, data in components.items()}
    return edges_of(declared, ["shop", "bank"], Surroundings(ADDRESSES, places or {}, dns, mesh), more)


def pods(title: str, namespace: str = "") -> Pods:
    component, name = title.split("/")
    return Pods(
        f"{component}-{name}",
        namespace or component,
        f'{{"matchLabels": {{"{declarations.WORKLOAD_LABEL}": "{component}-{name}"}}}}',
    )


def test_what_a_role_asks_goes_to_the_workload_that_declares_the_port():
    found = edges(shop=shop(edges=[{"to": "bank", "port": 8080, "from": ["web"], "why": "-"}]), bank=BANK)
    assert found == [Edge(pods("shop/web"), pods("bank/app"), port_of(8080))]


def test_without_names_all_workloads_ask():
    found = edges(shop=shop(edges=[{"to": "bank/app", "port": 8080, "why": "-"}]), bank=BANK)
    assert {edge.source.name for edge in found} == {"shop-web", "shop-db"}


def test_what_a_component_that_is_not_enabled_would_ask_or_answer_is_left_out():
    assert edges(shop=shop(edges=[{"to": "bank", "port": 8080, "why": "-"}]), bank=None) == []


def test_what_has_no_members_has_no_edges():
    none = {**SMALL, "replicas": 0}
    share = {**SMALL, "requests": {"storage": "1Gi", "pods": 0}}
    asks = shop(workloads={"web": none, "db": share}, edges=[{"to": "bank", "port": 8080, "why": "-"}])
    assert edges(shop=asks, bank=BANK) == []


def test_a_port_names_who_may_come():
    listens = [
        {
            "name": "sql",
            "protocol": "tcp",
            "ports": [1, "5-9"],
            "from": ["shop/web", "192.0.2.0/24"],
            "workloads": ["db"],
        }
    ]
    assert edges(shop=shop(ports=listens)) == sorted(
        (
            Edge(source, pods("shop/db"), port_of(number))
            for source in (pods("shop/web"), Networks(("192.0.2.0/24",)))
            for number in (1, "5-9")
        ),
        key=lambda edge: (isinstance(edge.source, Pods), edge.port.first),
    )


def test_nodes_come_from_their_addresses_and_from_tunnels():
    webhook = [{"name": "webhook", "protocol": "tcp", "ports": [9443], "from": "control_plane", "workloads": ["web"]}]
    overlay = {"networks": {"tunnels": ["10.245.0.0/24"]}}
    found = edges(shop=shop(ports=webhook), calico=overlay)
    assert found == [Edge(Networks((*NODES, "10.245.0.0/24")), pods("shop/web"), port_of(9443))]
    assert edges(shop=shop(ports=webhook))[0].source == Networks(NODES)


def test_servers_and_pods_in_the_network_of_their_node_are_asked_at_its_address():
    api = {
        "group": "control_plane",
        "workloads": {
            "server": {"requests": {"cpu": "1"}},
            "agent": {**SMALL, "host_network": True, "runs": "pods", "nodes": "worker"},
        },
        "ports": [
            {"name": "api", "protocol": "tcp", "ports": [6443], "from": "pods", "workloads": ["server"]},
            {"name": "agent", "protocol": "tcp", "ports": [9100], "from": "shop/web", "workloads": ["agent"]},
        ],
    }
    found = edges(shop=shop(edges=[{"to": "api", "port": 6443, "from": ["db"], "why": "-"}]), api=api)
    assert set(found) == {
        Edge(pods("shop/db"), Networks(NODES), port_of(6443)),
        Edge(pods("shop/web"), Networks(("10.20.1.21/32",)), port_of(9100)),
    }


def test_prometheus_reads_metrics_and_those_of_a_sidecar_in_one():
    prometheus = {"namespace": "bank", "workloads": {"prometheus": SMALL}}
    metered = shop(
        metrics=[{"name": "db", "port": 9187, "path": "/metrics"}, {"name": "all", "port": 8080, "path": "/"}]
    )
    numbers = {(edge.target.name, edge.port.first) for edge in edges(prometheus=prometheus, shop=metered)}
    assert numbers == {("shop-db", 9187), ("shop-db", 8080), ("shop-web", 8080)}
    merged = {(edge.target.name, edge.port.first) for edge in edges(prometheus=prometheus, shop=metered, mesh=["shop"])}
    assert merged == {("shop-db", 15020), ("shop-web", 15020)}


def test_every_pod_asks_for_names_and_in_the_mesh_for_certificates():
    shared = {
        "kubernetes": {"namespace": "kube-system", "workloads": {"coredns": SMALL}},
        "istio": {"namespace": "istio-system", "workloads": {"istiod": SMALL}},
    }
    found = edges(shop=shop(), mesh=["bank"], dns=["169.254.20.10"], **shared)
    names = [edge for edge in found if edge.port.first == 53]
    assert {(edge.source.namespace, edge.source.selector) for edge in names} == {("shop", "{}"), ("bank", "{}")}
    assert {edge.port.protocol for edge in names} == {"TCP", "UDP"}
    assert {edge.target for edge in names} == {
        pods("kubernetes/coredns", "kube-system"),
        Networks(("169.254.20.10/32",)),
    }
    assert [(edge.source.namespace, edge.port.first) for edge in found if edge not in names] == [("bank", 15012)]


def test_outside_is_everything_but_the_cluster():
    world = {"networks": {"pods": ["10.244.0.0/16"], "services": ["10.96.0.0/16"]}}
    asks = shop(edges=[{"to": "registry", "port": 443, "from": ["web"], "why": "-"}])
    (edge,) = edges(shop=asks, network=world, places={"registry": "outside"})
    assert edge.target.cidrs == ("0.0.0.0/0",)
    assert edge.target.excepts == ("10.20.1.11/32", "10.20.1.21/32", "10.20.2.11/32", "10.96.0.0/16", "10.244.0.0/16")


def test_a_place_may_stand_for_several_things_and_instead_of_a_component():
    asks = shop(edges=[{"to": "bank", "port": 443, "from": ["web"], "why": "-"}])
    places = {
        "bank": [
            "shop/db",
            "192.0.2.0/25",
            "192.0.2.128/25",
            {"networks": ["198.51.100.0/24"], "except": ["198.51.100.1/32"]},
        ]
    }
    assert {edge.target for edge in edges(shop=asks, bank=BANK, places=places)} == {
        pods("shop/db"),
        Networks(("192.0.2.0/24",)),
        Networks(("198.51.100.0/24",), ("198.51.100.1/32",)),
    }


def test_an_edge_may_be_added_that_no_role_declares():
    added = [{"from": {"namespace": "tools", "labels": {"app": "batch"}}, "to": "bank/app", "port": 8080, "why": "-"}]
    assert edges(added, shop=shop(), bank=BANK) == [
        Edge(Pods("batch", "tools", '{"matchLabels": {"app": "batch"}}'), pods("bank/app"), port_of(8080))
    ]


def test_edges_between_others_are_left_out():
    """Neither end is guarded: the firewalls of servers, and the policies of other namespaces."""
    cron = {
        "group": "worker",
        "workloads": {"cron": {"requests": {"cpu": "1"}}},
        "edges": [{"to": ["ntp.example"], "port": 123, "why": "-"}],
    }
    assert (
        edges(
            cron=cron, other={**shop(), "namespace": "elsewhere", "edges": [{"to": "nowhere", "port": 1, "why": "-"}]}
        )
        == []
    )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"to": "bank", "port": 9999},
            "bank listens on no port 9999 (tcp): declare it in roles/bank/meta/platform.yml",
        ),
        ({"to": "bank/job", "port": 8080}, "bank/job listens on no port 8080"),
        ({"to": "bank", "port": 8080, "protocol": "udp"}, "bank listens on no port 8080 (udp)"),
        (
            {"to": "banc", "port": 8080},
            "'banc' is neither a component nor a place: did you mean 'bank'? What is outside",
        ),
        ({"to": "bank", "port": 8080, "from": ["wep"]}, "shop has no workload 'wep': did you mean 'web'?"),
        ({"to": "bank", "port": "many"}, "many (tcp) is no port: write such as 5432"),
        ({"to": "bank", "port": 70000}, "70000 (tcp) is no port"),
        ({"to": ["ntp.example"], "port": 123}, "ntp.example"),
    ],
)
def test_an_edge_that_leads_nowhere_is_an_error(asked, message):
    with pytest.raises(PolicyError) as error:
        edges(shop=shop(edges=[{"why": "-", **asked}]), bank=BANK)
    assert message in str(error.value)
    assert str(error.value).startswith("shop: edge to ")


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"from": "shop", "to": "bank", "port": 8080}, "edges[0]: why is missing: write {from, to, port, why}"),
        ({"from": "shop", "to": "bank", "prot": 1, "port": 8080, "why": "-"}, "edges[0]: unknown key 'prot'"),
        (
            {"from": {"labels": {}}, "to": "bank", "port": 8080, "why": "-"},
            "are written {namespace, labels, service_account}",
        ),
        (
            {"from": {"namespace": "a", "labels": {"x": 1}}, "to": "bank", "port": 8080, "why": "-"},
            "a text is wanted, not 1",
        ),
    ],
)
def test_an_added_edge_that_cannot_be_read_is_an_error(added, message):
    with pytest.raises(PolicyError) as error:
        edges([added], shop=shop(), bank=BANK)
    assert message in str(error.value)


def test_pods_without_a_namespace_are_an_error():
    declared = declarations.parse("shop", {"workloads": {"web": SMALL}})
    assert declared
    with pytest.raises(PolicyError, match="shop/web: its namespace is not declared: name it in roles/shop/meta"):
        pods_of(declared.workloads[0])


def test_a_network_that_is_none_is_an_error():
    with pytest.raises(PolicyError, match=r"net: networks\.tunnels: '10\.0\.0\.0/33' does not appear to be"):
        edges(net={"networks": {"tunnels": ["10.0.0.0/33"]}})


def test_a_place_that_is_nothing_is_an_error():
    with pytest.raises(PolicyError, match="'nothing' is neither 'outside' nor a component nor a network"):
        edges(shop=shop(edges=[{"to": "x", "port": 1, "why": "-"}]), places={"x": ["nothing"]})


def test_the_filter_names_itself():
    with pytest.raises(
        AnsibleError, match=r"banking\.platform\.network_policies: shop: edge to bank: bank listens on no"
    ):
        network_policies(
            {"shop": shop(edges=[{"to": "bank", "port": 1, "why": "-"}]), "bank": BANK}, ["shop"], ADDRESSES
        )


def test_the_lookup_gives_the_declarations_as_preflight_sees_them():
    role = rendered("development")
    found = role.value("{{ lookup('banking.platform.declarations', 'keycloak', 'kafka', 'etcd') }}")
    assert set(found) == {"keycloak", "kafka", "etcd"}
    assert found["keycloak"]["workloads"]["keycloak"]["replicas"] == 1  # what the inventory says
    assert found["kafka"] is None  # not part of it
    assert found["etcd"]["group"] == "etcd"


def test_the_lookup_names_what_it_does_not_have():
    with pytest.raises(AnsibleError, match="the role kafke declares nothing: did you mean 'kafka'"):
        rendered("development").value("{{ lookup('banking.platform.declarations', 'kafke') }}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"namespace": "Shop"}, "namespace: 'Shop' is no name: lower case"),
        ({"networks": {"pod": []}}, "unknown key 'pod': did you mean 'pods'?"),
        ({"workloads": {"web": {**SMALL, "selector": {"labels": {}}}}}, "web.selector: unknown key 'labels'"),
        (
            {"workloads": {"web": {**SMALL, "selector": {"matchLabels": {"a": True}}}}},
            "matchLabels.a: a text is wanted, not True",
        ),
        (
            {"workloads": {"web": {**SMALL, "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}},
            "matchExpressions[0]: In takes values",
        ),
        (
            {"workloads": {"web": {**SMALL, "selector": {"matchExpressions": [{"key": "a", "operator": "Exist"}]}}}},
            "'Exist' is not known: did you mean 'Exists'?",
        ),
        (
            {"workloads": {"web": {"runs": "server", "requests": {"cpu": 1}, "namespace": "shop"}}},
            "web: namespace belongs to pods, here it runs as server",
        ),
    ],
)
def test_a_declaration_that_policies_cannot_use_is_an_error(data, message):
    with pytest.raises(declarations.DeclarationError) as error:
        declarations.parse("shop", data)
    assert message in str(error.value)
