# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a run: one holder at a time, whoever comes when."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.action import run_lock as action
from ansible_collections.banking.platform.plugins.module_utils.node import run_lock
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "run.lock")


def _run(name: str) -> dict[str, Any]:
    return {"run": name, "user": "anna"}


def test_is_taken_once_and_again_by_the_same_run(path: str) -> None:
    assert run_lock.holder(path) is None
    assert run_lock.take(_run("a"), path=path) is None
    assert run_lock.take(_run("a"), path=path) is None
    assert run_lock.holder(path) == _run("a")
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_is_refused_to_another_run_with_the_holders_name(path: str) -> None:
    run_lock.take(_run("a"), path=path)
    assert run_lock.take(_run("b"), path=path) == _run("a")
    assert run_lock.holder(path) == _run("a")


def test_is_taken_from_the_run_that_was_named_only(path: str) -> None:
    run_lock.take(_run("a"), path=path)
    assert run_lock.take(_run("b"), instead_of="c", path=path) == _run("a")
    assert run_lock.take(_run("b"), instead_of="a", path=path) is None
    assert run_lock.holder(path) == _run("b")
    assert sorted(os.listdir(os.path.dirname(path))) == ["run.lock", "run.lock.guard"]


def test_is_given_back_by_its_holder_only(path: str) -> None:
    run_lock.take(_run("a"), path=path)
    assert not run_lock.give_back("b", path)
    assert run_lock.give_back("a", path)
    assert not run_lock.give_back("a", path)


@pytest.mark.parametrize("old", ["", "dead"])
def test_of_many_at_once_one_gets_it(path: str, old: str) -> None:
    if old:
        run_lock.take(_run(old), path=path)
    barrier = threading.Barrier(16)
    got: list[str] = []

    def ask(name: str) -> None:
        barrier.wait()
        if run_lock.take(_run(name), instead_of=old, path=path) is None:
            got.append(name)

    threads = [threading.Thread(target=ask, args=(f"run-{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [(run_lock.holder(path) or {})["run"]]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null"])
def test_that_is_damaged_is_an_error(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_text(text)
    with pytest.raises(Failure, match="is damaged"):
        run_lock.take(_run("a"), path=path)


class TestTheHolder:
    def test_is_alive_as_long_as_its_process_is(self) -> None:
        assert not action.is_dead({"run": action.this_run()})

    def test_is_dead_when_its_number_is_another_process_now(self) -> None:
        controller, pid, ticks = action.this_run().rsplit("/", 2)
        assert action.is_dead({"run": f"{controller}/{pid}/{int(ticks) - 1}"})
        assert action.is_dead({"run": f"{controller}/4194305/1"})

    @pytest.mark.parametrize("run", ["elsewhere/1/2", "", "x", "a/b/c/d"])
    def test_of_another_controller_may_live(self, run: str) -> None:
        assert not action.is_dead({"run": run})

    def test_is_told_by_name(self) -> None:
        told = action.told(
            {"run": "ops1/7/9", "user": "anna", "controller": "ops1", "playbook": "site.yml", "since": "2"}
        )
        assert told == "site.yml of anna on ops1 since 2 (ops1/7/9)"
