"""Numbers from records: percentiles, shares, verdict, files."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from _loadtest import report
from _loadtest.plot import write_plot
from _loadtest.records import Ending, Records, Table, table_of
from _loadtest.search import Try, find_max
from _loadtest.slo import check, parse_slo
from _loadtest.summary import Options, summarise

COUNT = 4000


def records(seed: int = 1, first: int = 0, step: int = 1) -> Records:
    """Return 100 requests per second, latencies log-normal; every 50th fails, every 100th times out."""
    rng = np.random.default_rng(seed)
    latency_s = rng.lognormal(math.log(0.02), 0.5, COUNT)
    rows = range(first, COUNT, step)
    made = Records(len(rows), np.arange(COUNT)[first::step] / 100)
    name = made.backend_number(b"%d:9001" % first)
    for place, row in enumerate(rows):
        made.sent_s[place] = row / 100 + 0.0002
        made.done_s[place] = row / 100 + latency_s[row]
        made.first_s[place] = row / 100 + latency_s[row] / 2
        made.status[place] = 500 if row % 50 == 0 else 200
        made.ending[place] = Ending.ANSWERED
        made.backend[place] = name
        if row % 100 == 0:
            made.status[place] = 0
            made.ending[place] = Ending.TIMEOUT
            made.done_s[place] = row / 100 + 3.0
    return made


@pytest.fixture
def table() -> Table:
    """One process's records."""
    return table_of([records()])


def test_percentiles_agree_with_numpy(table: Table) -> None:
    """Good answers and timeouts enter; the histogram's three digits agree with the exact quantiles."""
    summary, _ = summarise(table, Options(duration_s=40))
    chosen = table.latency_s[table.is_good | (table.ending == Ending.TIMEOUT)]
    assert summary.latency.count == len(chosen) == COUNT - 40
    ordered_s = np.sort(chosen)
    for percentile, value_s in summary.latency.percentiles_s.items():
        rank = percentile / 100 * len(ordered_s) - 1
        neighbours_s = ordered_s[[max(0, int(rank) - 1), min(len(ordered_s) - 1, int(rank) + 1)]]
        assert neighbours_s[0] * 0.998 <= value_s <= neighbours_s[1] * 1.002, percentile
    assert summary.latency.max_s == pytest.approx(3.0)
    assert summary.first_byte.percentiles_s[50.0] == pytest.approx(0.01, rel=0.1)
    assert summary.lag.percentiles_s[99.0] == pytest.approx(0.0002, rel=0.01)


def test_failures_are_misses(table: Table) -> None:
    """Errors count every bad ending; the share within the promise is of all requests, failures included."""
    summary, _ = summarise(table, Options(duration_s=40, response_time_s=0.05))
    assert summary.error_share == pytest.approx(80 / COUNT)
    in_time = (table.is_good & (table.latency_s <= 0.05)).sum()
    assert summary.within_share == pytest.approx(in_time / COUNT)
    assert summary.goodput_per_s == pytest.approx((COUNT - 80) / 40)
    assert summary.endings == {"answered": COUNT - 40, "timeout": 40}
    assert summary.statuses == {200: COUNT - 80, 500: 40}


def test_the_warm_up_is_cut(table: Table) -> None:
    """Requests meant for the warm-up count nowhere."""
    summary, _ = summarise(table, Options(duration_s=40, warm_up_s=30))
    assert (summary.requests_count, summary.measured_s) == (1000, 10)
    assert summary.offered_per_s == pytest.approx(100)
    nothing, _ = summarise(table, Options(duration_s=40, warm_up_s=50))
    assert not nothing.is_valid


def test_processes_are_merged(table: Table) -> None:
    """Two processes that share the requests see together what one sees alone."""
    merged = table_of([records(first=0, step=2), records(first=1, step=2)])
    assert np.array_equal(merged.done_s, table.done_s)
    summary, _ = summarise(merged, Options(duration_s=40))
    alone, _ = summarise(table, Options(duration_s=40))
    assert summary.latency == alone.latency
    assert summary.backends == {"0:9001": COUNT // 2, "1:9001": COUNT // 2}


def test_the_verdict_depends_on_the_generator_alone(table: Table) -> None:
    """Bad answers leave a test valid; own lag above the limit or unsent requests do not."""
    assert summarise(table, Options(duration_s=40))[0].is_valid
    late, _ = summarise(table, Options(duration_s=40, lag_limit_s=0.0001))
    assert "own lag" in late.invalid_reasons[0]
    unsent = records()
    for row in range(100):
        unsent.sent_s[row] = math.nan
    assert "were sent" in summarise(table_of([unsent]), Options(duration_s=40))[0].invalid_reasons[0]


def test_conditions_get_their_values(table: Table) -> None:
    """Any percentile, not only the printed ones."""
    summary, histogram = summarise(table, Options(duration_s=40, response_time_s=0.05))
    names = ["p50", "p97.5", "err", "within", "goodput", "mean", "max"]
    values = summary.values(names, histogram)
    chosen = table.latency_s[table.is_good | (table.ending == Ending.TIMEOUT)]
    assert values["p97.5"] == pytest.approx(np.percentile(chosen, 97.5), rel=0.01)
    assert values["err"] == summary.error_share
    assert set(values) == set(names)


def test_files_hold_the_same_numbers(table: Table, tmp_path: Path) -> None:
    """JSON without nan, one CSV row per second that adds up, a histogram of all, a picture."""
    options = Options(duration_s=40, response_time_s=0.05)
    summary, histogram = summarise(table, options)
    checks = check(parse_slo("p99<1ms"), summary.values(["p99"], histogram))
    content = report.as_json(summary, checks, report.environment(["--rate", "1"], 7), "a note")
    rows = report.seconds_rows(table, 0.05, 40)
    report.write_files(tmp_path / "out", content, rows, histogram)
    told = json.loads((tmp_path / "out" / "summary.json").read_text(), parse_constant=pytest.fail)
    assert told["latency"]["p99_ms"] == pytest.approx(summary.latency.percentiles_s[99.0] * 1e3)
    assert (told["environment"]["seed"], told["valid"], told["slo"][0]["met"]) == (7, True, False)
    seconds = list(csv.DictReader(io.StringIO((tmp_path / "out" / "seconds.csv").read_text())))
    assert len(seconds) == 40
    assert sum(int(row["good"]) for row in seconds) == summary.good_count
    assert sum(int(row["within"]) for row in seconds) == round(summary.within_share * COUNT)
    assert {int(row["intended"]) for row in seconds} == {100}
    lines = (tmp_path / "out" / "latency.hgrm").read_text().splitlines()
    last = [line for line in lines if line.strip() and not line.startswith("#")][-1].split()
    assert (float(last[1]), int(last[2])) == (1.0, COUNT - 40)
    write_plot(tmp_path / "plot.png", table, rows, options, "title")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_test_is_told_without_numbers() -> None:
    """Nothing measured: no crash, nothing that looks like a number, INVALID."""
    table = table_of([Records(0, np.array([]))])
    summary, histogram = summarise(table, Options(duration_s=1, response_time_s=0.1))
    assert not summary.is_valid
    content = report.as_json(summary, (), {}, "")
    assert content["latency"]["p99_ms"] is None
    assert any("nothing measured" in line for line in report.lines(summary, (), ""))
    assert not check(parse_slo("p99<1s"), summary.values(["p99"], histogram))[0].is_met


@pytest.mark.parametrize("capacity_per_s", [3.0, 95.0, 640.0])
def test_the_search_finds_the_capacity(capacity_per_s: float) -> None:
    """Within 5 % below the rate at which the conditions break."""
    tried: list[float] = []

    def attempt(rate_per_s: float) -> Try:
        tried.append(rate_per_s)
        return Try(rate_per_s, rate_per_s <= capacity_per_s, True, "")

    said: list[str] = []
    assert find_max(attempt, said.append) == 0
    best = max(rate for rate in tried if rate <= capacity_per_s)
    assert capacity_per_s * 0.93 <= best
    assert f"{best:.1f}/s" in said[-1]
    assert len(tried) < 20


def test_the_search_can_fail() -> None:
    """No rate meets the conditions: 3; the generator is the limit: 1."""
    assert find_max(lambda rate: Try(rate, False, True, ""), lambda _: None) == 3
    assert find_max(lambda rate: Try(rate, True, False, ""), lambda _: None) == 1
