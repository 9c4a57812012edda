#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry mirror for one test: serves the images of an OCI archive over HTTPS on the loopback address, read-only.

registry.py ARCHIVE PORT CERTIFICATE KEY
"""

from __future__ import annotations

import hashlib
import http.server
import json
import ssl
import sys
import tarfile


def load(path: str) -> tuple[dict[str, bytes], dict[str, str]]:
    """The blobs by digest, and the digest of each manifest by `repository:tag` without the registry."""
    with tarfile.open(path) as archive:
        files = {m.name: stream.read() for m in archive if (stream := archive.extractfile(m))}
    blobs = {f"sha256:{hashlib.sha256(c).hexdigest()}": c for name, c in files.items() if name.startswith("blobs/")}
    names = {
        manifest["annotations"]["org.opencontainers.image.ref.name"].split("/", 1)[1]: manifest["digest"]
        for manifest in json.loads(files["index.json"])["manifests"]
    }
    return blobs, names


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    blobs: dict[str, bytes] = {}
    names: dict[str, str] = {}

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        repository, kind, reference = ("/" + self.path.split("?")[0].removeprefix("/v2/")).rsplit("/", 2)
        digest = self.names.get(f"{repository[1:]}:{reference}", reference)
        body = self.blobs.get(digest)
        self.send_response(404 if body is None else 200)
        content = body or b""
        manifest = kind == "manifests"
        kind_of = "application/vnd.oci.image.manifest.v1+json" if manifest else "application/octet-stream"
        self.send_header("Content-Type", kind_of)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def main() -> None:
    archive, port, certificate, key = sys.argv[1:]
    Registry.blobs, Registry.names = load(archive)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Registry)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
