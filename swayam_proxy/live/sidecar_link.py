"""The frontend's control connections to the sidecars of its backends, as docs/sidecar-protocol.md lays down.

Carries the rules' orders (holds, cancels, set-ups) out and tells them what the sidecars say. One connection
per address, kept for as long as the proxy lives; a lost one is tried again for ever, with growing pauses, and
until then its backend counts as lost. Knows nothing of requests.
"""

import asyncio
import logging
import random
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

from swayam_proxy.core.commands import CancelHold, PlaceHold, WarmBackend
from swayam_proxy.core.control_lines import (
    Cancel,
    Full,
    Granted,
    Hold,
    Idle,
    Line,
    LineReader,
    Ping,
    Pong,
    SetUpOrder,
    StateIs,
)
from swayam_proxy.core.errors import WireError
from swayam_proxy.core.events import BackendIdled, BackendReported, Event, HoldGranted, SetUpRefused
from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.live.driver import BackendOrder
from swayam_proxy.live.settings import SidecarLinkSettings

PING_S = 1.0
SILENCE_S_MAX = 3.0
"""Without any line for so long a connection is given up."""
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0
CONNECT_S_MAX = 1.0
ANSWER_HEAD_BYTES_MAX = 8192
_NAME_KEPT_MAX = 48

_log = logging.getLogger(__name__)


class SidecarLink(asyncio.Protocol):
    """The control connection to one sidecar of one service."""

    def __init__(
        self, service_name: str, backend_index: int, address: str, head: bytes, tell: Callable[[Event], None]
    ) -> None:
        """Prepare; `head` is the upgrade request, `tell` takes the events."""
        self._service_name = service_name
        self._backend_index = backend_index
        self.address = address
        self._head = head
        self._tell = tell
        self._transport: asyncio.Transport | None = None
        self._answer_head: bytes | None = b""
        self._reader = LineReader()
        self._gone: asyncio.Future[None] | None = None
        self._pinged_count = 0
        self._heard = False
        self._is_told_lost = False
        self._wanted: SetUpOrder | None = None
        """The set-up that was ordered while there was no connection."""
        self.is_open = False
        """The sidecar has accepted the upgrade."""

    # -- orders --

    def perform(self, order: BackendOrder) -> None:
        """Say it to the sidecar; what cannot be said is as good as lost, which the rules are prepared for."""
        match order:
            case PlaceHold():
                self._say(Hold(order.hold_id, order.age_s))
            case CancelHold():
                self._say(Cancel(order.hold_id))
            case WarmBackend():
                line = SetUpOrder(order.incarnation, order.claim)
                self._wanted = None if self.is_open else line
                self._say(line)

    def _say(self, line: Line) -> None:
        if self.is_open and self._transport is not None and not self._transport.is_closing():
            self._transport.write(line.line())

    # -- the connection --

    async def keep(self, rng: random.Random) -> None:
        """Hold the connection for ever; ends by cancellation only."""
        host, port = _host_and_port(self.address)
        loop = asyncio.get_running_loop()
        pause_s = PAUSE_S_MIN
        try:
            while True:
                self._gone = loop.create_future()
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_S_MAX):
                        await loop.create_connection(lambda: self, host, port)
                    await self._watch()
                if self.is_open:
                    pause_s = PAUSE_S_MIN
                self._lose()
                await asyncio.sleep(pause_s * (0.5 + rng.random()))
                pause_s = min(PAUSE_S_MAX, 2.0 * pause_s)
        finally:
            self._close()

    async def _watch(self) -> None:
        """Ping a silent connection, until it is gone or has been silent for too long."""
        assert self._gone is not None, "set before connecting"
        silent_s = 0.0
        while silent_s < SILENCE_S_MAX:
            self._heard = False
            done, _ = await asyncio.wait((self._gone,), timeout=PING_S)
            if done:
                return
            silent_s = 0.0 if self._heard else silent_s + PING_S
            self._pinged_count += 1
            self._say(Ping(self._pinged_count))

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self.is_open = False
        self._answer_head = b""
        self._reader = LineReader()

    def _lose(self) -> None:
        self._close()
        if not self._is_told_lost:
            self._is_told_lost = True
            self._wanted = None
            _log.info("no contact with the sidecar at %s", self.address)
            self._report(BackendState.LOST, 0, None)

    # -- asyncio.Protocol --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        """Take the answer to the upgrade, then lines."""
        self._heard = True
        try:
            if self._answer_head is not None:
                data = self._take_answer(data)
            if self._answer_head is None:
                for line in self._reader.feed(data):
                    self._take(line)
        except WireError as error:
            _log.warning("the sidecar at %s speaks something else (%s)", self.address, error.reason)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """Let `keep` connect again."""
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _take_answer(self, data: bytes) -> bytes:
        """Take part of the answer's head; return what comes behind it."""
        assert self._answer_head is not None, "the caller has looked"
        head, end, rest = (self._answer_head + data).partition(b"\r\n\r\n")
        if not end:
            if len(head) > ANSWER_HEAD_BYTES_MAX:
                raise WireError("answer_head")
            self._answer_head = head
            return b""
        if not head.startswith(b"HTTP/1.1 101 "):
            raise WireError(head[9:12].decode("latin-1") or "no_answer")
        self._answer_head = None
        self.is_open = True
        if self._wanted is not None:
            self._say(self._wanted)
            self._wanted = None
        return rest

    def _take(self, line: Line) -> None:
        match line:
            case Granted(hold_id, _):
                self._tell(HoldGranted(self._service_name, self._backend_index, hold_id))
            case Full(incarnation):
                self._tell(SetUpRefused(self._service_name, self._backend_index, incarnation))
            case Idle():
                self._tell(BackendIdled(self._service_name, self._backend_index))
            case StateIs(state, incarnation, setup_s):
                self._is_told_lost = False
                self._report(state, incarnation, setup_s)
            case Ping(number):
                self._say(Pong(number))
            case _:
                pass

    def _report(self, state: BackendState, incarnation: int, setup_s: float | None) -> None:
        self._tell(BackendReported(self._service_name, self._backend_index, state, incarnation, setup_s))


class SidecarLinks:
    """All control connections of one proxy."""

    def __init__(self, frontend_id: str, tell: Callable[[Event], None], rng: random.Random) -> None:
        """Name this frontend to the sidecars; `tell` takes their events."""
        self._frontend_id = frontend_id
        self._tell = tell
        self._rng = rng
        self._links: dict[tuple[str, int], SidecarLink] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, service_name: str, addresses: Iterable[str], settings: SidecarLinkSettings) -> None:
        """Begin to keep a connection to each backend of a service, in its order."""
        for index, address in enumerate(addresses, start=1):
            host = urlsplit(address if "//" in address else f"//{address}").netloc
            fields = [
                b"GET /swayam/control HTTP/1.1",
                b"Host: " + host.encode(),
                b"Connection: Upgrade",
                b"Upgrade: swayam-control/1",
                b"Swayam-Frontend: " + self._frontend_id.encode(),
            ]
            if settings.token is not None:
                fields.append(b"Authorization: Bearer " + settings.token.encode())
            head = b"\r\n".join(fields) + b"\r\n" + settings.service_line + b"\r\n"
            link = SidecarLink(service_name, index, address, head, self._tell)
            self._links[service_name, index] = link
            self._tasks.append(asyncio.get_running_loop().create_task(link.keep(self._rng)))

    def perform(self, order: BackendOrder) -> None:
        """Carry an order to the sidecar that it concerns."""
        link = self._links.get((order.service_name, order.backend_index))
        if link is not None:
            link.perform(order)

    async def stop(self) -> None:
        """Close all connections: the sidecars forget our holds."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


def control_name_of(frontend_id: str) -> str:
    """Return a name that the protocol allows, unique to this run even where the id comes again."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", frontend_id)[:_NAME_KEPT_MAX]
    return f"{kept}-{secrets.token_hex(4)}"


def _host_and_port(address: str) -> tuple[str, int]:
    parts = urlsplit(address if "//" in address else f"//{address}")
    assert parts.hostname is not None and parts.port is not None, "the configuration has checked it"
    return parts.hostname, parts.port
