# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what is declared survives the loss of any zone and of any node. Rules and sources: docs/quorum.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, Quorum, Workload
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, nearest
from ansible_collections.banking.platform.plugins.module_utils.topology import (
    Node,
    NodeClass,
    Placement,
    node_classes,
    place,
)

# What must be survived, and the losses that it stands for.
SURVIVES: Mapping[str, Tuple[str, ...]] = {"zone": ("zone", "node"), "node": ("node",), "nothing": ()}

# Kinds that cannot survive in two zones, however the members are placed.
_OF_MORE_THAN_TWO_ZONES = ("majority", "sharded_primaries", "synchronous_standby")

# How far the search for the smallest change goes; changes of settings and servers together only if they are small.
_MOST_STEPS = 12
_MOST_MIXED = 6
_NEW_ZONES = ("a second zone", "a third zone")


@dataclass(frozen=True)
class Loss:
    """What is left when something is lost.

    Attributes:
        scope: `zone` or `node`.
        lost: the zone; or the nodes of which, one at a time, each leaves the same.
        survives: whether what is left is enough.
        arithmetic: why, in figures.
    """

    scope: str
    lost: str
    survives: bool
    arithmetic: str


@dataclass(frozen=True)
class Case:
    """A quorum with all that its proof depends on."""

    quorum: Quorum
    workloads: Mapping[str, Workload]
    classes: Tuple[NodeClass, ...]
    zones: Tuple[str, ...]


@dataclass(frozen=True)
class Proof:
    """What is left of a quorum after each loss.

    Attributes:
        case: what was proved.
        placements: where the members may be; of `sharded_primaries` the primaries first, then the replicas.
        losses: each zone, then each node that may hold a member.
        impossible: why the settings cannot work even while nothing is lost; empty when they can.
    """

    case: Case
    placements: Tuple[Placement, ...]
    losses: Tuple[Loss, ...]
    impossible: str = ""

    @property
    def quorum(self) -> Quorum:
        """What was proved."""
        return self.case.quorum

    @property
    def survives(self) -> bool:
        """Whether every loss is survived."""
        return not self.impossible and all(loss.survives for loss in self.losses)

    def failures(self, survives: str) -> List[Loss]:
        """The losses that must be survived and are not; `survives` is one of SURVIVES."""
        return [loss for loss in self.losses if loss.scope in SURVIVES[survives] and not loss.survives]

    def as_dict(self, survives: str = "zone") -> Dict[str, Any]:
        """The proof for results and records.

        `members` is one placement that the rules allow, the one with the most members in a zone. `claimed` is false
        when what is not survived need not be.
        """
        claimed = bool(SURVIVES[survives]) and (self.survives or bool(self.impossible or self.failures(survives)))
        members = dict.fromkeys(self.case.zones, 0)
        for placement in self.placements:
            for zone, count in placement.worst.items():
                members[zone] = members.get(zone, 0) + count
        return {
            "component": self.quorum.component,
            "name": self.quorum.name,
            "kind": self.quorum.kind,
            "members": members,
            "survives": self.survives,
            "claimed": claimed,
            "losses": [dict(vars(loss)) for loss in self.losses],
        }


def prove(
    declarations: Iterable[Declaration],
    nodes: Sequence[Node],
    zones: Sequence[str],
    groups: Mapping[str, Sequence[str]],
) -> List[Proof]:
    """The proof of every declared quorum.

    Args:
        declarations: of the components that are enabled.
        nodes: all servers.
        zones: the declared names of the zones.
        groups: members by role of node.
    """
    classes = node_classes(nodes, groups)
    every_zone = tuple(dict.fromkeys([*zones, *(item.zone for item in classes)]))
    return [
        prove_case(Case(quorum, {name: declaration.workload(name) for name in members_of(quorum)}, classes, every_zone))
        for declaration in declarations
        for quorum in declaration.quorum
    ]


def members_of(quorum: Quorum) -> Tuple[str, ...]:
    """The names of the workloads that a quorum is about."""
    return (quorum.primaries, quorum.replicas) if quorum.kind == "sharded_primaries" else quorum.members


def prove_case(case: Case) -> Proof:
    """The proof of one quorum."""
    placements = tuple(place(case.workloads[name], case.classes) for name in members_of(case.quorum))
    impossible = _impossible(case.quorum, placements)
    losses = []
    for lost in _losses(case, placements):
        survives, arithmetic = (False, impossible) if impossible else _KINDS[case.quorum.kind](case.quorum, lost)
        losses.append(Loss(lost.scope, lost.name, survives, arithmetic))
    return Proof(case, placements, tuple(losses), impossible)


@dataclass(frozen=True)
class _Lost:
    """A zone or a node that is lost, and the members that may be lost with it, at most, by placement."""

    scope: str
    name: str
    zone: str
    single: bool
    placements: Tuple[Placement, ...]
    gone: Tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.gone)

    def of(self, count: int) -> str:
        """Such as `2 in zone-a: losing zone-a`."""
        certain = all(
            placement.workload.runs != "pods"
            or (self.scope == "zone" and placement.least.get(self.zone, 0) == placement.most.get(self.zone, 0))
            for placement in self.placements
        )
        number = str(count) if certain or not count else f"at most {count}"
        if self.scope == "zone":
            return f"{number} in {self.name}: losing {self.name}"
        return f"{number} on {self.name}: losing it" if self.single else f"{number} on each of {self.name}: losing one"


def _losses(case: Case, placements: Tuple[Placement, ...]) -> Iterator[_Lost]:
    for zone in case.zones:
        gone = tuple(placement.most.get(zone, 0) for placement in placements)
        yield _Lost("zone", zone, zone, True, placements, gone)
    for item in case.classes:
        gone = tuple(
            placement.most_on_node.get(item.zone, 0) if placement.workload.nodes in item.roles else 0
            for placement in placements
        )
        if any(gone) and item.names:
            shown = ", ".join(item.names[:3]) + (f" and {len(item.names) - 3} more" if len(item.names) > 3 else "")
            yield _Lost("node", shown, item.zone, len(item.names) == 1, placements, gone)


def _impossible(quorum: Quorum, placements: Sequence[Placement]) -> str:
    wanted, placed = sum(item.wanted for item in placements), sum(item.placed for item in placements)
    if not wanted:
        roles = sorted({item.workload.nodes for item in placements if item.workload.runs != "pods"})
        return f"there are no members: {f'no node is a {roles[0]}' if roles else 'replicas is 0'}"
    if not placed:
        return f"{_count(wanted, 'member')} without a place: no node is a {placements[0].workload.nodes}"
    if quorum.kind == "synchronous_standby" and quorum.synchronous >= wanted:
        return f"a commit waits for {quorum.synchronous} standbys, and {wanted} instances have {wanted - 1}"
    if quorum.kind == "sharded_primaries" and not placements[0].placed:
        return "there are no primaries"
    if quorum.kind not in ("in_sync_replicas", "pool_min_size"):
        return ""
    if not quorum.copies:
        return "there are no copies: copies is 0"
    if quorum.minimum > quorum.copies:
        return f"{quorum.minimum} copies are needed for writing, and there are {quorum.copies}"
    room, what = _room_for_copies(quorum, placements)
    return f"{quorum.copies} copies do not fit on {_count(room, what)}" if quorum.copies > room else ""


def _room_for_copies(quorum: Quorum, placements: Sequence[Placement]) -> Tuple[int, str]:
    """How many copies there can be at least wherever the members are placed, and what one of them lies on."""
    if quorum.kind == "in_sync_replicas":
        return sum(item.placed for item in placements), "member"
    if quorum.spread == "zone":
        return max(item.fewest_zones() for item in placements), "zone"
    return max(item.fewest_hosts for item in placements), "node"


def _majority(quorum: Quorum, lost: _Lost) -> Tuple[bool, str]:
    wanted = sum(item.wanted for item in lost.placements)
    left, needed = sum(item.placed for item in lost.placements) - lost.total, wanted // 2 + 1
    text = f"{_count(wanted, 'member')}, {lost.of(lost.total)} leaves {left} of {wanted}, majority is {needed}"
    return left >= needed, text


def _at_least_one(quorum: Quorum, lost: _Lost) -> Tuple[bool, str]:
    placed = sum(item.placed for item in lost.placements)
    left = placed - lost.total
    return left >= 1, f"{_count(placed, 'member')}, {lost.of(lost.total)} leaves {left}, 1 is needed"


def _copies(quorum: Quorum, lost: _Lost) -> Tuple[bool, str]:
    """Copies of a partition or object are on different members; the worst one has the most copies in what is lost."""
    if quorum.kind == "in_sync_replicas":
        most = lost.total
        if quorum.spread == "zone" and most:
            # A partition spans as many racks as it can (KIP-36), so that the other racks have one copy each at least.
            racks = max(item.fewest_zones(lost.zone) for item in lost.placements)
            most = min(most, quorum.copies - min(racks, quorum.copies) + 1)
        needed = "must be in sync"
    elif lost.scope == "node" or quorum.spread == "zone":
        most, needed = min(lost.total, 1), "are needed (min_size)"
    else:
        most = sum(item.most_hosts(lost.zone) for item in lost.placements)
        needed = "are needed (min_size)"
    most = min(most, quorum.copies)
    left, minimum = quorum.copies - most, max(quorum.minimum, 1)
    return left >= minimum, f"{quorum.copies} copies of each, {lost.of(most)} leaves {left}, {minimum} {needed}"


def _standby(quorum: Quorum, lost: _Lost) -> Tuple[bool, str]:
    """A commit is on the primary and `synchronous` standbys; it must outlive the loss, and so must writing."""
    instances, having = sum(item.placed for item in lost.placements), quorum.synchronous + 1
    left, kept = instances - lost.total, having - lost.total
    text = f"{_count(instances, 'instance')}, {lost.of(lost.total)} leaves {left}; a commit is on {having}"
    if kept < 1:
        return False, f"{text} when it is acknowledged: all of them may be lost"
    return left >= having, f"{text}, so on {kept} of these at least, and writing needs {having}"


def _sharded(quorum: Quorum, lost: _Lost) -> Tuple[bool, str]:
    """Every shard keeps a member, and a majority of the primaries is left to elect new ones."""
    primaries, replicas = lost.placements
    each = replicas.placed // primaries.placed
    gone, needed = lost.gone[0], primaries.wanted // 2 + 1
    left = primaries.placed - gone
    text = f"{primaries.wanted} primaries, {lost.of(gone)} leaves {left} of {primaries.wanted}, majority is {needed}"
    if not _can_be_apart(quorum, primaries, replicas):
        return False, f"no placement keeps every primary and its replicas in different {quorum.apart}s"
    if gone and not each:
        return False, f"{text}; {replicas.placed} replicas: a shard has none, and is lost with its primary"
    if lost.scope == "zone" and gone and quorum.apart == "node" and _may_hold_a_shard(lost, each):
        return False, f"{text}; a shard may have all of its {each + 1} members in {lost.name}"
    return left >= needed, f"{text}; each shard keeps a member"


def _can_be_apart(quorum: Quorum, primaries: Placement, replicas: Placement) -> bool:
    """Whether some placement keeps each primary apart from its replicas.

    It does unless a zone must have more replicas than there are of primaries elsewhere.
    """
    if quorum.apart == "node":
        same = primaries.workload.nodes == replicas.workload.nodes
        return not replicas.placed or not same or sum(primaries.hosts.values()) > 1
    each = replicas.placed // primaries.placed
    return all(
        each * primaries.least.get(zone, 0) + replicas.least.get(zone, 0) <= replicas.placed
        for zone in {*primaries.hosts, *replicas.hosts}
    )


def _may_hold_a_shard(lost: _Lost, each: int) -> bool:
    """Whether a primary and all of its replicas may be in a zone, on different nodes of it."""
    primaries, replicas = lost.placements
    if lost.gone[1] < each:
        return False
    nodes = replicas.hosts.get(lost.zone, 0)
    if primaries.workload.nodes == replicas.workload.nodes:
        nodes -= 1
    return nodes >= (each if "node" in replicas.workload.spread else 1)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_KINDS: Mapping[str, Callable[[Quorum, _Lost], Tuple[bool, str]]] = {
    "majority": _majority,
    "at_least_one": _at_least_one,
    "in_sync_replicas": _copies,
    "pool_min_size": _copies,
    "synchronous_standby": _standby,
    "sharded_primaries": _sharded,
}


def findings(
    proofs: Sequence[Proof],
    declarations: Sequence[Declaration],
    zones: Sequence[str],
    environment: str,
    survives: str = "zone",
) -> List[Finding]:
    """What the proofs mean for a run.

    Args:
        proofs: from `prove`.
        declarations: those that were proved.
        zones: the declared names of the zones.
        environment: what to call the inventory.
        survives: what must be survived: `zone` (which means any node, too), `node` or `nothing`.

    Raises:
        ValueError: when `survives` is none of these.
    """
    if survives not in SURVIVES:
        raise ValueError(f"platform_survives: {survives!r} is not known: {nearest(survives, SURVIVES)}")
    refused = _OF_MORE_THAN_TWO_ZONES if len(zones) == 2 else ()
    two = [proof for proof in proofs if proof.quorum.kind in refused]
    found = [_two_zones(two, zones, environment)] if two else []
    known: Dict[Any, Optional[Tuple[Change, ...]]] = {}
    for proof in proofs:
        failures = proof.failures(survives)
        if proof.quorum.kind in refused:  # said once for all of them
            failures = [loss for loss in failures if loss.scope != "zone"]
        if proof.impossible or failures:
            found.append(_does_not_survive(proof, failures, survives, known))
    found += _without_place(proofs)
    for proof in proofs:
        found += _warnings(proof)
    for declaration in declarations:
        found += _fails_closed(declaration)
    quiet = [proof for proof in proofs if not proof.survives and not proof.impossible and not proof.failures(survives)]
    if quiet:
        found.append(_not_claimed(quiet, environment, survives))
    return found


def _two_zones(proofs: Sequence[Proof], zones: Sequence[str], environment: str) -> Finding:
    names = ", ".join(sorted(proof.quorum.title for proof in proofs))
    return Finding(
        "error",
        environment,
        "platform_zones",
        f"no quorum survives in two zones ({', '.join(zones)}): whichever holds the majority takes it down with it."
        f" This is about {names}",
        "add a third zone (a small one with the voting members is enough), or use one zone",
        rule="quorum",
    )


def _does_not_survive(
    proof: Proof, failures: Sequence[Loss], survives: str, known: Dict[Any, Optional[Tuple[Change, ...]]]
) -> Finding:
    cause = proof.impossible
    if not cause:
        cause = failures[0].arithmetic
        others = [loss.lost for loss in failures[1:] if loss.scope == "zone"]
        if any(loss.scope == "node" for loss in failures[1:]):
            others.append("single nodes")
        if others:
            cause += f" (nor is the loss of {', '.join(others)} survived)"
    shape = _shape(proof)
    if shape not in known:
        known[shape] = mend(proof, survives)
    changes = known[shape]
    if changes is None:
        step = "there are too few nodes or zones for it: add some, or claim less with platform_survives"
    else:
        step = " and ".join(change.text(proof.case) for change in changes)
    return Finding("error", proof.quorum.component, _variable(proof.quorum), cause, step, rule="quorum")


def _variable(quorum: Quorum) -> str:
    return f"quorum {quorum.name} ({quorum.kind})"


def _shape(proof: Proof) -> Any:
    """Equal for quorums that differ in names only: what mends one mends the other."""
    names = members_of(proof.quorum)
    workloads = [proof.case.workloads[name] for name in names]
    anonymous = replace(proof.quorum, component="", name="", members=(), primaries="", replicas="")
    return anonymous, tuple((item.runs, item.nodes, item.replicas, tuple(item.spread)) for item in workloads)


def _without_place(proofs: Iterable[Proof]) -> List[Finding]:
    short = {item.workload.title: item for proof in proofs for item in proof.placements if item.placed < item.wanted}
    return [_is_short(item) for item in short.values()]


def _is_short(item: Placement) -> Finding:
    workload = item.workload
    where = f"{_count(sum(item.hosts.values()), f'{workload.nodes} node')} in {_count(len(item.hosts), 'zone')}"
    return Finding(
        "error",
        workload.component,
        f"replicas of {workload.title}",
        f"{_count(item.wanted, 'pod')} with spread [{', '.join(workload.spread)}], of which {item.placed} find a place:"
        f" there is room on {where}",
        f"lower replicas to {item.placed}, or add {workload.nodes} nodes",
        rule="quorum",
    )


def _warnings(proof: Proof) -> List[Finding]:
    quorum = proof.quorum
    voting = {"majority": proof.placements, "sharded_primaries": proof.placements[:1]}.get(quorum.kind, ())
    count = sum(item.wanted for item in voting)
    found = []
    if count and count % 2 == 0:
        cause = f"{count} members survive the loss of {(count - 1) // 2}, no more than {count - 1} would"
        found.append((cause, f"use {count - 1} or {count + 1}"))
    if quorum.kind in ("in_sync_replicas", "pool_min_size") and quorum.minimum <= 1 < quorum.copies:
        cause = "while the other copies are away, a write is acknowledged by one member alone, and is lost with it"
        found.append((f"minimum is {quorum.minimum}: {cause}", "set minimum to 2, and copies to 3"))
    return [
        Finding("warning", quorum.component, _variable(quorum), cause, step, rule="quorum") for cause, step in found
    ]


def _fails_closed(declaration: Declaration) -> List[Finding]:
    proved = {name for quorum in declaration.quorum if quorum.kind == "at_least_one" for name in quorum.members}
    return [
        Finding(
            "error",
            declaration.component,
            f"workload {workload.name}",
            "the API server refuses what this webhook cannot be asked about, and no quorum says that one of its members"
            " must be left",
            f"declare in meta/platform.yml: quorum: [{{name: {workload.name}, kind: at_least_one,"
            f" members: [{workload.name}]}}]",
            rule="quorum",
        )
        for workload in declaration.workloads
        if workload.fails_closed and workload.name not in proved
    ]


def _not_claimed(proofs: Sequence[Proof], environment: str, survives: str) -> Finding:
    names = ", ".join(proof.quorum.title for proof in proofs)
    what = "a zone or a node" if survives == "nothing" else "a zone"
    return Finding(
        "info",
        environment,
        "platform_survives",
        f"it is {survives!r}, and {len(proofs)} quorum(s) do not survive the loss of {what}: {names}",
        "nothing, if that is what this environment is for; else set it to zone or node and see what to change",
        rule="quorum",
    )


# The smallest change that mends a quorum.


@dataclass(frozen=True)
class Change:
    """One change of settings or servers.

    Attributes:
        what: `set` (a value of the quorum or of a workload), `move` or `add` (a server).
        workload: whose value or servers; empty for a value of the quorum itself. Index among the quorum's members.
        key: set: `replicas`, `spread`, `copies`, `minimum`, `synchronous`, `apart`.
        value: set: what to.
        host, source: move: the server and its zone.
        target: move, add: the zone.
    """

    what: str
    workload: Optional[int] = None
    key: str = ""
    value: Any = None
    host: str = ""
    source: str = ""
    target: str = ""

    def text(self, case: Case) -> str:
        """The change for a reader."""
        workload = case.workloads[members_of(case.quorum)[self.workload]] if self.workload is not None else None
        if self.what == "set":
            owner: Any = workload or case.quorum
            before = getattr(owner, self.key)
            if isinstance(self.value, int):
                verb = "raise" if self.value > before else "lower"
                return f"{verb} {self.key} of {owner.title} from {before} to {self.value}"
            if workload:
                return f"set spread of {owner.title} to [{', '.join(self.value)}]"
            return f"set {self.key}: {self.value} for {owner.title}"
        if workload is None:
            raise ValueError("a server is changed for a workload")
        noun = f"{workload.nodes} node" if workload.runs == "pods" else f"member of {workload.title}"
        if self.what == "move":
            return f"move 1 {noun} from {self.source} ({self.host}) to {self.target}"
        return f"add 1 {noun} in {self.target}"


def apply(case: Case, changes: Iterable[Change]) -> Case:
    """The case as it is after some changes."""
    for change in changes:
        name = members_of(case.quorum)[change.workload] if change.workload is not None else ""
        if change.what == "set" and name:
            changed = replace(case.workloads[name], **{change.key: change.value})
            case = replace(case, workloads={**case.workloads, name: changed})
        elif change.what == "set":
            case = replace(case, quorum=replace(case.quorum, **{change.key: change.value}))
        else:
            case = replace(case, classes=_with_server(case, change, case.workloads[name].nodes))
        if change.target and change.target not in case.zones:
            case = replace(case, zones=(*case.zones, change.target))
    return case


def _with_server(case: Case, change: Change, role: str) -> Tuple[NodeClass, ...]:
    if change.what == "add":
        return (
            *case.classes,
            NodeClass(change.target, frozenset({role, "node"}), (f"new {role} {len(case.classes)}",)),
        )
    kept, roles = [], frozenset({role})
    for item in case.classes:
        if item.zone == change.source and change.host in item.names:
            roles = item.roles
            item = replace(item, names=tuple(name for name in item.names if name != change.host))
        kept.append(item)
    return (*kept, NodeClass(change.target, roles, (change.host,)))


def mend(proof: Proof, survives: str) -> Optional[Tuple[Change, ...]]:
    """The smallest change after which all that must be survived is survived; None when no small one does.

    A step of a number, a further way of spreading and a server that is moved or added count the same. Of changes of the
    same size settings come before servers, what makes the quorum safer before what asks less of it, and moving before
    adding.

    Args:
        proof: one that fails.
        survives: one of SURVIVES.
    """
    by_size: Dict[int, List[Tuple[Change, ...]]] = {0: [()]}
    for count in (1, 2, 3):
        for some in combinations(list(_options(proof.case)), count):
            for chosen in product(*some):
                size = sum(_distance(proof.case, change) for change in chosen)
                by_size.setdefault(size, []).append(chosen)
    for size in range(1, _MOST_STEPS + 1):
        for servers in range(size + 1):
            if servers in (0, size) or size <= _MOST_MIXED:
                for chosen in by_size.get(size - servers, ()):
                    for moved in _servers(apply(proof.case, chosen), servers):
                        after = prove_case(apply(proof.case, (*chosen, *moved)))
                        if _is_mended(after, survives):
                            return (*chosen, *moved)
    return None


def _is_mended(proof: Proof, survives: str) -> bool:
    placed = all(item.placed == item.wanted for item in proof.placements)
    return placed and not proof.impossible and not proof.failures(survives)


def _options(case: Case) -> Iterator[Sequence[Change]]:
    """What may be set, each with its values, the nearest first; the safest kind of change first."""
    quorum = case.quorum
    pods = [
        (index, case.workloads[name])
        for index, name in enumerate(members_of(quorum))
        if case.workloads[name].runs == "pods"
    ]
    for index, workload in pods:
        spread = tuple(workload.spread)
        fuller = [(*spread, item) for item in ("zone", "node") if item not in spread]
        if not spread:
            fuller.append(("zone", "node"))
        yield [Change("set", index, "spread", item) for item in fuller]
    copied = quorum.kind in ("in_sync_replicas", "pool_min_size")
    if copied and quorum.spread != "zone":
        yield [Change("set", None, "spread", "zone")]
    if quorum.kind == "sharded_primaries" and quorum.apart != "zone":
        yield [Change("set", None, "apart", "zone")]
    for index, workload in pods:
        count = workload.replicas or 0
        yield [Change("set", index, "replicas", count + step) for step in range(1, _MOST_STEPS + 1)]
    if copied:
        more = [quorum.copies + step for step in range(1, _MOST_MIXED + 1)]
        fewer = [quorum.copies - step for step in range(1, _MOST_MIXED + 1) if quorum.copies > step]
        yield [Change("set", None, "copies", value) for value in (*more, *fewer)]
        # Not below 2: it would survive by acknowledging what one member alone has.
        lower = [quorum.minimum - step for step in range(1, _MOST_MIXED + 1) if quorum.minimum - step >= 2]
        yield [Change("set", None, "minimum", value) for value in lower]
    if quorum.kind == "synchronous_standby":
        steps = [step for near in range(1, _MOST_MIXED + 1) for step in (near, -near)]
        values = [quorum.synchronous + step for step in steps if quorum.synchronous + step > 0]
        yield [Change("set", None, "synchronous", value) for value in values]


def _distance(case: Case, change: Change) -> int:
    """The size of a change of a setting."""
    owner: Any = case.quorum
    if change.workload is not None:
        owner = case.workloads[members_of(case.quorum)[change.workload]]
    before = getattr(owner, change.key)
    if isinstance(change.value, int):
        return abs(change.value - before)
    return len(change.value) - len(before) if change.workload is not None else 1


def _servers(case: Case, count: int) -> Iterator[Tuple[Change, ...]]:
    """Ways to move or add that many servers, to the emptiest zones and from the fullest; the fewest additions first."""
    if not count:
        yield ()
        return
    zones = (*case.zones, *_NEW_ZONES[len(case.zones) - 1 :]) if len(case.zones) < 3 else case.zones
    roles: Dict[str, int] = {}
    for index, name in enumerate(members_of(case.quorum)):
        roles.setdefault(case.workloads[name].nodes, index)
    for role, index in roles.items():
        for added in range(count + 1):
            changes = _balanced(case, zones, role, index, added, count - added)
            if changes:
                yield changes


def _balanced(
    case: Case, zones: Sequence[str], role: str, index: int, added: int, moved: int
) -> Optional[Tuple[Change, ...]]:
    hosts: Dict[str, List[str]] = {zone: [] for zone in zones}
    for item in case.classes:
        if role in item.roles:
            hosts[item.zone].extend(item.names)
    changes = []
    for _step in range(added):
        target = min(zones, key=lambda zone: len(hosts[zone]))
        hosts[target].append("")
        changes.append(Change("add", index, target=target))
    for _step in range(moved):
        source, target = max(zones, key=lambda z: len(hosts[z])), min(zones, key=lambda z: len(hosts[z]))
        if len(hosts[source]) - len(hosts[target]) < 2 or not hosts[source][-1]:
            return None
        host = hosts[source].pop()
        hosts[target].insert(0, host)
        changes.append(Change("move", index, host=host, source=source, target=target))
    return tuple(changes)
