# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six servers of Redis on loopback, configured as the role says and formed into a cluster as its operator does it.

Zones are networks of loopback, and one is lost by killing what is in it. Source of the image's part of the
configuration: OT-CONTAINER-KIT/redis, entrypoint.sh; of how a cluster is formed:
OT-CONTAINER-KIT/redis-operator@v0.18.1, pkg/k8sutils/redis.go.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.redis_placement import moves

NET, PORT = "127.61", 26390
PASSWORDS = {"default": "of-the-operator", "banking-apps": "of-the-applications"}


class Refused(Exception):
    """What Redis answered in place of a value."""


def slot(key: str) -> int:
    """The slot of a key, by its tag in braces if it has one."""
    tag = key.partition("{")[2].partition("}")[0] or key
    return binascii.crc_hqx(tag.encode(), 0) % 16384


class Connection:
    """A client of one server, by TLS and as a user.

    Args:
        address: of the server.
        authority: the file of whom it has its certificate.
        user: one of PASSWORDS.
        patience: seconds after which an answer is no longer waited for.
    """

    def __init__(self, address: str, authority: Path, user: str = "default", patience: float = 0.5) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.check_hostname = False
        raw = socket.create_connection((address, PORT), timeout=patience)
        self._socket = context.wrap_socket(raw)
        self._stream = self._socket.makefile("rb")
        self.call("AUTH", user, PASSWORDS[user])

    def call(self, *words: str) -> Any:
        """Say a command and return the answer; Refused, or an OSError."""
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self._socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return self._answer()

    def _answer(self) -> Any:
        line = self._stream.readline()
        if not line:
            raise ConnectionError("the server has gone")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self._stream.read(int(text) + 2)[:-2].decode()
        if kind == b"*":
            return [self._answer() for _item in range(int(text))]
        return text

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@dataclass
class Server:
    """A member. `name` is that of its pod."""

    name: str
    zone: str
    address: str
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Cluster:
    """Leaders and followers, each in the zone that is told.

    Attributes:
        folder: where all files are.
        additional: the role's part of the configuration.
        acl: the role's ACL, as External Secrets makes it.
        servers: by name.
    """

    folder: Path
    additional: str
    acl: str
    servers: dict[str, Server] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.authority = self.folder / "tls" / "ca.crt"
        (self.folder / "tls").mkdir()
        _certificates(self.folder / "tls")
        (self.folder / "user.acl").write_text(self.acl)
        (self.folder / "additional.conf").write_text(self.additional.replace("/tls/", f"{self.folder}/tls/"))

    def add(self, role: str, zones: Sequence[str]) -> None:
        """Start members of a role, one for each zone that is named."""
        for number, zone in enumerate(zones):
            address = f"{NET}.{1 + ord(zone[-1]) - ord('a')}.{10 * (role == 'follower') + number + 1}"
            server = Server(f"redis-sessions-{role}-{number}", zone, address)
            self.servers[server.name] = server
            self.start(server)

    def start(self, server: Server) -> None:
        """Start a member with what the image and the role say."""
        data = self.folder / server.name
        data.mkdir(exist_ok=True)
        tls = self.folder / "tls"
        conf = data / "redis.conf"
        conf.write_text(
            f"bind {server.address}\nmasterauth {PASSWORDS['default']}\nrequirepass {PASSWORDS['default']}\n"
            "protected-mode yes\ncluster-enabled yes\ncluster-node-timeout 5000\n"
            "cluster-require-full-coverage no\ncluster-migration-barrier 1\n"
            f"cluster-config-file {data}/nodes.conf\nsave 900 1\nsave 300 10\nsave 60 10000\nappendonly yes\n"
            f'appendfilename "appendonly.aof"\ndir {data}\ntls-cert-file {tls}/tls.crt\ntls-key-file {tls}/tls.key\n'
            f"tls-ca-cert-file {tls}/ca.crt\ntls-auth-clients optional\ntls-replication yes\ntls-cluster yes\n"
            f"aclfile {self.folder}/user.acl\nport 0\ntls-port {PORT}\ncluster-announce-ip {server.address}\n"
            f"include {self.folder}/additional.conf\n"
        )
        log = (data / "log").open("ab")
        server.process = subprocess.Popen(["redis-server", str(conf)], stdout=log, stderr=log)
        self.until(lambda: self.ask(server, "PING") == "PONG", f"{server.name} to answer")

    def form(self) -> None:
        """Make a cluster of them as the operator does: leaders first, and each follower by the leader of its number."""
        leaders = [server for server in self.servers.values() if "-leader-" in server.name]
        self.cli("--cluster", "create", *(f"{one.address}:{PORT}" for one in leaders), "--cluster-yes")
        there = leaders
        for server in self.servers.values():
            if "-follower-" in server.name:
                leader = self.servers[server.name.replace("follower", "leader")]
                # What was added last has to be known to all, else the next one is told of slots that nobody has.
                self.until(lambda known=tuple(there): self._agree(known), "all to agree")  # type: ignore[misc]
                self.cli(
                    "--cluster", "add-node", *(f"{one.address}:{PORT}" for one in (server, leader)), "--cluster-slave"
                )
                there.append(server)
        self.settle()

    def settle(self) -> None:
        """Wait until all agree, and all followers are in step."""
        self.until(self._agree, "all to agree")
        self.until(
            lambda: all(
                "master_link_status:up" in said or "role:master" in said
                for said in (self.ask(server, "INFO", "replication") or "" for server in self.running)
            ),
            "followers to be in step",
        )

    @property
    def running(self) -> list[Server]:
        """Those that run."""
        return [server for server in self.servers.values() if server.process and server.process.poll() is None]

    def _agree(self, among: Sequence[Server] = ()) -> bool:
        views = {
            frozenset(
                (line.split()[0], *line.split()[2:4]) for line in (self.nodes(one).replace("myself,", "")).splitlines()
            )
            for one in among or self.running
        }
        return len(views) == 1 and "fail" not in str(views) and "handshake" not in str(views)

    def nodes(self, server: Server | None = None) -> str:
        """What CLUSTER NODES says at a member that runs."""
        return str(self.ask(server or self.running[0], "CLUSTER", "NODES") or "")

    def ask(self, server: Server, *words: str, user: str = "default") -> Any:
        """Say a command to one member; None when it does not answer."""
        try:
            connection = Connection(server.address, self.authority, user)
        except OSError:
            return None
        try:
            return connection.call(*words)
        finally:
            connection.close()

    def cli(self, *words: str) -> str:
        """Run redis-cli, as the operator does."""
        done = subprocess.run(
            ["redis-cli", "--tls", "--cacert", str(self.authority), *words],
            env={**os.environ, "REDISCLI_AUTH": PASSWORDS["default"]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def moves(self) -> list[dict[str, Any]]:
        """What the role would say to members."""
        pods = [{"name": one.name, "address": one.address, "zone": one.zone} for one in self.servers.values()]
        return moves(self.nodes(), pods)

    def place(self) -> list[str]:
        """Do what tasks/place.yml does, and return the pods that something was said to."""
        said = []
        for _round in range(2):
            for move in self.moves():
                assert self.ask(self.servers[move["pod"]], *move["command"]) == "OK"
                said.append(move["pod"])
            self.until(lambda: not any("FAILOVER" in move["command"] for move in self.moves()), "leaders to lead")
            self.settle()
        return said

    def pairs(self) -> dict[str, str]:
        """Of each replica its primary, by names."""
        found = [line.split() for line in self.nodes().splitlines()]
        by_address = {one.address: one.name for one in self.servers.values()}
        names = {fields[0]: by_address[fields[1].split("@")[0].rpartition(":")[0]] for fields in found}
        return {names[fields[0]]: names[fields[3]] for fields in found if fields[3] != "-"}

    def kill(self, zone: str) -> None:
        """Lose a zone: everything in it stops at once."""
        lost = [server for server in self.running if server.zone == zone]
        for server in lost:
            assert server.process
            server.process.kill()
        for server in lost:
            assert server.process
            server.process.wait()

    def stop(self) -> None:
        """End all that was started."""
        for server in self.running:
            assert server.process
            server.process.kill()
            server.process.wait()

    @staticmethod
    def until(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something is true; what is being waited for is said when it never is."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
            time.sleep(0.05)


class Writer(threading.Thread):
    """Writes to one shard, one value after the other, and remembers what was acknowledged and when.

    Args:
        cluster: where to.
        key: its slot says which shard.
    """

    def __init__(self, cluster: Cluster, key: str) -> None:
        super().__init__(daemon=True)
        self.cluster, self.key = cluster, key
        self.acknowledged: list[tuple[int, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Write until it is told to end."""
        connection, number, addresses = None, 0, [one.address for one in self.cluster.running]
        while not self._ended.is_set():
            try:
                connection = connection or Connection(addresses[0], self.cluster.authority, "banking-apps", 0.3)
                connection.call("SADD", self.key, str(number))
                self.acknowledged.append((number, time.monotonic()))
                number += 1
            except Refused as error:
                words = str(error).split()
                if words[0] == "MOVED":
                    target = words[2].rpartition(":")[0]
                    addresses = [target, *(one for one in addresses if one != target)]
                connection = None
                time.sleep(0.02)
            except OSError:
                addresses, connection = [*addresses[1:], addresses[0]], None

    def end(self) -> None:
        """Stop, and wait for it."""
        self._ended.set()
        self.join()

    def lost(self) -> list[tuple[int, float]]:
        """What was acknowledged and is not there: each with the time of its acknowledgement."""
        for server in self.cluster.running:
            try:
                there = set(self.cluster.ask(server, "SMEMBERS", self.key) or ())
                break
            except Refused:
                continue
        else:
            raise AssertionError(f"nobody has {self.key}")
        return [(number, when) for number, when in self.acknowledged if str(number) not in there]

    def silence(self, since: float) -> float:
        """Seconds of the longest time without an acknowledgement after a moment."""
        times = [since, *(when for _number, when in self.acknowledged if when > since)]
        return max((after - before for before, after in pairwise(times)), default=float("inf"))


def acl(template: str) -> str:
    """The ACL that External Secrets makes of the role's template: digests of passwords."""
    for user, password in PASSWORDS.items():
        wanted = f"{{{{ .{user.replace('-', '_')} | sha256sum }}}}"
        assert wanted in template
        template = template.replace(wanted, hashlib.sha256(password.encode()).hexdigest())
    assert "{{" not in template
    return template


def shard_keys(leaders: Iterable[Server], cluster: Cluster) -> dict[str, str]:
    """A key in a slot of each leader."""
    found = {}
    for line in cluster.nodes().splitlines():
        fields = line.split()
        name = next((one.name for one in leaders if fields[1].startswith(f"{one.address}:")), "")
        if name and len(fields) > 8:
            first, _dash, last = fields[8].partition("-")
            found[name] = next(
                f"revoked:{{{n}}}" for n in range(100000) if int(first) <= slot(f"{{{n}}}") <= int(last or first)
            )
    return found


def _certificates(folder: Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority", "-days", "2")
    openssl("req", *key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=redis")
    openssl(
        "x509",
        "-req",
        "-in",
        "tls.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "tls.crt",
        "-days",
        "2",
    )
