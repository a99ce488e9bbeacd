"""What the model says of each case, and how it compares."""

from dataclasses import dataclass

from scipy.optimize import brentq

from _validate_model.cases import ROUND_TRIP, Case
from _validate_model.table import Line
from swayam_proxy.core.model.capacity import least_backends
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting_late import holds_for
from swayam_proxy.core.vocabulary import DispatchPolicy


@dataclass(frozen=True, slots=True)
class Verdict:
    """The model's n beside the least that brute force found."""

    line: Line
    model_n: int

    @property
    def over(self) -> int:
        """How many backends the model asks for beyond the least; negative: too few."""
        return self.model_n - self.line.least_n

    @property
    def met(self) -> bool:
        """Equal, or more by at most one or 2 %."""
        return 0 <= self.over <= max(1.0, 0.02 * self.line.least_n)


def model_n(case: Case) -> int:
    """Ask the model."""
    service = LogNormal.of_mean_cv(1.0, case.cv)
    return least_backends(
        case.erlangs,
        service,
        case.response_time,
        case.level,
        policy=DispatchPolicy(case.policy),
        frontends_count=case.frontends,
        round_trip_s=ROUND_TRIP,
    ).needs


def verdicts(lines: list[Line]) -> list[Verdict]:
    """Compare all lines."""
    return [Verdict(line, model_n(line.case)) for line in lines]


def predicted_p99(line: Line) -> float:
    """The 99th percentile of the response time that the model expects at the least n."""
    case = line.case
    service = LogNormal.of_mean_cv(1.0, case.cv)
    holds = holds_for(case.response_time, 1.0)
    setting = Setting(DispatchPolicy(case.policy), 1, case.frontends, ROUND_TRIP, holds)

    def excess(time: float) -> float:
        return (
            float(ResponseTarget(service, time).attainment(case.erlangs, [line.least_n], setting)[0]) - 0.99
        )

    high = 2.0
    while excess(high) < 0.0 and high < 1e4:
        high *= 1.5
    if excess(high) < 0.0:
        return float("nan")  # the model says that so few cannot carry the load
    return float(brentq(excess, 0.01, high, xtol=1e-3))
