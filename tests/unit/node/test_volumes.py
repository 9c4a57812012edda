# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of data volumes: what is made, what is recognised, and every refusal, with fake disks and fake programs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node import volumes as volumes_module
from ansible_collections.banking.platform.plugins.module_utils.node.disks import Disk, Disks, Finding
from ansible_collections.banking.platform.plugins.module_utils.node.luks import Luks, TangServer, Unlock
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.node.volume_wish import WantedVolume, Wish
from ansible_collections.banking.platform.plugins.module_utils.node.volumes import Places, Volumes, escape_path
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, PlanFailed

GIB = 1 << 30
UUID = "3f1c5d3e-7c1c-4a57-9d3a-0c6f5a2f2d11"
DISK = Disk("/dev/disk/by-id/b", "/dev/sdb", "8:16", 10 * GIB)
OURS = {"TYPE": "crypto_LUKS", "LABEL": "data-vault", "SUBSYSTEM": "banking.platform", "UUID": UUID}
INCOMPLETE = {**OURS, "SUBSYSTEM": "banking.platform/incomplete"}
HEADER: dict[str, Any] = {
    "keyslots": {"0": {"key_size": 64}, "1": {"key_size": 64}},
    "tokens": {
        "0": {"type": "systemd-recovery", "keyslots": ["0"]},
        "1": {"type": "systemd-tpm2", "tpm2-pcrs": [7], "keyslots": ["1"]},
    },
    "segments": {"0": {"encryption": "aes-xts-plain64"}},
}
TPM2 = Unlock("tpm2", pcrs=[7])


class FakeDisks(Disks):
    """One disk, which is what a test says."""

    def __init__(self) -> None:
        self.by_path: dict[str, dict[str, str]] = {"/dev/sdb": {}}
        self.found: list[Finding] = []
        self.used: list[Finding] = []

    def find(self, device: str) -> Disk:
        return DISK

    def identity(self, path: str) -> dict[str, str]:
        return self.by_path.get(path, {})

    def contents(self, disk: Disk) -> list[Finding]:
        return self.found

    def in_use(self, disk: Disk) -> list[Finding]:
        return self.used


class FakeLuks(Luks):
    """Writes down what is asked for; `fails` names the step that goes wrong."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.done: list[str] = []
        self.fails = ""
        self.key = b""
        self.header_is = HEADER

    def _do(self, what: str) -> None:
        if what == self.fails:
            raise Failure(f"{what} went wrong")
        self.done.append(what)

    def call(self, argv: Any, stdin: bytes = b"", env: Any = None, what: str = "") -> bytes:
        self._do(argv[0])
        return b""

    def metadata(self, device: str) -> dict[str, Any]:
        return self.header_is

    def format(self, device: str, key: bytes, uuid: str, label: str) -> None:
        self.key = key
        self._do("format")

    def enroll(self, device: str, key: bytes, unlock: Unlock) -> None:
        assert key == self.key
        self._do("enroll")

    def open(self, device: str, name: str, unlock: Unlock) -> None:
        self._do("open")

    def test(self, device: str, unlock: Unlock) -> None:
        self._do("test")

    def commit(self, device: str, label: str) -> None:
        self._do("commit")

    def header(self, device: str) -> bytes:
        return b"header"

    def check_certificate(self, certificate: str) -> None:
        self._do("check certificate")

    def seal(self, secret: bytes, certificate: str) -> bytes:
        self._do("seal")
        return b"sealed " + hashlib.sha256(secret).hexdigest().encode()


class Programs(System):
    """A node on which some programs are not installed."""

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.missing = missing
        self.modprobe = 0

    def run(self, command: Any, timeout: float = 60) -> Completed:
        return Completed(self.modprobe, "", "")

    def has_program(self, command: str) -> bool:
        return command.split()[0] not in self.missing


class Node:
    """A node in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "srv/vault"
        self.places = Places(
            **{
                name: str(folder / name)
                for name in ("state_dir", "plain_dir", "crypttab", "mapper", "proc", "sys", "run_dir")
            }
        )
        self.system = Programs()
        self.disks, self.luks = FakeDisks(), FakeLuks(self.system)
        self.mounts = ["22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw", "23 22 0:5 / /run rw - tmpfs tmpfs rw"]
        (folder / "proc/self").mkdir(parents=True)
        (folder / "sys/module/dm_crypt").mkdir(parents=True)
        (folder / "sys/class/tpm/tpm0").mkdir(parents=True)
        (folder / "sys/class/tpm/tpm0/tpm_version_major").write_text("2\n")

    def volumes(self, check: bool = False, unlock: Unlock = TPM2, **changes: Any) -> Volumes:
        wish = {name: changes.pop(name) for name in ("dm_crypt", "escrowed", "escrow_header") if name in changes}
        volume = WantedVolume(**{"name": "vault", "path": str(self.path), "device": DISK.name, **changes})
        (self.folder / "proc/self/mountinfo").write_text("\n".join(self.mounts) + "\n")
        volumes = Volumes(Wish([volume], unlock, "PEM", **wish), self.system, check, self.places)
        volumes.disks, volumes.luks = self.disks, self.luks
        return volumes

    def plan(self, **changes: Any) -> Volumes:
        volumes = self.volumes(**changes)
        volumes.make_plan()
        return volumes

    def refusal(self, **changes: Any) -> str:
        with pytest.raises(Failure) as refused:
            self.plan(**changes)
        assert refused.value.cause.startswith("volume vault: ")
        assert refused.value.next_step
        assert not self.luks.done or self.luks.done == ["check certificate"]
        return f"{refused.value.cause} - {refused.value.next_step}"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def actions(volumes: Volumes) -> list[tuple[str, str]]:
    return [(step.kind, step.action) for step in volumes.plan.steps]


# Making


def test_a_new_volume_is_escrowed_formatted_keyed_opened_and_only_then_committed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Volumes, "_own_root", lambda self, volume: self.luks._do("own"))
    volumes = node.plan()
    assert actions(volumes) == [
        ("escrow", "create"),
        ("luks", "create"),
        ("filesystem", "create"),
        ("escrow", "create"),
        ("file", "create"),
    ]
    volumes.apply()
    order = ["check certificate", "seal", "format", "enroll", "open", "mkfs.ext4", "own", "commit", "seal"]
    assert node.luks.done == order
    assert (node.folder / "crypttab").read_text() == f"data-vault {DISK.name} none luks,nofail,tpm2-device=auto\n"


def test_the_recovery_key_is_in_no_result(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Volumes, "_own_root", lambda self, volume: None)
    volumes = node.plan()
    volumes.apply()
    told = json.dumps(volumes.result(with_diff=True))
    assert len(node.luks.key) == 71
    assert node.luks.key.decode() not in told
    blob = base64.b64decode(volumes.result(False)["escrow"]["vault.cms"]["content"])
    assert blob == b"sealed " + hashlib.sha256(node.luks.key).hexdigest().encode()


@pytest.mark.parametrize("fails", ["seal", "format", "enroll", "open", "mkfs.xfs"])
def test_a_volume_that_was_not_finished_is_not_taken_for_one(node: Node, fails: str) -> None:
    volumes = node.plan(fstype="xfs")
    node.luks.fails = fails
    with pytest.raises(PlanFailed, match=f"{fails} went wrong"):
        volumes.apply()
    assert "commit" not in node.luks.done
    assert volumes.result(False)["escrow"] == {}
    assert not (node.folder / "crypttab").exists()


def test_an_interrupted_volume_is_made_anew(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = INCOMPLETE
    node.disks.used = [Finding("/dev/sdb is held by dm-0 (data-vault)", "")]
    volumes = node.plan()
    assert actions(volumes)[1] == ("luks", "create")
    assert "interrupted" in volumes.plan.steps[1].note


def test_check_mode_defers_what_is_not_installed(node: Node) -> None:
    node.system.missing = ("cryptsetup", "systemd-cryptenroll")
    volumes = node.plan(check=True)
    deferred = volumes.result(True)["deferred"]
    assert deferred[0] == "escrow vault.cms: cryptsetup, systemd-cryptenroll not installed yet"
    assert volumes.plan.changed
    assert not (node.folder / "crypttab").exists()
    assert "not installed" in node.refusal()


def test_foreign_lines_of_crypttab_stay(node: Node) -> None:
    (node.folder / "crypttab").write_text(
        "# by the installer\nroot UUID=1 none luks\ndata-vault old none\ndata-vault x\n"
    )
    node.disks.by_path["/dev/sdb"] = OURS
    node.plan().apply()
    assert (node.folder / "crypttab").read_text().splitlines() == [
        "# by the installer",
        "root UUID=1 none luks",
        f"data-vault {DISK.name} none luks,nofail,tpm2-device=auto",
    ]


# Recognising


def test_a_volume_of_ours_is_left_as_it_is(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    (node.folder / "crypttab").write_text(f"data-vault {DISK.name} none luks,nofail,tpm2-device=auto\n")
    digest = hashlib.sha256(json.dumps(HEADER, sort_keys=True).encode()).hexdigest()
    (node.folder / "state_dir").mkdir()
    (node.folder / f"state_dir/{UUID}.cms").write_text("blob")
    (node.folder / f"state_dir/{UUID}.header.cms.sha256").write_text(digest)
    volumes = node.plan()
    assert not volumes.plan.changed
    assert volumes.findings == []
    escrow = volumes.result(False)["escrow"]
    assert base64.b64decode(escrow["vault.cms"]["content"]) == b"blob"
    known = {"vault.cms": hashlib.sha256(b"blob").hexdigest()}
    assert "content" not in node.plan(escrowed=known).result(False)["escrow"]["vault.cms"]


def test_a_changed_header_is_escrowed_again(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    volumes = node.plan()
    assert [step.target for step in volumes.plan.steps if step.kind == "escrow"] == ["vault.header.cms"]
    volumes.apply()
    assert [step for step in node.plan().plan.steps if step.kind == "escrow"] == []
    node.luks.header_is = {**HEADER, "config": {"flags": ["allow-discards"]}}
    assert node.plan().plan.steps[1].action == "update"
    assert [step.kind for step in node.plan(escrow_header=False).plan.steps if step.kind == "escrow"] == []


def test_a_volume_without_recovery_is_found(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    node.luks.header_is = {**HEADER, "tokens": {"1": HEADER["tokens"]["1"]}}
    findings = node.plan().findings
    assert "no recovery key is enrolled" in findings[0]
    assert "in escrow neither here nor on the controller" in findings[1]
    assert len(node.plan(escrowed={"vault.cms": "x"}).findings) == 1


# Refusing


def test_a_disk_that_is_not_empty(node: Node) -> None:
    node.disks.found = [Finding("a signature of xfs", "wipefs --all /dev/sdb"), Finding("partitions", "wipefs x")]
    said = node.refusal()
    assert "is not empty: a signature of xfs; partitions" in said
    assert "wipefs --all /dev/sdb; wipefs x" in said


def test_a_luks_volume_of_others(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = {**OURS, "SUBSYSTEM": ""}
    node.disks.found = [Finding("a signature of crypto_LUKS", "cryptsetup erase /dev/sdb")]
    assert "is not empty" in node.refusal()


def test_another_volume_of_ours(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = {**OURS, "LABEL": "data-etcd"}
    assert "is the data volume 'etcd'" in node.refusal()


def test_an_interrupted_volume_that_is_in_use(node: Node) -> None:
    node.disks.by_path["/dev/sdb"] = INCOMPLETE
    node.disks.used = [Finding("/dev/sdb is held by dm-7 (other)", "close it")]
    assert "held by dm-7" in node.refusal()


def test_a_disk_that_is_too_small(node: Node) -> None:
    assert "smaller than min_size, 20.0 GiB" in node.refusal(min_size=20 * GIB)


def test_a_place_that_is_not_empty(node: Node) -> None:
    node.path.mkdir(parents=True)
    (node.path / "raft.db").write_text("data")
    assert "would hide what lies there" in node.refusal()


def test_a_place_where_something_else_is_mounted(node: Node) -> None:
    node.mounts.append(f"40 22 8:33 / {node.path} rw - ext4 /dev/sdc1 rw")
    assert f"something else is mounted at {node.path}: 8:33" in node.refusal()


def test_a_kernel_without_dm_crypt_that_nobody_declared(node: Node) -> None:
    (node.folder / "sys/module/dm_crypt").rmdir()
    node.system.modprobe = 1
    assert "this kernel has no dm-crypt" in node.refusal()


@pytest.mark.parametrize("version", ["1\n", None])
def test_a_node_without_a_tpm_2(node: Node, version: str | None) -> None:
    path = node.folder / "sys/class/tpm/tpm0/tpm_version_major"
    path.write_text(version) if version else path.unlink()
    assert "no TPM 2.0" in node.refusal()


def test_a_tang_server_that_does_not_answer(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    unlock = Unlock("tang", [TangServer("http://a", "t", "zone-a"), TangServer("http://b", "t", "zone-b")], 2)
    monkeypatch.setattr(volumes_module, "advertises", lambda url: url == "http://a")
    said = node.refusal(unlock=unlock)
    assert "no advertisement from http://b:" in said
    assert "curl http://b/adv" in said


def test_a_key_file_on_a_disk(node: Node) -> None:
    assert "would lie on a disk" in node.refusal(unlock=Unlock("key_file", key_file="/etc/keys/key"))
    node.plan(unlock=Unlock("key_file", key_file="/run/keys/key"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda header: header["segments"]["0"].update(encryption="aes-cbc-essiv:sha256"),
            "encrypted with aes-cbc-essiv",
        ),
        (lambda header: header["keyslots"]["0"].update(key_size=32), "256 bits"),
        (lambda header: header["tokens"]["1"].update({"tpm2-pcrs": [0, 7]}), "unlocked by tpm2 {'pcrs': [0, 7]}"),
        (lambda header: header["tokens"].pop("1"), "unlocked by key_file, wanted is tpm2"),
    ],
)
def test_what_cannot_be_changed_in_a_run(node: Node, change: Callable[[dict[str, Any]], None], said: str) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    node.luks.header_is = json.loads(json.dumps(HEADER))
    change(node.luks.header_is)
    assert said in node.refusal()


@pytest.mark.parametrize("holds", [{}, {"TYPE": "xfs", "LABEL": "vault"}, {"TYPE": "ext4", "LABEL": "etcd"}])
def test_a_complete_volume_with_another_file_system_is_never_formatted(
    node: Node, monkeypatch: pytest.MonkeyPatch, holds: dict[str, str]
) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    mapping = str(node.folder / "mapper/data-vault")
    node.disks.by_path[mapping] = holds
    monkeypatch.setattr(Volumes, "_number", lambda self, mapping: "253:0")
    monkeypatch.setattr(Volumes, "_dm_uuid", lambda self, mapping: f"CRYPT-LUKS2-{UUID.replace('-', '')}-data-vault")
    assert "it is not formatted again" in node.refusal()


def test_a_mapping_that_leads_elsewhere(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.disks.by_path["/dev/sdb"] = OURS
    monkeypatch.setattr(Volumes, "_number", lambda self, mapping: "253:0")
    assert "leads to another device" in node.refusal()


def test_all_refusals_are_told_at_once(node: Node) -> None:
    volumes = node.volumes(min_size=20 * GIB)
    volumes.wish.volumes.append(WantedVolume("etcd", "/srv/etcd", DISK.name, min_size=30 * GIB))
    with pytest.raises(Failure, match=r"\(1\) volume vault: .*\(2\) volume etcd: "):
        volumes.make_plan()


# Without dm-crypt, in the lab


def test_without_dm_crypt_the_volume_is_tried_and_said_to_be_unencrypted(node: Node) -> None:
    volumes = node.plan(dm_crypt=False, unlock=Unlock("key_file", key_file="/run/k"))
    assert "UNENCRYPTED" in volumes.findings[0]
    volumes.apply()
    assert node.luks.done[-4:] == ["enroll", "test", "commit", "seal"]
    assert (node.folder / "plain_dir/vault").is_dir()
    assert not (node.folder / "crypttab").exists()
    mount = next(iter(volumes.result(False)["files"].values()))["vars"]["mount"]
    assert (mount["type"], mount["options"][0], mount["encrypted"]) == ("none", "bind", False)


# Mounts


def test_a_volume_by_tang_waits_for_the_network_and_its_device_mounts_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes_module, "advertises", lambda url: True)
    unlock = Unlock("tang", [TangServer("http://a", "t", "zone-a"), TangServer("http://b", "t", "zone-b")], 1)
    result = node.plan(unlock=unlock, options=["nodev"]).result(False)
    mount = next(iter(result["files"].values()))["vars"]["mount"]
    assert mount["options"] == ["nodev", "nofail", "_netdev"]
    assert mount["wanted_by"] == ["dev-mapper-data\\x2dvault.device", "remote-fs.target"]
    path = next(iter(result["files"]))
    assert result["units"] == {mount["unit"]: {"state": "started", "enabled": True, "reload_on": [path]}}


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/var/lib/vault", "var-lib-vault"),
        ("/dev/mapper/data-vault", "dev-mapper-data\\x2dvault"),
        ("/srv/.hidden", "srv-.hidden"),
        ("/.hidden", "\\x2ehidden"),
        ("/srv/ä b", "srv-\\xc3\\xa4\\x20b"),
    ],
)
def test_units_are_named_as_systemd_does(path: str, unit: str) -> None:
    assert escape_path(path) == unit
