#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: encryption_keys
short_description: Move the rotation of an encryption key one step on
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Changes a list of keys that M(banking.platform.authorities) has made. New data takes the first key, and every key of
    the list can read. Where a rotation stands follows from the list alone, so one that was interrupted is gone on with.
  - A step that was done before changes nothing. A step that a server is not ready for is refused.
  - The key that is dropped stays in C(<name>.retired.keys), encrypted like the list. Backups from before need it.
attributes:
  check_mode:
    support: full
    description: The step is shown, and refused as it would be.
  diff_mode:
    support: none
    description: The plan names the keys.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  name:
    description: The list's name.
    type: str
    required: true
  state:
    description:
      - V(added) makes a new key and puts it second, unless a rotation is under way. V(promoted) puts it first, which
        needs that every server has it. V(dropped) takes the old one out, which needs that every server encrypts with
        the new one.
    type: str
    choices: [added, promoted, dropped]
    required: true
  loaded:
    description: By host, the names of the keys that its server has loaded, in order, as
      M(banking.platform.kube_encryption_info) tells them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Make a new key
  banking.platform.encryption_keys:
    name: secrets
    state: added
    loaded: {cp-a1: [key-20261126-1f2e3d], cp-b1: [key-20261126-1f2e3d]}
"""

RETURN = r"""
plan:
  description: One step, with the names of the keys before and after.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: keys
      target: secrets
      action: update
      before: {keys: [key-20261126-1f2e3d]}
      after: {keys: [key-20261126-1f2e3d, key-20270226-4a5b6c]}
keys:
  description: Names of the keys that the list then has. The first one encrypts.
  returned: success
  type: list
  elements: str
  sample: [key-20261126-1f2e3d, key-20270226-4a5b6c]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
  sample: bring the list to them first
"""
