# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk holds. Everything here only reads.

A disk is taken for empty only when nothing at all speaks against it: no use by the kernel, no signature that libblkid
knows, and nothing but zeros where the software that it does not know keeps its own.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from typing import Dict, Iterator, List

from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Names that stay with the disk. /dev/sdX is given out anew at each boot, in the order in which disks answer.
STABLE = re.compile(r"/dev/disk/(by-id|by-path|by-partuuid)/[^/\s]+")

_MIB = 1 << 20
# What to do about a signature, by its type as wipefs prints it; {device} is filled in.
_REMEDIES = {
    "LVM2_member": "vgreduce or vgremove its volume group, then pvremove {device}",
    "linux_raid_member": "mdadm --stop its array, then mdadm --zero-superblock {device}",
    "crypto_LUKS": "cryptsetup erase {device} && wipefs --all {device}",
    "swap": "swapoff {device}; wipefs --all {device}",
}


@dataclass
class Finding:
    """One thing that a disk holds, and the command that removes it."""

    what: str
    remedy: str


@dataclass
class Disk:
    """A block device.

    Attributes:
        name: the stable path that the user gave.
        path: the kernel's path at this moment, such as /dev/sdb.
        number: major:minor, as /proc and /sys write it.
        size: bytes.
    """

    name: str
    path: str
    number: str
    size: int

    def __str__(self) -> str:
        return f"{self.name} ({self.path}, {self.size / (1 << 30):.1f} GiB)"


class Disks:
    """Looks at the disks of a node.

    Args:
        system: runs the programs.
        sys, proc: the kernel's file systems; tests bring their own.
    """

    def __init__(self, system: System, sys: str = "/sys", proc: str = "/proc") -> None:
        self.system = system
        self.sys = sys
        self.proc = proc

    def find(self, device: str) -> Disk:
        """The disk behind a stable path.

        Raises:
            Failure: when the path is not a stable one, or leads to no block device.
        """
        if not STABLE.fullmatch(device):
            raise Failure(
                f"{device} is not a stable name: the kernel gives such names out anew at each boot, and the next boot "
                "could give this one to another disk",
                "name the disk as in `ls -l /dev/disk/by-id` (or by-path, by-partuuid)",
            )
        path = os.path.realpath(device)
        try:
            status = os.stat(path)
        except OSError as error:
            folder = os.path.dirname(device)
            there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            raise Failure(
                f"there is no {device}",
                f"correct the name, or attach the disk; {folder} has: {', '.join(there) or 'nothing'}",
            ) from error
        if not stat.S_ISBLK(status.st_mode):
            raise Failure(f"{device} leads to {path}, which is not a block device", "name a disk or a partition")
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        sectors = self._line(os.path.join(self._folder(number), "size")) or "0"
        return Disk(device, path, number, int(sectors) * 512)

    def identity(self, path: str) -> Dict[str, str]:
        """What libblkid finds on a device, by its own names: TYPE, UUID, LABEL, SUBSYSTEM, ...; empty for nothing.

        The probe reads the device itself and never udev's memory of it.
        """
        done = self.system.run(["blkid", "-p", "-o", "export", path])
        if done.status not in (0, 2, 8):
            raise Failure(f"{path} cannot be read: {done.last_lines(1)}", "see `dmesg` for what the disk says")
        pairs = (line.partition("=") for line in done.out.splitlines())
        return {key: re.sub(r"\\(.)", r"\1", value) for key, _sign, value in pairs}

    def in_use(self, disk: Disk) -> List[Finding]:
        """What the kernel does with a disk and its partitions just now."""
        return [finding for path, number in self._with_partitions(disk) for finding in self._in_use(path, number)]

    def contents(self, disk: Disk) -> List[Finding]:
        """Everything that is on a disk, or that the kernel does with it; nothing for a disk that is empty."""
        found = self.in_use(disk)
        folder = self._folder(disk.number)
        if self._line(os.path.join(folder, "ro")) == "1":
            found.append(Finding("it is read-only", f"blockdev --setrw {disk.path}"))
        partitions = [path for path, _number in self._with_partitions(disk)][1:]
        if partitions:
            found.append(
                Finding(f"partitions {', '.join(partitions)}", f"wipefs --all {' '.join([*partitions, disk.path])}")
            )
        signatures = self.signatures(disk.path)
        found += signatures
        found += self._not_zero(disk)
        if not found and self._claimed(disk.path):
            found.append(
                Finding("the kernel holds it (multipath, or a mount of another namespace)", f"lsblk {disk.path}")
            )
        return found

    def signatures(self, path: str) -> List[Finding]:
        """File systems, partition tables, members of LVM or MD, LUKS: whatever libblkid knows, and all of them."""
        done = self.system.run(["wipefs", "--no-act", "--json", path])
        if not done.ok:
            raise Failure(f"{path} cannot be read: {done.last_lines(1)}", "see `dmesg` for what the disk says")
        found: Dict[str, Finding] = {}
        for entry in json.loads(done.out or "{}").get("signatures", []):
            kind = entry["type"]
            label = f" {entry['label']!r}" if entry.get("label") else ""
            remedy = _REMEDIES.get(kind, "wipefs --all {device}").format(device=path)
            found.setdefault(kind, Finding(f"a signature of {kind}{label} at {entry['offset']}", remedy))
        return list(found.values())

    # Parts

    def _folder(self, number: str) -> str:
        return os.path.join(self.sys, "dev/block", number)

    @staticmethod
    def _line(path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()
        except OSError:
            return ""

    def _with_partitions(self, disk: Disk) -> "List[tuple[str, str]]":
        """Path and number of the disk itself, then of its partitions."""
        folder = self._folder(disk.number)
        found = [(disk.path, disk.number)]
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if os.path.exists(os.path.join(folder, name, "partition")):
                found.append((f"/dev/{name}", self._line(os.path.join(folder, name, "dev"))))
        return found

    def _in_use(self, path: str, number: str) -> Iterator[Finding]:
        for line in self._line(os.path.join(self.proc, "self/mountinfo")).splitlines():
            fields = line.split()
            if fields[2] == number:
                yield Finding(f"{path} is mounted at {fields[4]}", f"umount {fields[4]}")
        for line in self._line(os.path.join(self.proc, "swaps")).splitlines()[1:]:
            if line.split()[0] == path:
                yield Finding(f"{path} is swap in use", f"swapoff {path}")
        holders = os.path.join(self._folder(number), "holders")
        for holder in sorted(os.listdir(holders)) if os.path.isdir(holders) else []:
            name = self._line(os.path.join(self.sys, "class/block", holder, "dm/name")) or holder
            yield Finding(f"{path} is held by {holder} ({name})", f"close what uses it: lsblk {path}")

    @staticmethod
    def _not_zero(disk: Disk) -> Iterator[Finding]:
        last = max(disk.size - _MIB, 0)
        with open(disk.path, "rb") as device:
            for where, offset in (("first", 0), ("last", last)):
                device.seek(offset)
                if device.read(_MIB).strip(b"\0"):
                    seek = f" seek={last} oflag=seek_bytes" if offset else ""
                    yield Finding(
                        f"the {where} MiB is not zero", f"dd if=/dev/zero of={disk.path} bs=1M count=1{seek} conv=fsync"
                    )

    @staticmethod
    def _claimed(path: str) -> bool:
        """Whether the kernel refuses the device to whoever wants it alone, as mkfs would."""
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
        except OSError:
            return True
        return False
