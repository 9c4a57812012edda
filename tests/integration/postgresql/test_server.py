# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role renders, in a real PostgreSQL: its parameters, who may come, databases and migrations."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.postgresql.conftest import LIBRARIES
from ansible_collections.banking.platform.tests.integration.postgresql.server import Server
from ansible_collections.banking.platform.tools.suites import CLONE

MIGRATIONS = CLONE / "roles" / "postgresql" / "files" / "migrations"
# Parameters that the server of the platform has, and that of the distribution, which is older, does not: since when.
NEWER = {"auto_explain.log_parameter_max_length": 16}
LOANS = "CREATE TABLE loans (id bigint PRIMARY KEY, customer_id bigint, status text)"
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('public.idx_loans_customer_status')"


def migrate(server: Server, *databases: str, folder: Path = MIGRATIONS) -> subprocess.CompletedProcess[str]:
    """What the Job runs."""
    return subprocess.run(
        ["bash", str(folder / "run.sh"), str(folder), "banking", *databases],
        env=server.environment("platform_migrations"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_server_takes_every_parameter_and_uses_it(server: Server, cluster: dict[str, Any]) -> None:
    parameters = cluster["postgresql"]["parameters"]
    assert len(parameters) > 20
    for name in parameters:
        if name in NEWER and int(server.ask("SHOW server_version_num")) < NEWER[name] * 10000:
            continue
        source = server.ask(f"SELECT source || ' ' || pending_restart FROM pg_settings WHERE name = '{name}'")
        assert source == "configuration file false", name
    wrong = server.ask("SELECT name FROM pg_file_settings WHERE NOT applied AND error IS NOT NULL").split()
    assert set(wrong) <= set(NEWER)
    assert server.ask("SHOW shared_preload_libraries") == ",".join(LIBRARIES)


def test_a_parameter_that_is_none_is_refused(cluster: dict[str, Any], folder: Path) -> None:
    """That the test above could fail."""
    settings = {**cluster["postgresql"]["parameters"], "max_slot_wal_keep": "1GB"}
    server = Server(folder, settings, cluster["postgresql"]["pg_hba"], LIBRARIES)
    with pytest.raises(AssertionError, match='unrecognized configuration parameter "max_slot_wal_keep"'):
        server.start()


def test_nobody_comes_without_tls_or_with_an_older_one(server: Server) -> None:
    """res-B7. The operator's last line, which would take a password without TLS, stands behind these."""
    assert server.ask("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "TLSv1.3"
    assert "pg_hba.conf rejects connection" in server.ask("SELECT 1", mode="disable")
    old = {**server.environment(), "PGSSLMAXPROTOCOLVERSION": "TLSv1.2"}
    done = subprocess.run(["psql", "-Xc", "SELECT 1"], env=old, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "protocol version" in done.stderr


def test_databases_and_migrations_come_once(server: Server) -> None:
    wanted = ("registry=harbor", "keycloak=keycloak")
    first = migrate(server, *wanted)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == [
        "001-audit: done",
        "002-loans-index: waits for public.loans",
        "003-party-roles-index: waits for public.party_roles",
    ]
    owners = "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate ORDER BY 1"
    assert server.ask(owners).split() == [
        "banking|banking",
        "keycloak|keycloak",
        "postgres|postgres",
        "registry|harbor",
    ]
    state = "SELECT md5(string_agg(t::text, ',' ORDER BY name)) FROM platform.migrations t"
    before = server.ask(state, database="banking")
    again = migrate(server, *wanted)
    assert (again.returncode, again.stdout.splitlines()) == (0, first.stdout.splitlines()[1:])
    assert server.ask(state, database="banking") == before


def test_an_index_comes_when_its_table_is_there_and_after_an_attempt_that_failed(server: Server) -> None:
    assert migrate(server).returncode == 0
    # By the application, whose table it is.
    assert server.ask(LOANS, user="banking", database="banking") == ""
    server.ask("CREATE INDEX idx_loans_customer_status ON loans (id)", user="banking", database="banking")
    server.ask(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_loans_customer_status'::regclass",
        database="banking",
    )
    assert server.ask(INDEX, database="banking") == "f"
    done = migrate(server)
    assert "002-loans-index: done" in done.stdout, done.stderr
    assert server.ask(INDEX, database="banking") == "t"
    shape = server.ask("SELECT pg_get_indexdef('idx_loans_customer_status'::regclass)", database="banking")
    assert "(customer_id, status)" in shape
    assert "ACTIVE" in shape
    assert "002" not in migrate(server).stdout


def test_the_log_of_the_audit_is_added_to_and_nothing_else(server: Server) -> None:
    """res-C6: there are partitions, times have a zone, and an application cannot change what it wrote."""
    assert migrate(server).returncode == 0
    add = "INSERT INTO audit.audit_logs (user_id, action, details) VALUES ('u1', 'login', '{\"from\": \"app\"}')"
    assert server.ask(add, user="banking", database="banking") == ""
    for refused in (
        "SELECT * FROM audit.audit_logs",
        "UPDATE audit.audit_logs SET action = 'x'",
        "DELETE FROM audit.audit_logs",
        "TRUNCATE audit.audit_logs",
        "DROP TABLE audit.audit_logs",
        "SELECT audit.make_partitions(1)",
    ):
        assert "ERROR" in server.ask(refused, user="banking", database="banking"), refused
    read = "SELECT action, tableoid::regclass FROM audit.audit_logs"
    assert server.ask(read, database="banking").startswith("login|audit.audit_logs_20")
    kind = "SELECT pg_typeof(event_time) FROM audit.audit_logs"
    assert server.ask(kind, database="banking") == "timestamp with time zone"
    partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit.audit_logs'::regclass"
    assert server.ask(partitions, database="banking") == "4"
    server.ask("SET ROLE platform_migrations; SELECT audit.make_partitions(5)", database="banking")
    assert server.ask(partitions, database="banking") == "6"
    # A month begins with that of UTC, whoever asks.
    bounds = server.ask(
        "SET timezone = 'UTC'; SELECT count(*) FROM pg_class c, pg_inherits i WHERE i.inhrelid = c.oid AND inhparent = "
        "'audit.audit_logs'::regclass AND pg_get_expr(relpartbound, c.oid) LIKE '%-01 00:00:00+00%-01 00:00:00+00%'",
        database="banking",
    )
    assert bounds == "6"


def test_a_migration_that_has_changed_is_refused_and_one_that_fails_leaves_nothing(
    server: Server, tmp_path: Path
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "004-broken.sql").write_text("CREATE TABLE public.half (id int);\nSELECT 1/0;\n")
    done = migrate(server, folder=folder)
    assert done.returncode != 0
    assert "division by zero" in done.stderr
    assert server.ask("SELECT to_regclass('public.half')", database="banking") == ""
    (folder / "004-broken.sql").write_text("CREATE TABLE public.half (id int);\n")
    assert "004-broken: done" in migrate(server, folder=folder).stdout
    (folder / "001-audit.sql").write_text("SELECT 1;\n")
    done = migrate(server, folder=folder)
    assert done.returncode == 1
    assert "001-audit: has changed since it ran" in done.stderr


def test_what_changes_data_is_in_the_log_without_customers_data(server: Server) -> None:
    assert migrate(server).returncode == 0
    add = "INSERT INTO audit.audit_logs (action) VALUES ('transfer')"
    assert server.ask(add, user="banking", database="banking") == ""
    log = server.log()
    (line,) = (line for line in log.splitlines() if "AUDIT" in line and add in line)
    assert "WRITE,INSERT" in line
    assert "<not logged>" in line
    assert "connection authorized: user=banking" in log
