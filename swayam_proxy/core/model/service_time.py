"""How long one execution takes, as a distribution that the queueing formulas can integrate.

Knows a log-normal and an empirical distribution; nothing of measurement or queues. Times in seconds.

A queue asks for three functions of a service time S with mean m:

    cdf(x)            = P(S <= x)
    limited_mean(x)   = E[min(S, x)]; over m it is the cdf of the residual time R of a running execution
    residual_limited_mean(x) = E[min(R, x)] = x - (1/m) times the integral of limited_mean

For the log-normal all are closed forms in the normal cdf: with P_k = Phi((ln x - mu - k sigma^2) / sigma)

    limited_mean = m P_1 + x (1 - P_0),     its integral = x m P_1 - E[S^2] P_2 / 2 + x^2 (1 - P_0) / 2.
"""

from dataclasses import dataclass
from math import exp, log, log1p, sqrt
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.grid import Floats

SIGMA_MIN = 1e-7
"""Below this a log-normal is a constant for every purpose here; it keeps 0/0 away."""
_LOG_X_MIN = -700.0


class Distribution(Protocol):
    """What the queueing formulas need to know of a service time."""

    @property
    def mean_s(self) -> float:
        """The mean."""

    @property
    def second_moment(self) -> float:
        """The mean of the square, in s^2."""

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x."""

    def quantile(self, p: float) -> float:
        """The least x with cdf(x) >= p."""

    def limited_mean(self, x: Floats) -> Floats:
        """The mean of min(S, x)."""

    def residual_limited_mean(self, x: Floats) -> Floats:
        """The mean of min(R, x), R the residual time."""


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Execution times whose logarithm is normal with mean `mu` and standard deviation `sigma`."""

    mu: float
    sigma: float

    @classmethod
    def of_mean_cv(cls, mean_s: float, cv: float) -> "LogNormal":
        """The log-normal with this mean and coefficient of variation (>= 0)."""
        if not (mean_s > 0.0 and cv >= 0.0) or mean_s == float("inf") or cv == float("inf"):
            raise ModelError(f"a service time needs a positive mean and cv >= 0, not {mean_s!r} and {cv!r}")
        sigma = max(SIGMA_MIN, sqrt(log1p(cv * cv)))
        return cls(log(mean_s) - sigma * sigma / 2.0, sigma)

    @property
    def mean_s(self) -> float:
        """The mean."""
        return exp(self.mu + self.sigma * self.sigma / 2.0)

    @property
    def second_moment(self) -> float:
        """The mean of the square, in s^2."""
        return exp(2.0 * self.mu + 2.0 * self.sigma * self.sigma)

    def _z(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return (np.maximum(np.log(x), _LOG_X_MIN) - self.mu) / self.sigma

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x; 0 for x <= 0."""
        return np.where(x > 0.0, ndtr(self._z(np.maximum(x, 0.0))), 0.0)

    def quantile(self, p: float) -> float:
        """The time that a share p of executions does not exceed."""
        return exp(min(700.0, self.mu + self.sigma * float(ndtri(p))))

    def limited_mean(self, x: Floats) -> Floats:
        """The mean of min(S, x)."""
        z = self._z(x)
        limited: Floats = self.mean_s * ndtr(z - self.sigma) + x * ndtr(-z)
        return limited

    def residual_limited_mean(self, x: Floats) -> Floats:
        """The mean of min(R, x), R the residual time of a running execution."""
        z = self._z(x)
        half_square = 0.5 * self.second_moment / self.mean_s
        integral = x * ndtr(z - self.sigma) - half_square * ndtr(z - 2.0 * self.sigma)
        limited: Floats = x - integral - (0.5 / self.mean_s) * x * x * ndtr(-z)
        return limited


class Empirical:
    """A distribution known at knots and linear between them, as a histogram gives it.

    `knots` ascend, the first has cdf 0 and the last cdf 1. All integrals are piecewise polynomials, exact.
    """

    __slots__ = ("_cdf", "_integral", "_knots", "_limited", "_mean_s", "_second")

    def __init__(self, knots: Floats, cdf: Floats) -> None:
        if knots.size < 2 or np.any(np.diff(knots) <= 0.0) or knots[0] < 0.0:
            raise ModelError("an empirical distribution needs ascending knots, none below 0")
        self._knots = np.concatenate(([0.0], knots)) if knots[0] > 0.0 else knots
        self._cdf = np.concatenate(([0.0], cdf)) if knots[0] > 0.0 else cdf
        width = np.diff(self._knots)
        left, right = 1.0 - self._cdf[:-1], 1.0 - self._cdf[1:]
        self._limited = np.concatenate(([0.0], np.cumsum(0.5 * width * (left + right))))
        # integral of the limited mean over a cell: L0 w + left w^2/2 - (left - right) w^2/6
        cells = self._limited[:-1] * width + width * width * (left / 3.0 + right / 6.0)
        self._integral = np.concatenate(([0.0], np.cumsum(cells)))
        self._mean_s = float(self._limited[-1])
        edges = self._knots[:-1], self._knots[1:]
        third = (edges[0] ** 2 + edges[0] * edges[1] + edges[1] ** 2) / 3.0
        self._second = float(np.sum((left - right) * third))

    @property
    def mean_s(self) -> float:
        """The mean."""
        return self._mean_s

    @property
    def second_moment(self) -> float:
        """The mean of the square, in s^2."""
        return self._second

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x."""
        return np.interp(x, self._knots, self._cdf, left=0.0, right=1.0)

    def quantile(self, p: float) -> float:
        """The time that a share p of executions does not exceed."""
        return float(np.interp(p, self._cdf, self._knots))

    def _cell(self, x: Floats) -> tuple[npt.NDArray[np.intp], Floats, Floats, Floats, Floats]:
        cell = np.clip(np.searchsorted(self._knots, x, side="right") - 1, 0, self._knots.size - 2)
        into = np.minimum(x, self._knots[-1]) - self._knots[cell]
        left = 1.0 - self._cdf[cell]
        slope = (self._cdf[cell + 1] - self._cdf[cell]) / (self._knots[cell + 1] - self._knots[cell])
        return cell, into, left, slope, np.maximum(0.0, x - self._knots[-1])

    def limited_mean(self, x: Floats) -> Floats:
        """The mean of min(S, x)."""
        cell, into, left, slope, _ = self._cell(x)
        return self._limited[cell] + into * (left - 0.5 * slope * into)

    def residual_limited_mean(self, x: Floats) -> Floats:
        """The mean of min(R, x), R the residual time of a running execution."""
        at, into, left, slope, beyond = self._cell(x)
        integral = self._integral[at] + into * (self._limited[at] + into * (left / 2.0 - slope * into / 6.0))
        return x - (integral + beyond * self._mean_s) / self._mean_s


def cv_squared(service: Distribution) -> float:
    """Variance over the square of the mean."""
    return max(0.0, service.second_moment / (service.mean_s * service.mean_s) - 1.0)
