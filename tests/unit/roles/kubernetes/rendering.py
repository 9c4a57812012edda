# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the role `kubernetes` as a host of an inventory gets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

CLONE = Path(__file__).parents[4]
ROLE = CLONE / "roles" / "kubernetes"
ENVIRONMENTS = ["prod", "staging", "development", "lab"]
RELEASES = {"2024.1": "v1beta3", "2026.2": "v1beta4"}


class Node:
    """One host of an inventory with the role's variables."""

    def __init__(self, environment: str, host: str, member: bool = True, **extra: Any) -> None:
        if AnsibleCollectionConfig.collection_finder is None:
            init_plugin_loader()
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(CLONE / "inventories" / environment)])
        variables = VariableManager(loader=loader, inventory=manager)
        values = {
            **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
            **variables.get_vars(host=manager.get_host(host)),
            **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
            "__kubernetes_info": {"member": member, "control_plane": "", "kubelet": ""},
            "ansible_check_mode": False,
            **extra,
        }
        values["hostvars"] = HostVars(inventory=manager, variable_manager=variables, loader=loader)
        self.templar = Templar(loader=loader, variables=values)
        self.renderer = Renderer(self.templar, loader, values, [str(ROLE / "templates")])

    def variable(self, name: str) -> Any:
        """A variable of the role, templated."""
        return self.templar.template(self.templar.available_variables[name])

    def text(self, path: str) -> str:
        """The content of a file of the tree on this host."""
        source = ROLE / "templates" / "root" / path.lstrip("/")
        template = source.with_name(f"{source.name}.j2")
        return self.renderer.content(str(template if template.exists() else source)).decode()

    def documents(self, path: str) -> dict[str, dict[str, Any]]:
        """The documents of a YAML file of the tree by their kind."""
        return {document["kind"]: document for document in yaml.safe_load_all(self.text(path)) if document}


def flags(component: dict[str, Any]) -> dict[str, str]:
    """The flags of a component in a ClusterConfiguration of either version."""
    given = component["extraArgs"]
    return given if isinstance(given, dict) else {entry["name"]: entry["value"] for entry in given}
