# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a run: what has happened, and what is said about it. No input, no output, no clock."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.utils.display import get_text_width

Line = tuple[str, str]  # a text, and Ansible's name of its colour (CHANGED is C.COLOR_CHANGED) or nothing
Durations = list[tuple[str, float]]  # tasks and their seconds, in the order of the run
Record = list[tuple[str, Durations]]  # the stages of a run that went well

# -- what has happened


@dataclass
class Step:
    """A task of a stage: when it began, and the seconds it took on each host that is done with it."""

    name: str
    started: float
    run_once: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    beats: int = 0  # heartbeats so far


@dataclass
class Stage:
    """A play, or one batch of a play with `serial`."""

    name: str
    number: int
    hosts: list[str]
    started: float
    lost: int = 0  # hosts that failed before
    lockstep: bool = True  # strategy linear: all hosts work on the same task
    steps: dict[str, Step] = field(default_factory=dict)
    running: dict[tuple[str, str], float] = field(default_factory=dict)  # (task, host): since when
    retries: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # (task, host): attempt, of how many
    changed: int = 0
    failed: int = 0
    announced: bool = False

    def durations(self, now: float) -> Durations:
        """How long each task took by the clock: until the next one began."""
        starts = [step.started for step in self.steps.values()] + [now]
        return [(step.name, end - step.started) for step, end in zip(self.steps.values(), starts[1:], strict=True)]


@dataclass
class Failure:
    """All that a reader needs of one failure; details are pairs of a label and a text."""

    host: str
    step: str
    path: str
    details: list[tuple[str, str]]
    unreachable: bool = False
    mark: str = ""  # ignored | rescued


@dataclass
class Run:
    """One playbook's run so far."""

    title: str
    started: float
    total: int = 0
    check: bool = False
    last: Record = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    record: Record = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # hosts that failed or could not be reached
    busy: dict[str, float] = field(default_factory=dict)  # seconds a host
    deferred: Counter[str] = field(default_factory=Counter)  # steps a host
    changed_in_check: int = 0

    @property
    def stage(self) -> Stage:
        """The stage that runs."""
        return self.stages[-1]

    def begin(self, uuid: str, name: str, now: float, run_once: bool = False) -> None:
        """A task begins; with strategy free this comes once a host."""
        self.stage.steps.setdefault(uuid, Step(name, now, run_once))

    def begin_on(self, uuid: str, host: str, now: float) -> None:
        """A host begins a task; one that had failed may be back (clear_host_errors)."""
        self.stage.running[uuid, host] = now
        self.gone.discard(host)
        if host not in self.stage.hosts:
            self.stage.hosts.append(host)

    def retry(self, uuid: str, host: str, total: int) -> bool:
        """A host tries a task again; True the first time. Ansible's own count differs between its versions."""
        attempt, _total = self.stage.retries.get((uuid, host), (1, total))
        self.stage.retries[uuid, host] = attempt + 1, total
        return attempt == 1

    def end_on(self, uuid: str, host: str, now: float) -> None:
        """A host is done with a task."""
        seconds = now - self.stage.running.pop((uuid, host), now)
        self.stage.retries.pop((uuid, host), None)
        self.busy[host] = self.busy.get(host, 0) + seconds
        if step := self.stage.steps.get(uuid):
            step.seconds[host] = step.seconds.get(host, 0) + seconds


def after(names: Iterable[str], known: Sequence[tuple[str, Any]]) -> int:
    """How far `names` have got in the list of last time; a name that is not there doesn't move on."""
    position = 0
    for name in names:
        position = next((i + 1 for i in range(position, len(known)) if known[i][0] == name), position)
    return position


def last_time(run: Run) -> tuple[Durations, Record] | None:
    """This stage's tasks and the stages after it, as they were last time; None if this stage was not in it."""
    place = after([stage.name for stage in run.stages], run.last)
    if not place or run.last[place - 1][0] != run.stage.name:
        return None
    return run.last[place - 1][1], run.last[place:]


def remaining(run: Run, now: float) -> tuple[float, float] | None:
    """Seconds left in the stage and in the whole run, going by last time; None where nothing is known."""
    if not (last := last_time(run)):
        return None
    tasks, later = last
    steps = list(run.stage.steps.values())
    done = after([step.name for step in steps], tasks)
    left = sum(seconds for _task, seconds in tasks[done:])
    if done and tasks[done - 1][0] == steps[-1].name:
        left += max(0.0, tasks[done - 1][1] - (now - steps[-1].started))
    return left, left + sum(seconds for _stage, stage in later for _task, seconds in stage)


def parse_record(data: Any) -> Record:
    """A record from JSON; empty if it is not one."""
    try:
        return [(str(name), [(str(task), float(seconds)) for task, seconds in tasks]) for name, tasks in data]
    except (TypeError, ValueError):
        return []


# -- words


def clock(seconds: float) -> str:
    """Whole seconds as a person would say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def span(seconds: float) -> str:
    """A duration; a short one with a tenth."""
    return f"{seconds:.1f}s" if seconds < 9.95 else clock(seconds)


def count(number: int, noun: str) -> str:
    """A number and its noun."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def some(names: Sequence[str], most: int = 4) -> str:
    """Some of the names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def clean(text: str) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, width: int) -> str:
    """The text in at most so many columns."""
    if get_text_width(text) <= width:
        return text
    while text and get_text_width(text) >= width:
        text = text[:-1]
    return text + "~" if width > 0 else ""


def plain(value: Any) -> str:
    """A message as readable text, whatever a module put there."""
    if isinstance(value, str):
        text = value.strip("\n")
        try:
            nested = json.loads(text) if text[:1] in ("{", "[") else None
        except ValueError:
            nested = None  # only looked like JSON
        return plain(nested) if nested else text
    if isinstance(value, Mapping):
        if "msg" in value and set(value) <= {"msg", "failed", "changed"}:
            return plain(value["msg"])
        return "\n".join(f"{key}: {plain(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "\n".join(plain(item) for item in value)
    return str(value)


def tail(value: Any, most: int = 20) -> str:
    """The last lines of an output."""
    lines = plain(value).rstrip().splitlines()
    more = [f"({len(lines) - most} lines before these, see them with -v)"] if len(lines) > most else []
    return "\n".join(more + lines[-most:])


def table(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows in columns, numbers to the right; `left` is the column of text."""
    widths = [max(map(get_text_width, column)) for column in zip(*rows, strict=True)]

    def cell(text: str, column: int) -> str:
        space = " " * (widths[column] - get_text_width(text))
        return text + space if column == left else space + text

    return ["  ".join(cell(text, column) for column, text in enumerate(row)).rstrip() for row in rows]


# -- the stage that runs


def stage_start(run: Run) -> Line:
    """A stage begins."""
    lost = f" ({run.stage.lost} failed before)" if run.stage.lost else ""
    return f"[{run.stage.number}/{run.total}] {run.stage.name}: {count(len(run.stage.hosts), 'host')}{lost}", ""


def stage_end(run: Run, now: float) -> Line:
    """A stage is over."""
    stage = run.stage
    what = [count(len(stage.hosts), "host"), count(len(stage.steps), "task"), span(now - stage.started)]
    what += [f"{stage.changed} {'would change' if run.check else 'changed'}"] if stage.changed else []
    what += [f"{stage.failed} failed"] if stage.failed else []
    word, color = ("failed", "ERROR") if stage.failed else ("done", "CHANGED" if stage.changed else "OK")
    return f"[{stage.number}/{run.total}] {stage.name}: {word}, {', '.join(what)}", color


def live_line(run: Run, now: float, width: int) -> str:
    """The live line, in at most `width` columns: what matters least goes first when there is no room."""
    stage = run.stage
    step = list(stage.steps.values())[-1] if stage.steps else None
    alive = [host for host in stage.hosts if host not in run.gone]
    done = len(step.seconds) if step else 0
    hosts = f"{done}/{count(max(done, 1 if step and step.run_once else len(alive)), 'host')}"
    if not stage.lockstep:
        hosts = f"{len({host for _task, host in stage.running})} of {count(len(alive), 'host')} busy"
    known = f"/{max(len(last[0]), len(stage.steps))}" if (last := last_time(run)) else ""
    left = ""
    if (estimate := remaining(run, now)) and estimate[1] >= 1:
        left = f"about {clock(estimate[0])} left"
        left += f" (run: {clock(estimate[1])})" if estimate[1] - estimate[0] >= 1 else ""
    title = cut(clean(f"[{stage.number}/{run.total}] {stage.name}"), width)
    failed = f"{stage.failed} failed" if stage.failed else ""
    parts = [title, failed, hosts, f"task {len(stage.steps)}{known}", clock(now - stage.started), left]
    for least in (3, 5, 2, 4, 1):
        if get_text_width("  ".join(filter(None, parts))) > width:
            parts[least] = ""
    line = "  ".join(filter(None, parts))
    if step and (room := width - get_text_width(line) - 2) >= 12:
        attempt = f" (attempt {max(stage.retries.values())[0]})" if stage.retries else ""
        busy = [host for uuid, host in stage.running if stage.steps.get(uuid) is step]
        where = f" on {some(busy, 2)}" if busy and len(busy) < len(alive) else ""
        line += "  " + cut(clean(step.name + attempt + where), room)
    return line


def heartbeats(run: Run, now: float, every: float) -> list[Line]:
    """A line for each task that has been running for another `every` seconds."""
    lines: list[Line] = []
    for uuid, step in run.stage.steps.items() if run.stages else ():
        waiting = {host: now - since for (task, host), since in run.stage.running.items() if task == uuid}
        longest = max(waiting.values(), default=0)
        if waiting and longest >= every * (step.beats + 1):
            step.beats = int(longest // every)
            tries = [tries for (task, _host), tries in run.stage.retries.items() if task == uuid]
            text = f"  still running for {clock(longest)}: {clean(step.name)} on {some(list(waiting))}"
            text += ", attempt {} of {}".format(*max(tries)) if tries else ""
            text += f", {count(len(step.seconds), 'host')} done" if step.seconds else ""
            lines.append((text, "VERBOSE"))
    return lines


def plan_counts(plan: Iterable[Any]) -> str:
    """A plan's changes as counts: 41 files, 2 units restarted."""
    verbs = {"create": "", "update": "", "delete": " removed", "restart": " restarted"}
    counts: Counter[tuple[str, str]] = Counter()
    for step in plan:
        if isinstance(step, Mapping) and (action := step.get("action", "none")) != "none":
            counts[str(step.get("kind", "step")), verbs.get(action, f" ({action})")] += 1
    return ", ".join(count(number, kind) + verb for (kind, verb), number in counts.items())


# -- failures


def details(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a failed result says about its cause, as pairs of a label and a text; empty if it says nothing."""
    found: list[tuple[str, str]] = []

    def add(label: str, text: str) -> None:
        words = rf"(?<!\w){re.escape(text.strip())}(?!\w)"  # "no" is not said by "none"
        if text.strip() and not any(re.search(words, earlier) for _label, earlier in found):
            found.append((label, text))

    for key in ("msg", "reason"):
        add("error", plain(result.get(key) or ""))
    if "assertion" in result:
        add("asserted", f"{plain(result['assertion'])}, which is {plain(result.get('evaluated_to'))}")
    if result.get("rc"):
        command = result.get("cmd") or ""
        shown = shlex.join(map(str, command)) if isinstance(command, list) else str(command)
        add("command", f"{shown} (exit code {result['rc']})" if shown else f"exit code {result['rc']}")
    for key in ("stderr", "module_stderr", "stdout", "module_stdout"):
        add(key[-6:], tail(result.get(key) or ""))
    plan = [step for step in result.get("plan") or () if isinstance(step, Mapping) and step.get("action") != "none"]
    lines = [step_line(step) for step in plan if step.get("state") != "not done"]
    left = Counter(str(step.get("kind", "step")) for step in plan if step.get("state") == "not done")
    lines += ["not done: " + ", ".join(count(number, kind) for kind, number in left.items())] if left else []
    add("plan", "\n".join(lines))
    add("journal", plain(result.get("journal") or ""))
    return found


def step_line(step: Mapping[str, Any]) -> str:
    """A step of a plan, and what became of it."""
    what = " ".join(str(step.get(key, "")) for key in ("action", "kind", "target"))
    return ": ".join([what, *(str(step[key]) for key in ("state", "note", "deferred") if step.get(key))])


def origin(error: Any) -> list[tuple[str, str]]:
    """What an error of the controller points at, if that is more than the task itself, and its help."""
    contexts: list[str] = []
    helps: list[str] = []
    event = getattr(error, "event", None)
    while event:
        contexts.append(event.formatted_source_context or "")
        helps.append(event.help_text or "")
        event = event.chain.event if event.chain else None
    deeper = [context for context in contexts if context and context != contexts[0]]
    return [("source", context) for context in deeper[-1:]] + [("help", text) for text in filter(None, helps)]


def failure_block(failure: Failure) -> Line:
    """A failure, whole."""
    word = "UNREACHABLE" if failure.unreachable else "FAILED"
    color = "WARN" if failure.mark else "UNREACHABLE" if failure.unreachable else "ERROR"
    mark = f" ({failure.mark})" if failure.mark else ""
    lines = [f"{word}{mark}  {failure.host}  {clean(failure.step)}"]
    for label, text in [("at", failure.path), *failure.details]:
        lines += [f"  {'' if i else label:8} {line}".rstrip() for i, line in enumerate(text.splitlines())]
    return "\n".join(lines), color


# -- the end


def hosts_table(run: Run, stats: Mapping[str, Mapping[str, int]]) -> list[Line]:
    """A row a host. Rare columns only when there is something in them."""
    rare = [key for key in ("rescued", "ignored") if any(row[key] for row in stats.values())]
    keys = ["ok", "changed", "failures", "unreachable", "skipped", *rare]
    names = {"changed": "would change" if run.check else "changed", "failures": "failed"}
    rows = [["host", *(names.get(key, key) for key in keys), *(["deferred"] if run.deferred else []), "time"]]
    colors = [""]
    for host, row in sorted(stats.items()):
        deferred = [str(run.deferred[host])] if run.deferred else []
        rows.append([host, *(str(row[key]) for key in keys), *deferred, span(run.busy.get(host, 0))])
        bad = "ERROR" if row["failures"] else "UNREACHABLE" if row["unreachable"] else ""
        colors.append(bad or ("CHANGED" if row["changed"] else "OK"))
    return list(zip(table(rows, left=0), colors, strict=True))


def slowest_table(run: Run, most: int) -> list[Line]:
    """The steps that took longest on one host, of all stages."""
    seconds: dict[str, Counter[str]] = {}
    for step in (step for stage in run.stages for step in stage.steps.values() if step.seconds):
        seconds.setdefault(step.name, Counter()).update(step.seconds)
    rows = [["longest", "total", "hosts", "slowest steps"]]
    for name, hosts in sorted(seconds.items(), key=lambda item: -max(item[1].values()))[:most]:
        host, longest = hosts.most_common(1)[0]
        where = f"{clean(name)} ({'longest ' if len(hosts) > 1 else ''}on {host})"
        rows.append([span(longest), span(sum(hosts.values())), str(len(hosts)), where])
    return [(line, "") for line in table(rows, left=3)] if len(rows) > 1 else []


def recap(run: Run, stats: Mapping[str, Mapping[str, int]], now: float, slowest: int, again: str) -> list[Line]:
    """All that is said at the end."""
    blank = ("", "")
    lines = [blank]
    for block in (hosts_table(run, stats) if stats else [], slowest_table(run, slowest)):
        lines += [*block, blank] if block else []
    bad = [failure for failure in run.failures if not failure.mark]
    for failure in bad:
        word = "unreachable" if failure.unreachable else "failed"
        lines.append((f"{word}: {failure.host}  {clean(failure.step)}  {failure.path}", "ERROR"))
    changed = sum(row["changed"] for row in stats.values())
    said = [count(len(stats), "host"), f"{changed} {'would change' if run.check else 'changed'}"]
    hosts = sorted({failure.host.split(" -> ")[0] for failure in bad})
    said += [f"{count(len(hosts), 'host')} failed or unreachable"] if hosts else []
    word, color = ("failed", "ERROR") if bad else ("done", "OK")
    lines.append((f"{run.title}: {word} in {span(now - run.started)}, {', '.join(said)}", color))
    if hosts:
        lines.append((f"run again: {again} --limit {','.join(hosts)}", ""))
    if steps := run.deferred.total():
        lines.append((f"{count(steps, 'step')} deferred: what they need comes from an earlier step or stage", "SKIP"))
    if run.check:
        but = f", apart from what {run.changed_in_check} with check_mode: false did" if run.changed_in_check else ""
        lines.append((f"Check mode: nothing was changed{but}", "WARN"))
    return lines
