# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator says what the documentation of Kubernetes says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Host, Pod, Simulator, selects

NAMESPACES = {name: {"kubernetes.io/metadata.name": name, "tier": name[0]} for name in ("a", "b")}
WEB = Pod("a", {"app": "web"}, "10.244.1.1", "10.20.1.1", {"http": ("TCP", 8080)})
DB = Pod("a", {"app": "db"}, "10.244.1.2", "10.20.1.2", {"sql": ("TCP", 5432)})
OTHER = Pod("b", {"app": "web"}, "10.244.2.1", "10.20.1.2")
WORLD = Host("192.0.2.7")


def cluster(*specs: dict[str, Any]) -> Simulator:
    """A cluster with policies in the namespace `a`."""
    return Simulator(
        [{"metadata": {"namespace": "a", "name": str(n)}, "spec": s} for n, s in enumerate(specs)], NAMESPACES
    )


def ingress(*rules: dict[str, Any], selector: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"podSelector": selector or {}, "policyTypes": ["Ingress"], "ingress": list(rules)}


def egress(*rules: dict[str, Any], selector: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"podSelector": selector or {}, "policyTypes": ["Egress"], "egress": list(rules)}


def test_without_policies_everything_passes():
    assert cluster().passes(OTHER, DB, 5432)
    assert cluster().passes(WORLD, DB, 1, "UDP")


def test_a_selected_pod_is_isolated_in_the_directions_of_the_policy():
    closed = cluster(ingress())
    assert not closed.passes(OTHER, DB, 5432)
    assert closed.passes(DB, OTHER, 80)
    both = cluster({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    assert not both.passes(DB, OTHER, 80)
    assert both.passes(OTHER, Pod("b", {}, "10.244.2.9"), 80)  # the policy is about its own namespace


def test_pods_that_are_not_selected_stay_open():
    closed = cluster(ingress(selector={"matchLabels": {"app": "db"}}))
    assert not closed.passes(WEB, DB, 5432)
    assert closed.passes(DB, WEB, 8080)


@pytest.mark.parametrize(
    ("spec", "sends", "receives"),
    [
        ({"podSelector": {}}, True, False),
        ({"podSelector": {}, "egress": [{"ports": [{"port": 1}]}]}, False, False),
        ({"podSelector": {}, "policyTypes": ["Egress"]}, False, True),
    ],
)
def test_types_default_to_ingress_and_to_egress_where_there_are_rules(spec, sends, receives):
    assert cluster(spec).passes(DB, OTHER, 80) is sends
    assert cluster(spec).passes(OTHER, DB, 80) is receives


def test_policies_add_up_and_both_ends_must_allow():
    to_db = ingress({"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]})
    from_web = egress({"to": [{"podSelector": {"matchLabels": {"app": "db"}}}], "ports": [{"port": 5432}]})
    assert not cluster(ingress(), egress(), to_db).passes(WEB, DB, 5432)
    assert not cluster(ingress(), egress(), from_web).passes(WEB, DB, 5432)
    open_edge = cluster(ingress(), egress(), to_db, from_web)
    assert open_edge.passes(WEB, DB, 5432)
    assert not open_edge.passes(WEB, DB, 5433)
    assert not open_edge.passes(DB, WEB, 5432)
    assert not open_edge.passes(WEB, DB, 5432, "UDP")


def test_a_pod_selector_alone_means_the_own_namespace():
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}
    assert cluster(ingress(rule)).passes(WEB, DB, 1)
    assert not cluster(ingress(rule)).passes(OTHER, DB, 1)


def test_two_selectors_in_one_peer_are_and_in_two_peers_or():
    namespace = {"namespaceSelector": {"matchLabels": {"tier": "b"}}}
    pods = {"podSelector": {"matchLabels": {"app": "db"}}}
    stranger = Pod("b", {"app": "db"}, "10.244.2.2")
    assert cluster(ingress({"from": [{**namespace, **pods}]})).passes(stranger, DB, 1)
    assert not cluster(ingress({"from": [{**namespace, **pods}]})).passes(OTHER, DB, 1)
    assert cluster(ingress({"from": [namespace, pods]})).passes(OTHER, DB, 1)
    assert not cluster(ingress({"from": [namespace]})).passes(WORLD, DB, 1)


@pytest.mark.parametrize("peers", [None, []])
def test_no_peers_and_no_ports_are_everybody_and_everything(peers):
    assert cluster(ingress({"from": peers, "ports": peers})).passes(WORLD, DB, 1, "SCTP")


def test_an_ip_block_leaves_out_its_exceptions():
    rule = {"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.0/29"]}}]}
    assert not cluster(ingress(rule)).passes(WORLD, DB, 1)
    assert cluster(ingress(rule)).passes(Host("192.0.2.8"), DB, 1)
    assert not cluster(ingress(rule)).passes(Host("198.51.100.1"), DB, 1)


@pytest.mark.parametrize(("port", "passes"), [(999, False), (1000, True), (1500, True), (2000, True), (2001, False)])
def test_a_range_of_ports_includes_its_ends(port, passes):
    assert cluster(ingress({"ports": [{"port": 1000, "endPort": 2000}]})).passes(WORLD, DB, port) is passes


def test_a_named_port_is_that_of_the_target():
    assert cluster(ingress({"ports": [{"port": "sql"}]})).passes(WORLD, DB, 5432)
    assert not cluster(ingress({"ports": [{"port": "sql"}]})).passes(WORLD, WEB, 5432)
    assert cluster(egress({"ports": [{"port": "http"}]})).passes(DB, WEB, 8080)
    assert not cluster(egress({"ports": [{"port": "http"}]})).passes(DB, OTHER, 8080)


def test_a_port_without_a_number_is_all_of_its_protocol():
    assert cluster(ingress({"ports": [{"protocol": "UDP"}]})).passes(WORLD, DB, 7, "UDP")
    assert not cluster(ingress({"ports": [{"protocol": "UDP"}]})).passes(WORLD, DB, 7)


def test_a_pod_and_its_own_node_are_always_let_pass():
    """Probes come from there."""
    closed = cluster({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    assert closed.passes(Host(DB.node), DB, 8080)
    assert closed.passes(DB, Host(DB.node), 10250)
    assert not closed.passes(Host(WEB.node), DB, 8080)
    assert closed.passes(DB, DB, 1)


@pytest.mark.parametrize(
    ("expression", "web", "bare"),
    [
        ({"key": "app", "operator": "In", "values": ["web", "x"]}, True, False),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False, True),
        ({"key": "app", "operator": "Exists"}, True, False),
        ({"key": "app", "operator": "DoesNotExist"}, False, True),
    ],
)
def test_expressions(expression, web, bare):
    assert selects({"matchExpressions": [expression]}, WEB.labels) is web
    assert selects({"matchExpressions": [expression]}, {}) is bare


def test_all_parts_of_a_selector_must_hold():
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}
    assert selects(selector, {"app": "web"})
    assert not selects(selector, {"app": "web", "old": ""})
    assert selects({}, {})
