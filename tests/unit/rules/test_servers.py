# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about release, servers, cluster, network, security and backups, each with settings it refuses and lets pass.

The platform under test is made of the roles' own declarations and defaults, so that these must pass too.
"""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils import catalog, declarations
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding
from ansible_collections.banking.platform.plugins.module_utils.rules import servers
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import RULES, Platform
from ansible_collections.banking.platform.plugins.module_utils.topology import Node

ROOT = Path(__file__).parents[3]
ROLES = (
    "api_lb argocd autoscaling backup calico cert_manager chaos compliance data_volumes etcd falco gatekeeper harbor "
    "image_trust istio kubernetes metallb rollouts secrets storage tenancy trivy vault"
).split()
ZONES = ("zone-a", "zone-b", "zone-c")
TODAY = datetime.date(2026, 11, 23)
LOADER = DataLoader()

NODES = [
    Node(f"{kind}-{zone[-1]}{number}", zone, f"10.20.{ZONES.index(zone) + 1}.{address}")
    for zone in ZONES
    for kind, number, address in (("cp", 1, 11), ("worker", 1, 21), ("worker", 2, 22), ("vault", 1, 31))
]
GROUPS = {
    "node": [node.name for node in NODES],
    "control_plane": ["cp-a1", "cp-b1", "cp-c1"],
    "etcd": ["cp-a1", "cp-b1", "cp-c1"],
    "worker": [node.name for node in NODES if node.name.startswith("worker")],
    "vault": ["vault-a1", "vault-b1", "vault-c1"],
}
# What the inventory of a production adds to the defaults.
SETTINGS = {
    "platform_domain": "platform.bank.example",
    "platform_groups": {name: name for name in GROUPS},
    "api_lb_virtual_ip": "10.20.0.10",
    "metallb_pool": ["10.20.9.10-10.20.9.50"],
}
ROUTERS = {"as_number": 64512, "peers": [{"name": "tor", "address": "10.20.1.1", "as_number": 64500}]}
SHARED = {**GROUPS, "vault": GROUPS["control_plane"]}


@cache
def content(path: str) -> Any:
    """A file of the collection whose templates count."""
    return LOADER.load_from_file(str(ROOT / path), trusted_as_template=True)


def platform(
    environment: str = "prod",
    release: str = "2026.2",
    groups: Any = None,
    zones: tuple[str, ...] = ZONES,
    today: datetime.date = TODAY,
    overrides: Any = None,
    **variables: Any,
) -> Platform:
    """All of these roles with their defaults, an inventory's settings, and some variables set."""
    given = {key: value for role in ROLES for key, value in content(f"roles/{role}/defaults/main.yml").items()}
    given.update(SETTINGS)
    rendered = Templar(
        loader=LOADER,
        variables={**given, "platform_release": release, "groups": groups or GROUPS, **variables},
    )
    parsed = [declarations.parse(role, rendered.template(content(f"roles/{role}/meta/platform.yml"))) for role in ROLES]
    return Platform(
        environment=environment,
        zones=zones,
        nodes=NODES,
        groups=groups or GROUPS,
        declarations=[declaration for declaration in parsed if declaration],
        variables={**given, **variables},
        catalog=catalog.load(release, overrides),
        today=today,
    )


def accept(until: Any = "2027-06-30", **changes: Any) -> dict[str, Any]:
    """An acceptance with some of its keys changed; None takes one out."""
    entry = {"reason": "the documents ask for it", "approved_by": "the CISO", "until": until, **changes}
    return {key: value for key, value in entry.items() if value is not None}


def tiers(which: str, **changes: Any) -> dict[str, Any]:
    """`backup_tiers` with one of them changed."""
    default = content("roles/backup/defaults/main.yml")["backup_tiers"]
    return {"backup_tiers": [{**tier, **changes} if tier["name"] == which else tier for tier in default]}


def tang(*zones: str, threshold: Any = 2) -> dict[str, Any]:
    """A Tang server in each of these zones."""
    return {
        "data_volumes_unlock": "tang",
        "data_volumes_tang_servers": [{"zone": zone} for zone in zones],
        "data_volumes_tang_threshold": threshold,
    }


def entry(component: str, **changes: Any) -> dict[str, Any]:
    """A catalog in which one component's entry is changed."""
    return {"overrides": {"components": {component: changes}}}


OLD = {"release": "2024.1"}
RISK = "vault_on_control_plane"

# Rule, settings that it refuses, how bad it is, and words of the finding (cause, then next step) with their figures.
REFUSED = [
    ("release-eol", OLD, "error", ["2024.1", "1.28.15", "2024-10-28", "not accepted", "platform_accept_eol"]),
    ("release-eol", {**OLD, "platform_accept_eol": True}, "error", ["True, no mapping"]),
    ("release-eol", {**OLD, "platform_accept_eol": accept(reason=" ")}, "error", ["lacks reason"]),
    ("release-eol", {**OLD, "platform_accept_eol": {"until": "2027-01-01"}}, "error", ["lacks reason, approved_by"]),
    ("release-eol", {**OLD, "platform_accept_eol": accept("soon")}, "error", ["'soon', which is no date"]),
    ("release-eol", {**OLD, "platform_accept_eol": accept("2026-11-22")}, "error", ["2026-11-22, 1 days ago"]),
    (
        "release-eol",
        {**OLD, "platform_accept_eol": accept("2026-12-23")},
        "warning",
        ["the CISO", "(30 days)", "renew"],
    ),
    (
        "release-eol",
        {**OLD, "platform_accept_eol": accept(datetime.date(2026, 12, 24))},
        "info",
        ["(31 days): the documents"],
    ),
    ("release-eol", {"today": datetime.date(2027, 3, 1)}, "error", ["2026.2", "2027-02-28"]),
    ("release-eol", {"today": datetime.date(2027, 2, 28)}, "warning", ["2027-02-28, in 0 days", "plan the upgrade"]),
    ("release-eol", {"today": datetime.date(2026, 11, 30)}, "warning", ["2026.2 (Kubernetes 1.35.8)", "in 90 days"]),
    ("accepted-risks", {"platform_accept_risks": {"vault_on_control_plan": accept()}}, "error", [f"'{RISK}'?"]),
    ("accepted-risks", {"platform_accept_risks": [RISK]}, "error", ["is no mapping", "approved_by"]),
    ("component-eol", entry("velero", eol="2026-11-22"), "warning", ["velero 1.18.1", "since 2026-11-22"]),
    (
        "kubernetes-range",
        entry("velero", kubernetes="1.33-1.34"),
        "warning",
        ["velero 1.18.1", "1.33-1.34, the release has 1.35"],
    ),
    ("kubernetes-range", entry("velero", kubernetes="1.36-"), "warning", ["1.36-, the release has 1.35"]),
    ("kubernetes-range", entry("velero", kubernetes="1.34"), "warning", ["1.34, the release has 1.35"]),
    ("business-licence", {}, "info", ["vault 2.0.4", "BUSL-1.1", "openbao"]),
    ("image-tag", {"some_image": "registry.example/app:latest"}, "error", ["'registry.example/app:latest'"]),
    ("image-tag", {"some_image": "registry.example:5000/app"}, "error", ["no tag means latest"]),
    ("image-tag", {"some_images": {"core": "a/core:latest", "job": "a/job:1"}}, "error", ["'a/core:latest'"]),
    ("image-tag", {"some_list": [{"image": "a/b:latest"}]}, "error", ["'a/b:latest'"]),
    ("vault-seal", {"vault_seal": "pkcs11"}, "error", ["Enterprise only", "openbao"]),
    ("vault-seal", {"vault_seal": "static", "vault_flavor": "openbao"}, "error", ["lies on the servers themselves"]),
    ("vault-seal", {"vault_seal": "transit"}, "error", ["no other Vault is named"]),
    (
        "vault-seal",
        {"vault_seal": "transit", "vault_seal_address": "https://10.20.1.31:8200/x"},
        "error",
        ["10.20.1.31 is this Vault itself"],
    ),
    (
        "vault-seal",
        {"vault_seal": "transit", "vault_seal_address": "https://vault.platform.bank.example"},
        "error",
        ["vault.platform.bank.example is this Vault"],
    ),
    ("vault-seal", {"vault_seal": "shamier"}, "error", ["'shamier' is not known", "did you mean 'shamir'?"]),
    ("vault-seal", {"vault_flavor": "bao"}, "error", ["'bao' is not known"]),
    ("vault-seal", {"vault_licence": "02MV4UU43BK5HGYYTOJZW"}, "error", ["it is no reference"]),
    ("vault-seal", {"vault_licence": "vault:kv/licence"}, "error", ["needs it to start", "file:<path>"]),
    ("vault-seal", {"vault_flavor": "openbao", "vault_licence": "file:x"}, "warning", ["needs no licence"]),
    (
        "vault-on-control-plane",
        {"groups": SHARED},
        "error",
        ["3 servers", "cp-a1, cp-b1, cp-c1", "not accepted", f"platform_accept_risks.{RISK}"],
    ),
    (
        "vault-on-control-plane",
        {"groups": SHARED, "platform_accept_risks": {RISK: accept("2026-01-01")}},
        "error",
        ["ended on 2026-01-01, 326 days ago"],
    ),
    (
        "vault-on-control-plane",
        {"groups": SHARED, "platform_accept_risks": {RISK: accept("2026-11-23")}},
        "warning",
        ["(0 days)", "renew"],
    ),
    (
        "vault-on-control-plane",
        {"groups": SHARED, "platform_accept_risks": {RISK: accept()}},
        "info",
        ["accepted by the CISO until 2027-06-30"],
    ),
    ("vault-on-control-plane", {"groups": SHARED, "environment": "staging"}, "info", ["in production"]),
    ("vault-storage", {"vault_storage": "fast-ssd"}, "error", ["'fast-ssd'", "keys lie in Vault itself"]),
    (
        "vault-storage",
        {"vault_storage": "local", "storage_keys": "secret"},
        "error",
        ["'local' is no folder of a server"],
    ),
    ("data-volumes-unlock", {"data_volumes_unlock": "vault"}, "error", ["'vault': the data of Vault", "tang or tpm2"]),
    ("data-volumes-unlock", {"data_volumes_key_file": "vault:kv/luks"}, "error", ["take it out"]),
    ("data-volumes-tang", {"data_volumes": [{"name": "vault"}]}, "error", ["2 of 0 servers", "zone-a, zone-b, zone-c"]),
    ("data-volumes-tang", tang("a", "b"), "error", ["without a, 1 of 2 servers"]),
    ("data-volumes-tang", tang("a", "a", "b", "c"), "error", ["the 2 servers of a alone", "set it to 3"]),
    ("data-volumes-tang", tang("a", "b", "c", threshold="two"), "error", ["'two' is no number"]),
    ("etcd-quota", {"etcd_quota": "2 Gigs"}, "error", ["'2 Gigs' is no amount of bytes"]),
    ("etcd-quota", {"etcd_disk": "5Gi"}, "error", ["5Gi of disk for a quota of 2Gi", "6Gi", "1.7Gi or less"]),
    ("etcd-quota", {"etcd_quota": "9Gi", "etcd_disk": "40Gi"}, "warning", ["9Gi is more than the 8Gi"]),
    ("cluster-networks", {"kubernetes_pod_cidr": "10.244.0.0"}, "error", ["is enough for 0 nodes"]),
    ("cluster-networks", {"kubernetes_pod_cidr": "10.244.0.1/16"}, "error", ["'10.244.0.1/16' is no network"]),
    (
        "cluster-networks",
        {"kubernetes_service_cidr": "10.244.128.0/20"},
        "error",
        ["10.244.128.0/20 and the pods' 10.244.0.0/16 overlap"],
    ),
    (
        "cluster-networks",
        {"kubernetes_service_cidr": "10.20.2.0/24"},
        "error",
        ["10.20.2.0/24 holds the addresses of 4 nodes, such as cp-b1"],
    ),
    (
        "cluster-networks",
        {"kubernetes_pod_cidr": "10.244.0.0/21"},
        "error",
        ["enough for 8 nodes of 256 addresses each, there are 12", "/20 or shorter"],
    ),
    (
        "cluster-networks",
        {"calico_tunnel_cidr": "10.244.7.0/24"},
        "error",
        ["10.244.7.0/24 and the pods' 10.244.0.0/16 overlap"],
    ),
    (
        "cluster-networks",
        {"calico_tunnel_cidr": "10.245.0.0/29"},
        "error",
        ["enough for 8 nodes of 1 address each, there are 12", "/28 or shorter"],
    ),
    (
        "etcd-members",
        {"groups": {**GROUPS, "etcd": [*GROUPS["control_plane"], "worker-a1"]}},
        "error",
        ["4 members survive the loss of 1, no more than 3 would"],
    ),
    ("api-virtual-ip", {"api_lb_virtual_ip": ""}, "warning", ["one of 3 API servers"]),
    ("api-virtual-ip", {"api_lb_virtual_ip": "10.20.0.10/24"}, "error", ["'10.20.0.10/24' is no address"]),
    ("api-virtual-ip", {"api_lb_virtual_ip": "10.20.1.21"}, "error", ["10.20.1.21 is the address of worker-a1"]),
    ("api-virtual-ip", {"api_lb_virtual_ip": "10.20.4.1"}, "error", ["10.20.4.1 lies outside of 10.20.0.0/22"]),
    (
        "api-virtual-ip",
        {"metallb_pool": ["10.20.0.0/28"]},
        "error",
        ["10.20.0.10 lies in metallb_pool (10.20.0.0/28)"],
    ),
    (
        "api-virtual-ip",
        {"kubernetes_service_cidr": "10.20.0.0/24"},
        "error",
        ["lies in kubernetes_service_cidr (10.20.0.0/24)"],
    ),
    (
        "api-virtual-ip",
        {"api_lb_virtual_ip": "fd00::10", "api_lb_bgp": {"asn": 64512, "routers": []}},
        "error",
        ["fd00::10 is announced by BGP, which the role does for IPv4 only"],
    ),
    ("load-balancer", {"kubernetes_cloud_provider": "openstack"}, "error", ["'openstack' and MetalLB"]),
    ("load-balancer", {"metallb_enabled": False}, "error", ["nothing gives it an address"]),
    ("metallb-pool", {"metallb_pool": []}, "warning", ["it is empty"]),
    ("metallb-pool", {"metallb_pool": ["10.20.9.50-10.20.9.10"]}, "error", ["is no range of addresses"]),
    ("metallb-pool", {"metallb_pool": ["10.20.3.22-10.20.3.30"]}, "error", ["worker-c2 (10.20.3.22)"]),
    ("metallb-pool", {"metallb_pool": ["10.96.1.0/24"]}, "error", ["kubernetes_service_cidr (10.96.0.0/16)"]),
    (
        "mesh-retries",
        {"istio_per_try_timeout": "10s"},
        "error",
        ["first attempt and 3 more of 10 s take 40 s, the timeout 30 s", "7500ms or less", "40s or more"],
    ),
    ("mesh-retries", {"istio_timeout": "30"}, "error", ["'30' is no duration"]),
    ("mesh-retries", {"istio_retries": "many"}, "error", ["'many' is no number"]),
    ("metallb-announce", {"metallb_announce": "bgp"}, "error", ["names no routers", "as_number and peers"]),
    (
        "metallb-announce",
        {"metallb_announce": "bgp", "metallb_bgp": ROUTERS, "calico_bgp": {"as_number": 64512}},
        "error",
        ["both MetalLB and Calico", "calico_bgp.service_networks"],
    ),
    ("metallb-announce", {"metallb_announce": "calico"}, "error", ["has none", "networks of metallb_pool"]),
    (
        "mesh-api",
        {"istio_api": "gateway-api", "release": "2024.1"},
        "error",
        ["the Gateway API 1.0.0", "set it to istio"],
    ),
    ("mesh-mtls", {"istio_mtls": "permissive"}, "error", ["without a certificate", "strict"]),
    ("mesh-mtls", {"istio_mtls": "permissive", "environment": "staging"}, "warning", ["without a certificate"]),
    ("mesh-mtls", {"istio_mtls": "stricct", "environment": "staging"}, "error", ["did you mean 'strict'?"]),
    ("tls-minimum", {"platform_tls_minimum": 1.2}, "error", ["TLS 1.2 is let pass", '"1.3"']),
    ("tls-minimum", {"platform_tls_minimum": "TLSv1.2", "environment": "staging"}, "warning", ["TLS 1.2"]),
    ("tls-minimum", {"platform_tls_minimum": "new", "environment": "staging"}, "error", ["'new' is no version"]),
    ("tls-minimum", {"platform_tls_minimum": "1.4"}, "error", ["'1.4' is no version"]),
    ("domain-local", {"platform_domain": "banking.local"}, "warning", ["banking.local", "RFC 6762"]),
    (
        "harbor-bootstrap",
        {"harbor_image_registry": "Harbor.platform.bank.example:443/goharbor"},
        "error",
        ["harbor.platform.bank.example, which is Harbor"],
    ),
    ("image-trust-mode", {"image_trust_mode": "warn"}, "error", ["run in production", "enforce"]),
    ("image-trust-mode", {"image_trust_mode": "enforced"}, "error", ["did you mean 'enforce'?"]),
    ("chaos-in-production", {"chaos_enabled": True}, "error", ["not accepted", "set chaos_enabled to false"]),
    (
        "chaos-in-production",
        {"chaos_enabled": True, "platform_accept_risks": {"chaos_in_production": accept()}},
        "info",
        ["accepted by the CISO"],
    ),
    ("autoscaler-provider", {"autoscaling_provider": "aws"}, "error", ["'aws'", "clusterapi and externalgrpc"]),
    ("storage-failure-domain", {"storage_failure_domain": "host"}, "error", ["3 zones", "set it to zone"]),
    ("storage-failure-domain", {"storage_failure_domain": "zones"}, "error", ["did you mean 'zone'?"]),
    ("storage-copies", {"storage_copies": 2, "storage_copies_minimum": 2}, "error", ["2 copies", "set it to 3"]),
    ("storage-copies", {"storage_copies": 4}, "error", ["4 copies, each in a zone of its own, and 3 zones"]),
    ("storage-copies", {"storage_copies_minimum": 1}, "error", ["1 copy is enough", "set it to 2"]),
    ("storage-copies", {"storage_copies_minimum": 3}, "error", ["3 of 3 copies must be there", "set it to 2"]),
    (
        "backup-locked-bucket",
        tiers("regional", bucket="platform-audit"),
        "error",
        ["tier regional go to platform-audit", "audit log"],
    ),
    ("backup-locked-bucket", tiers("local", locked=True), "error", ["object lock"]),
    ("backup-retention", tiers("cross-region", keep="364d"), "error", ["364 days, 365 are asked for", "365d or more"]),
    ("backup-retention", tiers("local", keep="a week"), "error", ["'a week' is no span"]),
    ("backup-retention", tiers("local", name="here"), "error", ["there is no tier local", "keep: 7d"]),
    ("schedule", tiers("local", schedule="0 0 */4 * * *"), "error", ["has 6 fields, not five"]),
    ("schedule", tiers("local", schedule="60 3 * * 0"), "error", ["'60' is no minute (0 to 59)"]),
    ("schedule", tiers("local", schedule="0 5-3 * * 0"), "error", ["'5-3' is no hour"]),
    ("schedule", tiers("local", schedule="0 */0 * * 0"), "error", ["'*/0' is no hour"]),
    ("schedule", tiers("local", schedule="0 3 * * sun"), "error", ["'sun' is no day of week"]),
    ("schedule", {"compliance_schedule": ""}, "error", ["has 0 fields"]),
]

# Rule, and settings near to what it refuses that it lets pass. The defaults are beside them.
PASSES = [
    ("release-eol", {"today": datetime.date(2026, 11, 29)}),
    ("accepted-risks", {"platform_accept_risks": {RISK: accept()}}),
    ("component-eol", entry("velero", eol="2026-11-24")),
    ("component-eol", {**entry("velero", eol="2026-11-22"), "backup_enabled": False}),
    ("kubernetes-range", entry("velero", kubernetes="1.35")),
    ("kubernetes-range", entry("velero", kubernetes="1.20-1.35")),
    ("kubernetes-range", entry("velero", kubernetes="1.35-")),
    ("business-licence", {"vault_flavor": "openbao", "secrets_enabled": False}),
    ("image-tag", {"some_image": "registry.example:5000/app:1.0"}),
    ("image-tag", {"some_image": "app:latest@sha256:" + "0" * 64}),
    ("image-tag", {"some_images": {"core": "a/core:1"}, "some_image": "", "banking_apps_services": [{"image": "x"}]}),
    ("vault-seal", {"vault_seal": "pkcs11", "vault_flavor": "openbao"}),
    ("vault-seal", {"vault_seal": "pkcs11", "vault_licence": "file:licences/vault.hclic"}),
    ("vault-seal", {"vault_seal": "transit", "vault_seal_address": "https://vault.other.example:8200"}),
    ("vault-seal", {"vault_enabled": False, "vault_seal": "pkcs11"}),
    ("vault-on-control-plane", {}),
    ("vault-on-control-plane", {"groups": SHARED, "vault_enabled": False}),
    ("vault-storage", {"vault_storage": "/srv/vault"}),
    ("data-volumes-unlock", {"data_volumes_unlock": "tpm2"}),
    ("data-volumes-tang", tang("a", "b", "c")),
    ("data-volumes-tang", {**tang("a", "b"), "data_volumes_unlock": "tpm2"}),
    ("etcd-quota", {"etcd_quota": "8Gi", "etcd_disk": "24Gi"}),
    ("cluster-networks", {"kubernetes_pod_cidr": "10.244.0.0/20", "kubernetes_service_cidr": "10.244.16.0/20"}),
    ("cluster-networks", {"kubernetes_pod_cidr": "fd00:10::/56", "kubernetes_service_cidr": "10.96.0.0/16"}),
    ("etcd-members", {"groups": {**GROUPS, "etcd": GROUPS["control_plane"][:1]}}),
    ("api-virtual-ip", {"api_lb_virtual_ip": "10.20.3.254"}),
    (
        "api-virtual-ip",
        {
            "api_lb_virtual_ip": "10.99.0.10",
            "api_lb_bgp": {"asn": 64512, "routers": [{"address": "10.20.1.1", "asn": 64513}]},
        },
    ),
    ("api-virtual-ip", {"api_lb_virtual_ip": "", "environment": "staging"}),
    ("load-balancer", {"metallb_enabled": False, "kubernetes_cloud_provider": "openstack"}),
    ("load-balancer", {"metallb_enabled": False, "istio_enabled": False}),
    ("metallb-pool", {"metallb_pool": ["10.20.9.0/28", "fd00::1-fd00::9"]}),
    ("metallb-pool", {"metallb_pool": [], "metallb_enabled": False}),
    ("mesh-retries", {"istio_per_try_timeout": "7500ms"}),
    ("mesh-retries", {"istio_per_try_timeout": "10s", "istio_retries": "2"}),
    ("metallb-announce", {"metallb_announce": "bgp", "metallb_bgp": ROUTERS}),
    ("metallb-announce", {"metallb_announce": "calico", "calico_bgp": {"service_networks": ["10.20.9.0/26"]}}),
    ("metallb-announce", {"metallb_announce": "bgp", "metallb_enabled": False}),
    ("mesh-api", {"istio_api": "gateway-api"}),
    ("mesh-api", {"istio_api": "gateway-api", "istio_enabled": False, "release": "2024.1"}),
    ("mesh-mtls", {"istio_mtls": "permissive", "istio_enabled": False}),
    ("tls-minimum", {"platform_tls_minimum": 1.3}),
    ("tls-minimum", {"platform_tls_minimum": "TLSv1.3"}),
    ("domain-local", {"platform_domain": "local.bank.example"}),
    ("harbor-bootstrap", {"harbor_image_registry": "bootstrap.platform.bank.example:5000/goharbor"}),
    ("image-trust-mode", {"image_trust_mode": "warn", "environment": "staging"}),
    ("chaos-in-production", {"chaos_enabled": True, "environment": "staging"}),
    ("autoscaler-provider", {"autoscaling_provider": "clusterapi"}),
    ("storage-failure-domain", {"storage_failure_domain": "host", "zones": ("zone-a",)}),
    ("storage-copies", {"storage_copies": 5, "storage_copies_minimum": 3, "storage_failure_domain": "host"}),
    ("backup-locked-bucket", tiers("regional", bucket="platform-audits")),
    ("backup-retention", tiers("cross-region", keep="365d")),
    ("backup-retention", {**tiers("local", name="here"), "environment": "staging"}),
    ("schedule", tiers("local", schedule="0,30 1-5/2 1 */3 7")),
    ("schedule", {"compliance_enabled": False, "compliance_schedule": ""}),
]


def found(rule: str, settings: dict[str, Any]) -> list[Finding]:
    """What one rule says about a platform with these settings."""
    return list(RULES[rule](platform(**settings)))


def mine() -> list[str]:
    """The rules of this module."""
    return [name for name, function in RULES.items() if function.__module__ == servers.__name__]


@pytest.mark.parametrize(("rule", "settings", "severity", "words"), REFUSED)
def test_refuses(rule, settings, severity, words):
    findings = found(rule, settings)
    matching = [finding for finding in findings if words[0] in finding.cause or words[0] in finding.next_step]
    assert {(finding.severity, finding.rule) for finding in findings} == {(severity, rule)}
    assert matching, findings
    text = f"{matching[0].cause} {matching[0].next_step}"
    assert not [word for word in words if word not in text], text


@pytest.mark.parametrize(("rule", "settings"), PASSES)
def test_lets_pass(rule, settings):
    # The shipped releases have ranges and ends of their own: only what the settings change is held against the rule.
    known = found(rule, {}) if rule in ("component-eol", "kubernetes-range") else []
    assert [finding for finding in found(rule, settings) if finding not in known] == []


@pytest.mark.parametrize("settings", [{"storage_copies": "three"}, {"storage_copies_minimum": None}])
def test_copies_that_are_no_numbers_are_refused(settings):
    subject = platform()  # with such values, the declaration is refused before
    variables = {**subject.variables, **settings}
    (finding,) = RULES["storage-copies"](Platform(**{**vars(subject), "variables": variables}))
    assert (finding.severity, finding.variable) == ("error", "storage_copies")
    assert "are no numbers" in finding.cause


def test_a_component_that_the_catalog_does_not_have_is_refused():
    subject = platform()
    extra = declarations.parse("tool", {"catalog": ["veleroo", "velero"]})
    (finding,) = RULES["catalog-component"](Platform(**{**vars(subject), "declarations": [extra]}))
    assert (finding.severity, finding.subject, finding.next_step) == ("error", "tool", "did you mean 'velero'?")
    assert "'veleroo', which catalog/2026.2.yml does not have" in finding.cause


@pytest.mark.parametrize("release", catalog.releases())
def test_the_catalogs_have_what_the_roles_install(release):
    assert list(RULES["catalog-component"](platform(release=release))) == []


def test_the_acceptance_of_a_release_covers_its_components():
    alone = found("component-eol", OLD)
    covered = found("component-eol", {**OLD, "platform_accept_eol": accept()})
    assert {finding.severity for finding in alone} == {"warning"}
    assert {finding.severity for finding in covered} == {"info"}
    assert [finding.variable for finding in alone] == [finding.variable for finding in covered]


@pytest.mark.parametrize("release", catalog.releases())
@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_the_defaults_have_no_error_once_an_old_release_is_accepted(release, environment):
    subject = platform(environment=environment, release=release, platform_accept_eol=accept())
    assert [finding for name in mine() for finding in RULES[name](subject) if finding.severity == "error"] == []


def test_a_licence_is_not_shown():
    (finding,) = found("vault-seal", {"vault_licence": "02MV4UU43BK5HGYYTOJZW"})
    assert "02MV4" not in str(finding)


def test_every_rule_is_tested_both_ways():
    alone = {"catalog-component"}  # its tests are above
    assert {rule for rule, *_rest in REFUSED} | alone == set(mine())
    assert {rule for rule, _settings in PASSES} | alone == set(mine())


KNOWN = ["kafka_brokers", "kafka_heap", "node_timezone", "platform_zones"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("kafka_broker", "did you mean 'kafka_brokers'?"),
        ("platform_zone_list", "did you mean 'platform_zones'?"),
        ("node_xyz", "known: node_timezone"),
        ("redis_mode", "known: kafka_brokers, kafka_heap"),
    ],
)
def test_unknown_variables_are_refused_with_the_nearest_known_name(name, hint):
    (finding,) = servers.unknown_variables([*KNOWN, name], KNOWN, ["kafka", "node", "redis", "platform"])
    assert (finding.severity, finding.variable, finding.rule) == ("error", name, "unknown-variable")
    assert finding.next_step.startswith(hint)


def test_unknown_variables_of_others_are_none_of_ours():
    assert servers.unknown_variables([*KNOWN, "ansible_host", "kafkaesque", "my_kafka_x"], KNOWN, ["kafka"]) == []
