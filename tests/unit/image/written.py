# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images as a builder writes them (`dir:`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.plugin_utils import image_layout

LAYER = b"layer"


def digest(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def written(
    folder: Path,
    host: str = "3f2a",
    builder: str = "1.28.2",
    layer: bytes = LAYER,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """An image as a builder writes it, with what is its own."""
    config: dict[str, Any] = {
        "created": "1970-01-01T00:00:00Z",
        "container": host * 4,
        "container_config": {"Hostname": host},
        "config": {
            "Hostname": host,
            "User": "1000",
            "Healthcheck": {"Test": ["CMD", "/a"]},
            "Labels": {"io.buildah.version": builder, "a": "b", **(labels or {})},
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    }
    folder.mkdir()
    raw = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": image_layout.MANIFEST,
        "config": {"mediaType": "c", "digest": digest(raw), "size": len(raw)},
        "layers": [{"mediaType": "l", "digest": digest(layer), "size": len(layer)}],
    }
    for content in (raw, layer):
        (folder / digest(content).removeprefix("sha256:")).write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    return folder
