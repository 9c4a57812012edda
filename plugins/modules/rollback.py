#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Bring the tree in Git back to an earlier revision
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Makes one new commit on the branch of C(platform_git) that brings the tree, or some components of it, back to what
    it was at an earlier revision. ArgoCD does the rest. History is never rewritten.
  - The next run of C(playbooks/platform.yml) with the same inventory brings back what was rolled back. Correct the
    inventory first.
attributes:
  check_mode:
    support: full
    description: Shows what would change in the tree.
  diff_mode:
    support: full
    description: One difference a file.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  revision:
    description: A commit or tag of the branch's history, or the run that made it (C(Platform-Run) in its message).
    type: str
    required: true
  components:
    description: Components to roll back, all of them by default.
    type: list
    elements: str
    default: []
  remove_components:
    description: Whether components that were not there then may be removed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Bring cert-manager back
  banking.platform.rollback:
    revision: 4f1c2d7
    components: [cert-manager]
"""

RETURN = r"""
plan:
  description: One step for each file that changes or would change.
  returned: success
  type: list
  elements: dict
from:
  description: The branch's commit before.
  returned: success
  type: str
to:
  description: The commit whose tree is brought back.
  returned: success
  type: str
revision:
  description: The new commit.
  returned: when something was changed
  type: str
"""
