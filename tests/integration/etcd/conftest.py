# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes in three zones, with nothing but etcd on them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host, machine
from ansible_collections.banking.platform.plugins.modules import lab_fault
from ansible_collections.banking.platform.tools.suites import CLONE

NAME, NET = "etest", "10.91"
NODES = {f"cp-{zone}1": f"{NET}.{number}.11" for number, zone in enumerate("abc", 1)}
STATE = CLONE / "build" / "lab" / NAME
_RECAP = re.compile(r"^(\S+) +: +ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
_MEMBER = "set -a; . /etc/etcd/etcdctl.env; exec /usr/local/bin/etcdctl"


def playbook(path: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the clone, whatever comes of it."""
    own = {
        "LAB_NAME": NAME,
        "LAB_NET": NET,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    return subprocess.run(
        ["ansible-playbook", path, *arguments],
        cwd=CLONE,
        env={**os.environ, **own, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


class Etcd:
    """The nodes, and what is asked of etcd on them past Ansible."""

    inventory = str(STATE / "inventory")

    def play(self, path: str, *arguments: str) -> dict[str, int]:
        """Run a playbook on the nodes and return how many tasks changed something on each."""
        done = playbook(path, "-i", self.inventory, *arguments)
        assert done.returncode == 0, f"{path}:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return {
            name: int(changed) for name, changed, _unreachable, _failed in _RECAP.findall(done.stdout) if name in NODES
        }

    def refused(self, path: str, *arguments: str) -> str:
        """Run a playbook that must fail, and return what it said."""
        done = playbook(path, "-i", self.inventory, *arguments)
        assert done.returncode != 0, done.stdout[-3000:]
        return done.stdout + done.stderr

    def converge(self, *arguments: str) -> dict[str, int]:
        """The cluster's playbook, as far as it is about etcd."""
        return self.play("playbooks/cluster.yml", "--tags", "etcd", *arguments)

    @staticmethod
    def on(node: str, command: str, check: bool = True) -> str:
        """Run a shell command on a node."""
        done = subprocess.run(
            ["podman", "exec", f"{NAME}.{node}", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, f"{node}: {command}: {done.stdout}{done.stderr}"
        return done.stdout if done.returncode == 0 else ""

    def etcdctl(self, node: str, arguments: str, check: bool = True) -> Any:
        """What etcdctl on a node says, as JSON; None when it fails and may."""
        said = self.on(node, f"{_MEMBER} --write-out=json {arguments}", check)
        return json.loads(said) if said.strip() else None

    def leader(self, node: str) -> str:
        """The node that leads, as another one sees it; empty while nobody does."""
        status = self.etcdctl(node, "endpoint status --command-timeout=2s", check=False)
        leader = status[0]["Status"].get("leader", 0) if status else 0
        members = self.etcdctl(node, "member list --command-timeout=2s", check=False) if leader else None
        return next((each["name"] for each in members["members"] if each["ID"] == leader), "") if members else ""

    @staticmethod
    def fault(**words: str) -> None:
        """Put a zone or a node into a fault, or heal it."""
        given: dict[str, Any] = {
            "name": NAME,
            "state_dir": str(STATE),
            "zone": None,
            "node": None,
            "fault": None,
            **words,
        }
        with host.lock():
            lab_fault.make_plan(given, machine.podman_settings(machine.look())).apply()


@pytest.fixture(scope="module")
def etcd() -> Iterator[Etcd]:
    if NAME in host.labs():
        playbook("molecule/shared/destroy.yml")
    nodes = {
        name: {"zone": f"zone-{name[3]}", "address": address, "disks": [{"name": "lab-data0", "size_mb": 64}]}
        for name, address in NODES.items()
    }
    made = playbook("molecule/shared/create.yml", "-e", json.dumps({"lab_nodes": nodes}))
    try:
        assert made.returncode == 0, made.stdout[-5000:] + made.stderr
        yield Etcd()
    finally:
        playbook("molecule/shared/destroy.yml")
