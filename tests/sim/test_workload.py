"""Arrivals and execution times as arrays."""

import numpy as np
import pytest

from swayam_proxy.sim.workload import (
    EmpiricalLaw,
    LogNormalLaw,
    Workload,
    WorkloadError,
    arrivals_from_counts,
    arrivals_from_rates,
    workload_from_rates,
)


def rng() -> np.random.Generator:
    """The same stream for every test."""
    return np.random.default_rng(11)


def test_log_normal_has_the_mean_and_cv_it_was_given() -> None:
    """Mean and cv are those of the times themselves, not of their logarithms."""
    times = LogNormalLaw(0.25, 0.5).draw(rng(), 400_000)
    assert times.mean() == pytest.approx(0.25, rel=0.005)
    assert times.std() / times.mean() == pytest.approx(0.5, rel=0.02)


def test_empirical_times_are_those_measured() -> None:
    """Only samples are drawn, each as often as any other."""
    law = EmpiricalLaw(np.array([0.1, 0.2, 0.4]))
    values, counts = np.unique(law.draw(rng(), 30_000), return_counts=True)
    assert values.tolist() == [0.1, 0.2, 0.4]
    assert counts.min() > 9_500


def test_counts_are_kept_to_the_request() -> None:
    """Every bin holds exactly its count, in ascending order, spread evenly below the bin."""
    counts = np.array([0, 500, 3, 0, 2000])
    arrivals = arrivals_from_counts(counts, 60.0, rng())
    assert np.bincount((arrivals // 60.0).astype(int), minlength=5).tolist() == counts.tolist()
    assert (np.diff(arrivals) >= 0).all()
    assert (arrivals[-2000:] - 240.0).mean() == pytest.approx(30.0, abs=1.0)


def test_rates_give_poisson_counts() -> None:
    """Variance over mean of the counts per second is 1 at a constant rate."""
    arrivals = arrivals_from_rates(np.full(20_000, 30.0), 1.0, rng())
    counts = np.bincount(arrivals.astype(int))
    assert counts.mean() == pytest.approx(30.0, rel=0.01)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.05)


def test_a_cut_counts_time_from_its_start() -> None:
    """The part between two times is a workload of its own."""
    whole = workload_from_rates("x", np.full(100, 20.0), 1.0, LogNormalLaw(0.1), rng())
    part = whole.cut(20.0, 50.0)
    assert part.duration_s == 30.0
    assert part.arrivals_s[0] >= 0.0
    assert part.arrivals_s[-1] < 30.0
    assert part.requests_count == int(((whole.arrivals_s >= 20.0) & (whole.arrivals_s < 50.0)).sum())


def test_nonsense_is_refused() -> None:
    """Impossible laws, cuts and sizes raise errors that say what is wrong."""
    for mean_s, cv in ((0.0, 0.2), (-1.0, 0.2), (float("nan"), 0.2), (0.1, -1.0)):
        with pytest.raises(WorkloadError, match="execution time mean"):
            LogNormalLaw(mean_s, cv)
    with pytest.raises(WorkloadError, match="samples"):
        EmpiricalLaw(np.array([0.1, np.nan]))
    with pytest.raises(WorkloadError, match="more than"):
        arrivals_from_counts(np.array([10**9]), 1.0, rng())
    empty = Workload("x", np.array([]), np.array([]), 10.0, 0.1)
    with pytest.raises(WorkloadError, match="cut"):
        empty.cut(5.0, 5.0)
