# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CRDs of both releases, as far as they are at hand."""

from __future__ import annotations

import pytest

from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import CRD, Schemas
from ansible_collections.banking.platform.tools.suites import crds_folder

# It names no namespace for its conversion webhook, which its chart would fill in.
INCOMPLETE = "clusterimagepolicies.policy.sigstore.dev"


@pytest.mark.crds
@pytest.mark.parametrize(("release", "version"), [("2024.1", "1.28.15"), ("2026.2", "1.35.6")])
def test_every_crd_of_the_catalog_becomes_a_validator(release: str, version: str) -> None:
    """And is itself what Kubernetes takes for a CRD."""
    folder = crds_folder()
    assert folder
    files = sorted((folder / release).rglob("*.y*ml"))
    found = [item for file in files for item in manifests.load(file.read_text(), str(file))]
    crds = [item for item in found if item.object["kind"] == CRD]
    assert len(crds) > 200
    assert [problem for problem in Schemas(version).check(crds).problems if INCOMPLETE not in problem] == []
