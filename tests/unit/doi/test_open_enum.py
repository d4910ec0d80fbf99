"""Open enumerations keep what they do not know."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caponier.doi.ikev2 import EncryptionId, NotifyType, PayloadType, TransformAttributeType, TransformType
from caponier.doi.open_enum import OpenEnum
from caponier.doi.registry import REGISTRIES

SOURCE = Path(__file__).resolve().parents[3] / "src" / "caponier"


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.__name__)
@given(data=st.data())
def test_any_number_of_the_width_survives(registry: type[OpenEnum], data: st.DataObject) -> None:
    """A number that the registry does not name keeps its value, its equality and its hash."""
    number = data.draw(st.integers(0, (1 << registry._bits) - 1))
    member = registry(number)
    assert member == number
    assert hash(member) == hash(number)
    assert int(member) == number
    assert registry(member) == member
    assert isinstance(member, registry)


def test_unknown_members_are_not_kept() -> None:
    """A stranger's numbers must not make the registry grow."""
    before = len(EncryptionId._value2member_map_)
    first, second = EncryptionId(61_000), EncryptionId(61_000)
    assert first == second
    assert first is not second
    assert len(EncryptionId._value2member_map_) == before


def test_unknown_members_show_their_number() -> None:
    unknown = NotifyType(40_000)
    assert not unknown.is_known
    assert str(unknown) == "UNKNOWN_40000"
    assert (unknown.source, unknown.ike, unknown.esp) == ("", None, None)
    assert NotifyType.COOKIE.is_known
    assert str(NotifyType.COOKIE) == "COOKIE"


@pytest.mark.parametrize(
    ("registry", "number"),
    [(PayloadType, 256), (PayloadType, -1), (EncryptionId, 65_536), (TransformAttributeType, 32_768)],
)
def test_numbers_beyond_the_width_are_refused(registry: type[OpenEnum], number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        registry(number)


def test_error_notifications_are_below_16384() -> None:
    """RFC 7296 section 3.10.1: types 0 to 16383 report errors, also those that nobody knows yet."""
    assert NotifyType.NO_PROPOSAL_CHOSEN.is_error
    assert NotifyType(16_383).is_error
    assert not NotifyType(16_384).is_error
    assert not NotifyType(65_535).is_error


# -- a match over an open enumeration must have a last resort


def matches_without_a_last_resort(tree: ast.AST, names: frozenset[str]) -> list[int]:
    """Lines of the ``match`` statements over a member of ``names`` that do not end with ``case _``."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Match) and any(names & _enums_in(case.pattern) for case in node.cases)
        if not _is_last_resort(node.cases[-1])
    ]


def _enums_in(pattern: ast.pattern) -> set[str]:
    values = [node.value for node in ast.walk(pattern) if isinstance(node, ast.MatchValue)]
    owners = [value.value for value in values if isinstance(value, ast.Attribute)]
    return {
        owner.id if isinstance(owner, ast.Name) else owner.attr
        for owner in owners
        if isinstance(owner, ast.Name | ast.Attribute)
    }


def _is_last_resort(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


OPEN = frozenset(registry.__name__ for registry in REGISTRIES)


def test_every_match_on_an_open_enumeration_ends_with_a_last_resort() -> None:
    """Type checkers believe that the named members are all there are; an unknown number would fall through."""
    bad = {
        f"{path.relative_to(SOURCE)}:{line}"
        for path in SOURCE.rglob("*.py")
        for line in matches_without_a_last_resort(ast.parse(path.read_text()), OPEN)
    }
    assert not bad


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("match x:\n case PayloadType.SA: pass", 1),
        ("match x:\n case ikev2.PayloadType.SA: pass", 1),
        ("match x, y:\n case (PayloadType.SA, 1): pass\n case _ if y: pass", 1),
        ("match x:\n case PayloadType.SA | PayloadType.KE: pass\n case _: pass", 0),
        ("match x:\n case PayloadType.SA: pass\n case other: pass", 0),
        ("match x:\n case Mode.TUNNEL: pass", 0),
    ],
)
def test_the_check_itself(code: str, found: int) -> None:
    assert len(matches_without_a_last_resort(ast.parse(code), OPEN)) == found


def test_no_registry_is_missing() -> None:
    """Each open enumeration of the package is listed, so that the check above sees it."""
    assert {cls.__name__ for cls in OpenEnum.__subclasses__()} == OPEN
    assert TransformType in REGISTRIES
