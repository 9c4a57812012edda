# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of etcd that come and go, decided by the arithmetic of majorities before anything is changed.

A cluster of n members agrees as long as more than half of them, n // 2 + 1, are healthy. To take one out, the members
of now have to agree on it, and those that stay have to be able to agree without it.
https://etcd.io/docs/v3.5/op-guide/runtime-configuration/
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

from ansible_collections.banking.platform.plugins.module_utils.node.encryption import Places, etcdctl
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

STATES = ("absent", "learner", "voter")
_POLL = 2.0
_SETTLED = 60.0
_NOT_YET = "in sync with leader"
_UNSETTLED = "unhealthy cluster"


@dataclass(frozen=True)
class Member:
    """A member as the cluster knows it.

    Attributes:
        id: as etcdctl takes it.
        name: empty until it has started for the first time.
        peers: URLs by which the others reach it.
        learner: whether it has no vote yet.
        healthy: whether it answers, and with it a majority.
    """

    id: str
    name: str
    peers: Sequence[str]
    learner: bool
    healthy: bool


def majority(members: int) -> int:
    """How many of these have to agree."""
    return members // 2 + 1


def refuse_removal(going: Member, members: Sequence[Member]) -> str:
    """See that etcd goes on without a member.

    Returns:
        What it survives then, for the reader.

    Raises:
        Failure: with the arithmetic, when it would not go on.
    """
    if going.learner:
        return ""
    voters = [member for member in members if not member.learner]
    staying = [member for member in voters if member.id != going.id]
    if not staying:
        raise Failure(f"{going.name} is the only member of etcd: without it nothing is left", "use playbooks/reset.yml")
    healthy = [member.name for member in staying if member.healthy]
    away = [member.name or member.id for member in staying if not member.healthy]
    agreeing = len(healthy) + going.healthy
    told = f"healthy are {', '.join(healthy) or 'none'}" + (f", not {', '.join(away)}" if away else "")
    if agreeing < majority(len(voters)):
        raise Failure(
            f"{majority(len(voters))} of etcd's {len(voters)} members have to agree on taking out {going.name}, and "
            f"{agreeing} are healthy ({told})",
            "bring a member back; if none can be, the way is playbooks/restore.yml",
        )
    if len(healthy) < majority(len(staying)):
        raise Failure(
            f"without {going.name}, {majority(len(staying))} of etcd's {len(staying)} members have to be healthy, and "
            f"{len(healthy)} are ({told})",
            f"bring {', '.join(away)} back first",
        )
    spare = len(staying) - majority(len(staying))
    return f"{len(staying)} members are left, of which {spare or 'none'} may fail"


class Members:
    """One member that comes or goes, through another one's etcdctl.

    Args:
        system: the node, a member itself.
        name: of the member.
        peer: URL by which the others are to reach it.
        check: whether nothing may be changed.
        timeout: seconds that a learner has to catch up.
    """

    def __init__(
        self,
        system: System,
        name: str,
        peer: str,
        check: bool = False,
        timeout: float = 600,
        places: Optional[Places] = None,
    ) -> None:
        self.system, self.name, self.peer, self.check = system, name, peer, check
        self.timeout, self.places = timeout, places or Places()
        self.plan = Plan()
        self.initial_cluster = ""
        self.clock: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep

    def members(self) -> List[Member]:
        """All members, each with whether it is healthy.

        Raises:
            Failure: when etcd does not answer.
        """
        listed = json.loads(self._etcdctl("member", "list", "--write-out", "json"))["members"]
        urls = [url for member in listed for url in (member.get("clientURLs") or [])[:1]]
        healthy = {url for url in urls if self._healthy(url)}
        return [
            Member(
                id=format(member["ID"], "x"),
                name=member.get("name", ""),
                peers=tuple(member.get("peerURLs") or ()),
                learner=bool(member.get("isLearner")),
                healthy=bool(healthy.intersection(member.get("clientURLs") or ())),
            )
            for member in listed
        ]

    def make(self, state: str) -> None:
        """Bring the member into a state, or plan to in check mode.

        Raises:
            Failure: when etcd would not go on, or a learner does not catch up.
        """
        members = self.members()
        found = next((each for each in members if self.name == each.name or self.peer in each.peers), None)
        step = self.plan.add(Step("etcd member", self.name))
        if state == "absent":
            self._plan_absent(step, found, members)
        elif found is None:
            self._plan_learner(step, members)
        elif state == "voter" and found.learner:
            step.action, step.before, step.after = "update", {"learner": True}, {"learner": False}
            step.apply = lambda: self._promote(found)
        if not self.check:
            self.plan.apply()
            self.initial_cluster = self._initial_cluster()

    def _plan_absent(self, step: Step, found: Optional[Member], members: Sequence[Member]) -> None:
        if found is None:
            return
        step.note = refuse_removal(found, members)
        step.action, step.before = "delete", {"members": [member.name or member.id for member in members]}
        step.apply = lambda: self._change("remove", found.id)

    def _plan_learner(self, step: Step, members: Sequence[Member]) -> None:
        away = [member.name or member.id for member in members if not member.healthy]
        if away:
            raise Failure(
                f"etcd is not whole, {', '.join(away)} does not answer: no member is added",
                "bring it back, or take it out with playbooks/remove_node.yml, first",
            )
        step.action, step.after = "create", {"learner": True, "peer": self.peer}
        step.apply = lambda: self._change("add", self.name, "--learner", "--peer-urls", self.peer)

    def _change(self, *arguments: str) -> None:
        """Change the members. etcd takes no change until all of them have known each other for some seconds."""
        deadline = self.clock() + min(self.timeout, _SETTLED)
        while True:
            done = self.system.run([*etcdctl(self.places), "member", *arguments])
            if done.ok:
                return
            if _UNSETTLED not in done.err or self.clock() > deadline:
                raise Failure(f"etcd: {done.last_lines(1)}", "see etcdctl endpoint health --cluster, and run again")
            self.sleep(_POLL)

    def _promote(self, member: Member) -> None:
        """Give it a vote as soon as it has what the leader has."""
        deadline = self.clock() + self.timeout
        while True:
            done = self.system.run([*etcdctl(self.places), "member", "promote", member.id])
            if done.ok:
                return
            if _NOT_YET not in done.err or self.clock() > deadline:
                raise Failure(
                    f"the member {self.name} gets no vote: {done.last_lines(1)}",
                    f"see journalctl -u etcd on {self.name}, and run again",
                )
            self.sleep(_POLL)

    def _initial_cluster(self) -> str:
        """What a member that joins has to know of all of them; it has no name yet itself."""
        return ",".join(
            f"{member.name or self.name}={peer}"
            for member in self.members()
            if member.name or self.peer in member.peers
            for peer in member.peers
        )

    def _healthy(self, url: str) -> bool:
        # Options that come later win.
        argv = [*etcdctl(self.places), f"--endpoints={url}", "endpoint", "health", "--command-timeout=5s"]
        return self.system.run(argv).ok

    def _etcdctl(self, *arguments: str) -> str:
        done = self.system.run([*etcdctl(self.places), *arguments])
        if not done.ok:
            raise Failure(f"etcd: {done.last_lines()}", "bring etcd back to a majority first")
        return done.out
