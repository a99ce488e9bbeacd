"""What can go wrong, typed by who is to blame.

A full queue is an answer (`Refusal`), not an error; a mistake of our own is an assertion.
"""


class SwayamError(Exception):
    """Anything that this project raises on purpose."""


class ModelError(SwayamError, ValueError):
    """An input that the mathematics has no meaning for, such as a negative rate."""


class WireError(SwayamError):
    """A datagram that cannot be believed; it is dropped and counted, never fatal."""

    def __init__(self, reason: str) -> None:
        """Keep `reason`, a short word that labels the counter."""
        super().__init__(reason)
        self.reason = reason


class EvidenceError(SwayamError, ValueError):
    """A recorded decision that cannot be made again."""


class LifecycleError(SwayamError):
    """A signal that a backend in its present state cannot have received."""
