# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle's bill of materials, as CycloneDX 1.6."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.registries import repository_of


def render(release: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """The bill of materials of a bundle's files, as JSON; equal files give equal text.

    Args:
        release: of the platform.
        files: by path, with kind, name, version, component, licence, sha256 and what else the index has of them.

    Raises:
        Failure: the library that writes it is not installed.
    """
    # Imported here, so that the rest of the collection does without the library.
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
    except ImportError as error:
        raise Failure(f"cannot write the bill of materials: {error}", "install cyclonedx-python-lib") from error

    whole = Component(name="banking.platform bundle", version=release, type=ComponentType.PLATFORM, bom_ref="bundle")
    parts = [_component(path, file) for path, file in files.items()]
    bom = Bom(components=parts, metadata=BomMetaData(component=whole))
    bom.register_dependency(whole, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    # The same files are the same bill: nothing in it may depend on when it was written.
    document["metadata"].pop("timestamp", None)
    document.pop("serialNumber", None)
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _component(path: str, file: Mapping[str, Any]) -> Any:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType

    licence = file.get("licence")
    url = file.get("url") or file.get("repository")
    references = [ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(url))] if url else []
    return Component(
        type=ComponentType.CONTAINER if file["kind"] == "image" else ComponentType.APPLICATION,
        bom_ref=path,
        name=file["component"] if file["kind"] == "image" else file["name"],
        version=file["version"],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file["sha256"])],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        purl=_purl(file),
        external_references=references,
        properties=[
            Property(name="banking.platform:component", value=file["component"]),
            Property(name="banking.platform:path", value=path),
        ],
    )


def _purl(file: Mapping[str, Any]) -> Any:
    from packageurl import PackageURL

    if file["kind"] == "image":
        repository = repository_of(file["name"])
        qualifiers = {"repository_url": repository, "arch": ",".join(file["architectures"])}
        tag = file["name"].removeprefix(f"{repository}:")
        if tag != file["name"]:
            qualifiers["tag"] = tag
        return PackageURL("oci", None, repository.rsplit("/", 1)[-1], file["digest"], qualifiers)
    if file["kind"] == "chart":
        return PackageURL("helm", None, file["name"], file["version"], {"repository_url": file["repository"]})
    qualifiers = {"checksum": f"sha256:{file['sha256']}", "download_url": file["url"], "arch": file["arch"]}
    return PackageURL("generic", None, file["name"], file["version"], qualifiers)
