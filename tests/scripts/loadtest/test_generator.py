"""The generator against real sockets: honest clocks, whole answers only, bounded connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from _loadtest.generator import Generator, Job, generate
from _loadtest.records import Ending, Table, table_of
from _loadtest.summary import Options, summarise
from _loadtest.target import RequestPlan, Target, Template, template_bodies

from fake_backend.fleet import Fleet
from fake_backend.settings import BackendSettings, ExecutionSettings, FleetSettings, QueueDiscipline
from tests.scripts.loadtest.scripted_server import scripted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = RequestPlan("GET", "/x", (b"",), ())
POST = RequestPlan("POST", "/x", template_bodies(Template.RAW, "m", 64, stream=False), ())


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Two backends of one slot and one millisecond."""
    backend = BackendSettings(execution=ExecutionSettings(mean_s=0.001, cv=0.0))
    async with Fleet(FleetSettings(port=0, count=2, backend=backend)) as served:
        yield served


def even(count: int, rate_per_s: float, *ports: int, plan: RequestPlan = GET) -> Job:
    """Return evenly spaced requests to ports of this machine in turn."""
    return Job(
        intended_s=np.arange(count) / rate_per_s,
        target_numbers=np.arange(count) % len(ports),
        targets=tuple(Target("127.0.0.1", port) for port in ports),
        plan=plan,
        timeout_s=10.0,
    )


async def played(job: Job) -> Table:
    """Run a job that begins soon."""
    async with asyncio.timeout(30):
        return table_of([await generate(Generator(job, time.monotonic() + 0.01))])


def endings(table: Table) -> list[Ending]:
    """Return how each request ended."""
    return [Ending(ending) for ending in table.ending]


async def test_every_request_is_counted_where_it_went(fleet: Fleet) -> None:
    """Requests go to the targets in turn, each is answered once, names are counted per backend."""
    table = await played(even(100, 500, *(backend.port for backend in fleet.backends), plan=POST))
    assert table.is_good.all()
    summary, _ = summarise(table, Options(duration_s=0.2))
    assert summary.backends == {backend.name: 50 for backend in fleet.backends}
    assert [backend.snapshot()["requests"] for backend in fleet.backends] == [50, 50]
    assert summary.statuses == {200: 100}
    assert np.all(table.sent_s >= table.intended_s)
    assert np.all(table.done_s > table.first_s - 1e-9)
    assert np.all(table.first_s - table.sent_s >= 0.001)


async def test_a_stall_is_felt_by_all_who_came_meanwhile(fleet: Fleet) -> None:
    """Coordinated omission: while the server stalls for 0.5 s, everyone meant to come then has to wait.

    A closed loop would show one slow request. Here those meant for the stall wait for what is left of it.
    """
    job = even(200, 200, fleet.backends[0].port)
    stalled = asyncio.create_task(played(even(1, 1, fleet.backends[0].port, plan=_stall("500ms"))))
    table = await played(job)
    await stalled
    assert table.is_good.all()
    assert (table.latency_s > 0.25).sum() >= 30
    assert (table.latency_s > 0.1).sum() >= 60


def _stall(duration: str) -> RequestPlan:
    return RequestPlan("GET", f"/x?fault=delay:{duration}", (b"",), ())


async def test_the_intended_moment_counts_when_sending_was_held_up(fleet: Fleet) -> None:
    """With one connection the generator itself must wait: only the headline tells it, and it is INVALID."""
    port = fleet.backends[0].port
    job = replace(even(60, 200, port, plan=_stall("10ms")), connections_count_max=1)
    table = await played(job)
    assert table.is_good.all()
    from_send_s = table.done_s - table.sent_s
    assert table.latency_s[-1] > 0.2
    assert table.latency_s[-1] > 5 * np.median(from_send_s)
    summary, _ = summarise(table, Options(duration_s=0.3))
    assert not summary.is_valid
    assert any("--connections-max" in reason for reason in summary.invalid_reasons)


async def test_a_generator_that_falls_behind_says_so(fleet: Fleet) -> None:
    """When the generator's own loop is blocked, its lag shows, and the verdict is INVALID."""
    asyncio.get_running_loop().call_later(0.1, lambda: time.sleep(0.3))
    table = await played(even(100, 200, fleet.backends[0].port))
    summary, _ = summarise(table, Options(duration_s=0.5, lag_limit_s=0.05))
    assert summary.lag.max_s > 0.15
    assert not summary.is_valid
    assert "fell behind" in summary.invalid_reasons[0]
    assert table.latency_s.max() > 0.15


async def test_connections_are_reused_or_not(fleet: Fleet) -> None:
    """One at a time needs few connections; without keep-alive each request has its own."""
    port = fleet.backends[0].port
    reused = await played(even(40, 50, port))
    assert reused.opened_connections_count < 30
    single = await played(replace(even(20, 50, port), keep_alive=False))
    assert single.opened_connections_count == 20
    assert single.is_good.all()


async def test_execution_times_travel_with_requests(fleet: Fleet) -> None:
    """A trace's execution times reach the backend, request by request."""
    job = even(3, 20, fleet.backends[0].port)
    table = await played(replace(job, execution_s=np.array([0.02, 0.002, 0.03])))
    times_s = table.done_s - table.sent_s
    assert times_s[0] >= 0.02
    assert times_s[2] >= 0.03
    assert fleet.backends[0].snapshot()["executed_s"] >= 0.052


async def test_a_full_pool_makes_room_for_another_target(fleet: Fleet) -> None:
    """At the bound an idle connection to one target gives way to another; nothing waits for ever."""
    job = replace(even(20, 100, *(backend.port for backend in fleet.backends)), connections_count_max=1)
    table = await played(job)
    assert table.is_good.all()


async def test_busy_replies_are_errors_but_no_latency(fleet: Fleet) -> None:
    """Refusals are quick: they count as errors and never make the percentiles look better."""
    backend = BackendSettings(execution=ExecutionSettings(mean_s=0.05, cv=0.0), queue=QueueDiscipline.BUSY)
    async with Fleet(FleetSettings(port=0, backend=backend)) as busy:
        table = await played(even(50, 200, busy.backends[0].port))
    summary, _ = summarise(table, Options(duration_s=0.25, response_time_s=10.0))
    assert summary.statuses[503] > 20
    assert summary.error_share == pytest.approx(summary.statuses[503] / 50)
    assert summary.within_share == pytest.approx(summary.statuses[200] / 50)
    assert summary.latency.count == summary.statuses[200]
    assert summary.latency.percentiles_s[50.0] >= 0.05


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (OK, Ending.ANSWERED),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Ending.ANSWERED),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Ending.ANSWERED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Ending.ANSWERED),
        (b"HTTP/1.1 200 OK\r\nX: ended-by-close\r\n\r\nsome body", Ending.ANSWERED),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf", Ending.INCOMPLETE),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
            Ending.INCOMPLETE,
        ),
        (b"\x16\x03 no HTTP\r\n\r\n", Ending.MALFORMED),
        (None, Ending.RESET),
        (b"HTTP/1.1 200 OK\r\nX-Body-Crc32: 1\r\nContent-Length: 0\r\n\r\n", Ending.MISMATCH),
    ],
)
async def test_only_whole_answers_count(said: bytes | None, ending: Ending) -> None:
    """Framing decides: what was cut is INCOMPLETE, what is no HTTP MALFORMED, another's answer a MISMATCH."""
    async with scripted(lambda _: said) as (port, heads):
        table = await played(even(5, 200, port))
    assert endings(table) == [ending] * 5
    assert len(heads) == 5
    assert table.is_good.all() == (ending is Ending.ANSWERED)


async def test_an_answer_that_nobody_asked_for_is_noticed() -> None:
    """A second answer behind the first is counted as stray and reaches no other request."""
    async with scripted(lambda number: OK + OK.replace(b"200", b"299") if number == 1 else OK) as (port, _):
        table = await played(even(5, 100, port))
    assert table.stray_answers_count == 1
    assert table.status.tolist() == [200] * 5


async def test_a_silent_server_times_out() -> None:
    """Who gets no answer is given up after the timeout, and the histogram keeps him at that time."""
    async with scripted(lambda number: b"" if number == 1 else OK) as (port, _):
        table = await played(replace(even(3, 100, port), timeout_s=0.3))
    assert endings(table) == [Ending.TIMEOUT, Ending.ANSWERED, Ending.ANSWERED]
    summary, _ = summarise(table, Options(duration_s=0.1))
    assert summary.latency.max_s >= 0.3


async def test_a_refused_connection_is_an_error() -> None:
    """A target that vanished makes errors, not an end of the test."""
    async with scripted(lambda _: OK) as (port, _):
        pass
    assert endings(await played(even(3, 100, port))) == [Ending.CONNECT] * 3


async def test_a_stopped_test_judges_what_was_due(fleet: Fleet) -> None:
    """Requests meant for after the stop are left out; the verdict says that it was interrupted."""
    job = even(1000, 100, fleet.backends[0].port)
    generator = Generator(job, time.monotonic())
    asyncio.get_running_loop().call_later(0.3, generator.stop)
    table = table_of([await generate(generator)])
    stopped_at_s = table.stopped_at_s
    assert stopped_at_s is not None
    assert 0.29 < stopped_at_s < 9.0
    assert np.array_equal(table.intended_s, job.intended_s[job.intended_s < stopped_at_s])
    summary, _ = summarise(table, Options(duration_s=10.0))
    assert "interrupted" in summary.invalid_reasons[0]
    assert summary.measured_s == pytest.approx(stopped_at_s)
