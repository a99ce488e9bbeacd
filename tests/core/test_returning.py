"""Loads that come back, and those that do not."""

import pytest

from swayam_proxy.core.returning import HABIT_S, KEPT_S, ReturnMemory


def _kept(memory: ReturnMemory, begin: float, load_per_s: float, lasting_s: int) -> float:
    kept = 0.0
    for second in range(lasting_s):
        kept = memory.saw(begin + second, load_per_s)
    return kept


def test_one_spike_is_not_kept() -> None:
    """A load that rose once and fell once is over: nothing is paid for it."""
    memory = ReturnMemory(0.0)
    assert _kept(memory, 0.0, 10.0, 300) == 0.0
    assert _kept(memory, 300.0, 40.0, 300) == 0.0
    assert _kept(memory, 600.0, 10.0, 600) == 0.0


def _after_returns(count: int) -> tuple[ReturnMemory, float]:
    memory, at = ReturnMemory(0.0), 0.0
    for _ in range(count + 1):
        _kept(memory, at, 40.0, 120)
        _kept(memory, at + 120.0, 10.0, 240)
        at += 360.0
    return memory, at


def test_two_returns_make_a_habit_and_the_load_fades_from_there() -> None:
    """After one return nothing is kept; after two the load of before is, less what has faded since."""
    memory, at = _after_returns(1)
    assert memory.saw(at, 10.0) == 0.0
    memory, at = _after_returns(2)
    assert memory.saw(at, 10.0) == pytest.approx(40.0 * 2.718281828 ** (-240.0 / KEPT_S), rel=0.01)


def test_silence_keeps_nothing() -> None:
    """Whatever the habit: who sends nothing pays for nothing, from the same tick on."""
    memory, at = _after_returns(3)
    assert memory.saw(at, 10.0) > 0.0
    assert memory.saw(at + 1.0, 0.0) == 0.0


def test_a_habit_is_forgotten() -> None:
    """Hours of a steady load later a dip is a dip."""
    memory, at = _after_returns(2)
    _kept(memory, at, 40.0, int(2 * HABIT_S))
    assert memory.saw(at + 2 * HABIT_S, 10.0) == 0.0


def test_noise_is_no_return() -> None:
    """A load that wavers by a tenth never counts as coming back."""
    memory = ReturnMemory(0.0)
    for second in range(3_000):
        assert memory.saw(float(second), 40.0 if second % 200 < 100 else 36.0) == 0.0
