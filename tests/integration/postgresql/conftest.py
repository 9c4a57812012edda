# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that runs with what the role renders, roles of the role's own list in it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.postgresql.server import PASSWORD, Server
from ansible_collections.banking.platform.tests.unit.roles.conftest import Rendered, rendered

__all__ = ["rendered"]
LIBRARIES = ("pg_stat_statements", "auto_explain", "pgaudit")


@pytest.fixture
def cluster(rendered: Callable[..., Rendered]) -> dict[str, Any]:
    """What the role says of the cluster."""
    found: dict[str, Any] = rendered("postgresql", "2024.1", postgresql_memory="1Gi", **SIZES).objects[
        "Cluster", "postgres-cluster"
    ]["spec"]
    return found


# What a machine of tests has room for.
SIZES: dict[str, Any] = {
    "postgresql_max_connections": 50,
    "postgresql_overrides": {
        "shared_buffers": "64MB",
        "effective_cache_size": "256MB",
        "work_mem": "4MB",
        "maintenance_work_mem": "64MB",
    },
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the server may come, which is not root: pytest's own folders are closed to it."""
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "server"


@pytest.fixture
def server(cluster: dict[str, Any], folder: Path) -> Iterator[Server]:
    """The server, started, with the roles that the operator would make."""
    settings = cluster["postgresql"]
    made = Server(folder, settings["parameters"], settings["pg_hba"], LIBRARIES)
    made.start()
    try:
        for role in cluster["managed"]["roles"]:
            words = ["LOGIN" if role["login"] else "NOLOGIN", "CREATEDB" if role.get("createdb") else "NOCREATEDB"]
            assert made.ask(f"CREATE ROLE {role['name']} {' '.join(words)} PASSWORD '{PASSWORD}'") == ""
        for role in cluster["managed"]["roles"]:
            for group in role.get("inRoles", []):
                assert made.ask(f"GRANT {group} TO {role['name']}") == ""
        first = cluster["bootstrap"]["initdb"]
        assert made.ask(f"CREATE DATABASE {first['database']} OWNER {first['owner']}") == ""
        yield made
    finally:
        made.stop()
