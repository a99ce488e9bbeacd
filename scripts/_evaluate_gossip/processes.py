"""A group of gossiping processes: started, killed, stopped and looked at from outside.

Knows process ids and the files that members write; what a member does is `member`'s matter.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from _evaluate_gossip.relay import RELAY_HOST, Relay

HOST = "127.0.0.1"
KEY = "a key of the group, of more than 16 bytes"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.02


class Count(NamedTuple):
    """From this moment on (monotonic, as all processes of a machine see it) a member counted so many."""

    at: float
    counted: int


class Group:
    """Members 0 to N-1 on loopback; with a relay, everything that they say passes through it."""

    def __init__(
        self, directory: Path, members_count: int, *, relayed: bool = False, watches: bool = True
    ) -> None:
        """Start them all, which takes the time of one start; the first two are the seeds."""
        self.ports = _free_ports(members_count)
        self.members_count = members_count
        self.relay = Relay(self.ports) if relayed else None
        self._directory = directory
        self._watches = watches
        self._pids: dict[int, int] = {}
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("member.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert self._parent.stdout is not None
            assert self._parent.stdout.readline() == "ready\n", "the members' parent did not start"
            for index in range(members_count):
                self.start(index)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Group":
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill all of them."""
        for index in list(self._pids):
            self.kill(index)
        for pipe in (self._parent.stdin, self._parent.stdout):
            if pipe is not None:
                pipe.close()
        self._parent.wait(10.0)
        if self.relay is not None:
            self.relay.close()

    # -- what is done to them --

    def start(self, index: int) -> None:
        """Start a member, anew if it ran before."""
        directory = self._directory / str(index)
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("counts", "state"):
            (directory / name).unlink(missing_ok=True)
        seed_host = HOST if self.relay is None else RELAY_HOST
        order = {
            "directory": str(directory),
            "name": f"m{index}",
            "host": HOST,
            "port": self.ports[index],
            "advertise": None if self.relay is None else RELAY_HOST,
            "seeds": [(seed_host, port) for port in self.ports[:2]],
            "key": KEY,
            "watches": self._watches,
        }
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(order) + "\n")
        self._parent.stdin.flush()
        self._pids[index] = int(self._parent.stdout.readline())

    def kill(self, index: int) -> None:
        """Kill a member without a word, and wait until it is gone."""
        pid = self._pids.pop(index)
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not Path(f"/proc/{pid}").exists(), 5.0, "a killed process to end")

    def send_signal(self, index: int, number: signal.Signals) -> None:
        """Stop a member, let it go on, or shift its wall clock (SIGUSR1)."""
        os.kill(self._pids[index], number)

    # -- what is seen of them --

    def living(self, but: Iterable[int] = ()) -> list[int]:
        """Return the members that run, except some."""
        return [index for index in self._pids if index not in but]

    def counts(self, index: int) -> list[Count]:
        """Return every change of a member's count since it started."""
        path = self._directory / str(index) / "counts"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        pairs = (line.split() for line in lines if line.endswith("\n"))
        return [Count(float(at), int(counted)) for at, counted in pairs]

    def state(self, index: int) -> dict[str, Any]:
        """Return what a member last wrote about itself; nothing before it has."""
        path = self._directory / str(index) / "state"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def changes_since(self, at: float, members: Sequence[int]) -> list[tuple[int, Count]]:
        """Return every change of these members' counts since a moment."""
        return [(index, count) for index in members for count in self.counts(index) if count.at >= at]

    def agreed_at(self, counted: int, members: Sequence[int], within_s: float) -> float:
        """Wait until these members all count so many; return the moment at which the last one began to."""

        def agreed() -> bool:
            last = [counts[-1].counted if (counts := self.counts(index)) else 0 for index in members]
            return all(each == counted for each in last)

        self.wait(agreed, within_s, f"{len(members)} members that count {counted}")
        return max(self.counts(index)[-1].at for index in members)

    def wait(self, condition: Any, within_s: float, what: str) -> None:
        """Wait for a condition; `AssertionError` when it does not come about."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {within_s} s in vain for {what}"
            time.sleep(_LOOK_S)

    def cpu_s(self, index: int) -> float:
        """CPU seconds of a member so far, user and system."""
        fields = Path(f"/proc/{self._pids[index]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _free_ports(count: int) -> list[int]:
    """Return ports that are free both where members listen and where the relay does."""
    ports: list[int] = []
    held: list[socket.socket] = []
    try:
        while len(ports) < count:
            here, there = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            held += (here, there)
            here.bind((HOST, 0))
            try:
                there.bind((RELAY_HOST, here.getsockname()[1]))
            except OSError:
                continue
            ports.append(here.getsockname()[1])
    finally:
        for each in held:
            each.close()
    return ports
