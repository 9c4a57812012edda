# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Artifacts: downloads from a server that misbehaves, archives that mean harm, switching over and back."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.download import download
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

from .conftest import Faults, Node, in_child, kill, mount, no_space


class Mirror:
    """A web server on a port of loopback. It serves `files`, and notes the requests with their Range.

    Attributes:
        statuses: answered to the next requests before anything is served.
        cut: bytes after which the connection is closed, once for each number.
        ranges: whether it knows Range.
        chunked: whether it sends no length.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        self.cut: list[int] = []
        self.ranges = True
        self.chunked = False
        self.barrier: threading.Barrier | None = None
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        asked = request.headers.get("Range", "")
        self.requests.append((request.path, asked))
        if self.barrier:
            self.barrier.wait(timeout=5)
        if self.statuses:
            status = self.statuses.pop(0)
            request.send_error(status)
            return
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        if start and start >= len(content):
            request.send_error(416)
            return
        body = content[start:]
        request.send_response(206 if start else 200)
        if self.chunked:
            request.send_header("Transfer-Encoding", "chunked")
        else:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        cut = self.cut.pop(0) if self.cut else None
        if self.chunked:
            request.wfile.write(b"%x\r\n" % len(body) + body[:cut] + (b"\r\n0\r\n\r\n" if cut is None else b""))
        else:
            request.wfile.write(body[:cut])

    def put(self, path: str, content: bytes) -> dict[str, Any]:
        """Serve a file; returns what the catalog would say of it."""
        self.files[path] = content
        return {"version": "1.0", "urls": [self.url + path], "sha256": hashlib.sha256(content).hexdigest()}


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    made = Mirror()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def archive(*members: tuple[str, Any], mode: str = "w:gz") -> bytes:
    """A tar archive. A member is its name with content, or a TarInfo's fields."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            content = b""
            if isinstance(what, bytes):
                content = what
                info.size = len(content)
            else:
                for key, value in what.items():
                    setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content) if content else None)
    return buffer.getvalue()


def link(target: str) -> dict[str, Any]:
    return {"type": tarfile.SYMTYPE, "linkname": target}


def hard(target: str) -> dict[str, Any]:
    return {"type": tarfile.LNKTYPE, "linkname": target}


CONTENT = bytes(range(256)) * 40


class TestDownload:
    def get(self, mirror: Mirror, folder: Path, sha256: str = "") -> Path:
        target = folder / "file"
        download(f"{mirror.url}/x", str(target), sha256 or hashlib.sha256(CONTENT).hexdigest())
        return target

    @pytest.mark.parametrize("chunked", [True, False])
    def test_fetches_a_whole_file(self, mirror: Mirror, tmp_path: Path, chunked: bool) -> None:
        mirror.put("/x", CONTENT)
        mirror.chunked = chunked
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT
        assert os.listdir(tmp_path) == ["file"]

    def test_does_not_fetch_what_is_there(self, mirror: Mirror, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(CONTENT)
        self.get(mirror, tmp_path)
        assert mirror.requests == []

    def test_goes_on_with_a_truncated_one(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        mirror.cut = [1000, 2000]
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT
        assert [asked for _path, asked in mirror.requests] == ["", "bytes=1000-", "bytes=3000-"]

    def test_goes_on_with_what_an_earlier_run_left(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        (tmp_path / "file.part").write_bytes(CONTENT[:5000])
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT
        assert mirror.requests == [("/x", "bytes=5000-")]

    def test_begins_again_where_the_server_knows_no_ranges(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        mirror.ranges = False
        mirror.cut = [1000]
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT

    def test_begins_again_after_416(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        (tmp_path / "file.part").write_bytes(CONTENT + b"too much")
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT

    def test_begins_again_when_what_was_left_was_something_else(self, mirror: Mirror, tmp_path: Path) -> None:
        """The page of a proxy, or the zeros of a file system after a power cut."""
        mirror.put("/x", CONTENT)
        (tmp_path / "file.part").write_bytes(b"<html>please log in</html>")
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT
        assert len(mirror.requests) == 2

    @pytest.mark.parametrize("chunked", [True, False])
    def test_that_is_truncated_every_time_fails_and_keeps_what_it_has(
        self, mirror: Mirror, tmp_path: Path, chunked: bool
    ) -> None:
        mirror.put("/x", CONTENT)
        mirror.chunked = chunked
        mirror.cut = [100, 100, 100]
        with pytest.raises(Failure):
            self.get(mirror, tmp_path)
        assert os.listdir(tmp_path) == ["file.part"]
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT

    def test_tries_again_after_500(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        mirror.statuses = [500, 503]
        assert self.get(mirror, tmp_path).read_bytes() == CONTENT
        assert len(mirror.requests) == 3

    def test_gives_up_after_three_times_500(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.statuses = [500] * 9
        with pytest.raises(Failure, match="HTTP 500 Internal Server Error"):
            self.get(mirror, tmp_path)
        assert len(mirror.requests) == 3

    @pytest.mark.parametrize("status", [403, 404])
    def test_does_not_try_again_what_the_server_does_not_have(
        self, mirror: Mirror, tmp_path: Path, status: int
    ) -> None:
        mirror.statuses = [status]
        with pytest.raises(Failure, match=f"HTTP {status}"):
            self.get(mirror, tmp_path)
        assert len(mirror.requests) == 1
        assert os.listdir(tmp_path) == []

    def test_of_the_wrong_file_fails_with_both_digests_and_leaves_nothing(self, mirror: Mirror, tmp_path: Path) -> None:
        mirror.put("/x", CONTENT)
        with pytest.raises(Failure) as caught:
            self.get(mirror, tmp_path, "ab" * 32)
        assert caught.value.cause == f"SHA-256 is {hashlib.sha256(CONTENT).hexdigest()}, the catalog says {'ab' * 32}"
        assert os.listdir(tmp_path) == []
        assert len(mirror.requests) == 1

    def test_from_a_mirror_that_is_down_fails_with_the_cause(self, closed_port: int, tmp_path: Path) -> None:
        with pytest.raises(Failure, match="Connection refused"):
            download(f"http://127.0.0.1:{closed_port}/x", str(tmp_path / "file"), "0" * 64)

    def test_from_something_that_is_no_web_server_fails_with_a_cause(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def babble() -> None:
                for _try in range(3):
                    connection, _address = server.accept()
                    connection.recv(1000)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    connection.close()

            thread = threading.Thread(target=babble, daemon=True)
            thread.start()
            with pytest.raises(Failure, match="SSH-2"):
                download(f"http://127.0.0.1:{server.getsockname()[1]}/x", str(tmp_path / "file"), "0" * 64)
            thread.join(timeout=5)

    @pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1:99999/x", "http:///x", "http://127.0.0.1:1/a b"])
    def test_from_an_impossible_address_fails_with_a_cause(self, tmp_path: Path, url: str) -> None:
        with pytest.raises(Failure) as caught:
            download(url, str(tmp_path / "file"), "0" * 64)
        assert caught.value.cause

    def test_of_a_file_on_this_machine_works(self, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(CONTENT)
        download(f"file://{tmp_path}/source", str(tmp_path / "file"), hashlib.sha256(CONTENT).hexdigest())
        assert (tmp_path / "file").read_bytes() == CONTENT


class TestInstall:
    def test_of_an_archive_strips_links_and_is_known_by_its_digest(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/etcd.tgz", archive(("etcd-v1/etcd", b"binary"), ("etcd-v1/doc/x", b"text")))
        path = node.path("usr/local/bin/etcd")
        wanted: dict[str, Any] = {
            "artifacts": {"etcd": {**entry, "unpack": "tar.gz", "strip": 1, "links": {path: "etcd"}}}
        }
        result = node.run(**wanted)
        place = Path(node.path("opt/etcd"), entry["sha256"][:16])
        assert Path(path).read_bytes() == b"binary"
        assert os.readlink(path) == node.path("opt/etcd/current/etcd")
        assert os.readlink(node.path("opt/etcd/current")) == place.name
        assert (place / "doc/x").read_bytes() == b"text"
        assert result["plan"][0]["after"] == {"version": "1.0", "digest": entry["sha256"][:16]}
        assert os.listdir(node.path("var/cache")) == []
        before, asked = node.listing(), len(mirror.requests)
        assert not node.run(**wanted)["changed"]
        assert node.listing() == before
        assert len(mirror.requests) == asked

    @pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
    def test_of_an_archive_knows_the_usual_compressions(self, node: Node, mirror: Mirror, mode: str) -> None:
        entry = mirror.put("/x", archive(("bin/x", b"binary"), mode=mode))
        node.run(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        assert node.read("opt/x/current/bin/x") == "binary"

    def test_of_a_single_program_gets_its_name_and_may_be_run(self, node: Node, mirror: Mirror) -> None:
        path = node.path("usr/local/bin/runc")
        node.run(artifacts={"runc": {**mirror.put("/runc.amd64", b"binary"), "links": {path: "runc"}}})
        assert Path(path).read_bytes() == b"binary"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o755

    def test_belongs_to_root_and_has_no_special_bits_whatever_the_archive_says(
        self, node: Node, mirror: Mirror
    ) -> None:
        fields = {"mode": 0o6777, "uid": 1000, "gid": 1000, "uname": "games", "gname": "games"}
        entry = mirror.put(
            "/x", archive(("bin", {**fields, "type": tarfile.DIRTYPE}), ("bin/x", {**fields, "size": 0}))
        )
        node.run(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        for name in ("bin", "bin/x"):
            status = os.stat(node.path(f"opt/x/current/{name}"))
            assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o755)

    def test_can_be_run_by_everybody_whatever_the_umask_of_a_hardened_node_is(self, node: Node, mirror: Mirror) -> None:
        """A unit's own user has to get to its program, through folders that the archive does not name either."""
        entry = mirror.put("/x", archive(("bin/x", b"binary")))
        before = os.umask(0o077)
        try:
            node.run(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        finally:
            os.umask(before)
        place = os.path.realpath(node.path("opt/x/current"))
        for path in (node.path("opt"), node.path("opt/x"), place, f"{place}/bin", f"{place}/bin/x"):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o755, path

    def test_takes_the_next_mirror_when_one_is_down(self, node: Node, mirror: Mirror, closed_port: int) -> None:
        entry = mirror.put("/x", b"binary")
        entry["urls"] = [f"http://127.0.0.1:{closed_port}/x", f"{mirror.url}/gone", *entry["urls"]]
        node.run(artifacts={"x": entry})
        assert node.read("opt/x/current/x") == "binary"

    def test_fails_with_every_mirrors_cause_and_changes_nothing(
        self, node: Node, mirror: Mirror, closed_port: int
    ) -> None:
        down = f"http://127.0.0.1:{closed_port}/x"
        entry = {"version": "1.7.2", "urls": [down, f"{mirror.url}/gone"], "sha256": "0" * 64}
        path = str(node.put("etc/x.conf", "old"))
        failure, states = node.fail(artifacts={"containerd": entry}, tree={path: "new"})
        assert failure.cause.startswith("artifact containerd 1.7.2 cannot be had: " + down)
        assert "Connection refused" in failure.cause
        assert f"{mirror.url}/gone: HTTP 404 Not Found" in failure.cause
        assert "artifacts_source" in failure.next_step
        assert node.read("etc/x.conf") == "old"
        assert states[path] == "not done"

    def test_of_the_wrong_file_changes_nothing(self, node: Node, mirror: Mirror) -> None:
        good = mirror.put("/x", b"one")
        node.run(artifacts={"x": good})
        bad = {**mirror.put("/y", b"two"), "sha256": "0" * 64}
        failure, _states = node.fail(artifacts={"x": bad})
        assert "SHA-256 is" in failure.cause
        assert node.read("opt/x/current/x") == "one"
        assert node.leftovers() == []

    def test_without_the_member_that_a_link_wants_names_those_that_there_are(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/x", archive(("bin/one", b"1"), ("bin/two", b"2")))
        failure, _states = node.fail(
            artifacts={"x": {**entry, "unpack": "tar.gz", "links": {node.path("usr/bin/x"): "bin/three"}}}
        )
        assert failure.cause == "artifact x 1.0: holds no 'bin/three'; it holds bin/one, bin/two"
        assert not os.path.lexists(node.path("opt/x/current"))

    def test_of_what_is_no_archive_says_so_and_leaves_nothing_unpacked(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/x", b"just a program")
        failure, _states = node.fail(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        assert failure.cause.startswith("artifact x 1.0: cannot be unpacked as tar.gz: ")
        assert node.leftovers() == []

    def test_of_a_damaged_archive_says_so(self, node: Node, mirror: Mirror) -> None:
        whole = archive(("a", os.urandom(5000)), ("b", os.urandom(5000)))
        entry = mirror.put("/x", whole[:6000])
        failure, _states = node.fail(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        assert "artifact x 1.0: cannot be unpacked as tar.gz" in failure.cause
        assert node.leftovers() == []

    def test_of_several_goes_side_by_side(self, node: Node, mirror: Mirror) -> None:
        entries = {name: mirror.put(f"/{name}", name.encode()) for name in "abc"}
        mirror.barrier = threading.Barrier(3)  # nobody is answered before all three have asked
        node.run(artifacts=entries)
        assert [node.read(f"opt/{name}/current/{name}") for name in "abc"] == ["a", "b", "c"]

    def test_in_which_the_second_is_bad_switches_not_even_the_first(self, node: Node, mirror: Mirror) -> None:
        first = mirror.put("/a", b"one")
        node.run(artifacts={"a": first})
        bad = {**mirror.put("/b", b"x"), "sha256": "0" * 64}
        failure, states = node.fail(artifacts={"a": mirror.put("/a2", b"two"), "b": bad})
        assert "artifact b 1.0" in failure.cause
        assert node.read("opt/a/current/a") == "one"
        assert states == {"a": "failed", "b": "not done"}

    def test_in_check_mode_fetches_and_writes_nothing(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/x", b"binary")
        before = node.listing()
        result = node.run(True, artifacts={"x": {**entry, "links": {node.path("usr/bin/x"): "x"}}})
        assert result["changed"]
        assert mirror.requests == []
        assert node.listing() == before

    def test_on_a_full_disk_fails_and_leaves_no_half_folder(
        self, node: Node, mirror: Mirror, private_mounts: Callable[[Callable[[], Any]], Any]
    ) -> None:
        source = node.put("srv/x.tgz", archive(("a", bytes(400_000)), ("b", bytes(400_000))))
        entry = {
            "version": "1.0", "urls": [f"file://{source}"], "unpack": "tar.gz",
            "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        }  # fmt: skip
        os.makedirs(node.path("opt"))

        def run() -> tuple[str, list[str], list[str]]:
            mount("-t", "tmpfs", "-o", "size=500k", "tmpfs", node.path("opt"))
            failure, _states = node.fail(artifacts={"x": entry})
            return failure.cause, node.leftovers(), os.listdir(node.path("opt/x"))

        cause, leftovers, there = private_mounts(run)
        assert "artifact x" in cause
        assert "No space left on device" in cause
        assert (leftovers, there) == ([], [])


class TestBundle:
    def test_what_is_missing_is_asked_of_the_controller_and_what_is_there_is_not(self, node: Node) -> None:
        entry = {"version": "1.0", "urls": [], "sha256": hashlib.sha256(b"binary").hexdigest(), "bundled": True}
        assert node.plan(artifacts={"x": entry}).artifacts.missing_files() == ["x"]
        brought = node.put("tmp/x", "binary")
        node.run(artifacts={"x": {**entry, "file": str(brought)}})
        assert node.read("opt/x/current/x") == "binary"
        assert node.plan(artifacts={"x": entry}).artifacts.missing_files() == []

    def test_a_file_with_another_digest_is_refused(self, node: Node) -> None:
        brought = node.put("tmp/x", "something else")
        entry = {"version": "1.0", "urls": [], "sha256": "0" * 64, "bundled": True, "file": str(brought)}
        failure, _states = node.fail(artifacts={"x": entry})
        assert "its file in the bundle has another SHA-256" in failure.cause
        assert not os.path.lexists(node.path("opt/x/current"))


class TestZip:
    @staticmethod
    def packed(*names: str) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            for name in names:
                info = zipfile.ZipInfo(name)
                info.external_attr = (0o644 if name.endswith(".txt") else 0o755) << 16
                made.writestr(info, name)
        return buffer.getvalue()

    def test_is_unpacked_with_its_modes(self, node: Node, mirror: Mirror) -> None:
        entry = {**mirror.put("/x.zip", self.packed("LICENSE.txt", "vault")), "unpack": "zip"}
        node.run(artifacts={"x": {**entry, "links": {node.path("usr/bin/x"): "vault"}}})
        assert node.read("usr/bin/x") == "vault"
        assert os.access(node.path("usr/bin/x"), os.X_OK)
        licence = os.path.join(os.path.dirname(os.path.realpath(node.path("usr/bin/x"))), "LICENSE.txt")
        assert os.stat(licence).st_mode & 0o777 == 0o644

    @pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
    def test_does_not_lead_outside(self, node: Node, mirror: Mirror, name: str) -> None:
        entry = mirror.put("/x.zip", self.packed(name))
        failure, _states = node.fail(artifacts={"x": {**entry, "unpack": "zip"}})
        assert failure.cause.startswith("artifact x")

    def test_that_is_none_is_said(self, node: Node, mirror: Mirror) -> None:
        failure, _states = node.fail(artifacts={"x": {**mirror.put("/x.zip", b"no"), "unpack": "zip"}})
        assert "cannot be unpacked as zip" in failure.cause


class TestEvilArchives:
    EVIL: dict[str, list[tuple[str, Any]]] = {
        "absolute path": [("/evil", b"x")],
        "path out of the folder": [("../evil", b"x")],
        "path out of the folder half way": [("a/../../evil", b"x")],
        "absolute link": [("l", link("/etc"))],
        "link out of the folder": [("l", link("../../.."))],
        "file through a link": [("l", link(".")), ("l/evil", b"x")],
        "file through a link that leads outside by another": [
            ("d/up", link("..")),
            ("l", link("d/up/..")),
            ("l/evil", b"x"),
        ],
        "link that leads outside by another": [("d/up", link("..")), ("l", link("d/up/.."))],
        "file over a link": [("l", link("x")), ("l", b"evil")],
        "hard link to a file outside": [("h", hard("../../../../etc/passwd"))],
        "hard link to an absolute path": [("h", hard("/etc/passwd"))],
        "hard link through a link": [("d/up", link("..")), ("l", link("d/up/../..")), ("h", hard("l/evil"))],
        "hard link to a link": [("l", link("../evil")), ("h", hard("l"))],
        "device": [("sda", {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0})],
        "terminal": [("tty", {"type": tarfile.CHRTYPE, "devmajor": 5, "devminor": 0})],
        "pipe": [("p", {"type": tarfile.FIFOTYPE})],
    }

    @pytest.mark.parametrize("kind", EVIL)
    def test_are_refused_and_leave_nothing(self, node: Node, mirror: Mirror, kind: str) -> None:
        victim = node.put("opt/evil", "untouched", mode=0o600)
        node.put("opt/x/evil", "untouched")
        entry = mirror.put("/x", archive(("good", b"good"), *self.EVIL[kind]))
        before = node.listing()["opt/evil"]
        failure, _states = node.fail(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        assert failure.cause.startswith("artifact x")
        assert failure.next_step
        assert victim.read_text() == "untouched"
        assert node.listing()["opt/evil"] == before
        assert os.listdir(node.path("opt/x")) == ["evil"]
        assert node.read("opt/x/evil") == "untouched"

    def test_harmless_links_and_odd_names_are_unpacked(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put(
            "/x",
            archive(
                ("./", {"type": tarfile.DIRTYPE}),
                ("./top/lib/libx.so.1", b"library"),
                ("./top/lib/libx.so", link("libx.so.1")),
                ("./top/bin/x", link("../lib/libx.so.1")),
                ("./top/lib64", link("lib")),
                ("./top/hard", hard("./top/lib/libx.so.1")),
                ("./top/..odd", b"odd"),
                ("./top/ünïcode", b"name"),
            ),
        )
        node.run(artifacts={"x": {**entry, "unpack": "tar.gz", "strip": 1}})
        for name in ("lib/libx.so.1", "lib/libx.so", "bin/x", "lib64/libx.so", "hard"):
            assert node.read(f"opt/x/current/{name}") == "library"
        assert node.read("opt/x/current/..odd") == "odd"
        assert node.read("opt/x/current/ünïcode") == "name"

    def test_a_link_to_nowhere_inside_is_harmless(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/x", archive(("a", link("missing")), ("b", b"x")))
        node.run(artifacts={"x": {**entry, "unpack": "tar.gz"}})
        assert os.readlink(node.path("opt/x/current/a")) == "missing"


class TestVersions:
    @pytest.fixture
    def versions(self, node: Node, mirror: Mirror) -> Callable[[str], dict[str, Any]]:
        """Wishes for versions of a server whose unit reads its binary."""
        path = node.path("usr/local/bin/server")
        node.unit("server.service", reads=(Path(path),))

        def wish(content: str, **options: Any) -> dict[str, Any]:
            entry = mirror.put(f"/{content}", content.encode())
            unit = {"state": "started", "restart_on": [path], **options}
            return {
                "artifacts": {"server": {**entry, "links": {path: "server"}}},
                "units": {"server.service": unit},
            }

        return wish

    @staticmethod
    def kept(node: Node) -> set[str]:
        return {
            Path(node.path("opt/server"), name, "server").read_text()
            for name in os.listdir(node.path("opt/server"))
            if name != "current"
        }

    def test_an_upgrade_switches_and_restarts_the_unit_behind_the_link(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.run(**versions("one"))
        result = node.run(**versions("two"))
        assert node.systemd.units["server.service"].runs_with == ("two",)
        assert result["restarted"] == ["server.service"]
        assert result["plan"][0]["action"] == "update"
        assert not node.run(**versions("two"))["changed"]

    def test_exactly_one_earlier_version_is_kept(self, node: Node, versions: Callable[..., dict[str, Any]]) -> None:
        for version in ("one", "two", "three"):
            node.run(**versions(version))
        assert self.kept(node) == {"two", "three"}

    def test_going_back_to_the_kept_version_fetches_nothing(
        self, node: Node, mirror: Mirror, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.run(**versions("one"))
        node.run(**versions("two"))
        mirror.requests.clear()
        node.run(**versions("one"))
        assert mirror.requests == []
        assert node.systemd.units["server.service"].runs_with == ("one",)
        assert self.kept(node) == {"one", "two"}

    def test_a_version_that_does_not_come_up_is_switched_back(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.run(**versions("one"))
        unit = node.systemd.units["server.service"]
        unit.fails = lambda: node.read("usr/local/bin/server") == "two"
        _failure, states = node.fail(**versions("two"))
        assert node.read("usr/local/bin/server") == "one"
        assert (unit.active, unit.runs_with) == ("active", ("one",))
        assert states == {"server": "put back", "server.service": "failed"}
        assert not node.run(**versions("one"))["changed"]
        node.run(**versions("three"))
        assert "one" in self.kept(node)

    def test_a_version_that_must_not_go_back_stays_and_the_files_go_back(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        conf = node.path("etc/server.conf")
        unit = node.systemd.units["server.service"]

        def wish(content: str) -> dict[str, Any]:
            wanted = versions(content, rollback=False)
            wanted["units"]["server.service"]["restart_on"].append(conf)
            return {**wanted, "tree": {conf: content}}

        node.run(**wish("one"))
        unit.fails = lambda: node.read("usr/local/bin/server") == "two"
        _failure, states = node.fail(**wish("two"))
        assert node.read("usr/local/bin/server") == "two"
        assert node.read("etc/server.conf") == "one"
        assert states["server"] == "done"
        assert states[conf] == "put back"
        unit.fails = lambda: False
        assert node.run(**wish("two"))["changed"]
        assert unit.runs_with == ("two",)
        assert not node.run(**wish("two"))["changed"]

    def test_the_first_install_that_does_not_come_up_leaves_no_link(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.systemd.units["server.service"].fails = lambda: True
        node.fail(**versions("one"))
        assert not os.path.lexists(node.path("usr/local/bin/server"))
        assert not os.path.lexists(node.path("opt/server/current"))

    def test_a_link_that_somebody_turned_is_turned_back(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.run(**versions("one"))
        path = node.path("usr/local/bin/server")
        os.unlink(path)
        os.symlink("/bin/false", path)
        assert node.run(**versions("one"))["restarted"] == ["server.service"]
        assert os.readlink(path) == node.path("opt/server/current/server")

    def test_a_folder_that_somebody_removed_is_fetched_again(
        self, node: Node, versions: Callable[..., dict[str, Any]]
    ) -> None:
        node.run(**versions("one"))
        place = os.path.realpath(node.path("opt/server/current"))
        os.unlink(f"{place}/server")
        os.rmdir(place)
        assert node.run(**versions("one"))["changed"]
        assert node.read("usr/local/bin/server") == "one"


class TestAKilledRun:
    def test_at_any_point_leaves_the_old_or_the_new_version_and_the_next_run_completes(
        self, tmp_path: Path, node: Node, faults: Faults
    ) -> None:
        files = {}
        for version in ("one", "two"):
            path = tmp_path / f"{version}.tgz"
            path.write_bytes(archive(("bin/server", version.encode()), ("doc", b"text")))
            files[version] = {
                "version": version, "urls": [f"file://{path}"], "unpack": "tar.gz",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }  # fmt: skip
        at = 0
        while True:
            at += 1
            (tmp_path / str(at)).mkdir()
            other = Node(tmp_path / str(at))
            link = other.path("usr/bin/server")
            wanted = {version: {"server": {**entry, "links": {link: "bin/server"}}} for version, entry in files.items()}
            other.run(artifacts=wanted["one"])

            def half(other: Node = other, wanted: Any = wanted, at: int = at) -> None:
                run = other.plan(artifacts=wanted["two"])
                with faults.watch(other.root, at=at, act=kill):
                    run.apply()

            if in_child(half) != "killed":
                break
            assert other.read("usr/bin/server") in ("one", "two")
            other.run(artifacts=wanted["two"])
            assert other.read("usr/bin/server") == "two"
            assert other.leftovers() == []
            assert not other.run(artifacts=wanted["two"])["changed"]
        assert at > 8

    def test_and_a_failed_call_leaves_the_old_version(self, tmp_path: Path, node: Node, faults: Faults) -> None:
        source = node.put("srv/one", "one")
        entry = {"version": "1", "urls": [f"file://{source}"], "sha256": hashlib.sha256(b"one").hexdigest()}
        node.run(artifacts={"x": entry})
        source.write_text("two")
        newer = {**entry, "sha256": hashlib.sha256(b"two").hexdigest()}
        run = node.plan(artifacts={"x": newer})
        with faults.watch(Path(node.path("opt")), at=1, act=no_space), pytest.raises(Failure, match="No space left"):
            run.apply()
        assert node.read("opt/x/current/x") == "one"
        assert node.leftovers() == []


def package(*members: tuple[bytes, bytes]) -> bytes:
    """A Debian package with these members of its archive of ar, whose contents begin at even places."""
    text = b"!<arch>\n"
    for name, content in members:
        header = name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) + b"0".ljust(6) + b"100644".ljust(8)
        text += header + str(len(content)).encode().ljust(10) + b"`\n" + content + b"\n" * (len(content) % 2)
    return text


class TestPackage:
    @pytest.mark.parametrize("name", [b"data.tar.xz", b"data.tar.xz/"])
    @pytest.mark.parametrize("control", [b"odd", b"even"])
    def test_gives_its_files_and_is_not_installed(
        self, node: Node, mirror: Mirror, name: bytes, control: bytes
    ) -> None:
        data = archive(("./", {"type": tarfile.DIRTYPE}), ("./usr/share/x.xml", b"content"), mode="w:xz")
        members = (b"debian-binary", b"2.0\n"), (b"control.tar.xz", control), (name, data)
        entry = mirror.put("/x.deb", package(*members))
        node.run(artifacts={"x": {**entry, "unpack": "deb"}})
        assert node.read("opt/x/current/usr/share/x.xml") == "content"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"!<arch>\n",
            b"no package",
            package((b"debian-binary", b"2.0\n")),
            package((b"data.tar.xz", b"cut"))[:-1],
        ],
    )
    def test_that_is_none_is_said(self, node: Node, mirror: Mirror, content: bytes) -> None:
        entry = mirror.put("/x.deb", content)
        with pytest.raises(Failure, match="cannot be unpacked as deb"):
            node.run(artifacts={"x": {**entry, "unpack": "deb"}})

    def test_may_write_nowhere_else(self, node: Node, mirror: Mirror) -> None:
        entry = mirror.put("/x.deb", package((b"data.tar", archive(("../../evil", b"x"), mode="w"))))
        with pytest.raises(Failure, match="lies outside"):
            node.run(artifacts={"x": {**entry, "unpack": "deb"}})
