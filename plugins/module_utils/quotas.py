# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each namespace may ask for: what its workloads declare, at their largest, within the environment's budget."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Resources, Workload

_CPU_STEP = 100  # thousandths
_MEMORY_STEP = 64 * 1024**2
_STORAGE_STEP = 1024**3
# What a ResourceQuota calls it, how much of what counts, and what it is rounded up to:
# https://kubernetes.io/docs/concepts/policy/resource-quotas/
_BUDGETED = {"requests.cpu": ("cpu", _CPU_STEP), "requests.memory": ("memory", _MEMORY_STEP)}


def quotas(
    declared: Iterable[Optional[Declaration]],
    namespaces: Sequence[str],
    hosts: Mapping[str, int],
    budget: Mapping[str, Any],
    headroom: int = 25,
    sidecar: Optional[Resources] = None,
    sidecar_limits: Optional[Resources] = None,
    mesh: Sequence[str] = (),
) -> Dict[str, Dict[str, str]]:
    """The `hard` of a ResourceQuota for each namespace.

    Between what its workloads ask for at their smallest and at their largest (with the headroom), each namespace gets
    the same share. The share is as large as the budget allows after everything else that is declared, and at most all.

    Args:
        declared: declarations of the enabled components; None for the others.
        namespaces: those that get a quota.
        hosts: how many hosts there are of each role of node.
        budget: `platform_budget`; what it does not name is not limited by it.
        headroom: per cent on top of the largest, for updates that start a pod before they stop one, and for jobs.
        sidecar, sidecar_limits: what the sidecar of a pod asks for, and may use.
        mesh: namespaces whose pods have one.
    """
    workloads = [workload for declaration in declared if declaration for workload in declaration.workloads]
    extra = {True: sidecar or Resources(), False: Resources()}
    most = {True: sidecar_limits or Resources(), False: Resources()}
    smallest: Dict[str, Resources] = {name: Resources() for name in namespaces}
    largest = dict(smallest)
    limits = dict(smallest)
    elsewhere = Resources()
    for workload in workloads:
        meshed = workload.namespace in mesh
        asked = _sum([workload.requests, extra[meshed] if workload.requests.pods else Resources()])
        few, many = _members(workload, hosts)
        if workload.namespace not in smallest:
            elsewhere = _sum([elsewhere, _times(asked, few)])
            continue
        name = workload.namespace
        smallest[name] = _sum([smallest[name], _times(asked, few)])
        largest[name] = _sum([largest[name], _times(asked, many)])
        memory = max(workload.limits.memory, workload.requests.memory) + most[meshed].memory
        limits[name] = _sum([limits[name], _times(Resources(memory=memory), many)])
    room = 1 + Fraction(headroom, 100)
    result: Dict[str, Dict[str, str]] = {name: {} for name in namespaces}
    for key, (resource, step) in _BUDGETED.items():
        low = {name: getattr(smallest[name], resource) for name in namespaces}
        high = {name: getattr(largest[name], resource) * room for name in namespaces}
        share = Fraction(1)
        if resource in budget:
            whole = {"cpu": quantities.cpu, "memory": quantities.size}[resource](budget[resource])
            left = whole - getattr(elsewhere, resource) - sum(low.values())
            wanted = sum(high[name] - low[name] for name in namespaces)
            share = min(share, max(Fraction(0), Fraction(left) / wanted)) if wanted else share
        for name in namespaces:
            # Down, so that the sum stays within the budget; never below what must run.
            given = int(low[name] + share * (high[name] - low[name])) // step * step
            result[name][key] = _show(resource, max(given, low[name]))
    for name in namespaces:
        storage = largest[name].storage + largest[name].disk
        result[name].update(
            {
                "limits.memory": _show("memory", _up(int(limits[name].memory * room), _MEMORY_STEP)),
                "requests.storage": _show("storage", _up(int(storage * room), _STORAGE_STEP)),
                # Jobs and pods of a rollout beside those that run.
                "pods": str(_up(int(largest[name].pods * room) + 10, 10)),
            }
        )
    return result


def _members(workload: Workload, hosts: Mapping[str, int]) -> List[int]:
    """How many there are at least and at most."""
    if workload.replicas is None:
        return [hosts.get(workload.nodes, 0)] * 2
    few = int(workload.hpa.get("min", workload.replicas)) if workload.hpa else workload.replicas
    return [few, max(few, int(workload.hpa.get("max", few)) if workload.hpa else few)]


def _sum(amounts: Iterable[Resources]) -> Resources:
    every = list(amounts)
    return Resources(**{item.name: sum(getattr(one, item.name) for one in every) for item in fields(Resources)})


def _times(amount: Resources, count: int) -> Resources:
    return Resources(**{item.name: getattr(amount, item.name) * count for item in fields(Resources)})


def _up(amount: int, step: int) -> int:
    return -(-amount // step) * step


def _show(resource: str, amount: int) -> str:
    """As Kubernetes writes it, so that what the API server answers is what was sent."""
    if resource == "cpu":
        return str(amount // 1000) if amount % 1000 == 0 else f"{amount}m"
    for power, unit in ((3, "Gi"), (2, "Mi"), (1, "Ki")):
        if amount and amount % 1024**power == 0:
            return f"{amount // 1024**power}{unit}"
    return str(amount)
