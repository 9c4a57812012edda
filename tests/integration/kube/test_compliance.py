# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a scan's job to the report: the job's own script, without kube-bench and the pod around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.unit.roles.conftest import (  # pylint: disable=unused-import
    Rendered,
    rendered,  # noqa: F401
)
from ansible_collections.banking.platform.tools.suites import CLONE, kubernetes_programs

NODES = {
    "platform_groups": {"control_plane": "control_plane", "worker": "worker", "etcd": "control_plane"},
    "groups": {"control_plane": ["cp-a1"], "worker": ["worker-a1"]},
}
FOUND = {
    "Controls": [
        {
            "version": "cis-1.9",
            "tests": [
                {
                    "desc": "Kubelet",
                    "results": [{"test_number": "4.2.1", "test_desc": "Ensure it", "status": "FAIL", "scored": True}],
                }
            ],
        }
    ]
}


@pytest.fixture
def delivered(client: Client, rendered: Callable[..., Rendered]) -> Rendered:  # noqa: F811
    once = {"platform.banking/create-only": "true"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "banking-security", "annotations": once}}
    Apply(client, Wish(component="surroundings-of-compliance", objects=[namespace]), False, False).run()
    found = rendered("compliance", "2024.1", **NODES)
    Apply(client, Wish(component="compliance", objects=list(found.objects.values())), False, False).run()
    return found


def scan(delivered: Rendered, cluster: Cluster, folder: Path, node: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a node's job, with a kube-bench that has always found the same."""
    pod = delivered.objects["CronJob", f"kube-bench-{node}"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (folder / "found.json").write_text(json.dumps(FOUND, indent=1))
    stand_in = f'for last; do :; done\ncp {folder}/found.json "$last"\n'
    (programs / "kube-bench").write_text(f"#!/bin/sh\n{stand_in}")
    account = f"--as=system:serviceaccount:banking-security:{pod['serviceAccountName']}"
    kubectl = f'exec {kubernetes_programs()}/kubectl --kubeconfig {cluster.admin} {account} "$@"\n'
    (programs / "kubectl").write_text(f"#!/bin/sh\n{kubectl}")
    for program in programs.iterdir():
        program.chmod(0o755)
    env = {item["name"]: item["value"] for item in container["env"]}
    script = container["args"][0].replace("/tmp/", f"{folder}/")
    return subprocess.run(
        [*container["command"], script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | env | {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)},
    )


def test_what_a_scan_finds_comes_into_the_report(delivered: Rendered, cluster: Cluster, tmp_path: Path) -> None:
    if not shutil.which("jq"):
        pytest.skip("no jq, which is in kube-bench's image")
    done = scan(delivered, cluster, tmp_path, "worker-a1")
    assert done.returncode == 0, done.stderr
    given = {
        "platform_kubeconfig": cluster.admin,
        "compliance_report": str(tmp_path / "report"),
        "__compliance_nodes": ["cp-a1", "worker-a1"],
    }
    inventory = str(CLONE / "inventories/prod")
    command = ["ansible-playbook", str(CLONE / "playbooks/compliance.yml"), "-i", inventory, "--skip-tags", "hosts"]
    env = os.environ | {
        "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
        "PLATFORM_RECORD_FOLDER": str(tmp_path / "records"),
    }
    done = subprocess.run(
        [*command, "-e", json.dumps(given)], capture_output=True, text=True, timeout=300, check=False, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report/cis.json").read_text())
    assert [(item["severity"], item["subject"], item["rule"]) for item in report["findings"]] == [
        ("error", "worker-a1", "cis-1.9-4.2.1"),
        ("warning", "cp-a1", "cis-scan"),
    ]
    assert set(report["scanned"]) == {"worker-a1"}
    (record,) = (tmp_path / "records").rglob("latest/run.json")
    figures = {item["name"]: item for item in json.loads(record.read_text())["measurements"]}
    assert figures["CIS checks that fail"]["value"] == 1
    assert figures["CIS checks that fail"]["reached"] is False


def test_a_scan_may_change_nothing_but_its_results(delivered: Rendered, cluster: Cluster) -> None:
    def may(verb: str, resource: str, name: str = "") -> bool:
        attributes = {"namespace": "banking-security", "verb": verb, "resource": resource, "name": name}
        account = "system:serviceaccount:banking-security:kube-bench"
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": account, "resourceAttributes": attributes},
        }
        answer = cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    assert may("patch", "configmaps", "kube-bench-cp-a1")
    assert not may("patch", "configmaps", "config-policy-controller")
    assert not may("create", "configmaps")
    assert not may("get", "secrets", "webhook-certs")
