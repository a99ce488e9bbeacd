"""Reads the head of a backend's response into one meaning, or says what is wrong with it.

As strict as `request_head`: llhttp and our own grammar must both like it. Knows no connection.
"""

import re

import httptools

from swayam_proxy.live.headers import FIELD_LINE, connection_tokens, execution_s_of
from swayam_proxy.live.settings import Limits

_HEAD = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r\n(?:" + FIELD_LINE + rb")*\r\n"
)
_BROKEN_LINES = re.compile(rb"\r[^\n]|(?<!\r)\n|\x00")
_KEEP_ALIVE_TIMEOUT = re.compile(rb"(?:^|[, \t;])timeout=([0-9]{1,6})(?:$|[, \t;])", re.IGNORECASE)
_BEGIN = b"HTTP/1."
_CONTENT_LENGTH_DIGITS_MAX = 18

UNKNOWN = -1
"""The content length of a body whose end is told by something else."""


class MalformedResponseError(Exception):
    """A backend's answer cannot be read in exactly one way; the client gets a 502."""


class ResponseHead:
    """The meaning of a response's head; never altered once read, so that equal bytes may share one."""

    __slots__ = (
        "busy",
        "chunked",
        "content_length",
        "execution_s",
        "fields",
        "keep_alive",
        "keep_alive_s",
        "lower_fields",
        "named",
        "phrase",
        "status",
        "upgrade",
    )

    def __init__(self, status: int, phrase: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        """Begin with the status line; `read_response_head` fills in the rest."""
        self.status = status
        self.phrase = phrase
        self.fields = fields
        self.lower_fields = [(name.lower(), value) for name, value in fields]
        self.named = connection_tokens(self.lower_fields)
        self.content_length = UNKNOWN
        self.chunked = False
        self.keep_alive = True
        self.keep_alive_s: float | None = None
        """How long the backend says that it keeps the idle connection."""
        self.upgrade = b""
        self.busy = False
        """A sidecar without a free slot refused the request and remembers nothing of it."""
        self.execution_s: float | None = None


class _Collector:
    """What llhttp calls while it reads."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def read_response_head(raw: bytes, limits: Limits) -> ResponseHead:
    """Return the meaning of `raw`, which ends with its empty line.

    Raises:
        MalformedResponseError: it is malformed, ambiguous or too large.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise MalformedResponseError("the head of the response is malformed")
    if len(raw) > limits.response_head_bytes_max or raw.count(b"\r\n") - 2 > limits.response_fields_max:
        raise MalformedResponseError("the head of the response is too large")
    collector = _Collector()
    try:
        httptools.HttpResponseParser(collector).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise MalformedResponseError(str(error)) from None
    fields = collector.fields
    if len(fields) != raw.count(b"\r\n") - 2:
        raise MalformedResponseError("the fields of the response can be read in two ways")
    minor, status, phrase = match.groups()
    head = ResponseHead(int(status), phrase or b"", [(name, value.strip(b" \t")) for name, value in fields])
    _read_framing(head, is_first_version=minor == b"0")
    _read_the_rest(head)
    return head


def check_partial_response(raw: bytes, limits: Limits) -> None:
    """Refuse the beginning of a response that can never become a good one.

    Raises:
        MalformedResponseError: as `read_response_head` does.
    """
    if not _BEGIN.startswith(raw[:7]):
        raise MalformedResponseError("the response is not HTTP/1")
    if len(raw) > limits.response_head_bytes_max:
        raise MalformedResponseError("the head of the response is too large")
    if raw.count(b"\r\n") - 1 > limits.response_fields_max:
        raise MalformedResponseError("the head of the response is too large")
    if _BROKEN_LINES.search(raw):
        raise MalformedResponseError("the head of the response is malformed")


def _read_framing(head: ResponseHead, *, is_first_version: bool) -> None:
    lengths = [value for name, value in head.lower_fields if name == b"content-length"]
    codings = [value for name, value in head.lower_fields if name == b"transfer-encoding"]
    if codings:
        if lengths or is_first_version or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise MalformedResponseError("the response has more than one framing, or one that is not known")
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > _CONTENT_LENGTH_DIGITS_MAX:
            raise MalformedResponseError("Content-Length of the response is not one plain number")
        head.content_length = int(value)
    if is_first_version:
        head.keep_alive = b"keep-alive" in head.named
    if b"close" in head.named:
        head.keep_alive = False


def _read_the_rest(head: ResponseHead) -> None:
    for name, value in head.lower_fields:
        if name == b"server-timing":
            execution_s = execution_s_of(value)
            if execution_s is not None:
                head.execution_s = execution_s
        elif name == b"keep-alive":
            match = _KEEP_ALIVE_TIMEOUT.search(value)
            if match:
                head.keep_alive_s = float(match[1])
        elif name == b"swayam-busy":
            head.busy = head.status == 503 and value == b"1"
        elif name == b"upgrade" and b"upgrade" in head.named:
            head.upgrade = value
