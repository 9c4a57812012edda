# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role data_volumes on a real kernel, with real Tang servers, a software TPM, and real boots.

One machine lives through the tests of this file in their order: bare at the beginning, rebooted at the end.
"""

from __future__ import annotations

import hashlib
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.vm.conftest import Playbooks
from ansible_collections.banking.platform.tests.integration.vm.machine import CLONE, Machine, Tang, software_tpm

pytestmark = pytest.mark.vm

PLAYBOOK = CLONE / "tests/integration/vm/data_volumes.yml"
MIB = 1 << 20
SECRET = b"account 4711 owns 1,000,000"


class Setting:
    """A machine, three Tang servers, and an escrow certificate with its private key."""

    def __init__(self, folder: Path, machine: Machine, tangs: list[Tang]) -> None:
        self.folder, self.machine, self.tangs = folder, machine, tangs
        self.playbooks = Playbooks(machine, folder)
        self.escrow = folder / "escrow"
        self.certificate, self.private_key = folder / "escrow.pem", folder / "escrow.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:3072", "-noenc", "-days", "2",
             "-subj", "/CN=Escrow of the tests", "-keyout", str(self.private_key), "-out", str(self.certificate)],
            check=True, capture_output=True,
        )  # fmt: skip

    def variables(self, *volumes: dict[str, Any], unlock: str = "tang") -> dict[str, Any]:
        servers = [
            {"zone": f"zone-{zone}", "url": tang.url, "thumbprint": tang.thumbprint}
            for zone, tang in zip("abc", self.tangs, strict=True)
        ]
        return {
            "platform_environment": "prod",
            "data_volumes": list(volumes),
            "data_volumes_unlock": unlock,
            "data_volumes_tang_servers": servers,
            "data_volumes_escrow_certificate": str(self.certificate),
            "data_volumes_escrow_dir": str(self.escrow),
        }

    def run(self, variables: dict[str, Any], *options: str, fails: bool = False) -> dict[str, dict[str, Any]]:
        return self.playbooks.run(PLAYBOOK, variables, *options, fails=fails)

    def decrypt(self, name: str) -> bytes:
        """What somebody who has the private key finds in escrow."""
        blob = self.escrow / name
        done = subprocess.run(
            ["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", str(blob), "-inkey", str(self.private_key)],
            check=True, capture_output=True,
        )  # fmt: skip
        return done.stdout


VAULT = {
    "name": "vault",
    "device": "/dev/disk/by-id/virtio-vault",
    "path": "/var/lib/vault-data",
    "mode": "0700",
    "group": "daemon",
    "min_size": "200M",
}
ETCD = {"name": "etcd", "device": "/dev/disk/by-id/virtio-etcd", "path": "/var/lib/etcd", "fstype": "xfs"}


@pytest.fixture(scope="module")
def setting(folder: Path) -> Iterator[Setting]:
    tangs = [Tang(folder / f"tang-{zone}") for zone in "abc"]
    with software_tpm(folder / "tpm") as tpm:
        machine = Machine(folder / "machine", {"vault": 256 * MIB, "etcd": 512 * MIB, "used": 64 * MIB}, tpm)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "payments", str(machine.disk("used"))], check=True)
        try:
            machine.start()
            yield Setting(folder, machine, tangs)
        finally:
            machine.stop()
            for tang in tangs:
                tang.down()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def within(seconds: float, true: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(1)
    return False


def is_mounted(setting: Setting, path: str) -> bool:
    return setting.machine.ssh(f"findmnt {path}", check=False).returncode == 0


def test_check_mode_on_a_bare_node_plans_and_touches_nothing(setting: Setting) -> None:
    before = digest(setting.machine.disk("vault"))
    results = setting.run(setting.variables(VAULT), "--check", "--diff")
    plan = results["Make the volumes"]["plan"]
    assert [(step["kind"], step["action"]) for step in plan] == [
        ("escrow", "create"),
        ("luks", "create"),
        ("filesystem", "create"),
        ("escrow", "create"),
        ("file", "create"),
    ]
    assert "cryptsetup" in results["Make the volumes"]["deferred"][0]
    assert results["Mount the volumes"]["changed"]
    assert digest(setting.machine.disk("vault")) == before
    assert not setting.escrow.exists()
    assert setting.machine.ssh("command -v cryptsetup", check=False).returncode != 0


def test_a_disk_with_a_signature_is_refused_before_anything_is_installed(setting: Setting) -> None:
    before = digest(setting.machine.disk("used"))
    used = {"name": "used", "device": "/dev/disk/by-id/virtio-used", "path": "/srv/used"}
    results = setting.run(setting.variables(VAULT, used), fails=True)
    message = results["Look at the disks"]["msg"]
    assert "data_volumes on vm1: volume used: /dev/disk/by-id/virtio-used" in message
    assert "ext4 'payments'" in message
    assert "wipefs --all /dev/vd" in message
    assert digest(setting.machine.disk("used")) == before
    assert setting.machine.ssh("command -v cryptsetup", check=False).returncode != 0


def test_first_run_makes_and_mounts_the_volume(setting: Setting) -> None:
    setting.run(setting.variables(VAULT))
    machine = setting.machine
    mounted = machine.read("findmnt --noheadings --output SOURCE,FSTYPE,OPTIONS /var/lib/vault-data").split()
    assert mounted[:2] == ["/dev/mapper/data-vault", "ext4"]
    assert {"noatime", "nodev", "nosuid", "noexec"} <= set(mounted[2].split(","))
    assert machine.read("stat --format '%U %G %a' /var/lib/vault-data") == "root daemon 700"
    dump = machine.read("cryptsetup luksDump /dev/disk/by-id/virtio-vault")
    assert "aes-xts-plain64" in dump
    assert "Key:        512 bits" in dump
    assert "argon2id" in dump
    machine.ssh("cat > /var/lib/vault-data/ledger && sync", SECRET)


def test_second_run_changes_nothing(setting: Setting) -> None:
    results = setting.run(setting.variables(VAULT))
    assert not any(result["changed"] for result in results.values()), results
    assert {step["action"] for step in results["Make the volumes"]["plan"]} == {"none"}


def test_escrow_holds_what_opens_the_volume_and_nothing_else_does(setting: Setting) -> None:
    key = setting.decrypt("vm1-vault.cms")
    test = "cryptsetup open --test-passphrase --key-slot 0 --key-file - /dev/disk/by-id/virtio-vault"
    assert setting.machine.ssh(test, key, check=False).returncode == 0
    assert setting.machine.ssh(test, key[:-1] + b"?", check=False).returncode != 0
    for path in setting.escrow.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert key not in path.read_bytes()


def test_escrowed_header_opens_the_volume_when_the_disks_own_is_gone(setting: Setting) -> None:
    machine = setting.machine
    machine.ssh("cat > /run/header", setting.decrypt("vm1-vault.header.cms"))
    opened = machine.ssh(
        "cryptsetup open --test-passphrase --header /run/header --key-file - /dev/disk/by-id/virtio-vault",
        setting.decrypt("vm1-vault.cms"), check=False,
    )  # fmt: skip
    assert opened.returncode == 0, opened.stderr


def test_keys_and_data_are_in_clear_nowhere(setting: Setting) -> None:
    key = setting.decrypt("vm1-vault.cms")
    setting.machine.ssh("journalctl --sync; sync")
    assert key not in setting.playbooks.last_output.encode()
    assert key.decode() not in setting.machine.read("journalctl --no-pager")
    for name in ("root", "vault"):
        path = setting.machine.root if name == "root" else setting.machine.disk(name)
        content = path.read_bytes()
        assert key not in content, f"the recovery key is in clear on {name}"
        assert SECRET not in content, f"the data are in clear on {name}"
    assert b"data-vault" in content  # what was searched is the disk with the volume


def test_another_volume_unlocks_by_the_tpm(setting: Setting) -> None:
    variables = setting.variables(ETCD, unlock="tpm2")
    setting.run(variables)
    assert not any(result["changed"] for result in setting.run(variables).values())
    token = setting.machine.read("cryptsetup luksDump /dev/disk/by-id/virtio-etcd")
    assert "systemd-tpm2" in token
    lines = setting.machine.read("cat /etc/crypttab").splitlines()
    assert lines == [
        "data-vault /dev/disk/by-id/virtio-vault none luks,_netdev,nofail",
        "data-etcd /dev/disk/by-id/virtio-etcd none luks,nofail,tpm2-device=auto",
    ]


def test_changed_options_are_remounted_and_not_unmounted(setting: Setting) -> None:
    machine = setting.machine
    machine.ssh("systemd-run --quiet --unit=keeper tail -f /var/lib/vault-data/ledger")
    wanted = dict(VAULT, options=["nodev", "nosuid", "noexec", "relatime"])
    setting.run(setting.variables(wanted))
    assert machine.read("systemctl is-active keeper.service") == "active"
    assert "relatime" in machine.read("findmnt --noheadings --output OPTIONS /var/lib/vault-data")
    machine.ssh("systemctl stop keeper.service")
    setting.run(setting.variables(VAULT))


def test_another_way_to_unlock_is_refused_with_the_command(setting: Setting) -> None:
    results = setting.run(setting.variables(VAULT, unlock="tpm2"), fails=True)
    message = results["Look at the disks"]["msg"]
    assert "is unlocked by tang" in message
    assert "systemd-cryptenroll --wipe-slot=tpm2 --tpm2-device=auto --tpm2-pcrs=7" in message


def test_after_a_reboot_with_two_of_three_servers_both_volumes_are_there(setting: Setting) -> None:
    setting.tangs[0].down()
    setting.machine.reboot()
    assert within(60, lambda: is_mounted(setting, "/var/lib/vault-data"))
    assert is_mounted(setting, "/var/lib/etcd")
    assert setting.machine.ssh("cat /var/lib/vault-data/ledger").stdout == SECRET


def test_with_one_of_three_servers_the_node_boots_and_the_volume_stays_closed(setting: Setting) -> None:
    setting.tangs[1].down()
    setting.machine.reboot()
    assert within(60, lambda: is_mounted(setting, "/var/lib/etcd"))
    time.sleep(10)
    assert setting.machine.ssh("test -e /dev/mapper/data-vault", check=False).returncode != 0
    assert not is_mounted(setting, "/var/lib/vault-data")


def test_when_a_second_server_comes_back_the_volume_mounts_by_itself(setting: Setting) -> None:
    setting.tangs[1].up()
    assert within(60, lambda: is_mounted(setting, "/var/lib/vault-data"))
    assert setting.machine.ssh("cat /var/lib/vault-data/ledger").stdout == SECRET
