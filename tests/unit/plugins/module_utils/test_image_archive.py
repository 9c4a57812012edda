# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives as our own builder, docker, podman and skopeo write them, and files that are none."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils import image_archive
from ansible_collections.banking.platform.plugins.module_utils.image_archive import ArchivedImage
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.tests.integration.containerd import build_images

DIGEST = "sha256:" + "1" * 64
PAUSE = build_images.pause(b"a program", "registry.k8s.io/pause:3.9")
BUSYBOX = build_images.busybox(b"another")


def tar(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "images.tar") -> list[ArchivedImage]:
    path = folder / name
    path.write_bytes(content)
    return image_archive.read(str(path))


def oci(*annotations: dict[str, str]) -> dict[str, Any]:
    manifests = [{"digest": DIGEST, "annotations": a} for a in annotations]
    return {"oci-layout": {"imageLayoutVersion": "1.0.0"}, "index.json": {"manifests": manifests}}


def test_the_same_programs_give_the_same_bytes() -> None:
    assert build_images.oci_archive(PAUSE, BUSYBOX) == build_images.oci_archive(PAUSE, BUSYBOX)
    assert build_images.docker_archive(PAUSE) == build_images.docker_archive(PAUSE)
    assert build_images.oci_archive(PAUSE) != build_images.oci_archive(BUSYBOX)


def test_oci_layout_by_the_digest_of_the_manifest(tmp_path: Path) -> None:
    images = read(tmp_path, build_images.oci_archive(PAUSE, BUSYBOX))
    assert [image.name for image in images] == ["docker.io/library/busybox:test", "registry.k8s.io/pause:3.9"]
    with tarfile.open(tmp_path / "images.tar") as archive:
        for image in images:
            assert image.target
            blob = archive.extractfile("blobs/" + image.target.replace(":", "/"))
            assert blob
            content = blob.read()
            assert "sha256:" + hashlib.sha256(content).hexdigest() == image.target
            assert json.loads(content)["schemaVersion"] == 2


def test_docker_layout_by_the_digest_of_the_configuration(tmp_path: Path) -> None:
    config = b'{"architecture": "amd64"}'
    manifest = [{"Config": "whatever.json", "RepoTags": ["busybox:test", "quay.io/a/b:1"], "Layers": []}]
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    images = read(tmp_path, tar({"manifest.json": manifest, "whatever.json": config}))
    assert images == [
        ArchivedImage("docker.io/library/busybox:test", config=digest),
        ArchivedImage("quay.io/a/b:1", config=digest),
    ]


def test_both_layouts_in_one_is_oci_as_for_containerd(tmp_path: Path) -> None:
    files = {**oci({"io.containerd.image.name": "a.example/b:1"}), "manifest.json": [{"Config": "none"}]}
    assert read(tmp_path, tar(files)) == [ArchivedImage("a.example/b:1", target=DIGEST)]


def test_names_with_a_leading_dot_and_gzip(tmp_path: Path) -> None:
    files = {f"./{name}": content for name, content in oci({"io.containerd.image.name": "a.example/b:1"}).items()}
    assert read(tmp_path, gzip.compress(tar(files)), "images.tar.gz")[0].name == "a.example/b:1"


def test_containerds_own_annotation_wins_and_bare_tags_are_no_names(tmp_path: Path) -> None:
    files = oci(
        {"io.containerd.image.name": "a.example/b:1", "org.opencontainers.image.ref.name": "1"},
        {"org.opencontainers.image.ref.name": "c.example/d:2"},
        {"org.opencontainers.image.ref.name": "3"},
    )
    assert [image.name for image in read(tmp_path, tar(files))] == ["a.example/b:1", "c.example/d:2"]


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("pause", "docker.io/library/pause:latest"),
        ("pause:3.9", "docker.io/library/pause:3.9"),
        ("grafana/grafana:1", "docker.io/grafana/grafana:1"),
        ("quay.io/a/b", "quay.io/a/b:latest"),
        ("localhost/a:1", "localhost/a:1"),
        ("harbor:5000/a", "harbor:5000/a:latest"),
        (f"a/b@{DIGEST}", f"docker.io/a/b@{DIGEST}"),
    ],
)
def test_short_references(short: str, full: str) -> None:
    assert image_archive.normalise(short) == full


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a tar", "not a tar archive, or a damaged one"),
        (b"", "not a tar archive, or a damaged one"),
        (gzip.compress(tar(oci({"io.containerd.image.name": "a/b:1"})))[:-40], "damaged"),
        (tar({"readme": b"x"}), "not an image archive"),
        (tar({"oci-layout": {}}), "not an image archive"),
        (tar({"oci-layout": {}, "index.json": b"{"}), "not an image archive"),
        (tar({"oci-layout": {}, "index.json": []}), "not an image archive"),
        (tar({"manifest.json": [{"Config": "gone", "RepoTags": ["a"]}]}), "not an image archive"),
        (tar(oci({"org.opencontainers.image.ref.name": "3.9"})), "names no image"),
        (tar(oci()), "names no image"),
        (tar({"manifest.json": [{"Config": "c", "RepoTags": None}], "c": b"{}"}), "names no image"),
    ],
)
def test_what_is_no_image_archive_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(Failure, match=message) as failure:
        read(tmp_path, content)
    assert str(tmp_path / "images.tar") in failure.value.cause


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        image_archive.read(str(tmp_path / "none.tar"))
