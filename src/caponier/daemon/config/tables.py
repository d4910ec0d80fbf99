"""A TOML file and the shape that it has to have: its values and their lines, or everything that is wrong with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.locate import KeyPath, locate
from caponier.errors import ConfigError

_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY_TUPLE = re.compile(r"\((?:'[^']*'(?:, )?)+,?\)")
_LONG_HEXADECIMAL = re.compile(r"(0x)?[0-9A-Fa-f:]{32,}")  #: may be a key, in whatever place
_LONGEST_SHOWN = 60  #: letters of a value or of a name in a message
_BYTE_ORDER_MARK = "\ufeff"

Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Document(Generic[Shape]):
    """A file that has its shape.

    Attributes:
        path: where it was read from.
        root: its values.
        lines: the line of every key.
    """

    path: Path
    root: Shape
    lines: Mapping[KeyPath, int]

    def place(self, key: KeyPath) -> Place:
        """Where a key stands, or the nearest table around it."""
        return Place(self.path, _line(self.lines, key))

    def finding(self, key: KeyPath, error: ConfigError) -> Finding:
        """What is wrong with the value of a key, though its shape is right."""
        return Finding(self.place(key), _dotted(type(self.root), key), error.message, error.hint)


def read_document(path: Path, octets: bytes, shape: type[Shape]) -> Document[Shape]:
    """Read what stood in a file.

    Args:
        path: of the file, for messages.
        octets: its content.
        shape: the table around all others. A field of it with ``repr=False`` is never shown.

    Raises:
        InvalidConfiguration: with every finding.
    """
    try:
        return _document(path, _text(path, octets), shape)
    except RecursionError:
        why = "arrays or tables stand within each other too deeply"
        raise InvalidConfiguration([Finding(Place(path), "", why)]) from None


def _document(path: Path, text: str, shape: type[Shape]) -> Document[Shape]:
    raw, lines = _parse(path, text)
    try:
        return Document(path, shape.model_validate(raw), lines)
    except ValidationError as error:
        findings = [_finding(shape, path, lines, detail) for detail in error.errors()]
        raise InvalidConfiguration(findings) from None


def _text(path: Path, octets: bytes) -> str:
    try:
        return octets.decode().removeprefix(_BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise InvalidConfiguration([Finding(Place(path, line), "", "not UTF-8", "save the file as UTF-8")]) from None


def _parse(path: Path, text: str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    """The values, and their lines."""
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration([_syntax(path, error)]) from None
    except ValueError:  # what Python does not turn into a number: thousands of digits
        raise InvalidConfiguration([Finding(Place(path), "", "a number has too many digits")]) from None


def _syntax(path: Path, error: tomllib.TOMLDecodeError) -> Finding:
    text = str(error)
    at = _AT_LINE.search(text)
    line = int(at.group(1)) if at else None
    message = _AT_LINE.sub("", text).replace(" (at end of document)", ", at the end of the file")
    message = _KEY_TUPLE.sub(lambda match: ".".join(re.findall(r"'([^']*)'", match.group())), message)
    return Finding(Place(path, line), "", message, "the file is TOML: https://toml.io")


def _line(lines: Mapping[KeyPath, int], key: KeyPath) -> int | None:
    """The line of a key, or of the nearest table around it."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return None


# -- what pydantic found, in our words


def _finding(root: type[BaseModel], path: Path, lines: Mapping[KeyPath, int], detail: Any) -> Finding:
    key = tuple(str(part) for part in detail["loc"])
    message, hint = _words(root, key, detail)
    return Finding(Place(path, _line(lines, key)), _dotted(root, key), message, hint)


def _words(root: type[BaseModel], key: KeyPath, detail: Any) -> tuple[str, str | None]:
    field = _field(root, key)
    description = None if field is None else field.description
    match detail["type"]:
        case "extra_forbidden":
            return "there is no such key", _nearest(key[-1], _keys_beside(root, key))
        case "missing":
            return "this key is missing", f"add it: {description or key[-1]}"
        case "model_type" | "dict_type":
            return f"this has to be a table, found {_kind(detail['input'])}", description
        case "string_pattern_mismatch":
            return f"{_shown(key, field, detail['input'])} is not allowed", description
        case "literal_error":
            allowed = str(detail["ctx"]["expected"]).replace("False", "false")
            found = detail["input"]
            return f"{_shown(key, field, found)} is not allowed; allowed: {allowed}", _nearest(
                str(found), re.findall(r"'([^']+)'", allowed)
            )
        case _:
            message = str(detail["msg"]).removeprefix("Value error, ")
            return f"{message[:1].lower()}{message[1:]}, found {_shown(key, field, detail['input'])}", description


def _shown(key: KeyPath, field: FieldInfo | None, value: object) -> str:
    """A value that was found; not what may be a secret that somebody wrote in its plain."""
    is_secret = "secret" in key or (field is not None and not field.repr)
    if is_secret or not isinstance(value, str | int | float) or _LONG_HEXADECIMAL.fullmatch(str(value)):
        return _kind(value)
    return _short(repr(value))


def _kind(value: object) -> str:
    """What TOML calls a value."""
    match value:
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or a time"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def _nearest(word: str, allowed: list[str]) -> str | None:
    close = get_close_matches(_short(word), allowed, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"allowed: {', '.join(allowed)}" if allowed else None


# -- a key in the model


def _along(root: type[BaseModel], key: KeyPath) -> Iterator[tuple[str, Any]]:
    """Each part of a key, with the type that it is a part of, as far as the model knows."""
    model: Any = root
    for part in key:
        yield part, model
        if get_origin(model) is dict:
            model = get_args(model)[1]
        elif get_origin(model) is list:
            model = get_args(model)[0]
        else:
            field = model.model_fields.get(part) if _is_table(model) else None
            model = None if field is None else _plain(field.annotation)


def _plain(annotation: Any) -> Any:
    """A type without what is said about it, and without "or left out"."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(each for each in get_args(annotation) if each is not NoneType))
    return annotation


def _is_table(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _around(root: type[BaseModel], key: KeyPath) -> type[BaseModel] | None:
    """The model of the table that a key stands in; None for a table of names, such as ``connection``'s."""
    *_, (_, model) = _along(root, key)
    return model if _is_table(model) else None


def _field(root: type[BaseModel], key: KeyPath) -> FieldInfo | None:
    """The field that a key names; None for the names in a table of names, and for the file as a whole."""
    table = _around(root, key) if key else None
    return None if table is None else table.model_fields.get(key[-1])


def _keys_beside(root: type[BaseModel], key: KeyPath) -> list[str]:
    table = _around(root, key)
    return [] if table is None else list(table.model_fields)


def _dotted(root: type[BaseModel], key: KeyPath) -> str:
    """A key as people write it: the element of a list is named by the list; its line tells which it is."""
    return ".".join(_quoted(part) for part, model in _along(root, key) if not _is_index(part, model))


def _is_index(part: str, model: Any) -> bool:
    return part.isdecimal() and get_origin(model) is list


def _quoted(part: str) -> str:
    """A part of a key, in quotes where TOML wants them."""
    return _short(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=not part.isprintable()))
