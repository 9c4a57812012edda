# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a node, reads {modules: [..], sysctl: {..}} and tries all of it; writes what is impossible, as JSON.

It does without our own code on purpose: it is what that code's declarations are held to.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time


def works(command: str) -> bool:
    """Whether a shell command succeeds."""
    return subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60).returncode == 0


def has_module(name: str) -> bool:
    """Whether a kernel module is there, loaded or built in, or can be loaded."""
    return os.path.isdir("/sys/module/" + name.replace("-", "_")) or works(f"modprobe --dry-run {name}")


def can_set(key: str, value: object) -> bool:
    """Whether a sysctl takes a value. It has its old one afterwards."""
    path = "/proc/sys/" + key.replace(".", "/")
    try:
        with open(path, encoding="utf-8") as file:
            before = file.read()
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(str(value))
            with open(path, encoding="utf-8") as file:
                return file.read().split() == str(value).split()
        finally:
            with open(path, "w", encoding="utf-8") as file:
                file.write(before)
    except OSError:
        return False


def can_set_clock() -> bool:
    """Whether the clock may be set. It is set to what it shows."""
    try:
        time.clock_settime(time.CLOCK_REALTIME, time.time())
    except PermissionError:
        return False
    return True


def can_raise_oom_score() -> bool:
    """Whether a process may make itself less likely to be killed, as containerd does with its containers."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
            file.write("-999")
    except PermissionError:
        return False
    return True


def can_open_luks() -> bool:
    """Whether an encrypted volume can be opened (it can be formatted everywhere)."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        image = f"{folder}/image"
        key = f"{folder}/key"
        setup = (
            f"head -c 32 /dev/urandom > {key} && truncate -s 32M {image} && "
            f"cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {image} {key}"
        )
        if not works(setup):
            raise RuntimeError("cryptsetup cannot even format a volume: is it installed?")
        opened = works(f"cryptsetup open --key-file {key} {image} lab-probe")
        works("cryptsetup close lab-probe")
        return opened


def can_load_modules() -> bool:
    """Whether the kernel takes modules at all, and has some for this node."""
    return os.path.exists("/proc/modules") and os.path.isdir(f"/lib/modules/{os.uname().release}")


FEATURES = {
    "audit_rules": lambda: works("auditctl -l && auditctl -w /etc/lab-probe -p wa && auditctl -W /etc/lab-probe -p wa"),
    "clock": can_set_clock,
    "dm_crypt": can_open_luks,
    "ip_vs": lambda: os.path.exists("/proc/net/ip_vs") or works("modprobe ip_vs"),
    "kernel_modules": can_load_modules,
    "netem": lambda: works("tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root"),
    "oom_score_adj": can_raise_oom_score,
    "vlan": lambda: works("ip link add link eth0 name lab-probe type vlan id 2 && ip link del lab-probe"),
    "wireguard": lambda: works("ip link add lab-probe type wireguard && ip link del lab-probe"),
}


def main() -> None:
    """Try everything."""
    wanted = json.load(sys.stdin)
    json.dump(
        {
            "modules": [name for name in wanted["modules"] if not has_module(name)],
            "sysctl": [key for key, value in wanted["sysctl"].items() if not can_set(key, value)],
            "features": [name for name, possible in FEATURES.items() if not possible()],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
