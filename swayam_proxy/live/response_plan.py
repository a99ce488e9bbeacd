"""Writes anew the heads of responses, as `request_plan` does for requests, and keeps them by their bytes
too.
"""

from swayam_proxy.live.field_lines import FieldLines
from swayam_proxy.live.headers import HOP_BY_HOP, OWN_ANSWER_FIELDS, VIA_LINE
from swayam_proxy.live.response_head import SPECIAL_FIELDS, UNKNOWN, ResponseHead, read_response_head
from swayam_proxy.live.settings import Limits

_REMEMBERED_COUNT_MAX = 512
_REMEMBERED_BYTES_MAX = 2048
_DROPPED = HOP_BY_HOP | OWN_ANSWER_FIELDS
_NO_BODY_STATUSES = frozenset((204, 304))


class ResponsePlan:
    """What will be done with a backend's response: how its body is framed, and the head that the client
    gets.
    """

    __slots__ = (
        "bodiless",
        "busy",
        "chunked",
        "client_head",
        "content_length",
        "execution_s",
        "idle",
        "keep_alive",
        "keep_alive_s",
        "plain",
        "raw",
        "raw_bytes",
        "status",
        "upgrade",
        "whole_bytes",
    )

    def __init__(self, head: ResponseHead) -> None:
        """Keep of `head` what is needed, and write the client's head without framing of unknown lengths."""
        self.status = head.status
        self.content_length = head.content_length
        self.chunked = head.chunked
        self.keep_alive = head.keep_alive
        self.keep_alive_s = head.keep_alive_s
        self.execution_s = head.execution_s
        self.busy = head.busy
        self.idle = head.idle
        self.upgrade = head.upgrade
        self.bodiless = head.status in _NO_BODY_STATUSES
        self.plain = head.status >= 200 and not self.bodiless and head.content_length != UNKNOWN
        """A final answer whose body, if any, is told by its length."""
        self.whole_bytes = head.content_length if self.plain else -1
        self.raw = b""
        self.raw_bytes = 0
        """The head itself, where it is likely to come again."""
        self.client_head = _client_head(head)


def _client_head(head: ResponseHead) -> bytes:
    dropped = _DROPPED
    if head.status < 200 or head.status == 204:
        dropped |= {b"content-length"}
    lines = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.phrase)]
    if head.named:
        # even so, the length of the body is not the backend's to take away
        named = frozenset(head.named) - {b"content-length"}
        lines += [
            line.written for line in head.lines if line.lower not in dropped and line.lower not in named
        ]
    else:
        lines += [line.written for line in head.lines if not line.is_special or line.lower not in dropped]
    lines.append(VIA_LINE)
    return b"".join(lines)


class ResponsePlanner:
    """Plans the responses of all backends."""

    __slots__ = ("_field_lines", "_limits", "known")

    def __init__(self, limits: Limits) -> None:
        """Plan within `limits`."""
        self._limits = limits
        self._field_lines = FieldLines(SPECIAL_FIELDS)
        self.known: dict[bytes, ResponsePlan] = {}

    def read(self, raw: bytes) -> ResponsePlan:
        """Return the plan of a head that is not in `known`.

        Raises:
            MalformedResponseError: the head is malformed or too large.
        """
        head = read_response_head(raw, self._limits, self._field_lines)
        plan = ResponsePlan(head)
        if len(raw) <= _REMEMBERED_BYTES_MAX and FieldLines.come_again(head.said):
            if len(self.known) >= _REMEMBERED_COUNT_MAX:
                self.known.clear()
            plan.raw, plan.raw_bytes = raw, len(raw)
            self.known[raw] = plan
        return plan
