"""The command line: play what is missing, compare, write the report."""

from pathlib import Path
from time import perf_counter

import click

from _validate_model import brute, report, table
from _validate_model import sensitivity as few_samples
from _validate_model.cases import POLICIES, all_cases
from _validate_model.verdict import model_n, verdicts

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE = DOCS / "model-validation.csv"


@click.command()
@click.option("--play", is_flag=True, help="Play out the cases that the table lacks (hours for all of them).")
@click.option("--again", is_flag=True, help="With --play: forget the table first.")
@click.option("--policy", type=click.Choice(POLICIES), multiple=True, help="Only these policies.")
@click.option("--limit", type=click.IntRange(min=1), help="Play at most so many cases.")
@click.option("--write", is_flag=True, help="Write docs/model-validation.md and its plot.")
@click.option("--sensitivity", is_flag=True, help="Write docs/model-sensitivity.md: n while samples are few.")
def command(
    play: bool, again: bool, policy: tuple[str, ...], limit: int | None, write: bool, sensitivity: bool
) -> None:
    """Compare the model's number of backends with the least that brute force finds.

    The brute-force side lies in docs/model-validation.csv; the model's side is computed now. Exits with 1
    when the bar is missed for late binding or the central queue.
    """
    lines = [] if again else table.read(TABLE)
    if play:
        _play(lines, policy, limit)
    found = [one for one in verdicts(lines) if not policy or one.line.case.policy in policy]
    click.echo(report.summary(found))
    if sensitivity:
        few_samples.write(DOCS / "model-sensitivity.md", few_samples.rows())
    if write:
        report.write(DOCS, found)
    if not report.passes(found):
        raise SystemExit(1)


def _play(lines: list[table.Line], policies: tuple[str, ...], limit: int | None) -> None:
    done = {line.case.name for line in lines}
    missing = [c for c in all_cases() if c.name not in done and (not policies or c.policy in policies)]
    for case in missing[:limit]:
        began = perf_counter()
        guess = model_n(case)
        line = table.line_of(case, brute.least_backends(case, guess))
        lines.append(line)
        table.write(TABLE, lines)
        took = f"{perf_counter() - began:.1f} s"
        click.echo(f"{case.name}: least {line.least_n}, model {guess}, {took}", err=True)
