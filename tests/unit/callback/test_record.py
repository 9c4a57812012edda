# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What enters the record of a run, and what never does."""

from __future__ import annotations

import base64
import json
import urllib.request

import pytest

from ansible_collections.banking.platform.plugins.plugin_utils import record

MASK = record.MASK


def hidden(*secrets: str) -> record.Hidden:
    found = record.Hidden()
    found.update(secrets)
    return found


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("hunter22", "login hunter22 failed", f"login {MASK} failed"),
        ('a"quoted"one', json.dumps({"p": 'a"quoted"one'}), f'{{"p": "{MASK}"}}'),
        ("sécret-word", json.dumps("sécret-word"), f'"{MASK}"'),
        ("p@ss/word", "https://me:p%40ss%2Fword@host", f"https://me:{MASK}@host"),
        ("hunter22", base64.b64encode(b"hunter22").decode(), MASK),
        ("first-line\nsecond-line", "it has second-line in it", f"it has {MASK} in it"),
        ("  padded-one\n", "padded-one", MASK),
        ("short", "in short", "in short"),
    ],
)
def test_every_form_of_a_secret_is_hidden(secret, text, shown):
    assert hidden(secret).mask(text) == shown


def test_a_secret_that_begins_with_another_is_hidden_whole():
    assert hidden("secret-one", "secret-one-and-more").mask("secret-one-and-more") == MASK


def test_bounded_hides_before_it_cuts():
    found = hidden("secret-one", "123456")
    assert record.bounded({"secret-one": ["x secret-one", 123456, True, None]}, found) == {
        MASK: [f"x {MASK}", MASK, True, None]
    }
    assert record.bounded("abc secret-one", found, 8).startswith("abc ****\n(4 more")


@pytest.mark.parametrize("name", ["db_password", "vault_token", "ansible_become_pass", "tls_key"])
def test_secret_by_name(name):
    found = record.Hidden()
    assert record.mask({"db": {name: "hunter22"}, "n": 1}, found=found) == {"db": {name: MASK}, "n": 1}
    assert found.mask("hunter22") == MASK


def test_prune_keeps_the_last_and_what_is_not_ours(tmp_path):
    names = [f"2026010{day}T000000Z" for day in range(1, 6)]
    for name in [*names, "mine"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / names[0] / "note.txt").write_text("kept")
    record.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [names[0], *names[3:], "mine"]
    assert [path.name for path in (tmp_path / names[0]).iterdir()] == ["note.txt"]


def test_two_runs_in_one_second(tmp_path, monkeypatch):
    monkeypatch.setattr(record.time, "strftime", lambda *_arguments: "20260101T000000Z")
    folders = [record.Writer(tmp_path).folder.name for _number in range(3)]
    assert folders == ["20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-3"]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "start", "at": 1.0, "playbook": "site.yml"}\n{"event": "pl')
    assert record.fold(record.read_events(path))["outcome"] == "interrupted"
    assert record.fold(record.read_events(path))["playbook"] == "site.yml"


@pytest.mark.parametrize(
    ("value", "goal", "reached"),
    [
        (30, 30, True), (30.1, 30, False), ("29", "30", True), (3, ">= 3", True), (2, ">=3", False),
        (5, "< 5", False), (6, "> 5", True), (9, "= 9", True), (8, "= 9", False), (-1.5, "<= -1", True),
        (1, None, None), (1, "soon", None), ("long", 5, None), (True, 1, None), (1, True, None),
        (float("nan"), 5, None), (None, 5, None), ([1], 5, None),
    ],
)  # fmt: skip
def test_a_goal_is_a_comparison_and_a_number_alone_is_the_most(value, goal, reached):
    assert record.reached(value, goal) is reached


def test_figures_are_kept_as_json_and_what_is_none_is_left_out():
    assert record.measured({"name": "x", "value": float("inf"), "more": 1}) == (
        {"name": "x", "value": "inf", "unit": None, "goal": None}
    )
    assert [record.measured(entry) for entry in ("x", None, {"name": "x"}, {"value": 1})] == [None] * 4


def test_a_token_goes_over_https_only(monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(urllib.request, "build_opener", refuse)
    assert "https://" in record.send("http://store.example.com/runs", "token", b"{}")
