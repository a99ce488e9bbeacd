"""Processes of this machine that are kept running: started, started again when they end, stopped.

Two kinds. Those of ours are told of the line to us (`live/parent.py`), say on it where they listen, and end
when it ends, however we came to our own end. Others run behind a warden, a program that ends its command when
its standard input ends, and takes "t" on it for a polite end. Knows nothing of what they do.
"""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from swayam_proxy.live.parent import VARIABLE

_START_S = 30.0
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.5, 30.0
_LIVED_WELL_S = 10.0
"""One that lived this long is started again soon."""
_LINE_BYTES_MAX = 4096

_log = logging.getLogger("swayam.launch")


@dataclass(frozen=True, slots=True)
class Command:
    """What is kept running."""

    name: str
    """What messages call it."""
    words: tuple[str, ...]
    """What follows the subcommand of `swayam`, or else the warden's own command line."""
    address: str
    """Where it shall listen; port 0 for one of ours: any, and the same again after a restart."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """On top of ours; not shown in messages."""
    subcommand: str = "sidecar"
    """Of `swayam`; empty: it is not one of ours, and `words` begin with its warden."""
    stop_grace_s: float = 15.0
    """From asking it to end to killing it."""

    @property
    def has_warden(self) -> bool:
        """Whether it is not one of ours."""
        return not self.subcommand

    def line(self, address: str) -> tuple[str, ...]:
        """Return the whole command line, to listen at `address`."""
        if self.has_warden:
            return self.words
        return (sys.executable, "-m", "swayam_proxy", self.subcommand, "--listen", address, *self.words)


class KeptProcess:
    """One process, or the one that took its place."""

    def __init__(self, command: Command) -> None:
        """Prepare; nothing runs before `start`."""
        self.command = command
        self.address = command.address
        self._process: asyncio.subprocess.Process | None = None
        self._line: socket.socket | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def process_id(self) -> int:
        """Of the process that runs now, or ran last."""
        assert self._process is not None, "started"
        return self._process.pid

    async def start(self) -> None:
        """Start it, and keep it running from now on.

        Raises:
            RuntimeError: it does not come up.
        """
        await self._launch()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it: politely, then not."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._end()

    # -- inside --

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _PAUSE_S_MIN
        while True:
            assert self._process is not None, "it was started"
            began = loop.time()
            status = await self._process.wait()
            pause_s = _PAUSE_S_MIN if loop.time() - began >= _LIVED_WELL_S else pause_s
            _log.warning(
                "%s ended with status %d; starting it again in %.1f s", self.command.name, status, pause_s
            )
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_S_MAX, 2.0 * pause_s)
            with suppress(RuntimeError):  # it is tried again after a pause
                await self._launch()

    async def _launch(self) -> None:
        command = self.command
        environment = {**os.environ, **command.environment}
        if command.has_warden:
            self._process = await asyncio.create_subprocess_exec(
                *command.line(self.address),
                stdin=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
            return
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command.line(self.address),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**environment, VARIABLE: str(theirs.fileno())},
                start_new_session=True,
            )
        # kept open for as long as the process shall run: the end of this line ends it
        earlier, self._line = self._line, ours
        if earlier is not None:
            earlier.close()
        try:
            async with asyncio.timeout(_START_S):
                line = await asyncio.get_running_loop().sock_recv(ours, _LINE_BYTES_MAX)
            self.address = json.loads(line)["listen"][0]
        except (TimeoutError, ValueError, KeyError, OSError):
            await self._end()
            raise RuntimeError(f"{command.name} did not start") from None

    async def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            self._ask_to_end(process)
            try:
                async with asyncio.timeout(self.command.stop_grace_s):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._line is not None:
            self._line.close()
            self._line = None

    def _ask_to_end(self, process: asyncio.subprocess.Process) -> None:
        if not self.command.has_warden:
            process.terminate()
        elif process.stdin is not None and not process.stdin.is_closing():
            with suppress(OSError):
                process.stdin.write(b"t")
