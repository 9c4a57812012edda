#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kube_rewrite
short_description: Write objects again as they are
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Reads all objects of some resources page by page, and puts each back unchanged, with its C(resourceVersion). So they
    are stored anew, with the key that the API servers encrypt with today.
  - An object that was changed in between is read again. One that is gone is left.
  - Nothing of an object but its name comes into the result.
extends_documentation_fragment:
  - banking.platform.kube
attributes:
  check_mode:
    support: full
    description: Objects are counted, none is written.
  diff_mode:
    support: none
    description: Objects stay as they are.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package kubernetes.
options:
  resources:
    description: C(secrets), or C(<resource>.<group>).
    type: list
    elements: str
    default: [secrets]
"""

EXAMPLES = r"""
- name: Write all secrets with the new key
  banking.platform.kube_rewrite:
    resources: [secrets]
  delegate_to: localhost
"""

RETURN = r"""
counts:
  description: How many objects were written, by resource.
  returned: always
  type: dict
  sample: {secrets: 312}
plan:
  description: One step a resource.
  returned: always
  type: list
  elements: dict
  sample: [{kind: objects, target: secrets, action: update, after: {written again: 312}}]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.module_utils.kube.rewrite import Rewrite
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(argument_spec=spec.REWRITE, supports_check_mode=True)
    params = module.params
    writing = None
    try:
        client = Client(connector(params), retry_for=params["retry_for"])
        writing = Rewrite(client, params["resources"], module.check_mode)
        writing.run()
        module.exit_json(counts=writing.counts, **writing.plan.result())
    except Failure as failure:
        result = {**writing.plan.result(), "counts": writing.counts} if writing else {"plan": [], "counts": {}}
        result["changed"] = writing is not None and writing.plan.begun and writing.plan.changed
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)


if __name__ == "__main__":
    main()
