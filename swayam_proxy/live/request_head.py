"""Reads the head of a request into one meaning, or says what is wrong with it.

llhttp reads it, a strict grammar of our own reads it too, and a head that only one of them likes is refused:
what is forwarded later must have exactly one reading. Knows no connection and no service; nothing here keeps
state.
"""

import re

import httptools

from swayam_proxy.live.headers import FIELD_LINE, connection_tokens, is_sane_request_id, tokens, trace_id_of
from swayam_proxy.live.problem import Refused
from swayam_proxy.live.settings import Limits

_HEAD = re.compile(rb"[A-Z]+(?:-[A-Z]+)? [\x21-\x7e]+ HTTP/1\.[01]\r\n(?:" + FIELD_LINE + rb")*\r\n")
_REQUEST_LINE = re.compile(rb"([^ \r\n]+) ([^ \r\n]+) HTTP/([0-9])\.([0-9])\r\n")
_HOST = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?:http|https)://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_BROKEN_LINES = re.compile(rb"\r[^\n]|(?<!\r)\n|\x00")

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
_NOT_FOR_PROXIES = frozenset(("CONNECT", "PRI"))
_CONTENT_LENGTH_DIGITS_MAX = 18


class RequestHead:
    """The meaning of a request's head; never altered once read, so that equal bytes may share one."""

    __slots__ = (
        "chunked",
        "content_length",
        "expects_continue",
        "fields",
        "host",
        "idempotent",
        "is_head",
        "keep_alive",
        "lower_fields",
        "method",
        "minor",
        "path",
        "query",
        "request_id",
        "trace_id",
        "upgrade",
    )

    def __init__(self, method: str, minor: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Begin with the request line's words; `read_request_head` fills in the rest."""
        self.method = method
        self.minor = minor
        self.fields = fields
        self.lower_fields = [(name.lower(), value) for name, value in fields]
        self.is_head = method == "HEAD"
        self.idempotent = method in IDEMPOTENT
        self.path = "/"
        self.query = ""
        """With its question mark, "" when there is none."""
        self.host = b""
        self.content_length = 0
        self.chunked = False
        self.keep_alive = minor == 1
        self.expects_continue = False
        self.upgrade = b""
        self.request_id = b""
        self.trace_id = ""


class _Collector:
    """What llhttp calls while it reads; emptied for every head."""

    __slots__ = ("fields", "url")

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def read_request_head(raw: bytes, limits: Limits) -> RequestHead:
    """Return the meaning of `raw`, which ends with its empty line.

    Raises:
        Refused: it is malformed, ambiguous or too large; carries status and reason.
    """
    if len(raw) > limits.request_head_bytes_max:
        raise _too_large(raw, limits)
    if raw.count(b"\r\n") - 2 > limits.request_fields_max:
        raise Refused(431, "too_many_fields", f"more than {limits.request_fields_max} header fields")
    method, target, minor = _request_line(raw, limits)
    collector = _Collector()
    try:
        parser = httptools.HttpRequestParser(collector)
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        raise Refused(501, "method_not_supported", "this method is not known here") from None
    except httptools.HttpParserError as error:
        raise _bad(str(error)) from None
    fields = collector.fields
    if _HEAD.fullmatch(raw) is None or len(fields) != raw.count(b"\r\n") - 2 or collector.url != target:
        raise _bad("the head has characters or line ends that HTTP/1.1 does not allow")
    head = RequestHead(method, minor, [(name, value.strip(b" \t")) for name, value in fields])
    _read_target(head, target)
    _read_framing(head)
    _read_host(head)
    _read_the_rest(head)
    return head


def check_partial_head(raw: bytes, limits: Limits) -> None:
    """Refuse the beginning of a head that can never become a good one.

    Raises:
        Refused: as `read_request_head` does.
    """
    if len(raw) > limits.request_head_bytes_max:
        raise _too_large(raw, limits)
    if not 0x41 <= raw[0] <= 0x5A:
        raise _bad("a request begins with a method in capital letters")
    if _BROKEN_LINES.search(raw):
        raise _bad("a line ends with CR LF, nothing else")
    if b"\r\n" not in raw and len(raw) > limits.request_target_bytes_max + 64:
        raise _too_large(raw, limits)
    if raw.count(b"\r\n") - 1 > limits.request_fields_max:
        raise Refused(431, "too_many_fields", f"more than {limits.request_fields_max} header fields")


def _bad(detail: str) -> Refused:
    return Refused(400, "bad_request", detail)


def _too_large(raw: bytes, limits: Limits) -> Refused:
    line_end = raw.find(b"\r\n")
    if line_end < 0 or line_end > limits.request_target_bytes_max + 64:
        return Refused(414, "target_too_long", f"more than {limits.request_target_bytes_max} bytes of target")
    return Refused(431, "head_too_large", f"more than {limits.request_head_bytes_max} bytes of head")


def _request_line(raw: bytes, limits: Limits) -> tuple[str, bytes, int]:
    match = _REQUEST_LINE.match(raw)
    if match is None:
        raise _bad("the request line is not METHOD SP TARGET SP HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise Refused(505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if minor not in b"01":
        raise Refused(505, "version_not_supported", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if len(target) > limits.request_target_bytes_max:
        raise _too_large(raw, limits)
    word = method.decode("latin-1")
    if word in _NOT_FOR_PROXIES:
        raise Refused(501, "method_not_supported", f"{word} is not known here")
    return word, target, int(minor)


def _read_target(head: RequestHead, target: bytes) -> None:
    """Split the target into path and query; an absolute one brings its own host (RFC 9112 3.2.2)."""
    if b"#" in target:
        raise _bad("a target has no fragment")
    if target == b"*" and head.method == "OPTIONS":
        head.path = "*"
        return
    if not target.startswith(b"/"):
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise _bad("the target is neither a path nor an http address")
        head.host = match[1]
        target = match[2] or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
    path, mark, query = target.decode("ascii").partition("?")
    head.path = path
    head.query = mark + query


def _read_framing(head: RequestHead) -> None:
    """Take the one framing of the body, or refuse (RFC 9112 6.3; more than one statement is always
    refused).
    """
    lengths = [value for name, value in head.lower_fields if name == b"content-length"]
    codings = [value for name, value in head.lower_fields if name == b"transfer-encoding"]
    if codings:
        if lengths or head.minor == 0 or len(codings) > 1:
            raise _bad("more than one statement about the length of the body")
        if codings[0].lower() != b"chunked":
            members = tokens(codings[0])
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
    hosts = [value for name, value in head.lower_fields if name == b"host"]
    if len(hosts) > 1 or (not hosts and head.minor == 1):
        raise _bad("HTTP/1.1 asks for exactly one Host field")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        raise _bad("the Host field is no host")
    if head.host:
        if _HOST.fullmatch(head.host) is None:
            raise _bad("the host of the target is no host")
    elif hosts:
        head.host = hosts[0]


def _read_the_rest(head: RequestHead) -> None:
    named = connection_tokens(head.lower_fields)
    if b"close" in named:
        head.keep_alive = False
    elif head.minor == 0:
        head.keep_alive = b"keep-alive" in named
    upgrades: list[bytes] = []
    request_ids: list[bytes] = []
    for name, value in head.lower_fields:
        if name == b"expect" and head.minor == 1:
            if value.lower() != b"100-continue":
                raise Refused(417, "expectation_failed", "the only expectation known here is 100-continue")
            head.expects_continue = True
        elif name == b"upgrade":
            upgrades += tokens(value)
        elif name == b"x-request-id":
            request_ids.append(value)
        elif name == b"traceparent":
            head.trace_id = trace_id_of(value)
    if not head.chunked and not head.content_length:
        head.expects_continue = False
        # h2c would hide later requests from us; it is never offered to a backend
        if b"upgrade" in named and head.minor == 1 and len(upgrades) == 1 and upgrades[0] != b"h2c":
            head.upgrade = upgrades[0]
    if len(request_ids) == 1 and is_sane_request_id(request_ids[0]):
        head.request_id = request_ids[0]
