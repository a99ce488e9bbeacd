"""Schedules: how many requests, how bursty, where under the curve, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from _loadtest.arrivals import Process, Schedule, profile_schedule, trace_schedule
from _loadtest.errors import UsageError
from _loadtest.profile import constant, parse_profile, rate_at
from _loadtest.trace import Trace, read_trace

SEEDS = range(5)


def schedule(text: str, duration_s: float, process: Process, seed: int = 1, **options: float) -> Schedule:
    """Return the requests under a profile."""
    return profile_schedule(parse_profile(text), duration_s, process, np.random.default_rng(seed), **options)


def dispersion(times_s: np.ndarray, duration_s: float, bin_s: float) -> float:
    """Return variance over mean of the counts per bin: 1 for Poisson."""
    counts, _ = np.histogram(times_s, bins=int(duration_s / bin_s), range=(0, duration_s))
    return float(counts.var() / counts.mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_poisson_counts_and_dispersion(seed: int) -> None:
    """The total lies within five standard deviations, gaps have cv 1, counts dispersion 1."""
    made = schedule("constant:100", 400, Process.POISSON, seed)
    assert len(made.times_s) == pytest.approx(40_000, abs=5 * 200)
    gaps_s = np.diff(made.times_s)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(1.0, abs=0.03)
    assert dispersion(made.times_s, 400, 1.0) == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("cv", [0.5, 2.0, 3.0])
def test_gamma_gaps_have_the_asked_spread(cv: float) -> None:
    """Mean rate kept, cv of gaps as asked, counts in long bins dispersed by its square."""
    made = schedule("constant:200", 1000, Process.GAMMA, gamma_cv=cv)
    gaps_s = np.diff(made.times_s)
    assert len(made.times_s) == pytest.approx(200_000, rel=0.03)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(cv, rel=0.05)
    assert dispersion(made.times_s, 1000, 5.0) == pytest.approx(cv**2, rel=0.5)


def test_even_spacing() -> None:
    """Exactly rate times duration, each at the same distance, the first at once."""
    made = schedule("constant:50", 10, Process.EVEN)
    assert len(made.times_s) == 500
    assert made.times_s[0] == 0.0
    assert np.diff(made.times_s) == pytest.approx(0.02, abs=1e-6)


@pytest.mark.parametrize("process", list(Process))
@pytest.mark.parametrize("text", ["ramp:20-150", "step:20,150,20", "spike:50-200", "sine:20-150/30s"])
def test_requests_lie_under_the_curve(text: str, process: Process) -> None:
    """In each tenth of the test there are as many requests as the curve promises, within sampling error."""
    duration_s = 120.0
    made = schedule(text, duration_s, process, gamma_cv=1.5)
    grid_s = np.linspace(0, duration_s, 120_001)
    rates = rate_at(parse_profile(text), grid_s, duration_s)
    for tenth in range(10):
        begin_s, end_s = tenth * 12.0, (tenth + 1) * 12.0
        expected = rates[(grid_s >= begin_s) & (grid_s < end_s)].sum() * 0.001
        count = int(((made.times_s >= begin_s) & (made.times_s < end_s)).sum())
        spread = {Process.EVEN: 0.0, Process.POISSON: 1.0, Process.GAMMA: 1.5}[process]
        assert count == pytest.approx(expected, abs=2 + 5 * spread * np.sqrt(expected)), f"tenth {tenth}"
    assert np.all(np.diff(made.times_s) >= 0)
    assert made.times_s[-1] < duration_s


def test_the_seed_decides() -> None:
    """The same seed gives the same schedule, another one another."""
    first = schedule("constant:100", 10, Process.POISSON, 7).times_s
    assert np.array_equal(first, schedule("constant:100", 10, Process.POISSON, 7).times_s)
    assert not np.array_equal(first[:50], schedule("constant:100", 10, Process.POISSON, 8).times_s[:50])


def test_a_count_cuts_the_end() -> None:
    """Only the first requests are kept, and the test ends with the last of them."""
    made = schedule("constant:100", 10, Process.EVEN).first(11)
    assert len(made.times_s) == 11
    assert made.duration_s == pytest.approx(0.1, abs=1e-6)


def test_unbounded_load_is_refused() -> None:
    """More requests than memory can take is a usage error."""
    with pytest.raises(UsageError, match="more than"):
        profile_schedule(constant(1e6), 3600, Process.POISSON, np.random.default_rng(1))


@pytest.mark.parametrize(
    "text",
    ["", "ramp", "ramp:20", "ramp:a-b", "step:20", "constant:0", "spike:1-2/3s", "sine:1-2/0s", "x:1-2"],
)
def test_other_texts_are_no_profiles(text: str) -> None:
    """What cannot be read is refused with examples."""
    with pytest.raises(UsageError, match=r"write constant:100"):
        parse_profile(text)


def counts_trace(tmp_path: Path) -> Trace:
    """Return a trace of four bins of a minute."""
    path = tmp_path / "trace.csv"
    path.write_text("t_s,count\n0,600\n60,0\n120,1200\n180,300\n")
    return read_trace(path)


def test_counts_are_kept_per_bin(tmp_path: Path) -> None:
    """Each bin has exactly its count, also when played ten times as fast; it is said what is made up."""
    made = trace_schedule(
        counts_trace(tmp_path), np.random.default_rng(1), speed=10, thin=1, begin_s=0, duration_s=None
    )
    assert np.histogram(made.times_s, bins=4, range=(0, 24))[0].tolist() == [600, 0, 1200, 300]
    assert made.duration_s == 24
    assert "made up" in made.note


def test_a_part_of_a_trace(tmp_path: Path) -> None:
    """Beginning and length choose bins, also within a bin; thinning keeps the asked share."""
    rng = np.random.default_rng(1)
    trace = counts_trace(tmp_path)
    made = trace_schedule(trace, rng, speed=2, thin=1, begin_s=120, duration_s=30)
    assert (len(made.times_s), made.duration_s) == (1200, 30)
    made = trace_schedule(trace, rng, speed=1, thin=1, begin_s=30, duration_s=10)
    assert len(made.times_s) == pytest.approx(100, abs=50)
    assert made.times_s.max() < 10
    made = trace_schedule(trace, rng, speed=1, thin=0.1, begin_s=0, duration_s=None)
    assert len(made.times_s) == pytest.approx(210, abs=5 * 14)
    with pytest.raises(UsageError, match="ends at"):
        trace_schedule(trace, rng, speed=1, thin=1, begin_s=240, duration_s=None)
    with pytest.raises(UsageError, match="no request"):
        trace_schedule(trace, rng, speed=1, thin=1, begin_s=60, duration_s=60)


def test_single_requests_keep_their_times(tmp_path: Path) -> None:
    """Arrivals are played as they are; execution times shrink with the speed too."""
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,service_s\n9,18\n30,25\n20,27\n")
    made = trace_schedule(
        read_trace(path), np.random.default_rng(1), speed=10, thin=1, begin_s=9, duration_s=None
    )
    assert made.times_s == pytest.approx([0.0, 1.1, 2.1])
    assert made.execution_s == pytest.approx([1.8, 2.7, 2.5])
    assert made.note == ""


def test_other_columns_are_ignored(tmp_path: Path) -> None:
    """A trace of tokens has arrivals and no execution times."""
    path = tmp_path / "trace.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n0.0,374,44\n4.3,396,109\n")
    trace = read_trace(path)
    assert trace.times_s.tolist() == [0.0, 4.3]
    assert trace.execution_s is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "0 lines"),
        ("t_s,count\n", "1 lines"),
        ("when,what\n1,2\n", "unknown columns"),
        ("t_s,count\n0,1\n60,2\n90,1\n", "same bin"),
        ("t_s,count\n0,1\n60,-2\n", "negative"),
        ("t_s,count\n0,1\n60,1.5\n", "whole"),
        ("t_s,count\n0,1\n60\n", "line 3"),
        ("arrival_s,service_s\n0,soon\n1,2\n", "line 2"),
        ("arrival_s,service_s\n0,-1\n1,2\n", "negative"),
        ("arrival_s\n0\ninf\n", "finite"),
    ],
)
def test_useless_traces_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    """The error names the file and what is wrong with it."""
    path = tmp_path / "trace.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=complaint) as refusal:
        read_trace(path)
    assert str(path) in str(refusal.value)
