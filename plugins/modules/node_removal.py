#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_removal
short_description: See whether a node may be taken out of the cluster
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Refuses a name that the inventory does not have, the only control-plane node and the only worker, a node that cannot
    be reached unless it is said to be lost, and a lost node that answers.
  - Reaches no host, so it may run for one that cannot be reached.
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
  name:
    description: The node's name.
    type: str
    required: true
  reachable:
    description: Whether Ansible reaches it.
    type: bool
    required: true
  lost:
    description: Whether somebody said that it will never come back.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See whether it may go
  banking.platform.node_removal:
    name: worker-a1
    reachable: true
"""

RETURN = r"""
control_plane:
  description: Whether it is a control-plane node.
  returned: success
  type: bool
etcd:
  description: Whether it is a member of etcd.
  returned: success
  type: bool
afterwards:
  description: What is left to be done by hand.
  returned: success
  type: list
  elements: str
  sample: ["Take worker-a1 out of hosts.yml (groups node, worker, zone_a), and its host_vars."]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""
