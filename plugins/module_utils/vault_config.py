# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Vault and OpenBao are configured with, as kinds of the engine in rest.py.

Paths and fields are those of the HTTP API: developer.hashicorp.com/vault/api-docs and openbao.org/api-docs.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, List, cast

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    Answer,
    Forbidden,
    HttpError,
    Item,
    NotFound,
    Result,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import (
    Api,
    Key,
    Kind,
    Reconciler,
    Thing,
    Wish,
    only,
    seconds,
)
from ansible_collections.banking.platform.plugins.module_utils.vault import Vault

# What a request says that it has left out, as a warning of an answer that is a success.
_IGNORED = re.compile(r"ignored these unrecognized parameters", re.IGNORECASE)
# What is not there yet, where that is not 404: the CA of SSH.
_ABSENT = re.compile(r"no default issuer currently configured|keys haven't been configured yet")
# Names of paths below which there are many of a kind.
_MANY = ("role", "roles", "keys", "certs", "static-roles")
# What the server makes for itself.
_OWN_POLICIES = ("default", "root", "response-wrapping", "control-group")
_OWN_MOUNTS = ("sys", "identity", "cubbyhole", "token", "agent-registry")
# Fields of a mount that are tuned; the rest of it is fixed when it is made.
_TUNED = (
    "default_lease_ttl",
    "max_lease_ttl",
    "listing_visibility",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
    "token_type",
)


class VaultApi:
    """Vault as the engine sees it: `data` of the answers, and what was left out of a write as a failure.

    Attributes:
        session: the requests.
        warnings: what the server warned of, once each.
        seen: nothing; what is secret in a declaration is known to the engine.
    """

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.session = vault.session
        self.warnings: list[str] = []
        self.seen: set[str] = set()
        self._lock = threading.Lock()
        self._fields: dict[str, set[str]] = {}

    def is_there(self) -> bool:
        """Whether any member answers and is unsealed: before the first install none does."""
        return self.vault.is_there()

    def close(self) -> None:
        """Close the connections."""
        self.vault.close()

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | Failure]:
        """Do the same with many items, a few at a time."""
        return self.session.each(work, items)

    def request(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Answer:
        """Send one request; every write of the configuration may be done twice, but those of keys and certificates."""
        once = "/generate/" in path or "/sign-intermediate" in path
        if method == "POST" and isinstance(body, Mapping):
            unknown = self.unknown(path, body)
            if unknown:
                raise Failure(f"Vault: {path} has no {', '.join(unknown)}", "correct the name of the field")
        try:
            answer = self.vault.request(method, path, body, query=query, idempotent=not once)
        except HttpError as error:
            if method == "GET" and error.status == 400 and _ABSENT.search(error.said):
                raise NotFound(error.cause, error.next_step, **error.about) from error
            raise
        said = answer.body or {}
        for warning in said.get("warnings") or ():
            if _IGNORED.search(warning):
                raise HttpError(f"Vault: {path}: {warning}", "correct the name of the field", method=method, path=path)
            with self._lock:
                if method != "GET" and f"{path}: {warning}" not in self.warnings:
                    self.warnings.append(f"{path}: {warning}")
        return replace(answer, body=said.get("data", said))

    def unknown(self, path: str, body: Mapping[str, Any]) -> list[str]:
        """The fields that a path does not have, by the server's own help; none where that does not say.

        A field with a wrong name is left out silently by some paths, and would differ for ever.
        """
        if path.startswith(("sys/", "identity/")):
            return []
        parts = path.split("/")
        key = "/".join(parts[:-1]) if parts[-2] in _MANY else path
        if key not in self._fields:
            try:
                said = self.vault.request("GET", path, query={"help": "1"}).body or {}
            except HttpError:
                said = {}
            self._fields[key] = _fields_in(said.get("openapi") or {})
        known = self._fields[key]
        if "plugin_name" in known:
            return []  # the connection of a database: the rest is for the plugin to know
        return sorted(set(body) - known) if known else []

    def data(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Read; {} when there is nothing."""
        try:
            return self.request("GET", path, query=query).body or {}
        except NotFound:
            return {}

    @property
    def is_openbao(self) -> bool:
        """Whether the server is OpenBao: its builtin plugins are versioned `+builtin.bao`."""
        mounts = self.data("sys/mounts")
        return any("builtin.bao" in str(mount.get("running_plugin_version")) for mount in mounts.values())


def _fields_in(description: Mapping[str, Any]) -> set[str]:
    """The fields of a request, in a path's help (an OpenAPI document of that path alone)."""
    schemas = (description.get("components") or {}).get("schemas") or {}
    found: set[str] = set()
    for about in (description.get("paths") or {}).values():
        content = ((about.get("post") or {}).get("requestBody") or {}).get("content") or {}
        for kind in content.values():
            schema = kind.get("schema") or {}
            schema = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
            found |= set(schema.get("properties") or {})
        if found:
            # A field of the path may be said in the body, too.
            found |= {str(parameter.get("name")) for parameter in about.get("parameters") or ()}
    return found


# Small functions of the kinds

_LIST = {"list": "true"}


def _names(body: Any) -> list[Thing]:
    return [{"name": name} for name in (body or {}).get("keys") or ()]


def _without(*names: str) -> Callable[[Thing, Thing | None], Thing]:
    return lambda wanted, _actual: {name: value for name, value in wanted.items() if name not in names}


def _child(name: str, item: str, parent: str, **more: Any) -> Kind:
    """A kind of which a mount has many: roles, connections, keys."""
    return Kind(
        name=name,
        item=f"{item}/{{name}}",
        collection=item,
        query=_LIST,
        things=_names,
        whole=False,
        key=("mount", "name"),
        parent=(parent, ("mount",)),
        **{
            "create_body": _without("mount", "name"),
            "update_body": _without("mount", "name"),
            "update": ("POST", ""),
            **more,
        },
    )


def _single(name: str, item: str, parent: str, **more: Any) -> Kind:
    """A kind of which a mount has one, that is there with the mount: its configuration."""
    return Kind(
        name=name,
        item=item,
        key=("mount",),
        create_body=_without("mount"),
        update_body=_without("mount"),
        update=("POST", ""),
        delete=("", ""),
        parent=(parent, ("mount",)),
        **more,
    )


def _policy_text(thing: Thing) -> Thing:
    # The server keeps what it is given; a line's end more or less says nothing.
    return {"name": thing["name"], "policy": str(thing.get("policy", "")).strip() + "\n"}


def _policy_lower(thing: Thing) -> Thing:
    return {**_policy_text(thing), "name": str(thing["name"]).lower()}


def _policy_check(thing: Thing) -> Iterator[str]:
    if str(thing["name"]).lower() != str(thing["name"]):
        yield "names of policies are lower case: the server would keep it as another name"
    if str(thing["name"]) in ("root", "response-wrapping", "control-group"):
        yield "the server does not let it be changed"
    if not str(thing.get("policy") or "").strip():
        yield "has no policy"


def _mounts(path: str) -> Callable[[Api, Thing], dict[Key, Thing]]:
    def collect(api: Api, _scope: Thing) -> dict[Key, Thing]:
        found = api.request("GET", path).body or {}
        return {(name.strip("/"),): _mount(name, mount) for name, mount in found.items()}

    return collect


def _mount(name: str, mount: Mapping[str, Any]) -> Thing:
    config = mount.get("config") or {}
    fixed = {key: mount.get(key) for key in ("type", "description", "options", "local", "seal_wrap")}
    return {"path": name.strip("/"), **fixed, **{key: config[key] for key in _TUNED if key in config}}


def _mount_create(wanted: Thing, _actual: Thing | None) -> Thing:
    config = {name: value for name, value in wanted.items() if name in _TUNED}
    rest = {name: value for name, value in wanted.items() if name not in (*_TUNED, "path")}
    return {**rest, "config": config} if config else rest


def _mount_tune(wanted: Thing, _actual: Thing | None) -> Thing:
    return {name: value for name, value in wanted.items() if name in (*_TUNED, "description")}


def _mount_kind(name: str, path: str, lost: str) -> Kind:
    return Kind(
        name=name,
        key=("path",),
        item=f"{path}/{{path}}",
        collect=_mounts(path),
        create_body=_mount_create,
        update=("POST", f"{path}/{{path}}/tune"),
        update_body=_mount_tune,
        immutable=frozenset({"type", "options", "local", "seal_wrap"}),
        managed=lambda key, _actual: key[0] not in _OWN_MOUNTS,
        protected=True,
        lost=lost,
        after=("policy",),
    )


# PKI: an issuer is made once. What it looks like counts then only; a new one is a rotation.


def _issuers(api: Api, scope: Thing) -> dict[Key, Thing]:
    try:
        found = api.request("GET", f"{scope['mount']}/issuers", query=_LIST).body or {}
    except NotFound:
        return {}
    with_key = [one for one in (found.get("key_info") or {}).values() if one.get("key_id")]
    return {(str(scope["mount"]),): {"mount": scope["mount"]}} if with_key else {}


def _make_issuer(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    mount = wanted["mount"]
    signed_by = wanted.get("signed_by")
    about = {name: value for name, value in wanted.items() if name not in ("mount", "signed_by", "bundle")}
    if wanted.get("bundle"):
        api.request("POST", f"{mount}/issuers/import/bundle", {"pem_bundle": wanted["bundle"]})
        return
    if not signed_by:
        api.request("POST", f"{mount}/root/generate/internal", about)
        return
    # A key that an earlier run made, and that was not signed any more, is used.
    try:
        keys = (api.request("GET", f"{mount}/keys", query=_LIST).body or {}).get("keys") or []
    except NotFound:
        keys = []
    sign_intermediate(api, mount, signed_by, about, keys[0] if keys else "")


# Fields of an issuer that are the key's, and those that only the one who signs is told.
_OF_KEY = ("key_type", "key_bits", "key_name")
_OF_SIGNING = ("ttl", "not_after", "not_before_duration", "max_path_length", "permitted_dns_domains")


def sign_intermediate(api: Api, mount: str, signed_by: str, about: Thing, key: str = "") -> Thing:
    """Have a key of a PKI mount signed by the issuer of another one, and bring its certificate and chain.

    Args:
        mount, signed_by: where the two are mounted.
        about: what the issuer looks like, the fields of both requests.
        key: the id of a key that is there already; without it a new one is made.

    Returns:
        `certificate`, and `imported_issuers`, the ids of what is new in the mount.
    """
    asked = {name: value for name, value in about.items() if name not in _OF_SIGNING}
    if key:
        asked = {**{name: value for name, value in asked.items() if name not in _OF_KEY}, "key_ref": key}
    request = api.request("POST", f"{mount}/intermediate/generate/{'existing' if key else 'internal'}", asked).body
    wish = {name: value for name, value in about.items() if name not in _OF_KEY}
    signing = {**wish, "csr": request["csr"], "format": "pem"}
    signed = api.request("POST", f"{signed_by}/root/sign-intermediate", signing).body
    chain = [signed["certificate"], *(signed.get("ca_chain") or [signed["issuing_ca"]])]
    whole = "\n".join(dict.fromkeys(part.strip() for part in chain)) + "\n"
    kept = api.request("POST", f"{mount}/intermediate/set-signed", {"certificate": whole}).body or {}
    return {"certificate": signed["certificate"], "imported_issuers": kept.get("imported_issuers") or []}


def _issuer_check(thing: Thing) -> Iterator[str]:
    if not thing.get("bundle") and not thing.get("common_name"):
        yield "has neither common_name nor bundle"


# Databases


def _connection(said: Thing) -> Thing:
    details = {name: value for name, value in (said.get("connection_details") or {}).items() if name != "password"}
    return {**{name: value for name, value in said.items() if name != "connection_details"}, **details}


def _connection_check(thing: Thing) -> Iterator[str]:
    user = re.search(r"//([^/@]*)@", str(thing.get("connection_url") or ""))
    if user and ":" in user[1] and "{{" not in user[1].partition(":")[2]:
        yield (
            "connection_url holds a password: put it into password, and "
            "{" + "{username}}:{" + "{password}} into the URL"
        )


def _make_connection(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    rotate = wanted.get("rotate_root")
    path = f"{wanted['mount']}/config/{wanted['name']}"
    api.request("POST", path, _without("mount", "name", "rotate_root")(wanted, None))
    if rotate:
        api.request("POST", f"{wanted['mount']}/rotate-root/{wanted['name']}", {})


# Transit

_KEY_MADE = (
    "type",
    "derived",
    "convergent_encryption",
    "exportable",
    "allow_plaintext_backup",
    "auto_rotate_period",
    "key_size",
)
_KEY_CONFIG = (
    "min_decryption_version",
    "min_encryption_version",
    "deletion_allowed",
    "exportable",
    "allow_plaintext_backup",
    "auto_rotate_period",
)


def _make_key(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    path = f"{wanted['mount']}/keys/{wanted['name']}"
    api.request("POST", path, {name: wanted[name] for name in _KEY_MADE if name in wanted})
    later = {name: wanted[name] for name in _KEY_CONFIG if name in wanted and name not in _KEY_MADE}
    if later:
        api.request("POST", f"{path}/config", later)


def _key_config(wanted: Thing, _actual: Thing | None) -> Thing:
    return {name: wanted[name] for name in _KEY_CONFIG if name in wanted}


# SSH


def _ssh_ca(said: Thing) -> Thing:
    return {"mount": said["mount"]}


def _make_ssh_ca(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    body = _without("mount")(wanted, None)
    api.request("POST", f"{wanted['mount']}/config/ca", {"generate_signing_key": "private_key" not in body, **body})


# Identity: the server links by ids, the declaration by names.


def _id_list(api: Api, path: str) -> dict[str, Thing]:
    try:
        return dict((api.request("GET", path, query=_LIST).body or {}).get("key_info") or {})
    except NotFound:
        return {}


def _id_of(api: Api, what: str, name: str) -> str:
    try:
        return str(api.request("GET", f"identity/{what}/name/{name}").body["id"])
    except NotFound:
        raise Failure(f"identity: there is no {what} {name}", "declare it") from None


def _accessor(api: Api, mount: str) -> str:
    found = (api.request("GET", "sys/auth").body or {}).get(f"{mount}/")
    if not found:
        raise Failure(f"identity: there is no auth method at {mount}", "declare it")
    return str(found["accessor"])


def _aliases(what: str) -> Callable[[Api, Thing], dict[Key, Thing]]:
    def collect(api: Api, _scope: Thing) -> dict[Key, Thing]:
        owners = {one: about.get("name", "") for one, about in _id_list(api, f"identity/{what}/id").items()}
        found: dict[Key, Thing] = {}
        for one, about in _id_list(api, f"identity/{what}-alias/id").items():
            mount = str(about.get("mount_path") or "").strip("/").removeprefix("auth/")
            owner = owners.get(about.get("canonical_id", ""), "")
            found[mount, str(about["name"])] = {"mount": mount, "name": about["name"], what: owner, "id": one}
        return found

    return collect


def _make_alias(what: str) -> Callable[[Api, Thing, Thing | None], None]:
    def make(api: Api, wanted: Thing, actual: Thing | None) -> None:
        body = {
            "name": wanted["name"],
            "canonical_id": _id_of(api, what, wanted[what]),
            "mount_accessor": _accessor(api, wanted["mount"]),
        }
        api.request("POST", f"identity/{what}-alias" + (f"/id/{actual['id']}" if actual else ""), body)

    return make


def _groups(api: Api, _scope: Thing) -> dict[Key, Thing]:
    try:
        names = (api.request("GET", "identity/group/name", query=_LIST).body or {}).get("keys") or []
    except NotFound:
        return {}
    entities, groups = (
        {one: about.get("name", one) for one, about in _id_list(api, f"identity/{what}/id").items()}
        for what in ("entity", "group")
    )
    found: dict[Key, Thing] = {}
    for said in api.each(lambda name: api.request("GET", f"identity/group/name/{name}").body, names):
        if isinstance(said, Failure):
            raise said
        group = {name: said.get(name) for name in ("name", "type", "policies", "metadata")}
        group["member_entities"] = [entities.get(one, one) for one in said.get("member_entity_ids") or ()]
        group["member_groups"] = [groups.get(one, one) for one in said.get("member_group_ids") or ()]
        found[(str(said["name"]),)] = group
    return found


def _make_group(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    body: Thing = {name: wanted[name] for name in ("type", "policies", "metadata") if name in wanted}
    for members, what in (("member_entities", "entity"), ("member_groups", "group")):
        if members in wanted:
            body[f"member_{what}_ids"] = [_id_of(api, what, name) for name in wanted[members]]
    api.request("POST", f"identity/group/name/{wanted['name']}", body)


def _no_login(_key: Key, actual: Thing) -> bool:
    """Whether an entity is somebody's doing: those that a log-in makes are called entity_ and a part of an id."""
    return not str(actual.get("entity") or actual.get("name")).startswith("entity_")


# Audit devices


def _devices(api: Api, _scope: Thing) -> dict[Key, Thing]:
    found = api.request("GET", "sys/audit").body or {}
    fields = ("type", "description", "options", "local")
    return {
        (name.strip("/"),): {"path": name.strip("/"), **{field: device.get(field) for field in fields}}
        for name, device in found.items()
    }


# Autopilot of integrated storage: one configuration a server, which is there with the storage.

_AUTOPILOT = "sys/storage/raft/autopilot/configuration"
_AUTOPILOT_TIMES = ("dead_server_last_contact_threshold", "last_contact_threshold", "server_stabilization_time")
_AUTOPILOT_NUMBERS = ("max_trailing_logs", "min_quorum")
# Vault Enterprise has it, OpenBao takes it and drops it.
_UPGRADES = "disable_upgrade_migration"
# What both servers ask of `cleanup_dead_servers`.
_LEAST_QUORUM, _LEAST_DEAD = 3, 60


def _autopilot(api: Api, _scope: Thing) -> dict[Key, Thing]:
    try:
        said = api.request("GET", _AUTOPILOT).body or {}
    except HttpError as error:
        if error.status not in (400, 404):
            raise
        raise Failure(
            f"Vault at {error.host}: there is no autopilot here, it comes with integrated storage and is seen from the "
            f"root namespace only ({error.said or error.status})",
            "leave autopilot out, or declare it in a task of its own without namespace",
        ) from error
    return {("raft",): {"name": "raft", **said}}


def _autopilot_check(thing: Thing) -> Iterator[str]:
    # The server drops a field that it does not know, and takes 0 for not given, both without a word.
    yield from only(thing, ("name", "cleanup_dead_servers", *_AUTOPILOT_TIMES, *_AUTOPILOT_NUMBERS, _UPGRADES))
    for name in _AUTOPILOT_TIMES:
        span = seconds(thing.get(name, 1))
        if span is None or span < 1 or span % 1:
            yield f"{name} is {thing[name]!r}, not a duration of whole seconds such as 10s or 24h, 1s at least"
    for name in _AUTOPILOT_NUMBERS:
        if not re.fullmatch("[1-9][0-9]*", str(thing.get(name, 1))):
            yield f"{name} is {thing[name]!r}, not a whole number of at least 1"
    if str(thing.get("cleanup_dead_servers", "")).lower() != "true":
        return
    quorum = str(thing.get("min_quorum", ""))
    if not quorum.isdecimal() or int(quorum) < _LEAST_QUORUM:
        yield f"cleanup_dead_servers needs min_quorum beside it, {_LEAST_QUORUM} at least: how many members must stay"
    if (seconds(thing.get("dead_server_last_contact_threshold", _LEAST_DEAD)) or 0) < _LEAST_DEAD:
        yield "cleanup_dead_servers needs a dead_server_last_contact_threshold of 1m at least"


def _quota(name: str, path: str) -> Kind:
    return Kind(
        name=name,
        item=f"{path}/{{name}}",
        collection=path,
        query=_LIST,
        things=_names,
        whole=False,
        create_body=_without("name"),
        update_body=_without("name"),
        update=("POST", ""),
        after=("secret engine", "auth method"),
    )


_ENGINE, _AUTH = "secret engine", "auth method"
_TOKEN_SECRETS = frozenset({"token_reviewer_jwt", "oidc_client_secret", "bindpass"})

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "policy",
            item="sys/policies/acl/{name}",
            collection="sys/policies/acl",
            query=_LIST,
            things=_names,
            whole=False,
            actual=_policy_text,
            wanted=_policy_lower,
            create_body=_without("name"),
            update_body=_without("name"),
            update=("POST", ""),
            managed=lambda key, _actual: key[0] not in _OWN_POLICIES,
            check=_policy_check,
        ),
        _mount_kind(_AUTH, "sys/auth", "every role in it and every token of it"),
        _single("auth config", "auth/{mount}/config", _AUTH, unread=_TOKEN_SECRETS, resend=True),
        _child("auth role", "auth/{mount}/role", _AUTH, unread=frozenset({"role_id"})),
        _child("certificate role", "auth/{mount}/certs", _AUTH),
        _mount_kind(_ENGINE, "sys/mounts", "everything that is kept in it"),
        _single("kv config", "{mount}/config", _ENGINE),
        Kind(
            "pki issuer",
            key=("mount",),
            collect=_issuers,
            make=_make_issuer,
            update=("", ""),
            delete=("", ""),
            create_only=frozenset(
                {
                    "bundle",
                    "signed_by",
                    "common_name",
                    "alt_names",
                    "ip_sans",
                    "uri_sans",
                    "other_sans",
                    "ttl",
                    "not_after",
                    "not_before_duration",
                    "key_type",
                    "key_bits",
                    "key_name",
                    "issuer_name",
                    "max_path_length",
                    "permitted_dns_domains",
                    "exclude_cn_from_sans",
                    "signature_bits",
                    "ou",
                    "organization",
                    "country",
                    "locality",
                    "province",
                    "street_address",
                    "postal_code",
                    "serial_number",
                    "use_csr_values",
                }
            ),
            secret=frozenset({"bundle"}),
            check=_issuer_check,
            parent=(_ENGINE, ("mount",)),
            after=("pki urls",),
        ),
        # Before the issuer, whose certificate names them.
        _single("pki urls", "{mount}/config/urls", _ENGINE),
        _single("pki crl", "{mount}/config/crl", _ENGINE, after=("pki issuer",)),
        _child("pki role", "{mount}/roles", _ENGINE, after=("pki issuer",)),
        _child(
            "transit key",
            "{mount}/keys",
            _ENGINE,
            make=_make_key,
            update=("POST", "{mount}/keys/{name}/config"),
            update_body=_key_config,
            immutable=frozenset({"type", "derived", "convergent_encryption"}),
            create_only=frozenset({"key_size"}),
            protected=True,
            lost="everything that is encrypted with it",
        ),
        _child(
            "database connection",
            "{mount}/config",
            _ENGINE,
            make=_make_connection,
            actual=_connection,
            unread=frozenset({"password", "private_key", "tls_certificate_key"}),
            create_only=frozenset({"verify_connection", "rotate_root"}),
            immutable=frozenset({"plugin_name"}),
            check=_connection_check,
            lost="every lease of it",
        ),
        _child(
            "database role",
            "{mount}/roles",
            _ENGINE,
            ordered=frozenset(
                {"creation_statements", "revocation_statements", "rollback_statements", "renew_statements"}
            ),
            after=("database connection",),
        ),
        _child(
            "database static role",
            "{mount}/static-roles",
            _ENGINE,
            ordered=frozenset({"rotation_statements"}),
            immutable=frozenset({"username"}),
            after=("database connection",),
        ),
        _single(
            "ssh ca",
            "{mount}/config/ca",
            _ENGINE,
            make=_make_ssh_ca,
            actual=_ssh_ca,
            create_only=frozenset({"private_key", "public_key", "key_type", "key_bits", "generate_signing_key"}),
            secret=frozenset({"private_key"}),
        ),
        _child("ssh role", "{mount}/roles", _ENGINE, after=("ssh ca",)),
        _quota("rate limit", "sys/quotas/rate-limit"),
        _quota("lease count", "sys/quotas/lease-count"),
        Kind(
            "entity",
            item="identity/entity/name/{name}",
            collection="identity/entity/name",
            query=_LIST,
            things=_names,
            whole=False,
            create_body=_without("name"),
            update_body=_without("name"),
            update=("POST", ""),
            managed=_no_login,
            after=("policy",),
        ),
        Kind(
            "entity alias",
            key=("mount", "name"),
            item="identity/entity-alias/id/{id}",
            collect=_aliases("entity"),
            make=_make_alias("entity"),
            change=_make_alias("entity"),
            managed=_no_login,
            after=("entity", _AUTH),
        ),
        Kind(
            "group",
            item="identity/group/name/{name}",
            collect=_groups,
            make=_make_group,
            change=_make_group,
            immutable=frozenset({"type"}),
            lost="its aliases",
            after=("entity", "policy"),
        ),
        Kind(
            "group alias",
            key=("mount", "name"),
            item="identity/group-alias/id/{id}",
            collect=_aliases("group"),
            make=_make_alias("group"),
            change=_make_alias("group"),
            after=("group", _AUTH),
        ),
        Kind(
            "audit device",
            key=("path",),
            item="sys/audit/{path}",
            collect=_devices,
            create=("PUT", ""),
            create_body=_without("path"),
            update=("", ""),
            immutable=frozenset({"type", "description", "options", "local"}),
            lost="the key of the digests in its log",
            protected=True,
        ),
        Kind(
            "autopilot",
            item=_AUTOPILOT,
            collect=_autopilot,
            update=("POST", ""),
            update_body=_without("name"),
            delete=("", ""),
            check=_autopilot_check,
        ),
    )
}
# Every field that is masked, of whichever kind.
SECRETS = frozenset().union(*(kind.hidden for kind in KINDS.values()))

# The options that declare something.
DECLARED = (
    "policies",
    "auth_methods",
    "secret_engines",
    "entities",
    "groups",
    "rate_limits",
    "lease_counts",
    "audit_devices",
    "autopilot",
)

# What a mount may be declared with, by its type: field, kind, and whether there are many of it.
_Parts = Mapping[str, tuple[str, bool]]
_AUTH_PARTS: Mapping[str, _Parts] = {
    "kubernetes": {"config": ("auth config", False), "roles": ("auth role", True)},
    "approle": {"roles": ("auth role", True)},
    "jwt": {"config": ("auth config", False), "roles": ("auth role", True)},
    "oidc": {"config": ("auth config", False), "roles": ("auth role", True)},
    "cert": {"config": ("auth config", False), "roles": ("certificate role", True)},
}
_ENGINE_PARTS: Mapping[str, _Parts] = {
    "kv": {"config": ("kv config", False)},
    "pki": {
        "issuer": ("pki issuer", False),
        "urls": ("pki urls", False),
        "crl": ("pki crl", False),
        "roles": ("pki role", True),
    },
    "transit": {"keys": ("transit key", True)},
    "database": {
        "connections": ("database connection", True),
        "roles": ("database role", True),
        "static_roles": ("database static role", True),
    },
    "ssh": {"ca": ("ssh ca", False), "roles": ("ssh role", True)},
}
_MOUNT_FIELDS = ("path", "type", "description", "options", "local", "seal_wrap", "recreate", *_TUNED)


def wishes_of(declared: Mapping[str, Any]) -> list[Wish]:
    """Make wishes of the module's options.

    Args:
        declared: policies, auth_methods, secret_engines, entities, groups, rate_limits, lease_counts, audit_devices,
            each a list; autopilot, a mapping; None for what this task is not about.

    Raises:
        Failure: naming every field that is not known where it stands.
    """
    wishes: dict[str, Wish] = {}
    troubles: list[str] = []

    def wish(kind: str) -> Wish:
        return wishes.setdefault(kind, Wish(KINDS[kind], [], []))

    def put(kind: str, thing: Thing) -> None:
        list_of(wish(kind)).append(thing)

    for option, kind in (
        ("policies", "policy"),
        ("rate_limits", "rate limit"),
        ("lease_counts", "lease count"),
        ("audit_devices", "audit device"),
    ):
        if declared.get(option) is not None:
            wish(kind)
            wishes[kind] = Wish(KINDS[kind], [dict(thing) for thing in declared[option]], [{}])
    for option, kind, parts in (
        ("auth_methods", _AUTH, _AUTH_PARTS),
        ("secret_engines", _ENGINE, _ENGINE_PARTS),
    ):
        if declared.get(option) is None:
            continue
        wishes[kind] = Wish(KINDS[kind], [], [{}])
        for mount in declared[option]:
            troubles += _take_mount(mount, kind, parts, wish, put)
    if declared.get("entities") is not None:
        wishes["entity"], wishes["entity alias"] = (Wish(KINDS[kind], [], [{}]) for kind in ("entity", "entity alias"))
        for entity in declared["entities"]:
            put("entity", {name: value for name, value in entity.items() if name != "aliases"})
            for alias in entity.get("aliases") or ():
                put("entity alias", {**alias, "entity": entity.get("name")})
    if declared.get("groups") is not None:
        wishes["group"], wishes["group alias"] = (Wish(KINDS[kind], [], [{}]) for kind in ("group", "group alias"))
        for group in _members_first(declared["groups"]):
            put("group", {name: value for name, value in group.items() if name != "alias"})
            if group.get("alias"):
                put("group alias", {**group["alias"], "group": group.get("name")})
    if declared.get("autopilot") is not None:
        wishes["autopilot"] = Wish(KINDS["autopilot"], [{**declared["autopilot"], "name": "raft"}])
    if troubles:
        raise Failure("; ".join(troubles), "correct the declaration; nothing was changed")
    if "pki issuer" in wishes:
        wishes["pki issuer"].things = _signers_first(wishes["pki issuer"].things)
    return list(wishes.values())


def list_of(wish: Wish) -> list[Any]:
    """The list that a wish is being made of."""
    return cast(List[Any], wish.things)


def _take_mount(
    mount: Mapping[str, Any],
    kind: str,
    parts_of: Mapping[str, _Parts],
    wish: Callable[[str], Wish],
    put: Callable[[str, Thing], None],
) -> Iterator[str]:
    path = str(mount.get("path") or mount.get("type") or "").strip("/")
    of = str(mount.get("type") or "")
    if not of:
        yield f"{kind} {path or '?'} has no type"
        return
    parts = parts_of.get(of, {})
    unknown = sorted(set(mount) - set(_MOUNT_FIELDS) - set(parts) - {name for name in mount if mount[name] is None})
    if unknown:
        known = ", ".join([*_MOUNT_FIELDS, *parts])
        yield f"{kind} {path}: there is no {', '.join(unknown)} with the type {of} (there are {known})"
        return
    put(kind, {**{name: value for name, value in mount.items() if name in _MOUNT_FIELDS}, "path": path})
    for name, (child, many) in parts.items():
        if mount.get(name) is None:
            continue
        if not many:
            put(child, {**mount[name], "mount": path})
            continue
        cast(List[Any], wish(child).scopes).append({"mount": path})
        for thing in mount[name]:
            put(child, {**thing, "mount": path})


def _signers_first(things: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Issuers in an order in which each is signed by one before it; circles stay, and fail by the server's word."""
    left, done = list(things), list[Mapping[str, Any]]()
    while left:
        waiting = {one["mount"] for one in left}
        ready = [one for one in left if str(one.get("signed_by") or "").strip("/") not in waiting] or left
        done += ready
        left = [one for one in left if one not in ready]
    return done


def _members_first(groups: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    left, done = list(groups), list[Mapping[str, Any]]()
    while left:
        waiting = {one.get("name") for one in left}
        ready = [one for one in left if not waiting & set(one.get("member_groups") or ())] or left
        done += ready
        left = [one for one in left if one not in ready]
    return done


# What is seen to before anything is changed


def refuse(api: VaultApi, reconciler: Reconciler, wishes: Sequence[Wish]) -> list[str]:
    """See that the server can do what is planned, as far as it tells without doing it.

    Policies are parsed by the server itself: they are sent as the policy `root`, which it parses first and then refuses
    to change, whatever they are (hashicorp/vault: vault/policy_store.go, `SetPolicy` and `immutablePolicies`; OpenBao
    has the same). So the parser is the server's own, and nothing changes, in check mode too.

    Returns:
        Warnings.

    Raises:
        Failure: naming every policy that is wrong, or what OpenBao does not have.
    """
    planned = {(step.kind, step.target) for step in reconciler.plan.steps if step.action in ("create", "update")}
    bad, warnings = list[str](), list[str]()
    devices = sorted({step.target for step in reconciler.plan.steps if step.kind == "audit device"})
    limits = sorted({step.target for step in reconciler.plan.steps if step.kind == "lease count"})
    if (devices or limits) and api.is_openbao:
        if devices:
            raise Failure(
                f"audit devices {', '.join(devices)}: OpenBao has them from its own configuration only, not by its API",
                "declare them there (audit_devices of the role vault), and leave them out here",
            )
        raise Failure(f"lease counts {', '.join(limits)}: OpenBao has no such quotas", "leave lease_counts out")
    upgrades = [step for step in reconciler.plan.steps if step.kind == "autopilot" and _UPGRADES in (step.after or {})]
    if upgrades and api.is_openbao:
        raise Failure(f"autopilot: OpenBao has no {_UPGRADES}", f"leave {_UPGRADES} out")
    for entry in reconciler.changing():
        kind, thing = entry.kind, entry.wanted or {}
        if kind.parent and kind.item and not kind.make and not reconciler.is_new(entry):
            unknown = api.unknown(kind.path(kind.item, thing), kind.create_body(thing, None))
            bad += [f"{kind.name} {entry.step.target}: there is no {name}" for name in unknown]
    policies = [
        (str(thing["name"]), str(thing["policy"]))
        for wish in wishes
        if wish.kind.name == "policy"
        for thing in wish.things
        if ("policy", str(thing["name"])) in planned
    ]

    def parsed(policy: tuple[str, str]) -> str:
        name, text = policy
        try:
            api.vault.request("POST", "sys/policies/acl/root", {"policy": text})
        except Forbidden:
            return "?"
        except HttpError as error:
            if error.status == 400 and "cannot update" in error.said:
                return ""
            if error.status == 400:
                return f"policy {name}: {error.said}"
            raise
        return ""

    for said in api.each(parsed, policies):
        if isinstance(said, Failure):
            raise said
        if said == "?":
            warnings = ["policies could not be parsed beforehand: the token may not update sys/policies/acl/root"]
        elif said:
            bad.append(said)
    if bad:
        raise Failure("; ".join(bad), "correct the declaration; nothing was changed")
    return warnings
