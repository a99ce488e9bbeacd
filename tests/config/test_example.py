"""config.example.toml: complete, valid, and true about every default."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swayam_proxy.config.load import load
from swayam_proxy.config.quantities import DURATION_PATTERN, parse_duration
from swayam_proxy.config.schema import BY_NAME, Config
from swayam_proxy.config.section import Section, defaults_of, section_of

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
KEY = re.compile(r"^(#?)([a-z_]+) = (.+)$")
TABLE = re.compile(r"^#?\[\[?([a-z_.]+)\]\]?$")
LABELS = ("Unit:", "Default:", "Why:", "If wrong:")


@dataclass(frozen=True)
class Entry:
    """One key as the example explains it."""

    table: str
    key: str
    text: str
    """The comment above it."""
    value: Any
    commented_out: bool

    @property
    def default_told(self) -> str:
        """What the comment says behind "Default:", up to the end of the sentence."""
        value = r"unset|\[.*?\]|\{.*?\}|\".*?\"|[\w.]+?"
        found = re.search(rf"Default: ({value})(?: \(.*?\))?\.(?:\s|$)", self.text)
        assert found, f"[{self.table}] {self.key} tells no default"
        return found[1]


def table_of(name: str) -> str:
    """Return the name of a table with NAME for the service's or the pool's."""
    return re.sub(r"^(services|pools)\.\w+", r"\1.NAME", name)


def entries() -> Iterator[Entry]:
    """Yield every key that the example shows, set or commented out."""
    table, comment = "", ""
    for line in EXAMPLE.read_text().splitlines():
        if header := TABLE.match(line):
            table, comment = table_of(header[1]), ""
        elif key := KEY.match(line):
            yield Entry(table, key[2], comment, tomllib.loads(f"v = {key[3]}")["v"], bool(key[1]))
            comment = ""
        elif line.startswith("#"):
            comment += line[1:] + "\n"
        else:
            comment = ""


ENTRIES = [entry for entry in entries() if entry.text]


def keys_of_schema(section: type[Section] = Config, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (table, key, default as written) for every key that holds a value, not a table."""
    defaults = defaults_of(section)
    for key, field in section.model_fields.items():
        child = section_of(field.annotation)
        inside = f"{path}.{key}".lstrip(".")
        if child is None or key in ("backends", "machines"):
            yield path, key, defaults.get(key)
        else:
            yield from keys_of_schema(child, f"{key}.NAME" if key in BY_NAME else inside)


SCHEMA_KEYS = {(table, key): default for table, key, default in keys_of_schema()}


def test_the_example_is_valid_as_it_is() -> None:
    """Whoever copies it can start from it, without a doubt."""
    assert load(EXAMPLE, {}).warnings == ()


def test_the_example_is_valid_with_every_key_uncommented(tmp_path: Path) -> None:
    """What is commented out can be used as it stands."""
    text = re.sub(r"^#([a-z\[])", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    path = tmp_path / "swayam.toml"
    path.write_text(text)
    loaded = load(path, {})
    assert set(loaded.config.services) == {"digits", "sentiment", "translate", "summarise", "classify"}


def test_the_example_has_every_key_and_no_other() -> None:
    """A key that is added to the schema must be explained; one that is taken out must go."""
    assert {(entry.table, entry.key) for entry in ENTRIES} == set(SCHEMA_KEYS)
    assert len(ENTRIES) == len(SCHEMA_KEYS), "a key is explained twice"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.table}.{entry.key}")
def test_each_key_is_explained(entry: Entry) -> None:
    """What it is, its unit, its default, the reason for the default, the symptom when it is wrong."""
    for label in LABELS:
        assert label in entry.text
    default = SCHEMA_KEYS[entry.table, entry.key]
    if default is None:
        assert entry.default_told == "unset"
        return
    told = tomllib.loads(f"v = {entry.default_told}")["v"]
    assert same(told, default), f"told {told}, but it is {default}"
    if entry.commented_out and told != {}:
        assert same(entry.value, default), f"shown {entry.value}, but it is {default}"


def same(told: Any, default: Any) -> bool:
    """Compare a written value with a default that may be spelled otherwise ("75s" and "1m15s")."""
    if isinstance(told, str) and re.search(DURATION_PATTERN, told):
        return parse_duration(told) == parse_duration(default)
    return type(told) is type(default) and told == default
