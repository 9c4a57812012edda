# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects by which ArgoCD follows the tree.

Fields: https://argo-cd.readthedocs.io/en/stable/operator-manual/application.yaml
"""

from __future__ import annotations

from typing import Any

from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import Repository
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import ONCE

APPS = "apps"
PROJECT = "platform"
NAMESPACE = "argocd"
_API = "argoproj.io/v1alpha1"
_CLUSTER = "https://kubernetes.default.svc"
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
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": ["CreateNamespace=false", "ServerSideApply=true", "RespectIgnoreDifferences=true"],
                "retry": _RETRY,
            },
        },
    }


def root(repository: Repository) -> dict[str, Any]:
    """The Application of all Applications. One that is gone from the tree is not removed by itself."""
    found = application("platform", 0, APPS, repository)
    found["spec"]["syncPolicy"]["automated"] = {"prune": False, "selfHeal": True}
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


def _source(repository: Repository, folder: str) -> dict[str, str]:
    path = "/".join(part for part in (repository.path.strip("/"), folder) if part)
    return {"repoURL": repository.url, "targetRevision": repository.branch, "path": path}
