#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: run_lock
short_description: One run at a time
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Takes the platform's lock on the node that it runs on, in the name of the whole C(ansible-playbook) process, or
    fails and says who holds it, since when, and with which playbook.
  - To take it again in the same run changes nothing. The callback P(banking.platform.record#callback) gives it back at
    the end of the run, after a failure too.
  - The lock of a run on the same controller whose process is no more is taken over, with a warning. Of a run on
    another controller nobody can know this here; its lock is taken with O(break).
attributes:
  check_mode:
    support: full
    description: Takes nothing. A warning says who holds the lock.
  diff_mode:
    support: none
    description: There is nothing to compare.
  platform:
    support: full
    platforms: linux
    description: Linux with Python 3.8 or newer.
options:
  state:
    description: Whether the lock is to be held or given back.
    type: str
    choices: [held, free]
    default: held
  break:
    description: Take the lock from whoever holds it.
    type: bool
    default: false
  run:
    description: The run that asks; the one that this task belongs to by default.
    type: str
  holder:
    description: What the lock says of the run that holds it. Made by the action plugin.
    type: dict
    default: {}
  instead_of:
    description: The run from which the lock is taken. Made by the action plugin.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Take the lock
  banking.platform.run_lock:
    break: "{{ platform_break_lock | default(false) }}"
  delegate_to: "{{ groups[platform_groups.control_plane] | first }}"
  run_once: true
"""

RETURN = r"""
held_by:
  description: The run that holds the lock.
  returned: when it is held
  type: dict
  sample: {run: ops1/4711/83422, user: anna, controller: ops1, playbook: site.yml, since: "2026-11-25T20:15:00Z"}
lock:
  description: For the callback that gives it back, the host that keeps it and the run that took it.
  returned: when it was taken
  type: dict
  sample: {host: cp-a1, run: ops1/4711/83422}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node import run_lock
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "free"], "default": "held"},
            "break": {"type": "bool", "default": False},
            "run": {"type": "str"},
            "holder": {"type": "dict", "default": {}},
            "instead_of": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        if module.check_mode:
            module.exit_json(changed=False, held_by=run_lock.holder())
        if asked["state"] == "free":
            module.exit_json(changed=run_lock.give_back(asked["run"]))
        module.exit_json(changed=False, held_by=run_lock.take(asked["holder"], asked["instead_of"]))
    except Failure as failure:
        module.fail_json(msg=str(failure), next_step=failure.next_step)
    except OSError as error:
        module.fail_json(msg=f"the lock {run_lock.PATH}: {error}", next_step="make the folder writable for root")


if __name__ == "__main__":
    main()
