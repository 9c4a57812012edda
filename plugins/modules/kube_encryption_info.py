#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_encryption_info
short_description: Which keys an API server encrypts with
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Waits until the API server of a control-plane node has loaded its configuration of encryption at rest as it lies on
    the node, and names its keys. Servers look for a changed file once a minute.
  - Nothing of a key but its name is read into the result.
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
  timeout:
    description: Seconds that the server has to load the file.
    type: float
    default: 240
"""

EXAMPLES = r"""
- name: See which keys the API server has loaded
  banking.platform.kube_encryption_info:
  register: encryption
"""

RETURN = r"""
provider:
  description: What encrypts; empty where nothing is encrypted.
  returned: success
  type: str
  sample: secretbox
keys:
  description: Names of the keys. The first one encrypts, all of them can read.
  returned: success
  type: list
  elements: str
  sample: [key-20261126-1f2e3d]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.encryption import Loaded
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule({"timeout": {"type": "float", "default": 240}}, supports_check_mode=True)
    try:
        provider, keys = Loaded(System(), module.params["timeout"]).look()
    except (Failure, OSError) as error:
        module.fail_json(msg=getattr(error, "cause", str(error)), next_step=getattr(error, "next_step", ""))
    module.exit_json(changed=False, provider=provider, keys=keys)


if __name__ == "__main__":
    main()
