# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When `packages` has apt run, and with what. With dpkg and apt themselves: the Molecule scenarios of nodes."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.action.conftest import make_action

INSTALLED = "ii :bash\nii :libc6\nii :libc6\nrc :telnet\nhi :held\nun :virtual\n"


class Called:
    """A call, with what dpkg says, and what apt was asked."""

    def __init__(self) -> None:
        self.said = INSTALLED
        self.asked: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"changed": True}
        self.check = False
        self.real = False

    def run(self, *names: str, **options: Any) -> dict[str, Any]:
        action = make_action("packages", {"name": list(names), **options})
        action._task.check_mode = self.check

        def execute(_name: str, module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
            self.asked.append({**module_args, "check": action._task.check_mode})
            return dict(self.answer)

        def command(line: str) -> dict[str, Any]:
            if not self.real:
                return {"stdout": self.said, "rc": 1}
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
            return {"stdout": done.stdout, "rc": done.returncode}

        action._execute_module = execute
        action._low_level_execute_command = command
        return dict(action.run(task_vars={"inventory_hostname": "worker-b2"}))


@pytest.fixture
def called() -> Called:
    return Called()


def test_where_all_are_there_apt_does_not_run(called: Called) -> None:
    result = called.run("bash", "libc6", "held")
    assert (result["changed"], result["missing"], called.asked) == (False, [], [])


def test_what_is_missing_is_installed_and_nothing_else(called: Called) -> None:
    result = called.run("bash", "telnet", "haproxy", "virtual", "telnet")
    assert (result["changed"], result["missing"]) == (True, ["telnet", "haproxy", "virtual"])
    (asked,) = called.asked
    assert (asked["name"], asked["state"]) == (result["missing"], "present")
    assert not {"update_cache", "install_recommends"} & asked.keys()


def test_a_dry_run_has_the_lists_that_it_needs(called: Called) -> None:
    called.check = True
    called.run("haproxy", update_cache=True, recommends=True)
    lists, install = called.asked
    assert (lists["check"], lists["update_cache"], "name" in lists) == (False, True, False)
    assert (install["check"], install["name"], install["install_recommends"]) == (True, ["haproxy"], True)


def test_lists_that_cannot_be_had_end_a_dry_run(called: Called) -> None:
    called.check, called.answer = True, {"failed": True, "msg": "Failed to update apt cache"}
    result = called.run("haproxy", update_cache=True)
    assert (result["failed"], len(called.asked)) == (True, 1)
    assert result["msg"].startswith("packages on worker-b2: haproxy cannot be installed: Failed to update apt cache")


def test_a_failure_names_host_packages_and_what_to_look_at(called: Called) -> None:
    called.answer = {"failed": True, "msg": "No package matching 'haproxy' is available"}
    said = called.run("haproxy")["msg"]
    assert said.startswith("packages on worker-b2: haproxy cannot be installed: No package matching")
    assert "apt-cache policy" in said


@pytest.mark.parametrize("name", ["haproxy=2.6", "a b", "-y", "Bash", "$(id)"])
def test_what_is_no_name_never_reaches_the_node(called: Called, name: str) -> None:
    called.real = True
    result = called.run("bash", name)
    assert (result["failed"], called.asked) == (True, [])
    assert name in result["msg"]


def test_dpkg_itself_is_understood(called: Called) -> None:
    called.real = True
    assert called.run("dpkg", "apt", "no-such-package-anywhere")["missing"] == ["no-such-package-anywhere"]
