# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine can carry a lab, and with which settings of Podman.

Everything is detected: the same code runs on a virtual machine without systemd and with cgroup v1 and on a server with
systemd and cgroup v2. `look` reads the machine, `missing` and `podman_settings` are pure.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import Dict, List

from ansible_collections.banking.platform.plugins.module_utils.lab.shell import read_text, run, search_path
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# Program and the Debian package that brings it.
PROGRAMS = {
    "podman": "podman",
    "conmon": "conmon",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nft": "nftables",
    "losetup": "mount",
    "unshare": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "apt-config": "apt (a Debian machine)",
}

# What the lab asks of the kernel, tried in a network namespace that ends with the trial.
_TRIALS = {
    "network namespaces with a bridge and veth pairs": (
        "ip link add name br0 type bridge && ip link add name v0 type veth peer name v1"
    ),
    "nftables with sets and masquerading": (
        "printf '%s\\n' 'table ip t { set s { type ipv4_addr . inet_proto . inet_service; }' "
        "'chain c { type nat hook postrouting priority 100; masquerade; }' "
        "'chain f { type filter hook forward priority 0; ct state established accept; }; }' | nft -f -"
    ),
}


@dataclass(frozen=True)
class Machine:
    """What was found on a machine.

    Attributes:
        root: whether we are root.
        init: the name of process 1.
        cgroup: "v1" (or hybrid), "v2", or "none".
        systemd_hierarchy: whether the cgroup v1 hierarchy name=systemd is mounted.
        programs: which of PROGRAMS and of the OCI runtimes are there.
        filesystems: the kernel's.
        loop: whether there is a /dev/loop-control.
        failed_trials: names of what the kernel could not do, with its message.
    """

    root: bool = True
    init: str = "systemd"
    cgroup: str = "v2"
    systemd_hierarchy: bool = False
    programs: List[str] = field(default_factory=lambda: [*PROGRAMS, "crun"])
    filesystems: List[str] = field(default_factory=lambda: ["overlay"])
    loop: bool = True
    failed_trials: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PodmanSettings:
    """How Podman runs nodes on a machine.

    Attributes:
        runtime: the OCI runtime.
        cgroup_manager: who makes the containers' cgroups.
        systemd: the value of `podman run --systemd`.
    """

    runtime: str
    cgroup_manager: str
    systemd: str


def look() -> Machine:
    """Read this machine."""
    mounts = [line.split() for line in read_text("/proc/self/mounts").splitlines()]
    cgroups = {fields[1]: fields for fields in mounts if fields[2] in ("cgroup", "cgroup2")}
    if cgroups.get("/sys/fs/cgroup", ["", "", ""])[2] == "cgroup2":
        cgroup = "v2"
    else:
        cgroup = "v1" if any(fields[2] == "cgroup" for fields in cgroups.values()) else "none"
    root = os.geteuid() == 0
    programs = [name for name in [*PROGRAMS, "runc", "crun"] if shutil.which(name, path=search_path())]
    failed = {}
    if root and {"unshare", "ip", "nft"} <= set(programs):
        for name, trial in _TRIALS.items():
            try:
                run(["unshare", "--net", "sh", "-c", trial])
            except Failure as error:
                failed[name] = error.cause.rsplit(": ", 1)[-1]
        if "overlay" not in read_text("/proc/filesystems") and shutil.which("modprobe", path=search_path()):
            run(["modprobe", "overlay"], check=False)
    return Machine(
        root=root,
        init=read_text("/proc/1/comm").strip(),
        cgroup=cgroup,
        systemd_hierarchy=any("name=systemd" in fields[3].split(",") for fields in cgroups.values()),
        programs=programs,
        filesystems=read_text("/proc/filesystems").split(),
        loop=os.path.exists("/dev/loop-control"),
        failed_trials=failed,
    )


def podman_settings(machine: Machine) -> PodmanSettings:
    """Choose Podman's settings: the table is explained in docs/lab.md.

    Raises:
        KeyError: for a machine of which `missing` complains.
    """
    if machine.cgroup == "v1":
        # crun refuses hybrid hierarchies; with --systemd=always nodes would share the hierarchy name=systemd.
        return PodmanSettings("runc", "cgroupfs", "false")
    runtime = next(name for name in ("crun", "runc") if name in machine.programs)
    manager = "systemd" if machine.init == "systemd" else "cgroupfs"
    return PodmanSettings(runtime, manager, "always")


def missing(machine: Machine) -> List[str]:
    """Say what this machine lacks, each with how to get it; empty when it can carry a lab."""
    lacks = []
    if not machine.root:
        lacks.append("root: nodes are privileged containers in network namespaces; run as root (sudo make lab)")
    packages = sorted({package for program, package in PROGRAMS.items() if program not in machine.programs})
    if machine.cgroup == "v1" and "runc" not in machine.programs:
        packages.append("runc (crun cannot run containers on cgroup v1 or hybrid)")
    elif not {"runc", "crun"} & set(machine.programs):
        packages.append("crun")
    if packages:
        lacks.append(f"Debian packages: apt-get install {' '.join(packages)}")
    if machine.cgroup == "none":
        lacks.append("cgroups: nothing is mounted below /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    if machine.cgroup == "v1" and not machine.systemd_hierarchy:
        lacks.append(
            "the cgroup v1 hierarchy of systemd: mkdir -p /sys/fs/cgroup/systemd && "
            "mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd"
        )
    if "overlay" not in machine.filesystems:
        lacks.append("overlayfs in the kernel: modprobe overlay")
    if not machine.loop:
        lacks.append("loop devices in the kernel (for data disks): modprobe loop")
    lacks.extend(f"{name}: the kernel says '{why}'" for name, why in machine.failed_trials.items())
    return lacks


def require(machine: Machine) -> PodmanSettings:
    """Choose Podman's settings, or say at once all that is missing.

    Raises:
        Failure: with everything that the machine lacks.
    """
    lacks = missing(machine)
    if lacks:
        listed = "".join(f"\n  - {lack}" for lack in lacks)
        raise Failure(f"this machine cannot carry a lab, it lacks:{listed}")
    return podman_settings(machine)
