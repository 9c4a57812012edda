# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See whether a node may be taken out, by the inventory alone. It runs also when the node cannot be reached."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import lifecycle
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


class ActionModule(ActionBase):
    """All of `banking.platform.node_removal`."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse, or say what the node is and what is to be done afterwards."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, asked = self.validate_argument_spec(
            {
                "name": {"type": "str", "required": True},
                "reachable": {"type": "bool", "required": True},
                "lost": {"type": "bool", "default": False},
            }
        )
        groups = variables["groups"]
        names = self._templar.template(variables["platform_groups"])
        roles = {role: list(groups.get(group, ())) for role, group in names.items()}
        try:
            found = lifecycle.removal(asked["name"], roles, groups, asked["reachable"], asked["lost"])
        except Failure as failure:
            msg = f"{failure.cause} - next: {failure.next_step}"
            return result | {"failed": True, "msg": msg, "next_step": failure.next_step}
        return result | {
            "changed": False,
            "control_plane": found.control_plane,
            "etcd": found.etcd,
            "afterwards": found.afterwards,
        }
