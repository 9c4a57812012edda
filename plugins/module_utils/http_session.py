# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON over HTTPS: one pool of kept-alive connections to a service, or to the members of one.

Only urllib3 is needed, which the package `kubernetes` brings. Headers, in which tokens travel, are in no error and no
representation. Everything that can go wrong comes as `HttpError`.
"""

from __future__ import annotations

import email.utils
import importlib.util
import io
import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, List, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Options of every module that talks to a service; documented in plugins/doc_fragments/http_session.py.
PACE: dict[str, dict[str, Any]] = {
    "timeout": {"type": "float", "default": 65},
    "retry_for": {"type": "float", "default": 60},
    "parallel": {"type": "int", "default": 8},
}

# Worth another attempt: the server says so itself, or a proxy before it does.
AGAIN = (429, 500, 502, 503, 504)
# A 500 that is still there after so many attempts seldom heals.
MOST_INTERNAL_ERRORS = 4
PARALLEL = 8
_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# These do the same when they are done twice (RFC 9110, 9.2.2).
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "LIST", "PUT", "DELETE")
# A server that was not there in the first place is not waited for as long as one that went away.
_FIRST_PATIENCE = 5.0
_LONGEST_WORDS = 600

Item = TypeVar("Item")
Result = TypeVar("Result")


class HttpError(Failure):
    """An answer that is not the one asked for.

    Attributes:
        host: host and port of the server.
        method, path: the request; the path without its query.
        status: the HTTP status; 0 when there was no answer.
        said: the server's own words.
        body: the answer, as JSON types, or None.
    """

    def __init__(
        self,
        cause: str,
        next_step: str = "",
        *,
        host: str = "",
        method: str = "",
        path: str = "",
        status: int = 0,
        said: str = "",
        body: Any = None,
    ) -> None:
        super().__init__(cause, next_step)
        self.host, self.method, self.path, self.status, self.said, self.body = host, method, path, status, said, body

    @property
    def about(self) -> dict[str, Any]:
        """What another error of the same answer takes over."""
        return {name: getattr(self, name) for name in ("host", "method", "path", "status", "said", "body")}


class Unreachable(HttpError):
    """There is no server, or none that answers."""


class Untrusted(Unreachable):
    """The server's certificate is not one that we trust, or it does not take ours."""


class Unauthenticated(HttpError):
    """The server does not know who we are (401)."""


class Forbidden(HttpError):
    """A right is missing (403)."""


class NotFound(HttpError):
    """There is no such thing (404)."""


class Conflict(HttpError):
    """Something of the name is there, or has changed meanwhile (409, 412)."""


_KINDS: dict[int, type[HttpError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 412: Conflict}


@dataclass(frozen=True)
class Answer:
    """An answer: status, body as JSON types (None when it is empty or no JSON), and headers by lower-case name."""

    status: int
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)


def pause_before(attempt: int, hint: str = "", now: Callable[[], float] = time.time) -> float:
    """How long to wait before another attempt, in seconds.

    Args:
        attempt: how many have failed, from 1.
        hint: the header Retry-After: seconds, or a date (RFC 9110, 10.2.3).
        now: seconds of the epoch.
    """
    if hint.strip().isdigit():
        return float(hint)
    date = email.utils.parsedate_tz(hint) if hint else None
    if date:
        return max(0.0, email.utils.mktime_tz(date) - now())
    return min(_LONGEST_PAUSE, _PAUSE * 2 ** min(attempt - 1, 10)) * (0.5 + random.random() / 2)  # noqa: S311


def root_of(error: Exception) -> Exception:
    """What is behind an error of urllib3."""
    reason = getattr(error, "reason", None)
    return root_of(reason) if isinstance(reason, Exception) else error


def words_of(error: Exception) -> str:
    """What an error of urllib3 says, without the objects' representation."""
    root = root_of(error)
    return re.sub(r"^.*?(?:object|HTTPSConnection|HTTPConnection)[^>]*>?: ", "", str(root)) or type(root).__name__


def side_by_side(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    parallel: int,
    fatal: type[Failure],
    stopped: threading.Event,
) -> List[Result | Failure]:
    """Do the same with many items, a few at a time.

    Args:
        work, items: what to do with what.
        parallel: how many at a time.
        fatal: the kind of failure after which nothing more is begun.
        stopped: set while the rest comes to an end after such a failure; who waits, should look at it.

    Returns:
        For each item, in order, what came of it: a result, or the Failure.

    Raises:
        The fatal failure; what had not begun is left.
    """

    def guarded(item: Item) -> Result | Failure:
        try:
            return work(item)
        except fatal:
            raise
        except Failure as failure:
            return failure

    todo = list(items)
    if len(todo) < 2:
        return [guarded(item) for item in todo]
    gone = threading.Event()

    def one(item: Item) -> Result | Failure:
        if gone.is_set():
            return Failure("not begun: the server is gone")
        try:
            return guarded(item)
        except fatal:
            gone.set()
            raise

    with ThreadPoolExecutor(min(parallel, len(todo))) as pool:
        futures: List[Future[Result | Failure]] = [pool.submit(one, item) for item in todo]
        wait(futures, return_when=FIRST_EXCEPTION)
        broken = next(filter(None, (future.exception() for future in futures if future.done())), None)
        if broken:
            stopped.set()
            for future in futures:
                future.cancel()
    stopped.clear()
    if broken:
        raise broken
    return [future.result() for future in futures]


def path_of(*parts: str) -> str:
    """Make a path of parts that may hold any sign; slashes in a part stay slashes."""
    return "/".join(quote(part.strip("/"), safe="/@:+~,=$*!") for part in parts if part.strip("/"))


class Session:
    """Requests to one service.

    A member that cannot be reached, or that says that it cannot answer now, is left for the next one. A redirect is
    followed to a member of the list only: the headers carry a token.

    Args:
        urls: of the members, each with the same path, if any.
        ca_path: file with the CAs that sign the server's certificate; those of the system by default.
        client_cert, client_key: files with our certificate and key, or one with both.
        headers: sent with each request.
        timeout: seconds to wait for an answer.
        connect_timeout: seconds to wait for a connection.
        retry_for: how long a request is tried again when the server is away or busy, in seconds.
        parallel: how many requests at a time.
        name: what errors call the service.
        sleep, clock: for tests.

    Attributes:
        requests: how many were sent, by method.
        headers: may be changed, after a log-in for example.

    Raises:
        Failure: an option is unusable.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        ca_path: str = "",
        client_cert: str = "",
        client_key: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 65,
        connect_timeout: float = 10,
        retry_for: float = 60,
        parallel: int = PARALLEL,
        name: str = "the server",
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if importlib.util.find_spec("urllib3") is None:
            raise Failure(
                f"{name}: {sys.executable} has no package urllib3",
                "run the task on the controller with ansible_python_interpreter set to ansible_playbook_python",
            )
        self.urls = [_checked_url(url, name) for url in urls]
        if not self.urls:
            raise Failure(f"{name}: no URL is given", "set url")
        for option, path in (("ca_path", ca_path), ("client_cert", client_cert), ("client_key", client_key)):
            if path and not os.access(path, os.R_OK):
                raise Failure(f"{name}: {option} {path} cannot be read", "check the path and its owner")
        self._files = {"ca_certs": ca_path, "cert_file": client_cert, "key_file": client_key}
        self.headers = dict(headers or {})
        self.timeout, self.connect_timeout, self.retry_for, self.parallel = (
            timeout,
            connect_timeout,
            retry_for,
            parallel,
        )
        self.name = name
        self.requests: dict[str, int] = {}
        self._sleep, self._clock = sleep, clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._current = 0
        self._reached = False
        self._made: Any = None

    def __repr__(self) -> str:
        return f"Session({', '.join(self.urls)})"

    @property
    def url(self) -> str:
        """The member that is asked next."""
        return self.urls[self._current]

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.clear()

    # What a service may say differently

    def said(self, answer: Answer) -> str:
        """The server's own words in an answer that is an error."""
        return words_in(answer.body) or answer.text.strip()[:_LONGEST_WORDS] or "no reason given"

    def elsewhere(self, answer: Answer) -> bool:
        """Whether another member may know better. When all have said so, that is the answer."""
        return False

    def passing(self, answer: Answer) -> bool:
        """Whether the request was not done and may be sent again, whatever its method."""
        return answer.status in (429, 503)

    def failure(self, host: str, method: str, path: str, answer: Answer) -> HttpError:
        """Make an error of an answer."""
        said = self.said(answer)
        kind = _KINDS.get(answer.status, HttpError)
        return kind(
            f"{self.name} at {host}: {method} {path}: {answer.status}: {said}",
            host=host,
            method=method,
            path=path,
            status=answer.status,
            said=said,
            body=answer.body,
        )

    # Requests

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        """Read."""
        return self.request("GET", path, query=query)

    def find(self, path: str, query: Mapping[str, Any] | None = None) -> Answer | None:
        """Read, or None when it isn't there."""
        try:
            return self.request("GET", path, query=query)
        except NotFound:
            return None

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> List[Result | Failure]:
        """Do the same with many items, a few at a time (`side_by_side`); when the server is gone, the rest is left."""
        return side_by_side(work, items, self.parallel, Unreachable, self._stopped)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        idempotent: bool | None = None,
        content: str = "application/json",
    ) -> Answer:
        """Send one request.

        Args:
            method: of HTTP.
            path: below the URL, quoted as need be (`path_of`).
            body: JSON types, or bytes as they are, or an open file, which is sent bit by bit.
            query: parameters; a list gives the parameter more than once.
            headers: more than those of the session.
            accept: statuses that are no errors, besides those below 300.
            idempotent: whether it may be done twice; by default as the method says.
            content: type of the body.

        Raises:
            HttpError: after attempts for `retry_for` seconds where another one makes sense.
        """
        import urllib3

        target = "/" + path.lstrip("/") + (f"?{urlencode(query, doseq=True)}" if query else "")
        as_it_is = body is None or isinstance(body, (bytes, io.IOBase))
        data = body if as_it_is else json.dumps(body, separators=(",", ":")).encode()
        again = method in _IDEMPOTENT if idempotent is None else idempotent
        sent = {"Accept": "application/json", **self.headers, **(headers or {})}
        if data is not None:
            sent["Content-Type"] = content
        if isinstance(data, io.IOBase):
            sent["Content-Length"] = str(os.fstat(data.fileno()).st_size)
        deadline = self._clock() + self.retry_for
        attempt = internal = asked = redirects = 0
        base = ""
        while True:
            base = base or self.url
            with self._lock:
                self.requests[method] = self.requests.get(method, 0) + 1
            host, hint = urlsplit(base).netloc, ""
            if isinstance(data, io.IOBase):
                data.seek(0)
            try:
                reply = self._pool().request(
                    method,
                    base + target,
                    body=data,
                    headers=sent,
                    timeout=urllib3.Timeout(connect=self.connect_timeout, read=self.timeout),
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError as error:
                failure: HttpError = self._unreachable(host, method, path, error)
                root = root_of(error)
                never_sent = isinstance(
                    root, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
                )
                if isinstance(failure, Untrusted) or not (again or never_sent):
                    raise failure from error
                if not self._reached:
                    deadline = min(deadline, self._clock() + max(0.0, _FIRST_PATIENCE - attempt))
                moved = self._leave(base)
            else:
                self._reached = True
                answer = _answer(reply)
                if answer.status < 300 or answer.status in accept:
                    return answer
                if answer.status in (307, 308):
                    redirects += 1
                    base = self._redirected(host, method, path, answer, redirects)
                    continue
                failure = self.failure(host, method, path, answer)
                hint = answer.headers.get("retry-after", "")
                if self.elsewhere(answer):
                    moved = self._leave(base)
                    if not moved or asked + 1 >= len(self.urls):
                        raise failure
                else:
                    moved = False
                    internal += answer.status == 500
                    may = self.passing(answer) or (again and answer.status in AGAIN)
                    if not may or (internal >= MOST_INTERNAL_ERRORS and not self.passing(answer)):
                        raise failure
            base = ""
            asked += 1
            if moved and asked % len(self.urls):
                continue  # another member is asked at once
            attempt += 1
            pause = pause_before(attempt, hint)
            if self._stopped.is_set() or self._clock() + pause > deadline:
                raise failure
            self._sleep(pause)

    def _pool(self) -> Any:
        if self._made is None:
            import urllib3

            files: dict[str, Any] = {option: path for option, path in self._files.items() if path}
            with self._lock:
                if self._made is None:
                    self._made = urllib3.PoolManager(
                        maxsize=self.parallel, block=True, retries=False, cert_reqs="CERT_REQUIRED", **files
                    )
        return self._made

    def _leave(self, base: str) -> bool:
        """Turn to the next member; False when there is no other."""
        with self._lock:
            if base in self.urls and self.urls[self._current] == base:
                self._current = (self._current + 1) % len(self.urls)
        return len(self.urls) > 1

    def _redirected(self, host: str, method: str, path: str, answer: Answer, redirects: int) -> str:
        """The member that an answer leads to."""
        place = urlsplit(answer.headers.get("location", ""))
        there = next((url for url in self.urls if urlsplit(url)[:2] == (place.scheme, place.netloc)), "")
        about: dict[str, Any] = {"host": host, "method": method, "path": path, "status": answer.status}
        if not there:
            raise HttpError(
                f"{self.name} at {host} sends on to {place.scheme}://{place.netloc}, which is none of the URLs given",
                f"add it to url, or correct what the member tells as its own address ({', '.join(self.urls)})",
                **about,
            )
        if redirects > len(self.urls):
            raise HttpError(f"{self.name} at {host}: the members send on to each other in a circle", **about)
        with self._lock:
            self._current = self.urls.index(there)
        return there

    def _unreachable(self, host: str, method: str, path: str, error: Exception) -> Unreachable:
        import urllib3

        about: dict[str, Any] = {"host": host, "method": method, "path": path}
        said = words_of(error)
        if isinstance(root_of(error), urllib3.exceptions.SSLError):
            return Untrusted(
                f"{self.name} at {host}: no trusted connection: {said}",
                "check ca_path, the names in the server's certificate, and client_cert where one is asked for",
                said=said,
                **about,
            )
        return Unreachable(
            f"{self.name} at {host} cannot be reached: {said}", "check that it runs, and url", said=said, **about
        )


def words_in(body: Any) -> str:
    """The words of an error, where services have them: errors, error, message, reason; "" when there are none."""
    if isinstance(body, Mapping):
        for key in ("errors", "error", "message", "reason", "warnings"):
            said = words_in(body.get(key)) if body.get(key) else ""
            if said:
                return said
        return ""
    if isinstance(body, Sequence) and not isinstance(body, str):
        return "; ".join(filter(None, map(words_in, body)))
    return " ".join(body.split())[:_LONGEST_WORDS] if isinstance(body, str) else ""


def _answer(reply: Any) -> Answer:
    text = reply.data.decode(errors="replace")
    try:
        body = json.loads(text) if text else None
    except ValueError:
        body = None
    return Answer(reply.status, body, {name.lower(): value for name, value in reply.headers.items()}, text)


def _checked_url(url: str, name: str) -> str:
    """A URL that may carry a token: https, or http to this very machine."""
    parts = urlsplit(url if "//" in url else f"https://{url}")
    here = parts.hostname in ("127.0.0.1", "::1", "localhost")
    try:
        usable = parts.scheme in ("https", "http") and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query:
        raise Failure(f"{name}: {parts.hostname or url!r} is no usable URL", "as in https://host:8200")
    if parts.scheme == "http" and not here:
        raise Failure(f"{name}: {url} would carry the token in clear text", "use https")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
