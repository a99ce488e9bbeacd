"""What a running proxy wrote down, played again in virtual time: the same choices and decisions."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.end_to_end.conftest import proxy_config
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ROOT, ProxyProcess, wait_for
from tests.end_to_end.raw_client import RawClient

CALLS_COUNT = 200


def start_backends(directory: Path, *options: str) -> tuple["subprocess.Popen[bytes]", list[str]]:
    """Run fake backends in one process; return it and their addresses."""
    ready = directory / f"ready{len(options)}"
    words = [sys.executable, "-m", "fake_backend", "--port", "0", "--count", "4", "--mean", "20ms"]
    process = subprocess.Popen(
        [*words, "--ready-file", str(ready), *options], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    found = wait_for(lambda: ready.read_text().split() if ready.exists() else None, 20.0, "fake backends")
    return process, found


def service_of(addresses: list[str], **more: object) -> dict[str, object]:
    """One service with ten decisions a second, over the addresses and one that nobody listens at."""
    return {
        "backends": addresses,
        "sla": {"response_time": "100ms", "level": 0.95},
        "execution_time": "20ms",
        "tick": "100ms",
        "shrink_hold": "500ms",
        **more,
    }


async def call_both(process: ProxyProcess) -> None:
    """Call two services in bursts, over many connections; some clients leave before their answer."""
    clients = [await RawClient.open(process.endpoint) for _ in range(20)]

    async def call(number: int) -> None:
        client = clients[number % len(clients)]
        path = "/late/x" if number % 3 else "/plain/x"
        await client.ask("POST", path, body=b"{}")

    for first in range(0, CALLS_COUNT, len(clients)):
        await asyncio.gather(*(call(number) for number in range(first, first + len(clients))))
    for client in clients[:3]:
        await client.send(
            b"POST /late/x HTTP/1.1\r\nHost: a\r\nX-Fake-Execution: 5s\r\nContent-Length: 0\r\n\r\n"
        )
    await wait_until(lambda: process.state_of("late")["in_flight_count"] >= 3)
    for client in clients:
        await client.close()


async def test_a_recorded_run_decides_the_same_when_it_is_played_again(tmp_path: Path) -> None:
    """Late binding with sidecars and p2c with a dead backend, holds, refusals and clients that leave: a new
    frontend with the same dice chooses the same backends and decides the same, to the last digit; one that is
    told of another time does not.
    """
    sidecars, behind = start_backends(tmp_path, "--sidecar", "--setup", "200ms")
    servers, plain = start_backends(tmp_path)
    recording = tmp_path / "recording.jsonl"
    services = {
        "late": service_of(behind, sidecar={}),
        "plain": service_of([*plain, "127.0.0.1:1"], dispatch="p2c", min=5),
    }
    process = ProxyProcess(tmp_path / "proxy", proxy_config(services, process={"recording": str(recording)}))
    try:
        process.start()
        try:
            await call_both(process)
        finally:
            assert process.stop() == 0, process.stderr()
    finally:
        for backends in (sidecars, servers):
            backends.terminate()
            backends.wait(10.0)

    lines = recording.read_text().splitlines()
    kinds = [json.loads(line)[0] for line in lines[1:]]
    assert kinds.count("admit") >= CALLS_COUNT
    assert {"finish", "cancel", "rebook", "event", "decision"} <= set(kinds)
    again = replayed(recording)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{kinds.count('decision')} decisions made again, 0 different" in again.stdout
    assert kinds.count("decision") > 10

    late = next(number for number, line in enumerate(lines) if '"admit"' in line and '"late"' in line)
    call = json.loads(lines[late])
    call[-1] = 5 if call[-1] != 5 else 4
    recording.write_text("\n".join([*lines[:late], json.dumps(call), *lines[late + 1 :]]))
    changed = replayed(recording)
    assert changed.returncode == 1
    assert f"line {late + 1}, late: recorded" in changed.stdout


def replayed(recording: Path) -> "subprocess.CompletedProcess[str]":
    """Play a recording with the command."""
    words = [sys.executable, "-m", "swayam_proxy", "replay", str(recording)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
