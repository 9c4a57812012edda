# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role declares (`meta/platform.yml`): all that the rest must know of it. Shape: docs/declarations.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

RUNS = ("server", "pods", "daemon")
SPREADS = ("zone", "node")
QUORUM_KINDS = (
    "majority",
    "in_sync_replicas",
    "sharded_primaries",
    "synchronous_standby",
    "pool_min_size",
    "at_least_one",
)
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
NETWORKS = ("pods", "services", "tunnels")
# Pods of a workload that names no selector carry this label: `<component>-<workload>`.
WORKLOAD_LABEL = "platform.banking/workload"
# https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class DeclarationError(ValueError):
    """A declaration that cannot be used: names the role, the place in it, and what to write."""


@dataclass(frozen=True)
class Resources:
    """Amounts of one member of a workload, or of one node.

    Attributes:
        cpu: thousandths of a CPU.
        memory: bytes.
        disk: bytes on the node's own disks.
        storage: bytes asked of the platform's replicated storage, before it makes copies of them.
        pods: how many pods.
    """

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    storage: int = 0
    pods: int = 0


@dataclass(frozen=True)
class Workload:
    """Something that runs in several members: the unit of quorum and capacity.

    Attributes:
        component: the role that declares it.
        name: unique in the component.
        runs: `server` (a process on each host of `nodes`), `daemon` (a pod on each) or `pods` (`replicas` of them).
        nodes: the role of node that it may run on (a key of `platform_groups`).
        replicas: how many pods; None unless `runs` is `pods`.
        spread: `zone`: evenly over the zones, and rather not started than unevenly; `node`: no two on a node.
        requests: what one member reserves.
        limits: what one member may use at most; 0 where nothing is set.
        heap: bytes of a JVM's heap, None for what is no JVM.
        hpa: horizontal scaling: {min, max, metrics: [cpu, memory, ...]}, empty for none.
        vpa: vertical scaling: {mode, resources: [cpu, memory], max: {cpu, memory}}, empty for none.
        fails_closed: whether the API server refuses what this workload (a webhook) cannot be asked about.
        namespace: where its pods are; empty for a server.
        selector: the LabelSelector that finds its pods; without one they carry the label WORKLOAD_LABEL.
        host_network: whether its pods have their node's address, so that no NetworkPolicy holds for them.
        service_account: the account that its pods alone run under: their identity in the mesh.
    """

    component: str
    name: str
    runs: str
    nodes: str
    replicas: Optional[int] = None
    spread: Tuple[str, ...] = ()
    requests: Resources = Resources()
    limits: Resources = Resources()
    heap: Optional[int] = None
    hpa: Mapping[str, Any] = field(default_factory=dict)
    vpa: Mapping[str, Any] = field(default_factory=dict)
    fails_closed: bool = False
    namespace: str = ""
    selector: Mapping[str, Any] = field(default_factory=dict)
    host_network: bool = False
    service_account: str = ""

    @property
    def title(self) -> str:
        """The workload as findings name it: `kafka/broker`, or `etcd` where both names are the same."""
        return self.component if self.name == self.component else f"{self.component}/{self.name}"


@dataclass(frozen=True)
class Quorum:
    """What must be left of some workloads when a zone or a node is lost.

    Attributes:
        component: the role that declares it.
        name: what it is about, unique in the component.
        kind: one of QUORUM_KINDS.
        members: workloads of the component whose members count.
        copies: in_sync_replicas, pool_min_size: copies of each partition or object.
        minimum: the same: how many of them must be left for writing.
        spread: the same: `zone` when copies are placed over zones, else `node`.
        synchronous: synchronous_standby: standbys that have a commit before it is acknowledged.
        primaries, replicas: sharded_primaries: the workloads of the primaries and of their replicas, paired by shard;
            `apart`: `zone` when a primary and its replica never share a zone, else `node`.
    """

    component: str
    name: str
    kind: str
    members: Tuple[str, ...] = ()
    copies: int = 0
    minimum: int = 0
    spread: str = "node"
    synchronous: int = 0
    primaries: str = ""
    replicas: str = ""
    apart: str = "node"

    @property
    def title(self) -> str:
        """As findings name it: `kafka/topics`."""
        return self.component if self.name == self.component else f"{self.component}/{self.name}"


@dataclass(frozen=True)
class Declaration:
    """All of one role's `meta/platform.yml`, rendered.

    `namespace` is that of its pods. `provides` is what the component adds to the platform, in bytes: `storage`.
    `networks` are those that it makes: of `pods`, of `services`, and of the addresses that nodes have in `tunnels`.
    `ports`, `edges`, `metrics` and `backups` are for the roles that make policies, monitors and schedules of them.
    `series` of `metrics` is a contract: what alerts, rules and dashboards may use.
    """

    component: str
    group: str = ""
    namespace: str = ""
    wave: Optional[int] = None
    workloads: Tuple[Workload, ...] = ()
    quorum: Tuple[Quorum, ...] = ()
    provides: Mapping[str, int] = field(default_factory=dict)
    networks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    catalog: Tuple[str, ...] = ()
    ports: Sequence[Mapping[str, Any]] = ()
    edges: Sequence[Mapping[str, Any]] = ()
    metrics: Sequence[Mapping[str, Any]] = ()
    backups: Sequence[Mapping[str, Any]] = ()

    def workload(self, name: str) -> Workload:
        """The workload of that name."""
        return next(workload for workload in self.workloads if workload.name == name)


def parse(component: str, data: Any) -> Optional[Declaration]:
    """A role's declaration from its rendered YAML; None when it says that the component is not enabled.

    Args:
        component: the role's name.
        data: what `meta/platform.yml` holds, without templates.

    Raises:
        DeclarationError: naming role, place and what to write.
    """
    where = f"{component}: meta/platform.yml"
    data = _mapping(where, data, [*(item.name for item in fields(Declaration) if item.name != "component"), "enabled"])
    if not _boolean(f"{where}: enabled", data.get("enabled", True)):
        return None
    namespace = _object_name(f"{where}: namespace", data.get("namespace", ""))
    workloads = tuple(
        _workload(component, name, f"{where}: workloads.{name}", entry, data.get("group", ""), namespace)
        for name, entry in _mapping(f"{where}: workloads", data.get("workloads")).items()
    )
    names = [workload.name for workload in workloads]
    return Declaration(
        component=component,
        group=data.get("group", ""),
        namespace=namespace,
        wave=_integer(f"{where}: wave", data["wave"]) if data.get("wave") is not None else None,
        workloads=workloads,
        quorum=tuple(
            _quorum(component, f"{where}: quorum[{index}]", entry, names)
            for index, entry in enumerate(_sequence(f"{where}: quorum", data.get("quorum")))
        ),
        provides={
            key: _amount(f"{where}: provides.{key}", amount, quantities.size)
            for key, amount in _mapping(f"{where}: provides", data.get("provides"), ["storage"]).items()
        },
        networks={
            key: [str(item) for item in _sequence(f"{where}: networks.{key}", listed)]
            for key, listed in _mapping(f"{where}: networks", data.get("networks"), NETWORKS).items()
        },
        catalog=tuple(_sequence(f"{where}: catalog", data.get("catalog"))),
        ports=_sequence(f"{where}: ports", data.get("ports")),
        edges=_sequence(f"{where}: edges", data.get("edges")),
        metrics=[
            _metric(f"{where}: metrics[{index}]", entry)
            for index, entry in enumerate(_sequence(f"{where}: metrics", data.get("metrics")))
        ],
        backups=_sequence(f"{where}: backups", data.get("backups")),
    )


def resources(where: str, data: Any, pods: int = 0) -> Resources:
    """Amounts as people write them (`{cpu: 250m, memory: 1Gi}`).

    Args:
        where: how errors name the place.
        data: a mapping of `cpu`, `memory`, `disk`, `storage` and `pods`; None for nothing.
        pods: of the amounts where `data` does not say.

    Raises:
        DeclarationError: naming the place.
    """
    given = _mapping(where, data, [item.name for item in fields(Resources)])
    readers: Dict[str, Callable[[Any], int]] = {
        "cpu": quantities.cpu,
        "memory": quantities.size,
        "disk": quantities.size,
        "storage": quantities.size,
    }
    amounts = {key: _amount(f"{where}.{key}", given[key], reader) for key, reader in readers.items() if key in given}
    return Resources(**amounts, pods=_integer(f"{where}.pods", given.get("pods", pods)))


def _workload(component: str, name: str, where: str, data: Any, group: str, namespace: str) -> Workload:
    data = _mapping(where, data, [item.name for item in fields(Workload) if item.name not in ("component", "name")])
    runs = _choice(f"{where}.runs", data.get("runs", "server" if group else "pods"), RUNS)
    if "requests" not in data:
        raise DeclarationError(
            f"{where}: no requests: say what one member reserves, such as {{cpu: 100m, memory: 128Mi}}"
        )
    if runs == "pods" and "replicas" not in data:
        raise DeclarationError(f"{where}: no replicas: say how many pods there are, such as 2")
    if runs != "pods" and "replicas" in data:
        raise DeclarationError(f"{where}: replicas belongs to `runs: pods` only, here it runs as {runs}: take it out")
    heap = data.get("heap")
    if runs == "server":
        for key in ("namespace", "selector", "host_network", "service_account"):
            if key in data:
                raise DeclarationError(f"{where}: {key} belongs to pods, here it runs as server: take it out")
    return Workload(
        component=component,
        name=name,
        runs=runs,
        nodes=data.get("nodes", group or ("node" if runs == "daemon" else "worker")),
        replicas=_integer(f"{where}.replicas", data["replicas"]) if runs == "pods" else None,
        spread=tuple(
            _choice(f"{where}.spread", item, SPREADS) for item in _sequence(f"{where}.spread", data.get("spread"))
        ),
        requests=resources(f"{where}.requests", data["requests"], pods=0 if runs == "server" else 1),
        limits=resources(f"{where}.limits", data.get("limits")),
        heap=_amount(f"{where}.heap", heap, quantities.size) if heap is not None else None,
        hpa=_hpa(f"{where}.hpa", data.get("hpa")),
        vpa=_vpa(f"{where}.vpa", data.get("vpa")),
        fails_closed=_boolean(f"{where}.fails_closed", data.get("fails_closed", False)),
        namespace="" if runs == "server" else _object_name(f"{where}.namespace", data.get("namespace", namespace)),
        selector={} if runs == "server" else selector(f"{where}.selector", data.get("selector"), component, name),
        host_network=_boolean(f"{where}.host_network", data.get("host_network", False)),
        service_account=_object_name(f"{where}.service_account", data.get("service_account", "")),
    )


def selector(where: str, data: Any, component: str = "", name: str = "") -> Mapping[str, Any]:
    """A LabelSelector as Kubernetes has it, with both of its keys.

    Args:
        where: how errors name the place.
        data: `{matchLabels, matchExpressions}`; None for the label that the platform's own pods carry.
        component, name: of the workload, for that label.

    Raises:
        DeclarationError: naming the place and what to write.

    Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/
    """
    given = _mapping(where, data, ["matchLabels", "matchExpressions"])
    labels = dict(_mapping(f"{where}.matchLabels", given.get("matchLabels")))
    if data is None:
        labels = {WORKLOAD_LABEL: component if name == component else f"{component}-{name}"}
    for key, value in labels.items():
        if not isinstance(value, str):
            raise DeclarationError(f"{where}.matchLabels.{key}: a text is wanted, not {value!r}: quote it")
    return {
        "matchLabels": labels,
        "matchExpressions": [
            _expression(f"{where}.matchExpressions[{index}]", entry)
            for index, entry in enumerate(_sequence(f"{where}.matchExpressions", given.get("matchExpressions")))
        ],
    }


def _expression(where: str, data: Any) -> Mapping[str, Any]:
    given = _mapping(where, data, ["key", "operator", "values"])
    operator = _choice(f"{where}.operator", given.get("operator"), OPERATORS)
    values = _sequence(f"{where}.values", given.get("values"))
    if not given.get("key"):
        raise DeclarationError(f"{where}: no key: name the label")
    if (operator in ("In", "NotIn")) != bool(values):
        wanted = "values" if operator in ("In", "NotIn") else "no values"
        raise DeclarationError(f"{where}: {operator} takes {wanted}")
    return {"key": given["key"], "operator": operator, **({"values": values} if values else {})}


def _metric(where: str, data: Any) -> Mapping[str, Any]:
    given = _mapping(where, data, ["name", "port", "path", "workloads", "series"])
    for name in _sequence(f"{where}.series", given.get("series")):
        if not isinstance(name, str) or not _METRIC_NAME.fullmatch(name):
            raise DeclarationError(f"{where}.series: {name!r} is no name of a metric: write one such as `up`")
    return given


def _hpa(where: str, data: Any) -> Mapping[str, Any]:
    given = _mapping(where, data, ["min", "max", "metrics"])
    _sequence(f"{where}.metrics", given.get("metrics"))
    return given


def _vpa(where: str, data: Any) -> Mapping[str, Any]:
    given = dict(_mapping(where, data, ["mode", "resources", "max"]))
    for resource in _sequence(f"{where}.resources", given.get("resources")):
        _choice(f"{where}.resources", resource, ("cpu", "memory"))
    _mapping(f"{where}.max", given.get("max"), ["cpu", "memory"])
    if given.get("mode") is False:
        given["mode"] = "Off"  # what YAML makes of Off without quotes
    return given


# What each kind of quorum must be told, and what it may be told.
_REQUIRED = {
    "majority": ("members",),
    "in_sync_replicas": ("members", "copies", "minimum"),
    "sharded_primaries": ("primaries", "replicas"),
    "synchronous_standby": ("members", "synchronous"),
    "pool_min_size": ("members", "copies", "minimum"),
    "at_least_one": ("members",),
}
_OPTIONAL = {"in_sync_replicas": ("spread",), "pool_min_size": ("spread",), "sharded_primaries": ("apart",)}


def _quorum(component: str, where: str, data: Any, workloads: Sequence[str]) -> Quorum:
    kind = _choice(f"{where}.kind", _mapping(where, data).get("kind"), QUORUM_KINDS)
    _keys(where, data, ["name", "kind", *_REQUIRED[kind], *_OPTIONAL.get(kind, ())])
    for key in _REQUIRED[kind]:
        if key not in data:
            raise DeclarationError(
                f"{where}: {key} is missing: a quorum of kind {kind} needs {', '.join(_REQUIRED[kind])}"
            )
    members = tuple(_sequence(f"{where}.members", data.get("members")))
    named = [*members, *(data[key] for key in ("primaries", "replicas") if key in data)]
    for name in named:
        _choice(f"{where}: workload", name, workloads)
    return Quorum(
        component=component,
        name=data.get("name", component),
        kind=kind,
        members=members,
        copies=_integer(f"{where}.copies", data.get("copies", 0)),
        minimum=_integer(f"{where}.minimum", data.get("minimum", 0)),
        spread=_choice(f"{where}.spread", data.get("spread", "node"), SPREADS),
        synchronous=_integer(f"{where}.synchronous", data.get("synchronous", 0)),
        primaries=data.get("primaries", ""),
        replicas=data.get("replicas", ""),
        apart=_choice(f"{where}.apart", data.get("apart", "node"), SPREADS),
    )


def _mapping(where: str, data: Any, known: Optional[Sequence[str]] = None) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise DeclarationError(f"{where}: a mapping is wanted, not {data!r}")
    if known is not None:
        _keys(where, data, known)
    return data


def _sequence(where: str, data: Any) -> List[Any]:
    if data is None:
        return []
    if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
        raise DeclarationError(f"{where}: a list is wanted, not {data!r}")
    return list(data)


def _keys(where: str, data: Any, known: Sequence[str]) -> None:
    for key in _mapping(where, data):
        if key not in known:
            raise DeclarationError(f"{where}: unknown key {key!r}: {nearest(key, known)}")


def _choice(where: str, value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise DeclarationError(f"{where}: {value!r} is not known: {nearest(str(value), known)}")
    return str(value)


def _object_name(where: str, value: Any) -> str:
    if value != "" and not (isinstance(value, str) and _OBJECT_NAME.fullmatch(value)):
        raise DeclarationError(f"{where}: {value!r} is no name: lower case letters, digits and -, at most 63")
    return str(value)


def _integer(where: str, value: Any) -> int:
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise DeclarationError(f"{where}: a whole number from 0 on is wanted, not {value!r}")
    return int(value)


def _boolean(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise DeclarationError(f"{where}: true or false is wanted, not {value!r}")
    return value


def _amount(where: str, value: Any, reader: Callable[[Any], int]) -> int:
    try:
        return reader(value)
    except ValueError as error:
        raise DeclarationError(f"{where}: {error}") from error
