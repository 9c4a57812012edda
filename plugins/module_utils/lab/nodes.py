# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's nodes: containers with systemd, their folders on the machine, their keys and their disks."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address
from string import Template
from typing import Any, Dict, List

from ansible_collections.banking.platform.plugins.module_utils.lab import image
from ansible_collections.banking.platform.plugins.module_utils.lab.layout import Disk, Lab, Node
from ansible_collections.banking.platform.plugins.module_utils.lab.machine import PodmanSettings
from ansible_collections.banking.platform.plugins.module_utils.lab.network import NETNS_DIR
from ansible_collections.banking.platform.plugins.module_utils.lab.shell import run
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

LABEL = "platform.lab"
LOOP_MAJOR = 7
CAP_SYS_TIME = 25

# Overlay mounts need an upper folder that is not on an overlay itself; kubelet's mounts have to reach its containers.
VOLUMES = {"containerd": "/var/lib/containerd", "kubelet": "/var/lib/kubelet"}

# Podman's settings that have no option of `podman run`.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
pids_limit = 0

[engine]
runtime = "{settings.runtime}"
cgroup_manager = "{settings.cgroup_manager}"
events_logger = "file"
"""


@dataclass(frozen=True)
class RouterService:
    """A program of the router: a container in its network namespace that gets one file of the assets."""

    file: str
    capabilities: List[str]
    command: List[str]


# It finds its libraries beside it, whatever the architecture.
_BIRD = f"""
cd {image.ROUTER_ROOT}
export LD_LIBRARY_PATH=$(ls -d $PWD/lib/*-linux-gnu $PWD/usr/lib/*-linux-gnu | paste -sd:)
exec usr/sbin/bird -f -c /usr/lib/lab-router/bird.conf -s /run/bird.ctl
"""

# By the names of their containers.
ROUTER = {
    "router": RouterService("time_server.py", ["NET_BIND_SERVICE"], ["python3", "/usr/lib/lab-router/time_server.py"]),
    "routes": RouterService(
        "bird.conf",
        ["NET_BIND_SERVICE", "NET_ADMIN", "NET_RAW"],
        ["sh", "-c", _BIRD],
    ),
}


class Nodes:
    """Reads and makes the nodes of one lab.

    Args:
        state_dir: the lab's folder on the machine, which only root may read.
        assets: the folder with `entrypoint` and the files of the router's services.
    """

    def __init__(self, lab_name: str, state_dir: str, assets: str, settings: PodmanSettings) -> None:
        self.lab_name = lab_name
        self.state_dir = state_dir
        self.assets = assets
        self.settings = settings
        # By option too: the folder with containers.conf may be gone when a lab is removed.
        self.podman = ["podman", f"--runtime={settings.runtime}", f"--cgroup-manager={settings.cgroup_manager}"]

    def path(self, *names: str) -> str:
        """A path in the lab's folder."""
        return os.path.join(self.state_dir, *names)

    @property
    def env(self) -> Dict[str, str]:
        """The environment for Podman: its settings, once they are written."""
        conf = self.path("containers.conf")
        return {"CONTAINERS_CONF": conf} if os.path.exists(conf) else {}

    # What the lab keeps on the machine

    def files(self, lab: Lab, apt: image.Apt, nameservers: List[IPv4Address]) -> Dict[str, str]:
        """The content of the lab's files, by path. Keys are not among them: they are made once (`make_keys`)."""
        files = {
            self.path("containers.conf"): _CONTAINERS_CONF.format(settings=self.settings),
            self.path("lab.json"): json.dumps(lab.as_dict(), indent=2) + "\n",
        }
        for node in lab.nodes:
            own = self.path("nodes", node.name)
            files.update(
                {
                    os.path.join(own, "hostname"): node.name + "\n",
                    os.path.join(own, "hosts"): f"127.0.0.1 localhost\n{node.address} {node.name}\n",
                    os.path.join(own, "resolv.conf"): "".join(f"nameserver {address}\n" for address in nameservers),
                    os.path.join(own, "sources.list"): apt.sources_list(),
                    os.path.join(own, "apt.conf"): apt.conf(),
                }
            )
        return files

    def keys(self, lab: Lab) -> List[str]:
        """Paths of the private keys: the controller's, and a host key of each node."""
        return [self.path("ssh", "id_ed25519")] + [
            self.path("nodes", node.name, "ssh_host_ed25519_key") for node in lab.nodes
        ]

    def make_key(self, path: str) -> None:
        """Make a key pair."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{self.lab_name} lab", "-f", path])

    def known_hosts(self, lab: Lab) -> str:
        """The known_hosts file: nodes get their host keys from here, so they are known before the first connection."""
        lines = []
        for node in lab.nodes:
            with open(self.path("nodes", node.name, "ssh_host_ed25519_key.pub"), encoding="utf-8") as file:
                lines.append(f"{node.address},{node.name} {' '.join(file.read().split()[:2])}\n")
        return "".join(lines)

    # Containers

    def containers(self) -> Dict[str, Dict[str, Any]]:
        """The lab's containers as Podman lists them, by name without the lab's prefix."""
        listed = json.loads(
            run(
                [*self.podman, "ps", "--all", "--filter", f"label={LABEL}={self.lab_name}", "--format", "json"],
                env=self.env,
            )
        )
        return {item["Names"][0].split(".", 1)[1]: item for item in listed}

    def create(self, lab: Lab, node: Node, image_tag: str) -> None:
        """Create and start a node. Its namespace has to be there."""
        own = self.path("nodes", node.name)
        shutil.copy2(os.path.join(self.assets, "entrypoint"), own)
        shutil.copy2(self.path("ssh", "id_ed25519.pub"), os.path.join(own, "authorized_keys"))
        container = lab.netns(node.name)
        volumes = [f"--volume={container}.{name}:{path}:rw,rshared,exec,dev,suid" for name, path in VOLUMES.items()]
        run(
            [
                *self.podman,
                "run",
                "--detach",
                f"--name={container}",
                f"--hostname={node.name}",
                f"--label={LABEL}={lab.name}",
                f"--label=platform.zone={node.zone}",
                f"--label=platform.address={node.address}",
                "--privileged",
                "--cgroupns=private",
                f"--systemd={self.settings.systemd}",
                "--restart=always",
                # What systemd understands as the wish to shut down.
                "--stop-signal=SIGRTMIN+3",
                f"--network=ns:{NETNS_DIR}/{container}",
                "--no-hosts",
                "--tmpfs=/run:rw,exec,nosuid,nodev,mode=0755",
                "--tmpfs=/run/lock:rw,noexec,nosuid,nodev,mode=1777",
                "--tmpfs=/tmp:rw,exec,nosuid,nodev,mode=1777",
                f"--volume={own}:/usr/lib/lab-node:ro",
                *volumes,
                image_tag,
            ],
            env=self.env,
        )

    def create_router(self, lab: Lab, name: str, image_tag: str) -> None:
        """Create and start a service of the router (a name in `ROUTER`), which may do nothing else."""
        own = self.path("router", name)
        os.makedirs(own, exist_ok=True)
        service = ROUTER[name]
        with open(os.path.join(self.assets, service.file), encoding="utf-8") as file:
            content = Template(file.read()).substitute(supernet=lab.supernet, router=lab.router_address)
        write(os.path.join(own, service.file), content)
        run(
            [
                *self.podman,
                "run",
                "--detach",
                f"--name={lab.netns(name)}",
                f"--hostname={name}",
                f"--label={LABEL}={lab.name}",
                "--cap-drop=ALL",
                *[f"--cap-add={capability}" for capability in service.capabilities],
                "--restart=always",
                "--read-only",
                "--tmpfs=/run",
                f"--network=ns:{NETNS_DIR}/{lab.router_netns}",
                f"--volume={own}:/usr/lib/lab-router:ro",
                f"--entrypoint={service.command[0]}",
                image_tag,
                *service.command[1:],
            ],
            env=self.env,
        )

    def check_clock(self, lab: Lab) -> None:
        """See that no node may set the machine's clock.

        Raises:
            Failure: naming the nodes that may; they have been stopped.
        """
        full = [lab.netns(node.name) for node in lab.nodes]
        pids = run([*self.podman, "inspect", "--format", "{{.State.Pid}}", *full], env=self.env).split()
        unsafe = []
        for name, pid in zip(full, pids, strict=True):
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                bounding = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))
            if bounding >> CAP_SYS_TIME & 1:
                unsafe.append(name)
        if unsafe:
            run([*self.podman, "stop", "--time=0", *unsafe], env=self.env)
            raise Failure(f"{', '.join(unsafe)} could set this machine's clock and had to be stopped")

    def start(self, name: str) -> None:
        """Start a container that is not running."""
        run([*self.podman, "start", f"{self.lab_name}.{name}"], env=self.env)

    def stop(self, name: str) -> None:
        """Shut a node down in good order. It stays down, unlike one that powers off by itself."""
        run([*self.podman, "stop", "--time=60", f"{self.lab_name}.{name}"], env=self.env)

    def kill(self, name: str) -> None:
        """Cut a node's power. `podman kill` would have Podman restart it; a stop without patience does not."""
        run([*self.podman, "stop", "--time=0", f"{self.lab_name}.{name}"], env=self.env)

    def pause(self, name: str) -> None:
        """Freeze all processes of a node; its kernel goes on answering pings."""
        run([*self.podman, "pause", f"{self.lab_name}.{name}"], env=self.env)

    def unpause(self, name: str) -> None:
        """Thaw a node."""
        run([*self.podman, "unpause", f"{self.lab_name}.{name}"], env=self.env)

    def remove(self, names: List[str]) -> None:
        """Remove containers with their volumes."""
        if not names:
            return
        full = [f"{self.lab_name}.{name}" for name in names]
        run([*self.podman, "rm", "--force", "--volumes", "--time=0", *full], env=self.env)
        known = run([*self.podman, "volume", "ls", "--quiet"], env=self.env).split()
        volumes = [f"{name}.{volume}" for name in full for volume in VOLUMES if f"{name}.{volume}" in known]
        if volumes:
            run([*self.podman, "volume", "rm", "--force", *volumes], env=self.env)

    # Disks

    def disk_path(self, node: Node, disk: Disk) -> str:
        """The file behind a disk."""
        return self.path("disks", f"{node.name}-{disk.name}.img")

    def attach_disks(self, node: Node) -> None:
        """Make a node's disks and attach them to loop devices; the entrypoint makes them devices of the node."""
        lines = []
        for disk in node.disks:
            path = self.disk_path(node, disk)
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as file:
                    file.truncate(disk.size_mb * 2**20)
            device = loop_device(path) or run(["losetup", "--find", "--show", path]).strip()
            lines.append(f"{disk.name} {os.path.basename(device)} {LOOP_MAJOR} {os.minor(os.stat(device).st_rdev)}\n")
        write(self.path("nodes", node.name, "disks"), "".join(lines))

    def disks_attached(self, node: Node) -> bool:
        """Whether all disks of a node are attached."""
        return os.path.exists(self.path("nodes", node.name, "disks")) and all(
            loop_device(self.disk_path(node, disk)) for disk in node.disks
        )

    def detach_disks(self) -> None:
        """Detach all disks of the lab."""
        folder = self.path("disks")
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            device = loop_device(os.path.join(folder, name))
            if device:
                run(["losetup", "--detach", device])


def loop_device(path: str) -> str:
    """The loop device of a file; empty when it has none."""
    return run(["losetup", "--noheadings", "--output", "NAME", "--associated", path], check=False).strip()


def write(path: str, content: str) -> None:
    """Write a file that only root may read, in one go."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    os.rename(path + ".new", path)


def wait_for_ssh(nodes: List[Node], timeout: int = 60) -> None:
    """Wait until the ssh server of each node says its name.

    Raises:
        Failure: naming the nodes that did not within timeout seconds.
    """
    deadline = time.monotonic() + timeout

    def answers(node: Node) -> bool:
        while time.monotonic() < deadline:
            try:
                with socket.create_connection((str(node.address), 22), timeout=2) as connection:
                    if connection.recv(4).startswith(b"SSH-"):
                        return True
            except OSError:
                pass
            time.sleep(0.1)
        return False

    with ThreadPoolExecutor(max(len(nodes), 1)) as pool:
        silent = [node.name for node, heard in zip(nodes, pool.map(answers, nodes), strict=True) if not heard]
    if silent:
        raise Failure(
            f"no ssh server answers on {', '.join(silent)} after {timeout} s",
            f"see 'podman logs' and 'podman exec <lab>.{silent[0]} journalctl -b'",
        )
