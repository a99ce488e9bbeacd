"""Runs N proxy processes: starts them, starts dead ones again, ends them all together.

Knows command lines, ports and signals, nothing of what a proxy does. Its children get a session of their own,
so that a Ctrl-C reaches the launcher alone, which then drains them; and a line to it (`live.parent`), by
which they say that they listen and notice when it is gone. A child that never listened ends everything: what
cannot start once will not start the hundredth time.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

from swayam_proxy.live.log_format import print_event, set_up_logging
from swayam_proxy.live.parent import VARIABLE
from swayam_proxy.live.settings import ListenSettings
from swayam_proxy.live.start_failed import cannot_listen

logger = logging.getLogger("swayam.launch")

BACKOFF_S: Final = 0.2
BACKOFF_S_MAX: Final = 30.0
LIVED_WELL_S: Final = 10.0
"""A child that lived this long may be started again at once."""
_LOOK_S: Final = 0.5
_DRAIN_MARGIN_S: Final = 2.0
_EVENT_BYTES_MAX: Final = 65_536


class Child:
    """One place for a proxy process, and the process that is there now."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        """Keep the command; `start` runs it."""
        self.number = number
        self.command = tuple(command)
        self.process: subprocess.Popen[bytes] | None = None
        self.line: socket.socket | None = None
        self.event_line = ""
        """What it said about where it listens; empty until then."""
        self.ever_listened = False
        self.start_at = 0.0
        self.started_at = 0.0
        self.backoff_s = 0.0

    def start(self, now: float) -> None:
        """Run the command with a line to us."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                self.command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, VARIABLE: str(theirs.fileno())},
                start_new_session=True,
            )
        self.line = ours
        self.event_line = ""
        self.started_at = now

    def read_line(self) -> None:
        """Take in what the process says about where it listens."""
        if self.line is None or self.event_line:
            return
        try:
            text = self.line.recv(_EVENT_BYTES_MAX)
        except (BlockingIOError, ConnectionError):
            return
        self.event_line = text.decode(errors="replace").strip()
        self.ever_listened = self.ever_listened or bool(text)

    def poll(self, now: float) -> int | None:
        """Return the exit status if the process has just ended, and plan the next start."""
        self.read_line()
        if self.process is None or (status := self.process.poll()) is None:
            return None
        self.read_line()
        self.process = None
        if self.line is not None:
            self.line.close()
            self.line = None
        lived_well = now - self.started_at >= LIVED_WELL_S
        self.backoff_s = BACKOFF_S if lived_well else min(BACKOFF_S_MAX, max(BACKOFF_S, 2.0 * self.backoff_s))
        self.start_at = now + self.backoff_s
        return status

    def signal(self, number: int) -> None:
        """Send a signal if the process runs."""
        if self.process is not None:
            self.process.send_signal(number)


class Launcher:
    """Keeps N children alive until it is told to stop."""

    def __init__(self, commands: Sequence[Sequence[str]], drain_s: float) -> None:
        """Prepare one child per command; each gets `drain_s` seconds to end, and a little more."""
        self.children = [Child(number, command) for number, command in enumerate(commands, start=1)]
        self._drain_s = drain_s
        self._stop_signals = 0
        self._reopen_asked = False
        self._wakeup, self._waker = socket.socketpair()

    def run(self) -> int:
        """Run until a signal; return 0 after an orderly end, else 1 or the status of what cannot start."""
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reopen)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        try:
            return self._run()
        finally:
            for child in self.children:
                child.signal(signal.SIGKILL)
                if child.process is not None:
                    child.process.wait()
            signal.set_wakeup_fd(-1)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_signals += 1

    def _on_reopen(self, _number: int, _frame: FrameType | None) -> None:
        self._reopen_asked = True

    def _run(self) -> int:
        said = False
        while not self._stop_signals:
            now = time.monotonic()
            failed = self._look_after_children(now)
            if failed is not None:
                self._drain()
                return failed
            if not said and all(child.event_line for child in self.children):
                said = True
                print_event(
                    "launched", processes=[child.process.pid for child in self.children if child.process]
                )
            if self._reopen_asked:
                self._reopen_asked = False
                for child in self.children:
                    child.signal(signal.SIGHUP)
            self._wait(now)
        return self._drain()

    def _look_after_children(self, now: float) -> int | None:
        """Start what should run; return an exit status when a child can never start."""
        for child in self.children:
            status = child.poll(now)
            if status is not None:
                if not child.ever_listened:
                    logger.error("proxy %d cannot start: it ended with status %d", child.number, status)
                    return status if status > 0 else 1
                logger.warning(
                    "proxy %d ended with status %d; starting it again in %.1f s",
                    child.number, status, child.backoff_s,
                )  # fmt: skip
            if child.process is None and now >= child.start_at:
                child.start(now)
        return None

    def _wait(self, now: float) -> None:
        """Wait for a signal (a child's end is one), a child's line, or the next start that is due."""
        starts = [child.start_at - now for child in self.children if child.process is None]
        lines = [child.line for child in self.children if child.line is not None and not child.event_line]
        select.select([self._wakeup, *lines], [], [], max(0.0, min([_LOOK_S, *starts])))
        try:
            self._wakeup.recv(4096)
        except BlockingIOError:
            return

    def _drain(self) -> int:
        """End all children in order; kill what does not end in time or when told a second time."""
        signals_before = self._stop_signals
        for child in self.children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_s + _DRAIN_MARGIN_S
        statuses = []
        while any(child.process is not None for child in self.children):
            now = time.monotonic()
            statuses += [status for child in self.children if (status := child.poll(now)) is not None]
            if now > deadline or self._stop_signals > max(1, signals_before):
                logger.warning("killing proxies that have not ended")
                return 1
            if any(child.process is not None for child in self.children):
                self._wait(now)
        return 0 if all(status == 0 for status in statuses) else 1


def launch(
    commands: Sequence[Sequence[str]],
    *,
    shared: ListenSettings | None,
    drain_s: float,
    log_level: str = "info",
    log_format: str = "text",
) -> int:
    """Run one proxy per command line until a signal ends them all; return the exit status.

    With `shared`, all listen on that one address: it is bound here first, without listening, so that a free
    port (0) is the same for all, and a port that others use is told at once.

    Raises:
        StartFailedError: the shared address cannot be had.
    """
    set_up_logging(log_level, log_format)
    if shared is None:
        return Launcher(commands, drain_s).run()
    with reserve(shared) as reserved:
        port = reserved.getsockname()[1]
        commands = [[*command, "--set", f"listen.port={port}"] for command in commands]
        return Launcher(commands, drain_s).run()


def reserve(listen: ListenSettings) -> socket.socket:
    """Bind an address that several processes shall share, so that it stays theirs between restarts."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        reserved = socket.socket(family, kind, protocol)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            refuse_if_taken(family, address)
            reserved.bind(address)
        except OSError:
            reserved.close()
            raise
    except OSError as error:
        raise cannot_listen(error, listen.host, listen.port, "listen") from None
    return reserved


def refuse_if_taken(family: int, address: object) -> None:
    """Raise the error of binding without sharing: whoever else shares this port is not ours."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)  # type: ignore[arg-type]
