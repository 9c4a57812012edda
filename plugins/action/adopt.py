# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have ArgoCD follow the repository, and hand over to it what was delivered without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Unreachable
from ansible_collections.banking.platform.plugins.module_utils.kube.inventory import LABEL
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved, argocd, manifests, tree
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree
from ansible_collections.banking.platform.plugins.plugin_utils.kube import apply_objects, client_of
from ansible_collections.banking.platform.plugins.plugin_utils.run_lock import this_run

# What ArgoCD is told by us alone, and never by Git: which repository it follows, and what may come from there.
_COMPONENT = "gitops"
_TIMEOUT = 900  # seconds until ArgoCD is ready


class ActionModule(ActionBase):
    """The whole of `banking.platform.adopt`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Name the repository to ArgoCD, then hand over component by component."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        self.validate_argument_spec({})
        try:
            delivery = Delivery(self._templar, variables)
            if delivery.way != "gitops":
                return result | {"changed": False, "skipped": True, "msg": "nothing is delivered by Git"}
            return result | self._adopt(delivery, variables)
        except (Failure, AnsibleError) as error:
            next_step = getattr(error, "next_step", "")
            msg = f"adopt: {error}" + (f" - next: {next_step}" if next_step else "")
            return result | {"failed": True, "changed": False, "msg": msg, "next_step": next_step}

    def _adopt(self, delivery: Delivery, variables: dict[str, Any]) -> dict[str, Any]:
        repository = delivery.repository
        if repository is None:
            raise Failure("platform_git is not set", "name the repository that ArgoCD follows")
        objects = [argocd.project(repository), argocd.root(repository)]
        if delivery.git_credentials:
            objects.append(argocd.credentials(repository, delivery.git_credentials))
        steps = approved.steps(self, variables)
        found: dict[str, Any] = {"changed": False, "plan": [], "deferred": [], "diff": [], "warnings": []}
        wishes: list[dict[str, Any]] = []
        if not self._task.check_mode:
            ready = {"component": argocd.COMPONENT, "state": "ready", "wait": True, "timeout": _TIMEOUT}
            wishes.append({**ready, "unless": argocd.path(argocd.ROOT)})
        # Before anything is handed over: a run that is killed in between goes on with Git alone.
        wishes.append({"component": _COMPONENT, "objects": objects, "approved": steps})
        git = GitTree(repository, os.path.join(delivery.build_dir, "git"), this_run())
        # What is handed over is not changed, and so no part of an approved plan.
        wishes += [
            {"component": name, "objects": items, "state": "handed_over", "hand_over_to": argocd.MANAGER}
            for name, items in self._delivered(git, delivery)
        ]
        for wish in wishes:
            done = apply_objects(self, {**wish, **delivery.connection}, variables)
            for key in ("plan", "deferred", "diff", "warnings"):
                found[key] += done.get(key) or ()
            found["changed"] = bool(found["changed"] or done.get("changed"))
            if done.get("failed"):
                cause, next_step = done.get("msg") or "no reason given", done.get("next_step") or ""
                msg = f"adopt: {wish['component']}: {cause}" + (f" - next: {next_step}" if next_step else "")
                return {**found, "failed": True, "msg": msg, "next_step": next_step}
        return found

    def _delivered(self, git: GitTree, delivery: Delivery) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The components in Git that were once applied by us, each with its objects as Git has them."""
        try:
            client = client_of(delivery.connection)
            listed = client.list("/api/v1/namespaces/kube-system/configmaps", labels=LABEL)
            applied = {item["metadata"]["labels"][LABEL] for item in listed}
        except Unreachable:
            if self._task.check_mode:
                return
            raise
        folders: dict[str, str] = {}
        for path in git.files(git.head, [tree.COMPONENTS]):
            folder = path.split("/")[1]
            folders[folder.partition("-")[2]] = folder
        for name in sorted(applied & set(folders)):
            top = f"{tree.COMPONENTS}/{folders[name]}"
            files = git.files_at(git.head, [top])
            # What is only created belongs to another component by now.
            kept = {path: text for path, text in files.items() if not path.startswith(f"{top}/{manifests.ONCE}")}
            yield name, [item.object for path, text in kept.items() for item in manifests.load(text.decode(), path)]
