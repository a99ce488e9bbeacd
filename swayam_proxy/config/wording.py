"""What pydantic found, said so that an operator knows what to write instead."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic_core import ErrorDetails

from swayam_proxy.config.errors import KeyPath, Problem, RefusedValueError, key_text
from swayam_proxy.config.schema import BY_NAME, Config
from swayam_proxy.config.section import Section, example_of, section_of
from swayam_proxy.config.sources import Source
from swayam_proxy.config.toml_text import brief_value, toml_key, toml_value

_KINDS: Final = {
    "int_type": ("an integer", "write a whole number"),
    "int_from_float": ("an integer", "write a whole number"),
    "float_type": ("a number", "write a number without quotes"),
    "finite_number": ("a finite number", "write a finite number"),
    "string_type": ("a string", "write it in quotes"),
    "bool_type": ("true or false", "write true or false, without quotes"),
    "list_type": ("a list", "write a list in brackets"),
}
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_ELSEWHERE_MAX: Final = 3


def problem_from(error: ErrorDetails, source: Source) -> Problem:
    """Turn one finding of pydantic into a problem that names file, key, what is wrong and what is right."""
    path: KeyPath = tuple(error["loc"])
    if path and path[-1] == "[key]":
        path = path[:-1]
        what = "is no name of a pool" if path[0] == "pools" else "is no name of a service"
        example = "pools.gpu" if path[0] == "pools" else "services.digits"
        todo = f'write letters, digits, "-", "_" or ".", at most 64, such as [{example}]'
    elif error["type"] == "extra_forbidden":
        what, todo = "is no known key", _unknown_key(path)
    elif error["type"] == "missing":
        what, todo = "is missing", _example("add", path)
    else:
        what, todo = _wrong_value(error, path)
    return Problem(source.place_of(path), key_text(path), what, todo)


def _wrong_value(error: ErrorDetails, path: KeyPath) -> tuple[str, str]:
    kind, context = error["type"], error.get("ctx", {})
    refused = context.get("error")
    if isinstance(refused, RefusedValueError):
        return refused.what, refused.todo
    shown = brief_value(error["input"])
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"is {shown}, not a table", f"write a table: {_table_text(path)}"
    if kind in _KINDS:
        wanted, todo = _KINDS[kind]
        return f"is {_with_type(error['input'])}, not {wanted}", _example(todo, path)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = context[name]
        if isinstance(error["input"], str):
            return 'is "0s", which is no time at all', _example("write a longer one", path)
        return f"is {shown}, but must be {words} {bound:g}", _example("write another number", path)
    if kind == "literal_error":
        return f"is {shown}, which is not known here", _choice(error["input"], path)
    if kind in ("too_short", "too_long"):
        words = "at least" if kind == "too_short" else "at most"
        count = context.get("min_length", context.get("max_length"))
        return f"has {context.get('actual_length')} entries, but needs {words} {count}", _example(
            "write", path
        )
    if kind in ("string_too_short", "string_too_long"):
        return f"is {shown}, which is too {kind.rsplit('_')[-1]}", _example("write another", path)
    return f"is {shown}: {error['msg']}", _example("write another", path)


def _with_type(value: Any) -> str:
    """Show a value, and say that it is a string where the quotes are the mistake."""
    return f"the string {brief_value(value)}" if isinstance(value, str) else brief_value(value)


def _section_at(path: KeyPath) -> type[Section] | None:
    """Return the table that `path` leads to, through lists and names of services."""
    section: type[Section] = Config
    by_name = False
    for part in path:
        if isinstance(part, int) or by_name:
            by_name = False
            continue
        field = section.model_fields.get(part)
        child = None if field is None else section_of(field.annotation)
        if field is None or child is None:
            return None
        by_name = getattr(field.annotation, "__origin__", None) is dict
        section = child
    return section


def field_at(path: KeyPath) -> tuple[type[Section], str] | None:
    """Return the table and the key that `path` ends in; a place in a list means the list's key."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    if not path:
        return None
    section, key = _section_at(path[:-1]), str(path[-1])
    return None if section is None or key not in section.model_fields else (section, key)


def _table_text(path: KeyPath) -> str:
    """Return the header of the table that should stand at `path`."""
    if isinstance(path[-1], int):
        return f"[[{key_text(path[:-1])}]]"
    return f"[{key_text((*path, 'NAME') if len(path) == 1 and path[0] in BY_NAME else path)}]"


def _example(todo: str, path: KeyPath) -> str:
    place = field_at(path)
    if place is None:
        return todo
    section, key = place
    example = example_of(section, key)
    if example is None or (isinstance(example, Mapping) and not example):
        return todo
    separator = " " if todo in ("add", "write") else ", such as "
    return f"{todo}{separator}{toml_key(key)} = {toml_value(example)}"


def _choice(value: Any, path: KeyPath) -> str:
    place = field_at(path)
    if place is None:
        return "write another"
    section, key = place
    choices = [str(choice) for choice in getattr(section.model_fields[key].annotation, "__args__", ())]
    close = get_close_matches(str(value), choices, n=1)
    meant = f'did you mean "{close[0]}"? ' if close else ""
    return f"{meant}write one of {', '.join(toml_value(choice) for choice in choices)}"


def _unknown_key(path: KeyPath) -> str:
    section, key = _section_at(path[:-1]), str(path[-1])
    if section is None:
        return "take it out"
    known = list(section.model_fields)
    alike = get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    closer = get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.8)
    if closer:
        return f'did you mean "{closer[0]}"?'
    elsewhere = sorted(set(_tables_with(Config, key, ())))[:_ELSEWHERE_MAX]
    if elsewhere:
        return f'"{key}" is known in {" and in ".join(f"[{table}]" for table in elsewhere)}'
    if alike:
        return f'did you mean "{alike[0]}"?'
    return f"take it out; known here: {', '.join(sorted(known))}"


def _tables_with(section: type[Section], key: str, path: KeyPath) -> list[str]:
    """Return the names of all tables that have this key."""
    found = [key_text(path)] if path and key in section.model_fields else []
    for name, field in section.model_fields.items():
        child = section_of(field.annotation)
        if child is not None:
            inside: KeyPath = (*path, name, "NAME") if name in BY_NAME else (*path, name)
            found += _tables_with(child, key, inside)
    return found
