# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on the topology of the inventory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils import topology


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"zone_batches": topology.zone_batches}
