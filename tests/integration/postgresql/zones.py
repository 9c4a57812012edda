# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three servers in three zones, each zone a network that can be cut off, with what the role renders.

In each zone: a server, a pooler in front of the primary, and clients. Servers and poolers have the configuration that
the operator makes of the rendered Cluster and Pooler (its files hba.go, configuration.go, explicit.go, conninfo.go and
config.go at https://github.com/cloudnative-pg/cloudnative-pg/tree/v1.24.4/pkg). Services are addresses that each zone's
node translates, as kube-proxy does: a zone that is cut off keeps what it knew.

`Operator` stands in for the operator, and is nothing but its decision: who is asked, when nobody may be promoted, who
is. It asks over the network, from outside of the zones, so it sees of a zone that is cut off what the operator would.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.lab import layout
from ansible_collections.banking.platform.plugins.module_utils.lab.network import Network, remove

ZONES = ("zone-a", "zone-b", "zone-c")
NAME, SUPERNET = "pgzones", "10.91.0.0/16"
PRIMARY, STANDBYS = "10.91.100.10", "10.91.100.11"  # the Services -rw and -ro
PORT, POOLER, SPLITTER = 5432, 6432, 9999
PASSWORD, DATABASE, USER = "of-the-tests-only", "banking", "banking"
LIBRARIES = ("pg_stat_statements", "auto_explain", "pgaudit")
# What PgBouncer of the platform knows, and that of the distribution does not: since which version.
NEWER = {"max_prepared_statements": (1, 21)}
DAY = ["-days", "2"]


def server_programs() -> Path:
    """The folder of the newest server."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]


class Refused(Exception):
    """Somebody could not be asked, or said no."""


class Authority:
    """Signs certificates, all in one folder: ca.crt, and <name>.crt and .key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.certificate = folder / "ca.crt"
        self._openssl("req", "-x509", *self._key("ca"), "-out", "ca.crt", "-subj", "/CN=authority", *DAY)

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    @staticmethod
    def _key(name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]

    def sign(self, name: str, names: Iterable[str] = ()) -> None:
        """A certificate whose common name is its name."""
        wanted = ",".join(f"DNS:{one}" for one in names) or "DNS:nobody"
        self._openssl("req", *self._key(name), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={wanted}\n")
        signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signer, *DAY)
        shutil.chown(self.folder / f"{name}.key", "postgres")
        (self.folder / f"{name}.key").chmod(0o600)


class Zones:
    """The zones, with a server, a pooler and clients in each.

    Args:
        folder: a new one that everybody may enter.
        objects: what the role renders, by kind and name.
        asynchronous: leave out what makes commits wait for a standby, to see what is lost then.
    """

    def __init__(
        self, folder: Path, objects: Mapping[tuple[str, str], Mapping[str, Any]], asynchronous: bool = False
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        shutil.chown(folder, "postgres")
        self.cluster = objects["Cluster", "postgres-cluster"]["spec"]
        self.pooler = objects["Pooler", "postgres-pooler"]["spec"]["pgbouncer"]
        self.objects = objects
        self.synchronous = {} if asynchronous else dict(self.cluster["postgresql"]["synchronous"])
        names = objects["Certificate", "postgres-server"]["spec"]["dnsNames"]
        self.authority = Authority(folder / "tls")
        self.authority.sign("server", names)
        for client in ("streaming_replica", "cnpg_pooler_pgbouncer"):
            self.authority.sign(client)
        nodes = {
            f"pg-{n}": {"zone": zone, "address": f"10.91.{n}.11"}
            for n, zone in enumerate(ZONES[: self.cluster["instances"]], 1)
        }
        self.lab = layout.parse(NAME, SUPERNET, nodes)
        self.network = Network(self.lab)
        self.instances = [Instance(self, n, node) for n, node in enumerate(self.lab.nodes, 1)]
        self.poolers: list[subprocess.Popen[bytes]] = []
        self.cut_off: set[str] = set()
        # What the Services are: addresses of the primary, and of standbys.
        self._services: tuple[str, list[str]] = ("", [])

    # Network

    def up(self) -> None:
        """Make zones, servers and poolers."""
        remove(NAME, SUPERNET)
        self.network.make_router()
        for network in self.lab.zones:
            self.network.make_zone(network)
        for node in self.lab.nodes:
            self.network.make_node(node)
        first, *others = self.instances
        first.create()
        first.start()
        self.point_at(first)
        first.prepare()
        for other in others:
            other.follow()
        self.point_at(first)
        for zone in ZONES:
            self._start_pooler(zone)
        self.until(lambda: len(first.standbys()) == len(others), "standbys to follow")

    def down(self) -> None:
        """End all that was started, and remove the network."""
        for process in self.poolers:
            process.kill()
            process.wait()
        for instance in self.instances:
            instance.stop("immediate")
        remove(NAME, SUPERNET)

    def cut(self, zone: str) -> None:
        """Pull a zone's cable: nothing comes in or out, and nobody is told."""
        self.network.partition_zone(self.lab.zone(zone), True)
        self.cut_off.add(zone)

    def heal(self, zone: str) -> None:
        """Plug it in again. Its node hears of what the Services are now."""
        self.network.partition_zone(self.lab.zone(zone), False)
        self.cut_off.discard(zone)
        self._translate(zone)

    def point_at(self, primary: Instance) -> None:
        """Let the Services lead to a primary and to who follows it, where this is heard."""
        ready = [one for one in self.instances if one is not primary and one.running and one.zone not in self.cut_off]
        self._services = (primary.address, [one.address for one in ready])
        for zone in ZONES:
            if zone not in self.cut_off:
                self._translate(zone)

    def _translate(self, zone: str) -> None:
        primary, standbys = self._services
        choice = ", ".join(f"{n} : {address}" for n, address in enumerate(standbys))
        to_standbys = f"numgen random mod {len(standbys)} map {{ {choice} }}" if standbys else primary
        rules = f"""
            table ip services
            delete table ip services
            table ip services {{
                chain output {{
                    type nat hook output priority -100
                    ip daddr {PRIMARY} tcp dport {PORT} dnat to {primary}
                    ip daddr {STANDBYS} tcp dport {PORT} dnat to {to_standbys}
                }}
            }}
        """
        subprocess.run([*self.inside(zone), "nft", "-f", "-"], input=rules, text=True, check=True)

    def inside(self, zone: str) -> list[str]:
        """The beginning of a command that runs on a zone's node."""
        node = next(node for node in self.lab.nodes if node.zone == zone)
        return ["ip", "netns", "exec", self.lab.netns(node.name)]

    def instance(self, zone: str) -> Instance:
        """The server of a zone."""
        return next(one for one in self.instances if one.zone == zone)

    # Poolers

    def _start_pooler(self, zone: str) -> None:
        folder = self.folder / f"pooler-{zone}"
        folder.mkdir()
        shutil.chown(folder, "postgres")
        tls = self.authority.folder
        version = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True, check=True).stdout
        own = tuple(int(part) for part in version.split()[1].split(".")[:2])
        settings = {
            # The operator's defaults, what the role says, and what the operator insists on.
            "log_stats": "0",
            "auth_type": "hba",
            "client_tls_sslmode": "prefer",
            "server_tls_sslmode": "verify-ca",
            "ignore_startup_parameters": "extra_float_digits,options",
            **{name: value for name, value in self.pooler["parameters"].items() if own >= NEWER.get(name, (0, 0))},
            "pool_mode": self.pooler["poolMode"],
            "listen_addr": "*",
            "listen_port": str(POOLER),
            "unix_socket_dir": "",
            "auth_hba_file": str(folder / "hba"),
            "auth_user": "cnpg_pooler_pgbouncer",
            "auth_query": "SELECT usename, passwd FROM public.user_search($1)",
            "server_tls_ca_file": str(self.authority.certificate),
            "server_tls_cert_file": str(tls / "cnpg_pooler_pgbouncer.crt"),
            "server_tls_key_file": str(tls / "cnpg_pooler_pgbouncer.key"),
            "client_tls_cert_file": str(tls / "server.crt"),
            "client_tls_key_file": str(tls / "server.key"),
            "client_tls_ca_file": str(self.authority.certificate),
        }
        lines = ["[databases]", f"* = host={PRIMARY}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        hba = [*self.pooler["pg_hba"], "host all all 0.0.0.0/0 md5", "host all all ::/0 md5"]
        (folder / "hba").write_text("\n".join(hba) + "\n")
        with open(folder / "log", "wb") as log:
            command = [*self.inside(zone), *AS_POSTGRES, "pgbouncer", str(folder / "pgbouncer.ini")]
            self.poolers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def client(self, zone: str, port: int = POOLER, service: str = "postgres-pooler") -> list[str]:
        """psql on a zone's node, by its pooler or another port of it, with TLS and a verified name."""
        address = self.instance(zone).address
        words = [f"host={service}.banking-data.svc", f"hostaddr={address}", f"port={port}", f"user={USER}"]
        words += [f"password={PASSWORD}", f"dbname={DATABASE}", "sslmode=verify-full", "connect_timeout=2"]
        words += [f"sslrootcert={self.authority.certificate}"]
        return [*self.inside(zone), "psql", "-XqtA", "-v", "ON_ERROR_STOP=1", " ".join(words)]

    def ask(self, zone: str, sql: str, port: int = POOLER, service: str = "postgres-pooler") -> str:
        """What a client of a zone is told.

        Raises:
            Refused: with what was said.
        """
        return run([*self.client(zone, port, service), "-c", sql])

    @staticmethod
    def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something is true; what is being waited for is said when it never is."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
            time.sleep(0.1)


# It replaces itself by the program, so that a signal reaches it.
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "env", "HOME=/nowhere"]


def run(command: list[str], seconds: float = 60) -> str:
    """What a program prints.

    Raises:
        Refused: it fails or takes too long, with what it said.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False, cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"no answer in {seconds:g} s") from None
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout.strip()


class Instance:
    """A server of the cluster.

    Args:
        zones: where it is.
        number: its own, from 1.
        node: of the lab.
    """

    def __init__(self, zones: Zones, number: int, node: layout.Node) -> None:
        self.zones, self.zone, self.address = zones, node.zone, str(node.address)
        self.name = f"postgres-cluster-{number}"
        self.folder = zones.folder / self.name
        self.data = self.folder / "data"
        self.running = False

    # Files

    def create(self) -> None:
        """Make its data anew."""
        self._make_folder()
        words = ["-D", self.data, "-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        self.call("initdb", *words, "--no-sync", f"--pwfile={self.folder / 'password'}")
        self._configure()

    def follow(self) -> None:
        """Take a copy of the primary's, as the Service leads to it, and follow it."""
        self._make_folder()
        self.call("pg_basebackup", "-D", self.data, "-d", self.primary, "-X", "stream", "-c", "fast", "--no-sync")
        self.be_standby()
        self.start()

    def be_standby(self) -> None:
        """Follow the primary from its next start on."""
        self._configure()
        (self.data / "standby.signal").touch()
        shutil.chown(self.data / "standby.signal", "postgres")

    def rewind(self) -> None:
        """Undo what it has and the primary has not, and follow it: what the operator does with an old primary."""
        self.call("pg_rewind", "--source-server", self.primary, "--target-pgdata", self.data)
        self.be_standby()
        self.start()

    def _make_folder(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        shutil.chown(self.folder, "postgres")

    @property
    def primary(self) -> str:
        """How it reaches the primary."""
        tls = self.zones.authority.folder
        return (
            f"host={PRIMARY} user=streaming_replica port={PORT} sslkey={tls}/streaming_replica.key "
            f"sslcert={tls}/streaming_replica.crt sslrootcert={tls}/ca.crt application_name={self.name} "
            "sslmode=verify-ca dbname=postgres tcp_user_timeout=5000"
        )

    def _configure(self) -> None:
        """The files that the operator makes of the Cluster."""
        wanted, tls = self.zones.cluster["postgresql"], self.zones.authority.folder
        settings = {
            # The operator's defaults, what the role says, and what the operator insists on.
            "max_parallel_workers": "32",
            "max_worker_processes": "32",
            "max_replication_slots": "32",
            "ssl_max_protocol_version": "TLSv1.3",
            "ssl_min_protocol_version": "TLSv1.3",
            "wal_keep_size": "512MB",
            "wal_sender_timeout": "5s",
            "wal_receiver_timeout": "5s",
            "full_page_writes": "on",
            **wanted["parameters"],
            "shared_preload_libraries": ",".join(LIBRARIES),
            "wal_level": "logical",
            "wal_log_hints": "on",
            "hot_standby": "true",
            "listen_addresses": "*",
            "port": str(PORT),
            "restart_after_crash": "false",
            "ssl": "on",
            "ssl_cert_file": str(tls / "server.crt"),
            "ssl_key_file": str(tls / "server.key"),
            "ssl_ca_file": str(tls / "ca.crt"),
            "unix_socket_directories": str(self.folder),
            "cluster_name": self.name,
            "primary_conninfo": self.primary,
            "recovery_target_timeline": "latest",
            "synchronous_standby_names": self._synchronous(),
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text("\n".join(lines) + "\n")
        (self.data / "postgresql.auto.conf").write_text("")
        hba = [
            "local all all peer map=local",
            "hostssl postgres streaming_replica all cert",
            "hostssl replication streaming_replica all cert",
            "hostssl all cnpg_pooler_pgbouncer all cert",
            *wanted["pg_hba"],
            "host all all all scram-sha-256",
        ]
        (self.data / "pg_hba.conf").write_text("\n".join(hba) + "\n")
        (self.data / "pg_ident.conf").write_text("local postgres postgres\n")

    def _synchronous(self) -> str:
        """What the operator writes for `synchronous`: all instances, of which the one itself counts for nothing."""
        wanted = self.zones.synchronous
        if not wanted:
            return ""
        names = ",".join(f'"{one.name}"' for one in self.zones.instances)
        return f"{wanted['method'].upper()} {wanted['number']} ({names})"

    # Processes

    def call(self, program: str, *words: object) -> None:
        """Run one of the server's programs on its node, as its user."""
        out = self.folder / f"{program}.out"
        command = [*self.zones.inside(self.zone), *AS_POSTGRES, str(server_programs() / program), *map(str, words)]
        with open(out, "wb") as file:  # not a pipe: the server would keep it
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        assert done.returncode == 0, out.read_text() + self.log()

    def start(self) -> None:
        """Start it with its configuration."""
        self.call("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "start")
        self.running = True

    def stop(self, mode: str) -> None:
        """Stop it."""
        if self.running:
            self.call("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")
            self.running = False

    def log(self) -> str:
        """The end of what it has written."""
        path = self.folder / "log"
        return path.read_text()[-4000:] if path.exists() else ""

    # Questions

    def ask(self, sql: str, database: str = "postgres", options: str = "") -> str:
        """What it says to who is on its own node, whatever has become of its zone.

        Raises:
            Refused: with what was said.
        """
        words = f"host={self.folder} port={PORT} user=postgres dbname={database} options='{options}'"
        return run([*AS_POSTGRES, "psql", "-XqtA", "-v", "ON_ERROR_STOP=1", words, "-c", sql])

    def prepare(self) -> None:
        """Make what the operator makes: roles, the database, the poolers' function; and a table to write to."""
        read = "pg_read_binary_file(text), pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)"
        look = "pg_ls_dir(text, boolean, boolean), pg_catalog.pg_stat_file(text, boolean)"
        self._alone(
            "CREATE ROLE streaming_replica REPLICATION LOGIN; CREATE ROLE cnpg_pooler_pgbouncer LOGIN; "
            f"GRANT EXECUTE ON FUNCTION pg_catalog.{look}, pg_catalog.{read} TO streaming_replica; "
            f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"
        )
        self._alone(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        for database in ("postgres", DATABASE):
            self._alone(
                "CREATE FUNCTION public.user_search(uname text) RETURNS TABLE (usename name, passwd text) "
                "LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS "
                "'SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1'; "
                "REVOKE ALL ON FUNCTION public.user_search(text) FROM public; "
                "GRANT EXECUTE ON FUNCTION public.user_search(text) TO cnpg_pooler_pgbouncer",
                database,
            )
        table = "CREATE TABLE public.ledger (writer text, number int, PRIMARY KEY (writer, number))"
        self._alone(f"{table}; ALTER TABLE public.ledger OWNER TO {USER}", DATABASE)

    def _alone(self, sql: str, database: str = "postgres") -> None:
        """Change something while nobody follows yet: a commit would wait."""
        assert self.ask(sql, database, "-c synchronous_commit=local") == ""

    def standbys(self) -> list[str]:
        """Names of who follows it."""
        return self.ask("SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'").split()

    def rows(self) -> str:
        """A digest of all that was written, and how much it is."""
        digest = "coalesce(md5(string_agg(l::text, ';' ORDER BY writer, number)), '')"
        return self.ask(f"SELECT count(*) || ' ' || {digest} FROM ledger l", DATABASE)

    def there(self) -> set[tuple[str, int]]:
        """All that was written, by writer and number."""
        lines = self.ask("SELECT writer, number FROM ledger", DATABASE).split()
        return {(writer, int(number)) for writer, _bar, number in (line.partition("|") for line in lines)}


class Operator:
    """Decides who is the primary, as the operator does, with what can be seen from outside of the zones.

    Sources: docs/src/failover.md, and internal/controller/replicas_quorum.go of v1.30.0: with R standbys that can be
    asked, W that a commit waits for, and N that it may be, nobody is promoted unless R + W > N. Without
    `failoverQuorum` nobody counts. The one that has received most of the log is promoted, when none receives any more.
    """

    def __init__(self, zones: Zones) -> None:
        self.zones = zones
        self.primary = zones.instances[0]

    def ask(self, instance: Instance, sql: str) -> str:
        """What an instance says over the network.

        Raises:
            Refused: when it cannot be reached.
        """
        words = f"host={instance.address} port={PORT} user=postgres password={PASSWORD} dbname=postgres"
        words += f" sslmode=verify-ca sslrootcert={self.zones.authority.certificate} connect_timeout=2"
        router = ["ip", "netns", "exec", self.zones.lab.router_netns]
        return run([*router, "psql", "-XqtA", "-v", "ON_ERROR_STOP=1", words, "-c", sql], 5)

    def answers(self, instance: Instance) -> bool:
        """Whether an instance can be asked."""
        try:
            return self.ask(instance, "SELECT 1") == "1"
        except Refused:
            return False

    def fail_over(self) -> Instance | None:
        """Promote one when the primary does not answer; the primary afterwards, or None when nobody may be."""
        if self.answers(self.primary):
            return self.primary
        candidates = [one for one in self.zones.instances if one is not self.primary and self.answers(one)]
        wanted = self.zones.synchronous
        among = len(self.zones.instances) - 1
        if not candidates or (wanted.get("failoverQuorum") and len(candidates) + wanted["number"] <= among):
            return None
        receiving = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"
        Zones.until(lambda: all(self.ask(one, receiving) == "0" for one in candidates), "standbys to notice")
        place = "SELECT coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"
        chosen = max(candidates, key=lambda one: int(self.ask(one, place)))
        assert self.ask(chosen, "SELECT pg_promote(true, 60)") == "t"
        self.primary = chosen
        self.zones.point_at(chosen)
        return chosen

    def bring_back(self, old: Instance) -> None:
        """An old primary is back: it stops, and follows the new one from where they parted."""
        old.stop("fast")
        old.rewind()
        self.zones.until(lambda: old.name in self.primary.standbys(), f"{old.name} to follow")
        self.zones.point_at(self.primary)


class Writer(threading.Thread):
    """A client of a zone that writes one row after the other and remembers what was acknowledged, and when.

    What was sent and never answered is not written again: it may be there or not.
    """

    def __init__(self, zones: Zones, zone: str) -> None:
        super().__init__(daemon=True)
        self.zones, self.zone, self.name = zones, zone, f"writer-{zone}-{next(_NUMBERS)}"
        self.acknowledged: list[tuple[int, float]] = []
        self.refusals: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        """Write until it is told to end."""
        numbers = itertools.count(1)
        while not self._ended.is_set():
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                self.zones.client(self.zone), stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1, cwd="/"
            )
            self._process = process
            try:
                self._write(process, numbers)
            except BrokenPipeError:
                pass
            process.kill()
            _out, said = process.communicate()
            self.refusals.append(said.strip())
            self._ended.wait(0.2)

    def _write(self, process: subprocess.Popen[str], numbers: Iterator[int]) -> None:
        assert process.stdin
        assert process.stdout
        while not self._ended.is_set():
            number = next(numbers)
            # psql prints when the server has said that the command is complete.
            process.stdin.write(f"INSERT INTO ledger VALUES ('{self.name}', {number}) RETURNING number;\n")
            if process.stdout.readline() != f"{number}\n":
                return
            self.acknowledged.append((number, time.monotonic()))

    def end(self) -> None:
        """Stop, and wait for it."""
        self._ended.set()
        if self._process:
            self._process.kill()
        self.join()

    def after(self, moment: float) -> list[float]:
        """When it was acknowledged after a moment, in seconds from it."""
        return [when - moment for _number, when in self.acknowledged if when > moment]

    def lost(self, there: set[tuple[str, int]]) -> list[int]:
        """What was acknowledged and is not there."""
        return [number for number, _when in self.acknowledged if (self.name, number) not in there]

    def silence(self, since: float) -> float:
        """Seconds of the longest time without an acknowledgement after a moment."""
        times = [0.0, *self.after(since)]
        return max((after - before for before, after in itertools.pairwise(times)), default=float("inf"))


_NUMBERS = itertools.count(1)
