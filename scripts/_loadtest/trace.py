"""Trace files: counts per bin, or one request a line. Plain or gzip CSV with a header.

`t_s,count` is the start of a bin and the requests in it; `arrival_s` with or without `service_s` (and any
other column, which is ignored) is one request. Knows the formats, not what is made of them.
"""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _loadtest.errors import UsageError

_ROWS_COUNT_MAX = 5_000_000
_TO_DO = "the first line must name t_s,count (per bin) or arrival_s,service_s (per request)"


@dataclass(frozen=True, slots=True)
class Trace:
    """Bins with counts, or requests when `counts` is None."""

    times_s: NDArray[np.float64]
    end_s: float
    counts: NDArray[np.int64] | None = None
    bin_s: float = 0.0
    execution_s: NDArray[np.float64] | None = None


def read_trace(path: Path) -> Trace:
    """Return what a file holds; raise UsageError with file and line where it cannot be used."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise UsageError(
            f"{path}: cannot be read: {error}", "name a readable .csv or .csv.gz file"
        ) from error
    if len(rows) < 2 or len(rows) > _ROWS_COUNT_MAX:
        raise UsageError(f"{path}: {len(rows)} lines", f"a trace has 2 to {_ROWS_COUNT_MAX} lines")
    header = [name.strip() for name in rows[0]]
    if "t_s" in header and "count" in header:
        return _counts(path, rows, header)
    if "arrival_s" in header:
        return _requests(path, rows, header)
    raise UsageError(f"{path}: unknown columns {','.join(header)}", _TO_DO)


def _counts(path: Path, rows: list[list[str]], header: list[str]) -> Trace:
    times_s = _column(path, rows, header.index("t_s"))
    counts = _column(path, rows, header.index("count"))
    gaps_s = np.diff(times_s)
    if len(times_s) < 2 or gaps_s.min() <= 0 or not np.allclose(gaps_s, gaps_s[0]):
        raise UsageError(f"{path}: t_s must rise by the same bin in every line", _TO_DO)
    if (counts < 0).any() or not np.array_equal(counts, np.floor(counts)):
        raise UsageError(f"{path}: a count is negative or no whole number", _TO_DO)
    bin_s = float(gaps_s[0])
    return Trace(times_s - times_s[0], float(len(times_s) * bin_s), counts.astype(np.int64), bin_s)


def _requests(path: Path, rows: list[list[str]], header: list[str]) -> Trace:
    times_s = _column(path, rows, header.index("arrival_s"))
    execution_s = _column(path, rows, header.index("service_s")) if "service_s" in header else None
    if execution_s is not None and (execution_s < 0).any():
        raise UsageError(f"{path}: a service_s is negative", _TO_DO)
    order = np.argsort(times_s, kind="stable")
    times_s = times_s[order]
    if times_s[0] < 0:
        raise UsageError(f"{path}: an arrival_s is negative", _TO_DO)
    end_s = float(np.nextafter(times_s[-1], np.inf))
    return Trace(times_s, end_s, execution_s=None if execution_s is None else execution_s[order])


def _column(path: Path, rows: list[list[str]], column: int) -> NDArray[np.float64]:
    values = np.empty(len(rows) - 1)
    for number, row in enumerate(rows[1:]):
        try:
            values[number] = float(row[column])
        except (ValueError, IndexError):
            raise UsageError(f"{path}, line {number + 2}: no number in column {column + 1}", _TO_DO) from None
    if not np.isfinite(values).all():
        raise UsageError(f"{path}: a number is not finite", _TO_DO)
    return values
