# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule set of each host, from the data of the inventory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RULES = "etc/nftables.conf"


def names(rules: str) -> set[str]:
    """Names of the rules that accept something."""
    return set(re.findall(r'accept comment "([^"]+)"', rules))


def test_rules_follow_the_roles_of_a_host(node: Callable[..., Any]) -> None:
    control_plane, worker = names(node("cp-a1").file(RULES)), names(node("worker-a1").file(RULES))
    assert {"ssh", "kubelet", "calico_bgp"} <= control_plane & worker
    assert {"kube_apiserver", "etcd_client", "etcd_peer"} <= control_plane - worker
    assert "node_ports" in worker - control_plane


def test_a_rule_for_an_empty_group_opens_nothing(node: Callable[..., Any]) -> None:
    extra = {"from_vault": {"to": ["node"], "from": ["vault"], "tcp": [1234]}}
    assert "1234" not in node(node_firewall_extra=extra).file(RULES)


def test_sources_of_both_families(node: Callable[..., Any]) -> None:
    rules = node("cp-a1").file(RULES)
    assert "ip saddr @worker_ipv4" not in rules
    assert re.search(r"set worker_ipv6 {[^}]*elements = { fd00:2::21 }", rules)
    assert 'ip6 saddr @node_ipv6 tcp dport { 10250 } accept comment "kubelet"' in rules
    assert "@etcd_ipv6" not in rules, "no member of etcd has an address of this family"


def test_an_inventory_adds_replaces_and_drops_rules(node: Callable[..., Any]) -> None:
    extra = {
        "node_ports": {},
        "kubelet": {"to": ["node"], "sources": ["10.9.0.0/16", "fd00:9::/64"], "tcp": [10250]},
        "monitoring": {"to": ["worker"], "interfaces": ["eth1"], "tcp": [9100], "udp": ["9200-9210"]},
        "open": {"to": ["worker"], "tcp": [80]},
    }
    rules = node("worker-a1", node_firewall_extra=extra).file(RULES)
    assert "node_ports" not in names(rules)
    assert 'ip saddr 10.9.0.0/16 tcp dport { 10250 } accept comment "kubelet"' in rules
    assert 'ip6 saddr fd00:9::/64 tcp dport { 10250 } accept comment "kubelet"' in rules
    assert "ip saddr @node_ipv4 tcp dport { 10250 }" not in rules
    assert 'iifname "eth1" udp dport { 9200-9210 } accept comment "monitoring"' in rules
    assert '\n    tcp dport { 80 } accept comment "open"' in rules


def test_only_the_own_table_is_touched(node: Callable[..., Any]) -> None:
    rules = re.sub(r"#.*", "", node().file(RULES))
    assert "flush" not in rules
    assert re.findall(r"^(?:delete )?table (.+?)(?: {)?$", rules, re.MULTILINE) == ["inet platform"] * 3
    assert "hook forward" not in rules


@pytest.mark.skipif(not shutil.which("nft") or os.geteuid() != 0, reason="needs nft and root")
@pytest.mark.parametrize("host", ["cp-a1", "worker-b1"])
def test_nft_loads_the_rules_twice_beside_others(node: Callable[..., Any], tmp_path: Path, host: str) -> None:
    (tmp_path / "rules").write_text(node(host).file(RULES))
    script = "nft add table ip calico && nft -f rules && nft -f rules && nft list ruleset"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table ip calico") == 1
    assert done.stdout.count("hook input") == 1
