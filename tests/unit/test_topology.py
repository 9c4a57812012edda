# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones, nodes and groups of an inventory: what is found wrong, and the order in which zones are worked on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.filter.topology import FilterModule
from ansible_collections.banking.platform.plugins.module_utils.declarations import Resources, Workload
from ansible_collections.banking.platform.plugins.module_utils.topology import (
    ROLES_OF_NODES,
    Finding,
    Node,
    NodeClass,
    Placement,
    TopologyError,
    anti_affinity,
    check_topology,
    node_classes,
    one_per_zone,
    place,
    quorum_size,
    read_inventory,
    spread_constraints,
    survives_zone_loss,
    zone_batches,
    zone_members,
    zone_of,
    zone_of_host,
    zone_order,
)

ZONES = ("zone-a", "zone-b", "zone-c")


def nodes(*changes: tuple[int, dict[str, Any]]) -> list[Node]:
    """Three nodes, one a zone, with some of their fields changed."""
    fields: list[dict[str, Any]] = [
        {"name": f"n{letter}", "zone": f"zone-{letter}", "address": f"10.0.0.{number}", "zone_group": f"zone_{letter}"}
        for number, letter in enumerate("abc", 1)
    ]
    for index, change in changes:
        fields[index].update(change)
    return [Node(**field) for field in fields]


def groups(**changes: list[str]) -> dict[str, list[str]]:
    return {**{role: ["na"] for role in ROLES_OF_NODES}, **changes}


def findings(*changes: tuple[int, dict[str, Any]], zones: Sequence[str] = ZONES, **members: list[str]) -> list[str]:
    found = check_topology(nodes(*changes), zones, groups(**members), "lab")
    assert all(finding.severity == "error" for finding in found)
    return [str(finding) for finding in found]


class TestFindings:
    def test_of_a_good_inventory_are_none(self) -> None:
        assert findings() == []

    def test_name_a_host_that_nothing_would_prepare(self) -> None:
        (found,) = findings(worker=["na", "nz"])
        assert found.startswith("nz: platform_groups.worker: the host is not among the nodes")

    def test_name_a_host_in_two_zones(self) -> None:
        zone = zone_of("na", {"zone_a": ["na"], "zone_b": ["na"], "node": ["na"]})
        assert "but the host is in zone_a, zone_b" in findings((0, {"zone_group": zone}))[0]

    @pytest.mark.parametrize("zone", [None, ""])
    def test_name_a_host_without_a_zone(self, zone: str | None) -> None:
        found = findings((1, {"zone": zone}))
        assert found[0] == "nb: platform_zone: the host has no zone - next: set it to one of zone-a, zone-b, zone-c"

    def test_name_a_host_in_an_unknown_zone_and_the_zone_that_is_empty_now(self) -> None:
        assert findings((1, {"zone": "zone-x"})) == [
            (
                "nb: platform_zone: 'zone-x' is not among platform_zones"
                " - next: set it to one of zone-a, zone-b, zone-c, or add it there"
            ),
            "lab: platform_zones: zone-b has no node - next: add a node there, or take the zone out",
        ]

    def test_name_a_host_outside_its_zones_group(self) -> None:
        assert findings((0, {"zone_group": "zone_b"})) == [
            (
                "na: platform_zone: it is 'zone-a', but the host is in zone_b"
                " - next: put it into the group zone_a: work goes zone by zone along these groups"
            )
        ]
        assert "no group of a zone" in findings((0, {"zone_group": ""}))[0]

    def test_accept_zones_of_any_name(self) -> None:
        found = findings(
            (0, {"zone": "frankfurt-1", "zone_group": "zone_frankfurt_1"}), zones=["frankfurt-1", *ZONES[1:]]
        )
        assert found == []

    def test_name_an_inventory_without_zones(self) -> None:
        assert findings(zones=[])[0].startswith("lab: platform_zones: no zone is declared")

    @pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1 "[:-1]])
    def test_name_duplicate_addresses_once_with_both_hosts(self, address: str) -> None:
        assert findings((2, {"address": address})) == [
            "nc: platform_address: 10.0.0.1 is also the address of na - next: give one of them its own address"
        ]

    def test_know_two_spellings_of_an_address(self) -> None:
        found = findings((0, {"address": "fd00::1"}), (1, {"address": "FD00:0:0::0001"}))
        assert found == [
            "nb: platform_address: fd00::1 is also the address of na - next: give one of them its own address"
        ]

    @pytest.mark.parametrize("address", ["worker-b2.bank.internal", "10.0.0", "10.0.0.300", "10.0.0.1/24"])
    def test_name_what_is_no_address(self, address: str) -> None:
        assert findings((1, {"address": address})) == [
            (
                f"nb: platform_address: {address!r} is not an IP address"
                " - next: give the node's own address; names are resolved before the platform's DNS exists"
            )
        ]

    @pytest.mark.parametrize("address", [None, ""])
    def test_name_a_host_without_an_address(self, address: str | None) -> None:
        assert findings((1, {"address": address})) == [
            "nb: platform_address: the host has no address - next: set ansible_host or platform_address"
        ]

    @pytest.mark.parametrize("role", ROLES_OF_NODES)
    def test_name_each_role_of_nodes_without_members(self, role: str) -> None:
        assert findings(**{role: []}) == [
            (
                f"lab: platform_groups.{role}: the inventory has no such nodes"
                f" - next: put hosts into the group that platform_groups.{role} names"
            )
        ]

    def test_of_an_empty_inventory_name_every_zone_and_role(self) -> None:
        found = check_topology([], ZONES, {}, "lab")
        assert len(found) == len(ZONES) + len(ROLES_OF_NODES)

    def test_read_as_subject_variable_cause_and_next_step(self) -> None:
        assert str(Finding("error", "a", "b", "c", "d")) == "a: b: c - next: d"


class TestReadingAnInventory:
    def test_takes_every_host_of_every_role_once(self) -> None:
        hostvars = {name: {"platform_zone": "zone-a", "platform_address": "10.0.0.1"} for name in ("cp", "w")}
        members = {"zone_a": ["cp", "w"], "masters": ["cp"], "worker": ["w"], "node": ["cp", "w"]}
        found, by_role = read_inventory(hostvars, members, {"control_plane": "masters"})
        assert [node.name for node in found] == ["cp", "w"]
        assert found[0] == Node("cp", "zone-a", "10.0.0.1", "zone_a")
        assert by_role["control_plane"] == ["cp"]
        assert by_role["etcd"] == []

    def test_leaves_out_hosts_that_are_no_nodes(self) -> None:
        found, _by_role = read_inventory({}, {"all": ["bastion"], "bastions": ["bastion"]}, {})
        assert found == []

    def test_of_a_host_without_variables_finds_nothing_about_it(self) -> None:
        found, _by_role = read_inventory({"n": {}}, {"node": ["n"]}, {})
        assert found == [Node("n", None, None, "")]


class TestBatches:
    GROUPS = {"zone_a": ["a1", "a2"], "zone_b": ["b1"], "zone_c": ["c1", "c2", "c3"], "node": ["a1", "b1"]}

    def test_go_zone_by_zone(self) -> None:
        assert zone_batches(["a1", "a2", "b1", "c1", "c2", "c3"], self.GROUPS) == [2, 1, 3]

    def test_of_no_hosts_are_none(self) -> None:
        assert zone_batches([], self.GROUPS) == []

    def test_never_join_zones_that_are_not_side_by_side(self) -> None:
        assert zone_batches(["a1", "b1", "a2"], self.GROUPS) == [1, 1, 1]

    def test_of_hosts_in_no_zone_stay_together(self) -> None:
        assert zone_batches(["x", "y", "a1"], self.GROUPS) == [2, 1]

    def test_are_a_filter(self) -> None:
        assert FilterModule().filters()["zone_batches"](["a1", "b1"], self.GROUPS) == [1, 1]

    def test_know_the_group_of_a_host(self) -> None:
        assert zone_of("b1", self.GROUPS) == "zone_b"
        assert zone_of("x", self.GROUPS) == ""

    @given(st.lists(st.sampled_from(["a1", "a2", "b1", "c1", "c2", "c3", "x"]), unique=True))
    def test_cover_every_host_and_hold_one_zone_each(self, hosts: list[str]) -> None:
        batches = zone_batches(hosts, self.GROUPS)
        assert sum(batches) == len(hosts)
        assert all(batches)
        start = 0
        for length in batches:
            assert len({zone_of(host, self.GROUPS) for host in hosts[start : start + length]}) == 1
            start += length


class TestSizesOfZones:
    """Two nodes in zone-a, more in zone-b, of the memory that is given."""

    def warnings(self, count: int, memory: int | None = None) -> list[str]:
        sizes = [Resources(memory=memory * 1024**3) if memory else None for _number in range(2 + count)]
        servers = [
            Node(f"n{number}", "zone-a" if number < 2 else "zone-b", f"10.0.0.{number}", "zone_a", size)
            for number, size in enumerate(sizes)
        ]
        found = check_topology(servers, ["zone-a", "zone-b"], groups(node=[]), "lab")
        return [finding.cause for finding in found if finding.severity == "warning"]

    def test_may_differ_twofold(self) -> None:
        assert self.warnings(4) == []

    def test_that_differ_more_are_worth_a_warning(self) -> None:
        (cause,) = self.warnings(5)
        assert cause.startswith(
            "zone-b has 5 node(s), zone-a has 2 node(s): pods that are spread evenly fill the small"
        )

    def test_are_measured_by_memory_where_every_node_says_it(self) -> None:
        (cause,) = self.warnings(5, 32)
        assert cause.startswith("zone-b has 160Gi of memory, zone-a has 64Gi of memory")


HOSTVARS = {name: {"platform_zone": f"zone-{name[0]}"} for name in ("a2", "a1", "b1", "c1", "c2")}


class TestQuestionsOfRoles:
    def test_members_by_zone_keep_their_order(self) -> None:
        assert zone_members(["c1", "a2", "a1"], HOSTVARS) == {"zone-a": ["a2", "a1"], "zone-c": ["c1"]}

    def test_members_by_zone_name_empty_zones_and_follow_the_order_of_zones(self) -> None:
        members = zone_members(["a1", "c1"], HOSTVARS, ["zone-c", "zone-b", "zone-a"])
        assert list(members.items()) == [("zone-c", ["c1"]), ("zone-b", []), ("zone-a", ["a1"])]

    def test_rolling_work_goes_zone_by_zone(self) -> None:
        assert zone_order(["c2", "a1", "b1", "c1", "a2"], HOSTVARS) == ["a1", "a2", "b1", "c2", "c1"]

    @given(st.permutations(list(HOSTVARS)))
    def test_one_of_each_zone_is_always_the_same(self, hosts: list[str]) -> None:
        assert one_per_zone(hosts, HOSTVARS) == ["a1", "b1", "c1"]

    def test_the_rack_of_a_host_is_its_zone(self) -> None:
        assert zone_of_host("b1", HOSTVARS) == "zone-b"

    def test_a_host_that_is_not_there_is_named_with_the_nearest(self) -> None:
        with pytest.raises(TopologyError, match="b11 is not in the inventory: did you mean 'b1'"):
            zone_of_host("b11", HOSTVARS)

    def test_a_host_without_a_zone_is_named(self) -> None:
        with pytest.raises(TopologyError, match="x has no zone: set platform_zone of it"):
            zone_members(["x"], {"x": {}})

    def test_a_host_in_a_zone_that_is_not_declared_is_named(self) -> None:
        with pytest.raises(TopologyError, match="c1 is in 'zone-c', which is not among platform_zones"):
            zone_members(["c1"], HOSTVARS, ["zone-a"])

    @pytest.mark.parametrize(
        ("zones", "at_least", "members"),
        [(1, 1, 1), (1, 2, 3), (3, 1, 3), (4, 1, 3), (5, 1, 5), (3, 4, 5), (3, 5, 5), (6, 1, 5)],
    )
    def test_a_quorum_is_odd_and_spread(self, zones: int, at_least: int, members: int) -> None:
        assert quorum_size([f"zone-{number}" for number in range(zones)], at_least) == members

    def test_two_zones_are_refused_with_the_reason(self) -> None:
        with pytest.raises(TopologyError, match="whichever holds the majority takes it down with it"):
            quorum_size(["zone-a", "zone-b"])

    def test_no_zones_are_refused(self) -> None:
        with pytest.raises(TopologyError, match="no zone is declared"):
            quorum_size([])

    @pytest.mark.parametrize(
        ("hosts", "survives"),
        [(["a1", "b1", "c1"], True), (["a1", "a2", "b1"], False), (["a1", "a2", "b1", "c1", "c2"], True), ([], False)],
    )
    def test_a_majority_survives_or_not(self, hosts: list[str], survives: bool) -> None:
        assert survives_zone_loss(hosts, HOSTVARS) is survives

    @given(st.integers(1, 9).filter(lambda count: count != 2), st.integers(1, 9))
    def test_a_quorum_of_that_size_spread_over_the_zones_survives_the_loss_of_one(
        self, zones: int, at_least: int
    ) -> None:
        names = [f"zone-{number}" for number in range(zones)]
        size = quorum_size(names, at_least)
        hosts = {f"n{number}": {"platform_zone": names[number % zones]} for number in range(size)}
        assert survives_zone_loss(hosts, hosts) is (zones > 1)


class TestPods:
    LABELS = {"app": "gateway"}

    def test_are_spread_over_zones(self) -> None:
        assert spread_constraints(self.LABELS) == [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "gateway"}},
            }
        ]

    def test_are_kept_on_different_nodes(self) -> None:
        (term,) = anti_affinity(self.LABELS)["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term == {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "gateway"}}}

    def test_that_are_not_spread_get_nothing(self) -> None:
        assert spread_constraints(self.LABELS, ["node"]) == []
        assert anti_affinity(self.LABELS, ["zone"]) == {}

    @pytest.mark.parametrize("function", [spread_constraints, anti_affinity])
    def test_cannot_be_spread_over_anything_else(self, function: Any) -> None:
        with pytest.raises(TopologyError, match="cannot be spread over 'zones': did you mean 'zone'"):
            function(self.LABELS, ["zones"])


# One worker in zone a, two in b, three in c; the first of b and c is a server of `cp`, too.
CLASSES = (
    NodeClass("a", frozenset({"worker"}), ("a1",)),
    NodeClass("b", frozenset({"worker", "cp"}), ("b1",)),
    NodeClass("b", frozenset({"worker"}), ("b2",)),
    NodeClass("c", frozenset({"worker", "cp"}), ("c1",)),
    NodeClass("c", frozenset({"worker"}), ("c2", "c3")),
)


def placed(replicas: int, *spread: str) -> Placement:
    return place(Workload("x", "x", "pods", "worker", replicas, spread), CLASSES)


class TestPlacing:
    def test_a_server_is_one_on_each_host_of_its_role(self) -> None:
        found = place(Workload("x", "x", "server", "cp"), CLASSES)
        assert (found.wanted, found.placed, found.most, found.least) == (2, 2, {"b": 1, "c": 1}, {"b": 1, "c": 1})

    def test_a_daemon_is_one_on_each_node(self) -> None:
        found = place(Workload("x", "x", "daemon", "worker"), CLASSES)
        assert (found.placed, found.most, found.most_on_node) == (6, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 1, "c": 1})

    def test_pods_without_spread_may_all_be_on_one_node(self) -> None:
        found = placed(3)
        assert found.most == found.most_on_node == {"a": 3, "b": 3, "c": 3}
        assert found.least == {"a": 0, "b": 0, "c": 0}
        assert (found.fewest_zones(), found.fewest_hosts) == (1, 1)

    def test_pods_that_are_spread_over_zones_differ_by_one(self) -> None:
        found = placed(4, "zone")
        assert found.most == found.most_on_node == {"a": 2, "b": 2, "c": 2}
        assert found.least == {"a": 1, "b": 1, "c": 1}
        assert sum(found.worst.values()) == 4

    def test_pods_that_are_spread_over_nodes_fill_the_zone_that_has_room(self) -> None:
        found = placed(4, "node")
        assert found.most == {"a": 1, "b": 2, "c": 3}
        assert found.least == {"a": 0, "b": 0, "c": 1}
        assert found.most_on_node == {"a": 1, "b": 1, "c": 1}
        assert (found.fewest_zones(), found.fewest_zones("a"), found.fewest_hosts) == (2, 2, 4)

    def test_the_smallest_zone_limits_pods_that_are_spread_over_both(self) -> None:
        found = placed(6, "zone", "node")
        assert (found.wanted, found.placed) == (6, 5)
        assert found.most == found.least == {"a": 1, "b": 2, "c": 2}

    def test_more_pods_than_nodes_are_reported(self) -> None:
        found = placed(9, "node")
        assert (found.wanted, found.placed) == (9, 6)

    def test_a_role_without_nodes_places_nothing(self) -> None:
        found = place(Workload("x", "x", "pods", "gpu", 2), CLASSES)
        assert (found.wanted, found.placed, found.hosts) == (2, 0, {})

    def test_nodes_are_grouped_by_zone_and_roles_and_those_without_a_zone_left_out(self) -> None:
        servers = [Node("a1", "a", None), Node("a2", "a", None), Node("b1", "b", None), Node("x", None, None)]
        assert node_classes(servers, {"worker": ["a1", "a2", "b1", "x"], "cp": ["b1"]}) == (
            NodeClass("a", frozenset({"worker"}), ("a1", "a2")),
            NodeClass("b", frozenset({"worker", "cp"}), ("b1",)),
        )

    @given(st.integers(0, 12), st.lists(st.sampled_from(["zone", "node"]), unique=True))
    def test_one_placement_is_within_the_bounds(self, replicas: int, spread: list[str]) -> None:
        found = placed(replicas, *spread)
        assert sum(found.worst.values()) == found.placed <= replicas
        assert all(found.least[zone] <= count <= found.most[zone] for zone, count in found.worst.items())
