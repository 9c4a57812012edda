# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `tracing` delivers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.quantities import size
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
_made: dict[str, Rendered] = {}


@pytest.fixture
def delivered(rendered: Render) -> Render:
    """As `rendered`, and once for the same settings."""

    def deliver(release: str, **settings: Any) -> Rendered:
        key = json.dumps([release, settings], sort_keys=True)
        if key not in _made:
            _made[key] = rendered("tracing", release, **settings)
        return _made[key]

    return deliver


each_release = pytest.mark.parametrize("release", RELEASES)
each_collector = pytest.mark.parametrize("name", ["agent", "gateway"])
ZONE = "topology.kubernetes.io/zone"
WORKLOAD = "platform.banking/workload"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
}


def collector(found: Rendered, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = found.objects["OpenTelemetryCollector", name]["spec"]
    return spec


def config(found: Rendered, name: str) -> dict[str, Any]:
    said: dict[str, Any] = collector(found, name)["config"]
    return said


def names(secret: Rendered, certificate: str) -> list[str]:
    hosts: list[str] = secret.objects["Certificate", certificate]["spec"]["dnsNames"]
    return hosts


def under(value: Any, key: str) -> Iterator[Any]:
    """What `key` is set to, wherever it stands."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from under(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from under(item, key)


# --- Ways of a span ---------------------------------------------------------------------------------------------------


@each_release
def test_agents_and_gateways_do_things_in_their_order(delivered: Render, release: str) -> None:
    found = delivered(release)
    agent = config(found, "agent")["service"]["pipelines"]["traces"]["processors"]
    # The address of a connection is lost in a batch; nothing leaves a node before it is redacted.
    assert agent == ["memory_limiter", "k8sattributes", "resource", "transform/redact", "batch"]
    gateway = config(found, "gateway")["service"]["pipelines"]["traces"]["processors"]
    assert gateway == ["memory_limiter", "tail_sampling", "batch"]


@each_release
def test_a_trace_is_always_decided_by_one_gateway(delivered: Render, release: str) -> None:
    found = delivered(release)
    balance = {"2024.1": "loadbalancing", "2026.2": "load_balancing"}[release]
    assert config(found, "agent")["service"]["pipelines"]["traces"]["exporters"] == [balance]
    exporter = config(found, "agent")["exporters"][balance]
    assert exporter["routing_key"] == "traceID"
    resolver = exporter["resolver"]["dns"]
    # The operator's headless Service of the collector `gateway`, so that each gateway is an address of its own.
    assert resolver["hostname"] == "gateway-collector-headless.banking-monitoring.svc.cluster.local"
    port = config(found, "gateway")["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].rpartition(":")[2]
    assert resolver["port"] == port
    # They are called by addresses, which are in no certificate.
    assert exporter["protocol"]["otlp"]["tls"]["server_name_override"] in names(found, "tracing-gateway")
    assert not [one for one in config(found, "gateway")["exporters"] if one.startswith(balance)]


@each_release
def test_everything_that_is_said_is_said_by_tls(delivered: Render, release: str) -> None:
    found = delivered(release, tracing_exporters=[{"name": "archive", "endpoint": "otlp.example.org:4317"}])
    for name, ways in (("agent", 2), ("gateway", 1)):
        said = config(found, name)
        listeners = list(said["receivers"]["otlp"]["protocols"].values())
        assert len(listeners) == ways
        assert all(one["tls"]["cert_file"] and one["tls"]["min_version"] == "1.3" for one in listeners)
        exporters = list(under(said["exporters"], "tls"))
        assert len(exporters) == {"agent": 1, "gateway": 2}[name]
        assert all(one["ca_file"] for one in exporters)
        assert not [*under(said, "insecure"), *under(said, "insecure_skip_verify")]
        mounted = {one["name"]: one for one in collector(found, name)["volumes"]}
        assert mounted["tls"]["secret"]["secretName"] == f"tracing-{name}-tls"
    # Who is no agent has no certificate to show at a gateway, applications need none at an agent.
    grpc = config(found, "gateway")["receivers"]["otlp"]["protocols"]["grpc"]
    assert grpc["tls"]["client_ca_file"] == "/etc/platform-ca/ca.crt"
    assert "client_ca_file" not in config(found, "agent")["receivers"]["otlp"]["protocols"]["grpc"]["tls"]
    assert all(
        found.objects["Certificate", f"tracing-{name}"]["spec"]["usages"] == ["server auth", "client auth"]
        for name in ("agent", "gateway")
    )


@each_release
def test_gateways_hand_traces_to_jaeger_and_whoever_else_is_named(delivered: Render, release: str) -> None:
    otlp = {"2024.1": "otlp", "2026.2": "otlp_grpc"}[release]
    place = {"name": "archive", "endpoint": "otlp.example.org:4317", "tls": {"ca_file": "/etc/other/ca.crt"}}
    found = delivered(release, tracing_exporters=[place])
    said = config(found, "gateway")
    assert said["service"]["pipelines"]["traces"]["exporters"] == [f"{otlp}/jaeger", f"{otlp}/archive"]
    jaeger = said["exporters"][f"{otlp}/jaeger"]
    assert jaeger["endpoint"] == "dns:///banking-jaeger-collector-headless.banking-monitoring.svc:4317"
    assert jaeger["tls"]["server_name_override"] in names(found, "banking-jaeger-collector")
    assert said["exporters"][f"{otlp}/archive"]["tls"]["ca_file"] == "/etc/other/ca.crt"


@each_release
def test_applications_and_proxies_reach_the_agent_of_their_node(delivered: Render, release: str) -> None:
    found = delivered(release)
    service = found.objects["Service", "tracing-agent"]["spec"]
    assert service["internalTrafficPolicy"] == "Local"
    assert service["selector"] == found.objects["OpenTelemetryCollector", "agent"]["metadata"]["labels"]
    # An application's TLS goes through its sidecar as it is.
    assert {port["appProtocol"] for port in service["ports"]} == {"tls"}
    instrumentation = found.objects["Instrumentation", "java"]["spec"]["exporter"]
    assert instrumentation["endpoint"] == "https://tracing-agent.banking-monitoring.svc:4317"
    # Proxies speak OTLP themselves: for them the rule puts TLS around it.
    mesh = yaml.safe_load((CLONE / "roles/istio/defaults/main.yml").read_text())["istio_tracing"]
    rule = found.objects["DestinationRule", "tracing-agent"]
    assert (rule["metadata"]["namespace"], rule["spec"]["host"]) == ("istio-system", mesh["service"])
    assert rule["spec"]["trafficPolicy"]["tls"]["mode"] == "SIMPLE"
    assert {mesh["service"], "tracing-agent.banking-monitoring.svc"} <= set(names(found, "tracing-agent"))
    assert mesh["percentage"] == 100


@each_release
def test_proxies_verify_agents_where_they_have_the_authority(delivered: Render, release: str) -> None:
    found = delivered(release, tracing_mesh_authority="/etc/platform-ca/ca.crt")
    tls = found.objects["DestinationRule", "tracing-agent"]["spec"]["trafficPolicy"]["tls"]
    assert tls["caCertificates"] == "/etc/platform-ca/ca.crt"
    assert tls["subjectAltNames"][0] in names(found, "tracing-agent")
    assert "insecureSkipVerify" not in tls


# --- Which traces are kept --------------------------------------------------------------------------------------------


@each_release
def test_errors_and_slow_traces_are_always_kept(delivered: Render, release: str) -> None:
    mine = {
        "name": "payments",
        "type": "string_attribute",
        "string_attribute": {"key": "service.name", "values": ["payments"]},
    }
    tail = {"wait": "15s", "slow": "750ms", "keep": 0.05, "traces": 1000}
    found = delivered(release, tracing_policies=[mine], tracing_tail=tail)
    said = config(found, "gateway")["processors"]["tail_sampling"]
    errors, slow, own, others = said["policies"]
    assert (errors["type"], errors["status_code"]["status_codes"]) == ("status_code", ["ERROR"])
    assert (slow["type"], slow["latency"]["threshold_ms"]) == ("latency", 750)
    assert own == mine
    assert (others["type"], others["probabilistic"]["sampling_percentage"]) == ("probabilistic", 5.0)
    assert (said["decision_wait"], said["num_traces"]) == ("15s", 1000)
    # Longer than a trace is held.
    assert said["decision_cache"]["sampled_cache_size"] > said["num_traces"]
    assert not found.refused


@each_release
@pytest.mark.parametrize(("slow", "milliseconds"), [("1s", 1000), ("2.5s", 2500), ("80ms", 80)])
def test_what_slow_means_is_written_as_a_time(delivered: Render, release: str, slow: str, milliseconds: int) -> None:
    tail = {"wait": "10s", "slow": slow, "keep": 0, "traces": 10}
    policies = config(delivered(release, tracing_tail=tail), "gateway")["processors"]["tail_sampling"]["policies"]
    assert policies[1]["latency"]["threshold_ms"] == milliseconds
    assert policies[-1]["probabilistic"]["sampling_percentage"] == 0


TAIL: dict[str, Any] = {"wait": "10s", "slow": "1s", "keep": 0.1, "traces": 20000}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tracing_sampling": 1.5}, "from 0 to 1"),
    ({"tracing_sampling": -0.1}, "from 0 to 1"),
    ({"tracing_tail": TAIL | {"keep": 10}}, "from 0 to 1"),
    ({"tracing_tail": TAIL | {"slow": "1"}}, "write 10s or 500ms"),
    ({"tracing_tail": TAIL | {"wait": "soon"}}, "write 10s or 500ms"),
    ({"tracing_policies": [{"name": "a", "type": "magic"}]}, "types are always_sample"),
    ({"tracing_policies": [{"name": "a", "type": "drop"}]}, "no other may take away"),
    ({"tracing_policies": [{"name": "errors", "type": "always_sample"}]}, "names are each there once"),
    ({"tracing_policies": [{"name": "a", "type": "always_sample"}] * 2}, "names are each there once"),
    (
        {"tracing_policies": [{"name": "a", "type": "string_attribute", "string_attribute": {"invert_match": True}}]},
        "nothing is inverted",
    ),
    ({"tracing_exporters": [{"name": "a", "endpoint": "a:4317", "tls": {"insecure": True}}]}, "over TLS"),
    ({"tracing_exporters": [{"name": "a", "endpoint": "a:4317", "tls": {"insecure_skip_verify": True}}]}, "verified"),
    ({"tracing_exporters": [{"name": "a", "endpoint": "http://a:4317"}]}, "<host>:<port>"),
    ({"tracing_redaction": {"attributes": "a", "values": {"x": "(?<=a)b"}}}, "RE2 does not know"),
    ({"tracing_redaction": {"attributes": "(?!a)b", "values": {"x": "b"}}}, "RE2 does not know"),
    ({"tracing_redaction": {"attributes": "a", "values": {"x": r"(a)\1"}}}, "RE2 does not know"),
]


@pytest.mark.parametrize(
    ("settings", "why"), REFUSED, ids=[f"{next(iter(one))}-{number}" for number, (one, _why) in enumerate(REFUSED)]
)
def test_what_cannot_be_right_is_refused(delivered: Render, settings: dict[str, Any], why: str) -> None:
    (said,) = delivered("2026.2", **settings).refused
    assert said.startswith("tracing: ")
    assert why in said


@each_release
def test_defaults_are_not_refused(delivered: Render, release: str) -> None:
    assert not delivered(release).refused
    assert not delivered(
        release, tracing_exporters=[{"name": "a", "endpoint": "a.example.org:4317", "tls": {"insecure": False}}]
    ).refused


# --- Collectors are what their image can run --------------------------------------------------------------------------


MODULES = {
    "receivers": {"otlp": "otlpreceiver", "nop": "nopreceiver"},
    "processors": {
        "memory_limiter": "memorylimiterprocessor",
        "k8sattributes": "k8sattributesprocessor",
        "resource": "resourceprocessor",
        "transform": "transformprocessor",
        "batch": "batchprocessor",
        "tail_sampling": "tailsamplingprocessor",
    },
    "exporters": {
        "otlp": "otlpexporter",
        "otlp_grpc": "otlpexporter",
        "loadbalancing": "loadbalancingexporter",
        "load_balancing": "loadbalancingexporter",
        "jaeger_storage_exporter": "storageexporter",
        "nop": "nopexporter",
    },
    "extensions": {
        "health_check": "healthcheckextension",
        "healthcheckv2": "healthcheckv2extension",
        "jaeger_storage": "jaegerstorage",
        "jaeger_query": "jaegerquery",
    },
}


@pytest.fixture(scope="module")
def distributions() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CLONE / "tests/unit/roles/tracing/distributions.yml").read_text())
    return found


def paths(value: Any, before: str = "") -> Iterator[str]:
    """Keys of a component's settings, with dots in between; what is in `tls` has a list of its own."""
    if isinstance(value, dict):
        for name, item in value.items():
            path = f"{before}.{name}" if before else name
            if name == "tls" or not isinstance(item, dict | list):
                yield path
            else:
                yield from paths(item, path)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):
                yield from paths(item, before)
            else:
                yield before


def runnable(said: dict[str, Any], image: str, known: dict[str, Any]) -> list[str]:
    """What a configuration has that the image has not, or that it says and does not use."""
    wrong = []
    kinds = [kind for kind in ("receivers", "processors", "exporters", "extensions") if kind in said]
    pipelines = list(said["service"]["pipelines"].values())
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in pipelines for name in pipeline.get(kind, [])}
        wrong += [f"{kind}: {name}" for name in used ^ set(said.get(kind, {}))]
    wrong += [f"extensions: {name}" for name in set(said["service"]["extensions"]) ^ set(said["extensions"])]
    for kind in kinds:
        for name, settings in said[kind].items():
            module = MODULES[kind].get(name.partition("/")[0], name)
            if module not in known[image][kind]:
                wrong.append(f"{image} has no {module}")
            wrong += [f"{name}: {path}" for path in paths(settings) if path not in known["keys"].get(module, [])]
            wrong += [
                f"{name}: tls.{key}" for tls in under(settings, "tls") for key in tls if key not in known["keys"]["tls"]
            ]
    return wrong


@each_release
@each_collector
def test_the_image_has_what_the_configuration_names(
    delivered: Render, release: str, name: str, distributions: dict[str, Any]
) -> None:
    found = delivered(release)
    image = collector(found, name)["image"].partition("@")[0].rpartition("/")[2]
    assert runnable(config(found, name), image, distributions) == []


def test_what_an_image_lacks_is_seen(delivered: Render, distributions: dict[str, Any]) -> None:
    said = json.loads(json.dumps(config(delivered("2026.2"), "gateway")))
    said["processors"]["span"] = {"name": {}}
    said["processors"]["batch"]["size"] = 1
    said["exporters"]["otlp_grpc/jaeger"]["tls"]["ca"] = "x"
    wrong = runnable(said, "opentelemetry-collector-k8s:0.158.0", distributions)
    assert wrong == [
        "processors: span",
        "batch: size",
        "opentelemetry-collector-k8s:0.158.0 has no span",
        "otlp_grpc/jaeger: tls.ca",
    ]


@pytest.mark.parametrize("role", ["collector", "query"])
def test_jaeger_has_what_its_configuration_names(delivered: Render, role: str, distributions: dict[str, Any]) -> None:
    found = delivered("2026.2")
    said = yaml.safe_load(found.objects["ConfigMap", f"banking-jaeger-{role}"]["data"]["config.yaml"])
    values = found.charts[f"banking-jaeger-{role}"]["jaeger"]["image"]
    assert runnable(said, f"jaeger:{values['tag']}", distributions) == []


@each_release
@each_collector
def test_health_and_figures_are_where_they_are_looked_for(delivered: Render, release: str, name: str) -> None:
    said = config(delivered(release), name)
    # The operator makes probes of it.
    assert said["extensions"] == {"health_check": {"endpoint": "0.0.0.0:13133"}}
    metrics = said["service"]["telemetry"]["metrics"]
    if release == "2024.1":
        assert metrics["address"] == "0.0.0.0:8888"
    else:
        (reader,) = metrics["readers"]
        # With suffixes, no alert would know a name.
        assert reader["pull"]["exporter"]["prometheus"] == {
            "host": "0.0.0.0",
            "port": 8888,
            "without_scope_info": True,
            "without_type_suffix": True,
            "without_units": True,
        }


# --- Where they run ---------------------------------------------------------------------------------------------------


@each_release
@each_collector
def test_collectors_are_as_they_are_declared(delivered: Render, release: str, name: str) -> None:
    found = delivered(release)
    item, spec = found.objects["OpenTelemetryCollector", name], collector(found, name)
    declared = found.workload(name)
    assert item["apiVersion"] == "opentelemetry.io/v1beta1"
    assert item["metadata"]["labels"] == {WORKLOAD: f"tracing-{name}"}
    assert spec["mode"] == {"agent": "daemonset", "gateway": "deployment"}[name]
    # Nobody but Git changes it.
    assert (spec["managementState"], spec["upgradeStrategy"]) == ("managed", "none")
    assert size(spec["resources"]["limits"]["memory"]) == declared.limits.memory
    assert size(spec["resources"]["requests"]["memory"]) == declared.requests.memory
    (limit,) = [one["value"] for one in spec["env"] if one["name"] == "GOMEMLIMIT"]
    assert 0.5 < int(limit) / size(spec["resources"]["limits"]["memory"]) < 0.8
    assert spec["securityContext"] == RESTRICTED
    assert spec["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["priorityClassName"] in ("platform-core", "banking-standard")


@each_release
def test_gateways_are_in_different_zones_and_go_one_by_one(delivered: Render, release: str) -> None:
    spec = collector(delivered(release), "gateway")
    assert spec["replicas"] == 3
    (spread,) = spec["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (ZONE, "DoNotSchedule")
    assert spread["labelSelector"]["matchLabels"] == {WORKLOAD: "tracing-gateway"}
    assert spec["podDisruptionBudget"] == {"maxUnavailable": 1}
    assert spec["deploymentUpdateStrategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


@each_release
def test_an_agent_reads_pods_and_nothing_else(delivered: Render, release: str) -> None:
    found = delivered(release)
    rules = found.objects["ClusterRole", "banking-tracing-agent"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert {resource for rule in rules for resource in rule["resources"]} == {"pods", "namespaces", "replicasets"}
    (subject,) = found.objects["ClusterRoleBinding", "banking-tracing-agent"]["subjects"]
    assert subject["name"] == collector(found, "agent")["serviceAccount"]
    processor = config(found, "agent")["processors"]["k8sattributes"]
    # Nobody says of himself who he is.
    assert processor["pod_association"] == [{"sources": [{"from": "connection"}]}]
    assert processor["filter"]["node_from_env_var"] in {one["name"] for one in collector(found, "agent")["env"]}
    assert found.objects["ServiceAccount", "tracing-gateway"]["automountServiceAccountToken"] is False


@each_release
def test_the_operator_keeps_nobody_elses_pods_waiting(delivered: Render, release: str) -> None:
    values = delivered(release, tracing_instrumented=["banking-system"]).values["opentelemetry-operator"]
    hooks = values["admissionWebhooks"]
    (wanted,) = hooks["namespaceSelector"]["matchExpressions"]
    assert (wanted["key"], wanted["values"]) == (
        "kubernetes.io/metadata.name",
        ["banking-monitoring", "banking-system"],
    )
    assert hooks["certManager"]["issuerRef"] == {
        "group": "cert-manager.io",
        "kind": "ClusterIssuer",
        "name": "internal",
    }
    assert values["replicaCount"] == 2
    # res-A23: its image is gone.
    assert values.get("kubeRBACProxy", {"enabled": False}) == {"enabled": False}
    assert values["pdb"]["maxUnavailable"] == 1
    assert values["priorityClassName"] == "platform-core"


@each_release
def test_java_services_are_instrumented_where_it_is_said(delivered: Render, release: str) -> None:
    found = delivered(release, tracing_instrumented=["banking-services"], tracing_sampling=0.25)
    item = found.objects["Instrumentation", "java"]
    spec = item["spec"]
    assert item["metadata"]["namespace"] == "banking-services"
    assert spec["sampler"] == {"type": "parentbased_traceidratio", "argument": "0.25"}
    assert spec["exporter"]["tls"] == {"configMapName": "platform-ca", "ca_file": "ca.crt"}
    assert spec["propagators"] == ["tracecontext", "baggage"]
    version = {"2024.1": "1.33.5", "2026.2": "2.30.0"}[release]
    assert spec["java"]["image"].partition("@")[0].endswith(f"/autoinstrumentation-java:{version}")
    # What is declared as a port is 4317.
    assert {"name": "OTEL_EXPORTER_OTLP_PROTOCOL", "value": "grpc"} in spec["env"]


# --- Jaeger -----------------------------------------------------------------------------------------------------------


def test_jaeger_v1_writes_to_the_platforms_elasticsearch(delivered: Render) -> None:
    found = delivered("2024.1")
    spec = found.objects["Jaeger", "banking-jaeger"]["spec"]
    assert spec["strategy"] == "production"
    storage = spec["storage"]
    # res-A10: without OpenShift's operator nothing is made of nodeCount.
    assert (storage["type"], "elasticsearch" in storage) == ("elasticsearch", False)
    options = storage["options"]
    assert options["es.server-urls"] == "https://elk-es-http.banking-monitoring.svc:9200"
    assert (options["es.tls.enabled"], options["es.tls.ca"]) == ("true", "/etc/platform-ca/ca.crt")
    assert options["es.password-file"] == "/etc/database/password"
    for role in ("collector", "query"):
        part = spec[role]
        assert {"name": "database", "secret": {"secretName": "elk-user-tracing"}} in part["volumes"]
        assert part["labels"] == {WORKLOAD: f"tracing-jaeger-{role}"}
        (apart,) = part["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert (apart["topologyKey"], apart["labelSelector"]["matchLabels"]) == (ZONE, part["labels"])
        assert part["containerSecurityContext"] == RESTRICTED
        assert part["replicas"] == 2
    # The first document's own figures.
    assert spec["collector"]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}


def test_jaeger_v1_listens_to_gateways_alone(delivered: Render) -> None:
    spec = delivered("2024.1").objects["Jaeger", "banking-jaeger"]["spec"]
    options = spec["collector"]["options"]
    assert options["collector.otlp.grpc.tls.client-ca"] == "/etc/platform-ca/ca.crt"
    listeners = {name: at for name, at in options.items() if name.endswith("host-port")}
    assert {name for name, at in listeners.items() if not at.startswith("127.0.0.1:")} == {
        "collector.otlp.grpc.host-port"
    }
    assert set(listeners) == {
        "collector.otlp.grpc.host-port",
        "collector.otlp.http.host-port",
        "collector.grpc-server.host-port",
        "collector.http-server.host-port",
        "collector.zipkin.host-port",
    }
    assert spec["query"]["options"]["query.http.tls.enabled"] == "true"


def test_the_operator_of_jaeger_is_asked_about_nothing(delivered: Render) -> None:
    found = delivered("2024.1")
    values = found.values["jaeger-operator"]
    assert values["webhooks"] == {"mutatingWebhook": {"create": False}, "validatingWebhook": {"create": False}}
    assert values["rbac"]["clusterRole"] is False
    assert found.workload("jaeger-operator").replicas == 1
    assert delivered("2026.2").workload("jaeger-operator").replicas == 0


def test_jaeger_v2_is_a_collector_and_what_answers(delivered: Render) -> None:
    found = delivered("2026.2")
    assert not [kind for kind, _name in found.objects if kind == "Jaeger"]
    said = {
        role: yaml.safe_load(found.objects["ConfigMap", f"banking-jaeger-{role}"]["data"]["config.yaml"])
        for role in ("collector", "query")
    }
    stores = [
        one["extensions"]["jaeger_storage"]["backends"]["elasticsearch"]["elasticsearch"] for one in said.values()
    ]
    assert stores[0] == stores[1]
    assert stores[0]["server_urls"] == ["https://elk-es-http.banking-monitoring.svc:9200"]
    assert stores[0]["tls"]["ca_file"] == "/etc/platform-ca/ca.crt"
    # As v1 names them, whose indices are read on (res-A11).
    assert {index["date_layout"] for index in stores[0]["indices"].values()} == {"2006-01-02"}
    assert "index_prefix" not in stores[0]["indices"]
    grpc = said["collector"]["receivers"]["otlp"]["protocols"]["grpc"]
    assert grpc["tls"]["client_ca_file"] == "/etc/platform-ca/ca.crt"
    query = said["query"]["extensions"]["jaeger_query"]
    assert query["http"]["tls"]["cert_file"] == "/etc/tls/tls.crt"
    assert query["grpc"]["endpoint"].startswith("127.0.0.1:")
    for role in said:
        values = found.charts[f"banking-jaeger-{role}"]
        # The names of v1's Services.
        assert values["fullnameOverride"] == f"banking-jaeger-{role}"
        assert values["jaeger"]["podLabels"][WORKLOAD] == f"tracing-jaeger-{role}"
        (spread,) = values["jaeger"]["topologySpreadConstraints"]
        assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (ZONE, "DoNotSchedule")
        (volume,) = [one for one in values["jaeger"]["extraVolumes"] if one["name"] == "config"]
        assert volume["configMap"]["name"] == f"banking-jaeger-{role}"


def test_a_pod_of_jaeger_is_made_anew_when_its_configuration_changes(delivered: Render) -> None:
    def digest(**settings: Any) -> str:
        env = delivered("2026.2", **settings).charts["banking-jaeger-collector"]["jaeger"]["extraEnv"]
        (value,) = [one["value"] for one in env if one["name"] == "CONFIG_DIGEST"]
        return str(value)

    database = {"service": "elk-es-http", "user": "tracing", "secret": "elk-user-tracing", "shards": 5, "replicas": 1}
    assert digest() == digest() != digest(tracing_elasticsearch=database)


@each_release
def test_traces_go_after_some_days(delivered: Render, release: str) -> None:
    found = delivered(release, tracing_retention=30)
    job = found.objects["CronJob", "banking-jaeger-index-cleaner"]["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = job["spec"]["containers"]
    assert container["args"] == ["30", "https://elk-es-http.banking-monitoring.svc:9200"]
    assert job["metadata"]["labels"][WORKLOAD] == "tracing-index-cleaner"
    env = {one["name"]: one for one in container["env"]}
    assert env["ES_PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "elk-user-tracing", "key": "password"}
    assert (env["ES_TLS_ENABLED"]["value"], env["ES_TLS_CA"]["value"]) == ("true", "/etc/platform-ca/ca.crt")
    assert container["securityContext"] == RESTRICTED
    if release == "2024.1":
        assert found.objects["Jaeger", "banking-jaeger"]["spec"]["storage"]["esIndexCleaner"] == {"enabled": False}


# --- Who sees them ----------------------------------------------------------------------------------------------------


@each_release
def test_nobody_sees_a_trace_without_a_login(delivered: Render, release: str) -> None:
    found = delivered(release)
    pod = found.objects["Deployment", "banking-jaeger-ui"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    flags = dict(argument.removeprefix("--").partition("=")[::2] for argument in container["args"])
    groups = [argument for argument in container["args"] if argument.startswith("--allowed-group=")]
    assert groups == ["--allowed-group=banking-operators", "--allowed-group=banking-developers"]
    assert not [name for name in flags if name.startswith(("skip-auth", "trusted-ip", "ssl-insecure", "ssl-upstream"))]
    assert flags["upstream"] == "https://banking-jaeger-query.banking-monitoring.svc:16686/"
    assert (flags["code-challenge-method"], flags["cookie-secure"]) == ("S256", "true")
    # It must start before Keycloak does.
    assert flags["skip-oidc-discovery"] == "true"
    assert flags["oidc-jwks-url"] == "https://auth.example.org/realms/banking-realm/protocol/openid-connect/certs"
    assert flags["redirect-url"] == "https://jaeger.example.org/oauth2/callback"
    assert container["securityContext"] == RESTRICTED
    assert found.declared
    (query,) = [port for port in found.declared.ports if port["name"] == "query"]
    assert query["from"] == ["tracing/ui", "istio/kiali", "prometheus/grafana"]
    service = found.objects["VirtualService", "banking-jaeger"]["spec"]["http"][0]["route"][0]["destination"]["host"]
    assert service == "banking-jaeger-ui.banking-monitoring.svc.cluster.local"
    rule = found.objects["DestinationRule", "banking-jaeger"]["spec"]["trafficPolicy"]["tls"]
    assert rule["subjectAltNames"][0] in names(found, "banking-jaeger-ui")


@each_release
def test_what_is_read_is_what_the_store_lets_and_what_the_role_makes(delivered: Render, release: str) -> None:
    found = delivered(release)
    secrets = [item["spec"] for (kind, _name), item in found.objects.items() if kind == "ExternalSecret"]
    read = {(one["remoteRef"]["key"], one["remoteRef"]["property"]) for spec in secrets for one in spec["data"]}
    store = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]["tracing"]
    assert {key for key, _field in read} == set(store["read"])
    assert store["namespaces"] == ["banking-monitoring"]
    made = {one["name"]: one["length"] for one in found.variables["__tracing_passwords"]}
    assert {tuple(f"tracing/{name}".split("#")) for name in made} == read
    # A key for AES of 24 bytes, as base64: what else is there is refused by the proxy.
    assert made["ui#cookie_secret"] == 32
    assert not [kind for kind, _name in found.objects if kind == "Secret"]


@each_release
def test_a_trace_leads_to_its_logs(delivered: Render, release: str) -> None:
    found = delivered(release)
    if release == "2024.1":
        ui = found.objects["Jaeger", "banking-jaeger"]["spec"]["ui"]["options"]
    else:
        ui = json.loads(found.objects["ConfigMap", "banking-jaeger-query"]["data"]["ui.json"])
    (link,) = ui["linkPatterns"]
    assert link["type"] == "traces"
    assert link["url"].startswith("https://kibana.example.org/")
    assert "#{traceID}" in link["url"]


# --- What is watched --------------------------------------------------------------------------------------------------


@each_release
def test_alerts_use_what_is_declared(delivered: Render, release: str) -> None:
    assert ("PrometheusRule", "tracing") not in delivered(release).objects
    found = delivered(release, tracing_monitoring=True)
    (group,) = found.objects["PrometheusRule", "tracing"]["spec"]["groups"]
    assert found.declared
    promised = {name for endpoint in found.declared.metrics for name in endpoint.get("series", ())}
    used = {
        name
        for rule in group["rules"]
        for name in re.findall(r"\b(?:otelcol|jaeger|controller_runtime)_\w+", rule["expr"])
    }
    assert used <= promised
    assert promised - used == set()
    alerts = {rule["alert"] for rule in group["rules"]}
    assert {
        "TracingSpansRefused",
        "TracingExportFailing",
        "TracingQueueNearlyFull",
        "TracingTracesDroppedEarly",
    } <= alerts
    assert ("TracingJaegerDropsSpans" in alerts) is (release == "2024.1")


@each_release
def test_everything_that_says_figures_is_scraped(delivered: Render, release: str) -> None:
    found = delivered(release, tracing_monitoring=True)
    monitors = {name for kind, name in found.objects if kind in ("PodMonitor", "ServiceMonitor")}
    assert found.declared
    assert monitors == {f"tracing-{endpoint['name']}" for endpoint in found.declared.metrics}


@each_release
def test_grafana_finds_traces(delivered: Render, release: str) -> None:
    item = delivered(release, tracing_monitoring=True).objects["ConfigMap", "tracing-grafana"]
    assert item["metadata"]["labels"] == {"grafana_datasource": "1"}
    (source,) = yaml.safe_load(item["data"]["jaeger.yaml"])["datasources"]
    assert (source["type"], source["uid"]) == ("jaeger", "jaeger")
    assert source["url"] == "https://banking-jaeger-query.banking-monitoring.svc:16686"
    assert source["jsonData"]["tlsAuthWithCACert"] is True
    assert source["secureJsonData"] == {"tlsCACert": "$__file{/etc/platform-ca/ca.crt}"}
