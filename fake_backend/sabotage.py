"""Broken answers, byte for byte, past the HTTP server that would never send them.

Knows one connection's transport and a whole answer.
"""

import asyncio
import contextlib
import socket
import struct

from fake_backend.faults import Fault, FaultKind

_LINGER_NONE = struct.pack("ii", 1, 0)
_DRIBBLE_PARTS_COUNT = 8


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST instead of FIN."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport.abort()


async def send_broken(fault: Fault, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
    """Send an answer as the fault wants it, and end the connection.

    `head` is the status line and fields without framing, each line ended, without the empty line.
    """
    length = b"Content-Length: %d\r\n\r\n"
    if fault.kind is FaultKind.RESET:
        reset(transport)
    elif fault.kind is FaultKind.CUT:
        transport.write(head + length % len(body) + body[: len(body) // 2])
    elif fault.kind is FaultKind.LENGTH:
        transport.write(head + length % max(0, len(body) + int(fault.argument)) + body)
    elif fault.kind is FaultKind.CHUNK:
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"zz\r\n")
    elif fault.kind is FaultKind.GARBAGE:
        transport.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    elif fault.kind is FaultKind.DRIBBLE:
        transport.write(head + length % len(body))
        part_bytes = -(-len(body) // _DRIBBLE_PARTS_COUNT)
        for offset in range(0, len(body), part_bytes):
            await asyncio.sleep(fault.argument / _DRIBBLE_PARTS_COUNT)
            transport.write(body[offset : offset + part_bytes])
    transport.close()


BREAKING_KINDS = frozenset(
    {
        FaultKind.RESET, FaultKind.CLOSE, FaultKind.CUT, FaultKind.LENGTH, FaultKind.CHUNK,
        FaultKind.GARBAGE, FaultKind.DRIBBLE,
    }
)  # fmt: skip
"""The kinds that `send_broken` carries out."""
