# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What labs change on the machine that carries them, recorded before the first one and put back after the last one.

Nodes are privileged: systemd in them raises limits of the whole machine, and roles in them set sysctls that have no
namespace. So every sysctl is recorded, not a list of those that we know of today. The record lies in /run: a machine
that was rebooted has nothing to put back.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Mapping, Optional, Set

from ansible_collections.banking.platform.plugins.module_utils.lab.shell import read_text, run, search_path

RUN_DIR = "/run/platform-lab"
_RECORD = "record.json"
_MODULES = "modules.txt"

# Values that change by themselves, that act when written, or that belong to an interface.
_VOLATILE = (
    "fs/binfmt_misc/",
    "kernel/ns_last_pid",
    "kernel/random/",
    "kernel/sched_domain/",
    "net/",
    "user/",
    "vm/compact_memory",
    "vm/drop_caches",
    "vm/stat_refresh",
)
# Of net/ only what outlives an interface: the stack's own settings in the machine's namespace.
_NET = ("net/core/", "net/ipv4/", "net/ipv6/", "net/bridge/", "net/netfilter/", "net/unix/")
_NET_VOLATILE = (
    "net/ipv4/neigh/",
    "net/ipv6/neigh/",
    "net/ipv4/route/flush",
    "net/ipv6/route/flush",
    "net/netfilter/nf_log/",
)

# More inotify instances than a machine gives by default: each systemd takes several.
NEEDS_AT_LEAST = {"fs/inotify/max_user_instances": 1024, "fs/inotify/max_user_watches": 65536}

# What Kubernetes nodes load. A node has no modules of its own, so the machine loads them, if it has them as modules.
MODULES = "br_netfilter ip_set ip_tables ipip nf_conntrack nf_nat nf_tables overlay vxlan xt_conntrack xt_set".split()

# Mounts that ip(8) and podman(1) make for themselves and never take away.
_SELF_MOUNTS = ("/run/netns", "/var/lib/containers/storage/overlay")


@contextmanager
def lock() -> Iterator[None]:
    """One lab at a time is made or removed: they share the record."""
    os.makedirs(RUN_DIR, exist_ok=True)
    with open("/run/platform-lab.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.makedirs(RUN_DIR, exist_ok=True)
        yield


def labs() -> Set[str]:
    """The names of the labs on this machine."""
    return set(os.listdir(RUN_DIR)) - {_RECORD, _MODULES} if os.path.isdir(RUN_DIR) else set()


def only_a_record_is_left() -> bool:
    """Whether the last lab was removed without the machine's state being put back."""
    return not labs() and os.path.exists(os.path.join(RUN_DIR, _RECORD))


def enter(lab_name: str) -> None:
    """Note that a lab of this name is on the machine; record the machine's state if it is the first."""
    record = os.path.join(RUN_DIR, _RECORD)
    if not os.path.exists(record):
        with open(record + ".new", "w", encoding="utf-8") as file:
            json.dump(state(), file)
        os.rename(record + ".new", record)
    with open(os.path.join(RUN_DIR, lab_name), "w", encoding="utf-8"):
        pass


def leave(lab_name: str) -> List[str]:
    """Note that a lab is gone; if it was the last, put back what differs from the record.

    Returns:
        What could not be put back.
    """
    record = os.path.join(RUN_DIR, _RECORD)
    if labs() - {lab_name} or not os.path.exists(record):
        _forget(lab_name)
        return []
    with open(record, encoding="utf-8") as file:
        before = json.load(file)
    _put_back(before)
    # A module that something else has come to need stays.
    for name in read_text(os.path.join(RUN_DIR, _MODULES)).split():
        run(["modprobe", "--remove", name], check=False)
    # Routes, rules and the like may rightly have changed in the meantime; sysctls were all set back just now.
    now = _sysctls()
    still = {name: was for name, was in before["sysctl"].items() if name in now}
    left = differences({"sysctl": still}, {"sysctl": now})
    shutil.rmtree(RUN_DIR)
    return left


def _forget(lab_name: str) -> None:
    if os.path.exists(os.path.join(RUN_DIR, lab_name)):
        os.unlink(os.path.join(RUN_DIR, lab_name))


def needed(uplink: str) -> Dict[str, str]:
    """Sysctls that have to be changed for a lab, and to what.

    Args:
        uplink: the machine's interface to the package mirrors; answers from there are forwarded to the lab.
    """
    wanted = {}
    forwarding = f"net/ipv4/conf/{uplink}/forwarding"
    if _read_sysctl(forwarding) == "0":
        wanted[forwarding] = "1"
    for name, least in NEEDS_AT_LEAST.items():
        value = _read_sysctl(name)
        if value is not None and int(value) < least:
            wanted[name] = str(least)
    return wanted


def loadable_modules() -> List[str]:
    """Kernel modules that nodes want and that this machine has not loaded but could."""
    if not shutil.which("modprobe", path=search_path()) or not os.path.isdir(f"/lib/modules/{os.uname().release}"):
        return []
    absent = [name for name in MODULES if not os.path.isdir(f"/sys/module/{name}")]
    # Built-in modules need no loading, and modprobe says so by printing nothing.
    return [name for name in absent if "insmod" in run(["modprobe", "--dry-run", "--show-depends", name], check=False)]


def load_modules(names: List[str]) -> None:
    """Load kernel modules; noted, to be unloaded after the last lab."""
    for name in names:
        run(["modprobe", name])
    if not names:
        return
    with open(os.path.join(RUN_DIR, _MODULES), "a", encoding="utf-8") as file:
        file.writelines(f"{name}\n" for name in names)


def set_sysctls(values: Dict[str, str]) -> None:
    """Write sysctls, named by their path below /proc/sys."""
    for name, value in values.items():
        with open(os.path.join("/proc/sys", name), "w", encoding="utf-8") as file:
            file.write(value)


def state() -> Dict[str, Any]:
    """What a lab could leave behind: sysctls, mounts, loop devices, namespaces, interfaces, routes, rules, cgroups."""
    return {
        "sysctl": _sysctls(),
        "mounts": sorted(_mounts()),
        "loops": sorted(_loops()),
        "netns": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else None,
        "interfaces": sorted(os.listdir("/sys/class/net")),
        "routes": sorted(run(["ip", "-4", "route", "show", "table", "all"]).splitlines()),
        "nftables": run(["nft", "--stateless", "list", "ruleset"]),
        "cgroups": sorted(_cgroups()),
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> List[str]:
    """What is not as it was, one line each."""
    lines = []
    for kind, was in before.items():
        now = after[kind]
        if isinstance(was, dict) and isinstance(now, dict):
            lines += [
                f"{kind} {name}: was {was[name]!r}, is {now.get(name)!r}" for name in was if was[name] != now.get(name)
            ]
        elif isinstance(was, list) and isinstance(now, list):
            lines += [f"{kind}: {item} is gone" for item in was if item not in now]
            lines += [f"{kind}: {item} is new" for item in now if item not in was]
        elif was != now:
            lines.append(f"{kind}: was {was!r}, is {now!r}")
    return lines


def _put_back(before: Mapping[str, Any]) -> None:
    was, now = before["sysctl"], _sysctls()
    for name in was:
        if name in now and was[name] != now[name]:
            try:
                set_sysctls({name: was[name]})
            except OSError:
                continue  # the comparison afterwards says so
    mounted = _mounts()
    for path in _SELF_MOUNTS:
        if path in mounted and path not in before["mounts"]:
            run(["umount", path], check=False)
    if before["netns"] is None and os.path.isdir("/run/netns") and not os.listdir("/run/netns"):
        os.rmdir("/run/netns")
    _remove_loops(_loops() - set(before["loops"]))
    for path in sorted(_cgroups() - set(before["cgroups"]), reverse=True):
        for folder, _dirs, _files in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue  # somebody's process is in there, so it is not ours


def _sysctls() -> Dict[str, str]:
    values = {}
    for folder, _dirs, files in os.walk("/proc/sys"):
        for file in files:
            name = os.path.relpath(os.path.join(folder, file), "/proc/sys")
            if name.startswith(_NET):
                if name.startswith(_NET_VOLATILE):
                    continue
            elif name.startswith(_VOLATILE):
                continue
            if "/conf/" in name and name.split("/")[-2].endswith("-up"):
                continue
            value = _read_sysctl(name)
            if value is not None:
                values[name] = value
    return values


def _read_sysctl(name: str) -> Optional[str]:
    """The value of a sysctl that can be read and written; None for any other."""
    path = os.path.join("/proc/sys", name)
    try:
        mode = os.stat(path).st_mode
        if not mode & stat.S_IWUSR or not mode & stat.S_IRUSR:
            return None
        with open(path, encoding="utf-8") as file:
            return file.read().rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return None


def _mounts() -> Set[str]:
    return {line.split()[1] for line in read_text("/proc/self/mounts").splitlines()}


def _loops() -> Set[int]:
    return {int(name[4:]) for name in os.listdir("/dev") if name.startswith("loop") and name[4:].isdigit()}


def _remove_loops(numbers: Set[int]) -> None:
    """Take away unused loop devices: the kernel makes more of them on demand and keeps them."""
    loop_ctl_remove = 0x4C81
    with open("/dev/loop-control", "rb") as control:
        for number in sorted(numbers):
            try:
                fcntl.ioctl(control, loop_ctl_remove, number)
            except OSError:
                continue  # in use by somebody else, so it is not ours


def _cgroups() -> Set[str]:
    """Folders of containers at the roots of the cgroup hierarchies."""
    roots = [
        line.split()[1]
        for line in read_text("/proc/self/mounts").splitlines()
        if line.split()[2] in ("cgroup", "cgroup2")
    ]
    return {
        os.path.join(root, name)
        for root in roots
        for name in os.listdir(root)
        if name.startswith("libpod") and os.path.isdir(os.path.join(root, name))
    }
