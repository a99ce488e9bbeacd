"""How much the n of eight frontends differ, by simulation with the frontends of the live process."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sim.agreement import Agreement, agreement_of
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import LogNormalLaw, workload_from_rates
from swayam_proxy.sim.world import World

LENGTH_S = 600
_FROM_S = 60.0
_SCENARIO = Scenario(
    frontends_count=8,
    backends_count=80,
    burst=None,
    dispatch=DispatchPolicy.LATE_BINDING,
    gossip_statistics_s=20.0,
)
_STEPS_S = 100


def _steady(_: int) -> float:
    return 120.0


def _waves(second: int) -> float:
    return 120.0 + 80.0 * float(np.sin(2.0 * np.pi * second / 300.0))


def _steps(second: int) -> float:
    return (60.0, 180.0, 120.0, 200.0, 80.0, 120.0)[second // _STEPS_S % 6]


LOADS: dict[str, Callable[[int], float]] = {"steady": _steady, "waves": _waves, "steps": _steps}
SPLITS: dict[str, float | None] = {"even": None, "90/10": 0.9}
TALKS: dict[str, dict[str, float | None]] = {
    "all": {},
    "30 % lost": {"gossip_loss": 0.3},
    "no statistics": {"gossip_statistics_s": None},
    "silent": {"gossip_s": None},
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one combination showed, over all seeds."""

    load: str
    split: str
    talk: str
    found: tuple[Agreement, ...]


def play(load: str, split: str, talk: str, seeds_count: int) -> Row:
    """Simulate ten minutes for each seed; the first minute does not count."""
    rates = np.array([LOADS[load](second) for second in range(LENGTH_S)])
    found = []
    for seed in range(1, seeds_count + 1):
        rng = np.random.default_rng(seed)
        workload = workload_from_rates(load, rates, 1.0, LogNormalLaw(0.2, 0.3), rng)
        changes = {"first_frontend_share": SPLITS[split], "seed": seed, **TALKS[talk]}
        world = World(replace(_SCENARIO, **changes), workload)  # type: ignore[arg-type]  # names of its fields
        world.keep_decisions = True
        world.run()
        found.append(agreement_of(world.decisions, _SCENARIO.frontends_count, _FROM_S, float(LENGTH_S)))
    return Row(load, split, talk, tuple(found))


def table(rows: list[Row]) -> str:
    """Return Markdown: averages over seeds, and the largest difference of all."""
    titles = "load|split|gossip|all n equal|within one|mean difference|largest|mean n"
    lines = ["| " + " | ".join(titles.split("|")) + " |", "|" + "---|" * 8]
    for row in rows:
        count = len(row.found)
        cells = (
            row.load,
            row.split,
            row.talk,
            f"{sum(each.same_share for each in row.found) / count:.0%}",
            f"{sum(each.within_one_share for each in row.found) / count:.0%}",
            f"{sum(each.difference_mean for each in row.found) / count:.2f}",
            str(max(each.difference_max for each in row.found)),
            f"{sum(each.prefix_mean for each in row.found) / count:.1f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
