# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts as manifests: fetched once, rendered by `helm template`, with their hooks in sub-waves.

Nothing of a chart reaches a cluster through Helm: no release is kept there, and no hook runs by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.catalog import Chart
from ansible_collections.banking.platform.plugins.module_utils.kube import fields
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Charts, Registry

_HOOK, _WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"
_TIMEOUT = 300  # seconds that a chart may take to render
# Helm runs hooks before and after everything else, sorted by weight; these are far outside of what a chart says itself.
_BEFORE, _AFTER = -1000, 1000
_HOOK_WAVES = {"pre-install": _BEFORE, "pre-upgrade": _BEFORE, "post-install": _AFTER, "post-upgrade": _AFTER}
_MOST_NAMED = 5


@dataclass(frozen=True)
class Release:
    """A chart with what it is rendered for.

    Attributes:
        chart: of the catalog.
        name: of the release, which most charts begin their objects' names with.
        namespace: where objects go that name none.
        values: what the chart's own values are overlaid with, as YAML.
        api_versions: what the cluster will have beyond Kubernetes' own (`monitoring.coreos.com/v1/ServiceMonitor`).
        crds: whether the CRDs in the chart's folder `crds` belong to it.
    """

    chart: Chart
    name: str
    namespace: str
    values: str = ""
    api_versions: Sequence[str] = ()
    crds: bool = True


class NotAvailable(Failure):
    """The chart cannot be had here."""


def fetch(chart: Chart, folder: str) -> str:
    """The packed chart, from the bundle, from a mirror or its repository, or from an earlier time.

    Args:
        chart: with its digest where it is locked.
        folder: where fetched charts are kept; it is made.

    Returns:
        The path of the archive.

    Raises:
        NotAvailable: it is nowhere.
        Failure: it is not the one that was locked.
    """
    wanted = (chart.digest or "").removeprefix("sha256:")
    path = chart.path or os.path.join(folder, chart.filename)
    if not os.path.isfile(path):
        if chart.path:
            raise NotAvailable(f"chart {chart.name}: the bundle has no {chart.path}", "make the bundle again")
        os.makedirs(folder, exist_ok=True)
        try:
            Charts(Registry()).fetch(chart, path)
        except Failure as failure:
            raise NotAvailable(
                f"chart {chart.name} {chart.version}: {failure.cause}",
                "make its repository reachable, name a mirror or a bundle (artifacts_source), or set "
                "platform_charts: external",
            ) from failure
    if wanted and digest_of(path) != wanted:
        raise Failure(
            f"chart {chart.name} {chart.version}: {path} has SHA-256 {digest_of(path)}, the catalog says {wanted}",
            "remove the file; if it comes again, its repository serves another chart than was locked",
        )
    return path


def render(release: Release, path: str, kubernetes: str, program: str = "helm", kept: str = "") -> list[Manifest]:
    """The objects of a chart.

    Args:
        release: what is rendered.
        path: of the packed chart.
        kubernetes: the version that the chart is to believe in.
        program: helm 3.
        kept: a folder for what came out twice alike, so that the same is not rendered again; empty for none. What holds
            Secrets with values is not kept.

    Returns:
        Its manifests in the order of Helm's output, hooks with a sub-wave, tests and hooks of removal left out.

    Raises:
        Failure: it cannot be rendered, or not twice alike.
    """
    file = os.path.join(kept, f"{release.name}-{_key(release, path, kubernetes, program)}.yaml") if kept else ""
    if file and os.path.isfile(file):
        with open(file, encoding="utf-8") as stream:
            return _objects(release, stream.read())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _again: _template(release, path, kubernetes, program), range(2))
    objects = _objects(release, first)
    if first != second:
        _refuse_differences(release, first, second)
    if file and not any(manifests.has_values(item) for item in objects):
        _keep(file, release.name, first)
    return objects


def _objects(release: Release, text: str) -> list[Manifest]:
    return [_plain(item) for item in _named(release, text) if not _is_left_out(item)]


def _key(release: Release, path: str, kubernetes: str, program: str) -> str:
    """What the output follows from: chart, values, Helm."""
    helm = shutil.which(program)
    found = os.stat(helm) if helm else None
    inputs = [
        digest_of(path),
        release.namespace,
        release.values,
        *release.api_versions,
        str(release.crds),
        kubernetes,
        str(found and (found.st_size, found.st_mtime_ns)),
    ]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:32]


def _keep(file: str, name: str, text: str) -> None:
    """In place of what was kept of the release before; half a file is never seen."""
    folder = os.path.dirname(file)
    os.makedirs(folder, exist_ok=True)
    former = [entry for entry in os.listdir(folder) if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{32}}\.yaml", entry)]
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".new-", delete=False, encoding="utf-8") as stream:
        stream.write(text)
    os.replace(stream.name, file)
    for entry in former:
        if entry != os.path.basename(file):
            os.unlink(os.path.join(folder, entry))


def without(source: str, objects: Sequence[Manifest], left_out: Sequence[str]) -> list[Manifest]:
    """Objects of others without those that come from elsewhere, such as a Secret that an ExternalSecret makes.

    Args:
        source: whose objects they are, as an error names it.
        objects: as rendered.
        left_out: each `<kind>/<name>`; with `:<path>` behind it (`:spec.conversion.webhook.clientConfig.caBundle`,
            `:webhooks.0.failurePolicy`) a field alone, such as one that the product itself fills in.

    Raises:
        Failure: the source has none of that name or path, so that both might come one day.
    """
    left = list(objects)
    for entry in left_out:
        name, _colon, path = entry.partition(":")
        meant = [item for item in left if f"{item.object['kind']}/{item.object['metadata']['name']}" == name]
        rests = [_without_field(item.object, path.split(".")) for item in meant] if path else []
        if not meant or None in rests:
            raise Failure(
                f"{source} has no {entry} that could be left out",
                "see what it is called there now, and correct leave_out",
            )
        changed = [Manifest(rest, item.source) for item, rest in zip(meant, rests, strict=False)]
        left = [item for item in left if item not in meant] + changed
    return left


def _without_field(value: Any, path: Sequence[str]) -> Any:
    """A copy of an object without the field at a path; None where there is none."""
    if isinstance(value, list) and path[0].isdecimal() and int(path[0]) < len(value):
        inner = _without_field(value[int(path[0])], path[1:]) if len(path) > 1 else None
        return None if inner is None else [*value[: int(path[0])], inner, *value[int(path[0]) + 1 :]]
    if not isinstance(value, Mapping) or path[0] not in value:
        return None
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    inner = _without_field(value[path[0]], path[1:])
    return None if inner is None else {**value, path[0]: inner}


def _template(release: Release, path: str, kubernetes: str, program: str) -> str:
    command = [program, "template", release.name, path, "--namespace", release.namespace, "--values", "-"]
    command += ["--kube-version", kubernetes, *(["--include-crds"] if release.crds else [])]
    for api_version in release.api_versions:
        command += ["--api-versions", api_version]
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        # Neither the user's repositories and plugins, nor his cluster.
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
        env |= {f"HELM_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA")}
        try:
            done = subprocess.run(
                command, input=release.values.encode(), capture_output=True, timeout=_TIMEOUT, check=False, env=env
            )
        except FileNotFoundError as error:
            raise Failure(f"{program} is missing on the controller", "install helm 3 there") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"chart {release.chart.name}: helm was not done after {_TIMEOUT} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().removeprefix("Error: ")
        raise Failure(f"chart {release.chart.name} cannot be rendered: {said}", "correct its values")
    return done.stdout.decode()


def _named(release: Release, text: str) -> list[Manifest]:
    return manifests.load(text, f"{release.chart.name}-{release.chart.version}")


def _refuse_differences(release: Release, first: str, second: str) -> None:
    """Name the objects that come out differently each time: with them, no plan would ever be empty."""
    after = {item.path: item.object for item in _named(release, second)}
    found = [(item, _differing_fields(item.object, after.get(item.path, {}))) for item in _named(release, first)]
    differing = [f"{item.reference} ({', '.join(paths)})" for item, paths in found if paths]
    more = f" and {len(differing) - _MOST_NAMED} more" if len(differing) > _MOST_NAMED else ""
    if differing:
        raise Failure(
            f"chart {release.chart.name} renders differently each time: {'; '.join(differing[:_MOST_NAMED])}{more}",
            "give the chart by its values what it generates (keys, passwords, certificates): from a Secret that exists",
        )


def _differing_fields(first: Any, second: Any, path: str = "") -> list[str]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return [
            found
            for key in sorted({*first, *second}, key=str)
            for found in _differing_fields(first.get(key), second.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if first == second else [path]


def _hooks(item: Manifest) -> list[str]:
    annotations = item.object["metadata"].get("annotations") or {}
    return [hook for hook in re.split(r"[,\s]+", str(annotations.get(_HOOK, ""))) if hook]


def _is_left_out(item: Manifest) -> bool:
    """Tests, and what Helm would do when it removes or rolls back a release: there is no release."""
    hooks = _hooks(item)
    return bool(hooks) and not any(hook in _HOOK_WAVES or hook == "crd-install" for hook in hooks)


def _plain(item: Manifest) -> Manifest:
    """An object without Helm's annotations; a hook gets the sub-wave in which it runs."""
    meta = item.object["metadata"]
    annotations = dict(meta.get("annotations") or {})
    ours = {key: value for key, value in annotations.items() if not key.startswith("helm.sh/")}
    wave = next((_HOOK_WAVES[hook] for hook in _hooks(item) if hook in _HOOK_WAVES), None)
    if wave is not None:
        ours.setdefault(fields.SUB_WAVE, str(wave + int(annotations.get(_WEIGHT) or 0)))
        if item.object["kind"] == "Job":
            # A Job cannot be changed: another one takes its place. It stays, so that it is known to have run.
            ours.update({fields.RECREATE: "true", "argocd.argoproj.io/sync-options": "Force=true,Replace=true"})
            spec = {key: value for key, value in item.object["spec"].items() if key != "ttlSecondsAfterFinished"}
            item = Manifest({**item.object, "spec": spec}, item.source)
    if ours == annotations:
        return item
    meta = (
        {**meta, "annotations": ours} if ours else {key: value for key, value in meta.items() if key != "annotations"}
    )
    return Manifest({**item.object, "metadata": meta}, item.source)
