# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to members of a Redis Cluster, by where they are. With servers: tests/integration/redis."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.filter.redis_moves import redis_moves
from ansible_collections.banking.platform.plugins.module_utils.redis_placement import PlacementError, moves

ZONES = ("zone-a", "zone-b", "zone-c")


def pods(leaders: tuple[str, ...], followers: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"name": f"redis-cache-{role}-{number}", "address": f"10.0.{kind}.{number}", "zone": zone}
        for kind, (role, zones) in enumerate((("leader", leaders), ("follower", followers)))
        for number, zone in enumerate(zones)
    ]


def identity(name: str) -> str:
    return ("1" if "leader" in name else "f") * 39 + name[-1]


def nodes(there: list[dict[str, str]], follows: dict[str, str], flags: dict[str, str] | None = None) -> str:
    """What CLUSTER NODES says; `follows` are names of pods."""
    lines = []
    for pod in there:
        primary = follows.get(pod["name"])
        said = (flags or {}).get(pod["name"], "slave" if primary else "master")
        lines.append(
            f"{identity(pod['name'])} {pod['address']}:6379@16379,{pod['name']} {said} "
            f"{identity(primary) if primary else '-'} 0 1700000000000 1 connected"
        )
    return "\n".join(lines) + "\n"


def by_ordinal(count: int = 3) -> dict[str, str]:
    """As the operator pairs them."""
    return {f"redis-cache-follower-{number}": f"redis-cache-leader-{number}" for number in range(count)}


def after(follows: dict[str, str], there: list[dict[str, str]]) -> dict[str, str]:
    names = {identity(pod["name"]): pod["name"] for pod in there}
    said = moves(nodes(there, follows), there)
    return {**follows, **{one["pod"]: names[one["command"][2]] for one in said}}


@pytest.mark.parametrize(("leaders", "followers"), [*product(permutations(ZONES), permutations(ZONES))])
def test_wherever_the_scheduler_puts_them_no_pair_shares_a_zone_in_the_end(
    leaders: tuple[str, ...], followers: tuple[str, ...]
) -> None:
    there = pods(leaders, followers)
    zone = {pod["name"]: pod["zone"] for pod in there}
    follows = after(by_ordinal(), there)
    assert all(zone[follower] != zone[leader] for follower, leader in follows.items())
    # Each leader has one.
    assert sorted(follows.values()) == [f"redis-cache-leader-{number}" for number in range(3)]
    assert moves(nodes(there, follows), there) == []


def test_as_few_as_possible_change_places() -> None:
    there = pods(ZONES, ("zone-b", "zone-a", "zone-c"))
    assert len(moves(nodes(there, by_ordinal()), there)) == 2


def test_a_leader_takes_over_again_before_followers_change_places() -> None:
    there = pods(ZONES, ZONES)
    follows = {"redis-cache-leader-0": "redis-cache-follower-0", **by_ordinal()}
    del follows["redis-cache-follower-0"]
    (said,) = moves(nodes(there, follows), there)
    assert (said["pod"], said["command"]) == ("redis-cache-leader-0", ["CLUSTER", "FAILOVER"])
    assert "redis-cache-follower-0 does" in said["why"]


@pytest.mark.parametrize("flags", ["slave,fail", "slave,fail?", "handshake"])
def test_nothing_is_moved_while_a_member_is_away(flags: str) -> None:
    there = pods(ZONES, ZONES)
    with pytest.raises(PlacementError, match="redis-cache-follower-2 in zone-c is given up"):
        moves(nodes(there, by_ordinal(), {"redis-cache-follower-2": flags}), there)


def test_a_pod_that_is_no_member_and_one_without_a_zone_are_named() -> None:
    there = pods(ZONES, ZONES)
    with pytest.raises(PlacementError, match=r"redis-cache-follower-2 \(10.0.1.2\) is no member"):
        moves(nodes(there[:-1], by_ordinal(2)), there)
    with pytest.raises(PlacementError, match="set platform_zone"):
        moves(nodes(there, by_ordinal()), [{**pod, "zone": ""} for pod in there])


def test_what_cannot_be_placed_is_said() -> None:
    there = pods(("zone-a",) * 3, ("zone-a",) * 3)
    with pytest.raises(PlacementError, match="free another zone"):
        moves(nodes(there, by_ordinal()), there)


def test_the_filter_reads_pods_as_the_api_server_has_them() -> None:
    there = pods(ZONES, ("zone-b", "zone-c", "zone-a"))
    objects = [
        {
            "metadata": {"name": pod["name"]},
            "spec": {"nodeName": f"worker-{pod['zone']}"},
            "status": {"podIP": pod["address"]},
        }
        for pod in there
    ]
    zones = {f"worker-{zone}": zone for zone in ZONES}
    assert redis_moves(nodes(there, by_ordinal()), objects, zones) == []
    with pytest.raises(
        AnsibleFilterError, match=r"banking\.platform\.redis_moves: redis-cache-follower-0 is on a node"
    ):
        redis_moves(nodes(there, by_ordinal()), objects, {})
