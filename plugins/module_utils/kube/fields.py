# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an object is still as we applied it, and how two objects differ. Pure functions.

An object is as we applied it when its digest annotation is that of what we would apply, and when our field manager
still owns every field of it: the API server takes a field away from its manager as soon as anybody else gives it
another value, or removes it. (https://kubernetes.io/docs/reference/using-api/server-side-apply/)
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import FIELD_MANAGER
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

COMPONENT = "platform.banking/component"
DIGEST = "platform.banking/digest"
CREATE_ONLY = "platform.banking/create-only"
RECREATE = "platform.banking/recreate"
# ArgoCD's, so that an object keeps its place in the order whoever delivers it.
SUB_WAVE = "argocd.argoproj.io/sync-wave"

# What the server sets, and what only we need.
_SERVER_SET = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_LONGEST_DIFF = 40_000
_MOST_PATHS = 20
_LONGEST_VALUE = 200

# Masks of secret values differ when the values do, within one run only: nobody can try out values on them.
_KEY = secrets.token_bytes(16)


def reference(item: Mapping[str, Any]) -> str:
    """Name an object: `apps/v1 Deployment banking-core/api`."""
    meta = item.get("metadata") or {}
    name = "/".join(part for part in (meta.get("namespace"), meta.get("name")) if part)
    return f"{item.get('apiVersion')} {item.get('kind')} {name}"


def sub_wave(item: Mapping[str, Any]) -> int:
    """When an object comes within its component, 0 unless it says otherwise.

    Raises:
        Failure: when it says so in anything but an integer.
    """
    text = (item["metadata"].get("annotations") or {}).get(SUB_WAVE, "0")
    try:
        return int(text)
    except (TypeError, ValueError):
        raise Failure(f"{reference(item)}: {SUB_WAVE} is {text!r}", "write an integer, in quotes") from None


def prepared(item: Mapping[str, Any], component: str, has_status: bool) -> dict[str, Any]:
    """Make of a manifest what is applied: labelled, with its digest, without what the server would drop.

    Args:
        item: the manifest.
        component: the component's name, for the label.
        has_status: whether the kind's status is a subresource.

    Raises:
        Failure: `stringData` that is no text.
    """
    wanted = copy.deepcopy(dict(item))
    if has_status:
        wanted.pop("status", None)
    meta = wanted["metadata"] = {key: value for key, value in wanted["metadata"].items() if key not in _SERVER_SET}
    meta["labels"] = {**(meta.get("labels") or {}), COMPONENT: component}
    if is_secret(wanted) and "stringData" in wanted:
        # The server keeps no stringData, and so would not know that we own what came of it.
        texts = wanted.pop("stringData") or {}
        if not all(isinstance(text, str) for text in texts.values()):
            raise Failure(f"{reference(item)}: a value in stringData is no text", "quote it")
        wanted["data"] = {**(wanted.get("data") or {}), **{key: _base64(text) for key, text in texts.items()}}
    meta["annotations"] = {
        key: value for key, value in (meta.get("annotations") or {}).items() if key not in (DIGEST, CREATE_ONLY)
    }
    meta["annotations"][DIGEST] = digest(wanted)
    return wanted


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def is_secret(item: Mapping[str, Any]) -> bool:
    """Whether an object's data are secret."""
    return item.get("kind") == "Secret" and item.get("apiVersion") == "v1"


def digest(wanted: Mapping[str, Any]) -> str:
    """The digest of what is applied. A Secret's values are no part of it: they are compared themselves."""
    about = {key: value for key, value in wanted.items() if key != "data"} if is_secret(wanted) else wanted
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def drift(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """Name what of an object is not as we applied it.

    Args:
        wanted: the object as `prepared` made it.
        live: the object as the server has it; of a Secret all of it, of other kinds the metadata will do.

    Returns:
        Paths such as `.spec.replicas`; `digest` alone when we want something else than at the last time. Empty when
        there is nothing to do.
    """
    if (live["metadata"].get("annotations") or {}).get(DIGEST) != wanted["metadata"]["annotations"][DIGEST]:
        return ["digest"]
    owned = owned_fields(live)
    if owned is None:
        return ["managedFields"]
    body = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind", "metadata")}
    meta = {key: value for key, value in wanted["metadata"].items() if key not in ("name", "namespace")}
    others = [
        entry.get("fieldsV1") or {}
        for entry in live["metadata"].get("managedFields") or ()
        if entry.get("manager") != FIELD_MANAGER and not entry.get("subresource")
    ]
    owned_meta, others_meta = owned.get("f:metadata") or {}, _below(others, "f:metadata")
    lost = [*_lost(body, owned, others, ""), *_lost(meta, owned_meta, others_meta, ".metadata")]
    if is_secret(wanted) and not lost:
        there, data = live.get("data") or {}, wanted.get("data") or {}
        lost = [f".data.{key}" for key, value in data.items() if there.get(key) != value]
        before = [name[2:] for name in owned.get("f:data") or {}]
        lost += [f".data.{key}" for key in before if key and key not in data]
    return lost


def owned_fields(live: Mapping[str, Any]) -> dict[str, Any] | None:
    """What we own of an object by applying it, as fieldsV1; None when nothing."""
    for entry in live["metadata"].get("managedFields") or ():
        ours = entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        if ours and not entry.get("subresource"):
            return entry.get("fieldsV1") or {}
    return None


def handed_over(live: Mapping[str, Any], manager: str) -> list[dict[str, Any]] | None:
    """The managedFields of an object with what we own given to another manager, as if it had applied it.

    Args:
        live: the object; its metadata will do.
        manager: the other's name.

    Returns:
        All entries; None when we own nothing.
    """
    entries = live["metadata"].get("managedFields") or []
    ours = [entry for entry in entries if entry.get("manager") == FIELD_MANAGER and not entry.get("subresource")]
    if not ours:
        return None
    theirs = [
        entry
        for entry in entries
        if (entry.get("manager"), entry.get("operation")) == (manager, "Apply") and not entry.get("subresource")
    ]
    made = dict((theirs or ours)[0], manager=manager, operation="Apply")
    for entry in [*theirs, *ours]:
        # Fields of another version may have other names; then its own are all that the other one gets.
        if entry.get("apiVersion") == made.get("apiVersion"):
            one, other = made.get("fieldsV1") or {}, entry.get("fieldsV1") or {}
            made["fieldsV1"] = _united(one, other) if one and other else {**one, **other}
    return [made, *(entry for entry in entries if entry not in ours and entry not in theirs)]


def _united(one: _Fields, other: _Fields) -> dict[str, Any]:
    """The union of two sets of fields. One with nothing below it is a member as a whole: `.` beside others."""
    if not one or not other:
        both = {**one, **other}
        return {".": {}, **both} if both else {}
    return {
        name: _united(one[name], other[name]) if name in one and name in other else {**one, **other}[name]
        for name in {**one, **other}
    }


_Fields = Mapping[str, Any]


def _below(others: list[_Fields], name: str) -> list[_Fields]:
    return [other[name] for other in others if name in other]


def _lost(wanted: _Fields, owned: _Fields, others: list[_Fields], path: str) -> Iterator[str]:
    """Name what of the wanted fields is not among the owned ones; `others` is what other managers own here."""
    for key, value in wanted.items():
        name = f"f:{key}"
        below, theirs = owned.get(name), _below(others, name)
        if value is None:
            continue
        if below is None:
            # An empty list whose items would have owners of their own has none. It is lost when somebody else has made
            # something of it as a whole: `ingress: []` of a NetworkPolicy.
            if value not in ({}, []) or {} in theirs:
                yield f"{path}.{key}"
        elif below:
            yield from _lost_below(value, below, theirs, f"{path}.{key}")


def _lost_below(value: Any, owned: _Fields, others: list[_Fields], path: str) -> Iterator[str]:
    """What is lost of a value that the server divides further; one that it doesn't (`{}`) is owned as a whole."""
    if isinstance(value, Mapping):
        yield from _lost(value, owned, others, path)
    elif isinstance(value, list):
        by_keys = {name: json.loads(name[2:]) for name in owned if name.startswith("k:")}
        values = {json.dumps(json.loads(name[2:]), sort_keys=True) for name in owned if name.startswith("v:")}
        for number, item in enumerate(value):
            if by_keys and isinstance(item, Mapping):
                # A key that the manifest leaves out has its default (protocol: TCP).
                name = next((n for n, keys in by_keys.items() if all(item.get(k, v) == v for k, v in keys.items())), "")
                if name:
                    yield from _lost(item, owned[name], _below(others, name), f"{path}[{number}]")
                else:
                    yield f"{path}[{number}]"
            elif values and json.dumps(item, sort_keys=True) not in values:
                yield f"{path}[{number}]"


def managers(live: Mapping[str, Any]) -> dict[str, set[str]]:
    """The field managers of an object, with the ways in which each wrote: Apply, Update."""
    found: dict[str, set[str]] = {}
    for entry in live["metadata"].get("managedFields") or ():
        found.setdefault(entry.get("manager", ""), set()).add(entry.get("operation", ""))
    return found


# Differences


def shown(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what the server sets, its secret values masked."""
    found = {key: value for key, value in item.items() if key != "status"}
    meta = {key: value for key, value in item["metadata"].items() if key not in _SERVER_SET}
    annotations = {key: value for key, value in (meta.pop("annotations", None) or {}).items() if key != DIGEST}
    found["metadata"] = {**meta, **({"annotations": annotations} if annotations else {})}
    if is_secret(item):
        # kubectl's client-side apply keeps the whole Secret in an annotation.
        annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
        for part in ("data", "stringData"):
            if found.get(part):
                found[part] = {key: masked(value) for key, value in found[part].items()}
    return found


def masked(value: Any) -> str:
    """Stands for a secret value: another mask for another value, in this run only."""
    text = json.dumps(value, sort_keys=True).encode()
    return f"secret:{hmac.new(_KEY, text, hashlib.sha256).hexdigest()[:8]}"


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields in which two shown objects differ, by path, with old and new values; cut to a readable size."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    for path, first, second in _differences(before, after, ""):
        if len(new) + len(old) >= 2 * _MOST_PATHS:
            new["..."] = "and more"
            break
        if first is not None:
            old[path] = _cut(first)
        if second is not None:
            new[path] = _cut(second)
    return old, new


def _differences(first: Any, second: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in [*first, *(key for key in second if key not in first)]:
            yield from _differences(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif first != second:
        yield path, first, second


def _cut(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"


def diff(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, str]:
    """A difference as Ansible shows it, of shown objects; None is one that isn't there."""
    texts = [_yaml(item) if item else "" for item in (before, after)]
    if max(map(len, texts)) > _LONGEST_DIFF and before and after:
        texts = [_yaml(part) for part in changes(before, after)]
    return {
        "before_header": name,
        "after_header": name,
        "before": _bounded(texts[0]),
        "after": _bounded(texts[1]),
    }


def _yaml(item: Mapping[str, Any]) -> str:
    import yaml  # not needed where no differences are shown

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(dict(item), Dumper=dumper, default_flow_style=False, sort_keys=False, width=120)


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST_DIFF else f"{text[:_LONGEST_DIFF]}\n... ({len(text)} characters)\n"
