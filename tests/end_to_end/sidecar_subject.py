"""Backends that speak the sidecar protocol, as processes, and a frontend that speaks it line by line.

Knows command lines, `POST /swayam/setup` and the grammar of the lines; shares no code with either side.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.end_to_end.connection import PATIENCE_S, Message
from tests.end_to_end.proxy_process import ROOT, endpoint_of, wait_for
from tests.end_to_end.raw_client import RawClient, request

IMPLEMENTATIONS = ("fake_backend", "swayam")
LEASE_MS = 400
TOKEN = "a-token-that-only-tests-know"
_START_PATIENCE_S = 30.0
_frontend_numbers = itertools.count(1)
_opened: list[RawClient] = []


async def open_client(subject: "Subject") -> RawClient:
    """Connect; a test that fails need not close, since `close_clients` does after it."""
    client = await RawClient.open(subject.endpoint)
    _opened.append(client)
    return client


async def close_clients() -> None:
    """Close what a test opened."""
    while _opened:
        await _opened.pop().close()


@dataclass(frozen=True, slots=True)
class Kind:
    """What a backend is started with."""

    slots: int = 1
    idle: str = "0s"
    has_token: bool = False
    owns_server: bool = False
    """Start a model server of its own, which can die, where the implementation would otherwise share one."""
    is_broken: bool = False
    """No set-up succeeds."""


class Subject:
    """One backend process under test."""

    def __init__(self, implementation: str, kind: Kind, directory: Path, server: str) -> None:
        """Start it; `server` is the model server to which `swayam sidecar` attaches."""
        self.implementation = implementation
        self.token = TOKEN if kind.has_token else None
        self._log = directory / "subject.log"
        self._ready = directory / "ready"
        token_file = directory / "token"
        token_file.write_text(f"{TOKEN}\n")
        command = {"fake_backend": self._fake_command, "swayam": self._swayam_command}[implementation]
        words = command(kind, server)
        if kind.has_token:
            words[4:4] = ["--token-file", str(token_file)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                words, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        try:
            self.endpoint = wait_for(self._listening, _START_PATIENCE_S, f"{implementation} to listen")
        except BaseException:
            self.end()
            raise

    def _fake_command(self, kind: Kind, _: str) -> list[str]:
        return [
            sys.executable, "-m", "fake_backend", "--sidecar", "--port", "0", "--mean", "1ms", "--cv", "0",
            "--setup", "100ms", "--lease", f"{LEASE_MS}ms", "--slots", str(kind.slots), "--idle", kind.idle,
            "--drain", "20s", "--ready-file", str(self._ready),
        ]  # fmt: skip

    def _swayam_command(self, kind: Kind, server: str) -> list[str]:
        words = [
            sys.executable, "-m", "swayam_proxy", "sidecar", "--listen", "127.0.0.1:0",
            "--log-format", "json", "--health", "/v2/health/ready", "--lease", f"{LEASE_MS}ms",
            "--slots", str(kind.slots), "--idle", kind.idle,
        ]  # fmt: skip
        if kind.is_broken:
            return [*words, "--", sys.executable, "-c", "raise SystemExit(1)"]
        if kind.owns_server:
            server_words = ["-m", "fake_backend", "--port", "{port}", "--mean", "1ms", "--slots", "100"]
            return [*words, "--", sys.executable, *server_words]
        return [*words, "--server", server]

    def _listening(self) -> tuple[str, int] | None:
        assert self.process.poll() is None, f"ended at its start:\n{self._log.read_text(errors='replace')}"
        if self.implementation == "fake_backend":
            text = self._ready.read_text() if self._ready.exists() else ""
            return endpoint_of(text.strip()) if text.endswith("\n") else None
        for line in self._log.read_text(errors="replace").splitlines():
            if line.startswith("{") and '"listening"' in line:
                listen = json.loads(line)["listen"]
                return endpoint_of(listen if isinstance(listen, str) else listen[0])
        return None

    async def ask(
        self, method: str, path: str, body: bytes | None = None, *, token: str | None = None, **fields: str
    ) -> Message:
        """Send one request on a connection of its own; `fields` have underscores for hyphens."""
        client = await RawClient.open(self.endpoint)
        try:
            named = [(name.replace("_", "-"), value) for name, value in fields.items()]
            named += [("Authorization", f"Bearer {token}")] if token else []
            return await client.ask(method, path, body=body, fields=named)
        finally:
            await client.close()

    async def state(self) -> dict[str, Any]:
        """Return what `GET /swayam/state` answers."""
        answer = await self.ask("GET", "/swayam/state", token=self.token)
        assert answer.status == 200
        return dict(json.loads(answer.body))

    async def post(self, what: str, content: object = None) -> tuple[int, dict[str, Any]]:
        """Send a control request; return the status and the object that came."""
        body = b"" if content is None else json.dumps(content).encode()
        answer = await self.ask("POST", f"/swayam/{what}", body, token=self.token)
        return answer.status, json.loads(answer.body)

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the state meets a condition, and return it."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(state := await self.state()):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.005)
        return state

    async def warm(self) -> dict[str, Any]:
        """Make it warm and empty, whatever a test left, and return the state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                state = await self.state()
                if state["state"] == "WARM" and not (state["running"] or state["leased"] or state["holds"]):
                    return state
                if state["state"] == "COLD":
                    await self.post("setup")
                await asyncio.sleep(0.005)

    async def cold(self) -> dict[str, Any]:
        """Make it cold, whatever a test left, and return the state."""
        async with asyncio.timeout(PATIENCE_S):
            while (state := await self.state())["state"] != "COLD":
                await self.post("retire", {"incarnation": state["incarnation"]})
                await asyncio.sleep(0.005)
        return state

    async def fail_setups(self, count: int) -> None:
        """Make the next set-ups fail, unless none succeeds anyway."""
        if self.implementation == "fake_backend":
            assert (await self.ask("POST", f"/fake/fail-setups?count={count}", b"")).status == 200

    async def kill_model_server(self) -> None:
        """Let the model server die."""
        if self.implementation == "fake_backend":
            assert (await self.ask("POST", "/fake/die", b"")).status == 200
            return
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # one of an earlier test that is just ending
                if "fake_backend" in child.cmdline():
                    child.kill()

    def ask_to_end(self) -> None:
        """Begin to end the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End the process, kindly, then not."""
        self.ask_to_end()
        if self.process.poll() is None:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


class Running:
    """A request that has been sent and is not answered yet."""

    def __init__(self, client: RawClient) -> None:
        self._client = client

    @classmethod
    async def begin(cls, subject: Subject, path: str, grant: str | None = None) -> "Running":
        """Send the request; it asks for its own execution time where the path says so."""
        client = await open_client(subject)
        fields = [("Swayam-Grant", grant)] if grant else []
        await client.send(request("GET", path, fields=fields))
        return cls(client)

    async def answer(self) -> Message:
        """Read the answer and close."""
        try:
            return await self._client.read_answer()
        finally:
            await self._client.close()

    async def leave(self) -> None:
        """Close without an answer."""
        await self._client.close()


class Frontend:
    """A frontend's end of a control connection."""

    def __init__(self, client: RawClient, name: str) -> None:
        self.client = client
        self.name = name

    @classmethod
    async def open(cls, subject: Subject, name: str = "") -> "Frontend":
        """Connect under a name that is unique unless given; the first line is still to be read."""
        name = name or f"test-{os.getpid()}-{next(_frontend_numbers)}"
        client = await open_client(subject)
        token = [("Authorization", f"Bearer {subject.token}")] if subject.token else []
        fields = [("Connection", "Upgrade"), ("Upgrade", "swayam-control/1"), ("Swayam-Frontend", name)]
        await client.send(request("GET", "/swayam/control", fields=fields + token))
        answer = await client.read_answer()
        assert answer.status == 101, answer.head
        assert answer.one("upgrade") == b"swayam-control/1"
        assert answer.head.tokens("connection") == {b"upgrade"}
        return cls(client, name)

    async def say(self, *lines: str) -> None:
        """Send lines."""
        await self.client.send("".join(f"{line}\n" for line in lines).encode())

    async def line(self) -> str:
        """Read one line; it must be as the grammar has it."""
        async with asyncio.timeout(PATIENCE_S):
            raw = await self.client.reader.readuntil(b"\n")
        assert len(raw) <= 257
        return raw[:-1].decode("ascii")

    async def expect(self, *words: str) -> list[str]:
        """Read lines up to one that begins with these words, and return all its words."""
        async with asyncio.timeout(PATIENCE_S):
            while (read := (await self.line()).split(" "))[: len(words)] != list(words):
                pass
        return read

    async def lines_so_far(self) -> list[str]:
        """Return the lines that came before the answer to a ping sent now."""
        number = str(time.monotonic_ns())
        await self.say(f"ping {number}")
        read = []
        async with asyncio.timeout(PATIENCE_S):
            while (line := await self.line()) != f"pong {number}":
                read.append(line)
        return read

    async def close(self) -> None:
        """End the connection."""
        await self.client.close()
