"""Reads the head of a backend's response into one meaning, or says what is wrong with it.

As strict as `request_head`: llhttp and our own grammar must both like it. Knows no connection.
"""

import re

import httptools

from swayam_proxy.live.field_lines import EVER_NEW, FieldLine, FieldLineError, FieldLines
from swayam_proxy.live.headers import HOP_BY_HOP, OWN_ANSWER_FIELDS, execution_s_of, tokens
from swayam_proxy.live.settings import Limits

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_BROKEN_LINES = re.compile(rb"\r[^\n]|(?<!\r)\n|\x00")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[, \t;])timeout=([0-9]{1,6})(?:$|[, \t;])", re.IGNORECASE)
_BEGIN = b"HTTP/1."
_CONTENT_LENGTH_DIGITS_MAX = 18
_NOBODY = object()
"""Listens to nothing: llhttp is asked only whether it likes a head."""

SPECIAL_FIELDS = HOP_BY_HOP | OWN_ANSWER_FIELDS | EVER_NEW | {b"content-length"}
"""What the proxy looks at, and what tells that a head will not come again."""

UNKNOWN = -1
"""The content length of a body whose end is told by something else."""


class MalformedResponseError(Exception):
    """A backend's answer cannot be read in exactly one way; the client gets a 502."""


class ResponseHead:
    """The meaning of a response's head."""

    __slots__ = (
        "busy",
        "chunked",
        "content_length",
        "execution_s",
        "idle",
        "keep_alive",
        "keep_alive_s",
        "lines",
        "named",
        "phrase",
        "said",
        "status",
        "upgrade",
    )

    def __init__(self, status: int, phrase: bytes, *, keep_alive: bool) -> None:
        """Begin with the status line; `read_response_head` fills in the rest."""
        self.status = status
        self.phrase = phrase
        self.lines: list[FieldLine] = []
        self.said: dict[bytes, list[bytes]] = {}
        """What the special fields say, by lower-case name."""
        self.named: list[bytes] = []
        """The members of Connection."""
        self.content_length = UNKNOWN
        self.chunked = False
        self.keep_alive = keep_alive
        self.keep_alive_s: float | None = None
        """How long the backend says that it keeps the idle connection."""
        self.upgrade = b""
        self.busy = False
        """A sidecar without a free slot refused the request and remembers nothing of it."""
        self.idle = False
        """The slot that this request leaves is free, and nobody waits for it."""
        self.execution_s: float | None = None


def read_response_head(raw: bytes, limits: Limits, field_lines: FieldLines) -> ResponseHead:
    """Return the meaning of `raw`, which ends with its empty line.

    Raises:
        MalformedResponseError: it is malformed, ambiguous or too large.
    """
    raws = raw.split(b"\r\n")
    if len(raw) > limits.response_head_bytes_max or len(raws) - 3 > limits.response_fields_max:
        raise MalformedResponseError("the head of the response is too large")
    match = _STATUS_LINE.fullmatch(raws[0])
    if match is None:
        raise MalformedResponseError("the status line of the response is malformed")
    minor, status, phrase = match.groups()
    head = ResponseHead(int(status), phrase or b"", keep_alive=minor == b"1")
    try:
        head.lines, head.said = field_lines.read_all(raws[1:-2])
        httptools.HttpResponseParser(_NOBODY).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except (httptools.HttpParserError, FieldLineError) as error:
        raise MalformedResponseError(str(error)) from None
    if (connection := head.said.get(b"connection")) is not None:
        head.named = named = tokens(connection)
        head.keep_alive = (head.keep_alive or b"keep-alive" in named) and b"close" not in named
    _read_framing(head, is_first_version=minor == b"0")
    _read_the_rest(head)
    return head


def check_partial_response(raw: bytes, limits: Limits, checked_bytes: int = 0) -> None:
    """Refuse the beginning of a response that can never be good; its first `checked_bytes` were checked.

    Raises:
        MalformedResponseError: as `read_response_head` does.
    """
    if not _BEGIN.startswith(raw[:7]):
        raise MalformedResponseError("the response is not HTTP/1")
    if len(raw) > limits.response_head_bytes_max:
        raise MalformedResponseError("the head of the response is too large")
    news_at = max(0, checked_bytes - 1)
    if _BROKEN_LINES.search(raw, news_at):
        raise MalformedResponseError("the head of the response is malformed")
    if raw.find(b"\r\n", news_at) >= 0 and raw.count(b"\r\n") - 1 > limits.response_fields_max:
        raise MalformedResponseError("the head of the response is too large")


def _read_framing(head: ResponseHead, *, is_first_version: bool) -> None:
    lengths = head.said.get(b"content-length")
    codings = head.said.get(b"transfer-encoding")
    if codings:
        if lengths or is_first_version or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise MalformedResponseError("the response has more than one framing, or one that is not known")
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > _CONTENT_LENGTH_DIGITS_MAX:
            raise MalformedResponseError("Content-Length of the response is not one plain number")
        head.content_length = int(value)


def _read_the_rest(head: ResponseHead) -> None:
    said = head.said
    for value in said.get(b"server-timing", ()):
        execution_s = execution_s_of(value)
        if execution_s is not None:
            head.execution_s = execution_s
    for value in said.get(b"keep-alive", ()):
        match = _KEEP_ALIVE_TIMEOUT.search(value)
        if match:
            head.keep_alive_s = float(match[1])
    head.busy = head.status == 503 and said.get(b"swayam-busy") == [b"1"]
    head.idle = said.get(b"swayam-idle") == [b"1"]
    if b"upgrade" in head.named:
        head.upgrade = said.get(b"upgrade", [b""])[-1]
