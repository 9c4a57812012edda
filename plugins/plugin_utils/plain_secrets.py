# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a secret stands in plain text in a playbook or an inventory.

Since ansible-core 2.19 a value knows where it comes from, and whether ansible-vault has decrypted it. What a lookup has
given, or a file that is encrypted as a whole, is not meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import Origin, VaultedValue


def plain(value: Any) -> str:
    """The place of a secret that stands there in plain text, as file and line; "" for any other value."""
    origin = Origin.get_tag(value)
    if origin is None or not origin.path or VaultedValue.is_tagged_on(value):
        return ""
    try:
        with open(origin.path, "rb") as file:
            encrypted = file.read(14) == b"$ANSIBLE_VAULT"
    except OSError:
        return ""
    line = f":{origin.line_num}" if origin.line_num else ""
    return "" if encrypted else f"{Path(origin.path).name}{line}"


def plain_fields(things: Any, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and place of each field of these names, at any depth, that is in plain text.

    A mapping of such a name holds nothing but secrets: each text in it is named, as in `secrets.password`.
    """
    wanted = frozenset(names)
    if isinstance(things, Mapping):
        for name, value in things.items():
            place = plain(value) if name in wanted and isinstance(value, str) else ""
            if place:
                yield str(name), place
            elif name in wanted and isinstance(value, Mapping):
                yield from ((f"{name}.{field}", where) for field, where in plain_fields(value, value))
            else:
                yield from plain_fields(value, wanted)
    elif isinstance(things, (list, tuple)):
        for one in things:
            yield from plain_fields(one, wanted)
