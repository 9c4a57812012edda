# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many lines a second the redaction goes through, and how its time grows with a line.

Lines are made by chance, from a seed. Writes docs/benchmarks/redaction.md and redaction.json.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent.parent
COUNT = 20_000
GOAL = 20_000
LENGTHS = (1_000, 4_000, 16_000, 32_000)

from ansible_collections.banking.platform.tests.unit.roles.elk.conftest import redactor  # noqa: E402
from ansible_collections.banking.platform.tests.unit.roles.elk.test_redaction import HOSTILE  # noqa: E402


def hexadecimal(chance: random.Random, length: int) -> str:
    return "".join(chance.choice("0123456789abcdef") for _time in range(length))


def line(chance: random.Random, secret: bool) -> str:
    """A line as programs of the platform write it; with something in it that has to go, or without."""
    trace, span, number = hexadecimal(chance, 32), hexadecimal(chance, 16), chance.randrange(10**6)
    day = f"2026-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}"
    moment = f"{day}T12:{chance.randrange(60):02d}:07.{number % 1000:03d}Z"
    amount, service = number / 100, "c.b.loans.LoanService"
    ids = f'"traceId":"{trace}","spanId":"{span}"'
    kept = [
        f"{moment} INFO [banking-app,{trace},{span}] {service} : Loan {number} created, amount {amount} EUR",
        f'{{"@timestamp":"{moment}","level":"INFO","message":"accepted",{ids},"amount":{amount}}}',
        f'10.1.{number % 255}.3 - - [{moment}] "GET /v1/loans/{number} HTTP/1.1" 200 {number % 9999} "okhttp/4.12.0"',
        f"{moment} WARN HikariPool-1 - Connection is not available, request timed out after {number}ms (total=20)",
    ]
    gone = [
        f"{moment} DEBUG charge card 4111-1111-1111-1111 of customer {number} trace {trace}",
        f"{moment} INFO payout to DE89 3704 0044 0532 0130 00 accepted ({number})",
        f'{moment} ERROR login failed {{"password":"geheim{number}","user":"a{number}@bank.example"}}',
        f"{moment} TRACE Authorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ{span}.{trace} next",
    ]
    return chance.choice(gone if secret else kept)


def rate(lines: list[str]) -> float:
    """Lines a second of processor time; the best of three."""
    redact, best = redactor().text, 0.0
    for _time in range(3):
        begun = time.process_time()
        for text in lines:
            redact(text)
        best = max(best, len(lines) / (time.process_time() - begun))
    return best


def growth(piece: str) -> list[float]:
    """Milliseconds for a line of nothing but `piece`, by length; the best of three."""
    found = []
    for length in LENGTHS:
        text, best = (piece * length)[:length], 9.0
        for _time in range(3):
            begun = time.process_time()
            redactor().text(text)
            best = min(best, time.process_time() - begun)
        found.append(round(best * 1000, 2))
    return found


def main() -> None:
    chance = random.Random(20260101)
    shares = {
        share: rate([line(chance, chance.random() < share / 100) for _time in range(COUNT)]) for share in (0, 5, 100)
    }
    worst = {piece: growth(piece) for piece in HOSTILE}
    slowest = sorted(worst, key=lambda piece: -worst[piece][-1])[:5]
    folder = CLONE / "docs" / "benchmarks"
    record = {"python": platform.python_version(), "lines_a_second": shares, "milliseconds": worst, "lengths": LENGTHS}
    (folder / "redaction.json").write_text(json.dumps(record, indent=2) + "\n")
    rows = [f"| {share} % | {speed:,.0f} |" for share, speed in shares.items()]
    grown = [f"| `{piece!r}` | {' | '.join(map(str, worst[piece]))} |" for piece in slowest]
    (folder / "redaction.md").write_text(
        "# Redaction\n\nMade by `python tests/benchmarks/redaction.py`: the reference, one core, processor time, "
        f"Python {platform.python_version()}, {COUNT:,} lines of 100 to 200 characters. Goal: {GOAL:,} a second.\n\n"
        "| lines with something to redact | lines a second |\n| --- | --- |\n" + "\n".join(rows) + "\n\n"
        "Lines that are made to be slow, in milliseconds by their length in characters (the five slowest of "
        f"{len(HOSTILE)}):\n\n| line of | {' | '.join(f'{length:,}' for length in LENGTHS)} |\n"
        f"| --- |{' --- |' * len(LENGTHS)}\n" + "\n".join(grown) + "\n"
    )
    print((folder / "redaction.md").read_text())
    if shares[5] < GOAL:
        print(f"below the goal of {GOAL:,}", file=sys.stderr)


if __name__ == "__main__":
    main()
