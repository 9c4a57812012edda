# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policies of image_trust on a real API server, in both waves: what wave 18 insists on, no later run takes back.

The controller does not run here: of what the role delivers, its policies alone are brought there, without waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tests.unit.roles.conftest import (  # pylint: disable=unused-import
    Rendered,
    rendered,  # noqa: F401
)
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

FIRST, NEXT = ({"data": f"-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"} for text in ("AAAA", "BBBB"))
POLICIES = ("ClusterImagePolicy", "ConfigMap")


@pytest.fixture
def surroundings(client: Client) -> None:
    """The CRDs, without what would convert them, and the namespace."""
    crds = crds_folder()
    if not crds:
        pytest.skip("CRDs of the releases are not at hand")
    kinds = [yaml.safe_load(path.read_text()) for path in sorted((crds / "2024.1/policy-controller").glob("*.yaml"))]
    for kind in kinds:
        kind["spec"].pop("conversion", None)
    once = {"platform.banking/create-only": "true"}
    metadata = {"name": "banking-security", "annotations": once}
    objects = [*kinds, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}]
    Apply(client, Wish(component="surroundings-of-image-trust", objects=objects, wait=True), False, False).run()


def test_a_second_run_of_wave_10_takes_nothing_back(
    surroundings: None,
    client: Client,
    cluster: Cluster,
    rendered: Callable[..., Rendered],  # noqa: F811
) -> None:
    def deliver(tasks: str, key: dict[str, str]) -> bool:
        task = yaml.safe_load((CLONE / f"roles/image_trust/tasks/{tasks}.yml").read_text())[-1]
        arguments = task["banking.platform.component"]
        found = rendered("image_trust", "2024.1", tasks=tasks, image_trust_key=key).objects
        wish = Wish(
            component=arguments.get("name", "image-trust"),
            objects=[item for (kind, _name), item in found.items() if kind in POLICIES],
            take_over=arguments.get("take_over", False),
        )
        applying = Apply(client, wish, False, False)
        applying.run()
        return bool(applying.result()["changed"])

    def state() -> tuple[str, str, dict[str, Any]]:
        policy = cluster.get("/apis/policy.sigstore.dev/v1beta1/clusterimagepolicies/bank")["spec"]
        config = cluster.get("/api/v1/namespaces/banking-security/configmaps/config-policy-controller")["data"]
        return policy["mode"], config["no-match-policy"], policy["authorities"][0]["key"]

    assert deliver("main", FIRST)
    assert state() == ("warn", "warn", FIRST)
    assert deliver("enforce", FIRST)
    assert state() == ("enforce", "deny", FIRST)
    assert not deliver("main", FIRST)
    assert not deliver("enforce", FIRST)
    # The bank's next key: wave 10 does not touch what wave 18 owns, which brings it.
    assert not deliver("main", NEXT)
    assert state() == ("enforce", "deny", FIRST)
    assert deliver("enforce", NEXT)
    assert state() == ("enforce", "deny", NEXT)
