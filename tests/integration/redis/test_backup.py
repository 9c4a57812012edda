# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a real cluster by the scripts of the role, and what comes back of them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.integration.redis import cluster as redis
from ansible_collections.banking.platform.tests.integration.redis.cluster import PASSWORDS, PORT, Cluster, Server
from ansible_collections.banking.platform.tests.integration.redis.test_redis import ZONES, of_the_role
from ansible_collections.banking.platform.tests.unit.roles.conftest import Rendered, rendered
from ansible_collections.banking.platform.tools.suites import CLONE

__all__ = ["rendered"]
SCRIPTS = CLONE / "roles" / "redis" / "files"
MEMBERS = [str(number) for number in range(500)]


@pytest.fixture
def cluster(rendered: Callable[..., Rendered], tmp_path: Path) -> Iterator[Cluster]:
    """Three leaders, each with a set in one of its slots, that ends at a certain time."""
    made = Cluster(tmp_path, *of_the_role(rendered))
    try:
        made.add("leader", ZONES)
        made.form()
        yield made
    finally:
        made.stop()


def run(cluster: Cluster, script: str, *words: str, before: str = "/none") -> subprocess.CompletedProcess[str]:
    """Run one of the scripts, as its pod does."""
    given = {
        "REDISCLI_AUTH": PASSWORDS["default"],
        "TLS_CA": str(cluster.authority),
        "TLS_CERT": str(cluster.folder / "tls" / "tls.crt"),
        "TLS_KEY": str(cluster.folder / "tls" / "tls.key"),
    }
    leader = next(iter(cluster.servers.values()))
    # The image has the server and the client alone: https://github.com/OT-CONTAINER-KIT/redis/blob/master/Dockerfile
    others = cluster.folder / "not-in-the-image"
    others.mkdir(exist_ok=True)
    for name in ("redis-check-rdb", "redis-check-aof", "redis-benchmark", "redis-sentinel"):
        (others / name).write_text("#!/bin/sh\nexit 127\n")
        (others / name).chmod(0o755)
    given["PATH"] = f"{before}:{others}:{os.environ['PATH']}"
    command = ["sh", str(SCRIPTS / script), f"{leader.address}:{PORT}", *words]
    return subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=120, check=False)


def fill(cluster: Cluster) -> dict[str, Server]:
    """A key in each shard: by key the leader that has it."""
    keys = {key: cluster.servers[name] for name, key in redis.shard_keys(cluster.servers.values(), cluster).items()}
    assert len(keys) == 3

    def serving() -> bool:
        return all("cluster_state:ok" in str(cluster.ask(one, "CLUSTER", "INFO")) for one in cluster.running)

    cluster.until(serving, "all to serve")
    for key, leader in keys.items():
        assert cluster.ask(leader, "SADD", key, *MEMBERS) == len(MEMBERS)
        assert cluster.ask(leader, "EXPIRE", key, "4000") == 1
    return keys


def test_what_was_written_over_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    keys = fill(cluster)
    folder = tmp_path / "backups"
    (folder / ".20200101T000000Z").mkdir(parents=True)
    done = run(cluster, "backup.sh", str(folder), "48")
    assert done.returncode == 0, done.stdout + done.stderr
    (backup,) = folder.iterdir()  # and nothing that an earlier run left unfinished
    assert done.stdout == f"{backup.name}: 3 shards\n"
    assert (backup.stat().st_mode & 0o777, len(list(backup.glob("*.rdb")))) == (0o700, 3)

    gone, changed, _same = keys
    cluster.ask(keys[gone], "FLUSHALL")
    cluster.ask(keys[changed], "SREM", changed, *MEMBERS[:100])
    later = f"later:{gone.removeprefix('revoked:')}"  # of the same slot
    cluster.ask(keys[gone], "SET", later, "kept")

    done = run(cluster, "restore.sh", str(backup), str(tmp_path / "work"))
    assert done.returncode == 0, done.stdout + done.stderr
    for key, leader in keys.items():
        assert set(cluster.ask(leader, "SMEMBERS", key)) == set(MEMBERS)
        assert 3000 < cluster.ask(leader, "TTL", key) <= 4000
    assert cluster.ask(keys[gone], "GET", later) == "kept"
    # What was written back stands in no log: keys are tokens.
    assert not any(key in done.stdout + done.stderr for key in keys)


def test_old_backups_go_and_only_those(cluster: Cluster, tmp_path: Path) -> None:
    fill(cluster)
    folder = tmp_path / "backups"
    for name in ("20200101T000000Z", "20200102T000000Z", "20200103T000000Z", "lost+found"):
        (folder / name).mkdir(parents=True)
    done = run(cluster, "backup.sh", str(folder), "3")
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names[:2] + names[3:] == ["20200102T000000Z", "20200103T000000Z", "lost+found"]


def test_where_there_is_no_room_the_oldest_go_and_the_last_stays(cluster: Cluster, tmp_path: Path) -> None:
    fill(cluster)
    folder = tmp_path / "backups"
    for name in ("20200101T000000Z", "20200102T000000Z", "20200103T000000Z"):
        (folder / name).mkdir(parents=True)
    # A disk that is full, whatever is removed.
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "df").write_text("#!/bin/sh\nprintf 'Filesystem\\nfull 100 100 0 100%% /\\n'\n")
    (programs / "df").chmod(0o755)
    done = run(cluster, "backup.sh", str(folder), "3", before=str(programs))
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert (names[0], len(names)) == ("20200103T000000Z", 2)


def test_a_backup_of_a_cluster_that_lacks_a_shard_is_none(cluster: Cluster, tmp_path: Path) -> None:
    fill(cluster)
    folder = tmp_path / "backups"
    folder.mkdir()
    cluster.kill("zone-c")
    done = run(cluster, "backup.sh", str(folder), "48")
    assert done.returncode == 1
    assert "of 16384 slots have a primary - next: " in done.stderr
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == []


def test_what_is_no_backup_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    keys = fill(cluster)
    folder = tmp_path / "backups"
    folder.mkdir()
    assert run(cluster, "backup.sh", str(folder), "48").returncode == 0
    (backup,) = folder.iterdir()
    done = run(cluster, "restore.sh", str(folder / "20200101T000000Z"), str(tmp_path / "work"))
    assert done.returncode == 1
    assert f"next: name one of: {backup}" in done.stderr
    for file in backup.glob("*.rdb"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    started = time.monotonic()
    done = run(cluster, "restore.sh", str(backup), str(tmp_path / "work"))
    assert done.returncode != 0
    assert "cannot be read" in done.stderr
    assert time.monotonic() - started < 60
    assert all(cluster.ask(leader, "SCARD", key) == len(MEMBERS) for key, leader in keys.items())
