# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of Grafana from short data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils.grafana_dashboard import DashboardError, dashboard


def grafana_dashboard(data: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard; what cannot be made into one is an error of the template."""
    try:
        return dashboard(data)
    except DashboardError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"grafana_dashboard": grafana_dashboard}
