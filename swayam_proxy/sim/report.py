"""Judges a run: how well the promise was kept, and what it cost against the clairvoyant yardsticks.

Same run, same report, byte for byte. A request is within the promise when it was answered within RT_max;
refused and lost ones are not. Windows count by arrival and only where there was one.
"""

import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from swayam_proxy.core.model.capacity import least_backends
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.clairvoyant import claira1_backend_seconds, claira2, clairvoyant_prefix
from swayam_proxy.sim.record import FAILED, REFUSED, RunRecord
from swayam_proxy.sim.workload import Floats, Workload

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Yardsticks:
    """Backend-seconds of the clairvoyant scalers for one workload; see `clairvoyant`."""

    claira1: float
    claira2: float
    clairvoyant_prefix: float


@dataclass(frozen=True, slots=True)
class Report:
    """One run in numbers; times in seconds, shares in [0, 1], `over_*` are ratios of backend-seconds."""

    policy: str
    trace: str
    note: str
    requests: int
    share_within: float
    windows_1min_ok: float
    windows_5min_ok: float
    windows_1min_missed: int
    backend_seconds: float
    over_claira1: float
    over_claira2: float
    over_clairvoyant_prefix: float
    peak_backends: int
    setups: int
    refused: int
    failed: int
    p50_s: float | None
    p99_s: float | None
    response_time_s: float
    level: float
    erlangs_mean: float

    def to_json(self) -> str:
        """Return one JSON object with keys in a fixed order and numbers of seven digits."""
        return json.dumps({key: _rounded(value) for key, value in asdict(self).items()}, indent=2)


def yardsticks(
    workload: Workload, *, response_time_s: float, level: float, setup_s: float, idle_s: float, slots: int = 1
) -> Yardsticks:
    """Compute all three for this workload and promise."""
    needs = needs_of_rate(workload, response_time_s=response_time_s, level=level, slots=slots)
    prefix_bill, _ = clairvoyant_prefix(workload, needs, setup_s=setup_s, idle_s=idle_s)
    second = claira2(workload, response_time_s=response_time_s, setup_s=setup_s, idle_s=idle_s)
    return Yardsticks(claira1_backend_seconds(workload), second.backend_seconds, prefix_bill.backend_seconds)


def needs_of_rate(
    workload: Workload, *, response_time_s: float, level: float, slots: int = 1
) -> Callable[[float], int]:
    """Return a function from a rate to the least n of a central queue, which is what a prefix can do at
    best.
    """
    executions = workload.executions_s
    cv = float(executions.std() / executions.mean()) if executions.size else 0.0
    service = LogNormal.of_mean_cv(workload.execution_mean_s, cv)
    return _CapacityLimits(service, response_time_s, level, slots).needs


class _CapacityLimits:
    """The largest rate that each n can take, found when first asked for."""

    def __init__(self, service: LogNormal, response_time_s: float, level: float, slots: int) -> None:
        self._service = service
        self._response_time_s = response_time_s
        self._level = level
        self._slots = slots
        self._limits: list[float] = [0.0]

    def needs(self, rate_per_s: float) -> int:
        while self._limits[-1] < rate_per_s:
            self._limits.append(self._limit(len(self._limits)))
        return bisect_left(self._limits, rate_per_s)

    def _limit(self, n: int) -> float:
        low, high = self._limits[-1], n * self._slots / self._service.mean_s
        while high - low > 1e-3 * high:
            middle = (low + high) / 2.0
            found = least_backends(
                middle,
                self._service,
                self._response_time_s,
                self._level,
                policy=DispatchPolicy.CENTRAL_QUEUE,
                slots=self._slots,
                start=n,
            )
            low, high = (middle, high) if found.needs <= n else (low, middle)
        return low


def judge(record: RunRecord, workload: Workload, known: Yardsticks | None = None) -> Report:
    """Return the report of a run; `known` saves computing the yardsticks again."""
    known = known or yardsticks(
        workload,
        response_time_s=record.response_time_s,
        level=record.level,
        setup_s=record.setup_s,
        idle_s=record.idle_s,
    )
    within = within_promise(record)
    answered = record.responses_s[record.responses_s >= 0.0]
    missed_1min, windows_1min = windows(workload.arrivals_s, within, MINUTE_S, record.level)
    missed_5min, windows_5min = windows(workload.arrivals_s, within, 5.0 * MINUTE_S, record.level)
    return Report(
        policy=record.policy,
        trace=workload.name,
        note=workload.note,
        requests=workload.requests_count,
        share_within=float(within.mean()) if within.size else 1.0,
        windows_1min_ok=1.0 - missed_1min / max(1, windows_1min),
        windows_5min_ok=1.0 - missed_5min / max(1, windows_5min),
        windows_1min_missed=missed_1min,
        backend_seconds=record.backend_seconds,
        over_claira1=_ratio(record.backend_seconds, known.claira1),
        over_claira2=_ratio(record.backend_seconds, known.claira2),
        over_clairvoyant_prefix=_ratio(record.backend_seconds, known.clairvoyant_prefix),
        peak_backends=record.peak_backends,
        setups=record.setups_count,
        refused=int((record.responses_s == REFUSED).sum()),
        failed=int((record.responses_s == FAILED).sum()),
        p50_s=float(np.quantile(answered, 0.5)) if answered.size else None,
        p99_s=float(np.quantile(answered, 0.99)) if answered.size else None,
        response_time_s=record.response_time_s,
        level=record.level,
        erlangs_mean=workload.erlangs_mean,
    )


def within_promise(record: RunRecord) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Say of each request whether it was answered within RT_max."""
    # an answer exactly on time is on time, whatever the last bit of the subtraction says
    limit_s = record.response_time_s * (1.0 + 1e-12)
    return np.asarray((record.responses_s >= 0.0) & (record.responses_s <= limit_s))


def windows(
    arrivals_s: Floats, within: "np.ndarray[tuple[int], np.dtype[np.bool_]]", width_s: float, level: float
) -> tuple[int, int]:
    """Return (windows that missed the level, windows with any arrival)."""
    if not arrivals_s.size:
        return 0, 0
    place = (arrivals_s // width_s).astype(np.int64)
    totals = np.bincount(place)
    good = np.bincount(place, weights=within)
    missed = (good < level * totals - 1e-9) & (totals > 0)
    return int(missed.sum()), int((totals > 0).sum())


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0.0 else 0.0


def _rounded(value: object) -> object:
    return float(f"{value:.7g}") if isinstance(value, float) else value
