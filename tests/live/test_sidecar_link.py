"""The frontend's control connections, against a scripted sidecar on a real socket."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable

import pytest

from swayam_proxy.core.commands import CancelHold, PlaceHold, WarmBackend
from swayam_proxy.core.control_lines import FRONTEND_NAME
from swayam_proxy.core.events import BackendIdled, BackendReported, Event, HoldGranted, SetUpRefused
from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.live import sidecar_link
from swayam_proxy.live.settings import SidecarLinkSettings
from swayam_proxy.live.sidecar_link import SidecarLinks, control_name_of

PATIENCE_S = 5.0
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: swayam-control/1\r\n\r\n"
LOST = BackendReported("m", 1, BackendState.LOST, 0, None)
WARM_1 = BackendReported("m", 1, BackendState.WARM, 1, 2.5)


class Sidecar:
    """What accepts control connections and says what a test wants."""

    def __init__(self) -> None:
        self.server: asyncio.Server
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.address = ""
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, port: int = 0) -> None:
        """Listen."""
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connections.put_nowait((reader, writer))

    async def accept(self, answer: bytes = ACCEPTED + b"state WARM 1 2500.000\n") -> "Peer":
        """Take the next connection, read its request and answer."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await self.connections.get()
            head = await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        return Peer(reader, writer, head)

    async def stop(self) -> None:
        """Close everything."""
        self.server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)


class Peer:
    """One control connection, seen from the sidecar."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head

    async def line(self) -> bytes:
        """Read the next line that is no ping."""
        async with asyncio.timeout(PATIENCE_S):
            while (line := await self.reader.readuntil(b"\n")).startswith(b"ping "):
                self.writer.write(line.replace(b"ping", b"pong"))
        return line


class Heard:
    """What the rules are told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Hear it."""
        self.events.append(event)
        self._news.set()

    async def until(self, condition: Callable[[list[Event]], bool]) -> None:
        """Wait until the events meet a condition."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self.events):
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    """A sidecar that listens."""
    one = Sidecar()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def heard() -> Heard:
    """Nothing heard yet."""
    return Heard()


@pytest.fixture
async def links(heard: Heard) -> AsyncIterator[SidecarLinks]:
    """The links of a frontend named "f-1"; stopped with the test."""
    one = SidecarLinks("f-1", heard, random.Random(1))
    yield one
    await one.stop()


async def test_lines_become_events(sidecar: Sidecar, links: SidecarLinks, heard: Heard) -> None:
    """State, grants and idle hints reach the rules, however the bytes are cut; unknown words are ignored."""
    links.start("m", [sidecar.address], SidecarLinkSettings("s3cret"))
    peer = await sidecar.accept(ACCEPTED[:20])
    assert b"\r\nAuthorization: Bearer s3cret\r\n" in peer.head
    assert b"\r\nSwayam-Frontend: f-1\r\n" in peer.head
    assert f"\r\nHost: {sidecar.address}\r\n".encode() in peer.head
    peer.writer.write(ACCEPTED[20:] + b"state COLD 0 -\nsta")
    peer.writer.write(b"te WARM 1 2500.000\ngrant 7 50.000\nnews of version 2\nidle\n")
    await heard.until(lambda events: len(events) == 4)
    assert heard.events == [
        BackendReported("m", 1, BackendState.COLD, 0, None),
        WARM_1,
        HoldGranted("m", 1, 7),
        BackendIdled("m", 1),
    ]


async def test_orders_become_lines(sidecar: Sidecar, links: SidecarLinks, heard: Heard) -> None:
    """Holds, cancels and set-ups are written in order; those for unknown backends go nowhere."""
    links.start("m", [sidecar.address], SidecarLinkSettings())
    peer = await sidecar.accept()
    assert b"Authorization" not in peer.head
    await heard.until(lambda events: WARM_1 in events)
    links.perform(PlaceHold("m", 2, 1, 0.0))
    links.perform(PlaceHold("m", 1, 3, 0.0125))
    links.perform(CancelHold("m", 1, 3))
    links.perform(WarmBackend("m", 1, 9))
    assert [await peer.line() for _ in range(3)] == [b"hold 3 12.500\n", b"cancel 3\n", b"setup 9\n"]


async def test_set_up_ordered_before_contact_is_not_forgotten(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard
) -> None:
    """The first decision comes before the connection: its order follows when that is there; holds do not."""
    links.start("m", [sidecar.address], SidecarLinkSettings())
    links.perform(PlaceHold("m", 1, 1, 0.0))
    links.perform(WarmBackend("m", 1, 1))
    peer = await sidecar.accept(ACCEPTED + b"state COLD 0 -\n")
    assert await peer.line() == b"setup 1\n"


async def test_a_machine_is_told_which_service_and_how_much_it_is_wanted(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard
) -> None:
    """The connection names the service, orders carry their claim, and a refusal reaches the rules."""
    links.start("m", [sidecar.address], SidecarLinkSettings(service_name="m"))
    links.perform(WarmBackend("m", 1, 1, 0))
    peer = await sidecar.accept(ACCEPTED + b"state COLD 0 -\n")
    assert b"\r\nSwayam-Service: m\r\n" in peer.head
    assert await peer.line() == b"setup 1 0\n"
    links.perform(WarmBackend("m", 1, 1, 2))
    assert await peer.line() == b"setup 1 2\n"
    peer.writer.write(b"full 1\n")
    await heard.until(lambda events: SetUpRefused("m", 1, 1) in events)


async def test_lost_connection_is_told_once_and_made_again(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard
) -> None:
    """The backend counts as lost from the end of the connection until a sidecar speaks again."""
    links.start("m", [sidecar.address], SidecarLinkSettings())
    peer = await sidecar.accept()
    await heard.until(lambda events: WARM_1 in events)
    peer.writer.transport.abort()
    await heard.until(lambda events: LOST in events)
    await sidecar.accept()
    await heard.until(lambda events: events.count(WARM_1) == 2)
    assert heard.events == [WARM_1, LOST, WARM_1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"220 mail ESMTP\r\n\r\n",
        b"x" * 10_000,
        ACCEPTED + b"state WARM -1 -\n",
        ACCEPTED + b"grant 0 50\n",
        ACCEPTED + b"y" * 300,
    ],
)
async def test_what_is_no_sidecar_is_lost(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard, answer: bytes
) -> None:
    """Another answer, or a line that cannot be read, ends the connection; another attempt follows."""
    links.start("m", [sidecar.address], SidecarLinkSettings())
    await sidecar.accept(answer)
    await heard.until(lambda events: LOST in events)
    await sidecar.accept()
    await heard.until(lambda events: WARM_1 in events)
    assert heard.events == [LOST, WARM_1]


async def test_silent_sidecar_is_given_up(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pinged, and without any line for too long it counts as lost, though TCP is content."""
    monkeypatch.setattr(sidecar_link, "PING_S", 0.02)
    monkeypatch.setattr(sidecar_link, "SILENCE_S_MAX", 0.1)
    links.start("m", [sidecar.address], SidecarLinkSettings())
    peer = await sidecar.accept()
    await heard.until(lambda events: LOST in events)
    async with asyncio.timeout(PATIENCE_S):
        said = await peer.reader.read()
    assert re.fullmatch(rb"(ping [1-9][0-9]*\n)+", said)


async def test_answered_pings_keep_the_connection(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar that only answers pings stays connected for many times the allowed silence."""
    monkeypatch.setattr(sidecar_link, "PING_S", 0.02)
    monkeypatch.setattr(sidecar_link, "SILENCE_S_MAX", 1.0)
    links.start("m", [sidecar.address], SidecarLinkSettings())
    peer = await sidecar.accept()
    for _ in range(20):
        async with asyncio.timeout(PATIENCE_S):
            line = await peer.reader.readuntil(b"\n")
        peer.writer.write(line.replace(b"ping", b"pong"))
    assert LOST not in heard.events


async def test_unreachable_sidecar_is_lost_then_found(
    sidecar: Sidecar, links: SidecarLinks, heard: Heard
) -> None:
    """A sidecar that nobody has started yet is lost; it is found when it comes."""
    port = int(sidecar.address.rpartition(":")[2])
    await sidecar.stop()
    await sidecar.server.wait_closed()
    links.start("m", [sidecar.address], SidecarLinkSettings())
    await heard.until(lambda events: LOST in events)
    await sidecar.start(port)
    await sidecar.accept()
    await heard.until(lambda events: WARM_1 in events)
    assert heard.events == [LOST, WARM_1]


async def test_stopping_says_nothing_more(sidecar: Sidecar, links: SidecarLinks, heard: Heard) -> None:
    """When the proxy ends, connections close, the sidecar sees the end, and the rules hear no loss."""
    links.start("m", [sidecar.address], SidecarLinkSettings())
    peer = await sidecar.accept()
    await heard.until(lambda events: WARM_1 in events)
    await links.stop()
    async with asyncio.timeout(PATIENCE_S):
        try:
            assert await peer.reader.read() in (b"", b"ping 1\n")
        except ConnectionResetError:
            assert heard.events == [WARM_1]
    assert heard.events == [WARM_1]


def test_control_names_are_allowed_and_unique() -> None:
    """Whatever the host is called, the protocol takes the name, and no two runs share one."""
    names = {control_name_of(text) for text in ("a", "a", "host.local-12", "ümläut % x", "h" * 200, "")}
    assert len(names) == 6
    assert all(FRONTEND_NAME.match(name) for name in names)
