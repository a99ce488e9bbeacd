"""plan: how many backends a promise needs, what the number reacts to, and what it costs. Offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swayam_proxy.cli.drawing import drawing
from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, examples, json_option
from swayam_proxy.cli.samples import UNITS, read_samples
from swayam_proxy.cli.simulate import Burst, Duration, ResponseTime

if TYPE_CHECKING:
    from swayam_proxy.core.model.plan import Course, Plan, Question
    from swayam_proxy.core.model.service_time import Distribution
    from swayam_proxy.sim.workload import Workload

POLICIES = (
    "late-binding", "p2c", "least-outstanding", "random", "join-idle-queue", "retry", "central-queue",
)  # fmt: skip
STEP_S = 60.0
"""Along a trace, the rate is taken over windows of so long; the answer is for the busiest one."""
_HOURS_A_MONTH = 730.0


def _fits(least: float, below: float) -> Any:
    return click.FloatRange(min=least, max=below, min_open=True, max_open=True)


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam plan --rate 200 --exec-mean 50ms --exec-cv 0.3 --response-time 250ms --burst 1
        swayam plan --trace calls.csv.gz --samples executions.txt --response-time 5x --json
        swayam plan --rate 200 --exec-mean 50ms --response-time 100ms --dispatch p2c --plot plan.png
        """
    ),
)
@click.option("--rate", type=_fits(0.0, 1e9), help="Requests per second of all frontends together.")
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="FILE", help="Instead: a .csv or .csv.gz trace."
)
@click.option("--exec-mean", type=Duration(), help="Mean execution time.")
@click.option(
    "--exec-cv", type=click.FloatRange(0.0, 20.0), default=0.3, show_default=True, help="Deviation over mean."
)
@click.option(
    "--samples", type=click.Path(path_type=Path), metavar="FILE", help="Instead: measured times (see fit)."
)
@click.option(
    "--unit", type=click.Choice(list(UNITS)), default="s", show_default=True, help="Of the samples."
)
@click.option("--column", metavar="NAME", help="Of the samples, in a CSV file.")
@click.option("--response-time", type=ResponseTime(), default="5x", show_default=True, help="RT_max.")
@click.option(
    "--level", type=_fits(0.0, 1.0), default=0.99, show_default=True, help="Share that must be faster."
)
@click.option("--burst", type=Burst(), default="1", show_default=True, help="U, or auto.")
@click.option("--dispatch", type=click.Choice(POLICIES), default=POLICIES[0], show_default=True)
@click.option(
    "--frontends", type=click.IntRange(1, 100_000), default=8, show_default=True, help="Number of proxies."
)
@click.option(
    "--slots",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Requests at once per backend.",
)
@click.option(
    "--round-trip", type=Duration(), default="500us", show_default=True, help="Frontend to backend and back."
)
@click.option(
    "--holds", type=click.IntRange(1, 1000), help="Late binding: holds per request.  [default: 3, 6 if tight]"
)
@click.option(
    "--dispersion",
    type=_fits(0.0, 1e6),
    default=1.0,
    show_default=True,
    help="Of arrival counts; 1 is Poisson.",
)
@click.option("--price", type=_fits(0.0, 1e9), help="Of one backend for one hour, in any currency.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf).")
@json_option
def plan(**given: Any) -> None:
    """Say how many backends keep a promise: the least n, the share in time around it, what it reacts to.

    The same model decides live. With a trace the answer is for its busiest minute, and the cost of following
    the trace stands beside it.
    """
    from swayam_proxy.core.errors import ModelError
    from swayam_proxy.core.model.plan import follow
    from swayam_proxy.core.model.plan import plan as answer_to

    workload = _workload(given)
    try:
        question = _question(given, workload)
        answer = answer_to(question)
        rates = [] if workload is None else _rates(workload)
        course = follow(question, rates) if rates else None
    except ModelError as error:
        raise CommandFailed(str(error), "see swayam plan --help", Exit.USAGE) from None
    if given["plot"] is not None:
        _draw(given["plot"], question, answer, course)
    found = _answer(question, answer, course, given["price"])
    click.echo(json.dumps(found) if given["as_json"] else _table(question, found))


def _workload(given: dict[str, Any]) -> Workload | None:
    from swayam_proxy.sim.traces import TraceOptions, read_trace, suggested_law
    from swayam_proxy.sim.workload import LogNormalLaw, WorkloadError

    if (given["rate"] is None) == (given["trace"] is None):
        raise CommandFailed("name a load", "give --rate NUMBER, or --trace FILE", Exit.USAGE)
    if given["trace"] is None:
        return None
    try:
        law = suggested_law(given["trace"])
        if given["exec_mean"] is not None:
            law = LogNormalLaw(given["exec_mean"], given["exec_cv"])
        elif law is None and given["samples"] is not None:
            law = LogNormalLaw(1.0)  # unused: the samples say it
        return read_trace(given["trace"], TraceOptions(law))
    except WorkloadError as error:
        raise CommandFailed(
            str(error), "see swayam plan --help; --exec-mean may be missing", Exit.USAGE
        ) from None


def _service(given: dict[str, Any], workload: Workload | None) -> Distribution:
    from swayam_proxy.cli.fit import fitted
    from swayam_proxy.core.model.service_time import LogNormal

    if given["samples"] is not None:
        if given["exec_mean"] is not None:
            raise CommandFailed("two execution times", "give --exec-mean or --samples", Exit.USAGE)
        return fitted(read_samples(given["samples"], given["unit"], given["column"])).distribution
    if given["exec_mean"] is not None:
        return LogNormal.of_mean_cv(given["exec_mean"], given["exec_cv"])
    if workload is not None and workload.executions_s.size:
        return fitted(workload.executions_s.tolist()).distribution
    raise CommandFailed("name the execution time", "give --exec-mean 50ms, or --samples FILE", Exit.USAGE)


def _question(given: dict[str, Any], workload: Workload | None) -> Question:
    from swayam_proxy.core.model.plan import Question
    from swayam_proxy.core.vocabulary import DispatchPolicy

    service = _service(given, workload)
    ratio, seconds = given["response_time"]
    rate = given["rate"] if workload is None else max(_rates(workload), default=0.0)
    return Question(
        rate_per_s=rate,
        service=service,
        response_time_s=ratio * service.mean_s if seconds is None else seconds,
        level=given["level"],
        burst=given["burst"],
        policy=DispatchPolicy(given["dispatch"]),
        frontends_count=given["frontends"],
        slots=given["slots"],
        round_trip_s=given["round_trip"],
        holds_count=given["holds"],
        dispersion=given["dispersion"],
    )


def _rates(workload: Workload) -> list[float]:
    import numpy as np

    windows = max(1, round(workload.duration_s / STEP_S))
    width_s = workload.duration_s / windows
    places = np.minimum((workload.arrivals_s / width_s).astype(np.int64), windows - 1)
    rates: list[float] = (np.bincount(places, minlength=windows) / width_s).tolist()
    return rates


def _draw(path: Path, question: Question, answer: Plan, course: Course | None) -> None:
    with drawing(path):
        from swayam_proxy.cli.plots import draw_plan

        draw_plan(path, question, answer, None if course is None else (course, STEP_S))


def _answer(question: Question, answer: Plan, course: Course | None, price: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "backends": answer.backends,
        "feasible": answer.feasible,
        "binding": answer.binding,
        "utilisation": answer.utilisation,
        "attainment": [{"n": n, "share": share} for n, share in answer.attainment],
        "best_share": answer.best_share,
        "rate_per_s": question.rate_per_s,
        "load_per_s": answer.load_per_s,
        "erlangs": answer.erlangs,
        "response_time_s": question.response_time_s,
        "level": question.level,
        "burst": "auto" if question.burst is None else question.burst,
        "dispatch": question.policy.value,
        "frontends": question.frontends_count,
        "sensitivity": [
            {
                "input": each.changed,
                "smaller": each.smaller,
                "backends_smaller": each.backends_smaller,
                "larger": each.larger,
                "backends_larger": each.backends_larger,
            }
            for each in answer.reactions
        ],
        "remedies": list(answer.remedies),
        "cost": _cost(answer, course, price),
    }
    return found


def _cost(answer: Plan, course: Course | None, price: float | None) -> dict[str, Any]:
    cost: dict[str, Any] = {"backend_hours_per_hour": float(answer.backends)}
    if course is not None:
        cost |= {"mean_backends_following": course.mean, "peak_backends": course.peak}
    if price is not None:
        used = answer.backends if course is None else course.mean
        cost |= {"price_per_month": used * price * _HOURS_A_MONTH}
        cost |= {"price_per_month_at_peak": answer.backends * price * _HOURS_A_MONTH}
    return cost


_BINDING = {
    "promise": "one backend fewer would break the promise",
    "load": "fewer could not even carry the load",
    "execution": "no number of backends keeps it: execution alone takes too long",
    "idle": "there is no load",
}


def _table(question: Question, found: dict[str, Any]) -> str:
    within_ms = 1000.0 * question.response_time_s
    lines = [
        f"{'backends':16} {found['backends']}  ({_BINDING[found['binding']]})",
        f"{'promise':16} {100.0 * question.level:g} % within {within_ms:.4g} ms, {question.policy}",
        f"{'load':16} {found['load_per_s']:.6g}/s, that is burst {found['burst']} "
        f"on {found['rate_per_s']:.6g}/s or {found['erlangs']:.4g} erlangs",
        f"{'utilisation':16} {found['utilisation']:.1%}",
        f"{'in time at best':16} {found['best_share']:.4%}",
    ]
    lines += [f"{'  or rather':16} {remedy}" for remedy in found["remedies"]]
    lines += ["", f"{'n':>6} {'in time':>10}"]
    mark = "  <- needed" if found["feasible"] else "  <- more help little"
    for point in found["attainment"]:
        here = mark if point["n"] == found["backends"] else ""
        lines.append(f"{point['n']:>6} {point['share']:>10.4%}{here}")
    lines += ["", f"{'if alone':16} {'changes':>11} {'n':>7}   {'changes':>11} {'n':>7}"]
    for each in found["sensitivity"]:
        smaller, larger = (
            "never" if n is None else str(n) for n in (each["backends_smaller"], each["backends_larger"])
        )
        lines.append(
            f"{each['input']:16} {each['smaller']:>11} {smaller:>7}   {each['larger']:>11} {larger:>7}"
        )
    return "\n".join([*lines, *_cost_lines(found["cost"])])


def _cost_lines(cost: dict[str, Any]) -> list[str]:
    lines = [""] if len(cost) > 1 else []
    if "mean_backends_following" in cost:
        following, peak = cost["mean_backends_following"], cost["peak_backends"]
        lines.append(f"{'along the trace':16} {following:.1f} backends on average, {peak} at most")
    if "price_per_month" in cost:
        at_peak = cost["price_per_month_at_peak"]
        lines.append(
            f"{'cost a month':16} {cost['price_per_month']:,.2f} ({at_peak:,.2f} for n all the time)"
        )
    return lines
