# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory's settings that decide how components are rendered and delivered."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.template import Templar, trust_as_template

from ansible_collections.banking.platform.plugins.module_utils.catalog import Catalog, Source, load
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import ca_folder
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import Repository, repository_from
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import run_folder

WAYS = ("gitops", "direct", "render")
CHARTS = ("manage", "external")


def component_name(role: str) -> str:
    """The name of a role's component: that of the role, as Kubernetes takes it."""
    return role.replace("_", "-")


class Delivery:
    """What the variables of a task say of the platform; each is templated when it is asked for.

    Args:
        templar: of the task.
        variables: of the task.
    """

    def __init__(self, templar: Templar, variables: Mapping[str, Any]) -> None:
        self._templar, self._variables = templar, variables

    def template(self, value: Any) -> Any:
        """A value with its templates filled in."""
        return self._templar.template(value)

    def _get(self, name: str, default: Any = None) -> Any:
        found = self.template(self._variables[name]) if name in self._variables else None
        return default if found is None else found

    def _one_of(self, name: str, choices: tuple[str, ...]) -> str:
        value = str(self._get(name, choices[0]))
        if value not in choices:
            raise Failure(f"{name}: {value!r} is not one of {', '.join(choices)}", "correct it")
        return value

    @property
    def way(self) -> str:
        """One of WAYS: past Git, once the glass is broken."""
        way = self._one_of("platform_delivery", WAYS)
        return "direct" if way == "gitops" and self.break_glass else way

    @property
    def break_glass(self) -> str:
        """Why this run may go past Git; empty when it may not.

        Raises:
            Failure: no reason is given.
        """
        if not boolean(self._get("platform_break_glass", False)):
            return ""
        reason = str(self._get("platform_break_glass_reason", "")).strip()
        if not reason:
            raise Failure(
                "platform_break_glass is set without a reason", "say why: -e platform_break_glass_reason='...'"
            )
        return reason

    @property
    def own_argocd(self) -> bool:
        """Whether the ArgoCD that follows Git is one of the platform's own components, and so not there at first."""
        return bool(boolean(self._get("argocd_enabled", True)))

    @property
    def git_credentials(self) -> Mapping[str, Any]:
        """With what ArgoCD reads the repository."""
        return self._get("argocd_git_credentials") or {}

    @property
    def charts(self) -> str:
        """One of CHARTS: whether charts are ours to deliver."""
        return self._one_of("platform_charts", CHARTS)

    @property
    def inventory(self) -> str:
        """The inventory's folder. The implicit localhost has none of its own: that of the run's first inventory."""
        named = self._get("inventory_dir") or next(iter(self._get("ansible_inventory_sources") or ()), "")
        path = os.path.abspath(str(named))
        return path if os.path.isdir(path) else os.path.dirname(path)

    @property
    def build_dir(self) -> str:
        """The inventory's folder for what is built for it."""
        named = self._get("platform_build_dir")
        if named:
            return os.path.abspath(os.path.expanduser(str(named)))
        return str(run_folder(str(self._variables.get("playbook_dir", os.getcwd())), context.CLIARGS))

    @property
    def tree(self) -> str:
        """Root of the rendered tree."""
        return os.path.join(self.build_dir, "tree")

    @property
    def charts_dir(self) -> str:
        """Where fetched charts are kept."""
        return os.path.join(self.build_dir, "charts")

    @property
    def programs_dir(self) -> str:
        """Where fetched programs of the controller are kept."""
        return os.path.join(self.build_dir, "programs")

    @property
    def artifacts_dir(self) -> str:
        """Where fetched manifests are kept."""
        return os.path.join(self.build_dir, "artifacts")

    @property
    def crds(self) -> tuple[str, ...]:
        """Folders with CRDs; one with a folder for each release stands for that of this release."""
        named = self._get("platform_crds") or ()
        folders = [named] if isinstance(named, str) else list(named)
        return tuple(_of_release(os.path.expanduser(str(folder)), self.release) for folder in folders)

    @property
    def release(self) -> str:
        """The platform release."""
        return str(self._get("platform_release", ""))

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The release's catalog, with what the inventory lays over it."""
        return load(self.release, overrides=self._get("platform_catalog_overrides"))

    @property
    def kubernetes(self) -> str:
        """The version of Kubernetes."""
        return self.catalog.kubernetes

    @property
    def source(self) -> Source:
        """Where artifacts and charts come from."""
        names = ("artifacts_source", "artifacts_mirror", "artifacts_bundle")
        return Source.from_variables({name: self._get(name) for name in names})

    @property
    def repository(self) -> Repository | None:
        """The repository that ArgoCD follows; None where there is none."""
        settings = self._get("platform_git")
        return repository_from(settings) if settings else None

    @property
    def unavailable(self) -> frozenset[str]:
        """What this environment cannot have (a lab without charts)."""
        return frozenset((self._get("platform_unavailable") or {}).get("features") or ())

    @functools.cached_property
    def connection(self) -> dict[str, Any]:
        """How the API server is found, as options of k8s_apply.

        Where the platform's authority is on this controller, by a certificate for this run: whatever cluster the user's
        own kubeconfig is for, it need not be the one that was just built.
        """
        kubeconfig = self._get("platform_kubeconfig")
        if kubeconfig:
            return {"kubeconfig": os.path.expanduser(str(kubeconfig))}
        folder = ca_folder(self._get("platform_ca_dir", ""), self._get("platform_environment", ""))
        if not os.path.isfile(os.path.join(os.path.expanduser(folder), "kubernetes.key")):
            return {}
        signed = trust_as_template("{{ lookup('banking.platform.kubeconfig') }}")
        return {"kubeconfig": self._templar.template(signed)}


def _of_release(folder: str, release: str) -> str:
    inner = os.path.join(folder, release)
    return inner if os.path.isdir(inner) else folder
