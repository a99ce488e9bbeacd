"""A client that sends exactly the bytes it is told to, and reads answers in the strictest way."""

from collections.abc import Iterable

from tests.end_to_end.connection import PATIENCE_S, Connection, CutMessageError, Message


def request(
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    fields: Iterable[tuple[str, str]] = (),
    version: str = "HTTP/1.1",
    host: str = "models.test",
) -> bytes:
    """Write one request; a `body` brings its Content-Length."""
    lines = [f"{method} {target} {version}", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """Frame `pieces` as a whole chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


class RawClient(Connection):
    """A client's connection to the proxy."""

    async def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        fields: Iterable[tuple[str, str]] = (),
        version: str = "HTTP/1.1",
        within_s: float = PATIENCE_S,
    ) -> Message:
        """Send one request and read its whole answer."""
        await self.send(request(method, target, body=body, fields=fields, version=version))
        return await self.read_answer(method, within_s)

    async def ask_or_cut(self, target: str, version: str = "HTTP/1.1") -> Message | None:
        """GET `target`; None when the connection ended before a whole head."""
        try:
            return await self.ask("GET", target, version=version)
        except CutMessageError:
            return None
