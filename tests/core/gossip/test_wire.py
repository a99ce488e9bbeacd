"""Letters to bytes and back, and whatever else may arrive."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.errors import WireError
from swayam_proxy.core.gossip.identity import Address, Identity
from swayam_proxy.core.gossip.wire import (
    Letter,
    LetterKind,
    LetterWriter,
    Tag,
    pack_alive,
    pack_doubt,
    pack_known,
    pack_load,
    pack_service,
    pack_summary,
    read_letter,
)

SOMEONE = Identity("proxy-1", 77, Address("10.0.0.5", 7946))
SIXTH = Identity("ä-6", 78, Address("2001:db8::5", 65535))


def _body() -> bytes:
    letter = Letter(LetterKind.PROBE, 1, 2, 3, 4, 5)
    letter.record = SOMEONE
    writer = LetterWriter(letter, 1400)
    writer.add(Tag.ALIVE, pack_alive(7, 8))
    writer.add(Tag.DOUBT, pack_doubt(9, 1, 20, (3, 4)))
    writer.add(Tag.RECORDS, pack_known(SIXTH, 6) + pack_known(SOMEONE, 0))
    writer.add(Tag.LOADS, pack_service(11) + pack_load((7, 1, 2, 3.5, 0.25, 9)))
    writer.add(Tag.SUMMARIES, pack_summary((11, 7, 1, 2, 3, b"numbers")))
    writer.add(Tag.ALIVE, pack_alive(10, 0))
    return writer.body()


def test_what_was_written_is_read() -> None:
    """All sections come back; repeated ones are joined."""
    letter = read_letter(_body())
    assert (letter.kind, letter.to, letter.nonce, letter.token) == (LetterKind.PROBE, 1, 2, 3)
    assert letter.record == SOMEONE
    assert letter.alive == [(7, 8), (10, 0)]
    assert letter.doubts == [(9, 1, 20, 3, 4, 0)]
    assert letter.records == [(SIXTH, 6), (SOMEONE, 0)]
    assert letter.loads == [(11, [(7, 1, 2, 3.5, 0.25, 9)])]
    assert letter.summaries == [(11, 7, 1, 2, 3, b"numbers")]


@given(st.binary(max_size=1400))
def test_random_bytes_are_refused_or_read(noise: bytes) -> None:
    """Nothing but `WireError` comes out of reading noise."""
    with suppress(WireError):
        read_letter(noise)


@given(st.data())
def test_damaged_letters_are_refused_or_read(data: st.DataObject) -> None:
    """Nothing but `WireError` comes out of reading a letter with a few bytes changed or cut off."""
    body = bytearray(_body())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        read_letter(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0, 2e9])
def test_impossible_rates_are_refused(rate: float) -> None:
    """A forecast that is no rate never reaches a sum."""
    writer = LetterWriter(Letter(LetterKind.NOTE, 0, 0, 0, 0, 0), 1400)
    writer.add(Tag.LOADS, pack_service(11) + pack_load((7, 1, 2, rate, 0.0, 9)))
    with pytest.raises(WireError):
        read_letter(writer.body())
