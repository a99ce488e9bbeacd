"""Judging runs."""

import json

import numpy as np
import pytest

from swayam_proxy.sim.record import FAILED, REFUSED, RunRecord
from swayam_proxy.sim.report import Yardsticks, judge, needs_of_rate, windows, yardsticks
from swayam_proxy.sim.workload import LogNormalLaw, Workload, workload_from_rates


def _record(responses: list[float], backend_seconds: float = 300.0) -> RunRecord:
    return RunRecord("p", 0.5, 0.9, 10.0, 60.0, np.array(responses), backend_seconds, 3, 2, ((0.0, 3),))


def test_late_refused_and_failed_are_not_within() -> None:
    """Only answers within RT_max count; quantiles are over what was answered."""
    workload = Workload("x", np.arange(8.0) * 30.0, np.full(8, 0.1), 300.0, 0.1)
    record = _record([0.1, 0.5, 0.6, REFUSED, 0.1, 0.1, FAILED, 0.3])
    report = judge(record, workload, Yardsticks(100.0, 200.0, 150.0))
    assert (report.requests, report.refused, report.failed) == (8, 1, 1)
    assert report.share_within == 5 / 8
    assert (report.over_claira1, report.over_claira2, report.over_clairvoyant_prefix) == (3.0, 1.5, 2.0)
    assert report.p50_s == pytest.approx(0.2)
    # minutes: [ok ok] [late refused] [ok ok] [failed ok]
    assert (report.windows_1min_ok, report.windows_1min_missed) == (0.5, 2)
    assert report.windows_5min_ok == 0.0


def test_windows_without_arrivals_do_not_count() -> None:
    """Silence neither keeps nor breaks a promise."""
    arrivals = np.array([1.0, 2.0, 601.0])
    assert windows(arrivals, np.array([True, True, False]), 60.0, 0.99) == (1, 2)
    assert windows(np.array([]), np.array([], dtype=bool), 60.0, 0.99) == (0, 0)


def test_nothing_happened() -> None:
    """A trace without requests gives a report, and no division by zero."""
    empty = Workload("x", np.array([]), np.array([]), 60.0, 0.1)
    report = judge(_record([], 0.0), empty, Yardsticks(0.0, 0.0, 0.0))
    assert (report.share_within, report.over_claira1, report.p99_s) == (1.0, 0.0, None)


def test_json_has_the_fields_that_programs_read() -> None:
    """The names are a contract."""
    workload = Workload("x", np.arange(3.0), np.full(3, 0.1), 60.0, 0.1)
    known = json.loads(judge(_record([0.1, 0.2, 0.3]), workload, Yardsticks(1.0, 1.0, 1.0)).to_json())
    assert {
        "requests",
        "share_within",
        "windows_1min_ok",
        "windows_5min_ok",
        "backend_seconds",
        "over_claira1",
        "over_claira2",
        "over_clairvoyant_prefix",
        "peak_backends",
        "setups",
        "refused",
        "p50_s",
        "p99_s",
    } <= set(known)


def test_yardsticks_stand_in_their_order() -> None:
    """The work itself is the least; a central queue at 10 erlangs needs eleven or twelve within 5C."""
    workload = workload_from_rates(
        "x", np.full(600, 40.0), 1.0, LogNormalLaw(0.25, 0.25), np.random.default_rng(1)
    )
    found = yardsticks(workload, response_time_s=1.25, level=0.99, setup_s=10.0, idle_s=60.0)
    assert found.claira1 < found.clairvoyant_prefix < 2.0 * found.claira1
    assert found.claira1 < found.claira2 < 2.0 * found.claira1
    needs = needs_of_rate(workload, response_time_s=1.25, level=0.99)
    assert needs(0.0) == 0
    assert needs(40.0) in (11, 12)
    assert [needs(rate) for rate in (10.0, 40.0, 80.0)] == sorted(needs(rate) for rate in (10.0, 40.0, 80.0))
