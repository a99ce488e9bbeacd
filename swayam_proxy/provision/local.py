"""All backends that are to run on this machine beside proxies, for as long as a block of code runs.

They live on an event loop in a thread of their own, since whoever starts them (`live/launcher.py`) waits for
signals and processes in plain code.
"""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any

from swayam_proxy.live.start_failed import StartFailedError
from swayam_proxy.provision.kept import Command, KeptProcess


class LocalBackends:
    """Backends as processes; a context in which they run."""

    def __init__(self, commands: Sequence[Command]) -> None:
        """Prepare; nothing runs before the block begins."""
        self._kept = [KeptProcess(command) for command in commands]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backends", daemon=True)

    def __enter__(self) -> list[str]:
        """Start all, and return where they listen, in order.

        Raises:
            StartFailedError: one does not come up; none is left.
        """
        self._thread.start()
        try:
            self._run(self._start()).result()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, RuntimeError | OSError):
                todo = "see what it said above; its command is in [services.NAME.server]"
                raise StartFailedError(str(error), todo) from None
            raise
        return [each.address for each in self._kept]

    def __exit__(self, *_: object) -> None:
        """Stop all: politely, then not."""
        self._run(self._stop()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _start(self) -> None:
        ends = await asyncio.gather(*(each.start() for each in self._kept), return_exceptions=True)
        for error in ends:
            if error is not None:
                raise error

    async def _stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self._kept))
