#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_gate
short_description: Wait until nodes are ready and disruption budgets are satisfied
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - The gate between two steps of a change that goes from zone to zone. Fails with everything that is not as it should
    be, each with its cause.
extends_documentation_fragment:
  - banking.platform.kube
attributes:
  check_mode:
    support: full
    description: Looks once, and not at O(version), since nothing was changed.
  diff_mode:
    support: none
    description: Nothing is ever changed.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package kubernetes.
options:
  nodes:
    description: Names of nodes that have to be ready.
    type: list
    elements: str
    required: true
  version:
    description: Version that their kubelets have to have; any by default.
    type: str
    default: ""
  budgets:
    description: Whether every PodDisruptionBudget has to have the healthy pods that it asks for.
    type: bool
    default: true
  ignored_budgets:
    description: Those that need not, as C(namespace/name).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for it; V(0) looks once.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: The zone is whole again
  banking.platform.node_gate:
    nodes: [worker-a1, worker-a2]
    version: 1.29.14
  delegate_to: localhost
"""

RETURN = r"""
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.health import Health, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_WISH = ("nodes", "version", "budgets", "ignored_budgets", "timeout")


def main() -> None:
    module = AnsibleModule(argument_spec=spec.NODE_GATE, supports_check_mode=True)
    params = module.params
    wish = Wish(**{name: params[name] for name in _WISH})
    if module.check_mode:
        wish.version, wish.timeout = "", 0
    try:
        Health(Client(connector(params), retry_for=params["retry_for"]), wish).wait()
    except Failure as failure:
        module.fail_json(msg=failure.cause, next_step=failure.next_step)
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
