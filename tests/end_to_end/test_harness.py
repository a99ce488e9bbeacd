"""The instruments themselves: a reader that takes a cut message for a whole one would prove nothing."""

import asyncio
import contextlib
import time

import pytest

from tests.end_to_end.conftest import Connect, Serve
from tests.end_to_end.connection import CutMessageError, MalformedMessageError, wait_until
from tests.end_to_end.raw_client import RawClient, chunked, request
from tests.end_to_end.scripted_backend import (
    BackendConnection,
    Place,
    ScriptedBackend,
    always,
    answer,
    echo,
    once,
    read_and_wait,
)


@pytest.fixture
def place() -> Place:
    """A reserved address; the server that listens there closes its socket."""
    return Place()


async def test_a_place_refuses_until_a_backend_listens(place: Place, serve: Serve, connect: Connect) -> None:
    """A reserved address refuses; once a backend listens there, the same address answers."""
    with pytest.raises(ConnectionRefusedError):
        await RawClient.open(place.endpoint)
    await serve(place, always(answer(b"here")))
    client = await connect(place.endpoint)
    assert (await client.ask("GET", "/")).body == b"here"


async def test_a_full_accept_queue_hangs(place: Place) -> None:
    """Connecting to a place with a full accept queue is neither refused nor accepted."""
    fillers = place.fill_accept_queue()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.open_connection(*place.endpoint)
    finally:
        for filler in fillers:
            filler.close()
        place.close()


@pytest.mark.parametrize(
    ("data", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", "chunked"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "chunked"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_cut_answer_is_not_complete(
    place: Place, serve: Serve, connect: Connect, data: bytes, framing: str, reset: bool
) -> None:
    """An answer that ends early is read as incomplete, whether by close or by reset."""
    await serve(place, once(data, reset=reset))
    client = await connect(place.endpoint)
    with contextlib.suppress(CutMessageError):  # a reset may overtake the head
        message = await client.ask("GET", "/")
        assert (message.framing, message.complete) == (framing, False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\nX-B: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_the_reader_is_strict(place: Place, serve: Serve, connect: Connect, data: bytes) -> None:
    """What is not HTTP/1.x in the strictest reading raises instead of passing as an answer."""
    await serve(place, once(data))
    client = await connect(place.endpoint)
    with pytest.raises(MalformedMessageError):
        await client.ask("GET", "/")


async def test_requests_are_counted_and_kept(place: Place, serve: Serve, connect: Connect) -> None:
    """A backend records each whole request, of any framing, and only those."""
    backend = await serve(place, echo)
    client = await connect(place.endpoint)
    assert (await client.ask("POST", "/a", body=b"12345")).body == b"12345"
    chunked_head = b"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await client.send(chunked_head + chunked(b"abc", b"de", trailers=b"X-T: 1\r\n"))
    seen = await client.read_answer()
    assert (seen.body, seen.one("x-seen")) == (b"abcde", b"PUT /b HTTP/1.1")
    await client.send(request("POST", "/c") + b"not asked")
    await client.close()
    await wait_until(lambda: backend.connections[0].ended_at is not None)
    assert [message.target for message in backend.requests[:2]] == ["/a", "/b"]
    assert backend.requests[1].trailers == ((b"X-T", b"1"),)


async def test_a_backend_sees_when_its_peer_leaves(place: Place, serve: Serve) -> None:
    """`ended_at` is set soon after the other side closed or reset."""
    backend = await serve(place, read_and_wait)
    for reset in (False, True):
        client = await RawClient.open(place.endpoint)
        await client.send(request("GET", "/"))
        await wait_until(lambda: backend.hits == len(backend.connections))
        left_at = time.monotonic()
        if reset:
            client.reset()
        await client.close()
        await wait_until(lambda: backend.connections[-1].ended_at is not None)
        assert (backend.connections[-1].ended_at or 0.0) - left_at < 0.5


async def test_a_failed_assertion_in_a_script_fails_the_test(place: Place) -> None:
    """A script's mistake is raised when its backend is stopped."""

    async def script(connection: BackendConnection) -> None:
        message = await connection.next_request()
        assert message.method == "POST"

    backend = await ScriptedBackend(place, script).start()
    client = await RawClient.open(place.endpoint)
    await client.send(request("GET", "/"))
    await client.wait_for_end()
    await client.close()
    with pytest.raises(AssertionError, match="script"):
        await backend.stop()
