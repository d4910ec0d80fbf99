"""Trying to make values of a file's texts: what cannot be made is told, all of it, by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from caponier.errors import ConfigError
from caponier.mechanisms.negotiation.selectors import TrafficSelector, parse_selector

T = TypeVar("T")
Key = tuple[str, ...]


class Complaints:
    """Collects what is wrong, by key, so that one run tells all of it."""

    def __init__(self) -> None:
        self.found: list[tuple[Key, ConfigError]] = []

    def add(self, key: Key, error: ConfigError) -> None:
        """Something is wrong with the value of this key."""
        self.found.append((key, error))


class Attempts:
    """Attempts at the values of one table.

    Args:
        key: of the table; the keys of values are relative to it.
        complaints: take what is wrong.
    """

    def __init__(self, key: Key, complaints: Complaints) -> None:
        self.key = key
        self.complaints = complaints

    def within(self, *key: str) -> Attempts:
        """The same for a table in this one."""
        return Attempts((*self.key, *key), self.complaints)

    def make(self, key: Key, make: Callable[[], T]) -> T | None:
        """The value, or None and a complaint."""
        try:
            return make()
        except ConfigError as error:
            self.complaints.add((*self.key, *key), error)
            return None

    def refuse(self, key: Key, why: str, hint: str | None = None) -> None:
        """Complain."""
        self.complaints.add((*self.key, *key), ConfigError(why, hint=hint))

    def each(self, key: Key, texts: Iterable[str], parse: Callable[[str], T]) -> tuple[T, ...]:
        """The elements of a list, each with a complaint of its own."""
        found = [self.make((*key, str(index)), partial(parse, text)) for index, text in enumerate(texts)]
        return tuple(value for value in found if value is not None)

    def selectors(self, key: str, texts: list[str]) -> tuple[TrafficSelector, ...]:
        """Traffic selectors, at least one."""
        if not texts:
            self.refuse((key,), "at least one network is needed", '"0.0.0.0/0" stands for everything')
        return self.each((key,), texts, parse_selector)

    def name(self, name: str) -> None:
        """A name is spoken of in logs and on command lines."""
        if not name or not name.isprintable():
            self.refuse((), f"{name!r} is no name", "use letters, digits, hyphens, dots, spaces")
