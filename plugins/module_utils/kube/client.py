# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to a Kubernetes API server: JSON in, JSON out, over one pool of kept-alive connections.

The package `kubernetes` finds the server and the credentials (kubeconfig, context, in-cluster, exec plugins, proxies)
wherever there is more than a server, certificates and a token: loading it takes longer than a converged run of 300
objects. Its model classes, which are slow, are not used. Everything that can go wrong comes as `ApiError`.
"""

from __future__ import annotations

import atexit
import base64
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List  # List: the client has a method of the name `list`
from urllib.parse import quote, urlencode
from urllib.request import getproxies

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    AGAIN,
    MOST_INTERNAL_ERRORS,
    PARALLEL,
    Item,
    Result,
    pause_before,
    root_of,
    side_by_side,
    words_of,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

FIELD_MANAGER = "banking.platform"

_PAGE = 500


class ApiError(Failure):
    """An answer that is not the one asked for.

    Attributes:
        method, path: the request.
        status: the HTTP status; 0 when there was no answer.
        reason: the API's word for it: Conflict, Forbidden, Invalid, NotFound, AlreadyExists, ...
        body: the API's Status object, or {}.
    """

    def __init__(
        self,
        cause: str,
        next_step: str = "",
        *,
        method: str = "",
        path: str = "",
        status: int = 0,
        reason: str = "",
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(cause, next_step)
        self.method, self.path, self.status, self.reason = method, path, status, reason
        self.body = body or {}

    @property
    def causes(self) -> list[dict[str, Any]]:
        """The details of the Status object: one dict a field, with reason, message and field."""
        return (self.body.get("details") or {}).get("causes") or []


class Unreachable(ApiError):
    """There is no API server, or none that answers."""


class Forbidden(ApiError):
    """A right is missing."""


class Conflict(ApiError):
    """Another field manager owns a field, or the object has changed meanwhile."""


class NotFound(ApiError):
    """There is no such object, namespace or kind."""


class Connection:
    """Where the server is and who we are: what a pool of connections is made from.

    Args:
        url: the server's URL.
        pool: arguments of urllib3's PoolManager.
        headers: sent with each request.
        proxy: arguments of urllib3's ProxyManager, or empty.
        user: how errors call it.
    """

    def __init__(
        self,
        url: str,
        pool: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: Mapping[str, Any] | None = None,
        user: str = "",
    ) -> None:
        self.url, self.pool, self.headers = url.rstrip("/"), dict(pool or {}), dict(headers or {})
        self.proxy, self.user = dict(proxy or {}), user

    def manager(self, size: int) -> Any:
        """Make the pool."""
        import urllib3

        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        options = {"maxsize": size, "block": True, "retries": False, **self.pool}
        if self.proxy:
            if str(self.proxy["proxy_url"]).startswith("socks"):
                from urllib3.contrib.socks import SOCKSProxyManager

                return SOCKSProxyManager(self.proxy["proxy_url"], **options)
            return urllib3.ProxyManager(**self.proxy, **options)
        return urllib3.PoolManager(**options)


class Client:
    """Requests to one API server.

    Args:
        connect: gives the connection, and gives it anew when the credentials have expired.
        retry_for: how long, in seconds, a request is tried again when the server is away or busy.
        sleep, clock: for tests.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        retry_for: float = 60,
        parallel: int = PARALLEL,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect, self._sleep, self._clock = connect, sleep, clock
        self.retry_for, self.parallel = retry_for, parallel
        self.requests: dict[str, int] = {}
        self._lock = threading.Lock()
        self._connection = connect()
        self._pool = self._connection.manager(parallel)
        self._reached = False
        self._stopped = threading.Event()

    @property
    def url(self) -> str:
        """The server's URL, as errors name it."""
        return self._connection.url

    # What is asked for

    def get(self, path: str, accept: str = "application/json") -> dict[str, Any]:
        """Read one object."""
        return self._request("GET", path, accept=accept)[1]

    def find(self, path: str) -> dict[str, Any] | None:
        """Read one object, or None when it isn't there."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def list(
        self, path: str, labels: str = "", fields: str = "", metadata_only: bool = False, page: int = _PAGE
    ) -> Iterator[dict[str, Any]]:
        """Read a collection page by page, one object at a time; they come without apiVersion and kind."""
        accept = "application/json"
        if metadata_only:
            accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        wanted = {"labelSelector": labels, "fieldSelector": fields, "limit": str(page)}
        query = {key: value for key, value in wanted.items() if value}
        seen: set[str] = set()
        restarts = 0
        while True:
            try:
                found = self._request("GET", path, query=query, accept=accept)[1]
            except ApiError as error:
                # The snapshot that `continue` pointed into is gone (410): from the start, leaving out what was given.
                if error.status != 410 or "continue" not in query or restarts >= 3:
                    raise
                restarts += 1
                query.pop("continue")
                continue
            for item in found.get("items") or ():
                uid = item["metadata"].get("uid", "")
                if not restarts or uid not in seen:
                    yield item
                seen.add(uid)
            query["continue"] = (found.get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return

    def apply(
        self, path: str, body: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> tuple[bool, dict[str, Any]]:
        """Apply one object server-side, strictly.

        Returns:
            Whether it is new, and the object.

        Raises:
            Conflict: another field manager owns a field, and `force` is not set.
        """
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "true" if force else "false"}
        status, answer = self._request(
            "PATCH", path, query=_dry(query, dry_run), body=body, content="application/apply-patch+yaml"
        )
        return status == 201, answer

    def patch(self, path: str, body: Mapping[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Change one object by a merge patch."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._request(
            "PATCH", path, query=_dry(query, dry_run), body=body, content="application/merge-patch+json"
        )[1]

    def json_patch(self, path: str, operations: Sequence[Mapping[str, Any]], dry_run: bool = False) -> dict[str, Any]:
        """Change one object by a JSON patch; its metadata come back."""
        return self._request(
            "PATCH",
            path,
            query=_dry({"fieldManager": FIELD_MANAGER}, dry_run),
            body=operations,
            content="application/json-patch+json",
            accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
        )[1]

    def create(self, path: str, body: Mapping[str, Any], retry_busy: bool = True) -> dict[str, Any]:
        """Create one object, or call a subresource such as `eviction`; `retry_busy=False` hands 429 to the caller."""
        query = {"fieldManager": FIELD_MANAGER}
        return self._request("POST", path, query=query, body=body, retry_busy=retry_busy)[1]

    def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace one object as it was read: a change in between is a Conflict."""
        return self._request("PUT", path, query={"fieldManager": FIELD_MANAGER}, body=body)[1]

    def delete(self, path: str, uid: str = "", dry_run: bool = False, propagation: str = "Background") -> bool:
        """Delete one object, when it is still the one with this uid. False when it wasn't there."""
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            # In the body: beside one, the server does not look for options in the query.
            body["dryRun"] = ["All"]
        try:
            self._request("DELETE", path, body=body)
        except NotFound:
            return False
        return True

    def version(self) -> dict[str, Any]:
        """The server's version: major, minor, gitVersion."""
        return self.get("/version")

    # Many at once

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> List[Result | Failure]:
        """Do the same with many items, a few at a time.

        Returns:
            For each item, in order, what came of it: a result, or the Failure.

        Raises:
            Unreachable: the server is gone; what had not begun is left.
        """
        return side_by_side(work, items, self.parallel, Unreachable, self._stopped)

    # One request

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        content: str = "application/json",
        accept: str = "application/json",
        retry_busy: bool = True,
    ) -> tuple[int, dict[str, Any]]:
        import urllib3

        url = path + (f"?{urlencode(query)}" if query else "")
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else None
        deadline = self._clock() + self.retry_for
        attempt = internal = 0
        refreshed = False
        while True:
            with self._lock:
                connection, pool = self._connection, self._pool
                self.requests[method] = self.requests.get(method, 0) + 1
            headers = {**connection.headers, "Accept": accept}
            if data is not None:
                headers["Content-Type"] = content
            hint = ""
            try:
                answer = pool.request(
                    method,
                    connection.url + url,
                    body=data,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=10, read=65),
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError as error:
                failure: ApiError = self._unreachable(connection, method, path, error)
                # A certificate that isn't trusted will not be by waiting; nor is there sense in waiting long for a
                # server that was not there in the first place.
                if isinstance(root_of(error), urllib3.exceptions.SSLError):
                    raise failure from error
                if not self._reached:
                    deadline = min(deadline, self._clock() + max(0.0, 5 - attempt))
            else:
                self._reached = True
                if answer.status < 300:
                    return answer.status, _decoded(answer.data)
                failure = failure_of(method, path, answer.status, answer.data, connection.user)
                if answer.status == 401 and not refreshed:
                    refreshed = True
                    self._refresh(connection)
                    continue
                if answer.status not in AGAIN or (answer.status == 429 and not retry_busy):
                    raise failure
                if "failed to create typed patch object" in failure.cause:
                    raise failure  # what older servers say, as 500, of a field that they don't know
                # A 500 that is not a webhook's which isn't up yet.
                internal += answer.status == 500 and "webhook" not in failure.cause
                if internal > MOST_INTERNAL_ERRORS:
                    raise failure
                hint = answer.headers.get("Retry-After") or ""
            attempt += 1
            pause = pause_before(attempt, hint)
            if self._stopped.is_set() or self._clock() + pause > deadline:
                raise failure
            self._sleep(pause)

    def _refresh(self, used: Connection) -> None:
        """Ask for credentials anew, once for all the requests that the old ones were refused for."""
        with self._lock:
            if self._connection is used:
                fresh = self._connect()
                if fresh.url != used.url or fresh.pool != used.pool or fresh.proxy != used.proxy:
                    self._pool = fresh.manager(self.parallel)
                self._connection = fresh

    @staticmethod
    def _unreachable(connection: Connection, method: str, path: str, error: Exception) -> Unreachable:
        return Unreachable(
            f"the API server {connection.url} cannot be reached: {words_of(error)}",
            "check that it runs, and kubeconfig, context or host; behind a proxy, proxy and no_proxy",
            method=method,
            path=path,
            reason="Unreachable",
        )


def _dry(query: dict[str, str], dry_run: bool) -> dict[str, str]:
    return {**query, "dryRun": "All"} if dry_run else query


def _decoded(data: bytes) -> dict[str, Any]:
    return json.loads(data) if data else {}


_DENIED = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) (?:resource "(?P<resource>[^"]*)"|path "(?P<path>[^"]*)")'
    r'(?: in API group "(?P<group>[^"]*)")?(?P<where> in the namespace "(?P<namespace>[^"]*)"| at the cluster scope)?'
)


def failure_of(method: str, path: str, status: int, data: bytes, user: str = "") -> ApiError:
    """Make an error of an answer.

    Args:
        method, path: the request.
        status: the HTTP status.
        data: the answer's body: a Status object, or whatever a proxy says.
        user: who asked, for errors of authentication.
    """
    try:
        body = json.loads(data)
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    said = str(body.get("message") or data[:300].decode(errors="replace").strip() or "no reason given")
    about: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": status,
        "reason": str(body.get("reason") or ""),
        "body": body,
    }
    if status == 401:
        return ApiError(
            f"the API server does not accept the credentials{f' of {user}' if user else ''} (401)",
            "log in again, or renew the token or certificate in the kubeconfig",
            **about,
        )
    if status == 403:
        denied = _DENIED.search(said)
        if not denied:
            return Forbidden(said, "", **about)
        resource = denied["resource"] or denied["path"]
        resource += f".{denied['group']}" if denied["group"] else ""
        where = f"in namespace {denied['namespace']}" if denied["namespace"] else "in the whole cluster"
        return Forbidden(
            f"{denied['user']} has no right to {denied['verb']} {resource} {where}",
            f"bind it a role with the verb {denied['verb']} on {resource}",
            **about,
        )
    if status == 404:
        return NotFound(said, "", **about)
    if status == 409:
        return Conflict(said, "", **about)
    if status == 422:
        return ApiError(said, "", **about)
    return ApiError(f"{said} ({status})" if str(status) not in said else said, "", **about)


# Where the server is


def connector(options: Mapping[str, Any]) -> Callable[[], Connection]:
    """Give the function that finds server and credentials by kubernetes.core's usual options.

    Args:
        options: kubeconfig, context, host, api_key, username, password, client_cert, client_key, ca_cert,
            validate_certs, proxy, no_proxy, proxy_headers, impersonate_user, impersonate_groups; each may come from
            K8S_AUTH_* in the environment instead.

    Raises:
        ApiError (by the function): there is no usable configuration.
    """
    return lambda: _connection({name: _option(options, name) for name in _OPTIONS})


# Option: the name in the environment after K8S_AUTH_, where it is another one.
_OPTIONS = {
    "kubeconfig": "",
    "context": "",
    "host": "",
    "api_key": "",
    "username": "",
    "password": "",
    "client_cert": "CERT_FILE",
    "client_key": "KEY_FILE",
    "ca_cert": "SSL_CA_CERT",
    "validate_certs": "VERIFY_SSL",
    "proxy": "",
    "no_proxy": "",
    "proxy_headers": "",
    "impersonate_user": "",
    "impersonate_groups": "",
}


def _option(options: Mapping[str, Any], name: str) -> Any:
    given = options.get(name)
    if given is not None:
        return given
    if name == "proxy_headers":
        found = {key: os.environ.get(f"K8S_AUTH_PROXY_HEADERS_{key.upper()}") for key in _PROXY_HEADERS}
        return {key: value for key, value in found.items() if value} or None
    text = os.environ.get(f"K8S_AUTH_{name.upper()}") or os.environ.get(f"K8S_AUTH_{_OPTIONS[name] or '-'}")
    if text is None:
        return None
    if name == "validate_certs":
        return text.lower() not in ("0", "false", "no")
    return [word for word in text.split(",") if word] if name == "impersonate_groups" else text


_PROXY_HEADERS = ("proxy_basic_auth", "basic_auth", "user_agent")


def _connection(options: Mapping[str, Any]) -> Connection:
    import urllib3

    from_options = options["host"] and (
        options["api_key"] or (options["username"] and options["password"]) or options["client_cert"]
    )
    configuration = None if from_options else _plain(options) or _configuration(options)
    headers = {"User-Agent": FIELD_MANAGER}

    def setting(option: str, name: str) -> Any:
        return options[option] if options[option] is not None else getattr(configuration, name, None)

    verify = setting("validate_certs", "verify_ssl")
    pool = {
        "cert_reqs": "CERT_NONE" if verify is False else "CERT_REQUIRED",
        "ca_certs": setting("ca_cert", "ssl_ca_cert"),
        "cert_file": setting("client_cert", "cert_file"),
        "key_file": setting("client_key", "key_file"),
        "server_hostname": getattr(configuration, "tls_server_name", None),
    }
    pool = {key: value for key, value in pool.items() if value}
    if options["api_key"]:
        headers["authorization"] = f"Bearer {options['api_key']}"
    elif options["username"] and options["password"]:
        headers.update(urllib3.util.make_headers(basic_auth=f"{options['username']}:{options['password']}"))
    elif configuration is not None and configuration.authorization:
        headers["authorization"] = configuration.authorization
    if options["impersonate_user"]:
        headers["Impersonate-User"] = options["impersonate_user"]
    url = str(options["host"] or configuration.host).rstrip("/")  # type: ignore[union-attr]
    if not url.startswith("https:"):
        pool.clear()
    proxy = _proxy(url, setting("proxy", "proxy"), setting("no_proxy", "no_proxy"), options["proxy_headers"])
    if options["impersonate_groups"]:
        groups = urllib3.HTTPHeaderDict(headers)
        for group in options["impersonate_groups"]:
            groups.add("Impersonate-Group", group)
        return Connection(url, pool, groups, proxy)
    return Connection(url, pool, headers, proxy, user=options["context"] or "")


def _proxy(url: str, proxy: str | None, no_proxy: str | None, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    if not proxy:
        return {}
    import urllib3
    from kubernetes.client.rest import should_bypass_proxies

    if should_bypass_proxies(url, no_proxy or ""):
        return {}
    return {"proxy_url": proxy, "proxy_headers": urllib3.util.make_headers(**headers) if headers else None}


# What a kubeconfig says when it names a server and how to log in there, and no more.
_PLAIN_CLUSTER = {
    "server",
    "certificate-authority",
    "certificate-authority-data",
    "insecure-skip-tls-verify",
    "tls-server-name",
}
_PLAIN_USER = {
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "token",
}


@dataclass(frozen=True)
class _Server:
    """A server and how to log in there, with the package's names. Files are paths; authorization is a header."""

    host: str
    ssl_ca_cert: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify_ssl: bool = True
    tls_server_name: str | None = None
    authorization: str | None = None
    proxy: str | None = None
    no_proxy: str | None = None


def _plain(options: Mapping[str, Any]) -> _Server | None:
    """Read a kubeconfig that names a server, certificates and a token: for that the package need not be loaded.

    Returns:
        None where there is anything that is the package's business: another field, a proxy, places to search, an error.
    """
    import yaml

    if not options["kubeconfig"] or getproxies():
        return None
    content, folder = options["kubeconfig"], Path()
    try:
        if not isinstance(content, Mapping):
            folder = Path(content).expanduser().resolve().parent
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            content = yaml.load(Path(content).expanduser().read_bytes(), loader)  # noqa: S506 (both are safe)

        def entry(kind: str, name: str) -> Mapping[str, Any]:
            return next(one for one in content[f"{kind}s"] if one["name"] == name)[kind]

        context = entry("context", options["context"] or content["current-context"])
        cluster, user = entry("cluster", context["cluster"]), entry("user", context["user"])
        if not cluster.keys() <= _PLAIN_CLUSTER or not user.keys() <= _PLAIN_USER:
            return None

        def file(owner: Mapping[str, Any], field: str) -> str | None:
            if owner.get(f"{field}-data"):
                return _temporary(base64.b64decode(owner[f"{field}-data"], validate=True))
            return str(folder / owner[field]) if owner.get(field) else None

        found = _Server(
            host=cluster["server"],
            ssl_ca_cert=file(cluster, "certificate-authority"),
            cert_file=file(user, "client-certificate"),
            key_file=file(user, "client-key"),
            verify_ssl=not cluster.get("insecure-skip-tls-verify"),
            tls_server_name=cluster.get("tls-server-name"),
            authorization=f"Bearer {user['token']}" if user.get("token") else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, yaml.YAMLError):
        return None
    files = (found.ssl_ca_cert, found.cert_file, found.key_file)
    return found if all(os.path.isfile(name) for name in files if name) else None


def _temporary(content: bytes) -> str:
    """A file that only this user can read and that goes with the process: OpenSSL takes certificates from files."""
    handle, name = tempfile.mkstemp(prefix="platform-kube-")
    atexit.register(Path(name).unlink, missing_ok=True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return name


def _configuration(options: Mapping[str, Any]) -> _Server:
    """Let the package `kubernetes` read what it knows how to read."""
    try:
        from kubernetes import config
        from kubernetes.client import Configuration
    except ImportError as error:
        raise ApiError(
            f"the Python package kubernetes is missing: {error}", "install requirements.txt on the controller"
        ) from error
    configuration = Configuration()
    kubeconfig, context = options["kubeconfig"], options["context"]
    try:
        if isinstance(kubeconfig, Mapping):
            config.load_kube_config_from_dict(kubeconfig, context, configuration, persist_config=False)
        elif kubeconfig or context:
            config.load_kube_config(kubeconfig or None, context, configuration, persist_config=False)
        else:
            try:
                config.load_incluster_config(configuration)
            except config.ConfigException:
                config.load_kube_config(None, None, configuration, persist_config=False)
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        where = kubeconfig if isinstance(kubeconfig, str) else "the configuration given" if kubeconfig else "any place"
        raise Unreachable(
            f"no usable Kubernetes configuration in {where}: {error}",
            "name one by kubeconfig (and context), by host and api_key, or by K8S_AUTH_KUBECONFIG",
            reason="Unreachable",
        ) from error
    token = configuration.get_api_key_with_prefix("BearerToken") or configuration.api_key.get("authorization")
    return _Server(
        host=configuration.host,
        ssl_ca_cert=configuration.ssl_ca_cert,
        cert_file=configuration.cert_file,
        key_file=configuration.key_file,
        verify_ssl=configuration.verify_ssl,
        tls_server_name=configuration.tls_server_name,
        authorization=token,
        proxy=configuration.proxy,
        no_proxy=configuration.no_proxy,
    )


def escape(part: str) -> str:
    """A name as a part of a path: RBAC names may hold colons and slashes."""
    return quote(part, safe=":")
