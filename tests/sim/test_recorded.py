"""Recordings played in virtual time: what differs is told, what is no recording is refused."""

import json
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

import pytest

from swayam_proxy.core.commands import Command, ForwardRequest
from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.events import PeersCounted, WakeupCame
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import BackendSpec, FrontendSpec, Outcome, QueueSpec, ServiceSpec, Sla
from swayam_proxy.live.recording import Recording, RecordingFrontend
from swayam_proxy.sim.recorded import play_recording

BACKENDS = tuple(BackendSpec(f"a:{port}") for port in range(1, 9))
SERVICE = ServiceSpec("digits", BACKENDS, Sla(0.3, 0.99), queue=QueueSpec(count_max=3), prefix_min=2)


def forwarded(commands: Sequence[Command]) -> list[Ticket]:
    """Return the requests that have waited and go now."""
    return [command.ticket for command in commands if isinstance(command, ForwardRequest)]


@pytest.fixture
def recorded(tmp_path: Path) -> list[Any]:
    """The lines of twenty seconds of random calls, some of them refused."""
    path = tmp_path / "recording"
    recording = Recording(str(path))
    frontend = RecordingFrontend(FrontendSpec("f", (SERVICE,), 2), 11, lambda: 5.0, recording, "0.1")
    rng, now, running = Random(3), 5.0, list[tuple[float, int, Ticket]]()

    def run(tickets: list[Ticket]) -> None:
        for ticket in tickets:
            heappush(running, (now + rng.lognormvariate(-3.0, 0.3), len(running), ticket))

    frontend.handle(PeersCounted(3), now)
    while now < 25.0:
        arrival = now + rng.expovariate(300.0 if 15.0 < now < 16.0 else 20.0)
        while (now := min(arrival, frontend.next_wakeup(), running[0][0] if running else arrival)) < arrival:
            if running and running[0][0] == now:
                _, _, ticket = heappop(running)
                run(forwarded(frontend.finish(ticket, Outcome.SERVED, now)))
            else:
                run(forwarded(frontend.handle(WakeupCame(), now)))
        admission = frontend.admit("digits", now, now + 1.0)
        if isinstance(admission, Ticket) and admission.backend_index:
            run([admission])
    recording.writer.stop()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_calls_bring_the_same_choices_and_decisions(recorded: list[Any]) -> None:
    """Every request goes where it went, and every decision has every digit."""
    played = play_recording(recorded)
    assert played.differences == []
    assert played.decisions_count >= 20
    assert played.calls_count == sum(line[0] not in ("decision", "end") for line in recorded[1:])
    results = [line[-1] for line in recorded[1:] if line[0] == "admit"]
    assert 0 in results, "nothing waited"
    assert any(isinstance(result, str) for result in results), "nothing was refused"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: lines[0].update(seed=12), "for a request"),
        (lambda lines: lines[0]["spec"]["services"][0]["sla"].update(level=0.5), "attainment"),
        (lambda lines: lines.remove(next(x for x in lines[1:] if x[0] == "finish")), "for a request"),
        (lambda lines: lines.remove(next(x for x in lines[1:] if x[0] == "decision")), "does not have"),
    ],
    ids=["other dice", "another promise", "a call is missing", "a decision is missing"],
)
def test_what_comes_out_differently_is_told(
    recorded: list[Any], change: Callable[[list[Any]], None], told: str
) -> None:
    """By its line and in words."""
    change(recorded)
    differences = play_recording(recorded).differences
    assert any(told in difference.what for _, difference in differences)
    assert differences[0][0] > 1
    assert differences[0][1].service_name == "digits"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [[]],
        [{"recording": 2}],
        ["head", ["nothing", 1.0]],
        ["head", ["finish", 1.0, 99, "served", 1, None, 0]],
    ],
)
def test_what_is_no_recording_is_refused(recorded: list[Any], lines: list[Any]) -> None:
    """No head, a head of another format, no such call, the end of a request that nobody made."""
    with pytest.raises(EvidenceError):
        play_recording([recorded[0] if line == "head" else line for line in lines])
