"""What starts backends that speak the sidecar protocol, and hands them to the tests, warm and empty."""

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.end_to_end.proxy_process import ROOT, wait_for
from tests.end_to_end.sidecar_subject import IMPLEMENTATIONS, Kind, Subject, close_clients

TakeSubject = Callable[..., Awaitable[Subject]]


class Subjects:
    """All processes of one worker, by implementation and kind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._started: dict[tuple[str, Kind], Subject] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._server_address = ""

    def take(self, implementation: str, kind: Kind) -> Subject:
        """Return the process of that kind, started if need be."""
        subject = self._started.get((implementation, kind))
        if subject is None or subject.process.poll() is not None:
            subject = self._started[implementation, kind] = self._start(implementation, kind)
        return subject

    def start_one(self, implementation: str, kind: Kind) -> Subject:
        """Return a new process that nobody else uses."""
        subject = self._start(implementation, kind)
        self._started[f"{implementation} {len(self._started)}", kind] = subject
        return subject

    def end(self) -> None:
        """End all of them, at once."""
        for subject in self._started.values():
            subject.ask_to_end()
        for subject in self._started.values():
            subject.end()
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _start(self, implementation: str, kind: Kind) -> Subject:
        directory = self._directory / f"{len(self._started)}"
        directory.mkdir()
        server = self._model_server() if implementation == "swayam" else ""
        return Subject(implementation, kind, directory, server)

    def _model_server(self) -> str:
        """Return the address of the model server that all attached sidecars share."""
        if self._server is None:
            ready = self._directory / "server"
            self._server = subprocess.Popen(
                [
                    sys.executable, "-m", "fake_backend", "--port", "0", "--mean", "1ms", "--cv", "0",
                    "--slots", "1000", "--ready-file", str(ready),
                ],
                cwd=ROOT, stdout=subprocess.DEVNULL,
            )  # fmt: skip

            def listening() -> str | None:
                with suppress(FileNotFoundError):
                    text = ready.read_text()
                    return text.strip() if text.endswith("\n") else None
                return None

            self._server_address = wait_for(listening, 30.0, "the model server to listen")
        return self._server_address


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subjects]:
    """All backends of this worker."""
    started = Subjects(tmp_path_factory.mktemp("sidecars"))
    yield started
    started.end()


@pytest.fixture(params=IMPLEMENTATIONS)
async def implementation(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Each side that claims to speak the protocol; afterwards the test's connections are closed."""
    yield str(request.param)
    await close_clients()


@pytest.fixture
def take(subjects: Subjects, implementation: str) -> TakeSubject:
    """Return a function that hands out a backend of the given kind, warm and empty."""

    async def take_one(**kind: object) -> Subject:
        subject = subjects.take(implementation, Kind(**kind))  # type: ignore[arg-type]
        await subject.warm()
        return subject

    return take_one


@pytest.fixture
async def subject(take: TakeSubject) -> Subject:
    """Return a warm and empty backend with one slot that never decommissions itself."""
    return await take()
