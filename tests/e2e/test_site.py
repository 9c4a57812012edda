# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on nine fresh nodes: what would happen, what happens, and that nothing happens the second time.

The tests follow each other, as the runs do.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.e2e.running import NODES, on, play, refused, start
from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = pytest.mark.usefixtures("fresh_lab")


TREE = CLONE / "build/lab/tree"


def tree() -> dict[str, str]:
    return {str(path.relative_to(TREE)): path.read_text() for path in TREE.rglob("*.yaml")}


def test_check_mode_on_fresh_nodes_shows_what_would_happen() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    would_change = play("site.yml", "--check", "--diff")
    assert set(would_change) == NODES
    assert all(would_change.values())
    assert tree() == {}


def test_the_first_run_converges_every_node_as_approved(tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = tmp_path_factory.getbasetemp() / "plan.json"
    shutil.copy(CLONE / "build/lab/runs/latest/run.json", plan)
    changed = play("site.yml", "-e", f"platform_plan={plan}")
    assert set(changed) == NODES
    assert all(changed.values()), "check mode had changed the nodes, or the run has left some out"
    # The components of the cluster, with their own objects: there are no charts here, and no cluster to bring them to.
    components = {path.split("/")[1] for path in tree()}
    assert components >= {"02-calico", "03-tenancy", "04-cert-manager", "05-argocd"}


def test_the_second_run_changes_nothing() -> None:
    before = tree()
    assert play("site.yml") == dict.fromkeys(NODES, 0)
    assert tree() == before


def test_check_mode_agrees_that_there_is_nothing_to_do() -> None:
    assert play("site.yml", "--check") == dict.fromkeys(NODES, 0)


def test_a_zone_is_lost_etcd_and_vault_go_on_and_the_report_says_so() -> None:
    """The zone of Vault's active member, which is the one that hurts."""
    states = {node: on(node, "/usr/local/libexec/platform/vault-state").strip() for node in ("cp-a1", "cp-b1", "cp-c1")}
    assert sorted(states.values()) == ["active", "standby", "standby"]
    zone = f"zone-{next(node for node, state in states.items() if state == 'active')[3]}"
    play("playbooks/drill_zone_loss.yml", "-e", f"zone={zone}", "-e", "platform_drill_hold=10")
    latest = CLONE / "build/lab/runs/latest"
    figures = json.loads((latest / "run.json").read_text())["measurements"]
    assert {figure["name"] for figure in figures} == {
        f"etcd takes no write, {zone} away",
        f"Vault has no active member, {zone} away",
    }
    report = (latest / "report.html").read_text()
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} s (goal {figure['goal']} s)")
        assert figure["name"] in report


def test_a_node_that_was_changed_after_the_approval_is_left_alone(tmp_path: Path) -> None:
    limited = ("playbooks/nodes.yml", "--limit", "worker-c2", "--tags", "node")
    on("worker-c2", "sh", "-c", "echo one >> /etc/issue.net")
    assert play(*limited, "--check")["worker-c2"] == 1
    plan = shutil.copy(CLONE / "build/lab/runs/latest/run.json", tmp_path)
    on("worker-c2", "sh", "-c", "echo two >> /etc/issue.net")
    said = refused(*limited, "-e", f"platform_plan={plan}")
    assert "differ from the approved plan, nothing was changed: file /etc/issue.net: update of" in said
    assert on("worker-c2", "cat", "/etc/issue.net").endswith("one\ntwo\n")
    assert play(*limited)["worker-c2"] == 1


def test_one_run_at_a_time() -> None:
    first = start("playbooks/nodes.yml")
    lock = "/var/lib/banking-platform/run.lock"
    deadline = time.monotonic() + 60
    while subprocess.run(["podman", "exec", "lab.cp-a1", "test", "-e", lock], check=False).returncode != 0:
        assert first.poll() is None, "the first run ended before it took the lock"
        assert time.monotonic() < deadline, "the first run has not taken the lock"
        time.sleep(0.2)
    try:
        said = refused("playbooks/nodes.yml")
    finally:
        first.kill()
        first.communicate()
    assert "the platform is locked by nodes.yml of" in said
    assert "platform_break_lock" in said
    # Its process is no more, which the next run from here finds out; at its end it gives the lock back.
    assert play("playbooks/nodes.yml", "--limit", "worker-c2", "--tags", "containerd") == {"worker-c2": 0}
    assert "run.lock\n" not in on("cp-a1", "ls", "/var/lib/banking-platform")
