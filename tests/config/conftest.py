"""What reads configurations from text, the way the command line does from a file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from swayam_proxy.config.errors import ConfigError
from swayam_proxy.config.load import Loaded, load

MINIMAL = """
[services.digits]
backends = ["127.0.0.1:9001", "127.0.0.1:9002"]
sla = { response_time = "500ms", level = 0.99 }
"""

Read = Callable[..., Loaded]
Complaints = Callable[..., str]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return what reads a text (default: the smallest configuration), an environment and --set options."""

    def read_text(
        text: str = MINIMAL, environment: Mapping[str, str] | None = None, sets: Sequence[str] = ()
    ) -> Loaded:
        path = tmp_path / "swayam.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environment or {}, sets)

    return read_text


@pytest.fixture
def complaints(read: Read, tmp_path: Path) -> Complaints:
    """Return what reads `text`, which must be wrong, and gives all messages without the directory's name."""

    def complaints_about(
        text: str = MINIMAL, environment: Mapping[str, str] | None = None, sets: Sequence[str] = ()
    ) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, environment, sets)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return complaints_about
