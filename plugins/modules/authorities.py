#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: authorities
short_description: Make the certificate authorities of the platform where there are none
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Makes certificate authorities, shared key pairs and symmetric keys in the folder C(platform_ca_dir) on the
    controller, for M(banking.platform.certificates). What is there is never made anew; one that has ended is refused.
  - Keys are written encrypted only, with Ansible's vault, or with a passphrase where C(platform_ca_passphrase) says
    where one is. A folder that Git would take in is refused.
  - An authority that is missing while hosts already have it is an error. The folder was lost then, or is another one.
attributes:
  check_mode:
    support: full
    description: What is missing is reported, and whether it could be made.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  names:
    description:
      - Authorities. V(bootstrap) signs the others' cross certificates; the bank's own is used where its
        C(bootstrap.crt) and C(bootstrap.key) lie in the folder.
    type: list
    elements: str
    default: []
  key_pairs:
    description: RSA key pairs that nodes share.
    type: list
    elements: str
    default: []
  key_lists:
    description: Lists of symmetric keys, such as those that encrypt secrets in etcd. A new list has one key.
    type: list
    elements: str
    default: []
  in_use:
    description: By host, the names of authorities, key pairs and lists of keys that it already has.
    type: dict
    default: {}
  organization:
    description: Stands in the names of new authorities.
    type: str
    required: true
  days:
    description: How long a new authority is valid.
    type: int
    default: 3650
"""

EXAMPLES = r"""
- name: Make what is missing
  banking.platform.authorities:
    names: [bootstrap, etcd, kubernetes, front-proxy]
    key_pairs: [service-accounts]
    key_lists: [secrets]
    organization: bank.example
  run_once: true
"""

RETURN = r"""
plan:
  description: One step an authority, a key pair or a list of keys.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: authority, target: etcd, action: create, after: {folder: /root/.banking-platform/prod/ca, days: 3650}}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
  sample: correct platform_ca_dir or bring the folder back from its backup
"""
