"""Closed-loop load by wrk, and what it cost the proxy: requests per second of its processor time."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from _benchmark_dataplane.contestants import Contestant

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WARM_UP_S = 1


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of request."""

    title: str
    path: str
    script: str
    """In Lua, for wrk."""
    connections_count: int = 64


def _post(body_bytes: int) -> str:
    return (
        f'wrk.method = "POST"\nwrk.body = string.rep("x", {body_bytes})\n'
        'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Accept"] = "*/*"\n'
        'wrk.headers["User-Agent"] = "benchmark/1.0"\n'
    )


_EVER_NEW = """
local number = 0
function request()
  number = number + 1
  wrk.headers["X-Request-Id"] = string.format("%032x", number)
  wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
  return wrk.format()
end
"""

WORKLOADS = {
    "1k": Workload("1 KB POST", "/v1/models/m:predict", _post(1024)),
    "1k-new": Workload(
        "1 KB POST, every head new (id, trace)", "/v1/models/m:predict", _post(1024) + _EVER_NEW
    ),
    "10k": Workload("10 KB POST", "/v1/models/m:predict", _post(10 * 1024)),
    "1m": Workload("1 MB answers", "/large", ""),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one round measured."""

    requests_per_cpu_s: float
    requests_per_s: float
    user_us: float
    """Processor time per request outside the kernel, in microseconds; `system_us` is inside."""
    system_us: float


class LoadFailedError(Exception):
    """The load met errors, so that its numbers mean nothing."""


def cpu_ticks(pids: list[int]) -> tuple[int, int]:
    """Return the ticks of user and system time that processes have used."""
    user = system = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[11])
        system += int(fields[12])
    return user, system


def run(contestant: Contestant, workload: Workload, seconds: int, directory: Path, cpus: set[int]) -> Cost:
    """Warm up, then load for so many seconds; return what it cost."""
    script = directory / "load.lua"
    script.write_text(workload.script)
    _wrk(contestant, workload, _WARM_UP_S, script, cpus)
    before = cpu_ticks(contestant.pids)
    count = _wrk(contestant, workload, seconds, script, cpus)
    after = cpu_ticks(contestant.pids)
    user_s = (after[0] - before[0]) / _TICKS_PER_S
    system_s = (after[1] - before[1]) / _TICKS_PER_S
    if not count or not user_s + system_s:
        raise LoadFailedError(f"{contestant.name}: no request of {workload.title} was answered")
    return Cost(count / (user_s + system_s), count / seconds, user_s / count * 1e6, system_s / count * 1e6)


def _wrk(contestant: Contestant, workload: Workload, seconds: int, script: Path, cpus: set[int]) -> int:
    url = f"http://127.0.0.1:{contestant.port}{workload.path}"
    command = ["wrk", "-t1", f"-c{workload.connections_count}", f"-d{seconds}s", "-s", str(script), url]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    return requests_of(done.stdout + done.stderr, contestant.name)


def requests_of(output: str, name: str) -> int:
    """Read how many requests wrk made.

    Raises:
        LoadFailedError: it met errors, or said nothing.
    """
    trouble = re.search(r"(Non-2xx.*|Socket errors:.*)", output)
    if trouble:
        raise LoadFailedError(f"{name}: {trouble[1]}")
    found = re.search(r"(\d+) requests in ", output)
    if found is None:
        raise LoadFailedError(f"{name}: wrk said: {output[:300]}")
    return int(found[1])
