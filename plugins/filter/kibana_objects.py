# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of Kibana from a short description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import kibana_dashboards


def kibana_objects(
    dashboards: Sequence[Mapping[str, Any]], space: str = "default", links: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Saved objects; a description that none can be made of is an error of the template."""
    try:
        return kibana_dashboards.saved_objects(dashboards, space, links)
    except kibana_dashboards.DashboardError as error:
        raise AnsibleFilterError(f"banking.platform.kibana_objects: {error}") from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"kibana_objects": kibana_objects}
