"""Line numbers of keys."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.config.errors import KeyPath
from swayam_proxy.config.positions import key_lines
from swayam_proxy.config.toml_text import toml_key, toml_value

DOCUMENT = '''\
# [not.a.table]
top = 1
[listen] # [nor.this]
host = "a = b" # c = d
"po.rt" = 1
long = """
[inside]
x = 1
"""
raw = \'\'\'
y = 2\'\'\'
[services.'a b'.sla]
level = [ # comment ]
  1,
  { z = "]" },
]
after = 1
[[routes]]
path = "/a"
[[routes]]
path = "/b"
[routes.more]
deep.er = 1
'''


def test_every_statement_is_found_on_its_line() -> None:
    """Strings, comments, lists over lines and quoted keys do not confuse the count."""
    assert key_lines(DOCUMENT) == {
        ("top",): 2,
        ("listen",): 3,
        ("listen", "host"): 4,
        ("listen", "po.rt"): 5,
        ("listen", "long"): 6,
        ("listen", "raw"): 10,
        ("services", "a b", "sla"): 12,
        ("services", "a b", "sla", "level"): 13,
        ("services", "a b", "sla", "after"): 17,
        ("routes",): 18,
        ("routes", 0): 18,
        ("routes", 0, "path"): 19,
        ("routes", 1): 20,
        ("routes", 1, "path"): 21,
        ("routes", 1, "more"): 22,
        ("routes", 1, "more", "deep"): 23,
        ("routes", 1, "more", "deep", "er"): 23,
    }


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only", "a = 1", '"" = 1', "a = '''x\n'''\nb = 1", 'a = """\\""""\nb=1']
)
def test_small_documents_are_read_to_their_end(text: str) -> None:
    """The last statement is found with and without a newline behind it."""
    tomllib.loads(text)
    assert {path[0] for path in key_lines(text)} == set(tomllib.loads(text))


VALUES = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
    | st.integers(-9, 9)
    | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.[]='\" #", max_size=4), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(st.lists(VALUES, min_size=1, max_size=6), st.integers(min_value=0, max_value=3))
def test_keys_are_found_whatever_stands_in_the_values(values: list[Any], blank_lines_count: int) -> None:
    """Any values, one statement after the other: each key is on the line where it was written."""
    text, expected, line = "", {}, 1
    for number, value in enumerate(values):
        key = f"key {number}"
        text += f"{toml_key(key)} = {toml_value(value)} # = [\n" + "\n" * blank_lines_count
        expected[key] = line
        line += 1 + blank_lines_count
    found: dict[KeyPath, int] = key_lines(text)
    assert tomllib.loads(text) == {f"key {number}": value for number, value in enumerate(values)}
    assert {path[0]: line for path, line in found.items()} == expected
