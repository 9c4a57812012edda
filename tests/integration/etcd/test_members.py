# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a real etcd that go and come, each a process on the loopback address."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.encryption import Places
from ansible_collections.banking.platform.plugins.module_utils.node.etcd_members import Members
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


class Cluster:
    """Members on the loopback address, each a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        with_ports = {name: (self.port(), self.port()) for name in ("a", "b", "c", "d")}
        self.clients = {name: f"http://127.0.0.1:{ports[0]}" for name, ports in with_ports.items()}
        self.peers = {name: f"http://127.0.0.1:{ports[1]}" for name, ports in with_ports.items()}

    @staticmethod
    def port() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    def start(self, name: str, initial: str, state: str = "new") -> None:
        argv = ["etcd", "--name", name, "--data-dir", str(self.folder / name), "--log-level", "error"]
        argv += ["--listen-peer-urls", self.peers[name], "--initial-advertise-peer-urls", self.peers[name]]
        argv += ["--listen-client-urls", self.clients[name], "--advertise-client-urls", self.clients[name]]
        argv += ["--initial-cluster", initial, "--initial-cluster-state", state, "--unsafe-no-fsync"]
        argv += ["--heartbeat-interval", "100", "--election-timeout", "1000"]
        self.processes[name] = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(20)

    def on(self, through: str, about: str, check: bool = False) -> Members:
        options = self.folder / f"{through}.env"
        options.write_text(f"ETCDCTL_ENDPOINTS={self.clients[through]}\n")
        places = Places(etcdctl=str(shutil.which("etcdctl")), etcd=str(options))
        return Members(System(), about, self.peers[about], check, timeout=120, places=places)

    def names(self, through: str) -> dict[str, bool]:
        """Who is a member, and who is healthy."""
        return {member.name: member.healthy for member in self.on(through, through).members()}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if not shutil.which("etcd"):
        pytest.skip("etcd is not in the virtual environment: make venv")
    running = Cluster(tmp_path)
    initial = ",".join(f"{name}={running.peers[name]}" for name in "abc")
    for name in "abc":
        running.start(name, initial)
    deadline = time.monotonic() + 30
    while True:
        try:
            if all(running.names("a").values()):
                break
        except Failure:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.3)
    yield running
    for name in list(running.processes):
        running.stop(name)


def actions(made: Members, state: str) -> list[str]:
    made.make(state)
    return [step.action for step in made.plan.steps]


def test_a_lost_member_goes_and_another_comes_in_its_place(cluster: Cluster) -> None:
    cluster.stop("a")
    assert cluster.names("b") == {"a": False, "b": True, "c": True}
    # Nothing is added while one is away: it would be 2 of 4.
    with pytest.raises(Failure, match="etcd is not whole, a does not answer"):
        cluster.on("b", "d").make("learner")
    assert actions(cluster.on("b", "a", check=True), "absent") == ["delete"]
    assert "a" in cluster.names("b")
    assert actions(cluster.on("b", "a"), "absent") == ["delete"]
    assert actions(cluster.on("b", "a"), "absent") == ["none"]
    assert cluster.names("b") == {"b": True, "c": True}

    assert actions(cluster.on("b", "d", check=True), "learner") == ["create"]
    adding = cluster.on("b", "d")
    assert actions(adding, "learner") == ["create"]
    # It was never started: it has no name yet, and is the same one all the same.
    again = cluster.on("c", "d")
    assert actions(again, "learner") == ["none"]
    assert set(again.initial_cluster.split(",")) == {f"{name}={cluster.peers[name]}" for name in "bcd"}
    cluster.start("d", again.initial_cluster, "existing")
    assert actions(cluster.on("b", "d"), "voter") == ["update"]
    assert actions(cluster.on("b", "d"), "voter") == ["none"]
    assert cluster.names("d") == {"b": True, "c": True, "d": True}


def test_without_a_majority_nothing_is_changed(cluster: Cluster) -> None:
    cluster.stop("b")
    with pytest.raises(Failure, match="without a, 2 of etcd's 2 members have to be healthy, and 1 are"):
        cluster.on("c", "a").make("absent")
    assert set(cluster.names("c")) == {"a", "b", "c"}
    cluster.stop("a")
    with pytest.raises(Failure, match="etcd:"):
        cluster.on("c", "a").make("absent")


def test_one_that_never_starts_gets_no_vote_and_can_be_taken_out_again(cluster: Cluster) -> None:
    cluster.on("a", "d").make("learner")
    promoting = cluster.on("a", "d")
    promoting.timeout = 0
    with pytest.raises(Failure, match="the member d gets no vote"):
        promoting.make("voter")
    assert actions(cluster.on("a", "d"), "absent") == ["delete"]
    assert set(cluster.names("a")) == {"a", "b", "c"}
