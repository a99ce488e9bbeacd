"""Backends that say "busy" of themselves: the request goes elsewhere, whole, and nobody hears of it."""

import asyncio
import json

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service
from tests.end_to_end.connection import wait_until
from tests.end_to_end.raw_client import chunked, request
from tests.end_to_end.scripted_backend import BackendConnection, always, answer

BUSY = answer(b"", status="503 Service Unavailable", fields=[("Swayam-Busy", "1"), ("Swayam-State", "COLD")])
OURS = (b"swayam-",)


async def test_busy_answers_send_the_request_elsewhere(two: Service, serve: Serve, connect: Connect) -> None:
    """Every call is served once, with its body, by the backend that has room; the client sees only that."""
    full = await serve(two.places[0], always(BUSY))
    free = await serve(two.places[1], always(answer(b"done")))
    client = await connect()
    for number in range(60):
        body = b"%d" % number * 50
        message = await client.ask("POST", f"{two.path}/{number}", body=body)
        assert (message.status, message.body) == (200, b"done")
        assert not [name for name, _ in message.head.fields if name.lower().startswith(OURS)]
    assert [seen.target for seen in free.requests] == [f"{two.path}/{number}" for number in range(60)]
    assert [seen.body for seen in free.requests] == [b"%d" % number * 50 for number in range(60)]
    assert full.hits > 0, "it was never asked: this tests nothing"


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_body_that_comes_slowly_is_sent_again_whole(
    two: Service, serve: Serve, connect: Connect, is_chunked: bool
) -> None:
    """A backend that is busy before the body has come gets the rest of it nowhere; another gets all of it,
    or, where too little of it was kept, the client is told to come again.
    """

    async def busy_at_the_head(connection: BackendConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(BUSY)
        await connection.wait_for_end()

    await serve(two.places[0], busy_at_the_head)
    free = await serve(two.places[1], always(answer(b"done")))
    statuses = []
    for number in range(12):
        client = await connect()
        whole = b"%03d" % number * 1000
        if is_chunked:
            head = request("POST", two.path, fields=[("Transfer-Encoding", "chunked")])
            parts = [head, chunked(whole[:1500], whole[1500:])]
        else:
            raw = request("POST", two.path, body=whole)
            parts = [raw[:-2000], raw[-2000:]]
        await client.send(parts[0])
        await asyncio.sleep(0.02)
        await client.send(parts[1])
        message = await client.read_answer()
        statuses.append(message.status)
        if message.status == 200:
            assert free.requests[-1].body == whole
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 3


async def test_all_busy_lets_the_request_wait(two: Service, serve: Serve, connect: Connect) -> None:
    """With no room anywhere the request waits in the proxy, and is served as soon as there is some."""
    is_full = True

    async def script(connection: BackendConnection) -> None:
        while True:
            await connection.next_request()
            await connection.send(BUSY if is_full else answer(b"done"))

    one, other = await serve(two.places[0], script), await serve(two.places[1], script)
    client = await connect()
    asking = asyncio.create_task(client.ask("POST", two.path, body=b"x"))
    await wait_until(lambda: one.hits > 0 and other.hits > 0)
    assert not asking.done()
    is_full = False
    assert (await asking).status == 200


async def test_words_between_us_end_here(one: Service, serve: Serve, connect: Connect) -> None:
    """No client can write a grant or a hint to a backend, and a backend's reach no client; ours of other
    names do.
    """
    hints = [("Swayam-Idle", "1"), ("Swayam-State", "WARM"), ("X-Mine", "2"), ("Swayamish", "3")]
    backend = await serve(one.places[0], always(answer(json.dumps({"a": 1}).encode(), fields=hints)))
    client = await connect()
    fields = [("Swayam-Grant", "f/1"), ("swayam-busy", "1"), ("SWAYAM-FRONTEND", "f"), ("X-Mine", "1")]
    message = await client.ask("POST", one.path, body=b"x", fields=fields)
    names = {name.lower() for name, _ in message.head.fields}
    assert not [name for name in names if name.startswith(OURS)]
    assert {b"x-mine", b"swayamish"} <= names
    seen = {name.lower() for name, _ in backend.requests[0].head.fields}
    assert not [name for name in seen if name.startswith(OURS)]
    assert b"x-mine" in seen
