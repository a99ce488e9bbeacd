"""Writes anew the heads of responses, as `request_plan` does for requests, and keeps them by their bytes
too.
"""

from swayam_proxy.live.field_lines import FieldLines
from swayam_proxy.live.head_shape import HeadShape, ShapeTable, Template, shape_of, template_of
from swayam_proxy.live.headers import HOP_BY_HOP, OWN_ANSWER_FIELDS, VIA_LINE, execution_s_of
from swayam_proxy.live.response_head import SPECIAL_FIELDS, UNKNOWN, ResponseHead, read_response_head
from swayam_proxy.live.settings import Limits

_REMEMBERED_COUNT_MAX = 512
_REMEMBERED_BYTES_MAX = 2048
_DROPPED = HOP_BY_HOP | OWN_ANSWER_FIELDS
_HARMLESS = frozenset((b"keep-alive", b"close"))
"""What Connection may say for a head to have a shape."""
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
        "shape",
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
        """The head itself, where it is likely to come again."""
        self.raw_bytes = 0
        """Of the head, where it was found without a search."""
        self.shape: ResponseShape | None = None
        """What is likely to come again, where the head itself is not."""
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


class ResponseShape:
    """What the heads of many answers have in common, and how to plan one of them."""

    __slots__ = ("_length_index", "_plan", "_shape", "_template", "_timing_index")

    def __init__(self, shape: HeadShape, template: Template, plan: ResponsePlan) -> None:
        """Plan heads of `shape` as `plan` does it for the first of them."""
        self._shape = shape
        self._template = template
        self._plan = plan
        self._length_index = shape.index_of(b"content-length")
        self._timing_index = shape.index_of(b"server-timing")

    def plan_of(self, data: bytes) -> ResponsePlan | None:
        """Return the plan of the head at the beginning of `data`; None when it must be read the long way."""
        found = self._shape.values_in(data)
        if found is None:
            return None
        values, raw_bytes = found
        first = self._plan
        plan = object.__new__(ResponsePlan)
        plan.status = first.status
        plan.chunked = first.chunked
        plan.keep_alive = first.keep_alive
        plan.keep_alive_s = first.keep_alive_s
        plan.busy = first.busy
        plan.idle = first.idle
        plan.upgrade = first.upgrade
        plan.bodiless = first.bodiless
        plan.plain = first.plain
        plan.raw = b""
        plan.raw_bytes = raw_bytes
        plan.shape = self
        plan.client_head = self._template.fill(values)
        if self._timing_index < 0:
            plan.execution_s = first.execution_s
        else:
            plan.execution_s = execution_s_of(values[self._timing_index])
        if self._length_index < 0:
            plan.content_length, plan.whole_bytes = first.content_length, first.whole_bytes
        else:
            text = values[self._length_index]
            if text.startswith(b"0"):
                return None
            plan.content_length = int(text)
            plan.whole_bytes = plan.content_length if first.plain else -1
        return plan


class ResponsePlanner:
    """Plans the responses of all backends."""

    __slots__ = ("_field_lines", "_limits", "_shapes", "known")

    def __init__(self, limits: Limits) -> None:
        """Plan within `limits`."""
        self._limits = limits
        self._field_lines = FieldLines(SPECIAL_FIELDS)
        self.known: dict[bytes, ResponsePlan] = {}
        self._shapes: ShapeTable[ResponsePlan] = ShapeTable()

    def read(self, raw: bytes) -> ResponsePlan:
        """Return the plan of a head that is not in `known`.

        Raises:
            MalformedResponseError: the head is malformed or too large.
        """
        if (renewed := self._shapes.plan_of(raw)) is not None:
            return renewed
        head = read_response_head(raw, self._limits, self._field_lines)
        plan = ResponsePlan(head)
        if len(raw) <= _REMEMBERED_BYTES_MAX and FieldLines.come_again(head.said):
            if len(self.known) >= _REMEMBERED_COUNT_MAX:
                self.known.clear()
            plan.raw, plan.raw_bytes = raw, len(raw)
            self.known[raw] = plan
        elif self._shapes.wants(raw):
            self._keep_shape(raw, head, plan)
        return plan

    def _keep_shape(self, raw: bytes, head: ResponseHead, plan: ResponsePlan) -> None:
        """Keep what may come again of a head that will not, unless it says something special."""
        if plan.status < 200 or not _HARMLESS.issuperset(head.named):
            return
        shape = shape_of(raw, head.lines, self._limits.response_head_bytes_max)
        template = template_of(plan.client_head, head.lines)
        if shape is None or template is None:
            return
        plan.shape = ResponseShape(shape, template, plan)
        self._shapes.keep(raw, plan.shape)
