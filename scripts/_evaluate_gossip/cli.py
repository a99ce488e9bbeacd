"""The command line of scripts/evaluate-gossip."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from _evaluate_gossip.report import failures, markdown
from swayam_proxy.sim.gossip_scenarios import SCENARIOS, Outcome


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--members", multiple=True, type=click.IntRange(6, 8192), help="Sizes; default 8 and 64.")
@click.option("--loss", "losses", multiple=True, type=click.FloatRange(0.0, 0.9), help="Default 0, 0.1, 0.3.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Default: all.")
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(1, 1000), help="Runs of each.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path),
              help="Add outcomes here, one JSON object per line; runs that it holds are spared.")  # fmt: skip
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write Markdown here.")
@click.option("--only-report", is_flag=True, help="Run nothing; report what --results holds.")
def command(
    members: tuple[int, ...],
    losses: tuple[float, ...],
    names: tuple[str, ...],
    seeds: int,
    results: Path | None,
    report: Path | None,
    *,
    only_report: bool,
) -> None:
    """Run scenarios of the gossip in virtual time; exit status 1 when a promise is broken.

    4,096 members take minutes per run and 5 GB of memory.
    """
    outcomes = _held(results)
    done = {(o.scenario, o.members_count, o.loss, o.seed) for o in outcomes}
    for count in () if only_report else members or (8, 64):
        for loss in losses or (0.0, 0.1, 0.3):
            for name in names or tuple(SCENARIOS):
                for seed in range(seeds):
                    if (name, count, loss, seed) in done:
                        continue
                    outcome = SCENARIOS[name](count, loss, seed)
                    outcomes.append(outcome)
                    if results is not None:
                        with results.open("a") as file:
                            file.write(json.dumps(asdict(outcome)) + "\n")
                click.echo(f"{name}, {count} members, loss {loss:.0%}: {seeds} runs", err=True)
    text = markdown(outcomes)
    if report is not None:
        report.write_text(text)
    else:
        click.echo(text)
    broken = failures(outcomes)
    for line in broken:
        click.echo(line, err=True)
    sys.exit(1 if broken else 0)


def _held(results: Path | None) -> list[Outcome]:
    if results is None or not results.exists():
        return []
    return [Outcome(**json.loads(line)) for line in results.read_text().splitlines()]
