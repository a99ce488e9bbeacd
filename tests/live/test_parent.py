"""The line to a launcher: said once where we listen, and noticed when the other side is gone."""

import asyncio
import os
import socket

from swayam_proxy.live.parent import VARIABLE, Parent


async def test_the_line_works_both_ways() -> None:
    """The launcher reads the event; its end, and nothing else, calls back, once."""
    ours, theirs = socket.socketpair()
    environment = {VARIABLE: str(theirs.detach())}
    parent = Parent.of_environment(environment)
    assert parent is not None
    assert VARIABLE not in environment, "children of ours must not inherit the word"
    parent.say_listening("hello\n")
    assert ours.recv(100) == b"hello\n"
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    calls: list[None] = []

    def on_gone() -> None:
        calls.append(None)
        gone.set()

    parent.watch(loop, on_gone)
    ours.send(b"chatter")
    await asyncio.sleep(0)
    assert not calls
    ours.close()
    async with asyncio.timeout(5.0):
        await gone.wait()
    assert len(calls) == 1
    parent.close(loop)


async def test_speaking_to_nobody_is_harmless() -> None:
    """A launcher that died before we listened is noticed by the watch, not by an exception."""
    ours, theirs = socket.socketpair()
    parent = Parent.of_environment({VARIABLE: str(theirs.detach())})
    assert parent is not None
    ours.close()
    parent.say_listening("hello\n")
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    parent.watch(loop, gone.set)
    async with asyncio.timeout(5.0):
        await gone.wait()
    parent.close(loop)


def test_nobody_launched_us() -> None:
    """Without the variable, or with one that means nothing, there is no parent."""
    assert Parent.of_environment({}) is None
    assert Parent.of_environment({VARIABLE: "x"}) is None
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    assert Parent.of_environment({VARIABLE: str(reading)}) is None
