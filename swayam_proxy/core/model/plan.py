"""What-if on paper: how many backends a promise needs, what the number reacts to, and what would help.

Knows the model and one question; nothing of files, clocks or running proxies. The same functions answer here
and in the live decision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.capacity import ROUND_TRIP_S, Capacity, least_backends
from swayam_proxy.core.model.load import AUTO_QUANTILE, DRIFT_MIN, Forecast
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import Distribution, LogNormal, cv_squared
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting_late import holds_for
from swayam_proxy.core.vocabulary import DispatchPolicy

_CURVE_MAX = 24
_STEP = 0.1
"""Relative change of an input for the sensitivity."""


@dataclass(frozen=True, slots=True)
class Question:
    """A load, an execution time, a promise and how requests are dispatched."""

    rate_per_s: float
    service: Distribution
    response_time_s: float
    level: float
    burst: float | None = 1.0
    """None is "auto": a forecast with nothing but the least drift that is ever assumed."""
    policy: DispatchPolicy = DispatchPolicy.LATE_BINDING
    frontends_count: int = 8
    slots: int = 1
    round_trip_s: float = ROUND_TRIP_S
    holds_count: int | None = None
    dispersion: float = 1.0

    @property
    def load_per_s(self) -> float:
        """The rate that the promise must hold at."""
        if self.burst is not None:
            return self.burst * self.rate_per_s
        return Forecast(self.rate_per_s, 0.0, self.rate_per_s, 1.0, 0.0, DRIFT_MIN).quantile(AUTO_QUANTILE)


@dataclass(frozen=True, slots=True)
class Reaction:
    """How the answer changes when one input alone does; None where no n keeps the promise."""

    changed: str
    smaller: str
    backends_smaller: int | None
    larger: str
    backends_larger: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to a question."""

    backends: int
    feasible: bool
    binding: str
    utilisation: float
    """Share of the slots that the rate itself, without burst, keeps busy."""
    erlangs: float
    load_per_s: float
    best_share: float
    """What no number of backends can exceed."""
    attainment: tuple[tuple[int, float], ...]
    reactions: tuple[Reaction, ...]
    remedies: tuple[str, ...]
    """What would make the promise possible, each by itself; empty where it is."""


def capacity_for(
    question: Question, *, start: int | None = None, target: ResponseTarget | None = None
) -> Capacity:
    """Return the least number of backends, as the live decision would."""
    return least_backends(
        question.load_per_s,
        question.service,
        question.response_time_s,
        question.level,
        policy=question.policy,
        frontends_count=question.frontends_count,
        slots=question.slots,
        round_trip_s=question.round_trip_s,
        holds_count=question.holds_count,
        dispersion=question.dispersion,
        start=start,
        target=target,
    )


def plan(question: Question) -> Plan:
    """Answer a question, with everything that helps to judge the answer."""
    if not 0.0 < question.rate_per_s < float("inf"):
        raise ModelError(f"a plan needs a positive rate, not {question.rate_per_s!r}")
    if question.burst is not None and not 0.0 < question.burst < float("inf"):
        raise ModelError(f"a plan needs a positive burst, not {question.burst!r}")
    target = ResponseTarget(question.service, question.response_time_s)
    found = capacity_for(question, target=target)
    erlangs = question.rate_per_s * question.service.mean_s
    setting = _setting(question)
    return Plan(
        found.needs,
        found.feasible,
        found.binding,
        min(1.0, erlangs / (found.needs * question.slots)),
        erlangs,
        question.load_per_s,
        target.share_unqueued(setting),
        _curve(question, setting, target, found.needs),
        tuple(_reactions(question, found.needs)),
        () if found.feasible else _remedies(question, target, setting),
    )


def _setting(question: Question) -> Setting:
    holds = question.holds_count
    if holds is None:
        holds = holds_for(question.response_time_s, question.service.mean_s)
    return Setting(
        question.policy,
        question.slots,
        question.frontends_count,
        question.round_trip_s,
        holds,
        dispersion=question.dispersion,
    )


def _curve(
    question: Question, setting: Setting, target: ResponseTarget, needs: int
) -> tuple[tuple[int, float], ...]:
    """Attainment from the least n that carries the load to well beyond the answer, thinned out if long."""
    first = max(1, ceil(question.load_per_s * question.service.mean_s / question.slots))
    last = max(needs + 3, ceil(1.3 * needs))
    wanted = set(np.unique(np.linspace(min(first, needs), last, _CURVE_MAX).astype(int)).tolist())
    backends = sorted(wanted | {max(1, needs - 1), needs, needs + 1})
    shares = target.attainment(question.load_per_s, backends, setting)
    return tuple(zip(backends, shares.tolist(), strict=True))


def _reactions(question: Question, needs: int) -> list[Reaction]:
    """Ask again with each input alone a little smaller and a little larger."""
    mean_s, cv = question.service.mean_s, cv_squared(question.service) ** 0.5
    misses, frontends = 1.0 - question.level, question.frontends_count
    low, high = f"-{100.0 * _STEP:.0f} %", f"+{100.0 * _STEP:.0f} %"
    fewer = max(1, frontends // 2)

    def scaled(factor: float) -> dict[str, dict[str, Any]]:
        return {
            "rate": {"rate_per_s": factor * question.rate_per_s},
            "execution mean": {"service": LogNormal.of_mean_cv(factor * mean_s, cv)},
            "execution cv": {"service": LogNormal.of_mean_cv(mean_s, factor * cv)},
            "response time": {"response_time_s": factor * question.response_time_s},
        }

    changes = [
        (name, low, smaller, high, larger)
        for (name, smaller), larger in zip(
            scaled(1.0 - _STEP).items(), scaled(1.0 + _STEP).values(), strict=True
        )
    ]
    looser = {"level": max(0.5 * question.level, 1.0 - 2.0 * misses)}
    changes.append(("level", "misses x2", looser, "misses / 2", {"level": 1.0 - 0.5 * misses}))
    changes.append(("burst", "1", {"burst": 1.0}, "2", {"burst": 2.0}))
    more = {"frontends_count": 2 * frontends}
    changes.append(("frontends", str(fewer), {"frontends_count": fewer}, str(2 * frontends), more))

    def needs_with(change: dict[str, Any]) -> int | None:
        found = capacity_for(replace(question, **change), start=needs)
        return found.needs if found.feasible else None

    return [
        Reaction(name, less, needs_with(smaller), plus, needs_with(larger))
        for name, less, smaller, plus, larger in changes
    ]


def _remedies(question: Question, target: ResponseTarget, setting: Setting) -> tuple[str, ...]:
    """What each input would have to be for some n to keep the promise."""
    messages_s = question.response_time_s - _unqueued_time_s(question, target, setting)
    needed_s = question.service.quantile(question.level) + messages_s
    best = target.share_unqueued(setting)
    found = [f"a response time of more than {1000.0 * needed_s:.0f} ms"]
    if best > 0.0:
        found.append(f"a level below {best:.4f}")
    scale = (question.response_time_s - messages_s) / (needed_s - messages_s)
    if scale > 0.0:
        found.append(f"executions {100.0 * (1.0 - scale):.0f} % shorter")
    return tuple(found)


def _unqueued_time_s(question: Question, target: ResponseTarget, setting: Setting) -> float:
    """The part of the threshold that is left for the execution when nobody waits."""
    with_messages = target.share_unqueued(setting) != target.best_share
    return question.response_time_s - (question.round_trip_s if with_messages else 0.0)


@dataclass(frozen=True, slots=True)
class Course:
    """The answers along a course of rates."""

    backends: tuple[int, ...]
    """One for each rate."""
    feasible: bool

    @property
    def peak(self) -> int:
        """The most that are needed at once."""
        return max(self.backends, default=0)

    @property
    def mean(self) -> float:
        """What following the rate would use on average."""
        return float(np.mean(self.backends)) if self.backends else 0.0


def follow(question: Question, rates_per_s: Sequence[float]) -> Course:
    """Answer the question for every rate of a course; close rates share an answer, of the larger one."""
    target = ResponseTarget(question.service, question.response_time_s)
    known: dict[float, int] = {0.0: 0}
    feasible, start = True, None
    backends = []
    for rate in rates_per_s:
        rounded = 0.0 if rate <= 0.0 else float(np.exp(np.ceil(np.log(rate) * 100.0) / 100.0))
        if rounded not in known:
            found = capacity_for(replace(question, rate_per_s=rounded), start=start, target=target)
            known[rounded], feasible = found.needs, feasible and found.feasible
            start = found.needs
        backends.append(known[rounded])
    return Course(tuple(backends), feasible)
