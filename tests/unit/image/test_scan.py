# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate, on reports in the shape that Trivy 0.74.0 writes them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.image_scan import acceptances, database_age, judge

TODAY = datetime.date(2026, 11, 27)
NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
IMAGE = "sha256:" + "1" * 64
GATE = ["CRITICAL", "HIGH"]
ACCEPTED = {"id": "CVE-1", "reason": "not reached", "approved_by": "J. Doe", "until": "2026-11-27"}


def vulnerability(identifier: str, severity: str, package: str = "openssl", fixed: str = "") -> dict[str, Any]:
    return {
        "VulnerabilityID": identifier,
        "PkgName": package,
        "InstalledVersion": "1",
        "FixedVersion": fixed,
        "Severity": severity,
    }


def report(
    *vulnerabilities: dict[str, Any], secrets: tuple[dict[str, Any], ...] = (), **metadata: Any
) -> dict[str, Any]:
    results = [
        {"Target": "app (debian 12)", "Class": "os-pkgs", "Vulnerabilities": list(vulnerabilities)},
        {"Target": "/app/key.pem", "Class": "secret", "Secrets": list(secrets)},
    ]
    return {
        "SchemaVersion": 2,
        "ArtifactType": "container_image",
        "Metadata": {"ImageID": IMAGE, **metadata},
        "Results": results,
    }


def test_what_is_at_or_above_the_gate_keeps_it_back() -> None:
    found = judge(
        report(
            vulnerability("CVE-2", "HIGH"), vulnerability("CVE-1", "CRITICAL", fixed="2"), vulnerability("CVE-3", "LOW")
        ),
        "app",
        GATE,
    )
    assert [str(one) for one in found.refused] == ["CVE-1 CRITICAL openssl 1, fixed in 2", "CVE-2 HIGH openssl 1"]
    assert found.counts == {"CRITICAL": 1, "HIGH": 1, "MEDIUM": 0, "LOW": 1, "UNKNOWN": 0}
    assert judge(report(vulnerability("CVE-3", "LOW")), "app", GATE).refused == []
    assert judge({**report(), "Results": None}, "app", GATE).refused == []


def test_a_severity_of_no_kind_is_unknown() -> None:
    assert judge(report(vulnerability("CVE-1", "dreadful")), "app", ["UNKNOWN"]).refused[0].severity == "UNKNOWN"


def test_the_same_finding_in_two_places_counts_once() -> None:
    twice = judge(report(vulnerability("CVE-1", "HIGH"), vulnerability("CVE-1", "HIGH")), "app", GATE)
    assert len(twice.refused) == twice.counts["HIGH"] == 1


def test_a_secret_keeps_it_back_and_is_not_shown() -> None:
    secret = {"RuleID": "private-key", "Severity": "HIGH", "Title": "Asymmetric Private Key", "Match": "hunter2"}
    found = judge(report(secrets=(secret,)), "app", GATE)
    assert found.summary() == "private-key HIGH Asymmetric Private Key in /app/key.pem"


def test_a_distribution_without_updates_keeps_it_back() -> None:
    found = judge(report(OS={"Family": "alpine", "Name": "3.12", "EOSL": True}), "app", GATE)
    assert "alpine 3.12 gets no more updates" in found.summary()
    assert judge(report(OS={"Family": "alpine", "Name": "3.22"}), "app", GATE).refused == []


def test_what_is_accepted_lets_it_through_until_its_day() -> None:
    (acceptance,) = acceptances([ACCEPTED], TODAY)
    found = judge(report(vulnerability("CVE-1", "HIGH")), "app", GATE, [acceptance])
    assert found.refused == []
    assert [one.id for one in found.accepted] == ["CVE-1"]
    assert found.used == {"CVE-1"}
    assert judge(report(vulnerability("CVE-2", "HIGH")), "app", GATE, [acceptance]).refused


def test_what_is_accepted_for_one_image_is_not_for_another() -> None:
    accepted = acceptances([{**ACCEPTED, "images": ["app"]}], TODAY)
    assert judge(report(vulnerability("CVE-1", "HIGH")), "app", GATE, accepted).refused == []
    assert judge(report(vulnerability("CVE-1", "HIGH")), "other", GATE, accepted).refused


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"until": "2026-11-26"}, "CVE-1 was accepted by J. Doe until 2026-11-26"),
        ({"until": "soon"}, "CVE-1: soon is no day"),
        ({"reason": ""}, "CVE-1 has no reason"),
        ({"reason": None, "approved_by": None}, "CVE-1 has no reason, approved_by"),
        ({"id": ""}, "one without id has no id"),
    ],
)
def test_what_does_not_hold_is_an_error(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Failure) as caught:
        acceptances([ACCEPTED, {**ACCEPTED, **change}], TODAY)
    assert said in caught.value.cause


@pytest.mark.parametrize("wrong", [None, [], {}, {"SchemaVersion": 1, "ArtifactType": "x"}, {"SchemaVersion": 2}])
def test_what_is_no_report_is_no_pass(wrong: Any) -> None:
    with pytest.raises(Failure, match="no report of Trivy"):
        judge(wrong, "app", GATE)


def test_a_report_about_another_image_is_no_pass() -> None:
    assert judge(report(), "app", GATE, image_id=IMAGE).refused == []
    with pytest.raises(Failure, match="not about sha256:2"):
        judge(report(), "app", GATE, image_id="sha256:2")
    with pytest.raises(Failure, match="about no image"):
        judge({**report(), "Metadata": {}}, "app", GATE, image_id=IMAGE)


def test_the_age_of_the_database() -> None:
    told = {"Version": "0.74.0", "VulnerabilityDB": {"UpdatedAt": "2026-11-25T12:00:00.123456789Z"}}
    assert database_age(told, NOW) == pytest.approx(2, abs=0.001)
    assert database_age({"Version": "0.74.0"}, NOW) is None
    assert database_age([], NOW) is None
