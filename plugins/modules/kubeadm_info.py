#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm_info
short_description: What a host is in a Kubernetes cluster, and in which version
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Reads it from the host alone, so it can be told when no API server answers.
  - Refuses a host on which Kubernetes cannot run.
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: linux
    description: Linux with Python 3.8 or newer.
options:
  memory:
    description: Least memory of the host, in MiB.
    type: int
    default: 0
  swap:
    description: Whether the host may swap.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Look at the host
  banking.platform.kubeadm_info:
  register: info
"""

RETURN = r"""
member:
  description: Whether its kubelet has an identity in a cluster.
  returned: success
  type: bool
control_plane:
  description: Version of its API server, as its static pod has it; empty on workers.
  returned: success
  type: str
  sample: "1.28.15"
kubelet:
  description: Version of its kubelet; empty where none is installed.
  returned: success
  type: str
  sample: "1.28.15"
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.kubeadm import COMPONENTS, Kubeadm, Wish, version_of
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(
        argument_spec={"memory": {"type": "int", "default": 0}, "swap": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    system = System()
    run = Kubeadm(system, Wish("worker", "", **module.params), check=True)
    try:
        run.refuse_unfit()
    except Failure as error:
        module.fail_json(msg=error.cause, next_step=error.next_step)
    try:
        told = system.run(["/usr/local/bin/kubelet", "--version"]).out
    except Failure:
        told = ""
    kubelet = re.search(r"v([0-9.]+)", told)
    module.exit_json(
        changed=False,
        member=run.is_member(),
        control_plane=version_of(run.manifest(COMPONENTS[0])),
        kubelet=kubelet[1] if kubelet else "",
    )


if __name__ == "__main__":
    main()
