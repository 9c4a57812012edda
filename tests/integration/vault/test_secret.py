# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `secret` against a real KV, files and the environment."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader

from ansible_collections.banking.platform.plugins.module_utils import vault as client_module
from ansible_collections.banking.platform.tests.integration.vault.server import Server, audit_of

Lookup = Callable[..., Any]


def look_up(server: Server | None, reference: str, check: bool = False, **options: Any) -> Any:
    """Look up one reference, as a new process would."""
    plugin = lookup_loader.get("banking.platform.secret", loader=DataLoader(), templar=None)
    if server:
        options.setdefault("vault", server.options())
        type(plugin)._clients.clear()
        type(plugin)._read.clear()
    return plugin.run([reference], {"ansible_check_mode": check}, **options)[0]


@pytest.fixture
def kv(server: Server) -> Server:
    """A server with KV of both versions, one of them in a folder."""
    client = server.client()
    client.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    client.write("sys/mounts/deep/kv", {"type": "kv", "options": {"version": "1"}})
    client.write("kv/data/a/b", {"data": {"password": "s3cret-of-a", "user": "a"}})
    client.write("deep/kv/x", {"password": "s3cret-of-x"})
    return server


def test_reads_both_versions(kv: Server) -> None:
    assert look_up(kv, "vault:kv/a/b#password") == "s3cret-of-a"
    assert look_up(kv, "vault:kv/a/b") == {"password": "s3cret-of-a", "user": "a"}
    assert look_up(kv, "vault:deep/kv/x#password") == "s3cret-of-x"


def test_reads_once(kv: Server) -> None:
    plugin = lookup_loader.get("banking.platform.secret", loader=DataLoader(), templar=None)
    type(plugin)._clients.clear()
    type(plugin)._read.clear()
    before = len(audit_of(kv))
    terms = ["vault:kv/a/b#password", "vault:kv/a/b#user"] * 20
    assert plugin.run(terms, {}, vault=kv.options()) == ["s3cret-of-a", "a"] * 20
    paths = {one["request"]["path"] for one in audit_of(kv)[before:]}
    assert paths == {"sys/internal/ui/mounts/kv/a/b", "kv/data/a/b"}
    assert len(audit_of(kv)) - before == 4, "each request is two lines: asked and answered"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("vault:kv/a/b#nothing", "has no field nothing (it has password, user)"),
        ("vault:kv/a/c#password", "there is no such secret"),
        ("vault:kv", "names a mount and no secret"),
        ("vault:other/a#b", "the token has not the capability"),
    ],
)
def test_what_is_missing_is_said(kv: Server, reference: str, said: str) -> None:
    client = kv.client()
    rules = 'path "kv/*" { capabilities = ["read"] }'
    client.write("sys/policies/acl/reader", {"policy": rules})
    token = client.write("auth/token/create", {"policies": ["reader"]})["auth"]["client_token"]
    with pytest.raises(AnsibleError) as caught:
        look_up(kv, reference, vault=kv.options(token=token))
    assert said in str(caught.value)
    assert reference in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_generates_once_and_keeps_other_fields(kv: Server) -> None:
    length = {"length": 40, "alphabet": "0123456789abcdef"}
    assert "generated" in look_up(kv, "vault:kv/new#password", check=True, generate=length)
    assert kv.client().data("kv/data/new") is None, "check mode wrote it"
    first = look_up(kv, "vault:kv/new#password", generate=length)
    assert len(first) == 40
    assert set(first) <= set("0123456789abcdef")
    assert look_up(kv, "vault:kv/new#password", generate=length) == first
    other = look_up(kv, "vault:kv/a/b#token", generate={})
    assert look_up(kv, "vault:kv/a/b") == {"password": "s3cret-of-a", "user": "a", "token": other}
    with pytest.raises(AnsibleError, match="version 1 has no check-and-set"):
        look_up(kv, "vault:deep/kv/new#password", generate={})
    with pytest.raises(AnsibleError, match="generate is unusable"):
        look_up(kv, "vault:kv/short#password", generate={"length": 3})


def test_two_at_once_agree(kv: Server) -> None:
    from ansible_collections.banking.platform.plugins.lookup import secret

    def one(_number: int) -> str:
        client = client_module.Vault(kv.options())
        found = ("kv/data/race", {}, 0)  # all of them have seen that there is none
        return secret._generate(client, "kv/race", found, "password", {})[1]["password"]

    with ThreadPoolExecutor(3) as pool:
        values = set(pool.map(one, range(3)))
    assert values == {look_up(kv, "vault:kv/race#password")}


def test_what_was_deleted_is_not_made_again(kv: Server) -> None:
    kv.client().delete("kv/data/a/b")
    with pytest.raises(AnsibleError, match="version 1 was deleted"):
        look_up(kv, "vault:kv/a/b#password", generate={})


def test_check_mode_before_there_is_a_vault(kv: Server) -> None:
    kv.client().request("PUT", "sys/seal", {})
    assert look_up(kv, "vault:kv/a/b#password", check=True) == "deferred: an unsealed Vault"
    with pytest.raises(AnsibleError, match="is sealed"):
        look_up(kv, "vault:kv/a/b#password")


def test_files_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("of-a-file\n")
    monkeypatch.setenv("PLATFORM_TEST_SECRET", "of-the-environment")
    assert look_up(None, f"file:{tmp_path}/one") == "of-a-file"
    assert look_up(None, "env:PLATFORM_TEST_SECRET") == "of-the-environment"
    for reference, said in (
        (f"file:{tmp_path}/two", "cannot be read"),
        ("env:PLATFORM_TEST_NOTHING", "is not set"),
        ("vault:a/b#c", "no URL is given"),
    ):
        monkeypatch.delenv("VAULT_ADDR", raising=False)
        with pytest.raises(AnsibleError, match=said):
            look_up(None, reference)
    with pytest.raises(AnsibleError) as caught:
        look_up(None, "hunter2-is-my-secret-itself")
    assert "my-secret" not in str(caught.value)


def test_a_file_of_ansible_vault(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pw")
    (tmp_path / "one").write_text("of-an-encrypted-file\n")
    key = ["--vault-password-file", str(tmp_path / "password")]
    subprocess.run(["ansible-vault", "encrypt", *key, str(tmp_path / "one")], check=True, capture_output=True)
    expression = f"{{{{ lookup('banking.platform.secret', 'file:{tmp_path}/one') }}}}"
    said = subprocess.run(
        ["ansible", "localhost", "-m", "ansible.builtin.debug", "-a", f"msg={expression}", *key],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "of-an-encrypted-file" in said.stdout, said.stdout + said.stderr
