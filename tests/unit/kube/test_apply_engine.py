# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine at the client's boundary: a server in memory that knows applying, ownership and conflicts a little.

What a real server does is in tests/integration/kube.
"""

from __future__ import annotations

import builtins
import copy
import itertools
from collections.abc import Iterator
from typing import Any  # List: the client has a method of the name `list`

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import apply as engine
from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    Client,
    Conflict,
    Connection,
    NotFound,
    Unreachable,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, PlanFailed

# Kind: version, plural, whether it is in a namespace.
KINDS = {
    "Namespace": ("v1", "namespaces", False),
    "ConfigMap": ("v1", "configmaps", True),
    "Secret": ("v1", "secrets", True),
    "Deployment": ("apps/v1", "deployments", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "ValidatingWebhookConfiguration": (
        "admissionregistration.k8s.io/v1",
        "validatingwebhookconfigurations",
        False,
    ),
}


def owned(body: Any) -> dict[str, Any]:
    return {f"f:{key}": owned(value) if isinstance(value, dict) else {} for key, value in body.items()}


class Memory(Client):
    """A client whose server is a dictionary."""

    def __init__(self) -> None:
        super().__init__(lambda: Connection("http://memory"), parallel=1)
        self.objects: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.numbers = itertools.count(1)
        self.broken: dict[str, Failure] = {}

    def get(self, path: str, accept: str = "") -> dict[str, Any]:
        self.log.append(f"GET {path}")
        if path in ("/api", "/apis"):
            core = path == "/api"
            return {"kind": "APIGroupDiscoveryList", "items": list(self._groups(core))}
        if path not in self.objects:
            raise NotFound(f"{path} not found", status=404)
        return copy.deepcopy(self.objects[path])

    def _groups(self, core: bool) -> Iterator[dict[str, Any]]:
        for kind, (version, plural, namespaced) in KINDS.items():
            group, _slash, name = version.rpartition("/")
            if bool(group) != core:
                found = {
                    "resource": plural,
                    "responseKind": {"kind": kind},
                    "scope": "Namespaced" if namespaced else "Cluster",
                }
                versions = [{"version": name, "resources": [found]}]
                yield {"metadata": {"name": group} if group else {}, "versions": versions}

    def list(self, path: str, labels: str = "", *args: Any, **kwargs: Any) -> Iterator[dict[str, Any]]:
        self.log.append(f"LIST {path} {labels}")
        plural = path.rpartition("/")[2]
        for where, item in list(self.objects.items()):
            mine = item["metadata"].get("labels", {}).get("platform.banking/component")
            name, _equals, value = labels.partition("=")
            fits = mine == value if not name.endswith("!") else mine not in (None, value)
            if where.rpartition("/")[0].endswith(f"/{plural}") and where.startswith(path.rpartition("/")[0]) and fits:
                yield copy.deepcopy(item)

    def apply(self, path: str, body: Any, *, force: bool = False, dry_run: bool = False) -> tuple[bool, dict[str, Any]]:
        self.log.append(f"{'DRY ' if dry_run else ''}PATCH {path}")
        if path in self.broken:
            raise self.broken[path]
        new = path not in self.objects
        made = copy.deepcopy(dict(body))
        made["metadata"]["uid"] = str(next(self.numbers))
        others = self.objects.get(path, {}).get("theirs", {})
        if others and not force:
            causes = [
                {"reason": "FieldManagerConflict", "message": f'conflict with "{name}" using v1', "field": field}
                for name, field in others.items()
            ]
            raise Conflict("Apply failed", status=409, reason="Conflict", body={"details": {"causes": causes}})
        fields = {"f:metadata": owned(made["metadata"]), **owned({k: v for k, v in made.items() if k != "metadata"})}
        made["metadata"]["managedFields"] = [
            {"manager": "banking.platform", "operation": "Apply", "fieldsV1": fields},
        ]
        if made["kind"] == "CustomResourceDefinition":
            made["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
        if not dry_run:
            self.objects[path] = made
        return new, copy.deepcopy(made)

    def json_patch(self, path: str, operations: Any, dry_run: bool = False) -> dict[str, Any]:
        self.log.append(f"{'DRY ' if dry_run else ''}PATCH {path}")
        if path in self.broken:
            raise self.broken[path]
        made = copy.deepcopy(self.objects[path])
        for operation in operations:
            top, _slash, name = operation["path"].rpartition("/")
            assert (operation["op"], top) == ("replace", "/metadata")
            if name == "resourceVersion" and operation["value"] != made["metadata"].get(name, ""):
                raise Conflict("the object has been modified", status=409, reason="Conflict")
            made["metadata"][name] = operation["value"]
        if not dry_run:
            self.objects[path] = made
        return made

    def delete(self, path: str, uid: str = "", dry_run: bool = False, propagation: str = "") -> bool:
        self.log.append(f"{'DRY ' if dry_run else ''}DELETE {path}")
        if not dry_run:
            self.objects.pop(path, None)
        return True

    def writes(self) -> builtins.list[str]:
        found = [line for line in self.log if "PATCH" in line or "DELETE" in line]
        return [line for line in found if "platform-inventory" not in line]


@pytest.fixture
def memory() -> Memory:
    return Memory()


def made(kind: str, name: str, **more: Any) -> dict[str, Any]:
    version, _plural, namespaced = KINDS[kind]
    meta = {"name": name, **({"namespace": "n"} if namespaced else {})}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **more}


def run(memory: Memory, *objects: Any, check: bool = False, **wish: Any) -> dict[str, Any]:
    memory.log.clear()
    applying = Apply(memory, Wish(wish.pop("component", "c"), objects, **wish), check, sleep=lambda seconds: None)
    applying.run()
    return applying.result()


def test_order_is_by_kind_and_webhooks_come_last(memory: Memory) -> None:
    kinds = ["ValidatingWebhookConfiguration", "Deployment", "ConfigMap", "CustomResourceDefinition", "Namespace"]
    run(memory, *(made(kind, "n") for kind in kinds))
    order = [line.split("/")[-2] for line in memory.writes()]
    assert sorted(order[:2]) == ["customresourcedefinitions", "namespaces"]
    assert order[2:] == ["configmaps", "deployments", "validatingwebhookconfigurations"]


AVAILABLE = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def in_wave(item: dict[str, Any], wave: str) -> dict[str, Any]:
    item["metadata"]["annotations"] = {"argocd.argoproj.io/sync-wave": wave}
    return item


def test_sub_waves_go_before_kinds_but_not_before_namespaces_and_crds(memory: Memory) -> None:
    run(
        memory,
        in_wave(made("ConfigMap", "last"), "5"),
        made("ConfigMap", "middle"),
        in_wave(made("ValidatingWebhookConfiguration", "first"), "-1000"),
        in_wave(made("Namespace", "n"), "7"),
    )
    assert [line.rpartition("/")[2] for line in memory.writes()] == ["n", "first", "middle", "last"]


def test_a_sub_wave_waits_for_the_one_before_it(memory: Memory) -> None:
    web, config = made("Deployment", "web", spec={"replicas": 1}), in_wave(made("ConfigMap", "after"), "1")
    with pytest.raises(PlanFailed, match="not ready in time"):
        run(memory, web, config, timeout=-1)
    assert [line.rpartition("/")[2] for line in memory.writes()] == ["web"]
    # As it was left: nothing of the first sub-wave is to be done any more, and it still is not ready.
    with pytest.raises(PlanFailed, match="not ready in time"):
        run(memory, web, config, timeout=-1)
    assert memory.writes() == []
    live = memory.objects["/apis/apps/v1/namespaces/n/deployments/web"]
    live["status"] = AVAILABLE
    assert run(memory, web, config, timeout=-1)["counts"] == {"none": 1, "create": 1}
    assert run(memory, web, config, timeout=-1)["counts"] == {"none": 2}


def test_what_a_sub_wave_waits_for_is_said_now_and_then(memory: Memory) -> None:
    web, config = made("Deployment", "web", spec={"replicas": 1}), in_wave(made("ConfigMap", "after"), "1")
    now, said = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    wish = Wish("c", [web, config], timeout=60)
    applying = Apply(
        memory, wish, sleep=sleep, clock=lambda: now[0], report=lambda pending, left: said.append((pending, left))
    )
    with pytest.raises(PlanFailed, match="not ready in time"):
        applying.run()
    assert [pending for pending, _left in said] == [["Deployment n/web: its controller has not seen it yet"]] * 2
    assert [round(left) in range(lowest, lowest + 4) for (_pending, left), lowest in zip(said, (37, 14), strict=True)]


def test_a_sub_wave_is_a_number(memory: Memory) -> None:
    with pytest.raises(Failure, match="sync-wave is 'first'"):
        run(memory, in_wave(made("ConfigMap", "a"), "first"))


def test_what_is_there_of_a_component_can_be_waited_for(memory: Memory) -> None:
    run(memory, made("Deployment", "web", spec={"replicas": 1}), made("ConfigMap", "a"))
    copied = copy.deepcopy(memory.objects["/apis/apps/v1/namespaces/n/deployments/web"])
    copied["metadata"] |= {"name": "copied", "annotations": {}}
    memory.objects["/apis/apps/v1/namespaces/n/deployments/copied"] = copied
    waiting = Apply(memory, Wish("c", state="ready", wait=True, timeout=-1), sleep=lambda seconds: None)
    with pytest.raises(Failure, match=r"1 object\(s\) not ready in time:\n.*web"):
        waiting.only_wait()
    memory.objects["/apis/apps/v1/namespaces/n/deployments/web"]["status"] = AVAILABLE
    memory.log.clear()
    Apply(memory, Wish("c", state="ready", wait=True, timeout=-1), sleep=lambda seconds: None).only_wait()
    assert memory.writes() == []


def test_a_second_run_writes_nothing(memory: Memory) -> None:
    objects = (made("ConfigMap", "a", data={"k": "v"}), made("Secret", "s", data={"p": "eA=="}))
    assert run(memory, *objects)["counts"] == {"create": 2}
    result = run(memory, *objects)
    assert not result["changed"]
    assert memory.writes() == []
    # One LIST a kind, by the label: never all Secrets.
    assert [line for line in memory.log if "secrets" in line] == [
        "LIST /api/v1/namespaces/n/secrets platform.banking/component=c"
    ]


def test_a_field_that_we_lost_is_applied_again(memory: Memory) -> None:
    run(memory, made("ConfigMap", "a", data={"k": "v"}))
    path = "/api/v1/namespaces/n/configmaps/a"
    del memory.objects[path]["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
    memory.objects[path]["data"] = {"k": "other"}
    result = run(memory, made("ConfigMap", "a", data={"k": "v"}))
    assert result["plan"][0]["before"] == {"data.k": "other"}
    assert result["plan"][0]["after"] == {"data.k": "v"}
    assert memory.writes() == [f"PATCH {path}"]


@pytest.mark.parametrize(("manager", "put_back"), [("kubectl-edit", True), ("keda-operator", False), ("argocd", False)])
def test_who_changed_it_decides(memory: Memory, manager: str, put_back: bool) -> None:
    run(memory, made("ConfigMap", "a", data={"k": "v"}))
    live = memory.objects["/api/v1/namespaces/n/configmaps/a"]
    live["theirs"] = {manager: ".data.k"}
    live["data"] = {"k": "other"}
    live["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] = {"f:x": {}}
    live["metadata"]["managedFields"].append({"manager": manager, "operation": "Update"})
    if put_back:
        assert "changed by kubectl-edit" in run(memory, made("ConfigMap", "a", data={"k": "v"}))["plan"][0]["note"]
        return
    with pytest.raises(PlanFailed, match=rf"{manager} owns .data.k"):
        run(memory, made("ConfigMap", "a", data={"k": "v"}))
    assert run(memory, made("ConfigMap", "a", data={"k": "v"}), take_over=True)["changed"]


def test_check_mode_writes_nothing_not_even_the_inventory(memory: Memory) -> None:
    run(memory, made("ConfigMap", "a"), made("ConfigMap", "b"))
    result = run(memory, made("ConfigMap", "a", data={"k": "v"}), made("ConfigMap", "c"), check=True)
    assert result["counts"] == {"update": 1, "create": 1, "delete": 1}
    assert all(line.startswith("DRY") for line in memory.log if "PATCH" in line or "DELETE" in line)


@pytest.mark.parametrize("kind", ["Namespace", "CustomResourceDefinition"])
def test_what_holds_others_data_is_kept(memory: Memory, kind: str) -> None:
    run(memory, made(kind, "precious"), made("ConfigMap", "a"))
    kept = run(memory, made("ConfigMap", "a"))
    assert kept["plan"][0]["note"] == "no longer wanted, kept: prune_protected is not set"
    assert memory.writes() == []
    gone = run(memory, made("ConfigMap", "a"), prune_protected=True)
    assert [step["action"] for step in gone["plan"]] == ["delete"]


def test_a_kind_that_the_component_no_longer_has_is_still_looked_for(memory: Memory) -> None:
    run(memory, made("ConfigMap", "a"), made("Secret", "s"))
    result = run(memory, made("ConfigMap", "a"))
    assert [(step["kind"], step["action"]) for step in result["plan"]] == [("Secret", "delete")]
    assert not any("secrets" in line for line in run(memory, made("ConfigMap", "a")) and memory.log)


def test_failures_of_one_rank_are_all_told_and_stop_the_next(memory: Memory) -> None:
    for name in ("a", "b"):
        memory.broken[f"/api/v1/namespaces/n/configmaps/{name}"] = Failure("quota exceeded", "raise it")
    applying = Apply(memory, Wish("c", [made("ConfigMap", n) for n in "abc"] + [made("Deployment", "d")]))
    with pytest.raises(PlanFailed) as failed:
        applying.run()
    assert failed.value.cause == "v1 ConfigMap n/a, v1 ConfigMap n/b: quota exceeded"
    assert failed.value.next_step == "raise it"
    states = {step.target: step.state for step in applying.plan.steps}
    assert states == {"n/a": "failed", "n/b": "failed", "n/c": "done", "n/d": "not done"}
    assert applying.plan.changed


def test_without_a_cluster_everything_is_deferred() -> None:
    applying = Apply(None, Wish("c", [made("ConfigMap", "a")]), check=True)
    applying.run()
    assert applying.result()["deferred"] == ["ConfigMap n/a: cluster"]


def test_an_unreachable_server_is_not_swallowed(memory: Memory) -> None:
    memory.broken["/api/v1/namespaces/n/configmaps/a"] = Unreachable("gone")
    with pytest.raises(Unreachable):
        run(memory, made("ConfigMap", "a"), made("ConfigMap", "b"))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (["text"], "'text' is no object"),
        ([{"kind": "A", "metadata": {"name": "a"}}], "apiVersion is missing"),
        ([{"apiVersion": "v1", "kind": "A", "metadata": {}}], "metadata.name is missing"),
        ([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}], "has no namespace"),
        ([made("ConfigMap", "a"), {"kind": "List", "items": [made("ConfigMap", "a")]}], "is there twice"),
    ],
)
def test_unusable_objects_are_refused_before_anything_is_done(memory: Memory, objects: Any, message: str) -> None:
    with pytest.raises(Failure, match=message):
        run(memory, *objects)
    assert not memory.writes()


def test_a_namespace_on_an_object_of_the_cluster_is_dropped(memory: Memory) -> None:
    stray = made("Namespace", "x")
    stray["metadata"]["namespace"] = "n"
    run(memory, stray)
    assert "namespace" not in memory.objects["/api/v1/namespaces/x"]["metadata"]


def test_every_kind_has_one_rank() -> None:
    kinds = [kind for line in engine._ORDER for kind in line]
    assert len(kinds) == len(set(kinds))
