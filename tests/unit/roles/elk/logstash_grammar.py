# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader of Logstash's configuration: sections, plugins with their options, conditions.

It follows elastic/logstash, logstash-core/lib/logstash/config/grammar.treetop; options of plugins follow their
references (https://www.elastic.co/guide/en/logstash/8.11/, and the plugins' sources in logstash-plugins). What is not
in OPTIONS is an error, so that a plugin or an option is looked up before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# Of every filter: add_field, add_tag, enable_metric, id, periodic_flush, remove_field, remove_tag.
_FILTER = {"add_field", "add_tag", "enable_metric", "id", "periodic_flush", "remove_field", "remove_tag"}
OPTIONS: dict[tuple[str, str], set[str]] = {
    ("input", "beats"): set(
        "id port host ssl_enabled ssl_certificate ssl_key ssl_certificate_authorities ssl_client_authentication "
        "ssl_supported_protocols client_inactivity_timeout executor_threads".split()
    ),
    ("input", "dead_letter_queue"): {
        "id",
        "path",
        "pipeline_id",
        "commit_offsets",
        "clean_consumed",
        "start_timestamp",
    },
    ("input", "pipeline"): {"id", "address"},
    ("filter", "fingerprint"): _FILTER
    | {"source", "concatenate_sources", "concatenate_all_fields", "method", "target", "key", "base64encode"},
    ("filter", "json"): _FILTER | {"source", "target", "skip_on_invalid_json", "tag_on_failure"},
    ("filter", "mutate"): _FILTER
    | {"replace", "copy", "rename", "lowercase", "uppercase", "convert", "gsub", "merge", "strip", "update", "coerce"},
    ("filter", "grok"): _FILTER
    | {
        "match",
        "pattern_definitions",
        "patterns_dir",
        "tag_on_failure",
        "timeout_millis",
        "break_on_match",
        "overwrite",
    },
    ("filter", "kv"): _FILTER
    | {
        "source",
        "target",
        "field_split",
        "value_split",
        "trim_value",
        "trim_key",
        "include_keys",
        "exclude_keys",
        "prefix",
    },
    ("filter", "ruby"): _FILTER | {"path", "code", "init", "script_params", "tag_on_exception"},
    ("output", "elasticsearch"): set(
        "id hosts user password ssl_enabled ssl_certificate_authorities ssl_verification_mode data_stream "
        "data_stream_type data_stream_dataset data_stream_namespace data_stream_auto_routing data_stream_sync_fields "
        "document_id index action ilm_enabled manage_template".split()
    ),
    ("output", "pipeline"): {"id", "send_to", "ensure_delivery"},
    ("output", "http"): {"id", "url", "http_method", "format", "ssl_certificate_authorities", "user", "password"},
}
_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<field>(?:\[[^\[\],"'\s]+\])+)
      | (?P<number>-?[0-9]+(?:\.[0-9]+)?\b)
      | (?P<arrow>=>)
      | (?P<operator>==|!=|<=|>=|=~|!~|<|>)
      | (?P<word>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>[{}()\[\],!])""",
    re.VERBOSE | re.DOTALL,
)


class GrammarError(ValueError):
    """What Logstash would not read, with the line."""


@dataclass
class Plugin:
    """One plugin, the section that it is in, and the conditions that it stands under."""

    section: str
    name: str
    options: dict[str, Any]
    conditions: tuple[str, ...] = ()


@dataclass
class _Reader:
    text: str
    tokens: list[tuple[str, str, int]] = field(default_factory=list)
    at: int = 0

    def __post_init__(self) -> None:
        position = 0
        while position < len(self.text):
            found = _TOKEN.match(self.text, position)
            if not found:
                raise GrammarError(f"line {self._line(position)}: {self.text[position : position + 20]!r}")
            if found.lastgroup != "space":
                self.tokens.append((str(found.lastgroup), found.group(), position))
            position = found.end()

    def _line(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at][:2] if self.at < len(self.tokens) else ("end", "")

    def take(self, kind: str = "", said: str = "") -> str:
        have = self.peek()
        if (kind and have[0] != kind) or (said and have[1] != said) or have[0] == "end":
            line = self._line(self.tokens[min(self.at, len(self.tokens) - 1)][2])
            raise GrammarError(f"line {line}: {said or kind} is wanted, not {have[1]!r}")
        self.at += 1
        return have[1]


def read(text: str) -> list[Plugin]:
    """All plugins of a configuration, in order.

    Raises:
        GrammarError: for what Logstash would not read, and for a plugin or option that OPTIONS does not have.
    """
    reader = _Reader(text)
    found: list[Plugin] = []
    while reader.peek()[0] != "end":
        section = reader.take("word")
        if section not in ("input", "filter", "output"):
            raise GrammarError(f"section {section!r}")
        reader.take(said="{")
        found += _branch(reader, section, ())
        reader.take(said="}")
    ids = [plugin.options.get("id") for plugin in found]
    for plugin in found:
        known = OPTIONS.get((plugin.section, plugin.name))
        if known is None:
            raise GrammarError(f"{plugin.section} {plugin.name}: unknown plugin")
        for name in plugin.options:
            if name not in known:
                raise GrammarError(f"{plugin.section} {plugin.name}: unknown option {name!r}")
        if ids.count(plugin.options.get("id")) > 1:
            raise GrammarError(
                f"{plugin.section} {plugin.name}: id {plugin.options.get('id')!r} is there twice or missing"
            )
    return found


def _branch(reader: _Reader, section: str, conditions: tuple[str, ...]) -> Iterator[Plugin]:
    while reader.peek()[1] not in ("}", ""):
        if reader.peek()[1] != "if":
            yield _plugin(reader, section, conditions)
            continue
        reader.take(said="if")
        yield from _under(reader, section, (*conditions, _condition(reader)))
        while reader.peek()[1] == "else":
            reader.take()
            if reader.peek()[1] == "if":
                reader.take()
                yield from _under(reader, section, (*conditions, _condition(reader)))
            else:
                yield from _under(reader, section, conditions)
                break


def _under(reader: _Reader, section: str, conditions: tuple[str, ...]) -> Iterator[Plugin]:
    reader.take(said="{")
    yield from list(_branch(reader, section, conditions))
    reader.take(said="}")


def _plugin(reader: _Reader, section: str, conditions: tuple[str, ...]) -> Plugin:
    name = reader.take("word")
    reader.take(said="{")
    options: dict[str, Any] = {}
    while reader.peek()[1] != "}":
        key = reader.take("word")
        if key in options:
            raise GrammarError(f"{section} {name}: {key!r} is said twice")
        reader.take("arrow")
        options[key] = _value(reader)
    reader.take(said="}")
    return Plugin(section, name, options, conditions)


def _value(reader: _Reader) -> Any:
    kind, said = reader.peek()
    if kind == "text":
        return reader.take()[1:-1]
    if kind in ("number", "word"):
        return reader.take()
    if said == "{":
        reader.take()
        made = {}
        while reader.peek()[1] != "}":
            key = reader.take("text")[1:-1]
            reader.take("arrow")
            made[key] = _value(reader)
        reader.take()
        return made
    reader.take(said="[")
    items = []
    while reader.peek()[1] != "]":
        items.append(_value(reader))
        if reader.peek()[1] == ",":
            reader.take()
        elif reader.peek()[1] != "]":
            raise GrammarError("a comma is wanted in a list")
    reader.take()
    return items


def _condition(reader: _Reader) -> str:
    begun = reader.at
    _expression(reader)
    while reader.peek()[1] in ("and", "or", "xor", "nand"):
        reader.take()
        _expression(reader)
    return " ".join(token[1] for token in reader.tokens[begun : reader.at])


def _expression(reader: _Reader) -> None:
    if reader.peek()[1] == "!":
        reader.take()
        return _expression(reader)
    if reader.peek()[1] == "(":
        reader.take()
        _condition(reader)
        reader.take(said=")")
        return None
    if reader.peek()[0] not in ("field", "text", "number"):
        raise GrammarError(f"a condition is wanted, not {reader.peek()[1]!r}")
    reader.take()
    kind, said = reader.peek()
    if kind == "operator":
        operator = reader.take()
        if operator in ("=~", "!~"):
            re.compile(reader.take("text")[1:-1])
        else:
            _compared(reader)
    elif said in ("in", "not"):
        if reader.take() == "not":
            reader.take(said="in")
        _compared(reader)
    return None


def _compared(reader: _Reader) -> None:
    """What something is compared with: a field, a text, a number, a list."""
    if reader.peek()[0] == "field":
        reader.take()
    else:
        _value(reader)
