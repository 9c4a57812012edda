# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `storage` delivers. What its Job does to an object store: test_locked_buckets.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.quantities import size
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
each_release = pytest.mark.parametrize("release", RELEASES)
ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"
WORKERS = [f"worker-{zone}{number}" for zone in "abc" for number in (1, 2)]
DISK = "/dev/disk/by-id/nvme-eui.0025388b01b1c2d3"


def hosts(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {worker: {"storage_osd_device": DISK} for worker in WORKERS}
    for host, values in more.items():
        found.setdefault(host.replace("_", "-"), {}).update(values)
    return {**found, "cp-a1": {"platform_address": "10.0.0.1"}}


def storage(rendered: Render, release: str, **settings: Any) -> Rendered:
    inventory = {
        "platform_groups": {"worker": "worker", "control_plane": "control_plane", "vault": "vault"},
        "groups": {"worker": WORKERS, "control_plane": ["cp-a1"], "vault": ["cp-a1"]},
        "hostvars": hosts(),
    }
    return rendered("storage", release, **{**inventory, **settings})


def ceph(found: Rendered) -> Any:
    return found.objects["CephCluster", "rook-ceph"]["spec"]


def pools(found: Rendered) -> Iterator[tuple[str, Any]]:
    """Every pool that is made, with a name."""
    for (kind, name), item in found.objects.items():
        spec = item.get("spec", {})
        if kind == "CephBlockPool":
            yield name, spec
        for part in ("metadataPool", "dataPool"):
            if kind in ("CephFilesystem", "CephObjectStore", "CephObjectZone") and part in spec:
                yield f"{name}/{part}", spec[part]
        for pool in spec.get("dataPools", []) if kind == "CephFilesystem" else []:
            yield f"{name}/{pool['name']}", pool


def thousandths(text: str) -> int:
    return int(text.removesuffix("m")) if text.endswith("m") else int(float(text) * 1000)


def asked(resources: Any) -> tuple[int, int]:
    return thousandths(str(resources["requests"]["cpu"])), size(resources["requests"]["memory"])


def declared(found: Rendered, name: str) -> tuple[int, int]:
    workload = found.workload(name)
    return workload.requests.cpu, workload.requests.memory


# Zones


@each_release
def test_three_monitors_are_in_three_zones(rendered: Render, release: str) -> None:
    mon = ceph(storage(rendered, release))["mon"]
    assert (mon["count"], mon["allowMultiplePerNode"], mon["failureDomainLabel"]) == (3, False, ZONE)
    assert [zone["name"] for zone in mon["zones"]] == ["zone-a", "zone-b", "zone-c"]


@each_release
def test_with_one_zone_nodes_hold_monitors_apart(rendered: Render, release: str) -> None:
    found = storage(rendered, release, platform_zones=["zone-a"], storage_failure_domain="host")
    assert "zones" not in ceph(found)["mon"]
    assert ceph(found)["mon"]["allowMultiplePerNode"] is False
    assert {pool["failureDomain"] for _name, pool in pools(found)} == {"host"}
    assert not found.refused


@each_release
def test_no_zone_has_two_copies_and_a_lost_one_stops_nothing(rendered: Render, release: str) -> None:
    found = dict(pools(storage(rendered, release)))
    assert set(found) == {
        "builtin-mgr", "fast-ssd", "shared-files/metadataPool", "shared-files/data", "object-store/metadataPool",
        "object-store/dataPool",
    }  # fmt: skip
    for name, pool in found.items():
        assert (pool["failureDomain"], pool["replicated"]["size"]) == ("zone", 3), name
        assert (pool["replicated"]["requireSafeReplicaSize"], pool["parameters"]["min_size"]) == (True, "2"), name


@each_release
def test_daemons_are_spread_as_they_are_declared(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    for name, app, placement in (
        ("mgr", "rook-ceph-mgr", ceph(found)["placement"]["mgr"]),
        (
            "mds",
            "rook-ceph-mds",
            found.objects["CephFilesystem", "shared-files"]["spec"]["metadataServer"]["placement"],
        ),
        (
            "object-gateway",
            "rook-ceph-rgw",
            found.objects["CephObjectStore", "object-store"]["spec"]["gateway"]["placement"],
        ),
    ):
        assert list(found.workload(name).spread) == ["zone", "node"]
        (apart,) = placement["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (spread,) = placement["topologySpreadConstraints"]
        assert (apart["topologyKey"], spread["topologyKey"]) == (NODE, ZONE)
        assert apart["labelSelector"] == spread["labelSelector"] == {"matchLabels": {"app": app}}
        assert found.workload(name).selector["matchLabels"] == {"app": app}
        # Zones without such nodes would count as empty ones.
        assert "node-role.kubernetes.io/worker" in json.dumps(placement["nodeAffinity"])


# Disks


@each_release
def test_each_worker_gives_one_encrypted_disk(rendered: Render, release: str) -> None:
    found = storage(
        rendered, release, hostvars=hosts(worker_b1={"storage_osd_device": DISK + "9", "storage_osd_disk": "2Ti"})
    )
    sets = {item["name"]: item for item in ceph(found)["storage"]["storageClassDeviceSets"]}
    assert set(sets) == set(WORKERS)
    assert (ceph(found)["storage"]["useAllNodes"], ceph(found)["storage"]["useAllDevices"]) == (False, False)
    for worker, item in sets.items():
        volume = found.objects["PersistentVolume", f"osd-{worker}"]["spec"]
        (claim,) = item["volumeClaimTemplates"]
        # Rook keeps keys in Vault of OSDs on claims only, and of whole disks that do not move.
        assert (item["count"], item["encrypted"], item["portable"]) == (1, True, False)
        assert volume["volumeMode"] == claim["spec"]["volumeMode"] == "Block"
        assert volume["storageClassName"] == claim["spec"]["storageClassName"] == "osd-disk"
        assert volume["capacity"]["storage"] == claim["spec"]["resources"]["requests"]["storage"]
        assert volume["capacity"]["storage"] == ("2Ti" if worker == "worker-b1" else "1Ti")
        assert volume["local"]["path"] == (DISK + "9" if worker == "worker-b1" else DISK)
        for terms in (
            volume["nodeAffinity"]["required"]["nodeSelectorTerms"],
            item["placement"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"],
        ):
            assert terms == [{"matchExpressions": [{"key": NODE, "operator": "In", "values": [worker]}]}]


@each_release
def test_keys_are_in_vault_and_change(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    security = ceph(found)["security"]
    details = security["kms"]["connectionDetails"]
    assert security["keyRotation"] == {"enabled": True, "schedule": "0 3 1 */3 *"}
    assert (details["VAULT_AUTH_METHOD"], details["VAULT_BACKEND"]) == ("kubernetes", "v2")
    # The name that is verified is one of the servers' certificate, whatever the Service is called.
    assert (
        details["VAULT_TLS_SERVER_NAME"]
        in yaml.safe_load((CLONE / "roles/vault/defaults/main.yml").read_text())["vault_dns_names"]
    )
    assert "VAULT_SKIP_VERIFY" not in details
    assert "tokenSecretName" not in security["kms"]
    host = details["VAULT_ADDR"].removeprefix("https://").removesuffix(":8200").split(".")
    assert ("Service", host[0]) in found.objects
    assert host[1] == "rook-ceph"
    assert found.objects["EndpointSlice", "vault-servers"]["endpoints"][0]["addresses"] == ["10.0.0.1"]


@each_release
def test_keys_may_be_secrets_of_the_cluster(rendered: Render, release: str) -> None:
    found = storage(rendered, release, storage_keys="secret", storage_keys_rotation="", vault_enabled=False)
    assert ceph(found)["security"] == {"keyRotation": {"enabled": False}}
    assert ("Service", "vault") not in found.objects
    assert not found.refused
    assert all(item["encrypted"] for item in ceph(found)["storage"]["storageClassDeviceSets"])


# Requests


@each_release
def test_pods_ask_for_what_is_declared(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    resources = ceph(found)["resources"]
    gateway = found.objects["CephObjectStore", "object-store"]["spec"]["gateway"]
    for name, containers in {
        "mon": [resources["mon"]],
        "mgr": [resources["mgr"], resources["mgr-sidecar"]],
        "osd": [resources["osd"]],
        "exporter": [resources["exporter"]],
        "crash-collector": [resources["crashcollector"]],
        "mds": [found.objects["CephFilesystem", "shared-files"]["spec"]["metadataServer"]["resources"]],
        "object-gateway": [gateway["resources"]],
        "operator": [found.values["rook-ceph"]["resources"]],
    }.items():
        sums = tuple(sum(parts) for parts in zip(*map(asked, containers), strict=True))
        assert sums == declared(found, name), name
        assert sum(size(one["limits"]["memory"]) for one in containers) == found.workload(name).limits.memory, name
    for item in ceph(found)["storage"]["storageClassDeviceSets"]:
        assert asked(item["resources"]) == declared(found, "osd")
    assert (gateway["instances"], ceph(found)["mgr"]["count"]) == (2, 2)
    for kind, name, workload in (
        ("Deployment", "snapshot-controller", "snapshot-controller"),
        ("Deployment", "local-path-provisioner", "local-path"),
    ):
        spec = found.objects[kind, name]["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert (asked(container["resources"]), spec["replicas"]) == (
            declared(found, workload),
            found.workload(workload).replicas,
        )


def csi(found: Rendered, driver: str) -> tuple[Any, Any, int]:
    """Resources of the containers on each node, and of the provisioner; how many of these there are."""
    chart = found.values["rook-ceph"]["csi"]
    if "ceph-csi-drivers" in found.values:
        said = found.values["ceph-csi-drivers"]["drivers"][driver]
        node, controller = said["nodePlugin"]["resources"], said["controllerPlugin"]["resources"]
        return list(node.values()), list(controller.values()), said["controllerPlugin"]["replicas"]
    name = {"rbd": "RBD", "cephfs": "CephFS"}[driver]
    node, controller = (yaml.safe_load(chart[f"csi{name}{part}Resource"]) for part in ("Plugin", "Provisioner"))
    return [one["resource"] for one in node], [one["resource"] for one in controller], chart["provisionerReplicas"]


@each_release
@pytest.mark.parametrize("driver", ["rbd", "cephfs"])
def test_drivers_ask_for_what_is_declared(rendered: Render, release: str, driver: str) -> None:
    found = storage(rendered, release)
    node, controller, replicas = csi(found, driver)
    for name, containers in ((f"csi-{driver}", node), (f"csi-{driver}-provisioner", controller)):
        assert tuple(sum(parts) for parts in zip(*map(asked, containers), strict=True)) == declared(found, name)
    assert (len(node), len(controller)) == (2, 5)
    assert replicas == found.workload(f"csi-{driver}-provisioner").replicas
    budget = found.objects["PodDisruptionBudget", f"csi-{driver}-provisioner"]["spec"]
    assert budget["selector"]["matchLabels"] == found.workload(f"csi-{driver}-provisioner").selector["matchLabels"]


def test_the_newer_release_has_an_operator_for_drivers(rendered: Render) -> None:
    assert set(storage(rendered, "2024.1").charts) == {"rook-ceph"}
    found = storage(rendered, "2026.2")
    assert set(found.charts) == {"rook-ceph", "ceph-csi-drivers"}
    drivers = found.values["ceph-csi-drivers"]["drivers"]
    assert {name: one["enabled"] for name, one in drivers.items()} == {
        "rbd": True,
        "cephfs": True,
        "nfs": False,
        "nvmeof": False,
    }
    for driver in ("rbd", "cephfs"):
        # The names that classes give, and that volumes of the older release were made by.
        assert drivers[driver]["name"] == f"rook-ceph.{driver}.csi.ceph.com"
        rule = drivers[driver]["controllerPlugin"]["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert [term["topologyKey"] for term in rule] == [ZONE]
        assert (
            rule[0]["labelSelector"]["matchLabels"]
            == found.workload(f"csi-{driver}-provisioner").selector["matchLabels"]
        )


# Nothing is taken away


@each_release
def test_no_run_takes_data_away(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    cluster = ceph(found)
    assert cluster["cleanupPolicy"] == {"confirmation": "", "allowUninstallWithVolumes": False}
    assert cluster["removeOSDsIfOutAndSafeToRemove"] is False
    kept = {
        "CephCluster",
        "CephBlockPool",
        "CephFilesystem",
        "CephObjectStore",
        "CephObjectStoreUser",
        "PersistentVolume",
    }
    assert kept <= {kind for kind, _name in found.objects}
    for (kind, name), item in found.objects.items():
        if kind in kept or (kind, name) == ("Namespace", "rook-ceph"):
            options = item["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].split(",")
            assert {"Prune=false", "Delete=false"} <= set(options), (kind, name)
        if kind == "StorageClass":
            assert item["reclaimPolicy"] == "Retain", name
    assert found.objects["CephFilesystem", "shared-files"]["spec"]["preserveFilesystemOnDelete"] is True
    assert found.objects["CephObjectStore", "object-store"]["spec"]["preservePoolsOnDelete"] is True


@each_release
def test_what_goes_over_the_network_is_encrypted(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    connections = ceph(found)["network"]["connections"]
    assert (connections["encryption"]["enabled"], connections["requireMsgr2"]) == (True, True)
    if release == "2024.1":
        assert found.values["rook-ceph"]["csi"]["cephFSKernelMountOptions"] == "ms_mode=secure"
    plain = storage(rendered, release, storage_network_encryption=False)
    assert ceph(plain)["network"]["connections"]["encryption"]["enabled"] is False
    assert "cephFSKernelMountOptions" not in plain.values["rook-ceph"]["csi"]


# The object store


@each_release
def test_the_object_store_answers_where_others_ask(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    gateway = found.objects["CephObjectStore", "object-store"]["spec"]["gateway"]
    certificate = found.objects["Certificate", "object-store"]["spec"]
    assert (gateway["securePort"], "port" in gateway) == (443, False)
    assert gateway["sslCertificateRef"] == certificate["secretName"]
    for role in ("postgresql", "harbor"):
        store = yaml.safe_load((CLONE / f"roles/{role}/defaults/main.yml").read_text())[f"{role}_object_store"]
        assert store["endpoint"].removeprefix("https://") in certificate["dnsNames"], role
        assert store["class"] == found.objects["StorageClass", store["class"]]["metadata"]["name"]
    # Else claims of other namespaces are never seen.
    assert found.values["rook-ceph"]["enableOBCWatchOperatorNamespace"] is False


@each_release
def test_users_are_made_where_they_are_used(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    users = {name: item for (kind, name), item in found.objects.items() if kind == "CephObjectStoreUser"}
    elsewhere = {item["metadata"]["namespace"] for item in users.values()} - {"rook-ceph"}
    assert set(found.objects["CephObjectStore", "object-store"]["spec"]["allowUsersInNamespaces"]) == elsewhere
    # They are given buckets and make none; the one that makes them is nobody's else.
    assert {name for name, item in users.items() if "quotas" not in item["spec"]} == {"bucket-keeper"}
    assert users["bucket-keeper"]["metadata"]["namespace"] == "rook-ceph"


def wanted(found: Rendered) -> Any:
    return json.loads(found.objects["ConfigMap", "locked-buckets"]["data"]["buckets.json"])


@each_release
def test_buckets_are_locked_and_nobody_lifts_it(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    said = wanted(found)
    backup = yaml.safe_load((CLONE / "roles/backup/defaults/main.yml").read_text())
    # Seven years, of which two may be leap years: 7 * 365 + 2.
    audit = said[backup["backup_audit_bucket"]]
    assert (audit["mode"], audit["days"], audit["expire_days"]) == ("COMPLIANCE", 2557, 0)
    for name, bucket in said.items():
        statements = {one["Sid"]: one for one in bucket["policy"]["Statement"]}
        denied = set(statements["nobody-lifts-it"]["Action"])
        assert {
            "s3:DeleteObject",
            "s3:DeleteObjectVersion",
            "s3:BypassGovernanceRetention",
            "s3:PutObjectRetention",
            "s3:DeleteBucket",
        } <= denied
        for role in ("writers", "readers"):
            assert not set(statements[role]["Action"]) & denied, name
        assert not {"s3:PutObject"} & set(statements["readers"]["Action"])


@each_release
def test_the_job_has_another_name_when_something_changes(rendered: Render, release: str) -> None:
    def job(**settings: Any) -> str:
        return next(name for kind, name in storage(rendered, release, **settings).objects if kind == "Job")

    one = {"a": {"mode": "COMPLIANCE", "days": 30}}
    assert job(storage_locked_buckets=one) == job(storage_locked_buckets=one)
    assert job(storage_locked_buckets=one) != job(storage_locked_buckets={"a": {"mode": "COMPLIANCE", "days": 31}})
    assert not [kind for kind, _name in storage(rendered, release, storage_locked_buckets={}).objects if kind == "Job"]


@each_release
def test_another_region_is_a_choice(rendered: Render, release: str) -> None:
    assert not [kind for kind, _name in storage(rendered, release).objects if kind.startswith("CephObjectZone")]
    elsewhere = {
        "zone": "region-b",
        "endpoints": ["https://s3.b.example:443"],
        "pull": "https://s3.a.example",
        "authorities": "bank",
    }
    found = storage(rendered, release, storage_object_replication=elsewhere)
    store = found.objects["CephObjectStore", "object-store"]["spec"]
    zone = found.objects["CephObjectZone", "region-b"]["spec"]
    # A store that was there before becomes part of it only by its own name (docs/storage.md).
    assert found.objects["CephObjectRealm", "object-store"]["spec"] == {"pull": {"endpoint": "https://s3.a.example"}}
    assert zone["zoneGroup"] == found.objects["CephObjectZoneGroup", "object-store"]["metadata"]["name"]
    assert (store["zone"], store["gateway"]["caBundleRef"]) == ({"name": "region-b"}, "bank")
    assert "dataPool" not in store
    assert zone["preservePoolsOnDelete"] is True
    assert {pool["failureDomain"] for _name, pool in pools(found)} == {"zone"}
    assert "s3.b.example" in found.objects["Certificate", "object-store"]["spec"]["dnsNames"]


# Snapshots and folders


@each_release
def test_snapshots_and_folders(rendered: Render, release: str) -> None:
    found = storage(rendered, release)
    for name, driver in (("fast-ssd", "rbd"), ("shared-files", "cephfs")):
        of = found.objects["VolumeSnapshotClass", name]
        assert of["driver"] == found.objects["StorageClass", name]["provisioner"] == f"rook-ceph.{driver}.csi.ceph.com"
        assert of["metadata"]["labels"]["velero.io/csi-volumesnapshot-class"] == "true"
    config = json.loads(found.objects["ConfigMap", "local-path-config"]["data"]["config.json"])
    assert config["nodePathMap"][0]["paths"] == ["/var/lib/local-volumes"]
    helper = yaml.safe_load(found.objects["ConfigMap", "local-path-config"]["data"]["helperPod.yaml"])
    assert re.search(r"rancher/local-path-provisioner:v[0-9.]+", helper["spec"]["containers"][0]["image"])


# Classes that anybody names


def classes_named() -> Iterator[tuple[str, str]]:
    """Each name of a StorageClass in roles and inventories, and where it is said."""
    literal = re.compile(r"storageClass(?:Name)?:\s*[\"']?([a-z][a-z0-9.-]*)[\"']?\s*(?:[,}\]]|$)", re.MULTILINE)
    for root in ("roles", "inventories", "playbooks"):
        for path in sorted((CLONE / root).rglob("*")):
            if path.suffix in (".yml", ".j2") and path.is_file():
                for found in literal.finditer(path.read_text()):
                    yield found.group(1), str(path.relative_to(CLONE))
    files = [*(CLONE / "roles").glob("*/defaults/main.yml"), *(CLONE / "inventories").rglob("*.yml")]
    for path in sorted(files):
        for key, value in (yaml.safe_load(path.read_text()) or {}).items():
            if key.endswith("storage_class") and value:
                yield value, f"{path.relative_to(CLONE)}: {key}"
            if isinstance(value, dict) and ("bucket" in value or "endpoint" in value) and "class" in value:
                yield value["class"], f"{path.relative_to(CLONE)}: {key}"


@each_release
def test_every_class_that_is_named_is_there_once(rendered: Render, release: str) -> None:
    folder = CLONE / "roles/storage/templates"
    text = "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file())
    made = [name for kind, name in storage(rendered, release).objects if kind == "StorageClass"]
    assert text.count("kind: StorageClass\n") == len(made) == len(set(made))
    named = dict(classes_named())
    assert {"fast-ssd", "object-store", "osd-disk"} <= set(named)
    missing = {name: where for name, where in named.items() if name not in made}
    assert not missing, f"{missing}: add them to roles/storage, or name one of {sorted(made)}"
    others = [
        str(path)
        for path in (CLONE / "roles").rglob("templates/**/*.j2")
        if "kind: StorageClass\n" in path.read_text() and folder not in path.parents
    ]
    assert not others, "classes are made in roles/storage alone"


@each_release
def test_one_class_is_the_default(rendered: Render, release: str) -> None:
    """Claims without a class (roles/redis) get the one that is replicated."""
    found = storage(rendered, release).objects
    classes = {
        name: item["metadata"].get("annotations", {}) for (kind, name), item in found.items() if kind == "StorageClass"
    }
    default = [name for name, said in classes.items() if "storageclass.kubernetes.io/is-default-class" in said]
    assert default == ["fast-ssd"]


# Alerts


@each_release
def test_alerts_and_scraping_are_a_choice(rendered: Render, release: str) -> None:
    assert not [
        kind for kind, _name in storage(rendered, release).objects if kind in ("PrometheusRule", "ServiceMonitor")
    ]
    found = storage(rendered, release, storage_monitoring=True)
    rules = [
        rule for group in found.objects["PrometheusRule", "rook-ceph"]["spec"]["groups"] for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    used = {name for rule in rules for name in re.findall(r"\bceph_[a-z_]+", rule["expr"]) if name != "ceph_daemon"}
    assert found.declared
    promised = {name for metric in found.declared.metrics for name in metric.get("series", [])}
    assert used == promised
    assert {name for kind, name in found.objects if kind == "ServiceMonitor"} == {"rook-ceph-mgr", "rook-ceph-exporter"}


# What is refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hostvars": hosts(worker_a1={"storage_osd_device": ""})}, ["worker-a1 no whole disk", "/dev/disk/by-id"]),
        ({"hostvars": hosts(worker_a1={"storage_osd_device": "/dev/sdb"})}, ["worker-a1 no whole disk"]),
        ({"hostvars": hosts(worker_b2={"storage_osd_device": DISK + "-part1"})}, ["a partition on worker-b2"]),
        ({"hostvars": hosts(worker_c1={"data_volumes": [{"device": DISK}]})}, ["of data_volumes on worker-c1"]),
        ({"storage_copies_minimum": 3}, ["3 copies", "3 must be left for writing"]),
        ({"storage_copies_minimum": 1}, ["1 must be left for writing"]),
        ({"storage_copies": 2, "storage_copies_minimum": 2}, ["2 copies"]),
        ({"platform_zones": ["zone-a", "zone-b"]}, ["3 copies, one a zone", "over 2 zones"]),
        ({"storage_osd_memory": "1536Mi"}, ["storage_osd_memory is 1536Mi", "2Gi or more"]),
        ({"vault_enabled": False}, ["the platform has no Vault", "storage_keys to secret"]),
        ({"groups": {"worker": WORKERS, "control_plane": ["cp-a1"]}}, ["the platform has no Vault"]),
        ({"storage_locked_buckets": {"a": {"mode": "COMPLIANCE", "days": 9, "writers": ["nobody"]}}}, ["nobody"]),
        ({"storage_locked_buckets": {"a": {"mode": "WORM", "days": 9}}}, ["the mode WORM"]),
        ({"storage_locked_buckets": {"a": {"mode": "COMPLIANCE", "days": 0}}}, ["less than a day"]),
        ({"storage_locked_buckets": {"a": {"mode": "COMPLIANCE", "days": 9, "expire_days": 9}}}, ["expires after 9"]),
        ({"storage_object_replication": {"zone": "b"}}, ["lacks zone or endpoints"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(rendered: Render, settings: dict[str, Any], said: list[str]) -> None:
    refused = storage(rendered, RELEASES[0], **settings).refused
    assert refused
    assert all(text in refused[0] for text in said), refused


def test_what_is_right_is_not_refused(rendered: Render) -> None:
    assert storage(rendered, RELEASES[0]).refused == []
