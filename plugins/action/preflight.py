# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on the controller what can be proved from the inventory alone. Connects to no host and changes nothing."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import catalog, declarations
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.rules import servers
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import Platform
from ansible_collections.banking.platform.plugins.module_utils.topology import Node, check_topology, read_inventory
from ansible_collections.banking.platform.plugins.plugin_utils import approved, proofs
from ansible_collections.banking.platform.plugins.plugin_utils.declarations import (
    CONTROLLER,
    Roles,
    Settings,
    raw_variables,
)
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import WAYS
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import repository_from


class ActionModule(ActionBase):
    """The whole of `banking.platform.preflight`."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report every finding at once, and fail when one of them is an error."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(
            {
                "groups": {"type": "dict", "required": True},
                "zones": {"type": "list", "elements": "str", "required": True},
                "environment": {"type": "str", "required": True},
                "release": {"type": "str", "required": True},
                "survives": {"type": "str", "choices": ["zone", "node", "nothing"]},
                "budget": {"type": "dict", "default": {}},
                "output": {"type": "path"},
            }
        )
        try:
            proved = self._prove(variables, arguments)
        except catalog.CatalogError as error:
            return {**result, "failed": True, "changed": False, "msg": str(error)}
        if arguments["output"]:
            with open(arguments["output"], "w", encoding="utf-8") as file:
                json.dump(proved, file, indent=2)
        errors = [finding for finding in proved["findings"] if finding["severity"] == "error"]
        result.update(changed=False, **proved, report=proofs.report(proved))
        if errors:
            result.update(
                failed=True,
                msg=f"{len(errors)} error(s) in the inventory, nothing was changed:\n"
                + "\n".join(f"  {Finding(**finding)}" for finding in errors),
            )
        return result

    @staticmethod
    def today() -> datetime.date:
        """The day that ends of life and acceptances are held against."""
        return datetime.datetime.now(datetime.UTC).date()

    def _prove(self, variables: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        hostvars, zones, environment = variables["hostvars"], arguments["zones"], arguments["environment"]
        nodes, groups = read_inventory(hostvars, variables["groups"], arguments["groups"])
        findings = check_topology(nodes, zones, groups, environment)
        roles = Roles(self._loader)
        raw = functools.partial(raw_variables, hostvars)
        settings = functools.cache(lambda host: Settings(self._templar, roles.defaults, raw(host), hostvars))
        nodes, wrong = _with_sizes(nodes, settings)
        declared, unusable = roles.declared(settings, groups)
        platform = Platform(
            environment=environment,
            zones=zones,
            nodes=nodes,
            groups=groups,
            declarations=declared,
            variables=settings(CONTROLLER),
            catalog=catalog.load(
                arguments["release"],
                settings(CONTROLLER).get("platform_catalog_overrides"),
                minor=settings(CONTROLLER).get("platform_kubernetes_minor") or "",
            ),
            today=self.today(),
        )
        given = {name for host in (CONTROLLER, *(node.name for node in nodes)) for name in raw(host)}
        variables_of_all = roles.globals
        prefixes = {role.name for role in roles.roles if role.declaration} | {"platform"}
        return proofs.prove(
            platform,
            [
                *findings,
                *_mistyped(settings(CONTROLLER), variables_of_all, environment),
                *wrong,
                *unusable,
                *_plan(settings(CONTROLLER), environment),
                *_repository(settings(CONTROLLER), environment),
                *servers.unknown_variables(given, roles.known | set(variables_of_all), prefixes),
            ],
            arguments["survives"] or proofs.survives_by_default(zones),
            arguments["budget"],
        )


def _plan(settings: Settings, environment: str) -> list[Finding]:
    """What forbids to apply the plan that the run is to be held to."""
    path = settings.get("platform_plan")
    try:
        if path:
            approved.load(str(path), float(settings.get("platform_plan_max_age") or approved.MAX_AGE))
    except Failure as failure:
        cause = failure.cause.removeprefix("platform_plan: ")
        return [Finding("error", environment, "platform_plan", cause, failure.next_step, rule="plan")]
    return []


def _repository(settings: Settings, environment: str) -> list[Finding]:
    """What keeps components from being committed: the last stage of a run would find it, hours later."""
    if (settings.get("platform_delivery") or WAYS[0]) != "gitops":
        return []
    given = settings.get("platform_git") or {}
    try:
        if not isinstance(given, Mapping):
            return []  # mistyped, and said to be
        repository = repository_from(given)
    except Failure as failure:
        cause = failure.cause.removeprefix("platform_git: ")
        next_step = "write {url, branch, path}, or set platform_delivery to direct or render (docs/gitops.md)"
        next_step = f"{failure.next_step}: {next_step}" if "url" in cause else failure.next_step
        return [Finding("error", environment, "platform_git", cause, next_step, rule="gitops")]
    if repository.username and not repository.password:
        cause = f"the password of {repository.username} is empty: nothing can be pushed unless the server asks for none"
        return [Finding("warning", environment, "platform_git.password", cause, "set it for the run", rule="gitops")]
    return []


def _with_sizes(nodes: list[Node], settings: Callable[[str], Settings]) -> tuple[list[Node], list[Finding]]:
    """The nodes with what `platform_node_size` says of them, and the sizes that cannot be read."""
    sized, findings = [], []
    for node in nodes:
        size = None
        try:
            given = settings(node.name).get("platform_node_size")
            size = declarations.resources("platform_node_size", given, pods=110) if given else None
        except (declarations.DeclarationError, AnsibleError) as error:
            findings.append(
                Finding(
                    "error",
                    node.name,
                    "platform_node_size",
                    str(error).removeprefix("platform_node_size").lstrip(".: "),
                    "write it such as {cpu: 8, memory: 32Gi, disk: 1Ti}",
                    rule="capacity",
                )
            )
        sized.append(dataclasses.replace(node, size=size))
    return sized, findings


def _mistyped(settings: Settings, options: Mapping[str, Any], environment: str) -> list[Finding]:
    """Global variables that are not what meta/variables.yml says; those that only hosts have are not looked for."""
    findings = []
    for name, option in options.items():
        try:
            value = settings.get(name)
        except AnsibleError as error:
            cause = " ".join(str(getattr(error, "message", "") or error).split())
            findings.append(Finding("error", environment, name, cause, "mend the template", rule="variables"))
            continue
        if value is None:
            if option.get("required"):
                findings.append(
                    Finding(
                        "error",
                        environment,
                        name,
                        "it is not set",
                        f"set it in group_vars/all.yml: {option['description']}",
                        rule="variables",
                    )
                )
            continue
        checked = ArgumentSpecValidator({name: {"type": option["type"], "choices": option.get("choices")}}).validate(
            {name: value}
        )
        findings += [
            Finding("error", environment, name, message, "see meta/variables.yml", rule="variables")
            for message in checked.error_messages
        ]
    return findings
