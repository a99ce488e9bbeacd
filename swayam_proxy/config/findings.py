"""What the keys of a configuration say against one another, before it is known where they were written."""

from dataclasses import dataclass

from swayam_proxy.config.errors import KeyPath


@dataclass(frozen=True, slots=True)
class Finding:
    """One contradiction, or one doubt; `keys` begins with the key to blame."""

    keys: tuple[KeyPath, ...]
    what: str
    todo: str
    is_doubt: bool = False
