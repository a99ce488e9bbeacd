"""What a sidecar is told: where it listens, what it stands before, how many requests at once, how long things
may take; and the same for the sidecars of a machine.

Plain data, made from the command line. All times in seconds.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LifeSettings:
    """How long the model server may be what it is."""

    idle_s: float = 60.0
    """Without a request for so long it is decommissioned; infinite: never."""
    setup_timeout_s: float = 300.0
    """A set-up that takes longer has failed."""
    drain_s: float = 30.0
    """Requests that still run so long after a decommission began are cut."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How the model server says that it can serve: a GET that is answered with 2xx."""

    path: str = "/"
    interval_s: float = 0.1
    """Between two checks while it is set up."""
    timeout_s: float = 1.0
    watch_interval_s: float = 2.0
    """Between two checks of a server that is warm."""
    fall_count: int = 5
    """Failed checks in a row, no request being answered either, until a warm server counts as hung or gone;
    0: it is never checked."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The one model server."""

    command: tuple[str, ...] = ()
    """What starts it; empty: somebody else runs it, and it is only attached to."""
    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one for every start, told to the command by {port}."""
    stop_grace_s: float = 10.0
    """From SIGTERM to SIGKILL."""
    output_path: str | None = None
    """File for what it prints; None: standard error of the sidecar."""


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """Everything that one sidecar process needs."""

    server: ServerSettings
    host: str = "127.0.0.1"
    port: int = 0
    slots: int = 1
    token: str | None = field(default=None, repr=False)
    """Asked for by the control API; None: nobody but this machine may use it."""
    lease_s: float = 0.05
    """How long a granted slot waits for its request."""
    life: LifeSettings = field(default_factory=LifeSettings)
    health: HealthSettings = field(default_factory=HealthSettings)


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """Everything that one process before several model servers needs."""

    services: tuple[tuple[str, SidecarSettings], ...]
    """Name and settings of each; where they listen and their token are the machine's business."""
    room_count: int
    """So many of their model servers may run at a time."""
    rest_s: float = 5.0
    """Idle for so long, a service gives way to one that is called."""
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = field(default=None, repr=False)
