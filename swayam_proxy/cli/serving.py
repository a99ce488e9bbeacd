"""serve and launch: one proxy, or several."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from swayam_proxy.cli.backends import backend_commands
from swayam_proxy.cli.failure import CommandFailed
from swayam_proxy.cli.launching import (
    command_line,
    free_udp_ports,
    gossip_key_of,
    gossip_settings,
    own_settings,
)
from swayam_proxy.cli.options import CONTEXT, config_options, examples, load_config

PROCESSES_MAX = 1024
GOSSIP_KEYS_VARIABLE = "SWAYAM_PEERS__GOSSIP__KEYS"


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam serve                           # ./swayam.toml, or the file that SWAYAM_CONFIG names
        swayam serve -c swayam.toml --set listen.port=8081 --set admin.port=9081
        SWAYAM_PROCESS__LOG_LEVEL=debug swayam serve
        """
    ),
)
@config_options
def serve(config_path: Path, assignments: tuple[str, ...]) -> int:
    """Run one proxy.

    One JSON line on stderr tells where it listens. SIGTERM or Ctrl-C end it, once work in flight has ended; a
    second one ends it at once. SIGHUP opens the logs again and takes up changed peers.gossip.keys.
    """
    from swayam_proxy.config.load import load
    from swayam_proxy.wiring import LAUNCHER_VARIABLE, StartFailedError, run_proxy

    # the launcher has given the warnings once for all its processes
    loaded = load_config(config_path, assignments, quiet=LAUNCHER_VARIABLE in os.environ)

    try:
        return run_proxy(loaded.config, lambda: load(config_path, os.environ, assignments).config)
    except StartFailedError as error:
        raise CommandFailed(error.what, error.todo) from None


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam launch -n 3                     # three proxies on one port (SO_REUSEPORT)
        swayam launch -n 3 --ports separate    # on listen.port, +1 and +2, for a broker before them
        swayam launch -n 3 --backends          # and the backends that [services.NAME.server] describes
        swayam status -n 3                     # in another terminal
        """
    ),
)
@click.option(
    "-n",
    "--processes",
    "count",
    type=click.IntRange(1, PROCESSES_MAX),
    required=True,
    help="How many proxies.",
)
@click.option(
    "--ports",
    type=click.Choice(["shared", "separate"]),
    default="shared",
    show_default=True,
    help="One port for all, shared by the kernel; or one each, counting up from listen.port.",
)
@click.option(
    "--backends",
    "with_backends",
    is_flag=True,
    help="Also run the backends on this machine of all services with a table server.",
)
@config_options
def launch(
    config_path: Path, assignments: tuple[str, ...], count: int, ports: str, with_backends: bool
) -> int:
    """Run several proxies, each its own process.

    A dead one is started again. Admin ports count up from admin.port. peers.count is N unless the
    configuration says otherwise. One Ctrl-C or SIGTERM drains them all.

    With --backends, what listens on loopback addresses of services with a table [services.NAME.server] is
    run, too, and ends after the proxies: one sidecar for each backend of a service with a table sidecar, one
    machine for each of its pool's, else the model servers themselves.
    """
    loaded = load_config(config_path, assignments)
    own = own_settings(loaded, count, separate_ports=ports == "separate")
    gossip = gossip_settings(loaded, count, free_udp_ports)
    commands = [
        command_line(config_path, [*assignments, *mine, *shared])
        for mine, shared in zip(own, gossip, strict=True)
    ]
    backends = backend_commands(loaded.config, config_path, assignments) if with_backends else []
    if (key := gossip_key_of(loaded)) is not None:
        # not in the command lines, which anyone on the machine may list
        os.environ[GOSSIP_KEYS_VARIABLE] = json.dumps([key])
    from swayam_proxy.wiring import StartFailedError, run_launcher

    try:
        return run_launcher(loaded.config, commands, shared_port=ports == "shared", backends=backends)
    except StartFailedError as error:
        raise CommandFailed(error.what, error.todo) from None
