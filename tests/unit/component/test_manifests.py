# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests are read as Kubernetes reads them, and the same object is always the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import manifests

MAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}, data: %s}"


def one(text: str) -> Any:
    (item,) = manifests.load(text, "demo.yml")
    return item


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e3", 1000.0), ("'1e3'", "1e3"), ("2024-01-01", "2024-01-01"), ("=", "="), ("yes", True), ("0o17", "0o17")],
)
def test_scalars_are_what_kubernetes_takes_them_for(written: str, read: Any) -> None:
    value = one(MAP % f"{{key: {written}}}").object["data"]["key"]
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "yes", "null", "1:20", "=", "2024-01-01", "a: b", "# c", "a\nb\n", "a\tb"]
)
def test_a_text_stays_a_text(text: str) -> None:
    dumped = manifests.dump({"kind": "X", "data": {"key": text}}).decode()
    assert yaml.safe_load(dumped)["data"]["key"] == text
    if text in ("1e3", "0o17"):
        assert f"'{text}'" in dumped, "other readers of YAML take it for a number"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_written_is_read_again(value: Any) -> None:
    item = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": value}
    assert one(manifests.dump(item).decode()).object == item


def test_the_order_of_keys_makes_no_difference() -> None:
    first = {
        "kind": "X",
        "apiVersion": "v1",
        "spec": {"b": 1, "a": [{"d": 1, "c": 2}]},
        "metadata": {"name": "n", "labels": {}},
    }
    second = {
        "metadata": {"labels": {}, "name": "n"},
        "spec": {"a": [{"c": 2, "d": 1}], "b": 1},
        "apiVersion": "v1",
        "kind": "X",
    }
    assert manifests.dump(first) == manifests.dump(second)
    assert manifests.dump(first).startswith(b"apiVersion: v1\nkind: X\nmetadata:\n")


def test_lists_are_taken_apart_and_empty_documents_left_out() -> None:
    text = (
        "---\n# nothing\n---\nkind: List\nitems:\n- "
        + MAP % "{}"
        + "\n--- # end\n"
        + MAP.replace("name: a", "name: c") % "{}"
    )
    assert [item.object["metadata"]["name"] for item in manifests.load(text, "demo.yml")] == ["a", "c"]


def test_helm_names_the_template_that_an_object_came_from() -> None:
    item = one("---\n# Source: web/templates/a.yaml\n" + MAP % "{}")
    assert item.source == "web/templates/a.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "demo.yml: line 3: no YAML: the key 'a' is there twice"),
        (MAP % "{}" + "\n---\nx: [\n", "demo.yml: line 4"),
        ("{apiVersion: v1, kind: X}", "demo.yml: X has no metadata.name"),
        ("{kind: X, metadata: {name: a}}", "demo.yml: X a has no apiVersion"),
        ("just text", "demo.yml: 'just text' is no object"),
    ],
)
def test_what_is_no_manifest_is_named_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Failure) as failure:
        manifests.load(text, "demo.yml")
    assert failure.value.cause.startswith(said)


def test_kinds_of_the_same_name_have_files_of_their_own() -> None:
    text = "{apiVersion: %s, kind: NetworkPolicy, metadata: {name: a, namespace: b}}"
    paths = {one(text % version).path for version in ("networking.k8s.io/v1", "crd.projectcalico.org/v1")}
    assert paths == {"b/networkpolicy-a.yaml", "b/networkpolicy.crd.projectcalico.org-a.yaml"}
    assert one("{apiVersion: v1, kind: Namespace, metadata: {name: a}}").path == "_cluster/namespace-a.yaml"


def test_what_is_only_created_has_a_folder_of_its_own():
    """Another component may have it from some wave on, and would be told that it is in two."""
    text = 'metadata: {name: a, annotations: {platform.banking/create-only: "true"}}, apiVersion: v1, kind: Namespace'
    assert one(f"{{{text}}}").path == "_once/_cluster/namespace-a.yaml"
    assert one(f"{{{text}}}".replace("true", "false")).path == "_cluster/namespace-a.yaml"
