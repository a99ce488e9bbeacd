"""Fault matrix C, start, stop and overload of whole processes: rows F34 to F37."""

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Connect, Serve, proxy_config, service_table
from tests.end_to_end.connection import CutMessageError, wait_until
from tests.end_to_end.launched_proxies import LaunchedProxies
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import RawClient, request
from tests.end_to_end.scripted_backend import BackendConnection, Place, Script, answer, echo

MIB = 1024 * 1024
SCHEDULING_S = 0.1
"""What a busy test machine may add to a time limit that a row states."""


@pytest.fixture
def places() -> Iterator[Callable[[int], list[Place]]]:
    """What reserves places for backends; asked for before `serve`, they outlive the backends."""
    reserved: list[Place] = []

    def reserve(count: int) -> list[Place]:
        reserved.extend(Place() for _ in range(count))
        return reserved[-count:]

    yield reserve
    for place in reserved:
        place.close()


Places = Callable[[int], list[Place]]


def takes(seconds: float) -> Script:
    """Answer each request after so long, and note when each began and ended."""

    async def script(connection: BackendConnection) -> None:
        while True:
            await connection.next_request()
            await asyncio.sleep(seconds)
            await connection.send(answer())

    return script


@contextmanager
def proxy_over(directory: Path, backends: list[Place], **service: Any) -> Iterator[ProxyProcess]:
    """Run a proxy with one service that the test may end itself."""
    process = ProxyProcess(directory, proxy_config({"m": service_table(tuple(backends), **service)}))
    try:
        yield process
    finally:
        process.kill()


async def exit_status_of(process: ProxyProcess, within_s: float) -> int:
    """Wait for the end of the process without holding up the scripts."""
    await wait_until(lambda: process.process.poll() is not None, within_s)
    return int(process.process.returncode)


def is_refused(endpoint: tuple[str, int]) -> bool:
    """Tell whether nobody listens there."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(endpoint) != 0


async def test_f34_sigterm_drains(tmp_path: Path, places: Places, serve: Serve, connect: Connect) -> None:
    """The listener closes at once, work in flight ends well, idle clients are closed, the status is 0."""
    [place] = places(1)
    with proxy_over(tmp_path, [place]) as process:
        process.start()
        backend = await serve(place, takes(1.0))
        idle = [await connect(process.endpoint) for _ in range(100)]
        busy = [await connect(process.endpoint) for _ in range(32)]
        for client in busy:
            await client.send(request("GET", "/m"))
        await wait_until(lambda: backend.hits == 32)
        signalled_at = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: is_refused(process.endpoint))
        assert time.monotonic() - signalled_at < 0.1 + SCHEDULING_S
        status, body = await asyncio.to_thread(process.admin_get, "/readyz")
        assert (status, body) == (503, b"draining\n")
        assert (await asyncio.to_thread(process.admin_get, "/healthz"))[0] == 200
        for client in idle:
            assert await client.wait_for_end(1.0) == b""
        for message in await asyncio.gather(*(client.read_answer() for client in busy)):
            assert (message.status, message.complete) == (200, True)
            assert message.one("connection") == b"close"
        assert await exit_status_of(process, 5.0) == 0
        assert time.monotonic() - signalled_at < 3.0, "nothing was left to wait for"
    assert "Traceback" not in process.stderr()
    assert len(process.access_records()) == 32


async def test_f34_what_waits_is_served_too(
    tmp_path: Path, places: Places, serve: Serve, connect: Connect
) -> None:
    """Requests in the proxy's own queue at the signal get their turn and their 200."""
    [place] = places(1)
    with proxy_over(tmp_path, [place], slots=2) as process:
        process.start()
        backend = await serve(place, takes(0.3))
        clients = [await connect(process.endpoint) for _ in range(8)]
        for client in clients:
            await client.send(request("GET", "/m"))
        await wait_until(lambda: backend.hits == 2 and process.state_of("m")["queue_count"] == 6)
        process.process.send_signal(signal.SIGTERM)
        messages = await asyncio.gather(*(client.read_answer() for client in clients))
        assert [message.status for message in messages] == [200] * 8
        assert await exit_status_of(process, 5.0) == 0


async def test_f34_the_deadline_is_kept(
    tmp_path: Path, places: Places, serve: Serve, connect: Connect
) -> None:
    """Work that never ends is cut at the deadline; what still waits then is told so with a 503."""
    [place] = places(1)
    with proxy_over(tmp_path, [place], slots=1, timeouts={"response_head": "60s"}) as process:
        process.config["timeouts"] = {**process.config["timeouts"], "drain": "1s"}
        process.start()
        backend = await serve(place, takes(60.0))
        running, waiting = await connect(process.endpoint), await connect(process.endpoint)
        await running.send(request("GET", "/m"))
        await wait_until(lambda: backend.hits == 1)
        await waiting.send(request("GET", "/m"))
        await wait_until(lambda: process.state_of("m")["queue_count"] == 1)
        signalled_at = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        refused = await waiting.read_answer()
        assert (refused.status, refused.one("x-swayam-reason")) == (503, b"draining")
        await running.wait_for_end(3.0)
        assert b"200" not in bytes(running.received)
        assert await exit_status_of(process, 3.0) == 0
        assert 0.9 <= time.monotonic() - signalled_at < 2.0
        assert "cut 1 requests" in process.stderr()


async def test_f34_a_second_signal_ends_at_once(
    tmp_path: Path, places: Places, serve: Serve, connect: Connect
) -> None:
    """Who asks twice does not want to wait for work in flight; the status says that it was not in order."""
    [place] = places(1)
    with proxy_over(tmp_path, [place], timeouts={"response_head": "60s"}) as process:
        process.start()
        backend = await serve(place, takes(60.0))
        client = await connect(process.endpoint)
        await client.send(request("GET", "/m"))
        await wait_until(lambda: backend.hits == 1)
        process.process.send_signal(signal.SIGTERM)
        await wait_until(lambda: is_refused(process.endpoint))
        process.process.send_signal(signal.SIGTERM)
        assert await exit_status_of(process, 1.0) == 1
    assert "Traceback" not in process.stderr()


class BusyClient:
    """Asks again and again over kept connections, and counts what no client should ever see."""

    def __init__(self, endpoint: tuple[str, int]) -> None:
        self._endpoint = endpoint
        self.counts: Counter[str] = Counter()

    async def run(self, until: float) -> None:
        """Ask until then; a connection that closes between two answers is opened again."""
        client: RawClient | None = None
        while time.monotonic() < until:
            if client is None:
                try:
                    client = await RawClient.open(self._endpoint)
                except OSError:
                    self.counts["refused connects"] += 1
                    continue
            client.received.clear()
            try:
                await client.send(request("POST", "/m", body=b"12345"))
                message = await client.read_answer("POST")
            except (CutMessageError, ConnectionError):
                self.counts["cut answers" if client.received else "closed between answers"] += 1
                await client.close()
                client = None
                continue
            self.counts["answers"] += 1
            if message.status != 200 or message.body != b"12345" or not message.complete:
                self.counts[f"bad answers ({message.status})"] += 1
            if message.one("connection") == b"close":
                await client.close()
                client = None
        if client is not None:
            await client.close()


@pytest.mark.slow
async def test_f35_processes_are_replaced_under_load(tmp_path: Path, places: Places, serve: Serve) -> None:
    """Three times in 8 s one of three proxies on the same port drains and is replaced; no client is hurt."""
    [place] = places(1)
    proxies = LaunchedProxies(tmp_path, proxy_config({"m": service_table((place,))}), 3)
    await serve(place, echo)
    await asyncio.to_thread(proxies.start)
    try:
        clients = [BusyClient(proxies.endpoint) for _ in range(8)]
        ends_at = time.monotonic() + 8.0
        running = asyncio.gather(*(client.run(ends_at) for client in clients))
        for replaced_count in range(3):
            await asyncio.sleep(0.3)  # some load on the newcomer, too
            os.kill(proxies.proxy_ids()[0], signal.SIGTERM)
            await wait_until(
                lambda listening=4 + replaced_count: len(proxies.events("listening")) >= listening
            )  # type: ignore[misc]
        await running
        assert len(proxies.proxy_ids()) == 3
        assert await asyncio.to_thread(proxies.stop) == 0
    finally:
        proxies.kill()
    counts = sum((client.counts for client in clients), Counter[str]())
    assert counts["answers"] > 1000
    assert set(counts) <= {"answers", "closed between answers"}, counts
    assert counts["closed between answers"] <= 8
    assert "Traceback" not in proxies.stderr()


class OpenLoop:
    """Sends at a fixed rate whatever comes back, over as many connections as that takes."""

    def __init__(self, endpoint: tuple[str, int]) -> None:
        self._endpoint = endpoint
        self._idle: list[RawClient] = []
        self._asking: set[asyncio.Task[None]] = set()
        self.statuses: Counter[int] = Counter()
        self.refusal_times_s: list[float] = []
        self.mistakes: list[str] = []

    async def run(self, rate_per_s: float, until: float) -> None:
        """Send until then, and wait for all answers."""
        next_at = time.monotonic()
        while next_at < until:
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            task = asyncio.get_running_loop().create_task(self._ask())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            next_at += 1.0 / rate_per_s
        await asyncio.gather(*self._asking)
        for client in self._idle:
            await client.close()

    async def _ask(self) -> None:
        client = self._idle.pop() if self._idle else await RawClient.open(self._endpoint)
        client.received.clear()
        began = time.monotonic()
        message = await client.ask("GET", "/m")
        self.statuses[message.status] += 1
        if message.status == 503:
            self.refusal_times_s.append(time.monotonic() - began)
            if int(message.one("retry-after") or b"0") < 1:
                self.mistakes.append("no Retry-After")
        elif message.status != 200:
            self.mistakes.append(f"status {message.status}")
        if message.one("connection") == b"close":
            await client.close()
        else:
            self._idle.append(client)


class MeasuredBackends:
    """Backends with one slot each; how busy they were is what was accepted of the capacity."""

    def __init__(self, execution_s: float) -> None:
        self._execution_s = execution_s
        self.busy_s = 0.0
        self.at_once: Counter[int] = Counter()
        self.most_at_once = 0

    def script_of(self, number: int) -> Script:
        """Return the script of one backend."""

        async def script(connection: BackendConnection) -> None:
            while True:
                await connection.next_request()
                self.at_once[number] += 1
                self.most_at_once = max(self.most_at_once, self.at_once[number])
                began = time.monotonic()
                await asyncio.sleep(self._execution_s)
                self.busy_s += time.monotonic() - began
                self.at_once[number] -= 1
                await connection.send(answer())

        return script


@pytest.mark.slow
async def test_f36_ten_times_the_capacity(tmp_path: Path, places: Places, serve: Serve) -> None:
    """Overload is refused early, costs bounded memory and little of the capacity, and leaves no mark."""
    backends_count, execution_s, lasts_s = 5, 0.1, 30.0
    backend_places = places(backends_count)
    with proxy_over(
        tmp_path, backend_places, slots=1, execution_time="100ms", queue={"wait_max": "1s"}
    ) as process:
        process.start()
        backends = MeasuredBackends(execution_s)
        for number, place in enumerate(backend_places):
            await serve(place, backends.script_of(number))
        rss_before = process.rss_bytes()
        load = OpenLoop(process.endpoint)
        began = time.monotonic()
        running = asyncio.create_task(load.run(10 * backends_count / execution_s, began + lasts_s))
        await asyncio.sleep(10.0)
        asked_at = time.monotonic()
        assert (await asyncio.to_thread(process.admin_get, "/healthz"))[0] == 200
        assert time.monotonic() - asked_at < 0.5, "never starved"
        rss_early, busy_early_s, early_at = process.rss_bytes(), backends.busy_s, time.monotonic()
        await asyncio.sleep(lasts_s - 10.5)
        rss_late, busy_late_s, late_at = process.rss_bytes(), backends.busy_s, time.monotonic()
        await running
        assert not load.mistakes
        assert rss_late - rss_before < 64 * MIB
        assert rss_late - rss_early < 8 * MIB, "flat after 10 s"
        assert (busy_late_s - busy_early_s) / (backends_count * (late_at - early_at)) >= 0.9
        assert backends.most_at_once == 1, "slots are kept under overload"
        refusals_s = sorted(load.refusal_times_s)
        assert len(refusals_s) > 0.8 * sum(load.statuses.values())
        assert refusals_s[int(0.99 * len(refusals_s))] < 0.05
        await wait_until(lambda: process.state_of("m")["queue_count"] == 0, 2.0)
        calm = OpenLoop(process.endpoint)
        await calm.run(0.5 * backends_count / execution_s, time.monotonic() + 1.0)
        assert set(calm.statuses) == {200}
        assert await asyncio.to_thread(process.stop) == 0
    assert "Traceback" not in process.stderr()


async def test_f37_descriptors_run_out(
    tmp_path: Path, places: Places, serve: Serve, connect: Connect
) -> None:
    """With 256 descriptors and 400 clients those accepted are served, the others wait and cost nothing."""
    [place] = places(1)
    with proxy_over(tmp_path, [place]) as process:
        process.command_prefix = ("/bin/sh", "-c", 'ulimit -n 256; exec "$@"', "limited")
        process.start()
        await serve(place, echo)
        clients = [await connect(process.endpoint) for _ in range(400)]
        accepted = clients[:100]
        for client in accepted:
            assert (await client.ask("GET", "/m")).status == 200
        waiting = clients[-1]
        await waiting.send(request("GET", "/m"))
        cpu_before_s, before = process.cpu_s(), time.monotonic()
        assert await waiting.stays_silent(1.0)
        assert (process.cpu_s() - cpu_before_s) / (time.monotonic() - before) < 0.5
        for client in accepted:
            assert (await client.ask("POST", "/m", body=b"still here")).body == b"still here"
        for client in clients[:390]:
            await client.close()
        freed_at = time.monotonic()
        assert (await waiting.read_answer()).status == 200
        assert time.monotonic() - freed_at < 1.0
        assert (await asyncio.to_thread(process.admin_get, "/healthz"))[0] == 200
        assert await asyncio.to_thread(process.stop) == 0
    assert "Traceback" not in process.stderr()
