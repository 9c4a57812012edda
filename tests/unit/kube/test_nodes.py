# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints: what is ours is kept and removed, what is others' stays."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Conflict, Unreachable
from ansible_collections.banking.platform.plugins.module_utils.kube.nodes import Nodes, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

POOL = {"key": "pool", "value": "db", "effect": "NoSchedule"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}


class Server(Client):
    """Nodes in memory, with merge patches and resource versions."""

    def __init__(self, *names: str) -> None:
        self.nodes: dict[str, dict[str, Any]] = {
            name: {"metadata": {"name": name, "resourceVersion": "1", "labels": {"zone": "a"}}, "spec": {}}
            for name in names
        }
        self.patched: list[str] = []
        self.meanwhile: Any = None

    def list(self, path: str, *args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
        return iter(copy.deepcopy(list(self.nodes.values())))

    def get(self, path: str, accept: str = "") -> dict[str, Any]:
        return copy.deepcopy(self.nodes[path.rpartition("/")[2]])

    def patch(self, path: str, body: Any, dry_run: bool = False) -> dict[str, Any]:
        node = self.nodes[path.rpartition("/")[2]]
        if self.meanwhile:
            change, self.meanwhile = self.meanwhile, None
            change(node)
        meta = node["metadata"]
        if body["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict("changed", method="PATCH", path=path, status=409)
        if dry_run:
            return node
        self.patched.append(meta["name"])
        for part in ("labels", "annotations"):
            held = meta.setdefault(part, {})
            for key, value in body["metadata"].get(part, {}).items():
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = value
        if "spec" in body:
            node["spec"]["taints"] = body["spec"]["taints"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        return node


def run(server: Server, *wishes: Wish, check: bool = False) -> dict[str, Any]:
    nodes = Nodes(server, wishes, check)
    nodes.run()
    return nodes.plan.result()


def test_labels_and_taints_are_put_beside_those_of_others_and_a_second_run_does_nothing() -> None:
    server = Server("a", "b")
    server.nodes["a"]["spec"]["taints"] = [CORDON]
    wishes = [Wish("a", {"pool": "db"}, [POOL]), Wish("b", {"pool": "web"})]
    assert run(server, *wishes)["changed"]
    assert server.nodes["a"]["metadata"]["labels"] == {"zone": "a", "pool": "db"}
    assert server.nodes["a"]["spec"]["taints"] == [CORDON, POOL]
    assert server.patched == ["a", "b"]
    again = run(server, *wishes)
    assert not again["changed"]
    assert server.patched == ["a", "b"]
    assert [step["action"] for step in again["plan"]] == ["none", "none"]


def test_what_is_no_longer_asked_for_is_removed_and_nothing_else() -> None:
    server = Server("a")
    server.nodes["a"]["spec"]["taints"] = [CORDON]
    run(server, Wish("a", {"pool": "db", "disk": "fast"}, [POOL]))
    plan = run(server, Wish("a", {"disk": "fast"}))["plan"]
    assert plan[0]["before"]["taints"] == ["node.kubernetes.io/unschedulable:NoSchedule", "pool=db:NoSchedule"]
    assert plan[0]["after"]["taints"] == ["node.kubernetes.io/unschedulable:NoSchedule"]
    assert server.nodes["a"]["metadata"]["labels"] == {"zone": "a", "disk": "fast"}
    assert server.nodes["a"]["spec"]["taints"] == [CORDON]


def test_another_value_of_a_taint_replaces_the_old_one() -> None:
    server = Server("a")
    run(server, Wish("a", taints=[POOL]))
    run(server, Wish("a", taints=[{**POOL, "value": "web"}]))
    assert server.nodes["a"]["spec"]["taints"] == [{**POOL, "value": "web"}]


def test_a_label_changed_by_hand_is_put_back() -> None:
    server = Server("a")
    run(server, Wish("a", {"pool": "db"}))
    server.nodes["a"]["metadata"]["labels"]["pool"] = "mine"
    plan = run(server, Wish("a", {"pool": "db"}))["plan"]
    assert (plan[0]["before"]["labels"]["pool"], plan[0]["after"]["labels"]["pool"]) == ("mine", "db")
    assert server.nodes["a"]["metadata"]["labels"]["pool"] == "db"


def test_a_taint_that_comes_in_between_is_not_lost() -> None:
    server = Server("a")

    def cordoned(node: dict[str, Any]) -> None:
        node["spec"]["taints"] = [CORDON]
        node["metadata"]["resourceVersion"] = "7"

    server.meanwhile = cordoned
    run(server, Wish("a", taints=[POOL]))
    assert server.nodes["a"]["spec"]["taints"] == [CORDON, POOL]


def test_a_node_that_is_not_there_is_refused_before_any_change_and_deferred_in_check_mode() -> None:
    server = Server("a")
    wishes = [Wish("a", {"pool": "db"}), Wish("b")]
    with pytest.raises(Failure, match=r"^b: not in the cluster, whose nodes are a$"):
        run(server, *wishes)
    assert server.patched == []
    planned = run(server, *wishes, check=True)
    assert planned["deferred"] == ["node b: the node in the cluster"]
    assert server.patched == []


def test_before_the_first_install_everything_is_deferred() -> None:
    class Away(Server):
        def list(self, path: str, *args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
            raise Unreachable("nobody there", path=path)

    assert len(run(Away(), Wish("a"), check=True)["deferred"]) == 1
    with pytest.raises(Unreachable):
        run(Away(), Wish("a"))


@pytest.mark.parametrize("taint", [{"effect": "NoSchedule"}, {"key": "pool", "effect": "Never"}])
def test_a_taint_that_is_none_is_refused(taint: dict[str, str]) -> None:
    with pytest.raises(Failure, match=r"has no key, or another effect"):
        Wish("a", taints=[taint])
