# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that is lost is taken out of a real API server by the playbook, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools.suites import CLONE

NODES = ["cp-a1", "worker-a1", "worker-b1"]


def inventory(folder: Path, cluster: Cluster) -> Path:
    """Nobody answers for any of its hosts: what Ansible asks them, it asks a port where nobody listens."""
    variables: dict[str, Any] = {
        "platform_environment": "test",
        "platform_groups": {name: name for name in ("node", "control_plane", "worker", "etcd")},
        "platform_kubeconfig": cluster.admin,
        "platform_address": "10.9.0.1",
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
        "ansible_ssh_common_args": "-o BatchMode=yes",
        "ansible_python_interpreter": sys.executable,
    }
    children = {
        "node": {"hosts": dict.fromkeys(NODES)},
        "control_plane": {"hosts": dict.fromkeys(NODES[:1])},
        "worker": {"hosts": dict.fromkeys(NODES[1:])},
        "etcd": {"hosts": dict.fromkeys(NODES[:1])},
    }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"vars": variables, "children": children}}))
    return path


def test_a_lost_worker_is_taken_out(cluster: Cluster, tmp_path: Path) -> None:
    for name in NODES:
        cluster.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        ready = {"type": "Ready", "status": "False" if name == "worker-a1" else "True"}
        cluster.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready]}})
    hosts = str(inventory(tmp_path, cluster))
    try:
        # The lock, which comes first, lies on a host.
        playbook = (CLONE / "playbooks/remove_node.yml").read_text()
        (tmp_path / "remove_node.yml").write_text("---\n" + playbook[playbook.index('- name: "See whether') :])
        argv = ["ansible-playbook", str(tmp_path / "remove_node.yml"), "-i", hosts]
        argv += ["-e", "node=worker-a1", "-e", "node_is_lost=true"]
        seen = []
        for options in (["--check"], []):
            done = subprocess.run(
                [*argv, *options],
                cwd=CLONE,
                env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout[-4000:]
            seen.append([name for name in NODES if cluster.get(f"/api/v1/nodes/{name}")])
            assert "Take worker-a1 out of hosts.yml (groups node, worker)" in done.stdout
        assert seen == [NODES, ["cp-a1", "worker-b1"]]
        assert "unschedulable" not in cluster.get("/api/v1/nodes/worker-b1")["spec"]
    finally:
        for name in NODES:
            cluster.request("DELETE", f"/api/v1/nodes/{name}")
