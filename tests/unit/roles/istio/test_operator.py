# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an IstioOperator document becomes, and what it may not say."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.filter.istio_values import istio_values
from ansible_collections.banking.platform.plugins.module_utils.istio_operator import OperatorError, values

# The first source document's own, as it is written there.
DOCUMENT = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: banking-system
spec:
  values:
    global:
      meshID: banking-mesh
      network: banking-network
    pilot:
      env:
        EXTERNAL_ISTIOD: false
  components:
    pilot:
      k8s:
        resources:
          requests:
            cpu: 200m
            memory: 128Mi
    ingressGateways:
    - name: istio-ingressgateway
      enabled: true
      k8s:
        service:
          type: LoadBalancer
"""


def document(spec: str) -> Any:
    return {"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator", "spec": yaml.safe_load(spec)}


def test_the_source_document_is_translated_as_it_stands() -> None:
    assert values(yaml.safe_load(DOCUMENT)) == {
        "istiod": {
            "global": {"meshID": "banking-mesh", "network": "banking-network"},
            "pilot": {
                # As text: a chart would write YAML's false as another word.
                "env": {"EXTERNAL_ISTIOD": "false"},
                "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}},
            },
        },
        "cni": None,
        "ingress": {"name": "istio-ingressgateway", "values": {"service": {"type": "LoadBalancer"}}},
        "egress": None,
    }


def test_everything_that_charts_take_reaches_them() -> None:
    found = values(
        document(
            """
            meshConfig: {enableTracing: true}
            values:
              meshConfig: {enableTracing: false, accessLogEncoding: TEXT}
              pilot: {env: {A: 1}, traceSampling: 2}
            components:
              base: {enabled: true}
              cni: {enabled: false}
              pilot:
                k8s:
                  env: [{name: B, value: two}]
                  hpaSpec: {minReplicas: 2, maxReplicas: 4}
                  nodeSelector: {disk: ssd}
              ingressGateways:
              - {name: old, enabled: false}
              - name: front
                label: {istio: front}
                k8s:
                  hpaSpec: {minReplicas: 3, maxReplicas: 6}
                  serviceAnnotations: {a: b}
                  env: [{name: C, value: true}]
                  resources: {requests: {cpu: 1}}
              egressGateways: [{name: back}]
            """
        )
    )
    assert found["istiod"] == {
        "pilot": {
            "env": {"A": "1", "B": "two"},
            "traceSampling": 2,
            "nodeSelector": {"disk": "ssd"},
            "autoscaleEnabled": True,
            "autoscaleMin": 2,
            "autoscaleMax": 4,
        },
        "meshConfig": {"enableTracing": True, "accessLogEncoding": "TEXT"},
    }
    assert found["cni"] is False
    assert found["ingress"] == {
        "name": "front",
        "values": {
            "resources": {"requests": {"cpu": 1}},
            "env": {"C": "true"},
            "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 6},
            "service": {"annotations": {"a": "b"}},
            "labels": {"istio": "front"},
        },
    }
    assert found["egress"] == {"name": "back", "values": {}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{tag: 1.20.0}", "spec: unknown field 'tag'"),
        ("{profile: demo}", "spec: unknown field 'profile'"),
        ("{values: {gateways: {}}}", "spec.values: unknown field 'gateways'"),
        ("{values: {global: {meshId: a}}}", "spec.values.global: unknown field 'meshId': did you mean 'meshID'?"),
        ("{values: {pilot: {image: a}}}", "spec.values.pilot: unknown field 'image'"),
        ("{components: {pilots: {}}}", "spec.components: unknown field 'pilots': did you mean 'pilot'?"),
        ("{components: {pilot: {enabled: false}}}", "spec.components.pilot.enabled: there is no mesh without it"),
        ("{components: {pilot: {k8s: {strategy: {}}}}}", "spec.components.pilot.k8s: unknown field 'strategy'"),
        ("{components: {cni: {enabled: maybe}}}", "spec.components.cni.enabled: true or false is wanted, not 'maybe'"),
        ("{components: {ingressGateways: {name: a}}}", "spec.components.ingressGateways: a list is wanted"),
        ("{components: {ingressGateways: [{enabled: true}]}}", "ingressGateways[0]: no name"),
        ("{components: {ingressGateways: [{name: a}, {name: b}]}}", "2 gateways are enabled, and the platform has one"),
        (
            "{components: {ingressGateways: [{name: a, k8s: {service: {port: 1}}}]}}",
            "ingressGateways[0].k8s.service: unknown field 'port': did you mean 'ports'?",
        ),
        # Of a gateway that is not enabled, too: one day it is.
        ("{components: {egressGateways: [{name: a, enabled: false, k8s: {x: 1}}]}}", "k8s: unknown field 'x'"),
        ("{components: {pilot: {k8s: {hpaSpec: {minReplicas: 1}}}}}", "minReplicas and maxReplicas are wanted"),
        ("{components: {pilot: {k8s: {env: [{name: a}]}}}}", "k8s.env[0]: name and value are wanted"),
        ("[]", "spec: a mapping is wanted"),
    ],
)
def test_what_no_chart_would_heed_is_refused(spec: str, message: str) -> None:
    with pytest.raises(OperatorError, match=re.escape(message)):
        values(document(spec))


@pytest.mark.parametrize("wrong", [{"kind": "Istio"}, {"apiVersion": "install.istio.io/v1"}, {"metadata": {"uid": 1}}])
def test_another_document_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"istio_values: .*(IstioOperator|unknown field)"):
        istio_values({**document("{}"), **wrong})
