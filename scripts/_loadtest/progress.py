"""Where a running test stands, on standard error: a bar on a terminal, else a line each five seconds."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from _loadtest.arrivals import Schedule
from _loadtest.work import Progress as Standing

_LINE_EVERY_S = 5.0


class ProgressView:
    """Draws what `run_test` reports; a context, so that the terminal is left clean."""

    def __init__(self, schedule: Schedule, *, is_quiet: bool) -> None:
        self._count = len(schedule.times_s)
        self._said_at = time.monotonic()
        self._is_quiet = is_quiet
        self._bar: Progress | None = None
        if not is_quiet and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("waiting", total=schedule.duration_s)

    def __enter__(self) -> "ProgressView":
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, standing: Standing) -> None:
        """Draw the present standing."""
        if self._is_quiet:
            return
        text = (
            f"sent {standing.sent_count}/{self._count}  good {standing.good_count}  "
            f"failed {standing.done_count - standing.good_count}  in flight {standing.in_flight_count}"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=standing.elapsed_s, description=text)
        elif time.monotonic() - self._said_at >= _LINE_EVERY_S:
            self._said_at = time.monotonic()
            print(f"{standing.elapsed_s:6.1f} s  {text}", file=sys.stderr, flush=True)
