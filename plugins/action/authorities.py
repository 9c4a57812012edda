# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the certificate authorities that are missing on the controller, unless hosts already trust one of that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import BOOTSTRAP, Store, store_of


class ActionModule(ActionBase):
    """All of `banking.platform.authorities`: nothing of it runs on a node."""

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
                    "names": {"type": "list", "elements": "str", "default": []},
                    "key_pairs": {"type": "list", "elements": "str", "default": [], "no_log": False},
                    "key_lists": {"type": "list", "elements": "str", "default": [], "no_log": False},
                    "in_use": {"type": "dict", "default": {}},
                    "organization": {"type": "str", "required": True},
                    "days": {"type": "int", "default": 3650},
                }
            )
            self._plan(plan, store_of(self, variables), asked)
            if not self._task.check_mode:
                plan.apply()
            result.update(plan.result())
        except (Failure, AnsibleError) as error:
            next_step = getattr(error, "next_step", "")
            result.update(plan.result(), failed=True, next_step=next_step)
            result["changed"] = plan.begun and plan.changed
            result["msg"] = f"authorities: {getattr(error, 'cause', error)}" + (
                f" - next: {next_step}" if next_step else ""
            )
        return result

    def _plan(self, plan: Plan, store: Store, asked: Mapping[str, Any]) -> None:
        # The bootstrap authority signs the others, so it comes first.
        for name in sorted(asked["names"], key=lambda name: (name != BOOTSTRAP, name)):
            step = plan.add(Step("authority", name))
            if store.has(name):
                store.authority(name)
                continue
            self._refuse_lost(store, name, [host for host, has in asked["in_use"].items() if name in has])
            step.action, step.after = "create", {"folder": str(store.folder), "days": asked["days"]}
            step.apply = lambda name=name: store.create(name, asked["organization"], asked["days"])
        for name in sorted(asked["key_pairs"]):
            step = plan.add(Step("key pair", name))
            if store.has(name):
                store.public_key(name)
                continue
            self._refuse_lost(store, name, [host for host, has in asked["in_use"].items() if name in has])
            step.action, step.after = "create", {"folder": str(store.folder)}
            step.apply = lambda name=name: store.create_pair(name)
        for name in sorted(asked["key_lists"]):
            step = plan.add(Step("keys", name))
            if store.has(name):
                store.keys(name)
                continue
            self._refuse_lost(store, name, [host for host, has in asked["in_use"].items() if name in has])
            step.action, step.after = "create", {"folder": str(store.folder)}
            step.apply = lambda name=name: store.create_keys(name)
        if plan.changed:
            store.refuse_tracked()
            # Before anything is written, and in check mode too: whether there is something to encrypt with.
            store.keyring.ready()

    @staticmethod
    def _refuse_lost(store: Store, name: str, hosts: Sequence[str]) -> None:
        if hosts:
            raise Failure(
                f"{name} is not in {store.folder}, but {', '.join(hosts)} already trust one of this name",
                "correct platform_ca_dir or bring the folder back from its backup; a new one would cut these hosts off",
            )
