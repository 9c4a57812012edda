# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before a node comes, goes or gets another Kubernetes; and what is left to be done by hand.

Pure functions of the inventory and of what nodes say of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Members of these have data or a vote; each has its own way of taking one out, which has to come first.
_KEEPS_QUORUM = ("vault",)
_NODES = "see the names in hosts.yml"


@dataclass(frozen=True)
class Removal:
    """A node that may go.

    Attributes:
        control_plane, etcd: what it is.
        afterwards: what is to be done then, a sentence each.
    """

    control_plane: bool
    etcd: bool
    afterwards: list[str]


def removal(
    node: str,
    roles: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    reachable: bool,
    lost: bool,
) -> Removal:
    """Whether the inventory lets a node go.

    Args:
        node: its name.
        roles: hosts by role: node, control_plane, worker, etcd and others (`platform_groups` with their hosts).
        groups: hosts by group of the inventory.
        reachable: whether Ansible reaches it.
        lost: whether somebody said that it will never come back.

    Raises:
        Failure: naming what stands in the way.
    """
    if node not in roles["node"]:
        raise Failure(
            f"{node} is not in the inventory, nothing was changed",
            f"{nearest(node, roles['node'])} A node is taken out of the cluster first and out of the inventory then",
        )
    if reachable and lost:
        raise Failure(
            f"{node} answers, so it is not lost: it is drained and reset as others are",
            "run again without node_is_lost",
        )
    if not reachable and not lost:
        raise Failure(
            f"{node} does not answer, nothing was changed: it can be neither drained nor reset",
            "bring it back; or say that it never comes back, with -e node_is_lost=true, and what ran on it and lay on "
            "its disks is given up",
        )
    for role, what in (("control_plane", "control-plane node"), ("worker", "worker")):
        if list(roles.get(role, ())) == [node]:
            raise Failure(f"{node} is the only {what}", "the whole cluster goes with playbooks/reset.yml")
    is_server, is_member = node in roles["control_plane"], node in roles["etcd"]
    where = sorted(name for name, hosts in groups.items() if node in hosts and name not in ("all", "ungrouped"))
    return Removal(is_server, is_member, _afterwards(node, roles, where, is_server or is_member, lost))


def _afterwards(
    node: str, roles: Mapping[str, Sequence[str]], where: Sequence[str], named_by_others: bool, lost: bool
) -> list[str]:
    told = [f"Take {node} out of hosts.yml (groups {', '.join(where)}), and its host_vars."]
    quorums = [role for role in _KEEPS_QUORUM if node in roles.get(role, ())]
    told += [f"It is a member of {role} too: see that {role} does without it." for role in quorums]
    if named_by_others:
        told.append("Then run playbooks/cluster.yml: the other nodes still have its address.")
    else:
        told.append("The next run of site.yml takes its address out of firewalls.")
    if lost:
        told.append("Should it come back: playbooks/reset.yml --limit, before it reaches the cluster's network again.")
    return told


def minor_of(version: str) -> tuple[int, int]:
    """Major and minor of a version.

    Raises:
        Failure: when it is none.
    """
    found = re.match(r"v?(\d+)\.(\d+)\.\d+", version)
    if not found:
        raise Failure(f"{version!r} is no version of Kubernetes", "correct the release in the catalog")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Runs:
    """What a node runs: the version of its API server, empty on workers, and of its kubelet; both empty on a node that
    is in no cluster."""

    control_plane: str = ""
    kubelet: str = ""


def upgrade(target: str, nodes: Mapping[str, Runs], servers: Sequence[str]) -> list[str]:
    """The nodes that do not run a version yet, control plane first.

    Args:
        target: the release's Kubernetes.
        nodes: what each node runs.
        servers: the control-plane nodes, in the order of their upgrade.

    Raises:
        Failure: when it is not one step upwards for all of them. Everything is named at once.
    """
    troubles = []
    wanted = minor_of(target)
    oldest = min((minor_of(runs.kubelet) for runs in nodes.values() if runs.kubelet), default=wanted)
    for name, runs in nodes.items():
        if not runs.kubelet or (name in servers and not runs.control_plane):
            troubles.append(f"{name} is in no cluster: add it with playbooks/add_node.yml, or take it out of hosts.yml")
            continue
        for what, version in (("API server", runs.control_plane), ("kubelet", runs.kubelet)):
            if not version:
                continue
            have = minor_of(version)
            if have[0] != wanted[0] or wanted[1] - have[1] > 1:
                troubles.append(f"{name}: its {what} {version} is more than one minor below {target}")
            elif _parts(version) > _parts(target):
                troubles.append(f"{name}: its {what} {version} is newer than {target}, and there is no way back")
    if troubles:
        step = f"{oldest[0]}.{oldest[1] + 1}"
        ways = f"; from here the next step is -e platform_kubernetes_minor={step}" if wanted[1] - oldest[1] > 1 else ""
        raise Failure(
            f"Kubernetes {target}: {'; '.join(troubles)}",
            f"nothing was changed: one minor at a time{ways} (docs/kubernetes.md, Life cycle)",
        )
    behind = [name for name, runs in nodes.items() if {runs.control_plane or target, runs.kubelet} != {target}]
    return sorted(behind, key=lambda name: (name not in servers, servers.index(name) if name in servers else 0))


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
