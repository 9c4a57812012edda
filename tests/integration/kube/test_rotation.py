# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key that encrypts secrets is rotated under a real API server and a real etcd, with the file that the role makes."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.rewrite import Rewrite
from ansible_collections.banking.platform.plugins.module_utils.node.encryption import Loaded, Places, Stored
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import rotation
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store, new_key
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.unit.roles.kubernetes.rendering import Node
from ansible_collections.banking.platform.tools import suites
from ansible_collections.banking.platform.tools.suites import kubernetes_programs

SECRETS = 620


class Server(System):
    """The node of the API server, whose port is another one than a node's."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def run(self, command: str | Sequence[str], timeout: float = 60) -> Completed:
        argv = [self.url if word == "https://127.0.0.1:6443" else word for word in command]
        return super().run(argv, timeout)


class Platform:
    """The list of keys, the file with them, and the control plane that reads it."""

    def __init__(self, folder: Path) -> None:
        (folder / "passphrase").write_text("correct horse battery\n")
        self.variables: dict[str, Any] = {
            "platform_ca_dir": str(folder / "ca"),
            "platform_ca_passphrase": f"file:{folder}/passphrase",
        }
        self.store = Store(str(folder / "ca"), Keyring(reference=self.variables["platform_ca_passphrase"]))
        self.store.create_keys("secrets")
        self.config = folder / "encryption" / "encryption.yaml"
        self.config.parent.mkdir()
        self.write()
        flags = (
            f"--encryption-provider-config={self.config}",
            "--encryption-provider-config-automatic-reload=true",
        )
        self.cluster = Cluster(folder / "cluster", controllers=False, flags=flags)
        (folder / "manifest.yaml").write_text("- --advertise-address=127.0.0.1\n")
        (folder / "etcdctl.env").write_text(f"ETCDCTL_ENDPOINTS={self.cluster.etcd}\n")
        self.places = Places(
            config=str(self.config),
            manifest=str(folder / "manifest.yaml"),
            admin=self.cluster.admin,
            kubectl=str(kubernetes_programs() / "kubectl"),
            etcdctl=str(kubernetes_programs() / "etcdctl"),
            etcd=str(folder / "etcdctl.env"),
        )

    def write(self) -> None:
        """As converge does it: another file in the place of the old one."""
        beside = self.config.with_suffix(".new")
        node = Node("prod", "cp-a1", **self.variables)
        beside.write_text(node.text("/etc/kubernetes/apiserver/encryption.yaml"))
        os.replace(beside, self.config)

    def loaded(self) -> list[str]:
        return Loaded(Server(self.cluster.url), 150, self.places).look()[1]

    def step(self, state: str) -> None:
        keys = rotation.change(state, self.store.keys("secrets"), {"cp-a1": self.loaded()}, new_key)
        self.store.rewrite_keys("secrets", keys)
        self.write()
        assert self.loaded() == [key["name"] for key in keys]

    def stored(self, key: str = "") -> dict[str, int]:
        stored = Stored(System(), self.places)
        stored.look(["secrets"], f"secretbox {key}" if key else "")
        return stored.counts["secrets"]

    def make_secrets(self, *numbers: int) -> None:
        for number in numbers:
            meta = {"name": f"s{number}", "namespace": "default"}
            data = {"password": base64.b64encode(f"hunter-{number}".encode()).decode()}
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
            self.cluster.post("/api/v1/namespaces/default/secrets", body)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    missing = suites.SUITES["api"]()
    if missing:
        pytest.skip(missing)
    made = Platform(tmp_path)
    # The kernel says to a second or so when a process has started.
    time.sleep(2)
    with made.cluster:
        yield made


def test_a_key_is_rotated_and_every_secret_is_there(platform: Platform) -> None:
    (old,) = platform.loaded()
    platform.make_secrets(*range(SECRETS))
    assert platform.stored(old) == {f"secretbox {old}": SECRETS}

    platform.step("added")
    new = platform.store.keys("secrets")[1]["name"]
    platform.make_secrets(SECRETS)
    assert platform.stored() == {f"secretbox {old}": SECRETS + 1}

    platform.step("promoted")
    platform.make_secrets(SECRETS + 1)
    assert platform.stored() == {f"secretbox {old}": SECRETS + 1, f"secretbox {new}": 1}
    with pytest.raises(Failure, match=f"{SECRETS + 1} of {SECRETS + 2} objects in etcd are not written with secretbox"):
        platform.stored(new)

    client = Client(connector({"kubeconfig": platform.cluster.admin}))
    before = versions(client)
    Rewrite(client, ["secrets"], check=True).run()
    assert versions(client) == before
    writing = Rewrite(client, ["secrets"])
    writing.run()
    assert writing.counts == {"secrets": SECRETS + 2}
    assert platform.stored(new) == {f"secretbox {new}": SECRETS + 2}

    platform.step("dropped")
    found = {item["metadata"]["name"]: item["data"]["password"] for item in client.list("/api/v1/secrets")}
    assert len(found) == SECRETS + 2
    assert all(base64.b64decode(value).decode() == f"hunter-{name[1:]}" for name, value in found.items())
    # What was written with the new key before, the server has not written once more.
    assert versions(client)[f"s{SECRETS + 1}"] == before[f"s{SECRETS + 1}"]


def versions(client: Client) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in client.list("/api/v1/secrets")}


def test_a_file_that_the_server_refuses_is_an_error_and_not_taken_for_loaded(platform: Platform) -> None:
    (old,) = platform.loaded()
    platform.config.write_text(platform.config.read_text().replace("secretbox", "secretbux"))
    with pytest.raises(Failure, match="has not loaded it after 5 s"):
        Loaded(Server(platform.cluster.url), 5, platform.places).look()
    platform.make_secrets(1)
    assert platform.stored(old) == {f"secretbox {old}": 1}
