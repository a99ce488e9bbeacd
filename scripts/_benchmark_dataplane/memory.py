"""Resident memory of a proxy at rest, and what each idle kept connection adds."""

import socket
import time
from pathlib import Path

from _benchmark_dataplane.contestants import Contestant

CONNECTIONS_COUNT = 1000
_REQUEST = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc"
_SETTLE_S = 1.5


def rss_kib(pids: list[int]) -> int:
    """Return the resident memory of processes together, in KiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def measure(contestant: Contestant) -> tuple[float, float]:
    """Return MiB at rest and KiB more for each of a thousand connections that asked once and wait."""
    time.sleep(_SETTLE_S)
    at_rest_kib = rss_kib(contestant.pids)
    connections = []
    try:
        for _ in range(CONNECTIONS_COUNT):
            sock = socket.create_connection(("127.0.0.1", contestant.port), timeout=10.0)
            connections.append(sock)
            sock.sendall(_REQUEST)
            if not sock.recv(65536).startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(f"{contestant.name}: no 200 while connections were opened")
        time.sleep(_SETTLE_S)
        more_kib = rss_kib(contestant.pids) - at_rest_kib
    finally:
        for sock in connections:
            sock.close()
    return at_rest_kib / 1024.0, more_kib / CONNECTIONS_COUNT
