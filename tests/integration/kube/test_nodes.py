# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints on nodes of a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.plugins.module_utils.kube.nodes import Nodes, Wish
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster

TAINT = {"key": "pool", "value": "db", "effect": "NoSchedule"}


@pytest.fixture
def node(cluster: Cluster, name: str) -> Iterator[str]:
    node = f"node-{name}"
    meta = {"name": node, "labels": {"kubernetes.io/os": "linux"}}
    cluster.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": meta})
    yield node
    cluster.request("DELETE", f"/api/v1/nodes/{node}")


def run(client: Client, wish: Wish, check: bool = False) -> dict[str, Any]:
    nodes = Nodes(client, [wish], check)
    nodes.run()
    return nodes.plan.result()


def test_a_node_gets_them_once_keeps_what_is_others_and_loses_what_was_ours(
    cluster: Cluster, client: Client, node: str
) -> None:
    path = f"/api/v1/nodes/{node}"
    wish = Wish(node, {"node-role.kubernetes.io/worker": "", "pool": "db"}, [TAINT])
    assert run(client, wish, check=True)["changed"]
    assert "pool" not in cluster.get(path)["metadata"]["labels"]
    assert run(client, wish)["changed"]
    cluster.patch(path, {"spec": {"unschedulable": True}})
    assert not run(client, wish)["changed"]
    live = cluster.get(path)
    assert live["metadata"]["labels"].items() >= {"kubernetes.io/os": "linux", "pool": "db"}.items()
    assert TAINT in live["spec"]["taints"]
    run(client, Wish(node))
    live = cluster.get(path)
    assert not {"pool", "node-role.kubernetes.io/worker"} & live["metadata"]["labels"].keys()
    assert live["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    assert TAINT not in live["spec"].get("taints", [])
    assert live["spec"]["unschedulable"]
