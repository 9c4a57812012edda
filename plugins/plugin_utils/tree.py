# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered platform as a tree of files: one folder a component, one file an object.

components/04-cert-manager/_cluster/clusterissuer.cert-manager.io-platform.yaml
components/04-cert-manager/cert-manager/deployment-cert-manager.yaml
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.banking.platform.plugins.module_utils.node.files import write_atomically
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest

COMPONENTS = "components"


def folder_of(wave: int, component: str) -> str:
    """A component's folder in the tree; folders sort in the order of installation."""
    return f"{COMPONENTS}/{wave:02d}-{component}"


def files_of(objects: Sequence[Manifest]) -> dict[str, bytes]:
    """The files of a component, by their path in its folder.

    Raises:
        Failure: a Secret with values among them.
    """
    secrets = [item for item in objects if item.object["kind"] == "Secret" and _has_values(item)]
    if secrets:
        names = ", ".join(f"{item.namespace}/{item.object['metadata']['name']} ({item.source})" for item in secrets)
        raise Failure(
            f"Secrets do not go into a tree that is kept in Git: {names}",
            "make an ExternalSecret or a SealedSecret of it; in a chart, name a Secret that exists",
        )
    return {item.path: manifests.dump(item.object) for item in objects}


def _has_values(item: Manifest) -> bool:
    return any(value for key in ("data", "stringData") for value in (item.object.get(key) or {}).values())


def elsewhere(root: str, wave: int, component: str, paths: Sequence[str]) -> list[str]:
    """Objects that another component of the tree has too: `<path> is also in <component>`."""
    own = Path(folder_of(wave, component)).name
    found = []
    for folder in sorted(Path(root, COMPONENTS).glob("[0-9]*-*")):
        if folder.name != own and folder.name.partition("-")[2] != component:
            found += [f"{path} is also in {folder.name}" for path in paths if (folder / path).exists()]
    return found


def plan(root: str, wave: int, component: str, files: Mapping[str, bytes]) -> Plan:
    """The steps that bring a component's folder to what it should be; `Plan.apply` takes them.

    Args:
        root: of the tree.
        wave, component: whose folder.
        files: what `files_of` has made.
    """
    steps = Plan()
    folder = Path(root, folder_of(wave, component))
    for former in sorted(Path(root, COMPONENTS).glob(f"[0-9]*-{component}")):
        if former != folder:
            step = Step(
                "directory", os.path.relpath(former, root), "delete", note="the component is in another wave now"
            )
            step.apply = lambda former=former: shutil.rmtree(former)
            steps.add(step)
    there = {
        os.path.relpath(os.path.join(base, name), folder): os.path.join(base, name)
        for base, _folders, names in os.walk(folder)
        for name in names
    }
    for path in sorted({*there, *files}):
        steps.add(_step(folder, os.path.relpath(folder, root), path, files.get(path)))
    return steps


def _step(folder: Path, shown: str, path: str, wanted: bytes | None) -> Step:
    target = folder / path
    now = target.read_bytes() if target.exists() else None
    step = Step("file", f"{shown}/{path}")
    if now == wanted:
        return step
    step.action = "delete" if wanted is None else "create" if now is None else "update"
    texts = {key: (value or b"").decode(errors="replace") for key, value in (("before", now), ("after", wanted))}
    step.diff = {**texts, "before_header": step.target, "after_header": step.target}
    step.apply = (lambda: _remove(folder, target)) if wanted is None else (lambda: _write(target, wanted))
    return step


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(str(target), content, 0o644)


def _remove(folder: Path, target: Path) -> None:
    target.unlink()
    if target.parent != folder and not any(target.parent.iterdir()):
        target.parent.rmdir()
