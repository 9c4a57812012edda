# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks on the nine nodes of the lab, as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess

from ansible_collections.banking.platform.tools.suites import CLONE

NODES = {f"{kind}-{zone}{number}" for zone in "abc" for kind, number in (("cp", 1), ("worker", 1), ("worker", 2))}
RECAP = re.compile(r"^(\S+) +: +ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def start(*argv: str) -> subprocess.Popen[str]:
    """Start a playbook on the lab."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", "inventories/lab", *argv],
        cwd=CLONE,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def refused(*argv: str) -> str:
    """Run a playbook that must fail, and return what it said."""
    program = start(*argv)
    said = program.communicate()[0]
    assert program.returncode != 0, f"{argv}\n{said[-6000:]}"
    return said


def play(*argv: str) -> dict[str, int]:
    """Run a playbook on the lab and return how many tasks changed something on each node.

    Raises:
        AssertionError: with the end of the output, when the run fails.
    """
    program = start(*argv)
    said = program.communicate()[0]
    assert program.returncode == 0, f"{argv}\n{said[-9000:]}"
    return {name: int(changed) for name, _ok, changed, _unreachable, _failed in RECAP.findall(said) if name in NODES}


def on(node: str, *argv: str) -> str:
    """Run a command on a node, past Ansible."""
    return subprocess.run(["podman", "exec", f"lab.{node}", *argv], capture_output=True, text=True, check=True).stdout
