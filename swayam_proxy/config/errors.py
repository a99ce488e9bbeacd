"""What is wrong with a configuration, in two lines each: what, and what to do."""

from dataclasses import dataclass

from swayam_proxy.core.errors import SwayamError

KeyPath = tuple[str | int, ...]
"""Where a value stands: table names, keys, and places in a list counted from 0."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it was written, which key, what it is, what would be right."""

    where: str
    """The file with its line, the environment variable, or the --set that gave the value."""
    key: str
    what: str
    todo: str

    def __str__(self) -> str:
        """Give the two lines that an operator sees."""
        subject = f"{self.key} {self.what}" if self.key else self.what
        return f"{self.where}: {subject}\n  {self.todo}"


class ConfigError(SwayamError):
    """The configuration cannot be used; `problems` holds everything that is wrong with it at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep `problems`, at least one."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class RefusedValueError(ValueError):
    """A value that a parser of this package cannot read: what it is, and what to write instead."""

    def __init__(self, what: str, todo: str) -> None:
        """Keep both halves of the message."""
        super().__init__(f"{what}; {todo}")
        self.what = what
        self.todo = todo


def key_text(path: KeyPath) -> str:
    """Write `path` as one would in TOML; places in a list are counted from 1, as backends are."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
            continue
        bare = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
        name = part if bare else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
        text += f".{name}" if text else name
    return text
