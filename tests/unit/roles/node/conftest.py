# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's variables and tree for a host of a small inventory, without a node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

ROLE = Path(__file__).parents[4] / "roles" / "node"
ROOT = ROLE / "templates" / "root"

INVENTORY: dict[str, Any] = {
    "all": {
        "vars": {
            "ansible_user": "deploy",
            "platform_domain": "bank.internal",
            "platform_address": "{{ ansible_host }}",
            "platform_zones": ["zone-a", "zone-b", "zone-c"],
            "platform_groups": {name: name for name in ("node", "control_plane", "worker", "etcd", "vault")},
            "platform_unavailable": {},
            "node_time_sources": ["ntp1.bank.internal nts", "10.0.0.1"],
        },
        "children": {
            "node": {
                "children": {
                    "zone_a": {
                        "vars": {"platform_zone": "zone-a"},
                        "hosts": {"cp-a1": {"ansible_host": "10.1.0.11"}, "worker-a1": {"ansible_host": "10.1.0.21"}},
                    },
                    "zone_b": {
                        "vars": {"platform_zone": "zone-b"},
                        "hosts": {"cp-b1": {"ansible_host": "10.2.0.11"}, "worker-b1": {"ansible_host": "fd00:2::21"}},
                    },
                }
            },
            "control_plane": {"hosts": {"cp-a1": {}, "cp-b1": {}}},
            "worker": {"hosts": {"worker-a1": {}, "worker-b1": {}}},
            "etcd": {"children": {"control_plane": {}}},
            "vault": {"hosts": {}},
        },
    }
}


class Node:
    """One host of the inventory with the role's variables."""

    def __init__(self, inventory: Path, host: str, extra: dict[str, Any]) -> None:
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(inventory)])
        variables = VariableManager(loader=loader, inventory=manager)
        values = {
            **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
            **variables.get_vars(host=manager.get_host(host)),
            **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
            "ansible_facts": {
                "distribution": "Debian",
                "distribution_major_version": "12",
                "distribution_version": "12.15",
            },
            **extra,
        }
        values["hostvars"] = HostVars(inventory=manager, variable_manager=variables, loader=loader)
        self.templar = Templar(loader=loader, variables=values)
        self._renderer = Renderer(self.templar, loader, values, [str(ROLE / "templates")])

    def variable(self, name: str) -> Any:
        """A variable of the role, templated."""
        return self.templar.template(self.templar.available_variables[name])

    def file(self, path: str) -> str:
        """The content of a file of the tree on this host."""
        source = next(source for source in (ROOT / f"{path}.j2", ROOT / path) if source.exists())
        return self._renderer.content(str(source)).decode()

    def tree(self) -> dict[str, str]:
        """All files of the tree on this host."""
        return {path: self._renderer.content(source).decode() for path, source in self._renderer.tree(str(ROOT))}


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., Node]:
    """Makes a host: node("cp-a1", node_ssh_ports=[2222])."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump(INVENTORY))
    return lambda host="cp-a1", **extra: Node(inventory, host, extra)
