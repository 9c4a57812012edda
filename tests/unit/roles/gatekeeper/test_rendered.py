# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `gatekeeper` delivers, in its two waves. Its policies: test_policies.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.catalog import load
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.gatekeeper import CONSTRAINTS, Gatekeeper, group_of
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tests.unit.roles.gatekeeper.test_policies import NAMES
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

Render = Callable[..., Rendered]
WEBHOOK = "ValidatingWebhookConfiguration", "gatekeeper-validating-webhook-configuration"
ONCE = {"platform.banking/create-only": "true"}
# Of what the API server asks, by kind; nodes are looked at by the audit alone.
RESOURCES = {
    "Pod": "pods",
    "PersistentVolume": "persistentvolumes",
    "StorageClass": "storageclasses",
    "Service": "services",
    "Ingress": "ingresses",
    "Gateway": "gateways",
    "DaemonSet": "daemonsets",
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "Job": "jobs",
    "CronJob": "cronjobs",
    "Rollout": "rollouts",
}
ONLY_AUDITED = {"Node"}


def constraints(found: Rendered) -> dict[str, Any]:
    return {name: item for (_kind, name), item in found.objects.items() if group_of(item) == CONSTRAINTS}


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("gatekeeper", release)
    values = found.values["gatekeeper"]
    webhook, audit = found.workload("webhook"), found.workload("audit")
    assert (values["replicas"], audit.replicas) == (webhook.replicas, 1)
    assert values["pdb"] == {"controllerManager": {"minAvailable": webhook.replicas - 1}}
    for name, part in (("webhook", "controllerManager"), ("audit", "audit")):
        given, wanted = values[part], found.workload(name)
        assert given["podLabels"] == wanted.selector["matchLabels"], name
        assert set(given["resources"]["requests"]) == {"cpu", "memory"}, name
        assert set(given["resources"]["limits"]) == {"memory"}, name
        assert given["metricsPort"] == 8888, name
    assert len(values["controllerManager"]["topologySpreadConstraints"]) == 1
    # What the chart would do by jobs of its own.
    assert not values["upgradeCRDs"]["enabled"]
    assert not any(part["enabled"] for part in values["postInstall"].values())
    assert found.objects["Namespace", "gatekeeper-system"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]


def test_wave_10_only_watches_and_lays_no_claim_to_what_wave_18_enforces(rendered: Render) -> None:
    watched, enforced = (rendered("gatekeeper", "2024.1", tasks=name) for name in ("main", "enforce"))
    before, after = constraints(watched), constraints(enforced)
    assert before.keys() == after.keys()
    assert {item["spec"]["enforcementAction"] for item in before.values()} == {"dryrun"}
    assert {item["spec"]["enforcementAction"] for item in after.values()} == {"deny", "dryrun"}
    for name, item in before.items():
        assert item["metadata"]["annotations"].items() >= ONCE.items(), name
        assert not after[name]["metadata"]["annotations"].items() & ONCE.items(), name
        spec = after[name]["spec"] | {"enforcementAction": "dryrun"}
        assert item["spec"] == spec, name
    for found, policy, noted in ((watched, "Ignore", ONCE), (enforced, "Fail", {})):
        webhook = found.objects[WEBHOOK]
        assert {hook["failurePolicy"] for hook in webhook["webhooks"]} == {policy}
        assert (webhook["metadata"].get("annotations") or {}) == noted
    # Nothing else comes in wave 18, so nothing of wave 10 has two owners.
    assert len(enforced.objects) == len(after) + 1
    assert all(item["metadata"]["annotations"].items() >= ONCE.items() for item in before.values())


def test_each_policy_of_the_library_is_used(rendered: Render) -> None:
    found = rendered("gatekeeper", "2024.1")
    assert {item["kind"].lower() for item in constraints(found).values()} == set(NAMES)
    assert {name for kind, name in found.objects if kind == "ConstraintTemplate"} == set(NAMES)


def test_the_api_server_asks_about_all_that_policies_are_about(rendered: Render) -> None:
    found = rendered("gatekeeper", "2024.1")
    known = Gatekeeper(found.objects.values())
    kinds = {
        (group, kind)
        for item in known.constraints.values()
        for rule in item["spec"]["match"]["kinds"]
        for group in rule["apiGroups"]
        for kind in rule["kinds"]
    } | {
        (group, kind)
        for item in known.expansions
        for rule in item["spec"]["applyTo"]
        for group in rule["groups"]
        for kind in rule["kinds"]
    }
    rules = found.objects[WEBHOOK]["webhooks"][0]["rules"]
    asked = {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
    wanted = {(group, RESOURCES[kind]) for group, kind in kinds if kind not in ONLY_AUDITED}
    assert wanted <= asked
    # And about nothing else, for each question is one that may stay without an answer.
    own = {(group, resource) for group, resource in asked if group.endswith("gatekeeper.sh")}
    assert asked - wanted - own == {("", "pods/ephemeralcontainers")}


def test_whatever_gatekeeper_needs_comes_up_without_it(rendered: Render) -> None:
    found = rendered("gatekeeper", "2024.1", tasks="enforce")
    own = found.objects[WEBHOOK]["webhooks"][0]["namespaceSelector"]["matchExpressions"]
    (exempt,) = (rule["values"] for rule in own if rule["key"] == "kubernetes.io/metadata.name")
    assert {"kube-system", "gatekeeper-system", "calico-system", "tigera-operator", "rook-ceph"} <= set(exempt)
    for name, item in constraints(found).items():
        match = item["spec"]["match"]
        assert set(exempt) <= set(match.get("excludedNamespaces", exempt)), name
        assert not set(exempt) & set(match.get("namespaces", ())), name


def test_namespaces_belong_to_groups(rendered: Render) -> None:
    found = constraints(rendered("gatekeeper", "2024.1"))
    applications = ["banking-services", "banking-system"]
    services = ["banking-auth", "banking-data", "banking-monitoring", "banking-security"]
    assert found["allowed-repos"]["spec"]["match"]["namespaces"] == applications
    others = found["allowed-repos-platform"]["spec"]["match"]["excludedNamespaces"]
    assert set(applications) <= set(others)
    assert not set(services) & set(others)
    assert not set(services) & set(found["non-root"]["spec"]["match"]["excludedNamespaces"])


def test_no_namespace_does_not_mean_every_one(rendered: Render) -> None:
    found = constraints(rendered("gatekeeper", "2024.1", gatekeeper_groups={"applications": [], "services": []}))
    assert "allowed-repos" not in found
    assert "allowed-repos-platform" in found


def test_images_come_from_the_bank_and_from_what_the_catalog_names(rendered: Render) -> None:
    found = constraints(rendered("gatekeeper", "2026.2", gatekeeper_registries=["harbor.bank"]))
    assert found["allowed-repos"]["spec"]["parameters"]["repos"] == ["harbor.bank"]
    repos = found["allowed-repos-platform"]["spec"]["parameters"]["repos"]
    assert repos == ["harbor.bank", *load("2026.2").repositories()]


def test_constraints_and_exemptions_are_laid_over_those_of_the_platform(rendered: Render) -> None:
    ours = {"policies": ["seccompprofile"], "namespaces": ["x"], "reason": "a test of ours", "role": "nobody"}
    found = constraints(
        rendered(
            "gatekeeper",
            "2024.1",
            tasks="enforce",
            gatekeeper_constraints={"seccomp": {"action": "warn"}, "tags": {**TAGS, "action": "deny"}},
            gatekeeper_exemptions={"x": ours},
        )
    )
    assert found["seccomp"]["spec"]["enforcementAction"] == "warn"
    assert found["seccomp"]["spec"]["parameters"]["types"] == ["RuntimeDefault", "Localhost"]
    assert {"namespaces": ["x"], "reason": "a test of ours"} in found["seccomp"]["spec"]["parameters"]["exemptions"]
    assert found["tags"]["spec"]["parameters"] == {"exemptions": [], "moving": ["main"]}


TAGS = {"policy": "imagetags", "groups": ["applications"], "parameters": {"moving": ["main"]}}


def test_every_exemption_has_a_reason_and_an_owner(rendered: Render) -> None:
    found = rendered("gatekeeper", "2024.1").variables["__gatekeeper_exemptions"]
    assert found
    roles = {path.name for path in (CLONE / "roles").iterdir()}
    for name, exemption in found.items():
        assert len(exemption["reason"]) > 20, name
        assert exemption["role"] in roles, name
        assert set(exemption["policies"]) <= set(NAMES), name
        assert exemption["policies"], name
        # Never a namespace as a whole.
        assert exemption["namespaces"], name
        assert set(exemption) & {"names", "labels", "containers"}, name


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert ("PrometheusRule", "gatekeeper") not in rendered("gatekeeper", "2024.1").objects
    found = rendered("gatekeeper", "2024.1", gatekeeper_monitoring=True, gatekeeper_audit_interval=60).objects
    rules = found["PrometheusRule", "gatekeeper"]["spec"]["groups"][0]["rules"]
    assert [(rule["alert"], rule["labels"]["severity"]) for rule in rules] == [
        ("PolicyViolated", "warning"),
        ("PolicyNotTaken", "critical"),
        ("PoliciesNotAudited", "critical"),
        ("PolicyWebhookAway", "critical"),
    ]
    assert "> 180 or absent" in rules[2]["expr"]
    assert rules[0]["annotations"]["summary"].startswith("{{ $value }} objects")
    assert ("PodMonitor", "gatekeeper") in found


@pytest.mark.crds
@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_what_the_crds_take(rendered: Render, release: str) -> None:
    schemas = Schemas(load(release).kubernetes, [f"{crds_folder()}/{release}"])
    for tasks in ("main", "enforce"):
        found = rendered("gatekeeper", release, tasks=tasks, gatekeeper_monitoring=True)
        verdict = schemas.check([Manifest(item, "gatekeeper") for item in found.objects.values()])
        assert (verdict.problems, verdict.unknown) == ([], {})
    wrong = copy.deepcopy(constraints(found)["seccomp"])
    wrong["spec"]["parameters"]["type"] = ["RuntimeDefault"]
    (problem,) = schemas.check([Manifest(wrong, "gatekeeper")]).problems
    assert problem.endswith("spec.parameters: unknown field 'type'")
