"""Where each key stands in a TOML text, so that a message can name the line.

The text has already been read by `tomllib`, which keeps no positions; this finds statements again and
nothing more. Keys inside an inline table or a list are not found: what holds them is.
"""

import re
import tomllib
from typing import Final

from swayam_proxy.config.errors import KeyPath

_TOKEN: Final = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|\n"
    r"|[\[\]{}=]"
    r"""|[^"'\#\n\[\]{}=]+"""
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, on which each table and each key of a valid TOML `text` begins."""
    finder = _LineFinder()
    head, in_value, depth, line, head_line = "", False, 0, 1, 1
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece == "\n" and depth == 0:
            finder.end_statement(head, head_line)
            head, in_value = "", False
        elif piece.startswith("#"):
            pass
        elif in_value:
            depth += (piece in "[{") - (piece in "]}")
        elif piece == "=":
            finder.end_key(head, head_line)
            head, in_value = "", True
        else:
            if not head.strip():
                head_line = line
            head += piece
        line += piece.count("\n")
    finder.end_statement(head, head_line)
    return finder.lines


class _LineFinder:
    """The tables met so far; turns written keys into paths."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._table: KeyPath = ()
        self._entries_count: dict[KeyPath, int] = {}

    def end_statement(self, head: str, line: int) -> None:
        """Take note of a table header, if `head` is one."""
        name = head.strip()
        if not name.startswith("["):
            return
        is_entry = name.startswith("[[")
        path: KeyPath = ()
        for part in _split_key(name.strip("[]")):
            path = (*self._latest(path), part)
        if is_entry:
            self._entries_count[path] = self._entries_count.get(path, 0) + 1
            self._note(path, line)
        self._table = self._latest(path)
        self._note(self._table, line)

    def end_key(self, head: str, line: int) -> None:
        """Take note of a key of the present table."""
        path = self._table
        for part in _split_key(head):
            path = (*path, part)
            self._note(path, line)

    def _latest(self, path: KeyPath) -> KeyPath:
        """Lead `path` into the latest entry where it names a list of tables."""
        count = self._entries_count.get(path)
        return path if count is None else (*path, count - 1)

    def _note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)


def _split_key(key: str) -> list[str]:
    """Split a written key at its dots, minding quotes."""
    parts = []
    table: object = tomllib.loads(f"{key.strip()} = 0")
    while isinstance(table, dict):
        part, table = next(iter(table.items()))
        parts.append(part)
    return parts
