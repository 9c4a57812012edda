# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of two nodes for these tests, made and removed as a user does it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host, machine
from ansible_collections.banking.platform.plugins.modules import lab_fault

CLONE = Path(__file__).resolve().parents[3]
NAME, NET = "itest", "10.89"


@dataclass(frozen=True)
class Machine:
    """What the machine was like before the lab.

    Attributes:
        state: see host.state().
        labs: other labs that were up; while there are any, the machine keeps what labs need.
        clock: wall clock minus monotonic clock, in seconds.
    """

    state: dict[str, Any]
    labs: set[str]
    clock: float


def look() -> Machine:
    """The machine as it is now."""
    return Machine(host.state(), host.labs(), time.time() - time.monotonic())


def playbook(path: str, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the clone for the tests' lab."""
    done = subprocess.run(
        ["ansible-playbook", path, *arguments],
        cwd=CLONE,
        env={**os.environ, "LAB_NAME": NAME, "LAB_NET": NET, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if check and done.returncode:
        raise AssertionError(f"{path} failed:\n{done.stdout}\n{done.stderr}")
    return done


def changed(done: subprocess.CompletedProcess[str]) -> int:
    """How many tasks of a JSON run changed something."""
    return sum(stats["changed"] for stats in json.loads(done.stdout)["stats"].values())


class Lab:
    """The tests' lab."""

    inventory = f"build/lab/{NAME}/inventory"

    def up(self) -> subprocess.CompletedProcess[str]:
        """Create it, or heal it."""
        return playbook("molecule/shared/create.yml", ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")

    def fault(self, **words: str) -> bool:
        """Do what lab_zone.yml does with these extra variables, in this process; whether it changed something."""
        known = {
            "name": NAME,
            "state_dir": str(CLONE / "build" / "lab" / NAME),
            "zone": None,
            "node": None,
            "fault": None,
        }
        with host.lock():
            plan = lab_fault.make_plan({**known, **words}, machine.podman_settings(machine.look()))
            plan.apply()
        return plan.changed

    def fault_by_playbook(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run lab_zone.yml with extra variables."""
        extra = [part for word in arguments for part in ([word] if word.startswith("--") else ["-e", word])]
        run = ["-i", self.inventory, *extra]
        return playbook("playbooks/lab_zone.yml", *run, check=check, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")

    def run(self, node: str, command: str, stdin: str = "", timeout: int = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on a node by ssh, with all that Ansible insists on: the lab's key, the known host key."""
        folder = CLONE / "build" / "lab" / NAME / "ssh"
        options = {
            "UserKnownHostsFile": folder / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "PasswordAuthentication": "no",
            "ConnectTimeout": 3,
        }
        ssh = ["ssh", "-i", str(folder / "id_ed25519"), *[f"-o{key}={value}" for key, value in options.items()]]
        address = {"cp-a1": f"{NET}.1.11", "worker-b1": f"{NET}.2.21"}[node]
        argv = [*ssh, f"ansible@{address}", "sudo", "sh", "-c", f"'{command}'"]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=timeout)

    def answers(self, node: str) -> bool:
        """Whether a node answers by ssh."""
        try:
            return self.run(node, "true", timeout=6).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def sees(self, source: str, target: str) -> bool:
        """Whether a node gets an echo from another; asked from inside, past anything that is cut off."""
        argv = ["ip", "netns", "exec", f"{NAME}.{source}", "nsenter", f"--target={self.pid(source)}", "--mount", "--"]
        ping = ["ping", "-c", "1", "-W", "1", {"cp-a1": f"{NET}.1.11", "worker-b1": f"{NET}.2.21"}[target]]
        return subprocess.run([*argv, *ping], capture_output=True, check=False).returncode == 0

    def pid(self, node: str) -> int:
        """Process 1 of a node as the machine sees it; 0 when the node is off."""
        argv = ["podman", "inspect", "--format", "{{.State.Pid}}", f"{NAME}.{node}"]
        return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    def down(self) -> None:
        """Remove it."""
        playbook("molecule/shared/destroy.yml")


@pytest.fixture(scope="module")
def before() -> Machine:
    """The machine before the lab of a module of tests; without what an interrupted run has left."""
    Lab().down()
    return look()


@pytest.fixture(scope="module")
def lab(before: Machine) -> Iterator[Lab]:
    """A lab that is up."""
    made = Lab()
    made.up()
    yield made
    made.down()
