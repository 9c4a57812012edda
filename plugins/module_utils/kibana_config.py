# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kibana is configured with, as kinds of the engine in rest.py.

Paths and fields are those of the vendor's documentation and source (elastic/kibana); docs/kibana_config.md names the
places. None of it has been seen against Kibana itself.

Connectors, saved objects and alerting rules lie in a space, whose path comes before theirs. Kibana adds defaults inside
of `config`, `params` and `attributes`, which differ by type: there, what is declared is looked for in what is there.
"""

from __future__ import annotations

import functools
import json
import os
import re
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast
from urllib.parse import quote

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    PACE,
    Answer,
    Forbidden,
    HttpError,
    Item,
    NotFound,
    Result,
    Session,
    Unauthenticated,
    Unreachable,
    Untrusted,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import (
    Api,
    Entry,
    Key,
    Kind,
    Reconciler,
    Thing,
    Wish,
    one_of,
    only,
    pick,
)

# Options by which the server is found; documented in plugins/doc_fragments/kibana.py.
CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "str"},
    "ca_path": {"type": "path", "aliases": ["ca_cert"]},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "api_key": {"type": "str", "no_log": True},
    **PACE,
}
_ENVIRONMENT = {
    "url": "KIBANA_URL",
    "ca_path": "KIBANA_CACERT",
    "client_cert": "KIBANA_CLIENT_CERT",
    "client_key": "KIBANA_CLIENT_KEY",
    "username": "KIBANA_USERNAME",
    "password": "KIBANA_PASSWORD",
    "api_key": "KIBANA_API_KEY",
}
DEFAULT_SPACE = "default"
_PAGE = 100
_MOST_NAMED = 5


class _Server(Session):
    """The server, in Kibana's own terms: `error` is the name of the status, `message` says what is wrong."""

    def said(self, answer: Answer) -> str:
        message = answer.body.get("message") if isinstance(answer.body, Mapping) else None
        return " ".join(message.split()) if isinstance(message, str) and message else super().said(answer)

    def failure(self, host: str, method: str, path: str, answer: Answer) -> HttpError:
        error = super().failure(host, method, path, answer)
        if isinstance(error, Unauthenticated):
            error.next_step = "check username and password, or api_key"
        elif isinstance(error, Forbidden):
            error.next_step = "give a role of the user the Kibana privilege for this, in this space"
        return error


class KibanaApi:
    """Kibana as the engine sees it.

    Args:
        options: as CONNECTION has them; what is not given is taken from the environment (KIBANA_URL and so on).

    Attributes:
        session: the requests.
        warnings: what came out differently from how it was written.
        seen: secrets that it was given, for masking.

    Raises:
        Failure: an option is missing or unusable.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = {name: str(options.get(name) or os.environ.get(of) or "") for name, of in _ENVIRONMENT.items()}
        if not given["url"]:
            raise Failure("Kibana: there is no url", "set url, or KIBANA_URL in the environment")
        pair = f"{given['username']}:{given['password']}" if given["username"] and given["password"] else ""
        token = given["api_key"] or (b64encode(pair.encode()).decode() if pair else "")
        if not token and not given["client_cert"]:
            raise Failure("Kibana: there is no log-in", "set username and password, api_key, or client_cert")
        self.seen: set[str] = {text for text in (given["password"], token) if text}
        scheme = "ApiKey" if given["api_key"] else "Basic"
        self.session: Session = _Server(
            [given["url"]],
            ca_path=given["ca_path"],
            client_cert=given["client_cert"],
            client_key=given["client_key"],
            # Without kbn-xsrf Kibana refuses everything but reading.
            headers={"kbn-xsrf": "true", **({"Authorization": f"{scheme} {token}"} if token else {})},
            timeout=float(options.get("timeout") or 65),
            retry_for=float(options.get("retry_for") or 0),
            parallel=int(options.get("parallel") or 8),
            name="Kibana",
        )
        self.warnings: list[str] = []

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    def is_there(self) -> bool:
        """Whether it answers: before the first install it does not.

        Raises:
            Untrusted: the wrong CA, which will not go by itself.
        """
        try:
            self.session.request("GET", "api/status")
        except Untrusted:
            raise
        except Unreachable:
            return False
        except (Unauthenticated, Forbidden):
            pass  # the request that needs the right says so better
        return True

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | Failure]:
        """Do the same with many items, a few at a time."""
        return self.session.each(work, items)

    def request(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Answer:
        """Send one request."""
        return self.session.request(method, path, body, query=query or None)

    def exported(self, space: str, types: Iterable[str]) -> list[Thing]:
        """All saved objects of some types in a space.

        Raises:
            HttpError: a type is none that can be exported, or there are more objects than the server exports.
        """
        body = {"type": sorted(types), "excludeExportDetails": True}
        answer = self.session.request("POST", _path(space, "saved_objects", "_export"), body, idempotent=True)
        # One JSON a line. No other separator of lines: within JSON they may stand as they are.
        return [json.loads(line) for line in answer.text.split("\n") if line.strip()]

    def imported(self, space: str, thing: Thing, overwrite: bool) -> Thing:
        """Import one saved object into a space; gives the result's entry for it.

        Raises:
            Failure: Kibana has not taken it.
        """
        boundary = uuid.uuid4().hex
        head = (
            'Content-Disposition: form-data; name="file"; filename="import.ndjson"\r\nContent-Type: application/ndjson'
        )
        line = json.dumps(thing, ensure_ascii=True)
        answer = self.session.request(
            "POST",
            _path(space, "saved_objects", "_import"),
            f"--{boundary}\r\n{head}\r\n\r\n{line}\n\r\n--{boundary}--\r\n".encode(),
            query={"overwrite": "true"} if overwrite else None,
            content=f"multipart/form-data; boundary={boundary}",
        )
        result = answer.body if isinstance(answer.body, Mapping) else {}
        if not result.get("success"):
            wrong = [_import_error(one.get("error") or {}) for one in result.get("errors") or ()]
            raise Failure(
                f"{_object_named(space, thing)}: Kibana has not imported it: {'; '.join(wrong) or 'no reason given'}",
                "declare what it refers to, or correct the object",
            )
        return dict(next(iter(result.get("successResults") or ()), {}))


def _import_error(error: Mapping[str, Any]) -> str:
    about = [f"{one.get('type')}/{one.get('id')}" for one in error.get("references") or ()]
    about += [str(error["message"])] if error.get("message") else []
    kind = str(error.get("type") or "unknown")
    return f"{kind}: {', '.join(about)}" if about else kind


def _object_named(space: str, thing: Mapping[str, Any]) -> str:
    return f"saved object {space}/{thing['type']}/{thing['id']}"


def _of(api: Api) -> KibanaApi:
    """The kinds of this module meet no other client."""
    return cast(KibanaApi, api)


def _path(space: Any, *parts: Any) -> str:
    """A path of the API in a space; the default space has none of its own."""
    prefix = "" if str(space) == DEFAULT_SPACE else f"s/{quote(str(space), safe='')}/"
    return f"{prefix}api/{'/'.join(quote(str(part), safe='') for part in parts)}"


# Comparing


def _parsed(value: Any) -> Any:
    """JSON that is kept as a text within JSON, as dashboards and queries are."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return _parsed(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, Mapping):
        return {name: _parsed(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_parsed(one) for one in value]
    return value


def covers(wanted: Any, actual: Any) -> bool:
    """Whether what is wanted is there; mappings may have more than is wanted. Nothing is nothing ("", 0, null)."""
    if isinstance(wanted, Mapping):
        there = actual or {}
        return isinstance(there, Mapping) and all(covers(one, there.get(name)) for name, one in wanted.items())
    if isinstance(wanted, (list, tuple)):
        listed = actual or []
        return isinstance(listed, (list, tuple)) and len(wanted) == len(listed) and all(map(covers, wanted, listed))
    if not wanted and not actual:
        return True
    return bool(wanted == actual) and isinstance(wanted, bool) == isinstance(actual, bool)


def _form(name: str, value: Any) -> Any:
    if name in ("tags", "disabledFeatures"):
        return sorted(map(str, value or ()))
    if name == "references":
        listed = [pick(one, ("name", "type", "id")) for one in value or ()]
        return sorted(listed, key=lambda one: json.dumps(one, sort_keys=True))
    if name == "actions":
        return [{field: one for field, one in action.items() if field in _ACTION} for action in _parsed(value or [])]
    return _parsed(value)


@dataclass(frozen=True)
class _Kind(Kind):
    """A kind whose fields may have more inside than is declared."""

    form: Callable[[str, Any], Any] | None = _form

    def differs(self, name: str, wanted: Any, actual: Any) -> bool:
        return not covers(_form(name, wanted), _form(name, actual))


# What is declared

_SPACE = ("name", "description", "initials", "color", "disabledFeatures", "imageUrl", "solution")
_CONNECTOR = ("name", "connector_type_id", "config")
_VERSIONS = ("coreMigrationVersion", "typeMigrationVersion")
_OBJECT = ("attributes", "references", *_VERSIONS)
# What an export has besides, and an import makes anew.
_EXPORTED = tuple("created_at created_by managed namespaces originId score sort updated_at updated_by version".split())
_REPLACED = (
    "name",
    "tags",
    "schedule",
    "params",
    "actions",
    "notify_when",
    "throttle",
    "alert_delay",
    "flapping",
)
_ALERT = ("rule_type_id", "consumer", "enabled", *_REPLACED)
_ACTION = ("id", "group", "params", "frequency", "uuid", "alerts_filter", "use_alert_data_for_template")
_NOTIFY = ("onActionGroupChange", "onActiveAlert", "onThrottleInterval")
_SOLUTIONS = ("es", "oblt", "security", "classic")
# Saved objects that have an option of their own here, or a secret in them that an import would lose.
_ELSEWHERE = {"action": "connectors", "alert": "alerts", "space": "spaces"}
# Applications that make rules by themselves, through APIs of their own.
_OTHERS = ("monitoring", "siem")
_SPACE_ID = re.compile(r"[a-z0-9_-]+")
_COLOR = re.compile(r"#[a-zA-Z0-9]{6}")
# utils-server/src/saved_objects_utils.ts: UUID_REGEX
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
_INTERVAL = re.compile(r"[1-9]\d*[smhd]")


def _forms(thing: Thing, kind: type, named: str, *fields: str) -> Iterator[str]:
    for name in fields:
        if thing.get(name) is not None and not isinstance(thing[name], kind):
            yield f"{name} is no {named}"


def _declared(thing: Thing, known: Iterable[str], *needed: str) -> Iterator[str]:
    """See that a thing in a space has its fields and no others."""
    yield from only(thing, known)
    for name in needed:
        if thing.get(name) in (None, "", {}):
            yield f"has no {name}"
    if not _SPACE_ID.fullmatch(str(thing["space"])):
        yield f"space is {thing['space']!r}, which is no id of a space"
    yield from _forms(thing, dict, "mapping", "config", "secrets", "attributes", "params", "schedule")
    yield from _forms(thing, dict, "mapping", "alert_delay", "flapping")
    yield from _forms(thing, list, "list", "references", "actions", "tags")


def _check_space(thing: Thing) -> Iterator[str]:
    # lib/space_schema.ts
    yield from only(thing, ("id", *_SPACE))
    if not thing.get("name"):
        yield "has no name"
    if not _SPACE_ID.fullmatch(str(thing["id"])):
        yield "its id has other characters than a-z, 0-9, _ and -"
    if len(str(thing.get("initials") or "")) > 2:
        yield f"initials is {thing['initials']!r}: one or two characters"
    if thing.get("color") is not None and not _COLOR.fullmatch(str(thing["color"])):
        yield f"color is {thing['color']!r}, and not as in '#aabbcc'"
    if thing.get("imageUrl") and not str(thing["imageUrl"]).startswith("data:image"):
        yield "imageUrl does not begin with data:image"
    yield from _forms(thing, list, "list", "disabledFeatures")
    yield from one_of(thing, "solution", _SOLUTIONS)
    if thing.get("disabledFeatures") and thing.get("solution") not in (None, "classic"):
        # lib/utils/space_solution_disabled_features.ts
        yield f"disabledFeatures counts with solution classic only, and solution is {thing['solution']}"


def _check_connector(thing: Thing) -> Iterator[str]:
    yield from _declared(thing, ("space", "id", *_CONNECTOR, "secrets"), "name", "connector_type_id")


def _check_object(thing: Thing) -> Iterator[str]:
    yield from _declared(thing, ("space", "type", "id", *_OBJECT, *_EXPORTED), "attributes")
    if thing["type"] in _ELSEWHERE:
        yield f"declare it in {_ELSEWHERE[thing['type']]}"
    for one in thing.get("references") or ():
        if not isinstance(one, Mapping) or not all(one.get(name) for name in ("name", "type", "id")):
            yield "references: each has name, type and id"
            return


def _check_alert(thing: Thing) -> Iterator[str]:
    needed = ("name", "rule_type_id", "consumer", "schedule")
    troubles = list(_declared(thing, ("space", "id", *_ALERT), *needed))
    yield from troubles
    if troubles:
        return
    if not _UUID.fullmatch(str(thing["id"])):
        yield "its id is no UUID, and Kibana takes no other (the filter ansible.builtin.to_uuid makes one of a text)"
    yield from _forms(thing, bool, "true or false", "enabled")
    yield from one_of(thing, "notify_when", _NOTIFY)
    if set(thing["schedule"]) != {"interval"} or not _INTERVAL.fullmatch(str(thing["schedule"]["interval"])):
        yield "schedule has an interval and nothing else, as in 30s, 5m, 1h, 1d"
    for number, action in enumerate(thing.get("actions") or (), start=1):
        if not isinstance(action, Mapping) or not action.get("id"):
            yield f"action {number} has no id, of its connector"
        else:
            yield from (f"action {number}: {trouble}" for trouble in only(dict(action), _ACTION))


# Spaces


def _space_told(said: Thing) -> Thing:
    return pick(said, (*_SPACE, "_reserved"))


def _space_sent(wanted: Thing, actual: Thing | None) -> Thing:
    return {"id": wanted["id"], **pick(actual or {}, _SPACE), **pick(wanted, _SPACE)}


def _space_ours(key: Key, actual: Thing) -> bool:
    return key[0] != DEFAULT_SPACE and not actual.get("_reserved")


# Connectors


def _connectors(api: Api, scope: Thing) -> dict[Key, Thing]:
    space = str(scope["space"])
    try:
        listed = api.request("GET", _path(space, "actions", "connectors")).body or []
    except NotFound:
        return {}
    return {
        (space, str(one["id"])): {
            "space": space,
            "id": one["id"],
            **pick(one, _CONNECTOR),
            "foreign": bool(one.get("is_preconfigured") or one.get("is_system_action")),
            "secrets_lost": bool(one.get("is_missing_secrets")),
        }
        for one in listed
    }


def _connector_path(thing: Thing) -> str:
    return _path(thing["space"], "actions", "connector", thing["id"])


def _make_connector(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    api.request("POST", _connector_path(wanted), pick(wanted, (*_CONNECTOR, "secrets")))


def _change_connector(api: Api, wanted: Thing, actual: Thing | None) -> None:
    body = {**pick(actual or {}, ("name", "config")), **pick(wanted, ("name", "config", "secrets"))}
    api.request("PUT", _connector_path(wanted), body)


# Saved objects. The APIs of single objects are deprecated: they are read by export, and written by import.


def _objects(declared: frozenset[Key], api: Api, scope: Thing) -> dict[Key, Thing]:
    """The saved objects of a space, of the types that are declared in it.

    An id is used once in all spaces. An object whose id is taken in another space gets an id of its own, and tells the
    one that it was imported with as its origin: by that it is known here.
    """
    space = str(scope["space"])
    ids = {(kind, name) for of, kind, name in declared if of == space}
    if not ids:
        return {}
    try:
        listed = _of(api).exported(space, {kind for kind, _name in ids})
    except NotFound:
        return {}
    names: dict[tuple[str, str], str] = {}
    there = {(str(one["type"]), str(one["id"])) for one in listed}
    for one in listed:
        own, origin = (one["type"], str(one["id"])), (one["type"], str(one.get("originId") or ""))
        names[own] = origin[1] if own not in ids and origin in ids and origin not in there else own[1]
    found: dict[Key, Thing] = {}
    for one in listed:
        kind, own_id = str(one["type"]), str(one["id"])
        references = [
            {**pick(ref, ("name", "type")), "id": names.get((ref.get("type"), str(ref.get("id"))), ref.get("id"))}
            for ref in one.get("references") or ()
        ]
        found[space, kind, names[kind, own_id]] = {
            "space": space,
            "type": kind,
            "id": names[kind, own_id],
            **pick(one, ("attributes", *_VERSIONS, "originId")),
            "references": references,
            "own_id": own_id,
            "foreign": bool(one.get("managed")),
        }
    return found


def _object_wanted(declared: Thing) -> Thing:
    return pick(declared, ("space", "type", "id", *_OBJECT))


def _make_object(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    line = {"references": [], **pick(wanted, ("type", "id", *_OBJECT))}
    result = _of(api).imported(wanted["space"], line, overwrite=False)
    if result.get("destinationId"):
        _of(api).warnings.append(
            f"{_object_named(wanted['space'], wanted)}: another space has this id,"
            f" so Kibana has made it with the id {result['destinationId']}"
        )


def _change_object(api: Api, wanted: Thing, actual: Thing | None) -> None:
    there = actual or {}
    line = {**pick(there, ("references", "originId")), **pick(wanted, ("type", *_OBJECT)), "id": there["own_id"]}
    _of(api).imported(wanted["space"], line, overwrite=True)


def _remove_object(api: Api, _wanted: Thing, actual: Thing | None) -> None:
    there = actual or {}
    _remove(api, _path(there["space"], "saved_objects", there["type"], there["own_id"]))


def _in_order(things: Sequence[Thing]) -> list[Thing]:
    """Saved objects after those that they refer to: Kibana takes no reference to nothing."""
    named = {tuple(str(one.get(name)) for name in ("space", "type", "id")): one for one in things}
    sorter: TopologicalSorter[Key] = TopologicalSorter()
    for (space, kind, name), one in named.items():
        listed = [ref for ref in one.get("references") or () if isinstance(ref, Mapping)]
        needs = [(space, str(ref.get("type")), str(ref.get("id"))) for ref in listed]
        sorter.add((space, kind, name), *(need for need in needs if need in named))
    if len(named) < len(things):
        return list(things)  # one is declared twice, which the engine refuses
    try:
        return [named[key] for key in sorter.static_order()]
    except CycleError:
        return list(things)


# Alerting rules


def _alerts(api: Api, scope: Thing) -> dict[Key, Thing]:
    space = str(scope["space"])
    found: dict[Key, Thing] = {}
    number = seen = 0
    while True:
        number += 1
        query = {"per_page": _PAGE, "page": number, "sort_field": "name", "sort_order": "asc"}
        try:
            body = api.request("GET", _path(space, "alerting", "rules", "_find"), query=query).body or {}
        except NotFound:
            return {}
        rules, total = body.get("data") or [], int(body.get("total") or 0)
        seen += len(rules)
        found.update({(space, str(one["id"])): _alert_told(space, one) for one in rules})
        if not rules or seen >= total:
            break
    if len(found) < total:
        # A rule that moved from one page to another would be taken for one that is not there.
        raise Failure(
            f"Kibana: of {total} alerting rules in space {space} {len(found)} were told",
            "run again: they were changing",
        )
    return found


def _alert_told(space: str, said: Thing) -> Thing:
    return {"space": space, "id": said["id"], **pick(said, _ALERT), "foreign": said.get("consumer") in _OTHERS}


def _alert_wanted(declared: Thing) -> Thing:
    # One that was disabled by hand is drift.
    return {"enabled": True, **declared}


def _alert_path(thing: Thing) -> str:
    return _path(thing["space"], "alerting", "rule", thing["id"])


def _action_sent(wanted: Thing, actual: Thing) -> Thing:
    """An action, with the identifier that it has: with a new one Kibana forgets when it last notified."""
    same_one = all(wanted.get(name) == actual.get(name) for name in ("id", "group"))
    return {**(pick(actual, ("uuid",)) if same_one else {}), **pick(wanted, _ACTION)}


def _alert_sent(wanted: Thing, actual: Thing) -> Thing:
    """What an update says: it replaces the rule, and fields that it lacks are emptied."""
    body = {**pick(actual, (*_REPLACED, "artifacts")), **pick(wanted, _REPLACED)}
    there = list(actual.get("actions") or ())
    body["actions"] = [
        _action_sent(one, there[number] if number < len(there) else {})
        for number, one in enumerate(body.get("actions") or ())
    ]
    return body


def _make_alert(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    api.request("POST", _alert_path(wanted), pick(wanted, _ALERT))


def _change_alert(api: Api, wanted: Thing, _actual: Thing | None) -> None:
    path, kind = _alert_path(wanted), KINDS["alerting rule"]
    # The list does not tell a rule's artifacts (dashboards, an investigation guide): an update without loses them.
    there = dict(api.request("GET", path).body or {})
    if any(kind.differs(name, wanted[name], there.get(name)) for name in _REPLACED if name in wanted):
        api.request("PUT", path, _alert_sent(wanted, there))
    if wanted["enabled"] != bool(there.get("enabled")):
        api.request("POST", f"{path}/{'_enable' if wanted['enabled'] else '_disable'}")


def _remove(api: Api, path: str) -> None:
    try:
        api.request("DELETE", path)
    except NotFound:
        pass  # it went with something else, or somebody was faster


def _removed(path: Callable[[Thing], str]) -> Callable[[Api, Thing, Thing | None], None]:
    return lambda api, _wanted, actual: _remove(api, path(actual or {}))


def _ours(_key: Key, actual: Thing) -> bool:
    return not actual.get("foreign")


_IN_SPACE: dict[str, Any] = {"parent": ("space", ("space",)), "managed": _ours}
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _Kind(
            "space",
            item="api/spaces/space/{id}",
            key=("id",),
            collection="api/spaces/space",
            actual=_space_told,
            create=("POST", "api/spaces/space"),
            create_body=_space_sent,
            update_body=_space_sent,
            check=_check_space,
            managed=_space_ours,
            protected=True,
            lost="everything in it",
        ),
        _Kind(
            "connector",
            key=("space", "id"),
            collect=_connectors,
            make=_make_connector,
            change=_change_connector,
            remove=_removed(_connector_path),
            immutable=frozenset({"connector_type_id"}),
            unread=frozenset({"secrets"}),
            resend=True,
            check=_check_connector,
            lost="the secrets in it",
            **_IN_SPACE,
        ),
        _Kind(
            "saved object",
            key=("space", "type", "id"),
            collect=functools.partial(_objects, frozenset()),
            wanted=_object_wanted,
            make=_make_object,
            change=_change_object,
            remove=_remove_object,
            create_only=frozenset(_VERSIONS),
            check=_check_object,
            **_IN_SPACE,
        ),
        _Kind(
            "alerting rule",
            key=("space", "id"),
            collect=_alerts,
            wanted=_alert_wanted,
            make=_make_alert,
            change=_change_alert,
            remove=_removed(_alert_path),
            immutable=frozenset({"rule_type_id", "consumer"}),
            check=_check_alert,
            after=("connector", "saved object"),
            lost="its alerts and its history",
            **_IN_SPACE,
        ),
    )
}
SECRETS = frozenset().union(*(kind.hidden for kind in KINDS.values()))

# Option: the kind that it declares.
OPTIONS = {
    "spaces": "space",
    "connectors": "connector",
    "saved_objects": "saved object",
    "alerts": "alerting rule",
}
DECLARED = tuple(OPTIONS)


def _see_ids_once(kind: Kind, things: Iterable[Thing]) -> None:
    """See that no id is used in two spaces: Kibana has each once."""
    spaces: dict[str, set[str]] = {}
    for one in things:
        spaces.setdefault(str(one.get("id") or ""), set()).add(str(one["space"]))
    twice = [
        f"{kind.name} {name} is in {' and in '.join(sorted(of))}" for name, of in spaces.items() if name and len(of) > 1
    ]
    if twice:
        raise Failure("; ".join(twice), "give each an id of its own: Kibana uses one once in all spaces")


def wishes_of(declared: Mapping[str, Any]) -> list[Wish]:
    """Make wishes of the module's options: of those that are given, also when they are empty.

    Raises:
        Failure: a connector or alerting rule has the id of one in another space.
    """
    spaces = [{"space": one["id"]} for one in declared.get("spaces") or () if one.get("id")]
    wishes: list[Wish] = []
    for option, name in OPTIONS.items():
        given, kind = declared.get(option), KINDS[name]
        if given is None:
            continue
        if name == "space":
            wishes.append(Wish(kind, given, [{}]))
            continue
        things = [{**one, "space": one.get("space") or DEFAULT_SPACE} for one in given]
        if name == "saved object":
            things = _in_order(things)
            keys = frozenset(kind.key_of(one) for one in things if all(one.get(field) for field in kind.key))
            kind = replace(kind, collect=functools.partial(_objects, keys))
        else:
            _see_ids_once(kind, things)
        wishes.append(Wish(kind, things, spaces))
    return wishes


# What needs what


class _State:
    """What is there, and what will be after the run."""

    def __init__(self, api: Api, reconciler: Reconciler, wishes: Sequence[Wish]) -> None:
        self.declared = {wish.kind.name: {wish.kind.key_of(one): dict(one) for one in wish.things} for wish in wishes}
        self.going = {(entry.kind.name, entry.key) for entry in reconciler.deletions()}
        self._api = api
        self._found = functools.cache(self._find)

    @functools.cached_property
    def _spaces(self) -> set[str]:
        return {str(one["id"]) for one in self._api.request("GET", "api/spaces/space").body or ()}

    def _find(self, collect: Callable[[Api, Thing], dict[Key, Thing]], space: str) -> dict[Key, Thing]:
        is_there = space == DEFAULT_SPACE or space in self._spaces
        return collect(self._api, {"space": space}) if is_there else {}

    def connectors(self, space: str) -> dict[Key, Thing]:
        """The connectors that are there in a space."""
        return self._found(_connectors, space)

    def without_space(self) -> Iterator[str]:
        """The declared things whose space is none, or will be gone."""
        for kind, things in self.declared.items():
            for key in things if kind != "space" else ():
                name = (key[0],)
                kept = key[0] == DEFAULT_SPACE or name in self.declared.get("space", {})
                if not kept and (key[0] not in self._spaces or ("space", name) in self.going):
                    yield f"{kind} {'/'.join(key)}: there is no space {key[0]}"

    def has_connector(self, space: str, name: str) -> bool:
        """Whether there is a connector, or will be: one that a rule names is not pruned. No list has the system's."""
        key = (space, name)
        declared = name.startswith("system-connector-") or key in self.declared.get("connector", {})
        return declared or key in self.connectors(space)

    def users_of(self, entry: Entry) -> list[str]:
        """The alerting rules that will still name a connector."""
        space, name = entry.key
        there = self._found(_alerts, space)
        after = {key: rule for key, rule in there.items() if ("alerting rule", key) not in self.going}
        for key, rule in self.declared.get("alerting rule", {}).items():
            if key[0] == space:
                after[key] = {**after.get(key, {}), **pick(rule, rule)}
        return [
            f"alerting rule {rule.get('name') or key[1]}"
            for key, rule in after.items()
            if any(action.get("id") == name for action in rule.get("actions") or ())
        ]


def refuse(api: Api, reconciler: Reconciler, wishes: Sequence[Wish]) -> list[str]:
    """See that what is planned can be done, as far as it can be told without doing it; leave what is still in use.

    Returns:
        Warnings.

    Raises:
        Failure: naming everything that is wrong.
    """
    state = _State(api, reconciler, wishes)
    bad = list(state.without_space())
    for entry in reconciler.changing():
        bad += _impossible(entry, state)
    if bad:
        raise Failure("; ".join(bad), "declare what is missing, or correct it; nothing was changed")
    warnings: list[str] = []
    changing = {entry.key for entry in reconciler.changing() if entry.kind.name == "connector"}
    for key in state.declared.get("connector", {}):
        if state.connectors(key[0]).get(key, {}).get("secrets_lost") and key not in changing:
            warnings.append(f"connector {'/'.join(key)} has lost its secrets: update_secrets writes them")
    for entry in reconciler.deletions():
        users = state.users_of(entry) if entry.kind.name == "connector" else []
        if users:
            reconciler.leave(entry)
            state.going.discard((entry.kind.name, entry.key))
            more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
            named = f"{', '.join(users[:_MOST_NAMED])}{more}"
            warnings.append(f"connector {'/'.join(entry.key)} is not declared, and stays: it is in use by {named}")
    return warnings


def _impossible(entry: Entry, state: _State) -> Iterator[str]:
    kind, named = entry.kind.name, "/".join(entry.key)
    wanted, actual = entry.wanted or {}, entry.actual or {}
    if actual.get("foreign") and kind == "connector":
        yield f"connector {named} is set in Kibana's own configuration: it cannot be changed"
    elif actual.get("foreign") and kind == "saved object":
        yield f"saved object {named} is managed by Kibana or Fleet: a change would be lost"
    elif kind == "connector" and entry.step.action == "update" and wanted.get("secrets") is None:
        changed = ", ".join(entry.step.after or {})
        yield (
            f"connector {named}: {changed} differ, and a change replaces the secrets too, of which none are declared"
            " (secrets: {} where it has none)"
        )
    if kind == "alerting rule":
        names = dict.fromkeys(str(action["id"]) for action in wanted.get("actions") or ())
        yield from (
            f"alerting rule {named}: there is no connector {name} in space {entry.key[0]}"
            for name in names
            if not state.has_connector(entry.key[0], name)
        )
