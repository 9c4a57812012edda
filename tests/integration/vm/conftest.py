# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures for tests on a virtual machine: machines, and Ansible runs against them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.vm.machine import CLONE, Machine


class Playbooks:
    """Runs playbooks against one machine."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.inventory = folder / "hosts"
        self.inventory.write_text(machine.inventory())
        self.last_output = ""

    def run(
        self, playbook: Path, variables: dict[str, Any], *options: str, fails: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Run a playbook.

        Returns:
            The result of each task by its name, as far as it was not skipped.
        """
        environment = dict(
            os.environ,
            ANSIBLE_CONFIG=str(CLONE / "ansible.cfg"),
            ANSIBLE_STDOUT_CALLBACK="ansible.posix.json",
            ANSIBLE_NOCOLOR="1",
        )
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", str(self.inventory), str(playbook), "-e", json.dumps(variables), *options],
            cwd=CLONE, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.last_output = done.stdout + done.stderr
        assert "{" in done.stdout, self.last_output[-4000:]
        tasks = json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]
        failed = [task["hosts"]["vm1"].get("msg") for task in tasks if task["hosts"].get("vm1", {}).get("failed")]
        assert (done.returncode != 0) == fails, failed or self.last_output[-4000:]
        results = {task["task"]["name"].rpartition(" : ")[2]: task["hosts"]["vm1"] for task in tasks if task["hosts"]}
        return {name: result for name, result in results.items() if not result.get("skipped")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one file of tests."""
    return tmp_path_factory.mktemp("vm")
