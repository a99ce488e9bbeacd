"""Active checks against real sockets: what counts as healthy, how often is asked, and how it ends."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from swayam_proxy.core.events import BackendProbed
from swayam_proxy.core.vocabulary import BackendSpec, FrontendSpec, ServiceSpec, Sla
from swayam_proxy.live.prober import CHECKS_MAX, Prober, checks_of, status_of
from swayam_proxy.live.settings import ProbeSettings, ServiceSettings

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Backend:
    """A listener that answers every request head with the same bytes, and remembers the heads."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.open_count = 0
        self.open_count_max = 0
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; without an answer, wait until the other side gives up."""
        self.open_count += 1
        self.open_count_max = max(self.open_count_max, self.open_count)
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, EOFError):
            return
        finally:
            self.open_count -= 1
            writer.close()


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[Backend]:
    """Run a backend on a free port."""
    backend = Backend(answer)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    backend.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield backend


def spec_of(*addresses: str) -> FrontendSpec:
    """Return a frontend with one service over these addresses."""
    backends = tuple(BackendSpec(address) for address in addresses)
    return FrontendSpec("proxy-1", (ServiceSpec("m", backends, Sla(0.3, 0.99)),))


def settings_of(**probe: object) -> list[ServiceSettings]:
    """Return the settings of that service, with quick checks."""
    values = {"path": "/v2/health/ready", "interval_s": 0.02, "timeout_s": 0.5, **probe}
    return [ServiceSettings("m", probe=ProbeSettings(**values))]  # type: ignore[arg-type]


@asynccontextmanager
async def probing(
    spec: FrontendSpec, settings: list[ServiceSettings], **more: Callable[[str, int], bool]
) -> AsyncIterator[list[BackendProbed]]:
    """Run a prober and collect what it reports."""
    reports: list[BackendProbed] = []
    prober = Prober(spec, settings, reports.append, random.Random(3), **more)
    prober.start()
    yield reports
    await prober.stop()


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for `condition` with a deadline."""
    async with asyncio.timeout(10.0):
        while not condition():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("answer", "healthy"),
    [
        (OK, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (b"", False),
        (b"x" * 200_000, False),
    ],
)
async def test_what_counts_as_healthy(answer: bytes, healthy: bool) -> None:
    """Only a status in the configured ranges is healthy; anything that is no HTTP answer is not."""
    async with listening(answer) as backend, probing(spec_of(backend.address), settings_of()) as reports:
        await wait_until(lambda: len(reports) >= 2)
    assert set(reports) == {BackendProbed("m", 1, healthy)}


async def test_silence_and_refusal_are_unhealthy() -> None:
    """A backend that never answers fails at its time limit, one that is not there fails at once."""
    async with listening(None) as silent, listening(OK) as good:
        spec = spec_of(silent.address, "127.0.0.1:1", good.address)
        async with probing(spec, settings_of(timeout_s=0.05)) as reports:
            await wait_until(lambda: {report.backend_index for report in reports} == {1, 2, 3})
    results = {report.backend_index: report.healthy for report in reports}
    assert results == {1: False, 2: False, 3: True}


async def test_the_request_is_a_plain_get() -> None:
    """The check asks for the configured path with the backend's own host, and keeps no connection."""
    async with listening(OK) as backend, probing(spec_of(backend.address), settings_of()) as reports:
        await wait_until(lambda: bool(reports))
    head = backend.heads[0].decode()
    assert head.startswith("GET /v2/health/ready HTTP/1.1\r\n")
    assert f"Host: {backend.address}\r\n" in head
    assert "Connection: close\r\n" in head


async def test_statuses_are_configurable() -> None:
    """A server that answers 401 to strangers can be called healthy."""
    answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    settings = settings_of(statuses=((200, 299), (401, 401)))
    async with listening(answer) as backend, probing(spec_of(backend.address), settings) as reports:
        await wait_until(lambda: bool(reports))
    assert reports[0].healthy


async def test_an_interval_of_zero_asks_nobody() -> None:
    """Checks that are turned off cost nothing: there is not even a task."""
    assert checks_of(spec_of("127.0.0.1:1"), settings_of(interval_s=0.0)) == []
    before = len(asyncio.all_tasks())
    async with probing(spec_of("127.0.0.1:1"), settings_of(interval_s=0.0)):
        assert len(asyncio.all_tasks()) == before


async def test_what_is_not_set_up_is_left_alone() -> None:
    """A cold backend is not asked; its neighbour is."""
    async with listening(OK) as cold, listening(OK) as warm:
        spec = spec_of(cold.address, warm.address)
        async with probing(spec, settings_of(), is_set_up=lambda _, index: index == 2) as reports:
            await wait_until(lambda: len(reports) >= 3)
    assert cold.heads == []
    assert {report.backend_index for report in reports} == {2}


async def test_at_most_so_many_at_a_time() -> None:
    """Hundreds of silent backends do not make hundreds of connections, and all get their turn."""
    async with listening(None) as silent:
        spec = spec_of(*[silent.address] * 100)
        async with probing(spec, settings_of(timeout_s=0.05)) as reports:
            await wait_until(lambda: len({report.backend_index for report in reports}) == 100)
    assert 1 < silent.open_count_max <= CHECKS_MAX


async def test_stop_ends_checks_under_way() -> None:
    """After `stop` no task is left and nothing is reported any more."""
    before = len(asyncio.all_tasks())
    async with listening(None) as silent:
        async with probing(spec_of(silent.address), settings_of(timeout_s=30.0)) as reports:
            await wait_until(lambda: silent.open_count == 1)
        await wait_until(lambda: len(asyncio.all_tasks()) <= before)
        assert reports == []


def test_tls_is_verified() -> None:
    """Backends behind https are checked by certificate and name; plain ones are not."""
    checks = checks_of(spec_of("https://localhost:9001", "127.0.0.1:9002"), settings_of())
    assert checks[0].tls is not None
    assert checks[0].tls.verify_mode is ssl.CERT_REQUIRED
    assert checks[0].server_name == "localhost"
    assert checks[1].tls is None


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"HTTP/1.1 200 OK\r\n", 200), (b"HTTP/1.1 204\r\n", 204), (b"HTTP/2 200\r\n", None), (b"\r\n", None)],
)
def test_status_lines(line: bytes, status: int | None) -> None:
    """Only HTTP/1.x status lines are believed."""
    assert status_of(line) == status
