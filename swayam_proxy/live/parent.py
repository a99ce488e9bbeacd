"""The line between a launched proxy and its launcher: a socket pair, known to both by an environment
variable.

The proxy says once on it where it listens. Neither side says anything else: when the launcher is gone,
however it went, the proxy reads the end of the stream and drains, so that no proxy outlives its launcher.
"""

import asyncio
import os
import socket
from collections.abc import Callable, MutableMapping
from typing import Final

VARIABLE: Final = "SWAYAM_LAUNCHER_FD"
"""Names the inherited descriptor."""


class Parent:
    """The launcher, seen from a proxy."""

    def __init__(self, line: socket.socket) -> None:
        """Use this end of the pair."""
        self._line = line
        line.setblocking(False)

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "Parent | None":
        """Return the launcher of this process, or None when nobody launched it; forgets the variable."""
        text = environment.pop(VARIABLE, "")
        if not text.isdigit():
            return None
        try:
            line = socket.socket(fileno=int(text))
        except OSError:
            return None  # the variable was handed on by somebody who closed the descriptor
        line.set_inheritable(False)
        return cls(line)

    def say_listening(self, event_line: str) -> None:
        """Pass on the line that tells where the proxy listens."""
        try:
            self._line.send(event_line.encode())
        except OSError:
            return  # it is gone; `watch` tells

    def watch(self, loop: asyncio.AbstractEventLoop, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` once when the launcher has ended."""

        def look() -> None:
            try:
                gone = not self._line.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                gone = True
            if gone:
                loop.remove_reader(self._line)
                on_gone()

        loop.add_reader(self._line, look)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch no more."""
        loop.remove_reader(self._line)
        self._line.close()
