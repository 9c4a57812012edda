# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The session, against servers on loopback that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils import http_session as http
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

Reply = tuple[int, dict[str, str], str]
TOKEN = "s.very-secret-token"


class Fake:
    """A server whose answers are made by a function of method and path."""

    def __init__(self, answer: Callable[[str, str], Reply | None]) -> None:
        self.seen: list[tuple[str, str]] = []
        self.clients: set[Any] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: Any) -> None:
                """Nothing."""

            def _do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.seen.append((self.command, self.path))
                fake.clients.add(self.client_address)
                reply = answer(self.command, self.path)
                if reply is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, text = reply
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_DELETE = _do

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(answer: Callable[[str, str], Reply | None]) -> Fake:
        made.append(Fake(answer))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def session(*urls: str, **more: Any) -> tuple[http.Session, list[float]]:
    """A session whose pauses take no time, and the pauses."""
    pauses: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    more.setdefault("headers", {"X-Token": TOKEN})
    return http.Session(urls, sleep=sleep, clock=lambda: now[0], **more), pauses


def test_one_connection_is_kept(fake: Callable[..., Fake]) -> None:
    server = fake(lambda method, path: (200, {"X-Total-Count": "2"}, '{"a": 1}'))
    one, _pauses = session(server.url)
    for _number in range(5):
        answer = one.get("/x", query={"a": ["b", "c"]})
    assert (answer.status, answer.body, answer.headers["x-total-count"]) == (200, {"a": 1}, "2")
    assert len(server.clients) == 1
    assert server.seen[0] == ("GET", "/x?a=b&a=c")
    assert one.requests == {"GET": 5}


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_tries_again_what_may_be(fake: Callable[..., Fake], status: int) -> None:
    replies: Iterator[Reply] = iter([(status, {}, ""), (status, {}, ""), (200, {}, "{}")])
    server = fake(lambda method, path: next(replies))
    one, pauses = session(server.url)
    assert one.request("PUT", "/x", {}).status == 200
    assert len(pauses) == 2
    assert pauses[0] <= 0.2 < pauses[1] * 2.01


@pytest.mark.parametrize(("status", "times"), [(500, 1), (502, 1), (504, 1), (429, 3), (503, 3), (400, 1), (404, 1)])
def test_post_is_not_done_twice(fake: Callable[..., Fake], status: int, times: int) -> None:
    replies: Iterator[Reply] = iter([(status, {}, '{"errors": ["no"]}')] * 2 + [(200, {}, "{}")])
    server = fake(lambda method, path: next(replies))
    one, _pauses = session(server.url)
    if times == 1:
        with pytest.raises(http.HttpError, match=f"POST /x: {status}: no"):
            one.request("POST", "/x", {})
    else:
        one.request("POST", "/x", {})
    assert len(server.seen) == times


def test_a_lost_connection(fake: Callable[..., Fake]) -> None:
    replies: list[Reply | None] = [None, (200, {}, "{}")]
    server = fake(lambda method, path: replies.pop(0))
    one, _pauses = session(server.url)
    assert one.get("/x").status == 200
    replies[:] = [None, (200, {}, "{}")]
    with pytest.raises(http.Unreachable):
        one.request("POST", "/x", {})
    assert len(replies) == 1, "a POST that may have been done was sent again"
    assert one.request("POST", "/x", {}).status == 200
    replies[:] = [None, (200, {}, "{}")]
    assert one.request("POST", "/x", {}, idempotent=True).status == 200


def test_retry_after_is_obeyed_and_the_deadline_kept(fake: Callable[..., Fake]) -> None:
    replies: Iterator[Reply] = iter([(429, {"Retry-After": "7"}, "{}"), (200, {}, "{}")])
    one, pauses = session(fake(lambda method, path: next(replies)).url, retry_for=60)
    one.get("/x")
    assert pauses == [7.0]
    busy, pauses = session(fake(lambda method, path: (503, {"Retry-After": "50"}, "{}")).url, retry_for=60)
    with pytest.raises(http.HttpError):
        busy.get("/x")
    assert pauses == [50.0]
    assert http.pause_before(1, "Thu, 26 Nov 2026 10:00:30 GMT", lambda: 1795687200.0) == 30.0
    assert http.pause_before(1, "nonsense") <= 0.2


def test_a_500_that_stays_is_told_soon(fake: Callable[..., Fake]) -> None:
    server = fake(lambda method, path: (500, {}, '{"errors": ["broken"]}'))
    one, _pauses = session(server.url, retry_for=10_000)
    with pytest.raises(http.HttpError, match="broken"):
        one.get("/x")
    assert len(server.seen) == http.MOST_INTERNAL_ERRORS


def test_another_member_is_asked_and_redirects_stay_within_the_list(fake: Callable[..., Fake]) -> None:
    active = fake(lambda method, path: (200, {}, '{"who": "active"}'))
    standby = fake(lambda method, path: (307, {"Location": active.url + path}, ""))
    away = f"http://127.0.0.1:{_closed_port()}"
    one, pauses = session(away, standby.url, active.url)
    assert one.get("/x").body == {"who": "active"}
    assert pauses == [], "another member is asked at once"
    one.get("/y")
    assert standby.seen == [("GET", "/x")], "the active member is remembered"
    alone, _pauses = session(standby.url)
    with pytest.raises(http.HttpError, match="none of the URLs given"):
        alone.get("/x")
    assert active.seen == [("GET", "/x"), ("GET", "/y")], "the token went to a server that was not named"


def test_no_server_is_not_waited_for_long() -> None:
    one, pauses = session(f"http://127.0.0.1:{_closed_port()}", retry_for=600)
    with pytest.raises(http.Unreachable, match="cannot be reached"):
        one.get("/x")
    assert sum(pauses) < 6


def test_errors_are_typed_and_never_hold_the_token(fake: Callable[..., Fake]) -> None:
    kinds = {401: http.Unauthenticated, 403: http.Forbidden, 404: http.NotFound, 409: http.Conflict}
    for status, kind in kinds.items():
        server = fake(lambda method, path, status=status: (status, {}, '{"error": {"reason": "the\\nreason"}}'))
        one, _pauses = session(server.url)
        with pytest.raises(kind) as caught:
            one.get("/x", query={"q": "z"})
        assert str(caught.value) == f"the server at {server.url[7:]}: GET /x: {status}: the reason"
        told = (caught.value.host, caught.value.method, caught.value.path, caught.value.status, caught.value.said)
        assert told == (server.url[7:], "GET", "/x", status, "the reason")
        assert TOKEN not in repr(caught.value) + repr(one) + repr(vars(caught.value))


@pytest.mark.parametrize("url", ["http://vault.bank.local:8200", "ftp://127.0.0.1", "https://a:b@c", "https://h:port"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Failure):
        http.Session([url])


def _closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
