#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Prove what can be proved from the inventory alone
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Looks at zones, addresses and groups of all nodes, and renders the declaration (C(meta/platform.yml)) of every role.
  - Proves that each quorum survives the loss of any zone and of any node, and that all workloads find a place on the
    nodes, also without any one zone.
  - Settings that contradict each other are found too. Everything that is wrong is reported at once.
  - Runs on the controller, connects to no host and changes nothing.
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  groups:
    description: The inventory group of each role of node; the variable C(platform_groups).
    type: dict
    required: true
  zones:
    description: Names of the zones; the variable C(platform_zones).
    type: list
    elements: str
    required: true
  environment:
    description: What to call the inventory in findings; the variable C(platform_environment).
    type: str
    required: true
  release:
    description: The release that is installed; the variable C(platform_release).
    type: str
    required: true
  survives:
    description:
      - What the platform promises to survive; the variable C(platform_survives).
      - Without it V(zone), or V(nothing) where there is only one zone.
    type: str
    choices: [zone, node, nothing]
  budget:
    description: What the environment may ask for in all; the variable C(platform_budget).
    type: dict
    default: {}
  output:
    description: A file on the controller to which everything that is returned is written as JSON.
    type: path
"""

EXAMPLES = r"""
- name: Prove the inventory
  banking.platform.preflight:
    groups: "{{ platform_groups }}"
    zones: "{{ platform_zones }}"
    environment: "{{ platform_environment }}"
    release: "{{ platform_release }}"
"""

RETURN = r"""
findings:
  description: What was found, errors among them.
  returned: always
  type: list
  elements: dict
  sample:
    - severity: error
      subject: worker-a1
      rule: topology
      variable: platform_zone
      cause: the host has no zone
      next_step: set it to one of zone-a, zone-b, zone-c
quorum:
  description: Every declared quorum, its members by zone, and what is left of it after each loss.
  returned: always
  type: list
  elements: dict
capacity:
  description: What is asked for and what is there by zone and resource, whole and without each zone.
  returned: always
  type: dict
topology:
  description: Zones and nodes with their sizes, roles and services.
  returned: always
  type: dict
versions:
  description: Components with version, end of life and licence.
  returned: always
  type: list
  elements: dict
report:
  description: The proofs as lines of text.
  returned: always
  type: list
  elements: str
"""
