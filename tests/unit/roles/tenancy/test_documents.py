# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of the source documents, as they are written there: the simulator finds what res-B11 says of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Pod, Simulator
from ansible_collections.banking.platform.tests.unit.roles.tenancy.test_edges import world

FIRST = """
podSelector: {matchLabels: {app: banking-app}}
policyTypes: [Ingress, Egress]
ingress:
  - from:
      - namespaceSelector: {matchLabels: {name: istio-system}}
      - podSelector: {matchLabels: {app: istio-gateway}}
    ports: [{protocol: TCP, port: 8080}]
egress:
  - to: [{podSelector: {matchLabels: {app: postgres}}}]
    ports: [{protocol: TCP, port: 5432}]
  - to: [{podSelector: {matchLabels: {app: keycloak}}}]
    ports: [{protocol: TCP, port: 8080}]
"""
SECOND = """
podSelector: {matchLabels: {tier: banking}}
policyTypes: [Ingress, Egress]
ingress:
  - from: [{podSelector: {matchLabels: {tier: frontend}}}]
    ports: [{protocol: TCP, port: 8080}]
egress:
  - to: [{podSelector: {matchLabels: {tier: database}}}]
    ports: [{protocol: TCP, port: 5432}]
"""
# What res-B11 names: the edges of an application.
EDGES = {
    "gateway": ("istio/gateway", "{app}", 8080),
    "metrics": ("prometheus/prometheus", "{app}", 15020),
    "names": ("{app}", "kubernetes/coredns", 53),
    "certificates of the sidecar": ("{app}", "istio/istiod", 15012),
    "spans": ("{app}", "tracing/agent", 4317),
    "database": ("{app}", "postgresql/pooler", 5432),
    "logins": ("{app}", "keycloak/keycloak", 8443),
}


def cut_off(app: str, made: list[dict[str, Any]], **labels: str) -> set[str]:
    """The edges of an application that policies do not let pass; its pods may have more labels."""
    platform = world("prod")
    simulator = Simulator(made, platform.simulator()._namespaces)
    things = {name: item.thing for name, item in platform.inhabitants.items()}
    pod = things[app]
    assert isinstance(pod, Pod)
    things[app] = dataclasses.replace(pod, labels={**pod.labels, **labels})
    return {
        name
        for name, (source, target, port) in EDGES.items()
        if not simulator.passes(things[source.format(app=app)], things[target.format(app=app)], port)
    }


def policy(namespace: str, spec: str) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "of-the-document", "namespace": namespace}, "spec": yaml.safe_load(spec)}]


def test_the_first_document_cuts_its_application_off():
    """All of its edges: gateway and its namespace carry other labels, and no peer is in the application's namespace."""
    assert cut_off("banking_apps/banking-app", policy("banking-system", FIRST)) == set(EDGES)


def test_the_second_document_cuts_its_services_off():
    found = cut_off("banking_apps/core-banking-accounts", policy("banking-services", SECOND), tier="banking")
    assert found == set(EDGES)


def test_the_second_document_isolates_nothing_without_its_own_label():
    """Its Deployment has no `tier`: its policy would select no pod at all."""
    assert not cut_off("banking_apps/core-banking-accounts", policy("banking-services", SECOND))


@pytest.mark.parametrize("app", ["banking_apps/banking-app", "banking_apps/core-banking-accounts"])
def test_the_generated_policies_let_every_one_of_them_pass(app):
    assert not cut_off(app, world("prod").policies)
