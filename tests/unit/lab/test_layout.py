# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's layout: what the inventory says, and every way in which it can be wrong."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.lab.layout import Lab, parse
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

NODES: dict[str, dict[str, Any]] = {
    "cp-a1": {"zone": "zone-a", "address": "10.77.1.11"},
    "worker-b1": {"zone": "zone-b", "address": "10.77.2.21", "disks": [{"name": "data0", "size_mb": 64}]},
}


def lab(**other: Any) -> Lab:
    return parse(**{"name": "lab", "supernet": "10.77.0.0/16", "nodes": NODES, **other})


def test_addresses_follow_from_the_inventory():
    made = lab()
    assert [(zone.name, str(zone.network), str(zone.gateway)) for zone in made.zones] == [
        ("zone-a", "10.77.1.0/24", "10.77.1.1"),
        ("zone-b", "10.77.2.0/24", "10.77.2.1"),
    ]
    assert (made.machine_address, made.router_address) == (IPv4Address("10.77.0.1"), IPv4Address("10.77.0.2"))
    assert (made.machine_link, made.router_netns, made.netns("cp-a1")) == ("lab-up", "lab.router", "lab.cp-a1")


def test_survives_being_written_and_read():
    assert parse(**yaml.safe_load(yaml.safe_dump(lab().as_dict()))) == lab()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"name": "a-name-too-long"}, "lab_name 'a-name-too-long'"),
        ({"name": "Lab"}, "lab_name 'Lab'"),
        ({"name": "a.b"}, "lab_name 'a.b'"),
        ({"supernet": "10.77.0.1/16"}, "lab_supernet '10.77.0.1/16'"),
        ({"supernet": "8.8.0.0/16"}, "lab_supernet '8.8.0.0/16'"),
        ({"supernet": "10.77.1.0/24"}, "lab_supernet '10.77.1.0/24'"),
        ({"nodes": {}}, "the inventory's group 'node' is empty"),
        ({"nodes": {"a": {"address": "10.77.1.2"}}}, "a: platform_zone is not set"),
        ({"nodes": {"a": {"zone": "", "address": "10.77.1.2"}}}, "a: platform_zone is not set"),
        ({"nodes": {"a": {"zone": "Zone A", "address": "10.77.1.2"}}}, "a: platform_zone 'Zone A'"),
        ({"nodes": {"a": {"zone": "uplink", "address": "10.77.1.2"}}}, "a: platform_zone 'uplink'"),
        ({"nodes": {"a": {"zone": "z", "address": "a.example"}}}, "a: platform_address 'a.example' is not an IPv4"),
        ({"nodes": {"a": {"zone": "z"}}}, "a: platform_address None is not an IPv4"),
        ({"nodes": {"a": {"zone": "z", "address": "10.78.1.2"}}}, "a: 10.78.1.2 is not in lab_supernet"),
        ({"nodes": {"a": {"zone": "z", "address": "10.77.0.2"}}}, "which is the lab's own"),
        ({"nodes": {"a": {"zone": "z", "address": "10.77.1.1"}}}, "a: 10.77.1.1 is the gateway's address"),
        ({"nodes": {"a": {"zone": "z", "address": "10.77.1.255"}}}, "a: 10.77.1.255 is the gateway's address or no"),
        ({"nodes": {"a-name-much-too-long": {"zone": "z", "address": "10.77.1.2"}}}, "a node's name has up to 15"),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2"}, "b": {"zone": "z", "address": "10.77.1.2"}}},
            "b: 10.77.1.2 is also the address of a",
        ),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2"}, "b": {"zone": "z", "address": "10.77.2.2"}}},
            "b: 10.77.2.2 is not in 10.77.1.0/24, the network of z",
        ),
        (
            {"nodes": {"a": {"zone": "y", "address": "10.77.1.2"}, "b": {"zone": "z", "address": "10.77.1.3"}}},
            "z: 10.77.1.0/24 is also the network of y",
        ),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2", "disks": [{"name": "d/0", "size_mb": 1}]}}},
            "a: lab_disks needs name",
        ),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2", "networks": ["10.244.1.7/24"]}}},
            "a: networks: 10.244.1.7/24 has host bits set",
        ),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2", "networks": ["10.77.128.0/24"]}}},
            "a: networks: 10.77.128.0/24 meets 10.77.0.0/16, which the lab has already",
        ),
        (
            {"nodes": {"a": {"zone": "z", "address": "10.77.1.2", "disks": [{"name": "d0", "size_mb": "1G"}]}}},
            "a: lab_disks needs name",
        ),
    ],
)
def test_wrong_words_are_named(other: dict[str, Any], says: str):
    with pytest.raises(Failure) as caught:
        lab(**other)
    assert says in caught.value.cause
    assert caught.value.next_step


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(Failure) as caught:
        lab(name="X", nodes={"a": {}, "b": {"zone": "z", "address": "nowhere"}})
    for host in ("lab_name", "a: ", "b: "):
        assert host in caught.value.cause
