#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_config
short_description: Bring the configuration of Elasticsearch to what is declared, in one run
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Snapshot repositories and SLM policies, ILM policies, ingest pipelines, component and index templates, data streams,
    roles, users and role mappings, in the order of what they need.
  - Only the fields that are declared are compared, each as a whole; a field that is not declared stays as it is. The
    form in which the server tells a thing (defaults, settings as texts, units) makes no difference.
  - A password is never given back by the server. It is written when the user is made, and later with O(update_secrets)
    only.
  - Stops at the first failure and says what was done and what was not. A second run does the rest.
  - Tested against the vendor's API description of Elasticsearch 8.15, and not yet against Elasticsearch itself.
  - Kibana is not part of it, but of M(banking.platform.kibana_config).
extends_documentation_fragment:
  - banking.platform.elasticsearch
  - banking.platform.http_session
  - banking.platform.rest_run
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed, and what would be refused is refused. Before Elasticsearch is there, everything is reported
        as deferred.
  diff_mode:
    support: full
    description: One difference a thing, in the form in which both sides are compared, secrets masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package urllib3.
options:
  snapshot_repositories:
    description:
      - Snapshot repositories, each with C(name), C(type) (C(s3), C(fs), C(url), C(azure), C(gcs), C(source)) and
        C(settings). Keys of the store belong in the keystore of the nodes, and are refused here.
    type: list
    elements: dict
  slm_policies:
    description:
      - Policies of the snapshots, each with C(name) (of the policy), C(snapshot_name) (which the API calls C(name),
        such as C(<nightly-{now/d}>)), C(schedule) (six fields with seconds), C(repository), C(config), C(retention).
    type: list
    elements: dict
  ilm_policies:
    description: Policies of the index life cycle, each with C(name), C(phases), C(_meta).
    type: list
    elements: dict
  ingest_pipelines:
    description:
      - Ingest pipelines, each with C(name), C(processors), C(on_failure), C(description), C(version), C(_meta).
    type: list
    elements: dict
  component_templates:
    description: Component templates, each with C(name), C(template), C(version), C(_meta), C(deprecated).
    type: list
    elements: dict
  index_templates:
    description:
      - Index templates, each with C(name), C(index_patterns), C(composed_of), C(template), C(data_stream), C(priority),
        C(version), C(_meta), C(allow_auto_create), C(ignore_missing_component_templates), C(deprecated).
      - A component template that is neither declared nor there is refused. An ILM policy or pipeline that is neither is
        warned of.
    type: list
    elements: dict
  data_streams:
    description:
      - Data streams, each with C(name). There must be an index template with C(data_stream) for the name. A change of
        the template counts from the next rollover on.
    type: list
    elements: dict
  roles:
    description:
      - Roles, each with C(name), C(cluster), C(indices), C(applications), C(run_as), C(metadata), C(global), and as far
        as the server knows them C(description), C(remote_indices), C(remote_cluster).
    type: list
    elements: dict
  users:
    description:
      - Users of the native realm, each with C(name), C(password) or C(password_hash), C(roles), C(full_name), C(email),
        C(metadata), C(enabled). Of the server's own users only the password can be changed, with O(update_secrets).
    type: list
    elements: dict
  role_mappings:
    description:
      - Role mappings, each with C(name), C(roles) or C(role_templates), C(rules), C(enabled) (true by default),
        C(metadata).
    type: list
    elements: dict
  prune:
    description:
      - Whether to delete what is there and not declared, of the lists that are given (also when they are empty).
      - What the server, Kibana or Fleet call their own (C(managed), C(_reserved), or a name that begins with a dot)
        stays. So does what is still in use, which is warned of.
    type: bool
    default: false
  prune_protected:
    description: Whether data streams are pruned too. The documents in them are lost.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Configure Elasticsearch
  banking.platform.elasticsearch_config:
    url: https://elasticsearch.bank.local:9200
    ca_path: /etc/platform/ca.pem
    username: elastic
    password: "{{ lookup('banking.platform.secret', 'env:ELASTIC_PASSWORD') }}"
    snapshot_repositories:
      - name: s3
        type: s3
        settings: {bucket: elasticsearch-snapshots, client: default, base_path: banking}
    slm_policies:
      - name: nightly
        snapshot_name: "<nightly-{now/d}>"
        schedule: "0 30 1 * * ?"
        repository: s3
        config: {include_global_state: true}
        retention: {expire_after: 30d, min_count: 7, max_count: 60}
    ilm_policies:
      - name: banking-audit
        phases:
          hot:
            actions:
              rollover: {max_age: 7d, max_primary_shard_size: 50gb}
          warm:
            min_age: 0ms
            actions:
              readonly: {}
              forcemerge: {max_num_segments: 1}
          delete:
            min_age: 2557d
            actions:
              wait_for_snapshot: {policy: nightly}
              delete: {}
    ingest_pipelines:
      - name: banking-redact
        processors:
          - redact: {field: message, patterns: ["%{EMAILADDRESS:EMAIL}"]}
    component_templates:
      - name: banking-settings
        template:
          settings: {number_of_replicas: 2, default_pipeline: banking-redact, lifecycle: {name: banking-audit}}
    index_templates:
      - name: logs-banking.audit
        index_patterns: [logs-banking.audit-*]
        composed_of: [banking-settings]
        priority: 500
        data_stream: {}
    data_streams:
      - name: logs-banking.audit-prod
    roles:
      - name: logstash-writer
        indices:
          - {names: [logs-banking.*], privileges: [auto_configure, create_doc]}
    users:
      - name: logstash
        password: "{{ logstash_password }}"
        roles: [logstash-writer]
    role_mappings:
      - name: operators
        roles: [monitoring_user]
        rules: {field: {groups: operators}}
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step for each thing that changes or would change; after a failure, what was done and what was not.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: index template
      target: logs-banking.audit
      action: update
      before: {priority: 400}
      after: {priority: 500}
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
  description: How many requests were sent to Elasticsearch, by method.
  returned: when there is a server
  type: dict
  sample: {GET: 9, PUT: 3}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

from typing import List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils import rest_run
from ansible_collections.banking.platform.plugins.module_utils.elasticsearch_config import (
    CONNECTION,
    DECLARED,
    ElasticsearchApi,
    refuse,
    wishes_of,
)
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler, Wish

_THINGS = {"type": "list", "elements": "dict"}
SPEC = {
    **CONNECTION,
    "snapshot_repositories": _THINGS,
    "slm_policies": _THINGS,
    "ilm_policies": _THINGS,
    "ingest_pipelines": _THINGS,
    "component_templates": _THINGS,
    "index_templates": _THINGS,
    "data_streams": _THINGS,
    "roles": _THINGS,
    "users": _THINGS,
    "role_mappings": _THINGS,
    **rest_run.OPTIONS,
}


class Run(rest_run.Run):
    """One run."""

    first = "an Elasticsearch that answers"
    declared = DECLARED

    def wishes(self) -> List[Wish]:
        return wishes_of(self.params)

    def client(self) -> ElasticsearchApi:
        return ElasticsearchApi(self.params)

    def refuse(self, api: ElasticsearchApi, reconciler: Reconciler) -> List[str]:
        return refuse(api, reconciler, self.wishes())


def main() -> None:
    rest_run.end(Run, AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
