"""The open loop: sends every request at its intended moment, whatever became of those before it.

Knows the schedule, connections and the clock. It never waits for an answer before the next request; a
request finds an idle connection or opens one. One process drives one of these; `work.py` spreads a
test over several.
"""

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from _loadtest.connection import Connection
from _loadtest.records import Ending, Records
from _loadtest.target import RequestPlan, Target
from fake_backend.alarm import Alarm

_SENDS_PER_TURN_MAX = 64
_SWEEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Job:
    """One process's share of a test: plain data, so that it can be handed to another process."""

    intended_s: NDArray[np.float64]
    """Since the start of the whole test."""
    target_numbers: NDArray[np.int64]
    targets: tuple[Target, ...]
    plan: RequestPlan
    execution_s: NDArray[np.float64] | None = None
    keep_alive: bool = True
    timeout_s: float = 30.0
    connections_count_max: int = 4096
    backend_field: str = "X-Backend"
    ca_file: str | None = None


class Generator:
    """Runs one job; `records` can be read at any moment."""

    def __init__(self, job: Job, start_at: float) -> None:
        self.records = Records(len(job.intended_s), job.intended_s)
        self.backend_field = job.backend_field.lower().encode("latin-1")
        self.sent_count = 0
        self.done_count = 0
        self.good_count = 0
        self.in_flight_count = 0
        self._job = job
        self._start_at = start_at
        self._intended = job.intended_s.tolist()
        self._target_numbers = job.target_numbers.tolist()
        self._heads = [job.plan.heads(target, keep_alive=job.keep_alive) for target in job.targets]
        self._checksums = job.plan.checksums
        self._idle: list[list[Connection]] = [[] for _ in job.targets]
        self._connections: set[Connection] = set()
        self._backlog: deque[int] = deque()
        self._deadlines: deque[tuple[float, Connection, int]] = deque()
        self._openings: set[asyncio.Task[None]] = set()
        self._next_row = 0
        self._is_stopping = False
        self._finished = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop)
        self._tls = ssl.create_default_context(cafile=job.ca_file) if _any_tls(job) else None

    async def run(self) -> Records:
        """Send everything, wait for the answers (at most the timeout), and return the records."""
        sweeper = self._loop.create_task(self._sweep())
        try:
            self._alarm.call_at(self._start_at, self._send_due)
            await self._finished.wait()
        finally:
            sweeper.cancel()
            for task in self._openings:
                task.cancel()
            await asyncio.gather(sweeper, *self._openings, return_exceptions=True)
            for connection in list(self._connections):
                if connection.row >= 0:
                    self._end(connection, Ending.UNFINISHED)
                connection.close()
            self._alarm.close()
        return self.records

    def stop(self) -> None:
        """Send no more and leave what runs unfinished."""
        if not self._is_stopping:
            self._is_stopping = True
            self.records.stopped_at_s = max(0.0, time.monotonic() - self._start_at)
        self._finished.set()

    def _send_due(self) -> None:
        """Send what is due; the loop gets its turn after a bounded number."""
        intended, count = self._intended, len(self._intended)
        for _ in range(_SENDS_PER_TURN_MAX):
            row = self._next_row
            if row >= count or self._is_stopping:
                self._finish_if_done()
                return
            now = time.monotonic()
            due_at = self._start_at + intended[row]
            if due_at > now:
                self._alarm.call_at(due_at, self._send_due)
                return
            self._next_row = row + 1
            self._take(row, now)
        self._loop.call_soon(self._send_due)

    def _take(self, row: int, now: float) -> None:
        """Give a row its connection: an idle one, a new one, or a place in the backlog."""
        idle = self._idle[self._target_numbers[row]]
        while idle:
            connection = idle.pop()
            if not connection.is_closed:
                self._send(connection, row, now)
                return
        if (
            len(self._connections) + len(self._openings) >= self._job.connections_count_max
            and not self._evict()
        ):
            self.records.waited_for_connection_count += 1
            self._backlog.append(row)
            return
        self._begin(row, now)
        task = self._loop.create_task(self._open(row, now))
        self._openings.add(task)
        task.add_done_callback(self._openings.discard)

    def _evict(self) -> bool:
        """Close an idle connection to another target, to make room; False when none is idle."""
        for idle in self._idle:
            if idle:
                self._drop(idle.pop(0))
                return True
        return False

    def _begin(self, row: int, now: float) -> None:
        self.records.sent_s[row] = now - self._start_at
        self.sent_count += 1
        self.in_flight_count += 1

    def _send(self, connection: Connection, row: int, now: float) -> None:
        self._begin(row, now)
        self._write(connection, row, now)

    def _write(self, connection: Connection, row: int, now: float) -> None:
        variants = self._heads[connection.target_number]
        head, rest = variants[row % len(variants)]
        if self._job.execution_s is not None:
            head += b"X-Fake-Execution: %.6fs\r\n" % self._job.execution_s[row]
        self._deadlines.append((now + self._job.timeout_s, connection, row))
        connection.send(row, head + rest)

    async def _open(self, row: int, began_at: float) -> None:
        number = self._target_numbers[row]
        target = self._job.targets[number]
        tls = self._tls if target.is_tls else None
        try:
            async with asyncio.timeout(self._job.timeout_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self, number), target.host, target.port, ssl=tls
                )
        except TimeoutError:
            self._end_row(row, Ending.TIMEOUT)
        except OSError:
            self._end_row(row, Ending.CONNECT)
        except asyncio.CancelledError:
            self._end_row(row, Ending.UNFINISHED)
            raise
        else:
            if connection.is_closed:
                self._end_row(row, Ending.RESET)
            else:
                self._write(connection, row, began_at)

    # What connections tell.

    def opened(self, connection: Connection) -> None:
        """Count a connection that stands."""
        self._connections.add(connection)
        self.records.opened_connections_count += 1

    def answered(self, connection: Connection, *, reusable: bool) -> None:
        """Write the row's end and keep the connection for the next request."""
        row, records = connection.row, self.records
        now = time.monotonic()
        records.first_s[row] = (connection.first_at or now) - self._start_at
        records.status[row] = connection.status
        if connection.backend:
            records.backend[row] = records.backend_number(connection.backend)
        mine = self._checksums[row % len(self._checksums)]
        ending = Ending.MISMATCH if connection.checksum and connection.checksum != mine else Ending.ANSWERED
        connection.row = -1
        if reusable and self._job.keep_alive and not connection.is_closed:
            self._idle[connection.target_number].append(connection)
        else:
            self._drop(connection)
        if ending is Ending.ANSWERED and 200 <= connection.status < 300:
            self.good_count += 1
        self._end_row(row, ending, now)

    def failed(self, connection: Connection, ending: Ending) -> None:
        """Write the row's end and let the connection go."""
        self.records.status[connection.row] = connection.status
        self._drop(connection)
        self._end(connection, ending)

    def strayed(self, connection: Connection) -> None:
        """Count bytes that nobody asked for."""
        self.records.stray_answers_count += 1
        self._drop(connection)

    def gone(self, connection: Connection) -> None:
        """Forget an idle connection that the other side closed."""
        self._connections.discard(connection)

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        connection.close()

    def _end(self, connection: Connection, ending: Ending) -> None:
        row, connection.row = connection.row, -1
        self._end_row(row, ending)

    def _end_row(self, row: int, ending: Ending, now: float | None = None) -> None:
        self.records.done_s[row] = (time.monotonic() if now is None else now) - self._start_at
        self.records.ending[row] = ending
        self.done_count += 1
        self.in_flight_count -= 1
        if self._backlog and not self._is_stopping:
            self._take(self._backlog.popleft(), time.monotonic())
        else:
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._next_row >= len(self._intended) and not self._backlog and self.in_flight_count == 0:
            self._finished.set()

    async def _sweep(self) -> None:
        """Give up what is overdue: one timer for all, since all have the same timeout."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            while self._deadlines and self._deadlines[0][0] <= now:
                _, connection, row = self._deadlines.popleft()
                if connection.row == row:
                    self.failed(connection, Ending.TIMEOUT)


def _any_tls(job: Job) -> bool:
    return any(target.is_tls for target in job.targets)


async def generate(generator: Generator, watch: Callable[[Generator], None] | None = None) -> Records:
    """Run a generator; `watch` is called with it five times a second."""
    watcher = asyncio.create_task(_watch(generator, watch)) if watch is not None else None
    began_processor_s = time.process_time()
    try:
        records = await generator.run()
    finally:
        if watcher is not None:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
    records.processor_s = time.process_time() - began_processor_s
    return records


async def _watch(generator: Generator, watch: Callable[[Generator], None]) -> None:
    while True:
        await asyncio.sleep(0.2)
        watch(generator)
