# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts of CPU and bytes as people and Kubernetes write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.module_utils.quantities import cpu, show_cpu, show_size, size


@pytest.mark.parametrize(
    ("amount", "bytes_"),
    [
        ("32G", 32 * 1000**3),
        ("32 GB", 32 * 1000**3),
        ("32GB", 32 * 1000**3),
        ("32Gi", 32 * 1024**3),
        ("32 GiB", 32 * 1024**3),
        (" 1.5Gi ", 3 * 1024**3 // 2),
        ("0.5Ki", 512),
        ("1k", 1000),
        ("1KB", 1000),
        ("2T", 2 * 1000**4),
        ("2Ti", 2 * 1024**4),
        ("1Pi", 1024**5),
        ("100B", 100),
        (100, 100),
        ("0", 0),
        (2.0, 2),
    ],
)
def test_size(amount, bytes_):
    assert size(amount) == bytes_


@pytest.mark.parametrize(
    "amount", ["32 Gigs", "32 gb", "32X", "Gi", "", "1,5Gi", "100m", "1e3", "32 G B", "32iB", None, [], {}]
)
def test_what_is_no_amount_of_bytes(amount):
    with pytest.raises(ValueError, match=r"is no amount of bytes: write it such as"):
        size(amount)


@pytest.mark.parametrize("amount", [0.5, "1.5", "0.1B"])
def test_a_part_of_a_byte_lacks_its_unit(amount):
    with pytest.raises(ValueError, match="is a part of a byte: name the unit"):
        size(amount)


@pytest.mark.parametrize("reader", [cpu, size])
@pytest.mark.parametrize("amount", [-1, "-1", "-32Gi", -0.5])
def test_negative_amounts(reader, amount):
    with pytest.raises(ValueError, match="is negative"):
        reader(amount)


@pytest.mark.parametrize("reader", [cpu, size])
@pytest.mark.parametrize("amount", [True, False])
def test_a_boolean_is_no_amount(reader, amount):
    with pytest.raises(ValueError, match=f"{amount} is no amount"):
        reader(amount)


@pytest.mark.parametrize(
    ("amount", "thousandths"),
    [("250m", 250), ("0.5", 500), (0.5, 500), (2, 2000), ("2", 2000), ("1.001", 1001), (0, 0)],
)
def test_cpu(amount, thousandths):
    assert cpu(amount) == thousandths


@pytest.mark.parametrize("amount", ["2 cores", "2Gi", "250 mm", "", "m", None])
def test_what_is_no_amount_of_cpu(amount):
    with pytest.raises(ValueError, match="is no amount of CPU"):
        cpu(amount)


@pytest.mark.parametrize("amount", ["0.5m", "0.0001", 0.0005])
def test_finer_than_a_thousandth_of_a_cpu(amount):
    with pytest.raises(ValueError, match="finer than a thousandth"):
        cpu(amount)


@pytest.mark.parametrize(
    ("bytes_", "shown"),
    [(0, "0"), (1023, "1023"), (1024, "1Ki"), (3 * 1024**3 // 2, "1.5Gi"), (-2 * 1024**2, "-2Mi"), (2**60, "1024Pi")],
)
def test_show_size(bytes_, shown):
    assert show_size(bytes_) == shown


@pytest.mark.parametrize(
    ("thousandths", "shown"), [(0, "0"), (250, "0.25"), (2000, "2"), (3250, "3.25"), (10000, "10")]
)
def test_show_cpu(thousandths, shown):
    assert show_cpu(thousandths) == shown


@given(st.integers(0, 2**60), st.sampled_from(["", "K", "M", "G", "T"]))
def test_the_b_and_spaces_change_nothing(number, prefix):
    assert size(f"{number}{prefix}") == size(f"{number} {prefix}B") == number * 1000 ** " KMGT".index(prefix or " ")


@given(st.integers(0, 2**62))
def test_what_is_shown_can_be_read_and_is_near(number):
    assert abs(size(show_size(number)) - number) <= number * 0.051
