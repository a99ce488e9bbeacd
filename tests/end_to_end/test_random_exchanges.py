"""Many calls at random: whatever the packets look like, none is mixed up; whatever breaks, nothing leaks.

Seeded; the seed of a failing lane stands in its assertion.
"""

import asyncio
import os
import random
from dataclasses import dataclass, field

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import CutMessageError, MalformedMessageError, wait_until
from tests.end_to_end.raw_client import RawClient, chunked, request
from tests.end_to_end.scripted_backend import BackendConnection, answer

LANES_COUNT = 12
CALLS_PER_LANE = 40


def random_bytes(rng: random.Random) -> bytes:
    """Return a body: mostly small, at times large, at times full of what looks like framing."""
    kind = rng.randrange(10)
    if kind == 0:
        return b""
    if kind == 1:
        return rng.randbytes(rng.randrange(100_000, 400_000))
    if kind == 2:
        return b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * rng.randrange(1, 20)
    return rng.randbytes(rng.randrange(1, 3000))


def random_pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` into pieces at random places, now and then into very small ones."""
    pieces = []
    while data:
        size = rng.choice((1, 2, 7, 100, 1460, 70_000, len(data)))
        pieces.append(data[:size])
        data = data[size:]
        if len(pieces) > 40:
            pieces.append(data)
            break
    return [piece for piece in pieces if piece]


async def send_in_pieces(rng: random.Random, connection: RawClient | BackendConnection, data: bytes) -> None:
    """Send `data` in random pieces, each maybe in a packet of its own."""
    for piece in random_pieces(rng, data):
        await connection.send(piece)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 0.001)


def framed_request(rng: random.Random, path: str, body: bytes) -> tuple[str, bytes]:
    """Write a call with `body` in a random framing; return its method and its bytes."""
    method = rng.choice(("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"))
    fields = [("X-Filler", "f" * rng.randrange(200))] if rng.random() < 0.5 else []
    if body and rng.random() < 0.5:
        chunks = chunked(*random_pieces(rng, body), trailers=rng.choice((b"", b"X-T: 1\r\n")))
        return method, request(method, path, fields=[*fields, ("Transfer-Encoding", "chunked")]) + chunks
    return method, request(method, path, body=body if body or rng.random() < 0.5 else None, fields=fields)


def framed_answer(rng: random.Random, method: str, body: bytes) -> tuple[bytes, bool]:
    """Write an answer with `body` in a random framing, and whether the connection ends with it."""
    if method == "HEAD":
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), False
    framing = rng.randrange(4)
    if framing == 0:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(
            *random_pieces(rng, body)
        ), False
    if framing == 1 and rng.random() < 0.3:
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body, True
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" if rng.random() < 0.1 else b""
    return interim + answer(body), False


@pytest.mark.parametrize("pipelined", [1, 8])
async def test_every_answer_is_its_own(
    proxy: SharedProxy, two: Service, serve: Serve, connect: Connect, pipelined: int
) -> None:
    """Random bodies, framings and packets, pipelined or not: each call gets the answer made for it."""
    bodies: dict[str, bytes] = {}
    answers: dict[str, bytes] = {}

    async def script(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            rng = random.Random(f"answer {seen.target}")
            assert seen.body == bodies[seen.target], seen.target
            data, ends = framed_answer(rng, seen.method, answers[seen.target])
            await send_in_pieces(rng, connection, data)
            if ends:
                return

    for place in two.places:
        await serve(place, script)

    async def lane(number: int) -> None:
        rng = random.Random(f"lane {number}")
        client = await connect()
        for batch in range(CALLS_PER_LANE // pipelined):
            calls, stream = [], b""
            for n in range(pipelined):
                path = f"{two.path}/{number}/{batch}/{n}"
                bodies[path], answers[path] = random_bytes(rng), random_bytes(rng)
                method, data = framed_request(rng, path, bodies[path])
                calls.append((method, path))
                stream += data
            sending = asyncio.create_task(send_in_pieces(rng, client, stream))
            for method, path in calls:
                message = await client.read_answer(method)
                assert (message.status, message.complete) == (200, True), path
                assert message.body == (b"" if method == "HEAD" else answers[path]), path
            await sending

    await asyncio.gather(*(lane(number) for number in range(LANES_COUNT)))


@dataclass
class Tally:
    """What became of the calls of the chaos below."""

    statuses: list[int] = field(default_factory=list)
    cut_count: int = 0
    left_count: int = 0


async def misbehave(rng: random.Random, connection: BackendConnection) -> bool:
    """Do one thing that a broken backend does, in the place of an answer; return whether to go on."""
    kind = rng.randrange(8)
    if kind == 0:
        connection.reset()
    elif kind == 1:
        await connection.send(answer(b"x" * 5000)[: rng.randrange(5000)])
    elif kind == 2:
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    elif kind == 3:
        await connection.send(rng.randbytes(100))
    elif kind == 4:
        await connection.send(answer(b"first") + answer(b"unasked"))
    elif kind == 5:
        await asyncio.sleep(0.2)
        await connection.send(answer(b"late"))
        return True
    elif kind == 6:
        await connection.send(answer(b"whole", fields=[("Connection", "close")]))
    return False


async def answer_or_break(connection: BackendConnection) -> None:
    """Answer half of the calls well, and the others as broken backends do."""
    while True:
        seen = await connection.next_request()
        rng = random.Random(f"chaos {seen.target}")
        if rng.random() < 0.5:
            await send_in_pieces(rng, connection, answer(random_bytes(rng)))
        elif not await misbehave(rng, connection):
            return


async def call_or_leave(rng: random.Random, endpoint: tuple[str, int], path: str, tally: Tally) -> None:
    """Make one call to `path`, and leave before its end in about half of the cases."""
    client = await RawClient.open(endpoint)
    method, data = framed_request(rng, path, random_bytes(rng))
    sending: asyncio.Task[None] | None = None
    try:
        if rng.random() < 0.3:
            tally.left_count += 1
            await client.send(data[: rng.randrange(len(data))])
            await asyncio.sleep(rng.random() * 0.05)
            if rng.random() < 0.5:
                client.reset()
            return
        sending = asyncio.create_task(send_in_pieces(rng, client, data))
        if rng.random() < 0.2:
            tally.left_count += 1
            await asyncio.sleep(rng.random() * 0.1)
            return
        message = await client.read_answer(method)
        tally.statuses.append(message.status)
        tally.cut_count += not message.complete
        await sending
    except (CutMessageError, ConnectionError):
        tally.cut_count += 1
    except MalformedMessageError as error:
        raise AssertionError(f"{path}: what the proxy sent is not HTTP") from error
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        await client.close()


async def test_nothing_leaks_when_everything_breaks(proxy: SharedProxy, serve: Serve) -> None:
    """After calls that break on either side at any moment, no slot, queue place or descriptor is held."""
    services = (proxy.take("narrow"), proxy.take("two"))
    descriptors = f"/proc/{proxy.process.process.pid}/fd"
    before_count = len(os.listdir(descriptors))
    tally = Tally()
    backends = [await serve(place, answer_or_break) for service in services for place in service.places]

    async def lane(number: int) -> None:
        rng = random.Random(f"chaos lane {number}")
        for n in range(CALLS_PER_LANE):
            path = f"{rng.choice(services).path}/{number}/{n}"
            await call_or_leave(rng, proxy.process.endpoint, path, tally)

    await asyncio.gather(*(lane(number) for number in range(LANES_COUNT)))
    assert {200, 502} <= set(tally.statuses) <= {200, 502, 503, 504}, tally
    assert tally.left_count > 50, tally
    for backend in backends:
        await backend.stop()

    def held() -> list[int]:
        states = [proxy.process.state_of(service.name) for service in services]
        outstanding = [backend["outstanding_count"] for state in states for backend in state["backends"]]
        return [*outstanding, *(state[key] for state in states for key in ("in_flight_count", "queue_count"))]

    await wait_until(lambda: not any(held()), 5.0)
    await wait_until(lambda: len(os.listdir(descriptors)) <= before_count, 5.0)
