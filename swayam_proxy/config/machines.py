"""The tables [pools.NAME] and [services.NAME.server]: machines that services share, and how a model server is
started there.

A service that names a pool has one backend on each of its machines, in an order that follows from both names
(`core/rendezvous.py`), so that all frontends have the same.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, field_validator

from swayam_proxy.config.addresses import BackendAddress, UrlPath
from swayam_proxy.config.errors import RefusedValueError
from swayam_proxy.config.quantities import Duration, PositiveDuration
from swayam_proxy.config.section import Section, StringOrTable
from swayam_proxy.config.toml_text import brief_value

MACHINES_COUNT_MAX: Final = 10_000


def _parse_machine(value: Any) -> Any:
    if not isinstance(value, str | dict):
        todo = 'write "host:port", or a table such as { address = "10.0.0.11:9001", room = 4 }'
        raise RefusedValueError(f"is {brief_value(value)}, not a machine", todo)
    return {"address": value} if isinstance(value, str) else value


def _write_machine(machine: "PoolMachine") -> str | dict[str, Any]:
    return machine.address if machine.room is None else {"address": machine.address, "room": machine.room}


def is_token(token: SecretStr | None) -> SecretStr | None:
    """Return a token that can stand in a field; raises `RefusedValueError`."""
    if token is not None and not re.fullmatch(r"[!-~]{1,4096}", token.get_secret_value()):
        raise RefusedValueError("is not a token", "write 1 to 4096 visible ASCII characters")
    return token


class PoolMachine(Section):
    """One machine of a pool; a plain string is short for a table with nothing but the address."""

    address: BackendAddress = Field(examples=["10.0.0.11:9001"])
    """Where `swayam machine` listens there."""
    room: int | None = Field(default=None, ge=1, le=1000, examples=[4])
    """Services that may be set up there at a time; left out, the pool's `room`."""


MachineEntry = Annotated[
    PoolMachine, BeforeValidator(_parse_machine), PlainSerializer(_write_machine), StringOrTable()
]


class Pool(Section):
    """Machines that services share: on each of them `swayam machine` stands before their model servers."""

    machines: list[MachineEntry] = Field(
        min_length=1, max_length=MACHINES_COUNT_MAX, examples=[["10.0.0.11:9001", "10.0.0.12:9001"]]
    )
    """The machines; their order means nothing."""
    room: int = Field(default=1, ge=1, le=1000)
    """Services that may be set up on one machine at a time, where its entry does not say so itself."""
    rest: Duration = 5.0
    """Idle for so long, and for as long as its set-up took, a service makes way for one that is called."""
    token: SecretStr | None = Field(default=None, examples=["a-secret-of-yours"])
    """What the machines ask for; left out, they ask for nothing."""

    _token = field_validator("token")(is_token)

    def room_at(self, address: str) -> int:
        """Return how many services may be set up on the machine at `address`."""
        own = [machine.room for machine in self.machines if machine.address == address]
        return own[0] if own and own[0] is not None else self.room

    def rooms(self) -> dict[str, int]:
        """Return the room of each machine by its address."""
        return {machine.address: machine.room or self.room for machine in self.machines}


class Server(Section):
    """How one model server of the service is started: by `swayam machine`, and by `launch --backends`."""

    command: list[str] = Field(
        min_length=1, max_length=1000, examples=[["python", "server.py", "--port", "{port}"]]
    )
    """The command and its words, run without a shell; {port} stands for the port at which it shall listen."""
    health: UrlPath = "/"
    """Path that answers 2xx once the model can serve."""
    misses: int = Field(default=5, ge=0, le=1000)
    """Health checks in a row, two seconds apart, after which a warm server that answers no request either is
    started anew; 0: never."""
    idle: Duration = 60.0
    """Stop the model server after so long without a request; "0s": never."""
    setup_timeout: PositiveDuration = 300.0
    """A start that takes longer has failed."""
    drain: Duration = 30.0
    """For running requests to end before the model server is stopped."""
    stop_grace: Duration = 10.0
    """From SIGTERM to SIGKILL for the model server."""
    lease: PositiveDuration = 0.05
    """How long a granted slot waits for its request; some round trips."""
    output: str | None = Field(default=None, min_length=1, max_length=4096, examples=["server-{port}.log"])
    """File for what the model server prints; left out, standard error of whoever started it."""
