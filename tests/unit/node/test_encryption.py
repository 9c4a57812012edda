# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys an API server has loaded, and with which ones a real etcd's objects were written."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.encryption import (
    Loaded,
    Places,
    Stored,
    prefixes,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

RELOADED = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
CONFIG = """resources:
  - resources: ["secrets"]
    providers:
      - secretbox:
          keys: [{"name": "key-new", "secret": "c2VjcmV0LW5ldw=="}, {"name": "key-old", "secret": "c2VjcmV0LW9sZA=="}]
      - identity: {}
"""


class Server(System):
    """A node whose API server answers one text after the other; None when it does not answer."""

    def __init__(self, folder: Path, *answers: str | None) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), 0
        self.places = Places(config=str(folder / "encryption.yaml"), manifest=str(folder / "kube-apiserver.yaml"))
        Path(self.places.config).write_text(CONFIG)
        Path(self.places.manifest).write_text("- --advertise-address=10.20.1.11\n")
        self.written = Path(self.places.config).stat().st_mtime

    def run(self, command: str | Sequence[str], timeout: float = 60) -> Completed:
        assert "https://10.20.1.11:6443" in command
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Completed(1, "", "refused") if answer is None else Completed(0, answer, "")


def look(server: Server, timeout: float = 0) -> tuple[str, list[str]]:
    loaded = Loaded(server, timeout, server.places)
    loaded.sleep = lambda seconds: None
    return loaded.look()


def metrics(written: float, started: float, success: float | None = None, failure: float | None = None) -> str:
    lines = [f"process_start_time_seconds {written + started:e}"] if started else []
    for status, when in (("success", success), ("failure", failure)):
        if when is not None:
            lines.append(f'{RELOADED}{{apiserver_id_hash="sha256:0",status="{status}"}} {written + when!r}')
    return "\n".join(lines) + "\n"


def test_a_server_that_started_after_the_file_was_written_has_loaded_it(tmp_path: Path) -> None:
    server = Server(tmp_path, "")
    server.answers = [metrics(server.written, 9000)]
    assert look(server) == ("secretbox", ["key-new", "key-old"])


def test_a_changed_file_is_waited_for(tmp_path: Path) -> None:
    server = Server(tmp_path, "")
    old = metrics(server.written, -9000, success=-60)
    server.answers = [old, None, old, metrics(server.written, -9000, success=1)]
    assert look(server, timeout=60)[1] == ["key-new", "key-old"]
    assert server.asked == 4


@pytest.mark.parametrize("failed", [{}, {"failure": 5}, {"success": -60, "failure": 5}])
def test_a_file_that_was_not_loaded_is_an_error(tmp_path: Path, failed: dict[str, float]) -> None:
    server = Server(tmp_path, "")
    server.answers = [metrics(server.written, -9000, **failed)]
    with pytest.raises(Failure, match="the API server has not loaded it after 0 s"):
        look(server)


def test_a_server_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not answer"):
        look(Server(tmp_path, None))


def test_without_a_file_there_are_no_keys(tmp_path: Path) -> None:
    server = Server(tmp_path, None)
    Path(server.places.config).unlink()
    assert look(server) == ("", [])


def test_where_objects_lie_in_etcd() -> None:
    assert prefixes("secrets") == ["/registry/secrets/"]
    assert prefixes("tokens.bank.example") == ["/registry/tokens/", "/registry/bank.example/tokens/"]
    with pytest.raises(Failure, match="cannot be looked up"):
        prefixes("*.apps")


# --- A real etcd


class Etcd(System):
    """One member on the loopback address, without TLS: its file of options names files that are not there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        etcd, etcdctl = shutil.which("etcd"), shutil.which("etcdctl")
        if not (etcd and etcdctl):
            pytest.skip("etcd is not in the virtual environment: make venv")
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            second.bind(("127.0.0.1", 0))
            ports = [first.getsockname()[1], second.getsockname()[1]]
        self.url, peer = (f"http://127.0.0.1:{port}" for port in ports)
        self.etcdctl = etcdctl
        self.places = Places(etcdctl=etcdctl, etcd=str(folder / "etcdctl.env"))
        options = {"ENDPOINTS": self.url, "CACERT": "", "CERT": "", "KEY": ""}
        Path(self.places.etcd).write_text("".join(f'ETCDCTL_{name}="{value}"\n' for name, value in options.items()))
        argv = [etcd, "--data-dir", str(folder / "data"), "--listen-peer-urls", peer, "--log-level", "error"]
        argv += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url, "--unsafe-no-fsync"]
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self.run([etcdctl, "--endpoints", self.url, "endpoint", "health"]).ok:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def put(self, key: str, value: str) -> None:
        assert self.run([self.etcdctl, "--endpoints", self.url, "put", key, value]).ok

    def put_many(self, objects: dict[str, str]) -> None:
        """All in one transaction."""
        script = "\n" + "".join(f"put {key} {json.dumps(value)}\n" for key, value in objects.items()) + "\n\n"
        argv = [self.etcdctl, "--endpoints", self.url, "txn"]
        subprocess.run(argv, input=script, text=True, check=True, capture_output=True)


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    running = Etcd(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(20)


def test_objects_are_counted_by_key_over_pages(etcd: Etcd) -> None:
    for start in (0, 100, 200):
        numbers = range(start, min(start + 100, 250))
        etcd.put_many({f"/registry/secrets/bank/s{n:03}": f"k8s:enc:secretbox:v1:key-new:{n}" for n in numbers})
    etcd.put("/registry/secretsfoo/other", "k8s:enc:secretbox:v1:key-other:x")
    stored = Stored(etcd, etcd.places)
    stored.look(["secrets"], "secretbox key-new")
    assert stored.counts == {"secrets": {"secretbox key-new": 250}}


def test_what_another_key_or_none_wrote_is_named(etcd: Etcd) -> None:
    etcd.put("/registry/secrets/bank/new", "k8s:enc:secretbox:v1:key-new:body")
    etcd.put("/registry/secrets/bank/old", "k8s:enc:secretbox:v1:key-old:body")
    # A name that begins like the wanted one is another one, and so is another provider.
    etcd.put("/registry/secrets/bank/like", "k8s:enc:secretbox:v1:key-new2:body")
    etcd.put("/registry/secrets/bank/kind", "k8s:enc:aescbc:v1:key-new:body")
    etcd.put("/registry/secrets/bank/clear", '{"data": "correct horse"}')
    stored = Stored(etcd, etcd.places)
    with pytest.raises(Failure) as failed:
        stored.look(["secrets"], "secretbox key-new")
    assert failed.value.cause.startswith("4 of 5 objects in etcd are not written with secretbox key-new: ")
    assert "secrets/bank/clear (not encrypted)" in failed.value.cause
    assert "secrets/bank/old (secretbox key-old)" in failed.value.cause
    assert "body" not in failed.value.cause
    assert "horse" not in failed.value.cause
    assert sum(stored.counts["secrets"].values()) == 5


def test_an_etcd_that_does_not_answer_is_an_error(etcd: Etcd) -> None:
    etcd.process.terminate()
    etcd.process.wait(20)
    with pytest.raises(Failure, match="etcd:"):
        Stored(etcd, etcd.places).look(["secrets"])


def test_a_host_without_etcd_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is not there"):
        Stored(System(), Places(etcd=str(tmp_path / "none"))).look(["secrets"])
