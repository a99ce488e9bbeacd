"""Every request has one record when it has ended, however it ended; and the rules hear the same."""

from swayam_proxy.core.vocabulary import Fault
from tests.end_to_end.connection import wait_until
from tests.end_to_end.raw_client import request
from tests.end_to_end.scripted_backend import BackendConnection, Place, always, answer, echo, read_and_wait
from tests.live.plane import Serve, on_both_loops, running_plane


@on_both_loops
async def test_a_served_request_is_recorded_once(serve: Serve) -> None:
    """The record of a good request says who, what, where and how long."""
    backend = await serve(echo)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
        fields = [("X-Request-Id", "mine"), ("traceparent", trace)]
        message = await client.ask("POST", "/m/x?a=b", body=b"12345", fields=fields)
        assert (message.status, message.body, message.one("x-request-id")) == (200, b"12345", b"mine")
        record = await plane.next_record()
        assert (record.method, record.path, record.service_name) == ("POST", "/m/x?a=b", "m")
        assert (record.code, record.outcome, record.reason, record.attempts) == (200, "ok", "", 1)
        assert (record.request_id, record.trace_id, record.client) == ("mine", "ab" * 16, "127.0.0.1")
        assert (record.bytes_in, record.bytes_out) == (5, 5)
        assert (record.backend_address, record.backend_index, record.prefix_size) == (
            backend.place.address,
            1,
            1,
        )
        assert 0 < record.first_byte_s <= record.total_s < 5
        assert record.sla_met is True
        assert plane.in_flight_count == 0


@on_both_loops
async def test_requests_without_an_answer_of_a_backend_are_recorded_too(serve: Serve) -> None:
    """Bad heads, unknown routes, large bodies and dead backends: one record each, with status and reason."""
    place = Place()
    async with running_plane(place.address, service={"request_body_bytes_max": 10}) as plane:
        expected = [
            (b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n", 400, "bad_request", "bad_request"),
            (request("GET", "/other"), 404, "bad_request", "unknown_route"),
            (request("POST", "/m", body=bytes(11)), 413, "bad_request", "body_too_large"),
            (request("GET", "/m"), 503, "retry_exhausted", "no_backend"),
        ]
        for count, (raw, code, outcome, reason) in enumerate(expected, start=1):
            client = await plane.connect()
            await client.send(raw)
            message = await client.read_answer()
            assert (message.status, message.one("x-swayam-reason")) == (code, reason.encode())
            record = await plane.next_record(count)
            assert (record.code, record.outcome, record.reason) == (code, outcome, reason)
            assert record.request_id.encode() == message.one("x-request-id")
    place.close()


@on_both_loops
async def test_cut_and_malformed_answers_are_recorded_as_the_backends_fault(serve: Serve) -> None:
    """502 where nothing was sent yet; a cut answer keeps its status and is logged as incomplete."""

    async def script(connection: BackendConnection) -> None:
        kind = (await connection.next_request()).target.rpartition("/")[2]
        if kind == "cut":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
        elif kind == "malformed":
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n")

    backend = await serve(script)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        for count, (kind, reason) in enumerate(
            [("nothing", "backend_reset"), ("malformed", "backend_malformed")], start=1
        ):
            message = await client.ask("POST", f"/m/{kind}", body=b"1")
            assert (message.status, message.one("x-swayam-reason")) == (502, reason.encode())
            record = await plane.next_record(count)
            assert (record.code, record.outcome, record.reason) == (502, "upstream_error", reason)
        message = await client.ask("GET", "/m/cut")
        assert not message.complete
        record = await plane.next_record(3)
        assert (record.code, record.outcome, record.reason) == (200, "upstream_error", "answer_incomplete")
        assert plane.driver.snapshot().services[0].backends[0].faults_count == 3


@on_both_loops
async def test_a_client_that_leaves_is_recorded_as_499(serve: Serve) -> None:
    """A close and a reset while the backend works both free the slot and close the backend's connection."""
    backend = await serve(read_and_wait)
    async with running_plane(backend.place.address) as plane:
        for count, leave in enumerate(("close", "reset"), start=1):
            client = await plane.connect()
            await client.send(request("POST", "/m", body=b"1"))
            await wait_until(lambda count=count: len(backend.requests) == count)  # type: ignore[misc]
            if leave == "reset":
                client.reset()
            else:
                await client.close()
            record = await plane.next_record(count)
            assert (record.code, record.outcome, record.reason) == (499, "client_abort", "client_left")
            await wait_until(lambda: backend.connections[-1].ended_at is not None)
            assert plane.in_flight_count == 0
        assert plane.driver.snapshot().services[0].backends[0].faults_count == 0


@on_both_loops
async def test_a_refused_connect_blames_the_backend(serve: Serve) -> None:
    """Each refused connect is a fault of that backend, and none of the one that served."""
    dead, backend = Place(), await serve(always(answer()))
    async with running_plane(dead.address, backend.place.address) as plane:
        client = await plane.connect()
        for _ in range(10):
            assert (await client.ask("POST", "/m", body=b"1")).status == 200
        first, second = plane.driver.snapshot().services[0].backends
        assert first.faults_count > 0
        assert second.faults_count == 0
        assert Fault.REFUSED in plane.driver.snapshot().services[0].retries
    dead.close()
