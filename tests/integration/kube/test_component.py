# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Components by real playbooks on a real API server: delivered, delivered again, in sub-waves, and waited for."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec
from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.programs import helm
from ansible_collections.banking.platform.tests.unit.component import chart
from ansible_collections.banking.platform.tools.suites import CLONE

WORKLOAD = """
apiVersion: v1
kind: Namespace
metadata: {name: "{{ demo_namespace }}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: "{{ demo_namespace }}"}
data: {level: "{{ demo_level }}"}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: "{{ demo_namespace }}"}
stringData: {password: correct horse}
"""


class Platform:
    """A role, an inventory and a playbook that delivers the role and waits for its wave."""

    def __init__(self, folder: Path, cluster: Cluster, name: str) -> None:
        self.folder, self.cluster, self.name = folder, cluster, name
        self.variables: dict[str, Any] = {
            "platform_release": "2024.1",
            "platform_delivery": "direct",
            "platform_build_dir": str(folder / "build"),
            "platform_kubeconfig": cluster.admin,
            "demo_namespace": name,
            "demo_level": "info",
        }
        self.task: dict[str, Any] = {"name": name, "wave": 3, "timeout": 120}
        self.put("roles/demo/templates/manifests/workload.yml.j2", WORKLOAD)

    def put(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def start(self, *options: str, **variables: Any) -> subprocess.Popen[str]:
        self.put("roles/demo/tasks/main.yml", yaml.safe_dump([{"banking.platform.component": self.task}]))
        play = [{"hosts": "localhost", "gather_facts": False, "roles": ["demo"]}]
        self.put("deliver.yml", yaml.safe_dump(play))
        env = os.environ | {
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(self.folder / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
            "PATH": f"{helm().parent}:{os.environ['PATH']}",
        }
        command = ["ansible-playbook", str(self.folder / "deliver.yml"), "-i", "nobody,", "-e"]
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
        assert out.strip(), errors
        said, _end = json.JSONDecoder().raw_decode(out[out.index("{") :])
        assert "correct horse" not in out + errors
        return dict(said["plays"][0]["tasks"][-1]["hosts"]["localhost"])

    def run(self, *options: str, **variables: Any) -> dict[str, Any]:
        return self.result(self.start(*options, **variables))

    def done(self, *options: str, **variables: Any) -> dict[str, Any]:
        result = self.run(*options, **variables)
        assert not result.get("failed"), result["msg"]
        return result


@pytest.fixture
def platform(tmp_path: Path, cluster: Cluster, name: str) -> Platform:
    return Platform(tmp_path, cluster, name)


def test_a_component_is_delivered_once_and_drift_is_put_back(platform: Platform) -> None:
    cluster, path = platform.cluster, f"/api/v1/namespaces/{platform.name}/configmaps/settings"
    planned = platform.done("--check", "--diff")
    assert planned["changed"]
    assert cluster.get(path) == {}
    first = platform.done()
    assert first["counts"] == {"create": 3}
    assert cluster.get(path)["data"] == {"level": "info"}
    second = platform.done()
    assert (second["changed"], second["counts"]) == (False, {"none": 3})
    cluster.patch(path, {"data": {"level": "debug"}})
    drifted = platform.done("--check", "--diff")
    assert [(step["action"], step["target"]) for step in drifted["plan"]] == [("update", f"{platform.name}/settings")]
    assert "-  level: debug" not in str(drifted["diff"][0]["after"])
    assert platform.done()["changed"]
    assert cluster.get(path)["data"] == {"level": "info"}


def test_nothing_is_changed_when_a_manifest_is_wrong(platform: Platform) -> None:
    platform.done()
    platform.put("roles/demo/templates/manifests/bad.yml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}")
    result = platform.run(demo_level="debug")
    assert "has no namespace, and needs one" in result["msg"]
    found = platform.cluster.get(f"/api/v1/namespaces/{platform.name}/configmaps/settings")
    assert found["data"] == {"level": "info"}


def test_a_chart_with_hooks_its_crd_and_a_resource_of_it(platform: Platform, tmp_path: Path) -> None:
    """The job before everything else has to end first; nothing here runs pods, so the test says that it has."""
    cluster = platform.cluster
    archive = chart.pack(tmp_path / "chart")
    (tmp_path / "build" / "charts").mkdir(parents=True)
    digest = chart.entry(archive).digest
    archive.rename(tmp_path / "build" / "charts" / archive.name)
    entry = {"name": chart.NAME, "version": chart.VERSION, "repo": "http://127.0.0.1:9", "digest": digest}
    component = {"version": chart.VERSION, "licence": "MIT", "wave": 3, "charts": [entry]}
    platform.variables["platform_catalog_overrides"] = {"components": {chart.NAME: component}}
    platform.task["charts"] = [{"name": chart.NAME, "namespace": platform.name}]
    platform.put(
        "roles/demo/templates/manifests/elsewhere.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: elsewhere}}"
    )

    running = platform.start()
    jobs = f"/apis/batch/v1/namespaces/{platform.name}/jobs"
    config = f"/api/v1/namespaces/{platform.name}/configmaps/web-config"
    _until(functools.partial(cluster.get, f"{jobs}/before"), running)
    assert cluster.get(config) == {}, "it comes after the job"
    for job in ("before", "after"):
        _until(functools.partial(cluster.get, f"{jobs}/{job}"), running)
        cluster.patch(f"{jobs}/{job}/status", _complete())
    first = platform.result(running)
    assert not first.get("failed"), first["msg"]
    assert cluster.get(config)["data"]["replicas"] == "1"
    assert cluster.get("/apis/example.org/v1/widgets/web")["spec"] == {"size": 1}
    assert not platform.done()["changed"]


def _complete() -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    condition = {"type": "Complete", "status": "True", "lastTransitionTime": now, "lastProbeTime": now}
    return {"status": {"succeeded": 1, "startTime": now, "completionTime": now, "conditions": [condition]}}


def _until(holds: Callable[[], Any], running: subprocess.Popen[str]) -> None:
    """Wait for something that a run brings about, as long as it runs."""
    while not holds():
        assert running.poll() is None, Platform.result(running)["msg"]
        time.sleep(0.2)


# The approved plan


def _module(cluster: Cluster, name: str, *items: Any, check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's own run."""
    defaults = {option: told.get("default") for option, told in spec.APPLY.items()}
    wish = {**defaults, "kubeconfig": cluster.admin, "component": name, "objects": list(items), **options}
    applying, _warnings, failure = execute.run(wish, check, with_diff=False)
    return {**applying.result(), "failure": failure.cause if failure else ""}


def test_nothing_but_what_was_approved_is_done(cluster: Cluster, namespace: str, name: str) -> None:
    config = functools.partial(objects.config_map, namespace, "settings")
    secret = functools.partial(objects.secret, namespace, "login")
    planned = _module(cluster, name, config(level="info"), secret(password="correct horse"), check=True)
    approved = json.loads(json.dumps({"steps": planned["plan"], "waiting": False}))
    other = _module(cluster, name, config(level="debug"), secret(password="correct horse"), approved=approved)
    assert "1 of 2 steps differ from the approved plan, nothing was changed: ConfigMap" in other["failure"]
    more = [config(level="info"), secret(password="correct horse"), objects.config_map(namespace, "more")]
    assert "create is not part of the plan" in _module(cluster, name, *more, approved=approved)["failure"]
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    assert [item["metadata"]["name"] for item in cluster.get(path)["items"] if "settings" in str(item)] == []

    done = _module(cluster, name, config(level="info"), secret(password="correct horse"), approved=approved)
    assert (done["failure"], done["counts"]) == ("", {"create": 2})
    again = _module(cluster, name, config(level="info"), secret(password="correct horse"), approved=approved)
    assert (again["failure"], again["changed"]) == ("", False)

    changed = [config(level="debug"), secret(password="battery staple")]
    approved = {"steps": _module(cluster, name, *changed, check=True)["plan"], "waiting": False}
    cluster.patch(f"{path}/settings", {"data": {"level": "trace"}})
    assert (
        "approved is update of {'data.level': 'info'}" in _module(cluster, name, *changed, approved=approved)["failure"]
    )
    cluster.patch(f"{path}/settings", {"data": {"level": "info"}})
    assert _module(cluster, name, *changed, approved=approved)["failure"] == ""
