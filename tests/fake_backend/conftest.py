"""A fleet of fake backends in the test's own loop, and a client for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from fake_backend.fleet import Fleet
from fake_backend.settings import BackendSettings, FleetSettings

Served = Callable[..., Awaitable[Fleet]]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """Return a function that starts backends with the given settings on free ports."""
    async with AsyncExitStack() as stack:

        async def start(backend: BackendSettings | None = None, *, count: int = 1) -> Fleet:
            settings = FleetSettings(port=0, count=count, backend=backend or BackendSettings())
            return await stack.enter_async_context(Fleet(settings))

        yield start


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client without a bound on connections."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20)) as session:
        yield session
