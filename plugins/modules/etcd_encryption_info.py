#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_encryption_info
short_description: Which keys the objects in etcd are encrypted with
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Reads the objects of some resources in etcd, on one of its members, and counts them by the key that each was written
    with. Fails when some were not written with O(key).
  - Nothing of an object but its name and its key's name is read into the result.
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed. Objects without O(key) are counted only, since a run would write them again.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: linux
    description: Linux with etcdctl and Python 3.8 or newer.
options:
  resources:
    description: Resources as the API server's configuration names them.
    type: list
    elements: str
    default: [secrets]
  provider:
    description: What encrypts.
    type: str
    default: secretbox
  key:
    description: Name of the key that all of them have to be written with; empty for any.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: See that every secret is written with the new key
  banking.platform.etcd_encryption_info:
    key: key-20261126-1f2e3d
"""

RETURN = r"""
counts:
  description: How many objects there are, by resource and by provider and key.
  returned: always
  type: dict
  sample: {secrets: {secretbox key-20261126-1f2e3d: 312}}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.encryption import Stored
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "resources": {"type": "list", "elements": "str", "default": ["secrets"]},
            "provider": {"type": "str", "default": "secretbox"},
            "key": {"type": "str", "default": "", "no_log": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    stored = Stored(System())
    wanted = f"{asked['provider']} {asked['key']}" if asked["key"] and not module.check_mode else ""
    try:
        stored.look(asked["resources"], wanted)
    except (Failure, OSError) as error:
        cause, next_step = getattr(error, "cause", str(error)), getattr(error, "next_step", "")
        module.fail_json(msg=cause, next_step=next_step, counts=stored.counts)
    module.exit_json(changed=False, counts=stored.counts)


if __name__ == "__main__":
    main()
