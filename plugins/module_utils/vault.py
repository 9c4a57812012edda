# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the HTTP API of Vault and OpenBao: members, log-in, and errors that say what is missing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, List  # List: the client has a method of the name `list`

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    PACE,
    Answer,
    Forbidden,
    HttpError,
    NotFound,
    Session,
    Unreachable,
    Untrusted,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Options of the modules that talk to Vault; documented in plugins/doc_fragments/vault.py.
CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "list", "elements": "str"},
    "ca_path": {"type": "path", "aliases": ["ca_cert"]},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "namespace": {"type": "str"},
    "auth_method": {"type": "str", "choices": ["token", "approle", "cert"], "default": "token"},
    "auth_mount": {"type": "str"},
    "token": {"type": "str", "no_log": True},
    "token_file": {"type": "path", "no_log": False},
    "role_id": {"type": "str"},
    "secret_id": {"type": "str", "no_log": True},
    "cert_role": {"type": "str"},
    **PACE,
}

# Option: its name in the environment, the same as for Vault's own program.
_ENVIRONMENT = {
    "url": "VAULT_ADDR",
    "ca_path": "VAULT_CACERT",
    "client_cert": "VAULT_CLIENT_CERT",
    "client_key": "VAULT_CLIENT_KEY",
    "namespace": "VAULT_NAMESPACE",
    "token": "VAULT_TOKEN",
    "role_id": "VAULT_ROLE_ID",
    "secret_id": "VAULT_SECRET_ID",
}
_TOKEN_FILE = "~/.vault-token"  # noqa: S105 - where `vault login` puts it

# What a request needs: any one of these.
_CAPABILITIES = {
    "GET": ("read",),
    "LIST": ("list",),
    "POST": ("update", "create"),
    "PUT": ("update", "create"),
    "PATCH": ("patch",),
    "DELETE": ("delete",),
}


class Sealed(HttpError):
    """Every member that answers is sealed."""


class Uninitialised(Sealed):
    """The server has never been initialised."""


class TokenRefused(Forbidden):
    """The token is expired, revoked, or of another server."""


class _Members(Session):
    """The members, in Vault's own terms."""

    def elsewhere(self, answer: Answer) -> bool:
        return _sealed(answer.status, self.said(answer))

    def passing(self, answer: Answer) -> bool:
        # What a standby says while a new active member is elected; nothing was done then.
        electing = answer.status == 500 and "active cluster node not found" in answer.text
        # What KV version 2 says for a moment after it was mounted.
        upgrading = answer.status == 400 and "Upgrading from non-versioned" in answer.text
        return super().passing(answer) or electing or upgrading


def _sealed(status: int, said: str) -> bool:
    return status == 503 and "is sealed" in said


class Vault:
    """Requests to one Vault or OpenBao. Paths are those of the API without `/v1/`.

    Args:
        options: as CONNECTION has them; what is not given is taken from the environment (VAULT_ADDR and so on).
        sleep, clock: for tests.

    Raises:
        Failure: an option is missing or unusable.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = dict(options)
        self._sleep, self._clock = sleep, clock
        urls = self._option("url") or []
        self._urls: List[str] = [part for part in urls.split(",") if part] if isinstance(urls, str) else list(urls)
        if not self._urls:
            raise Failure("Vault: no URL is given", "set url, or VAULT_ADDR in the environment")
        self.session = self._session(self._urls)
        self._lock = threading.Lock()
        self._token = ""
        self._own_token = False

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._urls)})"

    def _option(self, name: str) -> Any:
        given = self._options.get(name)
        return given if given is not None else os.environ.get(_ENVIRONMENT.get(name, "-"))

    def _session(self, urls: Sequence[str]) -> Session:
        headers = {"X-Vault-Request": "true"}
        if self._option("namespace"):
            headers["X-Vault-Namespace"] = str(self._option("namespace"))
        return _Members(
            urls,
            ca_path=str(self._option("ca_path") or ""),
            client_cert=str(self._option("client_cert") or ""),
            client_key=str(self._option("client_key") or ""),
            headers=headers,
            timeout=float(self._options.get("timeout") or 65),
            retry_for=float(self._options.get("retry_for") or 0),
            parallel=int(self._options.get("parallel") or 8),
            name="Vault",
            sleep=self._sleep,
            clock=self._clock,
        )

    # Members

    @property
    def urls(self) -> List[str]:
        """The members' URLs, as they were given."""
        return list(self._urls)

    def member(self, url: str) -> Vault:
        """A client of one member only, with the same options and, once there is one, the same token."""
        one = Vault({**self._options, "url": [url]}, self._sleep, self._clock)
        one._token = self._token
        return one

    def seal_status(self) -> dict[str, Any]:
        """What `sys/seal-status` says: initialized, sealed, type, t, n, progress, version, ...; needs no token."""
        return dict(self.session.request("GET", "/v1/sys/seal-status").body or {})

    def health(self) -> dict[str, Any]:
        """What `sys/health` says in any state: initialized, sealed, standby, version, cluster_name; needs no token."""
        codes = {
            f"{state}code": "200" for state in ("sealed", "uninit", "standby", "performancestandby", "drsecondary")
        }
        return dict(self.session.request("GET", "/v1/sys/health", query=codes).body or {})

    def is_there(self) -> bool:
        """Whether any member answers and is unsealed: before the first install none does.

        Raises:
            Untrusted: the wrong CA, which will not go by itself.
        """
        for url in self._urls:
            try:
                if not self.member(url).seal_status().get("sealed"):
                    return True
            except Untrusted:
                raise
            except Unreachable:
                continue
        return False

    # Requests

    def read(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Read: the answer as a whole, whose `data` is what is kept there; None when there is nothing."""
        try:
            return self.request("GET", path, query=query).body or {}
        except NotFound:
            return None

    def data(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Read what is kept at a path; None when there is nothing."""
        found = self.read(path, query)
        return None if found is None else found.get("data") or {}

    def list(self, path: str) -> List[str]:
        """The names below a path; none when there is no such path."""
        try:
            body = self.request("GET", path, query={"list": "true"}).body or {}
        except NotFound:
            return []
        return list((body.get("data") or {}).get("keys") or [])

    def write(self, path: str, body: Mapping[str, Any] | None = None, idempotent: bool = True) -> dict[str, Any]:
        """Write; the answer as a whole, {} when there is none. `idempotent=False` for what must not be done twice."""
        return self.request("POST", path, body or {}, idempotent=idempotent).body or {}

    def delete(self, path: str) -> None:
        """Delete; what is not there is deleted."""
        self.request("DELETE", path, accept=(404,))

    def secret(self, path: str) -> tuple[str, dict[str, Any], int]:
        """Read a secret of KV, whichever version its mount has.

        Args:
            path: mount and name, `kv/platform/postgresql`.

        Returns:
            The API's path of it, its fields, and its version (0: there is none; -1: KV version 1).

        Raises:
            Failure: there is no KV, or the secret was deleted.
        """
        path = path.strip("/")
        # What Vault's own program asks, to find the mount in a path: it needs no right beyond one to the secret.
        mount = self.data(f"sys/internal/ui/mounts/{path}") or {}
        if mount.get("type") not in ("kv", "generic"):
            raise Failure(
                f"there is no KV at {path.partition('/')[0]}", "mount one (vault_config), or correct the path"
            )
        base = str(mount["path"]).strip("/")
        inside = path[len(base) :].strip("/")
        if not inside:
            raise Failure("names a mount and no secret", "vault:<mount>/<path>#<field>")
        if str((mount.get("options") or {}).get("version")) != "2":
            return f"{base}/{inside}", self.data(f"{base}/{inside}") or {}, -1
        place = f"{base}/data/{inside}"
        answer = self.request("GET", place, accept=(404,))
        data = (answer.body or {}).get("data") or {}
        about = data.get("metadata") or {}
        if answer.status == 404 and about:
            raise Failure(
                f"version {about.get('version')} was deleted at {about.get('deletion_time') or 'some time'}",
                "undelete it, or remove the secret's metadata to begin anew",
            )
        return place, data.get("data") or {}, int(about.get("version") or 0)

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
        login: bool = True,
    ) -> Answer:
        """Send one request; see `Session.request`.

        Args:
            login: whether it needs a token.

        Raises:
            Sealed, Uninitialised, TokenRefused, Forbidden (with the capability that is missing), HttpError.
        """
        own = {"X-Vault-Token": self.token} if login else {}
        try:
            return self.session.request(
                method,
                f"/v1/{path.lstrip('/')}",
                body,
                query=query,
                headers={**own, **(headers or {})},
                accept=accept,
                idempotent=idempotent,
                content=content,
            )
        except Forbidden as error:
            if not login:
                raise
            listing = method == "GET" and str((query or {}).get("list")) == "true"
            raise self._forbidden(error, "LIST" if listing else method, path.strip("/")) from error
        except HttpError as error:
            if _sealed(error.status, error.said):
                raise self._sealed(error) from error
            raise

    # Who we are

    @property
    def token(self) -> str:
        """The token; the first use logs in.

        Raises:
            Failure: there is none, or the log-in is refused.
        """
        with self._lock:
            if not self._token:
                self._token = self._login()
        return self._token

    def close(self) -> None:
        """Revoke the token of a log-in of ours, and close the connections."""
        if self._own_token and self._token:
            try:
                self.request("POST", "auth/token/revoke-self", {})
            except HttpError:
                pass  # it expires by itself
            self._token, self._own_token = "", False
        self.session.close()

    def _login(self) -> str:
        method = self._options.get("auth_method") or "token"
        if method == "token":
            return self._given_token()
        mount = str(self._options.get("auth_mount") or method).strip("/")
        if method == "approle":
            body = {name: self._option(name) for name in ("role_id", "secret_id")}
            if not body["role_id"]:
                raise Failure("Vault: auth_method approle needs role_id", "set role_id, or VAULT_ROLE_ID")
            body = {name: value for name, value in body.items() if value}
        else:
            if not self._option("client_cert"):
                raise Failure("Vault: auth_method cert needs client_cert", "set client_cert and client_key")
            body = {"name": self._options["cert_role"]} if self._options.get("cert_role") else {}
        try:
            answer = self.request("POST", f"auth/{mount}/login", body, login=False, idempotent=False)
        except (Sealed, Untrusted, Unreachable):
            raise
        except HttpError as error:
            what = {"approle": "role_id and secret_id", "cert": "the client certificate"}[method]
            raise TokenRefused(
                f"Vault at {error.host}: log-in by auth/{mount} refused: {error.said or error.cause}",
                f"check {what}, and that the auth method is mounted at {mount}",
                **error.about,
            ) from error
        self._own_token = True
        return str(answer.body["auth"]["client_token"])

    def _given_token(self) -> str:
        if self._option("token"):
            return str(self._option("token")).strip()
        file = Path(self._options.get("token_file") or _TOKEN_FILE).expanduser()
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            if self._options.get("token_file"):
                raise Failure(f"Vault: token_file {file} cannot be read: {error.strerror}", "check the path") from error
            token = ""
        if not token:
            raise Failure("Vault: there is no token", "set token, token_file or VAULT_TOKEN, or another auth_method")
        return token

    # What went wrong

    def _forbidden(self, error: Forbidden, method: str, path: str) -> Forbidden:
        """Say what a 403 means: a token that is no longer good, or a capability that is missing."""
        try:
            answer = self.session.request(
                "POST",
                "/v1/sys/capabilities-self",
                {"paths": [path]},
                headers={"X-Vault-Token": self._token},
                idempotent=True,
            )
        except Forbidden as refused:
            if self._known_token():
                return error
            return TokenRefused(
                f"Vault at {error.host} refuses the token: it is expired, revoked, or of another server",
                "log in again, or give another token",
                **refused.about,
            )
        except HttpError:
            return error
        body = answer.body or {}
        has = [str(one) for one in (body.get("data") or body).get(path) or []]
        needed = _CAPABILITIES.get(method, ("sudo",))
        if any(one in has for one in needed):
            needed = ("sudo",)
        if set(has) & {"root", *(needed if needed == ("sudo",) else ())}:
            return error
        wanted = " or ".join(needed)
        return Forbidden(
            f"Vault at {error.host}: the token has not the capability {wanted} on {path} (it has {', '.join(has)})",
            f'add to one of its policies: path "{path}" {{ capabilities = ["{needed[0]}"] }}',
            **error.about,
        )

    def _known_token(self) -> bool:
        try:
            self.session.request("GET", "/v1/auth/token/lookup-self", headers={"X-Vault-Token": self._token})
        except HttpError as error:
            return error.status != 403
        return True

    def _sealed(self, error: HttpError) -> Sealed:
        try:
            initialised = self.seal_status().get("initialized", True)
        except HttpError:
            initialised = True
        where = f"Vault at {error.host}" if len(self._urls) == 1 else f"Vault at {', '.join(self._urls)}"
        if not initialised:
            return Uninitialised(
                f"{where} is not initialised", "initialise it (banking.platform.vault_operator)", **error.about
            )
        return Sealed(f"{where} is sealed", "unseal it (banking.platform.vault_operator)", **error.about)
