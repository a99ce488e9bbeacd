"""How the rate runs over time: constant, ramp, step, spike, sine.

Knows rates only, no randomness: `arrivals.py` puts requests under the curve.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from _loadtest.errors import UsageError

_GRID_S = 0.01
_GRID_POINTS_MAX = 2_000_000
_NUMBER = r"\d+(?:\.\d+)?"
_RANGE = re.compile(
    rf"(?P<kind>ramp|spike|sine):(?P<low>{_NUMBER})-(?P<high>{_NUMBER})(?:/(?P<period>{_NUMBER})s)?"
)
_STEPS = re.compile(rf"step:(?P<rates>{_NUMBER}(?:,{_NUMBER})+)")
_CONSTANT = re.compile(rf"constant:(?P<rate>{_NUMBER})")
_TO_DO = (
    "write constant:100, ramp:20-150, step:20,150,20, spike:50-200 or sine:20-150 "
    "(sine:20-150/30s for its period)"
)


class Shape(StrEnum):
    """The curves."""

    STEPS = "steps"
    RAMP = "ramp"
    SPIKE = "spike"
    SINE = "sine"


@dataclass(frozen=True, slots=True)
class Profile:
    """A curve of requests per second over the whole test."""

    shape: Shape
    rates_per_s: tuple[float, ...]
    """Steps: one per equal part of the test. Else the low and the high rate."""
    period_s: float | None = None
    """Of the sine; None is one period over the test. The test begins at the low rate."""

    @property
    def rate_per_s_max(self) -> float:
        """The highest rate."""
        return max(self.rates_per_s)


def constant(rate_per_s: float) -> Profile:
    """Return the flat curve."""
    return Profile(Shape.STEPS, (rate_per_s,))


def parse_profile(text: str) -> Profile:
    """Return the curve of "ramp:20-150" and the like; raise UsageError where it cannot be read."""
    if match := _CONSTANT.fullmatch(text):
        return _checked(constant(float(match["rate"])), text)
    if match := _STEPS.fullmatch(text):
        return _checked(Profile(Shape.STEPS, tuple(float(one) for one in match["rates"].split(","))), text)
    if match := _RANGE.fullmatch(text):
        shape = Shape(match["kind"])
        if match["period"] and shape is not Shape.SINE:
            raise UsageError(f"{text!r}: only a sine has a period", _TO_DO)
        period_s = float(match["period"]) if match["period"] else None
        return _checked(Profile(shape, (float(match["low"]), float(match["high"])), period_s), text)
    raise UsageError(f"{text!r} is no load profile", _TO_DO)


def _checked(profile: Profile, text: str) -> Profile:
    if profile.rate_per_s_max <= 0:
        raise UsageError(f"{text!r}: every rate is 0", _TO_DO)
    if profile.period_s is not None and profile.period_s <= 0:
        raise UsageError(f"{text!r}: a period must be above 0", _TO_DO)
    return profile


def rate_at(profile: Profile, times_s: NDArray[np.float64], duration_s: float) -> NDArray[np.float64]:
    """Return the rate at each moment.

    A spike takes the middle fifth of the test.
    """
    share = np.clip(times_s / duration_s, 0.0, np.nextafter(1.0, 0.0))
    if profile.shape is Shape.STEPS:
        rates = np.asarray(profile.rates_per_s, dtype=float)
        at_each: NDArray[np.float64] = rates[(share * len(rates)).astype(int)]
        return at_each
    low, high = profile.rates_per_s
    if profile.shape is Shape.RAMP:
        return low + (high - low) * share
    if profile.shape is Shape.SPIKE:
        return np.where((share >= 0.4) & (share < 0.6), high, low)
    period_s = profile.period_s or duration_s
    return low + (high - low) * (1 - np.cos(2 * np.pi * times_s / period_s)) / 2


def cumulative(profile: Profile, duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return moments and the expected number of requests up to each, on a grid of 10 ms or finer."""
    steps_count = int(np.clip(duration_s / _GRID_S, 1000, _GRID_POINTS_MAX))
    edges_s = np.linspace(0.0, duration_s, steps_count + 1)
    middles_s = (edges_s[1:] + edges_s[:-1]) / 2
    expected = np.concatenate(([0.0], np.cumsum(rate_at(profile, middles_s, duration_s) * np.diff(edges_s))))
    return edges_s, expected
