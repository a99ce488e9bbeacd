"""Messages for operators: readable by people, or by programs, with tracebacks kept whole."""

import json
import logging
from collections.abc import Iterator

import pytest

from swayam_proxy.live.log_format import print_event, set_up_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_messages(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Each message is one line of JSON, even when it carries a traceback or a line break."""
    set_up_logging("info", "json")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("swayam").exception("it broke: %s", "a\nb")
    logging.getLogger("swayam").debug("not wanted")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    message = json.loads(lines[0])
    assert (message["level"], message["logger"], message["message"]) == ("error", "swayam", "it broke: a\nb")
    assert "ValueError: first\nsecond" in message["traceback"]


def test_text_messages(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Text names time, level and origin; what is below the level is not shown."""
    set_up_logging("warning", "text")
    logging.getLogger("swayam").info("quiet")
    logging.getLogger("swayam").warning("loud")
    assert capsys.readouterr().err.endswith(" WARNING swayam: loud\n")


def test_events_are_json_whatever_the_format(capsys: pytest.CaptureFixture[str]) -> None:
    """What programs wait for is one JSON line on standard error, and is returned for the launcher."""
    line = print_event("listening", listen=["127.0.0.1:1"])
    assert capsys.readouterr().err == line
    assert json.loads(line) == {"event": "listening", "listen": ["127.0.0.1:1"]}
