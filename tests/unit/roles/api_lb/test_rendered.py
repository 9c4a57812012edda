# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configurations of each inventory's nodes, read by the programs that will run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

CLONE = Path(__file__).parents[4]
ROLE = CLONE / "roles" / "api_lb"
ENVIRONMENTS = ["prod", "staging", "development", "lab"]


class Node:
    """One host of an inventory with the role's variables."""

    def __init__(self, environment: str, host: str, **extra: Any) -> None:
        loader = DataLoader()
        manager = InventoryManager(loader=loader, sources=[str(CLONE / "inventories" / environment)])
        variables = VariableManager(loader=loader, inventory=manager)
        values = {
            **loader.load_from_file(str(ROLE / "defaults" / "main.yml"), trusted_as_template=True),
            **variables.get_vars(host=manager.get_host(host)),
            **loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True),
            **extra,
        }
        values["hostvars"] = HostVars(inventory=manager, variable_manager=variables, loader=loader)
        self.templar = Templar(loader=loader, variables=values)
        address = self.variable("platform_address")
        values["ansible_facts"] = {"eth0": {"device": "eth0", "ipv4": {"address": address}}, "default_ipv4": {"a": 1}}
        self._renderer = Renderer(self.templar, loader, values, [str(ROLE / "templates")])

    def variable(self, name: str) -> Any:
        """A variable of the role, templated."""
        return self.templar.template(self.templar.available_variables[name])

    def file(self, path: str) -> str:
        """The content of a file of the tree on this host."""
        return self._renderer.content(str(ROLE / "templates" / "root" / f"{path}.j2")).decode()


def haproxy(environment: str, host: str, **extra: Any) -> str:
    """The configuration of HAProxy on a host."""
    return Node(environment, host, **extra).file("etc/haproxy/haproxy.cfg")


def servers(configuration: str) -> dict[str, bool]:
    """API servers by name, and whether they are only taken when the others are gone."""
    found = re.findall(r"^    server (\S+) \S+:6443( backup)?$", configuration, re.MULTILINE)
    return {name: bool(backup) for name, backup in found}


def test_the_own_zone_comes_first() -> None:
    assert servers(haproxy("prod", "worker-b1")) == {"cp-a1": True, "cp-b1": False, "cp-c1": True}
    assert servers(haproxy("prod", "cp-c1")) == {"cp-a1": True, "cp-b1": True, "cp-c1": False}


def test_only_the_control_plane_listens_on_the_virtual_address() -> None:
    assert "    bind 10.20.0.10:8443\n" in haproxy("prod", "cp-a1")
    worker = haproxy("prod", "worker-a1")
    assert re.findall(r"bind (\S+:8443)", worker) == ["127.0.0.1:8443"]


def test_nothing_listens_on_every_address() -> None:
    assert not re.search(r"bind (\*|0\.0\.0\.0|\[::\]|:)", haproxy("prod", "cp-a1"))


@pytest.mark.parametrize("host", ["cp-a1", "worker-a1"])
def test_keepalived_only_where_there_is_an_address_to_hold(host: str) -> None:
    with_address, without = Node("prod", host), Node("prod", host, api_lb_virtual_ip="")
    holds = host == "cp-a1"
    assert ("keepalived" in with_address.variable("__api_lb_packages")) == holds
    assert ("/etc/keepalived/keepalived.conf" in with_address.variable("__api_lb_absent")) != holds
    assert with_address.variable("__api_lb_units")["keepalived.service"]["enabled"] == holds
    assert "keepalived" not in without.variable("__api_lb_packages")
    assert without.variable("__api_lb_units")["keepalived.service"] == {"state": "stopped", "enabled": False}
    assert without.variable("__api_lb_sysctl") == {}


def test_priorities_differ_and_peers_are_the_others() -> None:
    rendered = {name: Node("prod", name).file("etc/keepalived/keepalived.conf") for name in ("cp-a1", "cp-b1", "cp-c1")}
    assert [re.findall(r"priority (\d+)", text) for text in rendered.values()] == [["200"], ["199"], ["198"]]
    peers = re.search(r"unicast_peer {(.*?)}", rendered["cp-b1"], re.DOTALL)
    assert peers
    assert peers[1].split() == ["10.20.1.11", "10.20.3.11"]
    assert all("auth" not in re.sub(r"#.*", "", text) for text in rendered.values())


def test_the_address_is_announced_to_the_routers_of_the_own_zone() -> None:
    node = Node("lab", "cp-b1")
    bird = node.file("etc/bird/bird.conf")
    assert re.findall(r"neighbor (\S+) as (\d+);", bird) == [("10.77.2.1", "64513")]
    assert re.findall(r"export (.*);", bird) == ["where net = 10.77.0.10/32"]
    assert "local 10.77.2.11 port 1790 as 64512;" in bird
    assert "bird2" in node.variable("__api_lb_packages")
    for other in (Node("lab", "worker-b1"), Node("prod", "cp-b1")):
        assert "bird2" not in other.variable("__api_lb_packages")
        assert "/etc/bird/bird.conf" in other.variable("__api_lb_absent")
        assert other.variable("__api_lb_units")["bird.service"] == {"state": "stopped", "enabled": False}


@pytest.mark.skipif(not shutil.which("bird"), reason="needs bird (bindep profile check)")
@pytest.mark.parametrize(("old", "new"), [("", ""), ("hold time", "hold times")])
def test_bird_takes_its_configuration(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "bird.conf").write_text(Node("lab", "cp-a1").file("etc/bird/bird.conf").replace(old, new))
    done = subprocess.run(["bird", "-p", "-c", "bird.conf"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == bool(old), done.stderr


def test_a_node_whose_address_is_on_no_interface_is_an_error_with_its_name() -> None:
    node = Node("prod", "cp-a1")
    node.templar.available_variables["ansible_facts"] = {"lo": {"device": "lo", "ipv4": {"address": "127.0.0.1"}}}
    with pytest.raises(Exception, match=r"no interface of cp-a1 has platform_address 10\.20\.1\.11"):
        node.variable("__api_lb_interface")


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy (bindep profile check)")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_haproxy_takes_its_configuration(environment: str, tmp_path: Path) -> None:
    manager = InventoryManager(loader=DataLoader(), sources=[str(CLONE / "inventories" / environment)])
    for number, host in enumerate(manager.groups["node"].get_hosts()):
        (tmp_path / f"{number}.cfg").write_text(haproxy(environment, str(host.name)))
        done = subprocess.run(
            ["haproxy", "-c", "-f", f"{number}.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("keepalived") or os.geteuid() != 0, reason="needs keepalived and root")
@pytest.mark.parametrize(("old", "new", "said"), [("", "", ""), ("nopreempt", "nopreemptt", "nopreemptt")])
def test_keepalived_is_checked_by_what_it_says(tmp_path: Path, old: str, new: str, said: str) -> None:
    node = Node("prod", "cp-a1")
    (tmp_path / "k.conf").write_text(node.file("etc/keepalived/keepalived.conf").replace(old, new))
    check = node.variable("__api_lb_units")["keepalived.service"]["check"].replace(" -t ", " -t -f k.conf ")
    # It looks for the interface: a network namespace of its own has one.
    script = (
        "ip link add eth0 type veth peer name eth1 && ip address add 10.20.1.11/16 dev eth0 && ip link set eth0 up && "
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script + check], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == bool(said), done.stdout + done.stderr
    assert said in done.stdout
