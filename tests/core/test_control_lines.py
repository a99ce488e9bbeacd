"""The grammar of the control connection."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.control_lines import (
    LINE_BYTES_MAX,
    Cancel,
    Full,
    Granted,
    Hold,
    Idle,
    LineReader,
    Ping,
    Pong,
    SetUpOrder,
    StateIs,
    read_line,
)
from swayam_proxy.core.errors import WireError
from swayam_proxy.core.vocabulary import BackendState

EXAMPLES = [
    (b"hold 17 250.500", Hold(17, 0.2505)),
    (b"cancel 17", Cancel(17)),
    (b"setup 4", SetUpOrder(4)),
    (b"setup 4 0", SetUpOrder(4, 0)),
    (b"full 4", Full(4)),
    (b"grant 17 50.000", Granted(17, 0.05)),
    (b"idle", Idle()),
    (b"state WARM 3 2750.000", StateIs(BackendState.WARM, 3, 2.75)),
    (b"state COLD 0 -", StateIs(BackendState.COLD, 0, None)),
    (b"ping 5", Ping(5)),
    (b"pong 5", Pong(5)),
]


@pytest.mark.parametrize(("text", "said"), EXAMPLES)
def test_lines_are_read_as_they_are_written(text: bytes, said: object) -> None:
    """Writing what was read gives the same line."""
    assert read_line(text) == said
    assert said.line() == text + b"\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text",
    [
        b"hold",
        b"hold 0 1",
        b"hold 1 -1",
        b"hold 1 nan",
        b"hold 1 1e9",
        b"hold  1 1",
        b"hold 1 1 1",
        b"idle now",
        b"state LOST 1 -",
        b"state WARM -1 -",
        b"cancel 99999999999999999999",
        b"grant 1",
        b"setup",
        b"setup 1 -1",
        b"setup 1 1 1",
        b"full",
        b"full 1 1",
        b"ping x",
    ],
)
def test_known_words_with_anything_else_behind_them_are_refused(text: bytes) -> None:
    """There is one reading of a line, or none."""
    with pytest.raises(WireError):
        read_line(text)


def test_unknown_words_are_left_out() -> None:
    """Later versions may say more."""
    assert LineReader().feed(b"weather sunny\nidle\n") == [Idle()]


def test_endless_line_is_refused_before_it_ends() -> None:
    """Nobody fills the memory with a line."""
    with pytest.raises(WireError):
        LineReader().feed(b"x" * (LINE_BYTES_MAX + 1))


@given(st.lists(st.sampled_from(EXAMPLES), max_size=8), st.integers(1, 7))
def test_cuts_do_not_matter(said: list[tuple[bytes, object]], step: int) -> None:
    """However TCP cuts the stream, the same lines come out."""
    stream = b"".join(text + b"\n" for text, _ in said)
    reader, read = LineReader(), []
    for start in range(0, len(stream), step):
        read += reader.feed(stream[start : start + step])
    assert read == [line for _, line in said]


@given(st.binary(max_size=64))
def test_no_bytes_do_anything_but_be_read_or_refused(noise: bytes) -> None:
    """Random bytes raise nothing else than WireError."""
    with suppress(WireError):
        LineReader().feed(noise + b"\n")
