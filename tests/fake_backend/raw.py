"""A client that sends text and keeps every byte of what comes back, and waiting for conditions."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # the condition is a count that announces nothing
            await asyncio.sleep(0.002)


async def exchange(address: str, target: str, *, body: bytes = b"") -> tuple[bytes, str]:
    """Send one POST; return all bytes until the end of the connection and how it ended: close or reset."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = f"Host: {address}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    writer.write(f"POST {target} HTTP/1.1\r\n{fields}\r\n".encode() + body)
    received, ending = b"", "close"
    try:
        while part := await asyncio.wait_for(reader.read(65536), 10):
            received += part
    except ConnectionResetError:
        ending = "reset"
    finally:
        writer.close()
    return received, ending


async def begin(address: str, target: str) -> asyncio.StreamWriter:
    """Send one GET and return the open connection without waiting for the answer."""
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    await writer.drain()
    return writer
