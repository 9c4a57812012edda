# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a node: made, joined, refused, kept or reset. API servers and etcd are real TLS servers; kubeadm is a
program that leaves behind what kubeadm would."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ansible_collections.banking.platform.plugins.module_utils.node.kubeadm import (
    COMPONENTS,
    Join,
    Kubeadm,
    Places,
    Wish,
)
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed, System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, PlanFailed

TOKEN = "abcdef.0123456789abcdef"
LOCAL = "https://127.0.0.1:8443"


def certificate(folder: Path, name: str) -> tuple[str, str]:
    """A self-signed certificate for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = str(folder / f"{name}.crt"), str(folder / f"{name}.key")
    Path(paths[0]).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    Path(paths[1]).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


class Server:
    """An API server and an etcd member in one: /readyz, and the gateway of etcd."""

    def __init__(self, folder: Path, name: str) -> None:
        self.ready, self.keys = 503, 0
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.ready if self.path == "/readyz" else 404)
                self.end_headers()

            def do_POST(self) -> None:
                outer.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                answer: dict[str, Any] = {"kvs": [{"key": "L3JlZ2lzdHJ5"}]} if outer.keys else {"header": {}}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate, key = certificate(folder, name)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"


class Node(System):
    """A node in a folder; kubeadm leaves behind what it would, and the API server comes up with its manifest."""

    def __init__(self, folder: Path, server: Server) -> None:
        super().__init__()
        self.folder, self.server = folder, server
        self.places = Places(
            kubernetes=str(folder / "kubernetes"),
            kubelet=str(folder / "kubelet"),
            record=str(folder / "record.json"),
            pending=str(folder / "pending" / "join.key"),
            swaps=str(folder / "swaps"),
            memory=str(folder / "meminfo"),
            kubeadm=str(folder / "kubeadm"),
            kubectl=str(folder / "kubectl"),
        )
        self.commands: list[list[str]] = []
        self.breaks: Callable[[Sequence[str]], str] = lambda argv: ""
        self.seen: dict[str, str] = {}
        self.version = "one"
        self.others: dict[str, str] = {}
        for path in ("manifests", "pki/etcd", "kubeadm"):
            (folder / "kubernetes" / path).mkdir(parents=True)
        Path(self.places.swaps).write_text("Filename\tType\tSize\tUsed\tPriority\n")
        Path(self.places.memory).write_text("MemTotal:        8000000 kB\n")
        Path(self.places.kubeadm).touch()
        self.certificates()

    def certificates(self) -> None:
        for name in ("ca.crt", "etcd/ca.crt"):
            (self.folder / "kubernetes/pki" / name).write_text(Path(self.server.certificate).read_text())
        certificate(self.folder / "kubernetes/pki", "apiserver-etcd-client")
        (self.folder / "kubernetes/pki/ca.key").write_text("key\n")

    def file(self, name: str) -> Path:
        return self.folder / "kubernetes" / name

    def run(self, command: str | Sequence[str], timeout: float = 60) -> Completed:
        argv = [str(word) for word in command]
        if argv[0] == "openssl":
            return super().run(argv)
        self.commands.append([Path(argv[0]).name, *argv[1:]])
        said = self.breaks(argv)
        if said:
            return Completed(1, "", said)
        if argv[0] == self.places.kubectl:
            return self._servers() if "component=kube-apiserver" in argv else self._mirror(argv)
        if argv[1:2] == ["upgrade"]:
            self.make_manifests()
        if argv[1:2] == ["join"]:
            discovery = self.file("kubeadm/discovery.conf")
            self.seen = {"text": discovery.read_text(), "mode": oct(stat.S_IMODE(discovery.stat().st_mode))}
        if argv[1:2] in (["init"], ["join"]):
            if "phase" not in argv:
                self.file("kubelet.conf").write_text("clusters:\n- cluster:\n    server: https://api.lab:8443\n")
            if argv[1:5] != ["init", "phase", "upload-config", "all"] and not any("worker" in word for word in argv):
                self.make_manifests()
            self.server.ready = 200
        if argv[1:2] == ["reset"]:
            for name in ("kubelet.conf", *(f"manifests/{name}.yaml" for name in COMPONENTS)):
                self.file(name).unlink(missing_ok=True)
        return Completed(0, f"kubeadm join --token {TOKEN}", "")

    def make_manifests(self) -> None:
        port = self.server.url.rpartition(":")[2]
        for name in COMPONENTS:
            self.file(f"manifests/{name}.yaml").write_text(f"{self.version}\n- --advertise-address=127.0.0.1:{port}#\n")

    def _servers(self) -> Completed:
        """The API servers of the cluster, this node's too."""
        images = {"cp-a1": self.file("manifests/kube-apiserver.yaml").read_text().split()[1], **self.others}
        pods = [{"spec": {"nodeName": name, "containers": [{"image": image}]}} for name, image in images.items()]
        return Completed(0, json.dumps({"items": pods}), "")

    def _mirror(self, argv: Sequence[str]) -> Completed:
        name = next(word for word in argv if word.startswith("kube-") and word != "kube-system").rpartition("-cp-")[0]
        manifest = self.file(f"manifests/{name}.yaml")
        pod = {
            "metadata": {"annotations": {"kubernetes.io/config.mirror": manifest.read_text()[:20]}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }
        return Completed(0, json.dumps(pod), "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "server")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def node(tmp_path: Path, server: Server) -> Node:
    return Node(tmp_path / "node", server)


class Run(Kubeadm):
    """Its own API server is the test's."""

    def _own(self) -> str:
        return str(self.wish.servers[0])

    def __init__(self, node: Node, check: bool = False, join: Join | None = None, **wish: Any) -> None:
        given: dict[str, Any] = {"state": "control_plane", "name": "cp-a1", "server": LOCAL, "memory": 1700}
        given["inputs"] = "1" * 64
        given |= {"servers": [node.server.url], "etcd": [node.server.url], "timeout": 1.0, **wish}
        super().__init__(node, Wish(**given), check, join, node.places)

    def done(self) -> list[tuple[str, str]]:
        """Plan and apply; the steps that change something."""
        self.make_plan()
        steps = [(step.kind, step.action) for step in self.plan.steps if step.changes]
        if not self.check:
            self.apply()
        return steps


def verbs(node: Node) -> list[str]:
    """What kubeadm was called for."""
    return [" ".join(argv[1:4]).partition(" --")[0] for argv in node.commands if argv[0] == "kubeadm"]


NEW = [("node", "create"), ("kubeconfig", "create"), ("static pods", "create")]


def test_the_first_control_plane_makes_the_cluster_and_the_second_run_changes_nothing(node: Node) -> None:
    assert Run(node).done() == NEW
    assert verbs(node) == ["init"]
    assert f"server: {LOCAL}\n" in node.file("kubelet.conf").read_text()
    assert ["systemctl", "restart", "kubelet.service"] in node.commands
    node.commands.clear()
    assert Run(node).done() == []
    assert node.commands == []


def test_whoever_comes_when_an_api_server_answers_joins(node: Node, server: Server) -> None:
    server.ready = 200
    run = Run(node)
    run.make_plan()
    assert run.how == "join"
    assert run.plan.steps[0].after == {"role": "control-plane", "how": "joins"}
    request = x509.load_pem_x509_csr(run.request().encode())
    assert request.is_signature_valid
    assert stat.S_IMODE(os.stat(node.places.pending).st_mode) == 0o600
    key = Path(node.places.pending).read_text()
    assert Run(node, join=Join("the authority", "the certificate")).done() == NEW
    assert verbs(node) == ["join"]
    discovery = yaml.safe_load(node.seen["text"])
    assert node.seen["mode"] == "0o600"
    assert discovery["clusters"][0]["cluster"]["server"] == LOCAL
    assert set(discovery["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    # Nothing is left of what it joined with, and nothing of it stood on a command line.
    assert not node.file("kubeadm/discovery.conf").exists()
    assert not Path(node.places.pending).exists()
    assert not any(key in word for argv in node.commands for word in argv)


def test_what_it_joined_with_is_removed_after_a_failure_too(node: Node, server: Server) -> None:
    server.ready = 200
    Run(node).request()
    node.breaks = lambda argv: "[ERROR Swap]: it is on" if "join" in argv else ""
    with pytest.raises(PlanFailed, match=r"kubeadm join on cp-a1: \[ERROR Swap\]: it is on"):
        Run(node, join=Join("the authority", "the certificate")).done()
    assert not node.file("kubeadm/discovery.conf").exists()
    assert not Path(node.places.pending).exists()


def test_a_cluster_in_etcd_is_not_made_over(node: Node, server: Server) -> None:
    server.keys = 1
    with pytest.raises(Failure, match="etcd holds a cluster, and none of its API servers is ready"):
        Run(node).make_plan()
    assert server.bodies[-1]["range_end"] == "L3JlZ2lzdHJ5MA=="  # /registry0
    assert node.commands == []
    assert Run(node, over_existing=True).done() == NEW


def test_an_etcd_that_does_not_answer_says_nothing_about_clusters(node: Node) -> None:
    wish: dict[str, Any] = {"etcd": ["https://127.0.0.1:1"], "servers": ["https://127.0.0.1:1"]}
    with pytest.raises(Failure, match=r"etcd does not answer: https://127\.0\.0\.1:1"):
        Run(node, **wish).make_plan()
    run = Run(node, check=True, **wish)
    run.make_plan()
    assert run.plan.steps[0].deferred == "etcd"


def test_a_server_of_another_authority_is_no_api_server_of_ours(node: Node, server: Server, tmp_path: Path) -> None:
    server.ready = 200
    other, _key = certificate(tmp_path, "other")
    node.file("pki/ca.crt").write_text(Path(other).read_text())
    run = Run(node)
    run.make_plan()
    assert run.how == "init"


def test_an_init_that_was_interrupted_is_gone_on_with(node: Node) -> None:
    node.breaks = lambda argv: f"timed out\nerror: token {TOKEN}" if "init" in argv else ""
    with pytest.raises(PlanFailed) as failed:
        Run(node).done()
    assert TOKEN not in failed.value.cause
    node.file("kubelet.conf").write_text("server: https://api.lab:8443\n")
    node.breaks = lambda argv: ""
    run = Run(node)
    assert run.done() == NEW
    assert "Port-6443" in node.commands[-2][-1] or any("Port-6443" in word for argv in node.commands for word in argv)
    assert Run(node).done() == []


def test_a_worker_joins_and_is_left_alone_afterwards(node: Node) -> None:
    wish: dict[str, Any] = {"state": "worker", "name": "worker-a1", "etcd": [], "servers": []}
    run = Run(node, **wish)
    run.make_plan()
    assert run.how == "join"
    run.request()
    assert Run(node, join=Join("the authority", "the certificate"), **wish).done() == NEW[:2]
    assert Run(node, **wish).done() == []


def test_other_inputs_make_the_static_pods_anew_and_tell_the_cluster(node: Node) -> None:
    Run(node).done()
    node.commands.clear()
    node.version = "two"
    run = Run(node, inputs="2" * 64)
    assert run.done() == [("static pods", "update")]
    assert run.plan.steps[-1].note == "their configuration changes"
    assert verbs(node) == ["init phase control-plane", "init phase upload-config", "init phase mark-control-plane"]
    assert Run(node, inputs="2" * 64).done() == []


def test_a_manifest_that_was_changed_by_hand_is_put_right(node: Node) -> None:
    Run(node).done()
    node.file("manifests/kube-scheduler.yaml").write_text("by hand")
    run = Run(node)
    assert run.done() == [("static pods", "update")]
    assert run.plan.steps[-1].note == "changed by hand: kube-scheduler"


def test_static_pods_that_do_not_get_ready_are_put_back(node: Node, server: Server) -> None:
    Run(node).done()
    old = node.file("manifests/kube-apiserver.yaml").read_text()
    node.version = "two"

    def unready(argv: Sequence[str]) -> str:
        bad = "phase" not in argv and node.file("manifests/kube-apiserver.yaml").read_text().startswith("two")
        return "not found" if bad and argv[0] == node.places.kubectl else ""

    node.breaks = unready
    with pytest.raises(PlanFailed, match="the new pod of kube-apiserver is not ready after 1 s"):
        Run(node, inputs="2" * 64).done()
    assert node.file("manifests/kube-apiserver.yaml").read_text() == old
    # It is not forgotten: the next run tries again.
    node.breaks = lambda argv: ""
    assert Run(node, inputs="2" * 64).done() == [("static pods", "update")]


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("swaps", "Filename Type\n/dev/sda2 partition 100 0 -2\n", r"swap is on \(/dev/sda2\)"),
        ("meminfo", "MemTotal:        1000000 kB\n", "976 MiB of memory, and 1700 are the least"),
    ],
)
def test_a_node_that_is_unfit_is_refused_before_anything_is_changed(
    node: Node, path: str, text: str, said: str
) -> None:
    (node.folder / path).write_text(text)
    with pytest.raises(Failure, match=said):
        Run(node).make_plan()
    assert node.commands == []


def test_check_mode_before_anything_is_installed(node: Node) -> None:
    Path(node.places.kubeadm).unlink()
    run = Run(node, check=True)
    assert run.done() == NEW
    assert run.plan.result()["deferred"] == ["node cp-a1: artifact kubeadm"]
    with pytest.raises(Failure, match="kubeadm is not there"):
        Run(node).make_plan()


def test_check_mode_changes_nothing(node: Node) -> None:
    assert Run(node, check=True).done() == NEW
    assert node.commands == []
    assert not Path(node.places.record).exists()


def test_a_host_that_is_taken_out_is_reset_once(node: Node) -> None:
    Run(node).done()
    node.commands.clear()
    assert Run(node, state="absent").done() == [("node", "delete")]
    assert verbs(node) == ["reset"]
    assert not node.file("kubelet.conf").exists()
    assert Run(node, state="absent").plan.steps == []
    node.file("pki/ca.crt").unlink(missing_ok=True)
    assert Run(node, state="absent").done() == []


OLD, NEW_IMAGE = "registry.k8s.io/kube-apiserver:v1.28.15", "registry.k8s.io/kube-apiserver:v1.29.15"
UPGRADE = [("kubernetes", "update"), ("static pods", "update")]


@pytest.fixture
def cluster(node: Node) -> Node:
    """A node whose control plane is 1.28.15, and a kubeadm that makes pods of 1.29.15."""
    node.version = f"image: {OLD}"
    Run(node, version="1.28.15").done()
    node.version = f"image: {NEW_IMAGE}"
    node.others = {"cp-b1": OLD, "cp-c1": OLD}
    node.commands.clear()
    return node


def test_the_first_control_plane_of_an_upgrade_applies_it_and_the_others_follow(cluster: Node) -> None:
    assert Run(cluster, version="1.29.15", inputs="2" * 64, ignored=["Mem", "CreateJob"]).done() == UPGRADE
    assert verbs(cluster) == ["init phase upload-config", "upgrade apply v1.29.15"]
    patches = str(cluster.file("kubeadm/patches"))
    expected = ["--yes", "--patches", patches, "--ignore-preflight-errors=Mem,CreateJob"]
    assert cluster.commands[-1][4:] == expected
    # The next run, with the same configuration, finds nothing to do: the pods are those that it would make.
    assert Run(cluster, version="1.29.15", inputs="2" * 64).done() == []


def test_a_control_plane_follows_where_another_one_runs_the_new_version(cluster: Node) -> None:
    cluster.others["cp-b1"] = NEW_IMAGE
    Run(cluster, version="1.29.15").done()
    assert verbs(cluster) == ["init phase upload-config", "upgrade node"]
    assert "--yes" not in cluster.commands[-1]


def test_check_mode_shows_the_upgrade_and_does_nothing(cluster: Node) -> None:
    run = Run(cluster, check=True, version="1.29.15")
    assert run.done() == UPGRADE
    (step,) = [step for step in run.plan.steps if step.kind == "kubernetes"]
    assert (step.before, step.after) == ({"version": "1.28.15"}, {"version": "1.29.15", "how": "the first one"})
    assert verbs(cluster) == []


def test_without_a_version_what_runs_stays(cluster: Node) -> None:
    assert Run(cluster).done() == []


def test_an_upgrade_that_was_interrupted_after_its_pods_is_done_again_the_same_way(cluster: Node) -> None:
    def breaks(argv: Sequence[str]) -> str:
        if argv[1:2] == ["upgrade"]:
            cluster.make_manifests()
            return "error: addons could not be applied"
        return ""

    cluster.breaks = breaks
    with pytest.raises(PlanFailed, match="kubeadm upgrade on cp-a1: error: addons"):
        Run(cluster, version="1.29.15").done()
    cluster.breaks = lambda argv: ""
    cluster.commands.clear()
    run = Run(cluster, version="1.29.15")
    assert run.done() == UPGRADE
    assert [step.note for step in run.plan.steps if step.kind == "kubernetes"] == ["an earlier attempt was interrupted"]
    assert verbs(cluster)[-1] == "upgrade apply v1.29.15"
    assert Run(cluster, version="1.29.15").done() == []


def test_a_kubeadm_that_makes_other_pods_than_asked_for_is_an_error(cluster: Node) -> None:
    with pytest.raises(PlanFailed, match=r"the API server is 1\.29\.15, not 1\.30\.14"):
        Run(cluster, version="1.30.14").done()


def test_an_api_that_does_not_answer_stops_an_upgrade_before_it_begins(cluster: Node) -> None:
    cluster.breaks = lambda argv: "refused" if "component=kube-apiserver" in argv else ""
    with pytest.raises(Failure, match="the API server does not answer"):
        Run(cluster, version="1.29.15").done()
    assert verbs(cluster) == []
