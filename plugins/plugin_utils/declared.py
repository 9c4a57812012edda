# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of a module on the engine of HTTP APIs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils.kube.spec import pack
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved
from ansible_collections.banking.platform.plugins.plugin_utils.plain_secrets import plain_fields

display = Display()


def run(
    action: ActionBase, module: str, declared: Iterable[str], secrets: Iterable[str], variables: dict[str, Any]
) -> dict[str, Any]:
    """Hand what is declared to one module run, as one value that is masked and never logged.

    Args:
        action: the action plugin.
        module: name of the module.
        declared: the options that declare something.
        secrets: names of fields that hold secrets, which are warned of when they stand in plain text.
        variables: of the task.
    """
    given, options, result = action._task.args, tuple(declared), dict[str, Any]()
    try:
        for field, place in plain_fields([given.get(name) for name in options], secrets):
            display.warning(
                f"{module}: {field} stands in plain text in {place}: "
                "encrypt it (ansible-vault encrypt_string), or refer to it (lookup banking.platform.secret)"
            )
        arguments = {name: value for name, value in given.items() if name not in options}
        arguments["packed"] = pack([{name: given[name] for name in options if name in given}])
        held = approved.steps(action, variables)
        if held is not None:
            arguments["approved"] = held
        name = f"banking.platform.{module}"
        result.update(action._execute_module(module_name=name, module_args=arguments, task_vars=variables))
    except Failure as failure:
        result.update(failed=True, msg=failure.cause, next_step=failure.next_step)
    finally:
        action._remove_tmp_path(action._connection._shell.tmpdir)
    result.pop("invocation", None)
    if result.get("failed") and result.get("next_step"):
        result["msg"] = f"{result['msg']} - next: {result['next_step']}"
    return result
