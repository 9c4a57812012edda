# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of `k8s_apply`: from its options to its result, wherever it runs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Unreachable, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.hand_over import HandOver
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import Report
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure

# Shorter ones are words like "true", whose masking would make every message unreadable.
_SHORTEST_SECRET = 6


def secret_values(objects: list[dict[str, Any]]) -> set[str]:
    """The values of all Secrets, as they might stand in an error message."""
    found: set[str] = set()
    for item in objects:
        if item.get("kind") != "Secret":
            continue
        for value in (item.get("data") or {}).values():
            found.add(str(value))
            try:
                found.add(base64.b64decode(str(value), validate=True).decode())
            except ValueError:
                pass
        found.update(str(value) for value in (item.get("stringData") or {}).values())
    return {value for value in found if len(value) >= _SHORTEST_SECRET}


def comparable(approved: dict[str, Any]) -> dict[str, Any]:
    """An approved plan with one mask for all secret values: those of another run differ from ours."""
    text = re.sub(r'"secret:[0-9a-f]{8}"', json.dumps(MASK), json.dumps(approved))
    return dict(json.loads(text))


def run(
    params: dict[str, Any], check: bool, with_diff: bool, report: Report | None = None
) -> tuple[Apply, list[str], Failure | None]:
    """Do what the options say.

    Returns:
        The run, warnings, and what it failed of.
    """
    wish = Wish(
        component=params["component"],
        objects=params["objects"],
        state=params["state"],
        **{
            name: params[name]
            for name in (
                "wait",
                "timeout",
                "wait_slice",
                "prune",
                "prune_protected",
                "take_over",
                "take_over_from",
                "hand_over_to",
                "create_only",
            )
        },
        inventory_namespace=params["inventory_namespace"],
    )
    kind = HandOver if params["state"] == "handed_over" else Apply
    applying = kind(None, wish, check, with_diff)
    try:
        try:
            client = Client(connector(params), retry_for=min(params["retry_for"], params["timeout"]))
            if params["unless"] and not params["waiting"] and client.find(params["unless"]):
                applying.left = True
                return applying, [], None
            if params["approved"] is not None and not params["waiting"]:
                planned = kind(client, wish, check=True)
                planned.run()
                planned.plan.hold_to(comparable(params["approved"]))
            applying = kind(client, wish, check, with_diff, report=report)
            if params["waiting"] or params["state"] == "ready":
                applying.only_wait()
            else:
                applying.run()
        except Unreachable as failure:
            if not check:
                raise
            # In check mode before the first install there is no cluster yet: everything is to be made.
            applying = kind(None, wish, check, with_diff)
            applying.run()
            return applying, [f"planned against an empty cluster: {failure.cause}"], None
    except Failure as failure:
        return applying, [], failure
    return applying, [], None


def execute(
    options: Mapping[str, Any], check: bool, with_diff: bool, report: Report | None = None
) -> tuple[dict[str, Any], set[str]]:
    """Do what the options say, and tell it as a module's result.

    Args:
        options: of k8s_apply, checked and complete.
        check: whether to plan only.
        with_diff: whether to show differences.
        report: is told now and then what is waited for, and for how many seconds more.

    Returns:
        The result, with failed and warnings, and values that must not be seen in it.
    """
    params = dict(options)
    if params["packed"]:
        params["objects"] = spec.unpack(params["packed"])
        params["packed"] = None
    try:
        applying, warnings, failure = run(params, check, with_diff, report)
    except Failure as early:
        told = {"failed": True, "msg": early.cause, "next_step": early.next_step, "warnings": []}
        return told, secret_values(params["objects"])
    result = {**applying.result(), "failed": failure is not None, "warnings": warnings}
    if failure is None:
        return result, set()
    result.update(msg=failure.cause, next_step=failure.next_step)
    # What was only planned has changed nothing.
    result["changed"] = applying.plan.begun and any(step.state == "done" for step in applying.plan.steps)
    # The plan is masked by itself; what a server says of a refused object may hold anything of it.
    return result, secret_values(params["objects"])
