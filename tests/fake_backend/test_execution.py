"""Execution times: the statistics that are promised, by seed."""

import gzip
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fake_backend.execution import ExecutionTimes, SamplesError, log_normal_parameters, read_samples
from fake_backend.settings import ExecutionSettings

DRAWS_COUNT = 40_000


def draws(settings: ExecutionSettings, *, seed: int = 1, backend_index: int = 1) -> np.ndarray:
    """Return many execution times."""
    times = ExecutionTimes(settings, seed=seed, backend_index=backend_index)
    return np.array([times.draw_s() for _ in range(DRAWS_COUNT)])


@pytest.mark.parametrize(("mean_s", "cv"), [(0.05, 0.3), (0.002, 1.0), (1.5, 0.05)])
@pytest.mark.parametrize("seed", [1, 2])
def test_draws_are_log_normal(mean_s: float, cv: float, seed: int) -> None:
    """Mean within five standard errors, cv within 5 %, and a Kolmogorov-Smirnov test does not object."""
    drawn = draws(ExecutionSettings(mean_s, cv), seed=seed)
    assert drawn.mean() == pytest.approx(mean_s, abs=5 * mean_s * cv / math.sqrt(DRAWS_COUNT))
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.05)
    mu, sigma = log_normal_parameters(mean_s, cv)
    assert stats.kstest(np.log(drawn), "norm", args=(mu, sigma)).pvalue > 1e-4


@given(st.floats(1e-4, 100), st.floats(0, 5))
def test_parameters_give_back_mean_and_cv(mean_s: float, cv: float) -> None:
    """The parameters lead back to the mean and the cv by the textbook formulas."""
    mu, sigma = log_normal_parameters(mean_s, cv)
    assert math.exp(mu + sigma**2 / 2) == pytest.approx(mean_s)
    assert math.sqrt(math.expm1(sigma**2)) == pytest.approx(cv, abs=1e-6)


def test_no_spread_means_constant() -> None:
    """With cv 0 each draw is the mean, times the scale."""
    assert draws(ExecutionSettings(0.05, 0.0, scale=2.0)) == pytest.approx(0.1)


def test_streams_depend_on_seed_and_backend_alone() -> None:
    """The same seed and index draw the same times; another seed or index draws others."""
    settings = ExecutionSettings()
    first = draws(settings)
    assert np.array_equal(first, draws(settings))
    assert not np.array_equal(first, draws(settings, seed=2))
    assert abs(np.corrcoef(first, draws(settings, backend_index=2))[0, 1]) < 0.03


def test_samples_are_drawn_evenly() -> None:
    """Each sample of a file comes about equally often, scaled."""
    times = ExecutionTimes(ExecutionSettings(samples=(0.1, 0.2, 0.4), scale=0.5), seed=1, backend_index=1)
    values, counts = np.unique([times.draw_s() for _ in range(9000)], return_counts=True)
    assert values == pytest.approx([0.05, 0.1, 0.2])
    assert stats.chisquare(counts).pvalue > 1e-4


def test_samples_files_are_read(tmp_path: Path) -> None:
    """One time a line with or without unit, and the column service_s of a gzip CSV."""
    plain = tmp_path / "plain.txt"
    plain.write_text("50ms\n\n0.25\n")
    assert read_samples(plain) == pytest.approx((0.05, 0.25))
    trace = tmp_path / "trace.csv.gz"
    trace.write_bytes(gzip.compress(b"arrival_s,service_s\n9,18\n20,25\n"))
    assert read_samples(trace) == (18.0, 25.0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no execution time"),
        (b"0.1\nsoon\n", "line 2"),
        (b"-1\n", "line 1"),
        (b"arrival_s,service_s\n1\n", "line 2"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_useless_samples_are_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    """The error names the file, and the line where there is one."""
    path = tmp_path / "samples.csv"
    path.write_bytes(content)
    with pytest.raises(SamplesError, match=complaint) as refusal:
        read_samples(path)
    assert str(path) in str(refusal.value)


def test_draws_are_endless() -> None:
    """A small file of samples does not run out."""
    times = ExecutionTimes(ExecutionSettings(samples=(1.0,)), seed=1, backend_index=1)
    assert set(islice(iter(times.draw_s, None), 100)) == {1.0}
