# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The air-gap bundle of a release: what is in it, how it is filled, and how it is verified.

A bundle is a folder. Below it lie artifacts and charts as `artifacts_source: bundle` (and a mirror) reads them, images
as archives in `images/`, and these files:

- `bundle.json`, the index: release, every file with its digest and origin, and what is missing with the reason. It is
  written anew after each file, so that an interrupted bundle is gone on with; `complete` is set at the end.
- `images.txt`: the references of all images. `sbom.cdx.json`: the bill of materials. `SHA256SUMS`: of all others.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.catalog import (
    ANY_ARCHITECTURE,
    ARCHITECTURES,
    BUNDLE_INDEX,
    Catalog,
    CatalogError,
    Source,
    bundle_index,
)
from ansible_collections.banking.platform.plugins.module_utils.download import download_from
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import bill_of_materials
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Charts, Registry

SUMS, IMAGES, SBOM = "SHA256SUMS", "images.txt", "sbom.cdx.json"
SCHEMA = 1
PARTS = ("artifacts", "charts", "images")


@dataclass
class Item:
    """One file that the bundle should hold.

    Attributes:
        kind: artifact, chart or image.
        name: of the artifact or chart; the reference of an image, without its digest.
        path: below the bundle.
        facts: what the index says of it besides its digest: component, version, licence, origin.
        sha256: of the file, in hexadecimal, where the catalog knows it.
        fetch: brings it to a path on disk and returns more facts; raises Failure, or OSError for the disk.
        reason: why it is missing, once that is known.
    """

    kind: str
    name: str
    path: str
    facts: dict[str, Any]
    sha256: str = ""
    fetch: Callable[[str], dict[str, Any]] = field(default=lambda _path: {}, repr=False)
    reason: str = ""


def items(
    catalogs: Sequence[Catalog],
    architectures: Sequence[str],
    mirrors: Sequence[str] = (),
    parts: Sequence[str] = PARTS,
    components: Sequence[str] | None = None,
    registry: Registry | None = None,
) -> list[Item]:
    """What a bundle of some catalogs holds, by path.

    Args:
        catalogs: the release, and before it the minors of Kubernetes that are passed on the way to it.
        architectures: as the kernel or Debian call them.
        mirrors: base addresses of mirrors, tried in order in place of upstream.
        parts: which of PARTS.
        components: only of these; by default of all, but those that are listed only to say why not.
        registry: where images and charts in registries come from.

    Raises:
        CatalogError: for a name that the catalog does not know.
    """
    for part in parts:
        if part not in PARTS:
            raise CatalogError(f"parts: unknown part {part!r}; {nearest(part, PARTS)}")
    for architecture in architectures:
        if architecture not in ARCHITECTURES:
            raise CatalogError(
                f"architectures: unknown architecture {architecture!r}; {nearest(architecture, ARCHITECTURES)}"
            )
    if not architectures:
        raise CatalogError("architectures: none is named; amd64 or arm64")
    wanted = sorted({ARCHITECTURES[architecture] for architecture in architectures})
    source = Source("mirror", mirrors=tuple(mirrors)) if mirrors else Source()
    registry = registry or Registry()
    charts = Charts(registry)
    found: dict[str, Item] = {}
    for catalog in catalogs:
        for component in _components(catalog, components):
            entry = catalog.component(component)
            facts = {"component": component, "licence": entry.get("licence")}
            made: list[Item] = []
            if "artifacts" in parts:
                made += _artifacts(catalog, entry, facts, wanted, source)
            if "charts" in parts:
                made += [_chart(catalog, chart["name"], facts, source, charts) for chart in catalog.charts(component)]
            if "images" in parts:
                made += [_image(reference, facts, wanted, registry) for reference in catalog.images(component)]
            for item in made:
                found.setdefault(item.path, item)
    return [found[path] for path in sorted(found)]


def _components(catalog: Catalog, names: Sequence[str] | None) -> list[str]:
    if names is None:
        return [name for name, entry in catalog.components.items() if entry.get("role") != "rejected"]
    for name in names:
        catalog.component(name)  # says which is nearest to one that is not known
    return list(names)


def _artifacts(
    catalog: Catalog, entry: Mapping[str, Any], facts: dict[str, Any], architectures: Iterable[str], source: Source
) -> Iterator[Item]:
    for name, described in entry.get("artifacts", {}).items():
        for architecture in architectures:
            if ANY_ARCHITECTURE not in described.get("sha256", {}) and architecture not in described.get("sha256", {}):
                yield Item(
                    "artifact",
                    name,
                    f"{name}/{catalog.version(name)}/{architecture}/",
                    facts,
                    reason=f"the catalog has no digest for {architecture}",
                )
                continue
            artifact = catalog.artifact(name, architecture, source)
            upstream = catalog.artifact(name, architecture)

            def fetch(path: str, urls: Sequence[str] = artifact.urls, sha256: str = artifact.sha256) -> dict[str, Any]:
                download_from(urls, path, sha256)
                return {}

            yield Item(
                "artifact",
                name,
                f"{name}/{artifact.version}/{artifact.arch}/{artifact.filename}",
                {**facts, "version": artifact.version, "arch": artifact.arch, "url": upstream.urls[0]},
                artifact.sha256,
                fetch,
            )


def _chart(catalog: Catalog, name: str, facts: dict[str, Any], source: Source, charts: Charts) -> Item:
    chart = catalog.chart(name, source)

    def fetch(path: str) -> dict[str, Any]:
        return {"url": charts.fetch(chart, path)}

    return Item(
        "chart",
        name,
        f"charts/{name}/{chart.version}/{chart.filename}",
        {**facts, "version": chart.version, "repository": chart.repository},
        (chart.digest or "").removeprefix("sha256:"),
        fetch,
    )


def _image(reference: str, facts: dict[str, Any], architectures: Sequence[str], registry: Registry) -> Item:
    name, _at, locked = reference.partition("@")
    last = name.rsplit("/", 1)[-1]
    file = re.sub(r"[^A-Za-z0-9.-]", "_", name if ":" in last else reference)

    def fetch(path: str) -> dict[str, Any]:
        return {"digest": registry.archive(reference, architectures, path)}

    tag = last.partition(":")[2] or locked
    facts = {**facts, "version": tag, "architectures": list(architectures), **({"digest": locked} if locked else {})}
    return Item("image", name, f"images/{file}.tar", facts, fetch=fetch)


class Bundle:
    """A bundle on disk.

    Args:
        folder: where it lies, or will.
        release: of the platform.
        wanted: what it should hold.
        kubernetes: the versions that it can install, in the order of an upgrade.
    """

    def __init__(self, folder: str, release: str, wanted: Sequence[Item], kubernetes: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.release = release
        self.wanted = list(wanted)
        self.kubernetes = list(kubernetes)
        self._lock = threading.Lock()
        self._files: dict[str, dict[str, Any]] = {}
        self._to_fetch: list[Item] = []
        self.bytes_there = 0

    def plan(self) -> Plan:
        """Compare with what is there: a step for each file that has to be fetched, and one for the index if it differs.

        Raises:
            Failure: the folder holds a bundle of another release, or something else.
        """
        known = self._known()
        plan = Plan()
        for item in self.wanted:
            old = known.get(item.path, {})
            present = self._is_there(item, old)
            step = plan.add(Step(item.kind, item.path))
            if present is not None:
                self._files[item.path] = {**old, **self._described(item), **present}
                self.bytes_there += present["size"]
                continue
            step.action = "update" if (self.folder / item.path).is_file() else "create"
            step.after = {"name": item.name, "version": item.facts.get("version")}
            step.deferred = item.reason
            step.diff = {
                "before_header": item.path,
                "after_header": item.path,
                "before": "another file\n" if step.action == "update" else "",
                "after": f"{item.name} {item.facts.get('version')}\n",
            }
            self._to_fetch.append(item)
        for name, text in self._documents(complete=True).items():
            path = self.folder / name
            now = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            step = plan.add(Step("bundle file", name))
            if self._to_fetch or now != text:
                step.action = "update" if now else "create"
        return plan

    def fetch(self, parallel: int, tell: Callable[[str], None] = lambda _line: None) -> bool:
        """Fetch what the plan found missing, side by side, and write the index.

        Returns:
            Whether anything on disk is another than before.

        Raises:
            OSError: the folder cannot be written, or is full. What was fetched is kept, and gone on with next time.
        """
        before = self._written()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._to_fetch:
            self._write(BUNDLE_INDEX, self._index(complete=False))
        stop = threading.Event()
        with ThreadPoolExecutor(parallel) as pool:
            running = [pool.submit(self._fetch, item, stop, tell) for item in self._to_fetch if not item.reason]
            try:
                for done in running:
                    done.result()
            except BaseException:
                stop.set()  # the others end after the file that they are at
                raise
        fetched = any(not item.reason for item in self._to_fetch)  # by now, what could not be fetched has a reason
        for name, text in self._documents(complete=True).items():
            self._write(name, text)
        return fetched or before != self._written()

    def missing(self) -> list[dict[str, str]]:
        """What could not be fetched: kind, name, path and reason."""
        return [
            {"kind": item.kind, "name": item.name, "path": item.path, "reason": item.reason}
            for item in self.wanted
            if item.reason
        ]

    def _known(self) -> dict[str, Any]:
        if not self.folder.exists():
            return {}
        if not self.folder.is_dir():
            raise Failure(f"{self.folder} is not a folder", "name a folder as `dest`")
        try:
            index = bundle_index(str(self.folder))
        except FileNotFoundError:
            if any(not name.name.startswith(".") for name in self.folder.iterdir()):
                raise Failure(
                    f"{self.folder} holds something, but no {BUNDLE_INDEX}: it is no bundle",
                    "name a folder that is empty, or not there yet",
                ) from None
            return {}
        except CatalogError:
            return {}  # damaged: files whose digests the catalog knows stay, the others are fetched again
        if index["release"] != self.release:
            raise Failure(
                f"{self.folder} holds a bundle of release {index['release']}, not of {self.release}",
                "name another folder, one a release",
            )
        return dict(index["files"])

    def _is_there(self, item: Item, old: Mapping[str, Any]) -> dict[str, Any] | None:
        """Size and digest of the file where it is the wanted one."""
        path = self.folder / item.path
        expected = item.sha256 or old.get("sha256")
        same = all(old.get(key) == item.facts[key] for key in ("digest", "architectures") if key in item.facts)
        if not expected or not path.is_file() or (item.kind == "image" and not same):
            return None
        if digest_of(str(path)) != expected:
            return None
        return {"sha256": expected, "size": path.stat().st_size}

    @staticmethod
    def _described(item: Item) -> dict[str, Any]:
        return {"kind": item.kind, "name": item.name, **item.facts}

    def _fetch(self, item: Item, stop: threading.Event, tell: Callable[[str], None]) -> None:
        if stop.is_set():
            return
        path = self.folder / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            facts = item.fetch(str(path))
        except Failure as failure:
            item.reason = failure.cause
            tell(f"missing: {item.path}: {failure.cause}")
            return
        except OSError:
            stop.set()
            raise
        tell(f"fetched: {item.path}")
        found = {"sha256": digest_of(str(path)), "size": path.stat().st_size}
        with self._lock:
            self._files[item.path] = {**self._described(item), **facts, **found}
            self._write(BUNDLE_INDEX, self._index(complete=False))

    def _index(self, complete: bool) -> str:
        index = {
            "schema": SCHEMA,
            "release": self.release,
            "kubernetes": self.kubernetes,
            "complete": complete,
            "files": {path: self._files[path] for path in sorted(self._files)},
            "missing": self.missing(),
        }
        return json.dumps(index, indent=1, sort_keys=True) + "\n"

    def _documents(self, complete: bool) -> dict[str, str]:
        """The bundle's own files, SHA256SUMS last: it is what says that the others are whole."""
        images = sorted(
            f"{item.name}@{digest}" if digest else item.name
            for item in self.wanted
            if item.kind == "image"
            for digest in [self._files.get(item.path, item.facts).get("digest")]
        )
        documents = {
            IMAGES: "".join(f"{image}\n" for image in images),
            SBOM: bill_of_materials.render(self.release, self._files),
            BUNDLE_INDEX: self._index(complete),
        }
        sums = {path: file["sha256"] for path, file in self._files.items()}
        sums |= {name: _sha256(text) for name, text in documents.items()}
        documents[SUMS] = "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))
        return documents

    def _written(self) -> dict[str, str]:
        names = (IMAGES, SBOM, BUNDLE_INDEX, SUMS)
        return {
            name: (self.folder / name).read_text(encoding="utf-8", errors="replace")
            for name in names
            if (self.folder / name).is_file()
        }

    def _write(self, name: str, text: str) -> None:
        path, new = self.folder / name, self.folder / f".{name}.new"
        new.write_text(text, encoding="utf-8")
        os.replace(new, path)


def stated_missing(folder: str) -> list[dict[str, str]]:
    """What the index of a bundle says that could not be fetched. Raises as `bundle_index` does."""
    return list(bundle_index(folder).get("missing", []))


def verify(folder: str, release: str = "") -> list[str]:
    """What is wrong with a bundle, a line for each file that is damaged, missing or surplus.

    Raises:
        CatalogError: its index is damaged, or of another release.
        Failure: it is no bundle, or an unfinished one.
    """
    base = Path(folder)
    try:
        index = bundle_index(folder, release)
    except FileNotFoundError:
        raise Failure(f"{folder} has no {BUNDLE_INDEX}: it is no bundle", "correct `dest`") from None
    if not index.get("complete"):
        raise Failure(f"{folder} is an unfinished bundle", "make it again: what is there already is kept")
    try:
        sums = _read_sums(base / SUMS)
    except (OSError, ValueError) as error:
        raise Failure(f"{base / SUMS} cannot be read: {error}", "carry it over again, or make it again") from None
    found = []
    for path in sorted({*sums, *index["files"], BUNDLE_INDEX}):
        expected = sums.get(path)
        file = base / path
        if not file.is_file():
            found.append(f"missing: {path}")
        elif expected is None:
            found.append(f"damaged: {SUMS} does not name {path}")
        elif digest_of(str(file)) != expected:
            found.append(f"damaged: {path}: its SHA-256 is not {expected}")
        elif path in index["files"] and index["files"][path].get("sha256") != expected:
            found.append(f"damaged: {path}: {SUMS} and {BUNDLE_INDEX} give it different digests")
    there = {
        os.path.relpath(os.path.join(place, name), folder) for place, _dirs, names in os.walk(folder) for name in names
    }
    found += [f"surplus: {path}" for path in sorted(there - {*sums, *index["files"], SUMS, BUNDLE_INDEX})]
    return found


def _read_sums(path: Path) -> dict[str, str]:
    sums = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (\S.*)", line)
        if not match or match[2].startswith("/") or ".." in match[2].split("/"):
            raise ValueError(f"the line {line!r} is no checksum")
        sums[match[2]] = match[1]
    return sums


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
