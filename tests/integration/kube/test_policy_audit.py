# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Gatekeeper's audit would have written down, read from a real API server. Gatekeeper itself does not run."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE

PATH = "/apis/constraints.gatekeeper.sh/v1beta1/nonroot"
KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "nonroot.constraints.gatekeeper.sh"},
    "spec": {
        "group": "constraints.gatekeeper.sh",
        "names": {"kind": "NonRoot", "plural": "nonroot"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}
FOUND = {
    "auditTimestamp": "2026-11-27T12:00:00Z",
    "totalViolations": 1,
    "violations": [{"kind": "Pod", "namespace": "harbor", "name": "core", "message": "runAsUser is 0"}],
}


@pytest.fixture
def audit(cluster: Cluster, tmp_path: Any) -> Any:
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
            "tasks": [{"banking.platform.policy_audit": {"constraints": ["non-root"]}}],
        }
    ]
    (tmp_path / "audit.yml").write_text(yaml.safe_dump(play))

    def run() -> dict[str, Any]:
        given = {"platform_delivery": "direct", "platform_kubeconfig": cluster.admin}
        command = ["ansible-playbook", str(tmp_path / "audit.yml"), "-i", str(CLONE / "inventories/prod")]
        env = os.environ | {
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
        }
        done = subprocess.run(
            [*command, "-e", json.dumps(given)], capture_output=True, text=True, timeout=120, check=False, env=env
        )
        said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
        result: dict[str, Any] = said["plays"][0]["tasks"][-1]["hosts"]["localhost"]
        return result

    return run


def test_what_the_audit_has_found_stops_the_run(cluster: Cluster, audit: Any, apply: Any) -> None:
    assert not audit().get("failed")  # there are no policies yet
    apply(KIND, component="policies", wait=True, timeout=60)
    policy = {
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "NonRoot",
        "metadata": {"name": "non-root"},
        "spec": {"enforcementAction": "dryrun"},
    }
    apply(KIND, policy, component="policies")
    cluster.patch(f"{PATH}/non-root/status", {"status": FOUND})
    result = audit()
    assert result["failed"]
    assert "Pod harbor/core: [non-root] runAsUser is 0" in result["msg"]
    cluster.patch(f"{PATH}/non-root", {"spec": {"enforcementAction": "deny"}})
    assert not audit().get("failed")
