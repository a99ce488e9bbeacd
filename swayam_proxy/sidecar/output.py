"""What a model server prints: passed on line by line, and never more than a bound of it kept.

Knows files, not processes. Lines are passed on as they come; a file is put aside when it is full, and one
older file is kept.
"""

import os
from collections import deque
from pathlib import Path
from typing import BinaryIO

FILE_BYTES_MAX = 10 * 1024 * 1024
LINE_BYTES_MAX = 8192
_TAIL_LINES = 20


class BoundedOutput:
    """Takes bytes, keeps the last lines, and writes all of them to a file or a descriptor."""

    def __init__(self, path: str | None, descriptor: int = 2, file_bytes_max: int = FILE_BYTES_MAX) -> None:
        """Write to the file of that name, else to the descriptor.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        self._descriptor = descriptor
        self._file: BinaryIO | None = None if path is None else Path(path).open("ab", buffering=0)  # noqa: SIM115
        self._file_bytes_max = file_bytes_max
        self._tail: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self._rest = b""
        self.lost_count = 0
        """Writes that failed: a full disk must not stop the server."""

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        *lines, rest = (self._rest + part).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            lines.append(rest)
            rest = b""
        self._rest = rest
        if lines:
            self._tail.extend(line[:LINE_BYTES_MAX] for line in lines)
            self._write(b"\n".join(lines) + b"\n")

    def tail(self) -> str:
        """Return the last lines, for a message about what went wrong."""
        return b"\n".join((*self._tail, self._rest)).decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._rest:
            self.feed(b"\n")
        if self._file is not None:
            self._file.close()

    def _write(self, data: bytes) -> None:
        try:
            if self._file is None:
                os.write(self._descriptor, data)
                return
            if self._file.tell() + len(data) > self._file_bytes_max:
                self._put_aside()
            self._file.write(data)
        except OSError:
            self.lost_count += 1

    def _put_aside(self) -> None:
        assert self._file is not None and self._path is not None, "only a file is put aside"
        self._file.close()
        Path(self._path).replace(self._path + ".1")
        self._file = Path(self._path).open("ab", buffering=0)  # noqa: SIM115
