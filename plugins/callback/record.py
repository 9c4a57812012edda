# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback that keeps the record of a run."""

from __future__ import annotations

DOCUMENTATION = """
name: record
type: notification
short_description: A record of every run
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - While a run goes on, its events are appended to C(events.jsonl); at its end, after a failure too,
    C(run.json) is made of them. Both lie in C(<folder>/<inventory>/runs/<time>/).
  - Results of tasks with C(no_log) and values of secret variables are never recorded.
  - An error in here is a warning. It never stops the run.
requirements:
  - Nothing for the playbooks of this collection. For others C(callbacks_enabled = banking.platform.record), or
    E(ANSIBLE_CALLBACKS_ENABLED).
options:
  folder:
    description:
      - Folder below which records are kept.
      - The default is that of the timings of P(banking.platform.progress#callback).
    type: path
    env: [{name: PLATFORM_RECORD_FOLDER}]
    ini: [{section: callback_record, key: folder}]
  keep:
    description: How many runs of an inventory are kept. V(0) keeps all.
    type: int
    default: 50
    env: [{name: PLATFORM_RECORD_KEEP}]
    ini: [{section: callback_record, key: keep}]
  store:
    description:
      - Address to which C(run.json) is sent; C(/<inventory>/<time>.json) is appended.
      - It must begin with C(https://). A record that cannot be sent is a warning.
    type: str
    env: [{name: PLATFORM_RECORD_STORE}]
    ini: [{section: callback_record, key: store}]
  method:
    description: How it is sent.
    type: str
    choices: [PUT, POST]
    default: PUT
    env: [{name: PLATFORM_RECORD_METHOD}]
    ini: [{section: callback_record, key: method}]
  token_file:
    description: File that holds the store's bearer token. Else the token is read from E(PLATFORM_RECORD_TOKEN).
    type: path
    env: [{name: PLATFORM_RECORD_TOKEN_FILE}]
    ini: [{section: callback_record, key: token_file}]
"""

import functools
import getpass
import json
import os
import platform
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version

from ansible_collections.banking.platform.plugins.plugin_utils import progress as ui
from ansible_collections.banking.platform.plugins.plugin_utils import record
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import encrypted_texts
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import inventory_name, rescued, run_folder
from ansible_collections.banking.platform.plugins.plugin_utils.run_lock import give_back

MOST_NAME = 500  # characters of a name
_ACTIVE = "_PLATFORM_RECORD_PID"  # the process whose run is recorded already


def safe(method: Callable[..., None]) -> Callable[..., None]:
    """An error stops the record, with one warning, and never the run."""

    @functools.wraps(method)
    def handle(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        if self.stopped or (not self.writer and method.__name__ != "v2_playbook_on_start"):
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.stopped = True
            self._display.warning(f"record of the run: {method.__name__}: {type(error).__name__}: {error}")

    return handle


def encrypted(value: Any) -> list[str]:
    """Texts among some variables that are encrypted at their source; without those that nobody here can decrypt."""
    try:
        return list(encrypted_texts(value))
    except Exception:
        parts: Iterable[Any] = ()
        if isinstance(value, Mapping):
            parts = ({key: item} if len(value) > 1 else item for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            parts = value
        return [text for part in parts for text in encrypted(part)]


def git(folder: str, *arguments: str) -> str:
    """What git says about a folder; nothing where there is no git or no clone."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=5, check=False,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class CallbackModule(CallbackBase):
    """Writes Ansible's events as a record."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "banking.platform.record"
    # Beside our playbooks (playbooks/callback_plugins) it needs nothing; elsewhere a callback of a collection does.
    CALLBACK_NEEDS_ENABLED = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writer: Any = None  # a record.Writer as soon as the run began
        self.stopped = False
        self.hidden = record.Hidden()
        self.play: Any = None
        self.prompted: list[str] = []
        self.searched: set[tuple[str, str]] = set()  # whose variables were looked through: host and task
        self.begun: dict[tuple[str, str], float] = {}
        self.left = record.MOST_PLANS
        self.vars_known = False
        self.lock: tuple[str, str] | None = None  # the host that keeps the run's lock, and the run that holds it

    def option(self, name: str, default: Any = None) -> Any:
        """An option, from the environment where Ansible did not load ours."""
        if self.has_option(name):
            return self.get_option(name)
        return os.environ.get(f"PLATFORM_RECORD_{name.upper()}", default)

    @safe
    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Open the record, once a process."""
        if os.environ.get(_ACTIVE) == str(os.getpid()):
            self.stopped = True
            return
        os.environ[_ACTIVE] = str(os.getpid())
        cli, path = context.CLIARGS, playbook._file_name
        self.writer = record.Writer(run_folder(path, cli, self.option("folder")) / "runs")
        where = os.path.dirname(os.path.abspath(path))
        self.writer.write(
            "start", playbook=os.path.basename(path), inventory=inventory_name(cli),
            revision=git(where, "rev-parse", "HEAD"), dirty=bool(git(where, "status", "--porcelain", "-uno")),
            user=os.environ.get("AWX_USER_NAME") or getpass.getuser(), controller=platform.node(),
            ansible=ansible_version, check=bool(cli.get("check")), limit=cli.get("subset") or "",
            tags=[tag for tag in cli.get("tags") or () if tag != "all"], skip_tags=list(cli.get("skip_tags") or ()),
        )  # fmt: skip

    @safe
    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play, or a batch of it, begins."""
        self.play, manager = play, play.get_variable_manager()
        hosts = manager._inventory.get_hosts(play.hosts) if manager._inventory else []
        given = self.encrypted_names(play.get_loader())
        shown = {}
        for name, value in manager.extra_vars.items():
            vaulted = name in given or bool(encrypted({name: value}))
            shown[name] = record.mask(value, "secret" if vaulted else name, self.hidden)
        self.learn(None, None)
        for host in hosts:
            self.learn(host, None)
        self.hidden.update(str(play.vars[name]) for name in self.prompted if name in play.vars)
        if not self.vars_known:
            self.vars_known = True
            self.writer.write("facts", extra_vars=record.bounded(shown, self.hidden, 2000))
        name = record.bounded(play.get_name(), self.hidden, MOST_NAME)
        self.writer.write("play", name=name, hosts=[host.name for host in hosts])

    @safe
    def v2_playbook_on_vars_prompt(self, varname: str, private: bool = True, *more: Any, **others: Any) -> None:
        """Somebody will be asked for a variable."""
        if private:
            self.prompted.append(varname)

    def set_play_context(self, play_context: Any) -> None:
        """Ansible's own passwords, asked for with -k and -K."""
        for name in ("password", "become_pass"):
            self.hidden.update(str(value) for value in [getattr(play_context, name, None)] if value)

    def learn(self, host: Any, task: Any) -> None:
        """Learn the secrets among the variables of a host for a task, before anything it said is written."""
        place = (host.name if host else "", task._uuid if task else self.play._uuid)
        if place in self.searched:
            return
        self.searched.add(place)
        variables = self.play.get_variable_manager().get_vars(
            play=self.play, host=host, task=task, include_hostvars=False
        )
        self.hidden.update(encrypted(variables))
        for name, value in variables.items():
            if name not in ("vars", "hostvars") and record.is_password(name):
                record.mask(value, name, self.hidden)

    @staticmethod
    def encrypted_names(loader: Any) -> set[str]:
        """Variables that came from a file which is encrypted as a whole."""
        names: set[str] = set()
        for given in context.CLIARGS.get("extra_vars") or ():
            if str(given).startswith("@"):
                with open(str(given)[1:], "rb") as file:
                    whole = file.read(14) == b"$ANSIBLE_VAULT"
                names.update(loader.load_from_file(str(given)[1:]) if whole else ())
        return names

    @safe
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """A task begins."""
        self.begin(task)

    def begin(self, task: Any) -> None:
        """Write which task begins, and where it stands."""
        role, name = record.task_names(task)
        path = task.get_path() or ""
        shown = {"name": name, "role": role, "path": "/".join(path.split("/")[-4:])}
        self.writer.write("task", id=task._uuid, **record.bounded(shown, self.hidden, MOST_NAME))

    @safe
    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler begins."""
        self.begin(task)

    @safe
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A host begins a task."""
        self.begun[task._uuid, host.name] = time.time()

    @safe
    def v2_runner_on_ok(self, result: Any) -> None:
        """A host is done."""
        self.add(result, "changed" if result.result.get("changed") else "ok")

    @safe
    def v2_runner_on_skipped(self, result: Any) -> None:
        """A host skipped the task."""
        self.add(result, "skipped")

    @safe
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A host failed."""
        self.add(result, "failed", forgiven="ignored" if ignore_errors else "rescued" if rescued(result.task) else "")

    @safe
    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host does not answer."""
        self.add(result, "unreachable", forgiven="ignored" if result.task.ignore_unreachable else "")

    def add(self, result: Any, status: str, **more: str) -> None:
        """Write a result: of what succeeded only the plan, of a failure why and what to do."""
        uuid, host, said = result.task._uuid, result.host.get_name(), result.result
        data: dict[str, Any] = {"task": uuid, "host": host, "status": status}
        if began := self.begun.pop((uuid, host), 0.0):
            data["started"] = began
        data |= {key: value for key, value in more.items() if value}
        # A no_log that is a template has become a flag of the result, unless the task failed before that.
        flag = said.get("_ansible_no_log")
        secret = "censored" in said or bool(flag) or (bool(result.task.no_log) and flag is not False)
        if secret:
            data["censored"] = True
            if status in ("failed", "unreachable"):
                data |= {"cause": "hidden: the task has no_log", "next_step": ""}
        else:
            data |= self.open(said, status, functools.partial(self.learn, result.host, result.task))
        self.writer.write("result", **data)
        if said.get("lock") and result.task.action.endswith("run_lock"):
            self.lock = str(said["lock"]["host"]), str(said["lock"]["run"])
        if not secret and isinstance(said.get("findings"), list) and "topology" in said:
            self.learn(result.host, result.task)
            proof = {key: said.get(key) for key in record.PROOF}
            self.writer.write("proof", **record.bounded(proof, self.hidden))

    def open(self, said: Mapping[str, Any], status: str, learn: Callable[[], None]) -> dict[str, Any]:
        """What a result without no_log tells; items of a loop with no_log are left out."""
        data: dict[str, Any] = {}
        loops = [item for item in said.get("results") or () if isinstance(item, Mapping)]
        parts = [part for part in [said, *loops] if not (part.get("_ansible_no_log") or "censored" in part)]
        for key in ("plan", "deferred", "diff", "measurements"):
            found = [entry for part in parts for entry in _list(part.get(key))]
            if key == "plan":
                found = [step for step in found if isinstance(step, Mapping) and step.get("action") != "none"]
            if key == "diff" and not any(part.get("plan") for part in parts):
                continue  # a diff of anything but a reconciler may show what is secret
            if key == "measurements":
                found = [figure for figure in map(record.measured, found) if figure]
            if not found:
                continue
            learn()
            shown = record.bounded(found, self.hidden)
            size = len(json.dumps(shown))
            if size > self.left:
                data["cut"] = True
                self.writer.write("facts", cut=True)
                continue
            self.left -= size
            data[key] = shown
        if status in ("failed", "unreachable"):
            learn()
            bad = [part for part in parts[1:] if part.get("failed")] or parts[:1]
            pairs = [pair for part in bad for pair in ui.details(part)]
            cause = "\n".join(text if label == "error" else f"{label}: {text}" for label, text in pairs)
            data["cause"] = record.bounded(cause or "the task said nothing about its cause", self.hidden, 4000)
            steps = [ui.plain(part.get("next_step") or part.get("hint") or "") for part in bad]
            data["next_step"] = record.bounded("\n".join(filter(None, steps)), self.hidden, 2000) or (
                "read the cause, mend it, and run the playbook again as a whole"
            )
        return data

    @safe
    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run is over: make the record, remove old ones, send it."""
        if self.lock and (why := give_back(*self.lock, self.play.get_variable_manager().extra_vars)):
            self._display.warning(
                f"the lock of this run is still on {self.lock[0]} ({why}): the next run from this controller takes it "
                "over, one from elsewhere needs -e platform_break_lock=true"
            )
        bad = any(stats.summarize(host)[key] for host in stats.processed for key in ("failures", "unreachable"))
        self.writer.write("end", outcome="failed" if bad else "ok")
        self.writer.close()
        folder = self.writer.folder
        run = record.fold(record.read_events(self.writer.path))
        record.save(folder, run)
        record.prune(folder.parent, int(self.option("keep", 50)))
        self.report(run, folder)
        self.send(run, folder)

    def report(self, run: Mapping[str, Any], folder: Path) -> None:
        """Write the page beside the record; without it the record is still whole."""
        try:
            from ansible_collections.banking.platform.plugins.plugin_utils.evidence import render

            record.write_whole(folder / record.FILES[2], render(run))
        except Exception as error:
            self._display.warning(f"the page of this run was not written: {type(error).__name__}: {error}")

    def send(self, run: Mapping[str, Any], folder: Path) -> None:
        """Send the record where a store is configured."""
        if not (store := self.option("store")):
            return
        token = os.environ.get("PLATFORM_RECORD_TOKEN", "")
        if path := self.option("token_file"):
            try:
                token = Path(path).expanduser().read_text(encoding="utf-8").strip()
            except OSError as error:
                self._display.warning(f"the record of this run was not sent: {path}: {error.strerror}")
                return
        url = "/".join([str(store).rstrip("/"), urllib.parse.quote(run["inventory"], safe=""), f"{folder.name}.json"])
        if why := record.send(url, token, json.dumps(run).encode(), self.option("method", "PUT")):
            self._display.warning(
                f"the record of this run was not sent: {why}. It is kept in {folder}; send run.json again by hand"
            )


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] if value else []
