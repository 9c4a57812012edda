#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: upgrade_plan
short_description: See which nodes are to be upgraded, and whether that is one step upwards
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Names the nodes that do not run O(version) yet. Since that is read from the nodes, an upgrade that was interrupted
    is gone on with.
  - Refuses to leave out a minor, to go back, and to begin while a node of the inventory is in no cluster.
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
  version:
    description: The Kubernetes that all are to run.
    type: str
    required: true
  nodes:
    description: By host, what M(banking.platform.kubeadm_info) said of it.
    type: dict
    required: true
  servers:
    description: The control-plane hosts, in the order of their upgrade.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See what is to be done
  banking.platform.upgrade_plan:
    version: 1.29.14
    nodes: {cp-a1: {member: true, control_plane: 1.28.15, kubelet: 1.28.15}}
    servers: [cp-a1]
  register: upgrade
"""

RETURN = r"""
behind:
  description: The nodes that it is still to be done on, control plane first.
  returned: success
  type: list
  elements: str
  sample: [cp-a1]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""
