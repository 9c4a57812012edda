# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads that are resumed and checked. Nodes and the controller use it: Python 3.8, standard library only."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from typing import Any, Iterable

from ansible_collections.banking.platform.plugins.module_utils.node.files import digest_of
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_TIMEOUT = 30
_TRIES = 3
_PIECE = 1 << 20
_MOST = 64 << 20  # bytes of a text that is kept in memory


class _Lost(Exception):
    """The server or the way there failed; trouble with the disk stays an OSError."""

    def __init__(self, error: Exception) -> None:
        cause = str(getattr(error, "reason", "") or error) or type(error).__name__
        self.code = error.code if isinstance(error, urllib.error.HTTPError) else 0
        super().__init__(f"HTTP {self.code} {cause}" if self.code else cause)


def download(url: str, path: str, sha256: str = "") -> None:
    """Download a file and check it; what an earlier try left at `<path>.part` is gone on with.

    Args:
        url: where from; http, https or file.
        path: where to; it appears only when it is whole and right.
        sha256: what it must be, in hexadecimal. Without one nothing is gone on with: it might be of another file.

    Raises:
        Failure: with the last cause, after some tries.
        OSError: when it cannot be written.
    """
    if sha256 and os.path.exists(path) and digest_of(path) == sha256:
        return
    part = f"{path}.part"
    if not sha256 and os.path.exists(part):
        os.unlink(part)
    cause = ""
    for _try in range(_TRIES):
        resumed = os.path.exists(part)
        try:
            complete = _continue(url, part, resume=bool(sha256))
        except _Lost as lost:
            cause = str(lost)
            if lost.code == 416:
                os.unlink(part)
            elif 0 < lost.code < 500:
                break
            continue
        if not complete:
            cause = f"the download ended early, after {os.path.getsize(part)} bytes"
            continue
        digest = digest_of(part)
        if sha256 in ("", digest):
            os.rename(part, path)
            return
        cause = f"SHA-256 is {digest}, the catalog says {sha256}"
        os.unlink(part)
        if not resumed:
            break
    raise Failure(cause)


def download_from(urls: Iterable[str], path: str, sha256: str = "") -> str:
    """Download a file from the first of some addresses that has it, and return that address.

    Raises:
        Failure: with the cause at each address.
        OSError: when it cannot be written.
    """
    troubles = []
    for url in urls:
        try:
            download(url, path, sha256)
            return url
        except Failure as failure:
            troubles.append(f"{url}: {failure.cause}")
    raise Failure("; ".join(troubles) or "no address is known")


def read_text(url: str) -> str:
    """Fetch a text of moderate size. Raises Failure."""
    try:
        with _open(url, {}) as answer:
            content: bytes = answer.read(_MOST + 1)
            expected = answer.headers.get("Content-Length")
        if len(content) > _MOST or (expected is not None and len(content) < int(expected)):
            raise Failure(f"{url}: {len(content)} bytes came: cut off, or too much for a text")
        return content.decode("utf-8")
    except (_Lost, OSError, ValueError, http.client.HTTPException) as error:
        raise Failure(f"{url}: {error}") from error


def _open(url: str, headers: Any) -> Any:
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "banking.platform", **headers})
        return urllib.request.build_opener().open(request, timeout=_TIMEOUT)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _Lost(error) from error


def _continue(url: str, part: str, resume: bool) -> bool:
    """Fetch what is missing of a file. Returns whether the server sent as much as it had said."""
    have = os.path.getsize(part) if resume and os.path.exists(part) else 0
    with _open(url, {"Range": f"bytes={have}-"} if have else {}) as answer:
        resumed = have and getattr(answer, "status", None) == 206
        expected = answer.headers.get("Content-Length")
        received = 0
        with open(part, "ab" if resumed else "wb") as file:
            while True:
                try:
                    piece = answer.read(_PIECE)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    raise _Lost(error) from error
                if not piece:
                    break
                file.write(piece)
                received += len(piece)
    return expected is None or received >= int(expected)
