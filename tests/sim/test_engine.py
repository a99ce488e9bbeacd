"""Virtual time."""

import numpy as np

from swayam_proxy.sim.engine import Engine


def test_events_and_arrivals_come_in_order() -> None:
    """Everything happens in order of time; at a tie events precede arrivals, and who asked first is first."""
    engine = Engine()
    story: list[tuple[float, object]] = []

    def note(what: object, again_at: float | None) -> None:
        story.append((engine.now, what))
        if again_at is not None:
            engine.call_at(again_at, note, "again", None)

    engine.call_at(2.0, note, "b")
    engine.call_at(2.0, note, "c")
    engine.call_at(1.0, note, "a", 2.0)
    engine.run_arrivals(np.array([0.5, 2.0, 2.5]), lambda position: story.append((engine.now, position)))
    engine.run_until(9.0)
    assert story == [(0.5, 0), (1.0, "a"), (2.0, "b"), (2.0, "c"), (2.0, "again"), (2.0, 1), (2.5, 2)]
    assert engine.now == 9.0


def test_what_is_late_happens_next_and_time_never_falls() -> None:
    """An action that was due before now is done now."""
    engine = Engine()
    seen: list[float] = []
    engine.call_at(5.0, lambda _a, _b: engine.call_at(1.0, lambda _c, _d: seen.append(engine.now)))
    engine.run_until(10.0)
    assert seen == [5.0]


def test_running_can_be_stopped() -> None:
    """`done` ends the run and leaves the rest on the agenda."""
    engine = Engine()
    seen: list[int] = []
    for number in range(5):
        engine.call_at(float(number), lambda value, _: seen.append(value), number)
    engine.run_until(100.0, lambda: len(seen) == 3)
    assert seen == [0, 1, 2]
    engine.run_until(100.0)
    assert seen == [0, 1, 2, 3, 4]


def test_entries_can_be_replaced() -> None:
    """A changed entry happens at its new time, an unchanged one as before."""
    engine = Engine()
    seen: list[tuple[float, str]] = []

    def note(what: str, _: object) -> None:
        seen.append((engine.now, what))

    engine.call_at(1.0, note, "stays")
    engine.call_at(2.0, note, "moves")
    engine.replace(lambda entry: (0.5, note, "moved", None) if entry[3] == "moves" else None)
    engine.run_until(3.0)
    assert seen == [(0.5, "moved"), (1.0, "stays")]
