"""Gossip keys that change while the process runs: after SIGHUP the configuration is read again.

Knows an endpoint and a function that reads; neither files nor what a key is good for. Whatever is wrong with
the configuration, the keys in force stay.
"""

import asyncio
import logging
from collections.abc import Callable

from swayam_proxy.live.gossip_udp import GossipEndpoint
from swayam_proxy.live.settings import GossipSettings

logger = logging.getLogger("swayam.gossip")

Reread = Callable[[], GossipSettings | None]
"""Reads the gossip's settings anew; None when there is no gossip any more.

`RereadError` when that cannot be.
"""


class RereadError(Exception):
    """The configuration is not fit to be used; the text says why."""


class KeyChange:
    """Takes up changed keys, one reading at a time."""

    def __init__(self, endpoint: GossipEndpoint, reread: Reread) -> None:
        """Begin with the keys that the endpoint has."""
        self._endpoint = endpoint
        self._reread = reread
        self._reading: asyncio.Task[None] | None = None
        self._wanted = False

    def begin(self) -> None:
        """Read again, in a thread, since checking a large file would hold up requests."""
        self._wanted = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())

    async def stop(self) -> None:
        """Wait for a reading that is under way."""
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                settings = await asyncio.to_thread(self._reread)
                if settings is None:
                    raise RereadError("peers.gossip is gone, which takes a restart")
                labels = self._endpoint.replace_keys(settings.keys)
            except (RereadError, ValueError) as error:
                logger.error("the gossip keys stay as they are: %s", error)
            else:
                logger.info("gossip keys taken up: %s seals, %s are accepted", labels[0], ", ".join(labels))
