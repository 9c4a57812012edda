# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities and certificates, with the real openssl: controller and node in this process, and a real playbook on this
machine for what Ansible shows of it."""

from __future__ import annotations

import datetime
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from cryptography import x509

from ansible_collections.banking.platform.plugins.module_utils.node.certificates import Certificates
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import authorities
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store
from ansible_collections.banking.platform.tests.unit.action.conftest import Play, make_action, results

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="a node is converged by root")]
CLONE = Path(__file__).resolve().parents[3]
PASSPHRASE = "correct horse battery"


class Node:
    """This machine as a node, with a folder in place of /etc."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.pki = play.folder / "pki"
        self.phases: list[str] = []
        self.ca = play.folder / "ca"
        (play.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
        self.variables: dict[str, Any] = {
            "platform_ca_dir": str(self.ca),
            "platform_ca_passphrase": f"file:{play.folder}/passphrase",
        }
        self.server: dict[str, Any] = {
            "path": str(self.pki / "server.crt"),
            "key": str(self.pki / "server.key"),
            "authority": "etcd",
            "common_name": "cp-a1",
            "dns": ["cp-a1", "localhost"],
            "ip": ["127.0.0.1", "10.82.1.11"],
            "usages": ["server", "client"],
        }

    @property
    def store(self) -> Store:
        return Store(str(self.ca), Keyring(reference=str(self.variables["platform_ca_passphrase"])))

    def run(self, *options: str, plugin: str = "certificates", **arguments: Any) -> dict[str, Any]:
        """The result of a task, with both its halves in this process. Options: --check."""
        variables = {"inventory_hostname": "cp-a1", **self.variables}
        action = make_action(plugin, arguments, **variables)
        action._task.check_mode, action._task.diff = "--check" in options, True
        self.phases = []

        def execute(module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
            node = Certificates(System(), action._task.check_mode, str(self.play.folder / "pending"))
            phase, args = module_args["phase"], module_args
            self.phases.append(phase)
            try:
                if phase == "read":
                    return {"changed": False, **node.read(args["files"], args["keys"])}
                if phase == "request":
                    return {"changed": False, "requests": node.request(args["keys"])}
                return node.install(args["files"], args["contents"], args["made"])
            except Failure as failure:
                return {"failed": True, "msg": failure.cause, "plan": []}

        action._execute_module = execute
        result: dict[str, Any] = action.run(task_vars=variables)
        return result

    def played(self, *options: str, **arguments: Any) -> dict[str, Any]:
        """The result of a task of a real playbook; with the text of the whole run as `text`."""
        task = {"name": "Do it", "banking.platform.certificates": arguments}
        play = {"hosts": "localhost", "gather_facts": False, "vars": self.variables, "tasks": [task]}
        answer = self.play.run([play], *options)
        return {**results(answer)["Do it"], "text": answer["text"]}

    def make(self, *options: str, **arguments: Any) -> dict[str, Any]:
        names = {"names": ["etcd", "bootstrap"], "key_pairs": ["service-accounts"], "organization": "test", **arguments}
        return self.run(*options, plugin="authorities", **names)

    def wanted(self, **server: Any) -> dict[str, Any]:
        return {
            "authorities": [{"name": "etcd", "path": str(self.pki / "ca.crt")}],
            "certificates": [{**self.server, **server}],
        }

    def converge(self, *options: str, **server: Any) -> dict[str, Any]:
        return self.run(*options, **self.wanted(**server))

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.pki / "server.crt").read_bytes())


@pytest.fixture
def node(play: Play) -> Node:
    return Node(play)


@pytest.fixture
def ready(node: Node) -> Node:
    """A node whose certificates are there."""
    for name in ("bootstrap", "etcd"):
        node.store.create(name, "test", 3650)
    node.store.create_pair("service-accounts")
    result = node.converge()
    assert not result.get("failed"), result["msg"]
    return node


def steps(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {Path(step["target"]).name: step for step in result["plan"]}


def test_authorities_are_made_once_and_encrypted(node: Node):
    planned = node.make("--check")
    assert planned["changed"]
    assert not node.ca.exists()
    made = node.make()
    assert [(step["target"], step["action"]) for step in made["plan"]] == [
        ("bootstrap", "create"),
        ("etcd", "create"),
        ("service-accounts", "create"),
    ]
    for key in node.ca.glob("*.key"):
        assert key.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(node.ca.stat().st_mode) == 0o700
    before = {path.name: path.read_bytes() for path in node.ca.iterdir()}
    assert not node.make()["changed"]
    assert {path.name: path.read_bytes() for path in node.ca.iterdir()} == before
    assert PASSPHRASE not in str(made)


def test_authority_is_trusted_by_itself_and_by_the_bootstrap_authority(ready: Node):
    ca = ready.ca
    for trusted, more in (("etcd.crt", []), ("bootstrap.crt", ["-untrusted", str(ca / "etcd.cross.crt")])):
        argv = ["openssl", "verify", "-x509_strict", "-CAfile", str(ca / trusted), *more, str(ready.pki / "server.crt")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
    # What signs the authorities signs nobody's client certificates: the trusted file has the authority alone.
    assert x509.load_pem_x509_certificates((ready.pki / "ca.crt").read_bytes())[0].issuer.rfc4514_string() == (
        "CN=etcd,O=test"
    )


def test_keys_with_the_vault_of_the_run(node: Node):
    vault = VaultLib([("default", VaultSecret(b"of the vault"))])
    store = Store(str(node.ca), Keyring(vault))
    store.create("etcd", "test", 100)
    assert (node.ca / "etcd.key").read_text().startswith("$ANSIBLE_VAULT;")
    assert authorities.public_pem(store.private_key("etcd")) == authorities.public_pem(
        store.authority("etcd").certificate
    )
    del node.variables["platform_ca_passphrase"]
    assert "next: run with --vault-id" in node.converge()["msg"]
    assert "next: run with --vault-id" in node.make()["msg"]
    assert not (node.ca / "bootstrap.key").exists()
    (node.play.folder / "secret").write_text("of the vault\n")
    played = node.played("--vault-password-file", "secret", "--diff", "-vvv", **node.wanted())
    assert played["changed"]
    assert "PRIVATE KEY" not in played["text"]
    assert handshake(node)


def test_lost_folder_is_not_made_anew(node: Node):
    result = node.make(in_use={"cp-a1": ["etcd"], "cp-b1": []})
    assert "etcd is not in" in result["msg"]
    assert "cp-a1 already trust" in result["msg"]
    assert not node.ca.exists()


def test_folder_that_git_takes_in_is_refused(node: Node):
    subprocess.run(["git", "init", "--quiet", str(node.play.folder)], check=True)
    assert "does not ignore it" in node.make("--check")["msg"]
    (node.play.folder / ".gitignore").write_text("ca/\n")
    assert not node.make().get("failed")


def test_certificate_says_what_is_wanted(ready: Node):
    certificate = ready.certificate()
    assert authorities.facts_of(certificate) == {
        "common_name": "cp-a1",
        "organizations": [],
        "dns": ["cp-a1", "localhost"],
        "ip": ["10.82.1.11", "127.0.0.1"],
        "usages": ["client", "server"],
    }
    assert stat.S_IMODE((ready.pki / "server.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((ready.pki / "server.crt").stat().st_mode) == 0o644


def test_second_run_changes_nothing_in_one_module_run(ready: Node):
    before = (ready.pki / "server.crt").read_bytes()
    assert not ready.converge()["changed"]
    assert ready.phases == ["read"]
    assert (ready.pki / "server.crt").read_bytes() == before


def test_killed_between_request_and_certificate(ready: Node):
    Certificates(System(), False, str(ready.play.folder / "pending")).request([ready.server["key"]])
    assert not ready.converge()["changed"]
    assert ready.converge(common_name="other")["changed"]
    assert not any((ready.play.folder / "pending").iterdir())
    assert handshake(ready)


def test_check_before_anything_is_there(node: Node):
    result = node.converge("--check", "--diff")
    assert not result.get("failed"), result.get("msg")
    assert steps(result)["server.crt"]["action"] == "create"
    assert any("authority etcd" in text for text in result["deferred"])
    assert not node.pki.exists()


def test_missing_user_is_deferred_in_a_dry_run_and_an_error_otherwise(node: Node):
    node.store.create("etcd", "test", 100)
    planned = node.converge("--check", owner="nobody-knows-me")
    assert any("'nobody-knows-me' does not exist" in text for text in planned["deferred"])
    assert "'nobody-knows-me' does not exist" in node.converge(owner="nobody-knows-me")["msg"]
    assert not (node.pki / "server.crt").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ip": ["10.82.1.12"]}, "other ip wanted"),
        ({"usages": ["server"]}, "other usages wanted"),
        ({"common_name": "cp-b1", "organizations": ["ops"]}, "other common_name, organizations wanted"),
        ({"days": 400, "renew_before": 399}, "it ends on"),
    ],
)
def test_other_wish_replaces_certificate_and_key(ready: Node, change: dict[str, Any], why: str):
    key = (ready.pki / "server.key").read_bytes()
    planned = ready.converge("--check", "--diff", **change)
    assert why in steps(planned)["server.crt"]["note"]
    assert (ready.pki / "server.key").read_bytes() == key
    result = ready.converge("--diff", **change)
    assert why in steps(result)["server.crt"]["note"]
    assert result["paths"] == planned["paths"] == [ready.server["path"], ready.server["key"]]
    # What certificates say is shown, not their bytes.
    assert "BEGIN" not in str(result["diff"])
    assert "common_name: " in str(result["diff"])
    assert (ready.pki / "server.key").read_bytes() != key
    if "renew_before" not in change:
        assert not ready.converge(**change)["changed"]


@pytest.mark.parametrize("damage", ["foreign key", "torn certificate", "no key", "foreign authority"])
def test_damage_is_mended(ready: Node, damage: str):
    if damage == "foreign key":
        argv = ["openssl", "ecparam", "-genkey", "-name", "prime256v1", "-out", ready.server["key"]]
        subprocess.run(argv, check=True, capture_output=True)
    elif damage == "torn certificate":
        (ready.pki / "server.crt").write_bytes((ready.pki / "server.crt").read_bytes()[:200])
    elif damage == "no key":
        (ready.pki / "server.key").unlink()
    else:
        for name in ("etcd.crt", "etcd.key"):
            (ready.ca / name).unlink()
        ready.store.create("etcd", "test", 3650)
    assert ready.converge()["changed"]
    assert handshake(ready)
    assert not ready.converge()["changed"]


def handshake(node: Node) -> bool:
    """Whether a server with the node's certificate and a client with the authority's understand each other."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(node.pki / "ca.crt"))
    server.load_cert_chain(node.server["path"], node.server["key"])
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(node.pki / "ca.crt"))
    client.load_cert_chain(node.server["path"], node.server["key"])
    left, right = socket.socketpair()
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(server.wrap_socket(left, server_side=True).recv(2)))
    thread.start()
    with client.wrap_socket(right, server_hostname="127.0.0.1") as secure:
        secure.send(b"ok")
        thread.join(5)
    return done == [b"ok"]


def test_authority_that_ended_is_refused_before_anything_changes(ready: Node):
    certificate = (ready.pki / "server.crt").read_bytes()
    for name in ("etcd.crt", "etcd.key"):
        (ready.ca / name).unlink()
    ready.store.create("etcd", "test", -1)
    assert "has ended on" in ready.converge()["msg"]
    assert "has ended on" in ready.make()["msg"]
    assert (ready.pki / "server.crt").read_bytes() == certificate


def test_certificate_never_outlives_its_authority_and_is_not_replaced_in_vain(node: Node):
    node.store.create("etcd", "test", 30)
    assert node.converge()["changed"]
    assert node.certificate().not_valid_after_utc == node.store.authority("etcd").certificate.not_valid_after_utc
    assert not node.converge()["changed"]


def test_clock_that_is_off_is_refused(ready: Node):
    action = make_action("certificates", {"certificates": [ready.server]}, **ready.variables)
    ahead = datetime.datetime.now().timestamp() + 3600
    action._execute_module = lambda **_options: {
        "texts": {},
        "public": {},
        "time": ahead,
        "plan": [],
        "plan_changes": False,
    }
    said = action.run(task_vars={"inventory_hostname": "cp-a1", **ready.variables})["msg"]
    assert "certificates on cp-a1: the node's clock is 3600 s ahead" in said


def test_key_in_clear_is_refused(ready: Node):
    clear = ready.store.private_key("etcd")
    pem = clear.private_bytes(
        authorities.serialization.Encoding.PEM,
        authorities.serialization.PrivateFormat.PKCS8,
        authorities.serialization.NoEncryption(),
    )
    (ready.ca / "etcd.key").write_bytes(pem)
    assert "etcd.key is not encrypted" in ready.converge(common_name="other")["msg"]


def test_wrong_passphrase_says_so_and_shows_nothing(ready: Node):
    (ready.play.folder / "passphrase").write_text("another one, just as long\n")
    result = ready.converge(common_name="other")
    assert "cannot be decrypted" in result["msg"]
    assert "another one" not in str(result)


def test_keys_of_authorities_and_pairs_reach_only_who_asks(ready: Node):
    asked: dict[str, Any] = {
        "authorities": [
            {"name": "etcd", "path": str(ready.pki / "x" / "ca.crt"), "key": str(ready.pki / "x" / "ca.key")}
        ],
        "key_pairs": [
            {
                "name": "service-accounts",
                "key": str(ready.pki / "x" / "sa.key"),
                "public": str(ready.pki / "x" / "sa.pub"),
            }
        ],
    }
    planned = ready.run("--check", "--diff", **asked)
    assert planned["changed"]
    assert not (ready.pki / "x").exists()
    result = ready.played("--diff", "-vvv", **asked)
    assert not result.get("failed"), result["msg"]
    for key, other in (("ca.key", ready.store.authority("etcd").certificate), ("sa.key", None)):
        text = (ready.pki / "x" / key).read_bytes()
        private = authorities.serialization.load_pem_private_key(text, None)
        wanted = authorities.public_pem(other) if other else ready.store.public_key("service-accounts")
        assert authorities.public_pem(private) == wanted
        assert stat.S_IMODE((ready.pki / "x" / key).stat().st_mode) == 0o600
        # The key's body, line by line: nothing of it is told, however much is asked for.
        assert not any(line in result["text"] for line in text.decode().splitlines()[1:-1])
    assert not (ready.pki / "ca.key").exists()
    assert not ready.run(**asked)["changed"]


def test_both_authorities_are_trusted_while_the_old_one_is_kept(ready: Node):
    old = (ready.ca / "etcd.crt").read_text()
    for name in ("etcd.crt", "etcd.key"):
        (ready.ca / name).unlink()
    ready.store.create("etcd", "test", 3650)
    (ready.ca / "etcd.old.crt").write_text(old)
    assert ready.converge()["changed"]
    assert len(x509.load_pem_x509_certificates((ready.pki / "ca.crt").read_bytes())) == 2
    assert handshake(ready)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"usages": ["signing"]}, "usages signing"),
        ({"usages": []}, "usages are missing"),
        ({"ip": ["10.82.1"]}, "'10.82.1' does not appear to be"),
        ({"renew_before": 365}, "replaced in each run"),
        ({"colour": "red"}, "unknown colour"),
    ],
)
def test_wrong_wishes(node: Node, wish: dict[str, Any], said: str):
    action = make_action("certificates", {"certificates": [{**node.server, **wish}]}, **node.variables)
    result = action.run(task_vars={"inventory_hostname": "cp-a1", **node.variables})
    assert said in result["msg"]
    assert "cp-a1" in result["msg"]


def test_passphrases_that_are_none(tmp_path: Path):
    (tmp_path / "short").write_text("short\n")
    for reference, said in (("secret", "no reference"), ("env:NOT_SET_AT_ALL", "cannot be read"), ("", "in clear")):
        with pytest.raises(Failure, match=said):
            Keyring(reference=reference).ready()
    with pytest.raises(Failure, match="less than 12"):
        Keyring(reference=f"file:{tmp_path}/short").ready()


def test_playbook_makes_them_and_stops_when_they_were_lost(node: Node):
    """playbooks/ca.yml on two hosts, one of which has a certificate of an authority already."""
    held = node.play.folder / "held.crt"
    hosts = {name: {"ansible_connection": "local"} for name in ("cp-a1", "cp-b1")}
    files = {name: str(held) if name == "etcd" else "/nowhere" for name in ("etcd", "kubernetes", "service-accounts")}
    inventory = {
        "vars": {**node.variables, "platform_domain": "test", "platform_authority_files": files},
        "children": {"etcd": {"hosts": hosts}, "control_plane": {"hosts": hosts}},
    }
    (node.play.folder / "hosts.json").write_text(json.dumps({"all": inventory}))

    def run() -> str:
        argv = ["ansible-playbook", str(CLONE / "playbooks" / "ca.yml"), "-i", str(node.play.folder / "hosts.json")]
        extra = ["-e", json.dumps({"platform_authority_files": files, "ansible_python_interpreter": sys.executable})]
        done = subprocess.run([*argv, *extra], capture_output=True, text=True, check=False, cwd=CLONE, timeout=60)
        return done.stdout + done.stderr

    held.write_text("held")
    assert "etcd is not in" in (said := run()), said
    assert "cp-a1, cp-b1 already trust" in said
    assert not node.ca.exists()
    held.unlink()
    assert "5 authorities, 1 key pair" in (said := run()), said
    names = {"bootstrap", "etcd", "kubernetes", "front-proxy", "service-accounts", "vault"}
    assert {path.stem for path in node.ca.glob("*.key")} == names
    held.write_text("held")
    before = {path.name: path.read_bytes() for path in node.ca.iterdir()}
    assert "2 hosts, 0 changed" in (said := run()), said
    assert {path.name: path.read_bytes() for path in node.ca.iterdir()} == before
