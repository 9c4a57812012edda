# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog's locks: the digest of each image and each packed chart, read from where they are published.

A lock is written once: what is locked stays as it is, whatever the registry says later. To lock anew, remove the line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.banking.platform.plugins.module_utils.catalog import Catalog
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Charts, Registry

KINDS = ("images", "charts")


class Lock:
    """The lock files of a folder.

    Args:
        folder: with `images.lock.yml` and `charts.lock.yml`.
        catalogs: what is to be locked.
        registry: where images and charts in registries are asked for.
        components: only of these; by default of all.
    """

    def __init__(
        self, folder: str, catalogs: Sequence[Catalog], registry: Registry, components: Sequence[str] | None = None
    ) -> None:
        self.paths = {kind: Path(folder) / f"{kind}.lock.yml" for kind in KINDS}
        self.locked = {kind: _read(path, kind) for kind, path in self.paths.items()}
        self.missing: list[dict[str, str]] = []
        charts = Charts(registry)
        self._asked: dict[tuple[str, str], Callable[[], str]] = {}
        for catalog in catalogs:
            for component in catalog.components if components is None else components:
                for reference in catalog.component(component).get("images", []):
                    if "@" not in reference and reference not in self.locked["images"]:
                        self._asked["images", reference] = _image(registry, reference)
                for entry in catalog.charts(component):
                    chart = catalog.chart(entry["name"])
                    if not chart.digest and chart.reference not in self.locked["charts"]:
                        self._asked["charts", chart.reference] = lambda chart=chart: charts.digest(chart)  # type: ignore[misc]

    def plan(self) -> Plan:
        """A step for each digest that is to be read."""
        plan = Plan()
        for kind, reference in self._asked:
            plan.add(Step(f"digest of {kind}", reference, "create"))
        return plan

    def read(self, parallel: int) -> dict[str, dict[str, str]]:
        """Ask for all digests, and return those that were found, by kind and reference; `missing` has the others."""
        found: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        with ThreadPoolExecutor(parallel) as pool:
            for (kind, reference), done in [(key, pool.submit(_ask, ask)) for key, ask in self._asked.items()]:
                digest, reason = done.result()
                if digest:
                    found[kind][reference] = digest
                else:
                    self.missing.append({"kind": kind[:-1], "name": reference, "path": "", "reason": reason})
        return found

    def write(self, found: Mapping[str, Mapping[str, str]]) -> None:
        """Add what was found to the files, sorted; the comments above stay. Raises OSError."""
        for kind, digests in found.items():
            if not digests:
                continue
            path = self.paths[kind]
            text = path.read_text(encoding="utf-8")
            head = text[: text.index(f"\n{kind}:") + 1]
            entries = dict(sorted({**self.locked[kind], **digests}.items()))
            body = yaml.safe_dump({kind: entries}, width=1000, default_flow_style=False)
            new = path.with_name(f".{path.name}.new")
            new.write_text(head + body, encoding="utf-8")
            os.replace(new, path)


def _image(registry: Registry, reference: str) -> Callable[[], str]:
    return lambda: registry.manifest(reference).digest


def _ask(ask: Callable[[], str]) -> tuple[str, str]:
    try:
        return ask(), "its repository states no digest"
    except Failure as failure:
        return "", failure.cause


def _read(path: Path, kind: str) -> dict[str, Any]:
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8"))[kind])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise Failure(f"{path}: no lock file: {error!r}", "take the catalog's own, or correct `dest`") from error
