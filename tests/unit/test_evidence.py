# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the page of a run, and what can never be on it. The page in a browser: tests/integration/evidence."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import evidence, record
from ansible_collections.banking.platform.tests.integration.evidence import data

VOID = {"meta", "br", "rect", "line", "img", "link"}
HOSTILE = "<script>alert('x')</script>\"&\x1b[31m\u202e\x00\ud800"


class Page(HTMLParser):
    """The elements of a page, which must be closed in order; the texts of its sections."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.section = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data: str) -> None:
        self.sections[self.section] = self.sections.get(self.section, "") + " " + data

    def text(self, section: str) -> str:
        return " ".join(self.sections[section].split())


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return data.made()


@pytest.fixture
def run(whole: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(whole)


def test_every_section_of_a_whole_record(run: dict[str, Any]) -> None:
    page = Page(evidence.render(run))
    assert [section for section in page.sections if section] == (
        ["topology", "quorum", "capacity", "timeline", "plan", "measurements", "findings", "versions", "hosts", "run"]
    )
    assert "prod ✓ Succeeded" in page.text("")
    assert "Release 2024.1, Kubernetes 1.28.15 · site.yml by operator · 2026-11-23 11:20:00 UTC, 6m 00s" in page.text(
        ""
    )


@pytest.mark.parametrize("part", ["topology", "quorum", "capacity", "measurements", "findings", "versions"])
@pytest.mark.parametrize("nothing", [None, "absent"])
def test_a_part_that_is_missing_leaves_only_its_own_section_out(
    run: dict[str, Any], part: str, nothing: str | None
) -> None:
    before = set(Page(evidence.render(run)).sections)
    run[part] = None
    if nothing:
        del run[part]
    page = evidence.render(run)
    assert set(Page(page).sections) == before - {part}
    assert f'href="#{part}"' not in page


def test_a_record_of_nothing_is_a_page_that_says_so() -> None:
    page = Page(evidence.render({}))
    assert [section for section in page.sections if section] == ["run"]
    assert "Interrupted: its end was not recorded" in page.text("")


def test_a_run_that_failed_says_what_to_do_first_and_names_the_hosts_once() -> None:
    page = evidence.render(data.made(failed=True))
    assert "✗ Failed" in Page(page).text("")
    text = Page(page).text("failures")
    assert text == (
        "Failures cp-a1, worker-a1: Set up vault, part 5 failed · role vault · vault/main.yml:4 "
        "vault: the unit did not start: exit code 1 permission denied "
        "Next: see `journalctl -u vault` on the host, and run again"
    )
    assert page.index('id="failures"') < page.index('id="topology"')


def test_what_was_ignored_comes_after_what_was_not() -> None:
    failures = [
        {"host": "a", "task": "ignored", "cause": "x", "next_step": "hidden", "forgiven": "ignored"},
        {"host": "b", "task": "real", "cause": "x", "next_step": "shown", "forgiven": ""},
    ]
    text = Page(evidence.render({"failures": failures})).text("failures")
    assert text.index("real") < text.index("ignored")
    assert "hidden" not in text


def test_check_mode_is_said_and_nothing_was_changed() -> None:
    text = Page(evidence.render(data.made(check=True)))
    assert "Check mode: nothing was changed" in text.text("")
    assert "Would be changed 54 tasks" in text.text("")
    assert "What would be changed" in text.text("plan")


def test_zones_show_their_nodes_with_size_and_components(run: dict[str, Any]) -> None:
    text = Page(evidence.render(run)).text("topology")
    assert (
        "zone-b 3 nodes cp-b1 changed control plane, etcd, vault 4 CPU · 8Gi memory · 200Gi disk · 110 pods etcd vault"
        in text
    )


def test_components_that_no_node_is_said_to_carry_are_shown_in_their_zone(run: dict[str, Any]) -> None:
    for node in run["topology"]["nodes"]:
        node["workloads"] = ["etcd"]
    zones = evidence._topology(run["topology"], {}, run["quorum"])
    assert "harbor" in zones[0]["anywhere"]
    assert zones[1]["anywhere"] == ["kafka", "postgresql", "redis", "storage", "vault"]
    assert "On any of its nodes: kafka postgresql" in Page(evidence.render(run)).text("topology")


def test_quorum_shows_the_arithmetic_and_the_worst_first(run: dict[str, Any]) -> None:
    page = evidence.render(run)
    text = Page(page).text("quorum")
    arithmetic = "3 members, 1 in zone-a: losing zone-a leaves 2 of 3, majority is 2"
    assert arithmetic in text
    assert f'title="{arithmetic}"' in page
    assert text.index("harbor: registry 1 ✗ does not survive") < text.index("etcd: members 1 ✓ survives")
    assert "Quorums that survive 8 of 9" in Page(page).text("")


def test_what_is_not_claimed_is_told_from_what_is_broken(run: dict[str, Any]) -> None:
    for proof in run["quorum"]:
        proof["claimed"] = proof["component"] != "harbor"
    assert "harbor: registry 1 ✗ does not survive, not claimed" in Page(evidence.render(run)).text("quorum")


def test_capacity_bars_say_their_figures_and_what_is_over(run: dict[str, Any]) -> None:
    run["capacity"]["cases"][1]["zones"]["zone-b"]["cpu"] = {"available": 20000, "requested": 25000}
    run["capacity"]["cases"][1] |= {
        "fits": False,
        "unplaced": [{"workload": "kafka/broker", "count": 1, "why": "too large"}],
    }
    page = evidence.render(run)
    text = Page(page).text("capacity")
    assert "25 of 20 125 %, over" in text
    assert "without zone-a ✗ does not fit" in text
    assert "Without a place, without zone-a 1 of kafka/broker: too large" in text
    assert re.search(r'class="used over" width="100', page)
    assert "Budget: CPU" in text
    assert "Capacity does not fit without zone-a" in Page(page).text("")


def test_a_bar_is_as_long_as_its_share() -> None:
    half = evidence._bar("memory", {"available": 4 * 1024**3, "requested": 2 * 1024**3})
    assert (half["percent"], half["share"], half["text"], half["over"]) == (50.0, "50 %", "2Gi of 4Gi", False)
    assert evidence._bar("cpu", {"available": 0, "requested": 0})["percent"] == 0
    assert evidence._bar("cpu", {"available": 0, "requested": 1})["over"]


def test_timeline_places_roles_and_hosts_on_one_scale(run: dict[str, Any]) -> None:
    timeline = evidence._timeline(run)
    plays, roles, hosts = timeline["groups"]
    assert [row.name for row in roles["rows"]] == list(data.ROLES)
    assert [(piece.x, piece.status) for row in roles["rows"] for piece in row.bars][:3] == (
        [("0.00", "changed"), ("16.67", "changed"), ("33.33", "changed")]
    )
    assert len(hosts["rows"]) == 9
    assert [piece.label for piece in hosts["rows"][0].bars] == list(data.ROLES)
    assert plays["rows"][1].bars[0].x == "16.67"
    assert len(timeline["slowest"]) == evidence.SLOWEST
    assert timeline["slowest"][0]["took"] == "11s"


def test_skipped_tasks_leave_no_bar() -> None:
    result = {"host": "a", "status": "skipped", "started": 0.0, "ended": 5.0}
    run = {"tasks": [{"name": "t", "role": "r", "play": 0, "started": 0.0, "ended": 5.0, "results": [result]}]}
    assert evidence._timeline(run)["groups"] == []


def test_many_stretches_of_a_host_become_few_and_keep_the_worst() -> None:
    row = evidence._Row("a", [evidence._Bar(at, at + 1, str(at)) for at in range(1000)])
    row.bars[500].status = "failed"
    row.lay(1000)
    assert len(row.bars) <= evidence.MOST_BARS
    assert sum(piece.status == "failed" for piece in row.bars) == 1
    assert row.bars[-1].end == 1000


def test_ticks_are_round_and_few() -> None:
    assert [text for _place, text in evidence._ticks(300)] == ["0s", "1m 00s", "2m 00s", "3m 00s", "4m 00s"]
    assert [text for _place, text in evidence._ticks(0.08)][:3] == ["0s", "0.02s", "0.04s"]
    assert all(len(evidence._ticks(10.0**power)) <= 7 for power in range(-3, 6))


def test_a_plan_has_each_step_once_for_the_hosts_that_share_it(run: dict[str, Any]) -> None:
    plan = evidence._plan(run["tasks"])
    shared, own = (
        [hosts for hosts in plan["roles"]["etcd"] if len(hosts) > 1],
        [hosts for hosts in plan["roles"]["etcd"] if len(hosts) == 1],
    )
    assert [len(hosts) for hosts in shared] == [9]
    assert len(own) == 9
    assert plan["totals"]["etcd"] == "18 create, 18 update, 9 restart, 9 delete"


def test_a_step_shows_its_difference(run: dict[str, Any]) -> None:
    page = evidence.render(run)
    assert "<ins>+ key0 = 0\n+ key1 = 1" in page
    assert "<del>-  &#34;mode&#34;: &#34;0644&#34;</del><ins>+  &#34;mode&#34;: &#34;0600&#34;</ins>" in page


def test_differences_of_long_texts_are_not_compared_for_minutes() -> None:
    before = ["same", *(f"a{number % 7}" for number in range(2000))]
    after = ["same", *(f"b{number % 7}" for number in range(2000))]
    kinds = [kind for kind, _line in evidence._compare(before, after)]
    assert (kinds.count("del"), kinds.count("ins"), kinds.count("same")) == (2001, 2001, 0)
    assert [kind for kind, _line in evidence._compare(before[:2], after[:2])] == ["gap", "same", "del", "ins"]


def test_what_is_too_much_for_a_page_is_counted(run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_STEPS", 3), ("MOST_DIFFS", 10), ("MOST_NODES", 1), ("MOST_ROWS", 2)):
        monkeypatch.setattr(evidence, name, most)
    page = Page(evidence.render(run))
    assert "more steps of the plan are in run.json" in page.text("plan")
    assert "its difference is in run.json" in page.text("plan")
    assert "2 more nodes are in run.json" in page.text("topology")
    assert "7 more are in run.json" in page.text("timeline")


def test_findings_come_by_severity(run: dict[str, Any]) -> None:
    run["findings"] = [
        {
            "severity": severity,
            "subject": severity.upper(),
            "variable": "v",
            "cause": "c",
            "next_step": "n",
            "rule": "r",
        }
        for severity in ("info", "warning", "error")
    ]
    text = Page(evidence.render(run)).text("findings")
    assert text.index("ERROR") < text.index("WARNING") < text.index("INFO")
    assert "1 error" in text


def test_versions_past_their_end_are_marked_in_words_and_come_first(run: dict[str, Any]) -> None:
    def row(component: str, eol: str | None, state: str = "current") -> dict[str, Any]:
        return {"component": component, "version": "1", "eol": eol, "state": state, "licence": "MIT", "roles": ["x"]}

    run["versions"] = [
        row("a", None), row("b", "2026-12-01"), row("c", "2026-10"), row("d", "2029-01-01"), row("e", None, "eol"),
        row("f", "2026-11"),
    ]  # fmt: skip
    text = Page(evidence.render(run)).text("versions")
    assert re.findall(r"([a-f]) 1 ((?:✗ ended|! ends)?)", text) == (
        [("c", "✗ ended"), ("e", "✗ ended"), ("b", "! ends"), ("f", "! ends"), ("a", ""), ("d", "")]
    )


def test_measured_figures_stand_beside_their_goals_and_those_that_missed_come_first(run: dict[str, Any]) -> None:
    def row(name: str, value: Any, goal: Any, unit: str = "s") -> dict[str, Any]:
        where = {"host": "cp-a1", "role": "etcd", "reached": record.reached(value, goal)}
        return {"name": name, "value": value, "unit": unit, "goal": goal} | where

    run["measurements"] = [
        row("failover", 4.25, "<= 30"), row("restore", 61, 60), row("members", 3, ">= 3", ""),
        row("size", 7, None, "MiB"), row("words", "long", "< 5"),
    ]  # fmt: skip
    page = Page(evidence.render(run))
    assert page.text("measurements") == (
        "Measured Figure Measured Goal Reached Role Host restore 61 s ≤ 60 s ✗ not reached etcd cp-a1 "
        "failover 4.25 s ≤ 30 s ✓ reached etcd cp-a1 members 3 ≥ 3 ✓ reached etcd cp-a1 "
        "size 7 MiB no goal etcd cp-a1 words long s < 5 s cannot be compared etcd cp-a1"
    )
    assert "Goals reached 2 of 3" in page.text("")


# What is in a record must not become anything but text.


def hostile(value: Any) -> Any:
    """The same, with what is hostile behind every text and key that a run decides about."""
    if isinstance(value, dict):
        fixed = {"cpu", "memory", "disk", "pods", "storage"}
        return {key: hostile(item) if key not in fixed else item for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return value + HOSTILE if value and isinstance(value, str) else value


def test_nothing_in_a_record_becomes_markup() -> None:
    run = data.made(failed=True)
    known = {"status", "action", "severity", "scope", "kind", "outcome", "state", "eol"}
    kept = json.loads(json.dumps(run))
    evil = hostile(kept)

    def restore(mine: Any, theirs: Any) -> None:
        for key in mine if isinstance(mine, dict) else range(len(mine)):
            if key in known and isinstance(mine[key], str):
                mine[key] = theirs[key]
            elif isinstance(mine[key], (dict, list)):
                restore(mine[key], theirs[key])

    restore(evil, kept)
    evil["hosts"] = {host + HOSTILE: counts for host, counts in evil["hosts"].items()}
    page = evidence.render(evil)
    page.encode()  # no half of a surrogate pair
    assert "alert(" in page
    tags = {tag for tag, _attributes in Page(page).found}
    assert tags == {tag for tag, _attributes in Page(evidence.render(run)).found}
    assert "script" not in tags
    assert not [character for character in "\x1b\x00\u202e" if character in page]


def test_a_hostile_word_where_a_word_is_chosen_is_harmless(run: dict[str, Any]) -> None:
    evil = hostile(json.loads(json.dumps(run)))
    assert "script" not in {tag for tag, _attributes in Page(evidence.render(evil)).found}


def test_the_page_needs_nothing_else(run: dict[str, Any]) -> None:
    page = evidence.render(run)
    parsed = Page(page)
    tags = [tag for tag, _attributes in parsed.found]
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(tags)
    for _tag, attributes in parsed.found:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "src")}
        assert (attributes.get("href") or "#").startswith("#")
    policy = next(a["content"] for _tag, a in parsed.found if a.get("http-equiv") == "Content-Security-Policy")
    css = page.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in css
    assert "@import" not in css


def test_links_lead_somewhere_and_ids_are_there_once(run: dict[str, Any]) -> None:
    found = Page(evidence.render(run)).found
    ids = [attributes["id"] for _tag, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {str(a["href"])[1:] for _tag, a in found if "href" in a} | {
        a["aria-labelledby"] for _t, a in found if "aria-labelledby" in a
    }
    assert wanted <= set(ids)


def test_every_head_of_a_table_says_what_it_heads(run: dict[str, Any]) -> None:
    heads = [attributes for tag, attributes in Page(evidence.render(run)).found if tag == "th"]
    assert len(heads) > 50
    assert {attributes.get("scope") for attributes in heads} == {"col", "row", "rowgroup"}


def test_pages_stay_small() -> None:
    assert len(evidence.render(data.made(failed=True)).encode()) < 2 * 1024**2
    assert len(evidence.render(data.made(workers=33, tasks=50)).encode()) < 2 * 1024**2


def test_it_is_pure(run: dict[str, Any]) -> None:
    before = json.dumps(run)
    assert evidence.render(run) == evidence.render(run)
    assert json.dumps(run) == before


# Reading


def keep(runs: Path, name: str, **changes: Any) -> Path:
    folder = runs / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"schema": 1, "playbook": "site.yml"} | changes))
    return folder


def test_the_last_run_is_not_that_of_the_playbook_that_asks(tmp_path: Path) -> None:
    keep(tmp_path, "20261123T000000Z")
    second = keep(tmp_path, "20261123T000000Z-10")
    keep(tmp_path, "20261123T000000Z-9")
    keep(tmp_path, "20261124T000000Z", playbook="evidence.yml")
    (tmp_path / "latest").symlink_to("20261124T000000Z")
    assert evidence.last(tmp_path, without="evidence.yml") == second


def test_no_run_at_all_is_said_with_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(Failure, match="no record of a run in") as caught:
            evidence.last(folder)
        assert "banking.platform.record" in caught.value.next_step


def test_a_run_without_an_end_is_read_from_its_events(tmp_path: Path) -> None:
    told = data.events(["a"])[:-1]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in told) + '{"cut')
    run = evidence.load(tmp_path)
    assert run["outcome"] == "interrupted"
    assert "Interrupted" in evidence.render(run)


def test_run_json_may_be_named_itself(tmp_path: Path) -> None:
    folder = keep(tmp_path, "20261123T000000Z")
    assert evidence.load(folder / "run.json") == evidence.load(folder)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 99}'])
def test_a_record_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / record.FILES[1]).write_text(content)
    with pytest.raises(Failure, match=str(tmp_path)) as caught:
        evidence.load(tmp_path)
    assert caught.value.next_step
