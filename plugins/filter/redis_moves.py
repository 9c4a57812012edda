# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What puts the members of a Redis Cluster where a zone can be lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import redis_placement


def redis_moves(nodes: str, pods: Sequence[Mapping[str, Any]], zones: Mapping[str, str]) -> list[dict[str, Any]]:
    """Commands, each for one pod; what cannot be placed is an error of the template."""
    placed = [
        {
            "name": pod["metadata"]["name"],
            "address": pod["status"].get("podIP", ""),
            "zone": zones.get(pod["spec"].get("nodeName", ""), ""),
        }
        for pod in pods
    ]
    try:
        return redis_placement.moves(nodes, placed)
    except redis_placement.PlacementError as error:
        raise AnsibleFilterError(f"banking.platform.redis_moves: {error}") from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"redis_moves": redis_moves}
