# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the data tier, observability and applications, each with settings it refuses and settings it lets pass.

The platform under test is made of the roles' own declarations and defaults, so that these must pass too.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils import catalog, declarations
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding
from ansible_collections.banking.platform.plugins.module_utils.rules import data
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import RULES, Platform
from ansible_collections.banking.platform.plugins.plugin_utils.declarations import Settings

ROOT = Path(__file__).parents[3]
ROLES = ("postgresql", "redis", "kafka", "elk", "prometheus", "tracing", "keycloak", "harbor", "banking_apps")
LOADER = DataLoader()
# Defaults may use filters of the collection.
init_plugin_loader()


@cache
def content(path: str) -> Any:
    """A file of the collection whose templates count."""
    return LOADER.load_from_file(str(ROOT / path), trusted_as_template=True)


def platform(environment: str = "prod", release: str = "2024.1", zones: str = "abc", **variables: Any) -> Platform:
    """All of these roles with their defaults and some variables set."""
    given = {key: value for role in ROLES for key, value in content(f"roles/{role}/defaults/main.yml").items()}
    templar = Templar(loader=LOADER, variables={**given, "platform_release": release, **variables})
    parsed = [declarations.parse(role, templar.template(content(f"roles/{role}/meta/platform.yml"))) for role in ROLES]
    return Platform(
        environment=environment,
        zones=[f"zone-{letter}" for letter in zones],
        nodes=(),
        groups={},
        declarations=[declaration for declaration in parsed if declaration],
        variables=Settings(templar, given, {"platform_release": release, **variables}),
        catalog=catalog.load(release),
        today=datetime.date(2026, 11, 23),
    )


def service(**changes: Any) -> dict[str, Any]:
    """`banking_apps_services` of one service; what is not an attribute of its own is changed in its workload."""
    entry = {
        "name": "app",
        "image": "harbor.example/app:1.0.0@sha256:" + "0" * 64,
        "liveness": "/actuator/health/liveness",
        "pool": 20,
        "min_available": 2,
    }
    workload = {"replicas": 3, "requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"cpu": 1, "memory": "1Gi"}}
    for key, value in changes.items():
        (entry if key in entry else workload)[key] = value
    return {"banking_apps_services": [{**entry, "workload": workload}]}


def parameters(max_connections: int = 200, **changes: Any) -> dict[str, Any]:
    """`postgresql_parameters` with some of them changed."""
    return {"postgresql_max_connections": max_connections, "postgresql_overrides": changes}


def harbor(**changes: Any) -> dict[str, Any]:
    """`harbor_database` with some of it changed."""
    return {"harbor_database": {**content("roles/harbor/defaults/main.yml")["harbor_database"], **changes}}


def topic(**changes: Any) -> dict[str, Any]:
    """`kafka_topics` of one topic with these attributes."""
    return {"kafka_topics": {"events": {"partitions": 3, **changes}}}


def user(**changes: Any) -> dict[str, Any]:
    """`kafka_users` of one user, and the topic `events`."""
    return {**topic(), "kafka_users": {"cards": {"authentication": "scram-sha-512", **changes}}}


def connector(**changes: Any) -> dict[str, Any]:
    """`kafka_connectors` of one that reads changes of a database, in an image that has it."""
    entry = {"kind": "source", "class": "io.debezium.connector.postgresql.PostgresConnector", "topics": ["events"]}
    image = "harbor.example/connect:1.0.0@sha256:" + "0" * 64
    return {**topic(), "kafka_connect_image": image, "kafka_connectors": {"accounts": {**entry, **changes}}}


def mirror(**changes: Any) -> dict[str, Any]:
    """`kafka_mirror` with some of it changed."""
    told = {
        "source": "there",
        "target": "here",
        "bootstrap": "kafka.example.org:9093",
        "user": "mirror",
        "secret": "there",
        "networks": ["198.51.100.0/24"],
    }
    return {"kafka_mirror": {**told, **changes}}


def retention(**classes: Any) -> dict[str, Any]:
    """`elk_retention` with some classes changed; None takes one out."""
    merged = {**content("roles/elk/defaults/main.yml")["elk_retention"], **classes}
    return {"elk_retention": {name: value for name, value in merged.items() if value is not None}}


HPA = {"min": 3, "max": 20, "metrics": ["cpu"]}

# Rule, settings that it refuses, how bad it is, and words of the finding (cause, then next step) with their figures.
REFUSED: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("sampling", {"tracing_sampling": 100}, "error", ["100 is no share", "set it to 1"]),
    ("log-retention-disk", {"elk_data_disk": "50Gi", "zones": "a"}, "error", ["6 data nodes x 50Gi x 85% = 255Gi"]),
    ("units", {"postgresql_memory": "8 Gigs"}, "error", ["'8 Gigs' is no amount of bytes", "such as 512Mi"]),
    (
        "units",
        {"postgresql_parameters": {"work_mem": "64 Megs"}},
        "error",
        ["'64 Megs' is no amount of memory", "64MB"],
    ),
    ("units", {"postgresql_parameters": {"work_mem": 65536}}, "error", ["65536 is no amount of memory"]),
    ("units", retention(app={"daily": "1Gi", "hot": "14 days", "archive": "0d"}), "error", ["'14 days' is no span"]),
    ("units", {"kafka_brokers": "three"}, "error", ["'three' is no number"]),
    ("units", {"kafka_brokers": True}, "error", ["True is no number"]),
    ("jvm-heap", service(heap="8Gi"), "error", ["8Gi is 800% of the limit 1Gi", "768Mi or less", "10923Mi or more"]),
    ("jvm-heap", service(heap="769Mi"), "error", ["769Mi is 75% of the limit 1Gi"]),
    ("jvm-heap", service(heap="1Gi", limits={}), "error", ["no limit of memory", "1366Mi or more"]),
    ("jvm-heap", {"kafka_heap": "2Gi"}, "error", ["2Gi is 100% of the limit 2Gi"]),
    ("hpa-and-vpa", service(hpa=HPA, vpa={"mode": "Recreate", "resources": ["cpu"]}), "error", ["both act on cpu"]),
    ("hpa-and-vpa", service(hpa=HPA, vpa={"mode": "Auto"}), "error", ["both act on cpu", "to Off"]),
    ("vpa-mode", service(vpa={"mode": "Auto"}), "warning", ["Auto is deprecated"]),
    ("vpa-mode", service(vpa={"mode": "InPlaceOrRecreate"}), "error", ["needs Kubernetes 1.33, the release has 1.28"]),
    ("vpa-mode", service(vpa={"mode": "Of"}), "error", ["'Of' is no mode", "did you mean 'Off'?"]),
    ("hpa-memory-of-jvm", service(hpa={**HPA, "metrics": ["memory"]}, heap="512Mi"), "warning", ["512Mi", "20 pods"]),
    ("vpa-over-limit", service(vpa={"mode": "Off", "max": {"cpu": 2}}), "error", ["ask for 2, the limit is 1"]),
    ("vpa-over-limit", service(vpa={"mode": "Off", "max": {"memory": "4Gi"}}), "error", ["4Gi, the limit is 1Gi"]),
    ("vpa-over-limit", service(vpa={"mode": "Off", "max": {"memory": "4 Gigs"}}), "error", ["'4 Gigs' is no amount"]),
    ("hpa-range", service(hpa={**HPA, "min": 21}), "error", ["min 21 and max 20 are no range"]),
    ("hpa-range", service(hpa={**HPA, "min": 0}), "error", ["min 0 and max 20 are no range"]),
    ("hpa-range", service(replicas=2, hpa=HPA), "error", ["2 pods are outside of the HPA's 3 to 20", "set it to 3"]),
    ("request-over-limit", service(requests={"memory": "2Gi"}), "error", ["2Gi is over the limit of 1Gi"]),
    ("request-over-limit", service(requests={"cpu": "1500m"}), "error", ["1.5 is over the limit of 1"]),
    (
        "postgresql-connections",
        {"postgresql_pool_size": 63},
        "error",
        ["3 poolers x 63 connections = 189", "leaves 187", "62 or"],
    ),
    ("application-pools", {"postgresql_pool_clients": 299}, "error", ["hold 600", "2 x 299 = 598", "300 or more"]),
    ("application-pools", service(pool=-1), "error", ["-1 is no number of connections"]),
    (
        "keycloak-pool",
        {"keycloak_pool_size": 23},
        "error",
        ["3 instances x 23 connections = 69", "leaves 67", "at most 22"],
    ),
    ("keycloak-pool", {"keycloak_pool_size": 0}, "error", ["3 instances x 0 connections"]),
    (
        "harbor-pool",
        harbor(connections=5),
        "error",
        ["5 pods x 5 connections = 25", "less 165 of poolers and Keycloak", "leaves 22", "at most 4"],
    ),
    ("harbor-pool", {"keycloak_pool_size": 16}, "error", ["5 pods x 4 connections = 20", "leaves 19", "at most 3"]),
    ("harbor-pool", {**harbor(connections=None), "keycloak_pool_size": 16}, "error", ["5 pods x 4 connections = 20"]),
    ("harbor-pool", {"postgresql_pool_size": 42, "keycloak_pool_size": 15}, "error", ["leaves 16", "at most 3"]),
    ("harbor-pool", harbor(connections=0), "error", ["5 pods x 0 connections", "at least 1"]),
    (
        "postgresql-memory",
        parameters(work_mem="64MB"),
        "error",
        ["64Mi + shared_buffers 1.5Gi = 14Gi", "23592kB", "14336Mi"],
    ),
    ("postgresql-shared-buffers", parameters(shared_buffers="8GB"), "error", ["133% of an instance's 6Gi", "1536MB"]),
    ("postgresql-effective-cache-size", parameters(effective_cache_size="24GB"), "error", ["24Gi", "6Gi", "4608MB"]),
    (
        "postgresql-synchronous",
        {"postgresql_synchronous": 3},
        "error",
        ["3 standbys, 3 instances have 2", "set it to 1"],
    ),
    (
        "postgresql-backup-schedule",
        {"postgresql_backup_schedule": "0 2 * * *"},
        "error",
        ["5 fields", 'write "0 0 2 * * *"'],
    ),
    ("redis-mode", {"redis_leaders": 2, "redis_followers": 2}, "error", ["2 leaders", "3 or more"]),
    ("redis-mode", {"redis_followers": 2}, "error", ["2 followers of 3 leaders", "set it to 3"]),
    ("redis-maxmemory", {"redis_maxmemory_percent": 71}, "error", ["71% of a pod's limit", "from 60 to 70"]),
    ("redis-maxmemory", {"redis_maxmemory_percent": 59}, "warning", ["59% of a pod's limit"]),
    (
        "redis-eviction",
        {"redis_sessions_eviction": "allkeys-lru"},
        "error",
        ["'allkeys-lru' drops entries", "noeviction"],
    ),
    ("kafka-replication-factor", {"kafka_replication_factor": 4}, "error", ["4 copies on 3 brokers"]),
    ("kafka-min-in-sync", {"kafka_min_in_sync": 3}, "error", ["3 of 3 copies must be in sync", "set it to 2"]),
    ("kafka-min-in-sync", {"kafka_min_in_sync": 1}, "error", ["1 copy in sync is enough", "set it to 2"]),
    ("kafka-plain-listener", {"kafka_plain_listener": True}, "error", ["port 9092 in clear", "9093"]),
    # Nowhere may passwords go there.
    (
        "kafka-plain-listener",
        {"environment": "staging", "kafka_plain_listener": True},
        "error",
        ["passwords of banking-apps", "port 9092"],
    ),
    (
        "kafka-plain-listener",
        {"environment": "staging", "kafka_plain_listener": True, "kafka_users": {"cards": {"authentication": "tls"}}},
        "warning",
        ["port 9092 in clear"],
    ),
    ("kafka-topics", topic(replicas=4), "error", ["4 copies on 3 brokers", "kafka_brokers to 4"]),
    ("kafka-topics", topic(min_in_sync=3), "error", ["3 of 3 copies must be in sync", "set it to 2"]),
    ("kafka-topics", topic(replicas=2), "error", ["2 of 2 copies", "set replicas to 3 and this to 2"]),
    ("kafka-topics", topic(min_in_sync=1), "error", ["1 copy in sync is enough", "set it to 2"]),
    ("kafka-topics", topic(partitions=0), "error", ["0 is no number"]),
    ("kafka-topics", topic(retention="a week"), "error", ["'a week' is no span of time", "7d"]),
    ("kafka-topics", topic(partition=3), "error", ["did you mean 'partitions'?"]),
    ("kafka-topics", topic(config={"max.message.byte": 1}), "error", ["did you mean 'max.message.bytes'?"]),
    ("kafka-topics", topic(config={"retention.ms": 1}), "error", ["say it as retention"]),
    ("kafka-topics", topic(config={"remote.storage.enable": True}), "error", ["this release's Kafka has no such"]),
    (
        "kafka-topics",
        {"release": "2026.2", **topic(config={"message.format.version": "3.0"})},
        "error",
        ["this release's Kafka has no such"],
    ),
    ("kafka-topics", {"kafka_topics": {"a b": {"partitions": 1}}}, "error", ["no name for a topic"]),
    (
        "kafka-topics",
        {"kafka_topics": {"A_b": {"partitions": 1}, "a-b": {"partitions": 1}}},
        "error",
        ["the name of that of A_b"],
    ),
    ("kafka-users", user(authentication="plain"), "error", ["'plain' is no way to log in", "scram-sha-512"]),
    ("kafka-users", user(writes=["event"]), "error", ["no topic 'event'", "did you mean 'events'?"]),
    ("kafka-users", user(reads=["other.*"]), "error", ["no topic 'other.*'"]),
    ("kafka-users", user(group=["x"]), "error", ["did you mean 'groups'?"]),
    ("kafka-users", user(quotas={"producerRate": 1}), "error", ["did you mean 'producerByteRate'?"]),
    ("kafka-users", {"kafka_users": {"Cards": {"authentication": "tls"}}}, "error", ["no object can have it"]),
    ("kafka-users", {"kafka_users": {"kafka-connect": {"authentication": "tls"}}}, "error", ["the platform's own"]),
    ("kafka-secrets", user(password="hunter2"), "error", ["a secret stands in the inventory", "Vault"]),
    (
        "kafka-secrets",
        connector(config={"database.password": "hunter2"}),
        "error",
        ["kafka_connect_secrets", "${secrets:"],
    ),
    (
        "kafka-secrets",
        connector(config={"url": "jdbc:postgresql://h/d?password=x"}),
        "error",
        ["stands in the inventory"],
    ),
    ("kafka-secrets", connector(config={"url": "mongodb://me:hunter2@host/"}), "error", ["stands in the inventory"]),
    ("kafka-secrets", mirror(password="hunter2"), "error", ["a secret stands in the inventory"]),
    ("kafka-config", {"kafka_config": {"listeners": "PLAINTEXT://:9092"}}, "error", ["makes this setting itself"]),
    (
        "kafka-connectors",
        {**connector(), "kafka_connect_image": ""},
        "error",
        ["no image of the catalog has io.debezium"],
    ),
    ("kafka-connectors", connector(kind="cdc"), "error", ["'cdc' is no kind", "source or sink"]),
    ("kafka-connectors", connector(dead_letters="events"), "error", ["of sources it does not"]),
    ("kafka-connectors", connector(kind="sink", dead_letters="event.dlt"), "error", ["no topic 'event.dlt'"]),
    ("kafka-connectors", connector(topics=[]), "error", ["its user may touch nothing else"]),
    ("kafka-connectors", connector(**{"class": ""}), "error", ["there is no class"]),
    ("kafka-connectors", {**connector(), "kafka_connect_image": "h/c:1"}, "error", ["has no digest"]),
    ("kafka-mirror", mirror(bootstrap="kafka.example.org"), "error", ["no <host>:<port>"]),
    ("kafka-mirror", mirror(networks=[]), "error", ["it is not said"]),
    ("kafka-mirror", mirror(source="here"), "error", ["name of this region"]),
    ("kafka-mirror", mirror(topic=["x"]), "error", ["did you mean 'topics'?"]),
    ("elasticsearch-masters", {"elk_masters": 4}, "error", ["4 masters have a majority of 3", "than 3", "set it to 5"]),
    ("elasticsearch-masters", {"elk_masters": 1}, "error", ["1 master: losing it stops", "set it to 3"]),
    ("elasticsearch-replicas", {"elk_replicas": 0}, "error", ["no replica", "set it to 1"]),
    (
        "log-retention-disk",
        {"elk_data_disk": "100Gi"},
        "error",
        ["218Gi", "2 copies = 436Gi", "4 data nodes (a zone is gone)", "340Gi", "131313Mi"],
    ),
    (
        "log-archive",
        retention(auth={"daily": "1Gi", "hot": "30d", "archive": "14d"}),
        "error",
        ["14 days, the hot tier 30"],
    ),
    (
        "audit-retention",
        retention(audit={"daily": "1Gi", "hot": "30d", "archive": "1y"}),
        "error",
        ["365 days", "2555", "7y"],
    ),
    ("audit-retention", retention(audit=None), "error", ["there is no class audit"]),
    ("slo", {"prometheus_slo": 100}, "error", ["100% is no objective"]),
    ("slo", {"prometheus_slo": 0}, "error", ["0% is no objective"]),
    (
        "prometheus-retention-size",
        {"prometheus_retention_size": "50GiB"},
        "error",
        ["50Gi of blocks on a volume of 50Gi", "40GiB"],
    ),
    ("prometheus-retention-size", {"prometheus_retention_size": "45GiB"}, "warning", ["45Gi of blocks", "54212Mi"]),
    ("sampling", {"tracing_sampling": 10}, "error", ["10 is no share", "set it to 0.1"]),
    ("sampling", {"tracing_sampling": 150}, "error", ["150 is no share", "from 0 to 1"]),
    (
        "application-liveness",
        service(liveness="/actuator/health"),
        "error",
        ["'/actuator/health' answers for the database"],
    ),
    ("application-image", service(image="firefly/app:latest"), "error", ["'firefly/app:latest' is always the newest"]),
    ("application-image", service(image="harbor.example:443/app"), "error", ["has neither tag nor digest"]),
    ("application-image", service(image="app:1@sha256:00"), "error", ["'sha256:00' is no digest"]),
    ("application-image", service(image="app:1.0.0"), "warning", ["'app:1.0.0' has no digest"]),
    ("application-drain", service(min_available=3), "error", ["3 of 3 pods must stay", "set it to 2"]),
    ("application-drain", service(min_available="all"), "error", ["all of 3 pods must stay"]),
    ("application-replicas", service(replicas=1, min_available=0), "error", ["1 pod in production", "set it to 3"]),
]

# Rule, and settings near to what it refuses that it lets pass. The defaults are beside them.
PASSES: list[tuple[str, dict[str, Any]]] = [
    # exactly at the bound
    ("postgresql-connections", {"postgresql_poolers": 1, "postgresql_pool_size": 187}),
    ("keycloak-pool", {"keycloak_instances": 1, "keycloak_pool_size": 67}),
    ("keycloak-pool", {"keycloak_pool_size": 1}),
    ("harbor-pool", parameters(max_connections=198)),
    ("harbor-pool", {**harbor(connections=13), "keycloak_enabled": False}),
    ("harbor-pool", {**harbor(connections=5), "postgresql_enabled": False}),
    ("harbor-pool", {**harbor(connections=5), "harbor_enabled": False}),
    ("harbor-pool", harbor(connections=50, host="db.bank.internal")),
    ("harbor-pool", harbor(connections="many")),
    ("postgresql-memory", parameters(max_connections=256, work_mem="18MB")),
    ("postgresql-shared-buffers", {"postgresql_memory": "5Gi", **parameters(shared_buffers="2GB")}),
    ("prometheus-retention-size", {"prometheus_storage": "100Gi", "prometheus_retention_size": "85GiB"}),
    ("hpa-range", service(replicas=1, min_available=0, hpa={**HPA, "min": 1})),
    # near to it
    ("units", {"postgresql_memory": "8 GB", "kafka_brokers": "3"}),
    ("units", {"redis_enabled": False, "redis_leaders": "three"}),
    ("jvm-heap", service(heap="768Mi")),
    ("hpa-and-vpa", service(hpa=HPA, vpa={"mode": "Off"})),
    ("hpa-and-vpa", service(hpa=HPA, vpa={"mode": "Initial", "resources": ["cpu"]})),
    ("hpa-and-vpa", service(hpa=HPA, vpa={"mode": "Recreate", "resources": ["memory"]})),
    ("vpa-mode", service(vpa={"mode": False})),
    ("vpa-mode", {**service(vpa={"mode": "InPlaceOrRecreate"}), "release": "2026.2"}),
    ("hpa-memory-of-jvm", service(hpa={**HPA, "metrics": ["memory"]})),
    ("hpa-memory-of-jvm", service(hpa=HPA, heap="512Mi")),
    ("vpa-over-limit", service(vpa={"mode": "Off", "max": {"cpu": 1, "memory": "1Gi"}})),
    ("hpa-range", service(hpa={"min": 3, "max": 3, "metrics": ["cpu"]})),
    ("request-over-limit", service(requests={"cpu": 1, "memory": "1Gi"})),
    ("request-over-limit", service(requests={"cpu": 4, "memory": "4Gi"}, limits={})),
    ("postgresql-connections", {"postgresql_pool_size": 62}),
    ("application-pools", {"postgresql_pool_clients": 300}),
    ("keycloak-pool", {"keycloak_pool_size": 22}),
    ("postgresql-memory", parameters(work_mem="23592kB")),
    ("postgresql-shared-buffers", parameters(shared_buffers="2457MB")),
    ("postgresql-effective-cache-size", parameters(effective_cache_size="6GB")),
    ("postgresql-synchronous", {"postgresql_synchronous": 2}),
    ("postgresql-backup-schedule", {"postgresql_backup_schedule": "0 30 1 * * *"}),
    ("redis-mode", {"redis_mode": "sentinel", "redis_leaders": 1, "redis_followers": 0}),
    ("redis-maxmemory", {"redis_maxmemory_percent": 60}),
    ("redis-maxmemory", {"redis_maxmemory_percent": 70}),
    ("redis-eviction", {"redis_cache_eviction": "volatile-lfu"}),
    ("kafka-replication-factor", {"kafka_brokers": 5, "kafka_replication_factor": 5}),
    ("kafka-min-in-sync", {"kafka_replication_factor": 4, "kafka_min_in_sync": 3, "kafka_brokers": 4}),
    ("kafka-min-in-sync", {"environment": "development", "kafka_replication_factor": 1, "kafka_min_in_sync": 1}),
    ("kafka-plain-listener", {"kafka_enabled": False, "kafka_plain_listener": True}),
    ("kafka-topics", topic(partitions=6, replicas=3, min_in_sync=2, retention="12h", config={"segment.ms": 1})),
    ("kafka-topics", topic(retention="forever", config={"cleanup.policy": "compact"})),
    ("kafka-topics", {"release": "2026.2", **topic(config={"remote.storage.enable": True})}),
    ("kafka-topics", {"environment": "development", **topic(replicas=1, min_in_sync=1)}),
    ("kafka-users", user(writes=["events"], reads=["ev*"], groups=["a"], quotas={"requestPercentage": 10})),
    ("kafka-secrets", connector(config={"database.password": "${secrets:banking-data/cdc:password}"})),
    ("kafka-secrets", connector(config={"url": "jdbc:postgresql://h/d?password=${secrets:banking-data/a:b}"})),
    ("kafka-secrets", mirror()),
    ("kafka-config", {"kafka_config": {"num.network.threads": 4, "ssl.cipher.suites": "TLS_AES_256_GCM_SHA384"}}),
    ("kafka-connectors", connector()),
    ("kafka-connectors", connector(kind="sink", dead_letters="events")),
    (
        "kafka-connectors",
        {
            **connector(**{"class": "org.apache.kafka.connect.mirror.MirrorHeartbeatConnector"}),
            "kafka_connect_image": "",
        },
    ),
    ("kafka-mirror", mirror()),
    ("kafka-mirror", {"kafka_mirror": {}}),
    ("elasticsearch-masters", {"elk_masters": 5}),
    ("elasticsearch-masters", {"environment": "development", "elk_masters": 1}),
    ("elasticsearch-replicas", {"elk_replicas": 2}),
    ("log-retention-disk", {"elk_data_disk": "130Gi"}),
    ("log-archive", retention(auth={"daily": "1Gi", "hot": "30d", "archive": "30d"})),
    ("audit-retention", retention(audit={"daily": "1Gi", "hot": "30d", "archive": "2555d"})),
    ("slo", {"prometheus_slo": "99.99"}),
    ("prometheus-retention-size", {"prometheus_retention_size": "42GiB"}),
    ("sampling", {"tracing_sampling": 1}),
    ("sampling", {"tracing_sampling": 0}),
    ("application-liveness", service(liveness="/livez/liveness/")),
    ("application-image", {**service(image="app:1.0.0"), "environment": "development"}),
    ("application-image", service()),
    ("application-drain", service(min_available=1)),
    ("application-replicas", service(replicas=2, min_available=1)),
    ("application-replicas", {**service(replicas=1, min_available=0), "environment": "development"}),
]


def found(rule: str, settings: Mapping[str, Any]) -> list[Finding]:
    """What one rule says about a platform with these settings."""
    if rule == "units":  # it looks at variables alone: declarations with such values are refused before
        subject = platform(**{key: value for key, value in settings.items() if key.endswith("_enabled")})
        return list(RULES[rule](Platform(**{**vars(subject), "variables": {**subject.variables, **settings}})))
    return list(RULES[rule](platform(**settings)))


@pytest.mark.parametrize(("rule", "settings", "severity", "words"), REFUSED)
def test_refuses(rule, settings, severity, words):
    findings = found(rule, settings)
    assert [(finding.severity, finding.rule) for finding in findings] == [(severity, rule)]
    missing = [word for word in words if word not in f"{findings[0].cause} {findings[0].next_step}"]
    assert not missing, str(findings[0])


@pytest.mark.parametrize(("rule", "settings"), PASSES)
def test_lets_pass(rule, settings):
    assert found(rule, settings) == []


def test_an_unknown_mode_of_redis_is_refused():
    (finding,) = RULES["redis-mode"](
        Platform(**{**vars(platform()), "variables": {**platform().variables, "redis_mode": "both"}})
    )
    assert finding.severity == "error"
    assert "'both' is not known" in finding.cause


@pytest.mark.parametrize(("kubernetes", "count"), [("1.32.9", 1), ("1.33.0", 0), ("1.100.0", 0)])
def test_resizing_in_place_needs_kubernetes_1_33(kubernetes, count):
    release = catalog.Catalog(
        {"schema": 1, "release": "x", "kubernetes": kubernetes, "state": "current", "components": {}}
    )
    subject = platform(**service(vpa={"mode": "InPlaceOrRecreate"}))
    assert len(list(RULES["vpa-mode"](Platform(**{**vars(subject), "catalog": release})))) == count


@pytest.mark.parametrize("limits", [{}, {"memory": "8Gi"}])
def test_data_store_memory_wants_the_limit_of_a_store_to_be_its_request(limits):
    """No role's settings lead to it: it holds the declarations themselves."""

    def findings(component: str, kind: dict[str, Any], memory: Mapping[str, str]) -> list[Finding]:
        workload = {"replicas": 3, "requests": {"memory": "4Gi"}, "limits": memory}
        quorum = [{"name": "q", "members": ["store"], **kind}]
        declaration = declarations.parse(component, {"workloads": {"store": workload}, "quorum": quorum})
        return list(RULES["data-store-memory"](Platform(**{**vars(platform()), "declarations": [declaration]})))

    (finding,) = findings("elk", {"kind": "majority"}, limits)
    assert (finding.severity, finding.subject, finding.rule) == ("warning", "elk/store", "data-store-memory")
    assert "the request is 4Gi" in finding.cause
    assert findings("elk", {"kind": "majority"}, {"memory": "4Gi"}) == []
    assert findings("elk", {"kind": "at_least_one"}, limits) == []
    assert findings("istio", {"kind": "majority"}, limits) == []


@pytest.mark.parametrize("release", catalog.releases())
@pytest.mark.parametrize("environment", ["prod", "development"])
def test_the_defaults_pass_but_for_the_digests_that_only_the_pipeline_knows(release, environment):
    subject = platform(environment=environment, release=release)
    findings = [finding for name in mine() for finding in RULES[name](subject)]
    assert {finding.rule for finding in findings} == ({"application-image"} if environment == "prod" else set())
    assert {finding.severity for finding in findings} <= {"warning"}


def test_what_is_off_is_not_looked_at():
    off = {f"{role}_enabled": False for role in ROLES}
    wrong = {
        key: value
        for rule, settings, _severity, _words in REFUSED
        if rule != "units"
        for key, value in settings.items()
    }
    subject = platform(**{**wrong, **off})
    assert [finding for name in mine() for finding in RULES[name](subject)] == []


def test_values_that_cannot_be_read_are_found_once_and_stop_no_other_rule():
    wrong = {path: "many" for path in data._READERS if "." not in path}
    subject = platform()
    broken = Platform(**{**vars(subject), "variables": {**subject.variables, **wrong}})
    findings = [finding for name in mine() for finding in RULES[name](broken)]
    assert {finding.variable for finding in findings if finding.rule == "units"} == set(wrong)
    assert {finding.rule for finding in findings} == {"units", "application-image"}


def mine() -> list[str]:
    """The rules of this module."""
    return [name for name, function in RULES.items() if function.__module__ == data.__name__]


def test_every_rule_is_tested_both_ways():
    alone = {"data-store-memory"}  # its test is above
    assert {rule for rule, *_rest in REFUSED} | alone == set(mine())
    assert {rule for rule, _settings in PASSES} | alone == set(mine())
