"""Takes chunked bodies apart, strictly, as they come; knows nothing of heads, connections or timeouts.

Trailers are read and dropped (RFC 9110 6.5.1 allows it), chunk extensions likewise: neither is forwarded.
"""

import re

from swayam_proxy.live.headers import TOKEN

_QUOTED = rb"\"(?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*\""
_EXTENSION = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
_TRAILER_LINE = re.compile(TOKEN + rb":[\t\x20-\x7e\x80-\xff]*")
_SIZE_LINE_BYTES_MAX = 1024
_TRAILER_BYTES_MAX = 16 * 1024
_EXTENSION_BYTES_MAX = 16 * 1024
"""Of one body: nobody uses extensions, but they make a small body cost much."""

LAST_CHUNK = b"0\r\n\r\n"

_SIZE, _BYTES, _END_OF_CHUNK, _TRAILERS = range(4)


class FramingError(Exception):
    """A chunked body that cannot be read in exactly one way."""


class ChunkedDecoder:
    """Reads one chunked body; `feed` returns the bytes of its content.

    After the end `complete` is true and `rest` holds what came behind the body.
    """

    __slots__ = (
        "_buffer",
        "_extension_bytes",
        "_left",
        "_state",
        "_trailer_bytes",
        "complete",
        "content_bytes",
        "rest",
    )

    def __init__(self) -> None:
        """Begin before the first chunk."""
        self._state = _SIZE
        self._left = 0
        self._buffer = b""
        self._trailer_bytes = 0
        self._extension_bytes = 0
        self.complete = False
        self.content_bytes = 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take in what came; return the content in it, maybe none, chunks of one call joined.

        Raises:
            FramingError: the body is malformed.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        parts: list[bytes] = []
        position = 0
        size = len(data)
        while position < size and not self.complete:
            if self._state == _BYTES:
                part = data[position : position + self._left]
                parts.append(part)
                position += len(part)
                self._left -= len(part)
                if not self._left:
                    self._state = _END_OF_CHUNK
                continue
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._keep(data[position:])
                position = size
            else:
                self._line(data[position:line_end])
                position = line_end + 2
        if self.complete:
            self.rest = data[position:]
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        self.content_bytes += len(content)
        return content

    def _keep(self, beginning: bytes) -> None:
        """Keep the beginning of a line, unless no end can make it a good one."""
        line = beginning[:-1] if beginning.endswith(b"\r") else beginning
        if b"\n" in line or b"\r" in line:
            raise FramingError("a line of the chunked body does not end with CR LF")
        if self._state == _END_OF_CHUNK and line:
            raise FramingError("a chunk is longer than its size")
        if self._state == _SIZE and line and not line[:1].isalnum():
            raise FramingError("malformed size of a chunk")
        if len(beginning) > (_TRAILER_BYTES_MAX if self._state == _TRAILERS else _SIZE_LINE_BYTES_MAX):
            raise FramingError("a line of the chunked body is too long")
        self._buffer = beginning

    def _line(self, line: bytes) -> None:
        if self._state == _END_OF_CHUNK:
            if line:
                raise FramingError("a chunk is longer than its size")
            self._state = _SIZE
        elif self._state == _SIZE:
            match = _SIZE_LINE.fullmatch(line) if len(line) <= _SIZE_LINE_BYTES_MAX else None
            if match is None:
                raise FramingError("malformed size of a chunk")
            self._extension_bytes += len(line) - len(match[1])
            if self._extension_bytes > _EXTENSION_BYTES_MAX:
                raise FramingError("too many extensions of chunks")
            self._left = int(match[1], 16)
            self._state = _BYTES if self._left else _TRAILERS
        elif not line:
            self.complete = True
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > _TRAILER_BYTES_MAX or _TRAILER_LINE.fullmatch(line) is None:
                raise FramingError("malformed trailer behind the chunked body")


def chunk(content: bytes) -> bytes:
    """Return `content`, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)
