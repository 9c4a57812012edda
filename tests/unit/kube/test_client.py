# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against a small real HTTP server: retries, paging, credentials, discovery, errors."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import client as kube_client
from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    ApiError,
    Client,
    Conflict,
    Connection,
    Forbidden,
    NotFound,
    Unreachable,
    connector,
    failure_of,
)
from ansible_collections.banking.platform.plugins.module_utils.kube.discovery import Discovery
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Server:
    """Answers in turn what it was given, and remembers what it was asked. `None` hangs up."""

    url: str = ""
    answers: list[Answer | None] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def say(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body or {}, {key.replace("_", "-"): value for key, value in headers.items()}))


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            split = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            state.asked.append(
                {
                    "method": self.command,
                    "path": split.path,
                    "query": {key: values[0] for key, values in parse_qs(split.query).items()},
                    "headers": dict(self.headers),
                    "body": json.loads(self.rfile.read(length)) if length else None,
                    "port": self.client_address[1],
                }
            )
            answer = state.answers.pop(0) if state.answers else (200, {}, {})
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, body, headers = answer
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = handle_one

        def log_message(self, *args: Any) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(server: Server, clock: Clock) -> Client:
    return Client(lambda: Connection(server.url), retry_for=60, sleep=clock.sleep, clock=lambda: clock.now)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(client: Client, server: Server, clock: Clock, status: int) -> None:
    server.say(status)
    server.say(200, {"kind": "Namespace"})
    assert client.get("/api/v1/namespaces/x")["kind"] == "Namespace"
    assert len(clock.slept) == 1


def test_a_lost_connection_is_made_again(client: Client, server: Server) -> None:
    server.say(200)
    server.answers.append(None)
    server.say(200, {"kind": "Namespace"})
    client.get("/version")
    assert client.get("/api/v1/namespaces/x")["kind"] == "Namespace"


def test_retry_after_is_obeyed(client: Client, server: Server, clock: Clock) -> None:
    server.say(429, Retry_After="7")
    client.get("/version")
    assert clock.slept == [7]


def test_retrying_ends_at_the_deadline(client: Client, server: Server, clock: Clock) -> None:
    for _turn in range(200):
        server.say(503, {"message": "away"})
    with pytest.raises(ApiError, match="away"):
        client.get("/version")
    assert 50 < clock.now <= 60


def test_a_server_error_that_is_no_webhooks_is_given_up_soon(client: Client, server: Server, clock: Clock) -> None:
    for _turn in range(50):
        server.say(500, {"message": "etcd is corrupt"})
    with pytest.raises(ApiError, match="etcd is corrupt"):
        client.get("/version")
    assert len(server.asked) == 5


def test_a_webhook_that_is_not_up_yet_is_waited_for(client: Client, server: Server) -> None:
    for _turn in range(8):
        server.say(500, {"message": "Internal error occurred: failed calling webhook"})
    client.apply("/x", {})
    assert len(server.asked) == 9


def test_a_field_that_the_server_does_not_know_is_not_asked_for_again(client: Client, server: Server) -> None:
    server.say(500, {"message": "failed to create typed patch object: .spec.x: field not declared in schema"})
    with pytest.raises(ApiError, match="not declared"):
        client.apply("/x", {})
    assert len(server.asked) == 1


def test_429_of_an_eviction_is_the_callers(client: Client, server: Server, clock: Clock) -> None:
    server.say(429, {"message": "Cannot evict pod"})
    with pytest.raises(ApiError) as failed:
        client.create("/eviction", {}, retry_busy=False)
    assert failed.value.status == 429
    assert clock.slept == []


def test_one_connection_serves_many_requests(client: Client, server: Server) -> None:
    for _turn in range(5):
        client.get("/version")
    assert len({asked["port"] for asked in server.asked}) == 1


def test_an_unreachable_server_is_one_clear_error_soon(clock: Clock) -> None:
    client = Client(lambda: Connection("http://127.0.0.1:1"), sleep=clock.sleep, clock=lambda: clock.now)
    with pytest.raises(Unreachable) as failed:
        client.each(lambda number: client.get(f"/{number}"), range(50))
    assert failed.value.cause == ("the API server http://127.0.0.1:1 cannot be reached: [Errno 111] Connection refused")
    assert failed.value.status == 0
    assert clock.now < 60


# Credentials


def test_refused_credentials_are_renewed_once(server: Server, clock: Clock) -> None:
    tokens = iter(["old", "new", "never"])
    client = Client(lambda: Connection(server.url, headers={"authorization": next(tokens)}), sleep=clock.sleep)
    server.say(401)
    client.get("/version")
    assert [asked["headers"]["authorization"] for asked in server.asked] == ["old", "new"]
    server.say(401)
    server.say(401)
    with pytest.raises(ApiError, match="does not accept the credentials"):
        client.get("/version")
    assert len(server.asked) == 4


def test_many_refused_requests_renew_once(server: Server) -> None:
    made: list[int] = []
    barrier = threading.Barrier(4)

    def connect() -> Connection:
        made.append(1)
        return Connection(server.url, headers={"authorization": str(len(made))})

    client = Client(connect)

    def ask(number: int) -> None:
        barrier.wait()
        client.get(f"/{number}")

    for _turn in range(4):
        server.say(401)
    client.each(ask, range(4))
    # Requests that began with the old credentials share the renewal; one that came later may have needed its own.
    assert len(made) <= 5
    assert all(asked["headers"]["authorization"] in "12345" for asked in server.asked)


@pytest.mark.parametrize(
    ("options", "environment", "header"),
    [
        ({"api_key": "abc"}, {}, "Bearer abc"),
        ({"username": "u", "password": "p"}, {}, "Basic dTpw"),
        ({}, {"K8S_AUTH_API_KEY": "def"}, "Bearer def"),
    ],
)
def test_credentials_from_options_and_environment(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    environment: dict[str, str],
    header: str,
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    Client(connector({"host": f"{server.url}/", **options})).get("/version")
    assert server.asked[0]["headers"]["authorization"] == header
    assert server.asked[0]["path"] == "/version"


def _kubeconfig(url: str, **user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "v"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}, {"name": "v", "user": {"token": "second"}}],
    }


def test_kubeconfig_as_file_and_as_dictionary(server: Server, tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("from-file")
    path = tmp_path / "config"
    path.write_text(json.dumps(_kubeconfig(server.url, tokenFile=str(token))))
    client = Client(connector({"kubeconfig": str(path)}))
    client.get("/version")
    token.write_text("renewed")
    server.say(401)
    client.get("/version")
    Client(connector({"kubeconfig": _kubeconfig(server.url), "context": "two"})).get("/version")
    seen = [asked["headers"]["authorization"] for asked in server.asked]
    assert seen == ["Bearer from-file", "Bearer from-file", "Bearer renewed", "Bearer second"]


def _seen(connection: Connection) -> dict[str, Any]:
    """A connection as it can be compared: what files hold, not where they are."""
    files = {"ca_certs", "cert_file", "key_file"} & connection.pool.keys()
    pool = {**connection.pool, **{name: Path(connection.pool[name]).read_bytes() for name in files}}
    return {"url": connection.url, "pool": pool, "headers": connection.headers, "proxy": connection.proxy}


_LOGIN = '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'
_B64 = base64.b64encode(b"a certificate").decode()


@pytest.mark.parametrize(
    ("cluster", "user", "plain"),
    [
        ({}, {"token": "x"}, True),
        ({"certificate-authority": "ca.crt"}, {"client-certificate": "u.crt", "client-key": "u.key"}, True),
        ({"certificate-authority-data": _B64}, {"client-certificate-data": _B64, "client-key-data": _B64}, True),
        ({"certificate-authority-data": _B64, "certificate-authority": "ca.crt"}, {"token": ""}, True),
        ({"insecure-skip-tls-verify": True, "tls-server-name": "api.bank.test"}, {}, True),
        ({"insecure-skip-tls-verify": False}, {"token": "x", "client-certificate": "u.crt"}, True),
        ({"proxy-url": "http://proxy.test:3128"}, {"token": "x"}, False),
        ({}, {"tokenFile": "token"}, False),
        (
            {},
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/echo", "args": [_LOGIN]}},
            False,
        ),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_plain_kubeconfig_is_read_as_the_package_reads_it(
    cluster: dict[str, Any],
    user: dict[str, Any],
    plain: bool,
    as_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not as_file:  # files are looked for beside the kubeconfig, and without one where the process is
        monkeypatch.chdir(tmp_path)
    for name in ("ca.crt", "u.crt", "u.key", "token"):
        (tmp_path / name).write_text(f"this is {name}")
    content = _kubeconfig("https://api.bank.test:6443/", **user)
    content["clusters"][0]["cluster"].update(cluster)
    (tmp_path / "config").write_text(json.dumps(content))
    connect = connector({"kubeconfig": str(tmp_path / "config") if as_file else content})
    read = []
    original = kube_client._configuration
    monkeypatch.setattr(kube_client, "_configuration", lambda options: read.append(1) or original(options))
    ours = _seen(connect())
    assert bool(read) is not plain
    monkeypatch.setattr(kube_client, "_plain", lambda options: None)
    assert ours == _seen(connect())


def test_a_kubeconfig_is_left_to_the_package_where_the_environment_has_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    connection = connector({"kubeconfig": _kubeconfig("https://api.bank.test:6443", token="x")})()
    assert connection.proxy == {"proxy_url": "http://proxy.test:3128", "proxy_headers": None}


def test_a_file_that_a_plain_kubeconfig_names_and_that_is_not_there_is_one_error() -> None:
    kubeconfig = _kubeconfig("https://api.bank.test:6443", **{"client-certificate": "/nowhere/u.crt"})
    with pytest.raises(Unreachable, match=r"/nowhere/u\.crt"):
        connector({"kubeconfig": kubeconfig})()


def test_impersonation(server: Server) -> None:
    options = {"host": server.url, "api_key": "x", "impersonate_user": "jane", "impersonate_groups": ["a", "b"]}
    Client(connector(options)).get("/version")
    headers = server.asked[0]["headers"]
    assert headers["Impersonate-User"] == "jane"


def test_a_proxy_is_asked_unless_no_proxy_says_otherwise(server: Server) -> None:
    options = {"host": "http://api.test", "api_key": "x", "proxy": server.url}
    Client(connector(options)).get("/version")
    assert server.asked[0]["headers"]["Host"] == "api.test"
    direct = {**options, "host": server.url, "proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
    Client(connector(direct)).get("/version")
    assert len(server.asked) == 2


@pytest.mark.parametrize("kubeconfig", ["/nowhere/config", {"apiVersion": "v1"}])
def test_no_configuration_is_one_error(kubeconfig: Any) -> None:
    with pytest.raises(Unreachable) as failed:
        Client(connector({"kubeconfig": kubeconfig}))
    assert "no usable Kubernetes configuration" in failed.value.cause
    assert "K8S_AUTH_KUBECONFIG" in failed.value.next_step


# Reading collections


def _page(names: str, following: str = "") -> dict[str, Any]:
    items = [{"metadata": {"name": name, "uid": name}} for name in names]
    return {"items": items, "metadata": {"continue": following}}


def test_list_reads_page_by_page(client: Client, server: Server) -> None:
    server.say(200, _page("ab", "next"))
    server.say(200, _page("c"))
    names = [item["metadata"]["name"] for item in client.list("/pods", labels="a=b", fields="c=d", page=2)]
    assert names == ["a", "b", "c"]
    assert server.asked[0]["query"] == {"labelSelector": "a=b", "fieldSelector": "c=d", "limit": "2"}
    assert server.asked[1]["query"]["continue"] == "next"


def test_a_snapshot_that_is_gone_is_read_from_the_start(client: Client, server: Server) -> None:
    server.say(200, _page("ab", "next"))
    server.say(410, {"reason": "Expired"})
    server.say(200, _page("abcd"))
    assert [item["metadata"]["name"] for item in client.list("/pods")] == ["a", "b", "c", "d"]


def test_metadata_only_is_asked_for(client: Client, server: Server) -> None:
    server.say(200, _page("a"))
    list(client.list("/pods", metadata_only=True))
    assert "PartialObjectMetadataList" in server.asked[0]["headers"]["Accept"]


# Writing


def test_apply_says_whether_it_is_new(client: Client, server: Server) -> None:
    server.say(201, {"kind": "A"})
    server.say(200, {"kind": "A"})
    assert client.apply("/x", {"a": 1}) == (True, {"kind": "A"})
    assert client.apply("/x", {"a": 1}, force=True, dry_run=True) == (False, {"kind": "A"})
    first, second = server.asked
    assert first["headers"]["Content-Type"] == "application/apply-patch+yaml"
    assert first["query"] == {"fieldManager": "banking.platform", "fieldValidation": "Strict", "force": "false"}
    assert second["query"]["force"] == "true"
    assert second["query"]["dryRun"] == "All"


def test_delete_names_the_object_and_a_dry_run_says_so_in_the_body(client: Client, server: Server) -> None:
    server.say(404, {"message": "gone"})
    assert client.delete("/x", uid="u1", dry_run=True) is False
    assert server.asked[0]["body"] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u1"},
        "dryRun": ["All"],
    }


def test_each_gives_failures_in_their_places(client: Client, server: Server) -> None:
    def work(number: int) -> int:
        if number == 1:
            raise Failure("one")
        return number

    results = client.each(work, range(3))
    assert [str(one) for one in results] == ["0", "one", "2"]


def test_each_stops_when_the_server_is_gone(client: Client) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        raise Unreachable("gone")

    with pytest.raises(Unreachable):
        client.each(work, range(1000))
    assert len(begun) < 1000


# Errors

_FORBIDDEN = (
    'deployments.apps "api" is forbidden: User "jane" cannot patch resource "deployments" in API group "apps" '
    'in the namespace "core"'
)


@pytest.mark.parametrize(
    ("status", "body", "kind", "cause"),
    [
        (403, {"message": _FORBIDDEN}, Forbidden, "jane has no right to patch deployments.apps in namespace core"),
        (
            403,
            {"message": 'User "jane" cannot list resource "nodes" in API group "" at the cluster scope'},
            Forbidden,
            "jane has no right to list nodes in the whole cluster",
        ),
        (403, {"message": "exceeded quota"}, Forbidden, "exceeded quota"),
        (404, {"message": "not found"}, NotFound, "not found"),
        (409, {"message": "conflict", "reason": "Conflict"}, Conflict, "conflict"),
        (422, {"message": "is invalid", "reason": "Invalid"}, ApiError, "is invalid"),
        (502, b"<html>Bad Gateway</html>", ApiError, "<html>Bad Gateway</html> (502)"),
        (400, b"[]", ApiError, "[] (400)"),
    ],
)
def test_errors_say_what_and_where(status: int, body: Any, kind: type[ApiError], cause: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = failure_of("PATCH", "/path", status, data)
    assert failure.__class__ == kind
    assert failure.cause == cause
    assert (failure.method, failure.path, failure.status) == ("PATCH", "/path", status)


def test_names_are_escaped_in_paths() -> None:
    assert kube_client.escape("system:node/a b") == "system:node%2Fa%20b"


# Discovery


def _aggregated(*groups: tuple[str, str, str, bool]) -> dict[str, Any]:
    return {
        "kind": "APIGroupDiscoveryList",
        "items": [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "freshness": "Stale" if stale else "Current",
                        "resources": []
                        if stale
                        else [
                            {
                                "resource": f"{kind.lower()}s",
                                "responseKind": {"kind": kind},
                                "scope": "Namespaced",
                                "subresources": [{"subresource": "status"}],
                            }
                        ],
                    }
                ],
            }
            for group, version, kind, stale in groups
        ],
    }


def test_aggregated_discovery_takes_two_requests(client: Client, server: Server) -> None:
    server.say(200, _aggregated(("", "v1", "Pod", False)))
    server.say(200, _aggregated(("apps", "v1", "Deployment", False), ("down.test", "v1", "Thing", True)))
    discovery = Discovery(client)
    found = discovery.resource("apps/v1", "Deployment")
    assert found is not None
    assert found.path("core", "api", "scale") == "/apis/apps/v1/namespaces/core/deployments/api/scale"
    assert found.has_status
    pod = discovery.resource("v1", "Pod")
    assert pod is not None
    assert pod.path() == "/api/v1/pods"
    assert discovery.resource("apps/v2", "Deployment") is None
    assert discovery.stale("down.test/v1")
    assert discovery.preferred("apps", "Deployment") == found
    assert len(server.asked) == 2


def test_discovery_by_group_asks_for_what_is_needed_only(client: Client, server: Server) -> None:
    versions = [{"groupVersion": "apps/v1beta1"}, {"groupVersion": "apps/v1"}]
    server.say(200, {"kind": "APIVersions", "versions": ["v1"]})
    apps = {"name": "apps", "preferredVersion": {"groupVersion": "apps/v1"}, "versions": versions}
    server.say(200, {"kind": "APIGroupList", "groups": [apps]})
    server.say(
        200,
        {
            "resources": [
                {"name": "deployments", "kind": "Deployment", "namespaced": True},
                {"name": "deployments/status", "kind": "Deployment", "namespaced": True},
            ]
        },
    )
    discovery = Discovery(client)
    found = discovery.preferred("apps", "Deployment")
    assert found is not None
    assert (found.api_version, found.has_status) == ("apps/v1", True)
    assert [asked["path"] for asked in server.asked] == ["/api", "/apis", "/apis/apps/v1"]
