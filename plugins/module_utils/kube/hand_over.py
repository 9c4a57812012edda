# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give the objects of a component to another field manager, without changing anything of them.

Who owns a field is written in the object's own `managedFields`, and may be changed there by whoever may change the
object (https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership). What we owned is the
other's from then on: it conflicts with nobody when it applies, and what it leaves out is gone.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Item, joined
from ansible_collections.banking.platform.plugins.module_utils.kube.client import FIELD_MANAGER, Conflict
from ansible_collections.banking.platform.plugins.module_utils.kube.discovery import Discovery, Resource
from ansible_collections.banking.platform.plugins.module_utils.kube.inventory import Inventory
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, PlanFailed

_TRIES = 5


class HandOver(Apply):
    """One run: read what there is of the listed objects, and give those away of which we own anything."""

    def run(self) -> None:
        """Do all of it. An object that is not there, or that is only created, is left.

        Raises:
            Failure: with what was done, failed and not done in the plan's steps.
        """
        for item in self._items:
            self.plan.add(item.step)
        if self._given is None:
            for item in self._items:
                if not item.create_only:
                    item.step.action, item.step.deferred = "update", "cluster"
            return
        self._discovery = Discovery(self._client)
        self._inventory = Inventory(self._client, self._wish.component, self._wish.inventory_namespace)
        # What was never applied by us is nobody's to hand over, and costs one request.
        todo = self._owned() if self._inventory.kinds else []
        for item in todo:
            self._describe(item)
        self.plan.begun = not self._check
        outcomes = self._client.each(self._hand_over, todo)
        failures = {
            item.reference: outcome
            for item, outcome in zip(todo, outcomes, strict=True)
            if isinstance(outcome, Failure)
        }
        if failures:
            for item in todo:
                item.step.state = "failed" if item.reference in failures else "done"
            raise PlanFailed(*joined(failures))

    def _owned(self) -> list[Item]:
        """The listed objects of which we own something."""
        wanted: dict[Resource, dict[tuple[str, str], Item]] = {}
        for item in self._items:
            item.known = self._discovery.resource(item.wanted["apiVersion"], item.wanted["kind"])
            if item.known and not item.create_only:
                namespace = item.namespace if item.known.namespaced else ""
                wanted.setdefault(item.known, {})[namespace, item.name] = item
        found = []
        for outcome in self._client.each(lambda kind: self._owned_of(kind, wanted[kind]), wanted):
            if isinstance(outcome, Failure):
                raise outcome
            found += outcome
        return found

    def _owned_of(self, resource: Resource, items: dict[tuple[str, str], Item]) -> list[Item]:
        label = f"{fields.COMPONENT}={self._wish.component}"
        namespaces = {namespace for namespace, _name in items}
        found = []
        for live in self._list(resource, namespaces, label, metadata_only=True):
            meta = live["metadata"]
            item = items.get((meta.get("namespace", ""), meta["name"]))
            if item and not meta.get("deletionTimestamp") and self._given_away(live):
                item.live = live
                found.append(item)
        return found

    def _given_away(self, live: dict[str, Any]) -> list[dict[str, Any]] | None:
        return fields.handed_over(live, self._wish.hand_over_to)

    def _describe(self, item: Item) -> None:
        step = item.step
        step.action = "update"
        step.before, step.after = {"manager": FIELD_MANAGER}, {"manager": self._wish.hand_over_to}
        step.note = "handed over, not changed"
        if self._with_diff:
            step.diff = fields.diff(f"{step.kind} {step.target}: who owns its fields", step.before, step.after)

    def _hand_over(self, item: Item) -> None:
        live, item.live = item.live, None
        for attempt in range(_TRIES):
            entries = self._given_away(live) if live else None
            if not live or entries is None:
                return  # gone, or somebody else's meanwhile
            try:
                self._client.json_patch(
                    item.path,
                    [
                        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
                        # Refused when the object has changed since it was read.
                        {"op": "replace", "path": "/metadata/resourceVersion", "value": _version(live)},
                    ],
                    dry_run=self._check,
                )
                return
            except Conflict:
                if attempt == _TRIES - 1:
                    raise
                live = self._client.find(item.path)


def _version(live: dict[str, Any]) -> str:
    return str(live["metadata"].get("resourceVersion", ""))
