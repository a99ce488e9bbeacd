"""Distributions on an evenly spaced grid: rounding, geometric sums, convolution.

Knows arrays of masses only; nothing of queues.

A distribution X is rounded to the points 0, h, 2h, ... so that each cell keeps its mass and its mean
("local moment matching", Gerber 1982; in actuarial software the "unbiased" method). With the limited
mean L(x) = E[min(X, x)] the mass at jh is

    m_0 = 1 - L(h)/h,      m_j = (2 L(jh) - L((j-1)h) - L((j+1)h)) / h.

The mean stays exact and the error of a smooth functional is of order h^2. Only masses up to the grid's
end are kept: all sums below are causal (the mass at jh depends on masses at or before it), so that a
cut tail does no harm, and a heavy tail costs nothing.

Products of generating functions are taken on a circle of radius r < 1 in place of 1 ("exponential
tilting", Grübel and Hermesmeier 1999), which divides what wraps around by r^-size.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Complexes = npt.NDArray[np.complexfloating[Any]]

_WRAP = 1e-10
"""What wraps around is multiplied by this; rounding errors grow by its square root at most."""


def masses_from_limited_mean(limited_mean: Floats, step: float) -> Floats:
    """Masses at 0, h, ..., (len-2)h from the limited mean at 0, h, ..., (len-1)h."""
    masses = np.empty(limited_mean.size - 1)
    slope = np.diff(limited_mean) / step
    masses[0] = 1.0 - slope[0]
    masses[1:] = slope[:-1] - slope[1:]
    return np.clip(masses, 0.0, 1.0, out=masses)


def limited_mean_from_log_survival(log_survival: Floats, step: float) -> Floats:
    """Integrate a survival function given by its logarithm at 0, h, 2h, ...

    Between two points the logarithm is taken as linear, which is exact for an exponential tail and good
    for the minimum of many residual times, whose scale may be far below h.
    """
    survival = np.exp(log_survival)
    fall = log_survival[:-1] - log_survival[1:]
    small = fall < 1e-6
    cells = np.where(
        small,
        0.5 * (survival[:-1] + survival[1:]),
        (survival[:-1] - survival[1:]) / np.where(small, 1.0, fall),
    )
    limited_mean = np.empty(log_survival.size)
    limited_mean[0] = 0.0
    np.cumsum(cells * step, out=limited_mean[1:])
    return limited_mean


class Circle:
    """Generating functions on a circle inside the unit disc, for arrays of one size.

    `series` and `masses` are inverse to each other; between them, products of series are convolutions
    and 1/(1 - q series) is a geometric sum.
    """

    __slots__ = ("_shrink", "_size", "_stretch", "points_count")

    def __init__(self, points_count: int) -> None:
        self.points_count = points_count
        size = 1
        while size < 2 * points_count:
            size *= 2
        self._size = size
        self._shrink = np.exp(np.log(_WRAP) / size * np.arange(points_count))
        self._stretch = 1.0 / self._shrink

    def series(self, masses: Floats) -> Complexes:
        """Return the generating function of masses on the circle."""
        return np.fft.rfft(masses * self._shrink, self._size)

    def masses(self, series: Complexes) -> Floats:
        """Return the masses whose generating function is `series`; tiny negative ones become zero."""
        found: Floats = np.fft.irfft(series, self._size)[: self.points_count] * self._stretch
        np.maximum(found, 0.0, out=found)
        return found
