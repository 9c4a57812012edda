#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: Take a member into etcd, or out of it
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Runs on another member than the one that comes or goes.
  - A member is taken out only when those that stay are a majority without it, and refused with the arithmetic
    otherwise. It may be away itself.
  - A member comes as a learner, without a vote, while all others are healthy. It gets its vote when it has caught up,
    so that a majority never depends on one that has no data yet.
attributes:
  check_mode:
    support: full
    description: Nothing is changed; what would be refused is refused.
  diff_mode:
    support: none
    description: The plan says what changes.
  platform:
    support: full
    platforms: linux
    description: Linux with etcdctl and Python 3.8 or newer.
options:
  name:
    description: Name of the member.
    type: str
    required: true
  peer:
    description: URL by which the other members reach it.
    type: str
    required: true
  state:
    description: V(learner) is a member of any kind, V(voter) one with a vote.
    type: str
    choices: [absent, learner, voter]
    required: true
  timeout:
    description: Seconds that a learner has to catch up.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Take the member out
  banking.platform.etcd_member:
    name: cp-a1
    peer: https://10.20.1.11:2380
    state: absent
  delegate_to: cp-b1
"""

RETURN = r"""
plan:
  description: One step; its note says how many members may fail then.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: etcd member
      target: cp-a1
      action: delete
      before: {members: [cp-a1, cp-b1, cp-c1]}
      note: 2 members are left, of which none may fail
initial_cluster:
  description: What C(ETCD_INITIAL_CLUSTER) has to say on a member that joins.
  returned: success, not in check mode
  type: str
  sample: cp-b1=https://10.20.2.11:2380,cp-c1=https://10.20.3.11:2380
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.etcd_members import STATES, Members
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "peer": {"type": "str", "required": True},
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "timeout": {"type": "float", "default": 600},
        },
        supports_check_mode=True,
    )
    asked = module.params
    members = Members(System(), asked["name"], asked["peer"], module.check_mode, asked["timeout"])
    try:
        members.make(asked["state"])
    except (Failure, OSError) as error:
        result = members.plan.result()
        result["changed"] = members.plan.begun and members.plan.changed
        cause, next_step = getattr(error, "cause", str(error)), getattr(error, "next_step", "")
        module.fail_json(msg=cause, next_step=next_step, **result)
    module.exit_json(initial_cluster=members.initial_cluster, **members.plan.result())


if __name__ == "__main__":
    main()
