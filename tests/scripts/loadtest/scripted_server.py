"""A server that says exactly what a test wants it to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Answerer = Callable[[int], bytes | None]


@asynccontextmanager
async def scripted(answer: Answerer) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve `answer(number)` to each request head; None closes the connection. Yield port and heads seen."""
    heads: list[bytes] = []
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                said = answer(len(heads))
                if said is None:
                    break
                writer.write(said)
                if b"Connection: close" in said or b"-by-close" in said:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        for writer in list(writers):
            writer.close()
        await server.wait_closed()
