# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `harbor` delivers. What is in Harbor: tests/unit/rest/test_harbor_config.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.catalog import load
from ansible_collections.banking.platform.plugins.module_utils.rules.data import RESERVED_CONNECTIONS
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

Render = Callable[..., Rendered]
CHART = ("core", "portal", "registry", "jobservice", "trivy", "exporter")
SPREAD = ("core", "portal", "registry", "jobservice", "trivy")


def defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CLONE / "roles" / role / "defaults" / "main.yml").read_text())
    return found


def of_kind(found: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    return {name: item for (each, name), item in found.objects.items() if each == kind}


def made_secrets(found: Rendered) -> dict[str, set[str]]:
    """The Secrets that ExternalSecrets make, each with its keys."""
    items = of_kind(found, "ExternalSecret").values()
    return {item["spec"]["target"]["name"]: set(item["spec"]["target"]["template"]["data"]) for item in items}


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("harbor", release)
    values = found.values["harbor"]
    for name in CHART:
        wanted = found.workload(name)
        assert values[name]["replicas"] == wanted.replicas, name
        assert values[name]["podLabels"] == wanted.selector["matchLabels"], name
    redis = found.objects["Deployment", "harbor-redis"]["spec"]["template"]
    assert found.workload("redis").selector["matchLabels"].items() <= redis["metadata"]["labels"].items()
    assert {each.name for each in found.declared.workloads} == {*CHART, "redis", "layers"}  # type: ignore[union-attr]


@pytest.mark.parametrize("release", RELEASES)
def test_what_answers_survives_a_zone(rendered: Render, release: str) -> None:
    found = rendered("harbor", release)
    budgets = of_kind(found, "PodDisruptionBudget")
    assert set(budgets) == {f"harbor-{name}" for name in SPREAD}
    for name in SPREAD:
        values = found.values["harbor"][name]
        assert values["replicas"] >= 2, name
        (constraint,) = values["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "topology.kubernetes.io/zone", name
        assert constraint["whenUnsatisfiable"] == "DoNotSchedule", name
        # The chart puts its own there: two would be no YAML.
        assert "labelSelector" not in constraint, name
        assert values["affinity"]["podAntiAffinity"], name
        budget = budgets[f"harbor-{name}"]["spec"]
        assert (budget["maxUnavailable"], budget["selector"]["matchLabels"]) == (1, values["podLabels"]), name
    # With logs in a file, jobservice would share a volume that one node has.
    assert found.values["harbor"]["jobservice"]["jobLoggers"] == ["database"]
    # Nothing holds Redis to a node that is gone.
    pod = found.objects["Deployment", "harbor-redis"]["spec"]["template"]["spec"]
    assert {each["tolerationSeconds"] for each in pod["tolerations"]} == {30}
    assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]


@pytest.mark.parametrize("release", RELEASES)
def test_every_secret_that_is_named_is_made_and_none_has_a_value_here(rendered: Render, release: str) -> None:
    found = rendered("harbor", release)
    values, made = found.values["harbor"], made_secrets(found)
    certificates = {item["spec"]["secretName"] for item in of_kind(found, "Certificate").values()}
    for name, keys in {
        values["existingSecretAdminPassword"]: {"HARBOR_ADMIN_PASSWORD"},
        values["existingSecretSecretKey"]: {"secretKey"},
        values["core"]["existingSecret"]: {"secret"},
        values["core"]["existingXsrfSecret"]: {"CSRF_KEY"},
        values["jobservice"]["existingSecret"]: {"JOBSERVICE_SECRET"},
        values["registry"]["existingSecret"]: {"REGISTRY_HTTP_SECRET"},
        values["registry"]["credentials"]["existingSecret"]: {"REGISTRY_PASSWD", "REGISTRY_HTPASSWD"},
        values["database"]["external"]["existingSecret"]: {"password"},
    }.items():
        assert keys <= made[name], name
    named = {values["core"]["secretName"], values["caSecretName"], values["caBundleSecretName"]}
    named |= {part["secretName"] for part in values["internalTLS"].values() if isinstance(part, dict)}
    assert named <= certificates
    pod = found.objects["Deployment", "harbor-redis"]["spec"]["template"]["spec"]
    assert {each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each} <= certificates | set(made)
    assert not of_kind(found, "Secret")
    # All that an ExternalSecret makes is of fields that it fetches.
    for name, item in of_kind(found, "ExternalSecret").items():
        fields = {each["secretKey"] for each in item["spec"]["data"]}
        used = set(re.findall(r"\.([a-z_]+) *(?:}})", " ".join(item["spec"]["target"]["template"]["data"].values())))
        assert used == fields, name


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_read_is_what_the_store_lets_and_what_the_role_makes(rendered: Render, release: str) -> None:
    found = rendered("harbor", release)
    read, stores = set(), set()
    for item in of_kind(found, "ExternalSecret").values():
        stores.add((item["spec"]["secretStoreRef"]["name"], item["metadata"]["namespace"]))
        read |= {(each["remoteRef"]["key"], each["remoteRef"]["property"]) for each in item["spec"]["data"]}
    store = defaults("secrets")["secrets_stores"]["harbor"]
    assert stores == {("harbor", namespace) for namespace in store["namespaces"]}
    # A secret that nobody reads is a right too many, one that is missing an ExternalSecret that never comes.
    assert {key for key, _field in read} == set(store["read"])
    generated = yaml.safe_load((CLONE / "roles" / "harbor" / "vars" / "main.yml").read_text())["__harbor_generated"]
    assert {tuple(f"harbor/{name}".split("#")) for name in generated} == read
    assert (generated["core#secret_key"], generated["core#csrf_key"]) == (16, 32)
    assert defaults("harbor")["harbor_secrets"]["mount"] == defaults("secrets")["secrets_kv_mount"]


def test_stores_are_those_that_roles_name(rendered: Render) -> None:
    named = {
        name
        for path in (CLONE / "roles").glob("*/templates/**/*.j2")
        for name in re.findall(r"kind: ClusterSecretStore, name: ([\w-]+)", path.read_text())
    }
    # The last one is not for anybody to set.
    assert named == {*defaults("secrets")["secrets_stores"], "sealing-keys"}


@pytest.mark.parametrize(("release", "scheme"), [("2024.1", "redis"), ("2026.2", "rediss")])
def test_redis_is_asked_with_a_password_and_by_tls_where_harbor_can(
    rendered: Render, release: str, scheme: str
) -> None:
    found = rendered("harbor", release)
    secrets = {
        name: item["spec"]["target"]["template"]["data"] for name, item in of_kind(found, "ExternalSecret").items()
    }
    urls = [value for data in secrets.values() for value in data.values() if "@harbor-redis" in value]
    assert len(urls) == 6
    assert {url.split(":")[0] for url in urls} == {scheme}
    assert all(":{{ .redis_password }}@" in url for url in urls)
    config = secrets["harbor-redis"]["redis.conf"].splitlines()
    assert "requirepass {{ .redis_password }}" in config
    assert ("port 0" in config, "port 6379" in config) == (scheme == "rediss", scheme == "redis")
    # Neither on a command line nor in the environment of the server.
    assert "redis_password" not in str(found.objects["Deployment", "harbor-redis"])


def test_all_inside_is_encrypted_and_certificates_outlast_pods(rendered: Render) -> None:
    found = rendered("harbor", "2026.2")
    assert found.values["harbor"]["internalTLS"]["enabled"] is True
    for part in ("core", "jobservice", "portal", "registry", "trivy", "redis"):
        spec = found.objects["Certificate", f"harbor-{part}"]["spec"]
        assert f"harbor-{part}" in spec["dnsNames"], part
        assert (spec["duration"], spec["renewBefore"]) == ("26280h", "17520h"), part
        assert ("ClusterIssuer", spec["issuerRef"]["name"]) in found.objects, part
    for part in ("core", "portal"):
        tls = found.objects["DestinationRule", f"harbor-{part}"]["spec"]["trafficPolicy"]["tls"]
        assert tls["mode"] == "SIMPLE", part
        assert tls["subjectAltNames"][0] in found.objects["Certificate", f"harbor-{part}"]["spec"]["dnsNames"]
        # The gateway finds it in its own namespace only.
        upstream = found.objects["Certificate", tls["credentialName"]]
        assert upstream["metadata"]["namespace"] == "istio-system"
        assert upstream["spec"]["issuerRef"]["name"] == "harbor-internal"
    assert found.values["harbor"]["database"]["external"]["sslmode"] == "verify-full"


def test_ports_are_those_that_the_chart_opens_with_tls(rendered: Render) -> None:
    declared = rendered("harbor", "2024.1").declared.ports  # type: ignore[union-attr]
    opened = {port["name"]: list(port["ports"]) for port in declared}
    assert opened == {
        "core": [8443],
        "portal": [8443],
        "registry": [5443, 8443],
        "jobservice": [8443],
        "trivy": [8443],
        "redis": [6379],
    }


def test_the_gateway_leads_to_core_and_portal(rendered: Render) -> None:
    found = rendered("harbor", "2024.1", harbor_host="registry.bank").objects
    (server,) = found["Gateway", "harbor"]["spec"]["servers"]
    assert (server["hosts"], server["tls"]["minProtocolVersion"]) == (["registry.bank"], "TLSV1_3")
    assert found["Certificate", server["tls"]["credentialName"]]["spec"]["dnsNames"] == ["registry.bank"]
    to_core, to_portal = found["VirtualService", "harbor"]["spec"]["http"]
    assert {match["uri"]["prefix"] for match in to_core["match"]} >= {"/api/", "/service/", "/v2/", "/c/"}
    assert to_core["route"][0]["destination"]["host"].startswith("harbor-core.")
    assert to_portal["route"][0]["destination"]["host"].startswith("harbor-portal.")


def test_its_images_come_from_where_it_says(rendered: Render) -> None:
    found = rendered("harbor", "2024.1", harbor_image_registry="bootstrap.bank:5000/goharbor")
    values = found.values["harbor"]
    images = [values[name]["image"] for name in CHART if name != "registry"]
    images += [values["registry"][part]["image"] for part in ("registry", "controller")]
    assert all(image["repository"].startswith("bootstrap.bank:5000/goharbor/") for image in images)
    known = {image.rsplit("/", 1)[1] for image in load("2024.1").images("harbor")}
    assert {f"{image['repository'].rsplit('/', 1)[1]}:v2.11.2" for image in images} <= known
    (redis,) = found.objects["Deployment", "harbor-redis"]["spec"]["template"]["spec"]["containers"]
    assert redis["image"] == "bootstrap.bank:5000/goharbor/redis-photon:v2.11.2"
    assert redis["image"].rsplit("/", 1)[1] in known


def test_it_comes_after_its_database_and_takes_no_more_connections_than_are_left(rendered: Render) -> None:
    found = rendered("harbor", "2024.1")
    database = yaml.safe_load((CLONE / "roles" / "postgresql" / "meta" / "platform.yml").read_text())
    assert found.declared.wave > database["wave"]  # type: ignore[union-attr]
    server, people = defaults("postgresql"), defaults("keycloak")
    left = server["postgresql_max_connections"] - RESERVED_CONNECTIONS - server["postgresql_instances"]
    left -= server["postgresql_poolers"] * server["postgresql_pool_size"]
    left -= people["keycloak_instances"] * people["keycloak_pool_size"]
    pods = sum(found.workload(name).replicas for name in ("core", "jobservice", "exporter"))
    assert pods * found.values["harbor"]["database"]["maxOpenConns"] <= left


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert not of_kind(rendered("harbor", "2024.1"), "PrometheusRule")
    found = rendered("harbor", "2024.1", harbor_monitoring=True)
    assert len(found.objects["PrometheusRule", "harbor"]["spec"]["groups"][0]["rules"]) == 3
    assert found.values["harbor"]["metrics"]["serviceMonitor"]["enabled"] is True


@pytest.mark.crds
@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_what_the_crds_take(rendered: Render, release: str) -> None:
    found = rendered("harbor", release, harbor_monitoring=True)
    schemas = Schemas(load(release).kubernetes, [f"{crds_folder()}/{release}"])
    verdict = schemas.check([Manifest(item, "harbor") for item in found.objects.values()])
    assert (verdict.problems, verdict.unknown) == ([], {})
