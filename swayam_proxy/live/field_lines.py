"""Reads field lines one by one, strictly, and remembers those that come again and again.

A head is mostly made of lines that were seen before, even where one of them (an id, a time) is new each time.
So a line is checked and taken apart once; later it costs one look into a bounded table. Knows no meaning of
any field beyond a list of those that somebody wants to look at.
"""

import re
from collections.abc import Iterator

from swayam_proxy.live.headers import BETWEEN_US, TOKEN

_FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):([\t\x20-\x7e\x80-\xff]*)")
_REMEMBERED_COUNT_MAX = 2048
_REMEMBERED_BYTES_MAX = 256
EVER_NEW = frozenset(
    (
        b"b3",
        b"server-timing",
        b"swayam-grant",
        b"sentry-trace",
        b"traceparent",
        b"tracestate",
        b"x-amzn-trace-id",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-request-id",
        b"x-request-start",
        b"x-response-time",
        b"x-runtime",
    )
)
"""Their lines differ from message to message: to remember those would push out the others. Special, all of
them."""


class FieldLineError(Exception):
    """A line that is no field line in the strictest reading."""


class FieldLine:
    """One field line: as it is compared (`lower`, `value`) and as it is written."""

    __slots__ = ("is_special", "lower", "value", "written")

    def __init__(self, name: bytes, value: bytes, specials: frozenset[bytes]) -> None:
        """Keep name and value, which has no white space around it."""
        self.lower = name.lower()
        if self.lower == b"content-length" and value.isdigit():
            value = value.lstrip(b"0") or b"0"
        self.value = value
        is_between_us = self.lower.startswith(BETWEEN_US)
        self.written = b"" if is_between_us else b"%b: %b\r\n" % (name, value)
        """Nothing for what frontends and sidecars say to each other: it ends here, whoever sent it."""
        self.is_special = is_between_us or self.lower in specials
        """Somebody wants to look at it; all others are only passed on."""


class FieldLines:
    """Reads the lines of one kind of heads."""

    __slots__ = ("_specials", "known")

    def __init__(self, specials: frozenset[bytes]) -> None:
        """Mark the fields of these lower-case names."""
        self._specials = specials
        self.known: dict[bytes, FieldLine] = {}

    def read(self, raw: bytes) -> FieldLine:
        """Return the meaning of a line that is not in `known`; `raw` has no line end.

        Raises:
            FieldLineError: it is malformed.
        """
        match = _FIELD_LINE.fullmatch(raw)
        if match is None:
            raise FieldLineError("a header field has characters that HTTP does not allow")
        name, value = match.groups()
        line = FieldLine(name, value.strip(b" \t"), self._specials)
        if len(raw) <= _REMEMBERED_BYTES_MAX and line.lower not in EVER_NEW:
            if len(self.known) >= _REMEMBERED_COUNT_MAX:
                self.known.clear()
            self.known[raw] = line
        return line

    def read_all(self, raws: list[bytes]) -> tuple[list[FieldLine], dict[bytes, list[bytes]]]:
        """Return the meaning of all lines, and what the special ones say by their lower-case names.

        Raises:
            FieldLineError: one is malformed.
        """
        known = self.known
        lines: list[FieldLine] = []
        said: dict[bytes, list[bytes]] = {}
        for raw in raws:
            line = known.get(raw) or self.read(raw)
            lines.append(line)
            if line.is_special:
                values = said.get(line.lower)
                if values is None:
                    said[line.lower] = [line.value]
                else:
                    values.append(line.value)
        return lines, said

    @staticmethod
    def come_again(said: dict[bytes, list[bytes]]) -> bool:
        """Say whether a head with these special fields is likely to be sent again, byte for byte."""
        return EVER_NEW.isdisjoint(said)


class FieldPairs:
    """Names and values of lines, made only for somebody who looks at them."""

    __slots__ = ("_lines", "were_read")

    def __init__(self, lines: list[FieldLine]) -> None:
        """Stand for `lines`."""
        self._lines = lines
        self.were_read = False

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Go through the lines in order; the names are lower case."""
        self.were_read = True
        return ((line.lower, line.value) for line in self._lines)
