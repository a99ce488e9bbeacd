"""Rounding to a grid, and sums of what is rounded."""

import numpy as np
import pytest

from swayam_proxy.core.model.grid import (
    circle,
    limited_mean_from_log_survival,
    masses_from_limited_mean,
    masses_from_survival,
    survival_from_masses,
)
from tests.core.model.closed_forms import Exponential


def test_rounding_keeps_mass_and_mean() -> None:
    """An exponential on a grid has all its mass, and its mean to the last digit."""
    edges = np.arange(4001) * 0.01
    masses = masses_from_limited_mean(Exponential().limited_mean(edges), 0.01)
    assert masses.sum() == pytest.approx(1.0, abs=1e-11)
    assert masses @ edges[:-1] == pytest.approx(1.0, abs=1e-10)


def test_survival_integrates_exactly_when_exponential() -> None:
    """Straight lines in the logarithm make the limited mean of an exponential exact on a coarse grid."""
    edges = np.arange(20) * 0.5
    assert limited_mean_from_log_survival(-edges, 0.5) == pytest.approx(-np.expm1(-edges), abs=1e-12)


def test_product_of_series_is_convolution_up_to_the_end() -> None:
    """What runs over the grid's end does not come back at its beginning."""
    rng = np.random.default_rng(1)
    a, b = rng.random(192), rng.random(192)
    around = circle(192)
    found = around.values(around.series(a) * around.series(b))
    assert found == pytest.approx(np.convolve(a, b)[:192], abs=1e-6)


def test_rows_are_transformed_alone() -> None:
    """Several distributions at once are as each by itself."""
    rng = np.random.default_rng(2)
    rows = rng.random((3, 64))
    around = circle(64)
    whole = around.series(rows)
    for row, series in zip(rows, whole, strict=True):
        assert series == pytest.approx(around.series(row))


def test_survival_and_masses_are_inverse() -> None:
    """A survival function comes back from its masses but for the rounding of its bend."""
    survival = np.exp(-np.arange(50) * 0.1)
    masses = masses_from_survival(survival[None, :])[0]
    assert masses.sum() == pytest.approx(1.0 - survival[-1])
    assert survival_from_masses(masses)[1:-1] == pytest.approx(survival[1:-1], abs=3e-3)
