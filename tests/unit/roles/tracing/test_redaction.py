# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the statements that agents get leave of a span.

They are read back as OTTL reads them, whose strings escape backslash and quote
(https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/pkg/ottl), and run with
Python's expressions, which mean the same where the role lets an expression pass: no lookaround, no references.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
STATEMENT = re.compile(
    r'(?P<function>\w+)\((?P<path>[a-z.]+)(?:, "value")?, '
    r'(?P<first>"(?:[^"\\]|\\.)*")(?:, (?P<second>"(?:[^"\\]|\\.)*"))?\)'
)
CONTEXTS = {
    "resource": {"attributes"},
    "span": {"attributes", "name", "status.message"},
    "spanevent": {"attributes", "name"},
}


def string(literal: str) -> str:
    """A string of OTTL, after the collector has made `$` of `$$`."""
    value: str = json.loads(literal.replace("$$", "$"))
    return value


class Redaction:
    """The statements of one context."""

    def __init__(self, statements: list[str]) -> None:
        self.steps = []
        for statement in statements:
            found = STATEMENT.fullmatch(statement)
            assert found, statement
            expression = re.compile(string(found["first"]), re.ASCII)
            self.steps.append((found["function"], found["path"], expression, string(found["second"] or '""')))

    def attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """What is left of attributes."""
        left = dict(attributes)
        for function, path, expression, replacement in self.steps:
            if path != "attributes":
                continue
            if function == "delete_matching_keys":
                left = {key: value for key, value in left.items() if not expression.search(key)}
            else:
                assert function == "replace_all_patterns"
                left = {
                    key: expression.sub(replacement, value) if isinstance(value, str) else value
                    for key, value in left.items()
                }
        return left

    def text(self, path: str, value: str) -> str:
        """What is left of a text."""
        for function, at, expression, replacement in self.steps:
            if at == path:
                assert function == "replace_pattern"
                value = expression.sub(replacement, value)
        return value


_made: dict[str, dict[str, Redaction]] = {}


@pytest.fixture(params=RELEASES)
def redaction(request: pytest.FixtureRequest, rendered: Render) -> dict[str, Redaction]:
    """The statements by context, of a release."""
    if request.param not in _made:
        spec = rendered("tracing", request.param).objects["OpenTelemetryCollector", "agent"]["spec"]
        processor = spec["config"]["processors"]["transform/redact"]
        # What cannot be redacted is dropped.
        assert processor["error_mode"] == "propagate"
        _made[request.param] = {one["context"]: Redaction(one["statements"]) for one in processor["trace_statements"]}
    return _made[request.param]


def test_all_places_of_a_span_are_redacted(redaction: dict[str, Redaction]) -> None:
    assert {
        name: {path for _function, path, _expression, _text in one.steps} for name, one in redaction.items()
    } == CONTEXTS


KEYS = """http.request.header.authorization http.request.header.cookie password db.password user.passwd client_secret
access_token x-api-key session.id card card.number payment.cvv iban customer.iban account_number accountNo user.email
customer.phone birthdate pan process.command_args process.command_line http.request.header.x-customer
http.response.header.set-thing""".split()
KEPT = """http.request.method http.route http.response.status_code db.system db.statement k8s.pod.name service.name
thread.name company span.kind discarded cardinality panel server.address rpc.method""".split()


@pytest.mark.parametrize("key", KEYS)
def test_attributes_of_customers_go(redaction: dict[str, Redaction], key: str) -> None:
    for context in redaction.values():
        assert context.attributes({key: "anything"}) == {}


@pytest.mark.parametrize("key", KEPT)
def test_attributes_of_the_work_stay(redaction: dict[str, Redaction], key: str) -> None:
    assert redaction["span"].attributes({key: "GET"}) == {key: "GET"}


def luhn(digits: str) -> str:
    total = 0
    for number, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if number % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


cards = st.builds(
    lambda prefix, rest: luhn(prefix + rest),
    st.sampled_from(["4539", "5105", "2221", "3782", "6011", "6759", "3528"]),
    st.text("0123456789", min_size=11, max_size=11),
)
around = st.text(st.characters(codec="ascii", exclude_characters="0123456789"), max_size=20)
# The fixture holds the same for all examples.
repeated = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)


@repeated
@given(card=cards, before=around, after=around, separator=st.sampled_from(["", " ", "-"]))
def test_no_card_survives_anywhere(
    redaction: dict[str, Redaction], card: str, before: str, after: str, separator: str
) -> None:
    said = before + separator.join(card[at : at + 4] for at in range(0, len(card), 4)) + after
    for name, context in redaction.items():
        left = [
            *context.attributes({"x": said}).values(),
            *(context.text(path, said) for path in CONTEXTS[name] - {"attributes"}),
        ]
        assert not [one for one in left if card in re.sub("[ -]", "", one)]


@repeated
@given(
    secret=st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40),
    form=st.sampled_from(
        [
            "Authorization: Bearer {}",
            "basic {}",
            "GET /a?token={}&b=1",
            "password={}",
            "https://user:{}@host/x",
            "eyJhbGciOiJub25lIn0.{}.x",
            "{}@example.org",
        ]
    ),
    before=st.sampled_from(["", "(", "a:", '"', "x=1;", "\t"]),
)
def test_no_secret_survives_where_it_is_one(
    redaction: dict[str, Redaction], secret: str, form: str, before: str
) -> None:
    said = f"{before} {form.format(secret)}"
    assert secret not in redaction["span"].text("status.message", said)
    assert secret not in redaction["spanevent"].attributes({"exception.message": said})["exception.message"]


@pytest.mark.parametrize(
    "iban", ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR1420041010050500013M02606"]
)
def test_no_account_survives(redaction: dict[str, Redaction], iban: str) -> None:
    assert redaction["span"].text("name", f"transfer to {iban} failed") == "transfer to [iban] failed"


@repeated
@given(identity=st.uuids())
def test_ids_of_traces_stay(redaction: dict[str, Redaction], identity: Any) -> None:
    # A run of digits that looks like a card is one in some thousands.
    if re.search("[0-9]{12}", identity.hex):
        return
    said = f"trace {identity.hex} of request {identity}"
    assert redaction["span"].text("status.message", said) == said


@pytest.mark.parametrize(
    "said",
    [
        "GET /api/v1/accounts/{id}",
        "took 1732745116000 ms",
        "10.2.3.4:8443",
        "SELECT a FROM b WHERE c = ?",
        "1732745116000000000",
    ],
)
def test_what_is_no_customers_stays(redaction: dict[str, Redaction], said: str) -> None:
    assert redaction["span"].text("name", said) == said
    assert redaction["resource"].attributes({"x": said}) == {"x": said}


@pytest.mark.parametrize("release", RELEASES)
def test_an_expression_gets_through_two_readers(rendered: Render, release: str) -> None:
    """The collector reads `$`, OTTL reads backslashes and quotes."""
    values = {"x": r'"\d+\\$'}
    found = rendered("tracing", release, tracing_redaction={"attributes": "^a$", "values": values})
    processor = found.objects["OpenTelemetryCollector", "agent"]["spec"]["config"]["processors"]["transform/redact"]
    context = Redaction(processor["trace_statements"][0]["statements"])
    assert [expression.pattern for _function, _path, expression, _text in context.steps] == ["^a$", values["x"]]
    # Alone it would be a variable of the environment.
    assert "$" not in json.dumps(processor).replace("$$", "")
