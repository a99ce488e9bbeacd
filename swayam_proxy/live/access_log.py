"""One JSON object per ended request, for people and for log collectors.

Knows the fields that users rely on; writes nothing itself. The query of a path never enters a log: it may
hold a secret. Times in the log are milliseconds, cut to whole microseconds. A line costs about two
microseconds, on the writer's thread, but of the same processor: hence the plain arithmetic.
"""

import time

import orjson

from swayam_proxy.live.line_writer import LineWriter
from swayam_proxy.live.meters import overhead_of
from swayam_proxy.live.record import RequestRecord

_ERROR_OUTCOMES = frozenset({"upstream_error", "timeout", "retry_exhausted"})


class AccessLog:
    """A `Recorder` that writes each record as one line."""

    def __init__(self, path: str, proxy_id: str) -> None:
        """Begin to write to `path` ("-": standard output) in the name of `proxy_id`."""
        self._proxy_id = proxy_id
        self._second = 0
        self._second_text = ""
        self.writer: LineWriter[RequestRecord] = LineWriter(path, self.line_of)
        self.record = self.writer.put

    def line_of(self, request: RequestRecord) -> bytes:
        """Write one record as a line; called on one thread at a time."""
        path = request.path
        deadline_s = request.deadline_s
        return orjson.dumps(
            {
                "ts": self._text_of(request.started_at + time.time() - time.monotonic()),
                "level": "error" if request.outcome in _ERROR_OUTCOMES else "info",
                "request_id": request.request_id,
                "trace_id": request.trace_id,
                "client": request.client,
                "method": request.method,
                "path": path_to_show(path) if "?" in path else path,
                "model": request.service_name,
                "code": request.code,
                "outcome": request.outcome,
                "reason": request.reason,
                "backend": request.backend_address,
                "backend_index": request.backend_index,
                "prefix_size": request.prefix_size,
                "attempts": request.attempts,
                "queue_ms": int(request.queue_s * 1e6) / 1e3,
                "connect_ms": int(request.connect_s * 1e6) / 1e3,
                "first_byte_ms": int(request.first_byte_s * 1e6) / 1e3,
                "upstream_ms": int(request.upstream_s * 1e6) / 1e3,
                "total_ms": int(request.total_s * 1e6) / 1e3,
                "overhead_ms": int(overhead_of(request) * 1e6) / 1e3,
                "bytes_in": request.bytes_in,
                "bytes_out": request.bytes_out,
                "deadline_ms": None if deadline_s is None else int(deadline_s * 1e6) / 1e3,
                "sla_met": request.sla_met,
                "cold_start": request.cold_start,
                "proxy_id": self._proxy_id,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    def _text_of(self, wall_s: float) -> str:
        """Write a moment in UTC; the text of its whole second is kept, because the next line needs it."""
        second = int(wall_s)
        if second != self._second:
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._second_text}.{int((wall_s - second) * 1000.0):03d}Z"


def path_to_show(path: str) -> str:
    """Return `path` with the query replaced by "?", so that nobody's secrets are logged."""
    bare, mark, _ = path.partition("?")
    return bare + mark
