"""The model server's process behind its warden (swayam_proxy.sidecar.warden): whole groups begin and end."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from swayam_proxy.sidecar import warden
from swayam_proxy.sidecar.child import Child, free_port
from swayam_proxy.sidecar.output import BoundedOutput

PATIENCE_S = 10.0
FAMILY = """
import os, signal, subprocess, sys, time
stubborn = "stubborn" in sys.argv
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("family", os.getpid(), child.pid, os.environ.get("GIVEN"), flush=True)
time.sleep(60)
"""


@pytest.fixture
async def output(tmp_path: Path) -> AsyncIterator[BoundedOutput]:
    """Where the process prints."""
    one = BoundedOutput(str(tmp_path / "output"))
    yield one
    one.close()


async def family(output: BoundedOutput, *words: str) -> tuple[Child, list[psutil.Process], str]:
    """Start a process with a child of its own; return both, and what it got from its environment."""
    child = await Child.start((sys.executable, "-c", FAMILY, *words), {"GIVEN": "word"}, output)
    async with asyncio.timeout(PATIENCE_S):
        while len(output.tail().split()) < 4:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)
    _, first, second, given = output.tail().split()
    return child, [psutil.Process(int(first)), psutil.Process(int(second))], given


def all_gone(processes: list[psutil.Process]) -> bool:
    """Wait until the processes have ended."""
    _, alive = psutil.wait_procs(processes, PATIENCE_S)
    return not alive


async def test_asked_to_end_it_ends_with_its_children(output: BoundedOutput) -> None:
    """SIGTERM reaches the whole group; the environment and the output are its own."""
    child, processes, given = await family(output)
    assert given == "word"
    await child.end(PATIENCE_S)
    assert all_gone(processes)
    assert await child.ended() == 128 + 15


async def test_who_does_not_listen_is_killed(output: BoundedOutput) -> None:
    """After the grace, or at once where there is none, the group is killed."""
    child, processes, _ = await family(output, "stubborn")
    await child.end(0.2)
    assert all_gone(processes)
    assert await child.ended() == 128 + 9


async def test_what_is_left_of_a_dead_server_ends(output: BoundedOutput) -> None:
    """When the command itself is killed, its children do not stay behind."""
    child, processes, _ = await family(output)
    processes[0].kill()
    async with asyncio.timeout(PATIENCE_S):
        assert await child.ended() == 128 + 9
    assert all_gone(processes)


async def test_nothing_outlives_who_started_it(tmp_path: Path) -> None:
    """When the process at the other end of the line is killed, the whole group ends."""
    program = (
        "import asyncio, sys; from swayam_proxy.sidecar.child import Child; "
        "from swayam_proxy.sidecar.output import BoundedOutput\n"
        "async def main():\n"
        "    child = await Child.start((sys.executable, '-c', sys.argv[1]), {}, BoundedOutput(None, 1))\n"
        "    await child.ended()\n"
        "asyncio.run(main())"
    )
    root = Path(warden.__file__).parents[2]
    starter = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, FAMILY,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert starter.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        _, first, second, _ = (await starter.stdout.readline()).split()
    processes = [psutil.Process(int(first)), psutil.Process(int(second))]
    starter.kill()
    await starter.wait()
    assert all_gone(processes)


async def test_command_that_cannot_be_started(output: BoundedOutput) -> None:
    """It ends with the shell's status for that, and says what is missing."""
    child = await Child.start(("no-such-model-server",), {}, output)
    async with asyncio.timeout(PATIENCE_S):
        assert await child.ended() == 127
    assert output.tail() == "cannot start no-such-model-server: No such file or directory"


async def test_own_status_is_passed_on(output: BoundedOutput) -> None:
    """A server that ends by itself is known by its own status."""
    child = await Child.start((sys.executable, "-c", "print('bye'); raise SystemExit(3)"), {}, output)
    async with asyncio.timeout(PATIENCE_S):
        assert await child.ended() == 3
    assert output.tail() == "bye"


def test_free_ports_can_be_bound() -> None:
    """The port that is given out is one that nobody listens on."""
    assert 0 < free_port("127.0.0.1") < 65536
