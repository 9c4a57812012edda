# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images an archive holds, as containerd will call them once it has imported it.

Two layouts exist, and containerd tells them apart by the file ``oci-layout``: an OCI image layout (``index.json``) and
what `docker save` has written since long before (``manifest.json``). An archive with both is OCI, as for containerd.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

OCI_LAYOUT, OCI_INDEX, DOCKER_MANIFEST = "oci-layout", "index.json", "manifest.json"
ANNOTATION_IMAGE = "io.containerd.image.name"
ANNOTATION_REF = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive. One of the two digests is known before it is imported:

    ``target``, the digest of the manifest or index that containerd's name will point to (OCI layout), or ``config``,
    the digest of the image's configuration (docker layout, where containerd writes the manifest itself on import).
    """

    name: str
    target: Optional[str] = None
    config: Optional[str] = None


def read(path: str) -> List[ArchivedImage]:
    """The images of the archive at ``path``, by name. Raises Failure, or OSError where it cannot be read."""
    try:
        with tarfile.open(path, "r:*") as archive:
            members = {_clean(m.name): m for m in archive if m.isfile()}
            images = _oci(archive, members) if OCI_LAYOUT in members else _docker(archive, members)
    except (tarfile.TarError, EOFError) as error:
        raise Failure(f"{path}: not a tar archive, or a damaged one: {error}", "Copy it again") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Failure(
            f"{path}: not an image archive, neither an OCI layout nor one of `docker save`: {error!r}"
        ) from error
    if not images:
        raise Failure(
            f"{path}: names no image",
            "Save it by its full reference: `podman save`, `docker save`, `skopeo copy .. oci-archive:FILE:REFERENCE`",
        )
    return sorted(images, key=lambda image: image.name)


def normalise(reference: str) -> str:
    """A reference as docker writes it (``pause:3.9``) to a full one (``docker.io/library/pause:3.9``)."""
    domain, slash, rest = reference.partition("/")
    if not slash or not (any(c in domain for c in ".:") or domain == "localhost"):
        domain, rest = "docker.io", reference if slash else f"library/{reference}"
    return f"{domain}/{rest}" if ":" in rest.rsplit("/", 1)[-1] or "@" in rest else f"{domain}/{rest}:latest"


def _oci(archive: tarfile.TarFile, members: Dict[str, tarfile.TarInfo]) -> List[ArchivedImage]:
    images: List[ArchivedImage] = []
    for manifest in _json(archive, members[OCI_INDEX])["manifests"]:
        annotations = manifest.get("annotations") or {}
        name = annotations.get(ANNOTATION_IMAGE)
        if not name:
            # A bare tag would get a name with the date of the import from `ctr`: not one that a pod could ask for.
            name = annotations.get(ANNOTATION_REF, "")
            name = name if any(c in name for c in "/:@") else ""
        if name:
            images.append(ArchivedImage(name, target=manifest["digest"]))
    return images


def _docker(archive: tarfile.TarFile, members: Dict[str, tarfile.TarInfo]) -> List[ArchivedImage]:
    images: List[ArchivedImage] = []
    for image in _json(archive, members[DOCKER_MANIFEST]):
        digest = "sha256:" + hashlib.sha256(_read(archive, members[_clean(image["Config"])])).hexdigest()
        images.extend(ArchivedImage(normalise(tag), config=digest) for tag in image.get("RepoTags") or [])
    return images


def _clean(name: str) -> str:
    return name[2:] if name.startswith("./") else name


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    if stream is None:  # for members that are no files, and those were left out
        raise ValueError(f"{member.name} is no file")
    return stream.read()


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    return json.loads(_read(archive, member).decode("utf-8"))
