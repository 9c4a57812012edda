# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/hardening.md names controls; each of them has to be there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[4] / "roles" / "node"

PAGE = (ROLE.parents[1] / "docs" / "hardening.md").read_text()
ROWS = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if re.match(r"\| [0-9]", line)]


def controls() -> Iterator[tuple[str, str]]:
    """Item and each name in backticks, of the introduction and of the rows that claim to be met."""
    yield from (("introduction", name) for name in re.findall(r"`([^`]+)`", PAGE.split("## ", maxsplit=1)[0]))
    for item, _title, _level, met, control in ROWS:
        if met in ("yes", "partly"):
            yield from ((item, name) for name in re.findall(r"`([^`]+)`", control))


def test_counts_are_right() -> None:
    counted = {met: sum(row[3] == met for row in ROWS) for met in ("yes", "partly", "other", "no")}
    text = " ".join(PAGE.split("## ", maxsplit=1)[0].split())
    stated = re.search(r"Of (\d+) items, (\d+) are met .*?, (\d+) in part, (\d+) belong .*?, and (\d+) are not", text)
    assert stated
    assert [int(number) for number in stated.groups()] == [len(ROWS), *counted.values()]
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_every_item_has_a_control_or_a_reason() -> None:
    assert [row[0] for row in ROWS if len(row) != 5 or len(row[4]) < 4] == []


@pytest.mark.parametrize("kind", ["paths", "variables", "sysctls", "packages", "units"])
def test_controls_exist(node: Callable[..., Any], kind: str) -> None:
    host = node()
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    known: dict[str, tuple[str, set[str]]] = {
        "paths": (r"/.*", set(host.tree()) | set(host.variable("__node_files")) | set(host.variable("__node_absent"))),
        "variables": (r"node_.*", {"node_time_sources", *defaults}),
        "sysctls": (r"(kernel|net|fs|vm|dev)\..*", set(defaults["node_sysctl"])),
        "units": (r".*\.service", set(host.variable("__node_units"))),
        "packages": (
            r"(apparmor|chrony|nftables|sudo|auditd|logrotate|libpam-pwquality|ufw|rsyslog|xserver-common)",
            set(defaults["node_packages"]) | set(defaults["node_packages_forbidden"]),
        ),
    }
    pattern, names = known[kind]
    named = {(item, name) for item, name in controls() if re.fullmatch(pattern, name)}
    assert named
    assert sorted((item, name) for item, name in named if name not in names) == []
