# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a run, rendered again: which run, where to, and what is said when there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible import context
from ansible.utils.context_objects import CLIArgs

from .conftest import make_action


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder of a run."""
    return kept(tmp_path / "prod" / "runs" / "20261123T112000Z", "site.yml")


def kept(folder: Path, playbook: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        json.dumps({"schema": 1, "playbook": playbook, "outcome": "ok", "inventory": "prod"})
    )
    return folder


def evidence(check: bool = False, **arguments: Any) -> dict[str, Any]:
    action = make_action("evidence", arguments)
    action._task.check_mode = check
    return action.run(task_vars={})


@pytest.mark.parametrize("named", ["", "run.json"])
def test_a_run_that_is_named(run: Path, named: str) -> None:
    result = evidence(run=str(run / named))
    page = run / "report.html"
    assert (result["changed"], result["run"], result["path"]) == (True, str(run), str(page))
    assert result["size"] == page.stat().st_size
    assert "<h1>prod</h1>" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o600
    assert not evidence(run=str(run))["changed"]


def test_check_mode_writes_nothing(run: Path) -> None:
    assert evidence(check=True, run=str(run))["changed"]
    assert [path.name for path in run.iterdir()] == ["run.json"]


def test_the_page_may_go_elsewhere(run: Path, tmp_path: Path) -> None:
    assert evidence(run=str(run), dest=str(tmp_path / "audit.html"))["path"] == str(tmp_path / "audit.html")
    assert (tmp_path / "audit.html").is_file()
    assert not (run / "report.html").exists()


def test_the_last_run_of_the_inventory_that_is_not_this_one(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(run.parent / "20261124T000000Z", "evidence.yml")
    kept(tmp_path / "staging" / "runs" / "20261125T000000Z", "site.yml")
    monkeypatch.setenv("PLATFORM_RECORD_FOLDER", str(tmp_path))
    told = CLIArgs({"args": ("playbooks/evidence.yml",), "inventory": ("inventories/prod",)})
    monkeypatch.setattr(context, "CLIARGS", told)
    assert evidence()["run"] == str(run)


def test_no_record_is_said_with_the_next_step(tmp_path: Path) -> None:
    result = evidence(run=str(tmp_path))
    assert result["failed"]
    assert result["msg"].startswith(f"{tmp_path} holds no record of a run - next: name the folder of a run")


def test_a_folder_that_is_not_there_is_said_with_the_next_step(run: Path, tmp_path: Path) -> None:
    result = evidence(run=str(run), dest=str(tmp_path / "none" / "page.html"))
    assert result["failed"]
    assert "the page cannot be written: " in result["msg"]
    assert result["next_step"]
