# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's templates, rendered as the controller renders them for one of the inventories."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.plugins.module_utils import declarations
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "roles" / "tenancy"
ENVIRONMENTS = ("development", "lab", "prod", "staging")


class Rendered:
    """The role on one inventory.

    Args:
        environment: a folder of inventories/.
        more: variables over those of the inventory.
    """

    def __init__(self, environment: str, more: Mapping[str, Any]) -> None:
        loader = DataLoader()
        inventory = InventoryManager(loader, sources=[str(ROOT / "inventories" / environment)])
        manager = VariableManager(loader, inventory)
        manager._extra_vars = {"inventory_dir": str(ROOT / "inventories" / environment), **more}
        hostvars = HostVars(inventory, manager, loader)
        host = inventory.get_host("localhost")
        role = {
            **loader.load_from_file(str(ROLE / "defaults/main.yml"), trusted_as_template=True),
            **loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True),
        }
        self.variables = {**role, **manager.get_vars(host=host), "hostvars": hostvars}
        self._templar = Templar(loader, variables=self.variables)
        self._renderer = Renderer(self._templar, loader, self.variables, [str(ROLE / "templates")])
        # What a folder of templates becomes.
        self.objects = functools.cache(self._objects)

    def _objects(self, folder: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _path, source in sorted(self._renderer.tree(str(ROLE / "templates" / folder))):
            found += [item for item in yaml.safe_load_all(self._renderer.content(source)) if item]
        return found

    def value(self, template: str) -> Any:
        """What a template becomes that stands in the role."""
        return self._templar.template(trust_as_template(template))

    @functools.cached_property
    def declared(self) -> dict[str, Declaration | None]:
        """All roles' declarations."""
        found = self.value("{{ lookup('banking.platform.declarations') }}")
        return {name: declarations.parse(name, data) if data else None for name, data in found.items()}


@functools.cache
def rendered(environment: str, release: str = "") -> Rendered:
    """The role on an inventory, with another release than its own where one is given."""
    return Rendered(environment, {"platform_release": release} if release else {})
