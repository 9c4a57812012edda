# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Elasticsearch is configured with, as kinds of the engine in rest.py.

Paths and fields are those of the vendor's own description (elastic/elasticsearch-specification). Elasticsearch tells a
thing in another form than it was given: with defaults, settings as texts below `index`, durations and sizes in units of
its own. `form` brings both sides into one form; what is sent is what was declared. Where the description does not say
what the server makes of a thing, it is taken from the server's source (elastic/elasticsearch), named beside it.
"""

from __future__ import annotations

import functools
import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.http_session import (
    PACE,
    Answer,
    Forbidden,
    HttpError,
    Item,
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

# Options by which the server is found; documented in plugins/doc_fragments/elasticsearch.py.
CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "list", "elements": "str"},
    "ca_path": {"type": "path", "aliases": ["ca_cert"]},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "api_key": {"type": "str", "no_log": True},
    **PACE,
}
_ENVIRONMENT = {
    "url": "ELASTICSEARCH_URL",
    "ca_path": "ELASTICSEARCH_CACERT",
    "client_cert": "ELASTICSEARCH_CLIENT_CERT",
    "client_key": "ELASTICSEARCH_CLIENT_KEY",
    "username": "ELASTICSEARCH_USERNAME",
    "password": "ELASTICSEARCH_PASSWORD",
    "api_key": "ELASTICSEARCH_API_KEY",
}
# "... is unauthorized for user [x] ..., this action is granted by the cluster privileges [manage_ilm,manage,all]": the
# least comes first (AuthorizationDenialMessages).
_GRANTED = re.compile(r"granted by the (cluster|index) privileges \[([^\],]+)")
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
_MOST_NAMED = 5


class _Members(Session):
    """The members, in Elasticsearch's own terms."""

    def said(self, answer: Answer) -> str:
        error = answer.body.get("error") if isinstance(answer.body, Mapping) else None
        reasons: list[str] = []
        while isinstance(error, Mapping):
            reason = str(error.get("reason") or error.get("type") or "")
            reasons += [reason] if reason and reason not in reasons else []
            error = error.get("caused_by")
        return ": ".join(reasons) or super().said(answer)

    def failure(self, host: str, method: str, path: str, answer: Answer) -> HttpError:
        error = super().failure(host, method, path, answer)
        granted = _GRANTED.search(error.said)
        if isinstance(error, Unauthenticated):
            error.next_step = "check username and password, or api_key"
        elif isinstance(error, Forbidden) and granted:
            error.next_step = f"give a role of the user the {granted[1]} privilege {granted[2]}"
        return error


class ElasticsearchApi:
    """Elasticsearch as the engine sees it.

    Args:
        options: as CONNECTION has them; what is not given is taken from the environment (ELASTICSEARCH_URL and so on).

    Attributes:
        session: the requests.
        warnings: what the server warned of when it was written to.
        seen: secrets that it was given, for masking.

    Raises:
        Failure: an option is missing or unusable.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        given = {name: options.get(name) or os.environ.get(of) for name, of in _ENVIRONMENT.items()}
        urls = given["url"].split(",") if isinstance(given["url"], str) else given["url"] or []
        if not urls:
            raise Failure("Elasticsearch: there is no url", "set url, or ELASTICSEARCH_URL in the environment")
        pair = f"{given['username']}:{given['password']}" if given["username"] and given["password"] else ""
        token = str(given["api_key"] or (b64encode(pair.encode()).decode() if pair else ""))
        if not token and not given["client_cert"]:
            raise Failure("Elasticsearch: there is no log-in", "set username and password, api_key, or client_cert")
        self.seen: set[str] = {text for text in (str(given["password"] or ""), token) if text}
        scheme = "ApiKey" if given["api_key"] else "Basic"
        self.session: Session = _Members(
            [str(url).strip().rstrip("/") for url in urls],
            ca_path=str(given["ca_path"] or ""),
            client_cert=str(given["client_cert"] or ""),
            client_key=str(given["client_key"] or ""),
            headers={"Authorization": f"{scheme} {token}"} if token else {},
            timeout=float(options.get("timeout") or 65),
            retry_for=float(options.get("retry_for") or 0),
            parallel=int(options.get("parallel") or 8),
            name="Elasticsearch",
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
            self.session.request("GET", "/")
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
        answer = self.session.request(method, path, body, query=query or None)
        if method != "GET":
            said = _WARNING.findall(answer.headers.get("warning", ""))
            self.warnings += [text for text in said if text not in self.warnings]
        return answer


# One form for what is declared and what is there

_TIME = re.compile(r"(\d+)(ms|s|m|h|d)")
_TIMES = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_SIZE = re.compile(r"(\d+)(b|kb?|mb?|gb?|tb?|pb?)", re.IGNORECASE)
_SIZES = {unit + "b": 1024**power for power, unit in ((5, "p"), (4, "t"), (3, "g"), (2, "m"), (1, "k"))} | {"b": 1}


def _reduced(number: int, units: Mapping[str, int]) -> str:
    """An amount in the largest unit of which it is a multiple."""
    unit = next(unit for unit, size in units.items() if number % size == 0)
    return f"{number // units[unit]}{unit}"


def _time(value: Any) -> Any:
    """A duration: 720h is 30d. Anything else stays."""
    text = str(value).strip()
    found = _TIME.fullmatch("0ms" if text == "0" else text)
    return _reduced(int(found[1]) * _TIMES[found[2]], _TIMES if int(found[1]) else {"ms": 1}) if found else value


def _size(value: Any) -> Any:
    """An amount of bytes: 1024MB is 1gb. Anything else stays."""
    found = _SIZE.fullmatch(str(value).strip())
    if not found:
        return value
    unit = found[2].lower().removesuffix("b") + "b"
    return _reduced(int(found[1]) * _SIZES[unit], _SIZES if int(found[1]) else {"b": 1})


def _text(value: Any) -> Any:
    """The value of a setting, as the server tells it."""
    if isinstance(value, (list, tuple)):
        return [_text(one) for one in value]
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Settings by their whole names, as texts."""
    if not isinstance(value, Mapping):
        return {prefix.removesuffix("."): _text(value)} if prefix else {}
    flat: dict[str, Any] = {}
    for name, one in value.items():
        flat.update(_flat(one, f"{prefix}{name}."))
    return flat


def index_settings(template: Any) -> dict[str, Any]:
    """The settings in a template by their whole names, without `index.`, as texts."""
    given = (template or {}).get("settings") if isinstance(template, Mapping) else None
    return {name.removeprefix("index."): value for name, value in _flat(given or {}).items()}


def _alias(value: Any) -> Thing:
    alias = dict(value or {})
    routing = alias.pop("routing", None)
    return alias if routing is None else {"index_routing": routing, "search_routing": routing, **alias}


def _lifecycle(value: Mapping[str, Any]) -> Thing:
    return {"enabled": True, **{name: _time(one) if "retention" in name else one for name, one in value.items()}}


def _template(value: Any) -> Thing:
    """A template: what is empty in it is as if it weren't there, but a life cycle is."""
    given = dict(value or {})
    mappings = given.get("mappings") or {}
    parts = {
        **given,
        "settings": index_settings(given),
        # What is sent without the type comes with it from some versions (MetadataIndexTemplateService).
        "mappings": mappings.get("_doc", mappings),
        "aliases": {name: _alias(one) for name, one in (given.get("aliases") or {}).items()},
    }
    lifecycle = parts.pop("lifecycle", None)
    found = {name: part for name, part in parts.items() if part}
    return found if lifecycle is None else {**found, "lifecycle": _lifecycle(lifecycle)}


# What the server adds to an action (xpack/core/ilm/*Action.java: toXContent).
_ACTIONS: dict[str, Thing] = {
    "allocate": {"include": {}, "exclude": {}, "require": {}},
    "delete": {"delete_searchable_snapshot": True},
    "downsample": {"wait_timeout": "1d"},
    "forcemerge": {},
    "freeze": {},
    "migrate": {"enabled": True},
    "readonly": {},
    "rollover": {},
    "searchable_snapshot": {"force_merge_index": True},
    "set_priority": {},
    "shrink": {"allow_write_after_shrink": False},
    "unfollow": {},
    "wait_for_snapshot": {},
}
_PHASES = ("hot", "warm", "cold", "frozen", "delete")


def _action(name: str, value: Any) -> Thing:
    whole = {**_ACTIONS.get(name, {}), **(value or {})}
    shaped = {field: _size(one) if field.endswith("_size") else one for field, one in whole.items()}
    return {field: _time(one) if field.endswith(("_age", "_timeout")) else one for field, one in shaped.items()}


def _phases(value: Any) -> Thing:
    return {
        name: {
            "min_age": _time((phase or {}).get("min_age") or "0ms"),
            "actions": {action: _action(action, one) for action, one in ((phase or {}).get("actions") or {}).items()},
        }
        for name, phase in (value or {}).items()
    }


def _sorted(value: Any) -> list[Any]:
    """A list whose order does not count; one thing is a list of it."""
    listed = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return sorted(listed, key=lambda one: json.dumps(one, sort_keys=True, default=str))


def _listed(value: Any) -> list[Any]:
    """A list whose order counts; a text may have commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value or ())


def _json(value: Any) -> Any:
    """JSON that the server keeps as a text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _access(grant: Mapping[str, Any]) -> Thing:
    """What a role may do with indices (RoleDescriptor.IndicesPrivileges)."""
    made = {"allow_restricted_indices": False, **{name: one for name, one in grant.items() if one is not None}}
    for name in ("names", "privileges", "clusters"):
        if name in made:
            made[name] = _sorted(made[name])
    if made.get("field_security"):
        # With exceptions only, everything else is granted.
        made["field_security"] = {
            name: _sorted(one) for name, one in {"grant": ["*"], **made["field_security"]}.items() if one
        }
    if "query" in made:
        made["query"] = _json(made["query"])
    return made


def _accesses(value: Any) -> list[Any]:
    return _sorted([_access(grant) for grant in value or ()])


def _applications(value: Any) -> list[Any]:
    return _sorted(
        [{name: one if name == "application" else _sorted(one) for name, one in grant.items()} for grant in value or ()]
    )


def _rule(value: Any) -> Any:
    """A rule of a role mapping; one value may be a list of it (FieldExpression)."""
    if not isinstance(value, Mapping):
        return value
    made: Thing = {}
    for name, one in value.items():
        if name == "field" and isinstance(one, Mapping):
            made[name] = {field: _sorted(of) for field, of in one.items()}
        elif isinstance(one, (list, tuple)):
            made[name] = [_rule(part) for part in one]
        else:
            made[name] = _rule(one)
    return made


def _role_templates(value: Any) -> list[Any]:
    return [{"format": "string", **one, "template": _script(one.get("template"))} for one in value or ()]


def _script(value: Any) -> Any:
    said = _json(value)
    return said if isinstance(said, Mapping) else {"source": said}


def _retention(value: Any) -> Thing:
    return {name: _time(one) if name == "expire_after" else one for name, one in (value or {}).items()}


def _snapshots(value: Any) -> Thing:
    return {name: _listed(one) if name == "indices" else one for name, one in (value or {}).items()}


def _streams(value: Any) -> Thing | None:
    return None if value is None else {name: one for name, one in value.items() if one}


def _true(value: Any) -> bool:
    return value is None or bool(value)


def _form(**forms: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    """The form of a kind: what is not named stays, and an empty thing is none."""

    def form(name: str, value: Any) -> Any:
        if name in forms:
            return forms[name](value)
        return None if value in ({}, [], "") else value

    return form


# What is declared

_ILM = ("phases", "_meta")
_COMPONENT = ("template", "version", "_meta", "deprecated")
_INDEX = (
    "index_patterns",
    "composed_of",
    "template",
    "data_stream",
    "priority",
    "version",
    "_meta",
    "allow_auto_create",
    "ignore_missing_component_templates",
    "deprecated",
)
_PIPELINE = ("description", "processors", "on_failure", "version", "_meta")
_ROLE = (
    "cluster",
    "indices",
    "applications",
    "run_as",
    "metadata",
    "global",
    "description",
    "remote_indices",
    "remote_cluster",
)
_USER = ("roles", "full_name", "email", "metadata", "enabled")
_PASSWORDS = ("password", "password_hash")
_MAPPING = ("enabled", "roles", "role_templates", "rules", "metadata")
_REPOSITORY = ("type", "settings")
_SLM = ("snapshot_name", "schedule", "repository", "config", "retention")
# NativeUsersStore and Validation.Users: shorter ones are refused.
_SHORTEST_PASSWORD = 6
_KEYS_OF_STORES = ("access_key", "secret_key", "session_token", "account", "key", "sas_token")


_MAPS = (
    "_meta",
    "config",
    "data_stream",
    "global",
    "metadata",
    "phases",
    "retention",
    "rules",
    "settings",
    "template",
)
_OF_MAPS = ("applications", "indices", "on_failure", "processors", "remote_cluster", "remote_indices", "role_templates")


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _declared(
    fields: Iterable[str], *needed: str, then: Callable[[Thing], Iterable[str]] = lambda thing: ()
) -> Callable[[Thing], Iterator[str]]:
    """See that a thing has its fields and no others, of the right form, and a name that means one thing in a path.

    Args:
        fields: those that there are.
        needed: those that there must be.
        then: what else to see, when that is so.
    """
    known = ("name", *fields)

    def wrong(thing: Thing) -> Iterator[str]:
        yield from only(thing, known)
        for name in needed:
            if not thing.get(name):
                yield f"has no {name}"
        if re.search(r"[*,/]", str(thing["name"])):
            yield "its name has one of * , /, by which a request would mean other things too"
        for name, value in thing.items():
            if name in _MAPS and not isinstance(value, Mapping):
                yield f"{name} is no mapping"
            if name in _OF_MAPS and not (isinstance(value, (list, tuple)) and all(map(_is_mapping, value))):
                yield f"{name} is no list of mappings"

    def check(thing: Thing) -> Iterator[str]:
        troubles = list(wrong(thing))
        yield from troubles or then(thing)

    return check


def _check_phases(thing: Thing) -> Iterator[str]:
    for name, phase in thing["phases"].items():
        if name not in _PHASES:
            yield f"there is no phase {name} (there are {', '.join(_PHASES)})"
        elif not isinstance(phase, Mapping) or not isinstance(phase.get("actions") or {}, Mapping):
            yield f"phase {name}: it has min_age, and actions by their names"
        else:
            yield from (f"phase {name}: {trouble}" for trouble in only(dict(phase), ("min_age", "actions")))
            yield from (f"phase {name}: {trouble}" for trouble in only(phase.get("actions") or {}, _ACTIONS))


def _check_processors(thing: Thing) -> Iterator[str]:
    for part in ("processors", "on_failure"):
        if not all(len(processor) == 1 for processor in thing.get(part) or ()):
            yield f"{part}: each is one processor by its type, with its options below"


def _check_passwords(thing: Thing) -> Iterator[str]:
    if all(thing.get(name) for name in _PASSWORDS):
        yield "has both password and password_hash"
    if thing.get("password") is not None and len(str(thing["password"])) < _SHORTEST_PASSWORD:
        yield f"its password has less than {_SHORTEST_PASSWORD} characters"


def _check_grants(thing: Thing) -> Iterator[str]:
    # PutRoleMappingRequest.validate
    if bool(thing.get("roles")) == bool(thing.get("role_templates")):
        yield "needs either roles or role_templates"


def _check_store(thing: Thing) -> Iterator[str]:
    yield from one_of(thing, "type", ("azure", "fs", "gcs", "s3", "source", "url"))
    for name in sorted(set(thing["settings"]) & set(_KEYS_OF_STORES)):
        yield f"{name} would be readable in its settings: it belongs in the keystore of the nodes"


def _check_schedule(thing: Thing) -> Iterator[str]:
    # The watcher's CronSchedule: with the seconds first, and perhaps the year. Newer servers take an interval, too.
    if len(str(thing["schedule"]).split()) not in (1, 6, 7):
        yield f"{thing['schedule']!r} is no schedule of six fields: second, minute, hour, day, month, weekday"


# What is there


def _by_name(body: Any) -> Iterable[Thing]:
    return [{**one, "name": name} for name, one in (body or {}).items()]


def _of(field: str) -> Callable[[Any], Iterable[Thing]]:
    return lambda body: list((body or {}).get(field) or ())


def _foreign(about: Any) -> bool:
    """Whether a thing says of itself that it is the server's, Kibana's, Fleet's."""
    return isinstance(about, Mapping) and any(about.get(mark) for mark in ("managed", "_reserved", "_read_only"))


def _told(fields: Iterable[str], inner: str = "", *more: str) -> Callable[[Thing], Thing]:
    """What the server says of a thing, in the declaration's fields; `foreign` for what is not ours to remove.

    Args:
        fields: those of the declaration.
        inner: the field in which they are, if any.
        more: others that are needed.
    """

    def actual(said: Thing) -> Thing:
        about = (said.get(inner) or {}) if inner else said
        foreign = _foreign(about.get("_meta")) or _foreign(about.get("metadata"))
        return {**pick(about, fields), **pick(said, more), "foreign": foreign}

    return actual


def _slm_told(said: Thing) -> Thing:
    policy = dict(said.get("policy") or {})
    return {**pick({**policy, "snapshot_name": policy.get("name")}, _SLM), "foreign": False}


def _user_told(said: Thing) -> Thing:
    told = _told(_USER)(said)
    # Of the server's own users nothing but the password can be changed (TransportPutUserAction).
    return {**told, "below": "/_password" if told["foreign"] else ""}


def _stream_told(said: Thing) -> Thing:
    told = _told((), "", "template", "hidden", "system")(said)
    return {**told, "indices": [str(one["index_name"]) for one in said.get("indices") or ()]}


def _ours(key: Key, actual: Thing) -> bool:
    return not (key[0].startswith(".") or actual.get("foreign") or actual.get("system") or actual.get("hidden"))


# What is sent


def _sent(*fields: str) -> Callable[[Thing, Thing | None], Thing]:
    """What is wanted, and what else is there: a thing is replaced as a whole."""
    return lambda wanted, actual: {**pick(actual or {}, fields), **pick(wanted, fields)}


def _mapping_sent(wanted: Thing, actual: Thing | None) -> Thing:
    other = {"roles": "role_templates", "role_templates": "roles"}
    left_out = {other[name] for name in other if wanted.get(name)}
    there = {name: value for name, value in (actual or {}).items() if name not in left_out}
    return {"enabled": True, **_sent(*_MAPPING)(wanted, there)}


def _user_sent(wanted: Thing, actual: Thing | None) -> Thing:
    if (actual or {}).get("below"):
        return pick(wanted, _PASSWORDS)
    return _sent(*_USER, *_PASSWORDS)(wanted, actual)


def _slm_sent(wanted: Thing, actual: Thing | None) -> Thing:
    whole = _sent(*_SLM)(wanted, actual)
    return {**{name: value for name, value in whole.items() if name != "snapshot_name"}, "name": whole["snapshot_name"]}


def _kind(name: str, path: str, body: Callable[[Thing, Thing | None], Any], **more: Any) -> Kind:
    options: dict[str, Any] = {"things": _by_name, "create": ("PUT", ""), "managed": _ours, **more}
    return Kind(name, item=f"{path}/{{name}}", collection=path, create_body=body, update_body=body, **options)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        _kind(
            "snapshot repository",
            "_snapshot",
            _sent(*_REPOSITORY),
            actual=_told(_REPOSITORY),
            form=_form(settings=_flat),
            check=_declared(_REPOSITORY, "type", "settings", then=_check_store),
        ),
        _kind(
            "SLM policy",
            "_slm/policy",
            _slm_sent,
            actual=_slm_told,
            form=_form(config=_snapshots, retention=_retention),
            check=_declared(_SLM, "snapshot_name", "schedule", "repository", then=_check_schedule),
            after=("snapshot repository",),
        ),
        _kind(
            "ILM policy",
            "_ilm/policy",
            lambda wanted, actual: {"policy": _sent(*_ILM)(wanted, actual)},
            actual=_told(_ILM, "policy", "in_use_by"),
            form=_form(phases=_phases),
            check=_declared(_ILM, "phases", then=_check_phases),
            after=("snapshot repository", "SLM policy"),
        ),
        _kind(
            "ingest pipeline",
            "_ingest/pipeline",
            _sent(*_PIPELINE),
            actual=_told(_PIPELINE),
            form=_form(),
            check=_declared(_PIPELINE, "processors", then=_check_processors),
        ),
        _kind(
            "component template",
            "_component_template",
            _sent(*_COMPONENT),
            things=_of("component_templates"),
            actual=_told(_COMPONENT, "component_template"),
            form=_form(template=_template, deprecated=bool),
            check=_declared(_COMPONENT, "template"),
            after=("ILM policy", "ingest pipeline"),
        ),
        _kind(
            "index template",
            "_index_template",
            _sent(*_INDEX),
            things=_of("index_templates"),
            actual=_told(_INDEX, "index_template"),
            form=_form(
                template=_template,
                index_patterns=_sorted,
                composed_of=_listed,
                ignore_missing_component_templates=_sorted,
                data_stream=_streams,
                deprecated=bool,
            ),
            check=_declared(_INDEX, "index_patterns"),
            after=("component template", "ILM policy", "ingest pipeline"),
        ),
        _kind(
            "data stream",
            "_data_stream",
            lambda _wanted, _actual: None,
            things=_of("data_streams"),
            actual=_stream_told,
            update=("", ""),
            check=_declared(()),
            after=("index template",),
            protected=True,
            lost="every document in it",
        ),
        _kind(
            "role",
            "_security/role",
            _sent(*_ROLE),
            actual=_told(_ROLE),
            form=_form(
                cluster=_sorted,
                indices=_accesses,
                remote_indices=_accesses,
                applications=_applications,
                run_as=_sorted,
            ),
            check=_declared(_ROLE),
        ),
        _kind(
            "user",
            "_security/user",
            _user_sent,
            actual=_user_told,
            update=("PUT", "_security/user/{name}{below}"),
            form=_form(roles=_sorted, enabled=_true),
            unread=frozenset(_PASSWORDS),
            check=_declared((*_USER, *_PASSWORDS), then=_check_passwords),
            after=("role",),
        ),
        _kind(
            "role mapping",
            "_security/role_mapping",
            _mapping_sent,
            actual=_told(_MAPPING),
            form=_form(roles=_sorted, role_templates=_role_templates, rules=_rule, enabled=_true),
            check=_declared(_MAPPING, "rules", then=_check_grants),
            after=("role",),
        ),
    )
}
SECRETS = frozenset().union(*(kind.hidden for kind in KINDS.values()))

# Option: the kind that it declares.
OPTIONS = {
    "snapshot_repositories": "snapshot repository",
    "slm_policies": "SLM policy",
    "ilm_policies": "ILM policy",
    "ingest_pipelines": "ingest pipeline",
    "component_templates": "component template",
    "index_templates": "index template",
    "data_streams": "data stream",
    "roles": "role",
    "users": "user",
    "role_mappings": "role mapping",
}
DECLARED = tuple(OPTIONS)


def wishes_of(declared: Mapping[str, Any]) -> list[Wish]:
    """Make wishes of the module's options: of those that are given, also when they are empty."""
    given = {kind: declared.get(option) for option, kind in OPTIONS.items()}
    return [Wish(KINDS[kind], things, [{}]) for kind, things in given.items() if things is not None]


# What needs what


def _needs(kind: str, thing: Thing) -> Iterator[tuple[str, str]]:
    """What a thing names: kind, name."""
    if kind == "SLM policy" and thing.get("repository"):
        yield "snapshot repository", str(thing["repository"])
    elif kind == "ILM policy":
        for phase in (thing.get("phases") or {}).values():
            actions = (phase or {}).get("actions") or {}
            for action, field, of in (
                ("searchable_snapshot", "snapshot_repository", "snapshot repository"),
                ("wait_for_snapshot", "policy", "SLM policy"),
            ):
                if (actions.get(action) or {}).get(field):
                    yield of, str(actions[action][field])
    elif kind in ("component template", "index template"):
        settings = index_settings(thing.get("template"))
        for setting, of in (
            ("lifecycle.name", "ILM policy"),
            ("default_pipeline", "ingest pipeline"),
            ("final_pipeline", "ingest pipeline"),
        ):
            if settings.get(setting) not in (None, "", "_none"):
                yield of, str(settings[setting])
        may_miss = _sorted(thing.get("ignore_missing_component_templates"))
        yield from (("component template", str(one)) for one in thing.get("composed_of") or () if one not in may_miss)
    elif kind == "data stream" and thing.get("template"):
        yield "index template", str(thing["template"])
    elif kind in ("user", "role mapping"):
        yield from (("role", str(one)) for one in thing.get("roles") or ())


# Without these the server refuses a thing; of the others it says nothing until they are needed.
_STRICT = {("index template", "component template"), ("SLM policy", "snapshot repository")}
# What keeps a thing from being removed. Roles go: one that is not declared must not grant anything.
_USED_BY = {
    "snapshot repository": ("SLM policy", "ILM policy"),
    "SLM policy": ("ILM policy",),
    "ILM policy": ("component template", "index template"),
    "ingest pipeline": ("component template", "index template"),
    "component template": ("index template",),
    "index template": ("data stream",),
}


class _State:
    """What is there, and what will be after the run."""

    def __init__(self, api: Api, reconciler: Reconciler, wishes: Iterable[Wish]) -> None:
        self.declared = {wish.kind.name: {str(one["name"]): dict(one) for one in wish.things} for wish in wishes}
        self.going = {(entry.kind.name, entry.key[0]) for entry in reconciler.deletions()}
        self.there = functools.cache(functools.partial(_there, api))

    def after(self, kind: str) -> dict[str, Thing]:
        """Things of a kind by name, as they will be."""
        found = {name: thing for name, thing in self.there(kind).items() if (kind, name) not in self.going}
        for name, thing in self.declared.get(kind, {}).items():
            found[name] = {**found.get(name, {}), **{key: value for key, value in thing.items() if value is not None}}
        return found

    def knows(self, kind: str, name: str) -> bool:
        """Whether there is such a thing, or will be."""
        return name in self.declared.get(kind, {}) or name in self.there(kind)

    def users_of(self, entry: Entry) -> list[str]:
        """What will still need a thing."""
        kind, name = entry.kind.name, entry.key[0]
        found = [
            f"{user} {of}"
            for user in _USED_BY.get(kind, ())
            for of, thing in self.after(user).items()
            if (kind, name) in _needs(user, thing)
        ]
        if kind == "ILM policy":
            going = {
                index
                for stream, thing in self.there("data stream").items()
                if ("data stream", stream) in self.going
                for index in thing["indices"]
            }
            used = ((entry.actual or {}).get("in_use_by") or {}).get("indices") or ()
            found += [f"index {index}" for index in used if index not in going]
        return found


def _there(api: Api, kind: str) -> dict[str, Thing]:
    about = KINDS[kind]
    said = about.things(api.request("GET", about.collection).body)
    return {str(one["name"]): about.actual(one) for one in said}


def refuse(api: Api, reconciler: Reconciler, wishes: Iterable[Wish]) -> list[str]:
    """See that what is planned can be done, as far as it can be told without doing it; leave what is still in use.

    Returns:
        Warnings.

    Raises:
        Failure: naming everything that is wrong.
    """
    state = _State(api, reconciler, wishes)
    bad: list[str] = []
    warnings: list[str] = []
    for entry in reconciler.changing():
        bad += _impossible(entry, state)
        kind = entry.kind.name
        for of, name in _needs(kind, {**(entry.actual or {}), **(entry.wanted or {})}):
            if not state.knows(of, name):
                text = f"{kind} {entry.key[0]}: there is no {of} {name}"
                (bad if (kind, of) in _STRICT else warnings).append(text)
    if bad:
        raise Failure("; ".join(bad), "declare what is missing, or correct the name; nothing was changed")
    for entry in reconciler.deletions():
        users = state.users_of(entry)
        if users:
            reconciler.leave(entry)
            state.going.discard((entry.kind.name, entry.key[0]))
            more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
            named = f"{', '.join(users[:_MOST_NAMED])}{more}"
            warnings.append(f"{entry.kind.name} {entry.key[0]} is not declared, and stays: it is in use by {named}")
    return warnings


def _impossible(entry: Entry, state: _State) -> Iterator[str]:
    kind, name, wanted, actual = entry.kind.name, entry.key[0], entry.wanted or {}, entry.actual or {}
    if kind == "user" and entry.step.action == "create" and not pick(wanted, _PASSWORDS):
        yield f"user {name} is made, and has no password"
    changed = sorted(set(entry.step.after or {}) - set(_PASSWORDS))
    if kind in ("role", "user", "role mapping") and actual.get("foreign") and changed:
        yield f"{kind} {name} is the server's own: {', '.join(changed)} cannot be changed"
    if kind == "data stream" and entry.step.action == "create":
        fitting = [
            template
            for template in state.after("index template").values()
            if template.get("data_stream") is not None
            and any(fnmatchcase(name, pattern) for pattern in _sorted(template.get("index_patterns")))
        ]
        if not fitting:
            yield f"data stream {name}: no index template with data_stream is for its name"
