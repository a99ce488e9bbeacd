"""Distributions on an evenly spaced grid: rounding, geometric sums, convolution.

Knows arrays of masses only; nothing of queues. The last axis is the grid; all functions take several
distributions at once along the axes before it.

A distribution X is rounded to the points 0, h, 2h, ... so that each cell keeps its mass and its mean
("local moment matching", Gerber 1982; in actuarial software the "unbiased" method). With the limited
mean L(x) = E[min(X, x)] the mass at jh is

    m_0 = 1 - L(h)/h,      m_j = (2 L(jh) - L((j-1)h) - L((j+1)h)) / h.

The mean stays exact and the error of a smooth functional is of order h^2. Only masses up to the grid's
end are kept: all sums here are causal (the mass at jh depends on masses at or before it), so that a cut
tail does no harm and a heavy tail costs nothing.

Products of generating functions are taken on a circle of radius r < 1 in place of 1 ("exponential
tilting", Grübel and Hermesmeier, ASTIN Bull. 29, 1999), which divides what wraps around by r^-size.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Complexes = npt.NDArray[np.complexfloating[Any]]

_WRAP = 1e-9
"""What wraps around is multiplied by this, and rounding errors by less than its inverse."""


def masses_from_limited_mean(limited_mean: Floats, step: float) -> Floats:
    """Masses at 0, h, ..., (len-2)h from the limited mean at 0, h, ..., (len-1)h."""
    slope = np.diff(limited_mean) / step
    masses = np.empty_like(slope)
    masses[..., 0] = 1.0 - slope[..., 0]
    masses[..., 1:] = slope[..., :-1] - slope[..., 1:]
    return np.clip(masses, 0.0, 1.0, out=masses)


def limited_mean_from_log_survival(log_survival: Floats, step: float) -> Floats:
    """Integrate a survival function given by its logarithm at 0, h, 2h, ...

    Between two points the logarithm is taken as linear, which is exact for an exponential tail and good
    for the minimum of many residual times, whose scale may be far below h.
    """
    survival = np.exp(log_survival)
    left, right = survival[..., :-1], survival[..., 1:]
    fall = log_survival[..., :-1] - log_survival[..., 1:]
    small = fall < 1e-6
    cells = np.where(small, 0.5 * (left + right), (left - right) / np.where(small, 1.0, fall))
    limited_mean = np.zeros_like(log_survival)
    np.cumsum(cells * step, axis=-1, out=limited_mean[..., 1:])
    return limited_mean


def survival_from_masses(masses: Floats) -> Floats:
    """P(X > jh) for X > 0 spread by its masses; a mass at jh counts half there, and 1 at 0."""
    survival = 1.0 - (np.cumsum(masses, axis=-1) - 0.5 * masses)
    survival[..., 0] = 1.0
    return np.clip(survival, 0.0, 1.0, out=survival)


def masses_from_survival(survival: Floats) -> Floats:
    """Masses of a waiting time whose survival function runs straight between the grid's points."""
    fall = np.maximum(survival[..., :-1] - survival[..., 1:], 0.0)
    masses = np.zeros_like(survival)
    masses[..., :-1] += 0.5 * fall
    masses[..., 1:] += 0.5 * fall
    return masses


class Circle:
    """Generating functions on a circle inside the unit disc, for grids of one size.

    `series` and `values` are inverse to each other; between them, products of series are convolutions
    and 1/(1 - q series) is a geometric sum.
    """

    __slots__ = ("_shrink", "_size", "_stretch", "points_count")

    def __init__(self, points_count: int) -> None:
        """Prepare for arrays of this length."""
        self.points_count = points_count
        size = 1
        while size < points_count + points_count // 4:
            size *= 2
        self._size = size
        self._shrink = np.exp(np.log(_WRAP) / size * np.arange(points_count))
        self._stretch = 1.0 / self._shrink

    def series(self, values: Floats) -> Complexes:
        """Return the generating function of the values on the circle."""
        return np.fft.rfft(values * self._shrink, self._size)

    def values(self, series: Complexes) -> Floats:
        """Return the values whose generating function is `series`."""
        found: Floats = np.fft.irfft(series, self._size)[..., : self.points_count] * self._stretch
        return found


@lru_cache(maxsize=8)
def circle(points_count: int) -> Circle:
    """Return the circle of this size, made once."""
    return Circle(points_count)
