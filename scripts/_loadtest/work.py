"""A test over one or several processes: shares the schedule out, collects the records.

The generator runs apart from the process that draws the progress bar, since drawing takes milliseconds
and would make requests late.
"""

import asyncio
import gc
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any

from _loadtest.errors import LoadtestError
from _loadtest.generator import Generator, Job, generate
from _loadtest.records import Records

_START_DELAY_S = 0.1
_POLL_S = 0.25
_GC_ALLOCATIONS = 100_000


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a running test stands."""

    elapsed_s: float
    sent_count: int
    done_count: int
    good_count: int
    in_flight_count: int


def shares(job: Job, processes_count: int) -> list[Job]:
    """Return every k-th request for each process, so that all run along the same curve."""
    return [
        replace(
            job,
            intended_s=job.intended_s[first::processes_count],
            target_numbers=job.target_numbers[first::processes_count],
            execution_s=None if job.execution_s is None else job.execution_s[first::processes_count],
            connections_count_max=max(1, job.connections_count_max // processes_count),
        )
        for first in range(processes_count)
    ]


def run_test(job: Job, processes_count: int, on_progress: Callable[[Progress], None]) -> list[Records]:
    """Run the whole test and return every process's records; Ctrl-C ends it early, a second one at once."""
    context = multiprocessing.get_context("spawn")
    processes, pipes, boards = [], [], []
    for share in shares(job, processes_count):
        ours, theirs = context.Pipe()
        board = context.Array("q", 4, lock=False)
        process = context.Process(target=_work, args=(share, theirs, board), daemon=True)
        process.start()
        theirs.close()
        processes.append(process)
        pipes.append(ours)
        boards.append(board)
    try:
        for pipe in pipes:
            _received(pipe)
        start_at = time.monotonic() + _START_DELAY_S
        for pipe in pipes:
            pipe.send(start_at)
        return _collected(pipes, lambda: on_progress(_progress(boards, start_at)))
    finally:
        for process in processes:
            process.join(timeout=1.0)
            if process.is_alive():
                process.kill()


def _collected(pipes: list[Any], on_turn: Callable[[], None]) -> list[Records]:
    records: list[Records] = []
    waiting = list(pipes)
    is_interrupted = False
    while waiting:
        try:
            for ready in wait(waiting, timeout=_POLL_S):
                waiting.remove(ready)
                records.append(_received(ready))
            on_turn()
        except KeyboardInterrupt:
            if is_interrupted:
                raise
            is_interrupted = True  # the processes got the signal too, and send what they have
    return records


def _received(pipe: Any) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise LoadtestError(
            "a process of the generator died", "see its error above; use fewer requests"
        ) from None


def _progress(boards: list[Any], start_at: float) -> Progress:
    sent, done, good, in_flight = (sum(board[place] for board in boards) for place in range(4))
    return Progress(max(0.0, time.monotonic() - start_at), sent, done, good, in_flight)


def _work(job: Job, pipe: Pipe, board: Any) -> None:
    """Run one share in a process of its own: say that it is ready, learn the start, send the records."""

    def watch(generator: Generator) -> None:
        board[0], board[1] = generator.sent_count, generator.done_count
        board[2], board[3] = generator.good_count, generator.in_flight_count

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the loop listens to it
    gc.freeze()
    gc.set_threshold(_GC_ALLOCATIONS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.get_loop()
        pipe.send("ready")
        try:
            start_at = pipe.recv()
        except EOFError:  # the parent was told to stop
            return
        records = runner.run(_until_done_or_interrupted(job, start_at, watch))
    pipe.send(records)
    pipe.close()


async def _until_done_or_interrupted(
    job: Job, start_at: float, watch: Callable[[Generator], None]
) -> Records:
    generator = Generator(job, start_at)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, generator.stop)
    return await generate(generator, watch)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
