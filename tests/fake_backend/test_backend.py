"""A backend over real sockets: slots, times, state, and what happens when clients leave."""

import asyncio
import time

import aiohttp
import pytest

from fake_backend.backend import Backend
from fake_backend.fleet import Fleet
from fake_backend.settings import (
    BackendSettings,
    ExecutionSettings,
    OnDisconnect,
    QueueDiscipline,
    ServerState,
    Work,
)
from tests.fake_backend.conftest import Served
from tests.fake_backend.raw import begin, until

QUICK = ExecutionSettings(mean_s=0.001, cv=0.0)


def execution_ms(response: aiohttp.ClientResponse) -> float:
    """Return the execution time that an answer tells."""
    name, _, milliseconds = response.headers["Server-Timing"].partition(";dur=")
    assert name == "exec"
    return float(milliseconds)


async def get(client: aiohttp.ClientSession, fleet: Fleet, target: str) -> aiohttp.ClientResponse:
    """Return the first backend's whole answer to a GET."""
    async with client.get(f"http://{fleet.addresses[0]}{target}") as response:
        await response.read()
        return response


async def test_execution_is_told_without_waiting(served: Served, client: aiohttp.ClientSession) -> None:
    """Three requests at one slot run one after another; each tells its own time, not the queue's."""
    fleet = await served(BackendSettings(execution=ExecutionSettings(mean_s=0.05, cv=0.0)))
    began_at = time.monotonic()
    responses = await asyncio.gather(*(get(client, fleet, "/x") for _ in range(3)))
    lasted_s = time.monotonic() - began_at
    assert [response.status for response in responses] == [200] * 3
    told_s = [execution_ms(response) / 1e3 for response in responses]
    assert min(told_s) >= 0.05
    assert sum(told_s) <= lasted_s, "one after another, the executions fit into the time that passed"
    stats = fleet.backends[0].snapshot()
    assert (stats["in_flight_max"], stats["waiting_max"], stats["served"]) == (1, 2, 3)
    assert stats["executed_s"] == pytest.approx(sum(told_s), abs=1e-5)


async def test_slots_run_side_by_side(served: Served, client: aiohttp.ClientSession) -> None:
    """With four slots four requests run at once."""
    fleet = await served(BackendSettings(execution=ExecutionSettings(mean_s=0.1, cv=0.0), slots_count=4))
    await asyncio.gather(*(get(client, fleet, "/x") for _ in range(4)))
    assert fleet.backends[0].snapshot()["in_flight_max"] == 4


async def test_busy_replies(served: Served, client: aiohttp.ClientSession) -> None:
    """Beyond the slots the answer is 503 with Swayam-Busy, at once, and counted as refused."""
    fleet = await served(BackendSettings(queue=QueueDiscipline.BUSY))
    writer = await begin(fleet.addresses[0], "/x?execution=30s")
    await until(lambda: fleet.backends[0].slots.running_count == 1)
    response = await get(client, fleet, "/x")
    assert (response.status, response.headers["Swayam-Busy"]) == (503, "1")
    assert fleet.backends[0].snapshot()["refused"] == 1
    writer.close()


async def test_a_request_may_choose_its_time(served: Served, client: aiohttp.ClientSession) -> None:
    """By query or by field; a text that is no duration is refused."""
    fleet = await served(BackendSettings(execution=ExecutionSettings(mean_s=3600.0)))
    assert execution_ms(await get(client, fleet, "/x?execution=5ms")) >= 5
    async with client.get(
        f"http://{fleet.addresses[0]}/x", headers={"X-Fake-Execution": "0.005s"}
    ) as response:
        assert execution_ms(response) >= 5
    assert (await get(client, fleet, "/x?execution=soon")).status == 400


async def test_set_up_takes_its_time(served: Served, client: aiohttp.ClientSession) -> None:
    """Cold refuses, warming refuses, warm answers; asking twice sets up once."""
    settings = BackendSettings(execution=QUICK, setup_s=0.15, start=ServerState.COLD)
    fleet = await served(settings)
    address = f"http://{fleet.addresses[0]}"
    assert (await get(client, fleet, "/x")).status == 503
    asked_at = time.monotonic()
    for _ in range(2):
        async with client.post(f"{address}/fake/setup") as response:
            assert (await response.json())["state"] == "warming"
    assert (await get(client, fleet, "/v2/health/ready")).status == 503
    assert (await get(client, fleet, "/v2/health/live")).status == 200
    await until(lambda: fleet.backends[0].lifecycle.state is ServerState.WARM)
    assert time.monotonic() - asked_at >= 0.15
    assert (await get(client, fleet, "/v2/health/ready")).status == 200
    assert (await get(client, fleet, "/x")).status == 200
    async with client.post(f"{address}/fake/cold") as response:
        stats = await response.json()
    assert (stats["state"], stats["setups"]) == ("cold", 1)
    assert (await get(client, fleet, "/x")).status == 503


async def test_health_can_be_turned(served: Served, client: aiohttp.ClientSession) -> None:
    """A test can make every health path answer another status."""
    fleet = await served()
    async with client.post(f"http://{fleet.addresses[0]}/fake/health?status=500") as response:
        assert response.status == 200
    for path in ("/ping", "/health", "/v2/health/ready", "/v2/models/m/ready"):
        assert (await get(client, fleet, path)).status == 500
    async with client.post(f"http://{fleet.addresses[0]}/fake/health?status=x") as response:
        assert response.status == 400


async def leave_while_running(fleet: Fleet) -> Backend:
    """Begin a long execution, leave, and return the backend once it has noticed."""
    backend = fleet.backends[0]
    writer = await begin(fleet.addresses[0], "/x?execution=400ms")
    await until(lambda: backend.slots.running_count == 1)
    writer.close()
    await until(lambda: backend.counters.cancelled_count == 1)
    return backend


async def test_a_lost_client_stops_the_execution(served: Served, client: aiohttp.ClientSession) -> None:
    """By default the slot is free as soon as the client has left, and nothing counts as served."""
    fleet = await served(BackendSettings(execution=QUICK))
    backend = await leave_while_running(fleet)
    assert backend.slots.running_count == 0
    assert (await get(client, fleet, "/x")).status == 200
    assert backend.snapshot()["served"] == 1


async def test_a_stubborn_backend_finishes(served: Served) -> None:
    """With "finish" the slot stays taken to the end, as with most model servers."""
    fleet = await served(BackendSettings(execution=QUICK, on_disconnect=OnDisconnect.FINISH))
    backend = await leave_while_running(fleet)
    assert backend.slots.running_count == 1
    await until(lambda: backend.slots.running_count == 0)
    assert backend.snapshot()["executed_s"] >= 0.4


async def test_who_leaves_the_queue_is_forgotten(served: Served, client: aiohttp.ClientSession) -> None:
    """A client that left while it waited never takes a slot."""
    fleet = await served(BackendSettings(execution=QUICK))
    backend = fleet.backends[0]
    running = await begin(fleet.addresses[0], "/x?execution=30s")
    await until(lambda: backend.slots.running_count == 1)
    waiting = await begin(fleet.addresses[0], "/x?execution=30s")
    await until(lambda: backend.slots.waiting_count == 1)
    waiting.close()
    await until(lambda: backend.slots.waiting_count == 0)
    running.close()
    await until(lambda: backend.slots.running_count == 0)
    assert (await get(client, fleet, "/x")).status == 200
    assert backend.snapshot()["served"] == 1


async def test_spinning_burns_processor_time(served: Served, client: aiohttp.ClientSession) -> None:
    """A spun execution costs that much processor time, and the loop answers meanwhile."""
    fleet = await served(BackendSettings(execution=ExecutionSettings(mean_s=0.2, cv=0.0), work=Work.SPIN))
    burnt_before_s = time.process_time()
    working = asyncio.create_task(get(client, fleet, "/x"))
    await until(lambda: fleet.backends[0].slots.running_count == 1)
    assert (await get(client, fleet, "/fake/stats")).status == 200
    assert not working.done()
    assert execution_ms(await working) >= 195
    assert time.process_time() - burnt_before_s >= 0.19


async def test_a_spun_execution_stops_with_its_client(served: Served) -> None:
    """A thread whose client left does not spin on."""
    fleet = await served(BackendSettings(work=Work.SPIN))
    backend = fleet.backends[0]
    writer = await begin(fleet.addresses[0], "/x?execution=1h")
    await until(lambda: backend.slots.running_count == 1)
    writer.close()
    await until(lambda: backend.slots.running_count == 0)
    assert backend.snapshot()["served"] == 0


async def test_a_hundred_share_a_process(served: Served, client: aiohttp.ClientSession) -> None:
    """A hundred backends have their own names, ports, counts and streams of chance."""
    fleet = await served(BackendSettings(execution=ExecutionSettings(mean_s=0.01)), count=100)
    assert len(set(fleet.addresses)) == 100

    async def ask(address: str) -> tuple[str, float]:
        async with client.get(f"http://{address}/x") as response:
            await response.read()
            return response.headers["X-Backend"], execution_ms(response)

    answers = await asyncio.gather(*(ask(address) for address in fleet.addresses))
    ports = [address.rpartition(":")[2] for address in fleet.addresses]
    assert [name for name, _ in answers] == [f"{index}:{port}" for index, port in enumerate(ports, start=1)]
    assert len({milliseconds for _, milliseconds in answers}) > 90
    assert [backend.snapshot()["requests"] for backend in fleet.backends] == [1] * 100
