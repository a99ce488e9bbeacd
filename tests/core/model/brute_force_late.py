"""Late binding played out message by message: try, hold, grant, cancel, give back, idle hints.

Shares no code with the package. One-way trips take half a round trip each. The rules, from the design:

- A request first tries up to `tries` backends that its frontend does not know to be busy, those first that
  told this frontend that they are idle. A sidecar with a free slot runs it; any other refuses and remembers
  nothing.
- Then it is held at `holds` different backends. A sidecar with a free slot grants the oldest hold; the slot
  is leased until the request or its "not needed" comes. The first grant wins, the others are cancelled.
- A sidecar that falls free and has no hold tells one random frontend.

A frontend knows a backend as busy while it runs a request of its own there, and for one mean execution time
after a refusal.
"""

from heapq import heapify, heappop, heappush

import numpy as np

from tests.core.model.brute_force import Sampler, Waits

_ARRIVE, _TRY, _REFUSED, _HOLD, _GRANT, _USE, _GIVE_BACK, _CANCEL, _FINISH, _HINT = range(10)


class _Sidecar:
    __slots__ = ("free", "holds")

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.holds: list[int] = []
        """Requests, as a heap: their numbers are in the order of arrival."""


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
        hints: bool,
    ) -> None:
        self.times = np.cumsum(rng.exponential(1.0 / rate, count)).tolist()
        self.origins = rng.integers(0, frontends, count).tolist()
        self.services = sampler(rng, (count,)).tolist()
        self.mean_s = float(np.mean(self.services))
        self.n, self.holds_count, self.tries, self.hints = n, min(holds, n), tries, hints
        self.frontends, self.half = frontends, round_trip_s / 2.0
        self.sidecars = [_Sidecar(slots) for _ in range(n)]
        self.idle: list[dict[int, None]] = [{} for _ in range(frontends)]
        self.busy_until = [[0.0] * n for _ in range(frontends)]
        self.running = [[0] * n for _ in range(frontends)]
        self.placed: list[list[int]] = [[] for _ in range(count)]
        self.bound = bytearray(count)
        self.tried = bytearray(count)
        self.waits = [0.0] * count
        self.messages = 0
        self.rng = rng
        self._draws: list[float] = []
        self.events: list[tuple[float, int, int, int]] = [
            (t, _ARRIVE, k, -1) for k, t in enumerate(self.times)
        ]
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
            self.cancel, self.finish, self.hint,
        )  # fmt: skip
        events = self.events
        while events:
            now, kind, k, b = heappop(events)
            act[kind](now, k, b)
        return np.array(self.waits[len(self.waits) // 10 :])

    # -- at the frontend --

    def seek(self, now: float, k: int, b: int) -> None:
        f = self.origins[k]
        if self.tried[k] < self.tries:
            self.tried[k] += 1
            known = self.idle[f]
            b = -1
            if known:
                b = next(iter(known))
                del known[b]
            else:
                for _ in range(4):
                    c = self.draw(self.n)
                    if not self.running[f][c] and self.busy_until[f][c] <= now:
                        b = c
                        break
            if b >= 0:
                self.send(now, _TRY, k, b)
                return
        places: list[int] = []
        while len(places) < self.holds_count:
            b = self.draw(self.n)
            if b not in places:
                places.append(b)
        self.placed[k] = places
        for b in places:
            self.send(now, _HOLD, k, b)

    def refused(self, now: float, k: int, b: int) -> None:
        self.busy_until[self.origins[k]][b] = now + self.mean_s
        self.seek(now, k, b)

    def grant(self, now: float, k: int, b: int) -> None:
        if self.bound[k]:
            self.send(now, _GIVE_BACK, k, b)
            return
        self.bound[k] = 1
        self.send(now, _USE, k, b)
        for other in self.placed[k]:
            if other != b:
                self.send(now, _CANCEL, k, other)

    def hint(self, now: float, f: int, b: int) -> None:
        self.idle[f][b] = None
        self.busy_until[f][b] = 0.0

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
        self.running[self.origins[k]][b] += 1
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
        self.running[self.origins[k]][b] -= 1
        self.give_back(now, k, b)

    def give_back(self, now: float, k: int, b: int) -> None:
        sidecar = self.sidecars[b]
        if sidecar.holds:
            self.send(now, _GRANT, heappop(sidecar.holds), b)
            return
        sidecar.free += 1
        if self.hints:
            self.send(now, _HINT, self.draw(self.frontends), b)


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
    hints: bool = True,
) -> tuple[Waits, float]:
    """Return waiting times, which include the trips there and back, and one-way messages per request."""
    world = _World(
        rng, rate, n, sampler, count,
        frontends=frontends, holds=holds, round_trip_s=round_trip_s, tries=tries, slots=slots, hints=hints,
    )  # fmt: skip
    waits = world.run()
    return waits, world.messages / count
