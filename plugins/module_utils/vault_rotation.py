# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New keys in Vault or OpenBao where the last ones have become too old: transit, PKI, databases, the barrier.

How old a key is, the server tells: the versions of a transit key have their times, an issuer has its certificate, the
barrier's key its time of installation. Of a database's root credentials it tells nothing, so that their rotations are
kept in a secret of KV.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, List

from ansible_collections.banking.platform.plugins.module_utils.http_session import Forbidden, HttpError
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.module_utils.vault import Vault
from ansible_collections.banking.platform.plugins.module_utils.vault_config import VaultApi, sign_intermediate
from ansible_collections.banking.platform.plugins.module_utils.vault_operator import Operator, time_of

# What is rotated, and how a plan calls it.
KINDS = {
    "transit": "transit key",
    "pki": "pki intermediate",
    "database": "database root",
    "barrier": "barrier",
}
_FIRST = "an unsealed Vault"
# What an entry must say, and what it may.
_FIELDS = {
    "transit": ({"mount"}, {"name", "max_age", "keep"}),
    "database": ({"mount", "name"}, {"max_age"}),
    # Whatever else it says is for the new issuer (a field of pki's root/sign-intermediate).
    "pki": ({"mount", "signed_by"}, None),
}
# A key of an intermediate that was made and not signed yet is found by its name.
_KEY_NAME = "rotation-"
# What of an issuer can be set, and is taken over from the one before.
_ISSUER_SETTINGS = (
    "leaf_not_after_behavior",
    "usage",
    "revocation_signature_algorithm",
    "issuing_certificates",
    "crl_distribution_points",
    "ocsp_servers",
    "enable_aia_url_templating",
)
_SUBJECT = {
    "commonName": "common_name",
    "organizationName": "organization",
    "organizationalUnitName": "ou",
    "countryName": "country",
    "localityName": "locality",
    "stateOrProvinceName": "province",
    "streetAddress": "street_address",
    "postalCode": "postal_code",
}


def about_certificate(pem: str) -> dict[str, Any]:
    """What a new issuer takes over from an issuer's certificate.

    Returns:
        `made`, `ends`: times; `serial`: hexadecimal, in colons; `self_signed`; `fields`: those of the API that would
        make another one of its kind, its lifetime (`ttl`) among them.

    Raises:
        Failure: it cannot be read, or limits names in a way that the API cannot be given.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    except ImportError:
        raise Failure(
            "the Python library cryptography is missing", "run it on the controller, after make venv"
        ) from None
    one = x509.load_pem_x509_certificate(pem.encode())
    made, ends = one.not_valid_before_utc, one.not_valid_after_utc
    fields: dict[str, Any] = {"ttl": f"{int((ends - made).total_seconds())}s", "exclude_cn_from_sans": True}
    for attribute in one.subject:
        name = _SUBJECT.get(attribute.oid._name)
        if name:
            fields[name] = ",".join(filter(None, (fields.get(name), str(attribute.value))))
    key = one.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        fields.update(key_type="rsa", key_bits=key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        fields.update(key_type="ec", key_bits=key.key_size)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        fields.update(key_type="ed25519")
    for extension in one.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.path_length is not None:
            fields["max_path_length"] = value.path_length
        if isinstance(value, x509.NameConstraints):
            names = value.permitted_subtrees or []
            if value.excluded_subtrees or not all(isinstance(name, x509.DNSName) for name in names):
                raise Failure(
                    "its certificate limits more than names of DNS, which a new one would not",
                    "make the new issuer by hand",
                )
            fields["permitted_dns_domains"] = [name.value for name in names]
    serial = f"{one.serial_number:x}"
    serial = serial.zfill(len(serial) + len(serial) % 2)
    return {
        "made": made,
        "ends": ends,
        "serial": ":".join(re.findall("..", serial)),
        "self_signed": one.subject == one.issuer,
        "fields": fields,
    }


class Rotation:
    """What is due, and how it is done.

    Args:
        vault: a client of all members.
        params: transit, pki, database (lists of entries), barrier, record, max_age (days), only (kinds, or none for
            all of them).
        check: whether only to plan.
        now: the time that ages are counted to, this very moment by default.

    Attributes:
        plan: a step for each key.
        warnings: what somebody should know of.
        deferred: in check mode, what could not be looked at yet.
    """

    def __init__(
        self, vault: Vault, params: Mapping[str, Any], check: bool, now: datetime.datetime | None = None
    ) -> None:
        self.vault, self.params, self.check = vault, params, check
        self.plan = Plan()
        self.warnings: List[str] = []
        self.deferred: List[str] = []
        self._now = now or datetime.datetime.now(datetime.UTC)
        self._troubles: List[str] = []
        # By kind, for each key: how old it is in days, how old it may be, and its step.
        self._ages: dict[str, List[tuple[float, float, Step]]] = {}

    def make_plan(self) -> Plan:
        """Look, and say what would be done.

        Raises:
            Failure: naming everything that is declared and cannot be rotated; nothing was changed.
        """
        wanted = self._declared()
        self._refuse()
        if self.check and wanted and not self.vault.is_there():
            for kind, entry in wanted:
                self.plan.add(Step(KINDS[kind], _target(entry), deferred=_FIRST))
            return self.plan
        for kind, entry in wanted:
            try:
                getattr(self, f"_plan_{kind}")(entry)
            except Failure as failure:
                if isinstance(failure, HttpError) and not isinstance(failure, Forbidden):
                    raise
                self._troubles.append(f"{KINDS[kind]} {_target(entry)}: {failure.cause}")
        self._refuse()
        return self.plan

    def measurements(self) -> List[dict[str, Any]]:
        """Figures for the record of the run: how old the oldest key of each kind is now, in days."""
        found = []
        for kind, ages in self._ages.items():
            now = [(0.0 if self.plan.begun and step.changes else age, most) for age, most, step in ages]
            age, most = max(now, key=lambda one: one[0] - one[1])
            name = f"age of the oldest key, {KINDS[kind]}"
            found.append({"name": name, "value": round(age, 1), "unit": "d", "goal": f"<= {most:g}"})
        return found

    def _refuse(self) -> None:
        if self._troubles:
            raise Failure("; ".join(self._troubles), "correct what is to be rotated; nothing was changed")

    def _declared(self) -> List[tuple[str, Mapping[str, Any]]]:
        """What this run is about, with everything that is wrong in itself as a trouble."""
        found: List[tuple[str, Mapping[str, Any]]] = []
        only = self.params["only"] or KINDS
        for kind, (must, may) in _FIELDS.items():
            seen = set()
            for entry in self.params[kind] or () if kind in only else ():
                missing = sorted(must - {name for name in entry if entry[name]})
                unknown = sorted(set(entry) - must - may) if may is not None else []
                if missing:
                    self._troubles.append(f"{KINDS[kind]} {_target(entry)}: {' and '.join(missing)} missing")
                if unknown:
                    self._troubles.append(f"{KINDS[kind]} {_target(entry)}: there is no {', '.join(unknown)}")
                if _target(entry) in seen:
                    self._troubles.append(f"{KINDS[kind]} {_target(entry)} is declared twice")
                seen.add(_target(entry))
                found.append((kind, entry))
        if any(kind == "database" for kind, _entry in found) and not self.params["record"]:
            self._troubles.append("record is missing: when a database's credentials were rotated is kept there")
        if self.params["barrier"] and "barrier" in only:
            found.append(("barrier", {"mount": "encryption key"}))
        return found

    def _due(self, kind: str, entry: Mapping[str, Any], made: datetime.datetime | None, step: Step) -> bool:
        """Whether a key is too old; says so in its step."""
        most = float(entry.get("max_age") or self.params["max_age"])
        if made is None:
            step.note = "no rotation of it is recorded"
            return True
        age = (self._now - made).total_seconds() / 86400
        self._ages.setdefault(kind, []).append((age, most, step))
        if age < most:
            return False
        step.note = f"{age:.0f} days old, {most:g} at most"
        return True

    # Transit

    def _plan_transit(self, entry: Mapping[str, Any]) -> None:
        mount = str(entry["mount"]).strip("/")
        names = [str(entry["name"])] if entry.get("name") else sorted(self.vault.list(f"{mount}/keys"))
        if not names:
            raise Failure("there is no key", "")
        for name in names:
            self._plan_transit_key(mount, name, entry)

    def _plan_transit_key(self, mount: str, name: str, entry: Mapping[str, Any]) -> None:
        path = f"{mount}/keys/{name}"
        key = self.vault.data(path)
        if not key:
            raise Failure(f"there is no key {name}", "")
        version = int(key["latest_version"])
        # Symmetric keys have a time for each version, others a dictionary with it.
        told = key["keys"][str(version)]
        made = time_of(told["creation_time"] if isinstance(told, Mapping) else told)
        step = self.plan.add(Step("transit key", f"{mount}/{name}"))
        if self._due("transit", entry, made, step):
            step.action, step.before, step.after = "update", {"version": version}, {"version": version + 1}
            step.apply = lambda: self._write(f"{path}/rotate")
            version += 1
        oldest, keep = int(key["min_decryption_version"]), entry.get("keep")
        if keep is not None and version - int(keep) + 1 > oldest:
            wanted = version - int(keep) + 1
            self.plan.add(
                Step(
                    "transit decryption",
                    f"{mount}/{name}",
                    "update",
                    {"min_decryption_version": oldest},
                    {"min_decryption_version": wanted},
                    note=f"what versions before {wanted} encrypted cannot be read any more",
                    apply=lambda: self._write(f"{path}/config", {"min_decryption_version": wanted}),
                )
            )

    def _write(self, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Write what must not be done twice."""
        self.vault.write(path, body, idempotent=False)

    # PKI

    def _plan_pki(self, entry: Mapping[str, Any]) -> None:
        mount, root = str(entry["mount"]).strip("/"), str(entry["signed_by"]).strip("/")
        issuers = self._issuers(mount)
        default = str((self.vault.data(f"{mount}/config/issuers") or {}).get("default") or "")
        if default not in issuers:
            raise Failure("it has no default issuer with a key", "")
        now = issuers[default]
        if now["self_signed"]:
            raise Failure("its issuer is a root, whose successor everybody has to trust first", "")
        signer = self.vault.data(f"{root}/issuer/default")
        if not signer:
            raise Failure(f"{root} has no issuer that could sign", "")
        left = (about_certificate(signer["certificate"])["ends"] - self._now).total_seconds()
        step = self.plan.add(Step("pki intermediate", mount))
        step.before = {"issuer": now["serial"]}
        if not self._due("pki", entry, now["made"], step):
            step.before = None
            return
        step.action = "update"
        most = datetime.timedelta(days=float(entry.get("max_age") or self.params["max_age"]))
        newer = {ref: one for ref, one in issuers.items() if self._now - one["made"] < most and not one["self_signed"]}
        if newer:  # an earlier run came as far as that
            ref = max(newer, key=lambda one: newer[one]["made"])
            step.after = {"issuer": newer[ref]["serial"]}
            step.apply = lambda: self._turn(mount, default, ref)
            return
        own = {name: entry[name] for name in entry if name not in ("mount", "signed_by", "max_age")}
        unknown = VaultApi(self.vault).unknown(f"{root}/root/sign-intermediate", own)
        if unknown:
            raise Failure(f"an issuer has no {', '.join(unknown)}", "")
        wish = {**now["fields"], **own}
        if left < most.total_seconds():
            raise Failure(f"the certificate of {root} ends in {left / 86400:.0f} days: rotate the root first", "")
        if "ttl" not in entry:
            # A certificate does not outlive the one that signs it.
            wish["ttl"] = f"{min(int(now['fields']['ttl'][:-1]), int(left) - 60)}s"
        step.after = {"issuer": f"a new one, signed by {root}", "common_name": wish.get("common_name")}
        step.apply = lambda: self._turn(mount, default, self._new_issuer(mount, root, wish))
        self._warn_of_roles(mount, {default, str(now["name"])})

    def _issuers(self, mount: str) -> dict[str, dict[str, Any]]:
        """The issuers whose key is there, by their ids."""
        found = {}
        for ref in self.vault.list(f"{mount}/issuers"):
            one = self.vault.data(f"{mount}/issuer/{ref}") or {}
            if one.get("key_id"):
                about = about_certificate(one["certificate"])
                found[ref] = {**about, "key": one["key_id"], "name": one.get("issuer_name") or ""}
        return found

    def _new_issuer(self, mount: str, root: str, wish: Mapping[str, Any]) -> str:
        """A new key, signed by the root; the id of its issuer."""
        used = {one["key"] for one in self._issuers(mount).values()}
        keys = (self.vault.request("GET", f"{mount}/keys", query={"list": "true"}).body or {}).get("data") or {}
        unsigned = [
            ref
            for ref, about in (keys.get("key_info") or {}).items()
            if ref not in used and str(about.get("key_name")).startswith(_KEY_NAME)
        ]
        name = f"{_KEY_NAME}{self._now:%Y%m%dT%H%M%S}"
        made = sign_intermediate(
            VaultApi(self.vault), mount, root, {**wish, "key_name": name}, unsigned[0] if unsigned else ""
        )
        serial = about_certificate(made["certificate"])["serial"]
        return next(
            ref
            for ref in made["imported_issuers"]
            if about_certificate((self.vault.data(f"{mount}/issuer/{ref}") or {})["certificate"])["serial"] == serial
        )

    def _turn(self, mount: str, before: str, ref: str) -> None:
        """Have the new issuer sign what is asked for from now on; the old one stays for what it has signed."""
        old, new = (self.vault.data(f"{mount}/issuer/{one}") or {} for one in (before, ref))
        if any(old.get(name) != new.get(name) for name in _ISSUER_SETTINGS):
            settings = {name: old[name] for name in _ISSUER_SETTINGS if old.get(name) is not None}
            self.vault.write(f"{mount}/issuer/{ref}", {**settings, "issuer_name": new.get("issuer_name") or ""})
        config = self.vault.data(f"{mount}/config/issuers") or {}
        self.vault.write(f"{mount}/config/issuers", {**config, "default": ref})

    def _warn_of_roles(self, mount: str, names: set[str]) -> None:
        """Roles that name the issuer of today go on with it."""
        roles = self.vault.list(f"{mount}/roles")
        told = self.vault.session.each(lambda role: self.vault.data(f"{mount}/roles/{role}") or {}, roles)
        bound = [
            role
            for role, about in zip(roles, told, strict=True)
            if isinstance(about, Mapping) and about.get("issuer_ref") in names - {"", "default"}
        ]
        if bound:
            self.warnings.append(f"roles of {mount} that name today's issuer go on with it: {', '.join(sorted(bound))}")

    # Databases

    def _plan_database(self, entry: Mapping[str, Any]) -> None:
        mount, name = str(entry["mount"]).strip("/"), str(entry["name"])
        if not self.vault.data(f"{mount}/config/{name}"):
            raise Failure("there is no such connection", "")
        record = str(self.params["record"])
        _place, kept, version = self.vault.secret(record)
        if version < 0:
            raise Failure(f"record {record}: KV version 1 has no check-and-set", "")
        at = kept.get(f"{mount}/{name}")
        step = self.plan.add(Step("database root", f"{mount}/{name}"))
        if self._due("database", entry, time_of(at) if at else None, step):
            step.action, step.before, step.after = "update", {"rotated": at}, {"rotated": "now"}
            step.apply = lambda: self._rotate_root(mount, name, record)

    def _rotate_root(self, mount: str, name: str, record: str) -> None:
        self._write(f"{mount}/rotate-root/{name}")
        place, kept, version = self.vault.secret(record)
        now = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._write(place, {"options": {"cas": version}, "data": {**kept, f"{mount}/{name}": now}})

    # The barrier

    def _plan_barrier(self, entry: Mapping[str, Any]) -> None:
        most = self.params["max_age"]
        operator = Operator(self.vault, {**self.params, "state": "rotated", "max_age": most}, self.check, self._now)
        for step in operator.make_plan().steps:
            self._ages.setdefault("barrier", []).append((operator.output.pop("age"), float(most), step))
            self.plan.add(step)
        self.deferred += operator.deferred


def _target(entry: Mapping[str, Any]) -> str:
    return "/".join(str(entry[name]).strip("/") for name in ("mount", "name") if entry.get(name)) or "?"
