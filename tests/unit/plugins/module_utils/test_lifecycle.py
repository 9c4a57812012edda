# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before a node goes or gets another Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lifecycle import Runs, minor_of, removal, upgrade
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action

SERVERS = ["cp-a1", "cp-b1", "cp-c1"]
WORKERS = ["worker-a1", "worker-b1"]
ROLES = {"node": SERVERS + WORKERS, "control_plane": SERVERS, "worker": WORKERS, "etcd": SERVERS, "vault": SERVERS}
GROUPS = {**ROLES, "all": ROLES["node"], "zone_a": ["cp-a1", "worker-a1"], "zone_b": ["cp-b1", "worker-b1"]}


def refused(node: str, reachable: bool = True, lost: bool = False, **roles: list[str]) -> Failure:
    with pytest.raises(Failure) as failed:
        removal(node, {**ROLES, **roles}, GROUPS, reachable, lost)
    return failed.value


def test_a_worker_goes_and_it_is_said_where_it_stands() -> None:
    found = removal("worker-a1", ROLES, GROUPS, True, False)
    assert (found.control_plane, found.etcd) == (False, False)
    assert found.afterwards[0] == "Take worker-a1 out of hosts.yml (groups node, worker, zone_a), and its host_vars."
    assert not [line for line in found.afterwards if "reset" in line or "vault" in line]


def test_the_first_server_goes_as_any_other_and_others_have_to_forget_it() -> None:
    found = removal("cp-a1", ROLES, GROUPS, False, True)
    assert (found.control_plane, found.etcd) == (True, True)
    assert "It is a member of vault too: see that vault does without it." in found.afterwards
    assert [line for line in found.afterwards if "cluster.yml" in line]
    assert "playbooks/reset.yml --limit" in found.afterwards[-1]


def test_a_name_that_nobody_has_is_refused_with_the_one_that_was_meant() -> None:
    failure = refused("worker-a11")
    assert "worker-a11 is not in the inventory" in failure.cause
    assert "worker-a1" in failure.next_step


def test_a_node_that_does_not_answer_goes_only_when_it_is_said_to_be_lost() -> None:
    assert "node_is_lost=true" in refused("worker-a1", reachable=False).next_step
    assert "so it is not lost" in refused("worker-a1", reachable=True, lost=True).cause


def test_the_last_of_a_kind_is_refused() -> None:
    assert "the only control-plane node" in refused("cp-a1", control_plane=["cp-a1"]).cause
    assert "the only worker" in refused("worker-a1", worker=["worker-a1"]).cause


def test_the_action_finds_roles_by_the_groups_of_the_inventory() -> None:
    names = {"node": "servers", "control_plane": "masters", "worker": "worker", "etcd": "masters"}
    groups = {"servers": ROLES["node"], "masters": SERVERS, "worker": WORKERS, "all": ROLES["node"]}
    arguments = {"name": "cp-b1", "reachable": True}
    action = make_action("node_removal", arguments, platform_groups=names)
    result: dict[str, Any] = action.run(task_vars={"platform_groups": names, "groups": groups})
    assert result["etcd"]
    assert "groups masters, servers" in result["afterwards"][0]
    action = make_action("node_removal", {**arguments, "reachable": False}, platform_groups=names)
    result = action.run(task_vars={"platform_groups": names, "groups": groups})
    assert result["failed"]
    assert "next: bring it back" in result["msg"]


def runs(version: str = "1.28.15", others: dict[str, Runs] | None = None) -> dict[str, Runs]:
    servers = {name: Runs(version, version) for name in SERVERS}
    return {**{name: Runs("", version) for name in reversed(WORKERS)}, **servers, **(others or {})}


def test_one_minor_up_the_control_plane_comes_first_in_its_order() -> None:
    assert upgrade("1.29.15", runs(), SERVERS)[:3] == SERVERS
    assert set(upgrade("1.29.15", runs(), SERVERS)[3:]) == set(WORKERS)
    assert upgrade("1.28.16", runs(), SERVERS)[0] == "cp-a1"


def test_what_runs_it_already_is_left_out() -> None:
    half = runs(others={"cp-a1": Runs("1.29.15", "1.29.15"), "cp-b1": Runs("1.29.15", "1.28.15")})
    # One whose API server is new and whose kubelet is not was interrupted in between.
    assert upgrade("1.29.15", half, SERVERS)[:2] == ["cp-b1", "cp-c1"]
    assert "cp-a1" not in upgrade("1.29.15", half, SERVERS)
    assert upgrade("1.29.15", runs("1.29.15"), SERVERS) == []


def test_a_minor_is_not_left_out_and_the_next_step_is_named() -> None:
    with pytest.raises(Failure) as failed:
        upgrade("1.35.8", runs(), SERVERS)
    assert "cp-a1: its API server 1.28.15 is more than one minor below 1.35.8" in failed.value.cause
    assert "worker-b1: its kubelet 1.28.15 is more than one minor below 1.35.8" in failed.value.cause
    assert "platform_kubernetes_minor=1.29" in failed.value.next_step


def test_one_worker_that_was_left_behind_is_enough_to_refuse() -> None:
    behind = runs("1.29.15", {"worker-a1": Runs("", "1.28.15")})
    with pytest.raises(Failure) as failed:
        upgrade("1.30.14", behind, SERVERS)
    assert failed.value.cause == (
        "Kubernetes 1.30.14: worker-a1: its kubelet 1.28.15 is more than one minor below 1.30.14"
    )
    assert "platform_kubernetes_minor=1.29" in failed.value.next_step


def test_there_is_no_way_back() -> None:
    with pytest.raises(Failure, match=r"worker-a1: its kubelet 1\.28\.16 is newer than 1\.28\.15"):
        upgrade("1.28.15", runs(others={"worker-a1": Runs("", "1.28.16")}), SERVERS)
    with pytest.raises(Failure, match=r"API server 1\.29\.15 is newer"):
        upgrade("1.28.15", runs("1.29.15"), SERVERS)


@pytest.mark.parametrize("name", ["worker-a1", "cp-b1"])
def test_a_node_in_no_cluster_is_refused(name: str) -> None:
    with pytest.raises(Failure, match=f"{name} is in no cluster"):
        upgrade("1.29.15", runs(others={name: Runs("", "1.28.15" if name == "cp-b1" else "")}), SERVERS)


def test_versions() -> None:
    assert minor_of("v1.28.15") == (1, 28)
    with pytest.raises(Failure, match="no version of Kubernetes"):
        minor_of("latest")


def test_the_action_names_what_is_behind() -> None:
    member = {"member": True, "control_plane": "1.28.15", "kubelet": "1.28.15"}
    arguments = {"version": "1.29.15", "nodes": {"cp-a1": member}, "servers": ["cp-a1"]}
    assert make_action("upgrade_plan", arguments).run(task_vars={})["behind"] == ["cp-a1"]
    # The program is installed before the node is in a cluster.
    arguments["nodes"] = {"cp-a1": {**member, "member": False}}
    assert "in no cluster" in make_action("upgrade_plan", arguments).run(task_vars={})["msg"]
