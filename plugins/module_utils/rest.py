# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler of things behind an HTTP API: Vault's, Harbor's, Elasticsearch's.

A `Kind` is data, and small pure functions where data don't do. `Reconciler` lists what is there, matches it by key with
what is wanted, and makes one step of the plan a thing that differs: kinds in the order of what they need, deletions
backwards at the end. Only fields that are declared are compared and written; the rest is the server's.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.banking.platform.plugins.module_utils.http_session import Answer, Item, NotFound, Result
from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure, Plan, PlanFailed, Step

Key = tuple[str, ...]
Thing = dict[str, Any]

_MOST_NAMED = 10
# Longer texts are in the diff, not in the plan.
_LONGEST_VALUE = 400
# A longer structure is shown over several lines of a difference.
_LONGEST_LINE = 120
_SHORTEST_SECRET = 6


class Api(Protocol):
    """What the engine needs of a client: `Session` is one, and `Vault`."""

    def request(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Answer:
        """Send one request."""

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result | Failure]:
        """Do the same with many items, a few at a time."""


def _as_is(thing: Thing) -> Thing:
    return thing


def _listed(body: Any) -> Iterable[Thing]:
    """The things in an answer that is a list of them."""
    return body or []


def _body(wanted: Thing, _actual: Thing | None) -> Any:
    return wanted


def _managed(_key: Key, _actual: Thing) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """A kind of things, as the API has them.

    Paths are templates: `{name}` is a field of the key, or of what the server says of the thing (an id), quoted.

    Attributes:
        name: what the plan calls it.
        item: path of one thing.
        key: the fields by which a thing is known, in the declaration and in what is there.
        collection: path of the list. Its fields are the scope: for each that is wanted, it is read once. Empty for what
            cannot be listed: then each thing is read by itself, and nothing is pruned.
        query: parameters of the list.
        page_size: how many things a page of the list has, where it comes in pages (`page`, `page_size`); 0 where it
            comes whole.
        things: takes the answer of a list apart: one mapping a thing, with the fields of the key that the scope lacks.
        whole: whether a list tells all of a thing; otherwise each wanted one is read.
        collect: in place of all that: gives what is there of a scope, by key.
        actual: brings what the server says into the form of the declaration.
        wanted: brings the declaration into the form that is compared and sent.
        create, update, delete: method and path; an empty path of update is that of the item. An empty method of update
            or delete says that there is no such thing.
        create_body, update_body: make the body of what is wanted and what is there.
        make, change, remove: in place of a request: called with the client, the key, what is wanted, what is there.
        create_only: fields that only count when the thing is made.
        immutable: fields that cannot be changed: a difference is refused.
        unread: fields that the server never gives back: written with the rest, and by themselves only on demand.
        resend: whether a change has to say again what is unread, since it replaces the thing as a whole. Elsewhere a
            change of something else leaves it: it may have been rotated since.
        secret: fields that are masked. What is unread is, too.
        ordered: lists whose order counts.
        form: brings the value of a field, declared or there, into one form that is shown and compared exactly. Where
            there is none, `same` decides, for which an empty thing is as if it weren't there.
        parent: the kind that a thing lies in, and the fields of the key that are the parent's key.
        after: other kinds that come first.
        managed: whether a thing that is not wanted may be pruned.
        protected: whether it takes other data with it when it goes: pruned on a demand of its own only.
        check: gives what is wrong with a declared thing, before anything is sent.
        lost: what is lost when a thing is made anew, for the refusal.
    """

    name: str
    item: str = ""
    key: tuple[str, ...] = ("name",)
    collection: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    page_size: int = 0
    things: Callable[[Any], Iterable[Thing]] = _listed
    whole: bool = True
    collect: Callable[[Api, Thing], Mapping[Key, Thing]] | None = None
    actual: Callable[[Thing], Thing] = _as_is
    wanted: Callable[[Thing], Thing] = _as_is
    create: tuple[str, str] = ("POST", "")
    update: tuple[str, str] = ("PUT", "")
    delete: tuple[str, str] = ("DELETE", "")
    create_body: Callable[[Thing, Thing | None], Any] = _body
    update_body: Callable[[Thing, Thing | None], Any] = _body
    make: Callable[[Api, Thing, Thing | None], None] | None = None
    change: Callable[[Api, Thing, Thing | None], None] | None = None
    remove: Callable[[Api, Thing, Thing | None], None] | None = None
    create_only: frozenset[str] = frozenset()
    immutable: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    resend: bool = False
    secret: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    form: Callable[[str, Any], Any] | None = None
    parent: tuple[str, tuple[str, ...]] | None = None
    after: tuple[str, ...] = ()
    managed: Callable[[Key, Thing], bool] = _managed
    protected: bool = False
    check: Callable[[Thing], Iterable[str]] = lambda thing: ()
    lost: str = "what is in it"

    @property
    def scope(self) -> tuple[str, ...]:
        """The fields of the key that tell one list from another."""
        named = [part[1] for part in string.Formatter().parse(self.collection) if part[1]]
        return tuple(name for name in self.key if name in named)

    @property
    def hidden(self) -> frozenset[str]:
        """The fields that are masked."""
        return self.secret | self.unread

    def differs(self, name: str, wanted: Any, actual: Any) -> bool:
        """Whether a field has to be changed."""
        if self.form:
            return bool(self.form(name, wanted) != self.form(name, actual))
        return not same(wanted, actual, name in self.ordered)

    def key_of(self, thing: Mapping[str, Any]) -> Key:
        """The key of a thing, declared or there."""
        return tuple(str(thing[name]) for name in self.key)

    def path(self, template: str, thing: Mapping[str, Any]) -> str:
        """Fill in a path."""
        return template.format_map({name: quote(str(value), safe="/") for name, value in thing.items()})


@dataclass
class Wish:
    """What is wanted of one kind.

    Attributes:
        kind: the kind.
        things: as they are declared: fields of the key and others; `None` is as if a field weren't there.
        scopes: where else to prune: scopes in which nothing is wanted.
    """

    kind: Kind
    things: Sequence[Mapping[str, Any]] = ()
    scopes: Sequence[Mapping[str, Any]] = ()


# Checking what is declared, and taking parts of it


def only(thing: Thing, known: Iterable[str]) -> Iterator[str]:
    """Name the fields that there are not."""
    unknown = sorted(set(thing) - {*known, "recreate"})
    if unknown:
        yield f"there is no {', '.join(unknown)} (there are {', '.join(known)})"


def one_of(thing: Thing, name: str, known: Iterable[str]) -> Iterator[str]:
    """Say that a field has a value that there is not."""
    if thing.get(name) is not None and str(thing[name]) not in known:
        yield f"{name} is {thing[name]!r}, not one of {', '.join(known)}"


def pick(source: Mapping[str, Any], names: Iterable[str]) -> Thing:
    """Some fields of a thing, as far as they are there."""
    return {name: source[name] for name in names if source.get(name) is not None}


# Comparing


_GO_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> float | None:
    """A duration in seconds: a number, "90", "768h", "1h30m", "30d"; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text):
        return float(text)
    if not _GO_DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h|d)", text))


def same(wanted: Any, actual: Any, ordered: bool = False) -> bool:
    """Whether two values mean the same, in whichever of the usual ways the server writes it.

    Nothing is nothing ("", 0, false, an empty list, null); a duration is its seconds; a list may come with commas; the
    order of a list counts only where it is said; blanks around a text don't count.
    """
    if wanted == actual:
        return True
    if not wanted and not actual:
        return True
    if isinstance(wanted, Mapping) and isinstance(actual, Mapping):
        return all(same(wanted.get(key), actual.get(key), ordered) for key in {*wanted, *actual})
    if isinstance(wanted, (list, tuple)) or isinstance(actual, (list, tuple)):
        one, other = _as_list(wanted), _as_list(actual)
        if len(one) != len(other):
            return False
        if not ordered:
            one, other = sorted(one, key=_sortable), sorted(other, key=_sortable)
        return all(same(left, right, ordered) for left, right in zip(one, other, strict=True))
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return str(wanted).lower() == str(actual).lower()
    one_time, other_time = seconds(wanted), seconds(actual)
    if one_time is not None and other_time is not None:
        return one_time == other_time
    return str(wanted).strip() == str(actual).strip()


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [] if value is None else [value]


def _sortable(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


# Reading


def pages(api: Api, path: str, query: Mapping[str, Any], size: int) -> Iterator[Any]:
    """The answers of a list, page by page: until X-Total-Count things came, or without it until a page isn't full."""
    number = seen = 0
    while True:
        number += 1
        answer = api.request("GET", path, query={**query, "page": number, "page_size": size})
        yield answer.body
        count = len(answer.body or [])
        seen += count
        total = answer.headers.get("x-total-count", "")
        if not count or (seen >= int(total) if total.isdigit() else count < size):
            return


@dataclass(eq=False)
class Entry:
    """One thing of the plan: what is wanted of it, what is there, and whether it is made anew."""

    kind: Kind
    key: Key
    step: Step
    wanted: Thing | None = None
    actual: Thing | None = None
    anew: bool = False


class Reconciler:
    """One run.

    Args:
        api: the client; None in check mode when there is no server yet.
        wishes: what is wanted, one a kind.
        prune: whether to delete what is there and not wanted, of the kinds and scopes of the wishes.
        prune_protected: that of protected kinds, too.
        update_secrets: whether to write what the server never gives back although the thing is there.
        with_diff: whether to make differences.
        deferred: with no server: what has to come first.

    Attributes:
        plan: one step a thing that differs.
        counts: how many things are created, updated, deleted, or left as they are.
        secrets: values that must not be seen, for masking in errors.

    Raises:
        Failure: a thing is declared twice, or is wrong in itself.
    """

    def __init__(
        self,
        api: Api | None,
        wishes: Sequence[Wish],
        *,
        prune: bool = False,
        prune_protected: bool = False,
        update_secrets: bool = False,
        with_diff: bool = False,
        deferred: str = "",
    ) -> None:
        self._given, self._prune, self._prune_protected = api, prune, prune_protected
        self._update_secrets, self._with_diff, self._deferred = update_secrets, with_diff, deferred
        self.plan = Plan()
        self.counts = {"create": 0, "update": 0, "delete": 0, "none": 0}
        self.secrets: set[str] = set()
        self._wishes = _in_order(wishes)
        # Kind and key of what is not there yet, or is made anew: nothing can be in it.
        self._empty: set[tuple[str, Key]] = set()
        self._deletions: list[Entry] = []
        self._entries: list[Entry] = []
        self._wanted = {wish.kind.name: self._checked(wish) for wish in self._wishes}

    @property
    def _api(self) -> Api:
        if self._given is None:
            raise Failure("there is no server", "name one by url")
        return self._given

    def _checked(self, wish: Wish) -> dict[Key, Thing]:
        kind, found, troubles = wish.kind, dict[Key, Thing](), list[str]()
        for declared in wish.things:
            thing = {name: value for name, value in declared.items() if value is not None}
            missing = [name for name in kind.key if thing.get(name) in (None, "")]
            if missing:
                troubles.append(f"a {kind.name} has no {' and no '.join(missing)}")
                continue
            key = kind.key_of(thing)
            self._note_secrets(kind, thing)
            if key in found:
                troubles.append(f"{kind.name} {_named(key)} is declared twice")
                continue
            troubles += [f"{kind.name} {_named(key)}: {trouble}" for trouble in kind.check(thing)]
            found[key] = thing
        if troubles:
            raise Failure(_some(troubles), "correct the declaration; nothing was changed")
        return found

    def _note_secrets(self, kind: Kind, thing: Thing) -> None:
        for name in kind.hidden & thing.keys():
            self.secrets.update(text for text in _texts(thing[name]) if len(text) >= _SHORTEST_SECRET)

    # The plan

    def make_plan(self) -> Plan:
        """Read what is there and plan.

        Raises:
            Failure: something cannot be read, or cannot be changed into what is wanted.
        """
        refused: list[str] = []
        for wish in self._wishes:
            kind, wanted = wish.kind, self._wanted[wish.kind.name]
            there = self._there(wish, wanted) if self._given is not None else {}
            for key, thing in wanted.items():
                entry = Entry(kind, key, Step(kind.name, _named(key)), thing, there.get(key))
                refused += self._settle(entry)
                self.counts[entry.step.action] += 1
                if entry.step.changes:
                    self.plan.add(entry.step)
                    self._entries.append(entry)
            if self._prune and (self._prune_protected or not kind.protected) and kind.delete[0]:
                for key, actual in there.items():
                    if key not in wanted and kind.managed(key, actual):
                        self._unwanted(Entry(kind, key, Step(kind.name, _named(key), "delete"), None, actual))
        if refused:
            raise Failure(_some(refused), "nothing was changed")
        for entry in self.deletions():
            self.plan.add(entry.step)
        return self.plan

    def changing(self) -> list[Entry]:
        """What is created or updated."""
        return list(self._entries)

    def deletions(self) -> list[Entry]:
        """What is deleted, in the order in which that is done."""
        return self._deletions[::-1]

    def leave(self, entry: Entry) -> None:
        """Take a deletion out of the plan: the thing is still in use."""
        self._deletions.remove(entry)
        self.plan.steps.remove(entry.step)
        self.counts["delete"] -= 1

    def is_new(self, entry: Entry) -> bool:
        """Whether what a thing lies in is not there yet."""
        return self._in_nothing(entry.kind, entry.key)

    def _there(self, wish: Wish, wanted: Mapping[Key, Thing]) -> dict[Key, Thing]:
        """What is there, by key, as far as it can be wanted or pruned."""
        kind = wish.kind
        if not kind.collection and kind.collect is None:
            todo = [thing for key, thing in wanted.items() if not self._in_nothing(kind, key)]
            return self._read(kind, todo)
        scopes: dict[Key, Thing] = {}
        for source in [*wanted.values(), *wish.scopes]:
            scope = {name: source[name] for name in kind.scope or self._parent_fields(kind) if name in source}
            scopes.setdefault(tuple(map(str, scope.values())), scope)
        live = [scope for scope in scopes.values() if not self._scope_in_nothing(kind, scope)]
        found: dict[Key, Thing] = {}
        for listed in _raised(self._api.each(lambda scope: self._list(kind, scope), live)):
            found.update(listed)
        if kind.whole or kind.collect:
            return found
        read = self._read(kind, [found[key] for key in wanted if key in found])
        return {**found, **read}

    def _parent_fields(self, kind: Kind) -> tuple[str, ...]:
        return kind.parent[1] if kind.parent else ()

    def _scope_in_nothing(self, kind: Kind, scope: Mapping[str, Any]) -> bool:
        if not kind.parent or not all(name in scope for name in kind.parent[1]):
            return False
        return (kind.parent[0], tuple(str(scope[name]) for name in kind.parent[1])) in self._empty

    def _in_nothing(self, kind: Kind, key: Key) -> bool:
        return self._scope_in_nothing(kind, dict(zip(kind.key, key, strict=True)))

    def _list(self, kind: Kind, scope: Thing) -> dict[Key, Thing]:
        if kind.collect:
            return {key: dict(thing) for key, thing in kind.collect(self._api, scope).items()}
        path = kind.path(kind.collection, scope)
        try:
            if kind.page_size:
                bodies = list(pages(self._api, path, kind.query, kind.page_size))
            else:
                bodies = [self._api.request("GET", path, query=kind.query).body]
        except NotFound:
            return {}
        found = [self._known(kind, {**scope, **thing}) for body in bodies for thing in kind.things(body)]
        return {kind.key_of(thing): thing for thing in found}

    def _read(self, kind: Kind, things: Sequence[Thing]) -> dict[Key, Thing]:
        def one(thing: Thing) -> Thing | None:
            try:
                body = self._api.request("GET", kind.path(kind.item, thing)).body
            except NotFound:
                return None
            said = {name: thing[name] for name in kind.key}
            return self._known(kind, {**said, **(body or {}), **said}) if body else None

        found = _raised(self._api.each(one, things))
        return {kind.key_of(thing): thing for thing in found if thing is not None}

    @staticmethod
    def _known(kind: Kind, said: Thing) -> Thing:
        return {**{name: said[name] for name in kind.key if name in said}, **kind.actual(said)}

    def _settle(self, entry: Entry) -> list[str]:
        """Find out what is to be done with a thing; gives what is refused."""
        kind, step, actual = entry.kind, entry.step, entry.actual
        declared = dict(entry.wanted or {})
        anew = bool(declared.pop("recreate", False))
        wanted = entry.wanted = kind.wanted(declared)
        compared = {name: value for name, value in wanted.items() if name not in kind.key}
        if actual is None:
            step.action, step.deferred = "create", self._deferred
            step.after = self._shown(kind, compared)
            step.apply = lambda: self._create(entry)
            self._empty.add((kind.name, entry.key))
            self._add_diff(entry, {}, compared)
            return []
        known = {name: value for name, value in compared.items() if name not in kind.unread | kind.create_only}
        differing = [name for name in known if kind.differs(name, known[name], actual.get(name))]
        fixed = [name for name in differing if name in kind.immutable]
        if fixed and not anew:
            now, then = (
                {name: self._shown_value(kind, name, source.get(name)) for name in fixed} for source in (actual, known)
            )
            change = f"{', '.join(fixed)} cannot be changed from {_words(now)} to {_words(then)}"
            way = f"it would have to be made anew, and {kind.lost} would be lost (recreate: true asks for that)"
            return [f"{kind.name} {step.target}: {change}: {way}"]
        secrets = [name for name in compared if name in kind.unread] if self._update_secrets else []
        if not differing and not secrets:
            return []
        if differing and not fixed and not kind.update[0]:
            return [f"{kind.name} {step.target}: {', '.join(differing)} differ, and the server cannot change them"]
        step.action = "update"
        if fixed:
            entry.anew = True
            step.note = f"made anew, {kind.lost} is lost"
            self._empty.add((kind.name, entry.key))
        elif not differing:
            step.note = "written since it cannot be read"
        names = [*differing, *secrets]
        step.before = self._shown(kind, {name: actual.get(name) for name in names}, unread="")
        step.after = self._shown(kind, {name: compared[name] for name in names})
        step.apply = lambda: self._update(entry)
        self._add_diff(entry, {name: actual.get(name) for name in names}, {name: compared[name] for name in names})
        return []

    def _unwanted(self, entry: Entry) -> None:
        step, kind, actual = entry.step, entry.kind, entry.actual or {}
        step.note = "not declared"
        shown = {name: value for name, value in actual.items() if name not in kind.key}
        step.before = self._shown(kind, shown)
        step.apply = lambda: self._delete(entry)
        self._add_diff(entry, shown, {})
        self.counts["delete"] += 1
        self._deletions.append(entry)

    # What is shown

    def _shown_value(self, kind: Kind, name: str, value: Any) -> Any:
        if name in kind.hidden and value not in (None, ""):
            return MASK
        return kind.form(name, value) if kind.form and value is not None else value

    def _shown(self, kind: Kind, fields: Mapping[str, Any], unread: str = MASK) -> Thing:
        """Fields for the plan: secrets masked, long texts cut."""
        shown = {}
        for name, value in fields.items():
            value = self._shown_value(kind, name, value)
            if name in kind.unread and not unread:
                value = None
            if isinstance(value, str) and len(value) > _LONGEST_VALUE:
                value = f"{value[:_LONGEST_VALUE]} ... ({len(value)} characters)"
            shown[name] = value
        return shown

    def _add_diff(self, entry: Entry, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        if not self._with_diff:
            return
        header = f"{entry.kind.name} {entry.step.target}"
        entry.step.diff = {
            "before_header": header,
            "after_header": header,
            "before": self._text(entry.kind, before),
            "after": self._text(entry.kind, after),
        }

    def _text(self, kind: Kind, fields: Mapping[str, Any]) -> str:
        lines: list[str] = []
        for name in sorted(fields):
            value = self._shown_value(kind, name, fields[name])
            if isinstance(value, str) and "\n" in value:
                lines += [f"{name}:", *(f"  {line}" for line in value.rstrip("\n").split("\n"))]
            elif value is not None:
                line = json.dumps(value, sort_keys=True, default=str)
                if len(line) > _LONGEST_LINE and not isinstance(value, str):
                    line = json.dumps(value, sort_keys=True, default=str, indent=2)
                lines += f"{name}: {line}".split("\n")
        return "".join(f"{line}\n" for line in lines)

    # Doing it

    def apply(self) -> None:
        """Do what is planned, and stop at the first failure.

        Raises:
            PlanFailed: with what was done and what was not; a second run does the rest.
        """
        try:
            self.plan.apply()
        except PlanFailed as failure:
            done, left = (
                [f"{step.kind} {step.target}" for step in self.plan.steps if step.state == state]
                for state in ("done", "not done")
            )
            told = [f"done: {_some(done) or 'nothing'}"] + ([f"not done: {_some(left)}"] if left else [])
            cause = "; ".join([failure.cause, *told])
            raise PlanFailed(
                cause, failure.next_step or "run again when the cause is mended: it does the rest"
            ) from failure

    def _create(self, entry: Entry) -> None:
        kind, wanted = entry.kind, entry.wanted or {}
        if kind.make:
            kind.make(self._api, wanted, None)
            return
        method, path = kind.create
        body = kind.create_body(wanted, None)
        self._api.request(method, kind.path(path or kind.item, wanted), body)

    def _update(self, entry: Entry) -> None:
        kind, wanted, actual = entry.kind, entry.wanted or {}, entry.actual or {}
        if entry.anew:
            self._delete(entry)
            self._create(entry)
        elif kind.change:
            kind.change(self._api, wanted, actual)
        else:
            method, path = kind.update
            known = {name: value for name, value in wanted.items() if name not in kind.create_only}
            if not self._update_secrets and not kind.resend:
                known = {name: value for name, value in known.items() if name not in kind.unread}
            body = kind.update_body(known, actual)
            self._api.request(method, kind.path(path or kind.item, {**actual, **wanted}), body)

    def _delete(self, entry: Entry) -> None:
        kind, actual = entry.kind, entry.actual or {}
        if kind.remove:
            kind.remove(self._api, entry.wanted or {}, actual)
            return
        method, path = kind.delete
        try:
            self._api.request(method, kind.path(path or kind.item, actual))
        except NotFound:
            pass  # it went with something else, or somebody was faster

    def result(self) -> dict[str, Any]:
        """The run as a module's result."""
        return {**self.plan.result(self._with_diff), "counts": self.counts}


def _in_order(wishes: Sequence[Wish]) -> list[Wish]:
    by_name = {wish.kind.name: wish for wish in wishes}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for wish in wishes:
        needs = [*wish.kind.after, *([wish.kind.parent[0]] if wish.kind.parent else [])]
        sorter.add(wish.kind.name, *(name for name in needs if name in by_name))
    return [by_name[name] for name in sorter.static_order()]


def _raised(found: Iterable[Result | Failure]) -> list[Result]:
    """The results, when none of them is a failure."""
    results: list[Result] = []
    for one in found:
        if isinstance(one, Failure):
            raise one
        results.append(one)
    return results


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _named(key: Key) -> str:
    return "/".join(part.strip("/") for part in key)


def _words(fields: Mapping[str, Any]) -> str:
    values = list(fields.values())
    return json.dumps(values[0] if len(values) == 1 else fields, default=str)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return "; ".join(names[:_MOST_NAMED]) + more
