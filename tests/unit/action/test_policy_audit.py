# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the audit has found stops what would be refused: without a cluster. With one: tests/integration/kube."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.action import policy_audit
from ansible_collections.banking.platform.plugins.module_utils.kube.client import NotFound, Unreachable
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action, trusted

Run = Callable[..., dict[str, Any]]
GROUP = "/apis/constraints.gatekeeper.sh/v1beta1"
ROOT = {"kind": "Pod", "namespace": "harbor", "name": "core", "message": "container core: runAsUser is 0"}


def constraint(name: str, action: str = "dryrun", total: int = 0, seen: bool = True, *violations: Any) -> Any:
    status = {"totalViolations": total, "violations": list(violations)}
    return {
        "metadata": {"name": name},
        "spec": {"enforcementAction": action},
        "status": {**status, **({"auditTimestamp": "2026-11-27T12:00:00Z"} if seen else {})},
    }


class Cluster:
    """Constraints of one kind; None for a cluster that is not there, and no kind at all without any."""

    def __init__(self, constraints: list[Any] | None) -> None:
        self.constraints = constraints
        self.looks = 0

    def get(self, path: str) -> dict[str, Any]:
        assert path == GROUP
        if self.constraints is None:
            raise Unreachable("the API server cannot be reached")
        if not self.constraints:
            raise NotFound("there is no such group")
        return {"resources": [{"name": "nonroot", "kind": "NonRoot"}, {"name": "nonroot/status", "kind": "NonRoot"}]}

    def list(self, path: str) -> list[Any]:
        assert path == f"{GROUP}/nonroot"
        self.looks += 1
        return list(self.constraints or [])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def called(cluster: Cluster, check: bool = False, delivery: str = "direct", **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(policy_audit, "client_of", lambda *_arguments: cluster)
        monkeypatch.setattr(policy_audit.time, "sleep", lambda _seconds: None)
        variables = {
            "platform_release": trusted("2024.1"),
            "platform_delivery": trusted(delivery),
            "inventory_hostname": "localhost",
        }
        action = make_action("policy_audit", {"constraints": ["non-root"], **arguments}, **variables)
        action._task.check_mode = check
        return dict(action.run(task_vars=variables))

    return called


def test_without_violations_the_policies_may_be_enforced(run: Run) -> None:
    result = run(Cluster([constraint("non-root"), constraint("another", "dryrun", 1, True, ROOT)]))
    assert (result.get("failed"), result["changed"], result["violations"]) == (None, False, [])


def test_what_would_be_refused_is_named(run: Run) -> None:
    result = run(Cluster([constraint("non-root", "dryrun", 3, True, ROOT)]))
    assert result["failed"]
    assert result["msg"] == (
        "2 violation(s) of policies that are about to be enforced:\n"
        "  Pod harbor/core: [non-root] container core: runAsUser is 0\n"
        "  2 more: [non-root] the audit keeps no more of them"
        " - next: correct them, or exempt them with a reason (gatekeeper_exemptions, docs/gatekeeper.md)"
    )


def test_who_accepts_them_is_told(run: Run) -> None:
    result = run(Cluster([constraint("non-root", "dryrun", 1, True, ROOT)]), accept=True)
    assert not result.get("failed")
    assert "enforced all the same: 1 violation(s)" in result["warnings"][0]


def test_what_is_enforced_already_is_left_alone(run: Run) -> None:
    assert not run(Cluster([constraint("non-root", "deny", 1, True, ROOT)])).get("failed")


def test_the_audit_is_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([constraint("non-root", seen=False)])

    def sleep(_seconds: float) -> None:
        cluster.constraints = [constraint("non-root", "dryrun", 1, True, ROOT)]

    monkeypatch.setattr(policy_audit.time, "sleep", sleep)
    monkeypatch.setattr(policy_audit, "client_of", lambda *_arguments: cluster)
    variables = {"platform_release": trusted("2024.1"), "platform_delivery": trusted("direct")}
    action = make_action("policy_audit", {"constraints": ["non-root"]}, **variables)
    action._task.check_mode = False
    assert action.run(task_vars=variables)["failed"]
    assert cluster.looks == 2


def test_an_audit_that_never_looks_is_said(run: Run) -> None:
    result = run(Cluster([constraint("non-root", seen=False)]), timeout=0)
    assert result["failed"]
    assert "Gatekeeper's audit has not looked at NonRoot non-root" in result["msg"]
    assert result["next_step"] == "look at the log of gatekeeper-audit in gatekeeper-system"


def test_before_the_first_installation_there_is_nothing_to_look_at(run: Run) -> None:
    assert run(Cluster([]))["violations"] == []
    checked = run(Cluster(None), check=True)
    assert checked["skipped"]
    assert checked["msg"].startswith("deferred: cluster: ")
    assert run(Cluster(None))["failed"]
    assert not run(Cluster([constraint("non-root", seen=False)]), check=True).get("failed")


def test_a_rendered_tree_asks_no_cluster(run: Run) -> None:
    assert run(Cluster(None), delivery="render")["skipped"]
