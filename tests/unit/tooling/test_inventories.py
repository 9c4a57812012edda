# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every inventory says where its hosts are, and a play without an inventory reaches none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = pytest.mark.slow

INVENTORIES = sorted(path.parent for path in CLONE.glob("inventories/*/hosts.yml"))


def ansible(*argv: str) -> str:
    """Run a command of Ansible in the clone and return what it prints."""
    return subprocess.run(argv, cwd=CLONE, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_every_node_has_a_zone_of_the_list(inventory: Path) -> None:
    listed = json.loads(ansible("ansible-inventory", "-i", str(inventory), "--list"))
    hosts = listed["_meta"]["hostvars"]
    nodes = {name: host for name, host in hosts.items() if name != "localhost"}
    assert len(nodes) >= 3
    assert {host["platform_zone"] for host in nodes.values()} == set(next(iter(nodes.values()))["platform_zones"])


def test_prod_shows_the_hosts_of_three_zones() -> None:
    listed = ansible("ansible-playbook", "site.yml", "-i", "inventories/prod", "--list-hosts")
    for host in (
        "cp-a1",
        "cp-b1",
        "cp-c1",
        "worker-a1",
        "worker-a2",
        "worker-b1",
        "worker-b2",
        "worker-c1",
        "worker-c2",
    ):
        assert host in listed


def test_without_an_inventory_no_host_is_reached() -> None:
    listed = ansible("ansible-inventory", "--list")
    assert json.loads(listed)["_meta"]["hostvars"] == {}
