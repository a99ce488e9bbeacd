"""Plays one workload under one policy by name: Swayam, or a baseline.

The door to the simulator for commands.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swayam_proxy.sim.baseline_world import BaselineWorld
from swayam_proxy.sim.baselines.catalogue import BASELINES, DISPATCHERS, Baseline
from swayam_proxy.sim.engine import Progress
from swayam_proxy.sim.record import RunRecord
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import Workload, WorkloadError
from swayam_proxy.sim.world import World

SWAYAM = "swayam"
POLICIES = (SWAYAM, *BASELINES)


def play(
    policy: str,
    scenario: Scenario,
    workload: Workload,
    *,
    settings: Mapping[str, str] | None = None,
    baseline_dispatch: str | None = None,
    progress: Progress | None = None,
) -> RunRecord:
    """Run it.

    `settings` and `baseline_dispatch` change a baseline (the scenario's own dispatch is Swayam's). Raises
    WorkloadError for a policy, a setting or a dispatch that does not exist.
    """
    if policy == SWAYAM:
        if settings or baseline_dispatch:
            raise WorkloadError("settings of a baseline make no sense for swayam")
        return World(scenario, workload).run(progress)
    return BaselineWorld(baseline_of(policy, settings or {}, baseline_dispatch), scenario, workload).run(
        progress
    )


def baseline_of(policy: str, settings: Mapping[str, str], dispatch: str | None = None) -> Baseline:
    """Return the baseline of that name with settings given as text."""
    if policy not in BASELINES:
        raise WorkloadError(f"no policy is called {policy!r}; there are: {', '.join(POLICIES)}")
    baseline = BASELINES[policy]
    if dispatch is not None:
        if dispatch not in DISPATCHERS:
            raise WorkloadError(
                f"baselines know no dispatch {dispatch!r}; there are: {', '.join(DISPATCHERS)}"
            )
        baseline = replace(baseline, dispatch=dispatch)
    return baseline.tuned(**{field: _read(baseline, field, text) for field, text in settings.items()})


def _read(baseline: Baseline, field: str, text: str) -> Any:
    """Read a setting's text as the type that its default has; `tuned` complains about unknown fields."""
    default = getattr(baseline.settings, field, None)
    try:
        return type(default)(text) if isinstance(default, int | float) else text
    except ValueError:
        raise WorkloadError(f"{baseline.name}: {field} is {text!r}, not a number") from None
