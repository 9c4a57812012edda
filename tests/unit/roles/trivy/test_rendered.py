# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `trivy` delivers. With its chart: molecule/trivy."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
IGNORED = [
    {"id": "CVE-2024-0001", "reason": "not reachable", "until": "2199-01-01"},
    {"id": "CVE-2024-0002", "reason": "only in the tests", "until": "2199-01-01", "namespace": "banking-data"},
    {"id": "CVE-2024-0003", "reason": "was to be gone", "until": "2020-01-01"},
]


@pytest.mark.parametrize("release", RELEASES)
def test_pods_are_as_declared_and_confined(rendered: Render, release: str) -> None:
    found = rendered("trivy", release)
    values = found.values["trivy-operator"]
    operator, server, scans = (found.workload(name) for name in ("operator", "server", "scans"))
    assert values["operator"]["podLabels"] == operator.selector["matchLabels"]
    assert values["operator"]["scanJobsConcurrentLimit"] == scans.replicas
    (label,) = scans.selector["matchLabels"].items()
    assert values["trivyOperator"]["scanJobPodTemplateLabels"] == "=".join(label)
    spec = found.objects["StatefulSet", "trivy-server"]["spec"]
    assert spec["replicas"] == server.replicas
    assert server.selector["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    pod = spec["template"]["spec"]
    contexts = [
        (values["podSecurityContext"], values["securityContext"]),
        (pod["securityContext"], pod["containers"][0]["securityContext"]),
        (
            values["trivyOperator"]["scanJobPodTemplatePodSecurityContext"],
            values["trivyOperator"]["scanJobPodTemplateContainerSecurityContext"],
        ),
    ]
    for of_pod, of_container in contexts:
        assert of_pod["runAsNonRoot"] is True
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert of_container["readOnlyRootFilesystem"] is True
        assert of_container["allowPrivilegeEscalation"] is False
        assert of_container["capabilities"] == {"drop": ["ALL"]}
    listens = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert found.declared
    assert {number for port in found.declared.ports for number in port["ports"]} == listens
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "5Gi"


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_comes_from_outside_of_the_banks_registry(rendered: Render, release: str) -> None:
    found = rendered("trivy", release, trivy_databases="registry.example.org/mirror/security")
    values = found.values["trivy-operator"]
    trivy = values["trivy"]
    for kind, name in (("db", "trivy-db"), ("javaDb", "trivy-java-db")):
        assert trivy[f"{kind}Registry"] == "registry.example.org"
        assert trivy[f"{kind}Repository"] == f"mirror/security/{name}"
    pod = found.objects["StatefulSet", "trivy-server"]["spec"]["template"]["spec"]
    env = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
    assert env["TRIVY_DB_REPOSITORY"] == "registry.example.org/mirror/security/trivy-db"
    assert env["TRIVY_JAVA_DB_REPOSITORY"] == "registry.example.org/mirror/security/trivy-java-db"
    assert trivy["offlineScan"] is True
    assert (trivy["useBuiltinRegoPolicies"], trivy["useEmbeddedRegoPolicies"]) == ("false", "true")
    assert values["nodeCollector"] == {"excludeNodes": "kubernetes.io/os=linux"}


@pytest.mark.parametrize("release", RELEASES)
def test_compliance_is_reported_as_the_document_asks(rendered: Render, release: str) -> None:
    compliance = rendered("trivy", release).values["trivy-operator"]["compliance"]
    assert {name.rsplit("-", 1)[0] for name in compliance["specs"]} == {
        "k8s-cis",
        "k8s-nsa",
        "k8s-pss-baseline",
        "k8s-pss-restricted",
    }


def policies(found: Rendered) -> dict[str, str]:
    trivy: dict[str, Any] = found.values["trivy-operator"]["trivy"]
    return {name: value for name, value in trivy.items() if name.startswith("ignorePolicy")}


def test_reasons_stand_beside_what_is_ignored(rendered: Render) -> None:
    assert not policies(rendered("trivy", "2024.1"))
    found = policies(rendered("trivy", "2024.1", trivy_ignored=IGNORED))
    assert set(found) == {"ignorePolicy", "ignorePolicy.banking-data"}
    assert "# not reachable" in found["ignorePolicy"]
    assert "CVE-2024-0002" not in found["ignorePolicy"]


@pytest.mark.parametrize(
    ("policy", "ignored"),
    [("ignorePolicy", {"CVE-2024-0001"}), ("ignorePolicy.banking-data", {"CVE-2024-0001", "CVE-2024-0002"})],
)
def test_what_is_ignored_is_so_until_its_day(rendered: Render, policy: str, ignored: set[str]) -> None:
    regorus = pytest.importorskip("regorus", reason="no regorus: the policy is not evaluated")
    text = policies(rendered("trivy", "2026.2", trivy_ignored=IGNORED))[policy]
    found = set()
    for name in ("CVE-2024-0001", "CVE-2024-0002", "CVE-2024-0003", "CVE-2024-0004"):
        engine = regorus.Engine()
        engine.add_policy("ignore.rego", text)
        engine.set_input_json(json.dumps({"VulnerabilityID": name}))
        if json.loads(engine.eval_rule_as_json("data.trivy.ignore")):
            found.add(name)
    assert found == ignored


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert ("PrometheusRule", "trivy") not in rendered("trivy", "2024.1").objects
    found = rendered("trivy", "2024.1", trivy_monitoring=True)
    rules = found.objects["PrometheusRule", "trivy"]["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == ["CriticalVulnerability", "SecretInImage", "NothingScanned"]
    assert found.values["trivy-operator"]["serviceMonitor"] == {"enabled": True}
