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
  - Looks at zones, addresses and groups of all nodes of the inventory and reports everything that is wrong at once.
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
"""

EXAMPLES = r"""
- name: Prove the inventory
  banking.platform.preflight:
    groups: "{{ platform_groups }}"
    zones: "{{ platform_zones }}"
    environment: "{{ platform_environment }}"
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
      variable: platform_zone
      cause: the host has no zone
      next_step: set it to one of zone-a, zone-b, zone-c
"""
