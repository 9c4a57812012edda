# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an object is ready, by its kind."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import wait
from ansible_collections.banking.platform.tools import suites

READY, NOT_YET, FAILED = "ready", "not yet", "failed"


def item(kind: str, status: Any = None, spec: Any = None, **meta: Any) -> dict[str, Any]:
    api_version, _dot, name = kind.rpartition(" ")
    return {
        "apiVersion": api_version,
        "kind": name,
        "metadata": {"name": "a", "generation": 2, **meta},
        "spec": spec or {},
        "status": status,
    }


def conditions(*pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status} for kind, status in pairs], **more}


DEPLOYED = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}
THREE = {"replicas": 3}
STATEFUL = {"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 3}
DAEMON = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3}
LATE = {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]}

CASES = [
    (item("apps/v1 Deployment", DEPLOYED, THREE), READY),
    (item("apps/v1 Deployment", None, THREE), NOT_YET),
    (item("apps/v1 Deployment", {**DEPLOYED, "observedGeneration": 1}, THREE), NOT_YET),
    (item("apps/v1 Deployment", {**DEPLOYED, "updatedReplicas": 2}, THREE), NOT_YET),
    (item("apps/v1 Deployment", {**DEPLOYED, "availableReplicas": 2}, THREE), NOT_YET),
    (item("apps/v1 Deployment", {**DEPLOYED, "replicas": 4}, THREE), NOT_YET),
    (item("apps/v1 Deployment", {**DEPLOYED, **LATE}, THREE), FAILED),
    (item("apps/v1 Deployment", {"observedGeneration": 2}, {"replicas": 0}), READY),
    (item("apps/v1 Deployment", {"observedGeneration": 2}, {}), NOT_YET),
    (item("apps/v1 Deployment", DEPLOYED, THREE, deletionTimestamp="now"), NOT_YET),
    (item("apps/v1 StatefulSet", STATEFUL, THREE), READY),
    (item("apps/v1 StatefulSet", {**STATEFUL, "readyReplicas": 2}, THREE), NOT_YET),
    (item("apps/v1 StatefulSet", {**STATEFUL, "updatedReplicas": 1}, THREE), NOT_YET),
    (
        item(
            "apps/v1 StatefulSet",
            {**STATEFUL, "updatedReplicas": 1},
            {**THREE, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
        ),
        READY,
    ),
    (
        item(
            "apps/v1 StatefulSet", {**STATEFUL, "updatedReplicas": 0}, {**THREE, "updateStrategy": {"type": "OnDelete"}}
        ),
        READY,
    ),
    (item("apps/v1 DaemonSet", DAEMON), READY),
    (item("apps/v1 DaemonSet", {**DAEMON, "updatedNumberScheduled": 2}), NOT_YET),
    (item("apps/v1 DaemonSet", {**DAEMON, "numberReady": 2}), NOT_YET),
    (item("apps/v1 DaemonSet", {"observedGeneration": 2}), READY),
    (item("apps/v1 ReplicaSet", {"observedGeneration": 2, "readyReplicas": 2}, THREE), NOT_YET),
    (item("batch/v1 Job", conditions(("Complete", "True"))), READY),
    (item("batch/v1 Job", conditions(("Failed", "True"))), FAILED),
    (item("batch/v1 Job", {"active": 1}), NOT_YET),
    (item("batch/v1 Job", None, {"suspend": True}), READY),
    (item("v1 Pod", conditions(("Ready", "True"), phase="Running")), READY),
    (item("v1 Pod", conditions(("Ready", "False"), phase="Running")), NOT_YET),
    (item("v1 Pod", {"phase": "Succeeded"}), READY),
    (item("v1 Pod", {"phase": "Failed"}), FAILED),
    (item("v1 PersistentVolumeClaim", {"phase": "Bound"}), READY),
    (item("v1 PersistentVolumeClaim", {"phase": "Pending"}), NOT_YET),
    (item("v1 PersistentVolumeClaim", {"phase": "Lost"}), FAILED),
    (item("v1 Namespace", {"phase": "Active"}), READY),
    (item("v1 Namespace", {"phase": "Terminating"}), NOT_YET),
    (item("v1 Service", {"loadBalancer": {}}, {"type": "LoadBalancer"}), NOT_YET),
    (item("v1 Service", {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}, {"type": "LoadBalancer"}), READY),
    (item("v1 Service", {}, {"type": "ClusterIP"}), READY),
    (item("v1 ConfigMap"), READY),
    (item("apiextensions.k8s.io/v1 CustomResourceDefinition", conditions(("Established", "True"))), READY),
    (item("apiextensions.k8s.io/v1 CustomResourceDefinition", conditions(("NamesAccepted", "False"))), FAILED),
    (item("apiextensions.k8s.io/v1 CustomResourceDefinition"), NOT_YET),
    (item("apiregistration.k8s.io/v1 APIService", conditions(("Available", "False"))), NOT_YET),
    (item("apiregistration.k8s.io/v1 APIService", conditions(("Available", "True"))), READY),
    (item("cert-manager.io/v1 Certificate", conditions(("Ready", "True"))), READY),
    (item("cert-manager.io/v1 Certificate", conditions(("Ready", "Unknown"))), NOT_YET),
    (item("cert-manager.io/v1 Certificate"), NOT_YET),
    (item("kafka.strimzi.io/v1beta2 KafkaTopic", conditions(("Ready", "True"), observedGeneration=1)), NOT_YET),
    (item("kafka.strimzi.io/v1beta2 Kafka", conditions(("Ready", "True"), observedGeneration=2)), READY),
    (
        item("templates.gatekeeper.sh/v1 ConstraintTemplate", {"created": True, "byPod": [{"observedGeneration": 2}]}),
        READY,
    ),
    (item("templates.gatekeeper.sh/v1 ConstraintTemplate", {"created": True}), NOT_YET),
    (item("templates.gatekeeper.sh/v1 ConstraintTemplate", {"byPod": [{"observedGeneration": 2}]}), NOT_YET),
    (
        item("templates.gatekeeper.sh/v1 ConstraintTemplate", {"created": True, "byPod": [{"observedGeneration": 1}]}),
        NOT_YET,
    ),
    (
        item(
            "templates.gatekeeper.sh/v1 ConstraintTemplate",
            {"byPod": [{"observedGeneration": 2, "errors": [{"code": "ingest_error", "message": "rego_parse_error"}]}]},
        ),
        FAILED,
    ),
    (item("argoproj.io/v1alpha1 Application", {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}), READY),
    (
        item("argoproj.io/v1alpha1 Application", {"sync": {"status": "OutOfSync"}, "health": {"status": "Healthy"}}),
        NOT_YET,
    ),
    (item("elasticsearch.k8s.elastic.co/v1 Elasticsearch", {"phase": "Ready", "health": "green"}), READY),
    (item("elasticsearch.k8s.elastic.co/v1 Elasticsearch", {"phase": "Ready", "health": "yellow"}), NOT_YET),
    (item("velero.io/v1 Backup", {"phase": "PartiallyFailed"}), FAILED),
]


@pytest.mark.parametrize(("made", "expected"), CASES, ids=[f"{made['kind']}-{end}" for made, end in CASES])
def test_verdict(made: dict[str, Any], expected: str) -> None:
    found = wait.verdict(made)
    assert (READY if found.ready else FAILED if found.failed else NOT_YET) == expected
    assert bool(found.why) == (expected != READY)


def test_a_condition_about_an_earlier_generation_does_not_count() -> None:
    made = item("cert-manager.io/v1 Certificate")
    made["status"] = {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}
    assert not wait.verdict(made).ready
    made["status"]["conditions"][0]["observedGeneration"] = 2
    assert wait.verdict(made).ready


def test_a_container_that_cannot_start_is_named() -> None:
    waiting = {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    found = wait.verdict(item("v1 Pod", {"phase": "Pending", "containerStatuses": [waiting]}))
    assert found.why == "container main: ImagePullBackOff: no such image"


@pytest.mark.crds
def test_every_rule_is_about_a_kind_and_a_field_that_a_release_has() -> None:
    """The table against the CRDs themselves: a kind, and that its status has conditions or the field named."""
    folder = suites.crds_folder()
    assert folder
    groups: dict[str, set[str]] = {}
    for path in folder.glob("*/*/*.yaml"):
        # By their indentation: parsing 70 MB of schemas takes half a minute.
        text = path.read_text()
        for group, kind in zip(
            re.findall(r"^  group: (\S+)", text, re.MULTILINE),
            re.findall(r"^  names:\n(?:    .*\n)*?    kind: (\S+)", text, re.MULTILINE),
            strict=True,
        ):
            groups.setdefault(group, set()).add(kind)
    assert len(groups) > 30
    # Delivered with their charts, not among the CRDs of the catalog.
    elsewhere = {"trust.cert-manager.io"}
    unknown = [
        f"{kind}.{group}"
        for group, kind in wait._RULES
        if group not in elsewhere and (group not in groups or (kind != "*" and kind not in groups[group]))
    ]
    assert not unknown
