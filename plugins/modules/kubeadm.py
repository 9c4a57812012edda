#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeadm
short_description: Make a host a member of a Kubernetes cluster, keep its control plane, or take it out
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Makes the cluster or joins it. Which of the two follows from what exists, never from the order of hosts. Where an
    API server answers, a host joins; where none answers and etcd holds nothing of Kubernetes, it makes the cluster;
    where none answers and etcd holds a cluster, it refuses.
  - A host that joins makes a key. The controller signs a certificate for it with the authority C(kubernetes), of the
    group that kubeadm lets join, which is valid for O(join_minutes). So there are no bootstrap tokens. kubeadm finds
    the API servers and their authority in a kubeconfig that lies on the host for the time of the join.
  - The control plane's static pods are made anew where their configuration differs, on one host at a time when the play
    has C(serial=1). The old ones are put back when the new ones do not get ready.
  - Swap, too little memory, a clock that is off and missing certificates are refused before anything is changed.
  - Configuration is what the role C(kubernetes) has below C(/etc/kubernetes/kubeadm), C(init.yaml) and C(join.yaml).
attributes:
  check_mode:
    support: full
    description: Nothing is changed. What an earlier stage would have provided is reported as deferred.
  diff_mode:
    support: none
    description: The plan says what changes.
  platform:
    support: full
    platforms: linux
    description: Linux with systemd, kubeadm, OpenSSL and Python 3.8 or newer.
options:
  state:
    description:
      - What the host is to be. V(absent) resets it with kubeadm. Its Node object and its member of etcd are left to
        whoever takes it out of the cluster.
    type: str
    choices: [control_plane, worker, absent]
    required: true
  name:
    description: Name of the node in the cluster.
    type: str
    required: true
  server:
    description: URL by which the host's kubelet reaches the API servers. Required unless O(state=absent).
    type: str
    default: ""
  servers:
    description: URLs of all API servers, the host's own too.
    type: list
    elements: str
    default: []
  etcd:
    description: Client URLs of etcd. They are asked by control-plane hosts only, when no API server answers.
    type: list
    elements: str
    default: []
  version:
    description:
      - Kubernetes of the control plane. Where another one runs, kubeadm upgrades this host's control plane, with what
        the cluster keeps of it on the first host, and its add-ons on the last. Which is first follows from what runs.
      - The host's kubelet is another matter. It is not newer than any API server, so it comes afterwards.
    type: str
    default: ""
  ignored:
    description: Checks of kubeadm whose errors do not stop an upgrade.
    type: list
    elements: str
    default: []
  memory:
    description: Least memory of the host, in MiB.
    type: int
    default: 1700
  swap:
    description: Whether the host may swap.
    type: bool
    default: false
  over_existing:
    description:
      - Whether a control plane may be made over what etcd holds when none of its API servers answers. For the case that
        all control-plane hosts were lost and etcd was brought back.
    type: bool
    default: false
  timeout:
    description: Seconds that kubeadm has, and then the API server until it is ready.
    type: float
    default: 300
  join_minutes:
    description: How long the certificate for a join is valid.
    type: int
    default: 15
  phase:
    description: What the module does on the host. Set by the action plugin.
    type: str
    choices: [read, request, apply]
  inputs:
    description: Digest of the configuration of the static pods. Set by the action plugin.
    type: str
    default: ""
  authority:
    description: Certificate of the cluster's authority. Set by the action plugin.
    type: str
    default: ""
  certificate:
    description: Certificate for the join. Set by the action plugin.
    type: str
    default: ""
  approved:
    description: The part of the approved plan that nothing may differ from. Set by the action plugin.
    type: dict
"""

EXAMPLES = r"""
- name: Bring the host into the cluster
  banking.platform.kubeadm:
    state: control_plane
    name: "{{ inventory_hostname }}"
    server: https://127.0.0.1:8443
    servers: [https://10.20.1.11:6443, https://10.20.2.11:6443, https://10.20.3.11:6443]
    etcd: [https://10.20.1.11:2379, https://10.20.2.11:2379, https://10.20.3.11:2379]

- name: Reset the host
  banking.platform.kubeadm:
    state: absent
    name: "{{ inventory_hostname }}"
"""

RETURN = r"""
plan:
  description: Steps for the node, its kubeconfig and its static pods. A failed run says in C(state) what was done.
  returned: always
  type: list
  elements: dict
  sample:
    - {kind: node, target: cp-b1, action: create, after: {role: control-plane, how: joins}}
    - kind: kubeconfig
      target: /etc/kubernetes/kubelet.conf
      action: create
      after: {server: "https://127.0.0.1:8443"}
deferred:
  description: In check mode, what has to come from elsewhere first.
  returned: always
  type: list
  elements: str
joined:
  description: Whether the host is new in the cluster, or would be.
  returned: always
  type: bool
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.converge import system_of
from ansible_collections.banking.platform.plugins.module_utils.node.kubeadm import STATES, Join, Kubeadm, Wish
from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED, Failure

_WISH = (
    *("state", "name", "server", "servers", "etcd", "inputs", "version", "ignored", "memory", "swap", "over_existing"),
    "timeout",
)


def main() -> None:
    texts = {"type": "list", "elements": "str", "default": []}
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "name": {"type": "str", "required": True},
            "server": text,
            "servers": texts,
            "etcd": texts,
            "version": text,
            "ignored": texts,
            "memory": {"type": "int", "default": 1700},
            "swap": {"type": "bool", "default": False},
            "over_existing": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 300},
            "join_minutes": {"type": "int", "default": 15},
            "phase": {"type": "str", "choices": ["read", "request", "apply"]},
            "inputs": text,
            "authority": text,
            "certificate": text,
            **APPROVED,
        },
        supports_check_mode=True,
    )
    asked = module.params
    run = None
    try:
        wish = Wish(**{name: asked[name] for name in _WISH})
        join = Join(asked["authority"], asked["certificate"])
        run = Kubeadm(system_of(module.tmpdir), wish, module.check_mode, join)
        if asked["phase"] == "request":
            module.exit_json(changed=False, request=run.request())
        run.make_plan()
        if asked["phase"] == "apply" and not module.check_mode:
            run.apply(asked["approved"])
        module.exit_json(how=run.how, joined=bool(run.how), time=time.time(), **run.plan.result())
    except (Failure, OSError) as error:
        result = run.plan.result() if run else {"plan": []}
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        module.fail_json(msg=getattr(error, "cause", str(error)), next_step=getattr(error, "next_step", ""), **result)


if __name__ == "__main__":
    main()
