# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugins: called in this process with a made-up task, or by a real playbook on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import action_loader, connection_loader
from ansible.template import Templar, trust_as_template

from ansible_collections.banking.platform.plugins.module_utils.node.converge import unpack_tree


def trusted(value: Any) -> Any:
    """A variable as an inventory brings it: its texts may be templates."""
    if isinstance(value, Mapping):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def make_action(plugin: str, arguments: Mapping[str, Any], role: Path | None = None, **variables: Any) -> Any:
    """An action plugin of ours with a task that has these arguments, in a role if one is given."""
    task = Task.load({"name": "Test", f"banking.platform.{plugin}": {}})
    task.args = dict(arguments)
    task._role = role and SimpleNamespace(_role_path=str(role), get_name=lambda **_options: role.name)
    context = PlayContext()
    loader = DataLoader()
    return action_loader.get(
        f"banking.platform.{plugin}",
        task=task,
        connection=connection_loader.get("ansible.builtin.local", context),
        play_context=context,
        loader=loader,
        templar=Templar(loader=loader, variables=variables),
        shared_loader_obj=None,
    )


class Controller:
    """A role "demo" and an inventory in a folder, and converge called with them without a node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.role = folder / "roles" / "demo"
        self.inventory = folder / "inventory"
        self.answers: list[dict[str, Any]] = [{"changed": False, "plan": []}]
        self.sent: list[dict[str, Any]] = []
        self.brought: list[str] = []
        self.variables: dict[str, Any] = {}

    def put(self, path: str, content: str | bytes = "x\n", mode: int = 0o644) -> Path:
        """Make a file below the folder: "roles/demo/templates/root/etc/x.j2"."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)
        return target

    def tree(self, path: str, content: str | bytes = "x\n", mode: int = 0o644) -> Path:
        """Make a file of the role's tree: "etc/x.j2"."""
        return self.put(f"roles/demo/templates/root/{path}", content, mode)

    def run(self, in_role: bool = True, **arguments: Any) -> dict[str, Any]:
        """The action's result."""
        variables = {
            "inventory_hostname": "worker-b2",
            "inventory_dir": str(self.inventory),
            **{key: trusted(value) for key, value in self.variables.items()},
        }
        action = make_action("converge", arguments, self.role if in_role else None, **variables)

        def execute(module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
            self.sent.append(json.loads(json.dumps(module_args)))
            return dict(self.answers[min(len(self.sent), len(self.answers)) - 1])

        def transfer(local: str, remote: str) -> str:
            self.brought.append(local)
            return remote

        action._execute_module = execute
        action._transfer_file = transfer
        action._connection._shell.tmpdir = "/tmp/of-the-node"
        action._remove_tmp_path = lambda *_arguments, **_options: None
        return action.run(task_vars=variables)

    def files(self, **arguments: Any) -> dict[str, bytes]:
        """The rendered tree that the node is sent."""
        result = self.run(**arguments)
        assert not result.get("failed"), result["msg"]
        return unpack_tree(self.sent[-1]["tree"])

    def fail(self, **arguments: Any) -> str:
        """The message of a run that fails before the node hears of it."""
        result = self.run(**arguments)
        assert result["failed"]
        assert self.sent == []
        return result["msg"]


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


class Play:
    """A real ansible-playbook on this machine, with the results of its tasks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, plays: list[dict[str, Any]], *options: str) -> dict[str, Any]:
        (self.folder / "play.yml").write_text(yaml.safe_dump(plays, allow_unicode=True))
        (self.folder / "ansible.cfg").write_text("[defaults]\n")
        hosts = self.folder / "inventory" / "hosts.yml"
        hosts.parent.mkdir(exist_ok=True)
        hosts.write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")
        program = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [program, "play.yml", "-i", "inventory/hosts.yml", *options],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
                "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            },
        )
        assert done.stdout.strip(), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        answer["text"] = done.stdout + done.stderr
        return answer


def results(answer: dict[str, Any], host: str = "localhost") -> dict[str, dict[str, Any]]:
    """Results of a play's tasks by name, without that of their role."""
    return {
        task["task"]["name"].split(" : ")[-1]: task["hosts"][host]
        for play in answer["plays"]
        for task in play["tasks"]
        if host in task["hosts"]
    }


@pytest.fixture
def play(tmp_path: Path) -> Play:
    return Play(tmp_path)
