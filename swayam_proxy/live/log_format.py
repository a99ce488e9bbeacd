"""How messages for operators look on standard error: text for people, or one JSON object per line.

Not for requests, which have a log of their own: a message here is rare, so it may be written at once.
"""

import json
import logging
import sys
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object per message."""

    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, origin, message, and the traceback if there is one."""
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logging(level: str, style: str) -> None:
    """Send messages of `level` and above to standard error; `style` is "text" or "json"."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def print_event(event: str, **facts: object) -> str:
    """Write a fact that programs wait for, as one JSON line on standard error; return that line."""
    line = json.dumps({"event": event, **facts}) + "\n"
    sys.stderr.write(line)
    sys.stderr.flush()
    return line
