# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts of CPU and bytes as people and Kubernetes write them.

Source of the notation: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Union

Amount = Union[int, float, str]

_DECIMAL = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_NUMBER = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[A-Za-z]*)")


def cpu(amount: Amount) -> int:
    """Thousandths of a CPU: `250m` is 250, `2` and `2.0` are 2000.

    Raises:
        ValueError: when it is not an amount of CPU.
    """
    number, unit = _split(amount, "CPU", "such as 250m, 0.5 or 2")
    if unit not in ("", "m"):
        raise ValueError(f"{amount!r} is no amount of CPU: write it such as 250m, 0.5 or 2")
    thousandths = number * (1 if unit == "m" else 1000)
    if thousandths != int(thousandths):
        raise ValueError(f"{amount!r} is finer than a thousandth of a CPU: round it to such as 1m")
    return int(thousandths)


def size(amount: Amount) -> int:
    """Bytes: `32Gi` and `32GiB` are binary, `32G` and `32 GB` decimal, a number alone is bytes.

    Raises:
        ValueError: when it is not an amount of bytes.
    """
    number, unit = _split(amount, "bytes", "such as 512Mi, 32Gi or 32GB")
    base = unit[:-1] if unit.endswith("B") and unit != "B" else "" if unit == "B" else unit
    prefix, binary = (base[:-1], True) if base.endswith("i") else (base, False)
    prefix = "K" if prefix == "k" else prefix
    if prefix not in _DECIMAL or (binary and not prefix):
        raise ValueError(f"{amount!r} is no amount of bytes: write it such as 512Mi, 32Gi or 32GB")
    if not prefix and number != int(number):
        raise ValueError(f"{amount!r} is a part of a byte: name the unit, such as 512Mi, 32Gi or 32GB")
    return int(number * (1024 if binary else 1000) ** _DECIMAL[prefix])


def show_cpu(thousandths: int) -> str:
    """CPUs for a reader: `3.25`."""
    return f"{thousandths / 1000:.2f}".rstrip("0").rstrip(".")


def show_size(count: int) -> str:
    """Bytes for a reader, in the largest binary unit that leaves at least one: `1.5Gi`."""
    amount, sign = abs(count), "-" if count < 0 else ""
    for power, unit in ((5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if amount >= 1024**power:
            return sign + f"{amount / 1024**power:.1f}".removesuffix(".0") + unit
    return f"{sign}{amount}"


def _split(amount: Amount, what: str, example: str) -> "tuple[Decimal, str]":
    if isinstance(amount, bool) or not isinstance(amount, (int, float, str)):
        raise ValueError(f"{amount!r} is no amount of {what}: write it {example}")
    text = str(amount).strip()
    if text.startswith("-"):
        raise ValueError(f"{amount!r} is negative: write it {example}")
    match = _NUMBER.fullmatch(text)
    if not match:
        raise ValueError(f"{amount!r} is no amount of {what}: write it {example}")
    return Decimal(match["number"]), match["unit"]
