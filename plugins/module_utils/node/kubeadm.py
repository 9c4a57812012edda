# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's membership in a Kubernetes cluster: what is, what is to become of it, and kubeadm to make it so.

Whether a cluster is to be made or joined is decided by what exists: API servers that answer, and what etcd holds. A
node that joins shows a certificate that is valid for minutes; its key is made on the node and never leaves it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence

from ansible_collections.banking.platform.plugins.module_utils.node.files import remove, write_atomically
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

STATES = ("control_plane", "worker", "absent")
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
# Who presents this is allowed to join, by the rights that `kubeadm init` gives to this group.
# https://kubernetes.io/docs/reference/setup-tools/kubeadm/implementation-details/#allow-joining-nodes-to-call-csr-api
JOINING_GROUP = "system:bootstrappers:kubeadm:default-node-token"
# What stands in the way of a second attempt although the first one itself had put it there.
_LEFT_BEHIND = (
    "DirAvailable--etc-kubernetes-manifests",
    "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf",
    "FileAvailable--etc-kubernetes-kubelet.conf",
    "FileAvailable--etc-kubernetes-pki-ca.crt",
    *(f"FileAvailable--etc-kubernetes-manifests-{name}.yaml" for name in COMPONENTS),
    *(f"Port-{port}" for port in (6443, 10250, 10257, 10259)),
)
_TOKEN = re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b")
_SERVER = re.compile(r"^( *server: *)(\S+) *$", re.MULTILINE)
_POLL = 1.0


@dataclass
class Places:
    """Where things are on a node. Tests put others in their place."""

    kubernetes: str = "/etc/kubernetes"
    kubelet: str = "/var/lib/kubelet"
    record: str = "/var/lib/banking-platform/kubeadm.json"
    pending: str = "/var/lib/banking-platform/certificates/kubeadm-join.key"
    swaps: str = "/proc/swaps"
    memory: str = "/proc/meminfo"
    kubeadm: str = "/usr/local/bin/kubeadm"
    kubectl: str = "/usr/local/bin/kubectl"

    def at(self, path: str) -> str:
        """A path below /etc/kubernetes."""
        return os.path.join(self.kubernetes, path)


@dataclass
class Wish:
    """What a node is to be.

    Attributes:
        state: control_plane, worker, absent.
        name: of the node in the cluster.
        server: URL by which its kubelet reaches the API servers.
        servers: URLs of all API servers, its own too.
        etcd: client URLs of etcd.
        inputs: digest of the configuration that kubeadm makes the control plane's pods from.
        version: of the control plane; another one than runs is an upgrade. Empty to leave it.
        ignored: checks of kubeadm whose errors do not stop an upgrade.
        memory: least memory in MiB.
        swap: whether the node may swap.
        over_existing: whether a control plane may be made anew over what etcd holds, when no API server is left.
        timeout: seconds that kubeadm has, and then the API server.
    """

    state: str
    name: str
    server: str = ""
    servers: Sequence[str] = ()
    etcd: Sequence[str] = ()
    inputs: str = ""
    version: str = ""
    ignored: Sequence[str] = ()
    memory: int = 0
    swap: bool = False
    over_existing: bool = False
    timeout: float = 300


@dataclass
class Join:
    """What a node joins with: the cluster's authority, and its own certificate, both as PEM."""

    authority: str = ""
    certificate: str = field(default="", repr=False)


class Kubeadm:
    """One run on one node.

    Args:
        system: the node.
        wish: what it is to be.
        check: whether nothing may be changed.
        join: what it joins with; empty until the controller has signed it.
    """

    def __init__(
        self, system: System, wish: Wish, check: bool, join: Optional[Join] = None, places: Optional[Places] = None
    ) -> None:
        self.system, self.wish, self.check = system, wish, check
        self.join = join or Join()
        self.places = places or Places()
        self.plan = Plan()
        self.how = ""
        self.clock: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep

    # --- What is, and what is to become of it

    def make_plan(self) -> None:
        """Look at node, API servers and etcd, and plan. Nothing is changed.

        Raises:
            Failure: when the node cannot become what it is to be, or nobody can say whether there is a cluster.
        """
        if self.wish.state == "absent":
            self._plan_absent()
            return
        self.refuse_unfit()
        record = self._record()
        member = self.is_member()
        step = self.plan.add(Step("node", self.wish.name))
        if not member or record.get("pending") == "init":
            self._plan_new(step, record)
        self._plan_server(new=step.changes)
        if self.wish.state == "control_plane":
            upgrading = not step.changes and self._plan_upgrade(record)
            self._plan_manifests(record, new=step.changes, upgrading=upgrading)

    def is_member(self) -> bool:
        """Whether the node's kubelet has an identity in a cluster."""
        return os.path.isfile(self.places.at("kubelet.conf"))

    def manifest(self, name: str) -> str:
        """The manifest of a static pod of the control plane; empty for none."""
        return self._read(self._manifest(name))

    def refuse_unfit(self) -> None:
        """See that Kubernetes can run on this node.

        Raises:
            Failure: where swap is on, or memory too small.
        """
        with open(self.places.swaps, encoding="ascii") as file:
            swaps = [line.split()[0] for line in file.read().splitlines()[1:] if line.strip()]
        if swaps and not self.wish.swap:
            raise Failure(
                f"swap is on ({', '.join(swaps)}): the kubelet does not start, and limits of memory would mean nothing",
                "swapoff --all, and take it out of /etc/fstab",
            )
        with open(self.places.memory, encoding="ascii") as file:
            found = re.search(r"^MemTotal: +(\d+) kB", file.read(), re.MULTILINE)
        memory = int(found[1]) // 1024 if found else 0
        if memory < self.wish.memory:
            raise Failure(
                f"the node has {memory} MiB of memory, and {self.wish.memory} are the least that it can do with",
                "give it more memory, or correct kubernetes_memory_minimum",
            )

    def _plan_new(self, step: Step, record: Dict[str, Any]) -> None:
        control_plane = self.wish.state == "control_plane"
        step.action = "create"
        if not os.path.exists(self.places.kubeadm):
            self.how = "unknown"
            step.deferred = self._absent_only_in_check("kubeadm is not there", "artifact kubeadm")
        elif record.get("pending") == "init":
            self.how = "init"
            step.note = "an earlier attempt was interrupted"
        elif not control_plane:
            self.how = "join"
        else:
            self.how = self._init_or_join(step)
        step.after = {"role": self.wish.state.replace("_", "-")}
        if self.how in ("init", "join"):
            step.after["how"] = {"init": "a new cluster", "join": "joins"}[self.how]
        step.apply = self._init if self.how == "init" else self._join

    def _absent_only_in_check(self, cause: str, earlier: str) -> str:
        if not self.check:
            raise Failure(cause, f"{earlier} has to come first")
        return earlier

    def _init_or_join(self, step: Step) -> str:
        """Whether the cluster is still to be made: by what answers and what etcd holds, never by the order of hosts."""
        needed = [
            self.places.at(f"pki/{name}") for name in ("ca.crt", "ca.key", "apiserver-etcd-client.crt", "etcd/ca.crt")
        ]
        absent = [path for path in needed if not os.path.isfile(path)]
        if absent:
            step.deferred = self._absent_only_in_check(
                f"{absent[0]} is not there", "certificates of etcd and Kubernetes"
            )
            return "unknown"
        ready = [server for server in self.wish.servers if self._answers(server)]
        if ready:
            step.note = f"{ready[0]} answers"
            return "join"
        silent = []
        for endpoint in self.wish.etcd:
            held = self._etcd_holds_cluster(endpoint)
            if held is None:
                silent.append(endpoint)
                continue
            if held and not self.wish.over_existing:
                raise Failure(
                    "etcd holds a cluster, and none of its API servers is ready: a new one is not made over it",
                    "bring an API server back (kubelet and containerd on the control-plane nodes); if none of them is "
                    "left, run again with -e kubernetes_over_existing=true",
                )
            return "init"
        if not self.check:
            raise Failure(f"etcd does not answer: {', '.join(silent) or 'no endpoints'}", "bring etcd up first")
        step.deferred = "etcd"
        return "unknown"

    def _plan_server(self, new: bool) -> None:
        """The kubelet's way to the API: kubeadm writes another one into kubelet.conf."""
        path = self.places.at("kubelet.conf")
        step = self.plan.add(Step("kubeconfig", path))
        now = "" if new else self._server_of(path)
        if now != self.wish.server:
            step.action = "create" if new else "update"
            step.before = {"server": now} if now else None
            step.after = {"server": self.wish.server}
            step.apply = self._write_server

    def _plan_upgrade(self, record: Dict[str, Any]) -> bool:
        """Another Kubernetes for the control plane of this node: kubeadm knows what lies between two minors."""
        runs = version_of(self.manifest("kube-apiserver"))
        if not self.wish.version or (runs == self.wish.version and record.get("pending") != "upgrade"):
            return False
        first = self.wish.version not in self._other_servers()
        step = self.plan.add(Step("kubernetes", self.wish.name, "update"))
        step.before = {"version": runs}
        step.after = {"version": self.wish.version, "how": "the first one" if first else "follows"}
        step.note = "an earlier attempt was interrupted" if record.get("pending") == "upgrade" else ""
        step.apply = lambda: self._upgrade(first)
        return True

    def _other_servers(self) -> List[str]:
        """Versions of the API servers of other nodes, by the pods that the API shows."""
        argv = [self.places.kubectl, "--kubeconfig", self.places.at("admin.conf"), "--request-timeout=20s"]
        done = self.system.run(
            [*argv, "-n", "kube-system", "get", "pods", "-l", "component=kube-apiserver", "-o", "json"]
        )
        if not done.ok:
            raise Failure(f"the API server does not answer: {done.last_lines()}", "bring it back before an upgrade")
        return [
            version_of(f"image: {container['image']}")
            for pod in json.loads(done.out)["items"]
            for container in pod["spec"]["containers"]
            if pod["spec"].get("nodeName") != self.wish.name
        ]

    def _plan_manifests(self, record: Dict[str, Any], new: bool, upgrading: bool) -> None:
        folder = self.places.at("manifests")
        step = self.plan.add(Step("static pods", folder))
        step.after = {"inputs": self.wish.inputs[:16]}
        if new or upgrading:
            step.action = "create" if new else "update"
            step.apply = self._remember
            return
        known = str(record.get("inputs", ""))
        drifted = [
            name for name in COMPONENTS if record.get("manifests", {}).get(name) != _digest(self._manifest(name))
        ]
        if known == self.wish.inputs and not drifted:
            step.after = None
            return
        step.action = "update"
        step.before = {"inputs": known[:16]}
        step.note = (
            "their configuration changes" if known != self.wish.inputs else f"changed by hand: {', '.join(drifted)}"
        )
        old = {name: self._read(self._manifest(name)) for name in COMPONENTS}
        step.apply = self._make_manifests
        step.undo = lambda: self._put_manifests(old)

    def _plan_absent(self) -> None:
        step = self.plan.add(Step("node", self.wish.name))
        left = [path for path in self._left() if os.path.exists(path)]
        if left:
            step.action = "delete"
            step.before = {"paths": left}
            step.apply = self._reset

    def _left(self) -> List[str]:
        names = ("kubelet.conf", "bootstrap-kubelet.conf", "admin.conf", "super-admin.conf", "pki/ca.crt")
        manifests = [f"manifests/{name}.yaml" for name in COMPONENTS]
        return [self.places.at(name) for name in (*names, *manifests)] + [self.places.record]

    # --- Making it so

    def request(self) -> str:
        """Make a key for the join, and return a request for its certificate.

        Raises:
            Failure: when openssl does not do it.
        """
        place = self.places.pending
        os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
        remove(place)
        # Made empty and closed to others first: openssl keeps the mode of a file that is there.
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        self._run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", place])
        return self._run(["openssl", "req", "-new", "-key", place, "-subj", "/CN=node"])

    def apply(self, approved: Optional[Dict[str, Any]] = None) -> None:
        """Apply the plan.

        Raises:
            Failure: when it is not the approved one, with nothing changed.
            PlanFailed: saying what was and what was not done.
        """
        self.plan.hold_to(approved)
        self.plan.apply()

    def _init(self) -> None:
        again = self._record().get("pending") == "init"
        self._write_record({"pending": "init"})
        # An address that a kubelet of an earlier attempt bound is no error then.
        ignored = [f"--ignore-preflight-errors={','.join(_LEFT_BEHIND)}"] if again else []
        self._kubeadm("init", "--config", self.places.at("kubeadm/init.yaml"), *ignored)
        self._wait_ready()

    def _join(self) -> None:
        if not self.join.certificate:
            raise Failure("the cluster came up while this run was looking", "run again")
        again = self._record().get("pending") == "join"
        discovery = self.places.at("kubeadm/discovery.conf")
        self._write_record({"pending": "join"})
        try:
            with open(self.places.pending, encoding="ascii") as file:
                key = file.read()
            write_atomically(discovery, self._discovery(key).encode(), mode=0o600)
            ignored = [f"--ignore-preflight-errors={','.join(_LEFT_BEHIND)}"] if again else []
            self._kubeadm("join", "--config", self.places.at("kubeadm/join.yaml"), *ignored)
        finally:
            for path in (discovery, self.places.pending, self.places.at("bootstrap-kubelet.conf")):
                remove(path)
        if self.wish.state == "control_plane":
            self._wait_ready()
        else:
            self._write_record({"state": self.wish.state})

    def _discovery(self, key: str) -> str:
        def encoded(text: str) -> str:
            return base64.b64encode(text.encode()).decode()

        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "cluster",
                        "cluster": {
                            "server": self.wish.server,
                            "certificate-authority-data": encoded(self.join.authority),
                        },
                    }
                ],
                "users": [
                    {
                        "name": "joining",
                        "user": {
                            "client-certificate-data": encoded(self.join.certificate),
                            "client-key-data": encoded(key),
                        },
                    }
                ],
                "contexts": [{"name": "join", "context": {"cluster": "cluster", "user": "joining"}}],
                "current-context": "join",
            }
        )

    def _write_server(self) -> None:
        path = self.places.at("kubelet.conf")
        text = self._read(path)
        if self._server_of(path) == self.wish.server:
            return
        changed = _SERVER.sub(lambda match: match[1] + self.wish.server, text)
        write_atomically(path, changed.encode(), mode=0o600)
        self._run(["systemctl", "restart", "kubelet.service"])

    def _make_manifests(self) -> None:
        before = {name: self._mirror(name) for name in COMPONENTS}
        old = {name: self._read(self._manifest(name)) for name in COMPONENTS}
        self._write_record({key: value for key, value in self._record().items() if key != "inputs"})
        config = self.places.at("kubeadm/init.yaml")
        self._kubeadm("init", "phase", "control-plane", "all", "--config", config)
        self._wait_pods([name for name in COMPONENTS if old[name] != self._read(self._manifest(name))], before)
        self._wait_ready()
        # The cluster's own copy of the configuration is what `kubeadm join` and `kubeadm upgrade` read.
        self._kubeadm("init", "phase", "upload-config", "all", "--config", config)
        self._kubeadm("init", "phase", "mark-control-plane", "--config", config)
        self._remember()

    def _upgrade(self, first: bool) -> None:
        """Let kubeadm do it. It puts the pods of before back when the new ones do not come up.

        On the first node it also brings up to date what the cluster keeps of it (its configuration and the kubelets',
        rights of those that join), on the last one CoreDNS and kube-proxy.
        https://kubernetes.io/docs/reference/setup-tools/kubeadm/kubeadm-upgrade/
        """
        self._write_record({**self._record(), "pending": "upgrade"})
        # An upgrade reads its configuration from the cluster: today's, not that of the last upgrade.
        self._kubeadm("init", "phase", "upload-config", "all", "--config", self.places.at("kubeadm/init.yaml"))
        what = ["apply", f"v{self.wish.version}", "--yes"] if first else ["node"]
        ignored = [f"--ignore-preflight-errors={','.join(self.wish.ignored)}"] if self.wish.ignored else []
        patches = ["--patches", self.places.at("kubeadm/patches")]
        # It waits for each of three pods, and fetches their images before.
        self._kubeadm("upgrade", *what, *patches, *ignored, timeout=5 * self.wish.timeout)
        self._wait_ready()
        runs = version_of(self.manifest("kube-apiserver"))
        if runs != self.wish.version:
            raise Failure(
                f"kubeadm upgrade ended well, and the API server is {runs}, not {self.wish.version}",
                "see which kubeadm lies in /usr/local/bin, and run again",
            )

    def _put_manifests(self, old: Dict[str, str]) -> None:
        before = {name: self._mirror(name) for name in COMPONENTS}
        changed = [name for name in COMPONENTS if self._read(self._manifest(name)) != old[name]]
        for name in changed:
            write_atomically(self._manifest(name), old[name].encode(), mode=0o600)
        self._wait_pods(changed, before)
        self._wait_ready()

    def _remember(self) -> None:
        manifests = {name: _digest(self._manifest(name)) for name in COMPONENTS}
        self._write_record({"state": self.wish.state, "inputs": self.wish.inputs, "manifests": manifests})

    def _reset(self) -> None:
        if os.path.exists(self.places.kubeadm):
            socket = "unix:///run/containerd/containerd.sock"
            self._kubeadm("reset", "--force", "--cri-socket", socket, "--cleanup-tmp-dir")
        for path in self._left():
            remove(path)

    # --- What it stands on

    def _manifest(self, name: str) -> str:
        return self.places.at(f"manifests/{name}.yaml")

    def _server_of(self, path: str) -> str:
        found = _SERVER.search(self._read(path))
        return found[2] if found else ""

    @staticmethod
    def _read(path: str) -> str:
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _record(self) -> Dict[str, Any]:
        try:
            return dict(json.loads(self._read(self.places.record) or "{}"))
        except ValueError:
            return {}

    def _write_record(self, record: Dict[str, Any]) -> None:
        os.makedirs(os.path.dirname(self.places.record), exist_ok=True)
        write_atomically(self.places.record, json.dumps(record).encode(), mode=0o600)

    def _run(self, argv: Sequence[str]) -> str:
        done = self.system.run(argv)
        if not done.ok:
            raise Failure(f"{' '.join(argv[:2])}: {done.last_lines()}", "mend it on the node and run again")
        return done.out

    def _kubeadm(self, *arguments: str, timeout: float = 0) -> None:
        done = self.system.run([self.places.kubeadm, *arguments], timeout=timeout or self.wish.timeout)
        if not done.ok:
            told = [line for line in (done.out + done.err).splitlines() if line.strip()]
            failed = [line for line in told if "[ERROR" in line or "error" in line.lower()] or told[-8:]
            said = _TOKEN.sub("<token>", "\n".join(failed[:12]))
            raise Failure(
                f"kubeadm {arguments[0]} on {self.wish.name}: {said or done.last_lines()}",
                "journalctl -u kubelet on the node, and the logs in /var/log/pods, say more; mend it and run again",
            )

    def _context(self, client: bool = False) -> ssl.SSLContext:
        if not client:
            return ssl.create_default_context(cafile=self.places.at("pki/ca.crt"))
        context = ssl.create_default_context(cafile=self.places.at("pki/etcd/ca.crt"))
        pair = [self.places.at(f"pki/apiserver-etcd-client.{suffix}") for suffix in ("crt", "key")]
        context.load_cert_chain(*pair)
        return context

    def _answers(self, server: str) -> bool:
        """Whether an API server of this cluster's authority is ready."""
        try:
            with _opener(self._context()).open(f"{server}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError, urllib.error.URLError):
            return False

    def _etcd_holds_cluster(self, endpoint: str) -> Optional[bool]:
        """Whether etcd holds objects of Kubernetes; None when it does not answer.

        Through etcd's own gateway from JSON: https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
        """
        first, last = (base64.b64encode(key).decode() for key in (b"/registry/", b"/registry0"))
        body = json.dumps({"key": first, "range_end": last, "limit": 1, "keys_only": True}).encode()
        asked = urllib.request.Request(f"{endpoint}/v3/kv/range", body, {"Content-Type": "application/json"})
        try:
            with _opener(self._context(client=True)).open(asked, timeout=10) as answer:
                return bool(json.load(answer).get("kvs"))
        except (OSError, ValueError, urllib.error.URLError):
            return None

    def _own(self) -> str:
        """The URL of this node's API server."""
        return own_server(self.manifest("kube-apiserver"))

    def _wait_ready(self) -> None:
        own = self._own()
        self._wait(lambda: self._answers(own), f"the API server {own} is not ready")

    def _wait_pods(self, names: Sequence[str], before: Dict[str, str]) -> None:
        """Until the kubelet runs the new pods: until their mirrors are others, and ready."""

        def new(name: str) -> bool:
            mirror = self._mirror(name, ready=True)
            return bool(mirror) and mirror != before[name]

        for name in names:
            self._wait(lambda name=name: new(name), f"the new pod of {name} is not ready")  # type: ignore[misc]

    def _mirror(self, name: str, ready: bool = False) -> str:
        """The kubelet's mark of the static pod that the API shows; empty for none, or none that is ready if asked."""
        argv = [self.places.kubectl, "--kubeconfig", self.places.at("admin.conf"), "--request-timeout=5s"]
        done = self.system.run([*argv, "-n", "kube-system", "get", "pod", f"{name}-{self.wish.name}", "-o", "json"])
        if not done.ok:
            return ""
        try:
            pod = json.loads(done.out)
        except ValueError:
            return ""
        conditions = pod.get("status", {}).get("conditions") or []
        is_ready = any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
        if ready and not is_ready:
            return ""
        return str((pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.mirror", ""))

    def _wait(self, good: Callable[[], bool], otherwise: str) -> None:
        deadline = self.clock() + self.wish.timeout
        while not good():
            if self.clock() > deadline:
                raise Failure(
                    f"{otherwise} after {self.wish.timeout:g} s",
                    "see `crictl ps -a` and the logs in /var/log/pods on the node",
                )
            self.sleep(_POLL)


def version_of(manifest: str) -> str:
    """The version of a static pod's image, without a v; empty for none."""
    found = re.search(r"image: *\S+:v?([0-9.]+)", manifest)
    return found[1] if found else ""


def own_server(manifest: str) -> str:
    """The URL of a node's own API server, by the manifest of its static pod.

    Raises:
        Failure: when there is none.
    """
    found = re.search(r"--advertise-address=(\S+)", manifest)
    if not found:
        raise Failure("the API server's manifest has no address", "run again")
    host = f"[{found[1]}]" if ":" in found[1] else found[1]
    return f"https://{host}:6443"


def _opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Straight to the address, whatever proxy the environment names."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""
