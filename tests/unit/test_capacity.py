# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on the nodes: what is placed really fits and breaks no rule, and what is said not to fit does not."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.capacity import (
    EVICTION_MEMORY,
    RESOURCES,
    Capacity,
    allocatable,
    findings,
    prove,
)
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Resources, Workload
from ansible_collections.banking.platform.plugins.module_utils.topology import Node

GI = 1024**3
ZONES = ("zone-a", "zone-b", "zone-c")


def size(cpu: int = 8000, memory: int = 32, disk: int = 1000, pods: int = 110) -> Resources:
    """A node's, with memory and disk in GiB."""
    return Resources(cpu=cpu, memory=memory * GI, disk=disk * GI, pods=pods)


def requests(cpu: int = 100, memory: int = 1, disk: int = 0, storage: int = 0) -> Resources:
    """A pod's, with sizes in GiB."""
    return Resources(cpu=cpu, memory=memory * GI, disk=disk * GI, storage=storage * GI, pods=1)


def workers(*sizes: Resources | None) -> list[Node]:
    """Nodes that go round the three zones."""
    return [Node(f"w{n}", ZONES[n % 3], None, "", given_size) for n, given_size in enumerate(sizes)]


def pods(name: str = "x", replicas: int = 3, **fields: Any) -> Workload:
    """A workload of pods on workers."""
    return Workload(
        **{"component": "c", "name": name, "runs": "pods", "nodes": "worker", "replicas": replicas, **fields}
    )


def proof(
    workloads: list[Workload], nodes: list[Node], budget: dict[str, Any] | None = None, **fields: Any
) -> Capacity:
    """All nodes are workers."""
    groups = {"worker": [node.name for node in nodes], "node": [node.name for node in nodes]}
    return prove([Declaration("c", workloads=tuple(workloads), **fields)], nodes, ZONES, groups, budget or {})


def causes(capacity: Capacity, survives: str = "zone", severity: str = "error") -> list[str]:
    """What is found, of one severity."""
    return [found.cause for found in findings(capacity, survives, "prod") if found.severity == severity]


def test_what_fits_is_found_without_a_word() -> None:
    capacity = proof(
        [pods(requests=requests(storage=10))], workers(*[size()] * 6), {"cpu": 96}, provides={"storage": 30 * GI}
    )
    assert [case.lost for case in capacity.cases] == [None, *ZONES]
    assert all(case.fits for case in capacity.cases)
    assert findings(capacity, "zone", "prod") == []
    assert capacity.recommended is None


def test_a_pod_that_fits_on_no_node_is_named_with_the_resource_and_the_largest_node() -> None:
    capacity = proof([pods(requests=requests(memory=40))], workers(size(), size(memory=36), size()))
    assert causes(capacity)[0].startswith(
        "3 of its members find no room: a member asks for 40Gi of memory, the largest node w1 has 35.9Gi"
    )


def test_pods_are_packed_whole_and_not_only_summed() -> None:
    """Three times 20 GiB are 60 of 63.8: by sums it fits on two nodes, by pods it does not."""
    capacity = proof([pods(requests=requests(memory=20))], workers(size(), size()))
    assert capacity.cases[0].unplaced[0].count == 1
    assert "however they are placed" in causes(capacity, "nothing")[0]


def test_a_lost_zone_is_an_error_only_where_it_must_be_survived() -> None:
    capacity = proof([pods(replicas=6, requests=requests(memory=15))], workers(size(), size(), size()))
    assert [case.fits for case in capacity.cases] == [True, False, False, False]
    assert len(causes(capacity, "zone")) == 3
    assert "with zone-a gone" in causes(capacity, "zone")[0]
    assert causes(capacity, "node") == []


def test_pods_that_are_spread_over_zones_wait_for_their_zone() -> None:
    big = requests(memory=15)
    capacity = proof([pods(replicas=6, spread=("zone",), requests=big)], workers(size(), size(), size()))
    assert all(case.fits for case in capacity.cases)
    assert sum(capacity.cases[1].placed["c/x"].values()) == 4


def test_a_pod_of_two_moves_to_the_third_zone() -> None:
    capacity = proof([pods(replicas=2, spread=("zone",), requests=requests())], workers(size(), size(), size()))
    assert [sum(case.placed["c/x"].values()) for case in capacity.cases] == [2, 2, 2, 2]


def test_a_pod_with_its_data_on_a_node_waits_for_the_node() -> None:
    capacity = proof([pods(replicas=3, requests=requests(memory=20, disk=5))], workers(size(), size(), size()))
    assert [sum(case.placed["c/x"].values()) for case in capacity.cases] == [3, 2, 2, 2]
    assert all(case.fits for case in capacity.cases)


def test_more_pods_than_nodes_that_may_not_share_one_are_named() -> None:
    capacity = proof([pods(replicas=4, spread=("node",), requests=requests())], workers(size(), size(), size()))
    assert causes(capacity) == ["1 of its members find no room: 4 pods may not share a node, and there are 3"]


def test_servers_and_daemons_take_their_part_of_each_host() -> None:
    fixed = [
        Workload("c", "kubelet", "server", "worker", requests=Resources(cpu=1000, memory=GI)),
        Workload("c", "agent", "daemon", "node", requests=requests(cpu=500)),
    ]
    capacity = proof([*fixed, pods(replicas=1, requests=requests(cpu=7000))], workers(size(), size(), size()))
    assert [item.workload for item in capacity.cases[0].unplaced] == ["c/x"]
    assert proof([*fixed, pods(replicas=1, requests=requests(cpu=6500))], workers(size(), size(), size())).cases[0].fits
    assert capacity.cases[0].requested["zone-a"] == (1500, 2 * GI, 0, 1)


def test_a_server_too_large_for_its_host_names_the_host() -> None:
    vault = Workload("c", "vault", "server", "worker", requests=Resources(cpu=5000, memory=GI))
    capacity = proof([vault], workers(size(), size(cpu=4000), size()))
    assert causes(capacity, "nothing") == [
        "1 of its members find no room: the hosts have too little beside what else runs on each: w1"
    ]


def test_a_host_without_a_size_is_named_and_nothing_else_about_room() -> None:
    capacity = proof([pods(requests=requests())], workers(size(), None, size()))
    found = findings(capacity, "zone", "prod")
    assert [(item.subject, item.variable) for item in found] == [("w1", "platform_node_size")]


def test_replicated_storage_is_held_against_what_is_provided() -> None:
    workload = pods(requests=requests(storage=10))
    nodes = workers(size(), size(), size())
    assert causes(proof([workload], nodes, provides={"storage": 29 * GI})) == [
        "30Gi of replicated storage are asked for, 29Gi are provided"
    ]
    assert causes(proof([workload], nodes, provides={"storage": 30 * GI})) == []


def test_the_budget_counts_disks_and_storage_without_a_provider() -> None:
    workload = pods(requests=requests(cpu=1000, disk=10, storage=20))
    nodes = workers(size(), size(), size())
    outside = proof([workload], nodes, {"cpu": "2.5", "memory": "3Gi", "storage": "89Gi"})
    assert outside.budget == {"cpu": (2500, 3000), "memory": (3 * GI, 3 * GI), "storage": (89 * GI, 90 * GI)}
    inside = proof([workload], nodes, {"storage": "30Gi"}, provides={"storage": 60 * GI})
    assert inside.budget == {"storage": (30 * GI, 30 * GI)}
    assert "3 are asked for, the environment's budget is 2.5" in causes(outside)
    assert causes(inside) == []


def test_a_budget_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"platform_budget\.memory: '32 Gigs'"):
        proof([], workers(size()), {"memory": "32 Gigs"})


def test_what_scales_needs_its_fewest_and_says_how_far_it_comes() -> None:
    scaled = pods(replicas=9, requests=requests(memory=10), hpa={"min": 2, "max": 20})
    capacity = proof([scaled], workers(size(), size(), size()))
    assert sum(capacity.cases[0].placed["c/x"].values()) == 2
    assert causes(capacity, severity="info") == [
        "c/x reaches 9 of 20 replicas",
        "c/x reaches 6 of 20 replicas with zone-a gone",
    ]
    enough = pods(requests=requests(memory=1), hpa={"min": 2, "max": 20})
    assert causes(proof([enough], workers(size(), size(), size())), severity="info") == []


def test_the_recommended_size_fits_and_a_step_less_does_not() -> None:
    workload = pods(replicas=12, requests=requests(cpu=2000, memory=10))
    recommended = proof([workload], workers(*[size(cpu=4000)] * 3)).recommended
    assert recommended is not None
    assert all(case.fits for case in proof([workload], workers(*[recommended] * 3)).cases)
    assert (recommended.cpu, recommended.memory) == (12000, 64 * GI)
    smaller = Resources(recommended.cpu, 48 * GI, recommended.disk, 0, 110)
    assert not all(case.fits for case in proof([workload], workers(*[smaller] * 3)).cases)


def test_no_size_is_recommended_where_none_is_sold() -> None:
    assert proof([pods(requests=requests(memory=2000))], workers(*[size()] * 3)).recommended is None


def test_a_zone_alone_is_not_lost() -> None:
    nodes = [Node("w0", "zone-a", None, "", size())]
    assert [case.lost for case in proof([pods(requests=requests())], nodes).cases] == [None]


def test_as_dict_has_the_shape_of_the_record() -> None:
    shown = proof(
        [pods(replicas=1, requests=requests(memory=50))], workers(size(), size(), size()), {"cpu": 96}
    ).as_dict()
    assert set(shown) == {"cases", "storage", "budget", "recommended"}
    first = shown["cases"][0]
    assert (first["lost"], first["fits"], first["unplaced"][0]["count"]) == (None, False, 1)
    assert first["zones"]["zone-a"]["memory"] == {"available": 32 * GI - EVICTION_MEMORY, "requested": 0}
    assert shown["recommended"]["memory"] == 64 * GI


def test_many_pods_that_do_not_fit_are_said_to_be_placed_by_first_fit_only() -> None:
    capacity = proof([pods(replicas=12, requests=requests(memory=20))], workers(*[size()] * 3))
    (cause,) = causes(capacity, "nothing")
    assert cause.startswith("c/x (9) find no room: what the others leave free")
    assert cause.endswith("(not placed by first-fit)")


def test_what_is_crowded_out_is_one_finding() -> None:
    crowd = [pods(f"x{number}", 2, requests=requests(memory=20)) for number in range(8)]
    found = causes(proof(crowd, workers(*[size()] * 3)), "nothing")
    assert len(found) == 1
    assert "and 2 more workloads find no room" in found[0]


# --- Properties -------------------------------------------------------------------------------------------------------
SIZES = st.builds(size, st.sampled_from([2000, 4000]), st.sampled_from([4, 8]), st.sampled_from([10, 20]), st.just(6))
REQUESTS = st.builds(requests, st.sampled_from([0, 700, 1500]), st.sampled_from([1, 2, 3]), st.sampled_from([0, 0, 6]))
SPREADS = st.sampled_from([(), ("zone",), ("node",), ("zone", "node")])


def _workloads(most: int, replicas: int) -> st.SearchStrategy[list[Workload]]:
    one = st.tuples(st.integers(0, replicas), SPREADS, REQUESTS)
    return st.lists(one, min_size=1, max_size=most).map(
        lambda items: [
            pods(f"x{number}", count, spread=spread, requests=asked)
            for number, (count, spread, asked) in enumerate(items)
        ]
    )


def _vector(resources: Resources) -> tuple[int, ...]:
    return tuple(getattr(resources, name) for name in RESOURCES)


def _allowed(workload: Workload, placed: Counter[str], zone_of: dict[str, str], zones: set[str]) -> bool:
    if "node" in workload.spread and max(placed.values(), default=0) > 1:
        return False
    if "zone" in workload.spread:
        by_zone = Counter(dict.fromkeys(zones, 0))
        for name, count in placed.items():
            by_zone[zone_of[name]] += count
        return max(by_zone.values()) - min(by_zone.values()) <= 1
    return True


def _fits(nodes: list[Node], placed: dict[str, Counter[str]], by_title: dict[str, Workload]) -> bool:
    for node in nodes:
        assert node.size is not None
        free = allocatable(node.size)
        for index, have in enumerate(free):
            used = sum(_vector(by_title[title].requests)[index] * counts[node.name] for title, counts in placed.items())
            if used > have:
                return False
    return True


@settings(max_examples=200, deadline=None)
@given(_workloads(6, 7), st.lists(SIZES, min_size=1, max_size=7))
# A node that has just been given a pod looks like a smaller one that has not.
@example(
    [pods("x0", 1, requests=requests(1500, 3)), pods("x1", 5, spread=("node",), requests=requests(1500, 3))],
    [size(4000, 8, 10, 6), *[size(2000, 4, 10, 6)] * 5, size(4000, 8, 10, 6)],
)
def test_what_is_placed_fits_and_breaks_no_rule(workloads: list[Workload], sizes: list[Resources]) -> None:
    nodes = workers(*sizes)
    zone_of = {node.name: str(node.zone) for node in nodes}
    capacity = proof(workloads, nodes)
    by_title = {workload.title: workload for workload in workloads}
    for case in capacity.cases:
        left = [node for node in nodes if node.zone != case.lost]
        names = {node.name for node in left}
        assert _fits(left, case.placed, by_title)
        for title, placed in case.placed.items():
            assert set(+placed) <= names
            assert _allowed(by_title[title], placed, zone_of, {zone_of[name] for name in names})
        for index in range(len(RESOURCES)):
            assert sum(amounts[index] for amounts in case.requested.values()) == sum(
                _vector(by_title[title].requests)[index] * sum(placed.values()) for title, placed in case.placed.items()
            )
    whole = capacity.cases[0]
    missing = {item.workload: item.count for item in whole.unplaced}
    for workload in workloads:
        assert sum(whole.placed[workload.title].values()) + missing.get(workload.title, 0) == workload.replicas


def _brute_force(workloads: list[Workload], nodes: list[Node]) -> bool:
    """Whether any of all ways to lay pods on nodes is allowed."""
    zone_of = {node.name: str(node.zone) for node in nodes}
    by_title = {workload.title: workload for workload in workloads}
    ways = []
    for workload in workloads:
        all_ways = itertools.combinations_with_replacement([node.name for node in nodes], workload.replicas or 0)
        counters = (Counter(way) for way in all_ways)
        ways.append([way for way in counters if _allowed(workload, way, zone_of, set(zone_of.values()))])
    return any(_fits(nodes, dict(zip(by_title, way, strict=True)), by_title) for way in itertools.product(*ways))


@settings(max_examples=200, deadline=None)
@given(_workloads(3, 3), st.lists(SIZES, min_size=1, max_size=4))
def test_few_pods_fit_exactly_when_some_way_to_place_them_exists(
    workloads: list[Workload], sizes: list[Resources]
) -> None:
    nodes = workers(*sizes)
    assert proof(workloads, nodes).cases[0].fits == _brute_force(workloads, nodes)


@settings(max_examples=100, deadline=None)
@given(_workloads(5, 6), st.lists(SIZES, min_size=1, max_size=6))
def test_the_same_platform_is_placed_the_same_way(workloads: list[Workload], sizes: list[Resources]) -> None:
    first, second = (proof(workloads, workers(*sizes)) for attempt in range(2))
    assert [case.placed for case in first.cases] == [case.placed for case in second.cases]


@pytest.mark.parametrize("memory", [32, 4], ids=["fits", "does-not-fit"])
def test_a_thousand_nodes_and_two_hundred_components_are_placed(memory: int) -> None:
    nodes = workers(*[size(memory=memory)] * 1000)
    declarations = [
        Declaration(
            f"c{number}",
            workloads=tuple(
                pods(
                    f"x{part}",
                    3,
                    component=f"c{number}",
                    spread=spread,
                    requests=requests(100 + number, 1 + number % 4),
                )
                for part, spread in enumerate([(), ("zone",), ("zone", "node")])
            ),
        )
        for number in range(200)
    ]
    groups = {"worker": [node.name for node in nodes]}
    capacity = prove(declarations, nodes, ZONES, groups, {})
    assert capacity.cases[0].fits == (memory == 32)
