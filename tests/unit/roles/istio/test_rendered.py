# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `istio` delivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
ROUTES = [
    {"host": "api.example.org", "prefix": "/", "namespace": "shop", "service": "web", "port": 8080},
    {"host": "api.example.org", "prefix": "/cards", "namespace": "bank", "service": "cards", "port": 8081},
]
CARDS = {"name": "cards", "hosts": ["api.cards.example"], "from": ["banking_apps/core-banking-accounts"]}
SMALL = {"replicas": 1, "requests": {"cpu": "10m"}}
PLATFORM = {
    "banking_apps": {
        "namespace": "banking-services",
        "workloads": {"core-banking-accounts": {**SMALL, "service_account": "core-banking-accounts"}},
    },
    "keycloak": {"namespace": "banking-auth", "workloads": {"keycloak": SMALL}},
}
OUT = {"istio_egress": [CARDS], "__istio_platform": PLATFORM}
ACCOUNTS = "cluster.local/ns/banking-services/sa/core-banking-accounts"


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("istio", release, **OUT)
    values, istiod = found.charts, found.workload("istiod")
    pilot = values["istiod"]["pilot"]
    assert pilot["replicaCount"] == istiod.replicas == 3
    assert pilot["resources"]["requests"] == {"cpu": "200m", "memory": "256Mi"}
    assert len(pilot["topologySpreadConstraints"]) == len(pilot["affinity"]) == 1
    for release_name, name in (("istio-ingressgateway", "gateway"), ("istio-egressgateway", "egress")):
        wanted = found.workload(name)
        given = values[release_name]
        replicas = given["autoscaling"].get("minReplicas") or given["replicaCount"]
        assert int(replicas) == wanted.replicas, name
        assert given["topologySpreadConstraints"][0]["labelSelector"] == {
            "matchLabels": wanted.selector["matchLabels"]
        }, name
        assert given["podDisruptionBudget"], name
    assert values["istio-ingressgateway"]["service"] == {"externalTrafficPolicy": "Local", "type": "LoadBalancer"}
    assert values["istio-egressgateway"]["service"]["type"] == "ClusterIP"


@pytest.mark.parametrize("release", RELEASES)
def test_the_mesh_is_as_the_documents_ask(rendered: Render, release: str) -> None:
    """Requirement M1, res-B6, res-B9."""
    values = rendered("istio", release).charts
    istiod = values["istiod"]
    assert (istiod["global"]["meshID"], istiod["global"]["network"]) == ("banking-mesh", "banking-network")
    assert istiod["meshConfig"]["meshMTLS"] == {"minProtocolVersion": "TLSV1_3"}
    assert istiod["meshConfig"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    assert istiod["meshConfig"]["localityLbSetting"] == {"enabled": True}
    # Each line of charts knows the plugin by another value.
    chained = istiod["istio_cni"] if release == "2024.1" else istiod["pilot"]["cni"]
    assert chained["enabled"] is True
    assert "istio-cni" in values


def test_without_the_plugin_neither_chart_speaks_of_it(rendered: Render) -> None:
    operator = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {
            "components": {
                "cni": {"enabled": False},
                "pilot": {"k8s": {"resources": {"requests": {"cpu": 1, "memory": 1}}}},
            }
        },
    }
    found = rendered("istio", "2026.2", istio_operator=operator)
    assert set(found.charts) == {"istio-base", "istiod"}
    assert found.charts["istiod"]["pilot"]["cni"] == {"enabled": False}
    # Without a gateway, there is no way in, and nothing of it.
    assert not [kind for kind, _name in found.objects if kind in ("Gateway", "VirtualService", "Certificate")]


def test_early_everything_is_let_pass_and_made_only_once(rendered: Render) -> None:
    early = rendered("istio", "2024.1").objects["PeerAuthentication", "default"]
    assert early["spec"] == {"mtls": {"mode": "PERMISSIVE"}}
    assert early["metadata"]["annotations"]["platform.banking/create-only"] == "true"
    late = rendered("istio", "2024.1", tasks="enforce").objects["PeerAuthentication", "default"]
    assert late["spec"] == {"mtls": {"mode": "STRICT"}}
    assert "annotations" not in late["metadata"]
    assert late["metadata"]["namespace"] == early["metadata"]["namespace"] == "istio-system"


def test_longer_prefixes_come_first_and_writes_are_not_sent_twice(rendered: Render) -> None:
    """Requirement M2, res-E11."""
    found = rendered("istio", "2024.1", istio_routes=ROUTES).objects
    routes = found["VirtualService", "api.example.org"]["spec"]["http"]
    assert [route["name"] for route in routes] == ["cards-reads", "cards-writes", "web-reads", "web-writes"]
    reads, writes = routes[:2]
    assert reads["match"] == [{"uri": {"prefix": "/cards"}, "method": {"regex": "GET|HEAD|OPTIONS"}}]
    assert writes["match"] == [{"uri": {"prefix": "/cards"}}]
    assert writes["route"] == [{"destination": {"host": "cards.bank.svc.cluster.local", "port": {"number": 8081}}}]
    # Nothing that a server may have begun to do is asked of it again.
    assert set(writes["retries"]["retryOn"].split(",")) == {"connect-failure", "refused-stream"}
    for route in routes:
        tries = route["retries"]["attempts"] + 1
        assert tries * seconds(route["retries"]["perTryTimeout"]) <= seconds(route["timeout"]) == 30
    gateway = found["Gateway", "banking-gateway"]["spec"]["servers"]
    assert gateway[0]["tls"] == {
        "mode": "SIMPLE",
        "credentialName": found["Certificate", "banking-gateway"]["spec"]["secretName"],
        "minProtocolVersion": "TLSV1_3",
    }
    assert gateway[1]["tls"] == {"httpsRedirect": True}
    assert found["Certificate", "banking-gateway"]["spec"]["dnsNames"] == ["api.example.org"]


def test_each_service_fails_over_to_another_zone(rendered: Render) -> None:
    """Requirement M3: locality counts only where failing instances are found out."""
    found = rendered("istio", "2024.1", istio_routes=ROUTES).objects
    for name, host in (("web.shop", "web.shop.svc.cluster.local"), ("cards.bank", "cards.bank.svc.cluster.local")):
        spec = found["DestinationRule", name]["spec"]
        assert spec["host"] == host
        assert spec["trafficPolicy"]["outlierDetection"]["consecutive5xxErrors"] == 5
        assert spec["trafficPolicy"]["loadBalancer"]["localityLbSetting"] == {"enabled": True}
        assert spec["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] == 100


def test_routes_in_the_words_of_the_gateway_api(rendered: Render) -> None:
    found = rendered("istio", "2026.2", istio_routes=ROUTES, istio_api="gateway-api").objects
    assert [name for kind, name in found if kind == "VirtualService"] == ["argocd.example.org"]
    gateway = found["Gateway", "banking-gateway"]
    assert gateway["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert gateway["spec"]["listeners"][0]["hostname"] == "api.example.org"
    rules = found["HTTPRoute", "api.example.org"]["spec"]["rules"]
    assert [rule["matches"][0]["path"]["value"] for rule in rules] == ["/cards", "/"]
    grants = [item for (kind, _name), item in found.items() if kind == "ReferenceGrant"]
    assert {item["metadata"]["namespace"] for item in grants} <= {"bank", "shop"}


def test_a_service_with_its_own_certificate_keeps_its_tls(rendered: Render) -> None:
    found = rendered("istio", "2024.1").objects
    (server,) = found["Gateway", "argocd.example.org"]["spec"]["servers"]
    assert (server["port"]["protocol"], server["tls"]) == ("TLS", {"mode": "PASSTHROUGH"})
    way = found["VirtualService", "argocd.example.org"]["spec"]
    assert way["gateways"] == ["argocd.example.org"]
    (tls,) = way["tls"]
    assert tls["match"] == [{"port": 443, "sniHosts": ["argocd.example.org"]}]
    assert tls["route"][0]["destination"]["host"] == "argocd-server.argocd.svc.cluster.local"
    # The certificate that clients see is the service's own.
    assert "argocd.example.org" not in found["Certificate", "banking-gateway"]["spec"]["dnsNames"]


def test_the_way_out_is_for_whom_it_is_named(rendered: Render) -> None:
    found = rendered("istio", "2024.1", **OUT).objects
    entry = found["ServiceEntry", "cards"]["spec"]
    assert entry["exportTo"] == ["istio-system", "banking-services"]
    assert entry["ports"] == [{"number": 443, "name": "tls", "protocol": "TLS"}]
    assert found["Gateway", "egress-cards"]["spec"]["servers"][0]["tls"] == {"mode": "ISTIO_MUTUAL"}
    way = found["VirtualService", "egress-cards-1"]["spec"]
    rule = found["DestinationRule", "egress-cards"]["spec"]
    assert way["tls"][0]["route"][0]["destination"]["subset"] == rule["subsets"][0]["name"]
    assert way["tls"][0]["route"][0]["destination"]["host"] == rule["host"]
    assert way["tcp"][0]["route"] == [{"destination": {"host": "api.cards.example", "port": {"number": 443}}}]
    ports = [
        entry
        for entry in rendered("istio", "2024.1", **OUT).declared.ports  # type: ignore[union-attr]
        if entry["name"] == "egress"
    ]
    assert ports[0]["from"] == ["banking_apps/core-banking-accounts"]


def test_gateways_let_pass_what_is_theirs(rendered: Render) -> None:
    found = rendered("istio", "2024.1", tasks="enforce", **OUT).objects
    assert found["AuthorizationPolicy", "istio-ingressgateway"]["spec"]["rules"] == [
        {"to": [{"operation": {"ports": ["80", "443"]}}]}
    ]
    assert found["AuthorizationPolicy", "istio-egressgateway"]["spec"]["rules"] == [
        {
            "from": [{"source": {"principals": [ACCOUNTS]}}],
            "to": [{"operation": {"ports": ["443"]}}],
            "when": [{"key": "connection.sni", "values": ["api.cards.example"]}],
        }
    ]


def test_a_gateway_that_nobody_may_use_is_not_there(rendered: Render) -> None:
    found = rendered("istio", "2024.1")
    assert "istio-egressgateway" not in found.charts
    assert found.workload("egress").replicas == 0
    # Where the document insists on one, an ALLOW without rules lets nobody pass.
    gateway = {"egressGateways": [{"name": "istio-egressgateway"}]}
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}}
    operator = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "spec": {"components": {**gateway, "pilot": {"k8s": {"resources": resources}}}},
    }
    late = rendered("istio", "2024.1", tasks="enforce", istio_operator=operator).objects
    closed = late["AuthorizationPolicy", "istio-egressgateway"]["spec"]
    assert "rules" not in closed
    assert closed["action"] == "ALLOW"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("banking_app/web", "there is no component 'banking_app': did you mean 'banking_apps'?"),
        ("banking_apps/web", "banking_apps has no workload 'web'"),
        ("keycloak/keycloak", "keycloak/keycloak has no service_account"),
    ],
)
def test_who_is_not_known_to_the_mesh_cannot_be_let_out(rendered: Render, name: str, message: str) -> None:
    with pytest.raises(AssertionError, match="(?s)" + message.replace("?", r"\?")):
        rendered("istio", "2024.1", tasks="enforce", **{**OUT, "istio_egress": [{**CARDS, "from": [name]}]})


@pytest.mark.parametrize("release", RELEASES)
def test_nothing_that_asks_istiod_comes_before_it(rendered: Render, release: str) -> None:
    """Its webhook refuses while istiod is away, so what it is asked about waits for it."""
    found: dict[Any, Any] = rendered("istio", release, **OUT).objects
    assert found["ValidatingWebhookConfiguration", "istio-validator-istio-system"]["webhooks"][0]["failurePolicy"] == (
        "Fail"
    )
    asked = [item for item in found.values() if ".istio.io/" in item["apiVersion"]]
    assert len(asked) > 10
    assert all(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] == "1" for item in asked)
