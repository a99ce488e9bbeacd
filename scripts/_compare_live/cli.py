"""The command line: play both, compare, write the report and its plot."""

import sys
import tempfile
from pathlib import Path

import click

from _compare_live.live import play_live
from _compare_live.report import document, plot, table
from _compare_live.scenario import Played
from _compare_live.simulated import play_simulated
from _compare_live.verdict import compare

DOCS = Path(__file__).resolve().parents[2] / "docs"


@click.command()
@click.option("--seconds", default=300.0, show_default=True, help="Length of what is compared.")
@click.option("--warm-up", "warm_up", default=60.0, show_default=True, help="Played before, from cold.")
@click.option("--proxies", default=4, show_default=True, help="Proxy processes.")
@click.option("--rates", nargs=2, type=float, default=(40.0, 80.0), show_default=True, help="Per second.")
@click.option("--waves", default=1, show_default=True, help="How often the load rises and falls.")
@click.option("--seed", default=1, show_default=True, help="Of the requests.")
@click.option("--write", is_flag=True, help="Write docs/live-against-simulated.md and its plot.")
@click.option("--keep", type=click.Path(path_type=Path), help="Directory for the logs of the live run.")
def command(
    seconds: float,
    warm_up: float,
    proxies: int,
    rates: tuple[float, float],
    waves: int,
    seed: int,
    write: bool,
    keep: Path | None,
) -> None:
    """Play one scenario live and in the simulator, and compare: promise, cost, n over time.

    Real proxies, fake backends with sidecars, late binding, a load that rises and falls; the simulator gets
    the same requests. Takes as long as the load, on this machine, at little processor time. Exits with 1
    where both disagree by more than 1 point of the share within the promise, 5 % of the backend-seconds, or
    in n for more than 10 % of the time.
    """
    played = Played(
        proxies_count=proxies,
        measured_s=seconds,
        warm_up_s=warm_up,
        least_per_s=rates[0],
        most_per_s=rates[1],
        waves_count=waves,
        seed=seed,
    )
    workload = played.workload()
    with tempfile.TemporaryDirectory() as temporary:
        directory = keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        live = play_live(played, workload, directory, lambda text: click.echo(text, err=True))
    simulated = [play_simulated(played, workload, one) for one in (1, 2)]
    verdict = compare(played, live, simulated[0])
    chance = compare(played, simulated[1], simulated[0])
    click.echo(table(verdict, chance, live))
    if write:
        (DOCS / "live-against-simulated.md").write_text(document(played, workload, verdict, chance, live))
        plot(DOCS / "live-against-simulated.png", played, workload, live, simulated[0])
    sys.exit(0 if verdict.agrees else 1)
