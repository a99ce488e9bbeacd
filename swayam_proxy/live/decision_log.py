"""One JSON object per decision, complete enough to be judged again later.

Knows how a `Decision` is written down, with its inputs, its answer, its reason and the version of the code
that made it; knows nothing of how it was made.
"""

import time
from dataclasses import fields
from datetime import UTC, datetime

import orjson

from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.vocabulary import Decision
from swayam_proxy.live.line_writer import LineWriter

_FIELDS = tuple(field.name for field in fields(Decision) if field.name != "at")


class DecisionLog:
    """Writes each decision as one line."""

    def __init__(self, path: str, proxy_id: str, version: str) -> None:
        """Begin to write to `path` ("-": standard output); `version` names the code that decides."""
        self._proxy_id = proxy_id
        self._version = version
        self.writer: LineWriter[RecordDecision] = LineWriter(path, self.line_of)
        self.record = self.writer.put

    def line_of(self, order: RecordDecision) -> bytes:
        """Write one decision as a line; `at` keeps the monotonic seconds of its inputs."""
        decision = order.decision
        wall_s = decision.at + time.time() - time.monotonic()
        return orjson.dumps(
            {
                "ts": datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds"),
                "proxy_id": self._proxy_id,
                "version": self._version,
                "at": decision.at,
                **{name: getattr(decision, name) for name in _FIELDS},
                "evidence": order.evidence(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
