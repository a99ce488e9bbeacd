"""The comparison as a table, as a document and as a picture."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from _compare_live.live import Seen
from _compare_live.scenario import LAW, Played
from _compare_live.verdict import (
    COST_APART_MAX,
    SAME_MIN,
    SHARE_APART_MAX,
    Verdict,
    at_times,
    median_prefix,
    times_of,
)
from swayam_proxy.sim.workload import Workload


def table(verdict: Verdict, chance: Verdict, live: Seen) -> str:
    """Return the figures as Markdown; `chance` compares two simulations with other dice."""

    def met(is_met: bool) -> str:
        return "met" if is_met else "MISSED"

    shares, costs, p50_s, p99_s = verdict.shares, verdict.costs, verdict.p50_s, verdict.p99_s
    rows = [
        ("what", "live", "simulated", "apart", "bar", "two simulations"),
        ("---",) + ("---:",) * 5,
        (
            "requests within the promise", f"{shares[0]:.2%}", f"{shares[1]:.2%}",
            f"{100 * verdict.share_apart:.2f} points",
            f"{100 * SHARE_APART_MAX:.0f} point: {met(verdict.share_apart <= SHARE_APART_MAX)}",
            f"{100 * chance.share_apart:.2f} points",
        ),
        (
            "backend-seconds", f"{costs[0]:,.0f}", f"{costs[1]:,.0f}", f"{verdict.cost_apart:.1%}",
            f"{COST_APART_MAX:.0%}: {met(verdict.cost_apart <= COST_APART_MAX)}", f"{chance.cost_apart:.1%}",
        ),
        (
            "same n", "", "", f"{verdict.same_share:.1%} of the time",
            f"{SAME_MIN:.0%}: {met(verdict.same_share >= SAME_MIN)}", f"{chance.same_share:.1%}",
        ),
        ("n within one", "", "", f"{verdict.near_share:.1%} of the time", "", f"{chance.near_share:.1%}"),
        (
            "response time, median", f"{1e3 * p50_s[0]:.0f} ms", f"{1e3 * p50_s[1]:.0f} ms",
            f"{1e3 * (p50_s[0] - p50_s[1]):+.1f} ms", "", "",
        ),
        (
            "response time, P99", f"{1e3 * p99_s[0]:.0f} ms", f"{1e3 * p99_s[1]:.0f} ms",
            f"{1e3 * (p99_s[0] - p99_s[1]):+.1f} ms", "", "",
        ),
    ]  # fmt: skip
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [
        "",
        "A wake-up of the rules, decision included, kept a proxy's event loop "
        f"{1e3 * live.wakeups_mean_s:.2f} ms in the mean and {1e3 * live.longest_wakeup_s:.2f} ms at most.",
    ]
    return "\n".join(lines)


def document(played: Played, workload: Workload, verdict: Verdict, chance: Verdict, live: Seen) -> str:
    """Return docs/live-against-simulated.md."""
    return f"""# One run live and simulated

Written by `scripts/compare-live --write`.

{played.proxies_count} proxies (`swayam launch`, with gossip) before {played.backends_count} fake backends
with sidecars, all on one machine; late binding, burst auto; {100 * played.level:g} % within
{played.response_time_s:g} s at executions of {LAW.mean_s:g} s (cv {LAW.cv:g}); set-up
{played.setup_s:g} s, idle {played.idle_s:g} s. {workload.requests_count:,} Poisson requests,
{played.least_per_s:g} to {played.most_per_s:g} a second in {played.waves_count} wave(s),
{played.measured_s:.0f} s
after {played.warm_up_s:.0f} s of warm-up from cold. The simulator gets the same requests at the same
moments with the same executions; which proxy gets which is chance in both, and the last column tells what
that alone does: two simulations with other dice.

The larger n, the less one backend more or less means, and the more often chance moves it. Five minutes with
twice the erlangs and more, 30 to 100 requests/s of 0.2 s in two waves (n 10 to 34), brought 100 % within the
promise in both, backend-seconds 0.2 % apart, n within one for 90 % of the time and the same for 44 %; two
simulations with other dice had the same n for 67 % of the time.

{table(verdict, chance, live)}

Live, a tick falls anywhere within a second of the counts; simulated, at its end, so that a live proxy sees a
change half a second later. The time of wake-ups is that of the wall: what other processes of the machine took
meanwhile is part of it.

n is the median of the proxies' prefixes, four times a second. Backend-seconds live are those of backends that
a proxy does not call cold, five times a second.

![n and backends over time](live-against-simulated.png)
"""


def plot(path: Path, played: Played, workload: Workload, live: Seen, simulated: Seen) -> None:
    """Draw load, n and billed backends over time."""
    times_s = times_of(played)
    figure = Figure(figsize=(9.0, 7.5), layout="constrained")
    load, prefix, billed = figure.subplots(3, 1, sharex=True, height_ratios=(1.0, 2.0, 2.0))
    seconds = np.arange(0.0, played.duration_s + 1.0)
    rates = np.histogram(workload.arrivals_s, seconds)[0]
    smooth = np.convolve(rates, np.ones(5) / 5.0, mode="same")
    load.plot(seconds[:-1], smooth, color="0.3", linewidth=1.0)
    load.set_ylabel("requests/s\n(5 s mean)")
    load.set_ylim(0.0)
    for axes, what, values in (
        (prefix, "n (median of the proxies)", [median_prefix(each, times_s) for each in (live, simulated)]),
        (billed, "billed backends", [at_times(each.billed, times_s) for each in (live, simulated)]),
    ):
        axes.step(times_s, values[0], where="post", color="tab:blue", linewidth=1.6, label="live")
        axes.step(
            times_s,
            values[1],
            where="post",
            color="tab:orange",
            linewidth=1.2,
            linestyle="--",
            label="simulated",
        )
        axes.set_ylabel(what)
        axes.set_ylim(0.0)
        axes.legend(loc="lower right", fontsize=9)
    for axes in (load, prefix, billed):
        axes.grid(alpha=0.3)
        axes.set_xlim(played.warm_up_s, played.duration_s)
    load.set_title("The same requests live and simulated", fontsize=11)
    billed.set_xlabel("time, s")
    figure.savefig(path, dpi=110)
