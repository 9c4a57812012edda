# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `kubernetes` gives hosts of all inventories in both releases, and what kubeadm says to it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError

from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store
from ansible_collections.banking.platform.tests.unit.roles.kubernetes.rendering import (
    ENVIRONMENTS,
    RELEASES,
    ROLE,
    Node,
    flags,
)
from ansible_collections.banking.platform.tools.suites import kubeadm

INIT, JOIN = "/etc/kubernetes/kubeadm/init.yaml", "/etc/kubernetes/kubeadm/join.yaml"
KINDS = {"InitConfiguration", "ClusterConfiguration", "KubeletConfiguration"}


def init(release: str = "2024.1", host: str = "cp-a1", environment: str = "prod", **extra: Any) -> dict[str, Any]:
    """The documents that kubeadm makes a cluster from."""
    return Node(environment, host, platform_release=release, **extra).documents(INIT)


@pytest.mark.parametrize(("release", "api"), RELEASES.items())
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_release_gets_the_api_that_its_kubeadm_reads(environment: str, release: str, api: str) -> None:
    documents = init(release, environment=environment)
    assert set(documents) - {"KubeProxyConfiguration"} == KINDS
    node = Node(environment, "worker-a1", platform_release=release)
    for document in [*documents.values(), *node.documents(JOIN).values()]:
        if document["apiVersion"].startswith("kubeadm"):
            assert document["apiVersion"] == f"kubeadm.k8s.io/{api}"
    given = documents["ClusterConfiguration"]["apiServer"]["extraArgs"]
    assert isinstance(given, dict if api == "v1beta3" else list)
    assert all(isinstance(value, str) for value in flags(documents["ClusterConfiguration"]["apiServer"]).values())


@pytest.mark.kubeadm
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("host", "path"), [("cp-a1", INIT), ("cp-a1", JOIN), ("worker-a1", JOIN)])
def test_kubeadm_takes_its_configuration(tmp_path: Path, environment: str, release: str, host: str, path: str) -> None:
    node = Node(environment, host, platform_release=release)
    version = str(node.variable("__kubernetes_version"))
    program = kubeadm(version)
    if program is None:
        pytest.skip(f"no kubeadm of the minor of {version} in $PLATFORM_KUBEADM")
    # kubeadm wants the kubeconfig to be there, which the module writes for the time of the join.
    (tmp_path / "discovery.conf").touch()
    text = node.text(path).replace("/etc/kubernetes/kubeadm/discovery.conf", f"{tmp_path}/discovery.conf")
    (tmp_path / "config.yaml").write_text(text)
    command = [str(program), "config", "validate", "--config", str(tmp_path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "unknown field" not in done.stderr
    (tmp_path / "config.yaml").write_text(text.replace("nodeRegistration:", "nodeRegistrations:"))
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_the_cluster_configuration_is_the_same_on_every_node() -> None:
    clusters = [init(host=host)["ClusterConfiguration"] for host in ("cp-a1", "cp-b1", "cp-c1")]
    assert clusters[0] == clusters[1] == clusters[2]
    assert clusters[0]["etcd"]["external"]["endpoints"] == [f"https://10.20.{zone}.11:2379" for zone in (1, 2, 3)]
    assert clusters[0]["controlPlaneEndpoint"] == "127.0.0.1:8443"
    addresses = {"127.0.0.1", "10.20.0.10", "api.banking.local", *(f"10.20.{zone}.11" for zone in (1, 2, 3))}
    assert addresses <= set(clusters[0]["apiServer"]["certSANs"])


def test_without_a_virtual_address_there_is_none_in_the_certificate() -> None:
    assert "" not in init(api_lb_virtual_ip="")["ClusterConfiguration"]["apiServer"]["certSANs"]


def test_labels_and_taints_of_the_nodes_of_a_run() -> None:
    taint = {"key": "pool", "value": "db", "effect": "NoSchedule"}
    pools = {"general": {}, "db": {"labels": {"pool": "db"}, "taints": [taint]}}
    hosts = ["cp-a1", "worker-b2"]
    known: dict[str, Any] = {"kubernetes_pools": pools, "kubernetes_pool": "db", "ansible_play_hosts_all": hosts}
    control_plane, worker = Node("prod", "cp-a1", **known).variable("__kubernetes_nodes")
    zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
    assert control_plane["labels"] == {zone: "zone-a", region: "main", "pool": "db"}
    assert worker == {
        "name": "worker-b2",
        "labels": {zone: "zone-b", region: "main", "node-role.kubernetes.io/worker": "", "pool": "db"},
        "taints": [taint],
    }
    with pytest.raises(AnsibleError, match="lost is not in kubernetes_pools"):
        Node("prod", "cp-a1", **{**known, "kubernetes_pool": "lost"}).variable("__kubernetes_nodes")


@pytest.mark.parametrize("release", RELEASES)
def test_flags_of_the_control_plane(release: str) -> None:
    cluster = init(release)["ClusterConfiguration"]
    server = flags(cluster["apiServer"])
    for component in ("apiServer", "controllerManager", "scheduler"):
        assert flags(cluster[component])["profiling"] == "false"
        assert flags(cluster[component])["tls-min-version"] == "VersionTLS13"
        assert "tls-cipher-suites" not in flags(cluster[component])
    assert "NodeRestriction" in server["enable-admission-plugins"]
    assert server["kubelet-certificate-authority"] == "/etc/kubernetes/pki/ca.crt"
    mounted = [volume["mountPath"] for volume in cluster["apiServer"]["extraVolumes"]]
    files = [value for name, value in server.items() if name.endswith(("file", "config", "log-path"))]
    outside = [path for path in files if path.startswith("/") and str(Path(path).parent) not in mounted]
    assert not outside


def test_tls_1_2_brings_its_ciphers() -> None:
    server = flags(init(platform_tls_minimum="1.2")["ClusterConfiguration"]["apiServer"])
    assert server["tls-min-version"] == "VersionTLS12"
    assert all("GCM" in name or "POLY1305" in name for name in server["tls-cipher-suites"].split(","))
    kubelet = yaml.safe_load(Node("prod", "cp-a1", platform_tls_minimum="1.2").text("/etc/kubernetes/kubelet.yaml"))
    assert kubelet["tlsCipherSuites"] == server["tls-cipher-suites"].split(",")


def test_a_flag_is_replaced_or_removed_by_the_inventory() -> None:
    changed = {"profiling": None, "event-ttl": "2h"}
    server = flags(init(kubernetes_apiserver_flags=changed)["ClusterConfiguration"]["apiServer"])
    assert "profiling" not in server
    assert server["event-ttl"] == "2h"


def test_anonymous_clients_get_as_far_as_the_release_can_say() -> None:
    old = Node("prod", "cp-a1", platform_release="2024.1")
    new = Node("prod", "cp-a1", platform_release="2026.2")
    oidc = flags(old.documents(INIT)["ClusterConfiguration"]["apiServer"])
    assert oidc["oidc-issuer-url"] == "https://keycloak.banking.local/realms/platform"
    assert "/etc/kubernetes/apiserver/authentication.yaml" in old.variable("__kubernetes_absent")
    server = flags(new.documents(INIT)["ClusterConfiguration"]["apiServer"])
    # The two ways exclude each other.
    assert "authentication-config" in server
    assert not [name for name in server if name.startswith(("oidc", "anonymous"))]
    known: dict[str, Any] = yaml.safe_load(new.text("/etc/kubernetes/apiserver/authentication.yaml"))
    assert known["anonymous"] == {
        "enabled": True,
        "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")],
    }
    assert known["jwt"][0]["issuer"] == {
        "url": "https://keycloak.banking.local/realms/platform",
        "audiences": ["kubernetes"],
    }


@pytest.mark.parametrize("release", RELEASES)
def test_without_an_issuer_nobody_comes_with_a_token_of_one(release: str) -> None:
    node = Node("prod", "cp-a1", platform_release=release, kubernetes_oidc={})
    server = flags(node.documents(INIT)["ClusterConfiguration"]["apiServer"])
    assert not [name for name in server if name.startswith("oidc")]
    assert yaml.safe_load(node.text("/etc/kubernetes/apiserver/authentication.yaml"))["jwt"] == []


def test_kubelet_is_hardened() -> None:
    kubelet = yaml.safe_load(Node("prod", "worker-a1").text("/etc/kubernetes/kubelet.yaml"))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["readOnlyPort"] == 0
    assert kubelet["serverTLSBootstrap"] is True
    assert kubelet["rotateCertificates"] is True
    assert kubelet["protectKernelDefaults"] is True
    assert kubelet["clusterDNS"] == ["10.96.0.10"]
    extra = Node("prod", "worker-a1", kubernetes_kubelet_extra={"authentication": {"webhook": {"cacheTTL": "1m"}}})
    assert yaml.safe_load(extra.text("/etc/kubernetes/kubelet.yaml"))["authentication"]["webhook"] == {
        "enabled": True,
        "cacheTTL": "1m",
    }


def test_dns_of_another_network() -> None:
    assert (
        Node("prod", "cp-a1", kubernetes_service_cidr="fd00:10::/108").variable("__kubernetes_dns_address")
        == "fd00:10::a"
    )
    assert (
        Node("prod", "cp-a1", kubernetes_service_cidr="10.9.8.0/22").variable("__kubernetes_dns_address") == "10.9.8.10"
    )


def test_labels_and_taints_of_zone_and_pool() -> None:
    taints = [{"key": "pool", "value": "data", "effect": "NoSchedule"}]
    pool: dict[str, Any] = {"kubernetes_pool": "data", "kubernetes_pools": {"data": {"taints": taints}}}
    unit = Node("prod", "worker-c2", **pool).text("/etc/systemd/system/kubelet.service")
    assert "--node-labels=topology.kubernetes.io/zone=zone-c,topology.kubernetes.io/region=main\n" in unit
    assert "--register-with-taints=pool=data:NoSchedule" in unit
    assert (
        Node("prod", "worker-c2", **pool).documents(JOIN)["JoinConfiguration"]["nodeRegistration"]["taints"] == taints
    )
    with pytest.raises(AnsibleError, match="kubernetes_pool: lost is not in kubernetes_pools"):
        Node("prod", "worker-c2", kubernetes_pool="lost").variable("__kubernetes_taints")


def test_a_kubelet_without_a_cluster_is_not_started() -> None:
    units = Node("prod", "worker-a1", member=False).variable("__kubernetes_units")
    assert units["kubelet.service"] == {"enabled": True}
    assert Node("prod", "worker-a1").variable("__kubernetes_units")["kubelet.service"]["state"] == "started"


def test_workers_get_nothing_of_the_control_plane() -> None:
    worker = Node("prod", "worker-a1")
    assert not [path for path in worker.variable("__kubernetes_files") if "apiserver" in path or "init" in path]
    root = ROLE / "templates" / "root"
    tree = {f"/{path.relative_to(root)}".removesuffix(".j2") for path in root.rglob("*") if path.is_file()}
    absent = worker.variable("__kubernetes_absent")
    left = {path for path in tree if not any(f"{path}/".startswith(f"{removed}/") for removed in absent)}
    assert left == {
        "/etc/kubernetes/kubelet.yaml",
        "/etc/kubernetes/kubeadm/join.yaml",
        "/etc/systemd/system/kubelet.service",
    }


def test_encryption_takes_the_newest_key_first_and_reads_what_was_clear(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    reference = f"file:{tmp_path}/passphrase"
    store = Store(str(tmp_path / "ca"), Keyring(reference=reference))
    store.create_keys("secrets")
    assert (tmp_path / "ca/secrets.keys").read_text().startswith("$ANSIBLE_VAULT;")
    assert oct((tmp_path / "ca/secrets.keys").stat().st_mode & 0o777) == "0o600"
    node = Node("prod", "cp-a1", platform_ca_dir=str(tmp_path / "ca"), platform_ca_passphrase=reference)
    config = yaml.safe_load(node.text("/etc/kubernetes/apiserver/encryption.yaml"))
    secretbox, identity = config["resources"][0]["providers"]
    assert config["resources"][0]["resources"] == ["secrets"]
    # The API server refuses a file with fields that it does not know.
    assert secretbox["secretbox"]["keys"] == [
        {part: key[part] for part in ("name", "secret")} for key in store.keys("secrets")
    ]
    assert len(base64.b64decode(secretbox["secretbox"]["keys"][0]["secret"])) == 32
    assert identity == {"identity": {}}
    assert node.variable("__kubernetes_files")["/etc/kubernetes/apiserver/encryption.yaml"]["sensitive"]
    # Its key is no part of what makes other pods: a rotation restarts nothing, and nobody sees a digest of it.
    before = node.variable("__kubernetes_apiserver_inputs")
    store.create_keys("secrets")
    assert node.variable("__kubernetes_apiserver_inputs") == before


def test_without_keys_it_is_only_planned(tmp_path: Path) -> None:
    known: dict[str, Any] = {"platform_ca_dir": str(tmp_path / "ca"), "platform_ca_passphrase": "env:NONE"}
    path = "/etc/kubernetes/apiserver/encryption.yaml"
    assert "keys: []" in Node("prod", "cp-a1", ansible_check_mode=True, **known).text(path)
    with pytest.raises(Exception, match="there are no keys secrets in"):
        Node("prod", "cp-a1", **known).text(path)


def level(rules: list[dict[str, Any]], verb: str, resource: str, group: str = "", **who: str) -> str:
    """The level of a request, by the first rule that matches (https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/)."""
    for rule in rules:
        if "nonResourceURLs" in rule:
            continue
        if verb not in rule.get("verbs", [verb]) or who.get("user", "") not in rule.get("users", [who.get("user", "")]):
            continue
        if rule.get("userGroups") and who.get("of") not in rule["userGroups"]:
            continue
        if "resources" in rule and not any(
            entry["group"] == group and (not entry.get("resources") or {resource, "*"} & set(entry["resources"]))
            for entry in rule["resources"]
        ):
            continue
        return str(rule["level"])
    return "None"


@pytest.mark.parametrize(
    ("expected", "verb", "resource", "group", "who"),
    [
        ("Metadata", "create", "secrets", "", {}),
        ("Metadata", "get", "secrets", "", {"of": "system:nodes"}),
        ("Metadata", "update", "configmaps", "", {}),
        ("Metadata", "create", "tokenreviews", "authentication.k8s.io", {"of": "system:nodes"}),
        ("Metadata", "create", "serviceaccounts/token", "", {}),
        ("Request", "create", "pods/exec", "", {}),
        ("RequestResponse", "create", "clusterrolebindings", "rbac.authorization.k8s.io", {}),
        ("Request", "create", "deployments", "apps", {}),
        ("None", "update", "leases", "coordination.k8s.io", {"of": "system:nodes"}),
        ("Metadata", "update", "leases", "coordination.k8s.io", {"user": "anna"}),
        ("None", "watch", "pods", "", {"user": "system:kube-scheduler"}),
        ("Metadata", "list", "pods", "", {"user": "anna"}),
        ("Metadata", "create", "externalsecrets", "external-secrets.io", {}),
    ],
)
def test_what_the_audit_log_says(expected: str, verb: str, resource: str, group: str, who: dict[str, str]) -> None:
    policy = yaml.safe_load(Node("prod", "cp-a1").text("/etc/kubernetes/apiserver/audit-policy.yaml"))
    assert policy["apiVersion"] == "audit.k8s.io/v1"
    assert {rule["level"] for rule in policy["rules"]} <= {"None", "Metadata", "Request", "RequestResponse"}
    assert level(policy["rules"], verb, resource, group, **who) == expected


def test_admission_names_levels_and_limits() -> None:
    admission = yaml.safe_load(Node("prod", "cp-a1").text("/etc/kubernetes/apiserver/admission.yaml"))
    plugins = {plugin["name"]: plugin["configuration"] for plugin in admission["plugins"]}
    assert plugins["PodSecurity"]["defaults"]["enforce"] == "baseline"
    assert plugins["PodSecurity"]["exemptions"]["namespaces"] == ["kube-system"]
    assert {limit["type"] for limit in plugins["EventRateLimit"]["limits"]} == {"Server", "Namespace"}


def test_another_audit_policy_makes_other_pods() -> None:
    patch = "/etc/kubernetes/kubeadm/patches/kube-apiserver+strategic.yaml"
    one, other = Node("prod", "cp-a1"), Node("prod", "cp-a1", kubernetes_audit_rules=[{"level": "Metadata"}])
    assert one.text(patch) != other.text(patch)
    assert one.text(patch) == Node("prod", "cp-b1").text(patch)


def test_a_program_is_found_by_its_minor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, version in (("one", "v1.28.3"), ("two", "v1.35.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kubeadm").write_text(f"#!/bin/sh\necho {version}\n")
        os.chmod(tmp_path / name / "kubeadm", 0o755)
    monkeypatch.setenv("PLATFORM_KUBEADM", f"{tmp_path}/one:{tmp_path}/none:{tmp_path}/two")
    assert kubeadm("1.35.8") == tmp_path / "two/kubeadm"
    assert kubeadm("1.28.15") == tmp_path / "one/kubeadm"
    assert kubeadm("1.30.0") is None


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck (bindep profile check)")
@pytest.mark.parametrize("environment", ["prod", "lab"])
def test_the_renewal_is_a_script_without_a_finding(environment: str, tmp_path: Path) -> None:
    script = Node(environment, "cp-b1").text("/usr/local/libexec/platform/renew-certificates")
    (tmp_path / "renew").write_text(script)
    done = subprocess.run(["shellcheck", str(tmp_path / "renew")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    others = re.search(r"^others=\((.*)\)$", script, re.MULTILINE)
    assert others
    assert len(others[1].split()) == 2
    assert f"own={others[1].split()[0]}" not in script


@pytest.mark.parametrize("release", RELEASES)
def test_an_upgrade_brings_all_that_the_pods_are_made_from_before_the_kubelet(release: str) -> None:
    node = Node("prod", "cp-a1", platform_release=release, kubernetes_oidc={})
    root = ROLE / "templates" / "root"
    below = [path for part in ("kubeadm", "apiserver") for path in (root / "etc/kubernetes" / part).rglob("*.j2")]
    tree = {f"/{path.relative_to(root).as_posix().removesuffix('.j2')}" for path in below}
    absent = set(node.variable("__kubernetes_absent")) | {"/etc/kubernetes/kubeadm/join.yaml"}
    files = node.variable("__kubernetes_before_kubelet")
    assert set(files) == tree - absent
    for path, options in files.items():
        assert options["template"] == f"root{path}.j2"
        known = node.variable("__kubernetes_files").get(path, {})
        assert {key: value for key, value in options.items() if key != "template"} == known
