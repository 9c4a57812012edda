# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards from short data."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.grafana_dashboard import (
    COLUMNS,
    KINDS,
    DashboardError,
    dashboard,
)
from ansible_collections.banking.platform.tools.suites import CLONE

FILES = sorted((CLONE / "roles/prometheus/files/dashboards").glob("*.yml"))
each_file = pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)


def made(*panels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dashboard({"title": "A test", "rows": [{"title": "Row", "panels": list(panels)}], **more})


def steps(**thresholds: float) -> list[tuple[Any, str]]:
    panel = made({"title": "x", "expr": "up", "thresholds": thresholds})["panels"][1]
    return [(step["value"], step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


@each_file
def test_no_panel_lies_on_another_or_beside_the_page(file: Path) -> None:
    places = [panel["gridPos"] for panel in dashboard(yaml.safe_load(file.read_text()))["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
    cells: set[tuple[int, int]] = set()
    for place in places:
        own = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not own & cells
        cells |= own


@each_file
def test_it_is_the_same_each_time_and_json(file: Path) -> None:
    data = yaml.safe_load(file.read_text())
    first = json.dumps(dashboard(data), sort_keys=True)
    assert first == json.dumps(dashboard(data), sort_keys=True)
    panels = json.loads(first)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_names_of_dashboards_differ() -> None:
    found = [dashboard(yaml.safe_load(file.read_text())) for file in FILES]
    assert {item["uid"] for item in found} == {"platform", "zones", "golden-signals", "data-tier", "business"}


def test_more_is_worse_or_less_is() -> None:
    assert steps(warning=10, critical=20) == [(None, "green"), (10, "yellow"), (20, "red")]
    assert steps(warning=20, critical=10) == [(None, "red"), (10, "yellow"), (20, "green")]
    assert steps(critical=1) == [(None, "green"), (1, "red")]
    assert steps() == [(None, "green")]


def test_a_panel_asks_for_a_time_or_for_now() -> None:
    panels = made({"title": "a", "expr": "up"}, {"title": "b", "expr": "up", "kind": "stat"})["panels"]
    assert [panel["targets"][0]["instant"] for panel in panels[1:]] == [False, True]
    assert [panel["gridPos"]["w"] for panel in panels[1:]] == [12, 12]


def test_panels_that_find_no_room_begin_a_line() -> None:
    panels = made(*({"title": str(number), "expr": "up"} for number in range(5)))["panels"][1:]
    assert [panel["gridPos"]["y"] for panel in panels] == [1, 1, 1, 1, 1 + KINDS["timeseries"]]


def test_variables_are_values_of_a_label() -> None:
    (variable,) = made({"title": "a", "expr": "up"}, variables=[{"name": "zone", "metric": "up", "label": "zone"}])[
        "templating"
    ]["list"]
    assert variable["query"] == "label_values(up, zone)"


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ({"title": "x", "expr": "up", "unit": "bits"}, "dashboard A test: panel x: unit: "),
        ({"title": "x", "expr": "up", "kind": "pie"}, "dashboard A test: panel x: kind: "),
        ({"title": "x", "expr": "up", "treshold": 1}, "panel x: .*thresholds"),
        ({"title": "x"}, "panel x: it has no expr"),
        ({"expr": "up"}, r"panel \?: it has no title"),
        ({"title": "x", "expr": "up", "thresholds": {"bad": 1}}, "panel x: thresholds: "),
    ],
)
def test_what_cannot_be_drawn_is_said_by_name(panel: dict[str, Any], said: str) -> None:
    with pytest.raises(DashboardError, match=said):
        made(panel)


def test_a_dashboard_without_rows_is_none() -> None:
    with pytest.raises(DashboardError, match="rows is missing"):
        dashboard({"title": "x"})
