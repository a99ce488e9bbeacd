"""Values written as TOML, for messages and for `show-config`."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_BARE_KEY: Final = re.compile(r"^[A-Za-z0-9_-]+$")


def toml_key(name: str) -> str:
    """Write one key, quoted where it must be."""
    return name if _BARE_KEY.match(name) else toml_value(name)


def toml_value(value: Any) -> str:
    """Write a value on one line; tables become inline tables."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_key(str(name))} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return str(value)


def brief_value(value: Any) -> str:
    """Write a value for a message: scalars in full up to a length, others by their kind."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    text = toml_value(value)
    return text if len(text) <= 80 else text[:77] + "..."
