"""Lines of keys: what tomllib reads, locate finds."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.daemon.config.locate import KeyPath, locate

CASES: list[tuple[str, dict[KeyPath, int]]] = [
    ("a = 1\nb = 2\n", {("a",): 1, ("b",): 2}),
    ("# a = 1\n\n[t]\n  k = 'x' # k = 2\n[t.u]\n", {("t",): 3, ("t", "k"): 4, ("t", "u"): 5}),
    ("[a.b.c]\nd.e = 1\n", {("a",): 1, ("a", "b", "c"): 1, ("a", "b", "c", "d"): 2, ("a", "b", "c", "d", "e"): 2}),
    ("t = { a = 1, b = { c = [1, 2] } }\n", {("t", "a"): 1, ("t", "b", "c"): 1, ("t", "b", "c", "1"): 1}),
    ("l = [\n  'x', # ]\n  'y',\n]\nm = 1", {("l",): 1, ("l", "0"): 2, ("l", "1"): 3, ("m",): 5}),
    ('s = """\nk = 1\n""\\"""""\nm = 1', {("s",): 1, ("m",): 4}),
    ("s = '''\nk = 1'''\nm = 1", {("s",): 1, ("m",): 3}),
    ('s = ""\n"m" = ""\n"" = 1', {("s",): 1, ("m",): 2, ("",): 3}),
    ('["a.b"."c\\u0064"]\n\'e\' = "]"\n', {("a.b",): 1, ("a.b", "cd"): 1, ("a.b", "cd", "e"): 2}),
    ("[[a]]\nb = 1\r\n[[a]]\nb = 2\n", {("a",): 1, ("a", "b"): 2}),
    ("d = 1979-05-27T07:32:00Z\ne = +inf\nf=[{a=1},{a=2}]", {("d",): 1, ("e",): 2, ("f", "1", "a"): 3}),
]


@pytest.mark.parametrize(("text", "lines"), CASES)
def test_keys_and_their_lines(text: str, lines: dict[KeyPath, int]) -> None:
    tomllib.loads(text)  # a premise of locate
    found = locate(text)
    assert {key: found.get(key) for key in lines} == lines


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of what tomllib read; of an array only its plain elements, for [[tables]] have no index in a text."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield (*path, key)
            yield from paths(inside, (*path, key))


KEYS = st.text("abz_-09", min_size=1, max_size=4) | st.sampled_from(['"a.b"', "'c d'", '"]"', '"=#"'])
SCALARS = st.sampled_from(["1", "1.5", "true", '"x"', "'#'", '"]}"', '"""\n"""', "'''\n'\n'''", "1979-05-27", '"\\""'])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(lambda each: "[\n" + ", # ,\n".join([*each, "]"])),
    max_leaves=4,
)
INLINE = st.dictionaries(KEYS, SCALARS.filter(lambda each: "\n" not in each), max_size=3).map(
    lambda table: "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"
)
PAIRS = st.dictionaries(KEYS, VALUES | INLINE, max_size=4).map(
    lambda table: [f"  {key}\t= {value} # {key} = 1" for key, value in table.items()]
)
HEADERS = st.lists(KEYS, min_size=1, max_size=3).map(lambda parts: f"[ {' . '.join(parts)} ]")


@given(st.dictionaries(HEADERS, PAIRS, max_size=4))
def test_every_key_is_found_on_its_own_line(tables: dict[str, list[str]]) -> None:
    text = "\n".join(line for header, pairs in tables.items() for line in (header, *pairs))
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a table declared twice, and the like
    found, lines = locate(text), text.split("\n")
    for path in paths(raw):
        assert path in found
        assert path[-1] in lines[found[path] - 1]


class Metered(str):  # noqa: SLOT000 - it has to have a counter
    """A text that knows how many of its letters were searched for newlines."""

    searched = 0

    def count(self, *arguments: Any) -> int:
        _, start, end = arguments
        self.searched += end - start
        return super().count(*arguments)


def test_the_work_grows_with_the_length_and_not_with_its_square() -> None:
    """Twenty thousand connections took minutes when each key counted its lines from the beginning."""
    text = Metered("".join(f"[table.t{number}]\nkey = [1, 2]\n" for number in range(1000)))
    lines = locate(text)
    assert lines["table", "t999", "key", "1"] == 2000
    assert 0 < text.searched <= len(text)
