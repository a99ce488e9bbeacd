"""One JSON object per ended request, for people and for log collectors.

Knows the fields that users rely on; writes nothing itself. The query of a path never enters a log: it may
hold a secret. Times in the log are milliseconds, with three decimals.

A line is made where the request ends: a fixed text with places to fill costs a little over a microsecond. On
the writer's thread it would cost more, since two threads that both run Python hinder each other.
"""

import time

import orjson

from swayam_proxy.live.line_writer import LineWriter
from swayam_proxy.live.meters import overhead_of
from swayam_proxy.live.record import RequestRecord

_ERROR_OUTCOMES = frozenset({"upstream_error", "timeout", "retry_exhausted"})
_LINES_AT_ONCE_MAX = 4096
_NAMES_COUNT_MAX = 2048
_JSON = {True: "true", False: "false", None: "null"}
_LINE = (
    '{"ts":"%s.%03dZ","level":"%s","request_id":"%s","trace_id":"%s","client":"%s","method":"%s","path":"%s",'
    '"model":"%s","code":%d,"outcome":"%s","reason":"%s","backend":"%s","backend_index":%d,"prefix_size":%d,'
    '"attempts":%d,"queue_ms":%s,"connect_ms":%s,"first_byte_ms":%.3f,"upstream_ms":%.3f,"total_ms":%.3f,'
    '"overhead_ms":%.3f,"bytes_in":%d,"bytes_out":%d,"deadline_ms":%s,"sla_met":%s,"cold_start":%s,'
)
"""Every text that goes in is plain: checked where it was read, or made so here."""


class AccessLog:
    """A `Recorder` that writes each record as one line."""

    def __init__(self, path: str, proxy_id: str) -> None:
        """Begin to write to `path` ("-": standard output) in the name of `proxy_id`."""
        self._line = _LINE + f'"proxy_id":"{plain(proxy_id)}"}}\n'.replace("%", "%%")
        self._second = 0
        self._second_text = ""
        self._wall_s = 0.0
        """What the wall clock is ahead of the monotonic one; looked at once a second."""
        self._names: dict[str, str] = {}
        """Paths, services and backends as they are written."""
        self.writer: LineWriter[bytes] = LineWriter(path, bytes, batch_max=_LINES_AT_ONCE_MAX)

    def record(self, request: RequestRecord) -> None:
        """Queue the line of an ended request."""
        self.writer.put(self.line_of(request))

    def line_of(self, request: RequestRecord) -> bytes:
        """Write one record as a line."""
        wall_s = request.started_at + self._wall_s
        second = int(wall_s)
        if second != self._second:
            second = self._new_second(request.started_at)
            wall_s = request.started_at + self._wall_s
        names = self._names
        outcome = request.outcome
        deadline_s = request.deadline_s
        return (
            self._line
            % (
                self._second_text,
                int((wall_s - second) * 1000.0),
                "error" if outcome in _ERROR_OUTCOMES else "info",
                request.request_id,
                request.trace_id,
                request.client,
                request.method,
                names.get(request.path) or self._name(request.path),
                names.get(request.service_name) or self._name(request.service_name),
                request.code,
                outcome,
                request.reason,
                names.get(request.backend_address) or self._name(request.backend_address),
                request.backend_index,
                request.prefix_size,
                request.attempts,
                f"{request.queue_s * 1e3:.3f}" if request.queue_s else "0.0",
                f"{request.connect_s * 1e3:.3f}" if request.connect_s else "0.0",
                request.first_byte_s * 1e3,
                request.upstream_s * 1e3,
                request.total_s * 1e3,
                overhead_of(request) * 1e3,
                request.bytes_in,
                request.bytes_out,
                "null" if deadline_s is None else f"{deadline_s * 1e3:.3f}",
                _JSON[request.sla_met],
                _JSON[request.cold_start],
            )
        ).encode()

    def _new_second(self, started_at: float) -> int:
        """Keep the text of a whole second of UTC, because the next line needs it too; return the second."""
        self._wall_s = time.time() - time.monotonic()
        self._second = second = int(started_at + self._wall_s)
        self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return second

    def _name(self, text: str) -> str:
        """Return a path or name as it is written, and remember it unless it has a query."""
        written = plain(path_to_show(text) if "?" in text else text)
        if "?" not in text:
            if len(self._names) >= _NAMES_COUNT_MAX:
                self._names.clear()
            self._names[text] = written
        return written


def plain(text: str) -> str:
    """Return `text` as it stands between the quotes of a JSON string."""
    if '"' in text or "\\" in text or not text.isprintable():
        return orjson.dumps(text)[1:-1].decode()
    return text


def path_to_show(path: str) -> str:
    """Return `path` with the query replaced by "?", so that nobody's secrets are logged."""
    bare, mark, _ = path.partition("?")
    return bare + mark
