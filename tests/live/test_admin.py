"""The admin address: state, metrics, health, readiness and the page, over a real socket."""

import random
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientSession
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from swayam_proxy.core.events import WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.live.admin import AdminServer, AdminSources, host_without_port, is_loopback
from swayam_proxy.live.settings import AdminSettings
from tests.live.samples import frontend_spec


class TwoFamilies(Collector):
    """A collector that is known to the last byte."""

    def collect(self) -> Iterator[Metric]:
        """Yield two gauges."""
        for name in ("swayam_one", "swayam_two"):
            family = GaugeMetricFamily(name, "A text.", labels=("model",))
            family.add_metric(("m",), 1.5)
            yield family


@dataclass
class Bench:
    """A running admin server and what it tells about."""

    address: str
    reason: list[str | None] = field(default_factory=lambda: [None])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """An admin server on a free port over an idle frontend."""
    frontend = Frontend(frontend_spec(), random.Random(1), 0.0)
    bench = Bench("")
    sources = AdminSources(
        lambda: frontend.snapshot(5.0),
        lambda: frontend.explain(5.0),
        lambda: None,
        TwoFamilies(),
        lambda: bench.reason[0],
        "1.2.3",
    )
    server = AdminServer(AdminSettings("127.0.0.1", 0), sources)
    bench.address = await server.start()
    yield bench
    await server.stop()


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    """An HTTP client."""
    async with ClientSession() as session:
        yield session


async def test_explanations_stand_under_their_service(client: ClientSession) -> None:
    """`/explain` tells of each service that has decided why its prefix is what it is."""
    frontend = Frontend(frontend_spec(), random.Random(1), 0.0)
    while frontend.next_wakeup() <= 1.0:
        frontend.handle(WakeupCame(), max(0.0, frontend.next_wakeup()))
    sources = AdminSources(
        lambda: frontend.snapshot(2.0),
        lambda: frontend.explain(2.0),
        lambda: None,
        TwoFamilies(),
        lambda: None,
        "1",
    )
    server = AdminServer(AdminSettings("127.0.0.1", 0), sources)
    address = await server.start()
    async with client.get(f"http://{address}/explain") as response:
        services = (await response.json())["services"]
    await server.stop()
    assert set(services) == set(frontend.service_names)
    for explanation in services.values():
        assert explanation["decision"]["text"]
        assert explanation["in_force_for_s"] == 2.0


async def test_state_is_the_snapshot(bench: Bench, client: ClientSession) -> None:
    """`/state` tells of each service under its name, with its backends in order."""
    async with client.get(f"http://{bench.address}/state") as response:
        assert response.content_type == "application/json"
        assert response.headers["Cache-Control"] == "no-store"
        state = await response.json()
    assert (state["frontend_id"], state["frontends_estimate"], state["version"]) == ("proxy-1", 1, "1.2.3")
    service = state["services"]["m"]
    for key in ("rate_per_s", "forecast_per_s", "prefix", "share_within", "needs", "sla"):
        assert key in service
    assert [backend["index"] for backend in service["backends"]] == [1, 2, 3]
    assert (
        service["backends"][0] | {"index": 1, "address": "127.0.0.1:1", "state": "warm"}
        == service["backends"][0]
    )


async def test_metrics_are_prometheus_text(bench: Bench, client: ClientSession) -> None:
    """`/metrics` joins all families into one exposition."""
    async with client.get(f"http://{bench.address}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await response.text()
    assert text.splitlines() == [
        line
        for name in ("swayam_one", "swayam_two")
        for line in (f"# HELP {name} A text.", f"# TYPE {name} gauge", f'{name}{{model="m"}} 1.5')
    ]


async def test_health_and_readiness_differ(bench: Bench, client: ClientSession) -> None:
    """A draining proxy is alive but not ready, and says why."""
    for reason, status, text in ((None, 200, "ready\n"), ("draining", 503, "draining\n")):
        bench.reason[0] = reason
        async with client.get(f"http://{bench.address}/readyz") as response:
            assert (response.status, await response.text()) == (status, text)
        async with client.get(f"http://{bench.address}/healthz") as response:
            assert (response.status, await response.text()) == (200, "ok\n")


async def test_the_page_needs_nothing_from_elsewhere(bench: Bench, client: ClientSession) -> None:
    """The status page is one file: no address of another host in it, and a policy that forbids any."""
    async with client.get(f"http://{bench.address}/") as response:
        assert response.content_type == "text/html"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        page = await response.text()
    assert "://" not in page
    assert "innerHTML" not in page, "names come from a configuration and must stay text"


async def test_a_rebound_name_is_turned_away(bench: Bench, client: ClientSession) -> None:
    """On loopback a page of another site cannot read the state under its own name."""
    async with client.get(f"http://{bench.address}/state", headers={"Host": "evil.example"}) as response:
        assert response.status == 403
    port = bench.address.rpartition(":")[2]
    async with client.get(f"http://{bench.address}/state", headers={"Host": f"localhost:{port}"}) as response:
        assert response.status == 200


async def test_unknown_paths_and_methods(bench: Bench, client: ClientSession) -> None:
    """Nothing can be changed here, and what does not exist is said not to."""
    async with client.post(f"http://{bench.address}/state") as response:
        assert response.status == 405
    async with client.get(f"http://{bench.address}/nothing") as response:
        assert response.status == 404


async def test_a_taken_port_is_an_error() -> None:
    """`start` raises OSError, so that the process can say which port and what to do."""
    frontend = Frontend(frontend_spec(), random.Random(1), 0.0)
    sources = AdminSources(
        lambda: frontend.snapshot(0.0), lambda: (), lambda: None, TwoFamilies(), lambda: None, "1"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = AdminServer(AdminSettings("127.0.0.1", taken.getsockname()[1]), sources)
        with pytest.raises(OSError, match="in use"):
            await server.start()


@pytest.mark.parametrize(
    ("host", "bare", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("[::1]:80", "::1", True),
        ("LOCALHOST:9", "LOCALHOST", True),
        ("10.0.0.1:80", "10.0.0.1", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("", "", False),
    ],
)
def test_loopback_names(host: str, bare: str, loopback: bool) -> None:
    """Only this machine's own names count as loopback."""
    assert host_without_port(host) == bare
    assert is_loopback(bare) is loopback
