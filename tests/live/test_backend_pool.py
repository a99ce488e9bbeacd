"""Kept connections to one backend: which is taken, which is not trusted, which is dropped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Fault
from swayam_proxy.live.backend_pool import BackendPool
from swayam_proxy.live.response_plan import ResponsePlanner
from swayam_proxy.live.settings import Limits, ServiceSettings, Timeouts
from swayam_proxy.live.upstream import UpstreamConnection
from tests.end_to_end.connection import wait_until
from tests.end_to_end.scripted_backend import BackendConnection, Place, ScriptedBackend

LIMITS = Limits()


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time in seconds."""
        return self.now


class Caller:
    """Whoever asks a pool for connections, and keeps what it is told."""

    def __init__(self) -> None:
        self.upstreams: list[UpstreamConnection] = []
        self.faults: list[Fault] = []

    def connected(self, _ticket: Ticket, upstream: UpstreamConnection) -> None:
        """Keep the connection."""
        self.upstreams.append(upstream)

    def connect_failed(self, _ticket: Ticket, fault: Fault, *, own_fault: bool) -> None:
        """Keep the fault."""
        assert not own_fault
        self.faults.append(fault)


class Bench:
    """A pool over a silent backend, with a clock of its own."""

    def __init__(self, address: str, **settings: object) -> None:
        self.clock = Clock()
        self.caller = Caller()
        planner = ResponsePlanner(LIMITS)

        self.looks = looks = []

        class WatchedUpstream(UpstreamConnection):
            """Tells when it is looked at."""

            def is_quiet(self) -> bool:
                looks.append(self)
                return super().is_quiet()

        def new_upstream(pool: BackendPool) -> UpstreamConnection:
            return WatchedUpstream(planner, LIMITS, pool)

        loop = asyncio.get_running_loop()
        service = ServiceSettings("m", **settings)  # type: ignore[arg-type]
        self.pool = BackendPool(address, service, new_upstream, loop, self.clock, idle_count_max=3)

    async def idle(self, count: int, keep_alive_s: float | None = None) -> list[UpstreamConnection]:
        """Make so many connections and give them to the pool, one a second."""
        made = []
        for _ in range(count):
            self.pool.connect(self.caller, Ticket("m", 0.0))
            await wait_until(lambda: bool(self.caller.upstreams))
            upstream = self.caller.upstreams.pop()
            self.clock.now += 1.0
            self.pool.give_back(upstream, keep_alive_s, self.clock.now)
            made.append(upstream)
        return made

    def take(self, *, idempotent: bool = True) -> UpstreamConnection | None:
        """Take a connection now."""
        return self.pool.take(self.clock.now, idempotent=idempotent)


@asynccontextmanager
async def silent_backend() -> AsyncIterator[ScriptedBackend]:
    """A backend that takes connections and says nothing."""

    async def script(connection: BackendConnection) -> None:
        await connection.wait_for_end(60.0)

    backend = ScriptedBackend(Place(), script)
    await backend.start()
    yield backend
    await backend.stop()
    backend.place.close()


async def test_the_last_used_is_taken_first() -> None:
    """So that few connections stay warm and the others may time out."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        first, second = await bench.idle(2)
        assert [bench.take(), bench.take(), bench.take()] == [second, first, None]
        bench.pool.close()
        first.abort()
        second.abort()


async def test_a_full_pool_lets_the_oldest_go() -> None:
    """New connections are never kept out by those that nobody takes."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        made = await bench.idle(5)
        assert bench.pool.idle == made[2:]
        await wait_until(lambda: len(backend.connections) == 5 and len(backend._players) == 3)
        bench.pool.close()


@pytest.mark.parametrize("event", ["bytes", "end"])
async def test_a_connection_on_which_something_came_is_not_taken(event: str) -> None:
    """Unasked bytes, or the backend's end, are seen even before the loop has read them."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        good, bad = await bench.idle(2)
        await wait_until(lambda: len(backend.connections) == 2)
        sock = backend.connections[1].writer.get_extra_info("socket")
        if event == "bytes":
            sock._sock.send(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            sock.shutdown(1)
        assert bench.take() is good
        assert bad.transport.is_closing()
        good.abort()
        bench.pool.close()


async def test_a_closed_idle_connection_leaves_the_pool_and_teaches_it() -> None:
    """What was closed after two seconds is not trusted beyond one by requests that must not be repeated."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        await bench.idle(1)
        bench.pool.trusted_idle_s = 30.0
        bench.clock.now += 2.0
        await wait_until(lambda: len(backend.connections) == 1)
        backend.connections[0].half_close()
        await wait_until(lambda: not bench.pool.idle)
        assert bench.pool.trusted_idle_s == pytest.approx(1.0)


async def test_trust_grows_while_connections_stay_open() -> None:
    """A POST takes only what is trusted, a GET takes all; a connection seen open for long earns trust."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        [upstream] = await bench.idle(1)
        assert bench.take(idempotent=False) is upstream
        bench.pool.give_back(upstream, None, bench.clock.now)
        bench.clock.now += 1.0
        assert bench.take(idempotent=False) is None
        assert bench.take(idempotent=True) is upstream
        bench.pool.give_back(upstream, None, bench.clock.now)
        bench.clock.now += 10.0
        bench.pool.sweep(bench.clock.now)
        assert bench.pool.trusted_idle_s == pytest.approx(5.0)
        assert bench.take(idempotent=False) is None
        bench.pool.give_back(upstream, None, bench.clock.now)
        bench.clock.now += 4.0
        assert bench.take(idempotent=False) is upstream
        bench.pool.closed_after(0.4)
        assert bench.pool.trusted_idle_s == pytest.approx(0.2)
        upstream.abort()


async def test_idle_connections_are_given_up_in_time() -> None:
    """After our own time, or a second before the backend said it would close."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address, timeouts=Timeouts(backend_idle_s=30.0))
        [patient] = await bench.idle(1)
        [hasty] = await bench.idle(1, keep_alive_s=5.0)
        bench.clock.now += 3.5
        bench.pool.sweep(bench.clock.now)
        assert bench.pool.idle == [patient, hasty]
        bench.clock.now += 0.6
        bench.pool.sweep(bench.clock.now)
        assert bench.pool.idle == [patient]
        bench.clock.now += 30.0
        bench.pool.sweep(bench.clock.now)
        assert bench.pool.idle == []
        assert patient.transport.is_closing()
        assert hasty.transport.is_closing()


async def test_why_there_is_no_connection_is_told() -> None:
    """A refused connect is one, and a backend that speaks no TLS is another."""
    place = Place()
    bench = Bench(place.address)
    bench.pool.connect(bench.caller, Ticket("m", 0.0))
    await wait_until(lambda: bench.caller.faults == [Fault.REFUSED])
    place.close()

    async def plain(connection: BackendConnection) -> None:
        await connection.read_some()
        await connection.send(b"HTTP/1.1 400 Bad\r\n\r\n")

    backend = ScriptedBackend(Place(), plain)
    await backend.start()
    secure = Bench("https://" + backend.place.address)
    secure.pool.connect(secure.caller, Ticket("m", 0.0))
    await wait_until(lambda: secure.caller.faults == [Fault.TLS])
    await backend.stop()
    backend.place.close()


async def test_a_connect_that_is_given_up_is_not_heard_of() -> None:
    """Cancelling the task ends the attempt."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        task = bench.pool.connect(bench.caller, Ticket("m", 0.0))
        task.cancel()
        await asyncio.wait([task])
        assert (bench.caller.upstreams, bench.caller.faults) == ([], [])


async def test_a_backend_found_quiet_very_often_is_asked_less() -> None:
    """After a thousand quiet looks a connection used a moment ago is taken unseen; one lapse ends that."""
    async with silent_backend() as backend:
        bench = Bench(backend.place.address)
        [upstream] = await bench.idle(1)
        looks = bench.looks
        for _ in range(1500):
            assert bench.take() is upstream
            bench.pool.give_back(upstream, None, bench.clock.now)
        assert len(looks) == 1000
        bench.clock.now += 0.01
        assert bench.take() is upstream
        assert len(looks) == 1001
        bench.pool.give_back(upstream, None, bench.clock.now)
        await wait_until(lambda: len(backend.connections) == 1)
        await backend.connections[0].send(b"unasked")
        await wait_until(lambda: not bench.pool.idle)
        assert bench.take() is None
        [other] = await bench.idle(1)
        assert bench.take() is other
        assert len(looks) == 1002
        other.abort()
