# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Falco would refuse of a file of rules, as far as it can be told without Falco.

Keys and priorities are those of userspace/engine/rule_json_schema.h (falcosecurity/falco at 0.39.2 and 0.44.1),
conditions those of the grammar in userspace/libsinsp/filter/parser.h (falcosecurity/libs at 0.18.2 and 0.25.4), without
transformers of fields. Whether a condition is true of an event, only the engine can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_RULE = {"rule", "desc", "condition", "output", "priority", "tags", "exceptions", "enabled", "override", "source"}
_KEYS = {"rule": _RULE, "macro": {"macro", "condition", "override"}, "list": {"list", "items", "override"}}
_PRIORITIES = {"EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "INFORMATIONAL", "DEBUG"}
_LISTED = {"in", "intersects", "pmatch"}
_TEXT = {"=", "==", "!=", "contains", "icontains", "startswith", "endswith", "glob", "iglob", "regex", "bcontains"}
_NUMBER = {"<", "<=", ">", ">="}
_TOKEN = re.compile(r"""\s*(?:(<=|>=|==|!=|[=<>(),])|("(?:\\"|[^"])*"|'(?:\\'|[^'])*')|([^\s(),='"<>!]+))""")
_FIELD = re.compile(r"^[a-z]\w*(\.[a-z]\w*)+(\[[^]]+\])?$", re.IGNORECASE)


class _Condition:
    """One condition: what is wrong with it, by recursive descent."""

    def __init__(self, text: str, known: Mapping[str, set[str]]) -> None:
        self._known = known
        self._tokens: list[str] = []
        end = 0
        while text[end:].strip():
            found = _TOKEN.match(text, end)
            if not found:
                raise ValueError(f"cannot be read from {text[end : end + 20]!r} on")
            self._tokens.append(found[0].strip())
            end = found.end()

    def check(self) -> None:
        self._any()
        if self._tokens:
            raise ValueError(f"ends before {self._tokens[0]!r}")

    def _next(self, *wanted: str) -> str:
        token = self._tokens.pop(0) if self._tokens else "its end"
        if wanted and token not in wanted:
            raise ValueError(f"has {token!r} in place of {' or '.join(wanted)}")
        return token

    def _is(self, *tokens: str) -> bool:
        return bool(self._tokens) and self._tokens[0] in tokens

    def _any(self) -> None:
        self._all()
        while self._is("or"):
            self._next()
            self._all()

    def _all(self) -> None:
        self._one()
        while self._is("and"):
            self._next()
            self._one()

    def _one(self) -> None:
        while self._is("not"):
            self._next()
        if self._is("("):
            self._next()
            self._any()
            self._next(")")
            return
        name = self._next()
        if not _FIELD.match(name):
            if name not in self._known["macro"]:
                raise ValueError(f"names the macro {name!r}, which is not there")
            return
        _field(name, self._known["field"])
        operator = self._next("exists", *_LISTED, *_TEXT, *_NUMBER)
        if operator in _LISTED:
            self._list()
        elif operator != "exists":
            value = self._next()
            if value in {"(", ")", ",", "and", "or", "its end"}:
                raise ValueError(f"has no value behind {name} {operator}")

    def _list(self) -> None:
        self._next("(")
        while not self._is(")"):
            value = self._next()
            if re.fullmatch(r"bank_\w+", value) and value not in self._known["list"]:
                raise ValueError(f"names the list {value!r}, which is not there")
            if not self._is(")"):
                self._next(",")
        self._next(")")


def _field(name: str, known: set[str]) -> None:
    if name.partition("[")[0] not in known:
        raise ValueError(f"names the field {name}, which is not known in both releases")


def problems(items: Sequence[Mapping[str, Any]], fields: set[str]) -> Iterator[str]:
    """What Falco would refuse.

    Args:
        items: of all files, in the order in which they are read.
        fields: that there are.

    Yields:
        A sentence each.
    """
    known: dict[str, set[str]] = {"field": fields, "macro": set(), "list": set(), "rule": set()}
    for item in items:
        kind = next((key for key in _KEYS if key in item), "")
        if not kind:
            yield f"{sorted(item)} is neither a rule nor a macro nor a list"
            continue
        name = f"{kind} {item[kind]!r}"
        if set(item) - _KEYS[kind]:
            yield f"{name} has {sorted(set(item) - _KEYS[kind])}"
        try:
            if kind == "rule" and not item.get("override"):
                _rule(item, fields)
            if "condition" in item:
                _Condition(str(item["condition"]), known).check()
        except ValueError as error:
            yield f"{name} {error}"
        known[kind].add(item[kind])


def _rule(rule: Mapping[str, Any], fields: set[str]) -> None:
    missing = {"desc", "condition", "output", "priority"} - set(rule)
    if missing:
        raise ValueError(f"lacks {sorted(missing)}")
    if rule["priority"].upper() not in _PRIORITIES:
        raise ValueError(f"has the priority {rule['priority']}")
    for name in re.findall(r"%([a-z][\w.]*)", rule["output"]):
        _field(name.rstrip("."), fields)
    for exception in rule.get("exceptions", ()):
        if set(exception) != {"name", "fields", "comps", "values"}:
            raise ValueError(f"has an exception with {sorted(exception)}")
        for name in exception["fields"]:
            _field(name, fields)
        if {len(exception["fields"])} != {len(exception["comps"]), *map(len, exception["values"])}:
            raise ValueError(f"has values of the exception {exception['name']!r} that do not go with its fields")
