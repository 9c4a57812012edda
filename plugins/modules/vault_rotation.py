#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_rotation
short_description: New keys in Vault or OpenBao where the last ones have become too old
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Rotates what is declared and due, keys of transit, intermediates of PKI, the root credentials of databases, and the
    key that encrypts all that is stored. What is not due stays, so that a second run changes nothing.
  - How old a key is, the server tells. Of a database's root credentials it tells nothing, so that the times of their
    rotations are kept in O(record).
  - No secret is read, shown or returned.
extends_documentation_fragment:
  - banking.platform.vault
  - banking.platform.http_session
attributes:
  check_mode:
    support: full
    description: What would be rotated is shown. Before Vault is there or unsealed, all of it is deferred.
  diff_mode:
    support: none
    description: The plan names versions and serial numbers.
  platform:
    support: full
    platforms: all
    description: Runs where urllib3 and cryptography are, on the controller by default.
options:
  max_age:
    description: Days that a key may be in use, where an entry has no O(transit[].max_age) of its own.
    type: float
    default: 90
  only:
    description: Kinds that this run is about, all of them by default.
    type: list
    elements: str
    choices: [transit, pki, database, barrier]
  transit:
    description: Keys of transit engines. What older versions have encrypted can still be read.
    type: list
    elements: dict
    suboptions:
      mount:
        description: Where the engine is mounted.
        type: str
        required: true
      name:
        description: The key's name. Without it, all keys of the engine.
        type: str
      max_age:
        description: Days that this key may be in use.
        type: float
      keep:
        description:
          - How many versions may still decrypt, the newest one among them (C(min_decryption_version)). Without it, all
            of them. What older ones have encrypted has to be written anew before (C(transit/rewrap)).
        type: int
  pki:
    description:
      - Intermediates, each C({mount, signed_by, max_age}). A new key gets a certificate of the engine that C(signed_by)
        names, with the subject, kind of key, constraints and lifetime of the one before, and becomes the default
        issuer. The old issuer stays, for its revocation lists and for who holds a certificate of it, until it ends.
      - Other fields of an entry are those of the API's C(root/sign-intermediate), for the new issuer to differ in.
    type: list
    elements: dict
  database:
    description: Connections whose root password is changed, to one that only Vault knows.
    type: list
    elements: dict
    suboptions:
      mount:
        description: Where the engine is mounted.
        type: str
        required: true
      name:
        description: The connection's name.
        type: str
        required: true
      max_age:
        description: Days that its password may be in use.
        type: float
  barrier:
    description: Whether the key that encrypts all that is stored is rotated too.
    type: bool
    default: false
  record:
    description:
      - A secret of KV version 2, V(kv/platform/rotations), where the time of each rotation of O(database) is kept. A
        connection without one is due.
    type: str
"""

EXAMPLES = r"""
- name: Rotate what is older than a quarter
  banking.platform.vault_rotation:
    url: [https://10.20.1.11:8200, https://10.20.2.11:8200, https://10.20.3.11:8200]
    ca_path: /etc/bank/vault-ca.crt
    transit:
      - {mount: transit, name: payments, keep: 8}
    pki:
      - {mount: pki-services, signed_by: pki}
    database:
      - {mount: database, name: core}
    barrier: true
    record: kv/platform/rotations
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step a key, with versions or serial numbers before and after, and how old it is.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: transit key
      target: transit/payments
      action: update
      before: {version: 3}
      after: {version: 4}
      note: 93 days old, 90 at most
deferred:
  description: In check mode, what could not be looked at yet.
  returned: always
  type: list
  elements: str
measurements:
  description: For each kind, how old its oldest key is now, in days, for the record of the run.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: "age of the oldest key, transit key", value: 0.0, unit: d, goal: "<= 90"}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault import CONNECTION, Vault
from ansible_collections.banking.platform.plugins.module_utils.vault_rotation import KINDS, Rotation


def main() -> None:
    """Run the module."""
    mount = {"mount": {"type": "str", "required": True}, "max_age": {"type": "float"}}
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "max_age": {"type": "float", "default": 90},
            "only": {"type": "list", "elements": "str", "choices": list(KINDS)},
            "transit": {
                "type": "list",
                "elements": "dict",
                "options": {**mount, "name": {"type": "str"}, "keep": {"type": "int"}},
            },
            "pki": {"type": "list", "elements": "dict"},
            "database": {
                "type": "list",
                "elements": "dict",
                "options": {**mount, "name": {"type": "str", "required": True}},
            },
            "barrier": {"type": "bool", "default": False},
            "record": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run = None
    vault = None
    try:
        vault = Vault(module.params)
        run = Rotation(vault, module.params, module.check_mode)
        run.make_plan()
        if not module.check_mode:
            run.plan.apply()
        for warning in run.warnings:
            module.warn(warning)
        result = run.plan.result()
        result["deferred"] = [*run.deferred, *result.get("deferred", [])]
        module.exit_json(**result, measurements=run.measurements())
    except Failure as failure:
        result = run.plan.result() if run else {"plan": []}
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)
    finally:
        if vault is not None:
            vault.close()


if __name__ == "__main__":
    main()
