# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps and plans: what the three reconcilers have in common.

A reconciler renders the desired state, reads the actual state, and puts one `Step` a thing into a `Plan`. The plan is
shown in check mode and applied otherwise. It runs on nodes too: Python 3.8, standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional

ACTIONS = ("create", "update", "delete", "restart", "none")
MASK = "********"  # what a record shows in place of a secret

# The parameter by which a reconciler's module is held to an approved plan; the action plugins fill it in.
APPROVED = {"approved": {"type": "dict"}}


class Failure(Exception):
    """Something that the user has to know of: what, why, and what to do next.

    Args:
        cause: the thing and the cause, in one sentence without a full stop.
        next_step: what the user can do about it; empty when the cause says it.
    """

    def __init__(self, cause: str, next_step: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step


@dataclass(eq=False)
class Step:
    """One thing, what is to become of it, and how.

    Attributes:
        kind: what the thing is: file, directory, link, artifact, module, sysctl, unit, ...
        target: its name: a path, a unit, an object's reference.
        action: one of ACTIONS; `none` when the thing is as it should be.
        before: what is now, as far as it differs; JSON types only, secrets left out.
        after: what will be, likewise.
        note: one line for the reader: why, or what is left out.
        deferred: in check mode, what has to come first ("user haproxy"); empty otherwise.
        diff: a difference as Ansible shows it (before, after, before_header, after_header), or None.
        apply: makes it so; raises Failure or OSError.
        confirm: called when all steps have been applied; raises when what `apply` did has not lasted.
        undo: puts back what `apply` had replaced; called after a failure, also when `apply` got only half way.
        finish: throws away what `undo` would have needed.
        along: earlier steps that are put back too when this one fails, or is not reached because another one fails.
    """

    kind: str
    target: str
    action: str = "none"
    before: Any = None
    after: Any = None
    note: str = ""
    deferred: str = ""
    diff: Optional[Dict[str, str]] = None
    apply: Optional[Callable[[], None]] = field(default=None, repr=False)
    confirm: Optional[Callable[[], None]] = field(default=None, repr=False)
    undo: Optional[Callable[[], None]] = field(default=None, repr=False)
    finish: Optional[Callable[[], None]] = field(default=None, repr=False)
    along: List["Step"] = field(default_factory=list, repr=False)
    state: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r} of {self.kind} {self.target}")

    @property
    def changes(self) -> bool:
        """Whether the step would change anything."""
        return self.action != "none"

    def as_dict(self) -> Dict[str, Any]:
        """The step as JSON types: kind, target, action, and of the rest what is set."""
        shown: Dict[str, Any] = {"kind": self.kind, "target": self.target, "action": self.action}
        for key in ("before", "after"):
            if getattr(self, key) is not None:
                shown[key] = getattr(self, key)
        for key in ("note", "deferred", "state"):
            if getattr(self, key):
                shown[key] = getattr(self, key)
        return shown


class PlanFailed(Failure):
    """A plan that stopped half way. The plan's steps say in `state` what was done, put back, and not done."""


class Plan:
    """The steps of one run, in the order in which they are applied. `begun` says whether that has begun."""

    def __init__(self) -> None:
        self.steps: List[Step] = []
        self.begun = False

    def add(self, step: Step) -> Step:
        """Append a step and return it."""
        self.steps.append(step)
        return step

    @property
    def changed(self) -> bool:
        """Whether any step changes anything; of a plan that stopped, whether any change was left in place."""
        if any(step.state for step in self.steps):
            return any(step.state in ("done", "not put back") for step in self.steps)
        return any(step.changes for step in self.steps)

    def result(self, with_diff: bool = False) -> Dict[str, Any]:
        """The plan as a module's result: changed, plan, deferred, and diff when asked for."""
        result: Dict[str, Any] = {
            "changed": self.changed,
            "plan": [step.as_dict() for step in self.steps],
            "deferred": [f"{step.kind} {step.target}: {step.deferred}" for step in self.steps if step.deferred],
        }
        if with_diff:
            result["diff"] = [step.diff for step in self.steps if step.diff]
        return result

    def hold_to(self, approved: Optional[Mapping[str, Any]]) -> None:
        """See that this plan does nothing but what was approved. Less is allowed: an approved run may be run again.

        Args:
            approved: `steps` as `Step.as_dict` made them in check mode, and `waiting`, whether an earlier task was to
                bring something first, such as a package; None when no plan was approved.

        Raises:
            Failure: naming every step that was not approved, or not in this way.
        """
        if approved is None:
            return
        known = {(step["kind"], step["target"]): step for step in approved["steps"]}
        waiting = bool(approved["waiting"])
        wrong = [
            f"{step.kind} {step.target}: {why}"
            for step in self.steps
            for why in [_not_approved(step, known.get((step.kind, step.target)), waiting)]
            if step.changes and why
        ]
        if wrong:
            raise Failure(
                f"{len(wrong)} of {len(self.steps)} steps differ from the approved plan, nothing was changed: "
                + "; ".join(wrong),
                "see why it differs, then make a new plan with --check and have it approved",
            )

    def apply(self) -> None:
        """Apply the steps in order and stop at the first that fails.

        Raises:
            PlanFailed: after the failed step and those along with it were put back.
        """
        pending = [step for step in self.steps if step.changes]
        self.begun = True
        for step in pending:
            step.state = "not done"
        for step in pending:
            self._do(step, step.apply)
        for step in pending:
            self._do(step, step.confirm)
        self._finish(pending)
        for step in pending:
            step.state = ""

    def _do(self, step: Step, work: Optional[Callable[[], None]]) -> None:
        try:
            if work:
                work()
        except (Failure, OSError) as error:
            raise self._put_back(step, error) from error
        step.state = "done"

    def _put_back(self, failed: Step, error: Exception) -> PlanFailed:
        cause = error.cause if isinstance(error, Failure) else f"{failed.kind} {failed.target}: {error}"
        next_step = error.next_step if isinstance(error, Failure) else ""
        troubles: List[str] = []
        # Nothing has come up with the files of units that were not reached: they must not wait for the next reboot.
        owners = [failed] + [step for step in self.steps if step.state == "not done"]
        along = [step for step in self.steps if step.state == "done" and any(step in owner.along for owner in owners)]
        # The failed step comes last: a unit is restarted when its old files are back.
        for step in [*reversed(along), failed]:
            try:
                if step.undo:
                    step.undo()
                step.state = "put back" if step is not failed else "failed"
            except (Failure, OSError) as trouble:
                # Not done either: what it had set aside is all that is left of the old, and must not be thrown away.
                step.state = "not put back"
                troubles.append(f"{step.kind} {step.target} could not be put back: {trouble}")
        self._finish([step for step in self.steps if step.state == "done"])
        back = [step.target for step in along if step.state == "put back"]
        if back:
            cause += f"; put back: {_some(back)}"
        return PlanFailed("; ".join([cause, *troubles]), next_step)

    @staticmethod
    def _finish(steps: List[Step]) -> None:
        for step in steps:
            if step.finish:
                step.finish()


def _not_approved(step: Step, approved: Optional[Mapping[str, Any]], waiting: bool) -> str:
    """Why a step is not what was approved; nothing when it is."""
    if approved is None:
        return f"{step.action} is not part of the plan"
    if approved.get("deferred"):
        return ""  # nothing but that it comes could be known
    before, after = step.as_dict().get("before"), step.as_dict().get("after")
    expected = approved.get("after")
    if waiting and isinstance(expected, Mapping):
        # What came meanwhile may be as it should be in part.
        after = after or {}
        expected = {key: value for key, value in expected.items() if key in after}
    if not _alike(expected, after):
        return f"it would become {after}, approved is {approved.get('after')}"
    if approved["action"] == step.action and _alike(approved.get("before"), before):
        return ""
    if waiting and step.action != "delete":
        return ""  # what was to be made is there by now, and has to be changed
    return f"{step.action} of {before}, approved is {approved['action']} of {approved.get('before')}"


def _alike(approved: Any, now: Any) -> bool:
    """Whether two values are the same, as far as the record of the approved one shows it."""
    if isinstance(approved, Mapping) and isinstance(now, Mapping):
        return approved.keys() == now.keys() and all(_alike(approved[key], now[key]) for key in approved)
    if isinstance(approved, (list, tuple)) and isinstance(now, (list, tuple)):
        return len(approved) == len(now) and all(_alike(one, other) for one, other in zip(approved, now))
    if isinstance(approved, str) and MASK in approved:
        parts = [re.escape(part) for part in approved.split(MASK)]
        return bool(re.fullmatch(".*".join(parts), str(now), re.DOTALL))
    return bool(approved == now)


def _some(names: List[str], most: int = 5) -> str:
    """Some names for a sentence, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
