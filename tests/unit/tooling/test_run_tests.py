# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tools/run_tests.py counts is what happened."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host
from ansible_collections.banking.platform.tools import run_tests, suites
from ansible_collections.banking.platform.tools.run_tests import Case

JUNIT = """<testsuites><testsuite>
  <testcase classname="tests.unit.test_a" name="test_good" time="0.5"/>
  <testcase classname="tests.unit.test_a" name="test_bad"><failure message="assert 1 == 2">long</failure></testcase>
  <testcase classname="tests.unit.test_a" name="test_broken"><error message="fixture">long</error></testcase>
  <testcase classname="tests.unit.test_b" name="test_crd">
    <properties><property name="suite" value="crds"/></properties><skipped message="no CRDs">where</skipped></testcase>
  <testcase classname="" name="tests.e2e.test_c"><skipped message="no qemu">where</skipped></testcase>
</testsuite></testsuites>"""

PASSED, FAILED, SKIPPED = (
    Case("unit", outcome, outcome, 1.0, "why\nmore") for outcome in ("passed", "failed", "skipped")
)


@pytest.fixture(autouse=True)
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the runner writes apart from what the runner that runs these tests writes."""
    monkeypatch.setattr(run_tests, "OUTPUT", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, parts: dict[str, object], *argv: str) -> int:
    """Run main with parts made of lists of cases, or of exceptions to raise."""

    def part(result: object) -> list[Case]:
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, list)
        return result

    monkeypatch.setattr(
        run_tests, "PARTS", {name: (lambda result=result: part(result)) for name, result in parts.items()}
    )
    monkeypatch.setattr(run_tests, "LANES", (tuple(parts),))
    monkeypatch.setattr(run_tests, "INTERRUPTED", threading.Event())
    return run_tests.main(argv)


def test_read_junit(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text(JUNIT)
    assert list(run_tests.read_junit(tmp_path / "x.xml")) == [
        Case("unit", "tests.unit.test_a.test_good", "passed", 0.5),
        Case("unit", "tests.unit.test_a.test_bad", "failed", reason="assert 1 == 2\nlong"),
        Case("unit", "tests.unit.test_a.test_broken", "failed", reason="fixture\nlong"),
        Case("crds", "tests.unit.test_b.test_crd", "skipped", reason="no CRDs"),
        Case("lab", "tests.e2e.test_c", "skipped", reason="no qemu"),
    ]


def test_the_last_line_is_the_sum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, {"a": [PASSED, PASSED], "b": [SKIPPED]}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["skipped: unit: 1: why", "2 passed, 0 failed, 1 skipped"]


def test_a_failure_does_not_keep_the_next_part_from_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, {"a": [FAILED], "b": ValueError("torn"), "c": [PASSED]}) == 1
    out = capsys.readouterr().out
    assert "failed: b: b: ValueError: torn" in out
    assert out.endswith("1 passed, 2 failed, 0 skipped\n")


def test_interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, {"a": [PASSED], "b": KeyboardInterrupt(), "c": [PASSED]}) == 1
    assert capsys.readouterr().out.endswith("1 passed, 1 failed, 0 skipped\n")


def test_every_part_has_its_lane() -> None:
    assert sorted(name for lane in run_tests.LANES for name in lane) == sorted(run_tests.PARTS)


def test_an_interrupt_ends_what_runs_in_every_lane(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], output: Path
) -> None:
    """One lane sleeps, the other is interrupted meanwhile; the lane that slept starts nothing more."""

    def interrupted() -> list[Case]:
        while not run_tests.RUNNING:
            time.sleep(0.01)
        raise KeyboardInterrupt

    parts = {
        "sleeps": lambda: [run_tests.checked("a", "sleeps", ["sleep", "300"])],
        "next": lambda: [run_tests.checked("a", "next", ["true"])],
        "interrupted": interrupted,
    }
    monkeypatch.setattr(run_tests, "PARTS", parts)
    monkeypatch.setattr(run_tests, "LANES", (("sleeps", "next"), ("interrupted",)))
    monkeypatch.setattr(run_tests, "INTERRUPTED", threading.Event())
    assert run_tests.main([]) == 1
    assert "0 passed, 2 failed" in capsys.readouterr().out
    assert not (output / "next.log").exists()
    assert run_tests.call("cleans", ["true"], cleans_up=True) == 0


def test_nothing_ran_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, {"a": []}) == 1


def test_a_required_suite_must_not_be_skipped(monkeypatch: pytest.MonkeyPatch, output: Path) -> None:
    assert run(monkeypatch, {"a": [PASSED, SKIPPED]}, "--require=lab") == 0
    assert run(monkeypatch, {"a": [PASSED, SKIPPED]}, "--require=lab,unit") == 1
    written = json.loads((output / "results.json").read_text())
    assert [case["outcome"] for case in written] == ["passed", "failed"]
    assert "REQUIRE names unit" in written[1]["reason"]
    assert '<failure message="skipped, although' in (output / "junit.xml").read_text()


@pytest.mark.parametrize("argv", [["--require=labs"], ["lints"]])
def test_a_name_that_does_not_exist_is_refused(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, {"a": [PASSED]}, *argv)
    assert "there are" in capsys.readouterr().err


def test_only_the_named_parts_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, {"a": [FAILED], "b": [PASSED]}, "b") == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed, 0 skipped\n")


def test_a_program_that_hangs_is_stopped_with_its_children(output: Path) -> None:
    pid = output / "pid"
    script = f"sleep 300 & echo $! > {pid}; echo waiting; wait"
    assert run_tests.call("hangs", ["sh", "-c", script], timeout=1) == 124
    assert "did not end within 1 s" in (output / "hangs.log").read_text()
    child = Path("/proc", pid.read_text().strip(), "status")
    assert not child.exists() or "zombie" in child.read_text()


def test_a_program_that_is_missing_fails(output: Path) -> None:
    case = run_tests.checked("lint", "absent", ["no-such-program-here"])
    assert (case.outcome, case.reason) == ("failed", "exit code 127, see tests/output/absent.log")


def test_a_failed_program_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    case = run_tests.checked("lint", "fails", [sys.executable, "-c", "print('the cause'); raise SystemExit(3)"])
    assert case.outcome == "failed"
    assert "the cause" in capsys.readouterr().out


def test_scenarios_are_skipped_with_the_reason_where_nodes_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "containerd"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
        (tmp_path / "molecule" / name / "molecule.yml").touch()
    monkeypatch.setattr(run_tests, "CLONE", tmp_path)
    monkeypatch.setitem(suites.SUITES, "molecule", lambda: "no podman")
    assert run_tests.molecule() == [
        Case("molecule", name, "skipped", reason="no podman") for name in ("containerd", "node")
    ]
    assert run_tests.molecule("nod")[0].outcome == "failed"


@pytest.mark.parametrize(
    ("before", "after", "removed"),
    [(set(), {"mol"}, True), (set(), {"other"}, False), ({"mol"}, {"mol"}, False), (set(), set(), False)],
)
def test_a_lab_that_tests_left_behind_is_removed(
    before: set[str], after: set[str], removed: bool, monkeypatch: pytest.MonkeyPatch, output: Path
) -> None:
    seen = iter([before, after])
    monkeypatch.setattr(host, "labs", lambda: next(seen))
    with pytest.raises(KeyboardInterrupt), run_tests.lab_removed("mol", ["true"]):
        raise KeyboardInterrupt
    assert (output / "mol-down.log").exists() == removed


@pytest.mark.parametrize(
    ("path", "suite"),
    [
        ("tests/unit/x/test_y.py", "unit"),
        ("tests/integration/test_y.py", "lab"),
        ("tests/integration/registry/test_y.py", "registry"),
        ("tests/e2e/test_y.py", "lab"),
    ],
)
def test_suite_of_a_folder(path: str, suite: str) -> None:
    assert suites.suite_of(path) == suite


def test_api_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    assert suites.kubernetes_programs() == Path("/usr/local/kubebuilder/bin")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert "holds no kube-apiserver and no etcd: set KUBEBUILDER_ASSETS" in suites.SUITES["api"]()
    for name in ("kube-apiserver", "etcd"):
        (tmp_path / name).touch(mode=0o755)
        os.chmod(tmp_path / name, 0o755)
    assert suites.SUITES["api"]() == ""


def test_crds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATFORM_CRDS", str(tmp_path))
    assert suites.crds_folder() == tmp_path
    monkeypatch.setenv("PLATFORM_CRDS", str(tmp_path / "absent"))
    assert "set PLATFORM_CRDS" in suites.SUITES["crds"]()
