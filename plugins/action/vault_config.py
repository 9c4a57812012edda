# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand what is declared to one module run, as one value that is masked and never logged."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.kube.spec import pack
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault_config import DECLARED
from ansible_collections.banking.platform.plugins.plugin_utils import approved


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.vault_config`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Configure, and say of a failure what to do next."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        given = self._task.args
        try:
            arguments = {name: value for name, value in given.items() if name not in DECLARED}
            arguments["packed"] = pack([{name: given[name] for name in DECLARED if name in given}])
            held = approved.steps(self, variables)
            if held is not None:
                arguments["approved"] = held
            name = "banking.platform.vault_config"
            result.update(self._execute_module(module_name=name, module_args=arguments, task_vars=variables))
        except Failure as failure:
            result.update(failed=True, msg=failure.cause, next_step=failure.next_step)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        result.pop("invocation", None)
        if result.get("failed") and result.get("next_step"):
            result["msg"] = f"{result['msg']} - next: {result['next_step']}"
        return result
