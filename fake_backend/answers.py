"""What answers look like: V1, V2, OpenAI-shaped, plain, and the parts of streamed ones.

Pure functions from a request's body to an answer's. Every answer follows from the body, so that a test
can tell whether the answer belongs to its request.
"""

import json
import zlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

JSON_TYPE = "application/json"
EVENTS_TYPE = "text/event-stream"


class Shape(Enum):
    """Which protocol a path speaks."""

    PLAIN = auto()
    ECHO = auto()
    V1 = auto()
    V2 = auto()
    CHAT = auto()
    EVENTS = auto()


class BadRequestError(ValueError):
    """A body that the protocol of its path does not allow."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is made from."""

    method: str
    path: str
    body: bytes
    content_type: str
    backend: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer without its fields."""

    body: bytes
    content_type: str = JSON_TYPE
    status: int = 200


def shape_of(path: str) -> Shape:
    """Return the protocol of a path."""
    if path.startswith("/v2/models/") and path.endswith("/infer"):
        return Shape.V2
    if path.startswith("/v1/models/") and path.endswith(":predict"):
        return Shape.V1
    if path in ("/v1/chat/completions", "/v1/completions"):
        return Shape.CHAT
    if path == "/echo":
        return Shape.ECHO
    return Shape.EVENTS if path == "/sse" else Shape.PLAIN


def whole_answer(shape: Shape, asked: Asked) -> Answer:
    """Return the answer in one piece; raise BadRequestError on a body of the wrong form."""
    if shape is Shape.PLAIN:
        return _plain(asked)
    if shape is Shape.ECHO:
        return Answer(asked.body, asked.content_type)
    if shape is Shape.V1:
        return _json_answer({"predictions": [_score(one) for one in _listed(asked, "instances")]})
    if shape is Shape.V2:
        return _v2(asked)
    assert shape is Shape.CHAT
    return _json_answer(_chat_whole(asked))


def wants_stream(shape: Shape, body: bytes) -> bool:
    """Whether the answer goes out in parts while it is computed."""
    if shape is Shape.EVENTS:
        return True
    return shape is Shape.CHAT and b'"stream"' in body and _parsed(body).get("stream") is True


def streamed_parts(shape: Shape, asked: Asked, parts_count: int) -> list[bytes]:
    """Return the server-sent events of an answer, the last one closing it."""
    if shape is Shape.EVENTS:
        checksum = zlib.crc32(asked.body)
        events = [_event({"number": number, "body_crc32": checksum}) for number in range(1, parts_count + 1)]
        return [*events, b"event: end\ndata: {}\n\n"]
    model = str(_parsed(asked.body).get("model", "fake"))
    words = [f"word{number} " for number in range(1, parts_count + 1)]
    frames = [_chat_frame(asked, model, {"content": word}, None) for word in words]
    return [*frames, _chat_frame(asked, model, {}, "stop") + b"data: [DONE]\n\n"]


def error_answer(shape: Shape, status: int, text: str) -> Answer:
    """Return an error in the form that clients of the path's protocol expect."""
    if shape is Shape.CHAT:
        content: dict[str, Any] = {"error": {"message": text, "type": "fake_backend_error", "code": status}}
    else:
        content = {"error": text}
    return _json_answer(content, status)


def padded(body: bytes, size_bytes: int) -> bytes:
    """Return the body followed by spaces up to a size, which keeps JSON valid."""
    return body if len(body) >= size_bytes else body.ljust(size_bytes, b" ")


def model_name(path: str) -> str:
    """Return NAME of /v2/models/NAME/... or /v1/models/NAME:predict."""
    return path.split("/")[3].partition(":")[0]


def _plain(asked: Asked) -> Answer:
    content = {
        "backend": asked.backend,
        "method": asked.method,
        "path": asked.path,
        "body_bytes": len(asked.body),
        "body_crc32": zlib.crc32(asked.body),
    }
    return _json_answer(content)


def _v2(asked: Asked) -> Answer:
    parsed = _parsed(asked.body)
    scores: list[float] = []
    for tensor in _listed(asked, "inputs"):
        if not isinstance(tensor, dict) or not isinstance(tensor.get("data"), list):
            raise BadRequestError("each of inputs needs a list named data")
        shape = tensor.get("shape")
        rows_count = shape[0] if isinstance(shape, list) and shape and isinstance(shape[0], int) else 1
        scores.extend(_row_scores(tensor["data"], rows_count))
    output = {"name": "predict", "shape": [len(scores), 1], "datatype": "FP64", "data": scores}
    content: dict[str, Any] = {"model_name": model_name(asked.path), "outputs": [output]}
    if "id" in parsed:
        content["id"] = parsed["id"]
    return _json_answer(content)


def _row_scores(values: list[Any], rows_count: int) -> list[float]:
    if values and isinstance(values[0], list):
        return [_score(row) for row in values]
    if rows_count < 1 or len(values) % rows_count:
        raise BadRequestError(f"{len(values)} values do not fill {rows_count} rows")
    width = len(values) // rows_count
    return [_score(values[row * width : (row + 1) * width]) for row in range(rows_count)]


def _score(instance: Any) -> float:
    """Return a prediction that follows from the instance: the sum of its numbers."""
    if isinstance(instance, (int, float)):
        return float(instance)
    if isinstance(instance, list):
        return sum((_score(one) for one in instance), 0.0)
    if isinstance(instance, dict):
        return sum((_score(one) for one in instance.values()), 0.0)
    return float(len(instance)) if isinstance(instance, str) else 0.0


def _chat_whole(asked: Asked) -> dict[str, Any]:
    parsed = _parsed(asked.body)
    text = f"{zlib.crc32(asked.body)}"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    prompt_count = len(asked.body) // 4
    return {
        "id": f"chatcmpl-{zlib.crc32(asked.body):08x}",
        "object": "chat.completion",
        "created": 0,
        "model": str(parsed.get("model", "fake")),
        "choices": [choice],
        "usage": {"prompt_tokens": prompt_count, "completion_tokens": 1, "total_tokens": prompt_count + 1},
    }


def _chat_frame(asked: Asked, model: str, delta: dict[str, str], finish_reason: str | None) -> bytes:
    content = {
        "id": f"chatcmpl-{zlib.crc32(asked.body):08x}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return _event(content)


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _listed(asked: Asked, name: str) -> list[Any]:
    listed = _parsed(asked.body).get(name)
    if not isinstance(listed, list):
        raise BadRequestError(f"the body needs a list named {name}")
    return listed


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise BadRequestError("the body is no JSON object")
    return parsed


def _json_answer(content: dict[str, Any], status: int = 200) -> Answer:
    return Answer(json.dumps(content, separators=(",", ":")).encode(), JSON_TYPE, status)
