# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units of a node, and what they run with.

A unit is restarted when its inputs differ from those it was last started with. Their digest is kept on the node,
is thrown away before the first input changes, and is written again after the unit has come up well: a run that was
killed in between is made up for by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.banking.platform.plugins.module_utils.node.files import (
    digest_of,
    is_temporary,
    write_atomically,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

# Where systemd looks for units that an administrator or a package has put there.
UNIT_DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
)
_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,Type,RemainAfterExit,Result,NRestarts"
_JOURNAL_LINES = 20
# Services that systemd counts as started as soon as they have been forked, and the seconds that they must stay up.
_SIMPLE = ("simple", "exec", "idle")
_SETTLE = 1.0
_START_TIMEOUT = 180
_POLL = 0.2


@dataclass
class WantedUnit:
    """A unit as it should be.

    Attributes:
        name: with its suffix.
        state: started, stopped, or empty to leave it alone.
        enabled, masked: True, False, or None to leave it alone.
        restart_on, reload_on: paths that it takes its settings from; with a trailing slash, all that lies below.
        check: command that must exit with 0 before the unit is (re)started with new files; empty for none.
        ready: command that must exit with 0 after it; empty for none.
        timeout: seconds until it must be ready.
        rollback: whether artifacts are put back too when it does not come up. Files always are.
    """

    name: str
    state: str = ""
    enabled: Optional[bool] = None
    masked: Optional[bool] = None
    restart_on: List[str] = field(default_factory=list)
    reload_on: List[str] = field(default_factory=list)
    check: str = ""
    ready: str = ""
    timeout: float = 30
    rollback: bool = True


@dataclass
class Inputs:
    """What this run makes of the paths that units depend on.

    Attributes:
        content: SHA-256 (or another mark) of the content that each managed path will have.
        removed: managed paths that will not be there.
        steps: by path, the steps that it depends on: its own, and that of the artifact that it leads to.
    """

    content: Dict[str, str]
    removed: List[str]
    steps: Dict[str, List[Step]]

    def digest(self, patterns: Iterable[str]) -> str:
        """One digest of all that lies at some paths, as it will be after this run."""
        found: Dict[str, str] = {}
        for pattern in patterns:
            for path in _on_disk(pattern):
                if path not in self.content and path not in self.removed:
                    found[path] = digest_of(path)
            found.update({path: mark for path, mark in self.content.items() if _matches(path, [pattern])})
        return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()

    def changing(self, patterns: List[str]) -> List[Step]:
        """The steps of this run that change something at some paths."""
        found = [step for path, steps in self.steps.items() if _matches(path, patterns) for step in steps]
        return [step for step in dict.fromkeys(found) if step.changes]

    def changed_paths(self) -> List[str]:
        """Paths that this run changes, sorted."""
        return sorted(path for path, steps in self.steps.items() if any(step.changes for step in steps))


class Units:
    """Plans the units of one run."""

    def __init__(self, system: System, units: Mapping[str, WantedUnit], inputs: Inputs, check: bool) -> None:
        self.system = system
        self.units = dict(units)
        self.inputs = inputs
        self.check = check
        self.restarted: List[str] = []
        self._status: Dict[str, Dict[str, str]] = {}
        self._daemon_reloaded = False
        self._touched: List[str] = []
        self._since = 0.0
        self._settling: Dict[str, Tuple[float, Optional[str]]] = {}
        self._forgotten: Dict[str, Dict[str, Any]] = {}

    def plan(self, plan: Plan) -> None:
        """Compare with systemd and add a step for each unit.

        Raises:
            Failure: when a unit does not exist and nothing in this run makes it.
        """
        if not self.units:
            return
        self._status = self._read_status()
        for unit in self.units.values():
            plan.add(self._step(unit))

    def forget_changing(self) -> None:
        """Throw away the digests of those inputs of units that this run is going to change."""
        for unit in self.units.values():
            record = self._record(unit)
            kept = {
                key: digest
                for key, digest in record.items()
                if not self.inputs.changing(self._restart_inputs(unit) if key == "restart" else unit.reload_on)
            }
            if kept != record:
                self._forgotten[unit.name] = record
                self._write_record(unit, kept)

    def remember_put_back(self) -> None:
        """After a failure: what was known of a unit holds again when none of its inputs stayed changed."""
        for name, record in self._forgotten.items():
            unit = self.units[name]
            if name in self._touched:
                continue  # it came up with new files that were put back later, on behalf of another unit
            inputs = self.inputs.changing(self._restart_inputs(unit) + unit.reload_on)
            if all(step.state in ("not done", "put back", "failed") for step in inputs):
                self._write_record(unit, record)

    def daemon_reload(self) -> None:
        """Let systemd read unit files again that this run changed, once, also those of units that nobody listed."""
        self._daemon_reload()

    # What is, and what is to become of it

    def _read_status(self, names: Optional[List[str]] = None) -> Dict[str, Dict[str, str]]:
        names = names or list(self.units)
        done = self.system.run(["systemctl", "show", "--property", _PROPERTIES, "--", *names])
        if not done.ok:
            raise Failure(f"systemd does not answer: {done.last_lines()}", "is systemd this node's init?")
        blocks = done.out.strip("\n").split("\n\n")
        return {
            name: dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            for name, block in zip(names, blocks)
        }

    def _step(self, unit: WantedUnit) -> Step:
        status = self._status[unit.name]
        step = Step("unit", unit.name)
        made_here = [path for path in self.inputs.content if _defines(path, unit.name)]
        if status["LoadState"] == "not-found" and not made_here:
            if unit.state in ("", "stopped") and not unit.enabled and not unit.masked:
                return step  # what is not there does not run
            if not self.check and not unit.masked:
                raise Failure(
                    f"unit {unit.name} does not exist on this node",
                    "correct its name, or add the package or the unit file that brings it",
                )
            if not unit.masked:
                step.deferred = "the unit does not exist yet"
        if status["LoadState"] in ("error", "bad-setting") and not made_here:
            raise Failure(f"unit {unit.name}: systemd cannot load it ({status['LoadState']})", "mend its unit file")
        if status["LoadState"] == "masked" and unit.state == "started" and unit.masked is not False:
            raise Failure(f"unit {unit.name} is masked", "say `masked: false` if it shall run")
        action = self._action(unit, status)
        before, after = self._differences(unit, status, action)
        step.note = self._why(unit, status, action)
        if after or step.note:
            step.action = "restart" if action in ("restart", "reload") else "update"
            step.before, step.after = before or None, after or None
            step.diff = _difference(unit.name, before, after)
            step.apply = lambda: self._apply(unit, status, action)
            step.confirm = lambda: self._confirm(unit)
            step.undo = lambda: self._recover(unit, status)
            step.along = [
                change
                for change in self.inputs.changing(self._restart_inputs(unit) + unit.reload_on)
                if unit.rollback or change.kind != "artifact"
            ]
        return step

    @staticmethod
    def _differences(
        unit: WantedUnit, status: Mapping[str, str], action: str
    ) -> "tuple[dict[str, str], dict[str, str]]":
        before: Dict[str, str] = {}
        after: Dict[str, str] = {}
        file_state = status.get("UnitFileState", "")
        if unit.masked is not None and unit.masked != (file_state == "masked"):
            before["masked"], after["masked"] = str(not unit.masked).lower(), str(unit.masked).lower()
        if unit.enabled is not None and not unit.masked and unit.enabled != _is_enabled(file_state, unit.enabled):
            before["enabled"], after["enabled"] = file_state or "absent", "enabled" if unit.enabled else "disabled"
        if action in ("start", "stop"):
            before["state"] = status["ActiveState"]
            after["state"] = "active" if action == "start" else "inactive"
        return before, after

    def _action(self, unit: WantedUnit, status: Mapping[str, str]) -> str:
        """What systemd has to do: start, stop, restart, reload, or nothing (an empty text)."""
        running = status["ActiveState"] in ("active", "reloading", "activating")
        if unit.state == "stopped" or unit.masked:
            return "stop" if running or status["ActiveState"] == "deactivating" else ""
        record = self._record(unit)
        inputs = self._restart_inputs(unit)
        # What this run puts right may have been read in the meantime by a unit that somebody restarted by hand.
        current = record.get("restart") == self.inputs.digest(inputs) and not self.inputs.changing(inputs)
        if _runs_once(status):
            # A job: it has done its work when it ended well with the inputs of today.
            done = status.get("Result") == "success" and status["ActiveState"] != "failed" and current
            return "start" if unit.state == "started" and not done else ""
        if not running:
            return "start" if unit.state == "started" else ""
        if not current and (inputs or record):
            return "restart"
        known = record.get("reload") == self.inputs.digest(unit.reload_on)
        if unit.reload_on and (not known or self.inputs.changing(unit.reload_on)):
            return "reload"
        return ""

    def _why(self, unit: WantedUnit, status: Mapping[str, str], action: str) -> str:
        if action in ("restart", "reload"):
            paths = [
                step.target
                for step in self.inputs.changing(self._restart_inputs(unit) if action == "restart" else unit.reload_on)
            ]
            if paths:
                return f"{action}: {', '.join(sorted(paths)[:4])} changes"
            known = self._record(unit)
            return f"{action}: " + (
                "its inputs have changed since it started" if known else "what it runs with is not known"
            )
        if status.get("NeedDaemonReload") == "yes":
            return "daemon-reload: its unit file on disk is newer than what systemd knows"
        return ""

    def _restart_inputs(self, unit: WantedUnit) -> List[str]:
        """Paths whose change means a restart: those named, and the unit's own files as far as this run manages them.

        Of its own files, those named in `reload_on` are left out: a mount must not be unmounted for new options.
        """
        own = [path for path in [*self.inputs.content, *self.inputs.removed] if _defines(path, unit.name)]
        return sorted({*unit.restart_on, *(path for path in own if not _matches(path, unit.reload_on))})

    # What it runs with

    def _record_path(self, unit: WantedUnit) -> str:
        return os.path.join(self.system.state_dir, f"{unit.name}.json")

    def _record(self, unit: WantedUnit) -> Dict[str, Any]:
        try:
            with open(self._record_path(unit), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def _write_record(self, unit: WantedUnit, record: Mapping[str, Any]) -> None:
        path = self._record_path(unit)
        try:
            write_atomically(path, json.dumps(record).encode())
        except OSError as error:
            raise Failure(
                f"unit {unit.name}: what it runs with cannot be noted in {path}: {error.strerror}",
                "make room, or make the file system writable",
            ) from error

    def _remember(self, unit: WantedUnit) -> None:
        record = {
            "restart": self.inputs.digest(self._restart_inputs(unit)),
            "reload": self.inputs.digest(unit.reload_on),
        }
        self._write_record(unit, record)

    # Making it so

    def _apply(self, unit: WantedUnit, status: Mapping[str, str], action: str) -> None:
        self._daemon_reload()
        if unit.masked is not None and unit.masked != (status.get("UnitFileState") == "masked"):
            self._systemctl("mask" if unit.masked else "unmask", unit)
        if unit.check and action in ("start", "restart", "reload"):
            done = self._run(unit, unit.check)
            if not done.ok:
                raise Failure(f"unit {unit.name}: {unit.check!r} rejects the new files: {done.last_lines()}", _MEND)
        file_state = status.get("UnitFileState", "")
        if unit.enabled is not None and not unit.masked and unit.enabled != _is_enabled(file_state, unit.enabled):
            self._systemctl("enable" if unit.enabled else "disable", unit)
        if not action:
            return
        self._touched.append(unit.name)
        self._since = time.time()
        # A reload that the unit does not know (CanReload=no) becomes a restart.
        self._systemctl("reload-or-restart" if action == "reload" else action, unit)
        if action == "stop":
            return
        if action != "start":
            self.restarted.append(unit.name)
        self._wait(unit)
        if unit.name not in self._settling:
            self._remember(unit)

    def _daemon_reload(self, again: bool = False) -> None:
        if self._daemon_reloaded and not again:
            return
        of_units = any(_is_unit_file(path) for path in self.inputs.changed_paths())
        if of_units or again or any(status.get("NeedDaemonReload") == "yes" for status in self._status.values()):
            done = self.system.run(["systemctl", "daemon-reload"])
            if not done.ok:
                raise Failure(f"systemd cannot read its units again: {done.last_lines()}", _MEND)
        self._daemon_reloaded = True

    def _run(self, unit: WantedUnit, command: str, timeout: float = 60) -> Completed:
        try:
            return self.system.run(command, timeout)
        except Failure as failure:
            raise Failure(f"unit {unit.name}: {failure.cause}", failure.next_step) from failure

    def _systemctl(self, verb: str, unit: WantedUnit) -> None:
        done = self.system.run(["systemctl", verb, "--", unit.name], timeout=_START_TIMEOUT)
        if not done.ok:
            raise self._did_not(unit, verb, done.last_lines(2))

    def _wait(self, unit: WantedUnit) -> None:
        """Wait until the unit is up, and ready if it has a probe.

        Raises:
            Failure: when it ends, fails, or is not ready in time.
        """
        deadline = time.monotonic() + unit.timeout
        said = ""
        while True:
            status = self._must_run(unit)
            if _runs_once(status) and status["ActiveState"] == "inactive":
                return
            if status["ActiveState"] in ("active", "reloading"):
                if not unit.ready:
                    if status.get("Type") in _SIMPLE:
                        # systemd goes on counting the restarts of a unit that it was starting over and over.
                        self._settling[unit.name] = (time.monotonic() + _SETTLE, status.get("NRestarts"))
                    return
                done = self._run(unit, unit.ready, max(1.0, deadline - time.monotonic()))
                if done.ok:
                    return
                said = f"{unit.ready!r} says: {done.last_lines()}"
            if time.monotonic() > deadline:
                raise self._did_not(
                    unit, f"get ready within {unit.timeout:g} s", said or f"it is {status['ActiveState']}"
                )
            time.sleep(_POLL)

    def _must_run(self, unit: WantedUnit) -> Dict[str, str]:
        """The unit's status, unless it has ended.

        Raises:
            Failure: when it has failed, or is being started again by systemd.
        """
        status = self._read_status([unit.name])[unit.name]
        if status["ActiveState"] == "failed" or status["SubState"] == "auto-restart":
            raise self._did_not(unit, "come up", f"it is {status['ActiveState']} ({status.get('Result', '')})")
        return status

    def _confirm(self, unit: WantedUnit) -> None:
        """See that a service that counts as started at once is still there after a moment; all of them share it."""
        if unit.name not in self._settling:
            return
        settled, restarts = self._settling[unit.name]
        time.sleep(max(0.0, settled - time.monotonic()))
        status = self._must_run(unit)
        if status["ActiveState"] not in ("active", "reloading") or status.get("NRestarts") != restarts:
            raise self._did_not(unit, "stay up", f"it is {status['ActiveState']} ({status.get('Result', '')})")
        self._remember(unit)

    def _did_not(self, unit: WantedUnit, what: str, cause: str) -> Failure:
        self.system.run(["journalctl", "--sync"])
        journal = self.system.run(
            [
                "journalctl",
                "--unit",
                unit.name,
                "--lines",
                str(_JOURNAL_LINES),
                f"--since=@{int(self._since)}",
                "--no-pager",
            ]
        )
        lines = journal.out.strip() if journal.ok else "no journal can be read"
        return Failure(f"unit {unit.name} did not {what}: {cause}; its last journal lines:\n{lines}\n", _MEND)

    def _recover(self, unit: WantedUnit, status: Mapping[str, str]) -> None:
        """Bring the unit back to what it was, now that its old files are back."""
        self._daemon_reload(again=True)
        if unit.enabled and not _is_enabled(status.get("UnitFileState", ""), True):
            self.system.run(["systemctl", "disable", "--", unit.name])
        if unit.name in self._touched:
            was_running = status["ActiveState"] in ("active", "reloading")
            self.system.run(["systemctl", "reset-failed", "--", unit.name])
            verb = "restart" if was_running else "stop"
            done = self.system.run(["systemctl", verb, "--", unit.name], _START_TIMEOUT)
            if was_running and not done.ok:
                raise Failure(f"it does not come up with the old files either: {done.last_lines(2)}")
            self._touched.remove(unit.name)


_MEND = "mend what the role puts there and run again; the message says what was put back"


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(path == pattern or (pattern.endswith("/") and path.startswith(pattern)) for pattern in patterns)


def _on_disk(pattern: str) -> List[str]:
    """Files at a path, or below it when it ends with a slash. Links are followed, what is not there is left out."""
    if not pattern.endswith("/"):
        return [pattern] if os.path.isfile(pattern) else []
    found = []
    for base, folders, names in os.walk(pattern):
        folders[:] = [name for name in folders if not is_temporary(name)]
        found += [os.path.join(base, name) for name in names if not is_temporary(name)]
    return [path for path in found if os.path.isfile(path)]


def _is_unit_file(path: str) -> bool:
    return path.startswith(tuple(f"{directory}/" for directory in UNIT_DIRECTORIES))


def _defines(path: str, unit: str) -> bool:
    """Whether a path is the file of a unit, of the template that it is an instance of, or a drop-in of one of these."""
    if not _is_unit_file(path):
        return False
    stem, _at, instance = unit.partition("@")
    names = {unit, f"{stem}@{os.path.splitext(instance)[1]}"} if instance else {unit}
    folder, name = os.path.split(path)
    return name in names or (folder.endswith(".d") and os.path.basename(folder)[:-2] in names)


def _is_enabled(file_state: str, wanted: bool) -> bool:
    """Whether a unit starts at boot, by systemd's word for it; a unit that cannot be enabled counts as wanted."""
    if file_state in ("static", "indirect", "generated", "transient", "alias"):
        return wanted
    return file_state.startswith(("enabled", "linked"))


def _runs_once(status: Mapping[str, str]) -> bool:
    return status.get("Type") == "oneshot" and status.get("RemainAfterExit") != "yes"


def _difference(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Optional[Dict[str, str]]:
    if not after:
        return None
    return {"before_header": name, "after_header": name, "before": _lines(before), "after": _lines(after)}


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{key}: {value}\n" for key, value in values.items())
