# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that a project releases as one file: artifacts of the catalog, fetched once and held to their digest."""

from __future__ import annotations

import os

from ansible_collections.banking.platform.plugins.module_utils.catalog import Artifact
from ansible_collections.banking.platform.plugins.module_utils.download import download_from
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.charts import NotAvailable
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest

ARCH = "any"  # manifests are the same everywhere


def load(artifact: Artifact, folder: str) -> list[Manifest]:
    """The objects of a released file.

    Args:
        artifact: of the catalog, of the kind `manifest`.
        folder: where fetched files are kept; it is made.

    Raises:
        NotAvailable: it is nowhere.
        Failure: it is not the one that the catalog names, or no manifests.
    """
    path = artifact.path or os.path.join(folder, f"{artifact.name}-{artifact.version}.yaml")
    if not os.path.isfile(path):
        if artifact.path:
            raise NotAvailable(f"{artifact.name}: the bundle has no {artifact.path}", "make the bundle again")
        os.makedirs(folder, exist_ok=True)
        try:
            download_from(artifact.urls, path, artifact.sha256)
        except Failure as failure:
            raise NotAvailable(
                f"{artifact.name} {artifact.version}: {failure.cause}",
                "make its address reachable, name a mirror or a bundle (artifacts_source), or set "
                "platform_charts: external",
            ) from failure
    digest = digest_of(path)
    if digest != artifact.sha256:
        raise Failure(
            f"{artifact.name} {artifact.version}: {path} has SHA-256 {digest}, the catalog says {artifact.sha256}",
            "remove the file; if it comes again, its address serves another file than the catalog's",
        )
    with open(path, encoding="utf-8") as file:
        return manifests.load(file.read(), f"{artifact.name}-{artifact.version}")
