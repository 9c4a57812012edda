# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects by which ArgoCD follows the tree.

Fields: https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Step
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import Repository
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import ONCE

APPS = "apps"
PROJECT = "platform"
ROOT = "platform"
COMPONENT = "argocd"
NAMESPACE = "argocd"
# The wave that ArgoCD itself comes in: its components are there before anybody follows Git.
WAVE = 5
# By what name its syncs own fields (argo-cd, common/common.go).
MANAGER = "argocd-controller"
_API = "argoproj.io/v1alpha1"
_CLUSTER = "https://kubernetes.default.svc"
_AUTOMATED = {"prune": True, "selfHeal": True}
# As the source documents have it.
_RETRY = {"limit": 5, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}}


def application(component: str, wave: int, folder: str, repository: Repository) -> dict[str, Any]:
    """The Application of a component.

    What a component only creates belongs to somebody else from then on, and is left out: ArgoCD would keep it as it is.
    It has no finalizer: without it, removing an Application leaves what it had brought. Namespaces are the platform's,
    with their guards, so ArgoCD makes none.

    Args:
        component: the component's name, and the Application's.
        wave: in which it is synchronised among the others.
        folder: of its manifests in the tree.
        repository: where the tree is.
    """
    return {
        "apiVersion": _API,
        "kind": "Application",
        "metadata": {
            "name": component,
            "namespace": NAMESPACE,
            "annotations": {"argocd.argoproj.io/sync-wave": str(wave)},
        },
        "spec": {
            "project": PROJECT,
            "source": {**_source(repository, folder), "directory": {"recurse": True, "exclude": f"{ONCE}*"}},
            "destination": {"server": _CLUSTER},
            "syncPolicy": {
                "automated": _AUTOMATED,
                "syncOptions": ["CreateNamespace=false", "ServerSideApply=true", "RespectIgnoreDifferences=true"],
                "retry": _RETRY,
            },
        },
    }


def root(repository: Repository) -> dict[str, Any]:
    """The Application of all Applications. One that is gone from the tree is not removed by itself.

    It leaves alone whether another one is synchronised by itself: a run past Git suspends that for a while.
    """
    found = application(ROOT, 0, APPS, repository)
    found["spec"]["syncPolicy"]["automated"] = {"prune": False, "selfHeal": True}
    found["spec"]["ignoreDifferences"] = [
        {"group": "argoproj.io", "kind": "Application", "jsonPointers": ["/spec/syncPolicy/automated"]}
    ]
    found["spec"]["source"].pop("directory")
    return found


def project(repository: Repository) -> dict[str, Any]:
    """The project of the platform's own components: they may bring anything, from this repository only."""
    everything = [{"group": "*", "kind": "*"}]
    return {
        "apiVersion": _API,
        "kind": "AppProject",
        "metadata": {"name": PROJECT, "namespace": NAMESPACE},
        "spec": {
            "description": "Components of the platform, delivered by banking.platform",
            "sourceRepos": [repository.url],
            "destinations": [{"server": _CLUSTER, "namespace": "*"}],
            "clusterResourceWhitelist": everything,
            "namespaceResourceWhitelist": everything,
        },
    }


def credentials(repository: Repository, given: Mapping[str, Any]) -> dict[str, Any]:
    """The Secret by which ArgoCD reads the repository.

    Args:
        repository: where the tree is.
        given: username and password, or ssh_key (the key itself).

    Raises:
        Failure: naming what is not known.
    """
    names = {"username": "username", "password": "password", "ssh_key": "sshPrivateKey"}
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise Failure(f"argocd_git_credentials: {', '.join(unknown)} is not known", f"it takes {', '.join(names)}")
    data = {name: str(given[key]) for key, name in names.items() if given.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "platform-repository",
            "namespace": NAMESPACE,
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "stringData": {"type": "git", "url": repository.url, **data},
    }


# Applications in the cluster


def path(name: str) -> str:
    """Where an Application is in the API. That of ROOT is there when ArgoCD follows Git."""
    return f"/apis/{_API}/namespaces/{NAMESPACE}/applications/{name}"


def suspended(client: Client, name: str, why: str) -> Step:
    """The step by which an Application is no longer synchronised by itself; `none` when it is not, or not there."""
    now = _automated(client, name)
    step = Step("Application.argoproj.io", f"{NAMESPACE}/{name}", note=f"no longer synchronised by itself: {why}")
    if now:
        step.action, step.before, step.after = "update", {"automated": now}, {"automated": None}
        step.apply = lambda: _set_automated(client, name, None)
    return step


def resumed(client: Client, name: str) -> Step:
    """The step by which an Application is synchronised by itself again; `none` when it is, or not there."""
    now = _automated(client, name)
    step = Step("Application.argoproj.io", f"{NAMESPACE}/{name}")
    if now is not None and not now:
        step.action, step.before, step.after = "update", {"automated": None}, {"automated": _AUTOMATED}
        step.note = "synchronised by itself again"
        step.apply = lambda: _set_automated(client, name, _AUTOMATED)
    return step


def refresh(client: Client, name: str) -> None:
    """Have ArgoCD look at the repository now: by itself it looks every three minutes."""
    client.patch(path(name), {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}})


def _automated(client: Client, name: str) -> Mapping[str, Any] | None:
    """How an Application is synchronised by itself: empty when it is not, None when there is no such Application."""
    found = client.find(path(name))
    return None if found is None else ((found.get("spec") or {}).get("syncPolicy") or {}).get("automated") or {}


def _set_automated(client: Client, name: str, wanted: Mapping[str, Any] | None) -> None:
    client.patch(path(name), {"spec": {"syncPolicy": {"automated": wanted}}})


def _source(repository: Repository, folder: str) -> dict[str, str]:
    path = "/".join(part for part in (repository.path.strip("/"), folder) if part)
    return {"repoURL": repository.url, "targetRevision": repository.branch, "path": path}
