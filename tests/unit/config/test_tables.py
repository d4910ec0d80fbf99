"""A TOML file against a shape that is not the configuration's: arrays of tables, secrets, places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from caponier.daemon.config.findings import Finding, InvalidConfiguration
from caponier.daemon.config.locate import KeyPath, locate
from caponier.daemon.config.tables import read_document
from caponier.errors import ConfigError

PATH = Path("houses.toml")


class Room(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    floor: Literal["wood", "stone"] = "wood"
    sizes: Annotated[list[int], Field(max_length=3)] | None = None
    combination: str = Field(default="", repr=False, description="of the safe")


class House(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    room: list[Room] = []
    rooms_by_name: dict[str, Room] = {}


class Street(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    house: list[House] = Field(min_length=1)


def findings(text: str) -> tuple[Finding, ...]:
    with pytest.raises(InvalidConfiguration) as caught:
        read_document(PATH, text.encode(), Street)
    return caught.value.findings


ARRAYS: list[tuple[str, dict[KeyPath, int]]] = [
    ("[[a]]\nx = 1\n[[a]]\nx = 2\n", {("a", "0"): 1, ("a", "0", "x"): 2, ("a", "1"): 3, ("a", "1", "x"): 4}),
    ("[[a]]\n[[a.b]]\ny = 1\n[[a]]\n[[a.b]]\n[[a.b]]\ny = 2\n", {("a", "0", "b", "0", "y"): 3, ("a", "1", "b", "0"): 5, ("a", "1", "b", "1", "y"): 7}),
    ("[[a]]\n[[a]]\n[a.c]\nd.e = 1\n", {("a", "1", "c"): 3, ("a", "1", "c", "d", "e"): 4}),
    ("[[a.b]]\nx = 1\n[c]\nx = 1\n[[a.b]]\nx = {y = 1}\n", {("a", "b", "0", "x"): 2, ("c", "x"): 4, ("a", "b", "1", "x", "y"): 6}),
    ("[[a]]\nx = 1\n", {("a",): 1, ("a", "x"): 2}),  # also without the index: where it comes first
]  # fmt: skip


@pytest.mark.parametrize(("text", "lines"), ARRAYS)
def test_lines_in_arrays_of_tables(text: str, lines: dict[KeyPath, int]) -> None:
    found = locate(text)
    assert {key: found.get(key) for key in lines} == lines


def test_mistakes_in_arrays_of_tables_have_their_lines() -> None:
    text = "[[house]]\n[[house.room]]\nfloor = 'wod'\n[[house]]\n[[house.room]]\n[[house.room]]\nflooor = 'wood'\nsizes = [1, 'x']\n"
    assert [(each.key, each.place.line, each.hint) for each in findings(text)] == [
        ("house.room.floor", 3, "did you mean 'wood'?"),
        ("house.room.flooor", 7, "did you mean 'floor'?"),
        ("house.room.sizes", 8, None),
    ]


def test_a_name_that_is_a_number_is_no_index() -> None:
    (found,) = findings("[[house]]\n[house.rooms_by_name.0]\nfloor = 1\n")
    assert (found.key, found.place.line) == ("house.rooms_by_name.0.floor", 3)


@pytest.mark.parametrize("value", ["1234567", "['1234567']", "{ is = '1234567' }"])
def test_a_field_that_is_not_to_be_shown_is_not(value: str) -> None:
    (found,) = findings(f"[[house]]\n[[house.room]]\ncombination = {value}\n")
    assert (found.key, found.hint) == ("house.room.combination", "of the safe")
    assert "1234567" not in str(found)


def test_what_may_be_a_key_is_not_shown_wherever_it_stands() -> None:
    (found,) = findings(f"[[house]]\n[[house.room]]\nfloor = '{'a1' * 16}'\n")
    assert "a1a1" not in str(found)
    (found,) = findings("[[house]]\n[[house.room]]\nfloor = 'marble'\n")
    assert "'marble' is not allowed" in found.message


def test_a_file_whose_whole_is_wrong() -> None:
    (found,) = findings("")
    assert (found.key, found.message) == ("house", "this key is missing")
    (found,) = findings("house = 5\n")
    assert (found.key, found.place.line) == ("house", 1)


def test_what_a_composer_finds_has_its_place() -> None:
    document = read_document(PATH, b"[[house]]\n[[house]]\n[[house.room]]\nfloor = 'stone'\n", Street)
    found = document.finding(("house", "1", "room", "0", "floor"), ConfigError("cold", hint="a carpet"))
    assert str(found) == "houses.toml:4: house.room.floor: cold\n    hint: a carpet"
    assert document.place(("house", "1", "room", "0", "sizes")).line == 3
    assert document.root.house[1].room[0].floor == "stone"
