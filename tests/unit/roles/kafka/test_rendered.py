# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `kafka` delivers, held against Kafka's own lists of settings (`keys`), where no broker can be had."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.rules import data
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
each_release = pytest.mark.parametrize("release", RELEASES)
ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"
KEYS = {
    release: yaml.safe_load((Path(__file__).parent / "keys" / f"{release}.yml").read_text()) for release in RELEASES
}
# Settings of Cruise Control's reporter, which runs in the broker: exceptions of KafkaClusterSpec at 0.39.0 and 1.2.0.
REPORTER = {f"cruise.control.metrics.topic.{name}" for name in ("replication.factor", "min.insync.replicas")}
# All that a user may choose, as the scenario has it.
SCENARIO = yaml.safe_load((CLONE / "molecule/kafka/vars.yml").read_text())["variables"]
ALL = {key: value for key, value in SCENARIO.items() if key.startswith("kafka_")}
# What a value of Kafka's types looks like in an object.
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("int", "long", "short"), (int,)),
    **dict.fromkeys(("string", "list", "class", "password"), (str,)),
    "double": (int, float),
    "boolean": (bool,),
}


def of(found: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind by name."""
    return {name: item for (one, name), item in found.objects.items() if one == kind}


def kafka(found: Rendered) -> dict[str, Any]:
    spec: dict[str, Any] = found.objects["Kafka", "kafka"]["spec"]
    return spec


def pods(found: Rendered) -> dict[str, dict[str, Any]]:
    """The template of the pods of each workload that the operator makes."""
    spec = kafka(found)
    parts = {"entity-operator": "entityOperator", "cruise-control": "cruiseControl", "exporter": "kafkaExporter"}
    places = {name: spec[part] for name, part in parts.items()}
    if "zookeeper" in spec:
        places |= {"broker": spec["kafka"], "controller": spec["zookeeper"]}
    else:
        places |= {name: pool["spec"] for name, pool in of(found, "KafkaNodePool").items()}
    places["connect"] = of(found, "KafkaConnect")["kafka"]["spec"]
    places |= {name: item["spec"] for name, item in of(found, "KafkaMirrorMaker2").items()}
    return {name: place["template"]["pod"] for name, place in places.items()}


def wrong(settings: Mapping[str, Any], known: Mapping[str, str]) -> list[str]:
    """Settings that Kafka does not have, or has with values of another kind."""
    return [
        f"{key}: {value!r} is no {known.get(key, 'setting of it')}"
        for key, value in settings.items()
        if key not in known
        or not isinstance(value, TYPES[known[key]])
        or (isinstance(value, bool) and known[key] != "boolean")
    ]


# Kafka's own lists


@each_release
def test_the_lists_are_of_the_versions_that_the_release_runs(rendered: Render, release: str) -> None:
    assert KEYS[release]["version"] == kafka(rendered("kafka", release))["kafka"]["version"]
    assert len(KEYS[release]["broker"]) > 250
    assert {kind for part in ("broker", "topic") for kind in KEYS[release][part].values()} <= set(TYPES)


@each_release
def test_kafka_knows_every_setting_of_brokers_and_topics(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    config = kafka(found)["kafka"]["config"]
    assert wrong({key: value for key, value in config.items() if key not in REPORTER}, KEYS[release]["broker"]) == []
    topics = of(found, "KafkaTopic")
    assert len(topics) >= 10
    for name, topic in topics.items():
        assert wrong(topic["spec"]["config"], KEYS[release]["topic"]) == [], name


@each_release
def test_a_setting_that_kafka_does_not_know_would_be_seen(rendered: Render, release: str) -> None:
    """res-A13: what the source documents ask for is known to the older one alone."""
    found = rendered("kafka", release, kafka_config={"log.message.format.version": "3.5", "min.insync.replica": 2})
    config = kafka(found)["kafka"]["config"]
    unknown = [line.partition(":")[0] for line in wrong(config, KEYS[release]["broker"]) if "setting" in line]
    expected = {"min.insync.replica", *REPORTER} | ({"log.message.format.version"} if release == "2026.2" else set())
    assert set(unknown) == expected
    assert wrong({"min.insync.replicas": "2"}, KEYS[release]["topic"]) == ["min.insync.replicas: '2' is no int"]


def test_preflight_knows_the_same_settings_of_topics() -> None:
    older, later = (set(KEYS[release]["topic"]) for release in RELEASES)
    assert older & later == data._KAFKA_TOPIC
    assert frozenset(older - later) == data._KAFKA_TOPIC_3
    assert frozenset(later - older) == data._KAFKA_TOPIC_4


@each_release
def test_the_operator_drops_none_of_the_settings(rendered: Render, release: str) -> None:
    config = kafka(rendered("kafka", release))["kafka"]["config"]
    dropped = [
        key
        for key in config
        if key.startswith(tuple(data._KAFKA_STRIMZI)) and not key.startswith(tuple(data._KAFKA_STRIMZI_LEAVES))
    ]
    assert dropped == []


# What survives a zone


@each_release
def test_copies_are_in_different_zones_and_two_have_each_record(rendered: Render, release: str) -> None:
    spec = kafka(rendered("kafka", release))["kafka"]
    assert spec["rack"] == {"topologyKey": ZONE}
    config = spec["config"]
    assert {config[f"{name}.replication.factor"] for name in ("default", "offsets.topic", "transaction.state.log")} == {
        3
    }
    assert (config["min.insync.replicas"], config["transaction.state.log.min.isr"]) == (2, 2)
    assert (config["auto.create.topics.enable"], config["unclean.leader.election.enable"]) == (False, False)
    assert "log.message.format.version" not in config


@each_release
def test_each_topic_outlives_a_zone(rendered: Render, release: str) -> None:
    for name, topic in of(rendered("kafka", release, **ALL), "KafkaTopic").items():
        spec = topic["spec"]
        assert (spec["replicas"], spec["config"]["min.insync.replicas"]) == (3, 2), name
        # What is taken out of the list stays in Kafka.
        assert topic["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"


@each_release
def test_pods_are_spread_as_they_are_declared(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    templates = pods(found)
    assert set(templates) >= {
        "broker",
        "controller",
        "connect",
        "mirror",
        "cruise-control",
        "entity-operator",
        "exporter",
    }
    for name, template in templates.items():
        declared = found.workload(name)
        labels = template["metadata"]["labels"]
        assert labels == {"platform.banking/workload": f"kafka-{name}"}
        zones = [one for one in template.get("topologySpreadConstraints", []) if one["topologyKey"] == ZONE]
        hard = [one for one in zones if one["whenUnsatisfiable"] == "DoNotSchedule"]
        assert [one["labelSelector"]["matchLabels"] for one in hard] == (
            [labels] if "zone" in declared.spread else []
        ), name
        apart = (
            template["affinity"].get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
        )
        assert [one["topologyKey"] for one in apart] == ([NODE] if "node" in declared.spread else []), name
        assert template["priorityClassName"] == "banking-data"


@each_release
def test_cruise_control_never_puts_copies_into_one_zone(rendered: Render, release: str) -> None:
    def goals(found: Rendered) -> tuple[list[str], ...]:
        config = kafka(found)["cruiseControl"]["config"]
        names = ("hard.goals", "default.goals", "goals")
        return tuple([goal.rpartition(".")[2] for goal in config[name].split(",")] for name in names)

    hard, default, known = goals(rendered("kafka", release))
    assert hard[0] == "RackAwareGoal"
    assert set(hard) <= set(default) <= set(known)
    # It fails where there are more copies than zones.
    assert goals(rendered("kafka", release, platform_zones=["a"]))[0][0] == "RackAwareDistributionGoal"


@each_release
def test_what_runs_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    spec = kafka(found)
    broker, controller = (found.workload(name) for name in ("broker", "controller"))
    if release == "2024.1":
        assert found.objects["Kafka", "kafka"]["apiVersion"] == "kafka.strimzi.io/v1beta2"
        assert (spec["kafka"]["replicas"], spec["zookeeper"]["replicas"]) == (broker.replicas, controller.replicas)
        assert spec["kafka"]["config"]["inter.broker.protocol.version"] == "3.5"
        volumes = spec["kafka"]["storage"]["volumes"] + [spec["zookeeper"]["storage"]]
    else:
        assert found.objects["Kafka", "kafka"]["apiVersion"] == "kafka.strimzi.io/v1"
        assert not {"replicas", "storage"} & set(spec["kafka"])
        assert "zookeeper" not in spec
        pools = {name: item["spec"] for name, item in of(found, "KafkaNodePool").items()}
        assert {name: (pool["roles"], pool["replicas"]) for name, pool in pools.items()} == {
            "broker": (["broker"], broker.replicas),
            "controller": (["controller"], controller.replicas),
        }
        volumes = [volume for pool in pools.values() for volume in pool["storage"]["volumes"]]
    assert {volume["deleteClaim"] for volume in volumes} == {False}
    assert {volume["size"] for volume in volumes} == {"100Gi", "10Gi"}
    entity = spec["entityOperator"]
    halves = [entity[name]["resources"]["limits"]["memory"] for name in ("topicOperator", "userOperator")]
    assert halves == ["384Mi", "384Mi"]


# Who may come, and do what


@each_release
def test_nothing_is_said_in_clear(rendered: Render, release: str) -> None:
    found = rendered("kafka", release)
    listeners = {one["name"]: one for one in kafka(found)["kafka"]["listeners"]}
    assert {name: (one["port"], one["tls"], one["authentication"]["type"]) for name, one in listeners.items()} == {
        "tls": (9093, True, "scram-sha-512"),
        "mtls": (9094, True, "tls"),
    }
    declared = {entry["name"]: entry["ports"] for entry in found.declared.ports} if found.declared else {}
    assert (declared["tls"], declared["mtls"], declared["plain"]) == ([9093], [9094], [])
    certificate = found.objects["Certificate", "kafka-server"]["spec"]
    assert listeners["tls"]["configuration"]["brokerCertChainAndKey"]["secretName"] == certificate["secretName"]
    assert {"kafka-kafka-bootstrap.banking-data.svc", "*.kafka-kafka-brokers.banking-data.svc"} <= set(
        certificate["dnsNames"]
    )
    assert kafka(found)["kafka"]["config"]["ssl.enabled.protocols"] == "TLSv1.3"
    older = kafka(rendered("kafka", release, platform_tls_minimum="1.2"))["kafka"]
    assert older["config"]["ssl.enabled.protocols"] == "TLSv1.2,TLSv1.3"


@each_release
def test_a_plain_listener_is_there_when_it_is_asked_for(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, kafka_plain_listener=True)
    (plain,) = [one for one in kafka(found)["kafka"]["listeners"] if not one["tls"]]
    assert (plain["port"], plain["authentication"]["type"]) == (9092, "scram-sha-512")
    assert found.declared
    assert [entry["ports"] for entry in found.declared.ports if entry["name"] == "plain"] == [[9092]]


@each_release
def test_nobody_may_do_what_is_not_said(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    assert kafka(found)["kafka"]["authorization"] == {"type": "simple"}
    users = of(found, "KafkaUser")
    for name, user in users.items():
        spec = user["spec"]
        assert spec["authorization"]["type"] == "simple", name
        assert spec["authorization"]["acls"], name
        assert all(acl["operations"] and "All" not in acl["operations"] for acl in spec["authorization"]["acls"]), name
    acls = [
        (acl["resource"]["type"], acl["resource"]["name"], acl["resource"]["patternType"], acl["operations"][0])
        for acl in users["banking-apps"]["spec"]["authorization"]["acls"]
    ]
    assert ("topic", "banking.events", "literal", "Write") in acls
    assert ("group", "banking-", "prefix", "Read") in acls
    assert not [one for one in acls if one[1] == "*" or one[1] == ""]
    assert users["banking-apps"]["spec"]["quotas"]["producerByteRate"] == 10485760


@each_release
def test_passwords_come_from_vault_and_the_store_lets_them(rendered: Render, release: str) -> None:
    found = rendered("kafka", release)
    secrets = {name: item["spec"] for name, item in of(found, "ExternalSecret").items()}
    assert list(secrets) == ["kafka-user-banking-apps"]
    read = {one["remoteRef"]["key"] for spec in secrets.values() for one in spec["data"]}
    store = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]["kafka"]
    assert (read, store["namespaces"]) == (set(store["read"]), ["banking-data"])
    assert {f"kafka/{name}" for name in found.variables["__kafka_passwords"]} == read
    password = found.objects["KafkaUser", "banking-apps"]["spec"]["authentication"]["password"]
    assert password == {"valueFrom": {"secretKeyRef": {"name": "kafka-user-banking-apps", "key": "password"}}}
    assert not of(found, "Secret")


@each_release
def test_the_platforms_own_clients_show_certificates(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    users = {name for name, item in of(found, "KafkaUser").items() if item["spec"]["authentication"] == {"type": "tls"}}
    assert users == {"kafka-connect", "kafka-mirror", "kafka-schema-registry"}
    connect = of(found, "KafkaConnect")["kafka"]["spec"]
    assert connect["bootstrapServers"].endswith(":9094")
    assert connect["authentication"]["certificateAndKey"]["secretName"] == "kafka-connect"
    assert "kafka-mirror" not in of(rendered("kafka", release), "KafkaUser")


# Connect, mirror, registry


@each_release
def test_a_sink_puts_aside_what_it_cannot_take(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    connectors = {name: item["spec"] for name, item in of(found, "KafkaConnector").items()}
    sink = connectors["warehouse"]["config"]
    assert sink["topics"] == "banking.events"
    assert (sink["errors.tolerance"], sink["errors.deadletterqueue.topic.name"]) == ("all", "banking.events.dlt")
    assert sink["errors.deadletterqueue.topic.replication.factor"] == 3
    # Records are customers' data.
    assert sink["errors.log.include.messages"] is False
    # res-A15
    assert not [key for key in connectors["accounts"]["config"] if key.startswith("errors.")]
    acls = found.objects["KafkaUser", "kafka-connect"]["spec"]["authorization"]["acls"]
    writes = {acl["resource"]["name"] for acl in acls if "Write" in acl["operations"]}
    assert writes >= {"banking.events.dlt", "cdc."}
    assert "banking.events" not in writes


@each_release
def test_connect_reads_the_secrets_of_its_connectors_alone(rendered: Render, release: str) -> None:
    found = rendered("kafka", release, **ALL)
    (rule,) = found.objects["Role", "kafka-connect-secrets"]["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (["kafka-cdc"], ["get"])
    config = found.objects["KafkaConnector", "accounts"]["spec"]["config"]
    assert config["database.password"] == "${secrets:banking-data/kafka-cdc:password}"
    provider = of(found, "KafkaConnect")["kafka"]["spec"]["config"]["config.providers.secrets.class"]
    assert provider == "io.strimzi.kafka.KubernetesSecretConfigProvider"
    assert ("Role", "kafka-connect-secrets") not in rendered("kafka", release).objects


@each_release
def test_connect_runs_what_it_is_given(rendered: Render, release: str) -> None:
    spec = of(rendered("kafka", release, **ALL), "KafkaConnect")["kafka"]["spec"]
    assert spec["image"] == ALL["kafka_connect_image"]
    bare = of(rendered("kafka", release), "KafkaConnect")["kafka"]["spec"]
    assert bare["image"] == kafka(rendered("kafka", release))["kafka"]["image"]
    topics = {spec["configStorageTopic"]} if release == "2026.2" else {spec["config"]["config.storage.topic"]}
    assert topics <= set(of(rendered("kafka", release), "KafkaTopic"))


@each_release
def test_a_mirror_comes_only_when_it_is_asked_for(rendered: Render, release: str) -> None:
    assert not of(rendered("kafka", release), "KafkaMirrorMaker2")
    assert rendered("kafka", release).workload("mirror").replicas == 0
    found = rendered("kafka", release, **ALL)
    spec = of(found, "KafkaMirrorMaker2")["mirror"]["spec"]
    (mirror,) = spec["mirrors"]
    if release == "2024.1":
        assert (spec["connectCluster"], mirror["sourceCluster"]) == ("region-b", "region-a")
        there = next(one for one in spec["clusters"] if one["alias"] == "region-a")
    else:
        there = mirror["source"]
        assert spec["target"]["alias"] == "region-b"
    assert there["authentication"]["type"] == "scram-sha-512"
    assert there["tls"]["trustedCertificates"] == [{"secretName": "kafka-mirror-source", "certificate": "ca"}]
    assert found.declared
    (edge,) = [one for one in found.declared.edges if one["why"] == "the other region"]
    assert (edge["to"], edge["port"]) == (["198.51.100.0/24"], 9093)


@each_release
def test_schemas_are_kept_in_topics_that_forget_nothing(rendered: Render, release: str) -> None:
    found = rendered("kafka", release)
    if release == "2024.1":
        spec = found.objects["ApicurioRegistry", "schema-registry"]["spec"]
        assert (spec["configuration"]["persistence"], spec["deployment"]["replicas"]) == ("kafkasql", 2)
        topics = {"kafkasql-journal": {"cleanup.policy": "compact", "min.insync.replicas": 2}}
    else:
        spec = found.objects["ApicurioRegistry3", "schema-registry"]["spec"]["app"]
        assert (spec["storage"]["type"], spec["replicas"]) == ("kafkasql", 2)
        forever = {"cleanup.policy": "delete", "retention.ms": -1, "retention.bytes": -1, "min.insync.replicas": 2}
        topics = dict.fromkeys(("kafkasql-journal", "kafkasql-snapshots", "registry-events"), forever)
    assert {name: found.objects["KafkaTopic", name]["spec"]["config"] for name in topics} == topics


@each_release
def test_operators_watch_their_namespace_alone(rendered: Render, release: str) -> None:
    found = rendered("kafka", release)
    values = found.values["strimzi-kafka-operator"]
    assert values["watchNamespaces"] == []
    assert values["generateNetworkPolicy"] is False
    assert {"name": "STRIMZI_POD_SECURITY_PROVIDER_CLASS", "value": "restricted"} in values["extraEnvs"]
    binding = found.objects["RoleBinding", "apicurio-registry-operator"]
    assert binding["roleRef"]["kind"] == "ClusterRole"
    assert not [name for name, item in of(found, "ClusterRoleBinding").items() if item["roleRef"]["name"] != f"{name}"]
    images = [
        container["image"]
        for container in found.objects["Deployment", "apicurio-registry-operator"]["spec"]["template"]["spec"][
            "containers"
        ]
    ]
    assert all(re.fullmatch(r"quay\.io/apicurio/[a-z0-9-]+:[0-9.]+", image) for image in images)


# The operator's upgrades


def test_each_operator_of_the_chain_knows_a_kafka_of_the_one_before(rendered: Render) -> None:
    chain = rendered("kafka", "2024.1").variables["__kafka_upgrades"]
    for one, following in itertools.pairwise(chain):
        assert following["kafka"][0] == one["kafka"][-1], following["operator"]
    for step in chain:
        assert set(step["kafka"]) <= set(step["supports"]), step["operator"]
    for release, end in zip(RELEASES, (chain[0], chain[-1]), strict=True):
        found = rendered("kafka", release)
        assert found.variables["__kafka_wanted"] == end["operator"]
        assert found.variables["__kafka_version"] in end["kafka"]


def running(version: str) -> dict[str, Any]:
    image = f"quay.io/strimzi/operator:{version}"
    return {"__kafka_operator": {"resources": [{"spec": {"template": {"spec": {"containers": [{"image": image}]}}}}]}}


@pytest.mark.parametrize(
    ("release", "there", "words"),
    [
        (
            "2026.2",
            "0.39.0",
            ["Strimzi 0.39.0 runs", "0.42.0, 0.44.0", "name Strimzi 0.42.0 with Kafka 3.6.1 and then 3.7.1"],
        ),
        ("2026.2", "0.45.2", ["name Strimzi 0.47.0", "before that, leave ZooKeeper"]),
        ("2026.2", "0.50.1@sha256:" + "0" * 64, ["name Strimzi 0.51.0", "rewrite all objects"]),
        ("2024.1", "1.2.0", ["Kafka does not go back", "set platform_release back"]),
    ],
)
def test_no_step_of_the_upgrade_is_skipped(rendered: Render, release: str, there: str, words: list[str]) -> None:
    (said,) = rendered("kafka", release, **running(there)).refused
    assert not [word for word in [*words, "nothing was changed"] if word not in said], said


@pytest.mark.parametrize(
    ("release", "there"), [("2024.1", ""), ("2024.1", "0.39.0"), ("2026.2", "1.0.1"), ("2026.2", "1.2.0")]
)
def test_a_single_step_and_the_same_again_are_let_pass(rendered: Render, release: str, there: str) -> None:
    assert rendered("kafka", release, **(running(there) if there else {})).refused == []


# Metrics and alerts


@each_release
def test_alerts_use_what_is_promised(rendered: Render, release: str) -> None:
    assert not of(rendered("kafka", release), "PrometheusRule")
    found = rendered("kafka", release, **ALL)
    assert found.declared
    promised = {name for entry in found.declared.metrics for name in entry.get("series", ())}
    (group,) = found.objects["PrometheusRule", "kafka"]["spec"]["groups"]
    used = {
        name for rule in group["rules"] for name in re.findall(r"\bkafka_[a-z_]+", re.sub(r'"[^"]*"', "", rule["expr"]))
    }
    assert used == promised
    assert all(rule["labels"]["severity"] in ("warning", "critical") for rule in group["rules"])
    (endpoint,) = found.objects["PodMonitor", "kafka"]["spec"]["podMetricsEndpoints"]
    # As the operator names the port (MetricsModel at 0.39.0 and 1.2.0).
    assert endpoint["port"] == "tcp-prometheus"


@each_release
def test_what_is_promised_of_beans_is_made_of_them(rendered: Render, release: str) -> None:
    """The patterns match beans as JMX's exporter writes them, and make the names that are promised."""
    found = rendered("kafka", release).objects["ConfigMap", "kafka-metrics"]["data"]
    controller, connect = "kafka.controller<type=KafkaController", "kafka.connect<type="
    beans = {
        "broker.yml": {
            "kafka.server<type=ReplicaManager, name=UnderReplicatedPartitions><>Value",
            "kafka.server<type=ReplicaManager, name=UnderMinIsrPartitionCount><>Value",
            f"{controller}, name=ActiveControllerCount><>Value",
            f"{controller}, name=OfflinePartitionsCount><>Value",
            "kafka.log<type=LogManager, name=OfflineLogDirectoryCount><>Value",
        },
        "connect.yml": {
            f"{connect}connect-worker-metrics, connector=accounts><>connector-failed-task-count",
            f'{connect}task-error-metrics, connector="a", task="0"><>deadletterqueue-produce-requests',
        },
    }
    made = set()
    for file, names in beans.items():
        rules = yaml.safe_load(found[file])
        assert rules["lowercaseOutputName"] is True
        for bean in names:
            rule, match = next((one, hit) for one in rules["rules"] if (hit := re.search(one["pattern"], bean)))
            made.add(match.expand(re.sub(r"\$(\d)", r"\\\1", rule["name"])).lower())
    declared = rendered("kafka", release).declared
    assert declared
    promised = {name for entry in declared.metrics if entry["name"] != "exporter" for name in entry.get("series", ())}
    assert made == promised
