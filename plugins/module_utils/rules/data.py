# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the data tier, observability and applications. What each refuses, and why: docs/rules.md.

A value that cannot be read is found once, by `units`; the other rules pass over it.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.declarations import Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, nearest
from ansible_collections.banking.platform.plugins.module_utils.quantities import show_cpu, show_size
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import Platform, rule

# A JVM needs memory beside its heap (metaspace, threads, direct buffers): a quarter of the limit.
HEAP_SHARE = 0.75
VPA_MODES = ("Off", "Initial", "Recreate", "InPlaceOrRecreate", "Auto")
# Modes in which the VPA changes the requests of pods that run.
VPA_ACTIVE = ("Recreate", "InPlaceOrRecreate", "Auto")
IN_PLACE_FROM = (1, 33)
DATA_STORES = ("postgresql", "redis", "kafka", "elk")
REDIS_MODES = ("cluster", "sentinel")
# Connections that PostgreSQL keeps for superusers (3), and the operator's own beside one for each standby.
RESERVED_CONNECTIONS = 10
# Connections of one of Harbor's pods where `harbor_database` has no `connections`, as the role's template has it.
HARBOR_CONNECTIONS = 4
# Elasticsearch puts no further shard on a disk that is fuller (cluster.routing.allocation.disk.watermark.low).
LOW_WATERMARK = 0.85
# What Prometheus' manual leaves free beside the blocks, for the write-ahead log and compaction.
PROMETHEUS_SHARE = 0.85
AUDIT_DAYS = 7 * 365


def days(text: Any) -> float:
    """Days of a span such as `14d`, `2w` or `7y` (of 365 days); also of hours, `36h`.

    Raises:
        ValueError: when it is no such span.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([hdwy])", str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is no span of time: write it such as 30d, 2w or 7y")
    return float(match[1]) * {"h": 1 / 24, "d": 1, "w": 7, "y": 365}[match[2]]


def postgresql_size(text: Any) -> int:
    """Bytes of a PostgreSQL setting: units are B, kB, MB, GB and TB, each 1024 of the one before.

    Source: https://www.postgresql.org/docs/16/config-setting.html

    Raises:
        ValueError: when it is no such amount, or has no unit (what a number alone means differs by setting).
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|MB|GB|TB)", str(text).strip())
    if not match:
        raise ValueError(f"{text!r} is no amount of memory to PostgreSQL: write it such as 64MB or 8GB")
    return int(float(match[1]) * 1024 ** ("B", "kB", "MB", "GB", "TB").index(match[2]))


def _up(count: float) -> str:
    """Bytes to write down as a smallest value: whole mebibytes, so that rounding keeps the promise."""
    return f"{math.ceil(count / 1024**2)}Mi"


def _down(count: float) -> str:
    """The same as a largest value."""
    return f"{int(count // 1024**2)}Mi"


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no number: write it such as 3")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no number: write it such as 3") from None


# What a setting is read with. `*` stands for each key of a mapping.
_READERS: Dict[str, Tuple[str, Callable[[Any], float]]] = {
    "postgresql_instances": ("postgresql", _number),
    "postgresql_synchronous": ("postgresql", _number),
    "postgresql_memory": ("postgresql", quantities.size),
    "postgresql_poolers": ("postgresql", _number),
    "postgresql_pool_size": ("postgresql", _number),
    "postgresql_pool_clients": ("postgresql", _number),
    "postgresql_parameters.max_connections": ("postgresql", _number),
    "postgresql_parameters.shared_buffers": ("postgresql", postgresql_size),
    "postgresql_parameters.effective_cache_size": ("postgresql", postgresql_size),
    "postgresql_parameters.work_mem": ("postgresql", postgresql_size),
    "postgresql_parameters.maintenance_work_mem": ("postgresql", postgresql_size),
    "postgresql_backup_keep": ("postgresql", days),
    "redis_leaders": ("redis", _number),
    "redis_followers": ("redis", _number),
    "redis_maxmemory_percent": ("redis", _number),
    "kafka_brokers": ("kafka", _number),
    "kafka_replication_factor": ("kafka", _number),
    "kafka_min_in_sync": ("kafka", _number),
    "elk_masters": ("elk", _number),
    "elk_data_nodes": ("elk", _number),
    "elk_replicas": ("elk", _number),
    "elk_data_disk": ("elk", quantities.size),
    "elk_retention.*.daily": ("elk", quantities.size),
    "elk_retention.*.hot": ("elk", days),
    "elk_retention.*.archive": ("elk", days),
    "prometheus_slo": ("prometheus", _number),
    "prometheus_storage": ("prometheus", quantities.size),
    "prometheus_retention": ("prometheus", days),
    "prometheus_retention_size": ("prometheus", quantities.size),
    "tracing_sampling": ("tracing", _number),
    "keycloak_instances": ("keycloak", _number),
    "keycloak_pool_size": ("keycloak", _number),
    "harbor_database.connections": ("harbor", _number),
}


def _get(variables: Any, path: str) -> Any:
    """The value at a dotted path, None where there is nothing."""
    for key in path.split("."):
        variables = variables.get(key) if isinstance(variables, Mapping) else None
    return variables


def _paths(platform: Platform, path: str) -> List[str]:
    if "*" not in path:
        return [path]
    before, after = path.split(".*.")
    keys = _get(platform.variables, before)
    return [f"{before}.{key}.{after}" for key in keys] if isinstance(keys, Mapping) else []


def _reader(path: str) -> Tuple[str, Callable[[Any], float]]:
    return _READERS.get(path) or _READERS[re.sub(r"\..*\.", ".*.", path)]


def _read(platform: Platform, *paths: str) -> Optional[List[float]]:
    """The values at paths of settings; None when one's component is off, or one is absent or cannot be read."""
    values = []
    for path in paths:
        component, reader = _reader(path)
        value = _get(platform.variables, path)
        if value is None or not platform.enabled(component):
            return None
        try:
            values.append(reader(value))
        except ValueError:
            return None
    return values


def _production(platform: Platform) -> bool:
    return platform.environment.startswith("prod")


def _services(platform: Platform) -> Iterator[Tuple[Mapping[str, Any], Workload]]:
    """Each of `banking_apps_services` with its workload."""
    for declaration in platform.declarations:
        if declaration.component == "banking_apps":
            for service in platform.variables.get("banking_apps_services") or []:
                yield service, declaration.workload(service["name"])


def _hpa(workload: Workload, key: str) -> Optional[int]:
    """`min` or `max` of a workload's horizontal scaling, None where it is not a whole number."""
    value = str(workload.hpa.get(key, "")).strip()
    return int(value) if value.isdecimal() else None


def _at_least(workload: Workload) -> int:
    """How many pods there are at the quietest time."""
    smallest = _hpa(workload, "min")
    return (workload.replicas or 0) if smallest is None else smallest


def _at_most(workload: Workload) -> int:
    """How many pods there are at the busiest time."""
    largest = _hpa(workload, "max")
    return (workload.replicas or 0) if largest is None else largest


@rule("units")
def units(platform: Platform) -> Iterator[Finding]:
    """Amounts, spans and numbers that cannot be read."""
    for pattern, (component, reader) in _READERS.items():
        for path in _paths(platform, pattern) if platform.enabled(component) else []:
            value = _get(platform.variables, path)
            if value is None:
                continue
            try:
                reader(value)
            except ValueError as error:
                cause, _separator, hint = str(error).partition(": ")
                yield Finding("error", component, path, cause, hint, "units")


# --- All workloads ----------------------------------------------------------------------------------------------------


@rule("jvm-heap")
def jvm_heap(platform: Platform) -> Iterator[Finding]:
    """res-D4: a heap that its container cannot hold."""
    for workload in platform.workloads():
        if workload.heap is None:
            continue
        limit = workload.limits.memory or (workload.requests.memory if workload.runs == "server" else 0)
        if not limit:
            yield Finding(
                "error",
                workload.title,
                "limits.memory",
                f"the JVM has a heap of {show_size(workload.heap)} and no limit of memory to hold it against",
                f"set limits.memory to {_up(workload.heap / HEAP_SHARE)} or more",
                "jvm-heap",
            )
        elif workload.heap > limit * HEAP_SHARE:
            yield Finding(
                "error",
                workload.title,
                "heap",
                f"a heap of {show_size(workload.heap)} is {workload.heap / limit:.0%} of the limit "
                f"{show_size(limit)}; a JVM needs memory beside its heap, and is killed when it takes it",
                f"set the heap to {_down(limit * HEAP_SHARE)} or less, or the limit to "
                f"{_up(workload.heap / HEAP_SHARE)} or more",
                "jvm-heap",
            )


@rule("hpa-and-vpa")
def hpa_and_vpa(platform: Platform) -> Iterator[Finding]:
    """res-D1: two controllers that answer the same load, one by more pods, one by larger ones."""
    for workload in platform.workloads():
        both = sorted(set(workload.hpa.get("metrics") or ()) & set(workload.vpa.get("resources") or ("cpu", "memory")))
        if both and workload.vpa.get("mode") in VPA_ACTIVE:
            yield Finding(
                "error",
                workload.title,
                "vpa.mode",
                f"HPA and VPA ({workload.vpa['mode']}) both act on {' and '.join(both)}: the VPA moves the requests "
                "that the HPA's utilisation is measured against",
                "set vpa.mode to Off (it then only recommends), or scale by other metrics",
                "hpa-and-vpa",
            )


@rule("vpa-mode")
def vpa_mode(platform: Platform) -> Iterator[Finding]:
    """res-D2: modes that are unknown, deprecated, or not there yet."""
    kubernetes = tuple(int(part) for part in platform.catalog.kubernetes.split(".")[:2])
    for workload in platform.workloads():
        mode = workload.vpa.get("mode")
        if not workload.vpa or mode in ("Off", "Initial", "Recreate"):
            continue
        severity, cause, step = "error", f"{mode!r} is no mode of the VPA", nearest(str(mode), VPA_MODES)
        if mode == "Auto":
            severity, cause = "warning", "Auto is deprecated, and the same as Recreate: it evicts pods to resize them"
            step = "set it to Off, Initial or Recreate"
        elif mode == "InPlaceOrRecreate":
            if kubernetes >= IN_PLACE_FROM:
                continue
            cause = f"InPlaceOrRecreate needs Kubernetes 1.33, the release has {platform.catalog.kubernetes}"
            step = "set it to Off or Initial"
        yield Finding(severity, workload.title, "vpa.mode", cause, step, "vpa-mode")


@rule("hpa-memory-of-jvm")
def hpa_memory_of_jvm(platform: Platform) -> Iterator[Finding]:
    """res-D3: a JVM gives no memory back, so that the HPA never scales in."""
    for workload in platform.workloads():
        if workload.heap and "memory" in (workload.hpa.get("metrics") or ()):
            yield Finding(
                "warning",
                workload.title,
                "hpa.metrics",
                f"scaling by memory: a JVM keeps its heap ({show_size(workload.heap)}), and so it stays at "
                f"{_at_most(workload)} pods once it got there",
                "scale by cpu, by requests or by latency, and take memory out",
                "hpa-memory-of-jvm",
            )


@rule("vpa-over-limit")
def vpa_over_limit(platform: Platform) -> Iterator[Finding]:
    """res-D5: two ceilings that differ."""
    for workload in platform.workloads():
        ceiling = workload.vpa.get("max") or {}
        readers: Dict[str, Tuple[Callable[[Any], int], Callable[[int], str]]] = {
            "cpu": (quantities.cpu, show_cpu),
            "memory": (quantities.size, show_size),
        }
        for resource, (reader, show) in readers.items():
            limit = getattr(workload.limits, resource)
            if resource not in ceiling:
                continue
            try:
                largest = reader(ceiling[resource])
            except ValueError as error:
                cause, _separator, hint = str(error).partition(": ")
                yield Finding("error", workload.title, f"vpa.max.{resource}", cause, hint, "vpa-over-limit")
                continue
            if limit and largest > limit:
                yield Finding(
                    "error",
                    workload.title,
                    f"vpa.max.{resource}",
                    f"the VPA may ask for {show(largest)}, the limit is {show(limit)}",
                    f"set it to {show(limit)} or less, or raise limits.{resource}",
                    "vpa-over-limit",
                )


@rule("hpa-range")
def hpa_range(platform: Platform) -> Iterator[Finding]:
    """Bounds of scaling that exclude each other, or the declared number of pods."""
    for workload in platform.workloads():
        if not workload.hpa:
            continue
        low, high = _hpa(workload, "min"), _hpa(workload, "max")
        if low is None or high is None or low < 1 or low > high:
            yield Finding(
                "error",
                workload.title,
                "hpa",
                f"min {workload.hpa.get('min')!r} and max {workload.hpa.get('max')!r} are no range",
                "set both to whole numbers, min at least 1 and not over max",
                "hpa-range",
            )
        elif not low <= (workload.replicas or 0) <= high:
            yield Finding(
                "error",
                workload.title,
                "replicas",
                f"{workload.replicas} pods are outside of the HPA's {low} to {high}",
                f"set it to {low}",
                "hpa-range",
            )


@rule("request-over-limit")
def request_over_limit(platform: Platform) -> Iterator[Finding]:
    """The API server refuses such a pod."""
    for workload in platform.workloads():
        for resource, show in (("cpu", show_cpu), ("memory", show_size)):
            request, limit = getattr(workload.requests, resource), getattr(workload.limits, resource)
            if limit and request > limit:
                yield Finding(
                    "error",
                    workload.title,
                    f"requests.{resource}",
                    f"a request of {show(request)} is over the limit of {show(limit)}",
                    f"set it to {show(limit)} or less",
                    "request-over-limit",
                )


@rule("data-store-memory")
def data_store_memory(platform: Platform) -> Iterator[Finding]:
    """A data store that uses more than it reserved is the first that a node out of memory ends."""
    for declaration in platform.declarations:
        if declaration.component not in DATA_STORES:
            continue
        stores = {
            name
            for quorum in declaration.quorum
            if quorum.kind != "at_least_one"
            for name in (*quorum.members, quorum.primaries, quorum.replicas)
            if name
        }
        for workload in declaration.workloads:
            if workload.name in stores and workload.limits.memory != workload.requests.memory:
                limit = show_size(workload.limits.memory) if workload.limits.memory else "not set"
                yield Finding(
                    "warning",
                    workload.title,
                    "limits.memory",
                    f"the request is {show_size(workload.requests.memory)}, the limit {limit}: what lies between is "
                    "taken from others, and given back by being killed",
                    f"set it to {show_size(workload.requests.memory)}",
                    "data-store-memory",
                )


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@rule("postgresql-connections")
def postgresql_connections(platform: Platform) -> Iterator[Finding]:
    """res-D7: poolers that may open more connections than the database takes."""
    values = _read(
        platform,
        "postgresql_poolers",
        "postgresql_pool_size",
        "postgresql_parameters.max_connections",
        "postgresql_instances",
    )
    if values:
        poolers, size, largest, instances = values
        free = largest - RESERVED_CONNECTIONS - instances
        if poolers * size > free:
            yield Finding(
                "error",
                "postgresql",
                "postgresql_pool_size",
                f"{poolers:.0f} poolers x {size:.0f} connections = {poolers * size:.0f}, and max_connections "
                f"{largest:.0f} leaves {free:.0f} (without {RESERVED_CONNECTIONS} reserved and {instances:.0f} to "
                "replicate)",
                f"set it to {max(0, int(free // max(poolers, 1)))} or less",
                "postgresql-connections",
            )


@rule("application-pools")
def application_pools(platform: Platform) -> Iterator[Finding]:
    """res-D7: applications that may ask the poolers for more connections than those take."""
    values = _read(platform, "postgresql_poolers", "postgresql_pool_clients")
    if not values:
        return
    poolers, clients = values
    wanted, parts = 0, []
    for service, workload in _services(platform):
        pool = str(service.get("pool", 0))
        if not pool.isdecimal():
            yield Finding(
                "error",
                workload.title,
                "banking_apps_services.pool",
                f"{service['pool']!r} is no number of connections",
                "set it to a whole number such as 20",
                "application-pools",
            )
            continue
        wanted += _at_most(workload) * int(pool)
        parts.append(f"{workload.name} {_at_most(workload)} x {pool}")
    left = max(poolers - 1, 1)
    if wanted > left * clients:
        yield Finding(
            "error",
            "postgresql",
            "postgresql_pool_clients",
            f"at their largest, applications hold {wanted} connections ({', '.join(parts)}); with one pooler gone, "
            f"{left:.0f} x {clients:.0f} = {left * clients:.0f} are taken",
            f"set it to {-(-wanted // int(left))} or more, or make the applications' pools smaller",
            "application-pools",
        )


@rule("keycloak-pool")
def keycloak_pool(platform: Platform) -> Iterator[Finding]:
    """Keycloak is connected to the database itself: what poolers leave must be enough for it."""
    values = _read(
        platform,
        "keycloak_instances",
        "keycloak_pool_size",
        "postgresql_poolers",
        "postgresql_pool_size",
        "postgresql_parameters.max_connections",
        "postgresql_instances",
    )
    if values:
        instances, size, poolers, pool, largest, standbys = values
        free = max(0, largest - RESERVED_CONNECTIONS - standbys - poolers * pool)
        if size < 1 or instances * size > free:
            yield Finding(
                "error",
                "keycloak",
                "keycloak_pool_size",
                f"{instances:.0f} instances x {size:.0f} connections = {instances * size:.0f}; max_connections "
                f"{largest:.0f} less {poolers * pool:.0f} of the poolers and what is reserved leaves {free:.0f}",
                f"set it to at least 1 and at most {int(free // max(instances, 1))}, or raise max_connections",
                "keycloak-pool",
            )


@rule("harbor-pool")
def harbor_pool(platform: Platform) -> Iterator[Finding]:
    """Harbor's pods are connected to the database themselves, too: what poolers and Keycloak leave must be enough."""
    values = _read(
        platform,
        "postgresql_poolers",
        "postgresql_pool_size",
        "postgresql_parameters.max_connections",
        "postgresql_instances",
    )
    by_name = {declaration.component: declaration for declaration in platform.declarations}
    host = str(_get(platform.variables, "harbor_database.host") or "")
    # A database of somebody else's has its own limit.
    if not values or "harbor" not in by_name or f".{by_name['postgresql'].namespace}." not in f"{host}.":
        return
    named = _get(platform.variables, "harbor_database.connections")
    connections = [float(HARBOR_CONNECTIONS)] if named is None else _read(platform, "harbor_database.connections")
    if connections is None:
        return
    harbor, (size,) = by_name["harbor"], connections
    connected = {name for edge in harbor.edges if edge["to"] == "postgresql/instance" for name in edge["from"]}
    pods = sum(_at_most(workload) for workload in harbor.workloads if workload.name in connected)
    poolers, pool, largest, standbys = values
    instances, each = _read(platform, "keycloak_instances", "keycloak_pool_size") or (0, 0)
    taken = poolers * pool + instances * each
    free = max(0, largest - RESERVED_CONNECTIONS - standbys - taken)
    if size < 1 or pods * size > free:
        yield Finding(
            "error",
            "harbor",
            "harbor_database.connections",
            f"{pods} pods x {size:.0f} connections = {pods * size:.0f}; max_connections {largest:.0f} less {taken:.0f} "
            f"of poolers and Keycloak and what is reserved leaves {free:.0f}",
            f"set it to at least 1 and at most {int(free // max(pods, 1))}, or raise max_connections",
            "harbor-pool",
        )


@rule("postgresql-memory")
def postgresql_memory(platform: Platform) -> Iterator[Finding]:
    """res-D7: buffers and sorts that an instance's memory cannot hold."""
    values = _read(
        platform,
        "postgresql_parameters.max_connections",
        "postgresql_parameters.work_mem",
        "postgresql_parameters.shared_buffers",
        "postgresql_memory",
    )
    if values:
        connections, work, buffers, memory = (int(value) for value in values)
        needed = connections * work + buffers
        if needed > memory:
            yield Finding(
                "error",
                "postgresql",
                "postgresql_parameters.work_mem",
                f"{connections} connections x work_mem {show_size(work)} + shared_buffers {show_size(buffers)} = "
                f"{show_size(needed)}, an instance has {show_size(memory)}",
                f"set it to {max(0, memory - buffers) // max(connections, 1) // 1024}kB or less, or "
                f"postgresql_memory to {_up(needed)} or more",
                "postgresql-memory",
            )


@rule("postgresql-shared-buffers")
def postgresql_shared_buffers(platform: Platform) -> Iterator[Finding]:
    """PostgreSQL reads through the files' pages too: over 40 % of the memory it keeps the same blocks twice."""
    values = _read(platform, "postgresql_parameters.shared_buffers", "postgresql_memory")
    if values:
        buffers, memory = (int(value) for value in values)
        if buffers > memory * 0.4:
            yield Finding(
                "error",
                "postgresql",
                "postgresql_parameters.shared_buffers",
                f"{show_size(buffers)} are {buffers / max(memory, 1):.0%} of an instance's {show_size(memory)}, at "
                "most 40% serve their purpose",
                f"set it to {memory // 4 // 1024**2}MB (a quarter)",
                "postgresql-shared-buffers",
            )


@rule("postgresql-effective-cache-size")
def postgresql_effective_cache_size(platform: Platform) -> Iterator[Finding]:
    """A planner that counts on pages that cannot be in memory reads from disk what it took for cached."""
    values = _read(platform, "postgresql_parameters.effective_cache_size", "postgresql_memory")
    if values:
        cache, memory = (int(value) for value in values)
        if cache > memory:
            yield Finding(
                "error",
                "postgresql",
                "postgresql_parameters.effective_cache_size",
                f"the planner is told of {show_size(cache)}, an instance has {show_size(memory)}",
                f"set it to {memory * 3 // 4 // 1024**2}MB (three quarters)",
                "postgresql-effective-cache-size",
            )


@rule("postgresql-synchronous")
def postgresql_synchronous(platform: Platform) -> Iterator[Finding]:
    """res-E6: commits that wait for more standbys than there are."""
    values = _read(platform, "postgresql_synchronous", "postgresql_instances")
    if values and values[0] >= values[1]:
        synchronous, instances = values
        yield Finding(
            "error",
            "postgresql",
            "postgresql_synchronous",
            f"a commit waits for {synchronous:.0f} standbys, {instances:.0f} instances have "
            f"{max(0, instances - 1):.0f}: no commit would ever return",
            f"set it to {max(0, instances - 2):.0f}, so that one standby may be gone",
            "postgresql-synchronous",
        )


@rule("postgresql-backup-schedule")
def postgresql_backup_schedule(platform: Platform) -> Iterator[Finding]:
    """res-E4: CloudNativePG's schedules begin with seconds."""
    schedule = platform.variables.get("postgresql_backup_schedule")
    if platform.enabled("postgresql") and schedule is not None and len(str(schedule).split()) != 6:
        written = str(schedule).split()
        yield Finding(
            "error",
            "postgresql",
            "postgresql_backup_schedule",
            f"{schedule!r} has {len(written)} fields, CloudNativePG wants six: seconds come first",
            f'write "0 {schedule}"' if len(written) == 5 else 'write it such as "0 0 2 * * *"',
            "postgresql-backup-schedule",
        )


# --- Redis ------------------------------------------------------------------------------------------------------------


@rule("redis-mode")
def redis_mode(platform: Platform) -> Iterator[Finding]:
    """res-A3, res-A4: one way of being available a data set; fewer than three primaries elect no new one."""
    mode = platform.variables.get("redis_mode")
    if not platform.enabled("redis") or mode is None:
        return
    if mode not in REDIS_MODES:
        yield Finding(
            "error",
            "redis",
            "redis_mode",
            f"{mode!r} is not known: a data set is a cluster or watched by sentinels, never both",
            f"set it to {' or '.join(REDIS_MODES)}",
            "redis-mode",
        )
    values = _read(platform, "redis_leaders", "redis_followers")
    if mode == "cluster" and values:
        leaders, followers = values
        if leaders < 3:
            yield Finding(
                "error",
                "redis",
                "redis_leaders",
                f"{leaders:.0f} leaders: with fewer than 3 the rest is no majority, and a lost one is never replaced",
                "set it to 3 or more, or redis_mode to sentinel",
                "redis-mode",
            )
        if followers < leaders:
            yield Finding(
                "error",
                "redis",
                "redis_followers",
                f"{followers:.0f} followers of {leaders:.0f} leaders: a shard without one is lost with its leader",
                f"set it to {leaders:.0f}",
                "redis-mode",
            )


@rule("redis-maxmemory")
def redis_maxmemory(platform: Platform) -> Iterator[Finding]:
    """res-D10: a fork that writes AOF or RDB copies the pages that change meanwhile."""
    values = _read(platform, "redis_maxmemory_percent")
    if values and not 60 <= values[0] <= 70:
        over = values[0] > 70
        yield Finding(
            "error" if over else "warning",
            "redis",
            "redis_maxmemory_percent",
            f"maxmemory is {values[0]:g}% of a pod's limit: "
            + (
                "the fork that writes AOF or RDB has no room, and the pod is killed"
                if over
                else "the rest is never used"
            ),
            "set it to a value from 60 to 70",
            "redis-maxmemory",
        )


@rule("redis-eviction")
def redis_eviction(platform: Platform) -> Iterator[Finding]:
    """res-D11: a withdrawn token that is evicted is good again."""
    policy = platform.variables.get("redis_sessions_eviction")
    if platform.enabled("redis") and policy not in (None, "noeviction"):
        yield Finding(
            "error",
            "redis",
            "redis_sessions_eviction",
            f"{policy!r} drops entries when the memory is full: a revoked token would be accepted again",
            "set it to noeviction; what may be dropped belongs to the data set cache",
            "redis-eviction",
        )


# --- Kafka ------------------------------------------------------------------------------------------------------------


@rule("kafka-replication-factor")
def kafka_replication_factor(platform: Platform) -> Iterator[Finding]:
    """A topic with more copies than brokers cannot be made."""
    values = _read(platform, "kafka_replication_factor", "kafka_brokers")
    if values and values[0] > values[1]:
        yield Finding(
            "error",
            "kafka",
            "kafka_replication_factor",
            f"{values[0]:.0f} copies on {values[1]:.0f} brokers: no topic could be made",
            f"set it to {values[1]:.0f} or less, or add brokers",
            "kafka-replication-factor",
        )


@rule("kafka-min-in-sync")
def kafka_min_in_sync(platform: Platform) -> Iterator[Finding]:
    """As many as there are copies: the first loss blocks writes. One: an acknowledged record may be lost."""
    values = _read(platform, "kafka_min_in_sync", "kafka_replication_factor")
    if not values:
        return
    minimum, copies = values
    cause = ""
    if minimum >= copies:
        cause = f"{minimum:.0f} of {copies:.0f} copies must be in sync: losing one broker stops all writers"
    elif minimum < 2:
        cause = f"{minimum:.0f} copy in sync is enough: a record that was acknowledged is lost with its one broker"
    if cause and (copies > 1 or _production(platform)):
        step = f"set it to {copies - 1:.0f}" if copies > 2 else "set kafka_replication_factor to 3 and this to 2"
        yield Finding("error", "kafka", "kafka_min_in_sync", cause, step, "kafka-min-in-sync")


@rule("kafka-plain-listener")
def kafka_plain_listener(platform: Platform) -> Iterator[Finding]:
    """res-B7: everything is encrypted, or it is not. Where somebody logs in by a password, it never goes in clear."""
    if not platform.enabled("kafka") or platform.variables.get("kafka_plain_listener") is not True:
        return
    passwords = [name for name, user in _entries(platform, "kafka_users") if user.get("authentication") != "tls"]
    yield Finding(
        "error" if _production(platform) or passwords else "warning",
        "kafka",
        "kafka_plain_listener",
        f"records and passwords{_of(passwords)} go over port 9092 in clear",
        "set it to false; clients use port 9093 with TLS",
        "kafka-plain-listener",
    )


# What a topic may be set to, by Kafka's names: in both releases, in the older, in the later one. Sources: docs/kafka.md
_KAFKA_TOPIC = frozenset(
    "cleanup.policy compression.type delete.retention.ms file.delete.delay.ms flush.messages flush.ms "
    "follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas "
    "max.compaction.lag.ms max.message.bytes message.timestamp.type min.cleanable.dirty.ratio min.compaction.lag.ms "
    "min.insync.replicas preallocate retention.bytes retention.ms segment.bytes segment.index.bytes segment.jitter.ms "
    "segment.ms unclean.leader.election.enable".split()
)
_KAFKA_TOPIC_3 = frozenset(
    "message.downconversion.enable message.format.version message.timestamp.difference.max.ms".split()
)
_KAFKA_TOPIC_4 = frozenset(
    "compression.gzip.level compression.lz4.level compression.zstd.level local.retention.bytes local.retention.ms "
    "message.timestamp.after.max.ms message.timestamp.before.max.ms remote.log.copy.disable "
    "remote.log.delete.on.disable remote.storage.enable".split()
)
# Settings that have a place of their own in a topic.
_KAFKA_TOPIC_OWN = {"min.insync.replicas": "min_in_sync", "retention.ms": "retention"}
_KAFKA_TOPIC_KEYS = ("partitions", "replicas", "min_in_sync", "retention", "config")
_KAFKA_USER_KEYS = ("authentication", "writes", "reads", "groups", "transactions", "acls", "quotas")
_KAFKA_QUOTAS = ("producerByteRate", "consumerByteRate", "requestPercentage", "controllerMutationRate")
_KAFKA_CONNECTOR_KEYS = ("kind", "class", "tasks", "topics", "config", "dead_letters")
_KAFKA_MIRROR_KEYS = ("source", "target", "bootstrap", "user", "secret", "networks", "topics", "groups")
# Prefixes of settings that Strimzi makes itself, and drops when they are given: KafkaClusterSpec at 0.39.0 and 1.2.0.
_KAFKA_STRIMZI = (
    "listeners advertised. broker. listener. host.name port inter.broker.listener.name sasl. ssl. security. password. "
    "log.dir zookeeper.connect zookeeper.set.acl zookeeper.ssl zookeeper.clientCnxnSocket authorizer. super.user "
    "node.id process.roles controller. metadata.log.dir"
).split()
_KAFKA_STRIMZI_LEAVES = (
    "zookeeper.connection.timeout.ms sasl.server.max.receive.size ssl.cipher.suites ssl.protocol ssl.enabled.protocols "
    "ssl.secure.random.implementation controller.quorum.election.backoff.max.ms controller.quorum.election.timeout.ms "
    "controller.quorum.fetch.timeout.ms"
).split()
# Names of values that are secret, and how one is named instead.
_SECRET = re.compile(r"(^|[._-])(password|passwd|secret|token|credentials?|passphrase|jaas[._]config)([._-](?!id$)|$)")
_REFERENCE = re.compile(r"\$\{[^}]+\}")
# Passwords within addresses.
_INLINE = re.compile(r"://[^/\s:@]+:[^/\s@$]+@|[?&;]password=[^$]", re.IGNORECASE)
# The classes that Kafka itself brings to Connect.
_KAFKA_OWN_CLASSES = "org.apache.kafka.connect.mirror."


def _entries(platform: Platform, name: str) -> List[Tuple[str, Mapping[str, Any]]]:
    """The entries of a setting that maps names to mappings; what is none of that is an empty one."""
    value = platform.variables.get(name)
    found = value if isinstance(value, Mapping) else {}
    return [(str(key), entry if isinstance(entry, Mapping) else {}) for key, entry in found.items()]


def _of(names: List[str]) -> str:
    return f" of {', '.join(sorted(names))}" if names else ""


def _whole(value: Any) -> Optional[int]:
    """A whole number from 1 on, else None."""
    text = str(value).strip()
    return int(text) if text.isdecimal() and int(text) > 0 and not isinstance(value, bool) else None


def _kafka_finding(rule_name: str, where: str, cause: str, step: str, severity: str = "error") -> Finding:
    return Finding(severity, "kafka", where, cause, step, rule_name)


def _unknown_keys(rule_name: str, where: str, entry: Mapping[str, Any], known: Tuple[str, ...]) -> Iterator[Finding]:
    for key in entry:
        if key not in known:
            yield _kafka_finding(rule_name, f"{where}.{key}", "nothing reads it", nearest(str(key), known))


@rule("kafka-topics")
def kafka_topics(platform: Platform) -> Iterator[Finding]:
    """A topic that Kafka would not make, or that would not outlive a zone."""
    sizes = _read(platform, "kafka_brokers", "kafka_replication_factor", "kafka_min_in_sync")
    if not sizes:
        return
    brokers, default_copies, default_minimum = (int(size) for size in sizes)
    known = _KAFKA_TOPIC | (_KAFKA_TOPIC_3 if platform.catalog.version("strimzi").startswith("0.") else _KAFKA_TOPIC_4)
    objects: Dict[str, str] = {}
    for name, topic in _entries(platform, "kafka_topics"):
        where = f"kafka_topics.{name}"
        yield from _unknown_keys("kafka-topics", where, topic, _KAFKA_TOPIC_KEYS)
        told = objects.setdefault(name.lower().replace("_", "-"), name)
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,247}[A-Za-z0-9])?", name) or told != name:
            cause = f"its object would have the name of that of {told}" if told != name else "it is no name for a topic"
            yield _kafka_finding(
                "kafka-topics", where, cause, "take letters, digits, '.', '-' and '_', differently from others"
            )
        copies, minimum = (
            _whole(topic.get(key, default))
            for key, default in (("replicas", default_copies), ("min_in_sync", default_minimum))
        )
        for key, value in (
            ("partitions", _whole(topic.get("partitions"))),
            ("replicas", copies),
            ("min_in_sync", minimum),
        ):
            if value is None:
                yield _kafka_finding(
                    "kafka-topics", f"{where}.{key}", f"{topic.get(key)!r} is no number", "set it to 1 or more"
                )
        if copies and minimum:
            if copies > brokers:
                yield _kafka_finding(
                    "kafka-topics",
                    f"{where}.replicas",
                    f"{copies} copies on {brokers} brokers: it could not be made",
                    f"set it to {brokers} or less, or kafka_brokers to {copies}",
                )
            elif minimum >= copies and (copies > 1 or _production(platform)):
                yield _kafka_finding(
                    "kafka-topics",
                    f"{where}.min_in_sync",
                    f"{minimum} of {copies} copies must be in sync: losing one broker stops its writers",
                    f"set it to {copies - 1}" if copies > 2 else "set replicas to 3 and this to 2",
                )
            elif minimum < 2 and copies > 1 and _production(platform):
                yield _kafka_finding(
                    "kafka-topics",
                    f"{where}.min_in_sync",
                    "1 copy in sync is enough: a record that was acknowledged is lost with its one broker",
                    "set it to 2",
                )
        retention = str(topic.get("retention", "forever"))
        if retention != "forever" and not re.fullmatch(r"[0-9]+(ms|s|min|h|d|w|y)", retention):
            yield _kafka_finding(
                "kafka-topics",
                f"{where}.retention",
                f"{retention!r} is no span of time",
                "write it such as 7d, or forever",
            )
        config = topic.get("config")
        for key in config if isinstance(config, Mapping) else ():
            if key in _KAFKA_TOPIC_OWN:
                step = f"say it as {_KAFKA_TOPIC_OWN[key]} of the topic"
                yield _kafka_finding("kafka-topics", f"{where}.config.{key}", "it has a place of its own", step)
            elif key not in known:
                cause = "this release's Kafka has no such setting of a topic"
                yield _kafka_finding("kafka-topics", f"{where}.config.{key}", cause, nearest(str(key), known))


def _kafka_missing(platform: Platform, names: Any) -> List[str]:
    """Topics that are named and not there. A name that ends with * is a prefix."""
    there = [name for name, _topic in _entries(platform, "kafka_topics")]
    return [
        str(name)
        for name in (names if isinstance(names, list) else [])
        if not any(topic.startswith(str(name)[:-1]) if str(name).endswith("*") else topic == name for topic in there)
    ]


@rule("kafka-users")
def kafka_users(platform: Platform) -> Iterator[Finding]:
    """Who may do nothing, or under a name that cannot be."""
    for name, user in _entries(platform, "kafka_users") if platform.enabled("kafka") else []:
        where = f"kafka_users.{name}"
        known = (
            *_KAFKA_USER_KEYS,
            *(key for key in user if _SECRET.search(str(key))),
        )  # those are kafka-secrets' matter
        yield from _unknown_keys("kafka-users", where, user, known)
        if user.get("authentication") not in ("scram-sha-512", "tls"):
            cause = f"{user.get('authentication')!r} is no way to log in"
            step = "set authentication to scram-sha-512 (a password from Vault) or tls (a certificate)"
            yield _kafka_finding("kafka-users", where, cause, step)
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?", name) or name.startswith("kafka-"):
            cause = (
                "names with kafka- are the platform's own"
                if name.startswith("kafka-")
                else "no object can have it as name"
            )
            yield _kafka_finding("kafka-users", where, cause, "take small letters, digits and '-', beginning otherwise")
        quotas = user.get("quotas")
        if isinstance(quotas, Mapping):
            yield from _unknown_keys("kafka-users", f"{where}.quotas", quotas, _KAFKA_QUOTAS)
        for key in ("writes", "reads"):
            for topic in _kafka_missing(platform, user.get(key)):
                step = nearest(topic, [one for one, _topic in _entries(platform, "kafka_topics")])
                yield _kafka_finding("kafka-users", f"{where}.{key}", f"there is no topic {topic!r}", step)


def _secrets(entry: Any, where: str) -> Iterator[str]:
    """Paths of values that are secrets by their names, and not named as references."""
    for key, value in entry.items() if isinstance(entry, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _secrets(value, f"{where}.{key}")
            continue
        named = _SECRET.search(str(key).lower()) and value not in (None, "") and not _REFERENCE.search(str(value))
        if named or _INLINE.search(str(value)):
            yield f"{where}.{key}"


@rule("kafka-secrets")
def kafka_secrets(platform: Platform) -> Iterator[Finding]:
    """A password in the inventory would be in Git, in trees and in objects that anyone may read."""
    if not platform.enabled("kafka"):
        return
    mirror = platform.variables.get("kafka_mirror")
    # `secret` of a mirror is a path in Vault.
    mirrored = {key: value for key, value in mirror.items() if key != "secret"} if isinstance(mirror, Mapping) else {}
    paths = [
        path
        for name in ("kafka_users", "kafka_connectors", "kafka_config")
        for path in _secrets(platform.variables.get(name), name)
    ]
    for path in [*paths, *_secrets(mirrored, "kafka_mirror")]:
        step = "put it into Vault below kafka_secrets.path, and "
        if path.startswith("kafka_connectors"):
            step += "name it by kafka_connect_secrets and ${secrets:banking-data/<name>:<key>}"
        else:
            step += "leave it out here: it is read from there"
        yield _kafka_finding("kafka-secrets", path, "a secret stands in the inventory", step)


@rule("kafka-config")
def kafka_config(platform: Platform) -> Iterator[Finding]:
    """What the operator would drop with no more than a line in its log."""
    config = platform.variables.get("kafka_config")
    for key in config if platform.enabled("kafka") and isinstance(config, Mapping) else ():
        name = str(key)
        if name.startswith(tuple(_KAFKA_STRIMZI)) and not name.startswith(tuple(_KAFKA_STRIMZI_LEAVES)):
            cause = "the operator makes this setting itself and drops what is given"
            yield _kafka_finding("kafka-config", f"kafka_config.{name}", cause, "leave it out")


@rule("kafka-connectors")
def kafka_connectors(platform: Platform) -> Iterator[Finding]:
    """What Connect cannot run, or where dead letters would be lost (res-A15)."""
    image = str(platform.variables.get("kafka_connect_image") or "")
    for name, connector in _entries(platform, "kafka_connectors") if platform.enabled("kafka") else []:
        where = f"kafka_connectors.{name}"
        yield from _unknown_keys("kafka-connectors", where, connector, _KAFKA_CONNECTOR_KEYS)
        kind, plugin = connector.get("kind"), str(connector.get("class") or "")
        if kind not in ("source", "sink"):
            yield _kafka_finding(
                "kafka-connectors", f"{where}.kind", f"{kind!r} is no kind of connector", "set it to source or sink"
            )
        if not plugin:
            yield _kafka_finding(
                "kafka-connectors", f"{where}.class", "there is no class", "name that of the plugin in the image"
            )
        elif not image and not plugin.startswith(_KAFKA_OWN_CLASSES):
            yield _kafka_finding(
                "kafka-connectors",
                f"{where}.class",
                f"no image of the catalog has {plugin}: Strimzi's has no connectors but those of MirrorMaker",
                "build one with the plugin by playbooks/image.yml (docs/kafka.md, Connect), and name it in "
                "kafka_connect_image",
            )
        if connector.get("dead_letters") and kind == "source":
            yield _kafka_finding(
                "kafka-connectors",
                f"{where}.dead_letters",
                "Kafka Connect puts records of sinks aside, of sources it does not",
                "leave it out, and let the consumer have a topic for retries (docs/kafka.md, Dead letters)",
            )
        if not connector.get("topics"):
            step = "name what it writes or reads: its user may touch nothing else"
            yield _kafka_finding("kafka-connectors", f"{where}.topics", "there are none", step)
        letters = [connector["dead_letters"]] if connector.get("dead_letters") else []
        there = [one for one, _topic in _entries(platform, "kafka_topics")]
        for topic in _kafka_missing(platform, [*(connector.get("topics") or []), *letters]):
            step = f"{nearest(topic, there)}; or add it to kafka_topics"
            yield _kafka_finding("kafka-connectors", where, f"there is no topic {topic!r}", step)
    if platform.enabled("kafka") and image and "@sha256:" not in image:
        cause = f"{image!r} has no digest: a tag may be moved to another image"
        step = "name it by digest, as playbooks/image.yml prints it"
        severity = "error" if _production(platform) else "warning"
        yield _kafka_finding("kafka-connectors", "kafka_connect_image", cause, step, severity)


@rule("kafka-mirror")
def kafka_mirror(platform: Platform) -> Iterator[Finding]:
    """A mirror that does not say from where, as whom, or over which networks."""
    mirror = platform.variables.get("kafka_mirror")
    if not platform.enabled("kafka") or not isinstance(mirror, Mapping) or not mirror:
        return
    known = (*_KAFKA_MIRROR_KEYS, *(key for key in mirror if _SECRET.search(str(key))))
    yield from _unknown_keys("kafka-mirror", "kafka_mirror", mirror, known)
    for key in _KAFKA_MIRROR_KEYS[:6]:
        if not mirror.get(key):
            yield _kafka_finding(
                "kafka-mirror", f"kafka_mirror.{key}", "it is not said", "see roles/kafka/defaults/main.yml"
            )
    if mirror.get("bootstrap") and not re.fullmatch(r"[^:,\s]+:[0-9]{1,5}", str(mirror["bootstrap"])):
        cause = f"{mirror['bootstrap']!r} is no <host>:<port>"
        yield _kafka_finding(
            "kafka-mirror", "kafka_mirror.bootstrap", cause, "name the other region's bootstrap and port"
        )
    if mirror.get("source") and mirror.get("source") == mirror.get("target"):
        cause = "it is the name of this region, too"
        yield _kafka_finding("kafka-mirror", "kafka_mirror.source", cause, "give each region a name of its own")


# --- Observability ----------------------------------------------------------------------------------------------------


@rule("elasticsearch-masters")
def elasticsearch_masters(platform: Platform) -> Iterator[Finding]:
    """An even number survives no more than one less; fewer than three survive nothing."""
    values = _read(platform, "elk_masters")
    if not values:
        return
    masters = int(values[0])
    if masters < 1 or masters % 2 == 0:
        fewer = max(masters - 1, 1)
        cause = f"{masters} masters have a majority of {masters // 2 + 1}: they survive no more losses than {fewer}"
    elif masters < 3 and _production(platform):
        cause = f"{masters} master: losing it stops the cluster"
    else:
        return
    yield Finding(
        "error", "elk", "elk_masters", cause, f"set it to {max(3, masters + 1 - masters % 2)}", "elasticsearch-masters"
    )


@rule("elasticsearch-replicas")
def elasticsearch_replicas(platform: Platform) -> Iterator[Finding]:
    """A shard without a replica is lost with its node."""
    values = _read(platform, "elk_replicas")
    if values and values[0] < 1:
        yield Finding(
            "error" if _production(platform) else "warning",
            "elk",
            "elk_replicas",
            "no replica: logs are lost with the node that holds them",
            "set it to 1",
            "elasticsearch-replicas",
        )


def _classes(platform: Platform) -> Iterator[Tuple[str, float, float, float]]:
    """Each readable class of logs: name, bytes a day, days hot, days in the archive."""
    for path in _paths(platform, "elk_retention.*.daily"):
        name = path.split(".")[1]
        values = _read(platform, path, f"elk_retention.{name}.hot", f"elk_retention.{name}.archive")
        if values:
            yield (name, *values)  # type: ignore[misc]


@rule("log-retention-disk")
def log_retention_disk(platform: Platform) -> Iterator[Finding]:
    """res-C4: what is to be kept must lie somewhere, also while a zone is gone and its copies are made anew."""
    values = _read(platform, "elk_data_nodes", "elk_data_disk", "elk_replicas")
    if not values:
        return
    nodes, disk, replicas = values
    zones = len(platform.zones)
    left = nodes - (-(-nodes // zones) if zones >= 3 else 0)
    kept = sum(daily * hot for _name, daily, hot, _archive in _classes(platform))
    needed, there = int(kept * (replicas + 1)), int(left * disk * LOW_WATERMARK)
    if needed > there:
        yield Finding(
            "error",
            "elk",
            "elk_retention",
            f"{show_size(int(kept))} of hot logs x {replicas + 1:.0f} copies = {show_size(needed)}; {left:.0f} data "
            f"nodes{' (a zone is gone)' if left < nodes else ''} x {show_size(int(disk))} x {LOW_WATERMARK:.0%} = "
            f"{show_size(there)}",
            f"set elk_data_disk to {_up(needed / LOW_WATERMARK / max(left, 1))} or more, or fewer days of `hot`",
            "log-retention-disk",
        )


@rule("log-archive")
def log_archive(platform: Platform) -> Iterator[Finding]:
    """An archive that ends before the hot tier does is paid for and never read."""
    for name, _daily, hot, archive in _classes(platform):
        if 0 < archive < hot:
            yield Finding(
                "error",
                "elk",
                f"elk_retention.{name}.archive",
                f"the archive keeps {archive:g} days, the hot tier {hot:g}: what the archive is for is gone before",
                f"set it to more than {hot:g}d, or to 0d for no archive",
                "log-archive",
            )


@rule("audit-retention")
def audit_retention(platform: Platform) -> Iterator[Finding]:
    """res-C4: financial records are kept for seven years."""
    values = _read(platform, "elk_retention.audit.archive")
    if not platform.enabled("elk") or "elk_retention" not in platform.variables:
        return
    if _get(platform.variables, "elk_retention.audit") is None:
        cause = "there is no class audit: nothing of the audit log would be kept"
    elif values and values[0] < AUDIT_DAYS:
        cause = f"the audit log is kept for {values[0]:g} days, financial records for 7 years ({AUDIT_DAYS})"
    else:
        return
    yield Finding("error", "elk", "elk_retention.audit.archive", cause, "set it to 7y", "audit-retention")


@rule("slo")
def slo(platform: Platform) -> Iterator[Finding]:
    """res-E1: one objective; 100 leaves no budget, and 0 asks for nothing."""
    values = _read(platform, "prometheus_slo")
    if values and not 0 < values[0] < 100:
        yield Finding(
            "error",
            "prometheus",
            "prometheus_slo",
            f"{values[0]:g}% is no objective: it must leave a budget of errors",
            "set it to a value between 0 and 100, such as 99.95",
            "slo",
        )


@rule("prometheus-retention-size")
def prometheus_retention_size(platform: Platform) -> Iterator[Finding]:
    """Blocks are removed after they were written: beside them there must be room for the log and for compaction."""
    values = _read(platform, "prometheus_retention_size", "prometheus_storage")
    if values and values[0] > values[1] * PROMETHEUS_SHARE:
        size, volume = (int(value) for value in values)
        yield Finding(
            "error" if size >= volume else "warning",
            "prometheus",
            "prometheus_retention_size",
            f"{show_size(size)} of blocks on a volume of {show_size(volume)}: it is full before the oldest are removed",
            f"set it to {int(volume * 0.8) // 1024**3}GiB or less, or prometheus_storage to "
            f"{_up(size / PROMETHEUS_SHARE)} or more",
            "prometheus-retention-size",
        )


@rule("sampling")
def sampling(platform: Platform) -> Iterator[Finding]:
    """A ratio is no percentage."""
    values = _read(platform, "tracing_sampling")
    if values and not 0 <= values[0] <= 1:
        yield Finding(
            "error",
            "tracing",
            "tracing_sampling",
            f"{values[0]:g} is no share: all requests are 1, a tenth of them is 0.1",
            f"set it to {values[0] / 100:g}" if 1 < values[0] <= 100 else "set it to a value from 0 to 1",
            "sampling",
        )


# --- Applications -----------------------------------------------------------------------------------------------------


@rule("application-liveness")
def application_liveness(platform: Platform) -> Iterator[Finding]:
    """res-E12: a probe that asks the database restarts every pod when the database is away."""
    for service, workload in _services(platform):
        path = str(service.get("liveness", ""))
        if not path.rstrip("/").endswith("/liveness"):
            yield Finding(
                "error",
                workload.title,
                "banking_apps_services.liveness",
                f"{path!r} answers for the database and other services too: with one away, all pods are restarted",
                "set it to /actuator/health/liveness, and leave the rest to the readiness probe",
                "application-liveness",
            )


@rule("application-image")
def application_image(platform: Platform) -> Iterator[Finding]:
    """res-B15: what runs must be known, and be the same on each node."""
    for service, workload in _services(platform):
        name, _at, digest = str(service.get("image", "")).partition("@")
        tag = name.rsplit("/", 1)[-1].partition(":")[2]
        if digest:
            if re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
                continue
            severity, cause = "error", f"{digest!r} is no digest"
        elif tag in ("", "latest"):
            severity, cause = (
                "error",
                f"{name!r} {'is always the newest image' if tag else 'has neither tag nor digest'}",
            )
        elif _production(platform):
            severity, cause = "warning", f"{name!r} has no digest: a tag may be moved to another image"
        else:
            continue
        yield Finding(
            severity,
            workload.title,
            "banking_apps_services.image",
            cause,
            "name it with tag and digest, as the pipeline prints it: <name>:<tag>@sha256:<64 digits>",
            "application-image",
        )


@rule("application-drain")
def application_drain(platform: Platform) -> Iterator[Finding]:
    """A disruption budget that no pod may leave blocks every drain, and so every upgrade."""
    for service, workload in _services(platform):
        available = str(service.get("min_available", 0))
        smallest = _at_least(workload)
        if not available.isdecimal() or int(available) >= max(smallest, 1):
            yield Finding(
                "error",
                workload.title,
                "banking_apps_services.min_available",
                f"{available} of {smallest} pods must stay: no node with one of them can be drained",
                f"set it to {max(smallest - 1, 0)}",
                "application-drain",
            )


@rule("application-replicas")
def application_replicas(platform: Platform) -> Iterator[Finding]:
    """One pod is an outage at each restart."""
    for _service, workload in _services(platform) if _production(platform) else ():
        smallest = _at_least(workload)
        if smallest < 2:
            yield Finding(
                "error",
                workload.title,
                "hpa.min" if workload.hpa else "replicas",
                f"{smallest} pod in production: each restart is an outage",
                f"set it to {max(2, len(platform.zones))}, one a zone",
                "application-replicas",
            )
