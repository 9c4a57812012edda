# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `banking.platform.kubeconfig`: a certificate for one run, and the API server that answers."""

from __future__ import annotations

import base64
import datetime
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig
from cryptography import x509

from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store, facts_of

NOBODY = "https://127.0.0.1:1"


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    return {"platform_ca_dir": str(tmp_path / "ca"), "platform_ca_passphrase": f"file:{tmp_path}/passphrase"}


@pytest.fixture
def store(known: dict[str, Any]) -> Store:
    made = Store(known["platform_ca_dir"], Keyring(reference=known["platform_ca_passphrase"]))
    made.create("bootstrap", "Bank", 30)
    made.create("kubernetes", "Bank", 30)
    return made


def look_up(known: dict[str, Any], *servers: str, more: str = "") -> dict[str, Any]:
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()
    templar = Templar(DataLoader(), variables={**known, "servers": list(servers)})
    found: dict[str, Any] = templar.template(
        trust_as_template("{{ lookup('banking.platform.kubeconfig', *servers" + more + ") }}")
    )
    return found


def test_the_certificate_is_signed_for_an_hour_and_for_clients_alone(known: dict[str, Any], store: Store) -> None:
    made = look_up(known, NOBODY)
    user = made["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    assert store.authority("kubernetes").signed(certificate)
    facts = facts_of(certificate)
    assert facts["organizations"] == ["system:masters"]
    assert facts["usages"] == ["client"]
    assert facts["common_name"].startswith("platform:")
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=58) < left <= datetime.timedelta(minutes=60)
    assert b"PRIVATE KEY" in base64.b64decode(user["client-key-data"])
    trusted = base64.b64decode(made["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    assert trusted == store.authority("kubernetes").bundle
    assert {path.suffix for path in Path(known["platform_ca_dir"]).iterdir()} == {".crt", ".key"}


def test_minutes(known: dict[str, Any], store: Store) -> None:
    user = look_up(known, NOBODY, more=", minutes=5")["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left <= datetime.timedelta(minutes=5)


def test_the_server_is_the_first_that_takes_a_connection(known: dict[str, Any], store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        there = f"https://127.0.0.1:{listening.getsockname()[1]}"
        assert look_up(known, NOBODY, there)["clusters"][0]["cluster"]["server"] == there
    assert look_up(known, NOBODY, "https://127.0.0.1:2")["clusters"][0]["cluster"]["server"] == NOBODY


def test_without_an_authority_there_is_nothing_but_a_plan(known: dict[str, Any]) -> None:
    planned = look_up({**known, "ansible_check_mode": True}, NOBODY)
    assert planned["users"][0]["user"] == {}
    with pytest.raises(AnsibleError, match="there is no certificate authority kubernetes"):
        look_up(known, NOBODY)


def test_clients_take_the_virtual_address_or_a_control_plane_node(known: dict[str, Any], store: Store) -> None:
    inventory = {
        **known,
        "platform_groups": {"control_plane": "masters"},
        "groups": {"masters": ["a", "b"]},
        "hostvars": {"a": {"platform_address": "127.0.0.2"}, "b": {"platform_address": "::1"}},
        "api_lb_virtual_ip": "127.0.0.9",
    }

    def server(**more: Any) -> str:
        return str(look_up({**inventory, **more})["clusters"][0]["cluster"]["server"])

    assert server() == "https://127.0.0.9:8443"
    assert server(api_lb_virtual_ip="") == "https://127.0.0.2:8443"
    assert server(api_lb_virtual_ip="", hostvars={"a": {}, "b": inventory["hostvars"]["b"]}) == "https://[::1]:8443"


def test_no_server_is_an_error(known: dict[str, Any]) -> None:
    with pytest.raises(AnsibleError, match="no API server is named"):
        look_up(known)
