#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_apply
short_description: Bring the objects of a component to a cluster in one run
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Applies any number of objects server-side, with the field manager C(banking.platform), over one pool of connections.
    CRDs and namespaces come first, webhooks last.
  - What is there is read by one LIST a kind. Objects that are as they were applied are found by their digest and by
    what the field manager still owns of them, and are not sent again.
  - What somebody has changed by hand is put back. What another manager has applied, or a controller has set, is a
    conflict, which names the manager and the fields, unless O(take_over) is set.
  - Objects that the component had and no longer has are removed.
extends_documentation_fragment:
  - banking.platform.kube
attributes:
  check_mode:
    support: full
    description:
      - By the server's own dry run. What needs a CRD or a namespace that is not there yet is reported as deferred, and
        so is everything when there is no cluster yet.
  diff_mode:
    support: full
    description: One difference an object, without what the server sets; values of Secrets are masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package kubernetes.
options:
  component:
    description:
      - Name of the component. Its objects carry it in the label C(platform.banking/component).
    type: str
    required: true
  objects:
    description:
      - All objects of the component. Lists (C(kind=List)) are taken apart.
      - The annotation C(platform.banking/create-only) with the value V("true") makes an object that is created and
        never changed afterwards; C(platform.banking/recreate) one that is deleted and made anew when a field that
        cannot be changed differs.
    type: list
    elements: dict
    default: []
  state:
    description:
      - With V(absent), all objects of the component are removed.
      - With V(ready), nothing is applied; the run waits until all objects that the component has are ready.
      - With V(handed_over), the field manager of O(hand_over_to) owns from now on what ours owned of O(objects).
        Nothing else of them is changed; those that are only created, and those that are not there, are left.
    type: str
    choices: [present, absent, ready, handed_over]
    default: present
  wait:
    description: Whether to wait until all objects are ready.
    type: bool
    default: false
  timeout:
    description: How long the run may take, waits included, in seconds.
    type: float
    default: 300
  prune:
    description: Whether to remove what the component had and no longer has.
    type: bool
    default: true
  prune_protected:
    description: Whether namespaces, CRDs, persistent volumes and their claims are removed too.
    type: bool
    default: false
  take_over:
    description: Whether to take fields from other managers, and objects from other components.
    type: bool
    default: false
  take_over_from:
    description: Managers that fields are taken from in any case.
    type: list
    elements: str
    default: []
  hand_over_to:
    description: The field manager that gets the objects with O(state=handed_over), by default that of Argo CD.
    type: str
    default: argocd-controller
  unless:
    description: Path of an object in the API. Where it is there, nothing is done, and RV(left) says so.
    type: str
  create_only:
    description: References of objects that are created and never changed afterwards.
    type: list
    elements: dict
    default: []
    suboptions:
      apiVersion:
        description: Group and version.
        type: str
        required: true
      kind:
        description: Kind.
        type: str
        required: true
      namespace:
        description: Namespace; none for objects of the cluster.
        type: str
      name:
        description: Name.
        type: str
        required: true
  inventory_namespace:
    description: Namespace of the ConfigMap that keeps the kinds and namespaces of the component.
    type: str
    default: kube-system
  approved:
    description: The part of the approved plan that nothing may differ from. Made by the action plugin.
    type: dict
  packed:
    description: The objects as one value. Made by the action plugin.
    type: str
  waiting:
    description: Whether the objects have been applied already. Set by the action plugin.
    type: bool
    default: false
  wait_slice:
    description: When to interrupt a wait, in seconds. Set by the action plugin.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Apply the component
  banking.platform.k8s_apply:
    component: tenancy
    objects: "{{ lookup('ansible.builtin.file', 'tenancy.yml') | from_yaml_all }}"
    wait: true
  delegate_to: localhost

- name: Remove it
  banking.platform.k8s_apply:
    component: tenancy
    state: absent
    prune_protected: true

- name: Leave it to Argo CD
  banking.platform.k8s_apply:
    component: tenancy
    objects: "{{ lookup('ansible.builtin.file', 'tenancy.yml') | from_yaml_all }}"
    state: handed_over
"""

RETURN = r"""
plan:
  description: One step for each object that changes, would change, or is kept though no longer wanted.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: Deployment
      target: banking-core/api
      action: update
      before: {spec.replicas: 5}
      after: {spec.replicas: 3}
      note: "put back: .spec.replicas changed by kubectl"
counts:
  description: How many objects are created, updated, deleted, or left as they are.
  returned: always
  type: dict
  sample: {create: 2, update: 1, none: 297}
deferred:
  description: In check mode, what has to come from elsewhere before an object can be judged.
  returned: always
  type: list
  elements: str
left:
  description: That nothing was done, since the object of O(unless) is there.
  returned: when it is
  type: bool
requests:
  description: How many requests were sent, by method.
  returned: always
  type: dict
  sample: {GET: 9, PATCH: 3}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.kube import execute, spec


def main() -> None:
    module = AnsibleModule(argument_spec=spec.APPLY, supports_check_mode=True)
    result, secrets = execute.execute(module.params, module.check_mode, module._diff)
    module.no_log_values.update(secrets)
    for warning in result.pop("warnings"):
        module.warn(warning)
    # The options are not given back: they hold all objects, Secrets among them.
    if result.pop("failed"):
        module.fail_json(**result, invocation=None)
    module.exit_json(**result, invocation=None)


if __name__ == "__main__":
    main()
