# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A double of Harbor's API on loopback, that keeps what it is told and holds it to the vendor's own description.

Each request's method, path, query and body, and each answer of the double, is checked against the description, closed
for unknown keys: Prism would let these and a missing log-in pass. What does not fit is in `problems`, and is a 422.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs
import yaml

from ansible_collections.banking.platform.tests.unit.rest.loopback import Loopback

Thing = dict[str, Any]
BASE = "/api/v2.0"
USER, PASSWORD = "admin", "Harbor12345-double"


def closed(schema: Any) -> Any:
    """A schema of Swagger 2 as JSON Schema: closed for unknown keys, nullable where it says so.

    An object of which nothing is said is anything: go-swagger makes `interface{}` of it, and a filter's value, which is
    a text, is described so.
    """
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("type") == "object" and "properties" not in schema and "additionalProperties" not in schema:
        return {}
    made = {name: closed(value) for name, value in schema.items() if name not in ("example", "format", "discriminator")}
    if "properties" in schema:
        made["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
        if schema.get("type") == "object" or "type" not in schema:
            made.setdefault("additionalProperties", False)
    if schema.get("x-nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


class Description:
    """A description, and what it says of a request."""

    def __init__(self, path: Path) -> None:
        self._whole = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        assert self._whole["basePath"] == BASE
        self._definitions = {name: closed(schema) for name, schema in self._whole["definitions"].items()}
        self._paths = [
            (re.compile(re.sub(r"\\\{[^}]+\\\}", "([^/]+)", re.escape(template)) + "$"), template)
            for template in sorted(self._whole["paths"], key=lambda one: one.count("{"))
        ]
        self._validators: dict[str, Any] = {}

    def operation(self, method: str, path: str) -> tuple[str, Thing] | None:
        """Template and description of a request; None when there is no such thing."""
        for pattern, template in self._paths:
            if pattern.match(path):
                found = self._whole["paths"][template].get(method.lower())
                return (template, found) if found else None
        return None

    def errors(self, schema: Any, value: Any) -> list[str]:
        """What is wrong with a value."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**closed(schema), "definitions": self._definitions}
            self._validators[key] = jsonschema_rs.validator_for(whole)
        found = self._validators[key].iter_errors(value)
        return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in found]

    def problems(self, method: str, path: str, query: Mapping[str, str], body: Any) -> list[str]:
        """What is wrong with a request."""
        found = self.operation(method, path)
        if found is None:
            return [f"there is no {method} {path}"]
        parameters = [
            self._whole["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
            for one in found[1].get("parameters", ())
        ]
        known = {one["name"]: one for one in parameters if one["in"] == "query"}
        bad = [f"there is no parameter {name}" for name in query if name not in known]
        for name, value in query.items():
            about = known.get(name, {})
            if about.get("type") == "integer" and not value.isdigit():
                bad.append(f"{name} is {value}, no number")
            elif "maximum" in about and int(value) > about["maximum"]:
                bad.append(f"{name} is {value}, more than {about['maximum']}")
            elif about.get("type") == "boolean" and value not in ("true", "false"):
                bad.append(f"{name} is {value}, neither true nor false")
        bodies = [one for one in parameters if one["in"] == "body"]
        if body is not None and not bodies:
            bad.append("takes no body")
        elif bodies and body is None and bodies[0].get("required"):
            bad.append("needs a body")
        elif bodies and body is not None:
            bad += self.errors(bodies[0]["schema"], body)
        return bad

    def answer_problems(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer of the double's own."""
        found = self.operation(method, path)
        responses = found[1]["responses"] if found else {}
        about = responses.get(str(status))
        if about is None:
            return [f"an answer {status} is not described"]
        return self.errors(about["schema"], body) if "schema" in about and body is not None else []


class Harbor(Loopback):
    """The double. Use it as a context."""

    def __init__(self, description: Description) -> None:
        super().__init__()
        self.description = description
        self.problems: list[str] = []
        self.log: list[str] = []
        self.broken: Callable[[str, str], int] = lambda method, path: 0
        self.projects: dict[int, Thing] = {}
        self.quotas: dict[int, Thing] = {}
        self.members: dict[int, dict[int, Thing]] = {}
        self.robots: dict[int, Thing] = {}
        self.registries: dict[int, Thing] = {}
        self.policies: dict[int, Thing] = {}
        self.retentions: dict[int, Thing] = {}
        self.rules: dict[int, dict[int, Thing]] = {}
        self.webhooks: dict[int, dict[int, Thing]] = {}
        self.schedule: Thing = {}
        self.secrets: list[str] = []
        self.config: Thing = {
            "auth_mode": "db_auth",
            "robot_name_prefix": "robot$",
            **dict.fromkeys(("oidc_name", "oidc_endpoint", "oidc_client_id", "oidc_scope"), ""),
            **dict.fromkeys(("oidc_groups_claim", "oidc_admin_group", "oidc_user_claim"), ""),
            "oidc_verify_cert": True,
            "oidc_auto_onboard": False,
            "project_creation_restriction": "everyone",
            "robot_token_duration": 30,
            "read_only": False,
        }
        self.config_secret = ""
        self._last = 0

    # Requests

    def answer(self, method: str, target: str, raw: bytes, headers: Any) -> tuple[int, Any, Thing]:
        """Answer one request."""
        parts = urlsplit(target)
        assert parts.path.startswith(BASE + "/"), target
        path, query = parts.path.removeprefix(BASE), dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        body = json.loads(raw) if raw else None
        self.log.append(f"{method} {path}")
        problems = self.description.problems(method, path, query, body)
        if problems:
            self.problems += [f"{method} {path}: {problem}" for problem in problems]
            return 422, {"errors": [{"code": "UNPROCESSABLE", "message": "; ".join(problems)}]}, {}
        if path == "/ping":
            return 200, "Pong", {}
        if headers.get("authorization") != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}, {}
        broken = self.broken(method, path)
        if broken:
            return broken, {"errors": [{"code": "UNKNOWN", "message": "internal server error"}]}, {}
        try:
            status, said = self._route(method, path, query, body)
        except (KeyError, StopIteration):
            return 404, {"errors": [{"code": "NOT_FOUND", "message": "not found"}]}, {}
        more: Thing = {}
        if method == "GET" and isinstance(said, list):
            more["X-Total-Count"] = str(len(said))
            first = (int(query.get("page", 1)) - 1) * int(query.get("page_size", 10))
            said = said[first : first + int(query.get("page_size", 10))]
        wrong = self.description.answer_problems(method, path, status, said)
        self.problems += [f"answer of {method} {path}: {problem}" for problem in wrong]
        return status, said, more

    def number(self, project: str) -> int:
        """The id of a project."""
        return next(number for number, one in self.projects.items() if one["name"] == project)

    def _id(self) -> int:
        self._last += 1
        return self._last

    def _route(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        head, *rest = [unquote(part) for part in path.strip("/").split("/")]
        if head == "projects" and len(rest) < 2:
            return self._projects(method, rest, body)
        if head == "projects":
            project = self.number(rest[0])
            kept = {"members": self.members, "immutabletagrules": self.rules, "webhook": self.webhooks}[rest[1]]
            tail = rest[3:] if rest[1] == "webhook" else rest[2:]
            return self._crud(method, kept[project], tail, body, self._member if rest[1] == "members" else dict)
        if head == "quotas":
            return self._quotas(method, rest, body)
        if head == "registries":
            return self._crud(method, self.registries, rest, body, self._registry, self._registry_shown)
        if head == "replication":
            return self._crud(method, self.policies, rest[1:], body, dict, self._policy_shown)
        if head == "robots":
            return self._robots(method, rest, query, body)
        if head == "retentions":
            return self._retentions(method, rest, body)
        if path == "/system/gc/schedule":
            return self._gc(method, body)
        assert path == "/configurations", path
        if method == "PUT":
            self.config_secret = body.pop("oidc_client_secret", self.config_secret)
            self.config.update(body)
            return 200, None
        return 200, {name: {"value": value, "editable": name != "read_only"} for name, value in self.config.items()}

    def _crud(
        self,
        method: str,
        kept: dict[int, Thing],
        rest: list[str],
        body: Any,
        make: Callable[[Thing], Thing],
        shown: Callable[[Thing], Thing] = dict,
    ) -> tuple[int, Any]:
        if method == "POST":
            number = self._id()
            kept[number] = {**make(body), "id": number}
            return 201, None
        if not rest:
            return 200, [shown(one) for one in kept.values()]
        number = int(rest[0])
        there = kept[number]
        if method == "DELETE":
            del kept[number]
        elif method == "PUT":
            # Replaced as a whole, but where the server has a form of its own for a change.
            partly = kept is self.registries or "role_id" in there
            kept[number] = {**(there if partly else {}), **(body if partly else make(body)), "id": number}
        else:
            return 200, shown(there)
        return 200, None

    @staticmethod
    def _member(body: Thing) -> Thing:
        kind = "u" if "member_user" in body else "g"
        name = body["member_user"]["username"] if kind == "u" else body["member_group"]["group_name"]
        return {"entity_type": kind, "entity_name": name, "role_id": body["role_id"]}

    @staticmethod
    def _registry(body: Thing) -> Thing:
        credential = body.get("credential") or {}
        flat = {
            "credential_type": credential.get("type"),
            "access_key": credential.get("access_key"),
            "access_secret": credential.get("access_secret"),
        }
        return {
            **{name: value for name, value in body.items() if name != "credential"},
            **{name: value for name, value in flat.items() if value},
        }

    @staticmethod
    def _registry_shown(one: Thing) -> Thing:
        about = {
            name: value for name, value in one.items() if name not in ("credential_type", "access_key", "access_secret")
        }
        if one.get("access_key"):
            about["credential"] = {
                "type": one["credential_type"],
                "access_key": one["access_key"],
                "access_secret": "*****",
            }
        return about

    def _policy_shown(self, one: Thing) -> Thing:
        ends = {}
        for end in ("src_registry", "dest_registry"):
            number = one[end]["id"]
            ends[end] = {"id": number, "name": self.registries[number]["name"] if number else "Local"}
        # What it reads is the deprecated name, as some servers do.
        return {**one, **ends, "replicate_deletion": bool(one.get("deletion"))}

    def _projects(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "POST":
            number = self._id()
            self.members[number], self.rules[number], self.webhooks[number] = {}, {}, {}
            owner = self._id()
            self.members[number][owner] = {"id": owner, "entity_type": "u", "entity_name": USER, "role_id": 1}
            self.projects[number] = {
                "project_id": number,
                "name": body["project_name"],
                "owner_name": USER,
                "metadata": {"public": "false", **body.get("metadata", {})},
                "cve_allowlist": {"project_id": number, "items": []},
            }
            limit = {"storage": body.get("storage_limit", -1)}
            self.quotas[number] = {
                "id": number + 1000,
                "ref": {"id": number, "name": body["project_name"]},
                "hard": limit,
            }
            if body.get("registry_id"):
                self.projects[number]["registry_id"] = body["registry_id"]
                self._retentions("POST", [], {"scope": {"level": "project", "ref": number}, "rules": []})
            return 201, None
        if not rest:
            return 200, list(self.projects.values())
        number = self.number(rest[0])
        if method == "DELETE":
            del self.projects[number], self.quotas[number]
            return 200, None
        if method == "PUT":
            self.projects[number]["metadata"].update(body.get("metadata", {}))
            self.projects[number].update({name: body[name] for name in ("cve_allowlist",) if name in body})
            return 200, None
        return 200, self.projects[number]

    def _quotas(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, list(self.quotas.values())
        next(one for one in self.quotas.values() if one["id"] == int(rest[0])).update(body)
        return 200, None

    def _robots(self, method: str, rest: list[str], query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        if method == "POST":
            number, project = self._id(), body["permissions"][0]["namespace"]
            inner = f"{project}+" if body["level"] == "project" else ""
            name, secret = f"{self.config['robot_name_prefix']}{inner}{body['name']}", f"Secret{number}OfTheRobot"
            self.secrets.append(secret)
            # `disable` is not looked at.
            self.robots[number] = {**body, "id": number, "name": name, "disable": False, "editable": True}
            return 201, {"id": number, "name": name, "secret": secret}
        if method == "GET":
            asked = dict(part.split("=") for part in query["q"].split(","))
            found = [one for one in self.robots.values() if one["level"] == asked["Level"]]
            if asked["Level"] == "project":
                name = self.projects[int(asked["ProjectID"])]["name"]
                found = [one for one in found if one["permissions"][0]["namespace"] == name]
            return 200, found
        there = self.robots[int(rest[0])]
        if method == "DELETE":
            del self.robots[int(rest[0])]
            return 200, None
        if method == "PATCH":
            self.secrets.append(f"Renewed{there['id']}OfTheRobot")
            return 200, {"secret": self.secrets[-1]}
        assert (body["name"], body["level"]) == (there["name"], there["level"]), "cannot update the level or name"
        self.robots[there["id"]] = {"description": "", "disable": False, **body, "id": there["id"], "editable": True}
        return 200, None

    def _retentions(self, method: str, rest: list[str], body: Any) -> tuple[int, Any]:
        if method == "POST":
            metadata = self.projects[body["scope"]["ref"]]["metadata"]
            assert "retention_id" not in metadata, "already has a retention policy"
            number = self._id()
            metadata["retention_id"] = str(number)
            self.retentions[number] = {**body, "id": number}
            return 201, None
        number = int(rest[0])
        there = self.retentions[number]
        if method == "PUT":
            self.retentions[number] = {**body, "id": number}
        elif method == "DELETE":
            del self.retentions[number], self.projects[there["scope"]["ref"]]["metadata"]["retention_id"]
        return 200, there if method == "GET" else None

    def _gc(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.schedule
        if body["schedule"]["type"] == "None":
            self.schedule = {}
        else:
            parameters = {**body["parameters"], "time_window": 2}  # without parameters the server would trip
            self.schedule = {"schedule": body["schedule"], "job_parameters": json.dumps(parameters)}
        return (201 if method == "POST" else 200), None
