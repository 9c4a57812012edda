# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch's kinds against a double that holds each request to the vendor's description."""

from __future__ import annotations

import copy
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils import elasticsearch_config
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler
from ansible_collections.banking.platform.plugins.modules.elasticsearch_config import Run
from ansible_collections.banking.platform.tests.unit.rest.elasticsearch import (
    PASSWORD,
    USER,
    Description,
    Elasticsearch,
)
from ansible_collections.banking.platform.tools.suites import openapi_folder

Thing = dict[str, Any]
FILE = "elasticsearch-8.15.openapi.json"
NO_DESCRIPTION = f"no description of Elasticsearch's API: set PLATFORM_OPENAPI to a folder with {FILE}"


@functools.cache
def description() -> Description:
    folder = openapi_folder()
    if folder is None or not (folder / FILE).exists():
        pytest.skip(NO_DESCRIPTION)
    return Description(folder / FILE)


@pytest.fixture
def double() -> Iterator[Elasticsearch]:
    with Elasticsearch(description()) as one:
        yield one
        assert one.problems == [], "requests or answers that do not fit the vendor's description"


ALL: Thing = {
    "snapshot_repositories": [
        {
            "name": "s3",
            "type": "s3",
            "settings": {"bucket": "snapshots", "client": "default", "base_path": "banking", "compress": True},
        },
        {"name": "nfs", "type": "fs", "settings": {"location": "/snapshots", "max_snapshot_bytes_per_sec": "40mb"}},
    ],
    "slm_policies": [
        {
            "name": "nightly",
            "snapshot_name": "<nightly-{now/d}>",
            "schedule": "0 30 1 * * ?",
            "repository": "s3",
            "config": {"indices": ["logs-*", "-logs-tmp*"], "include_global_state": True},
            "retention": {"expire_after": "720h", "min_count": 7, "max_count": 60},
        }
    ],
    "ilm_policies": [
        {
            "name": "audit",
            "phases": {
                "hot": {
                    "actions": {
                        "rollover": {"max_age": "168h", "max_primary_shard_size": "50GB"},
                        "set_priority": {"priority": 100},
                    }
                },
                "warm": {
                    "min_age": 0,
                    "actions": {
                        "readonly": {},
                        "forcemerge": {"max_num_segments": 1},
                        "shrink": {"number_of_shards": 1},
                        "allocate": {"number_of_replicas": 1},
                        "migrate": {},
                    },
                },
                "cold": {"min_age": "30d", "actions": {"searchable_snapshot": {"snapshot_repository": "s3"}}},
                "delete": {
                    "min_age": "2557d",
                    "actions": {"wait_for_snapshot": {"policy": "nightly"}, "delete": {}},
                },
            },
            "_meta": {"owner": "compliance"},
        },
        {"name": "app", "phases": {"hot": {"actions": {"rollover": {"max_age": "1d"}}}}},
    ],
    "ingest_pipelines": [
        {
            "name": "redact",
            "description": "hides what must not be kept",
            "processors": [
                {"set": {"field": "event.ingested", "value": "{{{_ingest.timestamp}}}"}},
                {"gsub": {"field": "message", "pattern": "\\d{16}", "replacement": "<card>", "ignore_missing": True}},
            ],
            "on_failure": [{"set": {"field": "error.message", "value": "{{{_ingest.on_failure_message}}}"}}],
            "version": 3,
        }
    ],
    "component_templates": [
        {
            "name": "banking-settings",
            "template": {
                "settings": {
                    "number_of_shards": 3,
                    "number_of_replicas": 2,
                    "refresh_interval": "30s",
                    "default_pipeline": "redact",
                    "lifecycle": {"name": "audit"},
                    "index": {"codec": "best_compression", "sort": {"field": ["@timestamp"], "order": ["desc"]}},
                    "hidden": False,
                }
            },
            "version": 1,
            "_meta": {"owner": "platform"},
        },
        {
            "name": "banking-mappings",
            "template": {
                "mappings": {
                    "dynamic": "strict",
                    "properties": {
                        "@timestamp": {"type": "date"},
                        "trace": {"properties": {"id": {"type": "keyword", "ignore_above": 64}}},
                    },
                }
            },
        },
    ],
    "index_templates": [
        {
            "name": "logs-banking.audit",
            "index_patterns": ["logs-banking.audit-*"],
            "composed_of": ["banking-settings", "banking-mappings"],
            "priority": 500,
            "data_stream": {},
            "template": {"aliases": {"banking-audit-logs": {"routing": "1"}}},
        },
        {
            "name": "logs-banking.app",
            "index_patterns": "logs-banking.app-*",
            "composed_of": ["banking-mappings"],
            "priority": 500,
            "data_stream": {"hidden": False},
            "template": {"settings": {"index": {"lifecycle": {"name": "app"}}}},
        },
        {"name": "plain", "index_patterns": ["plain-*"], "template": {"lifecycle": {"data_retention": "168h"}}},
    ],
    "data_streams": [{"name": "logs-banking.audit-prod"}, {"name": "logs-banking.app-prod"}],
    "roles": [
        {
            "name": "logstash-writer",
            "cluster": ["monitor", "manage_ilm"],
            "indices": [
                {"names": "logs-banking.*", "privileges": ["create_doc", "auto_configure"]},
                {
                    "names": ["b", "a"],
                    "privileges": ["read"],
                    "query": {"term": {"tenant": {"value": "payments"}}},
                    "field_security": {"grant": ["*"], "except": ["card"]},
                },
            ],
            "applications": [{"application": "kibana-.kibana", "privileges": ["read"], "resources": ["*"]}],
            "run_as": ["filebeat"],
            "metadata": {"owner": "platform"},
        }
    ],
    "users": [
        {
            "name": "logstash",
            "password": "logstash-secret-value",
            "roles": ["monitoring_user", "logstash-writer"],
            "full_name": "Logstash",
        },
        {"name": "filebeat", "password_hash": "$2a$10$filebeat-secret-hash", "roles": [], "enabled": False},
    ],
    "role_mappings": [
        {
            "name": "operators",
            "roles": ["monitoring_user"],
            "rules": {
                "all": [{"field": {"groups": ["cn=operators,ou=bank"]}}, {"except": {"field": {"username": "x"}}}]
            },
        },
        {
            "name": "tenants",
            "role_templates": [{"template": {"source": "{{#tojson}}groups{{/tojson}}"}, "format": "json"}],
            "rules": {"field": {"username": ["b", "a"]}},
            "enabled": False,
        },
    ],
}
# In the order of what they need.
STEPS = [
    "create snapshot repository s3",
    "create snapshot repository nfs",
    "create SLM policy nightly",
    "create ILM policy audit",
    "create ILM policy app",
    "create ingest pipeline redact",
    "create component template banking-settings",
    "create component template banking-mappings",
    "create index template logs-banking.audit",
    "create index template logs-banking.app",
    "create index template plain",
    "create data stream logs-banking.audit-prod",
    "create data stream logs-banking.app-prod",
    "create role logstash-writer",
    "create user logstash",
    "create user filebeat",
    "create role mapping operators",
    "create role mapping tenants",
]
SECRETS = ("logstash-secret-value", "$2a$10$filebeat-secret-hash", PASSWORD)


def new_run(double: Elasticsearch, declared: Thing, check: bool = False, **more: Any) -> Run:
    params: Thing = {
        "url": [double.url],
        "username": USER,
        "password": PASSWORD,
        "timeout": 20,
        "retry_for": 0,
        "parallel": 4,
        **dict.fromkeys(elasticsearch_config.DECLARED),
        **copy.deepcopy(declared),
        "prune": False,
        "prune_protected": False,
        "update_secrets": False,
        "packed": None,
        "approved": None,
        **more,
    }
    return Run(params, check, True)


def configure(double: Elasticsearch, declared: Thing, check: bool = False, **more: Any) -> Run:
    run = new_run(double, declared, check, **more)
    run.do()
    return run


def refused(double: Elasticsearch, declared: Thing, **more: Any) -> Failure:
    before = [line for line in double.log if not line.startswith("GET")]
    run = new_run(double, declared, **more)
    with pytest.raises(Failure) as caught:
        run.do()
    assert [line for line in double.log if not line.startswith("GET")] == before, "something was changed"
    return caught.value


def steps(run: Run) -> list[str]:
    return [f"{one['action']} {one['kind']} {one['target']}" for one in run.result()["plan"]]


def changed(option: str, number: int, **fields: Any) -> Thing:
    """ALL, with some fields of one thing changed."""
    declared = copy.deepcopy(ALL)
    declared[option][number].update(fields)
    return declared


def without(option: str, *names: str) -> Thing:
    declared = copy.deepcopy(ALL)
    declared[option] = [one for one in declared[option] if one["name"] not in names]
    return declared


def test_everything_twice_and_check_mode_before(double: Elasticsearch) -> None:
    planned = configure(double, ALL, check=True)
    assert {line.split()[0] for line in double.log} == {"GET"}
    first = configure(double, ALL)
    assert sorted(steps(first)) == sorted(STEPS)
    assert steps(first) == steps(planned)
    assert first.warnings == []
    for run in (configure(double, ALL), configure(double, ALL, check=True)):
        assert steps(run) == []
        assert run.result()["counts"] == {"create": 0, "update": 0, "delete": 0, "none": len(STEPS)}
        assert set(run.requests) == {"GET"}


def test_what_is_sent_is_what_was_declared(double: Elasticsearch) -> None:
    configure(double, ALL)
    component = ALL["component_templates"][0]
    sent = double.sent["PUT /_component_template/banking-settings"]
    assert sent == {name: value for name, value in component.items() if name != "name"}
    assert double.sent["PUT /_ilm/policy/app"] == {"policy": {"phases": ALL["ilm_policies"][1]["phases"]}}
    assert double.sent["PUT /_slm/policy/nightly"]["name"] == "<nightly-{now/d}>"
    assert double.sent["PUT /_data_stream/logs-banking.audit-prod"] is None
    assert double.sent["PUT /_security/role_mapping/operators"]["enabled"]
    # The double tells it in another form, else the second run would prove nothing.
    settings = double.components["banking-settings"]["template"]["settings"]["index"]
    assert (settings["number_of_shards"], settings["hidden"], settings["lifecycle"]["name"]) == ("3", "false", "audit")
    assert double.policies["audit"]["phases"]["delete"]["actions"]["delete"] == {"delete_searchable_snapshot": True}
    assert isinstance(double.roles["logstash-writer"]["indices"][1]["query"], str)
    rules = double.mappings["operators"]["rules"]["all"]
    assert rules[0] == {"field": {"groups": "cn=operators,ou=bank"}}


@pytest.mark.parametrize("backwards", [False, True])
def test_what_has_to_come_first_comes_first(backwards: bool) -> None:
    wishes = elasticsearch_config.wishes_of(ALL)
    plan = Reconciler(None, wishes[::-1] if backwards else wishes).make_plan()
    place = {f"{step.kind} {step.target}": number for number, step in enumerate(plan.steps)}
    for names in (
        (
            "snapshot repository s3",
            "SLM policy nightly",
            "ILM policy audit",
            "component template banking-settings",
            "index template logs-banking.audit",
            "data stream logs-banking.audit-prod",
        ),
        ("ingest pipeline redact", "component template banking-settings"),
        ("role logstash-writer", "user logstash"),
        ("role logstash-writer", "role mapping operators"),
    ):
        assert [place[name] for name in names] == sorted(place[name] for name in names)


HOT = {"rollover": {"max_age": "7d", "max_primary_shard_size": "50gb"}, "set_priority": {"priority": 100}}
AUDIT: Thing = ALL["ilm_policies"][0]["phases"]
SETTINGS: Thing = ALL["component_templates"][0]["template"]["settings"]
FLAT = {**SETTINGS, **SETTINGS["index"], "number_of_shards": "3"}
del FLAT["index"]
PROCESSORS: list[Thing] = ALL["ingest_pipelines"][0]["processors"]
GRANTS: list[Thing] = ALL["roles"][0]["indices"]


@pytest.mark.parametrize(
    ("option", "number", "fields"),
    [
        ("ilm_policies", 0, {"phases": {**AUDIT, "hot": {"min_age": "0s", "actions": HOT}}}),
        ("slm_policies", 0, {"retention": {"expire_after": "30d", "min_count": 7, "max_count": 60}}),
        ("slm_policies", 0, {"config": {"indices": "logs-*,-logs-tmp*", "include_global_state": True}}),
        ("component_templates", 0, {"template": {"settings": {"index": FLAT}}}),
        ("component_templates", 0, {"deprecated": False}),
        ("index_templates", 0, {"data_stream": {"hidden": False, "allow_custom_routing": False}}),
        ("index_templates", 1, {"index_patterns": ["logs-banking.app-*"]}),
        (
            "index_templates",
            2,
            {"composed_of": [], "template": {"lifecycle": {"data_retention": "7d"}, "mappings": {}}},
        ),
        ("roles", 0, {"cluster": ["manage_ilm", "monitor"], "indices": GRANTS[::-1]}),
        ("users", 0, {"roles": ["logstash-writer", "monitoring_user"], "enabled": True}),
        ("role_mappings", 1, {"rules": {"field": {"username": ["a", "b"]}}}),
        ("snapshot_repositories", 0, {"settings": {**ALL["snapshot_repositories"][0]["settings"], "compress": "true"}}),
    ],
)
def test_the_same_in_other_words_is_no_change(double: Elasticsearch, option: str, number: int, fields: Thing) -> None:
    configure(double, ALL)
    assert steps(configure(double, changed(option, number, **fields))) == []


@pytest.mark.parametrize(
    ("option", "number", "fields", "step"),
    [
        # What is empty says something: without it, audit logs could be written to for ever.
        (
            "ilm_policies",
            0,
            {"phases": {**AUDIT, "warm": {"actions": {"forcemerge": {"max_num_segments": 1}}}}},
            "update ILM policy audit",
        ),
        ("ilm_policies", 1, {"phases": {"hot": {"actions": {"rollover": {"max_age": "2d"}}}}}, "update ILM policy app"),
        ("ilm_policies", 1, {"phases": {"hot": {"actions": {}}, "warm": {}}}, "update ILM policy app"),
        ("ingest_pipelines", 0, {"processors": PROCESSORS[::-1]}, "update ingest pipeline redact"),
        (
            "component_templates",
            0,
            {"template": {"settings": {**SETTINGS, "number_of_replicas": 0}}},
            "update component template banking-settings",
        ),
        (
            "index_templates",
            0,
            {"composed_of": ["banking-mappings", "banking-settings"]},
            "update index template logs-banking.audit",
        ),
        ("index_templates", 2, {"data_stream": {}}, "update index template plain"),
        ("index_templates", 2, {"template": {}}, "update index template plain"),
        ("roles", 0, {"indices": [{**GRANTS[0], "allow_restricted_indices": True}]}, "update role logstash-writer"),
        ("users", 0, {"enabled": False}, "update user logstash"),
        (
            "role_mappings",
            0,
            {"rules": {"field": {"groups": ["cn=operators", "ou=bank"]}}},
            "update role mapping operators",
        ),
        ("snapshot_repositories", 1, {"settings": {"location": "/other"}}, "update snapshot repository nfs"),
        ("slm_policies", 0, {"snapshot_name": "<daily-{now/d}>"}, "update SLM policy nightly"),
    ],
)
def test_a_change_is_one_request_and_lasts(
    double: Elasticsearch, option: str, number: int, fields: Thing, step: str
) -> None:
    configure(double, ALL)
    double.log.clear()
    other = changed(option, number, **fields)
    planned = configure(double, other, check=True)
    assert steps(planned) == [step]
    [diff] = planned.result()["diff"]
    assert diff["before"] != diff["after"]
    assert steps(configure(double, other)) == [step]
    assert len([line for line in double.log if not line.startswith("GET")]) == 1
    assert steps(configure(double, other)) == []


def test_drift_is_put_right(double: Elasticsearch) -> None:
    configure(double, ALL)
    double.components["banking-settings"]["template"]["settings"]["index"]["number_of_replicas"] = "0"
    del double.policies["audit"]["phases"]["warm"]["actions"]["readonly"]
    double.users["logstash"]["roles"].append("superuser")
    run = configure(double, ALL)
    assert set(steps(run)) == {
        "update ILM policy audit",
        "update component template banking-settings",
        "update user logstash",
    }
    planned = {one["kind"]: one for one in run.result()["plan"]}
    before = planned["component template"]["before"]["template"]["settings"]
    assert (before["number_of_replicas"], before["number_of_shards"]) == ("0", "3")
    assert steps(configure(double, ALL)) == []


def test_a_change_leaves_what_is_not_declared(double: Elasticsearch) -> None:
    configure(double, ALL)
    less = {
        "ilm_policies": [{"name": "audit", "phases": ALL["ilm_policies"][1]["phases"]}],
        "component_templates": [{"name": "banking-mappings", "template": {"mappings": {"dynamic": "strict"}}}],
        "index_templates": [
            {"name": "logs-banking.audit", "index_patterns": ["logs-banking.audit-*"], "priority": 600}
        ],
        "users": [{"name": "logstash", "roles": ["monitoring_user"]}],
        "role_mappings": [{"name": "tenants", "roles": ["monitoring_user"], "rules": {"field": {"username": "a"}}}],
        "slm_policies": [
            {"name": "nightly", "snapshot_name": "<n>", "schedule": "0 0 2 * * ?", "repository": "nfs"},
        ],
    }
    assert len(steps(configure(double, less))) == 6
    assert double.policies["audit"]["_meta"] == {"owner": "compliance"}
    template = double.templates["logs-banking.audit"]
    assert (template["composed_of"], template["priority"]) == (["banking-settings", "banking-mappings"], 600)
    assert template["template"]["aliases"] == {"banking-audit-logs": {"index_routing": "1", "search_routing": "1"}}
    assert (double.users["logstash"]["full_name"], double.passwords["logstash"]) == (
        "Logstash",
        "logstash-secret-value",
    )
    assert "role_templates" not in double.mappings["tenants"], "the server takes one of the two"
    assert not double.mappings["tenants"]["enabled"]
    assert double.slm["nightly"]["retention"]["max_count"] == 60


# Secrets


def test_passwords_are_written_once_and_shown_nowhere(double: Elasticsearch) -> None:
    run = configure(double, ALL)
    assert double.passwords["logstash"] == "logstash-secret-value"
    assert double.sent["PUT /_security/user/filebeat"]["password_hash"] == "$2a$10$filebeat-secret-hash"
    told = json.dumps(run.result()) + " ".join(run.warnings)
    assert not [secret for secret in SECRETS if secret in told]
    assert MASK in told
    assert set(SECRETS) <= run.secrets, "what is masked in errors"
    other = changed("users", 0, password="another-secret")
    assert steps(configure(double, other)) == []
    # A change of something else leaves it: it may have been changed since.
    double.passwords["logstash"] = "rotated"
    configure(double, changed("users", 0, password="another-secret", full_name="Stash"))
    assert double.passwords["logstash"] == "rotated"
    run = configure(double, {"users": [{"name": "logstash", "password": "another-secret"}]}, update_secrets=True)
    assert steps(run) == ["update user logstash"]
    assert run.result()["plan"][0]["after"] == {"password": MASK}
    assert (double.passwords["logstash"], double.users["logstash"]["full_name"]) == ("another-secret", "Stash")


def test_of_the_servers_own_users_only_the_password(double: Elasticsearch) -> None:
    kibana: Thing = {"users": [{"name": "kibana_system", "password": "kibana-secret-value"}]}
    assert steps(configure(double, kibana)) == []
    assert steps(configure(double, kibana, update_secrets=True)) == ["update user kibana_system"]
    assert double.passwords["kibana_system"] == "kibana-secret-value"
    kibana["users"][0]["roles"] = ["superuser"]
    kibana["roles"] = [{"name": "superuser", "run_as": ["*"]}]
    said = refused(double, kibana).cause
    assert "user kibana_system is the server's own: roles cannot be changed" in said
    assert "role superuser is the server's own: run_as cannot be changed" in said


def test_a_user_is_not_made_without_a_password(double: Elasticsearch) -> None:
    assert "user ann is made, and has no password" in refused(double, {"users": [{"name": "ann"}]}).cause


# Prune


EMPTY: Thing = {option: [] for option in ALL}


def test_prune_leaves_what_is_not_ours(double: Elasticsearch) -> None:
    double.streams["filebeat"] = {"template": "logs", "indices": [], "settings": {}}
    double.policies[".hidden"] = {"phases": {}}
    before = copy.deepcopy([double.policies, double.components, double.templates, double.pipelines, double.users])
    assert steps(configure(double, EMPTY, prune=True)) == []
    assert [double.policies, double.components, double.templates, double.pipelines, double.users] == before
    run = configure(double, EMPTY, prune=True, prune_protected=True)
    assert steps(run) == ["delete data stream filebeat"]


def test_prune_backwards(double: Elasticsearch) -> None:
    configure(double, ALL)
    assert steps(configure(double, EMPTY)) == []
    planned = steps(configure(double, EMPTY, check=True, prune=True, prune_protected=True))
    run = configure(double, EMPTY, prune=True, prune_protected=True)
    assert steps(run) == planned
    assert sorted(planned) == sorted(step.replace("create", "delete") for step in STEPS)
    assert run.warnings == []
    place = {step.removeprefix("delete "): number for number, step in enumerate(planned)}
    assert (
        place["data stream logs-banking.audit-prod"]
        < place["index template logs-banking.audit"]
        < place["component template banking-settings"]
        < place["ILM policy audit"]
        < place["SLM policy nightly"]
        < place["snapshot repository s3"]
    )
    assert place["user logstash"] < place["role logstash-writer"]
    assert set(double.policies) == {"logs"}
    assert set(double.users) == {"elastic", "kibana_system"}
    assert steps(configure(double, EMPTY, prune=True, prune_protected=True)) == []


def test_what_is_still_in_use_is_left_and_said(double: Elasticsearch) -> None:
    configure(double, ALL)
    run = configure(double, EMPTY, prune=True)  # data streams stay, they hold data
    left = {
        "index template logs-banking.app": "data stream logs-banking.app-prod",
        "component template banking-settings": "index template logs-banking.audit",
        "ILM policy audit": "component template banking-settings, index .ds-logs-banking.audit-prod-2026.11.27-000001",
        "ingest pipeline redact": "component template banking-settings",
        "SLM policy nightly": "ILM policy audit",
        "snapshot repository s3": "SLM policy nightly, ILM policy audit",
    }
    for name, users in left.items():
        assert f"{name} is not declared, and stays: it is in use by {users}" in run.warnings
        assert f"delete {name}" not in steps(run)
    assert "delete snapshot repository nfs" in steps(run)
    assert set(double.streams) == {"logs-banking.audit-prod", "logs-banking.app-prod"}
    again = configure(double, EMPTY, prune=True)
    assert steps(again) == []
    assert again.warnings == run.warnings


def test_a_policy_in_use_by_an_index_only(double: Elasticsearch) -> None:
    configure(double, ALL)
    # The templates name another policy from now on, the index still has the old one.
    other = copy.deepcopy(ALL)
    other["index_templates"][1]["template"]["settings"]["index"]["lifecycle"]["name"] = "audit"
    del other["ilm_policies"][1]
    run = configure(double, other, prune=True)
    assert steps(run) == ["update index template logs-banking.app"]
    assert run.warnings == [
        "ILM policy app is not declared, and stays: it is in use by index .ds-logs-banking.app-prod-2026.11.27-000001"
    ]
    del other["data_streams"][1]
    run = configure(double, other, prune=True, prune_protected=True)
    assert steps(run) == ["delete data stream logs-banking.app-prod", "delete ILM policy app"]
    assert run.warnings == []


def test_a_component_template_goes_when_its_template_lets_go_of_it(double: Elasticsearch) -> None:
    configure(double, ALL)
    other = without("component_templates", "banking-settings")
    other["index_templates"][0]["composed_of"] = ["banking-mappings"]
    assert steps(configure(double, other, prune=True)) == [
        "update index template logs-banking.audit",
        "delete component template banking-settings",
    ]


def test_what_only_the_server_knows_is_said_as_it_says_it(double: Elasticsearch) -> None:
    configure(double, ALL)
    other = without("ingest_pipelines", "redact")
    del other["component_templates"][0]["template"]["settings"]["default_pipeline"]
    run = new_run(double, other, prune=True)
    with pytest.raises(Failure) as caught:
        run.do()
    assert (
        "pipeline [redact] cannot be deleted because it is the default pipeline for 1 index(es)" in caught.value.cause
    )
    assert "done: component template banking-settings" in caught.value.cause


# Bad input


def test_names_of_nothing(double: Elasticsearch) -> None:
    configure(double, ALL)
    said = refused(
        double,
        {
            "index_templates": [
                {"name": "t", "index_patterns": ["t-*"], "composed_of": ["banking-mappings", "nowhere", "maybe"]},
                {
                    "name": "u",
                    "index_patterns": ["u-*"],
                    "composed_of": ["maybe"],
                    "ignore_missing_component_templates": ["maybe"],
                },
            ],
            "slm_policies": [{"name": "s", "snapshot_name": "<s>", "schedule": "0 0 1 * * ?", "repository": "tape"}],
            "data_streams": [{"name": "metrics-core"}, {"name": "plain-stream"}],
        },
    ).cause
    assert "index template t: there is no component template nowhere" in said
    assert "index template t: there is no component template maybe" in said
    assert "index template u" not in said
    assert "SLM policy s: there is no snapshot repository tape" in said
    assert "data stream metrics-core: no index template with data_stream is for its name" in said
    assert "data stream plain-stream: no index template" in said, "that template is for indices"


def test_names_that_the_server_does_not_look_at_are_warned_of(double: Elasticsearch) -> None:
    template = {"settings": {"index": {"lifecycle": {"name": "ghost"}, "default_pipeline": "_none"}}}
    run = configure(
        double,
        {
            "component_templates": [{"name": "c", "template": template}],
            "users": [{"name": "ann", "password": "ann-secret-value", "roles": ["monitoring_user", "gone"]}],
        },
    )
    assert run.warnings == ["component template c: there is no ILM policy ghost", "user ann: there is no role gone"]


def test_an_error_in_the_middle_is_listed_and_a_second_run_finishes(double: Elasticsearch) -> None:
    double.broken = lambda method, path: 500 if (method, path) == ("PUT", "/_index_template/logs-banking.app") else 0
    run = new_run(double, ALL)
    with pytest.raises(Failure) as caught:
        run.do()
    cause = caught.value.cause
    assert "PUT _index_template/logs-banking.app: 500: failed to process event" in cause
    assert "done: snapshot repository s3; snapshot repository nfs; ingest pipeline redact" in cause
    assert "not done: index template plain; data stream logs-banking.audit-prod" in cause
    states = {f"{one['kind']} {one['target']}": one["state"] for one in run.result()["plan"]}
    assert states["index template logs-banking.audit"] == "done"
    assert states["index template logs-banking.app"] == "failed"
    assert run.result()["changed"]
    double.broken = lambda method, path: 0
    rest = [name for name, state in states.items() if state != "done"]
    assert [line.removeprefix("create ") for line in steps(configure(double, ALL))] == rest
    assert steps(configure(double, ALL)) == []


def test_wrong_log_in(double: Elasticsearch) -> None:
    failure = refused(double, ALL, password="wrong-password")
    assert f"401: unable to authenticate user [{USER}]" in failure.cause
    assert failure.next_step == "check username and password, or api_key"
    assert "wrong-password" not in failure.cause


def test_a_missing_privilege_is_named(double: Elasticsearch) -> None:
    reason = (
        "action [cluster:admin/ilm/put] is unauthorized for user [elastic] with effective roles [viewer], "
        "this action is granted by the cluster privileges [manage_ilm,manage,all]"
    )
    double.denied = lambda method, path: reason if (method, path) == ("PUT", "/_ilm/policy/audit") else ""
    run = new_run(double, ALL)
    with pytest.raises(Failure) as caught:
        run.do()
    assert f"PUT _ilm/policy/audit: 403: {reason}" in caught.value.cause
    assert caught.value.next_step == "give a role of the user the cluster privilege manage_ilm"
    assert "SLM policy nightly" in caught.value.cause.partition("done: ")[2].partition("; not done: ")[0]
    assert "ILM policy app" in caught.value.cause.partition("; not done: ")[2]


def test_what_the_server_warns_of_is_warned_of(double: Elasticsearch) -> None:
    double.warning = "index template [plain] has index patterns that match those of others"
    assert configure(double, ALL).warnings == [double.warning]


def test_what_the_server_keeps_differently_is_warned_of(double: Elasticsearch, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = double._put
    monkeypatch.setattr(double, "_put", lambda kept, name, thing: keep(kept, name, {**thing, "version": 9}))
    run = configure(double, {"ingest_pipelines": ALL["ingest_pipelines"]})
    assert run.warnings == ["ingest pipeline redact: the server has kept {'version': 9} for {'version': 3}"]


def test_the_playbook_masks_and_changes_once(double: Elasticsearch, tmp_path: Path) -> None:
    declared = {name: things for name, things in ALL.items() if "{{" not in json.dumps(things)}
    options = {"url": double.url, "username": USER, "password": PASSWORD, **declared}
    task = {"banking.platform.elasticsearch_config": options}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
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
        assert "password stands in plain text in play.yml" in told
        assert not [secret for secret in SECRETS if secret in told]
    assert double.passwords["logstash"] == "logstash-secret-value"


# The double: it must be able to refuse


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/_ilm/policy/x", {"policy": {"phases": {"hot": {"actions": {"rolover": {}}}}}}, "rolover"),
        ("PUT", "/_ilm/policy/x", {"phases": {}}, "phases"),
        (
            "PUT",
            "/_component_template/x",
            {"template": {"settings": {"index.number_of_shards": 1}}},
            "number_of_shards",
        ),
        ("PUT", "/_component_template/x", {}, "template"),
        ("PUT", "/_index_template/x", {"index_patterns": ["x"], "order": 1}, "order"),
        ("PUT", "/_index_template/x", {"index_patterns": ["x"], "priority": "high"}, "high"),
        ("PUT", "/_ingest/pipeline/x", {"processors": [{"sett": {"field": "a"}}]}, "sett"),
        ("PUT", "/_data_stream/x", {"a": 1}, "takes no body"),
        ("PUT", "/_security/role/x", {"indices": [{"names": ["a"]}]}, "privileges"),
        ("PUT", "/_security/user/x", {"passwort": "x"}, "passwort"),
        ("PUT", "/_security/role_mapping/x", {"rules": {"any": [], "all": []}}, "all"),
        ("PUT", "/_snapshot/x", {"type": "s3", "settings": {"buckit": "b"}}, "buckit"),
        ("PUT", "/_slm/policy/x", {"retention": {"expire_after": "1d"}}, "max_count"),
        ("POST", "/_ilm/policy/x", {}, "there is no POST"),
        ("GET", "/_ilm/policies", None, "there is no GET"),
    ],
)
def test_the_description_refuses(method: str, path: str, body: Any, said: str) -> None:
    found = description().problems(method, path, {}, body)
    assert any(said in problem for problem in found), found


# Without a description


class Nowhere(Elasticsearch):
    """A place where nothing answers, and nothing may be asked."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:9"
        self.log: list[str] = []


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"ilm_policies": [{"name": "a", "phases": {"hot": {}}}] * 2}, "ILM policy a is declared twice"),
        ({"users": [{"roles": []}]}, "a user has no name"),
        ({"ilm_policies": [{"name": "a"}]}, "has no phases"),
        ({"ilm_policies": [{"name": "a", "phases": ["hot"]}]}, "phases is no mapping"),
        ({"ilm_policies": [{"name": "a", "phases": {"hott": {}}}]}, "there is no phase hott"),
        ({"ilm_policies": [{"name": "a", "phases": {"hot": {"actions": {"rolover": {}}}}}]}, "there is no rolover"),
        ({"ilm_policies": [{"name": "a", "phases": {"hot": {"age": "1d"}}}]}, "phase hot: there is no age"),
        ({"ilm_policies": [{"name": "a", "phases": {"hot": "1d"}}]}, "phase hot: it has min_age, and actions"),
        ({"index_templates": [{"name": "a"}]}, "has no index_patterns"),
        ({"index_templates": [{"name": "a*", "index_patterns": ["a"]}]}, "would mean other things too"),
        ({"index_templates": [{"name": "a", "index_patterns": ["a"], "order": 1}]}, "there is no order"),
        ({"component_templates": [{"name": "a", "settings": {}}]}, "there is no settings"),
        ({"ingest_pipelines": [{"name": "a", "processors": [{"set": {}, "remove": {}}]}]}, "each is one processor"),
        ({"ingest_pipelines": [{"name": "a", "processors": ["set"]}]}, "processors is no list of mappings"),
        ({"data_streams": [{"name": "a", "template": {}}]}, "there is no template"),
        ({"roles": [{"name": "a", "indices": ["logs-*"]}]}, "indices is no list of mappings"),
        ({"users": [{"name": "a", "password": "short"}]}, "its password has less than 6 characters"),
        ({"users": [{"name": "a", "password": "longer", "password_hash": "x"}]}, "both password and password_hash"),
        ({"role_mappings": [{"name": "a", "rules": {"any": []}}]}, "needs either roles or role_templates"),
        ({"role_mappings": [{"name": "a", "roles": ["b"]}]}, "has no rules"),
        ({"snapshot_repositories": [{"name": "a", "type": "hdfs", "settings": {"uri": "x"}}]}, "type is 'hdfs'"),
        (
            {"snapshot_repositories": [{"name": "a", "type": "s3", "settings": {"bucket": "b", "secret_key": "k"}}]},
            "secret_key would be readable",
        ),
        (
            {"slm_policies": [{"name": "a", "snapshot_name": "a", "repository": "r", "schedule": "30 1 * * *"}]},
            "is no schedule of six fields",
        ),
    ],
)
def test_wrong_declarations_are_named_before_anything_is_asked(declared: Thing, said: str) -> None:
    assert said in refused(Nowhere(), declared).cause


def test_before_there_is_a_server() -> None:
    run = configure(Nowhere(), ALL, check=True)
    assert steps(run)[0] == "create snapshot repository s3"
    assert {one["deferred"] for one in run.result()["plan"]} == {"an Elasticsearch that answers"}
    assert "127.0.0.1:9 cannot be reached" in refused(Nowhere(), ALL).cause


def test_options_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in elasticsearch_config._ENVIRONMENT.values():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Failure, match="there is no url"):
        elasticsearch_config.ElasticsearchApi({})
    monkeypatch.setenv("ELASTICSEARCH_URL", "https://es-0.bank.local:9200/, https://es-1.bank.local:9200")
    with pytest.raises(Failure, match="there is no log-in"):
        elasticsearch_config.ElasticsearchApi({})
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "key-in-base64")
    api = elasticsearch_config.ElasticsearchApi({})
    assert api.session.urls == ["https://es-0.bank.local:9200", "https://es-1.bank.local:9200"]
    assert api.session.headers == {"Authorization": "ApiKey key-in-base64"}
    assert api.seen == {"key-in-base64"}
    assert "key-in-base64" not in repr(api.session)


@pytest.mark.parametrize(
    ("value", "shaped"),
    [("720h", "30d"), ("90m", "90m"), ("0", "0ms"), ("0s", "0ms"), (0, "0ms"), ("60s", "1m"), ("-1", "-1"), ("x", "x")],
)
def test_durations(value: Any, shaped: Any) -> None:
    assert elasticsearch_config._time(value) == shaped


@pytest.mark.parametrize(
    ("value", "shaped"), [("50GB", "50gb"), ("1024mb", "1gb"), ("1k", "1kb"), ("0b", "0b"), ("1.5gb", "1.5gb"), (5, 5)]
)
def test_sizes(value: Any, shaped: Any) -> None:
    assert elasticsearch_config._size(value) == shaped


def test_settings_by_their_whole_names() -> None:
    template = {"settings": {"index": {"a.b": 1, "c": {"d": [True, None]}}, "index.e": 0.5, "f": None}}
    assert elasticsearch_config.index_settings(template) == {"a.b": "1", "c.d": ["true", None], "e": "0.5", "f": None}
