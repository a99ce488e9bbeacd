"""One fake backend: requests in, answers out.

Knows HTTP as aiohttp's low-level server hands it over (no routes table, no middlewares: a hundred
backends share one core), and puts slots, execution times, faults and answers together.
"""

import asyncio
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from fake_backend import answers, control, sabotage
from fake_backend.alarm import Alarm
from fake_backend.answers import Answer, Asked, Shape
from fake_backend.execution import ExecutionTimes
from fake_backend.faults import Fault, FaultKind, FaultSource, asked_fault
from fake_backend.job import Job
from fake_backend.lifecycle import Lifecycle
from fake_backend.quantities import parse_duration_s
from fake_backend.reading import TooLargeError, read_body
from fake_backend.settings import BackendSettings, OnDisconnect, ServerState
from fake_backend.sidecar import requests
from fake_backend.sidecar.sidecar import Sidecar, Visit
from fake_backend.slots import Admission, Slots

_SERVER = "fake-backend"


class BusyError(Exception):
    """No slot for the request, and no place in the queue."""


@dataclass(slots=True)
class Counters:
    """What one backend did since its start."""

    requests_count: int = 0
    served_count: int = 0
    cancelled_count: int = 0
    executed_s: float = 0.0
    faults: dict[str, int] | None = None


class Backend:
    """One emulated model server process with its own slots, state and streams of chance."""

    def __init__(
        self,
        settings: BackendSettings,
        *,
        index: int,
        seed: int,
        alarm: Alarm,
        pool: ThreadPoolExecutor | None,
    ) -> None:
        self.settings = settings
        self.index = index
        self.port = 0
        self.name = ""
        self.sidecar: Sidecar | None = None
        self.slots: Slots
        if settings.sidecar is None:
            self.slots = Slots(settings.slots_count, settings.queue, settings.queue_count_max)
            self.lifecycle = Lifecycle(alarm, setup_s=settings.setup_s, start=settings.start)
        else:
            self.sidecar = Sidecar(settings, seed=seed, index=index, alarm=alarm)
            self.slots, self.lifecycle = self.sidecar.slots, self.sidecar.lifecycle
        self.counters = Counters(faults={})
        self.health_status = 200
        self._alarm = alarm
        self._pool = pool
        self._times = ExecutionTimes(settings.execution, seed=seed, backend_index=index)
        self._faults = FaultSource(settings.faults, seed=seed, backend_index=index)
        self._loop = asyncio.get_running_loop()
        self._executing: dict[Job, asyncio.Transport | None] = {}

    def listens_at(self, port: int) -> None:
        """Take the port that the operating system gave, which is part of the name."""
        self.port = port
        self.name = f"{self.index}:{port}"

    def snapshot(self) -> dict[str, Any]:
        """Return the counts, as `/fake/stats` shows them."""
        counters = self.counters
        return {
            "backend": self.name,
            "index": self.index,
            "port": self.port,
            "state": self.lifecycle.state.value,
            "setups": self.lifecycle.incarnation,
            "slots": self.slots.slots_count,
            "requests": counters.requests_count,
            "served": counters.served_count,
            "in_flight": self.slots.running_count,
            "in_flight_max": self.slots.running_count_max,
            "waiting": self.slots.waiting_count,
            "waiting_max": self.slots.waiting_count_max,
            "refused": self.slots.refused_count,
            "cancelled": counters.cancelled_count,
            "executed_s": round(counters.executed_s, 6),
            "faults": dict(counters.faults or {}),
        }

    def die(self, *, is_started_again: bool) -> bool:
        """Lose what runs, as when the model server's process ends; False when it does not run."""
        if not self.lifecycle.die(is_started_again=is_started_again):
            return False
        for job, transport in list(self._executing.items()):
            if transport is not None:
                sabotage.reset(transport)
            job.abandon(finish=False)
        return True

    def close(self) -> None:
        """Give alarms and control connections back."""
        self.lifecycle.go_cold()
        if self.sidecar is not None:
            self.sidecar.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path, _, query_text = request.raw_path.partition("?")
        query = dict(parse_qsl(query_text)) if query_text else {}
        sidecar = self.sidecar
        if sidecar is None or path.startswith("/fake/"):
            return await self._serve(request, path, query, None)
        if path.startswith("/swayam/"):
            return await requests.answer(sidecar, request, path)
        visit = sidecar.admit(request.headers.get("Swayam-Grant"))
        if visit is None:
            return requests.busy_response(sidecar)
        response: web.StreamResponse | None = None
        try:
            response = await self._serve(request, path, query, visit)
        finally:
            visit.end()
            is_open = request.transport is not None and not request.transport.is_closing()
            if response is None or response.prepared or not is_open:
                sidecar.tell_idle()  # no head can say it any more
        if not response.prepared and sidecar.slots.free_count > 0:
            response.headers["Swayam-Idle"] = "1"
        return response

    async def _serve(
        self, request: web.BaseRequest, path: str, query: dict[str, str], visit: Visit | None
    ) -> web.StreamResponse:
        """Answer a request that is for the model server, in the slot of its visit where there is one."""
        answer = control.answer(self, request.method, path, query)
        if answer is not None:
            return self._response(answer)
        self.counters.requests_count += 1
        shape = answers.shape_of(path)
        try:
            fault = asked_fault(query, request.headers) or self._faults.draw()
            duration_s = self._duration_s(query, request)
            body = await read_body(request, self.settings.body_bytes_max)
            content_type = request.headers.get("Content-Type", "application/octet-stream")
            asked = Asked(request.method, path, body, content_type, self.name)
            return await self._answer(request, shape, asked, duration_s, fault, visit)
        except TooLargeError as error:
            return self._response(answers.error_answer(shape, 413, str(error)))
        except ValueError as error:
            return self._response(answers.error_answer(shape, 400, str(error)))
        except BusyError:
            busy = answers.error_answer(shape, 503, "every slot is taken")
            return self._response(busy, {"Swayam-Busy": "1"})

    async def _answer(
        self,
        request: web.BaseRequest,
        shape: Shape,
        asked: Asked,
        duration_s: float,
        fault: Fault | None,
        visit: Visit | None,
    ) -> web.StreamResponse:
        if visit is None and self.lifecycle.state is not ServerState.WARM:
            return self._response(answers.error_answer(shape, 503, f"the model is {self.lifecycle.state}"))
        if fault is not None:
            self._count_fault(fault)
            if fault.kind is FaultKind.BUSY:
                raise BusyError
            if fault.kind is FaultKind.DELAY:
                duration_s += fault.argument
            elif fault.kind is FaultKind.HANG:
                duration_s = float("inf")
        if answers.wants_stream(shape, asked.body):
            if fault is None or fault.kind not in sabotage.BREAKING_KINDS:
                return await self._stream(request, shape, asked, duration_s, visit)
            shape = Shape.PLAIN
        answer = answers.whole_answer(shape, asked)
        if self.settings.answer_bytes:
            answer = Answer(answers.padded(answer.body, self.settings.answer_bytes), answer.content_type)
        job = self._enter(request, duration_s, visit)
        executed_s = await self._finished(job)
        if fault is not None and fault.kind is FaultKind.STATUS:
            answer = answers.error_answer(shape, int(fault.argument), "asked to fail")
        fields = {
            "Server-Timing": f"exec;dur={executed_s * 1e3:.3f}",
            "X-Body-Bytes": str(len(asked.body)),
            "X-Body-Crc32": str(zlib.crc32(asked.body)),
        }
        if fault is not None and fault.kind in sabotage.BREAKING_KINDS:
            await self._break(request, fault, answer, fields)
        return self._response(answer, fields)

    async def _stream(
        self, request: web.BaseRequest, shape: Shape, asked: Asked, duration_s: float, visit: Visit | None
    ) -> web.StreamResponse:
        """Send the parts evenly over the execution, whose planned time is told, since the head goes first."""
        parts = answers.streamed_parts(shape, asked, self.settings.chunks_count)
        job = self._enter(request, duration_s, visit, announce_start=True)
        try:
            assert job.started is not None
            await job.started
            fields = {
                "X-Backend": self.name,
                "Server": _SERVER,
                "Content-Type": answers.EVENTS_TYPE,
                "Cache-Control": "no-cache",
                "Server-Timing": f"exec;dur={duration_s * 1e3:.3f}",
                "X-Body-Crc32": str(zlib.crc32(asked.body)),
            }
            response = web.StreamResponse(headers=fields)
            if request.version >= (1, 1):
                response.enable_chunked_encoding()
            await response.prepare(request)
            for number, part in enumerate(parts[:-1], start=1):
                await self._until(job.started_at + duration_s * number / len(parts))
                await response.write(part)
            await job.done
            await response.write(parts[-1])
            await response.write_eof()
        except BaseException:
            self._abandon(job)
            raise
        return response

    def _enter(
        self,
        request: web.BaseRequest,
        duration_s: float,
        visit: Visit | None,
        *,
        announce_start: bool = False,
    ) -> Job:
        job = Job(
            duration_s,
            loop=self._loop,
            alarm=self._alarm,
            slots=self.slots,
            pool=self._pool if duration_s < float("inf") else None,
            on_end=self._count_end,
            announce_start=announce_start,
        )
        if visit is not None:
            visit.hand_over(job)
        elif self.slots.enter(job) is Admission.BUSY:
            raise BusyError
        self._executing[job] = request.transport
        job.done.add_done_callback(lambda _: self._executing.pop(job, None))
        return job

    async def _finished(self, job: Job) -> float:
        try:
            return await job.done
        except asyncio.CancelledError:
            self._abandon(job)
            raise

    def _abandon(self, job: Job) -> None:
        self.counters.cancelled_count += 1
        finish = self.settings.on_disconnect is OnDisconnect.FINISH and job.duration_s < float("inf")
        if finish and self.sidecar is not None:
            job.on_left = self.sidecar.tell_idle
        job.abandon(finish=finish)

    async def _until(self, when: float) -> None:
        if when <= time.monotonic():
            return
        passed: asyncio.Future[None] = self._loop.create_future()

        def passes() -> None:
            if not passed.done():
                passed.set_result(None)

        entry = self._alarm.call_at(when, passes)
        try:
            await passed
        finally:
            self._alarm.cancel(entry)

    async def _break(
        self, request: web.BaseRequest, fault: Fault, answer: Answer, fields: dict[str, str]
    ) -> None:
        fields = {"Content-Type": answer.content_type, "X-Backend": self.name, **fields}
        lines = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in fields.items())]
        head = "".join(f"{line}\r\n" for line in lines).encode()
        if request.transport is not None:
            await sabotage.send_broken(fault, request.transport, head, answer.body)

    def _response(self, answer: Answer, fields: dict[str, str] | None = None) -> web.Response:
        headers = {"X-Backend": self.name, "Server": _SERVER, "Content-Type": answer.content_type}
        if fields:
            headers.update(fields)
        return web.Response(body=answer.body, status=answer.status, headers=headers)

    def _duration_s(self, query: dict[str, str], request: web.BaseRequest) -> float:
        text = query.get("execution") or request.headers.get("X-Fake-Execution")
        return parse_duration_s(text) if text else self._times.draw_s()

    def _count_end(self, executed_s: float, whole: bool) -> None:
        self.counters.executed_s += executed_s
        self.counters.served_count += whole

    def _count_fault(self, fault: Fault) -> None:
        assert self.counters.faults is not None
        self.counters.faults[fault.kind] = self.counters.faults.get(fault.kind, 0) + 1
