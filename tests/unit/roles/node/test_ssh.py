# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may log in, and with which keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

CONFIG = "etc/ssh/sshd_config"
USERS = [
    {"name": "ada", "sudo": True, "authorized_keys": ["ssh-ed25519 AAAA1 a", "ssh-ed25519 AAAA2 b"]},
    {"name": "bob", "state": "present", "authorized_keys": ["ssh-ed25519 AAAA3 c"]},
    {"name": "eve", "state": "absent", "authorized_keys": ["ssh-ed25519 AAAA4 d"]},
]


def allowed(config: str) -> list[str]:
    """Names after AllowUsers."""
    return re.findall(r"^AllowUsers (.*)$", config, re.MULTILINE)[0].split()


def test_the_user_that_ansible_is_stays_allowed(node: Callable[..., Any]) -> None:
    config = node(node_users=USERS).file(CONFIG)
    assert allowed(config) == ["ada", "bob", "deploy"]
    assert config.endswith("Match User deploy\n  AuthorizedKeysFile .ssh/authorized_keys\n")
    assert "PermitRootLogin no" in config


def test_a_managed_user_has_managed_keys_only(node: Callable[..., Any]) -> None:
    config = node(node_users=USERS, ansible_user="ada").file(CONFIG)
    assert allowed(config) == ["ada", "bob"]
    assert "Match" not in config


def test_root_keeps_its_keys_while_ansible_is_root(node: Callable[..., Any]) -> None:
    config = node(ansible_user="root").file(CONFIG)
    assert "PermitRootLogin prohibit-password" in config
    assert "root" in allowed(config)


def test_keys_are_files_of_their_own(node: Callable[..., Any]) -> None:
    files = node(node_users=USERS).variable("__node_files")
    assert files["/etc/ssh/authorized_keys/ada"] == {"content": "ssh-ed25519 AAAA1 a\nssh-ed25519 AAAA2 b\n"}
    assert "/etc/ssh/authorized_keys/bob" in files
    assert "/etc/ssh/authorized_keys/eve" not in files


def test_only_some_become_root(node: Callable[..., Any]) -> None:
    sudoers = node(node_users=USERS).file("etc/sudoers.d/10-platform")
    assert re.findall(r"^(\w+) ALL=", sudoers, re.MULTILINE) == ["ada"]


def test_algorithms_follow_the_distribution(node: Callable[..., Any]) -> None:
    new = {"distribution": "Debian", "distribution_major_version": "13", "distribution_version": "13.1"}
    old = {"distribution": "Ubuntu", "distribution_major_version": "22", "distribution_version": "22.04"}
    assert "KexAlgorithms mlkem768x25519-sha256," in node(ansible_facts=new).file(CONFIG)
    assert "RequiredRSASize" in node(ansible_facts=new).file(CONFIG)
    assert "RequiredRSASize" not in node(ansible_facts=old).file(CONFIG)
