# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters and tests on the topology, as Ansible finds and calls them, with the variables of an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.plugins.filter.topology import FilterModule
from ansible_collections.banking.platform.plugins.test.topology import TestModule

CLONE = Path(__file__).parents[2]


def render(expression: str, **variables: Any) -> Any:
    """What an expression is in inventories/prod."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[str(CLONE / "inventories" / "prod")])
    manager = VariableManager(loader=loader, inventory=inventory)
    hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
    variables.update(hostvars=hostvars, groups=inventory.get_groups_dict(), zones=["zone-a", "zone-b", "zone-c"])
    return Templar(loader, variables=variables).template(trust_as_template("{{ " + expression + " }}"))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (
            "groups.etcd | banking.platform.zone_members(hostvars, zones)",
            {"zone-a": ["cp-a1"], "zone-b": ["cp-b1"], "zone-c": ["cp-c1"]},
        ),
        ("['cp-c1', 'cp-a1'] | banking.platform.zone_order(hostvars, zones)", ["cp-a1", "cp-c1"]),
        ("groups.worker | banking.platform.one_per_zone(hostvars)", ["worker-a1", "worker-b1", "worker-c1"]),
        ("'worker-b2' | banking.platform.rack_id(hostvars)", "zone-b"),
        ("zones | banking.platform.quorum_size", 3),
        ("zones | banking.platform.quorum_size(at_least=4)", 5),
        ("({'app': 'x'} | banking.platform.spread_constraints)[0].maxSkew", 1),
        ("{'app': 'x'} | banking.platform.spread_constraints(['node'])", []),
        ("({'app': 'x'} | banking.platform.anti_affinity).keys() | list", ["podAntiAffinity"]),
        ("'cp-a1' is banking.platform.in_zone('zone-a', hostvars)", True),
        ("'cp-a1' is banking.platform.in_zone('zone-b', hostvars)", False),
        ("groups.etcd is banking.platform.survives_zone_loss(hostvars)", True),
        ("groups.etcd | difference(['cp-a1']) is banking.platform.survives_zone_loss(hostvars)", False),
    ],
)
def test_expressions_have_their_value_in_production(expression: str, value: Any) -> None:
    assert render(expression) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("['zone-a', 'zone-b'] | banking.platform.quorum_size", "quorum_size: no quorum survives in two zones"),
        ("'cp-a9' | banking.platform.rack_id(hostvars)", "rack_id: cp-a9 is not in the inventory"),
        ("'cp-a9' is banking.platform.in_zone('zone-a', hostvars)", "in_zone: cp-a9 is not in the inventory"),
        ("['cp-a9'] is banking.platform.survives_zone_loss(hostvars)", "survives_zone_loss: cp-a9 is not in"),
    ],
)
def test_errors_name_the_filter_and_the_cause(expression: str, error: str) -> None:
    with pytest.raises(AnsibleError, match=error):
        render(expression)


@pytest.mark.parametrize(
    ("folder", "names"), [("filter", FilterModule().filters()), ("test", TestModule().tests())], ids=["filter", "test"]
)
def test_each_has_its_documentation(folder: str, names: dict[str, Any]) -> None:
    pages = {path.stem: yaml.safe_load(path.read_text()) for path in (CLONE / "plugins" / folder).glob("*.yml")}
    assert set(names) <= set(pages)
    assert all(page["DOCUMENTATION"]["name"] == name for name, page in pages.items())
