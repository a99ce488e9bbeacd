"""Fault matrix B, framing: what is too large or has two readings is refused; one reading is forwarded."""

import contextlib

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service
from tests.end_to_end.connection import CutMessageError, wait_until
from tests.end_to_end.raw_client import RawClient, chunked, request
from tests.end_to_end.scripted_backend import ScriptedBackend, always, answer, echo

MIB = 1024 * 1024


async def expect_refusal(client: RawClient, data: bytes, statuses: set[int]) -> None:
    """Send `data`: the answer is one of `statuses`, then the connection ends without another one."""
    with contextlib.suppress(
        ConnectionError
    ):  # refused before all was written: the answer may still be there
        await client.send(data)
    message = await client.read_answer("POST", within_s=3.0)
    assert message.status in statuses, message
    assert b"close" in message.head.tokens("connection")
    rest = await client.wait_for_end(3.0)
    assert rest == b"", "a second answer, or more than one reading"


BIG_REQUESTS = {
    "a head of 100 KB": ("/", b"X-Big: " + b"x" * 100_000 + b"\r\n"),
    "a head of 100 KB in fields": ("/", b"".join(b"X-%d: %b\r\n" % (n, b"x" * 2000) for n in range(50))),
    "2,000 fields": ("/", b"".join(b"X-%d: y\r\n" % n for n in range(2000))),
    "101 fields": ("/", b"".join(b"X-%d: y\r\n" % n for n in range(100))),
    "a target of 20 KB": ("/" + "t" * 20_000, b""),
}


@pytest.mark.parametrize("kind", BIG_REQUESTS)
async def test_f30_a_head_beyond_the_limits_is_refused(
    one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """431, 400 or 414, nothing is forwarded, the connection is closed."""
    backend = await serve(one.places[0], always(answer()))
    target, fields = BIG_REQUESTS[kind]
    head = f"GET {one.path}{target} HTTP/1.1\r\nHost: models.test\r\n".encode() + fields + b"\r\n"
    await expect_refusal(await connect(), head, {431, 400, 414})
    assert backend.received == b""


async def test_f30_a_head_just_within_the_limits_passes(one: Service, serve: Serve, connect: Connect) -> None:
    """30 KiB of head in 99 fields and a target of 7 KB are served."""
    backend = await serve(one.places[0], always(answer()))
    fields = [(f"X-{n}", "y" * 200) for n in range(98)]
    client = await connect()
    message = await client.ask("GET", f"{one.path}/{'t' * 7000}", fields=fields)
    assert message.status == 200
    assert backend.requests[0].all("x-97") == [b"y" * 200]


async def test_f31_a_body_above_the_limit_by_length_is_refused_before_it_is_read(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """413 as soon as the head says too much; nothing is forwarded."""
    backend = await serve(one.places[0], echo)
    head = request("POST", one.path, fields=[("Content-Length", str(2 * MIB + 1))])
    await expect_refusal(await connect(), head, {413})
    assert backend.received == b""


async def test_f31_a_body_above_the_limit_by_chunks_is_refused_at_the_limit(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """413 at the limit, while the client still sends; the backend never sees a complete request."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    piece = b"x" * 65_536
    data = request("POST", one.path, fields=[("Transfer-Encoding", "chunked")])
    data += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(33))
    await expect_refusal(client, data, {413})
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)
    assert backend.hits == 0
    assert not backend.received.endswith(b"0\r\n\r\n")


async def test_f31_a_body_at_the_limit_passes(one: Service, serve: Serve, connect: Connect) -> None:
    """Exactly 2 MiB are served, counted and chunked."""
    backend = await serve(one.places[0], always(answer()))
    body = bytes(2 * MIB)
    client = await connect()
    assert (await client.ask("POST", one.path, body=body)).status == 200
    await client.send(request("POST", one.path, fields=[("Transfer-Encoding", "chunked")]) + chunked(body))
    assert (await client.read_answer("POST")).status == 200
    assert [message.body == body for message in backend.requests] == [True, True]


HEAD = b"POST %b HTTP/1.1\r\nHost: models.test\r\n"
BAD_REQUESTS = {
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths in a list with another": HEAD + b"Content-Length: 5, 5, 6\r\n\r\nhello!",
    "a list of lengths": HEAD + b"Content-Length: 5, 6\r\n\r\nhello!",
    "length with a plus": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\nhello",
    "hexadecimal length": HEAD + b"Content-Length: 0x5\r\n\r\nhello",
    "length with a space": HEAD + b"Content-Length: 5 5\r\n\r\nhello",
    "length with a letter": HEAD + b"Content-Length: 5a\r\n\r\nhello",
    "empty length": HEAD + b"Content-Length:\r\n\r\nhello",
    "length beyond 64 bits": HEAD + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "length before chunked": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked before length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked not last in two fields": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two fields": HEAD
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "only gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "identity": HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "xchunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a vertical tab": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked with a trailing NUL": HEAD + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n",
    "chunked with an escape": HEAD + b"Transfer-Encoding: chunked\x1b\r\n\r\n0\r\n\r\n",
    "chunked with a parameter": HEAD + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "empty coding": HEAD + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    "chunked from HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": HEAD + b"X-A: one\r\n two\r\nContent-Length: 0\r\n\r\n",
    "a fold of the coding": HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "space before the first field": b"POST %b HTTP/1.1\r\n Host: models.test\r\nContent-Length: 0\r\n\r\n",
    "no colon": HEAD + b"X-A one\r\nContent-Length: 0\r\n\r\n",
    "empty name": HEAD + b": one\r\nContent-Length: 0\r\n\r\n",
    "a bracket in a name": HEAD + b"X(A): one\r\nContent-Length: 0\r\n\r\n",
    "a letter beyond ASCII in a name": HEAD + b"X-\xc3\xa4: one\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": HEAD + b"X-A: one\x00two\r\nContent-Length: 0\r\n\r\n",
    "NUL in a name": HEAD + b"X-A\x00: one\r\nContent-Length: 0\r\n\r\n",
    "NUL in the target": b"POST %b\x00 HTTP/1.1\r\nHost: models.test\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": HEAD + b"X-A: one\rX-B: two\r\nContent-Length: 0\r\n\r\n",
    "bare CR as line end": HEAD + b"X-A: one\rContent-Length: 5\r\n\r\nhello",
    "bare LF in a value": HEAD + b"X-A: one\nX-B: two\r\nContent-Length: 0\r\n\r\n",
    "bare LF everywhere": HEAD.replace(b"\r", b"") + b"Content-Length: 0\n\n",
    "bare LF behind the request line": b"POST %b HTTP/1.1\nHost: models.test\r\nContent-Length: 0\r\n\r\n",
    "bare LF as the last line": HEAD + b"Content-Length: 0\r\n\n",
    "no host": b"POST %b HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": HEAD + b"Host: other.test\r\nContent-Length: 0\r\n\r\n",
    "a bad host": b"POST %b HTTP/1.1\r\nHost: mod els/test\r\nContent-Length: 0\r\n\r\n",
    "a version of the future": HEAD.replace(b"1.1", b"1.2x") + b"Content-Length: 0\r\n\r\n",
    "HTTP/2.0": HEAD.replace(b"1.1", b"2.0") + b"Content-Length: 0\r\n\r\n",
    "HTTP/0.9": b"GET %b\r\n\r\n",
    "a space in the target": b"POST %b/a b HTTP/1.1\r\nHost: models.test\r\nContent-Length: 0\r\n\r\n",
    "a tab before the version": b"POST %b\tHTTP/1.1\r\nHost: models.test\r\nContent-Length: 0\r\n\r\n",
    "a method with a bracket": b"PO[T %b HTTP/1.1\r\nHost: models.test\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("kind", BAD_REQUESTS)
async def test_f32_a_head_with_two_readings_is_400(
    one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """400 (501 or 505 where RFC 9112 asks for it) and close; nothing is forwarded, nor what stands behind."""
    backend = await serve(one.places[0], always(answer()))
    smuggled = request("GET", f"{one.path}/smuggled")
    data = BAD_REQUESTS[kind].replace(b"%b", one.path.encode()) + smuggled
    await expect_refusal(await connect(), data, {400, 501, 505})
    assert backend.received == b""


CHUNKED_HEAD = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = {
    "size zz": b"zz\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "size with a plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size with an underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
    "size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "NUL behind the size": b"5\x00\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "bare LF behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "no line end behind the chunk": b"5\r\nhello0\r\n\r\n",
    "chunk longer than its size": b"5\r\nhello world\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "endless extension": b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the last chunk": b"5\r\nhello\r\n0\n\r\n",
    "space before the colon of a trailer": b"5\r\nhello\r\n0\r\nX-T : 1\r\n\r\n",
    "NUL in a trailer": b"5\r\nhello\r\n0\r\nX-T: \x00\r\n\r\n",
    "bare LF in a trailer": b"5\r\nhello\r\n0\r\nX-T: 1\nX-U: 2\r\n\r\n",
}


async def expect_400_and_no_request(client: RawClient, data: bytes, backend: ScriptedBackend) -> None:
    """Send `data`: 400 and close, or a close without a word; no backend ever saw a whole request."""
    try:
        await expect_refusal(client, data, {400})
    except CutMessageError as error:
        assert error.received == b""  # noqa: PT017 - a close without an answer is as safe
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)
    assert backend.hits == 0
    assert b"smuggled" not in backend.received


@pytest.mark.parametrize("kind", BAD_CHUNKS)
async def test_f32_a_bad_chunk_is_400(one: Service, serve: Serve, connect: Connect, kind: str) -> None:
    """400 and close; the backend never sees a whole request, nor what stands behind the bad chunk."""
    backend = await serve(one.places[0], always(answer()))
    head = CHUNKED_HEAD.replace(b"%b", one.path.encode())
    data = head + BAD_CHUNKS[kind] + request("GET", f"{one.path}/smuggled")
    await expect_400_and_no_request(await connect(), data, backend)


async def test_f32_a_bad_chunk_later_on_is_400(one: Service, serve: Serve, connect: Connect) -> None:
    """When part of a body was already forwarded, a bad chunk still never makes a whole request."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    await client.send(CHUNKED_HEAD.replace(b"%b", one.path.encode()) + b"5\r\nhello\r\n")
    await wait_until(lambda: len(backend.connections) == 1)
    await expect_400_and_no_request(
        client, b"zz\r\nhello\r\n0\r\n\r\n" + request("GET", "/smuggled"), backend
    )


HARMLESS = {
    "equal lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "an empty line before the request": b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
    "Chunked in capitals": HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "tabs around a value": HEAD + b"Content-Length:\t5 \t\r\n\r\nhello",
    "a chunk extension": HEAD + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0\r\n\r\n',
    "sizes with zeros in front": HEAD + b"Transfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n000\r\n\r\n",
    "bytes beyond ASCII in a value": HEAD + b"X-Name: caf\xc3\xa9\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("kind", HARMLESS)
async def test_f32_what_is_unusual_but_clear_passes(
    one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """Strange spellings with one reading are served (or refused), re-serialised with one framing field."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    await client.send(HARMLESS[kind].replace(b"%b", one.path.encode()))
    message = await client.read_answer("POST")
    if kind == "equal lengths" and message.status == 400:
        return  # RFC 9112 6.3 leaves the choice
    assert (message.status, message.body) == (200, b"hello")
    seen = backend.requests[0]
    assert len(seen.all("content-length")) + len(seen.all("transfer-encoding")) == 1


async def test_f33_hop_by_hop_fields_are_not_forwarded(one: Service, serve: Serve, connect: Connect) -> None:
    """What Connection names, and the hop-by-hop fields, stay behind; all others keep order and value."""
    hop_by_hop = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
    ]
    end_to_end = [
        ("X-Same", "first"),
        ("Accept", "application/json;q=0.5,  text/plain"),
        ("x-lower", "kept"),
        ("X-Same", "second"),
        ("Cookie", 'a="b c"; d=e'),
        ("X-Empty", ""),
        ("Authorization", "Bearer token"),
        ("X-Same", "third"),
    ]
    mixed = [field for pair in zip(hop_by_hop, end_to_end, strict=False) for field in pair] + end_to_end[7:]
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    assert (await client.ask("GET", one.path, fields=mixed)).status == 200
    seen = backend.requests[0].head
    for name, _ in hop_by_hop[1:]:
        assert seen.all(name) == [], name
    assert b"x-hop" not in seen.tokens("connection")
    wanted = {name.lower().encode() for name, _ in end_to_end}
    kept = [(name.lower(), value) for name, value in seen.fields if name.lower() in wanted]
    assert kept == [(name.lower().encode(), value.encode()) for name, value in end_to_end]


async def test_f33_hop_by_hop_fields_of_an_answer_stay_behind(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """The same holds on the way back."""
    hop_by_hop = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5, max=100"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "h2c"),
    ]
    end_to_end = [("Set-Cookie", "a=b"), ("X-Kept", "1, 2"), ("Set-Cookie", "c=d"), ("Server", "model/1")]
    await serve(one.places[0], always(answer(fields=hop_by_hop + end_to_end)))
    client = await connect()
    message = await client.ask("GET", one.path)
    for name, _ in hop_by_hop[1:]:
        assert message.all(name) == [], name
    assert b"x-hop" not in message.head.tokens("connection")
    wanted = {name.lower().encode() for name, _ in end_to_end}
    kept = [(name.lower(), value) for name, value in message.head.fields if name.lower() in wanted]
    assert kept == [(name.lower().encode(), value.encode()) for name, value in end_to_end]


@pytest.mark.parametrize("named", ["Content-Length", "Host", "Transfer-Encoding", "X-Forwarded-For", "Via"])
async def test_f33_connection_cannot_take_away_what_framing_needs(
    one: Service, serve: Serve, connect: Connect, named: str
) -> None:
    """A Connection field that names Host, a framing field or the proxy's own fields does not remove them."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    fields = [("Connection", f"close, {named}")]
    message = await client.ask("POST", one.path, body=b"hello", fields=fields)
    if message.status == 400:
        assert backend.received == b""
        return
    assert (message.status, message.body) == (200, b"hello")
    seen = backend.requests[0]
    assert seen.one("host") == b"models.test"
    assert len(seen.all("content-length")) + len(seen.all("transfer-encoding")) == 1
    assert seen.one("x-forwarded-for") == b"127.0.0.1"
    assert seen.one("via")
