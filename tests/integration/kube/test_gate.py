# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate at the end of a wave, on a real API server. Nothing here runs pods or ArgoCD: the test plays their part."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

WAVE, COMPONENT = 4, "certificates"
LATER = 6  # a wave that only comes by ArgoCD
APPLICATION = f"/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/{COMPONENT}"


def gate(folder: Path, cluster: Cluster, delivery: str, timeout: int, wave: int = WAVE) -> subprocess.Popen[str]:
    task = {"banking.platform.gate": {"wave": wave, "components": [COMPONENT], "timeout": timeout}}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
    (folder / "gate.yml").write_text(yaml.safe_dump(play))
    variables = {
        "platform_release": "2024.1",
        "platform_delivery": delivery,
        "platform_build_dir": str(folder / "build"),
        "platform_kubeconfig": cluster.admin,
    }
    env = os.environ | {
        "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
        "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
    }
    return subprocess.Popen(
        ["ansible-playbook", str(folder / "gate.yml"), "-i", "nobody,", "-e", json.dumps(variables)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=300)
    assert "{" in out, errors
    said, _end = json.JSONDecoder().raw_decode(out[out.index("{") :])
    return dict(said["plays"][0]["tasks"][-1]["hosts"]["localhost"])


def test_a_wave_is_ready_when_what_its_components_have_is(
    cluster: Cluster, namespace: str, apply: Any, tmp_path: Path
) -> None:
    # No controller looks after a pod of nobody's.
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "webhook", "namespace": namespace},
        "spec": {"containers": [{"name": "a", "image": "a:1"}]},
    }
    apply(pod, objects.config_map(namespace, "a"), component=COMPONENT)
    refused = result(gate(tmp_path, cluster, "direct", 3))
    assert refused["msg"].startswith(f"wave {WAVE}: {COMPONENT}: 1 object(s) not ready in time:")
    assert f"Pod {namespace}/webhook" in refused["msg"]
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.patch(f"/api/v1/namespaces/{namespace}/pods/webhook/status", {"status": status})
    good = result(gate(tmp_path, cluster, "direct", 60))
    assert not good.get("failed"), good["msg"]
    assert (good["changed"], good["components"]) == (False, [COMPONENT])
    apply(component=COMPONENT, state="absent", prune_protected=True)


@pytest.mark.skipif(crds_folder() is None, reason="no CRDs: set PLATFORM_CRDS to a folder with one folder a release")
def test_in_git_a_wave_is_ready_when_argocd_has_looked_and_says_so(
    cluster: Cluster, apply: Any, tmp_path: Path
) -> None:
    crd = yaml.safe_load((crds_folder() / "2024.1" / "argo-cd" / "application-crd.yaml").read_text())  # type: ignore[operator]
    apply(crd, objects.namespace("argocd"), component="argocd", wait=True, timeout=60)
    status = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": COMPONENT, "namespace": "argocd"},
        "spec": {"project": "platform", "destination": {"server": "https://kubernetes.default.svc"}},
        "status": {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}},
    }
    cluster.post(APPLICATION.rpartition("/")[0], status)
    # Synced and healthy, with what the repository held before: ArgoCD has to look again.
    running = gate(tmp_path, cluster, "gitops", 120, LATER)
    deadline = time.monotonic() + 120
    while "argocd.argoproj.io/refresh" not in (cluster.get(APPLICATION)["metadata"].get("annotations") or {}):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)
    assert running.poll() is None, "it did not wait for ArgoCD"
    cluster.patch(APPLICATION, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}})
    good = result(running)
    assert not good.get("failed"), good["msg"]
    refused = result(gate(tmp_path, cluster, "gitops", 5, LATER))
    assert "ArgoCD has not looked at the repository yet" in refused["msg"]
