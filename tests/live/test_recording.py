"""The recording of a frontend's calls: every call a line, no holes, an end that is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from swayam_proxy.core.events import WakeupCame
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import BackendSpec, FrontendSpec, Outcome, ServiceSpec, Sla
from swayam_proxy.live.recording import Recording, RecordingFrontend

SPEC = FrontendSpec("frontend-1", (ServiceSpec("digits", (BackendSpec("a:1"),), Sla(0.5, 0.99)),))


def lines_of(path: Path) -> list[Any]:
    """Return what was written."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_calls_are_written_in_order_with_what_came_of_them(tmp_path: Path) -> None:
    """Two requests for one slot: the second waits and its client leaves; a tick decides; the first ends."""
    path = tmp_path / "recording"
    recording = Recording(str(path))
    frontend = RecordingFrontend(SPEC, 7, lambda: 10.0, recording, "0.1")
    service = frontend.service("digits")
    first, second = service.admit(10.5, float("inf"), True), service.admit(10.6, 20.0, False)
    assert isinstance(first, Ticket)
    assert isinstance(second, Ticket)
    frontend.reschedule(service)
    frontend.handle(WakeupCame(), 11.0)
    frontend.cancel(second, 11.1)
    frontend.cancel(second, 11.2)
    frontend.finish(first, Outcome.SERVED, 11.3, execution_s=0.1)
    frontend.own_executions("digits", 11.4)
    recording.writer.stop()
    head, *calls = lines_of(path)
    assert (head["recording"], head["seed"], head["at"]) == (1, 7, 10.0)
    told = [call[:3] if call[0] in ("event", "decision") else call for call in calls]
    assert told[:3] == [
        ["admit", 10.5, "digits", None, True, 1, 1],
        ["admit", 10.6, "digits", 20.0, False, 2, 0],
        ["event", 11.0, "WakeupCame"],
    ]
    assert told[3][:2] == ["decision", 11.0]
    assert told[3][2]["service_name"] == "digits"
    assert told[4:] == [
        ["cancel", 11.1, 2],
        ["finish", 11.3, 1, "served", 0.1, None, False],
        ["executions", 11.4, "digits"],
    ]


def test_it_ends_when_it_is_long_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last line says why, a warning too, and nothing more is written."""
    path = tmp_path / "recording"
    recording = Recording(str(path), calls_max=3)
    frontend = RecordingFrontend(SPEC, 7, lambda: 10.0, recording, "0.1")
    for number in range(9):
        frontend.own_executions("digits", 10.0 + number)
    recording.writer.stop()
    assert [line[0] for line in lines_of(path)[1:]] == ["executions"] * 3 + ["end"]
    assert "ends: it is as long as it may be" in caplog.text


def test_a_former_recording_is_replaced(tmp_path: Path) -> None:
    """A file that is there begins anew; one that cannot be written is an error at once."""
    path = tmp_path / "recording"
    path.write_text("old\n")
    Recording(str(path)).writer.stop()
    assert path.read_text() == ""
    with pytest.raises(OSError, match="none"):
        Recording(str(tmp_path / "none" / "recording"))
