# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted data volumes of a node: from the wish to a plan, and from the plan to the disks.

A volume is known by what is written on it: the label and the subsystem field of its LUKS2 header. What is not known is
never written to unless it is empty, and a volume that was complete once is never formatted again.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import stat
import urllib.request
import uuid as uuids
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.banking.platform.plugins.module_utils.node.disks import Disk, Disks, Finding
from ansible_collections.banking.platform.plugins.module_utils.node.files import (
    Files,
    WantedFile,
    _ids,
    write_atomically,
)
from ansible_collections.banking.platform.plugins.module_utils.node.luks import (
    INCOMPLETE,
    SUBSYSTEM,
    WANTED_ENCRYPTION,
    Luks,
    actual_encryption,
    actual_unlock,
    has_recovery_key,
    recovery_key,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.node.volume_wish import WantedVolume, Wish, joined
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

# File systems in memory; what lies there is gone without power.
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass
class Places:
    """Where things are on a node; tests bring their own."""

    state_dir: str = "/var/lib/banking-platform/escrow"
    plain_dir: str = "/var/lib/banking-platform/unencrypted"
    crypttab: str = "/etc/crypttab"
    mapper: str = "/dev/mapper"
    proc: str = "/proc"
    sys: str = "/sys"
    run_dir: str = "/run/banking-platform"


class _Making:
    """A volume that is being made. The recovery key is here only, and only while this process runs."""

    def __init__(self, wanted: WantedVolume, device: str, uuid: str) -> None:
        self.wanted = wanted
        self.device = device
        self.uuid = uuid
        self.key = recovery_key().encode()


class Volumes:
    """One run on one node.

    Args:
        wish: what is wanted.
        system: the node's programs.
        check: whether this is check mode.
        places: where things are.
    """

    def __init__(self, wish: Wish, system: System, check: bool, places: Optional[Places] = None) -> None:
        self.wish = wish
        self.system = system
        self.check = check
        self.places = places or Places()
        self.disks = Disks(system, self.places.sys, self.places.proc)
        self.luks = Luks(system, self.places.run_dir)
        self.plan = Plan()
        self.findings: List[str] = []
        self._uuids: Dict[str, str] = {}

    # Planning

    def make_plan(self) -> None:
        """Read the node and plan. Nothing is changed.

        Raises:
            Failure: naming everything that stands against the wish, of all volumes at once.
        """
        problems: List[Failure] = []
        for volume in self.wish.volumes:
            try:
                self._plan_volume(volume)
            except Failure as failure:
                problems.append(Failure(f"volume {volume.name}: {failure.cause}", failure.next_step))
        if problems:
            raise joined(problems)
        if self.wish.dm_crypt:
            self._plan_crypttab()

    def _plan_volume(self, volume: WantedVolume) -> None:
        disk = self.disks.find(volume.device)
        identity = self.disks.identity(disk.path)
        ours = identity.get("TYPE") == "crypto_LUKS" and identity.get("SUBSYSTEM") in (SUBSYSTEM, INCOMPLETE)
        if ours and identity.get("LABEL") != volume.label:
            raise Failure(
                f"{disk} is the data volume {identity.get('LABEL', '').replace('data-', '', 1)!r}",
                "correct device, or the volume's name",
            )
        if disk.size < volume.min_size:
            raise Failure(
                f"{disk} is smaller than min_size, {volume.min_size / (1 << 30):.1f} GiB: is it the right disk?",
                "correct device or min_size",
            )
        self._check_mount_point(volume)
        if ours and identity["SUBSYSTEM"] == SUBSYSTEM:
            self._plan_existing(volume, disk, identity["UUID"])
        else:
            self._plan_new(volume, disk, interrupted=ours)
        if not self.wish.dm_crypt:
            self._find(
                f"volume {volume.name}: UNENCRYPTED. This kernel has no dm-crypt: the LUKS volume on {disk.name} is "
                f"made, keyed and tried but cannot be opened; what is written to {volume.path} lies in clear"
            )
            self._add_plain_directory(volume)

    def _check_mount_point(self, volume: WantedVolume) -> None:
        """What would be hidden, or is there already, at the place of a volume."""
        mounted = self._mounted(volume.path)
        if mounted:
            if self.wish.dm_crypt and mounted != self._number(volume.mapping):
                raise Failure(
                    f"something else is mounted at {volume.path}: {mounted}",
                    f"umount {volume.path}, or choose another path",
                )
            return
        if os.path.isdir(volume.path) and os.listdir(volume.path):
            raise Failure(
                f"{volume.path} is no mount point and not empty: mounting the volume would hide what lies there",
                f"stop what writes there, move what {volume.path} holds away, run again, move it onto the volume",
            )

    def _plan_new(self, volume: WantedVolume, disk: Disk, interrupted: bool) -> None:
        found = self.disks.in_use(disk) if interrupted else self.disks.contents(disk)
        if interrupted:
            # The run that was interrupted may have left the volume open; it cannot have been mounted by systemd.
            found = [finding for finding in found if f"({volume.label})" not in finding.what]
            if self._mounted_number(self._number(volume.mapping)):
                found.append(Finding(f"{volume.mapping} is mounted", f"umount {volume.mapping}"))
        if found:
            raise Failure(
                f"{disk} is not empty: {'; '.join(finding.what for finding in found)}",
                "correct device; or, if surely nobody needs what it holds: "
                + "; ".join(dict.fromkeys(finding.remedy for finding in found)),
            )
        if self.wish.dm_crypt:
            self._check_kernel()
        self._check_unlock()
        deferred = self._missing_programs(volume)
        if not deferred:
            self.luks.check_certificate(self.wish.certificate)
        making = _Making(volume, disk.path, str(uuids.uuid4()))
        note = "a run that was interrupted left it incomplete; it has never held data" if interrupted else ""
        self._add_escrow_key(making, deferred)
        self._add_luks(making, disk.name, deferred, note)
        if self.wish.dm_crypt:
            self._add_filesystem(making, deferred)
        self._add_escrow_header(volume.name, making.device, making.uuid, deferred)

    def _plan_existing(self, volume: WantedVolume, disk: Disk, uuid: str) -> None:
        self._uuids[volume.name] = uuid
        step = self.plan.add(Step("luks", disk.name))
        if not self.system.has_program("cryptsetup"):
            self._deferred_or_failed(step, "cryptsetup")
            return
        metadata = self.luks.metadata(disk.path)
        self._refuse_changes(volume, disk, metadata)
        self._check_open(volume, disk, uuid)
        self._check_recovery(volume, disk, metadata, uuid)
        if self.wish.escrow_header and self._header_digest(metadata) != self._escrowed_header(uuid):
            self._add_escrow_header(volume.name, disk.path, uuid, self._missing_openssl(), "the header has changed")
        if self.wish.dm_crypt:
            self.plan.add(Step("filesystem", volume.mapping))
            if self._mounted(volume.path):
                self._add_ownership(volume)

    def _refuse_changes(self, volume: WantedVolume, disk: Disk, metadata: Mapping[str, Any]) -> None:
        """Nothing that is encrypted already is encrypted anew, or gets another way to unlock, by itself."""
        encryption = actual_encryption(metadata)
        if encryption != WANTED_ENCRYPTION:
            raise Failure(
                f"{disk} is encrypted with {encryption['cipher']}, {encryption['key_bits']} bits; wanted is "
                f"{WANTED_ENCRYPTION['cipher']}, {WANTED_ENCRYPTION['key_bits']} bits; this is not changed in a run",
                f"move the data away and make the volume anew, or see `man cryptsetup-reencrypt` for {disk.path}",
            )
        actual, wanted = actual_unlock(metadata), self.wish.unlock.described()
        if actual != wanted:
            raise Failure(
                f"{disk} is unlocked by {_shown(actual)}, wanted is {_shown(wanted)}; this is not changed in a run, "
                "since it needs the recovery key or the old way",
                f"on the node: {self._rebind(disk.path, actual)}; then run again (docs/data_volumes.md, Day 2)",
            )

    def _rebind(self, path: str, actual: Mapping[str, Any]) -> str:
        unlock = self.wish.unlock
        if unlock.method == "tang":
            if actual["method"] == "tang":
                return f"clevis luks edit -d {path} -s <slot, see clevis luks list> -c '{unlock.clevis_config()}'"
            return f"clevis luks bind -d {path} sss '{unlock.clevis_config()}', and remove the old slot"
        if unlock.method == "tpm2":
            pcrs = "+".join(str(pcr) for pcr in unlock.pcrs)
            command = f"systemd-cryptenroll --wipe-slot=tpm2 --tpm2-device=auto --tpm2-pcrs={pcrs} {path}"
            return f"{command}, and remove the old slot"
        return f"cryptsetup luksAddKey {path} {unlock.key_file}, and remove the old slot"

    def _check_open(self, volume: WantedVolume, disk: Disk, uuid: str) -> None:
        """When the volume is open, it is this one, and holds the file system that is wanted."""
        if not self._number(volume.mapping):
            return
        known = self._dm_uuid(volume.mapping)
        if uuid.replace("-", "") not in known:
            raise Failure(
                f"{volume.mapping} is open, but leads to another device ({known})", f"cryptsetup close {volume.label}"
            )
        holds = self.disks.identity(os.path.realpath(self._mapper(volume.mapping)))
        if holds.get("TYPE") != volume.fstype or holds.get("LABEL") != volume.fs_label:
            raise Failure(
                f"{disk} is complete, but holds {holds.get('TYPE', 'no known file system')} {holds.get('LABEL', '')!r} "
                f"instead of {volume.fstype} {volume.fs_label!r}; it is not formatted again",
                f"correct fstype or name; if the file system is damaged: fsck {volume.mapping}, or restore the data",
            )

    def _check_recovery(self, volume: WantedVolume, disk: Disk, metadata: Mapping[str, Any], uuid: str) -> None:
        if not has_recovery_key(metadata):
            self._find(
                f"volume {volume.name}: no recovery key is enrolled: systemd-cryptenroll --recovery-key {disk.path}"
            )
        name = f"{volume.name}.cms"
        if not os.path.exists(self._escrow_path(uuid, "")) and name not in self.wish.escrowed:
            self._find(
                f"volume {volume.name}: its recovery key is in escrow neither here nor on the controller: find it "
                f"where earlier runs left it, or enroll another one: systemd-cryptenroll --recovery-key {disk.path}"
            )

    def _check_kernel(self) -> None:
        if os.path.isdir(os.path.join(self.places.sys, "module/dm_crypt")):
            return
        if not self.system.run(["modprobe", "--dry-run", "dm_crypt"]).ok:
            raise Failure(
                "this kernel has no dm-crypt, and platform_unavailable.features does not list it",
                "boot the distribution's kernel, lest data lie in clear; in a lab of containers, list dm_crypt",
            )

    def _check_unlock(self) -> None:
        """What is needed to enroll, before anything is written."""
        unlock = self.wish.unlock
        if unlock.method == "tpm2" and not self._tpm2():
            raise Failure(
                "this node has no TPM 2.0", "switch it on in the firmware, or set data_volumes_unlock to tang"
            )
        if unlock.method == "key_file" and not self._in_memory(unlock.key_file):
            raise Failure(
                f"{unlock.key_file} would lie on a disk, and with it the key in clear",
                "put data_volumes_key_file below /run",
            )
        if unlock.method == "tang":
            silent = [server.url for server in unlock.servers if not advertises(server.url)]
            if silent:
                raise Failure(
                    f"no advertisement from {', '.join(silent)}: all Tang servers have to answer once to bind a volume",
                    f"curl {silent[0].rstrip('/')}/adv from this node; check the server and the firewalls between",
                )

    def _tpm2(self) -> bool:
        try:
            with open(os.path.join(self.places.sys, "class/tpm/tpm0/tpm_version_major"), encoding="ascii") as file:
                return file.read().strip() == "2"
        except OSError:
            return False

    def _in_memory(self, path: str) -> bool:
        best = ("", "")
        for fields in self._mountinfo():
            point, kind = fields[4], fields[fields.index("-") + 1]
            if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, kind)
        return best[1] in _IN_MEMORY

    # Where the kernel can open no volume

    def _add_plain_directory(self, volume: WantedVolume) -> None:
        path = os.path.join(self.places.plain_dir, volume.name)
        if os.path.isdir(path):
            self._add_ownership(volume, path)
            return
        step = Step("directory", path, "create", after=_attributes_wanted(volume), note="unencrypted")
        step.apply = functools.partial(self._make_directory, path, volume)
        self.plan.add(step)

    def _make_directory(self, path: str, volume: WantedVolume) -> None:
        os.makedirs(self.places.plain_dir, mode=0o755, exist_ok=True)
        os.mkdir(path, 0o700)
        self._own(path, volume)

    # Steps

    def _add_escrow_key(self, making: _Making, deferred: str) -> None:
        """The key goes into escrow before it is enrolled: no volume ever waits for its escrow."""

        def apply() -> None:
            write_atomically(self._escrow_path(making.uuid, ""), self.luks.seal(making.key, self.wish.certificate))

        self.plan.add(
            Step(
                "escrow",
                f"{making.wanted.name}.cms",
                "create",
                after={"holds": "recovery key"},
                deferred=deferred,
                apply=apply,
            )
        )

    def _add_luks(self, making: _Making, target: str, deferred: str, note: str) -> None:
        unlock = self.wish.unlock

        def apply() -> None:
            self._close_leftover(making.wanted)
            self.luks.format(making.device, making.key, making.uuid, making.wanted.label)
            self.luks.enroll(making.device, making.key, unlock)
            if not self.wish.dm_crypt:
                self.luks.test(making.device, unlock)
                self._commit(making)

        after = dict(
            WANTED_ENCRYPTION, type="luks2", pbkdf="argon2id", label=making.wanted.label, unlock=unlock.described()
        )
        self.plan.add(
            _explained(Step("luks", target, "create", after=after, deferred=deferred, note=note, apply=apply))
        )

    def _add_filesystem(self, making: _Making, deferred: str) -> None:
        volume = making.wanted

        def apply() -> None:
            # Opened as at boot, so that a volume that would not unlock is never taken for complete.
            self.luks.open(making.device, volume.label, self.wish.unlock)
            option = {"ext4": ["-q", "-L"], "xfs": ["-q", "-L"]}[volume.fstype]
            self.luks.call([f"mkfs.{volume.fstype}", *option, volume.fs_label, volume.mapping])
            self._own_root(volume)
            self._commit(making)

        after = {"type": volume.fstype, "label": volume.fs_label, **_attributes_wanted(volume)}
        step = Step("filesystem", volume.mapping, "create", after=after, deferred=deferred, apply=apply)
        step.undo = lambda: self._close_leftover(volume)
        self.plan.add(_explained(step))

    def _add_escrow_header(self, name: str, device: str, uuid: str, deferred: str, note: str = "") -> None:
        if not self.wish.escrow_header:
            return

        def apply() -> None:
            digest = self._header_digest(self.luks.metadata(device))
            write_atomically(
                self._escrow_path(uuid, ".header"), self.luks.seal(self.luks.header(device), self.wish.certificate)
            )
            write_atomically(self._escrow_path(uuid, ".header") + ".sha256", digest.encode())

        action = "update" if note else "create"
        step = Step(
            "escrow",
            f"{name}.header.cms",
            action,
            after={"holds": "LUKS header"},
            note=note,
            deferred=deferred,
            apply=apply,
        )
        self.plan.add(step)

    def _add_ownership(self, volume: WantedVolume, path: str = "") -> None:
        path = path or volume.path
        step = self.plan.add(Step("directory", path))
        status = os.stat(path)
        try:
            wanted = (*_ids(volume.owner, volume.group), int(volume.mode, 8))
        except Failure as failure:
            # A role that comes later makes its user, and then owns its directory; nothing to fail over.
            step.deferred = failure.cause
            return
        actual = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        if actual != wanted:
            step.action, step.after = "update", _attributes_wanted(volume)
            step.before = {"owner": actual[0], "group": actual[1], "mode": f"{actual[2]:04o}"}
            step.apply = lambda: self._own(path, volume)
            step.undo = lambda: (os.chown(path, actual[0], actual[1]), os.chmod(path, actual[2]), None)[-1]
            _explained(step)

    def _plan_crypttab(self) -> None:
        """Our lines of /etc/crypttab; the installer's own (an encrypted root, say) stay as they are."""
        path = self.places.crypttab
        lines: List[str] = []
        mode = "0644"
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
            mode = f"{stat.S_IMODE(os.stat(path).st_mode):04o}"
        for volume in self.wish.volumes:
            line = self.wish.unlock.crypttab(volume.label, volume.device)
            at = [number for number, known in enumerate(lines) if known.split()[:1] == [volume.label]]
            if at:
                lines[at[0]] = line
                lines = [known for number, known in enumerate(lines) if number not in at[1:]]
            else:
                lines.append(line)
        if self.wish.volumes:
            content = "".join(f"{line}\n" for line in lines).encode()
            Files(self.system, {path: WantedFile(path, content, mode=mode)}, {}, {}, [], self.check).plan(self.plan)

    # Making

    def apply(self) -> None:
        """Apply the plan.

        Raises:
            PlanFailed: when a step failed; a volume that was not complete is made anew by the next run.
        """
        self.plan.apply()

    def _commit(self, making: _Making) -> None:
        self.luks.commit(making.device, making.wanted.label)
        self._uuids[making.wanted.name] = making.uuid

    def _close_leftover(self, volume: WantedVolume) -> None:
        if self._number(volume.mapping):
            self.luks.close(volume.label)

    def _own_root(self, volume: WantedVolume) -> None:
        """Owner and mode of the file system's root, before anything can see it."""
        place = os.path.join(self.places.run_dir, f"new-{volume.name}")
        os.makedirs(place, mode=0o700, exist_ok=True)
        self.luks.call(["mount", "-t", volume.fstype, volume.mapping, place])
        try:
            self._own(place, volume)
        finally:
            self.luks.call(["umount", place])
            os.rmdir(place)

    @staticmethod
    def _own(path: str, volume: WantedVolume) -> None:
        try:
            os.chown(path, *_ids(volume.owner, volume.group))
        except Failure:
            # Its user is yet to be made by the role that needs the volume; until then it is root's alone.
            os.chown(path, 0, 0)
            os.chmod(path, 0o700)
            return
        os.chmod(path, int(volume.mode, 8))

    # What the run leaves behind

    def result(self, with_diff: bool) -> Dict[str, Any]:
        """What the module returns: the plan, what `converge` mounts with, findings, and what the controller keeps."""
        mounts = [self._mount(volume) for volume in self.wish.volumes]
        files = [f"/etc/systemd/system/{mount['unit']}" for mount in mounts]
        return dict(
            self.plan.result(with_diff),
            files={
                path: {"template": "data_volume.mount.j2", "vars": {"mount": mount}}
                for path, mount in zip(files, mounts)
            },
            # Changed options are a remount: nothing is ever unmounted under a running service.
            units={
                mount["unit"]: {"state": "started", "enabled": True, "reload_on": [path]}
                for path, mount in zip(files, mounts)
            },
            findings=self.findings,
            escrow=self._escrow(),
        )

    def _mount(self, volume: WantedVolume) -> Dict[str, Any]:
        """What the unit of a volume needs to know."""
        known: Dict[str, Any] = {"unit": escape_path(volume.path) + ".mount", "name": volume.name, "where": volume.path}
        if not self.wish.dm_crypt:
            what = os.path.join(self.places.plain_dir, volume.name)
            known.update(
                what=what,
                type="none",
                options=["bind", *volume.options],
                wanted_by=["local-fs.target"],
                encrypted=False,
            )
            return known
        network = self.wish.unlock.method == "tang"
        options = [*volume.options, "nofail", *(["_netdev"] if network else [])]
        # The device's own unit mounts it whenever it appears: also when Tang answers an hour after the boot.
        wanted_by = [escape_path(volume.mapping) + ".device", "remote-fs.target" if network else "local-fs.target"]
        known.update(what=volume.mapping, type=volume.fstype, options=options, wanted_by=wanted_by, encrypted=True)
        return known

    def _escrow(self) -> Dict[str, Dict[str, str]]:
        """Encrypted blobs by file name; their content only where the controller has another one, or none."""
        found: Dict[str, Dict[str, str]] = {}
        for volume, uuid in self._uuids.items():
            for kind in ("", ".header"):
                path = self._escrow_path(uuid, kind)
                if not os.path.exists(path) or (kind and not self.wish.escrow_header):
                    continue
                with open(path, "rb") as file:
                    content = file.read()
                name, digest = f"{volume}{kind}.cms", hashlib.sha256(content).hexdigest()
                found[name] = {"sha256": digest}
                if self.wish.escrowed.get(name) != digest:
                    found[name]["content"] = base64.b64encode(content).decode()
        return found

    # Looking

    def _find(self, finding: str) -> None:
        self.findings.append(finding)

    def _missing_programs(self, volume: WantedVolume) -> str:
        programs = ["cryptsetup", "openssl"]
        programs += ["clevis"] if self.wish.unlock.method == "tang" else []
        programs += ["systemd-cryptenroll"] if self.wish.unlock.method == "tpm2" else []
        programs += [f"mkfs.{volume.fstype}"] if self.wish.dm_crypt else []
        return self._missing(programs)

    def _missing_openssl(self) -> str:
        return self._missing(["openssl"])

    def _missing(self, programs: List[str]) -> str:
        missing = [program for program in programs if not self.system.has_program(program)]
        if not missing:
            return ""
        if not self.check:
            raise Failure(f"{', '.join(missing)}: not installed", "install its package")
        return f"{', '.join(missing)} not installed yet"

    def _deferred_or_failed(self, step: Step, program: str) -> None:
        step.deferred = self._missing([program])

    def _escrow_path(self, uuid: str, kind: str) -> str:
        return os.path.join(self.places.state_dir, f"{uuid}{kind}.cms")

    def _escrowed_header(self, uuid: str) -> str:
        try:
            with open(self._escrow_path(uuid, ".header") + ".sha256", encoding="ascii") as file:
                return file.read()
        except OSError:
            return ""

    @staticmethod
    def _header_digest(metadata: Mapping[str, Any]) -> str:
        return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()

    def _mountinfo(self) -> List[List[str]]:
        with open(os.path.join(self.places.proc, "self/mountinfo"), encoding="utf-8") as file:
            return [line.split() for line in file]

    def _mounted(self, path: str) -> str:
        """major:minor of what is mounted at a path; empty for nothing. The last mount is the one that is seen."""
        numbers = [fields[2] for fields in self._mountinfo() if fields[4] == path]
        return numbers[-1] if numbers else ""

    def _mounted_number(self, number: str) -> bool:
        return bool(number) and any(fields[2] == number for fields in self._mountinfo())

    def _mapper(self, mapping: str) -> str:
        return os.path.join(self.places.mapper, os.path.basename(mapping))

    def _number(self, mapping: str) -> str:
        """major:minor of an open volume; empty when it is not open."""
        try:
            device = os.stat(self._mapper(mapping)).st_rdev
        except OSError:
            return ""
        return f"{os.major(device)}:{os.minor(device)}"

    def _dm_uuid(self, mapping: str) -> str:
        try:
            with open(
                os.path.join(self.places.sys, "dev/block", self._number(mapping), "dm/uuid"), encoding="ascii"
            ) as file:
                return file.read().strip()
        except OSError:
            return "unknown"


def advertises(url: str) -> bool:
    """Whether a Tang server answers with its keys."""
    try:
        with urllib.request.build_opener().open(url.rstrip("/") + "/adv", timeout=10) as answer:
            return b"payload" in answer.read(1 << 16)
    except (OSError, ValueError):
        return False


def escape_path(path: str) -> str:
    """The name that systemd gives to a path (systemd.unit(5), "String escaping")."""
    text = path.strip("/")
    escaped = "".join(
        "-" if char == "/" else char if re.match(r"[A-Za-z0-9:_.]", char) else _hex(char) for char in text
    )
    return _hex(".") + escaped[1:] if escaped.startswith(".") else escaped


def _hex(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode())


def _attributes_wanted(volume: WantedVolume) -> Dict[str, str]:
    return {"owner": volume.owner, "group": volume.group, "mode": volume.mode}


def _explained(step: Step) -> Step:
    """Give a step its difference as Ansible shows it."""
    lines = [
        "".join(f"{key}: {value}\n" for key, value in sorted((side or {}).items()))
        for side in (step.before, step.after)
    ]
    step.diff = {"before_header": step.target, "after_header": step.target, "before": lines[0], "after": lines[1]}
    return step


def _shown(unlock: Mapping[str, Any]) -> str:
    more = {key: value for key, value in unlock.items() if key != "method"}
    return unlock["method"] + (f" {more}" if more else "")
