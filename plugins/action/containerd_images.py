# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold the module to the approved plan, where there is one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.containerd_images`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module with the steps that were approved for it."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        try:
            arguments = {**self._task.args, "approved": approved.steps(self, variables)}
        except Failure as failure:
            return {**result, "failed": True, "msg": str(failure), "next_step": failure.next_step}
        result.update(
            self._execute_module(
                module_name="banking.platform.containerd_images", module_args=arguments, task_vars=variables
            )
        )
        return result
