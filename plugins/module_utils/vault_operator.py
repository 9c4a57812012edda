# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators do with Vault or OpenBao: initialise, unseal, seal, step down, new shares, another encryption key.

Where the two differ: new shares are `sys/rekey/*` and `sys/rekey-recovery-key/*` in Vault, `sys/rotate/root/*` and
`sys/rotate/recovery/*` in OpenBao, whose answers lie in `data`; the encryption key is `sys/rotate` and
`sys/rotate/keyring`. Which one a server has is asked for, not guessed by its version.
"""

from __future__ import annotations

import datetime
import gzip
import hashlib
import json
import os
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, List

from ansible_collections.banking.platform.plugins.module_utils.http_session import HttpError, Unreachable, Untrusted
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.module_utils.vault import Vault

STATES = ("initialized", "unsealed", "sealed", "stepped_down", "rekeyed", "rotated", "restored")


def resolve(reference: str) -> str:
    """What lies at a reference: `file:<path>` or `env:<name>`.

    Raises:
        Failure: there is nothing. The message names the reference, never a value.
    """
    kind, _colon, name = reference.partition(":")
    if kind == "file" and name:
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"the share at file:{name} cannot be read ({type(error).__name__})", "check path") from None
    elif kind == "env" and name:
        text = os.environ.get(name, "").strip()
    else:
        # It may be the share itself, so that it is not shown.
        raise Failure("an entry of share_references is no reference", "write it as file:<path> or env:<name>")
    if not text:
        raise Failure(f"there is no share at {reference}", "check the reference")
    return text


def time_of(said: Any) -> datetime.datetime:
    """A time as Vault tells it: RFC 3339 with nanoseconds, or seconds of the epoch."""
    if isinstance(said, (int, float)):
        return datetime.datetime.fromtimestamp(said, datetime.UTC)
    return datetime.datetime.fromisoformat(re.sub(r"\.[0-9]+", "", str(said).replace("Z", "+00:00")))


def snapshot(path: str) -> dict[str, Any]:
    """What a snapshot says of itself: Index and Term that it was taken at, ...

    Raises:
        Failure: there is none, or it is not whole.
    """
    try:
        with gzip.open(path) as whole, tarfile.open(fileobj=whole, mode="r:") as archive:
            digests: dict[str, str] = {}
            wanted: dict[str, str] = {}
            about: dict[str, Any] = {}
            for member in archive:
                content = archive.extractfile(member)
                if content is None:
                    continue
                if member.name == "SHA256SUMS":
                    lines = content.read().decode().splitlines()
                    wanted = {line.split()[1]: line.split()[0] for line in lines if line.strip()}
                    continue
                digest = hashlib.sha256()
                said = b""
                while block := content.read(1 << 20):
                    digest.update(block)
                    said += block if member.name == "meta.json" else b""
                digests[member.name] = digest.hexdigest()
                about = json.loads(said) if said else about
            # A file that was cut off at its end is found by reading all of it.
            while whole.read(1 << 20):
                pass
            if not (about and wanted) or any(digests.get(name) != value for name, value in wanted.items()):
                raise ValueError
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError):
        raise Failure(f"{path} is damaged, or no snapshot of Vault", "take another one") from None
    except OSError as error:
        raise Failure(f"the snapshot {path} cannot be read: {error.strerror or error}", "check snapshot") from None
    return about


def pgp_key(given: str) -> str:
    """A public PGP key in Base64 as the API wants it, from a file's path, an armoured text, or Base64."""
    text = given.strip()
    if text.startswith("file:"):
        try:
            content = Path(text[5:]).expanduser().read_bytes()
        except OSError as error:
            raise Failure(f"the PGP key {text[5:]} cannot be read: {error.strerror}", "check pgp_keys") from error
        if not content.startswith(b"-----"):
            import base64

            return base64.b64encode(content).decode()
        text = content.decode().strip()
    if not text.startswith("-----"):
        return "".join(text.split())
    if "PRIVATE" in text:
        raise Failure("pgp_keys holds a private key", "give the public keys of who shall hold a share")
    lines = text.splitlines()
    body = lines[lines.index("") + 1 : -1] if "" in lines else lines[1:-1]
    return "".join(line.strip() for line in body if not line.startswith("="))


class Operator:
    """One thing that is to be so.

    Args:
        vault: a client of all members.
        params: the module's options.
        check: whether only to plan.
        now: the time that ages are counted to, this very moment by default.

    Attributes:
        plan: a step for each thing.
        deferred: in check mode, what could not be looked at yet.
        output: values of the result: shares and root token, encrypted; progress by member.
    """

    def __init__(
        self, vault: Vault, params: Mapping[str, Any], check: bool, now: datetime.datetime | None = None
    ) -> None:
        self.vault, self.params, self.check = vault, params, check
        self.plan = Plan()
        self.deferred: List[str] = []
        self.output: dict[str, Any] = {}
        self._now = now or datetime.datetime.now(datetime.UTC)
        self._sleep: Callable[[float], None] = time.sleep

    def make_plan(self) -> Plan:
        """Look, and say what would be done.

        Raises:
            Failure: it cannot be done as asked for; nothing was changed.
        """
        getattr(self, f"_plan_{self.params['state']}")()
        return self.plan

    # What is

    def _status(self, url: str) -> dict[str, Any] | None:
        """The seal of one member; None for one that is away."""
        try:
            return self.vault.member(url).seal_status()
        except Untrusted:
            raise
        except Unreachable:
            return None

    def _statuses(self) -> dict[str, dict[str, Any]]:
        """The seals of those members that answer.

        Raises:
            Failure: none does (in check mode that is noted only).
        """
        found = {url: status for url in self.vault.urls if (status := self._status(url)) is not None}
        if not found:
            names = ", ".join(self.vault.urls)
            if not self.check:
                raise Failure(f"no member of Vault answers: {names}", "see systemctl status vault.service there")
            self.deferred.append(f"nodes: no member of Vault answers ({names})")
        return found

    def _initialised(self) -> dict[str, dict[str, Any]]:
        """The seals of the members, of which one is initialised at least."""
        found = self._statuses()
        if found and not any(status["initialized"] for status in found.values()):
            if not self.check:
                raise Failure(
                    f"Vault at {', '.join(found)} is not initialised", "vault_operator with state initialized, once"
                )
            self.deferred.append("Vault is not initialised yet")
            return {}
        return found

    def _leader(self) -> str:
        """The URL of the active member; empty when there is none."""
        for url in self.vault.urls:
            try:
                answer = self.vault.member(url).session.request("GET", "/v1/sys/leader", accept=(400, 503))
            except Untrusted:
                raise
            except HttpError:
                continue
            if (answer.body or {}).get("is_self"):
                return url
        return ""

    # Initialise

    def _plan_initialized(self) -> None:
        found = self._statuses()
        step = self.plan.add(Step("vault", "initialisation"))
        if any(status["initialized"] for status in found.values()):
            return
        step.action = "create"
        keys, shares = self._wanted_shares()
        step.after = {
            "shares": shares,
            "threshold": self.params["threshold"],
            "encrypted": bool(keys),
            "output": self.params["output"] or None,
        }
        if not self.params["output"] and not self.params["root_token_pgp_key"]:
            raise Failure(
                "the root token would have to be returned in clear, which is not done",
                "set root_token_pgp_key, or output, a file that only its owner may read",
            )
        if not found:
            step.deferred = "no member answers yet"
            return
        url, status = next(iter(found.items()))
        step.apply = lambda: self._initialise(url, bool(status.get("recovery_seal")), keys, shares)

    def _wanted_shares(self) -> "tuple[List[str], int]":
        keys = [pgp_key(key) for key in self.params["pgp_keys"]]
        shares = self.params["shares"] or len(keys)
        if keys and shares != len(keys):
            raise Failure(f"{shares} shares are asked for, and {len(keys)} PGP keys given", "give a key for each share")
        if not keys and not self.params["output"]:
            raise Failure(
                "shares would have to be returned in clear, which is not done",
                "give pgp_keys, the public keys of who shall hold a share, or output",
            )
        if not shares or not 1 <= (self.params["threshold"] or 0) <= shares:
            raise Failure(
                f"the threshold {self.params['threshold']} does not fit {shares} shares",
                "set shares, and threshold to more than half of it",
            )
        return keys, shares

    def _initialise(self, url: str, recovery: bool, keys: Sequence[str], shares: int) -> None:
        prefix = "recovery" if recovery else "secret"
        body: dict[str, Any] = {f"{prefix}_shares": shares, f"{prefix}_threshold": self.params["threshold"]}
        if keys:
            body["recovery_pgp_keys" if recovery else "pgp_keys"] = list(keys)
        if self.params["root_token_pgp_key"]:
            body["root_token_pgp_key"] = pgp_key(self.params["root_token_pgp_key"])
        kept = self._open_output()
        try:
            answer = self.vault.member(url).request("POST", "sys/init", body, login=False, idempotent=False).body
        except BaseException:
            self._discard(kept)
            raise
        got = [str(one) for one in (answer.get("recovery_keys_base64" if recovery else "keys_base64") or [])]
        self._hand_over(kept, {"recovery_shares" if recovery else "shares": got, "root_token": answer["root_token"]})
        if keys:
            self.output["shares"] = got
        if self.params["root_token_pgp_key"]:
            self.output["root_token"] = answer["root_token"]
        self.output["recovery"] = recovery

    # What may be written where it was asked for, and nowhere else

    def _open_output(self) -> int:
        """Make the file before anything irrevocable is done: what comes is shown once only."""
        if not self.params["output"]:
            return -1
        path = os.path.expanduser(self.params["output"])
        try:
            os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Failure(f"the file {path} is there, and is not overwritten", "move it to a safe place") from None
        except OSError as error:
            raise Failure(f"the file {path} cannot be made: {error.strerror}", "correct output") from error

    def _discard(self, kept: int) -> None:
        if kept >= 0:
            os.close(kept)
            os.unlink(os.path.expanduser(self.params["output"]))

    @staticmethod
    def _hand_over(kept: int, what: Mapping[str, Any]) -> None:
        if kept >= 0:
            with os.fdopen(kept, "w", encoding="utf-8") as file:
                json.dump(what, file)
                file.flush()
                os.fsync(file.fileno())

    # Unseal

    def _shares(self) -> List[str]:
        """The shares that were given.

        Raises:
            Failure: there is none.
        """
        given = [str(share).strip() for share in self.params["share_values"] or []]
        given += [resolve(reference) for reference in self.params["share_references"] or []]
        if not given:
            raise Failure("there is no share to do it with", "set share_references, such as file:<path> or env:<name>")
        return list(dict.fromkeys(given))

    def _plan_unsealed(self) -> None:
        found = self._initialised()
        for url in self.vault.urls if found else ():
            step = self.plan.add(Step("vault", url))
            status = found.get(url)
            if status is None:
                step.note = "it does not answer"
                continue
            if not status["sealed"]:
                continue
            if status["type"] != "shamir":
                raise Failure(
                    f"Vault at {url} is sealed, and unseals itself ({status['type']}): shares are of no use",
                    "look at its journal: journalctl -u vault.service",
                )
            shares = self._shares()
            step.action, step.before, step.after = "update", {"sealed": True}, {"sealed": False}
            step.apply = lambda url=url, shares=shares: self._unseal(url, shares)

    def _unseal(self, url: str, shares: Sequence[str]) -> None:
        member = self.vault.member(url)
        deadline = time.monotonic() + float(self.params["retry_for"] or 0)
        while not (status := member.seal_status())["initialized"] and time.monotonic() < deadline:
            self._sleep(0.5)  # it is on its way into the cluster (retry_join)
        for share in shares:
            try:
                status = member.request("POST", "sys/unseal", {"key": share}, login=False).body
            except HttpError as error:
                if error.status not in (400, 500):
                    raise
                member.request("POST", "sys/unseal", {"reset": True}, login=False, accept=(400,))
                raise Failure(
                    f"Vault at {url} does not unseal: one of the {len(shares)} shares is none of this Vault",
                    "give shares of its last initialisation or rekeying; those entered before are forgotten",
                ) from None
            if not status["sealed"]:
                return
        self.output.setdefault("progress", {})[url] = f"{status['progress']} of {status['t']}"

    # Seal, step down

    def _plan_sealed(self) -> None:
        for url, status in self._initialised().items():
            step = self.plan.add(Step("vault", url))
            if not status["sealed"]:
                step.action, step.before, step.after = "update", {"sealed": False}, {"sealed": True}
                step.apply = lambda url=url: self._seal(url)

    def _seal(self, url: str) -> None:
        """A standby does not seal itself (it says so): the active member is sealed, until none is left."""
        one = self.vault.member(url)
        deadline = time.monotonic() + float(self.params["retry_for"] or 0)
        while not one.seal_status()["sealed"]:
            if self._leader() == url or time.monotonic() > deadline:
                one.request("POST", "sys/seal", {}, idempotent=True)
                return
            self._sleep(0.3)

    def _plan_stepped_down(self) -> None:
        found = self._initialised()
        step = self.plan.add(Step("vault", "active member"))
        leader = self._leader() if found else ""
        if leader and (not self.params["member"] or leader == self.params["member"]):
            step.action, step.before = "update", {"active": leader}
            step.apply = lambda: self._step_down(leader)

    def _step_down(self, leader: str) -> None:
        self.vault.member(leader).request("POST", "sys/step-down", {}, idempotent=False)
        deadline = time.monotonic() + float(self.params["retry_for"] or 0)
        while (now := self._leader()) in ("", leader) and time.monotonic() < deadline:
            self._sleep(0.1)
        self.output["active"] = now

    # Keys

    def _data(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self.vault.request(method, path, body, idempotent=method == "GET").body or {}
        inner = answer.get("data")
        return dict(inner if isinstance(inner, dict) else answer)

    def _has_rotation(self) -> bool:
        """Whether the server speaks as OpenBao does (sys/rotate/root)."""
        return self.vault.request("GET", "sys/rotate/root/init", accept=(400, 404, 405)).status == 200

    def _plan_rekeyed(self) -> None:
        found = self._initialised()
        if not found:
            return
        if all(status["sealed"] for status in found.values()):
            raise Failure("Vault is sealed: it gives no new shares", "unseal it first (state unsealed)")
        status = next(status for status in found.values() if not status["sealed"])
        keys, shares = self._wanted_shares()
        recovery = bool(status.get("recovery_seal"))
        before = {"shares": status["n"], "threshold": status["t"]}
        after = {"shares": shares, "threshold": self.params["threshold"]}
        step = self.plan.add(Step("vault", "recovery shares" if recovery else "shares"))
        if before == after and not self.params["force"]:
            return
        step.action, step.before, step.after = "update", before, after
        given = self._shares()
        step.apply = lambda: self._rekey(recovery, keys, shares, given)

    def _rekey(self, recovery: bool, keys: Sequence[str], shares: int, given: Sequence[str]) -> None:
        ours = {
            (True, False): "sys/rotate/root",
            (True, True): "sys/rotate/recovery",
            (False, False): "sys/rekey",
            (False, True): "sys/rekey-recovery-key",
        }[self._has_rotation(), recovery]
        kept = self._open_output()
        try:
            begun = self._data("GET", f"{ours}/init")
            if begun.get("started"):
                raise Failure(
                    "another rekeying is under way", f"finish it, or cancel it (DELETE {ours}/init), and run again"
                )
            body: dict[str, Any] = {"secret_shares": shares, "secret_threshold": self.params["threshold"]}
            if keys:
                body.update(pgp_keys=list(keys), backup=False)
            nonce = self._data("POST", f"{ours}/init", body)["nonce"]
            try:
                for share in given:
                    done = self._data("POST", f"{ours}/update", {"key": share, "nonce": nonce})
                    if done.get("complete"):
                        break
                else:
                    raise Failure(
                        f"{len(given)} shares are not enough for new ones", "give as many as today's threshold"
                    )
            except Failure as failure:
                self.vault.request("DELETE", f"{ours}/init", {"nonce": nonce}, accept=(400, 404))
                if isinstance(failure, HttpError) and failure.status in (400, 500):
                    raise Failure("one of the shares is none of this Vault", "today's shares stay in force") from None
                raise
        except BaseException:
            self._discard(kept)
            raise
        got = [str(one) for one in done["keys_base64"]]
        self._hand_over(kept, {"recovery_shares" if recovery else "shares": got})
        if keys:
            self.output["shares"] = got

    def _plan_rotated(self) -> None:
        if not self._initialised():
            return
        step = self.plan.add(Step("vault", "encryption key"))
        status = self._data("GET", "sys/key-status")
        age = (self._now - time_of(status["install_time"])).total_seconds() / 86400
        self.output["age"] = round(age, 2)
        if age < self.params["max_age"]:
            return
        step.note = f"{age:.0f} days old, {self.params['max_age']:g} at most"
        step.action, step.before, step.after = "update", {"term": status["term"]}, {"term": status["term"] + 1}
        step.apply = self._rotate

    # What was

    def _plan_restored(self) -> None:
        path = os.path.expanduser(self.params["snapshot"] or "")
        about = snapshot(path)
        found = self._initialised()
        step = self.plan.add(Step("vault", "all that is stored", "update", after={"snapshot": os.path.basename(path)}))
        step.after["index"] = about["Index"]
        if found and all(status["sealed"] for status in found.values()):
            if not self.check:
                raise Failure("Vault is sealed: it takes no snapshot", "unseal it first (state unsealed)")
            found = {}
        if not found:
            step.deferred = "an unsealed Vault"
            return
        step.apply = lambda: self._restore(path)

    def _restore(self, path: str) -> None:
        leader = self._leader()
        if not leader:
            raise Failure("no member of Vault is active", "see vault-state on its servers, and run again")
        place = f"sys/storage/raft/snapshot{'-force' if self.params['force'] else ''}"
        with open(path, "rb") as file:
            try:
                self.vault.member(leader).request(
                    "POST", place, file, idempotent=False, content="application/octet-stream"
                )
            except HttpError as error:
                if error.status == 400 and "unseal keys" in error.said:
                    raise Failure(
                        f"{path} is of a Vault with other keys, nothing was restored",
                        "with force it is taken all the same; then it takes that Vault's seal or shares to unseal",
                    ) from None
                raise
        deadline = time.monotonic() + float(self.params["retry_for"] or 0)
        while not self._leader() and time.monotonic() < deadline:
            self._sleep(0.2)
        self.output["sealed"] = [url for url in self.vault.urls if (self._status(url) or {}).get("sealed", True)]

    def _rotate(self) -> None:
        path = "sys/rotate/keyring" if self._has_rotation() else "sys/rotate"
        self.vault.request("POST", path, {}, idempotent=False)
