# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that may not be in a log is left in a line, wherever it stands, and what is wanted there is left.

Lines are made here by rules of their own: the numbers by the standards, not by the expressions.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import string
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.redaction import RedactionError, Redactor, luhn, mod97
from ansible_collections.banking.platform.tests.unit.action.conftest import trusted
from ansible_collections.banking.platform.tests.unit.roles.elk.conftest import ROLE, redaction, redactor

# Beginnings and lengths, as the networks publish them.
NETWORKS = [
    ("4", (13, 16, 19)),
    ("51", (16,)),
    ("2221", (16,)),
    ("2720", (16,)),
    ("34", (15,)),
    ("37", (15,)),
    ("36", (14,)),
    ("3528", (16,)),
    ("6011", (16, 19)),
    ("62", (16, 17, 18, 19)),
    ("6759", (12, 16, 19)),
    ("5018", (12, 16)),
    ("2200", (16,)),
    ("65", (16,)),
    ("9792", (16,)),
]
SEPARATORS = ["", " ", "-", ".", " - ", "\u00a0", "%20", "_", "/", "\u2013", "  "]
IBANS = {"DE": "0" * 18, "GB": "AAAA" + "0" * 14, "FR": "0" * 20 + "AAA", "NO": "0" * 11, "MT": "AAAA" + "0" * 23}
HEX = "0123456789abcdef"
# What stands around a secret: anything that a line of a program has, but no digits and letters right beside it.
AROUND = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)
EDGES = st.sampled_from(["", " ", ":", "=", '"', "'", ",", "(", "[", "<", "|", "\t", "#", "é", "&", ";", "\\"])
many = settings(max_examples=300, deadline=None)


def check_digit(digits: str) -> str:
    return next(digit for digit in "0123456789" if luhn(digits + digit))


@st.composite
def cards(draw: st.DrawFn) -> str:
    begin, lengths = draw(st.sampled_from(NETWORKS))
    length = draw(st.sampled_from(lengths))
    body = begin + draw(st.text("0123456789", min_size=length - len(begin) - 1, max_size=length - len(begin) - 1))
    return body + check_digit(body)


@st.composite
def separated(draw: st.DrawFn, text: str) -> str:
    """The same in groups: of four, as on a card of American Express, one by one, or anyhow."""
    separator = draw(st.sampled_from(SEPARATORS))
    sizes = draw(st.sampled_from([(4,), (4, 6, 5), (1,), (2,), (3,), (6, 4)]))
    parts, at, turn = [], 0, 0
    while at < len(text):
        parts.append(text[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return separator.join(parts)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(IBANS)))
    body = "".join(
        draw(st.sampled_from("0123456789" if place == "0" else string.ascii_uppercase)) for place in IBANS[country]
    )
    digits = "".join(str(int(letter, 36)) for letter in body + country + "00")
    iban = f"{country}{98 - int(digits) % 97:02d}{body}"
    return draw(st.sampled_from([iban, iban.lower()]))


def compact(text: str) -> str:
    return re.sub(r"%20|[^0-9A-Za-z]", "", text)


def test_the_standards_own_examples() -> None:
    assert luhn("4111111111111111")
    assert luhn("378282246310005")
    assert not luhn("4111111111111112")
    assert mod97("GB82WEST12345698765432")
    assert not mod97("GB83WEST12345698765432")


@many
@given(st.data(), cards(), AROUND, AROUND, EDGES, EDGES)
def test_no_card_is_left_wherever_it_stands(
    data: st.DataObject, card: str, before: str, behind: str, left: str, right: str
) -> None:
    # A digit beside it, with a separator or none, makes another number of it; that is tested by itself.
    before, behind = before.rstrip(string.digits + string.whitespace), behind.lstrip(string.digits + string.whitespace)
    said = data.draw(separated(card))
    line = before + left + said + right + behind
    assume(not re.search(r"[0-9][^0-9A-Za-z]{0,3}\Z", before + left))
    redacted = redactor().text(line)
    assert said not in redacted, redacted
    assert card not in compact(redacted), redacted


@many
@given(st.data(), cards(), st.integers(0, 10**9), st.integers(0, 10**9))
def test_other_numbers_beside_a_card_do_not_hide_it(data: st.DataObject, card: str, first: int, last: int) -> None:
    said = data.draw(separated(card))
    separator = data.draw(st.sampled_from([" ", "-", ".", "/"]))
    redacted = redactor().text(f"order {first}{separator}{said}{separator}{last} done")
    # Groups of both may make up another card, which then begins or ends inside of this one: it is no less gone.
    assert said not in redacted


@many
@given(st.data(), ibans(), AROUND, AROUND, st.sampled_from([" ", ":", "=", '"', "(", ",", "\t"]))
def test_no_iban_is_left(data: st.DataObject, iban: str, before: str, behind: str, left: str) -> None:
    separator = data.draw(st.sampled_from(["", " ", "-", "\u00a0"]))
    said = separator.join(iban[at : at + 4] for at in range(0, len(iban), 4))
    redacted = redactor().text(f"{before}{left}{said}{left}{behind}")
    assert iban not in compact(redacted)
    assert said not in redacted


@many
@given(st.binary(min_size=12, max_size=60), st.text("abcXYZ019_-", min_size=12, max_size=60), AROUND, AROUND, EDGES)
def test_no_signed_token_is_left(payload: bytes, signature: str, before: str, behind: str, left: str) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"1"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    assume(body not in before + behind and signature not in before + behind)
    redacted = redactor().text(f"{before}{left}{header}.{body}.{signature} {behind}")
    assert body not in redacted
    assert signature not in redacted


SECRET = st.text(string.ascii_letters + string.digits + "!#$%*+-./^_~", min_size=10, max_size=60)


@many
@given(SECRET, AROUND, st.sampled_from(["Bearer ", "bearer ", "BEARER  ", "Basic ", "ApiKey "]))
def test_nothing_is_left_behind_a_scheme(secret: str, before: str, scheme: str) -> None:
    secret = "Q7" + re.sub(r"[^A-Za-z0-9._~+/=-]", "", secret)
    assume(len(secret) > 8 and secret not in before)
    assert secret not in redactor().text(f"{before} Authorization: {scheme}{secret} next")
    assert secret not in redactor().text(f'{before} sent "{scheme}{secret}" next')


NAMES = [
    "password",
    "passwd",
    "client_secret",
    "clientSecret",
    "api_key",
    "apiKey",
    "API-KEY",
    "access_token",
    "refreshToken",
]
NAMES += [
    "dbPassword",
    "private_key",
    "credentials",
    "sessionId",
    "accountNumber",
    "account_no",
    "pan",
    "CVV",
    "pin",
    "iban",
]


@many
@given(SECRET, st.sampled_from(NAMES), st.sampled_from(range(8)), AROUND)
@example("abcdefghij{klm}", "password", 0, "")
def test_nothing_is_left_behind_the_name_of_a_secret(secret: str, name: str, form: int, before: str) -> None:
    assume(secret not in before)
    spaced = f"{secret} x{secret}"
    line = [
        f"{name}={secret}",
        f"{name}: {secret}",
        f'"{name}":"{spaced}"',
        f"'{name}' = '{spaced}'",
        json.dumps({"log": json.dumps({name: spaced})}),
        json.dumps({name: 'a"' + secret}),
        json.dumps({"log": json.dumps({name: 'a"' + secret})}),
        f"{name} => {secret}",
    ][form]
    redacted = redactor().text(f"{before} {line}")
    assert secret not in redacted, redacted


@many
@given(
    st.sampled_from(["AKIA", "ASIA"]), st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16), AROUND
)
def test_keys_that_are_known_by_their_beginning_are_not_left(begin: str, rest: str, before: str) -> None:
    for key in (
        begin + rest,
        "ghp_" + rest * 2,
        "hvs." + rest * 2,
        "glpat-" + rest * 2,
        "sk_live_" + rest,
        "AIza" + rest * 2 + "abc",
    ):
        assert key in before or key not in redactor().text(f"{before} {key} used"), key


@many
@given(st.emails(), AROUND, AROUND)
def test_no_address_is_left(email: str, before: str, behind: str) -> None:
    local, _at, _domain = email.rpartition("@")
    assume(re.fullmatch(r"[A-Za-z0-9._+-]+", local))
    redacted = redactor().text(f"{before} {email} {behind}")
    assert email not in redacted


PRIVATE = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIB+secret/key=\nAAAA\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize("text", [PRIVATE, json.dumps(PRIVATE), PRIVATE.replace("\n", " ")])
def test_no_private_key_is_left(text: str) -> None:
    assert "secret/key" not in redactor().text(f"loaded {text} done")
    assert "AAAA" not in redactor().text(text)


# --- what is left ---------------------------------------------------------------------------------------------------


@many
@given(st.text(HEX, min_size=32, max_size=32), st.text(HEX, min_size=16, max_size=16), st.uuids())
def test_ids_of_traces_are_left(trace: str, span: str, request: uuid.UUID) -> None:
    assume(re.search("[a-f]", trace) and re.search("[a-f]", span))
    line = (
        f'[banking-app,{trace}] traceparent=00-{trace}-{span}-01 "spanId":"{span}" span_id={span} request {request} ok'
    )
    assert redactor().text(line) == line


@example("00000000000000000000411111111111111a")
@given(st.text(HEX, min_size=40, max_size=40))
def test_digests_are_left(digest: str) -> None:
    assume(re.search("[a-f]", digest) and len(digest) == 40)
    assert redactor().text(f"commit {digest} built") == f"commit {digest} built"


@many
@given(cards(), st.integers(1, 9), st.data())
def test_a_number_whose_check_digit_is_wrong_is_left(card: str, off: int, data: st.DataObject) -> None:
    wrong = card[:-1] + str((int(card[-1]) + off) % 10)
    line = f"reference {wrong} booked"
    assert redactor().text(line) == line


@many
@given(st.decimals(0, 10**11, places=2), st.datetimes(), st.ip_addresses(v=4), st.integers(0, 2**16))
def test_amounts_times_and_addresses_of_hosts_are_left(amount: Any, moment: Any, address: Any, port: int) -> None:
    assume(moment.year > 1970)
    milliseconds = 1_600_000_000_000 + port * 1_000_003
    line = f"{moment.isoformat()}Z {address}:{port} amount={amount} {amount:,} EUR at {milliseconds} ms"
    assert redactor().text(line) == line


LINES = [
    "INFO c.b.loans.LoanService : Loan 5f3c created for customer 839201 amount 12500.00 EUR in 42 ms",
    "basic authentication failed for client banking-app, tokens left: 5, keys rotated, passed: yes",
    "span=12 spanish pin-code panel card declined, account locked",
    "GET /api/v1/accounts/42 HTTP/1.1 200 1234 12 ms upstream 10.244.1.17:8080",
]


@pytest.mark.parametrize("line", LINES)
def test_plain_lines_are_left(line: str) -> None:
    assert redactor().text(line) == line


def test_a_line_that_is_too_long_is_cut() -> None:
    redacted = redactor().text("x" * 40000 + " 4111111111111111")
    assert redacted.endswith("[CUT]")
    assert len(redacted) < 33000


# --- events ---------------------------------------------------------------------------------------------------------


def test_parsed_fields_are_looked_through_by_name_and_value() -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    event = {
        "@timestamp": "2024-01-15T12:00:00Z",
        "host": {"name": "node"},
        "message": "paid with 5500 0000 0000 0004",
        "app": {
            "traceId": trace,
            "spanId": span,
            "password": {"a": "b"},
            "pin": 1234,
            "pan": 4111111111111111,
            "number": 4111111111111111,
            "amount": 1200.5,
            "list": ["a@b.example.org", 7, None, True],
            "headers": {"Authorization": "x", "Cookie": ["a=b"]},
            "spanid": "4111111111111111",
        },
    }
    made = redactor().event(event)
    app = made["app"]
    assert (made["host"], made["@timestamp"]) == (event["host"], event["@timestamp"])
    assert made["message"] == "paid with [REDACTED:card]"
    assert (app["traceId"], app["spanId"], app["amount"]) == (trace, span, 1200.5)
    assert app["password"] == app["pin"] == app["pan"] == app["headers"]["Authorization"] == "[REDACTED:field]"
    assert (app["number"], app["spanid"]) == ("[REDACTED:card]", "[REDACTED:card]")
    assert app["list"] == ["[REDACTED:email]", 7, None, True]
    assert app["headers"]["Cookie"] == ["[REDACTED:field]"]


# --- the same in Ruby -----------------------------------------------------------------------------------------------

RUNNER = """
require 'json'
load ARGV[0]
redactor = Redactor.new(DATA_OF_RULES)
STDIN.each_line do |line|
  given = JSON.parse(line)
  puts JSON.generate(given.is_a?(String) ? redactor.text(given) : redactor.value('', given))
end
"""


def script(folder: Path) -> Path:
    """The very file that Logstash gets."""
    text = Templar(loader=DataLoader(), variables={"__elk_redaction": redaction()}).template(
        trusted((ROLE / "templates/redact.rb.j2").read_text())
    )
    assert "{{" not in text
    (folder / "redact.rb").write_text(text)
    (folder / "run.rb").write_text(RUNNER)
    return folder / "redact.rb"


@pytest.mark.skipif(not shutil.which("ruby"), reason="no ruby")
def test_ruby_does_the_same_as_the_reference(tmp_path: Path) -> None:
    """Lines of the properties above, and what is made of them by chance; in MRI, where Logstash has JRuby."""
    lines: list[Any] = [
        *LINES,
        PRIVATE,
        json.dumps(PRIVATE),
        {"pan": 4111111111111111, "a": ["x@y.example", 1.5, None]},
    ]

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        kind = data.draw(st.integers(0, 5))
        around = data.draw(AROUND)
        if kind == 0:
            lines.append(around + data.draw(EDGES) + data.draw(separated(data.draw(cards()))) + data.draw(AROUND))
        elif kind == 1:
            lines.append(around + " " + data.draw(ibans()) + data.draw(AROUND))
        elif kind == 2:
            lines.append(f"{around} {data.draw(st.sampled_from(NAMES))}={data.draw(SECRET)} {data.draw(AROUND)}")
        elif kind == 3:
            name, secret = data.draw(st.sampled_from(NAMES)), data.draw(SECRET)
            lines.append(json.dumps({"log": json.dumps({name: 'a"' + secret}), name: secret}))
        elif kind == 4:
            words = st.sampled_from(
                ["4111", " ", "-", "00", "DE89", "eyJ", "bearer ", "a@b.c", "token=", '"', "\\", "x", "%20", "3704"]
            )
            lines.append("".join(data.draw(st.lists(words, max_size=30))))
        else:
            lines.append(
                {"traceId": data.draw(st.text(HEX, min_size=32, max_size=32)), "x": {"token": around, "m": around}}
            )

    collect()
    file = script(tmp_path)
    told = subprocess.run(
        ["ruby", "-W", "-E", "UTF-8", str(tmp_path / "run.rb"), str(file)],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not told.stderr
    made = [json.loads(line) for line in told.stdout.split("\n") if line]
    assert len(made) == len(lines) > 300
    for line, ruby in zip(lines, made, strict=True):
        python = redactor().text(line) if isinstance(line, str) else redactor().value("", line)
        assert ruby == python, line


FILTER = """
require 'json'
load ARGV[0]
class Event
  attr_reader :fields, :tags
  def initialize(fields) = (@fields, @tags = fields, [])
  def to_hash = @fields
  def set(name, value) = @fields[name[/[^\\[\\]]+/]] = value
  def remove(name) = @fields.delete(name[/[^\\[\\]]+/])
  def tag(name) = @tags << name
end
register({})
event = Event.new({'message' => 'paid with 4111 1111 1111 1111', 'host' => {'name' => '4111111111111111'}})
filter(event)
broken = Event.new({'message' => 'paid with 4111 1111 1111 1111', 'host' => {'name' => 'a'}, 'app' => {'a' => 1}})
def @redactor.event(_event) = raise(ArgumentError, 'x')
filter(broken)
puts JSON.generate([event.fields, broken.fields, broken.tags])
"""


@pytest.mark.skipif(not shutil.which("ruby"), reason="no ruby")
def test_the_filter_lets_nothing_pass_that_it_could_not_look_through(tmp_path: Path) -> None:
    file = script(tmp_path)
    (tmp_path / "filter.rb").write_text(FILTER)
    told = subprocess.run(
        ["ruby", "-E", "UTF-8", str(tmp_path / "filter.rb"), str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    event, broken, tags = json.loads(told.stdout)
    assert event == {"message": "paid with [REDACTED:card]", "host": {"name": "4111111111111111"}}
    assert broken == {"message": "[REDACTED:error] ArgumentError", "host": {"name": "a"}}
    assert tags == ["_redaction_failed"]


# --- time -----------------------------------------------------------------------------------------------------------

# What makes expressions go back and forth: the beginnings of what they look for, over and over, and no end.
HOSTILE = [
    "4111 ",
    "1",
    "1-",
    "DE8",
    "DE89 ",
    "a",
    "a@",
    "a.",
    "a@b.",
    "eyJ",
    "eyJ.",
    "eyJaaaaa.",
    "bearer ",
    "Bearer A",
    "token=",
    'token="',
]
HOSTILE += [
    "\\",
    '\\"',
    'token="\\',
    'token=\\"\\\\',
    "password",
    "authorization: ",
    "-----BEGIN PRIVATE KEY-----",
    "%20",
    "-",
    " ",
    "0a",
    "4 ",
    "pan",
    "%40",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_line_and_not_faster(piece: str) -> None:
    def took(length: int) -> float:
        text = (piece * length)[:length]
        best = 9.0
        for _time in range(3):
            begun = time.process_time()
            redactor().text(text)
            best = min(best, time.process_time() - begun)
        return best

    short, long = took(2000), took(32000)
    # Sixteen times the length: 256 times the time would be the square of it.
    assert long < 64 * max(short, 0.0002), (short, long)


# --- data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rulez": []}, "unknown key 'rulez': did you mean 'rules'"),
        ({"rules": [{"name": "x", "expression": "("}]}, "is no regular expression"),
        ({"rules": [{"name": "x", "expression": "x", "check": "lun"}]}, "unknown check 'lun'"),
        ({"rules": [{"expression": "x"}]}, "name and expression are wanted"),
        ({"rules": ["x"]}, "a mapping is wanted"),
    ],
)
def test_data_that_is_wrong_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RedactionError, match=re.escape(words)):
        Redactor({**redaction(), **change})


def test_data_that_is_missing_is_refused() -> None:
    with pytest.raises(RedactionError, match="card is missing"):
        Redactor({key: value for key, value in redaction().items() if key != "card"})
