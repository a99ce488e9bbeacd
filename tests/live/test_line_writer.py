"""The thread that writes logs: nothing lost that fits, nothing kept that does not, a file that may move."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from swayam_proxy.live.line_writer import LineWriter


def wait_until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Look at `condition` until it holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def line_of(entry: str) -> bytes:
    """Encode an entry."""
    return entry.encode("ascii") + b"\n"


def test_everything_is_written_in_order(tmp_path: Path) -> None:
    """What was put before the stop is in the file afterwards, in order, each once."""
    writer = LineWriter(str(tmp_path / "log"), line_of)
    for number in range(1000):
        writer.put(str(number))
    writer.stop()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1000)]
    assert (writer.written_count, writer.dropped_count) == (1000, 0)


def test_what_does_not_fit_is_dropped_and_counted(tmp_path: Path) -> None:
    """A writer that is held up keeps a bounded number of entries, and says how many it lost."""
    gate = threading.Event()

    def wait_and_encode(entry: str) -> bytes:
        gate.wait(10.0)
        return line_of(entry)

    writer = LineWriter(str(tmp_path / "log"), wait_and_encode, queue_max=100)
    writer.put("first")
    wait_until(lambda: not writer._queue)  # the thread holds it, at the gate
    for number in range(90):
        writer.put(str(number))
    writer.put_all([str(number) for number in range(90, 150)])
    assert writer.dropped_count == 50
    gate.set()
    writer.stop()
    assert (tmp_path / "log").read_text().split() == ["first", *(str(number) for number in range(100))]


def test_a_file_that_cannot_be_written_costs_lines_not_the_proxy() -> None:
    """Where the disk is full the lines are counted as lost, and the writer goes on."""
    writer = LineWriter("/dev/full", line_of)
    writer.put("one")
    writer.put("two")
    writer.stop()
    assert (writer.written_count, writer.dropped_count) == (0, 2)


def test_an_entry_that_cannot_be_encoded_does_not_end_the_thread(tmp_path: Path) -> None:
    """One bad entry is counted; the next ones are written."""
    writer = LineWriter(str(tmp_path / "log"), line_of)
    writer.put("\u20ac")
    wait_until(lambda: writer.dropped_count == 1)
    writer.put("good")
    writer.stop()
    assert (tmp_path / "log").read_text() == "good\n"


def test_copy_and_truncate_needs_no_word(tmp_path: Path) -> None:
    """After the file was copied and cut to nothing, new lines begin at its start, without a hole."""
    path = tmp_path / "log"
    writer = LineWriter(str(path), line_of)
    writer.put("before")
    wait_until(lambda: writer.written_count == 1)
    path.write_text("")
    writer.put("after")
    writer.stop()
    assert path.read_bytes() == b"after\n"


def test_reopen_follows_a_rename(tmp_path: Path) -> None:
    """After a rename and `reopen`, new lines go to a new file of the old name."""
    path = tmp_path / "log"
    writer = LineWriter(str(path), line_of)
    writer.put("before")
    wait_until(lambda: writer.written_count == 1)
    path.rename(tmp_path / "log.1")
    writer.reopen()
    wait_until(path.exists)
    writer.put("after")
    writer.stop()
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert path.read_text() == "after\n"


def test_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A writer that cannot keep up ends when its time is over, and counts what it left."""

    def encode_slowly(entry: str) -> bytes:
        time.sleep(0.01)
        return line_of(entry)

    writer = LineWriter(str(tmp_path / "log"), encode_slowly)
    for number in range(1000):
        writer.put(str(number))
    began = time.monotonic()
    writer.stop(within_s=0.1)
    assert time.monotonic() - began < 2.0
    assert writer.dropped_count > 500
    assert writer.dropped_count + writer.written_count == 1000
