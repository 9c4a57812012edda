# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of a platform release: the only place with a version, a URL or a digest.

``catalog/<release>.yml`` (described by ``catalog/schema.json``) names components, and each component names
the artifacts and images it is made of. A role asks for an artifact by name and never sees a URL::

    catalog = load("2024.1")
    catalog.artifact("containerd", "x86_64", Source("mirror", mirrors=("https://files.bank.example/platform",)))

``catalog/kubernetes.yml`` holds the Kubernetes minors between the releases, ``catalog/images.lock.yml`` and
``catalog/charts.lock.yml`` the digests of images and of packed charts, by reference. Nothing here touches the network,
and nothing but ``load``, ``releases`` and ``bundle_index`` the disk.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

SCHEMA = 1
# Below plugins/module_utils/: ../../catalog. Only the controller loads a catalog, where the collection is a folder.
FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "catalog")

# What the kernel (`uname -m`) and distributions call an architecture, to what upstream projects call it.
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
ANY_ARCHITECTURE = "any"  # the key of a digest that holds for every architecture (charts, manifests)
SOURCES = ("upstream", "mirror", "bundle")
BUNDLE_INDEX = "bundle.json"
_RELEASE = re.compile(r"[0-9]{4}\.[0-9]+")


class CatalogError(ValueError):
    """The catalog, or what was asked of it, is wrong; the message names the thing and the nearest known one."""


@dataclass(frozen=True)
class Source:
    """Where artifacts come from, for the whole inventory.

    ``upstream``: the project's own URLs. ``mirror``: the same files below each of ``mirrors``, tried in order.
    ``bundle``: the same files below the folder ``bundle`` on the controller. Mirror and bundle have one layout,
    ``<artifact>/<version>/<arch>/<upstream file name>``: a bundle behind any web server is a mirror. (The architecture
    is in it because some projects give the file for every architecture the same name.) Charts lie in it as
    ``charts/<name>/<version>/<name>-<version>.tgz``.
    """

    kind: str = "upstream"
    mirrors: Tuple[str, ...] = ()
    bundle: str = ""

    def __post_init__(self) -> None:
        if self.kind not in SOURCES:
            raise CatalogError(f"artifacts_source: unknown source {self.kind!r}; {nearest(self.kind, SOURCES)}")
        if self.kind == "mirror" and not self.mirrors:
            raise CatalogError(
                "artifacts_source is 'mirror', but artifacts_mirror is empty: set it to the base URL of the mirror"
            )
        if self.kind == "bundle" and not self.bundle:
            raise CatalogError(
                "artifacts_source is 'bundle', but artifacts_bundle is empty: set it to the folder on the controller"
            )

    @classmethod
    def from_variables(cls, variables: Mapping[str, Any]) -> "Source":
        """The source that ``artifacts_source``, ``artifacts_mirror`` (one or a list) and ``artifacts_bundle`` say."""
        mirror = variables.get("artifacts_mirror") or ()
        mirrors = (mirror,) if isinstance(mirror, str) else tuple(mirror)
        return cls(
            kind=str(variables.get("artifacts_source") or "upstream"),
            mirrors=tuple(str(m) for m in mirrors),
            bundle=str(variables.get("artifacts_bundle") or ""),
        )


@dataclass(frozen=True)
class Artifact:
    """One file of one version for one architecture, and where to get it.

    ``urls`` are tried in order. From a bundle there are none: ``path`` is the file on the controller.
    ``unpack`` is ``tar.gz``, ``zip``, ``deb`` or ``none``; ``strip`` leading folders are dropped from the names in an
    archive.
    """

    name: str
    component: str
    version: str
    arch: str
    filename: str
    sha256: str
    unpack: str
    strip: int
    urls: Tuple[str, ...]
    path: Optional[str]

    def as_dict(self) -> Dict[str, Any]:
        """The artifact as plain data, to be sent to a node."""
        return {**asdict(self), "urls": list(self.urls)}


@dataclass(frozen=True)
class Chart:
    """One version of a Helm chart, and where to get it packed.

    ``reference`` (``<repository>/<name>:<version>``) is its key in the lock, ``digest`` (``sha256:..``) that of the
    packed chart: None where nobody has locked it, and then only a lab may use it. From upstream, ``repository`` is an
    OCI registry (``oci://..``) or an HTTP address with an index.yaml, and ``urls`` is empty: the index knows them.
    From a mirror, ``urls`` are tried in order. From a bundle, ``path`` is the file on the controller.
    """

    name: str
    component: str
    version: str
    reference: str
    repository: str
    filename: str
    digest: Optional[str]
    urls: Tuple[str, ...]
    path: Optional[str]

    def as_dict(self) -> Dict[str, Any]:
        """The chart as plain data."""
        return {**asdict(self), "urls": list(self.urls)}


class Catalog:
    """A loaded release.

    Args:
        data: the release's file, read.
        origin: what to call it in messages.
        minors: the Kubernetes minors between releases: minor ("1.29") to what is laid over ``data`` for it.
        digests: the locked digest (``sha256:..``) of an image or a packed chart, by its reference.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        origin: str = "catalog",
        minors: Optional[Mapping[str, Mapping[str, Any]]] = None,
        digests: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.origin = origin
        self._data = data
        self._minors = dict(minors or {})
        self._digests = dict(digests or {})
        if data.get("schema") != SCHEMA:
            raise CatalogError(f"{origin}: schema is {data.get('schema')!r}, this collection reads {SCHEMA}")
        try:
            self.release: str = str(data["release"])
            self.kubernetes: str = str(data["kubernetes"])
            self.state: str = str(data["state"])
            self.components: Dict[str, Dict[str, Any]] = dict(data["components"])
        except KeyError as missing:
            raise CatalogError(f"{origin}: the key {missing} is missing") from None
        self.eol: Optional[str] = data.get("eol")
        self._owner: Dict[str, str] = {}
        for component, entry in self.components.items():
            for name in entry.get("artifacts", {}):
                if name in self._owner:
                    raise CatalogError(f"{origin}: artifact {name!r} is in {self._owner[name]!r} and {component!r}")
                self._owner[name] = component
        self._charts: Dict[str, str] = {}
        for component, entry in self.components.items():
            for chart in entry.get("charts", []):
                if chart["name"] in self._charts:
                    raise CatalogError(
                        f"{origin}: chart {chart['name']!r} is in {self._charts[chart['name']]!r} and {component!r}"
                    )
                self._charts[chart["name"]] = component

    def component(self, name: str) -> Dict[str, Any]:
        """The entry of a component, as it stands in the file."""
        try:
            return self.components[name]
        except KeyError:
            raise CatalogError(f"{self.origin}: no component {name!r}; {nearest(name, self.components)}") from None

    def version(self, name: str) -> str:
        """The version of a component or, where it has one of its own, of an artifact."""
        if name in self._owner:
            return str(self._artifact_entry(name).get("version", self.components[self._owner[name]]["version"]))
        if name in self.components:
            return str(self.components[name]["version"])
        known = [*self.components, *self._owner]
        raise CatalogError(f"{self.origin}: no component or artifact {name!r}; {nearest(name, known)}")

    def artifacts(self) -> List[str]:
        """The names of all artifacts."""
        return sorted(self._owner)

    def artifact(self, name: str, arch: str, source: Optional[Source] = None) -> Artifact:
        """The artifact ``name`` for ``arch`` (as `uname -m` or Debian call it), from ``source`` (default: upstream)."""
        source = source or Source()
        entry = self._artifact_entry(name)
        version = self.version(name)
        arch, sha256 = self._digest(name, entry.get("sha256") or {}, arch)
        called = (entry.get("arch") or {}).get(arch, arch)
        upstream = [str(url).format(version=version, arch=called) for url in entry["urls"]]
        filename = upstream[0].rsplit("/", 1)[1]
        layout = "/".join((name, version, arch, filename))
        urls: List[str] = []
        path = None
        if source.kind == "upstream":
            urls = upstream
        elif source.kind == "mirror":
            urls = [f"{base.rstrip('/')}/{layout}" for base in source.mirrors]
        else:
            path = os.path.join(source.bundle, layout)
        return Artifact(
            name=name,
            component=self._owner[name],
            version=version,
            arch=arch,
            filename=filename,
            sha256=sha256,
            # .tgz and .tar.gz are one format: the node need not know both names.
            unpack={"tgz": "tar.gz"}.get(entry.get("unpack", "none"), entry.get("unpack", "none")),
            strip=int(entry.get("strip", 0)),
            urls=tuple(urls),
            path=path,
        )

    def image(self, component: str, name: str) -> str:
        """The reference of a component's image, found by the last part of its repository (``pause``, ``coredns``).

        Its locked digest follows it, so that what was locked is what runs.
        """
        references = {_image_name(ref): ref for ref in self.component(component).get("images", [])}
        try:
            return self._locked(references[name])
        except KeyError:
            raise CatalogError(
                f"{self.origin}: component {component!r} has no image {name!r}; {nearest(name, references)}"
            ) from None

    def images(self, component: str) -> List[str]:
        """The references of all images of a component, with their locked digests."""
        return [self._locked(reference) for reference in self.component(component).get("images", [])]

    def repositories(self) -> List[str]:
        """The repositories of all images of the release, each once, without tags and digests."""
        references = {image for name in self.components for image in self.component(name).get("images", [])}
        return sorted({_repository(reference) for reference in references})

    def images_without_digest(self, components: Optional[Iterable[str]] = None) -> List[str]:
        """References of images that nothing but a tag names, of some components (default: all)."""
        names = self.components if components is None else components
        return sorted({image for name in names for image in self.images(name) if "@" not in image})

    def charts(self, component: str) -> List[Dict[str, str]]:
        """The charts of a component, in the order of installation: name, repo, version, and digest where known."""
        return [self._with_digest(chart) for chart in self.component(component).get("charts", [])]

    def chart_names(self) -> List[str]:
        """The names of all charts."""
        return sorted(self._charts)

    def chart(self, name: str, source: Optional[Source] = None) -> Chart:
        """The chart ``name`` from ``source`` (default: upstream), with its digest where it is locked."""
        source = source or Source()
        try:
            component = self._charts[name]
        except KeyError:
            raise CatalogError(f"{self.origin}: no chart {name!r}; {nearest(name, self._charts)}") from None
        entry = next(chart for chart in self.charts(component) if chart["name"] == name)
        version, repository = str(entry["version"]), str(entry["repo"]).rstrip("/")
        filename = f"{name}-{version}.tgz"
        layout = "/".join(("charts", name, version, filename))
        return Chart(
            name=name,
            component=component,
            version=version,
            reference=chart_reference(entry),
            repository=repository,
            filename=filename,
            digest=entry.get("digest"),
            urls=tuple(f"{base.rstrip('/')}/{layout}" for base in source.mirrors) if source.kind == "mirror" else (),
            path=os.path.join(source.bundle, layout) if source.kind == "bundle" else None,
        )

    def versions(self, names: Iterable[str], today: str) -> List[Dict[str, Any]]:
        """Component, version, eol (a date or None), state (current, eol) and licence of components, sorted by wave.

        Args:
            names: of components; each is listed once.
            today: as 2026-11-23; an end of life on that day or before it makes the state `eol`.
        """
        entries = [(self.component(name), name) for name in set(names)]
        return [
            {
                "component": name,
                "version": str(entry["version"]),
                "eol": entry.get("eol"),
                "state": "eol" if entry.get("eol") and _last_day(entry["eol"]) <= today else "current",
                "licence": entry.get("licence"),
            }
            for entry, name in sorted(entries, key=lambda pair: (pair[0].get("wave", 0), pair[1]))
        ]

    def kubernetes_path(self, start: str, end: str = "") -> List["Catalog"]:
        """The steps of an upgrade from Kubernetes ``start`` to ``end`` (default: the release's), one minor at a time.

        Each step is this catalog with kubernetes, crictl and etcd of that minor; the last one brings ``end``. Without
        a change of minor, that is the only one, and there is none from a version to itself.

        Raises:
            CatalogError: for a way back, and for a minor that nothing is known of.
        """
        end = end or self.kubernetes
        first, last = _version_parts(start), _version_parts(end)
        if first > last or first[0] != last[0]:
            raise CatalogError(f"Kubernetes cannot go from {start} to {end}: only forward, within one major version")
        if first == last:
            return []
        steps = [self._at_minor(f"{last[0]}.{minor}") for minor in range(first[1] + 1, last[1] + 1)]
        steps = steps or [self._at_minor(f"{last[0]}.{last[1]}")]
        if steps[-1].kubernetes != end:
            raise CatalogError(f"{self.origin}: Kubernetes {end} is not known, {steps[-1].kubernetes} of its minor is")
        return steps

    def _at_minor(self, minor: str) -> "Catalog":
        if self.kubernetes.rsplit(".", 1)[0] == minor:
            return self
        if minor not in self._minors:
            raise CatalogError(f"{self.origin}: no Kubernetes {minor}; {nearest(minor, self._minors)}")
        data = _merge(self._data, self._minors[minor])
        data["kubernetes"] = data["components"]["kubernetes"]["version"]
        return Catalog(data, f"catalog/kubernetes.yml ({minor})", self._minors, self._digests)

    def _with_digest(self, chart: Mapping[str, str]) -> Dict[str, str]:
        """A chart's entry; a digest that the file gives itself goes before the lock's."""
        locked = self._digests.get(chart_reference(chart))
        return {**({"digest": locked} if locked else {}), **chart}

    def _locked(self, reference: str) -> str:
        digest = self._digests.get(reference)
        return f"{reference}@{digest}" if digest else reference

    def _artifact_entry(self, name: str) -> Dict[str, Any]:
        try:
            return self.components[self._owner[name]]["artifacts"][name]
        except KeyError:
            raise CatalogError(f"{self.origin}: no artifact {name!r}; {nearest(name, self._owner)}") from None

    def _digest(self, name: str, digests: Mapping[str, str], arch: str) -> Tuple[str, str]:
        if not digests:
            raise CatalogError(f"{self.origin}: version {self.version(name)} of {name!r} has no sha256: add it")
        if ANY_ARCHITECTURE in digests:
            return ANY_ARCHITECTURE, digests[ANY_ARCHITECTURE]
        if arch not in ARCHITECTURES:
            raise CatalogError(f"artifact {name!r}: unknown architecture {arch!r}; {nearest(arch, ARCHITECTURES)}")
        arch = ARCHITECTURES[arch]
        if arch not in digests:
            raise CatalogError(
                f"{self.origin}: artifact {name!r} is not there for {arch}, only for {', '.join(digests)}"
            )
        return arch, digests[arch]


def releases(folder: str = FOLDER) -> List[str]:
    """The releases that there is a catalog for."""
    names = (name[: -len(".yml")] for name in os.listdir(folder) if name.endswith(".yml"))
    return sorted(name for name in names if _RELEASE.fullmatch(name))


def load(release: str, overrides: Optional[Mapping[str, Any]] = None, folder: str = FOLDER, minor: str = "") -> Catalog:
    """Load a release's catalog and lay ``overrides`` (the variable ``platform_catalog_overrides``) over it.

    Overrides have the shape of the file (``components: {containerd: {version: .., artifacts: ..}}``); mappings
    are merged, the rest is replaced. A new version needs its own digests. With ``minor`` (the variable
    ``platform_kubernetes_minor``) it is the catalog of a step on the way to the release's Kubernetes.
    """
    known = releases(folder)
    if release not in known:
        raise CatalogError(f"platform_release: no catalog for {release!r}; {nearest(release, known)}")
    data = _read(os.path.join(folder, f"{release}.yml"))
    if overrides:
        data = copy.deepcopy(data)
        _forget_digests(data, overrides)
        data = _merge(data, overrides)
    loaded = Catalog(
        data,
        origin=f"catalog/{release}.yml",
        minors=_read(os.path.join(folder, "kubernetes.yml"))["minors"],
        digests={
            **_read(os.path.join(folder, "images.lock.yml"))["images"],
            **_read(os.path.join(folder, "charts.lock.yml"))["charts"],
        },
    )
    return loaded._at_minor(str(minor)) if minor else loaded


def bundle_index(folder: str, release: str = "") -> Dict[str, Any]:
    """The index of a bundle: release, files, what is missing.

    Args:
        folder: of the bundle, on the controller.
        release: what the bundle must be of; empty for any.

    Raises:
        CatalogError: the index is damaged, or that of another release.
        FileNotFoundError: there is none.
    """
    path = os.path.join(folder, BUNDLE_INDEX)
    try:
        with open(path, encoding="utf-8") as stream:
            index = json.load(stream)
        good = index["schema"] == SCHEMA and isinstance(index["release"], str) and isinstance(index["files"], dict)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            f"{path}: a damaged index ({error!r}): carry the bundle over again, or make it again"
        ) from error
    if not good:
        raise CatalogError(f"{path}: not an index that this collection reads: make the bundle again")
    if release and index["release"] != release:
        raise CatalogError(f"{folder} is a bundle of another release, {index['release']} in place of {release}")
    return dict(index)


def chart_reference(chart: Mapping[str, str]) -> str:
    """The key of a chart in the lock: ``<repository>/<name>:<version>``."""
    return f"{str(chart['repo']).rstrip('/')}/{chart['name']}:{chart['version']}"


def _read(path: str) -> Dict[str, Any]:
    """A file of the catalog. Nobody may change what this gives: it is read once in a process."""
    return _parsed(path, os.stat(path).st_mtime_ns)


@functools.lru_cache(maxsize=None)
def _parsed(path: str, _changed: int) -> Dict[str, Any]:
    import yaml  # the controller has it, a node need not: this file also lies among the nodes' module_utils

    with open(path, encoding="utf-8") as stream:
        data = yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    if not isinstance(data, dict):
        raise CatalogError(f"{path}: not a mapping")
    return data


def _forget_digests(data: Dict[str, Any], overrides: Mapping[str, Any]) -> None:
    """A digest belongs to a version: with another version, those of the file count no more, for any architecture."""
    for name, entry in overrides.get("components", {}).items():
        component = data["components"].get(name, {})
        if entry.get("version", component.get("version")) != component.get("version"):
            for artifact in component.get("artifacts", {}).values():
                artifact.pop("sha256", None)


def _merge(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, Mapping)):
        return copy.deepcopy(over)
    return {**base, **{key: _merge(base.get(key), value) for key, value in over.items()}}


def _version_parts(version: str) -> Tuple[int, int, int]:
    """``1.28.15`` to numbers."""
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version):
        raise CatalogError(f"Kubernetes {version!r}: a version such as 1.28.15 is needed")
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def _last_day(date: str) -> str:
    """A month (``2026-09``) to a day that sorts behind all others in it; a day stays."""
    return date if date.count("-") == 2 else f"{date}-31"


def _repository(reference: str) -> str:
    """``registry:5000/a/pause:3.9@sha256:..`` to ``registry:5000/a/pause``."""
    folder, slash, name = reference.split("@", 1)[0].rpartition("/")
    return folder + slash + name.split(":", 1)[0]


def _image_name(reference: str) -> str:
    """``registry:5000/a/pause:3.9@sha256:..`` to ``pause``."""
    return reference.split("@", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0]
