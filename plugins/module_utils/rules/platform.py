# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the rules of settings look at, and how a rule is written: one function, found by its decorator."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence

from ansible_collections.banking.platform.plugins.module_utils.catalog import Catalog
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding
from ansible_collections.banking.platform.plugins.module_utils.topology import Node


@dataclass(frozen=True)
class Platform:
    """All that is known of a platform from its inventory alone.

    Attributes:
        environment: the inventory's name for itself.
        zones: declared names.
        nodes: all servers.
        groups: hosts by role of node (`control_plane`, ...).
        declarations: of the enabled components.
        variables: the run's variables over the defaults of all roles, rendered.
        catalog: of the release.
        today: the day that dates are held against.
    """

    environment: str
    zones: Sequence[str]
    nodes: Sequence[Node]
    groups: Mapping[str, Sequence[str]]
    declarations: Sequence[Declaration]
    variables: Mapping[str, Any]
    catalog: Catalog
    today: datetime.date

    def enabled(self, component: str) -> bool:
        """Whether a component is part of the platform."""
        return any(declaration.component == component for declaration in self.declarations)

    def workloads(self) -> Iterator[Workload]:
        """Every workload of every enabled component."""
        for declaration in self.declarations:
            yield from declaration.workloads


Rule = Callable[[Platform], Iterable[Finding]]
RULES: Dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Make a function a rule of that name; the name is what users read, and what its tests are found by."""

    def register(function: Rule) -> Rule:
        if name in RULES:
            raise ValueError(f"two rules are called {name!r}")
        RULES[name] = function
        return function

    return register


def check_settings(platform: Platform) -> List[Finding]:
    """What all rules find."""
    return [finding for check in RULES.values() for finding in check(platform)]
