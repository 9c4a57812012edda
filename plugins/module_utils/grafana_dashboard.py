# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dashboards of Grafana made of a few words: rows of panels, each with its expressions, unit and thresholds.

The model is Grafana's: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

COLUMNS = 24
KINDS = {"timeseries": 8, "stat": 4, "gauge": 6, "bargauge": 6, "table": 8}  # with the height of each
# https://github.com/grafana/grafana/blob/v11.3.0/packages/grafana-data/src/valueFormats/categories.ts
UNITS = ("short", "none", "percent", "percentunit", "s", "ms", "bytes", "Bps", "reqps", "ops", "cps", "dateTimeFromNow")
SOURCE = {"type": "prometheus", "uid": "prometheus"}
_SCHEMA = 39  # of Grafana 11; newer ones bring it up to date when they read it
_MOST_IN_LINE = 4
_PANEL = ("title", "expr", "legend", "queries", "unit", "thresholds", "kind", "description", "min", "max", "width")
_DASHBOARD = ("title", "uid", "tags", "refresh", "from", "variables", "rows")


class DashboardError(ValueError):
    """Data that no dashboard can be made of: names the dashboard, the panel, and what to write."""


def dashboard(data: Mapping[str, Any]) -> Dict[str, Any]:
    """A dashboard as Grafana reads it.

    Args:
        data: `title`, and `rows`, each {title, panels}; a panel is {title, expr or queries ({expr, legend} each),
            legend, unit, thresholds ({warning, critical}; where critical is the smaller, less is worse), kind (a KIND),
            description, min, max, width (columns of 24)}. `variables`: {name, metric, label} each, to choose from the
            values that a label of a metric has. `uid`, `tags`, `refresh` (30s) and `from` (now-6h).

    Returns:
        The dashboard; the same for the same data.

    Raises:
        DashboardError: something is missing, unknown, or of a kind that is not known.
    """
    where = f"dashboard {data.get('title', '?')}"
    _known(where, data, _DASHBOARD)
    for key in ("title", "rows"):
        if not data.get(key):
            raise DashboardError(f"{where}: {key} is missing")
    panels: List[Dict[str, Any]] = []
    line = 0
    for row in data["rows"]:
        _known(f"{where}: row", row, ("title", "panels"))
        panels.append(_numbered(panels, {"type": "row", "title": row["title"], "collapsed": False, "panels": []}))
        panels[-1]["gridPos"] = {"x": 0, "y": line, "w": COLUMNS, "h": 1}
        line = _lay(where, row, panels, line + 1)
    return {
        "uid": data.get("uid") or re.sub(r"[^a-z0-9]+", "-", data["title"].lower()).strip("-")[:40],
        "title": data["title"],
        "tags": ["platform", *data.get("tags", [])],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": data.get("refresh", "30s"),
        "time": {"from": data.get("from", "now-6h"), "to": "now"},
        "templating": {"list": [_variable(f"{where}: variable", item) for item in data.get("variables", [])]},
        "annotations": {"list": []},
        "panels": panels,
    }


def _lay(where: str, row: Mapping[str, Any], panels: List[Dict[str, Any]], line: int) -> int:
    """Panels of a row beside each other, as many as there is room for; the line behind them."""
    listed: Sequence[Mapping[str, Any]] = row["panels"]
    share = COLUMNS // min(len(listed), _MOST_IN_LINE)
    column = height = 0
    for item in listed:
        panel = _panel(where, item)
        width = int(item.get("width", share))
        if column + width > COLUMNS:
            column, line, height = 0, line + height, 0
        tall = KINDS[panel["type"]]
        panel["gridPos"] = {"x": column, "y": line, "w": width, "h": tall}
        column, height = column + width, max(height, tall)
        panels.append(_numbered(panels, panel))
    return line + height


def _panel(where: str, item: Mapping[str, Any]) -> Dict[str, Any]:
    where = f"{where}: panel {item.get('title', '?')}"
    _known(where, item, _PANEL)
    kind = item.get("kind", "timeseries")
    if kind not in KINDS:
        raise DashboardError(f"{where}: kind: {nearest(kind, KINDS)}")
    unit = item.get("unit", "short")
    if unit not in UNITS:
        raise DashboardError(f"{where}: unit: {nearest(unit, UNITS)}")
    queries = item.get("queries") or (
        [{"expr": item["expr"], "legend": item.get("legend", "")}] if "expr" in item else []
    )
    if not queries or "title" not in item:
        raise DashboardError(f"{where}: it has no {'title' if queries else 'expr'}")
    defaults: Dict[str, Any] = {"unit": unit, "thresholds": _thresholds(where, item.get("thresholds") or {})}
    defaults.update({key: item[key] for key in ("min", "max") if key in item})
    defaults["color"] = {"mode": "palette-classic" if kind == "timeseries" else "thresholds"}
    if kind == "timeseries":
        drawn = "line" if item.get("thresholds") else "off"
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "never",
            "thresholdsStyle": {"mode": drawn},
        }
    instant = kind != "timeseries"
    return {
        "type": kind,
        "title": item["title"],
        "description": item.get("description", ""),
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(kind),
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": str(query["expr"]).strip(),
                "legendFormat": query.get("legend") or "__auto",
                "instant": instant,
                "range": not instant,
                **({"format": "table"} if kind == "table" else {}),
            }
            for index, query in enumerate(queries)
        ],
    }


def _options(kind: str) -> Dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "table":
        return {"showHeader": True}
    found: Dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "stat":
        found.update(colorMode="background", graphMode="none", textMode="auto")
    if kind == "bargauge":
        found.update(displayMode="basic", orientation="horizontal")
    return found


def _thresholds(where: str, given: Mapping[str, Any]) -> Dict[str, Any]:
    """Steps upwards, as Grafana wants them: the first has no value and holds below all others."""
    _known(f"{where}: thresholds", given, ("warning", "critical"))
    steps = [(given[name], colour) for name, colour in (("warning", "yellow"), ("critical", "red")) if name in given]
    lowest = "green"
    if len(steps) == 2 and steps[1][0] < steps[0][0]:
        # Less is worse: each colour ends where its value is reached.
        steps, lowest = [(steps[1][0], "yellow"), (steps[0][0], "green")], "red"
    return {
        "mode": "absolute",
        "steps": [{"color": lowest, "value": None}, *({"color": colour, "value": value} for value, colour in steps)],
    }


def _variable(where: str, item: Mapping[str, Any]) -> Dict[str, Any]:
    _known(where, item, ("name", "metric", "label"))
    return {
        "type": "query",
        "name": item["name"],
        "datasource": SOURCE,
        "query": f"label_values({item['metric']}, {item['label']})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def _numbered(panels: Sequence[Mapping[str, Any]], panel: Dict[str, Any]) -> Dict[str, Any]:
    return {"id": len(panels) + 1, **panel}


def _known(where: str, given: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in given:
        if key not in keys:
            raise DashboardError(f"{where}: {nearest(key, keys)}")
