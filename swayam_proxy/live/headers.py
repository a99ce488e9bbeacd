"""What fields mean to a proxy: which end at the next hop, which tell framing, which are rewritten.

Knows bytes and RFC 9110/9112; knows no connection, no service and no limits.
"""

import re
from collections.abc import Iterable

CRLF = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"

PSEUDONYM = b"swayam"
"""Our name in Via and Proxy-Status (RFC 9110 7.6.3 allows a pseudonym in place of the host)."""
VIA_LINE = b"Via: 1.1 swayam\r\n"

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields that concern one connection only; never forwarded as they came (RFC 9110 7.6.1)."""

CLAIMS = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
    )
)
"""What a proxy before us says of the client: believed only from a trusted one."""

OWN_ANSWER_FIELDS = frozenset(
    (b"x-swayam-attempts", b"x-swayam-backend", b"x-swayam-reason", b"x-request-id")
)
"""Fields by which our own answers are told from a backend's; a backend may not send them through us."""

BETWEEN_US = b"swayam-"
"""How the fields begin that frontends and sidecars say to each other (docs/sidecar-protocol.md): they end at
the next of us, whoever sent them."""

_SANE_REQUEST_ID = re.compile(rb"[0-9A-Za-z._~+/=:@-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_EXECUTION = re.compile(rb"(?:^|,)[ \t]*exec[ \t]*(?:;[^,]*?)?;[ \t]*dur=\"?([0-9]{1,9}(?:\.[0-9]{1,9})?)")


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """Return the members of comma-separated lists, lower-cased, without empty ones."""
    return [token for value in values for part in value.lower().split(b",") if (token := part.strip(b" \t"))]


def is_sane_request_id(value: bytes) -> bool:
    """Say whether a client's X-Request-Id may be taken over: short, and harmless in any log."""
    return _SANE_REQUEST_ID.fullmatch(value) is not None


def trace_id_of(traceparent: bytes) -> str:
    """Return the trace id of a W3C traceparent, or "" when it is not one."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1].decode("ascii") if match else ""


def execution_s_of(server_timing: bytes) -> float | None:
    """Return the seconds of the metric `exec` of a Server-Timing value, or None when it has none."""
    match = _EXECUTION.search(server_timing)
    return float(match[1]) / 1000.0 if match else None
