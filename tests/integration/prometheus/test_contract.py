# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of metrics: what alerts, rules and panels ask for, some role declares; the rest nobody declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.banking.platform.tests import promql
from ansible_collections.banking.platform.tests.integration.prometheus.conftest import RELEASES
from ansible_collections.banking.platform.tests.platform_tree import Platform
from ansible_collections.banking.platform.tools.suites import CLONE

each_release = pytest.mark.parametrize("release", RELEASES)
Platforms = Mapping[str, Platform]
# Declared for whoever writes an application; no alert of the platform need use it.
OF_APPLICATIONS = "banking_apps"


def declared(release: str) -> dict[str, set[str]]:
    """Names of metrics by the role that declares them. They may differ by the release."""
    templar = Templar(loader=DataLoader(), variables={"platform_release": release})
    found: dict[str, set[str]] = {}
    for path in sorted(CLONE.glob("roles/*/meta/platform.yml")):
        for entry in yaml.safe_load(path.read_text()).get("metrics") or []:
            series = entry.get("series", [])
            names = templar.template(trust_as_template(series)) if isinstance(series, str) else series
            found.setdefault(path.parts[-3], set()).update(names)
    return found


def undeclared(objects: Iterable[Mapping[str, Any]], release: str) -> list[str]:
    """What is asked for and neither declared nor recorded, with who asks."""
    listed = list(objects)
    known = set().union(*declared(release).values())
    known |= {rule["record"] for _where, rule in promql.rules_of(listed) if "record" in rule}
    return [
        f"{asked.where} asks for {name}"
        for asked in promql.asked_of(listed)
        for name in sorted(promql.metrics_of(asked.expression) - known)
    ]


@each_release
def test_what_is_asked_for_is_declared(platforms: Platforms, release: str) -> None:
    missing = undeclared(platforms[release].objects, release)
    assert missing == [], "name it in `series` of the role that has it (meta/platform.yml), if its exporter does"


def test_what_is_declared_is_asked_for(platforms: Platforms) -> None:
    asked = {
        name
        for platform in platforms.values()
        for expression in promql.asked_of(platform.objects)
        for name in promql.metrics_of(expression.expression)
    }
    unused = {
        f"{role}: {name}"
        for release in RELEASES
        for role, names in declared(release).items()
        if role != OF_APPLICATIONS
        for name in names - asked
    }
    assert unused == set(), "nobody uses it: take it out of `series`"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("rate(a_total[5m]) / on (x) group_left () sum by (x) (b)", {"a_total", "b"}),
        ("histogram_quantile(0.9, sum by (le) (rate(c_bucket[5m]))) > 2 * scalar(d)", {"c_bucket", "d"}),
        ('absent(e{f="g"}) or max_over_time(h[1h:5m]) or -i', {"e", "h", "i"}),
        ('label_replace(j, "k", "$1", "l", "(.+)") unless m offset 5m', {"j", "m"}),
        ('{__name__="n"} + topk(3, o) + count_values("p", q)', {"n", "o", "q"}),
        ("sum(rate(r_total[$__rate_interval]))", {"r_total"}),
        ("vector(1) and on () hour() > 2", set()),
        ("predict_linear(s[6h], 3600) < 0 and quantile_over_time(0.5, t[1h]) > 0", {"s", "t"}),
    ],
)
def test_names_are_found_wherever_they_stand(expression: str, names: set[str]) -> None:
    assert promql.metrics_of(expression) == names


@pytest.mark.parametrize("expression", ['{job="x"}', "rate(a_total)", "sum by ("])
def test_what_has_no_name_or_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        promql.metrics_of(expression)


def test_an_undeclared_metric_is_found() -> None:
    rule = {"alert": "X", "expr": "no_such_metric > 0"}
    item = {
        "kind": "PrometheusRule",
        "metadata": {"name": "x", "namespace": "y"},
        "spec": {"groups": [{"name": "z", "rules": [rule]}]},
    }
    assert undeclared([item], RELEASES[0]) == ["y/x: X asks for no_such_metric"]
