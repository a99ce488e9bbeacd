"""Late binding played out message by message: try, hold, grant, cancel, give back, idle hints.

Shares no code with the package. One-way trips take half a round trip each. The rules, from the design and
docs/sidecar-protocol.md:

- A request tries up to `tries` backends: those first that told its frontend that they are idle, the latest
  news first, and at most one blindly, of those where the frontend has nothing running and was not refused
  for half an execution. A sidecar with a free slot runs it; any other refuses and remembers nothing.
- Then it waits in its frontend and is held at `holds` different backends, those thought idle first. A sidecar
  with a free slot grants the oldest hold; the slot is leased until the request or its "not needed" comes. The
  first grant wins, the other holds are cancelled. While requests wait in a frontend, new ones do not try.
- The answer of a backend that has no hold then says so: the frontend sends the request that waited longest
  there, or keeps the news. A slot that is given back is announced to one random frontend.
"""

from heapq import heapify, heappop, heappush

import numpy as np

from tests.core.model.brute_force import Sampler, Waits

_ARRIVE, _TRY, _REFUSED, _HOLD, _GRANT, _USE, _GIVE_BACK, _CANCEL, _FINISH, _IDLE = range(10)


class _Sidecar:
    __slots__ = ("free", "holds")

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.holds: list[int] = []
        """Requests, as a heap: their numbers are in the order of arrival."""


class _Frontend:
    __slots__ = ("busy_until", "idle", "running", "waiting")

    def __init__(self, n: int) -> None:
        self.idle: dict[int, None] = {}
        """Backends that said they are idle, the latest last."""
        self.busy_until = [0.0] * n
        self.running = [0] * n
        self.waiting: dict[int, None] = {}
        """Requests in the order in which they began to wait."""


class _World:
    def __init__(
        self,
        rng: np.random.Generator,
        rate: float,
        n: int,
        sampler: Sampler,
        count: int,
        *,
        frontends: int,
        holds: int,
        round_trip_s: float,
        tries: int,
        slots: int,
    ) -> None:
        self.times = np.cumsum(rng.exponential(1.0 / rate, count)).tolist()
        self.origins = rng.integers(0, frontends, count).tolist()
        self.services = sampler(rng, (count,)).tolist()
        self.busy_memory_s = 0.5 * float(np.mean(self.services))
        self.n, self.slots, self.holds_count, self.tries = n, slots, min(holds, n), tries
        self.half = round_trip_s / 2.0
        self.sidecars = [_Sidecar(slots) for _ in range(n)]
        self.frontends = [_Frontend(n) for _ in range(frontends)]
        self.held_at: dict[int, list[int]] = {}
        self.tried = [0] * count
        self.waits = [0.0] * count
        self.messages = 0
        self.rng = rng
        self._draws: list[float] = []
        self.events = [(t, _ARRIVE, k, -1) for k, t in enumerate(self.times)]
        heapify(self.events)

    def draw(self, below: int) -> int:
        if not self._draws:
            self._draws = self.rng.random(1 << 14).tolist()
        return int(self._draws.pop() * below)

    def send(self, now: float, kind: int, k: int, b: int) -> None:
        self.messages += 1
        heappush(self.events, (now + self.half, kind, k, b))

    def run(self) -> Waits:
        act = (
            self.seek, self.try_at, self.refused, self.hold, self.grant, self.begin, self.give_back,
            self.cancel, self.finish, self.idle,
        )  # fmt: skip
        events = self.events
        while events:
            now, kind, k, b = heappop(events)
            act[kind](now, k, b)
        return np.array(self.waits[len(self.waits) // 10 :])

    # -- at the frontend --

    def hinted(self, frontend: _Frontend) -> int:
        while frontend.idle:
            b, _ = frontend.idle.popitem()
            if frontend.running[b] < self.slots:
                return b
        return -1

    def seek(self, now: float, k: int, b: int) -> None:
        frontend = self.frontends[self.origins[k]]
        b = -1
        if not frontend.waiting and self.tried[k] < self.tries:
            b = self.hinted(frontend)
            if b < 0 and self.tried[k] == 0:
                for _ in range(4):
                    c = self.draw(self.n)
                    if not frontend.running[c] and frontend.busy_until[c] <= now:
                        b = c
                        break
        if b >= 0:
            self.try_out(now, k, b, frontend)
        else:
            self.wait(now, k, frontend)

    def try_out(self, now: float, k: int, b: int, frontend: _Frontend) -> None:
        self.tried[k] += 1
        frontend.running[b] += 1
        self.send(now, _TRY, k, b)

    def wait(self, now: float, k: int, frontend: _Frontend) -> None:
        places: list[int] = []
        while len(places) < self.holds_count and (b := self.hinted(frontend)) >= 0:
            places.append(b)
        while len(places) < self.holds_count:
            b = self.draw(self.n)
            if b not in places:
                places.append(b)
        frontend.waiting[k] = None
        self.held_at[k] = places
        for b in places:
            self.send(now, _HOLD, k, b)

    def refused(self, now: float, k: int, b: int) -> None:
        frontend = self.frontends[self.origins[k]]
        frontend.running[b] -= 1
        frontend.idle.pop(b, None)
        frontend.busy_until[b] = now + self.busy_memory_s
        self.seek(now, k, b)

    def grant(self, now: float, k: int, b: int) -> None:
        places = self.held_at.get(k)
        if places is None or b not in places:
            self.send(now, _GIVE_BACK, k, b)
            return
        places.remove(b)
        frontend = self.frontends[self.origins[k]]
        self.leave(now, k, frontend)
        frontend.running[b] += 1
        self.send(now, _USE, k, b)

    def leave(self, now: float, k: int, frontend: _Frontend) -> None:
        del frontend.waiting[k]
        for b in self.held_at.pop(k):
            self.send(now, _CANCEL, k, b)

    def idle(self, now: float, f: int, b: int) -> None:
        frontend = self.frontends[f]
        frontend.busy_until[b] = 0.0
        frontend.idle.pop(b, None)
        frontend.idle[b] = None
        if frontend.waiting and (b := self.hinted(frontend)) >= 0:
            k = next(iter(frontend.waiting))
            self.leave(now, k, frontend)
            self.try_out(now, k, b, frontend)

    # -- at the sidecar --

    def try_at(self, now: float, k: int, b: int) -> None:
        sidecar = self.sidecars[b]
        if sidecar.free:
            sidecar.free -= 1
            self.begin(now, k, b)
        else:
            self.send(now, _REFUSED, k, b)

    def begin(self, now: float, k: int, b: int) -> None:
        self.waits[k] = now - self.times[k] + self.half
        heappush(self.events, (now + self.services[k], _FINISH, k, b))

    def hold(self, now: float, k: int, b: int) -> None:
        sidecar = self.sidecars[b]
        if sidecar.free:
            sidecar.free -= 1
            self.send(now, _GRANT, k, b)
        else:
            heappush(sidecar.holds, k)

    def cancel(self, now: float, k: int, b: int) -> None:
        holds = self.sidecars[b].holds
        if k in holds:
            holds.remove(k)
            heapify(holds)

    def finish(self, now: float, k: int, b: int) -> None:
        f = self.origins[k]
        # that the answer is still on its way to the frontend is of no consequence here
        self.frontends[f].running[b] -= 1
        if self.next_hold(now, b):
            heappush(self.events, (now + self.half, _IDLE, f, b))

    def give_back(self, now: float, k: int, b: int) -> None:
        if self.next_hold(now, b):
            self.send(now, _IDLE, self.draw(len(self.frontends)), b)

    def next_hold(self, now: float, b: int) -> bool:
        """Give the slot that has fallen free to the oldest hold; tell whether nobody holds."""
        sidecar = self.sidecars[b]
        if sidecar.holds:
            self.send(now, _GRANT, heappop(sidecar.holds), b)
            return False
        sidecar.free += 1
        return True


def late_binding(
    rng: np.random.Generator,
    rate: float,
    n: int,
    sampler: Sampler,
    count: int,
    *,
    frontends: int,
    holds: int = 3,
    round_trip_s: float = 0.0005,
    tries: int = 2,
    slots: int = 1,
) -> tuple[Waits, float]:
    """Return waiting times, which include the trips there and back, and one-way messages per request."""
    world = _World(
        rng, rate, n, sampler, count,
        frontends=frontends, holds=holds, round_trip_s=round_trip_s, tries=tries, slots=slots,
    )  # fmt: skip
    waits = world.run()
    return waits, world.messages / count
