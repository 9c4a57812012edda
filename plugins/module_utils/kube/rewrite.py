# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write objects again as they are, so that they are stored as the API servers store today: with another key."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    ApiError,
    Client,
    Conflict,
    NotFound,
    escape,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

_BATCH = 100
_MOST_TRIES = 5
_MOST_NAMED = 5


class Rewrite:
    """All objects of some resources.

    Args:
        client: the API server.
        resources: `secrets`, or `<resource>.<group>`.
        check: whether to count only.
    """

    def __init__(self, client: Client, resources: Sequence[str], check: bool = False) -> None:
        self._client, self._resources, self._check = client, resources, check
        self.plan = Plan()
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """Do it.

        Raises:
            Failure: when there is no such resource, or objects could not be written; all others are written then.
        """
        kinds = {resource: self._kind(resource) for resource in self._resources}
        self.plan.begun = not self._check
        failed: list[str] = []
        for resource, (root, kind) in kinds.items():
            self.counts[resource] = 0
            step = self.plan.add(Step("objects", resource))
            for batch in _batches(self._client.list(f"{root}/{kind['name']}", metadata_only=self._check)):
                if not self._check:
                    outcomes = self._client.each(functools.partial(self._write, root, kind), batch)
                    failed += [
                        f"{_name(item)}: {_why(outcome)}"
                        for item, outcome in zip(batch, outcomes, strict=True)
                        if isinstance(outcome, Failure)
                    ]
                self.counts[resource] += len(batch)
                step.action, step.after = "update", {"written again": self.counts[resource]}
                step.state = "" if self._check else "done"
        if failed:
            more = f" and {len(failed) - _MOST_NAMED} more" if len(failed) > _MOST_NAMED else ""
            raise Failure(
                f"{len(failed)} of {sum(self.counts.values())} objects could not be written again: "
                f"{'; '.join(failed[:_MOST_NAMED])}{more}",
                "see what refuses them (an admission webhook, a policy), mend it and run again",
            )

    def _kind(self, resource: str) -> tuple[str, Mapping[str, Any]]:
        """The path of a resource's version, and the resource as discovery describes it."""
        plural, _dot, group = resource.partition(".")
        try:
            root = "/api/v1" if not group else f"/apis/{self._preferred(group)}"
            known = self._client.get(root).get("resources") or []
        except NotFound:
            known = []
        for entry in known:
            if entry["name"] == plural:
                return root, entry
        raise Failure(f"the API server has no resource {resource}", "correct kubernetes_encrypted_resources")

    def _preferred(self, group: str) -> str:
        return str(self._client.get(f"/apis/{escape(group)}")["preferredVersion"]["groupVersion"])

    def _write(self, root: str, kind: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        meta = item["metadata"]
        where = f"/namespaces/{escape(meta['namespace'])}" if kind["namespaced"] else ""
        path = f"{root}{where}/{kind['name']}/{escape(meta['name'])}"
        # As they were listed, they do not say what they are.
        said = {"apiVersion": root.split("/", 2)[2], "kind": kind["kind"]}
        for _attempt in range(_MOST_TRIES):
            try:
                self._client.replace(path, {**item, **said})
            except NotFound:
                return  # gone meanwhile: nothing is left to be written
            except Conflict:
                found = self._client.find(path)
                if found is None:
                    return
                item = found
            else:
                return
        raise Failure(f"is changed all the time, {_MOST_TRIES} attempts failed")


def _batches(items: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(items, _BATCH)):
        yield batch


def _name(item: Mapping[str, Any]) -> str:
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def _why(failure: Failure) -> str:
    """Why, without the server's own words: they may hold values of the object."""
    if isinstance(failure, ApiError):
        return f"{failure.reason or 'refused'} ({failure.status})"
    return failure.cause
