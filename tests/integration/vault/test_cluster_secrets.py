# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role `secrets` between a real API server and a real OpenBao: who logs in by a token of the cluster."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

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
    - ansible.builtin.include_role: {name: banking.platform.secrets, tasks_from: "{{ wanted }}"}
"""
# What is delivered that Kubernetes itself knows, in the order of what needs what.
KINDS = {"Namespace": "", "ServiceAccount": "serviceaccounts", "Secret": "secrets"}
RBAC = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"}


class Platform:
    """A cluster and a Vault, and production's inventory for both."""

    def __init__(self, folder: Path, cluster: Cluster, server: Server) -> None:
        self.folder, self.cluster, self.server = folder, cluster, server
        (folder / "play.yml").write_text(PLAYBOOK)
        (folder / "token").write_text(server.token)
        connection = {"url": [server.url], "ca_path": str(server.ca), "token_file": str(folder / "token")}
        self.variables: dict[str, Any] = {
            "platform_secrets_vault": connection,
            "platform_kubeconfig": cluster.admin,
            "platform_build_dir": str(folder / "build"),
            "platform_charts": "external",
            "platform_delivery": "render",
            "secrets_kubernetes_host": cluster.url,
        }

    def run(self, tasks: str, *more: str) -> dict[str, Any]:
        """Run tasks of the role; the results of the last play by task."""
        command = ["ansible-playbook", str(self.folder / "play.yml"), "-i", str(CLONE / "inventories" / "prod"), *more]
        command += ["-vvv", "--diff"]  # all that a run may ever say
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
        # The token that the API server is asked with is nowhere in what was said.
        kept = self.cluster.get("/api/v1/namespaces/vault/secrets/vault-reviewer").get("data") or {}
        for token in filter(None, (kept.get("token", ""), base64.b64decode(kept.get("token", "")).decode())):
            assert token not in done.stdout + done.stderr
        tasks_run = [task for play in said["plays"] for task in play["tasks"]]
        return {task["task"]["name"].split(" : ")[-1]: task["hosts"]["localhost"] for task in tasks_run}

    def deliver(self) -> None:
        """Bring what Kubernetes itself knows of it to the cluster."""
        self.run("main")
        found = [
            item.object
            for path in sorted((self.folder / "build" / "tree" / "components").rglob("*.yaml"))
            for item in manifests.load(path.read_text(), str(path))
        ]
        self.cluster.post("/api/v1/namespaces", {"metadata": {"name": "banking-security"}})
        self.cluster.post("/api/v1/namespaces", {"metadata": {"name": "banking-services"}})
        for kind in [*KINDS, *RBAC]:
            for item in found:
                if item["kind"] == kind:
                    where = f"namespaces/{item['metadata'].get('namespace')}/{KINDS.get(kind)}"
                    path = "/api/v1/namespaces" if kind == "Namespace" else f"/api/v1/{where}"
                    if kind in RBAC:
                        path = f"/apis/rbac.authorization.k8s.io/v1/{RBAC[kind]}"
                    self.cluster.post(path, item)
        account = {"metadata": {"name": "core-banking-accounts"}}
        self.cluster.post("/api/v1/namespaces/banking-services/serviceaccounts", account)

    def token(self, namespace: str, account: str, audience: str = "vault") -> str:
        """A token of a service account, as the kubelet and External Secrets ask for it."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600},
        }
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.cluster.post(path, body)["status"]["token"])

    def log_in(self, role: str, token: str) -> dict[str, Any]:
        """Log in at Vault as a pod."""
        body = {"role": role, "jwt": token}
        answer = self.server.client().request("POST", "auth/kubernetes/login", body, login=False).body
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


def test_each_reads_its_own_and_nothing_else(platform: Platform) -> None:
    platform.deliver()
    planned = platform.run("vault", "--check")["Give Vault the accounts of stores and pods"]
    first = platform.run("vault")["Give Vault the accounts of stores and pods"]
    assert (planned["changed"], first["changed"]) == (True, True)
    assert planned["counts"] == first["counts"]
    second = platform.run("vault")["Give Vault the accounts of stores and pods"]
    assert not second["changed"], second["plan"]

    root = platform.server.client()
    for path in ("harbor/core", "harbor/oidc", "database", "external-api", "payroll"):
        root.write(f"secret/data/{path}", {"data": {"password": path}})
    harbor = platform.log_in("store-harbor", platform.token("banking-security", "store-harbor"))
    assert sorted(harbor["policies"]) == ["default", "store-harbor"]
    reader = platform.server.client(token=harbor["client_token"])
    assert reader.data("secret/data/harbor/core")["data"] == {"password": "harbor/core"}  # type: ignore[index]
    pods = platform.log_in("class-vault-secrets", platform.token("banking-services", "core-banking-accounts"))
    pod = platform.server.client(token=pods["client_token"])
    for path in ("database", "external-api"):
        assert pod.data(f"secret/data/{path}")["data"] == {"password": path}  # type: ignore[index]
    keys = platform.log_in("store-sealing-keys", platform.token("banking-security", "store-sealing-keys"))
    writer = platform.server.client(token=keys["client_token"])
    # What External Secrets does when it pushes: metadata, then the secret; then it reads both.
    mine = "sealed-secrets/keys"
    assert status_of(writer, "POST", f"secret/metadata/{mine}", {"custom_metadata": {"managed-by": "x"}}) == 204
    assert status_of(writer, "POST", f"secret/data/{mine}", {"data": {"key": "{}"}}) == 200
    for part in ("data", "metadata"):
        assert status_of(writer, "GET", f"secret/{part}/{mine}") == 200
        assert status_of(writer, "DELETE", f"secret/{part}/{mine}") == 403

    for client, path in (
        (reader, "harbor/oidc"),
        (reader, "database"),
        (pod, "harbor/core"),
        (pod, "payroll"),
        (writer, "harbor/core"),
    ):
        assert status_of(client, "GET", f"secret/data/{path}") == 403, path
    assert status_of(reader, "POST", "secret/data/harbor/core", {"data": {"password": "mine"}}) == 403
    assert status_of(reader, "GET", "secret/metadata/harbor/core") == 403

    # Another's role, another's namespace, and a token that was meant for the API server.
    for role, namespace, account, audience in (
        ("store-harbor", "banking-services", "core-banking-accounts", "vault"),
        ("class-vault-secrets", "banking-security", "store-harbor", "vault"),
        ("store-harbor", "banking-security", "store-harbor", "https://kubernetes.default.svc"),
    ):
        with pytest.raises(HttpError) as caught:
            platform.log_in(role, platform.token(namespace, account, audience))
        assert caught.value.status in (400, 403), (role, account, audience)


def test_before_there_is_a_cluster_vault_is_planned_all_the_same(platform: Platform) -> None:
    platform.variables["platform_kubeconfig"] = platform.cluster.kubeconfig("gone")
    gone = yaml.safe_load(Path(platform.variables["platform_kubeconfig"]).read_text())
    gone["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    Path(platform.variables["platform_kubeconfig"]).write_text(json.dumps(gone))
    planned = platform.run("vault", "--check")["Give Vault the accounts of stores and pods"]
    assert planned["changed"]
    assert platform.server.client().data("sys/policies/acl/store-harbor") is None
