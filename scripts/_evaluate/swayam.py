"""Swayam's own runs: the settings that the tables show, and the ablations that turn one thing at a time."""

from dataclasses import dataclass, replace

from _evaluate.jobs import Job, Result, Store, pairs
from _evaluate.traces import TraceSpec

LATE = "late-binding"
SETTINGS: dict[str, dict[str, object]] = {
    "swayam, auto": {"burst": None, "dispatch": LATE},
    "swayam, U = 2 (deck)": {"burst": 2.0, "dispatch": LATE},
    "swayam, U = 1.2": {"burst": 1.2, "dispatch": LATE},
    "swayam, U = 1": {"burst": 1.0, "dispatch": LATE},
}
HEADLINE = "swayam, auto"


@dataclass(frozen=True, slots=True)
class Ablation:
    """One thing turned: its title, and scenario changes by label."""

    title: str
    rows: dict[str, dict[str, object]]


ABLATIONS = (
    Ablation("Burst factor", {f"U = {u}": {"burst": u} for u in (1.0, 1.5, 2.0)} | {"auto": {"burst": None}}),
    Ablation(
        "Dispatch",
        {name: {"dispatch": name} for name in ("random", "p2c", "least-outstanding", "late-binding")},
    ),
    Ablation("Set-up time", {f"{s} s": {"setup_s": float(s)} for s in (2, 10, 30, 60, 120)}),
    Ablation("Frontends", {str(count): {"frontends_count": count} for count in (1, 4, 8, 16, 64)}),
    Ablation(
        "Gossip",
        {
            "every 0.5 s": {},
            "half is lost": {"gossip_loss": 0.5},
            "90 % is lost": {"gossip_loss": 0.9},
            "none: L = F x L'": {"gossip_s": None},
            "90/10 split": {"first_frontend_share": 0.9},
            "90/10 split, none": {"first_frontend_share": 0.9, "gossip_s": None},
        },
    ),
    Ablation("Shedding", {"late ones are refused": {}, "everything is queued": {"shed_late": False}}),
    Ablation("Threshold", {f"{ratio:g}C": {"response_time_ratio": ratio} for ratio in (2.0, 3.0, 5.0)}),
)
CONTROLS: dict[str, dict[str, object]] = {
    "model and forecast": {"model": True, "spare_count": 0},
    "no forecast": {"model": True, "spare_count": 0, "forecast": False},
    "no model": {"model": False, "spare_count": 1},
    "neither": {"model": False, "spare_count": 1, "forecast": False},
}
_ABLATED_S = 3_600.0
CONTROL_BURSTS = (1.0, 1.1, 1.2, 1.5)


def settings_results(store: Store, traces: list[TraceSpec]) -> dict[str, dict[str, Result]]:
    """Return the results of all settings by label and trace."""
    jobs = [
        Job(trace, "swayam", scenario=pairs(changes)) for changes in SETTINGS.values() for trace in traces
    ]
    found = iter(store.results(jobs, "swayam"))
    return {label: {trace.name: next(found) for trace in traces} for label in SETTINGS}


def ablation_results(store: Store, traces: list[TraceSpec]) -> dict[str, dict[str, dict[str, Result]]]:
    """Return results by ablation, row and trace; all else is as in the headline.

    The first hour of each trace is played: what counts is the difference between rows.
    """
    base = SETTINGS[HEADLINE]
    traces = [replace(trace, until_s=min(trace.until_s, _ABLATED_S)) for trace in traces]
    jobs = [
        Job(trace, "swayam", scenario=pairs({**base, **changes}))
        for ablation in ABLATIONS
        for changes in ablation.rows.values()
        for trace in traces
    ]
    found = iter(store.results(jobs, "ablations"))
    return {
        ablation.title: {label: {trace.name: next(found) for trace in traces} for label in ablation.rows}
        for ablation in ABLATIONS
    }


def control_results(store: Store, traces: list[TraceSpec]) -> dict[str, dict[str, Result]]:
    """Return the worth of forecast and model.

    The same loop without them, all on a central queue that sheds.
    """
    variant = pairs({"sheds": True})
    jobs = {
        f"{label}, U = {burst:g}": [
            Job(trace, "rule-of-thumb", pairs({**settings, "burst": burst}), variant=variant)
            for trace in traces
        ]
        for label, settings in CONTROLS.items()
        for burst in CONTROL_BURSTS
    }
    flat = store.results([job for row in jobs.values() for job in row], "controls")
    found = iter(flat)
    return {label: {trace.name: next(found) for trace in traces} for label in jobs}
