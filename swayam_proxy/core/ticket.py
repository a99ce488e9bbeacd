"""One admitted request as the rules see it: where it is booked, since when, until when.

Knows no bytes. Mutable and slotted because one is made for every request.
"""

from typing import Any

from swayam_proxy.core.vocabulary import NEVER


class Ticket:
    """A request between `admit` and `finish`.

    `backend_index` is 0 while it waits in the frontend's queue. `owner` is whatever the driver hangs on it;
    the rules never look at it.
    """

    __slots__ = (
        "alone",
        "arrived_at",
        "attempts",
        "backend_address",
        "backend_index",
        "booked_at",
        "deadline",
        "ended",
        "grant",
        "held_at",
        "holds",
        "owner",
        "prefix",
        "replayable",
        "service_name",
        "tried",
        "tries_count",
    )

    def __init__(self, service_name: str, arrived_at: float, deadline: float = NEVER) -> None:
        """Begin with no backend; times are monotonic seconds."""
        self.service_name = service_name
        self.arrived_at = arrived_at
        self.deadline = deadline
        self.backend_index = 0
        self.backend_address = ""
        self.booked_at = arrived_at
        self.prefix = 0
        self.attempts = 0
        self.alone = False
        """The backend had no other request of ours when this one was booked."""
        self.ended = False
        self.tried: tuple[int, ...] = ()
        """Indices that took nothing of this request."""
        self.replayable = True
        """It can be sent again after a backend said "busy": late binding tries without a hold only then."""
        self.grant = 0
        """The hold that got it its slot; 0 where it goes without one."""
        self.tries_count = 0
        self.holds: dict[int, int] = {}
        """Index of the backend by hold id, while it waits."""
        self.held_at = 0.0
        self.owner: Any = None
