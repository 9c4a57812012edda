# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the lock of a run in the name of this ansible-playbook process, and judge whether another holder still lives."""

from __future__ import annotations

import getpass
import os
import platform
import time
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.plugin_utils.run_lock import started, this_run

_MODULE = "banking.platform.run_lock"


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.run_lock`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for the lock; ask again where its holder is dead or is to lose it."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, arguments = self.validate_argument_spec(
            {
                "state": {"type": "str", "choices": ["held", "free"], "default": "held"},
                "break": {"type": "bool", "default": False},
                "run": {"type": "str"},
            }
        )
        arguments["run"] = arguments["run"] or this_run()
        arguments["holder"] = me(arguments["run"])
        said = self._ask(arguments, task_vars)
        other = said.get("held_by")
        if said.get("failed") or said.get("unreachable") or arguments["state"] == "free":
            return result | said
        if self._task.check_mode:
            if other and other["run"] != arguments["run"]:
                said["warnings"] = [f"the platform is locked by {told(other)}"]
            return result | said
        warnings = []
        if other and (arguments["break"] or is_dead(other)):
            how = "broken" if arguments["break"] else "taken over: its process is no more"
            warnings = [f"the lock of {told(other)} was {how}"]
            said = self._ask(arguments | {"instead_of": other["run"]}, task_vars)
            other = said.get("held_by")
        if said.get("failed"):
            return result | said
        if other:
            next_step = "wait for it; if it is no more, take its lock: run again with -e platform_break_lock=true"
            return result | {
                "failed": True,
                "msg": f"the platform is locked by {told(other)} - next: {next_step}",
                "next_step": next_step,
                "held_by": other,
            }
        where = self._task.delegate_to or (task_vars or {}).get("inventory_hostname")
        held = {"changed": False, "held_by": arguments["holder"], "lock": {"host": where, "run": arguments["run"]}}
        return result | held | ({"warnings": warnings} if warnings else {})

    def _ask(self, arguments: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=_MODULE, module_args=dict(arguments), task_vars=task_vars
        )
        return answer


def me(run: str) -> dict[str, Any]:
    """What the lock says of this run."""
    playbook = next(iter(context.CLIARGS.get("args") or ()), "")
    return {
        "run": run,
        "user": os.environ.get("AWX_USER_NAME") or getpass.getuser(),
        "controller": platform.node(),
        "playbook": os.path.basename(str(playbook)),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def told(holder: Mapping[str, Any]) -> str:
    """A holder in words."""
    known = {key: holder.get(key, "somebody") for key in ("playbook", "user", "controller", "since", "run")}
    return "{playbook} of {user} on {controller} since {since} ({run})".format(**known)


def is_dead(holder: Mapping[str, Any]) -> bool:
    """Whether a holder was a process of this controller and is no more."""
    controller, _slash, process = str(holder["run"]).rpartition("/")[0].rpartition("/")
    if controller != platform.node() or not process.isdigit():
        return False
    return started(int(process)) != str(holder["run"]).rpartition("/")[2]
