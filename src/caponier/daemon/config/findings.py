"""What is wrong with a configuration file, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caponier.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file.

    Attributes:
        file: as it was given.
        line: counted from 1; None where the file as a whole is meant.
    """

    file: Path
    line: int | None = None

    def __str__(self) -> str:
        return str(self.file) if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake.

    Attributes:
        place: where.
        key: the key, dotted: ``connection.office.local.id``; empty for the file as a whole.
        message: what was found, and what is allowed.
        hint: how to mend it, such as the nearest right spelling.
    """

    place: Place
    key: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.place}: {self.key}: {self.message}" if self.key else f"{self.place}: {self.message}"
        return text if self.hint is None else f"{text}\n    hint: {self.hint}"


class InvalidConfiguration(ConfigError):
    """The file is refused whole; ``findings`` are all its mistakes, in the order of their lines."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(
            sorted(dict.fromkeys(findings), key=lambda finding: (finding.place.line or 0, finding.key))
        )
        super().__init__("\n".join(map(str, self.findings)))
