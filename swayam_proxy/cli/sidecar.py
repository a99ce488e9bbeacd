"""sidecar: the process before one model server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, examples
from swayam_proxy.cli.simulate import Duration

_DURATION = Duration()
_TOKEN_BYTES_MAX = 4096


class Address(click.ParamType[Any, Any]):
    """HOST:PORT, as (host, port); port 0 stands for any free one."""

    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Read it, or say what to write instead."""
        from swayam_proxy.config.addresses import split_host_port
        from swayam_proxy.config.errors import RefusedValueError

        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        host, _, port = value.rpartition(":")
        try:
            if port == "0":
                return split_host_port(f"{host}:1")[0], 0
            return split_host_port(value)
        except RefusedValueError as error:
            self.fail(f"{error.what}; {error.todo}", param, ctx)


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam sidecar --listen 127.0.0.1:9001 --health /v2/health/ready -- python server.py --port {port}
        swayam sidecar --listen 0.0.0.0:9001 --token-file token --server 127.0.0.1:8080 --slots 4
        curl -X POST localhost:9001/swayam/setup ; curl localhost:9001/swayam/state
        """
    ),
)
@click.option(
    "--listen", type=Address(), default="127.0.0.1:9001", show_default=True, help="Where frontends connect."
)
@click.option(
    "--server",
    type=Address(),
    default=None,
    help="Where the model server listens. With a COMMAND: 127.0.0.1 and a free port, unless given.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Requests that the model server runs at once; further ones are told that it is busy.",
)
@click.option(
    "--health", default="/", show_default=True, help="Path that answers 2xx once the model can serve."
)
@click.option(
    "--idle",
    type=_DURATION,
    default="1m",
    show_default=True,
    help="Stop the model server after so long without a request; 0: never.",
)
@click.option(
    "--setup-timeout",
    type=_DURATION,
    default="5m",
    show_default=True,
    help="A start that takes longer has failed.",
)
@click.option(
    "--drain",
    type=_DURATION,
    default="30s",
    show_default=True,
    help="For running requests to end before the model server is stopped.",
)
@click.option(
    "--stop-grace",
    type=_DURATION,
    default="10s",
    show_default=True,
    help="From SIGTERM to SIGKILL for the model server.",
)
@click.option(
    "--lease",
    type=_DURATION,
    default="50ms",
    show_default=True,
    help="How long a granted slot waits for its request; some round trips.",
)
@click.option(
    "--misses",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Health checks in a row, two seconds apart, after which a warm model server that answers no request "
    "either is started anew; 0: never.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="File that holds what the control API asks for. Or SWAYAM_SIDECAR_TOKEN.",
)
@click.option(
    "--output",
    "output_path",
    default=None,
    metavar="FILE",
    help="What the model server prints goes there, at most 20 MiB of it; else to standard error.",
)
@click.option("--loop", "loop_name", type=click.Choice(["uvloop", "asyncio"]), default="uvloop", hidden=True)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least severe messages on standard error.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people, or one JSON object per line.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sidecar(**options: Any) -> int:
    """Stand before one model server, so that frontends can set it up, share it and let it go.

    COMMAND starts the model server, as a child process, when a frontend asks for it; in its words {port} and
    {host} are replaced, and SWAYAM_SERVER_PORT and SWAYAM_SERVER_HOST are in its environment. Without a
    COMMAND the sidecar attaches to a server that always runs. SIGTERM decommissions it and ends.
    """
    from swayam_proxy.wiring import StartFailedError, run_sidecar

    settings = _settings(options)
    try:
        return run_sidecar(
            settings,
            loop_name=options["loop_name"],
            log_level=options["log_level"],
            log_format=options["log_format"],
        )
    except StartFailedError as error:
        raise CommandFailed(error.what, error.todo) from None


def _settings(options: dict[str, Any]) -> Any:
    from swayam_proxy.config.addresses import is_loopback
    from swayam_proxy.sidecar.settings import HealthSettings, LifeSettings, ServerSettings, SidecarSettings

    command, server = options["command"], options["server"]
    if server is None and not command:
        todo = "add --server HOST:PORT for one that runs, or -- COMMAND to start one"
        raise CommandFailed("which model server?", todo, Exit.USAGE)
    host, port = server or ("127.0.0.1", 0)
    if not command and port == 0:
        raise CommandFailed("--server has port 0", "name the port at which it listens", Exit.USAGE)
    if command and not port and not any("{port}" in word for word in command):
        note = "it is told by SWAYAM_SERVER_PORT only: no {port} in the command, and no --server"
        click.echo(f"warning: the model server's port is chosen anew for every start; {note}", err=True)
    health = options["health"]
    if not health.startswith("/") or not health.isascii() or not health.isprintable() or " " in health:
        raise CommandFailed(
            f"--health is {health!r}, not a path", 'write it like "/v2/health/ready"', Exit.USAGE
        )
    token = _token(options["token_file"])
    listen_host, listen_port = options["listen"]
    if token is None and not is_loopback(listen_host):
        todo = "add --token-file FILE, and the same token to the frontends' configuration"
        raise CommandFailed(
            f"--listen {listen_host}: others could set up and stop the model server", todo, Exit.USAGE
        )
    return SidecarSettings(
        server=ServerSettings(command, host, port, options["stop_grace"], options["output_path"]),
        host=listen_host,
        port=listen_port,
        slots=options["slots"],
        token=token,
        lease_s=max(0.001, options["lease"]),
        life=LifeSettings(
            idle_s=options["idle"] if options["idle"] and command else float("inf"),
            setup_timeout_s=options["setup_timeout"],
            drain_s=options["drain"],
        ),
        health=HealthSettings(health, fall_count=options["misses"]),
    )


def _token(path: Path | None) -> str | None:
    """Return the token of the file, or of the environment."""
    import os

    text, where = os.environ.get("SWAYAM_SIDECAR_TOKEN"), "SWAYAM_SIDECAR_TOKEN"
    if path is not None:
        where = f"--token-file {path}"
        try:
            with path.open("rb") as file:
                text = file.read(_TOKEN_BYTES_MAX + 1).decode("latin-1")
        except OSError as error:
            todo = "name a file that this user can read"
            raise CommandFailed(f"{where}: {error.strerror}", todo, Exit.USAGE) from None
    if text is None:
        return None
    text = text.strip()
    if (
        not text
        or len(text) > _TOKEN_BYTES_MAX
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise CommandFailed(f"{where} is not a token", "write 1 to 4096 visible ASCII characters", Exit.USAGE)
    return text
