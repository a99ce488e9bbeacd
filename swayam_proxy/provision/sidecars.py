"""Backends that have sidecars somewhere: set up and let go over their control API, looked at in turn.

Knows section 3 of docs/sidecar-protocol.md; starts no process.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.provision.interface import Place, Snapshot

LOOK_S = 0.5
_ASK_S = 2.0
_ANSWER_BYTES_MAX = 64 * 1024
_STATES = {state.value.upper(): state for state in BackendState if state is not BackendState.LOST}


class SidecarProvisioner:
    """The backends of one ordered list."""

    def __init__(
        self,
        addresses: Sequence[str],
        token: str | None = None,
        look_s: float = LOOK_S,
        *,
        service_name: str | None = None,
    ) -> None:
        """Know nothing yet: all places are cold and out of reach until they answer.

        `service_name` says which service is meant where the backends are machines of a pool.
        """
        self._places = [
            Place(index, 0, address, BackendState.COLD, is_reachable=False)
            for index, address in enumerate(addresses, start=1)
        ]
        self._fields = {} if token is None else {"Authorization": f"Bearer {token}"}
        if service_name is not None:
            self._fields["Swayam-Service"] = service_name
        self._look_s = look_s
        self._session: aiohttp.ClientSession | None = None
        self._looking: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Ask every backend once, and look at all of them from now on."""
        timeout = aiohttp.ClientTimeout(total=_ASK_S)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._fields)
        await asyncio.gather(*(self._look(place.index) for place in self._places))
        self._looking = [asyncio.create_task(self._keep_looking(place.index)) for place in self._places]

    async def ensure(self, count: int) -> None:
        """Order a set-up from every cold backend up to `count`; the number makes it one for all who ask."""
        cold = [place for place in self._places[: max(0, count)] if place.state is BackendState.COLD]
        await asyncio.gather(*(self._set_up(place) for place in cold))

    async def retire(self, index: int, incarnation: int) -> bool:
        """Ask the backend itself, which compares and sets."""
        answer = await self._ask(index, "POST", "/swayam/retire", {"incarnation": incarnation})
        return answer is not None and answer.get("retired") is True

    def snapshot(self) -> Snapshot:
        """Return what the backends last told."""
        return Snapshot(tuple(self._places))

    async def watch(self) -> AsyncIterator[Snapshot]:
        """Yield what the backends tell, whenever that changes."""
        told: Snapshot | None = None
        while True:
            async with self._changed:
                while (now := self.snapshot()) == told:
                    await self._changed.wait()
            told = now
            yield told

    def move(self, index: int, address: str) -> None:
        """Look for a backend elsewhere from now on."""
        self._places[index - 1] = replace(self._places[index - 1], address=address)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    # -- inside --

    async def _set_up(self, place: Place) -> None:
        await self._ask(place.index, "POST", "/swayam/setup", {"incarnation": place.incarnation + 1})

    async def _keep_looking(self, index: int) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await self._look(index)

    async def _look(self, index: int) -> None:
        await self._ask(index, "GET", "/swayam/state", None)

    async def _ask(
        self, index: int, method: str, path: str, content: dict[str, Any] | None
    ) -> dict[str, Any] | None:
        """Return the answer of a backend, and note the state that it tells; None when there is none."""
        assert self._session is not None, "started"
        url = f"http://{self._places[index - 1].address}{path}"
        try:
            async with self._session.request(method, url, json=content) as response:
                raw = await response.content.read(_ANSWER_BYTES_MAX)
                answer = _json_of(raw)
        except (aiohttp.ClientError, TimeoutError, OSError):
            answer = None
        await self._note(index, answer)
        return answer

    async def _note(self, index: int, answer: dict[str, Any] | None) -> None:
        before = self._places[index - 1]
        state = None if answer is None else _STATES.get(str(answer.get("state")))
        incarnation = None if answer is None else answer.get("incarnation")
        if state is None or type(incarnation) is not int:
            after = replace(before, is_reachable=False)
        else:
            after = replace(before, incarnation=incarnation, state=state, is_reachable=True)
        self._places[index - 1] = after
        if after != before:
            async with self._changed:
                self._changed.notify_all()


def _json_of(raw: bytes) -> dict[str, Any] | None:
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None
