"""One JSON object per ended request, for people and for log collectors.

Knows the fields that users rely on; writes nothing itself. The query of a path never enters a log: it may
hold a secret. Times in the log are milliseconds, with three decimals.
"""

import time
from datetime import UTC, datetime

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
        self.writer: LineWriter[RequestRecord] = LineWriter(path, self.line_of)
        self.record = self.writer.put

    def line_of(self, request: RequestRecord) -> bytes:
        """Write one record as a line."""
        wall_s = request.started_at + time.time() - time.monotonic()
        return orjson.dumps(
            {
                "ts": datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds"),
                "level": "error" if request.outcome in _ERROR_OUTCOMES else "info",
                "request_id": request.request_id,
                "trace_id": request.trace_id,
                "client": request.client,
                "method": request.method,
                "path": path_to_show(request.path),
                "model": request.service_name,
                "code": request.code,
                "outcome": request.outcome,
                "reason": request.reason,
                "backend": request.backend_address,
                "backend_index": request.backend_index,
                "prefix_size": request.prefix_size,
                "attempts": request.attempts,
                "queue_ms": milliseconds(request.queue_s),
                "connect_ms": milliseconds(request.connect_s),
                "first_byte_ms": milliseconds(request.first_byte_s),
                "upstream_ms": milliseconds(request.upstream_s),
                "total_ms": milliseconds(request.total_s),
                "overhead_ms": milliseconds(overhead_of(request)),
                "bytes_in": request.bytes_in,
                "bytes_out": request.bytes_out,
                "deadline_ms": None if request.deadline_s is None else milliseconds(request.deadline_s),
                "sla_met": request.sla_met,
                "cold_start": request.cold_start,
                "proxy_id": self._proxy_id,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


def milliseconds(seconds: float) -> float:
    """Convert to the log's unit and precision."""
    return round(seconds * 1000.0, 3)


def path_to_show(path: str) -> str:
    """Return `path` with the query replaced by "?", so that nobody's secrets are logged."""
    bare, mark, _ = path.partition("?")
    return bare + mark
