# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have packages installed: dpkg says which are missing, and ansible.builtin.apt installs those."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from ansible.plugins.action import ActionBase

_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
# Seconds after which lists of packages are fetched anew.
_LISTS_VALID = 86400


class ActionModule(ActionBase):
    """All of `banking.platform.packages`.

    Nearly always nothing is missing. Then apt, which opens its cache of all packages there are, need not run: one
    command without a module takes a tenth of its time on each node.
    """

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Install what is missing, in check mode by apt's own dry run."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, asked = self.validate_argument_spec(
            {
                "name": {"type": "list", "elements": "str", "required": True},
                "recommends": {"type": "bool"},
                "update_cache": {"type": "bool", "default": False},
            }
        )
        names = list(dict.fromkeys(asked["name"]))
        strange = [name for name in names if not _NAME.fullmatch(name)]
        if strange:
            return result | {"failed": True, "msg": f"{', '.join(strange)}: no names of Debian packages"}
        missing = self._missing(names)
        if not missing:
            return result | {"changed": False, "missing": []}
        lists: dict[str, Any] = {"auto_install_module_deps": False}
        if asked["update_cache"]:
            lists |= {"update_cache": True, "cache_valid_time": _LISTS_VALID}
        if asked["update_cache"] and self._task.check_mode:
            # A node that is new has no lists, and without them every package is unknown.
            self._task.check_mode = False
            try:
                fetched = self._apt(lists, missing, variables)
            finally:
                self._task.check_mode = True
            if fetched.get("failed"):
                return result | fetched
        wanted = {"name": missing, "state": "present"}
        if asked["recommends"] is not None:
            wanted["install_recommends"] = asked["recommends"]
        return result | self._apt({**lists, **wanted}, missing, variables) | {"missing": missing}

    def _missing(self, names: Sequence[str]) -> list[str]:
        """Those of which dpkg does not say that they are installed; a name that nothing has is missing."""
        listed = " ".join(shlex.quote(name) for name in names)
        said = self._low_level_execute_command(
            "dpkg-query --show --showformat='${db:Status-Abbrev}:${Package}\\n' -- " + listed
        )
        states = (line.partition(":") for line in str(said.get("stdout", "")).splitlines())
        installed = {name.strip() for state, _colon, name in states if state[1:2] == "i"}
        return [name for name in names if name not in installed]

    def _apt(self, arguments: dict[str, Any], missing: Sequence[str], variables: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module("ansible.builtin.apt", module_args=arguments, task_vars=variables)
        done.pop("invocation", None)
        if done.get("failed"):
            host = variables.get("inventory_hostname", "")
            done["msg"] = (
                f"packages on {host}: {', '.join(missing)} cannot be installed: {done.get('msg', '')} - next: see "
                "whether the node's sources of packages have them (apt-cache policy), and run again"
            )
        return done
