# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kinds an API server has, read once a run.

Two requests where the server aggregates (Kubernetes 1.27 and newer), one for each group that is needed elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import ApiError, Client, NotFound, escape

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
    "application/json"
)


@dataclass(frozen=True)
class Resource:
    """A kind in one version.

    Attributes:
        api_version: `apps/v1`, or `v1`.
        kind: `Deployment`.
        plural: `deployments`, as in paths.
        namespaced: whether its objects live in namespaces.
        has_status: whether `status` is a subresource, so that what is applied to it is dropped.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    has_status: bool = False

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path of an object, or of a collection when there is no name."""
        parts = [("/apis/" if "/" in self.api_version else "/api/") + self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", escape(namespace)]
        parts += [self.plural, *([escape(name)] if name else []), *([subresource] if subresource else [])]
        return "/".join(parts)


class Discovery:
    """The kinds of one server. `refresh` after CRDs have come or gone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.refresh()

    def refresh(self) -> None:
        """Read again at the next question."""
        self._known: dict[tuple[str, str], Resource] = {}
        # Versions by group, the preferred one first.
        self._versions: dict[str, list[str]] = {}
        self._unread: set[str] = set()
        self._stale: set[str] = set()
        self._read = False

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """Find a kind in a version; None when the server has none."""
        self._load()
        if api_version in self._unread:
            self._read_version(api_version)
        return self._known.get((api_version, kind))

    def preferred(self, group: str, kind: str) -> Resource | None:
        """Find a kind in the server's preferred version of a group, or in the next one that has it."""
        self._load()
        for version in self._versions.get(group, ()):
            found = self.resource(version, kind)
            if found:
                return found
        return None

    def stale(self, api_version: str) -> bool:
        """Whether the server itself couldn't ask the one that serves this version (an APIService that is down)."""
        self._load()
        return api_version in self._stale

    def _load(self) -> None:
        if self._read:
            return
        self._read = True
        for path in ("/api", "/apis"):
            answer = self._client.get(path, accept=_AGGREGATED)
            if answer.get("kind") == "APIGroupDiscoveryList":
                self._read_aggregated(answer)
            elif path == "/api":
                self._versions[""] = list(answer["versions"])
                self._unread.update(answer["versions"])
            else:
                for group in answer["groups"]:
                    first = group["preferredVersion"]["groupVersion"]
                    versions = [version["groupVersion"] for version in group["versions"]]
                    self._versions[group["name"]] = sorted(versions, key=lambda name: name != first)
                    self._unread.update(versions)

    def _read_aggregated(self, answer: Mapping[str, Any]) -> None:
        for group in answer.get("items") or ():
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                api_version = f"{name}/{version['version']}" if name else version["version"]
                self._versions.setdefault(name, []).append(api_version)
                if version.get("freshness") == "Stale":
                    self._stale.add(api_version)
                for found in version.get("resources") or ():
                    kind = (found.get("responseKind") or {}).get("kind")
                    if not kind:
                        continue
                    subresources = [sub["subresource"] for sub in found.get("subresources") or ()]
                    self._known[api_version, kind] = Resource(
                        api_version, kind, found["resource"], found["scope"] == "Namespaced", "status" in subresources
                    )

    def _read_version(self, api_version: str) -> None:
        self._unread.discard(api_version)
        try:
            answer = self._client.get(("/apis/" if "/" in api_version else "/api/") + api_version)
        except NotFound:
            return
        except ApiError as error:
            if error.status != 503:
                raise
            self._stale.add(api_version)
            return
        names = {found["name"] for found in answer["resources"]}
        for found in answer["resources"]:
            if "/" not in found["name"]:
                self._known[api_version, found["kind"]] = Resource(
                    api_version, found["kind"], found["name"], found["namespaced"], f"{found['name']}/status" in names
                )
