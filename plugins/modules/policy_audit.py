#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_audit
short_description: Prove that nothing violates a policy that is about to be enforced
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Reads what Gatekeeper's audit has found about constraints that only watch so far, and fails with each object that
    would be refused from now on. A constraint that the audit has not looked at yet is waited for.
  - Constraints that are enforced already are not looked at.
  - Where C(platform_delivery) is C(render), no cluster is asked.
attributes:
  check_mode:
    support: full
    description: It changes nothing. Without a cluster it is skipped; what the audit has not seen is not waited for.
  diff_mode:
    support: none
    description: It changes nothing.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  constraints:
    description: Names of the constraints that are about to be enforced.
    type: list
    elements: str
    required: true
  accept:
    description: Whether violations are only said in a warning.
    type: bool
    default: false
  timeout:
    description: How long to wait for the audit, in seconds.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Nothing would be refused
  banking.platform.policy_audit:
    constraints: [non-root, image-tags]
"""

RETURN = r"""
violations:
  description: What would be refused, as far as the audit has written it down.
  returned: always
  type: list
  elements: dict
  contains:
    constraint:
      description: Its name.
      type: str
    object:
      description: Kind, namespace and name.
      type: str
    message:
      description: What is wrong with it.
      type: str
"""
