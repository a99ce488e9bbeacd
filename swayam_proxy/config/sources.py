"""Where values come from: the file, then the environment, then --set; later ones win.

SWAYAM_LISTEN__PORT=8081 sets listen.port: two underscores stand between levels. A variable without two is
not ours to read: a Kubernetes service named "swayam" puts SWAYAM_PORT and its like into every pod.
"""

import copy
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swayam_proxy.config.errors import ConfigError, KeyPath, Problem, key_text
from swayam_proxy.config.positions import key_lines

ENVIRONMENT_PREFIX: Final = "SWAYAM_"
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
_SYNTAX_PLACE: Final = re.compile(
    r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$"
)


@dataclass(frozen=True, slots=True)
class Override:
    """One value from outside the file, and where it was said."""

    path: tuple[str, ...]
    value: Any
    where: str


@dataclass(slots=True)
class Source:
    """All values merged, and who said each."""

    file_name: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)

    def origin_of(self, path: KeyPath) -> str | None:
        """Say where the value at `path` was written; None for a default."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
        present: Any = self.values
        for part in path:
            if isinstance(present, Mapping):
                present = present.get(str(part), ...)
            elif isinstance(present, list) and isinstance(part, int) and part < len(present):
                present = present[part]
            else:
                return None
            if present is ...:
                return None
        return self.place_of(path)

    def place_of(self, path: KeyPath) -> str:
        """Say where `path` is, or should be, written: the nearest thing around it that is written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return self.overrides[path[:end]]
            if path[:end] in self.lines:
                return f"{self.file_name}:{self.lines[path[:end]]}"
            for key, where in self.overrides.items():
                if key[:end] == path[:end]:
                    return where
        return self.file_name


def read_file(path: Path) -> Source:
    """Read the TOML file.

    Raises:
        ConfigError: it is not there, cannot be read, is too large, or is not TOML.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        todo = "name a file with --config, or copy config.example.toml and edit it"
        raise _file_error(name, "there is no such file", todo) from None
    except IsADirectoryError:
        raise _file_error(name, "is a directory", "name the file itself") from None
    except OSError as error:
        what = f"cannot be read: {(error.strerror or str(error)).lower()}"
        raise _file_error(name, what, "let the user that runs swayam read it") from None
    if len(raw) > FILE_BYTES_MAX:
        raise _file_error(name, "is larger than 16 MiB", "is it the right file?")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _file_error(f"{name}:{line}", "is not UTF-8", "save it as UTF-8; TOML knows no other") from None
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(name, str(error), text) from None
    return Source(name, values, key_lines(text))


def _file_error(where: str, what: str, todo: str) -> ConfigError:
    return ConfigError((Problem(where, "", what, todo),))


def _syntax_error(name: str, message: str, text: str) -> ConfigError:
    match = _SYNTAX_PLACE.match(message)
    line = text.count("\n") + 1
    where, what = f"{name}:{line}", message
    if match is not None:
        what = match["what"]
        if match["line"]:
            where, line = f"{name}:{match['line']}:{match['column']}", int(match["line"])
    what = f"is not TOML: {what[:1].lower()}{what[1:]}"
    written = text.split("\n")[line - 1].strip()[:80]
    todo = f"mend this line: {written}" if written else "mend what stands before this line"
    return _file_error(where, what, todo + " (strings need quotes, tables are written [name])")


def apply_overrides(source: Source, overrides: Iterable[Override]) -> list[Problem]:
    """Lay `overrides` over the values of the file; returns those that fit nowhere."""
    source.values = copy.deepcopy(source.values)
    problems = []
    for override in overrides:
        table: Any = source.values
        for depth, part in enumerate(override.path[:-1]):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                held = key_text(override.path[: depth + 1])
                kind = "a list" if isinstance(table, list) else "no table"
                what = f"leads into {held}, which is {kind}"
                problems.append(
                    Problem(override.where, key_text(override.path), what, f"set {held} as a whole")
                )
                break
        else:
            table[override.path[-1]] = override.value
            source.overrides[override.path] = override.where
    return problems


def overrides_from_assignments(assignments: Sequence[str]) -> list[Override]:
    """Read --set options, "a.b=c" with a TOML value or a plain string.

    Raises:
        ConfigError: some of them have no key or no "=".
    """
    overrides, problems = [], []
    for text in assignments:
        key, separator, value = text.partition("=")
        path = _dotted_key(key.strip())
        if not separator or path is None:
            todo = "write --set KEY=VALUE, such as --set listen.port=8081"
            problems.append(Problem(f"--set {text}", "", "has no key and value", todo))
            continue
        overrides += _leaves(path, _toml_or_text(value), f"--set {key.strip()}")
    if problems:
        raise ConfigError(tuple(problems))
    return overrides


def overrides_from_environment(environment: Mapping[str, str], values: Mapping[str, Any]) -> list[Override]:
    """Read the variables that begin with SWAYAM_ and have two underscores between levels.

    A level that agrees with a name in the file, up to case and "-" or "." for "_", means that name.
    """
    overrides = []
    for variable in sorted(environment):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        levels = variable.removeprefix(ENVIRONMENT_PREFIX).split("__")
        path: tuple[str, ...] = ()
        table: Any = values
        for level in levels:
            known = table if isinstance(table, Mapping) else {}
            alike = [name for name in known if _fold(name) == _fold(level)]
            path = (*path, alike[0] if len(alike) == 1 else level.lower())
            table = known.get(path[-1])
        overrides += _leaves(path, _toml_or_text(environment[variable]), f"environment {variable}")
    return overrides


def _fold(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _dotted_key(key: str) -> tuple[str, ...] | None:
    try:
        table: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return None
    path: tuple[str, ...] = ()
    while isinstance(table, dict) and len(table) == 1:
        ((name, table),) = table.items()
        path = (*path, name)
    return path if table == 0 else None


def _toml_or_text(text: str) -> Any:
    """Read a TOML value; what is none is a plain string, so that quotes may be left out."""
    try:
        parsed = tomllib.loads(f"value = {text.strip()}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _leaves(path: tuple[str, ...], value: Any, where: str) -> list[Override]:
    """Split a table into its values, so that it adds to the file's table rather than replacing it."""
    if not isinstance(value, dict):
        return [Override(path, value, where)]
    return [leaf for name, item in value.items() for leaf in _leaves((*path, name), item, where)]
