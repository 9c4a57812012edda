# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in folders: OCI layouts, made from what a builder or a registry wrote (the transport `dir:`).

The manifests stay of Docker's kind (schema 2): OCI's configuration has no place for a health check, and builders drop
it (https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md). What a builder writes of itself into an image,
the name of the container it worked in, its own version, is taken out: the same inputs are the same image.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.image_archive import OCI_INDEX, OCI_LAYOUT
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
# What a builder says of itself in a configuration of Docker's kind.
_ITS_OWN = ("container", "container_config", "docker_version")
_ITS_LABEL = "io.buildah.version"


@dataclass(frozen=True)
class Image:
    """An image in a layout: its digest, and that of its configuration (none for an index)."""

    digest: str
    config: str = ""


def write(folder: str | Path, layout: str | Path, built: bool = True) -> Image:
    """Make a layout of the image in a folder (`dir:`), in place of what was there.

    Args:
        folder: as builders and skopeo write it.
        layout: the folder to make.
        built: the image comes from a builder, and what is the builder's own is taken out; else it stays byte for byte.

    Raises:
        Failure: it is no image, or one of a kind that is not expected.
        OSError: it cannot be read or written.
    """
    source = Path(folder)
    raw = (source / "manifest.json").read_bytes()
    manifest = _json(raw, "its manifest")
    try:
        config = (source / _file(manifest["config"]["digest"])).read_bytes()
        layers = [str(layer["digest"]) for layer in manifest["layers"]]
    except (KeyError, TypeError) as error:
        raise Failure(f"the builder wrote no image manifest: {error!r} is missing") from error
    blobs = _begin(layout)
    if built:
        config = _cleaned(config)
        manifest["config"] |= {"digest": _digest(config), "size": len(config)}
        raw = json.dumps(manifest, separators=(",", ":")).encode()
    for digest in layers:
        shutil.copyfile(source / _file(digest), blobs / _file(digest))
    image = Image(_put(blobs, raw), _put(blobs, config))
    _end(layout, str(manifest.get("mediaType") or MANIFEST), image.digest, len(raw))
    return image


def join(layouts: Mapping[str, str | Path], layout: str | Path) -> Image:
    """Make one layout with an index of images for several platforms.

    Args:
        layouts: by platform (`linux/amd64`), each with one image.
        layout: the folder to make.
    """
    blobs = _begin(layout)
    manifests = []
    for platform, source in layouts.items():
        system, _slash, architecture = platform.partition("/")
        architecture, _slash, variant = architecture.partition("/")
        place = {"architecture": architecture, "os": system, **({"variant": variant} if variant else {})}
        manifests.append({**_descriptor(source), "platform": place})
        shutil.copytree(Path(source) / "blobs" / "sha256", blobs, dirs_exist_ok=True)
    raw = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}, separators=(",", ":")).encode()
    digest = _put(blobs, raw)
    _end(layout, INDEX, digest, len(raw))
    return Image(digest)


def read(layout: str | Path) -> Image | None:
    """The image in a layout; None where there is no whole one."""
    try:
        digest = str(_descriptor(layout)["digest"])
        blobs = Path(layout) / "blobs" / "sha256"
        manifest = json.loads((blobs / _file(digest)).read_bytes())
        wanted = [entry["digest"] for entry in manifest.get("manifests", manifest.get("layers", []))]
        config = str(manifest["config"]["digest"]) if "config" in manifest else ""
        whole = all(_whole(blobs / _file(str(one))) for one in [digest, *wanted, *([config] if config else [])])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Image(digest, config) if whole else None


def _descriptor(layout: str | Path) -> dict[str, Any]:
    (only,) = json.loads((Path(layout) / OCI_INDEX).read_bytes())["manifests"]
    return {key: only[key] for key in ("mediaType", "digest", "size")}


def _whole(path: Path) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.name


def _cleaned(raw: bytes) -> bytes:
    config = _json(raw, "its configuration")
    for key in _ITS_OWN:
        config.pop(key, None)
    own = config.setdefault("config", {})
    own.update({key: "" for key in ("Hostname", "Image") if key in own})
    if own.get("Labels"):
        own["Labels"].pop(_ITS_LABEL, None)
    return json.dumps(config, separators=(",", ":"), sort_keys=True).encode()


def _json(raw: bytes, what: str) -> dict[str, Any]:
    try:
        content = json.loads(raw)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Failure(f"the builder wrote no image: {what} is no JSON object")
    return content


def _begin(layout: str | Path) -> Path:
    shutil.rmtree(layout, ignore_errors=True)
    blobs = Path(layout) / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    return blobs


def _end(layout: str | Path, media_type: str, digest: str, size: int) -> None:
    """The index comes last: a layout without one is not whole."""
    index = {"schemaVersion": 2, "manifests": [{"mediaType": media_type, "digest": digest, "size": size}]}
    (Path(layout) / OCI_LAYOUT).write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")
    new = Path(layout) / f".{OCI_INDEX}"
    new.write_text(json.dumps(index), encoding="utf-8")
    os.replace(new, Path(layout) / OCI_INDEX)


def _put(blobs: Path, raw: bytes) -> str:
    digest = _digest(raw)
    (blobs / _file(digest)).write_bytes(raw)
    return digest


def _digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _file(digest: str) -> str:
    return digest.removeprefix("sha256:")
