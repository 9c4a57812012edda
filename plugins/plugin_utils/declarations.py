# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declarations of all roles (`meta/platform.yml`), rendered with the variables that the roles will see."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils import declarations
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, DeclarationError
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding

_COLLECTION = os.path.join(os.path.dirname(__file__), "..", "..")
ROLES = os.path.join(_COLLECTION, "roles")
VARIABLES = os.path.join(_COLLECTION, "meta", "variables.yml")
# Components of the cluster run on the controller, and see its variables.
CONTROLLER = "localhost"


@dataclass(frozen=True)
class Role:
    """What is read of a role's folder.

    Attributes:
        name: of the folder.
        variables: its defaults, with its vars/ over them.
        options: names of the variables that its argument_specs describe.
        declaration: meta/platform.yml, not rendered; None when the role has none.
        built: whether the role has tasks, and is more than a declaration.
    """

    name: str
    variables: Mapping[str, Any]
    options: frozenset[str]
    declaration: Any = None
    built: bool = False


@dataclass
class Roles:
    """All roles of a folder.

    Args:
        loader: of the task.
        folder: with one folder a role.

    Raises:
        AnsibleError: when a file is no YAML.
    """

    loader: DataLoader
    folder: str = ROLES
    roles: list[Role] = field(init=False)

    def __post_init__(self) -> None:
        self.roles = [self._read(name) for name in sorted(os.listdir(self.folder)) if not name.startswith(".")]

    def _read(self, name: str) -> Role:
        specs = self._yaml(name, "meta/argument_specs.yml") or {}
        entries = specs.get("argument_specs") or {}
        return Role(
            name=name,
            variables={
                **(self._yaml(name, "defaults/main.yml") or {}),
                **(self._yaml(name, "vars/main.yml") or {}),
            },
            options=frozenset(option for entry in entries.values() for option in entry.get("options") or {}),
            declaration=self._yaml(name, "meta/platform.yml"),
            built=os.path.isfile(os.path.join(self.folder, name, "tasks", "main.yml")),
        )

    def _yaml(self, role: str, path: str) -> Any:
        path = os.path.join(self.folder, role, path)
        if not os.path.isfile(path):
            return None
        # As the loader keeps it: a copy of everything takes as long as reading it, and nothing here changes it.
        return self.loader.load_from_file(path, unsafe=True, trusted_as_template=True)

    @property
    def globals(self) -> dict[str, Any]:
        """The variables of the whole platform, each with its type."""
        options: dict[str, Any] = self.loader.load_from_file(VARIABLES)["options"]
        return options

    @property
    def defaults(self) -> dict[str, Any]:
        """The variables of all roles."""
        return {key: value for role in self.roles for key, value in role.variables.items()}

    @property
    def known(self) -> set[str]:
        """Every variable that some role has."""
        return {name for role in self.roles for name in (*role.options, *role.variables)}

    def declared(
        self, settings: Callable[[str], Settings], groups: Mapping[str, Sequence[str]]
    ) -> tuple[list[Declaration], list[Finding]]:
        """The declarations of the enabled components, and what is wrong with the others.

        Args:
            settings: gives a host's variables.
            groups: hosts by role of node.
        """
        found: list[Declaration] = []
        findings: list[Finding] = []
        for role, render in self.renderers(settings, groups):
            try:
                declaration = declarations.parse(role, render())
            except (DeclarationError, AnsibleError) as error:
                findings.append(_finding(role, error))
            else:
                found += [declaration] if declaration else []
        return found, findings

    def renderers(
        self, settings: Callable[[str], Settings], groups: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Each role that declares something, and what renders it as the role sees it; arguments as of `declared`."""
        for role in self.roles:
            if role.declaration is not None:
                members = groups.get(str(role.declaration.get("group", "")), ())
                host = members[0] if members else CONTROLLER
                yield role.name, functools.partial(settings(host).render, role.declaration)


class Settings(Mapping[str, Any]):
    """A host's variables over the defaults of all roles, rendered when they are read.

    Going through all of them leaves out those that need what is not known here, such as facts of a node.

    Args:
        templar: of the task.
        defaults: of the roles.
        variables: of the host.
        hostvars: of all hosts, for templates that look at another one.
    """

    def __init__(
        self, templar: Templar, defaults: Mapping[str, Any], variables: Mapping[str, Any], hostvars: Any = None
    ) -> None:
        self._raw = {**defaults, **variables}
        context = self._raw if hostvars is None else {**self._raw, "hostvars": hostvars}
        self._engine = templar.copy_with_new_env(available_variables=context)
        self._rendered: dict[str, Any] = {}

    def render(self, value: Any) -> Any:
        """A value with its templates filled in."""
        return self._engine.template(value)

    def __getitem__(self, key: str) -> Any:
        if key not in self._rendered:
            self._rendered[key] = self.render(self._raw[key])
        return self._rendered[key]

    def __contains__(self, key: object) -> bool:
        return key in self._raw

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._raw if self._can_be_read(name))

    def _can_be_read(self, name: str) -> bool:
        try:
            self[name]
        except AnsibleError:
            return False
        return True

    def __len__(self) -> int:
        return sum(1 for _name in self)


def raw_variables(hostvars: Any, host: str) -> Mapping[str, Any]:
    """A host's variables with their templates not filled in; nothing for a host that the inventory does not have."""
    if host not in hostvars:
        return {}
    found = hostvars.raw_get(host) if hasattr(hostvars, "raw_get") else hostvars[host]
    return found if isinstance(found, Mapping) else {}


def _finding(role: str, error: Exception) -> Finding:
    if isinstance(error, DeclarationError):
        cause = str(error).removeprefix(f"{role}: meta/platform.yml: ")
        next_step = "mend the value; the declaration takes it from a variable of the role or of the inventory"
    else:
        cause = " ".join(str(getattr(error, "message", "") or error).split())
        next_step = "define it in the inventory, or mend the template"
    return Finding("error", role, f"roles/{role}/meta/platform.yml", cause, next_step, rule="declaration")
