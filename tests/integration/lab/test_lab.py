# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's nodes, what can happen to them, and that nothing of them is left."""

from __future__ import annotations

import time

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host
from ansible_collections.banking.platform.plugins.module_utils.lab.shell import run
from ansible_collections.banking.platform.tests.integration.lab.conftest import (
    CLONE,
    NAME,
    NET,
    Lab,
    Machine,
    changed,
    look,
    playbook,
)


def test_second_run_changes_nothing(lab: Lab):
    assert changed(lab.up()) == 0


def test_nodes_are_reached_only_with_the_key_and_the_host_key_of_the_lab(lab: Lab):
    assert lab.run("cp-a1", "hostname").stdout == "cp-a1\n"
    known = CLONE / "build" / "lab" / NAME / "ssh" / "known_hosts"
    content = known.read_text()
    known.write_text(content.replace(f"{NET}.1.11,cp-a1", f"{NET}.9.9"))
    try:
        assert "Host key verification failed" in lab.run("cp-a1", "hostname").stderr
    finally:
        known.write_text(content)


def test_node_cannot_set_the_clock(lab: Lab):
    # To what it shows: harmless where it were allowed.
    done = lab.run("cp-a1", "date -s @$(date +%s)")
    assert "Operation not permitted" in done.stderr


def test_router_shows_the_machines_time(lab: Lab):
    asks = (
        "import socket, struct, time\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(3)\n"
        f"s.sendto(bytes([35]) + bytes(47), ('{NET}.1.1', 123))\n"
        "a = s.recv(99)\n"
        "print(a[0] & 7, a[1], abs(struct.unpack('!I', a[40:44])[0] - 2208988800 - time.time()) < 2)\n"
    )
    done = lab.run("cp-a1", "python3 -", stdin=asks)
    assert done.stdout.split() == ["4", "10", "True"], done.stderr


def test_a_network_behind_a_node_is_routed_also_after_its_zone_was_down(lab: Lab):
    assert lab.run("worker-b1", "ip address add 10.244.149.1/32 dev lo").returncode == 0
    try:
        assert lab.run("cp-a1", "ping -c1 -W2 10.244.149.1").returncode == 0
        lab.fault(zone="zone-b", state="down", fault="switch")
        lab.fault(zone="zone-b", state="up")
        assert lab.run("cp-a1", "ping -c1 -W5 10.244.149.1").returncode == 0
    finally:
        lab.run("worker-b1", "ip address delete 10.244.149.1/32 dev lo")


def test_zones_are_routed_and_nothing_else_is_reachable(lab: Lab):
    assert lab.run("cp-a1", f"ping -c 1 -W 2 {NET}.2.21").returncode == 0
    hops = lab.run("cp-a1", f"ip route get {NET}.2.21").stdout
    assert f"via {NET}.1.1" in hops
    # TEST-NET-2 (RFC 5737): nobody's address. The machine refuses to forward; no packet leaves it.
    assert "Packet filtered" in lab.run("cp-a1", "ping -c 1 -W 2 198.51.100.1").stdout
    # What the lab has not of its own network ends at the router, or at the machine were there no router.
    for where in (["ip", "-n", f"{NAME}.router"], ["ip"]):
        assert f"blackhole {NET}.0.0/16" in run([*where, "route"])


def test_packages_can_be_installed(lab: Lab):
    done = lab.run("worker-b1", "apt-get update -qq && apt-get install -y -qq --no-install-recommends jq", timeout=300)
    assert done.returncode == 0, done.stderr
    assert lab.run("worker-b1", "echo {} | jq .").stdout == "{}\n"


def test_node_has_its_data_disk_and_no_other(lab: Lab):
    disk = "/dev/disk/by-id/lab-data0"
    done = lab.run("worker-b1", f"readlink -f {disk}; find /dev -type b; lsblk -bno SIZE {disk}")
    disk, *devices, size = done.stdout.split()
    assert devices == [disk]
    assert int(size) == 256 * 2**20


def test_files_that_podman_mounts_can_be_replaced(lab: Lab):
    done = lab.run("cp-a1", "for f in hosts hostname resolv.conf; do cp /etc/$f /etc/.n && mv /etc/.n /etc/$f; done")
    assert done.returncode == 0, done.stderr


def test_reboot_keeps_what_is_on_the_node(lab: Lab):
    lab.run("worker-b1", "echo kept > /etc/kept; echo 10.0.0.1 kept >> /etc/hosts")
    before_boot = lab.pid("worker-b1")
    playbook("tests/integration/lab/reboot.yml", "-i", lab.inventory, "--limit", "worker-b1")
    assert lab.pid("worker-b1") != before_boot
    assert lab.run("worker-b1", "cat /etc/kept; grep -c kept /etc/hosts").stdout.split() == ["kept", "1"]
    assert lab.run("worker-b1", "date -s @$(date +%s)").returncode != 0, "the reboot gave the clock back"
    assert changed(lab.up()) == 0


# A fault, and what heals it.
FAULTS: list[tuple[dict[str, str], dict[str, str]]] = [
    ({"zone": "zone-b"}, {"zone": "zone-b"}),
    ({"zone": "zone-b", "fault": "switch"}, {"zone": "zone-b"}),
    ({"node": "worker-b1"}, {"node": "worker-b1"}),
    ({"node": "worker-b1", "fault": "partition"}, {"node": "worker-b1"}),
    ({"node": "worker-b1", "fault": "switch"}, {"node": "worker-b1"}),
    ({"node": "worker-b1", "fault": "stop"}, {"node": "worker-b1"}),
    ({"node": "worker-b1", "fault": "hang"}, {"node": "worker-b1"}),
    ({"zone": "zone-b", "fault": "power"}, {"zone": "zone-b", "fault": "power"}),
]


@pytest.mark.parametrize(("fault", "heal"), FAULTS, ids=lambda words: "-".join(words.values()))
def test_fault_and_healing(lab: Lab, fault: dict[str, str], heal: dict[str, str]):
    assert lab.fault(**fault, state="down")
    assert not lab.answers("worker-b1")
    assert lab.answers("cp-a1"), "the other zone has nothing to do with it"
    # A hung node's kernel goes on answering.
    assert lab.sees("cp-a1", "worker-b1") == (fault.get("fault") == "hang")
    assert not lab.fault(**fault, state="down")

    assert lab.fault(**heal, state="up")
    assert lab.answers("worker-b1")
    assert lab.sees("worker-b1", "cp-a1")
    assert not lab.fault(**heal, state="up")


def test_playbook_cuts_off_and_heals(lab: Lab):
    assert changed(lab.fault_by_playbook("zone=zone-b", "state=down", "--check")) == 1
    assert lab.answers("worker-b1"), "check mode has done it"
    assert changed(lab.fault_by_playbook("zone=zone-b", "state=down")) == 1
    assert not lab.answers("worker-b1")
    assert changed(lab.fault_by_playbook("zone=zone-b", "state=up")) == 1
    assert lab.answers("worker-b1")


def test_carrier_tells_a_partition_from_a_dead_switch(lab: Lab):
    carrier = ["ip", "netns", "exec", f"{NAME}.worker-b1", "cat", "/sys/class/net/eth0/carrier"]
    for fault, wanted in (("partition", "1"), ("switch", "0")):
        lab.fault(node="worker-b1", fault=fault, state="down")
        assert run(carrier).strip() == wanted
    lab.fault(node="worker-b1", state="up")


def test_killed_node_stays_down_until_it_is_to_come_back(lab: Lab):
    lab.fault(node="worker-b1", state="down")
    time.sleep(3)
    assert lab.pid("worker-b1") == 0
    lab.fault(node="worker-b1", state="up")
    assert lab.pid("worker-b1") != 0


def test_one_fault_may_follow_another_and_a_new_run_heals_all(lab: Lab):
    lab.fault(node="worker-b1", fault="hang", state="down")
    lab.fault(node="worker-b1", fault="power", state="down")
    lab.fault(node="worker-b1", fault="partition", state="down")
    lab.fault(zone="zone-a", state="down")
    assert not lab.answers("cp-a1")
    assert changed(lab.up()) == 1
    assert lab.answers("cp-a1")
    assert lab.answers("worker-b1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["zone=zone-q", "state=down"], "there is no zone 'zone-q'. Next: take one of zone-a, zone-b."),
        (["node=worker-q", "state=up"], "there is no node 'worker-q'. Next: take one of cp-a1, worker-b1."),
        (["node=worker-b1", "state=down", "fault=fire"], "partition, switch, power, hang, stop"),
        (["node=worker-b1", "state=away"], "up, down"),
        (["state=down"], "one of the following is required: zone, node"),
    ],
    ids=["zone", "node", "fault", "state", "neither"],
)
def test_wrong_words_name_the_right_ones(lab: Lab, arguments: list[str], says: str):
    done = lab.fault_by_playbook(*arguments, check=False)
    assert done.returncode != 0
    assert says in done.stdout


def test_nothing_is_left(lab: Lab, before: Machine):
    """Runs last: takes the lab down after a node has changed a sysctl of the whole machine, and compares."""
    value = int(lab.run("cp-a1", "cat /proc/sys/vm/max_map_count").stdout)
    lab.run("cp-a1", f"echo {value + 1} > /proc/sys/vm/max_map_count")
    lab.down()
    after = look()
    left = host.differences(before.state, after.state)
    if before.labs or after.labs:
        # Other labs come and go, and keep what labs need: look at what bears this lab's name or network.
        left = [line for line in left if NAME in line or f"{NET}." in line]
        left += [name for name in after.labs if name == NAME]
        host.set_sysctls({"vm/max_map_count": str(value)})
    assert left == []
    assert abs(after.clock - before.clock) < 1, "the machine's clock was set"
    assert not (CLONE / "build" / "lab" / NAME).exists()
    listed = run(["podman", "ps", "--all", "--format", "{{.Names}}"]) + run(["podman", "volume", "ls", "-q"])
    assert not [name for name in listed.split() if name.startswith(f"{NAME}.")]
    assert f"build/lab/{NAME}/" not in run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"])
