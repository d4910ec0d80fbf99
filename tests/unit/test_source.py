"""Rules about the source itself that no other tool checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import caponier
import caponier.doi.ikev2  # the registries: subclasses of what is asked for its subclasses
from caponier.doi.open_enum import OpenEnum

SOURCE = Path(caponier.__file__).parent
MODULES = {path.relative_to(SOURCE): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
LONGEST = 60  #: lines of a function; at that length something is hiding


def _matches() -> Iterator[tuple[str, ast.Match]]:
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Match):
                yield f"{path}:{node.lineno}", node


def _names_a_registry(case: ast.match_case) -> bool:
    """Whether a case is a member of an open enumeration: ``case NotifyType.COOKIE``."""
    registries = {kind.__name__ for kind in OpenEnum.__subclasses__()}
    return any(
        isinstance(node, ast.MatchValue)
        and isinstance(node.value, ast.Attribute)
        and isinstance(node.value.value, ast.Name)
        and node.value.value.id in registries
        for node in ast.walk(case.pattern)
    )


def _is_wildcard(case: ast.match_case) -> bool:
    return isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None


def test_a_match_on_a_registry_ends_with_a_wildcard() -> None:
    """A type checker takes the named members for all there are; an unknown number would fall through to None."""
    found = [(where, node) for where, node in _matches() if any(map(_names_a_registry, node.cases))]
    assert found
    assert [where for where, node in found if not _is_wildcard(node.cases[-1])] == []


def test_no_function_is_long() -> None:
    long = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= LONGEST
    ]
    assert long == []


#: The seams of the core: what goes in and out of it, and what it knows of itself. No RFC speaks of them.
_SEAMS = {"effects.py", "events.py", "host.py", "supported.py"}


def test_protocol_modules_name_their_rfc() -> None:
    """Every module of the protocols and mechanisms says in its docstring which RFC it follows."""
    silent = [
        str(path)
        for path, tree in MODULES.items()
        if path.parts[0] in ("protocols", "mechanisms")
        and path.name not in {"__init__.py", *_SEAMS}
        and "RFC" not in (ast.get_docstring(tree) or "")
    ]
    assert silent == []
