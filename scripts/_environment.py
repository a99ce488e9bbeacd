"""Runs a script in the project's own environment, made when it is missing. Needs nothing but Python.

Knows `scripts/setup-venv`; must not import anything that is not in the standard library.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MARK = "SWAYAM_SCRIPT_RESTARTED"


def enter(*modules: str) -> None:
    """Return if all modules can be imported here; else run this script again in `.venv`, made if need be.

    The repository's root is put on the import path either way.
    """
    sys.path.insert(0, str(ROOT))
    # Taken out of the environment, so that a script started by this one may restart itself, too.
    was_restarted = os.environ.pop(_MARK, "") == str(os.getpid())
    if all(importlib.util.find_spec(module) is not None for module in modules):
        return
    if was_restarted:
        sys.exit(f"scripts: {', '.join(modules)} cannot all be imported in .venv\nremove .venv and try again")
    made = subprocess.run([str(ROOT / "scripts" / "setup-venv"), "demo"], check=False)
    if made.returncode != 0:
        sys.exit(made.returncode)
    python = str(ROOT / ".venv" / "bin" / "python")
    os.environ[_MARK] = str(os.getpid())
    os.execv(python, [python, *sys.argv])  # noqa: S606  # nothing of a shell is needed
