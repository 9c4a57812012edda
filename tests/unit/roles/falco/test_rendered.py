# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `falco` delivers, and that Falco can read its rules."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tests.unit.roles.falco.checker import problems

Render = Callable[..., Rendered]
FIELDS = {
    f"{kind}.{name}"
    for kind, names in yaml.safe_load((Path(__file__).parent / "fields.yml").read_text()).items()
    for name in names
}


def files(found: Rendered) -> dict[str, str]:
    rules: dict[str, str] = found.values["falco"]["customRules"]
    return rules


def items(found: Rendered) -> list[dict[str, Any]]:
    return [item for _name, text in sorted(files(found).items()) for item in yaml.safe_load(text)]


def named(found: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    return {item[kind]: item for item in items(found) if kind in item}


@pytest.mark.parametrize("release", RELEASES)
def test_falco_can_read_the_rules(rendered: Render, release: str) -> None:
    own = [{"macro": "ours", "condition": "proc.name=x"}]
    found = rendered(
        "falco",
        release,
        falco_rules=own,
        falco_disabled=["Terminal shell in container"],
        falco_exceptions={"Debugfs Launched in Privileged Container": [{"name": "none", "fields": ["proc.name"]}]},
    )
    assert list(problems(items(found), FIELDS)) == []
    assert {name: rule.get("override") for name, rule in named(found, "rule").items() if "override" in rule} == {
        "Debugfs Launched in Privileged Container": {"exceptions": "append"},
        "Terminal shell in container": {"enabled": "replace"},
    }
    assert len([rule for rule in named(found, "rule").values() if "override" not in rule]) == 12


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"macro": "m", "condition": "proc.nam=x"}, "proc.nam"),
        ({"macro": "m", "condition": "proc.name=x and"}, "its end"),
        ({"macro": "m", "condition": "(proc.name=x or proc.name=y"}, "in place of )"),
        ({"macro": "m", "condition": "proc.name is x"}, "'is'"),
        ({"macro": "m", "condition": "proc.name in (bank_shels)"}, "the list 'bank_shels'"),
        ({"macro": "m", "condition": "bank_startd"}, "the macro 'bank_startd'"),
        ({"macro": "m", "condition": "proc.name="}, "no value"),
        ({"macro": "m", "condition": "proc.name=x proc.name=y"}, "ends before"),
        ({"list": "l", "item": []}, "['item']"),
        ({"rule": "r", "condition": "proc.name=x", "output": "x", "priority": "WARNING"}, "lacks ['desc']"),
        ({"rule": "r", "desc": "", "condition": "proc.name=x", "output": "%proc.nam", "priority": "ERROR"}, "proc.nam"),
        ({"rule": "r", "desc": "", "condition": "proc.name=x", "output": "", "priority": "LOUD"}, "LOUD"),
    ],
)
def test_the_checker_sees_what_is_wrong(item: dict[str, Any], said: str) -> None:
    assert [said in problem for problem in problems([item], FIELDS)] == [True]


@pytest.mark.falco
@pytest.mark.parametrize("release", RELEASES)
def test_falco_itself_takes_the_rules(rendered: Render, release: str, tmp_path: Path) -> None:
    arguments = []
    for name, text in sorted(files(rendered("falco", release)).items()):
        (tmp_path / name).write_text(text)
        arguments += ["-V", str(tmp_path / name)]
    done = subprocess.run(["falco", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_exceptions_are_data(rendered: Render) -> None:
    exception = {"name": "job", "fields": ["k8s.ns.name"], "comps": ["="], "values": [["banking-data"]]}
    found = rendered("falco", "2026.2", falco_exceptions={"Connection out of the bank": [exception]})
    assert named(found, "rule")["Connection out of the bank"]["exceptions"] == [exception]
    assert list(problems(items(found), FIELDS)) == []
    bad = rendered("falco", "2026.2", falco_exceptions={"Miner of coins": [{**exception, "values": [["a", "b"]]}]})
    assert ["do not go with its fields" in problem for problem in problems(items(bad), FIELDS)] == [True]


def test_rules_are_about_the_namespaces_and_networks_that_are_named(rendered: Render) -> None:
    found = named(rendered("falco", "2024.1", falco_namespaces=["a"], falco_networks=["10.1.0.0/16"]), "list")
    assert found["bank_namespaces"]["items"] == ["a"]
    assert found["bank_networks"]["items"] == ['"10.1.0.0/16"']


@pytest.mark.parametrize(("release", "expected"), [("2024.1", True), ("2026.2", False)])
def test_only_ends_of_system_calls_count_where_there_are_beginnings(
    rendered: Render, release: str, expected: bool
) -> None:
    macros = named(rendered("falco", release), "macro")
    for name in ("bank_started", "bank_read", "bank_written", "bank_connected"):
        assert ("evt.dir=<" in macros[name]["condition"]) is expected, name


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_is_downloaded(rendered: Render, release: str) -> None:
    values = rendered("falco", release).values["falco"]
    assert values["falcoctl"]["artifact"] == {"install": {"enabled": False}, "follow": {"enabled": False}}
    assert values["driver"]["kind"] == "modern_ebpf"
    assert values["falcosidekick"] == {"enabled": False}


@pytest.mark.parametrize("release", RELEASES)
def test_events_go_where_they_are_taken(rendered: Render, release: str) -> None:
    found = rendered("falco", release)
    values = found.values["falco"]["falco"]
    assert values["stdout_output"] == {"enabled": True}
    assert values["http_output"]["url"] == "https://falcosidekick.banking-security.svc:2801"
    service = found.objects["Service", "falcosidekick"]["spec"]
    pods = found.objects["Deployment", "falcosidekick"]["spec"]
    assert service["selector"] == pods["selector"]["matchLabels"]
    certificate = found.objects["Certificate", "falcosidekick"]["spec"]
    assert "falcosidekick.banking-security.svc" in certificate["dnsNames"]
    configuration = yaml.safe_load(found.objects["ConfigMap", "falcosidekick"]["data"]["config.yaml"])
    assert configuration["alertmanager"]["endpoint"] == "/api/v2/alerts"
    assert configuration["tlsserver"]["deploy"] is True
    listens = {port["containerPort"] for port in pods["template"]["spec"]["containers"][0]["ports"]}
    assert found.declared
    declared = {number for port in found.declared.ports for number in port["ports"]}
    assert declared | {metric["port"] for metric in found.declared.metrics if metric["name"] == "sidekick"} == listens


def test_more_outputs_are_laid_beside(rendered: Render) -> None:
    found = rendered("falco", "2026.2", falco_outputs={"logstash": {"address": "logstash", "port": 5045, "tls": True}})
    configuration = yaml.safe_load(found.objects["ConfigMap", "falcosidekick"]["data"]["config.yaml"])
    assert configuration["logstash"] == {"address": "logstash", "port": 5045, "tls": True}


@pytest.mark.parametrize("release", RELEASES)
def test_pods_are_as_declared_and_confined(rendered: Render, release: str) -> None:
    found = rendered("falco", release)
    spec = found.objects["Deployment", "falcosidekick"]["spec"]
    pod = spec["template"]["spec"]
    wanted = found.workload("sidekick")
    assert spec["replicas"] == wanted.replicas
    assert wanted.selector["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert pod["topologySpreadConstraints"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    values = found.values["falco"]
    assert values["podLabels"] == found.workload("falco").selector["matchLabels"]
    assert values["driver"]["modernEbpf"] == {"leastPrivileged": True}


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert not [name for kind, name in rendered("falco", "2024.1").objects if kind == "PrometheusRule"]
    found = rendered("falco", "2024.1", falco_monitoring=True)
    rules = found.objects["PrometheusRule", "falco"]["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == ["FalcoDoesNotWatch", "FalcoEventsLost", "FalcoTellsNobody"]
    assert found.values["falco"]["serviceMonitor"] == {"create": True}
