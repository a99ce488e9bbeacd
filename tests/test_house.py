"""The house rules that no other tool checks: sizes, the mirror, names in the picture, addresses."""

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def committed_files(*patterns: str) -> list[Path]:
    """Files that belong to the project: tracked ones and new ones, not what git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode != 0:
        pytest.skip("not a git work tree: no list of files to check")
    return [ROOT / name for name in sorted(set(listing.stdout.splitlines())) if (ROOT / name).is_file()]


def python_files() -> list[Path]:
    """Modules, tests, and the scripts that have no suffix."""
    scripts = [
        path
        for path in committed_files("scripts", "examples")
        if not path.suffix
        and path.read_bytes().startswith(b"#!")
        and b"python" in path.read_bytes().split(b"\n")[0]
    ]
    return committed_files("*.py") + scripts


def test_files_stay_short() -> None:
    """No Python file is longer than 400 lines: a longer one holds two ideas."""
    too_long = {
        str(path.relative_to(ROOT)): count
        for path in python_files()
        if (count := path.read_text().count("\n")) > FILE_LINES_MAX
    }
    assert not too_long


def test_functions_stay_short() -> None:
    """No function is longer than 60 lines, docstring included, decorators not: it must fit on a screen."""
    too_long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({count} lines)")
    assert not too_long


@pytest.mark.parametrize("package", ["swayam_proxy", "fake_backend"])
def test_tests_mirror_the_package(package: str) -> None:
    """A test file tests the module of the same place and name, or a topic of the package it lies in."""
    tests = ROOT / "tests" / ("fake_backend" if package == "fake_backend" else "")
    strays = []
    for path in committed_files("tests/**/test_*.py"):
        if package == "fake_backend" and tests in path.parents:
            folder = ROOT / package
        elif package == "swayam_proxy":
            folder = ROOT / package / path.parent.relative_to(ROOT / "tests")
        else:
            continue
        if path.relative_to(ROOT / "tests").parts[0] in {"end_to_end", "scripts", "fake_backend", "examples"}:
            continue
        if not folder.is_dir():
            strays.append(str(path.relative_to(ROOT)))
    assert not strays, "tests/ mirrors the package: these lie in folders that the package has not"


def test_every_module_is_tested_or_run() -> None:
    """Each module is imported by a test, a script, the command line, or by such a module: none is unused."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in committed_files("swayam_proxy/**/*.py", "swayam_proxy/*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    }
    roots = [path for path in python_files() if {"tests", "scripts"} & set(path.parts)]
    waiting = [*roots, ROOT / "swayam_proxy" / "__main__.py"]
    unreached = dict(modules)
    while waiting:
        found = modules_named_in(waiting.pop()) & unreached.keys()
        waiting.extend(unreached.pop(name) for name in found)
    assert not sorted(unreached)


def modules_named_in(path: Path) -> set[str]:
    """Return what a file imports, inside functions too, and what it names in a string to import it late."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(re.findall(r"swayam_proxy(?:\.\w+)+", node.value))
    return names


def test_names_in_the_picture_exist() -> None:
    """Every `module.name` in a code font of ARCHITECTURE.md that looks like ours can be imported."""
    architecture = ROOT / "ARCHITECTURE.md"
    if not architecture.exists():
        pytest.skip("there is no ARCHITECTURE.md yet")
    text = architecture.read_text()
    missing = [name for name in set(re.findall(r"`(swayam_proxy(?:\.\w+)+)", text)) if not resolves(name)]
    missing += [
        path
        for path in set(
            re.findall(r"`((?:swayam_proxy|core|live|sim|config|cli|sidecar|provision)/[\w/]+\.py)`", text)
        )
        if not (ROOT / path).exists() and not (ROOT / "swayam_proxy" / path).exists()
    ]
    assert not missing


def resolves(dotted: str) -> bool:
    """Tell whether `dotted` is a module, or a chain of attributes of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def test_requirements_name_no_place() -> None:
    """Pinned requirements hold names, versions and hashes alone, so that they work from any mirror."""
    for path in committed_files("requirements/*.txt"):
        text = path.read_text()
        assert "://" not in text, path
        assert not re.search(r"^-|\s@\s|/home/|/opt/", text, re.MULTILINE), path
        for line in text.replace("\\\n", " ").splitlines():
            assert "==" in line, f"{path.name}: not pinned: {line[:80]}"
            assert "--hash=sha256:" in line, f"{path.name}: no hash: {line[:80]}"


def test_requirements_agree() -> None:
    """A package that two of the project's own files name has the same version in both."""
    versions = {}
    for name in ("runtime", "demo", "test"):
        for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
            if found := re.match(r"([\w.-]+)==(\S+)(?: ; (.*?))? \\$", line):
                versions.setdefault((found[1], found[3]), {})[name] = found[2]
    assert versions
    assert not {key: found for key, found in versions.items() if len(set(found.values())) > 1}


def test_no_machine_paths() -> None:
    """Nothing in the project depends on where one of us keeps it."""
    pattern = re.compile("|".join(["/wor" + "k/", "/ro" + "ot/", r"/tmp/te" + "am"]))
    found = []
    for path in committed_files():
        if path.suffix in {".png", ".gz", ".bin"}:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert not found


def test_scripts_can_be_run() -> None:
    """Each script is executable and begins by naming its interpreter."""
    for path in committed_files("scripts", ".ci"):
        if path.suffix:
            continue
        assert path.stat().st_mode & 0o111, f"{path} is not executable"
        assert path.read_bytes().startswith(b"#!"), f"{path} names no interpreter"
