# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain against a real API server: nodes and pods are made by hand, evictions and budgets are the server's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.plugins.module_utils.kube.drain import Drain, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.lease import Held, Lease
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster


@pytest.fixture
def node(cluster: Cluster, name: str) -> Iterator[str]:
    meta = {"name": f"node-{name}"}
    cluster.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": meta})
    yield meta["name"]
    cluster.request("DELETE", f"/api/v1/nodes/{meta['name']}")


@pytest.fixture
def owner(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """A controller of the pods that leaves them as they are: no program of the control plane knows it."""
    live = cluster.post(f"/api/v1/namespaces/{namespace}/configmaps", objects.config_map(namespace, "owner"))
    uid = live["metadata"]["uid"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}


@pytest.fixture
def run(cluster: Cluster, namespace: str, owner: dict[str, Any]) -> Callable[..., None]:
    """Run pods on a node, ready as a kubelet would report them."""

    def start(node: str, *names: str, daemon: bool = False, bare: bool = False, **labels: str) -> None:
        for name in names:
            of = {**owner, "apiVersion": "apps.test/v1", "kind": "DaemonSet"} if daemon else owner
            made = objects.pod(namespace, name, node, None if bare else of, **labels)
            cluster.post(f"/api/v1/namespaces/{namespace}/pods", made)
            ready(cluster, namespace, name)

    return start


def ready(cluster: Cluster, namespace: str, name: str, phase: str = "Running") -> None:
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status})


def budget(cluster: Cluster, namespace: str, minimum: int) -> None:
    cluster.post(
        f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "quorum", "namespace": namespace},
            "spec": {"minAvailable": minimum, "selector": {"matchLabels": {"app": "db"}}},
        },
    )
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/quorum"
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and cluster.get(path).get("status", {}).get("observedGeneration") != 1:
        time.sleep(0.1)


def pods(cluster: Cluster, namespace: str) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.get(f"/api/v1/namespaces/{namespace}/pods")["items"]}


def drain(client: Client, node: str, check: bool = False, **wish: Any) -> dict[str, Any]:
    draining = Drain(client, Wish(node, **wish), check)
    draining.run()
    return draining.result()


def test_cordon_and_uncordon(client: Client, cluster: Cluster, node: str) -> None:
    assert drain(client, node, check=True, state="cordoned")["changed"]
    assert "unschedulable" not in cluster.get(f"/api/v1/nodes/{node}")["spec"]
    assert drain(client, node, state="cordoned")["changed"]
    assert cluster.get(f"/api/v1/nodes/{node}")["spec"]["unschedulable"]
    assert not drain(client, node, state="cordoned")["changed"]
    assert drain(client, node, state="uncordoned")["changed"]
    assert not drain(client, node, state="uncordoned")["changed"]


def test_drain_leaves_daemons_and_mirrors(
    client: Client, cluster: Cluster, namespace: str, node: str, run: Callable[..., None]
) -> None:
    run(node, "a", "b", "c")
    run(node, "agent", daemon=True)
    run(node, "kept", role="bastion")
    shown = drain(client, node, check=True, leave="role=bastion")
    assert [step["target"] for step in shown["plan"]] == [node, *(f"{namespace}/{name}" for name in "abc")]
    assert len(pods(cluster, namespace)) == 5
    result = drain(client, node, leave="role=bastion")
    assert result["changed"]
    assert result["left"] == [f"{namespace}/kept"]
    assert pods(cluster, namespace) == {"agent", "kept"}
    assert not drain(client, node, leave="role=bastion")["changed"]


def test_flags_are_asked_for_before_anything_is_done(
    client: Client, cluster: Cluster, namespace: str, node: str, run: Callable[..., None]
) -> None:
    run(node, "managed")
    run(node, "alone", bare=True)
    with pytest.raises(Failure) as failed:
        drain(client, node)
    assert f"{namespace}/alone has no controller" in failed.value.cause
    assert failed.value.next_step == "set delete_unmanaged"
    assert "unschedulable" not in cluster.get(f"/api/v1/nodes/{node}")["spec"]
    ready(cluster, namespace, "alone", phase="Succeeded")
    drain(client, node)
    assert not pods(cluster, namespace)


def test_a_blocked_pod_keeps_no_other_one_and_its_budget_is_named(
    client: Client, cluster: Cluster, namespace: str, node: str, run: Callable[..., None]
) -> None:
    run(node, "db-0", "db-1", app="db")
    run(node, "web-0", "web-1")
    budget(cluster, namespace, minimum=2)
    shown = drain(client, node, check=True)
    assert "allows no disruption" in next(s["note"] for s in shown["plan"] if s["target"] == f"{namespace}/db-0")
    draining = Drain(client, Wish(node, timeout=3))
    with pytest.raises(Failure) as failed:
        draining.run()
    assert pods(cluster, namespace) == {"db-0", "db-1"}
    assert (
        f"{namespace}/db-0: PodDisruptionBudget quorum (minAvailable 2) allows no disruption: "
        "2 of 2 pods healthy, 2 needed"
    ) in failed.value.cause
    states = {step.target: step.state for step in draining.plan.steps}
    assert states[f"{namespace}/web-0"] == "done"
    assert states[f"{namespace}/db-0"] == "not done"


def test_a_pod_goes_as_soon_as_its_replacement_is_ready(
    client: Client, cluster: Cluster, namespace: str, node: str, run: Callable[..., None]
) -> None:
    run(node, "db-0", app="db")
    budget(cluster, namespace, minimum=1)
    cluster.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{node}-other"}})
    helper = threading.Timer(2.5, lambda: run(f"{node}-other", "db-1", app="db"))
    helper.start()
    assert drain(client, node, timeout=30)["changed"]
    helper.join()
    assert pods(cluster, namespace) == {"db-1"}


def test_an_unknown_node_is_said(client: Client) -> None:
    with pytest.raises(Failure, match="there is no node nowhere"):
        drain(client, "nowhere")


def test_one_holder_at_a_time(client: Client, cluster: Cluster, namespace: str) -> None:
    first, second = (Lease(client, namespace, "run", holder, seconds=2) for holder in ("a", "b"))
    first.acquire()
    first.renew()
    with pytest.raises(Held, match="held by a") as held:
        second.acquire()
    assert held.value.holder == "a"
    second.release()
    first.release()
    second.acquire()
    with pytest.raises(Held):
        first.acquire()
    time.sleep(2.1)
    first.acquire()
    live = cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/run")["spec"]
    assert (live["holderIdentity"], live["leaseTransitions"]) == ("a", 2)
