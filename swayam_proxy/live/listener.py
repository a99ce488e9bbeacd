"""Takes connections off one listening address, no more than the process can serve.

asyncio's own servers cannot stop accepting, and turn for ever when descriptors run out; so the sockets are
accepted here and given to the loop one by one. Knows no HTTP.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from swayam_proxy.live.settings import ListenSettings
from swayam_proxy.live.tls import client_side_context

_ACCEPTED_IN_ONE_TURN_MAX = 64
_TLS_HANDSHAKE_S = 10.0


class Listener:
    """One listening socket."""

    __slots__ = (
        "_is_accepting",
        "_loop",
        "_may_accept",
        "_new_connection",
        "_on_opened",
        "_socket",
        "_starting",
        "_tls",
        "address",
        "is_stuck",
    )

    def __init__(
        self,
        settings: ListenSettings,
        loop: asyncio.AbstractEventLoop,
        new_connection: Callable[[bool], asyncio.Protocol],
        may_accept: Callable[[], bool],
        on_opened: Callable[[], None],
    ) -> None:
        """Bind and listen, but accept nothing yet.

        `new_connection` is told whether TLS is spoken; `on_opened` is called when an accepted connection no
        longer counts as being opened.

        Raises:
            OSError: the address cannot be bound, or a certificate file not read.
        """
        self._loop = loop
        self._new_connection = new_connection
        self._may_accept = may_accept
        self._on_opened = on_opened
        self._tls = client_side_context(settings.tls) if settings.tls else None
        self._socket: socket.socket | None = _bound_socket(settings)
        name = self._socket.getsockname()
        self.address: tuple[str, int] = (name[0], name[1])
        self._starting: set[asyncio.Task[None]] = set()
        self._is_accepting = False
        self.is_stuck = False
        """Accepting failed for want of descriptors; to be tried again."""

    @property
    def opening_count(self) -> int:
        """Connections accepted whose transport is not ready yet."""
        return len(self._starting)

    def resume(self) -> None:
        """Accept, until told otherwise or until there is no room."""
        if not self._is_accepting and self._socket is not None:
            self._is_accepting = True
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def pause(self) -> None:
        """Let new clients wait in the backlog."""
        if self._is_accepting and self._socket is not None:
            self._is_accepting = False
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Take what waits already, then listen no more."""
        if self._socket is None:
            return
        while self._accept_some():
            pass
        self.pause()
        self._socket.close()
        self._socket = None

    def stop(self) -> None:
        """Give up connections that are only being set up."""
        for task in self._starting:
            task.cancel()

    def _accept(self) -> None:
        self._accept_some()

    def _accept_some(self) -> bool:
        """Accept what waits, up to a limit; return whether more may wait."""
        assert self._socket is not None, "open"
        for _ in range(_ACCEPTED_IN_ONE_TURN_MAX):
            if not self._may_accept():
                self.pause()
                return False
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError:
                # no descriptors or memory left: the sweep tries again, at its own pace
                self.is_stuck = True
                self.pause()
                return False
            accepted.setblocking(False)
            task = self._loop.create_task(self._start(accepted))
            self._starting.add(task)
            task.add_done_callback(self._started)
        return True

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "mistake while accepting", "exception": error})
        self._on_opened()

    async def _start(self, accepted: socket.socket) -> None:
        tls = self._tls
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._new_connection(tls is not None),
                accepted,
                ssl=tls,
                ssl_handshake_timeout=_TLS_HANDSHAKE_S if tls else None,
            )
        except (OSError, ssl.SSLError, TimeoutError):
            # the client left, or spoke no TLS: there is nobody to tell
            accepted.close()


def _bound_socket(settings: ListenSettings) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if settings.host == "::" else 1)
        listening.setblocking(False)
        listening.bind(address)
        listening.listen(settings.backlog)
    except OSError:
        listening.close()
        raise
    return listening
