"""What a fake backend is told: one frozen value, checked before anything starts.

All times in seconds. Knows nothing of the command line or of HTTP.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fake_backend.faults import FaultPlan


class Work(StrEnum):
    """How an execution passes its time."""

    SLEEP = "sleep"
    SPIN = "spin"
    """Burn that much processor time in a thread: under contention it takes longer, as real work does."""


class QueueDiscipline(StrEnum):
    """What happens to a request that finds no free slot."""

    FIFO = "fifo"
    BUSY = "busy"
    """Answer 503 with `Swayam-Busy: 1` at once."""


class OnDisconnect(StrEnum):
    """What happens to an execution whose client left."""

    STOP = "stop"
    FINISH = "finish"
    """Keep the slot to the end, as most model servers do."""


class ServerState(StrEnum):
    """Whether the model is loaded."""

    COLD = "cold"
    WARMING = "warming"
    WARM = "warm"
    DRAINING = "draining"
    """Sidecar protocol only: nobody new is let in, what runs goes on."""


STARTS = (ServerState.COLD, ServerState.WARMING, ServerState.WARM)
"""States in which a backend may begin."""


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    """Where execution times come from: log-normal by mean and cv, or drawn from a file of samples."""

    mean_s: float = 0.05
    cv: float = 0.3
    samples: tuple[float, ...] = ()
    """Not empty: these times, drawn at random with replacement, instead of the log-normal."""
    scale: float = 1.0
    """Multiplies every drawn time."""


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """How a backend behaves that speaks the sidecar protocol."""

    token: str = field(default="", repr=False)
    """Wanted with every control request and control connection; empty wants none."""
    idle_s: float = 60.0
    """Decommission after so long without a request; inf never."""
    lease_s: float = 0.05
    """How long a granted slot waits for its request."""


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """One backend's behaviour; all backends of a process share it."""

    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    work: Work = Work.SLEEP
    slots_count: int = 1
    queue: QueueDiscipline = QueueDiscipline.FIFO
    queue_count_max: int = 1000
    setup_s: float = 0.0
    start: ServerState = ServerState.WARM
    on_disconnect: OnDisconnect = OnDisconnect.STOP
    faults: FaultPlan = field(default_factory=FaultPlan)
    answer_bytes: int = 0
    """Pad plain answers to this size; 0 leaves them as they are."""
    chunks_count: int = 8
    """Parts of a streamed answer, spread evenly over the execution."""
    body_bytes_max: int = 64 * 1024 * 1024
    sidecar: SidecarSettings | None = None
    """Given: the backend speaks the sidecar protocol, and never queues."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Which backends one process runs."""

    host: str = "127.0.0.1"
    port: int = 9001
    """Of the first backend, the others follow; 0 takes free ones."""
    count: int = 1
    first_index: int = 1
    seed: int = 1
    backend: BackendSettings = field(default_factory=BackendSettings)
    drain_s: float = 5.0
    """How long backends with the sidecar protocol may finish what runs when the process is to end."""
    ready_file: Path | None = None
    """Written once all listen: one "host:port" a line."""
