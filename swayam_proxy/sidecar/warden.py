"""Runs one command in a session of its own and sees to it that nothing of it outlives the sidecar.

A program by itself, run as `python warden.py COMMAND...` with the standard library alone, so that it starts
in some ten milliseconds. Its standard input is the line to the sidecar: "t" asks the command's whole group to
end (SIGTERM), "k" ends it (SIGKILL), and so does the end of the line, however the sidecar came to its own.
When the command ends, so does what is left of its group; the warden passes its status on: 128 and the
signal's number for a signal, 127 for a command that cannot be started.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_CANNOT_START = 127


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes the kernel kill the command when the warden itself is killed; Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def run(command: list[str]) -> int:
    """Run `command` until it ends or the sidecar says so; return its status."""
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    try:
        child = subprocess.Popen(  # noqa: S603 - the user's own command is what it is for
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent()
        )
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        return _CANNOT_START
    waiting_for = [woken, sys.stdin.fileno()]
    while child.poll() is None:
        ready, _, _ = select.select(waiting_for, [], [])
        if woken in ready:
            os.read(woken, 4096)
        if sys.stdin.fileno() in ready:
            said = os.read(sys.stdin.fileno(), 64)
            if not said or b"k" in said:
                _signal_group(child.pid, signal.SIGKILL)
            elif b"t" in said:
                _signal_group(child.pid, signal.SIGTERM)
            if not said:
                waiting_for = [woken]
    _signal_group(child.pid, signal.SIGKILL)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
