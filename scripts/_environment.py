"""Runs a script in the project's own environment, made when it is missing. Needs nothing but Python.

Knows `scripts/setup-venv`; must not import anything that is not in the standard library.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MARK = "SWAYAM_SCRIPT_ENVIRONMENT"


def enter(*modules: str) -> None:
    """Return if all modules can be imported here; else run this script again in `.venv`, made if need be.

    The repository's root is put on the import path either way.
    """
    sys.path.insert(0, str(ROOT))
    if all(importlib.util.find_spec(module) is not None for module in modules):
        return
    if os.environ.get(_MARK):
        sys.exit(f"scripts: {', '.join(modules)} cannot all be imported in .venv\nremove .venv and try again")
    made = subprocess.run([str(ROOT / "scripts" / "setup-venv"), "demo"], check=False)
    if made.returncode != 0:
        sys.exit(made.returncode)
    python = str(ROOT / ".venv" / "bin" / "python")
    os.execve(python, [python, *sys.argv], {**os.environ, _MARK: "1"})  # noqa: S606  # nothing of a shell is needed
