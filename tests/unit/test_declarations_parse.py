# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's declaration may say, and how what it may not say is named."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.declarations import (
    Declaration,
    DeclarationError,
    Resources,
    parse,
    resources,
)

REQUESTS = {"cpu": "250m", "memory": "1Gi"}


def enabled(data: Any) -> Declaration:
    """The declaration of a role `demo` that is not off."""
    parsed = parse("demo", data)
    assert parsed is not None
    return parsed


def declared(workload: Any = None, **keys: Any) -> Declaration:
    """The declaration of a role `demo` with one workload `app`."""
    return enabled({"workloads": {"app": pods() if workload is None else workload}, **keys})


def refused(words: str, *arguments: Any, **keys: Any) -> None:
    with pytest.raises(DeclarationError) as caught:
        declared(*arguments, **keys)
    assert str(caught.value).startswith("demo: meta/platform.yml")
    assert words in str(caught.value)


def pods(**changes: Any) -> dict[str, Any]:
    return {"replicas": 3, "requests": REQUESTS, **changes}


def test_a_whole_declaration():
    parsed = enabled(
        {
            "wave": "12",
            "catalog": ["demo"],
            "workloads": {
                "app": {
                    "replicas": "3",
                    "spread": ["zone", "node"],
                    "requests": {"cpu": 1, "memory": "1Gi", "storage": "10Gi", "disk": "5 GB"},
                    "limits": {"memory": "2Gi"},
                    "heap": "512Mi",
                    "hpa": {"min": 3, "max": 5, "metrics": ["cpu"]},
                    "vpa": {"mode": "Off", "resources": ["memory"], "max": {"memory": "2Gi"}},
                    "fails_closed": True,
                },
                "agent": {"runs": "daemon", "requests": {}},
            },
            "quorum": [{"kind": "majority", "members": ["app"]}],
            "provides": {"storage": "1Ti"},
            "ports": [{"name": "http"}],
        },
    )
    app, agent = parsed.workloads
    assert (parsed.wave, parsed.catalog, parsed.provides) == (12, ("demo",), {"storage": 1024**4})
    assert (app.title, app.replicas, app.runs, app.nodes, app.spread) == (
        "demo/app",
        3,
        "pods",
        "worker",
        ("zone", "node"),
    )
    assert app.requests == Resources(cpu=1000, memory=1024**3, storage=10 * 1024**3, disk=5 * 1000**3, pods=1)
    assert (app.limits, app.heap, app.fails_closed) == (Resources(memory=2 * 1024**3), 512 * 1024**2, True)
    assert (agent.nodes, agent.replicas, agent.requests.pods) == ("node", None, 1)
    assert (parsed.quorum[0].title, parsed.quorum[0].members) == ("demo", ("app",))
    assert parsed.workload("agent") is agent


def test_a_component_that_is_off_is_none():
    assert parse("demo", {"enabled": False, "workloads": "not read"}) is None


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_declaration_of_nothing(nothing):
    parsed = enabled(nothing)
    assert (parsed.workloads, parsed.quorum) == ((), ())


def test_members_of_a_group_are_servers_that_hold_no_pod():
    (workload,) = enabled({"group": "etcd", "workloads": {"demo": {"requests": REQUESTS}}}).workloads
    assert (workload.title, workload.runs, workload.nodes, workload.requests.pods) == ("demo", "server", "etcd", 0)


@pytest.mark.parametrize("mode", [False, "Off"])
def test_off_without_quotes_is_the_mode_off(mode):
    assert declared(pods(vpa={"mode": mode})).workload("app").vpa["mode"] == "Off"


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (pods(replica=3), "unknown key 'replica': did you mean 'replicas'?"),
        (pods(requests={"cpus": 1}), "requests: unknown key 'cpus': did you mean 'cpu'?"),
        (pods(requests={"memory": "32 Gigs"}), "requests.memory: '32 Gigs' is no amount of bytes"),
        (pods(requests={"memory": "-1Gi"}), "requests.memory: '-1Gi' is negative"),
        (pods(requests={"cpu": True}), "requests.cpu: True is no amount of CPU"),
        (pods(requests={"pods": -1}), "requests.pods: a whole number from 0 on is wanted, not -1"),
        (pods(requests="1Gi"), "requests: a mapping is wanted, not '1Gi'"),
        (pods(limits={"memory": 0.5}), "limits.memory: 0.5 is a part of a byte"),
        (pods(heap="2 Gigs"), "heap: '2 Gigs' is no amount of bytes"),
        (pods(heap=False), "heap: False is no amount of bytes"),
        (pods(replicas=-1), "replicas: a whole number from 0 on is wanted, not -1"),
        (pods(replicas=2.5), "replicas: a whole number from 0 on is wanted, not 2.5"),
        (pods(replicas=True), "replicas: a whole number from 0 on is wanted, not True"),
        ({"replicas": 3}, "workloads.app: no requests: say what one member reserves"),
        (None, None),
        ({"requests": REQUESTS}, "workloads.app: no replicas: say how many pods"),
        (pods(runs="daemon"), "replicas belongs to `runs: pods` only, here it runs as daemon"),
        (pods(runs="pod"), "runs: 'pod' is not known: did you mean 'pods'?"),
        (pods(spread=["zones"]), "spread: 'zones' is not known: did you mean 'zone'?"),
        (pods(spread="zone"), "spread: a list is wanted, not 'zone'"),
        (pods(hpa={"minimum": 3}), "hpa: unknown key 'minimum': did you mean 'min'?"),
        (pods(hpa={"metrics": "cpu"}), "hpa.metrics: a list is wanted, not 'cpu'"),
        (pods(vpa={"resources": ["cpus"]}), "vpa.resources: 'cpus' is not known: did you mean 'cpu'?"),
        (pods(vpa={"max": "4Gi"}), "vpa.max: a mapping is wanted, not '4Gi'"),
        (pods(fails_closed="yes"), "fails_closed: true or false is wanted, not 'yes'"),
        ([], "workloads.app: a mapping is wanted, not []"),
    ],
)
def test_workloads_that_are_refused(workload, words):
    if words is None:  # YAML's `app:` with nothing after it
        with pytest.raises(DeclarationError, match="no requests"):
            parse("demo", {"workloads": {"app": None}})
        return
    refused(words, workload)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"wave": "twelve"}, "wave: a whole number from 0 on is wanted, not 'twelve'"),
        ({"enabled": "yes"}, "enabled: true or false is wanted, not 'yes'"),
        ({"quorums": []}, "unknown key 'quorums': did you mean 'quorum'?"),
        ({"provides": {"storages": "1Ti"}}, "provides: unknown key 'storages': did you mean 'storage'?"),
        ({"provides": {"storage": "1 Tera"}}, "provides.storage: '1 Tera' is no amount of bytes"),
        ({"catalog": "demo"}, "catalog: a list is wanted, not 'demo'"),
        ({"ports": {"name": "http"}}, "ports: a list is wanted"),
        ({"quorum": {"kind": "majority"}}, "quorum: a list is wanted"),
        ({"quorum": [None]}, "quorum[0].kind: None is not known"),
        (
            {"quorum": [{"kind": "majorty", "members": ["app"]}]},
            "quorum[0].kind: 'majorty' is not known: did you mean 'majority'?",
        ),
        ({"quorum": [{"kind": "majority"}]}, "quorum[0]: members is missing: a quorum of kind majority needs members"),
        ({"quorum": [{"kind": "majority", "members": ["ap"]}]}, "'ap' is not known: did you mean 'app'?"),
        ({"quorum": [{"kind": "majority", "members": "app"}]}, "quorum[0].members: a list is wanted"),
        ({"quorum": [{"kind": "majority", "members": ["app"], "copies": 3}]}, "quorum[0]: unknown key 'copies'"),
        ({"quorum": [{"kind": "in_sync_replicas", "members": ["app"], "copies": 3}]}, "quorum[0]: minimum is missing"),
        (
            {"quorum": [{"kind": "in_sync_replicas", "members": ["app"], "copies": 3, "minimum": -1}]},
            "quorum[0].minimum: a whole number from 0 on is wanted, not -1",
        ),
        (
            {"quorum": [{"kind": "sharded_primaries", "primaries": "app", "replicas": "app", "apart": "rack"}]},
            "quorum[0].apart: 'rack' is not known",
        ),
    ],
)
def test_declarations_that_are_refused(keys, words):
    refused(words, **keys)


@pytest.mark.parametrize("data", [[], "text", 3])
def test_what_is_no_mapping(data):
    with pytest.raises(DeclarationError, match=r"demo: meta/platform.yml: a mapping is wanted"):
        parse("demo", data)


def test_resources_of_a_node():
    size = resources("platform_node_size", {"cpu": 8, "memory": "32 GB", "disk": "1Ti", "pods": "110"})
    assert size == Resources(cpu=8000, memory=32 * 1000**3, disk=1024**4, pods=110)
    assert resources("platform_node_size", None) == Resources()


def test_metrics_are_named():
    parsed = declared(metrics=[{"name": "app", "port": 9090, "path": "/metrics", "series": ["up", "jvm:gc_seconds"]}])
    assert parsed.metrics[0]["series"] == ["up", "jvm:gc_seconds"]
    refused("metrics[0].series: 'a-b' is no name of a metric", metrics=[{"name": "app", "series": ["a-b"]}])
    refused("serie", metrics=[{"name": "app", "serie": ["up"]}])
