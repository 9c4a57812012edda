#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: harbor_config
short_description: Bring the configuration of Harbor to what is declared, in one run
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Projects with their quotas, members, robot accounts, retention, immutable tags and webhooks, registries and proxy
    caches, replications, the schedule of the garbage collection, and the system's configuration, in the order of what
    they need.
  - Only what is declared is compared and written. Ids are looked up by name.
  - What the server never gives back, such as passwords, is written when a thing is made, along with another change of
    it, and by itself with O(update_secrets) only.
  - The secret of a robot account is never printed. It is written to Vault; without O(robot_secrets) no robot is made.
  - Stops at the first failure and says what was done and what was not. A second run does the rest.
  - Tested against the vendor's API descriptions of Harbor 2.11.2 and 2.15.1, and not yet against Harbor itself.
extends_documentation_fragment:
  - banking.platform.harbor
  - banking.platform.http_session
  - banking.platform.rest_run
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed, and what would be refused is refused. Before Harbor is there, everything is reported as
        deferred.
  diff_mode:
    support: full
    description: One difference a thing, secrets masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package urllib3.
options:
  configuration:
    description:
      - Settings of the system by their names in the API, such as C(auth_mode), C(oidc_endpoint), C(oidc_client_id),
        C(oidc_client_secret), C(project_creation_restriction).
    type: dict
  garbage_collection:
    description:
      - Schedule of the garbage collection, with C(cron) (six fields with seconds, empty for none), C(delete_untagged),
        C(workers).
    type: dict
  registries:
    description:
      - Other registries, each with C(name), C(type) (C(harbor), C(docker-registry), C(docker-hub) and so on), C(url),
        C(description), C(insecure), C(credential_type), C(access_key), C(access_secret), and from 2.15 on
        C(ca_certificate).
    type: list
    elements: dict
  projects:
    description:
      - Projects, each with C(name), C(public), C(storage_limit) (C(500Gi), or -1), C(auto_scan) (scan on push),
        C(auto_sbom_generation), C(prevent_vul) with C(severity), C(enable_content_trust),
        C(enable_content_trust_cosign), C(reuse_sys_cve_allowlist), C(cve_allowlist), C(cve_allowlist_expires_at),
        C(registry) (the name of one, for a proxy cache), and from 2.15 on C(proxy_speed_kb), C(max_upstream_conn),
        C(proxy_cache_local_on_not_found).
      - C(members), each C(user) or C(group) with C(role) (C(projectAdmin), C(maintainer), C(developer), C(guest),
        C(limitedGuest)); groups also with C(group_type) (C(oidc), C(ldap), C(http)) and C(ldap_group_dn).
      - C(robots), each with C(name), C(duration) in days (-1 for ever), C(description), C(disable), and C(access), a
        list of C(resource) and C(action).
      - C(retention), with C(cron) and C(rules), each with C(keep) (C(latestPushedK), C(latestPulledN),
        C(nDaysSinceLastPush), C(nDaysSinceLastPull), C(always)), C(count), C(repositories) or C(exclude_repositories),
        C(tags) or C(exclude_tags), C(untagged), C(disabled).
      - C(immutable_tags), each with C(repositories) or C(exclude_repositories), C(tags) or C(exclude_tags),
        C(disabled).
      - C(webhooks), each with C(name), C(address), C(event_types), C(type) (C(http), C(slack), C(teams)),
        C(auth_header), C(skip_cert_verify), C(payload_format), C(description), C(enabled).
    type: list
    elements: dict
  robots:
    description:
      - Robot accounts of the system, as those of projects, but with C(permissions), each with C(kind), C(namespace),
        C(access).
    type: list
    elements: dict
  replications:
    description:
      - Replication policies, each with C(name), C(src_registry) or C(dest_registry) by name, C(cron) or C(trigger),
        C(filters), C(dest_namespace), C(dest_namespace_replace_count), C(replicate_deletion), C(override), C(enabled),
        C(speed), C(copy_by_chunk), and from 2.15 on C(single_active_replication).
    type: list
    elements: dict
  robot_secrets:
    description:
      - Where the secrets of new robots are written, check-and-set, one entry a robot with C(username), C(secret) and
        C(id).
    type: dict
    suboptions:
      mount:
        description: Mount of a KV engine of version 2.
        type: str
        required: true
      path:
        description: Folder of the entries; those of a project's robots are in one of the project's name below it.
        type: str
        required: true
      renew_missing:
        description:
          - Whether a robot that is there, but whose secret is not in Vault, gets a new one. The old one ends with it.
        type: bool
        default: false
      vault:
        description:
          - How to reach Vault, by the options of M(banking.platform.vault_config); also C(VAULT_ADDR) and so on.
        type: dict
  prune:
    description:
      - Whether to delete what is there and not declared, of the lists that are given (also when they are empty), and of
        those of the projects that are declared. The owner of a project stays a member.
    type: bool
    default: false
  prune_protected:
    description: Whether projects are pruned too. Harbor refuses to delete one that holds images.
    type: bool
    default: false
  update_secrets:
    description:
      - Whether to write what the server never gives back although the thing is there. This is a change each time. The
        secrets of robots are not meant.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Configure Harbor
  banking.platform.harbor_config:
    url: https://registry.bank.local
    ca_path: /etc/platform/ca.pem
    username: admin
    password: "{{ lookup('banking.platform.secret', 'env:HARBOR_PASSWORD') }}"
    robot_secrets: {mount: kv, path: harbor/robots}
    configuration:
      auth_mode: oidc_auth
      oidc_name: Bank
      oidc_endpoint: https://sso.bank.local/realms/bank
      oidc_client_id: harbor
      oidc_client_secret: "{{ harbor_oidc_secret }}"
      oidc_scope: openid,profile,email,groups
    garbage_collection: {cron: "0 0 2 * * 6", delete_untagged: true}
    registries:
      - {name: docker-hub, type: docker-hub, url: "https://hub.docker.com"}
    projects:
      - {name: hub, registry: docker-hub}
      - name: payments
        storage_limit: 500Gi
        auto_scan: true
        prevent_vul: true
        severity: high
        enable_content_trust_cosign: true
        members:
          - {group: payments-developers, role: developer}
        robots:
          - name: ci
            duration: 90
            access:
              - {resource: repository, action: pull}
              - {resource: repository, action: push}
        retention:
          cron: "0 0 3 * * *"
          rules:
            - {keep: latestPushedK, count: 20}
        immutable_tags:
          - {tags: "v*"}
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step for each thing that changes or would change; after a failure, what was done and what was not.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: project
      target: payments
      action: update
      before: {severity: low}
      after: {severity: high}
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
  description: How many requests were sent to Harbor, by method.
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
from ansible_collections.banking.platform.plugins.module_utils.harbor_config import (
    CONNECTION,
    DECLARED,
    HarborApi,
    RobotSecrets,
    refuse,
    wishes_of,
)
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler, Wish
from ansible_collections.banking.platform.plugins.module_utils.vault import Vault

_THINGS = {"type": "list", "elements": "dict"}
SPEC = {
    **CONNECTION,
    "configuration": {"type": "dict"},
    "garbage_collection": {"type": "dict"},
    "registries": _THINGS,
    "projects": _THINGS,
    "robots": _THINGS,
    "replications": _THINGS,
    "robot_secrets": {
        "type": "dict",
        "no_log": False,
        "options": {
            "mount": {"type": "str", "required": True},
            "path": {"type": "str", "required": True},
            "renew_missing": {"type": "bool", "default": False},
            "vault": {"type": "dict", "no_log": True},
        },
    },
    **rest_run.OPTIONS,
}


class Run(rest_run.Run):
    """One run."""

    first = "a Harbor that answers"
    declared = DECLARED

    def wishes(self) -> List[Wish]:
        return wishes_of(self.params, bool((self.params["robot_secrets"] or {}).get("renew_missing")))

    def client(self) -> HarborApi:
        kept = self.params["robot_secrets"]
        vault = Vault(kept["vault"] or {}) if kept else None
        secrets = RobotSecrets(vault, kept["mount"], kept["path"], kept["renew_missing"]) if vault else None
        return HarborApi(self.params, secrets)

    def refuse(self, api: HarborApi, reconciler: Reconciler) -> List[str]:
        return refuse(api, reconciler, self.wishes())


def main() -> None:
    rest_run.end(Run, AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
