#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts off a zone or a node of a lab, and heals it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_fault
short_description: Cut off a zone or a node of a lab, or heal it
version_added: 0.1.0
description:
  - Puts a part of a lab that M(banking.platform.lab) has made into a fault, or heals it.
  - The state is read from the machine each time, so a second run changes nothing, and one fault may follow another.
author:
  - banking.platform contributors (@banking-platform)
options:
  name:
    description: The lab's name.
    type: str
    required: true
  state_dir:
    description: The lab's folder.
    type: path
    required: true
  zone:
    description: The zone that is cut off or healed. Its nodes' own faults stay.
    type: str
  node:
    description: The node that is cut off or healed.
    type: str
  state:
    description: V(down) cuts off, V(up) heals.
    type: str
    choices: [up, down]
    required: true
  fault:
    description:
      - What happens. V(partition) takes away the connection and leaves the carrier up. V(switch) takes the carrier as
        well; for a zone, its nodes don't see each other either. V(power) kills a node, V(stop) shuts it down in good
        order, V(hang) freezes its processes; for a zone, those three mean each of its nodes.
      - The default is V(partition) for a zone and V(power) for a node.
    type: str
    choices: [partition, switch, power, hang, stop]
attributes:
  check_mode:
    description: Can run in check_mode and return changed status without modifying target.
    support: full
  diff_mode:
    description: The plan says what would change; there is nothing more to show.
    support: none
"""

EXAMPLES = r"""
- name: Cut off a zone
  banking.platform.lab_fault:
    name: lab
    state_dir: "{{ playbook_dir }}/../build/lab/lab"
    zone: zone-b
    state: down

- name: Switch a node on again
  banking.platform.lab_fault:
    name: lab
    state_dir: "{{ playbook_dir }}/../build/lab/lab"
    node: worker-b1
    state: up
"""

RETURN = r"""
plan:
  description: The steps, each with kind, target and action, and before and after where something changes.
  type: list
  elements: dict
  returned: always
"""

import json
import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.lab import host, layout, machine, plans
from ansible_collections.banking.platform.plugins.module_utils.lab.nodes import Nodes
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan


def make_plan(params: Dict[str, Any], settings: machine.PodmanSettings) -> Plan:
    """The plan for the module's parameters."""
    nodes = Nodes(params["name"], params["state_dir"], "", settings)
    path = nodes.path("lab.json")
    if not os.path.exists(path):
        raise Failure("it is not up", "bring it up with playbooks/lab.yml")
    with open(path, encoding="utf-8") as file:
        lab = layout.parse(**json.load(file))
    down = params["state"] == "down"
    if params["zone"] is not None:
        return plans.zone_fault(lab, nodes, params["zone"], params["fault"] or "partition", down)
    return plans.node_fault(lab, nodes, params["node"], params["fault"] or "power", down)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state_dir": {"type": "path", "required": True},
            "zone": {"type": "str"},
            "node": {"type": "str"},
            "state": {"type": "str", "choices": ["up", "down"], "required": True},
            "fault": {"type": "str", "choices": ["partition", "switch", "power", "hang", "stop"]},
        },
        mutually_exclusive=[("zone", "node")],
        required_one_of=[("zone", "node")],
        supports_check_mode=True,
    )
    plan = Plan()
    try:
        settings = machine.podman_settings(machine.look())
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
