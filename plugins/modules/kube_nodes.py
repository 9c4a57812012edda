#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_nodes
short_description: Keep the labels and taints of a cluster's nodes
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Gives nodes the labels and taints of the inventory, all of them in one run. A converged run is one request.
  - An annotation on each node says which labels and taints came from here. Those are removed when they are no longer
    asked for; what others have put on a node stays.
  - A node that is not in the cluster is an error before anything is changed. No node is made or removed.
extends_documentation_fragment:
  - banking.platform.kube
attributes:
  check_mode:
    support: full
    description: The server's dry run; a node that is not in the cluster yet is deferred.
  diff_mode:
    support: none
    description: The plan says what changes.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package kubernetes.
options:
  nodes:
    description: The nodes to look after.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The node's name.
        type: str
        required: true
      labels:
        description: Values by key.
        type: dict
        default: {}
      taints:
        description: Each with C(key), C(effect) and, where it has one, C(value).
        type: list
        elements: dict
        default: []
"""

EXAMPLES = r"""
- name: Label and taint the nodes of a pool
  banking.platform.kube_nodes:
    nodes:
      - name: worker-a1
        labels: {node-role.kubernetes.io/worker: "", pool: database}
        taints: [{key: pool, value: database, effect: NoSchedule}]
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step for each node.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: node, target: worker-a1, action: update, before: {taints: []}, after: {taints: ["pool=db:NoSchedule"]}}
deferred:
  description: In check mode, nodes that are not in the cluster yet.
  returned: always
  type: list
  elements: str
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.nodes import Nodes, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(argument_spec=spec.NODES, supports_check_mode=True)
    params = module.params
    run = None
    try:
        wishes = [
            Wish(node["name"], {key: str(value) for key, value in node["labels"].items()}, node["taints"])
            for node in params["nodes"]
        ]
        # Before the first install nobody answers, and a plan is not to wait for that.
        patience = min(params["retry_for"], 5) if module.check_mode else params["retry_for"]
        run = Nodes(Client(connector(params), retry_for=patience), wishes, module.check_mode)
        run.run()
        module.exit_json(**run.plan.result())
    except Failure as failure:
        result = run.plan.result() if run else {"plan": []}
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)


if __name__ == "__main__":
    main()
