"""Reads the head of a request into one meaning, or says what is wrong with it.

llhttp reads it, a strict grammar of our own reads it too, and a head that only one of them likes is refused:
what is forwarded later must have exactly one reading. Knows no connection and no service; nothing here keeps
state.
"""

import re

import httptools

from swayam_proxy.live.field_lines import EVER_NEW, FieldLine, FieldLineError, FieldLines
from swayam_proxy.live.headers import CLAIMS, HOP_BY_HOP, is_sane_request_id, tokens, trace_id_of
from swayam_proxy.live.problem import Refused
from swayam_proxy.live.settings import Limits

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_HOST = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?:http|https)://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_BROKEN_LINES = re.compile(rb"\r[^\n]|(?<!\r)\n|\x00")

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
SPECIAL_FIELDS = (
    HOP_BY_HOP | CLAIMS | EVER_NEW | {b"content-length", b"expect", b"host", b"traceparent", b"x-request-id"}
)
"""What the proxy looks at, and what tells that a head will not come again."""

_NOT_FOR_PROXIES = frozenset(("CONNECT", "PRI"))
_CONTENT_LENGTH_DIGITS_MAX = 18
_REMEMBERED_COUNT_MAX = 512
_REMEMBERED_BYTES_MAX = 256
_NOBODY = object()
"""Listens to nothing: llhttp reads faster when nobody does, and is asked only whether it likes a head."""


class RequestLine:
    """The first line of a request."""

    __slots__ = ("authority", "idempotent", "is_head", "method", "minor", "path", "query")

    def __init__(self, method: str, target: bytes, minor: int) -> None:
        """Take the target apart.

        Raises:
            Refused: it is malformed.
        """
        self.method = method
        self.minor = minor
        """Of the version, HTTP/1.0 or HTTP/1.1."""
        self.is_head = method == "HEAD"
        self.idempotent = method in IDEMPOTENT
        self.authority, self.path, self.query = _parts_of(target, method)
        """Of an absolute target; the path, and the query with its question mark."""


class RequestHead:
    """The meaning of a request's head."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "host",
        "keep_alive",
        "line",
        "lines",
        "named",
        "request_id",
        "said",
        "trace_id",
        "upgrade",
    )

    def __init__(self, line: RequestLine, lines: list[FieldLine], said: dict[bytes, list[bytes]]) -> None:
        """Read the fields.

        Raises:
            Refused: they contradict each other, or ask for what is not known here.
        """
        self.line = line
        self.lines = lines
        self.said = said
        """What the special fields say, by lower-case name."""
        self.named: list[bytes] = []
        """The members of Connection."""
        self.host = b""
        self.content_length = 0
        self.chunked = False
        self.keep_alive = line.minor == 1
        self.expects_continue = False
        self.upgrade = b""
        self.request_id = b""
        self.trace_id = ""
        _read_framing(self)
        _read_host(self)
        _read_the_rest(self)


class RequestHeadReader:
    """Reads heads within limits, and remembers the lines that heads are made of."""

    __slots__ = ("_field_lines", "_known_lines", "_limits")

    def __init__(self, limits: Limits) -> None:
        """Remember nothing yet."""
        self._limits = limits
        self._field_lines = FieldLines(SPECIAL_FIELDS)
        self._known_lines: dict[bytes, RequestLine] = {}

    def read(self, raw: bytes) -> RequestHead:
        """Return the meaning of `raw`, which ends with its empty line.

        Raises:
            Refused: it is malformed, ambiguous or too large; carries status and reason.
        """
        limits = self._limits
        raws = raw.split(b"\r\n")
        if len(raw) > limits.request_head_bytes_max:
            raise _too_large(raw, limits)
        if len(raws) - 3 > limits.request_fields_max:
            raise Refused(431, "too_many_fields", f"more than {limits.request_fields_max} header fields")
        line = self._known_lines.get(raws[0]) or self._request_line(raws[0])
        try:
            lines, said = self._field_lines.read_all(raws[1:-2])
            httptools.HttpRequestParser(_NOBODY).feed_data(raw)
        except httptools.HttpParserUpgrade:
            # the rest of the connection is not llhttp's, but the head is as good as any
            pass
        except httptools.HttpParserInvalidMethodError:
            raise Refused(501, "method_not_supported", "this method is not known here") from None
        except (httptools.HttpParserError, FieldLineError) as error:
            raise _bad(str(error)) from None
        return RequestHead(line, lines, said)

    def _request_line(self, text: bytes) -> RequestLine:
        match = _REQUEST_LINE.fullmatch(text)
        if match is None:
            raise _bad("the request line is not METHOD SP TARGET SP HTTP/1.1")
        method, target, major, minor = match.groups()
        if major != b"1" or minor not in b"01":
            raise Refused(505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here")
        if len(target) > self._limits.request_target_bytes_max:
            raise _target_too_long(self._limits)
        word = method.decode("ascii")
        if word in _NOT_FOR_PROXIES:
            raise Refused(501, "method_not_supported", f"{word} is not known here")
        line = RequestLine(word, target, int(minor))
        if len(text) <= _REMEMBERED_BYTES_MAX:
            if len(self._known_lines) >= _REMEMBERED_COUNT_MAX:
                self._known_lines.clear()
            self._known_lines[text] = line
        return line


def check_partial_head(raw: bytes, limits: Limits, checked_bytes: int = 0) -> None:
    """Refuse the beginning of a head that can never be good; its first `checked_bytes` were checked.

    Raises:
        Refused: as `RequestHeadReader.read` does.
    """
    if len(raw) > limits.request_head_bytes_max:
        raise _too_large(raw, limits)
    if not 0x41 <= raw[0] <= 0x5A:
        raise _bad("a request begins with a method in capital letters")
    news_at = max(0, checked_bytes - 1)
    if _BROKEN_LINES.search(raw, news_at):
        raise _bad("a line ends with CR LF, nothing else")
    if len(raw) > limits.request_target_bytes_max + 64 and b"\r\n" not in raw:
        raise _target_too_long(limits)
    if raw.find(b"\r\n", news_at) >= 0 and raw.count(b"\r\n") - 1 > limits.request_fields_max:
        raise Refused(431, "too_many_fields", f"more than {limits.request_fields_max} header fields")


def _bad(detail: str) -> Refused:
    return Refused(400, "bad_request", detail)


def _target_too_long(limits: Limits) -> Refused:
    return Refused(414, "target_too_long", f"more than {limits.request_target_bytes_max} bytes of target")


def _too_large(raw: bytes, limits: Limits) -> Refused:
    line_end = raw.find(b"\r\n")
    if line_end < 0 or line_end > limits.request_target_bytes_max + 64:
        return _target_too_long(limits)
    return Refused(431, "head_too_large", f"more than {limits.request_head_bytes_max} bytes of head")


def _parts_of(target: bytes, method: str) -> tuple[bytes, str, str]:
    """Split a target; an absolute one brings its own authority (RFC 9112 3.2.2)."""
    if b"#" in target:
        raise _bad("a target has no fragment")
    if target == b"*" and method == "OPTIONS":
        return b"", "*", ""
    authority = b""
    if not target.startswith(b"/"):
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise _bad("the target is neither a path nor an http address")
        authority = match[1]
        target = match[2] or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
    path, mark, query = target.decode("ascii").partition("?")
    return authority, path, mark + query


def _read_framing(head: RequestHead) -> None:
    """Take the one framing of the body, or refuse: more than one statement is none (RFC 9112 6.3)."""
    lengths = head.said.get(b"content-length")
    codings = head.said.get(b"transfer-encoding")
    if codings:
        if lengths or head.line.minor == 0 or len(codings) > 1:
            raise _bad("more than one statement about the length of the body")
        if codings[0].lower() != b"chunked":
            members = tokens(codings)
            if members[-1:] == [b"chunked"] and b"chunked" not in members[:-1]:
                raise Refused(501, "coding_not_supported", "no transfer coding but chunked is known here")
            raise _bad("chunked is the only and last transfer coding")
        head.chunked = True
    elif lengths:
        value = lengths[0]
        if len(lengths) > 1 or not value.isdigit() or len(value) > _CONTENT_LENGTH_DIGITS_MAX:
            raise _bad("Content-Length is one plain number")
        head.content_length = int(value)


def _read_host(head: RequestHead) -> None:
    hosts = head.said.get(b"host")
    if hosts is None:
        if head.line.minor == 1:
            raise _bad("HTTP/1.1 asks for exactly one Host field")
    elif len(hosts) > 1 or _HOST.fullmatch(hosts[0]) is None:
        raise _bad("HTTP/1.1 asks for exactly one Host field, and for a host in it")
    else:
        head.host = hosts[0]
    if head.line.authority:
        if _HOST.fullmatch(head.line.authority) is None:
            raise _bad("the host of the target is no host")
        head.host = head.line.authority


def _read_the_rest(head: RequestHead) -> None:
    said = head.said
    if (connection := said.get(b"connection")) is not None:
        head.named = named = tokens(connection)
        if b"close" in named:
            head.keep_alive = False
        elif head.line.minor == 0:
            head.keep_alive = b"keep-alive" in named
        if b"upgrade" in named:
            _read_upgrade(head)
    if (expectations := said.get(b"expect")) is not None and head.line.minor == 1:
        if [value.lower() for value in expectations] != [b"100-continue"]:
            raise Refused(417, "expectation_failed", "the only expectation known here is 100-continue")
        head.expects_continue = head.chunked or head.content_length > 0
    if (request_ids := said.get(b"x-request-id")) is not None and len(request_ids) == 1:
        head.request_id = request_ids[0] if is_sane_request_id(request_ids[0]) else b""
    if (traces := said.get(b"traceparent")) is not None:
        head.trace_id = trace_id_of(traces[-1])


def _read_upgrade(head: RequestHead) -> None:
    wanted = tokens(head.said.get(b"upgrade", ()))
    # h2c would hide later requests from us; it is never offered to a backend
    if (
        head.line.minor
        and len(wanted) == 1
        and wanted != [b"h2c"]
        and not head.chunked
        and not head.content_length
    ):
        head.upgrade = wanted[0]
