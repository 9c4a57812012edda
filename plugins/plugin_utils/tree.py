# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered platform as a tree of files: one folder a component, one file an object.

components/04-cert-manager/_cluster/clusterissuer.cert-manager.io-platform.yaml
components/04-cert-manager/cert-manager/deployment-cert-manager.yaml
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import PROTECTED
from ansible_collections.banking.platform.plugins.module_utils.node.files import write_atomically
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest

COMPONENTS = "components"
# Where these are gone from the tree, ArgoCD neither removes them nor minds that they are still there.
_KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
}


def folder_of(wave: int, component: str) -> str:
    """A component's folder in the tree; folders sort in the order of installation."""
    return f"{COMPONENTS}/{wave:02d}-{component}"


def files_of(objects: Sequence[Manifest]) -> dict[str, bytes]:
    """The files of a component, by their path in its folder.

    Raises:
        Failure: a Secret with values among them.
    """
    secrets = [item for item in objects if manifests.has_values(item)]
    if secrets:
        names = ", ".join(f"{item.namespace}/{item.object['metadata']['name']} ({item.source})" for item in secrets)
        raise Failure(
            f"Secrets do not go into a tree that is kept in Git: {names}",
            "make an ExternalSecret or a SealedSecret of it; in a chart, name a Secret that exists",
        )
    return {item.path: manifests.dump(_kept(item.object)) for item in objects}


def _kept(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """What takes others' data with it when it goes, marked for ArgoCD; `k8s_apply` keeps it without a mark."""
    if (item["apiVersion"].rpartition("/")[0], item["kind"]) not in PROTECTED:
        return item
    annotations = dict(item["metadata"].get("annotations") or {})
    for name, mark in _KEPT.items():
        annotations[name] = ",".join(part for part in (annotations.get(name), mark) if part)
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def conflicts(there: Iterable[str], wave: int, component: str, files: Iterable[str]) -> list[str]:
    """Objects that another component of the tree has too: `<path> is also in <component>`.

    Args:
        there: paths of all files of the tree.
        wave, component: whose files they are to be.
        files: their paths in the component's folder.
    """
    wanted = set(files)
    found = []
    for path in there:
        folder, inner = _split(path)
        if folder.partition("-")[2] != component and inner in wanted:
            found.append(f"{inner} is also in {folder}")
    return sorted(found)


def former(there: Iterable[str], wave: int, component: str) -> list[str]:
    """Folders of a component in other waves than its present one."""
    folders = {folder for folder, _inner in map(_split, there) if folder.partition("-")[2] == component}
    return sorted({f"{COMPONENTS}/{folder}" for folder in folders} - {folder_of(wave, component)})


def _split(path: str) -> tuple[str, str]:
    """A path of the tree as the component's folder and the rest; empty for what is of no component."""
    top, _slash, rest = path.partition("/")
    folder, _slash, inner = rest.partition("/")
    return (folder, inner) if top == COMPONENTS else ("", "")


def paths(root: str) -> list[str]:
    """The files of a tree on the disk."""
    top = Path(root)
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def plan(root: str, folders: Sequence[str], files: Mapping[str, bytes]) -> Plan:
    """The steps from what is below some folders of a tree on the disk to what is wanted there; `Plan.apply` takes them.

    Args:
        root: of the tree.
        folders: of the tree, or single files; all that is below them belongs to whom is asking.
        files: by path in the tree.
    """
    steps = Plan()
    there = [path for path in paths(root) if any(path == one or path.startswith(f"{one}/") for one in folders)]
    for path in sorted({*there, *files}):
        steps.add(_step(Path(root), path, files.get(path)))
    return steps


def _step(root: Path, path: str, wanted: bytes | None) -> Step:
    target = root / path
    now = target.read_bytes() if target.exists() else None
    step = Step("file", path)
    if now == wanted:
        return step
    step.action = "delete" if wanted is None else "create" if now is None else "update"
    texts = {key: (value or b"").decode(errors="replace") for key, value in (("before", now), ("after", wanted))}
    step.diff = {**texts, "before_header": path, "after_header": path}
    step.apply = (lambda: _remove(root, target)) if wanted is None else (lambda: _write(target, wanted))
    return step


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(str(target), content, 0o644)


def _remove(root: Path, target: Path) -> None:
    target.unlink()
    for folder in target.parents:
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()
