# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's time source: answers NTP requests (RFC 5905, section 14) with the machine's clock, and never sets it.

It stands in for chronyd so that the machine needs no time daemon beside the one that it has.
"""

from __future__ import annotations

import socket
import struct
import time

# Seconds from NTP's epoch (1900) to that of Unix (1970).
EPOCH = 2208988800
# Stratum of an undisciplined local clock, precision 2^-20 s, no delay to the root, dispersion 1/100 s (in 1/65536 s).
STRATUM, PRECISION, ROOT_DELAY, ROOT_DISPERSION, REFERENCE = 10, -20, 0, 655, b"LOCL"


def stamp(now: float) -> bytes:
    """A time in seconds since 1970 as NTP's 64 bits."""
    seconds = int(now)
    return struct.pack("!II", (seconds + EPOCH) & 0xFFFFFFFF, int((now - seconds) * 2**32))


def answer(request: bytes, received: float, sent: float) -> bytes:
    """The answer to a client's request, or nothing when it is none."""
    if len(request) < 48 or request[0] & 7 != 3:
        return b""
    version = request[0] >> 3 & 7
    server = (version << 3 | 4, STRATUM, request[2], PRECISION)
    head = struct.pack("!BBBbII4s", *server, ROOT_DELAY, ROOT_DISPERSION, REFERENCE)
    return head + stamp(received) + request[40:48] + stamp(received) + stamp(sent)


def main() -> None:
    """Serve for ever. The router has one address in each zone, so an answer leaves from the one that was asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 123))  # noqa: S104
        while True:
            request, client = server.recvfrom(512)
            received = time.time()
            reply = answer(request, received, time.time())
            if reply:
                server.sendto(reply, client)


if __name__ == "__main__":
    main()
