"""Erlang's formulas against his recursion and printed values."""

import numpy as np
import pytest

from swayam_proxy.core.model.erlang import (
    all_of_sample,
    busy_weights,
    erlang_b,
    erlang_c,
    source_rate_for,
)


def recursion_b(servers: int, erlangs: float) -> float:
    """Erlang's loss formula as everybody computes it."""
    loss = 1.0
    for n in range(1, servers + 1):
        loss = erlangs * loss / (n + erlangs * loss)
    return loss


@pytest.mark.parametrize(("servers", "erlangs"), [(1, 0.5), (5, 3.0), (50, 40.0), (500, 480.0), (20, 60.0)])
def test_loss_is_the_recursion(servers: int, erlangs: float) -> None:
    """The incomplete gamma function gives what the recursion gives."""
    assert erlang_b(servers, erlangs) == pytest.approx(recursion_b(servers, erlangs), rel=1e-9)


def test_delay_has_known_values() -> None:
    """C(1, a) = a; C(2, 1) = 1/3; a queue that cannot carry its load makes everybody wait."""
    assert erlang_c(1, 0.3) == pytest.approx(0.3)
    assert erlang_c(2, 1.0) == pytest.approx(1.0 / 3.0)
    assert erlang_c(3, 3.0) == 1.0
    assert erlang_c(3, 0.0) == 0.0


def test_formulas_hold_at_the_far_ends() -> None:
    """No overflow, no NaN, between 0 and 1, from a thousandth of an erlang to ten thousand."""
    for erlangs in (1e-3, 1.0, 100.0, 9_999.0):
        for servers in (1, 100, 10_000):
            assert 0.0 <= erlang_c(servers, erlangs) <= 1.0
            assert 0.0 <= erlang_b(servers, erlangs) <= 1.0


def test_bursts_make_waiting_likelier() -> None:
    """Hayward: peaked traffic waits more often than Poisson traffic of the same mean."""
    assert erlang_c(12, 9.0, 3.0) > erlang_c(12, 9.0, 1.0)


def test_busy_servers_average_to_the_load() -> None:
    """In M/M/n the mean number of busy servers is the offered load."""
    servers, erlangs = np.array([[12.0], [15.0]]), np.array([[9.0], [9.0]])
    delayed = np.array([[erlang_c(12, 9.0)], [erlang_c(15, 9.0)]])
    busy, weights = busy_weights(servers, erlangs, delayed)
    assert weights @ busy + (delayed * servers)[:, 0] == pytest.approx([9.0, 9.0], rel=1e-3)


def test_sample_without_replacement() -> None:
    """Three of five busy: both of a sample of two with probability 3/5 * 2/4; all if all are busy."""
    five = np.array([[5.0]])
    assert all_of_sample(np.array([3.0]), five, 2)[0, 0] == pytest.approx(0.3)
    assert all_of_sample(np.array([5.0]), five, 9)[0, 0] == 1.0
    assert all_of_sample(np.array([4.0]), five, 5)[0, 0] == 0.0


@pytest.mark.parametrize(("sources", "load"), [(1, 0.3), (2, 0.9), (8, 0.5), (8, 0.99), (100, 0.7)])
def test_machine_repair_is_inverted(sources: int, load: float) -> None:
    """The rate found keeps the repairman busy for the share asked for."""
    assert erlang_b(sources, source_rate_for(sources, load)) == pytest.approx(1.0 - load, rel=1e-6)
