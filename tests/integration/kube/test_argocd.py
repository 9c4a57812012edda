# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From direct delivery to ArgoCD's and back, on a real API server. No ArgoCD runs here: the tests play its part."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Conflict
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import Repository
from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

pytestmark = pytest.mark.api

MANAGER = argocd.MANAGER
WORKLOAD = """
apiVersion: v1
kind: Namespace
metadata: {name: "{{ demo_namespace }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: "{{ demo_namespace }}"}
data: {level: "{{ demo_level }}"}
"""


class ArgoCD:
    """What ArgoCD does with an object of Git: it applies it server-side, by its name, and here without force."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def sync(self, item: dict[str, Any], path: str) -> dict[str, Any]:
        query = f"fieldManager={MANAGER}&force=false"
        return self.client._request("PATCH", f"{path}?{query}", body=item, content="application/apply-patch+yaml")[1]


def module(cluster: Cluster, name: str, *items: Any, check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's own run."""
    defaults = {option: told.get("default") for option, told in spec.APPLY.items()}
    wish = {**defaults, "kubeconfig": cluster.admin, "component": name, "objects": list(items), **options}
    applying, _warnings, failure = execute.run(wish, check, with_diff=True)
    return {**applying.result(), "failure": failure.cause if failure else ""}


def managers(item: dict[str, Any]) -> set[tuple[str, str]]:
    return {(entry["manager"], entry["operation"]) for entry in item["metadata"]["managedFields"]}


def steady(item: dict[str, Any]) -> dict[str, Any]:
    """An object without what says who owns it; what controllers say of it is theirs."""
    left_out = ("managedFields", "resourceVersion")
    meta = {key: value for key, value in item["metadata"].items() if key not in left_out}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": meta}


def test_what_we_applied_is_handed_over_unchanged(cluster: Cluster, namespace: str, name: str, client: Client) -> None:
    wanted = [
        objects.config_map(namespace, "settings", level="info", old="1"),
        objects.secret(namespace, "login", password="correct horse"),
        objects.service(namespace, "web"),
        objects.deployment(namespace, "web"),
    ]
    once = objects.config_map(namespace, "once")
    once["metadata"]["annotations"] = {"platform.banking/create-only": "true"}
    assert module(cluster, name, *wanted, once)["failure"] == ""
    paths = {
        "settings": f"/api/v1/namespaces/{namespace}/configmaps/settings",
        "login": f"/api/v1/namespaces/{namespace}/secrets/login",
        "service": f"/api/v1/namespaces/{namespace}/services/web",
        "deployment": f"/apis/apps/v1/namespaces/{namespace}/deployments/web",
    }
    # Its controller has been there, and leaves it alone from then on.
    wait_until(lambda: "observedGeneration" in (cluster.get(paths["deployment"]).get("status") or {}))
    before = {key: cluster.get(path) for key, path in paths.items()}

    hand_over = functools.partial(module, cluster, name, *wanted, once, state="handed_over")
    planned = hand_over(check=True)
    assert (planned["failure"], planned["counts"]) == ("", {"update": 4, "none": 1})
    assert all(("banking.platform", "Apply") in managers(cluster.get(path)) for path in paths.values())
    refused = hand_over(approved={"steps": planned["plan"][1:], "waiting": False})
    assert "1 of 5 steps differ from the approved plan, nothing was changed" in refused["failure"]
    done = hand_over(approved={"steps": json.loads(json.dumps(planned["plan"])), "waiting": False})
    assert (done["failure"], done["changed"], done["counts"]) == ("", True, {"update": 4, "none": 1})
    assert "correct horse" not in json.dumps(done)
    after = {key: cluster.get(path) for key, path in paths.items()}
    for key, item in after.items():
        assert steady(item) == steady(before[key]), key
        assert ("banking.platform", "Apply") not in managers(item), key
        assert (MANAGER, "Apply") in managers(item), key
    assert ("banking.platform", "Apply") in managers(cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/once"))
    again = hand_over()
    assert (again["failure"], again["changed"], again["counts"]) == ("", False, {"none": 5})

    # ArgoCD applies what Git says: no conflict, and what Git no longer says is gone, our marks too.
    argo = ArgoCD(client)
    synced = argo.sync(objects.config_map(namespace, "settings", level="debug"), paths["settings"])
    assert synced["data"] == {"level": "debug"}
    assert "platform.banking/component" not in synced["metadata"].get("labels", {})
    scaled = argo.sync(objects.deployment(namespace, "web", replicas=3), paths["deployment"])
    assert scaled["spec"]["replicas"] == 3
    assert module(cluster, name, *wanted, once, state="handed_over")["changed"] is False

    # Whoever goes past Git by mistake is told who owns it; in an emergency it is taken, and given back afterwards.
    changed = objects.config_map(namespace, "settings", level="trace")
    refused = module(cluster, name, changed, prune=False)
    assert f"{MANAGER} owns .data.level" in refused["failure"]
    taken = module(cluster, name, changed, prune=False, take_over_from=[MANAGER])
    assert (taken["failure"], taken["plan"][0]["note"].partition(":")[0]) == ("", "taken over")
    with pytest.raises(Conflict):
        argo.sync(objects.config_map(namespace, "settings", level="debug"), paths["settings"])
    assert module(cluster, name, changed, state="handed_over")["counts"] == {"update": 1}
    assert argo.sync(objects.config_map(namespace, "settings", level="debug"), paths["settings"])["data"] == {
        "level": "debug"
    }


def test_drift_is_argocds_to_put_back(cluster: Cluster, namespace: str, name: str, client: Client) -> None:
    wanted, path = objects.config_map(namespace, "a", level="info"), f"/api/v1/namespaces/{namespace}/configmaps/a"
    module(cluster, name, wanted)
    # Both owned it for a while: it had synchronised before it was handed over.
    ArgoCD(client).sync(wanted, path)
    cluster.patch(path, {"data": {"level": "debug"}})
    assert module(cluster, name, wanted, state="handed_over")["failure"] == ""
    found = cluster.get(path)
    assert found["data"] == {"level": "debug"}
    assert ("banking.platform", "Apply") not in managers(found)
    assert module(cluster, name, wanted, state="handed_over")["changed"] is False


# By playbooks


class GitOps:
    """A role of an early wave, a repository, and plays with a task of ours."""

    def __init__(self, folder: Path, cluster: Cluster, name: str) -> None:
        self.folder, self.cluster, self.name = folder, cluster, name
        self.remote = folder / "remote.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote)], check=True)
        self.variables: dict[str, Any] = {
            "platform_release": "2024.1",
            "platform_delivery": "gitops",
            "platform_git": {"url": str(self.remote)},
            "platform_build_dir": str(folder / "build"),
            "platform_kubeconfig": cluster.admin,
            "argocd_git_credentials": {"username": "reader", "password": "correct horse"},
            "demo_namespace": name,
            "demo_level": "info",
        }
        self.put("roles/demo/templates/manifests/workload.yml.j2", WORKLOAD)
        task = {"name": name, "wave": 3, "timeout": 60}
        self.put("roles/demo/tasks/main.yml", yaml.safe_dump([{"banking.platform.component": task}]))

    def put(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def start(self, play: dict[str, Any], *options: str, **variables: Any) -> subprocess.Popen[str]:
        self.put("play.yml", yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, **play}]))
        env = os.environ | {
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(self.folder / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
        }
        command = ["ansible-playbook", str(self.folder / "play.yml"), "-i", "nobody,", "-e"]
        return subprocess.Popen(
            [*command, json.dumps({**self.variables, **variables}), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    @staticmethod
    def result(process: subprocess.Popen[str]) -> dict[str, Any]:
        out, errors = process.communicate(timeout=300)
        assert "{" in out, errors
        assert "correct horse" not in out + errors
        said, _end = json.JSONDecoder().raw_decode(out[out.index("{") :])
        return dict(said["plays"][0]["tasks"][-1]["hosts"]["localhost"])

    def deliver(self, *options: str, **variables: Any) -> dict[str, Any]:
        return self.result(self.start({"roles": ["demo"]}, *options, **variables))

    def adopt(self, *options: str) -> dict[str, Any]:
        return self.result(self.start({"tasks": [{"banking.platform.adopt": {}}]}, *options))

    def gate(self, *options: str) -> subprocess.Popen[str]:
        task = {"banking.platform.gate": {"wave": 3, "components": [self.name], "timeout": 60}}
        return self.start({"tasks": [task]}, *options)

    def commits(self) -> list[str]:
        log = ["git", "-C", str(self.remote), "log", "--format=%s", "main"]
        return subprocess.run(log, capture_output=True, text=True, check=True).stdout.splitlines()

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.cluster.get(f"/api/v1/namespaces/{self.name}/configmaps/settings"))


@pytest.fixture
def gitops(tmp_path: Path, cluster: Cluster, client: Client, name: str, apply: Any) -> Iterator[GitOps]:
    folder = crds_folder()
    if folder is None:
        pytest.skip("no CRDs: set PLATFORM_CRDS to a folder with one folder a release")
    crds = [yaml.safe_load(path.read_text()) for path in sorted((folder / "2024.1" / "argo-cd").glob("*.yaml"))]
    apply(*crds, objects.namespace("argocd"), component="argocd", wait=True, timeout=60)
    yield GitOps(tmp_path, cluster, name)
    # Other tests have no ArgoCD.
    client.delete(argocd.path(argocd.ROOT))
    apply(component="gitops", state="absent")


def test_from_the_first_delivery_to_git_alone_and_past_it(gitops: GitOps) -> None:
    cluster, root = gitops.cluster, argocd.path(argocd.ROOT)
    planned = gitops.deliver("--check")
    assert not planned.get("failed"), planned["msg"]
    kinds = {step["kind"] for step in planned["plan"]}
    assert {"file", "Namespace", "ConfigMap"} <= kinds
    assert gitops.settings == {}

    # Before ArgoCD follows Git: into Git, and into the cluster.
    first = gitops.deliver()
    assert not first.get("failed"), first
    assert (first["changed"], gitops.settings["data"]) == (True, {"level": "info"})
    assert gitops.commits() == [f"{gitops.name}: 3 added"]
    assert gitops.deliver()["changed"] is False
    ready = gitops.result(gitops.gate())
    assert not ready.get("failed"), ready

    # ArgoCD follows.
    planned = gitops.adopt("--check")
    assert not planned.get("failed"), planned["msg"]
    assert planned["changed"]
    assert cluster.get(root) == {}
    adopted = gitops.adopt()
    assert not adopted.get("failed"), adopted
    assert cluster.get(root)["spec"]["source"]["repoURL"] == str(gitops.remote)
    assert managers(gitops.settings) >= {(MANAGER, "Apply")}
    assert ("banking.platform", "Apply") not in managers(gitops.settings)
    again = gitops.adopt()
    assert (again["changed"], [step for step in again["plan"] if step["action"] != "none"]) == (False, [])

    # From then on it is Git alone.
    second = gitops.deliver(demo_level="debug")
    assert (second["changed"], {step["kind"] for step in second["plan"]}) == (True, {"file"})
    assert gitops.settings["data"] == {"level": "info"}
    refused = gitops.deliver(platform_delivery="direct")
    assert "ArgoCD follows Git here (Application argocd/platform)" in refused["msg"]
    assert "platform_break_glass_reason" in refused["msg"]

    # Past it only for a reason, with its Application held back.
    application = argocd.application(gitops.name, 3, f"components/03-{gitops.name}", Repository(str(gitops.remote)))
    path = argocd.path(gitops.name)
    cluster.post(path.rpartition("/")[0], application)
    refused = gitops.deliver(platform_break_glass=True)
    assert "platform_break_glass is set without a reason" in refused["msg"]
    glass: dict[str, Any] = {"platform_break_glass": True, "platform_break_glass_reason": "INC-1: Git is down"}
    planned = gitops.deliver("--check", demo_level="trace", **glass)
    assert [step["kind"] for step in planned["plan"]] == ["delivery", "Application.argoproj.io", "ConfigMap"]
    assert cluster.get(path)["spec"]["syncPolicy"]["automated"]
    past = gitops.deliver(demo_level="trace", **glass)
    assert not past.get("failed"), past
    assert past["plan"][0] == {
        "kind": "delivery",
        "target": gitops.name,
        "action": "update",
        "before": {"way": "gitops"},
        "after": {"way": "direct"},
        "note": "INC-1: Git is down",
    }
    assert past["warnings"] == [f"component {gitops.name}: delivered past Git: INC-1: Git is down"]
    assert gitops.settings["data"] == {"level": "trace"}
    assert "automated" not in cluster.get(path)["spec"]["syncPolicy"]
    assert gitops.deliver(demo_level="trace", **glass)["changed"] is False
    assert len(gitops.commits()) == 2

    # The next run writes Git, and lets ArgoCD go on.
    assert gitops.deliver(demo_level="trace")["changed"]
    assert gitops.adopt()["changed"]
    planned = gitops.result(gitops.gate("--check"))
    assert [step["note"] for step in planned["plan"]] == ["synchronised by itself again"]
    running = gitops.gate()
    wait_until(lambda: "argocd.argoproj.io/refresh" in (cluster.get(path)["metadata"].get("annotations") or {}))
    assert cluster.get(path)["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    status = {"sync": {"status": "Synced", "comparedTo": compared(application)}, "health": {"status": "Healthy"}}
    asked = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}}
    cluster.patch(path, {**asked, "status": status})
    gone_on = gitops.result(running)
    assert not gone_on.get("failed"), gone_on
    assert (gone_on["changed"], len(gone_on["plan"])) == (True, 1)


def compared(application: dict[str, Any]) -> dict[str, Any]:
    return {key: application["spec"][key] for key in ("source", "destination")}


def test_a_component_that_is_new_in_git_is_waited_for(gitops: GitOps) -> None:
    gitops.deliver()
    assert not gitops.adopt().get("failed")
    running = gitops.gate()
    root = argocd.path(argocd.ROOT)
    cluster = gitops.cluster
    wait_until(lambda: "argocd.argoproj.io/refresh" in (cluster.get(root)["metadata"].get("annotations") or {}))
    assert running.poll() is None
    application = argocd.application(gitops.name, 3, f"components/03-{gitops.name}", Repository(str(gitops.remote)))
    status = {"sync": {"status": "Synced", "comparedTo": compared(application)}, "health": {"status": "Healthy"}}
    path = argocd.path(gitops.name)
    cluster.post(path.rpartition("/")[0], {**application, "status": status})
    wait_until(lambda: "argocd.argoproj.io/refresh" in (cluster.get(path)["metadata"].get("annotations") or {}))
    cluster.patch(path, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}})
    found = gitops.result(running)
    assert not found.get("failed"), found
    assert found["changed"] is False


def wait_until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
