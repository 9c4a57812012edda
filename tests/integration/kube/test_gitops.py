# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole platform of inventories/prod by Git: its playbook, a Git server and an API server, all of them real.

No Argo CD runs here: a thread does what it would do with Applications, and somebody else commits to the same branch
meanwhile. The tests follow each other, as the runs do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree, Repository
from ansible_collections.banking.platform.tests.integration.kube import objects
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster, free_port
from ansible_collections.banking.platform.tools import suites
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(os.geteuid() != 0, reason="the lock of a run needs root"),
]

COMPONENTS = ["02-calico", "02-calico-policies", "03-tenancy", "04-cert-manager", "05-argocd", "18-tenancy-enforce"]
# What comes behind Argo CD comes as that comes, and needs operators that do not run here.
LATER = (
    "compliance elk falco gatekeeper harbor image_trust istio kafka metallb postgresql prometheus redis storage "
    "tracing trivy"
).split()
# A lock of its own for each run: this machine stands for the first control-plane node.
LOCKED_APART = 'mkdir -p "$1" && mount -t tmpfs tmpfs "$1" && shift && exec "$@"'
LOCK = "/var/lib/banking-platform"


class Platform:
    """A Git server, a cluster whose Argo CD follows it, and runs of playbooks."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.remote = folder / "delivery.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.remote)], check=True)
        port = free_port()
        exec_path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
        options = ["--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}", "--export-all"]
        self.server = subprocess.Popen([f"{exec_path}/git-daemon", *options, "--enable=receive-pack", str(folder)])
        self.repository = Repository(f"git://127.0.0.1:{port}/delivery.git", path="prod")
        self.variables: dict[str, Any] = {
            "platform_delivery": "gitops",
            "platform_git": {"url": self.repository.url, "path": "prod"},
            "argocd_git_credentials": {"username": "reader", "password": "correct horse"},
            "platform_charts": "external",
            "platform_build_dir": str(folder / "build"),
            "platform_kubeconfig": cluster.admin,
            "platform_lock_host": "localhost",
            # They read from Vault, which is not here: tests/integration/vault/test_cluster_secrets.py.
            "secrets_enabled": False,
            # Nor are charts, of which the CRDs of monitors are.
            "platform_monitoring": False,
            **{f"{role}_enabled": False for role in LATER},
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
        }

    def start(self, playbook: str, *options: str, **variables: Any) -> subprocess.Popen[str]:
        env = os.environ | {
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
        }
        command = ["unshare", "--mount", "sh", "-c", LOCKED_APART, "sh", LOCK]
        command += ["ansible-playbook", f"playbooks/{playbook}.yml", "-i", "inventories/prod", *options]
        told = json.dumps({**self.variables, **variables})
        return subprocess.Popen(
            [*command, "-e", told], cwd=CLONE, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @staticmethod
    def results(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
        """What each task said."""
        out, errors = process.communicate(timeout=580)
        assert "{" in out, errors
        assert "correct horse" not in out + errors
        said, _end = json.JSONDecoder().raw_decode(out[out.index("{") :])
        found = [host for play in said["plays"] for task in play["tasks"] for host in task["hosts"].values()]
        assert process.returncode == 0, [one.get("msg") for one in found if one.get("failed")] or errors
        return found

    def run(self, playbook: str, *options: str, **variables: Any) -> list[dict[str, Any]]:
        return self.results(self.start(playbook, *options, **variables))

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(self.remote), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commits(self) -> list[str]:
        """What is on the branch by runs of the platform, the newest first."""
        return self.git("log", "--format=%s", "main", "--", "prod").splitlines()

    def files(self, top: str = "prod") -> dict[str, str]:
        names = self.git("ls-tree", "-r", "--name-only", f"main:{top}").splitlines()
        return {name: self.git("show", f"main:{top}/{name}") for name in names}


class Background:
    """Something that goes on while a run does, and its mistakes; a context manager."""

    def __init__(self, turn: Any, pause: float = 0.3) -> None:
        self._turn, self._pause, self._end, self.turns = turn, pause, threading.Event(), 0
        self._thread = threading.Thread(target=self._go, daemon=True)
        self.failed: list[BaseException] = []

    def _go(self) -> None:
        while not self._end.wait(self._pause):
            try:
                self._turn()
                self.turns += 1
            except BaseException as error:
                self.failed.append(error)
                return

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_about: object) -> None:
        self._end.set()
        self._thread.join()
        assert self.failed == []


class ArgoCD:
    """What Argo CD does with Applications: it makes those of Git, and says that all is as Git says."""

    def __init__(self, platform: Platform) -> None:
        self._git, self._cluster, self._head = platform.git, platform.cluster, ""
        self._wanted: dict[str, dict[str, Any]] = {}

    def turn(self) -> None:
        head = self._git("for-each-ref", "--format=%(objectname)", "refs/heads/main")
        if head and head != self._head:
            names = self._git("ls-tree", "--name-only", head, "prod/apps/").splitlines()
            read = [yaml.safe_load(self._git("show", f"{head}:{name}")) for name in names]
            self._wanted, self._head = {one["metadata"]["name"]: one for one in read}, head
        for name, wanted in self._wanted.items():
            compared = {key: wanted["spec"][key] for key in ("source", "destination")}
            status = {"sync": {"status": "Synced", "comparedTo": compared}, "health": {"status": "Healthy"}}
            path = argocd.path(name)
            live = self._cluster.get(path)
            if not live:
                self._cluster.post(path.rpartition("/")[0], {**wanted, "status": status})
            elif "argocd.argoproj.io/refresh" in (live["metadata"].get("annotations") or {}):
                seen = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}, "status": status}
                self._cluster.patch(path, seen, "argocd-application-controller")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder, missing = crds_folder(), suites.SUITES["api"]()
    if folder is None or missing:
        pytest.skip(missing or "no CRDs: set PLATFORM_CRDS to a folder with one folder a release")
    top = tmp_path_factory.mktemp("gitops")
    with Cluster(top / "cluster", controllers=False) as cluster:
        made = Platform(top, cluster)
        try:
            client = Client(connector({"kubeconfig": cluster.admin}))
            crds = [yaml.safe_load(path.read_text()) for path in sorted((folder / "2024.1" / "argo-cd").glob("*.yaml"))]
            follows = [argocd.project(made.repository), argocd.root(made.repository)]
            for component, wanted in (("other", [*crds, objects.namespace("argocd")]), ("gitops", follows)):
                Apply(client, Wish(component=component, objects=wanted), False, False).run()
            argo = ArgoCD(made)
            with Background(argo.turn):
                yield made
        finally:
            made.server.kill()
            made.server.wait()


def test_a_run_commits_every_component_beside_another_writer(platform: Platform) -> None:
    theirs = GitTree(Repository(platform.repository.url, path="elsewhere"), str(platform.folder / "theirs"), "other")
    numbers = iter(range(10**6))
    with Background(lambda: theirs.write([""], {"number": str(next(numbers)).encode()}, "theirs"), 2) as other:
        running = platform.start("platform")
        results = platform.results(running)
    assert [one["objects"] for one in results if "objects" in one]
    assert other.turns > 3
    by_us = platform.commits()
    assert sorted(line.partition(":")[0] for line in by_us) == sorted(one.partition("-")[2] for one in COMPONENTS)
    # Nobody's commit was lost, and all of ours have the run's identifier.
    assert len(platform.git("log", "--format=%h", "main", "--", "elsewhere").splitlines()) == other.turns
    runs = platform.git("log", "--format=%(trailers:key=Platform-Run,valueonly,separator=)", "main", "--", "prod")
    (run,) = set(runs.split())
    assert run.split("/")[1] == str(running.pid)
    platform.variables["run"] = run
    # Nothing went past Git but what Argo CD is told by us alone.
    listed = platform.cluster.get("/api/v1/namespaces/kube-system/configmaps")["items"]
    assert {item["metadata"]["name"] for item in listed} >= {"platform-inventory-gitops"}
    assert "platform-inventory-tenancy" not in {item["metadata"]["name"] for item in listed}


def test_what_is_committed_is_what_is_rendered(platform: Platform) -> None:
    platform.run("platform", platform_delivery="render", platform_build_dir=str(platform.folder / "rendered"))
    tree = platform.folder / "rendered" / "tree"
    rendered = {str(path.relative_to(tree)): path.read_text().strip() for path in tree.rglob("*.yaml")}
    assert platform.files() == rendered
    assert sorted(path.removesuffix(".yaml") for path in rendered if path.startswith("apps/")) == [
        f"apps/{name}" for name in COMPONENTS
    ]


def test_a_second_run_commits_nothing(platform: Platform) -> None:
    head = platform.git("rev-parse", "main")
    results = platform.run("platform")
    assert [one.get("plan") for one in results if one.get("changed")] == []
    assert platform.git("rev-parse", "main") == head


def test_check_mode_is_the_report_of_drift_and_a_rollback_ends_it(platform: Platform) -> None:
    path = "components/03-tenancy/banking-data/resourcequota-namespace.yaml"
    before = platform.files()
    hand = GitTree(platform.repository, str(platform.folder / "hand"))
    hand.write([path], {path: before[path].replace("banking-data", "somebody-elses").encode()}, "by hand")
    by_hand = platform.files()
    assert by_hand != before

    reported = [step for one in platform.run("platform", "--check", "--diff") for step in one.get("plan") or ()]
    assert [(step["action"], step["target"]) for step in reported] == [("update", path)]
    planned = platform.run("rollback", "--check", platform_revision=platform.variables["run"])[-1]
    assert [(step["action"], step["target"]) for step in planned["plan"]] == [("update", path)]
    assert platform.files() == by_hand

    gone_back = platform.run("rollback", platform_revision=platform.variables["run"])[-1]
    assert gone_back["changed"]
    assert platform.files() == before
    assert platform.commits()[0] == f"Roll back to {gone_back['to'][:12]}"
    assert platform.run("rollback", platform_revision=platform.variables["run"])[-1]["changed"] is False


def test_a_revision_that_is_not_there_is_said_and_changes_nothing(platform: Platform) -> None:
    head = platform.git("rev-parse", "main")
    process = platform.start("rollback", platform_revision="ops1/1/2")
    out, _errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "'ops1/1/2' names no commit and no run in the history of main - next: take one of `git log`" in out
    assert platform.git("rev-parse", "main") == head
