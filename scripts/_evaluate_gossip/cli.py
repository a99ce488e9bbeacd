"""The command line of scripts/evaluate-gossip."""

import sys
import time
from pathlib import Path

import click

from _evaluate_gossip.outcomes import Case, add, held
from _evaluate_gossip.report import failures, markdown
from swayam_proxy.sim.gossip_scenarios import SCENARIOS, Outcome, hour

PLAYS = {**SCENARIOS, "hour": hour}
UNFINISHED_STATUS = 3

_results = click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("var/gossip.jsonl"),
    show_default=True,
    help="Outcomes, one JSON object per line; runs that it holds are spared.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure the gossip."""


@command.command()
@click.option("--members", multiple=True, type=click.IntRange(6, 8192), help="Sizes; default 8 and 64.")
@click.option("--loss", "losses", multiple=True, type=click.FloatRange(0.0, 0.9), help="Default 0, 0.1, 0.3.")
@click.option(
    "--scenario", "names", multiple=True, type=click.Choice(list(PLAYS)), help="Default: all but hour."
)
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1, 1000), help="Runs of each.")
@click.option("--stop-after", "stop_after_s", default=0.0, type=click.FloatRange(0.0), metavar="SECONDS",
              help="Begin no run later than this; exit status 3 when some are left.")  # fmt: skip
@_results
def matrix(
    members: tuple[int, ...],
    losses: tuple[float, ...],
    names: tuple[str, ...],
    seeds: int,
    stop_after_s: float,
    results: Path,
) -> None:
    """Run scenarios in virtual time; exit status 1 when a promise is broken.

    On one core a run with 64 members takes 2 to 8 s, with 512 up to two minutes, with 4,096 up to ten minutes
    and 2 GB; an `hour` of 64 members takes five minutes.
    """
    began = time.monotonic()
    done = {Case.of(outcome) for outcome in held(results)}
    cases = [
        Case(name, count, loss, seed)
        for seed in range(seeds)
        for count in members or (8, 64)
        for loss in losses or (0.0, 0.1, 0.3)
        for name in names or tuple(SCENARIOS)
    ]
    left = [case for case in cases if case not in done]
    for number, case in enumerate(left):
        if stop_after_s and time.monotonic() - began >= stop_after_s:
            click.echo(f"{len(left) - number} of {len(cases)} runs are left", err=True)
            sys.exit(UNFINISHED_STATUS)
        outcome = PLAYS[case.scenario](case.members_count, case.loss, case.seed)
        add(results, outcome)
        click.echo(f"{case}: {_words(outcome)}", err=True)
    wanted = set(cases)
    _judge([outcome for outcome in held(results) if Case.of(outcome) in wanted])


@command.command()
@_results
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write Markdown here, and the plot beside it, not to standard output.")  # fmt: skip
def report(results: Path, path: Path | None) -> None:
    """Report what --results holds; exit status 1 when a promise is broken."""
    outcomes = held(results)
    if path is None:
        click.echo(markdown(outcomes))
    else:
        from _evaluate_gossip.plots import draw

        path.write_text(markdown(outcomes, path.with_suffix(".png").name))
        draw(outcomes, path.with_suffix(".png"))
    _judge(outcomes)


def _judge(outcomes: list[Outcome]) -> None:
    broken = failures(outcomes)
    for line in broken:
        click.echo(line, err=True)
    sys.exit(1 if broken else 0)


def _words(outcome: Outcome) -> str:
    times = {"counted out": outcome.crash_s, "joined": outcome.join_s, "settled": outcome.settle_s}
    found = [f"{name} in at most {max(each):.2f} s" for name, each in times.items() if each]
    found += [f"missed {what}" for what in outcome.missed]
    return ", ".join(found) or "done"
