# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kibana's kinds against a double that refuses fields that the vendor's schemas do not have."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils import kibana_config
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler
from ansible_collections.banking.platform.plugins.modules.kibana_config import Run
from ansible_collections.banking.platform.tests.unit.rest.kibana import PASSWORD, USER, Kibana, problems

Thing = dict[str, Any]


@pytest.fixture
def double() -> Iterator[Kibana]:
    with Kibana() as one:
        yield one
        assert one.problems == [], "requests that do not fit the vendor's schemas"


HOOK = "b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2a01"
INDEX = "b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2a02"
ERRORS = "b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2a03"
DISK = "b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2a04"
CARDS = "b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2a05"
QUERY = {"query": {"match": {"log.level": "error"}}}

ALL: Thing = {
    "spaces": [
        {"id": "payments", "name": "Payments", "color": "#aabbcc", "disabledFeatures": ["ml", "apm"]},
        {"id": "cards", "name": "Cards", "description": "", "initials": "CA"},
        {"id": "default", "name": "Platform"},
    ],
    "connectors": [
        {
            "space": "payments",
            "id": HOOK,
            "name": "On call",
            "connector_type_id": ".webhook",
            "config": {"url": "https://alerts.bank.local/hook"},
            "secrets": {"user": "kibana-hook", "password": "hook-secret-value"},
        },
        {"id": INDEX, "name": "Record", "connector_type_id": ".index", "config": {"index": "alerts"}},
    ],
    "saved_objects": [
        {
            "space": "payments",
            "type": "dashboard",
            "id": "overview",
            "attributes": {"title": "Overview", "panelsJSON": json.dumps([{"panelIndex": "1", "panelRefName": "p1"}])},
            "references": [
                {"name": "p2", "type": "index-pattern", "id": "logs"},
                {"name": "p1", "type": "visualization", "id": "errors"},
            ],
        },
        {
            "space": "payments",
            "type": "visualization",
            "id": "errors",
            "attributes": {"title": "Errors", "visState": '{"type":"line"}'},
            "references": [{"name": "source", "type": "index-pattern", "id": "logs"}],
            "coreMigrationVersion": "8.8.0",
            "typeMigrationVersion": "8.5.0",
        },
        {"space": "payments", "type": "index-pattern", "id": "logs", "attributes": {"title": "logs-payments.*"}},
        {"type": "index-pattern", "id": "metrics", "attributes": {"title": "metrics-*", "timeFieldName": "@timestamp"}},
    ],
    "alerts": [
        {
            "space": "payments",
            "id": ERRORS,
            "name": "Errors of payments",
            "rule_type_id": ".es-query",
            "consumer": "stackAlerts",
            "schedule": {"interval": "5m"},
            "tags": ["payments", "errors"],
            "params": {"esQuery": json.dumps(QUERY), "threshold": [10], "size": 0},
            "actions": [
                {
                    "id": HOOK,
                    "group": "query matched",
                    "params": {"body": "{{context.message}}"},
                    "frequency": {"summary": False, "notify_when": "onActionGroupChange", "throttle": None},
                }
            ],
        },
        {
            "id": DISK,
            "name": "Disk",
            "rule_type_id": ".index-threshold",
            "consumer": "alerts",
            "enabled": False,
            "schedule": {"interval": "1m"},
            "params": {"index": ["metrics-*"]},
            "actions": [{"id": INDEX, "group": "threshold met", "params": {"documents": [{"a": 1}]}}, {"id": "mail"}],
        },
    ],
}
# In the order of what they need.
STEPS = [
    "create space payments",
    "create space cards",
    "update space default",
    f"create connector payments/{HOOK}",
    f"create connector default/{INDEX}",
    "create saved object payments/index-pattern/logs",
    "create saved object default/index-pattern/metrics",
    "create saved object payments/visualization/errors",
    "create saved object payments/dashboard/overview",
    f"create alerting rule payments/{ERRORS}",
    f"create alerting rule default/{DISK}",
]


def new_run(double: Kibana, declared: Thing, check: bool = False, **more: Any) -> Run:
    params: Thing = {
        "url": double.url,
        "username": USER,
        "password": PASSWORD,
        "timeout": 20,
        "retry_for": 0,
        "parallel": 4,
        **dict.fromkeys(kibana_config.DECLARED),
        **copy.deepcopy(declared),
        "prune": False,
        "prune_protected": False,
        "update_secrets": False,
        "packed": None,
        "approved": None,
        **more,
    }
    return Run(params, check, True)


def configure(double: Kibana, declared: Thing, check: bool = False, **more: Any) -> Run:
    run = new_run(double, declared, check, **more)
    run.do()
    return run


def writes(double: Kibana) -> list[str]:
    return [line for line in double.log if not line.startswith("GET") and not line.endswith("/_export")]


def refused(double: Kibana, declared: Thing, **more: Any) -> Failure:
    before = writes(double)
    run = new_run(double, declared, **more)
    with pytest.raises(Failure) as caught:
        run.do()
    assert writes(double) == before, "something was changed"
    return caught.value


def steps(run: Run) -> list[str]:
    return [f"{one['action']} {one['kind']} {one['target']}" for one in run.result()["plan"]]


def changed(option: str, number: int, **fields: Any) -> Thing:
    """ALL, with some fields of one thing changed."""
    declared = copy.deepcopy(ALL)
    declared[option][number].update(fields)
    return declared


def only_of(option: str, number: int, **fields: Any) -> Thing:
    """One thing of ALL, with some fields changed; None takes a field away."""
    return {option: [{**copy.deepcopy(ALL[option][number]), **fields}]}


def test_everything_twice_and_check_mode_before(double: Kibana) -> None:
    planned = configure(double, ALL, check=True)
    assert writes(double) == []
    first = configure(double, ALL)
    assert steps(first) == STEPS
    assert steps(first) == steps(planned)
    assert first.warnings == []
    double.log.clear()
    for run in (configure(double, ALL), configure(double, ALL, check=True)):
        assert steps(run) == []
        assert run.result()["counts"] == {"create": 0, "update": 0, "delete": 0, "none": len(STEPS)}
    assert writes(double) == []


def test_what_is_sent_is_what_was_declared(double: Kibana) -> None:
    configure(double, ALL)
    assert double.sent["POST /api/spaces/space"] == ALL["spaces"][1]
    hook = ALL["connectors"][0]
    sent = double.sent[f"POST /s/payments/api/actions/connector/{HOOK}"]
    assert sent == {name: value for name, value in hook.items() if name not in ("space", "id")}
    rule = double.sent[f"POST /s/payments/api/alerting/rule/{ERRORS}"]
    assert rule == {
        "enabled": True,
        **{name: value for name, value in ALL["alerts"][0].items() if name not in ("space", "id")},
    }
    [line] = double.sent["POST /api/saved_objects/_import"]
    assert line == {**ALL["saved_objects"][3], "references": []}
    # The double adds defaults, else the second run would prove nothing.
    assert double.connectors["default", INDEX]["config"]["refresh"] is False
    assert double.rules["payments", ERRORS]["params"]["groupBy"] == "all"
    assert double.rules["payments", ERRORS]["actions"][0]["connector_type_id"] == ".webhook"


@pytest.mark.parametrize("backwards", [False, True])
def test_what_has_to_come_first_comes_first(backwards: bool) -> None:
    declared = {option: things[::-1] for option, things in ALL.items()} if backwards else ALL
    wishes = kibana_config.wishes_of(declared)
    plan = Reconciler(None, wishes[::-1] if backwards else wishes).make_plan()
    place = {f"{step.kind} {step.target}": number for number, step in enumerate(plan.steps)}
    for names in (
        ("space payments", f"connector payments/{HOOK}", f"alerting rule payments/{ERRORS}"),
        (
            "space payments",
            "saved object payments/index-pattern/logs",
            "saved object payments/visualization/errors",
            "saved object payments/dashboard/overview",
            f"alerting rule payments/{ERRORS}",
        ),
    ):
        assert [place[name] for name in names] == sorted(place[name] for name in names)


def test_a_circle_of_references_stays_as_it_is_declared() -> None:
    circle = [
        {"type": "a", "id": "1", "attributes": {"t": 1}, "references": [{"name": "x", "type": "a", "id": "2"}]},
        {"type": "a", "id": "2", "attributes": {"t": 1}, "references": [{"name": "x", "type": "a", "id": "1"}]},
    ]
    [wish] = kibana_config.wishes_of({"saved_objects": circle})
    assert [one["id"] for one in wish.things] == ["1", "2"]


@pytest.mark.parametrize(
    ("option", "number", "fields"),
    [
        ("spaces", 0, {"disabledFeatures": ["apm", "ml"]}),
        ("saved_objects", 0, {"references": ALL["saved_objects"][0]["references"][::-1]}),
        ("saved_objects", 1, {"attributes": {"title": "Errors", "visState": '{ "type": "line" }'}}),
        ("saved_objects", 1, {"typeMigrationVersion": "8.1.0"}),
        # As an export has it.
        ("saved_objects", 2, {"version": "WzI0LDFd", "updated_at": "2026-01-01T00:00:00.000Z", "managed": False}),
        ("alerts", 0, {"tags": ["errors", "payments"]}),
        ("alerts", 0, {"params": {"esQuery": json.dumps(QUERY, indent=2), "threshold": [10]}}),
        ("alerts", 0, {"enabled": True, "throttle": None}),
        ("connectors", 0, {"secrets": {"user": "other-user", "password": "other-password"}}),
    ],
)
def test_the_same_in_other_words_is_no_change(double: Kibana, option: str, number: int, fields: Thing) -> None:
    configure(double, ALL)
    assert steps(configure(double, changed(option, number, **fields))) == []


@pytest.mark.parametrize(
    ("option", "number", "fields", "step"),
    [
        ("spaces", 0, {"disabledFeatures": ["ml"]}, "update space payments"),
        ("spaces", 1, {"description": "of plastic"}, "update space cards"),
        ("connectors", 0, {"config": {"url": "https://other.bank.local"}}, f"update connector payments/{HOOK}"),
        ("connectors", 1, {"name": "Records", "secrets": {}}, f"update connector default/{INDEX}"),
        (
            "saved_objects",
            0,
            {"attributes": {"title": "Overview", "panelsJSON": "[]"}},
            "update saved object payments/dashboard/overview",
        ),
        ("saved_objects", 0, {"references": []}, "update saved object payments/dashboard/overview"),
        ("alerts", 0, {"schedule": {"interval": "1m"}}, f"update alerting rule payments/{ERRORS}"),
        ("alerts", 0, {"params": {"threshold": [11]}}, f"update alerting rule payments/{ERRORS}"),
        ("alerts", 0, {"actions": []}, f"update alerting rule payments/{ERRORS}"),
        ("alerts", 0, {"enabled": False}, f"update alerting rule payments/{ERRORS}"),
        ("alerts", 1, {"enabled": True}, f"update alerting rule default/{DISK}"),
    ],
)
def test_a_change_is_one_request_and_lasts(double: Kibana, option: str, number: int, fields: Thing, step: str) -> None:
    configure(double, ALL)
    double.log.clear()
    other = changed(option, number, **fields)
    planned = configure(double, other, check=True)
    assert steps(planned) == [step]
    [diff] = planned.result()["diff"]
    assert diff["before"] != diff["after"]
    assert writes(double) == []
    assert steps(configure(double, other)) == [step]
    assert len(writes(double)) == 1
    assert steps(configure(double, other)) == []


def test_drift_is_put_right(double: Kibana) -> None:
    configure(double, ALL)
    double.spaces["payments"]["name"] = "Payment"
    double.rules["payments", ERRORS]["enabled"] = False
    double.rules["payments", ERRORS]["params"]["threshold"] = [10_000]
    double.rules["default", DISK]["actions"].pop()
    double.objects["dashboard", "overview"]["attributes"]["title"] = "Mine"
    del double.connectors["default", INDEX]
    double.log.clear()
    run = configure(double, ALL)
    assert steps(run) == [
        "update space payments",
        f"create connector default/{INDEX}",
        "update saved object payments/dashboard/overview",
        f"update alerting rule payments/{ERRORS}",
        f"update alerting rule default/{DISK}",
    ]
    planned = {one["target"]: one for one in run.result()["plan"]}
    assert planned[f"payments/{ERRORS}"]["before"]["enabled"] is False
    assert f"POST /s/payments/api/alerting/rule/{ERRORS}/_enable" in double.log
    assert double.rules["payments", ERRORS]["enabled"] is True
    assert steps(configure(double, ALL)) == []


def test_a_change_leaves_what_is_not_declared(double: Kibana) -> None:
    configure(double, ALL)
    guide = {"investigation_guide": {"blob": "Look at the log."}}
    double.rules["payments", ERRORS].update(artifacts=guide, alert_delay={"active": 3})
    [action] = double.rules["payments", ERRORS]["actions"]
    less = {
        "spaces": [{"id": "payments", "name": "Pay"}],
        **only_of("alerts", 0, name="Errors", tags=None, enabled=None),
        **only_of("saved_objects", 0, attributes={"title": "Other"}, references=None),
    }
    assert len(steps(configure(double, less))) == 3
    assert double.spaces["payments"]["disabledFeatures"] == ["ml", "apm"]
    rule = double.rules["payments", ERRORS]
    assert (rule["tags"], rule["artifacts"], rule["alert_delay"]) == (["payments", "errors"], guide, {"active": 3})
    assert rule["actions"] == [action], "with a new uuid, Kibana would forget when it last notified"
    assert len(double.objects["dashboard", "overview"]["references"]) == 2
    less["alerts"][0].update(actions=None, name="Errors again")
    configure(double, less)
    assert double.rules["payments", ERRORS]["actions"] == [action]


def test_rules_come_in_pages(double: Kibana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kibana_config, "_PAGE", 2)
    ids = [f"b2a3f1de-0c6a-5a37-9a53-6d0d4f1f2b{number:02}" for number in range(5)]
    rules = [{**only_of("alerts", 1)["alerts"][0], "id": one, "name": "same", "actions": []} for one in ids]
    configure(double, {"alerts": rules})
    double.log.clear()
    assert steps(configure(double, {"alerts": rules})) == []
    assert double.log.count("GET /api/alerting/rules/_find") == 3
    # One that slipped from one page to another would be made a second time.
    tell = double._find_rules
    monkeypatch.setattr(double, "_find_rules", lambda *more: {**tell(*more), "total": 6})
    assert "of 6 alerting rules in space default 5 were told" in refused(double, {"alerts": rules}).cause


# Spaces apart from each other


def test_spaces_are_apart(double: Kibana) -> None:
    both = copy.deepcopy(ALL)
    both["alerts"].append({**copy.deepcopy(ALL["alerts"][0]), "space": "cards", "id": CARDS, "actions": []})
    both["connectors"].append({**copy.deepcopy(ALL["connectors"][1]), "space": "cards", "id": CARDS})
    configure(double, both)
    assert {key[0] for key in double.rules} == {"payments", "cards", "default"}
    both["alerts"][-1]["tags"] = ["cards"]
    assert steps(configure(double, both)) == [f"update alerting rule cards/{CARDS}"]
    assert double.rules["payments", ERRORS]["tags"] == ["payments", "errors"]
    # What is in a space of which nothing is said stays, with prune too.
    assert steps(configure(double, {**only_of("alerts", 0), "connectors": []}, prune=True)) == []
    assert (len(double.rules), len(double.connectors)) == (3, 3)
    cards = {"spaces": [ALL["spaces"][1]], "connectors": [], "alerts": []}
    run = configure(double, cards, prune=True)
    assert steps(run) == [f"delete alerting rule cards/{CARDS}", f"delete connector cards/{CARDS}"]
    assert {key[0] for key in double.connectors} == {"payments", "default"}


def test_an_object_whose_id_another_space_has(double: Kibana) -> None:
    both = copy.deepcopy(ALL)
    both["saved_objects"] += [{**copy.deepcopy(one), "space": "cards"} for one in ALL["saved_objects"][1:3]]
    run = configure(double, both)
    copies = {one["originId"]: one for one in double.objects.values() if one["space"] == "cards"}
    assert set(copies) == {"errors", "logs"}
    assert copies["errors"]["references"][0]["id"] == copies["logs"]["id"]
    assert (
        "saved object cards/index-pattern/logs: another space has this id, "
        f"so Kibana has made it with the id {copies['logs']['id']}"
    ) in run.warnings
    assert steps(configure(double, both)) == []
    both["saved_objects"][-1]["attributes"]["title"] = "logs-cards.*"
    assert steps(configure(double, both)) == ["update saved object cards/index-pattern/logs"]
    assert len(double.objects) == 6
    assert double.objects["index-pattern", "logs"]["attributes"]["title"] == "logs-payments.*"
    assert double.objects["index-pattern", copies["logs"]["id"]]["attributes"]["title"] == "logs-cards.*"
    # And it is pruned where it is, not where it came from.
    del both["saved_objects"][-2]
    both["saved_objects"].append(
        {"space": "cards", "type": "visualization", "id": "other", "attributes": {"title": "Other"}}
    )
    run = configure(double, both, prune=True)
    assert steps(run)[-1] == f"delete saved object cards/visualization/{copies['errors']['id']}"
    assert ("visualization", "errors") in double.objects


def test_a_space_that_is_none(double: Kibana) -> None:
    said = refused(double, {**only_of("alerts", 1, space="ghost"), **only_of("saved_objects", 2, space="ghost")}).cause
    assert f"alerting rule ghost/{DISK}: there is no space ghost" in said
    assert "saved object ghost/index-pattern/logs: there is no space ghost" in said
    configure(double, ALL)
    pruned = {"spaces": [ALL["spaces"][0]], **only_of("connectors", 1, space="cards")}
    said = refused(double, pruned, prune=True, prune_protected=True).cause
    assert "there is no space cards" in said, "it goes with this run"


# Secrets


def test_secrets_are_written_once_and_shown_nowhere(double: Kibana) -> None:
    run = configure(double, ALL)
    assert double.secrets["payments", HOOK] == {"user": "kibana-hook", "password": "hook-secret-value"}
    told = json.dumps(run.result()) + " ".join(run.warnings)
    assert not [secret for secret in ("hook-secret-value", PASSWORD) if secret in told]
    assert MASK in told
    assert {"hook-secret-value", PASSWORD} <= run.secrets, "what is masked in errors"
    other = only_of("connectors", 0, secrets={"user": "kibana-hook", "password": "another-secret"})
    assert steps(configure(double, other)) == []
    run = configure(double, other, update_secrets=True)
    assert steps(run) == [f"update connector payments/{HOOK}"]
    assert run.result()["plan"][0]["after"] == {"secrets": MASK}
    assert double.secrets["payments", HOOK]["password"] == "another-secret"
    assert double.connectors["payments", HOOK]["config"]["url"] == "https://alerts.bank.local/hook"


def test_a_change_without_secrets_would_lose_them(double: Kibana) -> None:
    configure(double, ALL)
    failure = refused(double, only_of("connectors", 0, name="Night watch", secrets=None))
    assert f"connector payments/{HOOK}: name differ, and a change replaces the secrets too" in failure.cause
    assert steps(configure(double, only_of("connectors", 0, secrets=None))) == []
    configure(double, only_of("connectors", 0, name="Night watch"))
    assert double.secrets["payments", HOOK]["password"] == "hook-secret-value"


def test_lost_secrets_are_told(double: Kibana) -> None:
    configure(double, ALL)
    double.connectors["payments", HOOK]["is_missing_secrets"] = True
    run = configure(double, ALL)
    assert run.warnings == [f"connector payments/{HOOK} has lost its secrets: update_secrets writes them"]
    assert configure(double, only_of("connectors", 0), update_secrets=True).warnings == []
    assert configure(double, ALL).warnings == []


# Prune

EMPTY: Thing = {option: [] for option in ALL}
SPACES_ONLY = {**EMPTY, "spaces": ALL["spaces"]}


def test_prune_leaves_what_is_not_ours(double: Kibana) -> None:
    configure(double, ALL)
    for key, consumer in ((("payments", DISK), "siem"), (("payments", INDEX), "monitoring")):
        double.rules[key] = {**copy.deepcopy(double.rules["default", DISK]), "id": key[1], "consumer": consumer}
    managed = {"type": "index-pattern", "id": "fleet", "space": "payments", "managed": True, "attributes": {}}
    double.objects["index-pattern", "fleet"] = managed
    assert steps(configure(double, ALL, prune=True, prune_protected=True)) == []
    assert steps(configure(double, {"spaces": []}, prune=True)) == [], "spaces hold everything else"
    run = configure(double, {"spaces": []}, prune=True, prune_protected=True)
    assert steps(run) == ["delete space cards", "delete space payments"]
    assert set(double.spaces) == {"default"}


def test_prune_backwards(double: Kibana) -> None:
    configure(double, ALL)
    assert steps(configure(double, SPACES_ONLY)) == []
    planned = steps(configure(double, SPACES_ONLY, check=True, prune=True))
    run = configure(double, SPACES_ONLY, prune=True)
    assert steps(run) == planned
    assert sorted(planned[:2]) == [f"delete alerting rule default/{DISK}", f"delete alerting rule payments/{ERRORS}"]
    assert sorted(planned[2:]) == [f"delete connector default/{INDEX}", f"delete connector payments/{HOOK}"]
    assert run.warnings == []
    assert double.connectors == {}
    assert len(double.objects) == 4, "of types that are declared nowhere"
    assert steps(configure(double, SPACES_ONLY, prune=True)) == []


def test_objects_are_pruned_by_type(double: Kibana) -> None:
    configure(double, ALL)
    logs = {**ALL, "saved_objects": ALL["saved_objects"][2:]}
    double.objects["index-pattern", "by-hand"] = {
        **double.objects["index-pattern", "logs"],
        "id": "by-hand",
    }
    run = configure(double, logs, prune=True)
    assert steps(run) == ["delete saved object payments/index-pattern/by-hand"]
    assert ("dashboard", "overview") in double.objects


def test_a_connector_in_use_is_left_and_said(double: Kibana) -> None:
    configure(double, ALL)
    run = configure(double, {"spaces": ALL["spaces"], "connectors": []}, prune=True)
    assert steps(run) == []
    assert set(run.warnings) == {
        f"connector default/{INDEX} is not declared, and stays: it is in use by alerting rule Disk",
        f"connector payments/{HOOK} is not declared, and stays: it is in use by alerting rule Errors of payments",
    }
    # A rule that lets go of it in the same run does not count.
    lets_go = {**only_of("spaces", 2), "connectors": [], **only_of("alerts", 1, actions=[])}
    assert steps(configure(double, lets_go, prune=True)) == [
        f"update alerting rule default/{DISK}",
        f"delete connector default/{INDEX}",
    ]


# What is refused


def test_what_is_the_servers_own_is_not_changed(double: Kibana) -> None:
    mail = {"id": "mail", "name": "Post", "connector_type_id": ".email"}
    assert (
        "connector default/mail is set in Kibana's own configuration" in refused(double, {"connectors": [mail]}).cause
    )
    configure(double, ALL)
    double.objects["index-pattern", "logs"]["managed"] = True
    assert steps(configure(double, ALL)) == []
    said = refused(double, only_of("saved_objects", 2, attributes={"title": "x"})).cause
    assert "saved object payments/index-pattern/logs is managed by Kibana or Fleet" in said


def test_a_connector_that_is_none(double: Kibana) -> None:
    said = refused(double, only_of("alerts", 1, actions=[{"id": "nowhere"}, {"id": "system-connector-.cases"}])).cause
    assert said == f"alerting rule default/{DISK}: there is no connector nowhere in space default"
    configure(double, ALL)
    both = {**only_of("spaces", 2), **only_of("alerts", 1, name="Disks"), "connectors": []}
    run = configure(double, both, prune=True)
    assert steps(run) == [f"update alerting rule default/{DISK}"]
    assert run.warnings, "the rule still needs it"


def test_what_cannot_be_changed(double: Kibana) -> None:
    configure(double, ALL)
    said = refused(double, only_of("alerts", 0, consumer="logs")).cause
    assert 'consumer cannot be changed from "stackAlerts" to "logs"' in said
    assert "its alerts and its history would be lost (recreate: true asks for that)" in said
    uuids = [one["uuid"] for one in double.rules["payments", ERRORS]["actions"]]
    run = configure(double, only_of("alerts", 0, consumer="logs", recreate=True))
    assert run.result()["plan"][0]["note"] == "made anew, its alerts and its history is lost"
    assert double.rules["payments", ERRORS]["consumer"] == "logs"
    assert [one["uuid"] for one in double.rules["payments", ERRORS]["actions"]] != uuids
    assert (
        "connector_type_id cannot be changed"
        in refused(double, only_of("connectors", 0, connector_type_id=".index")).cause
    )


def test_an_object_that_kibana_does_not_import(double: Kibana) -> None:
    configure(double, {"spaces": ALL["spaces"]})
    run = new_run(double, {"saved_objects": ALL["saved_objects"][1:2]})
    with pytest.raises(Failure) as caught:
        run.do()
    named = "saved object payments/visualization/errors: Kibana has not imported it"
    assert f"{named}: missing_references: index-pattern/logs" in caught.value.cause
    assert caught.value.next_step == "declare what it refers to, or correct the object"
    strange = only_of("saved_objects", 3, type="config-global")
    assert "Trying to export non-exportable type(s): config-global" in refused(double, strange).cause


def test_an_error_in_the_middle_is_listed_and_a_second_run_finishes(double: Kibana) -> None:
    place = ("POST", f"/s/payments/api/alerting/rule/{ERRORS}")
    double.broken = lambda method, path: 500 if (method, path) == place else 0
    run = new_run(double, ALL)
    with pytest.raises(Failure) as caught:
        run.do()
    cause = caught.value.cause
    assert f"POST s/payments/api/alerting/rule/{ERRORS}: 500: An internal server error occurred" in cause
    assert "done: space payments; space cards; space default" in cause
    assert f"not done: alerting rule default/{DISK}" in cause
    assert run.result()["changed"]
    double.broken = lambda method, path: 0
    assert steps(configure(double, ALL)) == STEPS[-2:]
    assert steps(configure(double, ALL)) == []


def test_wrong_log_in(double: Kibana) -> None:
    failure = refused(double, ALL, password="wrong-password")
    assert f"401: [security_exception]: unable to authenticate user [{USER}]" in failure.cause
    assert failure.next_step == "check username and password, or api_key"
    assert "wrong-password" not in failure.cause


def test_a_missing_privilege_is_said_as_the_server_says_it(double: Kibana) -> None:
    double.denied = lambda method, path: "Unauthorized to create spaces" if method == "POST" else ""
    run = new_run(double, {"spaces": ALL["spaces"]})
    with pytest.raises(Failure) as caught:
        run.do()
    assert "POST api/spaces/space: 403: Unauthorized to create spaces" in caught.value.cause
    assert caught.value.next_step == "give a role of the user the Kibana privilege for this, in this space"


def test_what_the_server_keeps_differently_is_warned_of(double: Kibana) -> None:
    double.migrate = lambda one: {**one, "attributes": {**one["attributes"], "title": "migrated"}}
    run = configure(double, only_of("saved_objects", 3))
    assert len(run.warnings) == 1
    assert "saved object default/index-pattern/metrics: the server has kept" in run.warnings[0]


def test_the_playbook_masks_and_changes_once(double: Kibana, tmp_path: Path) -> None:
    declared = {name: things for name, things in ALL.items() if "{{" not in json.dumps(things)}
    options = {"url": double.url, "username": USER, "password": PASSWORD, **declared}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"banking.platform.kibana_config": options}]}]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    for changes in (1, 0):
        said = subprocess.run(
            [*argv, "-vvv", "--diff", str(tmp_path / "play.yml")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
        )
        assert said.returncode == 0, said.stdout[-2000:]
        assert f"changed={changes} " in said.stdout
        told = said.stdout + said.stderr
        assert "secrets.password stands in plain text in play.yml" in told
        assert not [secret for secret in ("hook-secret-value", PASSWORD) if secret in told]
    assert double.secrets["payments", HOOK]["password"] == "hook-secret-value"


# The double: it must be able to refuse


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("space", {"id": "a", "name": "A", "colour": "#aabbcc"}, "colour"),
        ("space", {"id": "a"}, "name"),
        ("POST connector", {"name": "a", "connector_type_id": ".index", "id": "a"}, "id"),
        ("PUT connector", {"name": "a", "connector_type_id": ".index"}, "connector_type_id"),
        ("PUT rule", {"name": "a", "schedule": {}, "enabled": True}, "enabled"),
        ("PUT rule", {"name": "a", "schedule": {}, "actions": [{"connector_type_id": ".index"}]}, "connector_type_id"),
        ("_export", {"types": ["dashboard"]}, "types"),
    ],
)
def test_the_double_refuses(kind: str, body: Thing, said: str) -> None:
    assert any(f".{said}]" in problem for problem in problems(kind, body))


# Without a server


class Nowhere(Kibana):
    """A place where nothing answers, and nothing may be asked."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:9"
        self.log: list[str] = []


RULE = {**ALL["alerts"][1], "actions": []}
CONNECTOR = ALL["connectors"][1]
OBJECT = ALL["saved_objects"][3]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"spaces": [{"id": "a", "name": "A"}] * 2}, "space a is declared twice"),
        ({"spaces": [{"name": "A"}]}, "a space has no id"),
        ({"spaces": [{"id": "a"}]}, "space a: has no name"),
        ({"spaces": [{"id": "A b", "name": "A"}]}, "its id has other characters than a-z, 0-9, _ and -"),
        ({"spaces": [{"id": "a", "name": "A", "color": "red"}]}, "color is 'red', and not as in '#aabbcc'"),
        ({"spaces": [{"id": "a", "name": "A", "initials": "ABC"}]}, "one or two characters"),
        ({"spaces": [{"id": "a", "name": "A", "imageUrl": "https://x"}]}, "does not begin with data:image"),
        ({"spaces": [{"id": "a", "name": "A", "solution": "x"}]}, "solution is 'x', not one of es, oblt"),
        (
            {"spaces": [{"id": "a", "name": "A", "solution": "es", "disabledFeatures": ["ml"]}]},
            "disabledFeatures counts with solution classic only",
        ),
        ({"spaces": [{"id": "a", "name": "A", "disabled_features": []}]}, "there is no disabled_features"),
        ({"connectors": [CONNECTOR, {**CONNECTOR, "space": "default"}]}, "is declared twice"),
        ({"connectors": [CONNECTOR, {**CONNECTOR, "space": "a"}]}, f"connector {INDEX} is in a and in default"),
        ({"alerts": [RULE, {**RULE, "space": "a"}]}, f"alerting rule {DISK} is in a and in default"),
        ({"connectors": [{"id": "a", "name": "A"}]}, "has no connector_type_id"),
        ({"connectors": [{**CONNECTOR, "secrets": "x"}]}, "secrets is no mapping"),
        ({"connectors": [{**CONNECTOR, "space": "../default"}]}, "which is no id of a space"),
        ({"connectors": [{**CONNECTOR, "type": ".index"}]}, "there is no type"),
        ({"saved_objects": [OBJECT, OBJECT]}, "saved object default/index-pattern/metrics is declared twice"),
        ({"saved_objects": [{"type": "search", "attributes": {"title": "x"}}]}, "a saved object has no id"),
        ({"saved_objects": [{"type": "search", "id": "a"}]}, "has no attributes"),
        ({"saved_objects": [{**OBJECT, "type": "alert"}]}, "declare it in alerts"),
        ({"saved_objects": [{**OBJECT, "title": "x"}]}, "there is no title"),
        ({"saved_objects": [{**OBJECT, "references": [{"id": "a"}]}]}, "references: each has name, type and id"),
        ({"saved_objects": [{**OBJECT, "references": ["a"]}]}, "references: each has name, type and id"),
        ({"alerts": [RULE, RULE]}, f"alerting rule default/{DISK} is declared twice"),
        ({"alerts": [{**RULE, "id": "disk"}]}, "its id is no UUID"),
        ({"alerts": [{**RULE, "schedule": {"interval": "5 minutes"}}]}, "schedule has an interval and nothing else"),
        ({"alerts": [{**RULE, "schedule": "5m"}]}, "schedule is no mapping"),
        ({"alerts": [{**RULE, "enabled": "yes"}]}, "enabled is no true or false"),
        ({"alerts": [{**RULE, "notify_when": "always"}]}, "notify_when is 'always'"),
        ({"alerts": [{**RULE, "actions": [{"group": "default"}]}]}, "action 1 has no id, of its connector"),
        ({"alerts": [{**RULE, "actions": [{"id": "a", "connector_type_id": "x"}]}]}, "there is no connector_type_id"),
        ({"alerts": [{**RULE, "consumer": None}]}, "has no consumer"),
        ({"alerts": [{**RULE, "interval": "5m"}]}, "there is no interval"),
    ],
)
def test_wrong_declarations_are_named_before_anything_is_asked(declared: Thing, said: str) -> None:
    assert said in refused(Nowhere(), declared).cause


def test_before_there_is_a_server() -> None:
    run = configure(Nowhere(), ALL, check=True)
    assert steps(run)[0] == "create space payments"
    assert {one["deferred"] for one in run.result()["plan"]} == {"a Kibana that answers"}
    assert "127.0.0.1:9 cannot be reached" in refused(Nowhere(), ALL).cause


def test_options_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in kibana_config._ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Failure, match="there is no url"):
        kibana_config.KibanaApi({})
    monkeypatch.setenv("KIBANA_URL", "https://kibana.bank.local/base/")
    with pytest.raises(Failure, match="there is no log-in"):
        kibana_config.KibanaApi({})
    monkeypatch.setenv("KIBANA_API_KEY", "key-in-base64")
    api = kibana_config.KibanaApi({})
    assert api.session.urls == ["https://kibana.bank.local/base"]
    assert api.session.headers == {"kbn-xsrf": "true", "Authorization": "ApiKey key-in-base64"}
    assert api.seen == {"key-in-base64"}
    assert "key-in-base64" not in repr(api.session)


@pytest.mark.parametrize(
    ("wanted", "actual", "there"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ([1, 2], [2, 1], False),
        ({"a": None}, {}, True),
        ({"a": None}, {"a": 1}, False),
        ({"a": False}, {"a": None}, True),
        ({"a": True}, {"a": 1}, False),
        ({"a": 1}, None, False),
        ({}, None, True),
        ("5", 5, False),
    ],
)
def test_what_is_wanted_is_looked_for_in_what_is_there(wanted: Any, actual: Any, there: bool) -> None:
    assert kibana_config.covers(wanted, actual) is there


def test_an_export_is_taken_apart_at_line_feeds_only(double: Kibana) -> None:
    odd = only_of("saved_objects", 3, attributes={"title": "a\u2028b\x85c"})
    configure(double, odd)
    assert steps(configure(double, odd)) == []
