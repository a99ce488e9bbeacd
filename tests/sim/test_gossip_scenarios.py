"""Gossip in virtual time: the promises for 8 and 64 members, a bounded part of what was evaluated."""

import pytest

from swayam_proxy.sim.gossip_scenarios import (
    Outcome,
    calm,
    crash,
    join,
    mass_restart,
    one_way,
    pauses,
    rolling_restart,
    split,
)

CRASH_S = {0.0: 2.0, 0.1: 2.0, 0.3: 3.0}
"""By loss: within this time a crash is counted by all, at 8 and at 64 members."""
JOIN_S = {8: 0.6, 64: 0.8}


def _nothing_wrong(outcome: Outcome) -> None:
    assert outcome.missed == []
    assert all(wrong_s <= 2.0 for wrong_s in outcome.wrong_s), f"seed {outcome.seed}"


@pytest.mark.parametrize(("members_count", "loss"), [(8, 0.0), (8, 0.1), (8, 0.3), (64, 0.1)])
def test_crashes_and_joins_are_counted_in_time(members_count: int, loss: float) -> None:
    """Nine of ten within the bound, all within twice of it, and nobody is wrongly missing for long.

    The rest of the matrix is played by `scripts/evaluate-gossip matrix`.
    """
    crashes = crash(members_count, loss, seed=3, events_count=3)
    joins = join(members_count, loss, seed=3, events_count=3)
    for outcome, found_s, bound_s in (
        (crashes, crashes.crash_s, CRASH_S[loss]),
        (joins, joins.join_s, JOIN_S[members_count]),
    ):
        _nothing_wrong(outcome)
        assert found_s
        assert sorted(found_s)[int(0.9 * (len(found_s) - 1))] <= bound_s
        assert max(found_s) <= 2.0 * bound_s


@pytest.mark.parametrize("scenario", [mass_restart, rolling_restart, split, one_way, pauses])
def test_views_converge_after_every_disturbance(scenario: object) -> None:
    """Restarts, a split, a link that works one way, pauses: all count the living again."""
    _nothing_wrong(scenario(8, 0.1, seed=5))  # type: ignore[operator]


def test_equal_seeds_give_equal_runs() -> None:
    """Chance is handed in, so that any run can be looked at again."""
    assert crash(8, 0.3, seed=7) == crash(8, 0.3, seed=7)


def test_traffic_of_a_member_does_not_grow_with_the_members() -> None:
    """Four times the members cost each of them hardly more datagrams."""
    few, many = calm(8, 0.0, seed=1, for_s=8.0), calm(32, 0.0, seed=1, for_s=8.0)
    assert many.datagrams_per_s < 1.2 * few.datagrams_per_s
