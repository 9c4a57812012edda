# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stdout callback: translates Ansible's events for plugin_utils/progress.py, and keeps the terminal."""

from __future__ import annotations

DOCUMENTATION = """
name: progress
type: stdout
short_description: Stages, changes and whole failures instead of every task
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - On a terminal, one live line for the stage (play) that runs, with hosts done, tasks, time and an estimate.
  - Without a terminal, and where E(CI) or E(AWX_ISOLATED_DATA_DIR) is set or E(TERM) is V(dumb),
    plain lines and a heartbeat.
  - Only what changed is printed. Failures are printed whole, with host, role, path, cause and next step.
  - The estimate comes from the last run of the same kind; without one there is no estimate.
  - With C(-v) the output is that of P(ansible.builtin.default#callback), plus failures and the tables at the end.
requirements:
  - set as stdout in configuration
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  live:
    description: Whether there is a live line. V(auto) means on a terminal that is not one of CI or AWX.
    type: str
    choices: [auto, always, never]
    default: auto
    env: [{name: PLATFORM_PROGRESS_LIVE}]
    ini: [{section: callback_progress, key: live}]
  heartbeat:
    description: Without a live line, say every so many seconds that a task is still running. V(0) means never.
    type: int
    default: 30
    env: [{name: PLATFORM_PROGRESS_HEARTBEAT}]
    ini: [{section: callback_progress, key: heartbeat}]
  slowest:
    description: How many of the slowest steps are listed at the end.
    type: int
    default: 5
    env: [{name: PLATFORM_PROGRESS_SLOWEST}]
    ini: [{section: callback_progress, key: slowest}]
  timings:
    description:
      - Folder in which the durations of the last run are kept, as C(<inventory>/timings.json).
      - The default is C(build) beside the C(ansible.cfg) of the playbook's project, else the user's cache folder.
    type: path
    env: [{name: PLATFORM_PROGRESS_TIMINGS}]
    ini: [{section: callback_progress, key: timings}]
"""

import atexit
import functools
import json
import os
import shlex
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.handler import Handler
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.display import get_text_width

from ansible_collections.banking.platform.plugins.plugin_utils import progress as ui
from ansible_collections.banking.platform.plugins.plugin_utils.progress import Failure, Line, Record, Run, Stage
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import rescued, run_folder


class Terminal:
    """The live line, and the thread that keeps it and the heartbeat going.

    The methods of Ansible's display that write are wrapped, so that the line is out of the way first. All of it happens
    under the display's own lock, which Ansible holds while it forks, so that no worker inherits it taken. Workers have
    the wrappers too, but their display sends everything to the main process.
    """

    def __init__(self, display: Any, lock: Any, live: bool, text: Callable[[int], str], beat: Callable[[], None]):
        self.hidden = False  # while somebody else may talk to the user
        self._lock, self._live, self._text, self._beat = lock, live, text, beat
        self._drawn = ""
        self._pid = os.getpid()
        self._stop = threading.Event()
        if live:
            for name in ("display", "prompt_until", "do_var_prompt"):
                setattr(display, name, self._out_of_the_way(getattr(display, name)))
        threading.Thread(target=self._tick, name="progress", daemon=True).start()
        atexit.register(self.close)

    def _out_of_the_way(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if os.getpid() != self._pid:
                return original(*args, **kwargs)
            with self._lock:
                self._erase()
                return original(*args, **kwargs)

        return wrapper

    def _tick(self) -> None:
        while not self._stop.wait(0.5):
            with self._lock:
                try:
                    self._beat()
                except Exception:
                    return  # a line that cannot be written is no reason to stop the run
                self.draw()

    def draw(self) -> None:
        """Put the live line below all other output."""
        with self._lock:
            try:
                self._erase()
                if self._live and not self.hidden and not self._stop.is_set():
                    # The last column stays free: some terminals wrap when it is written.
                    self._drawn = self._text(columns() - 1)
                    sys.stdout.write(self._drawn)
                    sys.stdout.flush()
            except Exception:
                self._stop.set()  # a line that cannot be drawn is no reason to stop the run

    def _erase(self) -> None:
        if self._drawn:
            # A terminal that was made narrower has wrapped the line.
            rows = (get_text_width(self._drawn) - 1) // columns()
            self._drawn = ""
            try:
                sys.stdout.write("\r\x1b[2K" + "\x1b[1A\x1b[2K" * rows)
                sys.stdout.flush()
            except OSError:
                self._stop.set()  # the terminal is gone

    def close(self) -> None:
        """No live line and no heartbeat any more."""
        self._stop.set()
        # At the program's end somebody may still sit at a prompt and hold the lock.
        if os.getpid() == self._pid and self._lock.acquire(timeout=1):
            self._erase()
            self._lock.release()


def columns() -> int:
    """The terminal's width now; not from the environment, which does not follow when the window changes."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def live_wanted(option: str, terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether somebody looks on. AWX and CI may give a terminal to a run that nobody looks at."""
    machine = environment.get("TERM", "dumb") == "dumb" or {"CI", "AWX_ISOLATED_DATA_DIR"} & set(environment)
    return option == "always" or (option == "auto" and terminal and not machine)


class Timings:
    """How long the last run that went well took: one file an inventory, one entry a playbook and kind of run."""

    def __init__(self, playbook: str, cli: Mapping[str, Any], folder: str | None) -> None:
        self.path = run_folder(playbook, cli, folder) / "timings.json"
        kind = {key: list(cli[key]) for key in ("tags", "skip_tags") if set(cli.get(key) or ()) - {"all"}}
        kind |= {key: cli[key] for key in ("check", "subset", "start_at_task") if cli.get(key)}
        self.key = f"{os.path.basename(playbook)} {json.dumps(kind, sort_keys=True)}"

    def _all(self) -> dict[str, Any]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def load(self) -> Record:
        """The last run of this kind that went well; empty if none is known."""
        return ui.parse_record(self._all().get(self.key, ()))

    def save(self, record: Record) -> None:
        """Keep this run, and the last ones of other kinds."""
        others = [(key, value) for key, value in self._all().items() if key != self.key]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, delete=False, encoding="utf-8") as file:
                json.dump(dict(others[-19:]) | {self.key: record}, file)
            os.replace(file.name, self.path)
        except OSError:
            pass  # a folder that cannot be written costs the next run its estimate, nothing else


def event(method: Callable[..., list[Line] | None]) -> Callable[..., None]:
    """Print the lines that the method returns; with -v, and once we have crashed, the default callback prints too."""
    name = method.__name__

    @functools.wraps(method)
    def handle(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        lines: list[Line] = []
        try:
            with self.lock:
                lines = [] if self.crashed else method(self, *args, **kwargs) or []
        except Exception as error:
            self.crash(name, error)
        verbose = self._display.verbosity > 0
        if verbose or self.crashed:
            getattr(super(CallbackModule, self), name)(*args, **kwargs)
        elif args and isinstance(args[0], CallbackTaskResult):
            self._handle_warnings(args[0].result)
        if not verbose or name in ("v2_runner_on_failed", "v2_runner_on_unreachable", "v2_playbook_on_stats"):
            self.say(lines)

    return handle


class CallbackModule(Default):
    """Keeps a Run by Ansible's events, and prints the lines about it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "banking.platform.progress"

    def __init__(self) -> None:
        super().__init__()
        self.lock = getattr(self._display, "_lock", None) or threading.RLock()
        self.state = Run("", time.monotonic())
        self.timings: Timings | None = None
        self.terminal: Terminal | None = None
        self.live = self.crashed = False
        self.batches: Counter[str] = Counter()  # hosts so far, of each play
        self.failed_items: dict[tuple[str, str], list[tuple[str, str]]] = {}

    # -- output

    def say(self, lines: Iterable[Line]) -> None:
        """Print lines."""
        try:
            for text, color in lines:
                self._display.display(text, color=getattr(C, f"COLOR_{color}") if color else None)
            sys.stdout.flush()  # Ansible doesn't, and a line in a pipe is to be seen when it is written
        except OSError:
            pass  # nobody reads any more; the run goes on
        if self.terminal:
            self.terminal.draw()

    def crash(self, name: str, error: Exception) -> None:
        """Hand over to the default callback: neither the run nor its failures may suffer from us."""
        self.crashed = True
        if self.terminal:
            self.terminal.close()
        self._display.warning(f"progress callback: {name}: {type(error).__name__}: {error}; the default output follows")

    def beat(self) -> None:
        """Say what takes long; called twice a second."""
        every = self.option("heartbeat", 30)
        if every and not (self.live or self.crashed or self._display.verbosity):
            self.say(ui.heartbeats(self.state, time.monotonic(), every))

    def live_text(self, width: int) -> str:
        """The live line, if there is a stage."""
        return ui.live_line(self.state, time.monotonic(), width) if self.state.stages else ""

    def within(self, lines: list[Line]) -> list[Line]:
        """Lines of a stage, after the line that says which stage it is; with a live line only when there are any."""
        if self.state.stage.announced or (self.live and not lines):
            return lines
        self.state.stage.announced = True
        return [ui.stage_start(self.state), *lines]

    def about(self, word: str, result: CallbackTaskResult, text: str, color: str) -> Line:
        """A line about a result; further lines of the text are set in."""
        first, *more = text.splitlines() or [""]
        host = self.host_label(result).ljust(max(map(len, self.state.stage.hosts), default=0))
        line = f"  {word}  {host}  {ui.clean(self.step_name(result.task, result.task_name))}"
        return "\n".join([line + (f": {first}" if first else ""), *(f"      {other}" for other in more)]), color

    # -- what can be known of a task and its result

    def option(self, name: str, default: Any) -> Any:
        """An option. AWX puts a class of its own on top of ours, which does not load ours."""
        return self.get_option(name) if self.has_option(name) else default

    @staticmethod
    def step_name(task: Any, name: str = "") -> str:
        """Role and name of a task, without the role's collection."""
        name = name or task.get_name()
        if not task._role:
            return name
        return f"{task._role.get_name(False)} : {name.removeprefix(task._role.get_name() + ' : ')}"

    @staticmethod
    def censored(result: CallbackTaskResult) -> bool:
        """Whether no_log forbids to show anything of the result."""
        return result.task.no_log is True or "censored" in result.result or bool(result.result.get("_ansible_no_log"))

    def next_step(self, result: CallbackTaskResult) -> str:
        """What to do about a failure: what the module says, else how to run again."""
        for key in ("next_step", "hint"):
            if said := ui.plain(result.result.get(key) or ""):
                return said
        task, includes = result.task, []
        while parent := getattr(task, "_parent", None):
            includes += [parent] if isinstance(parent, TaskInclude) and not parent.statically_loaded else []
            task = parent
        text = f"fix the cause, then: {command_line(context.CLIARGS)} --limit {result.host.get_name()}"
        # --start-at-task finds neither handlers nor what is included while the run goes on.
        if not includes and not isinstance(result.task, Handler):
            return text + f"\nto leave out what comes before: --start-at-task {shlex.quote(result.task.get_name())}"
        tags = [t for t in result.task.tags if t not in ("always", "never") and all(t in i.tags for i in includes)]
        return text + (f"\nto leave out the rest: --tags {shlex.quote(tags[0])}" if tags else "")

    def causes(self, result: CallbackTaskResult) -> list[tuple[str, str]]:
        """Why a result is a failure."""
        if self.censored(result):
            return [("error", "hidden, since no_log is set")]
        found = ui.details(result.result) or [("error", self._dump_results(result.result).strip())]
        return [*found, *ui.origin(result.exception)]

    def deferred(self, result: CallbackTaskResult) -> list[Line]:
        """What could not be looked at yet."""
        steps = [ui.clean(ui.plain(step)) for step in result.result.get("deferred") or ()]
        if not steps:
            return []
        self.state.deferred[result.host.get_name()] += len(steps)
        return [self.about("deferred", result, f"{ui.count(len(steps), 'step')}: {'; '.join(steps)}", "SKIP")]

    def failure(self, result: CallbackTaskResult, mark: str, unreachable: bool = False) -> list[Line]:
        """Record a failure and return the lines about it."""
        uuid, host = result.task._uuid, result.host.get_name()
        path = result.task.get_path() or ""
        path = os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
        causes = self.failed_items.pop((uuid, host), None) or self.causes(result)
        if tries := self.state.stage.retries.get((uuid, host)):
            causes.append(("tried", ui.count(tries[0], "time")))
        if not mark:
            causes.append(("next", self.next_step(result)))
            self.state.gone.add(host)
            self.state.stage.failed += 1
        name = self.step_name(result.task, result.task_name)
        failure = Failure(self.host_label(result), name, path, causes, unreachable, mark)
        self.state.failures.append(failure)
        self.state.end_on(uuid, host, time.monotonic())
        return self.within([*self.deferred(result), ui.failure_block(failure)])

    # -- events of the run

    @event
    def v2_playbook_on_start(self, playbook: Any) -> list[Line]:
        cli, path = context.CLIARGS, playbook._file_name or ""
        self.state = Run(os.path.basename(path), time.monotonic(), len(playbook.get_plays()), bool(cli.get("check")))
        self.timings = Timings(path, cli, self.option("timings", None))
        self.state.last = self.timings.load()
        asks = cli.get("step") or C.ENABLE_TASK_DEBUGGER or self._display.verbosity
        self.live = not asks and live_wanted(self.option("live", "auto"), sys.stdout.isatty(), os.environ)
        self.terminal = self.terminal or Terminal(self._display, self.lock, self.live, self.live_text, self.beat)
        lines = [("Check mode: nothing will be changed", "WARN")] if self.state.check else []
        if self.state.last:
            took = sum(seconds for _stage, tasks in self.state.last for _task, seconds in tasks)
            lines.append((f"{self.state.title}: {ui.span(took)} last time", ""))
        return lines

    def close_stage(self) -> list[Line]:
        """The end of the stage that runs, if there is one."""
        if not self.state.stages:
            return []
        now = time.monotonic()
        self.state.record.append((self.state.stage.name, self.state.stage.durations(now)))
        return [ui.stage_end(self.state, now)]

    @event
    def v2_playbook_on_play_start(self, play: Any) -> list[Line]:
        lines = self.close_stage()
        self._play = play  # the default callback needs it
        inventory = play.get_variable_manager()._inventory
        hosts = [host.get_name() for host in inventory.get_hosts(play.hosts, order=play.order)]
        number = self.state.stage.number if self.state.stages else 0
        name, before = play.get_name().strip(), self.batches[play._uuid]
        if play.serial:
            everyone = len(inventory.get_hosts(play.hosts, ignore_restrictions=True))
            name += f" (batch {before + 1} to {before + len(hosts)} of {everyone})"
        self.batches[play._uuid] += len(hosts)
        left = [host for host in hosts if host not in self.state.gone]
        stage = Stage(name, number + (not before), left, time.monotonic(), len(hosts) - len(left))
        stage.lockstep = play.strategy.rpartition(".")[2] not in ("free", "host_pinned")
        self.state.stages.append(stage)
        return lines + self.within([])

    @event
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool = False) -> None:
        self.state.begin(task._uuid, self.step_name(task), time.monotonic(), task.run_once is True)
        if self.terminal:  # the debugger talks to the user
            self.terminal.hidden = bool(task.debugger) or self._play.strategy.endswith("debug")

    @event
    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.state.begin(task._uuid, self.step_name(task), time.monotonic(), task.run_once is True)

    @event
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self.state.begin_on(task._uuid, host.get_name(), time.monotonic())

    @event
    def v2_playbook_on_no_hosts_matched(self) -> list[Line]:
        return self.within([("  no hosts matched", "SKIP")])

    @event
    def v2_playbook_on_no_hosts_remaining(self) -> list[Line]:
        return self.within([("  no hosts are left to go on with", "ERROR")])

    @event
    def v2_playbook_on_stats(self, stats: Any) -> list[Line]:
        lines = self.close_stage()
        if self.terminal:
            self.terminal.close()
            self.terminal = None
        if self.timings and all(failure.mark for failure in self.state.failures):
            self.timings.save(self.state.record)
        hosts = {host: stats.summarize(host) for host in stats.processed}
        again = command_line(context.CLIARGS)
        lines += ui.recap(self.state, hosts, time.monotonic(), self.option("slowest", 5), again)
        if stats.custom and self.option("show_custom_stats", False) and not self._display.verbosity:
            lines += [(f"{name}: {ui.plain(value)}", "") for name, value in sorted(stats.custom.items())]
        return lines

    # -- events of a task on a host

    @event
    def v2_runner_on_ok(self, result: CallbackTaskResult) -> list[Line]:
        self.state.end_on(result.task._uuid, result.host.get_name(), time.monotonic())
        data, hidden = result.result, self.censored(result)
        lines = [] if hidden else self.deferred(result)
        items = [item for item in data.get("results") or [data] if isinstance(item, dict)]
        if result.is_changed() and not isinstance(result.task, TaskInclude):
            self.state.stage.changed += 1
            self.state.changed_in_check += self.state.check and not result.task.check_mode
            text = "" if hidden else ui.plan_counts(data.get("plan") or ())
            if not hidden and "results" in data:
                text = ui.some([ui.cut(ui.clean(str(self._get_item_label(i))), 40) for i in items if i.get("changed")])
            lines.append(self.about("would change" if result.task.check_mode else "changed", result, text, "CHANGED"))
        elif result.task.action in C._ACTION_DEBUG and not hidden:
            self._clean_results(data, result.task.action)
            shown = [item.get("msg", self._dump_results(item, serialize=False)) for item in items]
            lines.append(self.about("info", result, "\n".join(map(ui.plain, shown)), "OK"))
        return self.within(lines)

    @event
    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        self.state.end_on(result.task._uuid, result.host.get_name(), time.monotonic())

    @event
    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> list[Line]:
        return self.failure(result, "ignored" if ignore_errors else "rescued" if rescued(result.task) else "")

    @event
    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> list[Line]:
        return self.failure(result, "ignored" if result.task.ignore_unreachable else "", unreachable=True)

    @event
    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        found = self.failed_items.setdefault((result.task._uuid, result.host.get_name()), [])
        label = [] if self.censored(result) else [("item", ui.clean(str(self._get_item_label(result.result))))]
        found += [*label, *self.causes(result)]

    @event
    def v2_runner_retry(self, result: CallbackTaskResult) -> list[Line]:
        total = int(result.result.get("retries", 0))
        if not self.state.retry(result.task._uuid, result.host.get_name(), total):
            return []  # the live line and the heartbeat say the rest
        return self.within([self.about("retrying", result, f"{total} attempts at most", "DEBUG")])

    @event
    def v2_on_file_diff(self, result: CallbackTaskResult) -> list[Line]:
        results = result.result.get("results", []) if result.task.loop else [result.result]
        text = "".join(self._get_diff(item["diff"]) for item in results if item.get("diff") and item.get("changed"))
        return self.within([self.about("diff", result, "", ""), (text.rstrip("\n"), "")]) if text else []


def _silent(name: str) -> Callable[..., None]:
    """An event that we say nothing about, though the default callback would."""

    def method(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        pass

    method.__name__ = name
    return event(method)


for _name in ("playbook_on_include", "runner_item_on_ok", "runner_item_on_skipped", "runner_on_async_poll",
              "runner_on_async_ok", "runner_on_async_failed"):  # fmt: skip
    setattr(CallbackModule, f"v2_{_name}", _silent(f"v2_{_name}"))


def command_line(cli: Mapping[str, Any]) -> str:
    """This run's command line, without --limit and --start-at-task, and without values that may be secret."""

    def short(path: str) -> str:
        return os.path.relpath(path) if os.path.isabs(path) else path

    words = ["ansible-playbook", *map(short, cli.get("args") or ())]
    for inventory in cli.get("inventory") or ():
        words += ["-i", short(inventory)] if inventory not in C.DEFAULT_HOST_LIST else []
    for option in ("tags", "skip_tags"):
        chosen = [tag for tag in cli.get(option) or () if tag != "all"]
        words += [f"--{option.replace('_', '-')}", ",".join(chosen)] if chosen else []
    words += [f"--{option}" for option in ("check", "diff", "become") if cli.get(option)]
    line = shlex.join(words)
    for value in cli.get("extra_vars") or ():
        line += f" -e {shlex.quote(value)}" if str(value).startswith("@") else " -e ..."
    return line
