# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every pod that the platform delivers, shown to a real API server in its namespace with the Pod Security of wave 18.

Gatekeeper's policies: tests/unit/roles/gatekeeper/test_platform.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.tests import platform_tree
from ansible_collections.banking.platform.tests.gatekeeper import Gatekeeper, namespace_of
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.platform_tree import Platform
from ansible_collections.banking.platform.tools import suites

ENFORCE = "pod-security.kubernetes.io/enforce"
# Of other objects, which are not there.
LEFT_OUT = {"serviceAccountName", "serviceAccount", "priorityClassName", "runtimeClassName"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of its own: the namespaces are those of other tests, too."""
    with Cluster(tmp_path_factory.mktemp("cluster"), controllers=False) as running:
        yield running


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return platform_tree.render("prod", "2024.1", tmp_path_factory.mktemp("platform") / "of")


@pytest.fixture(scope="module")
def levels(platform: Platform, cluster: Cluster) -> dict[str, str]:
    """The namespaces as they are in the end, by their level; they are in the cluster then."""
    last = {item["metadata"]["name"]: item for item in platform.objects if item["kind"] == "Namespace"}
    for name, item in last.items():
        labels = item["metadata"].get("labels") or {}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        cluster.post("/api/v1/namespaces", body)
        # Which controllers would make.
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        cluster.post(f"/api/v1/namespaces/{name}/serviceaccounts", account)
    return {name: item["metadata"]["labels"][ENFORCE] for name, item in last.items() if said(item, ENFORCE)}


def said(item: dict[str, Any], label: str) -> str:
    return str((item["metadata"].get("labels") or {}).get(label, ""))


def with_claims(pod: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """A pod with the volumes that a StatefulSet would add."""
    claims = [claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", ())]
    volumes = [*pod["spec"].get("volumes", ()), *({"name": name, "emptyDir": {}} for name in claims)]
    return {**pod, "spec": {**pod["spec"], "volumes": volumes}}


def answer(cluster: Cluster, pod: dict[str, Any]) -> str:
    spec = {key: value for key, value in pod["spec"].items() if key not in LEFT_OUT}
    meta = {"name": pod["metadata"]["name"][:60].rstrip("-"), "labels": pod["metadata"].get("labels")}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    path = f"/api/v1/namespaces/{namespace_of(pod)}/pods?dryRun=All"
    found = json.loads(cluster.request("POST", path, body).data)
    return "" if found["kind"] == "Pod" else str(found["message"])


def test_each_level_takes_what_is_delivered_into_it(
    platform: Platform, levels: dict[str, str], cluster: Cluster
) -> None:
    known = Gatekeeper(platform.objects)
    pods = [
        with_claims(pod, item)
        for item in platform.objects
        for pod in known.expanded(item)
        if namespace_of(pod) in levels
    ]
    refused = {
        f"{namespace_of(pod)}/{pod['metadata']['name']} ({levels[namespace_of(pod)]})": text
        for pod in pods
        for text in [answer(cluster, pod)]
        if text
    }
    assert not refused, refused
    assert {"restricted", "privileged"} <= set(levels.values())
    assert len(pods) > (15 if suites.charts_folder() and not platform.missing else 0)


def test_a_pod_that_a_level_refuses_would_be_seen(levels: dict[str, str], cluster: Cluster) -> None:
    pod = {
        "metadata": {"name": "try", "namespace": "harbor"},
        "spec": {"containers": [{"name": "app", "image": "app:1", "securityContext": {"privileged": True}}]},
    }
    assert levels["harbor"] == "restricted"
    assert "violates PodSecurity" in answer(cluster, pod)
