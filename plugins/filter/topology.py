# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on the topology of the inventory."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import topology


def _named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a filter: its errors name the filter, and Ansible shows them without a traceback."""

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except topology.TopologyError as error:
            raise AnsibleFilterError(f"banking.platform.{name}: {error}") from error

    return call


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        filters: dict[str, Callable[..., Any]] = {
            "anti_affinity": topology.anti_affinity,
            "node_addresses": topology.node_addresses,
            "one_per_zone": topology.one_per_zone,
            "quorum_size": topology.quorum_size,
            "rack_id": topology.zone_of_host,
            "spread_constraints": topology.spread_constraints,
            "zone_batches": topology.zone_batches,
            "zone_members": topology.zone_members,
            "zone_order": topology.zone_order,
        }
        return {name: _named(name, function) for name, function in filters.items()}
