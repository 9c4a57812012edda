# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the initialisation of a lab's Vault says of the root token: nothing. The rest is in tests/integration/vault."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import yaml

from ansible_collections.banking.platform.tools.suites import CLONE


def test_the_root_token_is_kept_and_not_shown(tmp_path: Path) -> None:
    tasks = yaml.safe_load((CLONE / "roles" / "vault" / "tasks" / "initialise.yml").read_text())
    keep = next(task for task in tasks if task["name"] == "Keep the root token where playbooks find it")
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "vault_init_output": str(tmp_path / "init.json"),
            "__vault_init_token": str(tmp_path / "init.token"),
        },
        "tasks": [keep],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    (tmp_path / "init.json").write_text(json.dumps({"root_token": "hvs.root-token-81c5"}))

    def run(*more: str) -> str:
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", str(tmp_path / "play.yml"), "-vvv", "--diff", *more],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
        )
        assert done.returncode == 0, done.stdout
        assert "hvs.root-token-81c5" not in done.stdout + done.stderr
        return done.stdout

    assert "changed=1" in run("--check")
    assert "changed=1" in run()
    assert (tmp_path / "init.token").read_text() == "hvs.root-token-81c5"
    assert "changed=0" in run()
