#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: data_volumes
short_description: Make encrypted data volumes on empty disks, with their recovery keys in escrow
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Makes each disk a LUKS2 volume with a file system in it, that the node unlocks by itself by Tang servers or its TPM,
    and keeps its lines of C(/etc/crypttab). Mounting is left to M(banking.platform.converge), which takes RV(files) and
    RV(units).
  - A disk that holds anything is refused, with what it holds and the command that would remove it. A volume of its own
    is known by the label and the subsystem field of its LUKS2 header, and never formatted again once it was complete.
  - The recovery key is made on the node, encrypted there to a certificate, and brought to the controller in that form
    only. In clear it is never part of a result, a log, a difference, a command line or a file.
  - What is wanted otherwise of a volume that exists (cipher, file system, way to unlock) is refused, with the command
    that changes it.
attributes:
  check_mode:
    support: full
    description: Nothing is changed. Where the programs are not installed yet, steps are reported as deferred.
  diff_mode:
    support: full
    description: Differences of properties; no content.
  platform:
    support: full
    platforms: linux
    description: Linux with systemd, cryptsetup 2.4 or newer, util-linux, OpenSSL 3 and Python 3.8 or newer.
options:
  volumes:
    description: The volumes of this node.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Up to 31 small letters, digits and underscores. The LUKS label is C(data-<name>).
        type: str
        required: true
      device:
        description: The disk or partition, by its path in C(/dev/disk/by-id), C(by-path) or C(by-partuuid) there.
        type: str
        required: true
      path:
        description: Where it is mounted.
        type: str
        required: true
      fstype:
        description: The file system.
        type: str
        choices: [ext4, xfs]
        default: ext4
      owner:
        description: Owner of the file system's root. While there is no such user, it stays root's, with mode C(0700).
        type: str
        default: root
      group:
        description: Group of the file system's root.
        type: str
        default: root
      mode:
        description: Mode of the file system's root.
        type: str
        default: "0755"
      options:
        description: Mount options. Leave out V(noexec) where programs are run from the volume.
        type: list
        elements: str
        default: [noatime, nodev, nosuid, noexec]
      min_size:
        description: Size, such as V(100G), below which the disk is taken for the wrong one.
        type: str
  unlock:
    description:
      - How the node opens its volumes by itself.
      - V(tang) asks Tang servers, V(tpm2) the node's TPM, V(key_file) takes a file in memory, for the lab only.
    type: str
    choices: [tang, tpm2, key_file]
    default: tang
  tang_servers:
    description: Tang servers. The loss of any zone must leave enough of them, and no zone alone may have enough.
    type: list
    elements: dict
    default: []
    suboptions:
      zone:
        description: The zone in which the server runs.
        type: str
        required: true
      url:
        description: Where it listens.
        type: str
        required: true
      thumbprint:
        description: Of the key that signs what the server advertises, as C(tang-show-keys) prints it on the server.
        type: str
        required: true
  tang_threshold:
    description: How many of the servers are needed.
    type: int
    default: 2
  tpm2_pcrs:
    description: Registers of the TPM to which the key is bound.
    type: list
    elements: int
    default: [7]
  key_file:
    description: Path of the key file for O(unlock=key_file); it must be on a file system in memory.
    type: path
    default: /run/banking-platform/data_volumes.key
  escrow_certificate:
    description: Path, on the controller, of the certificate (PEM) to which recovery keys and headers are encrypted.
    type: str
    required: true
  escrow_dir:
    description: Folder on the controller for C(<host>-<volume>.cms) and C(<host>-<volume>.header.cms).
    type: str
    required: true
  escrow_header:
    description: Whether a backup of the LUKS header is put into escrow too, and again whenever the header has changed.
    type: bool
    default: true
  environment:
    description: The platform's environment; unencrypted volumes and key files are for V(lab).
    type: str
    required: true
  dm_crypt:
    description:
      - Whether these nodes have dm-crypt. V(false) only where the inventory says so, and in the lab only.
      - Then the disk is made a LUKS2 volume, keyed and tried with its key file, but cannot be opened, and a directory
        of the node's own file system is mounted in its place. Each run says that this is not encrypted.
    type: bool
    default: true
  examine:
    description:
      - Only look whether the volumes could be made, and fail where they could not. Nothing is changed or planned; for a
        role that wants to know this before it installs what makes volumes.
    type: bool
    default: false
  escrowed:
    description: What the controller has in escrow already. Made by the action plugin.
    type: dict
    default: {}
  approved:
    description: The part of the approved plan that nothing may differ from. Made by the action plugin.
    type: dict
"""

EXAMPLES = r"""
- name: Make the data volumes
  banking.platform.data_volumes:
    volumes:
      - name: vault
        device: /dev/disk/by-id/nvme-eui.0025388b01b1c2d3
        path: /var/lib/vault
        owner: vault
        group: vault
        mode: "0700"
        min_size: 100G
    tang_servers:
      - {zone: zone-a, url: "http://tang.zone-a.bank.example", thumbprint: 4Bl2Sv4ScXnjAtVAuxG9RrHFgzR0...}
      - {zone: zone-b, url: "http://tang.zone-b.bank.example", thumbprint: jc8XQtjmGUiOcLBtSbh1TJJ8tC4P...}
      - {zone: zone-c, url: "http://tang.zone-c.bank.example", thumbprint: m1sG3g1zvhXJKxSLdBGYPoCEUZ4s...}
    escrow_certificate: files/escrow.pem
    escrow_dir: build/prod/escrow
    environment: prod
"""

RETURN = r"""
plan:
  description: One step a thing. A failed run also says in C(state) what was done and what was not.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: escrow, target: vault.cms, action: create, after: {holds: recovery key}}
    - {kind: luks, target: /dev/disk/by-id/nvme-eui.0025388b01b1c2d3, action: create, after: {key_bits: 512}}
    - {kind: filesystem, target: /dev/mapper/data-vault, action: create, after: {type: ext4, label: vault}}
deferred:
  description: In check mode, what could not be looked at because an earlier step provides it.
  returned: always
  type: list
  elements: str
files:
  description: For O(banking.platform.converge#module:files), the mount units, each a template with variables.
  returned: always
  type: dict
units:
  description: For O(banking.platform.converge#module:units), the same units, started and enabled.
  returned: always
  type: dict
findings:
  description: What is not as it should be, and cannot be made so in a run. Shown as warnings too.
  returned: always
  type: list
  elements: str
"""

import resource
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.node.volume_wish import parse_wish
from ansible_collections.banking.platform.plugins.module_utils.node.volumes import Volumes
from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED, Failure


def argument_spec() -> Dict[str, Any]:
    """The module's parameters, for the action plugin's use too."""
    volume = {
        "name": {"type": "str", "required": True},
        "device": {"type": "str", "required": True},
        "path": {"type": "str", "required": True},
        "fstype": {"type": "str", "choices": ["ext4", "xfs"], "default": "ext4"},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str", "default": "0755"},
        "options": {"type": "list", "elements": "str", "default": ["noatime", "nodev", "nosuid", "noexec"]},
        "min_size": {"type": "str"},
    }
    server = {name: {"type": "str", "required": True} for name in ("zone", "url", "thumbprint")}
    return {
        "volumes": {"type": "list", "elements": "dict", "required": True, "options": volume},
        "unlock": {"type": "str", "choices": ["tang", "tpm2", "key_file"], "default": "tang"},
        "tang_servers": {"type": "list", "elements": "dict", "default": [], "options": server},
        "tang_threshold": {"type": "int", "default": 2},
        "tpm2_pcrs": {"type": "list", "elements": "int", "default": [7]},
        # A path, no key.
        "key_file": {"type": "path", "default": "/run/banking-platform/data_volumes.key", "no_log": False},
        "escrow_certificate": {"type": "str", "required": True},
        "escrow_dir": {"type": "str", "required": True},
        "escrow_header": {"type": "bool", "default": True},
        "environment": {"type": "str", "required": True},
        "dm_crypt": {"type": "bool", "default": True},
        "examine": {"type": "bool", "default": False},
        "escrowed": {"type": "dict", "default": {}},
        **APPROVED,
    }


def main() -> None:
    # A core dump of this process would hold a recovery key.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    examine, check = module.params["examine"], module.check_mode
    told: Dict[str, Any] = {"changed": False}
    try:
        volumes = Volumes(parse_wish(module.params), System(tmp_dir=module.tmpdir), check or examine)
        volumes.make_plan()
        if not (examine or check):
            volumes.plan.hold_to(module.params["approved"])
        if not examine:
            try:
                if not check:
                    volumes.apply()
            finally:
                # Told also when a step failed: keys of volumes that are done still have to reach their escrow.
                told = volumes.result(module._diff)
    except Failure as failure:
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **told)
    except OSError as error:
        module.fail_json(msg=str(error), **told)
    module.exit_json(**told)


if __name__ == "__main__":
    main()
