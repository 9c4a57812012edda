# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a node, sign what it joins with, and let it join."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.node.kubeadm import JOINING_GROUP
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Wish, store_of
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

_MODULE = "banking.platform.kubeadm"
_AUTHORITY = "kubernetes"
_INPUTS = "/etc/kubernetes/kubeadm/"
_MOST_SKEW = 240
_SET_HERE = {"phase", "inputs", "authority", "certificate", "approved"}


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.kubeadm`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, sign, apply; say of a failure which host it is about."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        try:
            result.update(self._run(variables))
        except (Failure, AnsibleError) as error:
            result.update(failed=True, msg=getattr(error, "cause", str(error)), plan=[])
            result["next_step"] = getattr(error, "next_step", "")
        if result.get("failed") and "plan" in result:
            next_step = result.get("next_step")
            result["msg"] = f"kubernetes on {variables['inventory_hostname']}: {result['msg']}" + (
                f" - next: {next_step}" if next_step else ""
            )
        for internal in ("how", "time", "invocation"):
            result.pop(internal, None)
        return result

    def _run(self, variables: dict[str, Any]) -> dict[str, Any]:
        given = sorted(_SET_HERE & set(self._task.args))
        if given:
            raise Failure(f"{', '.join(given)}: not for tasks", "leave them out")
        arguments = {**self._task.args, "inputs": self._inputs(variables)}
        found = self._module(variables, **arguments, phase="read")
        if found.get("failed") or "time" not in found:
            return found
        skew = found["time"] - time.time()
        if abs(skew) > _MOST_SKEW:
            raise Failure(
                f"the node's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}: "
                "certificates and leases would not be valid when they should be",
                "mend the time synchronisation of the node (chronyc tracking) and run again",
            )
        if not found["changed"] or self._task.check_mode:
            return found
        if found["how"] == "join":
            request = self._module(variables, **arguments, phase="request")
            if request.get("failed"):
                return request
            arguments.update(self._signed(variables, request["request"]))
        arguments["approved"] = approved.steps(self, variables)
        return self._module(variables, **arguments, phase="apply")

    def _inputs(self, variables: Mapping[str, Any]) -> str:
        """A digest of what kubeadm makes static pods from, as it is rendered: in check mode the node lacks it yet."""
        role = self._task._role
        if role is None or self._task.args.get("state") != "control_plane":
            return ""
        templates = os.path.join(role._role_path, "templates")
        roots = [os.path.join(templates, "root")]
        if variables.get("inventory_dir"):
            roots.append(
                os.path.join(str(variables["inventory_dir"]), "overlay", role.get_name(include_role_fqcn=False))
            )
        renderer = Renderer(self._templar, self._loader, variables, [templates])
        sources = {path: source for root in roots if os.path.isdir(root) for path, source in renderer.tree(root)}
        digest = hashlib.sha256()
        for path, source in sorted(sources.items()):
            # What a join alone reads is no part of the pods.
            if path.startswith(_INPUTS) and not path.endswith("/join.yaml"):
                digest.update(path.encode() + b"\0" + renderer.content(source))
        return digest.hexdigest()

    def _signed(self, variables: dict[str, Any], request: str) -> dict[str, str]:
        store = store_of(self, variables)
        name = self._task.args["name"]
        minutes = int(self._task.args.get("join_minutes") or 15)
        wish = Wish(
            path=f"for the join of {name}",
            key="",
            authority=_AUTHORITY,
            common_name=f"system:bootstrap:{name}",
            organizations=[JOINING_GROUP],
            usages=["client"],
            days=minutes / 1440,
        )
        return {"authority": store.authority(_AUTHORITY).bundle, "certificate": store.sign(wish, request)}

    def _module(self, variables: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=variables)
        return result
