# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight reports every finding at once, with the host, the variable and the fix, and connects to nobody."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from .conftest import make_action

ROLES = ("node", "control_plane", "worker", "etcd", "vault")
GROUPS = {
    "zone_a": ["cp-a1", "worker-a1"],
    "zone_b": ["cp-b1", "worker-b1"],
    "node": ["cp-a1", "worker-a1", "cp-b1", "worker-b1"],
    "control_plane": ["cp-a1", "cp-b1"],
    "worker": ["worker-a1", "worker-b1"],
    "etcd": ["cp-a1", "cp-b1"],
    "vault": ["cp-a1", "cp-b1"],
}
HOSTS = {
    name: {"platform_zone": f"zone-{name.split('-')[1][0]}", "platform_address": f"10.0.0.{number}"}
    for number, name in enumerate(GROUPS["node"], 1)
}


def preflight(
    hosts: Mapping[str, Any], groups: dict[str, Any], names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    asked = {"groups": names or {role: role for role in ROLES}, "zones": ["zone-a", "zone-b"], "environment": "lab"}
    variables: dict[str, Any] = {"hostvars": hosts, "groups": groups, "inventory_hostname": "localhost"}
    return make_action("preflight", asked, **variables).run(task_vars=variables)


@pytest.fixture
def hosts() -> dict[str, Any]:
    return copy.deepcopy(HOSTS)


@pytest.fixture
def groups() -> dict[str, Any]:
    return copy.deepcopy(GROUPS)


def test_a_good_inventory_has_no_findings(hosts: dict[str, Any], groups: dict[str, Any]) -> None:
    result = preflight(hosts, groups)
    assert (result.get("failed"), result["changed"], result["findings"]) == (None, False, [])


def test_all_findings_come_at_once_each_with_its_fix(hosts: dict[str, Any], groups: dict[str, Any]) -> None:
    del hosts["worker-a1"]["platform_zone"]
    hosts["worker-b1"]["platform_zone"] = "zone-x"
    hosts["cp-b1"]["platform_address"] = "10.0.0.1"
    groups["vault"] = []
    result = preflight(hosts, groups)
    assert result["failed"] is True
    assert result["changed"] is False
    assert result["msg"].splitlines() == [
        "4 error(s) in the inventory, nothing was changed:",
        "  worker-a1: platform_zone: the host has no zone - next: set it to one of zone-a, zone-b",
        (
            "  worker-b1: platform_zone: 'zone-x' is not among platform_zones"
            " - next: set it to one of zone-a, zone-b, or add it there"
        ),
        "  cp-b1: platform_address: 10.0.0.1 is also the address of cp-a1 - next: give one of them its own address",
        (
            "  lab: platform_groups.vault: the inventory has no such nodes"
            " - next: put hosts into the group that platform_groups.vault names"
        ),
    ]
    assert [finding["subject"] for finding in result["findings"]] == ["worker-a1", "worker-b1", "cp-b1", "lab"]


def test_an_empty_inventory_is_said_and_does_not_crash() -> None:
    result = preflight({}, {})
    assert result["failed"] is True
    assert "platform_groups.control_plane" in result["msg"]


def test_groups_may_have_other_names(hosts: dict[str, Any], groups: dict[str, Any]) -> None:
    names = {role: f"bank_{role}" for role in ROLES}
    renamed = {names.get(name, name): members for name, members in groups.items()}
    assert preflight(hosts, renamed, names)["findings"] == []
    assert preflight(hosts, renamed)["failed"] is True


def test_addresses_may_be_templates_in_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("""
all:
  vars:
    platform_address: "{{ ansible_host }}"
  children:
    zone_a:
      vars: {platform_zone: zone-a}
      hosts: {cp-a1: {ansible_host: 192.0.2.1}, worker-a1: {ansible_host: 192.0.2.2}}
    zone_b: {vars: {platform_zone: zone-c}, hosts: {worker-b1: {ansible_host: 192.0.2.2}}}
    node: {children: {zone_a: {}, zone_b: {}}}
    control_plane: {hosts: {cp-a1: {}}}
    worker: {hosts: {worker-a1: {}, worker-b1: {}}}
    etcd: {children: {control_plane: {}}}
    vault: {children: {control_plane: {}}}
""")
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.yml")])
    hostvars = HostVars(inventory, VariableManager(loader=loader, inventory=inventory), loader)
    result = preflight(hostvars, inventory.get_groups_dict())
    assert [(finding["subject"], finding["variable"]) for finding in result["findings"]] == [
        ("worker-b1", "platform_zone"),
        ("lab", "platform_zones"),
        ("worker-b1", "platform_address"),
    ]
    assert "192.0.2.2 is also the address of worker-a1" in result["msg"]
