"""Members of a gossip as processes of their own: a parent that forks one for each line it is told.

Run by `processes.Group`. A member is `GossipEndpoint` alone, without the proxy around it, so that many start
in no time; it tells once a second what it expects, and writes down every change of its count as it happens.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.events import WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.vocabulary import BackendSpec, Decision, FrontendSpec, ServiceSpec, Sla
from swayam_proxy.live.gossip_udp import GossipEndpoint
from swayam_proxy.live.process import loop_factory
from swayam_proxy.live.settings import GossipSettings

SERVICE = ServiceSpec("digits", (BackendSpec("127.0.0.1:9"),), Sla(0.25, 0.99))
_DECIDE_S = 1.0
_LOOK_S = 0.02
_STATE_S = 0.1


class Member:
    """One member in a process of its own."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        """Prepare what the order says."""
        self._watches = bool(order["watches"])
        self._state_s = _STATE_S if self._watches else _DECIDE_S
        self._directory = Path(order["directory"])
        self._endpoint = GossipEndpoint(
            GossipSettings(
                host=order["host"],
                port=order["port"],
                advertise=order["advertise"],
                seeds=tuple((host, port) for host, port in order["seeds"]),
                keys=(order["key"].encode(),),
            ),
            order["name"],
            (SERVICE,),
            frontends_count=1,
            tell=lambda _: None,
            measured=_FRONTEND_OF_ALL.own_executions_now,
            counted=lambda _: int(40 * time.monotonic()),
        )
        self._counted = 0
        self._wall_s = 0.0

    async def run(self) -> None:
        """Gossip until killed."""
        await self._endpoint.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._shift_wall_clock)
        decide_at = state_at = 0.0
        with (self._directory / "counts").open("a", buffering=1) as counts:
            while True:
                now = time.monotonic()
                if now >= decide_at:
                    decide_at = now + _DECIDE_S
                    self._endpoint.decided(_FRONTEND_OF_ALL.decision)
                if self._watches:
                    self._look(now, counts.write)
                if now >= state_at:
                    state_at = now + self._state_s
                    self._write_state(now)
                await asyncio.sleep(_LOOK_S if self._watches else self._state_s)

    def _look(self, now: float, write: Any) -> None:
        view = self._endpoint.peers()
        if view is not None and view.frontends_count != self._counted:
            self._counted = view.frontends_count
            write(f"{now} {self._counted}\n")

    def _write_state(self, now: float) -> None:
        snapshot = self._endpoint.snapshot()
        if snapshot is None:
            return
        state = {
            "at": now,
            "wall": time.time(),
            "counted": snapshot.frontends_count,
            "rejected": sum(snapshot.rejected.values()),
            "sent_bytes": snapshot.sent_bytes,
            "sent": sum(snapshot.sent.values()),
        }
        beside = self._directory / "state.new"
        beside.write_text(json.dumps(state))
        beside.rename(self._directory / "state")

    def _shift_wall_clock(self) -> None:
        """Let the wall clock of this process jump: an hour ahead, then two hours back."""
        self._wall_s = 3600.0 if self._wall_s == 0.0 else -3600.0
        shift_s, true_time, true_time_ns = self._wall_s, _TRUE_TIME, _TRUE_TIME_NS
        time.time = lambda: true_time() + shift_s
        time.time_ns = lambda: true_time_ns() + int(shift_s * 1e9)


_TRUE_TIME, _TRUE_TIME_NS = time.time, time.time_ns


class _FrontendOfAll:
    """One decision and its statistics, which all members publish again and again."""

    def __init__(self) -> None:
        """Let a frontend see forty requests a second for ten seconds."""
        self._frontend = Frontend(FrontendSpec("f", (SERVICE,)), Random(1), 0.0)
        self._frontend.handle(WakeupCame(), 0.0)
        for number in range(400):
            self._frontend.admit(SERVICE.name, number / 40)
        commands = self._frontend.handle(WakeupCame(), 10.0)
        self.decision: Decision = next(each.decision for each in commands if isinstance(each, RecordDecision))

    def own_executions_now(self, service_name: str) -> Any:
        """Return what was measured."""
        return self._frontend.own_executions(service_name, 10.0)


_FRONTEND_OF_ALL = _FrontendOfAll()


def main() -> None:
    """Fork a member for each line of standard input, and answer with its process id; end with the input."""
    signal.signal(signal.SIGCHLD, _reap)
    print("ready", flush=True)  # the parent waits for it
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sys.stdin.close()
            with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
                runner.run(Member(json.loads(line)).run())
        print(child, flush=True)


def _reap(_: int, __: FrameType | None) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
