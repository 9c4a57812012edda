# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis itself with the configuration of the role: a zone is lost under clients that write."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.redis import cluster as redis
from ansible_collections.banking.platform.tests.integration.redis.cluster import Cluster, Refused, Writer
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered, rendered

__all__ = ["rendered"]
ZONES = ("zone-a", "zone-b", "zone-c")
TIMEOUT = 2000  # milliseconds, of `redis_node_timeout`
# What docs/redis.md states: acknowledged writes of this long before a primary is lost may be lost with it, in seconds.
WINDOW = 1.0
Render = Callable[..., Rendered]


def of_the_role(rendered: Render, release: str = "2026.2", name: str = "sessions", **settings: Any) -> tuple[str, str]:
    """The configuration and the ACL of a data set."""
    found = rendered("redis", release, redis_node_timeout=TIMEOUT, **settings)
    config = found.objects["ConfigMap", f"redis-{name}"]["data"]["redis-additional.conf"]
    acl = found.objects["ExternalSecret", f"redis-{name}-acl"]["spec"]["target"]["template"]["data"]["user.acl"]
    return config, redis.acl(acl)


@pytest.fixture
def cluster(rendered: Render, tmp_path: Path) -> Iterator[Cluster]:
    """One that has no members yet."""
    made = Cluster(tmp_path, *of_the_role(rendered))
    yield made
    made.stop()


def zones_of_pairs(cluster: Cluster) -> list[tuple[str, str]]:
    return [
        (cluster.servers[primary].zone, cluster.servers[replica].zone) for replica, primary in cluster.pairs().items()
    ]


def shards(cluster: Cluster) -> dict[str, Writer]:
    """Writers, by the leader that they write to, that have all written something."""
    leaders = [server for server in cluster.servers.values() if "-leader-" in server.name]
    writers = {name: Writer(cluster, key) for name, key in redis.shard_keys(leaders, cluster).items()}
    for writer in writers.values():
        writer.start()
    for writer in writers.values():
        cluster.until(lambda one=writer: len(one.acknowledged) > 100, "the first writes")  # type: ignore[misc]
    return writers


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", ["sessions", "cache"])
def test_redis_takes_every_parameter_and_has_its_value(
    rendered: Render, tmp_path: Path, release: str, name: str
) -> None:
    config, acl = of_the_role(rendered, release, name)
    alone = Cluster(tmp_path, config, acl)
    alone.add("leader", ["zone-a"])
    (server,) = alone.running
    try:
        wanted = dict(line.split(" ", 1) for line in config.splitlines() if line and not line.startswith("#"))
        assert len(wanted) > 10
        for parameter, value in wanted.items():
            (_name, there) = alone.ask(server, "CONFIG", "GET", parameter)
            if parameter in ("maxmemory", "repl-backlog-size"):
                value = str(int(value.removesuffix("mb")) * 1024 * 1024)
            assert there == value.strip('"').replace("/tls/", f"{tmp_path}/tls/"), parameter
    finally:
        alone.stop()


def test_redis_refuses_what_it_does_not_know(rendered: Render, tmp_path: Path) -> None:
    """So the test above would see it."""
    config, acl = of_the_role(rendered)
    wrong = Cluster(tmp_path, config + "cluster-allow-replica-migrations no\n", acl)
    wrong.until = lambda true, what, seconds=3: Cluster.until(true, what, 3)  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="to answer"):
        wrong.add("leader", ["zone-a"])
    assert not wrong.running
    assert "Bad directive" in (tmp_path / "redis-sessions-leader-0" / "log").read_text()


def test_users_may_do_what_they_need_and_no_more(cluster: Cluster) -> None:
    cluster.add("leader", ["zone-a"])
    (server,) = cluster.running
    words: tuple[str, ...]
    for words in (("CLUSTER", "SLOTS"), ("CLUSTER", "SHARDS"), ("PING",)):
        assert cluster.ask(server, *words, user="banking-apps") is not None
    for words in (
        ("FLUSHALL",),
        ("CONFIG", "GET", "requirepass"),
        ("KEYS", "*"),
        ("CLUSTER", "FAILOVER"),
        ("ACL", "LIST"),
    ):
        with pytest.raises(Refused, match="NOPERM"):
            cluster.ask(server, *words, user="banking-apps")
    plain = subprocess.run(
        ["redis-cli", "-h", server.address, "-p", str(redis.PORT), "PING"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert "PONG" not in plain.stdout
    stranger = subprocess.run(
        ["redis-cli", "-h", server.address, "-p", str(redis.PORT), "--tls", "--cacert", str(cluster.authority), "PING"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert "NOAUTH" in stranger.stdout


def test_a_zone_is_lost_and_comes_back(cluster: Cluster, record_property: Callable[[str, object], None]) -> None:
    # As bad as the scheduler may do it: all of them in the zones of their leaders.
    cluster.add("leader", ZONES)
    cluster.add("follower", ZONES)
    cluster.form()
    # The operator's command pairs by number.
    assert cluster.pairs() == {f"redis-sessions-follower-{n}": f"redis-sessions-leader-{n}" for n in range(3)}
    assert len(cluster.place()) == 3
    assert all(primary != replica for primary, replica in zones_of_pairs(cluster))
    assert cluster.place() == []

    writers = shards(cluster)
    killed = time.monotonic()
    cluster.kill("zone-a")
    lost = writers["redis-sessions-leader-0"]
    cluster.until(lambda: lost.acknowledged[-1][1] > killed + 1, "the lost shard to take writes again")
    time.sleep(1)
    for writer in writers.values():
        writer.end()
    silence = {name: writer.silence(killed) for name, writer in writers.items()}
    missing = {name: writer.lost() for name, writer in writers.items()}
    written = sum(len(writer.acknowledged) for writer in writers.values())
    told = f"{written} acknowledged, {sum(map(len, missing.values()))} lost; silent for " + ", ".join(
        f"{seconds:.2f} s" for seconds in silence.values()
    )
    record_property("zone lost", told)
    print(told)
    # Nobody but the lost shard loses anything, and it no more than what is stated.
    assert [name for name, gone in missing.items() if gone and name != "redis-sessions-leader-0"] == []
    assert all(killed - when < WINDOW for _number, when in missing["redis-sessions-leader-0"])

    # The zone is back: two primaries are in one zone until they are placed.
    for server in cluster.servers.values():
        if server not in cluster.running:
            cluster.start(server)
    cluster.settle()
    assert "redis-sessions-leader-0" in cluster.pairs()
    back = Writer(cluster, lost.key)
    back.start()
    cluster.until(lambda: len(back.acknowledged) > 100, "writes")
    assert cluster.place() == ["redis-sessions-leader-0"]
    back.end()
    assert back.lost() == []
    assert sorted(cluster.pairs()) == [f"redis-sessions-follower-{n}" for n in range(3)]
    assert all(primary != replica for primary, replica in zones_of_pairs(cluster))


def test_without_placement_a_shard_is_lost_with_its_zone(cluster: Cluster) -> None:
    """The rule is what saves it: nothing else is different from the test above."""
    cluster.add("leader", ZONES)
    cluster.add("follower", ZONES)
    cluster.form()
    assert cluster.moves()
    key = redis.shard_keys([cluster.servers["redis-sessions-leader-0"]], cluster)["redis-sessions-leader-0"]
    cluster.kill("zone-a")
    time.sleep(4 * TIMEOUT / 1000)
    said = cluster.ask(cluster.running[0], "CLUSTER", "INFO")
    assert int(said.partition("cluster_slots_fail:")[2].split()[0]) > 5000
    writer = Writer(cluster, key)
    writer.start()
    time.sleep(2 * TIMEOUT / 1000)
    writer.end()
    assert writer.acknowledged == []


def test_two_primaries_in_a_zone_take_the_majority_with_them(cluster: Cluster) -> None:
    """Why leaders take over again: after the loss of one zone, that of the next would stop all shards."""
    cluster.add("leader", ZONES)
    cluster.add("follower", ("zone-b", "zone-c", "zone-a"))
    cluster.form()
    assert cluster.moves() == []
    cluster.kill("zone-a")
    cluster.until(lambda: "redis-sessions-follower-0" not in cluster.pairs(), "a fail-over")
    for server in cluster.servers.values():
        if server not in cluster.running:
            cluster.start(server)
    cluster.settle()
    cluster.kill("zone-b")
    time.sleep(4 * TIMEOUT / 1000)
    assert "cluster_state:fail" in cluster.ask(cluster.running[0], "CLUSTER", "INFO")
