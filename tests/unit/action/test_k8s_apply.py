# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where `k8s_apply` runs: in the controller's process when the module would run beside it, else as the module."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec
from ansible_collections.banking.platform.plugins.module_utils.kube.wait import Report
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "a", "namespace": "n"},
    "stringData": {"p": "rosebud"},
}
ARGUMENTS = {"component": "demo", "objects": [SECRET], "api_key": "a-token", "host": "https://127.0.0.1:1"}


class Called:
    """A call, and where it ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.told: tuple[dict[str, Any], set[str]] = ({"changed": False, "failed": False, "warnings": []}, set())
        self.options: dict[str, Any] = {}
        self.delegated: str | None = None
        self.environment: list[Any] = []
        self.become = self.transport = ""
        monkeypatch.setattr(execute, "execute", self._here)

    def _here(
        self, options: dict[str, Any], check: bool, with_diff: bool, report: Report
    ) -> tuple[dict[str, Any], set[str]]:
        self.ran.append("here")
        report(["Deployment n/a: 0 of 2 replicas available"], 40)
        self.options = {**options, "check": check, "with_diff": with_diff}
        return self.told

    def run(self, arguments: dict[str, Any] | None = None, **variables: Any) -> dict[str, Any]:
        action = make_action("k8s_apply", arguments or ARGUMENTS, **variables)
        action._task.check_mode, action._task.diff = True, False
        action._task.delegate_to, action._task.environment = self.delegated, self.environment
        action._remove_tmp_path = lambda *_arguments, **_options: None
        if self.transport:
            action._connection = SimpleNamespace(
                transport=self.transport, become=None, _shell=SimpleNamespace(tmpdir=None)
            )
        if self.become:
            action._connection.become = self.become
        action._execute_module = lambda **_options: self.ran.append("module") or {"changed": False}
        return dict(action.run(task_vars=variables))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    return Called(monkeypatch)


HERE: dict[str, Any] = {"ansible_python_interpreter": sys.executable}


def test_beside_the_controller_it_runs_in_its_process_with_its_options_complete(called: Called) -> None:
    called.run(**HERE)
    assert called.ran == ["here"]
    assert spec.unpack(called.options["packed"]) == [SECRET]
    assert (called.options["check"], called.options["with_diff"]) == (True, False)
    assert called.options.keys() >= spec.APPLY.keys()


def test_there_it_says_what_it_waits_for(called: Called, capsys: pytest.CaptureFixture[str]) -> None:
    called.run(**HERE)
    assert "demo: waiting for 1 object(s), 40 s left: Deployment n/a: 0 of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "variables"),
    [
        ({}, {}),
        ({}, {"ansible_python_interpreter": "/usr/bin/python3"}),
        ({"transport": "ssh"}, HERE),
        ({"become": "sudo"}, HERE),
        ({"environment": [{"K8S_AUTH_KUBECONFIG": "/elsewhere"}]}, HERE),
        ({"delegated": "bastion"}, {**HERE, "ansible_delegated_vars": {"bastion": {}}}),
    ],
)
def test_anywhere_else_it_is_a_module(called: Called, setting: dict[str, Any], variables: dict[str, Any]) -> None:
    for name, value in setting.items():
        setattr(called, name, value)
    called.run(**variables)
    assert called.ran == ["module"]


def test_a_host_that_it_is_delegated_to_has_its_own_python(called: Called) -> None:
    called.delegated = "localhost"
    called.run(ansible_python_interpreter="/usr/bin/python3", ansible_delegated_vars={"localhost": HERE})
    assert called.ran == ["here"]


def test_what_must_not_be_seen_is_masked_there_too(called: Called) -> None:
    called.told = ({"failed": True, "msg": "rosebud is not base64, a-token is no right", "warnings": []}, {"rosebud"})
    result = called.run(**HERE)
    assert result["failed"]
    assert "rosebud" not in str(result)
    assert "a-token" not in str(result)
    assert "is not base64" in result["msg"]


def test_options_are_checked_there_too(called: Called) -> None:
    result = called.run({**ARGUMENTS, "wayt": True}, **HERE)
    assert (called.ran, result["failed"]) == ([], True)
    assert "wayt" in result["msg"]
    result = called.run({**ARGUMENTS, "state": "perhaps"}, **HERE)
    assert "value of state must be one of" in result["msg"]
