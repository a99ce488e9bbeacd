"""What the proxy adds, keeps and refuses to believe of a call; and the errors that it makes itself."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy, proxy_config, running_proxy
from tests.end_to_end.conftest import service_table as table_of
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import request
from tests.end_to_end.scripted_backend import BackendConnection, Place, always, answer, echo

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_request_tells_the_backend_who_asked(one: Service, serve: Serve, connect: Connect) -> None:
    """The backend gets the client's address, scheme and host, a Via, and the Host that the client named."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    message = await client.ask("GET", f"{one.path}/a?b=%20c&d", fields=[("traceparent", TRACE)])
    seen = backend.requests[0]
    assert seen.target == f"{one.path}/a?b=%20c&d"
    assert seen.one("host") == b"models.test"
    assert seen.one("x-forwarded-for") == b"127.0.0.1"
    assert seen.one("x-forwarded-proto") == b"http"
    assert seen.one("x-forwarded-host") == b"models.test"
    assert (seen.one("via") or b"").startswith(b"1.1 ")
    assert seen.one("traceparent") == TRACE.encode()
    assert (message.one("via") or b"").startswith(b"1.1 ")


async def test_what_an_untrusted_client_claims_is_replaced(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """Forwarded fields of a client that is not on the trusted list never reach the backend."""
    backend = await serve(one.places[0], always(answer()))
    claims = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "bank.test"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6"),
    ]
    assert (await (await connect()).ask("GET", one.path, fields=claims)).status == 200
    assert b"6.6.6.6" not in backend.received
    assert b"bank.test" not in backend.received
    assert backend.requests[0].one("x-forwarded-for") == b"127.0.0.1"
    assert backend.requests[0].one("x-forwarded-proto") == b"http"


async def test_a_request_id_is_kept_or_made(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect
) -> None:
    """The client's id is kept, a missing or harmful one is made: the same at backend, client and log."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    kept = await client.ask("GET", f"{one.path}/kept", fields=[("X-Request-Id", "order-66_a.b")])
    made = [await client.ask("GET", f"{one.path}/made/{n}") for n in range(3)]
    harmful = await client.ask("GET", f"{one.path}/harmful", fields=[("X-Request-Id", "x" * 5000)])
    ids = [message.one("x-request-id") for message in (kept, *made, harmful)]
    assert ids[0] == b"order-66_a.b"
    assert len(set(ids)) == 5
    assert all(re.fullmatch(rb"[!-~]{8,128}", made_id or b"") for made_id in ids)
    assert [seen.one("x-request-id") for seen in backend.requests] == ids
    await wait_until(lambda: bool(proxy.process.records_of(f"{one.path}/kept", within_s=2.0)))
    assert proxy.process.records_of(f"{one.path}/kept")[0]["request_id"] == "order-66_a.b"


async def test_a_served_request_is_logged(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect
) -> None:
    """One line tells method, path, code, backend, bytes and times."""
    await serve(one.places[0], always(answer(b"x" * 100)))
    client = await connect()
    await client.ask("POST", f"{one.path}/logged", body=b"12345", fields=[("traceparent", TRACE)])
    await wait_until(lambda: bool(proxy.process.records_of(f"{one.path}/logged", within_s=2.0)))
    record = proxy.process.records_of(f"{one.path}/logged")[0]
    assert (record["method"], record["code"], record["outcome"]) == ("POST", 200, "ok")
    assert (record["backend"], record["backend_index"]) == (one.places[0].address, 1)
    assert (record["attempts"], record["prefix_size"]) == (1, 1)
    assert record["bytes_in"] >= 5
    assert record["bytes_out"] >= 100
    assert record["trace_id"] == TRACE.split("-")[1]
    assert 0.0 <= record["upstream_ms"] <= record["total_ms"] < 5000.0


async def test_an_unknown_route_is_404_and_names_the_known_ones(connect: Connect) -> None:
    """404 as problem JSON with a reason, marked as the proxy's own; the connection is kept."""
    client = await connect()
    for _ in range(2):
        message = await client.ask("GET", "/no/such/service")
        assert message.status == 404
        assert message.one("content-type") == b"application/problem+json"
        assert message.one("x-swayam-reason") == b"unknown_route"
        problem = json.loads(message.body)
        assert (problem["status"], problem["reason"]) == (404, "unknown_route")
        assert "one-1" in message.body.decode()
    assert (await client.ask("HEAD", "/no/such/service")).status == 404
    message = await client.ask("POST", "/no/such/service", body=b"x" * 100_000)
    assert message.status == 404


async def test_a_route_is_whole_segments(one: Service, serve: Serve, connect: Connect) -> None:
    """`/one-1` leads `/one-1/x` and `/one-1?q`, not `/one-1x`; dots do not climb out of it."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    assert (await client.ask("GET", f"{one.path}?q=1")).status == 200
    assert (await client.ask("GET", f"{one.path}/x")).status == 200
    assert (await client.ask("GET", f"{one.path}x")).status == 404
    assert backend.hits == 2


@pytest.fixture(scope="module")
def own_errors_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProxyProcess, Place]]:
    """A proxy that trusts 127.0.0.0/8: dead services on the paths of three dialects, one live place."""
    dead, live = Place(), Place()
    routes = [("openai", "/v1/chat/completions"), ("v2", "/v2/models"), ("plain", "/predict")]
    services = {name: table_of((dead,), routes=[{"path_prefix": path}]) for name, path in routes}
    services["live"] = table_of(
        (live,), routes=[{"path_prefix": "/live", "strip_prefix": True}, {"host": "live.test"}]
    )
    config = proxy_config({}, process={"trusted_proxies": ["127.0.0.0/8"], "debug_headers": True})
    with running_proxy(tmp_path_factory.mktemp("errors"), {**config, "services": services}) as process:
        yield process, live
    dead.close()
    live.close()


async def test_own_errors_speak_the_dialect_of_the_path(
    own_errors_proxy: tuple[ProxyProcess, Place], connect: Connect
) -> None:
    """Problem JSON by default, OpenAI's and V2's shapes on their paths; each tells its reason in a field."""
    process, _ = own_errors_proxy
    client = await connect(process.endpoint)
    plain = await client.ask("POST", "/predict", body=b"{}")
    openai = await client.ask("POST", "/v1/chat/completions", body=b"{}")
    v2 = await client.ask("POST", "/v2/models/iris/infer", body=b"{}")
    for message in (plain, openai, v2):
        assert message.status in {502, 503}
        assert message.one("x-swayam-reason")
        assert message.one("retry-after")
        assert message.one("x-request-id")
    problem = json.loads(plain.body)
    assert plain.one("content-type") == b"application/problem+json"
    assert problem["status"] == plain.status
    assert problem["reason"] == (plain.one("x-swayam-reason") or b"").decode()
    assert problem["title"]
    error = json.loads(openai.body)["error"]
    assert openai.one("content-type") == b"application/json"
    assert error["message"]
    assert error["code"] == problem["reason"]
    assert isinstance(json.loads(v2.body)["error"], str)


async def test_a_trusted_proxy_is_believed_and_continued(
    own_errors_proxy: tuple[ProxyProcess, Place], serve: Serve, connect: Connect
) -> None:
    """From a trusted peer X-Forwarded-For is continued, -Proto and -Host are kept; both routes lead."""
    process, live = own_errors_proxy
    backend = await serve(live, echo)
    client = await connect(process.endpoint)
    claims = [
        ("X-Forwarded-For", "9.9.9.9, 10.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "www.test"),
    ]
    message = await client.ask("GET", "/live/deep?q", fields=claims)
    assert (message.status, message.one("x-seen")) == (200, b"GET /deep?q HTTP/1.1")
    seen = backend.requests[0]
    assert b",".join(seen.all("x-forwarded-for")).replace(b" ", b"") == b"9.9.9.9,10.0.0.1,127.0.0.1"
    assert seen.one("x-forwarded-proto") == b"https"
    assert seen.one("x-forwarded-host") == b"www.test"
    await client.send(request("GET", "/anything", host="LIVE.test:8080"))
    by_host = await client.read_answer()
    assert (by_host.status, by_host.one("x-seen")) == (200, b"GET /anything HTTP/1.1")


async def test_a_backend_cannot_pass_its_error_off_as_the_proxys(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """A backend's 503 passes as it is, without the field that marks the proxy's own answers."""
    data = answer(
        b"mine", status="503 Busy", fields=[("X-Swayam-Reason", "queue_full"), ("Retry-After", "7")]
    )
    await serve(one.places[0], always(data))
    message = await (await connect()).ask("GET", one.path)
    assert (message.status, message.body, message.one("retry-after")) == (503, b"mine", b"7")
    assert message.one("x-swayam-reason") is None


async def test_every_method_and_an_unknown_status_pass(one: Service, serve: Serve, connect: Connect) -> None:
    """Methods and statuses are not the proxy's business: OPTIONS, PROPFIND and a status of 299 pass."""

    async def script(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            await connection.send(answer(seen.method.encode(), status="299 Whatever It Is"))

    await serve(one.places[0], script)
    client = await connect()
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT"):
        message = await client.ask(method, one.path)
        assert (message.status, message.body) == (299, method.encode())


async def test_an_absolute_target_names_the_host(one: Service, serve: Serve, connect: Connect) -> None:
    """`GET http://host/path` is forwarded as a path with that host, whatever the Host field says."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    await client.send(request("GET", f"http://absolute.test{one.path}/x?y", host="other.test"))
    assert (await client.read_answer()).status == 200
    seen = backend.requests[0]
    assert (seen.target, seen.one("host")) == (f"{one.path}/x?y", b"absolute.test")


async def test_methods_that_a_reverse_proxy_cannot_serve_are_refused(connect: Connect) -> None:
    """CONNECT and the preface of HTTP/2 are refused and closed, never tunnelled."""
    for data in (
        b"CONNECT models.test:443 HTTP/1.1\r\nHost: models.test:443\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        client = await connect()
        await client.send(data)
        assert (await client.read_answer()).status in {400, 404, 405, 501, 505}
        assert await client.wait_for_end(2.0) == b""
