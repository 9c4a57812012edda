# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What expressions of PromQL ask for, and where the platform has them: rules and dashboards."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import promql_parser

Object = Mapping[str, Any]
# What Grafana puts in: https://grafana.com/docs/grafana/latest/dashboards/variables/add-template-variables/#global-variables
_VARIABLES = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


class Asked(NamedTuple):
    """An expression, and who asks it."""

    where: str
    expression: str


def metrics_of(expression: str) -> set[str]:
    """Names of the metrics that an expression selects, by the name or by `__name__`.

    Raises:
        ValueError: it is no PromQL, or selects series without saying their name.
    """
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    try:
        return set(_names(promql_parser.parse(expression), expression))
    except ValueError as error:
        raise ValueError(f"{expression}: {error}") from error


def _names(part: Any, whole: str) -> Iterator[str]:
    if isinstance(part, promql_parser.VectorSelector):
        name = part.name
        for matcher in part.matchers.matchers:
            if matcher.name == "__name__" and matcher.op == promql_parser.MatchOp.Equal:
                name = matcher.value
        if not name:
            raise ValueError("a selector without the name of a metric")
        yield name
    for field in ("expr", "lhs", "rhs", "vector_selector", "param"):
        inner = getattr(part, field, None)
        if inner is not None and not isinstance(inner, str | int | float):
            yield from _names(inner, whole)
    if isinstance(part, promql_parser.Call):
        for inner in part.args:
            yield from _names(inner, whole)


def groups_of(objects: Iterable[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All groups of PrometheusRules, each with the object's namespace and name."""
    for item in objects:
        if item["kind"] == "PrometheusRule":
            for group in item["spec"]["groups"]:
                yield f"{item['metadata']['namespace']}/{item['metadata']['name']}", group


def rules_of(objects: Iterable[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All rules, each with the object's namespace and name."""
    for where, group in groups_of(objects):
        for rule in group["rules"]:
            yield where, rule


def dashboards_of(objects: Iterable[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dashboards that Grafana's sidecar would find, each with the ConfigMap's namespace and name."""
    for item in objects:
        if item["kind"] == "ConfigMap" and (item["metadata"].get("labels") or {}).get("grafana_dashboard") == "1":
            for text in item["data"].values():
                yield f"{item['metadata']['namespace']}/{item['metadata']['name']}", json.loads(text)


def asked_of(objects: Iterable[Object]) -> Iterator[Asked]:
    """All expressions of rules and dashboards."""
    listed = list(objects)
    for where, rule in rules_of(listed):
        yield Asked(f"{where}: {rule.get('alert') or rule.get('record')}", str(rule["expr"]))
    for where, dashboard in dashboards_of(listed):
        for variable in (dashboard.get("templating") or {}).get("list", []):
            found = re.fullmatch(r"label_values\((.*), *\w+\)", str(variable.get("query") or ""))
            if found:
                yield Asked(f"{where}: variable {variable['name']}", found[1])
        for panel in _panels(dashboard):
            for target in panel.get("targets", []):
                yield Asked(f"{where}: {panel['title']}", target["expr"])


def _panels(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in part.get("panels", []):
        yield panel
        yield from _panels(panel)
