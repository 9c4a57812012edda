# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ClusterLogForwarder: what it becomes, and what is refused of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.log_forwarder import (
    ForwarderError,
    for_openshift,
    routes,
)
from ansible_collections.banking.platform.tests.unit.roles.elk.test_rendered import FORWARDER

Change = Callable[[dict[str, Any]], None]


def changed(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = copy.deepcopy(FORWARDER)
    change(document["spec"])
    return document


def test_the_document_of_the_source() -> None:
    (route,) = routes(FORWARDER)
    assert (route["name"], route["plugin"], route["secret"]) == (
        "application-logs-elasticsearch-output",
        "elasticsearch",
        "firefly",
    )
    assert route["options"]["index"] == "firefly-banking-%{[@metadata][log_type]}-%{+yyyy.MM.dd}"
    assert routes({}) == routes(None) == []


def test_inputs_of_ones_own_and_the_platforms_own_streams() -> None:
    def change(spec: dict[str, Any]) -> None:
        labels = {"app.kubernetes.io/name": "cards"}
        application = {"namespaces": ["banking-system", "banking-services"], "selector": {"matchLabels": labels}}
        spec["inputs"] = [{"name": "cards", "application": application}]
        spec["pipelines"][0].update(inputRefs=["cards", "audit"], outputs=["elasticsearch-output", "default"])

    (route,) = routes(changed(change))
    assert route["condition"] == (
        '(([kubernetes][namespace] == "banking-system" or [kubernetes][namespace] == "banking-services") and '
        '[kubernetes][labels][app_kubernetes_io/name] == "cards") or '
        '("kubernetes-audit" in [tags] or "auditd" in [tags])'
    )


def test_what_openshift_takes() -> None:
    older = for_openshift(FORWARDER, "logging.openshift.io/v1")["spec"]
    assert older["pipelines"] == [
        {
            "name": "application-logs",
            "inputRefs": ["application"],
            "outputRefs": ["elasticsearch-output"],
            "parse": "json",
        }
    ]
    newer = for_openshift(FORWARDER, "observability.openshift.io/v1")["spec"]
    assert newer["serviceAccount"] == {"name": "logcollector"}
    assert newer["filters"] == [{"name": "parse", "type": "parse"}]
    assert newer["pipelines"][0]["filterRefs"] == ["parse"]
    (output,) = newer["outputs"]
    # Dates are no part of an index there.
    assert output["elasticsearch"]["index"] == 'firefly-banking-{.log_type||"none"}'
    assert output["elasticsearch"]["authentication"]["password"] == {"key": "password", "secretName": "firefly"}
    with pytest.raises(ForwarderError, match="apiVersion"):
        for_openshift(FORWARDER, "v1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec.update(inputz=[]), "unknown field 'inputz': did you mean 'inputs'"),
        (lambda spec: spec.update(pipelines=[]), "none: say which logs go where"),
        (lambda spec: spec["outputs"][0].update(limit={}), "unknown field 'limit'"),
        (lambda spec: spec["outputs"][0].update(type="kafka"), "type: 'kafka'"),
        (lambda spec: spec["outputs"][0].update(url="http://x:9200"), "https://<host>:<port> is wanted"),
        (lambda spec: spec["outputs"][0].update(url="https://a:b@x:9200"), "without a user"),
        (lambda spec: spec["outputs"][0].update(http={}), "the type is elasticsearch"),
        (lambda spec: spec["outputs"][0].update(tls={"insecureSkipVerify": True}), "cert_manager_authorities"),
        (lambda spec: spec["outputs"][0].update(elasticsearch={"index": "{.log_typo}"}), "{.log_typo}"),
        (lambda spec: spec["outputs"][0].update(elasticsearch={"index": "Logs x"}), "small letters"),
        (lambda spec: spec["outputs"].append(dict(spec["outputs"][0])), "is there already"),
        (lambda spec: spec["outputs"][0].update(name="a b"), "letters, digits and hyphens"),
        (lambda spec: spec["pipelines"][0].update(outputs=["elastic"]), "'elastic' is nowhere"),
        (lambda spec: spec["pipelines"][0].update(outputRefs=["default"]), "it is called outputRefs"),
        (lambda spec: spec["pipelines"][0].update(inputRefs=[]), "name at least one"),
        (lambda spec: spec["pipelines"][0].update(filterRefs=["json-parse"]), "'json-parse' is nowhere"),
        (lambda spec: spec["pipelines"][0].update(parse="xml"), "json is wanted"),
        (lambda spec: spec["pipelines"][0].update(labels={"a": 'x"]'}), "letters, digits, dots"),
        (lambda spec: spec.update(filters=[{"name": "x", "type": "kubeAPIAudit"}]), "only `parse` is translated"),
        (lambda spec: spec.update(inputs=[{"name": "audit", "application": {}}]), "is there already"),
        (lambda spec: spec.update(inputs=[{"name": "x"}]), "application is wanted"),
    ],
)
def test_what_no_route_would_heed_is_refused(change: Change, words: str) -> None:
    with pytest.raises(ForwarderError) as told:
        routes(changed(change))
    assert words in str(told.value)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ForwarderError, match="is wanted, not 'Deployment'"):
        routes({**FORWARDER, "kind": "Deployment"})
