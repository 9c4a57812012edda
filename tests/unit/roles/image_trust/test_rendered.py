# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `image_trust` delivers. Its two waves on an API server: tests/integration/kube/test_image_trust.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
PEM = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
TSA = {"chain": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"}
KEYLESS = {"issuer": "https://keycloak.example.org/realms/banking", "subject": "pipeline@example.org"}
ONCE = "platform.banking/create-only"


def policies(found: Rendered) -> dict[str, dict[str, Any]]:
    return {name: item for (kind, name), item in found.objects.items() if kind == "ClusterImagePolicy"}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("name", "workload"), [("policy-controller-webhook", "webhook"), ("tsa", "tsa")])
def test_pods_are_as_declared_and_confined(rendered: Render, release: str, name: str, workload: str) -> None:
    found = rendered("image_trust", release, image_trust_tsa=TSA)
    wanted = found.workload(workload)
    spec = found.objects["Deployment", name]["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    assert spec["replicas"] == wanted.replicas
    assert wanted.selector["matchLabels"].items() <= labels.items()
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    constraint = pod["topologySpreadConstraints"][0]
    assert constraint["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]
    assert pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    assert {"readinessProbe", "livenessProbe"} <= set(container)
    assert "@sha256:" in container["image"]
    listens = {port["containerPort"] for port in container["ports"]}
    assert found.declared
    assert {
        number for port in found.declared.ports if workload in port["workloads"] for number in port["ports"]
    } <= listens
    assert {metric["port"] for metric in found.declared.metrics if metric["name"] == workload} <= listens


@pytest.mark.parametrize("release", RELEASES)
def test_wave_10_only_warns_and_is_made_once(rendered: Render, release: str) -> None:
    found = rendered("image_trust", release)
    assert set(policies(found)) == {"bank", "mesh"}
    for policy in policies(found).values():
        assert policy["spec"]["mode"] == "warn"
        assert policy["metadata"]["annotations"][ONCE] == "true"
    config = found.objects["ConfigMap", "config-policy-controller"]
    assert config["data"] == {"no-match-policy": "warn"}
    assert config["metadata"]["annotations"][ONCE] == "true"


@pytest.mark.parametrize("mode", ["enforce", "warn"])
def test_wave_18_owns_the_policies(rendered: Render, mode: str) -> None:
    early = rendered("image_trust", "2026.2")
    late = rendered("image_trust", "2026.2", tasks="enforce", image_trust_mode=mode)
    assert policies(late).keys() == policies(early).keys()
    for name, policy in policies(late).items():
        assert policy["spec"] == {**policies(early)[name]["spec"], "mode": mode}
        assert ONCE not in policy["metadata"]["annotations"]
    config = late.objects["ConfigMap", "config-policy-controller"]
    assert config["data"] == {"no-match-policy": "deny"}
    assert "annotations" not in config["metadata"]
    task = yaml.safe_load((CLONE / "roles/image_trust/tasks/enforce.yml").read_text())[0]
    assert task["banking.platform.component"]["take_over"] is True


def test_one_policy_may_stay_behind(rendered: Render) -> None:
    policy = {"globs": ["harbor.example.org/new/**"], "authorities": [{"key": {"data": PEM}}], "mode": "warn"}
    found = rendered("image_trust", "2024.1", tasks="enforce", image_trust_policies={"new": policy})
    assert policies(found)["new"]["spec"] == {
        "mode": "warn",
        "images": [{"glob": "harbor.example.org/new/**"}],
        "authorities": [{"key": {"data": PEM}}],
    }


def test_the_banks_key_comes_from_vault_by_a_store_that_may_read_it(rendered: Render) -> None:
    found = rendered("image_trust", "2026.2", image_trust_tsa=TSA)
    key = policies(found)["bank"]["spec"]["authorities"][0]["key"]
    made = {name: item["spec"] for (kind, name), item in found.objects.items() if kind == "ExternalSecret"}
    assert set(made) == {key["secretRef"]["name"], "tsa-key"}
    stores = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]
    for spec in made.values():
        store = stores[spec["secretStoreRef"]["name"]]
        assert "banking-security" in store["namespaces"]
        assert {item["remoteRef"]["key"] for item in spec["data"]} <= set(store["read"])
        # The controller takes a Secret with one key only.
        assert len(spec["data"]) == 1


@pytest.mark.parametrize("key", [{"data": PEM}, {"kms": "hashivault://image-signing"}])
def test_a_key_that_is_no_secret_needs_no_store(rendered: Render, key: dict[str, str]) -> None:
    vault = {"address": "https://vault.vault.svc:8200", "secret": "image-trust-vault"}
    found = rendered("image_trust", "2024.1", image_trust_key=key, image_trust_vault=vault)
    assert not [name for kind, name in found.objects if kind == "ExternalSecret"]
    assert policies(found)["bank"]["spec"]["authorities"] == [{"name": "bank", "key": key}]
    assert not found.refused
    (container,) = found.objects["Deployment", "policy-controller-webhook"]["spec"]["template"]["spec"]["containers"]
    token = next(item for item in container["env"] if item["name"] == "VAULT_TOKEN")
    assert token["valueFrom"] == {"secretKeyRef": {"name": "image-trust-vault", "key": "token"}}
    assert found.declared
    assert "vault" in [edge["to"] for edge in found.declared.edges]


def test_what_the_controller_could_not_do_is_refused(rendered: Render) -> None:
    kms = rendered("image_trust", "2024.1", image_trust_key={"kms": "hashivault://image-signing"})
    assert "image_trust_vault" in kms.refused[0]
    policy = {"globs": ["**"], "authorities": [{"keyless": {"identities": [KEYLESS]}}]}
    keyless = rendered("image_trust", "2024.1", image_trust_policies={"pipeline": policy})
    assert "trustRootRef" in keyless.refused[0]


def test_keyless_signatures_rest_on_a_root_of_the_bank(rendered: Render) -> None:
    keyless = {"identities": [KEYLESS], "trustRootRef": "bank"}
    policy = {"globs": ["harbor.example.org/**"], "authorities": [{"keyless": keyless}]}
    root = {"remote": {"mirror": "https://tuf.example.org", "root": "e30="}}
    found = rendered(
        "image_trust", "2026.2", image_trust_policies={"pipeline": policy}, image_trust_roots={"bank": root}
    )
    assert not found.refused
    assert found.objects["TrustRoot", "bank"]["spec"] == root
    assert policies(found)["pipeline"]["spec"]["authorities"] == [{"keyless": keyless}]


def test_no_timestamps_without_a_certificate(rendered: Render) -> None:
    found = rendered("image_trust", "2024.1")
    assert not [name for kind, name in found.objects if name.startswith("tsa")]
    assert found.workload("tsa").replicas == 0
    assert found.declared
    assert [quorum.name for quorum in found.declared.quorum] == ["webhook"]


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert ("PrometheusRule", "image-trust") not in rendered("image_trust", "2024.1").objects
    found = rendered("image_trust", "2024.1", image_trust_monitoring=True)
    rules = found.objects["PrometheusRule", "image-trust"]["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == ["ImageRefused", "ImageTrustNearlyDown"]
    assert found.values["policy-controller"]["serviceMonitor"] == {"enabled": True}
