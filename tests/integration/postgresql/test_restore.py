# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time with a real PostgreSQL: base backup, archived log, and the moment that the role renders.

The archive is a folder. What the operator adds is `restore_command` and the rendered moment as `recovery_target_time`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.postgresql.conftest import LIBRARIES
from ansible_collections.banking.platform.tests.integration.postgresql.server import ADMIN, Server
from ansible_collections.banking.platform.tests.unit.roles.conftest import Rendered

# Of the base backup's way in, which the operator has by a certificate.
REPLICATION = [f"local replication {ADMIN} trust"]
Render = Callable[..., Rendered]


class Archive:
    """A server whose log is archived, and servers that come of the archive."""

    def __init__(self, folder: Path, rendered: Render, cluster: dict[str, Any]) -> None:
        self.folder, self._rendered, self._settings = folder, rendered, cluster["postgresql"]
        self.log = folder / "archive"
        folder.mkdir()
        folder.chmod(0o777)
        self.log.mkdir()
        self.log.chmod(0o777)
        command = f"test ! -f {self.log}/%f && cp %p {self.log}/%f"
        more = {"archive_mode": "on", "archive_command": command, "wal_log_hints": "on"}
        self.started: list[Server] = []
        self.server = self._server("server", more)
        self.server.start()
        self.started.append(self.server)

    def _server(self, name: str, more: dict[str, str], base: Path | None = None) -> Server:
        settings = self._settings
        hba = [*REPLICATION, *settings["pg_hba"]]
        return Server(self.folder / name, settings["parameters"], hba, LIBRARIES, more, base)

    def stop(self) -> None:
        for server in self.started:
            server.stop()

    def write(self, words: str) -> None:
        assert self.server.ask(f"INSERT INTO ledger VALUES ('{words}')") == ""

    def moment(self) -> str:
        """Now, as the playbook takes it: a whole second, with some time before and behind it."""
        time.sleep(1.1)
        found = self.server.ask("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        time.sleep(1.1)
        return found

    def archived(self) -> None:
        """Have all that was written archived."""
        segment = self.server.ask("SELECT pg_walfile_name(pg_switch_wal())")
        end = time.monotonic() + 30
        while not (self.log / segment).exists():
            assert time.monotonic() < end, f"{segment} is not archived"
            time.sleep(0.1)

    def restored(self, name: str, moment: str, base: Path) -> Server:
        """A server of the archive as of a moment; it is not started."""
        found = self._rendered(
            "postgresql", "2024.1", tasks="restore", postgresql_restore_name=name, postgresql_restore_time=moment
        )
        assert found.refused == []
        recovery = found.objects["Cluster", name]["spec"]["bootstrap"]["recovery"]
        target = recovery.get("recoveryTarget", {}).get("targetTime")
        more = {
            "restore_command": f"cp {self.log}/%f %p",
            "recovery_target_action": "promote",
            **({"recovery_target_time": target} if target else {}),
        }
        server = self._server(name, more, base)
        (server.data / "recovery.signal").touch()
        return server

    def rows(self, name: str, moment: str, base: Path) -> list[str]:
        """What is there in a restored server, which takes writes."""
        server = self.restored(name, moment, base)
        server.start()
        self.started.append(server)
        end = time.monotonic() + 30
        while server.ask("SELECT pg_is_in_recovery()") != "f":
            assert time.monotonic() < end, server.log()
            time.sleep(0.1)
        found = server.ask("SELECT string_agg(words, ',' ORDER BY words) FROM ledger").split(",")
        assert server.ask("INSERT INTO ledger VALUES ('new')") == ""
        return found


@pytest.fixture
def archive(folder: Path, rendered: Render, cluster: dict[str, Any]) -> Iterator[Archive]:
    made = Archive(folder, rendered, cluster)
    yield made
    made.stop()


def test_rows_before_a_moment_are_there_and_rows_after_it_are_not(archive: Archive) -> None:
    assert archive.server.ask("CREATE TABLE ledger (words text)") == ""
    archive.write("a: in the base backup")
    early = archive.moment()
    archive.write("a: in it too")
    base = archive.folder / "base"
    archive.server.back_up(base)
    archive.write("b: before")
    moment = archive.moment()
    archive.write("c: after")
    assert archive.server.ask("DELETE FROM ledger WHERE words LIKE 'a%'") == ""
    archive.archived()
    late = archive.moment()

    assert archive.rows("then", moment, base) == ["a: in it too", "a: in the base backup", "b: before"]
    assert archive.rows("newest", "latest", base) == ["b: before", "c: after"]
    assert archive.server.ask("SELECT count(*) FROM ledger") == "2"

    # Why the playbook refuses what is not in the archive: the server ends where the base backup does, without a word,
    assert archive.rows("too-early", early, base) == ["a: in it too", "a: in the base backup"]
    # and of what was never archived it says so when all is copied and replayed.
    server = archive.restored("too-late", late, base)
    with pytest.raises(AssertionError, match="recovery ended before configured recovery target was reached"):
        server.start()
