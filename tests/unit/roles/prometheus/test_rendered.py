# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `prometheus` delivers. What Prometheus and Alertmanager make of it: tests/integration/prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
each_release = pytest.mark.parametrize("release", RELEASES)
HOSTS = {
    "cp-a1": {"platform_address": "10.0.1.1", "platform_zone": "zone-a"},
    "cp-b1": {"platform_address": "fd00::2", "platform_zone": "zone-b"},
    "worker-c1": {"platform_address": "10.0.3.1", "platform_zone": "zone-c"},
}
WHERE: dict[str, Any] = {
    "groups": {"node": list(HOSTS), "control_plane": ["cp-a1", "cp-b1"], "all": list(HOSTS)},
    "hostvars": {**HOSTS, "localhost": {}},
    "platform_groups": {
        "node": "node",
        "control_plane": "control_plane",
        "worker": "worker",
        "etcd": "control_plane",
        "vault": "control_plane",
    },
    "tenancy_namespaces": {"banking-system": {"mesh": True}, "banking-services": {"mesh": True}, "banking-data": {}},
}


@pytest.fixture
def role(rendered: Render) -> Render:
    def render(release: str, **settings: Any) -> Rendered:
        return rendered("prometheus", release, **{**WHERE, **settings})

    return render


def alertmanager(found: Rendered) -> dict[str, Any]:
    secret = found.objects["ExternalSecret", "alertmanager-config"]["spec"]["target"]["template"]["data"]
    config: dict[str, Any] = yaml.safe_load(secret["alertmanager.yaml"])
    return config


@each_release
def test_each_of_two_scrapes_everything_in_a_zone_of_its_own(role: Render, release: str) -> None:
    spec = role(release).objects["Prometheus", "prometheus"]["spec"]
    assert spec["replicas"] == 2
    assert "shards" not in spec
    (zones,) = [item for item in spec["topologySpreadConstraints"] if item["topologyKey"].endswith("/zone")]
    assert (zones["whenUnsatisfiable"], zones["maxSkew"]) == ("DoNotSchedule", 1)
    assert (spec["retention"], spec["retentionSize"]) == ("15d", "40GiB")
    assert spec["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "50Gi"


@each_release
@pytest.mark.parametrize("kind", ["serviceMonitor", "podMonitor", "probe", "rule"])
def test_every_roles_own_are_found(role: Render, release: str, kind: str) -> None:
    spec = role(release).objects["Prometheus", "prometheus"]["spec"]
    # res-F2: an empty selector is all, a missing one is nothing.
    assert spec[f"{kind}Selector"] == {}
    assert spec[f"{kind}NamespaceSelector"] == {}


@each_release
def test_a_pod_asks_for_what_it_is_declared_with(role: Render, release: str) -> None:
    found = role(release)
    for kind, name in (("Prometheus", "prometheus"), ("Alertmanager", "alertmanager")):
        main = found.objects[kind, name]["spec"]["resources"]
        beside = found.values["kube-prometheus-stack"]["prometheusOperator"]["prometheusConfigReloader"]["resources"]
        declared = found.workload(name)
        assert sum(quantities.size(part["requests"]["memory"]) for part in (main, beside)) == declared.requests.memory
        assert sum(quantities.size(part["limits"]["memory"]) for part in (main, beside)) == declared.limits.memory
        assert sum(quantities.cpu(part["requests"]["cpu"]) for part in (main, beside)) == declared.requests.cpu
    values = found.values["kube-prometheus-stack"]["grafana"]
    parts = (values["resources"], values["sidecar"]["resources"])
    assert (
        sum(quantities.size(part["requests"]["memory"]) for part in parts) == found.workload("grafana").requests.memory
    )


@each_release
def test_servers_are_those_of_the_inventory(role: Render, release: str) -> None:
    objects = role(release).objects
    etcd = objects["ScrapeConfig", "etcd"]["spec"]["staticConfigs"]
    assert [item["targets"] for item in etcd] == [["10.0.1.1:2381"], ["[fd00::2]:2381"]]
    assert etcd[0]["labels"] == {"job": "etcd", "node": "cp-a1", "zone": "zone-a"}
    assert len(objects["ScrapeConfig", "node-exporter"]["spec"]["staticConfigs"]) == 3
    vault = objects["ScrapeConfig", "vault"]["spec"]
    assert (vault["metricsPath"], vault["params"], vault["scheme"]) == (
        "/v1/sys/metrics",
        {"format": ["prometheus"]},
        "HTTPS",
    )
    assert vault["tlsConfig"]["serverName"] == "vault.vault.svc"
    assert "insecureSkipVerify" not in vault["tlsConfig"]


@each_release
def test_only_this_namespace_may_name_addresses(role: Render, release: str) -> None:
    spec = role(release).objects["Prometheus", "prometheus"]["spec"]
    assert spec["scrapeConfigNamespaceSelector"] == {
        "matchLabels": {"kubernetes.io/metadata.name": "banking-monitoring"}
    }


@each_release
def test_nothing_goes_elsewhere_unless_it_is_said(role: Render, release: str) -> None:
    found = role(release)
    assert "remoteWrite" not in found.objects["Prometheus", "prometheus"]["spec"]
    assert not [name for kind, name in found.objects if name.startswith("federation")]
    other = {"name": "dr", "targets": ["prometheus.dr.example.org:443"], "match": ['{job="etcd"}']}
    found = role(release, prometheus_federation=[other], prometheus_remote_write=[{"url": "https://long.example.org"}])
    spec = found.objects["ScrapeConfig", "federation-dr"]["spec"]
    assert (spec["metricsPath"], spec["honorLabels"], spec["params"]) == (
        "/federate",
        True,
        {"match[]": ['{job="etcd"}']},
    )
    assert found.objects["Prometheus", "prometheus"]["spec"]["remoteWrite"] == [{"url": "https://long.example.org"}]


@each_release
def test_a_receivers_secret_is_a_file_from_vault(role: Render, release: str) -> None:
    receivers = {
        name: {"webhook_configs": [{"url_file": f"alertmanager#{name}"}]}
        for name in ("platform", "security", "data", "banking", "duty", "lead")
    }
    found = role(release, prometheus_receivers=receivers)
    config = alertmanager(found)
    (duty,) = [item for item in config["receivers"] if item["name"] == "duty"]
    assert duty["webhook_configs"] == [{"url_file": "/etc/alertmanager/config/alertmanager-duty"}]
    spec = found.objects["ExternalSecret", "alertmanager-config"]["spec"]
    assert spec["target"]["template"]["data"]["alertmanager-duty"] == "{{ .alertmanager_duty }}"
    assert {
        "secretKey": "alertmanager_duty",
        "remoteRef": {"key": "prometheus/alertmanager", "property": "duty"},
    } in spec["data"]


@each_release
def test_a_lost_zone_holds_back_what_follows_only(role: Render, release: str) -> None:
    first = alertmanager(role(release))["inhibit_rules"][0]
    assert first == {"source_matchers": ['alertname="ZoneLost"'], "target_matchers": ['follows="zone"']}


def test_a_receiver_that_is_not_there_is_refused_by_name(role: Render) -> None:
    (said,) = role("2024.1", prometheus_duty="nobody-home").refused
    assert "nobody-home" in said


@each_release
@pytest.mark.parametrize(("slo", "limit"), [(99.95, "14.4 * 0.0005"), (99.9, "14.4 * 0.001"), (99.99, "14.4 * 0.0001")])
def test_alerts_on_budgets_follow_from_one_figure(role: Render, release: str, slo: float, limit: str) -> None:
    groups = role(release, prometheus_slo=slo).objects["PrometheusRule", "slo"]["spec"]["groups"]
    (alerts,) = [group["rules"] for group in groups if group["name"] == "slo-alerts"]
    burns = [rule for rule in alerts if rule["alert"] == "ErrorBudgetBurns"]
    assert len(burns) == 4
    assert burns[0]["expr"] == f"slo:errors:ratio_1h > {limit} and slo:errors:ratio_5m > {limit}"


@each_release
def test_what_lasts_is_told_at_each_step(role: Render, release: str) -> None:
    steps = [{"after": "30m", "receiver": "lead"}, {"after": "2h", "receiver": "duty"}]
    found = role(release, prometheus_escalation=steps)
    groups = found.objects["PrometheusRule", "slo"]["spec"]["groups"]
    (rules,) = [group["rules"] for group in groups if group["name"] == "escalation"]
    assert [(rule["for"], rule["labels"]["escalated_after"]) for rule in rules] == [("30m", "30m"), ("2h", "2h")]
    routes = alertmanager(found)["route"]["routes"]
    assert [item["receiver"] for item in routes if "escalated_after" in item["matchers"][0]] == ["lead", "duty"]


@each_release
def test_grafana_reads_no_secrets_and_lets_nobody_in_by_itself(role: Render, release: str) -> None:
    found = role(release)
    rules = found.objects["ClusterRole", "banking-grafana-dashboards"]["rules"]
    assert [rule["resources"] for rule in rules] == [["configmaps"]]
    values = found.values["kube-prometheus-stack"]["grafana"]
    assert values["rbac"]["create"] is False
    config = values["grafana.ini"]
    assert config["auth"]["disable_login_form"] is True
    assert config["auth.generic_oauth"]["role_attribute_strict"] is True
    assert config["auth.generic_oauth"]["role_attribute_path"].startswith(
        "contains(groups[*], 'banking-operators') && 'Admin' || "
    )
    assert "password" not in config["database"]
    assert config["database"]["ssl_mode"] == "verify-full"


@each_release
def test_dashboards_are_found_by_the_sidecar(role: Render, release: str) -> None:
    found = role(release)
    names = [name for kind, name in found.objects if kind == "ConfigMap" and name.startswith("dashboard-")]
    assert len(names) == 5
    label = found.values["kube-prometheus-stack"]["grafana"]["sidecar"]["dashboards"]
    assert label["resource"] == "configmap"
    assert all(found.objects["ConfigMap", name]["metadata"]["labels"] == {"grafana_dashboard": "1"} for name in names)


@each_release
def test_the_charts_own_rules_and_crds_are_left_out(role: Render, release: str) -> None:
    values = role(release).values["kube-prometheus-stack"]
    assert values["defaultRules"] == {"create": False}
    assert values["crds"] == {"enabled": False}
    # The kubelets' certificates are verified.
    assert values["kubelet"]["serviceMonitor"]["insecureSkipVerify"] is False
