# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Harbor is configured with, as kinds of the engine in rest.py.

Paths and fields are those of the vendor's own description (goharbor/harbor: api/v2.0/swagger.yaml). What it does not
say is taken from the server's source, named where it decides something.
"""

from __future__ import annotations

import json
import os
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    PACE,
    Answer,
    HttpError,
    Item,
    NotFound,
    Result,
    Session,
    Unreachable,
    Untrusted,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.quantities import size
from ansible_collections.banking.platform.plugins.module_utils.rest import (
    Api,
    Key,
    Kind,
    Reconciler,
    Thing,
    Wish,
    one_of,
    only,
    pages,
    pick,
    same,
)
from ansible_collections.banking.platform.plugins.module_utils.vault import Vault

# Options by which the server is found; documented in plugins/doc_fragments/harbor.py.
CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "str"},
    "ca_path": {"type": "path", "aliases": ["ca_cert"]},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    **PACE,
}
_ENVIRONMENT = {
    "url": "HARBOR_URL",
    "ca_path": "HARBOR_CACERT",
    "username": "HARBOR_USERNAME",
    "password": "HARBOR_PASSWORD",
}
_BASE = "/api/v2.0"
# The largest page that the description allows.
_PAGE = 100
# Of a member: the description names the first four, common/const.go the fifth (RoleLimitedGuest).
ROLES = {"projectAdmin": 1, "developer": 2, "guest": 3, "maintainer": 4, "limitedGuest": 5}
_GROUP_TYPES = {"ldap": 1, "http": 2, "oidc": 3}
_SEVERITIES = ("none", "low", "medium", "high", "critical")
_METADATA = (
    "public",
    "auto_scan",
    "auto_sbom_generation",
    "prevent_vul",
    "severity",
    "enable_content_trust",
    "enable_content_trust_cosign",
    "reuse_sys_cve_allowlist",
    "proxy_speed_kb",
    "max_upstream_conn",
    "proxy_cache_local_on_not_found",
)
# handler/robot.go: validateName
_ROBOT_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_ROBOT_PREFIX = "robot$"
_COUNTED = ("latestPushedK", "latestPulledN", "nDaysSinceLastPush", "nDaysSinceLastPull")


class RobotSecrets:
    """The secrets of robot accounts, in a KV version 2 of Vault: one entry a robot, written check-and-set.

    Args:
        vault: the client.
        mount: of the KV engine.
        path: folder of the entries.
        renew: whether a robot that is there, but whose secret is not in Vault, gets a new one.

    Attributes:
        missing: full names of the robots that are there, and whose secret is not in Vault.
    """

    def __init__(self, vault: Vault, mount: str, path: str, renew: bool = False) -> None:
        self.vault, self.renew = vault, renew
        self._mount, self._path = mount.strip("/"), path.strip("/")
        self.missing: set[str] = set()

    def _at(self, part: str, name: str) -> str:
        return "/".join(filter(None, (self._mount, part, self._path, name.replace("+", "/"))))

    def has(self, name: str, number: int) -> bool:
        """Whether the entry is there, and is of this very robot and not of one that had the name before it."""
        entry = (self.vault.data(self._at("data", name)) or {}).get("data") or {}
        kept = bool(entry.get("secret")) and str(entry.get("id")) == str(number)
        if not kept:
            self.missing.add(name)
        return kept

    def version(self, name: str) -> int:
        """The version that an entry has now; 0 when there has never been one."""
        return int((self.vault.data(self._at("metadata", name)) or {}).get("current_version") or 0)

    def write(self, name: str, number: int, username: str, secret: str, version: int) -> None:
        """Write an entry, unless somebody has since written it.

        Raises:
            Failure: somebody has, or Vault is not there.
        """
        entry = {"id": str(number), "username": username, "secret": secret}
        body = {"options": {"cas": version}, "data": entry}
        # It may have been written by an attempt of ours whose answer was lost: then check-and-set refuses the next.
        self.vault.write(self._at("data", name), body, idempotent=False)


class HarborApi:
    """Harbor as the engine sees it; paths without the base path.

    Args:
        options: as CONNECTION has them; what is not given is taken from the environment (HARBOR_URL and so on).
        secrets: where the secrets of robots go; None when nobody has said.

    Attributes:
        session: the requests.
        warnings: none; Harbor gives none.
        seen: secrets that the server has told, for masking.

    Raises:
        Failure: an option is missing or unusable.
    """

    def __init__(self, options: Mapping[str, Any], secrets: RobotSecrets | None = None) -> None:
        given = {name: options.get(name) or os.environ.get(of) for name, of in _ENVIRONMENT.items()}
        missing = [name for name in ("url", "username", "password") if not given[name]]
        if missing:
            names = ", ".join(_ENVIRONMENT[name] for name in missing)
            raise Failure(f"Harbor: there is no {' and no '.join(missing)}", f"set it, or {names} in the environment")
        token = b64encode(f"{given['username']}:{given['password']}".encode()).decode()
        self.session = Session(
            [str(given["url"]).rstrip("/").removesuffix(_BASE)],
            ca_path=str(given["ca_path"] or ""),
            # A project whose name is a number is not to be taken for an id.
            headers={"Authorization": f"Basic {token}", "X-Is-Resource-Name": "true"},
            timeout=float(options.get("timeout") or 65),
            retry_for=float(options.get("retry_for") or 0),
            parallel=int(options.get("parallel") or 8),
            name="Harbor",
        )
        self.secrets = secrets
        self.warnings: list[str] = []
        self.seen: set[str] = {str(given["password"]), token}
        self._lock = threading.Lock()
        self._registries: dict[str, int] | None = None

    def close(self) -> None:
        """Close the connections, those to Vault too."""
        self.session.close()
        if self.secrets:
            self.secrets.vault.close()

    def is_there(self) -> bool:
        """Whether it answers: before the first install it does not.

        Raises:
            Untrusted: the wrong CA, which will not go by itself.
        """
        try:
            self.session.request("GET", f"{_BASE}/ping")
        except Untrusted:
            raise
        except Unreachable:
            return False
        return True

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | Failure]:
        """Do the same with many items, a few at a time."""
        return self.session.each(work, items)

    def request(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Answer:
        """Send one request."""
        if method in ("POST", "DELETE") and path.lstrip("/").startswith("registries"):
            self._registries = None
        return self.session.request(method, f"{_BASE}/{path.lstrip('/')}", body, query=query or None)

    # Ids by names

    def project(self, name: str) -> Thing:
        """What the server says of a project.

        Raises:
            NotFound: there is none.
        """
        return dict(self.request("GET", _project_path(name)).body or {})

    def registry(self, name: str) -> int:
        """The id of a registry.

        Raises:
            Failure: there is none.
        """
        with self._lock:
            if name not in (self._registries or {}):
                found = _all(self, "registries")
                self._registries = {str(one["name"]): int(one["id"]) for one in found}
        if name not in (self._registries or {}):
            raise Failure(f"Harbor: there is no registry {name}", "declare it in registries")
        return (self._registries or {})[name]

    def registry_names(self) -> dict[int, str]:
        """The names of the registries by id."""
        return {int(one["id"]): str(one["name"]) for one in _all(self, "registries")}


def _of(api: Api) -> HarborApi:
    """The kinds of this module meet no other client."""
    return cast(HarborApi, api)


def _all(api: Api, path: str, query: Mapping[str, Any] | None = None) -> list[Thing]:
    return [thing for body in pages(api, path, query or {}, _PAGE) for thing in body or ()]


def _project_path(name: str, below: str = "") -> str:
    return Kind("project").path("projects/{name}", {"name": name}) + below


def _without(*names: str) -> Callable[[Thing, Thing | None], Thing]:
    return lambda wanted, _actual: {name: value for name, value in wanted.items() if name not in names}


def _cron(text: Any) -> Iterator[str]:
    # Harbor's schedules begin with the seconds; one of five fields would mean another time, or be refused.
    if text and len(str(text).split()) != 6:
        yield f"{text!r} is no schedule of six fields: second, minute, hour, day, month, weekday"


# Projects. Their quota is a thing of its own, which the server makes and removes with the project.

_PROJECT = ("name", *_METADATA, "storage_limit", "registry", "cve_allowlist", "cve_allowlist_expires_at")


def _projects(api: Api, _scope: Thing) -> dict[Key, Thing]:
    quotas = {int((one.get("ref") or {}).get("id") or 0): one for one in _all(api, "quotas", {"reference": "project"})}
    listed = _all(api, "projects", {"with_detail": "true"})
    proxies = any(one.get("registry_id") for one in listed)
    registries = _of(api).registry_names() if proxies else {}
    found: dict[Key, Thing] = {}
    for one in listed:
        allowlist = one.get("cve_allowlist") or {}
        quota = quotas.get(int(one["project_id"])) or {}
        found[(str(one["name"]),)] = {
            "name": one["name"],
            **{name: value for name, value in (one.get("metadata") or {}).items() if name in _METADATA},
            "storage_limit": (quota.get("hard") or {}).get("storage", -1),
            "registry": registries.get(int(one.get("registry_id") or 0), ""),
            "cve_allowlist": sorted(str(item["cve_id"]) for item in allowlist.get("items") or ()),
            "cve_allowlist_expires_at": allowlist.get("expires_at"),
            "quota_id": quota.get("id"),
        }
    return found


def _project(thing: Thing) -> Thing:
    limit = thing.get("storage_limit")
    if limit is None:
        return thing
    return {**thing, "storage_limit": -1 if str(limit) == "-1" else size(limit)}


def _project_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, _PROJECT)
    yield from one_of(thing, "severity", _SEVERITIES)
    limit = thing.get("storage_limit")
    if limit is None or str(limit) == "-1":
        return
    try:
        # 0 would be the server's default (handler/project.go, CreateProject), and differ for ever.
        usable = size(limit) >= 1
    except ValueError:
        usable = False
    if not usable:
        yield f"storage_limit is {limit!r}, neither -1 for none nor an amount such as 500Gi"


def _project_fields(wanted: Thing) -> Thing:
    body: Thing = {}
    metadata = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in pick(wanted, _METADATA).items()
    }
    if metadata:
        body["metadata"] = metadata
    if "cve_allowlist" in wanted or "cve_allowlist_expires_at" in wanted:
        body["cve_allowlist"] = {"items": [{"cve_id": name} for name in wanted.get("cve_allowlist") or ()]}
        if wanted.get("cve_allowlist_expires_at"):
            body["cve_allowlist"]["expires_at"] = wanted["cve_allowlist_expires_at"]
    return body


def _make_project(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    body = {"project_name": wanted["name"], **_project_fields(wanted), **pick(wanted, ("storage_limit",))}
    allowlist = body.pop("cve_allowlist", None)
    if wanted.get("registry"):
        body["registry_id"] = _of(api).registry(str(wanted["registry"]))
    api.request("POST", "projects", body)
    if allowlist:
        # CreateProject does not look at it.
        api.request("PUT", _project_path(wanted["name"]), {"cve_allowlist": allowlist})


def _change_project(api: Api, wanted: Thing, actual: Thing | None) -> None:
    there = actual or {}
    differing = {name: value for name, value in wanted.items() if not same(value, there.get(name))}
    limit = differing.pop("storage_limit", None)
    if {"cve_allowlist", "cve_allowlist_expires_at"} & differing.keys():
        # The list is replaced as a whole.
        both = pick(there, ("cve_allowlist", "cve_allowlist_expires_at"))
        differing.update({**both, **{name: value for name, value in wanted.items() if name.startswith("cve_")}})
    fields = _project_fields(differing)
    if fields:
        api.request("PUT", _project_path(wanted["name"]), fields)
    if limit is not None:
        if there.get("quota_id") is None:
            raise Failure(f"project {wanted['name']} has no quota", "switch quotas on: quota_per_project_enable")
        api.request("PUT", f"quotas/{there['quota_id']}", {"hard": {"storage": limit}})


# Members


def _members(api: Api, scope: Thing) -> dict[Key, Thing]:
    project = str(scope["project"])
    try:
        owner = _of(api).project(project).get("owner_name")
        listed = _all(api, _project_path(project, "/members"))
    except NotFound:
        return {}
    roles = {number: name for name, number in ROLES.items()}
    found: dict[Key, Thing] = {}
    for one in listed:
        kind = "group" if one.get("entity_type") == "g" else "user"
        name = str(one["entity_name"])
        found[project, kind, name] = {
            "project": project,
            "kind": kind,
            "name": name,
            "role": roles.get(one.get("role_id") or 0, one.get("role_name")),
            "id": one["id"],
            "owner": kind == "user" and name == owner,
        }
    return found


def _member_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, ("project", "kind", "name", "role", "group_type", "ldap_group_dn"))
    if thing.get("role") is None:
        yield "has no role"
    yield from one_of(thing, "role", ROLES)
    yield from one_of(thing, "group_type", _GROUP_TYPES)


def _member_body(wanted: Thing, _actual: Thing | None) -> Thing:
    role = ROLES[wanted["role"]]
    if wanted["kind"] == "user":
        return {"role_id": role, "member_user": {"username": wanted["name"]}}
    group = {"group_name": wanted["name"], "group_type": _GROUP_TYPES[wanted.get("group_type") or "oidc"]}
    return {"role_id": role, "member_group": {**group, **pick(wanted, ("ldap_group_dn",))}}


# Robot accounts. The server tells the secret once, in the answer of the request that makes it.


def _robots(api: Api, scope: Thing) -> dict[Key, Thing]:
    client, project = _of(api), scope.get("project")
    if project is None:
        query, inner = "Level=system", _robot_prefix(api)
    else:
        try:
            number = client.project(str(project))["project_id"]
        except NotFound:
            return {}
        query, inner = f"Level=project,ProjectID={number}", "+"
    found: dict[Key, Thing] = {}
    for one in _all(api, "robots", {"q": query}):
        whole = str(one["name"])
        name = whole.rpartition("+")[2] if project is not None else whole.removeprefix(inner)
        permissions = [_permission(permission) for permission in one.get("permissions") or ()]
        key: Key = (name,) if project is None else (str(project), name)
        found[key] = {
            **({} if project is None else {"project": project}),
            "name": name,
            **{field: one.get(field) for field in ("description", "disable", "duration", "id", "level")},
            "permissions": permissions,
            "full_name": whole,
        }
    if client.secrets:
        secrets, robots = client.secrets, list(found.values())
        kept = client.each(lambda one: secrets.has(_entry(one), one["id"]), robots)
        for robot, answer in zip(robots, kept, strict=True):
            if isinstance(answer, Failure):
                raise answer
            robot["secret_in_vault"] = answer
    return found


def _robot_prefix(api: Api) -> str:
    said = api.request("GET", "configurations").body or {}
    return str((said.get("robot_name_prefix") or {}).get("value") or _ROBOT_PREFIX)


def _entry(robot: Mapping[str, Any]) -> str:
    """The name of a robot's entry: without the prefix, whose dollar sign is a trouble in shells."""
    return f"{robot['project']}+{robot['name']}" if robot.get("project") is not None else str(robot["name"])


def _permission(permission: Mapping[str, Any]) -> Thing:
    access = [{"resource": one["resource"], "action": one["action"]} for one in permission.get("access") or ()]
    return {"kind": permission.get("kind"), "namespace": permission.get("namespace"), "access": sorted(access, key=str)}


def _robot(thing: Thing) -> Thing:
    about = {name: value for name, value in thing.items() if name != "access"}
    if "access" in thing:
        about["permissions"] = [{"kind": "project", "namespace": thing["project"], "access": thing["access"]}]
    return {**about, "permissions": [_permission(one) for one in about.get("permissions") or ()]}


def _robot_check(thing: Thing) -> Iterator[str]:
    inner = "access" if "project" in thing else "permissions"
    yield from only(thing, ("project", "name", "description", "disable", "duration", inner, "secret_in_vault"))
    if not _ROBOT_NAME.fullmatch(str(thing["name"])):
        yield "its name is not of lower-case letters, digits, and single . _ - in between"
    if not isinstance(thing.get("duration"), int) or thing["duration"] < -1 or thing["duration"] == 0:
        yield "has no duration in days, or -1 for one that never expires"
    grants = [thing] if inner == "access" else thing.get("permissions") or []
    if not grants or not all(grant.get("access") for grant in grants):
        yield f"has no {inner}"
    for grant in grants:
        for one in grant.get("access") or ():
            if set(one) != {"resource", "action"}:
                yield f"{one} is not a resource and an action"


def _robot_body(wanted: Thing) -> Thing:
    return {
        "name": wanted["name"],
        "level": "project" if "project" in wanted else "system",
        **pick(wanted, ("description", "disable", "duration", "permissions")),
    }


def _make_robot(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    client, entry = _of(api), _entry(wanted)
    if client.secrets is None:
        raise Failure(f"robot {entry}: its secret would be lost", "set robot_secrets")
    version = client.secrets.version(entry)  # Vault is asked first: without it, no robot is made
    made = dict(api.request("POST", "robots", _robot_body(wanted)).body or {})
    client.seen.add(str(made.get("secret")))
    try:
        client.secrets.write(entry, made["id"], made["name"], str(made["secret"]), version)
    except Failure as error:
        try:
            api.request("DELETE", f"robots/{made['id']}")
        except HttpError as left:
            cause = (
                f"robot {entry}: its secret could not be written to Vault ({error}), nor the robot be removed ({left})"
            )
            raise Failure(cause, "delete the robot by hand, and run again") from error
        cause = f"robot {entry}: its secret could not be written to Vault, so it was removed again: {error}"
        raise Failure(cause, error.next_step) from error
    if wanted.get("disable"):
        # CreateRobot does not look at it.
        there = {"id": made["id"], "full_name": made["name"]}
        _change_robot(api, {name: value for name, value in wanted.items() if name != "secret_in_vault"}, there)


def _change_robot(api: Api, wanted: Thing, actual: Thing | None) -> None:
    client, there = _of(api), actual or {}
    # The whole of it: what is left out would be emptied. The name is the one with the prefix.
    body = {**pick(there, ("description", "disable", "duration", "permissions")), **_robot_body(wanted)}
    api.request("PUT", f"robots/{there['id']}", {**body, "name": there["full_name"]})
    if not wanted.get("secret_in_vault") or there.get("secret_in_vault") or client.secrets is None:
        return
    entry = _entry(wanted)
    version = client.secrets.version(entry)
    secret = str((api.request("PATCH", f"robots/{there['id']}", {"secret": ""}).body or {})["secret"])
    client.seen.add(secret)
    client.secrets.write(entry, there["id"], there["full_name"], secret, version)


# Registries

_REGISTRY = ("name", "type", "url", "description", "insecure", "ca_certificate")
_CREDENTIAL = ("credential_type", "access_key", "access_secret")


def _registry(said: Thing) -> Thing:
    credential = said.get("credential") or {}
    about = pick(said, ("id", *_REGISTRY))
    return {**about, "credential_type": credential.get("type"), "access_key": credential.get("access_key")}


def _registry_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, (*_REGISTRY, *_CREDENTIAL))
    for name in ("type", "url"):
        if not thing.get(name):
            yield f"has no {name}"


def _registry_made(wanted: Thing, _actual: Thing | None) -> Thing:
    credential = {name.removeprefix("credential_"): wanted[name] for name in _CREDENTIAL if name in wanted}
    if credential:
        credential.setdefault("type", "basic")
    return {**pick(wanted, _REGISTRY), **({"credential": credential} if credential else {})}


def _change_registry(api: Api, wanted: Thing, actual: Thing | None) -> None:
    # The password goes along: the server tries the registry with what it is given, and a user without it is of no use.
    api.request("PUT", f"registries/{(actual or {})['id']}", _without("type")(wanted, None))


# Replication

_POLICY = (
    "name",
    "description",
    "dest_namespace",
    "dest_namespace_replace_count",
    "filters",
    "replicate_deletion",
    "override",
    "enabled",
    "speed",
    "copy_by_chunk",
    "single_active_replication",
)


def _replication(said: Thing) -> Thing:
    trigger = said.get("trigger") or {}
    # This very server is a registry without a name, of the id 0.
    ends = {end: (said.get(f"{end}_registry") or {}) for end in ("src", "dest")}
    return {
        **pick(said, ("id", *_POLICY)),
        "filters": [_filter(one) for one in said.get("filters") or ()],
        "trigger": trigger.get("type") or "manual",
        "cron": (trigger.get("trigger_settings") or {}).get("cron") or "",
        **{f"{end}_registry": one.get("name") if one.get("id") else "" for end, one in ends.items()},
    }


def _filter(one: Mapping[str, Any]) -> Thing:
    return {name: one[name] for name in ("type", "value", "decoration") if one.get(name)}


def _replication_wanted(thing: Thing) -> Thing:
    ends = {end: thing.get(end) or "" for end in ("src_registry", "dest_registry")}
    trigger = thing.get("trigger") or ("scheduled" if thing.get("cron") else "manual")
    return {**thing, **ends, "trigger": trigger, "cron": thing.get("cron") or ""}


def _replication_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, (*_POLICY, "src_registry", "dest_registry", "trigger", "cron"))
    yield from one_of(thing, "trigger", ("manual", "scheduled", "event_based"))
    yield from _cron(thing.get("cron"))
    if bool(thing.get("src_registry")) == bool(thing.get("dest_registry")):
        yield "needs either src_registry (from there to here) or dest_registry (from here to there)"
    if (thing.get("trigger") == "scheduled") != bool(thing.get("cron")) and thing.get("trigger"):
        yield "cron and the trigger scheduled belong together"


def _save_replication(api: Api, wanted: Thing, actual: Thing | None) -> None:
    merged = {**(actual or {}), **wanted}
    settings = {"trigger_settings": {"cron": merged["cron"]}} if merged["cron"] else {}
    body = {**pick(merged, _POLICY), "trigger": {"type": merged["trigger"], **settings}}
    if "replicate_deletion" in body:
        # Older servers read the deprecated name only (handler/replication.go).
        body["deletion"] = body["replicate_deletion"]
    for end in ("src_registry", "dest_registry"):
        body[end] = {"id": _of(api).registry(str(merged[end])) if merged[end] else 0}
    if actual:
        api.request("PUT", f"replication/policies/{actual['id']}", body)
    else:
        api.request("POST", "replication/policies", body)


# What repositories and tags a rule is for

_SELECTORS = ("repositories", "exclude_repositories", "tags", "exclude_tags", "untagged")


def _selectors(rule: Mapping[str, Any]) -> Thing:
    """The selectors of the API for `repositories` or `exclude_repositories`, `tags` or `exclude_tags`."""

    def one(what: str, words: tuple[str, str]) -> Thing:
        out = rule.get(f"exclude_{what}")
        return {"kind": "doublestar", "decoration": words[bool(out)], "pattern": str(out or rule.get(what) or "**")}

    tags = one("tags", ("matches", "excludes"))
    if "untagged" in rule:
        tags["extras"] = json.dumps({"untagged": bool(rule["untagged"])}, separators=(",", ":"))
    repositories = one("repositories", ("repoMatches", "repoExcludes"))
    return {"tag_selectors": [tags], "scope_selectors": {"repository": [repositories]}}


def _selected(said: Mapping[str, Any]) -> Thing:
    """The other way round; what has another form than ours is told as it is."""
    tags = list(said.get("tag_selectors") or ())
    repositories = list((said.get("scope_selectors") or {}).get("repository") or ())
    rule: Thing = {}
    for what, found in (("tags", tags), ("repositories", repositories)):
        if len(found) != 1:
            rule[what] = found
            continue
        name = f"exclude_{what}" if str(found[0].get("decoration")).lower().endswith("excludes") else what
        rule[name] = found[0].get("pattern")
    try:
        extras = json.loads(tags[0].get("extras") or "{}") if tags else {}
    except ValueError:
        extras = {}
    rule["untagged"] = bool(extras.get("untagged"))
    return rule


def _whole(rule: Mapping[str, Any]) -> Thing:
    """A declared rule with what is usual where nothing is said."""
    sides = {what: "**" for what in ("repositories", "tags") if not rule.get(f"exclude_{what}") and not rule.get(what)}
    return {**sides, "untagged": False, "disabled": False, **rule}


def _sides(rule: Mapping[str, Any]) -> Iterator[str]:
    for what in ("repositories", "tags"):
        if rule.get(what) and rule.get(f"exclude_{what}"):
            yield f"{what} and exclude_{what} exclude each other"


# Retention: one policy a project. A proxy cache is made with one (handler/project.go), which is then changed.


def _retention(api: Api, scope: Thing) -> dict[Key, Thing]:
    project = str(scope["project"])
    try:
        said = _of(api).project(project)
        number = (said.get("metadata") or {}).get("retention_id")
        if not number:
            return {}
        policy = dict(api.request("GET", f"retentions/{number}").body or {})
    except NotFound:
        return {}
    trigger = policy.get("trigger") or {}
    return {
        (project,): {
            "project": project,
            "rules": [_retention_told(rule) for rule in policy.get("rules") or ()],
            "cron": (trigger.get("settings") or {}).get("cron") or "",
            "id": number,
            "references": trigger.get("references"),
        }
    }


def _retention_told(rule: Mapping[str, Any]) -> Thing:
    keep = rule.get("template")
    count = (rule.get("params") or {}).get(keep)
    told = {"keep": keep, "disabled": bool(rule.get("disabled")), **_selected(rule)}
    return told if count is None else {**told, "count": count}


def _retention_wanted(thing: Thing) -> Thing:
    return {**thing, "rules": [_whole(rule) for rule in thing.get("rules") or ()], "cron": thing.get("cron") or ""}


def _retention_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, ("project", "rules", "cron"))
    yield from _cron(thing.get("cron"))
    # handler/retention.go: CreateRetention
    if not 1 <= len(thing.get("rules") or ()) <= 15:
        yield "has no rules, or more than 15"
    for rule in thing.get("rules") or ():
        yield from only(rule, ("keep", "count", "disabled", *_SELECTORS))
        yield from _sides(rule)
        if rule.get("keep") not in (*_COUNTED, "always"):
            yield f"keep is {rule.get('keep')!r}, not one of {', '.join((*_COUNTED, 'always'))}"
        elif (rule["keep"] in _COUNTED) != isinstance(rule.get("count"), int):
            yield f"a rule {rule['keep']} needs {'a' if rule['keep'] in _COUNTED else 'no'} count"


def _save_retention(api: Api, wanted: Thing, actual: Thing | None) -> None:
    project = _of(api).project(str(wanted["project"]))
    number = (project.get("metadata") or {}).get("retention_id")
    if number and not actual:
        # A new proxy cache has a policy, which is changed; or it is the number of one that was deleted.
        try:
            api.request("GET", f"retentions/{number}")
        except NotFound:
            number = None
    rules = [
        {
            "action": "retain",
            "template": rule["keep"],
            "params": {rule["keep"]: rule["count"]} if "count" in rule else {},
            "disabled": rule["disabled"],
            **_selectors(rule),
        }
        for rule in wanted["rules"]
    ]
    trigger = {"kind": "Schedule", "settings": {"cron": wanted["cron"]}}
    if (actual or {}).get("references"):
        trigger["references"] = (actual or {})["references"]
    scope = {"level": "project", "ref": project["project_id"]}
    body: Thing = {"algorithm": "or", "rules": rules, "trigger": trigger, "scope": scope}
    if number:
        api.request("PUT", f"retentions/{number}", {"id": int(number), **body})
    else:
        api.request("POST", "retentions", body)


# Immutable tags: a rule has no name, so what it is for is its key.


def _rule_name(rule: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={rule[name]}"
        for name in ("repositories", "exclude_repositories", "tags", "exclude_tags")
        if rule.get(name)
    )


def _immutable(api: Api, scope: Thing) -> dict[Key, Thing]:
    project = str(scope["project"])
    try:
        listed = _all(api, _project_path(project, "/immutabletagrules"))
    except NotFound:
        return {}
    found: dict[Key, Thing] = {}
    for one in listed:
        rule = _rule_name(_selected(one))
        found[project, rule] = {
            "project": project,
            "rule": rule,
            "disabled": bool(one.get("disabled")),
            "id": one["id"],
        }
    return found


def _immutable_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, ("project", "rule", "disabled", *_SELECTORS[:-1]))
    yield from _sides(thing)


def _immutable_body(wanted: Thing, actual: Thing | None) -> Thing:
    number = {"id": actual["id"]} if actual else {}
    disabled = bool(wanted.get("disabled"))
    # As Harbor's own portal sends it.
    about = {"action": "immutable", "template": "immutable_template", "params": {}}
    return {**number, **about, "disabled": disabled, **_selectors(wanted)}


def _change_immutable(api: Api, wanted: Thing, actual: Thing | None) -> None:
    body = _immutable_body(wanted, actual)
    api.request("PUT", f"{_project_path(wanted['project'], '/immutabletagrules')}/{body['id']}", body)


# Webhooks. A policy has one target: the portal makes no more, either.

_TARGET = ("type", "address", "auth_header", "skip_cert_verify", "payload_format")
_WEBHOOK = ("description", "enabled", "event_types")


def _webhook(said: Thing) -> Thing:
    targets = list(said.get("targets") or ())
    target = {name: targets[0].get(name) for name in _TARGET} if targets else {}
    about = {**pick(said, ("project", "name", "id", *_WEBHOOK)), **target}
    return {**about, "further_targets": targets[1:]}


def _webhook_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, ("project", "name", *_WEBHOOK, *_TARGET))
    yield from one_of(thing, "type", ("http", "slack", "teams"))
    for name in ("address", "event_types"):
        if not thing.get(name):
            yield f"has no {name}"
    if "?" in str(thing.get("address")):
        # handler/webhook.go: validateTargets
        yield "its address has a query, which the server leaves out"


def _webhook_body(wanted: Thing, actual: Thing | None) -> Thing:
    merged = {"type": "http", "enabled": True, **pick(actual or {}, ("id", *_WEBHOOK, *_TARGET)), **wanted}
    return {**pick(merged, ("id", "name", *_WEBHOOK)), "targets": [pick(merged, _TARGET)]}


# What there is one of


def _collection(api: Api, _scope: Thing) -> dict[Key, Thing]:
    said = api.request("GET", "system/gc/schedule").body or {}
    schedule = said.get("schedule") or {}
    try:
        parameters = json.loads(said.get("job_parameters") or "{}")
    except ValueError:
        parameters = {}
    about = {name: parameters.get(name) for name in ("delete_untagged", "workers")}
    cron = schedule.get("cron") if schedule.get("type") not in (None, "", "None", "Manual") else ""
    return {("schedule",): {"name": "schedule", "cron": cron or "", **about}}


def _collection_check(thing: Thing) -> Iterator[str]:
    yield from only(thing, ("name", "cron", "delete_untagged", "workers"))
    yield from _cron(thing.get("cron"))
    if thing.get("cron") is None:
        yield "has no cron (an empty one is for no schedule)"


def _change_collection(api: Api, wanted: Thing, actual: Thing | None) -> None:
    merged = {**(actual or {}), **wanted}
    cron = merged["cron"]
    schedule = {"type": "Custom", "cron": cron} if cron else {"type": "None", "cron": ""}
    # The server writes into the parameters: without them it would trip (handler/gc.go, `kick`).
    body = {"schedule": schedule, "parameters": pick(merged, ("delete_untagged", "workers"))}
    api.request("PUT" if (actual or {}).get("cron") else "POST", "system/gc/schedule", body)


def _configuration(api: Api, _scope: Thing) -> dict[Key, Thing]:
    said = api.request("GET", "configurations").body or {}
    values = {name: item.get("value") for name, item in said.items() if isinstance(item, Mapping)}
    fixed = [name for name, item in said.items() if isinstance(item, Mapping) and item.get("editable") is False]
    return {("system",): {"name": "system", **values, "_fixed": fixed}}


def _change_configuration(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    # The secrets go along: the server tries what it is told of OIDC with them.
    api.request("PUT", "configurations", _without("name")(wanted, None))


def _in_project(name: str, below: str, **more: Any) -> Kind:
    return Kind(name, item=f"projects/{{project}}/{below}/{{id}}", parent=("project", ("project",)), **more)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "configuration",
            collect=_configuration,
            change=_change_configuration,
            delete=("", ""),
            unread=frozenset({"oidc_client_secret", "ldap_search_password", "uaa_client_secret"}),
        ),
        Kind(
            "garbage collection",
            collect=_collection,
            change=_change_collection,
            delete=("", ""),
            check=_collection_check,
        ),
        Kind(
            "registry",
            item="registries/{id}",
            collection="registries",
            page_size=_PAGE,
            actual=_registry,
            create=("POST", "registries"),
            create_body=_registry_made,
            change=_change_registry,
            immutable=frozenset({"type"}),
            unread=frozenset({"access_secret"}),
            check=_registry_check,
            lost="every replication and proxy cache of it",
        ),
        Kind(
            "project",
            item="projects/{name}",
            collect=_projects,
            wanted=_project,
            make=_make_project,
            change=_change_project,
            immutable=frozenset({"registry"}),
            protected=True,
            check=_project_check,
            lost="every image in it",
            after=("registry", "configuration"),
        ),
        _in_project(
            "member",
            "members",
            key=("project", "kind", "name"),
            collect=_members,
            create=("POST", "projects/{project}/members"),
            create_body=_member_body,
            update_body=lambda wanted, _actual: {"role_id": ROLES[wanted["role"]]},
            create_only=frozenset({"group_type", "ldap_group_dn"}),
            check=_member_check,
            managed=lambda _key, actual: not actual.get("owner"),
        ),
        Kind(
            "project robot",
            item="robots/{id}",
            key=("project", "name"),
            collect=_robots,
            wanted=_robot,
            make=_make_robot,
            change=_change_robot,
            check=_robot_check,
            parent=("project", ("project",)),
        ),
        Kind(
            "system robot",
            item="robots/{id}",
            collect=_robots,
            wanted=_robot,
            make=_make_robot,
            change=_change_robot,
            check=_robot_check,
            after=("project",),
        ),
        Kind(
            "replication",
            item="replication/policies/{id}",
            collection="replication/policies",
            page_size=_PAGE,
            actual=_replication,
            wanted=_replication_wanted,
            make=_save_replication,
            change=_save_replication,
            check=_replication_check,
            after=("registry",),
        ),
        Kind(
            "retention",
            item="retentions/{id}",
            key=("project",),
            collect=_retention,
            wanted=_retention_wanted,
            make=_save_retention,
            change=_save_retention,
            check=_retention_check,
            parent=("project", ("project",)),
        ),
        _in_project(
            "immutable tag rule",
            "immutabletagrules",
            key=("project", "rule"),
            collect=_immutable,
            create=("POST", "projects/{project}/immutabletagrules"),
            create_body=_immutable_body,
            create_only=frozenset(_SELECTORS),
            change=_change_immutable,
            check=_immutable_check,
        ),
        _in_project(
            "webhook",
            "webhook/policies",
            key=("project", "name"),
            collection="projects/{project}/webhook/policies",
            page_size=_PAGE,
            actual=_webhook,
            create=("POST", "projects/{project}/webhook/policies"),
            create_body=_webhook_body,
            update_body=_webhook_body,
            secret=frozenset({"auth_header"}),
            check=_webhook_check,
        ),
    )
}
SECRETS = frozenset().union(*(kind.hidden for kind in KINDS.values()))

# The options that declare something.
DECLARED = ("configuration", "garbage_collection", "registries", "projects", "robots", "replications")
# What is in a project: field, kind.
_PARTS = {
    "members": "member",
    "robots": "project robot",
    "retention": "retention",
    "immutable_tags": "immutable tag rule",
    "webhooks": "webhook",
}


def wishes_of(declared: Mapping[str, Any], secrets: bool = False) -> list[Wish]:
    """Make wishes of the module's options.

    Args:
        declared: what DECLARED names; None for what this task is not about.
        secrets: whether robots whose secret is not in Vault get a new one.

    Raises:
        Failure: a member is neither user nor group.
    """
    things: dict[str, list[Thing]] = {}
    scopes: dict[str, list[Thing]] = {}
    kept = {"secret_in_vault": True} if secrets else {}

    for option, kind in (("registries", "registry"), ("replications", "replication"), ("robots", "system robot")):
        if declared.get(option) is not None:
            more = kept if option == "robots" else {}
            things[kind], scopes[kind] = [{**one, **more} for one in declared[option]], [{}]
    for option, kind, name in (
        ("configuration", "configuration", "system"),
        ("garbage_collection", "garbage collection", "schedule"),
    ):
        if declared.get(option) is not None:
            things[kind] = [{**declared[option], "name": name}]
    if declared.get("projects") is not None:
        things["project"], scopes["project"] = [], [{}]
        for project in declared["projects"]:
            things["project"].append({name: value for name, value in project.items() if name not in _PARTS})
            at = {"project": project.get("name")}
            for part, kind in _PARTS.items():
                if project.get(part) is None:
                    continue
                scopes.setdefault(kind, []).append(at)
                for one in [project[part]] if part == "retention" and project[part] else project[part] or ():
                    things.setdefault(kind, []).append(
                        {**_part(kind, one, project), **at, **(kept if part == "robots" else {})}
                    )
    kinds = [name for name in KINDS if name in things or name in scopes]
    return [Wish(KINDS[name], things.get(name, []), scopes.get(name, [])) for name in kinds]


def _part(kind: str, one: Mapping[str, Any], project: Mapping[str, Any]) -> Thing:
    if kind == "member":
        of = [name for name in ("user", "group") if one.get(name)]
        if len(of) != 1:
            raise Failure(f"project {project.get('name')}: a member needs either user or group", "correct it")
        rest = {name: value for name, value in one.items() if name not in ("user", "group")}
        return {**rest, "kind": of[0], "name": one[of[0]]}
    if kind == "immutable tag rule":
        whole = {name: value for name, value in _whole(one).items() if name != "untagged"}
        return {**whole, "rule": _rule_name(whole)}
    return dict(one)


def refuse(api: HarborApi, reconciler: Reconciler, wishes: Iterable[Wish]) -> list[str]:
    """See that what is planned can be done, as far as it can be told without doing it.

    Returns:
        Warnings.

    Raises:
        Failure: naming everything that is wrong.
    """
    bad: list[str] = []
    for entry in reconciler.changing():
        kind, wanted, actual = entry.kind, entry.wanted or {}, entry.actual or {}
        if kind.name == "configuration":
            known = {*actual, *kind.unread}
            bad += [f"configuration: there is no {name}" for name in sorted(set(wanted) - known)]
            changed = set(entry.step.after or {})
            bad += [f"configuration: {name} cannot be changed" for name in sorted(changed & set(actual["_fixed"]))]
        if kind.name.endswith("robot") and entry.step.action == "create" and api.secrets is None:
            bad.append(f"{kind.name} {entry.step.target}: its secret would be lost, as nobody has said where it goes")
    if bad:
        raise Failure("; ".join(bad), "correct the declaration (robot_secrets for robots); nothing was changed")
    if api.secrets is None or api.secrets.renew:
        return []
    declared = {_entry(thing) for wish in wishes if wish.kind.name.endswith("robot") for thing in wish.things}
    return [
        f"robot {name}: its secret is not in Vault (robot_secrets.renew_missing gives it a new one, and ends the old)"
        for name in sorted(api.secrets.missing & declared)
    ]
