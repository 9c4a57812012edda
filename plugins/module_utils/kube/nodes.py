# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels and taints of nodes, as the inventory has them.

Others put labels and taints on nodes too (the kubelet, controllers, `kubectl cordon`). An annotation on each node says
which ones are ours: only these are taken away when the inventory no longer has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Conflict, Unreachable, escape
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

ANNOTATION = "banking.platform/from-inventory"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PATH = "/api/v1/nodes"
_ATTEMPTS = 5


@dataclass(frozen=True)
class Wish:
    """What a node is to have.

    Attributes:
        name: the node's name.
        labels: values by key.
        taints: each `{key, value, effect}`; the value may be left out.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()

    def __post_init__(self) -> None:
        for taint in self.taints:
            if not taint.get("key") or taint.get("effect") not in _EFFECTS:
                raise Failure(
                    f"node {self.name}: the taint {dict(taint)} has no key, or another effect than {_EFFECTS}",
                    "correct it in kubernetes_pools",
                )


class Nodes:
    """One run over some nodes of a cluster.

    Args:
        client: the API server.
        wishes: what these nodes are to have; nodes beside them are left alone.
        check: whether to change nothing.
    """

    def __init__(self, client: Client, wishes: Sequence[Wish], check: bool = False) -> None:
        self._client, self._wishes, self._check = client, wishes, check
        self.plan = Plan()

    def run(self) -> None:
        """Do it: one list of all nodes, one patch for each node that differs.

        Raises:
            Failure: when nodes are not in the cluster, before anything is changed; or the server refuses.
        """
        live = {node["metadata"]["name"]: node for node in self._found()}
        absent = [wish.name for wish in self._wishes if wish.name not in live]
        if absent and not self._check:
            raise Failure(
                f"{', '.join(absent)}: not in the cluster, whose nodes are {', '.join(sorted(live)) or 'none'}",
                "bring them in with playbooks/cluster.yml, or take them out of the inventory",
            )
        for wish in self._wishes:
            self._add(wish, live.get(wish.name))
        if self._check:
            for step in self.plan.steps:
                if step.changes and not step.deferred:
                    self._patch(step.target, live[step.target], dry_run=True)
            return
        self.plan.apply()

    def _found(self) -> list[dict[str, Any]]:
        try:
            return list(self._client.list(_PATH))
        except Unreachable:
            if self._check:
                return []  # before the first install there is no cluster
            raise

    def _add(self, wish: Wish, node: Mapping[str, Any] | None) -> None:
        if node is None:
            wanted = {"labels": dict(wish.labels), "taints": [_shown(taint) for taint in wish.taints]}
            self.plan.add(Step("node", wish.name, "update", after=wanted, deferred="the node in the cluster"))
            return
        now, then = _state(node), _state(_changed(wish, node))
        step = self.plan.add(Step("node", wish.name))
        if _patch_of(wish, node):
            step.action = "update"
            step.before = {key: value for key, value in now.items() if value != then[key]}
            step.after = {key: value for key, value in then.items() if value != now[key]}
            step.apply = lambda: self._patch(wish.name, node)

    def _patch(self, name: str, node: Mapping[str, Any], dry_run: bool = False) -> None:
        """Change a node; again from what is there now, when somebody else changed it in between."""
        wish = next(wish for wish in self._wishes if wish.name == name)
        path = f"{_PATH}/{escape(name)}"
        for attempt in range(_ATTEMPTS):
            body = _patch_of(wish, node)
            if not body:
                return
            try:
                self._client.patch(path, body, dry_run=dry_run)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                node = self._client.get(path)
            else:
                return


def _owned(node: Mapping[str, Any]) -> dict[str, list[str]]:
    """What of a node was put there by an earlier run: keys of labels, and taints as `key:effect`."""
    text = (node["metadata"].get("annotations") or {}).get(ANNOTATION) or "{}"
    try:
        read = json.loads(text)
        return {part: [str(name) for name in read.get(part, [])] for part in ("labels", "taints")}
    except (ValueError, AttributeError, TypeError):
        return {"labels": [], "taints": []}


def _identity(taint: Mapping[str, Any]) -> str:
    return f"{taint['key']}:{taint['effect']}"


def _shown(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _changed(wish: Wish, node: Mapping[str, Any]) -> dict[str, Any]:
    """The node as it should be: metadata.labels, metadata.annotations and spec.taints."""
    owned = _owned(node)
    meta = node["metadata"]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key not in owned["labels"]}
    ours = {_identity(taint) for taint in wish.taints} | set(owned["taints"])
    taints = [taint for taint in (node.get("spec") or {}).get("taints") or [] if _identity(taint) not in ours]
    kept = {_identity(taint): taint for taint in (node.get("spec") or {}).get("taints") or []}
    for taint in wish.taints:
        wanted = {key: str(taint[key]) for key in ("key", "value", "effect") if taint.get(key)}
        there = kept.get(_identity(taint), {})
        same = all(there.get(key) == wanted.get(key) for key in ("key", "value", "effect"))
        taints.append(dict(there) if same else wanted)
    record = {"labels": sorted(wish.labels), "taints": sorted(_identity(taint) for taint in wish.taints)}
    return {
        "metadata": {
            "labels": {**labels, **wish.labels},
            "annotations": {**(meta.get("annotations") or {}), ANNOTATION: json.dumps(record, sort_keys=True)},
        },
        "spec": {"taints": sorted(taints, key=_identity)},
    }


def _state(node: Mapping[str, Any]) -> dict[str, Any]:
    """Labels and taints for the reader of a plan."""
    return {
        "labels": dict(sorted((node["metadata"].get("labels") or {}).items())),
        "taints": sorted(_shown(taint) for taint in (node.get("spec") or {}).get("taints") or []),
    }


def _patch_of(wish: Wish, node: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that makes a node as it should be; empty when it is."""
    wanted = _changed(wish, node)
    meta = node["metadata"]
    changes: dict[str, Any] = {}
    for part in ("labels", "annotations"):
        before, after = meta.get(part) or {}, wanted["metadata"][part]
        difference = {key: after.get(key) for key in {*before, *after} if before.get(key) != after.get(key)}
        if difference:
            changes.setdefault("metadata", {})[part] = difference
    before = sorted((node.get("spec") or {}).get("taints") or [], key=_identity)
    if before != wanted["spec"]["taints"]:
        changes["spec"] = {"taints": wanted["spec"]["taints"]}
    if changes:
        # The list of taints is replaced as a whole: what another one has put there meanwhile must not be lost.
        changes.setdefault("metadata", {})["resourceVersion"] = meta["resourceVersion"]
    return changes
