"""Service times and queues whose answers are known in closed form, for the tests of the model."""

from math import exp, factorial, floor

import numpy as np
from scipy.integrate import quad

from swayam_proxy.core.model.grid import Floats


class Exponential:
    """Service times of M/M/n; the residual time is exponential, too."""

    def __init__(self, mean_s: float = 1.0) -> None:
        """Take the mean."""
        self.mean_s = mean_s
        self.second_moment = 2.0 * mean_s * mean_s

    def cdf(self, x: Floats) -> Floats:
        """Probability of at most x."""
        return np.where(x > 0.0, -np.expm1(-np.maximum(x, 0.0) / self.mean_s), 0.0)

    def quantile(self, p: float) -> float:
        """The x with cdf(x) = p."""
        return float(-np.log1p(-p) * self.mean_s)

    def limited_mean(self, x: Floats) -> Floats:
        """Mean of min(S, x)."""
        return -np.expm1(-x / self.mean_s) * self.mean_s

    def residual_limited_mean(self, x: Floats) -> Floats:
        """Mean of min(R, x)."""
        return self.limited_mean(x)


def md1_waits_at_most(t: float, load: float) -> float:
    """P(W <= t) in M/D/1 with unit service: Erlang 1909."""
    terms = ((load * (k - t)) ** k / factorial(k) * exp(-load * (k - t)) for k in range(floor(t) + 1))
    return (1.0 - load) * sum(terms)


def mean_of_least(survival_power: float, limited_mean: object, mean_s: float) -> float:
    """Mean of the least of so many residual times, by adaptive quadrature."""
    return quad(
        lambda x: max(0.0, 1.0 - float(limited_mean(np.array([x]))[0]) / mean_s) ** survival_power,  # type: ignore[operator]
        0.0,
        50.0 * mean_s,
        limit=400,
    )[0]
