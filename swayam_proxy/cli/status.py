"""status: what running proxies do now, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from swayam_proxy.cli.admin_client import get_json
from swayam_proxy.cli.failure import CommandFailed
from swayam_proxy.cli.options import CONTEXT, admin_addresses_of, admin_options, examples, json_option

if TYPE_CHECKING:
    from rich.table import Table

BAR_MAX: Final = 60
LEGEND: Final = (
    "prefix: in use of all (needed if other); "
    "backends in order: # in use, + warm, ~ warming, . cold, ! down, - draining"
)
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
    """Show what running proxies do now.

    Rate, forecast, prefix, kept promise, queue and backends of each service.

    With --json one proxy is one object; several are a list under "frontends". Exit status 4 when one does not
    answer.
    """
    addresses = admin_addresses_of(config_path, assignments, admin_addresses, count)
    states = [state_of(address) for address in addresses]
    if as_json:
        click.echo(json.dumps(states[0] if len(states) == 1 else {"frontends": states}, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    for address, state in zip(addresses, states, strict=True):
        console.print(headline(address, state), style="bold")
        console.print(services_table(state["services"]))
        for name, service in state["services"].items():
            console.print(f"  {name}  {backends_bar(service['backends'])}", soft_wrap=True)
    console.print(f"\n{LEGEND}", style="dim", soft_wrap=True)


def headline(address: tuple[str, int], state: Mapping[str, Any]) -> str:
    """Say which proxy this is."""
    draining = ", draining" if state["draining"] else ""
    return (
        f"{state['frontend_id']} at {address[0]}:{address[1]}, one of {state['frontends_estimate']}{draining}"
    )


def state_of(address: tuple[str, int]) -> dict[str, Any]:
    """Ask one proxy for its state, and return it with its services by name.

    Raises:
        CommandFailed: nobody answers, or what answers is no proxy of ours.
    """
    state = get_json(address, "/state")
    try:
        services = state["services"]
        if isinstance(services, list):
            services = {service["name"]: service for service in services}
        report = {**state, "services": dict(services)}
        for service in report["services"].values():
            service_row("", service)
            backends_bar(service["backends"])
        headline(address, report)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{address[0]}:{address[1]} answered something else than a proxy's state ({error!r})"
        raise CommandFailed(what, "is it the admin address of a swayam proxy of this version?") from None
    return report


def services_table(services: Mapping[str, Mapping[str, Any]]) -> Table:
    """Lay out one row per service, within 80 columns for names of common length."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("service", overflow="ellipsis", no_wrap=True, min_width=7)
    for title in ("rate/s", "forecast", "prefix", "within", "promise", "queue", "running"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, service in services.items():
        *cells, within, promise, queue, running = service_row(name, service)
        share, level = service["share_within"], service["sla"]["level"]
        style = "" if share is None else "green" if share >= level else "red"
        table.add_row(*cells, Text(within, style), promise, queue, running)
    return table


def service_row(name: str, service: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one service: the prefix with what is needed where that differs."""
    share, sla = service["share_within"], service["sla"]
    prefix = f"{service['prefix']} of {len(service['backends'])}"
    if service["needs"] != service["prefix"]:
        prefix += f" ({service['needs']})"
    return (
        name,
        f"{service['rate_per_s']:.1f}",
        f"{service['forecast_per_s']:.1f}",
        prefix,
        "-" if share is None else f"{share:.2%}",
        f"{100 * sla['level']:g}% {sla['response_time_s'] * 1000:g}ms",
        str(service["queue_count"]),
        str(service["in_flight_count"]),
    )


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
