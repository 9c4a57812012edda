# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of the distribution with the configuration that the role renders, on loopback, with TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.banking.platform.tests.integration.vault.server import free_port

ADMIN, PASSWORD = "postgres", "of-the-tests-only"


class Server:
    """PostgreSQL.

    Args:
        folder: a new one, for its data, in folders that everybody may enter.
        parameters: of postgresql.conf, as the role renders them.
        hba: lines of pg_hba.conf, as the role renders them.
        libraries: that the operator would load.
        more: parameters of the operator's own, over all others.
        base: a base backup that it begins with, in place of no data.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, str],
        hba: Sequence[str],
        libraries: Sequence[str],
        more: Mapping[str, str] | None = None,
        base: Path | None = None,
    ) -> None:
        self._bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.folder, self.port = folder, free_port()
        self.authority = folder / "server.crt"
        self.data = folder / "data"
        # The server refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        folder.mkdir(parents=True)
        if self._as:
            shutil.chown(folder, "postgres")
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        if base:
            subprocess.run(["cp", "-a", str(base), str(self.data)], check=True)
        else:
            words = ("-D", self.data, "-U", ADMIN, f"--pwfile={folder / 'password'}", "--auth=scram-sha-256")
            self._call("initdb", *words)
        self._certificate()
        own = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "shared_preload_libraries": ",".join(libraries),
            # What the operator fixes.
            "ssl": "on",
            "ssl_cert_file": str(self.authority),
            "ssl_key_file": str(folder / "server.key"),
            "wal_level": "logical",
            "fsync": "off",
        }
        settings = {**parameters, **own, **(more or {})}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text("\n".join(lines) + "\n")
        # The last line is the operator's own.
        (self.data / "pg_hba.conf").write_text("\n".join([*hba, "host all all all scram-sha-256"]) + "\n")

    def _certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
        key = self.folder / "server.key"
        subprocess.run([*command, "-keyout", key, "-out", self.authority], check=True, capture_output=True)
        key.chmod(0o600)
        self.authority.chmod(0o644)
        if self._as:
            shutil.chown(key, "postgres")

    def _call(self, program: str, *arguments: object) -> str:
        command = [*self._as, str(self._bin / program), *map(str, arguments)]
        with open(self.folder / f"{program}.out", "wb") as out:  # not a pipe: the server would keep it
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
            )
        said = (self.folder / f"{program}.out").read_text()
        assert done.returncode == 0, said
        return said

    def start(self) -> None:
        """Start it with its configuration.

        Raises:
            AssertionError: it does not; with what it said.
        """
        try:
            self._call("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "start")
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.log()}") from failure

    def back_up(self, folder: Path) -> None:
        """Make a base backup, without the log that is written meanwhile: that is in the archive."""
        self._call(
            "pg_basebackup", "-h", self.folder, "-p", self.port, "-U", ADMIN, "-D", folder, "-X", "none", "-c", "fast"
        )

    def log(self) -> str:
        """What it has written."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """Stop it."""
        self._call("pg_ctl", "-D", self.data, "-m", "immediate", "stop")

    def environment(self, user: str = ADMIN, mode: str = "verify-full") -> dict[str, str]:
        """Of a client; all users have the same password."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
            "PGHOST": "localhost",
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGPASSWORD": PASSWORD,
            "PGSSLMODE": mode,
            "PGSSLROOTCERT": str(self.authority),
        }

    def ask(self, sql: str, user: str = ADMIN, database: str = "postgres", mode: str = "verify-full") -> str:
        """What psql prints; what it refuses begins with `ERROR`."""
        command = ["psql", "-X", "-qtA", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]
        done = subprocess.run(
            command, env=self.environment(user, mode), capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else f"ERROR {done.stderr.strip()}"
