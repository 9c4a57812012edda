# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd over three zones: made, kept, cut off, lost and restored. The tests follow each other."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.banking.platform.tests.integration.etcd.conftest import CLONE, NAME, NET, NODES, STATE, Etcd

SNAPSHOTS = "/var/lib/etcd-snapshots"


def until(holds: Callable[[], object], seconds: float = 120) -> float:
    """Wait for something, and say for how long it was waited."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return time.monotonic() - began


def test_check_mode_shows_all_of_it_before_the_first_install(etcd: Etcd) -> None:
    would_change = etcd.converge("--check", "--diff")
    assert set(would_change) == set(NODES)
    assert all(would_change.values())
    assert etcd.on("cp-a1", "ls /etc/etcd", check=False) == ""


def test_three_members_come_up_together_over_tls(etcd: Etcd) -> None:
    assert all(etcd.converge().values())
    members = etcd.etcdctl("cp-a1", "member list")["members"]
    assert {member["name"] for member in members} == set(NODES)
    for node, address in NODES.items():
        assert etcd.leader(node) in NODES
        # Nobody without a certificate of etcd's authority is let in.
        assert etcd.on(node, f"curl --silent --insecure https://{address}:2379/health", check=False) == ""
        assert "etcd_server_has_leader 1" in etcd.on(node, f"curl --silent http://{address}:2381/metrics")


def test_a_second_run_changes_nothing(etcd: Etcd) -> None:
    assert etcd.converge() == dict.fromkeys(NODES, 0)


def test_a_snapshot_is_verified_and_old_ones_go(etcd: Etcd) -> None:
    etcd.on("cp-a1", f"touch -d '9 days ago' {SNAPSHOTS}/cp-a1-old.db {SNAPSHOTS}/cp-a1-old.db.sha256")
    etcd.on("cp-a1", f"touch -d '2 days ago' {SNAPSHOTS}/cp-a1-young.db")
    etcd.on("cp-a1", "systemctl start etcd-snapshot.service")
    names = etcd.on("cp-a1", f"ls {SNAPSHOTS}").split()
    assert "cp-a1-young.db" in names
    assert not [name for name in names if "old" in name or "part" in name]
    (taken,) = [name for name in names if name.startswith("cp-a1-2") and name.endswith(".db")]
    etcd.on("cp-a1", f"cd {SNAPSHOTS} && sha256sum --check {taken}.sha256 && etcdutl snapshot status {taken}")
    assert "active" in etcd.on("cp-a1", "systemctl is-active etcd-snapshot.timer etcd-defrag.timer")
    etcd.on("cp-a1", "systemctl start etcd-defrag.service")


class Writer:
    """Writes one key after the other through a node, and counts what was acknowledged."""

    def __init__(self, node: str) -> None:
        script = (
            "set -a; . /etc/etcd/etcdctl.env; n=0; while :; do "
            "if etcdctl put /written/$n $n --command-timeout=1s >/dev/null 2>&1; then echo $n; n=$((n + 1)); fi; done"
        )
        command = ["podman", "exec", f"{NAME}.{node}", "sh", "-c", script]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.acknowledged: list[int] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.acknowledged.append(int(line))

    def stop(self) -> list[int]:
        self._process.kill()
        self._process.wait()
        self._thread.join(timeout=30)
        return self.acknowledged


def written(etcd: Etcd, node: str) -> int:
    """How many keys there are, as a node sees it."""
    count = "etcdctl get /written/ --prefix --count-only --write-out=fields"
    said = etcd.on(node, f"set -a; . /etc/etcd/etcdctl.env; {count}")
    return int(next(line.rpartition(":")[2] for line in said.splitlines() if line.startswith('"Count"')))


def test_a_zone_is_cut_off_and_no_acknowledged_write_is_lost(etcd: Etcd) -> None:
    leader = etcd.leader("cp-a1")
    others = [node for node in NODES if node != leader]
    writer = Writer(others[0])
    until(lambda: len(writer.acknowledged) > 5)
    etcd.fault(zone=f"zone-{leader[3]}", state="down")
    try:
        took = until(lambda: etcd.leader(others[0]) in others)
        before = len(writer.acknowledged)
        until(lambda: len(writer.acknowledged) > before + 5)
        print(f"another leader after {took:.1f} s (goal 3 s)")
        # The one that is cut off takes no writes.
        assert etcd.etcdctl(leader, "put /lost 1 --command-timeout=2s", check=False) is None
        # Nor may another one be stopped for a change now.
        assert "are needed" in etcd.on(others[0], "/usr/local/libexec/platform/etcd-may-stop 2>&1 || :")
    finally:
        etcd.fault(zone=f"zone-{leader[3]}", state="up")
    acknowledged = writer.stop()
    until(lambda: etcd.leader(leader) in NODES)
    until(lambda: all(written(etcd, node) >= len(acknowledged) for node in NODES))
    assert not etcd.etcdctl(leader, "get /lost").get("kvs")


def test_a_drill_measures_etcd_and_the_virtual_address_in_the_record_of_the_run(etcd: Etcd) -> None:
    etcd.play("playbooks/cluster.yml", "--tags", "api_lb")
    etcd.play("tests/integration/api_lb/api_servers.yml")
    virtual = f"{NET}.0.10"

    def holders() -> list[str]:
        return [node for node in NODES if virtual in etcd.on(node, "ip -brief address")]

    def routes() -> str:
        route = ["ip", "-n", f"{NAME}.router", "route"]
        return subprocess.run(route, capture_output=True, text=True, check=True).stdout

    until(lambda: len(holders()) == 1)
    (holder,) = holders()
    until(lambda: virtual in routes())
    drill = ("playbooks/drill_zone_loss.yml", "-e", f"zone=zone-{holder[3]}", "-e", "platform_drill_hold=20")
    etcd.play(*drill, "-e", "platform_drill_api=true")
    run = json.loads((CLONE / "build/inventory/runs/latest/run.json").read_text())
    assert {figure["name"] for figure in run["measurements"]} == {
        f"etcd takes no write, zone-{holder[3]} away",
        f"the API is silent, zone-{holder[3]} away",
    }
    for figure in run["measurements"]:
        print(f"{figure['name']}: {figure['value']} s (goal {figure['goal']} s)")
        # It answered again while the zone was still away.
        assert figure["value"] < 20
    assert not etcd.etcdctl("cp-a1", "get /platform/drill").get("kvs")
    # The address has moved, and the zone that came back took nothing: one holds it, and the router knows it.
    until(lambda: len(holders()) == 1)
    assert "is none of zone-a, zone-b, zone-c" in etcd.refused("playbooks/drill_zone_loss.yml", "-e", "zone=zone-z")


def test_a_change_is_rolled_out_one_member_after_the_other(etcd: Etcd) -> None:
    changed = etcd.converge("-e", "etcd_heartbeat=110")
    assert all(changed.values())
    assert {etcd.on(node, "grep HEARTBEAT /etc/etcd/etcd.env").strip() for node in NODES} == {
        "ETCD_HEARTBEAT_INTERVAL=110"
    }
    starts = [
        int(etcd.on(node, 'date -d "$(systemctl show etcd -P ActiveEnterTimestamp)" +%s')) for node in sorted(NODES)
    ]
    assert starts == sorted(starts)


def test_a_damaged_snapshot_is_refused_before_anything_is_changed(etcd: Etcd, tmp_path: Path) -> None:
    backups = ("-e", f"platform_backup_dir={tmp_path}")
    etcd.play("playbooks/backup.yml", "--tags", "etcd", *backups)
    (snapshot,) = tmp_path.glob("*.db")
    assert snapshot.stat().st_mode & 0o777 == 0o600
    damaged = tmp_path / "damaged"
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = b"\0" * 64
    damaged.write_bytes(content)
    started = etcd.on("cp-a1", "systemctl show etcd -P ActiveEnterTimestamp")
    said = etcd.refused(
        "playbooks/restore.yml", "-e", f"platform_snapshot_file={damaged}", "-e", "platform_restore=etcd"
    )
    assert "is damaged: its content is not what its digest says" in said
    assert etcd.on("cp-a1", "systemctl is-active etcd").strip() == "active"
    snapshot_cut = tmp_path / "cut"
    snapshot_cut.write_bytes(snapshot.read_bytes()[:-100])
    said = etcd.refused(
        "playbooks/restore.yml", "-e", f"platform_snapshot_file={snapshot_cut}", "-e", "platform_restore=etcd"
    )
    assert "is cut off, or no snapshot of etcd" in said
    unasked = etcd.refused("playbooks/restore.yml", "-e", f"platform_snapshot_file={snapshot}")
    assert "Confirm it with -e platform_restore=etcd" in unasked.replace("\n", " ")
    assert etcd.on("cp-a1", "systemctl show etcd -P ActiveEnterTimestamp") == started


def test_a_lost_quorum_is_restored_from_a_snapshot(etcd: Etcd, tmp_path: Path) -> None:
    etcd.etcdctl("cp-a1", "put /kept before")
    etcd.play("playbooks/backup.yml", "--tags", "etcd", "-e", f"platform_backup_dir={tmp_path}")
    (snapshot,) = tmp_path.glob("*.db")
    etcd.etcdctl("cp-a1", "put /kept after")
    for node in ("cp-b1", "cp-c1"):
        etcd.on(node, "systemctl kill -s KILL etcd; systemctl stop etcd; rm -rf /var/lib/etcd/member")
    assert etcd.etcdctl("cp-a1", "put /kept never --command-timeout=2s", check=False) is None
    began = time.monotonic()
    restored = etcd.play(
        "playbooks/restore.yml", "-e", f"platform_snapshot_file={snapshot}", "-e", "platform_restore=etcd"
    )
    print(f"restored in {time.monotonic() - began:.0f} s (goal 60 s)")
    assert all(restored.values())
    for node in NODES:
        found = etcd.on(node, "set -a; . /etc/etcd/etcdctl.env; etcdctl get /kept --print-value-only")
        assert found.strip() == "before"
    assert etcd.on("cp-a1", "ls -d /var/lib/etcd/member.before-*")
    assert etcd.converge("-e", "etcd_heartbeat=110") == dict.fromkeys(NODES, 0)
    assert STATE.exists()


MEMBER = "tests/integration/etcd/member.yml"


def test_a_member_is_taken_out_and_comes_back_as_a_learner(etcd: Etcd) -> None:
    etcd.converge()  # away with what the tests before this one had set
    etcd.etcdctl("cp-a1", "put /before one")
    assert etcd.play(MEMBER, "-e", "gone=cp-c1")["cp-c1"]
    assert {member["name"] for member in etcd.etcdctl("cp-a1", "member list")["members"]} == {"cp-a1", "cp-b1"}
    assert etcd.on("cp-c1", "ls -d /etc/etcd /var/lib/etcd/member /usr/local/bin/etcd", check=False) == ""
    assert etcd.on("cp-c1", "systemctl is-active etcd.service", check=False) == ""
    # Its snapshots are not part of it.
    assert etcd.on("cp-c1", f"ls {SNAPSHOTS}") is not None
    assert etcd.play(MEMBER, "-e", "gone=cp-c1") == {"cp-a1": 0, "cp-c1": 0} | dict.fromkeys(NODES, 0)
    # Two are left, and each needs the other one.
    etcd.on("cp-b1", "systemctl stop etcd.service")
    assert "etcd:" in etcd.refused(MEMBER, "-e", "gone=cp-b1")
    etcd.on("cp-b1", "systemctl start etcd.service")

    assert etcd.play(MEMBER, "-e", "comes=cp-c1")["cp-c1"]
    members = etcd.etcdctl("cp-c1", "member list")["members"]
    assert {member["name"] for member in members} == set(NODES)
    assert not [member for member in members if member.get("isLearner")]
    assert etcd.on("cp-c1", "ls /etc/etcd/join.env", check=False) == ""
    assert "one" in etcd.on("cp-c1", "set -a; . /etc/etcd/etcdctl.env; exec /usr/local/bin/etcdctl get /before")
    assert etcd.play(MEMBER, "-e", "comes=cp-c1")["cp-c1"] == 0
    assert etcd.converge() == dict.fromkeys(NODES, 0)


def test_data_of_a_member_that_was_taken_out_are_refused(etcd: Etcd) -> None:
    etcd.on("cp-c1", "mkdir -p /root/kept && cp -a /var/lib/etcd/member /root/kept/")
    etcd.play(MEMBER, "-e", "gone=cp-c1")
    etcd.on("cp-c1", "mv /root/kept/member /var/lib/etcd/")
    said = etcd.refused(MEMBER, "-e", "comes=cp-c1")
    assert "has data of a member that etcd does not know any more" in said
    assert {member["name"] for member in etcd.etcdctl("cp-a1", "member list")["members"]} == {"cp-a1", "cp-b1"}


def test_all_of_it_is_taken_off(etcd: Etcd) -> None:
    assert all(etcd.play(MEMBER, "-e", "everything=true").values())
    for node in NODES:
        assert etcd.on(node, "ls -d /etc/etcd /var/lib/etcd/member /etc/systemd/system/etcd*", check=False) == ""
        assert "no such process" in etcd.on(node, "pgrep -x etcd || echo no such process")
    assert etcd.play(MEMBER, "-e", "everything=true") == dict.fromkeys(NODES, 0)
