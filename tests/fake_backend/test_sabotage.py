"""Faults on request, byte for byte, and at a rate."""

import asyncio
import json
import time

import aiohttp
import pytest

from fake_backend.faults import Fault, FaultKind, FaultPlan
from fake_backend.settings import BackendSettings, ExecutionSettings
from tests.fake_backend.conftest import Served
from tests.fake_backend.raw import begin, exchange, until

QUICK = BackendSettings(execution=ExecutionSettings(mean_s=0.001, cv=0.0))


def content_length(head: bytes) -> int:
    """Return the Content-Length of a response head."""
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
    return int(fields[b"Content-Length"])


async def broken(served: Served, fault: str) -> tuple[bytes, bytes, str]:
    """Return head, body and ending of an answer with a fault."""
    fleet = await served(QUICK)
    received, ending = await exchange(fleet.addresses[0], f"/x?fault={fault}", body=b"hello")
    head, _, body = received.partition(b"\r\n\r\n")
    assert fleet.backends[0].snapshot()["faults"] == {fault.partition(":")[0]: 1}
    return head, body, ending


async def test_cut(served: Served) -> None:
    """Half of the promised body, then the end."""
    head, body, ending = await broken(served, "cut")
    assert content_length(head) // 2 == len(body)
    assert ending == "close"


async def test_reset_and_close(served: Served) -> None:
    """No byte at all; the one ends by RST, the other by FIN."""
    assert await broken(served, "reset") == (b"", b"", "reset")
    assert await broken(served, "close") == (b"", b"", "close")


@pytest.mark.parametrize("error", [10, -10])
async def test_wrong_length(served: Served, error: int) -> None:
    """The whole body under a Content-Length that is off by the asked number."""
    head, body, _ = await broken(served, f"length:{error:+d}")
    assert json.loads(body)["body_bytes"] == 5
    assert content_length(head) == len(body) + error


async def test_bad_chunk_and_garbage(served: Served) -> None:
    """A chunk size that is no number; a first line that is no HTTP."""
    head, body, _ = await broken(served, "chunk")
    assert b"Transfer-Encoding: chunked" in head
    assert body.endswith(b"\r\nzz\r\n")
    head, _, _ = await broken(served, "garbage")
    assert not head.startswith(b"HTTP/")


async def test_dribble(served: Served) -> None:
    """The whole body, slowly."""
    began_at = time.monotonic()
    head, body, _ = await broken(served, "dribble:200ms")
    assert time.monotonic() - began_at >= 0.2
    assert content_length(head) == len(body)


async def test_status_and_busy(served: Served, client: aiohttp.ClientSession) -> None:
    """Another status after the execution, or a busy reply without one."""
    fleet = await served(QUICK)
    address = f"http://{fleet.addresses[0]}"
    async with client.get(f"{address}/x?fault=5xx") as response:
        assert response.status == 500
    async with client.get(f"{address}/x", headers={"X-Fault": "status:429"}) as response:
        assert response.status == 429
    assert fleet.backends[0].snapshot()["served"] == 2
    async with client.get(f"{address}/x?fault=busy") as response:
        assert (response.status, response.headers["Swayam-Busy"]) == (503, "1")
    async with client.get(f"{address}/x?fault=explode") as response:
        assert response.status == 400
    assert fleet.backends[0].snapshot()["served"] == 2


async def test_delay_keeps_the_slot(served: Served, client: aiohttp.ClientSession) -> None:
    """A delayed request holds up who comes behind it."""
    fleet = await served(QUICK)
    address = f"http://{fleet.addresses[0]}"
    delayed = await begin(fleet.addresses[0], "/x?fault=delay:200ms")
    await until(lambda: fleet.backends[0].slots.running_count == 1)
    began_at = time.monotonic()
    async with client.get(f"{address}/x") as response:
        assert response.status == 200
    assert time.monotonic() - began_at >= 0.1
    delayed.close()


async def test_hang_lasts_until_the_client_leaves(served: Served, client: aiohttp.ClientSession) -> None:
    """A hanging request takes a slot, gives nothing, and lets go when its client has gone."""
    fleet = await served(QUICK)
    with pytest.raises(TimeoutError):
        async with client.get(
            f"http://{fleet.addresses[0]}/x?fault=hang", timeout=aiohttp.ClientTimeout(total=0.1)
        ):
            pytest.fail("an answer came")
    async with client.get(f"http://{fleet.addresses[0]}/x") as response:
        assert response.status == 200


async def test_faults_at_a_rate(served: Served, client: aiohttp.ClientSession) -> None:
    """A fifth of the requests fails as planned; the others are served."""
    plan = FaultPlan(0.2, (Fault(FaultKind.STATUS, 500.0), Fault(FaultKind.BUSY)))
    fleet = await served(BackendSettings(execution=QUICK.execution, slots_count=50, faults=plan))

    async def ask() -> int:
        async with client.get(f"http://{fleet.addresses[0]}/x") as response:
            return response.status

    statuses = [status for _ in range(10) for status in await asyncio.gather(*(ask() for _ in range(50)))]
    failures_count = len(statuses) - statuses.count(200)
    assert failures_count == pytest.approx(100, abs=45)
    assert sum(fleet.backends[0].snapshot()["faults"].values()) == failures_count
