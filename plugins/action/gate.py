# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until everything that a wave has delivered is ready. Changes nothing."""

from __future__ import annotations

import functools
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.declarations import Roles, Settings
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery, component_name
from ansible_collections.banking.platform.plugins.plugin_utils.kube import apply_objects


class ActionModule(ActionBase):
    """The whole of `banking.platform.gate`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Wait for the wave's components, one after the other: what is ready by then costs one look."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(
            {
                "wave": {"type": "int", "required": True},
                "components": {"type": "list", "elements": "str"},
                "timeout": {"type": "float", "default": 900},
            }
        )
        wave = arguments["wave"]
        try:
            delivery = Delivery(self._templar, variables)
            if delivery.way == "render" or self._task.check_mode:
                return result | {
                    "changed": False,
                    "skipped": True,
                    "msg": "nothing was delivered that could be waited for",
                }
            components = arguments["components"] or self._components(wave, variables)
            for component in components:
                if delivery.way == "gitops":
                    wish = self._refreshed(component, delivery, variables)
                else:
                    wish = {"component": component, "state": "ready"}
                wish |= {"wait": True, "timeout": arguments["timeout"], **delivery.connection}
                _must_be_good(component, apply_objects(self, wish, variables))
        except (Failure, AnsibleError, catalog.CatalogError) as error:
            next_step = getattr(error, "next_step", "")
            msg = f"wave {wave}: {error}" + (f" - next: {next_step}" if next_step else "")
            return result | {"failed": True, "msg": msg, "next_step": next_step}
        return result | {"changed": False, "components": components}

    def _refreshed(self, component: str, delivery: Delivery, variables: dict[str, Any]) -> dict[str, Any]:
        """Have ArgoCD look at the repository now, and say what to wait for: by itself it looks every three minutes."""
        meta = {"name": component, "namespace": argocd.NAMESPACE}
        application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": meta}
        asking = {**meta, "annotations": {"argocd.argoproj.io/refresh": "normal"}}
        asked = self._execute_module(
            module_name="kubernetes.core.k8s",
            module_args={
                "state": "patched",
                "definition": {**application, "metadata": asking},
                **delivery.connection,
            },
            task_vars=variables,
        )
        _must_be_good(component, asked)
        return {"component": component, "objects": [application], "waiting": True}

    def _components(self, wave: int, variables: dict[str, Any]) -> list[str]:
        """The enabled components that come in a wave and have been built."""
        roles = Roles(self._loader)
        settings = functools.cache(lambda _host: Settings(self._templar, roles.defaults, variables))
        found = []
        for role in roles.roles:
            declared = role.declaration or {}
            if not role.built or settings("").render(declared.get("wave")) != wave:
                continue
            if settings("").render(declared.get("enabled", True)):
                found.append(component_name(role.name))
        return found


def _must_be_good(component: str, result: dict[str, Any]) -> None:
    if result.get("failed"):
        raise Failure(f"{component}: {result.get('msg') or 'no reason given'}", result.get("next_step") or "")
