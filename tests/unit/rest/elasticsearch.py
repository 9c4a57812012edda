# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of Elasticsearch's API on loopback, that keeps what it is told and holds it to the vendor's own description.

Each request's method, path, query and body is checked against the description, closed for unknown keys: what does not
fit is in `problems`, and is a 400. What the double tells is of the form that the server's source makes of it: defaults,
settings as texts below `index`, one value in place of a list of it. Answers are held to the description, too, but not
closed: the server tells more than is described, and settings as texts.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs

from ansible_collections.banking.platform.tests.unit.rest.loopback import Loopback

Thing = dict[str, Any]
USER, PASSWORD = "elastic", "Elastic12345-double"
_PREFIX = "#/components/schemas/"
_ABOUT = (
    "build_flavor",
    "build_hash",
    "build_type",
    "lucene_version",
    "minimum_index_compatibility_version",
    "minimum_wire_compatibility_version",
)
_NOISE = ("description", "externalDocs", "discriminator", "nullable", "deprecated", "example", "format")


class Description:
    """A description of OpenAPI 3, and what it says of a request."""

    def __init__(self, path: Path) -> None:
        self._whole = json.loads(path.read_text(encoding="utf-8"))
        self._schemas: Thing = self._whole["components"]["schemas"]
        self._paths = [
            (re.compile(re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(template)) + "$"), template)
            for template in sorted(self._whole["paths"], key=lambda one: one.count("{"))
        ]
        self._validators: dict[str, Any] = {}

    def _resolved(self, one: Any, kind: str) -> Any:
        return self._whole["components"][kind][one["$ref"].rpartition("/")[2]] if "$ref" in one else one

    def _operation(self, method: str, path: str) -> Any:
        for pattern, template in self._paths:
            if pattern.match(path) and method.lower() in self._whole["paths"][template]:
                return self._whole["paths"][template][method.lower()]
        return None

    def schema(self, schema: Any, closed: bool) -> Any:
        """A schema of OpenAPI 3 as JSON Schema.

        Closed for unknown keys, or (for answers) with texts in place of numbers and booleans. `oneOf` is `anyOf`: some
        of its branches are parts of others. Parts of `allOf` are made one, so that it can be closed. An object of which
        nothing is said is anything: so the description writes values of the user's own.
        """
        if isinstance(schema, list):
            return [self.schema(one, closed) for one in schema]
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        if "allOf" in schema:
            return self.schema(self._merged(schema), closed)
        if schema.get("type") == "object" and not {"properties", "additionalProperties"} & schema.keys():
            return {}
        made: Thing = {}
        for name, value in schema.items():
            if name in ("properties",):
                made[name] = {field: self.schema(one, closed) for field, one in value.items()}
            elif name not in _NOISE and not name.startswith("x-"):
                made["anyOf" if name == "oneOf" else name] = self.schema(value, closed)
        if closed and "properties" in made:
            made.setdefault("additionalProperties", False)
        if not closed and made.get("type") in ("number", "integer", "boolean"):
            made["type"] = [made["type"], "string"]
        if schema.get("nullable") and "type" in made:
            made["type"] = [made["type"], "null"]
        return made

    def _merged(self, schema: Mapping[str, Any]) -> Thing:
        merged: Thing = {"type": "object", "properties": {}, "required": []}
        for one in [*schema["allOf"], {name: value for name, value in schema.items() if name != "allOf"}]:
            part = self._schemas[one["$ref"].removeprefix(_PREFIX)] if "$ref" in one else one
            part = self._merged(part) if "allOf" in part else part
            if "oneOf" in part or part.get("type", "object") != "object":
                return dict(part)  # a description beside a reference to something that is no object
            merged["properties"].update(part.get("properties", {}))
            merged["required"] += part.get("required", ())
            merged.update({name: part[name] for name in part if name.endswith("Properties")})
        return merged

    def _reached(self, schema: Any, found: Thing, closed: bool) -> None:
        for name in set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(schema))):
            if name not in found:
                found[name] = self.schema(self._schemas[name], closed)
                self._reached(found[name], found, closed)

    def errors(self, schema: Any, value: Any, closed: bool) -> list[str]:
        """What is wrong with a value."""
        key = json.dumps([schema, closed], sort_keys=True)
        if key not in self._validators:
            whole, reached = self.schema(schema, closed), Thing()
            self._reached(whole, reached, closed)
            self._validators[key] = jsonschema_rs.validator_for({**whole, "components": {"schemas": reached}})
        found = self._validators[key].iter_errors(value)
        return [f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}" for error in found]

    def problems(self, method: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        """What is wrong with a request."""
        found = self._operation(method, path)
        if found is None:
            return [f"there is no {method} {path}"]
        parameters = [self._resolved(one, "parameters") for one in found.get("parameters", ())]
        known = {one["name"] for one in parameters if one["in"] == "query"}
        bad = [f"there is no parameter {name}" for name in query if name not in known]
        described = self._resolved(found.get("requestBody", {}), "requestBodies")
        if body is None and described.get("required"):
            bad.append("needs a body")
        elif body is not None and not described:
            bad.append("takes no body")
        elif body is not None:
            bad += self.errors(described["content"]["application/json"]["schema"], body, True)
        return bad

    def answer_problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer of the double's own."""
        responses = self._operation(method, path)["responses"]
        if str(status) not in responses:
            return [f"an answer {status} is not described"]
        described = self._resolved(responses[str(status)], "responses")
        return self.errors(described["content"]["application/json"]["schema"], body, False)


class Refused(Exception):
    """An error of Elasticsearch's form."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        cause = {"type": kind, "reason": reason}
        self.status, self.body = status, {"error": {"root_cause": [cause], **cause}, "status": status}


def _invalid(reason: str) -> Refused:
    return Refused(400, "illegal_argument_exception", reason)


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_texts(one) for one in value]
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _flat(value: Thing, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        if isinstance(one, dict):
            yield from _flat(one, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", one


def _nested(settings: Thing) -> Thing:
    """Settings as the server tells them: texts, below `index`."""
    made: Thing = {}
    for name, value in _flat(settings):
        *path, last = f"index.{name.removeprefix('index.')}".split(".")
        place = made
        for part in path:
            place = place.setdefault(part, {})
        place[last] = _texts(value)
    return made


def _template(template: Thing) -> Thing:
    made = copy.deepcopy(template)
    if made.get("settings"):
        made["settings"] = _nested(made["settings"])
    for name, alias in made.get("aliases", {}).items():
        routing = alias.pop("routing", None)
        made["aliases"][name] = {**alias, **({"index_routing": routing, "search_routing": routing} if routing else {})}
    if "lifecycle" in made:
        made["lifecycle"] = {"enabled": True, **made["lifecycle"]}
    return made


_DEFAULTS: dict[str, Thing] = {
    "allocate": {"include": {}, "exclude": {}, "require": {}},
    "delete": {"delete_searchable_snapshot": True},
    "migrate": {"enabled": True},
    "searchable_snapshot": {"force_merge_index": True},
    "shrink": {"allow_write_after_shrink": False},
}


def _policy(policy: Thing) -> Thing:
    phases = {
        name: {
            "min_age": phase.get("min_age", "0ms"),
            "actions": {
                action: {
                    field: one.lower() if field.endswith("_size") else one
                    for field, one in {**_DEFAULTS.get(action, {}), **options}.items()
                }
                for action, options in phase.get("actions", {}).items()
            },
        }
        for name, phase in policy["phases"].items()
    }
    return {**policy, "phases": phases}


def _role(role: Thing) -> Thing:
    made = {"cluster": [], "indices": [], "applications": [], "run_as": [], "metadata": {}, **copy.deepcopy(role)}
    for grant in made["indices"]:
        grant["names"] = grant["names"] if isinstance(grant["names"], list) else [grant["names"]]
        if isinstance(grant.get("query"), dict):
            grant["query"] = json.dumps(grant["query"])
        grant.setdefault("allow_restricted_indices", False)
    return {**made, "transient_metadata": {"enabled": True}}


def _rules(rules: Any) -> Any:
    if isinstance(rules, list):
        return [_rules(one) for one in rules]
    if "field" in rules:
        return {
            "field": {
                name: value[0] if isinstance(value, list) and len(value) == 1 else value
                for name, value in rules["field"].items()
            }
        }
    return {name: _rules(one) for name, one in rules.items()}


def _mapping(mapping: Thing) -> Thing:
    made = {"enabled": True, "roles": [], "metadata": {}, **copy.deepcopy(mapping), "rules": _rules(mapping["rules"])}
    for one in made.get("role_templates", ()):
        one["template"] = json.dumps(one["template"])
        one.setdefault("format", "string")
    if made.get("role_templates"):
        del made["roles"]
    return made


class Elasticsearch(Loopback):
    """The double. Use it as a context."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.problems: list[str] = []
        self.log: list[str] = []
        # Bodies of what was written, by method and path.
        self.sent: dict[str, Any] = {}
        self.broken: Callable[[str, str], int] = lambda method, path: 0
        self.denied: Callable[[str, str], str] = lambda method, path: ""
        self.warning = ""
        self.versions: dict[str, int] = {}
        managed = {"description": "installed by x-pack", "managed": True}
        self.policies: dict[str, Thing] = {"logs": _policy({"phases": {"hot": {"actions": {}}}, "_meta": managed})}
        self.components: dict[str, Thing] = {"logs@settings": {"template": {}, "version": 8, "_meta": managed}}
        self.templates: dict[str, Thing] = {
            "logs": {
                "index_patterns": ["logs-*-*"],
                "composed_of": ["logs@settings"],
                "priority": 100,
                "_meta": managed,
                "data_stream": {"hidden": False, "allow_custom_routing": False},
            }
        }
        self.pipelines: dict[str, Thing] = {"logs@default-pipeline": {"processors": [], "_meta": managed}}
        self.streams: dict[str, Thing] = {}
        self.roles: dict[str, Thing] = {
            name: _role({"metadata": {"_reserved": True}}) for name in ("superuser", "monitoring_user", "kibana_system")
        }
        self.users: dict[str, Thing] = {
            name: self._user({"roles": [role], "metadata": {"_reserved": True}}, name)
            for name, role in (("elastic", "superuser"), ("kibana_system", "kibana_system"))
        }
        self.passwords: dict[str, str] = {USER: PASSWORD}
        self.mappings: dict[str, Thing] = {}
        self.repositories: dict[str, Thing] = {}
        self.slm: dict[str, Thing] = {}

    # Requests

    def answer(self, method: str, target: str, raw: bytes, headers: Any) -> tuple[int, Any, Thing]:
        """Answer one request."""
        parts = urlsplit(target)
        path, query = parts.path, dict(parse_qsl(parts.query))
        body = json.loads(raw) if raw else None
        self.log.append(f"{method} {path}")
        problems = self.description.problems(method, path, query, body)
        if problems:
            self.problems += [f"{method} {path}: {problem}" for problem in problems]
            refused = _invalid("; ".join(problems))
            return refused.status, refused.body, {}
        try:
            said = self._allowed(method, path, query, body, headers)
        except Refused as refused:
            return refused.status, refused.body, {}
        wrong = self.description.answer_problems(method, path, 200, said)
        # The server tells a role template's script as a text (TemplateRoleName), the description as an object.
        wrong = [problem for problem in wrong if not re.match(r"\w+/role_templates/\d+/template: ", problem)]
        self.problems += [f"answer of {method} {path}: {problem}" for problem in wrong]
        warning = (
            {"Warning": f'299 Elasticsearch-8.15.0-x "{self.warning}"'} if self.warning and method != "GET" else {}
        )
        return 200, said, warning

    def _allowed(self, method: str, path: str, query: Mapping[str, str], body: Any, headers: Any) -> Any:
        if headers.get("authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            who = f"unable to authenticate user [{USER}] for REST request [{path}]"
            raise Refused(401, "security_exception", who)
        if self.denied(method, path):
            raise Refused(403, "security_exception", self.denied(method, path))
        if self.broken(method, path):
            raise Refused(
                self.broken(method, path), "process_cluster_event_timeout_exception", "failed to process event"
            )
        if path == "/":
            about = dict.fromkeys(_ABOUT, "x")
            version = {**about, "build_snapshot": False, "build_date": "2026-11-27", "number": "8.15.0"}
            names = {"cluster_name": "bank", "cluster_uuid": "u", "name": "es-0", "tagline": "You Know, for Search"}
            return {**names, "version": version}
        if method != "GET":
            self.sent[f"{method} {path}"] = body
        pieces = [unquote(part) for part in path.strip("/").split("/")]
        area = "/".join(pieces[:2]) if pieces[0] in ("_ilm", "_slm", "_ingest", "_security") else pieces[0]
        rest = pieces[area.count("/") + 1 :]
        assert not rest or not re.search(r"[*,]", rest[0]), "would mean other things too"
        work: Callable[..., Any] = {
            "_ilm/policy": self._ilm,
            "_slm/policy": self._slm_policy,
            "_ingest/pipeline": self._pipeline,
            "_component_template": self._component,
            "_index_template": self._index,
            "_data_stream": self._stream,
            "_security/role": self._roles,
            "_security/user": self._users,
            "_security/role_mapping": self._mappings,
            "_snapshot": self._snapshot,
        }[area]
        return work(method, rest, body)

    def _put(self, kept: dict[str, Thing], name: str, thing: Thing) -> Thing:
        kept[name] = thing
        self.versions[name] = self.versions.get(name, 0) + 1
        return {"acknowledged": True}

    @staticmethod
    def _pop(kept: dict[str, Thing], name: str) -> Thing:
        if name not in kept:
            raise Refused(404, "resource_not_found_exception", f"[{name}] not found")
        del kept[name]
        return {"acknowledged": True}

    def _resolved(self, template: Thing) -> Thing:
        """All settings of an index template, by their whole names."""
        parts = [self.components[name].get("template", {}) for name in template.get("composed_of", ())]
        return dict(
            setting for part in [*parts, template.get("template", {})] for setting in _flat(part.get("settings", {}))
        )

    def _using(self, setting: str, name: str) -> list[str]:
        """The indices with a setting; those of a data stream have what its template said when they were made."""
        return [
            index["index_name"]
            for stream in self.streams.values()
            for index in stream["indices"]
            if stream["settings"].get(setting) == name
        ]

    def _ilm(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            return self._put(self.policies, rest[0], _policy(body["policy"]))
        if method == "DELETE":
            indices = self._using("index.lifecycle.name", rest[0])
            if indices:
                raise _invalid(f"Cannot delete policy [{rest[0]}]. It is in use by one or more indices: {indices}")
            return self._pop(self.policies, rest[0])
        return {
            name: {
                "version": self.versions.get(name, 1),
                "modified_date": "2026-11-27T00:00:00.000Z",
                "policy": policy,
                "in_use_by": {
                    "indices": self._using("index.lifecycle.name", name),
                    "data_streams": [
                        stream
                        for stream, one in self.streams.items()
                        if one["settings"].get("index.lifecycle.name") == name
                    ],
                    "composable_templates": [
                        template
                        for template, one in self.templates.items()
                        if self._resolved(one).get("index.lifecycle.name") == name
                    ],
                },
            }
            for name, policy in self.policies.items()
        }

    def _pipeline(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            return self._put(self.pipelines, rest[0], body)
        if method == "DELETE":
            indices = self._using("index.default_pipeline", rest[0])
            if indices:
                many = f"the default pipeline for {len(indices)} index(es) including {indices[:3]}"
                raise _invalid(f"pipeline [{rest[0]}] cannot be deleted because it is {many}")
            return self._pop(self.pipelines, rest[0])
        return self.pipelines

    def _component(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            return self._put(self.components, rest[0], {**body, "template": _template(body["template"])})
        if method == "DELETE":
            users = [name for name, one in self.templates.items() if rest[0] in one["composed_of"]]
            if users:
                still = f"component templates [{rest[0]}] cannot be removed as they are still in use by index templates"
                raise _invalid(f"{still} {users}")
            return self._pop(self.components, rest[0])
        listed = [{"name": name, "component_template": one} for name, one in self.components.items()]
        return {"component_templates": listed}

    def _index(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            may_miss = body.get("ignore_missing_component_templates", [])
            missing = [
                name for name in body.get("composed_of", []) if name not in self.components and name not in may_miss
            ]
            if missing:
                named = f"index template [{rest[0]}] specifies component templates {missing} that do not exist"
                raise Refused(
                    400, "invalid_index_template_exception", f"index_template [{rest[0]}] invalid, cause [{named}]"
                )
            patterns = body["index_patterns"]
            made = {
                **body,
                "index_patterns": patterns if isinstance(patterns, list) else [patterns],
                "composed_of": body.get("composed_of", []),
            }
            if "template" in body:
                made["template"] = _template(body["template"])
            if "data_stream" in body:
                made["data_stream"] = {"hidden": False, "allow_custom_routing": False, **body["data_stream"]}
            return self._put(self.templates, rest[0], made)
        if method == "DELETE":
            users = sorted(name for name, stream in self.streams.items() if stream["template"] == rest[0])
            if users:
                why = f"as they are in use by a data streams {users}"
                raise _invalid(f"unable to remove composable templates [{rest[0]}] {why}")
            return self._pop(self.templates, rest[0])
        return {"index_templates": [{"name": name, "index_template": one} for name, one in self.templates.items()]}

    def _stream(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            name = rest[0]
            fitting = [
                (template.get("priority", 0), of)
                for of, template in self.templates.items()
                if any(fnmatchcase(name, pattern) for pattern in template["index_patterns"])
            ]
            if not fitting or "data_stream" not in self.templates[max(fitting)[1]]:
                raise _invalid(f"no matching index template found for data stream [{name}]")
            if name in self.streams:
                raise Refused(400, "resource_already_exists_exception", f"data_stream [{name}] already exists")
            index = {
                "index_name": f".ds-{name}-2026.11.27-000001",
                "index_uuid": "u",
                "managed_by": "Index Lifecycle Management",
                "prefer_ilm": True,
            }
            template = max(fitting)[1]
            made = {"template": template, "indices": [index], "settings": self._resolved(self.templates[template])}
            return self._put(self.streams, name, made)
        if method == "DELETE":
            return self._pop(self.streams, rest[0])
        return {
            "data_streams": [
                {
                    "name": name,
                    "timestamp_field": {"name": "@timestamp"},
                    "indices": stream["indices"],
                    "generation": 1,
                    "status": "GREEN",
                    "template": stream["template"],
                    "next_generation_managed_by": "Index Lifecycle Management",
                    "prefer_ilm": True,
                    "hidden": False,
                    "system": False,
                    "allow_custom_routing": False,
                    "replicated": False,
                }
                for name, stream in self.streams.items()
            ]
        }

    def _roles(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "GET":
            return self.roles
        if rest[0] in self.roles and self.roles[rest[0]]["metadata"].get("_reserved"):
            raise _invalid(f"Role [{rest[0]}] is reserved and may not be used.")
        if method == "DELETE":
            self._pop(self.roles, rest[0])
            return {"found": True}
        new = rest[0] not in self.roles
        self._put(self.roles, rest[0], _role(body))
        return {"role": {"created": new}}

    @staticmethod
    def _user(body: Thing, name: str) -> Thing:
        defaults: Thing = {"roles": [], "full_name": None, "email": None, "metadata": {}, "enabled": True}
        return {"username": name, **defaults, **{key: one for key, one in body.items() if "password" not in key}}

    def _users(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "GET":
            return self.users
        name = rest[0]
        if rest[1:] == ["_password"]:
            assert name in self.users
            self.passwords[name] = body["password"]
            return {}
        if name in self.users and self.users[name]["metadata"].get("_reserved"):
            raise _invalid(f"user [{name}] is reserved and only the password can be changed")
        if method == "DELETE":
            self._pop(self.users, name)
            return {"found": True}
        new = name not in self.users
        if new and not {"password", "password_hash"} & body.keys():
            why = "Validation Failed: 1: password must be specified unless you are updating an existing user;"
            raise Refused(400, "validation_exception", why)
        self.passwords[name] = body.get("password", self.passwords.get(name, ""))
        self._put(self.users, name, self._user(body, name))
        return {"created": new}

    def _mappings(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "GET":
            return self.mappings
        if method == "DELETE":
            self._pop(self.mappings, rest[0])
            return {"found": True}
        if bool(body.get("roles")) == bool(body.get("role_templates")):
            raise _invalid("role-mapping cannot have both roles and role-templates, or is without")
        new = rest[0] not in self.mappings
        self._put(self.mappings, rest[0], _mapping(body))
        return {"role_mapping": {"created": new}}

    def _snapshot(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            made = {"type": body["type"], "uuid": f"uuid-of-{rest[0]}", "settings": _texts(body["settings"])}
            return self._put(self.repositories, rest[0], made)
        if method == "DELETE":
            return self._pop(self.repositories, rest[0])
        return self.repositories

    def _slm_policy(self, method: str, rest: list[str], body: Any) -> Any:
        if method == "PUT":
            if body["repository"] not in self.repositories:
                raise _invalid(f"no such repository [{body['repository']}]")
            return self._put(self.slm, rest[0], body)
        if method == "DELETE":
            return self._pop(self.slm, rest[0])
        return {
            name: {
                "version": self.versions[name],
                "modified_date_millis": 1764201600000,
                "policy": policy,
                "next_execution_millis": 1764201600000,
                "stats": {"policy": name, "snapshots_taken": 0},
            }
            for name, policy in self.slm.items()
        }
