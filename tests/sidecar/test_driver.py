"""What a sidecar knows of its model server from the requests that it has."""

from typing import Any

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER, BackendState, Outcome
from swayam_proxy.sidecar.driver import SidecarDriver
from swayam_proxy.sidecar.settings import ServerSettings, SidecarSettings
from tests.sidecar.pool_world import VirtualLoop


def warm_driver(slots: int = 2) -> tuple[SidecarDriver, VirtualLoop]:
    """Return a sidecar whose server has become warm at second 1."""
    loop = VirtualLoop()
    virtual: Any = loop
    settings = SidecarSettings(ServerSettings(("serve",)), slots=slots)
    driver = SidecarDriver(settings, virtual, lambda: loop.now, lambda _: None)
    driver.ask_setup(None)
    loop.run_until(1.0)
    driver.server_healthy()
    assert driver.life.state is BackendState.WARM
    return driver, loop


def begun(driver: SidecarDriver, loop: VirtualLoop) -> Ticket:
    """Let a request run from now on."""
    exchange: Any = None
    ticket = driver.admit("model", exchange, loop.now, NEVER)
    assert isinstance(ticket, Ticket)
    return ticket


def test_silence_is_no_hang_while_something_is_served_or_runs_for_long() -> None:
    """A server may hang when it has served nothing since, and what runs has begun since; requests that were
    given up count as nothing served.
    """
    driver, loop = warm_driver()
    loop.run_until(10.0)
    assert driver.may_hang(9.0), "nothing runs, nothing was served"
    old = begun(driver, loop)
    loop.run_until(20.0)
    assert not driver.may_hang(18.0), "one has run since before: it may just take long"
    young = begun(driver, loop)
    driver.cancel(old)
    assert driver.may_hang(18.0), "its client gave it up"
    driver.finish(young, Outcome.SERVED, loop.now)
    assert not driver.may_hang(18.0) and driver.may_hang(20.5)
    late = begun(driver, loop)
    driver.finish(late, Outcome.OVERDUE, loop.now)
    assert driver.may_hang(20.5)
