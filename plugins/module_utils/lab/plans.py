# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans for bringing a lab up, for removing it, and for cutting off parts of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Dict, List

from ansible_collections.banking.platform.plugins.module_utils.lab import host, image, network
from ansible_collections.banking.platform.plugins.module_utils.lab.layout import Lab, Node
from ansible_collections.banking.platform.plugins.module_utils.lab.network import Network
from ansible_collections.banking.platform.plugins.module_utils.lab.nodes import (
    ROUTER,
    Nodes,
    loop_device,
    wait_for_ssh,
    write,
)
from ansible_collections.banking.platform.plugins.module_utils.lab.shell import read_text, run
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step


@dataclass(frozen=True)
class Wishes:
    """How a lab is to be made, beside what it consists of.

    Attributes:
        release: the Debian release's code name.
        preload: packages whose archives the image brings along.
        egress: addresses beside resolvers and mirrors that nodes may reach.
    """

    release: str
    preload: List[str] = field(default_factory=list)
    egress: List[network.Target] = field(default_factory=list)


def up(lab: Lab, nodes: Nodes, wishes: Wishes) -> Plan:
    """The plan that brings a lab up and heals whatever is cut off or down.

    A node that is there stays as it is, also when the image has a new recipe: like a server, it is reinstalled only by
    removing it first.
    """
    net = Network(lab)
    apt = image.machine_apt(wishes.release)
    nameservers = image.resolvers()
    image_tag = image.tag(wishes.release, wishes.preload)
    plan = Plan()

    sysctls, modules = host.needed(network.uplink_device(nameservers[0])), host.loadable_modules()
    entered = lab.name in host.labs()

    def prepare_machine() -> None:
        host.enter(lab.name)
        host.set_sysctls(sysctls)
        host.load_modules(modules)

    plan.add(
        Step(
            "machine",
            "record and limits",
            "none" if entered and not sysctls and not modules else "update",
            after={"sysctl": sysctls, "modules": modules} if sysctls or modules else None,
            note="" if entered else "the machine's state is recorded, to be put back when the last lab is removed",
            apply=prepare_machine,
        )
    )

    files = nodes.files(lab, apt, nameservers)
    stale = [path for path, content in files.items() if read_text(path) != content]
    keys = [path for path in nodes.keys(lab) if not os.path.exists(path)]
    plan.add(
        Step(
            "folder",
            nodes.state_dir,
            "none" if not stale and not keys else "update" if os.path.isdir(nodes.state_dir) else "create",
            after={"files": len(stale), "keys": len(keys)} if stale or keys else None,
            apply=partial(_make_folder, lab, nodes, files, keys),
        )
    )

    has_image = not _fails([*nodes.podman, "image", "exists", image_tag])
    plan.add(
        Step(
            "image",
            image_tag,
            "none" if has_image else "create",
            apply=lambda: image.build(wishes.release, wishes.preload, apt, nodes.podman, nodes.env),
        )
    )

    router_there = net.router_is_there()
    plan.add(Step("router", lab.router_netns, "none" if router_there else "create", apply=net.make_router))
    targets = image.targets(apt, nameservers) + wishes.egress
    rules = net.egress_rules(targets)

    def open_egress() -> None:
        net.open_egress(targets)
        write(nodes.path("egress.nft"), rules)

    open_already = net.egress_is_there() and read_text(nodes.path("egress.nft")) == rules
    plan.add(
        Step(
            "firewall",
            net.table,
            "none" if open_already else "update",
            after=None if open_already else sorted(f"{t.address} {t.protocol}/{t.port}" for t in targets),
            apply=open_egress,
        )
    )

    router_links = network.links(lab.router_netns) if router_there else {}
    for zone in lab.zones:
        fault = net.zone_fault(zone, router_links) if router_there else "missing"
        plan.add(_healing("zone", zone.name, fault, partial(net.make_zone, zone)))

    containers = nodes.containers()
    unwanted = sorted(set(containers) - {node.name for node in lab.nodes} - set(ROUTER))
    for name in unwanted:
        plan.add(
            Step("node", name, "delete", note="not in the inventory", apply=partial(_remove_node, lab, nodes, name))
        )
    for name in ROUTER:
        if _state(containers, name) != "running":
            plan.add(Step("service", name, "create", apply=partial(_serve, lab, nodes, name, image_tag)))
    for node in lab.nodes:
        fault = net.node_fault(node, router_links) if router_there else "missing"
        plan.add(_node_step(lab, nodes, net, node, fault, image_tag, containers))

    def wait() -> None:
        wait_for_ssh(lab.nodes)
        nodes.check_clock(lab)

    plan.add(Step("ssh", "all nodes", "update" if plan.changed else "none", apply=wait))
    return plan


def _node_step(
    lab: Lab, nodes: Nodes, net: Network, node: Node, fault: str, image_tag: str, containers: Dict[str, Dict[str, Any]]
) -> Step:
    state = _state(containers, node.name)
    labels = containers.get(node.name, {}).get("Labels") or {}
    moved = state != "missing" and (labels.get("platform.zone"), labels.get("platform.address")) != (
        node.zone,
        str(node.address),
    )
    disks = nodes.disks_attached(node)

    def apply() -> None:
        if moved:
            _remove_node(lab, nodes, node.name)
        net.make_node(node)
        nodes.attach_disks(node)
        if moved or state == "missing":
            nodes.create(lab, node, image_tag)
        elif state == "paused":
            nodes.unpause(node.name)
        elif state != "running":
            nodes.start(node.name)

    before = {"container": state, "network": fault or "ok", "disks": "ok" if disks else "missing"}
    after = {"container": "running", "network": "ok", "disks": "ok"}
    if not moved and before == after:
        return Step("node", node.name)
    action = "create" if state == "missing" else "update"
    return Step(
        "node",
        node.name,
        action,
        before=before,
        after=after,
        note="made anew: it has moved" if moved else "",
        apply=apply,
    )


def down(lab_name: str, nodes: Nodes, supernet: str, purge_image: bool) -> Plan:
    """The plan that removes every trace of a lab."""
    plan = Plan()
    containers = nodes.containers()
    spaces = sorted(network.netns_of(lab_name))
    folder = os.path.isdir(nodes.state_dir)
    there = lab_name in host.labs() or host.only_a_record_is_left()
    plan.add(
        Step(
            "containers",
            lab_name,
            "delete" if containers else "none",
            before=sorted(containers) or None,
            apply=lambda: nodes.remove(sorted(containers)),
        )
    )
    plan.add(
        Step(
            "network",
            lab_name,
            "delete" if spaces or there else "none",
            before=spaces or None,
            apply=lambda: network.remove(lab_name, supernet),
        )
    )

    def remove_folder() -> None:
        nodes.detach_disks()
        shutil.rmtree(nodes.state_dir)

    plan.add(
        Step(
            "folder",
            nodes.state_dir,
            "delete" if folder else "none",
            apply=remove_folder,
        )
    )
    images = run([*nodes.podman, "image", "ls", "--quiet", "localhost/platform-node"]).split() if purge_image else []

    def remove_images() -> None:
        run([*nodes.podman, "image", "rm", *sorted(set(images))])

    plan.add(
        Step(
            "image",
            "localhost/platform-node",
            "delete" if images else "none",
            before=images or None,
            apply=remove_images,
        )
    )

    def leave() -> None:
        left = host.leave(lab_name)
        if left:
            raise Failure("the machine is not as it was before the lab: " + "; ".join(left), "put these back by hand")

    plan.add(Step("machine", "record and limits", "delete" if there else "none", apply=leave))
    return plan


# How a container exits that was killed.
KILLED = 137
# Faults of a zone as such; any other fault of a zone is one of each of its nodes.
ZONE_FAULTS = ("partition", "switch")


def zone_fault(lab: Lab, nodes: Nodes, name: str, fault: str, down: bool) -> Plan:
    """The plan that puts a zone into a fault, or (not down) heals it whatever its fault is.

    Raises:
        Failure: when the lab has no such zone.
    """
    zone = next((zone for zone in lab.zones if zone.name == name), None)
    if zone is None:
        raise Failure(f"there is no zone {name!r}", f"take one of {', '.join(sorted(zone.name for zone in lab.zones))}")
    net = Network(lab)
    router_links = network.links(lab.router_netns)
    containers = nodes.containers()
    wanted = fault if down and fault in ZONE_FAULTS else ""

    def apply() -> None:
        net.make_zone(zone)
        if wanted == "partition":
            net.partition_zone(zone, True)
        elif wanted == "switch":
            net.switch_zone(zone, False)

    plan = Plan()
    plan.add(_fault_step("zone", name, net.zone_fault(zone, router_links), wanted, apply))
    if fault not in ZONE_FAULTS:
        for node in lab.nodes:
            if node.zone == name:
                plan.add(_node_fault_step(nodes, net, node, fault if down else "", router_links, containers))
    return plan


def node_fault(lab: Lab, nodes: Nodes, name: str, fault: str, down: bool) -> Plan:
    """The plan that puts a node into a fault, or (not down) heals it whatever its fault is.

    Raises:
        Failure: when the lab has no such node.
    """
    node = next((node for node in lab.nodes if node.name == name), None)
    if node is None:
        raise Failure(f"there is no node {name!r}", f"take one of {', '.join(sorted(node.name for node in lab.nodes))}")
    plan = Plan()
    router_links = network.links(lab.router_netns)
    plan.add(_node_fault_step(nodes, Network(lab), node, fault if down else "", router_links, nodes.containers()))
    return plan


def _node_fault_step(
    nodes: Nodes,
    net: Network,
    node: Node,
    fault: str,
    router_links: Dict[str, Dict[str, Any]],
    containers: Dict[str, Dict[str, Any]],
) -> Step:
    state = _state(containers, node.name)
    wire = net.node_fault(node, router_links)
    if state in ("running", "paused"):
        now = "hang" if state == "paused" else wire
    else:
        now = "power" if containers.get(node.name, {}).get("ExitCode") == KILLED else "stop"

    def apply() -> None:
        if fault in ("power", "stop"):
            if state not in ("running", "paused"):
                nodes.start(node.name)
            if fault == "power":
                net.unplug_node(node)
            if state == "paused":
                nodes.unpause(node.name)
            (nodes.kill if fault == "power" else nodes.stop)(node.name)
            net.unplug_node(node)
            net.silence_node(node)
            return
        # Any other fault starts from a whole node, so that one may follow the other.
        net.make_node(node)
        if state == "paused" and fault != "hang":
            nodes.unpause(node.name)
        elif state not in ("running", "paused"):
            nodes.attach_disks(node)
            nodes.start(node.name)
        if fault == "partition":
            net.partition_node(node)
        elif fault == "switch":
            net.unplug_node(node)
        elif fault == "hang":
            if state != "paused":
                nodes.pause(node.name)
        else:
            wait_for_ssh([node])

    return _fault_step("node", node.name, now, fault, apply)


def _fault_step(kind: str, name: str, now: str, wanted: str, apply: Callable[[], None]) -> Step:
    if now == wanted:
        return Step(kind, name)
    return Step(kind, name, "update", before=now or "up", after=wanted or "up", apply=apply)


def _healing(kind: str, name: str, fault: str, apply: Callable[[], None]) -> Step:
    if not fault:
        return Step(kind, name)
    if fault == "missing":
        return Step(kind, name, "create", apply=apply)
    return Step(kind, name, "update", before=fault, after="up", apply=apply)


def _remove_node(lab: Lab, nodes: Nodes, name: str) -> None:
    nodes.remove([name])
    for disk in os.listdir(nodes.path("disks")) if os.path.isdir(nodes.path("disks")) else []:
        if disk.startswith(f"{name}-"):
            device = loop_device(nodes.path("disks", disk))
            if device:
                run(["losetup", "--detach", device])
            os.unlink(nodes.path("disks", disk))
    run(["ip", "netns", "delete", lab.netns(name)], check=False)


def _serve(lab: Lab, nodes: Nodes, name: str, image_tag: str) -> None:
    if name in nodes.containers():
        nodes.start(name)
    else:
        nodes.create_router(lab, name, image_tag)


def _make_folder(lab: Lab, nodes: Nodes, files: Dict[str, str], keys: List[str]) -> None:
    os.makedirs(nodes.state_dir, mode=0o700, exist_ok=True)
    for path in keys:
        nodes.make_key(path)
    for path, content in files.items():
        write(path, content)
    write(nodes.path("ssh", "known_hosts"), nodes.known_hosts(lab))


def _state(containers: Dict[str, Dict[str, Any]], name: str) -> str:
    return str(containers[name]["State"]) if name in containers else "missing"


def _fails(argv: List[str]) -> bool:
    try:
        run(argv)
    except Failure:
        return True
    return False
