#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kibana_config
short_description: Bring the configuration of Kibana to what is declared, in one run (unproven)
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Spaces, and in them connectors, saved objects and alerting rules, in the order of what they need.
  - Unproven. It follows the vendor's documentation and source, and has not been seen against Kibana itself.
  - Only the fields that are declared are compared; a field that is not declared stays as it is. Inside of C(config),
    C(params), C(attributes) and C(actions), where Kibana adds defaults that differ by type, more may be there than is
    declared; when such a field is changed, it is replaced by what is declared.
  - Secrets of connectors are never given back by the server. They are written when the connector is made, with any
    other change of it, and by themselves with O(update_secrets) only.
  - Stops at the first failure and says what was done and what was not. A second run does the rest.
extends_documentation_fragment:
  - banking.platform.kibana
  - banking.platform.http_session
  - banking.platform.rest_run
attributes:
  check_mode:
    support: full
    description:
      - Nothing is changed, and what would be refused is refused. Before Kibana is there, everything is reported as
        deferred.
  diff_mode:
    support: full
    description: One difference a thing, in the form in which both sides are compared, secrets masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller, or where the task is delegated to, with Python 3.11 and the package urllib3.
options:
  spaces:
    description:
      - Spaces, each with C(id), C(name), C(description), C(initials), C(color), C(disabledFeatures), C(imageUrl), and
        as far as the server knows it C(solution).
    type: list
    elements: dict
  connectors:
    description:
      - Connectors, each with C(space) (C(default) by default), C(id), C(name), C(connector_type_id), C(config),
        C(secrets). The type cannot be changed. Those in C(kibana.yml) cannot be changed at all.
      - A change replaces the secrets, too. It is refused where none are declared; C(secrets={}) says that there are
        none.
    type: list
    elements: dict
  saved_objects:
    description:
      - Saved objects, each with C(space) (C(default) by default), C(type), C(id), C(attributes), C(references),
        C(coreMigrationVersion), C(typeMigrationVersion), as an export has them. What else an export has is left out.
      - Only types that can be exported and imported. Connectors, alerting rules and spaces are declared in their own
        options.
    type: list
    elements: dict
  alerts:
    description:
      - Alerting rules, each with C(space) (C(default) by default), C(id), C(name), C(rule_type_id), C(consumer),
        C(schedule), C(params), C(actions), C(enabled) (true by default), C(tags), C(notify_when), C(throttle), and as
        far as the server knows them C(alert_delay), C(flapping).
      - The C(id) is a UUID, as Kibana asks for; the filter P(ansible.builtin.to_uuid#filter) makes one of a text.
      - C(rule_type_id) and C(consumer) cannot be changed. A connector that is neither declared nor there is refused.
    type: list
    elements: dict
  prune:
    description:
      - Whether to delete what is there and not declared, of the lists that are given (also when they are empty), in the
        spaces that are declared or in which something of the list is. Of saved objects, only types of which one is
        declared in the space.
      - What Kibana calls its own (C(managed), C(_reserved), preconfigured) stays, and rules of C(siem) and
        C(monitoring). So does a connector that an alerting rule still uses, which is warned of.
    type: bool
    default: false
  prune_protected:
    description: Whether spaces are pruned too. Everything in them is lost.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Configure Kibana
  banking.platform.kibana_config:
    url: https://kibana.bank.local:5601
    ca_path: /etc/platform/ca.pem
    username: elastic
    password: "{{ lookup('banking.platform.secret', 'env:ELASTIC_PASSWORD') }}"
    spaces:
      - {id: payments, name: Payments, color: "#00bfb3", disabledFeatures: [ml]}
    connectors:
      - space: payments
        id: "{{ 'payments/on-call' | ansible.builtin.to_uuid }}"
        name: On call
        connector_type_id: .webhook
        config: {url: https://alerts.bank.local/hook, method: post, hasAuth: true}
        secrets: {user: kibana, password: "{{ webhook_password }}"}
    saved_objects:
      - space: payments
        type: index-pattern
        id: payments-logs
        attributes: {title: logs-payments.*, timeFieldName: "@timestamp"}
    alerts:
      - space: payments
        id: "{{ 'payments/errors' | ansible.builtin.to_uuid }}"
        name: Errors of payments
        rule_type_id: .es-query
        consumer: stackAlerts
        schedule: {interval: 5m}
        params:
          searchType: esQuery
          index: [logs-payments.*]
          timeField: "@timestamp"
          esQuery: '{"query": {"match": {"log.level": "error"}}}'
          size: 0
          threshold: [10]
          thresholdComparator: ">"
          timeWindowSize: 5
          timeWindowUnit: m
        actions:
          - id: "{{ 'payments/on-call' | ansible.builtin.to_uuid }}"
            group: query matched
            params: {body: "{% raw %}{{context.message}}{% endraw %}"}
            frequency: {summary: false, notify_when: onActionGroupChange, throttle: null}
  delegate_to: localhost
"""

RETURN = r"""
plan:
  description: One step for each thing that changes or would change; after a failure, what was done and what was not.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: alerting rule
      target: payments/9d8c9f0e-6a0e-5d0c-a7d5-0d6f3ec1b0b2
      action: update
      before: {enabled: false}
      after: {enabled: true}
counts:
  description: How many things are created, updated, deleted, or left as they are.
  returned: always
  type: dict
  sample: {create: 2, update: 1, delete: 0, none: 31}
deferred:
  description: In check mode, what has to come first.
  returned: always
  type: list
  elements: str
requests:
  description: How many requests were sent to Kibana, by method. Saved objects are read by POST, too.
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
from ansible_collections.banking.platform.plugins.module_utils.kibana_config import (
    CONNECTION,
    DECLARED,
    KibanaApi,
    refuse,
    wishes_of,
)
from ansible_collections.banking.platform.plugins.module_utils.rest import Reconciler, Wish

_THINGS = {"type": "list", "elements": "dict"}
SPEC = {
    **CONNECTION,
    "spaces": _THINGS,
    "connectors": _THINGS,
    "saved_objects": _THINGS,
    "alerts": _THINGS,
    **rest_run.OPTIONS,
}


class Run(rest_run.Run):
    """One run."""

    first = "a Kibana that answers"
    declared = DECLARED

    def wishes(self) -> List[Wish]:
        return wishes_of(self.params)

    def client(self) -> KibanaApi:
        return KibanaApi(self.params)

    def refuse(self, api: KibanaApi, reconciler: Reconciler) -> List[str]:
        return refuse(api, reconciler, self.wishes())


def main() -> None:
    rest_run.end(Run, AnsibleModule(argument_spec=SPEC, supports_check_mode=True))


if __name__ == "__main__":
    main()
