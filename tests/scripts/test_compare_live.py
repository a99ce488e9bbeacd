"""scripts/compare-live: what agrees, what does not, and a scenario that is the same for both sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _compare_live.live import Seen
from _compare_live.report import document, plot
from _compare_live.scenario import Played
from _compare_live.simulated import play_simulated
from _compare_live.verdict import at_times, compare

PLAYED = Played(proxies_count=2, measured_s=20.0, warm_up_s=25.0)


@pytest.fixture(scope="module")
def seen() -> Seen:
    """A short run of the simulator."""
    return play_simulated(PLAYED, PLAYED.workload(), 1)


def test_a_run_agrees_with_itself(seen: Seen) -> None:
    """And something was served, paid for and decided."""
    verdict = compare(PLAYED, seen, seen)
    assert verdict.agrees
    assert (verdict.share_apart, verdict.cost_apart, verdict.same_share) == (0.0, 0.0, 1.0)
    assert verdict.shares[0] > 0.5
    assert verdict.costs[0] > PLAYED.measured_s


def test_each_bar_can_be_missed(seen: Seen) -> None:
    """Slower answers, dearer backends, another n: none of them agrees."""
    slower = replace(seen, responses_s=seen.responses_s + 10.0)
    dearer = replace(seen, billed=[(at, count + 1) for at, count in seen.billed])
    other = replace(seen, prefixes=[[(at, n + 1) for at, n in each] for each in seen.prefixes])
    for worse in (slower, dearer, other):
        assert not compare(PLAYED, seen, worse).agrees
    assert compare(PLAYED, seen, other).near_share == 1.0


def test_a_step_function_holds_until_its_next_step() -> None:
    """The value from its moment on; nothing before the first."""
    found = at_times([(1.0, 3), (2.0, 5)], np.array([0.5, 1.0, 1.9, 2.0, 9.0]))
    assert found.tolist() == [0.0, 3.0, 3.0, 5.0, 5.0]
    assert at_times([], np.array([1.0])).tolist() == [0.0]


def test_report_and_picture_are_written(seen: Seen, tmp_path: Path) -> None:
    """The bars with their verdicts, and a picture that is not empty."""
    verdict = compare(PLAYED, seen, seen)
    text = document(PLAYED, PLAYED.workload(), verdict, verdict, seen)
    assert text.count(": met") == 3
    plot(tmp_path / "plot.png", PLAYED, PLAYED.workload(), seen, seen)
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_the_trace_holds_the_very_requests(tmp_path: Path) -> None:
    """What the load test sends is what the simulator plays."""
    workload = PLAYED.workload()
    PLAYED.write_trace(tmp_path / "trace.csv", workload)
    lines = np.loadtxt(tmp_path / "trace.csv", delimiter=",", skiprows=1)
    assert np.allclose(lines[:, 0], workload.arrivals_s, atol=1e-6)
    assert np.allclose(lines[:, 1], workload.executions_s, atol=1e-6)
