#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write image archives from static programs, with nothing but tar and JSON: no registry, no daemon, no base image.

The same programs always give the same bytes, so an image's digest can be compared between machines.

    build_images.py OUTPUT --busybox bin/busybox --pause usr/bin/catatonit --pause-image registry.k8s.io/pause:3.9

The programs are Debian's: busybox-static, and catatonit, which with -P does what the first process of a pod has to do:
it waits, reaps what is left to it, and ends when it is told to. (A shell that sleeps does none of the three well: as
process 1 it ignores SIGTERM and leaves zombies behind.)
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
APPLETS = ("cat", "dd", "echo", "env", "grep", "head", "ip", "ls", "ps", "sh", "sleep", "wget")
BUSYBOX_IMAGE = "docker.io/library/busybox:test"
MIRRORED_IMAGE = "registry.internal/bank/tool:1"  # of a registry that exists only behind a mirror
OCI = "application/vnd.oci.image"


@dataclass
class Image:
    """An image of one layer."""

    name: str
    files: dict[str, bytes]  # path without a leading slash: a program, mode 0755
    links: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    architecture: str = ARCHITECTURES.get(platform.machine(), platform.machine())

    def layer(self) -> bytes:
        folders = {str(p) for path in [*self.files, *self.links] for p in Path(path).parents if str(p) != "."}
        entries: list[tuple[tarfile.TarInfo, bytes]] = []
        for path in folders:
            entries.append((_info(path, type=tarfile.DIRTYPE, mode=0o755), b""))
        for path, content in self.files.items():
            entries.append((_info(path, size=len(content), mode=0o755), content))
        for path, target in self.links.items():
            entries.append((_info(path, type=tarfile.SYMTYPE, linkname=target, mode=0o777), b""))
        return _tar(sorted(entries, key=lambda entry: entry[0].name))

    def config(self, layer: bytes) -> bytes:
        return _json(
            {
                "architecture": self.architecture,
                "os": "linux",
                "created": "1970-01-01T00:00:00Z",
                "config": {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": ["PATH=/bin"], "WorkingDir": "/"},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
                "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "build_images.py"}],
            }
        )


def docker_archive(*images: Image) -> bytes:
    """The layout of `docker save`."""
    files: dict[str, bytes] = {}
    manifest = []
    for image in images:
        layer = image.layer()
        config = image.config(layer)
        names = {"config": _hex(config) + ".json", "layer": _hex(layer) + "/layer.tar"}
        files |= {names["config"]: config, names["layer"]: layer}
        manifest.append({"Config": names["config"], "RepoTags": [image.name], "Layers": [names["layer"]]})
    return _archive(files | {"manifest.json": _json(manifest)})


def oci_archive(*images: Image) -> bytes:
    """An OCI image layout."""
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"})}
    manifests = []
    for image in images:
        layer = image.layer()
        config = image.config(layer)
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{OCI}.manifest.v1+json",
                "config": {"mediaType": f"{OCI}.config.v1+json", "digest": _digest(config), "size": len(config)},
                "layers": [{"mediaType": f"{OCI}.layer.v1.tar", "digest": _digest(layer), "size": len(layer)}],
            }
        )
        files |= {f"blobs/sha256/{_hex(blob)}": blob for blob in (layer, config, manifest)}
        manifests.append(
            {
                "mediaType": f"{OCI}.manifest.v1+json",
                "digest": _digest(manifest),
                "size": len(manifest),
                "annotations": {"org.opencontainers.image.ref.name": image.name},
                "platform": {"os": "linux", "architecture": image.architecture},
            }
        )
    index = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": manifests}
    return _archive(files | {"index.json": _json(index)})


def busybox(program: bytes, name: str = BUSYBOX_IMAGE) -> Image:
    links = {f"bin/{applet}": "busybox" for applet in APPLETS}
    return Image(name, {"bin/busybox": program}, links, command=["/bin/sh"])


def pause(program: bytes, name: str) -> Image:
    return Image(name, {"catatonit": program}, entrypoint=["/catatonit", "-P"])


def _info(name: str, **attributes: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)  # owner 0, time 0
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _archive(files: dict[str, bytes]) -> bytes:
    return _tar([(_info(name, size=len(files[name]), mode=0o644), files[name]) for name in sorted(files)])


def _json(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(content: bytes) -> str:
    return "sha256:" + _hex(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "output", type=Path, help="folder for busybox.tar (docker layout), pause.tar and mirrored.tar (OCI)"
    )
    parser.add_argument("--busybox", type=Path, required=True, help="a static busybox")
    parser.add_argument("--pause", type=Path, required=True, help="a static catatonit")
    parser.add_argument(
        "--pause-image", action="append", required=True, help="name of the pause image; may be repeated"
    )
    arguments = parser.parse_args()
    shell, pausing = arguments.busybox.read_bytes(), arguments.pause.read_bytes()
    arguments.output.mkdir(parents=True, exist_ok=True)
    archives = {
        "busybox.tar": docker_archive(busybox(shell)),
        "pause.tar": oci_archive(*(pause(pausing, name) for name in arguments.pause_image)),
        "mirrored.tar": oci_archive(busybox(shell, MIRRORED_IMAGE)),
    }
    for name, content in archives.items():
        (arguments.output / name).write_bytes(content)


if __name__ == "__main__":
    main()
