# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way `gate` waits, and what `adopt` hands over: without a cluster. With one: tests/integration/kube."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.action import adopt, gate
from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Unreachable
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree, Repository
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action, trusted

AUTOMATED = {"prune": True, "selfHeal": True}
CONFIG = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: n}}"


class Cluster:
    """Applications by name, and what components have an inventory; None for a cluster that is not there."""

    def __init__(self, applications: dict[str, Any] | None, applied: tuple[str, ...] = ()) -> None:
        self.applications, self.applied = applications, applied
        self.patches: list[tuple[str, Any]] = []

    def find(self, path: str) -> Any:
        if self.applications is None:
            raise Unreachable("the API server cannot be reached")
        return self.applications.get(path.rpartition("/")[2])

    def list(self, _path: str, labels: str) -> list[dict[str, Any]]:
        if self.applications is None:
            raise Unreachable("the API server cannot be reached")
        return [{"metadata": {"labels": {labels: name}}} for name in self.applied]

    def patch(self, path: str, body: Any) -> None:
        self.patches.append((path.rpartition("/")[2], body))


class Called:
    """An action that is called with a cluster, and what it hands to k8s_apply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch = monkeypatch
        self.sent: list[dict[str, Any]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, Any] = {
            "platform_release": "2024.1",
            "platform_delivery": "gitops",
            "platform_git": {"url": str(folder / "remote.git"), "path": "prod"},
            "platform_build_dir": str(folder / "build"),
            "inventory_hostname": "localhost",
        }
        self.remote = Repository(str(folder / "remote.git"), path="prod")
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", self.remote.url], check=True)
        self.theirs = GitTree(self.remote, str(folder / "theirs"))

    def run(self, plugin: str, cluster: Cluster, check: bool = False, **arguments: Any) -> dict[str, Any]:
        for module in (gate, adopt):
            self.monkeypatch.setattr(module, "client_of", lambda *_arguments, **_options: cluster)
        variables = {key: trusted(value) for key, value in self.variables.items()}
        action = make_action(plugin, arguments, **variables)
        action._task.check_mode, action._task.diff = check, False

        def execute(module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
            self.sent.append({**module_args, "objects": spec.unpack(module_args["packed"])})
            assert "hunter22" not in json.dumps(module_args)
            return copy.deepcopy(self.answers.get(module_args["component"], {"changed": False, "plan": []}))

        action._execute_module = execute
        return dict(action.run(task_vars=variables))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    return Called(monkeypatch, tmp_path)


def application(automated: Any = None) -> dict[str, Any]:
    return {"spec": {"syncPolicy": {"automated": automated} if automated else {}}}


# The gate


def test_before_argocd_follows_git_the_cluster_says_what_is_ready(called: Called) -> None:
    cluster = Cluster({})
    assert not called.run("gate", cluster, wave=4, components=["cert-manager"]).get("failed")
    (sent,) = called.sent
    assert (sent["state"], sent["unless"]) == ("ready", argocd.path("platform"))
    assert cluster.patches == []


@pytest.mark.parametrize(("wave", "own"), [(4, True), (6, True), (4, False)])
def test_argocd_says_it_afterwards(called: Called, wave: int, own: bool) -> None:
    called.answers["demo"] = {"left": True}
    called.variables["argocd_enabled"] = own
    cluster = Cluster({"demo": application(AUTOMATED)})
    result = called.run("gate", cluster, wave=wave, components=["demo"])
    assert (result["changed"], result["plan"]) == (False, [])
    assert len(called.sent) == (2 if wave <= argocd.WAVE and own else 1)
    assert called.sent[-1]["waiting"]
    assert called.sent[-1]["objects"][0]["kind"] == "Application"
    assert cluster.patches == [("demo", {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})]


@pytest.mark.parametrize("check", [True, False])
def test_what_was_held_back_goes_on(called: Called, check: bool) -> None:
    cluster = Cluster({"demo": application()})
    result = called.run("gate", cluster, check=check, wave=9, components=["demo"])
    assert (result["changed"], [step["note"] for step in result["plan"]]) == (True, ["synchronised by itself again"])
    resumed = ("demo", {"spec": {"syncPolicy": {"automated": AUTOMATED}}})
    assert cluster.patches[:1] == ([] if check else [resumed])
    assert bool(called.sent) != check


@pytest.mark.parametrize("applications", [None, {}, {"demo": application(AUTOMATED)}])
def test_check_mode_waits_for_nothing(called: Called, applications: Any) -> None:
    result = called.run("gate", Cluster(applications), check=True, wave=4, components=["demo"])
    assert (result["skipped"], result["changed"], called.sent) == (True, False, [])


def test_an_application_that_never_comes_is_said(called: Called) -> None:
    cluster = Cluster({"platform": application(AUTOMATED)})
    result = called.run("gate", cluster, wave=9, components=["demo"], timeout=0)
    assert "demo: ArgoCD has made no Application of it - next: look at the Application argocd/platform" in result["msg"]
    assert [name for name, _body in cluster.patches] == ["platform"]


def test_a_wait_for_an_application_says_every_20_seconds_what_is_left(
    called: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], list[str]()
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(gate, "time", clock)
    monkeypatch.setattr(gate.display, "display", said.append)
    called.run("gate", Cluster({"platform": application(AUTOMATED)}), wave=9, components=["demo"], timeout=45)
    wait = "demo: waiting for ArgoCD to make its Application"
    assert said == [f"{wait}, {left} s left" for left in (45, 25, 5)]


def test_past_git_the_cluster_says_what_is_ready(called: Called) -> None:
    called.variables |= {"platform_break_glass": True, "platform_break_glass_reason": "INC-1"}
    assert not called.run("gate", Cluster({"demo": application()}), wave=9, components=["demo"]).get("failed")
    (sent,) = called.sent
    assert sent["state"] == "ready"
    assert "unless" not in sent


# Adoption


def in_git(called: Called) -> None:
    files = {
        "components/04-cert-manager/n/configmap-a.yaml": CONFIG,
        "components/04-cert-manager/_once/n/configmap-once.yaml": CONFIG.replace(b"name: a", b"name: once"),
        "components/12-kafka/n/configmap-k.yaml": CONFIG,
    }
    called.theirs.write(["components"], files, "by a run")


def test_argocd_is_named_the_repository_and_gets_what_was_applied_without_it(called: Called) -> None:
    in_git(called)
    called.variables["argocd_git_credentials"] = {"username": "reader", "password": "hunter22"}
    called.answers["cert-manager"] = {"changed": True, "plan": [{"kind": "ConfigMap", "action": "update"}]}
    result = called.run("adopt", Cluster({}, ("cert-manager", "gone")))
    assert not result.get("failed"), result
    ready, anchor, handed = called.sent
    assert (ready["component"], ready["state"], ready["unless"]) == ("argocd", "ready", argocd.path("platform"))
    assert [item["kind"] for item in anchor["objects"]] == ["AppProject", "Application", "Secret"]
    assert anchor["objects"][2]["stringData"]["password"] == "hunter22"
    assert (handed["component"], handed["state"]) == ("cert-manager", "handed_over")
    assert handed["hand_over_to"] == "argocd-controller"
    assert [item["metadata"]["name"] for item in handed["objects"]] == ["a"]
    assert (result["changed"], len(result["plan"])) == (True, 1)


def test_nothing_is_handed_over_when_argocd_is_not_ready(called: Called) -> None:
    in_git(called)
    called.answers["argocd"] = {"failed": True, "msg": "1 object(s) not ready in time", "next_step": "look"}
    result = called.run("adopt", Cluster({}, ("cert-manager",)))
    assert result["msg"] == "adopt: argocd: 1 object(s) not ready in time - next: look"
    assert len(called.sent) == 1


@pytest.mark.parametrize("there", [True, False])
def test_adoption_can_be_looked_at_before(called: Called, there: bool) -> None:
    in_git(called)
    result = called.run("adopt", Cluster({} if there else None, ("cert-manager",)), check=True)
    assert not result.get("failed"), result
    assert [sent["component"] for sent in called.sent] == ["gitops", "cert-manager"][: 1 + there]


@pytest.mark.parametrize(
    "way", [{"platform_delivery": "direct"}, {"platform_break_glass": True, "platform_break_glass_reason": "INC-1"}]
)
def test_nobody_is_adopted_where_nothing_comes_by_git(called: Called, way: dict[str, Any]) -> None:
    called.variables |= way
    assert called.run("adopt", Cluster({}))["skipped"]
    assert called.sent == []


def test_adoption_needs_to_know_the_repository(called: Called) -> None:
    del called.variables["platform_git"]
    assert "adopt: platform_git is not set - next: " in called.run("adopt", Cluster({}))["msg"]
    called.variables |= {"platform_git": {"url": "x"}, "argocd_git_credentials": {"token": "hunter22"}}
    message = called.run("adopt", Cluster({}))["msg"]
    assert "argocd_git_credentials: token is not known - next: it takes username, password, ssh_key" in message
    assert "hunter22" not in message
