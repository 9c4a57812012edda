# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on an API of Harbor's form: lists in pages, ids found by name, members in projects, POST unlike PUT."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.http_session import Answer, HttpError, NotFound
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import Kind, Reconciler, Wish, same, seconds

Thing = dict[str, Any]


def _project(said: Thing) -> Thing:
    return {"project_id": said["project_id"], "public": said["metadata"]["public"], "quota": said["quota"]}


def _member(said: Thing) -> Thing:
    return {"id": said["id"], "role_id": said["role_id"]}


PROJECT = Kind(
    "project",
    collection="/projects",
    page_size=2,
    item="/projects/{project_id}",
    actual=_project,
    create=("POST", "/projects"),
    create_body=lambda wanted, _actual: {
        "project_name": wanted["name"],
        "metadata": {"public": str(wanted.get("public", False)).lower()},
        "storage_limit": wanted.get("quota", -1),
    },
    update_body=lambda wanted, _actual: {"metadata": {"public": str(wanted.get("public", False)).lower()}},
    immutable=frozenset({"quota"}),
    protected=True,
    lost="every image in it",
)
MEMBER = Kind(
    "member",
    key=("project", "entity_name"),
    collection="/projects/{project}/members",
    page_size=2,
    item="/projects/{project}/members/{id}",
    actual=_member,
    create=("POST", "/projects/{project}/members"),
    create_body=lambda wanted, _actual: {
        "role_id": wanted["role_id"],
        "member_user": {"username": wanted["entity_name"]},
    },
    update_body=lambda wanted, _actual: {"role_id": wanted["role_id"]},
    parent=("project", ("project",)),
)
REGISTRY = Kind(
    "registry",
    collection="/registries",
    item="/registries/{id}",
    create=("POST", "/registries"),
    unread=frozenset({"secret"}),
)


class Double:
    """A small Harbor: it keeps what it is sent, and refuses bodies that are not of its form."""

    def __init__(self) -> None:
        self.projects: dict[int, Thing] = {}
        self.members: dict[int, dict[int, Thing]] = {}
        self.registries: dict[int, Thing] = {}
        self.log: list[str] = []
        self.broken: Callable[[str, str], bool] = lambda method, path: False
        self._last = 0

    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [work(item) for item in items]

    def _id(self) -> int:
        self._last += 1
        return self._last

    def _number(self, name: str) -> int:
        for number, project in self.projects.items():
            if name in (project["name"], str(number)):
                return number
        raise NotFound(f"no project {name}", status=404)

    def request(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Answer:
        self.log.append(f"{method} {path}")
        if self.broken(method, path):
            raise HttpError(f"{method} {path}: 500", status=500)
        body = copy.deepcopy(body)
        if path.startswith("/registries"):
            return self._flat(method, path, body)
        whole = re.fullmatch(r"/projects(?:/([^/]+)(/members(?:/(\d+))?)?)?", path)
        assert whole, path
        project, below, member = whole.groups()
        if below:
            return self._members(method, self._number(project), member, body, query)
        if method == "GET":
            return self._page(list(self.projects.values()), query)
        if method == "POST":
            assert set(body) == {"project_name", "metadata", "storage_limit"}, body
            number = self._id()
            self.members[number] = {}
            self.projects[number] = {
                "project_id": number,
                "name": body["project_name"],
                "metadata": body["metadata"],
                "quota": body["storage_limit"],
            }
        elif method == "PUT":
            assert set(body) == {"metadata"}, body
            self.projects[int(project)].update(body)
        else:
            del self.projects[int(project)]
        return Answer(200)

    def _members(self, method: str, project: int, member: str | None, body: Any, query: Any) -> Answer:
        kept = self.members[project]
        if method == "GET":
            return self._page(list(kept.values()), query)
        if method == "POST":
            number = self._id()
            kept[number] = {"id": number, "entity_name": body["member_user"]["username"], "role_id": body["role_id"]}
        elif method == "PUT":
            assert set(body) == {"role_id"}, body
            kept[int(member or 0)].update(body)
        else:
            del kept[int(member or 0)]
        return Answer(200)

    def _flat(self, method: str, path: str, body: Any) -> Answer:
        number = int(path.rpartition("/")[2]) if path.count("/") > 1 else 0
        if method == "GET":
            shown = [
                {name: value for name, value in one.items() if name != "secret"} for one in self.registries.values()
            ]
            return Answer(200, shown)
        if method == "POST":
            number = self._id()
        if method == "DELETE":
            del self.registries[number]
        else:
            self.registries[number] = {**self.registries.get(number, {}), **body, "id": number}
        return Answer(200)

    @staticmethod
    def _page(things: list[Thing], query: Any) -> Answer:
        first = (query["page"] - 1) * query["page_size"]
        page = things[first : first + query["page_size"]]
        return Answer(200, copy.deepcopy(page), {"x-total-count": str(len(things))})


@pytest.fixture
def double() -> Double:
    return Double()


PROJECTS = [{"name": f"p{number}", "public": number == 1, "quota": -1} for number in range(5)]
MEMBERS = [{"project": "p1", "entity_name": name, "role_id": 2} for name in ("ann", "bob", "cem")]


def wishes(projects: list[Thing] = PROJECTS, members: list[Thing] = MEMBERS, **registry: Any) -> list[Wish]:
    """Members before projects: the engine puts them in order."""
    more = [Wish(REGISTRY, [{"name": "hub", "url": "https://hub", **registry}], [{}])] if registry else []
    scopes = [{"project": project["name"]} for project in projects]
    return [Wish(MEMBER, members, scopes), Wish(PROJECT, projects, [{}]), *more]


def run(double: Double, wanted: list[Wish], check: bool = False, **more: Any) -> Reconciler:
    reconciler = Reconciler(double, wanted, with_diff=True, **more)
    reconciler.make_plan()
    if not check:
        reconciler.apply()
    return reconciler


def did(reconciler: Reconciler) -> list[str]:
    return [f"{step.action} {step.kind} {step.target}" for step in reconciler.plan.steps]


def test_pages_nested_things_and_a_second_run(double: Double) -> None:
    planned = did(run(double, wishes(), check=True))
    assert double.projects == {}
    first = run(double, wishes())
    assert did(first) == planned
    assert [line.split()[1] for line in planned] == ["project"] * 5 + ["member"] * 3
    second = run(double, wishes())
    assert did(second) == []
    assert second.counts == {"create": 0, "update": 0, "delete": 0, "none": 8}
    assert len(double.projects) == 5
    assert len(double.members[double._number("p1")]) == 3


def test_nothing_is_asked_of_what_is_not_there(double: Double) -> None:
    run(double, wishes(), check=True)
    assert double.log == ["GET /projects"], "members of a project that is still to be made"


def test_drift(double: Double) -> None:
    run(double, wishes())
    number = double._number("p1")
    double.projects[number]["metadata"] = {"public": "false"}
    next(iter(double.members[number].values()))["role_id"] = 1
    done = run(double, wishes())
    assert did(done) == ["update project p1", "update member p1/ann"]
    assert done.plan.steps[0].as_dict()["before"] == {"public": "false"}
    assert done.plan.steps[0].as_dict()["after"] == {"public": True}
    assert did(run(double, wishes())) == []


def test_prune_in_scope_only_and_backwards(double: Double) -> None:
    run(double, wishes())
    less = wishes(PROJECTS[:2], MEMBERS[:1])
    assert did(run(double, less)) == []
    assert did(run(double, less, prune=True)) == ["delete member p1/cem", "delete member p1/bob"]
    gone = did(run(double, less, prune=True, prune_protected=True))
    assert gone == ["delete project p4", "delete project p3", "delete project p2"]


def test_what_is_still_in_use_is_left(double: Double) -> None:
    run(double, wishes())
    reconciler = Reconciler(double, wishes(PROJECTS[:2], MEMBERS[:1]), prune=True)
    reconciler.make_plan()
    cem, bob = reconciler.deletions()
    assert (cem.key, bob.key) == (("p1", "cem"), ("p1", "bob"))
    reconciler.leave(cem)
    assert reconciler.counts["delete"] == 1
    reconciler.apply()
    assert did(reconciler) == ["delete member p1/bob"]
    assert [one["entity_name"] for one in double.members[double._number("p1")].values()] == ["ann", "cem"]


def test_a_form_is_compared_exactly_and_shown(double: Double) -> None:
    kind = replace(REGISTRY, form=lambda name, value: sorted(value or {}) if name == "actions" else value)
    run(double, [Wish(kind, [{"name": "hub", "actions": {"b": {}, "a": {}}}])])
    assert did(run(double, [Wish(kind, [{"name": "hub", "actions": {"a": None, "b": None}}])])) == []
    # Without a form, an empty thing would be as if it weren't there.
    changed = [Wish(kind, [{"name": "hub", "actions": {"a": {}, "b": {}, "c": {}}}])]
    done = run(double, changed)
    assert done.plan.steps[0].as_dict()["before"] == {"actions": ["a", "b"]}
    assert done.plan.steps[0].as_dict()["after"] == {"actions": ["a", "b", "c"]}
    assert next(iter(double.registries.values()))["actions"] == {"a": {}, "b": {}, "c": {}}, "sent as it was declared"


def test_a_long_structure_is_shown_over_several_lines(double: Double) -> None:
    rules = {f"rule-{number}": {"keep": number} for number in range(20)}
    done = run(double, [Wish(REGISTRY, [{"name": "hub", "rules": rules, "short": {"a": 1}}])])
    after = (done.plan.steps[0].diff or {})["after"]
    assert 'short: {"a": 1}\n' in after
    assert '    "keep": 7\n' in after


def test_what_cannot_be_changed(double: Double) -> None:
    run(double, wishes())
    larger = [{**PROJECTS[0], "quota": 5}, *PROJECTS[1:]]
    with pytest.raises(Failure) as caught:
        run(double, wishes(larger))
    assert "project p0: quota cannot be changed from -1 to 5" in caught.value.cause
    assert "every image in it would be lost" in caught.value.cause
    larger[0]["recreate"] = True
    done = run(double, wishes(larger))
    assert did(done) == ["update project p0"]
    assert double.projects[double._number("p0")]["quota"] == 5


def test_secrets(double: Double) -> None:
    first = run(double, wishes(secret="hub-password"))
    assert "hub-password" not in json.dumps(first.result())
    assert first.secrets == {"hub-password"}
    assert did(run(double, wishes(secret="another-password"))) == []
    again = run(double, wishes(secret="another-password"), update_secrets=True)
    assert did(again) == ["update registry hub"]
    assert again.plan.steps[0].as_dict()["after"] == {"secret": MASK}
    assert "another-password" not in json.dumps(again.result())
    assert next(iter(double.registries.values()))["secret"] == "another-password"
    # An update of something else does not write the secret.
    next(iter(double.registries.values()))["url"] = "https://other"
    run(double, wishes(secret="third-password"))
    assert next(iter(double.registries.values()))["secret"] == "another-password"


def test_a_change_that_replaces_all_says_the_secret_again(double: Double) -> None:
    wanted = wishes(secret="hub-password")
    run(double, wanted)
    next(iter(double.registries.values()))["url"] = "https://other"
    wanted[-1].kind = replace(REGISTRY, resend=True)
    wanted[-1].things[0]["secret"] = "new-password"  # type: ignore[index]
    run(double, wanted)
    assert next(iter(double.registries.values()))["secret"] == "new-password"


def test_a_failure_in_the_middle(double: Double) -> None:
    double.broken = lambda method, path: method == "POST" and path == "/projects" and len(double.projects) == 2
    reconciler = Reconciler(double, wishes())
    reconciler.make_plan()
    with pytest.raises(Failure) as caught:
        reconciler.apply()
    assert "POST /projects: 500; done: project p0; project p1; not done: project p3; project p4" in caught.value.cause
    states = [step.state for step in reconciler.plan.steps]
    assert states == ["done", "done", "failed", *["not done"] * 5]
    assert reconciler.result()["changed"]
    double.broken = lambda method, path: False
    assert len(did(run(double, wishes()))) == 6
    assert did(run(double, wishes())) == []


def test_two_of_one_key(double: Double) -> None:
    with pytest.raises(Failure, match="project p1 is declared twice"):
        Reconciler(double, wishes([*PROJECTS, PROJECTS[1]]))
    with pytest.raises(Failure, match="a member has no entity_name"):
        Reconciler(double, wishes(members=[{"project": "p1"}]))
    assert double.log == []


def test_no_server_yet() -> None:
    reconciler = Reconciler(None, wishes(), deferred="an unsealed Vault")
    assert {step.deferred for step in reconciler.make_plan().steps} == {"an unsealed Vault"}


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("768h", 2764800, True),
        ("768h", "2764800", True),
        ("30d", "720h0m0s", True),
        ("1h", 60, False),
        ("a,b", ["b", "a"], True),
        (["a"], ["a", "b"], False),
        ([], None, True),
        ("", False, True),
        (0, "0s", True),
        (False, "false", True),
        (True, "false", False),
        ("text\n", "text", True),
        ({"a": "1h"}, {"a": 3600, "b": None}, True),
        ({"a": 1}, {"a": 2}, False),
        ("1", True, False),
        ("abc", "abd", False),
    ],
)
def test_same(one: Any, other: Any, alike: bool) -> None:
    assert same(one, other) is alike
    assert same(other, one) is alike


def test_order_counts_where_it_is_said() -> None:
    assert same(["a", "b"], ["b", "a"])
    assert not same(["a", "b"], ["b", "a"], ordered=True)


def test_seconds() -> None:
    assert [seconds(value) for value in ("1h30m", "90", 5, True, "soon", "-1")] == [5400, 90, 5, None, None, -1]
