# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold a run against the plan that was approved for it. Connects to no host and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approval, record

# Where the callback `banking.platform.record` writes the events of this run.
EVENTS = "_PLATFORM_RECORD_EVENTS"


class ActionModule(ActionBase):
    """The whole of `banking.platform.approved_plan`."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Fail with everything that is not as it was approved."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec({"hosts": {"type": "list", "elements": "str"}})
        result.update(changed=False, differences=[])
        try:
            self._hold(arguments["hosts"] or variables["ansible_play_hosts_all"], variables, result)
        except Failure as failure:
            result.update(failed=True, msg=f"{failure.cause} - next: {failure.next_step}", next_step=failure.next_step)
        return result

    def _hold(self, hosts: list[str], variables: dict[str, Any], result: dict[str, Any]) -> None:
        value = approval.variable_of(self, variables)
        path = approval.asked_for(value)
        if not path:
            return
        run = approval.load_valid(path, value, self._loader)
        if missing := [host for host in hosts if host not in approval.hosts(run)]:
            raise approval.silent_about(path, missing)
        result["warnings"] = approval.doubts(run)
        for host in hosts:
            result["differences"] += self._differences(run, self._of_this_play(), host)
        if result["differences"]:
            raise Failure(
                f"this is not what {path} approves, and nothing of it was done:\n  "
                + "\n  ".join(result["differences"])
                + "\n",
                f"find out why; then {approval.AGAIN}",
            )

    @staticmethod
    def _of_this_play() -> dict[str, Any]:
        """The record of this run, as far as the play goes in which this task is."""
        path = os.environ.get(EVENTS)
        if not path:
            raise Failure(
                "no record of this run is kept, so that its tasks cannot be compared with the approved plan",
                "add banking.platform.record to callbacks_enabled",
            )
        run = record.fold(record.read_events(Path(path)))
        last = len(run["plays"]) - 1
        return {"tasks": [task for task in run["tasks"] if task["play"] == last]}

    @staticmethod
    def _differences(approved: dict[str, Any], run: dict[str, Any], host: str) -> list[str]:
        """Tasks that are no reconcilers and would change what was not approved, or would not change what was."""
        then = approval.changes_of_others(approved, host)
        found = []
        for (role, name), changes in approval.changes_of_others(run, host).items():
            if changes != then.get((role, name), False):
                task = f"{host}: {role + ': ' if role else ''}{name}"
                found.append(
                    f"{task}: would change something, which was not approved"
                    if changes
                    else f"{task}: was approved to change something, and would not any more"
                )
        return found
