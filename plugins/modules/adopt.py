#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adopt
short_description: Have Argo CD follow the repository, and hand over to it what was delivered without it
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Waits until Argo CD is ready. Then it applies the project and the Application of all Applications, which follow the
    repository of C(platform_git), and the Secret of C(argocd_git_credentials), if any. From then on components reach
    the cluster by Git only.
  - Last, the field manager of Argo CD gets the ownership of what ours has applied of the components in the repository,
    as M(banking.platform.k8s_apply) does with O(banking.platform.k8s_apply#module:state=handed_over). Nothing else of
    those objects is changed, and nothing is deleted. It is no part of an approved plan.
  - Does nothing where C(platform_delivery) is not C(gitops), or where the glass is broken.
attributes:
  check_mode:
    support: full
    description: By the server's own dry run. Before there is a cluster, what is handed over is not known.
  diff_mode:
    support: full
    description: One difference an object.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
"""

EXAMPLES = r"""
- name: Argo CD follows Git
  banking.platform.adopt:
"""

RETURN = r"""
plan:
  description: One step for each object that is applied or handed over, or would be.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: Deployment
      target: cert-manager/cert-manager
      action: update
      before: {manager: banking.platform}
      after: {manager: argocd-controller}
      note: handed over, not changed
"""
