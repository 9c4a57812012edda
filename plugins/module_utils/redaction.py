# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may not stay in a log line, in the expressions that Logstash gets.

The expressions are data (roles/elk/vars/main.yml: `__elk_redaction`). This is the reference of what is done with them;
roles/elk/templates/redact.rb.j2 does the same in Ruby, inside of Logstash, and the tests hold one against the other.
Expressions keep to what Python, Ruby and JRuby read alike, and each of them takes time that grows with the length of
a line and not faster.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Match, Optional, Pattern, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

CHECKS = ("luhn", "iban")
_KEYS = ("card", "fields", "iban", "keep", "keep_fields", "leave", "longest", "rules", "separators")
_RULE_KEYS = ("check", "expression", "name", "needs")
# Of a digit, by whether it is doubled: ISO/IEC 7812-1, annex B.
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
Span = Tuple[int, int]


class RedactionError(ValueError):
    """Data that no redaction can be made of: names the rule, and what to write."""


@dataclass(frozen=True)
class Rule:
    """One expression.

    Attributes:
        name: what stands in the place of what was found.
        expression: what is looked for. Its first group, where it has one, stays.
        needs: texts in lower case, one of which is in each line that the expression could match; empty for none.
        check: what else must hold of what was found: `luhn`, `iban` or nothing.
    """

    name: str
    expression: Pattern[str]
    needs: Tuple[str, ...]
    check: str

    @property
    def mark(self) -> str:
        """What stands in the place of what was found."""
        return f"[REDACTED:{self.name}]"


class Redactor:
    """Redaction by one set of data.

    Args:
        data: `rules`, each {name, expression, needs, check}; `keep`, expressions of what is left although a checked
            rule finds something inside of it; `separators`, an expression of what may stand between digits and
            letters of one number; `card`, expressions of the digits of cards by network; `iban`, lengths by country;
            `fields`, an expression of names of fields whose value goes whatever it is; `keep_fields` and `leave`, of
            names of fields that hold ids of traces, and names of fields at the top of an event that nobody looks into;
            `longest`, characters of a text that are looked at, the rest is cut off.

    Raises:
        RedactionError: for data that is incomplete or unknown, or an expression that is none.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        _known("redaction", data, _KEYS)
        missing = [key for key in _KEYS if key not in data]
        if missing:
            raise RedactionError(f"redaction: {', '.join(missing)} is missing")
        self.rules = [_rule(entry) for entry in data["rules"]]
        self._keep = [_expression("keep", text) for text in data["keep"]]
        self._separators = _expression("separators", data["separators"])
        self._card = _expression("card", "|".join(f"(?:{text})" for text in data["card"]))
        self._iban: Dict[str, int] = {str(country): int(length) for country, length in data["iban"].items()}
        self._fields = _expression("fields", data["fields"])
        self._keep_fields = _expression("keep_fields", data["keep_fields"])
        self._leave = frozenset(data["leave"])
        self._longest = int(data["longest"])
        self._checks: Dict[str, Callable[[str, Match[str]], List[Span]]] = {"luhn": self._cards, "iban": self._ibans}

    def text(self, text: str) -> str:
        """A text without what the rules find in it."""
        if len(text) > self._longest:
            text = text[: self._longest] + "[CUT]"
        lowered = text.lower()
        for rule in self.rules:
            if rule.needs and not any(need in lowered for need in rule.needs):
                continue
            changed = self._checked(rule, text) if rule.check else self._plain(rule, text)
            if changed is not text:
                text, lowered = changed, changed.lower()
        return text

    def event(self, event: Mapping[str, Any]) -> Dict[str, Any]:
        """An event of Logstash, as its fields by name, without what the rules find in them."""
        return {name: value if name in self._leave else self.value(name, value) for name, value in event.items()}

    def value(self, name: str, value: Any) -> Any:
        """The value of a field, whatever it is made of."""
        if isinstance(value, Mapping):
            if self._fields.search(name):
                return "[REDACTED:field]"
            return {key: self.value(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(name, item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if self._fields.search(name):
            return "[REDACTED:field]"
        if isinstance(value, str):
            if self._keep_fields.search(name) and self._kept(value) == [(0, len(value))]:
                return value
            return self.text(value)
        said = str(value)
        redacted = self.text(said)
        return value if redacted == said else redacted

    @staticmethod
    def _plain(rule: Rule, text: str) -> str:
        if rule.expression.groups:
            return rule.expression.sub(lambda found: (found.group(1) or "") + rule.mark, text)
        return rule.expression.sub(rule.mark, text)

    def _checked(self, rule: Rule, text: str) -> str:
        """Look at each place that the expression finds, and go on behind its beginning where nothing was in it."""
        check = self._checks[rule.check]
        kept: Optional[List[Span]] = None
        parts: List[str] = []
        done = position = 0
        while True:
            found = rule.expression.search(text, position)
            if found is None:
                break
            spans = check(text, found)
            if spans:
                if kept is None:
                    kept = self._kept(text)
                spans = [span for span in spans if span[0] >= done and not _inside(span, kept)]
            for start, end in spans:
                parts += [text[done:start], rule.mark]
                done = end
            if rule.check == "luhn":
                position = found.end()
            else:
                position = max(done, found.start() + 1)
        return "".join([*parts, text[done:]]) if parts else text

    def _cards(self, text: str, found: Match[str]) -> List[Span]:
        """Where cards are in a run of digits: whole groups of digits, whatever else stands before and behind."""
        groups: List[Span] = []
        position, run = found.start(), found.end()
        while position < run:
            end = position
            while end < run and "0" <= text[end] <= "9":
                end += 1
            groups.append((position, end))
            between = self._separators.match(text, end)
            position = between.end() if between else run
        spans: List[Span] = []
        first = 0
        while first < len(groups):
            digits, last, end = "", first, 0
            while last < len(groups):
                digits += text[groups[last][0] : groups[last][1]]
                if len(digits) > 19:
                    break
                if len(digits) > 11 and self._card.fullmatch(digits) and luhn(digits):
                    end = last + 1
                last += 1
            if end:
                spans.append((groups[first][0], groups[end - 1][1]))
                first = end
            else:
                first += 1
        return spans

    def _ibans(self, text: str, found: Match[str]) -> List[Span]:
        """The IBAN whose check digits begin what was found, if its length and they are right."""
        begin = found.start()
        for back in (2, 3, 5):
            country = text[max(begin - back, 0) : begin - back + 2].upper()
            between = text[begin - back + 2 : begin]
            # Apart from its digits it is a word of its own: else each word that ends so would be a country.
            apart = bool(between and self._separators.fullmatch(between)) and not _letter(text, begin - back - 1)
            if country in self._iban and (not between or apart):
                break
        else:
            return []
        compact, position = country, begin
        while position < found.end() and len(compact) < self._iban[country]:
            separator = self._separators.match(text, position)
            if separator:
                position = separator.end()
            else:
                compact += text[position]
                position += 1
        if len(compact) < self._iban[country] or not mod97(compact):
            return []
        return [(begin - back, position)]

    def _kept(self, text: str) -> List[Span]:
        return [found.span() for expression in self._keep for found in expression.finditer(text)]


def _letter(text: str, position: int) -> bool:
    return position >= 0 and text[position].isascii() and text[position].isalpha()


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Whether the check digits of an IBAN without separators are right (ISO 13616, ISO/IEC 7064 MOD 97-10)."""
    moved = iban[4:] + iban[:4]
    try:
        return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
    except ValueError:
        return False


def _inside(span: Span, kept: Sequence[Span]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in kept)


def _rule(entry: Any) -> Rule:
    _known("rules", entry, _RULE_KEYS)
    if not entry.get("name") or not entry.get("expression"):
        raise RedactionError(f"rules: name and expression are wanted in {entry!r}")
    check = entry.get("check") or ""
    if check and check not in CHECKS:
        raise RedactionError(f"rules: {entry['name']}: unknown check {check!r}: {nearest(str(check), CHECKS)}")
    return Rule(
        str(entry["name"]),
        _expression(f"rules: {entry['name']}", entry["expression"]),
        tuple(str(need) for need in entry.get("needs") or ()),
        check,
    )


def _expression(where: str, text: Any) -> Pattern[str]:
    try:
        return re.compile(str(text))
    except re.error as error:
        raise RedactionError(f"{where}: {text!r} is no regular expression: {error}") from error


def _known(where: str, data: Any, known: Sequence[str]) -> None:
    if not isinstance(data, Mapping):
        raise RedactionError(f"{where}: a mapping is wanted, not {data!r}")
    for key in data:
        if key not in known:
            raise RedactionError(f"{where}: unknown key {key!r}: {nearest(str(key), known)}")
