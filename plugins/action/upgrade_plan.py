# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See whether an upgrade is one step upwards for every node, and which nodes it is still to be done on."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import lifecycle
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


class ActionModule(ActionBase):
    """All of `banking.platform.upgrade_plan`."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse, or name the nodes."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, asked = self.validate_argument_spec(
            {
                "version": {"type": "str", "required": True},
                "nodes": {"type": "dict", "required": True},
                "servers": {"type": "list", "elements": "str", "required": True},
            }
        )
        try:
            nodes = {
                name: lifecycle.Runs(told["control_plane"], told["kubelet"]) if told["member"] else lifecycle.Runs()
                for name, told in asked["nodes"].items()
            }
            behind = lifecycle.upgrade(asked["version"], nodes, asked["servers"])
        except Failure as failure:
            msg = f"{failure.cause} - next: {failure.next_step}"
            return result | {"failed": True, "msg": msg, "next_step": failure.next_step}
        return result | {"changed": False, "behind": behind}
