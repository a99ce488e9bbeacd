"""Each baseline's own rules, step by step, on gauges that are filled by hand."""

from math import ceil

import pytest

from swayam_proxy.sim.baselines.autopilot import Autopilot, AutopilotSettings
from swayam_proxy.sim.baselines.base import Autoscaler, Gauges, LargestOf, Second, Service
from swayam_proxy.sim.baselines.faro import Faro, FaroSettings
from swayam_proxy.sim.baselines.hpa import Hpa, HpaSettings
from swayam_proxy.sim.baselines.keda import Keda, KedaSettings
from swayam_proxy.sim.baselines.knative import Knative, KnativeSettings
from swayam_proxy.sim.baselines.llm_d import LlmD, LlmDSettings, replica_rate_per_s
from swayam_proxy.sim.baselines.model_free import ModelFree, ModelFreeSettings
from swayam_proxy.sim.baselines.ray_serve import RayServe, RayServeSettings
from swayam_proxy.sim.baselines.rule_of_thumb import RuleOfThumb, RuleOfThumbSettings
from swayam_proxy.sim.baselines.sagemaker import SageMaker, SageMakerSettings

SERVICE = Service(0.1, 0.5, 0.99, 1, 10.0, 100)


class Play:
    """Plays seconds of a given load to an autoscaler whose wish is granted at once."""

    def __init__(self, scaler: Autoscaler, start: int = 5) -> None:
        """Begin with `start` backends."""
        self.scaler = scaler
        self.gauges = Gauges()
        self.gauges.ready_count = self.gauges.wanted_count = start
        self.history: list[int] = []

    def load(
        self, in_flight: float, for_s: int, *, rate: float = 0.0, response_s: float = 0.1, highest: int = 0
    ) -> int:
        """Let seconds pass; return the last answer."""
        for _ in range(for_s):
            gauges = self.gauges
            gauges.now += 1.0
            count = round(rate or in_flight / 0.1)
            gauges.seconds.append(Second(in_flight, in_flight, count, count, count * response_s, highest))
            gauges.in_flight_count = ceil(in_flight)
            answer = self.scaler.wanted(gauges)
            gauges.ready_count = gauges.wanted_count = answer
            self.history.append(answer)
        return self.history[-1]


def test_the_largest_of_a_window_falls_out_of_it() -> None:
    """A value counts for the window and no longer; without a window each value stands alone."""
    held = LargestOf(10.0)
    assert [held.saw(at, value) for at, value in ((0, 5), (4, 3), (9, 2), (11, 2), (15, 1))] == [
        5,
        5,
        5,
        3,
        2,
    ]
    assert [LargestOf(0.0).saw(0.0, 4), LargestOf(0.0).saw(1.0, 2)] == [4, 2]


def test_knative_divides_by_its_target_and_panics() -> None:
    """7 in flight at 0.7 are 10 pods; a doubling within six seconds is met at once and held for a minute."""
    play = Play(Knative(SERVICE, KnativeSettings()))
    assert play.load(7.0, 70) == 10
    assert play.load(28.0, 8) >= 35
    peak = play.history[-1]
    assert play.load(7.0, 30) == peak, "no scaling in during panic"
    assert play.load(7.0, 120) == 10


def test_knative_goes_to_zero_after_the_grace() -> None:
    """Zero only after the stable window saw nothing and the grace passed."""
    play = Play(Knative(SERVICE, KnativeSettings()))
    play.load(0.5, 60)
    assert play.load(0.0, 80) == 1
    assert play.load(0.0, 20) == 0


def test_the_hpa_tolerates_ten_per_cent_and_stabilises() -> None:
    """Within the tolerance nothing moves; down waits for the largest of five minutes; up is limited per
    period.
    """
    play = Play(Hpa(SERVICE, HpaSettings()), start=10)
    assert play.load(7.3, 120) == 10
    assert play.load(70.0, 46) == 20 + 20
    assert play.load(70.0, 60) == 100
    assert play.load(7.0, 200) == 100
    assert play.load(7.0, 200) == 10


def test_keda_scales_on_the_instant_and_to_zero() -> None:
    """The count of the moment drives the HPA's rules; five idle minutes end in zero; a call brings one
    back.
    """
    play = Play(Keda(SERVICE, KedaSettings()))
    assert play.load(8.0, 30) == 8
    assert play.load(0.0, 299) >= 1
    assert play.load(0.0, 5) == 0
    assert play.load(1.0, 1) == 1


def test_ray_serve_needs_agreement_for_its_delay() -> None:
    """Up only after 30 s of the same wish, down after 600 s."""
    play = Play(RayServe(SERVICE, RayServeSettings()))
    assert play.load(40.0, 29) == 5
    assert play.load(40.0, 60) == 20
    assert play.load(10.0, 500) == 20
    assert play.load(10.0, 200) == 5


def test_sagemaker_waits_for_its_alarms() -> None:
    """Three high minutes scale out in proportion; in takes fifteen low ones and the cool-down."""
    play = Play(SageMaker(SERVICE, SageMakerSettings()))
    assert play.load(0.0, 179, rate=60.0) == 5
    assert play.load(0.0, 1, rate=60.0) == 12
    assert play.load(0.0, 800, rate=20.0) == 12
    assert play.load(0.0, 200, rate=20.0) == 4


def test_llm_d_keeps_the_mean_within_its_target() -> None:
    """The replica's rate solves its queue: M/M/1/11 at the target; the count is the rate over it."""
    per_replica = replica_rate_per_s(1, 0.1, 0.5, 10)
    rho = per_replica * 0.1
    weights = [rho**k for k in range(12)]
    mean = sum(k * w for k, w in enumerate(weights)) / sum(weights)
    throughput = per_replica * (1.0 - weights[-1] / sum(weights))
    assert mean / throughput == pytest.approx(0.5, rel=1e-6)
    play = Play(LlmD(SERVICE, LlmDSettings()))
    assert play.load(0.0, 60, rate=50.0) == ceil(50.0 / per_replica)


def test_faro_sees_a_trend_coming_and_helps_out() -> None:
    """A rising load asks for more than the present one; a late mean asks for one more every ten seconds."""
    rising = Play(Faro(SERVICE, FaroSettings()))
    for minute in range(10):
        rising.load(0.0, 60, rate=20.0 + 10.0 * minute)
    steady = Play(Faro(SERVICE, FaroSettings()))
    for _ in range(10):
        steady.load(0.0, 60, rate=110.0)
    assert rising.history[-1] > steady.history[-1] >= 12
    before = steady.history[-1]
    assert steady.load(0.0, 60, rate=110.0, response_s=2.0) > before


def test_autopilot_takes_a_percentile_of_the_past() -> None:
    """Short peaks below the percentile do not count; the margin and the target do."""
    play = Play(Autopilot(SERVICE, AutopilotSettings()))
    play.load(7.0, 590)
    play.load(50.0, 5)
    assert play.load(7.0, 5) == 11  # 7 x 1.1 / 0.7


def test_the_rule_of_thumb_is_what_it_says() -> None:
    """ceil(U L C) + 1 at a steady load."""
    play = Play(RuleOfThumb(SERVICE, RuleOfThumbSettings(burst=1.5)))
    assert play.load(0.0, 200, rate=40.0) == ceil(1.5 * 4.0) + 1


def test_the_model_free_prefix_stands_above_what_is_used() -> None:
    """The spare follows the highest index used, which counts for its memory."""
    play = Play(ModelFree(SERVICE, ModelFreeSettings(spare_count=2, memory_s=10.0)))
    assert play.load(1.0, 1, highest=6) == 8
    assert play.load(1.0, 10, highest=3) == 8
    assert play.load(1.0, 2, highest=3) == 5
