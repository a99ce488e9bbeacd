"""Chunked bodies, whole and in every possible cut; and everything that is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.live.framing import LAST_CHUNK, ChunkedDecoder, FramingError, chunk


def decode(*pieces: bytes) -> tuple[bytes, ChunkedDecoder]:
    """Feed the pieces; return the content and the decoder."""
    decoder = ChunkedDecoder()
    return b"".join([decoder.feed(piece) for piece in pieces]), decoder


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=10), st.data())
def test_content_does_not_depend_on_how_it_comes(
    contents: list[bytes], behind: bytes, data: st.DataObject
) -> None:
    """However the bytes are cut, the same content comes out, and what is behind the body is left alone."""
    raw = b"".join(chunk(content) for content in contents) + LAST_CHUNK + behind
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    decoder = ChunkedDecoder()
    content = b""
    rest = b""
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        if decoder.complete:
            rest += raw[begin:end]
        else:
            content += decoder.feed(raw[begin:end])
            if decoder.complete:
                rest += decoder.rest
    assert decoder.complete
    assert content == b"".join(contents)
    assert decoder.content_bytes == len(content)
    assert rest == behind


def test_byte_by_byte_extensions_and_trailers_are_dropped() -> None:
    """What is unusual but clear is read: extensions, quoted values, trailers."""
    raw = b'2;a;b=c;d="x;\\"y"\r\nhi\r\n0;z\r\nX-Trailer: 1\r\nX-Other:\r\n\r\nnext'
    whole, decoder = decode(raw)
    assert (whole, decoder.complete, decoder.rest) == (b"hi", True, b"next")
    content, decoder = decode(*[raw[n : n + 1] for n in range(len(raw) - 4)])
    assert (content, decoder.complete) == (b"hi", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"zz\r\n",
        b"\r\n",
        b"0x2\r\nhi\r\n",
        b"+2\r\nhi\r\n",
        b"-2\r\n",
        b" 2\r\nhi\r\n",
        b"2 \r\nhi\r\n",
        b"fffffffffffffffff\r\n",
        b"2\nhi\r\n",
        b"2\r\nhi\n0\r\n\r\n",
        b"2\r\nhix\r\n",
        b"2;\r\nhi\r\n",
        b"2;a=\x01\r\nhi\r\n",
        b"2;a\nb\r\nhi\r\n",
        b"2;a\rb\r\nhi\r\n",
        b"2; =b\r\nhi\r\n",
        b'2;a="b\r\nhi\r\n',
        b"1;a=" + b"a" * 1000 + b"\r\nx\r\n" + (b"1;a=" + b"a" * 1000 + b"\r\nx\r\n") * 17,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\nX-T : 1\r\n\r\n",
        b"0\r\nX-T: \x00\r\n\r\n",
        b"2" + b";a" * 1000,
        b"0\r\nX: " + b"a" * 20_000,
        b"0\r\n" + b"X: aaaaaaaaaaaaaaaa\r\n" * 1000,
    ],
)
def test_what_is_not_clear_is_refused(raw: bytes) -> None:
    """A chunk size, an end or a trailer that servers read differently ends the body, also byte by byte."""
    with pytest.raises(FramingError):
        decode(raw)
    with pytest.raises(FramingError):
        decode(*[raw[n : n + 1] for n in range(len(raw))])
