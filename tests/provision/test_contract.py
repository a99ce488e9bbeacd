"""What every provisioner must do, on real backends: racing writers, deaths, silence."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.provision.interface import Provisioner, Snapshot
from swayam_proxy.provision.processes import ProcessProvisioner
from swayam_proxy.provision.sidecars import SidecarProvisioner

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
LOOK_S = 0.05
COUNT = 3
COLD, WARM = BackendState.COLD, BackendState.WARM


class Backends:
    """A provisioner of three cold backends, and how one of them is killed."""

    def __init__(
        self, provisioner: Provisioner, kill: Callable[[int], Awaitable[None]], *, returns: bool
    ) -> None:
        self.provisioner = provisioner
        self.kill = kill
        self.returns = returns
        """Whether a backend that was killed is started again."""

    def states(self) -> list[BackendState]:
        """What each backend is."""
        return [place.state for place in self.provisioner.snapshot().places]

    def incarnations(self) -> list[int]:
        """How often each was set up."""
        return [place.incarnation for place in self.provisioner.snapshot().places]

    async def until(self, condition: Callable[[Snapshot], bool]) -> Snapshot:
        """Watch until a snapshot meets the condition."""
        async with asyncio.timeout(PATIENCE_S):
            async for snapshot in self.provisioner.watch():
                if condition(snapshot):
                    return snapshot
        raise AssertionError("a watch never ends")


async def started(ready: Path) -> tuple[asyncio.subprocess.Process, str]:
    """Run a fake backend that speaks the sidecar protocol, and return where it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fake_backend", "--sidecar", "--port", "0", "--setup", "100ms",
        "--idle", "0s", "--ready-file", str(ready),
        stdout=asyncio.subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        while not (said := said_in(ready)).endswith("\n"):  # noqa: ASYNC110  # another process writes it
            await asyncio.sleep(0.01)
    return process, said.strip()


def said_in(ready: Path) -> str:
    """Return what the file holds, nothing where there is none yet."""
    return ready.read_text() if ready.exists() else ""


@pytest.fixture(params=["sidecars", "processes"])
async def backends(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Backends]:
    """Three cold backends under each kind of provisioner."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if request.param == "sidecars":
        fleet = await asyncio.gather(*(started(tmp_path / f"ready-{n}") for n in range(COUNT)))
        remote = SidecarProvisioner([address for _, address in fleet], look_s=LOOK_S)
        await remote.start()

        async def kill_remote(index: int) -> None:
            fleet[index - 1][0].kill()
            await fleet[index - 1][0].wait()

        yield Backends(remote, kill_remote, returns=False)
        await remote.close()
        for process, _ in fleet:
            if process.returncode is None:
                process.kill()
            await process.wait()
        return
    server = (sys.executable, "-m", "fake_backend", "--port", "{port}")
    words = (
        "--health",
        "/health",
        "--idle",
        "0",
        "--stop-grace",
        "0s",
        "--log-level",
        "error",
        "--",
        *server,
    )
    local = ProcessProvisioner(COUNT, words, look_s=LOOK_S)
    await local.start()

    async def kill_local(index: int) -> None:
        os.kill(local.process_ids[index - 1], signal.SIGKILL)

    yield Backends(local, kill_local, returns=True)
    await local.close()


async def test_racing_writers_set_each_backend_up_once(backends: Backends) -> None:
    """Sixteen who ensure at the same time, different counts, cause one set-up each of the most that any
    wanted; nobody's smaller wish lets one go.
    """
    assert backends.states() == [COLD] * COUNT
    await asyncio.gather(*(backends.provisioner.ensure(1 + number % 2) for number in range(16)))
    await backends.until(lambda snapshot: snapshot.warm_count == 2)
    await backends.provisioner.ensure(1)
    await backends.provisioner.ensure(0)
    await backends.provisioner.ensure(2)
    assert backends.states() == [WARM, WARM, COLD]
    assert backends.incarnations() == [1, 1, 0]


async def test_retiring_is_compare_and_set(backends: Backends) -> None:
    """Only the present set-up can be let go; racing for a stale number changes nothing; then it can be set up
    again, under the next number.
    """
    await backends.provisioner.ensure(1)
    await backends.until(lambda snapshot: snapshot.warm_count == 1)
    stale = await asyncio.gather(*(backends.provisioner.retire(1, number) for number in (0, 2, 5, 0)))
    assert stale == [False] * 4
    assert backends.states()[0] is WARM
    assert await backends.provisioner.retire(1, 1)
    await backends.until(lambda snapshot: snapshot.places[0].state is COLD)
    await backends.provisioner.ensure(1)
    await backends.until(lambda snapshot: snapshot.warm_count == 1)
    assert backends.incarnations()[0] == 2
    assert not await backends.provisioner.retire(1, 1)
    assert backends.states()[0] is WARM


async def test_silence_changes_nothing(backends: Backends) -> None:
    """A backend that is killed is out of reach and otherwise what it was; the others are not touched, and
    asking it anything is no error. One that is started again is cold, and can be set up again.
    """
    await backends.provisioner.ensure(2)
    await backends.until(lambda snapshot: snapshot.warm_count == 2)
    await backends.kill(1)
    silent = await backends.until(lambda snapshot: not snapshot.places[0].is_reachable)
    assert silent.places[0].state is WARM
    assert silent.places[1].is_reachable and silent.places[1].state is WARM
    assert not await backends.provisioner.retire(1, 1)
    await backends.provisioner.ensure(3)
    await backends.until(lambda snapshot: snapshot.places[2].state is WARM)
    if backends.returns:
        back = await backends.until(lambda snapshot: snapshot.places[0].is_reachable)
        assert (back.places[0].state, back.places[0].incarnation) == (COLD, 0)
        await backends.provisioner.ensure(1)
        await backends.until(lambda snapshot: snapshot.warm_count == 3)


async def test_watching_tells_each_change_once(backends: Backends) -> None:
    """Two who watch see the same way from cold to warm, and no snapshot twice in a row."""

    async def way() -> list[Snapshot]:
        seen = []
        async for snapshot in backends.provisioner.watch():
            seen.append(snapshot)
            if snapshot.warm_count == 1:
                break
        return seen

    async with asyncio.timeout(PATIENCE_S):
        watching = [asyncio.create_task(way()) for _ in range(2)]
        await asyncio.sleep(0)
        await backends.provisioner.ensure(1)
        one, other = await asyncio.gather(*watching)
    assert one[0].warm_count == 0
    assert all(before != after for before, after in pairwise(one))
    assert one[-1] == other[-1]
