# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real cluster on nine bare nodes, out of a bundle ($PLATFORM_BUNDLE): made, kept, changed, a zone lost, taken away.

The tests follow each other, as the runs do. What they measure is printed beside its goal (pytest -s).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.e2e import running
from ansible_collections.banking.platform.tests.e2e.running import NODES, on
from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = [pytest.mark.bundle, pytest.mark.usefixtures("fresh_lab")]

BUNDLE = ("-e", f"lab_bundle={os.environ.get('PLATFORM_BUNDLE', '')}")
NEXT = os.environ.get("PLATFORM_BUNDLE_NEXT", "")
CONTROL_PLANE = sorted(name for name in NODES if name.startswith("cp-"))
SECRET = "default/dearest"
METRICS = "/var/lib/prometheus/node-exporter/kubernetes-certificates.prom"


def play(*argv: str) -> dict[str, int]:
    return running.play(*argv, *BUNDLE)


def kubectl(*argv: str, by: str = "cp-b1") -> str:
    return on(by, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=20s", *argv)


def get(*argv: str, by: str = "cp-b1") -> Any:
    return json.loads(kubectl("get", *argv, "--output=json", by=by))


def until(holds: Callable[[], object], seconds: float = 120) -> float:
    """Wait for something, and say for how long it was waited. What cannot be asked does not hold yet."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if holds():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds
        time.sleep(0.5)


def ready_nodes() -> set[str]:
    return {
        node["metadata"]["name"]
        for node in get("nodes")["items"]
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])
    }


def in_etcd(name: str, by: str = "cp-b1") -> str:
    """How etcd has a secret: what encrypts it stands before its bytes."""
    script = (
        f"set -a; . /etc/etcd/etcdctl.env; etcdctl get /registry/secrets/{name} --print-value-only | head -c 80 "
        "| tr -cd '[:print:]'"
    )
    return on(by, "sh", "-c", script)


def test_bare_nodes_become_a_cluster() -> None:
    began = time.monotonic()
    changed = play("site.yml")
    assert all(changed.values())
    until(lambda: ready_nodes() == NODES)
    print(f"nine bare nodes to nine ready ones: {time.monotonic() - began:.0f} s")
    for node in get("nodes")["items"]:
        name, labels = node["metadata"]["name"], node["metadata"]["labels"]
        assert labels["topology.kubernetes.io/zone"] == f"zone-{name[-2]}"
        assert ("node-role.kubernetes.io/worker" in labels) == name.startswith("worker-")
        assert ("node-role.kubernetes.io/control-plane" in labels) == name.startswith("cp-")


def test_a_second_run_changes_nothing() -> None:
    began = time.monotonic()
    assert play("playbooks/cluster.yml") == dict.fromkeys(NODES, 0)
    print(f"converged cluster.yml on nine nodes: {time.monotonic() - began:.0f} s (goal 30 s)")


def test_secrets_are_encrypted_in_etcd_and_the_audit_log_knows_who_made_them_but_not_what_they_are() -> None:
    kubectl("create", "secret", "generic", "dearest", "--from-literal=word=rosebud")
    assert in_etcd(SECRET).startswith("k8s:enc:secretbox:v1:key-")
    logs = [on(node, "cat", "/var/log/kubernetes/audit/audit.log") for node in CONTROL_PLANE]
    entries = [json.loads(line) for log in logs for line in log.splitlines() if '"dearest"' in line]
    assert {entry["verb"] for entry in entries} == {"create"}
    assert {entry["level"] for entry in entries} == {"Metadata"}
    assert not [log for log in logs if "rosebud" in log or "cm9zZWJ1ZA" in log]


def test_certificates_are_renewed_and_the_server_takes_the_new_ones() -> None:
    serving = (
        "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -serial; "
        "openssl x509 -in /etc/kubernetes/pki/apiserver.crt -noout -serial"
    )
    renew = "/usr/local/libexec/platform/renew-certificates"
    assert "nothing ends within" in on("cp-b1", renew)
    before = on("cp-b1", "sh", "-c", serving).split()[0]
    # As it would be shortly before their end: all of them end within 400 days.
    on("cp-b1", "sh", "-c", f"sed 's/^days=.*/days=400/' {renew} > /run/renew && bash /run/renew")
    served, lies_there = on("cp-b1", "sh", "-c", serving).split()
    assert served == lies_there != before
    assert "platform_certificate_renewal_failed 0" in on("cp-b1", "cat", METRICS)
    assert ready_nodes() == NODES


def test_pods_are_reached_across_zones() -> None:
    dns = get("deployment", "coredns", "--namespace=kube-system")["spec"]["template"]["spec"]["containers"][0]
    for zone in "abc":
        # CoreDNS without a configuration answers on its port: the only server whose image a bundle surely has.
        options = {"spec": {"nodeName": f"worker-{zone}1"}}
        run = ("run", f"dns-{zone}", f"--image={dns['image']}", f"--overrides={json.dumps(options)}")
        kubectl(*run, "--image-pull-policy=IfNotPresent", "--", "-dns.port=1053")
    until(lambda: all(pod["status"].get("podIP") for pod in get("pods")["items"]))
    for pod in get("pods")["items"]:
        for zone in "abc":
            connect = f"exec 3<>/dev/tcp/{pod['status']['podIP']}/1053"
            until(partial(_does, f"worker-{zone}2", connect), 30)
    kubectl(
        "delete", "pods", *(f"dns-{zone}" for zone in "abc")
    )  # no controller would make them anew: no drain moves them


def _does(node: str, script: str) -> bool:
    argv = ["podman", "exec", f"lab.{node}", "timeout", "3", "bash", "-c", script]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_another_key_encrypts_all_secrets() -> None:
    before = in_etcd(SECRET).split(":")[4]
    play("playbooks/rotate_keys.yml")
    after = in_etcd(SECRET).split(":")[4]
    assert after.startswith("key-")
    assert after != before
    assert get("secret", "dearest")["data"] == {"word": "cm9zZWJ1ZA=="}
    for node in CONTROL_PLANE:
        assert before not in on(node, "cat", "/etc/kubernetes/apiserver/encryption.yaml")


@pytest.mark.parametrize("node", ["worker-c2", "cp-a1"])
def test_a_node_goes_and_comes_back_and_no_other_worker_is_touched(node: str) -> None:
    touched = play("playbooks/remove_node.yml", "-e", f"node={node}")
    assert not {name for name in touched if name.startswith("worker-")} - {node}
    assert node not in {found["metadata"]["name"] for found in get("nodes")["items"]}
    began = time.monotonic()
    touched = play("playbooks/add_node.yml", "-e", f"node={node}")
    print(f"{node} taken in: {time.monotonic() - began:.0f} s")
    assert not {name for name in touched if name.startswith("worker-")} - {node}
    assert ready_nodes() == NODES
    play("playbooks/cluster.yml")
    assert play("playbooks/cluster.yml") == dict.fromkeys(NODES, 0)


def test_an_upgrade_to_what_runs_has_nothing_to_do() -> None:
    assert not any(play("playbooks/upgrade.yml").values())


def test_a_zone_is_cut_off_and_etcd_and_the_virtual_address_go_on() -> None:
    play("playbooks/drill_zone_loss.yml", "-e", "zone=zone-a", "-e", "platform_drill_hold=10")
    run = json.loads((CLONE / "build/lab/runs/latest/run.json").read_text())
    assert len(run["measurements"]) == 3
    for figure in run["measurements"]:
        print(f"{figure['name']}: {figure['value']} s (goal {figure['goal']} s)")
    until(lambda: ready_nodes() == NODES, 180)


class Asker:
    """Asks the API server by the way of a node's kubelet, again and again; the longest time without an answer."""

    def __init__(self, node: str) -> None:
        ask = "curl --silent --insecure --max-time 2 https://127.0.0.1:8443/readyz"
        script = f'while :; do [ "$({ask})" = ok ] && date +%s.%N; sleep 0.1; done'
        self._process = subprocess.Popen(
            ["podman", "exec", f"lab.{node}", "bash", "-c", script], stdout=subprocess.PIPE, text=True
        )
        self._answers: list[float] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.append(float(line))

    def stop(self) -> float:
        self._process.kill()
        self._process.wait()
        self._thread.join(timeout=30)
        return max(later - earlier for earlier, later in zip(self._answers, self._answers[1:], strict=False))


def _written(name: str) -> bool:
    argv = ["kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "--request-timeout=5s"]
    argv += ["create", "configmap", name, "--from-literal=while=away"]
    done = subprocess.run(["podman", "exec", "lab.cp-b1", *argv], capture_output=True, text=True, check=False)
    # What timed out may have been written all the same.
    return done.returncode == 0 or "already exists" in done.stderr


def test_a_zone_is_lost_and_the_others_go_on() -> None:
    running.play("playbooks/lab_zone.yml", "-e", "zone=zone-a", "-e", "state=down", "-e", "fault=power")
    try:
        took = until(partial(_written, "written"))
        print(f"written after {took:.1f} s without the zone")
        took = until(lambda: ready_nodes() == {name for name in NODES if name[-2] != "a"})
        print(f"the nodes of the lost zone are known to be away after {took:.0f} s")
    finally:
        running.play("playbooks/lab_zone.yml", "-e", "zone=zone-a", "-e", "state=up", "-e", "fault=power")
    until(lambda: ready_nodes() == NODES, 180)
    assert get("configmap", "written", by="cp-a1")["data"] == {"while": "away"}


def test_an_api_server_is_lost_and_a_kubelet_hardly_sees_it() -> None:
    asker = Asker("worker-a1")
    time.sleep(3)
    running.play("playbooks/lab_zone.yml", "-e", "node=cp-a1", "-e", "state=down", "-e", "fault=power")
    time.sleep(10)
    longest = asker.stop()
    running.play("playbooks/lab_zone.yml", "-e", "node=cp-a1", "-e", "state=up", "-e", "fault=power")
    print(f"without an answer from an API server: {longest:.1f} s (goal 4 s)")
    assert longest < 60
    until(lambda: ready_nodes() == NODES, 180)


def versions() -> dict[str, str]:
    """What each node's kubelet is, as the API server knows it."""
    return {node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in get("nodes")["items"]}


def steady(**budget: int) -> None:
    """Bring an application of three pods, one a zone, with a budget; wait until it is whole."""
    dns = get("deployment", "coredns", "--namespace=kube-system")["spec"]["template"]["spec"]["containers"][0]
    labels = {"app": "steady"}
    spread = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    container = {"name": "dns", "image": dns["image"], "args": ["-dns.port=1053"]}
    pod = {
        "containers": [container | {"readinessProbe": {"tcpSocket": {"port": 1053}, "periodSeconds": 1}}],
        "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": labels}}],
    }
    application = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "steady"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    held = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "steady"},
        "spec": {**budget, "selector": {"matchLabels": labels}},
    }
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [application, held]})
    on("cp-b1", "sh", "-c", f"echo '{both}' | kubectl --kubeconfig=/etc/kubernetes/admin.conf apply --filename=-")
    until(lambda: get("deployment", "steady")["status"].get("readyReplicas") == 3, 180)
    until(
        lambda: (
            get("pdb", "steady")["status"].get("observedGeneration") == get("pdb", "steady")["metadata"]["generation"]
        )
    )


@pytest.mark.skipif(
    not NEXT, reason="no second bundle: set PLATFORM_BUNDLE_NEXT to one of the next minor (docs/kubernetes.md)"
)
class TestAnUpgrade:
    """One minor up, under an application with a budget."""

    bundle = ("-e", f"lab_bundle={NEXT}")

    def test_is_shown_in_check_mode_and_changes_nothing(self) -> None:
        before = versions()
        running.play("playbooks/upgrade.yml", "--check", *self.bundle)
        assert versions() == before

    def test_does_not_begin_while_a_budget_cannot_be_held(self) -> None:
        before = versions()
        steady(minAvailable=4)
        assert "default/steady" in running.refused("playbooks/upgrade.yml", *self.bundle)
        assert versions() == before

    def test_is_aborted_where_a_pod_may_not_be_moved(self) -> None:
        """A budget that is held and allows no eviction: the drain names it, and no other zone's worker is touched."""
        before = versions()
        steady(minAvailable=3)
        said = running.refused("playbooks/upgrade.yml", "-e", "platform_drain_timeout=15", *self.bundle)
        assert "default/steady" in said
        now = versions()
        assert all(now[name] != before[name] for name in CONTROL_PLANE)
        assert all(now[name] == before[name] for name in NODES if name.startswith("worker-") and name[-2] != "a")

    def test_goes_on_from_there_and_never_breaks_the_budget(self) -> None:
        before = versions()
        steady(minAvailable=2)
        available: list[int] = []
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.5):
                with contextlib.suppress(subprocess.CalledProcessError):
                    available.append(get("deployment", "steady")["status"].get("readyReplicas", 0))

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        try:
            running.play("playbooks/upgrade.yml", *self.bundle)
        finally:
            done.set()
            watcher.join()
        print(f"six workers to the next minor, after an abort: {time.monotonic() - began:.0f} s")
        (version,) = set(versions().values())
        assert version == before["cp-a1"]
        assert len(available) > 10
        assert min(available) >= 2
        assert ready_nodes() == NODES
        assert get("secret", "dearest")["data"] == {"word": "cm9zZWJ1ZA=="}

    def test_has_nothing_left_to_do_and_no_way_back(self) -> None:
        assert not any(running.play("playbooks/upgrade.yml", *self.bundle).values())
        assert "there is no way back" in running.refused("playbooks/upgrade.yml", *BUNDLE)
        running.play("playbooks/cluster.yml", *self.bundle)
        assert running.play("playbooks/cluster.yml", *self.bundle) == dict.fromkeys(NODES, 0)


def test_a_worker_takes_as_long_into_three_nodes_as_into_nine() -> None:
    """The same worker, into eight other nodes and into the control plane alone: the same hosts run the same tasks."""
    bundle = ("-e", f"lab_bundle={NEXT}") if NEXT else BUNDLE
    workers = sorted(name for name in NODES if name.startswith("worker-"))
    added = workers[-1]
    kubectl("delete", "deployment,poddisruptionbudget", "steady", "--ignore-not-found")

    def take_out(nodes: list[str]) -> None:
        for count, node in enumerate(nodes):
            away = json.dumps({"node": node, "platform_nodes_away": nodes[:count]})
            running.play("playbooks/remove_node.yml", "-e", away, *bundle)

    def take_in() -> tuple[float, dict[str, int]]:
        began = time.monotonic()
        touched = running.play("playbooks/add_node.yml", "-e", f"node={added}", *bundle)
        return time.monotonic() - began, touched

    take_out([added])
    with_nine, touched_of_nine = take_in()
    take_out(workers)
    assert ready_nodes() == set(CONTROL_PLANE)
    with_three, touched_of_three = take_in()
    print(f"a worker taken in: {with_nine:.0f} s into nine nodes, {with_three:.0f} s into three (goal: the same)")
    assert touched_of_three.keys() == touched_of_nine.keys() == {*CONTROL_PLANE, added}
    assert ready_nodes() == {*CONTROL_PLANE, added}


def test_nothing_is_taken_away_without_its_name_and_all_of_it_with() -> None:
    before = ready_nodes()
    assert "say -e confirm_reset=lab" in running.refused("playbooks/reset.yml", "-e", "confirm_reset=prod", *BUNDLE)
    assert ready_nodes() == before
    play("playbooks/reset.yml", "-e", "confirm_reset=lab")
    for node in NODES:
        assert not _does(node, "test -e /etc/kubernetes || test -e /var/lib/etcd/member || pgrep ^kube")
