"""Gossip between real proxy processes on loopback: fault matrix rows F40 to F42, F45 to F47 and F49.

Eight processes share one group. Counting is asked of each one's admin address; times are those of the matrix,
plus what asking eight processes takes.
"""

import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swayam_proxy.cli.launching import free_udp_ports
from tests.end_to_end.proxy_process import ProxyProcess, wait_for

MEMBERS_COUNT = 8
KEY = "a key of the group, of more than 16 bytes"
ASKING_S = 1.0
"""Asking all processes one after another takes this long at most on a busy machine."""

pytestmark = pytest.mark.slow


def _config(index: int, ports: list[int], keys: list[str]) -> dict[str, object]:
    return {
        "listen": {"host": "127.0.0.1", "port": 0},
        "admin": {"host": "127.0.0.1", "port": 0},
        "process": {"log_level": "warning"},
        "peers": {
            "gossip": {
                "port": ports[index],
                "seeds": [f"127.0.0.1:{port}" for port in ports[:2]],
                "keys": keys,
                "forget": "500ms",
            }
        },
        "services": {
            "digits": {"backends": ["127.0.0.1:9"], "sla": {"response_time": "250ms", "level": 0.99}}
        },
    }


class Group:
    """Proxies that gossip with one another."""

    def __init__(self, directory: Path, count: int) -> None:
        self.ports = free_udp_ports(count)
        self.proxies = [
            ProxyProcess(directory / f"p{index}", _config(index, self.ports, [KEY])) for index in range(count)
        ]

    def start(self) -> None:
        """Start all of them."""
        for proxy in self.proxies:
            proxy.start()

    @staticmethod
    def counted(proxy: ProxyProcess) -> int:
        """Return how many members a proxy counts: alive and suspect ones."""
        _, body = proxy.admin_get("/peers")
        return sum(member["state"] in ("alive", "suspect") for member in json.loads(body)["members"])

    def expect(self, count: int, within_s: float, but: tuple[int, ...] = ()) -> None:
        """Wait until every proxy that is not left out counts so many."""
        proxies = [proxy for index, proxy in enumerate(self.proxies) if index not in but]

        def agreed() -> bool | None:
            return True if all(self.counted(proxy) == count for proxy in proxies) else None

        wait_for(agreed, within_s + ASKING_S, f"{len(proxies)} proxies that count {count}")


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Eight proxies that have found each other."""
    made = Group(tmp_path_factory.mktemp("gossip"), MEMBERS_COUNT)
    try:
        made.start()
        made.expect(MEMBERS_COUNT, 5.0)
        yield made
    finally:
        for proxy in made.proxies:
            proxy.kill()


def test_f40_a_killed_proxy_is_counted_out_within_two_seconds(group: Group) -> None:
    """Kill -9 of one of eight: the other seven show seven; started again, all show eight."""
    victim = group.proxies[7]
    victim.kill()
    group.expect(MEMBERS_COUNT - 1, 2.0, but=(7,))
    victim.start()
    group.expect(MEMBERS_COUNT, 2.0)


def test_f41_a_pause_of_600_ms_changes_nothing(group: Group) -> None:
    """SIGSTOP for 0.6 s, then SIGCONT: nobody counts fewer at any time."""
    paused = group.proxies[5].process
    paused.send_signal(signal.SIGSTOP)
    resume_at, until = time.monotonic() + 0.6, time.monotonic() + 2.5
    seen = set()
    while time.monotonic() < until:
        if resume_at and time.monotonic() >= resume_at:
            paused.send_signal(signal.SIGCONT)
            resume_at = 0.0
        seen |= {group.counted(group.proxies[index]) for index in (0, 3)}
    assert seen == {MEMBERS_COUNT}


def test_f42_a_long_pause_removes_and_a_woken_proxy_accuses_nobody(group: Group) -> None:
    """Stopped for longer than the bound it is counted out; woken, all count all again within a second."""
    paused = group.proxies[5].process
    paused.send_signal(signal.SIGSTOP)
    group.expect(MEMBERS_COUNT - 1, 3.0, but=(5,))
    hold_until = time.monotonic() + 4.0
    wait_for(lambda: True if time.monotonic() >= hold_until else None, 5.0, "the pause to last")
    paused.send_signal(signal.SIGCONT)
    group.expect(MEMBERS_COUNT, 1.0)
    assert group.counted(group.proxies[5]) == MEMBERS_COUNT


def test_f47_junk_is_dropped_without_noise(group: Group) -> None:
    """Ten thousand datagrams in a second, random, cut or oversized: F stays, little CPU, no log line."""
    target = group.proxies[0]
    rng = random.Random(47)
    before_s, began, stderr_before = target.cpu_s(), time.monotonic(), target.stderr()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            for _ in range(100):
                junk = rng.randbytes(rng.choice((3, 40, 300, 1400, 4000)))
                sender.sendto(junk, ("127.0.0.1", group.ports[0]))
            began += 0.01
            while time.monotonic() < began:  # a second in all: nothing to wait for but the clock
                pass
    spent_s = target.cpu_s() - before_s
    assert spent_s < 0.75, f"{spent_s} s of CPU for 10,000 datagrams"
    group.expect(MEMBERS_COUNT, 1.0)
    assert target.stderr() == stderr_before
    assert not target.new_complaints()


def test_f49_a_key_is_changed_without_losing_anyone(tmp_path: Path) -> None:
    """New key everywhere, then first, then the old one dropped: restarts by turn lose nobody."""
    trio = Group(tmp_path, 3)
    new = "another key of the group, as long"
    try:
        trio.start()
        trio.expect(3, 5.0)
        for keys in ([KEY, new], [new, KEY], [new]):
            for index, proxy in enumerate(trio.proxies):
                assert proxy.stop() == 0
                proxy.config = {**proxy.config, **_config(index, trio.ports, keys)}
                proxy.config["process"] = {"access_log": str(proxy.access_log_path), "log_level": "warning"}
                proxy.start()
                trio.expect(3, 3.0)
    finally:
        for proxy in trio.proxies:
            proxy.kill()
