# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Gatekeeper would say to objects: its templates' Rego evaluated, its matching and its expansion done over.

The Rego runs as it is delivered, in regorus. Which constraint is about which object and what a workload is expanded to
follows the words of Gatekeeper's documentation and source (v3.17.2 and v3.23.0: pkg/mutation/match/match.go,
pkg/expansion/system.go, pkg/webhook/policy.go), as far as the platform uses it; anything else is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regorus

TEMPLATES, CONSTRAINTS, EXPANSIONS = (f"{group}.gatekeeper.sh" for group in ("templates", "constraints", "expansion"))
Object = Mapping[str, Any]
_MATCH = {"kinds", "namespaces", "excludedNamespaces"}


def group_of(item: Object) -> str:
    """The API group of an object."""
    return str(item["apiVersion"].rpartition("/")[0])


def namespace_of(item: Object) -> str:
    """The namespace of an object; empty for one of the cluster."""
    return str(item["metadata"].get("namespace") or "")


@dataclass(frozen=True)
class Violation:
    """What a constraint has against an object.

    Attributes:
        constraint: its name.
        policy: the name of its template.
        action: its enforcementAction.
        subject: `Deployment harbor/harbor-core`, the object that was delivered.
        message: of the policy.
    """

    constraint: str
    policy: str
    action: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject}: [{self.constraint}] {self.message}"


def engine(rego: str, libs: Sequence[str] = ()) -> Any:
    """An evaluator of a template's modules. Raises what regorus raises where they are not Rego, version 0."""
    made = regorus.Engine()
    made.set_rego_v0(True)
    for place, text in enumerate(libs):
        made.add_policy(f"lib_{place}.rego", text)
    made.add_policy("policy.rego", rego)
    return made


class Gatekeeper:
    """Templates, constraints and expansions as they are delivered.

    Args:
        objects: among others, Gatekeeper's own; of two constraints of one name the last one counts.
    """

    def __init__(self, objects: Iterable[Object]) -> None:
        self.templates: dict[str, Object] = {}
        self.constraints: dict[str, Object] = {}
        self.expansions: list[Object] = []
        for item in objects:
            if group_of(item) == TEMPLATES:
                self.templates[item["spec"]["crd"]["spec"]["names"]["kind"]] = item
            elif group_of(item) == CONSTRAINTS:
                self.constraints[item["metadata"]["name"]] = item
            elif group_of(item) == EXPANSIONS:
                self.expansions.append(item)
        self._engines: dict[str, Any] = {}

    # One review

    def review(self, item: Object, constraints: Iterable[Object] | None = None, **more: Any) -> Iterator[Violation]:
        """What constraints have against an object and against the pods that would be made of it.

        Args:
            item: the object.
            constraints: by default all.
            more: of the review: `oldObject`, `operation`.
        """
        chosen = list(self.constraints.values() if constraints is None else constraints)
        subject = "/".join(filter(None, (namespace_of(item), item["metadata"]["name"])))
        for about, review in ((item, more), *((pod, {}) for pod in self.expanded(item))):
            for constraint in chosen:
                if matches(constraint, about):
                    policy = constraint["kind"].lower()
                    action = constraint["spec"].get("enforcementAction", "deny")
                    for message in self.messages(constraint["kind"], about, constraint["spec"]["parameters"], **review):
                        yield Violation(
                            constraint["metadata"]["name"], policy, action, f"{item['kind']} {subject}", message
                        )

    def messages(self, kind: str, item: Object, parameters: Object, **more: Any) -> list[str]:
        """What one policy says of one object, whether or not a constraint is about it."""
        group, _slash, version = item["apiVersion"].rpartition("/")
        meta = item["metadata"]
        review = {
            "kind": {"group": group, "version": version, "kind": item["kind"]},
            "name": meta.get("name", ""),
            "namespace": namespace_of(item),
            "object": item,
            # As Go writes what is not there.
            "oldObject": None,
            **more,
        }
        run = self._engine(kind)
        run.set_input_json(json.dumps({"review": review, "parameters": parameters}))
        package = self._rego(kind)["rego"].split("package ", 1)[1].split()[0]
        return sorted(found["msg"] for found in json.loads(run.eval_rule_as_json(f"data.{package}.violation")))

    def _rego(self, kind: str) -> Object:
        (target,) = self.templates[kind]["spec"]["targets"]
        return dict(target)

    def _engine(self, kind: str) -> Any:
        if kind not in self._engines:
            target = self._rego(kind)
            self._engines[kind] = engine(target["rego"], target.get("libs", ()))
        return self._engines[kind]

    # Expansion

    def expanded(self, item: Object) -> Iterator[dict[str, Any]]:
        """The pods that would be made of an object."""
        version = item["apiVersion"].rpartition("/")[2]
        for expansion in self.expansions:
            spec = expansion["spec"]
            for rule in spec["applyTo"]:
                if group_of(item) in rule["groups"] and version in rule["versions"] and item["kind"] in rule["kinds"]:
                    found: Any = item
                    for part in spec["templateSource"].split("."):
                        found = found[part]
                    made = spec["generatedGVK"]
                    meta = {
                        **(found.get("metadata") or {}),
                        "name": f"{item['metadata']['name']}-{made['kind']}".lower(),
                        "namespace": namespace_of(item),
                    }
                    yield {**found, "apiVersion": made["version"], "kind": made["kind"], "metadata": meta}


def matches(constraint: Object, item: Object) -> bool:
    """Whether a constraint is about an object.

    Raises:
        AssertionError: it says more than is understood here.
    """
    match = constraint["spec"]["match"]
    assert set(match) <= _MATCH, f"not understood here: {sorted(set(match) - _MATCH)}"
    if not any(group_of(item) in rule["apiGroups"] and item["kind"] in rule["kinds"] for rule in match["kinds"]):
        return False
    namespace = item["metadata"]["name"] if (group_of(item), item["kind"]) == ("", "Namespace") else namespace_of(item)
    if not namespace:
        return True  # neither list is about objects of the cluster
    if match.get("namespaces") and namespace not in match["namespaces"]:
        return False
    return namespace not in match.get("excludedNamespaces", ())
