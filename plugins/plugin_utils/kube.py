# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply objects from an action plugin: one run of k8s_apply, and while it waits, a word now and then."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import REPORT_EVERY, Report

_MODULE = "banking.platform.k8s_apply"
_MOST_NAMED = 3

display = Display()


def client_of(connection: Mapping[str, Any], retry_for: float = 60) -> Client:
    """A client in this process, for a look at an object or two.

    Args:
        connection: options of k8s_apply.
        retry_for: seconds that a request is tried again.
    """
    return Client(connector(connection), retry_for=retry_for)


def apply_objects(action: ActionBase, arguments: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
    """Run `k8s_apply` with its objects packed, so that they are neither logged nor given back.

    Args:
        action: the action plugin that needs it.
        arguments: options of k8s_apply, objects among them.
        variables: the task's variables.

    Returns:
        The module's result.
    """
    timeout = float(arguments.get("timeout") or spec.APPLY["timeout"]["default"])
    deadline = time.monotonic() + timeout
    packed = {
        **arguments,
        "objects": [],
        "packed": spec.pack(list(arguments.get("objects") or ())),
        "timeout": timeout,
    }

    def report(pending: Sequence[str], left: float) -> None:
        more = f" and {len(pending) - _MOST_NAMED} more" if len(pending) > _MOST_NAMED else ""
        display.display(
            f"{arguments['component']}: waiting for {len(pending)} object(s), {left:.0f} s left: "
            + "; ".join(pending[:_MOST_NAMED])
            + more
        )

    if _is_here(action, variables):
        return _here(action, packed, report)
    # A module cannot say anything before it ends: it is asked again, until nothing is waited for.
    packed["wait_slice"] = REPORT_EVERY
    result = dict(action._execute_module(module_name=_MODULE, module_args=packed, task_vars=variables))
    pending = result.pop("pending", None)
    while pending:
        left = max(0.0, deadline - time.monotonic())
        report(pending, left)
        again = {**packed, "waiting": True, "timeout": left}
        waited = action._execute_module(module_name=_MODULE, module_args=again, task_vars=variables)
        pending = waited.pop("pending", None)
        if waited.get("failed"):
            result.update({key: waited[key] for key in ("failed", "msg", "next_step", "exception") if key in waited})
    result.pop("invocation", None)
    return result


def _here(action: ActionBase, options: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Run k8s_apply in this process."""
    # JSON types, as a module gets them.
    checked = ArgumentSpecValidator(spec.APPLY).validate(json.loads(json.dumps(options)))
    if checked.error_messages:
        return {"failed": True, "msg": "; ".join(checked.error_messages)}
    task = action._task
    result, secrets = execute.execute(checked.validated_parameters, bool(task.check_mode), bool(task.diff), report)
    result.pop("pending", None)
    return dict(remove_values(result, checked._no_log_values | secrets))


def _is_here(action: ActionBase, variables: Mapping[str, Any]) -> bool:
    """Whether the module would run beside this process, with the same Python.

    Then it need not be a module, which is packed, sent and compiled anew for each task: that takes longer than a
    converged run of 300 objects.
    """
    task, connection = action._task, action._connection
    if connection.transport != "local" or connection.become or any(task.environment or ()):
        return False
    known = variables
    if task.delegate_to:
        known = variables.get("ansible_delegated_vars", {}).get(task.delegate_to, {})
    return bool(action._templar.template(known.get("ansible_python_interpreter")) == sys.executable)
