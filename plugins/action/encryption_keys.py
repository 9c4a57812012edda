# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move the rotation of an encryption key one step on, in the list on the controller."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import rotation
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Store, new_key, store_of


class ActionModule(ActionBase):
    """All of `banking.platform.encryption_keys`: nothing of it runs on a node."""

    _supports_check_mode = True
    _supports_async = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Plan and apply; a failure says what to do next."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        plan = Plan()
        try:
            _validation, asked = self.validate_argument_spec(
                {
                    "name": {"type": "str", "required": True},
                    "state": {"type": "str", "choices": list(rotation.STATES), "required": True},
                    "loaded": {"type": "dict", "required": True},
                }
            )
            keys = self._plan(plan, store_of(self, variables), asked)
            if not self._task.check_mode:
                plan.apply()
            result.update(plan.result(), keys=keys)
        except (Failure, AnsibleError) as error:
            next_step = getattr(error, "next_step", "")
            result.update(plan.result(), failed=True, next_step=next_step)
            result["changed"] = plan.begun and plan.changed
            result["msg"] = f"encryption_keys: {getattr(error, 'cause', error)}" + (
                f" - next: {next_step}" if next_step else ""
            )
        return result

    @staticmethod
    def _plan(plan: Plan, store: Store, asked: dict[str, Any]) -> list[str]:
        name = asked["name"]
        now = store.keys(name)
        wanted = rotation.change(asked["state"], now, asked["loaded"], new_key)
        names = [[key["name"] for key in keys] for keys in (now, wanted)]
        step = plan.add(Step("keys", name))
        if names[0] != names[1]:
            store.refuse_tracked()
            step.action, step.before, step.after = "update", {"keys": names[0]}, {"keys": names[1]}
            step.apply = lambda: store.rewrite_keys(name, wanted)
        return names[1]
