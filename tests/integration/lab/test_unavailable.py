# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""platform_unavailable of inventories/lab is what a node really cannot do: no more and no less."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.tests.integration.lab.conftest import CLONE, Lab

DECLARED = yaml.safe_load((CLONE / "inventories/lab/group_vars/all.yml").read_text())["platform_unavailable"]
# Nodes have no part in it.
DECLARED["features"] = [name for name in DECLARED["features"] if name not in ("charts", "image_programs")]


def wanted() -> dict[str, Any]:
    """All modules and sysctls that node roles ask for, from their defaults."""
    modules: set[str] = set()
    sysctl: dict[str, Any] = {}
    for path in CLONE.glob("roles/*/defaults/main.yml"):
        for name, value in (yaml.safe_load(path.read_text()) or {}).items():
            if name.endswith("_modules"):
                modules.update(value)
            elif name.endswith("_sysctl"):
                sysctl.update(value)
    return {"modules": sorted(modules), "sysctl": sysctl}


@pytest.fixture(scope="module")
def impossible(lab: Lab) -> dict[str, list[str]]:
    """What a node cannot do of all that is wanted or declared."""
    lab.run("cp-a1", "apt-get install -y -qq --no-install-recommends auditd cryptsetup-bin", timeout=300)
    asked = wanted()
    asked["modules"] = sorted({*asked["modules"], *DECLARED["modules"]})
    probe = Path(__file__).with_name("probe.py").read_text()
    assert lab.run("cp-a1", "cat > /tmp/probe.py", stdin=probe).returncode == 0
    done = lab.run("cp-a1", "python3 /tmp/probe.py", stdin=json.dumps(asked), timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["modules", "sysctl", "features"])
def test_nothing_is_impossible_that_is_not_declared(impossible: dict[str, list[str]], kind: str):
    assert set(impossible[kind]) - set(DECLARED[kind]) == set()


@pytest.mark.parametrize("kind", ["modules", "sysctl", "features"])
def test_nothing_is_declared_that_is_possible(impossible: dict[str, list[str]], kind: str):
    possible = set(DECLARED[kind]) - set(impossible[kind])
    if possible and os.path.isdir(f"/lib/modules/{os.uname().release}"):
        pytest.skip(
            f"the list is for kernels without modules, and this machine's has some: {', '.join(sorted(possible))}"
        )
    assert possible == set()


def test_declared_sysctls_are_wanted_by_a_role():
    assert set(DECLARED["sysctl"]) - set(wanted()["sysctl"]) == set()
