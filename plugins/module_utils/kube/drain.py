# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a node out of service and put it back: cordon, evict, wait, uncordon.

All pods are asked to go, again and again until the deadline: one whose budget does not allow it now does not keep the
others, and its budget may allow it later, when what replaces the others is ready. (Eviction answers 429 as long as it
doesn't: https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import ApiError, Client, NotFound, escape
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

_PAUSE = 2.0
_MIRROR = "kubernetes.io/config.mirror"


@dataclass
class Wish:
    """What is wanted of a node.

    Attributes:
        node: its name.
        state: drained, cordoned or uncordoned.
        timeout: seconds for evictions and terminations together.
        grace_period: seconds a pod gets to end; None for what the pod says itself.
        delete_emptydir_data: whether pods may go that lose data in an emptyDir.
        delete_unmanaged: whether pods may go that no controller makes anew.
        leave: label selector of pods that stay.
    """

    node: str
    state: str = "drained"
    timeout: float = 300
    grace_period: int | None = None
    delete_emptydir_data: bool = False
    delete_unmanaged: bool = False
    leave: str = ""


class Drain:
    """One node.

    Args:
        client: the API server.
        wish: what is wanted.
        check: whether to change nothing.
        sleep, clock: for tests.
    """

    def __init__(
        self,
        client: Client,
        wish: Wish,
        check: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._wish, self._check = client, wish, check
        self._sleep, self._clock = sleep, clock
        self._path = f"/api/v1/nodes/{escape(wish.node)}"
        self.plan = Plan()
        self.left: list[str] = []

    def run(self) -> None:
        """Do it.

        Raises:
            Failure: pods stand in the way that need a flag, before any is evicted; or pods are still there at the
                deadline, each with the budget that holds it.
        """
        deadline = self._clock() + self._wish.timeout
        try:
            node = self._client.get(self._path)
        except NotFound as error:
            raise Failure(
                f"there is no node {self._wish.node}", "nodes are named as `kubectl get nodes` shows them"
            ) from error
        self.plan.begun = not self._check
        if self._wish.state != "drained":
            self._set_unschedulable(node, self._wish.state == "cordoned")
            return
        pods = self._pods()
        self._refuse(pods)
        self._set_unschedulable(node, True)
        steps = {_key(pod): self._step(pod) for pod in pods}
        if self._check:
            self._would_block(pods, steps)
            return
        self._evict(steps, deadline)

    def result(self) -> dict[str, Any]:
        """The run as a module's result."""
        return {**self.plan.result(), "left": self.left}

    def _set_unschedulable(self, node: Mapping[str, Any], wanted: bool) -> None:
        now = bool((node.get("spec") or {}).get("unschedulable"))
        step = Step("node", self._wish.node, "none" if now == wanted else "update")
        if step.changes:
            step.before, step.after = {"unschedulable": now}, {"unschedulable": wanted}
            self._client.patch(self._path, {"spec": {"unschedulable": wanted or None}}, dry_run=self._check)
            step.state = "" if self._check else "done"
        self.plan.add(step)

    # Pods

    def _pods(self) -> list[dict[str, Any]]:
        """The node's pods that have to go."""
        left = self._left_by_label()
        found = []
        for pod in self._client.list("/api/v1/pods", fields=f"spec.nodeName={self._wish.node}"):
            meta = pod["metadata"]
            if _MIRROR in (meta.get("annotations") or {}) or _controller(pod).get("kind") == "DaemonSet":
                continue
            if _key(pod) not in left:
                found.append(pod)
        return found

    def _left_by_label(self) -> set[tuple[str, str]]:
        if not self._wish.leave:
            return set()
        selected = self._client.list(
            "/api/v1/pods", labels=self._wish.leave, fields=f"spec.nodeName={self._wish.node}", metadata_only=True
        )
        self.left = []
        keys = {_key(pod) for pod in selected}
        self.left = sorted("/".join(key) for key in keys)
        return keys

    def _refuse(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Name every pod that must not go without a flag, before anything is done."""
        troubles = []
        flags = set()
        for pod in pods:
            if _completed(pod) or pod["metadata"].get("deletionTimestamp"):
                continue
            name = "/".join(_key(pod))
            if not _controller(pod) and not self._wish.delete_unmanaged:
                troubles.append(f"{name} has no controller that would make it anew")
                flags.add("delete_unmanaged")
            volumes = [volume["name"] for volume in pod["spec"].get("volumes") or () if "emptyDir" in volume]
            if volumes and not self._wish.delete_emptydir_data:
                troubles.append(f"{name} would lose what is in its emptyDir {', '.join(volumes)}")
                flags.add("delete_emptydir_data")
        if troubles:
            raise Failure(
                f"node {self._wish.node} is not drained: {'; '.join(troubles)}", f"set {' and '.join(sorted(flags))}"
            )

    def _step(self, pod: Mapping[str, Any]) -> Step:
        gone = bool(pod["metadata"].get("deletionTimestamp"))
        step = Step("pod", "/".join(_key(pod)), "delete", note="is ending already" if gone else "")
        if _completed(pod):
            step.note = "has ended"
        step.state = "" if self._check else "not done"
        return self.plan.add(step)

    # Evicting

    def _evict(self, steps: dict[tuple[str, str], Step], deadline: float) -> None:
        while True:
            pods = self._pods()
            now = {_key(pod): pod for pod in pods}
            for key, step in steps.items():
                if key not in now:
                    step.state = "done"
            if not pods:
                return
            for pod in pods:
                if _key(pod) not in steps:
                    # Bound to the node just before it was cordoned.
                    steps[_key(pod)] = self._step(pod)
            to_ask = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            outcomes = self._client.each(self._ask, to_ask)
            blocked = {
                _key(pod): outcome
                for pod, outcome in zip(to_ask, outcomes, strict=True)
                if isinstance(outcome, Failure)
            }
            hard = [failure for failure in blocked.values() if not _later(failure)]
            if hard:
                raise hard[0]
            if self._clock() + _PAUSE > deadline:
                raise self._not_drained(pods, blocked)
            self._sleep(_PAUSE if blocked else _PAUSE / 4)

    def _ask(self, pod: Mapping[str, Any]) -> None:
        namespace, name = _key(pod)
        options: dict[str, Any] = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        if self._wish.grace_period is not None:
            options["gracePeriodSeconds"] = self._wish.grace_period
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        }
        try:
            self._client.create(f"{_pod_path(namespace, name)}/eviction", body, retry_busy=False)
        except NotFound:
            pass

    def _not_drained(self, pods: Iterable[Mapping[str, Any]], blocked: Mapping[Any, Failure]) -> Failure:
        budgets = self._budgets()
        lines = []
        for pod in pods:
            key = _key(pod)
            if key in blocked:
                why = _holding(pod, budgets) or blocked[key].cause
            else:
                held = ", ".join(pod["metadata"].get("finalizers") or ())
                why = f"is still ending (since {pod['metadata'].get('deletionTimestamp')})" + (
                    f", finalizers {held}" if held else ""
                )
            lines.append(f"  {'/'.join(key)}: {why}")
        return Failure(
            f"node {self._wish.node} is cordoned but not drained after {self._wish.timeout:.0f} s, "
            f"{len(lines)} pod(s) left:\n" + "\n".join(lines),
            "make room for the pods' replacements or more replicas, or correct the budget; then run again",
        )

    def _would_block(self, pods: Iterable[Mapping[str, Any]], steps: Mapping[tuple[str, str], Step]) -> None:
        """In check mode: note at each pod the budget that would hold it now."""
        budgets = self._budgets()
        for pod in pods:
            why = "" if _completed(pod) else _holding(pod, budgets)
            if why:
                steps[_key(pod)].note = why

    def _budgets(self) -> list[dict[str, Any]]:
        try:
            return list(self._client.list("/apis/policy/v1/poddisruptionbudgets"))
        except ApiError:
            return []  # whoever may not read them still learns which pod is held


def _pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{escape(namespace)}/pods/{escape(name)}"


def _key(pod: Mapping[str, Any]) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _controller(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((owner for owner in pod["metadata"].get("ownerReferences") or () if owner.get("controller")), {})


def _completed(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _later(failure: Failure) -> bool:
    """Whether an eviction may be allowed later: 429 is a budget, 409 a changed pod, 500 two budgets for one pod."""
    return isinstance(failure, ApiError) and (
        failure.status in (409, 429) or failure.status >= 500 or "NamespaceTerminating" in str(failure.body)
    )


def _holding(pod: Mapping[str, Any], budgets: Iterable[Mapping[str, Any]]) -> str:
    """Name the budgets that select a pod and allow no disruption, with their numbers."""
    found = []
    for budget in budgets:
        status = budget.get("status") or {}
        same = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
        if same and selects(budget["spec"].get("selector"), pod["metadata"].get("labels") or {}):
            if (status.get("disruptionsAllowed") or 0) > 0:
                continue
            spec = budget["spec"]
            bounds = [f"{key} {spec[key]}" for key in ("minAvailable", "maxUnavailable") if key in spec]
            found.append(
                f"PodDisruptionBudget {budget['metadata']['name']} ({', '.join(bounds)}) allows no disruption: "
                f"{status.get('currentHealthy', 0)} of {status.get('expectedPods', 0)} pods healthy, "
                f"{status.get('desiredHealthy', 0)} needed"
            )
    return "; ".join(found)


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels. An empty one selects everything, none selects nothing."""
    if selector is None:
        return False
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or ():
        key, values = rule["key"], rule.get("values") or ()
        fits = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[rule["operator"]]
        if not fits:
            return False
    return True
