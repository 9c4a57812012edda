# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of the cluster's components, rendered as their tasks say. Charts: tests/integration/component/deliver.py."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, parse
from ansible_collections.banking.platform.plugins.plugin_utils import charts, helm, released
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import documents, load
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action, trusted
from ansible_collections.banking.platform.tools.suites import CLONE

RELEASES = ("2024.1", "2026.2")


@dataclass
class Rendered:
    """What a role delivers.

    Attributes:
        objects: by kind and name.
        values: of each chart, by its name.
        charts: the same by the release's name, where a chart has several.
        declared: what the role declares with the same variables.
        variables: the role's own and those that were given, rendered when they are asked for.
        refused: what those assertions of its tasks say that do not hold; not those with a condition or a loop.
    """

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    charts: dict[str, Any] = field(default_factory=dict)
    declared: Declaration | None = None
    variables: Any = None
    refused: list[str] = field(default_factory=list)

    def workload(self, name: str) -> Any:
        """A workload of the declaration."""
        assert self.declared
        return next(workload for workload in self.declared.workloads if workload.name == name)


class _Rendering(Mapping[str, Any]):
    """Variables that are templates, as Ansible would see them."""

    def __init__(self, templar: Templar, variables: Mapping[str, Any]) -> None:
        self._templar, self._variables = templar, variables

    def __getitem__(self, name: str) -> Any:
        return self._templar.template(self._variables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


@pytest.fixture
def rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rendered]:
    """Render a role for a release with some variables; `tasks` is the file of its tasks."""
    runs = itertools.count()

    def render(role: str, release: str, tasks: str = "main", **settings: Any) -> Rendered:
        folder = CLONE / "roles" / role
        found = Rendered()
        build = tmp_path / str(next(runs))

        def template(wish: charts.Release, *_arguments: Any, **_options: Any) -> list[Any]:
            found.values[wish.chart.name] = next(iter(documents(wish.values, "values")), ({}, ""))[0]
            found.charts[wish.name] = found.values[wish.chart.name]
            return []

        monkeypatch.setattr(charts, "fetch", lambda *_arguments: "")
        monkeypatch.setattr(helm, "program", lambda *_arguments: "helm")
        monkeypatch.setattr(charts, "render", template)
        monkeypatch.setattr(charts, "without", lambda _source, objects, _left_out: objects)
        monkeypatch.setattr(released, "load", lambda *_arguments: [])
        files = [folder / "defaults" / "main.yml", folder / "vars" / "main.yml"]
        variables: dict[str, Any] = {
            "platform_release": release,
            "platform_environment": "test",
            "platform_domain": "example.org",
            "platform_zones": ["zone-a", "zone-b", "zone-c"],
            "platform_delivery": "render",
            "platform_build_dir": str(build),
            "role_path": str(folder),
            "inventory_dir": str(tmp_path),
            "inventory_hostname": "localhost",
        }
        for file in files:
            variables |= yaml.safe_load(file.read_text())
        variables = {key: trusted(value) for key, value in {**variables, **settings}.items()}
        templar = Templar(loader=DataLoader(), variables=variables)
        found.variables = _Rendering(templar, variables)
        found.declared = parse(
            role, templar.template(trusted(yaml.safe_load((folder / "meta/platform.yml").read_text())))
        )
        for task in yaml.safe_load((folder / "tasks" / f"{tasks}.yml").read_text()):
            if "ansible.builtin.assert" in task and not {"when", "loop"} & set(task):
                claims = task["ansible.builtin.assert"]
                if not all(templar.template(trusted(f"{{{{ {claim} }}}}")) is True for claim in claims["that"]):
                    found.refused.append(templar.template(trusted(claims["fail_msg"])))
            if "banking.platform.component" in task:
                arguments = templar.template(trusted(task["banking.platform.component"] or {}))
                action = make_action("component", arguments, folder, **variables)
                action._task.check_mode, action._task.diff = False, False
                result = action.run(task_vars=variables)
                assert not result.get("failed"), result["msg"]
        for path in (build / "tree").rglob("*.yaml"):
            for item in load(path.read_text(), str(path)):
                found.objects[item.object["kind"], item.object["metadata"]["name"]] = item.object
        return found

    return render
