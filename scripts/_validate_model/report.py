"""The report: one table per policy, the misses, and the plot of predicted over simulated percentiles."""

from collections.abc import Iterable
from pathlib import Path

from _validate_model.cases import POLICIES, ROUND_TRIP
from _validate_model.verdict import Verdict, predicted_p99

JUDGED = ("late-binding", "central-queue")
MET_MIN = 0.95
UNDER_MAX = 1


def passes(found: list[Verdict]) -> bool:
    """Late binding and the central queue: 95 % met, never lower by more than one."""
    for policy in JUDGED:
        own = [one for one in found if one.line.case.policy == policy]
        if own and (_share(one.met for one in own) < MET_MIN or min(one.over for one in own) < -UNDER_MAX):
            return False
    return True


def _share(flags: Iterable[bool]) -> float:
    known = list(flags)
    return sum(known) / len(known)


def summary(found: list[Verdict]) -> str:
    """One line per policy."""
    lines = [
        "| policy | cases | met | equal | one more | more | one fewer | fewer | clear |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for policy in POLICIES:
        own = [one for one in found if one.line.case.policy == policy]
        if not own:
            continue
        overs = [one.over for one in own]
        counts = (
            overs.count(0),
            overs.count(1),
            sum(o > 1 for o in overs),
            overs.count(-1),
            sum(o < -1 for o in overs),
            sum(one.line.clear for one in own),
        )
        lines.append(
            f"| {policy} | {len(own)} | {_share(one.met for one in own):.1%} | "
            + " | ".join(map(str, counts))
            + " |"
        )
    return "\n".join(lines)


def misses(found: list[Verdict]) -> str:
    """The cases that do not meet the bar."""
    lines = [
        "| case | erlangs | cv | threshold | level | frontends | least n | model n | share there | below |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        if one.met:
            continue
        line, case = one.line, one.line.case
        below = "" if line.share_below is None else f"{line.share_below:.4f} ± {line.error_below:.4f}"
        lines.append(
            f"| {case.name} | {case.erlangs:g} | {case.cv:g} | {case.response_time:g} | {case.level:g} "
            f"| {case.frontends} | {line.least_n} | {one.model_n} | {line.share:.4f} ± {line.error:.4f} "
            f"| {below} |"
        )
    return "\n".join(lines)


def write(docs: Path, found: list[Verdict]) -> None:
    """Write docs/model-validation.md and docs/model-validation.png."""
    plot(docs / "model-validation.png", found)
    (docs / "model-validation.md").write_text(
        _TEXT.format(
            count=len(found), trip=f"{100 * ROUND_TRIP:g} %", summary=summary(found), misses=misses(found)
        )
    )


def plot(path: Path, found: list[Verdict]) -> None:
    """Predicted over simulated 99th percentile of the response time at the least n, per policy."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(14, 7), sharex=True, sharey=True)
    for axis, policy in zip(axes.flat, POLICIES, strict=False):
        own = [one for one in found if one.line.case.policy == policy]
        simulated = [one.line.p99 for one in own]
        predicted = [predicted_p99(one.line) for one in own]
        loads = [one.line.case.erlangs / one.line.least_n for one in own]
        dots = axis.scatter(simulated, predicted, c=loads, s=16, cmap="viridis", vmin=0.0, vmax=1.0)
        axis.plot([1, 100], [1, 100], color="grey", linewidth=0.8)
        axis.set(xscale="log", yscale="log", title=policy, xlim=(1, 40), ylim=(1, 40))
    axes.flat[-1].axis("off")
    figure.colorbar(dots, ax=axes.flat[-1], label="load at the least n", location="left", fraction=0.5)
    figure.supxlabel("simulated 99th percentile of the response time, in mean executions")
    figure.supylabel("predicted")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


_TEXT = """# How far the model can be believed

Made by `scripts/validate-model --write`; the brute-force side is kept in `model-validation.csv` and made
again by `scripts/validate-model --play --again`, the model's side is computed whenever this is written.

{count} cases: erlangs 0.5 to 60, cv of the execution time 0.05 to 1.5 (log-normal), threshold 1.5 to 20 mean
executions, level 0.9 to 0.999, 1 to 16 frontends, Poisson arrivals, round trip {trip} of the mean execution,
one slot a backend. Brute force plays every request (`tests/core/model/brute_force.py`; with every message,
`brute_force_late.py`), walks to the least n that keeps the promise, and plays on while the share is within
three standard errors of the level, up to eight times; "clear" counts the cases where that was enough.

"Met" means: the model asks for as many backends as brute force, or for more by at most one or 2 %. The bar is
95 % for late binding and the central queue, and never fewer by more than one. Cases of a policy that are not
in the table have not been played yet: retry tries a hundred times per request near saturation, which is slow.

{summary}

![predicted over simulated 99th percentile](model-validation.png)

## Cases that miss it

{misses}
"""
