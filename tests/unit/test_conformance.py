"""The tables of docs/conformance say what is so: every name in them exists, and no rule of the RFC's text is without a row."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "conformance").glob("*.md"))
RULES = ROOT / "docs" / "conformance" / "rfc7296.md"

#: How often each word stands in each section of RFC 7296, counted in its text (RFC 2119 words in capitals, MAY left out).
WORDS = {
    "1": "2 MUST",
    "1.2": "5 MUST, 1 SHOULD",
    "1.3": "3 MUST",
    "1.3.1": "2 MUST, 1 SHOULD NOT",
    "1.3.2": "1 MUST, 1 SHOULD NOT",
    "1.3.3": "1 MUST",
    "1.4": "4 MUST",
    "1.4.1": "4 MUST, 2 MUST NOT",
    "1.5": "1 MUST NOT",
    "1.6": "1 MUST, 1 MUST NOT, 1 REQUIRED, 1 SHALL, 1 SHALL NOT, 1 SHOULD, 1 SHOULD NOT, 1 RECOMMENDED",
    "1.7": "3 SHOULD, 6 MUST, 1 MUST NOT, 2 SHOULD NOT",
    "2": "2 MUST, 1 SHOULD",
    "2.1": "7 MUST",
    "2.2": "2 MUST",
    "2.3": "7 MUST, 3 MUST NOT",
    "2.4": "2 MUST NOT, 6 MUST, 1 SHOULD",
    "2.5": "11 MUST, 2 SHOULD, 2 MUST NOT",
    "2.6": "4 MUST, 1 SHOULD",
    "2.6.1": "1 SHOULD, 1 MUST NOT",
    "2.7": "5 MUST",
    "2.8": "1 MUST NOT, 3 MUST, 2 SHOULD NOT",
    "2.8.1": "2 SHOULD, 1 MUST",
    "2.8.2": "2 SHOULD, 1 MUST",
    "2.9": "2 SHOULD, 1 MUST",
    "2.9.2": "2 MUST NOT, 1 SHOULD, 1 SHOULD NOT",
    "2.10": "3 MUST",
    "2.11": "3 MUST",
    "2.12": "1 MUST",
    "2.13": "4 MUST",
    "2.14": "1 MUST",
    "2.15": "2 MUST, 1 MUST NOT",
    "2.16": "7 MUST, 1 MUST NOT, 1 SHOULD NOT",
    "2.17": "3 MUST",
    "2.18": "2 MUST, 2 MUST NOT",
    "2.19": "5 MUST, 1 MUST NOT",
    "2.20": "1 MUST",
    "2.21.2": "1 SHOULD, 2 MUST, 2 MUST NOT",
    "2.21.3": "1 MUST, 1 SHOULD NOT",
    "2.21.4": "5 MUST NOT, 2 MUST, 3 SHOULD",
    "2.22": "4 MUST NOT",
    "2.23": "12 MUST, 1 MUST NOT, 5 SHOULD, 1 SHOULD NOT",
    "2.23.1": "5 MUST, 2 SHOULD",
    "2.24": "2 MUST",
    "2.25": "4 SHOULD, 1 MUST NOT, 1 MUST",
    "2.25.1": "8 SHOULD",
    "2.25.2": "7 SHOULD",
    "3": "1 SHOULD NOT",
    "3.1": "15 MUST, 3 MUST NOT",
    "3.2": "7 MUST",
    "3.3": "6 MUST, 1 RECOMMENDED, 1 MUST NOT",
    "3.3.1": "6 MUST",
    "3.3.2": "2 MUST",
    "3.3.3": "1 MUST",
    "3.3.4": "5 MUST, 3 SHOULD",
    "3.3.5": "3 MUST NOT, 3 MUST, 2 SHOULD",
    "3.3.6": "9 MUST, 3 SHOULD",
    "3.4": "3 MUST, 1 SHOULD, 1 MUST NOT",
    "3.5": "5 MUST, 2 MUST NOT, 3 SHOULD",
    "3.6": "1 SHOULD, 4 MUST, 1 SHOULD NOT",
    "3.7": "1 SHOULD NOT, 1 SHOULD",
    "3.8": "2 SHOULD, 2 MUST",
    "3.9": "1 MUST, 1 MUST NOT",
    "3.10": "4 MUST",
    "3.10.1": "4 MUST",
    "3.11": "2 MUST, 1 MUST NOT",
    "3.12": "1 MUST NOT, 3 MUST",
    "3.13": "2 MUST",
    "3.13.1": "4 MUST",
    "3.14": "6 MUST, 1 MUST NOT, 1 SHOULD",
    "3.15": "2 MUST",
    "3.15.1": "8 MUST, 2 MUST NOT",
    "3.16": "4 MUST, 1 MUST NOT, 2 SHOULD NOT",
    "4": "10 MUST",
    "5": "2 MUST NOT, 2 SHOULD, 1 MUST",
}


def rows(page: Path) -> list[list[str]]:
    """The cells of a page's tables, without heads."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def words(text: str) -> Counter[str]:
    return Counter({word: int(count) for count, word in re.findall(r"(\d+) ([A-Z ]*[A-Z])", text)})


@cache
def names(path: Path) -> frozenset[str]:
    """What a module defines, at whatever depth."""
    tree = ast.parse(path.read_text())
    found = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    for each in tree.body:
        targets = (
            each.targets if isinstance(each, ast.Assign) else [each.target] if isinstance(each, ast.AnnAssign) else []
        )
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def test_every_word_of_the_rfc_has_its_row() -> None:
    found: dict[str, Counter[str]] = {}
    for section, text, *_ in rows(RULES):
        found.setdefault(section, Counter()).update(words(text))
    assert found == {section: words(text) for section, text in WORDS.items()}


def test_every_rule_has_code_or_a_reason() -> None:
    for row in rows(RULES):
        code, test = row[3], row[4]
        if code.startswith("`"):
            assert test == "-" or "::" in test, row
        else:
            assert re.match(r"(not applicable|missing): \w", code), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_and_the_tests_are_there(page: Path) -> None:
    text = page.read_text()
    code = re.findall(r"`([\w/]+\.py)`: `(\w+)`", text)
    tests = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert tests
    for path, name in code:
        assert name in names(ROOT / "src" / "caponier" / path), f"{path}: {name}"
    for path, name in tests:
        assert name in names(ROOT / "tests" / path), f"{path}::{name}"
