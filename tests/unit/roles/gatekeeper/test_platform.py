# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the platform delivers, judged by the policies that it enforces on itself in wave 18.

Charts are judged as far as $PLATFORM_CHARTS has them. What controllers make in the cluster is in the folder `made`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.catalog import load
from ansible_collections.banking.platform.plugins.plugin_utils import charts
from ansible_collections.banking.platform.tests import platform_tree
from ansible_collections.banking.platform.tests.gatekeeper import Gatekeeper, Object, namespace_of
from ansible_collections.banking.platform.tests.platform_tree import ENFORCED, Platform
from ansible_collections.banking.platform.tests.programs import helm
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES
from ansible_collections.banking.platform.tools import suites
from ansible_collections.banking.platform.tools.suites import CLONE

pytestmark = pytest.mark.slow
MADE = Path(__file__).parent / "made"
WHERE = [("prod", release) for release in RELEASES]


@pytest.fixture(scope="module")
def platforms(tmp_path_factory: pytest.TempPathFactory) -> list[Platform]:
    return [platform_tree.render(*where, tmp_path_factory.mktemp("platform") / "of") for where in WHERE]


def made(release: str) -> Iterator[dict[str, Any]]:
    """Pods that controllers make, by the exemption that they need; each says for which releases it is."""
    for path in sorted(MADE.glob("*.yml")):
        for said in yaml.safe_load_all(path.read_text()):
            if release in said["releases"]:
                yield said["object"]


def gatekeeper_of(platform: Platform) -> Gatekeeper:
    return Gatekeeper(platform.objects)


def judged(platform: Platform) -> Iterator[Object]:
    """What the platform consists of in the end, without what is only there to be taken over."""
    yield from platform.objects
    yield from made(platform.name.split()[1])


def test_all_components_are_there(platforms: list[Platform]) -> None:
    for platform in platforms:
        assert len(platform.components) > 8, platform.name
        assert ENFORCED in platform.components, platform.name
        known = gatekeeper_of(platform)
        assert [item["spec"]["enforcementAction"] for item in known.constraints.values()].count("deny") > 10
        if not platform.missing and suites.charts_folder():
            assert sum(1 for item in platform.objects for _pod in known.expanded(item)) > 20, platform.name


def test_nothing_violates_a_policy_that_is_enforced(platforms: list[Platform]) -> None:
    found = []
    for platform in platforms:
        known = gatekeeper_of(platform)
        enforced = [item for item in known.constraints.values() if item["spec"]["enforcementAction"] == "deny"]
        for item in judged(platform):
            found += [f"{platform.name}: {violation}" for violation in known.review(item, enforced)]
    assert not found, "\n".join(
        [*found, "correct the role, or add an exemption with its reason (docs/gatekeeper.md, Exemptions)"]
    )


def test_a_violation_among_them_would_be_seen(platforms: list[Platform]) -> None:
    for platform in platforms:
        known = gatekeeper_of(platform)
        deployment: dict[str, Any] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "try", "namespace": "harbor"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "nginx"}]}}},
        }
        seen = {violation.constraint for violation in known.review(deployment)}
        assert seen >= {"allowed-repos-platform", "image-tags", "non-root", "seccomp", "account-tokens", "capabilities"}
        deployment["metadata"]["namespace"] = "kube-system"
        assert list(known.review(deployment)) == []


def exemptions(made_in_the_cluster: bool) -> dict[str, Any]:
    found = yaml.safe_load((CLONE / "roles/gatekeeper/vars/main.yml").read_text())["__gatekeeper_exemptions"]
    return {name: one for name, one in found.items() if one.get("made", False) is made_in_the_cluster}


def unneeded(platforms: list[Platform], found: dict[str, Any]) -> list[str]:
    """Of each exemption the policies that nothing violates without it."""
    return [
        f"{name}: {policy}"
        for name, exemption in found.items()
        for policy in exemption["policies"]
        if not any(needed(platform, policy, exemption["reason"]) for platform in platforms)
    ]


@pytest.mark.charts
def test_every_exemption_is_needed(platforms: list[Platform]) -> None:
    found = exemptions(made_in_the_cluster=False)
    missing = {name: platform.missing for platform in platforms for name in platform.missing}
    assert not {exemption["role"] for exemption in found.values()} & set(missing), f"not at hand: {missing}"
    assert unneeded(platforms, found) == [], "nothing needs these any more, remove them"


def test_every_exemption_of_what_controllers_make_is_needed(platforms: list[Platform]) -> None:
    found = exemptions(made_in_the_cluster=True)
    assert found
    assert unneeded(platforms, found) == [], "no example in the folder `made` needs these"


def needed(platform: Platform, policy: str, reason: str) -> bool:
    """Whether something violates an enforced policy without an exemption."""
    known = gatekeeper_of(platform)
    without = []
    for item in known.constraints.values():
        held = item["spec"]["parameters"]["exemptions"]
        namespaces = [name for one in held if one["reason"] == reason for name in one["namespaces"]]
        if item["kind"].lower() == policy and namespaces and item["spec"]["enforcementAction"] == "deny":
            changed: Any = copy.deepcopy(item)
            changed["spec"]["parameters"]["exemptions"] = [one for one in held if one["reason"] != reason]
            without.append((namespaces, changed))
    return any(
        any(known.review(item, [constraint]))
        for namespaces, constraint in without
        for item in judged(platform)
        if namespace_of(item) in namespaces
    )


@pytest.mark.parametrize("release", RELEASES)
def test_what_controllers_make_is_told_with_its_source(release: str) -> None:
    assert list(made(release))
    for path in MADE.glob("*.yml"):
        assert path.read_text().startswith("---\n# Source: "), path


@pytest.mark.charts
@pytest.mark.parametrize("release", RELEASES)
def test_the_webhook_is_that_of_the_chart(platforms: list[Platform], release: str) -> None:
    """Ours differs in the kinds that it is asked about, in whom it is not asked about, and in when it refuses."""
    chart = load(release).chart("gatekeeper")
    path = (suites.charts_folder() or Path()) / chart.filename
    wish = charts.Release(chart, "gatekeeper", "gatekeeper-system")
    rendered = charts.render(wish, str(path), load(release).kubernetes, str(helm()))
    (theirs,) = (item.object for item in rendered if item.object["kind"] == "ValidatingWebhookConfiguration")
    (platform,) = (platform for platform in platforms if platform.name.endswith(release))
    (ours,) = (item for item in platform.components[ENFORCED] if item["kind"] == "ValidatingWebhookConfiguration")
    assert ours["metadata"]["name"] == theirs["metadata"]["name"]
    for mine, other in zip(ours["webhooks"], theirs["webhooks"], strict=True):
        for key in ("name", "clientConfig", "matchPolicy", "sideEffects", "timeoutSeconds"):
            assert mine[key] == other[key], key
        keys = [{rule["key"] for rule in hook["namespaceSelector"]["matchExpressions"]} for hook in (mine, other)]
        assert keys[0] == keys[1]
