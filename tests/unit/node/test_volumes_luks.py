# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on LUKS2 volumes: keys go to standard input only, and headers are understood."""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.banking.platform.plugins.module_utils.node import luks as luks_module
from ansible_collections.banking.platform.plugins.module_utils.node.luks import (
    Luks,
    TangServer,
    Unlock,
    actual_encryption,
    actual_unlock,
    has_recovery_key,
    recovery_key,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

KEY = b"cbdefghi-jklnrtuv"
TANG = Unlock("tang", [TangServer("http://a", "thumb", "zone-a"), TangServer("http://b", "thumb", "zone-b")], 2)
TPM2 = Unlock("tpm2", pcrs=[7, 4])


class Calls:
    """Stands in for subprocess.run."""

    def __init__(self) -> None:
        self.made: list[tuple[list[str], bytes, dict[str, str]]] = []
        self.status, self.err = 0, b""

    def run(self, argv: list[str], env: dict[str, str] | None = None, **options: Any) -> Any:
        self.made.append((argv, os.read(options["stdin"], 1 << 16), env or {}))
        return SimpleNamespace(returncode=self.status, stdout=b"", stderr=self.err)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(luks_module.subprocess, "run", calls.run)
    return calls


@pytest.fixture
def luks(tmp_path: Path) -> Luks:
    return Luks(System(), str(tmp_path / "run"))


@pytest.mark.parametrize(
    "act",
    [
        lambda luks, folder: luks.format("/dev/sdb", KEY, "u-u-i-d", "data-vault"),
        lambda luks, folder: luks.enroll("/dev/sdb", KEY, TANG),
        lambda luks, folder: luks.enroll("/dev/sdb", KEY, TPM2),
        lambda luks, folder: luks.enroll("/dev/sdb", KEY, Unlock("key_file", key_file=str(folder / "run/key"))),
        lambda luks, folder: luks.seal(KEY, "CERTIFICATE"),
    ],
    ids=["format", "tang", "tpm2", "key_file", "seal"],
)
def test_the_key_is_on_standard_input_and_nowhere_else(
    luks: Luks, calls: Calls, tmp_path: Path, act: Callable[[Luks, Path], None]
) -> None:
    act(luks, tmp_path)
    assert [given for _argv, given, _env in calls.made].count(KEY) == 1
    for argv, _given, env in calls.made:
        assert not any(KEY.decode() in text for text in [*argv, *env.values()])
    assert not any(KEY in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_format_is_luks2_with_the_asked_for_cipher_and_marked_incomplete(luks: Luks, calls: Calls) -> None:
    luks.format("/dev/sdb", KEY, "u-u-i-d", "data-vault")
    command = " ".join(calls.made[0][0])
    for part in (
        "--type luks2",
        "--cipher aes-xts-plain64",
        "--key-size 512",
        "--pbkdf argon2id",
        "--label data-vault",
        "--subsystem banking.platform/incomplete",
        "--uuid u-u-i-d",
        "--key-slot 0",
    ):
        assert part in command
    assert json.loads(calls.made[1][1]) == {"type": "systemd-recovery", "keyslots": ["0"]}


def test_clevis_keeps_its_copy_of_the_header_in_memory(luks: Luks, calls: Calls) -> None:
    luks.enroll("/dev/sdb", KEY, TANG)
    argv, _given, env = calls.made[0]
    assert env["TMPDIR"] == luks.run_dir
    assert json.loads(argv[-1])["pins"]["tang"][0] == {"url": "http://a", "thp": "thumb"}


def test_a_key_file_is_made_once_and_private(luks: Luks, calls: Calls, tmp_path: Path) -> None:
    unlock = Unlock("key_file", key_file=str(tmp_path / "run/key"))
    luks.enroll("/dev/sdb", KEY, unlock)
    first = Path(unlock.key_file).read_bytes()
    luks.enroll("/dev/sdc", KEY, unlock)
    assert Path(unlock.key_file).read_bytes() == first
    assert len(first) == 64
    assert Path(unlock.key_file).stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("unlock", "program"),
    [(TANG, "clevis"), (TPM2, "systemd-cryptsetup"), (Unlock("key_file", key_file="/run/k"), "cryptsetup")],
)
def test_a_volume_is_opened_in_the_way_of_the_boot(luks: Luks, calls: Calls, unlock: Unlock, program: str) -> None:
    luks.open("/dev/sdb", "data-vault", unlock)
    assert Path(calls.made[0][0][0]).name == program


def test_an_error_tells_what_the_program_said(luks: Luks, calls: Calls) -> None:
    calls.status, calls.err = 1, b"one\ntwo\nDevice /dev/sdb is in use.\n"
    with pytest.raises(Failure, match=r"cryptsetup: one / two / Device /dev/sdb is in use\."):
        luks.close("data-vault")


def test_a_missing_program(luks: Luks) -> None:
    with pytest.raises(Failure, match="'no-such-program' is not installed"):
        luks.call(["no-such-program"])


def test_a_program_that_hangs(luks: Luks, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_arguments: Any, **_options: Any) -> None:
        raise subprocess.TimeoutExpired("clevis", 600)

    monkeypatch.setattr(luks_module.subprocess, "run", hang)
    with pytest.raises(Failure, match="not done after 600 s"):
        luks.call(["clevis"])


def test_what_was_sealed_can_be_opened_with_the_private_key_only(luks: Luks, tmp_path: Path) -> None:
    for name in ("bank", "other"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2",
             "-subj", f"/CN={name}", "-keyout", str(tmp_path / f"{name}.key"), "-out", str(tmp_path / f"{name}.pem")],
            check=True, capture_output=True,
        )  # fmt: skip
    luks.check_certificate((tmp_path / "bank.pem").read_text())
    sealed = luks.seal(KEY, (tmp_path / "bank.pem").read_text())
    assert KEY not in sealed
    opened = {
        name: subprocess.run(
            ["openssl", "cms", "-decrypt", "-inform", "PEM", "-inkey", str(tmp_path / f"{name}.key"),
             "-recip", str(tmp_path / f"{name}.pem")],
            input=sealed, capture_output=True, check=False,
        )
        for name in ("bank", "other")
    }  # fmt: skip
    assert opened["bank"].stdout == KEY
    assert opened["other"].returncode != 0
    assert list(Path(luks.run_dir).iterdir()) == []


@pytest.mark.parametrize("certificate", ["", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_bad_certificate_is_refused(luks: Luks, certificate: str) -> None:
    with pytest.raises(Failure, match="escrow certificate cannot be used"):
        luks.check_certificate(certificate)


def test_an_expired_certificate_is_refused(luks: Luks) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")])
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, then, then + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    with pytest.raises(Failure, match="expired"):
        luks.check_certificate(certificate.decode())


def test_recovery_keys_have_256_bits_and_are_never_the_same() -> None:
    keys = {recovery_key() for _turn in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"([cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}", key) for key in keys)


# Headers


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps({"clevis": value}).encode()).decode().rstrip("=")


def clevis_token(*urls: str, threshold: int = 2) -> dict[str, Any]:
    shares = [encoded({"pin": "tang", "tang": {"url": url, "adv": {}}}) + ".cek.iv.text.tag" for url in urls]
    protected = encoded({"pin": "sss", "sss": {"t": threshold, "jwe": shares}})
    return {"type": "clevis", "keyslots": ["1"], "jwe": {"protected": protected}}


RECOVERY = {"type": "systemd-recovery", "keyslots": ["0"]}
SLOT = {"key_size": 64, "kdf": {"type": "argon2id"}}


def header(*tokens: dict[str, Any], slots: int = 2) -> dict[str, Any]:
    return {
        "keyslots": {str(number): SLOT for number in range(slots)},
        "tokens": {str(number): token for number, token in enumerate(tokens)},
        "segments": {"0": {"encryption": "aes-xts-plain64"}},
    }


def test_how_a_volume_unlocks_is_read_from_its_header() -> None:
    assert actual_unlock(header(RECOVERY, clevis_token("http://b", "http://a"))) == TANG.described()
    assert actual_unlock(header(RECOVERY, {"type": "systemd-tpm2", "tpm2-pcrs": [7, 4]})) == TPM2.described()
    assert actual_unlock(header(RECOVERY)) == {"method": "key_file"}
    assert actual_unlock(header(RECOVERY, slots=1)) == {"method": "none"}
    alone = {"type": "clevis", "jwe": {"protected": encoded({"pin": "tang", "tang": {"url": "http://a"}})}}
    assert actual_unlock(header(alone)) == {"method": "clevis tang"}


def test_cipher_and_recovery_key_are_read_from_the_header() -> None:
    assert actual_encryption(header(RECOVERY)) == {"cipher": "aes-xts-plain64", "key_bits": 512}
    assert actual_encryption({}) == {"cipher": "", "key_bits": 0}
    assert has_recovery_key(header(RECOVERY))
    assert not has_recovery_key(header())
    assert not has_recovery_key(header({"type": "systemd-recovery", "keyslots": ["5"]}))


def test_crypttab() -> None:
    assert TANG.crypttab("data-vault", "/dev/x") == "data-vault /dev/x none luks,_netdev,nofail"
    assert TPM2.crypttab("data-vault", "/dev/x") == "data-vault /dev/x none luks,nofail,tpm2-device=auto"
    assert Unlock("key_file", key_file="/run/k").crypttab("d", "/dev/x") == "d /dev/x /run/k luks,nofail"
