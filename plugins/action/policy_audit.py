# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove that nothing in the cluster violates a policy that is about to be enforced, by Gatekeeper's own audit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, NotFound, Unreachable
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import REPORT_EVERY
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery
from ansible_collections.banking.platform.plugins.plugin_utils.kube import client_of

_GROUP = "/apis/constraints.gatekeeper.sh/v1beta1"
_MOST_NAMED = 20
_POLL = 5  # seconds

display = Display()


class ActionModule(ActionBase):
    """The whole of `banking.platform.policy_audit`; it changes nothing."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look at the constraints that only watch so far, and at what their audit has found."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(
            {
                "constraints": {"type": "list", "elements": "str", "required": True},
                "accept": {"type": "bool", "default": False},
                "timeout": {"type": "float", "default": 600},
            }
        )
        result |= {"changed": False, "violations": []}
        try:
            delivery = Delivery(self._templar, variables)
            if delivery.way == "render":
                return result | {"skipped": True, "msg": "a tree is rendered, and no cluster asked"}
            client = client_of(delivery.connection)
            result["violations"] = self._violations(client, set(arguments["constraints"]), arguments["timeout"])
        except Unreachable as failure:
            if self._task.check_mode:
                return result | {"skipped": True, "msg": f"deferred: cluster: {failure.cause}"}
            return result | {"failed": True, "msg": str(failure)}
        except (Failure, AnsibleError, catalog.CatalogError) as error:
            return result | {"failed": True, "msg": str(error), "next_step": getattr(error, "next_step", "")}
        if result["violations"]:
            said = _said(result["violations"])
            if arguments["accept"]:
                return result | {"warnings": [f"enforced all the same: {said}"]}
            step = "correct them, or exempt them with a reason (gatekeeper_exemptions, docs/gatekeeper.md)"
            return result | {"failed": True, "msg": f"{said} - next: {step}", "next_step": step}
        return result

    def _violations(self, client: Client, names: Collection[str], timeout: float) -> list[dict[str, str]]:
        """What violates a constraint that is not enforced yet, once the audit has looked at it."""
        deadline = time.monotonic() + timeout
        said = 0.0
        while True:
            watching = [item for item in _constraints(client) if item["metadata"]["name"] in names and _watches(item)]
            unseen = [item for item in watching if not (item.get("status") or {}).get("auditTimestamp")]
            left = deadline - time.monotonic()
            if not unseen or self._task.check_mode:
                return [found for item in watching for found in _found(item)]
            if left < 0:
                raise Failure(
                    f"Gatekeeper's audit has not looked at {unseen[0]['kind']} {unseen[0]['metadata']['name']}",
                    "look at the log of gatekeeper-audit in gatekeeper-system",
                )
            if timeout - left >= said:
                said = timeout - left + REPORT_EVERY
                display.display(f"waiting for the audit of {len(unseen)} constraint(s), {left:.0f} s left")
            time.sleep(_POLL)


def _constraints(client: Client) -> Iterator[dict[str, Any]]:
    """All constraints of the cluster, each with its kind."""
    try:
        known = client.get(_GROUP)
    except NotFound:
        return
    for resource in known.get("resources") or ():
        if "/" not in resource["name"]:
            for item in client.list(f"{_GROUP}/{resource['name']}"):
                yield {**item, "kind": resource["kind"]}


def _watches(item: Mapping[str, Any]) -> bool:
    return bool((item.get("spec") or {}).get("enforcementAction") != "deny")


def _found(item: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What the audit has written down, and a word on what it has not: it keeps some of each constraint."""
    status = item.get("status") or {}
    name = item["metadata"]["name"]
    listed = status.get("violations") or []
    for violation in listed:
        where = "/".join(part for part in (violation.get("namespace"), violation.get("name")) if part)
        yield {
            "constraint": name,
            "object": f"{violation.get('kind')} {where}",
            "message": violation.get("message", ""),
        }
    more = int(status.get("totalViolations") or 0) - len(listed)
    if more > 0:
        yield {"constraint": name, "object": f"{more} more", "message": "the audit keeps no more of them"}


def _said(violations: list[dict[str, str]]) -> str:
    lines = [f"  {item['object']}: [{item['constraint']}] {item['message']}" for item in violations[:_MOST_NAMED]]
    more = len(violations) - _MOST_NAMED
    return "\n".join(
        [
            f"{len(violations)} violation(s) of policies that are about to be enforced:",
            *lines,
            *([f"  and {more} more"] if more > 0 else []),
        ]
    )
