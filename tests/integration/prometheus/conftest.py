# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole platform, rendered once for both releases; its rules and routes as their programs read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.tests import platform_tree, promql
from ansible_collections.banking.platform.tests.platform_tree import Platform

RELEASES = tuple(catalog.releases())


@pytest.fixture(scope="session")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Platform]:
    """The platform of production, by release."""
    return {
        release: platform_tree.render("prod", release, tmp_path_factory.mktemp("platform") / "of")
        for release in RELEASES
    }


@pytest.fixture(scope="session")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """That of staging: other sizes, the newer release."""
    return platform_tree.render("staging", "2026.2", tmp_path_factory.mktemp("platform") / "of")


def write_rules(platform: Platform, folder: Path) -> list[Path]:
    """Each PrometheusRule as a file of Prometheus."""
    files: dict[str, list[dict[str, Any]]] = {}
    for where, group in promql.groups_of(platform.objects):
        files.setdefault(where.replace("/", "-"), []).append(group)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, groups in sorted(files.items()):
        path = folder / f"{name}.yml"
        path.write_text(yaml.safe_dump({"groups": groups}, sort_keys=False))
        written.append(path)
    return written


def alertmanager_config(platform: Platform) -> dict[str, Any]:
    """The configuration that External Secrets gives to Alertmanager."""
    (item,) = [
        item
        for item in platform.objects
        if item["kind"] == "ExternalSecret" and item["metadata"]["name"] == "alertmanager-config"
    ]
    found: dict[str, Any] = yaml.safe_load(item["spec"]["target"]["template"]["data"]["alertmanager.yaml"])
    return found
