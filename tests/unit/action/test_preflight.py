# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preflight proves this repository's inventories, and refuses what is broken in copies of them."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.banking.platform.tools.suites import CLONE

from .conftest import make_action, trusted

pytestmark = pytest.mark.slow

TODAY = datetime.date(2026, 11, 23)
INVENTORIES = sorted(path.parent for path in CLONE.glob("inventories/*/hosts.yml"))


def preflight(
    inventory: Path, output: Path | None = None, today: datetime.date = TODAY, **extra: Any
) -> dict[str, Any]:
    """The result of the task of playbooks/preflight.yml with an inventory and extra variables."""
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(inventory)])
    variables = VariableManager(loader=loader, inventory=manager)
    variables._extra_vars = trusted(extra)
    hostvars = HostVars(manager, variables, loader)
    given = {**variables.get_vars(), **hostvars.raw_get("localhost")}
    settings = Templar(loader=loader, variables=given)
    asked = {
        option: settings.template(given[name])
        for option, name in {
            "groups": "platform_groups",
            "zones": "platform_zones",
            "environment": "platform_environment",
            "release": "platform_release",
            "survives": "platform_survives",
            "budget": "platform_budget",
        }.items()
        if name in given
    }
    if output:
        asked["output"] = str(output)
    task_vars = {"hostvars": hostvars, "groups": manager.get_groups_dict(), "inventory_hostname": "localhost"}
    action = make_action("preflight", asked, **task_vars)
    action.today = lambda: today
    return action.run(task_vars=task_vars)


@pytest.fixture
def prod(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CLONE / "inventories" / "prod", tmp_path / "prod"))


def change(inventory: Path, old: str, new: str) -> None:
    """Change the hosts of a copied inventory."""
    path = inventory / "hosts.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def errors(result: Mapping[str, Any]) -> list[str]:
    return [
        f"{finding['subject']}: {finding['variable']}"
        for finding in result["findings"]
        if finding["severity"] == "error"
    ]


@pytest.mark.parametrize("inventory", INVENTORIES, ids=lambda path: path.name)
def test_an_inventory_of_this_repository_has_no_errors(inventory: Path) -> None:
    result = preflight(inventory)
    assert (result.get("msg"), result["changed"]) == (None, False)


def test_prod_proves_every_quorum_that_the_platform_must_not_lose(prod: Path) -> None:
    result = preflight(prod)
    rows = {(row["component"], row["kind"]): row for row in result["quorum"]}
    wanted = {
        ("etcd", "majority"),
        ("vault", "majority"),
        ("elk", "majority"),
        ("kafka", "in_sync_replicas"),
        ("kafka", "majority"),
        ("redis", "sharded_primaries"),
        ("postgresql", "synchronous_standby"),
        ("storage", "pool_min_size"),
        ("storage", "majority"),
        ("istio", "at_least_one"),
        ("kubernetes", "at_least_one"),
    }
    assert wanted <= set(rows)
    for key in wanted:
        assert rows[key]["survives"]
        assert {loss["lost"] for loss in rows[key]["losses"] if loss["scope"] == "zone"} == {
            "zone-a",
            "zone-b",
            "zone-c",
        }
    assert [case["lost"] for case in result["capacity"]["cases"]] == [None, "zone-a", "zone-b", "zone-c"]
    assert all(case["fits"] for case in result["capacity"]["cases"])
    assert {entry["component"] for entry in result["versions"]} >= {"etcd", "kubernetes", "istio", "strimzi"}


def test_the_report_shows_the_proofs(prod: Path) -> None:
    text = "\n".join(preflight(prod)["report"])
    assert re.search(r"^etcd/members +majority +survives +survives +survives +survives$", text, re.M)
    assert re.search(r"^without zone-b .* yes$", text, re.M)
    assert text.index("WARNING") < text.index("INFO ")


def test_a_control_plane_node_in_another_zone_is_refused_with_the_arithmetic(prod: Path) -> None:
    host = "            cp-c1: {ansible_host: 10.20.3.11}\n"
    change(prod, host, "")
    change(prod, "            worker-a1:", host + "            worker-a1:")
    result = preflight(prod)
    assert result["failed"]
    assert "3 members, 2 in zone-a: losing zone-a leaves 1 of 3, majority is 2" in result["msg"]
    assert [line.split(":")[0].strip() for line in result["msg"].splitlines()[1:]] == ["etcd", "vault"]
    assert "FAILS" in "\n".join(result["report"])


def test_what_is_not_promised_is_said_and_does_not_stop_the_run(prod: Path) -> None:
    host = "            cp-c1: {ansible_host: 10.20.3.11}\n"
    change(prod, host, "")
    change(prod, "            worker-a1:", host + "            worker-a1:")
    result = preflight(prod, platform_survives="node")
    assert not result.get("failed")
    row = next(row for row in result["quorum"] if row["component"] == "etcd")
    assert (row["survives"], row["claimed"]) == (False, False)


def test_all_findings_come_at_once_the_worst_first(prod: Path) -> None:
    change(prod, "ansible_host: 10.20.2.21", "ansible_host: 10.20.2.22")
    result = preflight(prod, platform_relase="2026.2", postgresql_instances=1, platform_accept_eol={})
    assert errors(result)[0] == "worker-b2: platform_address"
    assert {"prod: platform_accept_eol", "postgresql: postgresql_instances"} & set(errors(result))
    assert "no role reads platform_relase - next: did you mean 'platform_release'?" in result["msg"]
    severities = [finding["severity"] for finding in result["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)


def test_two_zones_are_refused_for_a_quorum(prod: Path) -> None:
    text = (prod / "hosts.yml").read_text()
    start = text.index("        zone_c:")
    end = text.index("    control_plane:")
    (prod / "hosts.yml").write_text(text[:start] + text[end:].replace("cp-c1", "cp-b1"))
    change(prod, "        worker-c1:\n        worker-c2:\n", "")
    result = preflight(prod, platform_zones=["zone-a", "zone-b"])
    assert result["failed"]
    assert "majority" in result["msg"]


@pytest.mark.parametrize("size", ["32 Gigs", "-1Gi", "0.5", [1]])
def test_a_size_that_cannot_be_read_names_the_host_and_how_to_write_it(prod: Path, size: Any) -> None:
    result = preflight(prod, platform_node_size={"cpu": 8, "memory": size, "disk": "1Ti"})
    assert result["failed"]
    assert errors(result) == [f"{node['name']}: platform_node_size" for node in result["topology"]["nodes"]]
    assert "memory: 32Gi" in result["msg"]


def test_sizes_may_be_written_in_other_ways(prod: Path) -> None:
    size = {"cpu": "8000m", "memory": "64 GB", "disk": "16 TB"}
    nodes = preflight(prod, platform_node_size=size)["topology"]["nodes"]
    assert {(node["size"]["cpu"], node["size"]["memory"], node["size"]["pods"]) for node in nodes} == {
        (8000, 64 * 10**9, 110)
    }


def test_a_setting_that_makes_a_declaration_unusable_is_a_finding(prod: Path) -> None:
    result = preflight(prod, redis_sessions_memory="2 Gigs")
    assert "redis: roles/redis/meta/platform.yml" in errors(result)
    assert "'2 Gigs' is no amount of bytes" in result["msg"]


def test_a_template_that_cannot_be_rendered_is_a_finding(prod: Path) -> None:
    result = preflight(prod, etcd_disk="{{ nobody_sets_this }}")
    assert "etcd: roles/etcd/meta/platform.yml" in errors(result)
    assert "nobody_sets_this" in result["msg"]


def test_an_unknown_release_names_the_known_ones(prod: Path) -> None:
    result = preflight(prod, platform_release="2026.1")
    assert result["failed"]
    assert "2026.2" in result["msg"]


def test_a_global_variable_has_its_type(prod: Path) -> None:
    assert "prod: platform_accept_risks" in errors(preflight(prod, platform_accept_risks="yes, all of them"))


def test_groups_may_have_other_names(prod: Path) -> None:
    names = ("node", "control_plane", "worker", "etcd", "vault")
    hosts = yaml.safe_load((prod / "hosts.yml").read_text())
    children = hosts["all"]["children"]
    hosts["all"]["children"] = {f"bank_{name}": children[name] for name in names}
    for name in ("etcd", "vault"):
        hosts["all"]["children"][f"bank_{name}"]["children"] = {"bank_control_plane": None}
    (prod / "hosts.yml").write_text(yaml.safe_dump(hosts))
    for name in ("node", "control_plane", "worker"):
        if (prod / "group_vars" / f"{name}.yml").exists():
            (prod / "group_vars" / f"{name}.yml").rename(prod / "group_vars" / f"bank_{name}.yml")
    result = preflight(prod, platform_groups={name: f"bank_{name}" for name in names})
    assert result.get("msg") is None
    assert preflight(prod)["failed"]


def test_an_empty_inventory_is_said_and_does_not_crash(prod: Path) -> None:
    (prod / "hosts.yml").write_text("all: {hosts: {}}\n")
    result = preflight(prod)
    assert "platform_groups.control_plane" in result["msg"]


def test_the_proofs_are_written_as_json(prod: Path, tmp_path: Path) -> None:
    result = preflight(prod, output=tmp_path / "proofs.json")
    written = json.loads((tmp_path / "proofs.json").read_text())
    assert written == {key: result[key] for key in ("findings", "topology", "quorum", "capacity", "versions")}


def test_an_acceptance_of_an_ended_release_expires(prod: Path) -> None:
    assert "prod: platform_accept_eol" in errors(preflight(prod, today=datetime.date(2027, 7, 1)))


@pytest.mark.parametrize(
    ("budget", "cause"),
    [({"cpus": 96}, "did you mean 'cpu'?"), ({"memory": "384 Gigs"}, "'384 Gigs' is no amount of bytes")],
)
def test_a_budget_that_cannot_be_read_is_a_finding(prod: Path, budget: dict[str, Any], cause: str) -> None:
    result = preflight(prod, platform_budget=budget)
    assert errors(result) == [f"prod: platform_budget.{next(iter(budget))}"]
    assert cause in result["msg"]


def test_the_documents_own_figures_do_not_fit_on_their_own_nodes(prod: Path) -> None:
    profile = yaml.safe_load((CLONE / "inventories/profiles/documents.yml").read_text())
    assert preflight(prod, **profile).get("msg") is None
    del profile["platform_node_size"], profile["platform_budget"]
    result = preflight(prod, **profile)
    assert "capacity" in {finding["rule"] for finding in result["findings"] if finding["severity"] == "error"}


def test_a_plan_that_may_not_be_applied_is_said_before_any_host_is_reached(prod: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    result = preflight(prod, platform_plan=str(plan))
    assert result["failed"]
    assert f"platform_plan: {plan} is no record of a run" in result["msg"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "url is missing - next: name the repository that ArgoCD follows: write {url, branch, path}, or set"),
        ({"url": "https://git.bank.example/x.git", "brunch": "main"}, "brunch is not known - next: it takes author,"),
    ],
)
def test_a_run_that_could_not_commit_at_its_end_is_refused_at_its_beginning(
    prod: Path, given: dict[str, str], said: str
) -> None:
    result = preflight(prod, platform_git=given)
    assert errors(result) == ["prod: platform_git"]
    assert said in result["msg"]
    for way in ("render", "direct"):
        assert errors(preflight(prod, platform_git=given, platform_delivery=way)) == []


def test_a_repository_without_a_password_is_warned_of(prod: Path) -> None:
    git = {"url": "https://git.bank.example/x.git", "username": "platform", "password": ""}
    (found,) = [one for one in preflight(prod, platform_git=git)["findings"] if one["rule"] == "gitops"]
    assert (found["severity"], found["variable"]) == ("warning", "platform_git.password")
    assert "the password of platform is empty" in found["cause"]
