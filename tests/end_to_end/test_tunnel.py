"""Upgrades: after 101 the two connections are one pipe; an upgrade that is refused is an ordinary answer."""

import asyncio
import random

import aiohttp
from aiohttp import web

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import wait_until
from tests.end_to_end.raw_client import request
from tests.end_to_end.scripted_backend import BackendConnection, always, answer

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "chat")]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"


async def test_websockets_work_through_the_proxy(proxy: SharedProxy, one: Service) -> None:
    """Text, large binary messages, ping and close of a real WebSocket pass both ways."""

    async def handle(incoming: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(incoming)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(f"echo {message.data}")
            else:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, one.places[0].socket).start()
    host, port = proxy.process.endpoint
    large = random.Random(1).randbytes(1_000_000)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://{host}:{port}{one.path}/ws", max_msg_size=0) as socket,
        ):
            for n in range(20):
                await socket.send_str(str(n))
                assert await socket.receive_str(timeout=5.0) == f"echo {n}"
            await socket.send_bytes(large)
            assert await socket.receive_bytes(timeout=5.0) == large
            await socket.ping(b"p")
            await socket.close()
            assert socket.close_code == 1000
    finally:
        await runner.cleanup()


async def test_bytes_behind_the_switch_are_passed_both_ways(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """Bytes sent together with the 101, and by a client that does not wait, are not lost; nor is a FIN."""

    async def script(connection: BackendConnection) -> None:
        head = await connection.read_head()
        assert head.tokens("connection") == {b"upgrade"}
        assert head.one("upgrade") == b"chat"
        await connection.send(SWITCH + b"welcome\n")
        while piece := await connection.read_some():
            await connection.send(piece.upper())
        await connection.send(b"BYE")

    await serve(one.places[0], script)
    client = await connect()
    await client.send(request("GET", one.path, fields=UPGRADE) + b"early\n")
    message = await client.read_answer()
    assert (message.status, message.one("upgrade")) == (101, b"chat")
    assert b"upgrade" in message.head.tokens("connection")
    assert await client.read_exactly(len(b"welcome\nEARLY\n")) == b"welcome\nEARLY\n"
    for n in range(10):
        await client.send(b"line %d\n" % n)
        assert await client.read_exactly(7) == b"LINE %d\n" % n
    client.half_close()
    assert await client.wait_for_end(2.0) == b"BYE"


async def test_a_refused_upgrade_is_an_ordinary_answer(one: Service, serve: Serve, connect: Connect) -> None:
    """A backend that answers an upgrade with 200 or 426 keeps both connections usable."""
    backend = await serve(one.places[0], always(answer(b"no", status="426 Upgrade Required")))
    client = await connect()
    for fields in (UPGRADE, [], UPGRADE):
        message = await client.ask("GET", one.path, fields=fields)
        assert (message.status, message.body) == (426, b"no")
    assert len(backend.connections) == 1


async def test_an_unasked_101_is_502(one: Service, serve: Serve, connect: Connect) -> None:
    """A backend cannot turn an ordinary call into a tunnel."""
    await serve(one.places[0], always(SWITCH + answer(b"smuggled")))
    client = await connect()
    message = await client.ask("GET", one.path)
    assert message.status == 502
    assert b"smuggled" not in client.received


async def test_a_tunnel_ends_with_either_side(one: Service, serve: Serve, connect: Connect) -> None:
    """When one side closes or resets, the other side's connection is closed within a second."""

    async def script(connection: BackendConnection) -> None:
        await connection.read_head()
        await connection.send(SWITCH)
        if connection.number == 1:
            await connection.wait_for_end(within_s=60.0)
        else:
            await connection.read_exactly(2)
            connection.reset()

    backend = await serve(one.places[0], script)
    first = await connect()
    await first.send(request("GET", one.path, fields=UPGRADE))
    assert (await first.read_answer()).status == 101
    first.reset()
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)
    second = await connect()
    await second.send(request("GET", one.path, fields=UPGRADE))
    assert (await second.read_answer()).status == 101
    await second.send(b"go")
    await second.wait_for_end(1.0)


async def test_a_slow_tunnel_holds_a_fast_sender_back(one: Service, serve: Serve, connect: Connect) -> None:
    """A client that does not read stops the backend's sending: the proxy does not hoard."""
    sent_bytes = 0

    async def flood(connection: BackendConnection) -> None:
        nonlocal sent_bytes
        await connection.read_head()
        await connection.send(SWITCH)
        for _ in range(4096):
            await connection.send(bytes(65_536))
            sent_bytes += 65_536

    await serve(one.places[0], flood)
    client = await connect()
    await client.send(request("GET", one.path, fields=UPGRADE))
    assert (await client.read_answer()).status == 101
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    last_bytes = -1
    async with asyncio.timeout(5.0):
        while last_bytes != sent_bytes:
            last_bytes = sent_bytes
            await asyncio.sleep(0.3)
    assert 0 < sent_bytes < 64 * 1024 * 1024
    client.reset()
