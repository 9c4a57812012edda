# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock holds what the requirements ask for, for each supported Python, and nothing of the machine that made it."""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ansible_collections.banking.platform.tools.suites import CLONE

LOCKS = {
    "requirements.lock": ("requirements.in", "requirements-dev.in"),
    "requirements-openshift.lock": ("requirements-openshift.in",),
}


def pins(name: str) -> list[Requirement]:
    """Read the requirements of a file, without comments, options and hashes."""
    lines = (CLONE / name).read_text().splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[A-Za-z]", line)]


def applies(requirement: Requirement, python: str) -> bool:
    """Tell whether a requirement is meant for a Python version on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    return requirement.marker is None or requirement.marker.evaluate(environment)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_what_is_asked_for(lock: str, python: str) -> None:
    locked = {pin.name.lower(): str(pin.specifier) for pin in pins(lock) if applies(pin, python)}
    asked = {pin.name.lower(): str(pin.specifier) for name in LOCKS[lock] for pin in pins(name) if applies(pin, python)}
    assert asked.items() <= locked.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_hashed_and_names_no_host(lock: str) -> None:
    text = (CLONE / lock).read_text()
    hashed = re.findall(r"^[a-z].*\\\n +--hash=sha256:", text, re.MULTILINE)
    assert len(hashed) == len(pins(lock)) > 10
    assert "//" not in text
    assert "--index" not in text


def test_the_ansible_package_brings_every_collection_that_galaxy_yml_asks_for() -> None:
    collections = Path(sysconfig.get_path("purelib"), "ansible_collections")
    for name, wanted in yaml.safe_load((CLONE / "galaxy.yml").read_text())["dependencies"].items():
        manifest = (collections / name.replace(".", "/") / "MANIFEST.json").read_text()
        version = json.loads(manifest)["collection_info"]["version"]
        assert version in SpecifierSet(wanted), f"{name} {version} is not {wanted}"
