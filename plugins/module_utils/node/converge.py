# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node reconciler: from a role's wish to a plan for one node, and from the plan to the node."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from typing import Any, Dict, Mapping

from ansible_collections.banking.platform.plugins.module_utils.node.artifacts import Artifacts, WantedArtifact
from ansible_collections.banking.platform.plugins.module_utils.node.files import Files, WantedDirectory, WantedFile
from ansible_collections.banking.platform.plugins.module_utils.node.kernel import Kernel, module_lines, sysctl_lines
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.node.units import Inputs, Units, WantedUnit
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, PlanFailed


def pack_tree(tree: Mapping[str, bytes]) -> str:
    """Pack rendered files into one value that a module takes as a secret.

    Args:
        tree: content by path on the node.

    Returns:
        One line of ASCII: as a whole it is masked in every log, and no part of it masks anything else.
    """
    encoded = {path: base64.b64encode(content).decode() for path, content in tree.items()}
    return base64.b64encode(zlib.compress(json.dumps(encoded).encode(), 6)).decode()


def unpack_tree(packed: str) -> Dict[str, bytes]:
    """The reverse of `pack_tree`."""
    encoded = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {path: base64.b64decode(content) for path, content in encoded.items()}


class Converge:
    """One run on one node.

    Args:
        wanted: the module's parameters, checked and completed (see `spec.complete`).
        system: the node.
        check: whether this is check mode.
    """

    def __init__(self, wanted: Mapping[str, Any], system: System, check: bool) -> None:
        self.system = system
        self.check = check
        self.approved = wanted["approved"]
        self.plan = Plan()
        unavailable = wanted["unavailable"]
        self.kernel = Kernel(
            system, wanted["modules"], wanted["sysctl"], unavailable["modules"], unavailable["sysctl"], check
        )
        self.artifacts = Artifacts(
            system, {name: WantedArtifact(name=name, **artifact) for name, artifact in wanted["artifacts"].items()}
        )
        tree = unpack_tree(wanted["tree"])
        files = {
            path: WantedFile(path, tree.get(path), **wanted["files"].get(path, {}))
            for path in {*tree, *wanted["files"]}
        }
        for path, content in self._kernel_files(wanted["name"]).items():
            files[path] = WantedFile(path, content)
        self.files = Files(
            system,
            files,
            {path: WantedDirectory(path, **directory) for path, directory in wanted["directories"].items()},
            {**wanted["links"], **self.artifacts.links()},
            wanted["absent"],
            check,
        )
        self.units = {name: _wanted_unit(name, unit) for name, unit in wanted["units"].items()}
        self.inputs = Inputs({}, [], {})
        self._units = Units(system, {}, self.inputs, check)

    def _kernel_files(self, name: str) -> Dict[str, bytes]:
        """The files that bring modules and sysctls back after a reboot."""
        files = {}
        if self.kernel.modules:
            files[f"/etc/modules-load.d/{name}.conf"] = module_lines(self.kernel.available_modules())
        if self.kernel.sysctl:
            files[f"/etc/sysctl.d/60-{name}.conf"] = sysctl_lines(self.kernel.available_sysctl())
        return files

    def make_plan(self) -> None:
        """Read the node and plan. Nothing is changed.

        Raises:
            Failure: when the wish cannot be fulfilled on this node.
        """
        self.artifacts.plan(self.plan)
        self.files.plan(self.plan)
        self.kernel.plan(self.plan)
        self.inputs = self._make_inputs()
        self._units = Units(self.system, self.units, self.inputs, self.check)
        self._units.plan(self.plan)
        if self.check:
            self.files.validate_in_check_mode()

    def _make_inputs(self) -> Inputs:
        content = {
            path: hashlib.sha256(wanted.content).hexdigest()
            for path, wanted in self.files.files.items()
            if wanted.content is not None
        }
        content.update(self.files.links)
        steps = {path: [step] for path, step in self.files.steps.items()}
        for artifact in self.artifacts.artifacts.values():
            for path in artifact.links:
                # The link mostly stays as it is: what changes is the artifact that it leads to.
                content[path] = artifact.sha256
                steps[path].append(self.artifacts.steps[artifact.name])
        return Inputs(content, self.files.absent, steps)

    def apply(self) -> None:
        """Apply the plan.

        Raises:
            Failure: when the plan is not the approved one; nothing was changed.
            PlanFailed: after what had to be put back was put back.
        """
        self.plan.hold_to(self.approved)
        if not self.plan.changed:
            return
        self._units.forget_changing()
        try:
            self.plan.apply()
        except PlanFailed:
            self._units.remember_put_back()
            raise
        self._units.daemon_reload()

    def result(self, with_diff: bool) -> Dict[str, Any]:
        """What the module returns: the plan, and which paths and units it is about."""
        return dict(
            self.plan.result(with_diff),
            paths=self.inputs.changed_paths(),
            restarted=self._units.restarted,
        )


def _wanted_unit(name: str, unit: Mapping[str, Any]) -> WantedUnit:
    ready = unit["ready"]
    probe = {"ready": ready["command"], "timeout": float(ready.get("timeout", 30))} if ready else {}
    return WantedUnit(name=name, **{key: value for key, value in unit.items() if key != "ready"}, **probe)


def system_of(tmp_dir: str) -> System:
    """The node that this process runs on."""
    if os.geteuid() != 0:
        raise Failure("a node is converged by root", "set `become: true` for the play")
    return System(tmp_dir=tmp_dir)
