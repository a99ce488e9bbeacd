"""What a process settles before it runs: descriptors, its loop, its logs; and how failures are told."""

import asyncio
import errno
import logging
import os
import sys
from pathlib import Path

import pytest

from swayam_proxy.live.process import fit_to_descriptors, loop_factory, open_logs
from swayam_proxy.live.resources import connections_that_fit, keep_freed_memory, raise_descriptor_limit
from swayam_proxy.live.settings import AccessLogSettings, AdminSettings, LiveSettings
from swayam_proxy.live.start_failed import StartFailedError, cannot_listen

SETTINGS = LiveSettings(listen=(), admin=AdminSettings(), services=())


def test_connections_fit_the_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    """With few descriptors fewer clients are taken than configured, backends keep some, the user is told."""
    with caplog.at_level(logging.WARNING):
        assert fit_to_descriptors(SETTINGS, 20_000) is SETTINGS
        assert not caplog.records
        fitted = fit_to_descriptors(SETTINGS, 256)
    assert fitted.limits.connections_max == connections_that_fit(256)
    assert 64 <= fitted.limits.connections_max <= 256 - 64
    assert "open files are limited to 256" in caplog.text
    assert connections_that_fit(16) > 0


def test_descriptor_limit_is_the_hard_one() -> None:
    """The soft limit, often 1024, is raised as far as the kernel allows."""
    resource = pytest.importorskip("resource")
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_memory_habits_can_be_set() -> None:
    """On glibc the thresholds are taken; elsewhere nothing happens."""
    assert keep_freed_memory() is (
        sys.platform == "linux" and hasattr(os, "confstr") and bool(glibc_version())
    )


def glibc_version() -> str | None:
    """Return "glibc 2.36" or the like, None on other C libraries."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return None


@pytest.mark.parametrize("name", ["uvloop", "asyncio"])
def test_loops(name: str) -> None:
    """Both loops can be made; the default is the fast one."""
    loop = loop_factory(name)()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert type(loop).__module__.startswith("uvloop") == (name == "uvloop")
    loop.close()


def test_a_missing_uvloop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where uvloop is not installed the advice names the other loop."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with pytest.raises(StartFailedError, match="not installed") as error:
        loop_factory("uvloop")
    assert 'process.loop = "asyncio"' in error.value.todo


def test_a_log_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """The message names the file and its key; no thread is left behind."""
    settings = LiveSettings(
        listen=(),
        admin=AdminSettings(),
        services=(),
        access_log=AccessLogSettings(str(tmp_path / "access.log")),
        decision_log_path=str(tmp_path / "no" / "decisions.log"),
    )
    with pytest.raises(StartFailedError, match=r"decisions\.log: No such file") as error:
        open_logs(settings, "proxy-1")
    assert "process.decision_log" in error.value.todo


def test_logs_can_be_off() -> None:
    """None means none."""
    settings = LiveSettings(listen=(), admin=AdminSettings(), services=(), access_log=AccessLogSettings(None))
    assert open_logs(settings, "proxy-1") == (None, None)


@pytest.mark.parametrize(
    ("number", "what", "todo"),
    [
        (errno.EADDRINUSE, "127.0.0.1:80 is in use", "another admin.port"),
        (errno.EACCES, "not allowed to listen on 127.0.0.1:80", "above 1023"),
        (errno.EADDRNOTAVAIL, "127.0.0.1 is no address of this machine", "admin.host"),
        (errno.ENOBUFS, "cannot listen on 127.0.0.1:80: No buffer space available", "check admin.host"),
    ],
)
def test_why_an_address_cannot_be_had(number: int, what: str, todo: str) -> None:
    """Each reason is one line of what and one of what to do, with the configuration's key."""
    error = cannot_listen(OSError(number, "text"), "127.0.0.1", 80, "admin")
    assert error.what == what
    assert todo in error.todo
