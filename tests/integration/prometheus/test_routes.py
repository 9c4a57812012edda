# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told of what: amtool reads what Alertmanager gets, for each severity and team, and for every alert."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.prometheus.conftest import RELEASES, alertmanager_config
from ansible_collections.banking.platform.tests.integration.prometheus.test_rules import SEVERITIES, TEAMS, alerts
from ansible_collections.banking.platform.tests.platform_tree import Platform
from ansible_collections.banking.platform.tools.suites import CLONE

each_release = pytest.mark.parametrize("release", RELEASES)
Platforms = Mapping[str, Platform]


def write(platform: Platform, folder: Path) -> Path:
    """The configuration, with the templates that it names where this machine has them."""
    config = alertmanager_config(platform)
    (folder / "platform.tmpl").write_text((CLONE / "roles/prometheus/files/platform.tmpl").read_text())
    config["templates"] = [str(folder / "*.tmpl")]
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def receivers(config: Path, *labels: str) -> str:
    command = ["amtool", "config", "routes", "test", f"--config.file={config}", *labels]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@each_release
def test_alertmanager_takes_it(platforms: Platforms, release: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["amtool", "check-config", str(write(platforms[release], tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 templates" in done.stdout


@pytest.mark.parametrize("team", sorted(TEAMS))
@pytest.mark.parametrize("severity", sorted(SEVERITIES - {"none"}))
def test_a_team_is_told_and_of_what_is_critical_who_is_on_duty_too(
    platforms: Platforms, severity: str, team: str, tmp_path: Path
) -> None:
    config = write(platforms[RELEASES[0]], tmp_path)
    wanted = f"duty,{team}" if severity == "critical" else team
    command = ["amtool", "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={wanted}"]
    done = subprocess.run(
        [*command, f"severity={severity}", f"team={team}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_of_nobody_goes_to_who_is_on_duty(platforms: Platforms, tmp_path: Path) -> None:
    config = write(platforms[RELEASES[0]], tmp_path)
    assert receivers(config, "severity=warning", "alertname=Unknown") == "duty"
    assert receivers(config, "severity=critical", "alertname=Unknown") == "duty"


def test_what_lasts_goes_further_up(platforms: Platforms, tmp_path: Path) -> None:
    config = write(platforms[RELEASES[0]], tmp_path)
    assert receivers(config, "severity=critical", "team=data", "escalated_after=30m") == "lead"


def test_the_dead_mans_switch_wakes_nobody(platforms: Platforms, tmp_path: Path) -> None:
    assert (
        receivers(write(platforms[RELEASES[0]], tmp_path), "alertname=Watchdog", "severity=none", "team=platform")
        == "nobody"
    )


def test_what_falco_sees_goes_to_security(platforms: Platforms, tmp_path: Path) -> None:
    config = write(platforms[RELEASES[0]], tmp_path)
    assert receivers(config, "source=falco", "rule=Shell", "severity=critical") == "security"


@each_release
def test_no_alert_of_a_team_is_told_to_nobody(platforms: Platforms, release: str, tmp_path: Path) -> None:
    config = write(platforms[release], tmp_path)
    told = {
        tuple(f"{key}={value}" for key, value in sorted(rule["labels"].items()))
        for _where, rule in alerts(platforms[release])
    }
    for labels in sorted(told):
        if "severity=none" not in labels:
            assert "nobody" not in receivers(config, *labels), labels
    assert len(told) > 10


@each_release
def test_no_secret_is_in_it(platforms: Platforms, release: str) -> None:
    text = yaml.safe_dump(alertmanager_config(platforms[release]))
    for key in ("password:", "auth_secret", "api_key:", "credentials:", "routing_key:"):
        assert key not in text
