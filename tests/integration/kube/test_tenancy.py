# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tenancy for production on a real API server: in its two waves, twice, and what the server then refuses."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

WAVES = ("main", "enforce")
ENFORCE = "pod-security.kubernetes.io/enforce"
SIX = {f"banking-{name}" for name in ("auth", "data", "monitoring", "security", "services", "system")}
DELIVER = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [
            {"ansible.builtin.include_role": {"name": "banking.platform.tenancy", "tasks_from": "{{ tasks_of }}"}},
        ],
    }
]
Delivered = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One of its own: the platform's namespaces are its to make, and other tests make some of them."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def deliver(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """Run one wave by a real playbook, and give the result of its task."""
    folder = tmp_path_factory.mktemp("tenancy")
    crd = mesh_crd()
    if crd:
        cluster.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    (folder / "deliver.yml").write_text(yaml.safe_dump(DELIVER))

    def run(wave: str, *options: str, **variables: Any) -> dict[str, Any]:
        given = {
            "platform_delivery": "direct",
            "platform_charts": "external",
            "platform_kubeconfig": cluster.admin,
            "platform_build_dir": str(folder / "build"),
            "tasks_of": wave,
            # Without the CRD of its policies, the server cannot take them.
            "istio_enabled": bool(crd),
            **variables,
        }
        done = subprocess.run(
            [
                "ansible-playbook",
                str(folder / "deliver.yml"),
                "-i",
                str(CLONE / "inventories/prod"),
                "-e",
                json.dumps(given),
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
            },
        )
        assert "{" in done.stdout, done.stderr
        said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
        result: dict[str, Any] = said["plays"][0]["tasks"][-1]["hosts"]["localhost"]
        assert not result.get("failed"), result["msg"]
        return result

    return run


def mesh_crd() -> dict[str, Any] | None:
    """The CRD of AuthorizationPolicies, where CRDs are at hand."""
    folder = crds_folder()
    if not folder:
        return None
    crds = yaml.safe_load_all((folder / "2024.1" / "istio" / "crd-all.gen.yaml").read_text())
    return next(crd for crd in crds if crd and crd["spec"]["names"]["kind"] == "AuthorizationPolicy")


@pytest.fixture(scope="module")
def delivered(deliver: Delivered, cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Both waves, once."""
    results = {}
    for wave in WAVES:
        results[wave] = deliver(wave)
        results[f"namespaces after {wave}"] = namespaces(cluster)
    return results


def namespaces(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Labels by namespace."""
    found = cluster.get("/api/v1/namespaces")["items"]
    return {item["metadata"]["name"]: item["metadata"]["labels"] for item in found if item["metadata"]["name"] in SIX}


def pod(**container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try"},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "app",
                    "image": "registry.invalid/app:1",
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    **container,
                }
            ],
        },
    }


def attempt(cluster: Cluster, namespace: str, body: dict[str, Any]) -> Any:
    """What the server says to a pod, without keeping it."""
    return cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", body)


def test_the_early_wave_watches_and_the_late_one_insists(delivered: dict[str, dict[str, Any]]) -> None:
    early, late = (delivered[f"namespaces after {wave}"] for wave in WAVES)
    assert set(early) == set(late) == SIX
    assert not [name for name, labels in early.items() if ENFORCE in labels]
    assert all(labels["pod-security.kubernetes.io/warn"] == "restricted" for labels in early.values())
    assert late["banking-system"][ENFORCE] == "restricted"
    assert late["banking-data"][ENFORCE] == "baseline"


def test_a_second_run_changes_nothing_and_takes_nothing_back(
    delivered: dict[str, dict[str, Any]], deliver: Delivered, cluster: Cluster
) -> None:
    assert delivered["main"]["changed"]
    assert delivered["enforce"]["changed"]
    for wave in WAVES:
        again = deliver(wave)
        assert not again["changed"], again
        assert namespaces(cluster) == delivered["namespaces after enforce"]
    for wave in WAVES:
        assert not deliver(wave, "--check")["changed"]


@pytest.mark.skipif(crds_folder() is None, reason="no CRDs: set PLATFORM_CRDS to a folder with one folder a release")
def test_each_namespace_of_the_mesh_allows_nothing_but_its_edges(
    delivered: dict[str, dict[str, Any]], cluster: Cluster
) -> None:
    assert delivered
    found = cluster.get("/apis/security.istio.io/v1beta1/authorizationpolicies")["items"]
    names = {f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in found}
    assert names == {
        "banking-services/banking-apps-core-banking-accounts",
        "banking-services/default-deny",
        "banking-system/banking-apps-banking-app",
        "banking-system/default-deny",
    }


def test_somebody_elses_weakening_is_put_back(
    delivered: dict[str, dict[str, Any]], deliver: Delivered, cluster: Cluster
) -> None:
    assert delivered
    cluster.patch("/api/v1/namespaces/banking-system", {"metadata": {"labels": {ENFORCE: "privileged"}}})
    cluster.request("DELETE", "/apis/networking.k8s.io/v1/namespaces/banking-data/networkpolicies/default-deny")
    assert deliver("enforce")["changed"]
    assert namespaces(cluster) == delivered["namespaces after enforce"]
    assert cluster.get("/apis/networking.k8s.io/v1/namespaces/banking-data/networkpolicies/default-deny")


def test_an_edge_that_is_no_longer_asked_for_goes(
    delivered: dict[str, dict[str, Any]], deliver: Delivered, cluster: Cluster
) -> None:
    assert delivered
    path = "/apis/networking.k8s.io/v1/namespaces/banking-services/networkpolicies/cards"
    edge = {
        "from": {"namespace": "banking-services", "labels": {"app": "cards"}},
        "to": "postgresql/pooler",
        "port": 5432,
        "why": "cards",
    }
    assert deliver("enforce", tenancy_edges=[edge])["changed"]
    assert cluster.get(path)["spec"]["podSelector"] == {"matchLabels": {"app": "cards"}}
    assert deliver("enforce")["changed"]
    assert not cluster.get(path)


@pytest.mark.parametrize(
    ("namespace", "container", "refused"),
    [
        ("banking-system", {}, ""),
        ("banking-system", {"securityContext": {"privileged": True}}, "violates PodSecurity"),
        ("banking-system", {"securityContext": {}}, "violates PodSecurity"),
        ("banking-data", {"securityContext": {}}, ""),
        ("banking-data", {"securityContext": {"privileged": True}}, "violates PodSecurity"),
        ("banking-security", {"securityContext": {"privileged": True}}, ""),
        (
            "banking-system",
            {"resources": {"requests": {"memory": "90Ti"}, "limits": {"memory": "90Ti"}}},
            "exceeded quota",
        ),
    ],
)
def test_the_server_refuses_what_the_namespace_does_not_allow(
    delivered: dict[str, dict[str, Any]], cluster: Cluster, namespace: str, container: dict[str, Any], refused: str
) -> None:
    assert delivered
    deadline = time.monotonic() + 60
    answer = attempt(cluster, namespace, pod(**container))
    # Until the controller has counted for the first time, the server refuses everything.
    while b"status unknown for quota" in answer.data and time.monotonic() < deadline:
        time.sleep(0.5)
        answer = attempt(cluster, namespace, pod(**container))
    assert answer.status == (403 if refused else 201), answer.data
    assert refused.encode() in answer.data


def test_a_container_that_asks_for_nothing_gets_the_defaults(
    delivered: dict[str, dict[str, Any]], cluster: Cluster
) -> None:
    assert delivered
    answer = attempt(cluster, "banking-data", pod())
    assert answer.status == 201, answer.data
    made = json.loads(answer.data)["spec"]
    assert made["containers"][0]["resources"] == {
        "limits": {"memory": "256Mi"},
        "requests": {"cpu": "50m", "memory": "128Mi"},
    }
    assert not made.get("volumes")  # no token
    assert made["priorityClassName"] == "banking-standard"


@pytest.mark.parametrize(
    ("group", "namespace", "verb", "resource", "allowed"),
    [
        ("banking-operators", "banking-system", "delete", "pods", True),
        ("banking-operators", "banking-system", "get", "secrets", False),
        ("banking-operators", "banking-system", "create", "pods/exec", False),
        ("banking-operators", "banking-data", "delete", "pods", False),
        ("banking-dba", "banking-data", "delete", "pods", True),
        ("banking-dba", "banking-system", "list", "pods", False),
        ("banking-developers", "banking-system", "list", "pods", True),
        ("banking-developers", "banking-system", "delete", "pods", False),
        ("banking-auditors", "banking-security", "list", "networkpolicies", True),
        ("banking-auditors", "banking-security", "get", "secrets", False),
        ("banking-auditors", "kube-system", "list", "pods", False),
    ],
)
def test_groups_may_do_what_their_roles_say(
    delivered: dict[str, dict[str, Any]],
    cluster: Cluster,
    group: str,
    namespace: str,
    verb: str,
    resource: str,
    allowed: bool,
) -> None:
    assert delivered
    kind, _slash, sub = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": "somebody",
            "groups": [f"oidc:{group}", "system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": "networking.k8s.io" if kind == "networkpolicies" else "",
                "resource": kind,
                "subresource": sub,
            },
        },
    }
    answer = cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer["status"].get("allowed", False) is allowed
