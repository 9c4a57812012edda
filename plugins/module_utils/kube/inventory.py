# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kinds, in which namespaces, a component has ever applied and may still have: where pruning has to look.

The idea is that of kubectl's ApplySets (KEP-3659): objects belong to a component by their label, and one object of the
component's own keeps the kinds and namespaces only. It is widened before anything is applied, and narrowed after
everything unwanted is gone, so that a run that was killed in between leaves nothing behind that no run would find.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, escape

LABEL = "platform.banking/inventory"


class Inventory:
    """The inventory of one component.

    Args:
        client: the API server.
        component: the component's name.
        namespace: where the ConfigMap is.

    Attributes:
        kinds: group and kind of what may be there.
        namespaces: where.
    """

    def __init__(self, client: Client, component: str, namespace: str) -> None:
        self._client, self._component, self._namespace = client, component, namespace
        self._name = f"platform-inventory-{component}"
        self._path = f"/api/v1/namespaces/{escape(namespace)}/configmaps/{escape(self._name)}"
        found = client.find(self._path)
        data = (found or {}).get("data") or {}
        self._there = found is not None
        self.kinds = {_split(line) for line in data.get("kinds", "").split()}
        self.namespaces = set(data.get("namespaces", "").split())

    def widen(self, kinds: Iterable[tuple[str, str]], namespaces: Iterable[str]) -> None:
        """Add what is about to be applied."""
        self._write(self.kinds | set(kinds), self.namespaces | set(namespaces))

    def narrow(self, kinds: set[tuple[str, str]], namespaces: set[str]) -> None:
        """Keep what is left; nothing left is no inventory."""
        if kinds:
            self._write(kinds, namespaces)
        elif self._there:
            self._client.delete(self._path)
            self._there, self.kinds, self.namespaces = False, set(), set()

    def _write(self, kinds: set[tuple[str, str]], namespaces: set[str]) -> None:
        if (kinds, namespaces) == (self.kinds, self.namespaces):
            return
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": {LABEL: self._component}},
            "data": {
                "kinds": "\n".join(sorted(f"{kind}.{group}" if group else kind for group, kind in kinds)),
                "namespaces": "\n".join(sorted(namespaces)),
            },
        }
        self._client.apply(self._path, body, force=True)
        self._there, self.kinds, self.namespaces = True, kinds, namespaces


def _split(line: str) -> tuple[str, str]:
    """`Deployment.apps` as group and kind."""
    kind, _dot, group = line.partition(".")
    return group, kind
