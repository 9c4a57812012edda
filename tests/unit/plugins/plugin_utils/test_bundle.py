# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle against servers that misbehave, full disks and damaged folders. Images: tests/integration/registry."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ansible_collections.banking.platform.plugins.action import bundle as action
from ansible_collections.banking.platform.plugins.module_utils import catalog, download
from ansible_collections.banking.platform.plugins.module_utils.catalog import CatalogError
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.bundle import Bundle, items, verify
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Registry

RELEASE = "2024.1"
ONE, TWO, CHART = b"one" * 50_000, b"two" * 50_000, b"a packed chart"


class Upstream(http.server.BaseHTTPRequestHandler):
    """Serves `content` by path; `cut` answers of a path end early, that many times; `ranges` is what was asked for."""

    content: dict[str, bytes]
    cut: dict[str, int]
    ranges: list[tuple[str, str | None]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append((self.path, wanted))
        if self.path not in self.content:
            self.send_error(404)
            return
        body = self.content[self.path]
        start = int(wanted[6:-1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if self.cut.get(self.path, 0):
            self.cut[self.path] -= 1
            self.wfile.write(body[start : start + 1000])
            self.close_connection = True
            return
        self.wfile.write(body[start:])

    def log_message(self, *args: object) -> None:
        pass


class World:
    def __init__(self, url: str, handler: Any) -> None:
        self.url = url
        self.handler = handler

    def catalog(self, **changed: Any) -> catalog.Catalog:
        def artifact(path: str, content: bytes) -> dict[str, Any]:
            return {"urls": [f"{self.url}/{path}"], "sha256": {"amd64": hashlib.sha256(content).hexdigest()}}

        component = {
            "version": "1",
            "licence": "MIT",
            "artifacts": {"one": artifact("one", ONE), "two": artifact("two", TWO)},
            "charts": [{"name": "app", "repo": f"{self.url}/charts", "version": "1.0.0"}],
            **changed,
        }
        rejected = {"version": "1", "role": "rejected", "images": ["r.example/never:1"]}
        data = {
            "schema": 1,
            "release": RELEASE,
            "kubernetes": "1.28.15",
            "state": "eol",
            "components": {"thing": component, "other": rejected},
        }
        return catalog.Catalog(data)

    def bundle(self, folder: Path, *, mirrors: tuple[str, ...] = (), **changed: Any) -> Bundle:
        made = Bundle(str(folder), RELEASE, items([self.catalog(**changed)], ["amd64"], mirrors))
        made.plan()
        return made


@pytest.fixture
def world() -> Iterator[World]:
    entry = {"version": "v1.0.0", "urls": ["app-1.0.0.tgz"], "digest": hashlib.sha256(CHART).hexdigest()}
    index = json.dumps({"apiVersion": "v1", "entries": {"app": [entry]}}).encode()
    content = {"/one": ONE, "/two": TWO, "/charts/index.yaml": index, "/charts/app-1.0.0.tgz": CHART}
    handler = type("Handler", (Upstream,), {"content": content, "cut": {}, "ranges": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield World(f"http://127.0.0.1:{server.server_port}", handler)
    server.shutdown()


def test_made_whole_and_the_second_time_nothing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    made = world.bundle(folder)
    assert made.fetch(3) is True
    assert made.missing() == []
    assert (folder / "one/1/amd64/one").read_bytes() == ONE
    assert (folder / "charts/app/1.0.0/app-1.0.0.tgz").read_bytes() == CHART
    assert verify(str(folder), RELEASE) == []
    world.handler.ranges.clear()
    again = world.bundle(folder)
    assert again.plan().changed is False
    assert again.fetch(3) is False
    assert world.handler.ranges == []
    assert again.bytes_there >= len(ONE) + len(TWO)


def test_a_cut_answer_is_gone_on_with(world: World, tmp_path: Path) -> None:
    world.handler.cut["/one"] = 2
    made = world.bundle(tmp_path / "b")
    made.fetch(1)
    assert made.missing() == []
    assert [asked for path, asked in world.handler.ranges if path == "/one"] == [None, "bytes=1000-", "bytes=2000-"]


def test_another_file_is_refused_and_the_next_mirror_tried(world: World, tmp_path: Path) -> None:
    good = hashlib.sha256(ONE).hexdigest()
    world.handler.content |= {"/bad/one/1/amd64/one": b"another", "/good/one/1/amd64/one": ONE}
    mirrors = (f"{world.url}/bad", f"{world.url}/good/")
    made = world.bundle(tmp_path / "b", mirrors=mirrors)
    made.fetch(2)
    assert {item["name"] for item in made.missing()} == {"two", "app"}
    assert "HTTP 404" in made.missing()[0]["reason"]
    only = world.bundle(tmp_path / "c", mirrors=mirrors[:1])
    only.fetch(2)
    assert f"the catalog says {good}" in {item["name"]: item["reason"] for item in only.missing()}["one"]
    assert not (tmp_path / "c/one/1/amd64/one").exists()


def test_an_interrupted_bundle_keeps_what_it_has(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    made = world.bundle(folder)
    fetch = next(item for item in made.wanted if item.name == "two")
    fetch.fetch = mock.Mock(side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        made.fetch(1)
    with pytest.raises(Failure, match="unfinished"):
        verify(str(folder))
    world.handler.ranges.clear()
    again = world.bundle(folder)
    assert again.fetch(2) is True
    assert [path for path, _range in world.handler.ranges] == ["/two"]
    assert verify(str(folder)) == []


def test_a_full_disk_ends_it_and_is_not_called_missing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.bundle(tmp_path / "b")

    class Full:
        def __init__(self, path: str, _mode: str) -> None:
            Path(path).touch()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def write(self, _piece: bytes) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        made.fetch(2)
    assert made.missing() == []
    monkeypatch.undo()
    again = world.bundle(tmp_path / "b")
    again.fetch(2)
    assert verify(str(tmp_path / "b")) == []


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        (b"entries: [", "not the index of a chart repository"),
        (b"[]", "not the index of a chart repository"),
        (b"{entries: {}}", "has no app 1.0.0"),
        (b"{entries: {app: [{version: 1.0.0, urls: ['file:///etc/passwd']}]}}", "which is no HTTP address"),
        (b"{entries: {app: [{version: 1.0.0, urls: [app-1.0.0.tgz], digest: '00'}]}}", "the catalog says 00"),
    ],
)
def test_a_repository_that_misleads(world: World, tmp_path: Path, index: bytes, reason: str) -> None:
    world.handler.content["/charts/index.yaml"] = index
    made = world.bundle(tmp_path / "b")
    made.fetch(2)
    assert [item["name"] for item in made.missing()] == ["app"]
    assert reason in made.missing()[0]["reason"]


def test_without_skopeo_images_are_listed_and_missing(world: World, tmp_path: Path) -> None:
    loaded = world.catalog(images=["r.example/a/b:1"], artifacts={}, charts=[])
    made = Bundle(str(tmp_path / "b"), RELEASE, items([loaded], ["amd64"], registry=Registry(str(tmp_path / "none"))))
    made.plan()
    made.fetch(1)
    assert "No such file" in made.missing()[0]["reason"]
    assert (tmp_path / "b/images.txt").read_text() == "r.example/a/b:1\n"


def test_an_artifact_without_a_digest_for_an_architecture_is_missing(world: World, tmp_path: Path) -> None:
    made = Bundle(str(tmp_path / "b"), RELEASE, items([world.catalog(charts=[])], ["arm64", "amd64"]))
    made.plan()
    made.fetch(2)
    assert {item["reason"] for item in made.missing()} == {"the catalog has no digest for arm64"}
    assert len(made.missing()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architectures": ["amd46"]}, r"unknown architecture 'amd46'; did you mean 'amd64'\?"),
        ({"architectures": []}, "none is named"),
        ({"architectures": ["amd64"], "components": ["thin"]}, r"no component 'thin'; did you mean 'thing'\?"),
        ({"architectures": ["amd64"], "parts": ["chart"]}, r"unknown part 'chart'; did you mean 'charts'\?"),
    ],
)
def test_bad_input(world: World, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        items([world.catalog()], **arguments)


def test_a_folder_of_something_else_is_left_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(Failure, match=r"holds something, but no bundle\.json"):
        world.bundle(tmp_path)
    with pytest.raises(Failure, match="is not a folder"):
        world.bundle(tmp_path / "holiday.jpg")


def test_a_damaged_index_costs_only_what_has_no_locked_digest(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    world.bundle(folder).fetch(2)
    (folder / "bundle.json").write_text("{")
    with pytest.raises(CatalogError, match="a damaged index"):
        verify(str(folder))
    world.handler.ranges.clear()
    again = world.bundle(folder)
    again.fetch(2)
    assert {path for path, _range in world.handler.ranges} == {"/charts/index.yaml"}  # it states the digest
    assert verify(str(folder)) == []


def test_verify_names_each_file(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    world.bundle(folder).fetch(2)
    (folder / "one/1/amd64/one").write_bytes(ONE[:-1])
    (folder / "two/1/amd64/two").unlink()
    (folder / "extra").touch()
    assert [line.split(":")[0:2] for line in verify(str(folder))] == [
        ["damaged", " one/1/amd64/one"],
        ["missing", " two/1/amd64/two"],
        ["surplus", " extra"],
    ]
    with pytest.raises(CatalogError, match=r"another release, 2024\.1 in place of 2026\.2"):
        verify(str(folder), "2026.2")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  ../outside\n")
    with pytest.raises(Failure, match="is no checksum"):
        verify(str(folder))


@pytest.mark.parametrize("release", catalog.releases())
def test_what_is_shipped_makes_a_bundle_of_different_files(release: str) -> None:
    loaded = catalog.load(release)
    steps = [*loaded.kubernetes_path("1.28.15")[:-1], loaded]
    found = items(steps, ["amd64", "arm64"])
    assert len({item.path for item in found}) == len(found) > 200
    assert not [item for item in found if item.reason]
    names = {item.name for item in found}
    assert {"helm", "kubelet", "cert-manager"} <= names
    for step in steps:
        assert f"kubelet/{step.kubernetes}/arm64/kubelet" in {item.path for item in found}
        assert set(step.images("kubernetes")) <= {item.name for item in found if item.kind == "image"}


def call(check: bool = False, **arguments: Any) -> dict[str, Any]:
    task = mock.Mock(args={"release": RELEASE, **arguments}, check_mode=check, diff=False, async_val=0)
    module = action.ActionModule(
        task=task, connection=mock.Mock(), play_context=mock.Mock(), loader=mock.Mock(), templar=mock.Mock(),
        shared_loader_obj=mock.Mock(),
    )  # fmt: skip
    result: dict[str, Any] = module.run(None, {})
    return result


class TestAction:
    """What the user is told."""

    def arguments(self, world: World, tmp_path: Path, **more: Any) -> dict[str, Any]:
        overrides = {"components": dict(world.catalog().components)}
        return {"dest": str(tmp_path / "b"), "overrides": overrides, "components": ["thing"], **more}

    def test_check_mode_says_what_it_would_fetch_and_asks_nobody(self, world: World, tmp_path: Path) -> None:
        result = call(check=True, **self.arguments(world, tmp_path))
        assert (result["changed"], result["files"], result["there"]) == (True, 3, 0)
        assert world.handler.ranges == []
        assert not (tmp_path / "b").exists()

    def test_made_made_again_verified(self, world: World, tmp_path: Path) -> None:
        arguments = self.arguments(world, tmp_path)
        assert call(**arguments)["changed"] is True
        again = call(**arguments)
        assert (again["changed"], again["there"], again["plan"]) == (False, 3, [])
        assert call(state="verified", dest=arguments["dest"])["findings"] == []

    def test_what_is_missing_fails_unless_it_is_accepted(self, world: World, tmp_path: Path) -> None:
        del world.handler.content["/one"]
        arguments = self.arguments(world, tmp_path)
        result = call(**arguments)
        assert result["failed"] is True
        assert "lacks 1 of 3: one (" in result["msg"]
        assert "allow_missing" in result["next_step"]
        accepted = call(**arguments, allow_missing=True)
        assert (accepted.get("failed"), accepted["changed"], len(accepted["missing"])) == (None, False, 1)
        assert call(state="verified", dest=arguments["dest"])["missing"] == accepted["missing"]

    def test_of_another_release(self, world: World, tmp_path: Path) -> None:
        arguments = self.arguments(world, tmp_path)
        call(**arguments)
        assert "holds a bundle of release 2024.1, not of 2026.2" in call(**{**arguments, "release": "2026.2"})["msg"]

    def test_a_place_that_cannot_be_written(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        result = call(**self.arguments(world, tmp_path, dest=str(tmp_path / "file" / "b")))
        assert result["failed"] is True
        assert "Not a directory" in result["msg"]
        assert "run again: it goes on" in result["msg"]

    def test_nothing_side_by_side(self, world: World, tmp_path: Path) -> None:
        assert "parallel is below 1" in call(**self.arguments(world, tmp_path, parallel=0))["msg"]

    def test_an_unknown_release(self) -> None:
        assert "no catalog for '2024.2'" in call(release="2024.2", dest="/nowhere")["msg"]
