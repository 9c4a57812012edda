# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine can carry a lab, and with which settings: for machines that these tests do not run on too."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import machine
from ansible_collections.banking.platform.plugins.module_utils.lab.machine import (
    PROGRAMS,
    Machine,
    PodmanSettings,
    missing,
    podman_settings,
    require,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# A server with systemd and cgroup v2 (Debian, Ubuntu, Fedora of today).
SERVER = Machine()
# A virtual machine without systemd whose controllers are on cgroup v1.
MICRO = Machine(init="init", cgroup="v1", systemd_hierarchy=True, programs=[*PROGRAMS, "runc", "crun"])


def other(found: Machine, **what: Any) -> Machine:
    return dataclasses.replace(found, **what)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (SERVER, PodmanSettings("crun", "systemd", "always")),
        (other(SERVER, programs=[*PROGRAMS, "runc"]), PodmanSettings("runc", "systemd", "always")),
        (other(SERVER, programs=[*PROGRAMS, "runc", "crun"]), PodmanSettings("crun", "systemd", "always")),
        (other(SERVER, init="tini"), PodmanSettings("crun", "cgroupfs", "always")),
        (MICRO, PodmanSettings("runc", "cgroupfs", "false")),
        (other(MICRO, init="systemd"), PodmanSettings("runc", "cgroupfs", "false")),
    ],
    ids=["server", "server-runc", "server-both", "v2-without-systemd", "micro", "v1-with-systemd"],
)
def test_settings(found: Machine, wanted: PodmanSettings):
    assert require(found) == wanted
    assert podman_settings(found) == wanted


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (other(SERVER, root=False), "run as root"),
        (other(SERVER, programs=[*PROGRAMS]), "apt-get install crun"),
        (other(MICRO, programs=[*PROGRAMS, "crun"]), "runc (crun cannot"),
        (other(SERVER, programs=["crun", *(set(PROGRAMS) - {"podman", "nft"})]), "apt-get install nftables podman"),
        (other(SERVER, cgroup="none"), "mount -t cgroup2"),
        (other(MICRO, systemd_hierarchy=False), "name=systemd"),
        (other(SERVER, filesystems=["ext4"]), "modprobe overlay"),
        (other(SERVER, loop=False), "modprobe loop"),
        (other(SERVER, failed_trials={"network namespaces": "Operation not permitted"}), "Operation not permitted"),
    ],
    ids=["root", "runtime", "runc", "programs", "cgroups", "hierarchy", "overlay", "loop", "trial"],
)
def test_each_lack_is_said_with_how_to_get_it(found: Machine, says: str):
    assert len(missing(found)) == 1
    assert says in missing(found)[0]


def test_one_message_lists_everything():
    poor = Machine(root=False, programs=[], filesystems=[], loop=False, cgroup="none")
    with pytest.raises(Failure) as caught:
        require(poor)
    for word in ("root", "podman", "mmdebstrap", "cgroup2", "overlay", "loop"):
        assert word in caught.value.cause


@pytest.mark.parametrize(
    ("mounts", "cgroup", "hierarchy"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n", "v2", False),
        (
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n",
            "v1",
            True,
        ),
        ("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n", "v1", False),
        ("tmpfs /sys/fs/cgroup tmpfs rw 0 0\n", "none", False),
    ],
    ids=["v2", "hybrid", "v1-without-systemd", "none"],
)
def test_cgroups_are_told_by_what_is_mounted(
    monkeypatch: pytest.MonkeyPatch, mounts: str, cgroup: str, hierarchy: bool
):
    files = {"/proc/self/mounts": mounts, "/proc/filesystems": "nodev overlay\n", "/proc/1/comm": "systemd\n"}
    monkeypatch.setattr(machine, "read_text", files.__getitem__)
    monkeypatch.setattr("shutil.which", lambda _name, path: None)
    found = machine.look()
    assert (found.cgroup, found.systemd_hierarchy, found.init) == (cgroup, hierarchy, "systemd")
    assert found.programs == []
