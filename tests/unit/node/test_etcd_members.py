# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic by which members of etcd are taken out, or refused."""

from __future__ import annotations

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.etcd_members import (
    Member,
    majority,
    refuse_removal,
)
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def members(*healthy: bool, learners: int = 0) -> list[Member]:
    voters = [Member(str(n), f"m{n}", (), False, alive) for n, alive in enumerate(healthy)]
    return voters + [Member(f"l{n}", f"l{n}", (), True, True) for n in range(learners)]


@pytest.mark.parametrize(("number", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_majorities(number: int, needed: int) -> None:
    assert majority(number) == needed


@pytest.mark.parametrize(
    ("healthy", "told"),
    [
        ([True, True, True], "2 members are left, of which none may fail"),
        ([False, True, True], "2 members are left, of which none may fail"),
        ([True, True], "1 members are left, of which none may fail"),
        ([False, True, True, True, False], "4 members are left, of which 1 may fail"),
    ],
)
def test_one_goes_while_the_others_are_a_majority(healthy: list[bool], told: str) -> None:
    found = members(*healthy)
    assert refuse_removal(found[0], found) == told


@pytest.mark.parametrize(
    ("healthy", "why"),
    [
        ([True], "m0 is the only member"),
        # Two of three agree, but the two that stay need each other.
        (
            [True, True, False],
            "without m0, 2 of etcd's 2 members have to be healthy, and 1 are (healthy are m1, not m2)",
        ),
        # Nobody is left who could agree.
        ([False, True, False], "2 of etcd's 3 members have to agree on taking out m0, and 1 are healthy"),
        ([False, True], "2 of etcd's 2 members have to agree on taking out m0, and 1 are healthy"),
    ],
)
def test_one_stays_while_the_others_are_none(healthy: list[bool], why: str) -> None:
    found = members(*healthy)
    with pytest.raises(Failure) as failed:
        refuse_removal(found[0], found)
    assert why in failed.value.cause


def test_a_learner_has_no_vote_and_goes_at_any_time() -> None:
    found = members(True, False, False, learners=1)
    assert refuse_removal(found[-1], found) == ""
    # Nor does it help the others.
    found = members(True, True, False, learners=1)
    with pytest.raises(Failure, match="without m0, 2 of etcd's 2"):
        refuse_removal(found[0], found)
