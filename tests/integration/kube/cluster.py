# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real control plane on loopback: etcd, kube-apiserver with RBAC, kube-controller-manager; no nodes.

For tests and the benchmark. Certificates, ports and data are its own and go with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import ipaddress
import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.banking.platform.tools.suites import kubernetes_programs


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Authority:
    """A CA that lives as long as the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        usage = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._builder(self._name, self._key.public_key(), 3600).add_extension(usage, critical=True)
        self.file = folder / "ca.crt"
        self.file.write_bytes(_pem(self.certificate.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, groups: tuple[str, ...] = (), seconds: float = 3600) -> tuple[Path, Path]:
        """Issue a certificate for a user with groups, or for the server on loopback; returns certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, name),
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
            ]
        )
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
        builder = self._builder(subject, key.public_key(), seconds)
        builder = builder.add_extension(names, critical=False).add_extension(both, critical=False)
        certificate, private = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))
        private.write_bytes(_private(key))
        return certificate, private

    def _builder(self, subject: x509.Name, key: Any, seconds: float) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(seconds=seconds))
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _end_with_parent() -> None:
    """Have the kernel end the program when the test run is killed: nobody else would (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Cluster:
    """The control plane; a context manager.

    Args:
        folder: for data, certificates and logs.
        controllers: whether to run kube-controller-manager, if it is there.
        flags: of kube-apiserver, beside those that it needs.
    """

    def __init__(self, folder: Path, controllers: bool = True, flags: tuple[str, ...] = ()) -> None:
        self.folder, self._flags = folder, flags
        self._controllers = controllers and (kubernetes_programs() / "kube-controller-manager").exists()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.port, self._etcd, self._peer = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder)
        self.authority.issue("apiserver")
        self._accounts = folder / "accounts.key"
        self._accounts.write_bytes(_private(ec.generate_private_key(ec.SECP256R1())))
        self.admin = self.kubeconfig("admin", ("system:masters",))
        self.pool = urllib3.PoolManager(
            ca_certs=str(self.authority.file),
            cert_file=str(folder / "admin.crt"),
            key_file=str(folder / "admin.key"),
            maxsize=8,
            retries=False,
        )

    def __enter__(self) -> Cluster:
        try:
            self._run(
                "etcd",
                "--unsafe-no-fsync",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls=http://127.0.0.1:{self._etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{self._etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{self._peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{self._peer}",
                f"--initial-cluster=default=http://127.0.0.1:{self._peer}",
            )
            self.start_server()
            if self._controllers:
                self._run("kube-controller-manager", *self._controller_options())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def _controller_options(self) -> list[str]:
        return [
            f"--kubeconfig={self.admin}",
            f"--service-account-private-key-file={self._accounts}",
            f"--root-ca-file={self.authority.file}",
            "--leader-elect=false",
            "--secure-port=0",
            "--use-service-account-credentials=false",
            "--node-monitor-grace-period=1h",
        ]

    def start_server(self) -> None:
        """Start kube-apiserver and wait until it is ready."""
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder / 'apiserver.crt'}",
            f"--tls-private-key-file={self.folder / 'apiserver.key'}",
            f"--client-ca-file={self.authority.file}",
            "--authorization-mode=Node,RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={self._accounts}",
            f"--service-account-signing-key-file={self._accounts}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--allow-privileged=true",
            f"--cert-dir={self.folder}",
            *self._flags,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if self.request("GET", "/readyz").status == 200 and self._settled():
                    return
            if self._running["kube-apiserver"].poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"kube-apiserver does not start:\n{self.log('kube-apiserver')[-3000:]}")

    def start_scheduler(self) -> None:
        """Start kube-scheduler: for tests that make nodes."""
        self._run("kube-scheduler", f"--kubeconfig={self.admin}", "--leader-elect=false", "--secure-port=0")

    def _settled(self) -> bool:
        return all(
            self.request("GET", f"/api/v1/namespaces/{name}").status == 200 for name in ("default", "kube-system")
        )

    def request(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """Ask the server as its administrator, past the code under test."""
        data = json.dumps(body).encode() if body is not None else None
        return self.pool.request(method, self.url + path, body=data, headers={"Content-Type": content}, timeout=20)

    @property
    def etcd(self) -> str:
        """The URL of its etcd."""
        return f"http://127.0.0.1:{self._etcd}"

    def get(self, path: str) -> dict[str, Any]:
        """Read one object; {} when it isn't there."""
        answer = self.request("GET", path)
        return json.loads(answer.data) if answer.status == 200 else {}

    def patch(self, path: str, body: Any, manager: str = "kubectl-edit") -> dict[str, Any]:
        """Change an object as somebody else."""
        kind = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        answer = self.request("PATCH", f"{path}?fieldManager={manager}", body, kind)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.data[:500]!r}")
        return dict(json.loads(answer.data))

    def post(self, path: str, body: Any) -> dict[str, Any]:
        """Create an object, past the code under test."""
        answer = self.request("POST", path, body)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{path}: {answer.data[:500]!r}")
        return dict(json.loads(answer.data))

    def kubeconfig(self, user: str, groups: tuple[str, ...] = (), seconds: float = 3600, **entry: Any) -> str:
        """Write a kubeconfig for a user: with a certificate, or with another entry, such as exec or tokenFile."""
        if not entry:
            certificate, key = self.authority.issue(user, groups, seconds)
            entry = {"client-certificate": str(certificate), "client-key": str(key)}
        path = self.folder / f"{user}.kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
                    "clusters": [
                        {
                            "name": "test",
                            "cluster": {"server": self.url, "certificate-authority": str(self.authority.file)},
                        }
                    ],
                    "users": [{"name": user, "user": entry}],
                }
            )
        )
        return str(path)

    def stop(self, name: str) -> None:
        """Kill one of the programs."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def log(self, name: str) -> str:
        """What a program wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _run(self, name: str, *options: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(
                [str(kubernetes_programs() / name), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
            )
