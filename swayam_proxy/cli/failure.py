"""How a command ends other than well: two lines on stderr, what and what to do, and an exit status."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """Wrong usage or configuration."""
    PROMISE_MISSED = 3
    UNREACHABLE = 4
    """No running proxy answers."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""


class CommandFailed(Exception):  # noqa: N818 - it ends a command; it is no error to catch and mend
    """Ends a command: what went wrong, what to do about it."""

    def __init__(self, what: str, todo: str, status: Exit = Exit.FAILED) -> None:
        """Keep both lines and the exit status."""
        super().__init__(what)
        self.what = what
        self.todo = todo
        self.status = status
