# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data and tree of the role."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.template import trust_as_template

ROLE = Path(__file__).parents[4] / "roles" / "node"
ROOT = ROLE / "templates" / "root"


def load(path: str) -> Any:
    """A YAML file of the role."""
    return yaml.safe_load((ROLE / path).read_text())


def test_every_default_is_specified_and_the_other_way_round() -> None:
    options = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    own = {name for name in options if name.startswith("node_")}
    assert own - {"node_time_sources"} == set(load("defaults/main.yml"))


def test_defaults_of_the_specification_are_the_defaults() -> None:
    options, defaults = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"], load("defaults/main.yml")
    stated = {name: option["default"] for name, option in options.items() if name in defaults and "default" in option}
    assert stated == {name: defaults[name] for name in stated}


@pytest.mark.parametrize("host", ["cp-a1", "worker-b1"])
def test_every_file_renders_and_ends_with_a_newline(node: Callable[..., Any], host: str) -> None:
    tree = node(host).tree()
    assert len(tree) >= 40
    assert [path for path, content in tree.items() if content and not content.endswith("\n")] == []


def test_settings_are_for_files_that_there_are(node: Callable[..., Any]) -> None:
    """A path with a content check must be in the tree; the others only have their modes kept."""
    host = node()
    tree, files = host.tree(), host.variable("__node_files")
    assert [path for path, options in files.items() if "validate" in options and path not in tree] == []
    assert [path for path in host.variable("__node_audit_files") if path not in tree] == []
    assert [path for path in host.variable("__node_no_clock_files") if path not in tree] == []


def test_hosts_resolve_each_other_with_the_own_name_first(node: Callable[..., Any]) -> None:
    lines = [line for line in node("worker-a1").file("etc/hosts").splitlines() if "bank.internal" in line]
    assert lines[0] == "10.1.0.21 worker-a1.bank.internal worker-a1"
    assert sorted(line.split()[2] for line in lines) == ["cp-a1", "cp-b1", "worker-a1", "worker-b1"]
    assert "10.0.0.5 api.bank.internal" in node(node_hosts={"10.0.0.5": ["api.bank.internal"]}).file("etc/hosts")


def test_time_comes_from_the_given_sources_only(node: Callable[..., Any]) -> None:
    config = node().file("etc/chrony/chrony.conf")
    sources = re.findall(r"^(?:server|pool|peer|sourcedir|include|confdir).*", config, re.MULTILINE)
    assert sources == ["server ntp1.bank.internal nts iburst", "server 10.0.0.1 iburst"]


@pytest.mark.parametrize(("host", "hour"), [("cp-a1", "04"), ("worker-b1", "05")])
def test_zones_update_one_after_the_other(node: Callable[..., Any], host: str, hour: str) -> None:
    timer = node(host).file("etc/systemd/system/apt-daily-upgrade.timer.d/10-platform.conf")
    assert f"\nOnCalendar=*-*-* {hour}:00\n" in timer


def test_what_a_node_cannot_do_is_left_out(node: Callable[..., Any]) -> None:
    host = node(platform_unavailable={"features": ["audit_rules", "clock"]})
    assert "auditd.service" not in host.variable("__node_units")
    assert "/etc/audit/auditd.conf" in host.variable("__node_absent")
    assert host.variable("__node_packages_unavailable") == ["auditd"]
    assert 'DAEMON_OPTS="-F 1 -x"' in host.file("etc/default/chrony")
    whole = node()
    assert "/etc/audit/" in whole.variable("__node_units")["auditd.service"]["restart_on"]
    assert "/etc/audit/auditd.conf" not in whole.variable("__node_absent")
    assert 'DAEMON_OPTS="-F 1"' in whole.file("etc/default/chrony")


def test_audit_rules_are_loaded_by_the_unit_of_the_distribution(node: Callable[..., Any]) -> None:
    facts = {"distribution": "Debian", "distribution_major_version": "13", "distribution_version": "13.1"}
    units = node(ansible_facts=facts).variable("__node_units")
    assert units["audit-rules.service"]["restart_on"] == ["/etc/audit/"]
    assert units["auditd.service"]["restart_on"] == ["/etc/audit/auditd.conf"]


def test_an_unknown_distribution_is_named(node: Callable[..., Any]) -> None:
    facts = {"distribution": "Debian", "distribution_major_version": "11", "distribution_version": "11.9"}
    with pytest.raises(AnsibleError, match=r"cp-a1 runs Debian 11\.9, and the role supports Debian-12"):
        node(ansible_facts=facts).variable("__node_ssh_kex")


def test_updates_leave_the_platform_alone(node: Callable[..., Any]) -> None:
    config = node().file("etc/apt/apt.conf.d/50unattended-upgrades")
    assert 'Automatic-Reboot "false"' in config
    assert all(f'"{name}";' in config for name in ("containerd", "kubelet", "etcd", "vault"))
    assert config.count("origin=") == 1


def test_telling_a_node_of_others_brings_what_the_role_brings(node: Callable[..., Any]) -> None:
    """Else the next run of the role would change it again, or restart the firewall."""
    host = node()
    (task,) = yaml.safe_load((ROLE / "tasks" / "peers.yml").read_text())
    asked = task["banking.platform.converge"]
    assert asked["root"] == []
    assert set(asked["files"]) == {"/etc/hosts", "/etc/nftables.conf", *_own_files("nftables.service")}
    firewall = host.templar.template(trust_as_template(asked["files"]["/etc/nftables.conf"]))
    assert {key: value for key, value in firewall.items() if key != "template"} == host.variable("__node_files")[
        "/etc/nftables.conf"
    ]
    templates = [
        firewall["template"],
        *(file["template"] for path, file in asked["files"].items() if path != "/etc/nftables.conf"),
    ]
    assert all((ROLE / "templates" / template).is_file() for template in templates)
    assert host.templar.template(trust_as_template(asked["units"]["nftables.service"]))["restart_on"]


def _own_files(unit: str) -> set[str]:
    return {f"/{path.relative_to(ROOT).as_posix()}" for path in ROOT.rglob("*") if path.parent.name == f"{unit}.d"}
