# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that a run is held to: the record of an earlier run with --check, which somebody has approved."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import record
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import inventory_name

MAX_AGE = 24.0  # hours that a plan holds, unless platform_plan_max_age says otherwise
_NAME = "name run.json of a run with --check"
_AGAIN = "make a new one with --check and have it approved"


def load(path: str, max_age: float = MAX_AGE, now: float | None = None) -> dict[str, Any]:
    """Read a plan and see that it may still be applied.

    Args:
        path: of run.json, or of the folder of the run.
        max_age: hours.
        now: seconds of the epoch; the present by default.

    Raises:
        Failure: when it is no plan, not a whole one, of another inventory, or too old.
    """
    file = Path(path)
    file = file / record.FILES[1] if file.is_dir() else file
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        check, outcome, cut, ended, inventory = (run[key] for key in ("check", "outcome", "cut", "ended", "inventory"))
        tasks = [(task["role"], task["name"], task["results"]) for task in run["tasks"]]
        age = ((time.time() if now is None else now) - ended) / 3600
        schema = run["schema"]
    except OSError as error:
        raise Failure(f"platform_plan: {file} cannot be read: {error.strerror}", _NAME) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(f"platform_plan: {file} is no record of a run: {error!r}", _NAME) from error
    why = ""
    if schema != record.SCHEMA:
        why = f"has schema {schema}, and this release reads {record.SCHEMA}"
    elif not check:
        why = "is the record of a run that changed things, not of one with --check"
    elif outcome != "ok":
        why = f"is the record of a run that {outcome}: it does not say everything"
    elif cut:
        why = "is not whole: the plans of that run were too large for its record"
    elif inventory != inventory_name(context.CLIARGS):
        why = f"was made for the inventory {inventory}"
    elif not 0 <= age <= max_age:
        why = f"is {age:.1f} hours old, and plans hold {max_age:g} hours"
    if why:
        raise Failure(f"platform_plan: {file} {why}", _AGAIN)
    return {"file": str(file), "tasks": tasks}


def steps(action: ActionBase, variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """The approved steps of a reconciler's task on a host; None when no plan was approved, or nothing is to be changed.

    Args:
        action: the reconciler's action plugin, with its task.
        variables: of task and host; `platform_plan` names the plan, `platform_plan_max_age` how many hours it holds.

    Returns:
        What `Plan.hold_to` takes.

    Raises:
        Failure: when the plan may not be applied, or says nothing of this task and host.
    """
    task = action._task
    if task.check_mode or not variables.get("platform_plan"):
        return None
    path, max_age = (action._templar.template(variables.get(f"platform_plan{key}")) for key in ("", "_max_age"))
    plan = load(str(path), float(max_age or MAX_AGE))
    role, name = record.task_names(task)
    host = variables["inventory_hostname"]
    results, waiting = [], False
    for its_role, its_name, its_results in plan["tasks"]:
        ours = [result for result in its_results if result["host"] == host]
        if (its_role, its_name) == (role, name):
            results += ours
        elif not results:
            # What is no reconciler (a package manager, say) shows no steps: what it brings is known when it is there.
            waiting = waiting or any(result["status"] == "changed" and not result.get("plan") for result in ours)
    if not results:
        raise Failure(
            f"the approved plan {plan['file']} does not have this task for this host",
            "plan with the same tags and --limit",
        )
    found = [step for result in results for step in result.get("plan") or ()]
    return {"steps": found, "waiting": waiting or any(step.get("deferred") for step in found)}
