# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether nodes and disruption budgets are as they should be: the gate between two zones of a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_PAUSE = 3.0


@dataclass
class Wish:
    """What has to be so.

    Attributes:
        nodes: names of nodes that are ready.
        version: of their kubelets, without a v; empty for any.
        budgets: whether all PodDisruptionBudgets have as many healthy pods as they ask for.
        ignored_budgets: those that need not, as namespace/name.
        timeout: seconds to wait for it.
    """

    nodes: Sequence[str]
    version: str = ""
    budgets: bool = True
    ignored_budgets: Sequence[str] = ()
    timeout: float = 600


class Health:
    """Nodes and budgets of one cluster. Changes nothing."""

    def __init__(
        self,
        client: Client,
        wish: Wish,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._wish = client, wish
        self._sleep, self._clock = sleep, clock

    def pending(self) -> list[str]:
        """What is not as it should be, a line each."""
        known = {node["metadata"]["name"]: node for node in self._client.list("/api/v1/nodes")}
        lines = [line for name in self._wish.nodes for line in _node(name, known.get(name), self._wish.version)]
        if self._wish.budgets:
            for budget in self._client.list("/apis/policy/v1/poddisruptionbudgets"):
                name = f"{budget['metadata']['namespace']}/{budget['metadata']['name']}"
                why = _budget(budget)
                if why and name not in self._wish.ignored_budgets:
                    lines.append(f"PodDisruptionBudget {name} {why}")
        return lines

    def wait(self) -> None:
        """Until nothing is pending.

        Raises:
            Failure: at the deadline, with every line.
        """
        deadline = self._clock() + self._wish.timeout
        while lines := self.pending():
            if self._clock() + _PAUSE > deadline:
                after = f" after {self._wish.timeout:g} s" if self._wish.timeout else ""
                raise Failure(
                    f"{len(lines)} thing(s) are not as they should be{after}:\n"
                    + "\n".join(f"  {each}" for each in lines),
                    "mend them and run again; what is done already is not done twice",
                )
            self._sleep(_PAUSE)


def _node(name: str, node: Mapping[str, Any] | None, version: str) -> list[str]:
    if node is None:
        return [f"node {name} is not in the cluster"]
    status = node.get("status") or {}
    ready: Mapping[str, Any] = next((entry for entry in status.get("conditions") or () if entry["type"] == "Ready"), {})
    if ready.get("status") != "True":
        since = f" since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
        return [f"node {name} is not ready{since}: {ready.get('message') or 'its kubelet has said nothing yet'}"]
    runs = str((status.get("nodeInfo") or {}).get("kubeletVersion") or "").lstrip("v")
    return [f"node {name} runs the kubelet {runs}, not {version}"] if version and runs != version else []


def _budget(budget: Mapping[str, Any]) -> str:
    status = budget.get("status") or {}
    if (status.get("observedGeneration") or 0) < (budget["metadata"].get("generation") or 0):
        return "was not looked at by its controller yet"
    healthy, wanted = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    return f"has {healthy} healthy pods, and {wanted} are the least" if healthy < wanted else ""
