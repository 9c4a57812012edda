# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `elk` delivers, and what it tells Elasticsearch and Kibana."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.elasticsearch_config import wishes_of as elasticsearch
from ansible_collections.banking.platform.plugins.module_utils.kibana_config import wishes_of as kibana
from ansible_collections.banking.platform.plugins.module_utils.kibana_dashboards import saved_objects
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tests.unit.roles.elk.logstash_grammar import GrammarError, Plugin, read
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
each_release = pytest.mark.parametrize("release", RELEASES)
ZONE = "topology.kubernetes.io/zone"
FORWARDER: dict[str, Any] = {
    "apiVersion": "logging.coreos.com/v1",
    "kind": "ClusterLogForwarder",
    "metadata": {"name": "firefly-logs"},
    "spec": {
        "outputs": [
            {
                "name": "elasticsearch-output",
                "type": "elasticsearch",
                "url": "https://elasticsearch.firefly-banking.com:9200",
                "elasticsearch": {"index": "firefly-banking-{.log_type}-{+yyyy.MM.dd}"},
                "secret": {"name": "firefly"},
            }
        ],
        "pipelines": [
            {
                "name": "application-logs",
                "inputRefs": ["application"],
                "outputs": ["elasticsearch-output"],
                "filterRefs": ["json-parser"],
            }
        ],
    },
}


def pipelines(found: Rendered) -> dict[str, Any]:
    """Pipelines by id, with what the grammar reads of each."""
    template = found.objects["ExternalSecret", "elk-pipelines"]["spec"]["target"]["template"]["data"]
    listed = yaml.safe_load(template["pipelines.yml"])
    # External Secrets would take it for a template of its own.
    assert "{{" not in template["pipelines.yml"]
    return {entry["pipeline.id"]: {**entry, "plugins": read(entry["config.string"])} for entry in listed}


def plugins(found: Rendered, section: str, name: str, pipeline: str = "main") -> list[Plugin]:
    return [one for one in pipelines(found)[pipeline]["plugins"] if (one.section, one.name) == (section, name)]


@each_release
def test_masters_and_data_nodes_are_in_the_zones_and_know_which(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    sets = found.objects["Elasticsearch", "elk"]["spec"]["nodeSets"]
    assert [one["count"] for one in sets if one["config"]["node.roles"] == ["master"]] == [1, 1, 1]
    assert [one["count"] for one in sets if "data" in one["config"]["node.roles"]] == [2, 2, 2]
    for one in sets:
        zone = one["config"]["node.attr.zone"]
        spec = one["podTemplate"]["spec"]
        assert one["config"]["cluster.routing.allocation.awareness.attributes"] == "zone"
        assert one["config"]["cluster.routing.allocation.awareness.force.zone.values"] == "zone-a,zone-b,zone-c"
        assert spec["nodeSelector"][ZONE] == zone
        (apart,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        kind = "master" if one["config"]["node.roles"] == ["master"] else "data"
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        assert apart["labelSelector"]["matchLabels"] == one["podTemplate"]["metadata"]["labels"]
        (volume,) = one["volumeClaimTemplates"]
        assert volume["spec"]["storageClassName"] == "local-path"
        assert volume["spec"]["resources"]["requests"]["storage"] == {"master": "5Gi", "data": "200Gi"}[kind]
        (container,) = spec["containers"]
        heap = {"master": "512m", "data": "1536m"}[kind]
        options = next(env["value"] for env in container["env"] if env["name"] == "ES_JAVA_OPTS")
        assert f"-Xms{heap} -Xmx{heap} " in options
        assert container["resources"]["limits"]["memory"] == {"master": "1Gi", "data": "3Gi"}[kind]


@each_release
@pytest.mark.parametrize(("masters", "data"), [(3, 4), (1, 1)])
def test_numbers_that_zones_do_not_share_evenly(rendered: Render, release: str, masters: int, data: int) -> None:
    settings = {"elk_masters": masters, "elk_data_nodes": data, "elk_retention": {"app": {"daily": "1Gi", "hot": "1d"}}}
    routes: dict[str, Any] = {"elk_routes": {}, "elk_node_routes": {}, "elk_people": {}}
    found = rendered("elk", release, **settings, **routes)
    sets = found.objects["Elasticsearch", "elk"]["spec"]["nodeSets"]
    assert sum(one["count"] for one in sets if one["name"].startswith("master")) == masters
    assert sum(one["count"] for one in sets if one["name"].startswith("data")) == data
    assert all(one["count"] for one in sets)
    assert not found.refused


@each_release
def test_versions_and_images_are_the_catalogs(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    version = {"2024.1": "8.11.4", "2026.2": "9.5.2"}[release]
    for kind in ("Elasticsearch", "Kibana", "Logstash", "Beat"):
        spec = found.objects[kind, "elk"]["spec"]
        assert (spec["version"], spec["image"].rpartition(":")[2]) == (version, version)
    assert found.values["eck-operator"]["installCRDs"] is False
    assert found.values["eck-operator"]["managedNamespaces"] == ["banking-monitoring"]


@each_release
def test_data_is_never_destroyed_unasked(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    for key in (("Elasticsearch", "elk"), ("ObjectBucketClaim", "elk-snapshots")):
        options = found.objects[key]["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
        assert options == "Prune=false,Delete=false"
    assert found.objects["Elasticsearch", "elk"]["spec"]["volumeClaimDeletePolicy"] == "DeleteOnScaledownOnly"


@each_release
def test_logstash_stores_only_in_streams_that_are_there(rendered: Render, release: str) -> None:
    """Without the right to make a stream, nothing is stored before templates and streams are there."""
    found = rendered("elk", release)
    template = found.objects["ExternalSecret", "elk-user-platform"]["spec"]["target"]["template"]["data"]
    roles = yaml.safe_load(template["roles.yml"])
    # `create_doc` may not add fields to the mapping of a data stream (Elasticsearch's IndicesPermission.java), and
    # `auto_configure` would make streams.
    allowed = ["create_doc", "indices:admin/mapping/auto_put"]
    assert roles["banking_logstash"]["indices"] == [{"names": ["logs-banking.*"], "privileges": allowed}]
    (store,) = plugins(found, "output", "elasticsearch")
    assert store.options["data_stream"] == "true"
    # What a program says goes where it is looked for behind the redaction, which leaves some of those places alone.
    names = [one.options["id"] for one in pipelines(found)["main"]["plugins"] if one.section == "filter"]
    assert names.index("redact") < min(names.index(name) for name in names if name.startswith("log."))
    assert store.options["document_id"] == "%{[@metadata][id]}"
    users = {ref["secretName"] for ref in found.objects["Elasticsearch", "elk"]["spec"]["auth"]["fileRealm"]}
    assert users == {name for kind, name in found.objects if kind == "ExternalSecret" and name.startswith("elk-user-")}
    assert found.objects["Elasticsearch", "elk"]["spec"]["auth"]["disableElasticUser"] is True


@each_release
def test_lines_are_redacted_before_they_are_stored(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    names = [(one.section, one.name) for one in pipelines(found)["main"]["plugins"]]
    redact = names.index(("filter", "ruby"))
    # Parsed before, so that what JSON writes otherwise is seen, and sent nowhere before.
    assert names.index(("filter", "json")) < redact < names.index(("output", "elasticsearch"))
    late = [one for one in pipelines(found)["main"]["plugins"][redact + 1 :] if one.section == "filter"]
    # What comes behind it brings nothing of the line to where it was not looked for.
    assert {one.name for one in late} == {"mutate"}
    copied = [source for one in late for source in one.options.get("copy", {})]
    assert copied
    assert "app" not in found.variables["__elk_redaction"]["leave"]
    assert all(source.startswith("[app]") for source in copied)
    spec = found.objects["Logstash", "elk"]["spec"]["podTemplate"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["spec"]["containers"][0]["volumeMounts"]}
    (ruby,) = plugins(found, "filter", "ruby")
    assert ruby.options["path"] == mounts["redaction"] + "/redact.rb"
    assert not ruby.conditions
    assert "redact.rb" in found.objects["ConfigMap", "elk-redaction"]["data"]
    changed = rendered("elk", release, elk_redaction_rules=[{"name": "account", "expression": "ACC-[0-9]{8}"}])
    again = changed.objects["Logstash", "elk"]["spec"]["podTemplate"]
    assert again["metadata"]["annotations"] != spec["metadata"]["annotations"]
    assert "ACC-" in changed.objects["ConfigMap", "elk-redaction"]["data"]["redact.rb"]


@each_release
def test_the_sources_filter_and_the_streams_of_namespaces(rendered: Render, release: str) -> None:
    found = rendered("elk", release, platform_environment="prod")
    (labels,) = [one for one in plugins(found, "filter", "mutate") if one.options["id"] == "labels-banking-system"]
    assert labels.conditions == ('[kubernetes][namespace] == "banking-system"',)
    assert labels.options["add_field"] == {"environment": "production", "service_type": "banking"}
    routed = {
        one.conditions[-1]: one.options["replace"]["[data_stream][dataset]"]
        for one in plugins(found, "filter", "mutate")
        if one.conditions and "[data_stream][dataset]" in one.options.get("replace", {})
    }
    assert routed['[kubernetes][namespace] == "banking-auth"'] == "banking.auth"
    assert routed['"kubernetes-audit" in [tags]'] == "banking.audit"
    assert routed['[kubernetes][namespace] == "banking-security"'] == "banking.security"


@each_release
def test_queues_are_on_the_disk_and_fit(rendered: Render, release: str) -> None:
    found = rendered("elk", release, elk_log_forwarder=FORWARDER)
    spec = found.objects["Logstash", "elk"]["spec"]
    assert spec["config"]["queue.type"] == "persisted"
    assert spec["config"]["dead_letter_queue.enable"] is True
    sizes = {name: one["queue.max_bytes"] for name, one in pipelines(found).items()}
    assert sizes == {"main": "5gb", "rejected": "256mb", "forward-application-logs-elasticsearch-output": "512mb"}
    (volume,) = spec["volumeClaimTemplates"]
    assert (volume["metadata"]["name"], volume["spec"]["resources"]["requests"]["storage"]) == ("logstash-data", "10Gi")
    assert pipelines(found)["rejected"]["dead_letter_queue.enable"] is False


@each_release
def test_a_forwarder_becomes_a_pipeline_of_its_own(rendered: Render, release: str) -> None:
    found = rendered("elk", release, elk_log_forwarder=FORWARDER)
    (sent,) = plugins(found, "output", "pipeline")
    assert sent.conditions[0].startswith("( [kubernetes][namespace] and ")
    (received,) = plugins(found, "input", "pipeline", sent.options["send_to"][0])
    assert received.options["address"] == sent.options["send_to"][0]
    (output,) = plugins(found, "output", "elasticsearch", sent.options["send_to"][0])
    assert output.options["hosts"] == ["https://elasticsearch.firefly-banking.com:9200"]
    assert output.options["index"] == "firefly-banking-%{[@metadata][log_type]}-%{+yyyy.MM.dd}"
    env = {
        one["name"] for one in found.objects["Logstash", "elk"]["spec"]["podTemplate"]["spec"]["containers"][0]["env"]
    }
    assert output.options["password"].strip("${}") in env
    assert not [kind for kind, _name in found.objects if kind == "ClusterLogForwarder"]


@each_release
def test_on_openshift_its_own_operator_forwards(rendered: Render, release: str) -> None:
    settings: dict[str, Any] = {"elk_cluster": "openshift", "elk_log_forwarder": FORWARDER}
    assert "elk_openshift_unredacted" in rendered("elk", release, **settings).refused[0]
    found = rendered("elk", release, **settings, elk_openshift_unredacted=True)
    made = found.objects["ClusterLogForwarder", "firefly-logs"]
    version = {"2024.1": "logging.openshift.io/v1", "2026.2": "observability.openshift.io/v1"}[release]
    assert (made["apiVersion"], made["spec"]["pipelines"][0]["outputRefs"]) == (version, ["elasticsearch-output"])
    assert set(pipelines(found)) == {"main", "rejected"}


# Options of the inputs, the processor and the output, as https://www.elastic.co/guide/en/beats/filebeat/8.11/ has them:
# filebeat-input-filestream, filebeat-input-journald, add-kubernetes-metadata, logstash-output, configuring-ssl-output.
FILESTREAM = {"type", "id", "paths", "tags", "parsers", "processors", "prospector.scanner.symlinks"}
JOURNALD = {"type", "id", "paths", "seek", "tags"}
OUTPUT = {"hosts", "ttl", "pipelining", "ssl"}


@each_release
def test_filebeat_reads_pods_the_journal_and_audit_logs(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    config = found.objects["Beat", "elk"]["spec"]["config"]
    inputs = {one["id"]: one for one in config["filebeat.inputs"]}
    newer = {"prospector.scanner.fingerprint.length"} if release == "2026.2" else set()
    for one in inputs.values():
        assert set(one) <= (JOURNALD if one["type"] == "journald" else FILESTREAM | newer), one
    # As the roles kubernetes, node and vault write them.
    assert inputs["kubernetes-audit"]["paths"] == ["/var/log/kubernetes/audit/*.log"]
    assert "/var/log/kubernetes/audit/audit.log" in (CLONE / "roles/kubernetes/vars/main.yml").read_text()
    assert inputs["auditd"]["paths"][0] in (CLONE / "roles/node/templates/root/etc/audit/auditd.conf").read_text()
    assert (
        inputs["vault-audit"]["paths"][0] in (CLONE / "roles/vault/templates/root/etc/vault/vault.hcl.j2").read_text()
    )
    assert set(found.variables["elk_node_routes"]) == set(inputs) - {"containers"}
    assert set(config["output.logstash"]) == OUTPUT
    pod = found.objects["Beat", "elk"]["spec"]["daemonSet"]["podTemplate"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/var/log"]["readOnly"] is True
    (beats,) = plugins(found, "input", "beats")
    assert beats.options["ssl_client_authentication"] == "required"
    assert beats.options["port"] == config["output.logstash"]["hosts"][0].rpartition(":")[2]


@each_release
def test_what_is_read_is_what_the_store_lets(rendered: Render, release: str) -> None:
    oidc = {"elk_license": "platinum", "elk_oidc": {"issuer": "https://auth.example.org/realms/banking-realm"}}
    found = rendered("elk", release, **oidc)
    assert not found.refused
    secrets = [item["spec"] for (kind, _name), item in found.objects.items() if kind == "ExternalSecret"]
    read_keys = {one["remoteRef"]["key"] for spec in secrets for one in spec["data"]}
    store = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]["elk"]
    assert read_keys == set(store["read"])
    assert store["namespaces"] == ["banking-monitoring"]
    assert not [kind for kind, _name in found.objects if kind == "Secret"]
    config = found.objects["Elasticsearch", "elk"]["spec"]["nodeSets"][0]["config"]
    assert config["xpack.security.authc.realms.oidc.keycloak.op.issuer"].endswith("/realms/banking-realm")
    assert [one["name"] for one in found.variables["__elk_role_mappings"]] == [
        "banking-auditors",
        "banking-developers",
        "banking-operators",
        "banking-security",
    ]


@each_release
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"elk_routes": {"banking-system": "apps"}}, "apps: no class of elk_retention"),
        ({"elk_data_disk": "20Gi"}, "give elk_data_disk more, or keep less"),
        ({"elk_oidc": {"issuer": "https://x"}}, "needs a licence"),
        ({"elk_users": {"platform": {}, "logstash": {}}}, "elk_users lacks"),
    ],
)
def test_what_does_not_fit_is_refused(rendered: Render, release: str, settings: Any, words: str) -> None:
    (said,) = rendered("elk", release, **settings).refused
    assert words in said
    assert not rendered("elk", release).refused


@each_release
def test_what_elasticsearch_is_told(rendered: Render, release: str) -> None:
    found = rendered("elk", release, platform_environment="prod")
    told = {
        "snapshot_repositories": found.variables["__elk_repositories"],
        "slm_policies": found.variables["__elk_snapshots"],
        "ilm_policies": found.variables["__elk_life_cycles"],
        "component_templates": found.variables["__elk_component_templates"],
        "index_templates": found.variables["__elk_index_templates"],
        "data_streams": found.variables["__elk_data_streams"],
        "roles": found.variables["__elk_people_roles"],
        "role_mappings": found.variables["__elk_role_mappings"],
    }
    assert elasticsearch(told)
    templates = {one["name"]: one for one in told["index_templates"]}
    # res-A19
    for name in ("app", "auth", "audit", "security"):
        assert list(templates[f"logs-banking.{name}"]["template"]["aliases"]) == [f"banking-{name}-logs-prod"]
    # Whatever Logstash writes to is there.
    written = {
        one.options["replace"]["[data_stream][dataset]"]
        for pipeline in ("main", "rejected")
        for one in plugins(found, "filter", "mutate", pipeline)
        if "[data_stream][dataset]" in one.options.get("replace", {})
    }
    assert {f"logs-{name}-prod" for name in written} <= {one["name"] for one in told["data_streams"]}
    cycles = {one["name"]: one["phases"] for one in told["ilm_policies"]}
    assert cycles["banking-audit"]["delete"]["min_age"] == "30d"
    assert cycles["banking-audit"]["warm"]["actions"]["readonly"] == {}
    for template in told["index_templates"]:
        assert template["template"]["settings"]["lifecycle"]["name"] in cycles
    # Nobody may change or delete a log.
    for role in told["roles"]:
        assert {right for one in role["indices"] for right in one["privileges"]} == {"read", "view_index_metadata"}


@each_release
def test_the_four_dashboards_of_the_source(rendered: Render, release: str) -> None:
    found = rendered("elk", release)
    objects = saved_objects(found.variables["__elk_dashboards"], "banking", found.variables["elk_links"])
    assert kibana({"spaces": found.variables["__elk_spaces"], "saved_objects": objects})
    titles = [one["attributes"]["title"] for one in objects if one["type"] == "dashboard"]
    assert titles == [
        "Banking Application Performance",
        "OAuth2.1 Authentication Analysis",
        "Security Incident Dashboard",
        "Compliance Audit Reports",
    ]
    # Fields of panels are fields of the template, and not made up.
    (fields,) = [one for one in found.variables["__elk_component_templates"] if one["name"] == "banking-fields"]
    known = set(_fields(fields["template"]["mappings"]["properties"]))
    for dashboard in found.variables["__elk_dashboards"]:
        for panel in dashboard["panels"]:
            used = {panel[key] for key in ("by", "field") if key in panel}
            used |= {word.split(":")[0].strip() for word in panel.get("query", "").split(" and ") if ":" in word}
            used = {name.removesuffix(" >= 500") for name in used}
            assert used <= known, panel
    assert len({one["id"] for one in objects}) == len(objects)
    # From a line of a log to the trace that it belongs to.
    for view in (one for one in objects if one["type"] == "index-pattern"):
        formats = json.loads(view["attributes"]["fieldFormatMap"])
        assert formats["trace.id"]["params"]["urlTemplate"] == "https://jaeger.example.org/trace/{{value}}"


def _fields(properties: dict[str, Any], before: str = "") -> list[str]:
    found = []
    for name, value in properties.items():
        found += _fields(value["properties"], f"{before}{name}.") if "properties" in value else [before + name]
    return found


@each_release
def test_alerts_use_what_is_promised(rendered: Render, release: str) -> None:
    assert not [name for kind, name in rendered("elk", release).objects if kind == "PrometheusRule"]
    found = rendered("elk", release, elk_monitoring=True)
    (group,) = found.objects["PrometheusRule", "elk"]["spec"]["groups"]
    text = json.dumps(group)
    promised = yaml.safe_load((CLONE / "roles/elk/meta/platform.yml").read_text())["metrics"]
    names = {name for one in promised for name in one.get("series", [])}
    assert set(re.findall(r"elasticsearch_[a-z_]+", text)) == names
    assert {"ElasticsearchRed", "NoLogArrives", "ElasticsearchSnapshotOld"} <= {
        rule["alert"] for rule in group["rules"]
    }
    assert {name for kind, name in found.objects if kind == "PodMonitor"} == {"elk-exporter", "elk-operator"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filter { mutate { id => 'a' } ", "wanted"),
        ("filter { mutat { id => 'a' } }", "unknown plugin"),
        ("filter { mutate { id => 'a' replac => {} } }", "unknown option"),
        ("filter { mutate { id => 'a' } mutate { id => 'a' } }", "twice"),
        ("filter { if [a] = 'b' { } }", "line 1"),
        ("filter { mutate { id => 'a' lowercase => ['x' 'y'] } }", "comma"),
        ("outputs { }", "section"),
    ],
)
def test_the_grammar_refuses(text: str, words: str) -> None:
    with pytest.raises(GrammarError, match=words):
        read(text)
