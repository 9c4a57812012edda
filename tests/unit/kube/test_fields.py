# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digest, ownership and differences. What a real server notes as owned is in tests/integration/kube."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

SPEC = {
    "replicas": 2,
    "args": ["a", "b"],
    "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
    "finalizers": ["x/y"],
    "none": None,
    "env": [],
    "selector": {"app": "api"},
}
OWNED: dict[str, Any] = {
    "f:replicas": {},
    "f:args": {},
    "f:ports": {},
    "f:finalizers": {'v:"x/y"': {}},
    "f:selector": {"f:app": {}},
}
OWNED["f:ports"] = {
    'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}},
    'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}},
}


def wanted(**changes: Any) -> dict[str, Any]:
    made = {
        "apiVersion": "test/v1",
        "kind": "Thing",
        "metadata": {"name": "a", "namespace": "n", "creationTimestamp": None, "annotations": {"note": "x"}},
        "spec": {**SPEC, **changes},
    }
    return fields.prepared(made, "comp", has_status=True)


def live(of: dict[str, Any], owned: dict[str, Any] | None = None, *others: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(of)
    meta: dict[str, Any] = {
        "f:labels": {"f:platform.banking/component": {}},
        "f:annotations": {"f:note": {}, "f:platform.banking/digest": {}},
    }
    ours = {"f:metadata": meta, "f:spec": OWNED if owned is None else owned}
    made["metadata"]["managedFields"] = [
        {"manager": "banking.platform", "operation": "Apply", "fieldsV1": ours},
        *({"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": other}} for other in others),
    ]
    return made


def test_as_applied_there_is_no_drift() -> None:
    assert fields.drift(wanted(), live(wanted())) == []


def test_something_else_is_wanted() -> None:
    assert fields.drift(wanted(replicas=3), live(wanted())) == ["digest"]


def without(*path: str) -> dict[str, Any]:
    owned = copy.deepcopy(OWNED)
    at = owned
    for part in path[:-1]:
        at = at[part]
    del at[path[-1]]
    return owned


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        (("f:replicas",), ".spec.replicas"),
        (("f:args",), ".spec.args"),
        (("f:ports", 'k:{"port":80,"protocol":"TCP"}'), ".spec.ports[0]"),
        (("f:ports", 'k:{"port":53,"protocol":"UDP"}', "f:protocol"), ".spec.ports[1].protocol"),
        (("f:selector", "f:app"), ".spec.selector"),
        (("f:selector",), ".spec.selector"),
    ],
)
def test_a_field_that_we_no_longer_own_is_drift(path: tuple[str, ...], lost: str) -> None:
    owned = without(*path)
    if path == ("f:selector", "f:app"):
        owned["f:selector"] = {"f:other": {}}
        lost = ".spec.selector.app"
    assert fields.drift(wanted(), live(wanted(), owned)) == [lost]


def test_a_value_of_a_set_is_drift_when_it_is_lost() -> None:
    owned = {**OWNED, "f:finalizers": {'v:"z"': {}}}
    assert fields.drift(wanted(), live(wanted(), owned)) == [".spec.finalizers[0]"]


@pytest.mark.parametrize(("theirs", "lost"), [({}, [".spec.env"]), ({'k:{"name":"A"}': {}}, [])])
def test_an_empty_list_is_lost_when_somebody_made_it_his_as_a_whole(theirs: Any, lost: list[str]) -> None:
    assert fields.drift(wanted(), live(wanted(), None, {"f:env": theirs})) == lost


def test_without_managed_fields_nothing_is_ours() -> None:
    stripped = live(wanted())
    stripped["metadata"]["managedFields"] = []
    assert fields.drift(wanted(), stripped) == ["managedFields"]


# Secrets

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "n"},
    "stringData": {"p": "pass"},
}


def secret_live(of: dict[str, Any]) -> dict[str, Any]:
    made = live(of)
    made["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] = {".": {}, "f:p": {}}
    return made


def test_a_secrets_values_are_compared_and_not_in_the_digest() -> None:
    first = fields.prepared(SECRET, "c", False)
    second = fields.prepared({**SECRET, "stringData": {"p": "another"}}, "c", False)
    assert first["data"] == {"p": "cGFzcw=="}
    assert fields.digest(first) == fields.digest(second)
    assert fields.drift(first, secret_live(first)) == []
    assert fields.drift(second, secret_live(first)) == [".data.p"]


def test_a_key_of_a_secret_that_is_no_longer_wanted_is_drift() -> None:
    first = fields.prepared(SECRET, "c", False)
    none = fields.prepared({**SECRET, "stringData": {}}, "c", False)
    assert fields.drift(none, secret_live(first)) == [".data.p"]


def test_string_data_that_is_no_text_is_refused() -> None:
    with pytest.raises(Failure, match="no text"):
        fields.prepared({**SECRET, "stringData": {"p": 1}}, "c", False)


def test_masks_differ_as_values_do() -> None:
    first, second = ({**SECRET, "data": {"p": value}} for value in ("a", "b"))
    shown = fields.shown(first)
    assert shown["data"]["p"] != "a"
    assert shown == fields.shown(first)
    assert shown != fields.shown(second)
    assert "pass" not in json.dumps(shown)


# What is applied, and what is shown


def test_status_goes_only_where_it_is_a_subresource() -> None:
    made = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "status": {"x": 1}}
    assert "status" not in fields.prepared(made, "c", True)
    assert fields.prepared(made, "c", False)["status"] == {"x": 1}


def test_changes_name_paths_and_are_bounded() -> None:
    before = {"a": {"b": 1, "list": [1, 2]}, "long": "x" * 1000}
    after = {"a": {"b": 2, "list": [1, 3]}, "new": True}
    old, new = fields.changes(before, after)
    assert old["a.b"] == 1
    assert new == {"a.b": 2, "a.list[1]": 3, "new": True}
    assert len(old["long"]) < 300
    old, new = fields.changes({}, {str(number): number for number in range(100)})
    assert new["..."] == "and more"


def test_a_difference_of_large_objects_shows_what_differs_only() -> None:
    before = {"text": "x" * 100_000, "a": 1}
    found = fields.diff("n", before, {**before, "a": 2})
    assert (found["before"], found["after"]) == ("a: 1\n", "a: 2\n")
    assert len(fields.diff("n", None, before)["after"]) < 50_000
