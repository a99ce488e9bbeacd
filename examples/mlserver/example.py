"""Starts MLServers and proxies, compares predictions, and drives load; ends everything it started.

Started by `run`, with our own environment. Knows nothing of the proxy's inside: it starts the command, reads
the lines that it prints, and talks HTTP.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MLSERVER_BIN = ROOT / ".venv-mlserver" / "bin"
CONFIG = HERE / "swayam.toml"
INFER = "/v2/models/digits/infer"
PROXIES_COUNT = 2
PATIENCE_S = 90.0


class ExampleFailedError(Exception):
    """What went wrong, in words for whoever started the example."""


def main() -> int:
    """Run the whole example; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=4, choices=range(1, 9), help="MLServers [4]")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the load test [20]")
    parser.add_argument("--rate", type=float, default=40.0, help="requests per second [40]")
    return perform(run, parser.parse_args())


def perform(
    run: Callable[[Path, contextlib.ExitStack, argparse.Namespace], int], options: argparse.Namespace
) -> int:
    """Let `run` work in a directory of its own; where it fails, say why and show the ends of the logs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="swayam-mlserver-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        try:
            return run(directory, stack, options)
        except ExampleFailedError as error:
            print(f"examples/mlserver: {error}", file=sys.stderr)
            for log in sorted(directory.rglob("*.log")):
                tail = "\n    ".join(log.read_text(errors="replace").splitlines()[-12:])
                print(f"  the end of {log.name}:\n    {tail}", file=sys.stderr)
            return 1


def clock() -> Callable[[str], None]:
    """Return what prints a line with the seconds since now."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True)

    return say


def trained(directory: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Train the model into the directory; return samples to predict, and how good it is."""
    say("training a random forest on the digits of scikit-learn")
    subprocess.run([MLSERVER_BIN / "python", HERE / "train.py", directory], check=True)
    samples: dict[str, Any] = json.loads((directory / "samples.json").read_text())
    return samples


def run(directory: Path, stack: contextlib.ExitStack, options: argparse.Namespace) -> int:
    """Do one thing after the other, and say so."""
    say = clock()
    samples = trained(directory, say)
    say(f"trained; it is right on {samples['accuracy']:.1%} of the images that it has not seen")
    backends = [stack.enter_context(mlserver(directory, number)) for number in range(1, options.servers + 1)]
    wait_for(
        lambda: all(answers(address, "/v2/health/ready") for address in backends), "MLServer to be ready"
    )
    say(f"{len(backends)} MLServers are ready: {', '.join(backends)}")
    listens, admins = stack.enter_context(proxies(directory, backends))
    say(
        f"{PROXIES_COUNT} proxies listen on {listens[0]}; status pages: http://{admins[0]} http://{admins[1]}"
    )
    compared = compare(listens[0], backends, samples["images"])
    wrong = sum(digit != true for digit, true in zip(compared, samples["digits"], strict=True))
    say(
        f"{len(compared)} predictions through the proxies equal those asked directly ({wrong} digits misread)"
    )
    say(f"load test: {options.rate:g} requests per second for {options.seconds:g} s")
    status = load_test(
        directory, listens[0], samples["images"][0], ["--rate", f"{options.rate:g}"], options.seconds
    ).wait()
    for admin in admins:
        digits = get_json(admin, "/state")["services"]["digits"]
        used = [backend["requests_count"] for backend in digits["backends"]]
        say(f"proxy at {admin}: uses {digits['prefix']} of {len(used)} backends; requests to each: {used}")
    return status


@contextlib.contextmanager
def mlserver(directory: Path, number: int) -> Iterator[str]:
    """Run one MLServer of the model in `directory`; yields its address."""
    port = free_port()
    command = [str(MLSERVER_BIN / "python"), str(HERE / "serve.py"), str(port), str(directory)]
    with running(command, directory / f"mlserver-{number}.log", {}):
        yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def proxies(
    directory: Path,
    backends: list[str],
    config: Path = CONFIG,
    more: dict[str, str] | None = None,
    count: int = PROXIES_COUNT,
) -> Iterator[tuple[list[str], list[str]]]:
    """Run the proxies over `backends` on free ports; yields where they listen, and their admin addresses.

    `more` are settings; with any, the backends are run, too.
    """
    log = directory / "proxies.log"
    own = {
        "services.digits.backends": json.dumps(backends),
        "listen.port": 0,
        "admin.port": 0,
        **(more or {}),
    }
    own["process.access_log"] = str(directory / "access.jsonl")
    command = [sys.executable, "-m", "swayam_proxy", "launch", "-n", str(count), "-c", str(config)]
    command += ["--backends"] if more else []
    for key, value in own.items():
        command += ["--set", f"{key}={value}"]
    with running(command, log, {"PYTHONPATH": str(ROOT)}) as process:

        def listening() -> list[dict[str, Any]]:
            if process.poll() is not None:
                raise ExampleFailedError(f"the proxies ended with {process.returncode}")
            lines = [
                line for line in log.read_text().splitlines() if line.startswith('{"event": "listening"')
            ]
            return [event for event in map(json.loads, lines) if "admin" in event]  # sidecars have none

        wait_for(lambda: len(listening()) == count, "the proxies to listen")
        events = listening()
        yield (
            [address for event in events for address in event["listen"]],
            [event["admin"] for event in events],
        )


@contextlib.contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with its output in `log`, and end it: politely, then not."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **environment}, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def compare(proxy: str, backends: list[str], images: list[list[float]]) -> list[int]:
    """Ask for each image through the proxies and directly; return the digits, if all are equal."""
    digits = []
    for number, image in enumerate(images):
        through, directly = predict(proxy, image), predict(backends[number % len(backends)], image)
        if through["outputs"] != directly["outputs"]:
            raise ExampleFailedError(f"image {number}: {through} through the proxies, {directly} directly")
        digits.append(int(through["outputs"][0]["data"][0]))
    return digits


def inference_request(image: list[float]) -> bytes:
    """Write one image as an inference request of the V2 protocol."""
    pixels = {"name": "images", "shape": [1, len(image)], "datatype": "FP32", "data": image}
    return json.dumps({"inputs": [pixels], "outputs": [{"name": "predict"}]}).encode()


def predict(address: str, image: list[float]) -> dict[str, Any]:
    """Ask for the digit on one image."""
    status, body = ask(address, "POST", INFER, inference_request(image))
    if status != 200:
        raise ExampleFailedError(f"{address} answered {status}: {body[:300]!r}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def load_test(
    directory: Path, proxy: str, image: list[float], load: list[str], seconds: float, promise_ms: int = 250
) -> "subprocess.Popen[bytes]":
    """Begin to send one inference request again and again; return the load test."""
    body = directory / "request.json"
    body.write_bytes(inference_request(image))
    command = [str(ROOT / "scripts" / "loadtest"), proxy, *load]
    command += ["--duration", f"{seconds}s", "--path", INFER, "--body-file", str(body)]
    command += [
        "--header",
        "Content-Type: application/json",
        "--response-time",
        f"{promise_ms}ms",
        "--slo",
        "err<1%",
    ]
    command += ["--seed", "1", "--quiet", "--lag-limit", "250ms"]
    return subprocess.Popen(command)


def ask(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Send one request; returns status and body."""
    host, _, port = address.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=10.0)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def answers(address: str, path: str) -> bool:
    """Tell whether a GET is answered by 200."""
    try:
        return ask(address, "GET", path)[0] == 200
    except (OSError, HTTPException):
        return False


def get_json(address: str, path: str) -> Any:
    """GET a JSON document."""
    return json.loads(ask(address, "GET", path)[1])


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look until it holds, with a deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise ExampleFailedError(f"waited {PATIENCE_S:g} s in vain for {what}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
