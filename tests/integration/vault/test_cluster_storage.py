# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `storage` between a real API server and a real OpenBao: who keeps keys of disks there."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.http_session import HttpError
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.integration.vault.server import Server
from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = pytest.mark.api

PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - ansible.builtin.include_role: {name: banking.platform.storage, tasks_from: "{{ wanted }}"}
"""
KEY = "rook-ceph-osd-encryption-key-worker-a1-data-0abcde"
LAST = "Make the engine, the account and its policy"


class Platform:
    """A cluster and a Vault, and production's inventory for both."""

    def __init__(self, folder: Path, cluster: Cluster, server: Server) -> None:
        self.folder, self.cluster, self.server = folder, cluster, server
        (folder / "play.yml").write_text(PLAYBOOK)
        (folder / "token").write_text(server.token)
        connection = {"url": [server.url], "ca_path": str(server.ca), "token_file": str(folder / "token")}
        vault = {"mount": "rook", "auth": "kubernetes-storage", "server_name": "localhost", "authority": str(server.ca)}
        self.variables: dict[str, Any] = {
            "platform_secrets_vault": connection,
            "platform_kubeconfig": cluster.admin,
            "platform_build_dir": str(folder / "build"),
            "platform_charts": "external",
            "platform_delivery": "render",
            "storage_kubernetes_host": cluster.url,
            "storage_vault": vault,
        }

    def run(self, tasks: str, *more: str) -> dict[str, Any]:
        """Run tasks of the role; the results of the last play by task."""
        command = ["ansible-playbook", str(self.folder / "play.yml"), "-i", str(CLONE / "inventories" / "prod"), *more]
        command += ["-e", json.dumps({**self.variables, "wanted": tasks})]
        env = os.environ | {
            "ANSIBLE_CONFIG": str(CLONE / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
        }
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, check=False)
        assert "{" in done.stdout, done.stdout + done.stderr
        said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{\n    ") :])
        assert done.returncode == 0, done.stdout[-3000:]
        tasks_run = [task for play in said["plays"] for task in play["tasks"]]
        return {task["task"]["name"].split(" : ")[-1]: task["hosts"]["localhost"] for task in tasks_run}

    def deliver(self) -> None:
        """Bring what the role needs of it to the cluster, as the component would."""
        self.run("main")
        found = [
            item.object
            for path in sorted((self.folder / "build" / "tree" / "components").rglob("*.yaml"))
            for item in manifests.load(path.read_text(), str(path))
        ]
        rights = "/apis/rbac.authorization.k8s.io/v1"
        for kind, path in (
            ("Namespace", "/api/v1/namespaces"),
            ("ClusterRole", f"{rights}/clusterroles"),
            ("ClusterRoleBinding", f"{rights}/clusterrolebindings"),
        ):
            for item in found:
                if item["kind"] == kind:
                    self.cluster.post(path, item)
        # Those of Rook's chart, and a stranger beside them.
        for account in ("rook-ceph-system", "rook-ceph-osd", "rook-ceph-mgr"):
            self.cluster.post("/api/v1/namespaces/rook-ceph/serviceaccounts", {"metadata": {"name": account}})
        self.cluster.post(
            "/api/v1/namespaces/local-path-storage/serviceaccounts", {"metadata": {"name": "rook-ceph-osd"}}
        )

    def token(self, namespace: str, account: str) -> str:
        """A token as a pod has it: for the API server."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.cluster.post(path, body)["status"]["token"])

    def log_in(self, token: str) -> dict[str, Any]:
        """Log in at Vault as Rook does (libopenstorage/secrets, vault/utils: authKubernetes)."""
        body = {"role": "rook-ceph", "jwt": token}
        answer = self.server.client().request("POST", "auth/kubernetes-storage/login", body, login=False).body
        return dict(answer["auth"])


@pytest.fixture
def platform(tmp_path: Path, server: Server) -> Iterator[Platform]:
    with Cluster(tmp_path / "cluster") as cluster:
        yield Platform(tmp_path, cluster, server)


def status_of(client: Any, method: str, path: str, body: Any = None) -> int:
    try:
        return int(client.request(method, path, body).status)
    except HttpError as error:
        return int(error.status)


def test_rook_keeps_keys_and_nobody_else_reads_them(platform: Platform) -> None:
    platform.deliver()
    planned = platform.run("vault", "--check")[LAST]
    first = platform.run("vault")
    second = platform.run("vault")
    assert (planned["changed"], first[LAST]["changed"], second[LAST]["changed"]) == (True, True, False)
    authority = "Bring the authority that Rook verifies Vault by"
    assert (first[authority]["changed"], second[authority]["changed"]) == (True, False)
    kept = platform.cluster.get("/api/v1/namespaces/rook-ceph/secrets/vault-authority")["data"]
    assert base64.b64decode(kept["cert"]).decode().strip() == Path(platform.server.ca).read_text().strip()

    for account in ("rook-ceph-system", "rook-ceph-osd"):
        said = platform.log_in(platform.token("rook-ceph", account))
        assert sorted(said["policies"]) == ["default", "rook-ceph"]
        rook = platform.server.client(token=said["client_token"])
        # What Rook does: made, read, changed (rotation), removed with its OSD.
        for value in ("one", "two"):
            assert status_of(rook, "POST", f"rook/data/{KEY}", {"data": {KEY: value}}) == 200
            assert rook.data(f"rook/data/{KEY}")["data"] == {KEY: value}  # type: ignore[index]
        assert status_of(rook, "DELETE", f"rook/data/{KEY}") == 204
        # What was removed by mistake comes back: older versions are nobody's to destroy.
        assert status_of(rook, "DELETE", f"rook/metadata/{KEY}") == 403
        assert status_of(rook, "POST", f"rook/destroy/{KEY}", {"versions": [1, 2]}) == 403
        assert status_of(rook, "GET", "secret/data/database") == 403
    root = platform.server.client()
    assert status_of(root, "POST", f"rook/undelete/{KEY}", {"versions": [2]}) == 204
    assert root.data(f"rook/data/{KEY}?version=2")["data"] == {KEY: "two"}  # type: ignore[index]

    for namespace, account in (("rook-ceph", "rook-ceph-mgr"), ("local-path-storage", "rook-ceph-osd")):
        with pytest.raises(HttpError) as caught:
            platform.log_in(platform.token(namespace, account))
        assert caught.value.status in (400, 403), (namespace, account)
