# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `banking.platform.catalog`, called as a template calls it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig


def look_up(arguments: str, **variables: Any) -> Any:
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()
    templar = Templar(DataLoader(), variables=variables)
    return templar.template(trust_as_template("{{ lookup('banking.platform.catalog', " + arguments + ") }}"))


def test_version_of_a_component_and_of_an_artifact() -> None:
    assert look_up("'containerd'", platform_release="2024.1") == "1.7.34"
    assert look_up("'kubelet'", platform_release="2026.2") == "1.35.8"


def test_repositories() -> None:
    found = look_up("repositories=true", platform_release="2024.1")
    assert "registry.k8s.io/pause" in found.split(",")


def test_image() -> None:
    assert look_up("'kubernetes', image='pause'", platform_release="2024.1") == "registry.k8s.io/pause:3.9"


def test_variables_may_be_templates() -> None:
    release = trust_as_template("{{ wanted }}")
    assert look_up("'containerd'", platform_release=release, wanted="2026.2") == "2.3.4"


def test_overrides() -> None:
    overrides = {"components": {"containerd": {"version": "9"}}}
    assert look_up("'containerd'", platform_release="2024.1", platform_catalog_overrides=overrides) == "9"


def test_a_step_on_the_way_to_the_kubernetes_of_the_release() -> None:
    assert look_up("'kubelet'", platform_release="2026.2", platform_kubernetes_minor="1.30").startswith("1.30.")
    assert look_up("'containerd'", platform_release="2026.2", platform_kubernetes_minor="1.30") == "2.3.4"
    assert look_up("'kubelet'", platform_release="2026.2", platform_kubernetes_minor="1.35") == "1.35.8"
    assert look_up("'kubelet'", platform_release="2026.2", platform_kubernetes_minor="") == "1.35.8"


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ("'containerd'", {}, "platform_release is not set: one of 2024.1, 2026.2"),
        ("'containerd'", {"platform_release": "2024.2"}, "no catalog for '2024.2'; did you mean"),
        ("'containrd'", {"platform_release": "2024.1"}, "did you mean 'containerd'"),
        ("'kubelet'", {"platform_release": "2026.2", "platform_kubernetes_minor": "1.3"}, "no Kubernetes 1.3; "),
        ("'kubernetes', image='paws'", {"platform_release": "2024.1"}, "did you mean 'pause'"),
    ],
)
def test_errors(arguments: str, variables: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleError, match=message):
        look_up(arguments, **variables)
