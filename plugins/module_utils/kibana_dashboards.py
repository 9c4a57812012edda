# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of Kibana, made of a short description, as saved objects that `kibana_config` takes.

A dashboard is a list of panels; each panel counts or averages something over time, by some field, or as one number.
They become visualizations of Kibana's own aggregations (types `metric`, `histogram`, `pie`, `table`), whose form has
been the same since 7: elastic/kibana, src/plugins/visualizations/common and src/plugins/vis_types.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

SHAPES = ("number", "over_time", "share", "table")
METRICS = ("count", "unique", "average", "percentile")
_PANEL = ("title", "shape", "query", "by", "metric", "field", "size", "width")
# Columns of Kibana's grid, and lines of a panel.
_GRID, _HEIGHT = 48, 14
_WIDTHS = {"number": 12, "over_time": 24, "share": 12, "table": 24}


class DashboardError(ValueError):
    """A description that no dashboard can be made of: names the panel, and what to write."""


def saved_objects(
    dashboards: Sequence[Mapping[str, Any]], space: str = "default", links: Mapping[str, str] | None = None
) -> List[Dict[str, Any]]:
    """Saved objects of some dashboards: data views, visualizations, dashboards, each after what it refers to.

    Args:
        dashboards: each {id, title, data (a pattern of data streams), panels}; a panel is {title, shape, query (KQL),
            by (a field), metric (`count` by default), field, size, width}.
        space: where they are.
        links: by field the address that its value leads to, with {{value}} where the value comes: an URL formatter
            of each data view, https://www.elastic.co/guide/en/kibana/8.11/managing-data-views.html#string-field-formatters

    Raises:
        DashboardError: naming the dashboard and the panel.
    """
    urls = {field: {"id": "url", "params": {"urlTemplate": address}} for field, address in (links or {}).items()}
    formats = {"fieldFormatMap": _json(urls)} if urls else {}
    views: Dict[str, Dict[str, Any]] = {}
    found: List[Dict[str, Any]] = []
    for dashboard in dashboards:
        _known(f"dashboard {dashboard.get('id')}", dashboard, ("id", "title", "data", "panels", "description"))
        view = "view-" + _slug(str(dashboard["data"]))
        views[view] = _object(
            space,
            "index-pattern",
            view,
            {"title": dashboard["data"], "name": dashboard["data"], "timeFieldName": "@timestamp", **formats},
            [],
        )
        panels, references, column, line = [], [], 0, 0
        for number, panel in enumerate(dashboard["panels"]):
            made = _visualization(space, f"{dashboard['id']}-{number}", str(dashboard["id"]), panel, view)
            found.append(made)
            width = int(panel.get("width") or _WIDTHS[panel["shape"]])
            if column + width > _GRID:
                column, line = 0, line + _HEIGHT
            grid = {"x": column, "y": line, "w": width, "h": _HEIGHT, "i": str(number)}
            panels.append(
                {
                    "type": "visualization",
                    "gridData": grid,
                    "panelIndex": str(number),
                    "embeddableConfig": {"enhancements": {}},
                    "panelRefName": f"panel_{number}",
                }
            )
            references.append({"name": f"{number}:panel_{number}", "type": "visualization", "id": made["id"]})
            column += width
        found.append(
            _object(
                space,
                "dashboard",
                str(dashboard["id"]),
                {
                    "title": dashboard["title"],
                    "description": dashboard.get("description", ""),
                    "panelsJSON": _json(panels),
                    "optionsJSON": _json({"useMargins": True, "hidePanelTitles": False}),
                    "timeRestore": True,
                    "timeFrom": "now-24h",
                    "timeTo": "now",
                    "kibanaSavedObjectMeta": {
                        "searchSourceJSON": _json({"query": {"query": "", "language": "kuery"}, "filter": []})
                    },
                },
                references,
            )
        )
    return [*views.values(), *found]


def _visualization(space: str, name: str, dashboard: str, panel: Mapping[str, Any], view: str) -> Dict[str, Any]:
    where = f"dashboard {dashboard}, panel {panel.get('title')!r}"
    _known(where, panel, _PANEL)
    shape, metric = panel.get("shape"), panel.get("metric", "count")
    if shape not in SHAPES:
        raise DashboardError(f"{where}: shape {shape!r}: {nearest(str(shape), SHAPES)}")
    if metric not in METRICS:
        raise DashboardError(f"{where}: metric {metric!r}: {nearest(str(metric), METRICS)}")
    if (metric == "count") == bool(panel.get("field")):
        raise DashboardError(f"{where}: field: {'take it out' if metric == 'count' else 'which field is wanted'}")
    if shape in ("share", "table") and not panel.get("by"):
        raise DashboardError(f"{where}: by: a field is wanted, for one row or slice each")
    aggregations = [_metric(str(metric), panel)]
    by = panel.get("by")
    if shape == "over_time":
        aggregations.append(_bucket("2", "date_histogram", "segment", {"field": "@timestamp", "interval": "auto"}))
        if by:
            aggregations.append(_terms("3", "group", by, panel))
    elif by:
        aggregations.append(_terms("2", "bucket" if shape == "table" else "segment", by, panel))
    kind = {"number": "metric", "over_time": "histogram", "share": "pie", "table": "table"}[str(shape)]
    state = {"title": panel["title"], "type": kind, "aggs": aggregations, "params": _params(kind, str(panel["title"]))}
    source = {
        "query": {"query": panel.get("query", ""), "language": "kuery"},
        "filter": [],
        "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index",
    }
    return _object(
        space,
        "visualization",
        name,
        {
            "title": panel["title"],
            "description": "",
            "visState": _json(state),
            "uiStateJSON": "{}",
            "version": 1,
            "kibanaSavedObjectMeta": {"searchSourceJSON": _json(source)},
        },
        [{"name": "kibanaSavedObjectMeta.searchSourceJSON.index", "type": "index-pattern", "id": view}],
    )


def _metric(metric: str, panel: Mapping[str, Any]) -> Dict[str, Any]:
    kind = {"count": "count", "unique": "cardinality", "average": "avg", "percentile": "percentiles"}[metric]
    params: Dict[str, Any] = {"field": panel["field"]} if panel.get("field") else {}
    if metric == "percentile":
        params["percents"] = [95]
    return {"id": "1", "enabled": True, "type": kind, "schema": "metric", "params": params}


def _bucket(number: str, kind: str, schema: str, params: Mapping[str, Any]) -> Dict[str, Any]:
    return {"id": number, "enabled": True, "type": kind, "schema": schema, "params": dict(params)}


def _terms(number: str, schema: str, field: str, panel: Mapping[str, Any]) -> Dict[str, Any]:
    order = "1.95" if panel.get("metric") == "percentile" else "1"
    params = {"field": field, "size": int(panel.get("size") or 10), "order": "desc", "orderBy": order}
    return _bucket(number, "terms", schema, params)


def _params(kind: str, title: str) -> Dict[str, Any]:
    if kind == "metric":
        return {"addTooltip": True, "addLegend": False, "type": "metric", "metric": {"labels": {"show": True}}}
    if kind == "pie":
        return {"type": "pie", "addTooltip": True, "legendDisplay": "show", "legendPosition": "right", "isDonut": True}
    if kind == "table":
        return {"perPage": 10, "showPartialRows": False, "showMetricsAtAllLevels": False, "showTotal": False}
    axis = {"id": "ValueAxis-1", "name": "LeftAxis-1", "type": "value", "position": "left", "show": True}
    series = {"show": True, "type": "histogram", "mode": "stacked", "valueAxis": "ValueAxis-1"}
    return {
        "type": "histogram",
        "addTooltip": True,
        "addLegend": True,
        "legendPosition": "right",
        "categoryAxes": [{"id": "CategoryAxis-1", "type": "category", "position": "bottom", "show": True}],
        "valueAxes": [{**axis, "scale": {"type": "linear", "mode": "normal"}, "title": {"text": title}}],
        "seriesParams": [{**series, "data": {"label": title, "id": "1"}}],
    }


def _object(
    space: str, kind: str, name: str, attributes: Mapping[str, Any], references: Sequence[Mapping[str, str]]
) -> Dict[str, Any]:
    return {
        "space": space,
        "type": kind,
        "id": f"{space}-{name}",
        "attributes": dict(attributes),
        "references": [
            {
                **reference,
                "id": reference["id"] if reference["id"].startswith(f"{space}-") else f"{space}-{reference['id']}",
            }
            for reference in references
        ],
    }


def _json(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")


def _known(where: str, data: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in data:
        if key not in known:
            raise DashboardError(f"{where}: unknown key {key!r}: {nearest(str(key), known)}")
