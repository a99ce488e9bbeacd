"""machine: the process before the model servers of one machine of a pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, config_options, examples, load_config
from swayam_proxy.cli.sidecar import Address

if TYPE_CHECKING:
    from swayam_proxy.config.schema import Config


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam machine -c swayam.toml --listen 10.0.0.11:9001
        swayam machine -c swayam.toml --listen 0.0.0.0:9001 --pool gpu --room 4
        curl localhost:9001/swayam/state
        """
    ),
)
@click.option("--listen", type=Address(), required=True, help="Where frontends connect.")
@click.option("--pool", "pool_name", default=None, metavar="NAME", help="The pool, where there are several.")
@click.option(
    "--room",
    type=click.IntRange(1, 1000),
    default=None,
    help="Services that may be set up at a time; else what the configuration says of this machine.",
)
@config_options
def machine(
    config_path: Path,
    assignments: tuple[str, ...],
    listen: tuple[str, int],
    pool_name: str | None,
    room: int | None,
) -> int:
    """Run what stands before the model servers of one machine of a pool.

    All services of the pool are served on one address. Their model servers are started when they are wanted,
    as [services.NAME.server] says, and never more at a time than there is room for: a service that nobody
    wants makes way for one that is wanted. SIGTERM or Ctrl-C decommission all of them.
    """
    from swayam_proxy.config.addresses import is_loopback

    config = load_config(config_path, assignments).config
    pool_name = _pool(config, pool_name)
    pool = config.pools[pool_name]
    if pool.token is None and not is_loopback(listen[0]):
        todo = f"add token to [pools.{pool_name}], better by SWAYAM_POOLS__{pool_name.upper()}__TOKEN"
        raise CommandFailed(
            f"--listen {listen[0]}: others could set up and stop model servers", todo, Exit.USAGE
        )
    for name, service in config.services.items():
        if service.pool == pool_name and service.server is None:
            todo = f"add a table [services.{name}.server] with its command"
            raise CommandFailed(f"how service {name} is started is not said", todo, Exit.USAGE)
    from swayam_proxy.wiring import StartFailedError, machine_settings, run_sidecar

    process = config.process
    try:
        return run_sidecar(
            machine_settings(config, pool_name, listen, room),
            loop_name=process.loop,
            log_level=process.log_level,
            log_format=process.log_format,
        )
    except StartFailedError as error:
        raise CommandFailed(error.what, error.todo) from None


def _pool(config: Config, name: str | None) -> str:
    """Return the pool that is meant."""
    from difflib import get_close_matches

    known = [each for each in config.pools if any(one.pool == each for one in config.services.values())]
    if name is None and len(known) == 1:
        return known[0]
    if name in known:
        return str(name)
    if not known:
        todo = 'add a table [pools.NAME], and pool = "NAME" to the services on it'
        raise CommandFailed("the configuration has no pool that a service uses", todo, Exit.USAGE)
    if name is None:
        raise CommandFailed("there are several pools", f"write --pool {' or '.join(known)}", Exit.USAGE)
    close = get_close_matches(name, known, n=1)
    todo = f"did you mean {close[0]}?" if close else f"write {' or '.join(known)}"
    raise CommandFailed(f"--pool {name}: there is no such pool", todo, Exit.USAGE)
