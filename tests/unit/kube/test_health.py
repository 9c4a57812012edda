# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate between two zones: nodes and disruption budgets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Connection
from ansible_collections.banking.platform.plugins.module_utils.kube.health import Health, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def node(name: str, ready: str = "True", version: str = "v1.29.15") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "message": "container runtime is down"}
    return {"metadata": {"name": name}, "status": {"conditions": [condition], "nodeInfo": {"kubeletVersion": version}}}


def budget(name: str, healthy: int, wanted: int, observed: int = 1) -> dict[str, Any]:
    status = {"currentHealthy": healthy, "desiredHealthy": wanted, "observedGeneration": observed}
    return {"metadata": {"namespace": "bank", "name": name, "generation": 1}, "status": status}


class Api(Client):
    """Says of nodes and budgets one thing after the other."""

    def __init__(self, nodes: list[dict[str, Any]], *budgets: list[dict[str, Any]]) -> None:
        super().__init__(lambda: Connection("http://127.0.0.1:1"))
        self.nodes, self.budgets = nodes, list(budgets)

    def list(self, path: str, *_arguments: Any, **_options: Any) -> Iterator[dict[str, Any]]:
        if path == "/api/v1/nodes":
            return iter(self.nodes)
        assert path == "/apis/policy/v1/poddisruptionbudgets"
        return iter(self.budgets.pop(0) if len(self.budgets) > 1 else self.budgets[0] if self.budgets else [])


def waited(api: Api, *nodes: str, **wish: Any) -> list[float]:
    """Wait; how long it took in pauses."""
    pauses: list[float] = []
    clock = iter(range(10_000))
    wish.setdefault("timeout", 60)
    Health(api, Wish(nodes, **wish), sleep=pauses.append, clock=lambda: float(next(clock))).wait()
    return pauses


def refused(api: Api, *nodes: str, **wish: Any) -> str:
    with pytest.raises(Failure) as failed:
        waited(api, *nodes, **{"timeout": 0, **wish})
    return failed.value.cause


def test_what_is_as_it_should_be_is_not_waited_for() -> None:
    api = Api([node("worker-a1"), node("worker-b1", ready="False")], [budget("api", 2, 2)])
    assert waited(api, "worker-a1", version="1.29.15", timeout=0) == []


def test_budgets_are_waited_for() -> None:
    api = Api([node("worker-a1")], [budget("api", 1, 2)], [budget("api", 2, 2, observed=0)], [budget("api", 2, 2)])
    assert len(waited(api, "worker-a1")) == 2


def test_everything_that_is_not_is_named_with_its_cause() -> None:
    api = Api(
        [node("worker-a1", ready="Unknown"), node("worker-a2", version="v1.28.15")],
        [budget("api", 1, 2), budget("db", 3, 3)],
    )
    cause = refused(api, "worker-a1", "worker-a2", "worker-a3", version="1.29.15")
    assert "node worker-a1 is not ready: container runtime is down" in cause
    assert "node worker-a2 runs the kubelet 1.28.15, not 1.29.15" in cause
    assert "node worker-a3 is not in the cluster" in cause
    assert "PodDisruptionBudget bank/api has 1 healthy pods, and 2 are the least" in cause
    assert "bank/db" not in cause
    assert cause.startswith("4 thing(s)")


def test_a_budget_that_is_known_to_be_broken_is_let_pass() -> None:
    api = Api([node("worker-a1")], [budget("api", 1, 2)])
    assert waited(api, "worker-a1", ignored_budgets=["bank/api"], timeout=0) == []
    assert waited(api, "worker-a1", budgets=False, timeout=0) == []
    assert "bank/api" in refused(api, "worker-a1", ignored_budgets=["api"])


def test_it_gives_up_at_the_deadline() -> None:
    assert "after 5 s" in refused(Api([node("worker-a1", ready="False")]), "worker-a1", timeout=5)
