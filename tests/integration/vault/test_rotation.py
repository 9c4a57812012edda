# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`vault_rotation` against a real OpenBao and a real PostgreSQL."""

from __future__ import annotations

import copy
import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault_rotation import Rotation, about_certificate
from ansible_collections.banking.platform.tests.integration.vault.proxy import Proxy
from ansible_collections.banking.platform.tests.integration.vault.server import Postgres, Server
from ansible_collections.banking.platform.tests.integration.vault.test_config import configure

ENGINES: list[dict[str, Any]] = [
    {"type": "kv", "options": {"version": "2"}},
    {"type": "transit", "keys": [{"name": "audit", "type": "ed25519"}, {"name": "core", "type": "aes256-gcm96"}]},
    {
        "type": "pki",
        "path": "pki-root",
        "max_lease_ttl": "87600h",
        "issuer": {"common_name": "Bank Root", "ttl": "87600h", "key_type": "ec"},
    },
    {
        "type": "pki",
        "max_lease_ttl": "43800h",
        "issuer": {
            "common_name": "Bank Issuing",
            "organization": "Bank",
            "ttl": "43800h",
            "key_type": "ec",
            "key_bits": 384,
            "max_path_length": 0,
            "permitted_dns_domains": ["bank.local"],
            "signed_by": "pki-root",
        },
        "roles": [
            {"name": "server", "allowed_domains": "bank.local", "allow_subdomains": True, "max_ttl": "720h"},
        ],
    },
]
QUARTER = {
    "transit": [{"mount": "transit"}],
    "pki": [{"mount": "pki", "signed_by": "pki-root"}],
    "barrier": True,
}
OPTIONS: dict[str, Any] = {
    "max_age": 90.0,
    "only": None,
    "transit": None,
    "pki": None,
    "database": None,
    "barrier": False,
    "record": None,
}


def rotate(server: Server, declared: dict[str, Any], days: float = 0, check: bool = False, **more: Any) -> Rotation:
    """A run in so many days."""
    connection = {name: more.pop(name) for name in ("url", "retry_for") if name in more}
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    run = Rotation(server.client(**connection), {**OPTIONS, **declared, **more}, check, now)
    run.make_plan()
    if not check:
        run.plan.apply()
    return run


def refused(server: Server, declared: dict[str, Any], days: float = 0, **more: Any) -> Failure:
    """What a run fails of that must."""
    with pytest.raises(Failure) as caught:
        rotate(server, declared, days, **more)
    return caught.value


def steps(run: Rotation) -> list[tuple[str, str, str]]:
    """What a run changes."""
    plan = run.plan.result()["plan"]
    return [(step["action"], step["kind"], step["target"]) for step in plan if step["action"] != "none"]


DUE = [
    ("update", "transit key", "transit/audit"),
    ("update", "transit key", "transit/core"),
    ("update", "pki intermediate", "pki"),
    ("update", "vault", "encryption key"),
]


def test_what_is_due_is_rotated_and_nothing_else(server: Server) -> None:
    configure(server, {"secret_engines": ENGINES})
    client = server.client()
    said = (client.write("transit/encrypt/core", {"plaintext": "YQ=="})["data"])["ciphertext"]
    assert steps(rotate(server, QUARTER)) == []
    assert steps(rotate(server, QUARTER, days=89)) == []
    planned = rotate(server, QUARTER, days=91, check=True)
    assert steps(planned) == DUE
    assert {figure["name"]: figure["value"] for figure in planned.measurements()} == {
        "age of the oldest key, transit key": 91.0,
        "age of the oldest key, pki intermediate": 91.0,
        "age of the oldest key, barrier": 91.0,
    }
    assert (client.data("transit/keys/core") or {})["latest_version"] == 1, "check mode changed something"
    done = rotate(server, QUARTER, days=91)
    assert steps(done) == DUE
    assert [figure["value"] for figure in done.measurements()] == [0, 0, 0]
    key = client.data("transit/keys/core") or {}
    assert (key["latest_version"], key["min_decryption_version"]) == (2, 1)
    assert client.write("transit/decrypt/core", {"ciphertext": said})["data"]["plaintext"] == "YQ=="
    assert (client.read("sys/key-status") or {})["data"]["term"] == 2
    again = rotate(server, QUARTER)
    assert (steps(again), again.plan.changed) == ([], False)
    assert steps(rotate(server, QUARTER, days=91, only=["barrier"])) == DUE[3:]


def test_the_new_intermediate_is_as_the_old_one_which_still_verifies(server: Server, tmp_path: Path) -> None:
    configure(server, {"secret_engines": ENGINES})
    client = server.client()
    wanted = {"common_name": "api.bank.local", "ttl": "24h"}
    before = client.write("pki/issue/server", wanted)["data"]
    old = x509.load_pem_x509_certificate(before["issuing_ca"].encode())
    rotate(server, QUARTER, days=91, only=["pki"])
    after = client.write("pki/issue/server", wanted)["data"]
    new = x509.load_pem_x509_certificate(after["issuing_ca"].encode())
    assert new.serial_number != old.serial_number
    assert new.public_key() != old.public_key()
    assert (new.subject, new.issuer) == (old.subject, old.issuer)
    for kind in (x509.BasicConstraints, x509.NameConstraints):
        assert new.extensions.get_extension_for_class(kind) == old.extensions.get_extension_for_class(kind)
    lifetimes = [one.not_valid_after_utc - one.not_valid_before_utc for one in (old, new)]
    assert abs(lifetimes[0] - lifetimes[1]) < datetime.timedelta(minutes=1)
    (tmp_path / "root.pem").write_text((client.data("pki-root/cert/ca") or {})["certificate"])
    for name, issued in (("before", before), ("after", after)):
        (tmp_path / f"{name}.chain").write_text("\n".join(issued["ca_chain"]))
        (tmp_path / f"{name}.pem").write_text(issued["certificate"])
        command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", f"{name}.chain", f"{name}.pem"]
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert told.stdout.strip() == f"{name}.pem: OK", told
    # The old one still revokes what it has signed.
    client.write("pki/revoke", {"serial_number": before["serial_number"]})
    assert (client.data(f"pki/cert/{before['serial_number']}") or {})["revocation_time"] > 0


@pytest.mark.parametrize("place", ["root/sign-intermediate", "intermediate/set-signed", "pki/config/issuers"])
def test_a_rotation_that_failed_half_way_is_finished(server: Server, place: str) -> None:
    old = copy.deepcopy(ENGINES[2:])
    old[1]["issuer"]["not_before_duration"] = "2184h"  # 91 days
    configure(server, {"secret_engines": old})
    client = server.client()

    def fails(method: str, path: str) -> bool:
        return method == "POST" and path.endswith(place)

    with Proxy(server, fail=fails) as proxy:
        assert place in refused(server, QUARTER, only=["pki"], url=[proxy.url], retry_for=1).cause
    assert steps(rotate(server, QUARTER, only=["pki"])) == [("update", "pki intermediate", "pki")]
    assert len(client.list("pki/keys")) == 2, "a key was left behind"
    default = client.data("pki/issuer/default") or {}
    made = about_certificate(default["certificate"])["made"]
    assert datetime.datetime.now(datetime.UTC) - made < datetime.timedelta(hours=1)
    assert steps(rotate(server, QUARTER, only=["pki"])) == []


def test_old_versions_stop_decrypting_only_where_that_is_asked_for(server: Server) -> None:
    configure(server, {"secret_engines": ENGINES[:2]})
    client = server.client()
    said = client.write("transit/encrypt/core", {"plaintext": "YQ=="})["data"]["ciphertext"]
    keep = {"transit": [{"mount": "transit", "name": "core", "keep": 2}]}
    assert steps(rotate(server, keep, days=91)) == DUE[1:2]
    both = [DUE[1], ("update", "transit decryption", "transit/core")]
    assert steps(rotate(server, keep, days=91)) == both
    with pytest.raises(Failure):
        client.write("transit/decrypt/core", {"ciphertext": said})
    assert steps(rotate(server, keep)) == []


def test_root_credentials_of_a_real_database(server: Server, postgres: Postgres) -> None:
    connection = {
        "name": "core",
        "plugin_name": "postgresql-database-plugin",
        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/postgres",
        "username": "vault",
        "password": "rootpw-41c9",
        "allowed_roles": ["reader"],
    }
    creation = ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"]
    role = {"name": "reader", "db_name": "core", "creation_statements": creation}
    postgres.ask("create role vault login superuser password 'rootpw-41c9'")
    engine = {"type": "database", "connections": [connection], "roles": [role]}
    configure(server, {"secret_engines": [ENGINES[0], engine]})
    declared = {"database": [{"mount": "database", "name": "core"}], "record": "kv/platform/rotations"}
    done = rotate(server, declared)
    assert steps(done) == [("update", "database root", "database/core")]
    assert "rootpw" not in json.dumps(done.plan.result())
    assert "password authentication failed" in postgres.ask("select 1", "vault", "rootpw-41c9")
    made = server.client().data("database/creds/reader") or {}
    assert postgres.ask("select 1", made["username"], made["password"]) == "1"
    assert steps(rotate(server, declared)) == []
    assert steps(rotate(server, declared, days=91)) == [("update", "database root", "database/core")]


def test_what_cannot_be_rotated_is_all_named_and_nothing_changed(server: Server) -> None:
    configure(server, {"secret_engines": ENGINES})
    failure = refused(
        server,
        {
            "transit": [{"mount": "transit"}, {"mount": "transit", "name": "lost"}],
            "pki": [{"mount": "pki-root", "signed_by": "pki"}, {"mount": "pki", "signed_by": "pki-root", "tll": "1h"}],
            "database": [{"mount": "database", "name": "core"}],
            "record": "kv/platform/rotations",
        },
        91,
    )
    for said in (
        "transit key transit/lost: there is no key lost",
        "pki intermediate pki-root: its issuer is a root",
        "pki intermediate pki: an issuer has no tll",
        "database root database/core: there is no such connection",
    ):
        assert said in failure.cause
    assert (server.client().data("transit/keys/core") or {})["latest_version"] == 1
    twice = refused(server, {"transit": [{"mount": "a"}, {"mount": "a/"}], "database": [{"mount": "d"}]})
    assert "transit key a is declared twice" in twice.cause
    assert "database root d: name missing" in twice.cause
    assert "record is missing" in twice.cause


def test_before_vault_is_there_check_mode_defers(sealed: Server) -> None:
    planned = rotate(sealed, QUARTER, check=True)
    assert {step.deferred for step in planned.plan.steps} == {"an unsealed Vault"}
    assert "not initialised" in refused(sealed, QUARTER).cause
