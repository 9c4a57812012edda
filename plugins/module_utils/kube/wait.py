# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an object is ready: a pure predicate a kind, and a wait over many objects.

A status counts only when it is about the object as it is now (`observedGeneration`). Kinds without a status of
readiness are ready as soon as they are there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import ApiError, Client, escape
from ansible_collections.banking.platform.plugins.module_utils.kube.discovery import Resource
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_MOST_NAMED = 10
_MOST_EVENTS = 5
_MADE = ("Pod", "ReplicaSet", "Job")
# Seconds of waiting after which the user is told what is left.
REPORT_EVERY = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 3.0


@dataclass(frozen=True)
class Verdict:
    """Whether an object is ready; if not, why, and whether it never will be."""

    ready: bool
    why: str = ""
    failed: bool = False


READY = Verdict(True)
Object = Mapping[str, Any]
Predicate = Callable[[Object], Verdict]


def _not_yet(why: str) -> Verdict:
    return Verdict(False, why)


def verdict(item: Object) -> Verdict:
    """Judge an object by its kind.

    Args:
        item: the object with apiVersion, kind and status.
    """
    if item["metadata"].get("deletionTimestamp"):
        return _not_yet("is being deleted")
    group = item["apiVersion"].rpartition("/")[0]
    kind = item["kind"]
    built_in = _BUILT_IN.get((group, kind))
    if built_in:
        return built_in(item)
    rule = _RULES.get((group, kind)) or _RULES.get((group, "*"))
    return rule(item) if rule else READY


def has_rule(group: str, kind: str) -> bool:
    """Whether a kind has a predicate: objects of others are ready as soon as they are there."""
    return any(key in rules for rules in (_BUILT_IN, _RULES) for key in ((group, kind), (group, "*")))


# Parts of the predicates


def _status(item: Object) -> Mapping[str, Any]:
    return item.get("status") or {}


def _observed(item: Object) -> str:
    """Say that the controller hasn't seen the object as it is now; empty when it has, or doesn't say."""
    observed = _status(item).get("observedGeneration")
    generation = item["metadata"].get("generation")
    if observed is not None and generation is not None and observed < generation:
        return f"generation {generation} is not seen yet by its controller ({observed} is)"
    return ""


def condition(item: Object, name: str) -> Mapping[str, Any]:
    """Find a condition by its type; {} when there is none, or when it is about an earlier generation."""
    for found in _status(item).get("conditions") or ():
        if found.get("type") == name:
            stale = found.get("observedGeneration") or 0
            if stale and stale < (item["metadata"].get("generation") or 0):
                return {}
            return found
    return {}


def _says(found: Mapping[str, Any]) -> str:
    return ": ".join(str(found[key]) for key in ("reason", "message") if found.get(key))


def _conditions(*names: str, failed: Sequence[str] = ()) -> Predicate:
    """Ready when all these conditions are True; lost when one of `failed` is."""

    def judge(item: Object) -> Verdict:
        for name in failed:
            found = condition(item, name)
            if found.get("status") == "True":
                return Verdict(False, f"{name}: {_says(found)}", failed=True)
        unseen = _observed(item)
        if unseen:
            return _not_yet(unseen)
        for name in names:
            found = condition(item, name)
            if not found:
                return _not_yet(f"has no condition {name} yet")
            if found.get("status") != "True":
                return _not_yet(f"{name} is {found.get('status')}{f' ({_says(found)})' if _says(found) else ''}")
        return READY

    return judge


def _field(path: str, *good: str, bad: Sequence[str] = ()) -> Predicate:
    """Ready when a field of the status has one of these values; lost when it has one of `bad`."""

    def judge(item: Object) -> Verdict:
        value: Any = _status(item)
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value in bad:
            return Verdict(False, f"{path} is {value}", failed=True)
        unseen = _observed(item)
        if unseen:
            return _not_yet(unseen)
        return READY if value in good else _not_yet(f"{path} is {value or 'not set yet'}")

    return judge


def _all(*rules: Predicate) -> Predicate:
    def judge(item: Object) -> Verdict:
        return next((found for found in (rule(item) for rule in rules) if not found.ready), READY)

    return judge


def _refreshed(item: Object) -> Verdict:
    """ArgoCD takes the annotation away when it has compared with what the repository holds by then.

    Source: argo-cd, pkg/apis/application/v1alpha1/application_annotations.go.
    """
    asked = "argocd.argoproj.io/refresh" in (item["metadata"].get("annotations") or {})
    return _not_yet("ArgoCD has not looked at the repository yet") if asked else READY


def _constraint_template(item: Object) -> Verdict:
    """Its CRD is there, and what a pod of Gatekeeper has against it will not go away by waiting.

    Source: open-policy-agent/frameworks, constraint/pkg/apis/templates/v1/constrainttemplate_types.go.
    """
    generation = item["metadata"].get("generation")
    pods = [pod for pod in _status(item).get("byPod") or () if pod.get("observedGeneration") == generation]
    errors = [str(error.get("message")) for pod in pods for error in pod.get("errors") or ()]
    if errors:
        return Verdict(False, f"Gatekeeper does not take it: {errors[0]}", failed=True)
    return READY if _status(item).get("created") and pods else _not_yet("Gatekeeper has not made its kind yet")


def _deployment(item: Object) -> Verdict:
    unseen = _seen(item)
    if unseen:
        return unseen
    status, wanted = _status(item), _replicas(item)
    late = condition(item, "Progressing")
    if late.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(False, _says(late), failed=True)
    for counted, word in (("updatedReplicas", "updated"), ("availableReplicas", "available")):
        if (status.get(counted) or 0) < wanted:
            return _not_yet(f"{status.get(counted) or 0} of {wanted} replicas {word}")
    old = (status.get("replicas") or 0) - (status.get("updatedReplicas") or 0)
    return _not_yet(f"{old} old replicas are still there") if old > 0 else READY


def _seen(item: Object) -> Verdict | None:
    """Of kinds whose controller always notes the generation, no note means that it hasn't come by yet."""
    if "observedGeneration" not in _status(item):
        return _not_yet("its controller has not seen it yet")
    unseen = _observed(item)
    return _not_yet(unseen) if unseen else None


def _replicas(item: Object) -> int:
    replicas = item["spec"].get("replicas")
    return 1 if replicas is None else replicas


def _stateful_set(item: Object) -> Verdict:
    unseen = _seen(item)
    if unseen:
        return unseen
    status, wanted, strategy = _status(item), _replicas(item), item["spec"].get("updateStrategy") or {}
    ready = status.get("readyReplicas") or 0
    if ready < wanted:
        return _not_yet(f"{ready} of {wanted} replicas ready")
    if strategy.get("type") == "OnDelete":
        return READY
    updated = status.get("updatedReplicas") or 0
    to_update = wanted - ((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if updated < to_update:
        return _not_yet(f"{updated} of {to_update} replicas updated")
    return READY


def _daemon_set(item: Object) -> Verdict:
    unseen = _seen(item)
    if unseen:
        return unseen
    status = _status(item)
    wanted = status.get("desiredNumberScheduled") or 0
    counts = [("numberReady", "ready")]
    if (item["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
        counts.insert(0, ("updatedNumberScheduled", "updated"))
    for counted, word in counts:
        if (status.get(counted) or 0) < wanted:
            return _not_yet(f"{status.get(counted) or 0} of {wanted} pods {word}")
    return READY


def _replica_set(item: Object) -> Verdict:
    ready = _status(item).get("readyReplicas") or 0
    wanted = _replicas(item)
    return _seen(item) or (READY if ready >= wanted else _not_yet(f"{ready} of {wanted} replicas ready"))


def _job(item: Object) -> Verdict:
    if item["spec"].get("suspend"):
        return READY
    failed = condition(item, "Failed")
    if failed.get("status") == "True":
        return Verdict(False, f"failed ({_says(failed)})", failed=True)
    if condition(item, "Complete").get("status") == "True":
        return READY
    wanted = item["spec"].get("completions") or 1
    return _not_yet(f"{_status(item).get('succeeded') or 0} of {wanted} completions")


def _pod(item: Object) -> Verdict:
    status = _status(item)
    phase = status.get("phase")
    if phase == "Succeeded" or (phase == "Running" and condition(item, "Ready").get("status") == "True"):
        return READY
    if phase == "Failed":
        return Verdict(False, f"failed: {_says(status) or 'no reason given'}", failed=True)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return _not_yet(f"container {container['name']}: {_says(waiting)}")
    return _not_yet(f"{phase or 'Pending'}: {_says(condition(item, 'PodScheduled')) or 'not ready'}")


def _volume_claim(item: Object) -> Verdict:
    return _field("phase", "Bound", bad=("Lost",))(item)


def _namespace(item: Object) -> Verdict:
    return _field("phase", "Active")(item)


def _service(item: Object) -> Verdict:
    if item["spec"].get("type") != "LoadBalancer":
        return READY
    there = (_status(item).get("loadBalancer") or {}).get("ingress")
    return READY if there else _not_yet("has no address of a load balancer yet")


def _crd(item: Object) -> Verdict:
    refused = condition(item, "NamesAccepted")
    if refused.get("status") == "False":
        return Verdict(False, f"names are not accepted ({_says(refused)})", failed=True)
    return _conditions("Established")(item)


_BUILT_IN: Mapping[tuple[str, str], Predicate] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _volume_claim,
    ("", "Namespace"): _namespace,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apiregistration.k8s.io", "APIService"): _conditions("Available"),
}

_Ready = _conditions("Ready")
_Accepted = _conditions("Accepted")
_CephReady = _field("phase", "Ready", "Connected", bad=("Failure",))
_Elastic = _field("health", "green")

# Custom resources of the catalog. Names of conditions and fields are those of their CRDs and operators.
_RULES: Mapping[tuple[str, str], Predicate] = {
    ("cert-manager.io", "Certificate"): _Ready,
    ("cert-manager.io", "Issuer"): _Ready,
    ("cert-manager.io", "ClusterIssuer"): _Ready,
    ("trust.cert-manager.io", "Bundle"): _conditions("Synced"),
    ("operator.tigera.io", "Installation"): _Ready,
    ("operator.tigera.io", "TigeraStatus"): _conditions("Available"),
    ("operator.tigera.io", "APIServer"): _field("state", "Ready"),
    ("templates.gatekeeper.sh", "ConstraintTemplate"): _constraint_template,
    ("argoproj.io", "Application"): _all(
        _refreshed, _field("sync.status", "Synced"), _field("health.status", "Healthy", bad=("Degraded",))
    ),
    ("argoproj.io", "Rollout"): _field("phase", "Healthy", bad=("Degraded",)),
    ("postgresql.cnpg.io", "Cluster"): _Ready,
    ("postgresql.cnpg.io", "Backup"): _field("phase", "completed", bad=("failed",)),
    ("kafka.strimzi.io", "*"): _Ready,
    ("elasticsearch.k8s.elastic.co", "Elasticsearch"): _all(_field("phase", "Ready"), _Elastic),
    ("kibana.k8s.elastic.co", "Kibana"): _Elastic,
    ("logstash.k8s.elastic.co", "Logstash"): _Elastic,
    ("beat.k8s.elastic.co", "Beat"): _Elastic,
    ("agent.k8s.elastic.co", "Agent"): _Elastic,
    ("apm.k8s.elastic.co", "ApmServer"): _Elastic,
    ("external-secrets.io", "ExternalSecret"): _Ready,
    ("external-secrets.io", "PushSecret"): _Ready,
    ("external-secrets.io", "SecretStore"): _Ready,
    ("external-secrets.io", "ClusterSecretStore"): _Ready,
    ("bitnami.com", "SealedSecret"): _conditions("Synced"),
    ("gateway.networking.k8s.io", "GatewayClass"): _Accepted,
    ("gateway.networking.k8s.io", "Gateway"): _conditions("Accepted", "Programmed"),
    ("keda.sh", "ScaledObject"): _Ready,
    ("keda.sh", "ScaledJob"): _Ready,
    ("monitoring.coreos.com", "Prometheus"): _conditions("Reconciled", "Available"),
    ("monitoring.coreos.com", "Alertmanager"): _conditions("Reconciled", "Available"),
    ("monitoring.coreos.com", "ThanosRuler"): _conditions("Reconciled", "Available"),
    ("ceph.rook.io", "CephCluster"): _CephReady,
    ("ceph.rook.io", "CephBlockPool"): _CephReady,
    ("ceph.rook.io", "CephFilesystem"): _CephReady,
    ("ceph.rook.io", "CephObjectStore"): _CephReady,
    ("ceph.rook.io", "CephObjectStoreUser"): _CephReady,
    ("redis.redis.opstreelabs.in", "RedisCluster"): _field("state", "Ready", bad=("Failed",)),
    ("velero.io", "BackupStorageLocation"): _field("phase", "Available"),
    ("velero.io", "Backup"): _field("phase", "Completed", bad=("Failed", "PartiallyFailed", "FailedValidation")),
    ("velero.io", "Restore"): _field("phase", "Completed", bad=("Failed", "PartiallyFailed", "FailedValidation")),
    ("velero.io", "Schedule"): _field("phase", "Enabled", bad=("FailedValidation",)),
    ("k8s.keycloak.org", "Keycloak"): _Ready,
    ("k8s.keycloak.org", "KeycloakRealmImport"): _conditions("Done", failed=("HasErrors",)),
}

Target = tuple[Resource, str, str]
Report = Callable[[Sequence[str], float], None]


class NotReady(Failure):
    """Objects that did not get ready in time, or never will (`final`). `pending` says why, one line an object."""

    def __init__(self, cause: str, next_step: str, pending: Sequence[str], final: bool) -> None:
        super().__init__(cause, next_step)
        self.pending, self.final = list(pending), final


class Waiter:
    """Waits for many objects, reading them by one LIST a kind and namespace.

    Args:
        client: the API server.
        sleep, clock: for tests.
        label: the label that the objects carry; without it, or when an object doesn't carry it, it is read alone.
        report: is told every REPORT_EVERY seconds what is waited for, one line an object, and the seconds left.
    """

    def __init__(
        self,
        client: Client,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        label: str = "",
        report: Report | None = None,
    ) -> None:
        self._client, self._sleep, self._clock, self._label = client, sleep, clock, label
        self._report = report
        self._binding: dict[str, str] = {}

    def pending(self, targets: Iterable[Target]) -> dict[Target, Verdict]:
        """Read the objects once and say which of them are not ready, and why."""
        left: dict[Target, Verdict] = {}
        by_collection: dict[tuple[Resource, str], set[str]] = {}
        for resource, namespace, name in targets:
            by_collection.setdefault((resource, namespace), set()).add(name)
        for (resource, namespace), names in by_collection.items():
            unseen = set(names)
            if self._label and len(names) > 1:
                for item in self._client.list(resource.path(namespace), self._label):
                    name = item["metadata"]["name"]
                    if name in unseen:
                        unseen.discard(name)
                        found = self._judge({**item, "apiVersion": resource.api_version, "kind": resource.kind})
                        if not found.ready:
                            left[resource, namespace, name] = found
            for name in unseen:
                one = self._client.find(resource.path(namespace, name))
                found = self._judge(one) if one else _not_yet("is not there")
                if not found.ready:
                    left[resource, namespace, name] = found
        return left

    def _judge(self, item: Object) -> Verdict:
        """A claim whose class binds it with its first pod only is as ready as it gets without one."""
        found = verdict(item)
        if found.ready or item["kind"] != "PersistentVolumeClaim" or found.failed:
            return found
        of_class = item["spec"].get("storageClassName")
        if not of_class or "volume.kubernetes.io/selected-node" in (item["metadata"].get("annotations") or {}):
            return found
        if of_class not in self._binding:
            read = self._client.find(f"/apis/storage.k8s.io/v1/storageclasses/{escape(of_class)}") or {}
            self._binding[of_class] = read.get("volumeBindingMode", "")
        return READY if self._binding[of_class] == "WaitForFirstConsumer" else found

    def until(self, targets: Iterable[Target], deadline: float) -> None:
        """Wait until all objects are ready.

        Args:
            targets: the objects.
            deadline: on the clock, in seconds.

        Raises:
            NotReady: in time they were not, or one of them never will be; with conditions and last events.
        """
        left = list(targets)
        pause, said = _FIRST_PAUSE, self._clock()
        while left:
            found = self.pending(left)
            failed = {target: one for target, one in found.items() if one.failed}
            if failed:
                raise self._not_ready("will not get ready", failed)
            left = list(found)
            if not left:
                return
            if self._report and self._clock() >= said + REPORT_EVERY:
                said = self._clock()
                self._report(_lines(found), deadline - said)
            if self._clock() + pause > deadline:
                raise self._not_ready("not ready in time", found)
            self._sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _not_ready(self, how: str, found: Mapping[Target, Verdict]) -> NotReady:
        lines = [f"{len(found)} object(s) {how}:"]
        for target, one in list(found.items())[:_MOST_NAMED]:
            lines.append(f"  {named(target)}: {one.why}")
            lines += [f"    {line}" for line in self._events(target)]
        if len(found) > _MOST_NAMED:
            lines.append(f"  and {len(found) - _MOST_NAMED} more")
        return NotReady(
            "\n".join(lines),
            "look at the objects and events named; a longer wait is timeout",
            _lines(found),
            final=any(one.failed for one in found.values()),
        )

    def _events(self, target: Target) -> list[str]:
        """The last events of an object, and of what a workload made: pods are named after it."""
        resource, namespace, name = target
        path = f"/api/v1/namespaces/{namespace or 'default'}/events"
        lines: list[tuple[str, str]] = []
        try:
            for event in self._client.list(path):
                about = event.get("involvedObject") or {}
                own = about.get("kind") == resource.kind and about.get("name") == name
                made = about.get("kind") in ("Pod", "ReplicaSet", "Job") and about.get("name", "").startswith(
                    f"{name}-"
                )
                if own or made:
                    times = event.get("lastTimestamp"), event.get("eventTime"), event["metadata"]["creationTimestamp"]
                    what = f"{event.get('type')} {event.get('reason')}: {str(event.get('message', ''))[:200]}"
                    lines.append(
                        (str(next(filter(None, times))), f"event of {about.get('kind')} {about.get('name')}: {what}")
                    )
        except ApiError:
            return []  # whoever may not read events still learns the rest
        return [line for _when, line in sorted(lines)[-_MOST_EVENTS:]]


def _lines(found: Mapping[Target, Verdict]) -> list[str]:
    return [f"{named(target)}: {one.why}" for target, one in found.items()]


def named(target: Target) -> str:
    """Name an object: `Deployment banking-core/api`."""
    resource, namespace, name = target
    return f"{resource.kind} {namespace}/{name}" if namespace else f"{resource.kind} {name}"
