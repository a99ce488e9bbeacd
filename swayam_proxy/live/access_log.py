"""One JSON object per ended request, for people and for log collectors.

Knows the fields that users rely on; writes nothing itself. The query of a path never enters a log: it may
hold a secret. Times in the log are milliseconds, with three decimals.

A line costs about a microsecond. Most of it is the same for many requests (who asked for what and how it
went, words and small numbers): that part is kept, and times and sizes are put around it. Lines are made on
the loop: on the writer's thread they would cost more, since two threads that both run Python hinder each
other.
"""

import time
from collections.abc import Sequence
from typing import Any

import orjson

from swayam_proxy.live.line_writer import LineWriter
from swayam_proxy.live.meters import overhead_of
from swayam_proxy.live.record import RequestRecord

_ERROR_OUTCOMES = frozenset({"upstream_error", "timeout", "retry_exhausted"})
_LINES_AT_ONCE_MAX = 4096
_STORIES_COUNT_MAX = 1024
_JSON = {True: "true", False: "false", None: "null"}
_MILLISECONDS = tuple(f"{millisecond:03d}" for millisecond in range(1000))
_NO_WAITS = '"queue_ms":0.0,"connect_ms":0.0,"first_byte_ms":'

Story = tuple[str, str, str]
"""The constant parts of a line: before the request's id, behind its trace's id, and the end."""


class AccessLog:
    """Writes each record as one line."""

    def __init__(self, path: str, proxy_id: str) -> None:
        """Begin to write to `path` ("-": standard output) in the name of `proxy_id`."""
        self._end = f',"proxy_id":"{plain(proxy_id)}"}}\n'
        self._second = 0
        self._begin = ""
        """Of every line in the present second."""
        self._wall_s = 0.0
        """What the wall clock is ahead of the monotonic one; looked at once a second."""
        self._stories: dict[tuple[Any, ...], Story] = {}
        """By what they are made of."""
        self.writer: LineWriter[str] = LineWriter(path, str.encode, batch_max=_LINES_AT_ONCE_MAX)

    def record(self, requests: Sequence[RequestRecord]) -> None:
        """Queue the lines of ended requests."""
        self.writer.put_all(list(map(self.line_of, requests)))

    def line_of(self, request: RequestRecord) -> str:
        """Write one record as a line."""
        wall_s = request.started_at + self._wall_s
        second = int(wall_s)
        if second != self._second:
            second = self._new_second(request.started_at)
            wall_s = request.started_at + self._wall_s
        key = (
            request.client,
            request.method,
            request.path,
            request.service_name,
            request.code,
            request.outcome,
            request.reason,
            request.backend_address,
            request.backend_index,
            request.prefix_size,
            request.attempts,
            request.deadline_s,
            request.sla_met,
            request.cold_start,
        )
        begin, middle, end = self._stories.get(key) or self._new_story(key)
        total_s, first_byte_s = request.total_s, request.first_byte_s
        total_ms = "%.3f" % (total_s * 1e3)
        # an answer that came at once has begun when it ended
        first_byte_ms = total_ms if first_byte_s == total_s else "%.3f" % (first_byte_s * 1e3)
        waits = waits_of(request) if request.queue_s or request.connect_s else _NO_WAITS
        return (
            f"{self._begin}{_MILLISECONDS[int((wall_s - second) * 1000.0)]}{begin}{request.request_id}"
            f'","trace_id":"{request.trace_id}{middle}{waits}{first_byte_ms},"upstream_ms":'
            f'{"%.3f" % (request.upstream_s * 1e3)},"total_ms":{total_ms},"overhead_ms":'
            f'{"%.3f" % (overhead_of(request) * 1e3)},"bytes_in":{request.bytes_in},"bytes_out":'
            f"{request.bytes_out}{end}"
        )

    def _new_story(self, key: tuple[Any, ...]) -> Story:
        """Tell who asked for what and how it went, and keep that unless the path has a query."""
        client, method, path, service_name, code, outcome, reason, address, index, prefix, attempts = key[:11]
        deadline_s, sla_met, cold_start = key[11:]
        deadline_ms = "null" if deadline_s is None else f"{deadline_s * 1e3:.3f}"
        story = (
            f'Z","level":"{"error" if outcome in _ERROR_OUTCOMES else "info"}","request_id":"',
            f'","client":"{client}","method":"{method}","path":"{plain(path_to_show(path))}",'
            f'"model":"{plain(service_name)}","code":{code},"outcome":"{outcome}","reason":"{reason}",'
            f'"backend":"{plain(address)}","backend_index":{index},"prefix_size":{prefix},'
            f'"attempts":{attempts},',
            f',"deadline_ms":{deadline_ms},"sla_met":{_JSON[sla_met]},"cold_start":{_JSON[cold_start]}'
            f"{self._end}",
        )
        if "?" not in path:
            if len(self._stories) >= _STORIES_COUNT_MAX:
                self._stories.clear()
            self._stories[key] = story
        return story

    def _new_second(self, started_at: float) -> int:
        """Keep the text of a whole second of UTC, because the next line needs it too; return the second."""
        self._wall_s = time.time() - time.monotonic()
        self._second = second = int(started_at + self._wall_s)
        self._begin = time.strftime('{"ts":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second))
        return second


def waits_of(request: RequestRecord) -> str:
    """Write the times before the backend had the request."""
    queue_ms, connect_ms = (
        f"{time_s * 1e3:.3f}" if time_s else "0.0" for time_s in (request.queue_s, request.connect_s)
    )
    return f'"queue_ms":{queue_ms},"connect_ms":{connect_ms},"first_byte_ms":'


def plain(text: str) -> str:
    """Return `text` as it stands between the quotes of a JSON string."""
    if '"' in text or "\\" in text or not text.isprintable():
        return orjson.dumps(text)[1:-1].decode()
    return text


def path_to_show(path: str) -> str:
    """Return `path` with the query replaced by "?", so that nobody's secrets are logged."""
    bare, mark, _ = path.partition("?")
    return bare + mark
