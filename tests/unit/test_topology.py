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
from ansible_collections.banking.platform.plugins.module_utils.topology import (
    ROLES_OF_NODES,
    Finding,
    Node,
    check_topology,
    read_inventory,
    zone_batches,
    zone_of,
)

ZONES = ("zone-a", "zone-b", "zone-c")


def nodes(*changes: tuple[int, dict[str, Any]]) -> list[Node]:
    """Three nodes, one a zone, with some of their fields changed."""
    fields = [
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
