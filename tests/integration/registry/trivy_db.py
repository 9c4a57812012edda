# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database for Trivy with one vulnerability in it: Trivy's own is out of reach of tests.

It is a file of bbolt (page.go, meta.go in https://github.com/etcd-io/bbolt/blob/v1.4.3/internal/common) with buckets
of https://github.com/aquasecurity/trivy-db.
"""

from __future__ import annotations

import datetime
import json
import struct
from pathlib import Path
from typing import Any

PAGE = 4096
LEAF, META, FREELIST = 0x02, 0x04, 0x10
SOURCE = "pip::GitHub Security Advisory pip"
PACKAGE, VULNERABLE, FIXED, CVE = "ledger-client", "1.0.0", "2.0.0", "CVE-2026-99999"


def write(folder: Path, updated: datetime.datetime) -> None:
    """Write the database as Trivy keeps it in its cache, put together at some time."""
    (folder / "db").mkdir(parents=True)
    advisory = {"VulnerableVersions": [f"<{FIXED}"], "PatchedVersions": [FIXED]}
    detail = {"Title": "Accepts any token", "Severity": "CRITICAL", "VendorSeverity": {"ghsa": 4}}
    source = {"ID": "ghsa", "Name": "GitHub Security Advisory pip", "URL": "https://example.org"}
    buckets = {
        SOURCE: {PACKAGE: {CVE: json.dumps(advisory)}},
        "data-source": {SOURCE: json.dumps(source)},
        "vulnerability": {CVE: json.dumps(detail)},
    }
    (folder / "db" / "trivy.db").write_bytes(_bolt(buckets))
    times = dict.fromkeys(("UpdatedAt", "DownloadedAt"), f"{updated:%Y-%m-%dT%H:%M:%SZ}")
    later = {"NextUpdate": f"{updated + datetime.timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}
    (folder / "db" / "metadata.json").write_text(json.dumps({"Version": 2, **times, **later}))


def _bolt(buckets: dict[str, Any]) -> bytes:
    pages: list[bytes] = []

    def bucket(content: dict[str, Any]) -> int:
        items = []
        for key, value in sorted(content.items()):
            inner = isinstance(value, dict)
            items.append((int(inner), key.encode(), struct.pack("<QQ", bucket(value), 0) if inner else value.encode()))
        elements, data = b"", b""
        for position, (flag, name, body) in enumerate(items):
            offset = (len(items) - position) * 16 + len(data)
            elements += struct.pack("<IIII", flag, offset, len(name), len(body))
            data += name + body
        number = len(pages) + 3  # two pages of meta data and the list of free pages come first
        page = struct.pack("<QHHI", number, LEAF, len(items), 0) + elements + data
        assert len(page) <= PAGE
        pages.append(page.ljust(PAGE, b"\0"))
        return number

    root = bucket(buckets)
    head = b""
    for number in (0, 1):
        meta = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, root, 0, 2, len(pages) + 3, number)
        page = struct.pack("<QHHI", number, META, 0, 0) + meta + struct.pack("<Q", _fnv(meta))
        head += page.ljust(PAGE, b"\0")
    return head + struct.pack("<QHHI", 2, FREELIST, 0, 0).ljust(PAGE, b"\0") + b"".join(pages)


def _fnv(content: bytes) -> int:
    found = 0xCBF29CE484222325
    for byte in content:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return found
