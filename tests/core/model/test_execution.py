"""Execution times: streaming, fading, merging, and the fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.execution import (
    ExecutionStatistics,
    ExecutionSummary,
    fit,
    merge,
)


def seen(times: np.ndarray, now: float = 0.0, **given: float) -> ExecutionSummary:
    """Statistics of executions that all ended at once."""
    statistics = ExecutionStatistics(**given)
    for time in times.tolist():
        statistics.observe(time, now)
    return statistics.summary(now)


def log_normal(mean_s: float, cv: float, count: int, seed: int = 1) -> np.ndarray:
    """Log-normal executions."""
    sigma = np.sqrt(np.log1p(cv * cv))
    return np.random.default_rng(seed).lognormal(np.log(mean_s) - sigma**2 / 2.0, sigma, count)


def test_nothing_seen_is_the_expectation() -> None:
    """Without samples the configured expectation is used as it is, without caution."""
    found = fit(ExecutionSummary(), 0.05, 0.3)
    assert (found.mean_s, found.cv, found.samples_count) == (0.05, 0.3, 0.0)
    assert found.distribution.mean_s == pytest.approx(0.05)


def test_one_sample_moves_little_and_breaks_nothing() -> None:
    """One execution ten times as long as expected is one sample among six."""
    found = fit(seen(np.array([0.5])), 0.05, 0.3)
    assert 0.05 < found.mean_s < 0.12
    assert found.samples_count == pytest.approx(1.0)


def test_many_samples_replace_the_expectation() -> None:
    """After thousands of executions a wrong expectation is forgotten."""
    found = fit(seen(log_normal(0.2, 0.5, 5_000)), 0.05, 0.1)
    assert found.mean_s == pytest.approx(0.2, rel=0.03)
    assert found.cv == pytest.approx(0.5, rel=0.06)
    assert not found.empirical
    assert found.ks < 0.02
    assert abs(found.tail_error) < 0.1


def test_caution_fades_with_samples() -> None:
    """Queues are computed with longer, wider executions than the estimate, less so the more are known."""
    few, many = (fit(seen(log_normal(0.05, 0.5, count)), 0.05, 0.5) for count in (50, 5_000))
    for found in (few, many):
        assert found.distribution.mean_s > found.mean_s
        assert found.distribution.quantile(0.99) > 0.0
    excess_few = few.distribution.mean_s / few.mean_s
    excess_many = many.distribution.mean_s / many.mean_s
    assert 1.02 < excess_few < 1.15
    assert 1.0 < excess_many < 1.02


def test_streaming_is_the_batch() -> None:
    """Summaries asked for in between change nothing, as long as no time passes."""
    times = log_normal(0.05, 0.3, 3_000)
    statistics = ExecutionStatistics(keep_samples=1e9)
    for position, time in enumerate(times.tolist()):
        statistics.observe(time, 5.0)
        if position % 700 == 0:
            statistics.summary(5.0)
    pieces, whole = statistics.summary(5.0), seen(times, 5.0, keep_samples=1e9)
    assert pieces.weight == whole.weight == 3_000
    assert pieces.log_sum == pytest.approx(whole.log_sum)
    assert pieces.counts == pytest.approx(whole.counts)


def test_old_samples_fade_while_new_ones_come() -> None:
    """A service that becomes twice as slow is known to be so after a few half-lives."""
    statistics = ExecutionStatistics(half_life_s=60.0, keep_samples=100.0)
    fast, slow = log_normal(0.05, 0.3, 20_000), log_normal(0.1, 0.3, 20_000, seed=2)
    for position, time in enumerate(np.concatenate((fast, slow)).tolist()):
        statistics.observe(time, position / 50.0)
        if position % 50 == 0:
            statistics.summary(position / 50.0)
    assert fit(statistics.summary(800.0), 0.05, 0.3).mean_s == pytest.approx(0.1, rel=0.05)


def test_silence_forgets_nothing_below_the_floor() -> None:
    """After a day without a request the last few hundred executions still count."""
    statistics = ExecutionStatistics(half_life_s=60.0, keep_samples=400.0)
    for time in log_normal(0.2, 0.3, 5_000).tolist():
        statistics.observe(time, 0.0)
    statistics.summary(1.0)
    late = statistics.summary(86_400.0)
    assert late.weight == pytest.approx(400.0, rel=0.01)
    assert fit(late, 0.05, 0.3).mean_s == pytest.approx(0.2, rel=0.05)


def test_sums_of_frontends_are_those_of_all_samples() -> None:
    """Merging what three frontends know gives what one that saw everything knows."""
    times = log_normal(0.05, 0.8, 3_000)
    parts = [seen(times[k::3], keep_samples=1e9) for k in range(3)]
    whole = seen(times, keep_samples=1e9)
    merged = merge(parts)
    assert merged.weight == pytest.approx(whole.weight)
    assert merged.log_square_sum == pytest.approx(whole.log_square_sum)
    assert merged.first == whole.first
    assert merged.counts == pytest.approx(whole.counts)
    assert fit(merged, 1.0, 1.0).mean_s == pytest.approx(fit(whole, 1.0, 1.0).mean_s)


def test_merging_nothing_is_nothing() -> None:
    """No frontends, or silent ones."""
    assert merge([]) == ExecutionSummary()
    assert merge([ExecutionSummary(), ExecutionSummary()]) == ExecutionSummary()


def test_cut_off_executions_count_as_at_least_so_long() -> None:
    """A fit that knows of those cut off at 80 ms finds the tail that a fit of the others alone misses."""
    times = log_normal(0.05, 0.6, 8_000)
    statistics, hopeful = ExecutionStatistics(keep_samples=1e9), ExecutionStatistics(keep_samples=1e9)
    for time in times.tolist():
        if time < 0.08:
            statistics.observe(time, 0.0)
            hopeful.observe(time, 0.0)
        else:
            statistics.observe_at_least(0.08, 0.0)
    found = fit(statistics.summary(0.0), 0.05, 0.3)
    assert found.mu == pytest.approx(np.log(times).mean(), abs=0.03)
    assert found.sigma == pytest.approx(np.log(times).std(), rel=0.06)
    assert fit(hopeful.summary(0.0), 0.05, 0.3).mean_s < 0.9 * times.mean()


def test_where_log_normal_fits_badly_the_histogram_is_used() -> None:
    """Two humps: the gap is published, and the distribution has the true 99th percentile."""
    rng = np.random.default_rng(3)
    times = np.where(rng.random(5_000) < 0.97, rng.normal(0.05, 0.002, 5_000), rng.normal(0.4, 0.01, 5_000))
    found = fit(seen(times, keep_samples=1e9), 0.05, 0.3)
    assert found.empirical
    assert found.ks > 0.1
    assert found.quantile(0.99) == pytest.approx(np.quantile(times, 0.99), rel=0.1)
    assert found.mean_s == pytest.approx(times.mean(), rel=0.05)
    assert found.cv == pytest.approx(times.std() / times.mean(), rel=0.1)


def test_histogram_counts_what_was_cut_off_beyond_its_end() -> None:
    """A tenth cut off at 1 s: the share below 1 s is 0.9, as Kaplan and Meier have it."""
    statistics = ExecutionStatistics(keep_samples=1e9)
    for _ in range(900):
        statistics.observe(0.1, 0.0)
    for _ in range(100):
        statistics.observe_at_least(1.0, 0.0)
    found = fit(statistics.summary(0.0), 0.1, 0.3)
    assert found.empirical
    assert found.cdf(np.array([0.9]))[0] == pytest.approx(0.9, abs=0.01)
    assert found.quantile(0.95) > 0.9


@given(st.lists(st.floats(1e-9, 1e9), max_size=40), st.lists(st.floats(1e-9, 1e9), max_size=5))
def test_numbers_survive_the_wire(times: list[float], cuts: list[float]) -> None:
    """A summary is read back as it was written."""
    statistics = ExecutionStatistics()
    for time in times:
        statistics.observe(time, 0.0)
    for time in cuts:
        statistics.observe_at_least(time, 0.0)
    summary = statistics.summary(0.0)
    assert ExecutionSummary.from_numbers(summary.to_numbers()) == summary


@pytest.mark.parametrize(
    "numbers",
    [
        (),
        (1.0,) * 6,
        (1.0, 1.0, 0.0, 0.0, 0.0, 9.0, 1.0),
        (1.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0),
        (-1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (float("nan"), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (1.0, 1.0, 0.0, 0.0, 290.0, 5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
        (1.0,) * 2_000,
    ],
)
def test_what_is_no_summary_is_refused(numbers: tuple[float, ...]) -> None:
    """Numbers from the wire that no summary can have written raise ModelError, nothing else."""
    with pytest.raises(ModelError, match="execution summary"):
        ExecutionSummary.from_numbers(numbers)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5),
    st.floats(1e-6, 1e3),
    st.floats(0.0, 3.0),
)
def test_no_measurement_makes_a_fit_that_is_no_number(
    times: list[float], cuts: list[float], mean_s: float, cv: float
) -> None:
    """Zeros, negatives, infinities and NaN as measured: the fit is finite and positive."""
    statistics = ExecutionStatistics()
    for time in times:
        statistics.observe(time, 0.0)
    for time in cuts:
        statistics.observe_at_least(time, 0.0)
    found = fit(statistics.summary(1.0), mean_s, cv)
    numbers = (found.mean_s, found.cv, found.sigma, found.ks, found.tail_error, found.distribution.mean_s)
    assert np.isfinite(numbers).all()
    assert found.mean_s > 0.0
    assert found.distribution.mean_s > 0.0
