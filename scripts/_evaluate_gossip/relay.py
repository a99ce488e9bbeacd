"""A UDP relay between the members of a group: it loses, blocks and keeps datagrams.

Members listen at one loopback address and advertise another, the relay's, with their own ports; so whatever
one sends to another passes here, and each sees the relay's address of the other. A thread of its own.
"""

import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

RELAY_HOST = "127.0.1.1"
_MEMBER_HOST = "127.0.0.1"
_BYTES_MAX = 65_536


class Passed(NamedTuple):
    """A datagram that was under way."""

    sender: int
    receiver: int
    datagram: bytes


class Relay:
    """One socket for each member, where the others believe it to be."""

    def __init__(self, ports: Sequence[int], seed: int = 1) -> None:
        """Bind and begin to pass everything on."""
        self.loss = 0.0
        self.blocked: Callable[[int, int], bool] = lambda _sender, _receiver: False
        self.kept: list[Passed] = []
        self.keep_count = 0
        """So many datagrams are still to be kept."""
        self._rng = Random(seed)
        self._ports = list(ports)
        self._index_of = {port: index for index, port in enumerate(ports)}
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        for index, port in enumerate(ports):
            each = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            each.bind((RELAY_HOST, port))
            each.setblocking(False)
            self._sockets.append(each)
            self._selector.register(each, selectors.EVENT_READ, index)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the sockets."""
        self._ended = True
        self._thread.join()
        self._selector.close()
        for each in self._sockets:
            each.close()

    def send(self, passed: Passed) -> None:
        """Pass a datagram on, whatever the rules are."""
        self._sockets[passed.sender].sendto(passed.datagram, (_MEMBER_HOST, self._ports[passed.receiver]))

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.05):
                self._take(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket was registered

    def _take(self, arrived_at: socket.socket, receiver: int) -> None:
        try:
            datagram, (_, port) = arrived_at.recvfrom(_BYTES_MAX)
        except OSError:
            return
        sender = self._index_of.get(port)
        if sender is None or self.blocked(sender, receiver) or self._rng.random() < self.loss:
            return
        passed = Passed(sender, receiver, datagram)
        if self.keep_count:
            self.keep_count -= 1
            self.kept.append(passed)
        self.send(passed)
