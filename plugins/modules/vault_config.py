#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_config
short_description: Bring the configuration of Vault or OpenBao to what is declared, in one run
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Policies, auth methods, secret engines, what is in them, identity, quotas and audit devices, in any number, and
    autopilot, over one pool of connections, in the order of what they need.
  - Fields are those of the HTTP API. Only what is declared is compared and written. A duration, a list with commas or
    an empty value is the same in each way of writing it.
  - Policies that differ are parsed by the server before anything is changed.
  - What the server never gives back, such as passwords, is written when a thing is made, and again with
    O(update_secrets) only.
  - Stops at the first failure and says what was done and what was not. A second run does the rest.
extends_documentation_fragment:
  - banking.platform.vault
  - banking.platform.http_session
  - banking.platform.rest_run
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed, and what would be refused is refused. Before Vault is there and unsealed, everything is
        reported as deferred.
  diff_mode:
    support: full
    description: One difference a thing, secrets masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package urllib3.
options:
  policies:
    description: ACL policies, each with C(name) and C(policy), as HCL or JSON.
    type: list
    elements: dict
  auth_methods:
    description:
      - Auth methods, each with C(type), C(path) (by default the type), C(description), the fields that are tuned, and
        C(config) and C(roles) as the API of the type has them (C(kubernetes), C(approle), C(jwt), C(oidc), C(cert)).
    type: list
    elements: dict
  secret_engines:
    description:
      - Secret engines, each with C(type), C(path) (by default the type), C(description), C(options), the fields that
        are tuned, and what is in it.
      - For C(kv) this is C(config); for C(pki) C(issuer), C(urls), C(crl), C(roles); for C(transit) C(keys); for
        C(database) C(connections), C(roles), C(static_roles); for C(ssh) C(ca) and C(roles).
      - An C(issuer) is made where the mount has none. With C(signed_by), the mount that signs it, it is an
        intermediate; with C(bundle) it is imported; otherwise it is a root.
      - What cannot be changed without losing what is there is refused, unless the thing has C(recreate=true).
    type: list
    elements: dict
  entities:
    description:
      - Entities of the identity, each with C(name), C(policies), C(metadata), and C(aliases) with C(mount) and C(name).
    type: list
    elements: dict
  groups:
    description:
      - Groups of the identity, each with C(name), C(type), C(policies), C(metadata), C(member_entities) and
        C(member_groups) by name, and C(alias) with C(mount) and C(name) for external ones.
    type: list
    elements: dict
  rate_limits:
    description: Rate limit quotas, each with C(name), C(rate), C(path) and so on.
    type: list
    elements: dict
  lease_counts:
    description: Lease count quotas, each with C(name), C(max_leases), C(path). OpenBao has none.
    type: list
    elements: dict
  audit_devices:
    description:
      - Audit devices, each with C(path), C(type), C(options). OpenBao takes them from its configuration only; there,
        what is declared and not there is refused.
    type: list
    elements: dict
  autopilot:
    description:
      - Configuration of integrated storage's autopilot, with C(cleanup_dead_servers), C(min_quorum),
        C(max_trailing_logs), the durations C(last_contact_threshold), C(dead_server_last_contact_threshold) and
        C(server_stabilization_time) in whole seconds, and, of Vault Enterprise, C(disable_upgrade_migration).
      - Where storage is another, and in a namespace, it is refused. It is never deleted. What is left out stays.
      - With C(cleanup_dead_servers=true) members that stay away are removed from the cluster for good, until
        C(min_quorum) are left; so C(min_quorum) has to stand beside it, 3 at least.
    type: dict
  prune:
    description:
      - Whether to delete what is there and not declared, of the lists that are given (also when they are empty), and in
        the mounts that are declared.
      - The server's own policies and mounts, and entities that a log-in has made, stay.
    type: bool
    default: false
  prune_protected:
    description: Whether mounts, transit keys and audit devices are pruned too. What is kept in them is lost.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Configure Vault
  banking.platform.vault_config:
    url: [https://vault-a1:8200, https://vault-b1:8200, https://vault-c1:8200]
    ca_path: /etc/platform/ca.pem
    token: "{{ lookup('banking.platform.secret', 'env:VAULT_TOKEN') }}"
    policies:
      - name: payments
        policy: |
          path "kv/data/payments/*" { capabilities = ["read"] }
    auth_methods:
      - type: kubernetes
        config: {kubernetes_host: "https://10.0.0.10:6443"}
        roles:
          - name: payments
            bound_service_account_names: [payments]
            bound_service_account_namespaces: [banking-core]
            token_policies: [payments]
            token_ttl: 1h
    secret_engines:
      - type: kv
        path: kv
        options: {version: "2"}
      - type: pki
        path: pki-root
        max_lease_ttl: 87600h
        issuer: {common_name: Bank Root, ttl: 87600h, key_type: ec, key_bits: 384}
      - type: pki
        path: pki
        max_lease_ttl: 43800h
        issuer: {common_name: Bank Issuing, ttl: 43800h, signed_by: pki-root}
        roles:
          - {name: server, allowed_domains: [bank.local], allow_subdomains: true, max_ttl: 720h}
      - type: database
        connections:
          - name: core
            plugin_name: postgresql-database-plugin
            connection_url: "postgresql://{{ '{{username}}:{{password}}' }}@db.bank.local:5432/core"
            username: vault
            password: "{{ vault_database_password }}"
            allowed_roles: [reader]
        roles:
          - name: reader
            db_name: core
            default_ttl: 1h
            creation_statements:
              - >-
                CREATE ROLE "{{ '{{name}}' }}" LOGIN PASSWORD '{{ '{{password}}' }}'
                VALID UNTIL '{{ '{{expiration}}' }}'
    autopilot: {cleanup_dead_servers: false, min_quorum: 3}
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step for each thing that changes or would change; after a failure, what was done and what was not.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: policy
      target: payments
      action: update
      before: {policy: "path ..."}
      after: {policy: "path ..."}
counts:
  description: How many things are created, updated, deleted, or left as they are.
  returned: always
  type: dict
  sample: {create: 2, update: 1, delete: 0, none: 297}
deferred:
  description: In check mode, what has to come first.
  returned: always
  type: list
  elements: str
requests:
  description: How many requests were sent, by method.
  returned: when there is a server
  type: dict
  sample: {GET: 9, POST: 3}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from typing import List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils import rest_run
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler, Wish
from ansible_collections.banking.platform.plugins.module_utils.vault import CONNECTION, Vault
from ansible_collections.banking.platform.plugins.module_utils.vault_config import DECLARED, VaultApi, refuse, wishes_of

_THINGS = {"type": "list", "elements": "dict"}
SPEC = {
    **CONNECTION,
    "policies": _THINGS,
    "auth_methods": _THINGS,
    # What is secret in them is masked at its source.
    "secret_engines": {**_THINGS, "no_log": False},
    "entities": _THINGS,
    "groups": _THINGS,
    "rate_limits": _THINGS,
    "lease_counts": _THINGS,
    "audit_devices": _THINGS,
    "autopilot": {"type": "dict"},
    **rest_run.OPTIONS,
}


class Run(rest_run.Run):
    """One run."""

    first = "an unsealed Vault"
    declared = DECLARED

    def wishes(self) -> List[Wish]:
        return wishes_of(self.params)

    def client(self) -> VaultApi:
        return VaultApi(Vault(self.params))

    def refuse(self, api: VaultApi, reconciler: Reconciler) -> List[str]:
        return refuse(api, reconciler, self.wishes())


def main() -> None:
    rest_run.end(Run, AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
