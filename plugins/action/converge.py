# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a role's tree on the controller, and hand it with the role's other wishes to one module run on the node."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.node import spec
from ansible_collections.banking.platform.plugins.module_utils.node.converge import pack_tree
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import approved
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

_MODULE = "banking.platform.converge"


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.converge`."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render, send, and say of every failure which role and which host it is about."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        name = self._task.args.get("name") or (
            self._task._role.get_name(include_role_fqcn=False) if self._task._role else ""
        )
        try:
            if not name:
                raise Failure("converge: outside a role, a name is needed", "give the task a `name`")
            wanted = self._wanted(name, variables)
            result.update(self._on_node(wanted, variables))
        except (Failure, AnsibleError) as error:
            result.update(failed=True, msg=getattr(error, "cause", str(error)))
            if getattr(error, "next_step", ""):
                result["next_step"] = error.next_step
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if result.get("failed") and "plan" not in result and "msg" in result and _is_crash(result):
            return result
        if result.get("failed"):
            next_step = result.get("next_step", "")
            result["msg"] = f"{name} on {variables['inventory_hostname']}: {result['msg']}" + (
                f" - next: {next_step}" if next_step else ""
            )
        return result

    # What is wanted

    def _wanted(self, name: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        _validation, arguments = self.validate_argument_spec(spec.ARGUMENT_SPEC)
        arguments["name"] = name
        if "unavailable" not in self._task.args:
            arguments["unavailable"] = self._variable("platform_unavailable", variables) or {}
        arguments["artifacts"] = self._resolve_artifacts(arguments["artifacts"], variables)
        wanted = spec.complete(arguments)
        self._render(wanted, name, variables)
        wanted["approved"] = approved.steps(self, variables)
        return wanted

    def _variable(self, name: str, variables: Mapping[str, Any]) -> Any:
        return self._templar.template(variables[name]) if name in variables else None

    def _render(self, wanted: dict[str, Any], name: str, variables: Mapping[str, Any]) -> None:
        """Replace roots, templates and literal contents by one packed tree."""
        role_path = self._task._role._role_path if self._task._role else self._loader.get_basedir()
        templates = os.path.join(role_path, "templates")
        renderer = Renderer(self._templar, self._loader, variables, [templates, role_path])
        sources: dict[str, str] = {}
        single = wanted["root"] == []
        for root in self._roots(wanted.pop("root"), templates, name, variables):
            sources.update(renderer.tree(root))
        if single:
            sources = {path: source for path, source in sources.items() if path in wanted["files"]}
        tree: dict[str, bytes] = {}
        for removed in wanted["absent"]:
            for paths in (sources, wanted["files"]):
                for path in [path for path in paths if f"{path}/".startswith(f"{removed}/")]:
                    del paths[path]
        for path, source in sources.items():
            spec.check_path("the tree", path)
            tree[path] = self._content(renderer, path, source, wanted["files"])
        for path, options in wanted["files"].items():
            template, literal = options.pop("template", None), options.pop("content", None)
            extra = options.pop("vars", None)
            if single and path in sources:
                continue  # the inventory has it otherwise
            if template is not None:
                tree[path] = self._content(renderer, path, os.path.join(templates, template), wanted["files"], extra)
            elif literal is not None:
                tree[path] = literal.encode()
                if renderer.is_secret(tree[path]):
                    options["sensitive"] = True
            elif path not in tree and {"validate", "sensitive"} & set(options):
                raise Failure(f"files[{path}]: there is no such file in the tree", spec.nearest(path, tree))
        wanted["tree"] = pack_tree(tree)

    def _roots(self, asked: list[str] | None, templates: str, name: str, variables: Mapping[str, Any]) -> list[str]:
        """The trees of this run: those asked for or the role's own, then what the inventory lays over the role."""
        roots = [os.path.join(templates, "root")] if asked is None else asked
        for root in asked or []:
            if not os.path.isdir(root):
                raise Failure(f"root: there is no folder {root}", "correct its path")
        inventory = variables.get("inventory_dir")
        if inventory:
            roots = [*roots, os.path.join(str(inventory), "overlay", name)]
        return [root for root in roots if os.path.isdir(root)]

    @staticmethod
    def _content(
        renderer: Renderer, path: str, source: str, files: dict[str, Any], extra: Mapping[str, Any] | None = None
    ) -> bytes:
        try:
            content = renderer.content(source, extra)
        except Failure as failure:
            raise Failure(f"file {path}: {failure.cause}", failure.next_step) from failure
        options = files.setdefault(path, {}) if path in files or os.access(source, os.X_OK) else {}
        if os.access(source, os.X_OK):
            options.setdefault("mode", "0755")
        if renderer.is_secret(content, source, extra):
            files.setdefault(path, options)["sensitive"] = True
        return content

    def _resolve_artifacts(self, asked: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """Complete artifacts that are named after the catalog's; those that bring a digest of their own stay."""
        if not asked:
            return {}
        facts = self._variable("ansible_facts", variables) or {}
        release = self._variable("platform_release", variables)
        try:
            source = catalog.Source.from_variables(
                {
                    key: self._variable(key, variables)
                    for key in ("artifacts_source", "artifacts_mirror", "artifacts_bundle")
                }
            )
            if source.kind == "bundle":
                self._must_be_of(source.bundle, str(release))
            entries = catalog.load(
                release,
                overrides=self._variable("platform_catalog_overrides", variables),
                minor=self._variable("platform_kubernetes_minor", variables) or "",
            )
            return {
                name: self._resolved(entries.artifact(name, facts.get("architecture", ""), source), options or {})
                for name, options in asked.items()
            }
        except catalog.CatalogError as error:
            raise Failure(str(error)) from error

    @staticmethod
    def _must_be_of(bundle: str, release: str) -> None:
        try:
            catalog.bundle_index(bundle, release)
        except FileNotFoundError:
            raise Failure(
                f"artifacts_bundle: {bundle} has no {catalog.BUNDLE_INDEX}: it is no bundle",
                "correct the path, or make the bundle with playbooks/bundle.yml",
            ) from None

    def _resolved(self, artifact: catalog.Artifact, options: Mapping[str, Any]) -> dict[str, Any]:
        if artifact.path is not None:
            self._bundled[artifact.name] = artifact.path
        return {
            **options,
            "version": artifact.version,
            "urls": list(artifact.urls),
            "sha256": artifact.sha256,
            "unpack": artifact.unpack,
            "strip": artifact.strip,
            "bundled": artifact.path is not None,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bundled: dict[str, str] = {}

    # On the node

    def _on_node(self, wanted: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result = self._execute_module(module_name=_MODULE, module_args=wanted, task_vars=variables)
        missing = result.pop("missing_artifacts", [])
        if not missing:
            return result
        # Only what the node lacks is brought there, and only then is the plan applied.
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        for name in missing:
            local = self._bundled[name]
            if not os.path.isfile(local):
                raise Failure(
                    f"artifact {name}: the bundle has no {local}", "make the bundle again, or correct artifacts_bundle"
                )
            remote = self._connection._shell.join_path(self._connection._shell.tmpdir, name)
            wanted["artifacts"][name]["file"] = self._transfer_file(local, remote)
        return self._execute_module(module_name=_MODULE, module_args=wanted, task_vars=variables)


def _is_crash(result: Mapping[str, Any]) -> bool:
    """Whether the module ended without saying anything of its own, or the node could not be reached."""
    return bool(result.get("unreachable")) or "module_stdout" in result
