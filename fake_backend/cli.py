"""The command line of the fake backend: words in, `FleetSettings` out.

What belongs to the sidecar protocol alone is refused without `--sidecar`.

Every bad value ends with exit status 2 and a text that says what would be right.
"""

import asyncio
import ipaddress
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fake_backend.execution import SamplesError, read_samples
from fake_backend.faults import Fault, FaultPlan, parse_fault
from fake_backend.fleet import ListenError, serve_until_signal
from fake_backend.quantities import parse_duration_s
from fake_backend.settings import (
    STARTS,
    BackendSettings,
    ExecutionSettings,
    FleetSettings,
    OnDisconnect,
    QueueDiscipline,
    ServerState,
    SidecarSettings,
    Work,
)

_TOKEN_BYTES_MAX = 4096
_IDLE_S, _LEASE_S, _DRAIN_S = 60.0, 0.05, 5.0

EPILOG = """\b
Examples:
  python -m fake_backend --port 9001 --count 12 --mean 50ms --cv 0.3
  python -m fake_backend --port 9001 --slots 4 --queue busy --setup 3s
  python -m fake_backend --port 9001 --fault-rate 0.01 --fault reset --fault delay:2s
  python -m fake_backend --port 9001 --count 20 --sidecar --setup 3s --idle 60s

\b
A request may ask for its own execution time (?execution=20ms or X-Fake-Execution: 20ms) and for a
fault (?fault=KIND or X-Fault: KIND):
  delay:2s     the execution takes that much longer     hang       never answer
  reset        execute, then reset the connection       close      ... then close without a byte
  cut          close after half of the body             chunk      a chunk size that is no number
  length:+10   a Content-Length that is wrong by 10     garbage    bytes that are no HTTP
  dribble:2s   the body in eight parts over that time   busy       503 with Swayam-Busy: 1
  status:503   that status; 5xx is status:500

\b
Paths: /v1/models/NAME:predict  /v2/models/NAME/infer  /v1/chat/completions (also "stream": true)
  /echo  /sse  health: /v2/health/ready /v2/health/live /ping /health; any other path answers plain JSON.
  GET /fake/stats shows the counts; POST /fake/setup, /fake/cold, /fake/health?status=503 change the state;
  /fake/die loses the model server and what runs (?again=no: it stays lost), /fake/fail-setups?count=2
  makes the next set-ups fail.

\b
With --sidecar each backend speaks the sidecar protocol (docs/sidecar-protocol.md): cold until
POST /swayam/setup, busy answers, holds and leases by /swayam/control, /swayam/retire, /swayam/state.

\b
Answers carry X-Backend (INDEX:PORT), Server-Timing (exec;dur=MS, the execution without waiting),
X-Body-Bytes and X-Body-Crc32 (of the request's body).

Exit status: 0 stopped by a signal, 1 could not listen, 2 bad usage.
"""


class _Parsed(click.ParamType[Any]):
    """A parameter read by a function that raises ValueError with a text for users."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value, or fail with the function's text."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            return self.fail(str(error), param, ctx)


DURATION = _Parsed("duration", parse_duration_s)
FAULT = _Parsed("fault", parse_fault)


def _positive(_: click.Context, parameter: click.Parameter, value: float) -> float:
    if not 0 < value < float("inf"):
        raise click.BadParameter("must be above 0", param=parameter)
    return value


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True}, epilog=EPILOG)
@click.option("--host", default="127.0.0.1", help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9001,
    help="Port of the first backend, the others follow; 0 takes free ones.",
)
@click.option("--count", type=click.IntRange(1, 1000), default=1, help="How many backends in this process.")
@click.option("--first-index", type=click.IntRange(1), default=1, help="Index of the first one in X-Backend.")
@click.option("--seed", type=int, default=1, help="Seed of execution times and faults.")
@click.option("--mean", type=DURATION, default="50ms", callback=_positive, help="Mean execution time.")
@click.option(
    "--cv",
    type=click.FloatRange(0, 20),
    default=0.3,
    help="Coefficient of variation of the log-normal execution times; 0 makes them constant.",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    default=None,
    help="File of execution times to draw from instead: one a line, or CSV with service_s; .gz too.",
)
@click.option("--scale", type=float, default=1.0, callback=_positive, help="Multiply each execution time.")
@click.option("--spin", is_flag=True, help="Burn processor time in threads instead of sleeping.")
@click.option("--slots", type=click.IntRange(1, 10_000), default=1, help="Requests executed at once.")
@click.option(
    "--queue",
    type=click.Choice([one.value for one in QueueDiscipline]),
    default=None,
    show_default=False,
    help="Beyond the slots: wait in order, or answer 503 with Swayam-Busy: 1.  "
    "[default: fifo; busy with --sidecar]",
)
@click.option(
    "--queue-max",
    type=click.IntRange(0, 1_000_000),
    default=1000,
    help="Requests that may wait; beyond them the answer is busy.",
)
@click.option("--setup", type=DURATION, default="0s", help="Set-up time from cold to warm.")
@click.option(
    "--start",
    type=click.Choice([one.value for one in STARTS]),
    default=None,
    show_default=False,
    help="State at the start; cold waits to be set up.  [default: warming with a set-up time, else warm; "
    "cold with --sidecar]",
)
@click.option(
    "--on-disconnect",
    type=click.Choice([one.value for one in OnDisconnect]),
    default="stop",
    help="When the client leaves: stop the execution, or finish it as most model servers do.",
)
@click.option(
    "--fault-rate",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of requests that meet one of the --fault.",
)
@click.option("--fault", "faults", type=FAULT, multiple=True, help="A fault for --fault-rate; repeatable.")
@click.option(
    "--answer-bytes",
    type=click.IntRange(0, 256 * 1024 * 1024),
    default=0,
    help="Pad whole answers with spaces to this size.",
)
@click.option("--chunks", type=click.IntRange(1, 100_000), default=8, help="Parts of a streamed answer.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write host:port lines there once all backends listen.",
)
@click.option("--sidecar", is_flag=True, help="Speak the sidecar protocol; the options below belong to it.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Want the token in this file with control requests; needed where --host is not loopback.",
)
@click.option(
    "--idle",
    type=DURATION,
    default=None,
    show_default=False,
    help="Decommission after so long without a request; 0s never.  [default: 60s]",
)
@click.option(
    "--lease",
    type=DURATION,
    default=None,
    show_default=False,
    help="How long a granted slot waits for its request.  [default: 50ms]",
)
@click.option(
    "--drain",
    type=DURATION,
    default=None,
    show_default=False,
    help="On a signal, how long requests that run may go on; a second signal ends them.  [default: 5s]",
)
def command(**options: Any) -> None:
    """Emulate model servers with log-normal execution times, slots, set-up time and faults.

    Prints "ready HOST:PORT,HOST:PORT,..." once all of them listen; SIGINT or SIGTERM ends it.
    """
    try:
        _run(_loop_factory(), fleet_settings(options))
    except ListenError as error:
        click.echo(
            f"Error: {error}\nFree the port, or choose another by --port (0 takes a free one).", err=True
        )
        sys.exit(1)


def fleet_settings(options: dict[str, Any]) -> FleetSettings:
    """Return what the options mean; raise click.UsageError where they contradict each other."""
    faults: tuple[Fault, ...] = options["faults"]
    if bool(faults) != (options["fault_rate"] > 0):
        raise click.UsageError("--fault-rate and --fault go together: give both, or neither")
    if options["port"] and options["port"] + options["count"] - 1 > 65535:
        raise click.UsageError(f"--count {options['count']} ports from {options['port']} on go beyond 65535")
    try:
        samples = read_samples(options["samples"]) if options["samples"] else ()
    except SamplesError as error:
        raise click.BadParameter(str(error), param_hint="'--samples'") from error
    sidecar = sidecar_settings(options)
    start = options["start"] or (ServerState.WARMING if options["setup"] else ServerState.WARM)
    if sidecar is not None:
        start = options["start"] or ServerState.COLD
    backend = BackendSettings(
        execution=ExecutionSettings(options["mean"], options["cv"], samples, options["scale"]),
        work=Work.SPIN if options["spin"] else Work.SLEEP,
        slots_count=options["slots"],
        queue=QueueDiscipline(options["queue"] or QueueDiscipline.FIFO),
        queue_count_max=options["queue_max"],
        setup_s=options["setup"],
        start=ServerState(start),
        on_disconnect=OnDisconnect(options["on_disconnect"]),
        faults=FaultPlan(options["fault_rate"], faults),
        answer_bytes=options["answer_bytes"],
        chunks_count=options["chunks"],
        sidecar=sidecar,
    )
    return FleetSettings(
        host=options["host"],
        port=options["port"],
        count=options["count"],
        first_index=options["first_index"],
        seed=options["seed"],
        backend=backend,
        drain_s=_DRAIN_S if options["drain"] is None else options["drain"],
        ready_file=options["ready_file"],
    )


def sidecar_settings(options: dict[str, Any]) -> SidecarSettings | None:
    """Return what the options of the sidecar protocol mean, None without it; raise click.UsageError."""
    if not options["sidecar"]:
        for name in ("token_file", "idle", "lease", "drain"):
            if options[name] is not None:
                raise click.UsageError(
                    f"--{name.replace('_', '-')} belongs to the sidecar protocol: add --sidecar"
                )
        return None
    if options["queue"] == QueueDiscipline.FIFO:
        raise click.UsageError("--queue fifo contradicts --sidecar, with which requests never queue")
    if options["lease"] == 0:
        raise click.BadParameter("must be above 0", param_hint="'--lease'")
    if options["token_file"] is None and not _is_loopback(options["host"]):
        raise click.UsageError(
            f"--host {options['host']} is not loopback: others could set up and retire; give a --token-file"
        )
    idle_s = _IDLE_S if options["idle"] is None else options["idle"] or math.inf
    lease_s = _LEASE_S if options["lease"] is None else options["lease"]
    return SidecarSettings(_token(options["token_file"]), idle_s, lease_s)


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as content:
            token = content.read(_TOKEN_BYTES_MAX + 1).strip().decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: cannot be read: {error}", param_hint="'--token-file'") from error
    if not token or len(token) > _TOKEN_BYTES_MAX or not token.isprintable() or " " in token:
        raise click.BadParameter(
            f"{path}: wants one word, at most {_TOKEN_BYTES_MAX} characters", param_hint="'--token-file'"
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(loop_factory: Callable[[], asyncio.AbstractEventLoop], settings: FleetSettings) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve_until_signal(settings, click.echo))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
