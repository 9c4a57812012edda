# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of policies, each with its own examples: what passes, what does not, and what is said then."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.gatekeeper import Gatekeeper
from ansible_collections.banking.platform.tools.suites import CLONE

LIBRARY = CLONE / "roles" / "gatekeeper" / "files" / "policies"
NAMES = sorted(path.parent.name for path in LIBRARY.glob("*/policy.yml"))
NAMESPACE = "banking-system"
LISTS = ("containers", "initContainers", "ephemeralContainers")
# What ephemeral containers, or those that prepare a pod, cannot have.
FOR_SOME = {"containerresources": LISTS[:2], "containerprobes": LISTS[:1]}
DIGEST = "sha256:" + "0" * 64


def read(name: str, file: str) -> Any:
    return yaml.safe_load((LIBRARY / name / file).read_text())


@cache
def library() -> Gatekeeper:
    """The policies as ConstraintTemplates have them."""
    lib = (LIBRARY / "lib.rego").read_text()
    return Gatekeeper(
        {
            "apiVersion": "templates.gatekeeper.sh/v1",
            "kind": "ConstraintTemplate",
            "metadata": {"name": name},
            "spec": {
                "crd": {"spec": {"names": {"kind": read(name, "policy.yml")["kind"]}}},
                "targets": [{"rego": (LIBRARY / name / "policy.rego").read_text(), "libs": [lib]}],
            },
        }
        for name in NAMES
    )


def messages(name: str, item: Any, parameters: Any, **more: Any) -> list[str]:
    return library().messages(read(name, "policy.yml")["kind"], item, parameters, **more)


def object_of(example: Any) -> Any:
    """The object of an example; `pod` is only what differs from one example to the next."""
    if "object" in example:
        return copy.deepcopy(example["object"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "example", "namespace": NAMESPACE, "labels": example.get("labels", {})},
        "spec": copy.deepcopy(example["pod"]),
    }


def about_containers(example: Any) -> bool:
    return any(said.startswith("container ") for said in example["says"])


def about_pods(example: Any) -> bool:
    return "pod" in example


def examples(kind: str, which: Callable[[Any], bool] = bool) -> list[Any]:
    return [
        pytest.param(name, example, said.get("parameters", {}), id=f"{name}: {example['what']}")
        for name in NAMES
        for said in [read(name, "examples.yml")]
        for example in said[kind]
        if which(example)
    ]


def containers_of(item: Any) -> Iterator[tuple[str, Any]]:
    for part in LISTS if item["kind"] == "Pod" else ():
        yield from ((part, container) for container in item["spec"].get(part, ()))


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_a_whole_folder(name: str) -> None:
    policy = read(name, "policy.yml")
    assert set(policy) <= {"kind", "purpose", "kinds", "required", "parameters"}
    assert policy["kind"].lower() == name
    assert sorted(path.name for path in (LIBRARY / name).iterdir()) == ["examples.yml", "policy.rego", "policy.yml"]
    assert set(policy.get("required", ())) <= set(policy.get("parameters", ()))
    assert (LIBRARY / name / "policy.rego").read_text().startswith(f"package {name}\n")
    said = read(name, "examples.yml")
    assert said["passes"]
    assert said["fails"]


@pytest.mark.parametrize(("name", "example", "parameters"), examples("passes"))
def test_it_passes(name: str, example: Any, parameters: Any) -> None:
    assert messages(name, object_of(example), parameters) == []


@pytest.mark.parametrize(("name", "example", "parameters"), examples("fails"))
def test_it_is_refused_and_the_reason_is_said(name: str, example: Any, parameters: Any) -> None:
    assert messages(name, object_of(example), parameters) == sorted(example["says"])


@pytest.mark.parametrize(("name", "example", "parameters"), examples("fails", about_containers))
def test_no_list_of_containers_is_a_way_around(name: str, example: Any, parameters: Any) -> None:
    item = object_of(example)
    found = [container for _part, container in containers_of(item)]
    for part in FOR_SOME.get(name, LISTS):
        moved = copy.deepcopy(item)
        moved["spec"] = {key: value for key, value in moved["spec"].items() if key not in LISTS} | {part: found}
        assert messages(name, moved, parameters) == sorted(example["says"]), part


@pytest.mark.parametrize(("name", "example", "parameters"), examples("fails"))
def test_an_exemption_holds_for_what_it_names_alone(name: str, example: Any, parameters: Any) -> None:
    item = object_of(example)
    own = {"reason": "an example", "namespaces": [item["metadata"].get("namespace", "")]}
    labelled = copy.deepcopy(item)
    labelled["metadata"].setdefault("labels", {})["of"] = "us"

    def said(which: Any, about: Any = item) -> list[str]:
        return messages(name, about, {**parameters, "exemptions": [which]})

    assert said(own) == []
    assert said({**own, "namespaces": [f"{own['namespaces'][0][:3]}*"]}) == []
    assert said({**own, "names": [item["metadata"]["name"]]}) == []
    assert said({**own, "labels": {"of": "us"}}, labelled) == []
    everything = sorted(example["says"])
    elsewhere: list[Any] = [
        {"namespaces": ["elsewhere"]},
        {"namespaces": ["elsewhere*"]},
        {"namespaces": [f"{own['namespaces'][0]}s", "b"]},
        {"names": ["another"]},
        {"labels": {"of": "them"}},
        {"containers": ["another"]},
        {"images": ["docker.io/another"]},
    ]
    for narrower in elsewhere:
        assert said({**own, **narrower}, labelled) == everything, narrower


def test_a_container_is_exempted_by_its_name_and_its_image() -> None:
    pod = {"containers": [{"name": "app", "image": "a/x:1"}, {"name": "proxy", "image": "docker.io/istio/proxyv2:1"}]}
    item = object_of({"pod": pod})
    exemption: dict[str, Any] = {"reason": "an example", "namespaces": [NAMESPACE], "containers": ["proxy"]}
    exemption["images"] = ["docker.io/istio/proxyv2"]
    own = "container app: readOnlyRootFilesystem is not true: mount a volume where it writes"
    assert messages("readonlyroot", item, {"exemptions": [exemption]}) == [own]
    pod["containers"].append({"name": "other", "image": "docker.io/istio/proxyv2:1"})
    assert len(messages("readonlyroot", object_of({"pod": pod}), {"exemptions": [exemption]})) == 2
    pod["containers"] = [pod["containers"][0], {"name": "proxy", "image": "docker.io/somebody/proxyv2:1"}]
    assert len(messages("readonlyroot", object_of({"pod": pod}), {"exemptions": [exemption]})) == 2


@pytest.mark.parametrize(("name", "example", "parameters"), examples("fails", about_pods))
def test_a_pod_that_was_there_before_may_be_labelled(name: str, example: Any, parameters: Any) -> None:
    item = object_of(example)
    assert messages(name, item, parameters, operation="UPDATE", oldObject=item) == []


def test_a_container_that_is_added_or_changed_is_judged() -> None:
    old = object_of({"pod": {"containers": [{"name": "app", "image": "nginx"}]}})
    debugged = copy.deepcopy(old)
    debugged["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    assert messages("imagetags", debugged, {"moving": []}, operation="UPDATE", oldObject=old) == [
        "container debug: image busybox has neither tag nor digest"
    ]
    changed = copy.deepcopy(old)
    changed["spec"]["containers"][0]["image"] = "apache"
    assert messages("imagetags", changed, {"moving": []}, operation="UPDATE", oldObject=old) == [
        "container app: image apache has neither tag nor digest"
    ]


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.27", "docker.io/library/nginx"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("goharbor/core:v2", "docker.io/goharbor/core"),
        ("index.docker.io/goharbor/core", "docker.io/goharbor/core"),
        ("localhost/a:1", "localhost/a"),
        (f"registry:5000/a/b:1@{DIGEST}", "registry:5000/a/b"),
        ("registry:5000/b", "registry:5000/b"),
        ("index.harbor.bank/a:1", "index.harbor.bank/a"),
        ("HARBOR.bank/a", "harbor.bank/a"),
    ],
)
def test_an_image_is_known_by_the_name_that_it_is_pulled_by(image: str, repository: str) -> None:
    item = object_of({"pod": {"containers": [{"name": "app", "image": image}]}})
    assert messages("allowedimagerepos", item, {"repos": [repository]}) == []
    assert len(messages("allowedimagerepos", item, {"repos": [f"{repository}s", f"of/{repository}"]})) == 1


def test_the_library_says_why_each_policy_is_there() -> None:
    assert all(read(name, "policy.yml")["purpose"].endswith(".") for name in NAMES)
    assert Path(LIBRARY / "lib.rego").is_file()
