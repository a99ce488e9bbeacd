"""Open-loop load at a steady rate, and how long answers take: what a proxy adds over asking the backend.

One thread that waits with select(2), whose timeout counts microseconds: at a thousand requests a second its
own share of a latency is some ten microseconds, the same for all.
"""

import select
import socket
import time

_CONNECTIONS_COUNT = 32
_BODY = b"x" * 1024
_PATIENCE_S = 5.0


class Pacer:
    """Asks one server at a steady rate over kept connections."""

    def __init__(self, port: int) -> None:
        """Connect."""
        self._request = (
            b"POST /v1/models/m:predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
        )
        self._idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(_CONNECTIONS_COUNT)]
        for sock in self._idle:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._asked_at: dict[socket.socket, float] = {}
        self._received: dict[socket.socket, bytes] = {}

    def run(self, rate_per_s: float, seconds: float) -> list[float]:
        """Ask for so long; return the time that each answer took, in seconds.

        Raises:
            RuntimeError: an answer was not 200, or none came.
        """
        taken_s: list[float] = []
        due = time.perf_counter()
        ends_at = due + seconds
        blocked = False
        while due < ends_at or self._asked_at:
            now = time.perf_counter()
            if due < ends_at and now >= due and self._idle:
                # late for want of a connection is the server's fault, and counts from when it was due
                self._ask(due if blocked else now)
                due += 1.0 / rate_per_s
                continue
            blocked = due < ends_at and now >= due
            wait_s = _PATIENCE_S if blocked or due >= ends_at else due - now
            ready, _, _ = select.select(list(self._asked_at), [], [], wait_s)
            if not ready and wait_s == _PATIENCE_S:
                raise RuntimeError("an answer did not come")
            for sock in ready:
                self._take(sock, taken_s)
        return taken_s

    def _ask(self, at: float) -> None:
        sock = self._idle.pop()
        self._received[sock] = b""
        self._asked_at[sock] = at
        sock.sendall(self._request)

    def _take(self, sock: socket.socket, taken_s: list[float]) -> None:
        received = self._received[sock] + sock.recv(65536)
        self._received[sock] = received
        if is_whole(received):
            taken_s.append(time.perf_counter() - self._asked_at.pop(sock))
            self._idle.append(sock)

    def close(self) -> None:
        """Disconnect."""
        for sock in [*self._idle, *self._asked_at]:
            sock.close()


def is_whole(received: bytes) -> bool:
    """Say whether an answer with a length has come whole.

    Raises:
        RuntimeError: it is no 200.
    """
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"an answer that is no 200: {head[:200]!r}")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].partition(b":")[2])


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
