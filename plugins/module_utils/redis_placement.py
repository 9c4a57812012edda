# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the members of a Redis Cluster are, and what puts leaders and followers where a zone can be lost.

The scheduler puts each leader into a zone of its own, and each follower. Who follows whom, Redis decides (its operator
names ordinals), and after a failure a follower is a primary. So two things are put right, each by a command to one
member: a leader takes over again (`CLUSTER FAILOVER`), and followers change places (`CLUSTER REPLICATE`), so that none
is in the zone of its leader.
Source: https://redis.io/docs/latest/commands/cluster-nodes/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any


class PlacementError(Exception):
    """What is there cannot be placed; the text names the member and the cause."""


@dataclass(frozen=True)
class Member:
    """A server.

    Attributes:
        name: of its pod.
        leader: whether it is to be a primary, as its name says.
        zone: where it is.
        identity: its id in the cluster.
        primary: the id of whom it follows; its own when it is a primary itself.
        healthy: whether the cluster has not given it up.
    """

    name: str
    leader: bool
    zone: str
    identity: str
    primary: str
    healthy: bool


def members(nodes: str, pods: Sequence[Mapping[str, str]]) -> list[Member]:
    """The members of a cluster, by name.

    Args:
        nodes: what `CLUSTER NODES` said.
        pods: of each its `name`, `address` and `zone`.

    Raises:
        PlacementError: a pod that is no member yet, or has no zone.
    """
    found = {}
    for line in nodes.splitlines():
        fields = line.split()
        if len(fields) >= 8:
            found[fields[1].split("@")[0].rpartition(":")[0]] = fields
    result = []
    for pod in sorted(pods, key=lambda one: one["name"]):
        if pod["address"] not in found:
            raise PlacementError(
                f"{pod['name']} ({pod['address']}) is no member of the cluster: look at the operator's log"
            )
        if not pod["zone"]:
            raise PlacementError(
                f"{pod['name']} is on a node without the label topology.kubernetes.io/zone: set platform_zone"
            )
        identity, _address, flags, primary, _ping, _pong, _epoch, link = found[pod["address"]][:8]
        result.append(
            Member(
                name=pod["name"],
                leader=pod["name"].rpartition("-")[0].endswith("-leader"),
                zone=pod["zone"],
                identity=identity,
                primary=identity if primary == "-" else primary,
                healthy=not {"fail", "fail?", "handshake", "noaddr"} & set(flags.split(","))
                and (link == "connected" or "myself" in flags),
            )
        )
    return result


def moves(nodes: str, pods: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """What is to be said to whom, nothing when all are where they belong. Followers wait until leaders lead.

    Args:
        nodes: what `CLUSTER NODES` said.
        pods: of each its `name`, `address` and `zone`.

    Returns:
        `pod`, `command` and `why` of each.

    Raises:
        PlacementError: a member that is missing or unwell, or zones in which every follower would be beside its leader.
    """
    all_of_them = members(nodes, pods)
    for member in all_of_them:
        if not member.healthy:
            raise PlacementError(f"{member.name} in {member.zone} is given up by the cluster: wait until it is back")
    deposed = [member for member in all_of_them if member.leader and member.primary != member.identity]
    if deposed:
        return [
            {
                "pod": one.name,
                "command": ["CLUSTER", "FAILOVER"],
                "why": f"it is to lead, and {_named(one.primary, all_of_them)} does",
            }
            for one in deposed
        ]
    leaders = [member for member in all_of_them if member.leader]
    followers = [member for member in all_of_them if not member.leader]
    return [
        {
            "pod": follower.name,
            "command": ["CLUSTER", "REPLICATE", leader.identity],
            "why": f"no follower is to share a zone with its leader, as in {follower.zone}",
        }
        for follower, leader in _paired(leaders, followers)
        # One that is a primary itself is about to step down.
        if follower.primary not in (leader.identity, follower.identity)
    ]


def _named(identity: str, all_of_them: Sequence[Member]) -> str:
    return next((member.name for member in all_of_them if member.identity == identity), identity)


def _paired(leaders: Sequence[Member], followers: Sequence[Member]) -> Iterator[tuple[Member, Member]]:
    """Each follower with a leader of another zone, as many with each, and as few changes as possible."""
    seats = [leaders[number % len(leaders)] for number in range(len(followers))]
    possible = (
        (sum(follower.primary != seat.identity for follower, seat in zip(followers, order, strict=True)), order)
        for order in dict.fromkeys(permutations(seats))
        if all(follower.zone != seat.zone for follower, seat in zip(followers, order, strict=True))
    )
    best = min(possible, key=lambda one: one[0], default=None)
    if best is None:
        zones = {member.name: member.zone for member in (*leaders, *followers)}
        raise PlacementError(
            f"no follower can be in another zone than its leader: {zones}: free another zone for a pod"
        )
    yield from zip(followers, best[1], strict=True)
