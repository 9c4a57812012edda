# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real registry and a real repository of charts on loopback, filled with images and charts of the tests' own."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.programs import helm

NAME = "registry.test"  # what catalogs call the registry; registries.conf leads from there to loopback
OCI = "application/vnd.oci.image"


@dataclass
class World:
    """What the tests talk to.

    Attributes:
        registry: host and port of the registry.
        web: base address of the repository of charts and artifacts.
        files: the folder behind it.
        digests: of the images, by reference.
        requests: what was asked of `web`.
        environment: what skopeo needs to find the registry.
    """

    registry: str
    web: str
    files: Path
    digests: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def components(self, **changed: Any) -> dict[str, Any]:
        """A component made of all that there is here, as in a catalog."""
        content = b"a program\n"
        (self.files / "program").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        component = {
            "version": "1.0.0",
            "licence": "Apache-2.0",
            "wave": 1,
            "artifacts": {"program": {"urls": [f"{self.web}/program"], "sha256": {"amd64": sha256, "arm64": sha256}}},
            "charts": [
                {"name": "web-chart", "repo": f"{self.web}/charts", "version": "1.2.3"},
                {"name": "oci-chart", "repo": f"oci://{NAME}/charts", "version": "0.1.0+build.5"},
            ],
            "images": [f"{NAME}/team/many:1.0", f"{NAME}/team/single:2.0"],
        }
        return {"things": {**component, **changed}}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


def serve(folder: Path, requests: list[str]) -> http.server.ThreadingHTTPServer:
    """Serve a folder on loopback."""
    handler = type("Handler", (_Quiet,), {"requests": requests})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        functools.partial(handler, directory=str(folder)),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def run(*argv: object, ok: bool = True) -> str:
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == ok, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout


def _blob(layout: Path, content: bytes | dict[str, Any], media_type: str) -> dict[str, Any]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    digest = hashlib.sha256(raw).hexdigest()
    place = layout / "blobs" / "sha256"
    place.mkdir(parents=True, exist_ok=True)
    (place / digest).write_bytes(raw)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(raw)}


def _manifest(layout: Path, architecture: str, content: str) -> dict[str, Any]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("hello")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content.encode()))
    raw = stream.getvalue()
    layer = _blob(layout, raw, f"{OCI}.layer.v1.tar")
    diff = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = _blob(
        layout, {"architecture": architecture, "os": "linux", "rootfs": diff, "config": {}}, f"{OCI}.config.v1+json"
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": config,
        "layers": [layer],
    }
    return {
        **_blob(layout, manifest, f"{OCI}.manifest.v1+json"),
        "platform": {"os": "linux", "architecture": architecture},
    }


def make_layout(layout: Path, top: dict[str, Any]) -> None:
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))


def push_image(world: World, folder: Path, name: str, architectures: list[str], content: str, *options: str) -> None:
    """Build an image by hand (an index for several architectures), and push it with skopeo."""
    folder.mkdir()
    manifests = [_manifest(folder, architecture, f"{content} {architecture}") for architecture in architectures]
    top = manifests[0]
    if len(manifests) > 1:
        media_type = f"{OCI}.index.v1+json"
        top = _blob(folder, {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}, media_type)
    make_layout(folder, top)
    target = f"docker://{world.registry}/{name}"
    run("skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", *options, f"oci:{folder}", target)
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", target], capture_output=True, timeout=60, check=True
    ).stdout
    world.digests[f"{NAME}/{name}"] = f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _package(folder: Path, name: str, version: str, destination: Path) -> Path:
    chart = folder / name
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: {version}\n")
    (chart / "templates" / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")
    run(helm(), "package", chart, "--destination", destination)
    return destination / f"{name}-{version}.tgz"


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Debian's docker-registry and an HTTP server, with two images and two charts."""
    folder = tmp_path_factory.mktemp("world")
    address = f"127.0.0.1:{_port()}"
    (folder / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\nhttp: {{addr: '{address}'}}\n"
    )
    with open(folder / "registry.log", "wb") as log:
        process = subprocess.Popen(
            [str(shutil.which("docker-registry")), "serve", str(folder / "registry.yml")], stdout=log, stderr=log
        )
    files = folder / "files"
    (files / "charts").mkdir(parents=True)
    requests: list[str] = []
    server = serve(files, requests)
    try:
        for _wait in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        conf = folder / "registries.conf"
        conf.write_text(f"[[registry]]\nprefix = '{NAME}'\nlocation = '{address}'\ninsecure = true\n")
        world = World(address, f"http://127.0.0.1:{server.server_port}", files, requests=requests)
        world.environment = {"CONTAINERS_REGISTRIES_CONF": str(conf)}
        push_image(world, folder / "many", "team/many:1.0", ["amd64", "arm64"], "many")
        push_image(world, folder / "single", "team/single:2.0", ["amd64"], "single", "--format=v2s2")
        _package(folder, "web-chart", "1.2.3", files / "charts")
        run(helm(), "repo", "index", files / "charts")
        packed = _package(folder, "oci-chart", "0.1.0+build.5", folder)
        run(helm(), "push", packed, f"oci://{address}/charts", "--plain-http")
        yield world
    finally:
        process.terminate()
        process.wait(10)
        server.shutdown()


@pytest.fixture
def registries(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, for code that runs in the test's own process."""
    for key, value in world.environment.items():
        monkeypatch.setenv(key, value)
    return world
