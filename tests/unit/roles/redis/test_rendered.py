# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `redis` delivers. What servers make of it: tests/integration/redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered
from ansible_collections.banking.platform.tools.suites import CLONE

Render = Callable[..., Rendered]
SETS = ("cache", "sessions")
each_release = pytest.mark.parametrize("release", RELEASES)
each_set = pytest.mark.parametrize("name", SETS)
ZONE = "topology.kubernetes.io/zone"
NODE = "kubernetes.io/hostname"


def cluster(found: Rendered, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = found.objects["RedisCluster", f"redis-{name}"]["spec"]
    return spec


def config(found: Rendered, name: str) -> dict[str, str]:
    text = found.objects["ConfigMap", f"redis-{name}"]["data"]["redis-additional.conf"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}


def mebibytes(text: str) -> int:
    return int(text.removesuffix("Mi"))


@each_release
@each_set
def test_three_leaders_and_three_followers(rendered: Render, release: str, name: str) -> None:
    found = rendered("redis", release)
    spec = cluster(found, name)
    # res-A3: it counts leaders.
    assert (spec["clusterSize"], spec["redisLeader"]["replicas"], spec["redisFollower"]["replicas"]) == (3, 3, 3)
    assert found.objects["RedisCluster", f"redis-{name}"]["apiVersion"] == "redis.redis.opstreelabs.in/v1beta2"
    for role in ("leader", "follower"):
        declared = found.workload(f"{name}-{role}")
        assert declared.replicas == spec[f"redis{role.capitalize()}"]["replicas"]
        assert declared.selector["matchLabels"] == {"app": f"redis-{name}-{role}"}


@each_release
@each_set
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_no_two_leaders_and_no_two_followers_are_in_a_zone(
    rendered: Render, release: str, name: str, role: str
) -> None:
    apart = cluster(rendered("redis", release), name)[f"redis{role.capitalize()}"]["affinity"]["podAntiAffinity"]
    (hard,) = apart["requiredDuringSchedulingIgnoredDuringExecution"]
    assert (hard["topologyKey"], hard["labelSelector"]["matchLabels"]) == (ZONE, {"app": f"redis-{name}-{role}"})


@each_release
def test_where_zones_are_fewer_than_leaders_nodes_hold_them_apart(rendered: Render, release: str) -> None:
    found = rendered("redis", release, platform_zones=["zone-a"])
    for name in SETS:
        apart = cluster(found, name)["redisLeader"]["affinity"]["podAntiAffinity"]
        (hard,) = apart["requiredDuringSchedulingIgnoredDuringExecution"]
        assert hard["topologyKey"] == NODE


@each_release
@each_set
def test_no_leader_is_moved_while_its_follower_is(rendered: Render, release: str, name: str) -> None:
    found = rendered("redis", release)
    budget = found.objects["PodDisruptionBudget", f"redis-{name}"]["spec"]
    labels = found.objects["RedisCluster", f"redis-{name}"]["metadata"]["labels"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    # A pod that two of them hold is never moved.
    assert not any("pdb" in cluster(found, name)[f"redis{role}"] for role in ("Leader", "Follower"))


@each_release
@pytest.mark.parametrize(("name", "policy"), [("sessions", "noeviction"), ("cache", "allkeys-lru")])
def test_sessions_are_never_dropped_and_memory_follows_the_limit(
    rendered: Render, release: str, name: str, policy: str
) -> None:
    found = rendered("redis", release, redis_sessions_memory="2Gi", redis_cache_memory="2Gi")
    spec = cluster(found, name)
    limit = mebibytes(spec["kubernetesConfig"]["resources"]["limits"]["memory"])
    said = config(found, name)
    assert said["maxmemory-policy"] == policy
    # res-D10
    assert 0.60 <= int(said["maxmemory"].removesuffix("mb")) / limit <= 0.70
    assert limit + mebibytes(spec["redisExporter"]["resources"]["limits"]["memory"]) == 2048
    # Snapshots are the image's part then; said twice, each would be there twice.
    assert (said["appendonly"], spec["persistenceEnabled"], "save" in said) == ("yes", True, False)
    # Else a replica leaves its pair, and may come to be in its leader's zone.
    assert said["cluster-allow-replica-migration"] == "no"


@each_release
@each_set
def test_nothing_is_said_in_clear_and_nobody_comes_without_a_password(
    rendered: Render, release: str, name: str
) -> None:
    found = rendered("redis", release)
    spec = cluster(found, name)
    certificate = found.objects["Certificate", f"redis-{name}"]["spec"]
    assert spec["TLS"]["secret"]["secretName"] == certificate["secretName"]
    # The operator at 0.18 verifies pods by their bare names.
    pods = {f"redis-{name}-{role}-{number}" for role in ("leader", "follower") for number in range(3)}
    assert pods <= set(certificate["dnsNames"])
    assert config(found, name)["tls-ca-cert-file"] == "/tls/ca.crt"
    secret, acl = (found.objects["ExternalSecret", f"redis-{name}{suffix}"]["spec"] for suffix in ("", "-acl"))
    assert spec["kubernetesConfig"]["redisSecret"] == {"name": secret["target"]["name"], "key": "password"}
    assert spec["acl"]["secret"]["secretName"] == acl["target"]["name"]
    users = acl["target"]["template"]["data"]["user.acl"].splitlines()
    assert [line.split()[1] for line in users] == ["default", "banking-apps"]
    assert all(" #{{ ." in line and "| sha256sum }}" in line and "nopass" not in line for line in users)
    assert not [kind for kind, _name in found.objects if kind == "Secret"]


@each_release
def test_what_is_read_is_what_the_store_lets_and_what_the_role_makes(rendered: Render, release: str) -> None:
    found = rendered("redis", release)
    secrets = [item["spec"] for (kind, _name), item in found.objects.items() if kind == "ExternalSecret"]
    read = {(one["remoteRef"]["key"], one["remoteRef"]["property"]) for spec in secrets for one in spec["data"]}
    store = yaml.safe_load((CLONE / "roles/secrets/defaults/main.yml").read_text())["secrets_stores"]["redis"]
    assert {key for key, _field in read} == set(store["read"])
    assert store["namespaces"] == ["banking-data"]
    assert {tuple(f"redis/{name}".split("#")) for name in found.variables["__redis_passwords"]} == read


@each_release
@each_set
def test_pods_are_restricted_and_in_the_class_of_data(rendered: Render, release: str, name: str) -> None:
    found = rendered("redis", release)
    spec = cluster(found, name)
    assert spec["podSecurityContext"]["runAsNonRoot"] is True
    assert spec["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for part in ("redisLeader", "redisFollower", "redisExporter"):
        security = spec[part]["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert spec["priorityClassName"] == "banking-data"
    # What the image writes with a root that nobody writes: its configuration and the data.
    assert [mount["mountPath"] for mount in spec["storage"]["volumeMount"]["mountPath"]] == ["/etc/redis"]
    assert {"name": "NODE_CONF_DIR", "value": "/data"} in spec["env"]
    assert found.objects["ServiceAccount", spec["serviceAccountName"]]["automountServiceAccountToken"] is False


def test_the_newer_operator_is_helped_to_name_the_authority(rendered: Render) -> None:
    """From 0.24 on it gives REDIS_TLS_CA_CERT, and images go on to read REDIS_TLS_CA_KEY."""
    for release, helped in (("2024.1", False), ("2026.2", True)):
        names = [one["name"] for one in cluster(rendered("redis", release), "cache")["env"]]
        assert ("REDIS_TLS_CA_KEY" in names) is helped, release


@each_release
def test_the_operator_watches_its_namespace_alone(rendered: Render, release: str) -> None:
    values = rendered("redis", release).values["redis-operator"]
    assert values["redisOperator"]["watchNamespace"] == "banking-data"
    assert values["redisOperator"]["imageName"] == "quay.io/opstree/redis-operator"
    assert values["redisOperator"]["imageTag"].startswith("v")


@each_release
def test_sentinels_are_refused_and_not_forgotten(rendered: Render, release: str) -> None:
    (said,) = rendered("redis", release, redis_mode="sentinel").refused
    assert "`cluster` alone" in said
    assert not rendered("redis", release).refused


@each_release
def test_alerts_are_there_when_they_are_wanted(rendered: Render, release: str) -> None:
    assert ("PrometheusRule", "redis") not in rendered("redis", release).objects
    found = rendered("redis", release, redis_monitoring=True)
    (group,) = found.objects["PrometheusRule", "redis"]["spec"]["groups"]
    names = {rule["alert"] for rule in group["rules"]}
    assert names >= {"RedisServerDown", "RedisSessionsEvicted", "RedisPrimaryIsFollower", "RedisClusterFailing"}
    (endpoint,) = found.objects["PodMonitor", "redis"]["spec"]["podMetricsEndpoints"]
    # As the operator names the port of its exporter.
    assert endpoint["port"] == "redis-exporter"


@each_release
def test_backups_are_kept_apart_and_never_taken_away(rendered: Render, release: str) -> None:
    found = rendered("redis", release)
    claim = found.objects["PersistentVolumeClaim", "redis-backups"]
    assert "Prune=false" in claim["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
    pod = found.objects["CronJob", "redis-backup"]["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    declared = found.workload("backup")
    assert pod["metadata"]["labels"].items() >= declared.selector["matchLabels"].items()
    assert declared.requests.storage == 20 * 1024**3
    # Of the sessions, and with the password in the environment alone.
    assert container["command"][2:] == ["redis-sessions-leader.banking-data.svc:6379", "/backups", "24"]
    (password,) = (item for item in container["env"] if item["name"] == "REDISCLI_AUTH")
    assert password["valueFrom"]["secretKeyRef"]["name"] == "redis-sessions"
    none = rendered("redis", release, redis_backup_keep=0)
    assert not [name for _kind, name in none.objects if "backup" in name]
    assert none.declared is not None
    assert none.declared.backups == []


@each_release
@pytest.mark.parametrize("named", ["", "yesterday", "../20261127T021500Z", "20261127T021500Z/.."])
def test_a_restore_names_a_backup(rendered: Render, release: str, named: str) -> None:
    (said,) = rendered("redis", release, tasks="restore", redis_restore=named).refused
    assert "nothing was changed" in said
    assert not rendered("redis", release, tasks="restore", redis_restore="20261127T021500Z").refused


@each_release
def test_the_job_of_a_restore_is_what_kubernetes_takes(rendered: Render, release: str) -> None:
    text = "{{ lookup('banking.platform.template', role_path ~ '/templates/restore.yml.j2') | from_yaml }}"
    found = rendered("redis", release, redis_restore="20261127T021500Z", job=text)
    job = found.variables["job"]
    kubernetes_validate.validate(job, "1.28", strict=True)
    assert job["metadata"]["name"].startswith("redis-restore-20261127t021500z-")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][3:] == ["/backups/20261127T021500Z", "/scratch/data"]
    assert {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}["/backups"] is True
    # A server with the data of one shard has the memory for it.
    assert container["resources"]["limits"]["memory"] == "1Gi"
