"""docs/sidecar-protocol.md, section 2, asked of everything that speaks it: the control connection.

Each line of the grammar and each rule for the backend is a test.
"""

import asyncio

import pytest

from tests.end_to_end.connection import PATIENCE_S
from tests.end_to_end.sidecar_fixtures import TakeSubject
from tests.end_to_end.sidecar_subject import LEASE_MS, Frontend, Running, Subject

LONG = "/x?execution=30s"
HOLDS_COUNT_MAX = 10_000


async def occupied(subject: Subject) -> Running:
    """Run one long request, and return once it has its slot."""
    running = await Running.begin(subject, LONG)
    await subject.until(lambda state: state["running"] == 1)
    return running


async def placed(frontend: Frontend, *lines: str) -> None:
    """Send lines, and return when they have been read."""
    await frontend.say(*lines)
    await frontend.lines_so_far()


def grants(lines: list[str]) -> list[str]:
    """Return the lines that are grants."""
    return [line for line in lines if line.startswith("grant ")]


async def test_the_state_is_told_first(subject: Subject) -> None:
    """After 101 comes a state line, unasked."""
    state = await subject.state()
    frontend = await Frontend.open(subject)
    words = (await frontend.line()).split(" ")
    assert words[:3] == ["state", "WARM", str(state["incarnation"])]
    assert float(words[3]) == pytest.approx(state["setup_s"] * 1e3, abs=0.5)
    await frontend.close()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"Swayam_Frontend": "a", "Connection": "Upgrade", "Upgrade": "swayam-control/2"}, 426),
        ({"Swayam_Frontend": "a"}, 426),
        ({"Connection": "Upgrade", "Upgrade": "swayam-control/1"}, 400),
        ({"Swayam_Frontend": "a/b", "Connection": "Upgrade", "Upgrade": "swayam-control/1"}, 400),
        ({"Swayam_Frontend": "x" * 65, "Connection": "Upgrade", "Upgrade": "swayam-control/1"}, 400),
    ],
)
async def test_upgrades_that_are_refused(subject: Subject, fields: dict[str, str], status: int) -> None:
    """Another protocol, or a frontend without a name as the document wants it."""
    assert (await subject.ask("GET", "/swayam/control", **fields)).status == status


async def test_the_longest_name_is_good(subject: Subject) -> None:
    """64 characters of every kind that is allowed."""
    frontend = await Frontend.open(subject, "aZ09._-" + "x" * 57)
    await frontend.expect("state")
    await frontend.close()


@pytest.mark.parametrize("age_ms", ["0", "12", "12.5"])
async def test_a_hold_at_a_free_slot_is_granted_at_once(subject: Subject, age_ms: str) -> None:
    """The grant names the hold and the length of the lease."""
    frontend = await Frontend.open(subject)
    await frontend.say(f"hold 41 {age_ms}")
    words = await frontend.expect("grant")
    assert words[1] == "41"
    assert float(words[2]) == pytest.approx(LEASE_MS)
    await frontend.close()


async def test_a_hold_waits_for_the_next_free_slot(subject: Subject) -> None:
    """No grant while the slot is taken; the end of the request brings it."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await frontend.say("hold 1 0")
    assert grants(await frontend.lines_so_far()) == []
    await running.leave()
    await frontend.expect("grant", "1")
    await frontend.close()


async def test_a_hold_is_kept_once(subject: Subject) -> None:
    """A line that comes twice counts once."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await placed(frontend, "hold 1 0", "hold 1 0")
    assert (await subject.state())["holds"] == 1
    await frontend.close()
    await running.leave()


async def test_holds_are_ignored_unless_warm(subject: Subject) -> None:
    """COLD keeps no hold, and grants none of those that came then."""
    await subject.cold()
    frontend = await Frontend.open(subject)
    await placed(frontend, "hold 1 0")
    assert (await subject.state())["holds"] == 0
    await subject.post("setup")
    await frontend.expect("state", "WARM")
    assert grants(await frontend.lines_so_far()) == []
    await frontend.close()


async def test_a_cancelled_hold_is_not_granted(subject: Subject) -> None:
    """The slot passes it over."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await placed(frontend, "hold 1 50", "hold 2 0", "cancel 1")
    assert (await subject.state())["holds"] == 1
    await running.leave()
    assert (await frontend.expect("grant"))[1] == "2"
    await frontend.close()


async def test_a_cancelled_grant_goes_to_the_next(subject: Subject) -> None:
    """The slot is given back at once, long before the lease ends."""
    running = await occupied(subject)
    frontends = [await Frontend.open(subject) for _ in range(2)]
    await placed(frontends[0], "hold 1 50")
    await placed(frontends[1], "hold 1 0")
    await running.leave()
    await frontends[0].expect("grant", "1")
    assert grants(await frontends[1].lines_so_far()) == []
    await frontends[0].say("cancel 1")
    await frontends[1].expect("grant", "1")
    for frontend in frontends:
        await frontend.close()


async def test_a_grant_given_back_is_free(subject: Subject) -> None:
    """With nobody waiting, a try may have it; to cancel what is not known changes nothing."""
    frontend = await Frontend.open(subject)
    await frontend.say("hold 1 0")
    await frontend.expect("grant", "1")
    await placed(frontend, "cancel 1", "cancel 1", "cancel 99")
    state = await subject.state()
    assert (state["leased"], state["holds"]) == (0, 0)
    assert (await subject.ask("GET", "/x")).status == 200
    await frontend.close()


async def test_cancel_does_not_stop_a_request(subject: Subject) -> None:
    """What runs already goes on."""
    frontend = await Frontend.open(subject)
    await frontend.say("hold 1 0")
    await frontend.expect("grant", "1")
    running = await Running.begin(subject, "/x?execution=500ms", f"{frontend.name}/1")
    await subject.until(lambda state: state["running"] == 1)
    await placed(frontend, "cancel 1")
    assert (await subject.state())["running"] == 1
    assert (await running.answer()).status == 200
    await frontend.close()


async def test_setup_lines_are_answered_by_the_state(subject: Subject) -> None:
    """Changed or not."""
    before = (await subject.cold())["incarnation"]
    frontend = await Frontend.open(subject)
    await frontend.expect("state", "COLD")
    await frontend.say(f"setup {before}")
    assert (await frontend.line()).split(" ")[:3] == ["state", "COLD", str(before)]
    await frontend.say(f"setup {before + 1}")
    assert (await frontend.line()).split(" ")[:3] == ["state", "WARMING", str(before + 1)]
    assert (await frontend.line()).split(" ")[:3] == ["state", "WARM", str(before + 1)]
    await frontend.say(f"setup {before + 1}")
    assert (await frontend.line()).split(" ")[:3] == ["state", "WARM", str(before + 1)]
    await frontend.close()


async def test_pings_are_answered(subject: Subject) -> None:
    """By the same number, in order."""
    frontend = await Frontend.open(subject)
    await frontend.say("ping 0", "ping 18", "ping 5")
    assert [(await frontend.expect("pong"))[1] for _ in range(3)] == ["0", "18", "5"]
    await frontend.close()


async def test_lines_may_come_in_pieces(subject: Subject) -> None:
    """A line ends with its LF, not with its packet."""
    frontend = await Frontend.open(subject)
    for piece in (b"pi", b"ng 1", b"2\npin", b"g 3\n"):
        await frontend.client.send(piece)
        await asyncio.sleep(0)
    assert [(await frontend.expect("pong"))[1] for _ in range(2)] == ["12", "3"]
    await frontend.close()


@pytest.mark.parametrize("line", ["release 3", "x", "nonsense with many words 1.5 -", "w" * 256])
async def test_unknown_words_are_ignored(subject: Subject, line: str) -> None:
    """Later versions may add some."""
    frontend = await Frontend.open(subject)
    await placed(frontend, line)
    await frontend.close()


@pytest.mark.parametrize(
    "line",
    [
        b"hold", b"hold 1", b"hold 0 5", b"hold -1 5", b"hold one 5", b"hold 1 -5", b"hold 1 soon",
        b"hold 1 nan", b"hold 1 inf", b"hold 1 5 6", b"cancel", b"cancel x", b"cancel 0", b"cancel 1 2",
        b"setup", b"setup x", b"setup -1", b"ping", b"ping x", b"hold 1 5\xc3\xa9", b"w" * 257,
        b"w" * 100_000,
    ],
)  # fmt: skip
async def test_lines_that_cannot_be_read_end_the_connection(subject: Subject, line: bytes) -> None:
    """The connection ends, and with it what it held; the backend goes on."""
    frontend = await Frontend.open(subject)
    await frontend.say("hold 77 0")
    await frontend.expect("grant", "77")
    await frontend.client.send(line + b"\n")
    await frontend.client.wait_for_end(PATIENCE_S)
    await frontend.close()
    await subject.until(lambda state: state["leased"] == 0)


async def test_a_line_without_end_ends_the_connection(subject: Subject) -> None:
    """257 bytes without an LF cannot become a line."""
    frontend = await Frontend.open(subject)
    await frontend.client.send(b"w" * 257)
    await frontend.client.wait_for_end(PATIENCE_S)
    await frontend.close()


async def test_a_second_connection_replaces_the_first(subject: Subject) -> None:
    """The first ends with its holds and leases; the second works."""
    running = await occupied(subject)
    first = await Frontend.open(subject)
    await placed(first, "hold 1 0")
    second = await Frontend.open(subject, first.name)
    await first.client.wait_for_end(PATIENCE_S)
    assert (await subject.state())["holds"] == 0
    await placed(second, "hold 2 0")
    await running.leave()
    await second.expect("grant", "2")
    await first.close()
    await second.close()


async def test_idle_is_told_to_one_frontend(subject: Subject) -> None:
    """When a lease ends and nobody waits, one of them hears of it, and only one."""
    frontends = [await Frontend.open(subject) for _ in range(4)]
    await frontends[0].say("hold 1 0")
    await frontends[0].expect("grant", "1")
    await placed(frontends[0], "cancel 1")
    said = [line for frontend in frontends for line in await frontend.lines_so_far()]
    assert said.count("idle") <= 1, "the first may have read its own with the answer to its ping"
    for frontend in frontends:
        await frontend.close()


async def test_idle_is_told_when_a_client_left(subject: Subject) -> None:
    """No answer carries Swayam-Idle then, so a line does."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await frontend.expect("state")
    await running.leave()
    await frontend.expect("idle")
    await frontend.close()


async def test_rule_1_the_oldest_hold_first(subject: Subject) -> None:
    """Age on arrival plus the time since then decides, over all frontends."""
    running = await occupied(subject)
    frontends = [await Frontend.open(subject) for _ in range(3)]
    await placed(frontends[0], "hold 1 0")
    await placed(frontends[1], "hold 1 90000", "hold 2 5000.5")
    await placed(frontends[2], "hold 1 60000.25")
    await running.leave()
    for frontend, number in ((1, 1), (2, 1), (1, 2), (0, 1)):
        assert (await frontends[frontend].expect("grant"))[1] == str(number)
        await frontends[frontend].say(f"cancel {number}")
    for one in frontends:
        await one.close()


async def test_rule_1_age_grows_with_waiting(subject: Subject) -> None:
    """A hold that came first with age 0 goes before one that came later with less age than passed."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await placed(frontend, "hold 1 0")
    async with asyncio.timeout(PATIENCE_S):
        began_at = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began_at + 0.06:
            await frontend.lines_so_far()
    await placed(frontend, "hold 2 20")
    await running.leave()
    assert (await frontend.expect("grant"))[1] == "1"
    await frontend.close()


async def test_rule_2_an_unused_lease_ends(subject: Subject) -> None:
    """Its slot goes to the next hold, and its request has become a try."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await placed(frontend, "hold 1 50", "hold 2 0")
    await running.leave()
    await frontend.expect("grant", "1")
    await frontend.expect("grant", "2")
    late = await subject.ask("GET", "/x", Swayam_Grant=f"{frontend.name}/1")
    assert (late.status, late.one("swayam-busy")) == (503, b"1")
    await subject.until(lambda state: state["leased"] == 0)
    await frontend.close()


async def test_rule_3_holds_are_bounded(subject: Subject) -> None:
    """The one beyond ten thousand is ignored; a cancelled one makes room."""
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await placed(frontend, *(f"hold {number} 0" for number in range(1, HOLDS_COUNT_MAX + 2)))
    assert (await subject.state())["holds"] == HOLDS_COUNT_MAX
    await placed(frontend, "cancel 1", "hold 20001 0", "hold 20002 0")
    assert (await subject.state())["holds"] == HOLDS_COUNT_MAX
    await frontend.close()
    await running.leave()


async def test_rule_4_a_lost_frontend_loses_its_holds_and_leases(subject: Subject) -> None:
    """Its hold never gets a slot, its lease goes to the next; its running request goes on."""
    lost, other = await Frontend.open(subject), await Frontend.open(subject)
    await lost.say("hold 1 0")
    await lost.expect("grant", "1")
    running = await Running.begin(subject, "/x?execution=700ms", f"{lost.name}/1")
    await subject.until(lambda state: state["running"] == 1)
    await placed(lost, "hold 2 9000")
    await placed(other, "hold 1 0")
    lost.client.reset()
    await subject.until(lambda state: state["holds"] == 1)
    assert (await running.answer()).status == 200
    await other.expect("grant", "1")
    await other.close()


async def test_rule_4_a_lost_lease_goes_to_the_next(subject: Subject) -> None:
    """At once, not when it would have ended."""
    lost, other = await Frontend.open(subject), await Frontend.open(subject)
    await lost.say("hold 1 0")
    await lost.expect("grant", "1")
    await placed(other, "hold 1 0")
    await lost.close()
    await other.expect("grant", "1")
    await other.close()


async def test_rule_5_holds_are_forgotten_and_leases_kept(take: TakeSubject) -> None:
    """DRAINING grants nothing more, and runs what had been granted; then it is COLD."""
    subject = await take(slots=2)
    running = await occupied(subject)
    frontend = await Frontend.open(subject)
    await frontend.say("hold 1 0", "hold 2 0")
    await frontend.expect("grant", "1")
    assert (await subject.state())["holds"] == 1
    incarnation = (await subject.state())["incarnation"]
    await subject.post("retire", {"incarnation": incarnation})
    state = await subject.state()
    assert (state["state"], state["running"], state["leased"], state["holds"]) == ("DRAINING", 1, 1, 0)
    granted = await subject.ask("GET", "/x", Swayam_Grant=f"{frontend.name}/1")
    assert granted.status == 200
    assert grants(await frontend.lines_so_far()) == []
    await running.leave()
    await subject.until(lambda state: state["state"] == "COLD")
    await frontend.close()
