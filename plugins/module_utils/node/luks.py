# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS2 volumes, their keys, and the escrow of what recovers them.

No key is ever an argument of a program, a line of a log or a file on a disk: programs get it on their standard input,
and what programs insist on writing goes to /run, which is memory.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

CIPHER = "aes-xts-plain64"
KEY_BITS = 512  # XTS splits it into two keys of 256 bits
RECOVERY_SLOT = 0

# What is written into the subsystem field of the header. A volume is `incomplete` until its file system is made: until
# then it has never held anything and may be made anew. After that, nothing of ours ever formats it again.
SUBSYSTEM = "banking.platform"
INCOMPLETE = SUBSYSTEM + "/incomplete"

# Every key that is enrolled is random with at least 256 bits, so a costly derivation would add nothing but boot time
# and the risk that a node with little free memory cannot unlock. These are the costs of RFC 9106, second recommended
# option (64 MiB, 4 lanes), with 4 passes, the fewest that cryptsetup takes.
_PBKDF = ("--pbkdf argon2id --pbkdf-memory 65536 --pbkdf-parallel 4 --pbkdf-force-iterations 4").split()
# Room for 16 keys. The default of 16 MiB would make the escrowed backup of the header four times as large.
_KEYSLOTS = "4M"

# systemd's alphabet for recovery keys: letters that lie at the same place on every keyboard.
_MODHEX = "cbdefghijklnrtuv"

_SYSTEMD_CRYPTSETUP = ("/usr/lib/systemd/systemd-cryptsetup", "/lib/systemd/systemd-cryptsetup")
_TIMEOUT = 600


@dataclass
class TangServer:
    """A Tang server: where it listens, and the thumbprint of the key that signs what it advertises."""

    url: str
    thumbprint: str
    zone: str = ""


@dataclass
class Unlock:
    """How a node opens its volumes by itself.

    Attributes:
        method: tang, tpm2 or key_file.
        servers, threshold: of Tang; so many of the servers are needed.
        pcrs: of the TPM; the registers that must be as they were.
        key_file: a path in memory that holds the key.
    """

    method: str
    servers: List[TangServer] = field(default_factory=list)
    threshold: int = 0
    pcrs: List[int] = field(default_factory=list)
    key_file: str = ""

    def described(self) -> Dict[str, Any]:
        """The method as a plan shows it, and as it is compared."""
        if self.method == "tang":
            return {"method": "tang", "servers": sorted(s.url for s in self.servers), "threshold": self.threshold}
        if self.method == "tpm2":
            return {"method": "tpm2", "pcrs": sorted(self.pcrs)}
        return {"method": "key_file"}

    def clevis_config(self) -> str:
        """Clevis' configuration: Shamir's secret sharing over Tang servers."""
        pins = [{"url": server.url, "thp": server.thumbprint} for server in self.servers]
        return json.dumps({"t": self.threshold, "pins": {"tang": pins}}, separators=(",", ":"))

    def crypttab(self, name: str, device: str) -> str:
        """The line of /etc/crypttab.

        nofail: a node whose volume does not open still boots, so that somebody can log in and see why.
        """
        key, options = {
            "tang": ("none", "luks,_netdev,nofail"),
            "tpm2": ("none", "luks,nofail,tpm2-device=auto"),
            "key_file": (self.key_file, "luks,nofail"),
        }[self.method]
        return f"{name} {device} {key} {options}"


class Luks:
    """Commands on LUKS2 volumes.

    Args:
        system: finds programs.
        run_dir: a folder in memory for what has to be a file for a moment.
    """

    def __init__(self, system: System, run_dir: str = "/run/banking-platform") -> None:
        self.system = system
        self.run_dir = run_dir

    def call(
        self, argv: Sequence[str], stdin: bytes = b"", env: Optional[Mapping[str, str]] = None, what: str = ""
    ) -> bytes:
        """Run a program with something on its standard input.

        Returns:
            What it printed, as bytes.

        Raises:
            Failure: with the last lines of its standard error, which hold no keys.
        """
        environment = dict(os.environ, LC_ALL="C", **(env or {}))
        # In memory like a pipe, but it can be read twice, which systemd-cryptenroll does.
        given = os.memfd_create("stdin")
        try:
            os.write(given, stdin)
            os.lseek(given, 0, os.SEEK_SET)
            done = subprocess.run(
                list(argv), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                timeout=_TIMEOUT, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise Failure(f"program {argv[0]!r} is not installed", "install its package") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(
                f"{what or argv[0]}: not done after {_TIMEOUT} s", "is the disk, or the server, hanging?"
            ) from error
        finally:
            os.close(given)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-4:]
            raise Failure(f"{what or argv[0]}: {' / '.join(said) or f'exit status {done.returncode}'}")
        return done.stdout

    # Reading

    def metadata(self, device: str) -> Dict[str, Any]:
        """The header as cryptsetup dumps it: keyslots, tokens, segments, digests, config. No key is part of it."""
        return json.loads(self.call(["cryptsetup", "luksDump", "--dump-json-metadata", device]))

    # Making

    def format(self, device: str, key: bytes, uuid: str, label: str) -> None:
        """Make a volume, marked incomplete, that opens with one key."""
        argv = [
            "cryptsetup", "luksFormat", "--type", "luks2", "--batch-mode", "--cipher", CIPHER,
            "--key-size", str(KEY_BITS), *_PBKDF, "--luks2-keyslots-size", _KEYSLOTS,
            "--label", label, "--subsystem", INCOMPLETE, "--uuid", uuid,
            "--key-slot", str(RECOVERY_SLOT), "--key-file", "-", device,
        ]  # fmt: skip
        self.call(argv, key)
        # Tells people and tools what this slot is for (systemd-cryptenroll lists it as "recovery").
        token = json.dumps({"type": "systemd-recovery", "keyslots": [str(RECOVERY_SLOT)]})
        self.call(["cryptsetup", "token", "import", "--json-file", "-", device], token.encode())

    def enroll(self, device: str, key: bytes, unlock: Unlock) -> None:
        """Give the volume a second key, which the node can get by itself.

        Tang and TPM2 come with a random key of their own, with the derivation that Clevis and systemd choose for one.
        """
        self._make_run_dir()
        if unlock.method == "tang":
            argv = ["clevis", "luks", "bind", "-y", "-k", "-", "-d", device, "sss", unlock.clevis_config()]
            # Clevis keeps a copy of the header in its temporary folder meanwhile.
            self.call(argv, key, {"TMPDIR": self.run_dir}, what="clevis luks bind")
        elif unlock.method == "tpm2":
            pcrs = "+".join(str(pcr) for pcr in unlock.pcrs)
            argv = [
                "systemd-cryptenroll",
                "--tpm2-device=auto",
                f"--tpm2-pcrs={pcrs}",
                "--unlock-key-file=/dev/stdin",
                device,
            ]
            self.call(argv, key)
        else:
            if not os.path.exists(unlock.key_file):
                _write_private(unlock.key_file, secrets.token_bytes(64))
            argv = ["cryptsetup", "luksAddKey", *_PBKDF, "--key-slot", "1", "--key-file", "-", device, unlock.key_file]
            self.call(argv, key)

    def open(self, device: str, name: str, unlock: Unlock) -> None:
        """Open the volume in the way in which the node will open it at boot."""
        if unlock.method == "tang":
            self.call(["clevis", "luks", "unlock", "-d", device, "-n", name])
        elif unlock.method == "tpm2":
            program = next((path for path in _SYSTEMD_CRYPTSETUP if os.path.exists(path)), _SYSTEMD_CRYPTSETUP[0])
            self.call([program, "attach", name, device, "-", "tpm2-device=auto,headless=1"])
        else:
            self.call(["cryptsetup", "open", "--key-file", unlock.key_file, device, name])

    def test(self, device: str, unlock: Unlock) -> None:
        """Try the key file without opening the volume, where the kernel cannot open any."""
        self.call(["cryptsetup", "open", "--test-passphrase", "--key-file", unlock.key_file, device])

    def close(self, name: str) -> None:
        """Close an open volume."""
        self.call(["cryptsetup", "close", name])

    def commit(self, device: str, label: str) -> None:
        """Mark the volume complete: from now on it is never formatted again."""
        self.call(["cryptsetup", "config", "--label", label, "--subsystem", SUBSYSTEM, device])

    def header(self, device: str) -> bytes:
        """A backup of the header: with it and an old key the volume opens, whatever was done to the header since."""
        self._make_run_dir()
        path = os.path.join(self.run_dir, f"header-{secrets.token_hex(4)}")
        try:
            self.call(["cryptsetup", "luksHeaderBackup", device, "--header-backup-file", path])
            with open(path, "rb") as file:
                return file.read()
        finally:
            if os.path.exists(path):
                os.unlink(path)

    # Escrow

    def check_certificate(self, certificate: str) -> None:
        """See that a certificate is one, and is still valid.

        Raises:
            Failure: saying what is wrong with it.
        """
        said = self.system.run(["openssl", "version"])  # a missing program is another matter than a bad certificate
        if not said.ok:
            raise Failure(f"openssl: {said.last_lines(1)}")
        try:
            self.call(["openssl", "x509", "-noout", "-checkend", "0"], certificate.encode())
        except Failure as failure:
            raise Failure(
                f"the escrow certificate cannot be used: expired, or no X.509 certificate in PEM ({failure.cause})",
                "give data_volumes_escrow_certificate a valid one, whose private key the bank keeps off line",
            ) from failure

    def seal(self, secret: bytes, certificate: str) -> bytes:
        """Encrypt something to a certificate, as CMS (RFC 5652) in PEM, with AES-256-GCM."""
        self._make_run_dir()
        path = os.path.join(self.run_dir, f"escrow-{secrets.token_hex(4)}.pem")
        _write_private(path, certificate.encode())  # public; openssl takes recipients as files only
        try:
            about = self.call(["openssl", "x509", "-noout", "-text", "-in", path])
            oaep = ["-keyopt", "rsa_padding_mode:oaep"] if b"rsaEncryption" in about else []
            argv = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "PEM", "-recip", path, *oaep]
            return self.call(argv, secret)
        finally:
            os.unlink(path)

    def _make_run_dir(self) -> None:
        os.makedirs(self.run_dir, mode=0o700, exist_ok=True)


def recovery_key() -> str:
    """A key of 256 random bits that a person can type, in the form of systemd's recovery keys."""
    digits = [_MODHEX[byte >> 4] + _MODHEX[byte & 15] for byte in secrets.token_bytes(32)]
    return "-".join("".join(digits[i : i + 4]) for i in range(0, 32, 4))


def actual_unlock(metadata: Mapping[str, Any]) -> Dict[str, Any]:
    """How a volume opens by itself, from its header, in the form of `Unlock.described`."""
    for token in metadata.get("tokens", {}).values():
        if token["type"] == "systemd-tpm2":
            return {"method": "tpm2", "pcrs": sorted(token.get("tpm2-pcrs", []))}
        if token["type"] == "clevis":
            return _clevis_unlock(token)
    others = [slot for slot in metadata.get("keyslots", {}) if slot != str(RECOVERY_SLOT)]
    return {"method": "key_file" if others else "none"}


def _clevis_unlock(token: Mapping[str, Any]) -> Dict[str, Any]:
    """What a Clevis token is bound to; it stands in the protected headers of nested JWEs."""
    clevis = _protected(token["jwe"]["protected"])
    if clevis["pin"] != "sss":
        return {"method": f"clevis {clevis['pin']}"}
    shares = [_protected(share.partition(".")[0]) for share in clevis["sss"]["jwe"]]
    urls = sorted(share["tang"]["url"] for share in shares if share["pin"] == "tang")
    return {"method": "tang", "servers": urls, "threshold": clevis["sss"]["t"]}


def _protected(text: str) -> Dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["clevis"]


def actual_encryption(metadata: Mapping[str, Any]) -> Dict[str, Any]:
    """Cipher and key size in bits, from a volume's header, in the form of `WANTED_ENCRYPTION`."""
    segment: Mapping[str, Any] = next(iter(metadata.get("segments", {}).values()), {})
    slot: Mapping[str, Any] = next(iter(metadata.get("keyslots", {}).values()), {})
    return {"cipher": segment.get("encryption", ""), "key_bits": slot.get("key_size", 0) * 8}


def has_recovery_key(metadata: Mapping[str, Any]) -> bool:
    """Whether a slot of the header is marked as a recovery key's, and is in use."""
    slots = metadata.get("keyslots", {})
    tokens = [token for token in metadata.get("tokens", {}).values() if token["type"] == "systemd-recovery"]
    return any(slot in slots for token in tokens for slot in token["keyslots"])


WANTED_ENCRYPTION = {"cipher": CIPHER, "key_bits": KEY_BITS}


def _write_private(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
