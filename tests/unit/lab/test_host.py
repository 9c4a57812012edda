# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is put back on the machine when the last lab is gone, and the lab's time."""

from __future__ import annotations

import copy
import functools
import importlib.util
import struct
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host
from ansible_collections.banking.platform.plugins.module_utils.lab.layout import parse
from ansible_collections.banking.platform.plugins.module_utils.lab.network import Network, Target


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """A machine whose state is a dictionary, and which is put back by copying."""
    now: dict[str, dict[str, str]] = {"sysctl": {"vm/x": "1"}}
    monkeypatch.setattr(host, "RUN_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(host, "state", functools.partial(copy.deepcopy, now))
    monkeypatch.setattr(host, "_sysctls", lambda: dict(now["sysctl"]))
    monkeypatch.setattr(host, "_put_back", now.update)
    (tmp_path / "run").mkdir()
    return now


def test_last_lab_puts_back_what_was_before_the_first(machine: dict[str, dict[str, str]]):
    host.enter("one")
    machine["sysctl"]["vm/x"] = "2"
    host.enter("two")
    machine["sysctl"]["vm/x"] = "3"
    assert host.labs() == {"one", "two"}
    assert host.leave("one") == []
    assert machine["sysctl"]["vm/x"] == "3", "the other lab still needs it"
    assert host.leave("two") == []
    assert machine["sysctl"]["vm/x"] == "1"
    assert host.labs() == set()
    assert not Path(host.RUN_DIR).exists()


def test_what_cannot_be_put_back_is_said(machine: dict[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch):
    host.enter("one")
    machine["sysctl"]["vm/x"] = "2"
    monkeypatch.setattr(host, "_put_back", lambda _before: None)
    assert host.leave("one") == ["sysctl vm/x: was '1', is '2'"]


def test_lab_that_is_not_there_leaves_others_alone(machine: dict[str, dict[str, str]]):
    host.enter("one")
    machine["sysctl"]["vm/x"] = "2"
    assert host.leave("never-was") == []
    assert machine["sysctl"]["vm/x"] == "2"


def test_differences_of_every_kind():
    before = {"sysctl": {"a": "1", "b": "2"}, "mounts": ["/", "/gone"], "netns": None, "nftables": ""}
    after = {"sysctl": {"a": "1", "b": "3"}, "mounts": ["/", "/new"], "netns": [], "nftables": "table"}
    assert host.differences(before, after) == [
        "sysctl b: was '2', is '3'",
        "mounts: /gone is gone",
        "mounts: /new is new",
        "netns: was None, is []",
        "nftables: was '', is 'table'",
    ]
    assert host.differences(before, before) == []


def test_only_what_is_listed_may_leave():
    nodes = {"cp-a1": {"zone": "zone-a", "address": "10.77.1.11"}}
    net = Network(parse("my-lab", "10.77.0.0/16", nodes))
    lab = net.lab
    rules = net.egress_rules([Target(lab.machine_address, "tcp", 80), Target(lab.machine_address, "udp", 53)])
    lines = [line.strip() for line in rules.splitlines()]
    assert "elements = { 10.77.0.1 . tcp . 80, 10.77.0.1 . udp . 53 }" in rules
    allowed = lines.index("iifname my-lab-up ip daddr . meta l4proto . th dport @egress accept")
    refused = lines.index("iifname my-lab-up reject with icmp type admin-prohibited")
    assert allowed < refused
    assert "elements" not in net.egress_rules([])


def _time_server():
    path = Path(__file__).parents[3] / "roles" / "lab" / "files" / "time_server.py"
    spec = importlib.util.spec_from_file_location("time_server", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_time_server_answers_as_rfc_5905_says():
    server = _time_server()
    asked = bytes([0o43, 0, 250]) + bytes(37) + b"clients!"
    answer = server.answer(asked, 1000.5, 1000.75)
    assert len(answer) == 48
    leap_version_mode, stratum, poll, precision = struct.unpack("!BBBb", answer[:4])
    assert (leap_version_mode, stratum, poll, precision) == (4 << 3 | 4, 10, 250, -20)
    assert answer[24:32] == b"clients!", "the client's transmit time comes back as origin"
    assert struct.unpack("!II", answer[32:40]) == (1000 + 2208988800, 2**31)
    assert struct.unpack("!II", answer[40:48]) == (1000 + 2208988800, 3 * 2**30)


@pytest.mark.parametrize(
    "request_", [b"", bytes([0o43]) * 47, bytes([0o44]) + bytes(47)], ids=["empty", "short", "server"]
)
def test_time_server_is_silent_to_anything_else(request_: bytes):
    assert _time_server().answer(request_, 1.0, 1.0) == b""
