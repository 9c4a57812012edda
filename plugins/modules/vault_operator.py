#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_operator
short_description: Initialise, unseal, seal, rekey and restore Vault or OpenBao
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - What operators do with a Vault that others configure with M(banking.platform.vault_config).
  - Shares and the root token are returned only when they are encrypted for a PGP key. In clear they are written to
    O(output) and nowhere else, where that is set.
extends_documentation_fragment:
  - banking.platform.vault
  - banking.platform.http_session
attributes:
  check_mode:
    support: full
    description: Nothing is changed. Members that are still to be installed are reported as deferred.
  diff_mode:
    support: none
    description: The plan says what differs.
  platform:
    support: full
    platforms: all
    description: Runs where urllib3 is, on the controller by default.
options:
  state:
    description:
      - V(initialized) once for all members. V(unsealed) for every member, as far as the shares given go. V(sealed) for
        every member. V(stepped_down) hands over from the active member. V(rekeyed) gives new shares where their number
        or threshold differs, or with O(force). V(rotated) makes another encryption key where the last one is older than
        O(max_age). V(restored) puts O(snapshot) in the place of all that is stored, and what was written after it is
        lost; each run does it again.
    type: str
    required: true
    choices: [initialized, unsealed, sealed, stepped_down, rekeyed, rotated, restored]
  shares:
    description:
      - How many shares there are, by default one for each of O(pgp_keys). Recovery shares, where a seal unseals.
    type: int
  threshold:
    description: How many of them it takes.
    type: int
  pgp_keys:
    description: Public PGP keys of the holders, C(file:<path>), an armoured text, or Base64; one for each share.
    type: list
    elements: str
    default: []
  root_token_pgp_key:
    description: Public PGP key that the root token is encrypted for.
    type: str
  output:
    description:
      - File that shares and the root token are written to, as JSON, with mode C(0600), in clear as far as they are not
        encrypted for a PGP key. Never overwritten.
    type: path
  share_references:
    description: Where shares lie, C(file:<path>) or C(env:<name>).
    type: list
    elements: str
    default: []
  share_values:
    description: Shares themselves, from a survey's encrypted variables for example.
    type: list
    elements: str
  member:
    description: For O(state=stepped_down), the URL of the member that must not be active; by default whichever is.
    type: str
  snapshot:
    description: File with a snapshot, for O(state=restored).
    type: path
  force:
    description:
      - New shares, even if their number and threshold stay.
      - With O(state=restored), a snapshot of a Vault that had other keys is taken, too. Unsealing then takes the seal
        or the shares of that one.
    type: bool
    default: false
  max_age:
    description: Days that an encryption key may be in use.
    type: float
    default: 90
"""

EXAMPLES = r"""
- name: Initialise it, with a share for each of three people
  banking.platform.vault_operator:
    state: initialized
    url: [https://10.20.1.11:8200, https://10.20.2.11:8200, https://10.20.3.11:8200]
    ca_path: /etc/bank/vault-ca.crt
    threshold: 2
    pgp_keys: ["file:keys/anna.asc", "file:keys/ben.asc", "file:keys/carla.asc"]
    root_token_pgp_key: "file:keys/anna.asc"
  delegate_to: localhost
  run_once: true

- name: Unseal all members with two shares
  banking.platform.vault_operator:
    state: unsealed
    url: [https://10.20.1.11:8200, https://10.20.2.11:8200, https://10.20.3.11:8200]
    ca_path: /etc/bank/vault-ca.crt
    share_references: ["env:SHARE_ANNA", "env:SHARE_BEN"]
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
plan:
  description: One step a member, or a thing.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: vault, target: "https://10.20.1.11:8200", action: update, before: {sealed: true}, after: {sealed: false}}
deferred:
  description: In check mode, what is still to be installed or initialised.
  returned: always
  type: list
  elements: str
shares:
  description: Shares in the order of O(pgp_keys), each encrypted for its key, in Base64.
  returned: with O(pgp_keys), when there are new ones
  type: list
  elements: str
root_token:
  description: The root token, encrypted for O(root_token_pgp_key), in Base64.
  returned: with O(root_token_pgp_key), after initialisation
  type: str
recovery:
  description: Whether the shares are recovery shares, because a seal unseals.
  returned: after initialisation
  type: bool
progress:
  description: By member, how many shares of how many it has, where it takes more.
  returned: when a member is still sealed
  type: dict
age:
  description: How old the encryption key was, in days.
  returned: with O(state=rotated)
  type: float
sealed:
  description: Members that are sealed, or do not answer.
  returned: after a restore
  type: list
  elements: str
active:
  description: The member that is active now.
  returned: after a step-down
  type: str
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault import CONNECTION, Vault
from ansible_collections.banking.platform.plugins.module_utils.vault_operator import STATES, Operator


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "state": {"type": "str", "required": True, "choices": list(STATES)},
            "shares": {"type": "int"},
            "threshold": {"type": "int"},
            "pgp_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "root_token_pgp_key": {"type": "str", "no_log": False},
            "output": {"type": "path"},
            "share_references": {"type": "list", "elements": "str", "default": []},
            "share_values": {"type": "list", "elements": "str", "no_log": True},
            "member": {"type": "str"},
            "snapshot": {"type": "path"},
            "force": {"type": "bool", "default": False},
            "max_age": {"type": "float", "default": 90},
        },
        required_if=[("state", "restored", ["snapshot"])],
        supports_check_mode=True,
    )
    run = None
    vault = None
    try:
        vault = Vault(module.params)
        run = Operator(vault, module.params, module.check_mode)
        run.make_plan()
        if not module.check_mode:
            run.plan.apply()
        result = run.plan.result()
        result["deferred"] = [*run.deferred, *result.get("deferred", [])]
        module.exit_json(**result, **run.output)
    except Failure as failure:
        result = run.plan.result() if run else {"plan": []}
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)
    finally:
        if vault is not None:
            vault.close()


if __name__ == "__main__":
    main()
