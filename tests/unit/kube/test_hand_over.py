# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are handed over to ArgoCD, at the client's boundary. A server: tests/integration/kube/test_argocd.py."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Forbidden
from ansible_collections.banking.platform.plugins.module_utils.kube.hand_over import HandOver
from ansible_collections.banking.platform.plugins.module_utils.plan import PlanFailed
from ansible_collections.banking.platform.tests.unit.kube.test_apply_engine import Memory, made, run

TO = "argocd-controller"
PATH = "/api/v1/namespaces/n/configmaps"


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    run(memory, *objects())
    return memory


def objects() -> list[dict[str, Any]]:
    return [made("Namespace", "n"), made("ConfigMap", "a", data={"k": "v"}), made("ConfigMap", "b", data={"k": "v"})]


def hand_over(
    memory: Memory, *items: Any, check: bool = False, diff: bool = False, component: str = "c"
) -> dict[str, Any]:
    memory.log.clear()
    wish = Wish(component, items, "handed_over", hand_over_to=TO)
    applying = HandOver(memory, wish, check, diff)
    applying.run()
    return applying.result()


def without_managers(memory: Memory) -> dict[str, Any]:
    found = copy.deepcopy(memory.objects)
    for item in found.values():
        for name in ("managedFields", "resourceVersion"):
            item["metadata"].pop(name, None)
    return found


def managers(memory: Memory, name: str) -> set[str]:
    return {entry["manager"] for entry in memory.objects[f"{PATH}/{name}"]["metadata"]["managedFields"]}


def test_the_other_owns_what_was_ours_and_nothing_else_changes(memory: Memory) -> None:
    before = without_managers(memory)
    owned = memory.objects[f"{PATH}/a"]["metadata"]["managedFields"][0]["fieldsV1"]
    planned = hand_over(memory, *objects(), check=True, diff=True)
    assert [step["target"] for step in planned["plan"]] == ["n", "n/a", "n/b"]
    assert planned["diff"][0]["after"] == "manager: argocd-controller\n"
    assert managers(memory, "a") == {"banking.platform"}
    done = hand_over(memory, *objects())
    assert (done["changed"], done["counts"]) == (True, {"update": 3})
    assert done["plan"][1]["after"] == {"manager": TO}
    assert without_managers(memory) == before
    (entry,) = memory.objects[f"{PATH}/a"]["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["fieldsV1"]) == (TO, "Apply", owned)
    again = hand_over(memory, *objects())
    assert (again["changed"], again["counts"], memory.writes()) == (False, {"none": 3}, [])


def test_what_is_not_listed_not_there_or_only_created_stays_ours(memory: Memory) -> None:
    once = made("ConfigMap", "b", data={"k": "v"})
    once["metadata"]["annotations"] = {"platform.banking/create-only": "true"}
    done = hand_over(memory, once, made("ConfigMap", "nowhere"), made("ConfigMap", "a"))
    assert done["counts"] == {"none": 2, "update": 1}
    assert [managers(memory, name) for name in "ab"] == [{TO}, {"banking.platform"}]


def test_a_component_that_was_never_applied_costs_a_look_at_its_inventory(memory: Memory) -> None:
    assert not hand_over(memory, *objects(), component="other")["changed"]
    assert not [line for line in memory.log if line.startswith("LIST")]


def test_an_object_that_changes_meanwhile_is_read_again(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    real = memory.json_patch
    refused: list[str] = []

    def once(path: str, operations: Any, dry_run: bool = False) -> dict[str, Any]:
        if not refused:
            refused.append(path)
            memory.objects[path]["metadata"]["resourceVersion"] = "2"
        return real(path, operations, dry_run)

    monkeypatch.setattr(memory, "json_patch", once)
    assert hand_over(memory, made("ConfigMap", "a"))["changed"]
    assert managers(memory, "a") == {TO}


def test_a_failure_names_what_is_left(memory: Memory) -> None:
    memory.broken[f"{PATH}/b"] = Forbidden("ops has no right to patch configmaps", "bind it a role")
    wish = Wish("c", objects(), "handed_over", hand_over_to=TO)
    applying = HandOver(memory, wish)
    with pytest.raises(PlanFailed, match="v1 ConfigMap n/b: ops has no right"):
        applying.run()
    states = {step.target: step.state for step in applying.plan.steps}
    assert states == {"n": "done", "n/a": "done", "n/b": "failed"}


def test_without_a_cluster_all_of_it_is_deferred() -> None:
    applying = HandOver(None, Wish("c", objects(), "handed_over", hand_over_to=TO), check=True)
    applying.run()
    assert applying.result()["deferred"] == ["Namespace n: cluster", "ConfigMap n/a: cluster", "ConfigMap n/b: cluster"]


def entry(manager: str, operation: str, owned: Any, version: str = "v1", **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "apiVersion": version, "fieldsV1": owned, **more}


def given_away(*entries: Any) -> Any:
    return fields.handed_over({"metadata": {"managedFields": list(entries)}}, TO)


def test_what_both_own_is_united() -> None:
    theirs = entry(TO, "Apply", {"f:data": {"f:k": {}}, "f:spec": {"f:list": {}}})
    ours = entry("banking.platform", "Apply", {"f:data": {"f:k": {}, "f:m": {}}, "f:spec": {"f:list": {"v:1": {}}}})
    by_hand = entry("banking.platform", "Update", {"f:data": {"f:n": {}}})
    other = entry("kubectl-edit", "Update", {"f:data": {"f:x": {}}})
    status = entry("banking.platform", "Update", {"f:status": {}}, subresource="status")
    found = given_away(other, ours, theirs, by_hand, status)
    assert found == [
        entry(
            TO,
            "Apply",
            {"f:data": {"f:k": {}, "f:m": {}, "f:n": {}}, "f:spec": {"f:list": {".": {}, "v:1": {}}}},
        ),
        other,
        status,
    ]
    assert given_away(other, theirs) is None


def test_fields_of_another_version_are_left_to_nobody() -> None:
    theirs, ours = entry(TO, "Apply", {"f:a": {}}, "v1"), entry("banking.platform", "Apply", {"f:old": {}}, "v1beta1")
    assert given_away(theirs, ours) == [theirs]


# What another manager owns


@pytest.mark.parametrize(("owner", "taken"), [(TO, True), ("keda-operator", False)])
def test_fields_are_taken_from_named_managers_only(memory: Memory, owner: str, taken: bool) -> None:
    memory.objects[f"{PATH}/a"]["theirs"] = {owner: ".data.k"}
    changed = made("ConfigMap", "a", data={"k": "w"})
    if not taken:
        with pytest.raises(PlanFailed, match=r"keda-operator owns \.data\.k"):
            run(memory, changed, prune=False, take_over_from=[TO])
        return
    with pytest.raises(PlanFailed, match="argocd-controller owns"):
        run(memory, changed, prune=False)
    done = run(memory, changed, prune=False, take_over_from=[TO])
    assert done["plan"][0]["note"] == "taken over: .data.k changed by argocd-controller"
