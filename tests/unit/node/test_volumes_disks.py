# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk holds: each kind of thing is found and named, with the command that removes it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node import disks
from ansible_collections.banking.platform.plugins.module_utils.node.disks import Disk, Disks
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

MIB = 1 << 20


class Programs(System):
    """Answers as blkid and wipefs would."""

    def __init__(self) -> None:
        super().__init__()
        self.signatures: list[dict[str, str]] = []
        self.export = ""
        self.fails = False

    def run(self, command: str | Sequence[str], timeout: float = 60) -> Completed:
        program = command[0]
        if self.fails:
            return Completed(1, "", f"{program}: error: Input/output error")
        if program == "wipefs":
            return Completed(0, json.dumps({"signatures": self.signatures}) if self.signatures else "", "")
        return Completed(0 if self.export else 2, self.export, "")


class Node:
    """A disk of 4 MiB, sdb, with its folders in /sys and /proc."""

    def __init__(self, folder: Path) -> None:
        self.programs = Programs()
        self.sys, self.proc = folder / "sys", folder / "proc"
        self.device = self.sys / "devices/sdb"
        (self.device / "holders").mkdir(parents=True)
        (self.sys / "dev/block").mkdir(parents=True)
        (self.sys / "dev/block/8:16").symlink_to(self.device)
        (self.device / "ro").write_text("0\n")
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self/mountinfo").write_text("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
        (self.proc / "swaps").write_text("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n")
        self.content = folder / "content"
        self.content.write_bytes(bytes(4 * MIB))
        self.disk = Disk("/dev/disk/by-id/b", str(self.content), "8:16", 4 * MIB)
        self.disks = Disks(self.programs, str(self.sys), str(self.proc))

    def found(self) -> dict[str, str]:
        return {finding.what: finding.remedy for finding in self.disks.contents(self.disk)}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_an_empty_disk_holds_nothing(node: Node) -> None:
    assert node.found() == {}


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("ext4", "wipefs --all"),
        ("xfs", "wipefs --all"),
        ("gpt", "wipefs --all"),
        ("dos", "wipefs --all"),
        ("LVM2_member", "pvremove"),
        ("linux_raid_member", "mdadm --zero-superblock"),
        ("crypto_LUKS", "cryptsetup erase"),
        ("swap", "swapoff"),
        ("zfs_member", "wipefs --all"),
    ],
)
def test_a_signature_is_named_once_with_its_remedy(node: Node, kind: str, remedy: str) -> None:
    entry = {"device": "sdb", "offset": "0x438", "type": kind, "uuid": "u", "label": "payments"}
    node.programs.signatures = [entry, {**entry, "offset": "0x4000"}]
    found = node.found()
    assert list(found) == [f"a signature of {kind} 'payments' at 0x438"]
    assert remedy in found[f"a signature of {kind} 'payments' at 0x438"]


@pytest.mark.parametrize(
    ("offset", "where"), [(0, "first"), (MIB - 1, "first"), (3 * MIB, "last"), (4 * MIB - 1, "last")]
)
def test_a_byte_at_the_ends_is_found(node: Node, offset: int, where: str) -> None:
    with node.content.open("r+b") as file:
        file.seek(offset)
        file.write(b"\1")
    found = node.found()
    assert list(found) == [f"the {where} MiB is not zero"]
    assert ("seek=" in found[f"the {where} MiB is not zero"]) == (where == "last")


def test_partitions(node: Node) -> None:
    for number in (1, 2):
        (node.device / f"sdb{number}").mkdir()
        (node.device / f"sdb{number}/partition").write_text(f"{number}\n")
        (node.device / f"sdb{number}/dev").write_text(f"8:{16 + number}\n")
    assert "partitions /dev/sdb1, /dev/sdb2" in node.found()


def test_a_mounted_partition(node: Node) -> None:
    (node.device / "sdb1").mkdir()
    (node.device / "sdb1/partition").write_text("1\n")
    (node.device / "sdb1/dev").write_text("8:17\n")
    with (node.proc / "self/mountinfo").open("a") as file:
        file.write("30 22 8:17 / /srv/old rw - ext4 /dev/sdb1 rw\n")
    assert node.found()["/dev/sdb1 is mounted at /srv/old"] == "umount /srv/old"


def test_swap_in_use(node: Node) -> None:
    with (node.proc / "swaps").open("a") as file:
        file.write(f"{node.content} partition 1 0 -2\n")
    assert f"{node.content} is swap in use" in node.found()


def test_a_holder_is_named(node: Node) -> None:
    (node.device / "holders/dm-3").mkdir()
    (node.sys / "class/block/dm-3/dm").mkdir(parents=True)
    (node.sys / "class/block/dm-3/dm/name").write_text("vg0-data\n")
    assert f"{node.content} is held by dm-3 (vg0-data)" in node.found()


def test_a_read_only_disk(node: Node) -> None:
    (node.device / "ro").write_text("1\n")
    assert "it is read-only" in node.found()


def test_what_only_the_kernel_knows_of(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disks, "_claimed", staticmethod(lambda path: True))
    assert len(node.found()) == 1


def test_a_disk_that_cannot_be_read_is_not_taken_for_empty(node: Node) -> None:
    node.programs.fails = True
    with pytest.raises(Failure, match="cannot be read: wipefs: error: Input/output error"):
        node.found()
    with pytest.raises(Failure, match="cannot be read"):
        node.disks.identity("/dev/sdb")


def test_identity_unescapes_what_blkid_escapes(node: Node) -> None:
    node.programs.export = "DEVNAME=/dev/sdb\nLABEL=a\\ b\nTYPE=ext4\n"
    assert node.disks.identity("/dev/sdb") == {"DEVNAME": "/dev/sdb", "LABEL": "a b", "TYPE": "ext4"}


@pytest.mark.parametrize("name", ["/dev/sdb", "/dev/vdb1", "/dev/disk/by-uuid/x", "/dev/disk/by-id/../../sdb", "sdb"])
def test_an_unstable_name_is_refused_with_the_reason(node: Node, name: str) -> None:
    with pytest.raises(Failure) as refused:
        node.disks.find(name)
    assert "not a stable name" in refused.value.cause
    assert "by-id" in refused.value.next_step


def test_a_disk_that_is_not_there(node: Node) -> None:
    with pytest.raises(Failure) as refused:
        node.disks.find("/dev/disk/by-id/not-there")
    assert "there is no /dev/disk/by-id/not-there" in refused.value.cause
    assert "/dev/disk/by-id has: " in refused.value.next_step


def test_a_name_that_leads_to_no_block_device(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks.os.path, "realpath", lambda path: str(node.content))
    with pytest.raises(Failure, match="not a block device"):
        node.disks.find("/dev/disk/by-id/b")


def test_a_disk_is_found_with_its_size(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    (node.device / "size").write_text("8192\n")
    status = SimpleNamespace(st_mode=stat.S_IFBLK, st_rdev=os.makedev(8, 16))
    monkeypatch.setattr(disks.os.path, "realpath", lambda path: "/dev/sdb")
    monkeypatch.setattr(disks.os, "stat", lambda path: status)
    assert node.disks.find("/dev/disk/by-id/b") == Disk("/dev/disk/by-id/b", "/dev/sdb", "8:16", 4 * MIB)
