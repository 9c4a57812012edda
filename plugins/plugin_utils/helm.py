# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm on the controller: the one in the PATH, else the catalog's, fetched once."""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
import tempfile

from ansible_collections.banking.platform.plugins.module_utils.catalog import Catalog, Source
from ansible_collections.banking.platform.plugins.module_utils.download import download_from
from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def program(catalog: Catalog, source: Source, folder: str) -> str:
    """The path of helm.

    Args:
        catalog: of the release.
        source: where artifacts come from.
        folder: where a fetched one is kept; it is made.

    Raises:
        Failure: there is none, and none can be had.
    """
    there = shutil.which("helm")
    if there:
        return there
    artifact = catalog.artifact("helm", platform.machine(), source)
    place = os.path.join(folder, f"helm-{artifact.version}-{artifact.sha256[:12]}")
    if os.path.isfile(place):
        return place
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".helm-", dir=folder) as beside:
        try:
            archive = artifact.path or os.path.join(beside, artifact.filename)
            if not artifact.path:
                download_from(artifact.urls, archive, artifact.sha256)
            elif digest_of(archive) != artifact.sha256:
                raise Failure(f"{archive} has another SHA-256 than the catalog says")
            with tarfile.open(archive) as packed:
                member = next(item for item in packed if item.isfile() and os.path.basename(item.name) == "helm")
                content = packed.extractfile(member)
                with open(os.path.join(beside, "helm"), "wb") as file:
                    shutil.copyfileobj(content, file)  # type: ignore[arg-type]
        except (Failure, OSError, tarfile.TarError, StopIteration) as error:
            cause = getattr(error, "cause", "") or str(error) or "the archive holds none"
            raise Failure(
                f"helm is not in the PATH of the controller, and {artifact.version} cannot be fetched: {cause}",
                "install helm 3, or make its address reachable, or name a mirror or a bundle (artifacts_source)",
            ) from error
        os.chmod(os.path.join(beside, "helm"), 0o755)
        os.replace(os.path.join(beside, "helm"), place)
    return place
