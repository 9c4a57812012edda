# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`vault_config` against a real OpenBao and a real PostgreSQL."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from ansible_collections.banking.platform.plugins.module_utils.plan import MASK, Failure
from ansible_collections.banking.platform.plugins.modules.vault_config import SPEC, Run
from ansible_collections.banking.platform.tests.integration.vault.proxy import Proxy
from ansible_collections.banking.platform.tests.integration.vault.server import Authority, Postgres, Server
from ansible_collections.banking.platform.tools.suites import CLONE

READ = 'path "kv/data/payments/*" {\n  capabilities = ["read"]\n}\n'

DECLARED: dict[str, Any] = {
    "policies": [{"name": "payments", "policy": READ}, {"name": "ledger", "policy": READ}],
    "auth_methods": [
        {
            "type": "kubernetes",
            "description": "pods",
            "config": {
                "kubernetes_host": "https://10.0.0.10:6443",
                "kubernetes_ca_cert": Authority("k8s").pem,
                "token_reviewer_jwt": "reviewer-jwt-93ac",
                "disable_local_ca_jwt": True,
            },
            "roles": [
                {
                    "name": "payments",
                    "bound_service_account_names": "payments,batch",
                    "bound_service_account_namespaces": ["banking-core"],
                    "token_policies": ["payments"],
                    "token_ttl": "1h",
                }
            ],
        },
        {
            "type": "approle",
            "path": "machines",
            "roles": [{"name": "ci", "token_policies": "ledger", "token_ttl": 900}],
        },
        {
            "type": "jwt",
            "path": "oidc",
            "config": {"jwt_validation_pubkeys": [Authority("jwt").public], "bound_issuer": "https://login.bank.local"},
            "roles": [
                {
                    "name": "staff",
                    "role_type": "jwt",
                    "user_claim": "sub",
                    "groups_claim": "groups",
                    "bound_audiences": ["vault"],
                    "claim_mappings": {"email": "email"},
                    "token_max_ttl": "8h",
                }
            ],
        },
        {
            "type": "cert",
            "roles": [{"name": "nodes", "certificate": Authority("nodes").pem, "token_policies": ["ledger"]}],
        },
    ],
    "secret_engines": [
        {
            "type": "kv",
            "options": {"version": "2"},
            "max_lease_ttl": "768h",
            "config": {"max_versions": 5, "delete_version_after": "2160h"},
        },
        # The intermediate stands before its root: the engine puts them in order.
        {
            "type": "pki",
            "path": "pki",
            "max_lease_ttl": "43800h",
            "issuer": {"common_name": "Bank Issuing", "ttl": "43800h", "key_type": "ec", "signed_by": "pki-root"},
            "urls": {"issuing_certificates": ["https://vault.bank.local/v1/pki/ca"]},
            "crl": {"expiry": "72h"},
            "roles": [{"name": "server", "allowed_domains": "bank.local", "allow_subdomains": True, "max_ttl": "720h"}],
        },
        {
            "type": "pki",
            "path": "pki-root",
            "max_lease_ttl": "87600h",
            "urls": {"issuing_certificates": ["https://vault.bank.local/v1/pki-root/ca"]},
            "issuer": {"common_name": "Bank Root", "ttl": "87600h", "key_type": "ec", "key_bits": 384},
        },
        {
            "type": "transit",
            "keys": [{"name": "audit", "type": "ed25519", "auto_rotate_period": "2160h", "deletion_allowed": False}],
        },
        {
            "type": "ssh",
            "ca": {"key_type": "ed25519"},
            "roles": [{"name": "admin", "key_type": "ca", "allow_user_certificates": True, "ttl": "30m"}],
        },
    ],
    "entities": [{"name": "core", "policies": ["payments"], "metadata": {"team": "core"}, "aliases": []}],
    "groups": [
        {"name": "all", "policies": ["ledger"], "member_groups": ["teams"]},
        {"name": "teams", "member_entities": ["core"]},
        {"name": "staff", "type": "external", "policies": ["ledger"], "alias": {"mount": "oidc", "name": "bank-staff"}},
    ],
    "rate_limits": [{"name": "kv", "path": "kv/", "rate": 500, "interval": "1s"}],
}


def configure(server: Server, declared: dict[str, Any], check: bool = False, **more: Any) -> Run:
    """Run the module's work, with differences."""
    params = {name: spec.get("default") for name, spec in SPEC.items()}
    params.update(server.options(), **copy.deepcopy(declared), **more)
    run = Run(params, check, with_diff=True)
    run.do()
    return run


def refused(server: Server, declared: dict[str, Any], check: bool = False, **more: Any) -> Failure:
    """What a run fails of that must."""
    with pytest.raises(Failure) as caught:
        configure(server, declared, check, **more)
    return caught.value


def steps(run: Run) -> list[tuple[str, str, str]]:
    """What a run did."""
    return [(step["action"], step["kind"], step["target"]) for step in run.result()["plan"]]


def test_everything_twice_and_check_mode_before(server: Server) -> None:
    before = server.client().data("sys/mounts")
    planned = configure(server, DECLARED, check=True)
    assert server.client().data("sys/mounts") == before, "check mode changed something"
    first = configure(server, DECLARED)
    assert first.warnings == []
    assert steps(first) == steps(planned)
    strip = [{**step, "state": ""} for step in first.result()["plan"]]
    assert [{**step, "state": ""} for step in planned.result()["plan"]] == strip
    assert len(steps(first)) == first.result()["counts"]["create"] == 33
    second = configure(server, DECLARED)
    assert (second.result()["changed"], second.result()["plan"]) == (False, [])
    assert second.result()["counts"] == {"create": 0, "update": 0, "delete": 0, "none": 33}
    assert set(second.requests) == {"GET"}, second.requests


def test_drift_is_put_back_and_shown(server: Server) -> None:
    configure(server, DECLARED)
    client = server.client()
    client.write("auth/kubernetes/role/payments", {"token_ttl": 60, "bound_service_account_names": ["payments", "x"]})
    client.write("sys/policies/acl/payments", {"policy": READ.replace("read", "delete")})
    client.write("sys/mounts/kv/tune", {"max_lease_ttl": "5h"})
    client.delete("pki/roles/server")
    planned = configure(server, DECLARED, check=True)
    done = configure(server, DECLARED)
    assert steps(planned) == steps(done)
    assert sorted(steps(done)) == [
        ("create", "pki role", "pki/server"),
        ("update", "auth role", "kubernetes/payments"),
        ("update", "policy", "payments"),
        ("update", "secret engine", "kv"),
    ]
    role = next(step for step in done.result()["plan"] if step["kind"] == "auth role")
    assert role["before"]["token_ttl"] == 60
    assert role["after"]["token_ttl"] == "1h"
    assert '-  capabilities = ["delete"]' not in json.dumps(done.result())
    policy = next(diff for diff in done.result()["diff"] if diff["before_header"] == "policy payments")
    assert 'capabilities = ["delete"]' in policy["before"]
    assert 'capabilities = ["read"]' in policy["after"]
    assert not configure(server, DECLARED).result()["changed"]


def test_autopilot_of_integrated_storage(server: Server) -> None:
    path, client = "sys/storage/raft/autopilot/configuration", server.client()
    before = client.data(path)
    wanted = yaml.safe_load((CLONE / "roles" / "vault" / "defaults" / "main.yml").read_text())["vault_autopilot"]
    planned = configure(server, {"autopilot": wanted}, check=True)
    assert client.data(path) == before, "check mode changed something"
    done = configure(server, {"autopilot": wanted}, prune=True)
    assert steps(planned) == steps(done) == [("update", "autopilot", "raft")]
    (step,) = done.result()["plan"]
    assert (step["before"], step["after"]) == ({"min_quorum": 0}, {"min_quorum": 3})
    assert done.warnings == []
    assert client.data(path) == {**before, "min_quorum": 3}  # type: ignore[dict-item]

    # The same spans written in another way; then one that is another.
    same = {**wanted, "dead_server_last_contact_threshold": "1440m", "last_contact_threshold": 10}
    assert not configure(server, {"autopilot": same}).result()["changed"]
    longer = configure(server, {"autopilot": {"last_contact_threshold": "1m"}})
    (step,) = longer.result()["plan"]
    assert (step["before"], step["after"]) == ({"last_contact_threshold": "10s"}, {"last_contact_threshold": "1m"})
    assert "10s" in longer.result()["diff"][0]["before"]
    assert client.data(path)["last_contact_threshold"] == "1m0s"  # type: ignore[index]
    assert not configure(server, {"autopilot": {"last_contact_threshold": 60}}, prune=True).result()["changed"]

    # OpenBao drops this without a word; Vault Enterprise has it.
    failure = refused(server, {"autopilot": {"min_quorum": 5, "disable_upgrade_migration": True}}, check=True)
    assert failure.cause == "autopilot: OpenBao has no disable_upgrade_migration"
    assert client.data(path)["min_quorum"] == 3  # type: ignore[index]


def test_autopilot_is_in_the_root_namespace_only(server: Server) -> None:
    server.client().write("sys/namespaces/bank", {})
    failure = refused(server, {"autopilot": {"min_quorum": 3}}, namespace="bank")
    assert "there is no autopilot here" in failure.cause
    assert "operation unavailable in namespaces" in failure.cause


def test_autopilot_needs_integrated_storage(tmp_path: Path) -> None:
    one = Server(tmp_path / "bao", storage='storage "inmem" {{}}').start()
    try:
        failure = refused(one.initialise(), {"autopilot": {"min_quorum": 3}}, check=True)
    finally:
        one.stop()
    assert "there is no autopilot here, it comes with integrated storage" in failure.cause
    assert failure.next_step.startswith("leave autopilot out")


def test_a_change_of_an_auth_method_keeps_its_secret(server: Server) -> None:
    declared = {"auth_methods": [copy.deepcopy(DECLARED["auth_methods"][0])]}
    configure(server, declared)
    declared["auth_methods"][0]["config"]["kubernetes_host"] = "https://10.0.0.11:6443"
    assert steps(configure(server, declared)) == [("update", "auth config", "kubernetes")]
    assert (server.client().data("auth/kubernetes/config") or {})["token_reviewer_jwt_set"] is True


def test_pki_chain_and_issued_certificate(server: Server, tmp_path: Path) -> None:
    configure(server, DECLARED)
    client = server.client()
    issued = client.write("pki/issue/server", {"common_name": "api.bank.local", "ttl": "24h"})["data"]
    root = (client.data("pki-root/cert/ca") or {})["certificate"]
    (tmp_path / "root.pem").write_text(root)
    (tmp_path / "chain.pem").write_text("\n".join(issued["ca_chain"]))
    (tmp_path / "leaf.pem").write_text(issued["certificate"])
    said = subprocess.run(
        ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "chain.pem", "leaf.pem"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.strip() == "leaf.pem: OK", said
    issuing = x509.load_pem_x509_certificate(issued["issuing_ca"].encode())
    assert issuing.issuer.rfc4514_string() == "CN=Bank Root"


def test_signing_that_failed_is_finished_with_the_same_key(server: Server) -> None:
    declared = {"secret_engines": DECLARED["secret_engines"][1:3]}
    with Proxy(server, fail=lambda method, path: path.endswith("/set-signed")) as proxy:
        assert "set-signed" in refused(server, declared, url=[proxy.url], retry_for=1).cause
    assert len(server.client().list("pki/keys")) == 1
    assert ("create", "pki issuer", "pki") in steps(configure(server, declared))
    assert len(server.client().list("pki/keys")) == 1, "the key of the first run was left behind"
    assert not configure(server, declared).result()["changed"]


def test_dynamic_credentials_of_a_real_database(server: Server, postgres: Postgres) -> None:
    declared: dict[str, Any] = {
        "secret_engines": [
            {
                "type": "database",
                "connections": [
                    {
                        "name": "core",
                        "plugin_name": "postgresql-database-plugin",
                        "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{postgres.port}/postgres",
                        "username": "admin",
                        "password": "rootpw-7f3a91",
                        "allowed_roles": ["reader"],
                    }
                ],
                "roles": [
                    {
                        "name": "reader",
                        "db_name": "core",
                        "default_ttl": "1h",
                        "max_ttl": "24h",
                        "creation_statements": [
                            "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
                        ],
                    }
                ],
            }
        ]
    }
    first = configure(server, declared)
    assert "rootpw" not in json.dumps(first.result())
    assert first.warnings == []
    made = server.client().data("database/creds/reader") or {}
    assert postgres.ask("select current_user", made["username"], made["password"]) == made["username"]
    assert not configure(server, declared).result()["changed"]
    # What cannot be read back is written again on demand only, and a change of something else leaves it as it is.
    connection = declared["secret_engines"][0]["connections"][0]
    connection.update(allowed_roles=["reader", "writer"], password="not-the-password")
    assert steps(configure(server, declared)) == [("update", "database connection", "database/core")]
    assert (server.client().data("database/creds/reader") or {})["username"]
    postgres.ask("alter role admin password 'newpw-55d0c2'")
    connection["password"] = "newpw-55d0c2"
    assert not configure(server, declared).result()["changed"]
    again = configure(server, declared, update_secrets=True)
    assert steps(again) == [("update", "database connection", "database/core")]
    assert again.result()["plan"][0]["after"] == {"password": MASK}
    assert "newpw" not in json.dumps(again.result())
    made = server.client().data("database/creds/reader") or {}
    assert postgres.ask("select 1", made["username"], made["password"]) == "1"


def test_a_password_in_the_url_is_refused(server: Server) -> None:
    url = "postgresql://admin:clear-text@db/core"
    connection = {"name": "a", "plugin_name": "postgresql-database-plugin", "connection_url": url}
    failure = refused(server, {"secret_engines": [{"type": "database", "connections": [connection]}]})
    assert "connection_url holds a password" in failure.cause
    assert "clear-text" not in failure.cause + failure.next_step


def test_prune_takes_what_is_not_declared_and_only_that(server: Server) -> None:
    configure(server, DECLARED)
    client = server.client()
    client.write("sys/policies/acl/old", {"policy": READ})
    client.write(
        "auth/kubernetes/role/old", {"bound_service_account_names": "a", "bound_service_account_namespaces": "b"}
    )
    client.write("sys/mounts/old", {"type": "kv"})
    client.write("identity/entity/name/old", {})
    assert configure(server, DECLARED).result()["changed"] is False, "without prune nothing goes"
    some = {**DECLARED, "rate_limits": None}
    planned = configure(server, some, check=True, prune=True)
    assert sorted(steps(planned)) == [
        ("delete", "auth role", "kubernetes/old"),
        ("delete", "entity", "old"),
        ("delete", "policy", "old"),
    ]
    assert steps(configure(server, some, prune=True)) == steps(planned)
    assert "old/" in (client.data("sys/mounts") or {}), "a mount goes on a demand of its own only"
    assert client.list("sys/quotas/rate-limit") == ["kv"], "what the task is not about stays"
    assert {"default", "root", "payments"} <= set(client.list("sys/policies/acl"))
    gone = configure(server, some, prune=True, prune_protected=True)
    assert steps(gone) == [("delete", "secret engine", "old")]
    assert not configure(server, some, prune=True, prune_protected=True).result()["changed"]


def test_deletions_come_last_and_backwards(server: Server) -> None:
    configure(server, DECLARED)
    less: dict[str, Any] = {"policies": [], "auth_methods": [], "entities": [], "groups": []}
    kinds = [kind for _action, kind, _target in steps(configure(server, less, prune=True, prune_protected=True))]
    assert kinds.index("group alias") < kinds.index("group") < kinds.index("entity") < kinds.index("policy")
    assert kinds.index("auth method") < kinds.index("policy")


def test_a_mount_of_another_type_is_refused_and_made_anew_when_asked(server: Server) -> None:
    first = {"secret_engines": [{"type": "kv", "path": "x", "options": {"version": "1"}}]}
    configure(server, first)
    server.client().write("x/a", {"b": "c"})
    other: dict[str, Any] = {"secret_engines": [{"type": "transit", "path": "x", "keys": [{"name": "k"}]}]}
    failure = refused(server, other)
    assert "secret engine x: type" in failure.cause
    assert "would be lost" in failure.cause
    assert server.client().data("x/a") == {"b": "c"}
    other["secret_engines"][0].update({"recreate": True})
    done = configure(server, other)
    assert steps(done) == [("update", "secret engine", "x"), ("create", "transit key", "x/k")]
    assert "is lost" in done.result()["plan"][0]["note"]
    assert not configure(server, other).result()["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_policy_with_a_syntax_error_is_named_and_nothing_applied(server: Server, check: bool) -> None:
    declared = {"policies": [*DECLARED["policies"], {"name": "bad", "policy": 'path "a" { capabilities = ["read" }'}]}
    failure = refused(server, declared, check)
    assert failure.cause.startswith("policy bad: failed to parse policy")
    assert "nothing was changed" in failure.next_step
    assert server.client().list("sys/policies/acl") == ["default", "root"]


def test_wrong_declarations_are_all_named(server: Server) -> None:
    failure = refused(
        server,
        {
            "policies": [{"name": "a", "policy": READ}, {"name": "a", "policy": READ}, {"name": "b"}, {"policy": READ}],
            "rate_limits": [{"name": "q", "rate": 1}, {"name": "q", "rate": 2}],
        },
    )
    for said in ("policy a is declared twice", "policy b: has no policy", "a policy has no name"):
        assert said in failure.cause
    twice = {"secret_engines": [{"type": "kv", "path": "x"}, {"type": "transit", "path": "/x/"}]}
    assert "secret engine x is declared twice" in refused(server, twice).cause
    unknown = {"secret_engines": [{"type": "kv", "path": "x", "roles": []}]}
    assert "secret engine x: there is no roles with the type kv" in refused(server, unknown).cause


def test_a_field_that_the_server_ignores_is_a_failure(server: Server) -> None:
    declared = {"auth_methods": [{"type": "approle", "roles": [{"name": "a", "token_tll": "1h"}]}]}
    assert "auth/approle/role/a has no token_tll" in refused(server, declared).cause
    # The mount is there by now, and can be asked before anything is changed.
    failure = refused(server, {**declared, "policies": DECLARED["policies"]}, check=True)
    assert failure.cause == "auth role approle/a: there is no token_tll"
    assert server.client().list("sys/policies/acl") == ["default", "root"]


def test_an_error_in_the_middle_is_listed_and_a_second_run_finishes(server: Server) -> None:
    with Proxy(server, fail=lambda method, path: method == "POST" and path == "/v1/auth/machines/role/ci") as proxy:
        run = Run(
            {**{name: spec.get("default") for name, spec in SPEC.items()}, **server.options(), **DECLARED}, False, False
        )
        run.params.update(url=[proxy.url], retry_for=2)
        with pytest.raises(Failure) as caught:
            run.do()
    assert "auth/machines/role/ci" in caught.value.cause
    assert "500" in caught.value.cause
    assert "done: policy payments" in caught.value.cause
    assert "not done: " in caught.value.cause
    states = [step["state"] for step in run.result()["plan"]]
    assert states.index("failed") == states.count("done") > 2
    assert states.count("not done") == len(states) - states.count("done") - 1 > 2
    assert run.result()["changed"] is True
    rest = configure(server, DECLARED)
    left = {(step["kind"], step["target"]) for step in run.result()["plan"] if step["state"] != "done"}
    # What a new mount has by itself need not be done.
    assert {(kind, target) for _action, kind, target in steps(rest)} <= left
    assert ("create", "auth role", "machines/ci") in steps(rest)
    assert not configure(server, DECLARED).result()["changed"]


def test_a_moment_of_errors_is_waited_for(server: Server) -> None:
    failures = iter([True, True])
    with Proxy(server, fail=lambda method, path: path.endswith("/acl/payments") and next(failures, False)) as proxy:
        configure(server, {"policies": DECLARED["policies"]}, url=[proxy.url])
    assert "payments" in server.client().list("sys/policies/acl")


def test_openbao_takes_no_audit_devices_and_lease_counts_by_its_api(server: Server) -> None:
    there = {"path": "file", "type": "file", "options": {"file_path": str(server.folder / "audit.log")}}
    assert not configure(server, {"audit_devices": [there]}).result()["changed"], "it is in the configuration"
    other = {"path": "syslog", "type": "syslog"}
    failure = refused(server, {"policies": DECLARED["policies"], "audit_devices": [there, other]})
    assert "audit devices syslog: OpenBao" in failure.cause
    assert server.client().list("sys/policies/acl") == ["default", "root"], "nothing was changed"
    assert "no such quotas" in refused(server, {"lease_counts": [{"name": "a", "max_leases": 5}]}).cause


def test_a_token_that_is_over_and_one_that_may_not(server: Server) -> None:
    client = server.client()
    small = client.write("auth/token/create", {"policies": ["default"], "ttl": "10m"})["auth"]["client_token"]
    failure = refused(server, {"policies": DECLARED["policies"]}, token=small)
    assert "the token has not the capability list on sys/policies/acl" in failure.cause
    assert 'path "sys/policies/acl" { capabilities = ["list"] }' in failure.next_step
    client.write("auth/token/revoke", {"token": small})
    failure = refused(server, {"policies": DECLARED["policies"]}, token=small)
    assert "expired, revoked" in failure.cause
    assert small not in failure.cause + failure.next_step


def test_wrong_ca(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_text(Authority("Other").pem)
    for check in (True, False):
        failure = refused(server, {"policies": DECLARED["policies"]}, check, ca_path=str(tmp_path / "other.pem"))
        assert "no trusted connection" in failure.cause
        assert "ca_path" in failure.next_step


def test_uninitialised_sealed_and_away(sealed: Server) -> None:
    declared = {"policies": DECLARED["policies"]}
    assert "is not initialised" in refused(sealed, declared, token="x").cause
    planned = configure(sealed, declared, check=True, token=None).result()
    assert planned["deferred"] == ["policy payments: an unsealed Vault", "policy ledger: an unsealed Vault"]
    sealed.initialise()
    assert configure(sealed, declared).result()["changed"]
    sealed.client().request("PUT", "sys/seal", {})
    assert "is sealed" in refused(sealed, declared).cause
    sealed.unseal()
    assert not configure(sealed, declared).result()["changed"]
    sealed.stop()
    assert "cannot be reached" in refused(sealed, declared, retry_for=1).cause
    assert len(configure(sealed, declared, check=True, retry_for=1).result()["deferred"]) == 2


def test_a_plan_that_was_approved_and_one_that_was_not(server: Server) -> None:
    declared = {"policies": DECLARED["policies"]}
    steps_of = configure(server, declared, check=True).result()["plan"]
    more = {"policies": [*DECLARED["policies"], {"name": "sneaked", "policy": READ}]}
    failure = refused(server, more, approved={"steps": steps_of, "waiting": False})
    assert "policy sneaked: create is not part of the plan" in failure.cause
    assert server.client().list("sys/policies/acl") == ["default", "root"]
    assert configure(server, declared, approved={"steps": steps_of, "waiting": False}).result()["changed"]


def test_approle_and_certificate_log_in(server: Server, tmp_path: Path) -> None:
    configure(server, DECLARED)
    client = server.client()
    client.write("sys/policies/acl/ledger", {"policy": 'path "sys/policies/acl*" { capabilities = ["read", "list"] }'})
    role_id = (client.data("auth/machines/role/ci/role-id") or {})["role_id"]
    secret_id = client.write("auth/machines/role/ci/secret-id")["data"]["secret_id"]
    given = {"auth_method": "approle", "auth_mount": "machines", "role_id": role_id, "token": None}
    one = server.client(**given, secret_id=secret_id)
    assert "payments" in one.list("sys/policies/acl")
    token = one.token
    one.close()
    assert client.request("POST", "auth/token/lookup", {"token": token}, accept=(403, 404)).status in (403, 404)
    with pytest.raises(Failure) as caught:
        server.client(**given, secret_id="wrong-secret-id").list("sys/policies/acl")
    assert "log-in by auth/machines refused" in caught.value.cause
    assert "wrong-secret-id" not in caught.value.cause


def test_the_playbook_masks_and_says_what_next(server: Server, tmp_path: Path) -> None:
    declared = {"auth_methods": [copy.deepcopy(DECLARED["auth_methods"][0])]}
    declared["auth_methods"][0]["roles"][0]["typo"] = "reviewer-jwt-93ac"
    where = {"url": [server.url], "ca_path": str(server.ca), "token_file": str(tmp_path / "t")}
    task = {"banking.platform.vault_config": {**where, **declared}}
    (tmp_path / "t").write_text(server.token)
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]))
    python = f"ansible_python_interpreter={sys.executable}"
    said = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            python,
            "-vvv",
            "--diff",
            str(tmp_path / "play.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"},
    )
    assert said.returncode == 2, said.stdout[-2000:]
    assert "next: correct the name of the field" in said.stdout, said.stdout
    assert "reviewer-jwt-93ac" not in said.stdout + said.stderr
    assert server.token not in said.stdout + said.stderr
    log = server.log()
    assert "reviewer-jwt-93ac" not in log


def test_a_secret_in_plain_text_is_warned_of(server: Server, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(server.token)
    (tmp_path / "password").write_text("pw")
    key = ["--vault-password-file", str(tmp_path / "password")]
    encrypted = subprocess.run(
        ["ansible-vault", "encrypt_string", *key, "jwt-that-was-encrypted", "--name", "hidden"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "vars.yml").write_text(f"clear: jwt-in-plain-text\n{encrypted}")
    (tmp_path / "play.yml").write_text(
        f"""
- hosts: localhost
  gather_facts: false
  vars_files: [vars.yml]
  tasks:
    - banking.platform.vault_config:
        url: [{server.url}]
        ca_path: {server.ca}
        token_file: {tmp_path / "t"}
        auth_methods:
          - type: kubernetes
            config:
              kubernetes_host: https://10.0.0.10:6443
              disable_local_ca_jwt: true
              kubernetes_ca_cert: {json.dumps(Authority("k8s").pem)}
              token_reviewer_jwt: "{{{{ lookup('ansible.builtin.vars', which) }}}}"
"""
    )
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    said = {}
    for which in ("clear", "hidden"):
        options = ["-e", f"ansible_python_interpreter={sys.executable}", "-e", f"which={which}"]
        done = subprocess.run(
            ["ansible-playbook", "-i", "localhost,", "-c", "local", *key, *options, str(tmp_path / "play.yml")],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout
        said[which] = done.stdout + done.stderr
    words = " ".join(said["clear"].split())
    assert "token_reviewer_jwt stands in plain text in vars.yml:1" in words, words
    assert "plain text" not in said["hidden"]
    assert "jwt-in-plain" not in said["clear"]
