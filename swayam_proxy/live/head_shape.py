"""Heads that differ from an earlier one in nothing but values that are new each time: ids, traces, lengths.

To read a head strictly costs some ten microseconds, and most real requests bring an id of their own, so that
no head ever comes again. But its shape does: such a head is compared with the earlier one piece by piece, and
only what stands in the place of a new value is looked at. That is safe because

- everything else is, byte for byte, what both readers (llhttp and our own grammar) have read before;
- a new value is made of a few plain characters, without white space, which both take for a value and nothing
  else; and it stands in a field whose meaning is known here, or which is only passed on.

Whatever does not fit is read the long way. Knows no meaning of a field beyond which characters it may have.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from swayam_proxy.live.field_lines import EVER_NEW, FieldLine

_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE = bytes(range(0x21, 0x7F))
_ID = _DIGITS + _LETTERS + b"._~+/=:@-"
_VALUE_BYTES_MAX = 256
_SHAPE_BYTES_MAX = 2048
_VALUES_COUNT_MAX = 8
_LINES_COUNT_MAX = 128
_SHAPES_PER_LINE_MAX = 4
"""At most some 3 MB per table. A full table is emptied: what is still in use comes back at once."""

VARYING = EVER_NEW | {b"content-length"}
"""Lower-case names of the fields whose values are expected to be new."""

_ALLOWED = {b"content-length": (_DIGITS, 9), b"x-request-id": (_ID, 128)}
"""Which characters, and how many; all other fields may have what can be seen."""


class Place:
    """Where a new value stands, and what follows it."""

    __slots__ = ("allowed", "behind", "bytes_expected", "bytes_max", "name")

    def __init__(self, name: bytes, behind: bytes, bytes_expected: int) -> None:
        """Expect a value of the field `name`, at first of that length, with the text `behind` it."""
        self.name = name
        self.behind = behind
        self.bytes_expected = bytes_expected
        self.allowed, self.bytes_max = _ALLOWED.get(name, (_VISIBLE, _VALUE_BYTES_MAX))

    def takes(self, value: bytes) -> bool:
        """Say whether `value` is plain enough."""
        return 0 < len(value) <= self.bytes_max and not value.translate(None, self.allowed)


class HeadShape:
    """What many heads have in common."""

    __slots__ = ("_begin", "_begin_bytes", "_bytes_max", "_head_bytes", "_layout", "places")

    def __init__(self, begin: bytes, places: Sequence[Place], bytes_max: int) -> None:
        """Match heads of these parts, up to `bytes_max` long."""
        self._bytes_max = bytes_max
        self._begin = begin
        self._begin_bytes = len(begin)
        self.places = tuple(places)
        self._layout: list[tuple[int, int, bytes, bytes]] = []
        """Begin and end of each value in the latest head, what is behind it, and what it may be made of."""
        self._head_bytes = 0
        self._lay_out([place.bytes_expected for place in self.places])

    def _lay_out(self, values_bytes: Sequence[int]) -> None:
        """Expect values of these lengths."""
        at = self._begin_bytes
        layout = []
        for place, value_bytes in zip(self.places, values_bytes, strict=True):
            layout.append((at, at + value_bytes, place.behind, place.allowed))
            at += value_bytes + len(place.behind)
        self._layout, self._head_bytes = layout, at

    def values_in(self, data: bytes) -> tuple[list[bytes], int] | None:
        """Return the new values in the head at the beginning of `data`, and how long that head is.

        None when it has not this shape, or is not all here.
        """
        if not data.startswith(self._begin):
            return None
        values = []
        for begin, end, behind, allowed in self._layout:
            value = data[begin:end]
            if not data.startswith(behind, end) or value.translate(None, allowed):
                return self._other_lengths_in(data)
            values.append(value)
        return values, self._head_bytes

    def _other_lengths_in(self, data: bytes) -> tuple[list[bytes], int] | None:
        """Look for values that are longer or shorter than the latest ones."""
        values: list[bytes] = []
        at = self._begin_bytes
        for place in self.places:
            end = data.find(place.behind, at, at + place.bytes_max + len(place.behind))
            value = data[at:end]
            if end < 0 or not place.takes(value):
                return None
            values.append(value)
            at = end + len(place.behind)
        if at > self._bytes_max:
            return None
        self._lay_out([len(value) for value in values])
        return values, at

    def index_of(self, name: bytes) -> int:
        """Return the position of a field among the values, or -1."""
        return next((index for index, place in enumerate(self.places) if place.name == name), -1)


def shape_of(raw: bytes, lines: Sequence[FieldLine], bytes_max: int) -> HeadShape | None:
    """Return the shape of a head that was read as these lines; None when nothing in it is expected to vary.

    Also None when a field stands twice, or is written in an unusual way. `bytes_max` is the limit of heads.
    """
    if len(raw) > _SHAPE_BYTES_MAX:
        return None
    names: list[bytes] = []
    pieces = [bytearray()]
    values: list[bytes] = []
    raws = raw.split(b"\r\n")
    pieces[0] += raws[0] + b"\r\n"
    for text, line in zip(raws[1:-2], lines, strict=True):
        if line.lower not in VARYING:
            pieces[-1] += text + b"\r\n"
            continue
        if line.lower in names or not text.endswith(line.value) or not line.value:
            return None
        names.append(line.lower)
        values.append(line.value)
        pieces[-1] += text[: -len(line.value)]
        pieces.append(bytearray(b"\r\n"))
    pieces[-1] += b"\r\n"
    places = [
        Place(name, bytes(behind), len(value))
        for name, behind, value in zip(names, pieces[1:], values, strict=True)
    ]
    if not 0 < len(places) <= _VALUES_COUNT_MAX:
        return None
    if not all(place.takes(value) for place, value in zip(places, values, strict=True)):
        return None
    return HeadShape(bytes(pieces[0]), places, bytes_max)


class Template:
    """A text that was made of such a head, with its new values in it."""

    __slots__ = ("_indices", "_text")

    def __init__(self, text: bytes, indices: Sequence[int], values_count: int) -> None:
        """Fill the places of `text`, in printf's way, with the values of these indices, of so many."""
        self._text = text
        self._indices = None if list(indices) == list(range(values_count)) else tuple(indices)

    def fill(self, values: Sequence[bytes]) -> bytes:
        """Return the text with these values."""
        if self._indices is None:
            return self._text % tuple(values)
        return self._text % tuple([values[index] for index in self._indices])


def template_of(text: bytes, lines: Sequence[FieldLine]) -> Template | None:
    """Return the template of what was written of `lines`; None when a value cannot be told from the rest.

    A line that was not written on is left out.
    """
    varying = [line for line in lines if line.lower in VARYING]
    found: list[tuple[int, int, int]] = []
    for index, line in enumerate(varying):
        count = text.count(b"\r\n" + line.written) if line.written else 0
        if count > 1:
            return None
        if count:
            end = text.index(b"\r\n" + line.written) + len(line.written)
            found.append((end - len(line.value), end, index))
    template, at = b"", 0
    for begin, end, _ in sorted(found):
        template += text[at:begin].replace(b"%", b"%%") + b"%b"
        at = end
    template += text[at:].replace(b"%", b"%%")
    return Template(template, [index for _, _, index in sorted(found)], len(varying))


Plan = TypeVar("Plan", covariant=True)


class PlannedShape(Protocol[Plan]):
    """A shape, and how to plan a head of it."""

    def plan_of(self, data: bytes) -> Plan | None:
        """Return the plan of the head at the beginning of `data`; None when it must be read the long way."""


class ShapeTable(Generic[Plan]):
    """The latest shapes, by the first line of a head."""

    __slots__ = ("_by_line",)

    def __init__(self) -> None:
        """Know none."""
        self._by_line: dict[bytes, list[PlannedShape[Plan]]] = {}

    def plan_of(self, raw: bytes) -> Plan | None:
        """Return the plan of a head that has one of the shapes."""
        for shape in self._by_line.get(raw[: raw.find(b"\r\n")], ()):
            plan = shape.plan_of(raw)
            if plan is not None:
                return plan
        return None

    def wants(self, raw: bytes) -> bool:
        """Say whether the shape of this head is worth the trouble: its first line has come before."""
        line = raw[: raw.find(b"\r\n")]
        if line in self._by_line:
            return True
        if len(self._by_line) >= _LINES_COUNT_MAX:
            self._by_line.clear()
        self._by_line[line] = []
        return False

    def keep(self, raw: bytes, shape: PlannedShape[Plan]) -> None:
        """Keep a shape; of those with its first line the oldest goes."""
        shapes = self._by_line.setdefault(raw[: raw.find(b"\r\n")], [])
        shapes.insert(0, shape)
        del shapes[_SHAPES_PER_LINE_MAX:]
