# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `cert_manager` delivers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
VAULT = {
    "address": "https://vault.example.org:8200",
    "path": "pki_int/sign/cluster",
    "role": "cert-manager",
    "ca": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("cert_manager", release)
    values = found.values["cert-manager"]
    for name, given in {
        "controller": values,
        "webhook": values["webhook"],
        "cainjector": values["cainjector"],
        "trust-manager": found.values["trust-manager"],
    }.items():
        wanted = found.workload(name)
        assert given["replicaCount"] == wanted.replicas, name
        assert set(given["resources"]["requests"]) == {"cpu", "memory"}, name
        assert len(given["topologySpreadConstraints"]) == 1, name
        assert given["affinity"], name
        assert given["podDisruptionBudget"] == {"enabled": True, "maxUnavailable": 1}, name


def test_a_self_signed_root_signs_as_long_as_there_is_no_vault(rendered: Render) -> None:
    found = rendered("cert_manager", "2024.1").objects
    assert found["ClusterIssuer", "internal"]["spec"] == {"ca": {"secretName": "platform-internal"}}
    assert found["Certificate", "platform-internal"]["spec"]["issuerRef"]["name"] == "platform-root"
    assert found["Bundle", "platform-ca"]["spec"]["sources"] == [
        {"secret": {"name": "platform-root", "key": "tls.crt"}}
    ]
    assert ("ServiceAccount", "vault-issuer") not in found


def test_vault_signs_when_it_is_there(rendered: Render) -> None:
    found = rendered("cert_manager", "2026.2", cert_manager_vault=VAULT, cert_manager_authorities=["bank's"]).objects
    issuer = found["ClusterIssuer", "internal"]["spec"]
    assert set(issuer) == {"vault"}
    assert issuer["vault"]["auth"]["kubernetes"] == {
        "role": "cert-manager",
        "mountPath": "/v1/auth/kubernetes",
        "serviceAccountRef": {"name": "vault-issuer"},
    }
    assert not [name for kind, name in found if kind == "Certificate" and name != "gate"]
    sources = found["Bundle", "platform-ca"]["spec"]["sources"]
    assert sources == [{"inLine": "bank's\n"}, {"inLine": VAULT["ca"]}]


def test_the_root_stays_trusted_while_vault_takes_over(rendered: Render) -> None:
    found = rendered("cert_manager", "2024.1", cert_manager_vault=VAULT, cert_manager_self_signed=True).objects
    assert "vault" in found["ClusterIssuer", "internal"]["spec"]
    assert ("Certificate", "platform-root") in found
    assert len(found["Bundle", "platform-ca"]["spec"]["sources"]) == 2


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    assert ("PrometheusRule", "cert-manager") not in rendered("cert_manager", "2024.1").objects
    found = rendered("cert_manager", "2024.1", cert_manager_monitoring=True)
    rules = found.objects["PrometheusRule", "cert-manager"]["spec"]["groups"][0]["rules"]
    assert [(rule["alert"], rule["labels"]["severity"]) for rule in rules] == [
        ("CertificateNotReady", "warning"),
        ("CertificateExpires", "critical"),
        ("CertificateExpires", "warning"),
    ]
    assert rules[1]["annotations"]["summary"].startswith("Certificate {{ $labels.name }} ends in less than 3 days")
    assert found.values["cert-manager"]["prometheus"]["servicemonitor"] == {"enabled": True}
