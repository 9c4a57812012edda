# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands behind the load balancer in place of an API server: TLS on 6443, `/readyz`, its name on other paths.

Usage: api_server.py <name> <certificate> <key> <file that makes /readyz answer 500 while it exists>
"""

from __future__ import annotations

import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, as the API server does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the server's name, or with its readiness."""
        ready = not os.path.exists(sys.argv[4])
        body = ((("ok" if ready else "not ready") if self.path == "/readyz" else sys.argv[1]) + "\n").encode()
        self.send_response(200 if ready or self.path != "/readyz" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing: there is a check every second."""


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = ThreadingHTTPServer(("0.0.0.0", 6443), Handler)
    # The handshake is the connection's own thread's business: an accept must never wait for a client.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
