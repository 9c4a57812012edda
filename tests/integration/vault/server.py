# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One OpenBao on loopback: TLS, integrated storage in a folder of its own, an audit log; and a real PostgreSQL."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.banking.platform.plugins.module_utils.vault import Vault
from ansible_collections.banking.platform.tools import suites

_RAFT = """\
storage "raft" {{
  path = "{folder}/data"
  node_id = "only"
  performance_multiplier = 1
}}
"""
_CONFIG = """\
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_cert_file = "{folder}/server.pem"
  tls_key_file = "{folder}/server.key"
  tls_client_ca_file = "{folder}/ca.pem"
}}
audit "file" "file" {{
  options = {{ file_path = "{folder}/audit.log" }}
}}
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster}"
"""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Authority:
    """A CA for tests."""

    def __init__(self, name: str = "Test CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            self._builder(self.name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.public = (
            self.key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=2))
        )

    def issue(self, name: str) -> tuple[str, str]:
        """A certificate for this name on loopback, for servers and clients, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        plain = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), plain.decode()


class Server:
    """One OpenBao.

    Args:
        folder: where everything of it is; its own.
        storage: the block of its configuration; integrated storage by default.

    Attributes:
        url, ca: how to reach it.
        token, keys: the root token and the shares, once it is initialised.
    """

    def __init__(self, folder: Path, storage: str = _RAFT) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.authority = Authority()
        self.ca = folder / "ca.pem"
        self.token = ""
        self.keys: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        self.ca.write_text(self.authority.pem)
        certificate, key = self.authority.issue("vault")
        (folder / "server.pem").write_text(certificate)
        (folder / "server.key").write_text(key)
        text = (storage + _CONFIG).format(folder=folder, port=self.port, cluster=free_port())
        (folder / "config.hcl").write_text(text)

    def start(self) -> Server:
        """Start it, and wait until it answers."""
        program = suites.openbao()
        assert program
        with open(self.folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [str(program), "server", f"-config={self.folder / 'config.hcl'}"],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise AssertionError((self.folder / "server.log").read_text()[-3000:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it."""
        if self._process:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def options(self, **more: Any) -> dict[str, Any]:
        """The options of a module that reach it."""
        return {"url": [self.url], "ca_path": str(self.ca), "token": self.token, "retry_for": 20, **more}

    def client(self, **more: Any) -> Vault:
        """A client, with the root token by default."""
        return Vault(self.options(**more))

    def initialise(self) -> Server:
        """Initialise with one share, and unseal."""
        body = {"secret_shares": 1, "secret_threshold": 1}
        made = self.client().request("PUT", "sys/init", body, login=False).body
        self.token, self.keys = made["root_token"], made["keys"]
        return self.unseal()

    def unseal(self) -> Server:
        """Unseal, and wait until it is active."""
        client = self.client()
        for key in self.keys:
            client.request("PUT", "sys/unseal", {"key": key}, login=False)
        client.list("sys/policies/acl")
        return self

    def log(self) -> str:
        """The audit log."""
        return (self.folder / "audit.log").read_text()


class Postgres:
    """PostgreSQL of the distribution, on a port of loopback."""

    def __init__(self, folder: Path) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            raise FileNotFoundError("PostgreSQL is missing: apt-get install postgresql")
        self._bin, self.folder, self.port = programs[-1].parent, folder, free_port()
        self.folder.mkdir(parents=True)
        # The server refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "postgres")
        password = self.folder / "password"
        password.write_text("rootpw-7f3a91")
        password.chmod(0o644)
        self._call("initdb", "-D", self.folder / "data", "-U", "admin", f"--pwfile={password}", "--auth=scram-sha-256")
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        self._call("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def _call(self, program: str, *arguments: Any) -> None:
        command = [*self._as, str(self._bin / program), *map(str, arguments)]
        with open(self.folder / f"{program}.out", "wb") as out:  # not a pipe: the server would keep it
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
            )
        assert done.returncode == 0, (self.folder / f"{program}.out").read_text()

    def ask(self, sql: str, user: str = "admin", password: str = "rootpw-7f3a91") -> str:
        """What psql says."""
        environment: Mapping[str, str] = {**os.environ, "PGPASSWORD": password}
        done = subprocess.run(
            [str(self._bin / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-tAc", sql, "postgres"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr.strip()

    def stop(self) -> None:
        """Stop it."""
        self._call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")


def audit_of(server: Server) -> list[dict[str, Any]]:
    """The requests in the audit log."""
    return [json.loads(line) for line in server.log().splitlines()]
