"""Answers: each dialect's form, and that every answer follows from its request."""

import json
import time
import zlib
from typing import Any

import aiohttp
import pytest

from fake_backend.answers import Asked, BadRequestError, Shape, shape_of, wants_stream, whole_answer
from fake_backend.settings import BackendSettings, ExecutionSettings
from tests.fake_backend.conftest import Served

QUICK = BackendSettings(execution=ExecutionSettings(mean_s=0.001, cv=0.0))
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def asked(path: str, content: Any) -> Asked:
    """Return a request with a JSON body."""
    return Asked("POST", path, json.dumps(content).encode(), "application/json", "1:9001")


def answered(path: str, content: Any) -> dict[str, Any]:
    """Return the JSON answer to a JSON body."""
    answer = whole_answer(shape_of(path), asked(path, content))
    parsed: dict[str, Any] = json.loads(answer.body)
    return parsed


def test_v1_predicts_each_instance() -> None:
    """One prediction per instance: the sum of its numbers, however nested."""
    instances = [[1, 2], 3, {"a": 4, "b": [5]}, "word"]
    assert answered("/v1/models/m:predict", {"instances": instances}) == {"predictions": [3, 3, 9, 4]}


def test_v2_predicts_each_row() -> None:
    """One value per row, flat or nested, with the model's name and the caller's id."""
    flat = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
    nested = {**flat, "data": [[1, 2], [3, 4]]}
    for tensor in (flat, nested):
        answer = answered("/v2/models/digits/infer", {"id": "q7", "inputs": [tensor]})
        assert (answer["model_name"], answer["id"]) == ("digits", "q7")
        assert answer["outputs"] == [
            {"name": "predict", "shape": [2, 1], "datatype": "FP64", "data": [3.0, 7.0]}
        ]


def test_chat_answers_name_the_question() -> None:
    """The completion is the checksum of the body."""
    answer = answered("/v1/chat/completions", CHAT)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == str(zlib.crc32(json.dumps(CHAT).encode()))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/m:predict", b"not json"),
        ("/v1/models/m:predict", b"[1]"),
        ("/v1/models/m:predict", b'{"instances": 3}'),
        ("/v2/models/m/infer", b'{"inputs": [{"data": 3}]}'),
        ("/v2/models/m/infer", b'{"inputs": [{"shape": [2], "data": [1, 2, 3]}]}'),
        ("/v1/chat/completions", b"["),
    ],
)
def test_wrong_bodies_are_refused(path: str, body: bytes) -> None:
    """A body that the dialect does not allow is the caller's error."""
    with pytest.raises(BadRequestError):
        whole_answer(shape_of(path), Asked("POST", path, body, "application/json", "1:9001"))


def test_streams_are_asked_for() -> None:
    """By the path of events, or by "stream": true of a chat; not by the word alone."""
    assert wants_stream(Shape.EVENTS, b"")
    assert wants_stream(Shape.CHAT, json.dumps({**CHAT, "stream": True}).encode())
    assert not wants_stream(Shape.CHAT, json.dumps({**CHAT, "stream": False}).encode())
    assert not wants_stream(Shape.PLAIN, b'{"stream": true}')


async def test_answers_can_be_checked(served: Served, client: aiohttp.ClientSession) -> None:
    """Every answer carries size and checksum of the body that was received; /echo returns it."""
    fleet = await served(QUICK)
    body = bytes(range(256)) * 500
    async with client.post(f"http://{fleet.addresses[0]}/echo?a=b", data=body) as response:
        assert await response.read() == body
        assert response.headers["X-Body-Bytes"] == str(len(body))
        assert response.headers["X-Body-Crc32"] == str(zlib.crc32(body))
        assert response.headers["X-Backend"] == fleet.backends[0].name
    async with client.put(f"http://{fleet.addresses[0]}/some/path", data=b"abc") as response:
        told = await response.json()
    assert (told["method"], told["path"], told["body_bytes"]) == ("PUT", "/some/path", 3)


async def test_errors_have_the_dialect(served: Served, client: aiohttp.ClientSession) -> None:
    """400 in the V2 form and in the OpenAI form, 413 beyond the limit; no slot is taken."""
    fleet = await served(BackendSettings(execution=QUICK.execution, body_bytes_max=1000))
    address = f"http://{fleet.addresses[0]}"
    async with client.post(f"{address}/v2/models/m/infer", data=b"{") as response:
        assert response.status == 400
        assert isinstance((await response.json())["error"], str)
    async with client.post(f"{address}/v1/chat/completions", data=b"{") as response:
        assert (await response.json())["error"]["code"] == 400
    async with client.post(f"{address}/echo", data=bytes(5000)) as response:
        assert response.status == 413
    assert fleet.backends[0].snapshot()["in_flight_max"] == 0


async def test_padded_answers(served: Served, client: aiohttp.ClientSession) -> None:
    """Answers of a megabyte stay valid JSON."""
    fleet = await served(BackendSettings(execution=QUICK.execution, answer_bytes=1_000_000))
    async with client.get(f"http://{fleet.addresses[0]}/x") as response:
        body = await response.read()
    assert len(body) == 1_000_000
    assert json.loads(body)["path"] == "/x"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/sse"])
async def test_streams_come_part_by_part(served: Served, client: aiohttp.ClientSession, path: str) -> None:
    """Parts are spread over the execution: the first comes at its beginning, the last at its end."""
    settings = BackendSettings(execution=ExecutionSettings(mean_s=0.4, cv=0.0), chunks_count=7)
    fleet = await served(settings)
    began_at = time.monotonic()
    async with client.post(f"http://{fleet.addresses[0]}{path}", json={**CHAT, "stream": True}) as response:
        assert response.content_type == "text/event-stream"
        first = await response.content.readuntil(b"\n\n")
        first_after_s = time.monotonic() - began_at
        rest = await response.content.read()
    lasted_s = time.monotonic() - began_at
    assert first.startswith(b"data: ")
    assert 0.04 <= first_after_s < lasted_s - 0.1
    assert lasted_s >= 0.4
    assert rest.count(b"\n\n") >= 7
    assert rest.endswith(b"data: [DONE]\n\n" if "chat" in path else b"event: end\ndata: {}\n\n")


@pytest.mark.parametrize("path", ["/v2", "/v2/models/m", "/v1/models", "/v1/models/m", "/v2/health/live"])
async def test_metadata_takes_no_slot(served: Served, client: aiohttp.ClientSession, path: str) -> None:
    """What clients ask before they predict is answered beside the slots."""
    fleet = await served(QUICK)
    async with client.get(f"http://{fleet.addresses[0]}{path}") as response:
        assert response.status == 200
        assert await response.json()
    assert fleet.backends[0].snapshot()["requests"] == 0
