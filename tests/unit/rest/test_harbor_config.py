# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor's kinds against a double that holds each request to the vendor's description, for two versions of it."""

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
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils import harbor_config
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler
from ansible_collections.banking.platform.plugins.modules.harbor_config import Run
from ansible_collections.banking.platform.tests.unit.action.conftest import trusted
from ansible_collections.banking.platform.tests.unit.rest.harbor import PASSWORD, USER, Description, Harbor
from ansible_collections.banking.platform.tools.suites import CLONE, openapi_folder

Thing = dict[str, Any]
VERSIONS = ("2.11.2", "2.15.1")
NO_DESCRIPTION = "no description of Harbor's API: set PLATFORM_OPENAPI to a folder with harbor-<version>.swagger.yaml"


@functools.cache
def description(version: str) -> Description:
    """Parsed once a run: 1 s each."""
    folder = openapi_folder()
    file = folder / f"harbor-{version}.swagger.yaml" if folder else None
    if file is None or not file.exists():
        pytest.skip(NO_DESCRIPTION)
    return Description(file)


@pytest.fixture(params=VERSIONS)
def harbor(request: pytest.FixtureRequest) -> Iterator[Harbor]:
    with Harbor(description(request.param)) as one:
        yield one
        assert one.problems == [], "requests or answers that do not fit the vendor's description"


class Kv:
    """The part of a Vault's KV engine that is used; the real one is in tests/integration/vault."""

    def __init__(self) -> None:
        self.kept: dict[str, Thing] = {}
        self.versions: dict[str, int] = {}
        self.away = ""

    def data(self, path: str) -> Thing | None:
        mount, part, name = path.split("/", 2)
        assert mount == "kv"
        if part == "metadata":
            return {"current_version": self.versions[name]} if name in self.versions else None
        return {"data": self.kept[name]} if name in self.kept else None

    def write(self, path: str, body: Thing, idempotent: bool = True) -> Thing:
        name = path.split("/", 2)[2]
        if self.away:
            raise Failure(self.away)
        if body["options"]["cas"] != self.versions.get(name, 0):
            raise Failure("check-and-set parameter did not match the current version")
        assert not idempotent
        self.versions[name] = self.versions.get(name, 0) + 1
        self.kept[name] = body["data"]
        return {}

    def close(self) -> None:
        pass


@pytest.fixture
def kv(monkeypatch: pytest.MonkeyPatch) -> Kv:
    one = Kv()
    monkeypatch.setattr("ansible_collections.banking.platform.plugins.modules.harbor_config.Vault", lambda options: one)
    return one


ROBOT = {
    "name": "ci",
    "duration": 90,
    "disable": True,
    "access": [{"resource": "repository", "action": "push"}, {"resource": "repository", "action": "pull"}],
}
SYSTEM_ROBOT = {
    "name": "scan",
    "duration": -1,
    "description": "reads all",
    "permissions": [{"kind": "project", "namespace": "*", "access": [{"resource": "repository", "action": "pull"}]}],
}
ALL: Thing = {
    "configuration": {
        "auth_mode": "oidc_auth",
        "oidc_name": "Bank",
        "oidc_endpoint": "https://sso.bank.local",
        "oidc_client_id": "harbor",
        "oidc_client_secret": "oidc-secret-value",
    },
    "garbage_collection": {"cron": "0 0 2 * * 6", "delete_untagged": True, "workers": 2},
    "registries": [
        {
            "name": "hub",
            "type": "docker-hub",
            "url": "https://hub.docker.com",
            "access_key": "bank",
            "access_secret": "hub-secret-value",
        },
        {"name": "second", "type": "harbor", "url": "https://registry2.bank.local", "insecure": False},
    ],
    "projects": [
        {"name": "cache", "registry": "hub", "retention": {"rules": [{"keep": "nDaysSinceLastPull", "count": 30}]}},
        {
            "name": "payments",
            "public": False,
            "storage_limit": "500Gi",
            "auto_scan": True,
            "prevent_vul": True,
            "severity": "high",
            "enable_content_trust": False,
            "enable_content_trust_cosign": True,
            "reuse_sys_cve_allowlist": False,
            "cve_allowlist": ["CVE-2024-1", "CVE-2024-2"],
            "members": [{"user": "ann", "role": "maintainer"}, {"group": "payments", "role": "developer"}],
            "robots": [ROBOT],
            "retention": {
                "cron": "0 0 3 * * *",
                "rules": [
                    {"keep": "latestPushedK", "count": 20, "untagged": True},
                    {"keep": "always", "tags": "v*", "exclude_repositories": "tmp/**"},
                ],
            },
            "immutable_tags": [{"tags": "v*"}, {"exclude_tags": "dev-*", "repositories": "core/**", "disabled": True}],
            "webhooks": [
                {
                    "name": "scans",
                    "address": "https://siem.bank.local/harbor",
                    "event_types": ["SCANNING_FAILED"],
                    "auth_header": "webhook-secret-value",
                }
            ],
        },
        {"name": "1234", "members": [{"user": "bob", "role": "limitedGuest"}]},
    ],
    "robots": [SYSTEM_ROBOT],
    "replications": [
        {
            "name": "second-site",
            "dest_registry": "second",
            "cron": "0 0 4 * * *",
            "override": True,
            "replicate_deletion": True,
            "filters": [{"type": "name", "value": "payments/**"}],
            "enabled": True,
        },
        {"name": "pull", "src_registry": "hub", "filters": [{"type": "tag", "value": "3.*", "decoration": "matches"}]},
    ],
}
# In the order of what they need.
STEPS = [
    "update configuration system",
    "update garbage collection schedule",
    "create registry hub",
    "create registry second",
    "create project cache",
    "create project payments",
    "create project 1234",
    "create replication second-site",
    "create replication pull",
    "create member payments/user/ann",
    "create member payments/group/payments",
    "create member 1234/user/bob",
    "create project robot payments/ci",
    "create system robot scan",
    "create retention cache",
    "create retention payments",
    "create immutable tag rule payments/repositories=** tags=v*",
    "create immutable tag rule payments/repositories=core/** exclude_tags=dev-*",
    "create webhook payments/scans",
]


def new_run(harbor: Harbor, declared: Thing, check: bool = False, **more: Any) -> Run:
    params: Thing = {
        "url": harbor.url,
        "username": USER,
        "password": PASSWORD,
        "ca_path": None,
        "timeout": 20,
        "retry_for": 0,
        "parallel": 4,
        **dict.fromkeys(harbor_config.DECLARED),
        **copy.deepcopy(declared),
        "robot_secrets": {"mount": "kv", "path": "harbor", "renew_missing": False, "vault": None},
        "prune": False,
        "prune_protected": False,
        "update_secrets": False,
        "packed": None,
        "approved": None,
        **more,
    }
    return Run(params, check, True)


def configure(harbor: Harbor, declared: Thing, check: bool = False, **more: Any) -> Run:
    run = new_run(harbor, declared, check, **more)
    run.do()
    return run


def refused(harbor: Harbor, declared: Thing, **more: Any) -> str:
    before = [line for line in harbor.log if not line.startswith("GET")]
    run = new_run(harbor, declared, **more)
    with pytest.raises(Failure) as caught:
        run.do()
    assert [line for line in harbor.log if not line.startswith("GET")] == before, "something was changed"
    return caught.value.cause


def steps(run: Run) -> list[str]:
    return [f"{one['action']} {one['kind']} {one['target']}" for one in run.result()["plan"]]


def changed(**parts: Any) -> Thing:
    """ALL, with some fields of the project payments changed."""
    declared = copy.deepcopy(ALL)
    declared["projects"][1].update(parts)
    return declared


def test_everything_twice_and_check_mode_before(harbor: Harbor, kv: Kv) -> None:
    planned = configure(harbor, ALL, check=True)
    assert {line.split()[0] for line in harbor.log} == {"GET"}
    first = configure(harbor, ALL)
    assert sorted(steps(first)) == sorted(STEPS)
    assert steps(first) == steps(planned)
    assert first.warnings == []
    second = configure(harbor, ALL)
    assert steps(second) == []
    assert second.result()["counts"] == {"create": 0, "update": 0, "delete": 0, "none": len(STEPS)}
    assert set(second.requests) == {"GET"}
    # What came of it, where the double's form is not ours.
    number = harbor.number("payments")
    assert harbor.quotas[number]["hard"] == {"storage": 500 * 2**30}
    assert harbor.projects[number]["metadata"]["prevent_vul"] == "true"
    assert harbor.projects[harbor.number("cache")]["registry_id"] in harbor.registries
    assert len(harbor.retentions) == 2, "the one that a proxy cache is made with is changed"
    assert harbor.config_secret == "oidc-secret-value"
    assert all(policy["deletion"] for policy in harbor.policies.values() if policy["name"] == "second-site")


@pytest.mark.parametrize("backwards", [False, True])
def test_what_has_to_come_first_comes_first(backwards: bool) -> None:
    wishes = harbor_config.wishes_of(ALL)
    plan = Reconciler(None, wishes[::-1] if backwards else wishes).make_plan()
    place = {f"{step.kind} {step.target}": number for number, step in enumerate(plan.steps)}
    assert place["registry hub"] < place["project cache"] < place["retention cache"]
    assert place["registry second"] < place["replication second-site"]
    assert place["project payments"] < place["project robot payments/ci"]


def test_robot_secrets_are_in_vault_and_nowhere_else(harbor: Harbor, kv: Kv) -> None:
    run = configure(harbor, ALL)
    number = next(one["id"] for one in harbor.robots.values() if one["level"] == "project")
    kept = kv.kept["harbor/payments/ci"]
    assert kept == {"id": str(number), "username": "robot$payments+ci", "secret": f"Secret{number}OfTheRobot"}
    assert set(kv.kept) == {"harbor/payments/ci", "harbor/scan"}
    told = json.dumps(run.result()) + " ".join(run.warnings)
    hidden = [*harbor.secrets, "oidc-secret-value", "hub-secret-value", "webhook-secret-value", PASSWORD]
    assert not [secret for secret in hidden if secret in told]
    assert set(harbor.secrets) <= run.secrets, "what the server told is masked in errors"
    assert harbor.robots[number]["disable"], "which the server does not look at when it makes a robot"


def test_without_a_place_for_its_secret_no_robot_is_made(harbor: Harbor) -> None:
    said = refused(harbor, {"robots": [SYSTEM_ROBOT]}, robot_secrets=None)
    assert "system robot scan: its secret would be lost" in said


def test_a_robot_whose_secret_cannot_be_written_is_removed_again(harbor: Harbor, kv: Kv) -> None:
    kv.away = "Vault is sealed"
    run = new_run(harbor, {"robots": [SYSTEM_ROBOT]})
    with pytest.raises(Failure) as caught:
        run.do()
    assert "could not be written to Vault, so it was removed again: Vault is sealed" in caught.value.cause
    assert harbor.robots == {}
    assert not [secret for secret in harbor.secrets if secret in caught.value.cause + json.dumps(run.result())]
    kv.away = ""
    assert steps(configure(harbor, {"robots": [SYSTEM_ROBOT]})) == ["create system robot scan"]


def test_a_robot_whose_secret_is_not_in_vault(harbor: Harbor, kv: Kv) -> None:
    configure(harbor, ALL)
    kv.kept["harbor/scan"]["id"] = "99999"  # of one that had the name before
    run = configure(harbor, ALL)
    assert steps(run) == []
    assert len(run.warnings) == 1
    assert "robot scan: its secret is not in Vault" in run.warnings[0]
    place = {"mount": "kv", "path": "harbor", "renew_missing": True, "vault": None}
    assert steps(configure(harbor, ALL, robot_secrets=place)) == ["update system robot scan"]
    assert kv.kept["harbor/scan"]["secret"] == harbor.secrets[-1]
    assert harbor.secrets[-1].startswith("Renewed")
    assert steps(configure(harbor, ALL, robot_secrets=place)) == []


@pytest.mark.parametrize(
    ("parts", "step", "request_sent"),
    [
        ({"severity": "low"}, "update project payments", "PUT /projects/payments"),
        ({"cve_allowlist": ["CVE-2024-2"]}, "update project payments", "PUT /projects/payments"),
        ({"storage_limit": -1}, "update project payments", "PUT /quotas/"),
        (
            {"members": [{"user": "ann", "role": "guest"}]},
            "update member payments/user/ann",
            "PUT /projects/payments/members/",
        ),
        ({"robots": [{**ROBOT, "duration": 30}]}, "update project robot payments/ci", "PUT /robots/"),
        ({"robots": [{**ROBOT, "access": ROBOT["access"][:1]}]}, "update project robot payments/ci", "PUT /robots/"),  # type: ignore[index]
        (
            {"retention": {"rules": [{"keep": "latestPushedK", "count": 9}]}},
            "update retention payments",
            "PUT /retentions/",
        ),
        (
            {"immutable_tags": [{"tags": "v*", "disabled": True}]},
            "update immutable tag rule payments/repositories=** tags=v*",
            "PUT /projects/payments/immutabletagrules/",
        ),
    ],
)
def test_a_change_is_one_request_and_lasts(harbor: Harbor, kv: Kv, parts: Thing, step: str, request_sent: str) -> None:
    configure(harbor, ALL)
    harbor.log.clear()
    planned = steps(configure(harbor, changed(**parts), check=True))
    assert planned == steps(configure(harbor, changed(**parts))) == [step]
    [sent] = [line for line in harbor.log if not line.startswith("GET")]
    assert sent.startswith(request_sent)
    assert steps(configure(harbor, changed(**parts))) == []


def test_a_change_leaves_what_is_not_declared(harbor: Harbor, kv: Kv) -> None:
    configure(harbor, ALL)
    number = harbor.number("payments")
    rule = next(iter(harbor.rules[number].values()))
    less = {
        "projects": [
            {
                "name": "payments",
                "immutable_tags": [{"tags": "v*", "disabled": True}],
                "robots": [{"name": "ci", "duration": 30, "access": ROBOT["access"]}],
                "webhooks": [
                    {"name": "scans", "address": "https://siem.bank.local/2", "event_types": ["SCANNING_FAILED"]}
                ],
            }
        ],
        "replications": [{"name": "second-site", "dest_registry": "second", "cron": "0 0 5 * * *"}],
    }
    assert len(steps(configure(harbor, less))) == 4
    after = harbor.rules[number][rule["id"]]
    assert after == {**rule, "disabled": True}
    webhook = next(iter(harbor.webhooks[number].values()))
    assert webhook["targets"][0]["auth_header"] == "webhook-secret-value"
    policy = next(one for one in harbor.policies.values() if one["name"] == "second-site")
    assert policy["filters"] == [{"type": "name", "value": "payments/**"}]
    assert policy["override"]
    assert policy["deletion"]
    assert next(one for one in harbor.robots.values() if one["level"] == "project")["disable"]


def test_prune_in_managed_scope_only(harbor: Harbor, kv: Kv) -> None:
    configure(harbor, ALL)
    less = changed(
        members=[{"user": "ann", "role": "maintainer"}], robots=[], retention={}, immutable_tags=[], webhooks=[]
    )
    less["registries"], less["replications"] = less["registries"][:1], less["replications"][1:]
    del less["projects"][2]  # the project, and with it what is said of its members
    assert steps(configure(harbor, less)) == []
    planned = steps(configure(harbor, less, check=True, prune=True))
    done = steps(configure(harbor, less, prune=True))
    assert done == planned
    assert sorted(done) == sorted(
        [
            "delete webhook payments/scans",
            "delete immutable tag rule payments/repositories=** tags=v*",
            "delete immutable tag rule payments/repositories=core/** exclude_tags=dev-*",
            "delete retention payments",
            "delete project robot payments/ci",
            "delete member payments/group/payments",
            "delete replication second-site",
            "delete registry second",
        ]
    )
    assert done.index("delete replication second-site") < done.index("delete registry second")
    owners = [one["entity_name"] for one in harbor.members[harbor.number("payments")].values()]
    assert owners == [USER, "ann"], "the owner stays"
    assert len(harbor.members[harbor.number("1234")]) == 2, "of a project that is not declared nothing is touched"
    assert steps(configure(harbor, less, prune=True)) == []
    assert steps(configure(harbor, less, prune=True, prune_protected=True)) == ["delete project 1234"]


def test_an_error_in_the_middle_is_listed_and_a_second_run_finishes(harbor: Harbor, kv: Kv) -> None:
    harbor.broken = lambda method, path: 500 if (method, path) == ("POST", "/projects/payments/members") else 0
    run = new_run(harbor, ALL)
    with pytest.raises(Failure) as caught:
        run.do()
    cause = caught.value.cause
    assert "POST /api/v2.0/projects/payments/members: 500: internal server error" in cause
    assert "done: configuration system; garbage collection schedule; registry hub" in cause
    assert "not done: member payments/group/payments" in cause
    states = {f"{one['kind']} {one['target']}": one["state"] for one in run.result()["plan"]}
    assert states["project payments"] == "done"
    assert states["member payments/user/ann"] == "failed"
    assert states["webhook payments/scans"] == "not done"
    assert run.result()["changed"]
    harbor.broken = lambda method, path: 0
    rest = [name for name, state in states.items() if state != "done"]
    again = [line.split(" ", 1) for line in steps(configure(harbor, ALL))]
    assert [name for _action, name in again] == rest
    # The proxy cache has been made, and its policy with it.
    assert [name for action, name in again if action == "update"] == ["retention cache"]
    assert steps(configure(harbor, ALL)) == []


def test_secrets_that_are_never_read(harbor: Harbor, kv: Kv) -> None:
    configure(harbor, ALL)
    other = copy.deepcopy(ALL)
    other["registries"][0]["access_secret"] = "another-hub-secret"
    other["configuration"]["oidc_client_secret"] = "another-oidc-secret"
    assert steps(configure(harbor, other)) == []
    run = configure(harbor, other, update_secrets=True)
    assert steps(run) == ["update configuration system", "update registry hub"]
    assert run.result()["plan"][1]["after"] == {"access_secret": MASK}
    assert "another-" not in json.dumps(run.result())
    hub = next(one for one in harbor.registries.values() if one["name"] == "hub")
    assert (hub["access_secret"], harbor.config_secret) == ("another-hub-secret", "another-oidc-secret")


def test_what_cannot_be_changed_is_refused(harbor: Harbor, kv: Kv) -> None:
    configure(harbor, ALL)
    other = copy.deepcopy(ALL)
    other["projects"][0]["registry"] = "second"
    other["registries"][1]["type"] = "docker-registry"
    said = refused(harbor, other)
    assert 'project cache: registry cannot be changed from "hub" to "second"' in said
    assert "every image in it would be lost" in said
    assert "registry second: type cannot be changed" in said
    said = refused(harbor, {"configuration": {"read_only": True, "oidc_nmae": "x"}})
    assert "configuration: there is no oidc_nmae" in said
    assert "configuration: read_only cannot be changed" in said


def test_wrong_log_in(harbor: Harbor) -> None:
    said = refused(harbor, {"registries": []}, robot_secrets=None, password="wrong-password", prune=True)
    assert "401: unauthorized" in said
    assert "wrong-password" not in said


@pytest.mark.slow
def test_the_playbook_masks_and_changes_once(harbor: Harbor, tmp_path: Path) -> None:
    options = {"url": harbor.url, "username": USER, "password": PASSWORD, "registries": ALL["registries"]}
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"banking.platform.harbor_config": options}]}]
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
        assert "access_secret stands in plain text in play.yml" in told
        assert "hub-secret-value" not in told
        assert PASSWORD not in told


# Without a description


class Nowhere(Harbor):
    """A place where nothing answers, and nothing may be asked."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:9"
        self.log: list[str] = []


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"projects": [{"name": "a"}, {"name": "a"}]}, "project a is declared twice"),
        ({"projects": [{"public": True}]}, "a project has no name"),
        ({"projects": [{"name": "a", "prevent_vulnerable": True}]}, "project a: there is no prevent_vulnerable"),
        ({"projects": [{"name": "a", "severity": "hihg"}]}, "severity is 'hihg'"),
        ({"projects": [{"name": "a", "storage_limit": "5 apples"}]}, "storage_limit is '5 apples'"),
        ({"projects": [{"name": "a", "storage_limit": 0}]}, "storage_limit is 0"),
        ({"projects": [{"name": "a", "members": [{"role": "guest"}]}]}, "needs either user or group"),
        ({"projects": [{"name": "a", "members": [{"user": "x", "role": "root"}]}]}, "role is 'root'"),
        ({"projects": [{"name": "a", "members": [{"user": "x", "role": "guest"}] * 2}]}, "a/user/x is declared twice"),
        ({"projects": [{"name": "a", "robots": [{**ROBOT, "name": "C+I"}]}]}, "its name is not of lower-case letters"),
        ({"projects": [{"name": "a", "robots": [{**ROBOT, "access": []}]}]}, "has no access"),
        ({"robots": [{**SYSTEM_ROBOT, "duration": 0}]}, "has no duration"),
        ({"projects": [{"name": "a", "retention": {"rules": [{"keep": "always", "count": 2}]}}]}, "needs no count"),
        (
            {"projects": [{"name": "a", "retention": {"cron": "0 3 * * *", "rules": [{"keep": "always"}]}}]},
            "six fields",
        ),
        ({"projects": [{"name": "a", "immutable_tags": [{"tags": "v*"}, {"tags": "v*"}]}]}, "is declared twice"),
        ({"projects": [{"name": "a", "immutable_tags": [{"tags": "a", "exclude_tags": "b"}]}]}, "exclude each other"),
        ({"projects": [{"name": "a", "webhooks": [{"name": "w", "event_types": ["X"]}]}]}, "has no address"),
        ({"replications": [{"name": "r"}]}, "needs either src_registry"),
        ({"garbage_collection": {"cron": "hourly"}}, "six fields"),
    ],
)
def test_wrong_declarations_are_named_before_anything_is_asked(declared: Thing, said: str, kv: Kv) -> None:
    assert said in refused(Nowhere(), declared)


def test_before_there_is_a_server(kv: Kv) -> None:
    run = configure(Nowhere(), ALL, check=True)
    assert {one["deferred"] for one in run.result()["plan"]} == {"a Harbor that answers"}


def test_options_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HARBOR_URL", "HARBOR_USERNAME", "HARBOR_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Failure, match="there is no url and no username and no password"):
        harbor_config.HarborApi({})
    monkeypatch.setenv("HARBOR_URL", "https://registry.bank.local/api/v2.0/")
    monkeypatch.setenv("HARBOR_USERNAME", "robot$ansible")
    monkeypatch.setenv("HARBOR_PASSWORD", "of-the-robot")
    api = harbor_config.HarborApi({})
    assert api.session.urls == ["https://registry.bank.local"]
    assert "of-the-robot" not in repr(api.session)


@pytest.mark.parametrize(
    "rule",
    [
        {"tags": "v*"},
        {"exclude_tags": "dev-*", "repositories": "core/**"},
        {"exclude_repositories": "tmp/**", "untagged": True},
        {},
    ],
)
def test_selectors_there_and_back(rule: Thing) -> None:
    whole = harbor_config._whole(rule)
    said = harbor_config._selectors(whole)
    assert {**harbor_config._selected(said), "disabled": False} == whole


def test_a_rule_of_another_form_is_told_as_it_is() -> None:
    two = [{"kind": "doublestar", "decoration": "matches", "pattern": name} for name in "ab"]
    assert harbor_config._selected({"tag_selectors": two})["tags"] == two


def test_what_the_role_declares_of_itself(harbor: Harbor, kv: Kv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_SECRET", "oidc-secret-value")
    role = CLONE / "roles" / "harbor"
    variables: Thing = {"role_path": str(role), "platform_release": "2024.1", "platform_domain": "bank.local"}
    for name in ("defaults", "vars"):
        variables |= yaml.safe_load((role / name / "main.yml").read_text())
    variables["harbor_oidc"] = {**variables["harbor_oidc"], "secret": "env:OIDC_SECRET"}
    templar = Templar(loader=DataLoader(), variables={key: trusted(value) for key, value in variables.items()})
    (task,) = (
        one["banking.platform.harbor_config"]
        for one in yaml.safe_load((role / "tasks" / "configure.yml").read_text())
        if "banking.platform.harbor_config" in one
    )
    # As the role hands it over.
    declared = {name: templar.template(trusted(task[name])) for name in harbor_config.DECLARED if name in task}
    assert set(declared) == set(harbor_config.DECLARED)
    assert configure(harbor, declared).warnings == []
    assert steps(configure(harbor, declared)) == []
    assert harbor.config_secret == "oidc-secret-value"
    assert set(kv.kept) == {"harbor/banking/ci", "harbor/banking/cluster"}
    banking = harbor.projects[harbor.number("banking")]["metadata"]
    wanted = ("auto_scan", "prevent_vul", "enable_content_trust_cosign")
    assert {name: banking[name] for name in wanted} == dict.fromkeys(wanted, "true")
