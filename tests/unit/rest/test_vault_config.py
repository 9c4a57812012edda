# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Autopilot in `vault_config`, against a small double; the real server is in tests/integration/vault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.modules.vault_config import SPEC, Run
from ansible_collections.banking.platform.tests.unit.rest.loopback import Loopback
from ansible_collections.banking.platform.tools.suites import CLONE

Thing = dict[str, Any]
PATH = "/v1/sys/storage/raft/autopilot/configuration"
# How the server writes spans.
WRITTEN = {"24h": "24h0m0s", "1m": "1m0s"}


class Autopilot(Loopback):
    """What a server with integrated storage answers at this one path, as OpenBao 2.7 was seen to."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Thing = {
            "cleanup_dead_servers": False,
            "dead_server_last_contact_threshold": "24h0m0s",
            "last_contact_threshold": "10s",
            "max_trailing_logs": 1000,
            "min_quorum": 0,
            "server_stabilization_time": "10s",
        }
        self.written: list[Thing] = []
        self.refusal: tuple[int, str] | None = None
        self.plugins = "v1.20.0+builtin.vault"

    def answer(self, method: str, target: str, raw: bytes, headers: Any) -> tuple[int, Any, Thing]:
        if target == "/v1/sys/seal-status":
            return 200, {"sealed": False}, {}
        assert headers["X-Vault-Token"] == "t"
        if target == "/v1/sys/mounts":
            return 200, {"data": {"sys/": {"running_plugin_version": self.plugins}}}, {}
        assert target == PATH, target
        if self.refusal:
            return self.refusal[0], {"errors": [self.refusal[1]]}, {}
        if method == "POST":
            self.written.append(json.loads(raw))
            self.kept |= {name: WRITTEN.get(value, value) for name, value in self.written[-1].items()}
            return 204, None, {}
        assert method == "GET", method
        return 200, {"data": self.kept}, {}


@pytest.fixture
def autopilot() -> Iterator[Autopilot]:
    with Autopilot() as one:
        yield one


def run(double: Autopilot, declared: Thing, check: bool = False, **more: Any) -> Run:
    params = {name: spec.get("default") for name, spec in SPEC.items()}
    params |= {"url": [double.url], "token": "t", "retry_for": 5, "autopilot": declared, **more}
    one = Run(params, check, with_diff=True)
    one.do()
    return one


def refused(double: Autopilot, declared: Thing) -> Failure:
    with pytest.raises(Failure) as caught:
        run(double, declared)
    assert double.written == []
    return caught.value


def defaults() -> Thing:
    """What the role declares."""
    found: Thing = yaml.safe_load((CLONE / "roles" / "vault" / "defaults" / "main.yml").read_text())
    return dict(found["vault_autopilot"])


def test_only_what_differs_is_a_change(autopilot: Autopilot) -> None:
    planned = run(autopilot, defaults(), check=True).result()
    assert (planned["changed"], autopilot.written) == (True, [])
    done = run(autopilot, defaults(), prune=True, prune_protected=True).result()
    assert done["plan"] == planned["plan"]
    (step,) = done["plan"]
    assert (step["kind"], step["action"], step["before"], step["after"]) == (
        "autopilot",
        "update",
        {"min_quorum": 0},
        {"min_quorum": 3},
    )
    assert autopilot.written == [defaults()], "and not the name of it in the plan"


@pytest.mark.parametrize("day", ["24h", "1d", "1440m", 86400, "86400", "23h59m60s"])
def test_spans_are_compared_as_spans(autopilot: Autopilot, day: Any) -> None:
    assert not run(autopilot, {"dead_server_last_contact_threshold": day}).result()["changed"]
    assert run(autopilot, {"last_contact_threshold": day}, check=True).result()["changed"]


def test_what_the_server_would_drop_without_a_word_is_refused(autopilot: Autopilot) -> None:
    said = refused(autopilot, {"min_quorums": 3, "last_contact_threshold": "1500ms", "max_trailing_logs": 0}).cause
    assert "autopilot raft: there is no min_quorums" in said
    assert "last_contact_threshold is '1500ms', not a duration of whole seconds" in said
    assert "max_trailing_logs is 0, not a whole number of at least 1" in said
    for times in ("soon", 0, "500ms", -5, True):
        assert "server_stabilization_time is" in refused(autopilot, {"server_stabilization_time": times}).cause
    for number in ("three", 0, -1, 2.5):
        assert "min_quorum is" in refused(autopilot, {"min_quorum": number}).cause


@pytest.mark.parametrize("asked", [True, "true", "True"])
def test_members_are_removed_only_down_to_a_number_that_is_said(autopilot: Autopilot, asked: Any) -> None:
    for few in ({}, {"min_quorum": 2}):
        assert "needs min_quorum beside it" in refused(autopilot, {"cleanup_dead_servers": asked, **few}).cause
    enough = {"cleanup_dead_servers": asked, "min_quorum": 3}
    assert "of 1m at least" in refused(autopilot, {**enough, "dead_server_last_contact_threshold": "59s"}).cause
    assert run(autopilot, {**enough, "dead_server_last_contact_threshold": "1m"}).result()["changed"]


def test_a_lost_zone_does_not_make_the_quorum_smaller_by_default() -> None:
    assert (defaults()["cleanup_dead_servers"], defaults()["min_quorum"]) == (False, 3)
    options = yaml.safe_load((CLONE / "roles" / "vault" / "meta" / "argument_specs.yml").read_text())
    assert options["argument_specs"]["main"]["options"]["vault_autopilot"]["default"] == defaults()


@pytest.mark.parametrize(
    "refusal", [(400, "raft storage is not in use"), (404, "1 error occurred:\n\t* unsupported path\n\n")]
)
def test_a_server_without_integrated_storage_has_none(autopilot: Autopilot, refusal: tuple[int, str]) -> None:
    autopilot.refusal = refusal
    failure = refused(autopilot, defaults())
    assert failure.cause.startswith("Vault at 127.0.0.1:")
    assert "there is no autopilot here, it comes with integrated storage" in failure.cause
    assert failure.next_step == "leave autopilot out, or declare it in a task of its own without namespace"


def test_upgrades_are_the_enterprise_edition_s(autopilot: Autopilot) -> None:
    autopilot.plugins = "v2.7.0+builtin.bao"
    assert "OpenBao has no disable_upgrade_migration" in refused(autopilot, {"disable_upgrade_migration": True}).cause
    autopilot.plugins = "v1.20.0+builtin.vault"
    assert run(autopilot, {"disable_upgrade_migration": True}).result()["changed"]
