# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the objects of one component to an API server, and remove those that it no longer has.

Read (one LIST a kind, by the component's label), plan (one step an object), apply (sub-wave by sub-wave, in each kind
by kind, side by side within a kind), prune, wait.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    ApiError,
    Client,
    Conflict,
    Forbidden,
    NotFound,
    Unreachable,
)
from ansible_collections.banking.platform.plugins.module_utils.kube.discovery import Discovery, Resource
from ansible_collections.banking.platform.plugins.module_utils.kube.inventory import Inventory
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import (
    NotReady,
    Report,
    Waiter,
    has_rule,
    verdict,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, PlanFailed, Step

_CRD = "CustomResourceDefinition"
# What is applied before what; what is not named comes after the workloads, since it is an operator's. Within a line
# there is no order.
_ORDER = (
    ("Namespace", _CRD),
    (
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "VolumeSnapshotClass",
        "IngressClass",
        "CSIDriver",
        "ResourceQuota",
    ),
    ("NetworkPolicy", "LimitRange", "ServiceAccount", "PodDisruptionBudget", "ClusterRole", "Role"),
    ("ClusterRoleBinding", "RoleBinding", "Secret", "ConfigMap", "PersistentVolume", "PersistentVolumeClaim"),
    ("Service",),
    (
        "DaemonSet",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "Pod",
        "Job",
        "CronJob",
        "HorizontalPodAutoscaler",
        "Ingress",
    ),
    (),
    ("APIService", "ValidatingAdmissionPolicy"),
    ("ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"),
)
_RANK = {kind: rank for rank, kinds in enumerate(_ORDER) for kind in kinds}
_CUSTOM = _ORDER.index(())
# Namespaces and CRDs, whatever their sub-wave.
_FIRST = (-(10**9), 0)

# What takes others' data with it when it goes.
PROTECTED = {("", "Namespace"), ("", "PersistentVolume"), ("", "PersistentVolumeClaim"), ("apiextensions.k8s.io", _CRD)}

# Managers that change what they change on purpose: with them we don't fight, we say so.
_CONTROLLERS = re.compile(r"controller|operator|autoscaler|argocd|flux|injector|scheduler|kubelet", re.IGNORECASE)

# CRDs are hundreds of kilobytes each.
_PAGE, _PAGE_OF_CRDS = 500, 50
_MOST_ERRORS = 10
_MOST_DIFF = 2_000_000
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?")


@dataclass
class Wish:
    """What is wanted of a run.

    Attributes:
        component: the component's name.
        objects: its manifests.
        state: `present`; `absent`, when the component is to go with all its objects; `ready`, when nothing is
            applied and what is there of it is waited for; `handed_over`: see HandOver.
        wait, timeout: whether to wait until the objects are ready, and for how many seconds.
        wait_slice: seconds after which a wait that is not over yet is interrupted, for a word to the user; 0 for never.
        prune: whether to remove what the component had and no longer has.
        prune_protected: namespaces, CRDs and volumes too.
        take_over: whether to take fields from other managers, and objects from other components.
        take_over_from: other managers that fields are taken from in any case.
        hand_over_to: the manager that objects are handed over to.
        create_only: references of objects that are made but never changed.
        inventory_namespace: where the inventory of the component is kept.
    """

    component: str
    objects: Sequence[Mapping[str, Any]] = ()
    state: str = "present"
    wait: bool = False
    timeout: float = 300
    wait_slice: float = 0
    prune: bool = True
    prune_protected: bool = False
    take_over: bool = False
    take_over_from: Sequence[str] = ()
    hand_over_to: str = ""
    create_only: Sequence[Mapping[str, Any]] = ()
    inventory_namespace: str = "kube-system"


@dataclass(eq=False)
class Item:
    """One object of the wish, or one that has to go."""

    wanted: dict[str, Any]
    step: Step
    known: Resource | None = None
    create_only: bool = False
    live: dict[str, Any] | None = None
    seen: bool = False
    ready: bool = False
    late: bool = False
    wave: int = 0

    @property
    def resource(self) -> Resource:
        """The kind, which is known before anything is done with the object."""
        if self.known is None:
            raise Failure(f"{self.reference}: its kind is not known")
        return self.known

    @property
    def namespace(self) -> str:
        return self.wanted["metadata"].get("namespace", "")

    @property
    def name(self) -> str:
        return self.wanted["metadata"]["name"]

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def place(self) -> tuple[Resource, str, str]:
        """Where to look for it."""
        return self.resource, self.namespace, self.name

    @property
    def rank(self) -> int:
        return _RANK.get(self.wanted["kind"], _CUSTOM)

    @property
    def turn(self) -> tuple[int, int]:
        """Its place in the order: what all others need first, then by sub-wave, and by kind within it."""
        return (self.wave, self.rank) if self.rank else _FIRST

    @property
    def reference(self) -> str:
        return fields.reference(self.wanted)


@dataclass
class _Reading:
    """What is there of one kind: objects of the wish by namespace and name, and what else has the component's label."""

    resource: Resource
    items: dict[tuple[str, str], Item] = field(default_factory=dict)


class Apply:
    """One run.

    Args:
        client: the API server; None in check mode when there is none yet.
        wish: what is wanted.
        check: whether to change nothing.
        with_diff: whether to show differences.
        sleep, clock: for tests.

    Attributes:
        plan: one step an object.
        pending: what an interrupted wait was still waiting for.
        left: that nothing was to be done at all.
    """

    def __init__(
        self,
        client: Client | None,
        wish: Wish,
        check: bool = False,
        with_diff: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        report: Report | None = None,
    ) -> None:
        self._report = report
        self._given, self._wish, self._check, self._with_diff = client, wish, check, with_diff
        self._sleep, self._clock = sleep, clock
        self._deadline = clock() + wish.timeout
        self._diff_size = 0
        self.plan = Plan()
        self.pending: list[str] = []
        self.left = False
        self._unwanted: dict[tuple[str, str, str, str], Item] = {}
        self._by_crd = _coming_kinds(wish.objects)
        self._items = self._wished()
        self._in_waves = len({item.wave for item in self._items}) > 1

    @property
    def _client(self) -> Client:
        if self._given is None:
            raise Failure("there is no API server", "name one by kubeconfig or host")
        return self._given

    # What is wanted

    def _wished(self) -> list[Item]:
        wish = self._wish
        if not _NAME.fullmatch(wish.component):
            raise Failure(f"component {wish.component!r} is no name", "lower case letters, digits, - and ., at most 63")
        listed = wish.state in ("present", "handed_over")
        if not wish.objects and listed:
            raise Failure(
                f"component {wish.component} has no objects",
                "check what renders them; with state=absent, all objects of the component are removed",
            )
        only = {_reference_key(entry) for entry in wish.create_only}
        items: dict[tuple[str, ...], Item] = {}
        troubles = []
        for manifest in _flat(wish.objects) if listed else []:
            trouble = _unusable(manifest)
            if trouble:
                troubles.append(trouble)
                continue
            annotations = manifest["metadata"].get("annotations") or {}
            create_only = annotations.get(fields.CREATE_ONLY) == "true" or _reference_key(manifest) in only
            key = (manifest["apiVersion"].rpartition("/")[0], *_reference_key(manifest)[1:])
            if key in items:
                troubles.append(f"{fields.reference(manifest)}: is there twice")
                continue
            wave = fields.sub_wave(manifest)
            items[key] = Item(dict(manifest), _step_of(manifest), create_only=create_only, wave=wave)
        if troubles:
            raise Failure(f"component {wish.component}: {_some(troubles)}", "correct the manifests")
        return list(items.values())

    # The run

    def run(self) -> None:
        """Do all of it.

        Raises:
            Failure: with what was done, failed and not done in the plan's steps.
        """
        for item in sorted(self._items, key=lambda item: item.turn):
            self.plan.add(item.step)
        if self._given is None:
            self._without_cluster("cluster")
            return
        self._discovery = Discovery(self._client)
        self._inventory = Inventory(self._client, self._wish.component, self._wish.inventory_namespace)
        self._resolve(final=False)
        self._read([item for item in self._items if item.known])
        if self._wish.prune or self._wish.state == "absent":
            self._read_former()
        if not self._check:
            self._inventory.widen(self._kinds(), {item.namespace for item in self._items} - {""})
        self.plan.begun = not self._check
        for turn in sorted({item.turn for item in self._items}):
            todo = [item for item in self._items if item.turn == turn and item.step.action != "none" and item.known]
            if todo:
                self._wait_for_waves_before(turn[0])
                self._apply_side_by_side(todo)
            if turn == _FIRST:
                self._after_definitions()
        if self._wish.prune or self._wish.state == "absent":
            self._prune()
        if self._wish.wait and not self._check:
            self._wait_for()
        for step in self.plan.steps:
            step.state = ""

    def _without_cluster(self, why: str) -> None:
        for item in self._items:
            if item.step.action == "none":
                item.step.action, item.step.deferred = "create", why

    def _resolve(self, final: bool) -> None:
        """Find each object's kind; what is neither there nor coming with a CRD of this run is an error."""
        missing: dict[str, list[Item]] = {}
        for item in self._items:
            if item.known:
                continue
            api_version, kind = item.wanted["apiVersion"], item.wanted["kind"]
            resource = self._discovery.resource(api_version, kind)
            if resource:
                self._settle(item, resource)
            elif (api_version, kind) in self._by_crd and not final:
                item.late = True
            else:
                missing.setdefault(f"{api_version} {kind}", []).append(item)
        troubles = []
        for kind, items in missing.items():
            if self._check:
                for item in items:
                    item.step.action, item.step.deferred = "create", f"CRD of {kind}"
                continue
            stale = self._discovery.stale(items[0].wanted["apiVersion"])
            why = "the APIService that serves it is down" if stale else "its CRD is missing"
            troubles.append(f"the server has no {kind} ({items[0].name}{_more(items)}): {why}")
        if troubles:
            raise Failure(
                f"component {self._wish.component}: {_some(troubles)}", "apply the component that brings it first"
            )

    def _settle(self, item: Item, resource: Resource) -> None:
        namespace = item.namespace
        if resource.namespaced and not namespace:
            raise Failure(f"{item.reference}: has no namespace, and needs one", "set metadata.namespace")
        item.known = resource
        item.wanted = fields.prepared(item.wanted, self._wish.component, resource.has_status)
        if not resource.namespaced:
            item.wanted["metadata"].pop("namespace", None)

    # What is there

    def _kinds(self) -> dict[tuple[str, str], Resource | None]:
        return {(item.wanted["apiVersion"].rpartition("/")[0], item.wanted["kind"]): item.known for item in self._items}

    def _read(self, items: Iterable[Item]) -> None:
        readings: dict[Resource, _Reading] = {}
        for item in items:
            reading = readings.setdefault(item.resource, _Reading(item.resource))
            reading.items[item.namespace, item.name] = item
        _raise(self._client.each(self._read_kind, readings.values()))
        foreign: list[str] = []
        for found in self._client.each(self._read_foreign, readings.values()):
            foreign += found if isinstance(found, list) else _raise([found])
        if foreign:
            raise Failure(
                f"component {self._wish.component}: {_some(foreign)}",
                "leave each object to one component, or give this one take_over",
            )

    def _read_kind(self, reading: _Reading) -> None:
        label = f"{fields.COMPONENT}={self._wish.component}"
        former = self._inventory.namespaces if self._wish.prune or self._wish.state == "absent" else set()
        namespaces = {namespace for namespace, _name in reading.items} | former if reading.resource.namespaced else {""}
        whole = self._needs_all_of(reading.resource)
        for live in self._list(reading.resource, namespaces, label, metadata_only=not whole):
            meta = live["metadata"]
            live["apiVersion"], live["kind"] = reading.resource.api_version, reading.resource.kind
            item = reading.items.get((meta.get("namespace", ""), meta["name"]))
            if item is None:
                self._keep_unwanted(reading.resource, live)
                continue
            item.seen = True
            lost = [] if item.create_only else fields.drift(item.wanted, live)
            if meta.get("deletionTimestamp"):
                lost = ["being deleted"]
            if lost:
                # Held only of objects that differ: 5,000 that don't stay small.
                item.live = live if whole else None
                item.step.action = "update"
                item.step.note = "" if lost == ["digest"] else f"is no longer as applied: {_some(lost, 3)}"
            else:
                # A CRD that is as we applied it has been waited for when we did.
                item.ready = not whole or item.wanted["kind"] == _CRD or verdict(live).ready

    def _needs_all_of(self, resource: Resource) -> bool:
        """Whether metadata don't do: ownership and digest are there, values of Secrets and states are not."""
        key = (resource.group, resource.kind)
        judged = (self._wish.wait or self._in_waves) and resource.kind != _CRD and has_rule(*key)
        return self._with_diff or judged or key == ("", "Secret")

    def _list(self, resource: Resource, namespaces: set[str], label: str, metadata_only: bool = False) -> Iterable[Any]:
        """One LIST for all namespaces, or one a namespace when we may not read them all."""
        page = _PAGE_OF_CRDS if resource.kind == _CRD else _PAGE
        if len(namespaces) > 1:
            try:
                for live in self._client.list(resource.path(), label, metadata_only=metadata_only, page=page):
                    if live["metadata"].get("namespace", "") in namespaces:
                        yield live
                return
            except Forbidden:
                pass
        for namespace in sorted(namespaces):
            yield from self._client.list(resource.path(namespace), label, metadata_only=metadata_only, page=page)

    def _read_foreign(self, reading: _Reading) -> list[str]:
        """Name what another component has applied and this one is about to; objects that are only created may be."""
        unseen = {key: item for key, item in reading.items.items() if not item.seen}
        for item in unseen.values():
            item.step.action = "create"
        wanted = {key for key, item in unseen.items() if not item.create_only}
        if not wanted or self._wish.take_over:
            return []
        label = f"{fields.COMPONENT},{fields.COMPONENT}!={self._wish.component}"
        found = []
        for live in self._list(reading.resource, {key[0] for key in wanted}, label, metadata_only=True):
            meta = live["metadata"]
            key = (meta.get("namespace", ""), meta["name"])
            if key in wanted and not meta.get("deletionTimestamp"):
                found.append(f"{unseen[key].reference} belongs to the component {meta['labels'][fields.COMPONENT]}")
        return found

    def _keep_unwanted(self, resource: Resource, live: dict[str, Any]) -> None:
        """Note what has our label and is not wanted: only what we applied, not what a controller gave our labels."""
        meta = live["metadata"]
        if fields.DIGEST not in (meta.get("annotations") or {}) or fields.owned_fields(live) is None:
            return
        key = (resource.group, resource.kind, meta.get("namespace", ""), meta["name"])
        step = Step(_kind_of(live), _target_of(live), "delete", before={"uid": meta["uid"]}, note="no longer wanted")
        if self._with_diff:
            step.diff = self._diff(step, fields.shown(live), None)
        small = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": {"name": meta["name"]}}
        if meta.get("namespace"):
            small["metadata"]["namespace"] = meta["namespace"]
        self._unwanted[key] = Item(small, step, resource, late=bool(meta.get("deletionTimestamp")))

    def _read_former(self) -> None:
        """Look for objects of kinds that the component had and no longer has."""
        now = set(self._kinds())
        readings = []
        for group, kind in sorted(self._inventory.kinds - now):
            resource = self._discovery.preferred(group, kind)
            if resource:
                readings.append(_Reading(resource))
        _raise(self._client.each(self._read_kind_of_former, readings))

    def _read_kind_of_former(self, reading: _Reading) -> None:
        if not reading.resource.namespaced or self._inventory.namespaces:
            self._read_kind(reading)

    # Applying

    def _wait_for_waves_before(self, wave: int) -> None:
        """What comes in a later sub-wave needs what came in the earlier ones to be ready."""
        earlier = [item for item in self._items if _FIRST < item.turn < (wave, 0) and item.known and not item.ready]
        if self._check or not earlier:
            return
        try:
            self._waiter().until([item.place for item in earlier], self._deadline)
        except NotReady as failure:
            self._leave_the_rest()
            raise PlanFailed(failure.cause, failure.next_step) from failure
        for item in earlier:
            item.ready = True

    def _apply_side_by_side(self, todo: list[Item]) -> None:
        if not self._check:
            for item in todo:
                item.step.state = "not done"
        outcomes = self._client.each(self._apply_one, todo)
        failures = {
            item.reference: outcome
            for item, outcome in zip(todo, outcomes, strict=True)
            if isinstance(outcome, Failure)
        }
        if failures:
            for item in todo:
                if item.reference in failures and not self._check:
                    item.step.state = "failed"
            self._leave_the_rest()
            raise PlanFailed(*joined(failures))

    def _leave_the_rest(self) -> None:
        for item in self._items:
            if item.step.changes and not item.step.state and not self._check:
                item.step.state = "not done"

    def _apply_one(self, item: Item) -> None:
        live, step = item.live, item.step
        item.live = None
        if live is None and (item.seen or item.create_only or self._check or self._with_diff):
            live = self._client.find(item.path)
        if live and live["metadata"].get("deletionTimestamp"):
            self._gone(item, live)
            live = None
        if item.create_only and live is not None:
            step.action, step.state, step.note = "none", "", "is there, and is only created"
            item.ready = verdict(live).ready
            return
        try:
            new, after = self._patch(item, live)
        except NotFound as error:
            if self._check:
                step.deferred = f"namespace {item.namespace}" if item.namespace else "its kind"
                return
            raise Failure(error.cause, "apply the component that brings the namespace first") from error
        self._judge(item, live, new, after)

    def _judge(self, item: Item, live: dict[str, Any] | None, new: bool, after: dict[str, Any]) -> None:
        """Say what the request has changed, by what came back."""
        step = item.step
        step.state = "" if self._check else "done"
        step.action = "create" if new else "update"
        item.ready = not self._check and item.wanted["kind"] != _CRD and verdict(after).ready
        before = fields.shown(live) if live else None
        if new:
            # What is made is known by its digest: whole objects would make a plan that nobody reads.
            step.after = {"digest": item.wanted["metadata"]["annotations"][fields.DIGEST]}
        elif before is not None:
            step.before, step.after = fields.changes(before, fields.shown(after))
            if not step.before and not step.after:
                step.action, step.note, step.state, step.before, step.after = "none", "", "", None, None
                return
        else:
            step.note = step.note or "was there before, not as part of this component"
        if self._with_diff:
            step.diff = self._diff(step, before, fields.shown(after))

    def _diff(self, step: Step, before: Any, after: Any) -> dict[str, str]:
        found = fields.diff(f"{step.kind} {step.target}", before, after)
        size = len(found["before"]) + len(found["after"])
        if self._diff_size + size > _MOST_DIFF:
            return {**found, "before": "", "after": "left out: this run's differences are too many to show\n"}
        self._diff_size += size
        return found

    def _patch(self, item: Item, live: dict[str, Any] | None) -> tuple[bool, dict[str, Any]]:
        force = self._wish.take_over
        while True:
            try:
                return self._client.apply(item.path, item.wanted, force=force, dry_run=self._check)
            except Conflict as error:
                others = _others(error)
                if not others:
                    self._pause_or(error)
                    continue
                live = live or self._client.find(item.path) or {"metadata": {}}
                taken = set(others) <= set(self._wish.take_over_from)
                if force or not (taken or self._is_drift(live, others)):
                    raise _conflict(item, others, error) from error
                what = "taken over" if taken else "put back"
                item.step.note = f"{what}: " + "; ".join(
                    f"{_some(paths, 3)} changed by {manager}" for manager, paths in others.items()
                )
                force = True
            except NotFound as error:
                # A kind whose CRD has just been established may not be served by every server yet.
                if not item.late:
                    raise
                self._pause_or(error)
            except Forbidden as error:
                if not any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
                    raise
                self._pause_or(error)
            except ApiError as error:
                if error.status != 422 or ("immutable" not in error.cause and "may not change" not in error.cause):
                    raise
                live = self._replace(item, live, error)
                if self._check:
                    return False, {**live, **item.wanted}

    def _pause_or(self, error: ApiError) -> None:
        if self._check or self._clock() > self._deadline:
            raise error
        self._sleep(0.5)

    def _replace(self, item: Item, live: dict[str, Any] | None, error: ApiError) -> dict[str, Any]:
        """Make way for an object that cannot be changed, where that has been asked for; returns the old one."""
        if (item.wanted["metadata"].get("annotations") or {}).get(fields.RECREATE) != "true":
            raise Failure(
                f"{item.reference} cannot be changed in place: {error.cause}",
                f'delete it, or annotate it {fields.RECREATE}: "true" to have it made anew',
            ) from error
        item.step.note = "made anew"
        live = live or self._client.get(item.path)
        if not self._check:
            self._client.delete(item.path, live["metadata"]["uid"])
            self._gone(item, live)
        return live

    def _gone(self, item: Item, live: Mapping[str, Any]) -> None:
        """Wait until an object that is being deleted is no longer there."""
        if self._check:
            return
        while True:
            found = self._client.find(item.path)
            if not found or found["metadata"]["uid"] != live["metadata"]["uid"]:
                return
            if self._clock() > self._deadline:
                held = ", ".join(found["metadata"].get("finalizers") or ()) or "nothing named"
                raise Failure(
                    f"{item.reference} is being deleted and still there (finalizers: {held})", "look at who holds it"
                )
            self._sleep(0.5)

    @staticmethod
    def _is_drift(live: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
        """Whether others only changed by hand what we had applied: no declaration, and no controller's work."""
        meta = live["metadata"]
        ours = fields.DIGEST in (meta.get("annotations") or {}) or bool(fields.owned_fields(live))
        ways = fields.managers(live)
        return ours and not any("Apply" in ways.get(name, ()) or _CONTROLLERS.search(name) for name in others)

    def _after_definitions(self) -> None:
        """Wait for new CRDs, and find the kinds that they brought."""
        late = [item for item in self._items if item.late and not item.known]
        if self._check:
            for item in late:
                item.step.action, item.step.deferred = "create", f"CRD {self._by_crd[_type_of(item.wanted)]}"
            return
        changed = [item for item in self._items if item.wanted["kind"] == _CRD and item.step.state == "done"]
        if changed:
            Waiter(self._client, self._sleep, self._clock, report=self._report).until(
                [item.place for item in changed if item.known],
                min(self._deadline, self._clock() + 60),
            )
        if not late:
            return
        while True:
            self._discovery.refresh()
            if all(self._discovery.resource(*_type_of(item.wanted)) for item in late) or self._clock() > self._deadline:
                break
            self._sleep(0.2)
        self._resolve(final=True)
        self._read(late)

    # Pruning

    def _prune(self) -> None:
        left: set[tuple[str, str]] = set()
        items = sorted(self._unwanted.values(), key=lambda item: -item.rank)
        todo = []
        for item in items:
            key = (item.resource.group, item.resource.kind)
            self.plan.add(item.step)
            if key in PROTECTED and not self._wish.prune_protected:
                item.step.action, item.step.note = "none", "no longer wanted, kept: prune_protected is not set"
                item.step.diff = None
                left.add(key)
            elif item.late:
                item.step.action, item.step.note, item.step.diff = "none", "is being deleted", None
                left.add(key)
            else:
                todo.append(item)
        failures: dict[str, Failure] = {}
        for rank in sorted({item.rank for item in todo}, reverse=True):
            now = [item for item in todo if item.rank == rank]
            for item, outcome in zip(now, self._client.each(self._delete, now), strict=True):
                if isinstance(outcome, Failure):
                    failures[item.reference] = outcome
                    item.step.state = "" if self._check else "failed"
        if failures:
            raise PlanFailed(*joined(failures))
        if self._wish.wait and not self._check:
            for outcome in self._client.each(lambda item: self._gone(item, {"metadata": item.step.before}), todo):
                _raise([outcome])
        if not self._check:
            kept = [item for item in items if item not in todo]
            self._inventory.narrow(set(self._kinds()) | left, {item.namespace for item in [*self._items, *kept]} - {""})

    def _delete(self, item: Item) -> None:
        self._client.delete(item.path, item.step.before["uid"], dry_run=self._check)
        item.step.state = "" if self._check else "done"

    # Waiting

    def _wait_for(self) -> None:
        """Wait for what is not ready yet. Interrupted, `pending` says what is left."""
        left = [item.place for item in self._items if item.known and not item.ready]
        limit = self._clock() + self._wish.wait_slice if self._wish.wait_slice else self._deadline
        try:
            self._waiter().until(left, min(limit, self._deadline))
        except NotReady as failure:
            if failure.final or limit >= self._deadline:
                raise
            self.pending = failure.pending

    def _waiter(self) -> Waiter:
        label = f"{fields.COMPONENT}={self._wish.component}"
        return Waiter(self._client, self._sleep, self._clock, label, self._report)

    def only_wait(self) -> None:
        """Wait on, for objects that an earlier run has applied."""
        self._discovery = Discovery(self._client)
        if self._wish.state == "ready":
            self._take_what_is_there()
        self._resolve(final=True)
        self._wait_for()

    def _take_what_is_there(self) -> None:
        """The objects of the component as the cluster has them, as far as they can be waited for."""
        inventory = Inventory(self._client, self._wish.component, self._wish.inventory_namespace)
        label = f"{fields.COMPONENT}={self._wish.component}"
        for group, kind in sorted(inventory.kinds):
            resource = self._discovery.preferred(group, kind)
            if resource is None or not has_rule(group, kind):
                continue
            namespaces = inventory.namespaces if resource.namespaced else {""}
            for live in self._list(resource, namespaces, label, metadata_only=True):
                if fields.DIGEST not in (live["metadata"].get("annotations") or {}):
                    continue  # a controller gave it our labels
                small = {"apiVersion": resource.api_version, "kind": kind, "metadata": live["metadata"]}
                self._items.append(Item(small, _step_of(small), resource))

    # The result

    def result(self) -> dict[str, Any]:
        """The run as a module's result: changed, plan (what changes, and what is kept), deferred, counts, diff."""
        found = self.plan.result(with_diff=self._with_diff)
        counts: dict[str, int] = {}
        for step in self.plan.steps:
            counts[step.action] = counts.get(step.action, 0) + 1
        found["plan"] = [step.as_dict() for step in self.plan.steps if step.changes or step.note or step.state]
        found["counts"] = counts
        if self.pending:
            found["pending"] = self.pending
        if self.left:
            found["left"] = True
        found["requests"] = dict(self._given.requests) if self._given else {}
        return found


def _flat(objects: Iterable[Any]) -> Iterable[Mapping[str, Any]]:
    for item in objects:
        if isinstance(item, Mapping) and str(item.get("kind")).endswith("List") and isinstance(item.get("items"), list):
            yield from _flat(item["items"])
        elif item is not None:
            yield item


def _unusable(item: Any) -> str:
    """Say what an object lacks to be one."""
    if not isinstance(item, Mapping):
        return f"{str(item)[:60]!r} is no object"
    meta = item.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    for part, value in (("apiVersion", item.get("apiVersion")), ("kind", item.get("kind")), ("metadata.name", name)):
        if not isinstance(value, str) or not value:
            return f"{item.get('kind') or 'an object'} {name or ''}: {part} is missing".replace(" :", ":")
    return ""


def _reference_key(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """A key of a manifest, or of a reference with apiVersion, kind, namespace, name."""
    meta = item.get("metadata") or item
    return (item.get("apiVersion", ""), item.get("kind", ""), meta.get("namespace") or "", meta.get("name", ""))


def _type_of(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["apiVersion"], item["kind"]


def _coming_kinds(objects: Iterable[Any]) -> dict[tuple[str, str], str]:
    """The kinds that CRDs of this run bring, with the CRD's name."""
    found = {}
    for item in _flat(objects):
        if isinstance(item, Mapping) and item.get("kind") == _CRD and not _unusable(item):
            spec = item.get("spec") or {}
            for version in spec.get("versions") or ():
                if version.get("served"):
                    kind = (spec.get("names") or {}).get("kind", "")
                    found[f"{spec.get('group')}/{version.get('name')}", kind] = item["metadata"]["name"]
    return found


def _kind_of(item: Mapping[str, Any]) -> str:
    """How a step calls a kind: with its group unless it is one of Kubernetes' own."""
    group = item["apiVersion"].rpartition("/")[0]
    own = "." not in group or group.endswith(".k8s.io")
    return item["kind"] if own else f"{item['kind']}.{group}"


def _target_of(item: Mapping[str, Any]) -> str:
    meta = item["metadata"]
    return "/".join(part for part in (meta.get("namespace"), meta["name"]) if part)


def _step_of(item: Mapping[str, Any]) -> Step:
    return Step(_kind_of(item), _target_of(item))


def _others(error: Conflict) -> dict[str, list[str]]:
    """The managers of a conflict, each with the fields that it owns."""
    found: dict[str, list[str]] = {}
    for cause in error.causes:
        named = re.search(r'conflict with "(.*?)"', cause.get("message", ""))
        if cause.get("reason") == "FieldManagerConflict" and named:
            found.setdefault(named[1], []).append(cause.get("field", ""))
    return found


def _conflict(item: Item, others: Mapping[str, list[str]], error: Conflict) -> Conflict:
    whose = "; ".join(f"{manager} owns {_some(paths)}" for manager, paths in others.items())
    return Conflict(
        f"{item.reference}: {whose}",
        "leave these fields out of the manifest, or take them over with take_over=true",
        method=error.method,
        path=error.path,
        status=error.status,
        reason=error.reason,
        body=error.body,
    )


def _raise(outcomes: Iterable[Any]) -> list[Any]:
    """Raise the failures among the outcomes, as one."""
    outcomes = list(outcomes)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise Failure(_some(sorted({failure.cause for failure in failures}), _MOST_ERRORS, "; "), failures[0].next_step)
    return outcomes


def joined(failures: Mapping[str, Failure]) -> tuple[str, str]:
    """One cause and one next step of many: what failed alike is said once."""
    alike: dict[str, list[str]] = {}
    for name, failure in failures.items():
        cause = failure.cause.removeprefix(f"{name}: ").removeprefix(name).strip()
        alike.setdefault(cause, []).append(name)
    causes = [f"{_some(names, 3)}: {cause}" for cause, names in alike.items()]
    steps = dict.fromkeys(failure.next_step for failure in failures.values() if failure.next_step)
    return _some(causes, _MOST_ERRORS, "; "), "; ".join(steps)


def _some(names: Sequence[str], most: int = 5, between: str = ", ") -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(names[:most]) + more


def _more(items: Sequence[Any]) -> str:
    return f" and {len(items) - 1} more" if len(items) > 1 else ""


__all__ = ["PROTECTED", "Apply", "Item", "Unreachable", "Wish", "joined"]
