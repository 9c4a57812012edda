# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `containerd` writes for a host, as far as it can be seen without one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

ROLE = Path(__file__).parents[4] / "roles" / "containerd"
V2, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    """Let templates find our lookup by its full name, as ansible-playbook does before anything else."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()


class Host:
    """A host with the role's defaults and variables, and some of its own."""

    def __init__(self, distribution: str = "Debian", major: str = "12", **variables: Any) -> None:
        loader = DataLoader()
        self.variables: dict[str, Any] = {"platform_release": "2024.1"}
        for name in ("defaults", "vars"):
            self.variables |= loader.load_from_file(str(ROLE / name / "main.yml"), trusted_as_template=True)
        self.variables["ansible_facts"] = {"distribution": distribution, "distribution_major_version": major}
        self.variables |= variables
        self.templar = Templar(loader, variables=self.variables)
        self.renderer = Renderer(self.templar, loader, self.variables, [str(ROLE / "templates")])

    def value(self, expression: str) -> Any:
        return self.templar.template(trust_as_template("{{ " + expression + " }}"))

    def file(self, path: str, **extra: Any) -> str:
        return self.renderer.content(str(ROLE / "templates" / path), extra).decode()

    def config(self) -> dict[str, Any]:
        return tomllib.loads(self.file("root/etc/containerd/config.toml.j2"))

    def hosts(self, registry: dict[str, Any]) -> dict[str, Any]:
        return tomllib.loads(self.file("hosts.toml.j2", registry=registry))


@pytest.mark.parametrize(("major", "version"), [("12", "1.6"), ("13", "1.7")])
def test_containerd_1_has_one_cri_plugin(major: str, version: str) -> None:
    host = Host(major=major)
    config = host.config()
    assert host.value("__containerd_version") == version
    assert config["version"] == 2
    assert set(config["plugins"]) == {V2}
    cri = config["plugins"][V2]
    assert cri["sandbox_image"] == "registry.k8s.io/pause:3.9"
    assert cri["cni"]["bin_dir"] == "/opt/cni/bin"
    assert cri["registry"]["config_path"] == "/etc/containerd/certs.d"
    assert cri["containerd"]["runtimes"]["runc"]["options"] == {"SystemdCgroup": True}
    assert cri["restrict_oom_score_adj"] is False


def test_containerd_2_has_two() -> None:
    host = Host(platform_release="2026.2", containerd_source="artifact")
    config = host.config()
    assert config["version"] == 3
    assert set(config["plugins"]) == {IMAGES, RUNTIME}
    images, runtime = config["plugins"][IMAGES], config["plugins"][RUNTIME]
    assert images["pinned_images"]["sandbox"] == "registry.k8s.io/pause:3.10.1"
    assert images["registry"]["config_path"] == "/etc/containerd/certs.d"
    assert "sandbox_image" not in runtime
    assert runtime["cni"]["bin_dirs"] == ["/opt/cni/bin"]
    options = runtime["containerd"]["runtimes"]["runc"]["options"]
    assert options == {"SystemdCgroup": True, "BinaryName": "/usr/local/sbin/runc"}


def test_artifact_of_the_release_decides_the_shape() -> None:
    host = Host(platform_release="2024.1", containerd_source="artifact")
    assert host.value("__containerd_version").startswith("1.7.")
    assert host.config()["version"] == 2


def test_versions_can_be_overridden_and_the_shape_follows() -> None:
    overrides = {"components": {"containerd": {"version": "2.0.5"}}}
    config = Host(containerd_source="artifact", platform_catalog_overrides=overrides).config()
    assert config["version"] == 3
    assert config["plugins"][RUNTIME]["cni"]["bin_dir"] == "/opt/cni/bin"  # bin_dirs came with 2.1


def test_unknown_distribution_says_what_to_do() -> None:
    host = Host("Fedora", "44")
    with pytest.raises(
        AnsibleError, match=r"Fedora 44 is not known; known: Debian 12, Debian 13\. Set containerd_source"
    ):
        host.value("__containerd_version")
    assert Host("Fedora", "44", containerd_source="artifact").config()["version"] == 2


def test_quotes_cannot_break_out_of_the_file() -> None:
    image = 'a"b\\c\nversion = 9'
    assert Host(containerd_sandbox_image=image).config()["plugins"][V2]["sandbox_image"] == image


@pytest.mark.parametrize(("features", "expected"), [([], False), (["oom_score_adj"], True), (None, False)])
def test_oom_score_follows_what_the_node_cannot_do(features: list[str] | None, expected: bool) -> None:
    unavailable = {} if features is None else {"features": features}
    cri = Host(platform_unavailable=unavailable).config()["plugins"][V2]
    assert cri["restrict_oom_score_adj"] is expected


def test_registry_and_its_mirrors_in_order() -> None:
    registry = {
        "name": "docker.io",
        "mirrors": [
            {"url": "https://one.example/v2/hub", "override_path": True, "ca": PEM},
            {"url": "https://two.example", "capabilities": ["pull"]},
            {"url": "https://three.example", "ca": PEM},
        ],
    }
    text = Host().file("hosts.toml.j2", registry=registry)
    hosts = tomllib.loads(text)
    assert hosts["server"] == "https://registry-1.docker.io"
    assert hosts["host"] == {
        "https://one.example/v2/hub": {
            "capabilities": ["pull", "resolve"],
            "override_path": True,
            "ca": "/etc/containerd/certs.d/docker.io/mirror-1.crt",
        },
        "https://two.example": {"capabilities": ["pull"]},
        "https://three.example": {
            "capabilities": ["pull", "resolve"],
            "ca": "/etc/containerd/certs.d/docker.io/mirror-2.crt",
        },
    }
    assert text.index("one.example") < text.index("two.example") < text.index("three.example")


@pytest.mark.parametrize(
    ("registry", "server"),
    [
        ({"name": "quay.io"}, "https://quay.io"),
        ({"name": "harbor.bank.example:5000", "server": "https://other.example"}, "https://other.example"),
        ({"name": "_default", "mirrors": [{"url": "https://m.example"}]}, None),
        ({"name": "_default", "server": "https://m.example"}, "https://m.example"),
    ],
)
def test_server_of_a_registry(registry: dict[str, Any], server: str | None) -> None:
    assert Host().hosts(registry).get("server") == server


def test_files_of_registries() -> None:
    host = Host(
        containerd_registries=[
            {"name": "docker.io", "ca": PEM, "mirrors": [{"url": "https://a"}, {"url": "https://b", "ca": PEM}]},
            {"name": "quay.io"},
        ]
    )
    files = host.value("__containerd_registry_files")
    assert set(files) == {
        "/etc/containerd/certs.d/docker.io/hosts.toml",
        "/etc/containerd/certs.d/docker.io/server.crt",
        "/etc/containerd/certs.d/docker.io/mirror-1.crt",
        "/etc/containerd/certs.d/quay.io/hosts.toml",
    }
    assert files["/etc/containerd/certs.d/docker.io/server.crt"] == {"content": PEM}
    # the CA's file has the name that hosts.toml gives it
    hosts = host.hosts(host.variables["containerd_registries"][0])
    assert hosts["host"]["https://b"]["ca"] in files
    assert Host().value("__containerd_registry_files") == {}


def test_package_brings_no_artifact_and_removes_what_artifacts_had_brought() -> None:
    host = Host(containerd_crictl=False)
    assert host.value("__containerd_artifacts") == {}
    assert host.value("__containerd_links") == {
        f"/opt/cni/bin/{name}": f"/usr/lib/cni/{name}" for name in ("bridge", "firewall", "ptp")
    }
    assert {
        "/etc/systemd/system/containerd.service",
        "/usr/local/bin/ctr",
        "/usr/local/sbin/runc",
        "/etc/crictl.yaml",
    } < set(host.value("__containerd_absent"))


def test_crictl_can_stand_beside_the_package() -> None:
    host = Host()
    assert set(host.value("__containerd_artifacts")) == {"crictl"}
    assert "/etc/crictl.yaml" not in host.value("__containerd_absent")


def test_artifact_brings_all_of_it() -> None:
    host = Host(containerd_source="artifact")
    assert set(host.value("__containerd_artifacts")) == {"containerd", "runc", "cni-plugins", "crictl"}
    assert host.value("__containerd_artifacts['cni-plugins'].links")["/opt/cni/bin/bridge"] == "bridge"
    assert host.value("__containerd_links") == {}
    assert host.value("__containerd_absent") == []


def test_unit_keeps_containers_and_their_limits() -> None:
    lines = Host().file("root/etc/systemd/system/containerd.service.d/10-platform.conf.j2").splitlines()
    assert {"KillMode=process", "Delegate=yes", "LimitNOFILE=1048576", "TasksMax=infinity", "LimitCORE=0"} < set(lines)
