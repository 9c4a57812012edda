# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers for the tests of what talks to Vault."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.integration.vault import members
from ansible_collections.banking.platform.tests.integration.vault.server import Postgres, Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A new server of its own, initialised and unsealed: 0.5 s."""
    one = Server(tmp_path / "bao").start()
    try:
        yield one.initialise()
    finally:
        one.stop()


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Server]:
    """A new server that nobody has initialised."""
    one = Server(tmp_path / "bao").start()
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL; its user must be able to reach the folder."""
    with tempfile.TemporaryDirectory(prefix="platform-pg-") as name:
        Path(name).chmod(0o755)
        one = Postgres(Path(name) / "pg")
        try:
            yield one
        finally:
            one.stop()


@pytest.fixture(scope="module")
def vault() -> Iterator[members.Members]:
    """Three nodes in three zones, with nothing but OpenBao on them."""
    yield from members.made()
