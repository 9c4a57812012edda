# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `argocd` delivers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.catalog import load
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

Render = Callable[..., Rendered]
PARTS = {
    "controller": "controller",
    "repo-server": "repoServer",
    "server": "server",
    "applicationset": "applicationSet",
    "notifications": "notifications",
    "redis": "redis",
}
PAYMENTS = {
    "description": "Payments",
    "repositories": ["https://git.bank/payments*"],
    "namespaces": ["banking-system"],
    "windows": [{"kind": "deny", "schedule": "0 8 * * 1-5", "duration": "9h", "applications": ["*"]}],
}


def values(rendered: Render, release: str = "2024.1", **settings: Any) -> Any:
    return rendered("argocd", release, **settings).values["argo-cd"]


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("argocd", release)
    given = found.values["argo-cd"]
    for name, part in PARTS.items():
        wanted, told = found.workload(name), given[part]
        # The chart takes no number for what is always one.
        assert told.get("replicas", 1) == wanted.replicas, name
        assert set(told["resources"]["requests"]) == {"cpu", "memory"}, name
        assert told["podLabels"] == wanted.selector["matchLabels"], name
        assert len(told["topologySpreadConstraints"]) == (wanted.replicas > 1), name
        assert bool(told["affinity"]) == (wanted.replicas > 1), name
        assert told.get("pdb", {"enabled": False})["enabled"] == (wanted.replicas > 1), name
    assert found.declared.wave == 5  # type: ignore[union-attr]


@pytest.mark.parametrize(("glass", "admin"), [({}, False), ({"platform_break_glass": True}, True)])
def test_there_is_an_admin_only_behind_the_glass(rendered: Render, glass: dict[str, Any], admin: bool) -> None:
    config = values(rendered, **glass)["configs"]["cm"]
    assert config["admin.enabled"] is admin
    assert (config["users.anonymous.enabled"], config["exec.enabled"]) == ("false", False)


def test_people_log_in_by_keycloak_with_or_without_a_secret(rendered: Render) -> None:
    public = yaml.safe_load(values(rendered)["configs"]["cm"]["oidc.config"])
    assert public == {
        "name": "Keycloak",
        "issuer": "https://auth.example.org/realms/banking-realm",
        "clientID": "argocd",
        "requestedScopes": ["openid", "profile", "email", "groups"],
        "enablePKCEAuthentication": True,
    }
    secret = {"issuer": "https://id.bank", "client_id": "cd", "secret": "argocd-oidc"}
    confidential = yaml.safe_load(values(rendered, argocd_oidc=secret)["configs"]["cm"]["oidc.config"])
    assert confidential["clientSecret"] == "$argocd-oidc:clientSecret"
    assert "enablePKCEAuthentication" not in confidential
    assert "oidc.config" not in values(rendered, argocd_oidc={})["configs"]["cm"]


def test_nobody_may_do_what_no_line_allows(rendered: Render) -> None:
    rules: dict[str, Any] = {
        "argocd_groups": {"payments": ["role:payer", "role:viewer"]},
        "argocd_policies": {"role:payer": [{"resource": "applications", "action": "sync", "object": "payments/*"}]},
    }
    rbac = values(rendered, **rules)["configs"]["rbac"]
    assert rbac["policy.default"] == ""
    assert rbac["policy.csv"].splitlines() == [
        "p, role:payer, applications, sync, payments/*, allow",
        "g, payments, role:payer",
        "g, payments, role:viewer",
    ]


def test_all_inside_is_encrypted(rendered: Render) -> None:
    found = rendered("argocd", "2026.2")
    given = found.values["argo-cd"]
    for part in ("controller", "server", "repoServer"):
        assert "--redis-use-tls" in given[part]["extraArgs"], part
        mounted = {mount["name"] for mount in given[part]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in given[part]["volumes"]}, part
    arguments = given["redis"]["extraArgs"]
    assert arguments[arguments.index("--port") + 1] == "0"
    assert {name for name in given["configs"]["params"] if name.endswith("strict.tls")} == {
        f"{part}.repo.server.strict.tls" for part in ("controller", "server", "applicationsetcontroller")
    }
    for name in ("argocd-redis", "argocd-repo-server"):
        certificate = found.objects["Certificate", name]["spec"]
        assert (certificate["secretName"], certificate["dnsNames"][0]) == (f"{name}-tls", name)
        assert ("Issuer", certificate["issuerRef"]["name"]) in found.objects


def test_tls_follows_the_platforms_minimum(rendered: Render) -> None:
    for minimum, protocols in (("1.3", "TLSv1.3"), ("1.2", "TLSv1.2 TLSv1.3")):
        given = values(rendered, platform_tls_minimum=minimum)
        assert given["configs"]["params"]["server.tls.minversion"] == minimum
        assert given["redis"]["extraArgs"][-1] == protocols


def test_applications_are_followed_by_annotation_and_their_health_is_known(rendered: Render) -> None:
    config = values(rendered)["configs"]["cm"]
    assert config["application.resourceTrackingMethod"] == "annotation"
    health = (CLONE / "roles" / "argocd" / "templates" / "health.lua").read_text()
    assert config["resource.customizations.health.argoproj.io_Application"] == health
    excluded = yaml.safe_load(config["resource.exclusions"])
    assert {"apiGroups": ["coordination.k8s.io"], "kinds": ["Lease"]} in excluded
    ignored = yaml.safe_load(config["resource.customizations.ignoreDifferences.all"])
    assert ignored == {"managedFieldsManagers": ["kube-controller-manager"]}


def test_nothing_that_a_role_delivers_is_left_unwatched(rendered: Render) -> None:
    excluded = yaml.safe_load(values(rendered)["configs"]["cm"]["resource.exclusions"])
    delivered = set()
    for path in (CLONE / "roles").glob("*/templates/**/*.y*ml*"):
        for version, kind in re.findall(r"apiVersion: (\S+)\n+kind: (\w+)", path.read_text()):
            delivered.add((version.rpartition("/")[0], kind))
    assert {("crd.projectcalico.org", "IPPool"), ("projectcalico.org", "GlobalNetworkPolicy")} <= delivered
    for group, kind in sorted(delivered):
        for rule in excluded:
            assert group not in rule["apiGroups"] or not {kind, "*"} & set(rule["kinds"]), (group, kind)


def test_a_project_may_bring_nothing_that_guards_its_namespaces(rendered: Render) -> None:
    found = rendered("argocd", "2024.1", argocd_projects={"payments": PAYMENTS}).objects
    default = found["AppProject", "default"]
    assert (default["spec"]["sourceRepos"], default["spec"]["destinations"]) == ([], [])
    assert default["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] == "-1"
    spec = found["AppProject", "payments"]["spec"]
    assert spec["destinations"] == [{"namespace": "banking-system", "server": "https://kubernetes.default.svc"}]
    assert spec["clusterResourceWhitelist"] == []
    assert {"group": "networking.k8s.io", "kind": "NetworkPolicy"} in spec["namespaceResourceBlacklist"]
    assert spec["syncWindows"] == PAYMENTS["windows"]


def test_the_git_server_is_known_by_its_authority_and_its_keys(rendered: Render) -> None:
    git: dict[str, Any] = {"platform_git": {"url": "https://git.bank:8443/platform"}, "argocd_git_ca": "PEM"}
    assert values(rendered, **git)["configs"]["tls"] == {"certificates": {"git.bank": "PEM\n"}}
    config = values(rendered, argocd_git_host_keys=["git.bank ssh-ed25519 AAAA"])["configs"]
    assert "tls" not in config
    assert config["ssh"] == {"knownHosts": "git.bank ssh-ed25519 AAAA\n"}


def test_notifications_are_data(rendered: Render) -> None:
    given = values(
        rendered,
        argocd_notifiers={"service.email": "host: mail.bank"},
        argocd_notification_subscriptions=[{"recipients": ["email:ops@bank"], "triggers": ["on-sync-failed"]}],
    )["notifications"]
    assert given["notifiers"] == {"service.email": "host: mail.bank"}
    assert given["subscriptions"][0]["recipients"] == ["email:ops@bank"]
    for name in ("trigger.on-sync-failed", "trigger.on-health-degraded"):
        (trigger,) = yaml.safe_load(given["triggers"][name])
        assert f"template.{trigger['send'][0]}" in given["templates"]
    assert "{{.app.metadata.name}}" in given["templates"]["template.application-failed"]


def test_alerts_wait_for_prometheus(rendered: Render) -> None:
    plain = rendered("argocd", "2024.1")
    assert ("PrometheusRule", "argocd") not in plain.objects
    found = rendered("argocd", "2024.1", argocd_monitoring=True)
    rules = found.objects["PrometheusRule", "argocd"]["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [
        "ApplicationOutOfSync",
        "ApplicationDegraded",
        "ApplicationsNotFollowed",
    ]
    assert rules[0]["annotations"]["summary"].startswith("{{ $labels.name }} has not been")
    for name in PARTS:
        if name != "redis":
            told = (plain.values["argo-cd"][PARTS[name]]["metrics"], found.values["argo-cd"][PARTS[name]]["metrics"])
            assert [metrics["serviceMonitor"]["enabled"] for metrics in told] == [False, True], name


@pytest.mark.crds
@pytest.mark.parametrize("release", RELEASES)
def test_everything_is_what_the_crds_take(rendered: Render, release: str) -> None:
    found = rendered("argocd", release, argocd_projects={"payments": PAYMENTS}, argocd_monitoring=True)
    schemas = Schemas(load(release).kubernetes, [f"{crds_folder()}/{release}"])
    verdict = schemas.check([Manifest(item, "argocd") for item in found.objects.values()])
    assert (verdict.problems, verdict.unknown) == ([], {})
