"""Which line of a TOML file a key stands on.

``tomllib`` gives values without places. This reads a text that ``tomllib`` has accepted, so it only has to follow keys:
tables, dotted keys, inline tables, arrays; what is inside strings and comments is skipped.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'',
    re.DOTALL,
)
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]+")
_DEEPEST = 8  #: parts of a key that are kept; no key of ours has as many


def locate(text: str) -> Mapping[KeyPath, int]:
    """The line of every key, counted from 1; elements of arrays are under their index as text.

    A key in an array of tables is also there without the index: where it comes first.

    Args:
        text: TOML that parses.

    Raises:
        RecursionError: arrays or tables within each other by the hundred.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line, self._counted = 1, 0  # of the position up to which newlines were counted
        self._arrays: dict[KeyPath, int] = {}  # arrays of tables, and which of its tables is the last
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)

    # -- pieces of the grammar

    def _header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``."""
        start = self._position
        is_array = self._text.startswith("[[", start)
        while self._peek() == "[":
            self._position += 1
        key = self._key()
        if is_array:
            array = (*self._indexed(key[:-1]), *key[-1:])
            self._arrays[array] = self._arrays.get(array, -1) + 1
        table = self._note((), key, start)
        while self._peek() == "]":
            self._position += 1
        return table

    def _pair(self, table: KeyPath) -> None:
        start = self._position
        path = self._note(table, self._key(), start)
        self._expect("=")
        self._value(path)

    def _key(self) -> KeyPath:
        """A key, perhaps dotted and quoted."""
        parts: list[str] = []
        while True:
            self._skip_blank()
            quoted = _STRING.match(self._text, self._position)
            match = quoted or _BARE_KEY.match(self._text, self._position)
            if match is None:
                self._position += 1  # never in a text that parses; the scan must end all the same
                return tuple(parts)
            self._position = match.end()
            parts.append(_unquoted(match.group()) if quoted else match.group())
            self._skip_blank()
            if self._peek() != ".":
                return tuple(parts)
            self._position += 1

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        match self._peek():
            case "{":
                self._inline_table(path)
            case "[":
                self._array(path)
            case _:
                scalar = _STRING.match(self._text, self._position) or _SCALAR.match(self._text, self._position)
                self._position = scalar.end() if scalar else self._position + 1

    def _inline_table(self, path: KeyPath) -> None:
        self._position += 1
        while self._skip_blank() and self._peek() != "}":
            if self._peek() == ",":
                self._position += 1
            else:
                self._pair(path)
        self._position += 1

    def _array(self, path: KeyPath) -> None:
        self._position += 1
        index = 0
        while self._skip_blank() and self._peek() != "]":
            if self._peek() == ",":
                self._position += 1
                continue
            element = self._note(path, (str(index),), self._position)
            self._value(element)
            index += 1
        self._position += 1

    # -- letters

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _expect(self, letter: str) -> None:
        self._skip_blank()
        if self._peek() == letter:
            self._position += 1

    def _skip_blank(self) -> bool:
        """Skip blanks and comments; False at the end."""
        match = _BLANK.match(self._text, self._position)
        self._position = match.end() if match else self._position
        return self._position < len(self._text)

    def _note(self, table: KeyPath, key: KeyPath, start: int) -> KeyPath:
        """Keep the line of a key, and of the tables that it opens on its way; keys come in the order of the text."""
        self._line += self._text.count("\n", self._counted, start)
        self._counted = start
        for depth in range(1, min(len(key), _DEEPEST) + 1):
            path = (*table, *key[:depth])
            self.lines.setdefault(path, self._line)
            if self._arrays:
                self.lines.setdefault(self._indexed(path), self._line)
        return (*table, *key[:_DEEPEST])

    def _indexed(self, path: KeyPath) -> KeyPath:
        """The path with the index of the last table behind each array of tables."""
        found: list[str] = []
        for part in path:
            found.append(part)
            last = self._arrays.get(tuple(found))
            if last is not None:
                found.append(str(last))
        return tuple(found)


def _unquoted(key: str) -> str:
    """A quoted key's name."""
    if key.startswith('"') and "\\" in key:
        return next(iter(tomllib.loads(f"{key} = 0")))
    return key[1:-1]
