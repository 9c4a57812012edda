# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of Kibana's API on loopback, that keeps what it is told.

No description of the API is at hand as a file. The fields that a request may have are written down here, after the
schemas in the vendor's source (docs/kibana_config.md names them): what does not fit is in `problems`, and is a 400.
So are the behaviours that the module has to live with: defaults inside of configurations, updates that replace a thing
as a whole, ids of saved objects that are used once in all spaces.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ansible_collections.banking.platform.tests.unit.rest.loopback import Loopback

Thing = dict[str, Any]
USER, PASSWORD = "elastic", "Kibana12345-double"

_ACTION = {"id", "group", "params", "frequency", "uuid", "alerts_filter", "use_alert_data_for_template"}
_UPDATE = {"name", "tags", "schedule", "throttle", "params", "actions", "notify_when"}
_UPDATE |= {"alert_delay", "flapping", "artifacts"}
_EXPORT = {"type", "hasReference", "objects", "search", "includeReferencesDeep", "excludeExportDetails"}
# Fields that a body may have, and those that it must have.
BODIES: dict[str, tuple[set[str], set[str]]] = {
    "space": (
        {"id", "name", "description", "initials", "color", "disabledFeatures", "_reserved", "imageUrl", "solution"},
        {"id", "name"},
    ),
    "POST connector": ({"name", "connector_type_id", "config", "secrets"}, {"name", "connector_type_id"}),
    "PUT connector": ({"name", "config", "secrets"}, {"name"}),
    "POST rule": (
        _UPDATE | {"rule_type_id", "enabled", "consumer"},
        {"name", "rule_type_id", "consumer", "schedule"},
    ),
    "PUT rule": (_UPDATE, {"name", "schedule"}),
    "_export": (_EXPORT, set()),
}
# What a type of connector adds to its configuration, and the secrets that it has to have.
_TYPES: dict[str, tuple[Thing, set[str]]] = {
    ".index": ({"refresh": False, "executionTimeField": None}, set()),
    ".webhook": ({"method": "post", "hasAuth": True, "headers": None}, {"user", "password"}),
}
_EXPORTABLE = ("index-pattern", "search", "visualization", "dashboard")


class Refused(Exception):
    """An error of Kibana's form."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        names = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
        error = names.get(status, "Internal Server Error")
        self.status, self.body = status, {"statusCode": status, "error": error, "message": message, **more}


def problems(kind: str, body: Any) -> list[str]:
    """What is wrong with a body."""
    known, needed = BODIES[kind]
    given = set(body or {})
    wrong = [f"[request body.{name}]: definition for this key is missing" for name in sorted(given - known)]
    wrong += [f"[request body.{name}]: expected value but got [undefined]" for name in sorted(needed - given)]
    if "rule" in kind:
        for action in (body or {}).get("actions", ()):
            extra = sorted(set(action) - _ACTION)
            wrong += [f"[request body.actions.{name}]: definition for this key is missing" for name in extra]
    return wrong


class Kibana(Loopback):
    """The double. Use it as a context."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.log: list[str] = []
        # Bodies of what was written, by method and path.
        self.sent: dict[str, Any] = {}
        self.broken: Callable[[str, str], int] = lambda method, path: 0
        self.denied: Callable[[str, str], str] = lambda method, path: ""
        default = {"id": "default", "name": "Default", "disabledFeatures": [], "color": "#00bfb3", "_reserved": True}
        self.spaces: dict[str, Thing] = {"default": default}
        self.connectors: dict[tuple[str, str], Thing] = {}
        self.secrets: dict[tuple[str, str], Thing] = {}
        self.rules: dict[tuple[str, str], Thing] = {}
        # By type and id, which is one in all spaces; `space` is where it is.
        self.objects: dict[tuple[str, str], Thing] = {}
        self.migrate: Callable[[Thing], Thing] = lambda one: one

    # Requests

    def answer(self, method: str, target: str, raw: bytes, headers: Any) -> tuple[int, Any, Thing]:
        """Answer one request."""
        parts = urlsplit(target)
        path, query = parts.path, dict(parse_qsl(parts.query))
        self.log.append(f"{method} {path}")
        try:
            return self._allowed(method, path, query, raw, headers)
        except Refused as refused:
            return refused.status, refused.body, {}

    def _allowed(self, method: str, path: str, query: Mapping[str, str], raw: bytes, headers: Any) -> Any:
        if method != "GET" and not headers.get("kbn-xsrf"):
            raise Refused(400, "Request must contain a kbn-xsrf header.")
        if headers.get("authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            raise Refused(401, f"[security_exception]: unable to authenticate user [{USER}]")
        if self.denied(method, path):
            raise Refused(403, self.denied(method, path))
        if self.broken(method, path):
            raise Refused(self.broken(method, path), "An internal server error occurred. Check Kibana server logs")
        found = re.fullmatch(r"(?:/s/([a-z0-9_-]+))?/api/(.+)", path)
        assert found, path
        space = found[1] or "default"
        assert found[1] != "default", "the default space has no path of its own"
        if space not in self.spaces:
            raise Refused(404, "Not Found")
        pieces = [unquote(one) for one in found[2].split("/")]
        multipart = headers.get("content-type", "").startswith("multipart/form-data")
        body = self._file(raw, headers) if multipart else json.loads(raw) if raw else None
        if method != "GET" and pieces[-1] != "_export":
            self.sent[f"{method} {path}"] = body
        work: Callable[..., Any] = {
            "status": lambda *_rest: {"version": {"number": "8.19.0"}, "status": {"overall": {"level": "available"}}},
            "spaces/space": self._space,
            "actions/connector": self._connector,
            "actions/connectors": self._all_connectors,
            "alerting/rule": self._rule,
            "alerting/rules": self._find_rules,
            "saved_objects/_export": self._export,
            "saved_objects/_import": self._import,
        }.get("/".join(pieces[:2]), self._object)
        said = work(method, space, pieces[2:] if work != self._object else pieces[1:], body, query)
        return (204, None, {}) if said is None else (200, said, {})

    def _hold(self, kind: str, body: Any) -> None:
        wrong = problems(kind, body)
        self.problems += [f"{kind}: {one}" for one in wrong]
        if wrong:
            raise Refused(400, "; ".join(wrong))

    @staticmethod
    def _file(raw: bytes, headers: Any) -> list[Thing]:
        boundary = re.search(r"boundary=(\S+)", headers["content-type"])
        assert boundary
        head, _end, rest = raw.partition(b"\r\n\r\n")
        assert head.startswith(f"--{boundary[1]}\r\n".encode())
        assert b'name="file"' in head
        assert b'.ndjson"' in head, "Invalid file extension"
        content, _end, tail = rest.partition(f"\r\n--{boundary[1]}--".encode())
        assert tail == b"\r\n"
        return [json.loads(line) for line in content.decode().split("\n") if line]

    # Spaces

    def _space(self, method: str, _space: str, rest: list[str], body: Any, _query: Any) -> Any:
        if method == "GET":
            return list(self.spaces.values())
        if method == "DELETE":
            name = rest[0]
            if self.spaces.get(name, {}).get("_reserved"):
                raise Refused(400, f"The {name} space cannot be deleted because it is reserved.")
            if self.spaces.pop(name, None) is None:
                raise Refused(404, "Not Found")
            for kept in (self.connectors, self.secrets, self.rules):
                for key in [key for key in kept if key[0] == name]:
                    del kept[key]
            self.objects = {key: one for key, one in self.objects.items() if one["space"] != name}
            return None
        self._hold("space", body)
        name = body["id"]
        if method == "POST" and name in self.spaces:
            raise Refused(409, f"A space with the identifier {name} already exists.")
        if method == "PUT" and name not in self.spaces:
            raise Refused(404, "Not Found")
        reserved = {"_reserved": True} if self.spaces.get(name, {}).get("_reserved") else {}
        self.spaces[name] = {"disabledFeatures": [], **body, **reserved}
        return self.spaces[name]

    # Connectors

    def _all_connectors(self, _method: str, space: str, _rest: list[str], _body: Any, _query: Any) -> Any:
        given = {"is_deprecated": False, "is_system_action": False, "referenced_by_count": 0}
        set_ = {"id": "mail", "name": "Mail", "connector_type_id": ".email", "is_preconfigured": True, **given}
        own = [{**one, **given} for key, one in self.connectors.items() if key[0] == space]
        return [set_, *own]

    def _connector(self, method: str, space: str, rest: list[str], body: Any, _query: Any) -> Any:
        key = (space, rest[0])
        if method == "DELETE":
            if self.connectors.pop(key, None) is None:
                raise Refused(404, f"Saved object [action/{rest[0]}] not found")
            return None
        self._hold(f"{method} connector", body)
        taken = [one for one in self.connectors if one[1] == rest[0]] if method == "POST" else []
        if taken or (method == "PUT" and key not in self.connectors):
            raise Refused(409 if method == "POST" else 404, f"Saved object [action/{rest[0]}]")
        kind = body["connector_type_id"] if method == "POST" else self.connectors[key]["connector_type_id"]
        defaults, needed = _TYPES[kind]
        missing = sorted(needed - set(body.get("secrets") or {}))
        if missing:
            raise Refused(400, f"error validating action type secrets: [{missing[0]}]: expected value")
        # An update replaces the secrets, too.
        self.secrets[key] = body.get("secrets") or {}
        self.connectors[key] = {
            "id": rest[0],
            "name": body["name"],
            "connector_type_id": kind,
            "config": {**defaults, **body.get("config", {})},
            "is_preconfigured": False,
            "is_missing_secrets": False,
        }
        return self.connectors[key]

    # Alerting rules

    def _told_rule(self, rule: Thing) -> Thing:
        return {name: one for name, one in rule.items() if name != "artifacts"}

    def _find_rules(self, _method: str, space: str, rest: list[str], _body: Any, query: Mapping[str, str]) -> Any:
        assert rest == ["_find"]
        assert set(query) <= {"per_page", "page", "sort_field", "sort_order"}
        size, page = int(query.get("per_page", 10)), int(query.get("page", 1))
        rules = sorted((one for key, one in self.rules.items() if key[0] == space), key=lambda one: one["name"])
        data = [self._told_rule(one) for one in rules[size * (page - 1) : size * page]]
        return {"page": page, "per_page": size, "total": len(rules), "data": data}

    def _rule(self, method: str, space: str, rest: list[str], body: Any, _query: Any) -> Any:
        key = (space, rest[0])
        if key not in self.rules and (method != "POST" or rest[1:]):
            raise Refused(404, f"Saved object [alert/{rest[0]}] not found")
        if rest[1:]:
            assert (method, body) == ("POST", None)
            self.rules[key]["enabled"] = {"_enable": True, "_disable": False}[rest[1]]
            return None
        if method == "GET":
            return self.rules[key]
        if method == "DELETE":
            del self.rules[key]
            return None
        self._hold(f"{method} rule", body)
        there = self.rules.get(key, {})
        if method == "POST" and any(one[1] == rest[0] for one in self.rules):
            raise Refused(409, f"Saved object [alert/{rest[0]}] conflict")
        try:
            uuid.UUID(rest[0])
        except ValueError:
            text = "Predefined IDs are not allowed for saved objects with encrypted attributes unless the ID is a UUID."
            raise Refused(400, text) from None
        for action in body.get("actions", ()):
            if action["id"] != "mail" and (space, action["id"]) not in self.connectors:
                raise Refused(400, f"Saved object [action/{action['id']}] not found")
        kept = {name: there[name] for name in ("rule_type_id", "consumer", "enabled") if name in there}
        made = {"enabled": True, "tags": [], "throttle": None, "notify_when": None, **kept, **copy.deepcopy(body)}
        made["params"] = {"size": 100, "groupBy": "all", **made.get("params", {})}
        made["actions"] = [
            {"uuid": str(uuid.uuid4()), "connector_type_id": ".webhook", **one} for one in made.get("actions", ())
        ]
        owner = {"created_by": USER, "mute_all": False, "execution_status": {"status": "ok"}}
        self.rules[key] = {"id": rest[0], **made, **owner, "artifacts": body.get("artifacts", {})}
        return self.rules[key]

    # Saved objects

    def _export(self, method: str, space: str, _rest: list[str], body: Any, _query: Any) -> Any:
        assert method == "POST"
        self._hold("_export", body)
        bad = [name for name in body["type"] if name not in _EXPORTABLE]
        if bad:
            raise Refused(400, f"Trying to export non-exportable type(s): {', '.join(bad)}")
        lines = [
            json.dumps({name: value for name, value in one.items() if name != "space"}, ensure_ascii=False)
            for (kind, _name), one in sorted(self.objects.items())
            if one["space"] == space and kind in body["type"]
        ]
        return "\n".join(lines).encode()

    def _import(self, method: str, space: str, _rest: list[str], body: Any, query: Mapping[str, str]) -> Any:
        assert method == "POST"
        assert set(query) <= {"overwrite"}
        errors, results = [], []
        for one in body:
            kind, name = one["type"], one["id"]
            missing = [
                {"type": ref["type"], "id": ref["id"]}
                for ref in one.get("references", ())
                if self._here(space, ref["type"], ref["id"]) is None
            ]
            if missing:
                errors.append(
                    {"type": kind, "id": name, "error": {"type": "missing_references", "references": missing}}
                )
                continue
            here = self._here(space, kind, name)
            if here and not query.get("overwrite"):
                errors.append({"type": kind, "id": name, "error": {"type": "conflict"}})
                continue
            elsewhere = not here and (kind, name) in self.objects
            own = here or (str(uuid.uuid4()) if elsewhere else name)
            references = [{**ref, "id": self._here(space, ref["type"], ref["id"])} for ref in one.get("references", ())]
            made = {
                "coreMigrationVersion": "8.8.0",
                "typeMigrationVersion": "10.3.0",
                "managed": False,
                **copy.deepcopy(one),
                "id": own,
                "references": references,
                "space": space,
                "updated_at": "2026-11-27T00:00:00.000Z",
                "version": "WzEsMV0=",
                **({"originId": name} if own != name else {}),
            }
            self.objects[kind, own] = self.migrate(made)
            results.append({"type": kind, "id": name, **({"destinationId": own} if own != name else {})})
        answer: Thing = {"success": not errors, "successCount": len(results)}
        return {**answer, **({"errors": errors} if errors else {}), **({"successResults": results} if results else {})}

    def _here(self, space: str, kind: str, name: str) -> str | None:
        """The id of an object in a space, by its id or its origin."""
        there = self.objects.get((kind, name))
        if there and there["space"] == space:
            return name
        copies = [one["id"] for one in self.objects.values() if one["space"] == space and one.get("originId") == name]
        return str(copies[0]) if copies else None

    def _object(self, method: str, space: str, rest: list[str], _body: Any, _query: Any) -> Any:
        assert method == "DELETE", f"{method} of single objects is deprecated"
        key = (rest[0], rest[1])
        if key not in self.objects or self.objects[key]["space"] != space:
            raise Refused(404, f"Saved object [{rest[0]}/{rest[1]}] not found")
        del self.objects[key]
        return {}
