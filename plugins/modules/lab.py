#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a lab up or removes it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Bring up a lab of nodes on this machine, or remove it
version_added: 0.1.0
description:
  - Makes nodes on one Linux machine that behave like bare servers in routed zones. Each has systemd, an address of its
    own and an ssh server.
  - Nodes are Podman containers of an image that is made from the machine's own package sources.
  - A lab that is up is healed; nodes that are there keep what they have become.
author:
  - banking.platform contributors (@banking-platform)
options:
  state:
    description: Whether the lab is up or leaves no trace.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The prefix of everything that the lab makes. Labs of different names and supernets stand side by side.
    type: str
    required: true
  supernet:
    description: The lab's network. Each zone has a /24 of it, and the first /24 is the lab's own.
    type: str
    required: true
  nodes:
    description:
      - By name, the C(zone), C(address), C(disks) (each C(name) and C(size_mb)) and C(networks) of each node. The
        router sends what is for such a network to the node.
    type: dict
    default: {}
  release:
    description: Code name of the nodes' Debian release.
    type: str
    default: bookworm
  preload:
    description: Packages that the image brings along as archives, so that nodes need not fetch them; not installed.
    type: list
    elements: str
    default: []
  egress:
    description: Addresses that nodes may reach beside resolvers and package mirrors, as C(address:port), by TCP.
    type: list
    elements: str
    default: []
  state_dir:
    description: The lab's folder, with its keys, its known_hosts and the nodes' disks.
    type: path
    required: true
  assets:
    description: The folder with the nodes' entrypoint and the router's time server.
    type: path
  purge_image:
    description: Whether to remove the node images too.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check_mode and return changed status without modifying target.
    support: full
  diff_mode:
    description: The plan says what would change; there is nothing more to show.
    support: none
"""

EXAMPLES = r"""
- name: Two nodes in two zones
  banking.platform.lab:
    name: two
    supernet: 10.99.0.0/16
    state_dir: "{{ playbook_dir }}/../build/lab/two"
    assets: "{{ role_path }}/files"
    nodes:
      cp-a1: {zone: zone-a, address: 10.99.1.11}
      worker-b1: {zone: zone-b, address: 10.99.2.21, disks: [{name: data0, size_mb: 200}]}
"""

RETURN = r"""
plan:
  description: The steps, each with kind, target and action.
  type: list
  elements: dict
  returned: always
"""

from ipaddress import IPv4Address
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.lab import host, layout, machine, plans
from ansible_collections.banking.platform.plugins.module_utils.lab.network import Target
from ansible_collections.banking.platform.plugins.module_utils.lab.nodes import Nodes
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan


def make_plan(params: Dict[str, Any], settings: machine.PodmanSettings) -> Plan:
    """The plan for the module's parameters."""
    nodes = Nodes(params["name"], params["state_dir"], params["assets"] or "", settings)
    if params["state"] == "absent":
        return plans.down(params["name"], nodes, params["supernet"], params["purge_image"])
    lab = layout.parse(params["name"], params["supernet"], params["nodes"])
    egress = [
        Target(IPv4Address(address), "tcp", int(port))
        for address, port in (item.split(":") for item in params["egress"])
    ]
    return plans.up(lab, nodes, plans.Wishes(params["release"], params["preload"], egress))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str", "required": True},
            "supernet": {"type": "str", "required": True},
            "nodes": {"type": "dict", "default": {}},
            "release": {"type": "str", "default": "bookworm"},
            "preload": {"type": "list", "elements": "str", "default": []},
            "egress": {"type": "list", "elements": "str", "default": []},
            "state_dir": {"type": "path", "required": True},
            "assets": {"type": "path"},
            "purge_image": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ("assets",))],
        supports_check_mode=True,
    )
    plan = Plan()
    try:
        settings = machine.require(machine.look())
        with host.lock():
            plan = make_plan(module.params, settings)
            if not module.check_mode:
                plan.apply()
    except Failure as error:
        next_step = f" Next: {error.next_step}." if error.next_step else ""
        module.fail_json(msg=f"lab {module.params['name']}: {error.cause}.{next_step}", **plan.result())
    module.exit_json(**plan.result())


if __name__ == "__main__":
    main()
