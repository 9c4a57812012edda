# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand the objects of a component to one module run, as one value that is masked and never logged."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.plugin_utils.kube import apply_objects


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.k8s_apply`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Apply, and say of a failure what to do next."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        try:
            result.update(apply_objects(self, self._task.args, variables))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if result.get("failed") and result.get("next_step"):
            result["msg"] = f"{result['msg']} - next: {result['next_step']}"
        return result
