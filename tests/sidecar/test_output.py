"""What a model server prints is passed on and bounded."""

import os
from pathlib import Path

import pytest

from swayam_proxy.sidecar.output import LINE_BYTES_MAX, BoundedOutput


def test_lines_go_to_a_descriptor(tmp_path: Path) -> None:
    """Without a file, whole lines are written as they come, a last partial one at the end."""
    reading, writing = os.pipe()
    output = BoundedOutput(None, writing)
    output.feed(b"one\ntw")
    assert os.read(reading, 100) == b"one\n"
    output.feed(b"o\n")
    output.feed(b"three")
    output.close()
    assert os.read(reading, 100) == b"two\nthree\n"
    assert output.tail().splitlines()[:3] == ["one", "two", "three"]
    os.close(reading)
    os.close(writing)


def test_file_is_bounded(tmp_path: Path) -> None:
    """A full file is put aside and one older one kept, so that at most twice the bound is on the disk."""
    path = tmp_path / "server.log"
    output = BoundedOutput(str(path), file_bytes_max=1000)
    for number in range(100):
        output.feed(b"line %05d of the model server\n" % number)
    output.close()
    assert path.stat().st_size <= 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server.log", "server.log.1"]
    assert path.read_bytes().endswith(b"line 00099 of the model server\n")


def test_endless_line_is_bounded() -> None:
    """A server that never ends its line does not fill our memory; the tail keeps the beginnings."""
    reading, writing = os.pipe()
    output = BoundedOutput(None, writing)
    for _ in range(5):
        output.feed(b"x" * 5000)
        os.set_blocking(reading, False)
        try:
            os.read(reading, 1 << 20)
        except BlockingIOError:
            continue
    assert len(output.tail()) < 5 * LINE_BYTES_MAX
    os.close(reading)
    os.close(writing)


def test_full_disk_stops_nobody() -> None:
    """What cannot be written is counted as lost, and the server's words are still known."""
    reading, writing = os.pipe()
    os.close(reading)
    output = BoundedOutput(None, writing)
    output.feed(b"last words\n")
    assert output.lost_count == 1
    assert output.tail() == "last words"
    os.close(writing)


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The start fails, rather than the words of the first crash."""
    with pytest.raises(OSError, match="directory"):
        BoundedOutput(str(tmp_path))
