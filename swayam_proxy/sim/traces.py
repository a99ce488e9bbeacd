"""Reads traces of real services: counts per bin, lists of requests, and the public Azure Functions files.

Four formats, told apart by their header, plain or gzip: `t_s,count`; `arrival_s,service_s` (or
`execution_s`; further columns are ignored); Azure Functions 2019
(`HashOwner,HashApp,HashFunction,Trigger,1,...,1440`: calls a minute); Azure Functions 2021
(`app,func,end_timestamp,duration`: one call a line). Inside a bin arrivals are spread evenly at random:
made up below the bin, and the workload's note says so. Knows nothing of simulation.
"""

import csv
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from gzip import GzipFile
from io import TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import IO, TextIO, cast

import numpy as np

from swayam_proxy.sim.streams import array_stream
from swayam_proxy.sim.workload import (
    Counts,
    ExecutionLaw,
    Floats,
    LogNormalLaw,
    Workload,
    WorkloadError,
    arrivals_from_counts,
    check_requests_count,
)

_AZURE_2019 = ("HashOwner", "HashApp", "HashFunction", "Trigger")
_AZURE_2021 = ("app", "func", "end_timestamp", "duration")


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What a trace file does not say, and how much of it to take."""

    law: ExecutionLaw | None = None
    """Execution times for files without them."""
    seed: int = 1
    thin: float = 1.0
    """Keep each request with this probability."""
    speed: float = 1.0
    """Play this many times faster: gaps and execution times are both divided by it, so erlangs stay."""
    function: str | None = None
    """Azure files: the function's hash, or its beginning; None takes the one with the most calls."""
    duration_s: float | None = None
    """Length of the trace where the file does not end it; None: the last bin's end or the last arrival."""


def read_trace(path: Path, options: TraceOptions) -> Workload:
    """Read one file; raises WorkloadError that names the file, the line or column, and what to do."""
    if not 0.0 < options.thin <= 1.0 or not (isfinite(options.speed) and options.speed > 0.0):
        raise WorkloadError("the share of requests to keep must lie in (0, 1], the speed must be positive")
    try:
        with _opened(path) as file:
            header = tuple(name.strip() for name in file.readline().lstrip("\ufeff").split(","))
            return _read_body(path, header, file, options)
    except (OSError, UnicodeDecodeError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorkloadError(f"{path}: cannot be read: {reason}") from error


def suggested_law(path: Path) -> ExecutionLaw | None:
    """Return the execution law that a `stats.json` beside the trace gives for it, or None.

    Raises WorkloadError when that file exists and is broken.
    """
    stats_path = path.parent / "stats.json"
    if not stats_path.is_file():
        return None
    trace_id = path.name.removesuffix(".gz").removesuffix(".csv")
    try:
        service = next(row for row in json.loads(stats_path.read_text()) if row["id"] == trace_id)["service"]
        if "lognormal_mu" in service and "mean_of_fit_s" in service:
            return LogNormalLaw(float(service["mean_of_fit_s"]), float(service["cv_of_fit"]))
        if "suggested_mean_s" in service:
            return LogNormalLaw(float(service["suggested_mean_s"]), float(service.get("suggested_cv", 0.25)))
    except (StopIteration, KeyError):
        return None
    except (ValueError, TypeError, OSError) as error:
        raise WorkloadError(f"{stats_path}: not the expected list of traces: {error}") from error
    return None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    zipped = path.suffix == ".gz"
    with path.open("rb") as raw, GzipFile(fileobj=raw) if zipped else nullcontext(raw) as binary:
        yield TextIOWrapper(cast("IO[bytes]", binary), encoding="utf-8", newline="")


def _read_body(path: Path, header: tuple[str, ...], file: TextIO, options: TraceOptions) -> Workload:
    if header[:2] == ("t_s", "count"):
        starts_s, counts = _columns(path, file, (0, 1))
        return _from_bins(path, starts_s, counts, options)
    if header[0] == "arrival_s":
        named = next((name for name in ("service_s", "execution_s") if name in header), None)
        wanted = (0,) if named is None else (0, header.index(named))
        columns = _columns(path, file, wanted)
        return _from_requests(path, columns[0], columns[1] if named else None, options)
    if header[:4] == _AZURE_2019:
        counts = _azure_minutes(path, file, options.function)
        minutes_s: Floats = np.arange(counts.size, dtype=np.float64) * 60.0
        return _from_bins(path, minutes_s, counts, options)
    if header[:4] == _AZURE_2021:
        ends_s, durations_s = _azure_calls(path, file, options.function)
        return _from_requests(path, ends_s - durations_s, durations_s, options)
    raise WorkloadError(
        f"{path}: unknown header {','.join(header[:6])!r}; expected t_s,count or arrival_s,service_s, "
        "or an Azure Functions file of 2019 (calls a minute) or 2021 (one call a line)"
    )


def _columns(path: Path, file: TextIO, wanted: tuple[int, ...]) -> list[Floats]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty table is complained about below
            table = np.loadtxt(file, delimiter=",", usecols=wanted, ndmin=2, max_rows=60_000_000)
    except (ValueError, IndexError) as error:
        raise WorkloadError(f"{path}: not a table of numbers: {error}") from error
    if table.size == 0:
        raise WorkloadError(f"{path}: holds no row beside its header")
    if not bool(np.isfinite(table).all()):
        raise WorkloadError(f"{path}: holds a value that is no finite number")
    return [np.ascontiguousarray(table[:, index]) for index in range(len(wanted))]


def _from_bins(path: Path, starts_s: Floats, counts: Floats, options: TraceOptions) -> Workload:
    if options.law is None:
        raise WorkloadError(
            f"{path}: holds counts only; say how long requests run (mean execution time and its cv)"
        )
    widths = np.diff(starts_s)
    bin_s = float(widths[0]) if widths.size else 60.0
    if bin_s <= 0.0 or not bool(np.allclose(widths, bin_s)):
        raise WorkloadError(
            f"{path}: the bins must follow each other at one distance; write empty bins as count 0"
        )
    if bool((counts < 0).any()) or bool((counts != np.floor(counts)).any()):
        raise WorkloadError(f"{path}: counts must be whole numbers, 0 or more")
    rng = array_stream(options.seed, "trace", path.name)
    whole: Counts = counts.astype(np.int64)
    if options.thin < 1.0:
        whole = rng.binomial(whole, options.thin)
    arrivals = arrivals_from_counts(whole, bin_s, rng) / options.speed
    law = options.law
    return Workload(
        name=_name(path),
        arrivals_s=arrivals,
        executions_s=law.draw(rng, arrivals.size) / options.speed,
        duration_s=counts.size * bin_s / options.speed,
        execution_mean_s=law.mean_s / options.speed,
        bin_s=bin_s / options.speed,
        note=f"real counts per {bin_s:g} s; the order inside a bin and the execution times are made up",
    )


def _from_requests(
    path: Path, arrivals_s: Floats, services_s: Floats | None, options: TraceOptions
) -> Workload:
    rng = array_stream(options.seed, "trace", path.name)
    if services_s is None:
        if options.law is None:
            raise WorkloadError(f"{path}: holds no execution times; say how long requests run (mean and cv)")
        services_s = options.law.draw(rng, arrivals_s.size)
        note = "real arrivals; the execution times are made up"
    else:
        note = "real arrivals and execution times"
    if bool((arrivals_s < 0).any()) or bool((services_s <= 0).any()):
        raise WorkloadError(f"{path}: arrivals must not be negative, execution times must be positive")
    order = np.argsort(arrivals_s, kind="stable")
    if options.thin < 1.0:
        order = order[rng.random(order.size) < options.thin]
    check_requests_count(order.size, str(path))
    arrivals, services = arrivals_s[order] / options.speed, services_s[order] / options.speed
    last_s = float(arrivals[-1]) if arrivals.size else 0.0
    return Workload(
        name=_name(path),
        arrivals_s=arrivals,
        executions_s=services,
        duration_s=max(last_s, (options.duration_s or 0.0) / options.speed) + 1e-9,
        execution_mean_s=float(services.mean()) if services.size else 1.0,
        note=note,
    )


def _azure_minutes(path: Path, file: TextIO, function: str | None) -> Floats:
    best: list[str] = []
    best_sum = -1
    for line_number, row in enumerate(csv.reader(file), start=2):
        if function is not None and not row[2].startswith(function):
            continue
        try:
            row_sum = sum(map(int, row[4:]))
        except ValueError as error:
            raise WorkloadError(f"{path}: line {line_number}: a count is no whole number") from error
        if row_sum > best_sum:
            best, best_sum = row[4:], row_sum
    if best_sum < 0:
        raise WorkloadError(f"{path}: holds no function whose hash begins with {function!r}")
    return np.array(best, dtype=np.float64)


def _azure_calls(path: Path, file: TextIO, function: str | None) -> tuple[Floats, Floats]:
    calls: dict[str, list[tuple[float, float]]] = {}
    sizes: Counter[str] = Counter()
    for line_number, row in enumerate(csv.reader(file), start=2):
        if function is not None and not row[1].startswith(function):
            continue
        try:
            calls.setdefault(f"{row[0]}/{row[1]}", []).append((float(row[2]), float(row[3])))
        except (ValueError, IndexError) as error:
            raise WorkloadError(
                f"{path}: line {line_number}: expected app,func,end_timestamp,duration"
            ) from error
        sizes[f"{row[0]}/{row[1]}"] += 1
    if not calls:
        raise WorkloadError(f"{path}: holds no call of a function whose hash begins with {function!r}")
    table = np.array(calls[min(sizes, key=lambda key: (-sizes[key], key))])
    table = table[table[:, 1] > 0]
    ends_s = table[:, 0] - (table[:, 0] - table[:, 1]).min(initial=np.inf)
    return ends_s, table[:, 1]


def _name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")
