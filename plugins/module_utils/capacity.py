# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether all workloads find room on the nodes, whole and with any one zone gone. The model: docs/capacity.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Resources, Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding
from ansible_collections.banking.platform.plugins.module_utils.topology import Node

RESOURCES = ("cpu", "memory", "disk", "pods")
Vector = Tuple[int, int, int, int]

# What the kubelet keeps free by default before it evicts pods: memory.available 100Mi, nodefs.available 10%.
# https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds
EVICTION_MEMORY = 100 * 1024**2
EVICTION_DISK_PERCENT = 10

# The kubelet's own maximum where a size names no pods (maxPods).
MAX_PODS = 110

# Sizes that servers are sold in: CPUs, and GiB of memory and of disk.
USUAL = {
    "cpu": [number * 1000 for number in (2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)],
    "memory": [number * 1024**3 for number in (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)],
    "disk": [number * 1024**3 for number in (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)],
}

# Of what asks for nothing, so many fit.
MAX_MEMBERS = 10**6

# How long other orders are tried for a platform that does not fit, in pods and nodes looked at; two always are.
PLACEMENTS = 6_000

# Above this many pods the exhaustive search is not begun, and after so many steps it is given up.
EXHAUSTIVE_PODS = 10
EXHAUSTIVE_STEPS = 20_000


@dataclass(frozen=True)
class Unplaced:
    """Members of a workload without a node.

    Attributes:
        workload: its title.
        nodes: the role of node that it may run on.
        count: how many.
        why: for the reader.
        crowded: whether it is only the others that leave no room, so that it would fit on empty nodes.
    """

    workload: str
    nodes: str
    count: int
    why: str
    crowded: bool = False


@dataclass
class Case:
    """The platform whole (`lost` is None), or without one zone.

    Attributes:
        lost: the zone.
        unplaced: what finds no room.
        available, requested: by zone, in the order of RESOURCES.
        placed: how many members of a workload a node carries.
        reaches: for what scales horizontally: title -> (pods that find room, at most wanted).
    """

    lost: Optional[str]
    unplaced: List[Unplaced] = field(default_factory=list)
    available: Dict[str, Vector] = field(default_factory=dict)
    requested: Dict[str, Vector] = field(default_factory=dict)
    placed: Dict[str, Counter[str]] = field(default_factory=dict)
    reaches: Dict[str, Tuple[int, int]] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether everything found its place."""
        return not self.unplaced


@dataclass
class Capacity:
    """What `prove` finds.

    Attributes:
        cases: whole first, then without each zone, in the zones' order.
        unsized: nodes without `platform_node_size`; they carry nothing.
        storage: replicated storage: (available, requested) bytes.
        budget: by resource of the environment's budget: (available, requested).
        recommended: a usual size of all workers with which everything fits, none of it a step too large; None when
            it fits as it is, or no usual size does.
        largest: titles of the workloads that ask for most memory: (title, cpu, memory) of all members.
    """

    cases: List[Case]
    unsized: List[str]
    storage: Tuple[int, int]
    budget: Dict[str, Tuple[int, int]]
    recommended: Optional[Resources]
    largest: List[Tuple[str, int, int]]

    def as_dict(self) -> Dict[str, Any]:
        """As the record of a run keeps it: CPU in thousandths, sizes in bytes."""

        def pair(available: int, requested: int) -> Dict[str, int]:
            return {"available": available, "requested": requested}

        return {
            "cases": [
                {
                    "lost": case.lost,
                    "fits": case.fits,
                    "zones": {
                        zone: {
                            name: pair(case.available[zone][index], case.requested[zone][index])
                            for index, name in enumerate(RESOURCES)
                        }
                        for zone in case.available
                    },
                    "unplaced": [
                        {"workload": item.workload, "count": item.count, "why": item.why} for item in case.unplaced
                    ],
                }
                for case in self.cases
            ],
            "storage": pair(*self.storage),
            "budget": {name: pair(*amounts) for name, amounts in self.budget.items()},
            "recommended": None
            if self.recommended is None
            else {name: getattr(self.recommended, name) for name in RESOURCES},
        }


def prove(
    declarations: Sequence[Declaration],
    nodes: Sequence[Node],
    zones: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    budget: Mapping[str, Any],
) -> Capacity:
    """Find a place for every member of every workload.

    Args:
        declarations: of the enabled components.
        nodes: all servers.
        zones: declared names.
        groups: hosts by role of node.
        budget: `platform_budget`, as people write it: `cpu`, `memory`, `storage`; nothing asks for `network`.

    Raises:
        ValueError: an amount of the budget that cannot be read.
    """
    workloads = [workload for declaration in declarations for workload in declaration.workloads]
    used = [zone for zone in zones if any(node.zone == zone for node in nodes)]
    lost: List[Optional[str]] = [None, *(used if len(used) > 1 else [])]
    unsized = [node.name for node in nodes if node.size is None]
    cases = _cases(workloads, nodes, groups, lost)
    for case in cases:
        _reach(case, workloads, nodes, groups)
    fixed = not unsized and not all(case.fits for case in cases)
    provided = sum(declaration.provides.get("storage", 0) for declaration in declarations)
    totals = [(workload, _members(workload, groups)) for workload in workloads]
    stored = sum(workload.requests.storage * count for workload, count in totals)
    disks = sum(workload.requests.disk * count for workload, count in totals)
    asked = {
        "cpu": sum(workload.requests.cpu * count for workload, count in totals),
        "memory": sum(workload.requests.memory * count for workload, count in totals),
        # Replicated storage lies on disks that its component asks for; where nothing provides it, it comes on top.
        "storage": disks + (0 if provided else stored),
    }
    return Capacity(
        cases=cases,
        unsized=unsized,
        storage=(provided, stored),
        budget={name: (_budget(name, budget[name]), amount) for name, amount in asked.items() if name in budget},
        recommended=_recommend(workloads, nodes, groups, lost) if fixed else None,
        largest=sorted(
            ((w.title, w.requests.cpu * count, w.requests.memory * count) for w, count in totals),
            key=lambda item: (-item[2], -item[1], item[0]),
        )[:5],
    )


def findings(capacity: Capacity, survives: str, environment: str) -> List[Finding]:
    """What is wrong with the room that there is.

    Args:
        capacity: of `prove`.
        survives: `platform_survives`: only with `zone` is a zone's loss held against the platform as an error.
        environment: what to call the inventory.
    """

    def finding(severity: str, subject: str, variable: str, cause: str, next_step: str) -> Finding:
        return Finding(severity, subject, variable, cause, next_step, "capacity")

    found = [
        finding(
            "error",
            name,
            "platform_node_size",
            "the host has no size, so that nothing can be placed on it",
            "set it to what the server has, such as {cpu: 8, memory: 32Gi, disk: 1Ti}",
        )
        for name in capacity.unsized
    ]
    # Without sizes, what is not placed says nothing about the platform.
    judged = (
        [case for case in capacity.cases if case.lost is None or survives == "zone"] if not capacity.unsized else []
    )
    whole = {item.workload for item in capacity.cases[0].unplaced}
    for case in judged:
        where = f" with {case.lost} gone" if case.lost else ""
        items = [item for item in case.unplaced if case.lost is None or item.workload not in whole]
        for item in items:
            if not item.crowded:
                cause = f"{item.count} of its members find no room{where}: {item.why}"
                found.append(finding("error", item.workload, "platform_node_size", cause, _remedy(capacity)))
        crowded = [item for item in items if item.crowded]
        if crowded:
            names = ", ".join(f"{item.workload} ({item.count})" for item in crowded[:5])
            more = f" and {len(crowded) - 5} more workloads" if len(crowded) > 5 else ""
            cause = f"{names}{more} find no room{where}: {crowded[0].why}"
            found.append(finding("error", environment, "platform_node_size", cause, _remedy(capacity)))
    available, requested = capacity.storage
    if requested > available:
        found.append(
            finding(
                "error",
                environment,
                "storage",
                f"{quantities.show_size(requested)} of replicated storage are asked for, "
                f"{quantities.show_size(available)} are provided",
                "add disks to the storage, or ask for smaller volumes",
            )
        )
    for name, (limit, amount) in capacity.budget.items():
        if amount > limit:
            show = quantities.show_cpu if name == "cpu" else quantities.show_size
            found.append(
                finding(
                    "error",
                    environment,
                    f"platform_budget.{name}",
                    f"{show(amount)} are asked for, the environment's budget is {show(limit)}",
                    f"ask for less (most is asked for by {_largest(capacity)}), or raise the budget",
                )
            )
    for title in judged[0].reaches if judged else ():
        for cases in (judged[:1], judged[1:]):
            if not cases:
                continue
            case = min(cases, key=lambda case: case.reaches[title][0])
            reached, wanted = case.reaches[title]
            if reached < wanted:
                where = f" with {case.lost} gone" if case.lost else ""
                found.append(
                    finding(
                        "info",
                        title,
                        "hpa.max",
                        f"{title} reaches {reached} of {wanted} replicas{where}",
                        "nothing, if this is enough; see docs/capacity.md for what holds it back",
                    )
                )
    return found


def _remedy(capacity: Capacity) -> str:
    size = capacity.recommended
    less = f"ask for less (most is asked for by {_largest(capacity)})"
    if size is None:
        return f"{less}, or make the nodes that it runs on larger or more"
    return (
        f"{less}, or give every worker {quantities.show_cpu(size.cpu)} CPUs, "
        f"{quantities.show_size(size.memory)} of memory and {quantities.show_size(size.disk)} of disk"
    )


def _largest(capacity: Capacity) -> str:
    return ", ".join(
        f"{title} {quantities.show_cpu(cpu)} CPUs {quantities.show_size(memory)}"
        for title, cpu, memory in capacity.largest[:3]
    )


def _budget(name: str, amount: Any) -> int:
    try:
        return quantities.cpu(amount) if name == "cpu" else quantities.size(amount)
    except ValueError as error:
        raise ValueError(f"platform_budget.{name}: {error}") from error


def _replicas(workload: Workload) -> int:
    """Pods that must run: of what scales horizontally, the fewest."""
    return int(workload.hpa.get("min", workload.replicas or 0)) if workload.hpa else workload.replicas or 0


def _members(workload: Workload, groups: Mapping[str, Sequence[str]]) -> int:
    return _replicas(workload) if workload.runs == "pods" else len(groups.get(workload.nodes, []))


def _vector(resources: Resources) -> Vector:
    return (resources.cpu, resources.memory, resources.disk, resources.pods)


def allocatable(size: Resources) -> Vector:
    """What of a node's size can be given away."""
    return (
        size.cpu,
        max(0, size.memory - EVICTION_MEMORY),
        size.disk * (100 - EVICTION_DISK_PERCENT) // 100,
        size.pods or MAX_PODS,
    )


def _fit(free: Vector, need: Vector) -> int:
    """How many of `need` go into `free`."""
    most = MAX_MEMBERS
    # Written out: this is asked a million times for a thousand nodes.
    if need[0]:
        most = free[0] // need[0]
    if need[1]:
        most = min(most, free[1] // need[1])
    if need[2]:
        most = min(most, free[2] // need[2])
    if need[3]:
        most = min(most, free[3] // need[3])
    return max(0, most)


def _minus(free: Vector, need: Vector, times: int = 1) -> Vector:
    return (
        free[0] - need[0] * times,
        free[1] - need[1] * times,
        free[2] - need[2] * times,
        free[3] - need[3] * times,
    )


class _Room:
    """What is free: by zone and set of roles, nodes with the same rest are one entry."""

    def __init__(self) -> None:
        # zone -> roles -> what is free -> names of nodes
        self.zones: Dict[str, Dict[frozenset[str], Dict[Vector, List[str]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )

    def copy(self) -> "_Room":
        other = _Room()
        for zone, roles in self.zones.items():
            for role, entries in roles.items():
                other.zones[zone][role] = defaultdict(list, {free: list(names) for free, names in entries.items()})
        return other

    def zones_for(self, role: str) -> List[str]:
        return [zone for zone, roles in self.zones.items() if any(role in names for names in roles)]

    def entries(self, zones: Iterable[str], role: str) -> List[Tuple[Vector, Dict[Vector, List[str]]]]:
        return [
            (free, entries)
            for zone in zones
            for roles, entries in self.zones[zone].items()
            if role in roles
            for free in entries
        ]

    def holds(self, zones: Iterable[str], workload: Workload) -> int:
        """How many more pods of a workload find room in these zones, its spread over zones aside."""
        need = _vector(workload.requests)
        apart = "node" in workload.spread
        return sum(
            (min(1, _fit(free, need)) if apart else _fit(free, need)) * len(entries[free])
            for free, entries in self.entries(zones, workload.nodes)
        )

    def take(self, zones: Iterable[str], workload: Workload, count: int, emptiest: bool) -> Counter[str]:
        """Place up to `count` pods, on the fullest nodes first, or on the emptiest; by node, how many."""
        need = _vector(workload.requests)
        apart = "node" in workload.spread
        candidates = [
            (fits, free, entries, len(entries[free]))
            for free, entries in self.entries(zones, workload.nodes)
            if (fits := _fit(free, need)) > 0
        ]
        candidates.sort(key=lambda item: (item[0], item[1]), reverse=emptiest)
        placed: Counter[str] = Counter()
        for fits, free, entries, untouched in candidates:
            per = 1 if apart else min(fits, 1 if emptiest else fits)
            # A node that was just given a pod may have joined this entry, at its end: it has had its turn.
            while count and untouched:
                untouched -= 1
                name = entries[free].pop(untouched)
                taken = min(per, count)
                placed[name] += taken
                count -= taken
                entries[_minus(free, need, taken)].append(name)
            if not entries[free]:
                del entries[free]
            if not count:
                break
        if count and not apart and placed and emptiest:
            # One a node was laid; what is left goes on top.
            placed += self.take(zones, workload, count, emptiest)
        return placed


def _spread(room: _Room, zones: Sequence[str], workload: Workload, count: int) -> Dict[str, int]:
    """How many pods each zone takes so that no two zones differ by more than one (maxSkew 1, DoNotSchedule)."""
    holds = {zone: room.holds([zone], workload) for zone in zones}
    base = min(count // len(zones), *holds.values()) if len(zones) > 1 else min(count, holds[zones[0]])
    taken = dict.fromkeys(zones, base)
    for zone in sorted(zones, key=lambda name: (-holds[name], name)):
        if sum(taken.values()) < count and holds[zone] > base and len(zones) > 1:
            taken[zone] += 1
    return taken


@dataclass(frozen=True)
class _Demand:
    """Pods of a workload that need room in a case."""

    workload: Workload
    count: int


def _cases(
    workloads: Sequence[Workload],
    nodes: Sequence[Node],
    groups: Mapping[str, Sequence[str]],
    lost: Sequence[Optional[str]],
) -> List[Case]:
    cases: List[Case] = []
    for zone in lost:
        cases.append(_case(workloads, nodes, groups, zone, cases[0] if cases else None))
    return cases


def _roles(groups: Mapping[str, Sequence[str]]) -> Dict[str, set[str]]:
    roles: Dict[str, set[str]] = defaultdict(set)
    for role, hosts in groups.items():
        for host in hosts:
            roles[host].add(role)
    return roles


def _case(
    workloads: Sequence[Workload],
    nodes: Sequence[Node],
    groups: Mapping[str, Sequence[str]],
    lost: Optional[str],
    whole: Optional[Case],
) -> Case:
    case = Case(lost)
    roles = _roles(groups)
    classes: Dict[Tuple[str, frozenset[str], Vector], List[str]] = defaultdict(list)
    for node in nodes:
        if node.size is not None and node.zone != lost:
            classes[(node.zone or "", frozenset(roles[node.name]), allocatable(node.size))].append(node.name)
    room = _Room()
    refused: Dict[str, List[str]] = defaultdict(list)
    for (zone, member_of, free), names in classes.items():
        case.available[zone] = _minus(case.available.get(zone, (0, 0, 0, 0)), free, -len(names))
        for workload in sorted(
            (w for w in workloads if w.runs != "pods" and w.nodes in member_of), key=lambda w: w.runs != "server"
        ):
            need = _vector(workload.requests)
            if _fit(free, need) < 1:
                refused[workload.title] += names
                continue
            free = _minus(free, need)
            for name in names:
                case.placed.setdefault(workload.title, Counter())[name] += 1
        room.zones[zone][member_of][free] += names
    by_title = {workload.title: workload for workload in workloads}
    demands = [_demand(workload, nodes, groups, lost, whole) for workload in workloads if workload.runs == "pods"]
    placements, exact = _place(demands, room)
    for title, hosts in refused.items():
        why = f"the hosts have too little beside what else runs on each: {_some(hosts)}"
        case.unplaced.append(Unplaced(title, by_title[title].nodes, len(hosts), why))
    for index, demand in enumerate(demands):
        placed = placements[index]
        case.placed[demand.workload.title] = placed
        missing = demand.count - sum(placed.values())
        if missing:
            why, crowded = _why(demand.workload, nodes, groups, lost, exact)
            case.unplaced.append(Unplaced(demand.workload.title, demand.workload.nodes, missing, why, crowded))
    zone_of = {node.name: node.zone or "" for node in nodes}
    for zone in case.available:
        case.requested[zone] = (0, 0, 0, 0)
    for title, placed in case.placed.items():
        need = _vector(by_title[title].requests)
        for name, count in placed.items():
            case.requested[zone_of[name]] = _minus(case.requested[zone_of[name]], need, -count)
    case.unplaced.sort(key=lambda item: item.workload)
    return case


def _demand(
    workload: Workload,
    nodes: Sequence[Node],
    groups: Mapping[str, Sequence[str]],
    lost: Optional[str],
    whole: Optional[Case],
) -> _Demand:
    """How many pods of a workload need room when a zone is gone.

    A lost zone's nodes stay in the API as unreachable, and count as a domain with no pods (nodeTaintsPolicy Ignore).
    What is spread over zones may then be one ahead of zero: a lost pod is started again only in a zone that has none.
    What lies on a node's own disk waits for it. Quorum is proved without these.
    """
    count = _replicas(workload)
    if lost is None or whole is None:
        return _Demand(workload, count)
    members = set(groups.get(workload.nodes, []))
    mine = [node for node in nodes if node.name in members]
    domains = {node.zone for node in mine}
    if "zone" in workload.spread:
        return _Demand(workload, count - count // len(domains) if lost in domains else count)
    if workload.requests.disk:
        gone = {node.name for node in mine if node.zone == lost}
        return _Demand(workload, count - sum(n for name, n in whole.placed[workload.title].items() if name in gone))
    if "node" in workload.spread and count <= len(mine):
        return _Demand(workload, min(count, sum(node.zone != lost for node in mine)))
    return _Demand(workload, count)


def _place(demands: Sequence[_Demand], room: _Room) -> Tuple[List[Counter[str]], bool]:
    """Place all: of several orders the first that places everything, else the one that leaves least.

    Returns:
        Nodes by demand; and whether no other way could place more, which only few pods let us know.
    """
    sizes = [amount or 1 for amount in _total(room)]

    def share(demand: _Demand) -> float:
        need = _vector(demand.workload.requests)
        return max(need[index] / sizes[index] for index in range(len(RESOURCES)))

    keys: List[Callable[[_Demand], Any]] = [
        lambda d: (-share(d), d.workload.title),
        lambda d: (-len(d.workload.spread), -share(d), d.workload.title),
        lambda d: (-d.workload.requests.memory, -d.workload.requests.cpu, d.workload.title),
        lambda d: (-d.workload.requests.cpu, -d.workload.requests.memory, d.workload.title),
        lambda d: (-share(d) * d.count, d.workload.title),
    ]
    pods = sum(demand.count for demand in demands)
    attempts = [(key, emptiest) for key in keys for emptiest in (False, True)]
    best: Tuple[int, List[Counter[str]]] = (pods + 1, [])
    nodes = sum(len(names) for roles in room.zones.values() for free in roles.values() for names in free.values())
    # What fits on no empty node is placed by no order.
    hopeless = sum(d.count for d in demands if d.count and not room.holds(room.zones, d.workload))
    for key, emptiest in attempts[: max(2, PLACEMENTS // (pods + nodes + 1))]:
        left = room.copy()
        placed: Dict[int, Counter[str]] = {}
        for index in sorted(range(len(demands)), key=lambda i, key=key: key(demands[i])):  # type: ignore[misc]
            placed[index] = _put(demands[index], left, emptiest)
        missing = pods - sum(sum(counts.values()) for counts in placed.values())
        if missing < best[0]:
            best = (missing, [placed[index] for index in range(len(demands))])
        if missing == hopeless:
            return best[1], not missing
    found, complete = _exhaustive(demands, room)
    return found or best[1], complete


def _put(demand: _Demand, room: _Room, emptiest: bool) -> Counter[str]:
    zones = room.zones_for(demand.workload.nodes)
    if not zones or not demand.count:
        return Counter()
    if "zone" not in demand.workload.spread:
        return room.take(zones, demand.workload, demand.count, emptiest)
    placed: Counter[str] = Counter()
    for zone, count in _spread(room, zones, demand.workload, demand.count).items():
        placed += room.take([zone], demand.workload, count, emptiest)
    return placed


def _total(room: _Room) -> List[int]:
    """What is free on all nodes together, in the order of RESOURCES."""
    total = (0, 0, 0, 0)
    for roles in room.zones.values():
        for entries in roles.values():
            for free, names in entries.items():
                total = _minus(total, free, -len(names))
    return list(total)


def _exhaustive(demands: Sequence[_Demand], room: _Room) -> Tuple[Optional[List[Counter[str]]], bool]:
    """Every way to place a few pods until one places all; and whether the search came to its end."""
    if sum(demand.count for demand in demands) > EXHAUSTIVE_PODS:
        return None, False
    pods = [
        index
        for index in sorted(range(len(demands)), key=lambda i: (-demands[i].workload.requests.memory, i))
        for number in range(demands[index].count)
    ]
    free = {
        name: (zone, roles, rest)
        for zone, classes in room.zones.items()
        for roles, entries in classes.items()
        for rest, names in entries.items()
        for name in names
    }
    names = sorted(free)
    zones = [room.zones_for(demand.workload.nodes) for demand in demands]
    result: List[Counter[str]] = [Counter() for demand in demands]
    steps = 0

    def even(index: int) -> bool:
        workload = demands[index].workload
        if "zone" not in workload.spread:
            return True
        by_zone = Counter(dict.fromkeys(zones[index], 0))
        for name, count in result[index].items():
            by_zone[free[name][0]] += count
        return max(by_zone.values()) - min(by_zone.values()) <= 1

    def search(position: int, start: int) -> bool:
        nonlocal steps
        steps += 1
        if steps > EXHAUSTIVE_STEPS:
            return False
        if position == len(pods):
            return True
        index = pods[position]
        workload = demands[index].workload
        need = _vector(workload.requests)
        last = position + 1 == len(pods) or pods[position + 1] != index
        # Equal pods are interchangeable: their nodes never go back in order.
        for at in range(start, len(names)):
            name = names[at]
            zone, roles, rest = free[name]
            if workload.nodes not in roles or _fit(rest, need) < 1:
                continue
            if "node" in workload.spread and result[index][name]:
                continue
            free[name] = (zone, roles, _minus(rest, need))
            result[index][name] += 1
            if (not last or even(index)) and search(position + 1, 0 if last else at):
                return True
            result[index][name] -= 1
            free[name] = (zone, roles, rest)
        return False

    if not search(0, 0):
        return None, steps <= EXHAUSTIVE_STEPS
    return [+placed for placed in result], True


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _show(index: int, amount: int) -> str:
    return (
        quantities.show_cpu(amount)
        if RESOURCES[index] == "cpu"
        else str(amount)
        if RESOURCES[index] == "pods"
        else quantities.show_size(amount)
    )


def _why(
    workload: Workload, nodes: Sequence[Node], groups: Mapping[str, Sequence[str]], lost: Optional[str], exact: bool
) -> Tuple[str, bool]:
    members = set(groups.get(workload.nodes, []))
    hosts = [node for node in nodes if node.name in members and node.size is not None and node.zone != lost]
    if not hosts:
        return f"no node of {workload.nodes} is left", False
    # One of each size stands for all of it.
    sizes = [(allocatable(size), name) for size, name in {node.size: node.name for node in hosts}.items() if size]
    need = _vector(workload.requests)
    if not any(_fit(free, need) for free, name in sizes):
        for index, name in enumerate(RESOURCES):
            amount, host = max((free[index], host) for free, host in sizes)
            if need[index] > amount:
                asks = f"a member asks for {_show(index, need[index])} of {name}"
                return f"{asks}, the largest node {host} has {_show(index, amount)} to give", False
        return "no node has enough of everything that a member asks for", False
    if "node" in workload.spread and _replicas(workload) > len(hosts) and lost is None:
        return f"{_replicas(workload)} pods may not share a node, and there are {len(hosts)}", False
    cause = "what the others leave free on the nodes that it may run on is too little"
    return cause + (", however they are placed" if exact else " (not placed by first-fit)"), True


def _reach(
    case: Case, workloads: Sequence[Workload], nodes: Sequence[Node], groups: Mapping[str, Sequence[str]]
) -> None:
    """How far what scales horizontally comes with what is left, each for itself."""
    by_title = {workload.title: workload for workload in workloads}
    scaled = [workload for workload in workloads if workload.runs == "pods" and workload.hpa]
    if not scaled:
        return
    used: Dict[str, Vector] = defaultdict(lambda: (0, 0, 0, 0))
    for title, placed in case.placed.items():
        need = _vector(by_title[title].requests)
        for name, count in placed.items():
            used[name] = _minus(used[name], need, -count)
    for workload in scaled:
        members = set(groups.get(workload.nodes, []))
        wanted = int(workload.hpa.get("max", _replicas(workload)))
        running = sum(case.placed[workload.title].values())
        room: Counter[str] = Counter()
        for node in nodes:
            if node.name not in members or node.size is None or node.zone == case.lost:
                continue
            here = case.placed[workload.title][node.name]
            more = _fit(_minus(allocatable(node.size), used[node.name]), _vector(workload.requests))
            room[node.zone or ""] += here + (min(more, 0 if here else 1) if "node" in workload.spread else more)
        total = sum(room.values())
        if "zone" in workload.spread:
            # Zones stay even; beside a lost zone, which counts as empty, nothing can be added.
            lowest = min(room.values(), default=0)
            total = running if case.lost else sum(min(count, lowest + 1) for count in room.values())
        case.reaches[workload.title] = (max(running, min(wanted, total)), wanted)


def _recommend(
    workloads: Sequence[Workload],
    nodes: Sequence[Node],
    groups: Mapping[str, Sequence[str]],
    lost: Sequence[Optional[str]],
) -> Optional[Resources]:
    """A usual size of all workers with which everything fits that may run on them, and none of it a step too large.

    The search begins at what the sums need, takes larger what is scarcest until it fits, and then each back as far as
    it goes.
    """
    workers = set(groups.get("worker", []))
    mine = {w.title for w in workloads if workers & set(groups.get(w.nodes, []))}
    if not workers:
        return None

    def attempt(size: Mapping[str, int]) -> Tuple[bool, str]:
        """Whether it fits, and which resource is scarcest."""
        resized = [
            replace(node, size=Resources(**size, pods=MAX_PODS)) if node.name in workers else node for node in nodes
        ]
        whole: Optional[Case] = None
        for zone in lost:
            case = _case(workloads, resized, groups, zone, whole)
            whole = whole or case
            short = [
                item
                for item in case.unplaced
                if item.workload in mine and (item.nodes == "worker" or workers & _on(item, groups, case))
            ]
            if short:
                return False, _scarcest(short, by_title, size, case)
        return True, ""

    by_title = {workload.title: workload for workload in workloads}
    pods = [w for w in workloads if w.runs == "pods" and w.nodes == "worker"]
    size = {}
    for name, sizes in USUAL.items():
        least = max(
            sum(getattr(w.requests, name) * _replicas(w) for w in pods) // len(workers),
            max((getattr(w.requests, name) for w in pods), default=0),
        )
        if least > sizes[-1]:
            return None
        size[name] = next(amount for amount in sizes if amount >= least)
    fits, scarcest = attempt(size)
    while not fits:
        larger = [amount for amount in USUAL[scarcest] if amount > size[scarcest]]
        if not larger:
            return None
        size[scarcest] = larger[0]
        fits, scarcest = attempt(size)
    for name, sizes in USUAL.items():
        for amount in reversed([amount for amount in sizes if amount < size[name]]):
            if not attempt({**size, name: amount})[0]:
                break
            size[name] = amount
    return Resources(**size, pods=MAX_PODS)


def _scarcest(short: Sequence[Unplaced], by_title: Mapping[str, Workload], size: Mapping[str, int], case: Case) -> str:
    """The resource of which what is placed and what is not ask for the largest share."""
    shares = {}
    for index, name in enumerate(RESOURCES[:3]):
        available = sum(amounts[index] for amounts in case.available.values()) or 1
        asked = sum(amounts[index] for amounts in case.requested.values())
        asked += sum(_vector(by_title[item.workload].requests)[index] * item.count for item in short)
        largest = max(_vector(by_title[item.workload].requests)[index] for item in short)
        shares[name] = max(asked / available, largest / size[name])
    return max(shares, key=lambda name: shares[name])


def _on(item: Unplaced, groups: Mapping[str, Sequence[str]], case: Case) -> set[str]:
    """The hosts that should carry a workload that is not placed, and do not."""
    return set(groups.get(item.nodes, [])) - set(case.placed.get(item.workload, Counter()))
