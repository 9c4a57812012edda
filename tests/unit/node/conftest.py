# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in a temporary folder: real files, a systemd that only answers, and faults where a test wants them."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import errno
import json
import os
import pickle
import shlex
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node import converge as converge_module
from ansible_collections.banking.platform.plugins.module_utils.node import units as units_module
from ansible_collections.banking.platform.plugins.module_utils.node.converge import Converge, pack_tree
from ansible_collections.banking.platform.plugins.module_utils.node.spec import ARGUMENT_SPEC, complete
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Faults and kills at a system call that changes something


class Faults:
    """Counts the calls that change the file system and lets one of them go wrong.

    Python reports each call to audit hooks before it is made; a hook can stay away but not be removed, so there is one.
    """

    CHANGING = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chown", "os.chmod")

    def __init__(self) -> None:
        self.below = ""
        self.calls: list[str] = []
        self._at = 0
        self._act: Callable[[], None] = lambda: None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.below or (event not in self.CHANGING and event != "open"):
            return
        path = arguments[0]
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        # Calls by descriptor (fchown, fchmod) belong to a file that was opened below the folder.
        path = os.fspath(path) if isinstance(path, (str, os.PathLike)) else self.below
        if event == "os.symlink":
            path = os.fspath(arguments[1])
        if not path.startswith(self.below):
            return
        self.calls.append(f"{event} {path}")
        if len(self.calls) == self._at:
            self._act()

    @contextmanager
    def watch(self, below: Path, at: int = 0, act: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
        """Note the changing calls below a folder; before the one with number `at` (from 1), act."""
        self.calls, self._at, self._act, self.below = [], at, act, str(below)
        try:
            yield self.calls
        finally:
            self.below = ""


_FAULTS: list[Faults] = []


@pytest.fixture
def faults() -> Faults:
    """The one counter of changing calls."""
    if not _FAULTS:
        _FAULTS.append(Faults())
    return _FAULTS[0]


def no_space() -> None:
    """What a call on a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_child(function: Callable[[], Any], private_mounts: bool = False) -> Any:
    """Run a function in a forked process and return what it returns; "killed" when it was ended by SIGKILL.

    With private mounts, what it mounts is seen by nobody else and is gone when it ends.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            if private_mounts:
                _private_mounts()
            outcome = (True, function())
        except BaseException:
            outcome = (False, traceback.format_exc())
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    good, value = pickle.loads(said)
    if not good:
        pytest.fail(value)
    return value


def _private_mounts() -> None:
    new_namespace = 0x00020000
    if ctypes.CDLL(None, use_errno=True).unshare(new_namespace) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")


def mount(*arguments: str) -> None:
    """Call mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def private_mounts() -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in a process that may mount without anybody seeing it."""
    if in_child(_may_mount):
        return lambda function: in_child(function, private_mounts=True)
    pytest.skip("no right to mount here: run the tests as root, in a container with CAP_SYS_ADMIN")


def _may_mount() -> bool:
    try:
        _private_mounts()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


# A systemd that only answers


@dataclasses.dataclass
class FakeUnit:
    """A unit as `systemctl show` tells of it, and how it behaves.

    Attributes:
        fails: whether it does not come up; asked at each start with the unit.
        flaps: whether it dies right after it has come up.
        reads: files whose content it runs with from its start on.
    """

    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    file_state: str = "disabled"
    need_reload: bool = False
    type: str = "notify"
    remain: bool = False
    result: str = "success"
    restarts: int = 0
    can_reload: bool = True
    fails: Callable[[], bool] = lambda: False
    flaps: Callable[[], bool] = lambda: False
    reads: tuple[Path, ...] = ()
    runs_with: tuple[str | None, ...] = ()


class FakeSystemd:
    """Answers systemctl and journalctl like systemd 252, from a table of units. It remembers all changing calls."""

    STARTS = ("start", "restart", "reload-or-restart")

    def __init__(self) -> None:
        self.units: dict[str, FakeUnit] = {}
        self.calls: list[str] = []
        self.journal = "Nov 23 07:00:00 node prog[1]: configuration: line 3: bad word"
        self.fail_reload = False

    def __call__(self, program: str, arguments: list[str]) -> Completed:
        if program == "journalctl":
            return Completed(0, self.journal + "\n", "")
        verb, names = arguments[0], arguments[arguments.index("--") + 1 :] if "--" in arguments else []
        if verb == "show":
            return Completed(0, "\n".join(self._show(name) for name in names), "")
        self.calls.append(" ".join([verb, *names]))
        if verb == "daemon-reload":
            if self.fail_reload:
                return Completed(1, "", "Failed to reload daemon: Connection timed out")
            for unit in self.units.values():
                unit.need_reload = False
            return Completed(0, "", "")
        return self._do(verb, names[0])

    def _show(self, name: str) -> str:
        unit = self.units.get(name) or FakeUnit(load="not-found", type="", file_state="")
        service = {
            "Type": unit.type,
            "RemainAfterExit": "yes" if unit.remain else "no",
            "Result": unit.result,
            "NRestarts": unit.restarts,
        }
        every = {
            "Id": name,
            "LoadState": unit.load,
            "ActiveState": unit.active,
            "SubState": unit.sub,
            "UnitFileState": unit.file_state,
            "NeedDaemonReload": "yes" if unit.need_reload else "no",
        }
        shown = {**service, **every} if name.endswith(".service") else every
        return "".join(f"{key}={value}\n" for key, value in shown.items())

    def _do(self, verb: str, name: str) -> Completed:
        unit = self.units.get(name)
        if verb == "mask":
            unit = self.units.setdefault(name, FakeUnit())
            unit.load = unit.file_state = "masked"
            return Completed(0, "", f"Created symlink /etc/systemd/system/{name} -> /dev/null.")
        if unit is None or unit.load == "not-found":
            return Completed(5, "", f"Failed to {verb} {name}: Unit {name} not found.")
        if verb == "unmask":
            unit.load, unit.file_state = "loaded", "disabled"
        elif verb in ("enable", "disable"):
            unit.file_state = f"{verb}d"
        elif verb == "reset-failed":
            unit.active, unit.sub = ("inactive", "dead") if unit.active == "failed" else (unit.active, unit.sub)
        elif verb == "stop":
            unit.active, unit.sub = "inactive", "dead"
        elif unit.load == "masked":
            return Completed(1, "", f"Failed to {verb} {name}: Unit {name} is masked.")
        elif verb == "reload-or-restart" and unit.can_reload and unit.active == "active":
            unit.runs_with = self._read(unit)
        else:
            return self._start(name, unit)
        return Completed(0, "", "")

    def _start(self, name: str, unit: FakeUnit) -> Completed:
        unit.runs_with = self._read(unit)
        unit.restarts = 0
        if unit.fails():
            unit.active, unit.sub, unit.result = "failed", "failed", "exit-code"
            return Completed(1, "", f"Job for {name} failed because the control process exited with error code.")
        unit.result = "success"
        if unit.type == "oneshot":
            unit.active, unit.sub = ("active", "exited") if unit.remain else ("inactive", "dead")
        elif unit.flaps():
            unit.active, unit.sub, unit.restarts, unit.result = "activating", "auto-restart", 1, "exit-code"
        else:
            unit.active, unit.sub = "active", "running"
        return Completed(0, "", "")

    @staticmethod
    def _read(unit: FakeUnit) -> tuple[str | None, ...]:
        return tuple(path.read_text() if path.exists() else None for path in unit.reads)

    def starts(self) -> list[str]:
        """The calls that made a unit read its files again."""
        return [call for call in self.calls if call.startswith(self.STARTS)]


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def time(self) -> float:
        return self.monotonic()

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclasses.dataclass
class FakeSystem(System):
    """This machine, with its own systemd and its own programs beside the real ones."""

    systemd: FakeSystemd = dataclasses.field(default_factory=FakeSystemd)
    programs: dict[str, Callable[[list[str]], Completed]] = dataclasses.field(default_factory=dict)
    ran: list[str] = dataclasses.field(default_factory=list)

    def run(self, command: str | Any, timeout: float = 60) -> Completed:
        argv = shlex.split(command) if isinstance(command, str) else list(command)
        self.ran.append(shlex.join(argv))
        if argv[0] in ("systemctl", "journalctl"):
            return self.systemd(argv[0], argv[1:])
        if argv[0] in self.programs:
            return self.programs[argv[0]](argv[1:])
        return super().run(command, timeout)

    def has_program(self, command: str) -> bool:
        return shlex.split(command)[0] in self.programs or super().has_program(command)


# The node


def wish(tree: Mapping[str, str | bytes] | None = None, **parameters: Any) -> dict[str, Any]:
    """Parameters of the module as the action plugin hands them over."""
    arguments = {key: copy.deepcopy(options.get("default")) for key, options in ARGUMENT_SPEC.items()}
    arguments.update(parameters, name="test")
    arguments["tree"] = pack_tree(
        {path: text if isinstance(text, bytes) else text.encode() for path, text in (tree or {}).items()}
    )
    return complete(arguments)


class Node:
    """A node whose files lie below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "node"
        self.root.mkdir()
        self.system = FakeSystem(
            state_dir=str(self.root / "var/lib/converge"),
            cache_dir=str(self.root / "var/cache"),
            artifact_dir=str(self.root / "opt"),
            proc_sys=str(self.root / "proc/sys"),
            sys_module=str(self.root / "sys/module"),
            lib_modules=str(self.root / "lib/modules/6.1.0"),
            tmp_dir=str(folder),
        )
        self.systemd = self.system.systemd

    def path(self, path: str) -> str:
        """The full path of one on the node: "etc/x"."""
        return f"{self.root}/{path}"

    def put(self, path: str, content: str | bytes = "", mode: int = 0o644) -> Path:
        """Make a file, with its folders."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)
        return target

    def read(self, path: str) -> str | None:
        """The content of a file, None when it is not there."""
        target = self.root / path
        return target.read_text() if target.exists() else None

    def unit(self, name: str, **properties: Any) -> FakeUnit:
        """Give systemd a unit."""
        self.systemd.units[name] = FakeUnit(**properties)
        return self.systemd.units[name]

    def plan(self, check: bool = False, **parameters: Any) -> Converge:
        """A run that has planned. Paths in `tree` and `files` are full paths."""
        run = Converge(wish(**parameters), self.system, check)
        run.make_plan()
        return run

    def run(self, check: bool = False, diff: bool = True, **parameters: Any) -> dict[str, Any]:
        """What the module does, with its result."""
        run = self.plan(check, **parameters)
        if not check:
            run.apply()
        return run.result(diff)

    def fail(self, check: bool = False, **parameters: Any) -> tuple[Failure, dict[str, str]]:
        """A run that has to fail: the failure, and what it says of each step that was to change something."""
        run = Converge(wish(**parameters), self.system, check)
        try:
            run.make_plan()
            if not check:
                run.apply()
        except Failure as failure:
            return failure, {step.target: step.state for step in run.plan.steps if step.state}
        pytest.fail("the run did not fail")

    def listing(self) -> dict[str, tuple[Any, ...]]:
        """Everything on the node: kind, mode, owner, time of change and content by path."""
        found: dict[str, tuple[Any, ...]] = {}
        for base, folders, names in os.walk(self.root):
            for name in [*folders, *names, "."]:
                path = os.path.join(base, name)
                status = os.lstat(path)
                content: Any = None
                if stat.S_ISREG(status.st_mode):
                    content = Path(path).read_bytes()
                elif stat.S_ISLNK(status.st_mode):
                    content = os.readlink(path)
                found[os.path.relpath(path, self.root)] = (
                    oct(status.st_mode), status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns,
                    status.st_ctime_ns, content,
                )  # fmt: skip
        return found

    def leftovers(self) -> list[str]:
        """Temporary files of the reconciler that lie somewhere on the node."""
        return sorted(
            os.path.relpath(os.path.join(base, name), self.root)
            for base, folders, names in os.walk(self.root)
            for name in [*folders, *names]
            if name.startswith(".converge-") or name.endswith(".unpacking")
        )

    def record(self, unit: str) -> Any:
        """What the reconciler has noted that a unit runs with."""
        path = Path(self.system.state_dir, f"{unit}.json")
        return json.loads(path.read_text()) if path.exists() else None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the unit planner."""
    fake = Clock()
    monkeypatch.setattr(units_module, "time", fake)
    return fake


@pytest.fixture
def node(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node with nothing on it."""
    if os.geteuid() != 0:
        pytest.skip("the reconciler acts as root (owners, mounts): run the tests as root")
    made = Node(tmp_path)
    etc = f"{made.root}/etc"
    monkeypatch.setattr(units_module, "UNIT_DIRECTORIES", (f"{etc}/systemd/system", f"{made.root}/lib/systemd/system"))
    real = converge_module.Converge._kernel_files
    monkeypatch.setattr(
        converge_module.Converge,
        "_kernel_files",
        lambda self, name: {made.path(path[1:]): content for path, content in real(self, name).items()},
    )
    return made
