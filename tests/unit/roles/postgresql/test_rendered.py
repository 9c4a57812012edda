# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `postgresql` delivers. What a server says of it: tests/integration/postgresql."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.quantities import size
from ansible_collections.banking.platform.plugins.module_utils.rules.data import postgresql_size
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
CLUSTER = ("Cluster", "postgres-cluster")
POOLER = ("Pooler", "postgres-pooler")


def spec(found: Rendered, *reference: str) -> Any:
    kind, name = reference
    return found.objects[kind, name]["spec"]


def operator_of(found: Rendered, release: str) -> dict[str, Any]:
    """Replicas, labels and placement of the operator, from the chart's values or from the role's own Deployment."""
    if release == "2026.2":
        values = found.values["cloudnative-pg"]
        return {**values, "replicas": values["replicaCount"]}
    deployment = spec(found, "Deployment", "cnpg-controller-manager")
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    return {**pod, "replicas": deployment["replicas"], "resources": container["resources"]}


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("postgresql", release)
    instance, pooler = found.workload("instance"), found.workload("pooler")
    cluster = spec(found, *CLUSTER)
    assert cluster["instances"] == instance.replicas == 3
    assert cluster["resources"]["requests"]["memory"] == cluster["resources"]["limits"]["memory"] == "6Gi"
    assert cluster["storage"]["size"] == "100Gi"
    assert spec(found, *POOLER)["instances"] == pooler.replicas == 3
    operator, wanted = operator_of(found, release), found.workload("operator")
    assert operator["replicas"] == wanted.replicas == 2
    assert operator["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}
    assert ("backup-plugin" in {each.name for each in found.declared.workloads if each.replicas}) == (  # type: ignore[union-attr]
        release == "2026.2"
    )


@pytest.mark.parametrize("release", RELEASES)
def test_no_zone_has_two_of_anything(rendered: Render, release: str) -> None:
    found = rendered("postgresql", release)
    affinity = spec(found, *CLUSTER)["affinity"]
    assert affinity["topologyKey"] == "topology.kubernetes.io/zone"
    assert affinity["podAntiAffinityType"] == "required"
    for pod in (operator_of(found, release), spec(found, *POOLER)["template"]["spec"]):
        (constraint,) = pod["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "topology.kubernetes.io/zone"
        assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
    for name, namespace in (("cnpg-controller-manager", "cnpg-system"), ("postgres-pooler", "banking-data")):
        budget = found.objects["PodDisruptionBudget", name]
        assert (budget["metadata"]["namespace"], budget["spec"]["maxUnavailable"]) == (namespace, 1)


@pytest.mark.parametrize("release", RELEASES)
def test_a_commit_is_in_two_zones_before_it_is_acknowledged(rendered: Render, release: str) -> None:
    """res-E6. Before 1.25 the operator has no `dataDurability`: it never waits for fewer."""
    cluster = spec(rendered("postgresql", release), *CLUSTER)
    wanted = {"method": "any", "number": 1}
    assert cluster["postgresql"]["synchronous"] == (
        wanted if release == "2024.1" else {**wanted, "dataDurability": "required", "failoverQuorum": True}
    )
    assert cluster["postgresql"]["parameters"]["synchronous_commit"] == "on"


@pytest.mark.parametrize("release", RELEASES)
def test_libraries_are_loaded_by_their_settings_alone(rendered: Render, release: str) -> None:
    """res-A6: the operator refuses `shared_preload_libraries` among the parameters."""
    settings = spec(rendered("postgresql", release), *CLUSTER)["postgresql"]
    assert all(isinstance(value, str) for value in settings["parameters"].values())
    assert "shared_preload_libraries" not in settings["parameters"]
    prefixes = {name.split(".")[0] for name in settings["parameters"] if "." in name}
    assert prefixes == {"pg_stat_statements", "auto_explain", "pgaudit"}
    assert settings["parameters"]["pgaudit.log"] == "ddl, role, write"


def test_sizes_are_those_of_the_inventory_and_the_log_is_bounded(rendered: Render) -> None:
    sizes = {"max_connections": 100, "shared_buffers": "8GB"}
    found = rendered("postgresql", "2024.1", postgresql_parameters=sizes, postgresql_storage="40Gi")
    parameters = spec(found, *CLUSTER)["postgresql"]["parameters"]
    assert (parameters["max_connections"], parameters["shared_buffers"]) == ("100", "8GB")
    assert parameters["max_slot_wal_keep_size"] == "10240MB"


@pytest.mark.parametrize(
    ("memory", "connections", "wanted"),
    [
        ("6Gi", 200, ("1536MB", "4608MB", "9830kB", "256MB")),
        ("32Gi", 200, ("8192MB", "24576MB", "52428kB", "1024MB")),
        ("512Mi", 300, ("128MB", "384MB", "546kB", "21MB")),
    ],
)
def test_one_figure_is_set_and_what_follows_fits(
    rendered: Render, memory: str, connections: int, wanted: tuple[str, ...]
) -> None:
    found = rendered("postgresql", "2024.1", postgresql_memory=memory, postgresql_max_connections=connections)
    parameters = spec(found, *CLUSTER)["postgresql"]["parameters"]
    names = ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem")
    assert tuple(parameters[name] for name in names) == wanted
    buffers, _cache, work, maintenance = map(postgresql_size, wanted)
    # A hash takes up to twice its work_mem, and three vacuums run.
    assert buffers + 2 * connections * work + 3 * maintenance <= size(memory)


def test_a_parameter_of_ones_own_stands_over_what_follows(rendered: Render) -> None:
    found = rendered("postgresql", "2024.1", postgresql_overrides={"work_mem": "4MB", "random_page_cost": 1.1})
    parameters = spec(found, *CLUSTER)["postgresql"]["parameters"]
    assert (parameters["work_mem"], parameters["random_page_cost"]) == ("4MB", "1.1")
    assert parameters["shared_buffers"] == "1536MB"
    # Preflight holds this one against the memory, connections and pools (tests/unit/rules/test_data.py).
    assert found.variables["postgresql_parameters"]["work_mem"] == "4MB"


@pytest.mark.parametrize("release", RELEASES)
def test_nobody_comes_without_tls(rendered: Render, release: str) -> None:
    """res-B7. The operator's own last line takes passwords without it: it must not be reached."""
    found = rendered("postgresql", release)
    cluster, pgbouncer = spec(found, *CLUSTER), spec(found, *POOLER)["pgbouncer"]
    assert cluster["postgresql"]["parameters"]["ssl_min_protocol_version"] == "TLSv1.3"
    assert cluster["postgresql"]["pg_hba"] == ["hostnossl all all all reject", "hostssl all all all scram-sha-256"]
    assert [line.split()[0] + " " + line.split()[-1] for line in pgbouncer["pg_hba"]] == ["hostnossl reject"] * 2
    assert pgbouncer["parameters"].get("client_tls_sslmode") == ("require" if release == "2026.2" else None)
    names = spec(found, "Certificate", "postgres-server")["dnsNames"]
    assert {"postgres-cluster-rw.banking-data.svc", "postgres-pooler.banking-data.svc"} <= set(names)
    assert cluster["certificates"] == {"serverTLSSecret": "postgres-server", "serverCASecret": "postgres-server"}


IMAGE = "registry.example/pgpool:4.5.4@sha256:" + "ab" * 32


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"postgresql_pgpool_image": "registry.example/pgpool:4.5.4"},
        {"postgresql_pgpool_image": IMAGE, "postgresql_pgpool_roles": ["audit_reader"]},
        {"postgresql_pgpool_image": IMAGE, "postgresql_pgpool_clients": 40},
    ],
)
def test_pgpool_is_refused_without_an_image_a_password_or_room(rendered: Render, settings: dict[str, Any]) -> None:
    """res-A21: no public image of it is maintained."""
    assert rendered("postgresql", "2024.1").refused == []
    (refused,) = rendered("postgresql", "2024.1", postgresql_pgpool=True, **settings).refused
    assert refused.startswith("postgresql_pgpool: its image is ")
    assert "of 200 connections" in refused


@pytest.mark.parametrize("release", RELEASES)
def test_pgpool_holds_nothing_and_decides_nothing(rendered: Render, release: str) -> None:
    """res-E7. A real pgpool with this configuration: tests/integration/postgresql/test_pgpool.py."""
    off = rendered("postgresql", release)
    assert ("Deployment", "postgres-pgpool") not in off.objects
    found = rendered("postgresql", release, postgresql_pgpool=True, postgresql_pgpool_image=IMAGE)
    assert found.refused == []
    config = found.objects["ConfigMap", "postgres-pgpool"]["data"]
    lines = dict(line.split(" = ") for line in config["pgpool.conf"].splitlines() if " = " in line)
    for name in ("failover_on_backend_error", "use_watchdog", "auto_failback", "connection_cache"):
        assert lines[name] == "off"
    assert lines["health_check_period"] == "0"
    assert lines["backend_hostname0"] == "'postgres-cluster-rw.banking-data.svc'"
    assert lines["backend_flag0"] == "'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'"
    assert config["pool_hba.conf"].split() == "hostnossl all all all reject hostssl all all all scram-sha-256".split()
    deployment = spec(found, "Deployment", "postgres-pgpool")
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert deployment["replicas"] == found.workload("pgpool").replicas == 2
    passwords = spec(found, "ExternalSecret", "postgres-pgpool")
    assert passwords["target"]["template"]["data"]["pool_passwd"] == "banking:TEXT{{ .role_1 }}\n"
    assert passwords["data"][0]["remoteRef"] == {"key": "database", "property": "password"}
    assert ("Service", "postgres-pgpool") in found.objects
    assert ("PodDisruptionBudget", "postgres-pgpool") in found.objects


def test_poolers_open_what_preflight_counts(rendered: Render) -> None:
    parameters = spec(rendered("postgresql", "2024.1", postgresql_pool_size=31), *POOLER)["pgbouncer"]["parameters"]
    assert parameters["max_db_connections"] == parameters["default_pool_size"] == "31"
    assert parameters["max_client_conn"] == "500"
    # What tells a pooler that its primary is gone without a word (tests/integration/postgresql/test_zone_loss.py).
    assert {"tcp_keepidle", "tcp_user_timeout", "server_connect_timeout"} <= set(parameters)


@pytest.mark.parametrize("release", RELEASES)
def test_every_password_comes_from_vault_and_its_store_may_read_it(rendered: Render, release: str) -> None:
    found = rendered("postgresql", release)
    made = {name: item["spec"] for (kind, name), item in found.objects.items() if kind == "ExternalSecret"}
    roles = {role["name"]: role for role in spec(found, *CLUSTER)["managed"]["roles"]}
    assert {role["passwordSecret"]["name"] for role in roles.values() if role["login"]} == set(made)
    assert not [role for role in roles.values() if role["login"] != ("passwordSecret" in role)]
    for name, wish in made.items():
        assert wish["target"]["template"]["type"] == "kubernetes.io/basic-auth"
        assert name == "postgres-role-" + wish["target"]["template"]["data"]["username"].replace("_", "-")
    stores = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]
    assert stores["postgresql"]["namespaces"] == ["banking-data"]
    assert {wish["data"][0]["remoteRef"]["key"] for wish in made.values()} == set(stores["postgresql"]["read"])
    assert not [role for role in roles.values() if role.get("superuser")]
    assert ("Secret", "postgres-role-banking") not in found.objects


def test_databases_are_those_that_others_name(rendered: Render) -> None:
    harbor = yaml.safe_load((CLONE / "roles/harbor/defaults/main.yml").read_text())["harbor_database"]
    found = rendered("postgresql", "2024.1")
    cluster = spec(found, *CLUSTER)
    assert harbor["host"] == f"{found.objects[CLUSTER]['metadata']['name']}-rw.banking-data.svc"
    (job,) = (item for (kind, _name), item in found.objects.items() if kind == "Job")
    command = job["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[2:] == ["/migrations", "banking", "registry=harbor", "keycloak=keycloak", "grafana=grafana"]
    assert f"{harbor['name']}={harbor['username']}" in command
    assert cluster["bootstrap"]["initdb"]["database"] == "banking"
    (migrator,) = (role for role in cluster["managed"]["roles"] if role["name"] == "platform_migrations")
    assert migrator["inRoles"] == ["banking", "grafana", "harbor", "keycloak"]


def test_what_has_changed_is_a_job_of_another_name(rendered: Render) -> None:
    def job(**settings: Any) -> str:
        return next(name for kind, name in rendered("postgresql", "2024.1", **settings).objects if kind == "Job")

    assert job() == job()
    assert job() != job(postgresql_databases=[{"name": "banking", "owner": "banking"}])


def test_backups_are_the_operators_own_or_the_plugins(rendered: Render) -> None:
    """res-E4, res-E5."""
    old, new = (rendered("postgresql", release) for release in RELEASES)
    for found in (old, new):
        schedule = spec(found, "ScheduledBackup", "postgres-cluster")
        assert (schedule["schedule"], schedule["immediate"]) == ("0 0 2 * * *", True)
    assert spec(old, "ScheduledBackup", "postgres-cluster")["method"] == "barmanObjectStore"
    backup = spec(old, *CLUSTER)["backup"]
    assert backup["retentionPolicy"] == "30d"
    store = spec(new, "ObjectStore", "postgres-cluster")
    assert store["retentionPolicy"] == "30d"
    assert "barmanObjectStore" not in spec(new, *CLUSTER)["backup"]
    assert spec(new, *CLUSTER)["plugins"] == [
        {
            "name": "barman-cloud.cloudnative-pg.io",
            "isWALArchiver": True,
            "parameters": {"barmanObjectName": "postgres-cluster"},
        }
    ]
    assert store["configuration"] == backup["barmanObjectStore"]
    # Ceph's gateways refuse to be asked (docs/storage.md); its disks are encrypted.
    assert not any("encryption" in store["configuration"][part] for part in ("data", "wal"))


@pytest.mark.parametrize("release", RELEASES)
def test_alerts_and_scraping_wait_for_prometheus(rendered: Render, release: str) -> None:
    kinds = {kind for kind, _name in rendered("postgresql", release).objects}
    assert not kinds & {"PrometheusRule", "PodMonitor"}
    found = rendered("postgresql", release, postgresql_monitoring=True)
    # res-A5: the operator's own field for it goes away.
    assert "monitoring" not in spec(found, *CLUSTER)
    monitors = {name for kind, name in found.objects if kind == "PodMonitor"}
    assert monitors == {"postgres-instances", "postgres-poolers", "cnpg-controller-manager"}
    (group,) = spec(found, "PrometheusRule", "postgres-cluster")["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert "< 1 and" in rules["PostgresqlCommitsWait"]["expr"]
    metric = "barman_cloud_cloudnative_pg_io_last" if release == "2026.2" else "cnpg_collector_last"
    assert f"{metric}_available_backup_timestamp" in rules["PostgresqlBackupOld"]["expr"]
    assert {rule["labels"]["severity"] for rule in rules.values()} == {"critical", "warning"}


REGION = {
    "role": "secondary",
    "secret": "postgresql/origin",
    "store": {"bucket": "postgresql-backups", "endpoint": "https://store.first.example", "region": "first"},
}


@pytest.mark.parametrize("release", RELEASES)
def test_a_second_region_follows_the_archive_of_the_first_until_it_is_promoted(rendered: Render, release: str) -> None:
    found = rendered("postgresql", release, postgresql_region=REGION, postgresql_monitoring=True)
    assert found.refused == []
    cluster = spec(found, *CLUSTER)
    assert cluster["replica"] == {"enabled": True, "source": "origin"}
    assert set(cluster["bootstrap"]) == {"recovery"}
    assert cluster["bootstrap"]["recovery"]["source"] == "origin"
    (origin,) = cluster["externalClusters"]
    if release == "2024.1":
        store = origin["barmanObjectStore"]
        assert store["serverName"] == "postgres-cluster"
    else:
        assert origin["plugin"]["parameters"] == {
            "barmanObjectName": "postgres-origin",
            "serverName": "postgres-cluster",
        }
        described = spec(found, "ObjectStore", "postgres-origin")
        # What is kept there is the first region's to say.
        assert "retentionPolicy" not in described
        store = described["configuration"]
    assert store["endpointURL"] == "https://store.first.example"
    assert {store["endpointCA"]["name"], *(each["name"] for each in store["s3Credentials"].values())} == {
        "postgres-origin"
    }
    keys = {each["remoteRef"]["key"] for each in spec(found, "ExternalSecret", "postgres-origin")["data"]}
    assert keys == {"postgresql/origin"}
    # Nothing is written to it, so nobody brings migrations, and nobody misses a primary.
    assert not [name for kind, name in found.objects if kind in ("Job", "CronJob")]
    rules = spec(found, "PrometheusRule", "postgres-cluster")["groups"][0]["rules"]
    assert "PostgresqlDown" not in {rule["alert"] for rule in rules}

    promoted = rendered("postgresql", release, postgresql_region={**REGION, "role": "promoted"})
    after = spec(promoted, *CLUSTER)
    assert after["replica"] == {"enabled": False, "source": "origin"}
    assert {**after, "replica": None} == {**cluster, "replica": None}
    assert [name for kind, name in promoted.objects if kind == "Job"]


def test_a_second_region_does_not_archive_where_the_first_one_does(rendered: Render) -> None:
    own = yaml.safe_load((CLONE / "roles/postgresql/defaults/main.yml").read_text())["postgresql_object_store"]
    (refused,) = rendered("postgresql", "2024.1", postgresql_region={**REGION, "store": own}).refused
    assert "where this cluster archives itself" in refused
    first = spec(rendered("postgresql", "2024.1"), *CLUSTER)
    assert "replica" not in first
    assert "externalClusters" not in first
