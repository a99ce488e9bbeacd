"""Shapes of load over time, as arrays of rates: one rate (per second) for each bin of the clock.

Each leaf takes the bins' start times and numbers, and returns rates; chance comes from a generator that is
handed in. Knows nothing of requests.
"""

import numpy as np

from swayam_proxy.sim.workload import Floats


def constant(times_s: Floats, rate_per_s: float) -> Floats:
    """The same rate all the time."""
    return np.full(times_s.size, rate_per_s)


def ramp(times_s: Floats, first_per_s: float, last_per_s: float) -> Floats:
    """A straight line from the first rate to the last."""
    return np.linspace(first_per_s, last_per_s, times_s.size)


def wave(times_s: Floats, low_per_s: float, high_per_s: float, period_s: float) -> Floats:
    """A sine that begins at its trough: days, shortened."""
    swing = (1.0 - np.cos(2.0 * np.pi * times_s / period_s)) / 2.0
    return low_per_s + (high_per_s - low_per_s) * swing


def steps(times_s: Floats, changes: tuple[tuple[float, float], ...]) -> Floats:
    """A rate that jumps: `changes` are (from when in s, rate per s), the first at 0."""
    starts = np.array([start for start, _ in changes])
    rates = np.array([rate for _, rate in changes])
    found: Floats = rates[np.searchsorted(starts, times_s, side="right") - 1]
    return found


def on_off(times_s: Floats, rate_per_s: float, on_s: float, off_s: float) -> Floats:
    """Silence for `off_s`, then the rate for `on_s`, for ever."""
    return np.where(times_s % (on_s + off_s) >= off_s, rate_per_s, 0.0)


def spikes(
    times_s: Floats,
    base_per_s: float,
    starts_s: Floats,
    height: float,
    rise_s: float,
    stay_s: float,
    fall_s: float,
) -> Floats:
    """A base rate that is multiplied by up to `height` at each start: rise, stay, exponential fall."""
    factor = np.ones(times_s.size)
    for start_s in starts_s:
        since_s = times_s - start_s
        rising = np.clip(since_s / max(rise_s, 1e-9), 0.0, 1.0)
        falling = np.exp(-np.clip(since_s - rise_s - stay_s, 0.0, None) / fall_s)
        factor += (height - 1.0) * np.where(since_s >= 0.0, rising * falling, 0.0)
    return base_per_s * np.minimum(factor, height)


def markov(
    times_s: Floats, rates_per_s: tuple[float, ...], stay_s: tuple[float, ...], rng: np.random.Generator
) -> Floats:
    """A Markov-modulated rate.

    Stays exponentially long in a state, then moves to another, all equally likely.
    """
    bin_s = float(times_s[1] - times_s[0])
    end_s = float(times_s[-1]) + bin_s
    rates = np.empty(times_s.size)
    state, since_s = 0, 0.0
    while since_s < end_s:
        until_s = since_s + rng.exponential(stay_s[state])
        rates[round(since_s / bin_s) : round(until_s / bin_s)] = rates_per_s[state]
        state = (state + 1 + int(rng.integers(0, len(rates_per_s) - 1))) % len(rates_per_s)
        since_s = until_s
    return rates


def wander(
    times_s: Floats, middle_per_s: float, spread: float, memory_s: float, rng: np.random.Generator
) -> Floats:
    """A log-normal rate that drifts.

    Exp of an AR(1) with standard deviation `spread` and memory `memory_s`.
    """
    keep = float(np.exp(-(times_s[1] - times_s[0]) / memory_s))
    kicks = rng.normal(0.0, spread * np.sqrt(1.0 - keep * keep), times_s.size)
    level = rng.normal(0.0, spread)
    levels = np.empty(times_s.size)
    for index, kick in enumerate(kicks.tolist()):
        level = keep * level + kick
        levels[index] = level
    return middle_per_s * np.exp(levels - spread * spread / 2.0)
