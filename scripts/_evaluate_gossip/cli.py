"""The command line of scripts/evaluate-gossip."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from _evaluate_gossip.outcomes import Case, add, held
from _evaluate_gossip.report import failures, markdown
from swayam_proxy.sim.gossip_scenarios import SCENARIOS, Outcome, hour

if TYPE_CHECKING:
    from _evaluate_gossip.processes import Group

PLAYS = {**SCENARIOS, "hour": hour}
UNFINISHED_STATUS = 3
_CPU_SHARE_MAX = 0.01
_CALM_DOWN_S = 5.0

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
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 100), help="Runs of each.")
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here.")
def agreement(seeds: int, path: Path | None) -> None:
    """Simulate eight frontends, and tell how much the n that they publish differ."""
    from _evaluate_gossip.agreement import LOADS, SPLITS, TALKS, play, table

    rows = []
    for load in LOADS:
        for split in SPLITS:
            for talk in TALKS:
                rows.append(play(load, split, talk, seeds))
                click.echo(f"{load}, {split}, {talk}", err=True)
    text = table(rows)
    if path is None:
        click.echo(text)
    else:
        path.write_text(text + "\n")


@command.command()
@click.option("--members", default=8, show_default=True, type=click.IntRange(2, 64), help="Processes.")
@click.option(
    "--for", "for_s", default=30.0, show_default=True, type=click.FloatRange(1.0), metavar="SECONDS"
)
def cpu(members: int, for_s: float) -> None:
    """Measure what gossip costs each of some processes; exit status 1 at a hundredth of a core and more."""
    from _evaluate_gossip.processes import Group

    with tempfile.TemporaryDirectory() as directory, Group(Path(directory), members, watches=False) as group:
        group.wait(lambda: _all_counted(group), 20.0, "all members to count all")
        time.sleep(_CALM_DOWN_S)
        before_s = [group.cpu_s(index) for index in range(members)]
        sent = [group.state(index) for index in range(members)]
        time.sleep(for_s)
        shares = [(group.cpu_s(index) - before_s[index]) / for_s for index in range(members)]
        later = [group.state(index) for index in range(members)]
    datagrams, sent_bytes = (
        sum(now[name] - then[name] for now, then in zip(later, sent, strict=True)) / members / for_s
        for name in ("sent", "sent_bytes")
    )
    click.echo(
        f"{members} members, {for_s:g} s: {sum(shares) / members:.2%} of a core each, at most "
        f"{max(shares):.2%}; each sent {datagrams:.1f} datagrams and {sent_bytes:,.0f} bytes a second"
    )
    sys.exit(1 if max(shares) >= _CPU_SHARE_MAX else 0)


def _all_counted(group: "Group") -> bool:
    count = group.members_count
    return all(group.state(index).get("counted") == count for index in range(count))


@command.command()
@click.option(
    "--at-length", is_flag=True, help="Pauses and splits of a minute, replays after ten: 15 minutes."
)
def real(*, at_length: bool) -> None:
    """Play the rows of the fault matrix between real processes: the tests of scripts/test, or longer."""
    root = Path(__file__).resolve().parents[2]
    tests = [
        str(root / "tests" / "end_to_end" / name) for name in ("test_gossip.py", "test_gossip_proxies.py")
    ]
    environment = {**os.environ, **({"SWAYAM_TEST_GOSSIP_AT_LENGTH": "1"} if at_length else {})}
    command_line = [sys.executable, "-m", "pytest", "-v", "--no-header", "-p", "no:cacheprovider", *tests]
    sys.exit(subprocess.run(command_line, cwd=root, env=environment, check=False).returncode)


@command.command()
@_results
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path),
              help="Write Markdown here, not to standard output.")  # fmt: skip
def report(results: Path, path: Path | None) -> None:
    """Report what --results holds; exit status 1 when a promise is broken."""
    outcomes = held(results)
    if path is None:
        click.echo(markdown(outcomes))
    else:
        path.write_text(markdown(outcomes))
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
