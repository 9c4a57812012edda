# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' own part, and pure functions of drain."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec
from ansible_collections.banking.platform.plugins.module_utils.kube.drain import selects


def test_options_of_the_connection_are_those_of_kubernetes_core() -> None:
    assert set(AUTH_ARG_SPEC) <= set(spec.CONNECTION)
    for name, options in AUTH_ARG_SPEC.items():
        assert spec.CONNECTION[name].get("no_log") == options.get("no_log"), name
        assert spec.CONNECTION[name].get("aliases") == options.get("aliases"), name


def test_packed_objects_come_back() -> None:
    objects = [{"apiVersion": "v1", "kind": "ConfigMap", "data": {"ä": "\n"}}]
    assert spec.unpack(spec.pack(objects)) == objects
    assert spec.pack(objects) == spec.pack(objects)


def test_values_of_secrets_are_found_in_both_forms() -> None:
    encoded = base64.b64encode(b"correct horse").decode()
    objects = [
        {"kind": "Secret", "data": {"a": encoded, "short": "eA=="}, "stringData": {"b": "battery staple"}},
        {"kind": "ConfigMap", "data": {"a": "no secret at all"}},
    ]
    assert execute.secret_values(objects) == {encoded, "correct horse", "battery staple"}


def params(**given: Any) -> dict[str, Any]:
    defaults = {name: options.get("default") for name, options in spec.APPLY.items()}
    return {**defaults, "host": "http://127.0.0.1:1", "api_key": "x", "component": "c", "retry_for": 0.1, **given}


def test_check_mode_without_a_cluster_warns_and_plans() -> None:
    objects = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}]
    applying, warnings, failure = execute.run(params(objects=objects), check=True, with_diff=False)
    assert failure is None
    assert "cannot be reached" in warnings[0]
    assert applying.result()["deferred"] == ["Namespace n: cluster"]
    _applying, warnings, failure = execute.run(params(objects=objects), check=False, with_diff=False)
    assert failure is not None
    assert warnings == []


LABELS = {"app": "db", "tier": "data"}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "db"}}, True),
        ({"matchLabels": {"app": "db", "tier": "web"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"app": "db"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
    ],
)
def test_selects(selector: Any, expected: bool) -> None:
    assert selects(selector, LABELS) is expected
