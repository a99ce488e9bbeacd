"""What happened to each request: one column per fact, one row per request of the schedule.

Filled by the generator, request by request and cheaply; read as numpy arrays afterwards. All times are
seconds of the monotonic clock since the test's start.
"""

from array import array
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

BACKENDS_COUNT_MAX = 10_000


class Ending(IntEnum):
    """How a request ended."""

    ANSWERED = 0
    UNSENT = 1
    """The test stopped before its turn."""
    CONNECT = 2
    RESET = 3
    TIMEOUT = 4
    INCOMPLETE = 5
    """The connection ended inside the answer."""
    MALFORMED = 6
    MISMATCH = 7
    """The answer belongs to another request's body."""
    UNFINISHED = 8
    """Still running when the test was stopped."""


@dataclass(slots=True)
class Records:
    """The columns; `finish_row` is the one place where a row ends."""

    rows_count: int
    intended_s: NDArray[np.float64]
    sent_s: "array[float]" = field(init=False)
    first_s: "array[float]" = field(init=False)
    done_s: "array[float]" = field(init=False)
    status: "array[int]" = field(init=False)
    ending: "array[int]" = field(init=False)
    backend: "array[int]" = field(init=False)
    backend_names: dict[bytes, int] = field(default_factory=dict)
    stray_answers_count: int = 0
    opened_connections_count: int = 0
    waited_for_connection_count: int = 0
    processor_s: float = 0.0
    stopped_at_s: float | None = None
    """When the test was stopped before its end; None when it was not."""

    def __post_init__(self) -> None:
        """Make room for every row at once, so that none is made during the test."""
        missing = array("d", [float("nan")])
        self.sent_s = missing * self.rows_count
        self.first_s = missing * self.rows_count
        self.done_s = missing * self.rows_count
        self.status = array("h", [0]) * self.rows_count
        self.ending = array("b", [Ending.UNSENT]) * self.rows_count
        self.backend = array("h", [-1]) * self.rows_count

    def backend_number(self, name: bytes) -> int:
        """Return the number that stands for a backend's name in the column; -1 beyond the bound."""
        number = self.backend_names.get(name)
        if number is None:
            if len(self.backend_names) >= BACKENDS_COUNT_MAX:
                return -1
            number = self.backend_names[name] = len(self.backend_names)
        return number


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of one or several processes as arrays, in order of the intended time."""

    intended_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    first_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    status: NDArray[np.int64]
    ending: NDArray[np.int64]
    backend: NDArray[np.int64]
    backend_names: tuple[str, ...]
    stray_answers_count: int
    opened_connections_count: int
    waited_for_connection_count: int
    processor_s: float
    stopped_at_s: float | None = None

    @property
    def is_good(self) -> NDArray[np.bool_]:
        """Whether each request got a whole 2xx answer of its own."""
        good: NDArray[np.bool_] = (self.ending == Ending.ANSWERED) & (self.status // 100 == 2)
        return good

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """From the intended moment to the end of the answer, or to when it was given up."""
        return self.done_s - self.intended_s


def table_of(parts: list[Records]) -> Table:
    """Return what several processes saw as one table.

    Of a test that was stopped, what was meant to leave after the stop is left out.
    """
    names: dict[bytes, int] = {}
    backends = []
    for part in parts:
        own = [names.setdefault(name, len(names)) for name in part.backend_names]
        backends.append(np.asarray([*own, -1], dtype=np.int64)[np.asarray(part.backend, dtype=np.int64)])
    intended_s = np.concatenate([part.intended_s for part in parts])
    stops_s = [part.stopped_at_s for part in parts if part.stopped_at_s is not None]
    stopped_at_s = min(stops_s) if stops_s else None
    order = np.argsort(intended_s, kind="stable")
    if stopped_at_s is not None:
        order = order[intended_s[order] < stopped_at_s]

    def column(name: str, kind: type) -> NDArray[np.float64]:
        return np.concatenate([np.asarray(getattr(part, name), dtype=kind) for part in parts])[order]

    return Table(
        intended_s=intended_s[order],
        sent_s=column("sent_s", np.float64),
        first_s=column("first_s", np.float64),
        done_s=column("done_s", np.float64),
        status=column("status", np.int64).astype(np.int64),
        ending=column("ending", np.int64).astype(np.int64),
        backend=np.concatenate(backends)[order],
        backend_names=tuple(name.decode("latin-1") for name in names),
        stray_answers_count=sum(part.stray_answers_count for part in parts),
        opened_connections_count=sum(part.opened_connections_count for part in parts),
        waited_for_connection_count=sum(part.waited_for_connection_count for part in parts),
        processor_s=sum(part.processor_s for part in parts),
        stopped_at_s=stopped_at_s,
    )
