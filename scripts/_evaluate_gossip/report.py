"""From outcomes to the tables of docs/gossip-evaluation.md. Runs nothing."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import ceil

from swayam_proxy.sim.gossip_scenarios import Outcome

BOUNDS_S = {
    "crash": {8: (2.0, 3.0), 64: (2.0, 3.0), 512: (5.0, 8.0), 4096: (12.0, 20.0)},
    "join": {8: (0.6, 0.6), 64: (0.8, 0.8), 512: (1.2, 1.2), 4096: (3.0, 3.0)},
}
"""By scenario and members: the promise up to 10 % loss, and above."""
HEAD = """# Gossip in virtual time

Written by `scripts/evaluate-gossip`. The very `Membership` that live processes run, in a simulated network:
every datagram is written, sealed with HMAC-SHA-256, opened and read; delays are 0.2 to 0.8 ms one way; each
datagram is lost by itself with the given probability. Times in seconds. `crash` is from the kill until the
*last* living member has removed the dead one (or, for `split`, counts exactly its own half; for `pauses`,
has removed the one stopped for a minute); `join` from the start until all count the newcomer and it counts
all, to the next 0.05 s; `settled` from the end of the disturbance until every view is exact. `wrong` counts
removals of members that were alive and reachable, with the longest time that one lasted. With few events
the p99 column is their maximum. Networks above 64 members begin acquainted. Only `calm` carries forecasts
and statistics of one service; the others carry membership alone.
"""


def markdown(outcomes: Iterable[Outcome]) -> str:
    """Return the whole report."""
    ordered = sorted(outcomes, key=_group)
    rows = [_row(list(group)) for _, group in groupby(ordered, key=_group)]
    titles = (
        "scenario|members|loss|runs|crash p50|crash p99|promise|join p50|join p99|promise|settled max|wrong"
    )
    calm_titles = "members|loss|runs|bytes/s|datagrams/s|doubts/s (all)|F off by more than 1"
    calm = [row for row in (_calm_row(list(group)) for _, group in groupby(ordered, key=_group)) if row]
    return "\n".join([HEAD, "## Events", "", *_table(titles, rows), "", "## Calm, per member", "",
                      *_table(calm_titles, calm), ""])  # fmt: skip


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Return what breaks a promise."""
    found = []
    for outcome in outcomes:
        label = (
            f"{outcome.scenario}, {outcome.members_count} members, loss {outcome.loss}, seed {outcome.seed}"
        )
        found += [f"{label}: missed {what}" for what in outcome.missed]
        for times, name in ((outcome.crash_s, "crash"), (outcome.join_s, "join")):
            bound_s = _bound_s(name, outcome)
            if outcome.scenario == name and bound_s is not None:
                found += [f"{label}: {name} took {time:.2f} s" for time in times if time > bound_s]
        if outcome.wrong_s and max(outcome.wrong_s) > 2.0:
            found.append(f"{label}: wrongly removed for {max(outcome.wrong_s):.1f} s")
    return found


def _group(outcome: Outcome) -> tuple[str, int, float]:
    return outcome.scenario, outcome.members_count, outcome.loss


def _bound_s(name: str, outcome: Outcome) -> float | None:
    bounds = BOUNDS_S[name].get(outcome.members_count)
    return None if bounds is None else bounds[outcome.loss > 0.1]


def _row(group: Sequence[Outcome]) -> list[str]:
    first = group[0]
    crash = [time for outcome in group for time in outcome.crash_s]
    join = [time for outcome in group for time in outcome.join_s]
    settle = [time for outcome in group for time in outcome.settle_s]
    wrong = [time for outcome in group for time in outcome.wrong_s]
    missed = sum(len(outcome.missed) for outcome in group)
    return [
        first.scenario,
        str(first.members_count),
        f"{first.loss:.0%}",
        str(len(group)),
        *_spread(crash, _bound_s("crash", first)),
        *_spread(join, _bound_s("join", first)),
        f"{max(settle):.2f}" if settle else "",
        (f"{len(wrong)} ({max(wrong):.2f})" if wrong else "0") + (f", {missed} missed" if missed else ""),
    ]


def _spread(times: list[float], bound_s: float | None) -> tuple[str, str, str]:
    if not times:
        return "", "", ""
    ordered = sorted(times)
    high = ordered[ceil(0.99 * len(ordered)) - 1]
    return f"{ordered[len(ordered) // 2]:.2f}", f"{high:.2f}", "" if bound_s is None else f"{bound_s:g}"


def _calm_row(group: Sequence[Outcome]) -> list[str]:
    first, count = group[0], len(group)
    if first.scenario != "calm":
        return []
    return [
        str(first.members_count),
        f"{first.loss:.0%}",
        str(count),
        f"{sum(outcome.bytes_per_s for outcome in group) / count:,.0f}",
        f"{sum(outcome.datagrams_per_s for outcome in group) / count:.1f}",
        f"{sum(outcome.doubts_per_s for outcome in group) / count:.2f}",
        f"{max(outcome.off_by_more_share for outcome in group):.2%}",
    ]


def _table(titles: str, rows: Iterable[list[str]]) -> list[str]:
    columns = titles.split("|")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
