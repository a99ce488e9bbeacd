"""Fifteen synthetic traces of three hours with the shapes that prediction services show, made from a seed.

They stand in for the production traces of the original evaluation, which are not public. Each has its own
stream, so one trace never depends on another. Execution means lie in the 10 to 500 ms that the deck names;
cv is low.
"""

from collections.abc import Callable

import numpy as np

from swayam_proxy.sim import rates
from swayam_proxy.sim.streams import array_stream
from swayam_proxy.sim.workload import Floats, LogNormalLaw, Workload, WorkloadError, workload_from_rates

DURATION_S = 3 * 3600.0
BIN_S = 1.0

Shape = Callable[[Floats, np.random.Generator], Floats]

_HOUR_S = 3600.0

SHAPES: dict[str, tuple[str, LogNormalLaw, Shape]] = {
    "steady": (
        "constant rate, 10 erlangs",
        LogNormalLaw(0.25, 0.25),
        lambda t, _: rates.constant(t, 40.0),
    ),
    "steady-small": (
        "constant rate, one erlang",
        LogNormalLaw(0.4, 0.2),
        lambda t, _: rates.constant(t, 2.5),
    ),
    "steady-large": (
        "constant rate, 40 erlangs of short requests",
        LogNormalLaw(0.2, 0.15),
        lambda t, _: rates.constant(t, 200.0),
    ),
    "diurnal": (
        "one slow wave, trough to peak 1:8",
        LogNormalLaw(0.2, 0.25),
        lambda t, _: rates.wave(t, 12.0, 100.0, DURATION_S),
    ),
    "waves": (
        "waves of twenty minutes, 1:3",
        LogNormalLaw(0.3, 0.25),
        lambda t, _: rates.wave(t, 20.0, 60.0, 1200.0),
    ),
    "ramp-up": (
        "straight rise 1:16",
        LogNormalLaw(0.2, 0.3),
        lambda t, _: rates.ramp(t, 6.0, 100.0),
    ),
    "ramp-down": (
        "straight fall 16:1",
        LogNormalLaw(0.2, 0.3),
        lambda t, _: rates.ramp(t, 100.0, 6.0),
    ),
    "step": (
        "the rate doubles after an hour and falls back after two",
        LogNormalLaw(0.25, 0.25),
        lambda t, _: rates.steps(t, ((0.0, 35.0), (_HOUR_S, 70.0), (2 * _HOUR_S, 35.0))),
    ),
    "stairs": (
        "steps of fifteen minutes up to 4x and down again",
        LogNormalLaw(0.15, 0.2),
        lambda t, _: rates.steps(
            t,
            tuple((900.0 * i, 30.0 * k) for i, k in enumerate((1, 1.5, 2, 2.5, 3, 4, 4, 3, 2.5, 2, 1.5, 1))),
        ),
    ),
    "spiky": (
        "eight spikes of 3x, each about two minutes, at random",
        LogNormalLaw(0.2, 0.25),
        lambda t, rng: rates.spikes(t, 30.0, np.sort(rng.uniform(600, 10_200, 8)), 3.0, 20.0, 60.0, 40.0),
    ),
    "flash-crowd": (
        "one crowd of 5x that comes in two minutes and leaves slowly",
        LogNormalLaw(0.2, 0.25),
        lambda t, rng: rates.spikes(t, 30.0, rng.uniform(2400, 7200, 1), 5.0, 120.0, 300.0, 900.0),
    ),
    "on-off": (
        "ten minutes of silence, ten of load",
        LogNormalLaw(0.3, 0.25),
        lambda t, _: rates.on_off(t, 50.0, 600.0, 600.0),
    ),
    "bursty": (
        "a Markov-modulated rate, 1 to 1.8, a minute or two in each state",
        LogNormalLaw(0.25, 0.25),
        lambda t, rng: rates.markov(t, (35.0, 63.0), (120.0, 60.0), rng),
    ),
    "very-bursty": (
        "a Markov-modulated rate, 1 : 2 : 4, half a minute in each state",
        LogNormalLaw(0.15, 0.3),
        lambda t, rng: rates.markov(t, (30.0, 60.0, 120.0), (60.0, 30.0, 15.0), rng),
    ),
    "wandering": (
        "a log-normal rate that drifts with a memory of five minutes",
        LogNormalLaw(0.3, 0.4),
        lambda t, rng: rates.wander(t, 40.0, 0.35, 300.0, rng),
    ),
}


def synthetic_workload(kind: str, seed: int = 1, duration_s: float = DURATION_S) -> Workload:
    """Make the trace called `kind` (a key of SHAPES); another seed gives another day of the same shape.

    Raises WorkloadError for a kind that does not exist. A shorter duration is the beginning of the long
    trace's shape.
    """
    if kind not in SHAPES:
        raise WorkloadError(f"no synthetic trace is called {kind!r}; there are: {', '.join(SHAPES)}")
    note, law, shape = SHAPES[kind]
    times_s = np.arange(0.0, DURATION_S, BIN_S)
    profile = shape(times_s, array_stream(seed, "rates", kind))[: round(duration_s / BIN_S)]
    rng = array_stream(seed, "requests", kind)
    return workload_from_rates(kind, profile, BIN_S, law, rng, note=f"synthetic: {note}")
