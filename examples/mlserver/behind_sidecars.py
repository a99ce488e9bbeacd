"""Starts sidecars and proxies, and shows MLServers come when they are called and go when they are not.

Started by `run --sidecars`, with our own environment. From nothing to the first prediction, more servers
under load, none after the lull; and the same predictions as without any of it.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from example import (
    HERE,
    MLSERVER_BIN,
    ExampleFailedError,
    clock,
    compare,
    free_port,
    get_json,
    load_test,
    perform,
    predict,
    proxies,
    trained,
    wait_for,
)

Say = Callable[[str], None]
LOOK_S = 0.1


def main() -> int:
    """Run the whole example; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=4, choices=range(1, 9), help="sidecars [4]")
    parser.add_argument("--proxies", type=int, default=2, choices=range(1, 9), help="proxies [2]")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the load test [20]")
    parser.add_argument("--rate", type=float, default=120.0, help="requests per second [120]")
    parser.add_argument("--promise", type=int, default=250, help="milliseconds that 99 %% may take [250]")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds until an idle server goes [5]")
    return perform(run, parser.parse_args())


def run(directory: Path, stack: contextlib.ExitStack, options: argparse.Namespace) -> int:
    """Do one thing after the other, and say so."""
    say = clock()
    samples = trained(directory, say)
    sidecars = [f"127.0.0.1:{free_port()}" for _ in range(options.servers)]
    command = [str(MLSERVER_BIN / "python"), str(HERE / "serve.py"), "{port}", str(directory)]
    settings = {
        "services.digits.server.command": json.dumps(command),
        "services.digits.server.idle": f"{options.idle:g}s",
        "services.digits.sla.response_time": f"{options.promise}ms",
    }
    config = HERE / "sidecars.toml"
    listens, _ = stack.enter_context(proxies(directory, sidecars, config, settings, options.proxies))
    say(
        f"{options.proxies} proxies before {len(sidecars)} sidecars; model servers that run: {warm(sidecars)}"
    )
    asked = time.monotonic()
    predict(listens[0], samples["images"][0])
    say(f"first prediction {time.monotonic() - asked:.1f} s after the call, from nothing")
    running = [sidecar for sidecar in sidecars if state(sidecar) == "WARM"]
    digits = compare(listens[0], running, samples["images"])
    if digits != samples["predictions"]:
        raise ExampleFailedError("the forest itself predicts other digits")
    say(f"{len(digits)} predictions through the proxies equal those of the sidecar, and of the forest itself")
    low, high = options.rate / 6.0, options.rate
    say(f"load test: {options.seconds:g} s, a third of it {low:g}, then {high:g} requests per second")
    load = ["--load", f"step:{low:g},{high:g},{high:g}"]
    test = load_test(directory, listens[0], samples["images"][0], load, options.seconds, options.promise)
    status = watched(test, sidecars, say)
    lull = time.monotonic()
    wait_for(lambda: all(state(sidecar) == "COLD" for sidecar in sidecars), "the model servers to go")
    say(f"no model server runs any more, {time.monotonic() - lull:.1f} s after the last call")
    return status


def watched(test: "subprocess.Popen[bytes]", sidecars: list[str], say: Say) -> int:
    """Tell how many model servers run while a load test does; return its exit status."""
    began = time.monotonic()
    most = told = warm(sidecars)
    while test.poll() is None:
        count = warm(sidecars)
        if count != told:
            say(f"after {time.monotonic() - began:.1f} s of load: model servers that run: {count}")
            most, told = max(most, count), count
        time.sleep(LOOK_S)
    say(f"most model servers at a time: {most} of {len(sidecars)}")
    return test.returncode


def state(sidecar: str) -> str:
    """Return what a sidecar says of its model server."""
    return str(get_json(sidecar, "/swayam/state")["state"])


def warm(sidecars: list[str]) -> int:
    """Count the model servers that run and are ready."""
    return sum(state(sidecar) == "WARM" for sidecar in sidecars)


if __name__ == "__main__":
    sys.exit(main())
