# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests as text: read as Kubernetes reads them, and written so that the same object is always the same bytes."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# The folder, in a component's, of objects that are only created.
ONCE = "_once/"
_SEPARATOR = re.compile(r"^---(?:[ \t]+#.*|[ \t]*)$", re.MULTILINE)
_ORIGIN = re.compile(r"^# Source: (\S+)$", re.MULTILINE)
# PyYAML wants a dot in such a number, Kubernetes' reader does not: what is one there must be one here, or in quotes.
_FLOAT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


@dataclass(frozen=True)
class Manifest:
    """An object, and where it was written.

    Attributes:
        object: as the API takes it.
        source: the file, for messages.
    """

    object: dict[str, Any]
    source: str

    @property
    def reference(self) -> str:
        """Kind, namespace and name, as messages name it."""
        return fields.reference(self.object)

    @property
    def namespace(self) -> str:
        """The namespace; empty where there is none."""
        return str(self.object["metadata"].get("namespace") or "")

    @property
    def type(self) -> tuple[str, str]:
        """API version and kind."""
        return self.object["apiVersion"], self.object["kind"]

    @property
    def path(self) -> str:
        """Its file in a tree: unique for group, kind, namespace and name.

        What is only created has a folder of its own, since another component may have the object from some wave on.
        """
        group = self.object["apiVersion"].rpartition("/")[0]
        kind = str(self.object["kind"]).lower()
        # A dot in the group says whose it is; Kubernetes' own kinds are known without.
        full = f"{kind}.{group}" if "." in group and not group.endswith(".k8s.io") else kind
        annotations = self.object["metadata"].get("annotations") or {}
        once = ONCE if annotations.get(fields.CREATE_ONLY) == "true" else ""
        return f"{once}{self.namespace or '_cluster'}/{full}-{self.object['metadata']['name']}.yaml"


def has_values(item: Manifest) -> bool:
    """Whether it is a Secret that holds something."""
    parts = [item.object.get(key) or {} for key in ("data", "stringData")]
    return item.object["kind"] == "Secret" and any(value for part in parts for value in part.values())


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a key that is there twice: one of the two would be lost without a word."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    loader.flatten_mapping(node)
    found: dict[Hashable, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _text(loader: Any, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
# A date is text to Kubernetes, and so is a lone "=" (the enum of a CRD of the Prometheus operator has one).
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
_Loader.add_constructor("tag:yaml.org,2002:value", _text)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Block style, texts of several lines as such, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Any, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data and not re.search(r"[ \t]\n|\t|[^\x09\x0a\x20-\x7e\xa0-\ud7ff]", data) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _represent_text)
# In quotes: both are numbers to some reader or other of YAML.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?0o[0-7_]+$"), list("-+0"))


def documents(text: str, source: str) -> Iterator[tuple[Any, str]]:
    """The YAML documents of a text, each with the file that it came from.

    Args:
        text: of a file, or of several as `helm template` prints them (each with `# Source: <file>`).
        source: the file, where the text names none.

    Raises:
        Failure: with file and line.
    """
    line = 1
    for part in _split(text):
        origin = _ORIGIN.search(part)
        name = origin[1] if origin else source
        try:
            content = yaml.load(part, _Loader)  # noqa: S506 (a safe loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{name}: line {line + mark.line}" if mark and not origin else name
            problem = getattr(error, "problem", "") or str(error)
            raise Failure(f"{where}: no YAML: {problem}", "correct the template") from error
        line += part.count("\n") + 1
        if content is not None:
            yield content, name


def _split(text: str) -> Iterator[str]:
    position = 0
    for found in _SEPARATOR.finditer(text):
        yield text[position : found.start()]
        position = found.end() + 1
    yield text[position:]


def load(text: str, source: str) -> list[Manifest]:
    """The objects of a text; lists are taken apart.

    Args:
        text, source: as of `documents`.

    Raises:
        Failure: when it is no YAML, or something in it is no object.
    """
    found: list[Manifest] = []
    for content, name in documents(text, source):
        found.extend(_objects(content, name))
    return found


def _objects(content: Any, source: str) -> Iterable[Manifest]:
    if (
        isinstance(content, dict)
        and str(content.get("kind")).endswith("List")
        and isinstance(content.get("items"), list)
    ):
        for item in content["items"]:
            yield from _objects(item, source)
        return
    missing = _missing(content)
    if missing:
        raise Failure(f"{source}: {missing}", "an object has apiVersion, kind and metadata.name")
    yield Manifest(content, source)


def _missing(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"{str(content)[:60]!r} is no object"
    meta = content.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    for part, value in (
        ("apiVersion", content.get("apiVersion")),
        ("kind", content.get("kind")),
        ("metadata.name", name),
    ):
        if not isinstance(value, str) or not value:
            title = " ".join(str(word) for word in (content.get("kind"), name) if word) or "an object"
            return f"{title} has no {part}"
    return ""


def dump(item: Mapping[str, Any]) -> bytes:
    """An object as text: keys sorted, but for apiVersion, kind and metadata, which come first, as usual."""
    ordered = {key: item[key] for key in ("apiVersion", "kind", "metadata") if key in item}
    rest = {key: value for key, value in item.items() if key not in ordered}
    parts = [
        yaml.dump(part, Dumper=_Dumper, sort_keys=order, default_flow_style=False, width=10_000, allow_unicode=True)
        for part, order in (({key: _sorted(value) for key, value in ordered.items()}, False), (rest, True))
        if part
    ]
    return "".join(parts).encode()


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
