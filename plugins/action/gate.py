# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until everything that a wave has delivered is ready, by the cluster or by ArgoCD."""

from __future__ import annotations

import functools
import time
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, Unreachable
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import REPORT_EVERY
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.declarations import Roles, Settings
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery, component_name
from ansible_collections.banking.platform.plugins.plugin_utils.kube import apply_objects, client_of

display = Display()


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
            plan = Plan()
            if delivery.way == "render" or (self._task.check_mode and delivery.way != "gitops"):
                return result | _nothing(plan)
            components = arguments["components"] or self._components(wave, variables)
            timeout = arguments["timeout"]
            for component in components:
                if delivery.way == "gitops" and not self._comes_first(component, wave, timeout, delivery, variables):
                    self._by_argocd(component, timeout, delivery, plan, variables)
                elif delivery.way == "direct":
                    self._ready({"component": component, "state": "ready"}, timeout, delivery, variables)
            if self._task.check_mode and not plan.changed:
                return result | _nothing(plan)
        except (Failure, AnsibleError, catalog.CatalogError) as error:
            next_step = getattr(error, "next_step", "")
            msg = f"wave {wave}: {error}" + (f" - next: {next_step}" if next_step else "")
            return result | {"failed": True, "msg": msg, "next_step": next_step}
        return result | _shown(plan) | {"components": components}

    def _ready(
        self, wish: dict[str, Any], timeout: float, delivery: Delivery, variables: dict[str, Any]
    ) -> dict[str, Any]:
        wish |= {"wait": True, "timeout": timeout, **delivery.connection}
        found = apply_objects(self, wish, variables)
        if found.get("failed"):
            cause = found.get("msg") or "no reason given"
            raise Failure(f"{wish['component']}: {cause}", found.get("next_step") or "")
        return found

    def _comes_first(
        self, component: str, wave: int, timeout: float, delivery: Delivery, variables: dict[str, Any]
    ) -> bool:
        """Wait for what is there before ArgoCD follows Git; False when it does, and is to be asked."""
        if wave > argocd.WAVE or not delivery.own_argocd or self._task.check_mode:
            return False
        wish = {"component": component, "state": "ready", "unless": argocd.path(argocd.ROOT)}
        return not self._ready(wish, timeout, delivery, variables).get("left")

    def _by_argocd(
        self, component: str, timeout: float, delivery: Delivery, plan: Plan, variables: dict[str, Any]
    ) -> None:
        """Let a component's Application go on if a run past Git held it back, and wait until it is as Git says."""
        try:
            client = client_of(delivery.connection, retry_for=min(60.0, timeout))
            if not self._task.check_mode:
                _await(client, component, timeout)
            step = plan.add(argocd.resumed(client, component))
        except Unreachable:
            if self._task.check_mode:
                return
            raise
        if self._task.check_mode:
            return
        if step.apply:
            step.apply()
        argocd.refresh(client, component)
        meta = {"name": component, "namespace": argocd.NAMESPACE}
        application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": meta}
        self._ready({"component": component, "objects": [application], "waiting": True}, timeout, delivery, variables)

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


def _await(client: Client, component: str, timeout: float) -> None:
    """Wait for the Application of a component that is new in Git: ArgoCD makes it, when it has looked."""
    deadline = time.monotonic() + timeout
    asked, said = False, -REPORT_EVERY
    while client.find(argocd.path(component)) is None:
        if not asked and client.find(argocd.path(argocd.ROOT)):
            argocd.refresh(client, argocd.ROOT)
            asked = True
        left = deadline - time.monotonic()
        if timeout - left >= said + REPORT_EVERY:
            said = timeout - left
            display.display(f"{component}: waiting for ArgoCD to make its Application, {max(0.0, left):.0f} s left")
        if left < 0:
            raise Failure(
                f"{component}: ArgoCD has made no Application of it",
                f"look at the Application {argocd.NAMESPACE}/{argocd.ROOT} (playbooks/platform.yml makes it)",
            )
        time.sleep(1)


def _nothing(plan: Plan) -> dict[str, Any]:
    return {**_shown(plan), "skipped": True, "msg": "nothing was delivered that could be waited for"}


def _shown(plan: Plan) -> dict[str, Any]:
    found = plan.result()
    return {"changed": found["changed"], "plan": [step for step in found["plan"] if step["action"] != "none"]}
