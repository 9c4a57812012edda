# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hold a `coordination.k8s.io/v1` Lease: one at a time, wherever it runs."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import ApiError, Client, Conflict, escape
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


class Held(Failure):
    """Somebody else holds the lease. `holder` names him."""

    def __init__(self, cause: str, next_step: str, holder: str) -> None:
        super().__init__(cause, next_step)
        self.holder = holder


class Lease:
    """One lease and one who would hold it.

    Args:
        client: the API server.
        namespace, name: of the lease.
        holder: who we are, the same in each call and nobody else's.
        seconds: how long it is held without renewal.
        now: for tests.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        holder: str,
        seconds: int = 60,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
    ) -> None:
        self._client, self._namespace, self._name, self._holder = client, namespace, name, holder
        self._seconds, self._now = seconds, now
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{escape(namespace)}/leases"
        self._path = f"{self._collection}/{escape(name)}"

    def acquire(self) -> None:
        """Take the lease, or renew it when it is ours.

        Raises:
            Held: another one holds it, and has renewed it in time.
        """
        live = self._client.find(self._path)
        body = self._body(live)
        try:
            if live is None:
                self._client.create(self._collection, body)
                return
            spec = live.get("spec") or {}
            holder = spec.get("holderIdentity") or ""
            if holder not in ("", self._holder) and not self._expired(spec):
                raise self._held(holder, spec)
            self._client.replace(self._path, body)
        except Conflict as error:
            # Another one was quicker.
            spec = (self._client.find(self._path) or {}).get("spec") or {}
            raise self._held(spec.get("holderIdentity") or "somebody", spec) from error

    renew = acquire

    def release(self) -> None:
        """Give the lease back. Nothing happens when it isn't ours any more."""
        live = self._client.find(self._path)
        if live is None or (live.get("spec") or {}).get("holderIdentity") != self._holder:
            return
        live["spec"] = {**live["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            self._client.replace(self._path, live)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def _body(self, live: Mapping[str, Any] | None) -> dict[str, Any]:
        spec = dict((live or {}).get("spec") or {})
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if spec.get("holderIdentity") != self._holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", -1) + 1
        spec.update(holderIdentity=self._holder, leaseDurationSeconds=self._seconds, renewTime=now)
        meta: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if live:
            # With the version that was read: whoever writes in between wins, and we learn it.
            meta["resourceVersion"] = live["metadata"]["resourceVersion"]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}

    def _expired(self, spec: Mapping[str, Any]) -> bool:
        renewed = datetime.datetime.fromisoformat(spec["renewTime"].replace("Z", "+00:00"))
        return self._now() > renewed + datetime.timedelta(seconds=spec.get("leaseDurationSeconds") or 0)

    def _held(self, holder: str, spec: Mapping[str, Any]) -> Held:
        return Held(
            f"lease {self._namespace}/{self._name} is held by {holder} since {spec.get('acquireTime')}, "
            f"last renewed {spec.get('renewTime')}",
            f"wait for it; it expires {spec.get('leaseDurationSeconds')} s after its last renewal",
            holder,
        )
