# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the tree in Git back to what it was at an earlier revision, by a new commit."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import argocd, tree
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree
from ansible_collections.banking.platform.plugins.plugin_utils.run_lock import this_run


class ActionModule(ActionBase):
    """The whole of `banking.platform.rollback`."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare the branch with the revision, and commit what it was then."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(
            {
                "revision": {"type": "str", "required": True},
                "components": {"type": "list", "elements": "str", "default": []},
                "remove_components": {"type": "bool", "default": False},
            }
        )
        try:
            return result | self._roll_back(arguments, Delivery(self._templar, variables))
        except (Failure, AnsibleError) as error:
            next_step = getattr(error, "next_step", "")
            msg = f"rollback: {error}" + (f" - next: {next_step}" if next_step else "")
            return result | {"failed": True, "changed": False, "msg": msg, "next_step": next_step}

    def _roll_back(self, arguments: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
        if delivery.repository is None:
            raise Failure("platform_git is not set", "name the repository that ArgoCD follows")
        git = GitTree(delivery.repository, os.path.join(delivery.build_dir, "git"), this_run())
        revision = git.revision(arguments["revision"])
        now, then = git.files(git.head), git.files(revision)
        folders = _folders(arguments["components"], {*now, *then})
        files = git.files_at(revision, folders)
        plan = git.plan(folders, files)
        gone = sorted({*map(_component, now)} - {*map(_component, then)} - {""})
        gone = [name for name in gone if any(_component(step.target) == name for step in plan.steps if step.changes)]
        if gone and not arguments["remove_components"]:
            raise Failure(
                f"components that were not there then would be removed, with all that they have: {', '.join(gone)}",
                "name the components to roll back, or confirm with -e platform_rollback_removes=true",
            )
        found = plan.result(with_diff=self._task.diff)
        found["plan"] = [step for step in found["plan"] if step["action"] != "none"]
        found["from"], found["to"] = git.head, revision
        if plan.changed and not self._task.check_mode:
            found["revision"] = git.write(folders, files, f"Roll back to {revision[:12]}")
        return found


def _component(path: str) -> str:
    """The folder of the component that a file of the tree belongs to."""
    top, _slash, rest = path.partition("/")
    return rest.partition("/")[0] if top == tree.COMPONENTS else ""


def _folders(components: list[str], paths: set[str]) -> list[str]:
    """What is rolled back: all that is the platform's, or some components with their Applications, in whatever wave."""
    if not components:
        return [argocd.APPS, tree.COMPONENTS]
    folders = {_component(path) for path in paths} - {""}
    found = []
    for name in components:
        its = [folder for folder in folders if folder.partition("-")[2] == name]
        if not its:
            known = ", ".join(sorted(folder.partition("-")[2] for folder in folders)) or "none"
            raise Failure(f"there is no component {name} in the tree", f"there are: {known}")
        for folder in its:
            found += [f"{tree.COMPONENTS}/{folder}", f"{argocd.APPS}/{folder}.yaml"]
    return sorted(found)
