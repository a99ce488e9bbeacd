"""Which services of one machine may be set up: never more at a time than it has room for, and who gives way.

Pure rules, run by the process that stands before a machine's model servers and by the simulator. A service
takes room from the order to set it up until its model server has ended. Where there is none, in this order:

1. A service that nobody wants gives way: it runs nothing and was not asked for in the last seconds.
2. A service that rests gives way, if it is wanted no more than the new one: it has been idle for some
   seconds, and for as long as its set-up takes, since whoever keeps a thing for as long as it costs to get it
   back pays at most double.
3. A service that is wanted less gives way, idle or not.
4. The order is refused: the machine is full.

How much a service is wanted is the claim that its orders carry, the less the stronger: 0 while it has no more
backends than its least number, then 1, 2, ... for each further one. Orders of a service that nobody calls
tell one more, so that two which both rest leave each other alone. Nobody goes back and forth: whoever has
made way has no more than the other, and can displace it only once that rests.

So no service is kept below its least number by others that are above theirs, what room is left over is shared
as evenly as the loads ask for, and where services outnumber the room, those that are not called make way for
those that are. Whoever gives way drains: none of its requests fails.
"""

from dataclasses import dataclass
from enum import Enum, auto

from swayam_proxy.core.vocabulary import BackendState

SPARE_S = 5.0
"""Frontends order anew every two seconds what they want: two such orders may be lost."""
REST_S = 5.0
"""Shorter, and services that are called now and then push each other out again and again."""
CLAIM_NONE = 1
"""The claim of an order that tells none."""
_CLAIM_S = 6.0


class Answer(Enum):
    """What becomes of an order to set a service up."""

    GO = auto()
    """There is room, which is its own from now on."""
    WAIT = auto()
    """Another service gives way; the room will be its own."""
    FULL = auto()


@dataclass(frozen=True, slots=True)
class Occupant:
    """A service that takes room, as its sidecar sees it now."""

    name: str
    state: BackendState
    is_busy: bool
    """It runs a request, or has leased a slot, or requests wait for one."""
    wanted_at: float
    """When it last ran a request, or was asked for."""
    used_at: float
    """When it last ran a request, or became warm."""
    setup_s: float
    """How long its last set-up took."""


class Machine:
    """The room of one machine."""

    __slots__ = ("_claims", "_inside", "_rest_s", "_waiting", "room_count")

    def __init__(self, room_count: int, rest_s: float = REST_S) -> None:
        """Have room for so many services at a time, and none of them inside.

        A service must be idle for `rest_s`, and for the time of its set-up, to give way by rule 2.
        """
        self.room_count = room_count
        self._rest_s = rest_s
        self._inside: set[str] = set()
        self._waiting: list[str] = []
        self._claims: dict[str, dict[str, tuple[int, float]]] = {}
        """By service and by who told it: the claim, and until when it holds."""

    @property
    def inside(self) -> frozenset[str]:
        """The services that take room."""
        return frozenset(self._inside)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The services that others make way for, first come, first served."""
        return tuple(self._waiting)

    def claimed(self, name: str, claim: int, by: str, now: float) -> None:
        """Take in how much a frontend wants a service here; it holds for some seconds."""
        told = self._claims.setdefault(name, {})
        if by not in told:
            self._forget_claims(told, now)  # frontends come and go
        told[by] = (claim, now + _CLAIM_S)

    def claim_of(self, name: str, now: float) -> int:
        """Return the strongest claim that was told of late."""
        told = self._claims.get(name, {})
        self._forget_claims(told, now)
        return min((claim for claim, _ in told.values()), default=CLAIM_NONE)

    @staticmethod
    def _forget_claims(told: dict[str, tuple[int, float]], now: float) -> None:
        for by in [by for by, (_, until) in told.items() if until <= now]:
            del told[by]

    def ask(self, name: str, claim: int, occupants: list[Occupant], now: float) -> tuple[Answer, str | None]:
        """Let a cold service in, if it may; return also who gives way for it, where somebody must begin to.

        `occupants` are those inside.
        """
        if name in self._inside:
            return Answer.GO, None
        if name in self._waiting:
            return Answer.WAIT, None
        if len(self._inside) < self.room_count:
            self._inside.add(name)
            return Answer.GO, None
        leaving_count = sum(each.state is BackendState.DRAINING for each in occupants)
        if leaving_count > len(self._waiting):
            self._waiting.append(name)
            return Answer.WAIT, None
        victim = self._who_gives_way(claim, occupants, now)
        if victim is None:
            return Answer.FULL, None
        self._waiting.append(name)
        return Answer.WAIT, victim

    def left(self, name: str) -> str | None:
        """Take in that a service's model server has ended; return who may be started in its room."""
        if name in self._waiting:
            self._waiting.remove(name)  # given up before its turn came
            return None
        if name not in self._inside:
            return None
        self._inside.remove(name)
        if not self._waiting:
            return None
        following = self._waiting.pop(0)
        self._inside.add(following)
        return following

    def _who_gives_way(self, claim: int, occupants: list[Occupant], now: float) -> str | None:
        warm = [each for each in occupants if each.state is BackendState.WARM]
        idle = [each for each in warm if not each.is_busy]
        spare = [each for each in idle if now - each.wanted_at >= SPARE_S]
        if spare:
            return min(spare, key=lambda each: (each.wanted_at, each.name)).name
        claims = {each.name: self.claim_of(each.name, now) for each in warm}
        resting = [
            each
            for each in idle
            if claims[each.name] >= max(1, claim) and now - each.used_at >= max(self._rest_s, each.setup_s)
        ]
        weaker = resting or [each for each in warm if claims[each.name] > claim]
        if not weaker:
            return None
        return max(
            weaker, key=lambda each: (not each.is_busy, claims[each.name], -each.used_at, each.name)
        ).name
