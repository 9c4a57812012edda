# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that playbooks/platform.yml delivers, rendered for an environment and a release, without a cluster.

Charts and released manifests are rendered where $PLATFORM_CHARTS holds them; those that are
not there are named.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.catalog import Source, load
from ansible_collections.banking.platform.plugins.plugin_utils import manifests, released
from ansible_collections.banking.platform.tests.programs import helm
from ansible_collections.banking.platform.tools import suites

ENFORCED = "18-gatekeeper-enforce"


@dataclass(frozen=True)
class Platform:
    """What is delivered.

    Attributes:
        name: the environment and the release.
        components: the objects by the component's folder (`04-cert-manager`), in the order of installation.
        missing: charts and released manifests that are not at hand, by role.
    """

    name: str
    components: Mapping[str, list[dict[str, Any]]]
    missing: Mapping[str, set[str]] = field(default_factory=dict)

    @property
    def objects(self) -> Iterator[dict[str, Any]]:
        """All objects. What is only made and then taken over comes twice."""
        for items in self.components.values():
            yield from items


def render(environment: str, release: str, folder: Path) -> Platform:
    """Render the platform.

    Args:
        environment: a folder of inventories.
        release: of the catalog.
        folder: an empty one.

    Raises:
        AssertionError: the playbook failed; with what it said.
    """
    charts = _bundle(release, folder / "bundle")
    told = {
        "platform_delivery": "render",
        "platform_release": release,
        "platform_build_dir": str(folder / "build"),
        "platform_charts": "manage" if charts else "external",
        # What is not in the bundle is left out, and said.
        "platform_unavailable": {"features": ["charts"]},
        "artifacts_source": "bundle",
        "artifacts_bundle": str(folder / "bundle"),
    }
    playbook = suites.CLONE / "playbooks" / "platform.yml"
    done = subprocess.run(
        ["ansible-playbook", playbook, "-i", suites.CLONE / "inventories" / environment, "-e", json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(suites.CLONE / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
            "PATH": f"{helm().parent}:{os.environ['PATH']}",
        },
    )
    assert "{" in done.stdout, done.stderr
    said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    missing: dict[str, set[str]] = {}
    for play in said["plays"]:
        for task in play["tasks"]:
            for result in task["hosts"].values():
                assert not result.get("failed"), f"{task['task']['name']}: {result.get('msg')}"
                role = task["task"]["name"].partition(" : ")[0]
                if result.get("not_rendered"):
                    missing.setdefault(role, set()).update(result["not_rendered"])
    tree = folder / "build" / "tree" / "components"
    found = {
        path.name: [
            item.object for file in sorted(path.rglob("*.yaml")) for item in manifests.load(file.read_text(), str(file))
        ]
        for path in sorted(tree.iterdir())
    }
    return Platform(f"{environment} {release}", found, missing)


def _bundle(release: str, folder: Path) -> bool:
    """Lay the charts and released manifests that are at hand as a bundle has them; whether there are any."""
    catalog, packed = load(release), suites.charts_folder()
    folder.mkdir(parents=True)
    if not packed:
        return False
    source = Source(kind="bundle", bundle=str(folder))
    wanted = {str(catalog.chart(name, source).path): catalog.chart(name).filename for name in catalog.chart_names()}
    for entry in catalog.components.values():
        for name, artifact in (entry.get("artifacts") or {}).items():
            if artifact.get("kind") == "manifest":
                found = catalog.artifact(name, released.ARCH, source)
                wanted[str(found.path)] = f"{name}-{found.version}.yaml"
    at_hand = {path: packed / name for path, name in wanted.items() if (packed / name).is_file()}
    for path, there in at_hand.items():
        Path(path).parent.mkdir(parents=True)
        Path(path).symlink_to(there.resolve())
    return bool(at_hand)
