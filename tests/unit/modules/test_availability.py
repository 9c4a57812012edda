# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a service was silent: on a real server, with its own clock where a silence has to be exact."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.modules import availability
from ansible_collections.banking.platform.plugins.modules.availability import Service, Watch


class Clock:
    """A clock that only goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Server(ThreadingHTTPServer):
    """Answers by TLS, keeps values as etcd's JSON gateway does, and answers 503 to some questions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kept: dict[str, str] = {}
        self.asked = 0
        self.silent: set[int] = set()  # questions, counted from 1, that get no good answer
        self.forgets = False
        self.ca = str(folder / "server.crt")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(_certificate(folder))
        self.socket = tls.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kept = self.server.kept
        found: dict[str, Any] = {}
        if self.path == "/v3/kv/put" and not self.server.forgets and body["lease"] == "7":
            kept[body["key"]] = body["value"]
        elif self.path == "/v3/kv/range" and body["key"] in kept:
            found = {"kvs": [{"value": kept[body["key"]]}]}
        elif self.path == "/v3/lease/grant":
            found = {"ID": "7", "TTL": body["TTL"]}
        elif self.path == "/v3/lease/revoke" and body["ID"] == "7":
            kept.clear()
        self.answer(found)

    def answer(self, body: dict[str, Any]) -> None:
        self.server.asked += 1
        self.send_response(503 if self.server.asked in self.server.silent else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args: Any) -> None:
        pass


def _certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    parts = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*parts))
    return folder / "server.crt"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        made.shutdown()


def watch(server: Server, key: str | None = None, urls: list[str] | None = None) -> Watch:
    made = Watch(Service(urls or [server.url], ssl.create_default_context(cafile=server.ca), 2.0), key)
    clock = Clock()
    made.clock, made.sleep = clock, clock.sleep
    return made


def test_a_silence_lasts_from_the_last_answer_to_the_next_one(server: Server) -> None:
    server.silent = {4, 5, 9}
    seen = watch(server)
    seen.run(12, 1)
    assert (seen.answers, seen.failures) == (9, 3)
    assert seen.silences == [3, 2]
    assert seen.longest == 3
    assert seen.causes == [f"127.0.0.1:{server.server_address[1]} answered 503"]


def test_a_silence_until_the_end_counts(server: Server) -> None:
    server.silent = set(range(3, 100))
    seen = watch(server)
    seen.run(10, 1)
    assert seen.longest == 9


def test_a_service_that_never_answers_is_no_silence_but_an_error(server: Server) -> None:
    server.silent = set(range(100))
    with pytest.raises(Failure, match=r"never answered: .* answered 503"):
        watch(server).run(3, 1)


def test_another_address_is_taken_at_once(server: Server) -> None:
    seen = watch(server, urls=["https://127.0.0.1:1", server.url])
    seen.run(5, 1)
    assert (seen.answers, seen.failures) == (4, 1)


def test_a_server_of_another_authority_is_not_trusted(server: Server) -> None:
    seen = Watch(Service([server.url], ssl.create_default_context(), 2.0))
    seen.clock = clock = Clock()
    seen.sleep = clock.sleep
    with pytest.raises(Failure, match="certificate verify failed"):
        seen.run(1, 1)


def test_what_etcd_acknowledged_and_forgot_is_counted(server: Server) -> None:
    seen = watch(server, "/drill")
    seen.run(3, 1)
    assert base64.b64decode(server.kept[base64.b64encode(b"/drill").decode()]) == b"3"
    server.forgets = True
    seen.run(2, 1)
    assert seen.lost() == 2
    assert server.kept == {}, "the key is left behind"


def run(server: Server, check: bool = False, **asked: Any) -> dict[str, Any]:
    """What the module returns."""
    given = {"name": "the service", "urls": [server.url], "ca_path": server.ca, "interval": 0.01, **asked}
    outcome: dict[str, Any] = {}

    def end(_module: Any, **result: Any) -> None:
        outcome.update(result)
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch, patch_module_args({**given, "_ansible_check_mode": check}):
        patch.setattr(availability.AnsibleModule, "exit_json", end)
        patch.setattr(
            availability.AnsibleModule, "fail_json", lambda _module, **said: end(_module, failed=True, **said)
        )
        with pytest.raises(SystemExit):
            availability.main()
    return outcome


def test_the_figure_is_one_of_the_record(server: Server) -> None:
    result = run(server, seconds=0.3, most=5, goal=4)
    (figure,) = result["measurements"]
    assert (figure["name"], figure["unit"], figure["goal"]) == ("the service", "s", "<= 4")
    assert 0 < figure["value"] < 5
    assert not result["changed"]


def test_too_long_a_silence_is_a_failure_that_says_why(server: Server) -> None:
    server.silent = {3}
    result = run(server, seconds=0.5, most=0.0001, etcd_key="/drill")
    assert result["failed"]
    assert result["msg"].startswith("the service: silent for 0.")
    assert "answered 503" in result["msg"]
    assert result["next_step"]
    assert server.kept == {}


def test_check_mode_asks_nothing(server: Server) -> None:
    assert run(server, check=True, seconds=5, most=1) == {"changed": False}
    assert server.asked == 0
