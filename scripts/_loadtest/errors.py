"""What ends a load test before it gives a verdict, each with its exit status."""


class LoadtestError(Exception):
    """A text of two lines for the user: what is wrong, and what to do."""

    exit_status = 1

    def __init__(self, what: str, to_do: str) -> None:
        super().__init__(f"{what}\n{to_do}")


class UsageError(LoadtestError):
    """The command line, a trace or a body that cannot be used."""

    exit_status = 2


class UnreachableError(LoadtestError):
    """A target that does not take connections."""

    exit_status = 4
