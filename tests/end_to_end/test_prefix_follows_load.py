"""Two proxies before twelve backends: the in-use prefix follows the load, and calls never leave it.

Time is compressed by configuration alone: decisions come four times a second, a smaller prefix is taken after
two seconds; the backends are real processes that take 50 ms for a call.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.end_to_end.conftest import proxy_config, running_proxy
from tests.end_to_end.connection import Message
from tests.end_to_end.proxy_process import ROOT, ProxyProcess, wait_for
from tests.end_to_end.raw_client import RawClient

BACKENDS_COUNT = 12
LOW_PER_S, HIGH_PER_S = 20.0, 150.0
STEPS = ((LOW_PER_S, 4.0), (HIGH_PER_S, 8.0), (LOW_PER_S, 9.0))
"""Rate over both proxies and how long it lasts (s)."""
SETTLING_S = 5.0
"""How long after a step the rate measured in bins of a second may still be rising to it."""


@pytest.fixture
def backends(tmp_path: Path) -> Iterator[list[str]]:
    """Twelve fake backends in one process, and their addresses in order."""
    ready = tmp_path / "ready"
    options = ["--count", str(BACKENDS_COUNT), "--port", "0", "--mean", "50ms", "--cv", "0.2", "--seed", "7"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fake_backend", *options, "--ready-file", str(ready)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield wait_for(
            lambda: ready.read_text().split() if ready.exists() else None, 20.0, "the fake backends"
        )
    finally:
        process.terminate()
        process.wait(10.0)


@pytest.fixture
def proxies(tmp_path: Path, backends: list[str]) -> Iterator[list[ProxyProcess]]:
    """Two proxies that know of each other by number only, with the same ordered list."""
    service = {
        "backends": backends,
        "slots": 1,
        "sla": {"response_time": "250ms", "level": 0.99, "burst": 1.2},
        "execution_time": "50ms",
        "min": 1,
        "max": BACKENDS_COUNT,
        "tick": "250ms",
        "shrink_hold": "2s",
    }
    config = proxy_config({"model": service}, peers={"count": 2})
    with ExitStack() as stack:
        yield [stack.enter_context(running_proxy(tmp_path / f"proxy-{n}", config)) for n in (1, 2)]


@dataclass
class Load:
    """Open-loop calls to one proxy over as many connections as are needed at once."""

    process: ProxyProcess
    idle: list[RawClient] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)

    async def call(self) -> None:
        """Make one call on an idle or a new connection."""
        client = self.idle.pop() if self.idle else await RawClient.open(self.process.endpoint)
        self.answers.append(await client.ask("POST", "/model/predict", body=b"{}"))
        self.idle.append(client)

    async def close(self) -> None:
        """Close every connection."""
        for client in self.idle:
            await client.close()


async def run_steps(loads: list[Load]) -> None:
    """Call the proxies in turn, evenly in time, at the rates of STEPS."""
    async with asyncio.TaskGroup() as calls:
        due_at, number = time.monotonic(), 0
        for per_s, for_s in STEPS:
            for _ in range(round(per_s * for_s)):
                await asyncio.sleep(due_at - time.monotonic())
                calls.create_task(loads[number % len(loads)].call())
                due_at, number = due_at + 1.0 / per_s, number + 1


async def watch_prefix(process: ProxyProcess, seen: list[tuple[float, int]]) -> None:
    """Note the prefix that `/state` shows, five times a second, until cancelled."""
    began_at = time.monotonic()
    while True:
        state = await asyncio.to_thread(process.state_of, "model")
        seen.append((time.monotonic() - began_at, state["prefix"]))
        await asyncio.sleep(0.2)


@pytest.mark.slow
async def test_the_prefix_follows_the_load_and_calls_stay_within_it(proxies: list[ProxyProcess]) -> None:
    """20, 150, 20 calls a second: few backends, many, few again; every call is 200 and within the prefix."""
    loads = [Load(process) for process in proxies]
    seen: list[list[tuple[float, int]]] = [[] for _ in proxies]
    watchers = [
        asyncio.create_task(watch_prefix(process, into)) for process, into in zip(proxies, seen, strict=True)
    ]
    try:
        await run_steps(loads)
    finally:
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        for load in loads:
            await load.close()
    answers = [message for load in loads for message in load.answers]
    assert len(answers) == sum(round(per_s * for_s) for per_s, for_s in STEPS)
    assert {message.status for message in answers} == {200}

    high_begins_s, high_ends_s = STEPS[0][1], STEPS[0][1] + STEPS[1][1]
    for prefixes in seen:
        calm = [prefix for at, prefix in prefixes if 2.0 < at < high_begins_s]
        high = [prefix for at, prefix in prefixes if high_begins_s + SETTLING_S < at < high_ends_s]
        assert max(calm) <= 5, prefixes
        assert min(high) >= 8, prefixes
        assert prefixes[-1][1] <= 5, prefixes
    assert abs(seen[0][-1][1] - seen[1][-1][1]) <= 1, (
        "the same inputs lead to the same prefix, without a word"
    )
    for load in loads:
        records = await asyncio.to_thread(load.process.records_of, "/model/predict", len(load.answers))
        assert all(1 <= record["backend_index"] <= record["prefix_size"] for record in records)
        by_id = {record["request_id"]: record for record in records}
        for message in load.answers:
            record = by_id[(message.one("x-request-id") or b"").decode()]
            told_index = int((message.one("x-backend") or b"0").partition(b":")[0])
            assert told_index == record["backend_index"], (
                "the backend that answered is not the one that was logged"
            )
