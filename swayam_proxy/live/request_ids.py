"""Makes request ids: 128 bits as 32 hexadecimal digits, of which all but the last three are drawn anew for
every 4,096.

Unique, not secret. Joining two ready strings costs a tenth of drawing and formatting an id for each request.
"""

import os

_LAST_DIGITS = tuple(f"{number:03x}" for number in range(4096))
_LINE_ENDS = tuple(digits.encode("ascii") + b"\r\n\r\n" for digits in _LAST_DIGITS)


class RequestIds:
    """An endless supply of ids; `text` and `head_end` tell the one that `advance` made."""

    __slots__ = ("_begin", "_line_begin", "_number", "head_end", "text")

    def __init__(self) -> None:
        """Begin with a fresh draw."""
        self._number = len(_LAST_DIGITS)
        self._begin = ""
        self._line_begin = b""
        self.text = ""
        self.head_end = b""
        """The field X-Request-Id as the last line of a head, with the empty line behind it."""

    def advance(self) -> None:
        """Make the next id."""
        number = self._number
        if number == len(_LAST_DIGITS):
            number = 0
            self._begin = os.urandom(15).hex()[:29]
            self._line_begin = b"X-Request-Id: " + self._begin.encode("ascii")
        self._number = number + 1
        self.text = self._begin + _LAST_DIGITS[number]
        self.head_end = self._line_begin + _LINE_ENDS[number]
