# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate authorities in a folder on the controller, and what they sign.

Of each authority lie there `<name>.crt`, the certificate that everybody who uses it trusts; `<name>.key`, its key,
encrypted; `<name>.old.crt` while certificates of a former one are still about; and `<name>.cross.crt`, the same name
and key signed by the bootstrap authority. The trusted certificate is self-signed, not the bootstrap authority's: what
trusts that one as an authority of clients would let in whoever has any certificate of the bank.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID
except ImportError:  # the platform's requirements bring it; to read the documentation of a plugin one needs it not
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

BOOTSTRAP = "bootstrap"
KEY_BYTES = 32
_ENCRYPTED = ("$ANSIBLE_VAULT;", "-----BEGIN ENCRYPTED PRIVATE KEY-----")
# RFC 5280, section 4.2.1.12.
_USAGES = {"server": "1.3.6.1.5.5.7.3.1", "client": "1.3.6.1.5.5.7.3.2"}
# Clocks may differ by this much: a certificate is valid from so long before it was made.
_LEEWAY = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Wish:
    """A certificate as it should be.

    Attributes:
        path, key: where it and its key lie on the node.
        authority: who signs it.
        usages: server, client.
        days: how long it is valid.
        renew_before: days before its end from which on it is replaced.
        owner, group: of both files.
        mode, key_mode: in octal digits.
    """

    path: str
    key: str
    authority: str
    common_name: str
    organizations: Sequence[str] = ()
    dns: Sequence[str] = ()
    ip: Sequence[str] = ()
    usages: Sequence[str] = ("server",)
    days: float = 365
    renew_before: float = 60
    owner: str = "root"
    group: str = "root"
    mode: str = "0644"
    key_mode: str = "0600"

    @property
    def facts(self) -> dict[str, Any]:
        """What its certificate has to say, in the form of `facts_of`."""
        return {
            "common_name": self.common_name,
            "organizations": sorted(self.organizations),
            "dns": sorted(self.dns),
            "ip": sorted(str(ipaddress.ip_address(address)) for address in self.ip),
            "usages": sorted(self.usages),
        }


def facts_of(certificate: x509.Certificate) -> dict[str, Any]:
    """What a certificate says of its holder: common_name, organizations, dns, ip, usages."""

    def names(oid: x509.ObjectIdentifier) -> list[str]:
        return sorted(str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid))

    dns: list[str] = []
    ip: list[str] = []
    usages: list[str] = []
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = sorted(alternatives.get_values_for_type(x509.DNSName))
        ip = sorted(str(address) for address in alternatives.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        pass
    try:
        wide = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        known = {oid: name for name, oid in _USAGES.items()}
        usages = sorted(known.get(oid.dotted_string, oid.dotted_string) for oid in wide)
    except x509.ExtensionNotFound:
        pass
    return {
        "common_name": (names(NameOID.COMMON_NAME) or [""])[0],
        "organizations": names(NameOID.ORGANIZATION_NAME),
        "dns": dns,
        "ip": ip,
        "usages": usages,
    }


def shown(certificate: x509.Certificate) -> dict[str, Any]:
    """The facts of a certificate for a plan: those of `facts_of`, who signed it, and until when it is valid."""
    return {
        **facts_of(certificate),
        "issuer": certificate.issuer.rfc4514_string(),
        "until": certificate.not_valid_after_utc.strftime("%Y-%m-%d"),
    }


def parse(text: str) -> x509.Certificate | None:
    """The first certificate of a PEM text; None when there is none that can be read."""
    try:
        return x509.load_pem_x509_certificates(text.encode())[0]
    except (ValueError, IndexError):
        return None


def public_pem(key: Any) -> str:
    """The public key of a certificate, a request or a private key, as PEM."""
    public = key.public_key() if hasattr(key, "public_key") else key
    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def private_pem(key: Any) -> str:
    """A private key in clear, for a node only, in the form that kubeadm writes too."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode()


def new_key() -> dict[str, str]:
    """A symmetric key of 256 bits, with a name that no other one has, and when it was made."""
    now = datetime.datetime.now(datetime.UTC)
    secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return {"name": f"key-{now:%Y%m%d}-{secrets.token_hex(3)}", "secret": secret, "made": now.isoformat()}


@dataclass
class Authority:
    """One that is in the folder: its certificates; the key is read only to sign."""

    name: str
    certificate: x509.Certificate
    old: str
    key_path: Path

    @property
    def bundle(self) -> str:
        """What has to be trusted: the certificate, and those of its predecessors as long as they are kept, as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode() + self.old

    def signed(self, certificate: x509.Certificate) -> bool:
        """Whether it signed a certificate."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


@dataclass
class Keyring:
    """How keys on the controller's disk are encrypted.

    Attributes:
        vault: Ansible's vault as the loader has it, with the secrets of this run; None without.
        reference: where a passphrase is: `file:<path>` or `env:<name>`; empty for Ansible's vault.
    """

    vault: Any = None
    reference: str = ""
    _passphrase: bytes = field(default=b"", repr=False)

    def ready(self) -> None:
        """Whether there is something to encrypt with.

        Raises:
            Failure: when there is not, with what to do.
        """
        if self.reference:
            self._secret()
        elif self.vault is None or not self.vault.secrets:
            raise Failure(
                "keys of certificate authorities are not written in clear, and there is nothing to encrypt them with",
                "run with --vault-id, or set platform_ca_passphrase to file:<path> or env:<name>",
            )

    def encrypt(self, key: Any) -> bytes:
        """A private key as it may lie on a disk."""
        self.ready()
        form = serialization.PrivateFormat.PKCS8
        if self.reference:
            how = serialization.BestAvailableEncryption(self._secret())
            pem: bytes = key.private_bytes(serialization.Encoding.PEM, form, how)
            return pem
        clear = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        encrypted: bytes = self.vault.encrypt(clear)
        return encrypted

    def decrypt(self, path: Path) -> Any:
        """A private key that `encrypt` had written."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Failure(
                f"the key {path} cannot be read: {error.strerror}", "bring it back from its backup"
            ) from error
        if not content.startswith(tuple(mark.encode() for mark in _ENCRYPTED)):
            raise Failure(f"the key {path} is not encrypted", f"encrypt it: ansible-vault encrypt {path}")
        try:
            if content.startswith(_ENCRYPTED[0].encode()):
                if self.vault is None or not self.vault.secrets:
                    raise Failure(f"the key {path} is encrypted with ansible-vault", "run with --vault-id")
                return serialization.load_pem_private_key(self.vault.decrypt(content), None)
            return serialization.load_pem_private_key(content, self._secret())
        except Failure:
            raise
        except Exception as error:  # Ansible's, cryptography's: none of them may show what it was given
            raise Failure(
                f"the key {path} cannot be decrypted ({type(error).__name__})",
                "give the password that it was encrypted with (--vault-id, or platform_ca_passphrase)",
            ) from None

    def seal(self, content: bytes) -> bytes:
        """Something else than a private key as it may lie on a disk: Ansible's vault, whichever secret there is."""
        self.ready()
        sealed: bytes = self._vault().encrypt(content)
        return sealed

    def unseal(self, path: Path) -> bytes:
        """What `seal` had made and lies at a path."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror}", "bring it back from its backup") from error
        if not content.startswith(_ENCRYPTED[0].encode()):
            raise Failure(f"{path} is not encrypted", f"encrypt it: ansible-vault encrypt {path}")
        self.ready()
        try:
            clear: bytes = self._vault().decrypt(content)
        except Exception as error:  # Ansible's own may show what it was given
            raise Failure(
                f"{path} cannot be decrypted ({type(error).__name__})",
                "give the password that it was encrypted with (--vault-id, or platform_ca_passphrase)",
            ) from None
        return clear

    def _vault(self) -> Any:
        return VaultLib([("default", VaultSecret(self._secret()))]) if self.reference else self.vault

    def _secret(self) -> bytes:
        if not self._passphrase:
            kind, _colon, where = self.reference.partition(":")
            try:
                if kind == "env":
                    self._passphrase = os.environ[where].encode()
                elif kind == "file":
                    self._passphrase = Path(where).expanduser().read_bytes().rstrip(b"\r\n")
                else:
                    raise Failure("platform_ca_passphrase is no reference", "write file:<path> or env:<name>")
            except (KeyError, OSError) as error:
                raise Failure(f"platform_ca_passphrase: {self.reference} cannot be read", "correct it") from error
            if len(self._passphrase) < 12:
                raise Failure("platform_ca_passphrase has less than 12 characters", "take a longer one")
        return self._passphrase


class Store:
    """The folder of authorities and of key pairs that nodes share."""

    def __init__(self, folder: str, keyring: Keyring) -> None:
        if not HAS_CRYPTOGRAPHY:
            raise Failure("the Python library cryptography is missing on the controller", "run `make venv`")
        self.folder = Path(folder).expanduser()
        self.keyring = keyring

    def refuse_tracked(self) -> None:
        """Refuse a folder that Git would take in.

        Raises:
            Failure: when it lies in a work tree that does not ignore it.
        """
        there = next(parent for parent in [self.folder, *self.folder.parents] if parent.is_dir())
        tree = next((parent for parent in [there, *there.parents] if (parent / ".git").exists()), None)
        if tree is None:
            return
        try:
            argv = ["git", "-C", str(tree), "check-ignore", "--quiet", "--no-index", f"{self.folder.absolute()}/x.key"]
            ignored = subprocess.run(argv, check=False, capture_output=True).returncode == 0
        except OSError:
            ignored = False
        if not ignored:
            raise Failure(
                f"platform_ca_dir {self.folder} lies in the Git tree {tree}, which does not ignore it",
                "move it out of the tree; even encrypted, keys do not belong into a repository",
            )

    def has(self, name: str) -> bool:
        """Whether there is anything of an authority, a key pair or a list of keys."""
        return any((self.folder / f"{name}.{suffix}").exists() for suffix in ("crt", "key", "keys"))

    def authority(self, name: str) -> Authority:
        """One authority, that can sign today.

        Raises:
            Failure: when it is not there or not complete, cannot be read, or has ended.
        """
        path, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        if not path.is_file():
            raise Failure(f"there is no certificate authority {name} in {self.folder}", _MISSING)
        certificate = parse(path.read_text(encoding="ascii", errors="replace"))
        if certificate is None:
            raise Failure(f"{path} is no certificate in PEM", "bring the folder back from its backup")
        now = datetime.datetime.now(datetime.UTC)
        if certificate.not_valid_after_utc <= now:
            raise Failure(
                f"the certificate authority {name} has ended on {certificate.not_valid_after_utc:%Y-%m-%d}: "
                "what it signs is not accepted",
                "see 'An authority that ended' in docs/certificates.md; nothing was changed",
            )
        if certificate.not_valid_before_utc > now:
            raise Failure(
                f"the certificate authority {name} begins on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, "
                f"and here it is {now:%Y-%m-%d %H:%M}",
                "set the controller's clock",
            )
        old = self.folder / f"{name}.old.crt"
        return Authority(name, certificate, old.read_text(encoding="ascii") if old.exists() else "", key)

    def private_key(self, name: str) -> Any:
        """The key of an authority or of a key pair, decrypted."""
        return self.keyring.decrypt(self.folder / f"{name}.key")

    def public_key(self, name: str) -> str:
        """The public key of a key pair, as PEM."""
        path = self.folder / f"{name}.pub"
        if not path.is_file():
            raise Failure(f"there is no key pair {name} in {self.folder}", _MISSING)
        return path.read_text(encoding="ascii")

    def create_pair(self, name: str) -> None:
        """Make a key pair (RSA 2048, which every consumer of tokens knows)."""
        key = rsa.generate_private_key(65537, 2048)
        self._write(f"{name}.key", self.keyring.encrypt(key), 0o600)
        self._write(f"{name}.pub", public_pem(key).encode())

    def keys(self, name: str) -> list[dict[str, str]]:
        """A list of symmetric keys, each `{name, secret, made}` with the secret in Base64; new data takes the first.

        `made` is a time, by which a rotation tells the new key from the old one.

        Raises:
            Failure: when it is not there, cannot be decrypted or is no such list.
        """
        path = self.folder / f"{name}.keys"
        if not path.is_file():
            raise Failure(f"there are no keys {name} in {self.folder}", _MISSING)
        try:
            keys = json.loads(self.keyring.unseal(path))
            found = [
                {"name": str(key["name"]), "secret": str(key["secret"]), "made": str(key.get("made", ""))}
                for key in keys
            ]
            good = found and all(len(base64.b64decode(key["secret"], validate=True)) == KEY_BYTES for key in found)
        except (ValueError, KeyError, TypeError):
            good = False  # nothing of the content may be shown
        if not good:
            raise Failure(f"{path} is no list of keys", "bring it back from its backup")
        return found

    def write_keys(self, name: str, keys: Sequence[Mapping[str, str]]) -> None:
        """Write a list of keys, encrypted."""
        self.refuse_tracked()
        self._write(f"{name}.keys", self.keyring.seal(json.dumps(list(keys)).encode()), 0o600)

    def rewrite_keys(self, name: str, keys: Sequence[Mapping[str, str]]) -> None:
        """Write another list in the place of one. What is no longer in it is kept aside: older backups need it."""
        kept = {key["name"] for key in keys}
        retired = [key for key in self.keys(name) if key["name"] not in kept]
        if retired:
            aside = f"{name}.retired"
            before = self.keys(aside) if self.has(aside) else []
            self.write_keys(aside, [*before, *(key for key in retired if key not in before)])
        self.write_keys(name, keys)

    def create_keys(self, name: str) -> None:
        """Make a list of one key."""
        self.write_keys(name, [new_key()])

    def create(self, name: str, organization: str, days: int) -> None:
        """Make an authority; others than the bootstrap authority are signed by that one too.

        Args:
            organization: part of its name, so that those of two platforms are not mistaken for one another.
            days: how long it is valid.
        """
        self.refuse_tracked()
        bootstrap = self.authority(BOOTSTRAP) if name != BOOTSTRAP and self.has(BOOTSTRAP) else None
        key = ec.generate_private_key(ec.SECP384R1() if name == BOOTSTRAP else ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        length = 1 if name == BOOTSTRAP else 0
        if bootstrap:
            cross_until = min(until, bootstrap.certificate.not_valid_after_utc)
            cross = _authority(subject, key, cross_until, 0, bootstrap.certificate, self.private_key(BOOTSTRAP))
            self._write(f"{name}.cross.crt", cross.public_bytes(serialization.Encoding.PEM))
        # The key first: a folder with a key alone is seen as damaged, one with a certificate alone would be used.
        self._write(f"{name}.key", self.keyring.encrypt(key), 0o600)
        certificate = _authority(subject, key, until, length)
        self._write(f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, wish: Wish, request: str) -> str:
        """Sign the public key of a request. What it says of its holder is taken from the wish alone.

        Raises:
            Failure: when the request cannot be read or was not signed by its own key.
        """
        authority = self.authority(wish.authority)
        try:
            asked = x509.load_pem_x509_csr(request.encode())
        except ValueError as error:
            raise Failure(f"certificate {wish.path}: the node's request cannot be read", "run again") from error
        if not asked.is_signature_valid:
            raise Failure(f"certificate {wish.path}: the node's request is not signed by its key", "run again")
        now = datetime.datetime.now(datetime.UTC)
        until = min(now + datetime.timedelta(days=wish.days), authority.certificate.not_valid_after_utc)
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in wish.organizations]
        key = self.private_key(wish.authority)
        if public_pem(key) != public_pem(authority.certificate):
            raise Failure(
                f"key and certificate of the authority {wish.authority} in {self.folder} do not belong together",
                "bring the folder back from its backup",
            )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, wish.common_name)]))
            .issuer_name(authority.certificate.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - _LEEWAY, authority.certificate.not_valid_before_utc))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([x509.ObjectIdentifier(_USAGES[usage]) for usage in wish.usages]), critical=False
            )
            .add_extension(_issued_by(authority.certificate), critical=False)
        )
        alternatives = [
            *(x509.DNSName(name) for name in wish.dns),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in wish.ip),
        ]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, authority: str, common_name: str, organizations: Sequence[str], days: float) -> tuple[str, str]:
        """Make a key and a client certificate for it that are written nowhere.

        Returns:
            Key and certificate as PEM.

        Raises:
            Failure: as `sign` does.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        where = f"for {common_name}"
        wish = Wish(where, "", authority, common_name, organizations, usages=["client"], days=days)
        return private_pem(key), self.sign(wish, request.public_bytes(serialization.Encoding.PEM).decode())

    def _write(self, name: str, content: bytes, mode: int = 0o644) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / name
        beside = path.with_name(f".{name}.{os.getpid()}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


_MISSING = (
    "make it with playbooks/ca.yml, or correct platform_ca_dir; bring a folder that was lost back from its backup"
)


def why_not(wish: Wish, authority: Authority, text: str, public: str) -> str:
    """Why the certificate on a node has to be replaced; empty when it is good.

    Args:
        text: what lies at its path, empty for nothing.
        public: the public half of the key on the node, as PEM; empty for no key that can be read.
    """
    if not text:
        return "there is none"
    certificate = parse(text)
    if certificate is None:
        return "what is there cannot be read"
    if not public:
        return "its key is missing or cannot be read"
    if public_pem(certificate).strip() != public.strip():
        return "key and certificate do not belong together"
    if not authority.signed(certificate):
        return f"it is not signed by today's authority {authority.name}"
    differs = [name for name, value in facts_of(certificate).items() if value != wish.facts[name]]
    if differs:
        return f"other {', '.join(differs)} wanted"
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc <= now:
        return "it has ended"
    if certificate.not_valid_before_utc > now + _LEEWAY:
        return "it is not valid yet"
    until = certificate.not_valid_after_utc
    renewing = until <= now + datetime.timedelta(days=wish.renew_before)
    # One that lasts as long as its authority would be replaced by one of the same end, in each run.
    if renewing and until < authority.certificate.not_valid_after_utc:
        return f"it ends on {until:%Y-%m-%d}"
    return ""


def _authority(
    subject: x509.Name,
    key: Any,
    until: datetime.datetime,
    length: int,
    issuer: x509.Certificate | None = None,
    issuer_key: Any = None,
) -> x509.Certificate:
    """A certificate for an authority, signed by another one or by itself."""
    now = datetime.datetime.now(datetime.UTC)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    by = _issued_by(issuer) if issuer else x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, until) - _LEEWAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(own, critical=False)
        .add_extension(by, critical=False)
        .sign(issuer_key or key, hashes.SHA256())
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's key by the identifier that its certificate gives it; the bank's own may be made unlike ours."""
    try:
        named = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _key_usage(**asked: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: asked.get(name, False) for name in (*names, *more)})


def wish_of(options: Mapping[str, Any]) -> Wish:
    """A wish from a task's options, checked.

    Raises:
        Failure: naming the certificate and what is wrong with it.
    """
    wish = Wish(**{key: value for key, value in options.items() if value is not None})
    where = f"certificate {wish.path}"
    unknown = sorted(set(wish.usages) - set(_USAGES))
    if unknown or not wish.usages:
        raise Failure(f"{where}: usages {', '.join(unknown) or 'are missing'}", f"take some of {', '.join(_USAGES)}")
    if wish.renew_before >= wish.days:
        raise Failure(f"{where}: it would be replaced in each run", "make renew_before smaller than days")
    try:
        wish.facts  # noqa: B018 (addresses are parsed)
    except ValueError as error:
        raise Failure(f"{where}: {error}", "correct its ip") from error
    return wish


def ca_folder(named: str, environment: str) -> str:
    """The folder of an environment's authorities: platform_ca_dir, or one in the user's home."""
    return str(named or f"~/.banking-platform/{environment}/ca")


def store_of(action: Any, variables: Mapping[str, Any]) -> Store:
    """The authorities of a run, by its variables platform_ca_dir and platform_ca_passphrase.

    Args:
        action: an action plugin, for its loader and templar.
    """

    def variable(name: str) -> str:
        return str(action._templar.template(variables[name]) or "") if name in variables else ""

    folder = ca_folder(variable("platform_ca_dir"), variable("platform_environment"))
    return Store(folder, Keyring(action._loader._vault, variable("platform_ca_passphrase")))
