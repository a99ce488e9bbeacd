"""Shapes of load."""

import numpy as np

from swayam_proxy.sim import rates

TIMES_S = np.arange(0.0, 3600.0)


def test_waves_and_ramps_reach_both_ends() -> None:
    """A wave begins at its trough and reaches its peak at half a period; a ramp is straight."""
    wave = rates.wave(TIMES_S, 5.0, 25.0, 3600.0)
    assert wave[0] == wave.min() == 5.0
    assert wave.argmax() == 1800
    assert wave.max() == 25.0
    ramp = rates.ramp(TIMES_S, 1.0, 2.0)
    assert (ramp[0], ramp[-1]) == (1.0, 2.0)
    assert np.allclose(np.diff(ramp, 2), 0.0)


def test_steps_and_silences_stand_where_they_were_put() -> None:
    """A step takes effect at its second; off comes before on."""
    steps = rates.steps(TIMES_S, ((0.0, 1.0), (100.0, 3.0), (200.0, 2.0)))
    assert steps[[0, 99, 100, 199, 200, 3599]].tolist() == [1.0, 1.0, 3.0, 3.0, 2.0, 2.0]
    on_off = rates.on_off(TIMES_S, 4.0, on_s=30.0, off_s=70.0)
    assert on_off[:71].tolist() == [0.0] * 70 + [4.0]
    assert on_off.mean() == 4.0 * 0.3


def test_spikes_rise_stay_and_fall() -> None:
    """A spike multiplies the base by its height and no more, even when two overlap, and dies away."""
    shape = rates.spikes(TIMES_S, 10.0, np.array([1000.0, 1010.0]), 3.0, 20.0, 60.0, 40.0)
    assert shape[:1001].max() == 10.0
    assert shape.max() == 30.0
    assert shape[1040] == 30.0
    assert shape[2000] < 10.01


def test_chance_follows_its_settings() -> None:
    """A Markov rate spends its time as its stays say; a wandering one keeps its mean."""
    long_s = np.arange(0.0, 200_000.0)
    rng = np.random.default_rng(5)
    markov = rates.markov(long_s, (10.0, 40.0), (60.0, 30.0), rng)
    assert set(np.unique(markov)) == {10.0, 40.0}
    assert abs((markov == 10.0).mean() - 2.0 / 3.0) < 0.03
    wander = rates.wander(long_s, 20.0, 0.3, 100.0, rng)
    assert abs(wander.mean() - 20.0) < 1.0
    assert abs(np.log(wander).std() - 0.3) < 0.03
