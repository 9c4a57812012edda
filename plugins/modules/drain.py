#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drain
short_description: Take a node out of service, or put it back
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Cordons a node and evicts its pods, all of them again and again until the deadline. A pod whose disruption budget
    does not allow it yet keeps no other one from going.
  - Pods that may not go without a flag are named before the first one is evicted. Pods of DaemonSets and mirror pods
    stay.
  - When pods are left at the deadline, each is named with the PodDisruptionBudget that holds it and its numbers.
extends_documentation_fragment:
  - banking.platform.kube
attributes:
  check_mode:
    support: full
    description: Nothing is changed; the pods that would go, and the budgets that would hold them now, are named.
  diff_mode:
    support: none
    description: The plan says what changes.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package kubernetes.
options:
  name:
    description: The node's name.
    type: str
    required: true
  state:
    description: V(cordoned) takes no new pods, V(drained) has none left that could go, V(uncordoned) takes pods again.
    type: str
    choices: [drained, cordoned, uncordoned]
    default: drained
  timeout:
    description: How long evictions and terminations may take, in seconds.
    type: float
    default: 300
  grace_period:
    description: How long each pod gets to end, in seconds; what the pod says itself by default.
    type: int
  delete_emptydir_data:
    description: Whether pods may go that lose what is in an emptyDir.
    type: bool
    default: false
  delete_unmanaged:
    description: Whether pods may go that no controller would make anew.
    type: bool
    default: false
  leave:
    description: Label selector of pods that stay.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Drain the node
  banking.platform.drain:
    name: "{{ inventory_hostname }}"
    delete_emptydir_data: true
  delegate_to: localhost

- name: Put it back
  banking.platform.drain:
    name: "{{ inventory_hostname }}"
    state: uncordoned
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: The node, and one step for each pod that goes; a run that failed says in C(state) which ones did.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: node, target: worker-a1, action: update, before: {unschedulable: false}, after: {unschedulable: true}}
    - {kind: pod, target: banking-core/api-7d9f, action: delete}
left:
  description: Pods that O(leave) kept.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.drain import Drain, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_SAME = ("state", "timeout", "grace_period", "delete_emptydir_data", "delete_unmanaged", "leave")


def main() -> None:
    module = AnsibleModule(argument_spec=spec.DRAIN, supports_check_mode=True)
    params = module.params
    draining = None
    try:
        client = Client(connector(params), retry_for=min(params["retry_for"], params["timeout"]))
        draining = Drain(client, Wish(params["name"], **{name: params[name] for name in _SAME}), module.check_mode)
        draining.run()
        module.exit_json(**draining.result())
    except Failure as failure:
        result = draining.result() if draining else {}
        result["changed"] = draining is not None and draining.plan.begun and result["changed"]
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)


if __name__ == "__main__":
    main()
