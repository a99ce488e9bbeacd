"""What all connections of one proxy process share. Knows no behaviour of its own."""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.driver import RequestDriver
from swayam_proxy.live.record import Recorder
from swayam_proxy.live.request_ids import RequestIds
from swayam_proxy.live.settings import LiveSettings

if TYPE_CHECKING:
    from swayam_proxy.live.client_connection import ClientConnection


class Shared:
    """The one context of a data plane."""

    __slots__ = (
        "clock",
        "connections",
        "debug_headers",
        "draining",
        "driver",
        "grant_line",
        "half_closed",
        "ids",
        "limits",
        "loop",
        "on_connection_closed",
        "recorder",
        "requests_count",
        "services",
        "timeouts",
        "trusted_proxies",
    )

    def __init__(
        self,
        settings: LiveSettings,
        driver: RequestDriver,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
        services: dict[str, ServiceSide],
    ) -> None:
        """Share these."""
        self.limits = settings.limits
        self.timeouts = settings.timeouts
        self.trusted_proxies = settings.trusted_proxies
        self.debug_headers = settings.debug_headers
        self.driver = driver
        self.clock: Callable[[], float] = driver.clock
        self.recorder = recorder
        self.loop = loop
        self.services = services
        self.ids = RequestIds()
        self.grant_line = b""
        """Tells a sidecar which hold of which frontend got a request its slot."""
        self.draining = False
        self.connections: set[ClientConnection] = set()
        self.half_closed: set[ClientConnection] = set()
        """Clients that ended their side while their answer is awaited: gone, or only done with asking."""
        self.on_connection_closed: Callable[[], None] = lambda: None
        self.requests_count = 0

    def is_trusted(self, peer: str) -> bool:
        """Say whether what this peer tells of its own clients is believed."""
        if not self.trusted_proxies:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.trusted_proxies)

    def next_request_id(self) -> str:
        """Make an id for a request that has none."""
        self.ids.advance()
        return self.ids.text

    def close_idle_upstreams(self) -> None:
        """Give descriptors back when there are none left."""
        for service in self.services.values():
            for pool in service.pools.values():
                pool.close_idle()
