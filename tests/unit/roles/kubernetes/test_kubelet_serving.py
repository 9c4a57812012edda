# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which serving certificates are approved. Requests are made by another library than the one that is tested."""

from __future__ import annotations

import base64
import importlib.machinery
import importlib.util
import ipaddress
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ansible_collections.banking.platform.tests.unit.roles.kubernetes.rendering import ROLE, Node

NODES = {"worker-a1": ["10.20.1.21"], "worker-b1": ["10.20.2.21"]}
SERVING = ["digital signature", "server auth"]
DNS, IP = x509.DNSName("worker-a1"), x509.IPAddress(ipaddress.ip_address("10.20.1.21"))


def program() -> Any:
    """The program as a module."""
    path = ROLE / "templates/root/usr/local/libexec/platform/approve-kubelet-serving"
    loader = importlib.machinery.SourceFileLoader("approve_kubelet_serving", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def pem(
    names: list[x509.GeneralName] | None = None,
    common_name: str = "system:node:worker-a1",
    organization: str | None = "system:nodes",
    *more: tuple[x509.ExtensionType, bool],
) -> str:
    """A request as a kubelet makes it, or one that differs."""
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    wanted = [DNS, IP] if names is None else names
    if wanted:
        builder = builder.add_extension(x509.SubjectAlternativeName(wanted), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def request(text: str | None = None, **spec: Any) -> dict[str, Any]:
    """The object of a request."""
    given = {
        "signerName": "kubernetes.io/kubelet-serving",
        "username": "system:node:worker-a1",
        "groups": ["system:nodes", "system:authenticated"],
        "usages": SERVING,
        "request": base64.b64encode((pem() if text is None else text).encode()).decode(),
        **spec,
    }
    return {"metadata": {"name": "csr-1"}, "spec": given, "status": {}}


def test_a_node_gets_a_certificate_for_its_own_name_and_address() -> None:
    program().check(request(), NODES)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (request(username="system:node:worker-x9"), "is no node of the inventory"),
        (request(username="anna", groups=["system:masters"]), "anna is no node of the inventory"),
        (request(groups=["system:authenticated"]), "is no node of the inventory"),
        (request(username="system:node:worker-b1"), "its subject is not the node's"),
        (request(usages=[*SERVING, "client auth"]), "usages client auth"),
        (request(usages=["digital signature"]), "usages digital signature"),
        (request(pem(common_name="system:node:worker-b1")), "its subject is not the node's"),
        (request(pem(organization="system:masters")), "its subject is not the node's"),
        (request(pem(organization=None)), "its subject is not the node's"),
        (request(pem([IP])), "DNS names are missing"),
        (request(pem([DNS, x509.DNSName("api.bank.example"), IP])), "DNS names worker-a1, api.bank.example"),
        (request(pem([x509.DNSName("worker-a1, IP Address:10.20.2.21"), IP])), "DNS names worker-a1, IP"),
        (request(pem([DNS])), "addresses are missing"),
        (request(pem([DNS, IP, x509.IPAddress(ipaddress.ip_address("10.20.0.10"))])), r"addresses 10\.20\.0\.10"),
        (request(pem([DNS, IP, x509.UniformResourceIdentifier("spiffe://bank/x")])), "neither DNS names nor addresses"),
        (request(pem([DNS, IP, x509.RFC822Name("anna@bank.example")])), "neither DNS names nor addresses"),
        (request(pem([])), "another shape|other extensions"),
        (
            request(pem(None, "system:node:worker-a1", "system:nodes", (x509.BasicConstraints(True, None), True))),
            "other extensions than alternative names",
        ),
        (
            request(
                pem(
                    None,
                    "system:node:worker-a1",
                    "system:nodes",
                    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
                )
            ),
            "other extensions than alternative names",
        ),
        (request("nothing"), "no certificate request in PEM"),
        (request(pem() + pem()), "no certificate request in PEM"),
    ],
)
def test_nobody_gets_anything_else(refused: dict[str, Any], why: str) -> None:
    approver = program()
    with pytest.raises(approver.Refused, match=why):
        approver.check(refused, NODES)


def test_a_request_that_was_altered_is_refused() -> None:
    approver = program()
    der = bytearray(base64.b64decode("".join(pem().splitlines()[1:-1])))
    der[-1] ^= 1
    altered = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(bytes(der)).decode()}\n"
    with pytest.raises((approver.Refused, ValueError)):
        approver.check(request(f"{altered}-----END CERTIFICATE REQUEST-----\n"), NODES)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_what_was_cut_off_is_refused_and_no_crash(cut: int) -> None:
    approver = program()
    der = base64.b64decode("".join(pem().splitlines()[1:-1]))[:cut]
    text = f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.b64encode(der).decode()}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises((approver.Refused, ValueError, StopIteration)):
        approver.check(request(text), NODES)


def test_only_what_is_undecided_is_looked_at() -> None:
    approver = program()
    assert approver.pending(request())
    assert not approver.pending(request(signerName="kubernetes.io/kube-apiserver-client-kubelet"))
    assert not approver.pending({**request(), "status": {"certificate": "abc"}})
    assert not approver.pending({**request(), "status": {"conditions": [{"type": "Denied"}]}})


def test_one_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    approver = program()
    foreign = request(username="anna")
    calls: list[tuple[list[str], str]] = []

    def call(arguments: list[str], given: str = "") -> str:
        calls.append((arguments, given))
        return json.dumps({"items": [foreign, request(), {**request(), "status": {"certificate": "abc"}}]})

    monkeypatch.setattr(approver, "call", call)
    (tmp_path / "nodes.json").write_text(json.dumps(NODES))
    monkeypatch.setattr(sys, "argv", ["approve", str(tmp_path / "nodes.json"), str(tmp_path / "metrics.prom")])
    approver.main()
    assert [arguments[0] for arguments, _given in calls] == ["get", "replace"]
    sent = json.loads(calls[1][1])
    assert [condition["type"] for condition in sent["status"]["conditions"]] == ["Approved"]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "not approved: csr-1 of anna: anna is no node of the inventory",
        "approved: csr-1 of system:node:worker-a1",
    ]
    assert "platform_kubelet_serving_refused 1\n" in (tmp_path / "metrics.prom").read_text()


def test_the_list_of_nodes_is_the_inventory() -> None:
    nodes = json.loads(Node("prod", "cp-a1").text("/etc/kubernetes/kubelet-serving.json"))
    assert len(nodes) == 9
    assert nodes["worker-b2"] == ["10.20.2.22"]


def test_control_plane_nodes_take_turns() -> None:
    unit = "/etc/systemd/system/platform-certificates.timer"
    days = [Node("prod", host).text(unit).partition("OnCalendar=")[2][:3] for host in ("cp-a1", "cp-b1", "cp-c1")]
    assert days == ["Mon", "Tue", "Wed"]
    unit = "/etc/systemd/system/platform-kubelet-serving.timer"
    seconds = [Node("prod", host).text(unit).partition("*:*:")[2][:2] for host in ("cp-a1", "cp-b1", "cp-c1")]
    assert seconds == ["00", "20", "40"]
