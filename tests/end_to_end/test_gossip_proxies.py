"""Whole proxies that gossip: one killed, one added, one drained under load; keys changed while they run."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from swayam_proxy.cli.launching import free_udp_ports
from swayam_proxy.core.model.capacity import least_backends
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.vocabulary import DispatchPolicy
from tests.end_to_end.paced_load import PacedLoad, TimedBackends
from tests.end_to_end.proxy_process import ProxyProcess, toml_of, wait_for

RATE_PER_S = 200.0
EXECUTION_S = 0.05
BACKENDS_COUNT = 30
OLD, NEW = "the old key, of more than 16 bytes", "the new key, of more than 16 bytes"

pytestmark = pytest.mark.slow


class Proxies:
    """Proxies that gossip with one another, before the same backends."""

    def __init__(self, directory: Path, count: int, backends: list[str]) -> None:
        self._directory = directory
        self._backends = backends
        self.ports = free_udp_ports(count)
        self.all = [
            ProxyProcess(directory / f"p{index}", self.config(index, [OLD])) for index in range(count)
        ]

    def config(self, index: int, keys: list[str]) -> dict[str, Any]:
        """Return the configuration of one proxy."""
        digits = {
            "backends": self._backends,
            "dispatch": "p2c",
            "sla": {"response_time": "1s", "level": 0.99, "burst": 1.3},
            "execution_time": f"{EXECUTION_S}s",
            "shrink_hold": "1s",
        }
        gossip = {
            "port": self.ports[index],
            "seeds": [f"127.0.0.1:{port}" for port in self.ports[:2]],
            "keys": keys,
            "forget": "2s",
        }
        return {
            "listen": {"host": "127.0.0.1", "port": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "timeouts": {"response_head": "4s"},
            "process": {"decision_log": str(self._decision_log(index))},
            "peers": {"gossip": gossip},
            "services": {"digits": digits},
        }

    async def start(self, *indices: int) -> None:
        """Start some at the same time."""
        await asyncio.gather(*(asyncio.to_thread(self.all[index].start) for index in indices))

    def prefixes(self, index: int, since: float) -> list[int]:
        """Return the n of each decision of a proxy since a moment of the wall clock."""
        lines = self._decision_log(index).read_text().splitlines(keepends=True)
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each["prefix"] for each in records if datetime.fromisoformat(each["ts"]).timestamp() >= since]

    def _decision_log(self, index: int) -> Path:
        return self._directory / f"decisions-{index}.jsonl"

    async def expect(self, count: int, *indices: int, within_s: float = 6.0) -> None:
        """Wait until each of these proxies counts so many."""

        def agreed() -> bool | None:
            return True if all(self.counted(index) == count for index in indices) else None

        await asyncio.to_thread(wait_for, agreed, within_s, f"proxies {indices} that count {count}")

    def counted(self, index: int) -> int:
        """Return how many members a proxy counts."""
        _, body = self.all[index].admin_get("/peers")
        return sum(member["state"] in ("alive", "suspect") for member in json.loads(body)["members"])


@pytest.fixture
async def backends() -> AsyncIterator[TimedBackends]:
    """Enough backends for everything."""
    made = TimedBackends(EXECUTION_S)
    await made.start(BACKENDS_COUNT)
    yield made
    await made.stop()


@pytest.fixture
def proxies_of(tmp_path: Path) -> Any:
    """Make proxies that are killed at the end."""
    made: list[Proxies] = []

    def make(count: int, backends: list[str]) -> Proxies:
        made.append(Proxies(tmp_path, count, backends))
        return made[-1]

    yield make
    for group in made:
        for proxy in group.all:
            proxy.kill()


def needed_backends(load_per_s: float) -> int:
    """Return what the promise needs at that load, by the model."""
    service = LogNormal.of_mean_cv(EXECUTION_S, 0.05)
    return least_backends(load_per_s, service, 1.0, 0.99, policy=DispatchPolicy.P2C, frontends_count=4).needs


async def test_the_others_serve_on_when_one_is_killed_one_added_and_one_drained(
    proxies_of: Callable[[int, list[str]], Proxies], backends: TimedBackends
) -> None:
    """At 200 requests a second none fails at the others, and their n stays what all of the load needs."""
    group = proxies_of(5, backends.addresses)
    await group.start(0, 1, 2, 3)
    await group.expect(4, 0, 1, 2, 3)
    doomed = group.all[3].endpoint
    async with PacedLoad(RATE_PER_S) as load:
        load.targets = [proxy.endpoint for proxy in group.all[:4]]
        await asyncio.sleep(4.0)
        steady_at, steady_wall_at = time.monotonic(), time.time()
        load.targets.remove(doomed)
        group.all[3].kill()
        await group.expect(3, 0, 1, 2)
        await group.start(4)
        load.targets.append(group.all[4].endpoint)
        await group.expect(4, 0, 1, 2, 4)
        await asyncio.sleep(0.5)
        await drain_one(group, load)
        await asyncio.sleep(0.5)
    load.failures.pop(doomed, None)  # what it had when it was killed is lost, which is no fault of the others
    assert load.failures == {}
    sent_count = sum(at >= steady_at for at in load.sent_at)
    needed = needed_backends(sent_count / (load.sent_at[-1] - steady_at))
    for index in (0, 1):
        prefixes = group.prefixes(index, steady_wall_at)
        assert len(prefixes) >= 4
        assert min(prefixes) >= needed, f"proxy {index} used {prefixes} backends"


async def drain_one(group: Proxies, load: PacedLoad) -> None:
    """Drain proxy 2 while it serves a slow request: it says good-bye at once, and serves it to the end."""
    proxy = group.all[2]
    slow = asyncio.create_task(asyncio.to_thread(ask, proxy.endpoint, "/digits/slow"))
    await asyncio.sleep(0.2)
    load.targets = [target for target in load.targets if target != proxy.endpoint]
    proxy.process.send_signal(signal.SIGTERM)
    await group.expect(3, 0, 1, 4, within_s=1.5)
    assert proxy.process.poll() is None
    assert not slow.done()
    status = await slow

    assert status == 200


def ask(endpoint: tuple[str, int], path: str) -> int:
    """Return the status of one request."""
    connection = HTTPConnection(*endpoint, timeout=10.0)
    try:
        connection.request("POST", path, b"{}")
        return connection.getresponse().status
    finally:
        connection.close()


async def test_f49_keys_are_added_promoted_and_retired_while_all_run(
    proxies_of: Callable[[int, list[str]], Proxies],
) -> None:
    """The file is changed and SIGHUP sent, one proxy after the other: nobody is ever counted out."""
    group = proxies_of(3, ["127.0.0.1:9"])
    await group.start(0, 1, 2)
    await group.expect(3, 0, 1, 2)
    for step, keys in enumerate(([OLD, NEW], [NEW, OLD], [NEW]), start=1):
        for index, proxy in enumerate(group.all):
            change_keys(proxy, group.config(index, keys))
            await asyncio.to_thread(
                wait_for, lambda p=proxy, n=step: p.stderr().count("keys taken up") == n or None, 5.0, "keys"
            )
        await asyncio.sleep(1.6)  # longer than it takes to count somebody out
    proxy = group.all[0]
    change_keys(proxy, {**group.config(0, ["short"])})
    await asyncio.to_thread(
        wait_for, lambda: "keys stay as they are" in proxy.stderr() or None, 5.0, "the refusal"
    )
    assert [group.counted(index) for index in range(3)] == [3, 3, 3]
    for proxy in group.all:
        assert "is gone" not in proxy.stderr()
        assert NEW not in proxy.stderr()


def change_keys(proxy: ProxyProcess, config: dict[str, Any]) -> None:
    """Write a file with other keys, and tell the process."""
    config["process"]["access_log"] = str(proxy.access_log_path)
    proxy.config_path.write_text(toml_of(config))
    proxy.process.send_signal(signal.SIGHUP)
