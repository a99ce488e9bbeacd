"""Where requests go and what they say: addresses, paths, bodies, ready-made bytes.

Every request's bytes exist before the test begins, but for a field that differs by request.
"""

import ipaddress
import json
import socket
import zlib
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from _loadtest.errors import UnreachableError, UsageError

VARIANTS_COUNT = 16
"""Different bodies per template, so that an answer to another request is noticed by its checksum."""
_TO_DO_TARGET = "write http://127.0.0.1:8080, 127.0.0.1:8080 or http://127.0.0.1:8080/path"


class Template(StrEnum):
    """Protocols of bodies and paths."""

    RAW = "raw"
    V1 = "v1"
    V2 = "v2"
    OPENAI = "openai"


@dataclass(frozen=True, slots=True)
class Target:
    """One address of the system under test."""

    host: str
    port: int
    path: str = ""
    """Empty: the template's own path."""
    is_tls: bool = False

    @property
    def authority(self) -> str:
        """Host and port, as the Host field wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What every request looks like."""

    method: str
    path: str
    bodies: tuple[bytes, ...]
    fields: tuple[tuple[str, str], ...]
    """Of the head, beside Host and framing."""

    def heads(self, target: Target, *, keep_alive: bool) -> tuple[tuple[bytes, bytes], ...]:
        """Return (head without its last empty line, empty line and body) of each variant."""
        path = target.path or self.path
        connection = [] if keep_alive else [("Connection", "close")]
        pairs = []
        for body in self.bodies:
            fields = [("Host", target.authority), *self.fields, *connection]
            if body or self.method not in ("GET", "DELETE"):
                fields.append(("Content-Length", str(len(body))))
            lines = [f"{self.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
            pairs.append(("".join(f"{line}\r\n" for line in lines).encode("latin-1"), b"\r\n" + body))
        return tuple(pairs)

    @property
    def checksums(self) -> tuple[bytes, ...]:
        """The CRC-32 of each variant's body, as the fake backend answers it."""
        return tuple(b"%d" % zlib.crc32(body) for body in self.bodies)


def parse_target(text: str) -> Target:
    """Return the address of "host:port" or an http(s) URL; raise UsageError where it is neither."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is no target: {error}", _TO_DO_TARGET) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment or parts.username:
        raise UsageError(f"{text!r} is no target", _TO_DO_TARGET)
    is_tls = parts.scheme == "https"
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if any(character <= " " or character > "~" for character in path):
        raise UsageError(f"{text!r}: the path holds a character that must be percent-encoded", _TO_DO_TARGET)
    return Target(parts.hostname, port or (443 if is_tls else 80), path, is_tls)


def require_loopback(targets: tuple[Target, ...]) -> None:
    """Raise UsageError where an address leaves this machine: a load test can look like an attack."""
    for target in targets:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UnreachableError(f"{target.host}: {error}", "check the name of the target") from error
        for *_, address in found:
            if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
                raise UsageError(
                    f"{target.authority} is not on this machine", "add --allow-remote if you may load it"
                )


def require_reachable(targets: tuple[Target, ...], timeout_s: float = 2.0) -> None:
    """Raise UnreachableError where nobody takes connections, before any load is made."""
    for target in targets:
        try:
            socket.create_connection((target.host, target.port), timeout=timeout_s).close()
        except OSError as error:
            raise UnreachableError(
                f"{target.authority} cannot be reached: {error}", "start it, or correct the target"
            ) from error


def template_path(template: Template, model: str) -> str:
    """Return the path that belongs to a template."""
    return {
        Template.RAW: "/",
        Template.V1: f"/v1/models/{model}:predict",
        Template.V2: f"/v2/models/{model}/infer",
        Template.OPENAI: "/v1/chat/completions",
    }[template]


def template_bodies(template: Template, model: str, body_bytes: int, *, stream: bool) -> tuple[bytes, ...]:
    """Return the variants of a template's body; `body_bytes` sizes raw bodies alone."""
    return tuple(_body(template, model, body_bytes, variant, stream) for variant in range(VARIANTS_COUNT))


def _body(template: Template, model: str, body_bytes: int, variant: int, stream: bool) -> bytes:
    if template is Template.RAW:
        return (b"%02d" % variant * (body_bytes // 2 + 1))[:body_bytes]
    row = [float(variant), 1.0, 2.0, 3.0]
    if template is Template.V1:
        return json.dumps({"instances": [row]}).encode()
    if template is Template.V2:
        tensor = {"name": "predict", "shape": [1, len(row)], "datatype": "FP32", "data": row}
        return json.dumps({"inputs": [tensor]}).encode()
    message = {"role": "user", "content": f"question {variant}"}
    return json.dumps({"model": model, "messages": [message], "stream": stream}).encode()
