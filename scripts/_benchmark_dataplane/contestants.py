"""The processes of the benchmark: a backend that is never the bottleneck, and the proxies before it.

Each proxy gets one worker and one processor; the backend and the load generator share another one. Knows how
to write their configurations and to start and stop them, and nothing of what is measured.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGE_BYTES = 1024 * 1024
ANSWER = '{"predictions":[1,2,3,4,5,6,7,8,9,10]}'
_PATIENCE_S = 20.0
HAPROXY_WITH_LOG = "HAProxy with log"


class MissingProgramError(Exception):
    """A program of the benchmark is not installed; the text says what to do."""


@dataclass
class Contestant:
    """One running server and what of it is measured."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    note: str = ""
    pids: list[int] = field(default_factory=list)
    sink: socket.socket | None = None
    """Where its log lines go, if that is not a file."""

    def stop(self) -> None:
        """End it and its children."""
        self.process.terminate()
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.sink is not None:
            self.sink.close()


def require(*programs: str) -> None:
    """Raise `MissingProgramError` unless all programs can be run."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        names = " ".join(missing)
        raise MissingProgramError(f"not installed: {names}\non Debian: apt-get install -y {names}")


def processors() -> tuple[set[int], set[int]]:
    """Return the processor of the proxies and that of all others; the same ones where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        return set(usable), set(usable)
    return {usable[0]}, {usable[1]}


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def start(name: str, command: Sequence[str | Path], port: int, cpus: set[int], log: Path) -> Contestant:
    """Start a server on its processors, and wait until it listens."""

    def pin() -> None:
        os.sched_setaffinity(0, cpus)

    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=pin,
        )
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"{name} does not listen:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.05)
    return Contestant(name, port, process, pids=family(process.pid))


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


_NGINX = """
worker_processes 1; daemon off; pid {directory}/{name}.pid; error_log {directory}/{name}.err;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_buffer_size 128k; client_max_body_size 8m;
  client_body_temp_path {directory}/{name}-body; proxy_temp_path {directory}/{name}-proxy;
  fastcgi_temp_path {directory}/{name}-f; uwsgi_temp_path {directory}/{name}-u;
  scgi_temp_path {directory}/{name}-s;
  {body}
}}
"""


def start_backend(directory: Path, cpus: set[int]) -> Contestant:
    """Start nginx as a backend: a short answer to everything, and a megabyte at /large."""
    port = free_port()
    (directory / "large").write_bytes(os.urandom(LARGE_BYTES))
    body = f"""sendfile on; server {{ listen 127.0.0.1:{port} backlog=4096;
      location / {{ default_type application/json; return 200 '{ANSWER}'; }}
      location = /large {{ root {directory}; default_type application/octet-stream; }} }}"""
    return _nginx("backend", directory, port, body, cpus)


def start_nginx(directory: Path, backend_port: int, cpus: set[int]) -> Contestant:
    """Start nginx as a proxy with kept connections on both sides."""
    port = free_port()
    body = f"""upstream b {{ server 127.0.0.1:{backend_port}; keepalive 128; keepalive_requests 1000000000; }}
      server {{ listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Request-Id $request_id; }} }}"""
    contestant = _nginx("nginx", directory, port, body, cpus)
    contestant.note = "1 worker, request ids, no log"
    return contestant


def _nginx(name: str, directory: Path, port: int, body: str, cpus: set[int]) -> Contestant:
    path = directory / f"{name}.conf"
    path.write_text(_NGINX.format(directory=directory, name=name, body=body))
    return start(name, ["nginx", "-c", path], port, cpus, directory / f"{name}.log")


_HAPROXY = """
global
  nbthread 1
  maxconn 8192
  {log_to}
defaults
  mode http
  {log}
  timeout connect 1s
  timeout client 300s
  timeout server 300s
  option forwardfor
  http-reuse always
  unique-id-format %{{+X}}o%ci%cp%Ts%rt
  unique-id-header X-Request-Id
listen proxy
  bind 127.0.0.1:{port}
  server backend 127.0.0.1:{backend_port}
"""


def start_haproxy(directory: Path, backend_port: int, cpus: set[int]) -> Contestant:
    """Start HAProxy with one thread, request ids and forwarded addresses."""
    return _haproxy("HAProxy", directory, backend_port, cpus, "1 thread, request ids, no log")


def start_haproxy_with_log(directory: Path, backend_port: int, cpus: set[int]) -> Contestant:
    """Start HAProxy as before, and with a line for each request, which it sends to a log daemon by UDP."""
    # nobody reads them: the kernel throws away what does not fit, and the daemon would run elsewhere anyway
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", 0))
    note = "the same with a line for each request, sent to a log daemon as datagrams"
    contestant = _haproxy(HAPROXY_WITH_LOG, directory, backend_port, cpus, note, sink.getsockname()[1])
    contestant.sink = sink
    return contestant


def _haproxy(
    name: str, directory: Path, backend_port: int, cpus: set[int], note: str, log_port: int = 0
) -> Contestant:
    port = free_port()
    path = directory / f"{name}.cfg"
    log_to, log = (
        (f"log 127.0.0.1:{log_port} local0", "log global\n  option httplog") if log_port else ("", "")
    )
    path.write_text(_HAPROXY.format(port=port, backend_port=backend_port, log_to=log_to, log=log))
    contestant = start(name, ["haproxy", "-db", "-f", path], port, cpus, directory / f"{name}.log")
    contestant.note = note
    return contestant


def start_swayam(directory: Path, backend_port: int, cpus: set[int]) -> Contestant:
    """Start one proxy of ours as users run it: metrics, access log, decisions, limits, timeouts."""
    port = free_port()
    path = directory / "swayam.toml"
    path.write_text(
        f'[listen]\nport = {port}\n[admin]\nport = 0\n[process]\naccess_log = "{directory}/access.log"\n'
        f'[services.model]\nbackends = ["127.0.0.1:{backend_port}"]\nslots = 512\n'
        '[services.model.sla]\nresponse_time = "500ms"\nlevel = 0.99\n'
    )
    os.environ["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "swayam_proxy", "serve", "--config", path]
    contestant = start("Swayam", command, port, cpus, directory / "swayam.log")
    contestant.note = (
        "1 process, all duties on: ids, metrics, access log in a file, limits, timeouts, decisions"
    )
    return contestant


STARTERS: dict[str, Callable[[Path, int, set[int]], Contestant]] = {
    "haproxy": start_haproxy,
    "haproxy-log": start_haproxy_with_log,
    "nginx": start_nginx,
    "swayam": start_swayam,
}
