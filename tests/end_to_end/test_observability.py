"""What a running proxy tells of itself: metrics, logs and state agree with what happened, without secrets."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.conftest import Connect, Serve, proxy_config, running_proxy, service_table
from tests.end_to_end.connection import PATIENCE_S, wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.scripted_backend import BackendConnection, Place, answer

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
Running = tuple[ProxyProcess, dict[str, tuple[Place, ...]]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A proxy with a service that works, one that nobody runs, and one whose backends are checked."""
    directory = tmp_path_factory.mktemp("observed")
    places = {"good": (Place(),), "dead": (Place(),), "checked": (Place(), Place())}
    tables = {name: service_table(of_service) for name, of_service in places.items()}
    tables["good"]["tick"] = "100ms"
    tables["checked"]["health"] = {
        "preset": "v2",
        "interval": "500ms",
        "timeout": "500ms",
        "fall": 2,
        "rise": 2,
    }
    config = proxy_config(tables, process={"decision_log": str(directory / "decisions.jsonl")})
    try:
        with running_proxy(directory, config) as process:
            yield process, places
    finally:
        for place in (place for of_service in places.values() for place in of_service):
            place.close()


def scrape(process: ProxyProcess) -> Samples:
    """Return every sample of `/metrics` by name and labels."""
    status, text = process.admin_get("/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def backends_up(samples: Samples) -> dict[int, bool]:
    """Return what `/metrics` says of the checked service's backends, by index."""
    return {
        int(dict(labels)["index"]): value == 1.0
        for (name, labels), value in samples.items()
        if name == "swayam_backend_up" and dict(labels)["model"] == "checked"
    }


def requests_by_outcome(process: ProxyProcess) -> Counter[tuple[str, int, str]]:
    """Return what `/metrics` counted, by model, code and outcome."""
    found: Counter[tuple[str, int, str]] = Counter()
    for (name, labels), value in scrape(process).items():
        if name == "swayam_requests_total":
            of = dict(labels)
            found[of["model"], int(of["code"]), of["outcome"]] = int(value)
    return found


async def ok(connection: BackendConnection) -> None:
    """Answer everything."""
    while True:
        await connection.next_request()
        await connection.send(answer())


async def test_metrics_and_log_agree(running: Running, serve: Serve, connect: Connect) -> None:
    """Each request is one line and one count, with the same outcome; none is lost, none counted twice."""
    process, places = running
    await serve(places["good"][0], ok)
    client = await connect(process.endpoint)
    for number in range(20):
        assert (await client.ask("GET", f"/good/{number}?api_key=very-secret")).status == 200
    for _ in range(3):
        assert (await client.ask("GET", "/dead")).status == 503
    assert (await client.ask("GET", "/nowhere")).status == 404
    await wait_until(lambda: len(process.access_records()) >= 24)
    logged = Counter(
        (record["model"] or "unrouted", record["code"], record["outcome"])
        for record in process.access_records()
    )
    assert logged == requests_by_outcome(process)
    assert logged["good", 200, "ok"] == 20
    assert sum(logged.values()) == 24
    assert "very-secret" not in process.access_log_path.read_text()
    samples = scrape(process)
    assert samples["swayam_sla_requests_total", (("model", "good"),)] == 20
    assert samples["swayam_request_duration_seconds_bucket", (("le", "1.0"), ("model", "good"))] == 20
    good = [record for record in process.access_records() if record["model"] == "good"]
    assert samples["swayam_sla_good_total", (("model", "good"),)] == sum(record["sla_met"] for record in good)
    for record in good:
        parts_ms = record["queue_ms"] + record["connect_ms"] + record["upstream_ms"] + record["overhead_ms"]
        assert parts_ms == pytest.approx(record["total_ms"], abs=0.01)


async def test_decisions_are_logged_and_counted(running: Running) -> None:
    """Every tick is a line that can be read, and a count; the line's reason is the metric's label."""
    process, _ = running
    path = process.directory / "decisions.jsonl"
    await wait_until(lambda: path.exists() and path.read_text().count("\n") >= 5)
    lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert {line["proxy_id"] for line in lines} == {json.loads(process.admin_get("/state")[1])["frontend_id"]}
    reasons = {(line["service_name"], line["reason"]) for line in lines}
    counted = {
        (dict(labels)["model"], dict(labels)["reason"])
        for name, labels in scrape(process)
        if name == "swayam_decisions_total"
    }
    assert reasons <= counted
    assert all(line["version"] and line["text"] and line["evidence"] for line in lines)


async def test_checks_take_backends_out_and_back(running: Running, serve: Serve, connect: Connect) -> None:
    """A backend whose check fails gets no call, though it never failed one; recovered, it is used again."""
    process, places = running
    is_well = asyncio.Event()
    calls: Counter[int] = Counter()

    def script_of(number: int, *, can_be_ill: bool) -> object:
        async def script(connection: BackendConnection) -> None:
            message = await connection.next_request()
            if message.target == "/v2/health/ready":
                ill = can_be_ill and not is_well.is_set()
                await connection.send(answer(status="503 Service Unavailable" if ill else "200 OK"))
                return
            calls[number] += 1
            await connection.send(answer(fields=[("Connection", "close")]))

        return script

    async def wait_for_up(wanted: dict[int, bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            # in a thread, because the backends that are checked live on this loop
            while backends_up(await asyncio.to_thread(scrape, process)) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    for number, place in enumerate(places["checked"], start=1):
        await serve(place, script_of(number, can_be_ill=number == 1))  # type: ignore[arg-type]
    await wait_for_up({1: False, 2: True})
    client = await connect(process.endpoint)
    for _ in range(20):
        assert (await client.ask("GET", "/checked")).status == 200
    assert calls == {2: 20}
    is_well.set()
    await wait_for_up({1: True, 2: True})
    for _ in range(40):
        assert (await client.ask("GET", "/checked")).status == 200
    assert calls[1] > 0


async def test_hangup_reopens_the_log(running: Running, serve: Serve, connect: Connect) -> None:
    """After a rotation by renaming, SIGHUP makes the next line appear in a new file; nothing is lost."""
    process, _ = running
    rotated = process.access_log_path.with_suffix(".1")
    process.access_log_path.rename(rotated)
    process.process.send_signal(signal.SIGHUP)
    await wait_until(process.access_log_path.exists)
    client = await connect(process.endpoint)
    await client.ask("GET", "/nowhere/after")
    await wait_until(lambda: "/nowhere/after" in process.access_log_path.read_text())
    logged_count = rotated.read_text().count("\n") + len(process.access_records())
    assert logged_count == sum(requests_by_outcome(process).values())


async def test_state_and_page_are_served(running: Running) -> None:
    """`/state` names every service, `/` is a page, `/healthz` and `/readyz` say yes."""
    process, places = running
    state = json.loads(process.admin_get("/state")[1])
    assert set(state["services"]) == set(places)
    assert state["ready"] is True
    assert b"<title>Swayam</title>" in process.admin_get("/")[1]
    assert process.admin_get("/healthz")[0] == process.admin_get("/readyz")[0] == 200


def test_a_log_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """The message names the file and the key; the exit status is 1, without a traceback."""
    place = Place()
    process = ProxyProcess(tmp_path, proxy_config({"m": service_table((place,))}))
    process.config["process"] = {"access_log": str(tmp_path / "nowhere" / "access.log")}
    try:
        with pytest.raises(AssertionError, match=r"ended at its start with [12]"):
            process.start()
    finally:
        place.close()
    assert "nowhere" in process.stderr()
    assert "Traceback" not in process.stderr()
