# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a component's manifests and charts on the controller, validate every object, and deliver them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import merge_hash

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Unreachable
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import (
    approved,
    argocd,
    charts,
    helm,
    manifests,
    released,
    tree,
)
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery, component_name
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree, Repository
from ansible_collections.banking.platform.plugins.plugin_utils.kube import apply_objects, client_of
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer
from ansible_collections.banking.platform.plugins.plugin_utils.run_lock import this_run
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import CRD, Schemas, Verdict

_MOST_PROBLEMS = 50
_ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str"},
    "wave": {"type": "int"},
    "manifests": {"type": "list", "elements": "str", "default": ["manifests"]},
    "kinds_from": {"type": "list", "elements": "str", "default": []},
    "charts": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "release": {"type": "str"},
            "namespace": {"type": "str", "required": True},
            "values": {"type": "str"},
            "api_versions": {"type": "list", "elements": "str", "default": []},
            "crds": {"type": "bool", "default": True},
            "leave_out": {"type": "list", "elements": "str", "default": []},
        },
    },
    "artifacts": {"type": "list", "elements": "str", "default": []},
    "leave_out": {"type": "list", "elements": "str", "default": []},
    "take_over": {"type": "bool", "default": False},
    "prune_protected": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 600},
}


class ActionModule(ActionBase):
    """The whole of `banking.platform.component`; what talks to the cluster is `k8s_apply`."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, validate, deliver; say of every failure which component it is about."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        role = self._task._role
        name = self._task.args.get("name") or (component_name(role.get_name(include_role_fqcn=False)) if role else "")
        name = str(name)  # without Ansible's tags: it becomes part of objects
        try:
            if not name:
                raise Failure("outside a role, a name is needed", "give the task a `name`")
            result.update(self._deliver(name, variables))
        except (Failure, AnsibleError, catalog.CatalogError) as error:
            result.update(failed=True, msg=getattr(error, "cause", str(error)))
            result["next_step"] = getattr(error, "next_step", "")
        if result.get("failed") and "module_stdout" not in result:
            next_step = result.get("next_step") or ""
            result["msg"] = f"component {name}: {result['msg']}" + (f" - next: {next_step}" if next_step else "")
        return result

    def _deliver(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        _validation, arguments = self.validate_argument_spec(_ARGUMENTS)
        settings = Delivery(self._templar, variables)
        rendering = _Rendering(self, name, arguments, settings, variables)
        objects = rendering.objects()
        verdict = rendering.schemas.check(objects)
        if verdict.problems:
            more = len(verdict.problems) - _MOST_PROBLEMS
            raise Failure(
                f"{len(verdict.problems)} error(s) in its manifests, nothing was changed:\n"
                + "\n".join(f"  {problem}" for problem in verdict.problems[:_MOST_PROBLEMS])
                + (f"\n  and {more} more" if more > 0 else ""),
                "correct the templates or the variables that they are made of",
            )
        wave = self._wave(arguments, settings)
        deliver = {"gitops": self._gitops, "direct": self._direct, "render": self._render}[settings.way]
        found = deliver(name, wave, objects, arguments, settings, variables)
        found["objects"] = len(objects)
        found["not_validated"] = verdict.unknown
        found["not_rendered"] = rendering.not_rendered
        found["warnings"] = [*found.get("warnings", []), *rendering.warnings, *_unchecked(name, verdict)]
        return found

    def _wave(self, arguments: Mapping[str, Any], settings: Delivery) -> int:
        if arguments["wave"] is not None:
            return int(arguments["wave"])
        role = self._task._role
        path = os.path.join(role._role_path, "meta", "platform.yml") if role else ""
        declared = self._loader.load_from_file(path, trusted_as_template=True) if os.path.isfile(path) else {}
        if "wave" not in declared:
            raise Failure("its wave is not known", "declare it in meta/platform.yml, or give the task a `wave`")
        return int(settings.template(declared["wave"]))

    # Ways of delivery

    def _render(
        self,
        name: str,
        wave: int,
        objects: Sequence[Manifest],
        _arguments: Mapping[str, Any],
        settings: Delivery,
        variables: Mapping[str, Any],
    ) -> dict[str, Any]:
        root = settings.tree
        folders, files = _files(name, wave, objects, tree.paths(root), settings.repository)
        plan = tree.plan(root, folders, files)
        plan.hold_to(approved.steps(self, variables))
        if not self._task.check_mode:
            plan.apply()
        return {**self._shown(plan), "path": os.path.join(root, tree.folder_of(wave, name))}

    def _gitops(
        self,
        name: str,
        wave: int,
        objects: Sequence[Manifest],
        arguments: Mapping[str, Any],
        settings: Delivery,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        repository = settings.repository
        if repository is None:
            raise Failure("platform_git is not set", "name the repository that ArgoCD follows")
        git = GitTree(repository, os.path.join(settings.build_dir, "git"), this_run())
        folders, files = _files(name, wave, objects, git.files(git.head), repository)
        plan = git.plan(folders, files)
        plan.hold_to(approved.steps(self, variables))
        revision = git.head
        if plan.changed and not self._task.check_mode:
            revision = git.write(folders, files, _message(name, plan))
        found = {**self._shown(plan), "path": tree.folder_of(wave, name), "revision": revision}
        if wave > argocd.WAVE or not settings.own_argocd:
            return found
        # ArgoCD and what it needs cannot come by ArgoCD, as long as it does not follow Git.
        unless = argocd.path(argocd.ROOT)
        return _joined(found, self._apply(name, objects, arguments, settings, variables, unless=unless))

    def _shown(self, plan: Plan) -> dict[str, Any]:
        found = plan.result(with_diff=self._task.diff)
        found["plan"] = [step for step in found["plan"] if step["action"] != "none"]
        return found

    def _direct(
        self,
        name: str,
        _wave: int,
        objects: Sequence[Manifest],
        arguments: Mapping[str, Any],
        settings: Delivery,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        if settings.break_glass:
            return self._past_git(name, objects, arguments, settings, variables)
        found = self._apply(name, objects, arguments, settings, variables, unless=argocd.path(argocd.ROOT))
        if found.get("left"):
            raise Failure(
                f"ArgoCD follows Git here (Application {argocd.NAMESPACE}/{argocd.ROOT}) and would undo it",
                "deliver by platform_delivery: gitops; in an emergency, set platform_break_glass and "
                "platform_break_glass_reason",
            )
        return found

    def _past_git(
        self,
        name: str,
        objects: Sequence[Manifest],
        arguments: Mapping[str, Any],
        settings: Delivery,
        variables: dict[str, Any],
    ) -> dict[str, Any]:
        """Deliver at once, with ArgoCD held back from putting back what Git says; the next run lets it go on."""
        plan = Plan()
        try:
            plan.add(argocd.suspended(client_of(settings.connection), name, settings.break_glass))
        except Unreachable:
            if not self._task.check_mode:
                raise
        plan.hold_to(approved.steps(self, variables))
        if not self._task.check_mode:
            plan.apply()
        applied = self._apply(name, objects, arguments, settings, variables, take_over_from=[argocd.MANAGER])
        found = _joined(self._shown(plan), applied)
        if found["changed"]:
            step = Step("delivery", name, "update", {"way": "gitops"}, {"way": "direct"}, settings.break_glass)
            found["plan"].insert(0, step.as_dict())
        return {**found, "warnings": [f"component {name}: delivered past Git: {settings.break_glass}"]}

    def _apply(
        self,
        name: str,
        objects: Sequence[Manifest],
        arguments: Mapping[str, Any],
        settings: Delivery,
        variables: dict[str, Any],
        **more: Any,
    ) -> dict[str, Any]:
        wish = {key: arguments[key] for key in ("take_over", "prune_protected", "timeout")}
        wish["approved"] = approved.steps(self, variables)
        wish |= {"component": name, "objects": [item.object for item in objects], **settings.connection, **more}
        return apply_objects(self, wish, variables)


class _Rendering:
    """What a component consists of.

    Args:
        action: with its task.
        name: of the component.
        arguments: of the task.
        settings: of the platform.
        variables: of the task.

    Attributes:
        not_rendered: charts and released manifests that could not be had.
        warnings: for the user.
    """

    def __init__(
        self,
        action: ActionModule,
        name: str,
        arguments: Mapping[str, Any],
        settings: Delivery,
        variables: Mapping[str, Any],
    ) -> None:
        self._name, self._arguments, self._settings = name, arguments, settings
        role = action._task._role
        self._folder = role._role_path if role else action._loader.get_basedir()
        self._templates = os.path.join(self._folder, "templates")
        self._overlay = os.path.join(settings.inventory, "overlay", os.path.basename(self._folder))
        self._renderer = Renderer(action._templar, action._loader, variables, [self._templates, self._folder])
        self.schemas = Schemas(settings.kubernetes, settings.crds)
        self.not_rendered: list[str] = []
        self.warnings: list[str] = []

    def objects(self) -> list[Manifest]:
        """The objects of charts, released manifests and templates.

        Raises:
            Failure: with the file, and what to correct.
        """
        ours = self._settings.charts == "manage"
        found = [item for chart in self._arguments["charts"] if ours for item in self._chart(chart)]
        released_files = [item for name in self._arguments["artifacts"] if ours for item in self._released(name)]
        # Where files could not be had, nothing can be missing in them.
        left_out = self._arguments["leave_out"] if released_files else []
        found += charts.without("a released manifest", released_files, left_out)
        found += self._manifests(self._arguments["manifests"])
        self.schemas.add(self._manifests(self._arguments["kinds_from"]))
        # Writing each object only to look for what is not there would take as long as validating it.
        for item in found if self._renderer.knows_secrets else ():
            if item.object["kind"] != "Secret" and self._renderer.is_secret(manifests.dump(item.object)):
                raise Failure(
                    f"{item.source}: {item.reference} takes in a value that is kept encrypted",
                    "put it into a Secret, and name that",
                )
        if not found and not self.not_rendered:
            raise Failure("nothing was rendered", f"it has templates below {self._templates}, or charts")
        return found

    def _manifests(self, folders: Sequence[str]) -> Iterator[Manifest]:
        sources: dict[str, str] = {}
        for folder in folders:
            for base in (self._templates, self._overlay):
                sources.update(self._renderer.tree(os.path.join(base, folder)))
        for path, source in sorted(sources.items()):
            if not path.endswith((".yml", ".yaml")):
                raise Failure(f"{source}: is no manifest", "name it .yml.j2 or .yml, or move it out of the folder")
            yield from manifests.load(self._renderer.content(source).decode(), os.path.relpath(source, self._folder))

    def _chart(self, wish: Mapping[str, Any]) -> Iterator[Manifest]:
        settings = self._settings
        chart = settings.catalog.chart(wish["name"], settings.source)
        try:
            path = charts.fetch(chart, settings.charts_dir)
        except charts.NotAvailable as failure:
            self._is_missing(chart.name, failure)
            return
        if not chart.digest:
            self.warnings.append(
                f"component {self._name}: chart {chart.name} {chart.version} is not pinned by a digest: "
                "lock it with playbooks/bundle.yml"
            )
        release = charts.Release(
            chart,
            name=str(wish["release"] or wish["name"]),
            namespace=str(wish["namespace"]),  # without Ansible's tags: it becomes part of objects
            values=self._values(wish["values"]),
            api_versions=wish["api_versions"],
            crds=wish["crds"],
        )
        kept = (
            "" if self._renderer.is_secret(release.values.encode()) else os.path.join(settings.charts_dir, "rendered")
        )
        program = helm.program(settings.catalog, settings.source, settings.programs_dir)
        objects = charts.render(release, path, settings.kubernetes, program, kept)
        rendered = charts.without(f"chart {chart.name}", objects, wish["leave_out"])
        self.schemas.add(item for item in rendered if item.object["kind"] == CRD)
        for item in rendered:
            # Helm puts what names no namespace into the release's; whether a kind has one, it asks the cluster.
            if not item.namespace and self.schemas.namespaced(*item.type) is not False:
                meta = {**item.object["metadata"], "namespace": release.namespace}
                item = Manifest({**item.object, "metadata": meta}, item.source)
            yield item

    def _released(self, name: str) -> list[Manifest]:
        """The manifests of an artifact of the catalog."""
        settings = self._settings
        artifact = settings.catalog.artifact(str(name), released.ARCH, settings.source)
        try:
            found = released.load(artifact, settings.artifacts_dir)
        except charts.NotAvailable as failure:
            self._is_missing(artifact.name, failure)
            return []
        self.schemas.add(item for item in found if item.object["kind"] == CRD)
        return found

    def _is_missing(self, name: str, failure: charts.NotAvailable) -> None:
        """What cannot be had is an error, but where the environment says that it has none of it."""
        if "charts" not in self._settings.unavailable:
            raise failure
        self.not_rendered.append(name)
        self.warnings.append(f"component {self._name}: not rendered: {failure.cause}")

    def _values(self, template: str | None) -> str:
        """The values of a chart: the role's template, and over it the inventory's file of that name."""
        merged: dict[str, Any] = {}
        found = False
        for folder in (self._templates, self._overlay):
            path = os.path.join(folder, template or "")
            if template and os.path.isfile(path):
                found = True
                for values, _name in manifests.documents(self._renderer.content(path).decode(), path):
                    if not isinstance(values, dict):
                        raise Failure(f"{path}: are no values of a chart", "write a mapping")
                    merged = merge_hash(merged, values, recursive=True)
        if template and not found:
            raise Failure(f"there is no template {template}", f"put it into {self._templates}")
        return manifests.dump(merged).decode() if merged else ""


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two results of one task."""
    found = {**first, **second, "changed": bool(first.get("changed") or second.get("changed"))}
    for key in ("plan", "deferred", "diff"):
        found[key] = [*(first.get(key) or ()), *(second.get(key) or ())]
    return found


def _files(
    name: str, wave: int, objects: Sequence[Manifest], there: Collection[str], repository: Repository | None
) -> tuple[list[str], dict[str, bytes]]:
    """The files of a component in the tree, and the folders that are its own.

    Raises:
        Failure: an object that may not be in a tree, or that another component has.
    """
    own = tree.files_of(objects)
    twice = tree.conflicts(there, wave, name, own)
    if twice:
        raise Failure(
            f"in two components: {'; '.join(twice)}",
            "leave each object to one of them; if the other component is gone, remove its folder",
        )
    folder = tree.folder_of(wave, name)
    folders = [folder, *tree.former(there, wave, name)]
    files = {f"{folder}/{path}": content for path, content in own.items()}
    apps = [f"{argocd.APPS}/{os.path.basename(one)}.yaml" for one in folders]
    if repository:
        files[apps[0]] = manifests.dump(argocd.application(name, wave, folder, repository))
        folders += apps
    return folders, files


def _message(name: str, plan: Plan) -> str:
    """The first line of a commit: what it does to the component."""
    counts = Counter(step.action for step in plan.steps if step.changes)
    said = {"create": "added", "update": "changed", "delete": "removed"}
    return f"{name}: " + ", ".join(f"{counts[action]} {word}" for action, word in said.items() if counts[action])


def _unchecked(name: str, verdict: Verdict) -> Iterator[str]:
    if verdict.unknown:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(verdict.unknown.items()))
        yield f"component {name}: not validated, since their CRDs are not at hand (platform_crds): {kinds}"
