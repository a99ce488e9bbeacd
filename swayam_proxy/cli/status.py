"""status: what running proxies do now, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from swayam_proxy.cli.admin_client import get_json
from swayam_proxy.cli.options import CONTEXT, admin_addresses_of, admin_options, examples, json_option

if TYPE_CHECKING:
    from rich.table import Table

BAR_MAX: Final = 60
LEGEND: Final = "backends in order: # in use, + warm, ~ warming, . cold, ! ejected or lost, - draining"
_SIGNS: Final = {"warm": "+", "warming": "~", "cold": ".", "lost": "!", "draining": "-"}


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam status                          # the admin address in ./swayam.toml
        swayam status -n 3                     # all proxies of `swayam launch -n 3`
        swayam status --admin 127.0.0.1:9080 --json
        """
    ),
)
@admin_options
@click.option(
    "-n",
    "--processes",
    "count",
    type=click.IntRange(1, 1024),
    default=1,
    help="Ask this many proxies: launched ones have admin ports counting up.",
)
@json_option
def status(
    config_path: Path,
    assignments: tuple[str, ...],
    admin_addresses: tuple[str, ...],
    count: int,
    as_json: bool,
) -> None:
    """Show rate, forecast, prefix, kept promise and backends of running proxies.

    With --json one proxy is one object; several are a list under "frontends". Exit status 4 when one does not
    answer.
    """
    addresses = admin_addresses_of(config_path, assignments, admin_addresses, count)
    states = [as_report(get_json(address, "/state")) for address in addresses]
    if as_json:
        click.echo(json.dumps(states[0] if len(states) == 1 else {"frontends": states}, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for state in states:
        draining = ", draining" if state.get("draining") else ""
        console.print(
            f"frontend {state['frontend_id']}, one of {state['frontends_estimate']}{draining}", style="bold"
        )
        console.print(services_table(state["services"]))
    console.print(LEGEND, style="dim")


def as_report(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer of /state with its services by name."""
    services = state["services"]
    if isinstance(services, Sequence):
        services = {service["name"]: service for service in services}
    return {**state, "services": dict(services)}


def services_table(services: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out one row per service."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("service", no_wrap=True)
    for title in ("rate/s", "forecast/s", "prefix", "needs", "within", "promise", "queue", "in flight"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("backends", overflow="fold")
    for name, service in services.items():
        share, sla = service["share_within"], service["sla"]
        kept = share is None or share >= sla["level"]
        table.add_row(
            name,
            f"{service['rate_per_s']:.1f}",
            f"{service['forecast_per_s']:.1f}",
            f"{service['prefix']}/{len(service['backends'])}",
            str(service["needs"]),
            "-" if share is None else f"[{'green' if kept else 'red'}]{share:.2%}[/]",
            f"{sla['level']:g} in {sla['response_time_s'] * 1000:g}ms",
            str(service["queue_count"]),
            str(service["in_flight_count"]),
            backends_bar(service["backends"]),
        )
    return table


def backends_bar(backends: Sequence[Mapping[str, Any]]) -> str:
    """Draw the ordered list, one sign per backend; what does not fit is counted."""
    signs = "".join(_sign(backend) for backend in backends[:BAR_MAX])
    return signs if len(backends) <= BAR_MAX else f"{signs} and {len(backends) - BAR_MAX} more"


def _sign(backend: Mapping[str, Any]) -> str:
    if backend["ejected"] or not backend["healthy"]:
        return "!"
    if backend["in_use"] and backend["state"] == "warm":
        return "#"
    return _SIGNS.get(backend["state"], "?")
