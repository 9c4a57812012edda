# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL itself in three zones, with what the role renders: zones are cut off under clients that write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tests.integration.postgresql.conftest import SIZES
from ansible_collections.banking.platform.tests.integration.postgresql.zones import ZONES, Operator, Writer, Zones
from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Report = Callable[[str, object], None]
Start = Callable[..., Zones]
MEMORY = {"postgresql_memory": "1Gi", **SIZES}


@pytest.fixture
def start(rendered: Callable[..., Rendered], folder: Path) -> Iterator[Start]:
    """Start what the role renders for a release."""
    started = []

    def make(release: str = "2026.2", asynchronous: bool = False) -> Zones:
        zones = Zones(folder, rendered("postgresql", release, **MEMORY).objects, asynchronous)
        started.append(zones)
        zones.up()
        return zones

    yield make
    for zones in started:
        zones.down()


def writers(zones: Zones) -> dict[str, Writer]:
    """One in each zone, that have all written something."""
    made = {zone: Writer(zones, zone) for zone in ZONES}
    for writer in made.values():
        writer.start()
    zones.until(lambda: all(len(writer.acknowledged) > 50 for writer in made.values()), "the first writes")
    return made


def end(made: dict[str, Writer]) -> None:
    for writer in made.values():
        writer.end()


def lost(made: dict[str, Writer], there: set[tuple[str, int]]) -> dict[str, int]:
    """How many acknowledged rows of each are gone."""
    return {zone: len(writer.lost(there)) for zone, writer in made.items()}


def told_late(made: dict[str, Writer], cut: float) -> list[str]:
    """Who was acknowledged something that cannot have been on its way when a zone was cut off."""
    return [zone for zone, writer in made.items() if any(when > 1 for when in writer.after(cut))]


def told(made: dict[str, Writer], gone: dict[str, int], since: float) -> str:
    count = sum(len(writer.acknowledged) for writer in made.values())
    waits = ", ".join(f"{zone} {writer.silence(since):.1f} s" for zone, writer in made.items() if writer.after(since))
    return f"{count} acknowledged, {sum(gone.values())} lost; silent: {waits}"


def written_again(zones: Zones, made: dict[str, Writer], since: float, *where: str) -> None:
    """Wait until writers are acknowledged again, some time after a moment."""
    for zone in where:
        zones.until(lambda one=made[zone]: len(one.after(since)) > 50, f"writes in {zone}")  # type: ignore[misc]


@pytest.mark.parametrize("release", RELEASES)
def test_the_zone_of_the_primary_is_cut_off(start: Start, release: str, record_property: Report) -> None:
    zones = start(release)
    operator = Operator(zones)
    old = operator.primary
    made = writers(zones)
    cut = time.monotonic()
    zones.cut(old.zone)
    # Long enough for whoever still reaches the old primary to be told something by it.
    zones.until(lambda: not operator.answers(old), "the operator to notice")
    new = operator.fail_over()
    promoted = time.monotonic() - cut
    assert new
    assert new is not old
    written_again(zones, made, cut + promoted, "zone-b", "zone-c")
    # It still runs, and its own zone's clients reach it: it has no standby, and acknowledges nothing.
    assert old.running
    assert old.ask("SELECT pg_is_in_recovery()") == "f"
    assert old.zone not in told_late(made, cut)
    end(made)
    gone = lost(made, new.there())
    words = f"{told(made, gone, cut)}; promoted after {promoted:.1f} s"
    record_property("zone of the primary", words)
    print(words)
    assert set(gone.values()) == {0}

    zones.heal(old.zone)
    operator.bring_back(old)
    assert old.ask("SELECT pg_is_in_recovery()") == "t"
    # Rows that it had and never acknowledged are gone from it, and what was written since is there.
    again = writers(zones)
    end(again)
    zones.until(lambda: len({one.rows() for one in zones.instances}) == 1, "all to have the same rows")
    for instance in zones.instances:
        assert set(lost({**made}, instance.there()).values()) == {0}
        assert set(lost(again, instance.there()).values()) == {0}


def test_without_synchronous_standbys_acknowledged_rows_are_lost(start: Start, record_property: Report) -> None:
    """What the setting is for: nothing else differs from the test above."""
    zones = start(asynchronous=True)
    operator = Operator(zones)
    old = operator.primary
    made = writers(zones)
    cut = time.monotonic()
    zones.cut(old.zone)
    zones.until(lambda: not operator.answers(old), "the operator to notice")
    new = operator.fail_over()
    assert new
    written_again(zones, made, time.monotonic(), "zone-b", "zone-c")
    end(made)
    gone = lost(made, new.there())
    record_property("asynchronous", told(made, gone, cut))
    print(told(made, gone, cut))
    assert gone[old.zone] > 0


def test_the_zone_of_a_standby_is_cut_off_and_the_other_acknowledges(start: Start, record_property: Report) -> None:
    zones = start()
    operator = Operator(zones)
    made = writers(zones)
    cut = time.monotonic()
    zones.cut("zone-b")
    time.sleep(8)  # longer than the primary takes to give up on it
    written_again(zones, made, time.monotonic(), "zone-a", "zone-c")
    assert operator.fail_over() is operator.primary
    assert operator.primary.standbys() == ["postgres-cluster-3"]
    zones.heal("zone-b")
    written_again(zones, made, time.monotonic(), *ZONES)
    end(made)
    gone = lost(made, operator.primary.there())
    record_property("zone of a standby", told(made, gone, cut))
    print(told(made, gone, cut))
    assert set(gone.values()) == {0}
    zones.until(lambda: len({one.rows() for one in zones.instances}) == 1, "all to have the same rows")


def test_with_both_standbys_away_commits_wait_and_are_not_acknowledged(start: Start, record_property: Report) -> None:
    zones = start()
    primary = Operator(zones).primary
    made = writers(zones)
    cut = time.monotonic()
    zones.cut("zone-b")
    zones.cut("zone-c")
    time.sleep(10)
    # A moment after the cut, what was on its way arrives.
    assert told_late(made, cut) == []
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    assert int(primary.ask(waiting)) > 0
    zones.heal("zone-b")
    written_again(zones, made, time.monotonic(), "zone-a", "zone-b")
    zones.heal("zone-c")
    written_again(zones, made, time.monotonic(), *ZONES)
    end(made)
    gone = lost(made, primary.there())
    record_property("both standbys", told(made, gone, cut))
    print(told(made, gone, cut))
    assert set(gone.values()) == {0}


def test_nobody_is_promoted_who_may_lack_what_was_acknowledged(start: Start) -> None:
    """The primary's zone and a standby's: the one that is left may be the one that no commit waited for."""
    zones = start()
    operator = Operator(zones)
    made = writers(zones)
    cut = time.monotonic()
    zones.cut("zone-a")
    zones.cut("zone-b")
    zones.until(lambda: not operator.answers(zones.instance("zone-a")), "the operator to notice")
    assert operator.fail_over() is None
    time.sleep(3)
    assert told_late(made, cut) == []
    zones.heal("zone-a")
    zones.heal("zone-b")
    assert operator.fail_over() is zones.instance("zone-a")
    written_again(zones, made, time.monotonic(), *ZONES)
    end(made)
    assert set(lost(made, operator.primary.there()).values()) == {0}
