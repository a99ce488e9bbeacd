"""All baselines by name: how each is made, how it dispatches, and over what it is tuned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from swayam_proxy.sim.baselines.autopilot import Autopilot, AutopilotSettings
from swayam_proxy.sim.baselines.base import Autoscaler, Service
from swayam_proxy.sim.baselines.dispatch import (
    Activators,
    CentralQueue,
    Dispatcher,
    Occupancy,
    PowerOfTwo,
    RandomBackend,
)
from swayam_proxy.sim.baselines.faro import Faro, FaroSettings
from swayam_proxy.sim.baselines.fixed import Fixed, FixedSettings
from swayam_proxy.sim.baselines.hpa import Hpa, HpaSettings
from swayam_proxy.sim.baselines.keda import Keda, KedaSettings
from swayam_proxy.sim.baselines.knative import Knative, KnativeSettings
from swayam_proxy.sim.baselines.llm_d import LlmD, LlmDSettings
from swayam_proxy.sim.baselines.model_free import ModelFree, ModelFreeSettings
from swayam_proxy.sim.baselines.ray_serve import RayServe, RayServeSettings
from swayam_proxy.sim.baselines.rule_of_thumb import RuleOfThumb, RuleOfThumbSettings
from swayam_proxy.sim.baselines.sagemaker import SageMaker, SageMakerSettings
from swayam_proxy.sim.workload import WorkloadError

DISPATCHERS: dict[str, Callable[[Occupancy, Random], Dispatcher]] = {
    "central": CentralQueue,
    "first": lambda occupancy, rng: CentralQueue(occupancy, rng, lowest_first=True),
    "activators": Activators,
    "random": RandomBackend,
    "power-of-two": PowerOfTwo,
}


@dataclass(frozen=True, slots=True)
class Baseline:
    """One autoscaler with its settings and its dispatch."""

    name: str
    kind: Callable[[Service, Any], Autoscaler]
    settings: Any
    dispatch: str
    grid: tuple[tuple[str, tuple[Any, ...]], ...]
    """Settings that tuning tries: (field, values); the product of all is searched."""
    idles: bool = False
    """Backends that are not wanted stay warm until they were idle for the idle time; else they go at once."""
    sheds: bool = False
    """Requests that waited too long to keep the promise are refused."""

    def tuned(self, **changes: Any) -> "Baseline":
        """Return the same baseline with other settings."""
        known = {field for field, _ in self.grid} | set(self.settings.__dataclass_fields__)
        for field in changes:
            if field not in known:
                raise WorkloadError(
                    f"{self.name} has no setting {field!r}; there are: {', '.join(sorted(known))}"
                )
        return replace(self, settings=replace(self.settings, **changes))


BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "knative",
            Knative,
            KnativeSettings(),
            "activators",
            (
                ("target_utilisation", (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)),
                ("stable_window_s", (20, 30, 60)),
                ("scale_down_delay_s", (0.0, 60.0)),
            ),
        ),
        Baseline(
            "hpa",
            Hpa,
            HpaSettings(),
            "random",
            (
                ("target_utilisation", (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)),
                ("stabilisation_s", (60.0, 300.0)),
                ("sync_s", (5, 15)),
            ),
        ),
        Baseline(
            "keda",
            Keda,
            KedaSettings(),
            "random",
            (("target_utilisation", (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)),),
        ),
        Baseline(
            "ray-serve",
            RayServe,
            RayServeSettings(),
            "power-of-two",
            (
                ("target_ongoing_requests", (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 2.0)),
                ("upscale_delay_s", (0.0, 5.0, 30.0)),
                ("downscale_delay_s", (60.0, 600.0)),
            ),
        ),
        Baseline(
            "sagemaker",
            SageMaker,
            SageMakerSettings(),
            "random",
            (
                ("safety_factor", (0.3, 0.4, 0.5, 0.6, 0.7)),
                ("points_high", (1, 3)),
                ("points_low", (5, 15)),
                ("cooldown_in_s", (60.0, 300.0)),
            ),
        ),
        Baseline(
            "llm-d",
            LlmD,
            LlmDSettings(),
            "power-of-two",
            (
                ("target_share", (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)),
                ("interval_s", (15, 30, 60)),
                ("rate_window_s", (30, 60)),
            ),
        ),
        Baseline(
            "faro",
            Faro,
            FaroSettings(),
            "power-of-two",
            (
                ("objective_share", (0.25, 0.3, 0.4, 0.6, 1.0)),
                ("interval_s", (60, 300)),
            ),
        ),
        Baseline(
            "autopilot",
            Autopilot,
            AutopilotSettings(),
            "power-of-two",
            (
                ("target_utilisation", (0.6, 0.7, 0.8, 0.9)),
                ("interval_s", (60, 300)),
                ("half_life_s", (300.0, 1200.0)),
                ("hold_s", (60.0, 600.0)),
            ),
        ),
        Baseline(
            "rule-of-thumb",
            RuleOfThumb,
            RuleOfThumbSettings(),
            "central",
            (("burst", (1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0)), ("spare_count", (0, 1, 2))),
            idles=True,
        ),
        Baseline(
            "model-free",
            ModelFree,
            ModelFreeSettings(),
            "first",
            (("spare_count", (0, 1, 2, 3, 5)), ("memory_s", (1.0, 10.0, 60.0))),
            idles=True,
        ),
        Baseline("fixed", Fixed, FixedSettings(), "central", (("backends_count", tuple(range(4, 65, 4))),)),
    )
}
