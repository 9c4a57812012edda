# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role renders for each inventory and release: valid, whole, and within the budget."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest

from ansible_collections.banking.platform.plugins.module_utils import catalog, quantities
from ansible_collections.banking.platform.plugins.module_utils.declarations import WORKLOAD_LABEL
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.unit.roles.tenancy.conftest import ENVIRONMENTS, rendered
from ansible_collections.banking.platform.tests.unit.roles.tenancy.test_edges import has_pods
from ansible_collections.banking.platform.tools.suites import crds_folder

RELEASES = catalog.releases()
FOLDERS = ("manifests", "enforce")
# Requirement K4.
SIX = ["banking-auth", "banking-data", "banking-monitoring", "banking-security", "banking-services", "banking-system"]

MESH = ["banking-services", "banking-system"]

each_release = pytest.mark.parametrize("release", RELEASES)
each_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


@functools.cache
def schema(release: str, api_version: str, kind: str) -> Any:
    """What checks a kind strictly, as the Kubernetes of a release has it."""
    minor = ".".join(catalog.load(release).kubernetes.split(".")[:2])
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{minor}.0-local-strict"
    group, _slash, version = api_version.rpartition("/")
    file = folder / "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)
    return jsonschema_rs.validator_for(
        json.loads(file.with_suffix(".json").read_text()),
        base_uri=file.as_uri(),
        retriever=lambda uri: json.loads((folder / uri.rpartition("/")[2]).read_text()),
    )


def of_kind(kind: str, environment: str = "prod", release: str = "", folder: str = "manifests") -> dict[Any, Any]:
    """Objects of a kind by namespace and name."""
    return {
        (item["metadata"].get("namespace", ""), item["metadata"]["name"]): item
        for item in rendered(environment, release).objects(folder)
        if item["kind"] == kind
    }


@each_release
@each_environment
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_valid(environment, release, folder):
    objects = [
        item for item in rendered(environment, release).objects(folder) if ".istio.io/" not in item["apiVersion"]
    ]
    assert len(objects) >= len(SIX)
    found = {
        f"{item['kind']} {item['metadata']['name']}": [
            error.message for error in schema(release, item["apiVersion"], item["kind"]).iter_errors(item)
        ]
        for item in objects
    }
    assert not {name: errors for name, errors in found.items() if errors}


@pytest.mark.crds
@each_release
@each_environment
def test_every_object_of_the_mesh_is_valid(environment, release):
    objects = [Manifest(item, "enforce") for item in rendered(environment, release).objects("enforce")]
    verdict = crds(release).check(objects)
    assert (verdict.problems, dict(verdict.unknown)) == ([], {})
    assert sum(item.object["kind"] == "AuthorizationPolicy" for item in objects) > len(MESH)


@functools.cache
def crds(release: str) -> Schemas:
    """What checks Istio's kinds, too."""
    return Schemas(catalog.load(release).kubernetes, [str(Path(str(crds_folder())) / release / "istio")])


@each_release
def test_a_field_that_does_not_exist_is_found(release):
    """The test above can fail."""
    policy = of_kind("NetworkPolicy", release=release, folder="enforce")["banking-data", "default-deny"]
    wrong = {**policy, "spec": {**policy["spec"], "policyType": ["Ingress"]}}
    assert schema(release, wrong["apiVersion"], wrong["kind"]).is_valid(policy)
    assert not schema(release, wrong["apiVersion"], wrong["kind"]).is_valid(wrong)


@each_environment
def test_no_object_is_there_twice(environment):
    for folder in FOLDERS:
        names = [
            (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
            for item in rendered(environment).objects(folder)
        ]
        assert len(names) == len(set(names))


@each_release
def test_the_six_namespaces_are_guarded_from_wave_18_on_and_watched_before(release):
    early, late = (of_kind("Namespace", release=release, folder=folder) for folder in FOLDERS)
    assert [name for _none, name in early] == [name for _none, name in late] == SIX
    minor = "v" + ".".join(catalog.load(release).kubernetes.split(".")[:2])
    for key, namespace in early.items():
        labels, enforced = namespace["metadata"]["labels"], late[key]["metadata"]["labels"]
        levels = {name: value for name, value in enforced.items() if name not in labels}
        assert set(levels) == {"pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/enforce-version"}
        assert labels["pod-security.kubernetes.io/warn"] == labels["pod-security.kubernetes.io/audit"] == "restricted"
        assert {value for name, value in enforced.items() if name.endswith("-version")} == {minor}
        # One owner: the early one is only made, the late one is kept as it is.
        assert namespace["metadata"]["annotations"]["platform.banking/create-only"] == "true"
        assert "platform.banking/create-only" not in late[key]["metadata"]["annotations"]
    enforced = {
        name: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for (_none, name), item in late.items()
    }
    assert [name for name, level in enforced.items() if level == "restricted"] == [
        "banking-auth",
        "banking-services",
        "banking-system",
    ]
    meshed = [
        name for (_none, name), item in late.items() if item["metadata"]["labels"].get("istio-injection") == "enabled"
    ]
    assert meshed == ["banking-services", "banking-system"]


def test_everything_has_its_namespace_bounded():
    for kind, name in (("ResourceQuota", "namespace"), ("LimitRange", "containers"), ("ServiceAccount", "default")):
        assert list(of_kind(kind)) == [(namespace, name) for namespace in SIX]
    assert not any(item["automountServiceAccountToken"] for item in of_kind("ServiceAccount").values())
    denied = of_kind("NetworkPolicy", folder="enforce")
    assert all((namespace, "default-deny") in denied for namespace in SIX)


@each_release
@each_environment
def test_quotas_hold_what_must_run_and_stay_within_the_budget(environment, release):
    role = rendered(environment, release)
    budget = role.variables["platform_budget"]
    hosts = {name: len(addresses) for name, addresses in role.value("{{ __tenancy_addresses }}").items()}
    hard = {
        namespace: item["spec"]["hard"]
        for (namespace, _name), item in of_kind("ResourceQuota", environment, release).items()
    }
    asked = {namespace: {"requests.cpu": 0, "requests.memory": 0, "pods": 0} for namespace in hard}
    elsewhere = {"requests.cpu": 0, "requests.memory": 0}
    for workload in (one for item in role.declared.values() if item for one in item.workloads):
        members = (
            hosts.get(workload.nodes, 0) if workload.replicas is None else workload.hpa.get("min", workload.replicas)
        )
        into = asked.get(workload.namespace, elsewhere)
        into["requests.cpu"] += members * workload.requests.cpu
        into["requests.memory"] += members * workload.requests.memory
        if "pods" in into:
            into["pods"] += members * workload.requests.pods
    read: dict[str, Any] = {"requests.cpu": quantities.cpu, "requests.memory": quantities.size, "pods": int}
    for namespace, amounts in asked.items():
        for name, amount in amounts.items():
            assert read[name](hard[namespace][name]) >= amount, (namespace, name)
    for name, whole in (
        ("requests.cpu", quantities.cpu(budget["cpu"])),
        ("requests.memory", quantities.size(budget["memory"])),
    ):
        assert sum(read[name](amounts[name]) for amounts in hard.values()) + elsewhere[name] <= whole


def test_groups_get_rights_in_their_namespaces_only():
    bindings = of_kind("RoleBinding")
    assert of_kind("ClusterRoleBinding") == {}
    operators = bindings["banking-system", "operator"]
    assert operators["roleRef"]["name"] == "banking-operator"
    assert operators["subjects"] == [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oidc:banking-operators"}
    ]
    assert bindings["banking-system", "view"]["roleRef"]["name"] == "view"
    roles = {name for _none, name in of_kind("ClusterRole")}
    assert {item["roleRef"]["name"] for item in bindings.values()} <= roles | {"view", "edit", "admin"}


def test_no_role_reads_secrets_or_enters_pods():
    for role in of_kind("ClusterRole").values():
        for rule in role["rules"]:
            assert not {"secrets", "pods/exec", "pods/attach", "*"} & set(rule["resources"])
            assert "*" not in rule["verbs"]


def test_priorities_are_ordered_and_one_is_everybodys():
    classes = {name: item for (_none, name), item in of_kind("PriorityClass").items()}
    assert [name for name, item in classes.items() if item["globalDefault"]] == ["banking-standard"]
    order = sorted(classes, key=lambda name: -classes[name]["value"])
    assert order == ["platform-core", "banking-data", "banking-critical", "banking-standard", "banking-batch"]
    # Above are the system's own: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
    assert all(item["value"] < 1_000_000_000 for item in classes.values())
    assert classes["banking-batch"]["preemptionPolicy"] == "Never"


@each_release
def test_no_two_workloads_of_a_namespace_have_the_same_pods(release):
    """What a selector finds is one workload: else a policy would hold for another one, too."""
    declared = rendered("prod", release).declared
    running = [one for item in declared.values() if item for one in item.workloads if has_pods(one)]
    seen: dict[tuple[str, str], str] = {}
    for workload in running:
        key = (workload.namespace, json.dumps(workload.selector, sort_keys=True))
        assert workload.namespace, workload.title
        assert key not in seen, f"{workload.title} and {seen[key]}"
        seen[key] = workload.title
        for value in workload.selector["matchLabels"].values():
            assert len(value) <= 63
    assert any(WORKLOAD_LABEL in workload.selector["matchLabels"] for workload in running)
