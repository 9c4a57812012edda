# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs of quorums, against a model that places members in every way the rules allow, removes some, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, combinations_with_replacement, permutations, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils import quorum
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Quorum, Workload, parse
from ansible_collections.banking.platform.plugins.module_utils.topology import Node, NodeClass, node_classes

PROD = Path(__file__).parents[2] / "inventories" / "prod" / "hosts.yml"

# The model. A member is the name of the node that it is on; a placement is a tuple of members.


class Model:
    """A quorum, and nodes with their zone."""

    def __init__(self, case: quorum.Case) -> None:
        self.quorum = case.quorum
        self.zone = {name: item.zone for item in case.classes for name in item.names}
        self.roles = {name: item.roles for item in case.classes for name in item.names}
        self.workloads = [case.workloads[name] for name in quorum.members_of(case.quorum)]
        self.zones = case.zones

    def placements(self, workload: Workload) -> list[tuple[str, ...]]:
        """Every way to place as many members as can be placed."""
        nodes = [name for name in self.zone if workload.nodes in self.roles[name]]
        if workload.runs != "pods":
            return [tuple(nodes)]
        for count in range(workload.replicas or 0, 0, -1):
            found = [
                members
                for members in combinations_with_replacement(nodes, count)
                if self.is_allowed(workload, nodes, members)
            ]
            if found:
                return found
        return [()]

    def is_allowed(self, workload: Workload, nodes: list[str], members: tuple[str, ...]) -> bool:
        if "node" in workload.spread and len(set(members)) < len(members):
            return False
        counts = Counter(self.zone[name] for name in members)
        domains = {self.zone[name] for name in nodes}
        uneven = max(counts[zone] for zone in domains) - min(counts[zone] for zone in domains)
        return "zone" not in workload.spread or uneven <= 1

    def arrangements(self) -> Iterator[Any]:
        """Every placement of all members together with every way in which data may be on them."""
        rule = self.quorum
        for members in product(*(self.placements(workload) for workload in self.workloads)):
            together = [name for some in members for name in some]
            if rule.kind == "in_sync_replicas":
                racks = {self.zone[name] for name in together}
                span = min(len(racks), rule.copies) if rule.spread == "zone" else 0
                spanning = [c for c in combinations(together, rule.copies) if len({self.zone[n] for n in c}) >= span]
                yield from spanning if spanning else [None]
            elif rule.kind == "pool_min_size":
                domain = self.zone if rule.spread == "zone" else {name: name for name in self.zone}
                apart = [c for c in combinations(together, rule.copies) if len({domain[n] for n in c}) == rule.copies]
                yield from apart if apart else [None]
            elif rule.kind == "synchronous_standby":
                for primary in range(len(together)):
                    standbys = together[:primary] + together[primary + 1 :]
                    for having in combinations(standbys, rule.synchronous):
                        yield together, (together[primary], *having)
            elif rule.kind == "sharded_primaries":
                yield from self.shards(*members)
            else:
                yield together

    def shards(self, primaries: tuple[str, ...], replicas: tuple[str, ...]) -> Iterator[list[list[str]]]:
        """Every pairing of replicas with primaries, as even as can be, that keeps them apart."""
        place = self.zone if self.quorum.apart == "zone" else {name: name for name in self.zone}
        for order in set(permutations(replicas)):
            shards = [[primary, *order[index :: len(primaries)]] for index, primary in enumerate(primaries)]
            if all(place[shard[0]] != place[replica] for shard in shards for replica in shard[1:]):
                yield shards

    def is_enough(self, arrangement: Any, lost: set[str]) -> bool:
        rule, wanted = self.quorum, sum(self.wanted(workload) for workload in self.workloads)
        if arrangement is None:
            return False
        if rule.kind == "majority":
            return sum(name not in lost for name in arrangement) > wanted / 2
        if rule.kind == "at_least_one":
            return any(name not in lost for name in arrangement)
        if rule.kind in ("in_sync_replicas", "pool_min_size"):
            return sum(name not in lost for name in arrangement) >= max(1, rule.minimum)
        if rule.kind == "synchronous_standby":
            instances, having = arrangement
            left = [name for name in instances if name not in lost]
            return any(name not in lost for name in having) and len(left) - 1 >= rule.synchronous
        kept = all(any(name not in lost for name in shard) for shard in arrangement)
        voting = sum(shard[0] not in lost for shard in arrangement)
        return kept and voting > self.wanted(self.workloads[0]) / 2

    def wanted(self, workload: Workload) -> int:
        hosts = sum(workload.nodes in roles for roles in self.roles.values())
        return (workload.replicas or 0) if workload.runs == "pods" else hosts

    def survivals(self) -> dict[tuple[str, str], bool]:
        """Whether each zone and each node may be lost, whatever the arrangement."""
        losses = {("zone", zone): {name for name in self.zone if self.zone[name] == zone} for zone in self.zones}
        losses.update({("node", name): {name} for name in self.zone})
        arrangements = list(self.arrangements())
        return {
            loss: bool(arrangements) and all(self.is_enough(arrangement, gone) for arrangement in arrangements)
            for loss, gone in losses.items()
        }


def survivals(proof: quorum.Proof) -> dict[tuple[str, str], bool]:
    """The same as the model says it, from a proof."""
    return {(loss.scope, name): loss.survives for loss in proof.losses for name in loss.lost.split(", ")}


# Cases

SPREAD = st.sampled_from([(), ("zone",), ("node",), ("zone", "node")])


@st.composite
def topologies(draw: st.DrawFn, most: int = 2) -> tuple[tuple[NodeClass, ...], tuple[str, ...]]:
    """Up to three zones of different sizes; the first node of some zones is a server of the group `cp`, too."""
    classes = []
    zones = draw(st.integers(1, 3))
    for letter in "abc"[:zones]:
        names = tuple(f"{letter}{number}" for number in range(draw(st.integers(1, most))))
        servers = draw(st.integers(0, len(names)))
        classes += [
            NodeClass(letter, frozenset({"worker", "cp"}), names[:servers]),
            NodeClass(letter, frozenset({"worker"}), names[servers:]),
        ]
    return tuple(item for item in classes if item.names), tuple("abc"[:zones])


def pods(name: str = "m", most: int = 4) -> st.SearchStrategy[Workload]:
    return st.builds(
        lambda replicas, spread: Workload("c", name, "pods", "worker", replicas, spread), st.integers(1, most), SPREAD
    )


SERVER = st.sampled_from([Workload("c", "m", "server", "cp"), Workload("c", "m", "daemon", "worker")])
MEMBERS = pods() | SERVER


def rule(kind: str, **values: Any) -> Quorum:
    return Quorum("c", "q", kind, **{"members": ("m",), **values})


RULES = {
    "majority": st.just(rule("majority")),
    "at_least_one": st.just(rule("at_least_one")),
    **{
        kind: st.builds(
            lambda kind, copies, minimum, spread: rule(kind, copies=copies, minimum=minimum, spread=spread),
            st.just(kind),
            st.integers(1, 4),
            st.integers(0, 3),
            st.sampled_from(["zone", "node"]),
        )
        for kind in ("in_sync_replicas", "pool_min_size")
    },
    "synchronous_standby": st.integers(0, 3).map(lambda number: rule("synchronous_standby", synchronous=number)),
}


@st.composite
def cases(draw: st.DrawFn, kind: str) -> quorum.Case:
    classes, zones = draw(topologies())
    member = draw(MEMBERS)
    return quorum.Case(draw(RULES[kind]), {"m": member}, classes, zones)


@st.composite
def sharded(draw: st.DrawFn) -> quorum.Case:
    """Primaries and replicas with their own numbers and spread, on the same nodes."""
    classes, zones = draw(topologies())
    declared = rule(
        "sharded_primaries", members=(), primaries="p", replicas="r", apart=draw(st.sampled_from(["zone", "node"]))
    )
    primaries, replicas = draw(pods("p", 3)), draw(pods("r", 4))
    return quorum.Case(declared, {"p": primaries, "r": replicas}, classes, zones)


@st.composite
def mixed(draw: st.DrawFn) -> quorum.Case:
    """Two workloads whose members count together, on nodes of different roles."""
    classes, zones = draw(topologies())
    workloads = {"m": draw(pods("m", 3)), "n": replace(draw(MEMBERS), name="n", nodes="cp")}
    declared = rule(draw(st.sampled_from(["majority", "at_least_one"])), members=("m", "n"))
    return quorum.Case(declared, workloads, classes, zones)


def check_rows(case: quorum.Case) -> None:
    """Row by row: a loss is survived exactly when it is in every arrangement."""
    proof = quorum.prove_case(case)
    model, proved = Model(case).survivals(), survivals(proof)
    assert {loss: model[loss] for loss in proved} == proved
    # A node without a row cannot hold a member; losing it changes nothing.
    assert {scope for scope, _name in model.keys() - proved.keys()} <= {"node"}
    assert proof.survives == all(model.values())


class TestAgainstTheModel:
    @pytest.mark.parametrize("kind", sorted(RULES))
    def test_every_loss_is_survived_exactly_when_it_is_in_every_arrangement(self, kind: str) -> None:
        @settings(max_examples=200, deadline=None)
        @given(cases(kind))
        def check(case: quorum.Case) -> None:
            check_rows(case)

        check()

    @settings(max_examples=200, deadline=None)
    @given(mixed())
    def test_members_of_two_workloads(self, case: quorum.Case) -> None:
        check_rows(case)

    @settings(max_examples=200, deadline=None)
    @given(sharded())
    def test_sharded_primaries_survive_all_losses_exactly_when_the_model_does(self, case: quorum.Case) -> None:
        """A row alone may be stricter than the model, since primaries and replicas limit each other's places."""
        proof = quorum.prove_case(case)
        model, proved = Model(case).survivals(), survivals(proof)
        assert proof.survives == all(model.values())
        assert all(model[loss] for loss, survived in proved.items() if survived)

    @settings(max_examples=100, deadline=None)
    @given(st.one_of(*(cases(kind) for kind in RULES)), st.sampled_from(["zone", "node"]))
    def test_the_change_that_is_proposed_mends_the_quorum_in_the_model_too(self, case: quorum.Case, must: str) -> None:
        proof = quorum.prove_case(case)
        if proof.failures(must):
            changes = quorum.mend(proof, must)
            if changes is None:  # nothing small helps: zones are missing, and much besides
                assert len(case.zones) < 3
                return
            mended = quorum.apply(case, changes)
            if sum(workload.replicas or 0 for workload in mended.workloads.values()) <= 5:
                left = Model(mended).survivals()
                assert all(left[loss] for loss in left if must == "zone" or loss[0] == "node")
            assert [change.text(case) for change in changes]

    @settings(max_examples=40, deadline=None)
    @given(sharded(), st.sampled_from(["zone", "node"]))
    def test_a_change_of_shards_mends_them(self, case: quorum.Case, must: str) -> None:
        proof = quorum.prove_case(case)
        if proof.failures(must):
            changes = quorum.mend(proof, must)
            if changes:
                after = quorum.prove_case(quorum.apply(case, changes))
                assert not after.failures(must)
                assert not after.impossible

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, 4), min_size=3, max_size=4).filter(any))
    def test_servers_of_a_majority_are_moved_and_added_as_seldom_as_possible(self, counts: list[int]) -> None:
        zones = tuple("abcd"[: len(counts)])
        classes = tuple(
            NodeClass(zone, frozenset({"cp"}), tuple(f"{zone}{number}" for number in range(count)))
            for zone, count in zip(zones, counts, strict=True)
        )
        case = quorum.Case(rule("majority"), {"m": Workload("c", "m", "server", "cp")}, classes, zones)
        proof = quorum.prove_case(case)
        if proof.survives:
            return
        changes = quorum.mend(proof, "zone")
        assert changes

        def is_enough(members: tuple[int, ...]) -> bool:
            return all(sum(members) - lost > sum(members) / 2 for lost in [*members, 1])

        fewest = min(
            sum(max(0, new - old) for new, old in zip(members, counts, strict=True))
            for members in product(range(7), repeat=len(counts))
            if sum(members) >= sum(counts) and is_enough(members)
        )
        assert len(changes) == fewest


# Declarations as roles write them

REQUESTS = {"requests": {"cpu": "100m", "memory": "128Mi"}}
ZONES = ("zone-a", "zone-b", "zone-c")


def declare(component: str, members: dict[str, Any], *quorums: dict[str, Any], **more: Any) -> Declaration:
    workloads = {name: {**REQUESTS, **workload} for name, workload in members.items()}
    declaration = parse(component, {"workloads": workloads, "quorum": list(quorums), **more})
    assert declaration
    return declaration


ETCD = declare("etcd", {"etcd": {}}, {"name": "raft", "kind": "majority", "members": ["etcd"]}, group="etcd")


def production(**moved: str) -> tuple[list[Node], dict[str, list[str]]]:
    """The servers of inventories/prod, some of them moved to another zone (`cp_b1="zone_a"`)."""
    children = yaml.safe_load(PROD.read_text())["all"]["children"]
    nodes = []
    for group, content in children["node"]["children"].items():
        for host, variables in content["hosts"].items():
            place = moved.get(host.replace("-", "_"), group)
            nodes.append(Node(host, place.replace("_", "-"), variables["ansible_host"], place))
    groups = {"node": [node.name for node in nodes]}
    groups.update({role: list(children[role]["hosts"]) for role in ("control_plane", "worker")})
    return nodes, {**groups, "etcd": groups["control_plane"]}


def found(
    declarations: list[Declaration],
    servers: tuple[list[Node], dict[str, list[str]]] | None = None,
    survives: str = "zone",
    zones: tuple[str, ...] = ZONES,
) -> list[str]:
    nodes, groups = servers or production()
    nodes = [node for node in nodes if node.zone in zones]
    proofs = quorum.prove(declarations, nodes, zones, groups)
    findings = quorum.findings(proofs, declarations, zones, "prod", survives)
    assert all(finding.rule == "quorum" for finding in findings)
    return [f"{finding.severity}: {finding}" for finding in findings]


class TestProduction:
    def test_survives_with_its_control_plane_nodes_as_they_are(self) -> None:
        assert found([ETCD]) == []

    def test_is_refused_with_the_arithmetic_when_one_is_moved(self) -> None:
        (finding,) = found([ETCD], production(cp_b1="zone_a"))
        assert finding == (
            "error: etcd: quorum raft (majority): 3 members, 2 in zone-a: losing zone-a leaves 1 of 3, majority is 2"
            " - next: move 1 member of etcd from zone-a (cp-b1) to zone-b"
        )

    def test_makes_the_rows_of_the_record(self) -> None:
        nodes, groups = production(cp_b1="zone_a")
        (proof,) = quorum.prove([ETCD], nodes, ZONES, groups)
        row = proof.as_dict("zone")
        losses = row.pop("losses")
        assert row == {
            "component": "etcd",
            "name": "raft",
            "kind": "majority",
            "members": {"zone-a": 2, "zone-b": 0, "zone-c": 1},
            "survives": False,
            "claimed": True,
        }
        assert losses[0] == {
            "scope": "zone",
            "lost": "zone-a",
            "survives": False,
            "arithmetic": "3 members, 2 in zone-a: losing zone-a leaves 1 of 3, majority is 2",
        }
        assert [(loss["scope"], loss["lost"], loss["survives"]) for loss in losses[1:]] == [
            ("zone", "zone-b", True),
            ("zone", "zone-c", True),
            ("node", "cp-a1, cp-b1", True),
            ("node", "cp-c1", True),
        ]


KAFKA = {"broker": {"replicas": 3, "spread": ["zone", "node"]}}


def topics(copies: int, minimum: int, spread: str = "zone") -> dict[str, Any]:
    keys = {"copies": copies, "minimum": minimum, "spread": spread}
    return {"name": "topics", "kind": "in_sync_replicas", "members": ["broker"], **keys}


class TestFindings:
    @pytest.mark.parametrize(
        ("declaration", "cause", "step"),
        [
            (
                declare("kafka", KAFKA, topics(2, 2)),
                "2 copies of each, 1 in zone-a: losing zone-a leaves 1, 2 must be in sync",
                "raise copies of kafka/topics from 2 to 3",
            ),
            (
                declare("kafka", KAFKA, topics(3, 3)),
                "3 copies of each, 1 in zone-a: losing zone-a leaves 2, 3 must be in sync",
                "lower minimum of kafka/topics from 3 to 2",
            ),
            (
                declare("kafka", {"broker": {"replicas": 6, "spread": ["zone", "node"]}}, topics(3, 2, "node")),
                "3 copies of each, 2 in zone-a: losing zone-a leaves 1, 2 must be in sync",
                "set spread: zone for kafka/topics",
            ),
            (
                declare("kafka", {"broker": {"replicas": 3, "spread": ["node"]}}, topics(3, 2)),
                "3 copies of each, at most 2 in zone-a: losing zone-a leaves 1, 2 must be in sync",
                "set spread of kafka/broker to [node, zone]",
            ),
            (
                declare("kafka", KAFKA, topics(4, 2)),
                "4 copies do not fit on 3 members",
                "raise replicas of kafka/broker from 3 to 4",
            ),
            (
                declare("kafka", KAFKA, topics(2, 3)),
                "3 copies are needed for writing, and there are 2",
                "raise copies of kafka/topics from 2 to 3 and lower minimum of kafka/topics from 3 to 2",
            ),
            (
                declare("x", {"x": {"replicas": 1}}, {"kind": "at_least_one", "members": ["x"]}),
                "1 member, at most 1 in zone-a: losing zone-a leaves 0, 1 is needed",
                "set spread of x to [zone] and raise replicas of x from 1 to 2",
            ),
            (
                declare("x", {"x": {"replicas": 0}}, {"kind": "at_least_one", "members": ["x"]}),
                "there are no members: replicas is 0",
                "set spread of x to [zone] and raise replicas of x from 0 to 2",
            ),
            (
                declare(
                    "pg",
                    {"instance": {"replicas": 3, "spread": ["zone", "node"]}},
                    {"name": "data", "kind": "synchronous_standby", "members": ["instance"], "synchronous": 2},
                ),
                "losing zone-a leaves 2; a commit is on 3, so on 2 of these at least, and writing needs 3",
                "lower synchronous of pg/data from 2 to 1",
            ),
            (
                declare(
                    "pg",
                    {"instance": {"replicas": 3, "spread": ["zone", "node"]}},
                    {"name": "data", "kind": "synchronous_standby", "members": ["instance"], "synchronous": 0},
                ),
                "losing zone-a leaves 2; a commit is on 1 when it is acknowledged: all of them may be lost",
                "raise synchronous of pg/data from 0 to 1",
            ),
            (
                declare(
                    "pg",
                    {"instance": {"replicas": 2, "spread": ["zone", "node"]}},
                    {"name": "data", "kind": "synchronous_standby", "members": ["instance"], "synchronous": 2},
                ),
                "a commit waits for 2 standbys, and 2 instances have 1",
                "raise replicas of pg/instance from 2 to 3 and lower synchronous of pg/data from 2 to 1",
            ),
            (
                declare(
                    "redis",
                    {name: {"replicas": 3, "spread": ["zone", "node"]} for name in ("leader", "follower")},
                    {"kind": "sharded_primaries", "primaries": "leader", "replicas": "follower"},
                ),
                "leaves 2 of 3, majority is 2; a shard may have all of its 2 members in zone-a",
                "set apart: zone for redis",
            ),
            (
                declare(
                    "redis",
                    {"leader": {"replicas": 3, "spread": ["node"]}, "follower": {"replicas": 3, "spread": ["zone"]}},
                    {"kind": "sharded_primaries", "primaries": "leader", "replicas": "follower", "apart": "zone"},
                ),
                "3 primaries, at most 2 in zone-a: losing zone-a leaves 1 of 3, majority is 2; each shard keeps",
                "set spread of redis/leader to [node, zone]",
            ),
            (
                declare(
                    "ceph",
                    {"osd": {"runs": "daemon", "nodes": "worker"}},
                    {"name": "pool", "kind": "pool_min_size", "members": ["osd"], "copies": 3, "minimum": 2},
                ),
                "3 copies of each, 2 in zone-a: losing zone-a leaves 1, 2 are needed (min_size)",
                "set spread: zone for ceph/pool",
            ),
        ],
    )
    def test_name_the_arithmetic_and_the_smallest_change(self, declaration: Declaration, cause: str, step: str) -> None:
        finding = next(line for line in found([declaration]) if line.startswith("error"))
        assert cause in finding
        assert finding.endswith(f" - next: {step}")

    def test_of_what_survives_are_none(self) -> None:
        assert found([declare("kafka", KAFKA, topics(3, 2))]) == []

    def test_name_everything_that_is_not_survived_in_one_line(self) -> None:
        finding = found([declare("kafka", KAFKA, topics(2, 2))])[0]
        assert "(nor is the loss of zone-b, zone-c, single nodes survived)" in finding

    def test_name_pods_that_find_no_place(self) -> None:
        broker = {"broker": {"replicas": 8, "spread": ["zone", "node"]}}
        (finding,) = found([declare("kafka", broker, topics(3, 2))])
        assert finding == (
            "error: kafka: replicas of kafka/broker: 8 pods with spread [zone, node], of which 6 find a place: there is"
            " room on 6 worker nodes in 3 zones - next: lower replicas to 6, or add worker nodes"
        )

    def test_name_workloads_for_which_there_are_no_nodes(self) -> None:
        member = {"x": {"replicas": 2, "nodes": "gpu"}}
        lines = found([declare("x", member, {"kind": "at_least_one", "members": ["x"]})])
        assert "2 members without a place: no node is a gpu" in lines[0]
        assert "add 1 gpu node in zone-a and add 1 gpu node in zone-b" in lines[0]

    def test_warn_of_even_members_and_of_a_minimum_of_one(self) -> None:
        members = {"m": {"replicas": 6, "spread": ["zone"]}}
        lines = found([declare("x", members, {"name": "q", "kind": "majority", "members": ["m"]})])
        assert lines == [
            "warning: x: quorum q (majority): 6 members survive the loss of 2, no more than 5 would - next: use 5 or 7"
        ]
        lines = found([declare("kafka", KAFKA, topics(3, 1))])
        assert [line.split(":")[0] for line in lines] == ["warning"]
        assert "acknowledged by one member alone" in lines[0]

    def test_name_webhooks_that_fail_closed_without_a_proof(self) -> None:
        hook = {"hook": {"replicas": 2, "spread": ["zone"], "fails_closed": True}}
        lines = found([declare("gatekeeper", hook)])
        assert lines[0].startswith("error: gatekeeper: workload hook: the API server refuses")
        assert "{name: hook, kind: at_least_one, members: [hook]}" in lines[0]
        assert found([declare("gatekeeper", hook, {"kind": "at_least_one", "members": ["hook"]})]) == []

    def test_refuse_two_zones_with_the_reason_once(self) -> None:
        controllers = declare("kafka", KAFKA, {"name": "metadata", "kind": "majority", "members": ["broker"]})
        lines = found([ETCD, controllers], zones=("zone-a", "zone-b"))
        assert lines[0] == (
            "error: prod: platform_zones: no quorum survives in two zones (zone-a, zone-b): whichever holds the"
            " majority takes it down with it. This is about etcd/raft, kafka/metadata - next: add a third zone (a small"
            " one with the voting members is enough), or use one zone"
        )
        assert not any("losing zone" in line for line in lines)
        gateway = declare("x", {"x": {"replicas": 2, "spread": ["zone"]}}, {"kind": "at_least_one", "members": ["x"]})
        assert found([gateway], zones=("zone-a", "zone-b")) == []

    def test_propose_another_zone_where_there_is_one_only(self) -> None:
        (finding,) = found([ETCD], zones=("zone-a",))
        assert "1 member, 1 in zone-a: losing zone-a leaves 0 of 1, majority is 1" in finding
        assert "add 1 member of etcd in a second zone and add 1 member of etcd in a third zone" in finding

    @pytest.mark.parametrize(
        ("survives", "severities", "claimed"),
        [("zone", ["error"], True), ("node", ["info"], False), ("nothing", ["info"], False)],
    )
    def test_depend_on_what_must_be_survived(self, survives: str, severities: list[str], claimed: bool) -> None:
        servers = production(cp_b1="zone_a")
        lines = found([ETCD], servers, survives)
        assert [line.split(":")[0] for line in lines] == severities
        (proof,) = quorum.prove([ETCD], servers[0], ZONES, servers[1])
        assert proof.as_dict(survives)["claimed"] is claimed
        assert not proof.survives

    def test_gather_what_is_not_claimed_in_one(self) -> None:
        single = [
            declare(name, {name: {"replicas": 1}}, {"kind": "at_least_one", "members": [name]}) for name in ("x", "y")
        ]
        lines = found(single, survives="nothing")
        assert len(lines) == 1
        assert "2 quorum(s) do not survive the loss of a zone or a node: x, y" in lines[0]

    def test_refuse_to_judge_by_an_unknown_word(self) -> None:
        with pytest.raises(ValueError, match="'zones' is not known: did you mean 'zone'"):
            found([ETCD], survives="zones")


class TestClasses:
    def test_gather_nodes_that_are_alike(self) -> None:
        nodes, groups = production()
        assert [(item.zone, len(item.names), "etcd" in item.roles) for item in node_classes(nodes, groups)] == [
            ("zone-a", 1, True),
            ("zone-a", 2, False),
            ("zone-b", 1, True),
            ("zone-b", 2, False),
            ("zone-c", 1, True),
            ("zone-c", 2, False),
        ]

    def test_show_a_few_names_of_many_nodes(self) -> None:
        names = [f"n{number}" for number in range(6)]
        member = declare("x", {"x": {"runs": "daemon"}}, {"kind": "at_least_one", "members": ["x"]})
        proofs = quorum.prove([member], [Node(name, "a", None) for name in names], ["a"], {"node": names})
        assert proofs[0].losses[1].lost == "n0, n1, n2 and 3 more"
