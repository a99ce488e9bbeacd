"""The forecast: steady streams, jumps, ramps, bursts, silence, and how far off it says it is."""

from collections.abc import Callable

import numpy as np
import pytest

from swayam_proxy.core.model.load import DRIFT_MIN, Forecast, LoadForecaster

HORIZON_S = 11.0
Rate = Callable[[float], float]


def played(
    rate: Rate, until_s: int, *, seed: int = 1, frontends: int = 1, horizon_s: float = HORIZON_S
) -> list[Forecast]:
    """Poisson arrivals at a rate that may change, and the forecast after each second.

    With `frontends` of them the arrivals are those of one, and nothing is heard of the others.
    """
    rng = np.random.default_rng(seed)
    forecaster = LoadForecaster(0.0)
    forecaster.heard(0.0, float(frontends))
    found = []
    for second in range(until_s):
        count = rng.poisson(rate(second))
        for moment in np.sort(rng.random(count)):
            forecaster.count(second + float(moment))
        found.append(forecaster.forecast(second + 1.0, horizon_s))
    return found


def test_nothing_seen_is_zero() -> None:
    """Before the first arrival there is nothing to carry."""
    forecast = LoadForecaster(100.0).forecast(160.0, HORIZON_S)
    assert (forecast.mean_per_s, forecast.quantile(0.99), forecast.current_per_s) == (0.0, 0.0, 0.0)


def test_steady_stream_is_averaged_over_minutes() -> None:
    """At 50/s the forecast is 4 % off on average after five minutes; its spread is the noise of counts."""
    late = [f.mean_per_s for f in played(lambda _: 50.0, 700)[300:]]
    assert np.mean(late) == pytest.approx(50.0, rel=0.02)
    assert np.abs(np.array(late) / 50.0 - 1.0).mean() < 0.04
    last = played(lambda _: 50.0, 700)[-1]
    assert last.spread_per_s < 3.0
    assert last.dispersion == pytest.approx(1.0, abs=0.6)


@pytest.mark.parametrize("seed", range(5))
def test_jump_is_believed_within_three_seconds(seed: int) -> None:
    """From 50/s to 200/s: three seconds later at least 160/s are expected."""
    found = played(lambda t: 50.0 if t < 300 else 200.0, 310, seed=seed)
    assert found[302].mean_per_s > 160.0


@pytest.mark.parametrize("seed", range(5))
def test_fall_is_believed_within_a_few_seconds(seed: int) -> None:
    """From 200/s to 50/s: eight seconds later less than 80/s are expected."""
    found = played(lambda t: 200.0 if t < 300 else 50.0, 310, seed=seed)
    assert found[308].mean_per_s < 80.0


def test_rising_load_is_never_forecast_below_the_current_rate() -> None:
    """On a ramp the forecast is at or above what is measured now."""
    found = played(lambda t: 20.0 + t, 300)
    for forecast in found[60:]:
        assert forecast.mean_per_s >= forecast.current_per_s - 1e-9


def test_ramp_is_followed_to_its_horizon() -> None:
    """At a horizon of a minute a straight ramp is met within a tenth: the line has learned to be trusted."""
    found = played(lambda t: 50.0 + 0.5 * t, 900, horizon_s=60.0)
    ahead = np.array([f.mean_per_s for f in found[500:840]])
    came = 50.0 + 0.5 * (np.arange(501, 841) + 60.0)
    assert np.abs(ahead / came - 1.0).mean() < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_foot_of_a_steep_ramp_is_seen(seed: int) -> None:
    """From 20/s up by 7/s every second: ten seconds on, four fifths of what comes 4 s later are expected."""
    found = played(lambda t: 20.0 if t < 120 else 20.0 + 7.2 * (t - 120), 145, seed=seed, horizon_s=4.0)
    assert found[131].mean_per_s > 0.8 * (20.0 + 7.2 * (131 - 120 + 4.0))


@pytest.mark.parametrize("seed", range(5))
def test_jump_is_not_taken_for_a_ramp(seed: int) -> None:
    """After a jump to 200/s nothing much above 200/s is expected, however far the horizon."""
    found = played(lambda t: 50.0 if t < 200 else 200.0, 240, seed=seed)
    assert max(f.mean_per_s for f in found[202:]) < 260.0


def test_silence_is_zero_soon_and_exactly_in_the_end() -> None:
    """After a busy minute: nearly nothing ten seconds later, nothing at all when all of it is forgotten."""
    found = played(lambda t: 30.0 if t < 60 else 0.0, 700)
    assert found[72].quantile(0.95) < 1.5
    assert found[-1].mean_per_s == 0.0
    assert found[-1].quantile(0.99) == 0.0


def test_single_burst_is_forgotten() -> None:
    """A thousand arrivals in one second of a quiet stream: half a minute later the forecast is as before."""
    found = played(lambda t: 1000.0 if t == 200 else 10.0, 260)
    assert found[200].mean_per_s > 50.0
    assert found[230].mean_per_s < 20.0


def test_on_off_traffic_is_followed_both_ways() -> None:
    """A minute on, a minute off: on is seen in the fourth second, off within ten."""
    found = played(lambda t: 40.0 if (t // 60) % 2 else 0.0, 600)
    for begin in (180, 300, 420):
        assert found[begin + 4].mean_per_s > 25.0
        assert found[begin + 60 + 10].mean_per_s < 5.0


def test_rate_that_keeps_jumping_gets_a_wider_margin() -> None:
    """Between 30/s and 60/s every minute the drift found is well above the least, at a steady rate not."""
    restless = played(lambda t: 60.0 if (t // 60) % 2 else 30.0, 900, horizon_s=31.0)[-1]
    assert restless.drift > 2.0 * DRIFT_MIN
    assert played(lambda _: 45.0, 900, horizon_s=31.0)[-1].drift < 1.5 * DRIFT_MIN


def test_one_spike_does_not_make_the_next_minutes_expensive() -> None:
    """Ten minutes after a two-minute spike the margin is as small as before."""
    found = played(lambda t: 200.0 if 300 <= t < 420 else 40.0, 1_000)
    assert found[-1].drift < 1.5 * DRIFT_MIN


def test_quantile_covers_what_comes() -> None:
    """On a wandering rate the 80 % quantile is not exceeded much more often than one time in five."""
    rng = np.random.default_rng(7)
    steps = np.exp(np.cumsum(rng.normal(0.0, 0.02, 1_500)))
    rates = 60.0 * steps / steps.mean()
    found = played(lambda t: float(rates[int(t)]), 1_400)
    exceeded = [rates[t + 12] > found[t].quantile(0.8) for t in range(300, 1_380)]
    assert np.mean(exceeded) < 0.25


def test_silent_frontends_are_taken_to_count_as_much() -> None:
    """One of eight that hears nobody: L = F x L' [deck]; its noise is that of its own few counts."""
    found = [played(lambda _: 10.0, 400, seed=seed, frontends=8)[-1] for seed in range(8)]
    assert np.mean([f.mean_per_s for f in found]) == pytest.approx(80.0, rel=0.08)
    assert all(f.own_share == pytest.approx(1.0 / 8.0) for f in found)
    assert np.mean([f.dispersion for f in found]) == pytest.approx(1.0, abs=0.6)
    assert np.mean([f.spread_per_s for f in found]) > 2.0 * played(lambda _: 80.0, 400)[-1].spread_per_s


def test_frontends_that_hear_each_other_expect_the_same() -> None:
    """Eight with an eighth each, who hear the others' last second: as near to the truth as one alone."""
    rng = np.random.default_rng(3)
    forecasters = [LoadForecaster(0.0) for _ in range(8)]
    last = np.full(8, 10)
    found = []
    for second in range(600):
        counts = rng.poisson(10.0, 8)
        for forecaster, own, before in zip(forecasters, counts, last, strict=True):
            forecaster.heard(float(last.sum() - before), 1.0)
            for _ in range(own):
                forecaster.count(second + 0.5)
        last = counts
        found.append([each.forecast(second + 1.0, HORIZON_S) for each in forecasters])
    means = np.array([[f.mean_per_s for f in row] for row in found[300:]])
    assert np.abs(means / 80.0 - 1.0).mean() < 0.04
    assert (means.max(axis=1) / means.min(axis=1) - 1.0).mean() < 0.04
    assert sum(f.own_share for f in found[-1]) == pytest.approx(1.0, rel=0.05)


def test_own_arrivals_are_those_of_the_seconds_that_have_passed() -> None:
    """What is told to the others is counted once, and never before its second is over."""
    forecaster = LoadForecaster(0.0)
    forecaster.heard(100.0, 3.0)
    for moment in (0.1, 0.9, 1.5):
        forecaster.count(moment)
    assert [forecaster.own_arrivals(now) for now in (1.0, 1.99, 2.0, 9.0)] == [2, 2, 3, 3]


def test_batches_show_as_dispersion() -> None:
    """Arrivals in batches of five have a variance five times their mean."""
    rng = np.random.default_rng(2)
    forecaster = LoadForecaster(0.0)
    for second in range(200):
        for _ in range(5 * rng.poisson(10.0)):
            forecaster.count(second + 0.5)
    assert forecaster.forecast(200.0, HORIZON_S).dispersion == pytest.approx(5.0, rel=0.5)


def test_time_may_stand_still_or_jump() -> None:
    """Two forecasts in one second, an hour without any, a clock that steps back: no error, finite answers."""
    forecaster = LoadForecaster(1_000.25)
    for moment in (1_000.5, 1_000.5, 999.0, 1_003.0):
        forecaster.count(moment)
    for now in (1_003.5, 1_003.5, 1_003.2, 5_000.0, 5_000.0):
        forecast = forecaster.forecast(now, HORIZON_S)
        assert np.isfinite(forecast.quantile(0.9))
    assert forecast.mean_per_s == 0.0


def test_memory_is_bounded() -> None:
    """Days of ticks with changing horizons keep no more than windows and rings."""
    forecaster = LoadForecaster(0.0)
    for second in range(12_000):
        forecaster.count(second + 0.5)
        forecaster.forecast(second + 1.0, 5.0 + second % 50)
    assert len(forecaster._totals) <= 611
    assert len(forecaster._pending) <= 4_096
    assert len(forecaster._drift_errors) == len(forecaster._drift_sorted) <= 900
