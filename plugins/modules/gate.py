#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Wait until everything that a wave has delivered is ready
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Looks at the objects of all enabled components of a wave in the cluster and waits until each is ready, by the
    rules of M(banking.platform.k8s_apply). While it waits, it says every 20 s what is left.
  - Where C(platform_delivery) is C(gitops), it has Argo CD look at the repository and waits until the components'
    Applications are synchronised and healthy. One that a run past Git (C(platform_break_glass)) has held back goes on
    from there.
attributes:
  check_mode:
    support: full
    description: Nothing was delivered that could be waited for. It says which Applications would go on.
  diff_mode:
    support: none
    description: What it changes is in the plan.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  wave:
    description: The wave.
    type: int
    required: true
  components:
    description: The components to wait for; by default all that are enabled and declare the wave.
    type: list
    elements: str
  timeout:
    description: How long to wait for each component, in seconds.
    type: float
    default: 900
"""

EXAMPLES = r"""
- name: The certificates' wave is ready
  banking.platform.gate:
    wave: 4
"""

RETURN = r"""
components:
  description: The components that were waited for.
  returned: success
  type: list
  elements: str
  sample: [cert-manager]
plan:
  description: One step for each Application that goes on, or would.
  returned: success
  type: list
  elements: dict
"""
