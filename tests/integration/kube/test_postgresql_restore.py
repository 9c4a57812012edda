# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/postgresql_restore.yml against a real API server, with clusters and backups as the operator leaves them."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.integration.kube.objects import namespace
from ansible_collections.banking.platform.tests.unit.roles.conftest import (  # pylint: disable=unused-import
    RELEASES,
    Rendered,
    rendered,  # noqa: F401
)
from ansible_collections.banking.platform.tools import suites

pytestmark = pytest.mark.crds
CNPG = "/apis/postgresql.cnpg.io/v1/namespaces/banking-data"
STORES = "/apis/barmancloud.cnpg.io/v1/namespaces/banking-data/objectstores"
FIRST = "2026-11-01T02:03:04Z"


def stamp(minutes_ago: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Platform:
    """An API server with the cluster of a release on it."""

    def __init__(self, server: Cluster, release: str, folder: Path) -> None:
        self.server, self.release, self.folder = server, release, folder
        self.inventory = folder / "inventory"
        shutil.copytree(suites.CLONE / "inventories" / "prod" / "group_vars", self.inventory / "group_vars")
        # No node: nobody is there to hold the lock of the run.
        (self.inventory / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")

    def restore(self, name: str, time: str, *flags: str, **more: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "platform_release": self.release,
            "platform_kubeconfig": str(self.server.admin),
            "platform_delivery": "direct",
            "platform_build_dir": str(self.folder / "build"),
            "postgresql_restore_name": name,
            "postgresql_restore_time": time,
            **more,
        }
        command = ["ansible-playbook", str(suites.CLONE / "playbooks" / "postgresql_restore.yml"), *flags]
        env = os.environ | {
            "ANSIBLE_CONFIG": str(suites.CLONE / "ansible.cfg"),
            "PLATFORM_RECORD_FOLDER": str(self.folder / "records"),
        }
        return subprocess.run(
            [*command, "-i", str(self.inventory), "-e", json.dumps(given)],
            capture_output=True, text=True, timeout=300, check=False, env=env,
        )  # fmt: skip

    def made(self, name: str, time: str, *flags: str, **more: Any) -> str:
        """What a restore says that goes well."""
        done = self.restore(name, time, *flags, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, name: str, time: str, **more: Any) -> str:
        """What a restore says that is refused, on one line."""
        done = self.restore(name, time, **more)
        assert done.returncode != 0, done.stdout
        return " ".join((done.stdout + done.stderr).split())

    def cluster(self, name: str) -> dict[str, Any] | None:
        return self.server.get(f"{CNPG}/clusters/{name}") or None

    def says(self, path: str, status: dict[str, Any]) -> None:
        """Let an object have the status that its operator would give it."""
        self.server.patch(f"{path}/status", {"status": status})

    def archives(self, since: str = FIRST, failing: str = "") -> None:
        """As when backups are made and WAL arrives, or has not arrived since a moment."""
        changed = failing or FIRST
        condition = {
            "type": "ContinuousArchiving",
            "status": "False" if failing else "True",
            "reason": "ContinuousArchivingFailing" if failing else "ContinuousArchivingSuccess",
            "lastTransitionTime": changed,
            "message": "",
        }
        old = self.release == "2024.1"
        self.says(
            f"{CNPG}/clusters/postgres-cluster",
            {"conditions": [condition], "firstRecoverabilityPoint": since if old else ""},
        )
        if not old:
            window = {"firstRecoverabilityPoint": since, "lastSuccessfulBackupTime": since} if since else {}
            self.says(f"{STORES}/postgres-cluster", {"serverRecoveryWindow": {"postgres-cluster": window}})


@pytest.fixture(params=RELEASES)
def platform(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    rendered: Callable[..., Rendered],  # noqa: F811
) -> Iterator[Platform]:
    """One that has the role's own objects."""
    missing = suites.SUITES["api"]()
    if missing:
        pytest.skip(missing)
    release = request.param
    crds = suites.crds_folder()
    assert crds
    with Cluster(tmp_path / "server", controllers=False) as server:
        client = Client(connector({"kubeconfig": server.admin}))
        # Those of the newer cert-manager are for a newer server than what the tests have.
        folders = [f"{release}/cloudnative-pg", f"{release}/barman-cloud-plugin", "2024.1/cert-manager"]
        files = [file for name in folders for file in (crds / name).glob("*.yaml")]
        known = [item for file in files for item in yaml.safe_load_all(file.read_text()) if item]
        Apply(
            client, Wish(component="crds", objects=[*known, namespace("banking-data")], wait=True), False, False
        ).run()
        own = rendered("postgresql", release).objects
        kinds = ("Cluster", "ImageCatalog", "ObjectStore", "ScheduledBackup", "Certificate")
        wanted = [item for (kind, _name), item in own.items() if kind in kinds]
        for item in wanted:
            # No operator is there to make them ready, one sub-wave after the other.
            item["metadata"].pop("annotations", None)
        Apply(client, Wish(component="postgresql", objects=wanted), False, False).run()
        yield Platform(server, release, tmp_path)


def test_a_moment_of_the_archive_becomes_a_new_cluster_and_nothing_else_changes(platform: Platform) -> None:
    platform.archives()
    before = platform.cluster("postgres-cluster")
    moment = stamp(60)
    shown = platform.made("before-the-error", moment, "--check", "--diff")
    written = moment.replace("T", " ").replace("Z", ".000000+00:00")
    assert written in shown
    assert platform.cluster("before-the-error") is None

    assert "1 host, 1 changed" in platform.made("before-the-error", moment)
    made = platform.cluster("before-the-error")
    assert made
    recovery = made["spec"]["bootstrap"]["recovery"]
    assert recovery["recoveryTarget"] == {"targetTime": written}
    assert recovery["database"] == recovery["owner"] == "banking"
    (origin,) = made["spec"]["externalClusters"]
    assert origin["name"] == recovery["source"]
    source = origin["barmanObjectStore"] if platform.release == "2024.1" else origin["plugin"]["parameters"]
    assert source["serverName"] == "postgres-cluster"
    # It reads where the other one writes, and writes to a folder of its own: its name's, where none is said.
    own = (
        made["spec"]["backup"]["barmanObjectStore"]
        if platform.release == "2024.1"
        else made["spec"]["plugins"][0]["parameters"]
    )
    assert {key: own[key] for key in own} == {key: source[key] for key in source if key != "serverName"}
    assert made["spec"]["certificates"]["serverTLSSecret"] == "before-the-error-server"
    # One instance waits for no standby.
    settings = before["spec"]["postgresql"]  # type: ignore[index]
    assert made["spec"]["postgresql"] == {key: settings[key] for key in settings if key != "synchronous"}

    assert "1 changed" not in platform.made("before-the-error", moment)
    assert platform.cluster("postgres-cluster") == before
    # Nor when the moment has left the archive since.
    platform.archives(since=stamp(30))
    assert "1 changed" not in platform.made("before-the-error", moment)
    said = platform.refused("before-the-error", stamp(10))
    assert f"before-the-error is there already, as of {moment}" in said

    platform.made("all-there-is", "latest", postgresql_restore_instances=3)
    newest = platform.cluster("all-there-is")
    assert newest
    assert "recoveryTarget" not in newest["spec"]["bootstrap"]["recovery"]
    assert newest["spec"]["postgresql"] == settings


def test_what_the_archive_does_not_have_is_refused_with_what_it_has(platform: Platform) -> None:
    platform.archives()
    for moment in ("2026-10-31T00:00:00Z", stamp(-10), stamp(1)):
        said = platform.refused("elsewhen", moment)
        assert f"{moment} is not in the archive of postgres-cluster, which goes from {FIRST} to 20" in said, said
        assert "nothing was changed" in said
    failing = stamp(120)
    platform.archives(failing=failing)
    said = platform.refused("elsewhen", stamp(60))
    assert f"goes from {FIRST} to {failing}, when archiving began to fail" in said
    assert platform.cluster("elsewhen") is None


def test_without_a_status_backups_say_what_there_is_and_without_them_nothing_is_restored(platform: Platform) -> None:
    said = platform.refused("elsewhen", stamp(60))
    assert "no base backup of postgres-cluster is known" in said
    for name, ended in (("daily-2", "2026-11-03T02:10:00Z"), ("daily-1", "2026-11-02T02:10:00Z")):
        platform.server.post(
            f"{CNPG}/backups",
            {
                "apiVersion": "postgresql.cnpg.io/v1",
                "kind": "Backup",
                "metadata": {"name": name, "namespace": "banking-data"},
                "spec": {"cluster": {"name": "postgres-cluster"}},
            },
        )
        platform.says(f"{CNPG}/backups/{name}", {"phase": "completed", "stoppedAt": ended})
    assert "goes from 2026-11-02T02:10:00Z to" in platform.refused("elsewhen", "2026-11-02T02:00:00Z")
    platform.made("elsewhen", "2026-11-02T02:10:00Z")
    assert platform.cluster("elsewhen")


@pytest.mark.parametrize("platform", ["2026.2"], indirect=True)
def test_nothing_is_restored_over_the_cluster_that_runs_or_to_no_moment(platform: Platform) -> None:
    platform.archives()
    for name, moment in (
        ("postgres-cluster", stamp(60)),
        ("", stamp(60)),
        ("Elsewhen", stamp(60)),
        ("elsewhen", ""),
        ("elsewhen", "2026-11-05 10:00"),
        ("elsewhen", "2026-11-05T10:00:00+01:00"),
    ):
        assert "a restore makes a new cluster, never over postgres-cluster" in platform.refused(name, moment)
