"""Backends on this machine: one sidecar process each, which starts the model server when it is set up.

Knows processes and the line to them (`live/parent.py`): they end with this process, however it ends. A
sidecar that dies is started again at the same address; it is cold then.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence

from swayam_proxy.live.parent import VARIABLE
from swayam_proxy.provision.interface import Snapshot
from swayam_proxy.provision.sidecars import LOOK_S, SidecarProvisioner

_START_S = 30.0
_STOP_S = 15.0
_PAUSE_S = 0.5
_LINE_BYTES_MAX = 4096


class ProcessProvisioner:
    """The backends that this process runs."""

    def __init__(self, count: int, words: Sequence[str], look_s: float = LOOK_S) -> None:
        """Prepare `count` backends; `words` follow `swayam sidecar`: its options, "--", and the command."""
        self._words = tuple(words)
        self._sidecars = SidecarProvisioner(["127.0.0.1:0"] * count, look_s=look_s)
        self._count = count
        self._keepers: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._lines: dict[int, socket.socket] = {}

    async def start(self) -> None:
        """Start all sidecars, cold.

        Raises:
            RuntimeError: one does not come up.
        """
        addresses = await asyncio.gather(*(self._launch(index, "127.0.0.1:0") for index in self._indices))
        for index, address in zip(self._indices, addresses, strict=True):
            self._sidecars.move(index, address)
        await self._sidecars.start()
        self._keepers = [
            asyncio.create_task(self._keep(index, address))
            for index, address in zip(self._indices, addresses, strict=True)
        ]

    @property
    def _indices(self) -> range:
        return range(1, self._count + 1)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The processes of the sidecars, in order."""
        return tuple(self._processes[index].pid for index in self._indices)

    async def ensure(self, count: int) -> None:
        """See `Provisioner`."""
        await self._sidecars.ensure(count)

    async def retire(self, index: int, incarnation: int) -> bool:
        """See `Provisioner`."""
        return await self._sidecars.retire(index, incarnation)

    def snapshot(self) -> Snapshot:
        """See `Provisioner`."""
        return self._sidecars.snapshot()

    def watch(self) -> AsyncIterator[Snapshot]:
        """See `Provisioner`."""
        return self._sidecars.watch()

    async def close(self) -> None:
        """Stop all sidecars, and they their model servers."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._sidecars.close()
        await asyncio.gather(*(_stop(process) for process in self._processes.values()))
        for line in self._lines.values():
            line.close()

    # -- inside --

    async def _keep(self, index: int, address: str) -> None:
        while True:
            await self._processes[index].wait()
            await asyncio.sleep(_PAUSE_S)
            with contextlib.suppress(RuntimeError):  # it is tried again after a pause
                await self._launch(index, address)

    async def _launch(self, index: int, address: str) -> str:
        """Start a sidecar, and return where it listens."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "swayam_proxy", "sidecar", "--listen", address, *self._words,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, VARIABLE: str(theirs.fileno())},
            )  # fmt: skip
        self._processes[index] = process
        try:
            async with asyncio.timeout(_START_S):
                line = await asyncio.get_running_loop().sock_recv(ours, _LINE_BYTES_MAX)
            listening: str = json.loads(line)["listen"][0]
        except (TimeoutError, ValueError, KeyError, OSError):
            ours.close()
            await _stop(process)
            raise RuntimeError(f"the sidecar of backend {index} did not start") from None
        # kept open for as long as the process shall run: the end of this line ends the sidecar
        if (earlier := self._lines.pop(index, None)) is not None:
            earlier.close()
        self._lines[index] = ours
        return listening


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
