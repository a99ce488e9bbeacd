"""What goes wrong while a picture is drawn, said as every command says it. Knows no picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swayam_proxy.cli.failure import CommandFailed, Exit


@contextmanager
def drawing(path: Path) -> Iterator[None]:
    """Draw inside; end the command where matplotlib is missing or the file cannot be written."""
    try:
        yield
    except ImportError as error:
        todo = "pip install 'swayam-proxy[report]'"
        raise CommandFailed(f"plots need matplotlib: {error}", todo, Exit.FAILED) from None
    except (OSError, ValueError) as error:
        todo = "name a file ending in .png, .svg or .pdf in a directory that exists"
        raise CommandFailed(f"cannot write {path}: {error}", todo, Exit.USAGE) from None
