# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict validation of manifests without an API server: unknown fields, wrong types, names, namespaces.

Built-in kinds are checked against the files of the package kubernetes-validate, custom resources against their CRDs.
What only a server knows is left to it: rules in CEL, what admission says, and formats.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest

CRD = "CustomResourceDefinition"
# Gatekeeper makes a CRD of each of these: a kind of Constraint, with the parameters that the template describes.
TEMPLATE = "ConstraintTemplate"
CONSTRAINTS = "constraints.gatekeeper.sh"
_BASE = "file:///kubernetes/_definitions.json"
_PROPS = f"{_BASE}#/$defs/io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_META = f"{_BASE}#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Kubernetes' own kinds that belong to no namespace (`kubectl api-resources --namespaced=false`): schemas do not say so.
_CLUSTER_KINDS = frozenset(
    (
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "ComponentStatus",
        "CSIDriver",
        "CSINode",
        CRD,
        "DeviceClass",
        "FlowSchema",
        "IngressClass",
        "IPAddress",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PodCertificateRequest",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "SelfSubjectAccessReview",
        "SelfSubjectReview",
        "SelfSubjectRulesReview",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersion",
        "StorageVersionMigration",
        "SubjectAccessReview",
        "TokenReview",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    )
)
# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH = re.compile(r"(?!\.\.?$)[^/%]+")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
# Names that become part of a host name or of another object's name.
_SHORT_NAMES = frozenset(("Namespace", "Service"))
_PATH_NAMES = frozenset(("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"))
# A pod's name is longer than that of what makes it, and is a host name.
_WORKLOADS = frozenset(("CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"))
_MOST_NAME, _MOST_CRON_NAME = 63, 52


@dataclass
class Verdict:
    """What was found about some manifests.

    Attributes:
        problems: one line each, with file, object and path in it.
        unknown: kinds (`apiVersion kind`) of which no schema is at hand, each with how many objects were not checked.
    """

    problems: list[str] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Custom:
    """A kind that a CRD brings."""

    namespaced: bool
    validator: Any


class Schemas:
    """The schemas of a Kubernetes version, with the CRDs of some folders.

    Args:
        kubernetes: the version, `1.28.15`.
        folders: with CRDs, searched as deep as they are, first match wins.

    Raises:
        Failure: when the version is not known, or a package is missing.
    """

    def __init__(self, kubernetes: str, folders: Sequence[str] = ()) -> None:
        self.kubernetes = kubernetes
        self._folders = tuple(folders)
        self._custom: dict[tuple[str, str], _Custom | None] = {}

    # What is known

    def add(self, objects: Iterable[Manifest]) -> None:
        """Take in the kinds that CRDs and ConstraintTemplates among some objects bring."""
        for item in objects:
            if item.object["kind"] == CRD:
                self._custom.update(self._converted(item))
            elif item.object["kind"] == TEMPLATE:
                self._custom.update(self._converted(Manifest(crd_of(item), item.source)))

    def namespaced(self, api_version: str, kind: str) -> bool | None:
        """Whether objects of a kind belong to a namespace; None when the kind is not known."""
        if (api_version, kind) in _builtin(self.kubernetes).kinds:
            return kind not in _CLUSTER_KINDS
        custom = self._of_crd(api_version, kind)
        return custom.namespaced if custom else None

    def check(self, objects: Sequence[Manifest]) -> Verdict:
        """Validate manifests.

        Args:
            objects: all of a component.
        """
        self.add(objects)
        verdict = Verdict()
        for item in objects:
            problems = [*self._check_names(item), *self._check_schema(item, verdict), *self._check_parameters(item)]
            verdict.problems += [f"{item.source}: {item.reference}: {problem}" for problem in problems]
        verdict.problems += _duplicates(objects)
        return verdict

    # One object

    def _check_schema(self, item: Manifest, verdict: Verdict) -> Iterator[str]:
        validator = self._validator(*item.type)
        if validator is None:
            kind = " ".join(item.type)
            verdict.unknown[kind] = verdict.unknown.get(kind, 0) + 1
            return
        for error in validator.iter_errors(item.object):
            yield _said(error)

    def _check_parameters(self, item: Manifest) -> Iterator[str]:
        """The CRD of ConstraintTemplates takes anything for the schema of their parameters."""
        if item.object["kind"] == TEMPLATE:
            (version,) = crd_of(item)["spec"]["versions"]
            for part in _schemas_in(version["schema"]["openAPIV3Schema"]):
                for error in _builtin(self.kubernetes).compile({"$ref": _PROPS}).iter_errors(part):
                    yield f"the CRD that is made of it: {_said(error)}"

    def _check_names(self, item: Manifest) -> Iterator[str]:
        meta, kind = item.object["metadata"], item.object["kind"]
        name = meta["name"]
        yield from _name_problems(kind, name)
        scope = self.namespaced(*item.type)
        if scope and not item.namespace:
            yield "has no namespace, and needs one"
        if scope is False and item.namespace:
            yield f"is no object of a namespace, and has {item.namespace}"
        if item.namespace and not _LABEL.fullmatch(item.namespace):
            yield f"metadata.namespace: {item.namespace!r} is no name of a namespace"
        labels = meta.get("labels")
        for key, value in labels.items() if isinstance(labels, Mapping) else ():
            if not _LABEL_KEY.fullmatch(str(key)):
                yield f"metadata.labels: {key!r} is no key of a label"
            if isinstance(value, str) and not _LABEL_VALUE.fullmatch(value):
                yield f"metadata.labels.{key}: {value!r} is no value of a label (at most 63 of A-Z a-z 0-9 - _ .)"

    def _validator(self, api_version: str, kind: str) -> Any:
        if (api_version, kind) in _builtin(self.kubernetes).kinds:
            return _builtin(self.kubernetes).validator(api_version, kind)
        custom = self._of_crd(api_version, kind)
        return custom.validator if custom else None

    # CRDs

    def _of_crd(self, api_version: str, kind: str) -> _Custom | None:
        key = (api_version, kind)
        if key not in self._custom:
            self._custom[key] = None
            group = api_version.rpartition("/")[0]
            for path in self._files(group, kind):
                self._custom.update({k: v for k, v in self._read(path, group).items() if not self._custom.get(k)})
                if self._custom[key]:
                    break
        return self._custom[key]

    def _files(self, group: str, kind: str) -> Iterator[str]:
        """Files that may hold a CRD: parsing all of them would take seconds."""
        wanted = [
            re.compile(rf"\b{key}\W{{1,5}}{re.escape(value)}\b") for key, value in (("group", group), ("kind", kind))
        ]
        for path, text in _texts(self._folders):
            # A plain search first: the patterns take ten times as long.
            if group in text and kind in text and all(pattern.search(text) for pattern in wanted):
                yield path

    def _read(self, path: str, group: str) -> dict[tuple[str, str], _Custom | None]:
        found: dict[tuple[str, str], _Custom | None] = {}
        with open(path, encoding="utf-8") as stream:
            for item in manifests.load(stream.read(), path):
                if item.object["kind"] == CRD and item.object["spec"]["group"] == group:
                    found.update(self._converted(item))
        return found

    def _converted(self, crd: Manifest) -> dict[tuple[str, str], _Custom | None]:
        found: dict[tuple[str, str], _Custom | None] = {}
        spec = crd.object.get("spec") or {}
        try:
            kind, namespaced = spec["names"]["kind"], spec["scope"] == "Namespaced"
            for version in spec["versions"]:
                if not version.get("served"):
                    continue
                schema = ((version.get("schema") or {}).get("openAPIV3Schema")) or {}
                found[f"{spec['group']}/{version['name']}", kind] = _Custom(
                    namespaced, _custom_validator(self.kubernetes, schema)
                )
        except (KeyError, TypeError, ValueError) as error:
            raise Failure(f"{crd.source}: {crd.reference}: not the shape of a CRD ({error!r})", "correct it") from error
        return found


def crd_of(template: Manifest) -> dict[str, Any]:
    """The CRD that Gatekeeper makes of a ConstraintTemplate (`templates.gatekeeper.sh/v1`).

    Raises:
        Failure: the template has not the shape of one, or the name that Gatekeeper asks for.

    Source: open-policy-agent/gatekeeper@v3.17.2 and frameworks, constraint/pkg/client/crds/{crds,schema}.go.
    """
    try:
        asked = template.object["spec"]["crd"]["spec"]
        kind = str(asked["names"]["kind"])
        parameters = (asked.get("validation") or {}).get("openAPIV3Schema")
    except (KeyError, TypeError, AttributeError) as error:
        raise Failure(
            f"{template.source}: {template.reference}: not the shape of a {TEMPLATE} ({error!r})", "correct it"
        ) from error
    if template.object["metadata"]["name"] != kind.lower():
        raise Failure(
            f"{template.source}: {template.reference}: its name is not its kind in lower case",
            f"name it {kind.lower()}",
        )
    spec: dict[str, Any] = {
        "enforcementAction": {"type": "string"},
        "scopedEnforcementActions": {"type": "array", "items": _SCOPED_ACTION},
        "match": _MATCH,
    }
    if parameters:
        spec["parameters"] = parameters
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": kind.lower(), "singular": kind.lower()}
    version = {"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": CRD,
        "metadata": {"name": f"{kind.lower()}.{CONSTRAINTS}"},
        "spec": {
            "group": CONSTRAINTS,
            "names": names,
            "scope": "Cluster",
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def _schemas_in(schema: Any, seen: bool = False) -> Iterator[Mapping[str, Any]]:
    """A schema, and those in it of which Kubernetes' own schema of schemas says nothing: `items` and the like."""
    if not isinstance(schema, Mapping):
        return
    if not seen:
        yield schema
    for below in (schema.get("properties") or {}).values():
        yield from _schemas_in(below, seen=True)
    for key in ("items", "additionalProperties"):
        yield from _schemas_in(schema.get(key))


def _strings(**more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", **more}}


_SCOPED_ACTION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"type": "string"},
        "enforcementPoints": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
    },
}
_GLOB = r"^\*?[-:a-z0-9]*\*?$"
_SELECTOR: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
        "matchExpressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {"key": {"type": "string"}, "operator": {"type": "string"}, "values": _strings()},
            },
        },
    },
}
# What a Constraint is about: open-policy-agent/gatekeeper@v3.17.2 and v3.23.0, pkg/target/matchcrd_constant.go.
_MATCH: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "kinds": {
            "type": "array",
            "items": {"type": "object", "properties": {"apiGroups": _strings(), "kinds": _strings()}},
        },
        "excludedNamespaces": _strings(pattern=_GLOB),
        "namespaces": _strings(pattern=_GLOB),
        "labelSelector": _SELECTOR,
        "namespaceSelector": _SELECTOR,
        "name": {"type": "string", "pattern": _GLOB},
        "scope": {"type": "string"},
        "source": {"type": "string", "enum": ["All", "Generated", "Original"]},
    },
}


@functools.cache
def _texts(folders: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Every YAML file below some folders."""
    found = []
    for folder in folders:
        if not os.path.isdir(folder):
            raise Failure(f"platform_crds: there is no folder {folder}", "correct it")
        for base, subfolders, names in os.walk(folder):
            subfolders.sort()
            for name in sorted(names):
                if name.endswith((".yaml", ".yml")):
                    path = os.path.join(base, name)
                    with open(path, encoding="utf-8") as stream:
                        found.append((path, stream.read()))
    return tuple(found)


class _Builtin:
    """The kinds of Kubernetes itself in one version, each compiled when it is first asked for."""

    def __init__(self, minor: str) -> None:
        # The package is only looked up: importing it takes longer than validating a component, and tasks are processes.
        package = importlib.util.find_spec("kubernetes_validate")
        missing = "kubernetes_validate" if package is None else ""
        try:
            import jsonschema_rs
        except ImportError as error:
            missing = str(error.name)
        if missing or package is None:
            raise Failure(f"{missing} is missing on the controller", "install the collection's requirements.txt")
        files = Path(next(iter(package.submodule_search_locations or ()))) / "kubernetes-json-schema"
        folder = files / f"v{minor}.0-local-strict"
        if not folder.is_dir():
            known = sorted(entry.name for entry in files.iterdir() if entry.name.endswith("-strict"))
            raise Failure(
                f"there are no schemas for Kubernetes {minor}, only {known[0]} to {known[-1]}",
                "update kubernetes-validate",
            )
        definitions = json.loads((folder / "_definitions.json").read_text())
        self.registry = jsonschema_rs.Registry(resources=[(_BASE, {**definitions, "$id": _BASE})])
        self.kinds = {
            (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): name
            for name, definition in definitions["$defs"].items()
            for kind in definition.get("x-kubernetes-group-version-kind", ())
        }
        self._compiled: dict[str, Any] = {}

    def validator(self, api_version: str, kind: str) -> Any:
        """The compiled schema of a kind."""
        name = self.kinds[api_version, kind]
        if name not in self._compiled:
            self._compiled[name] = self.compile({"$ref": f"{_BASE}#/$defs/{name}"})
        return self._compiled[name]

    def compile(self, schema: Mapping[str, Any]) -> Any:
        """A schema that may refer to Kubernetes' own. Raises ValueError."""
        import jsonschema_rs

        return jsonschema_rs.Draft202012Validator(dict(schema), registry=self.registry)


@functools.cache
def _builtin_of(minor: str) -> _Builtin:
    return _Builtin(minor)


def _builtin(kubernetes: str) -> _Builtin:
    return _builtin_of(".".join(kubernetes.removeprefix("v").split(".")[:2]))


def _custom_validator(kubernetes: str, schema: Mapping[str, Any]) -> Any:
    """The validator of a version of a CRD: closed, and with the metadata that every object has."""
    closed = _closed(copy.deepcopy(dict(schema)))
    properties = closed.setdefault("properties", {})
    # What a CRD may say of them is only a pattern of the name; the API server checks them as it does everybody's.
    properties.update({"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _META}})
    closed.setdefault("type", "object")
    return _builtin(kubernetes).compile(closed)


def _closed(schema: Any) -> Any:
    """A structural schema of a CRD as a strict JSON schema.

    The API server prunes fields that are not in `properties`; here they are errors, as with its own strict
    validation. Below allOf, anyOf, oneOf and not nothing may be closed: these only add to what stands beside them.
    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
    """
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("properties"), dict):
        schema["properties"] = {name: _closed(below) for name, below in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _closed(schema[key])
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("anyOf", None)
        schema["type"] = ["integer", "string"]
    if schema.get("x-kubernetes-embedded-resource"):
        schema.setdefault("properties", {}).update({"apiVersion": {}, "kind": {}, "metadata": {}})
    open_ = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if schema.get("type") == "object" and not open_ and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    if schema.pop("nullable", False) and "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    # A flag in OpenAPI 3.0, a number in JSON schema.
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(flag), bool):
            exclusive = schema.pop(flag)
            if exclusive and bound in schema:
                schema[flag] = schema.pop(bound)
    return schema


def _said(error: Any) -> str:
    """A validator's error in a line: where, and what."""
    path = ".".join(str(part) for part in error.instance_path)
    message = str(error.message)
    unexpected = re.match(r"Additional properties are not allowed \((.*) (?:was|were) unexpected\)", message)
    if unexpected:
        message = f"unknown field {unexpected[1]}"
    if len(message) > 300:
        message = f"{message[:140]} ... {message[-140:]}"
    return f"{path}: {message}" if path else message


def _name_problems(kind: str, name: str) -> Iterator[str]:
    if kind in _PATH_NAMES:
        if not _PATH.fullmatch(name):
            yield f"metadata.name: {name!r} holds / or %"
        return
    if kind in _SHORT_NAMES and not _LABEL.fullmatch(name):
        yield f"metadata.name: {name!r} is no DNS label (lower case letters, digits and -, at most {_MOST_NAME})"
    elif not _SUBDOMAIN.fullmatch(name):
        yield f"metadata.name: {name!r} is no DNS name (lower case letters, digits, - and .)"
    elif kind in _WORKLOADS and len(name) > (_MOST_CRON_NAME if kind == "CronJob" else _MOST_NAME):
        most = _MOST_CRON_NAME if kind == "CronJob" else _MOST_NAME
        yield f"metadata.name: {name!r} has {len(name)} characters, at most {most} leave room for the names of its pods"


def _duplicates(objects: Sequence[Manifest]) -> Iterator[str]:
    seen: dict[str, Manifest] = {}
    for item in objects:
        first = seen.setdefault(item.path, item)
        if first is not item:
            yield f"{item.source}: {item.reference}: is also in {first.source}"
