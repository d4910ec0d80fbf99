"""Reading a configuration file: all of it, or a list of everything that is wrong with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from caponier.daemon.config.compose import Complaints, compose_connection, compose_settings
from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.locate import KeyPath, locate
from caponier.daemon.config.schema import DaemonTable, File
from caponier.protocols.ike.policy import Connection, Settings

MAX_FILE = 16 << 20  #: octets; twenty thousand connections fit
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_KEY_TUPLE = re.compile(r"\((?:'[^']*'(?:, )?)+,?\)")
_LONGEST_SHOWN = 60  #: letters of a value or of a name in a message
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that holds.

    Attributes:
        file: where it was read from.
        daemon: what holds for all connections.
        settings: the same as the core takes it.
        connections: by name.
        lines: the line of every key.
    """

    file: Path
    daemon: DaemonTable
    settings: Settings
    connections: Mapping[str, Connection]
    lines: Mapping[KeyPath, int]

    def place(self, connection: str | None, setting: str | None) -> Place | None:
        """Where a setting stands, or the nearest table around it; None when the error is about no connection.

        Args:
            connection: its name.
            setting: relative to the connection, as errors of the core tell it: ``child.lan.remote``.
        """
        if connection is None or connection not in self.connections:
            return None
        names = [child.name for child in self.connections[connection].children]
        key: KeyPath = ("connection", connection, *_parts(setting or "", names))
        return Place(self.file, _line(self.lines, key))


def load(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises:
        InvalidConfiguration: it is refused whole; with every finding.
    """
    try:
        return _load(path, _read(path))
    except RecursionError:
        why = "arrays or tables stand within each other too deeply"
        raise InvalidConfiguration([Finding(Place(path), "", why)]) from None


def _load(path: Path, text: str) -> Configuration:
    raw, lines = _parse(path, text)
    try:
        file = File.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfiguration([_finding(path, lines, detail) for detail in error.errors()]) from None
    complaints = Complaints()
    settings = compose_settings(file.daemon, complaints)
    composed = {
        name: compose_connection(name, table, path.parent, complaints) for name, table in file.connection.items()
    }
    if complaints.found:
        raise InvalidConfiguration(
            [
                Finding(Place(path, _line(lines, key)), _dotted(key), error.message, error.hint)
                for key, error in complaints.found
            ]
        )
    connections = {name: connection for name, connection in composed.items() if connection is not None}
    return Configuration(path, file.daemon, settings, connections, lines)


def _parse(path: Path, text: str) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    """The values, and their lines."""
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration([_syntax(path, error)]) from None
    except ValueError:  # what Python does not turn into a number: thousands of digits
        raise InvalidConfiguration([Finding(Place(path), "", "a number has too many digits")]) from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
        if len(octets) > MAX_FILE:
            raise InvalidConfiguration([Finding(Place(path), "", f"longer than {MAX_FILE} octets")])
        return octets.decode().removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        why = error.strerror or str(error)
        raise InvalidConfiguration([Finding(Place(path), "", f"cannot be read: {why}", "check the path")]) from None
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise InvalidConfiguration([Finding(Place(path, line), "", "not UTF-8", "save the file as UTF-8")]) from None


def _syntax(path: Path, error: tomllib.TOMLDecodeError) -> Finding:
    text = str(error)
    at = _AT_LINE.search(text)
    line = int(at.group(1)) if at else None
    message = _AT_LINE.sub("", text).replace(" (at end of document)", ", at the end of the file")
    message = _KEY_TUPLE.sub(lambda match: ".".join(re.findall(r"'([^']*)'", match.group())), message)
    return Finding(Place(path, line), "", message, "the file is TOML: https://toml.io")


def _parts(setting: str, children: Iterable[str]) -> KeyPath:
    """A setting's parts; a child's name may hold dots itself."""
    for name in sorted(children, key=len, reverse=True):
        table = f"child.{name}"
        if setting == table or setting.startswith(f"{table}."):
            return ("child", name, *setting[len(table) :].split(".")[1:])
    return tuple(setting.split(".")) if setting else ()


def _line(lines: Mapping[KeyPath, int], key: KeyPath) -> int | None:
    """The line of a key, or of the nearest table around it."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return None


def _finding(path: Path, lines: Mapping[KeyPath, int], detail: Any) -> Finding:
    """What pydantic found, in our words."""
    key = tuple(str(part) for part in detail["loc"])
    message, hint = _words(key, detail)
    return Finding(Place(path, _line(lines, key)), _dotted(key), message, hint)


def _dotted(key: KeyPath) -> str:
    """A key as people write it: the element of a list is named by the list."""
    around = _field(key[:-1])
    is_element = key[-1].isdecimal() and around is not None and get_origin(around.annotation) is not dict
    return ".".join(map(_quoted, key[:-1] if is_element else key))


def _quoted(part: str) -> str:
    """A part of a key, in quotes where TOML wants them."""
    return _short(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=not part.isprintable()))


def _words(key: KeyPath, detail: Any) -> tuple[str, str | None]:
    match detail["type"]:
        case "extra_forbidden":
            return "there is no such key", _nearest(key[-1], _keys_beside(key))
        case "missing":
            return "this key is missing", f"add it: {_description(key) or key[-1]}"
        case "model_type" | "dict_type":
            return f"this has to be a table, found {_kind(detail['input'])}", _description(key)
        case "string_pattern_mismatch":
            return f"{_shown(key, detail['input'])} is not allowed", _description(key)
        case "literal_error":
            allowed = str(detail["ctx"]["expected"])
            found = detail["input"]
            return f"{_shown(key, found)} is not allowed; allowed: {allowed}", _nearest(
                str(found), re.findall(r"'([^']+)'", allowed)
            )
        case _:
            message = str(detail["msg"]).removeprefix("Value error, ")
            return f"{message[:1].lower()}{message[1:]}, found {_shown(key, detail['input'])}", _description(key)


def _shown(key: KeyPath, value: object) -> str:
    """A value that was found; not what may be a secret that somebody wrote in its plain."""
    is_plain = isinstance(value, str | int | float) and "secret" not in key
    return _short(repr(value)) if is_plain else _kind(value)


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


def _table_of(key: KeyPath) -> type[BaseModel] | None:
    """The model of the table that a key names."""
    model: Any = File
    for part in key:
        if get_origin(model) is dict:
            model = get_args(model)[1]
            continue
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return None
        model = model.model_fields[part].annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


def _keys_beside(key: KeyPath) -> list[str]:
    table = _table_of(key[:-1])
    return [] if table is None else list(table.model_fields)


def _description(key: KeyPath) -> str | None:
    field = _field(key)
    return None if field is None else field.description


def _field(key: KeyPath) -> FieldInfo | None:
    """The field that a key names; None for a table of names, such as ``connection``'s, and for the names in it."""
    table = _table_of(key[:-1]) if key else None
    return None if table is None else table.model_fields.get(key[-1])
