"""What ``caponier esp`` reads and writes: packets as octets or in hexadecimal, captures, and captures of inner packets."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import typer

from caponier.cli.progress import ReadingProgress
from caponier.errors import CaponierError
from caponier.protocols.captures.decode import Row
from caponier.protocols.captures.files import Read, pcap_frame, pcap_header
from caponier.protocols.captures.links import RAW_IP

MAX_INPUT = 1 << 24  #: octets of packets to seal or to open
STANDARD_INPUT = Path("-")
_BUFFER = 1 << 20  #: octets of a capture that are read at once
_BLANK_LINE = re.compile(r"\n\s*\n")
_BETWEEN_DIGITS = re.compile(r"[\s:]")


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    """The system's refusals as errors that name the file."""
    try:
        yield
    except OSError as error:
        raise CaponierError(f"{path} cannot be {what}: {error.strerror or error}", hint="check the path") from None


# -- packets


def read_packets(path: Path) -> list[bytes]:
    """The packets of a file, or of standard input: one in its octets, or several in hexadecimal.

    Raises:
        CaponierError: it cannot be read, is empty, or is text but not hexadecimal.
    """
    with _told(path, "read"):
        if path == STANDARD_INPUT:
            octets = sys.stdin.buffer.read(MAX_INPUT + 1)
        else:
            with path.open("rb") as file:
                octets = file.read(MAX_INPUT + 1)
    if len(octets) > MAX_INPUT:
        raise CaponierError(f"{path} is longer than {MAX_INPUT} octets")
    if not octets.strip():
        raise CaponierError(f"{path} is empty", hint="one packet in its octets, or packets in hexadecimal")
    return _from_text(octets.decode()) if _is_text(octets) else [octets]


def _is_text(octets: bytes) -> bool:
    """An IP packet always has octets that no text has: its version and length, or its addresses."""
    return octets.isascii() and all(letter.isprintable() or letter.isspace() for letter in octets.decode())


def _from_text(text: str) -> list[bytes]:
    paragraphs = _BLANK_LINE.split(text.strip())
    return [_from_hexadecimal(number, each) for number, each in enumerate(paragraphs, start=1)]


def _from_hexadecimal(number: int, paragraph: str) -> bytes:
    digits = _BETWEEN_DIGITS.sub("", paragraph).removeprefix("0x")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise CaponierError(
            f"packet {number} is text, but not hexadecimal",
            hint="two digits for each octet, blank lines between packets, and nothing else",
        ) from None


def write_packets(packets: Sequence[bytes], *, binary: bool) -> None:
    """Packets to standard output, as :func:`read_packets` reads them.

    Raises:
        CaponierError: several in their octets, which nobody could tell apart.
    """
    if not binary:
        typer.echo("\n\n".join(packet.hex() for packet in packets))
        return
    if len(packets) > 1:
        raise CaponierError(f"--binary writes one packet, not {len(packets)}", hint="leave it out")
    sys.stdout.buffer.write(b"".join(packets))
    sys.stdout.buffer.flush()


# -- captures


@contextmanager
def reading(path: Path, *, is_watched: bool) -> Iterator[Read]:
    """A capture file, or standard input, to be read from its start.

    Args:
        path: of the file.
        is_watched: whether somebody wants to be told how far it is.

    Raises:
        CaponierError: it cannot be read.
    """
    with _opened(path) as file, ReadingProgress(f"reading {path}", _size(file), is_shown=is_watched) as progress:

        def read(count: int) -> bytes:
            with _told(path, "read"):
                octets = file.read(count)
            progress.advance(len(octets))
            return octets

        yield read


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with _told(path, "read"):
        file = path.open("rb", buffering=_BUFFER)
    with file:
        yield file


def _size(file: IO[bytes]) -> int | None:
    """Octets of a file; None for a pipe."""
    if file is sys.stdin.buffer:
        return None
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class InnerPackets:
    """A capture file of what was inside; it can be read by its owner alone. A context manager.

    Args:
        path: of the file; what stands there is replaced.
        capture: what is being read; it is not replaced.

    Raises:
        CaponierError: it cannot be written.
    """

    def __init__(self, path: Path, capture: Path) -> None:
        self._path = path
        with _told(path, "written"):
            if capture != STANDARD_INPUT and path.exists() and path.samefile(capture):
                raise CaponierError(f"{path} is the capture itself", hint="name another file")
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
            self._file.write(pcap_header(RAW_IP))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _told(self._path, "written"):
            self._file.close()

    def add(self, row: Row) -> None:
        """What was in a packet, if it was opened."""
        if row.octets:
            with _told(self._path, "written"):
                self._file.write(pcap_frame(row.time, row.octets))
