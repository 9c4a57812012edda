# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine against a real API server: apply, drift, conflicts, pruning, check mode, waits."""

from __future__ import annotations

import base64
import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    Client,
    Conflict,
    Forbidden,
    Unreachable,
    connector,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, PlanFailed
from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster, free_port
from ansible_collections.banking.platform.tools import suites

Run = Callable[..., dict[str, Any]]


def everything(where: str) -> list[dict[str, Any]]:
    return [
        objects.namespace(where),
        objects.deployment(where, "app"),
        objects.service(where, "app"),
        objects.config_map(where, "settings", level="info"),
        objects.secret(where, "login", password="correct horse"),
        objects.role(where, "reader"),
        objects.network_policy(where, "closed"),
        objects.service_account(where, "runner", "banking.test/a"),
    ]


def wait_until(what: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    return what()


def test_second_apply_sends_nothing(apply: Run, name: str) -> None:
    first = apply(*everything(name))
    assert first["changed"]
    assert first["counts"] == {"create": 8}
    second = apply(*everything(name))
    assert not second["changed"]
    assert second["plan"] == []
    assert set(second["requests"]) == {"GET"}


# Where the object is, what somebody does to it, and how it is put right.
DRIFT = {
    "edit": ("/apis/apps/v1/namespaces/{}/deployments/app", {"spec": {"replicas": 5}}),
    "annotation removed": (
        "/api/v1/namespaces/{}/configmaps/settings",
        {"metadata": {"annotations": {"platform.banking/digest": None}}},
    ),
    "label removed": (
        "/apis/apps/v1/namespaces/{}/deployments/app",
        {"metadata": {"labels": {"app": None}}},
    ),
    "component removed": (
        "/api/v1/namespaces/{}/configmaps/settings",
        {"metadata": {"labels": {"platform.banking/component": None}}},
    ),
    "data": ("/api/v1/namespaces/{}/configmaps/settings", {"data": {"level": "debug"}}),
    "key removed": ("/api/v1/namespaces/{}/configmaps/settings", {"data": {"level": None}}),
    "secret": ("/api/v1/namespaces/{}/secrets/login", {"data": {"password": base64.b64encode(b"x").decode()}}),
    "environment variable": (
        "/apis/apps/v1/namespaces/{}/deployments/app",
        [{"op": "replace", "path": "/spec/template/spec/containers/0/env/1/value", "value": "3"}],
    ),
    "item removed": (
        "/apis/apps/v1/namespaces/{}/deployments/app",
        [{"op": "remove", "path": "/spec/template/spec/containers/0/env/0"}],
    ),
    "field removed": (
        "/apis/apps/v1/namespaces/{}/deployments/app",
        [{"op": "remove", "path": "/spec/template/spec/containers/0/resources/limits/cpu"}],
    ),
    "whole list": (
        "/apis/apps/v1/namespaces/{}/deployments/app",
        [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--debug"}],
    ),
    "port": (
        "/api/v1/namespaces/{}/services/app",
        [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}],
    ),
    "port removed": ("/api/v1/namespaces/{}/services/app", [{"op": "remove", "path": "/spec/ports/1"}]),
    "rules": (
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles/reader",
        [{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}],
    ),
    "empty list filled": (
        "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies/closed",
        {"spec": {"ingress": [{}]}},
    ),
    "value of a set": ("/api/v1/namespaces/{}/serviceaccounts/runner", {"metadata": {"finalizers": ["other.test/b"]}}),
    "ownership": ("/api/v1/namespaces/{}/configmaps/settings", {"metadata": {"managedFields": [{}]}}),
}
# Put back too, but no difference that anybody would see.
UNSHOWN = ("ownership", "annotation removed")
# What is not ours may stay as others have it: an item of a set that we don't apply.
IGNORED = ("f:status", "managedFields", "resourceVersion", "generation", "finalizers")


def _content(cluster: Cluster, path: str) -> Any:
    live = cluster.get(path)
    live["metadata"] = {key: value for key, value in live["metadata"].items() if key not in IGNORED}
    live.pop("status", None)
    annotations = live["metadata"].get("annotations", {})
    annotations.pop("deployment.kubernetes.io/revision", None)
    return live


@pytest.mark.parametrize("what", DRIFT)
def test_drift_is_put_back(apply: Run, cluster: Cluster, name: str, what: str) -> None:
    apply(*everything(name))
    path, change = DRIFT[what][0].format(name), DRIFT[what][1]
    before = _content(cluster, path)
    cluster.patch(path, change)
    if what not in ("ownership", "value of a set"):
        assert _content(cluster, path) != before
    shown = apply(*everything(name), check=True)
    result = apply(*everything(name))
    assert result["counts"].get("update", 0) == (what not in UNSHOWN), result["plan"]
    assert shown["counts"] == result["counts"]
    assert _content(cluster, path) == before
    assert result["requests"]["PATCH"] <= 2
    again = apply(*everything(name))
    assert not again["changed"]
    assert "PATCH" not in again["requests"]


def kubectl(cluster: Cluster, *words: str) -> str:
    program = suites.kubernetes_programs() / "kubectl"
    if not program.exists():
        pytest.skip(f"there is no {program}")
    done = subprocess.run(
        [str(program), f"--kubeconfig={cluster.admin}", *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_kubectl_scale_is_put_back(apply: Run, cluster: Cluster, name: str) -> None:
    apply(*everything(name))
    kubectl(cluster, "-n", name, "scale", "deployment/app", "--replicas=7")
    result = apply(*everything(name))
    assert [step["note"] for step in result["plan"]] == ["put back: .spec.replicas changed by kubectl"]
    assert cluster.get(f"/apis/apps/v1/namespaces/{name}/deployments/app")["spec"]["replicas"] == 2


def test_kubectl_apply_of_another_version_is_a_conflict_and_not_drift(apply: Run, cluster: Cluster, name: str) -> None:
    apply(*everything(name))
    other = cluster.folder / f"{name}.yml"
    other.write_text(yaml.safe_dump(objects.config_map(name, "settings", level="debug")))
    kubectl(cluster, "apply", "--server-side", "--force-conflicts", "--field-manager=other-team", "-f", str(other))
    with pytest.raises(PlanFailed) as failed:
        apply(*everything(name))
    assert "other-team owns .data.level" in failed.value.cause
    assert "take_over" in failed.value.next_step
    taken = apply(*everything(name), take_over=True)
    assert taken["changed"]
    assert cluster.get(f"/api/v1/namespaces/{name}/configmaps/settings")["data"] == {"level": "info"}
    assert not apply(*everything(name))["changed"]


def test_what_a_controller_set_is_a_conflict(apply: Run, cluster: Cluster, name: str) -> None:
    apply(*everything(name))
    cluster.patch(f"/apis/apps/v1/namespaces/{name}/deployments/app", {"spec": {"replicas": 4}}, "keda-operator")
    with pytest.raises(PlanFailed) as failed:
        apply(*everything(name))
    assert "keda-operator owns .spec.replicas" in failed.value.cause


def test_what_was_there_before_is_a_conflict(apply: Run, cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.post(f"{path}?fieldManager=somebody", objects.config_map(namespace, "settings", level="debug"))
    with pytest.raises(PlanFailed) as failed:
        apply(objects.config_map(namespace, "settings", level="info"))
    assert "somebody owns .data.level" in failed.value.cause


def test_what_others_add_stays(apply: Run, cluster: Cluster, name: str) -> None:
    apply(*everything(name))
    path = f"/api/v1/namespaces/{name}/configmaps/settings"
    cluster.patch(path, {"data": {"theirs": "1"}, "metadata": {"annotations": {"note": "x"}}})
    assert not apply(*everything(name))["changed"]
    assert cluster.get(path)["data"] == {"level": "info", "theirs": "1"}


def test_a_field_that_is_no_longer_wanted_goes(apply: Run, cluster: Cluster, namespace: str) -> None:
    apply(objects.config_map(namespace, "settings", level="info", old="1"))
    result = apply(objects.config_map(namespace, "settings", level="info"))
    assert [(step["before"], step.get("after")) for step in result["plan"]] == [({"data.old": "1"}, {})]
    assert cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/settings")["data"] == {"level": "info"}


def test_a_digest_that_differs_without_a_difference_is_no_change(apply: Run, namespace: str) -> None:
    wanted = objects.deployment(namespace, "app")
    apply(wanted)
    wanted["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1"
    assert not apply(wanted)["changed"]
    assert "PATCH" not in apply(wanted)["requests"]


# Other components


def test_an_object_belongs_to_one_component(apply: Run, namespace: str) -> None:
    apply(objects.config_map(namespace, "settings", level="info"))
    with pytest.raises(Failure, match=f"settings belongs to the component {namespace}"):
        apply(objects.config_map(namespace, "settings", level="debug"), component="another")
    apply(objects.config_map(namespace, "settings", level="debug"), component="another", take_over=True)


def test_what_is_only_created_is_never_changed(apply: Run, cluster: Cluster, namespace: str) -> None:
    once = objects.config_map(namespace, "mode", enforce="no")
    once["metadata"]["annotations"] = {"platform.banking/create-only": "true"}
    assert apply(once)["counts"] == {"create": 1}
    apply(objects.config_map(namespace, "mode", enforce="yes"), component="enforcing", take_over=True)
    result = apply(once)
    assert not result["changed"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": "mode"}
    assert not apply(objects.config_map(namespace, "mode", enforce="no"), create_only=[reference])["changed"]
    assert cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/mode")["data"] == {"enforce": "yes"}


# Pruning


def test_prune_removes_what_the_component_had_only(apply: Run, cluster: Cluster, namespace: str) -> None:
    cluster.post(f"/api/v1/namespaces/{namespace}/configmaps", objects.config_map(namespace, "theirs"))
    # With our label, but never applied by us: a controller that copies labels.
    copied = objects.config_map(namespace, "copied")
    copied["metadata"]["labels"] = {"platform.banking/component": namespace}
    cluster.post(f"/api/v1/namespaces/{namespace}/configmaps", copied)
    kept = objects.config_map(namespace, "kept")
    apply(kept, objects.config_map(namespace, "gone"), objects.role(namespace, "gone"))
    shown = apply(kept, check=True)
    assert shown["counts"] == {"none": 1, "delete": 2}
    assert cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/gone")
    result = apply(kept, wait=True)
    assert sorted(step["kind"] for step in result["plan"]) == ["ConfigMap", "Role"]
    assert not cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/gone")
    assert not cluster.get(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/gone")
    assert cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/copied")
    assert not apply(kept)["changed"]


def test_prune_false_keeps_and_a_later_run_finds(apply: Run, namespace: str) -> None:
    kept = objects.config_map(namespace, "kept")
    apply(kept, objects.role(namespace, "gone"))
    assert not apply(kept, prune=False)["changed"]
    assert apply(kept)["counts"] == {"none": 1, "delete": 1}


def test_namespaces_are_kept_unless_asked(apply: Run, cluster: Cluster, name: str) -> None:
    apply(objects.namespace(name), objects.config_map(name, "a"))
    result = apply(state="absent")
    assert {step["action"] for step in result["plan"]} == {"none", "delete"}
    assert cluster.get(f"/api/v1/namespaces/{name}")["status"]["phase"] == "Active"
    assert not apply(state="absent")["changed"]
    apply(state="absent", prune_protected=True, wait=True, timeout=60)
    assert not cluster.get(f"/api/v1/namespaces/{name}")
    assert not cluster.get(f"/api/v1/namespaces/kube-system/configmaps/platform-inventory-{name}")


def test_an_empty_component_is_an_error(apply: Run) -> None:
    with pytest.raises(Failure, match="has no objects"):
        apply()


# Kinds and namespaces that are not there yet


def test_a_crd_and_its_resource_in_one_call(apply: Run, cluster: Cluster, namespace: str) -> None:
    kind = f"Ledger{namespace}"
    resource = {
        "apiVersion": "test.banking.local/v1",
        "kind": kind,
        "metadata": {"name": "main", "namespace": namespace},
        "spec": {"currency": "EUR"},
    }
    both = (resource, objects.crd(kind, currency="string"))
    shown = apply(*both, check=True)
    assert shown["deferred"] == [f"{kind}.test.banking.local {namespace}/main: CRD {kind.lower()}s.test.banking.local"]
    assert apply(*both)["counts"] == {"create": 2}
    second = apply(*both)
    assert not second["changed"]
    assert "PATCH" not in second["requests"]
    result = apply(resource)
    assert [(step["kind"], step["action"]) for step in result["plan"]] == [("CustomResourceDefinition", "none")]
    with pytest.raises(PlanFailed, match="notthere"):
        apply({**resource, "spec": {"currency": "EUR", "notthere": 1}}, both[1])


def test_a_missing_crd_is_one_error(apply: Run, cluster: Cluster, namespace: str) -> None:
    made = [
        {"apiVersion": "nobody.test/v1", "kind": "Nothing", "metadata": {"name": f"n{n}", "namespace": namespace}}
        for n in range(3)
    ]
    with pytest.raises(
        Failure, match=r"the server has no nobody.test/v1 Nothing \(n0 and 2 more\): its CRD is missing"
    ):
        apply(*made)
    shown = apply(*made, check=True)
    assert shown["deferred"][0].endswith("CRD of nobody.test/v1 Nothing")


def test_check_mode_before_the_namespace_is_there(apply: Run, cluster: Cluster, name: str) -> None:
    shown = apply(*everything(name), check=True, diff=True)
    assert shown["counts"] == {"create": 8}
    assert f"Deployment {name}/app: namespace {name}" in shown["deferred"]
    assert not cluster.get(f"/api/v1/namespaces/{name}")


def test_check_mode_changes_nothing_and_validates(apply: Run, cluster: Cluster, namespace: str) -> None:
    apply(objects.deployment(namespace, "app"), check=True)
    assert not cluster.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/app")
    broken = objects.deployment(namespace, "app")
    broken["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
    with pytest.raises(PlanFailed, match="selector"):
        apply(broken, check=True)


def test_diff_masks_secrets_and_leaves_out_what_the_server_sets(apply: Run, namespace: str) -> None:
    first = apply(objects.secret(namespace, "login", password="correct horse"), diff=True)
    result = apply(objects.secret(namespace, "login", password="battery staple"), diff=True)
    text = json.dumps([first, result])
    for word in ("correct horse", "battery staple", base64.b64encode(b"battery staple").decode(), "managedFields"):
        assert word not in text
    (diff,) = result["diff"]
    assert diff["before"] != diff["after"]
    assert "secret:" in diff["after"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"name": "x"}}, "has no namespace"),
        ({"metadata": {}}, r"metadata.name is missing"),
        ({"kind": None}, "kind is missing"),
        ({"dat": {"a": "b"}}, "dat"),
        ({"data": {"a": 1}}, "data"),
        ({"metadata": {"name": "Not_A_Name", "namespace": "{namespace}"}}, "Invalid value"),
    ],
)
def test_bad_objects_are_refused(apply: Run, namespace: str, change: dict[str, Any], message: str) -> None:
    made = {**objects.config_map(namespace, "a"), **json.loads(json.dumps(change).replace("{namespace}", namespace))}
    with pytest.raises(Failure, match=message):
        apply(made)


def test_the_same_object_twice_is_refused(apply: Run, namespace: str) -> None:
    with pytest.raises(Failure, match="is there twice"):
        apply(objects.config_map(namespace, "a"), objects.config_map(namespace, "a"))


def test_what_cannot_be_changed_is_made_anew_only_when_asked(apply: Run, cluster: Cluster, namespace: str) -> None:
    def job(image: str, **annotations: str) -> dict[str, Any]:
        container = {"name": "main", "image": image}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "migrate", "namespace": namespace, "annotations": annotations},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        }

    apply(job("a:1"))
    uid = cluster.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate")["metadata"]["uid"]
    with pytest.raises(PlanFailed, match="cannot be changed in place"):
        apply(job("a:2"))
    shown = apply(job("a:2", **{"platform.banking/recreate": "true"}), check=True)
    assert [(step["action"], step["note"]) for step in shown["plan"]] == [("update", "made anew")]
    assert cluster.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate")["metadata"]["uid"] == uid
    result = apply(job("a:2", **{"platform.banking/recreate": "true"}))
    assert result["plan"][0]["note"] == "made anew"
    assert cluster.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/migrate")["metadata"]["uid"] != uid
    assert not apply(job("a:2", **{"platform.banking/recreate": "true"}))["changed"]


# Waiting


def test_wait_sees_an_object_get_ready(apply: Run, cluster: Cluster, namespace: str) -> None:
    def make_ready() -> None:
        path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets/agent"
        live = wait_until(lambda: cluster.get(path))
        time.sleep(0.5)
        live = cluster.get(path)
        live["status"] = {
            **live["status"],
            "observedGeneration": live["metadata"]["generation"],
            "desiredNumberScheduled": 0,
        }
        cluster.request("PUT", f"{path}/status", live)

    agent = objects.deployment(namespace, "agent")
    agent["kind"] = "DaemonSet"
    del agent["spec"]["replicas"]
    helper = threading.Thread(target=make_ready)
    helper.start()
    result = apply(agent, wait=True, timeout=20)
    helper.join()
    assert result["changed"]
    assert not apply(agent, wait=True, timeout=20)["changed"]


def test_wait_names_what_is_not_ready_and_why(apply: Run, namespace: str) -> None:
    with pytest.raises(Failure) as failed:
        apply(objects.deployment(namespace, "app"), objects.config_map(namespace, "a"), wait=True, timeout=2)
    assert f"Deployment {namespace}/app: 0 of 2 replicas available" in failed.value.cause
    assert "ConfigMap" not in failed.value.cause
    assert "event of" in failed.value.cause


# Many


def test_300_objects(apply: Run, name: str) -> None:
    wanted = objects.many(name, 300)
    first = apply(*wanted)
    assert first["counts"] == {"create": 300}
    second = apply(*wanted)
    assert second["counts"] == {"none": 300}
    assert set(second["requests"]) == {"GET"}
    assert second["requests"]["GET"] <= 12


# The server's moods


def test_a_server_that_dies_and_comes_back_in_the_middle(tmp_path: Any) -> None:
    from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish

    with Cluster(tmp_path / "cluster", controllers=False) as own:
        client = Client(connector({"kubeconfig": own.admin}), retry_for=60)
        applying = Apply(client, Wish("dies", objects.many("dies", 300)))
        helper = threading.Thread(target=applying.run)
        helper.start()
        assert wait_until(lambda: client.requests.get("PATCH", 0) > 40)
        own.stop("kube-apiserver")
        time.sleep(1)
        own.start_server()
        helper.join(timeout=90)
        assert applying.result()["counts"]["create"] + applying.result()["counts"].get("update", 0) >= 299
        again = Apply(client, Wish("dies", objects.many("dies", 300)))
        client.requests.clear()
        again.run()
        assert not again.result()["changed"]


def test_no_server_is_one_error(name: str) -> None:
    from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish

    client = Client(connector({"host": f"https://127.0.0.1:{free_port()}", "api_key": "x"}), retry_for=1)
    with pytest.raises(Unreachable, match="cannot be reached"):
        Apply(client, Wish(name, [objects.namespace(name)])).run()


# Credentials


def test_an_expired_token_of_a_plugin_is_renewed_once(apply: Run, cluster: Cluster, namespace: str) -> None:
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    cluster.post(account, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer"}})
    _bind(cluster, namespace, {"kind": "ServiceAccount", "name": "deployer", "namespace": namespace}, "cluster-admin")
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    token = cluster.post(f"{account}/deployer/token", asked)["status"]["token"]
    counter, plugin = cluster.folder / f"{namespace}.count", cluster.folder / f"{namespace}.plugin"
    plugin.write_text(
        f"#!/bin/sh\necho x >> {counter}\n"
        f"token={token}\n[ $(wc -l < {counter}) = 1 ] && token=expired\n"
        'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"%s"}}\' $token\n'
    )
    plugin.chmod(0o755)
    entry = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    config = cluster.kubeconfig(f"plugin-{namespace}", exec=entry)
    used = Client(connector({"kubeconfig": config}))
    assert apply(objects.config_map(namespace, "a"), using=used)["changed"]
    assert counter.read_text().count("x") == 2


def _bind(cluster: Cluster, name: str, subject: dict[str, str], role: str) -> None:
    group = {"apiGroup": "rbac.authorization.k8s.io"} if subject["kind"] == "User" else {}
    cluster.post(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"test-{name}-{role}"},
            "subjects": [{**subject, **group}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        },
    )


def test_an_expired_certificate_is_said(cluster: Cluster, name: str) -> None:
    config = cluster.kubeconfig(f"late-{name}", ("system:masters",), seconds=-60)
    with pytest.raises(Failure) as failed:
        Client(connector({"kubeconfig": config}), retry_for=2).version()
    assert "credentials" in failed.value.cause or "certificate" in failed.value.cause


def test_missing_rights_are_named(apply: Run, cluster: Cluster, namespace: str) -> None:
    config = cluster.kubeconfig(f"viewer-{namespace}")
    used = Client(connector({"kubeconfig": config}))
    with pytest.raises(Forbidden) as failed:
        apply(objects.config_map(namespace, "a"), using=used)
    assert failed.value.cause == f"viewer-{namespace} has no right to get configmaps in namespace kube-system"
    _bind(cluster, namespace, {"kind": "User", "name": f"viewer-{namespace}"}, "view")
    with pytest.raises(Failure) as refused:
        apply(objects.config_map(namespace, "a"), using=used, inventory_namespace=namespace)
    assert f"viewer-{namespace} has no right to patch configmaps in namespace {namespace}" in refused.value.cause
    assert "verb patch" in refused.value.next_step


def test_a_right_on_one_namespace_only_is_enough(apply: Run, cluster: Cluster, namespace: str) -> None:
    user = f"local-{namespace}"
    used = Client(connector({"kubeconfig": cluster.kubeconfig(user)}))
    group = "rbac.authorization.k8s.io"
    cluster.post(
        f"/apis/{group}/v1/namespaces/{namespace}/rolebindings",
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "local"},
            "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
        },
    )
    wanted = (objects.config_map(namespace, "a"), objects.deployment(namespace, "app"))
    assert apply(*wanted, using=used, inventory_namespace=namespace)["changed"]
    assert not apply(*wanted, using=used, inventory_namespace=namespace)["changed"]


def test_conflict_is_of_the_clients_family(client: Client, cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    cluster.post(f"{path}?fieldManager=somebody", objects.config_map(namespace, "a", key="1"))
    with pytest.raises(Conflict) as failed:
        client.apply(f"{path}/a", objects.config_map(namespace, "a", key="2"))
    assert (failed.value.method, failed.value.path, failed.value.status) == ("PATCH", f"{path}/a", 409)
    assert failed.value.causes[0]["field"] == ".data.key"


class Moody(http.server.BaseHTTPRequestHandler):
    """Passes requests on to the API server, but answers every third with 429 or 500, and hangs up on every tenth."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster
    numbers = itertools.count(1)

    def answer(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = next(self.numbers)
        if number % 10 == 0:
            self.close_connection = True
            self.connection.close()
            return
        if number % 3 == 0:
            status, body, more = (429, b"{}", {"Retry-After": "0"}) if number % 2 else (500, b'{"message": "no"}', {})
        else:
            sent = {key: self.headers[key] for key in ("Content-Type", "Accept") if self.headers[key]}
            real = self.cluster.pool.request(
                self.command, self.cluster.url + self.path, body=data or None, headers=sent
            )
            status, body, more = real.status, real.data, {"Content-Type": real.headers["Content-Type"]}
        self.send_response(status)
        for key, value in {**more, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args: Any) -> None:
        pass


def test_a_moody_server_gets_everything_all_the_same(apply: Run, cluster: Cluster, name: str) -> None:
    handler = type("Handler", (Moody,), {"cluster": cluster})
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    used = Client(connector({"host": f"http://127.0.0.1:{proxy.server_address[1]}", "api_key": "x"}))
    try:
        first = apply(*objects.many(name, 60), using=used)
        second = apply(*objects.many(name, 60), using=used)
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
    assert sum(first["counts"].values()) == 60
    assert "none" not in first["counts"]
    assert not second["changed"]


# The modules themselves


def playbook(cluster: Cluster, where: Path, task: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    path = where / "playbook.yml"
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "K8S_AUTH_KUBECONFIG": cluster.admin,
    }
    program = Path(sys.executable).parent / "ansible-playbook"
    interpreter = f"ansible_python_interpreter={sys.executable}"
    command = [str(program), str(path), "-i", "localhost,", "-c", "local", "-e", interpreter, *options]
    return subprocess.run(command, env=environment, cwd=where, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", [False, True])
def test_in_a_playbook_in_its_process_and_as_a_module(
    cluster: Cluster, name: str, tmp_path: Path, module: bool
) -> None:
    wanted = [objects.namespace(name), objects.secret(name, "login", password="correct horse")]
    task: dict[str, Any] = {"banking.platform.k8s_apply": {"component": name, "objects": wanted}}
    if module:
        task["environment"] = {"AN_ENVIRONMENT": "which only a module is given"}
    shown = playbook(cluster, tmp_path, task, "--check", "--diff", "-vvv")
    assert shown.returncode == 0, shown.stdout
    assert "changed=1" in shown.stdout
    assert not cluster.get(f"/api/v1/namespaces/{name}")
    first = playbook(cluster, tmp_path, task, "--diff", "-vvv")
    assert "changed=1" in first.stdout, first.stdout
    second = playbook(cluster, tmp_path, task, "-vvv")
    assert "changed=0" in second.stdout, second.stdout
    for text in (shown.stdout, first.stdout, second.stdout):
        assert ("AnsiballZ_k8s_apply" in text) is module
        # The playbook itself holds the secret; what the module says must not.
        assert "correct horse" not in text
        assert base64.b64encode(b"correct horse").decode() not in text


def test_the_module_waits_and_says_so(cluster: Cluster, name: str, tmp_path: Path) -> None:
    wanted = [objects.namespace(name), objects.deployment(name, "app")]
    arguments = {"component": name, "objects": wanted, "wait": True, "timeout": 24}
    failed = playbook(cluster, tmp_path, {"banking.platform.k8s_apply": arguments})
    assert failed.returncode == 2
    assert f"{name}: waiting for 1 object(s)" in failed.stdout
    assert f"Deployment {name}/app: 0 of 2 replicas available" in failed.stdout


def test_check_mode_before_there_is_a_cluster(cluster: Cluster, name: str, tmp_path: Path) -> None:
    arguments = {
        "component": name,
        "objects": [objects.namespace(name)],
        "host": f"https://127.0.0.1:{free_port()}",
        "api_key": "x",
        "retry_for": 1,
    }
    task = {"banking.platform.k8s_apply": arguments}
    shown = playbook(cluster, tmp_path, task, "--check", "-v")
    assert shown.returncode == 0, shown.stdout
    assert "planned against an empty cluster" in shown.stdout + shown.stderr
    assert f"Namespace {name}: cluster" in shown.stdout
    failed = playbook(cluster, tmp_path, task)
    assert failed.returncode == 2
    assert "cannot be reached" in failed.stdout


def test_the_drain_module_in_a_playbook(cluster: Cluster, name: str, tmp_path: Path) -> None:
    cluster.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    task = {"banking.platform.drain": {"name": name}}
    assert "changed=1" in playbook(cluster, tmp_path, task).stdout
    assert "changed=0" in playbook(cluster, tmp_path, task).stdout
    failed = playbook(cluster, tmp_path, {"banking.platform.drain": {"name": "nowhere"}})
    assert "there is no node nowhere" in failed.stdout
