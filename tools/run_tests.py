# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tests, some programs at the same time, and counts what passed, what failed and what was skipped, and why.

`make check`, `make test` and their parts call it with the names of the parts to run (all by default). Output goes to
tests/output: one log a program, JUnit files, results.json. A part that fails does not keep the next from running; an
interrupt (SIGINT, SIGTERM) ends what runs, takes away the labs of Molecule and of tests/e2e, and counts what was done;
labs of tests/integration go with their next run.
With --require=lab,api a test of those suites that was skipped counts as failed. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from ansible_collections.banking.platform.tools.suites import CLONE, SUITES, suite_of

OUTPUT = CLONE / "tests" / "output"
CACHE = CLONE / ".cache"
# What a failed program said last is shown; the rest is in its log.
SHOWN_LINES = 400
# What runs now, to be ended by an interrupt, after which nothing starts but what cleans up.
RUNNING: set[subprocess.Popen[bytes]] = set()
INTERRUPTED = threading.Event()


@dataclass(frozen=True)
class Case:
    """The outcome of one test: passed, failed or skipped, with the reason of the latter two."""

    suite: str
    name: str
    outcome: str
    seconds: float = 0.0
    reason: str = ""


def call(
    name: str,
    argv: Sequence[str],
    *,
    timeout: int = 1800,
    cwd: Path = CLONE,
    env: Mapping[str, str] | None = None,
    cleans_up: bool = False,
) -> int:
    """Run a program with its output in tests/output/<name>.log, and end its whole process group after timeout seconds.

    Returns:
        Its exit code; 124 after the timeout, 127 when it is not installed, 130 when the run was interrupted before it
        started (unless it cleans up).
    """
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if INTERRUPTED.is_set() and not cleans_up:
        return 130
    print(f"  {name} ...", flush=True)
    start = time.monotonic()
    with open(OUTPUT / f"{name}.log", "w", encoding="utf-8") as log:
        try:
            program = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            log.write(f"{error}\n")
            code = 127
        else:
            RUNNING.add(program)
            code = _wait(program, timeout)
            RUNNING.discard(program)
            if code == 124:
                log.write(f"\nStopped: it did not end within {timeout} s.\n")
    print(f"  {name}: {'ok' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - start:.1f} s", flush=True)
    return code


def _wait(program: subprocess.Popen[bytes], timeout: int) -> int:
    try:
        return program.wait(timeout)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        # Also what the program left running in its group.
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(program.pid, number)
                program.wait(20)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def interrupt() -> None:
    """End what runs, and let nothing start any more."""
    INTERRUPTED.set()
    for program in list(RUNNING):
        try:
            os.killpg(program.pid, signal.SIGTERM)
        except ProcessLookupError:
            continue


def show(name: str) -> None:
    """Print the end of a program's log."""
    lines = (OUTPUT / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) > SHOWN_LINES:
        print(f"    ... {len(lines) - SHOWN_LINES} lines before these are in tests/output/{name}.log")
    for line in lines[-SHOWN_LINES:]:
        print(f"    {line}")


def checked(
    suite: str,
    name: str,
    argv: Sequence[str],
    *,
    timeout: int = 1800,
    cwd: Path = CLONE,
    env: Mapping[str, str] | None = None,
) -> Case:
    """Run a program that is one test: it passes when it exits with 0."""
    start = time.monotonic()
    code = call(name, argv, timeout=timeout, cwd=cwd, env=env)
    seconds = time.monotonic() - start
    if code == 0:
        return Case(suite, name, "passed", seconds)
    if code == 130 and INTERRUPTED.is_set():
        return Case(suite, name, "skipped", seconds, "the run was interrupted before it")
    show(name)
    return Case(suite, name, "failed", seconds, f"exit code {code}, see tests/output/{name}.log")


def read_junit(path: Path) -> Iterator[Case]:
    """Read the test cases of a JUnit file as pytest and ansible-test write it."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):  # noqa: S314 - our own tools wrote it
        classname, name = case.get("classname", ""), case.get("name", "")
        marked = [p.get("value", "") for p in case.iter("property") if p.get("name") == "suite"]
        # A whole file that is skipped has no class, its module's name instead.
        suite = marked[0] if marked else suite_of((classname or name).replace(".", "/"))
        bad = [part for kind in ("failure", "error") for part in case.iter(kind)]
        skips = list(case.iter("skipped"))
        outcome = "failed" if bad else "skipped" if skips else "passed"
        said = next(([part.get("message"), part.text] for part in [*bad, *skips]), [])
        reason = "\n".join([part.strip() for part in said if part][: 2 if bad else 1])
        yield Case(suite, f"{classname}.{name}".strip("."), outcome, float(case.get("time") or 0), reason)


def pytest_cases(name: str, folder: str, *options: str, timeout: int) -> list[Case]:
    """Run pytest on a folder; nothing when it has no tests."""
    if not any((CLONE / folder).rglob("test_*.py")):
        return []
    report = OUTPUT / f"{name}.xml"
    report.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "pytest", folder, "--color=no", "-o", "console_output_style=classic"]
    code = call(name, [*argv, f"--junit-xml={report}", *options], timeout=timeout)
    cases = list(read_junit(report)) if report.exists() else []
    if code not in (0, 5):
        show(name)
        if not any(case.outcome == "failed" for case in cases):
            reason = f"pytest ended with {code}, see tests/output/{name}.log"
            cases.append(Case(suite_of(f"{folder}/"), name, "failed", reason=reason))
    return cases


def git_files() -> list[Path]:
    """Name what belongs to the repository: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CLONE,
        capture_output=True,
        check=True,
    )
    return [Path(name) for name in listed.stdout.decode().split("\0") if name and (CLONE / name).is_file()]


@contextmanager
def copied_collection() -> Iterator[Path]:
    """Copy the repository's files to where ansible-test and ansible-galaxy want a collection; they mistake links."""
    with tempfile.TemporaryDirectory(prefix="banking-platform-") as top:
        root = Path(top, "ansible_collections", "banking", "platform")
        for name in git_files():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CLONE / name, root / name, follow_symlinks=False)
        yield root


def lint() -> list[Case]:
    """Linters, and the syntax of every playbook with every inventory."""
    scripts = [str(path) for path in git_files() if _is_shell(path)]
    # ansible-lint looks into $ANSIBLE_HOME/collections first: what lies in the user's must not shadow the clone.
    own_home = {"ANSIBLE_HOME": str(CACHE / "ansible-lint")}
    ruff = ["ruff", "check", "--quiet", "--output-format=concise", "--cache-dir", str(CACHE / "ruff")]
    cases = [
        checked("lint", "ruff", ruff),
        checked("lint", "yamllint", ["yamllint", "--strict", "--format=parsable", "."]),
        checked("lint", "ansible-lint", ["ansible-lint", "--nocolor", "-q"], env=own_home),
        checked("lint", "shellcheck", ["shellcheck", *scripts]),
        checked("lint", "ansible-config", ["ansible-config", "validate", "--type", "all"]),
        checked("lint", "changelog", ["antsibull-changelog", "lint"]),
    ]
    playbooks = [path.name for path in CLONE.glob("site.yml")]
    playbooks += sorted(str(path.relative_to(CLONE)) for path in CLONE.glob("playbooks/*.yml"))
    for hosts in sorted(CLONE.glob("inventories/*/hosts.yml")):
        inventory = str(hosts.parent.relative_to(CLONE))
        name = f"syntax-{hosts.parent.name}"
        cases.append(checked("lint", name, ["ansible-playbook", "-i", inventory, "--syntax-check", *playbooks]))
    return cases


def _is_shell(path: Path) -> bool:
    if path.suffix == ".j2":
        return False  # a shell's script when it is rendered
    with open(CLONE / path, "rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"bash"))


def types() -> list[Case]:
    """Check types: mypy, from a folder where imports by the collection's name lead to the clone."""
    top = CACHE / "types"
    link = top / "ansible_collections" / "banking" / "platform"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(CLONE, link.parent))
    here = link.relative_to(top)
    argv = ["mypy", "--config-file", f"{here}/pyproject.toml", "--cache-dir", str(CACHE / "mypy")]
    return [checked("types", "mypy", [*argv, f"{here}/plugins", f"{here}/tools", f"{here}/tests"], cwd=top)]


def unit(quick: bool = False) -> list[Case]:
    """Tests that need nothing but Python; without those that are marked as slow, if it has to be quick."""
    return pytest_cases(
        "unit", "tests/unit", "--numprocesses=auto", *(["-m", "not slow"] if quick else []), timeout=1500
    )


def sanity() -> list[Case]:
    """Run ansible-test sanity on a copy, with a home of its own, where what it installs is kept for the next time."""
    home = CACHE / "sanity"
    bootstrap = home / ".ansible" / "test" / "cache"
    bootstrap.mkdir(parents=True, exist_ok=True)
    # ansible-test would download pip's installer; Python brings one. The names are those of ansible-core 2.19 and 2.21.
    for name in ("get_pip_24_2.py", "get_pip_25_2.py"):
        (bootstrap / name).write_text("import ensurepip\n\nensurepip.bootstrap(default_pip=True)\n")
    # The user's own configuration of pip is below ~/.config.
    if not (home / ".config").is_symlink() and (Path.home() / ".config").is_dir():
        (home / ".config").symlink_to(Path.home() / ".config")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    start = time.monotonic()
    with copied_collection() as root:
        argv = ["ansible-test", "sanity", "--python", python, "--junit", "--color", "no"]
        code = call("sanity", argv, cwd=root, env={"HOME": str(home)})
        reports = sorted((root / "tests" / "output" / "junit").glob("*.xml"))
        cases = [replace(case, suite="sanity") for path in reports for case in read_junit(path)]
    # Tests for kinds of files that the collection does not have are no tests.
    cases = [case for case in cases if case.reason != "No tests applicable."]
    failed = [case for case in cases if case.outcome == "failed"]
    for case in failed:
        print(f"    {case.reason}".replace("\n", "\n    "))
    if code and not failed:
        show("sanity")
        cases.append(Case("sanity", "ansible-test", "failed", reason=f"exit code {code}, see tests/output/sanity.log"))
    # The reports have no times.
    return [replace(case, seconds=(time.monotonic() - start) / len(cases)) for case in cases]


def build() -> list[Case]:
    """Build the collection, install it from the archive, call a module of it; and lay out the execution environment."""
    archives = CLONE / "build"
    cases = []
    with copied_collection() as root, tempfile.TemporaryDirectory(prefix="banking-platform-") as top:
        argv = ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(archives)]
        cases.append(checked("build", "collection-build", argv, cwd=root))
        if cases[-1].outcome == "passed":
            archive = max(archives.glob("banking-platform-*.tar.gz"), key=lambda path: path.stat().st_mtime)
            # Only what is installed is in reach: no ansible.cfg, no link in the virtual environment.
            reach = {"ANSIBLE_COLLECTIONS_PATH": top, "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false"}
            argv = ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", "-p", top, str(archive)]
            cases.append(checked("build", "collection-install", argv, cwd=Path(top), env=reach))
            arguments = json.dumps({"name": "smoke", "files": {f"{top}/smoke": {"content": "smoke\n"}}})
            argv = ["ansible", "localhost", "-m", "banking.platform.converge", "-a", arguments]
            cases.append(checked("build", "collection-call", argv, cwd=Path(top), env=reach))
            argv = ["ansible-playbook", "banking.platform.preflight", "-i", str(CLONE / "inventories/prod/hosts.yml")]
            reach["XDG_CACHE_HOME"] = top
            cases.append(checked("build", "collection-record", argv, cwd=Path(top), env=reach))
            kept = list(Path(top).glob("banking.platform/prod-*/runs/2*/run.json"))
            if cases[-1].outcome == "passed" and len(kept) != 1:
                reason = f"a run of an installed playbook left {len(kept)} records, not one"
                cases[-1] = replace(cases[-1], outcome="failed", reason=reason)
        argv = ["ansible-builder", "create", "--file", "execution-environment.yml", "--context", f"{top}/context"]
        cases.append(checked("build", "execution-environment", argv))
    return cases


def integration() -> list[Case]:
    """Tests against real parts."""
    # First what compares the machine before a lab with the machine after it: no other lab is to come or go meanwhile.
    alone = "tests/integration/lab"
    cases = pytest_cases("machine", alone, timeout=1200)
    # Then the folders side by side (tests/conftest.py): most of their time is waiting.
    options = [f"--ignore={alone}", "--numprocesses=2", "--dist=loadscope"]
    return cases + pytest_cases("integration", "tests/integration", *options, timeout=3300)


def molecule(scenario: str = "") -> list[Case]:
    """Every Molecule scenario (or the one named), one at a time."""
    found = sorted(path.parent.name for path in CLONE.glob("molecule/*/molecule.yml"))
    scenarios = [name for name in found if scenario in ("", name)]
    if not scenarios and scenario:
        return [Case("molecule", scenario, "failed", reason=f"no such scenario; there are {', '.join(found)}")]
    missing = SUITES["molecule"]()
    if missing:
        return [Case("molecule", name, "skipped", reason=missing) for name in scenarios]
    # Molecule's own place for state is keyed by the name of the clone's folder, which two clones may share.
    env = {"MOLECULE_EPHEMERAL_DIRECTORY": str(CACHE / "molecule"), "NO_COLOR": "1"}
    cases = []
    nodes = os.environ.get("LAB_NAME", "mol")
    with lab_removed(nodes, ["molecule", "destroy", "--scenario-name", "default"], env):
        for name in scenarios:
            argv = ["molecule", "test", "--scenario-name", name]
            case = checked("molecule", f"molecule-{name}", argv, timeout=1200, env=env)
            cases.append(replace(case, name=name))
    return cases


def lab() -> list[Case]:
    """End-to-end tests on the lab."""
    with lab_removed("lab", ["ansible-playbook", "playbooks/lab_down.yml", "-i", "inventories/lab"]):
        return pytest_cases("lab", "tests/e2e", timeout=3000)


@contextmanager
def lab_removed(name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[None]:
    """Remove the lab that tests left behind, after a failure or an interruption too; one from before stays."""
    from ansible_collections.banking.platform.plugins.module_utils.lab import host

    before = name in host.labs()
    try:
        yield
    finally:
        if name in host.labs() and not before:
            call(f"{name}-down", argv, timeout=300, env=env, cleans_up=True)


PARTS: dict[str, Callable[[], list[Case]]] = {
    "lint": lint,
    "types": types,
    "unit": unit,
    "sanity": sanity,
    "build": build,
    "integration": integration,
    "molecule": molecule,
    "lab": lab,
}


# What runs side by side: in each of these, one part after the other. The first computes, most of the second waits.
LANES = (("lint", "types", "sanity", "build", "molecule"), ("unit", "integration", "lab"))


def run_parts(parts: Mapping[str, Callable[[], list[Case]]]) -> list[Case]:
    """Run parts, lane beside lane.

    Returns:
        The cases, in the order of the parts whatever ended first.
    """
    found: dict[str, list[Case]] = {name: [] for name in parts}

    def run_lane(lane: Sequence[str]) -> None:
        for name in lane:
            if INTERRUPTED.is_set():
                return
            print(f"{name}:", flush=True)
            try:
                found[name] = parts[name]()
            except Exception as error:
                # A fault of this script or of a tool's output: the part failed, the others still run.
                found[name] = [Case(name, name, "failed", reason=f"{type(error).__name__}: {error}")]

    lanes = [[name for name in lane if name in parts] for lane in LANES]
    with ThreadPoolExecutor(len(lanes)) as pool:
        try:
            running = [pool.submit(run_lane, lane) for lane in lanes if lane]
            for lane in wait(running, return_when=FIRST_EXCEPTION).done:
                lane.result()
        except KeyboardInterrupt:
            interrupt()
            found["interrupted"] = [Case("interrupted", "interrupted", "failed", reason="interrupted by the user")]
    return [case for cases in found.values() for case in cases]


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def required(cases: Sequence[Case], suites: Sequence[str]) -> list[Case]:
    """Turn skips of the suites that must not be skipped into failures."""
    return [
        replace(case, outcome="failed", reason=f"skipped, although REQUIRE names {case.suite}: {case.reason}")
        if case.outcome == "skipped" and case.suite in suites
        else case
        for case in cases
    ]


def summary(cases: Sequence[Case]) -> str:
    """Say by suite what ran and how long it took; then what failed; then what was skipped and why; the sum last."""

    def count(outcome: str, suite: str | None = None) -> int:
        return sum(case.outcome == outcome and suite in (None, case.suite) for case in cases)

    lines = ["", f"{'suite':<12}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}"]
    for suite in dict.fromkeys(case.suite for case in cases):
        seconds = sum(case.seconds for case in cases if case.suite == suite)
        counts = "".join(f"{count(outcome, suite):>8}" for outcome in ("passed", "failed", "skipped"))
        lines.append(f"{suite:<12}{counts}{seconds:>9.1f}")
    for case in cases:
        if case.outcome == "failed":
            lines.append(f"failed: {case.suite}: {case.name}: {_first_line(case.reason)}")
    skips: dict[tuple[str, str], int] = {}
    for case in cases:
        if case.outcome == "skipped":
            key = (case.suite, _first_line(case.reason))
            skips[key] = skips.get(key, 0) + 1
    lines += [f"skipped: {suite}: {number}: {reason}" for (suite, reason), number in skips.items()]
    lines.append(f"{count('passed')} passed, {count('failed')} failed, {count('skipped')} skipped")
    return "\n".join(lines)


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "no reason given"


def write_results(cases: Sequence[Case]) -> None:
    """Write every case to results.json and, for CI systems that read it, junit.xml."""
    results = json.dumps([asdict(case) for case in cases], indent=2)
    (OUTPUT / "results.json").write_text(results + "\n", encoding="utf-8")
    root = ElementTree.Element("testsuites")
    for suite in dict.fromkeys(case.suite for case in cases):
        element = ElementTree.SubElement(root, "testsuite", name=suite)
        for case in (case for case in cases if case.suite == suite):
            seconds = f"{case.seconds:.3f}"
            item = ElementTree.SubElement(element, "testcase", classname=suite, name=case.name, time=seconds)
            if case.outcome != "passed":
                kind = "failure" if case.outcome == "failed" else "skipped"
                ElementTree.SubElement(item, kind, message=case.reason)
    ElementTree.ElementTree(root).write(OUTPUT / "junit.xml", encoding="unicode")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts that the command line names; return 1 when anything failed or nothing ran."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--require", default="", help=f"suites of which no test may be skipped: {', '.join(SUITES)}")
    parser.add_argument("--scenario", default="", help="only this Molecule scenario")
    parser.add_argument("--quick", action="store_true", help="without unit tests that are marked as slow")
    options = parser.parse_args(argv)
    suites = [name for name in options.require.replace(",", " ").split() if name]
    if unknown := [name for name in suites if name not in SUITES]:
        parser.error(f"REQUIRE names no suite: {', '.join(unknown)} (there are {', '.join(SUITES)})")
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)} (there are {', '.join(PARTS)})")

    OUTPUT.mkdir(parents=True, exist_ok=True)
    parts = {name: PARTS[name] for name in options.parts or PARTS}
    if options.quick and "unit" in parts:
        parts["unit"] = partial(unit, quick=True)
    if options.scenario and "molecule" in parts:
        parts["molecule"] = partial(molecule, options.scenario)
    cases = run_parts(parts)
    cases = required(cases, suites)
    write_results(cases)
    print(summary(cases), flush=True)
    return 0 if cases and all(case.outcome != "failed" for case in cases) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupted)
    sys.exit(main())
