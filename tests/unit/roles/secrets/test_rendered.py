# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `secrets` delivers, and what Vault gets for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils.catalog import load
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.unit.action.conftest import trusted
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

Render = Callable[..., Rendered]
ROLE = CLONE / "roles" / "secrets"
MEMBERS: dict[str, Any] = {
    "platform_groups": {"vault": "vault", "control_plane": "cp"},
    "groups": {"vault": ["v1", "v2", "v3"], "cp": ["c1"]},
    "hostvars": {
        **{f"v{number}": {"platform_address": f"10.0.{number}.1"} for number in (1, 2, 3)},
        "c1": {"platform_address": "10.0.9.1"},
    },
}
LEDGER = {
    "namespace": "banking-system",
    "service_account": "banking-app",
    "objects": [
        {"name": "user", "path": "database/creds/ledger", "key": "username"},
        {"name": "password", "path": "database/creds/ledger", "key": "password"},
    ],
}


def deliver(rendered: Render, release: str = "2024.1", **settings: Any) -> Rendered:
    return rendered("secrets", release, **MEMBERS, **settings)


def of_kind(found: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    return {name: item for (each, name), item in found.objects.items() if each == kind}


def vault(**settings: Any) -> dict[str, Any]:
    """Policies (as path: capabilities) and roles, as the role gives them to vault_config."""
    variables: dict[str, Any] = {"role_path": str(ROLE), "platform_release": "2024.1", **MEMBERS}
    for name in ("defaults", "vars"):
        variables |= yaml.safe_load((ROLE / name / "main.yml").read_text())
    variables = {key: trusted(value) for key, value in {**variables, **settings}.items()}
    given: dict[str, Any] = Templar(loader=DataLoader(), variables=variables).template(trusted("{{ __secrets_vault }}"))
    paths = re.compile(r'^path "([^"*+]+)" \{ capabilities = (\[[^]]+\]) \}$')
    policies = {}
    for policy in given["policies"]:
        rules = [paths.match(line) for line in policy["policy"].splitlines()]
        # Each line gives one very path, without a wildcard.
        assert all(rules), policy
        policies[policy["name"]] = {rule[1]: sorted(yaml.safe_load(rule[2])) for rule in rules if rule}
    return {"policies": policies, "roles": {role["name"]: role for role in given["roles"]}}


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = deliver(rendered, release)
    operator = found.values["external-secrets"]
    for name, given in {"external-secrets": operator, "external-secrets-webhook": operator["webhook"]}.items():
        wanted = found.workload(name)
        assert given["replicaCount"] == wanted.replicas >= 2, name
        assert len(given["topologySpreadConstraints"]) == 1, name
        assert given["affinity"], name
        assert given["podDisruptionBudget"] == {"enabled": True, "minAvailable": wanted.replicas - 1}, name
        assert given["podLabels"] == wanted.selector["matchLabels"], name
    assert operator["leaderElect"] is True
    labels = {
        "csi-driver": found.values["secrets-store-csi-driver"]["linux"]["podLabels"],
        "csi-provider": found.values["vault"]["csi"]["pod"]["extraLabels"],
        "sealed-secrets": found.values["sealed-secrets"]["podLabels"],
    }
    for name, given in labels.items():
        assert given == found.workload(name).selector["matchLabels"], name
    assert {workload.name for workload in found.declared.workloads} == {  # type: ignore[union-attr]
        *labels,
        "external-secrets",
        "external-secrets-webhook",
    }


def test_of_vaults_chart_only_the_provider_comes_and_it_needs_no_agent(rendered: Render) -> None:
    given = deliver(rendered).values["vault"]
    assert (given["server"]["enabled"], given["injector"]["enabled"]) == (False, False)
    assert (given["csi"]["enabled"], given["csi"]["agent"]["enabled"]) == (True, False)


def test_the_documents_class_has_what_it_lacked(rendered: Render) -> None:
    found = deliver(rendered)
    spec = found.objects["SecretProviderClass", "vault-secrets"]["spec"]
    parameters = spec["parameters"]
    # As in the document.
    assert yaml.safe_load(parameters["objects"]) == [
        {"objectName": "database-password", "secretPath": "secret/data/database", "secretKey": "password"},
        {"objectName": "api-key", "secretPath": "secret/data/external-api", "secretKey": "key"},
    ]
    # res-B12.
    assert parameters["vaultAddress"] == "https://vault.vault.svc:8200"
    mounted = found.values["vault"]["csi"]["volumeMounts"][0]["mountPath"]
    assert parameters["vaultCACertPath"] == f"{mounted}/ca.crt"
    assert spec["secretObjects"] == [
        {
            "secretName": "vault-secrets",
            "type": "Opaque",
            "data": [
                {"objectName": "database-password", "key": "database-password"},
                {"objectName": "api-key", "key": "api-key"},
            ],
        }
    ]
    driver = found.values["secrets-store-csi-driver"]
    assert (driver["syncSecret"]["enabled"], driver["enableSecretRotation"]) == (True, True)
    # The driver finds its provider.
    assert found.values["vault"]["csi"]["daemonSet"]["providersDir"] == "/var/run/secrets-store-csi-providers"
    assert (
        "secretObjects"
        not in deliver(rendered, secrets_classes={"l": LEDGER}).objects["SecretProviderClass", "l"]["spec"]
    )


def test_the_clusters_name_of_vault_leads_to_all_its_servers(rendered: Render) -> None:
    found = deliver(rendered).objects
    slices = found["EndpointSlice", "vault-servers"]
    assert [address for end in slices["endpoints"] for address in end["addresses"]] == [
        "10.0.1.1",
        "10.0.2.1",
        "10.0.3.1",
    ]
    service = found["Service", "vault"]
    assert slices["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    # Without a selector, or Kubernetes would overwrite the addresses.
    assert "selector" not in service["spec"]
    names = yaml.safe_load((CLONE / "roles" / "vault" / "defaults" / "main.yml").read_text())["vault_dns_names"]
    assert f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc" in names


@pytest.mark.parametrize("release", RELEASES)
def test_whoever_reads_from_vault_has_an_account_for_just_that(rendered: Render, release: str) -> None:
    found = deliver(rendered, release, secrets_classes={"ledger": LEDGER})
    given = vault(secrets_classes={"ledger": LEDGER})
    readers: dict[str, tuple[str, str, str]] = {}
    for store in of_kind(found, "ClusterSecretStore").values():
        login = store["spec"]["provider"]["vault"]["auth"]["kubernetes"]
        account = login["serviceAccountRef"]
        assert ("ServiceAccount", account["name"]) in found.objects
        readers[login["role"]] = (account["namespace"], account["name"], account["audiences"][0])
    for item in of_kind(found, "SecretProviderClass").values():
        parameters = item["spec"]["parameters"]
        readers[parameters["roleName"]] = (item["metadata"]["namespace"], "banking-app", parameters["audience"])
    # No role without a reader, no reader without a role, and a policy of its own for each.
    assert set(given["roles"]) == set(readers) == set(given["policies"])
    for name, (namespace, account, audience) in readers.items():
        role = given["roles"][name]
        assert role["bound_service_account_namespaces"] == [namespace], name
        assert role["bound_service_account_names"] == [account], name
        assert role["audience"] == audience == "vault", name
        assert role["token_policies"] == [name], name
    token = found.objects["Role", "store-tokens"]["rules"][0]
    accounts = {account for namespace, account, _audience in readers.values() if namespace == "banking-security"}
    assert set(token["resourceNames"]) == accounts


def test_a_policy_has_the_paths_that_are_read_and_no_other(rendered: Render) -> None:
    found, given = deliver(rendered), vault()
    # Of classes: what their objects name.
    for name, item in of_kind(found, "SecretProviderClass").items():
        objects = yaml.safe_load(item["spec"]["parameters"]["objects"])
        assert given["policies"][f"class-{name}"] == {each["secretPath"]: ["read"] for each in objects}
    assert vault(secrets_classes={"ledger": LEDGER})["policies"]["class-ledger"] == {"database/creds/ledger": ["read"]}
    # Of the store that keys are pushed to: that one secret, and its metadata, which External Secrets marks as its own.
    pushed = found.objects["PushSecret", "sealing-keys"]["spec"]
    (store,) = pushed["secretStoreRefs"]
    path = pushed["data"][0]["match"]["remoteRef"]["remoteKey"]
    assert given["policies"][f"store-{store['name']}"] == {
        f"secret/data/{path}": ["create", "read", "update"],
        f"secret/metadata/{path}": ["create", "read", "update"],
    }


def test_a_store_is_for_its_own_namespaces(rendered: Render) -> None:
    stores = {"cards": {"namespaces": ["banking-cards"], "read": ["cards/network"]}}
    found = deliver(rendered, secrets_stores=stores)
    assert set(of_kind(found, "ClusterSecretStore")) == {"cards", "sealing-keys"}
    spec = found.objects["ClusterSecretStore", "cards"]["spec"]
    assert spec["conditions"] == [{"namespaces": ["banking-cards"]}]
    assert vault(secrets_stores=stores)["policies"]["store-cards"] == {"secret/data/cards/network": ["read"]}
    assert found.objects["ClusterSecretStore", "sealing-keys"]["spec"]["conditions"] == [
        {"namespaces": ["sealed-secrets"]}
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_all_sealing_keys_come_to_vault_and_none_goes_from_there(rendered: Render, release: str) -> None:
    found = deliver(rendered, release)
    gathered, pushed = (
        found.objects["ExternalSecret", "sealing-keys"]["spec"],
        found.objects["PushSecret", "sealing-keys"]["spec"],
    )
    assert gathered["dataFrom"] == [{"find": {"tags": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}}}]
    assert gathered["target"]["name"] == pushed["selector"]["secret"]["name"]
    assert (pushed["deletionPolicy"], gathered["target"]["deletionPolicy"]) == ("None", "Retain")
    # They are where the controller makes them, and only there somebody may read them.
    namespace = found.declared.workloads[-1].namespace  # type: ignore[union-attr]
    assert namespace == found.objects["SecretStore", "here"]["spec"]["provider"]["kubernetes"]["remoteNamespace"]
    readers = [
        item["metadata"].get("namespace")
        for kind in ("Role", "ClusterRole")
        for item in of_kind(found, kind).values()
        if any("secrets" in rule["resources"] for rule in item["rules"])
    ]
    assert readers == [namespace]


@pytest.mark.parametrize("release", RELEASES)
def test_no_value_of_a_secret_is_in_the_tree(rendered: Render, release: str) -> None:
    secrets = of_kind(deliver(rendered, release), "Secret")
    assert set(secrets) == {"vault-reviewer"}
    assert not {"data", "stringData"} & set(secrets["vault-reviewer"])


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert not of_kind(deliver(rendered), "PrometheusRule")
    found = deliver(rendered, secrets_monitoring=True)
    assert len(found.objects["PrometheusRule", "secrets"]["spec"]["groups"][0]["rules"]) == 3
    for given in (found.values["external-secrets"], found.values["sealed-secrets"]["metrics"]):
        assert given["serviceMonitor"]["enabled"] is True


@pytest.mark.crds
@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_what_the_crds_take(rendered: Render, release: str) -> None:
    found = deliver(rendered, release, secrets_monitoring=True, secrets_classes={"ledger": LEDGER})
    schemas = Schemas(load(release).kubernetes, [f"{crds_folder()}/{release}"])
    verdict = schemas.check([Manifest(item, "secrets") for item in found.objects.values()])
    assert (verdict.problems, verdict.unknown) == ([], {})
