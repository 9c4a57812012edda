# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans: what is shown, in which order steps are applied, and what is put back after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, PlanFailed, Step


class Things:
    """Steps that note what is done with them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.plan = Plan()

    def add(self, name: str, action: str = "update", along: list[Step] | None = None, **broken: Exception) -> Step:
        """A step; `apply=OSError()` makes that part of it fail."""

        def part(verb: str) -> Callable[[], None]:
            def work() -> None:
                self.log.append(f"{verb} {name}")
                if verb in broken:
                    raise broken[verb]

            return work

        parts: dict[str, Any] = {verb: part(verb) for verb in ("apply", "confirm", "undo", "finish")}
        return self.plan.add(Step("thing", name, action, along=along or [], **parts))

    def states(self) -> dict[str, str]:
        return {step.target: step.state for step in self.plan.steps}


@pytest.fixture
def things() -> Things:
    return Things()


def test_a_plan_without_a_difference_does_nothing(things: Things) -> None:
    things.add("a", "none")
    assert not things.plan.changed
    things.plan.apply()
    assert things.log == []
    assert things.plan.result() == {
        "changed": False,
        "plan": [{"kind": "thing", "target": "a", "action": "none"}],
        "deferred": [],
    }


def test_steps_are_applied_in_order_then_confirmed_then_finished(things: Things) -> None:
    things.add("a")
    things.add("same", "none")
    things.add("b")
    things.plan.apply()
    assert things.log == ["apply a", "apply b", "confirm a", "confirm b", "finish a", "finish b"]
    assert set(things.states().values()) == {""}


def test_the_first_failure_stops_the_plan(things: Things) -> None:
    things.add("a")
    things.add("b", apply=Failure("thing b: broken", "mend it"))
    things.add("c")
    with pytest.raises(PlanFailed) as caught:
        things.plan.apply()
    assert (caught.value.cause, caught.value.next_step) == ("thing b: broken", "mend it")
    assert things.log == ["apply a", "apply b", "undo b", "finish a"]
    assert things.states() == {"a": "done", "b": "failed", "c": "not done"}


def test_what_goes_along_is_put_back_last_first_and_the_failed_step_after_it(things: Things) -> None:
    a, b = things.add("a"), things.add("b")
    things.add("unit", along=[a, b], apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed, match=r"unit: does not start; put back: a, b"):
        things.plan.apply()
    assert things.log[3:] == ["undo b", "undo a", "undo unit"]
    assert things.states() == {"a": "put back", "b": "put back", "unit": "failed"}


def test_files_of_units_that_were_not_reached_go_back_too(things: Things) -> None:
    a, b, other = things.add("a"), things.add("b"), things.add("of no unit")
    things.add("first", along=[a], apply=Failure("first: refused"))
    things.add("second", along=[b])
    with pytest.raises(PlanFailed, match="put back: a, b"):
        things.plan.apply()
    assert things.states() == {
        "a": "put back",
        "b": "put back",
        "of no unit": "done",
        "first": "failed",
        "second": "not done",
    }
    assert f"undo {other.target}" not in things.log


def test_what_goes_along_with_a_step_that_was_not_reached_is_put_back_too(things: Things) -> None:
    """A file that no unit has come up with must not lie there until the next reboot."""
    mine, later = things.add("mine"), things.add("later")
    things.add("nobody's")
    things.add("unit", along=[mine], apply=Failure("unit: does not start"))
    things.add("later unit", along=[later])
    with pytest.raises(PlanFailed, match="put back: mine, later"):
        things.plan.apply()
    assert things.states() == {
        "mine": "put back", "later": "put back", "nobody's": "done", "unit": "failed", "later unit": "not done",
    }  # fmt: skip


def test_a_failed_confirmation_puts_back_too(things: Things) -> None:
    file = things.add("file")
    things.add("unit", along=[file], confirm=Failure("unit: has ended"))
    with pytest.raises(PlanFailed, match="put back: file"):
        things.plan.apply()
    assert things.states() == {"file": "put back", "unit": "failed"}


def test_an_operating_system_error_names_the_thing(things: Things) -> None:
    things.add("a", apply=OSError(28, "No space left on device"))
    with pytest.raises(PlanFailed, match=r"thing a: .*No space left"):
        things.plan.apply()


def test_a_step_that_cannot_be_put_back_is_said_and_the_others_still_are(things: Things) -> None:
    a, b = things.add("a"), things.add("b", undo=OSError(5, "Input/output error"))
    things.add("unit", along=[a, b], apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed, match=r"thing b could not be put back: .*Input/output error") as caught:
        things.plan.apply()
    assert "put back: a" in caught.value.cause
    assert things.states() == {"a": "put back", "b": "not put back", "unit": "failed"}


def test_what_could_not_be_put_back_keeps_what_it_had_set_aside(things: Things) -> None:
    a = things.add("a", undo=OSError(5, "Input/output error"))
    things.add("unit", along=[a], apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed):
        things.plan.apply()
    assert "finish a" not in things.log


def test_an_undo_that_fails_of_the_failed_step_itself_is_said(things: Things) -> None:
    things.add("a", apply=Failure("a: broken"), undo=OSError(30, "Read-only file system"))
    with pytest.raises(PlanFailed, match=r"a: broken; thing a could not be put back: .*Read-only"):
        things.plan.apply()
    assert things.states() == {"a": "not put back"}


def test_only_some_of_many_names_stand_in_the_message(things: Things) -> None:
    many = [things.add(f"f{number}") for number in range(7)]
    things.add("unit", along=many, apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed, match=r"put back: f0, f1, f2, f3, f4 and 2 more"):
        things.plan.apply()


def test_the_result_says_what_is_set_and_no_more() -> None:
    plan = Plan()
    diff = {"before": "1\n", "after": "2\n", "before_header": "a", "after_header": "a"}
    plan.add(Step("file", "a", "update", before={"mode": "0600"}, after={"mode": "0644"}, note="why", diff=diff))
    plan.add(Step("unit", "b.service", "update", deferred="the unit does not exist yet"))
    result = plan.result(with_diff=True)
    assert result["plan"][0] == {
        "kind": "file", "target": "a", "action": "update",
        "before": {"mode": "0600"}, "after": {"mode": "0644"}, "note": "why",
    }  # fmt: skip
    assert result["deferred"] == ["unit b.service: the unit does not exist yet"]
    assert result["diff"] == [diff]
    assert "diff" not in plan.result()


def test_after_a_failure_changed_says_whether_anything_stayed_changed(things: Things) -> None:
    file = things.add("file")
    things.add("unit", along=[file], apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed):
        things.plan.apply()
    assert things.plan.result()["changed"] is False


def test_after_a_failure_what_was_done_before_counts_as_changed(things: Things) -> None:
    things.add("file")
    things.add("unit", apply=Failure("unit: does not start"))
    with pytest.raises(PlanFailed):
        things.plan.apply()
    assert things.plan.result()["changed"] is True


def test_an_unknown_action_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="unknown action 'replace' of file a"):
        Step("file", "a", "replace")


def _plan(*steps: Step) -> Plan:
    plan = Plan()
    for step in steps:
        plan.add(step)
    return plan


def _file(action: str, before: Any, after: Any, **more: Any) -> Step:
    return Step("file", "/etc/x", action, before={"content": before}, after={"content": after}, **more)


def _approved(*steps: Step, waiting: bool = False) -> dict[str, Any]:
    return {"steps": _plan(*steps).result()["plan"], "waiting": waiting}


class TestHeldToAnApprovedPlan:
    def test_without_one_anything_goes(self) -> None:
        _plan(_file("update", "a", "b")).hold_to(None)

    def test_the_same_steps_and_fewer_of_them_go(self) -> None:
        other = Step("unit", "x.service", "restart")
        approved = _approved(_file("update", "a", "b"), other)
        _plan(_file("update", "a", "b"), other).hold_to(approved)
        _plan(other).hold_to(approved)
        _plan(_file("none", "b", "b"), other).hold_to(approved)

    @pytest.mark.parametrize(
        ("now", "why"),
        [
            (_file("update", "a", "c"), "it would become {'content': 'c'}, approved is {'content': 'b'}"),
            (_file("update", "z", "b"), "update of {'content': 'z'}, approved is update of {'content': 'a'}"),
            (_file("create", "a", "b"), "create of {'content': 'a'}, approved is update of {'content': 'a'}"),
            (Step("file", "/etc/y", "delete"), "delete is not part of the plan"),
        ],
    )
    def test_anything_else_is_refused_by_name(self, now: Step, why: str) -> None:
        approved = _approved(_file("update", "a", "b"))
        with pytest.raises(Failure) as caught:
            _plan(now).hold_to(approved)
        assert f"{now.kind} {now.target}: {why}" in caught.value.cause
        assert "--check" in caught.value.next_step

    def test_what_could_not_be_known_may_come(self) -> None:
        unit = Step("unit", "x.service", "restart", deferred="no unit yet")
        started = Step("unit", "y.service", "update", after={"state": "active"})
        approved = _approved(_file("create", "", "b"), unit, started, waiting=True)
        _plan(Step("unit", "x.service", "update", after={"enabled": True})).hold_to(approved)
        # A package has brought the file meanwhile, or a part of what it is to be, and started its unit.
        _plan(_file("update", "a package's", "b"), Step("unit", "y.service", "restart")).hold_to(approved)
        approved["steps"][0]["after"]["mode"] = "0644"
        _plan(_file("update", "a package's", "b")).hold_to(approved)
        for wrong in (_file("update", "a package's", "c"), _file("delete", "a package's", "b")):
            with pytest.raises(Failure):
                _plan(wrong).hold_to(approved)

    def test_what_the_record_masks_may_be_anything_there_and_nothing_else(self) -> None:
        approved = _approved(_file("update", "a", "url=https://********@db"))
        _plan(_file("update", "a", "url=https://u:p@db")).hold_to(approved)
        with pytest.raises(Failure):
            _plan(_file("update", "a", "url=https://u:p@evil")).hold_to(approved)
