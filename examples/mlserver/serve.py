"""Becomes one MLServer of a trained model: serve.py PORT DIRECTORY, as sidecars start it.

Runs in MLServer's own environment. Its settings go to a directory of its own below DIRECTORY, which holds
what `train.py` wrote.
"""

import json
import os
import socket
import sys
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A forest of this size is fastest on one core, and leaves the others to other servers."""


def main(port: int, directory: Path) -> None:
    """Write the settings, and be MLServer from then on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        grpc_port = probe.getsockname()[1]
    home = directory / f"mlserver-{port}"
    home.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    (home / "settings.json").write_text(json.dumps(settings))
    for name in ("model.joblib", "model-settings.json"):
        if not (home / name).exists():
            (home / name).symlink_to(directory / name)
    program = Path(sys.executable).with_name("mlserver")
    words = [str(program), "start", str(home)]
    os.execve(program, words, {**os.environ, **ONE_THREAD})  # noqa: S606 - nothing of it is a user's


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).resolve())
