# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of any edges let exactly these edges pass."""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.network_policies import (
    Edge,
    Networks,
    Pods,
    PolicyError,
    Port,
    every_pod,
    policies,
)
from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Host, Pod, Simulator, selects

GUARDED, OPEN = ("a", "b"), ("c",)
KINDS = ("one", "two")
NAMESPACES = {name: {"kubernetes.io/metadata.name": name} for name in (*GUARDED, *OPEN)}
# A pod of each kind in each namespace, two of one kind, one that nobody names, and one that is of both kinds.
LABELS = [
    *({"kind": kind} for kind in KINDS),
    {"kind": "one", "copy": "2"},
    {"kind": "none"},
    {"kind": "two", "also": "yes"},
]
PODS = [
    Pod(namespace, labels, f"10.244.{row}.{column + 1}", "10.20.9.9")
    for row, namespace in enumerate(NAMESPACES)
    for column, labels in enumerate(LABELS)
]
HOSTS = [Host("10.20.1.11"), Host("10.20.1.12"), Host("192.0.2.1"), Host("192.0.2.200"), Host("2001:db8::1")]
EVERYBODY: list[Pod | Host] = [*PODS, *HOSTS]
NETWORKS = [
    Networks(("10.20.1.11/32",)),
    Networks(("10.20.1.0/24", "2001:db8::/64")),
    Networks(("0.0.0.0/0",), ("10.244.0.0/16", "192.0.2.128/25")),
    # A network that holds pods: policies see addresses.
    Networks(("10.244.1.0/30",)),
    Networks(()),
]
SELECTORS = [
    *({"matchLabels": {"kind": kind}} for kind in KINDS),
    {"matchExpressions": [{"key": "also", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "kind", "operator": "NotIn", "values": ["none"]}]},
]
ENDS = [
    *(every_pod(namespace) for namespace in NAMESPACES),
    *(
        Pods(f"kind-{number}", namespace, json.dumps(selector, sort_keys=True))
        for namespace in NAMESPACES
        for number, selector in enumerate(SELECTORS)
    ),
]
PORTS = [Port("TCP", 80, 80), Port("TCP", 90, 99), Port("UDP", 80, 80)]
ASKED = [("TCP", 80), ("TCP", 89), ("TCP", 90), ("TCP", 95), ("TCP", 99), ("TCP", 100), ("UDP", 80), ("UDP", 95)]

ends = st.sampled_from([*ENDS, *NETWORKS])
edges = st.lists(st.builds(Edge, ends, ends, st.sampled_from(PORTS)), max_size=8)


@functools.cache
def covers(end: Pods | Networks, thing: Pod | Host) -> bool:
    """Whether an end of an edge is this pod or host."""
    if isinstance(end, Pods):
        return isinstance(thing, Pod) and thing.namespace == end.namespace and selects(end.label_selector, thing.labels)
    address = ipaddress.ip_address(thing.ip)
    return any(address in ipaddress.ip_network(net) for net in end.cidrs) and not any(
        address in ipaddress.ip_network(net) for net in end.excepts
    )


def wanted(allowed: Sequence[Edge], source: Pod | Host, target: Pod | Host, protocol: str, port: int) -> bool:
    """What the edges say, without any policy: each end that is guarded is named as pods by an edge to the other end.

    So a network opens the pods of an edge to what lies in it, and never the pods that lie in it.
    """
    if source == target:
        return True
    found = [
        edge
        for edge in allowed
        if edge.port.protocol == protocol
        and edge.port.first <= port <= edge.port.last
        and covers(edge.source, source)
        and covers(edge.target, target)
    ]
    return all(
        any(isinstance(getattr(edge, side), Pods) for edge in found)
        for side, end in (("source", source), ("target", target))
        if isinstance(end, Pod) and end.namespace in GUARDED
    )


def differences(allowed: Sequence[Edge], made: Sequence[Edge]) -> list[str]:
    """Where policies of some edges let pass something else than other edges say."""
    simulator = Simulator(policies(made, GUARDED), NAMESPACES)
    return [
        f"{source} -> {target} {protocol} {port}"
        for source, target in itertools.product(EVERYBODY, repeat=2)
        for protocol, port in ASKED
        if simulator.passes(source, target, port, protocol) != wanted(allowed, source, target, protocol, port)
    ]


@given(edges)
@settings(max_examples=60, deadline=None)
def test_exactly_the_edges_pass(allowed):
    assert not differences(allowed, allowed)


@given(edges, st.builds(Edge, st.sampled_from(ENDS[:5]), st.sampled_from(ENDS), st.sampled_from(PORTS)))
@settings(max_examples=25, deadline=None)
def test_an_edge_more_or_less_is_seen(others, edge):
    """The test above can fail: one edge that nothing else allows is missed, and is seen when nobody asked for it."""
    concerned = any(end.namespace in GUARDED for end in (edge.source, edge.target))
    rest = [other for other in others if other != edge]
    alone = concerned and any(
        wanted([edge], source, target, protocol, port) and not wanted(rest, source, target, protocol, port)
        for source, target in itertools.product(PODS, repeat=2)
        for protocol, port in ASKED
    )
    assert bool(differences([*rest, edge], rest)) is alone
    assert bool(differences(rest, [*rest, edge])) is alone


@given(edges, st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_edges_does_not_matter(allowed, random):
    shuffled = [*allowed, *allowed[:2]]
    random.shuffle(shuffled)
    assert json.dumps(policies(shuffled, GUARDED)) == json.dumps(policies(allowed, reversed(GUARDED)))


@given(edges)
@settings(max_examples=30, deadline=None)
def test_no_rule_is_open_by_accident(allowed):
    """An empty list of peers or ports means everybody or everything."""
    for policy in policies(allowed, GUARDED):
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, []):
                assert rule[peers]
                assert rule["ports"]


def test_every_guarded_namespace_denies_everything_first():
    made = policies([], GUARDED)
    assert [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in made] == [
        ("a", "default-deny"),
        ("b", "default-deny"),
    ]
    assert made[0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_peers_with_the_same_ports_share_a_rule():
    one, two, target = ENDS[3], ENDS[4], ENDS[7]
    port = Port("TCP", 80, 80)
    made = {
        item["metadata"]["name"]: item for item in policies([Edge(one, target, port), Edge(two, target, port)], ["b"])
    }
    rules = made[target.name]["spec"]["ingress"]
    assert len(rules) == 1
    assert len(rules[0]["from"]) == 2
    assert rules[0]["ports"] == [{"protocol": "TCP", "port": 80}]


def test_two_kinds_of_pods_with_one_name_are_refused():
    clash = Pods("kind-0", "a", '{"matchLabels": {"kind": "other"}}')
    with pytest.raises(PolicyError, match="a: two kinds of pods are called 'kind-0': rename one of them"):
        policies([Edge(clash, clash, PORTS[0]), Edge(ENDS[3], ENDS[3], PORTS[0])], GUARDED)
