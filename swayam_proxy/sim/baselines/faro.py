"""Faro for one service and no cluster limit: the least c whose forecast M/D/c P99 keeps the objective.

Source: beomyeol/faro src/{solver,policy}.py, config/autoscaler; Jeon et al., EuroSys 2025. Its N-HiTS
network is replaced by Holt's linear trend with damping on counts per minute, a reasonable forecaster that
needs no training; with one service its utility is full exactly when the estimate is within the objective.
"""

from dataclasses import dataclass
from math import ceil, log

from swayam_proxy.core.model.erlang import erlang_c
from swayam_proxy.sim.baselines.base import Gauges, Service


@dataclass(frozen=True, slots=True)
class FaroSettings:
    """Defaults of the repository's configuration."""

    interval_s: int = 300
    bins_ahead: int = 7
    percentile: float = 99.0
    quick_interval_s: int = 10
    quick_patience_s: float = 30.0
    objective_share: float = 1.0
    """Share of RT_max that is taken as the objective."""
    level_gain: float = 0.5
    trend_gain: float = 0.2
    damping: float = 0.9


class Faro:
    """Every five minutes by forecast; every ten seconds one more while the mean response is over the
    objective.
    """

    def __init__(self, service: Service, settings: FaroSettings) -> None:
        """Begin without a history."""
        self._settings = settings
        self._execution_s = service.execution_mean_s
        self._objective_s = settings.objective_share * service.response_time_s
        self._level: float | None = None
        self._trend = 0.0
        self._late_since_s: float | None = None

    def wanted(self, gauges: Gauges) -> int:
        """Learn each minute, decide each interval, help out in between."""
        settings, now = self._settings, gauges.now
        if int(now) % 60 == 0:
            self._learn(gauges.rate_per_s(60))
        current = max(1, gauges.wanted_count)
        if int(now) % settings.interval_s == 0 and self._level is not None:
            return max(self._needs(rate) for rate in self._ahead())
        if int(now) % settings.quick_interval_s != 0:
            return current
        if gauges.response_mean_s(settings.quick_interval_s) <= self._objective_s:
            self._late_since_s = None
            return current
        self._late_since_s = now if self._late_since_s is None else self._late_since_s
        return current + (now - self._late_since_s >= settings.quick_patience_s)

    def _learn(self, rate: float) -> None:
        if self._level is None:
            self._level = rate
            return
        settings, before = self._settings, self._level
        expected = before + settings.damping * self._trend
        self._level = expected + settings.level_gain * (rate - expected)
        self._trend = settings.damping * self._trend + settings.trend_gain * (
            self._level - before - settings.damping * self._trend
        )

    def _ahead(self) -> list[float]:
        assert self._level is not None, "there is a forecast only after the first minute"
        rates, step = [], self._trend
        rate = self._level
        for _ in range(self._settings.bins_ahead):
            step *= self._settings.damping
            rate += step
            rates.append(max(0.0, rate))
        return rates

    def _needs(self, rate: float) -> int:
        erlangs = rate * self._execution_s
        count = max(1, ceil(erlangs / 0.95))
        while self._latency_s(erlangs, count) > self._objective_s:
            count += 1
        return count

    def _latency_s(self, erlangs: float, count: int) -> float:
        """P99 of M/D/c as half the waiting of M/M/c."""
        waits = erlang_c(count, erlangs)
        if waits <= 0.0:
            return self._execution_s
        mean_given_waiting_s = self._execution_s / (count - erlangs)
        tail = max(0.0, log(100.0 * waits / (100.0 - self._settings.percentile)))
        return self._execution_s + mean_given_waiting_s * tail / 2.0
