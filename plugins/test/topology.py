# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on the topology of the inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import topology


def _in_zone(host: str, zone: str, hostvars: Mapping[str, Mapping[str, Any]]) -> bool:
    try:
        return topology.zone_of_host(host, hostvars) == zone
    except topology.TopologyError as error:
        raise AnsibleFilterError(f"banking.platform.in_zone: {error}") from error


def _survives_zone_loss(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> bool:
    try:
        return topology.survives_zone_loss(hosts, hostvars)
    except topology.TopologyError as error:
        raise AnsibleFilterError(f"banking.platform.survives_zone_loss: {error}") from error


class TestModule:
    """What Ansible loads."""

    __test__ = False  # pytest collects classes of this name

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Tests by name."""
        return {"in_zone": _in_zone, "survives_zone_loss": _survives_zone_loss}
