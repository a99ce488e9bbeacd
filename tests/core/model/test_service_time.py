"""The integrals of a service time against quadrature."""

import numpy as np
import pytest
from scipy.integrate import quad

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.service_time import Distribution, Empirical, LogNormal, cv_squared

EMPIRICAL = Empirical(np.array([0.5, 1.0, 1.5, 4.0]), np.array([0.0, 0.6, 0.9, 1.0]))
TIMES = [LogNormal.of_mean_cv(1.0, 0.3), LogNormal.of_mean_cv(0.2, 1.5), EMPIRICAL]


def at(function: object, x: float) -> float:
    """Read a function of arrays at one point."""
    return float(function(np.array([x]))[0])  # type: ignore[operator]


@pytest.mark.parametrize("service", TIMES)
def test_integrals_are_those_of_the_cdf(service: Distribution) -> None:
    """E[min(S, x)] and E[min(R, x)] are the integrals that define them."""
    for x in (0.1, 0.7, 1.3, 3.0, 6.0):
        limited = quad(lambda u: 1.0 - at(service.cdf, u), 0.0, x, points=[0.5, 1.0, 1.5, 4.0], limit=200)[0]
        assert at(service.limited_mean, x) == pytest.approx(limited, abs=1e-7)
        rest = quad(lambda u: 1.0 - at(service.limited_mean, u) / service.mean_s, 0.0, x, limit=200)[0]
        assert at(service.residual_limited_mean, x) == pytest.approx(rest, abs=1e-7)


@pytest.mark.parametrize("service", TIMES)
def test_moments_are_limits(service: Distribution) -> None:
    """Far out the limited means are the mean of S and of R."""
    assert at(service.limited_mean, 1e4) == pytest.approx(service.mean_s, rel=1e-6)
    residual = service.second_moment / (2.0 * service.mean_s)
    assert at(service.residual_limited_mean, 1e4) == pytest.approx(residual, rel=1e-3)


@pytest.mark.parametrize("service", TIMES)
def test_quantile_inverts_the_cdf(service: Distribution) -> None:
    """cdf(quantile(p)) = p."""
    for p in (0.01, 0.5, 0.95, 0.999):
        assert at(service.cdf, service.quantile(p)) == pytest.approx(p, abs=1e-9)


def test_log_normal_has_the_mean_and_cv_asked_for() -> None:
    """Mean and cv survive the way through mu and sigma, also when the time is a constant."""
    for cv in (0.0, 0.3, 3.0):
        service = LogNormal.of_mean_cv(0.05, cv)
        assert service.mean_s == pytest.approx(0.05)
        assert np.sqrt(cv_squared(service)) == pytest.approx(cv, abs=1e-6)


@pytest.mark.parametrize(
    ("mean_s", "cv"), [(0.0, 0.3), (-1.0, 0.3), (1.0, -0.1), (np.nan, 0.3), (np.inf, 0.3)]
)
def test_impossible_times_are_refused(mean_s: float, cv: float) -> None:
    """A service time without a positive mean is an error that says so."""
    with pytest.raises(ModelError, match="positive mean"):
        LogNormal.of_mean_cv(mean_s, cv)


def test_knots_must_ascend() -> None:
    """An empirical distribution needs knots in order."""
    with pytest.raises(ModelError, match="ascending"):
        Empirical(np.array([1.0, 1.0]), np.array([0.0, 1.0]))
