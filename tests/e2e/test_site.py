# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on nine fresh nodes: what would happen, what happens, and that nothing happens the second time.

The tests follow each other, as the runs do.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host
from ansible_collections.banking.platform.tools.suites import CLONE

NODES = {f"{kind}-{zone}{number}" for zone in "abc" for kind, number in (("cp", 1), ("worker", 1), ("worker", 2))}
RECAP = re.compile(r"^(\S+) +: +ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def play(*argv: str) -> dict[str, int]:
    """Run a playbook on the lab and return how many tasks changed something on each node.

    Raises:
        AssertionError: with the end of the output, when the run fails.
    """
    done = subprocess.run(
        ["ansible-playbook", "-i", "inventories/lab", *argv],
        cwd=CLONE,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return {
        name: int(changed) for name, _ok, changed, _unreachable, _failed in RECAP.findall(done.stdout) if name in NODES
    }


@pytest.fixture(scope="module", autouse=True)
def _fresh_lab() -> Iterator[None]:
    if "lab" in host.labs():
        # In CI it can only be what an earlier run left behind.
        if not os.environ.get("CI"):
            pytest.skip("the lab is up, and these tests need fresh nodes: make lab-down")
        play("playbooks/lab_down.yml")
    try:
        play("playbooks/lab.yml")
        yield
    finally:
        play("playbooks/lab_down.yml")
    assert "lab" not in host.labs()


def test_check_mode_on_fresh_nodes_shows_what_would_happen() -> None:
    would_change = play("site.yml", "--check", "--diff")
    assert set(would_change) == NODES
    assert all(would_change.values())


def test_the_first_run_converges_every_node() -> None:
    changed = play("site.yml")
    assert set(changed) == NODES
    assert all(changed.values()), "check mode had changed the nodes, or the run has left some out"


def test_the_second_run_changes_nothing() -> None:
    assert play("site.yml") == dict.fromkeys(NODES, 0)


def test_check_mode_agrees_that_there_is_nothing_to_do() -> None:
    assert play("site.yml", "--check") == dict.fromkeys(NODES, 0)
