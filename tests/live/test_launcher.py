"""The launcher over children that do nothing but live and die: restarts, drains, and no orphans."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swayam_proxy.live.launcher import BACKOFF_S, BACKOFF_S_MAX, LIVED_WELL_S, Child, reserve
from swayam_proxy.live.settings import ListenSettings
from swayam_proxy.live.start_failed import StartFailedError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0

CHILD = """
import os, signal, socket, sys
name, manner = sys.argv[1], sys.argv[2]
def note(word):
    with open(name, "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
if manner == "cannot-start":
    sys.exit(2)
def on_term(number, frame):
    note("term")
    if manner != "stubborn":
        sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
signal.signal(signal.SIGINT, lambda number, frame: note("int"))
signal.signal(signal.SIGHUP, lambda number, frame: note("hup"))
line = socket.socket(fileno=int(os.environ["SWAYAM_LAUNCHER_FD"]))
line.send(b'{"event": "listening"}\\n')
note("listening")
try:
    while line.recv(100):
        pass
except ConnectionResetError:
    pass  # the launcher was killed before it had read what we said
note("orphaned")
"""
"""Says that it listens, notes what happens to it in a file, and ends when the launcher is gone."""

LAUNCHER = """
import json, sys
from swayam_proxy.live.launcher import launch
sys.exit(launch(json.loads(sys.argv[1]), shared=None, drain_s=float(sys.argv[2])))
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look until it holds; fail with `what` when it does not in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


class Launched:
    """A launcher process over children with the given manners."""

    def __init__(self, directory: Path, manners: tuple[str, ...], drain_s: float) -> None:
        self.notes_paths = [directory / f"child-{number}" for number in range(len(manners))]
        commands = [
            [sys.executable, "-S", "-E", "-c", CHILD, str(path), manner]
            for path, manner in zip(self.notes_paths, manners, strict=True)
        ]
        self.stderr_path = directory / "stderr"
        with self.stderr_path.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, json.dumps(commands), str(drain_s)],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=stderr,
            )

    def notes(self, number: int, word: str) -> list[int]:
        """Return the process ids of the notes with that word, of one child."""
        path = self.notes_paths[number]
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[1]) for line in lines if line.startswith(f"{word} ")]

    def wait_listening(self, number: int, times: int = 1) -> int:
        """Wait until that child has listened so often; return its last process id."""
        wait_for(lambda: len(self.notes(number, "listening")) >= times, f"child {number} to listen")
        return self.notes(number, "listening")[-1]


Launch = Callable[..., Launched]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start launchers that are gone after the test, their children with them."""
    started: list[Launched] = []

    def start(*manners: str, drain_s: float = 5.0) -> Launched:
        launched = Launched(tmp_path, manners, drain_s)
        started.append(launched)
        return launched

    yield start
    for launched in started:
        launched.process.kill()
        launched.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains_all(launch: Launch, number: signal.Signals) -> None:
    """Each child gets exactly one SIGTERM, and the launcher ends with 0 after the last of them."""
    launched = launch("good", "good", "good")
    for child in range(3):
        launched.wait_listening(child)
    wait_for(lambda: '"launched"' in launched.stderr_path.read_text(), "the launched event")
    launched.process.send_signal(number)
    assert launched.process.wait(PATIENCE_S) == 0
    assert [len(launched.notes(child, "term")) for child in range(3)] == [1, 1, 1]


def test_a_dead_child_is_started_again(launch: Launch) -> None:
    """The others go on untouched."""
    launched = launch("good", "good")
    first = launched.wait_listening(0)
    other = launched.wait_listening(1)
    os.kill(first, signal.SIGKILL)
    assert launched.wait_listening(0, times=2) != first
    assert launched.notes(1, "listening") == [other]
    assert "ended with status -9" in launched.stderr_path.read_text()


def test_what_never_starts_is_not_tried_for_ever(launch: Launch) -> None:
    """A child that fails before it listens ends the launcher with its status, and the others in order."""
    launched = launch("good", "cannot-start")
    assert launched.process.wait(PATIENCE_S) == 2
    assert launched.notes(0, "listening") == launched.notes(0, "term")
    assert "proxy 2 cannot start" in launched.stderr_path.read_text()


def test_a_second_signal_kills(launch: Launch) -> None:
    """Children that do not end are killed when the user asks again, long before the deadline."""
    launched = launch("stubborn", drain_s=600.0)
    child = launched.wait_listening(0)
    launched.process.send_signal(signal.SIGTERM)
    wait_for(lambda: bool(launched.notes(0, "term")), "the first signal to arrive")
    launched.process.send_signal(signal.SIGTERM)
    assert launched.process.wait(PATIENCE_S) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_the_deadline_kills(launch: Launch) -> None:
    """Children that do not end in the time of a drain, and a little more, are killed."""
    launched = launch("stubborn", drain_s=0.0)
    child = launched.wait_listening(0)
    launched.process.send_signal(signal.SIGTERM)
    assert launched.process.wait(PATIENCE_S) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_children_notice_that_the_launcher_is_gone(launch: Launch) -> None:
    """Even a launcher that was killed leaves no proxy behind."""
    launched = launch("good", "good")
    for child in range(2):
        launched.wait_listening(child)
    launched.process.kill()
    for child in range(2):
        wait_for(lambda child=child: bool(launched.notes(child, "orphaned")), "the child to notice")  # type: ignore[misc]


def test_hangup_is_passed_on(launch: Launch) -> None:
    """SIGHUP reaches each child, which opens its logs again, and ends nobody."""
    launched = launch("good", "good")
    for child in range(2):
        launched.wait_listening(child)
    launched.process.send_signal(signal.SIGHUP)
    for child in range(2):
        wait_for(lambda child=child: bool(launched.notes(child, "hup")), "the hangup")  # type: ignore[misc]
    assert launched.process.poll() is None


def test_children_have_a_session_of_their_own(launch: Launch) -> None:
    """A Ctrl-C at the terminal goes to the launcher alone: otherwise children would get two signals."""
    launched = launch("good")
    child = launched.wait_listening(0)
    assert os.getsid(child) == child
    assert os.getsid(launched.process.pid) != child


def test_backoff_grows_and_is_forgotten() -> None:
    """Each early death doubles the pause up to a limit; a long life resets it."""
    child = Child(1, [sys.executable, "-S", "-E", "-c", ""])
    now, pauses = 100.0, []
    for _ in range(10):
        child.start(now)
        assert child.process is not None
        child.process.wait(PATIENCE_S)
        assert child.poll(now + 0.1) == 0
        pauses.append(child.start_at - (now + 0.1))
        now += 100.0
    assert pauses[:3] == pytest.approx([BACKOFF_S, 2 * BACKOFF_S, 4 * BACKOFF_S])
    assert pauses[-1] == pytest.approx(BACKOFF_S_MAX)
    child.start(now)
    assert child.process is not None
    child.process.wait(PATIENCE_S)
    assert child.poll(now + LIVED_WELL_S) == 0
    assert child.backoff_s == BACKOFF_S


def test_a_free_port_is_reserved_for_all() -> None:
    """Port 0 becomes one port that several processes can listen on, and nobody else can bind."""
    with reserve(ListenSettings("127.0.0.1", 0, reuse_port=True)) as reserved:
        port = reserved.getsockname()[1]
        with socket.create_server(("127.0.0.1", port), reuse_port=True):
            with socket.create_server(("127.0.0.1", port), reuse_port=True):
                pass
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", port))


def test_a_taken_port_is_told() -> None:
    """A port that a stranger listens on is an error with advice, before any child is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailedError, match=f"127.0.0.1:{port} is in use"):
            reserve(ListenSettings("127.0.0.1", port, reuse_port=True))
