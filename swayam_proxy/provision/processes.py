"""Backends on this machine: one sidecar process each, which starts the model server when it is set up.

Knows which processes, not how they are kept (`kept.py`): they end with this process, however it ends. A
sidecar that dies is started again at the same address; it is cold then.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence

from swayam_proxy.provision.interface import Snapshot
from swayam_proxy.provision.kept import Command, KeptProcess
from swayam_proxy.provision.sidecars import LOOK_S, SidecarProvisioner


class ProcessProvisioner:
    """The backends that this process runs."""

    def __init__(self, count: int, words: Sequence[str], look_s: float = LOOK_S) -> None:
        """Prepare `count` backends; `words` follow `swayam sidecar`: its options, "--", and the command."""
        self._kept = [
            KeptProcess(Command(f"the sidecar of backend {index}", tuple(words), "127.0.0.1:0"))
            for index in range(1, count + 1)
        ]
        self._sidecars = SidecarProvisioner([each.address for each in self._kept], look_s=look_s)

    async def start(self) -> None:
        """Start all sidecars, cold.

        Raises:
            RuntimeError: one does not come up.
        """
        await asyncio.gather(*(each.start() for each in self._kept))
        for index, each in enumerate(self._kept, start=1):
            self._sidecars.move(index, each.address)
        await self._sidecars.start()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The processes of the sidecars, in order."""
        return tuple(each.process_id for each in self._kept)

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
        await self._sidecars.close()
        await asyncio.gather(*(each.stop() for each in self._kept))
