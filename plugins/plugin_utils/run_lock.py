# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells a run from all others; and giving its lock back, by Ansible's own way to the host that keeps it."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import context

_MOST_SECONDS = 60
# Options of ansible-playbook that say how a host is reached and what decrypts its variables; `ansible` has them too.
_LISTS = {"inventory": "--inventory", "vault_ids": "--vault-id", "vault_password_files": "--vault-password-file"}
_TEXTS = {
    "remote_user": "--user",
    "private_key_file": "--private-key",
    "connection": "--connection",
    "become_method": "--become-method",
    "become_user": "--become-user",
    "become_password_file": "--become-password-file",
    "connection_password_file": "--connection-password-file",
}


def this_run() -> str:
    """What tells this ansible-playbook process from all others: its controller, its number and when it was started."""
    parent = multiprocessing.parent_process()
    pid = parent.pid if parent and parent.pid else os.getpid()
    return f"{platform.node()}/{pid}/{started(pid)}"


def started(pid: int) -> str:
    """When a process was started, in ticks since the machine was; empty when there is none.

    Source: proc(5), /proc/pid/stat, field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def give_back(host: str, run: str, extra_vars: Mapping[str, Any]) -> str:
    """Give the lock back. Returns why that was not possible, or nothing.

    Args:
        host: keeps the lock.
        run: holds it.
        extra_vars: of the run, which may say how the host is reached; they go into a file that only this user can read.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump({key: value for key, value in extra_vars.items() if _is_plain(value)}, file)
        file.flush()
        command = [str(Path(sys.executable).with_name("ansible")), host, *_options(), "--become"]
        command += ["--extra-vars", f"@{file.name}", "--module-name", "banking.platform.run_lock"]
        command += ["--args", json.dumps({"state": "free", "run": run})]
        # `ansible` loads no callbacks but the one that writes.
        quiet = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "false"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False,
                stdin=subprocess.DEVNULL, env=os.environ | quiet,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
    return "" if done.returncode == 0 else " ".join((done.stdout or done.stderr).split())[-300:]


def _options() -> Iterator[str]:
    cli = context.CLIARGS
    for key, option in _LISTS.items():
        for value in cli.get(key) or ():
            yield from (option, str(value))
    for key, option in _TEXTS.items():
        if value := cli.get(key):
            yield from (option, str(value))


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
