"""docs/sidecar-protocol.md, sections 1, 3 and 4, asked of everything that speaks it.

Each row of the document's tables is a test. The checks know an address and nothing of what answers there.
"""

import asyncio
import signal
import subprocess

import pytest

from tests.end_to_end.connection import PATIENCE_S, Message, wait_until
from tests.end_to_end.raw_client import request
from tests.end_to_end.sidecar_fixtures import Subjects, TakeSubject
from tests.end_to_end.sidecar_subject import Frontend, Kind, Running, Subject, open_client

LONG = "/x?execution=30s"


def assert_busy(answer: Message, state: str | None = None) -> None:
    """Check that a request was refused as the table has it."""
    assert (answer.status, answer.one("swayam-busy"), answer.one("content-length")) == (503, b"1", b"0")
    assert answer.one("swayam-state") == (state.encode() if state else None)


def execution_ms(answer: Message) -> float:
    """Return the execution time that an answer tells; the model server may have told its own, too."""
    told = [value.removeprefix(b"exec;dur=") for value in answer.all("server-timing")]
    assert told
    return min(float(milliseconds) for milliseconds in told)


async def occupied(subject: Subject, path: str = LONG) -> Running:
    """Run one request, and return once it has its slot."""
    running = await Running.begin(subject, path)
    await subject.until(lambda state: state["running"] == 1)
    return running


async def granted(subject: Subject) -> tuple[Frontend, str]:
    """Return a frontend with one lease, and the field that uses it."""
    frontend = await Frontend.open(subject)
    await frontend.say("hold 7 0")
    await frontend.expect("grant", "7")
    return frontend, f"{frontend.name}/7"


async def test_a_try_runs_in_a_free_slot(subject: Subject) -> None:
    """The answer tells the execution time and, since nobody waits, that the slot is idle."""
    answer = await subject.ask("POST", "/x?execution=20ms", b"{}")
    assert (answer.status, answer.one("swayam-busy")) == (200, None)
    assert 20 <= execution_ms(answer) < PATIENCE_S * 1e3
    assert answer.one("swayam-idle") == b"1"


async def test_a_try_without_a_free_slot_is_busy(subject: Subject) -> None:
    """Refused at once, and nothing is remembered of it."""
    running = await occupied(subject)
    assert_busy(await subject.ask("POST", "/x", b"{}"))
    state = await subject.state()
    assert (state["running"], state["leased"], state["holds"]) == (1, 0, 0)
    await running.leave()


async def test_busy_does_not_wait_for_the_body(subject: Subject) -> None:
    """The head of a request is enough to refuse it."""
    running = await occupied(subject)
    client = await open_client(subject)
    await client.send(request("POST", "/x", fields=[("Content-Length", "1000000")]))
    assert_busy(await client.read_answer())
    await client.close()
    await running.leave()


async def test_slots_run_side_by_side(take: TakeSubject) -> None:
    """Two slots run two requests; the third is busy."""
    subject = await take(slots=2)
    both = [await Running.begin(subject, LONG) for _ in range(2)]
    await subject.until(lambda state: state["running"] == 2)
    assert_busy(await subject.ask("GET", "/x"))
    for running in both:
        await running.leave()


async def test_a_granted_request_runs_in_its_lease(subject: Subject) -> None:
    """A leased slot is not free for tries, and is for the request with the grant."""
    frontend, grant = await granted(subject)
    assert_busy(await subject.ask("GET", "/x"))
    running = await Running.begin(subject, "/x?execution=1s", grant)
    state = await subject.until(lambda state: state["running"] == 1)
    assert state["leased"] == 0
    assert (await running.answer()).status == 200
    await frontend.close()


async def test_a_used_grant_is_a_try(subject: Subject) -> None:
    """A lease serves once: with no free slot the second request is busy, with one it runs."""
    frontend, grant = await granted(subject)
    running = await Running.begin(subject, LONG, grant)
    await subject.until(lambda state: state["running"] == 1)
    assert_busy(await subject.ask("GET", "/x", Swayam_Grant=grant))
    await running.leave()
    await subject.until(lambda state: state["running"] == 0)
    assert (await subject.ask("GET", "/x", Swayam_Grant=grant)).status == 200
    await frontend.close()


@pytest.mark.parametrize("grant", ["nobody/1", "nobody", "/", "a/b/c", "nobody/0x1", "nobody/"])
async def test_an_unknown_grant_is_a_try(subject: Subject, grant: str) -> None:
    """What names no lease takes no lease: it runs where a slot is free, and is busy where none is."""
    assert (await subject.ask("GET", "/x", Swayam_Grant=grant)).status == 200
    frontend, _ = await granted(subject)
    assert_busy(await subject.ask("GET", "/x", Swayam_Grant=grant))
    await frontend.close()


async def test_a_slot_that_somebody_waits_for_is_not_told_idle(subject: Subject) -> None:
    """The answer carries no Swayam-Idle when the slot goes to a hold."""
    running = await Running.begin(subject, "/x?execution=300ms")
    await subject.until(lambda state: state["running"] == 1)
    frontend = await Frontend.open(subject)
    await frontend.say("hold 1 0")
    await frontend.expect("grant", "1")
    answer = await running.answer()
    assert (answer.status, answer.one("swayam-idle")) == (200, None)
    await frontend.close()


async def test_cold_is_busy(subject: Subject) -> None:
    """COLD refuses, and says so."""
    await subject.cold()
    assert_busy(await subject.ask("GET", "/x"), "COLD")


async def test_warming_is_busy(take: TakeSubject) -> None:
    """WARMING refuses, and says so."""
    subject = await take(owns_server=True)
    await subject.cold()
    await subject.post("setup")
    assert_busy(await subject.ask("GET", "/x"), "WARMING")


async def test_draining_is_busy_and_runs_what_runs(subject: Subject) -> None:
    """DRAINING refuses new requests, finishes the running one, and then is COLD."""
    running = await occupied(subject, "/x?execution=500ms")
    incarnation = (await subject.state())["incarnation"]
    await subject.post("retire", {"incarnation": incarnation})
    assert_busy(await subject.ask("GET", "/x"), "DRAINING")
    answer = await running.answer()
    assert (answer.status, answer.one("swayam-idle")) == (200, None)
    await subject.until(lambda state: state["state"] == "COLD")


async def test_set_up(subject: Subject) -> None:
    """COLD becomes WARMING and the incarnation rises by one, however great the one asked for."""
    before = (await subject.cold())["incarnation"]
    status, state = await subject.post("setup", {"incarnation": before + 5})
    assert (status, state["incarnation"]) == (202, before + 1)
    assert state["state"] in ("WARMING", "WARM")
    state = await subject.until(lambda state: state["state"] == "WARM")
    assert state["setup_s"] > 0


async def test_set_up_of_the_present_incarnation_changes_nothing(subject: Subject) -> None:
    """COLD stays COLD when the incarnation asked for has been."""
    before = await subject.cold()
    status, state = await subject.post("setup", {"incarnation": before["incarnation"]})
    assert (status, state["state"], state["incarnation"]) == (202, "COLD", before["incarnation"])


async def test_set_up_twice_is_set_up_once(subject: Subject) -> None:
    """Any number of frontends may ask, with and without an incarnation."""
    before = (await subject.cold())["incarnation"]
    for content in (None, {}, {"incarnation": before + 1}, {"incarnation": before + 2}):
        status, state = await subject.post("setup", content)
        assert (status, state["incarnation"]) == (202, before + 1)
    await subject.until(lambda state: state["state"] == "WARM")
    assert (await subject.post("setup", {"incarnation": before + 9}))[1]["incarnation"] == before + 1


async def test_retire_compares_and_sets(subject: Subject) -> None:
    """Another incarnation is refused and changes nothing; the present one goes."""
    incarnation = (await subject.state())["incarnation"]
    for other in (incarnation - 1, incarnation + 1):
        status, state = await subject.post("retire", {"incarnation": other})
        assert (status, state["retired"], state["state"]) == (409, False, "WARM")
        assert state["incarnation"] == incarnation
    status, state = await subject.post("retire", {"incarnation": incarnation})
    assert (status, state["retired"]) == (200, True)
    await subject.until(lambda state: state["state"] == "COLD")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("setup", b"{"), ("setup", b"[1]"), ("setup", b'{"incarnation": "3"}'),
        ("setup", b'{"incarnation": -1}'), ("retire", b"{"), ("retire", b"{}"), ("retire", b""),
        ("retire", b'{"incarnation": true}'),
    ],
)  # fmt: skip
async def test_bodies_that_cannot_be_read(subject: Subject, what: str, body: bytes) -> None:
    """400, and nothing happens."""
    assert (await subject.ask("POST", f"/swayam/{what}", body)).status == 400
    assert (await subject.state())["state"] == "WARM"


async def test_the_state_tells_everything(take: TakeSubject) -> None:
    """Every key of the table, with the right type and value."""
    subject = await take(slots=2)
    frontend, _ = await granted(subject)
    running = await occupied(subject)
    await frontend.say("hold 8 0", "hold 9 0")
    await frontend.lines_so_far()
    state = await subject.state()
    counts = [state[name] for name in ("slots", "running", "leased", "holds")]
    assert (state["state"], counts) == ("WARM", [2, 1, 1, 2])
    assert isinstance(state["incarnation"], int)
    assert 0 < state["setup_s"] < 30
    assert state["idle_s"] is None
    assert state["uptime_s"] > 0
    await running.leave()
    await frontend.close()


@pytest.mark.parametrize("path", ["/swayam/", "/swayam/nonsense", "/swayam/state/x"])
async def test_unknown_control_paths(subject: Subject, path: str) -> None:
    """Nothing below /swayam/ reaches the model server."""
    assert (await subject.ask("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "setup"), ("POST", "retire"), ("GET", "state"), ("GET", "control")],
)
async def test_a_token_guards_control(take: TakeSubject, method: str, path: str) -> None:
    """Without the token, or with another, the answer is 401; requests for the model need none."""
    subject = await take(has_token=True)
    body = b'{"incarnation": 1}' if method == "POST" else None
    upgrade = {"Connection": "Upgrade", "Upgrade": "swayam-control/1", "Swayam_Frontend": "x"}
    fields = upgrade if path == "control" else {}
    for token in (None, "another", ""):
        answer = await subject.ask(method, f"/swayam/{path}", body, token=token, **fields)
        assert answer.status == 401
    assert (await subject.ask("GET", "/x")).status == 200
    await (await Frontend.open(subject)).close()


async def test_life_is_told_on_the_control_connection(take: TakeSubject) -> None:
    """WARM, DRAINING, COLD, WARMING, WARM: each change is a line to everybody, with the incarnation."""
    subject = await take()
    frontends = [await Frontend.open(subject) for _ in range(2)]
    first = [await frontend.expect("state", "WARM") for frontend in frontends]
    incarnation = int(first[0][2])
    assert first[0] == first[1]
    assert float(first[0][3]) > 0
    await subject.post("retire", {"incarnation": incarnation})
    await subject.until(lambda state: state["state"] == "COLD")
    await subject.post("setup")
    for frontend in frontends:
        for state, number in (("DRAINING", 0), ("COLD", 0), ("WARMING", 1), ("WARM", 1)):
            words = (await frontend.line()).split(" ")
            assert words[:3] == ["state", state, str(incarnation + number)]
            assert float(words[3]) > 0
        await frontend.close()


async def test_a_new_backend_counts_from_nothing(subjects: Subjects, implementation: str) -> None:
    """The first line of a backend that was never set up says COLD, 0 and no set-up time."""
    subject = subjects.take(implementation, Kind(owns_server=True, idle="1h"))
    frontend = await Frontend.open(subject)
    assert await frontend.line() == "state COLD 0 -"
    await frontend.close()


async def test_a_failed_start_is_cold_again(subjects: Subjects, implementation: str) -> None:
    """WARMING ends COLD when the model server does not come; the incarnation was used all the same."""
    subject = subjects.take(implementation, Kind(owns_server=True, is_broken=True))
    await subject.fail_setups(1)
    frontend = await Frontend.open(subject)
    before = int((await frontend.expect("state", "COLD"))[2])
    await frontend.say(f"setup {before + 1}")
    await frontend.expect("state", "WARMING", str(before + 1))
    assert (await frontend.expect("state"))[1:3] == ["COLD", str(before + 1)]
    await frontend.close()


async def set_up_anew(subject: Subject) -> tuple[Frontend, str]:
    """Let a backend become warm now, and return a frontend that saw it and the incarnation."""
    await subject.cold()
    frontend = await Frontend.open(subject)
    await subject.post("setup")
    return frontend, (await frontend.expect("state", "WARM"))[2]


async def test_idle_backends_decommission_themselves(take: TakeSubject) -> None:
    """Nobody else decides it: after the idle time it is DRAINING, then COLD; its setting is told."""
    subject = await take(owns_server=True, idle="800ms")
    frontend, incarnation = await set_up_anew(subject)
    assert (await subject.state())["idle_s"] == pytest.approx(0.8)
    await frontend.expect("state", "DRAINING", incarnation)
    assert (await frontend.expect("state"))[1] == "COLD"
    await frontend.close()


async def test_idle_time_counts_from_the_end_of_the_last_request(take: TakeSubject) -> None:
    """A request that runs longer than the idle time is not decommissioned under, and keeps it warm after."""
    subject = await take(owns_server=True, idle="800ms")
    frontend, incarnation = await set_up_anew(subject)
    assert (await subject.ask("GET", "/x?execution=1s")).status == 200
    state = await subject.state()
    assert (state["state"], str(state["incarnation"])) == ("WARM", incarnation)
    await frontend.close()


async def test_orders_keep_an_idle_backend_warm(take: TakeSubject) -> None:
    """Orders to set up what is warm say that it is wanted: it stays for as long as they come, not longer."""
    subject = await take(owns_server=True, idle="800ms")
    frontend, incarnation = await set_up_anew(subject)
    for _ in range(8):
        await asyncio.sleep(0.2)
        await frontend.say(f"setup {incarnation}")
        assert (await frontend.expect("state"))[1:3] == ["WARM", incarnation]
    await frontend.expect("state", "DRAINING", incarnation)
    await frontend.close()


async def test_a_lost_model_server_is_started_again(take: TakeSubject) -> None:
    """WARM becomes WARMING as another incarnation, then WARM, without being asked."""
    subject = await take(owns_server=True)
    frontend = await Frontend.open(subject)
    incarnation = int((await frontend.expect("state", "WARM"))[2])
    await subject.kill_model_server()
    await frontend.expect("state", "WARMING", str(incarnation + 1))
    assert (await frontend.expect("state"))[1:3] == ["WARM", str(incarnation + 1)]
    assert (await subject.ask("GET", "/x")).status == 200
    await frontend.close()


async def test_sigterm_drains(subjects: Subjects, implementation: str) -> None:
    """DRAINING is told, what runs is finished, and the process ends with status 0."""
    subject = subjects.start_one(implementation, Kind())
    await subject.warm()
    frontend = await Frontend.open(subject)
    running = await occupied(subject, "/x?execution=500ms")
    subject.process.send_signal(signal.SIGTERM)
    await frontend.expect("state", "DRAINING")
    assert_busy(await subject.ask("GET", "/x"), "DRAINING")
    assert (await running.answer()).status == 200
    try:
        await wait_until(lambda: subject.process.poll() is not None)
    except TimeoutError:
        raise subprocess.TimeoutExpired("the backend", PATIENCE_S) from None
    assert subject.process.returncode == 0
    await frontend.close()
