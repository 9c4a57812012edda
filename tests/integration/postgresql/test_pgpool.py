# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgpool-II itself with the configuration that the role renders, in a zone of three, and the primary is lost."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.integration.postgresql.conftest import SIZES
from ansible_collections.banking.platform.tests.integration.postgresql.zones import (
    AS_POSTGRES,
    PASSWORD,
    PRIMARY,
    SPLITTER,
    STANDBYS,
    USER,
    Operator,
    Refused,
    Zones,
    run,
)
from ansible_collections.banking.platform.tests.unit.roles.conftest import Rendered

HERE = "zone-b"
WHERE = "SELECT current_setting('cluster_name')"
SETTINGS = {
    "postgresql_memory": "1Gi",
    **SIZES,
    "postgresql_poolers": 1,
    "postgresql_pool_size": 5,
    "postgresql_pgpool": True,
    "postgresql_pgpool_clients": 4,
    "postgresql_pgpool_image": "registry.example/pgpool:4.5.4@sha256:" + "ab" * 32,
}


@dataclass
class Splitter:
    """The zones, and pgpool in one of them."""

    zones: Zones
    folder: Path

    def ask(self, sql: str) -> str:
        return self.zones.ask(HERE, sql, SPLITTER, "postgres-pgpool")

    def tries(self, sql: str) -> str:
        """The same; what went wrong begins with `ERROR`."""
        try:
            return self.ask(sql)
        except Refused as refused:
            return f"ERROR {refused}"

    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


@pytest.fixture
def splitter(rendered: Callable[..., Rendered], folder: Path) -> Iterator[Splitter]:
    found = rendered("postgresql", "2026.2", **SETTINGS)
    assert found.refused == []
    zones = Zones(folder, found.objects)
    zones.authority.sign("pgpool", found.objects["Certificate", "postgres-pgpool-server"]["spec"]["dnsNames"])
    config = found.objects["ConfigMap", "postgres-pgpool"]["data"]
    own = folder / "pgpool"
    own.mkdir()
    shutil.chown(own, "postgres")
    # Only where things are differs from the pod.
    text = config["pgpool.conf"]
    for here, there in (
        ("port = 5432\nunix", f"port = {SPLITTER}\nunix"),
        ("postgres-cluster-rw.banking-data.svc", PRIMARY),
        ("postgres-cluster-ro.banking-data.svc", STANDBYS),
        ("/run/pgpool", str(own)),
        ("/etc/pgpool-tls/tls.crt", str(zones.authority.folder / "pgpool.crt")),
        ("/etc/pgpool-tls/tls.key", str(zones.authority.folder / "pgpool.key")),
        ("/etc/pgpool-tls/ca.crt", str(zones.authority.certificate)),
        ("/etc/pgpool-passwords/", f"{own}/"),
    ):
        assert here in text
        text = text.replace(here, there)
    (own / "pgpool.conf").write_text(text)
    (own / "pool_hba.conf").write_text(config["pool_hba.conf"])
    passwords = found.objects["ExternalSecret", "postgres-pgpool"]["spec"]["target"]["template"]["data"]["pool_passwd"]
    (own / "pool_passwd").write_text(passwords.replace("{{ .role_1 }}", PASSWORD))
    (own / "pool_passwd").chmod(0o644)
    zones.up()
    process = None
    try:
        command = [*zones.inside(HERE), *AS_POSTGRES, "pgpool", "-n", "-f", str(own / "pgpool.conf")]
        with open(own / "log", "wb") as log:
            process = subprocess.Popen(
                [*command, "-a", str(own / "pool_hba.conf")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        made = Splitter(zones, own)
        Zones.until(lambda: not made.tries("SELECT 1").startswith("ERROR"), f"pgpool: {made.log()}", 30)
        yield made
    finally:
        if process:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        zones.down()


def test_reads_go_to_standbys_and_writes_to_the_primary_wherever_it_is(
    splitter: Splitter, record_property: Callable[[str, object], None]
) -> None:
    zones, operator = splitter.zones, Operator(splitter.zones)
    standbys = {one.name for one in zones.instances if one is not operator.primary}
    assert {splitter.ask(WHERE) for _time in range(20)} == standbys
    assert splitter.ask("INSERT INTO ledger VALUES ('split', 1) RETURNING number") == "1"
    # What is in a transaction that has written stays at the primary.
    session = f"BEGIN; INSERT INTO ledger VALUES ('split', 2); {WHERE}; COMMIT"
    found = subprocess.run(
        zones.client(HERE, SPLITTER, "postgres-pgpool"),
        input=session.replace("; ", ";\n") + ";\n",
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert found.stdout.split() == [operator.primary.name]
    # Its configuration is taken, and has what the role says.
    shown = dict(line.split("|")[:2] for line in splitter.ask("PGPOOL SHOW ALL").splitlines())
    assert shown["failover_on_backend_error"] == "off"
    assert shown["sr_check_user"] == USER

    plain = zones.client(HERE, SPLITTER, "postgres-pgpool")
    with pytest.raises(Refused, match=r"SSL off|no pool_hba\.conf entry|rejected"):
        run([*plain[:-1], plain[-1].replace("sslmode=verify-full", "sslmode=disable"), "-c", "SELECT 1"])

    old = operator.primary
    cut = time.monotonic()
    zones.cut(old.zone)
    zones.until(lambda: not operator.answers(old), "the operator to notice")
    new = operator.fail_over()
    assert new
    assert new is not old
    write = "INSERT INTO ledger VALUES ('split', 3) ON CONFLICT DO NOTHING"
    zones.until(lambda: splitter.tries(write) == "", "a write through pgpool")
    told = f"first write through pgpool after {time.monotonic() - cut:.1f} s"
    record_property("pgpool", told)
    print(told)
    assert ("split", 3) in new.there()
    third = ({one.name for one in zones.instances} - {old.name, new.name}).pop()
    assert {splitter.ask(WHERE) for _time in range(20)} == {third}
