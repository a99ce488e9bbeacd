"""The model server as a child process: started, read, asked to end, ended.

Between it and the sidecar stands a warden (`warden.py`), so that it ends with all its own children whenever
the sidecar does, even by kill -9. Knows no HTTP and no states.
"""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from swayam_proxy.sidecar.output import BoundedOutput

WARDEN = Path(__file__).with_name("warden.py")
_KILLED_WITHIN_S = 5.0


class Child:
    """One run of the command."""

    def __init__(self, process: asyncio.subprocess.Process, output: BoundedOutput) -> None:
        """Read what it prints from now on."""
        self._process = process
        self._reading = asyncio.get_running_loop().create_task(self._read(output))

    @classmethod
    async def start(
        cls, command: tuple[str, ...], environment: dict[str, str], output: BoundedOutput
    ) -> "Child":
        """Start the command; it gets `environment` on top of ours.

        Raises:
            OSError: not even the warden can be started.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(WARDEN),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        return cls(process, output)

    async def ended(self) -> int:
        """Wait until it has ended, and return its status; 128 and the number for a signal."""
        status = await self._process.wait()
        await asyncio.wait((self._reading,), timeout=_KILLED_WITHIN_S)
        return status

    async def end(self, grace_s: float) -> None:
        """Ask it to end, end it after `grace_s`, and wait until it has."""
        if grace_s > 0.0:
            self._say(b"t")
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
        self._say(b"k")
        try:
            async with asyncio.timeout(_KILLED_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            # the warden does not answer: without it the kernel ends the command
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.wait((self._reading,), timeout=_KILLED_WITHIN_S)
        self._reading.cancel()

    def _say(self, word: bytes) -> None:
        line = self._process.stdin
        if self._process.returncode is None and line is not None and not line.is_closing():
            with suppress(OSError):
                line.write(word)

    async def _read(self, output: BoundedOutput) -> None:
        stream = self._process.stdout
        assert stream is not None, "it was piped"
        while part := await stream.read(65536):
            output.feed(part)


def free_port(host: str) -> int:
    """Return a port of `host` that nobody uses now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
