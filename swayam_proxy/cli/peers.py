"""peers: which frontends a running proxy knows, and what each of them expects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swayam_proxy.cli.admin_client import get_json
from swayam_proxy.cli.failure import CommandFailed
from swayam_proxy.cli.options import CONTEXT, admin_addresses_of, admin_options, examples, json_option

if TYPE_CHECKING:
    from rich.table import Table


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam peers                           # as the proxy in ./swayam.toml sees them
        swayam peers --admin 127.0.0.1:9081 --json
        """
    ),
)
@admin_options
@json_option
def peers(
    config_path: Path, assignments: tuple[str, ...], admin_addresses: tuple[str, ...], as_json: bool
) -> None:
    """Show the frontends that a running proxy knows by gossip, and what they expect.

    A suspect does not answer and is still counted; lost and left ones were removed within the last minute.
    Exit status 4 when the proxy does not answer.
    """
    address = admin_addresses_of(config_path, assignments, admin_addresses)[0]
    answer = get_json(address, "/peers")
    try:
        table = members_table(answer)
        count, estimate = answer["frontends_count"], answer["frontends_estimate"]
        gossips, others = answer["gossips"], answer["other_configs"]
    except (KeyError, TypeError, ValueError) as error:
        what = f"{address[0]}:{address[1]} answered something else than its peers ({error!r})"
        raise CommandFailed(what, "is it the admin address of a swayam proxy of this version?") from None
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    console.print(f"{count} frontends, {estimate} counted in decisions", style="bold")
    if not gossips:
        console.print("by the configuration alone (peers.count): this proxy does not gossip")
        return
    console.print(table)
    for service_name, member in others:
        console.print(f"{member} runs another list or promise of service {service_name}", style="red")


def members_table(answer: Mapping[str, Any]) -> Table:
    """Lay out one row per frontend."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("frontend", "address", "state"):
        table.add_column(title, no_wrap=True, overflow="ellipsis")
    table.add_column("heard", justify="right")
    table.add_column("forecast/s and prefix by service")
    for member in answer["members"]:
        age = "-" if member["age_s"] is None else f"{member['age_s']:.1f}s"
        loads = ", ".join(
            f"{name} {forecast:.1f} ({member['prefix'][name]})"
            for name, forecast in sorted(member["forecast"].items())
        )
        name = f"{member['name']} (this one)" if member["own"] else member["name"]
        table.add_row(name, member["address"], member["state"], "" if member["own"] else age, loads)
    return table
