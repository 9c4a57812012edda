# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role declares: it parses in each release, names only what there is, and no quorum is forgotten."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils import catalog, declarations
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration

ROOT = Path(__file__).parents[3]
LOADER = DataLoader()
ROLES = sorted(path.parents[1].name for path in ROOT.glob("roles/*/meta/platform.yml"))
RELEASES = catalog.releases()
# What DESIGN.md names beside the roles of the controller.
EXPECTED = set(
    "node data_volumes snapshot_copies containerd api_lb etcd kubernetes vault calico tenancy cert_manager storage "
    "metallb istio secrets harbor gatekeeper falco trivy image_trust prometheus elk tracing postgresql kafka redis "
    "keycloak autoscaling argocd rollouts backup chaos compliance banking_apps".split()
)
# Requirement N3, and what else must outlive a zone: component, kind, and a workload that is a member.
QUORUMS = [
    ("etcd", "majority", "etcd"),
    ("vault", "majority", "vault"),
    ("elk", "majority", "master"),
    ("kafka", "in_sync_replicas", "broker"),
    ("kafka", "majority", "controller"),
    ("redis", "sharded_primaries", "sessions-leader"),
    ("redis", "sharded_primaries", "cache-leader"),
    ("postgresql", "synchronous_standby", "instance"),
    ("istio", "at_least_one", "gateway"),
    ("kubernetes", "at_least_one", "coredns"),
    ("kubernetes", "at_least_one", "apiserver"),
    ("api_lb", "at_least_one", "keepalived"),
    ("storage", "majority", "mon"),
    ("storage", "pool_min_size", "osd"),
]
# What `from` of a port and `to` of an edge may say beside components and roles of nodes.
PLACES = {"pods", "anywhere", "localhost"}
OUTSIDE = {"notifications", "registry", "registries", "routers", "git", "other sites", "package mirrors"}
NODES = {"node", "control_plane", "worker", "etcd", "vault"}
# What an inventory of nine servers sets; the rest are defaults.
SETTINGS = {
    "platform_groups": {name: name for name in NODES},
    "groups": {"worker": [f"worker-{number}" for number in range(6)]},
    "platform_domain": "bank.example",
    "node_time_sources": ["ntp1.bank.example nts"],
    "inventory_dir": "/inventories/prod",
}


def read(path: str) -> Any:
    """A file of the collection whose templates count; an empty mapping where there is none."""
    return (LOADER.load_from_file(str(ROOT / path), trusted_as_template=True) or {}) if (ROOT / path).exists() else {}


@cache
def defaults() -> dict[str, Any]:
    """The defaults of all roles, with every component enabled."""
    merged = {name: value for role in ROLES for name, value in read(f"roles/{role}/defaults/main.yml").items()}
    return {**merged, **{name: True for name in merged if name.endswith("_enabled")}}


@cache
def declared(role: str, release: str) -> Declaration:
    """A role's declaration with its defaults."""
    variables = {**defaults(), **SETTINGS, "platform_release": release}
    data = Templar(loader=LOADER, variables=variables).template(read(f"roles/{role}/meta/platform.yml"))
    declaration = declarations.parse(role, data)
    assert declaration is not None
    return declaration


each_role = pytest.mark.parametrize("role", ROLES)
each_release = pytest.mark.parametrize("release", RELEASES)


def test_every_role_of_the_platform_is_declared():
    assert set(ROLES) == EXPECTED


@each_release
@each_role
def test_it_parses_and_runs_where_there_are_nodes(role, release):
    declaration = declared(role, release)
    assert declaration.group in {"", *NODES}
    assert {workload.nodes for workload in declaration.workloads} <= NODES
    assert all(workload.requests != declarations.Resources() for workload in declaration.workloads)


@each_release
@each_role
def test_the_catalog_has_what_it_installs(role, release):
    assert set(declared(role, release).catalog) <= set(catalog.load(release).components)


@each_role
def test_defaults_are_documented_and_typed(role):
    """Each default has an option, with the same value where it is short enough to stand in both files."""
    given = yaml.safe_load((ROOT / f"roles/{role}/defaults/main.yml").read_text()) or {}
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())
    options = specs["argument_specs"]["main"]["options"]
    assert set(given) <= set(options)
    assert all(option["type"] and option["description"] for option in options.values())
    documented = {name: option["default"] for name, option in options.items() if "default" in option}
    # A default that is a template is documented by its words.
    assert not [
        name
        for name, value in documented.items()
        if name in given and "{{" not in f"{given[name]}" and given[name] != value
    ]
    short = {
        name for name, value in given.items() if isinstance(value, (str, int)) and not set("{\n") & set(f"{value}")
    }
    assert short <= set(documented)


@each_role
def test_choices_hold_the_default(role):
    options = read(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    wrong = []
    for name, option in options.items():
        default = defaults().get(name)
        given = default if isinstance(default, list) else [default]
        if "choices" in option and name in defaults() and not set(given) <= set(option["choices"]):
            wrong.append(name)
    assert not wrong


@pytest.mark.parametrize("role", [role for role in ROLES if declared(role, RELEASES[0]).group == ""])
def test_components_of_the_cluster_have_a_wave_and_a_switch(role):
    assert declared(role, RELEASES[0]).wave is not None
    assert read(f"roles/{role}/meta/platform.yml")["enabled"] == f"{{{{ {role}_enabled }}}}"
    assert f"{role}_enabled" in defaults()


@each_release
@each_role
def test_pods_are_in_a_namespace(role, release):
    workloads = declared(role, release).workloads
    assert not [workload.name for workload in workloads if workload.runs != "server" and not workload.namespace]


@each_role
def test_ports_edges_metrics_and_backups_name_what_there_is(role):
    declaration = declared(role, RELEASES[0])
    workloads = {f"{name}/{workload.name}" for name in ROLES for workload in declared(name, RELEASES[0]).workloads}
    known = {*ROLES, *NODES, *PLACES, *workloads}
    own = {workload.name for workload in declaration.workloads}
    for port in declaration.ports:
        assert set(port) - {"workloads"} == {"name", "protocol", "ports", "from"}
        assert set(port.get("workloads", ())) <= own, port
        assert isinstance(port["from"], list) or port["from"] in known, port
    for edge in declaration.edges:
        assert set(edge) - {"protocol", "from"} == {"to", "port", "why"}
        assert set(edge.get("from", ())) <= own, edge
        addresses = isinstance(edge["to"], list)  # out of the inventory
        assert addresses or edge["to"] in {*ROLES, *OUTSIDE, *workloads}, edge
    for metric in declaration.metrics:
        assert set(metric) - {"workloads", "series"} == {"name", "port", "path"}
        assert set(metric.get("workloads", ())) <= own, metric
        assert metric["path"].startswith("/")
    for backup in declaration.backups:
        assert {"name", "what", "keep"} <= set(backup)
        assert "every" in backup or "schedule" in backup


@each_role
def test_names_are_unique(role):
    declaration = declared(role, RELEASES[0])
    for entries in (declaration.ports, declaration.metrics, declaration.backups):
        names = [entry["name"] for entry in entries]
        assert len(names) == len(set(names))
    names = [quorum.name for quorum in declaration.quorum]
    assert len(names) == len(set(names))


@each_release
@pytest.mark.parametrize(("component", "kind", "member"), QUORUMS)
def test_no_quorum_is_forgotten(component, kind, member, release):
    members = [
        name
        for quorum in declared(component, release).quorum
        if quorum.kind == kind
        for name in (*quorum.members, quorum.primaries)
    ]
    assert member in members


@each_release
@each_role
def test_what_fails_closed_has_a_quorum_and_more_than_one_member(role, release):
    declaration = declared(role, release)
    closed = {workload.name for workload in declaration.workloads if workload.fails_closed}
    kept = {name for quorum in declaration.quorum if quorum.kind == "at_least_one" for name in quorum.members}
    assert closed <= kept
    assert not [name for name in closed if (declaration.workload(name).replicas or 0) < 2]


def test_some_webhooks_fail_closed():
    """The test above has something to look at."""
    closed = {role for role in ROLES for workload in declared(role, RELEASES[0]).workloads if workload.fails_closed}
    assert {"cert_manager", "istio", "gatekeeper", "image_trust", "secrets", "postgresql"} <= closed


@pytest.mark.parametrize("release", RELEASES)
def test_storage_counts_its_disks_once_for_each_copy(release):
    """Six disks of 1 TiB, three copies, 85 % of it: 1.7 TiB."""
    assert declared("storage", release).provides == {"storage": int(6 * 1024**4 * 0.85 / 3)}
