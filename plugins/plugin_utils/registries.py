# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and charts at their source: registries, through skopeo, and HTTP repositories of charts.

skopeo knows about tokens, certificates, proxies and mirrors (`/etc/containers/registries.conf`, or the file that
$CONTAINERS_REGISTRIES_CONF names; credentials from $REGISTRY_AUTH_FILE): none of it is repeated here.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import threading
import urllib.parse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.banking.platform.plugins.module_utils.catalog import Chart
from ansible_collections.banking.platform.plugins.module_utils.download import download_from, read_text
from ansible_collections.banking.platform.plugins.module_utils.image_archive import (
    ANNOTATION_IMAGE,
    OCI_INDEX,
    OCI_LAYOUT,
)
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# How registries say that they have no such image: the distribution's own words, and Harbor's.
_ABSENT = re.compile(r"manifest unknown|name unknown|(?:artifact|repository) \S+ not found")
_AWAY = re.compile(r"connection refused|no such host|no route to host|i/o timeout|network is unreachable")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Manifest:
    """A manifest, or an index of some, byte for byte as the registry serves it."""

    raw: bytes

    @property
    def digest(self) -> str:
        """Its digest, `sha256:..`."""
        return f"sha256:{hashlib.sha256(self.raw).hexdigest()}"

    @functools.cached_property
    def content(self) -> dict[str, Any]:
        """What it says. Raises Failure."""
        try:
            content = json.loads(self.raw)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise Failure("the registry's answer is no manifest")
        return content

    @property
    def media_type(self) -> str:
        """Its media type; older OCI manifests leave it out."""
        default = _INDEXES[0] if "manifests" in self.content else "application/vnd.oci.image.manifest.v1+json"
        return str(self.content.get("mediaType") or default)

    @property
    def is_index(self) -> bool:
        """Whether it is an index of manifests for several architectures."""
        return self.media_type in _INDEXES

    def of(self, architecture: str) -> str:
        """The digest of the Linux image for an architecture (`amd64`) in an index. Raises Failure."""
        platforms = [(entry.get("platform") or {}, entry) for entry in self.content.get("manifests", [])]
        for platform, entry in platforms:
            if platform.get("os") == "linux" and platform.get("architecture") == architecture:
                return str(entry["digest"])
        there = sorted({str(platform.get("architecture")) for platform, _entry in platforms})
        raise Failure(f"there is no image for {architecture}, only for {', '.join(there)}")


class Away(Failure):
    """The registry does not answer."""


class Registry:
    """The few things that are asked of registries.

    Args:
        program: skopeo.
        timeout: seconds that one image may take.
        environment: variables for it, over those of this process (`REGISTRY_AUTH_FILE`, `SSL_CERT_FILE`).
    """

    def __init__(
        self, program: str = "skopeo", timeout: int = 3600, environment: Mapping[str, str] | None = None
    ) -> None:
        self.program = program
        self.timeout = timeout
        self.environment = dict(environment or {})

    def manifest(self, reference: str) -> Manifest:
        """The manifest or index that a reference (a tag, a digest, or both) names. Raises Failure."""
        found = Manifest(self._run("inspect", "--raw", f"docker://{_by_digest(reference)}"))
        asked = reference.partition("@")[2]
        if asked and found.digest != asked:
            raise Failure(f"the registry serves {found.digest} in its place")
        return found

    def find(self, reference: str) -> Manifest | None:
        """The manifest or index that a reference names; None where the registry has none. Raises Failure."""
        try:
            return self.manifest(reference)
        except Failure as failure:
            if _ABSENT.search(failure.cause):
                return None
            raise

    def config(self, reference: str) -> dict[str, Any]:
        """The configuration of an image, not of an index. Raises Failure."""
        return Manifest(self._run("inspect", "--config", "--raw", f"docker://{_by_digest(reference)}")).content

    def pull(self, reference: str, folder: str) -> None:
        """Save an image, not an index, as a folder (`dir:`). Raises Failure."""
        self._run("copy", "--quiet", "--preserve-digests", f"docker://{_by_digest(reference)}", f"dir:{folder}")

    def push(self, layout: str, reference: str) -> None:
        """Bring the image of an OCI layout, or all images of its index, to a registry, unchanged. Raises Failure."""
        self._run("copy", "--quiet", "--all", "--preserve-digests", f"oci:{layout}", f"docker://{reference}")

    def archive(self, reference: str, architectures: Sequence[str], path: str) -> str:
        """Save an image as an archive (OCI layout) and return its digest.

        The archive names the image by its tag and by its digest, as pods do. Of an index it holds the images for some
        architectures only, and the index unchanged: what runs has the digest that was locked. The same image always
        makes the same archive.

        Args:
            reference: the image, with its digest where it is locked.
            architectures: what is wanted of an index. Without an index, the image's own must be among them.
            path: the archive to write; it appears when it is whole.

        Raises:
            Failure: it cannot be had.
            OSError: it cannot be written.
        """
        top = self.manifest(reference)
        name = reference.partition("@")[0]
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=".image-") as folder:
            blobs: dict[str, str] = {}
            wanted = [top.of(architecture) for architecture in architectures] if top.is_index else [top.digest]
            for number, digest in enumerate(dict.fromkeys(wanted)):
                blobs |= self._pull(f"{repository_of(name)}@{digest}", os.path.join(folder, str(number)))
            if not top.is_index:
                _must_be_for(blobs[top.content["config"]["digest"]], architectures)
            _write_archive(top, name, blobs, os.path.join(folder, "archive"))
            os.replace(os.path.join(folder, "archive"), path)
        return top.digest

    def chart_layer(self, reference: str) -> str:
        """The digest of a packed chart in an OCI registry. Raises Failure."""
        for layer in self.manifest(reference).content.get("layers", []):
            if layer.get("mediaType") == CHART_CONTENT:
                return str(layer["digest"])
        raise Failure("it is an image, not a chart")

    def pull_chart(self, reference: str, digest: str, path: str) -> None:
        """Save the packed chart of a reference, whose layer has this digest. Raises Failure or OSError."""
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=".chart-") as folder:
            blobs = self._pull(reference, os.path.join(folder, "0"))
            if digest not in blobs:
                raise Failure(f"the registry sent no layer {digest}")
            os.replace(blobs[digest], path)

    def _pull(self, reference: str, folder: str) -> dict[str, str]:
        """Every blob of a manifest, and itself, by digest; all checked."""
        self._run("copy", "--quiet", f"docker://{reference}", f"dir:{folder}")
        files = [entry.path for entry in os.scandir(folder) if entry.name != "version" and entry.is_file()]
        return {f"sha256:{digest_of(path)}": path for path in files}

    def _run(self, *arguments: str) -> bytes:
        environment = {**os.environ, **self.environment}
        # Podman reads this variable; skopeo has only a flag for it.
        conf = environment.get("CONTAINERS_REGISTRIES_CONF")
        command = [self.program, *(["--registries-conf", conf] if conf else []), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=self.timeout, check=False, env=environment)
        except OSError as error:
            raise Failure(f"{self.program}: {error.strerror}", "install skopeo on the controller") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.program} was not done after {self.timeout} s") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace")
            if "no space left on device" in said:
                raise OSError(28, "No space left on device")
            cause = _cause(said)
            raise (Away if _AWAY.search(cause) else Failure)(cause)
        return done.stdout


class Charts:
    """Packed charts from wherever their repository is. An index is read once.

    Args:
        registry: for repositories in registries.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._indexes: dict[str, Any] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def digest(self, chart: Chart) -> str:
        """The digest (`sha256:..`) that the repository states for a chart, or nothing. Raises Failure."""
        if chart.repository.startswith("oci://"):
            return self.registry.chart_layer(_oci_reference(chart))
        stated = str(self._entry(chart).get("digest") or "").removeprefix("sha256:")
        return f"sha256:{stated}" if stated else ""

    def fetch(self, chart: Chart, path: str) -> str:
        """Save a packed chart, and return the address that it came from.

        Its digest is the catalog's where it is locked, else the one that its repository states.

        Raises:
            Failure: it cannot be had, or is another one than was locked.
            OSError: it cannot be written.
        """
        locked = chart.digest or ""
        if chart.urls:
            return download_from(chart.urls, path, locked.removeprefix("sha256:"))
        stated = self.digest(chart)
        if locked and stated and locked != stated:
            raise Failure(f"{chart.repository} states {stated}, the catalog says {locked}")
        if chart.repository.startswith("oci://"):
            self.registry.pull_chart(_oci_reference(chart), stated, path)
            return chart.repository
        addresses = [urllib.parse.urljoin(f"{chart.repository}/", str(url)) for url in self._entry(chart)["urls"]]
        for address in addresses:
            if not address.startswith(("https://", "http://")):
                raise Failure(f"{chart.repository}: its index leads to {address}, which is no HTTP address")
        return download_from(addresses, path, (locked or stated).removeprefix("sha256:"))

    def _entry(self, chart: Chart) -> Any:
        with self._locks[chart.repository]:
            if chart.repository not in self._indexes:
                self._indexes[chart.repository] = _read_index(f"{chart.repository}/index.yaml")
        index = self._indexes[chart.repository]
        if isinstance(index, Failure):
            raise index
        for entry in index.get(chart.name) or []:
            if str(entry.get("version")).removeprefix("v") == chart.version.removeprefix("v") and entry.get("urls"):
                return entry
        raise Failure(f"{chart.repository}/index.yaml has no {chart.name} {chart.version}")


def _read_index(url: str) -> Any:
    """The entries of an index; a failure is kept like them, so that one dead repository is asked once."""
    try:
        return yaml.load(read_text(url), _LOADER)["entries"]  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, KeyError, TypeError):
        return Failure(f"{url}: not the index of a chart repository")
    except Failure as failure:
        return failure


def _write_archive(top: Manifest, name: str, blobs: dict[str, str], path: str) -> None:
    names = [name] if ":" in name.rsplit("/", 1)[-1] else []
    names.append(f"{repository_of(name)}@{top.digest}")
    manifests = [
        {
            "mediaType": top.media_type,
            "digest": top.digest,
            "size": len(top.raw),
            "annotations": {ANNOTATION_IMAGE: called},
        }
        for called in names
    ]
    index = {"schemaVersion": 2, "mediaType": _INDEXES[0], "manifests": manifests}
    with tarfile.open(path, "w") as archive:
        _add(archive, OCI_LAYOUT, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(archive, OCI_INDEX, json.dumps(index).encode())
        for digest, file in sorted({**blobs, top.digest: ""}.items()):
            member = f"blobs/sha256/{digest.removeprefix('sha256:')}"
            if not file:
                _add(archive, member, top.raw)
                continue
            info = tarfile.TarInfo(member)
            info.size = os.path.getsize(file)
            with open(file, "rb") as stream:
                archive.addfile(info, stream)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _must_be_for(config: str, architectures: Sequence[str]) -> None:
    architecture = json.loads(Path(config).read_bytes()).get("architecture")
    if architecture not in architectures:
        raise Failure(f"there is no image for {', '.join(architectures)}, only for {architecture}")


def repository_of(reference: str) -> str:
    """`registry:5000/a/b:1@sha256:..` to `registry:5000/a/b`."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _by_digest(reference: str) -> str:
    """A reference without its tag where it has a digest: skopeo takes only one of them."""
    digest = reference.partition("@")[2]
    return f"{repository_of(reference)}@{digest}" if digest else reference


def _oci_reference(chart: Chart) -> str:
    # A tag has no "+": helm writes "_" for it.
    return f"{chart.repository.removeprefix('oci://')}/{chart.name}:{chart.version.replace('+', '_')}"


def _cause(said: str) -> str:
    """The message in skopeo's last line of log."""
    last = (said.strip().splitlines() or ["no reason given"])[-1]
    return last.partition('msg="')[2].rstrip('"').replace('\\"', '"') or last
