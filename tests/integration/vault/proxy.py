# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small proxy on loopback in front of a real server, which answers 500 when it is told to."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

from ansible_collections.banking.platform.tests.integration.vault.server import Server


class Proxy:
    """Passes requests on to a server, but for those that fail.

    Args:
        server: the server.
        fail: says by method and path whether a request is answered with 500, without the server's knowing.
    """

    def __init__(self, server: Server, fail: Callable[[str, str], bool]) -> None:
        pool = urllib3.PoolManager(ca_certs=str(server.ca), maxsize=8)
        self.seen: list[tuple[str, str]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: Any) -> None:
                """Nothing: the tests' output is not for it."""

            def answer(self) -> None:
                """Pass one request on."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                seen.append((self.command, path))
                if fail(self.command, path):
                    status, said, kind = 500, b'{"errors":["proxy says no"]}', "application/json"
                else:
                    kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                    reply = pool.request(self.command, server.url + self.path, body=body, headers=kept, redirect=False)
                    status, said, kind = reply.status, reply.data, reply.headers.get("Content-Type", "text/plain")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(server.folder / "server.pem", server.folder / "server.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
