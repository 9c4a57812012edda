# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard that refuses what would lock its own session out."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[4] / "roles/node/templates/root/usr/local/libexec/platform/ssh-guard"
ENVIRONMENT = {"SSH_CONNECTION": "192.0.2.7 50000 10.1.0.11 22", "USER": "deploy"}


@pytest.fixture
def guard() -> ModuleType:
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("ssh_guard", str(SCRIPT))
    specification = importlib.util.spec_from_loader("ssh_guard", loader)
    assert specification
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


@pytest.fixture
def session(guard: ModuleType) -> Any:
    """A session of deploy."""
    return guard.Session(ENVIRONMENT)


@pytest.fixture
def sshd(guard: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Make sshd say that it has certain options, and deploy use a certain key."""
    real = guard.run
    keys = tmp_path / "deploy"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    shutil.copy(tmp_path / "key.pub", keys)
    fingerprint = real("ssh-keygen", "-l", "-f", str(keys)).split()[1]

    def prepare(used: str | None = fingerprint, **options: str) -> None:
        wanted = {
            "port": "22",
            "allowusers": "deploy",
            "permitrootlogin": "no",
            "requiredrsasize": "3072",
            "authorizedkeysfile": f"{tmp_path}/%u",
        } | options
        answer = "".join(f"{name} {value}\n" for name, value in wanted.items())
        monkeypatch.setattr(guard, "run", lambda *command: answer if command[0].endswith("sshd") else real(*command))
        monkeypatch.setattr(guard, "key_of_session", lambda session: used)

    return prepare


def test_sessions_are_found_through_sudo(guard: ModuleType) -> None:
    """A child whose environment was cleared, as sudo does it, still finds the session of its parent."""
    child = f"import runpy; print(runpy.run_path({str(SCRIPT)!r})['find_session']({{pid}}))"
    code = (
        "import os, subprocess, sys;"
        f"subprocess.run([sys.executable, '-c', {child.replace('{pid}', 'os.getpid()')!r}"
        ".replace('import runpy', 'import os, runpy')], env={}, check=True)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "deploy from 192.0.2.7 to port 22"


def test_a_local_run_has_no_session(guard: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "find_session", lambda pid: None)
    assert guard.main() == 0


def test_sshd_accepts_what_keeps_the_session(guard: ModuleType, session: Any, sshd: Callable[..., None]) -> None:
    sshd()
    guard.check_sshd(session)
    sshd(used=None)
    guard.check_sshd(session)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"port": "2222"}, "node_ssh_ports"),
        ({"allowusers": "ada bob"}, "node_ssh_users"),
        ({"authorizedkeysfile": "/nonexistent/%u"}, "authorized_keys"),
        ({"used": "SHA256:another"}, "SHA256:another of deploy is not in"),
    ],
)
def test_sshd_refuses_what_would_end_it(
    guard: ModuleType, session: Any, sshd: Callable[..., None], options: dict[str, str], reason: str
) -> None:
    sshd(**options)
    with pytest.raises(ValueError, match=reason):
        guard.check_sshd(session)


def test_sshd_refuses_a_short_key(guard: ModuleType, session: Any, sshd: Callable[..., None], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "rsa")], check=True)
    shutil.copy(tmp_path / "rsa.pub", tmp_path / "deploy")
    sshd(used=None)
    with pytest.raises(ValueError, match="3072 bits"):
        guard.check_sshd(session)
    sshd(used=None, requiredrsasize="2048")
    guard.check_sshd(session)


def test_root_is_refused_where_root_cannot_log_in(guard: ModuleType, sshd: Callable[..., None]) -> None:
    sshd(allowusers="root")
    with pytest.raises(ValueError, match="root could not log in"):
        guard.check_sshd(guard.Session(ENVIRONMENT | {"USER": "root"}))


@pytest.mark.skipif(not shutil.which("nft") or os.geteuid() != 0, reason="needs nft and root")
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({}, ""),
        ({"node_ssh_sources": ["192.0.2.0/24"]}, ""),
        ({"node_ssh_sources": ["198.51.100.0/24"]}, "192.0.2.7 is not in the set ssh_ipv4"),
        ({"node_ssh_ports": [2222]}, "22 is not in the set ssh_ports"),
        ({"node_ssh_ports": [22, 2222]}, ""),
        ({"node_firewall_extra": {"bad": {"to": ["node"], "tcp": ["bad"]}}}, "cannot be loaded"),
    ],
)
def test_firewall_asks_the_rules_themselves(
    guard: ModuleType,
    session: Any,
    node: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, Any],
    reason: str,
) -> None:
    rules = tmp_path / "rules"
    rules.write_text(node(**variables).file("etc/nftables.conf"))
    monkeypatch.setattr(guard, "RULES", str(rules))
    if reason:
        with pytest.raises(ValueError, match=reason):
            guard.check_firewall(session)
    else:
        guard.check_firewall(session)
