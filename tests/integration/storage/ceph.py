# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Ceph of one monitor, one OSD in memory and one gateway, on loopback, with Debian's packages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Ceph:
    """Started by `start`, ended by `stop`; all of it is in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._running = folder, list[subprocess.Popen[bytes]]()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [command[0], "--conf", str(self.folder / "ceph.conf"), *command[1:]],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _spawn(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.out", "wb") as out:
            command = [name, "--conf", str(self.folder / "ceph.conf"), "-f", *arguments]
            self._running.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))

    def _until(self, seconds: float, ready: Any, what: str) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, f"{what}: {[path.read_text()[-2000:] for path in self.folder.glob('*.out')]}"
            assert all(one.poll() is None for one in self._running), [
                path.read_text()[-3000:] for path in self.folder.glob("*.out")
            ]
            time.sleep(0.3)

    def _listens(self, port: int) -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", port)) == 0

    def start(self) -> Ceph:
        fsid, monitor, keys = str(uuid.uuid4()), free_port(), self.folder / "keyring"
        for name in ("mon", "osd", "run"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "ceph.conf").write_text(f"""[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{monitor}]
public addr = 127.0.0.1
keyring = {keys}
run dir = {self.folder}/run
admin socket =
log file =
log to file = false
log to stderr = true
err to stderr = true
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon allow pool size one = true
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
ms bind ipv6 = false
[mon]
mon data = {self.folder}/mon
[osd]
osd data = {self.folder}/osd
osd objectstore = memstore
memstore device bytes = 268435456
osd max object name len = 256
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{self.port}
rgw enable usage log = false
""")
        rights = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        make = ["ceph-authtool", "--create-keyring", str(keys), "--gen-key"]
        subprocess.run([*make, "-n", "mon.", "--cap", "mon", "allow *"], check=True, capture_output=True)
        for name in ("client.admin", "osd.0", "client.rgw"):
            adding = ["ceph-authtool", str(keys), "--gen-key", "-n", name, *rights]
            subprocess.run(adding, check=True, capture_output=True)
        map_of = str(self.folder / "monmap")
        address = f"[v2:127.0.0.1:{monitor}]"
        subprocess.run(
            ["monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, map_of], check=True, capture_output=True
        )
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_of, "--keyring", str(keys))
        self._spawn("ceph-mon", "-i", "a")
        self._until(60, lambda: self._listens(monitor), "the monitor")
        self.run("ceph", "osd", "new", str(uuid.uuid4()))
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", self._uuid())
        self._spawn("ceph-osd", "-i", "0")
        self._until(
            90, lambda: json.loads(self.run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1, "the OSD"
        )
        self._spawn("radosgw", "-n", "client.rgw")
        self._until(120, lambda: self._listens(self.port), "the gateway")
        return self

    def _uuid(self) -> str:
        (one,) = json.loads(self.run("ceph", "osd", "dump", "-f", "json"))["osds"]
        return str(one["uuid"])

    def user(self, name: str) -> tuple[str, str]:
        """Make a user of the gateway; its key and secret."""
        said = self.run(
            "radosgw-admin", "-n", "client.rgw", "user", "create", f"--uid={name}", f"--display-name={name}"
        )
        (keys,) = json.loads(said)["keys"]
        return keys["access_key"], keys["secret_key"]

    def stop(self) -> None:
        for one in reversed(self._running):
            one.terminate()
        for one in self._running:
            try:
                one.wait(20)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()


if __name__ == "__main__":
    import sys

    ceph = Ceph(Path(sys.argv[1]))
    began = time.monotonic()
    try:
        ceph.start()
        print(ceph.url, ceph.user("keeper"), round(time.monotonic() - began, 1), os.getpid())
    finally:
        ceph.stop()
