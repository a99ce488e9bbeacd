"""Writes lines to a file or to standard output from a thread of its own, so that a slow disk never stops the
loop.

Knows nothing of what a line means. The queue is bounded: what does not fit is dropped and counted, since a
proxy that waits for its log is worse than a log with a hole. The file is opened for appending, so that a
rotation that copies and truncates needs no word to us; one that renames calls `reopen`.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Entry = TypeVar("Entry")

_BATCH_MAX = 64
"""Lines encoded at a time: the interpreter's lock is given back in between, so the loop waits 0.2 ms."""
_PAUSE_S = 0.05
"""The writer looks this often. It is not woken by each line: that would cost the loop microseconds."""


class LineWriter(Generic[Entry]):
    """Takes entries on any thread and writes `encode(entry)`, which must end in a newline, on its own."""

    def __init__(
        self,
        path: str,
        encode: Callable[[Entry], bytes],
        *,
        queue_max: int = 8192,
        batch_max: int = _BATCH_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open `path` ("-": standard output) and start; `OSError` when it cannot be opened.

        `batch_max` may be large where `encode` costs nothing, because the entries are lines already.
        """
        self._path = path
        self._encode = encode
        self._queue: deque[Entry] = deque()
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._clock = clock
        self._file = self._open()
        self._reopen_asked = False
        self._stop_asked = threading.Event()
        self._stop_at = 0.0
        self.written_count = 0
        self.dropped_count = 0
        """Entries lost because the queue was full or the file could not be written."""
        self._thread = threading.Thread(target=self._run, name=f"log {path}", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Queue an entry; never blocks."""
        if len(self._queue) < self._queue_max:
            self._queue.append(entry)
        else:
            self.dropped_count += 1

    def put_all(self, entries: Sequence[Entry]) -> None:
        """Queue many entries, as far as they fit; never blocks."""
        room_count = self._queue_max - len(self._queue)
        if len(entries) > room_count:
            self.dropped_count += len(entries) - room_count
            entries = entries[:room_count]
        self._queue.extend(entries)

    def reopen(self) -> None:
        """Close and open the file again before the next line: its name may mean another file now."""
        self._reopen_asked = True

    def stop(self, within_s: float = 2.0) -> None:
        """Write what is queued, close the file and end the thread; what takes longer is lost and counted."""
        self._stop_at = self._clock() + within_s
        self._stop_asked.set()
        self._thread.join(within_s + 1.0)

    def _open(self) -> int:
        if self._path == "-":
            return 1
        return os.open(Path(self._path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _run(self) -> None:
        while not self._stop_asked.wait(_PAUSE_S):
            self._write_queued()
        while self._queue and self._clock() < self._stop_at:
            self._write_batch()
        self.dropped_count += len(self._queue)
        if self._path != "-":
            os.close(self._file)

    def _write_queued(self) -> None:
        if self._reopen_asked:
            self._reopen_asked = False
            self._reopen()
        for _ in range(self._queue_max // self._batch_max + 1):
            if not self._queue:
                return
            self._write_batch()

    def _write_batch(self) -> None:
        count = min(len(self._queue), self._batch_max)
        entries = [self._queue.popleft() for _ in range(count)]
        try:
            text = b"".join(map(self._encode, entries))
            while text:
                text = text[os.write(self._file, text) :]
        except (OSError, TypeError, ValueError):  # the disk is full, or a name is no valid text
            self.dropped_count += count
        else:
            self.written_count += count

    def _reopen(self) -> None:
        try:
            reopened = self._open()
        except OSError:
            return  # the old file still takes the lines
        if self._path != "-":
            os.close(self._file)
        self._file = reopened
