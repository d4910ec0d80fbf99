"""Reading a configuration file: all of it, or a list of everything that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from caponier.daemon.config.compose import Complaints, compose_connection, compose_settings
from caponier.daemon.config.findings import Finding, InvalidConfiguration, Place
from caponier.daemon.config.locate import KeyPath, locate
from caponier.daemon.config.schema import DaemonTable, File
from caponier.protocols.ike.policy import Connection, Settings

MAX_FILE = 16 << 20  #: octets; twenty thousand connections fit
_AT_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


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
        key: KeyPath = ("connection", connection, *(setting.split(".") if setting else ()))
        return Place(self.file, _line(self.lines, key))


def load(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises:
        InvalidConfiguration: it is refused whole; with every finding.
    """
    text = _read(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfiguration([_syntax(path, error)]) from None
    lines = locate(text)
    try:
        file = File.model_validate(raw)
    except ValidationError as error:
        raise InvalidConfiguration([_finding(path, lines, detail) for detail in error.errors()]) from None
    complaints = Complaints()
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
    return Configuration(path, file.daemon, compose_settings(file.daemon), connections, lines)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE + 1)
        if len(octets) > MAX_FILE:
            raise InvalidConfiguration([Finding(Place(path), "", f"longer than {MAX_FILE} octets")])
        return octets.decode()
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
    return Finding(Place(path, line), "", message, "the file is TOML: https://toml.io")


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
    return ".".join(key[:-1] if key[-1].isdecimal() and len(key) > 3 else key)


def _words(key: KeyPath, detail: Any) -> tuple[str, str | None]:
    match detail["type"]:
        case "extra_forbidden":
            return "there is no such key", _nearest(key[-1], _keys_beside(key))
        case "missing":
            return "this key is missing", f"add it: {_description(key) or key[-1]}"
        case "literal_error":
            allowed = str(detail["ctx"]["expected"])
            found = detail["input"]
            return f"{found!r} is not allowed; allowed: {allowed}", _nearest(
                str(found), re.findall(r"'([^']+)'", allowed)
            )
        case _:
            message = str(detail["msg"])
            return f"{message[:1].lower()}{message[1:]}, found {_shown(detail['input'])}", _description(key)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def _nearest(word: str, allowed: list[str]) -> str | None:
    close = get_close_matches(word, allowed, n=1, cutoff=0.5)
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
    table = _table_of(key[:-1])
    field = None if table is None else table.model_fields.get(key[-1])
    return None if field is None else field.description
