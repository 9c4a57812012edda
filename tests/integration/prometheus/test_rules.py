# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every alert of every role, evaluated by promtool: it fires when it should, and is quiet when it should not."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests import promql
from ansible_collections.banking.platform.tests.integration.prometheus.conftest import RELEASES, write_rules
from ansible_collections.banking.platform.tests.platform_tree import Platform

CASES = Path(__file__).parent / "alerts"
SEVERITIES = {"critical", "warning", "info", "none"}
TEAMS = {"platform", "security", "data", "banking"}
OWN = {f"banking-monitoring/{name}" for name in ("applications", "capacity", "own", "servers", "slo")}
each_release = pytest.mark.parametrize("release", RELEASES)
Platforms = Mapping[str, Platform]


def cases() -> Iterator[dict[str, Any]]:
    for path in sorted(CASES.glob("*.yml")):
        yield from yaml.safe_load(path.read_text())


def alerts(platform: Platform) -> list[tuple[str, dict[str, Any]]]:
    return [(where, rule) for where, rule in promql.rules_of(platform.objects) if "alert" in rule]


def is_about(case: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    wanted = case.get("labels", {}).items()
    return bool(case["alert"] == rule["alert"] and wanted <= rule["labels"].items())


def minutes(text: str) -> int:
    factors = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}
    return round(sum(int(number) * factors[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


def series(given: Mapping[str, Any], length: int) -> list[dict[str, str]]:
    """As promtool expands values: https://prometheus.io/docs/prometheus/2.55/configuration/unit_testing_rules/#series"""
    found = []
    for name, value in given.items():
        text = str(value)
        if re.fullmatch(r"-?[\d.]+", text) or re.fullmatch(r"-?[\d.]+[+-][\d.]+", text):
            text = f"{text}x{length}"
        found.append({"series": name, "values": text})
    return found


def promtool_test(case: Mapping[str, Any], rule: Mapping[str, Any], way: str) -> dict[str, Any]:
    """A test as promtool takes it. What fires is asked of ALERTS, so that no text need stand here again."""
    at = minutes(case["at"]) if "at" in case else minutes(rule.get("for", "0m")) + 10
    matchers = {"alertname": rule["alert"], "alertstate": "firing", **rule["labels"]}
    # Labels that are made of others are not known here.
    wanted = ",".join(f'{key}="{value}"' for key, value in matchers.items() if "{{" not in str(value))
    fires = way == "fires" or case.get("always")
    return {
        "interval": "1m",
        "name": f"{rule['alert']} {case.get('labels', '')} {way}",
        "input_series": series(case.get(way, {}), at + 5),
        "promql_expr_test": [
            {
                "expr": f"count(ALERTS{{{wanted}}}) > bool 0",
                "eval_time": f"{at}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


@each_release
def test_rules_are_rules(platforms: Platforms, release: str, tmp_path: Path) -> None:
    files = write_rules(platforms[release], tmp_path)
    assert len(files) > 10
    done = subprocess.run(["promtool", "check", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_release
def test_every_alert_has_a_case(platforms: Platforms, release: str) -> None:
    known = list(cases())
    missing = [
        f"{where}: {rule['alert']} {rule['labels']}"
        for where, rule in alerts(platforms[release])
        if not any(is_about(case, rule) for case in known)
    ]
    assert missing == [], "write a case of it into tests/integration/prometheus/alerts: when it fires, and when not"


def test_every_case_has_an_alert(platforms: Platforms) -> None:
    rules = [rule for platform in platforms.values() for _where, rule in alerts(platform)]
    assert [case["alert"] for case in cases() if not any(is_about(case, rule) for rule in rules)] == []


@each_release
def test_every_alert_fires_when_it_should_and_not_else(platforms: Platforms, release: str, tmp_path: Path) -> None:
    files = {path.stem: path for path in write_rules(platforms[release], tmp_path / "rules")}
    written, count = [], 0
    for number, case in enumerate(cases()):
        tests: dict[str, list[dict[str, Any]]] = {}
        for where, rule in alerts(platforms[release]):
            if is_about(case, rule):
                file = str(files[where.replace("/", "-")])
                tests.setdefault(file, []).extend(promtool_test(case, rule, way) for way in ("fires", "quiet"))
        for place, (file, found) in enumerate(tests.items()):
            path = tmp_path / f"{number}-{place}.yml"
            path.write_text(yaml.safe_dump({"rule_files": [file], "evaluation_interval": "1m", "tests": found}))
            written.append(path)
            count += len(found)
    done = subprocess.run(["promtool", "test", "rules", *written], capture_output=True, text=True, check=False)
    wrong = [part for part in re.split(r"(?=Unit Testing:)", done.stdout + done.stderr) if "FAILED" in part]
    assert done.returncode == 0, "\n".join(wrong)
    assert count >= 2 * len(alerts(platforms[release]))


@each_release
def test_every_alert_says_how_bad_it_is_and_who_is_to_know(platforms: Platforms, release: str) -> None:
    for where, rule in alerts(platforms[release]):
        labels = rule.get("labels", {})
        assert labels.get("severity") in SEVERITIES, f"{where}: {rule['alert']}"
        # Of an escalation it is that of the alert.
        assert labels.get("team") in TEAMS or "escalated_after" in labels, f"{where}: {rule['alert']}"
        assert rule["annotations"].get("summary"), f"{where}: {rule['alert']}"
        assert labels.get("follows", "zone") == "zone", f"{where}: {rule['alert']}"


@each_release
def test_our_own_alerts_come_with_help(platforms: Platforms, release: str) -> None:
    headings = set(re.findall(r"^### (\w+)$", (Path(__file__).parents[3] / "docs" / "alerts.md").read_text(), re.M))
    own = {rule["alert"]: rule for where, rule in alerts(platforms[release]) if where in OWN}
    for name, rule in own.items():
        assert rule["annotations"]["description"], name
        assert rule["annotations"]["runbook_url"].endswith(f"/alerts.md#{name.lower()}"), name
        assert name in headings, f"docs/alerts.md says nothing of {name}"
    assert len(own) > 60
