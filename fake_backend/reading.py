"""Request bodies, up to a bound."""

from aiohttp import web


class TooLargeError(ValueError):
    """A request body beyond the limit."""


async def read_body(request: web.BaseRequest, bytes_max: int) -> bytes:
    """Return a request's body; raise TooLargeError beyond `bytes_max`."""
    if not request.can_read_body:
        return b""
    parts: list[bytes] = []
    size = 0
    while part := await request.content.readany():
        parts.append(part)
        size += len(part)
        if size > bytes_max:
            raise TooLargeError(f"the body is longer than {bytes_max} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)
