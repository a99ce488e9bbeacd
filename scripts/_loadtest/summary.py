"""What a test says: one frozen value with every number, and the verdict whether to believe it.

Latency counts from the moment when a request was MEANT to leave, so a generator or a server that
stalls cannot hide the requests that should have been sent meanwhile (coordinated omission). Knows the
table of records, nothing of files or terminals.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from _loadtest.records import Ending, Table

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
_HISTOGRAM_US_MAX = 24 * 3600 * 1_000_000
_SENT_SHARE_MIN = 0.999
_PROCESSOR_SHARE_MAX = 0.95


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution in seconds; nan where nothing was measured."""

    count: int
    mean_s: float
    max_s: float
    percentiles_s: dict[float, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """The whole result, warm-up cut off."""

    requests_count: int
    good_count: int
    measured_s: float
    offered_per_s: float
    goodput_per_s: float
    error_share: float
    response_time_s: float | None
    within_share: float | None
    latency: Latency
    from_send: Latency
    first_byte: Latency
    lag: Latency
    endings: dict[str, int]
    statuses: dict[int, int]
    backends: dict[str, int]
    connections_opened_count: int
    stray_answers_count: int
    processor_share: float
    invalid_reasons: tuple[str, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the generator kept its schedule, so that the numbers are the server's."""
        return not self.invalid_reasons

    def values(self, names: list[str], histogram: HdrHistogram) -> dict[str, float]:
        """Return what the names of conditions stand for (`slo.py`)."""
        known = {
            "mean": self.latency.mean_s,
            "max": self.latency.max_s,
            "err": self.error_share,
            "goodput": self.goodput_per_s,
        }
        if self.within_share is not None:
            known["within"] = self.within_share
        return {
            name: known[name] if name in known else _percentile(histogram, float(name[1:])) for name in names
        }


@dataclass(frozen=True, slots=True)
class Options:
    """What the summary is told beside the records."""

    duration_s: float
    warm_up_s: float = 0.0
    response_time_s: float | None = None
    lag_limit_s: float = 0.01


def counted(table: Table, warm_up_s: float) -> NDArray[np.bool_]:
    """Return which requests count: meant to leave after the warm-up."""
    return table.intended_s >= warm_up_s


def latency_rows(table: Table, warm_up_s: float) -> NDArray[np.bool_]:
    """Return which requests enter the latency histogram.

    Good answers, and those given up by the timeout or at the end, at the time they had lasted by then.
    Quick failures are left out: they would make a failing server look fast; `err` counts them.
    """
    given_up = np.isin(table.ending, (Ending.TIMEOUT, Ending.UNFINISHED))
    return counted(table, warm_up_s) & (table.is_good | given_up)


def histogram_of(values_s: NDArray[np.float64]) -> HdrHistogram:
    """Return a histogram in microseconds with three digits."""
    histogram = HdrHistogram(1, _HISTOGRAM_US_MAX, 3)
    microseconds = np.clip(np.rint(values_s * 1e6), 1, _HISTOGRAM_US_MAX).astype(np.int64)
    for value, count in zip(*np.unique(microseconds, return_counts=True), strict=True):
        histogram.record_value(int(value), int(count))
    return histogram


def summarise(table: Table, options: Options) -> tuple[Summary, HdrHistogram]:
    """Return the summary and the histogram of the headline latency."""
    rows = counted(table, options.warm_up_s)
    good = table.is_good & rows
    measured = latency_rows(table, options.warm_up_s)
    histogram = histogram_of(table.latency_s[measured])
    sent = rows & ~np.isnan(table.sent_s)
    lag_s = (table.sent_s - table.intended_s)[sent]
    requests_count, good_count = int(rows.sum()), int(good.sum())
    duration_s = options.duration_s if table.stopped_at_s is None else table.stopped_at_s
    measured_s = max(duration_s - options.warm_up_s, 1e-9)
    lag = _latency(lag_s)
    summary = Summary(
        requests_count=requests_count,
        good_count=good_count,
        measured_s=measured_s,
        offered_per_s=requests_count / measured_s,
        goodput_per_s=good_count / measured_s,
        error_share=1 - good_count / requests_count if requests_count else float("nan"),
        response_time_s=options.response_time_s,
        within_share=_within_share(table, rows, good, options.response_time_s),
        latency=_latency(table.latency_s[measured], histogram),
        from_send=_latency((table.done_s - table.sent_s)[measured & sent]),
        first_byte=_latency((table.first_s - table.intended_s)[good]),
        lag=lag,
        endings=_endings(table, rows),
        statuses={
            int(one): int(count) for one, count in sorted(Counter(table.status[rows].tolist()).items()) if one
        },
        backends=_backends(table, rows),
        connections_opened_count=table.opened_connections_count,
        stray_answers_count=table.stray_answers_count,
        processor_share=table.processor_s / max(duration_s, 1e-9),
        invalid_reasons=_invalid_reasons(table, rows, lag, options),
    )
    return summary, histogram


def _invalid_reasons(
    table: Table, rows: NDArray[np.bool_], lag: Latency, options: Options
) -> tuple[str, ...]:
    reasons = []
    requests_count = int(rows.sum())
    if requests_count == 0:
        reasons.append("no request was counted: the warm-up is longer than the test")
    lag_s = lag.percentiles_s[99.0]
    if lag_s > options.lag_limit_s:
        reasons.append(
            f"the generator fell behind: its own lag p99 is {lag_s * 1e3:.1f} ms, "
            f"limit {options.lag_limit_s * 1e3:g} ms"
        )
    sent_count = int((~np.isnan(table.sent_s))[rows].sum())
    if requests_count and sent_count < _SENT_SHARE_MIN * requests_count:
        reasons.append(f"only {sent_count} of {requests_count} requests were sent")
    if table.waited_for_connection_count:
        reasons.append(f"{table.waited_for_connection_count} requests waited for --connections-max")
    if table.stopped_at_s is not None:
        reasons.append(f"the test was interrupted after {table.stopped_at_s:.1f} s")
    return tuple(reasons)


def _within_share(
    table: Table, rows: NDArray[np.bool_], good: NDArray[np.bool_], response_time_s: float | None
) -> float | None:
    """Return the share of all requests that got a good answer in time; a failure is a miss."""
    if response_time_s is None or not rows.any():
        return None
    return float((good & (table.latency_s <= response_time_s)).sum() / rows.sum())


def _endings(table: Table, rows: NDArray[np.bool_]) -> dict[str, int]:
    counts = Counter(table.ending[rows].tolist())
    return {Ending(ending).name.lower(): count for ending, count in sorted(counts.items())}


def _backends(table: Table, rows: NDArray[np.bool_]) -> dict[str, int]:
    counts = Counter(table.backend[rows].tolist())
    return {table.backend_names[number]: count for number, count in sorted(counts.items()) if number >= 0}


def _latency(values_s: NDArray[np.float64], histogram: HdrHistogram | None = None) -> Latency:
    if len(values_s) == 0:
        return Latency(0, float("nan"), float("nan"), dict.fromkeys(PERCENTILES, float("nan")))
    histogram = histogram or histogram_of(values_s)
    percentiles_s = {one: _percentile(histogram, one) for one in PERCENTILES}
    return Latency(len(values_s), float(values_s.mean()), float(values_s.max()), percentiles_s)


def _percentile(histogram: HdrHistogram, percentile: float) -> float:
    if histogram.get_total_count() == 0:
        return float("nan")
    return float(histogram.get_value_at_percentile(percentile)) / 1e6
