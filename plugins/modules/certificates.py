#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Keep a node's certificates signed, valid and matching their keys
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Compares the certificates of a node with those wanted (names, usages, authority, end, key) and replaces those that
    differ. Keys are made on the node and never leave it; the controller signs their public halves. Where nothing is to
    be done, one module run finds that out.
  - Authorities lie in the folder C(platform_ca_dir) on the controller, their keys encrypted. They are made by
    C(playbooks/ca.yml), never in passing. One that has ended is refused before anything is changed.
  - Files take their places together, each by a rename. A unit that does not read certificates again by itself names
    them in C(restart_on) of M(banking.platform.converge), in a task after this one; a run that is killed in between is
    made up for by the next.
attributes:
  check_mode:
    support: full
    description: Nothing is changed. What an earlier stage would have provided is reported as deferred.
  diff_mode:
    support: full
    description: What certificates say, not their bytes.
  platform:
    support: full
    platforms: linux
    description: Linux with OpenSSL and Python 3.8 or newer.
options:
  certificates:
    description: Certificates, each with a key of its own.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Where the certificate lies on the node.
        type: path
        required: true
      key:
        description: Where its key lies.
        type: path
        required: true
      authority:
        description: Who signs it.
        type: str
        required: true
      common_name:
        description: Common name of its holder.
        type: str
        required: true
      organizations:
        description: Organisations of its holder; groups, for Kubernetes.
        type: list
        elements: str
        default: []
      dns:
        description: DNS names.
        type: list
        elements: str
        default: []
      ip:
        description: Addresses.
        type: list
        elements: str
        default: []
      usages:
        description: What it is for.
        type: list
        elements: str
        choices: [server, client]
        default: [server]
      days:
        description: How long a new one is valid. Never longer than its authority.
        type: int
        default: 365
      renew_before:
        description: Days before its end from which on it is replaced.
        type: int
        default: 60
      owner:
        description: Owner of both files.
        type: str
        default: root
      group:
        description: Group of both files.
        type: str
        default: root
      mode:
        description: Mode of the certificate.
        type: str
        default: "0644"
      key_mode:
        description: Mode of the key.
        type: str
        default: "0600"
  authorities:
    description: Certificates of authorities, with those of their predecessors as long as these are trusted.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the authority.
        type: str
        required: true
      path:
        description: Where its certificates lie on the node.
        type: path
        required: true
      key:
        description: Where its key lies. Only for nodes that sign by themselves, as a control plane of Kubernetes does.
        type: path
      owner:
        description: Owner of the files.
        type: str
        default: root
      group:
        description: Group of the files.
        type: str
        default: root
      mode:
        description: Mode of the certificates.
        type: str
        default: "0644"
      key_mode:
        description: Mode of the key.
        type: str
        default: "0600"
  key_pairs:
    description: Key pairs that nodes share, such as the one that signs tokens of service accounts.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name in C(platform_ca_dir).
        type: str
        required: true
      key:
        description: Where the private key lies on the node.
        type: path
        required: true
      public:
        description: Where the public key lies.
        type: path
        required: true
      owner:
        description: Owner of both files.
        type: str
        default: root
      group:
        description: Group of both files.
        type: str
        default: root
      mode:
        description: Mode of the public key.
        type: str
        default: "0644"
      key_mode:
        description: Mode of the private key.
        type: str
        default: "0600"
  phase:
    description: What the module does on the node. Set by the action plugin.
    type: str
    choices: [read, request, install]
  files:
    description: Owner, group and mode by path. Set by the action plugin.
    type: dict
    default: {}
  keys:
    description: Paths of keys. Set by the action plugin.
    type: list
    elements: str
    default: []
  contents:
    description: New contents by path. Set by the action plugin.
    type: dict
    default: {}
  made:
    description: Paths of keys that were made in this run. Set by the action plugin.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Keep the certificates of etcd
  banking.platform.certificates:
    authorities:
      - {name: etcd, path: /etc/etcd/pki/ca.crt}
    certificates:
      - path: /etc/etcd/pki/server.crt
        key: /etc/etcd/pki/server.key
        authority: etcd
        common_name: "{{ inventory_hostname }}"
        dns: [localhost, "{{ inventory_hostname }}"]
        ip: [127.0.0.1, "{{ platform_address }}"]
        usages: [server, client]
        owner: etcd

- name: Bring what kubeadm signs with
  banking.platform.certificates:
    authorities:
      - {name: kubernetes, path: /etc/kubernetes/pki/ca.crt, key: /etc/kubernetes/pki/ca.key}
    key_pairs:
      - {name: service-accounts, key: /etc/kubernetes/pki/sa.key, public: /etc/kubernetes/pki/sa.pub}
"""

RETURN = r"""
plan:
  description: One step a file; a certificate's with what it said and will say, and why it is replaced.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: certificate
      target: /etc/etcd/pki/server.crt
      action: update
      before: {common_name: cp-a1, until: "2027-01-03"}
      after: {common_name: cp-a1, until: "2027-12-20"}
      note: it ends on 2027-01-03
deferred:
  description: In check mode, what has to come from elsewhere first.
  returned: always
  type: list
  elements: str
paths:
  description: Paths that changed, or would change.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.certificates import Certificates
from ansible_collections.banking.platform.plugins.module_utils.node.converge import system_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    ownership = {name: {"type": "str", "default": "root"} for name in ("owner", "group")}
    modes = {
        "mode": {"type": "str", "default": "0644"},
        "key_mode": {"type": "str", "default": "0600", "no_log": False},
    }
    name = {"type": "str", "required": True}
    path = {"type": "path", "required": True}
    texts = {"type": "list", "elements": "str", "default": []}
    certificate = {
        "path": path,
        "key": dict(path, no_log=False),
        "authority": name,
        "common_name": name,
        "organizations": texts,
        "dns": texts,
        "ip": texts,
        "usages": {"type": "list", "elements": "str", "choices": ["server", "client"], "default": ["server"]},
        "days": {"type": "int", "default": 365},
        "renew_before": {"type": "int", "default": 60},
        **ownership,
        **modes,
    }
    authority = {"name": name, "path": path, "key": {"type": "path", "no_log": False}, **ownership, **modes}
    pair = {"name": name, "key": dict(path, no_log=False), "public": path, **ownership, **modes}
    module = AnsibleModule(
        argument_spec={
            "certificates": {"type": "list", "elements": "dict", "default": [], "options": certificate},
            "authorities": {"type": "list", "elements": "dict", "default": [], "options": authority},
            "key_pairs": {"type": "list", "elements": "dict", "default": [], "options": pair, "no_log": False},
            "phase": {"type": "str", "choices": ["read", "request", "install"]},
            "files": {"type": "dict", "default": {}},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "contents": {"type": "dict", "default": {}, "no_log": True},
            "made": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    asked = module.params
    run = None
    try:
        run = Certificates(system_of(module.tmpdir), module.check_mode)
        if asked["phase"] == "read":
            module.exit_json(changed=False, **run.read(asked["files"], asked["keys"]))
        if asked["phase"] == "request":
            module.exit_json(changed=False, requests=run.request(asked["keys"]))
        module.exit_json(**run.install(asked["files"], asked["contents"], asked["made"]))
    except (Failure, OSError) as error:
        result = run.plan.result() if run else {"plan": []}
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        module.fail_json(msg=getattr(error, "cause", str(error)), next_step=getattr(error, "next_step", ""), **result)


if __name__ == "__main__":
    main()
