"""The room of one machine: how many are inside, who gives way to whom, who is refused."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swayam_proxy.core.machine import SPARE_S, Answer, Machine, Occupant
from swayam_proxy.core.vocabulary import BackendState

WARMING, WARM, DRAINING = BackendState.WARMING, BackendState.WARM, BackendState.DRAINING
NOW = 100.0


def occupant(
    name: str, state: BackendState = WARM, *, busy: bool = True, wanted_at: float = NOW, used_at: float = NOW
) -> Occupant:
    """Return a service inside, warm and busy unless told; its set-up took 8 s."""
    return Occupant(name, state, busy, wanted_at, used_at, 8.0)


def full_machine(*names: str) -> Machine:
    """Return a machine whose room these take."""
    machine = Machine(len(names))
    for name in names:
        assert machine.ask(name, 1, [], NOW) == (Answer.GO, None)
    return machine


def test_room_is_taken_until_the_server_has_ended() -> None:
    """So many may enter; who is inside may be set up again; the next gets in when one has left."""
    machine = full_machine("a", "b")
    assert machine.ask("a", 1, [], NOW) == (Answer.GO, None)
    inside = [occupant("a"), occupant("b")]
    assert machine.ask("c", 1, inside, NOW) == (Answer.FULL, None)
    assert machine.left("a") is None
    assert machine.ask("c", 1, [occupant("b")], NOW) == (Answer.GO, None)
    assert machine.inside == {"b", "c"}


def test_the_service_that_nobody_wanted_for_longest_gives_way() -> None:
    """Idle for a while and not asked for: it goes, whatever its claim was; one that is wanted stays."""
    machine = full_machine("a", "b", "c")
    inside = [
        occupant("a", busy=False, wanted_at=NOW - SPARE_S - 1.0),
        occupant("b", busy=False, wanted_at=NOW - SPARE_S - 2.0),
        occupant("c", busy=False, wanted_at=NOW - 1.0),
    ]
    machine.claimed("b", 0, "f", NOW - SPARE_S - 2.0)
    assert machine.ask("d", 9, inside, NOW) == (Answer.WAIT, "b")
    inside[1] = occupant("b", DRAINING)
    assert machine.ask("d", 9, inside, NOW) == (Answer.WAIT, None), "it waits already"
    assert machine.ask("e", 9, inside, NOW) == (Answer.WAIT, "a")
    assert machine.left("b") == "d"
    assert machine.inside == {"a", "c", "d"}


def test_who_is_leaving_anyway_leaves_room() -> None:
    """A service that drains of itself makes way for one that asks, and for one only."""
    machine = full_machine("a", "b")
    inside = [occupant("a", DRAINING), occupant("b")]
    assert machine.ask("c", 3, inside, NOW) == (Answer.WAIT, None)
    assert machine.ask("d", 3, inside, NOW) == (Answer.FULL, None)
    assert machine.left("c") is None and machine.waiting == (), "given up before its turn"
    assert machine.ask("d", 3, inside, NOW) == (Answer.WAIT, None)
    assert machine.left("a") == "d"


def test_least_numbers_come_before_everything_else() -> None:
    """A service below its least number displaces one above its own, the least wanted first, busy or not;
    never one that is not; and a claim that was not told again is forgotten.
    """
    machine = full_machine("a", "b", "c")
    machine.claimed("a", 2, "f1", NOW)
    machine.claimed("a", 1, "f2", NOW - 7.0)
    machine.claimed("b", 1, "f1", NOW)
    machine.claimed("c", 0, "f1", NOW)
    inside = [occupant(name) for name in "abc"]
    assert machine.claim_of("a", NOW) == 2, "what f2 told is too old"
    assert machine.ask("d", 0, inside, NOW) == (Answer.WAIT, "a")
    inside[0] = occupant("a", DRAINING)
    assert machine.ask("e", 0, inside, NOW) == (Answer.WAIT, "b")
    inside[1] = occupant("b", DRAINING)
    assert machine.ask("f", 0, inside, NOW) == (Answer.FULL, None)


def test_what_is_left_is_shared_without_going_back_and_forth() -> None:
    """A first backend displaces another service's second, which then cannot come back while that is busy; a
    warming one is not disturbed, and nobody displaces what is wanted as much.
    """
    machine = full_machine("a")
    machine.claimed("a", 1, "f", NOW)
    assert machine.ask("b", 1, [occupant("a")], NOW) == (Answer.FULL, None)
    machine.claimed("a", 2, "f", NOW)
    assert machine.ask("b", 1, [occupant("a", WARMING)], NOW) == (Answer.FULL, None)
    assert machine.ask("b", 1, [occupant("a")], NOW) == (Answer.WAIT, "a")
    assert machine.left("a") == "b"
    machine.claimed("b", 1, "f", NOW)
    assert machine.ask("a", 2, [occupant("b")], NOW) == (Answer.FULL, None)


def test_a_service_that_rests_gives_way_to_one_that_is_called() -> None:
    """Idle for as long as its set-up took, it goes. Not sooner, not when it is busy, and not for one that has
    as little to do, whose order tells one more.
    """
    machine = full_machine("a")
    machine.claimed("a", 1, "f", NOW)

    def asked(claim: int, idle_s: float, *, busy: bool = False) -> tuple[Answer, str | None]:
        answer = machine.ask("b", claim, [occupant("a", busy=busy, used_at=NOW - idle_s)], NOW)
        machine.left("b")
        return answer

    assert asked(1, 7.9) == (Answer.FULL, None)
    assert asked(2, 60.0) == (Answer.FULL, None)
    assert asked(1, 8.0, busy=True) == (Answer.FULL, None)
    assert asked(1, 8.0) == (Answer.WAIT, "a")


class AnyCourse(RuleBasedStateMachine):
    """Services that ask, become warm, give way and leave in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = Machine(2)
        self.states: dict[str, BackendState] = {}

    names = st.sampled_from("abcdef")

    def occupants(self) -> list[Occupant]:
        """Return who is inside."""
        return [occupant(name, self.states[name]) for name in sorted(self.machine.inside)]

    @rule(name=names, claim=st.integers(0, 4))
    def ask(self, name: str, claim: int) -> None:
        """Order a cold service."""
        if self.states.get(name) in (None, BackendState.COLD):
            self.machine.claimed(name, claim, "f", NOW)
            answer, victim = self.machine.ask(name, claim, self.occupants(), NOW)
            if victim is not None:
                assert self.states[victim] is WARM
                self.states[victim] = DRAINING
            if answer is not Answer.FULL:
                self.states[name] = WARMING

    @rule(name=names)
    def become_warm(self, name: str) -> None:
        """End a set-up."""
        if name in self.machine.inside and self.states[name] is WARMING:
            self.states[name] = WARM

    @rule(name=names)
    def drain(self, name: str) -> None:
        """Let a service idle."""
        if self.states.get(name) is WARM:
            self.states[name] = DRAINING

    @rule(name=names)
    def leave(self, name: str) -> None:
        """End a model server, or give a set-up up."""
        if self.states.get(name) in (WARMING, DRAINING):
            self.states[name] = BackendState.COLD
            self.machine.left(name)

    @invariant()
    def room_is_never_exceeded(self) -> None:
        """As many inside as there is room, and someone leaves for each that waits."""
        machine = self.machine
        assert len(machine.inside) <= machine.room_count
        leaving = [name for name in machine.inside if self.states[name] is DRAINING]
        assert len(machine.waiting) <= len(leaving)
        assert not set(machine.waiting) & machine.inside


AnyCourse.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyCourse = AnyCourse.TestCase
