# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Prometheus and Alertmanager, with what the role renders, watch real servers in three zones."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.prometheus import lab as labs
from ansible_collections.banking.platform.tests.integration.prometheus.lab import NODES, Lab, wait

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("etcd"),
    reason="needs root, iproute2, and etcd (make venv brings it)",
)
# Jobs of servers, and on how many nodes each is. kube-proxy is no part of this.
JOBS = {"etcd": 3, "haproxy": 6, "node-exporter": 6, "vault": 3}
LOST = "zone-b"
FOLLOW = {"NodeDown", "EtcdMemberDown", "VaultMemberDown"}


@pytest.fixture(scope="module", params=[10, pytest.param(1, marks=pytest.mark.nightly)], ids=["tenth", "real-time"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The nodes, watched; with all times a tenth of what they are, and at night with the times that they are."""
    one = Lab(tmp_path_factory.mktemp("lab"), request.param)
    try:
        one.wire()
        one.servers()
        one.initialise()
        one.watch(one.render())
        up = {job: f'count(up{{job="{job}"}} == 1)' for job in JOBS}
        wanted = sorted(JOBS.items())
        wait(90, lambda: [(job, counted(one, up[job])) for job, _count in wanted] == wanted, "not all are up")
        # What is missing here (a cluster) is told, and has been.
        wait(
            3000 / request.param,
            lambda: {"ApiServersDown", "DnsDown", "TargetDown"} <= one.firing(),
            "not yet told what is not here",
        )
        time.sleep(90 / request.param)
        yield one
    finally:
        one.close()


def counted(lab: Lab, expression: str) -> int:
    found = lab.query(expression)
    return int(found[0]["value"][1]) if found else 0


def names(told: dict[str, Any], status: str) -> set[str]:
    return {alert["labels"]["alertname"] for alert in told["told"]["alerts"] if alert["status"] == status}


def about(lab: Lab, alert: str, status: str, since: float) -> list[dict[str, Any]]:
    return [item for item in lab.notifications() if item["at"] > since and alert in names(item, status)]


def test_all_servers_are_scraped_by_zone(lab: Lab) -> None:
    for job, count in JOBS.items():
        found = lab.query(f'up{{job="{job}"}} == 1')
        assert len(found) == count
        assert all(item["metric"]["zone"] == NODES[item["metric"]["node"]][0] for item in found)


@pytest.mark.parametrize("role", ["etcd", "api_lb", "vault", "prometheus"])
def test_what_is_promised_is_there(lab: Lab, role: str) -> None:
    """The contract of metrics, against the servers themselves."""
    folder = labs.CLONE / "roles" / role
    data = yaml.safe_load((folder / "meta/platform.yml").read_text())
    declared = [entry for entry in data["metrics"] if role != "prometheus" or entry["name"] == "node-exporter"]
    # The others come of systemd and of timers, which are not here.
    asked = [
        name
        for entry in declared
        for name in entry.get("series", [])
        if not name.startswith(("node_systemd", "platform_"))
    ]
    assert asked
    assert [name for name in asked if not lab.query(f"count({name}) > 0")] == []


def test_a_lost_zone_is_told_once_and_what_follows_is_not(lab: Lab, record_property: Any) -> None:
    before = lab.firing()
    assert "ZoneLost" not in before
    cut = time.time()
    lab.cut(LOST)
    try:
        wait(
            600 / lab.speed + 30, lambda: len(about(lab, "ZoneLost", "firing", cut)) >= 2, "nobody was told of the zone"
        )
        # Long enough for what follows to fire, and to be told were it not held back.
        wait(600 / lab.speed + 30, lambda: lab.firing() >= FOLLOW, f"does not fire: {FOLLOW - lab.firing()}")
        wait(60, lambda: lab.inhibited() >= FOLLOW, f"is not held back: {FOLLOW - lab.inhibited()}")
        time.sleep(400 / lab.speed)
        told = [item for item in lab.notifications() if item["at"] > cut]
        news = {name for item in told for name in names(item, "firing")} - before
        assert news == {"ZoneLost"}
        lost = about(lab, "ZoneLost", "firing", cut)
        # Who is on duty, and the team; each once, of one zone.
        assert sorted(item["to"] for item in lost) == ["duty", "platform"]
        assert all(item["told"]["commonLabels"]["zone"] == LOST for item in lost)
        record_property(
            "seconds from the cut to the first notification", round(min(item["at"] for item in lost) - cut, 1)
        )
    finally:
        healed = time.time()
        lab.cut(LOST, False)
    wait(
        900 / lab.speed + 60,
        lambda: len(about(lab, "ZoneLost", "resolved", healed)) >= 2,
        "nobody was told that the zone is back",
    )
    back = about(lab, "ZoneLost", "resolved", healed)
    assert sorted(item["to"] for item in back) == ["duty", "platform"]
    record_property(
        "seconds from its return to the last notification", round(max(item["at"] for item in back) - healed, 1)
    )
    wait(60, lambda: not lab.firing() & (FOLLOW | {"ZoneLost"}), "something of it still fires")
    print(
        {
            "told after": round(min(i["at"] for i in lost) - cut, 1),
            "resolved after": round(max(i["at"] for i in back) - healed, 1),
        }
    )


def test_a_member_of_etcd_that_ends_is_told_to_its_team_alone(lab: Lab) -> None:
    since = time.time()
    lab.stop("cp-c1-etcd")
    wait(600 / lab.speed + 60, lambda: about(lab, "EtcdMemberDown", "firing", since), "nobody was told of the member")
    (told,) = about(lab, "EtcdMemberDown", "firing", since)
    assert told["to"] == "platform"
    (alert,) = [one for one in told["told"]["alerts"] if one["labels"]["alertname"] == "EtcdMemberDown"]
    assert alert["labels"]["node"] == "cp-c1"
    assert not about(lab, "ZoneLost", "firing", since)
    assert not about(lab, "EtcdQuorumLost", "firing", since)
    # Two of three: nothing can be changed any more, and that is for who is on duty.
    lab.stop("cp-a1-etcd")
    wait(
        600 / lab.speed + 60,
        lambda: len(about(lab, "EtcdQuorumLost", "firing", since)) >= 2,
        "nobody was told of the quorum",
    )
    assert {item["to"] for item in about(lab, "EtcdQuorumLost", "firing", since)} == {"duty", "platform"}
